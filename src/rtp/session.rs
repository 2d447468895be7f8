//! All media of one call: at most one audio and one video track on one clock, their RTCP, the
//! asking for keyframes, and what we send.
//!
//! RTCP goes out whenever the peer's address is known, whether or not we send media. Where media
//! comes from an address that was latched, ours goes there too.
//!
//! Where keys were agreed on ([`StreamConfig::srtp`]), all of it is SRTP and SRTCP: what does not
//! authenticate is counted, and nothing else is made of it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

mod side;

use core::net::SocketAddr;
use core::time::Duration;

use crate::base::codec::Track;
use crate::base::counter::count;
use crate::base::frame_log::{FrameLog, FrameView};
use crate::base::packet_pool::Packet;
use crate::base::rng::Rng;
use crate::base::time::{Instant, NtpTime};
use crate::rtp::call_clock::CallClock;
use crate::rtp::call_clock::skew::SkewStats;
use crate::rtp::packetizer::Packetizer;
use crate::rtp::session::side::Side;
use crate::rtp::stream::{StreamConfig, StreamStats};
use crate::rtp::telephone_event::TelephoneEvent;
use crate::wire::rtcp;

/// What a session is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Canonical name in our source descriptions; a long one is cut.
    pub cname: String,
    /// Wall-clock time at [`Instant::ZERO`].
    pub epoch: NtpTime,
}

/// A datagram to send, whose bytes are in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTransmit {
    /// The track on whose sockets it goes out.
    pub track: Track,
    /// From the RTCP socket. Multiplexed RTCP goes from the RTP socket and has `false` here.
    pub rtcp: bool,
    /// Where it goes.
    pub to: SocketAddr,
    /// Its length.
    pub len: usize,
}

/// What a session tells its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// A keyframe is to be asked for by SIP INFO.
    KeyframeByInfo,
    /// The peer's source of a track left (RTCP BYE).
    Bye {
        /// Its track.
        track: Track,
    },
    /// A key was pressed.
    TelephoneEvent(TelephoneEvent),
    /// The peer needs a keyframe of the stream that we pass on to it.
    KeyframeWanted,
}

/// Why keys are not sent as telephone events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtmfRefused {
    /// There is no sound in the call.
    NoAudio,
    /// The other side did not say that it takes telephone-event.
    NotNegotiated,
    /// We may not send at present: the other side holds the call, or says no address.
    NotSending,
    /// More keys wait than there is room for.
    Full,
    /// This is no key.
    NoKey(char),
}

impl core::fmt::Display for DtmfRefused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoAudio => "the call has no sound",
            Self::NotNegotiated => "the other side takes no telephone-event",
            Self::NotSending => "the call is on hold",
            Self::Full => "too many keys wait to be sent",
            Self::NoKey(key) => return write!(f, "{key:?} is no key"),
        })
    }
}

/// What was counted about RTCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtcpCounters {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams of hosts that have no say here.
    pub strangers: u64,
    /// Packets that were read.
    pub reports: u64,
    /// Packets that could not be read.
    pub malformed: u64,
    /// Requests for a keyframe of ours.
    pub keyframes_asked: u64,
    /// Requests to send packets of ours once more, which nothing answers.
    pub missing_asked: u64,
}

/// The media of one call.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    rng: Rng,
    clock: CallClock,
    sides: Sides,
    ended: bool,
    rtcp: RtcpCounters,
}

#[derive(Debug, Default)]
struct Sides {
    audio: Option<Box<Side>>,
    video: Option<Box<Side>>,
}

impl Session {
    /// A session without tracks.
    pub fn new(config: SessionConfig, rng: Rng) -> Self {
        Self {
            config,
            rng,
            clock: CallClock::new(),
            sides: Sides::default(),
            ended: false,
            rtcp: RtcpCounters::default(),
        }
    }

    /// Sets a track up, changes it or takes it away, after each offer and answer.
    ///
    /// The timeline goes on, and so does a track whose codec stays the same. No effect after
    /// [`Self::bye`].
    pub fn configure(&mut self, now: Instant, track: Track, config: Option<StreamConfig>) {
        if self.ended {
            return;
        }
        let side = self.sides.slot(track);
        match (side.as_mut(), config) {
            (None, None) => {}
            (Some(_), None) => {
                *side = None;
                self.clock.source_changed(track);
            }
            (Some(side), Some(config)) => side.configure(now, config, &mut self.clock),
            (None, Some(config)) => {
                let new = Side::new(now, track, config, &self.config.cname, &mut self.rng);
                *side = Some(Box::new(new));
            }
        }
    }

    /// Takes a datagram from a track's RTP port; whole frames go to the log.
    ///
    /// Multiplexed RTCP is told apart here.
    pub fn handle_rtp(
        &mut self,
        now: Instant,
        track: Track,
        from: SocketAddr,
        packet: Packet,
        log: &mut FrameLog,
    ) {
        if self.ended {
            return;
        }
        let Some(side) = self.sides.slot(track) else {
            return;
        };
        if side.stream().config().rtcp_mux && rtcp::is_rtcp(&packet) {
            return self.handle_rtcp(now, track, from, &packet);
        }
        side.handle_rtp(now, from, packet, &mut self.clock, log);
    }

    /// Takes a datagram from a track's RTCP port.
    pub fn handle_rtcp(&mut self, now: Instant, track: Track, from: SocketAddr, datagram: &[u8]) {
        if self.ended {
            return;
        }
        let ntp = self.wall_time(now);
        if let Some(side) = self.sides.slot(track) {
            let (clock, counters) = (&mut self.clock, &mut self.rtcp);
            side.handle_rtcp(now, ntp, from, datagram, clock, counters);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, log: &mut FrameLog) {
        for side in self.sides.iter_mut() {
            side.handle_timeout(now, &mut self.clock, log);
        }
    }

    /// The peer asks by SIP for a keyframe of the picture that we send.
    pub fn keyframe_wanted(&mut self, now: Instant) {
        if let Some(side) = &mut self.sides.video {
            count(&mut self.rtcp.keyframes_asked);
            side.keyframe_wanted(now);
        }
    }

    /// Asks the video's sender for a keyframe: a new reader came, or one lost its place.
    pub fn request_keyframe(&mut self, now: Instant) {
        if let Some(side) = &mut self.sides.video {
            side.request_keyframe(now);
        }
    }

    /// Presses keys in our sound, one after the other (RFC 4733): 0 to 9, `*`, `#`, A to D, or `!` for
    /// a flash of the hook. All of them or, where one is refused, none.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn send_dtmf(&mut self, keys: &str) -> Result<(), DtmfRefused> {
        if self.ended {
            return Err(DtmfRefused::NotSending);
        }
        let side = self.sides.audio.as_mut().ok_or(DtmfRefused::NoAudio)?;
        side.send_dtmf(keys)
    }

    /// Writes to `out` the next packet of a frame of another stream, which stands in for what we send
    /// of our own; `at` is the frame's time of presentation on the clock of `now`. Call until the
    /// packetizer is done with the frame; `None` before that means that nothing may be sent at
    /// present, and the frame is passed over.
    ///
    /// SSRC, sequence and clock are those of all that we send in the track. Both tracks share the clock
    /// that our sender reports tell of, so that frames of one stream stay in step at the peer.
    /// [`crate::limits::PACKET_BYTES`] suffice for `out`.
    pub fn send_frame(
        &mut self,
        now: Instant,
        track: Track,
        at: Instant,
        (packetizer, view): (&mut Packetizer, FrameView<'_>),
        out: &mut [u8],
    ) -> Option<SessionTransmit> {
        match self.sides.slot(track) {
            Some(side) if !self.ended => side.send_frame(now, at, (packetizer, view), out),
            _ => {
                packetizer.skip();
                None
            }
        }
    }

    /// Whether frames of another stream are what we send in a track: after a while without any, silence
    /// or the still picture takes their place again.
    pub fn passes_frames(&self, track: Track) -> bool {
        self.sides.get(track).is_some_and(Side::passes_frames)
    }

    /// No more frames of another stream come: silence and the still picture go on at once.
    pub fn end_frames(&mut self, now: Instant) {
        self.sides.iter_mut().for_each(|side| side.end_frames(now));
    }

    /// Ends the session: an RTCP BYE for each track is all that is still sent.
    pub fn bye(&mut self) {
        if !core::mem::replace(&mut self.ended, true) {
            self.sides.iter_mut().for_each(Side::end);
        }
    }

    /// Packet slots held for what is no whole frame yet, or fewer.
    pub fn held(&self) -> usize {
        let held = self.sides.iter().map(|side| side.stream().held());
        held.fold(0, usize::saturating_add)
    }

    /// Lets go of everything that [`Self::held`] counts; video goes on at the next keyframe.
    pub fn shed(&mut self) {
        self.sides.iter_mut().for_each(Side::shed);
    }

    /// The next datagram to send, written to `out`; call until `None`.
    ///
    /// [`crate::limits::MEDIA_PACKET_BYTES`] suffice for `out`; what does not fit is left out.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<SessionTransmit> {
        let ntp = self.wall_time(now);
        let ended = self.ended;
        let mut sides = self.sides.iter_mut();
        sides.find_map(|side| side.poll_transmit(now, ntp, ended, out))
    }

    /// The next thing that the owner is to know.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.sides.iter_mut().find_map(Side::poll_event)
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_transmit`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sides = self.sides.iter();
        sides
            .map(|side| side.poll_timeout(self.ended))
            .fold(None, Instant::earliest)
    }

    /// What a track counted; zeros for one that does not exist.
    pub fn stats(&self, track: Track) -> StreamStats {
        let side = self.sides.get(track);
        side.map(Side::stats).unwrap_or_default()
    }

    /// Packets of a track's stream taken so far, as in its [`StreamStats`].
    pub fn packets(&self, track: Track) -> u64 {
        let side = self.sides.get(track);
        side.map_or(0, |side| side.stream().packets())
    }

    /// What was counted about RTCP.
    pub fn rtcp_counters(&self) -> &RtcpCounters {
        &self.rtcp
    }

    /// The last round trip that a track's reports told.
    pub fn round_trip(&self, track: Track) -> Option<Duration> {
        self.sides.get(track).and_then(Side::round_trip)
    }

    /// Keyframes asked for so far.
    pub fn keyframes_asked(&self) -> u64 {
        let side = self.sides.get(Track::Video);
        side.map_or(0, Side::keyframes_asked)
    }

    /// How much later the picture is presented than the voice that belongs to it, in microseconds.
    pub fn skew(&self) -> Option<i64> {
        self.clock.skew_micros()
    }

    /// How far picture and voice were apart over the call.
    pub fn skew_stats(&self) -> SkewStats {
        self.clock.skew_stats()
    }

    /// The call's clock.
    pub fn clock(&self) -> &CallClock {
        &self.clock
    }

    /// Panics when a part is not consistent; for tests and fuzzers.
    pub fn check_invariants(&self) {
        for side in self.sides.iter() {
            side.stream().check_invariants();
        }
    }

    fn wall_time(&self, now: Instant) -> NtpTime {
        let ticks = (u128::from(now.as_micros()) << 32)
            .checked_div(1_000_000)
            .unwrap_or(0);
        NtpTime(self.config.epoch.0.wrapping_add(ticks as u64))
    }
}

impl Sides {
    fn slot(&mut self, track: Track) -> &mut Option<Box<Side>> {
        match track {
            Track::Audio => &mut self.audio,
            Track::Video => &mut self.video,
        }
    }

    fn get(&self, track: Track) -> Option<&Side> {
        match track {
            Track::Audio => self.audio.as_deref(),
            Track::Video => self.video.as_deref(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Side> {
        let sides = [self.audio.as_deref(), self.video.as_deref()];
        sides.into_iter().flatten()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Side> {
        let sides = [self.audio.as_deref_mut(), self.video.as_deref_mut()];
        sides.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests;
