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

use crate::base::time::Instant;
use crate::rtp::reorder::Before;
use crate::rtp::source::Arrival;
use crate::wire::h264::{NalKind, starts_picture};

/// The access unit being put together.
#[derive(Debug)]
pub(super) struct OpenUnit {
    pub timestamp: u32,
    pub first_received: Instant,
    pub received: Instant,
    /// What came before its first NAL unit; [`Before::Packet`] once its beginning is there for sure.
    before: Before,
    /// It has the timestamp of a unit that a marker ended.
    after_marker: bool,
    fate: Fate,
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
    /// The unit that a packet is the first of. `ended` is the timestamp of the unit that a marker
    /// ended last.
    pub fn new(arrival: &Arrival, before: Before, ended: Option<u32>) -> Self {
        let timestamp = arrival.header.timestamp;
        Self {
            timestamp,
            first_received: arrival.received,
            received: arrival.received,
            before,
            after_marker: ended == Some(timestamp),
            fate: Fate::Kept,
            idr_slices: false,
            other_slices: false,
        }
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
        match kind {
            NalKind::IdrSlice => self.idr_slices = true,
            NalKind::Slice => self.other_slices = true,
            _ => return verdict,
        }
        // Another picture of the same time would start at macroblock 0.
        if core::mem::take(&mut self.after_marker) && !starts_picture(after_header) {
            verdict = Verdict::RestOfEnded;
        }
        verdict
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
    pub fn is_keyframe(&self) -> bool {
        self.idr_slices && !self.other_slices
    }
}
