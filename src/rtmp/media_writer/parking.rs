//! What is kept of a log for a connection that is not up.
//!
//! The frames from the newest keyframe on, since some senders never make another of their own
//! accord, and the sound of a second before it.

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

use crate::base::frame_log::FrameLog;
use crate::base::time::Instant;
use crate::rtmp::media_place::is_video_keyframe;

/// How long the newest keyframe and what follows it is kept.
const PARKED_KEYFRAME: Duration = Duration::from_secs(10);

/// How long frames without a keyframe are kept for one, and sound before one.
const PARKED: Duration = Duration::from_secs(1);

/// What was seen of a log so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parking {
    /// Positions before this one were looked at.
    seen_to: u64,
    keyframe: Option<u64>,
}

impl Parking {
    /// Parking that has seen nothing, of a log from this position on.
    pub const fn from(position: u64) -> Self {
        Self {
            seen_to: position,
            keyframe: None,
        }
    }

    /// Moves a cursor to the first frame that a later connection would begin with; with `lead` that
    /// may be sound before the keyframe.
    pub fn advance(&mut self, mut cursor: u64, now: Instant, log: &FrameLog, lead: bool) -> u64 {
        cursor = cursor.max(log.start());
        for position in self.seen_to.max(cursor)..log.end() {
            if is_video_keyframe(log, position) {
                self.keyframe = Some(position);
            }
        }
        self.seen_to = log.end();
        while !self.is_worth_keeping(cursor, now, log, lead) {
            cursor = cursor.saturating_add(1);
        }
        cursor
    }

    /// Whether this is the newest keyframe.
    pub fn is_newest_keyframe(&self, position: u64) -> bool {
        self.keyframe == Some(position)
    }

    /// Whether a connection that comes later would begin with the frame at the cursor.
    fn is_worth_keeping(&self, cursor: u64, now: Instant, log: &FrameLog, lead: bool) -> bool {
        let received = |position| log.get(position).map(|view| view.frame().received);
        let Some(here) = received(cursor) else {
            return true;
        };
        let keyframe = self.keyframe.filter(|position| *position >= cursor);
        match keyframe.and_then(received) {
            Some(at_keyframe) => {
                let lead = lead && at_keyframe.since(here) <= PARKED;
                let fresh = now.since(at_keyframe) <= PARKED_KEYFRAME;
                fresh && (lead || keyframe == Some(cursor))
            }
            None => now.since(here) <= PARKED,
        }
    }
}
