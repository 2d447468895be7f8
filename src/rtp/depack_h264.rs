//! H.264 out of RTP: single NAL units, STAP-A and FU-A into whole access units (RFC 6184,
//! packetization modes 0 and 1).
//!
//! An access unit is what shares one RTP timestamp. The marker ends it early, and so does the first
//! slice of another picture. It comes out as views of the received packets in AVC form, or not at
//! all: a unit with any loss or defect in it is dropped, and after a loss everything is, up to the
//! next keyframe. So is a unit whose parameter sets are not known. Units of the interleaved mode are
//! not supported.
//!
//! Access unit delimiters, filler, and units of scalable and multiview layers are left out. Parameter
//! sets stay in the unit they came in, supplemental information and ends of sequences too.
//!
//! Encoders with intra refresh never send an IDR picture. A recovery point (H.264, section D.2.8)
//! that is right at once, in a picture whose slices are all intra, is a keyframe like any other. One
//! that is right only some pictures later is taken for a keyframe when [`REFUSALS`] requests brought
//! no IDR picture: decoders show that stream's first pictures as far as they are refreshed.

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

mod counters;
mod open_unit;
mod payload;

use std::rc::Rc;

use heapless::Vec;

use crate::base::codec::{CodecConfig, ParameterSet};
use crate::base::counter::count;
use crate::base::frame_log::Segment;
use crate::base::time::Instant;
use crate::limits::FRAME_SEGMENTS;
use crate::rtp::decoder_state::DecoderState;
use crate::rtp::depack_h264::open_unit::{OpenUnit, Picture, Verdict};
use crate::rtp::depack_h264::payload::Fragmented;
use crate::rtp::parameter_sets::ParameterSets;
use crate::rtp::picture_end::PictureEnd;
use crate::rtp::reorder::{Before, InOrder};
use crate::wire::h264::{FragmentHeader, NalHeader, NalKind, starts_picture};
use crate::wire::h264_slice::SliceHead;

pub use counters::H264Counters;

/// Requests without an IDR picture after which any recovery point is a place to begin.
pub const REFUSALS: u8 = 3;

/// The pieces of one access unit.
pub type Segments = Vec<Segment, FRAME_SEGMENTS>;

/// A whole access unit; its bytes are in the [`Segments`] beside it.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// RTP timestamp, 90 kHz.
    pub timestamp: u32,
    /// Decoding may begin with it.
    pub keyframe: bool,
    /// Parameter sets to decode it with.
    pub config: Rc<CodecConfig>,
    /// When its first packet was received.
    pub first_received: Instant,
    /// When its last packet was received.
    pub received: Instant,
}

/// Puts access units together. About 11 KiB: keep it boxed.
#[derive(Debug, Default)]
pub struct H264Depacketizer {
    sets: ParameterSets,
    segments: Segments,
    unit: Option<OpenUnit>,
    fragmented: Option<Fragmented>,
    /// What came before the packets without payload that came last.
    before_empty: Before,
    end: PictureEnd,
    /// Requests since the last IDR picture.
    refusals: u8,
    decoder: DecoderState,
    counters: H264Counters,
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

    /// Takes the next packet in sequence; `out` gets every access unit that it ends: two at most, but
    /// for aggregates that hold several.
    ///
    /// `out` may take the segments; what it leaves is dropped.
    pub fn push(&mut self, packet: InOrder, mut out: impl FnMut(AccessUnit, &mut Segments)) {
        let InOrder { arrival, before } = packet;
        let header = arrival.header;
        let carried = core::mem::take(&mut self.before_empty);
        let before = if before == Before::Packet {
            carried
        } else {
            before
        };
        if before == Before::Gap {
            // Parts of the open unit, or whole units, are missing.
            self.damage();
        }
        let open = self.unit.as_ref();
        if let Some(unit) = open.filter(|unit| unit.timestamp != header.timestamp) {
            let end = &self.end;
            if end.is_cut_off(unit.received, unit.marked, arrival.received) {
                self.damage();
            }
            self.end_by_timestamp(&mut out);
        }
        let payload = header.payload();
        if payload.is_empty() {
            count(&mut self.counters.empty);
            self.before_empty = before;
            return;
        }
        self.end.packet(header.marker);
        let ended = self.end.has_ended(header.timestamp);
        let unit = self
            .unit
            .get_or_insert_with(|| OpenUnit::new(&arrival, before, ended));
        unit.received = arrival.received;
        if let Some(payload) = arrival.packet.slice(payload) {
            self.take_payload(&payload, &mut out);
        }
        if let Some(unit) = &mut self.unit {
            unit.marked = header.marker;
        }
        if header.marker {
            self.take_marker(header.timestamp, &mut out);
        }
    }

    /// Takes the open access unit for whole, if its time has come.
    pub fn handle_timeout(&mut self, now: Instant, mut out: impl FnMut(AccessUnit, &mut Segments)) {
        if self.poll_timeout().is_some_and(|due| due <= now)
            && let Some(unit) = &self.unit
        {
            self.end.by_quiet(unit.timestamp);
            self.end_unit(&mut out);
        }
    }

    /// When to call [`Self::handle_timeout`], if nothing comes until then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let unit = self.unit.as_ref()?;
        let may_be_whole = unit.is_kept() && unit.has_slices() && self.fragmented.is_none();
        may_be_whole
            .then(|| self.end.deadline(unit.received, unit.marked))
            .flatten()
    }

    /// The sender was asked for a keyframe once more.
    pub fn keyframe_asked(&mut self) {
        self.refusals = self.refusals.saturating_add(1);
    }

    /// The source changed: drops what is unfinished and waits for a keyframe. Parameter sets stay.
    pub fn restart(&mut self) {
        self.unit = None;
        self.fragmented = None;
        self.segments.clear();
        self.before_empty = Before::Packet;
        self.end = PictureEnd::default();
        self.refusals = 0;
        self.decoder.lose();
    }

    /// Whether a source's first packet may well be the first of an access unit: others belong
    /// before it otherwise.
    pub fn can_begin_with(&self, payload: &[u8]) -> bool {
        let Some(first) = payload.first() else {
            return true;
        };
        let (kind, after_header) = match NalHeader(*first).kind() {
            NalKind::StapA => (
                NalHeader(payload.get(3).copied().unwrap_or(0)).kind(),
                &[][..],
            ),
            NalKind::FuA => match FragmentHeader::parse(payload) {
                Some(header) if header.start => (
                    header.nal.kind(),
                    payload.get(FragmentHeader::BYTES..).unwrap_or_default(),
                ),
                _ => return false,
            },
            NalKind::Reserved => (NalKind::Sps, &[][..]),
            kind => (kind, payload.get(1..).unwrap_or_default()),
        };
        match kind {
            NalKind::Sps | NalKind::Delimiter => true,
            NalKind::IdrSlice => self.sets.are_complete() && starts_picture(after_header),
            _ => false,
        }
    }

    /// Whether a keyframe has become wanted since the last call.
    pub fn take_keyframe_wanted(&mut self) -> bool {
        self.decoder.take_wanted()
    }

    /// Whether frames are held back until a keyframe comes.
    pub fn waits_for_keyframe(&self) -> bool {
        !self.decoder.is_synced()
    }

    /// Pieces of the access unit that is being put together.
    pub fn held(&self) -> usize {
        self.segments.len()
    }

    /// Goes on counting from what another one saw before.
    pub fn resume_counters(&mut self, counters: H264Counters) {
        self.counters = counters;
    }

    /// What was seen.
    pub fn counters(&self) -> &H264Counters {
        &self.counters
    }

    /// A NAL unit begins, given without its header byte.
    fn begin_nal(
        &mut self,
        header: NalHeader,
        after_header: &[u8],
        out: &mut impl FnMut(AccessUnit, &mut Segments),
    ) {
        let kind = header.kind();
        let is_slice = matches!(kind, NalKind::Slice | NalKind::IdrSlice);
        let head = is_slice.then(|| SliceHead::parse(after_header)).flatten();
        let sps = match head {
            Some(head) => self.sets.sps_of(head.pps),
            // It is in fragments of hardly a byte.
            None => self.sets.usual_sps(),
        };
        let picture = head.map(|head| Picture::new(header, head, sps));
        if let Some(unit) = &self.unit
            && unit.ends_before(kind, picture)
        {
            self.split(out);
        }
        let Some(unit) = &mut self.unit else { return };
        match unit.begin_nal(kind, after_header) {
            Verdict::Fits => {}
            Verdict::Incomplete => self.damage(),
            Verdict::RestOfEnded => {
                self.end.went_on();
                self.damage();
            }
        }
        if is_slice {
            let intra = head.is_some_and(|head| head.intra);
            self.begin_slice(kind, intra, sps.map(|sps| sps.id), picture);
        }
    }

    /// Whether a slice can be decoded is known from its beginning.
    fn begin_slice(
        &mut self,
        kind: NalKind,
        intra: bool,
        sps: Option<u8>,
        picture: Option<Picture>,
    ) {
        let Some(unit) = &mut self.unit else { return };
        if unit.marked && unit.picture.is_some() {
            // The unit goes on after a marker.
            self.end.marker_within();
        }
        let may_begin = kind == NalKind::IdrSlice || unit.may_recover(intra, self.refusals);
        let is_first = unit.note_slice(kind, intra, picture);
        if !unit.is_kept() {
            return;
        }
        if !may_begin && !self.decoder.is_synced() {
            // It will be withheld: there is no need to keep it, nor to wait for its end to ask.
            unit.withhold();
            self.segments.clear();
            return self.decoder.ask();
        }
        if is_first {
            unit.config = sps.and_then(|sps| self.sets.config(may_begin, sps));
        }
        if sps.is_none() || unit.config.is_none() {
            count(&mut self.counters.without_sets);
            unit.withhold();
            self.segments.clear();
            self.decoder.lose();
        }
    }

    fn take_marker(&mut self, timestamp: u32, out: &mut impl FnMut(AccessUnit, &mut Segments)) {
        let Some(unit) = &mut self.unit else { return };
        if self.fragmented.is_some() {
            return self.end.marker_within();
        }
        if !unit.has_slices() {
            unit.early_marker = true;
            self.end.marker_early();
        } else if self.end.is_at_marker(unit.early_marker) {
            self.end.by_marker(timestamp);
            self.end_unit(out);
        }
    }

    fn end_by_timestamp(&mut self, out: &mut impl FnMut(AccessUnit, &mut Segments)) {
        if let Some(unit) = &self.unit
            && unit.has_slices()
            && !unit.is_damaged()
        {
            self.end.by_timestamp(unit.marked);
        }
        self.end_unit(out);
    }

    /// Ends the open unit before what came after its last slice, with which another one begins.
    fn split(&mut self, out: &mut impl FnMut(AccessUnit, &mut Segments)) {
        let Some(unit) = &self.unit else { return };
        let next = unit.successor();
        let mut rest = Segments::new();
        while self.segments.len() > unit.slices_end
            && let Some(segment) = self.segments.pop()
        {
            // No more than there were.
            let _ = rest.push(segment);
        }
        self.end_by_timestamp(out);
        while let Some(segment) = rest.pop() {
            let _ = self.segments.push(segment);
        }
        self.unit = Some(next);
    }

    fn keep(&mut self, segment: Segment) {
        if !self.unit.as_ref().is_some_and(OpenUnit::is_kept) {
            return;
        }
        if self.segments.push(segment).is_err() {
            count(&mut self.counters.too_large);
            self.damage();
        }
    }

    fn end_unit(&mut self, out: &mut impl FnMut(AccessUnit, &mut Segments)) {
        self.close_fragmented();
        let Some(unit) = self.unit.take() else { return };
        if unit.is_damaged() {
            count(&mut self.counters.damaged);
        } else if unit.has_slices() {
            let keyframe = unit.is_keyframe(self.refusals);
            let decodable = unit.is_kept() && (keyframe || self.decoder.is_synced());
            let is_idr = unit.is_idr();
            match unit.config {
                Some(config) if decodable => {
                    if is_idr {
                        self.refusals = 0;
                    }
                    self.decoder.advance(keyframe);
                    count(&mut self.counters.frames);
                    if keyframe {
                        count(&mut self.counters.keyframes);
                    }
                    let unit = AccessUnit {
                        timestamp: unit.timestamp,
                        keyframe,
                        config,
                        first_received: unit.first_received,
                        received: unit.received,
                    };
                    out(unit, &mut self.segments);
                }
                _ => {
                    count(&mut self.counters.withheld);
                    self.decoder.ask();
                }
            }
        }
        self.segments.clear();
    }

    fn take_set(&mut self, nal: &[u8]) {
        if self.sets.take(nal).is_err() {
            count(&mut self.counters.sets_refused);
        }
    }

    fn malformed(&mut self) {
        // The fragments after a defect have none of their own.
        if self.unit.as_ref().is_none_or(|unit| !unit.is_damaged()) {
            count(&mut self.counters.malformed);
        }
        self.damage();
    }

    fn unsupported(&mut self) {
        count(&mut self.counters.unsupported);
        self.damage();
    }

    /// The open unit will not be handed over, and nothing that depends on it.
    fn damage(&mut self) {
        if let Some(unit) = &mut self.unit {
            unit.damage();
        }
        self.fragmented = None;
        self.segments.clear();
        self.decoder.lose();
    }
}

#[cfg(test)]
mod tests;
