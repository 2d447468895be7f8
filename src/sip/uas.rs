//! Requests as they come (RFC 3261 section 8.2): which transaction, which dialog, which answer.

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
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_method::Method;
use crate::wire::sip_reply::ReplyHead;

use super::answer::Answer;
use super::body::unmet_require;
use super::dialog::{Arrival, Dialog};
use super::endpoint::SipEndpoint;
use super::event::{Cause, EndedBy};
use super::reason::reason;
use super::reply::Incoming;
use super::session::Session;
use super::table::Slot;
use super::transaction_server::{MergeKey, TransactionKey};

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
        // Who is only listened to may not call.
        if method == rsip::Method::Invite
            && request.to().tag().is_none()
            && !self.allows(arrival.remote.ip())
        {
            return count(&mut self.counters.source_refused);
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
        if self.absorb(&incoming) {
            return;
        }
        match method {
            Method::Known(rsip::Method::Cancel) => self.receive_cancel(&incoming),
            Method::Known(
                rsip::Method::Invite
                | rsip::Method::Bye
                | rsip::Method::Info
                | rsip::Method::Update
                | rsip::Method::PRack
                | rsip::Method::Options
                | rsip::Method::Refer
                | rsip::Method::Notify,
            ) => self.receive_served(&incoming, method),
            Method::Known(_) => self.refuse(&incoming, Answer::code(405).allow()),
            Method::Other(_) => self.refuse(&incoming, Answer::code(501).allow()),
        }
    }

    fn receive_served(&mut self, incoming: &Incoming<'_, '_>, method: Method<'_>) {
        let request = incoming.request;
        let is_invite = method == rsip::Method::Invite;
        let dialog = match request.to().tag() {
            Some(tag) => {
                let hash = Dialog::hash(request.call_id(), tag);
                let found = self.sessions.find(hash, |s| s.has(request));
                let Some(slot) = found else {
                    if let Some(slot) = self.sessions.find(hash, |s| s.has_early(request)) {
                        return self.receive_early(incoming, method, slot);
                    }
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
        if let Some(answer) = unmet_require(request.headers(), self.supported()) {
            return self.refuse(incoming, answer);
        }
        match (dialog, is_invite) {
            (Some(slot), _) => self.receive_in_dialog(incoming, method, slot),
            (None, true) => self.receive_invite(incoming),
            (None, false) if method == rsip::Method::Options => {
                count(&mut self.counters.options);
                let answer = Answer::code(200).capabilities(self.supported());
                self.answer(incoming, answer);
            }
            // Nobody is called for whom we do not talk to.
            (None, false) if method == rsip::Method::Refer => {
                self.refuse(incoming, Answer::code(603));
            }
            (None, false) => {
                count(&mut self.counters.unknown_dialog);
                self.answer(incoming, Answer::code(481));
            }
        }
    }

    fn receive_in_dialog(&mut self, incoming: &Incoming<'_, '_>, method: Method<'_>, slot: Slot) {
        let (request, arrival) = (incoming.request, incoming.arrival);
        let is_invite = method == rsip::Method::Invite;
        let gate = self.sessions.get(slot).map(Session::reinvite_gate);
        let in_order = self.sessions.update(slot, |session| {
            let in_order = session.dialog.take(request, arrival);
            if in_order {
                session.peer = session.peer.after(request.headers());
            }
            in_order
        });
        if in_order != Some(true) {
            count(&mut self.counters.out_of_order);
            return self.refuse_uncounted(incoming, Answer::code(500));
        }
        match method {
            Method::Known(rsip::Method::Bye) => self.receive_bye(incoming, slot),
            _ if is_invite => self.receive_reinvite(incoming, slot, gate),
            _ if method == rsip::Method::Options => {
                count(&mut self.counters.options);
                let answer = Answer::code(200).capabilities(self.supported());
                self.answer_once(incoming, answer);
            }
            _ if method == rsip::Method::Update => self.receive_update(incoming, slot),
            _ if method == rsip::Method::PRack => self.receive_prack(incoming, slot),
            _ if method == rsip::Method::Refer => self.receive_refer(incoming, slot),
            _ if method == rsip::Method::Notify => self.receive_notify(incoming, slot),
            _ => self.receive_info(incoming, slot),
        }
    }

    fn receive_bye(&mut self, incoming: &Incoming<'_, '_>, slot: Slot) {
        self.answer_once(incoming, Answer::code(200));
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        // A BYE of ours that waits for a NOTIFY has not gone yet.
        let holds = session.notifier.as_ref().is_some_and(|it| it.holds_bye());
        let is_closing = session.is_closing() && !holds;
        let was_ending = session.is_ending();
        let who = if session.outgoing {
            "called party"
        } else {
            "caller"
        };
        let tag: Box<str> = session.dialog.local_tag().into();
        self.drop_exchange(incoming.now, slot);
        self.end_replaced(incoming.now, slot);
        let invite = self.sessions.update(slot, Session::peer_hung_up).flatten();
        if let Some(invite) = invite {
            self.finish_invite(incoming.now, &invite, &tag, Answer::code(487));
        }
        // A BYE of ours that crossed it stays until it is answered.
        if !is_closing {
            self.forget_session(incoming.now, slot);
        }
        if !was_ending {
            let words = reason(incoming.request).unwrap_or(format!("the {who} hung up"));
            self.tell_ended(slot, Cause::new(200, words), EndedBy::Remote);
        }
    }
}
