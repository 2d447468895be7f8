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

use crate::base::codec::ParameterSet;
use crate::base::counter::count;
use crate::base::frame_log::Segment;
use crate::base::packet_pool::Packet;
use crate::rtp::depack_h264::H264Depacketizer;
use crate::rtp::depack_h264::open_unit::OpenUnit;
use crate::wire::h264::{AnnexBUnits, FragmentHeader, NalHeader, NalKind, StapUnits, start_code};

/// A NAL unit of which not all fragments have come.
#[derive(Debug)]
pub(super) struct Fragmented {
    nal: NalHeader,
    first_segment: usize,
    bytes: u32,
}

impl H264Depacketizer {
    /// Takes the NAL units of a payload into the open access unit.
    pub(super) fn take_payload(&mut self, payload: &Packet) {
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
                count(&mut self.counters.unsupported);
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
        if !self.unit.as_ref().is_some_and(OpenUnit::is_kept) {
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
