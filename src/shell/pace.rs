//! When to wake up: waits for readiness when quiet, lets packets gather when busy.
//!
//! Wake-ups are what a relay spends its time on. With few calls each packet is handled as it
//! comes. Under load the loop sleeps out most of a millisecond first, so that one wake-up serves many
//! sockets and one write carries several frames.

use core::time::Duration;

use crate::base::time::Instant;

/// How the loop waits for its next wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nothing flows: park in the reactor until something is ready.
    Park,
    /// Media flows: wait for readiness alone, at most this long.
    Poll(Duration),
    /// Much flows: sleep this long, then take what has gathered.
    Gather(Duration),
}

/// The longest time that packets gather. With the work of a wake-up it stays near a millisecond.
const GATHER: Duration = Duration::from_micros(800);

/// How long after the last media packet the loop goes on polling.
const LINGER: Duration = Duration::from_millis(100);

/// The longest wait outside the reactor, so that its other tasks are never late by more. Shorter
/// ones would cost wake-ups between the packets of a single call.
const POLL: Duration = Duration::from_millis(50);

/// The span over which packets are counted: long enough that one large keyframe is no load.
const SPAN: Duration = Duration::from_millis(200);

/// Packets a span from which on they gather: the rate of about four video calls.
const BUSY: u32 = 220;

/// Watches the rate of media packets.
#[derive(Debug, Default)]
pub struct Pace {
    span_start: Instant,
    packets: u32,
    busy: bool,
    last_media: Option<Instant>,
    last_wake: Instant,
}

impl Pace {
    /// Notes that a wake-up at `now` read `packets` media packets.
    pub fn woke(&mut self, now: Instant, packets: u32) {
        self.last_wake = now;
        if packets > 0 {
            self.last_media = Some(now);
        }
        self.packets = self.packets.saturating_add(packets);
        let span = now.since(self.span_start);
        if span >= SPAN {
            let spans = (span.as_micros() / SPAN.as_micros()).max(1);
            self.busy = u128::from(self.packets) >= u128::from(BUSY) * spans;
            self.span_start = now;
            self.packets = 0;
        }
    }

    /// Whether packets gather.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// How to wait for the next wake-up; `deadline` is the gateway's next.
    pub fn wait(&self, now: Instant, deadline: Option<Instant>) -> Wait {
        let until = deadline.map_or(POLL, |at| at.since(now)).min(POLL);
        if self.busy {
            return Wait::Gather(GATHER.saturating_sub(now.since(self.last_wake)));
        }
        match self.last_media {
            Some(at) if now.since(at) < LINGER => Wait::Poll(until),
            _ => Wait::Park,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(packets_a_milli: u32) -> Pace {
        let mut pace = Pace::default();
        for milli in 1..=400 {
            pace.woke(Instant::from_millis(milli), packets_a_milli);
        }
        pace
    }

    #[test]
    fn one_call_never_waits_for_company() {
        let mut pace = Pace::default();
        for wake in 1..100 {
            // 277 packets a second in bursts of nine.
            pace.woke(Instant::from_millis(wake * 33), 9);
            let now = Instant::from_millis(wake * 33);
            assert!(matches!(pace.wait(now, None), Wait::Poll(_)));
        }
    }

    #[test]
    fn load_gathers_for_most_of_a_millisecond() {
        let pace = run(14);
        let wait = pace.wait(Instant::from_micros(400_300), None);
        assert_eq!(wait, Wait::Gather(Duration::from_micros(500)));
        let late = pace.wait(Instant::from_micros(402_000), None);
        assert_eq!(late, Wait::Gather(Duration::ZERO));
    }

    #[test]
    fn silence_parks_the_loop() {
        let mut pace = run(14);
        pace.woke(Instant::from_millis(1_000), 0);
        assert_eq!(pace.wait(Instant::from_millis(1_000), None), Wait::Park);
    }

    #[test]
    fn polling_ends_at_the_deadline() {
        let mut pace = Pace::default();
        pace.woke(Instant::from_millis(50), 1);
        let wait = pace.wait(Instant::from_millis(50), Some(Instant::from_millis(53)));
        assert_eq!(wait, Wait::Poll(Duration::from_millis(3)));
    }
}
