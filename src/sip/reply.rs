//! Answers to requests, with a transaction that remembers them or without.
//!
//! A refused INVITE has a transaction of its own as long as there is room. Requests within calls are
//! answered once and the answer repeated; others are answered without state (RFC 3261 section 8.2.7),
//! the same each time they come.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::counter::count;
use crate::base::time::Instant;
use crate::limits::SIP_SPARE_TRANSACTIONS;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_reply::ReplyHead;

use super::answer::Answer;
use super::dialog::Arrival;
use super::endpoint::SipEndpoint;
use super::session::{PendingInvite, Session};
use super::table::Slot;
use super::transaction_server::{MergeKey, ServerTransaction, TransactionKey};
use super::transmit::{Printed, SipDestination};

/// A request, how it came, and what tells its transaction.
pub(super) struct Incoming<'r, 'm> {
    pub(super) now: Instant,
    pub(super) arrival: Arrival,
    pub(super) request: &'r SipMessage<'m>,
    pub(super) key: TransactionKey,
    pub(super) head: ReplyHead,
}

impl Incoming<'_, '_> {
    pub(super) fn destination(&self) -> SipDestination {
        self.arrival.answers_to(self.head.destination())
    }
}

impl SipEndpoint {
    /// Absorbs a request that came before, with the answer it had; false for a new one.
    pub(super) fn absorb(&mut self, incoming: &Incoming<'_, '_>) -> bool {
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

    /// Refuses the request of theirs with an offer, or the re-INVITE, that waits in a call that ends,
    /// and takes a re-INVITE of ours back: one that was answered provisionally has no timer by itself.
    pub(super) fn drop_exchange(&mut self, now: Instant, slot: Slot) {
        let dropped = self.sessions.update(slot, |session| {
            session.waiting = None;
            let tag: Box<str> = session.dialog.local_tag().into();
            (session.exchange.our_invite(), session.take_reinvite(), tag)
        });
        let Some((ours, theirs, tag)) = dropped else {
            return;
        };
        if let Some(invite) = ours {
            self.take_invite_back(now, invite);
        }
        if let Some(pending) = theirs {
            let is_invite = pending.method == rsip::Method::Invite;
            let code = if is_invite { 487 } else { 481 };
            self.finish_invite(now, &pending, &tag, Answer::code(code));
        }
        self.drop_refer(now, slot);
    }

    /// Takes a session out of its table. Of its peer's requests only the INVITE that began it may be
    /// without an answer afterwards.
    pub(super) fn remove_session(&mut self, now: Instant, slot: Slot) -> Option<Session> {
        self.drop_exchange(now, slot);
        self.sessions.remove(slot)
    }

    /// Gives an INVITE its final refusal, or a provisional answer. False when it does not fit.
    pub(super) fn finish_invite(
        &mut self,
        now: Instant,
        invite: &PendingInvite,
        to_tag: &str,
        answer: Answer,
    ) -> bool {
        self.answer_later(now, invite.transaction, &invite.head, to_tag, answer)
    }

    /// Answers a request whose transaction waits for that. False when it does not fit; of a refusal or a
    /// request without a session description the transaction is over all the same.
    pub(super) fn answer_later(
        &mut self,
        now: Instant,
        transaction: Slot,
        head: &ReplyHead,
        to_tag: &str,
        answer: Answer,
    ) -> bool {
        let code = answer.number();
        let Some(printed) = self.print(head, to_tag, answer) else {
            if code >= 200 {
                self.servers.remove(transaction);
            }
            return false;
        };
        let destination = self.servers.update(transaction, |transaction| {
            transaction.answer(now, code, printed.clone());
            transaction.destination()
        });
        if let Some(destination) = destination {
            self.send(destination, printed);
        }
        true
    }

    /// Refuses a request, and counts it as one that led to nothing.
    pub(super) fn refuse(&mut self, incoming: &Incoming<'_, '_>, answer: Answer) {
        count(&mut self.counters.requests_refused);
        self.refuse_uncounted(incoming, answer);
    }

    pub(super) fn refuse_uncounted(&mut self, incoming: &Incoming<'_, '_>, answer: Answer) {
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
    pub(super) fn answer(&mut self, incoming: &Incoming<'_, '_>, answer: Answer) {
        let tag = self.stateless_tag(incoming.request.headers());
        if let Some(printed) = self.print(&incoming.head, &tag, answer) {
            self.send(incoming.destination(), printed);
        }
    }

    /// Answers once, and the same again to repetitions.
    pub(super) fn answer_once(&mut self, incoming: &Incoming<'_, '_>, answer: Answer) {
        let tag = self.stateless_tag(incoming.request.headers());
        self.answer_once_as(incoming, &tag, answer);
    }

    pub(super) fn answer_once_as(
        &mut self,
        incoming: &Incoming<'_, '_>,
        tag: &str,
        answer: Answer,
    ) {
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
    pub(super) fn open_invite(&mut self, incoming: &Incoming<'_, '_>) -> Option<Slot> {
        if !self.make_transaction_room() {
            return None;
        }
        let (key, merge) = (incoming.key.clone(), MergeKey::of(incoming.request));
        let hash = key.hash();
        let transaction = ServerTransaction::invite(key, merge, incoming.destination());
        self.servers.insert(hash, transaction).ok()
    }

    /// The transaction of another request that is not answered at once, when there is room for it.
    pub(super) fn open_request(&mut self, incoming: &Incoming<'_, '_>) -> Option<Slot> {
        if !self.make_transaction_room() {
            return None;
        }
        let key = incoming.key.clone();
        let hash = key.hash();
        let transaction = ServerTransaction::other(key, incoming.destination());
        self.servers.insert(hash, transaction).ok()
    }

    /// Sends the 100 of an INVITE.
    pub(super) fn try_invite(&mut self, incoming: &Incoming<'_, '_>, transaction: Slot) {
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
}
