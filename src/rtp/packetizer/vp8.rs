//! VP8 into RTP (RFC 7741): the payload descriptor of one byte (4.2), without picture number and
//! layers, and the frame in pieces.
//!
//! Partitions are not kept apart: every packet after the first continues partition 0, which section
//! 4.4 allows to senders that do not divide frames along them.

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

use crate::base::frame_log::FrameView;
use crate::limits::RTP_PAYLOAD_BYTES;
use crate::rtp::packetizer::Part;
use crate::rtp::packetizer::reader::Reader;

/// Start of a partition.
const START: u8 = 0x10;

/// The packetizer of one VP8 track.
#[derive(Clone, Debug, Default)]
pub struct Vp8Packetizer {
    reader: Reader,
    begins: bool,
}

impl Vp8Packetizer {
    pub(super) fn begin(&mut self, view: FrameView<'_>) {
        self.reader = Reader::new(view);
        self.begins = true;
    }

    pub(super) fn next(&mut self, view: FrameView<'_>, out: &mut [u8]) -> Option<Part> {
        let room = out.len().min(RTP_PAYLOAD_BYTES).checked_sub(1)?;
        let count = self.reader.left().min(room);
        let [descriptor, body @ ..] = out else {
            return None;
        };
        if count == 0 || self.reader.copy(view, body.get_mut(..count)?) < count {
            return None;
        }
        *descriptor = if self.begins { START } else { 0 };
        self.begins = false;
        Some(Part {
            len: count.saturating_add(1),
            ends: self.reader.left() == 0,
        })
    }

    pub(super) fn is_done(&self) -> bool {
        self.reader.left() == 0
    }

    pub(super) fn skip(&mut self) {
        self.reader = Reader::default();
    }
}
