//! In which order a request tries the targets of its peer (RFC 3263 section 4.3).
//!
//! The order is the configured or looked-up one, with targets that are known to be down behind the
//! others: they are still tried, since what is known may be old.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use super::transaction_client::Unanswered;
use super::transmit::{SipTarget, SipTargets};

/// The targets of one request, and which of them is being tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetWalk {
    targets: SipTargets,
    at: usize,
}

impl TargetWalk {
    /// Begins at the first target, those that are down put last.
    pub fn new(targets: &SipTargets, is_down: impl Fn(&SipTarget) -> bool) -> Self {
        let up = targets.iter().filter(|target| !is_down(target));
        let down = targets.iter().filter(|target| is_down(target));
        Self {
            targets: up.chain(down).copied().collect(),
            at: 0,
        }
    }

    /// The target that is being tried; none once all have failed.
    pub fn current(&self) -> Option<SipTarget> {
        self.targets.get(self.at).copied()
    }

    /// The current target has failed: the next one, if there is one.
    pub fn failed(&mut self) -> Option<SipTarget> {
        self.at = self.at.saturating_add(1).min(self.targets.len());
        self.current()
    }

    /// Whether a final response is a failure of the target, so that the next one is tried with a new
    /// transaction (section 4.3): 503, or nothing at all.
    pub const fn is_failure(code: u16) -> bool {
        matches!(code, 408 | 503)
    }

    /// The status code that stands for no final response (RFC 3261 section 8.1.3.1).
    pub(super) const fn code_of(why: Unanswered) -> u16 {
        match why {
            Unanswered::Timeout => 408,
            Unanswered::Unreachable => 503,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::network::Transport;

    fn target(last: u8) -> SipTarget {
        SipTarget {
            transport: Transport::Udp,
            address: ([192, 0, 2, last], 5060).into(),
        }
    }

    #[test]
    fn targets_that_are_down_are_tried_last_and_every_one_once() {
        let targets: SipTargets = [1, 2, 3].map(target).into_iter().collect();
        let mut walk = TargetWalk::new(&targets, |t| *t == target(1));
        assert_eq!(walk.current(), Some(target(2)));
        assert_eq!(walk.failed(), Some(target(3)));
        assert_eq!(walk.failed(), Some(target(1)));
        assert_eq!(walk.failed(), None);
        assert_eq!((walk.failed(), walk.current()), (None, None));
    }

    #[test]
    fn only_silence_and_503_go_on_to_the_next_target() {
        let failures: Vec<u16> = (200..700).filter(|c| TargetWalk::is_failure(*c)).collect();
        assert_eq!(failures, [408, 503]);
    }
}
