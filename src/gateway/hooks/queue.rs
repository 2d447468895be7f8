//! What the backend has still to be told: bounded, and in order for each call.
//!
//! A lane is a call or a registration. Its events go one after another; those of different lanes at
//! the same time. Where room is short, an older state of a lane gives way to a newer one, and what is
//! no last word gives way to one that is.

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
use crate::gateway::hooks::method::Method;
use crate::limits::{HOOK_BODY_BYTES, HOOK_EVENTS, HOOK_EVENTS_A_CALL, HOOK_QUEUE_BYTES};

/// What waits the first time after a failure; twice as long each further time.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long to wait after so many failures in a row.
pub fn backoff(failures: u32) -> Duration {
    let doubled = 1_u32
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u32::MAX);
    FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT)
}

/// Whose event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A call, by its number.
    Call(u64),
    /// The registrations of a trunk, by its place.
    Trunk(usize),
}

/// An event to be told.
#[derive(Clone, Debug)]
pub struct Event {
    /// Which one.
    pub method: Method,
    /// Its JSON.
    pub body: Box<str>,
    /// Whether nothing of the lane makes it less worth knowing.
    pub is_final: bool,
}

/// An event that waits, or is under way.
#[derive(Debug)]
struct Waiting {
    id: u64,
    lane: Lane,
    event: Event,
    since: Instant,
    tries: u32,
    /// Not before.
    due: Instant,
    /// Whether it is the oldest of its lane.
    is_first: bool,
    is_sent: bool,
}

/// What became of events that were not delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Left out, because a newer state of the same call came and room was short.
    pub superseded: u64,
    /// Dropped for want of room.
    pub crowded_out: u64,
    /// Dropped because the backend did not take them in time.
    pub expired: u64,
    /// Dropped because their body is longer than one may be.
    pub oversized: u64,
}

/// Every event that waits.
#[derive(Debug, Default)]
pub struct Queue {
    /// Oldest first.
    waiting: Vec<Waiting>,
    bytes: usize,
    next: u64,
    /// What was dropped.
    pub counters: QueueCounters,
}

/// An event to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Next<'a> {
    /// For [`Queue::delivered`] and [`Queue::failed`].
    pub id: u64,
    /// Whose it is.
    pub lane: Lane,
    /// What to send.
    pub event: &'a Event,
}

impl Queue {
    /// Adds an event. Without room, others give way, or it is dropped; both are counted.
    pub fn push(&mut self, now: Instant, lane: Lane, event: Event) {
        if event.body.len() > HOOK_BODY_BYTES {
            self.counters.oversized += 1;
            return;
        }
        let of_lane = |waiting: &&Waiting| waiting.lane == lane;
        let is_crowded = self.waiting.iter().filter(of_lane).count() >= HOOK_EVENTS_A_CALL;
        if is_crowded || self.is_full(event.body.len()) {
            self.supersede(lane, event.method);
        }
        if self.waiting.iter().filter(of_lane).count() >= HOOK_EVENTS_A_CALL {
            self.give_way(event.is_final, Some(lane));
        }
        while self.is_full(event.body.len()) && self.give_way(event.is_final, None) {}
        let is_crowded = self.waiting.iter().filter(of_lane).count() >= HOOK_EVENTS_A_CALL;
        if is_crowded || self.is_full(event.body.len()) {
            self.counters.crowded_out += 1;
            return;
        }
        self.bytes = self.bytes.saturating_add(event.body.len());
        let is_first = !self.waiting.iter().any(|waiting| waiting.lane == lane);
        self.next = self.next.wrapping_add(1);
        self.waiting.push(Waiting {
            id: self.next,
            lane,
            event,
            since: now,
            tries: 0,
            due: now,
            is_first,
            is_sent: false,
        });
    }

    /// The oldest event that may go out now; it is under way then.
    pub fn next(&mut self, now: Instant) -> Option<Next<'_>> {
        let mut waiting = self.waiting.iter_mut();
        let next = waiting.find(|it| it.is_first && !it.is_sent && it.due <= now)?;
        next.is_sent = true;
        Some(Next {
            id: next.id,
            lane: next.lane,
            event: &next.event,
        })
    }

    /// Whether one could go out now.
    pub fn has_next(&self, now: Instant) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|it| it.is_first && !it.is_sent && it.due <= now)
    }

    /// When the next one may go out.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.waiting.iter();
        let first = waiting.filter(|it| it.is_first && !it.is_sent);
        first.map(|it| it.due).min()
    }

    /// An event needs to be told no more.
    pub fn delivered(&mut self, id: u64) {
        if let Some(at) = self.waiting.iter().position(|it| it.id == id) {
            self.remove(at);
        }
    }

    /// An event was not taken: it waits for its next try, or is dropped where it would be too late by
    /// then, which is told by false.
    pub fn failed(&mut self, now: Instant, id: u64, patience: Duration) -> bool {
        let Some(at) = self.waiting.iter().position(|it| it.id == id) else {
            return true;
        };
        let Some(it) = self.waiting.get_mut(at) else {
            return true;
        };
        it.is_sent = false;
        it.tries = it.tries.saturating_add(1);
        it.due = now + backoff(it.tries);
        if it.due <= it.since + patience {
            return true;
        }
        self.counters.expired += 1;
        self.remove(at);
        false
    }

    /// An event did not go out after all.
    pub fn unsent(&mut self, id: u64) {
        if let Some(it) = self.waiting.iter_mut().find(|it| it.id == id) {
            it.is_sent = false;
        }
    }

    /// Drops what waits for longer than that; how many.
    pub fn expire(&mut self, now: Instant, patience: Duration) -> u64 {
        let before = self.counters.expired;
        while let Some(at) = self
            .waiting
            .iter()
            .position(|it| !it.is_sent && it.since + patience < now)
        {
            self.counters.expired += 1;
            self.remove(at);
        }
        self.counters.expired.saturating_sub(before)
    }

    /// Events that wait or are under way.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn is_full(&self, more: usize) -> bool {
        self.waiting.len() >= HOOK_EVENTS || self.bytes.saturating_add(more) > HOOK_QUEUE_BYTES
    }

    /// Leaves out what a newer state of a lane says better.
    fn supersede(&mut self, lane: Lane, method: Method) {
        let is_older = |it: &Waiting| it.lane == lane && it.event.method == method && !it.is_sent;
        while method.is_state()
            && let Some(at) = self.waiting.iter().position(is_older)
        {
            self.counters.superseded += 1;
            self.remove(at);
        }
    }

    /// Drops what is worth least, of one lane or of all; false where a new one is worth less.
    fn give_way(&mut self, for_final: bool, lane: Option<Lane>) -> bool {
        let counts = |it: &Waiting| !it.is_sent && lane.is_none_or(|lane| it.lane == lane);
        let followed = |at: usize, it: &Waiting| {
            let later = self.waiting.iter().skip(at.saturating_add(1));
            it.event.method.is_state()
                && later
                    .filter(|later| later.lane == it.lane)
                    .any(|later| later.event.method == it.event.method)
        };
        let places = || self.waiting.iter().enumerate();
        // Within reach of the front: a look at each pair of so many events would take too long.
        let old = places()
            .take(HOOK_EVENTS_A_CALL)
            .find(|(at, it)| counts(it) && followed(*at, it));
        let plain = || places().find(|(_, it)| counts(it) && !it.event.is_final);
        let any = || places().find(|(_, it)| counts(it));
        let worst = match for_final {
            true => old.or_else(plain).or_else(any),
            false => old,
        };
        let Some((at, _)) = worst else {
            return false;
        };
        self.counters.crowded_out += 1;
        self.remove(at);
        true
    }

    fn remove(&mut self, at: usize) {
        if at >= self.waiting.len() {
            return;
        }
        let gone = self.waiting.remove(at);
        self.bytes = self.bytes.saturating_sub(gone.event.body.len());
        if gone.is_first {
            let mut later = self.waiting.iter_mut();
            if let Some(first) = later.find(|it| it.lane == gone.lane) {
                first.is_first = true;
            }
        }
    }

    /// Panics where the parts disagree; for tests.
    pub fn check(&self) {
        let bytes: usize = self.waiting.iter().map(|it| it.event.body.len()).sum();
        assert_eq!(bytes, self.bytes, "bytes that wait");
        assert!(self.len() <= HOOK_EVENTS && bytes <= HOOK_QUEUE_BYTES);
        for (at, it) in self.waiting.iter().enumerate() {
            let before = self.waiting.iter().take(at);
            let is_first = !before.into_iter().any(|other| other.lane == it.lane);
            assert_eq!(it.is_first, is_first, "the first of a lane");
            assert!(it.is_first || !it.is_sent, "two of a lane under way");
        }
    }
}

#[cfg(test)]
mod tests;
