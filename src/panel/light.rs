//! How one LED shines over time.

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

/// What an LED does. Those that blink all count from the start of the clock, so that two of them
/// blink together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Light {
    /// Dark.
    #[default]
    Off,
    /// Lit.
    On,
    /// Half a second lit, half a second dark.
    Slow,
    /// Four times a second lit.
    Quick,
    /// Lit, and dark for a tenth of every second.
    Wink,
    /// Two short flashes every second.
    DoubleFlash,
}

/// Milliseconds after which every light begins anew.
const PERIOD: u64 = 1_000;

impl Light {
    /// Milliseconds of a period at which it changes, beginning with lit at 0.
    const fn changes(self) -> &'static [u64] {
        match self {
            Self::Off | Self::On => &[],
            Self::Slow => &[500],
            Self::Quick => &[125, 250, 375, 500, 625, 750, 875],
            Self::Wink => &[900],
            Self::DoubleFlash => &[100, 200, 300],
        }
    }

    /// Whether it is lit at a moment.
    pub fn is_lit(self, now: Instant) -> bool {
        let phase = phase(now);
        match self {
            Self::Off => false,
            Self::On => true,
            blinks => {
                let passed = blinks.changes().iter().filter(|at| **at <= phase);
                passed.count().is_multiple_of(2)
            }
        }
    }

    /// When it changes next by itself, if ever.
    pub fn next_change(self, now: Instant) -> Option<Instant> {
        let changes = self.changes();
        if changes.is_empty() {
            return None;
        }
        let phase = phase(now);
        let next = changes.iter().copied().find(|at| *at > phase);
        let whole = now.as_micros().saturating_div(1_000).saturating_sub(phase);
        let start = Instant::from_millis(whole);
        Some(start + Duration::from_millis(next.unwrap_or(PERIOD)))
    }
}

/// Milliseconds since the last period began.
fn phase(now: Instant) -> u64 {
    now.as_micros().wrapping_div(1_000).wrapping_rem(PERIOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second as ten-millisecond steps told by letters, runs shortened.
    fn shape(light: Light) -> Vec<(bool, u64)> {
        let mut runs: Vec<(bool, u64)> = Vec::new();
        for milli in 0..PERIOD {
            let lit = light.is_lit(Instant::from_millis(7 * PERIOD + milli));
            match runs.last_mut() {
                Some((same, length)) if *same == lit => *length += 1,
                _ => runs.push((lit, 1)),
            }
        }
        runs
    }

    #[test]
    fn every_light_has_its_shape() {
        assert_eq!(shape(Light::Off), [(false, 1_000)]);
        assert_eq!(shape(Light::On), [(true, 1_000)]);
        assert_eq!(shape(Light::Slow), [(true, 500), (false, 500)]);
        assert_eq!(shape(Light::Wink), [(true, 900), (false, 100)]);
        let flashes = [(true, 100), (false, 100), (true, 100), (false, 700)];
        assert_eq!(shape(Light::DoubleFlash), flashes);
        let quick: Vec<_> = (0..8).map(|run| (run % 2 == 0, 125)).collect();
        assert_eq!(shape(Light::Quick), quick);
    }

    #[test]
    fn each_change_is_announced_and_nothing_else() {
        for light in [Light::Slow, Light::Quick, Light::Wink, Light::DoubleFlash] {
            let mut now = Instant::from_millis(3_000);
            let end = Instant::from_millis(6_000);
            while now < end {
                let next = light.next_change(now).unwrap();
                assert!(next > now, "{light:?} {now}");
                let before = next.before(Duration::from_micros(1));
                assert_eq!(light.is_lit(before), light.is_lit(now), "{light:?} {now}");
                assert_ne!(light.is_lit(next), light.is_lit(now), "{light:?} {now}");
                now = next;
            }
        }
        for steady in [Light::Off, Light::On] {
            assert_eq!(steady.next_change(Instant::from_millis(5)), None);
        }
    }
}
