//! When the watchdog is fed: after each part of the daemon has proved that it turns.
//!
//! A beat is due three times in the time that the service manager allows. At each the proofs since the
//! last one are looked at: with all of them the watchdog is fed and new ones are asked for; without, it
//! is not, and the next beat comes sooner. Where a proof cannot be asked for, none is demanded.

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

/// Beats in the time that is allowed.
const BEATS: u32 = 3;

/// Beats in place of one while a proof is missing.
const URGENT: u32 = 4;

/// What turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Timers are served when they are due.
    Timers,
    /// What is sent to a SIP port comes in.
    Signalling,
    /// What is sent to a media socket comes in.
    Media,
}

/// A set of proofs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proofs(u8);

impl Proofs {
    /// Each of them.
    pub const ALL: Self = Self(7);

    /// A set with one more.
    #[must_use]
    pub const fn with(self, proof: Proof) -> Self {
        Self(self.0 | 1 << proof as u8)
    }

    /// A set with one less.
    #[must_use]
    pub const fn without(self, proof: Proof) -> Self {
        Self(self.0 & !(1 << proof as u8))
    }

    /// Those that another set does not have.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether one is among them.
    pub const fn has(self, proof: Proof) -> bool {
        self.0 & 1 << proof as u8 != 0
    }
}

impl fmt::Display for Proofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (proof, words) in [
            (Proof::Timers, "timers are not served"),
            (Proof::Signalling, "nothing comes in at the first SIP port"),
            (Proof::Media, "nothing comes in at a media socket"),
        ] {
            if self.has(proof) {
                write!(f, "{between}{words}")?;
                between = "; ";
            }
        }
        Ok(())
    }
}

/// What a beat is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Feed the watchdog, and ask for new proofs.
    Feed {
        /// How long it was not fed for want of proofs, if it was not.
        after: Option<Duration>,
    },
    /// Do not feed it; ask for the proofs once more.
    Withhold {
        /// Those that are missing and have not been told of.
        news: Proofs,
    },
}

/// Decides when the watchdog is fed.
#[derive(Clone, Debug)]
pub struct Heart {
    interval: Duration,
    next: Instant,
    demanded: Proofs,
    had: Proofs,
    told: Proofs,
    fed: Instant,
}

impl Heart {
    /// One whose watchdog bites after `allowed` without food; the first beat is due at once.
    pub fn new(now: Instant, allowed: Duration) -> Self {
        Self {
            interval: allowed.checked_div(BEATS).unwrap_or_default(),
            next: now,
            demanded: Proofs::default(),
            had: Proofs::default(),
            told: Proofs::default(),
            fed: now,
        }
    }

    /// When the next beat is due.
    pub const fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// A proof came.
    pub const fn prove(&mut self, proof: Proof) {
        self.had = self.had.with(proof);
    }

    /// Proofs were asked for: these, and no others, have to be there at the next beat.
    pub const fn demand(&mut self, proofs: Proofs) {
        self.demanded = proofs;
    }

    /// What is to be done now; nothing before a beat is due.
    pub fn beat(&mut self, now: Instant) -> Option<Beat> {
        if now < self.next {
            return None;
        }
        let missing = self.demanded.less(self.had);
        if !missing.is_empty() {
            let news = missing.less(self.told);
            self.told = Proofs(self.told.0 | missing.0);
            self.next = now + self.interval.checked_div(URGENT).unwrap_or_default();
            return Some(Beat::Withhold { news });
        }
        let after = (!self.told.is_empty()).then(|| now.since(self.fed));
        self.next = now + self.interval;
        self.had = Proofs::default();
        self.told = Proofs::default();
        self.fed = now;
        Some(Beat::Feed { after })
    }

    /// The last food did not arrive: it is tried again soon, with the same proofs.
    pub fn not_taken(&mut self, now: Instant) {
        self.next = now + self.interval.checked_div(URGENT).unwrap_or_default();
        self.had = Proofs::ALL;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEED: Option<Beat> = Some(Beat::Feed { after: None });

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// One that was fed at 0 and demands every proof.
    fn heart() -> Heart {
        let mut heart = Heart::new(at(0), Duration::from_secs(12));
        assert_eq!(heart.beat(at(0)), FEED);
        heart.demand(Proofs::ALL);
        heart
    }

    #[test]
    fn with_every_proof_it_is_fed_three_times_in_the_allowed_time() {
        let mut heart = heart();
        for beat in 1..10 {
            for proof in [Proof::Media, Proof::Timers, Proof::Signalling] {
                assert_eq!(heart.beat(at(beat * 4_000 - 1)), None);
                heart.prove(proof);
            }
            assert_eq!(heart.poll_timeout(), at(beat * 4_000));
            assert_eq!(heart.beat(at(beat * 4_000)), FEED);
        }
    }

    #[test]
    fn one_missing_proof_of_any_kind_is_no_food() {
        for missing in [Proof::Media, Proof::Timers, Proof::Signalling] {
            let mut heart = heart();
            for beat in 0..20 {
                for proof in [Proof::Media, Proof::Timers, Proof::Signalling] {
                    if proof != missing {
                        heart.prove(proof);
                    }
                }
                let news = match beat {
                    0 => Proofs::default().with(missing),
                    _ => Proofs::default(),
                };
                // Told once, tried often.
                let withheld = Some(Beat::Withhold { news });
                assert_eq!(heart.beat(at(4_000 + beat * 1_000)), withheld);
            }
        }
    }

    #[test]
    fn a_proof_that_comes_late_is_food_at_once_and_told() {
        let mut heart = heart();
        heart.prove(Proof::Timers);
        heart.prove(Proof::Media);
        assert!(matches!(heart.beat(at(4_000)), Some(Beat::Withhold { .. })));
        assert_eq!(heart.beat(at(4_999)), None);
        heart.prove(Proof::Signalling);
        let after = Some(Duration::from_secs(5));
        assert_eq!(heart.beat(at(5_000)), Some(Beat::Feed { after }));
        // A proof is good for one time.
        assert!(matches!(heart.beat(at(9_000)), Some(Beat::Withhold { .. })));
    }

    #[test]
    fn what_cannot_be_asked_for_is_not_demanded() {
        let mut heart = heart();
        heart.demand(Proofs::ALL.without(Proof::Signalling));
        heart.prove(Proof::Timers);
        heart.prove(Proof::Media);
        assert_eq!(heart.beat(at(4_000)), FEED);
    }

    #[test]
    fn food_that_was_not_taken_is_offered_again_soon() {
        let mut heart = heart();
        heart.not_taken(at(0));
        assert_eq!(heart.beat(at(999)), None);
        assert_eq!(heart.beat(at(1_000)), FEED);
    }

    #[test]
    fn what_is_missing_is_said_in_words() {
        let missing = Proofs::ALL.without(Proof::Timers).to_string();
        let words = "nothing comes in at the first SIP port; nothing comes in at a media socket";
        assert_eq!(missing, words);
    }
}
