//! Requests of the called party before its final answer, within early dialogs (RFC 3261 section 12.2.2,
//! RFC 3311 section 5.2): names and ringing are updated this way. Other media have to wait.

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
use crate::wire::sip_method::Method;

use super::answer::Answer;
use super::body::unmet_require;
use super::endpoint::SipEndpoint;
use super::reply::Incoming;
use super::session::Session;
use super::table::Slot;

impl SipEndpoint {
    /// Answers a request within an early dialog of a call of ours.
    pub(super) fn receive_early(
        &mut self,
        incoming: &Incoming<'_, '_>,
        method: Method<'_>,
        slot: Slot,
    ) {
        let request = incoming.request;
        if let Some(answer) = unmet_require(request.headers(), self.supported()) {
            return self.refuse(incoming, answer);
        }
        let offer_is_open = self.sessions.update(slot, |session| {
            let (_, calling) = session.calling_mut()?;
            let fork = calling.early_mut(request)?;
            if !fork.dialog.take(request, incoming.arrival) {
                return None;
            }
            fork.dialog.refresh_target(request);
            Some(!fork.has_answer())
        });
        let Some(Some(offer_is_open)) = offer_is_open else {
            count(&mut self.counters.out_of_order);
            return self.refuse_uncounted(incoming, Answer::code(500));
        };
        let is_empty = request.body().is_empty();
        let answer = match method {
            Method::Known(rsip::Method::Invite) => return self.refuse(incoming, Answer::code(491)),
            // There is nothing to end but the INVITE, which has its own way for that.
            Method::Known(rsip::Method::Bye) => Answer::code(481),
            Method::Known(rsip::Method::PRack | rsip::Method::Notify) => Answer::code(481),
            Method::Known(rsip::Method::Refer) => Answer::code(491),
            Method::Known(rsip::Method::Update) if is_empty => self.dialog_answer(200, slot),
            Method::Known(rsip::Method::Update) if offer_is_open => Answer::code(491),
            Method::Known(rsip::Method::Update) => Answer::code(488),
            Method::Known(rsip::Method::Info) if !is_empty => Answer::code(415),
            _ => Answer::code(200).capabilities(self.supported()),
        };
        if answer.number() >= 300 {
            count(&mut self.counters.requests_refused);
        }
        let tag: Box<str> = match self.sessions.get(slot) {
            Some(session) => session.dialog.local_tag().into(),
            None => return,
        };
        self.answer_once_as(incoming, &tag, answer);
    }
}

impl Session {
    /// Whether a request belongs to an early dialog of a call of ours.
    pub(super) fn has_early(&self, request: &crate::wire::sip_message::SipMessage<'_>) -> bool {
        self.calling()
            .is_some_and(|calling| calling.has_early(request))
    }
}
