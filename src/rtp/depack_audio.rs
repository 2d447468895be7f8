//! Audio out of RTP: which frames a packet brings.
//!
//! - G.711 (RFC 3551, section 4.5.14) and Opus (RFC 7587): a packet is a frame as it is. Opus
//!   packets are checked first (RFC 6716, section 3.4).
//! - Speex (RFC 5574): a packet of one frame is a frame as it is. Of several frames each goes by
//!   itself, moved to a byte boundary: decoders of FLV take the first frame of a tag and drop the
//!   rest.
//! - AAC: [`AacDepacketizer`] and [`LatmDepacketizer`].

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

use core::time::Duration;
use std::rc::Rc;

use crate::base::codec::{AacConfig, CodecConfig};
use crate::base::counter::count;
use crate::base::frame_log::Segment;
use crate::base::packet_pool::Packet;
use crate::base::time::Instant;
use crate::limits::AUDIO_FRAGMENTS;
use crate::rtp::depack_aac::AacDepacketizer;
use crate::rtp::depack_latm::LatmDepacketizer;
use crate::rtp::reorder::{Before, InOrder};
use crate::wire::aac::{Latm, Mpeg4Generic};
use crate::wire::opus::OpusPacket;
use crate::wire::speex::{self, SpeexFrames};

/// The bytes of one frame of audio.
pub type AudioSegments = heapless::Vec<Segment, AUDIO_FRAGMENTS>;

/// One frame of audio, but for its bytes.
#[derive(Clone, Debug)]
pub struct AudioFrame {
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// What a receiver must know before it.
    pub config: Rc<CodecConfig>,
    /// When its last packet came.
    pub received: Instant,
    /// When its first packet would have come without the frames behind it in the same packet: a
    /// packet of several frames is sent after the last of them.
    pub ready: Instant,
}

/// What was counted about audio packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudioCounters {
    /// Packets without payload.
    pub empty: u64,
    /// Packets, or AudioMuxElements, that break the rules of their format.
    pub malformed: u64,
    /// Packets of interleaved access units.
    pub interleaved: u64,
    /// Frames, or AudioMuxElements, of which a fragment is missing.
    pub incomplete: u64,
    /// Frames of more packets than are kept, or of more in one packet.
    pub too_large: u64,
    /// AudioMuxElements whose configuration is not known, or cannot be relayed.
    pub unconfigured: u64,
    /// Frames that found no packet slot to be moved to.
    pub no_room: u64,
    /// Configurations in band that differed from the one before.
    pub config_changes: u64,
}

/// Makes frames of one codec out of packets in sequence.
#[derive(Debug)]
pub struct AudioDepacketizer {
    packing: Packing,
    /// What came before the packets without payload that came last.
    before_empty: Before,
}

#[derive(Debug)]
enum Packing {
    /// A packet is a frame.
    Plain(Rc<CodecConfig>),
    Opus(Rc<CodecConfig>),
    Speex(Rc<CodecConfig>),
    Aac(Box<AacDepacketizer>),
    Latm(Box<LatmDepacketizer>),
}

impl AudioDepacketizer {
    /// For a codec of which a packet is a frame, whatever it bears: G.711.
    pub fn plain(config: CodecConfig) -> Self {
        Self::of(Packing::Plain(Rc::new(config)))
    }

    /// For Opus of 1 or 2 channels.
    pub fn opus(channels: u8) -> Self {
        Self::of(Packing::Opus(Rc::new(CodecConfig::Opus { channels })))
    }

    /// For Speex at 16 kHz.
    pub fn speex() -> Self {
        Self::of(Packing::Speex(Rc::new(CodecConfig::Speex)))
    }

    /// For AAC in mpeg4-generic whose RTP clock runs at `clock_rate`.
    pub fn aac(format: &Mpeg4Generic, clock_rate: u32) -> Self {
        let depacketizer = AacDepacketizer::new(format, clock_rate);
        Self::of(Packing::Aac(Box::new(depacketizer)))
    }

    /// For AAC in MP4A-LATM.
    pub fn latm(format: &Latm) -> Self {
        Self::of(Packing::Latm(Box::new(LatmDepacketizer::new(format))))
    }

    fn of(packing: Packing) -> Self {
        Self {
            packing,
            before_empty: Before::Packet,
        }
    }

    /// Takes the next packet; `emit` gets each whole frame with its bytes.
    pub fn push(
        &mut self,
        mut packet: InOrder,
        counters: &mut AudioCounters,
        mut emit: impl FnMut(AudioFrame, &mut AudioSegments),
    ) {
        let carried = core::mem::take(&mut self.before_empty);
        if packet.before == Before::Packet {
            packet.before = carried;
        }
        let arrival = &packet.arrival;
        let payload = arrival
            .packet
            .slice(arrival.header.payload())
            .filter(|payload| !payload.is_empty());
        let Some(payload) = payload else {
            self.before_empty = packet.before;
            return count(&mut counters.empty);
        };
        let config = match &mut self.packing {
            Packing::Aac(aac) => {
                return aac.push(&packet, &payload, counters, &mut emit);
            }
            Packing::Latm(latm) => {
                // It may write to the packet, once no other view is left.
                drop(payload);
                return latm.push(packet, counters, &mut emit);
            }
            Packing::Plain(config) => config,
            Packing::Opus(config) => {
                if OpusPacket::parse(&payload).is_none() {
                    return count(&mut counters.malformed);
                }
                config
            }
            Packing::Speex(config) => match SpeexFrames::check(&payload) {
                Err(_) | Ok(0) => return count(&mut counters.malformed),
                Ok(1) => config,
                Ok(frames) => {
                    let plan = Bundle::new(&packet, frames, &SPEEX_CLOCK);
                    return split_speex(&payload, &plan, config, counters, &mut emit);
                }
            },
        };
        let frame = AudioFrame {
            timestamp: arrival.header.timestamp,
            config: config.clone(),
            received: arrival.received,
            ready: arrival.received,
        };
        emit(frame, &mut one_segment(payload));
    }

    /// Lets go of fragments; another source follows, or a hold is over.
    pub fn restart(&mut self) {
        self.before_empty = Before::Packet;
        match &mut self.packing {
            Packing::Plain(_) | Packing::Opus(_) | Packing::Speex(_) => {}
            Packing::Aac(aac) => aac.restart(),
            Packing::Latm(latm) => latm.restart(),
        }
    }

    /// Packet slots held for what is no whole frame yet.
    pub fn held(&self) -> usize {
        match &self.packing {
            Packing::Plain(_) | Packing::Opus(_) | Packing::Speex(_) => 0,
            Packing::Aac(aac) => aac.held(),
            Packing::Latm(latm) => latm.held(),
        }
    }
}

/// How the samples of frames count on the RTP clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameClock {
    /// Samples of one frame.
    samples: u32,
    /// Samples a second.
    sample_rate: u32,
    /// Ticks of the RTP clock a second.
    clock_rate: u32,
}

const SPEEX_CLOCK: FrameClock = FrameClock {
    samples: speex::FRAME_SAMPLES,
    sample_rate: 16_000,
    clock_rate: 16_000,
};

impl FrameClock {
    /// That of access units of AAC on an RTP clock.
    pub fn of_aac(config: &AacConfig, clock_rate: u32) -> Self {
        Self {
            samples: u32::from(config.frame_samples),
            sample_rate: config.sample_rate.max(1),
            clock_rate,
        }
    }

    /// Ticks of so many frames.
    pub fn ticks(&self, frames: usize) -> u32 {
        self.scaled(frames, u64::from(self.clock_rate)) as u32
    }

    /// Time of so many frames.
    pub fn time(&self, frames: usize) -> Duration {
        Duration::from_micros(self.scaled(frames, 1_000_000))
    }

    fn scaled(&self, frames: usize, rate: u64) -> u64 {
        (frames as u64)
            .saturating_mul(u64::from(self.samples))
            .saturating_mul(rate)
            .checked_div(u64::from(self.sample_rate))
            .unwrap_or(0)
    }
}

/// The frames that came together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bundle<'a> {
    /// RTP timestamp of the first.
    pub timestamp: u32,
    /// Frames in all.
    pub frames: usize,
    /// Arrival of the first packet.
    pub first_received: Instant,
    /// Arrival of the last packet.
    pub received: Instant,
    /// How they count on the RTP clock.
    pub clock: &'a FrameClock,
}

impl<'a> Bundle<'a> {
    /// The frames of one packet.
    pub fn new(packet: &InOrder, frames: usize, clock: &'a FrameClock) -> Self {
        Self {
            timestamp: packet.arrival.header.timestamp,
            frames,
            first_received: packet.arrival.received,
            received: packet.arrival.received,
            clock,
        }
    }

    /// The frame at a place.
    pub fn frame(&self, at: usize, config: &Rc<CodecConfig>) -> AudioFrame {
        let behind = self.frames.saturating_sub(at).saturating_sub(1);
        AudioFrame {
            timestamp: self.timestamp.wrapping_add(self.clock.ticks(at)),
            config: config.clone(),
            received: self.received,
            ready: self.first_received.before(self.clock.time(behind)),
        }
    }
}

/// A frame's bytes in one piece.
pub(super) fn one_segment(payload: Packet) -> AudioSegments {
    let mut segments = AudioSegments::new();
    // There is room for more than one.
    let _ = segments.push(Segment::new(&[], payload));
    segments
}

/// Gives out the frames of a Speex packet one by one, all in one fresh packet slot.
fn split_speex(
    payload: &Packet,
    bundle: &Bundle<'_>,
    config: &Rc<CodecConfig>,
    counters: &mut AudioCounters,
    emit: &mut impl FnMut(AudioFrame, &mut AudioSegments),
) {
    let Some(mut slot) = payload.fresh() else {
        return count(&mut counters.no_room);
    };
    let mut ends = heapless::Vec::<usize, SPEEX_FRAMES>::new();
    let mut end = 0_usize;
    for frame in SpeexFrames::new(payload).flatten() {
        let room = slot
            .bytes_mut()
            .and_then(|bytes| bytes.get_mut(end..))
            .and_then(|room| speex::copy_frame(payload, frame, room));
        let Some(length) = room else {
            return count(&mut counters.too_large);
        };
        end = end.saturating_add(length);
        if ends.push(end).is_err() {
            return count(&mut counters.too_large);
        }
    }
    let mut begin = 0;
    for (at, end) in ends.into_iter().enumerate() {
        if let Some(bytes) = slot.slice(begin..end) {
            emit(bundle.frame(at, config), &mut one_segment(bytes));
        }
        begin = end;
    }
}

/// Frames of 20 ms that one Speex packet may have.
const SPEEX_FRAMES: usize = 16;
