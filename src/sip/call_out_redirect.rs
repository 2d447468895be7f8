//! Redirects of a call of ours (RFC 3261 sections 8.1.3.4 and 19.1.5), bounded and never anywhere by
//! themselves: a place that is not known to be ours to talk to is asked for.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::network::Transport;
use crate::base::time::Instant;
use crate::limits::SIP_REDIRECTS;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_uri::{Host, Uri};

use super::call_out::{CallOut, is_sips};
use super::call_out_check::is_address;
use super::endpoint::{SipEndpoint, call_id};
use super::event::{Cause, EndedBy, SipEvent};
use super::table::Slot;
use super::transmit::{SipTarget, SipTargets};

/// Where a redirect leads.
enum Way {
    /// To the places that were tried before: an outbound proxy, or the same host.
    Same,
    /// To an address that may be talked to.
    Known(SipTarget),
    /// The owner has to say.
    Asked,
}

impl SipEndpoint {
    /// Takes the contacts of a redirect and tries the best of them.
    pub(super) fn call_redirected(
        &mut self,
        now: Instant,
        slot: Slot,
        cause: Cause,
        response: &SipMessage<'_>,
    ) {
        let mut contacts: Vec<(u16, Box<str>)> = response
            .headers()
            .contacts()
            .filter(|contact| is_address(contact.uri.text))
            .map(|contact| {
                let text = contact.uri.text;
                let text = text.split('?').next().unwrap_or(text);
                (preference(contact.params.token("q")), text.into())
            })
            .collect();
        contacts.sort_by_key(|(preference, _)| core::cmp::Reverse(*preference));
        contacts.truncate(SIP_REDIRECTS);
        self.sessions.update(slot, |session| {
            if let Some((_, calling)) = session.calling_mut() {
                calling.redirected(contacts.into_iter().map(|(_, uri)| uri));
            }
        });
        self.try_next_contact(now, slot, cause, EndedBy::Remote);
    }

    /// Tries the next contact that a redirect named; the call ends where there is none.
    pub(super) fn try_next_contact(&mut self, now: Instant, slot: Slot, cause: Cause, by: EndedBy) {
        loop {
            let next = self.sessions.update(slot, |session| {
                let (_, calling) = session.calling_mut()?;
                calling.next_contact()
            });
            let Some(Some(contact)) = next else {
                return self.end_calling(slot, cause, by);
            };
            let Some(way) = self.way_of(slot, &contact) else {
                continue;
            };
            self.sessions.update(slot, |session| {
                let Some((dialog, calling)) = session.calling_mut() else {
                    return;
                };
                dialog.redirect(&contact);
                calling.call.request_uri = contact.as_ref().into();
                calling.invite = None;
                let targets = match way {
                    Way::Same => Some(calling.call.targets.clone()),
                    Way::Known(target) => SipTargets::from_slice(&[target]).ok(),
                    Way::Asked => None,
                };
                if let Some(targets) = targets {
                    calling.aim(targets);
                }
            });
            if matches!(way, Way::Asked) {
                let id = call_id(slot);
                let contact = contact.into();
                return self.push_event(SipEvent::Redirected { id, contact });
            }
            return self.place_or_end(now, slot);
        }
    }

    /// Where a contact leads; none where it may not be followed.
    fn way_of(&self, slot: Slot, contact: &str) -> Option<Way> {
        let call = &self.sessions.get(slot)?.calling()?.call;
        let uri = Uri::parse(contact.as_bytes())?;
        // Section 8.1.3.4: what was asked for with TLS all the way does not go without.
        if is_sips(&call.request_uri) && !is_sips(contact) {
            return None;
        }
        if !call.routes.is_empty() || is_same_host(call, &uri) {
            return Some(Way::Same);
        }
        let Some(address) = uri.socket_addr() else {
            return Some(Way::Asked);
        };
        let mut targets = call.targets.iter();
        let is_tried = targets.any(|target| target.address.ip() == address.ip());
        if !is_tried && !self.allows(address.ip()) {
            return Some(Way::Asked);
        }
        let transport = match uri.transport() {
            _ if is_sips(contact) => Transport::Tls,
            Some(name) if name.eq_ignore_ascii_case("tcp") => Transport::Tcp,
            Some(name) if name.eq_ignore_ascii_case("tls") => Transport::Tls,
            Some(name) if name.eq_ignore_ascii_case("udp") => Transport::Udp,
            Some(_) => return None,
            None => call.targets.first().map_or(Transport::Udp, |t| t.transport),
        };
        Some(Way::Known(SipTarget { transport, address }))
    }
}

/// Whether a URI has host, port and transport of the one that was called.
fn is_same_host(call: &CallOut, uri: &Uri<'_>) -> bool {
    let Some(called) = Uri::parse(call.request_uri.as_bytes()) else {
        return false;
    };
    let same_name = match (called.host, uri.host) {
        (Some(Host::Name(a)), Some(Host::Name(b))) => a.eq_ignore_ascii_case(b),
        (a, b) => a == b,
    };
    let transport = |uri: &Uri<'_>| uri.transport().map(str::to_ascii_lowercase);
    same_name
        && called.scheme == uri.scheme
        && called.port == uri.port
        && transport(&called) == transport(uri)
}

/// A q value in thousandths; 1 without one.
fn preference(q: Option<&str>) -> u16 {
    let Some((whole, part)) = q.map(|q| q.split_once('.').unwrap_or((q, ""))) else {
        return 1_000;
    };
    if whole != "0" {
        return 1_000;
    }
    let mut digits = part
        .bytes()
        .filter(u8::is_ascii_digit)
        .map(|d| u16::from(d - b'0'));
    (0..3).fold(0, |sum: u16, _| {
        sum.saturating_mul(10)
            .saturating_add(digits.next().unwrap_or_default())
    })
}
