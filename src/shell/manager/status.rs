//! The line that the service manager shows of us: "registered, 2 calls".

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;
use core::time::Duration;

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::sip::RegistrationState;

/// How often it may change.
const INTERVAL: Duration = Duration::from_secs(1);

/// How the daemon is, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Trunks that are to be registered.
    pub registrations: usize,
    /// Those of them that are.
    pub registered: usize,
    /// Trunks whose port is not open.
    pub waiting: usize,
    /// Calls.
    pub calls: usize,
}

impl Figures {
    /// Of a gateway now.
    pub fn of(gateway: &Gateway) -> Self {
        let mut figures = Self {
            calls: gateway.calls().count(),
            waiting: gateway.waiting_trunks().count(),
            ..Self::default()
        };
        let config = &gateway.config().trunks;
        figures.registrations = config
            .iter()
            .filter(|trunk| trunk.register.is_some())
            .count();
        let is_registered = |state: Option<&RegistrationState>| {
            matches!(state, Some(RegistrationState::Registered { .. }))
        };
        figures.registered = gateway
            .trunks()
            .filter(|trunk| is_registered(trunk.registration()))
            .count();
        figures
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.registrations, self.registered) {
            (0, _) => write!(f, "ready")?,
            (all, registered) if registered >= all => write!(f, "registered")?,
            (_, 0) => write!(f, "not registered")?,
            (all, registered) => write!(f, "{registered} of {all} trunks registered")?,
        }
        match self.calls {
            0 => write!(f, ", no calls")?,
            1 => write!(f, ", 1 call")?,
            calls => write!(f, ", {calls} calls")?,
        }
        match self.waiting {
            0 => Ok(()),
            1 => write!(f, ", 1 trunk waits for its port"),
            waiting => write!(f, ", {waiting} trunks wait for their ports"),
        }
    }
}

/// Notices when the line changes, and not too often.
#[derive(Clone, Debug, Default)]
pub struct Status {
    said: Option<Figures>,
    next: Instant,
    /// Whether something may have changed since the last look.
    is_stale: bool,
}

impl Status {
    /// When a look is due that came too early.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.is_stale.then_some(self.next)
    }

    /// The figures to tell now, if they are others than were told last. They are looked at once a
    /// second.
    pub fn changed(&mut self, now: Instant, figures: impl FnOnce() -> Figures) -> Option<Figures> {
        if now < self.next {
            self.is_stale = true;
            return None;
        }
        self.is_stale = false;
        self.next = now + INTERVAL;
        let figures = figures();
        (self.said != Some(figures)).then(|| {
            self.said = Some(figures);
            figures
        })
    }

    /// What was to be told last could not be: it is told once more.
    pub fn not_taken(&mut self) {
        self.said = None;
        self.is_stale = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(calls: usize) -> Figures {
        Figures {
            calls,
            ..Figures::default()
        }
    }

    #[test]
    fn the_line_says_how_trunks_and_calls_are() {
        for ((registrations, registered, waiting, calls), line) in [
            ((0, 0, 0, 0), "ready, no calls"),
            ((1, 1, 0, 2), "registered, 2 calls"),
            ((1, 0, 0, 1), "not registered, 1 call"),
            (
                (3, 2, 1, 0),
                "2 of 3 trunks registered, no calls, 1 trunk waits for its port",
            ),
            (
                (0, 0, 2, 0),
                "ready, no calls, 2 trunks wait for their ports",
            ),
        ] {
            let figures = Figures {
                registrations,
                registered,
                waiting,
                calls,
            };
            assert_eq!(figures.to_string(), line);
        }
    }

    #[test]
    fn a_change_is_told_once_and_at_most_once_a_second() {
        let mut status = Status::default();
        let at = Instant::from_millis;
        assert_eq!(status.changed(at(0), || figures(0)), Some(figures(0)));
        assert_eq!(status.poll_timeout(), None);
        // Too early: looked at when the second is over.
        assert_eq!(status.changed(at(10), || panic!("too early")), None);
        assert_eq!(status.poll_timeout(), Some(at(1_000)));
        assert_eq!(status.changed(at(1_000), || figures(1)), Some(figures(1)));
        assert_eq!(status.changed(at(2_500), || figures(1)), None);
        assert_eq!(status.poll_timeout(), None);
    }

    #[test]
    fn what_was_not_taken_is_told_again() {
        let mut status = Status::default();
        let at = Instant::from_millis;
        assert!(status.changed(at(0), || figures(3)).is_some());
        status.not_taken();
        assert_eq!(status.poll_timeout(), Some(at(1_000)));
        assert_eq!(status.changed(at(1_000), || figures(3)), Some(figures(3)));
    }
}
