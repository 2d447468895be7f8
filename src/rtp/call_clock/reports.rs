//! The sender reports of one track's source (RFC 3550, section 6.4.1): which of them are believed,
//! and the relation of wall clock to RTP time that they tell.
//!
//! The first report is believed. A later one is when it goes on from the last one believed: its
//! wall clock went forward, within a second as fast as ours, and so did the RTP time beside it. One
//! that does not is doubted, and believed when the next one goes on from it (the sender's clock
//! was set). When too many are not believed, the relation is void. Each time that a
//! relation was given up, one more that agrees is needed for the next one, so that a sender whose
//! reports are anything is soon not listened to.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::time::{Instant, NtpTime};

/// Microseconds by which the wall clock of two reports may pass faster or slower than ours.
const SLACK: i64 = 1_000_000;

/// Microseconds that the relation of two reports may differ: some senders pair the present moment
/// with the last packet's RTP time.
const STEP: i64 = 100_000;

/// Drift of a sender's RTP clock against its wall clock: one microsecond in so many.
const DRIFT_DIVISOR: i64 = 1_000;

/// One that is not believed counts two, one that is takes one away: at so many the former ones are
/// not believed any more.
const DISTRUST: u8 = 12;

/// The most that have to agree in a row.
const MOST_TO_AGREE: u8 = 8;

/// What one report said, and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The sender's wall clock.
    pub ntp: NtpTime,
    /// Its arrival.
    pub at: Instant,
    /// Microseconds of wall clock, from an origin of the call's, less those of RTP time.
    pub wall: i64,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Believed: it goes on from the one before, or is the first.
    Believed,
    /// Believed, and the wall clock was set since: what the other track's reports said is void.
    Moved,
    /// Not believed.
    Ignored,
    /// Not believed, nor are the former ones any more.
    Distrusted,
}

/// The reports of one source.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    believed: Option<Report>,
    /// The last one not believed, in case that the next one bears it out.
    doubted: Option<Report>,
    /// How many have gone on from one another up to that one.
    agreeing: u8,
    doubts: u8,
    /// Relations given up.
    given_up: u8,
    distrusted: bool,
}

impl Reports {
    /// Wall-clock time less RTP time in microseconds, while there is a relation.
    pub fn wall(&self) -> Option<i64> {
        self.believed.map(|report| report.wall)
    }

    /// The RTP clock or the wall clock is another one from here on; trust stays as it is.
    pub fn void(&mut self) {
        self.believed = None;
        self.doubted = None;
    }

    /// Judges a report and takes it in.
    pub fn take(&mut self, report: Report) -> Verdict {
        let agrees = self
            .doubted
            .is_some_and(|doubted| doubted.leads_to(&report));
        let to_agree = self.given_up.saturating_add(1).min(MOST_TO_AGREE);
        let borne_out = agrees && self.agreeing >= to_agree;
        let verdict = match self.believed {
            Some(last) if last.leads_to(&report) => {
                // Half-way: the moment of a report is not exact at every sender.
                let moved = report.wall.saturating_sub(last.wall);
                let wall = report.wall.saturating_sub(moved / 2);
                return self.believe(Report { wall, ..report }, Verdict::Believed);
            }
            // The network repeated it.
            Some(last) if last.ntp == report.ntp => return Verdict::Ignored,
            Some(_) if borne_out => {
                self.given_up = self.given_up.saturating_add(1);
                Verdict::Moved
            }
            None if borne_out || !self.distrusted => Verdict::Believed,
            _ => {
                self.doubted = Some(report);
                self.agreeing = if agrees {
                    self.agreeing.saturating_add(1)
                } else {
                    1
                };
                return self.ignore();
            }
        };
        self.believe(report, verdict)
    }

    /// A report came that cannot be right whatever the others say.
    pub fn ignore(&mut self) -> Verdict {
        self.doubts = self.doubts.saturating_add(2).min(DISTRUST);
        if self.doubts < DISTRUST || self.distrusted {
            return Verdict::Ignored;
        }
        self.distrusted = true;
        self.given_up = self.given_up.saturating_add(1);
        self.believed = None;
        Verdict::Distrusted
    }

    fn believe(&mut self, report: Report, verdict: Verdict) -> Verdict {
        self.believed = Some(report);
        self.doubted = None;
        self.doubts = if verdict == Verdict::Believed && !self.distrusted {
            self.doubts.saturating_sub(1)
        } else {
            0
        };
        self.distrusted = false;
        verdict
    }
}

impl Report {
    /// Whether `later` may be of the same two clocks.
    fn leads_to(&self, later: &Self) -> bool {
        let wall = later.ntp.micros_since(self.ntp);
        let ours = i64::try_from(later.at.since(self.at).as_micros()).unwrap_or(i64::MAX);
        let moved = later.wall.saturating_sub(self.wall);
        wall > 0
            && wall.saturating_sub(ours).saturating_abs() <= SLACK
            && moved.saturating_abs() <= STEP.saturating_add(ours / DRIFT_DIVISOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn report(at: i64, ntp: i64, wall: i64) -> Report {
        Report {
            ntp: NtpTime(
                (i128::from(ntp + 1_000_000_000 * SECOND) << 32).wrapping_div(1_000_000) as u64,
            ),
            at: Instant::from_micros(at as u64),
            wall,
        }
    }

    #[test]
    fn reports_that_go_on_are_believed_and_smoothed() {
        let mut reports = Reports::default();
        assert_eq!(reports.take(report(0, 0, 5_000)), Verdict::Believed);
        assert_eq!(reports.wall(), Some(5_000));
        let next = report(5 * SECOND, 5 * SECOND + 300_000, 25_000);
        assert_eq!(reports.take(next), Verdict::Believed);
        assert_eq!(reports.wall(), Some(15_000));
        // The same once more is nothing.
        assert_eq!(reports.take(next), Verdict::Ignored);
        assert_eq!(reports.wall(), Some(15_000));
    }

    #[test]
    fn a_clock_that_was_set_needs_two_that_agree() {
        let mut reports = Reports::default();
        reports.take(report(0, 0, 0));
        let set = 30 * SECOND;
        let first = report(5 * SECOND, 5 * SECOND - set, -set);
        assert_eq!(reports.take(first), Verdict::Ignored);
        assert_eq!(reports.wall(), Some(0));
        let second = report(10 * SECOND, 10 * SECOND - set, -set + 100);
        assert_eq!(reports.take(second), Verdict::Moved);
        assert_eq!(reports.wall(), Some(-set + 100));
    }

    #[test]
    fn six_that_say_nothing_that_holds_void_the_relation() {
        let mut reports = Reports::default();
        reports.take(report(0, 0, 0));
        let odd = |at: i64| report(at * SECOND, -at * SECOND, -2 * at * SECOND);
        for at in 1..6 {
            assert_eq!(reports.take(odd(at * 5)), Verdict::Ignored);
            assert_eq!(reports.wall(), Some(0));
        }
        assert_eq!(reports.take(odd(30)), Verdict::Distrusted);
        assert_eq!(reports.wall(), None);
        for at in 7..20 {
            assert_eq!(reports.take(odd(at * 5)), Verdict::Ignored);
            assert_eq!(reports.wall(), None);
        }
        // Two were enough before, three are needed now.
        for (at, verdict) in [
            (200, Verdict::Ignored),
            (205, Verdict::Ignored),
            (210, Verdict::Believed),
        ] {
            assert_eq!(reports.take(report(at * SECOND, at * SECOND, 9)), verdict);
        }
        assert_eq!(reports.wall(), Some(9));
    }
}
