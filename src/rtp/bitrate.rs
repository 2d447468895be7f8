//! Asking a sender to keep below a bit rate: TMMBR (RFC 5104, section 4.2.1) and REMB
//! (draft-alvestrand-rmcat-remb-03), each where it was offered.
//!
//! A request is lost like any packet and forgotten by a sender that starts anew, so it is repeated:
//! soon until the sender confirms it (TMMBN), and now and then afterwards. Nothing is estimated
//! here: the limit is the owner's.

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

/// Between requests that nobody confirmed, the first [`EAGER`] of them.
pub const RETRY: Duration = Duration::from_secs(1);

/// Requests that are repeated soon.
pub const EAGER: u8 = 4;

/// Between requests afterwards.
pub const REFRESH: Duration = Duration::from_secs(10);

/// The ways of asking that were offered (`a=rtcp-fb`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BitrateFeedback {
    /// `ccm tmmbr`.
    pub tmmbr: bool,
    /// `goog-remb`.
    pub remb: bool,
}

/// One request: every way that is set is to be taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitrateAsk {
    /// Bits a second.
    pub bits: u64,
    /// Which ways.
    pub by: BitrateFeedback,
}

/// Repeats a limit until it is known.
#[derive(Clone, Debug, Default)]
pub struct BitrateRequester {
    feedback: BitrateFeedback,
    bits: Option<u64>,
    due: Option<Instant>,
    asked: u8,
    confirmed: bool,
}

impl BitrateRequester {
    /// Sets the limit and the ways of telling it; something new is due at once.
    pub fn set(&mut self, now: Instant, feedback: BitrateFeedback, bits: Option<u64>) {
        if (self.feedback, self.bits) == (feedback, bits) {
            return;
        }
        self.feedback = feedback;
        self.bits = bits;
        self.renew(now);
    }

    /// The sender changed, and knows of nothing.
    pub fn renew(&mut self, now: Instant) {
        self.asked = 0;
        self.confirmed = false;
        let has_way = self.feedback != BitrateFeedback::default();
        self.due = self.bits.filter(|_| has_way).map(|_| now);
    }

    /// The sender said that it keeps our limit.
    pub fn confirm(&mut self) {
        self.confirmed = true;
    }

    /// The limit that is told.
    pub fn bits(&self) -> Option<u64> {
        self.bits
    }

    /// When to call [`Self::poll_ask`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// What is to be sent now, if anything.
    pub fn poll_ask(&mut self, now: Instant) -> Option<BitrateAsk> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        let bits = self.bits?;
        self.asked = self.asked.saturating_add(1);
        let soon = self.asked < EAGER && !self.confirmed;
        self.due = Some(now + if soon { RETRY } else { REFRESH });
        Some(BitrateAsk {
            bits,
            by: self.feedback,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: BitrateFeedback = BitrateFeedback {
        tmmbr: true,
        remb: true,
    };

    fn times(requester: &mut BitrateRequester, until: u64) -> Vec<u64> {
        let mut times = Vec::new();
        while let Some(due) = requester.poll_timeout()
            && due <= Instant::from_millis(until)
        {
            assert!(requester.poll_ask(due).is_some());
            times.push(due.as_micros() / 1_000);
        }
        times
    }

    #[test]
    fn a_limit_is_told_at_once_then_soon_then_now_and_then() {
        let mut requester = BitrateRequester::default();
        requester.set(Instant::ZERO, BOTH, Some(500_000));
        assert_eq!(
            times(&mut requester, 25_000),
            [0, 1_000, 2_000, 3_000, 13_000, 23_000]
        );
        requester.renew(Instant::from_millis(25_000));
        assert_eq!(times(&mut requester, 25_000), [25_000]);
        requester.confirm();
        assert_eq!(times(&mut requester, 40_000), [26_000, 36_000]);
    }

    #[test]
    fn without_a_limit_or_a_way_nothing_is_told() {
        let mut requester = BitrateRequester::default();
        requester.set(Instant::ZERO, BitrateFeedback::default(), Some(1));
        assert_eq!(requester.poll_timeout(), None);
        requester.set(Instant::ZERO, BOTH, None);
        assert_eq!(requester.poll_timeout(), None);
        requester.set(Instant::ZERO, BOTH, Some(7));
        assert!(requester.poll_timeout().is_some());
        // The same once more is no news.
        assert!(requester.poll_ask(Instant::ZERO).is_some());
        requester.set(Instant::from_millis(1), BOTH, Some(7));
        assert_eq!(requester.poll_ask(Instant::from_millis(1)), None);
    }
}
