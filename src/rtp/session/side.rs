//! One track of a call, with everything that goes back to its sender: reports, requests for
//! keyframes, silence or a still picture, and where each of them goes (RFC 3550, RFC 3605, RFC 5761).

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
use crate::base::counter::count;
use crate::base::frame_log::{FrameLog, FrameView};
use crate::base::packet_pool::Packet;
use crate::base::rng::Rng;
use crate::base::time::{Instant, NtpTime};
use crate::limits::PACKET_BYTES;
use crate::rtp::bitrate::BitrateRequester;
use crate::rtp::call_clock::CallClock;
use crate::rtp::keyframe::{Ask, KeyframeRequester};
use crate::rtp::own_source::HEADER_BYTES;
use crate::rtp::packetizer::Packetizer;
use crate::rtp::report::{Content, Reporter, Requests};
use crate::rtp::sending::Sending;
use crate::rtp::session::{DtmfRefused, RtcpCounters, SessionEvent, SessionTransmit};
use crate::rtp::srtp::{Srtp, TRAILER_BYTES};
use crate::rtp::stream::{Stream, StreamConfig, StreamStats};
use crate::rtp::telephone_event_sender::event_of;
use crate::wire::rtcp::{self, BitrateLimit, RtcpPacket};

/// One track with everything that goes back to its sender.
#[derive(Debug)]
pub(super) struct Side {
    stream: Stream,
    reporter: Reporter,
    keyframe: KeyframeRequester,
    bitrate: BitrateRequester,
    sending: Sending,
    /// The protection, where it was agreed on: without it nothing goes in or out.
    srtp: Option<Box<Srtp>>,
    /// Where the peer's RTCP comes from, if not from where it was negotiated.
    rtcp_source: Option<SocketAddr>,
    ask: Option<Ask>,
    /// The peer asked us to keep a limit and does not know yet that we do.
    limit: Option<BitrateLimit>,
    keyframe_by_info: bool,
    /// The peer left, and the owner does not know yet.
    left: bool,
    /// The source that said so last: once is enough.
    left_source: Option<u32>,
    bye: bool,
}

impl Side {
    /// A track as it was agreed on; what is to be sent for it begins now.
    pub fn new(
        now: Instant,
        track: Track,
        mut config: StreamConfig,
        cname: &str,
        rng: &mut Rng,
    ) -> Self {
        let sending = Sending::new(track, &config, rng);
        let srtp = config.srtp.take().map(|keys| Box::new(Srtp::new(keys)));
        let mut side = Self {
            reporter: Reporter::new(sending.ssrc(), cname, rng.fork()),
            keyframe: KeyframeRequester::new(config.feedback),
            bitrate: BitrateRequester::default(),
            sending,
            srtp,
            rtcp_source: None,
            ask: None,
            limit: None,
            keyframe_by_info: false,
            left: false,
            left_source: None,
            bye: false,
            stream: Stream::new(track, config),
        };
        side.reporter.start(now);
        side.settle_bitrate(now);
        side.settle_sending(now);
        side
    }

    /// Takes over what a new offer and answer say.
    pub fn configure(&mut self, now: Instant, mut config: StreamConfig, clock: &mut CallClock) {
        match (&mut self.srtp, config.srtp.take()) {
            (Some(srtp), Some(keys)) => srtp.rekey(now, keys),
            (srtp, keys) => *srtp = keys.map(|keys| Box::new(Srtp::new(keys))),
        }
        self.keyframe.set_feedback(config.feedback);
        self.sending.configure(&config);
        self.rtcp_source = None;
        self.stream.configure(now, config, clock);
        self.reporter.start(now);
        self.settle_bitrate(now);
        self.settle_sending(now);
    }

    /// What is received.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Everything counted about what is received.
    pub fn stats(&self) -> StreamStats {
        let srtp = self.srtp.as_ref().map(|srtp| *srtp.counters());
        StreamStats {
            srtp: srtp.unwrap_or_default(),
            ..self.stream.stats()
        }
    }

    /// Lets go of what is no whole frame yet.
    pub fn shed(&mut self) {
        self.stream.shed();
    }

    /// The last round trip that the peer's reports told.
    pub fn round_trip(&self) -> Option<Duration> {
        self.reporter.round_trip()
    }

    /// The peer wants a keyframe of the picture that we send.
    pub fn keyframe_wanted(&mut self, now: Instant) {
        self.sending.keyframe_wanted(now);
    }

    /// Keyframes asked for so far.
    pub fn keyframes_asked(&self) -> u64 {
        self.keyframe.count()
    }

    /// Takes a datagram of media.
    pub fn handle_rtp(
        &mut self,
        now: Instant,
        from: SocketAddr,
        mut packet: Packet,
        clock: &mut CallClock,
        log: &mut FrameLog,
    ) {
        if let Some(srtp) = &mut self.srtp {
            // A datagram just received has its buffer to itself.
            let bytes = packet.bytes_mut().unwrap_or_default();
            match srtp.unprotect_rtp(now, bytes) {
                Ok(len) => packet.truncate(len),
                Err(_) => return,
            }
        }
        let source = self.stream.ssrc();
        self.stream.handle_packet(now, from, packet, clock, log);
        if self.stream.ssrc() != source {
            // Another sender knows nothing of the limit.
            self.bitrate.renew(now);
        }
        self.follow_keyframes(now);
        self.settle_sending(now);
    }

    /// Takes a datagram of reports, which came at the wall time `ntp`.
    pub fn handle_rtcp(
        &mut self,
        now: Instant,
        ntp: NtpTime,
        from: SocketAddr,
        datagram: &[u8],
        clock: &mut CallClock,
        counters: &mut RtcpCounters,
    ) {
        let mut copy = [0; PACKET_BYTES];
        let datagram = match &mut self.srtp {
            Some(srtp) => match unprotected(srtp, now, datagram, &mut copy) {
                Some(datagram) => datagram,
                None => return,
            },
            None => datagram,
        };
        count(&mut counters.received);
        if !self.trusts_reports_of(from) {
            return count(&mut counters.strangers);
        }
        for packet in rtcp::packets(datagram) {
            match packet {
                Ok(packet) => {
                    if !self.stream.config().rtcp_mux {
                        self.rtcp_source = Some(from);
                    }
                    count(&mut counters.reports);
                    self.handle_report(now, ntp, &packet, clock, counters);
                }
                Err(_) => count(&mut counters.malformed),
            }
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, clock: &mut CallClock, log: &mut FrameLog) {
        self.stream.handle_timeout(now, clock, log);
        self.follow_keyframes(now);
    }

    /// Asks the sender for a keyframe.
    pub fn request_keyframe(&mut self, now: Instant) {
        // Before the first packet there is nobody to ask, and the first picture is a keyframe.
        if self.stream.ssrc().is_some() && self.stream.config().receive {
            self.keyframe.want(now);
            self.climb(now);
        }
    }

    /// Ends the track: its BYE is all that is still sent.
    pub fn end(&mut self) {
        self.bye = true;
        self.ask = None;
        self.keyframe_by_info = false;
        self.sending.stop();
    }

    /// The next thing that the owner is to know.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        if core::mem::take(&mut self.keyframe_by_info) {
            return Some(SessionEvent::KeyframeByInfo);
        }
        if self.sending.take_keyframe_wanted() {
            return Some(SessionEvent::KeyframeWanted);
        }
        if core::mem::take(&mut self.left) {
            return Some(SessionEvent::Bye {
                track: self.stream.track(),
            });
        }
        let key = self.stream.poll_telephone_event();
        key.map(SessionEvent::TelephoneEvent)
    }

    /// The next datagram to send, written to `out`; after the end that is the BYE.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        ntp: NtpTime,
        ended: bool,
        out: &mut [u8],
    ) -> Option<SessionTransmit> {
        let track = self.stream.track();
        let mux = self.stream.config().rtcp_mux;
        // Room for what protection adds.
        let added = self.srtp.as_ref().map_or(0, |_| TRAILER_BYTES);
        let room = out.len().saturating_sub(added);
        let plain = out.get_mut(..room)?;
        if let Some(to) = self.rtcp_remote()
            && let Some(len) = self.write_rtcp(now, ntp, ended, plain)
        {
            let len = match &mut self.srtp {
                Some(srtp) => srtp.protect_rtcp(out, len).ok()?,
                None => len,
            };
            return Some(SessionTransmit {
                track,
                rtcp: !mux,
                to,
                len,
            });
        }
        let to = self.stream.source().remote()?;
        let events = self.stream.config().send_telephone_event;
        let len = self.sending.poll_packet(now, events, plain)?;
        let len = match &mut self.srtp {
            Some(srtp) => srtp.protect_rtp(out, len).ok()?,
            None => len,
        };
        Some(SessionTransmit {
            track,
            rtcp: false,
            to,
            len,
        })
    }

    /// Adds keys to those that wait to be sent: all or none of them.
    pub fn send_dtmf(&mut self, keys: &str) -> Result<(), DtmfRefused> {
        let mut count = 0_usize;
        for key in keys.chars() {
            event_of(key).ok_or(DtmfRefused::NoKey(key))?;
            count = count.saturating_add(1);
        }
        if self.stream.config().send_telephone_event.is_none() {
            return Err(DtmfRefused::NotNegotiated);
        }
        if !self.sending.is_allowed() {
            return Err(DtmfRefused::NotSending);
        }
        if self.sending.key_room() < count {
            return Err(DtmfRefused::Full);
        }
        for event in keys.chars().filter_map(event_of) {
            // Room for all of them was seen above.
            self.sending.push_key(event);
        }
        Ok(())
    }

    /// Writes the next packet of a frame of another stream; see [`super::Session::send_frame`].
    pub fn send_frame(
        &mut self,
        now: Instant,
        at: Instant,
        (packetizer, view): (&mut Packetizer, FrameView<'_>),
        out: &mut [u8],
    ) -> Option<SessionTransmit> {
        let to = self.stream.source().remote();
        let Some(to) = to.filter(|_| self.sending.takes_frames()) else {
            packetizer.skip();
            return None;
        };
        let added = self.srtp.as_ref().map_or(0, |_| TRAILER_BYTES);
        let room = out.len().saturating_sub(added);
        let plain = out.get_mut(..room)?;
        let part = packetizer.next(view, plain.get_mut(HEADER_BYTES..)?)?;
        let times = (at, part.ends);
        let len = self.sending.write_frame(now, times, part.len, plain)?;
        let len = match &mut self.srtp {
            Some(srtp) => srtp.protect_rtp(out, len).ok()?,
            None => len,
        };
        Some(SessionTransmit {
            track: self.stream.track(),
            rtcp: false,
            to,
            len,
        })
    }

    /// Whether frames of another stream are what we send at present.
    pub fn passes_frames(&self) -> bool {
        self.sending.passes_frames()
    }

    /// No more frames of another stream come.
    pub fn end_frames(&mut self, now: Instant) {
        self.sending.end_frames(now);
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_transmit`] next.
    pub fn poll_timeout(&self, ended: bool) -> Option<Instant> {
        let mut next = self.stream.poll_timeout();
        if ended {
            return next;
        }
        if self.stream.config().receive {
            next = Instant::earliest(next, self.keyframe.poll_timeout());
            if self.stream.ssrc().is_some() && self.rtcp_remote().is_some() {
                next = Instant::earliest(next, self.bitrate.poll_timeout());
                next = Instant::earliest(next, self.stream.poll_missing_timeout());
            }
        }
        if self.rtcp_remote().is_some() {
            next = Instant::earliest(next, self.reporter.poll_timeout());
        }
        Instant::earliest(next, self.sending.poll_timeout())
    }

    /// Tells the sender the bit rate that was agreed on.
    fn settle_bitrate(&mut self, now: Instant) {
        let config = self.stream.config();
        self.bitrate
            .set(now, config.bitrate_feedback, config.bitrate);
    }

    /// Sends while we may and know where to.
    fn settle_sending(&mut self, now: Instant) {
        if self.stream.config().send && self.stream.source().remote().is_some() {
            self.sending.start(now);
        } else {
            self.sending.stop();
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
            self.stream.keyframe_asked();
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
        counters: &mut RtcpCounters,
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
                let ours = sources.iter().any(|source| Some(*source) == ssrc);
                if ours && self.left_source != ssrc {
                    self.left_source = ssrc;
                    self.left = true;
                }
            }
            RtcpPacket::BitrateNotification { owners, .. } => {
                if owners.contains(&self.reporter.ssrc()) {
                    self.bitrate.confirm();
                }
            }
            // A FIR that bears a number of before is answered too: some phones never count.
            RtcpPacket::PictureLoss { media, .. } | RtcpPacket::FullIntra { media, .. } => {
                if *media == self.sending.ssrc() {
                    count(&mut counters.keyframes_asked);
                    self.sending.keyframe_wanted(now);
                }
            }
            // What we send is less than any limit.
            RtcpPacket::BitrateRequest(limit) => {
                if limit.media == self.sending.ssrc() {
                    self.limit = Some(*limit);
                }
            }
            // The next packet of silence, or the next picture, makes good what was lost.
            RtcpPacket::Missing { media, .. } => {
                if *media == self.sending.ssrc() {
                    count(&mut counters.missing_asked);
                }
            }
            RtcpPacket::Other(_) => {}
        }
    }

    fn write_rtcp(
        &mut self,
        now: Instant,
        ntp: NtpTime,
        ended: bool,
        out: &mut [u8],
    ) -> Option<usize> {
        let sent = self.sending.sender_info(now, ntp);
        let media = self.stream.ssrc();
        let requests = self.requests(now);
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
        if let Some(media) = media
            && let Some(len) = self
                .reporter
                .write_requests(now, content, media, &requests, out)
        {
            return Some(len);
        }
        let content = Content {
            sent,
            reception: self.stream.reception_mut(),
        };
        if let Some(limit) = self.limit.take() {
            return self.reporter.write_limit_kept(now, content, &limit, out);
        }
        self.reporter.poll_report(now, content, out)
    }

    /// What is to be asked of the sender now.
    fn requests(&mut self, now: Instant) -> Requests {
        if self.stream.ssrc().is_none() || !self.stream.config().receive {
            return Requests::default();
        }
        Requests {
            keyframe: self.ask.take(),
            missing: self.stream.poll_missing(now),
            bitrate: self.bitrate.poll_ask(now),
        }
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
}

/// A compound freed of its protection, in `copy`; `None` for one that is dropped.
fn unprotected<'a>(
    srtp: &mut Srtp,
    now: Instant,
    datagram: &[u8],
    copy: &'a mut [u8; PACKET_BYTES],
) -> Option<&'a [u8]> {
    let copy = copy.get_mut(..datagram.len()).unwrap_or_default();
    copy.copy_from_slice(datagram.get(..copy.len())?);
    let len = srtp.unprotect_rtcp(now, copy).ok()?;
    copy.get(..len)
}
