//! Whether a connection needs a keyframe, asked for once for each need, and for what was dropped on
//! our own side at most once in [`OWN_DROPS`]: another keyframe is more to send for a connection that
//! is slow.

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

/// How far apart requests for what was dropped here are.
const OWN_DROPS: Duration = Duration::from_secs(2);

/// The need of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyframeNeed {
    /// Video was passed over for want of a keyframe, and nobody has seen to that yet.
    missed: bool,
    /// This need was asked for.
    asked: bool,
    /// The owner does not know yet.
    wanted: bool,
    /// When one was last asked for because of a drop here; kept over connections.
    own_drop_at: Option<Instant>,
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

    /// Asks for what was passed over, unless one is on its way or the last such request is too young;
    /// then later.
    pub fn ask_for_missed(&mut self, now: Instant) {
        let is_young = self.own_drop_at.is_some_and(|at| now.since(at) < OWN_DROPS);
        if !self.missed || is_young {
            return;
        }
        self.missed = false;
        if !self.asked {
            self.own_drop_at = Some(now);
            self.ask();
        }
    }

    /// Nothing is needed any more: another connection, or none.
    pub fn reset(&mut self) {
        *self = Self {
            own_drop_at: self.own_drop_at,
            ..Self::default()
        };
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
        let now = Instant::from_millis(10_000);
        need.miss(false);
        need.ask_for_missed(now);
        assert!(!need.take_wanted(), "one is on its way");
        need.miss(true);
        need.ask_for_missed(now);
        assert!(need.take_wanted(), "the one that came was given up");
        need.satisfied();
        need.ask_for_missed(now);
        assert!(!need.take_wanted());
        need.ask();
        assert!(need.take_wanted());
    }

    #[test]
    fn drops_of_our_own_ask_at_most_once_in_two_seconds() {
        let mut need = KeyframeNeed::default();
        let mut asked = std::vec::Vec::new();
        for at in (0..5_000).step_by(20) {
            need.miss(true);
            need.ask_for_missed(Instant::from_millis(at));
            if need.take_wanted() {
                asked.push(at);
            }
            if at == 1_000 {
                need.reset();
            }
        }
        assert_eq!(asked, [0, 2_000, 4_000]);
    }
}
