//! Whether a connection needs a keyframe, asked for once for each need.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

/// The need of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyframeNeed {
    /// Video was passed over for want of a keyframe, and nobody has seen to that yet.
    missed: bool,
    /// This need was asked for.
    asked: bool,
    /// The owner does not know yet.
    wanted: bool,
}

impl KeyframeNeed {
    /// Asks, unless that was done for this need.
    pub fn ask(&mut self) {
        self.wanted |= !core::mem::replace(&mut self.asked, true);
    }

    /// Whether [`Self::take_wanted`] has something to tell.
    pub const fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Whether the owner is to ask; told once.
    pub fn take_wanted(&mut self) -> bool {
        core::mem::take(&mut self.wanted)
    }

    /// Video was passed over; where that was the keyframe itself, the next need is a new one.
    pub fn miss(&mut self, keyframe: bool) {
        self.asked &= !keyframe;
        self.missed = true;
    }

    /// Whether video was passed over since the last call and no keyframe is on its way for it.
    pub fn take_missed(&mut self) -> bool {
        core::mem::take(&mut self.missed) && !self.asked
    }

    /// What was asked for may be lost: the next need is a new one.
    pub fn renew(&mut self) {
        self.asked = false;
    }

    /// A keyframe was sent.
    pub fn satisfied(&mut self) {
        self.asked = false;
        self.missed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_need_is_told_once() {
        let mut need = KeyframeNeed::default();
        for _ in 0..2 {
            need.ask();
        }
        assert!(need.is_wanted());
        assert!(need.take_wanted());
        need.ask();
        assert!(!need.take_wanted(), "asked for already");
        need.miss(false);
        assert!(!need.take_missed(), "one is on its way");
        need.miss(true);
        assert!(need.take_missed());
        need.ask();
        assert!(need.take_wanted(), "the one that came was given up");
        need.satisfied();
        assert!(!need.take_missed());
        need.ask();
        assert!(need.take_wanted());
    }
}
