//! AAC out of mpeg4-generic (RFC 3640, mode AAC-hbr, section 3.3.6).
//!
//! A packet has a section of headers (3.2.1) and then either several whole access units or a
//! fragment of one. Each access unit becomes a frame; one whose fragments did not all come becomes
//! none. Interleaved access units (an AU-Index-delta other than 0) are dropped: putting them in
//! order would delay all others. Auxiliary data and the fields of an AU-header beyond size and index
//! have no place here: they must be of length 0, as AAC-hbr has them.

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

use std::rc::Rc;

use crate::base::codec::CodecConfig;
use crate::base::counter::count;
use crate::base::frame_log::Segment;
use crate::base::packet_pool::Packet;
use crate::base::time::Instant;
use crate::limits::AUDIO_UNITS;
use crate::rtp::depack_audio::{
    AudioCounters, AudioFrame, AudioSegments, Bundle, FrameClock, one_segment,
};
use crate::rtp::reorder::{Before, InOrder};
use crate::wire::aac::Mpeg4Generic;
use crate::wire::bits::Bits;

/// Makes access units out of packets in sequence.
#[derive(Debug)]
pub struct AacDepacketizer {
    config: Rc<CodecConfig>,
    clock: FrameClock,
    size_length: u32,
    index_length: u32,
    index_delta_length: u32,
    constant_size: Option<usize>,
    open: Option<Open>,
}

/// An access unit of which fragments have come.
#[derive(Debug)]
struct Open {
    timestamp: u32,
    /// Bytes of the whole unit.
    size: usize,
    have: usize,
    first_received: Instant,
    segments: AudioSegments,
}

/// Sizes of the access units that one packet tells of.
type Sizes = heapless::Vec<usize, AUDIO_UNITS>;

/// Why a packet is dropped.
enum Fault {
    Malformed,
    Interleaved,
    TooMany,
}

impl AacDepacketizer {
    /// For what SDP said, on an RTP clock of `clock_rate`.
    pub fn new(format: &Mpeg4Generic, clock_rate: u32) -> Self {
        Self {
            config: Rc::new(CodecConfig::Aac(format.config.clone())),
            clock: FrameClock::of_aac(&format.config, clock_rate),
            size_length: u32::from(format.size_length),
            index_length: u32::from(format.index_length),
            index_delta_length: u32::from(format.index_delta_length),
            constant_size: format.constant_size.map(usize::from),
            open: None,
        }
    }

    /// Takes the next packet, whose payload is `payload`.
    pub(super) fn push(
        &mut self,
        packet: &InOrder,
        payload: &Packet,
        counters: &mut AudioCounters,
        emit: &mut impl FnMut(AudioFrame, &mut AudioSegments),
    ) {
        let timestamp = packet.arrival.header.timestamp;
        let continues =
            |open: &Open| packet.before == Before::Packet && open.timestamp == timestamp;
        if self.open.as_ref().is_some_and(|open| !continues(open)) {
            self.open = None;
            count(&mut counters.incomplete);
        }
        let (sizes, begin) = match self.read_headers(payload) {
            Ok(read) => read,
            Err(fault) => {
                self.open = None;
                return count(match fault {
                    Fault::Malformed => &mut counters.malformed,
                    Fault::Interleaved => &mut counters.interleaved,
                    Fault::TooMany => &mut counters.too_large,
                });
            }
        };
        let room = payload.len().saturating_sub(begin);
        if let [size] = sizes.as_slice()
            && *size > room
        {
            let Some(fragment) = payload.slice(begin..payload.len()) else {
                return;
            };
            return self.push_fragment(packet, *size, fragment, counters, emit);
        }
        if self.open.take().is_some() {
            // A whole unit at the time of one that had only begun.
            count(&mut counters.incomplete);
        }
        let all = sizes
            .iter()
            .fold(0_usize, |all, size| all.saturating_add(*size));
        if all > room {
            return count(&mut counters.malformed);
        }
        let bundle = Bundle::new(packet, sizes.len(), &self.clock);
        let mut begin = begin;
        for (at, size) in sizes.into_iter().enumerate() {
            let end = begin.saturating_add(size);
            if let Some(unit) = payload.slice(begin..end).filter(|unit| !unit.is_empty()) {
                emit(bundle.frame(at, &self.config), &mut one_segment(unit));
            }
            begin = end;
        }
    }

    /// Lets go of fragments.
    pub(super) fn restart(&mut self) {
        self.open = None;
    }

    /// Packet slots held.
    pub(super) fn held(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.segments.len())
    }

    /// Sizes of the access units, and where the first begins.
    fn read_headers(&self, payload: &[u8]) -> Result<(Sizes, usize), Fault> {
        let first = self.size_length.saturating_add(self.index_length);
        let other = self.size_length.saturating_add(self.index_delta_length);
        let mut sizes = Sizes::new();
        if first == 0 && other == 0 {
            // No header section at all (3.2.1).
            let mut left = payload.len();
            loop {
                let size = self.constant_size.filter(|size| *size > 0).unwrap_or(left);
                sizes.push(size).map_err(|_| Fault::TooMany)?;
                left = left.saturating_sub(size);
                if left == 0 {
                    return Ok((sizes, 0));
                }
                // A rest shorter than a unit belongs to none.
                if left < size {
                    return Err(Fault::Malformed);
                }
            }
        }
        let length = payload.first_chunk::<2>().ok_or(Fault::Malformed)?;
        let section = usize::from(u16::from_be_bytes(*length));
        let begin = section.div_ceil(8).saturating_add(2);
        if section == 0 || begin > payload.len() {
            return Err(Fault::Malformed);
        }
        let end = section.saturating_add(16);
        let mut bits = Bits::at(payload, 16);
        let mut header = first;
        while bits.position() < end {
            if end.saturating_sub(bits.position()) < header as usize || header == 0 {
                return Err(Fault::Malformed);
            }
            let size = bits.number(self.size_length).ok_or(Fault::Malformed)?;
            if sizes.is_empty() {
                // The first index counts on its own, whatever it is.
                bits.skip(self.index_length as usize);
            } else if bits.number(self.index_delta_length) != Some(0) {
                return Err(Fault::Interleaved);
            }
            let size = match (self.size_length, self.constant_size) {
                (0, Some(constant)) => constant,
                // One unit a packet, of all its bytes (3.2.1.1).
                (0, None) => payload.len().saturating_sub(begin),
                _ => size as usize,
            };
            sizes.push(size).map_err(|_| Fault::TooMany)?;
            header = other;
        }
        Ok((sizes, begin))
    }

    /// Takes a fragment of a unit of `size` bytes; the one that completes it makes the frame.
    fn push_fragment(
        &mut self,
        packet: &InOrder,
        size: usize,
        fragment: Packet,
        counters: &mut AudioCounters,
        emit: &mut impl FnMut(AudioFrame, &mut AudioSegments),
    ) {
        let header = &packet.arrival.header;
        let mut open = self.open.take().unwrap_or_else(|| Open {
            timestamp: header.timestamp,
            size,
            have: 0,
            first_received: packet.arrival.received,
            segments: AudioSegments::new(),
        });
        open.have = open.have.saturating_add(fragment.len());
        if open.size != size || open.have > size {
            return count(&mut counters.malformed);
        }
        if open.segments.push(Segment::new(&[], fragment)).is_err() {
            return count(&mut counters.too_large);
        }
        if open.have < size {
            if header.marker {
                // The last one, and some are missing.
                return count(&mut counters.incomplete);
            }
            self.open = Some(open);
            return;
        }
        let bundle = Bundle {
            timestamp: open.timestamp,
            frames: 1,
            first_received: open.first_received,
            received: packet.arrival.received,
            clock: &self.clock,
        };
        emit(bundle.frame(0, &self.config), &mut open.segments);
    }
}
