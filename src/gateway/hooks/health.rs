//! Whether the backend answers at all, and how often the journal is told.

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
use crate::gateway::hooks::queue::backoff;

/// From one line about answers of one kind to the next.
const LINES_EACH: Duration = Duration::from_secs(60);

/// How the backend is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health {
    /// Since when it does not answer, how often it did not, and when it is tried next.
    away: Option<(Instant, u32, Instant)>,
    noted: Option<Instant>,
    noted_drop: Option<Instant>,
}

impl Health {
    /// It did not answer; true the first time.
    pub fn failed(&mut self, now: Instant) -> bool {
        match &mut self.away {
            Some((_, failures, probe)) => {
                // Those that were under way together fail together.
                if now >= *probe {
                    *failures = failures.saturating_add(1);
                    *probe = now + backoff(*failures);
                }
                false
            }
            None => {
                self.away = Some((now, 1, now + backoff(1)));
                true
            }
        }
    }

    /// It answered; for how long it did not, if that is news.
    pub fn answered(&mut self, now: Instant) -> Option<Duration> {
        let (since, ..) = self.away.take()?;
        Some(now.since(since))
    }

    /// When it is tried next, while it does not answer.
    pub fn probe_at(&self) -> Option<Instant> {
        self.away.map(|(.., probe)| probe)
    }

    /// Whether an answer that is no success is to be told by now.
    pub fn may_note(&mut self, now: Instant) -> bool {
        may(&mut self.noted, now)
    }

    /// Whether the loss of events is to be told by now.
    pub fn may_note_drop(&mut self, now: Instant) -> bool {
        may(&mut self.noted_drop, now)
    }
}

fn may(last: &mut Option<Instant>, now: Instant) -> bool {
    let may = last.is_none_or(|last| now >= last + LINES_EACH);
    if may {
        *last = Some(now);
    }
    may
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_is_away_is_tried_more_and_more_seldom() {
        let mut health = Health::default();
        let at = |seconds: u64| Instant::from_millis(seconds * 1_000);
        assert!(health.failed(at(0)));
        // Of those that were under way together, one counts.
        assert!(!health.failed(at(0)));
        assert_eq!(health.probe_at(), Some(at(1)));
        assert!(!health.failed(at(1)));
        assert_eq!(health.probe_at(), Some(at(3)));
        assert_eq!(health.answered(at(3)), Some(Duration::from_secs(3)));
        assert_eq!((health.answered(at(3)), health.probe_at()), (None, None));
        assert!(health.failed(at(4)));
    }

    #[test]
    fn a_line_is_not_repeated_within_a_minute() {
        let mut health = Health::default();
        assert!(health.may_note(Instant::ZERO));
        assert!(health.may_note_drop(Instant::ZERO));
        assert!(!health.may_note(Instant::ZERO + Duration::from_secs(59)));
        assert!(health.may_note(Instant::ZERO + LINES_EACH));
    }
}
