//! Calls that go out (RFC 3261 sections 8.1, 13.2 and 18.1.1; RFC 3263 section 4.3): what is asked for,
//! the INVITE of each attempt, and the places that are tried in turn.
//!
//! Every text is checked before anything is sent, so that no value can become another header or
//! another part of a URI. Names are not looked up: the owner brings the places.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;
use std::rc::Rc;

use rsip::Header;

use crate::base::ids::CallId;
use crate::base::network::Transport;
use crate::base::time::Instant;
use crate::wire::sip_emit::uri_text;
use crate::wire::sip_uri::{Scheme, Uri};

use super::answer::{ALLOW, supported};
use super::authentication::Credentials;
use super::call_out_check::check;
use super::calling::{Calling, exhausted};
use super::dialog::{Arrival, Dialog};
use super::endpoint::{SipEndpoint, call_id, slot};
use super::event::{Cause, EndedBy, SipRefusal};
use super::session::Session;
use super::table::Slot;
use super::transaction_client::Unanswered;
use super::transaction_invite::InviteOwner;
use super::transmit::{SipTarget, SipTargets};

/// A call that is to go out.
#[derive(Clone, Debug)]
pub struct CallOut {
    /// Whom to call: `sip:1002@pbx.example.net`.
    pub request_uri: String,
    /// Our address of record: `sip:1001@pbx.example.net`.
    pub from: String,
    /// Display name beside it: any characters but control characters.
    pub display_name: Option<String>,
    /// User part of our Contact, as it stands in a URI; none when empty.
    pub contact_user: String,
    /// Call-ID of the wire; one of ours without it.
    pub call_id: Option<String>,
    /// Route values, the nearest first: outbound proxy, Service-Route.
    pub routes: Vec<String>,
    /// Where the INVITE goes, in the order to try.
    pub targets: SipTargets,
    /// For challenges.
    pub credentials: Option<Rc<Credentials>>,
    /// Our offer.
    pub sdp: String,
    /// Seconds of a session that are asked for (RFC 4028), where they are not those that the endpoint
    /// was told; one without session timers asks for none.
    pub session_expires: Option<u32>,
    /// How long the call may be without final answer, over all attempts.
    pub ring: Duration,
    /// Further headers, names and values. None that a request of ours has by itself.
    pub headers: Vec<(String, String)>,
    /// The call whose place this one is to take: it goes out though there are as many calls as there
    /// may be.
    pub in_place_of: Option<CallId>,
}

/// How long a call of ours may ring unless its owner says otherwise.
pub const RING: Duration = Duration::from_secs(180);

impl CallOut {
    /// A call from `from` to `request_uri` with an offer, and nothing else.
    pub fn new(request_uri: &str, from: &str, targets: SipTargets, sdp: &str) -> Self {
        Self {
            request_uri: request_uri.into(),
            from: from.into(),
            display_name: None,
            contact_user: String::new(),
            call_id: None,
            routes: Vec::new(),
            targets,
            credentials: None,
            sdp: sdp.into(),
            session_expires: None,
            ring: RING,
            headers: Vec::new(),
            in_place_of: None,
        }
    }
}

impl SipEndpoint {
    /// Calls somebody. Progress, answer and end come as events; [`SipEndpoint::hangup`] takes the call
    /// back.
    pub fn call(&mut self, now: Instant, mut call: CallOut) -> Result<CallId, SipRefusal> {
        check(&call)?;
        let timers = self.config.session_timer;
        call.session_expires = timers.map(|own| call.session_expires.unwrap_or(own.expires));
        let takes_place = call
            .in_place_of
            .is_some_and(|id| self.sessions.get(slot(id)).is_some());
        let is_full = !self.has_place(takes_place);
        if is_full || !self.has_event_room() || !self.make_invite_room() {
            return Err(SipRefusal::Full);
        }
        let target = *call
            .targets
            .first()
            .ok_or(SipRefusal::BadField("targets"))?;
        let tag = self.rng.token();
        let local = self.local_for(target.address.ip());
        let wire_id = match &call.call_id {
            Some(id) => id.clone(),
            None => format!("{}{}", self.rng.token(), self.rng.token()),
        };
        let name = call.display_name.as_deref().map(quoted);
        let from = format!("{}<{}>", name.unwrap_or_default(), call.from);
        let to = format!("<{}>", without_headers(&call.request_uri));
        let routes = call.routes.iter().map(|route| route.as_str().into());
        let dialog = Dialog::outgoing(
            &wire_id,
            &tag,
            (&from, &to),
            &call.request_uri,
            routes.collect(),
            Arrival::from_target(target),
            local,
        );
        self.make_session_room();
        for target in &call.targets {
            self.hear(target.address.ip());
        }
        let session = Session::outgoing(dialog, Calling::new(now, call));
        let hash = Dialog::hash(&wire_id, &tag);
        let slot = self.sessions.insert(hash, session);
        let slot = slot.map_err(|_| SipRefusal::Full)?;
        self.live = self.live.saturating_add(1);
        let placed = self.place(now, slot);
        if placed.is_err() {
            self.sessions.remove(slot);
            self.live = self.live.saturating_sub(1);
        }
        self.settle();
        placed.map(|()| call_id(slot))
    }

    /// Goes on with a call that [`SipEvent::Redirected`](super::SipEvent::Redirected) told of, at these
    /// places. Where they are neither those of the call nor may call themselves, its credentials are
    /// not used any more: who can redirect a call is not to get at its password.
    pub fn follow(
        &mut self,
        now: Instant,
        id: CallId,
        targets: SipTargets,
    ) -> Result<(), SipRefusal> {
        let slot = slot(id);
        let session = self.sessions.get(slot).ok_or(SipRefusal::NoSuchCall)?;
        let waits = session.calling().is_some_and(|c| c.invite.is_none());
        if !waits {
            return Err(SipRefusal::WrongState);
        }
        if targets.is_empty() {
            return Err(SipRefusal::BadField("targets"));
        }
        for target in &targets {
            self.hear(target.address.ip());
        }
        let allow = &self.config.allow;
        let allows = |target: &SipTarget| allow.iter().any(|n| n.contains(target.address.ip()));
        self.sessions.update(slot, |s| {
            if let Some((_, calling)) = s.calling_mut() {
                let may_prove = |target: &SipTarget| calling.knows(target) || allows(target);
                if !targets.iter().all(may_prove) {
                    calling.authenticator.withhold();
                }
                calling.aim(targets);
            }
        });
        self.place_or_end(now, slot);
        self.settle();
        Ok(())
    }

    /// Sends an INVITE to the place whose turn it is.
    fn place(&mut self, now: Instant, slot: Slot) -> Result<(), SipRefusal> {
        let calling = self.sessions.get(slot).and_then(Session::calling);
        let target = calling.and_then(Calling::target);
        let target = target.ok_or(SipRefusal::NoSuchCall)?;
        let local = self.local_for(target.address.ip());
        let (rng, contact) = (&mut self.rng, self.config.local.port());
        let made = self.sessions.update(slot, |session| {
            let (dialog, calling) = session.calling_mut()?;
            calling.invite = None;
            if !calling.attempt() {
                return None;
            }
            dialog.aim(target, local);
            let made = dialog.request(rsip::Method::Invite);
            let mut request = made.request;
            let contact = ContactUri {
                user: &calling.call.contact_user,
                local,
                port: contact,
                transport: target.transport,
            };
            let secure = is_sips(&calling.call.request_uri);
            request
                .headers
                .extend(invite_headers(calling, contact, secure));
            request.body = calling.call.sdp.clone().into_bytes();
            let uri = uri_text(&request.uri);
            let answers = calling
                .authenticator
                .headers("INVITE", &uri, &request.body, rng);
            request
                .headers
                .extend(answers.into_iter().collect::<Vec<_>>());
            Some(request)
        });
        let request = made.flatten().ok_or(SipRefusal::WrongState)?;
        let owner = InviteOwner::Initial(call_id(slot));
        let invite = self.send_invite(now, owner, request, target.destination(), local)?;
        self.sessions.update(slot, |session| {
            if let Some((_, calling)) = session.calling_mut() {
                calling.invite = Some(invite);
            }
        });
        Ok(())
    }

    /// The same within a call that the owner knows of: it ends when nothing can be sent.
    pub(super) fn place_or_end(&mut self, now: Instant, slot: Slot) {
        let cause = match self.place(now, slot) {
            Ok(()) => return,
            Err(SipRefusal::WrongState) => exhausted(),
            Err(refusal) => Cause::new(500, refusal.to_string()),
        };
        self.end_calling(slot, cause, EndedBy::Local);
    }

    /// Nobody answers at the place that was tried.
    pub(super) fn call_unanswered(&mut self, now: Instant, slot: Slot, why: Unanswered) {
        let cause = match why {
            Unanswered::Timeout => Cause::new(408, "nobody answered the INVITE"),
            Unanswered::Unreachable => match self.connect_failure.as_deref() {
                Some(words) => Cause::new(503, format!("no connection: {words}")),
                None => Cause::new(503, "no connection could be opened"),
            },
        };
        self.try_next_target(now, slot, cause, EndedBy::Silence);
    }

    /// Tries the next place, or contact of a redirect; the call ends where there is none.
    pub(super) fn try_next_target(&mut self, now: Instant, slot: Slot, cause: Cause, by: EndedBy) {
        let next = self.sessions.update(slot, |session| {
            let (_, calling) = session.calling_mut()?;
            Some(calling.next_target())
        });
        match next.flatten() {
            Some(true) => self.place_or_end(now, slot),
            _ => self.try_next_contact(now, slot, cause, by),
        }
    }

    /// Ends a call of ours that has no final answer, and no INVITE under way.
    pub(super) fn end_calling(&mut self, slot: Slot, cause: Cause, by: EndedBy) {
        if self.sessions.remove(slot).is_some() {
            self.tell_ended(slot, cause, by);
        }
    }

    /// Takes the INVITE of a call of ours back, and forgets the call. What comes all the same is
    /// acknowledged and ended by the transaction.
    pub(super) fn cancel_invite(&mut self, now: Instant, call: Slot, calling: &Calling) {
        self.sessions.remove(call);
        if let Some(invite) = calling.invite {
            self.take_invite_back(now, invite);
        }
    }

    /// Nobody answered a call of ours for as long as it may ring.
    pub(super) fn rang_too_long(&mut self, now: Instant, slot: Slot) {
        let session = self.sessions.remove(slot);
        let Some(calling) = session.as_ref().and_then(Session::calling) else {
            return;
        };
        let seconds = calling.call.ring.as_secs();
        if let Some(invite) = calling.invite {
            self.take_invite_back(now, invite);
        }
        let cause = Cause::new(408, format!("nobody answered within {seconds} s"));
        self.tell_ended(slot, cause, EndedBy::Silence);
    }

    /// Whether a call waits for the final answer to that INVITE.
    pub(super) fn is_calling(&self, slot: Slot, invite: Slot) -> bool {
        let calling = self.sessions.get(slot).and_then(Session::calling);
        calling.is_some_and(|calling| calling.invite == Some(invite))
    }
}

/// Whether a URI asks for TLS all the way.
pub(super) fn is_sips(uri: &str) -> bool {
    Uri::parse(uri.as_bytes()).is_some_and(|uri| uri.scheme == Scheme::Sips)
}

/// Where we are reached.
struct ContactUri<'a> {
    user: &'a str,
    local: core::net::IpAddr,
    port: u16,
    transport: Transport,
}

/// What an INVITE has beside what every request of its dialog has.
fn invite_headers(calling: &Calling, contact: ContactUri<'_>, secure: bool) -> Vec<Header> {
    let call = &calling.call;
    let contact = contact.text(secure);
    let mut headers = vec![Header::Contact(contact.into()), Header::Allow(ALLOW.into())];
    if !calling.plain {
        let supported = supported(call.session_expires.is_some());
        headers.push(Header::Supported(supported.into()));
        if let Some(seconds) = call.session_expires {
            headers.push(Header::Other("Session-Expires".into(), seconds.to_string()));
        }
        if let Some(seconds) = calling.min_se {
            headers.push(Header::Other("Min-SE".into(), seconds.to_string()));
        }
    }
    let further = call.headers.iter();
    headers.extend(further.map(|(name, value)| Header::Other(name.clone(), value.clone())));
    headers.push(Header::ContentType("application/sdp".into()));
    headers
}

impl ContactUri<'_> {
    fn text(&self, secure: bool) -> String {
        let host = crate::wire::sip_emit::host_text(self.local);
        let at = if self.user.is_empty() { "" } else { "@" };
        let (scheme, transport) = match (secure, self.transport) {
            (true, _) => ("sips", ""),
            (false, Transport::Udp) => ("sip", ""),
            (false, Transport::Tcp) => ("sip", ";transport=tcp"),
            (false, Transport::Tls) => ("sip", ";transport=tls"),
        };
        format!(
            "<{scheme}:{}{at}{host}:{}{transport}>",
            self.user, self.port
        )
    }
}

/// A display name with its quotes, and the space after it.
fn quoted(name: &str) -> String {
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{name}\" ")
}

/// A URI for To: it has no header fields (section 19.1.1).
pub(super) fn without_headers(uri: &str) -> &str {
    uri.split('?').next().unwrap_or(uri)
}
