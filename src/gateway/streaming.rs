//! From media to streams: what a call and its readers have to send after each turn.

use crate::base::codec::Track;
use crate::base::frame_log::FrameLog;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::{Call, shown_stream};
use crate::gateway::connections::User;
use crate::gateway::contain::contained;
use crate::gateway::ending::Ending;
use crate::gateway::outlet::{CallIndex, Level, MediaPort, Outlet};
use crate::gateway::publishing::Surroundings;
use crate::gateway::watchdog::Watch;
use crate::rtmp::PlayerEvent;
use crate::rtp::session::SessionEvent;
use crate::sip::{Cause, EndedBy};

/// Bytes of the largest packet that a session makes: reports and silence.
const MADE_PACKET_BYTES: usize = 512;

impl Gateway {
    /// Sends everything that one call has to send, and lets it go when it is over.
    pub(super) fn drain_call(&mut self, now: Instant, index: CallIndex, outlet: &mut dyn Outlet) {
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        let mut crashed = call.crashed;
        if !crashed {
            let done = contained(|| {
                self.drive_call(now, index, outlet);
                self.drain_session(now, index, outlet);
                self.start_publishing(now, index);
                self.drain_publisher(now, index, outlet);
            });
            crashed = done.is_none();
        }
        if crashed {
            self.crash_call(now, index, outlet);
            return;
        }
        self.measure(now, index);
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        for at in call.players.clone() {
            self.drain_player(now, at, outlet);
        }
        self.pump_injection(now, index, outlet);
        self.drain_outputs(now, index, outlet);
        let needed = self.needed_by_readers(index);
        let (Some(call), Some(needed)) = (self.calls.get_mut(index), needed) else {
            return;
        };
        let needed = call.watched_from(now, needed);
        call.log.release_before(needed);
        self.tell_hooks(now, index, false, outlet);
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        if call
            .gone_by
            .is_some_and(|by| now >= by || call.is_flushed())
        {
            self.release_call(now, index, outlet);
            return;
        }
        let trunk = self.trunks.get_mut(call.trunk);
        let patience = trunk.as_ref().and_then(|t| t.config.media_timeout);
        let is_due = call.watched_until(patience).is_some_and(|at| at <= now);
        match call.watch(now, patience) {
            Watch::Gone if is_due => {
                let seconds = patience.unwrap_or_default().as_secs();
                let words = format!("RTP Timeout: no media for {seconds} s");
                call.ending = Some(Ending::NoMedia);
                let cause = Cause::new(408, words);
                if !self.hang_up(now, index, cause.clone()) {
                    self.remember_call(now, index, (&cause, EndedBy::Silence), outlet);
                    self.end_streams(now, index, outlet);
                }
                return;
            }
            Watch::Ask if is_due => {
                if let (Some(sip), Some(trunk)) = (call.sip, trunk)
                    && !trunk.endpoint.has_session_timer(sip)
                {
                    // Refused while an earlier question is open.
                    let _ = trunk.endpoint.probe(now, sip);
                    trunk.dirty = true;
                }
            }
            Watch::Gone | Watch::Ask | Watch::Nothing => {}
        }
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        let watched = call.watched_until(patience);
        let ends = Instant::earliest(watched, call.gone_by);
        let ends = Instant::earliest(ends, call.calling_until());
        let outputs = call.outputs.as_ref().and_then(|it| it.poll_timeout());
        let ends = Instant::earliest(ends, outputs);
        let injected = call.injection.as_ref().and_then(|it| it.poll_timeout());
        let ends = Instant::earliest(ends, injected);
        let deadline = Instant::earliest(
            Instant::earliest(call.session.poll_timeout(), ends),
            call.publishing
                .as_ref()
                .and_then(|publishing| publishing.publisher.poll_timeout()),
        );
        self.calls.set_deadline(index, deadline);
    }

    /// The oldest position of a call's log that one of its readers needs.
    pub(super) fn needed_by_readers(&self, index: CallIndex) -> Option<u64> {
        let outputs = self.outputs_need(index);
        let call = self.calls.get(index)?;
        let players = call
            .players
            .iter()
            .filter_map(|at| Some(self.players.get(*at)?.player.position()));
        Some(call.needed_from(players.chain(outputs)))
    }

    fn drain_session(&mut self, now: Instant, index: CallIndex, outlet: &mut dyn Outlet) {
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        let mut bytes = [0; MADE_PACKET_BYTES];
        while let Some(transmit) = call.session.poll_transmit(now, &mut bytes) {
            let port = if transmit.rtcp {
                MediaPort::Rtcp
            } else {
                MediaPort::Rtp
            };
            let made = bytes.get(..transmit.len).unwrap_or_default();
            outlet.send_media(index, transmit.track, port, transmit.to, made);
        }
        let (trunk, sip) = (call.trunk, call.sip);
        let mut keyframe_wanted = false;
        while let Some(call) = self.calls.get_mut(index) {
            let Some(event) = call.session.poll_event() else {
                break;
            };
            match event {
                SessionEvent::KeyframeByInfo => {
                    if let (Some(sip), Some(trunk)) = (sip, self.trunks.get_mut(trunk)) {
                        // Refused while an earlier one is unanswered: it is asked again anyway.
                        let _ = trunk.endpoint.info_keyframe(now, sip);
                        trunk.dirty = true;
                    }
                }
                SessionEvent::Bye { track } => {
                    outlet.note(
                        Level::Info,
                        format_args!("{}: {track} ended (RTCP BYE)", call.label),
                    );
                }
                SessionEvent::KeyframeWanted => keyframe_wanted = true,
                // Which key is not said: it may be part of a secret number.
                SessionEvent::TelephoneEvent(event) => {
                    outlet.note(
                        Level::Info,
                        format_args!("{}: a key was pressed", call.label),
                    );
                    if let Some(key) = event.key() {
                        self.tell_dtmf(now, index, key, "RFC2833");
                    }
                }
            }
        }
        if keyframe_wanted {
            self.ask_for_injected_keyframe(now, index);
        }
    }

    fn drain_publisher(&mut self, now: Instant, index: CallIndex, outlet: &mut dyn Outlet) {
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        let Call {
            publishing,
            log,
            session,
            label,
            stream,
            stream_is_key,
            sink,
            ..
        } = call;
        let stream = shown_stream(stream, *stream_is_key);
        let Some(publishing) = publishing else { return };
        let mut around = Surroundings {
            log,
            connections: &mut self.connections,
            sinks: &mut self.sinks,
            gather: &mut self.gather,
            user: User::Publisher(index),
            sink: *sink,
            label,
            stream,
        };
        if publishing.drive(now, &mut around, outlet) {
            session.request_keyframe(now);
        }
        call.look_left_out(outlet);
    }

    /// Sends what one player is due, and attaches it to the stream it asks for.
    pub(super) fn drain_player(&mut self, now: Instant, at: usize, outlet: &mut dyn Outlet) {
        let crashed = self.players.get(at).is_some_and(|viewer| viewer.crashed);
        if crashed || contained(|| self.serve_player(now, at, outlet)).is_none() {
            self.crash_player(at, outlet);
        }
    }

    fn serve_player(&mut self, now: Instant, at: usize, outlet: &mut dyn Outlet) {
        while let Some(event) = self.players.get_mut(at).and_then(|v| v.player.poll_event()) {
            match event {
                PlayerEvent::Play { name, .. } => self.join(now, at, &name, outlet),
                PlayerEvent::Stopped => self.leave(at),
                PlayerEvent::KeyframeWanted => {
                    let call = self.players.get(at).and_then(|viewer| viewer.call);
                    if let Some(call) = call.and_then(|index| self.calls.touch_mut(index)) {
                        call.session.request_keyframe(now);
                    }
                }
                PlayerEvent::LeftOut(codec) => {
                    if let Some(viewer) = self.players.get(at) {
                        let (track, from) = (codec.track(), viewer.remote);
                        let line = format_args!(
                            "player {from}: {track} left out: the player lists no {codec}"
                        );
                        outlet.note(Level::Info, line);
                    }
                }
                PlayerEvent::Close { reason } => {
                    let Some(viewer) = self.players.get(at) else {
                        return;
                    };
                    outlet.note(
                        Level::Info,
                        format_args!("player {}: {reason}", viewer.remote),
                    );
                    let conn = viewer.link.conn;
                    self.connections.remove(conn);
                    outlet.close(conn);
                    self.forget_player(at);
                }
            }
        }
        let Some(viewer) = self.players.get_mut(at) else {
            return;
        };
        let call = viewer.call.and_then(|index| self.calls.get_mut(index));
        let log: &FrameLog = call.map_or(&self.nothing, |call| &call.log);
        viewer
            .link
            .pump(now, &mut viewer.player, log, &mut self.gather, outlet);
        if viewer.player.has_event() {
            self.touch_player(at);
        }
    }

    /// Attaches a player to the stream of a name, if there is one.
    fn join(&mut self, now: Instant, at: usize, name: &str, outlet: &mut dyn Outlet) {
        let Some(viewer) = self.players.get_mut(at) else {
            return;
        };
        let index = self
            .calls
            .find(|call| call.is_live() && call.stream == name);
        let call = index.and_then(|index| self.calls.touch_mut(index));
        let joined = call.and_then(|call| call.players.push(at).ok().map(|()| call));
        match joined {
            Some(call) => {
                viewer.call = index;
                viewer.player.set_video_codec(call.video_codec);
                viewer.player.start(now, &call.log, call.expects_video);
                outlet.note(
                    Level::Info,
                    format_args!(
                        "{}: {} plays {}",
                        call.label,
                        viewer.remote,
                        call.shown_stream()
                    ),
                );
            }
            None => {
                viewer.player.not_found(now);
                let line = format_args!("player {}: no stream {name} is live", viewer.remote);
                outlet.note(Level::Info, line);
            }
        }
    }

    /// Takes a player out of the call whose stream it played.
    pub(super) fn leave(&mut self, at: usize) {
        let call = self
            .players
            .get_mut(at)
            .and_then(|viewer| viewer.call.take());
        if let Some(call) = call.and_then(|index| self.calls.touch_mut(index)) {
            call.players.retain(|player| *player != at);
        }
    }

    /// Takes a player out of its table and out of its call.
    pub(super) fn forget_player(&mut self, at: usize) {
        self.leave(at);
        self.players.remove(at);
    }

    /// Ends a call's streams: SIP is done with it.
    pub(super) fn end_streams(&mut self, now: Instant, index: CallIndex, outlet: &mut dyn Outlet) {
        self.release_registration(now, index);
        self.drop_leg(now, index);
        let Some(call) = self.calls.touch_mut(index) else {
            return;
        };
        call.sip = None;
        call.gone_by = Some(now + super::STREAM_PATIENCE);
        call.session.bye();
        let mut bytes = [0; MADE_PACKET_BYTES];
        while let Some(transmit) = call.session.poll_transmit(now, &mut bytes) {
            let port = if transmit.rtcp {
                MediaPort::Rtcp
            } else {
                MediaPort::Rtp
            };
            let made = bytes.get(..transmit.len).unwrap_or_default();
            outlet.send_media(index, transmit.track, port, transmit.to, made);
        }
        for track in [Track::Audio, Track::Video] {
            if let Some(port) = call.ports.get_mut(track).take() {
                outlet.close_media(index, track);
                self.ports.release(port);
            }
        }
        if let Some(publishing) = &mut call.publishing {
            publishing.publisher.stop(now);
        }
        for at in call.players.clone() {
            if let Some(viewer) = self.players.get_mut(at) {
                viewer.player.end(now);
                self.touch_player(at);
            }
        }
        self.end_outputs(now, index, outlet);
        self.end_injection(now, index, "the call ended", outlet);
    }

    /// Lets a call go, with whatever its streams could not say any more.
    fn release_call(&mut self, now: Instant, index: CallIndex, outlet: &mut dyn Outlet) {
        self.tell_hooks(now, index, true, outlet);
        self.release_pushes(index, outlet);
        let Some(call) = self.calls.remove(index) else {
            return;
        };
        let summary = call.summary(now);
        outlet.note(Level::Info, format_args!("{} {summary}", call.label));
        self.ended.add(&summary);
        if let Some(link) = call.publishing.and_then(|publishing| publishing.link) {
            self.connections.remove(link.conn);
            outlet.close(link.conn);
        }
        for at in call.players {
            if let Some(viewer) = self.players.get_mut(at) {
                viewer.call = None;
                self.touch_player(at);
            }
        }
        self.forget_injection(index, call.injection, outlet);
        if let Some(outputs) = call.outputs {
            self.release_outputs(*outputs, outlet);
        }
    }
}
