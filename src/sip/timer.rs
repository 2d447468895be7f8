//! The timers of RFC 3261 section 17 and table 4, and the doubling interval of a retransmission.

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

/// Estimate of the round trip: the first interval of every retransmission.
pub const T1: Duration = Duration::from_millis(500);

/// The longest interval of a retransmitted non-INVITE request or INVITE response.
pub const T2: Duration = Duration::from_secs(4);

/// The longest time that a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);

/// How long a transaction waits for its peer: 64 times [`T1`] (timers B, F, H, J and L).
pub const TRANSACTION: Duration = Duration::from_secs(32);

/// Timer B: end of an INVITE client transaction that nothing answers.
pub const TIMER_B: Duration = TRANSACTION;

/// Timer M (RFC 6026): how long further 2xx of a forked INVITE may come.
pub const TIMER_M: Duration = TRANSACTION;

/// Timer D: how long a refusal's repetitions get their ACK again; nothing on a reliable transport.
pub const fn timer_d(reliable: bool) -> Duration {
    if reliable {
        Duration::ZERO
    } else {
        TRANSACTION
    }
}

/// Timer F: end of a non-INVITE client transaction without a final response.
pub const TIMER_F: Duration = TRANSACTION;

/// Timer H: end of the wait for the ACK of a final response other than 2xx.
pub const TIMER_H: Duration = TRANSACTION;

/// Timer L (RFC 6026): how long an INVITE that was answered with 2xx absorbs retransmissions.
pub const TIMER_L: Duration = TRANSACTION;

/// Timer I: how long further ACKs are absorbed; nothing on a reliable transport.
pub const fn timer_i(reliable: bool) -> Duration {
    if reliable { Duration::ZERO } else { T4 }
}

/// Timer J: how long a non-INVITE request's retransmissions are absorbed; nothing on a reliable
/// transport.
pub const fn timer_j(reliable: bool) -> Duration {
    if reliable {
        Duration::ZERO
    } else {
        TRANSACTION
    }
}

/// Timer K: how long a response's retransmissions are absorbed; nothing on a reliable transport.
pub const fn timer_k(reliable: bool) -> Duration {
    if reliable { Duration::ZERO } else { T4 }
}

/// When to send a message again: after [`T1`], then twice as long each time up to [`T2`]. Timer E of
/// a request, timer G of a refusal, and the repetition of a 2xx all go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    next: Instant,
    interval: Duration,
}

impl Backoff {
    /// The schedule of a message that was sent at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            next: now + T1,
            interval: T1,
        }
    }

    /// When the message is due again.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Notes that the message was sent again at `now`.
    pub fn sent(&mut self, now: Instant) {
        self.interval = self.interval.saturating_mul(2).min(T2);
        self.next = now + self.interval;
    }

    /// From now on the longest interval: the peer has the request and is busy with it.
    pub fn slow_down(&mut self, now: Instant) {
        self.interval = T2;
        self.next = now + T2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_double_from_t1_to_t2() {
        let mut at = Instant::ZERO;
        let mut backoff = Backoff::new(at);
        let mut intervals = Vec::new();
        for _ in 0..6 {
            intervals.push((backoff.next() - at).as_millis());
            at = backoff.next();
            backoff.sent(at);
        }
        assert_eq!(intervals, [500, 1_000, 2_000, 4_000, 4_000, 4_000]);
    }

    #[test]
    fn reliable_transports_wait_for_no_retransmissions() {
        assert_eq!(
            timer_i(true) + timer_j(true) + timer_k(true),
            Duration::ZERO
        );
        assert_eq!((timer_i(false), timer_j(false)), (T4, T1 * 64));
    }
}
