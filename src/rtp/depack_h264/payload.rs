//! The payload structures of packetization modes 0 and 1: single NAL unit packets (RFC 6184, section
//! 5.6), STAP-A (section 5.7.1) and FU-A (section 5.8).
//!
//! Start codes, which some senders leave before their units, are taken off.

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

use crate::base::counter::count;
use crate::base::frame_log::Segment;
use crate::base::packet_pool::Packet;
use crate::limits::PARAMETER_SET_BYTES;
use crate::rtp::depack_h264::open_unit::OpenUnit;
use crate::rtp::depack_h264::{AccessUnit, H264Depacketizer, Segments};
use crate::wire::h264::{AnnexBUnits, FragmentHeader, NalHeader, NalKind, StapUnits, start_code};
use crate::wire::h264_slice::{SliceHead, recovery_point};

/// A NAL unit of which not all fragments have come.
#[derive(Debug)]
pub(super) struct Fragmented {
    nal: NalHeader,
    first_segment: usize,
    bytes: u32,
}

impl H264Depacketizer {
    /// Takes the NAL units of a payload into the open access unit.
    pub(super) fn take_payload(
        &mut self,
        payload: &Packet,
        out: &mut impl FnMut(AccessUnit, &mut Segments),
    ) {
        let Some(first) = payload.first() else { return };
        let header = NalHeader(*first);
        if header.is_forbidden() {
            return self.malformed();
        }
        match header.kind() {
            NalKind::FuA => self.take_fragment(payload, out),
            NalKind::StapA => {
                for unit in StapUnits::new(payload) {
                    match unit {
                        Ok(range) => self.take_nals(payload, range, out),
                        Err(_) => self.malformed(),
                    }
                }
            }
            NalKind::Interleaved => self.unsupported(),
            // Receivers ignore these (RFC 6184, section 5.2).
            NalKind::Reserved if start_code(payload) == 0 => {
                count(&mut self.counters.unsupported);
            }
            _ => self.take_nals(payload, 0..payload.len(), out),
        }
    }

    /// Takes what should be one NAL unit and may be several with start codes.
    fn take_nals(
        &mut self,
        payload: &Packet,
        range: Range<usize>,
        out: &mut impl FnMut(AccessUnit, &mut Segments),
    ) {
        let Some(bytes) = payload.get(range.clone()) else {
            return;
        };
        for unit in AnnexBUnits::new(bytes) {
            let start = range.start.saturating_add(unit.start);
            let end = range.start.saturating_add(unit.end);
            if let Some(nal) = payload.slice(start..end) {
                self.take_nal(nal, out);
            }
        }
    }

    /// Takes a whole NAL unit that lies in one packet.
    fn take_nal(&mut self, nal: Packet, out: &mut impl FnMut(AccessUnit, &mut Segments)) {
        let Some(first) = nal.first() else { return };
        let header = NalHeader(*first);
        if header.is_forbidden() {
            return self.malformed();
        }
        self.close_fragmented();
        let after_header = nal.get(1..).unwrap_or_default();
        let is_slice = matches!(header.kind(), NalKind::Slice | NalKind::IdrSlice);
        if is_slice && SliceHead::parse(after_header).is_none() {
            return self.malformed();
        }
        self.begin_nal(header, after_header, out);
        match header.kind() {
            NalKind::Delimiter | NalKind::Filler => {}
            NalKind::Extension => count(&mut self.counters.extensions),
            NalKind::Sps | NalKind::Pps => {
                self.take_set(&nal);
                self.keep_nal(nal);
            }
            NalKind::Sei => {
                if let Some(unit) = &mut self.unit
                    && let Some(pictures) = recovery_point(after_header)
                {
                    unit.recovery = Some(pictures);
                }
                self.keep_nal(nal);
            }
            NalKind::Slice | NalKind::IdrSlice | NalKind::Partition => {
                self.keep_nal(nal);
                self.slice_ends();
            }
            NalKind::Other => self.keep_nal(nal),
            NalKind::StapA | NalKind::FuA => self.malformed(),
            NalKind::Interleaved | NalKind::Reserved => self.unsupported(),
        }
    }

    fn take_fragment(&mut self, payload: &Packet, out: &mut impl FnMut(AccessUnit, &mut Segments)) {
        let Some(header) = FragmentHeader::parse(payload) else {
            return self.malformed();
        };
        let Some(part) = payload.slice(FragmentHeader::BYTES..payload.len()) else {
            return;
        };
        if header.start && header.end {
            // One fragment is no fragmentation (RFC 6184, section 5.8).
            return self.malformed();
        }
        if header.start {
            self.close_fragmented();
            if matches!(
                header.nal.kind(),
                NalKind::StapA | NalKind::FuA | NalKind::Interleaved | NalKind::Reserved
            ) {
                return self.malformed();
            }
            self.begin_nal(header.nal, &part, out);
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
        if !self.unit.as_ref().is_some_and(OpenUnit::is_kept) {
            return;
        }
        let kind = open.nal.kind();
        if kind == NalKind::Extension {
            count(&mut self.counters.extensions);
        }
        if matches!(
            kind,
            NalKind::Delimiter | NalKind::Filler | NalKind::Extension
        ) {
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
            // Fragments do not lie in one piece.
            let mut set = heapless::Vec::<u8, PARAMETER_SET_BYTES>::new();
            let mut whole = set.push(open.nal.0).is_ok();
            whole &= set.extend_from_slice(first.payload()).is_ok();
            for segment in rest {
                whole &= set.extend_from_slice(segment.payload()).is_ok();
            }
            self.take_set(if whole { &set } else { &[] });
        }
        if matches!(
            kind,
            NalKind::Slice | NalKind::IdrSlice | NalKind::Partition
        ) {
            self.slice_ends();
        }
    }

    /// What was kept so far belongs to the open unit, if that has slices.
    fn slice_ends(&mut self) {
        let end = self.segments.len();
        if let Some(unit) = &mut self.unit {
            unit.slices_end = end;
        }
    }

    /// A new NAL unit begins; one whose end has not come is damaged.
    pub(super) fn close_fragmented(&mut self) {
        if self.fragmented.is_some() {
            self.malformed();
        }
    }

    fn keep_nal(&mut self, nal: Packet) {
        let length = nal.len() as u32;
        self.keep(Segment::new(&length.to_be_bytes(), nal));
    }
}
