//! How far picture and voice were apart over a call, in a histogram of fixed size.
//!
//! Up to 31 ms every millisecond has a place of its own, above that every sixteenth of a power of
//! two; more than a second counts as the last place. Quantiles are exact to a place, the largest
//! value to a millisecond.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

/// Milliseconds that are counted one by one.
const EXACT: u32 = 32;

/// Places of each power of two above.
const PARTS: usize = 16;

/// Places in all: up to 1,023 ms.
const PLACES: usize = EXACT as usize + 5 * PARTS;

/// How far the picture was from the voice that belongs to it. Milliseconds without sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SkewStats {
    /// At the moment, in microseconds: positive when the picture is presented too late. `None`
    /// while a track is missing.
    pub now: Option<i64>,
    /// Half of the pictures were no further away.
    pub p50: u32,
    /// Ninety-nine of a hundred pictures were no further away.
    pub p99: u32,
    /// No picture was further away.
    pub max: u32,
    /// Pictures measured; the figures above are 0 while there are none.
    pub pictures: u64,
    /// Those of them that sender reports of both tracks measured; by arrival the others.
    pub reported: u64,
}

/// Counts of skew, one for each picture.
#[derive(Clone, Debug)]
pub struct SkewHistogram {
    counts: [u32; PLACES],
    max: u32,
    pictures: u64,
    reported: u64,
}

impl core::fmt::Display for SkewStats {
    /// `; skew p99 7 ms` to end a line with; nothing while no picture was measured.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.pictures == 0 {
            return Ok(());
        }
        write!(f, "; skew p99 {} ms", self.p99)
    }
}

impl Default for SkewHistogram {
    fn default() -> Self {
        Self {
            counts: [0; PLACES],
            max: 0,
            pictures: 0,
            reported: 0,
        }
    }
}

impl SkewHistogram {
    /// Counts one picture's skew, given in microseconds.
    pub fn observe(&mut self, skew: i64, reported: bool) {
        let rounded = skew.unsigned_abs().saturating_add(500) / 1_000;
        let millis = u32::try_from(rounded).unwrap_or(u32::MAX);
        if let Some(count) = self.counts.get_mut(place(millis)) {
            *count = count.saturating_add(1);
        }
        self.max = self.max.max(millis);
        self.pictures = self.pictures.saturating_add(1);
        self.reported = self.reported.saturating_add(u64::from(reported));
    }

    /// Everything told at once; `now` is what it is at the moment.
    pub fn stats(&self, now: Option<i64>) -> SkewStats {
        SkewStats {
            now,
            p50: self.quantile(50),
            p99: self.quantile(99),
            max: self.max,
            pictures: self.pictures,
            reported: self.reported,
        }
    }

    fn quantile(&self, percent: u64) -> u32 {
        let all = self.counts.iter().map(|count| u64::from(*count));
        let wanted = all
            .clone()
            .sum::<u64>()
            .saturating_mul(percent)
            .div_ceil(100);
        let mut sum = 0_u64;
        for (at, count) in all.enumerate() {
            sum = sum.saturating_add(count);
            if sum >= wanted {
                return largest(at).min(self.max);
            }
        }
        self.max
    }
}

fn place(millis: u32) -> usize {
    if millis < EXACT {
        return millis as usize;
    }
    // 32 to 63 are halved, 64 to 127 quartered, and so on: 16 to 31 are left.
    let halvings = millis.ilog2().saturating_sub(4);
    let part = millis >> halvings;
    let at = (halvings as usize)
        .saturating_mul(PARTS)
        .saturating_add(part as usize);
    at.min(PLACES - 1)
}

/// The largest value that a place counts.
fn largest(at: usize) -> u32 {
    let at = u32::try_from(at).unwrap_or(u32::MAX);
    if at < EXACT {
        return at;
    }
    let halvings = (at / PARTS as u32).saturating_sub(1);
    let part = (at % PARTS as u32).saturating_add(PARTS as u32);
    (part.saturating_add(1) << halvings.min(16)).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_counted_where_its_place_says() {
        for millis in 0..1_024 {
            let at = place(millis);
            assert!(at < PLACES && largest(at) >= millis, "{millis}");
            assert!(at == 0 || largest(at - 1) < millis, "{millis}");
            assert!(largest(at) - millis <= millis / 16, "{millis}");
        }
        assert_eq!(place(u32::MAX), PLACES - 1);
    }

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let mut histogram = SkewHistogram::default();
        assert_eq!(histogram.stats(None), SkewStats::default());
        for millis in 0..200_i64 {
            let sign = if millis % 2 == 0 { 1 } else { -1 };
            histogram.observe(sign * millis * 1_000, millis >= 150);
        }
        let stats = histogram.stats(Some(-7));
        assert!((99..=103).contains(&stats.p50), "{stats:?}");
        assert!((197..=199).contains(&stats.p99), "{stats:?}");
        assert_eq!((stats.max, stats.pictures, stats.reported), (199, 200, 50));
        assert_eq!(stats.now, Some(-7));
    }

    #[test]
    fn extremes_do_no_harm() {
        let mut histogram = SkewHistogram::default();
        for skew in [i64::MIN, i64::MAX, 0] {
            histogram.observe(skew, true);
        }
        let stats = histogram.stats(None);
        assert_eq!((stats.p50, stats.max), (1_023, u32::MAX));
    }
}
