//! What SIP reports, turned into calls: admission, offer and answer, hold, and the end.

use std::net::{IpAddr, SocketAddr};

use crate::base::codec::Track;
use crate::base::ids::CallId;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::{Call, Label, Listening, Ports, Publishing};
use crate::gateway::config::MediaAddress;
use crate::gateway::connections::User;
use crate::gateway::contain::{self, contained};
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::gateway::status::CallStatus;
use crate::gateway::watchdog::Watchdog;
use crate::limits::{PORT_ATTEMPTS, RETRY_AFTER_SECONDS};
use crate::rtmp::{Publisher, PublisherConfig};
use crate::rtp::session::{Session, SessionConfig};
use crate::sdp::{CodecPlan, LocalMedia, Negotiated, OfferAnswer, Refusal, Wanted, wanted};
use crate::sip::{Cause, SipDestination, SipEvent};
use crate::wire::rtmp_url::StreamKey;
use crate::wire::sdp::SessionDescription;

/// An INVITE as SIP reports it.
struct Invite {
    id: CallId,
    caller: String,
    callee: String,
    call_id: String,
    remote: SocketAddr,
    offer: Option<Box<[u8]>>,
}

/// Why an INVITE is not answered with 200.
enum Turned {
    /// A table, the ports or the memory are used up: 503.
    Full(&'static str),
    /// The stream name is in use: 486.
    Busy,
    /// Nothing of the offer can be relayed, or it cannot be read: 488 or 400.
    Media(Refusal),
}

impl Gateway {
    /// Handles what a trunk's endpoint reports and sends what it has to send.
    pub(super) fn drain_trunk(&mut self, now: Instant, at: usize, outlet: &mut dyn Outlet) {
        loop {
            let Some(trunk) = self.trunks.get_mut(at) else {
                return;
            };
            trunk.dirty = false;
            while let Some(transmit) = trunk.endpoint.poll_transmit() {
                match transmit.destination {
                    SipDestination::Udp(remote) => outlet.send_sip(at, remote, transmit.bytes),
                    SipDestination::Tcp { conn, remote } => {
                        let opening = trunk.opening.iter().find(|(_, to)| *to == remote);
                        let conn = conn.or(opening.map(|(conn, _)| *conn)).or_else(|| {
                            let conn = outlet.connect(&remote.ip().to_string(), remote.port())?;
                            self.connections.insert(conn, User::Sip(at));
                            // Without room the next message opens a connection of its own.
                            let _ = trunk.opening.push((conn, remote));
                            Some(conn)
                        });
                        if let Some(conn) = conn {
                            outlet.send_stream(conn, transmit.bytes);
                        }
                    }
                }
            }
            let Some(event) = trunk.endpoint.poll_event() else {
                break;
            };
            let sip = contain::call_of(&event);
            if contained(|| self.handle_sip_event(now, at, event, outlet)).is_none()
                && let Some(sip) = sip
            {
                self.crash_event(now, at, sip, outlet);
            }
        }
        self.count_refused(at, outlet);
    }

    /// Takes over what the endpoint refused by itself, for want of room for a call.
    fn count_refused(&mut self, at: usize, outlet: &mut dyn Outlet) {
        let Some(trunk) = self.trunks.get_mut(at) else {
            return;
        };
        let refused = trunk.endpoint.counters().calls_refused;
        let before = std::mem::replace(&mut trunk.refused, refused);
        let new = refused.saturating_sub(before);
        if new > 0 {
            self.counters.calls_refused += new;
            let name = &trunk.config.name;
            outlet.note(
                Level::Warn,
                format_args!("{name}: 503 to {new} calls, every call is taken"),
            );
        }
    }

    fn handle_sip_event(
        &mut self,
        now: Instant,
        at: usize,
        event: SipEvent,
        outlet: &mut dyn Outlet,
    ) {
        match event {
            SipEvent::Invite {
                id,
                caller,
                callee,
                call_id,
                remote,
                offer,
                ..
            } => {
                let invite = Invite {
                    id,
                    caller,
                    callee,
                    call_id,
                    remote,
                    offer,
                };
                self.handle_invite(now, at, invite, outlet);
            }
            SipEvent::Confirmed { id, answer } | SipEvent::ReinviteConfirmed { id, answer } => {
                if let Some(index) = self.call_of(at, id) {
                    self.handle_confirmed(now, index, answer.as_deref(), outlet);
                }
            }
            SipEvent::Reinvite { id, offer } => {
                if let Some(index) = self.call_of(at, id) {
                    self.handle_reinvite(now, index, offer.as_deref(), outlet);
                }
            }
            SipEvent::ReinviteCancelled { .. } => {}
            SipEvent::Ended { id, cause, .. } => {
                let Some(index) = self.call_of(at, id) else {
                    return;
                };
                if let Some(call) = self.calls.get_mut(index) {
                    call.status = match cause.code {
                        200 | 487 => CallStatus::Finish,
                        _ => CallStatus::Failed,
                    };
                    outlet.note(
                        Level::Info,
                        format_args!("{}: {} ({cause})", call.label, call.status),
                    );
                }
                self.end_streams(now, index, outlet);
            }
            SipEvent::Disconnect { conn } => {
                self.connections.remove(conn);
                outlet.close(conn);
            }
        }
    }

    fn handle_invite(
        &mut self,
        now: Instant,
        at: usize,
        incoming: Invite,
        outlet: &mut dyn Outlet,
    ) {
        let id = incoming.id;
        let answer = self.admit(now, at, &incoming, outlet);
        let Some(trunk) = self.trunks.get_mut(at) else {
            return;
        };
        trunk.dirty = true;
        let label = format!(
            "{} {}->{}",
            trunk.config.name, incoming.caller, incoming.callee
        );
        match answer {
            Ok((index, sdp)) => {
                // Refusals here mean that the caller went away meanwhile: its end is reported.
                let _ = trunk.endpoint.ring(now, id);
                let _ = trunk.endpoint.accept(now, id, &sdp);
                self.counters.calls += 1;
                if let Some(call) = self.calls.touch_mut(index) {
                    // Agreed on already, unless the offer is ours.
                    if call.status == CallStatus::Trying {
                        call.status = CallStatus::Established;
                    }
                    call.answered = Some(now);
                    outlet.note(
                        Level::Info,
                        format_args!(
                            "{}: {} from {} Call-ID {} stream {}",
                            call.label, call.status, incoming.remote, call.sip_call_id, call.stream
                        ),
                    );
                }
            }
            Err(Turned::Full(what)) => {
                self.counters.calls_refused += 1;
                let _ = trunk
                    .endpoint
                    .reject(now, id, 503, what, Some(RETRY_AFTER_SECONDS));
                outlet.note(Level::Warn, format_args!("{label}: 503, {what}"));
            }
            Err(Turned::Busy) => {
                self.counters.calls_refused += 1;
                let _ = trunk.endpoint.reject(now, id, 486, "Busy Here", None);
                outlet.note(
                    Level::Warn,
                    format_args!("{label}: 486, its stream name is in use"),
                );
            }
            Err(Turned::Media(refusal)) => {
                self.counters.calls_without_media += 1;
                let reason = if refusal.status() == 488 {
                    refusal.to_string()
                } else {
                    String::new()
                };
                let _ = trunk
                    .endpoint
                    .reject(now, id, refusal.status(), &reason, None);
                outlet.note(
                    Level::Warn,
                    format_args!("{label}: {}, {refusal}", refusal.status()),
                );
            }
        }
    }

    /// Makes room for a call, opens its media sockets and negotiates; the description for the 200.
    fn admit(
        &mut self,
        now: Instant,
        at: usize,
        incoming: &Invite,
        outlet: &mut dyn Outlet,
    ) -> Result<(CallIndex, String), Turned> {
        if self.stopping {
            return Err(Turned::Full("the gateway stops"));
        }
        let index = self
            .calls
            .vacant()
            .ok_or(Turned::Full("every call is taken"))?;
        let trunk = self.trunks.get(at).ok_or(Turned::Full("no such trunk"))?;
        let config = &trunk.config;
        let stream = config
            .stream_name
            .expand(&incoming.callee, &incoming.caller, &config.name);
        let (plan, trunk_name, url) = (trunk.plan.clone(), config.name.clone(), config.url.clone());
        if self
            .calls
            .iter()
            .any(|(_, call)| call.gone_by.is_none() && call.stream == stream)
        {
            return Err(Turned::Busy);
        }
        let offer = incoming
            .offer
            .as_deref()
            .map(SessionDescription::parse)
            .transpose()
            .map_err(Refusal::from)
            .map_err(Turned::Media)?;
        let mut negotiation = OfferAnswer::new(plan.clone(), self.rng.u32());
        let mut ports = Ports::default();
        let wanted = tracks(offer.as_ref(), &plan);
        let local = match self.config.media.address {
            MediaAddress::Fixed(address) => address,
            // Media may come over the other protocol version than SIP, and from another host.
            MediaAddress::Auto => {
                let sip = incoming.remote.ip();
                let media = wanted
                    .remote
                    .filter(|media| media.is_ipv6() != sip.is_ipv6());
                outlet.local_address(media.unwrap_or(sip))
            }
        };
        let opened = self.open_tracks(index, &mut ports, local, wanted, outlet);
        let media = local_media(local, &ports);
        let negotiated = match (opened, &offer) {
            (Err(turned), _) => Err(turned),
            (Ok(()), Some(offer)) => match negotiation.answer(offer, &media) {
                Ok(answer) => Ok((answer.sdp, Some(answer.negotiated))),
                Err(refusal) => Err(Turned::Media(refusal)),
            },
            (Ok(()), None) => negotiation
                .offer(&media)
                .map(|sdp| (sdp, None))
                .map_err(Turned::Media),
        };
        let (text, negotiated) = match negotiated {
            Ok(negotiated) => negotiated,
            Err(turned) => {
                self.close_tracks(index, &mut ports, outlet);
                return Err(turned);
            }
        };
        let session = SessionConfig {
            cname: format!("trunkcast@{local}"),
            epoch: self.epoch,
        };
        let session = Session::new(session, self.rng.fork());
        let expects_video = ports.video.is_some();
        let publishing = url.and_then(|url| {
            let publisher = PublisherConfig {
                url,
                stream_name: StreamKey::new(&stream)?,
                first_timestamp: 0,
                expect_video: expects_video,
            };
            let publisher = Publisher::new(now, publisher, self.rng.fork());
            Some(Box::new(Publishing {
                publisher,
                link: None,
            }))
        });
        let mut call = Box::new(Call {
            label: Label {
                number: self.next_call,
                trunk: trunk_name,
                caller: incoming.caller.clone(),
                callee: incoming.callee.clone(),
            },
            trunk: at,
            sip: Some(incoming.id),
            sip_call_id: incoming.call_id.clone(),
            status: CallStatus::Trying,
            answered: None,
            stream,
            negotiation,
            local,
            ports,
            expects_video,
            session,
            log: Box::default(),
            publishing,
            players: heapless::Vec::new(),
            offered: negotiated.is_none(),
            watchdog: Watchdog::new(now),
            listening: Listening::default(),
            gone_by: None,
            crashed: false,
        });
        if let Some(negotiated) = &negotiated {
            call.agree(now, negotiated, outlet);
        }
        self.next_call += 1;
        self.calls.insert(index, call);
        Ok((index, text))
    }

    /// The ACK: for a late offer it carries the answer.
    fn handle_confirmed(
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
    fn handle_reinvite(
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
        let result = self.renegotiate(index, offer, outlet);
        let (Some(call), Some(trunk)) = (self.calls.touch_mut(index), self.trunks.get_mut(trunk))
        else {
            return;
        };
        trunk.dirty = true;
        match result {
            Ok((text, negotiated)) => {
                // Refused when the caller took its offer back meanwhile.
                let _ = trunk.endpoint.answer_reinvite(now, sip, &text);
                if let Some(negotiated) = negotiated {
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
        let wanted = tracks(offer.as_ref(), &plan);
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
    fn open_tracks(
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

    pub(super) fn hang_up(&mut self, now: Instant, index: CallIndex, cause: Cause) {
        let Some((at, sip)) = self
            .calls
            .get_mut(index)
            .and_then(|c| Some((c.trunk, c.sip?)))
        else {
            return;
        };
        if let Some(trunk) = self.trunks.get_mut(at) {
            // A call that is over already needs no end.
            let _ = trunk.endpoint.hangup(now, sip, cause);
            trunk.dirty = true;
        }
    }

    /// Tells players whether a call's stream will have video.
    fn expect_video(&mut self, index: CallIndex) {
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        for at in &call.players {
            if let Some(viewer) = self.players.get_mut(*at) {
                viewer.player.set_expect_video(call.expects_video);
            }
        }
    }

    pub(super) fn call_of(&self, trunk: usize, sip: CallId) -> Option<CallIndex> {
        self.calls
            .find(|call| call.trunk == trunk && call.sip == Some(sip))
    }
}

/// The tracks that an offer asks for; without one, those that we shall offer.
fn tracks(offer: Option<&SessionDescription>, plan: &CodecPlan) -> Wanted {
    match offer {
        Some(offer) => wanted(offer, plan),
        None => Wanted {
            audio: true,
            video: true,
            ..Wanted::default()
        },
    }
}

fn local_media(address: IpAddr, ports: &Ports) -> LocalMedia {
    LocalMedia {
        address,
        audio_port: ports.audio,
        video_port: ports.video,
        rtcp_mux: true,
    }
}
