//! Whether what comes can be decoded, and whether a keyframe was asked for where it cannot.

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

/// The state of a decoder that gets what is handed over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DecoderState {
    synced: bool,
    /// A keyframe was asked for and has not come yet.
    asked: bool,
    /// The owner does not know yet.
    wanted: bool,
}

impl DecoderState {
    /// Whether everything since a keyframe was handed over.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// An access unit is handed over.
    pub fn advance(&mut self, keyframe: bool) {
        self.synced = true;
        self.asked &= !keyframe;
    }

    /// Something is missing from here on.
    pub fn lose(&mut self) {
        if core::mem::take(&mut self.synced) {
            self.asked = false;
        }
        self.ask();
    }

    /// Asks for a keyframe, once until one comes or the next loss.
    pub fn ask(&mut self) {
        self.wanted |= !core::mem::replace(&mut self.asked, true);
    }

    /// Whether a keyframe has become wanted since the last call.
    pub fn take_wanted(&mut self) -> bool {
        core::mem::take(&mut self.wanted)
    }
}
