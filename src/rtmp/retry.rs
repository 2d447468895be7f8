//! How long to wait before the next attempt: 0.25 s, doubling to 30 s, with jitter.

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

use crate::base::rng::Rng;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// The waits of one target.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    failures: u32,
}

impl Retry {
    /// Counts a failure and gives the wait after it.
    pub fn wait(&mut self, rng: &mut Rng) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(7));
        self.failures = self.failures.saturating_add(1);
        rng.jitter(doubled.min(LONGEST)).min(LONGEST)
    }

    /// Begins anew, after lasting success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_half_a_minute_and_begin_anew() {
        let mut rng = Rng::from_number(1);
        let mut retry = Retry::default();
        for expected in [
            250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000,
        ] {
            let wait = retry.wait(&mut rng).as_millis();
            assert!(
                wait >= expected * 3 / 4 && wait <= (expected * 5 / 4).min(30_000),
                "{wait}"
            );
        }
        retry.reset();
        assert!(retry.wait(&mut rng) < Duration::from_millis(320));
    }
}
