//! How a connection keeps up: whether it moves at all, and how long video lasts on it.

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

/// In this time a connection that moves must have come nearer.
const PATIENCE: Duration = Duration::from_secs(2);
/// A connection that can make up for a stall does so in this time, or at least no longer loses.
const BURST: Duration = Duration::from_millis(250);
/// Video that was sent for as long was no mistake.
const STEADY: Duration = Duration::from_secs(10);
/// How long video stays away once it had to be dropped twice in a row before it was steady.
const FIRST_HOLD: Duration = Duration::from_secs(2);
/// How long it stays away at most.
const LONGEST_HOLD: Duration = Duration::from_secs(16);

/// What was seen of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slowness {
    started: Option<Instant>,
    /// It was so far behind at this moment, and moved.
    behind: Option<(Instant, Duration)>,
    frames_sent: u64,
    moves: bool,
    video_since: Option<Instant>,
    /// Times in a row that video had to be dropped before it was steady.
    short_runs: u32,
    held_until: Option<Instant>,
}

impl Slowness {
    /// Looks at how far it has come: whether video is sent, and the frames sent so far.
    pub fn look(&mut self, now: Instant, video: bool, frames_sent: u64) {
        self.started.get_or_insert(now);
        self.moves = core::mem::replace(&mut self.frames_sent, frames_sent) != frames_sent;
        if !video {
            self.video_since = None;
        } else if self.video_since.is_none() {
            self.video_since = Some(now);
        }
    }

    /// Whether it has been there for so long.
    pub fn has_run(&self, now: Instant, at_least: Duration) -> bool {
        self.started.is_some_and(|at| now.since(at) > at_least)
    }

    /// It is so far behind, and frames were lost by that or not: whether it moves and still comes no
    /// nearer.
    pub fn is_too_slow(&mut self, now: Instant, backlog: Duration, lost: bool) -> bool {
        match self.behind {
            // Better one gap than one after another.
            Some((since, _)) if lost && now.since(since) >= BURST => true,
            Some((since, _)) if now.since(since) < PATIENCE => false,
            Some((_, before)) if backlog >= before => true,
            _ => {
                self.behind = self.moves.then_some((now, backlog));
                false
            }
        }
    }

    /// It is not behind.
    pub fn kept_up(&mut self) {
        self.behind = None;
    }

    /// Video was dropped.
    pub fn dropped_video(&mut self, now: Instant) {
        let lasted = self.video_since.take().map(|since| now.since(since));
        self.short_runs = if lasted.is_some_and(|lasted| lasted >= STEADY) {
            0
        } else {
            self.short_runs.saturating_add(1)
        };
        self.held_until = self.short_runs.checked_sub(2).map(|doublings| {
            let hold = FIRST_HOLD.saturating_mul(1 << doublings.min(8));
            now + hold.min(LONGEST_HOLD)
        });
    }

    /// Whether video is to stay away.
    pub fn is_video_held(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn video_that_never_lasts_stays_away_for_longer_each_time() {
        let mut slowness = Slowness::default();
        let mut now = Instant::ZERO;
        let mut holds = std::vec::Vec::new();
        for _ in 0..8 {
            slowness.look(now, true, 0);
            now = now + Duration::from_secs(3);
            slowness.dropped_video(now);
            let from = now;
            while slowness.is_video_held(now) {
                now = now + Duration::from_secs(1);
            }
            holds.push((now - from).as_secs());
        }
        assert_eq!(holds, [0, 2, 4, 8, 16, 16, 16, 16]);
        slowness.look(now, true, 0);
        now = now + STEADY;
        slowness.dropped_video(now);
        assert!(!slowness.is_video_held(now), "it was steady");
    }

    #[test]
    fn only_one_that_moves_and_comes_no_nearer_is_too_slow() {
        let mut slowness = Slowness::default();
        let at = Instant::from_millis;
        let behind = Duration::from_millis;
        slowness.look(at(0), false, 0);
        assert!(!slowness.is_too_slow(at(0), behind(2_100), false));
        slowness.look(at(9_000), false, 0);
        assert!(
            !slowness.is_too_slow(at(9_000), behind(3_000), false),
            "a stall"
        );
        slowness.look(at(9_010), false, 5);
        assert!(!slowness.is_too_slow(at(9_010), behind(3_000), false));
        slowness.look(at(11_010), false, 6);
        assert!(
            !slowness.is_too_slow(at(11_010), behind(2_900), false),
            "nearer"
        );
        slowness.look(at(13_010), false, 7);
        assert!(slowness.is_too_slow(at(13_010), behind(2_950), false));
        slowness.kept_up();
        assert!(!slowness.is_too_slow(at(13_020), behind(2_950), true));
        assert!(
            slowness.is_too_slow(at(13_300), behind(2_900), true),
            "loses"
        );
    }
}
