//! Asking for missing packets once more (generic NACK, RFC 4585, section 6.2.1), for senders that
//! offered it.
//!
//! A packet is asked for a moment after its gap was noticed, since most gaps close by themselves,
//! and again after every round trip, at most [`TRIES`] times and only as long as the gap is waited
//! on. How long an answer takes is measured; the reorder buffer then waits for it, up to its own
//! longest hold. Requests are [`PACE`] apart at least, however the losses lie. A sender that never answers is not waited for any more: its promise was empty.
//! Retransmissions come in the stream itself; a stream of their own (RFC 4588) is not negotiated.

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

use heapless::Vec;

use crate::base::counter::count;
use crate::base::time::Instant;
use crate::limits::NACK_PACKETS;
use crate::rtp::reorder::{MAX_HOLD, MIN_HOLD};

/// How long a gap may close by itself before it is asked for.
pub const FIRST_WAIT: Duration = Duration::from_millis(5);

/// The shortest time between two askings for the same packet.
pub const MIN_RETRY: Duration = Duration::from_millis(20);

/// The shortest time between two requests.
pub const PACE: Duration = Duration::from_millis(5);

/// Askings for one packet.
pub const TRIES: u8 = 3;

/// Packets that were asked for in vain, one after the other, before the sender is given up.
pub const IN_VAIN: u32 = 24;

/// The answer's time until one was measured: the longest that can be waited for.
const UNKNOWN_ROUND_TRIP: Duration = Duration::from_millis(50);

/// The numbers asked for in one request.
pub type Missing = Vec<u16, NACK_PACKETS>;

/// What came of asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetransmissionCounters {
    /// Packets asked for, each counted once.
    pub asked: u64,
    /// Packets that came after they were asked for, in time.
    pub came: u64,
    /// Packets that were asked for and given up.
    pub in_vain: u64,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    sequence: u16,
    tries: u8,
    /// When it was noticed or, once it was, asked for last.
    since: Instant,
}

impl Wanted {
    /// When it is to be asked for next, again after `retry`; `None` when it was often enough.
    fn due(&self, retry: Duration) -> Option<Instant> {
        match self.tries {
            0 => Some(self.since + FIRST_WAIT),
            tries => (tries < TRIES).then(|| self.since + retry),
        }
    }
}

/// Asks for the missing packets of one source. About half a KiB: boxed, for the few that offer it.
#[derive(Clone, Debug, Default)]
pub struct Retransmission {
    wanted: Vec<Wanted, NACK_PACKETS>,
    /// Requests may be made from then on.
    open_from: Instant,
    round_trip: Option<Duration>,
    /// Packets asked for in vain since the last one that came.
    in_vain: u32,
    counters: RetransmissionCounters,
}

impl Retransmission {
    /// The source changed: what was missing is of no interest any more.
    pub fn restart(&mut self) {
        self.wanted.clear();
        self.in_vain = 0;
    }

    /// A packet came, in whatever order.
    pub fn came(&mut self, now: Instant, sequence: u16) {
        let Some(at) = self.wanted.iter().position(|w| w.sequence == sequence) else {
            return;
        };
        let wanted = self.wanted.swap_remove(at);
        if wanted.tries == 0 {
            return;
        }
        count(&mut self.counters.came);
        self.in_vain = 0;
        // An answer to a second asking cannot be told from a late one to the first.
        if wanted.tries == 1 {
            let took = now.since(wanted.since);
            let before = self.round_trip.unwrap_or(took);
            self.round_trip = Some(before.saturating_mul(7).saturating_add(took) / 8);
        }
    }

    /// Takes note of the packets that are waited for now; those that are not any more are given up.
    pub fn follow(&mut self, now: Instant, missing: impl Iterator<Item = u16> + Clone) {
        let Self {
            wanted,
            in_vain,
            counters,
            ..
        } = self;
        wanted.retain(|known| {
            let stays = missing.clone().any(|sequence| sequence == known.sequence);
            if !stays && known.tries > 0 {
                count(&mut counters.in_vain);
                *in_vain = in_vain.saturating_add(1);
            }
            stays
        });
        for sequence in missing {
            if wanted.iter().any(|known| known.sequence == sequence) {
                continue;
            }
            let new = Wanted {
                sequence,
                tries: 0,
                since: now,
            };
            // More than this in one gap is an outage, which a keyframe mends sooner.
            if wanted.push(new).is_err() {
                break;
            }
        }
    }

    /// The packets to be asked for now, by rising number; none when nothing is due.
    pub fn poll_missing(&mut self, now: Instant) -> Missing {
        let mut missing = Missing::new();
        if !self.is_answered() || now < self.open_from {
            return missing;
        }
        let retry = self.retry();
        for wanted in &mut self.wanted {
            if wanted.due(retry).is_none_or(|due| now < due) {
                continue;
            }
            if wanted.tries == 0 {
                count(&mut self.counters.asked);
            }
            wanted.tries = wanted.tries.saturating_add(1);
            wanted.since = now;
            // As many places as there are wanted packets.
            let _ = missing.push(wanted.sequence);
        }
        if let Some(&first) = missing.first() {
            self.open_from = now + PACE;
            missing.sort_unstable_by_key(|sequence| sequence.wrapping_sub(first).cast_signed());
        }
        missing
    }

    /// When [`Self::poll_missing`] next gives something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.is_answered() {
            return None;
        }
        let retry = self.retry();
        let due = self.wanted.iter().filter_map(|wanted| wanted.due(retry));
        due.min().map(|due| due.max(self.open_from))
    }

    /// How long a gap is worth waiting on, so that an answer can come.
    pub fn patience(&self) -> Duration {
        if !self.is_answered() {
            return MIN_HOLD;
        }
        let answer = self.expected().saturating_mul(3) / 2;
        FIRST_WAIT.saturating_add(answer).clamp(MIN_HOLD, MAX_HOLD)
    }

    /// How long an answer took lately.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What came of asking.
    pub fn counters(&self) -> &RetransmissionCounters {
        &self.counters
    }

    fn is_answered(&self) -> bool {
        self.in_vain < IN_VAIN
    }

    fn retry(&self) -> Duration {
        self.expected().max(MIN_RETRY)
    }

    fn expected(&self) -> Duration {
        self.round_trip.unwrap_or(UNKNOWN_ROUND_TRIP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn follow(asking: &mut Retransmission, now: u64, missing: &[u16]) {
        asking.follow(at(now), missing.iter().copied());
    }

    #[test]
    fn a_gap_that_closes_by_itself_is_not_asked_for() {
        let mut asking = Retransmission::default();
        follow(&mut asking, 0, &[7]);
        assert!(asking.poll_missing(at(4)).is_empty());
        asking.came(at(4), 7);
        follow(&mut asking, 4, &[]);
        assert_eq!(asking.poll_timeout(), None);
        assert!(asking.poll_missing(at(500)).is_empty());
        assert_eq!(asking.counters(), &RetransmissionCounters::default());
    }

    #[test]
    fn a_missing_packet_is_asked_for_after_a_moment_and_again_after_a_round_trip() {
        let mut asking = Retransmission::default();
        follow(&mut asking, 0, &[65_535, 0, 3]);
        assert_eq!(asking.poll_timeout(), Some(at(5)));
        assert_eq!(asking.poll_missing(at(5)), [65_535, 0, 3]);
        asking.came(at(35), 0);
        assert_eq!(asking.round_trip(), Some(Duration::from_millis(30)));
        follow(&mut asking, 35, &[65_535, 3]);
        let mut times = std::vec::Vec::new();
        while let Some(next) = asking.poll_timeout() {
            times.push(next);
            assert_eq!(asking.poll_missing(next), [65_535, 3]);
        }
        assert_eq!(times, [at(35), at(65)]);
        let counters = asking.counters();
        assert_eq!((counters.asked, counters.came), (3, 1));
    }

    #[test]
    fn the_wait_for_a_gap_follows_the_measured_answers() {
        let mut asking = Retransmission::default();
        assert_eq!(asking.patience(), Duration::from_millis(80));
        for number in 0..60 {
            let now = u64::from(number) * 100;
            follow(&mut asking, now, &[number]);
            asking.poll_missing(at(now + 5));
            asking.came(at(now + 5 + 20), number);
        }
        let patience = asking.patience();
        assert!(patience <= Duration::from_millis(36), "{patience:?}");
        assert!(patience >= Duration::from_millis(35), "{patience:?}");
    }

    #[test]
    fn a_sender_that_never_answers_is_not_waited_for() {
        let mut asking = Retransmission::default();
        for number in 0..IN_VAIN as u16 {
            let now = u64::from(number) * 100;
            follow(&mut asking, now, &[number]);
            assert_eq!(asking.poll_missing(at(now + 5)), [number]);
        }
        follow(&mut asking, 9_000, &[]);
        assert_eq!(asking.patience(), MIN_HOLD);
        follow(&mut asking, 9_001, &[500]);
        assert_eq!(asking.poll_timeout(), None);
        assert_eq!(asking.counters().in_vain, u64::from(IN_VAIN));
        asking.restart();
        follow(&mut asking, 9_500, &[501]);
        assert_eq!(asking.poll_missing(at(9_505)), [501]);
    }

    #[test]
    fn what_is_asked_for_is_bounded() {
        let mut asking = Retransmission::default();
        asking.follow(at(0), 0..3_000);
        assert_eq!(asking.poll_missing(at(10)).len(), NACK_PACKETS);
    }
}
