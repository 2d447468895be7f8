//! What happens within a call that is up: hold and resume from our side, offers of ours, keys.
//!
//! A hold is an offer of ours in which we receive nothing; what we sent goes on, so that a phone keeps
//! its way open. The stream keeps its connection. The peer's own hold is the direction of its offers
//! and needs nothing here.

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::negotiation::local_media;
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::sdp::Refusal;
use crate::sip::Cause;
use crate::wire::sdp::SessionDescription;

/// Bytes that a description of ours within a call takes at most, so that its request fits a datagram.
const OFFER_BYTES: usize = 700;

impl Gateway {
    /// Puts a call on hold from our side; false when it is not up. What comes of it is in the call's
    /// status and the journal.
    pub fn hold(&mut self, now: Instant, index: CallIndex) -> bool {
        self.set_held(now, index, true)
    }

    /// Takes a call off our hold; false when it is not up.
    pub fn resume(&mut self, now: Instant, index: CallIndex) -> bool {
        self.set_held(now, index, false)
    }

    fn set_held(&mut self, now: Instant, index: CallIndex, held: bool) -> bool {
        let call = self.calls.touch_mut(index);
        let Some(call) = call.filter(|call| call.answered.is_some() && call.sip.is_some()) else {
            return false;
        };
        if call.negotiation.is_held() == held {
            return true;
        }
        call.negotiation.set_held(held);
        self.offer(now, index, false)
    }

    /// An offer of ours may go; one that says nothing new is for the session timer alone.
    pub(super) fn offer(&mut self, now: Instant, index: CallIndex, refresh: bool) -> bool {
        let Some(call) = self.calls.touch_mut(index) else {
            return false;
        };
        let (Some(sip), Some(trunk)) = (call.sip, self.trunks.get_mut(call.trunk)) else {
            return false;
        };
        call.negotiation.set_sink(self.sinks.view(now, call.sink));
        let media = local_media(call.local, &call.ports);
        let text = if refresh {
            call.negotiation.again()
        } else {
            call.negotiation.offer_within(&media, OFFER_BYTES)
        };
        trunk.dirty = true;
        let sent = text.map(|text| trunk.endpoint.reinvite(now, sip, &text));
        match sent {
            Ok(Ok(true)) => true,
            // It waits for its turn, and is made anew then.
            Ok(Ok(false)) => {
                call.negotiation.withdraw(true);
                true
            }
            Ok(Err(_)) | Err(_) => {
                call.negotiation.withdraw(false);
                false
            }
        }
    }

    /// The peer answered an offer of ours.
    pub(super) fn handle_reinvited(
        &mut self,
        now: Instant,
        index: CallIndex,
        answer: Option<&[u8]>,
        outlet: &mut dyn Outlet,
    ) {
        let Some(call) = self.calls.touch_mut(index) else {
            return;
        };
        let before = call.negotiation.current().clone();
        let description = SessionDescription::parse(answer.unwrap_or_default());
        let negotiated = description
            .map_err(Refusal::from)
            .and_then(|description| call.negotiation.accept_answer(&description));
        match negotiated {
            // The session went on unchanged.
            Ok(negotiated) if negotiated == before => {}
            Ok(negotiated) => {
                call.agree(now, &negotiated, outlet);
                self.expect_video(index);
            }
            Err(refusal) => {
                outlet.note(
                    Level::Warn,
                    format_args!("{}: the answer to our re-INVITE: {refusal}", call.label),
                );
                self.hang_up(now, index, Cause::new(488, refusal.to_string()));
            }
        }
    }

    /// The peer refused an offer of ours: all is as it was. After 491 the offer comes again.
    pub(super) fn handle_reinvite_refused(
        &mut self,
        index: CallIndex,
        code: u16,
        outlet: &mut dyn Outlet,
    ) {
        let Some(call) = self.calls.touch_mut(index) else {
            return;
        };
        call.negotiation.withdraw(code == 491);
        outlet.note(
            Level::Warn,
            format_args!("{}: our re-INVITE was refused with {code}", call.label),
        );
    }

    /// The peer wants a keyframe of the picture that we send.
    pub(super) fn handle_keyframe_wanted(&mut self, now: Instant, index: CallIndex) {
        if let Some(call) = self.calls.touch_mut(index) {
            call.session.keyframe_wanted(now);
        }
    }
}
