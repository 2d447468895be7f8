//! The depacketizer of a track's codec, and the way of its frames to the log.

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

use crate::base::codec::{CodecConfig, Track};
use crate::base::counter::count;
use crate::base::frame_log::{Frame, FrameLog, Segment};
use crate::base::time::Instant;
use crate::rtp::call_clock::CallClock;
use crate::rtp::depack_audio::{AudioCounters, AudioDepacketizer, AudioFrame, AudioSegments};
use crate::rtp::depack_h264::{AccessUnit, H264Counters, H264Depacketizer, Segments};
use crate::rtp::depack_vp8::{Vp8Counters, Vp8Depacketizer};
use crate::rtp::reorder::InOrder;
use crate::rtp::source::Arrival;
use crate::rtp::stream::config::{Codec, StreamConfig};
use crate::wire::aac::AacPacking;

/// The depacketizer of a codec.
#[derive(Debug)]
pub(super) enum Media {
    H264(Box<H264Depacketizer>),
    Vp8(Box<Vp8Depacketizer>),
    Audio(AudioDepacketizer),
}

/// Where whole frames go, and what is noted of them.
pub(super) struct Outlet<'a> {
    pub track: Track,
    /// Ticks of the RTP timestamp in a second.
    pub rate: u32,
    pub clock: &'a mut CallClock,
    pub log: &'a mut FrameLog,
    /// Frames put into the log.
    pub frames: &'a mut u64,
    pub keyframe_came: &'a mut bool,
}

impl Media {
    /// For what was agreed on.
    pub fn new(config: &StreamConfig) -> Self {
        let audio = match &config.codec {
            Codec::H264 { sprop } => {
                let mut depacketizer = Box::new(H264Depacketizer::new());
                depacketizer.take_sprop(sprop);
                return Self::H264(depacketizer);
            }
            Codec::Vp8 => return Self::Vp8(Box::default()),
            Codec::Opus { channels } => AudioDepacketizer::opus(*channels),
            Codec::Aac(AacPacking::Generic(format)) => {
                AudioDepacketizer::aac(format, config.clock_rate)
            }
            Codec::Aac(AacPacking::Latm(format)) => AudioDepacketizer::latm(format),
            Codec::Speex => AudioDepacketizer::speex(),
            Codec::Pcma => AudioDepacketizer::plain(CodecConfig::Pcma),
            Codec::Pcmu => AudioDepacketizer::plain(CodecConfig::Pcmu),
        };
        Self::Audio(audio)
    }

    /// Whether a source's first packet may well be the first of a frame.
    pub fn can_begin_with(&self, arrival: &Arrival) -> bool {
        let payload = arrival
            .packet
            .get(arrival.header.payload())
            .unwrap_or_default();
        match self {
            Self::H264(depacketizer) => depacketizer.can_begin_with(payload),
            Self::Vp8(depacketizer) => depacketizer.can_begin_with(payload),
            Self::Audio(_) => true,
        }
    }

    /// Takes the next packet in sequence.
    pub fn push(&mut self, packet: InOrder, counters: &mut AudioCounters, mut out: Outlet<'_>) {
        match self {
            Self::H264(depacketizer) => {
                depacketizer.push(packet, |unit, segments| out.picture(unit, segments));
            }
            Self::Vp8(depacketizer) => {
                depacketizer.push(packet, |unit, segments| out.picture(unit, segments));
            }
            Self::Audio(depacketizer) => {
                depacketizer.push(packet, counters, |frame, bytes| out.sound(frame, bytes));
            }
        }
    }

    /// Takes a picture for whole that nothing ended, if its time has come.
    pub fn handle_timeout(&mut self, now: Instant, mut out: Outlet<'_>) {
        match self {
            Self::H264(depacketizer) => {
                depacketizer.handle_timeout(now, |unit, segments| out.picture(unit, segments));
            }
            Self::Vp8(depacketizer) => {
                depacketizer.handle_timeout(now, |unit, segments| out.picture(unit, segments));
            }
            Self::Audio(_) => {}
        }
    }

    /// When to call [`Self::handle_timeout`], if nothing comes until then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::H264(depacketizer) => depacketizer.poll_timeout(),
            Self::Vp8(depacketizer) => depacketizer.poll_timeout(),
            Self::Audio(_) => None,
        }
    }

    /// Lets go of what is no whole frame yet.
    pub fn restart(&mut self) {
        match self {
            Self::H264(depacketizer) => depacketizer.restart(),
            Self::Vp8(depacketizer) => depacketizer.restart(),
            Self::Audio(depacketizer) => depacketizer.restart(),
        }
    }

    /// Packet slots held for what is no whole frame yet, or fewer.
    pub fn held(&self) -> usize {
        match self {
            Self::H264(depacketizer) => depacketizer.held(),
            Self::Vp8(depacketizer) => depacketizer.held(),
            Self::Audio(depacketizer) => depacketizer.held(),
        }
    }

    /// Whether a keyframe has become wanted since the last call, and has not come.
    pub fn take_keyframe_wanted(&mut self) -> bool {
        match self {
            Self::H264(depacketizer) => {
                depacketizer.take_keyframe_wanted() && depacketizer.waits_for_keyframe()
            }
            Self::Vp8(depacketizer) => {
                depacketizer.take_keyframe_wanted() && depacketizer.waits_for_keyframe()
            }
            Self::Audio(_) => false,
        }
    }

    /// The sender was asked for a keyframe once more.
    pub fn keyframe_asked(&mut self) {
        if let Self::H264(depacketizer) = self {
            depacketizer.keyframe_asked();
        }
    }

    /// What the H.264 depacketizer saw, if it is one.
    pub fn h264_counters(&self) -> Option<H264Counters> {
        match self {
            Self::H264(depacketizer) => Some(*depacketizer.counters()),
            Self::Vp8(_) | Self::Audio(_) => None,
        }
    }

    /// What the VP8 depacketizer saw, if it is one.
    pub fn vp8_counters(&self) -> Option<Vp8Counters> {
        match self {
            Self::Vp8(depacketizer) => Some(*depacketizer.counters()),
            Self::H264(_) | Self::Audio(_) => None,
        }
    }

    /// Goes on counting from what the depacketizers of the same codec counted before.
    pub fn resume_counters(&mut self, h264: H264Counters, vp8: Vp8Counters) {
        match self {
            Self::H264(depacketizer) => depacketizer.resume_counters(h264),
            Self::Vp8(depacketizer) => depacketizer.resume_counters(vp8),
            Self::Audio(_) => {}
        }
    }
}

impl Outlet<'_> {
    fn picture(&mut self, unit: AccessUnit, segments: &mut Segments) {
        let AccessUnit {
            timestamp,
            keyframe,
            config,
            first_received,
            received,
        } = unit;
        let times =
            self.clock
                .picture_times(timestamp, self.rate, first_received, keyframe, &config);
        *self.keyframe_came |= keyframe;
        let frame = Frame {
            track: self.track,
            time: times.time,
            composition: times.composition,
            keyframe,
            config,
            received,
        };
        self.push(frame, segments);
    }

    fn sound(&mut self, audio: AudioFrame, segments: &mut AudioSegments) {
        let time = self
            .clock
            .frame_time(self.track, audio.timestamp, self.rate, audio.ready);
        let frame = Frame {
            track: self.track,
            time,
            composition: 0,
            keyframe: true,
            config: audio.config,
            received: audio.received,
        };
        self.push(frame, segments);
    }

    fn push<const N: usize>(&mut self, frame: Frame, segments: &mut heapless::Vec<Segment, N>) {
        // A frame never has more segments than the log.
        if self.log.push(frame, segments).is_ok() {
            count(self.frames);
        }
    }
}
