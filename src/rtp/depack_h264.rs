//! H.264 out of RTP: single NAL units, STAP-A and FU-A into whole access units (RFC 6184,
//! packetization modes 0 and 1).
//!
//! An access unit is what shares one RTP timestamp; the marker ends it early. It comes out as
//! views of the received packets in AVC form, or not at all: a unit with any loss or defect in it
//! is dropped, and after a loss everything is, up to the next keyframe. Units of the interleaved
//! mode are not supported.
//!
//! Access unit delimiters and filler are left out. Parameter sets stay in the unit they came in.

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

use crate::base::codec::{CodecConfig, ParameterSet};
use crate::base::frame_log::Segment;
use crate::base::packet_pool::Packet;
use crate::base::time::Instant;
use crate::limits::FRAME_SEGMENTS;
use crate::rtp::parameter_sets::ParameterSets;
use crate::rtp::reorder::InOrder;
use crate::wire::h264::{
    AnnexBUnits, FragmentHeader, NalHeader, NalKind, StapUnits, start_code, starts_picture,
};

/// The pieces of one access unit.
pub type Segments = Vec<Segment, FRAME_SEGMENTS>;

/// A whole access unit; its bytes are in the [`Segments`] beside it.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// RTP timestamp, 90 kHz.
    pub timestamp: u32,
    /// Every slice is one of an IDR picture.
    pub keyframe: bool,
    /// Parameter sets to decode it with.
    pub config: Rc<CodecConfig>,
    /// When its first packet was received.
    pub first_received: Instant,
    /// When its last packet was received.
    pub received: Instant,
}

/// What the depacketizer saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct H264Counters {
    /// Access units handed over.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Access units dropped because part of them is missing or malformed.
    pub damaged: u64,
    /// Whole access units dropped because what they depend on is missing.
    pub withheld: u64,
    /// Payloads and units whose form is broken.
    pub malformed: u64,
    /// Payloads of a form that was not negotiated.
    pub unsupported: u64,
    /// Access units of more pieces than fit.
    pub too_large: u64,
    /// Parameter sets that could not be taken.
    pub sets_refused: u64,
    /// Packets without payload.
    pub empty: u64,
}

/// Puts access units together. About 11 KiB: keep it boxed.
#[derive(Debug, Default)]
pub struct H264Depacketizer {
    sets: ParameterSets,
    segments: Segments,
    unit: Option<Unit>,
    fragmented: Option<Fragmented>,
    /// The timestamp of the unit that a marker ended last.
    ended: Option<u32>,
    /// Units go on after a marker, so only a new timestamp ends them.
    marker_unreliable: bool,
    synced: bool,
    asked: bool,
    wanted: bool,
    counters: H264Counters,
}

/// The access unit being put together.
#[derive(Debug)]
struct Unit {
    timestamp: u32,
    first_received: Instant,
    received: Instant,
    /// Its beginning may be missing, unless its first NAL unit is one that units begin with.
    maybe_headless: bool,
    /// It has the timestamp of a unit that a marker ended.
    after_marker: bool,
    damaged: bool,
    /// Its pieces are not kept, for it will not be handed over.
    dropped: bool,
    idr_slices: bool,
    other_slices: bool,
}

/// A NAL unit of which not all fragments have come.
#[derive(Debug)]
struct Fragmented {
    nal: NalHeader,
    first_segment: usize,
    bytes: u32,
}

impl H264Depacketizer {
    /// A depacketizer that waits for its first keyframe.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes parameter sets from SDP (`sprop-parameter-sets`).
    pub fn take_sprop(&mut self, sets: &[ParameterSet]) {
        for set in sets {
            self.take_set(set);
        }
    }

    /// Takes the next packet in sequence; `out` gets every access unit that it ends, two at most.
    ///
    /// `out` may take the segments; what it leaves is dropped.
    pub fn push(&mut self, packet: InOrder, mut out: impl FnMut(AccessUnit, &mut Segments)) {
        let InOrder { arrival, after_gap } = packet;
        let header = arrival.header;
        if after_gap {
            // Parts of the open unit, or whole units, are missing.
            self.damage();
        }
        if self
            .unit
            .as_ref()
            .is_some_and(|unit| unit.timestamp != header.timestamp)
        {
            self.end_unit(&mut out);
        }
        let payload = header.payload();
        if payload.is_empty() {
            self.counters.empty = self.counters.empty.saturating_add(1);
            return;
        }
        let unit = self.unit.get_or_insert(Unit {
            timestamp: header.timestamp,
            first_received: arrival.received,
            received: arrival.received,
            maybe_headless: after_gap,
            after_marker: self.ended == Some(header.timestamp),
            damaged: false,
            dropped: false,
            idr_slices: false,
            other_slices: false,
        });
        unit.received = arrival.received;
        if let Some(payload) = arrival.packet.slice(payload) {
            self.take_payload(&payload);
        }
        if header.marker && !self.marker_unreliable && self.has_slices() {
            self.end_unit(&mut out);
            self.ended = Some(header.timestamp);
        }
    }

    /// The source changed: drops what is unfinished and waits for a keyframe. Parameter sets stay.
    pub fn restart(&mut self) {
        self.unit = None;
        self.fragmented = None;
        self.segments.clear();
        self.ended = None;
        self.marker_unreliable = false;
        self.lose_sync();
    }

    /// Whether a keyframe has become wanted since the last call.
    pub fn take_keyframe_wanted(&mut self) -> bool {
        core::mem::take(&mut self.wanted)
    }

    /// Whether frames are held back until a keyframe comes.
    pub fn waits_for_keyframe(&self) -> bool {
        !self.synced
    }

    /// What was seen.
    pub fn counters(&self) -> &H264Counters {
        &self.counters
    }

    fn take_payload(&mut self, payload: &Packet) {
        let Some(first) = payload.first() else { return };
        let header = NalHeader(*first);
        if header.is_forbidden() {
            return self.malformed();
        }
        match header.kind() {
            NalKind::FuA => self.take_fragment(payload),
            NalKind::StapA => {
                for unit in StapUnits::new(payload) {
                    match unit {
                        Ok(range) => self.take_nal(payload, range),
                        Err(_) => self.malformed(),
                    }
                }
            }
            NalKind::Interleaved => self.unsupported(),
            NalKind::Reserved if start_code(payload) > 0 => {
                for range in AnnexBUnits::new(payload) {
                    self.take_nal(payload, range);
                }
            }
            // Receivers ignore these (RFC 6184, section 5.2).
            NalKind::Reserved => {
                self.counters.unsupported = self.counters.unsupported.saturating_add(1);
            }
            _ => self.take_nal(payload, 0..payload.len()),
        }
    }

    /// Takes a whole NAL unit that lies in one packet.
    fn take_nal(&mut self, payload: &Packet, range: Range<usize>) {
        let Some(bytes) = payload.get(range.clone()) else {
            return;
        };
        let start = range.start.saturating_add(start_code(bytes));
        let Some(nal) = payload.slice(start..range.end) else {
            return;
        };
        let Some(first) = nal.first() else { return };
        let header = NalHeader(*first);
        if header.is_forbidden() {
            return self.malformed();
        }
        self.close_fragmented();
        self.begin_nal(header.kind(), nal.get(1..).unwrap_or_default());
        match header.kind() {
            NalKind::Delimiter | NalKind::Filler => {}
            NalKind::Sps | NalKind::Pps => {
                self.take_set(&nal);
                self.keep_nal(nal);
            }
            NalKind::Slice | NalKind::IdrSlice | NalKind::Sei | NalKind::Other => {
                self.keep_nal(nal);
            }
            NalKind::StapA | NalKind::FuA => self.malformed(),
            NalKind::Interleaved | NalKind::Reserved => self.unsupported(),
        }
    }

    fn take_fragment(&mut self, payload: &Packet) {
        let Some(header) = FragmentHeader::parse(payload) else {
            return self.malformed();
        };
        let Some(part) = payload.slice(FragmentHeader::BYTES..payload.len()) else {
            return;
        };
        if header.start {
            self.close_fragmented();
            if matches!(
                header.nal.kind(),
                NalKind::StapA | NalKind::FuA | NalKind::Interleaved | NalKind::Reserved
            ) {
                return self.malformed();
            }
            self.begin_nal(header.nal.kind(), &part);
            let first_segment = self.segments.len();
            self.fragmented = Some(Fragmented {
                nal: header.nal,
                first_segment,
                bytes: 1,
            });
            // The length is written when it is known.
            self.grow_fragmented(&[0, 0, 0, 0, header.nal.0], part);
        } else if self
            .fragmented
            .as_ref()
            .is_some_and(|open| open.nal == header.nal)
        {
            if !part.is_empty() {
                self.grow_fragmented(&[], part);
            }
        } else {
            // Its beginning is missing, or it is part of another unit.
            return self.malformed();
        }
        if header.end {
            self.end_fragmented();
        }
    }

    fn grow_fragmented(&mut self, prefix: &[u8], part: Packet) {
        if let Some(open) = &mut self.fragmented {
            open.bytes = open.bytes.saturating_add(part.len() as u32);
        }
        self.keep(Segment::new(prefix, part));
    }

    fn end_fragmented(&mut self) {
        let Some(open) = self.fragmented.take() else {
            return;
        };
        if self.unit.as_ref().is_none_or(|unit| unit.dropped) {
            return;
        }
        let kind = open.nal.kind();
        if matches!(kind, NalKind::Delimiter | NalKind::Filler) {
            self.segments.truncate(open.first_segment);
            return;
        }
        let Some(segments) = self.segments.get_mut(open.first_segment..) else {
            return;
        };
        let Some((first, rest)) = segments.split_first_mut() else {
            return;
        };
        for (to, from) in first.prefix_mut().iter_mut().zip(open.bytes.to_be_bytes()) {
            *to = from;
        }
        if matches!(kind, NalKind::Sps | NalKind::Pps) {
            let mut set = ParameterSet::new();
            let mut whole = set.push(open.nal.0).is_ok();
            whole &= set.extend_from_slice(first.payload()).is_ok();
            for segment in rest {
                whole &= set.extend_from_slice(segment.payload()).is_ok();
            }
            self.take_set(if whole { &set } else { &[] });
        }
    }

    /// A new NAL unit begins; one whose end has not come is damaged.
    fn close_fragmented(&mut self) {
        if self.fragmented.is_some() {
            self.malformed();
        }
    }

    /// Notes what a NAL unit, given without its header byte, tells of the access unit it is in.
    fn begin_nal(&mut self, kind: NalKind, after_header: &[u8]) {
        let Some(unit) = &mut self.unit else { return };
        // Everything before these belongs to the access unit before (H.264, section 7.4.1.2.3),
        // but for units that no decoder misses.
        let headless = unit.maybe_headless && !matches!(kind, NalKind::Sps | NalKind::Delimiter);
        if kind != NalKind::Filler {
            unit.maybe_headless = false;
        }
        let mut damaged = headless;
        match kind {
            NalKind::IdrSlice => unit.idr_slices = true,
            NalKind::Slice => unit.other_slices = true,
            _ => {}
        }
        if matches!(kind, NalKind::IdrSlice | NalKind::Slice) && unit.after_marker {
            unit.after_marker = false;
            // The rest of a picture that was handed over as whole: this sender's markers do not
            // end pictures. Another picture of the same time would start at macroblock 0.
            if !starts_picture(after_header) {
                self.marker_unreliable = true;
                damaged = true;
            }
        }
        if damaged {
            self.damage();
        } else if kind == NalKind::Slice && !self.synced {
            // It will be withheld: there is no need to keep it, nor to wait for its end to ask.
            self.drop_unit();
            self.ask();
        }
    }

    fn keep_nal(&mut self, nal: Packet) {
        let length = nal.len() as u32;
        self.keep(Segment::new(&length.to_be_bytes(), nal));
    }

    fn keep(&mut self, segment: Segment) {
        if self.unit.as_ref().is_none_or(|unit| unit.dropped) {
            return;
        }
        if self.segments.push(segment).is_err() {
            self.counters.too_large = self.counters.too_large.saturating_add(1);
            self.damage();
        }
    }

    fn end_unit(&mut self, out: &mut impl FnMut(AccessUnit, &mut Segments)) {
        self.close_fragmented();
        let has_slices = self.has_slices();
        let Some(unit) = self.unit.take() else { return };
        if unit.damaged {
            self.counters.damaged = self.counters.damaged.saturating_add(1);
        } else if has_slices {
            let keyframe = unit.idr_slices && !unit.other_slices;
            let config = if keyframe || self.synced {
                self.sets.config(keyframe)
            } else {
                None
            };
            if let Some(config) = config {
                self.synced = true;
                self.asked &= !keyframe;
                self.counters.frames = self.counters.frames.saturating_add(1);
                let keyframes = u64::from(keyframe);
                self.counters.keyframes = self.counters.keyframes.saturating_add(keyframes);
                let unit = AccessUnit {
                    timestamp: unit.timestamp,
                    keyframe,
                    config,
                    first_received: unit.first_received,
                    received: unit.received,
                };
                out(unit, &mut self.segments);
            } else {
                self.counters.withheld = self.counters.withheld.saturating_add(1);
                self.ask();
            }
        }
        self.segments.clear();
    }

    fn has_slices(&self) -> bool {
        self.unit
            .as_ref()
            .is_some_and(|unit| unit.idr_slices || unit.other_slices)
    }

    fn take_set(&mut self, nal: &[u8]) {
        if self.sets.take(nal).is_err() {
            self.counters.sets_refused = self.counters.sets_refused.saturating_add(1);
        }
    }

    fn malformed(&mut self) {
        // The fragments after a defect have none of their own.
        if self.unit.as_ref().is_none_or(|unit| !unit.damaged) {
            self.counters.malformed = self.counters.malformed.saturating_add(1);
        }
        self.damage();
    }

    fn unsupported(&mut self) {
        self.counters.unsupported = self.counters.unsupported.saturating_add(1);
        self.damage();
    }

    /// The open unit will not be handed over, and nothing that depends on it.
    fn damage(&mut self) {
        if let Some(unit) = &mut self.unit {
            unit.damaged = true;
        }
        self.fragmented = None;
        self.drop_unit();
        self.lose_sync();
    }

    fn drop_unit(&mut self) {
        if let Some(unit) = &mut self.unit {
            unit.dropped = true;
        }
        self.segments.clear();
    }

    fn lose_sync(&mut self) {
        if core::mem::take(&mut self.synced) {
            self.asked = false;
        }
        self.ask();
    }

    /// Asks for a keyframe, once until one comes or the next loss.
    fn ask(&mut self) {
        if !core::mem::replace(&mut self.asked, true) {
            self.wanted = true;
        }
    }
}
