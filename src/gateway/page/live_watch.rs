//! Frames that stay in a call's log because somebody watches the call on the page.
//!
//! Who watches asks again and again, and nothing else is known of him. So the call keeps its frames
//! for a moment longer than other readers need them, until nobody has asked for a while. That costs
//! packet slots, which are given back as soon as they are scarce.

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
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::outlet::CallIndex;
use crate::limits::LIVE_CALLS;

/// How long a call that is watched keeps its frames.
pub const HOLD: Duration = Duration::from_millis(1_500);

/// How long after the last question a call counts as watched.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// How often watchers have a keyframe asked for at most, while one is missing.
const KEYFRAME_INTERVAL: Duration = Duration::from_secs(1);

/// That a call is watched.
#[derive(Debug)]
pub struct LiveWatch {
    /// When nobody watches any more, if nobody asks before.
    until: Instant,
    /// Frames from here on are kept.
    position: u64,
    asked: Option<Instant>,
}

impl LiveWatch {
    /// When it ends.
    pub const fn poll_timeout(&self) -> Instant {
        self.until
    }

    /// The oldest position that is kept.
    fn keeps_from(&mut self, now: Instant, log: &FrameLog) -> u64 {
        self.position = self.position.max(log.start());
        while let Some(view) = log.get(self.position)
            && view.frame().received + HOLD < now
        {
            self.position = self.position.saturating_add(1);
        }
        self.position
    }
}

impl Call {
    fn watch_mut(&mut self) -> Option<&mut LiveWatch> {
        self.outputs.as_mut()?.watch.as_mut()
    }

    /// Forgets that it is watched, once nobody has asked for long.
    pub(in crate::gateway) fn expire_watch(&mut self, now: Instant) {
        if let Some(outputs) = &mut self.outputs {
            outputs.watch.take_if(|watch| watch.until <= now);
        }
    }

    /// The oldest log position that is kept for who watches, where other readers need `needed` on.
    pub(in crate::gateway) fn watched_from(&mut self, now: Instant, needed: u64) -> u64 {
        let Self { outputs, log, .. } = self;
        let watch = outputs.as_mut().and_then(|it| it.watch.as_mut());
        watch.map_or(needed, |watch| needed.min(watch.keeps_from(now, log)))
    }

    /// Asks the caller for a keyframe that those who watch lack; paced.
    pub(super) fn ask_watched_keyframe(&mut self, now: Instant) {
        let Some(watch) = self.watch_mut() else {
            return;
        };
        if watch.asked.is_none_or(|at| now >= at + KEYFRAME_INTERVAL) {
            watch.asked = Some(now);
            self.session.request_keyframe(now);
        }
    }
}

impl Gateway {
    /// Notes that a call is watched; false when too many others are.
    pub(super) fn watch_call(&mut self, now: Instant, index: CallIndex) -> bool {
        let is_watched = |call: &Call| call.outputs.as_ref().is_some_and(|it| it.watch.is_some());
        let watched = self.calls().filter(|call| is_watched(call)).count();
        let Some(call) = self.calls.touch_mut(index) else {
            return false;
        };
        if watched >= LIVE_CALLS && !is_watched(call) {
            return false;
        }
        let position = call.log.start();
        let watch = call.outputs_mut().watch.get_or_insert(LiveWatch {
            until: now,
            position,
            asked: None,
        });
        watch.until = now + PATIENCE;
        true
    }

    /// Gives back, while half of all packet slots are taken, what is held for those who watch and
    /// nobody else: the older half of the call that holds most, again and again.
    pub(in crate::gateway) fn shed_watched(&mut self) {
        while self.pool.available() < self.pool.capacity() / 2 {
            let held = self.calls.iter().filter_map(|(index, call)| {
                call.outputs.as_ref()?.watch.as_ref()?;
                let needed = self.needed_by_readers(index)?;
                let kept = needed.saturating_sub(call.log.start());
                (kept > 0).then_some((kept, index))
            });
            let Some((kept, index)) = held.max_by_key(|(kept, _)| *kept) else {
                return;
            };
            let Some(call) = self.calls.get_mut(index) else {
                return;
            };
            let until = call.log.start().saturating_add(kept.div_ceil(2));
            call.log.release_before(until);
        }
    }
}
