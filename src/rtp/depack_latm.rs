//! AAC out of MP4A-LATM (RFC 6416, section 6).
//!
//! The packets of one AudioMuxElement share a timestamp, and the last one has the marker bit
//! (6.1, 6.2). Where a StreamMuxConfig may stand in band, payloads begin at any bit: the packets of
//! the element are then shifted to bytes where they lie, so that nothing is copied. All payloads of
//! one element are shifted by the same number of bits.
//!
//! After a gap, and for the first packet of a source, a packet may be in the middle of an element.
//! It is taken for a beginning only when the timestamps say that each missing packet was an element,
//! or when its lengths fill it to the last byte, which a short one of a sender that spreads elements
//! over packets may do by chance; else it is dropped.

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

use core::ops::Range;
use std::rc::Rc;

use heapless::Vec;

use crate::base::codec::CodecConfig;
use crate::base::counter::count;
use crate::base::frame_log::Segment;
use crate::base::packet_pool::Packet;
use crate::base::time::Instant;
use crate::limits::{AUDIO_FRAGMENTS, AUDIO_UNITS};
use crate::rtp::depack_audio::{AudioCounters, AudioFrame, AudioSegments, Bundle, FrameClock};
use crate::rtp::reorder::{Before, InOrder};
use crate::wire::aac::Latm;
use crate::wire::bits::{Bits, Bytes};
use crate::wire::latm::{self, StreamMux};

/// Makes access units out of packets in sequence.
#[derive(Debug)]
pub struct LatmDepacketizer {
    mux: Option<Mux>,
    in_band: bool,
    clock_rate: u32,
    open: Option<Element>,
    /// The timestamp of an element whose packets are dropped.
    skipping: Option<u32>,
    /// This sender spreads elements over packets.
    spreads: bool,
    /// Sequence number and timestamp of the packet before, where it ended an element.
    last_end: Option<(u16, u32)>,
}

/// The configuration in use.
#[derive(Debug)]
struct Mux {
    told: StreamMux,
    config: Rc<CodecConfig>,
    clock: FrameClock,
}

/// An AudioMuxElement that has begun.
#[derive(Debug)]
struct Element {
    timestamp: u32,
    first_received: Instant,
    received: Instant,
    /// It is an element only if its lengths fill it.
    doubtful: bool,
    /// Elements before it were spread over packets.
    after_spread: bool,
    parts: Parts,
}

/// An element that is filled by so many bits has three bytes of length or more: nothing that was
/// meant otherwise looks like that.
const PROOF_BITS: usize = (2 * 255 + 3) * 8;

/// The payloads of an element's packets.
#[derive(Debug, Default)]
struct Parts(Vec<Packet, AUDIO_FRAGMENTS>);

/// The places of an element's payloads, in bytes after the shift.
type Places = Vec<Range<usize>, AUDIO_UNITS>;

impl Mux {
    fn new(told: StreamMux, clock_rate: u32) -> Self {
        Self {
            config: Rc::new(CodecConfig::Aac(told.config.clone())),
            clock: FrameClock::of_aac(&told.config, clock_rate),
            told,
        }
    }
}

impl LatmDepacketizer {
    /// For what SDP said.
    pub fn new(format: &Latm) -> Self {
        let mux = format.config.clone();
        Self {
            mux: mux.map(|mux| Mux::new(mux, format.clock_rate)),
            in_band: format.in_band,
            clock_rate: format.clock_rate,
            open: None,
            skipping: None,
            spreads: false,
            last_end: None,
        }
    }

    /// Takes the next packet.
    pub(super) fn push(
        &mut self,
        packet: InOrder,
        counters: &mut AudioCounters,
        emit: &mut impl FnMut(AudioFrame, &mut AudioSegments),
    ) {
        let InOrder { arrival, before } = packet;
        let header = arrival.header;
        let follows = before == Before::Packet;
        if let Some(open) = &self.open
            && !(follows && open.timestamp == header.timestamp)
        {
            if follows {
                // Some senders never set the marker bit.
                self.finish(counters, emit);
            } else {
                self.open = None;
                count(&mut counters.incomplete);
            }
        }
        let goes_on = |skipped: u32| follows && skipped == header.timestamp;
        self.skipping = self.skipping.filter(|skipped| goes_on(*skipped));
        let begins = self.open.is_none() && self.skipping.is_none();
        let doubtful =
            begins && !follows && !self.is_next_element(before, header.sequence, header.timestamp);
        let ends = header.marker;
        self.last_end = ends.then_some((header.sequence, header.timestamp));
        if self.skipping.is_some() {
            self.skipping = self.skipping.filter(|_| !ends);
            return;
        }
        let payload = arrival
            .packet
            .slice(header.payload())
            .unwrap_or_else(|| arrival.packet.clone());
        // The payload's view has to be alone for the shift.
        drop(arrival.packet);
        let open = self.open.get_or_insert_with(|| Element {
            timestamp: header.timestamp,
            first_received: arrival.received,
            received: arrival.received,
            doubtful,
            after_spread: self.spreads,
            parts: Parts::default(),
        });
        open.received = arrival.received;
        if open.parts.0.push(payload).is_err() {
            self.open = None;
            self.skipping = (!ends).then_some(header.timestamp);
            return count(&mut counters.too_large);
        }
        self.spreads |= open.parts.0.len() > 1;
        if ends {
            self.finish(counters, emit);
        }
    }

    /// Lets go of fragments.
    pub(super) fn restart(&mut self) {
        self.open = None;
        self.skipping = None;
        self.spreads = false;
        self.last_end = None;
    }

    /// Packet slots held.
    pub(super) fn held(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.parts.0.len())
    }

    /// Whether each packet that is missing before this one was an element of its own.
    fn is_next_element(&self, before: Before, sequence: u16, timestamp: u32) -> bool {
        let (Some(mux), Some(last), Before::Gap) = (&self.mux, self.last_end, before) else {
            return false;
        };
        let packets = usize::from(sequence.wrapping_sub(last.0));
        let units = packets.saturating_mul(usize::from(mux.told.units));
        let off = timestamp
            .wrapping_sub(last.1)
            .wrapping_sub(mux.clock.ticks(units))
            .cast_signed()
            .unsigned_abs();
        // Senders round times; nobody by half a frame.
        off < mux.clock.ticks(1) / 2
    }

    /// Gives out the access units of the element that is open.
    fn finish(
        &mut self,
        counters: &mut AudioCounters,
        emit: &mut impl FnMut(AudioFrame, &mut AudioSegments),
    ) {
        let Some(mut element) = self.open.take() else {
            return;
        };
        let known = self.mux.is_some();
        if !self.read_element(&mut element, counters, emit) && element.doubtful && !known {
            // A configuration from the middle of an element is none.
            self.mux = None;
        }
    }

    /// `false` when the element cannot be used.
    fn read_element(
        &mut self,
        element: &mut Element,
        counters: &mut AudioCounters,
        emit: &mut impl FnMut(AudioFrame, &mut AudioSegments),
    ) -> bool {
        let refuse = |counter: &mut u64| {
            count(counter);
            false
        };
        let mut bits = Bits::new(&element.parts);
        if self.in_band && !self.read_config(&mut bits, element.doubtful, counters) {
            return false;
        }
        let Some(mux) = &self.mux else {
            return refuse(&mut counters.unconfigured);
        };
        let Some(places) = read_lengths(&mut bits, mux.told.units) else {
            return refuse(&mut counters.malformed);
        };
        let used = bits.position();
        let total = element.parts.len().saturating_mul(8);
        if used > total {
            return refuse(&mut counters.malformed);
        }
        let is_filled = total.saturating_sub(used) < 8;
        let is_proven = !element.after_spread || total >= PROOF_BITS;
        if element.doubtful && !(is_filled && is_proven) {
            return refuse(&mut counters.incomplete);
        }
        let by = (used & 7) as u32;
        if by > 0 && element.parts.shift_left(by).is_none() {
            return refuse(&mut counters.no_room);
        }
        let bundle = Bundle {
            timestamp: element.timestamp,
            frames: places.len(),
            first_received: element.first_received,
            received: element.received,
            clock: &mux.clock,
        };
        for (at, place) in places.into_iter().enumerate() {
            let mut segments = element.parts.segments(place);
            if !segments.is_empty() {
                emit(bundle.frame(at, &mux.config), &mut segments);
            }
        }
        true
    }

    /// Reads `useSameStreamMux` and what may follow; `false` when the element cannot be used.
    fn read_config(
        &mut self,
        bits: &mut Bits<'_, Parts>,
        doubtful: bool,
        counters: &mut AudioCounters,
    ) -> bool {
        match bits.flag() {
            Some(true) => return true,
            Some(false) => {}
            None => {
                count(&mut counters.malformed);
                return false;
            }
        }
        let told = match latm::read_stream_mux(bits) {
            Ok(told) => told,
            Err(_) => {
                count(&mut counters.unconfigured);
                if !doubtful {
                    // What refers to it cannot be read either.
                    self.mux = None;
                }
                return false;
            }
        };
        if self.mux.as_ref().is_none_or(|mux| mux.told != told) {
            if doubtful && self.mux.is_some() {
                // The middle of an element may look like anything.
                count(&mut counters.incomplete);
                return false;
            }
            if self.mux.is_some() {
                count(&mut counters.config_changes);
            }
            self.mux = Some(Mux::new(told, self.clock_rate));
        }
        true
    }
}

/// Reads over the payloads of an element; their places once its bytes have been shifted.
fn read_lengths(bits: &mut Bits<'_, Parts>, units: u8) -> Option<Places> {
    let mut places = Places::new();
    for _ in 0..units {
        let length = latm::payload_length(bits)?;
        let begin = bits.position() >> 3;
        bits.skip(length.checked_mul(8)?);
        places.push(begin..begin.checked_add(length)?).ok()?;
    }
    Some(places)
}

impl Parts {
    fn len(&self) -> usize {
        self.0
            .iter()
            .fold(0, |all, part| all.saturating_add(part.len()))
    }

    /// Shifts all bytes by fewer than 8 bits towards the front, across packets. `None`, and nothing
    /// that can be used, when another view of a packet exists.
    fn shift_left(&mut self, by: u32) -> Option<()> {
        let mut carry = 0_u8;
        for part in self.0.iter_mut().rev() {
            for byte in part.bytes_mut()?.iter_mut().rev() {
                let both = u16::from_be_bytes([*byte, carry]).checked_shl(by)?;
                carry = *byte;
                [*byte, _] = both.to_be_bytes();
            }
        }
        Some(())
    }

    /// The bytes of a range, packet by packet.
    fn segments(&self, range: Range<usize>) -> AudioSegments {
        let mut segments = AudioSegments::new();
        let mut passed = 0_usize;
        for part in &self.0 {
            let begin = range.start.saturating_sub(passed).min(part.len());
            let end = range.end.saturating_sub(passed).min(part.len());
            passed = passed.saturating_add(part.len());
            if begin < end
                && let Some(view) = part.slice(begin..end)
            {
                // As many packets as segments have room.
                let _ = segments.push(Segment::new(&[], view));
            }
        }
        segments
    }
}

impl Bytes for Parts {
    fn byte(&self, at: usize) -> Option<u8> {
        let mut at = at;
        for part in &self.0 {
            match part.get(at) {
                Some(byte) => return Some(*byte),
                None => at = at.saturating_sub(part.len()),
            }
        }
        None
    }
}
