//! The call to the target of a transfer that the peer has asked us for, and what becomes of it.
//!
//! Nothing of the call changes before the target has answered: the media of the old dialog goes on, on
//! the same ports that the new offer names. A peer that hangs up meanwhile leaves the call to the target.

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
use crate::gateway::negotiation::local_media;
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::gateway::transfer::way::{LegWay, offer_room};
use crate::gateway::transfer::{Transfer, TransferStatus};
use crate::sdp::{OfferAnswer, Refusal, SrtpTerms, Wanted};
use crate::sip::{CallOut, Cause, EndedBy};
use crate::wire::sdp::SessionDescription;

/// Both tracks: as a call out does.
const BOTH: Wanted = Wanted {
    audio: true,
    video: true,
    ipv6: false,
    remote: None,
};

/// A call to the target of a transfer.
#[derive(Debug)]
pub(in crate::gateway) struct Leg {
    /// Its SIP session.
    pub sip: CallId,
    /// Its offer.
    negotiation: OfferAnswer,
    /// Whether the peer that asked for it is gone, so that the call stands and falls with it.
    alone: bool,
}

/// A REFER as SIP reports it.
pub(in crate::gateway) struct Referred {
    pub to: String,
    pub replaces: Option<String>,
    pub referred_by: Option<String>,
}

impl Gateway {
    /// The peer asks for a transfer.
    pub(in crate::gateway) fn handle_refer(
        &mut self,
        now: Instant,
        at: usize,
        id: CallId,
        referred: &Referred,
        outlet: &mut dyn Outlet,
    ) {
        let index = self.call_of(at, id);
        let placed = match index {
            Some(index) => self.call_target(now, index, referred, outlet),
            None => Err((481, "no such call")),
        };
        let Some(trunk) = self.trunks.get_mut(at) else {
            return;
        };
        trunk.dirty = true;
        // The peer may have hung up meanwhile, and its end is reported.
        let _ = match placed {
            Ok(_) => trunk.endpoint.refer_accept(now, id),
            Err((code, _)) => trunk.endpoint.refer_refuse(now, id, code),
        };
        let Some(call) = index.and_then(|index| self.calls.touch_mut(index)) else {
            return;
        };
        let (label, to) = (&call.label, &referred.to);
        let (status, code, leg) = match placed {
            Ok(leg) => {
                let attended = match referred.replaces {
                    Some(_) => " (attended)",
                    None => "",
                };
                let line = format_args!("{label}: the peer transfers it to {to}{attended}");
                outlet.note(Level::Info, line);
                (TransferStatus::Accepted, 0, Some(leg))
            }
            Err((code, why)) => {
                let line = format_args!("{label}: transfer to {to} refused: {code}, {why}");
                outlet.note(Level::Warn, line);
                (TransferStatus::Failed, code, None)
            }
        };
        let target = to.clone();
        call.transfer = Some(Box::new(Transfer {
            status,
            target,
            code,
            leg,
        }));
    }

    /// Calls the target of a transfer; the code and words of the refusal where it cannot be called.
    fn call_target(
        &mut self,
        now: Instant,
        index: CallIndex,
        referred: &Referred,
        outlet: &mut dyn Outlet,
    ) -> Result<Leg, (u16, &'static str)> {
        const GONE: (u16, &str) = (481, "the call is gone");
        if self.stopping {
            return Err((503, "the gateway stops"));
        }
        let call = self.calls.get_mut(index).ok_or(GONE)?;
        let sip = call.sip.ok_or(GONE)?;
        if call.is_moving() || call.answered.is_none() {
            return Err((491, "a transfer is under way"));
        }
        let trunk = self.trunks.get(call.trunk).ok_or(GONE)?;
        let way = LegWay::of(trunk, call, sip, &referred.to)?;
        let (local, mut ports) = (call.local, call.ports);
        let opened = self.open_tracks(index, &mut ports, local, BOTH, outlet);
        let call = self.calls.get_mut(index).ok_or(GONE)?;
        call.ports = ports;
        if opened.is_err() {
            return Err((503, "no media port is free"));
        }
        let trunk = self.trunks.get_mut(call.trunk).ok_or(GONE)?;
        let mut negotiation = OfferAnswer::new(trunk.plan.clone(), self.rng.u32());
        negotiation.set_sink(self.sinks.view(now, call.sink));
        let terms = SrtpTerms {
            policy: trunk.config.srtp,
            secure: way.is_secure(),
        };
        negotiation.set_protection(terms, &mut self.rng);
        negotiation.set_held(call.negotiation.is_held());
        if let Some(out) = &call.outgoing {
            negotiation.set_sends(out.has_audio, out.has_video);
        }
        let further = [
            ("Referred-By", &referred.referred_by),
            ("Replaces", &referred.replaces),
        ];
        let headers = further.into_iter().filter_map(|(name, value)| {
            let value = value.as_ref()?;
            Some((name.to_owned(), value.clone()))
        });
        let headers: Vec<(String, String)> = headers.collect();
        let room = offer_room(&way, &referred.to, &headers);
        let offer = negotiation.offer_within(&local_media(local, &ports), room);
        let sdp = offer.map_err(|_| (488, "nothing can be offered"))?;
        trunk.set_ways(&way.targets, self.config.media.address, outlet);
        let call_out = CallOut {
            display_name: trunk.config.visible_name.clone(),
            contact_user: way.contact_user,
            routes: way.routes,
            credentials: way.credentials,
            session_expires: trunk.config.session_timer.map(|timer| timer.expires),
            headers,
            in_place_of: Some(sip),
            ..CallOut::new(&referred.to, &way.from, way.targets, &sdp)
        };
        let placed = trunk.endpoint.call(now, call_out);
        let sip = placed.map_err(|_| (500, "the INVITE cannot be sent"))?;
        Ok(Leg {
            sip,
            negotiation,
            alone: false,
        })
    }

    /// The call that has this call to the target of its transfer.
    pub(in crate::gateway) fn leg_of(&self, trunk: usize, sip: CallId) -> Option<CallIndex> {
        let has_it = |call: &super::Call| call.trunk == trunk && call.has_leg(sip);
        self.calls.find(has_it)
    }

    /// The target rings, or says something of the kind.
    pub(in crate::gateway) fn leg_progress(&mut self, now: Instant, index: CallIndex, code: u16) {
        let Some(call) = self.calls.touch_mut(index) else {
            return;
        };
        let Some(transfer) = &mut call.transfer else {
            return;
        };
        transfer.status = TransferStatus::Trying;
        transfer.code = code;
        self.tell_referrer(now, index, code, "");
    }

    /// The target has answered: the call goes on with it.
    pub(in crate::gateway) fn leg_answered(
        &mut self,
        now: Instant,
        index: CallIndex,
        answer: &[u8],
        outlet: &mut dyn Outlet,
    ) {
        let Some(call) = self.calls.touch_mut(index) else {
            return;
        };
        let Some(transfer) = &mut call.transfer else {
            return;
        };
        let Some(mut leg) = transfer.leg.take() else {
            return;
        };
        let description = SessionDescription::parse(answer).map_err(Refusal::from);
        let agreed = description.and_then(|answer| leg.negotiation.accept_answer(&answer));
        let negotiated = match agreed {
            Ok(negotiated) => negotiated,
            Err(refusal) => {
                let cause = Cause::new(488, refusal.to_string());
                let (at, sip) = (call.trunk, leg.sip);
                transfer.leg = Some(leg);
                if let Some(trunk) = self.trunks.get_mut(at) {
                    trunk.dirty = true;
                    let _ = trunk.endpoint.hangup(now, sip, cause);
                }
                return;
            }
        };
        transfer.status = TransferStatus::Completed;
        transfer.code = 200;
        let target = transfer.target.clone();
        call.negotiation = leg.negotiation;
        call.offered = false;
        let former = call.sip.replace(leg.sip).filter(|_| !leg.alone);
        call.agree(now, &negotiated, outlet);
        outlet.note(
            Level::Info,
            format_args!("{}: goes on with {target}", call.label),
        );
        let trunk = self.trunks.get_mut(call.trunk);
        if let (Some(former), Some(trunk)) = (former, trunk) {
            trunk.dirty = true;
            // It may want to hear no more, or be gone.
            let _ = trunk.endpoint.refer_progress(now, former, 200, "");
            let cause = Cause::new(200, "transferred");
            let _ = trunk.endpoint.hangup(now, former, cause);
        }
        self.expect_video(index);
    }

    /// The target is elsewhere, as it says.
    pub(in crate::gateway) fn leg_redirected(
        &mut self,
        now: Instant,
        index: CallIndex,
        contact: &str,
    ) {
        let Some(call) = self.calls.touch_mut(index) else {
            return;
        };
        let Some(sip) = call.leg().map(|leg| leg.sip) else {
            return;
        };
        if let Some(trunk) = self.trunks.get_mut(call.trunk) {
            trunk.dirty = true;
            let cause = Cause::new(302, format!("redirected to {contact}"));
            let _ = trunk.endpoint.hangup(now, sip, cause);
        }
    }

    /// The call to the target is over without an answer: the call goes on as it was, where there is
    /// somebody to go on with.
    pub(in crate::gateway) fn leg_ended(
        &mut self,
        now: Instant,
        index: CallIndex,
        cause: Cause,
        by: EndedBy,
        outlet: &mut dyn Outlet,
    ) {
        let Some(call) = self.calls.touch_mut(index) else {
            return;
        };
        let Some(transfer) = &mut call.transfer else {
            return;
        };
        let alone = transfer.leg.take().is_some_and(|leg| leg.alone);
        let code = match cause.code {
            code @ 300..700 => code,
            _ => 487,
        };
        transfer.status = TransferStatus::Failed;
        transfer.code = code;
        let target = &transfer.target;
        outlet.note(
            Level::Warn,
            format_args!("{}: transfer to {target} failed: {cause}", call.label),
        );
        if alone {
            return self.call_over(now, index, cause, by, outlet);
        }
        self.tell_referrer(now, index, code, &cause.words);
    }

    /// The peer has hung up while the target is called: the call waits for that alone. False where
    /// there is no target to wait for.
    pub(in crate::gateway) fn goes_on_alone(
        &mut self,
        index: CallIndex,
        cause: &Cause,
        by: EndedBy,
        outlet: &mut dyn Outlet,
    ) -> bool {
        let call = self.calls.touch_mut(index);
        let Some(call) = call.filter(|_| by != EndedBy::Local) else {
            return false;
        };
        let leg = call.transfer.as_mut().and_then(|it| it.leg.as_mut());
        let Some(leg) = leg else {
            return false;
        };
        leg.alone = true;
        call.sip = Some(leg.sip);
        outlet.note(
            Level::Info,
            format_args!("{}: {cause}; its transfer goes on", call.label),
        );
        true
    }

    /// Takes the call to the target back: the call ends, or goes on another way.
    pub(in crate::gateway) fn drop_leg(&mut self, now: Instant, index: CallIndex) {
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        let leg = call.transfer.as_mut().and_then(|it| it.leg.take());
        let trunk = self.trunks.get_mut(call.trunk);
        if let (Some(leg), Some(trunk)) = (leg, trunk) {
            if let Some(transfer) = &mut call.transfer {
                transfer.status = TransferStatus::Failed;
            }
            trunk.dirty = true;
            let cause = Cause::new(487, "the transfer was given up");
            let _ = trunk.endpoint.hangup(now, leg.sip, cause);
        }
    }

    /// Tells the peer that asked for a transfer how it goes.
    fn tell_referrer(&mut self, now: Instant, index: CallIndex, code: u16, words: &str) {
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        let alone = call.leg().is_some_and(|leg| leg.alone);
        let sip = call.sip.filter(|_| !alone);
        if let (Some(sip), Some(trunk)) = (sip, self.trunks.get_mut(call.trunk)) {
            trunk.dirty = true;
            // It may want to hear no more.
            let _ = trunk.endpoint.refer_progress(now, sip, code, words);
        }
    }
}
