//! The time that a trial has, and the word that ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a trial may take, its clean end aside.
const TRIAL: Duration = Duration::from_secs(13);

/// What is left of a trial's time.
#[derive(Clone, Debug)]
pub struct Clock {
    ends: Instant,
    stop: Arc<AtomicBool>,
}

impl Clock {
    /// A trial that begins now, and ends early when `stop` says so.
    pub fn start(stop: Arc<AtomicBool>) -> Self {
        let now = Instant::now();
        Self {
            ends: now.checked_add(TRIAL).unwrap_or(now),
            stop,
        }
    }

    /// That time, or what is left.
    pub fn left(&self, most: Duration) -> Duration {
        if self.is_stopped() {
            return Duration::ZERO;
        }
        self.ends
            .saturating_duration_since(Instant::now())
            .min(most)
    }

    /// When that time, or what is left, is over.
    pub fn by(&self, most: Duration) -> Instant {
        let now = Instant::now();
        now.checked_add(self.left(most)).unwrap_or(now)
    }

    /// Whether the trial was told to end.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
