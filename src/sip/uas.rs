//! Requests as they come (RFC 3261 section 8.2): which transaction, which dialog, which answer.
//!
//! Requests outside calls are answered without state (section 8.2.7), the same each time they come,
//! but for a refused INVITE: it has a transaction of its own as long as there is room.

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

use crate::base::time::Instant;
use crate::limits::{SIP_SPARE_TRANSACTIONS, SIP_USER_BYTES};
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_method::Method;
use crate::wire::sip_name::HeaderName;
use crate::wire::sip_reply::ReplyHead;
use crate::wire::sip_uri::Uri;

use super::answer::{Answer, RETRY_AFTER};
use super::body::{session_description, unmet_accept, unmet_require};
use super::dialog::{Arrival, Dialog};
use super::endpoint::{SipEndpoint, call_id, count, slot};
use super::event::{Cause, EndedBy, SipEvent};
use super::session_in::{Acked, PendingInvite, ReinviteGate, Session};
use super::table::Slot;
use super::transaction_server::{AckIs, MergeKey, ServerTransaction, TransactionKey};
use super::transmit::{Printed, SipDestination};

/// A request that is no repetition.
struct Incoming<'r, 'm> {
    now: Instant,
    arrival: Arrival,
    request: &'r SipMessage<'m>,
    key: TransactionKey,
    head: ReplyHead,
}

impl Incoming<'_, '_> {
    fn destination(&self) -> SipDestination {
        self.arrival.answers_to(self.head.destination())
    }
}

impl SipEndpoint {
    pub(super) fn receive_request(
        &mut self,
        now: Instant,
        arrival: Arrival,
        method: Method<'_>,
        request: &SipMessage<'_>,
    ) {
        if method == rsip::Method::Ack {
            return self.receive_ack(now, request);
        }
        let key = TransactionKey::of(request, method.as_str());
        let head = ReplyHead::new(request.headers(), arrival.remote);
        let incoming = Incoming {
            now,
            arrival,
            request,
            key,
            head,
        };
        if self.is_retransmission(&incoming) {
            return;
        }
        match method {
            Method::Known(rsip::Method::Cancel) => self.receive_cancel(&incoming),
            Method::Known(
                rsip::Method::Invite
                | rsip::Method::Bye
                | rsip::Method::Info
                | rsip::Method::Options,
            ) => self.receive_served(&incoming, method),
            Method::Known(_) => self.refuse(&incoming, Answer::code(405).allow()),
            Method::Other(_) => self.refuse(&incoming, Answer::code(501).allow()),
        }
    }

    /// Refuses a call that has no final answer, because its caller takes it back.
    pub(super) fn cancel_call(&mut self, now: Instant, slot: Slot, cause: Cause, by: EndedBy) {
        let Some(session) = self.sessions.remove(slot) else {
            return;
        };
        if let Some(invite) = session.initial_invite() {
            self.finish_invite(now, invite, session.dialog.local_tag(), Answer::code(487));
        }
        self.tell_ended(slot, cause, by);
    }

    /// Gives an INVITE its final refusal, or a provisional answer. False when it does not fit.
    pub(super) fn finish_invite(
        &mut self,
        now: Instant,
        invite: &PendingInvite,
        to_tag: &str,
        answer: Answer,
    ) -> bool {
        let code = answer.number();
        let Some(printed) = self.print(&invite.head, to_tag, answer) else {
            return false;
        };
        let destination = self.servers.update(invite.transaction, |transaction| {
            transaction.answer(now, code, printed.clone());
            transaction.destination()
        });
        if let Some(destination) = destination {
            self.send(destination, printed);
        }
        true
    }

    /// Absorbs a request that came before, with the answer it had.
    fn is_retransmission(&mut self, incoming: &Incoming<'_, '_>) -> bool {
        let key = &incoming.key;
        let Some(slot) = self.servers.find(key.hash(), |t| t.has_key(key)) else {
            return false;
        };
        count(&mut self.counters.retransmissions);
        let destination = incoming.destination();
        let answer = self.servers.update(slot, |transaction| {
            transaction.set_destination(destination);
            transaction.retransmitted()
        });
        if let Some(answer) = answer.flatten() {
            self.send(destination, answer);
        }
        true
    }

    fn receive_served(&mut self, incoming: &Incoming<'_, '_>, method: Method<'_>) {
        let request = incoming.request;
        let is_invite = method == rsip::Method::Invite;
        let dialog = match request.to().tag() {
            Some(tag) => {
                let hash = Dialog::hash(request.call_id(), tag);
                let found = self.sessions.find(hash, |s| s.dialog.has(request));
                let Some(slot) = found else {
                    count(&mut self.counters.unknown_dialog);
                    return self.refuse_uncounted(incoming, Answer::code(481));
                };
                Some(slot)
            }
            None => None,
        };
        if is_invite && dialog.is_none() {
            let merge = MergeKey::of(request);
            if self.servers.iter().any(|(_, t)| t.is_merge_of(&merge)) {
                count(&mut self.counters.merged);
                return self.refuse_uncounted(incoming, Answer::code(482));
            }
        }
        if let Some(answer) = unmet_require(request.headers()) {
            return self.refuse(incoming, answer);
        }
        match (dialog, is_invite) {
            (Some(slot), _) => self.receive_in_dialog(incoming, method, slot),
            (None, true) => self.receive_invite(incoming),
            (None, false) if method == rsip::Method::Options => {
                count(&mut self.counters.options);
                self.answer(incoming, Answer::code(200).capabilities());
            }
            (None, false) => {
                count(&mut self.counters.unknown_dialog);
                self.answer(incoming, Answer::code(481));
            }
        }
    }

    /// A call that begins.
    fn receive_invite(&mut self, incoming: &Incoming<'_, '_>) {
        let request = incoming.request;
        let offer = match session_description(request) {
            Ok(offer) => offer.map(Box::from),
            Err(answer) => return self.refuse(incoming, answer),
        };
        if let Some(answer) = unmet_accept(request.headers()) {
            return self.refuse(incoming, answer);
        }
        let callee = callee(request);
        if callee.len() > SIP_USER_BYTES {
            return self.refuse(incoming, Answer::code(414));
        }
        let has_room = self.live < self.config.calls && self.has_event_room();
        let Some(transaction) = has_room.then(|| self.open_invite(incoming)).flatten() else {
            count(&mut self.counters.calls_refused);
            let answer = Answer::code(503).retry_after(Some(RETRY_AFTER));
            return self.refuse_uncounted(incoming, answer);
        };
        let tag = self.rng.token();
        let local = self.local_for(incoming.arrival.remote.ip());
        let dialog = Dialog::new(request, &tag, incoming.arrival, local);
        let invite = pending(incoming, transaction, offer.is_none());
        self.make_session_room();
        let hash = Dialog::hash(request.call_id(), &tag);
        let Ok(slot) = self.sessions.insert(hash, Session::new(dialog, invite)) else {
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
            call_id: request.call_id().into(),
            remote: incoming.arrival.remote,
            offer,
        });
    }

    fn receive_in_dialog(&mut self, incoming: &Incoming<'_, '_>, method: Method<'_>, slot: Slot) {
        let (request, arrival) = (incoming.request, incoming.arrival);
        let is_invite = method == rsip::Method::Invite;
        let gate = self.sessions.get(slot).map(Session::reinvite_gate);
        let in_order = self
            .sessions
            .update(slot, |s| s.dialog.take(request, arrival));
        if in_order != Some(true) {
            count(&mut self.counters.out_of_order);
            return self.refuse_uncounted(incoming, Answer::code(500));
        }
        match method {
            Method::Known(rsip::Method::Bye) => self.receive_bye(incoming, slot),
            _ if is_invite => self.receive_reinvite(incoming, slot, gate),
            _ if method == rsip::Method::Options => {
                count(&mut self.counters.options);
                self.answer_once(incoming, Answer::code(200).capabilities());
            }
            _ => self.answer_once(incoming, Answer::code(200)),
        }
    }

    fn receive_reinvite(
        &mut self,
        incoming: &Incoming<'_, '_>,
        slot: Slot,
        gate: Option<ReinviteGate>,
    ) {
        let later = Answer::code(500).retry_after(Some(self.rng.below(10).saturating_add(1)));
        match gate {
            Some(ReinviteGate::Open) => {}
            Some(ReinviteGate::Overlapping) => return self.refuse_uncounted(incoming, later),
            Some(ReinviteGate::Pending) => {
                return self.refuse_uncounted(incoming, Answer::code(491));
            }
            Some(ReinviteGate::Over) | None => {
                count(&mut self.counters.unknown_dialog);
                return self.refuse_uncounted(incoming, Answer::code(481));
            }
        }
        let offer = match session_description(incoming.request) {
            Ok(offer) => offer.map(Box::from),
            Err(answer) => return self.refuse_uncounted(incoming, answer),
        };
        let has_room = self.has_event_room();
        let Some(transaction) = has_room.then(|| self.open_invite(incoming)).flatten() else {
            return self.refuse_uncounted(incoming, later);
        };
        let invite = pending(incoming, transaction, offer.is_none());
        let id = call_id(slot);
        self.servers.update(transaction, |t| t.set_call(id));
        self.sessions.update(slot, |session| {
            session.dialog.refresh_target(incoming.request);
            session.reinvited(invite);
        });
        self.try_invite(incoming, transaction);
        self.push_event(SipEvent::Reinvite { id, offer });
    }

    fn receive_bye(&mut self, incoming: &Incoming<'_, '_>, slot: Slot) {
        self.answer_once(incoming, Answer::code(200));
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        let (was_ending, is_closing) = (session.is_ending(), session.is_closing());
        let tag: Box<str> = session.dialog.local_tag().into();
        let invite = self.sessions.update(slot, Session::peer_hung_up).flatten();
        if let Some(invite) = invite {
            self.finish_invite(incoming.now, &invite, &tag, Answer::code(487));
        }
        // A BYE of ours that crossed it stays until it is answered.
        if !is_closing {
            self.forget_session(slot);
        }
        if !was_ending {
            let words = reason(incoming.request).unwrap_or("the caller hung up".into());
            self.tell_ended(slot, Cause::new(200, words), EndedBy::Remote);
        }
    }

    fn receive_cancel(&mut self, incoming: &Incoming<'_, '_>) {
        let invite = TransactionKey::of(incoming.request, "INVITE");
        let found = self.servers.find(invite.hash(), |t| t.has_key(&invite));
        let Some(transaction) = found.and_then(|slot| self.servers.get(slot)) else {
            count(&mut self.counters.unknown_dialog);
            return self.answer(incoming, Answer::code(481));
        };
        let is_proceeding = transaction.is_proceeding();
        let call = transaction.call().map(slot);
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
        } else if let Some(Some(invite)) = self.sessions.update(slot, Session::take_reinvite) {
            self.finish_invite(incoming.now, &invite, &tag, Answer::code(487));
            let id = call_id(slot);
            self.push_event(SipEvent::ReinviteCancelled { id });
        }
    }

    fn receive_ack(&mut self, now: Instant, request: &SipMessage<'_>) {
        let key = TransactionKey::of(request, "INVITE");
        if let Some(slot) = self.servers.find(key.hash(), |t| t.has_key(&key)) {
            let is = self.servers.update(slot, |t| t.acknowledged(now));
            if is != Some(AckIs::ForDialog) {
                return;
            }
        }
        let tag = request.to().tag().unwrap_or_default();
        let hash = Dialog::hash(request.call_id(), tag);
        let Some(slot) = self.sessions.find(hash, |s| s.dialog.has(request)) else {
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
            }
            Some(Acked::ReinviteConfirmed { late_offer }) => {
                let answer = answer(late_offer);
                self.push_event(SipEvent::ReinviteConfirmed { id, answer });
            }
            Some(Acked::SendBye) => self.send_bye(now, slot, None),
            Some(Acked::Nothing) | None => count(&mut self.counters.stray_acks),
        }
    }

    /// Refuses a request, and counts it as one that led to nothing.
    fn refuse(&mut self, incoming: &Incoming<'_, '_>, answer: Answer) {
        count(&mut self.counters.requests_refused);
        self.refuse_uncounted(incoming, answer);
    }

    fn refuse_uncounted(&mut self, incoming: &Incoming<'_, '_>, answer: Answer) {
        let method = incoming.request.method();
        if method.is_some_and(|method| method == rsip::Method::Invite) {
            self.refuse_invite(incoming, answer);
        } else {
            self.answer(incoming, answer);
        }
    }

    /// Refuses an INVITE on sight. Its transaction repeats the answer until the ACK comes; without
    /// room for one the answer goes once for every time that the INVITE comes.
    fn refuse_invite(&mut self, incoming: &Incoming<'_, '_>, answer: Answer) {
        let (code, destination) = (answer.number(), incoming.destination());
        let tag = self.stateless_tag(incoming.request.headers());
        let Some(printed) = self.print(&incoming.head, &tag, answer) else {
            return;
        };
        let refusals = self.servers.iter().filter(|(_, t)| t.is_bare_refusal());
        if refusals.count() < SIP_SPARE_TRANSACTIONS
            && let Some(slot) = self.open_invite(incoming)
        {
            let now = incoming.now;
            self.servers
                .update(slot, |t| t.answer(now, code, printed.clone()));
        }
        self.send(destination, printed);
    }

    /// Answers without state.
    fn answer(&mut self, incoming: &Incoming<'_, '_>, answer: Answer) {
        let tag = self.stateless_tag(incoming.request.headers());
        if let Some(printed) = self.print(&incoming.head, &tag, answer) {
            self.send(incoming.destination(), printed);
        }
    }

    /// Answers once, and the same again to repetitions.
    fn answer_once(&mut self, incoming: &Incoming<'_, '_>, answer: Answer) {
        let tag = self.stateless_tag(incoming.request.headers());
        self.answer_once_as(incoming, &tag, answer);
    }

    fn answer_once_as(&mut self, incoming: &Incoming<'_, '_>, tag: &str, answer: Answer) {
        let Some(printed) = self.print(&incoming.head, tag, answer) else {
            return;
        };
        let destination = incoming.destination();
        self.send(destination, printed.clone());
        // Over a reliable transport nothing is repeated (timer J is zero).
        if !destination.is_reliable() && self.make_transaction_room() {
            self.remember_answer(incoming, destination, printed);
        }
    }

    fn remember_answer(
        &mut self,
        incoming: &Incoming<'_, '_>,
        destination: SipDestination,
        printed: Printed,
    ) {
        let (now, key) = (incoming.now, incoming.key.clone());
        let hash = key.hash();
        let transaction = ServerTransaction::answered(now, key, destination, printed);
        // Room was made.
        let _ = self.servers.insert(hash, transaction);
    }

    /// The transaction of an INVITE, when there is room for it.
    fn open_invite(&mut self, incoming: &Incoming<'_, '_>) -> Option<Slot> {
        if !self.make_transaction_room() {
            return None;
        }
        let (key, merge) = (incoming.key.clone(), MergeKey::of(incoming.request));
        let hash = key.hash();
        let transaction = ServerTransaction::invite(key, merge, incoming.destination());
        self.servers.insert(hash, transaction).ok()
    }

    /// Sends the 100 of an INVITE.
    fn try_invite(&mut self, incoming: &Incoming<'_, '_>, transaction: Slot) {
        let Some(printed) = self.print(&incoming.head, "", Answer::code(100)) else {
            return;
        };
        let now = incoming.now;
        self.servers
            .update(transaction, |t| t.answer(now, 100, printed.clone()));
        self.send(incoming.destination(), printed);
    }

    /// Makes room for one transaction by dropping the one that is worth least.
    fn make_transaction_room(&mut self) -> bool {
        if !self.servers.is_full() {
            return true;
        }
        let worth = self
            .servers
            .iter()
            .filter_map(|(slot, t)| Some((t.worth()?, slot)));
        let Some((_, least)) = worth.min_by_key(|(worth, _)| *worth) else {
            return false;
        };
        count(&mut self.counters.transactions_evicted);
        self.servers.remove(least).is_some()
    }

    /// Makes room for one session by forgetting one whose BYE was sent.
    fn make_session_room(&mut self) {
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

fn pending(incoming: &Incoming<'_, '_>, transaction: Slot, late_offer: bool) -> PendingInvite {
    let seconds = incoming.request.headers().expires().filter(|s| *s > 0);
    PendingInvite {
        transaction,
        head: incoming.head.clone(),
        cseq: incoming.request.cseq().number,
        late_offer,
        expires: seconds.map(|s| incoming.now + Duration::from_secs(u64::from(s))),
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

/// The words of a Reason header (RFC 3326).
fn reason(request: &SipMessage<'_>) -> Option<String> {
    let reason = request.headers().text(HeaderName::Reason)?;
    let text = reason.split_once("text=").map(|(_, text)| text)?;
    let words = match text.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => text.split([';', ',']).next()?.trim(),
    };
    (!words.is_empty()).then(|| words.into())
}
