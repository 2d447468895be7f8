//! An INVITE whose party takes the place of a call's peer (RFC 3891): the stream goes on with it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::ids::CallId;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::admission::{Invite, Turned};
use crate::gateway::ending::Ending;
use crate::gateway::negotiation::{local_media, tracks};
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::limits::RETRY_AFTER_SECONDS;
use crate::sdp::{Negotiated, OfferAnswer, Refusal, SrtpTerms};
use crate::sip::Cause;
use crate::wire::sdp::SessionDescription;

/// What the new party is answered with: the text, the state after it, and what was agreed, unless the
/// text is an offer.
type Answered = (String, OfferAnswer, Option<Negotiated>);

impl Gateway {
    /// Gives a call to the party of an INVITE that names it. SIP ends the old dialog.
    pub(in crate::gateway) fn take_over(
        &mut self,
        now: Instant,
        at: usize,
        (old, invite): (CallId, &Invite),
        outlet: &mut dyn Outlet,
    ) {
        let Some(index) = self.call_of(at, old) else {
            return self.refuse_taker(now, at, invite, 481, outlet);
        };
        let (text, negotiation, negotiated) = match self.answer_taker(now, index, invite, outlet) {
            Ok(answered) => answered,
            Err(Turned::Media(refusal)) => {
                return self.refuse_taker(now, at, invite, refusal.status(), outlet);
            }
            Err(Turned::Full(_) | Turned::Busy) => {
                return self.refuse_taker(now, at, invite, 503, outlet);
            }
        };
        let Some(trunk) = self.trunks.get_mut(at) else {
            return;
        };
        trunk.dirty = true;
        if let Err(refusal) = trunk.endpoint.accept(now, invite.id, &text) {
            let cause = Cause::new(500, refusal.to_string());
            let _ = trunk.endpoint.hangup(now, invite.id, cause);
            return;
        }
        self.drop_leg(now, index);
        let Some(call) = self.calls.touch_mut(index) else {
            return;
        };
        let was_calling = call.is_calling();
        call.sip = Some(invite.id);
        call.negotiation = negotiation;
        call.offered = negotiated.is_none();
        call.answered.get_or_insert(now);
        if let Some(out) = &mut call.outgoing {
            out.sip_status = Some(200);
        }
        call.watchdog.restart(now);
        outlet.note(
            Level::Info,
            format_args!(
                "{}: {} at {} takes it over, Call-ID {}",
                call.label, invite.caller, invite.remote, invite.call_id
            ),
        );
        match &negotiated {
            Some(negotiated) => call.agree(now, negotiated, outlet),
            None => call.status = call.status_agreed(),
        }
        self.counters.calls += u64::from(was_calling);
        self.expect_video(index);
    }

    fn answer_taker(
        &mut self,
        now: Instant,
        index: CallIndex,
        invite: &Invite,
        outlet: &mut dyn Outlet,
    ) -> Result<Answered, Turned> {
        const GONE: Turned = Turned::Full("the call is gone");
        let offer = invite.offer.as_deref().map(SessionDescription::parse);
        let offer = offer.transpose().map_err(Refusal::from);
        let offer = offer.map_err(Turned::Media)?;
        let call = self.calls.get_mut(index).ok_or(GONE)?;
        let trunk = self.trunks.get(call.trunk).ok_or(GONE)?;
        let view = self.sinks.view(now, call.sink);
        let terms = SrtpTerms {
            policy: trunk.config.srtp,
            secure: invite.secure,
        };
        let plan = trunk.plan.clone();
        let mut negotiation = OfferAnswer::new(plan.clone(), self.rng.u32());
        negotiation.set_sink(view);
        negotiation.set_protection(terms, &mut self.rng);
        negotiation.set_held(call.negotiation.is_held());
        if let Some(out) = &call.outgoing {
            negotiation.set_sends(out.has_audio, out.has_video);
        }
        let (local, mut ports) = (call.local, call.ports);
        let wanted = tracks(offer.as_ref(), &plan, view, terms);
        let opened = self.open_tracks(index, &mut ports, local, wanted, outlet);
        let call = self.calls.get_mut(index).ok_or(GONE)?;
        call.ports = ports;
        opened?;
        let media = local_media(local, &ports);
        let Some(offer) = offer else {
            let text = negotiation.offer(&media).map_err(Turned::Media)?;
            return Ok((text, negotiation, None));
        };
        let answer = negotiation.answer(&offer, &media).map_err(Turned::Media)?;
        Ok((answer.sdp, negotiation, Some(answer.negotiated)))
    }

    fn refuse_taker(
        &mut self,
        now: Instant,
        at: usize,
        invite: &Invite,
        code: u16,
        outlet: &mut dyn Outlet,
    ) {
        let Some(trunk) = self.trunks.get_mut(at) else {
            return;
        };
        trunk.dirty = true;
        let later = (code == 503).then_some(RETRY_AFTER_SECONDS);
        let _ = trunk.endpoint.reject(now, invite.id, code, "", later);
        let name = &trunk.config.name;
        outlet.note(
            Level::Warn,
            format_args!(
                "{name}: {code} to {} at {}, who would have taken a call over",
                invite.caller, invite.remote
            ),
        );
        let words = format_args!("{code}, who would have taken a call over");
        self.remember_turned(now, at, invite, (Ending::of_refusal(code), words), outlet);
    }
}
