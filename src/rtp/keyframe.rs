//! When and how to ask the sender for a keyframe.
//!
//! Three ways lead to a phone's encoder: picture loss indication (RFC 4585, section 6.3.1), full
//! intra request (RFC 5104, section 4.3.1) and the `picture_fast_update` of SIP INFO (RFC 5168).
//! Where the offer has `rtcp-fb`, they are climbed in that order, since RTCP goes straight to the
//! phone. Where it has none, all three go out at once: many phones answer RTCP feedback that they
//! never offered, others know only INFO. Asking goes on until a keyframe comes, paced.

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

use heapless::Deque;

use crate::base::time::Instant;

/// No two askings are closer than this.
pub const MIN_GAP: Duration = Duration::from_millis(500);

/// No more than [`WINDOW_ASKS`] fall into any span of this length.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Askings within one [`WINDOW`].
pub const WINDOW_ASKS: usize = 6;

/// Askings within one [`WINDOW`] that may follow each other at [`MIN_GAP`]. The others are spread over
/// the rest of it: on a line that loses packets all the time they would else be used up in its first
/// seconds, and the picture would stand still until its end.
const QUICK_ASKS: usize = 4;

/// Waits after the first askings of one want; the last one repeats.
const GAPS: [Duration; 5] = [
    MIN_GAP,
    MIN_GAP,
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
];

/// Ways of asking that the far end offered for its video (`a=rtcp-fb`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// `nack pli`.
    pub pli: bool,
    /// `ccm fir`.
    pub fir: bool,
}

/// One asking: every way that is set is to be taken now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Send a picture loss indication.
    pub pli: bool,
    /// Send a full intra request with this number.
    pub fir: Option<u8>,
    /// Ask by SIP INFO.
    pub info: bool,
}

/// Asks until a keyframe comes.
#[derive(Clone, Debug)]
pub struct KeyframeRequester {
    feedback: Feedback,
    /// When the next asking of the present want is due.
    due: Option<Instant>,
    /// Askings of the present want.
    step: usize,
    /// The last askings, of whatever want.
    asked: Deque<Instant, WINDOW_ASKS>,
    fir_sequence: u8,
    count: u64,
}

impl KeyframeRequester {
    /// A requester that wants nothing yet.
    pub fn new(feedback: Feedback) -> Self {
        Self {
            feedback,
            due: None,
            step: 0,
            asked: Deque::new(),
            fir_sequence: 0,
            count: 0,
        }
    }

    /// Takes over what a new offer says.
    pub fn set_feedback(&mut self, feedback: Feedback) {
        self.feedback = feedback;
    }

    /// A keyframe is needed. Due at once where pacing allows; no effect while one is wanted already.
    pub fn want(&mut self, now: Instant) {
        if self.due.is_none() {
            self.step = 0;
            self.due = Some(self.allowed_from(now));
        }
    }

    /// A whole keyframe came.
    pub fn satisfied(&mut self, _now: Instant) {
        self.due = None;
    }

    /// Whether a keyframe is still awaited.
    pub fn is_wanting(&self) -> bool {
        self.due.is_some()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// What to send now, if anything.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Ask> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        let ask = self.ask();
        if self.asked.is_full() {
            self.asked.pop_front();
        }
        // Room was made above.
        let _ = self.asked.push_back(now);
        let gap = GAPS
            .get(self.step)
            .or(GAPS.last())
            .copied()
            .unwrap_or(MIN_GAP);
        self.step = self.step.saturating_add(1);
        self.due = Some(self.allowed_from(now + gap));
        self.count = self.count.saturating_add(1);
        Some(ask)
    }

    /// Askings so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    fn ask(&mut self) -> Ask {
        let Feedback { pli, fir } = self.feedback;
        let (pli, fir, info) = match (pli, fir) {
            (false, false) => (true, true, true),
            (true, true) => match self.step {
                0 => (true, false, false),
                1 => (false, true, false),
                _ => (true, true, true),
            },
            // The way that was offered, then the other one too, then all.
            (pli, fir) => match self.step {
                0 => (pli, fir, false),
                1 => (true, true, false),
                _ => (true, true, true),
            },
        };
        // Each is a command of its own, never a repetition: what the former one made has come or is
        // lost by now, and a repeated number would be passed over.
        let fir = fir.then(|| {
            let sequence = self.fir_sequence;
            self.fir_sequence = sequence.wrapping_add(1);
            sequence
        });
        Ask { pli, fir, info }
    }

    /// The first moment from `wish` on that keeps the pace.
    fn allowed_from(&self, wish: Instant) -> Instant {
        let mut from = wish;
        if self.asked.is_full()
            && let Some(first) = self.asked.front()
        {
            from = from.max(*first + WINDOW);
        }
        let Some(last) = self.asked.back() else {
            return from;
        };
        let mut recent = self.asked.iter().filter(|asked| **asked + WINDOW > from);
        let oldest = recent.next().copied().unwrap_or(from);
        let asked = recent.count().saturating_add(1);
        let gap = match WINDOW_ASKS.checked_sub(asked) {
            Some(left) if asked >= QUICK_ASKS => {
                let rest = (oldest + WINDOW).since(*last);
                rest / (left as u32).saturating_add(1)
            }
            _ => MIN_GAP,
        };
        from.max(*last + gap.max(MIN_GAP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Feedback = Feedback {
        pli: true,
        fir: true,
    };

    fn asks(requester: &mut KeyframeRequester, from: u64, to: u64) -> Vec<(u64, Ask)> {
        (from..to)
            .filter_map(|at| Some((at, requester.handle_timeout(Instant::from_millis(at))?)))
            .collect()
    }

    #[test]
    fn the_first_asking_is_due_at_once() {
        let mut requester = KeyframeRequester::new(BOTH);
        assert_eq!(requester.poll_timeout(), None);
        let now = Instant::from_millis(700);
        requester.want(now);
        assert_eq!(requester.poll_timeout(), Some(now));
        assert_eq!(
            requester.handle_timeout(now),
            Some(Ask {
                pli: true,
                fir: None,
                info: false
            })
        );
    }

    #[test]
    fn the_ladder_climbs_from_pli_over_fir_to_info() {
        let mut requester = KeyframeRequester::new(BOTH);
        requester.want(Instant::ZERO);
        let got: Vec<_> = asks(&mut requester, 0, 2_500).into_iter().collect();
        assert_eq!(
            got,
            [
                (
                    0,
                    Ask {
                        pli: true,
                        fir: None,
                        info: false
                    }
                ),
                (
                    500,
                    Ask {
                        pli: false,
                        fir: Some(0),
                        info: false
                    }
                ),
                (
                    1_000,
                    Ask {
                        pli: true,
                        fir: Some(1),
                        info: true
                    }
                ),
                (
                    2_000,
                    Ask {
                        pli: true,
                        fir: Some(2),
                        info: true
                    }
                ),
            ]
        );
    }

    #[test]
    fn without_offered_feedback_every_way_is_taken_at_once() {
        let mut requester = KeyframeRequester::new(Feedback::default());
        requester.want(Instant::ZERO);
        assert_eq!(
            requester.handle_timeout(Instant::ZERO),
            Some(Ask {
                pli: true,
                fir: Some(0),
                info: true
            })
        );
    }

    #[test]
    fn a_single_offered_way_goes_first() {
        for (feedback, first) in [
            (
                Feedback {
                    pli: true,
                    fir: false,
                },
                Ask {
                    pli: true,
                    fir: None,
                    info: false,
                },
            ),
            (
                Feedback {
                    pli: false,
                    fir: true,
                },
                Ask {
                    pli: false,
                    fir: Some(0),
                    info: false,
                },
            ),
        ] {
            let mut requester = KeyframeRequester::new(feedback);
            requester.want(Instant::ZERO);
            assert_eq!(requester.handle_timeout(Instant::ZERO), Some(first));
        }
    }

    #[test]
    fn asking_ends_with_the_keyframe_and_repeats_until_then() {
        let mut requester = KeyframeRequester::new(BOTH);
        requester.want(Instant::ZERO);
        assert!(asks(&mut requester, 0, 120_000).len() > 30);
        requester.satisfied(Instant::from_millis(120_000));
        assert!(!requester.is_wanting());
        assert_eq!(asks(&mut requester, 120_000, 180_000), []);
    }

    #[test]
    fn pace_holds_whatever_is_wanted_and_satisfied() {
        let mut requester = KeyframeRequester::new(BOTH);
        let mut times = Vec::new();
        for at in 0..60_000 {
            let now = Instant::from_millis(at);
            requester.want(now);
            if requester.handle_timeout(now).is_some() {
                times.push(at);
                requester.satisfied(now);
            }
        }
        assert!(
            times.windows(2).all(|pair| pair[1] - pair[0] >= 500),
            "{times:?}"
        );
        assert!(
            times.windows(7).all(|span| span[6] - span[0] >= 10_000),
            "{times:?}"
        );
        assert!(times.len() >= 30, "{times:?}");
        assert!(
            times.windows(2).all(|pair| pair[1] - pair[0] <= 3_000),
            "the picture stands still for long: {times:?}"
        );
        assert_eq!(requester.count(), times.len() as u64);
    }

    #[test]
    fn wanting_again_does_not_restart_the_ladder() {
        let mut requester = KeyframeRequester::new(BOTH);
        requester.want(Instant::ZERO);
        requester.handle_timeout(Instant::ZERO);
        requester.want(Instant::from_millis(10));
        let ask = requester.handle_timeout(Instant::from_millis(500)).unwrap();
        assert_eq!(ask.fir, Some(0));
    }

    #[test]
    fn intra_request_numbers_wrap() {
        let mut requester = KeyframeRequester::new(Feedback::default());
        requester.want(Instant::ZERO);
        let numbers: Vec<_> = asks(&mut requester, 0, 900_000)
            .iter()
            .map(|(_, ask)| ask.fir.unwrap())
            .collect();
        assert!(numbers.len() > 256);
        assert!(
            numbers
                .windows(2)
                .all(|pair| pair[1] == pair[0].wrapping_add(1))
        );
    }
}
