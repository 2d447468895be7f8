//! REFER of ours (RFC 3515, RFC 3892, RFC 5589): the peer is asked to call somebody else, and says by
//! NOTIFY how that goes.

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

use rsip::Header;

use crate::base::counter::count;
use crate::base::ids::CallId;
use crate::base::time::Instant;
use crate::limits::SIP_REFER_BYTES;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_name::HeaderName;

use super::answer::Answer;
use super::call_out::without_headers;
use super::call_out_check::is_address;
use super::endpoint::{SipEndpoint, call_id, slot};
use super::event::{Cause, EndedBy, SipEvent, SipRefusal};
use super::refer_to::refer_to_value;
use super::reply::Incoming;
use super::sipfrag::{SIPFRAG, sipfrag_status};
use super::table::Slot;
use super::transaction_client::Purpose;

/// How long we wait for news of a transfer.
const PATIENCE: Duration = Duration::from_secs(180);

/// A REFER of ours.
#[derive(Debug)]
pub(super) struct Referral {
    /// The value of its Refer-To.
    to: Box<str>,
    /// Its sequence number, by which NOTIFYs may name it.
    id: u32,
    /// Its transaction, until it is answered.
    pub(super) request: Option<Slot>,
    /// The code that the peer told last of its call; 0 before the first.
    code: u16,
    /// When no more news are waited for.
    pub(super) until: Instant,
}

impl SipEndpoint {
    /// Asks the peer of a call to call `to` instead, or with `replaces` to take that call's place at
    /// its peer: `to` may be empty then. [`SipEvent::TransferProgress`] says how it goes. The call stays
    /// until either side ends it.
    pub fn refer(
        &mut self,
        now: Instant,
        id: CallId,
        to: &str,
        replaces: Option<CallId>,
    ) -> Result<(), SipRefusal> {
        let place = slot(id);
        let session = self.sessions.get(place).filter(|s| !s.is_ending());
        let session = session.ok_or(SipRefusal::NoSuchCall)?;
        let is_free = session.notifier.is_none() && session.referral.is_none();
        if !session.is_confirmed() || !is_free {
            return Err(SipRefusal::WrongState);
        }
        let other = match replaces {
            Some(other) => {
                let other = self.sessions.get(slot(other)).filter(|s| !s.is_ending());
                let other = other.ok_or(SipRefusal::NoSuchCall)?;
                // What has no peer yet cannot be replaced there.
                if other.calling().is_some() || replaces == Some(id) {
                    return Err(SipRefusal::WrongState);
                }
                Some(other)
            }
            None => None,
        };
        let to = match (to, other) {
            ("", Some(other)) => without_headers(other.dialog.target()),
            (to, _) => to,
        };
        if !is_address(to) || to.len() > SIP_REFER_BYTES {
            return Err(SipRefusal::BadField("to"));
        }
        let replaces = other.map(|other| other.dialog.replaces());
        let referral = Referral {
            to: refer_to_value(to, replaces.as_deref()).into(),
            id: 0,
            request: None,
            code: 0,
            until: now + PATIENCE,
        };
        self.sessions
            .update(place, |s| s.referral = Some(Box::new(referral)));
        let headers = self.refer_headers(place);
        let sent = self.send_request(now, place, Purpose::Refer, headers, Vec::new());
        match sent {
            Ok(transaction) => self.refer_sent(place, transaction),
            Err(_) => drop(self.sessions.update(place, |s| s.referral = None)),
        }
        self.settle();
        sent.map(drop)
    }

    /// Notes the transaction and number of our REFER.
    pub(super) fn refer_sent(&mut self, slot: Slot, transaction: Slot) {
        self.sessions.update(slot, |session| {
            let number = session.dialog.local_cseq();
            if let Some(referral) = &mut session.referral {
                referral.request = Some(transaction);
                referral.id = number;
            }
        });
    }

    /// What a REFER says.
    pub(super) fn refer_headers(&self, slot: Slot) -> Vec<Header> {
        let Some(session) = self.sessions.get(slot) else {
            return Vec::new();
        };
        let Some(referral) = &session.referral else {
            return Vec::new();
        };
        let by = format!("<{}>", session.dialog.own_address());
        vec![
            self.contact_of(session),
            Header::Other("Refer-To".into(), referral.to.to_string()),
            Header::Other("Referred-By".into(), by),
            Header::Supported(self.supported().into()),
        ]
    }

    /// Our REFER was answered, by 408 when nobody did.
    pub(super) fn refer_answered(
        &mut self,
        now: Instant,
        slot: Slot,
        code: u16,
        response: Option<&SipMessage<'_>>,
    ) {
        let known = self.sessions.update(slot, |session| {
            let referral = session.referral.as_mut()?;
            referral.request = None;
            referral.until = now + PATIENCE;
            Some(())
        });
        // The NOTIFY with the outcome may have come before.
        if known.flatten().is_none() {
            return;
        }
        let is_silent = response.is_some_and(|response| {
            let mut said = response.headers().all_named("Refer-Sub");
            said.next()
                .is_some_and(|said| said.trim_ascii().eq_ignore_ascii_case(b"false"))
        });
        let done = code >= 300 || is_silent;
        self.transfer_told(slot, code, done);
        if code == 481 {
            self.forget_session(now, slot);
            let cause = Cause::new(481, "the peer no longer knew the call");
            self.tell_ended(slot, cause, EndedBy::Remote);
        }
    }

    /// Nothing was heard of a transfer for too long.
    pub(super) fn refer_expired(&mut self, slot: Slot) {
        self.transfer_told(slot, 408, true);
    }

    fn transfer_told(&mut self, slot: Slot, code: u16, done: bool) {
        let request = self.sessions.update(slot, |session| {
            if done {
                return session.referral.take()?.request;
            }
            None
        });
        // A transaction whose outcome came another way is waited for no more.
        if let Some(request) = request.flatten() {
            self.clients.remove(request);
        }
        if self.has_event_room() {
            let id = call_id(slot);
            self.push_event(SipEvent::TransferProgress { id, code, done });
        }
    }

    /// A NOTIFY within a call: news of our REFER, or nothing that we know of.
    pub(super) fn receive_notify(&mut self, incoming: &Incoming<'_, '_>, slot: Slot) {
        let headers = incoming.request.headers();
        let event = headers.text(HeaderName::Event).unwrap_or_default();
        let mut parts = event.split(';').map(str::trim);
        if !parts
            .next()
            .is_some_and(|it| it.eq_ignore_ascii_case("refer"))
        {
            count(&mut self.counters.requests_refused);
            let answer =
                Answer::code(489).with(Header::Other("Allow-Events".into(), "refer".into()));
            return self.answer_once(incoming, answer);
        }
        let id = parts.find_map(|part| part.strip_prefix("id="));
        let id = id.map(|id| id.trim().parse::<u32>().ok());
        let session = self.sessions.get(slot).filter(|s| !s.is_ending());
        let referral = session.and_then(|s| s.referral.as_deref());
        let is_ours = |referral: &&Referral| id.is_none_or(|id| id == Some(referral.id));
        let Some(referral) = referral.filter(is_ours) else {
            count(&mut self.counters.unknown_dialog);
            return self.answer_once(incoming, Answer::code(481));
        };
        let (body, before) = (incoming.request.body(), referral.code);
        let kind = headers.content_type();
        if !body.is_empty() && !kind.is_some_and(|kind| kind.is("message", "sipfrag")) {
            count(&mut self.counters.requests_refused);
            let answer = Answer::code(415).with(Header::Accept(SIPFRAG.into()));
            return self.answer_once(incoming, answer);
        }
        if !self.has_event_room() {
            let answer = Answer::code(500).retry_after(Some(1));
            return self.answer_once(incoming, answer);
        }
        let state = headers.text(HeaderName::SubscriptionState);
        let state = state.as_deref().map(|state| state.split(';').next());
        let is_over = state
            .flatten()
            .is_some_and(|state| state.trim().eq_ignore_ascii_case("terminated"));
        let code = sipfrag_status(body).unwrap_or(before);
        // An end without an outcome is none that we could wait for.
        let code = if is_over && code < 200 { 408 } else { code };
        let now = incoming.now;
        self.sessions.update(slot, |session| {
            session.dialog.refresh_target(incoming.request);
            if let Some(referral) = &mut session.referral {
                referral.until = now + PATIENCE;
                referral.code = code;
            }
        });
        self.answer_once(incoming, Answer::code(200));
        let done = is_over || code >= 200;
        if done || code != before {
            self.transfer_told(slot, code, done);
        }
    }
}
