//! Where a sender's pictures end, as far as its markers tell.
//!
//! A marker ends a picture (RFC 6184, section 5.1; RFC 7741, section 4.1), and so does the next
//! timestamp. Some senders set no markers, others set one on every packet. Where only the next
//! timestamp is left, the last picture before a pause would be held until the pause is over: it is
//! then taken for whole once nothing more came for [`QUIET`]. A picture of a sender whose markers
//! are to be relied on is never ended that way, as its marker may be what was lost. Where nothing is
//! missing and such a sender paused within a picture, the rest was never sent, as by a phone that
//! went on hold: what there is of it is no picture.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;

use crate::base::time::Instant;
use crate::rtp::reorder::MAX_HOLD;

/// How long nothing has to come before a picture without an end is taken for whole: as long as the
/// network may hold one packet back. Eight pictures a second and more end one another earlier.
pub const QUIET: Duration = MAX_HOLD;

/// A pause within a picture that no sender makes who means to finish it.
const CUT_OFF: Duration = Duration::from_secs(1);

/// What is known of one sender's ways.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PictureEnd {
    markers: Markers,
    /// A packet without marker came: not every packet has one.
    unmarked: bool,
    /// A marker came before anything of its picture, and none was missing anywhere yet: where
    /// such a sender's pictures end proves nothing.
    early: bool,
    /// A picture ended where it had its marker.
    proven: bool,
    /// A picture went on after a quiet time.
    hasty: bool,
    /// The timestamp of the picture that something else than a new timestamp ended last.
    ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    timestamp: u32,
    by_quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Markers {
    /// No picture has ended yet.
    #[default]
    Unknown,
    /// There are none.
    Absent,
    /// They end pictures.
    End,
    /// They are set within pictures too.
    Everywhere,
}

impl PictureEnd {
    /// Takes note of a packet.
    pub fn packet(&mut self, marked: bool) {
        self.unmarked |= !marked;
    }

    /// Whether a marker ends its picture, unless that is not whole.
    pub fn may_be_at_marker(&self) -> bool {
        self.markers != Markers::Everywhere
    }

    /// Whether a marker ends its picture for certain; `doubtful` when there was another one with the
    /// same timestamp before.
    pub fn is_at_marker(&self, doubtful: bool) -> bool {
        self.markers != Markers::Everywhere && (self.proven || self.unmarked && !doubtful)
    }

    /// A marker ended the picture of this timestamp.
    pub fn by_marker(&mut self, timestamp: u32) {
        self.markers = Markers::End;
        self.ended = Some(Ended {
            timestamp,
            by_quiet: false,
        });
    }

    /// A marker came before anything of its picture.
    pub fn marker_early(&mut self) {
        if !self.unmarked {
            self.early = true;
            self.proven = false;
        }
    }

    /// Whether a picture whose last packet came at `received`, with a marker or not, was given up by
    /// a sender whose next packet came only `now`.
    pub fn is_cut_off(&self, received: Instant, marked: bool, now: Instant) -> bool {
        let is_reliable = self.markers == Markers::End && self.unmarked;
        is_reliable && !marked && now.since(received) > CUT_OFF
    }

    /// A new timestamp ended a picture whose last packet had a marker or not.
    pub fn by_timestamp(&mut self, marked: bool) {
        match (self.markers, marked) {
            (Markers::Everywhere, _) => {}
            (_, true) => {
                self.markers = Markers::End;
                self.proven |= self.unmarked || !self.early;
            }
            (Markers::Unknown, false) => self.markers = Markers::Absent,
            (Markers::Absent | Markers::End, false) => {}
        }
    }

    /// The picture of this timestamp is taken for whole since nothing more came.
    pub fn by_quiet(&mut self, timestamp: u32) {
        self.ended = Some(Ended {
            timestamp,
            by_quiet: true,
        });
    }

    /// A marker was found within a picture.
    pub fn marker_within(&mut self) {
        self.markers = Markers::Everywhere;
    }

    /// Whether a picture of this timestamp was ended by something else than the next timestamp.
    pub fn has_ended(&self, timestamp: u32) -> bool {
        self.ended.is_some_and(|ended| ended.timestamp == timestamp)
    }

    /// The picture that was ended last goes on.
    pub fn went_on(&mut self) {
        match self.ended {
            Some(ended) if ended.by_quiet => self.hasty = true,
            _ => self.markers = Markers::Everywhere,
        }
    }

    /// When a picture is taken for whole whose last packet came at `received`, with a marker that
    /// did not end it or with none.
    pub fn deadline(&self, received: Instant, marked: bool) -> Option<Instant> {
        let may_be_whole = marked || self.markers == Markers::Absent;
        (may_be_whole && !self.hasty).then(|| received + QUIET)
    }
}
