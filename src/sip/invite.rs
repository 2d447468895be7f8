//! INVITE and what belongs to it: a call that begins, a re-INVITE, CANCEL and ACK (RFC 3261 sections
//! 9.2, 13.3 and 14.2).

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

use crate::base::counter::count;
use crate::base::time::Instant;
use crate::limits::SIP_USER_BYTES;
use crate::wire::sip_identity::Identity;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_name::HeaderName;
use crate::wire::sip_uri::Uri;

use super::answer::{Answer, RETRY_AFTER};
use super::body::{session_description, unmet_accept};
use super::dialog::Dialog;
use super::endpoint::{SipEndpoint, call_id, slot};
use super::event::{Cause, EndedBy, SipEvent};
use super::exchange::Gate;
use super::prack::Reliable;
use super::reason::reason;
use super::reply::Incoming;
use super::session::{Acked, PendingInvite, Session};
use super::session_timer::{Agreed, Asked};
use super::table::Slot;
use super::transaction_server::{AckIs, TransactionKey};
use super::update::too_small;

/// How long a call may ring here whose caller does not say: longer than any proxy lets it (timer C), as
/// its CANCEL may be lost.
const PATIENCE: Duration = Duration::from_secs(300);

impl SipEndpoint {
    /// A call that begins.
    pub(super) fn receive_invite(&mut self, incoming: &Incoming<'_, '_>) {
        let request = incoming.request;
        let offer = match session_description(request) {
            Ok(offer) => offer.map(Box::from),
            Err(answer) => return self.refuse(incoming, answer),
        };
        if let Some(answer) = unmet_accept(request.headers()) {
            return self.refuse(incoming, answer);
        }
        let timer = match self.asked(incoming, None) {
            Asked::TooSmall(min) => return self.refuse(incoming, too_small(min)),
            Asked::On(agreed) => Some(agreed),
            Asked::Off => None,
        };
        let replaces = match self.replaced_by(request) {
            Ok(replaces) => replaces,
            Err(answer) => return self.refuse(incoming, answer),
        };
        let callee = callee(request);
        if callee.len() > SIP_USER_BYTES {
            return self.refuse(incoming, Answer::code(414));
        }
        let has_place = self.has_place(replaces.is_some());
        let has_room = has_place && self.has_event_room();
        let Some(transaction) = has_room.then(|| self.open_invite(incoming)).flatten() else {
            count(&mut self.counters.calls_refused);
            let answer = Answer::code(503).retry_after(Some(RETRY_AFTER));
            return self.refuse_uncounted(incoming, answer);
        };
        let tag = self.rng.token();
        let local = self.local_for(incoming.arrival.remote.ip());
        let dialog = Dialog::new(request, &tag, incoming.arrival, local);
        let invite = pending(incoming, transaction, offer.is_none(), timer);
        self.make_session_room();
        let hash = Dialog::hash(request.call_id(), &tag);
        let headers = request.headers();
        let mut session = Session::new(dialog, invite);
        session.peer = session.peer.after(headers);
        session.replaces = replaces;
        let requires = headers.has_token(HeaderName::Require, "100rel");
        if requires || session.peer.reliable {
            let rseq = self.rng.below(1 << 30).saturating_add(1);
            let reliable = Reliable::new(requires, request.cseq().number, rseq);
            session.reliable = Some(Box::new(reliable));
        }
        let Ok(slot) = self.sessions.insert(hash, session) else {
            // Not reached: there is a place for every call and for one that is ending.
            self.servers.remove(transaction);
            return;
        };
        let id = call_id(slot);
        self.servers.update(transaction, |t| t.set_call(id));
        self.live = self.live.saturating_add(1);
        count(&mut self.counters.calls);
        self.try_invite(incoming, transaction);
        self.push_event(SipEvent::Invite {
            id,
            caller: user_or_host(&request.from().uri),
            callee,
            display_name: request.from().display_name(),
            identity: Identity::read(request.headers()),
            call_id: request.call_id().into(),
            remote: incoming.arrival.remote,
            secure: incoming.arrival.secure,
            offer,
            replaces,
        });
    }

    pub(super) fn receive_reinvite(
        &mut self,
        incoming: &Incoming<'_, '_>,
        slot: Slot,
        gate: Option<Gate>,
    ) {
        let later = Answer::code(500).retry_after(Some(self.rng.below(10).saturating_add(1)));
        match gate {
            Some(Gate::Open) => {}
            Some(Gate::Overlapping) => return self.refuse_uncounted(incoming, later),
            Some(Gate::Pending) => {
                return self.refuse_uncounted(incoming, Answer::code(491));
            }
            Some(Gate::Over) | None => {
                count(&mut self.counters.unknown_dialog);
                return self.refuse_uncounted(incoming, Answer::code(481));
            }
        }
        let offer = match session_description(incoming.request) {
            Ok(offer) => offer.map(Box::from),
            Err(answer) => return self.refuse_uncounted(incoming, answer),
        };
        let timer = match self.asked(incoming, Some(slot)) {
            Asked::TooSmall(min) => return self.refuse_uncounted(incoming, too_small(min)),
            Asked::On(agreed) => Some(agreed),
            Asked::Off => None,
        };
        let has_room = self.has_event_room();
        let Some(transaction) = has_room.then(|| self.open_invite(incoming)).flatten() else {
            return self.refuse_uncounted(incoming, later);
        };
        let invite = pending(incoming, transaction, offer.is_none(), timer);
        let id = call_id(slot);
        self.servers.update(transaction, |t| t.set_call(id));
        self.sessions.update(slot, |session| {
            session.dialog.refresh_target(incoming.request);
            session.reinvited(invite);
        });
        self.try_invite(incoming, transaction);
        self.push_event(SipEvent::Reinvite { id, offer });
    }

    pub(super) fn receive_cancel(&mut self, incoming: &Incoming<'_, '_>) {
        let invite = TransactionKey::of(incoming.request, "INVITE");
        let found = self.servers.find(invite.hash(), |t| t.has_key(&invite));
        let known = found.and_then(|found| Some((found, self.servers.get(found)?)));
        let Some((transaction, known)) = known else {
            count(&mut self.counters.unknown_dialog);
            return self.answer(incoming, Answer::code(481));
        };
        let is_proceeding = known.is_proceeding();
        let call = known.call().map(slot);
        let session = call.and_then(|slot| Some((slot, self.sessions.get(slot)?)));
        // Section 9.2: the tag is the one that answers to the INVITE have.
        let Some((slot, session)) = session else {
            return self.answer_once(incoming, Answer::code(200));
        };
        let tag: Box<str> = session.dialog.local_tag().into();
        let is_initial = session.initial_invite().is_some();
        self.answer_once_as(incoming, &tag, Answer::code(200));
        if !is_proceeding {
            return;
        }
        if is_initial {
            let words = reason(incoming.request).unwrap_or("the caller cancelled".into());
            self.cancel_call(incoming.now, slot, Cause::new(487, words), EndedBy::Remote);
        } else if let Some(Some(invite)) = self
            .sessions
            .update(slot, |s| s.take_reinvite_of(transaction))
        {
            self.finish_invite(incoming.now, &invite, &tag, Answer::code(487));
            let id = call_id(slot);
            self.push_event(SipEvent::ReinviteCancelled { id });
        }
    }

    pub(super) fn receive_ack(&mut self, now: Instant, request: &SipMessage<'_>) {
        let key = TransactionKey::of(request, "INVITE");
        if let Some(slot) = self.servers.find(key.hash(), |t| t.has_key(&key)) {
            let is = self.servers.update(slot, |t| t.acknowledged(now));
            if is != Some(AckIs::ForDialog) {
                return;
            }
        }
        let tag = request.to().tag().unwrap_or_default();
        let hash = Dialog::hash(request.call_id(), tag);
        let Some(slot) = self.sessions.find(hash, |s| s.has(request)) else {
            return count(&mut self.counters.stray_acks);
        };
        let cseq = request.cseq().number;
        let acked = self.sessions.update(slot, |s| s.acknowledged(cseq));
        let answer = |late_offer: bool| {
            let body = session_description(request).ok().flatten();
            body.filter(|_| late_offer).map(Box::from)
        };
        let id = call_id(slot);
        match acked {
            Some(Acked::Confirmed { late_offer }) => {
                let answer = answer(late_offer);
                self.push_event(SipEvent::Confirmed { id, answer });
                self.end_replaced(now, slot);
            }
            Some(Acked::ReinviteConfirmed { late_offer }) => {
                let answer = answer(late_offer);
                self.push_event(SipEvent::ReinviteConfirmed { id, answer });
            }
            Some(Acked::SendBye) => self.send_bye(now, slot, None),
            Some(Acked::Nothing) | None => count(&mut self.counters.stray_acks),
        }
    }

    /// Refuses a call that has no final answer, because its caller takes it back.
    pub(super) fn cancel_call(&mut self, now: Instant, slot: Slot, cause: Cause, by: EndedBy) {
        let Some(session) = self.remove_session(now, slot) else {
            return;
        };
        if let Some(invite) = session.initial_invite() {
            self.finish_invite(now, invite, session.dialog.local_tag(), Answer::code(487));
        }
        self.tell_ended(slot, cause, by);
    }

    /// Makes room for one session by forgetting one whose BYE was sent.
    pub(super) fn make_session_room(&mut self) {
        if !self.sessions.is_full() {
            return;
        }
        let mut ending: Vec<(bool, Slot)> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.is_ending())
            .map(|(slot, session)| (!session.is_closing(), slot))
            .collect();
        ending.sort_by_key(|(awaits_ack, _)| *awaits_ack);
        if let Some((_, slot)) = ending.first() {
            self.sessions.remove(*slot);
        }
    }
}

fn pending(
    incoming: &Incoming<'_, '_>,
    transaction: Slot,
    late_offer: bool,
    timer: Option<Agreed>,
) -> PendingInvite {
    let seconds = incoming.request.headers().expires().filter(|s| *s > 0);
    let patience = seconds.map_or(PATIENCE, |s| {
        Duration::from_secs(u64::from(s)).min(PATIENCE)
    });
    PendingInvite {
        transaction,
        head: incoming.head.clone(),
        cseq: incoming.request.cseq().number,
        late_offer,
        expires: Some(incoming.now + patience),
        method: rsip::Method::Invite,
        timer,
    }
}

/// The number that was dialled: user of the Request-URI, or of To where that has none.
fn callee(request: &SipMessage<'_>) -> String {
    let dialled = request.request_uri().and_then(Uri::user_text);
    let number = dialled.or_else(|| request.to().uri.user_text());
    let number = number.unwrap_or_default();
    // Parameters of a telephone number (RFC 3966) are not dialled.
    number.split(';').next().unwrap_or_default().into()
}

fn user_or_host(uri: &Uri<'_>) -> String {
    let host = uri.host.map(|host| host.to_string());
    uri.user_text().or(host).unwrap_or_default()
}
