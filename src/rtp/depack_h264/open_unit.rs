//! An access unit being put together: what its NAL units tell of its beginning (H.264, section
//! 7.4.1.2.3), of its slices, and of what it lacks.

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
use crate::base::time::Instant;
use crate::rtp::depack_h264::REFUSALS;
use crate::rtp::reorder::Before;
use crate::rtp::source::Arrival;
use crate::wire::h264::{NalHeader, NalKind, SpsHead, starts_picture};
use crate::wire::h264_slice::SliceHead;

/// The access unit being put together.
#[derive(Debug)]
pub(super) struct OpenUnit {
    pub timestamp: u32,
    pub first_received: Instant,
    pub received: Instant,
    /// What came before its first NAL unit; [`Before::Packet`] once its beginning is there for sure.
    before: Before,
    /// It has the timestamp of a unit that was ended before.
    after_ended: bool,
    /// Its last packet has a marker.
    pub marked: bool,
    /// A packet before its first slice has a marker.
    pub early_marker: bool,
    /// What to decode it with, known from its first slice on.
    pub config: Option<Rc<CodecConfig>>,
    /// What its first slice says of the picture.
    pub picture: Option<Picture>,
    /// Pieces up to the end of its last slice.
    pub slices_end: usize,
    /// It is a recovery point, right after as many pictures.
    pub recovery: Option<u32>,
    fate: Fate,
    intra: bool,
    idr_slices: bool,
    other_slices: bool,
}

/// Whether it will be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// As far as is known.
    Kept,
    /// No, although nothing of it is missing.
    Withheld,
    /// No, for it has a loss or defect in it.
    Damaged,
}

/// What slices of one picture have in common (H.264, section 7.4.1.2.4), as far as it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    first: bool,
    idr: bool,
    reference: bool,
    number: Option<u32>,
}

impl Picture {
    /// The picture of a slice.
    pub fn new(header: NalHeader, head: SliceHead, sps: Option<SpsHead>) -> Self {
        Self {
            first: head.first,
            idr: header.kind() == NalKind::IdrSlice,
            reference: header.is_reference(),
            number: sps.map(|sps| head.frame_number(sps.colour_plane_bits, sps.frame_number_bits)),
        }
    }

    /// Whether `next`, the first slice of a picture, is of another one.
    fn is_followed_by(&self, next: &Self) -> bool {
        self.idr != next.idr || self.reference != next.reference || self.number != next.number
    }
}

/// What the beginning of a NAL unit tells of the access unit it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing against it.
    Fits,
    /// Something before it is missing.
    Incomplete,
    /// It goes on with a picture that was handed over as whole: this sender's markers do not end
    /// pictures.
    RestOfEnded,
}

impl OpenUnit {
    /// The unit that a packet is the first of. `after_ended`: one of the same timestamp was ended
    /// before.
    pub fn new(arrival: &Arrival, before: Before, after_ended: bool) -> Self {
        Self {
            timestamp: arrival.header.timestamp,
            first_received: arrival.received,
            received: arrival.received,
            before,
            after_ended,
            marked: false,
            early_marker: false,
            config: None,
            picture: None,
            slices_end: 0,
            recovery: None,
            fate: Fate::Kept,
            intra: true,
            idr_slices: false,
            other_slices: false,
        }
    }

    /// A unit of the same timestamp that begins after this one's last slice.
    pub fn successor(&self) -> Self {
        Self {
            first_received: self.received,
            before: Before::Packet,
            after_ended: false,
            marked: false,
            early_marker: false,
            config: None,
            picture: None,
            slices_end: 0,
            recovery: None,
            fate: Fate::Kept,
            intra: true,
            idr_slices: false,
            other_slices: false,
            ..*self
        }
    }

    /// Whether a NAL unit is of the next access unit although the timestamp is the same: a
    /// delimiter, or another picture's first slice.
    pub fn ends_before(&self, kind: NalKind, picture: Option<Picture>) -> bool {
        let is_next = |picture: Picture| {
            let another = |mine: Picture| self.marked || mine.is_followed_by(&picture);
            picture.first && self.picture.is_some_and(another)
        };
        self.has_slices() && (kind == NalKind::Delimiter || picture.is_some_and(is_next))
    }

    /// Notes a NAL unit, given without its header byte.
    pub fn begin_nal(&mut self, kind: NalKind, after_header: &[u8]) -> Verdict {
        let mut verdict = Verdict::Fits;
        if self.before != Before::Packet {
            let incomplete = match kind {
                NalKind::Filler => false,
                // Everything before these belongs to the access unit before (H.264, section
                // 7.4.1.2.3), but for units that no decoder misses.
                NalKind::Sps | NalKind::Delimiter => {
                    self.before = Before::Packet;
                    false
                }
                // What was sent before the first packet of a source is known to be missing only
                // when that packet starts in the middle of a picture.
                NalKind::Slice | NalKind::IdrSlice if self.before == Before::Nothing => {
                    self.before = Before::Packet;
                    !starts_picture(after_header)
                }
                _ => self.before == Before::Gap,
            };
            if incomplete {
                verdict = Verdict::Incomplete;
            }
        }
        let is_slice = matches!(kind, NalKind::Slice | NalKind::IdrSlice);
        // Another picture of the same time would start at macroblock 0.
        if is_slice && core::mem::take(&mut self.after_ended) && !starts_picture(after_header) {
            verdict = Verdict::RestOfEnded;
        }
        verdict
    }

    /// Notes a slice; whether it is the unit's first.
    pub fn note_slice(&mut self, kind: NalKind, intra: bool, picture: Option<Picture>) -> bool {
        let is_first = !self.has_slices();
        self.idr_slices |= kind == NalKind::IdrSlice;
        self.other_slices |= kind != NalKind::IdrSlice;
        self.intra &= intra;
        if is_first {
            self.picture = picture;
        }
        is_first
    }

    /// Whether decoding may begin with a slice of it because it is a recovery point, after so many
    /// requests that brought no IDR picture.
    pub fn may_recover(&self, intra: bool, refusals: u8) -> bool {
        match self.recovery {
            Some(0) if intra && self.intra => true,
            Some(_) => refusals >= REFUSALS,
            None => false,
        }
    }

    /// Something of it is missing or broken.
    pub fn damage(&mut self) {
        self.fate = Fate::Damaged;
    }

    /// It will not be handed over.
    pub fn withhold(&mut self) {
        self.fate = self.fate.max(Fate::Withheld);
    }

    /// Whether something of it is missing or broken.
    pub fn is_damaged(&self) -> bool {
        self.fate == Fate::Damaged
    }

    /// Whether it will be handed over, as far as is known, so that its pieces are to be kept.
    pub fn is_kept(&self) -> bool {
        self.fate == Fate::Kept
    }

    /// Whether there is anything of a picture in it.
    pub fn has_slices(&self) -> bool {
        self.idr_slices || self.other_slices
    }

    /// Whether every slice is one of an IDR picture.
    pub fn is_idr(&self) -> bool {
        self.idr_slices && !self.other_slices
    }

    /// Whether decoding may begin with it, after so many requests that brought no IDR picture.
    pub fn is_keyframe(&self, refusals: u8) -> bool {
        self.is_idr() || !self.idr_slices && self.may_recover(true, refusals)
    }
}
