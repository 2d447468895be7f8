//! One received track, end to end: source lock, reorder buffer, depacketizer, frame log.
//!
//! What is received is counted at every step; [`StreamStats`] has the sum.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod config;
mod media;
mod pace;
mod stats;

use core::net::SocketAddr;
use core::time::Duration;
use heapless::Deque;

use crate::base::codec::Track;
use crate::base::counter::count;
use crate::base::frame_log::FrameLog;
use crate::base::packet_pool::Packet;
use crate::base::time::Instant;
use crate::limits::SESSION_EVENTS;
use crate::rtp::call_clock::CallClock;
use crate::rtp::depack_audio::AudioCounters;
use crate::rtp::depack_h264::H264Counters;
use crate::rtp::depack_vp8::Vp8Counters;
use crate::rtp::reception::Reception;
use crate::rtp::reorder::{Before, InOrder, MIN_HOLD, Reorder};
use crate::rtp::retransmission::{Missing, Retransmission};
use crate::rtp::source::{Admission, Admitted, Arrival, SourceLock};
use crate::rtp::srtp::SrtpCounters;
use crate::rtp::stream::media::{Media, Outlet};
use crate::rtp::telephone_event::{TelephoneEvent, TelephoneEvents};
use crate::wire::rtcp::SenderInfo;
use crate::wire::rtp::RtpHeader;

use pace::Pace;

pub use config::{Codec, StreamConfig};
pub use stats::StreamStats;

/// One received track. About 20 KiB: keep it boxed.
#[derive(Debug)]
pub struct Stream {
    track: Track,
    config: StreamConfig,
    source: SourceLock,
    /// The source whose packets went on last.
    ssrc: Option<u32>,
    reception: Option<Reception>,
    /// The last report of a source that is not accepted yet.
    early: Option<(u32, Instant, SenderInfo)>,
    reorder: Reorder,
    /// Asks for missing packets, where that was offered.
    retransmission: Option<Box<Retransmission>>,
    media: Media,
    /// What the codec's payload type was before the last answer changed it.
    former: Option<Former>,
    /// How the sound's timestamps step.
    pace: Pace,
    /// The pace of the former codec, and since when another one has its payload type.
    stale: Option<(Pace, Instant)>,
    telephone: TelephoneEvents,
    events: Deque<TelephoneEvent, SESSION_EVENTS>,
    keyframe_came: bool,
    /// What came before the packets of other payload types that came last.
    before_passed: Before,
    counts: Counts,
}

/// What the stream itself counts of [`StreamStats`]; the rest is with its parts.
#[derive(Debug, Default)]
struct Counts {
    packets: u64,
    octets: u64,
    malformed: u64,
    wrong_payload_type: u64,
    on_hold: u64,
    frames: u64,
    telephone_events: u64,
    telephone_events_missed: u64,
    audio: AudioCounters,
    /// Up to the last change of codec.
    h264: H264Counters,
    vp8: Vp8Counters,
}

/// A payload type that the peer may still be using.
#[derive(Clone, Copy, Debug)]
struct Former {
    payload_type: u8,
    /// When it was replaced.
    since: Instant,
}

/// How long packets that were on their way keep the payload type of the former answer.
const FORMER_TIME: Duration = Duration::from_secs(1);

/// How long they are looked for where the number is another codec's. It may have the same pace, and
/// is then not heard for so long.
const STALE_TIME: Duration = Duration::from_millis(300);

impl Stream {
    /// A track that nothing was received of yet.
    pub fn new(track: Track, config: StreamConfig) -> Self {
        Self {
            track,
            source: SourceLock::new(config.remote_rtp),
            ssrc: None,
            reception: None,
            early: None,
            reorder: match track {
                Track::Audio => Reorder::for_audio(),
                Track::Video => Reorder::new(),
            },
            retransmission: config.nack.then(Box::default),
            media: Media::new(&config),
            former: None,
            pace: Pace::default(),
            stale: None,
            telephone: TelephoneEvents::default(),
            events: Deque::new(),
            keyframe_came: false,
            before_passed: Before::Packet,
            counts: Counts::default(),
            config,
        }
    }

    /// Which track it is.
    pub fn track(&self) -> Track {
        self.track
    }

    /// What was agreed on.
    pub fn config(&self) -> &StreamConfig {
        &self.config
    }

    /// Takes over a new offer and answer; what stays the same goes on without a break.
    ///
    /// Packets on their way with the codec's former payload type are taken for a second more.
    /// Of another codec's packets none becomes a frame any more: where its payload type is now the
    /// new codec's, pictures are told apart by what they are, and sound by its pace for a moment.
    pub fn configure(&mut self, now: Instant, config: StreamConfig, clock: &mut CallClock) {
        let before = core::mem::replace(&mut self.config, config);
        self.source.renegotiated(self.config.remote_rtp);
        if self.config.nack != before.nack {
            self.retransmission = self.config.nack.then(Box::default);
            self.reorder.set_patience(MIN_HOLD);
        }
        let (old, new) = (before.payload_type, self.config.payload_type);
        let mut same = before.clock_rate == self.config.clock_rate;
        match (&mut self.media, &before.codec, &self.config.codec) {
            (Media::H264(depacketizer), Codec::H264 { sprop: old }, Codec::H264 { sprop }) => {
                // The same sets once more may be older than those in band.
                if old != sprop {
                    depacketizer.take_sprop(sprop);
                }
            }
            (_, old, new) if same && old == new => {}
            _ => {
                same = false;
                let stats = self.stats();
                (self.counts.h264, self.counts.vp8) = (stats.h264, stats.vp8);
                self.media = Media::new(&self.config);
                self.media.resume_counters(stats.h264, stats.vp8);
            }
        }
        if !same {
            self.former = None;
            let pace = core::mem::take(&mut self.pace);
            self.stale = (old == new && self.track == Track::Audio).then_some((pace, now));
            if old == new {
                // What waits for its turn would be taken for the new codec.
                self.reorder.restart();
                self.before_passed = Before::Packet;
            }
        } else if old != new {
            self.former = Some(Former {
                payload_type: old,
                since: now,
            });
        }
        if before.clock_rate != self.config.clock_rate {
            clock.source_changed(self.track);
            let rate = self.config.clock_rate;
            self.reception = self.ssrc.map(|ssrc| Reception::new(ssrc, rate));
        }
        if self.config.receive && !before.receive {
            // Whatever came meanwhile was not looked at.
            self.restart();
        }
    }

    /// Takes one datagram of the RTP port; whole frames go to the log.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: Packet,
        clock: &mut CallClock,
        log: &mut FrameLog,
    ) {
        count(&mut self.counts.packets);
        self.counts.octets = self.counts.octets.saturating_add(packet.len() as u64);
        let Ok(header) = RtpHeader::parse(&packet) else {
            return count(&mut self.counts.malformed);
        };
        let is_ours = self.is_media(header.payload_type, now)
            || Some(header.payload_type) == self.config.telephone_event;
        if !is_ours && !self.source.is_accepted(from, header.ssrc) {
            return count(&mut self.counts.wrong_payload_type);
        }
        if !self.config.receive {
            return count(&mut self.counts.on_hold);
        }
        if !is_ours && self.reorder.is_fresh() {
            return count(&mut self.counts.wrong_payload_type);
        }
        let mut admitted = Admitted::new();
        let arrival = Arrival {
            header,
            packet,
            received: now,
        };
        match self.source.admit(from, arrival, &mut admitted) {
            Admission::Accepted => {}
            Admission::NewSource => self.source_changed(clock),
            Admission::Probation | Admission::Stranger => return,
        }
        for arrival in admitted {
            let header = arrival.header;
            let is_media = self.is_media(header.payload_type, arrival.received);
            if let Some(reception) = &mut self.reception {
                if is_media {
                    reception.on_packet(arrival.received, header.sequence, header.timestamp);
                } else {
                    reception.on_untimed_packet(header.sequence);
                }
            }
            if is_media && self.track == Track::Audio {
                if self.is_stale(&arrival) {
                    count(&mut self.counts.wrong_payload_type);
                    continue;
                }
                self.pace.follow(&header);
            }
            if self.reorder.is_fresh() && !self.media.can_begin_with(&arrival) {
                self.reorder.expect_earlier(header.sequence);
            }
            if let Some(retransmission) = &mut self.retransmission {
                retransmission.came(now, header.sequence);
            }
            self.reorder.push(arrival);
            self.drain(now, clock, log);
        }
        self.follow_missing(now);
    }

    /// Gives up gaps whose time is over, and ends pictures that nothing else ends.
    pub fn handle_timeout(&mut self, now: Instant, clock: &mut CallClock, log: &mut FrameLog) {
        self.drain(now, clock, log);
        self.follow_missing(now);
        self.end_picture(now, clock, log);
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let gap = self.reorder.poll_timeout();
        gap.or_else(|| self.media.poll_timeout())
    }

    /// When to call [`Self::poll_missing`], where the sender can be asked.
    pub fn poll_missing_timeout(&self) -> Option<Instant> {
        let asking = self.retransmission.as_ref();
        asking.and_then(|asking| asking.poll_timeout())
    }

    /// The packets to ask the sender for now; none when nothing is due.
    pub fn poll_missing(&mut self, now: Instant) -> Missing {
        let asking = self.retransmission.as_mut();
        asking
            .map(|asking| asking.poll_missing(now))
            .unwrap_or_default()
    }

    /// Takes note of a sender report, if it is the accepted source's.
    pub fn handle_sender_report(
        &mut self,
        now: Instant,
        ssrc: u32,
        info: &SenderInfo,
        clock: &mut CallClock,
    ) {
        if self.ssrc != Some(ssrc) {
            if self.ssrc.is_none() {
                // Reports may come before the first packet of their source.
                self.early = Some((ssrc, now, *info));
            }
            return;
        }
        if let Some(reception) = &mut self.reception {
            reception.on_sender_report(now, info.ntp);
        }
        clock.handle_sender_report(self.track, now, info.ntp, info.rtp_timestamp);
    }

    /// Packet slots held for what is no whole frame yet, or fewer.
    pub fn held(&self) -> usize {
        self.reorder.held().saturating_add(self.media.held())
    }

    /// Lets go of what is no whole frame yet; video goes on at the next keyframe.
    pub fn shed(&mut self) {
        if self.held() > 0 {
            self.restart();
        }
    }

    /// The next telephone event that was pressed.
    pub fn poll_telephone_event(&mut self) -> Option<TelephoneEvent> {
        self.events.pop_front()
    }

    /// Whether a keyframe has become wanted since the last call, and has not come.
    pub fn take_keyframe_wanted(&mut self) -> bool {
        self.media.take_keyframe_wanted()
    }

    /// The sender was asked for a keyframe once more.
    pub fn keyframe_asked(&mut self) {
        self.media.keyframe_asked();
    }

    /// Whether a keyframe has come since the last call.
    pub fn take_keyframe_came(&mut self) -> bool {
        core::mem::take(&mut self.keyframe_came)
    }

    /// Which addresses the track's packets come from and go to.
    pub fn source(&self) -> &SourceLock {
        &self.source
    }

    /// The source's SSRC, once there is one.
    pub fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// What reports say of the source.
    pub fn reception_mut(&mut self) -> Option<&mut Reception> {
        self.reception.as_mut()
    }

    /// Everything counted so far, apart from protection, which is not the stream's.
    pub fn stats(&self) -> StreamStats {
        StreamStats {
            source: *self.source.counters(),
            reorder: *self.reorder.counters(),
            h264: self.media.h264_counters().unwrap_or(self.counts.h264),
            vp8: self.media.vp8_counters().unwrap_or(self.counts.vp8),
            retransmission: self
                .retransmission
                .as_ref()
                .map(|asking| *asking.counters())
                .unwrap_or_default(),
            hold: self.reorder.hold(),
            jitter: self
                .reception
                .as_ref()
                .map(Reception::jitter)
                .unwrap_or_default(),
            packets: self.counts.packets,
            octets: self.counts.octets,
            malformed: self.counts.malformed,
            wrong_payload_type: self.counts.wrong_payload_type,
            on_hold: self.counts.on_hold,
            frames: self.counts.frames,
            telephone_events: self.counts.telephone_events,
            telephone_events_missed: self.counts.telephone_events_missed,
            audio: self.counts.audio,
            srtp: SrtpCounters::default(),
        }
    }

    /// Packets taken so far, as in [`Self::stats`].
    pub fn packets(&self) -> u64 {
        self.counts.packets
    }

    /// Panics when a part is not consistent; for tests and fuzzers.
    pub fn check_invariants(&self) {
        self.reorder.check_invariants();
    }

    /// Whether a payload type is the codec's, for a packet that came at `received`.
    fn is_media(&self, payload_type: u8, received: Instant) -> bool {
        let former = |former: Former| {
            former.payload_type == payload_type && received.since(former.since) < FORMER_TIME
        };
        payload_type == self.config.payload_type
            || (Some(payload_type) != self.config.telephone_event
                && self.former.is_some_and(former))
    }

    /// Whether a packet is the former codec's, whose payload type is the new one's.
    fn is_stale(&self, arrival: &Arrival) -> bool {
        self.stale.is_some_and(|(pace, since)| {
            arrival.received.since(since) < STALE_TIME && pace.fits(&arrival.header)
        })
    }

    /// The lock accepted another source, or the same one from another address.
    fn source_changed(&mut self, clock: &mut CallClock) {
        let ssrc = self.source.ssrc();
        if ssrc == self.ssrc {
            return;
        }
        if self.ssrc.is_some() {
            self.restart();
            clock.source_changed(self.track);
        }
        self.ssrc = ssrc;
        self.reception = None;
        if let Some(ssrc) = ssrc {
            self.reception = Some(Reception::new(ssrc, self.config.clock_rate));
        }
        if let Some((source, at, info)) = self.early.take()
            && Some(source) == ssrc
        {
            self.handle_sender_report(at, source, &info, clock);
        }
    }

    /// Tells the asking which packets are waited for, and the waiting how long answers take.
    fn follow_missing(&mut self, now: Instant) {
        let patience = match &mut self.retransmission {
            Some(retransmission) => {
                retransmission.follow(now, self.reorder.missing());
                retransmission.patience()
            }
            None => MIN_HOLD,
        };
        self.reorder.set_patience(patience);
    }

    fn restart(&mut self) {
        self.reorder.restart();
        if let Some(retransmission) = &mut self.retransmission {
            retransmission.restart();
        }
        self.before_passed = Before::Packet;
        self.telephone.restart();
        self.media.restart();
    }

    fn drain(&mut self, now: Instant, clock: &mut CallClock, log: &mut FrameLog) {
        while let Some(mut packet) = self.reorder.pop(now) {
            let carried = core::mem::take(&mut self.before_passed);
            if packet.before == Before::Packet {
                packet.before = carried;
            }
            let payload_type = packet.arrival.header.payload_type;
            if self.is_media(payload_type, packet.arrival.received) {
                self.take_media(packet, clock, log);
                continue;
            }
            // Events, and comfort noise and the like (RFC 3389), have their place in the sequence:
            // left out earlier they would be a loss, reported and waited for.
            self.before_passed = packet.before;
            if Some(payload_type) == self.config.telephone_event {
                self.take_telephone_event(&packet.arrival);
            } else {
                count(&mut self.counts.wrong_payload_type);
            }
        }
    }

    fn take_media(&mut self, packet: InOrder, clock: &mut CallClock, log: &mut FrameLog) {
        let out = Outlet {
            track: self.track,
            rate: self.config.clock_rate,
            clock,
            log,
            frames: &mut self.counts.frames,
            keyframe_came: &mut self.keyframe_came,
        };
        self.media.push(packet, &mut self.counts.audio, out);
    }

    /// Takes a picture for whole that nothing ended, when nothing more comes.
    fn end_picture(&mut self, now: Instant, clock: &mut CallClock, log: &mut FrameLog) {
        if self.reorder.held() > 0 {
            // Something of it is missing.
            return;
        }
        let out = Outlet {
            track: self.track,
            rate: self.config.clock_rate,
            clock,
            log,
            frames: &mut self.counts.frames,
            keyframe_came: &mut self.keyframe_came,
        };
        self.media.handle_timeout(now, out);
    }

    fn take_telephone_event(&mut self, arrival: &Arrival) {
        let payload = arrival
            .packet
            .get(arrival.header.payload())
            .unwrap_or_default();
        let Some(event) =
            self.telephone
                .push(arrival.header.timestamp, arrival.header.marker, payload)
        else {
            return;
        };
        count(&mut self.counts.telephone_events);
        if self.events.push_back(event).is_err() {
            count(&mut self.counts.telephone_events_missed);
        }
    }
}
