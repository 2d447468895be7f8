//! Which frames can be decoded after a loss, told from picture numbers, temporal layers and the
//! non-reference bit of payload descriptors (RFC 7741, section 4.2).

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

use crate::rtp::reorder::Before;
use crate::wire::vp8::{Descriptor, PictureId};

/// As many missing packets, or more, may hide a whole round of the shortest picture numbers.
const MOST_MISSING: u16 = 100;

/// The highest layer there is.
const TOP_LAYER: u8 = 3;

/// Packets missing since the last frame began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missing {
    /// The last sequence number.
    sequence: Option<u16>,
    count: Option<u16>,
}

impl Missing {
    /// Takes note of the next packet.
    pub fn note(&mut self, sequence: u16, before: Before) {
        let last = self.sequence.replace(sequence);
        if before == Before::Gap {
            let missing = last.map_or(u16::MAX, |last| {
                sequence.wrapping_sub(last).saturating_sub(1)
            });
            self.count = Some(self.count.unwrap_or(0).saturating_add(missing));
        }
    }

    /// How many are missing, if any; the next are counted anew.
    pub fn take(&mut self) -> Option<u16> {
        self.count.take()
    }
}

/// What the frames seen so far tell of the next one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dependence {
    /// Numbers of the last frame of which anything was seen.
    picture: Option<PictureId>,
    base_picture: Option<u8>,
    /// The highest temporal layer that nothing is missing of.
    top: u8,
}

impl Default for Dependence {
    fn default() -> Self {
        Self {
            picture: None,
            base_picture: None,
            top: TOP_LAYER,
        }
    }
}

impl Dependence {
    /// Whether decoding goes on with a frame before which packets are missing.
    ///
    /// Where higher layers only are missing, those are not met from now on.
    pub fn bridges(&mut self, missing: Option<u16>, next: &Descriptor) -> bool {
        let Some(missing) = missing else { return true };
        if missing >= MOST_MISSING {
            return false;
        }
        let ahead = match (self.picture, next.picture) {
            (Some(last), Some(next)) => next.after(last),
            _ => None,
        };
        if ahead == Some(1) {
            return true;
        }
        let (Some(last), Some(base), Some(layer)) =
            (self.base_picture, next.base_picture, next.layer)
        else {
            return false;
        };
        // A frame of the base layer has a base layer number of its own.
        let expected = last.wrapping_add(u8::from(layer.id == 0));
        if ahead == Some(0) || base != expected {
            return false;
        }
        self.top = 0;
        true
    }

    /// Takes note of a frame of which anything was seen.
    pub fn follow(&mut self, frame: &Descriptor) {
        self.picture = frame.picture;
        self.base_picture = frame.base_picture;
    }

    /// A whole keyframe is handed over: nothing is missing any more.
    pub fn keyframe(&mut self) {
        self.top = TOP_LAYER;
    }

    /// Whether everything that a whole frame depends on was handed over.
    pub fn is_met(&mut self, frame: &Descriptor) -> bool {
        let Some(layer) = frame.layer else {
            // It may depend on anything.
            return self.top == TOP_LAYER;
        };
        if layer.sync && Some(layer.id) == self.top.checked_add(1) {
            self.top = layer.id;
        }
        layer.id <= self.top
    }

    /// Whether decoding goes on, for lower layers at least, although this frame is damaged.
    pub fn survives_without(&mut self, frame: &Descriptor) -> bool {
        if frame.non_reference {
            return true;
        }
        match frame.layer.and_then(|layer| layer.id.checked_sub(1)) {
            Some(below) => {
                self.top = self.top.min(below);
                true
            }
            None => false,
        }
    }
}
