//! Notices a caller that is gone without a BYE: nothing comes from it where something should.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::base::time::Instant;

/// How long nothing may come from a caller who is not on hold, unless its trunk says otherwise. What
/// is noticed is up to as much again older, because packets are counted and not timed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Watches the number of packets of one call.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    heard: Instant,
    packets: u64,
    /// Seconds; none has no end.
    patience: Option<NonZeroU32>,
}

impl Watchdog {
    /// Begins with a call.
    pub const fn new(now: Instant) -> Self {
        Self {
            heard: now,
            packets: 0,
            patience: NonZeroU32::new(PATIENCE.as_secs() as u32),
        }
    }

    /// With a patience of whole seconds, or one without end.
    #[must_use]
    pub fn patient(mut self, patience: Option<Duration>) -> Self {
        let seconds = |patience: Duration| u32::try_from(patience.as_secs()).unwrap_or(u32::MAX);
        self.patience = patience.map(seconds).and_then(NonZeroU32::new);
        self
    }

    /// How long nothing may come, if that has an end.
    pub fn patience(&self) -> Option<Duration> {
        let seconds = self.patience?;
        Some(Duration::from_secs(u64::from(seconds.get())))
    }

    /// Looks at the number of packets so far; whether the caller is gone. On hold nothing is
    /// expected.
    pub fn is_gone(&mut self, now: Instant, packets: u64, on_hold: bool) -> bool {
        if packets != self.packets || on_hold {
            self.heard = now;
            self.packets = packets;
        }
        let silence = now.since(self.heard);
        self.patience().is_some_and(|patience| silence >= patience)
    }

    /// Gives the caller its time anew, after a new offer and answer: it may begin to send with it.
    pub fn restart(&mut self, now: Instant) {
        self.heard = now;
    }

    /// When to look next, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.patience().map(|patience| self.heard + patience)
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
            let now = dog.poll_timeout().unwrap();
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
    fn patience_is_what_the_trunk_says() {
        let mut dog = Watchdog::new(seconds(0)).patient(Some(Duration::from_secs(5)));
        assert_eq!(dog.poll_timeout(), Some(seconds(5)));
        assert!(!dog.is_gone(seconds(4), 0, false));
        assert!(dog.is_gone(seconds(5), 0, false));
        let mut dog = Watchdog::new(seconds(0)).patient(None);
        assert_eq!(dog.poll_timeout(), None);
        assert!(!dog.is_gone(seconds(1_000_000), 0, false));
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
