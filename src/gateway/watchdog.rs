//! Notices a caller that is gone without a BYE: nothing comes from it where something should.

use core::time::Duration;

use crate::base::time::Instant;

/// How long nothing may come from a caller who is not on hold. What is noticed is up to as much
/// again older, because packets are counted and not timed.
pub const MEDIA_PATIENCE: Duration = Duration::from_secs(60);

/// Watches the number of packets of one call.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    heard: Instant,
    packets: u64,
}

impl Watchdog {
    /// Begins with a call.
    pub const fn new(now: Instant) -> Self {
        Self {
            heard: now,
            packets: 0,
        }
    }

    /// Looks at the number of packets so far; whether the caller is gone. On hold nothing is
    /// expected.
    pub fn is_gone(&mut self, now: Instant, packets: u64, on_hold: bool) -> bool {
        if packets != self.packets || on_hold {
            self.heard = now;
            self.packets = packets;
        }
        now.since(self.heard) >= MEDIA_PATIENCE
    }

    /// Gives the caller its time anew, after a new offer and answer: it may begin to send with it.
    pub fn restart(&mut self, now: Instant) {
        self.heard = now;
    }

    /// When to look next.
    pub fn poll_timeout(&self) -> Instant {
        self.heard + MEDIA_PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(at: u64) -> Instant {
        Instant::from_millis(at * 1_000)
    }

    #[test]
    fn a_caller_who_sends_is_never_gone() {
        let mut dog = Watchdog::new(seconds(0));
        for minute in 1..600 {
            let now = dog.poll_timeout();
            assert_eq!(now, seconds(60 * minute));
            assert!(!dog.is_gone(now, minute * 50, false));
        }
    }

    #[test]
    fn a_caller_who_stops_is_gone_within_two_minutes() {
        let mut dog = Watchdog::new(seconds(0));
        assert!(!dog.is_gone(seconds(60), 100, false));
        assert!(dog.is_gone(seconds(120), 100, false));
    }

    #[test]
    fn a_caller_on_hold_may_be_silent_for_hours() {
        let mut dog = Watchdog::new(seconds(0));
        for minute in 1..300 {
            assert!(!dog.is_gone(seconds(60 * minute), 7, true));
        }
        assert!(dog.is_gone(seconds(60 * 300), 7, false));
    }
}
