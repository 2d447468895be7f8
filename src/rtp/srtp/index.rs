//! Which packet of a source one is, and whether it came before (RFC 3711, sections 3.3.1 and 3.3.2).

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

/// The last index of a key: a roll-over counter of 32 bits and a sequence number of 16.
pub(super) const LAST_INDEX: u64 = (1 << 48) - 1;

/// The index that a sequence number stands for, where `highest` is the largest so far; `None` where
/// it would lie before the first or behind the last.
pub(super) const fn estimate(highest: u64, sequence: u16) -> Option<u64> {
    let newest = highest as u16;
    let same = highest & !0xffff | sequence as u64;
    // Half the numbers count as ahead, half as behind.
    let index = if newest < 0x8000 {
        if sequence > newest.saturating_add(0x8000) {
            match same.checked_sub(0x1_0000) {
                Some(index) => index,
                None => return None,
            }
        } else {
            same
        }
    } else if sequence < newest.saturating_sub(0x8000) {
        same.saturating_add(0x1_0000)
    } else {
        same
    };
    if index > LAST_INDEX {
        None
    } else {
        Some(index)
    }
}

/// The largest index that came, and which of the 128 up to it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    highest: u64,
    seen: u128,
}

impl Window {
    /// A window in which one index came.
    pub(super) const fn new(index: u64) -> Self {
        Self {
            highest: index,
            seen: 1,
        }
    }

    /// The largest index that came.
    pub(super) const fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether an index may still come: it did not, and is not too old to tell.
    pub(super) const fn is_new(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(age) => age < 128 && self.seen & (1 << age) == 0,
        }
    }

    /// Takes note of an index whose packet is authentic.
    pub(super) fn take(&mut self, index: u64) {
        if let Some(ahead) = index.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            let shift = u32::try_from(ahead).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(shift).unwrap_or(0) | 1;
            self.highest = index;
            return;
        }
        let age = self.highest.saturating_sub(index);
        let bit = u32::try_from(age)
            .ok()
            .and_then(|age| 1_u128.checked_shl(age));
        self.seen |= bit.unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_index_of_a_sequence_number_is_meant() {
        let at = |roc: u64, sequence: u16| roc << 16 | u64::from(sequence);
        for (highest, sequence, meant) in [
            (at(0, 0), 1, Some(at(0, 1))),
            (at(0, 65_535), 0, Some(at(1, 0))),
            (at(1, 0), 65_535, Some(at(0, 65_535))),
            (at(7, 100), 65_500, Some(at(6, 65_500))),
            (at(7, 40_000), 100, Some(at(8, 100))),
            (at(7, 40_000), 10_000, Some(at(7, 10_000))),
            (at(7, 20_000), 50_000, Some(at(7, 50_000))),
            // Before the first, and behind the last.
            (at(0, 3), 65_535, None),
            (at(0xffff_ffff, 65_535), 0, None),
            (at(0xffff_ffff, 0), 65_535, Some(at(0xffff_fffe, 65_535))),
            // Exactly half way round: RFC 3711 leaves it in the round that it is in.
            (at(7, 100), 32_868, Some(at(7, 32_868))),
            (at(7, 32_868), 100, Some(at(7, 100))),
        ] {
            assert_eq!(estimate(highest, sequence), meant, "{highest:x} {sequence}");
        }
    }

    #[test]
    fn an_index_is_new_once_and_within_the_window() {
        let mut window = Window::new(1_000);
        assert!(!window.is_new(1_000));
        assert!(window.is_new(873) && !window.is_new(872));
        for index in [1_001, 900, 1_127, 1_400, 1_399] {
            assert!(window.is_new(index));
            window.take(index);
            assert!(!window.is_new(index), "{index}");
        }
        assert_eq!(window.highest(), 1_400);
        // All that came within the window is known, and nothing else.
        let new: Vec<_> = (1_200..1_400)
            .filter(|index| window.is_new(*index))
            .collect();
        assert_eq!(new, (1_273..1_399).collect::<Vec<_>>());
        window.take(u64::MAX >> 16);
        assert!(!window.is_new(1_400));
    }
}
