//! All media of one call: at most one audio and one video track on one clock, their RTCP, the
//! asking for keyframes, and the silence that we send.
//!
//! RTCP goes out whenever the peer's address is known, whether or not we send media. Where media
//! comes from an address that was latched, ours goes there too.

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

use core::net::SocketAddr;
use core::time::Duration;

use crate::base::codec::Track;
use crate::base::frame_log::FrameLog;
use crate::base::packet_pool::Packet;
use crate::base::rng::Rng;
use crate::base::time::{Instant, NtpTime};
use crate::rtp::call_clock::CallClock;
use crate::rtp::depack_audio::TelephoneEvent;
use crate::rtp::keyframe::{Ask, KeyframeRequester};
use crate::rtp::report::{Content, Reporter};
use crate::rtp::silence::{Law, Silence};
use crate::rtp::stream::{Codec, Stream, StreamConfig, StreamStats};
use crate::wire::rtcp::{self, RtcpPacket};

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
}

/// What was counted about RTCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtcpCounters {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams of hosts that have no say here.
    pub strangers: u64,
    /// Packets that could not be read.
    pub malformed: u64,
}

/// The media of one call.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    rng: Rng,
    clock: CallClock,
    audio: Option<Box<Side>>,
    video: Option<Box<Side>>,
    ended: bool,
    rtcp: RtcpCounters,
}

/// One track with everything that goes back to its sender.
#[derive(Debug)]
struct Side {
    stream: Stream,
    reporter: Reporter,
    keyframe: KeyframeRequester,
    /// Only audio is ever sent.
    silence: Option<Silence>,
    /// Where the peer's RTCP comes from, if not from where it was negotiated.
    rtcp_source: Option<SocketAddr>,
    ask: Option<Ask>,
    keyframe_by_info: bool,
    /// The peer left, and the owner does not know yet.
    left: bool,
    bye: bool,
}

impl Session {
    /// A session without tracks.
    pub fn new(config: SessionConfig, rng: Rng) -> Self {
        Self {
            config,
            rng,
            clock: CallClock::new(),
            audio: None,
            video: None,
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
        let side = match track {
            Track::Audio => &mut self.audio,
            Track::Video => &mut self.video,
        };
        match (side.as_mut(), config) {
            (_, None) => {
                if side.take().is_some() {
                    self.clock.source_changed(track);
                }
                return;
            }
            (Some(side), Some(config)) => side.configure(config, &mut self.clock),
            (None, Some(config)) => {
                *side = Some(Box::new(Side::new(
                    track,
                    config,
                    &self.config.cname,
                    &mut self.rng,
                )));
            }
        }
        if let Some(side) = side {
            side.reporter.start(now);
            side.settle_sending(now);
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
        let side = match track {
            Track::Audio => &mut self.audio,
            Track::Video => &mut self.video,
        };
        let Some(side) = side else { return };
        if side.stream.config().rtcp_mux && rtcp::is_rtcp(&packet) {
            return self.handle_rtcp(now, track, from, &packet);
        }
        side.stream
            .handle_packet(now, from, packet, &mut self.clock, log);
        side.follow_keyframes(now);
        side.settle_sending(now);
    }

    /// Takes a datagram from a track's RTCP port.
    pub fn handle_rtcp(&mut self, now: Instant, track: Track, from: SocketAddr, datagram: &[u8]) {
        let ntp = self.wall_time(now);
        let side = match track {
            Track::Audio => &mut self.audio,
            Track::Video => &mut self.video,
        };
        let Some(side) = side else { return };
        count(&mut self.rtcp.received);
        if !side.trusts_reports_of(from) {
            return count(&mut self.rtcp.strangers);
        }
        for packet in rtcp::packets(datagram) {
            match packet {
                Ok(packet) => {
                    if !side.stream.config().rtcp_mux {
                        side.rtcp_source = Some(from);
                    }
                    side.handle_report(now, ntp, &packet, &mut self.clock);
                }
                Err(_) => count(&mut self.rtcp.malformed),
            }
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, log: &mut FrameLog) {
        for side in [&mut self.audio, &mut self.video].into_iter().flatten() {
            side.stream.handle_timeout(now, &mut self.clock, log);
            side.follow_keyframes(now);
        }
    }

    /// Asks the video's sender for a keyframe: a new reader came, or one lost its place.
    pub fn request_keyframe(&mut self, now: Instant) {
        if let Some(side) = &mut self.video {
            // Before the first packet there is nobody to ask, and the first picture is a keyframe.
            if side.stream.ssrc().is_some() && side.stream.config().receive {
                side.keyframe.want(now);
                side.climb(now);
            }
        }
    }

    /// Ends the session: an RTCP BYE for each track is all that is still sent.
    pub fn bye(&mut self) {
        if !core::mem::replace(&mut self.ended, true) {
            for side in [&mut self.audio, &mut self.video].into_iter().flatten() {
                side.end();
            }
        }
    }

    /// The next datagram to send, written to `out`; call until `None`.
    ///
    /// [`crate::limits::RTCP_COMPOUND_BYTES`] suffice for `out`; what does not fit is left out.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<SessionTransmit> {
        let ntp = self.wall_time(now);
        let audio = (Track::Audio, &mut self.audio);
        let video = (Track::Video, &mut self.video);
        [audio, video].into_iter().find_map(|(track, side)| {
            let side = side.as_mut()?;
            side.poll_transmit(now, ntp, track, self.ended, out)
        })
    }

    /// The next thing that the owner is to know.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        let audio = (Track::Audio, &mut self.audio);
        let video = (Track::Video, &mut self.video);
        [audio, video].into_iter().find_map(|(track, side)| {
            let side = side.as_mut()?;
            if core::mem::take(&mut side.keyframe_by_info) {
                return Some(SessionEvent::KeyframeByInfo);
            }
            if core::mem::take(&mut side.left) {
                return Some(SessionEvent::Bye { track });
            }
            side.stream
                .poll_telephone_event()
                .map(SessionEvent::TelephoneEvent)
        })
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_transmit`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sides = [&self.audio, &self.video].into_iter().flatten();
        sides
            .map(|side| side.poll_timeout(self.ended))
            .fold(None, Instant::earliest)
    }

    /// What a track counted; zeros for one that does not exist.
    pub fn stats(&self, track: Track) -> StreamStats {
        self.side(track)
            .map(|side| side.stream.stats())
            .unwrap_or_default()
    }

    /// What was counted about RTCP.
    pub fn rtcp_counters(&self) -> &RtcpCounters {
        &self.rtcp
    }

    /// The last round trip that a track's reports told.
    pub fn round_trip(&self, track: Track) -> Option<Duration> {
        self.side(track).and_then(|side| side.reporter.round_trip())
    }

    /// Keyframes asked for so far.
    pub fn keyframes_asked(&self) -> u64 {
        self.video.as_ref().map_or(0, |side| side.keyframe.count())
    }

    /// How much later the picture is presented than the voice that belongs to it, in microseconds.
    pub fn skew(&self) -> Option<i64> {
        self.clock.skew_micros()
    }

    /// The call's clock.
    pub fn clock(&self) -> &CallClock {
        &self.clock
    }

    /// Panics when a part is not consistent; for tests and fuzzers.
    pub fn check_invariants(&self) {
        for side in [&self.audio, &self.video].into_iter().flatten() {
            side.stream.check_invariants();
        }
    }

    fn side(&self, track: Track) -> Option<&Side> {
        match track {
            Track::Audio => self.audio.as_deref(),
            Track::Video => self.video.as_deref(),
        }
    }

    fn wall_time(&self, now: Instant) -> NtpTime {
        let ticks = (u128::from(now.as_micros()) << 32)
            .checked_div(1_000_000)
            .unwrap_or(0);
        NtpTime(self.config.epoch.0.wrapping_add(ticks as u64))
    }
}

impl Side {
    fn new(track: Track, config: StreamConfig, cname: &str, rng: &mut Rng) -> Self {
        let silence = law(&config.codec).map(|law| Silence::new(law, config.payload_type, rng));
        let ssrc = silence.as_ref().map_or_else(|| rng.u32(), Silence::ssrc);
        Self {
            reporter: Reporter::new(ssrc, cname, rng.fork()),
            keyframe: KeyframeRequester::new(config.feedback),
            silence,
            rtcp_source: None,
            ask: None,
            keyframe_by_info: false,
            left: false,
            bye: false,
            stream: Stream::new(track, config),
        }
    }

    fn configure(&mut self, config: StreamConfig, clock: &mut CallClock) {
        self.keyframe.set_feedback(config.feedback);
        if let (Some(silence), Some(law)) = (&mut self.silence, law(&config.codec)) {
            silence.set_codec(law, config.payload_type);
        }
        self.rtcp_source = None;
        self.stream.configure(config, clock);
    }

    /// Sends silence while we may and know where to.
    fn settle_sending(&mut self, now: Instant) {
        let Some(silence) = &mut self.silence else {
            return;
        };
        let sends = self.stream.config().send && self.stream.source().remote().is_some();
        match (sends, silence.is_running()) {
            (true, false) => silence.start(now),
            (false, true) => silence.stop(),
            _ => {}
        }
    }

    /// Passes on what the stream knows of keyframes, and asks at once where that is allowed.
    fn follow_keyframes(&mut self, now: Instant) {
        if self.stream.take_keyframe_came() {
            self.keyframe.satisfied(now);
            self.ask = None;
        }
        if self.stream.take_keyframe_wanted() {
            self.keyframe.want(now);
        }
        self.climb(now);
    }

    fn climb(&mut self, now: Instant) {
        if !self.stream.config().receive {
            // On hold no keyframe can come.
            return;
        }
        if let Some(ask) = self.keyframe.handle_timeout(now) {
            self.keyframe_by_info |= ask.info;
            self.ask = Some(ask);
        }
    }

    fn trusts_reports_of(&self, from: SocketAddr) -> bool {
        let negotiated = self.stream.config().remote_rtcp;
        self.stream.source().trusts_host_of(from)
            || negotiated.is_some_and(|host| host.ip().to_canonical() == from.ip().to_canonical())
    }

    fn handle_report(
        &mut self,
        now: Instant,
        ntp: NtpTime,
        packet: &RtcpPacket,
        clock: &mut CallClock,
    ) {
        match packet {
            RtcpPacket::SenderReport { ssrc, info, blocks } => {
                self.stream.handle_sender_report(now, *ssrc, info, clock);
                for block in blocks {
                    self.reporter.on_block(ntp, block);
                }
            }
            RtcpPacket::ReceiverReport { blocks, .. } => {
                for block in blocks {
                    self.reporter.on_block(ntp, block);
                }
            }
            RtcpPacket::Bye(sources) => {
                let ssrc = self.stream.ssrc();
                self.left |= sources.iter().any(|source| Some(*source) == ssrc);
            }
            // We send no pictures.
            RtcpPacket::PictureLoss { .. }
            | RtcpPacket::FullIntra { .. }
            | RtcpPacket::Other(_) => {}
        }
    }

    fn end(&mut self) {
        self.bye = true;
        self.ask = None;
        self.keyframe_by_info = false;
        if let Some(silence) = &mut self.silence {
            silence.stop();
        }
    }

    fn poll_transmit(
        &mut self,
        now: Instant,
        ntp: NtpTime,
        track: Track,
        ended: bool,
        out: &mut [u8],
    ) -> Option<SessionTransmit> {
        let mux = self.stream.config().rtcp_mux;
        if let Some(to) = self.rtcp_remote()
            && let Some(len) = self.write_rtcp(now, ntp, ended, out)
        {
            return Some(SessionTransmit {
                track,
                rtcp: !mux,
                to,
                len,
            });
        }
        let to = self.stream.source().remote()?;
        let len = self.silence.as_mut()?.poll_packet(now, out)?;
        Some(SessionTransmit {
            track,
            rtcp: false,
            to,
            len,
        })
    }

    fn write_rtcp(
        &mut self,
        now: Instant,
        ntp: NtpTime,
        ended: bool,
        out: &mut [u8],
    ) -> Option<usize> {
        let sent = self
            .silence
            .as_ref()
            .and_then(|silence| silence.sender_info(now, ntp));
        let media = self.stream.ssrc();
        let content = Content {
            sent,
            reception: self.stream.reception_mut(),
        };
        if ended {
            let bye = core::mem::take(&mut self.bye);
            return if bye {
                self.reporter.write_bye(now, content, out)
            } else {
                None
            };
        }
        if let Some(ask) = self.ask.take()
            && let Some(media) = media
            && (ask.pli || ask.fir.is_some())
        {
            return self.reporter.write_ask(now, content, media, &ask, out);
        }
        self.reporter.poll_report(now, content, out)
    }

    fn rtcp_remote(&self) -> Option<SocketAddr> {
        let config = self.stream.config();
        let source = self.stream.source();
        let after = |rtp: SocketAddr| Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?));
        if config.rtcp_mux {
            return source.remote();
        }
        if self.rtcp_source.is_some() {
            return self.rtcp_source;
        }
        if source.is_latched() {
            return source.remote().and_then(after);
        }
        config
            .remote_rtcp
            .or_else(|| source.remote().and_then(after))
    }

    fn poll_timeout(&self, ended: bool) -> Option<Instant> {
        let mut next = self.stream.poll_timeout();
        if ended {
            return next;
        }
        if self.stream.config().receive {
            next = Instant::earliest(next, self.keyframe.poll_timeout());
        }
        if self.rtcp_remote().is_some() {
            next = Instant::earliest(next, self.reporter.poll_timeout());
        }
        let silence = self.silence.as_ref().and_then(Silence::poll_timeout);
        Instant::earliest(next, silence)
    }
}

fn law(codec: &Codec) -> Option<Law> {
    match codec {
        Codec::Pcma => Some(Law::A),
        Codec::Pcmu => Some(Law::Mu),
        Codec::H264 { .. } => None,
    }
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
