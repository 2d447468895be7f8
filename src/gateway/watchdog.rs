//! Notices a peer that is gone without a BYE: nothing comes where media should, or it no longer knows
//! a call that is on hold.
//!
//! Reports (RTCP) are a sign of life as media is: a muted phone that detects voice activity sends
//! nothing else.

use core::time::Duration;

use crate::base::codec::Track;
use crate::base::time::Instant;

/// How often the peer of a call on hold is asked whether it still knows the call. No media tells it,
/// and only some have a session timer.
pub const HOLD_PATIENCE: Duration = Duration::from_secs(600);

/// What is to be done about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Nothing.
    Nothing,
    /// End it: nothing has come for as long as patience lasts.
    Gone,
    /// Ask the peer whether it still knows it.
    Ask,
}

/// Watches the media of one call, whichever track it comes in.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    /// When a packet of the call came last, or was first expected.
    heard: Instant,
    /// When the peer was asked last, or the hold began.
    asked: Instant,
    /// Packets of sound and picture.
    packets: [u64; 2],
    /// Reports, of either.
    reports: u64,
}

impl Watchdog {
    /// Begins with a call.
    pub const fn new(now: Instant) -> Self {
        Self {
            heard: now,
            asked: now,
            packets: [0; 2],
            reports: 0,
        }
    }

    /// Takes the number of packets of a track so far, right after something came for it.
    pub fn heard(&mut self, now: Instant, track: Track, packets: u64) {
        let [audio, video] = &mut self.packets;
        let known = match track {
            Track::Audio => audio,
            Track::Video => video,
        };
        if std::mem::replace(known, packets) != packets {
            self.heard = now;
        }
    }

    /// Takes the number of reports so far, right after something came that may be one.
    pub fn heard_report(&mut self, now: Instant, reports: u64) {
        if std::mem::replace(&mut self.reports, reports) != reports {
            self.heard = now;
        }
    }

    /// Gives the peer its time anew, after a new offer and answer: it may begin to send with it.
    pub fn restart(&mut self, now: Instant) {
        self.heard = now;
        self.asked = now;
    }

    /// What is to be done now. Without patience silence is never too long; on hold none is expected.
    pub fn look(&mut self, now: Instant, patience: Option<Duration>, on_hold: bool) -> Watch {
        match self.poll_timeout(patience, on_hold) {
            Some(at) if at <= now && on_hold => {
                self.asked = now;
                Watch::Ask
            }
            Some(at) if at <= now => Watch::Gone,
            _ => Watch::Nothing,
        }
    }

    /// When to look next.
    pub fn poll_timeout(&self, patience: Option<Duration>, on_hold: bool) -> Option<Instant> {
        if on_hold {
            Some(self.asked + HOLD_PATIENCE)
        } else {
            patience.map(|patience| self.heard + patience)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

    fn seconds(at: u64) -> Instant {
        Instant::from_millis(at * 1_000)
    }

    #[test]
    fn a_peer_is_gone_exactly_when_patience_ends_after_its_last_packet_of_any_track() {
        let mut dog = Watchdog::new(seconds(0));
        dog.heard(seconds(10), Track::Video, 1);
        dog.heard(seconds(50), Track::Audio, 1);
        // A packet that was not counted is none.
        dog.heard(seconds(55), Track::Video, 1);
        assert_eq!(dog.poll_timeout(PATIENCE, false), Some(seconds(110)));
        let just_before = Instant::from_millis(109_999);
        assert_eq!(dog.look(just_before, PATIENCE, false), Watch::Nothing);
        assert_eq!(dog.look(seconds(110), PATIENCE, false), Watch::Gone);
    }

    #[test]
    fn a_peer_that_only_reports_is_there_until_patience_ends_after_the_last_report() {
        let mut dog = Watchdog::new(seconds(0));
        for report in 1..100 {
            let now = seconds(report * 5);
            assert_eq!(dog.look(now, PATIENCE, false), Watch::Nothing);
            dog.heard_report(now, report);
        }
        // What was no report of the call's.
        dog.heard_report(seconds(500), 99);
        assert_eq!(dog.poll_timeout(PATIENCE, false), Some(seconds(495 + 60)));
    }

    #[test]
    fn without_patience_nobody_is_gone() {
        let mut dog = Watchdog::new(seconds(0));
        assert_eq!(dog.poll_timeout(None, false), None);
        assert_eq!(dog.look(seconds(100_000), None, false), Watch::Nothing);
    }

    #[test]
    fn a_peer_on_hold_is_asked_every_ten_minutes_and_never_given_up_for_silence() {
        let mut dog = Watchdog::new(seconds(0));
        for asked in 1..100 {
            let at = dog.poll_timeout(PATIENCE, true).unwrap();
            assert_eq!(at, seconds(600 * asked));
            assert_eq!(dog.look(at, PATIENCE, true), Watch::Ask);
            assert_eq!(dog.look(at, PATIENCE, true), Watch::Nothing);
        }
    }

    #[test]
    fn after_a_new_answer_the_whole_time_runs_again() {
        let mut dog = Watchdog::new(seconds(0));
        dog.restart(seconds(500));
        assert_eq!(dog.look(seconds(559), PATIENCE, false), Watch::Nothing);
        assert_eq!(dog.look(seconds(560), PATIENCE, false), Watch::Gone);
    }
}
