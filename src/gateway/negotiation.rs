//! Offer and answer within a call (RFC 3264): the answer in an ACK, re-INVITEs, and the ports that
//! tracks need.

use std::net::IpAddr;

use crate::base::codec::Track;
use crate::base::sink::SinkView;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::admission::Turned;
use crate::gateway::call::Ports;
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::limits::PORT_ATTEMPTS;
use crate::sdp::{CodecPlan, LocalMedia, Negotiated, Refusal, SrtpTerms, Wanted, wanted};
use crate::sip::Cause;
use crate::wire::sdp::SessionDescription;

impl Gateway {
    /// The ACK: for a late offer it carries the answer.
    pub(super) fn handle_confirmed(
        &mut self,
        now: Instant,
        index: CallIndex,
        answer: Option<&[u8]>,
        outlet: &mut dyn Outlet,
    ) {
        let Some(call) = self.calls.touch_mut(index) else {
            return;
        };
        if !std::mem::take(&mut call.offered) {
            return;
        }
        let description = SessionDescription::parse(answer.unwrap_or_default());
        let negotiated = description
            .map_err(Refusal::from)
            .and_then(|description| call.negotiation.accept_answer(&description));
        match negotiated {
            Ok(negotiated) => {
                call.agree(now, &negotiated, outlet);
                self.expect_video(index);
            }
            Err(refusal) => {
                outlet.note(
                    Level::Warn,
                    format_args!("{}: the answer to our offer: {refusal}", call.label),
                );
                self.hang_up(now, index, Cause::new(488, refusal.to_string()));
            }
        }
    }

    /// A new offer within the call, or the wish for one of ours.
    pub(super) fn handle_reinvite(
        &mut self,
        now: Instant,
        index: CallIndex,
        offer: Option<&[u8]>,
        outlet: &mut dyn Outlet,
    ) {
        let Some((trunk, sip)) = self
            .calls
            .get_mut(index)
            .and_then(|c| Some((c.trunk, c.sip?)))
        else {
            return;
        };
        let before = self.calls.get_mut(index);
        let before = before.map(|call| call.negotiation.current().clone());
        let result = self.renegotiate(now, index, offer, outlet);
        let (Some(call), Some(trunk)) = (self.calls.touch_mut(index), self.trunks.get_mut(trunk))
        else {
            return;
        };
        trunk.dirty = true;
        match result {
            Ok((text, negotiated)) => {
                // Refused when the caller took its offer back meanwhile.
                let _ = trunk.endpoint.answer_reinvite(now, sip, &text);
                // The same again, as refreshes are, leaves the media alone.
                if let Some(negotiated) = negotiated.filter(|new| Some(new) != before.as_ref()) {
                    call.agree(now, &negotiated, outlet);
                    self.expect_video(index);
                }
            }
            Err(Turned::Media(refusal)) => {
                let _ = trunk.endpoint.refuse_reinvite(now, sip, refusal.status());
                outlet.note(
                    Level::Warn,
                    format_args!("{}: re-INVITE refused: {refusal}", call.label),
                );
            }
            Err(Turned::Full(what)) => {
                let _ = trunk.endpoint.refuse_reinvite(now, sip, 503);
                outlet.note(
                    Level::Warn,
                    format_args!("{}: re-INVITE refused: {what}", call.label),
                );
            }
            Err(Turned::Busy) => {
                let _ = trunk.endpoint.refuse_reinvite(now, sip, 488);
            }
        }
    }

    fn renegotiate(
        &mut self,
        now: Instant,
        index: CallIndex,
        offer: Option<&[u8]>,
        outlet: &mut dyn Outlet,
    ) -> Result<(String, Option<Negotiated>), Turned> {
        const GONE: Turned = Turned::Full("the call is gone");
        let offer = offer
            .map(SessionDescription::parse)
            .transpose()
            .map_err(|error| Turned::Media(error.into()))?;
        let call = self.calls.get_mut(index).ok_or(GONE)?;
        let (local, mut ports) = (call.local, call.ports);
        let plan = self
            .trunks
            .get(call.trunk)
            .map(|trunk| trunk.plan.clone())
            .ok_or(GONE)?;
        let view = self.sinks.view(now, call.sink);
        call.negotiation.set_sink(view);
        let terms = call.negotiation.terms();
        let wanted = tracks(offer.as_ref(), &plan, view, terms);
        let opened = self.open_tracks(index, &mut ports, local, wanted, outlet);
        let call = self.calls.get_mut(index).ok_or(GONE)?;
        call.ports = ports;
        opened?;
        let media = local_media(local, &ports);
        let Some(offer) = offer else {
            let text = call.negotiation.offer(&media).map_err(Turned::Media)?;
            call.offered = true;
            return Ok((text, None));
        };
        let answer = call
            .negotiation
            .answer(&offer, &media)
            .map_err(Turned::Media)?;
        Ok((answer.sdp, Some(answer.negotiated)))
    }

    /// Leases and binds ports for the tracks that are wanted and have none.
    pub(super) fn open_tracks(
        &mut self,
        index: CallIndex,
        ports: &mut Ports,
        local: IpAddr,
        wanted: Wanted,
        outlet: &mut dyn Outlet,
    ) -> Result<(), Turned> {
        for (track, is_wanted) in [(Track::Audio, wanted.audio), (Track::Video, wanted.video)] {
            if !is_wanted || ports.get(track).is_some() {
                continue;
            }
            let mut opened = None;
            for _ in 0..PORT_ATTEMPTS {
                let Some(port) = self.ports.lease() else {
                    break;
                };
                match outlet.open_media(index, track, local, port) {
                    Ok(()) => {
                        opened = Some(port);
                        break;
                    }
                    // Another program has it; leave it leased for a while by going round.
                    Err(error) => {
                        self.ports.release(port);
                        outlet.note(Level::Warn, format_args!("media port {port}: {error}"));
                    }
                }
            }
            let port = opened.ok_or(Turned::Full("no media port is free"))?;
            *ports.get_mut(track) = Some(port);
        }
        Ok(())
    }

    pub(super) fn close_tracks(
        &mut self,
        index: CallIndex,
        ports: &mut Ports,
        outlet: &mut dyn Outlet,
    ) {
        for track in [Track::Audio, Track::Video] {
            if let Some(port) = ports.get_mut(track).take() {
                outlet.close_media(index, track);
                self.ports.release(port);
            }
        }
    }

    /// Tells players whether a call's stream will have video.
    pub(super) fn expect_video(&mut self, index: CallIndex) {
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        for at in &call.players {
            if let Some(viewer) = self.players.get_mut(*at) {
                viewer.player.set_expect_video(call.expects_video);
                viewer.player.set_video_codec(call.video_codec);
            }
        }
    }
}

/// The tracks that an offer asks for; without one, those that we shall offer.
pub(super) fn tracks(
    offer: Option<&SessionDescription>,
    plan: &CodecPlan,
    sink: SinkView,
    terms: SrtpTerms,
) -> Wanted {
    match offer {
        Some(offer) => wanted(offer, plan, sink, terms),
        None => Wanted {
            audio: true,
            video: true,
            ..Wanted::default()
        },
    }
}

/// Our side of an offer or answer.
pub(super) fn local_media(address: IpAddr, ports: &Ports) -> LocalMedia {
    LocalMedia {
        address,
        audio_port: ports.audio,
        video_port: ports.video,
        rtcp_mux: true,
    }
}
