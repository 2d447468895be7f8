//! How much of what comes is looked at, source by source, and who is told of the rest.
//!
//! Every source that may call has a bucket of messages, and all of them but the PBX share one; what is
//! over is not taken. A request by UDP that was worth something comes again (RFC 3261 section 17); one
//! on a connection does not, so it is worth an answer. Sources that may not call are never answered.
//! Of each source whose messages were dropped, one line a minute is owed to the owner. The table of
//! sources is of a fixed size: a flood from many addresses shares one line, and strangers take no place
//! from those whose messages are being counted.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::IpAddr;
use core::time::Duration;

use crate::base::time::Instant;
use crate::limits::SIP_SOURCES;

use super::abuse::{Abuse, Standing, Word};

/// How often a source is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// How soon it is reported for the first time, so that a scan is banned before it is over.
const FIRST_REPORT: Duration = Duration::from_secs(2);

/// Messages that may come at once after a quiet time, in seconds of the rate.
const BURST_SECONDS: u32 = 2;

/// How long a source has to be quiet for its bucket to be full again.
const BURST: Duration = Duration::from_secs(BURST_SECONDS as u64);

/// From one line to the next, whatever their sources: a flood from many must not crowd out what else
/// there is to tell.
const LINE_INTERVAL: Duration = Duration::from_millis(50);

/// Messages a second that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// From one source that may call.
    pub per_source: u32,
    /// From one source that is known as the PBX.
    pub per_peer: u32,
    /// From all sources that are not the PBX.
    pub total: u32,
}

impl Rates {
    /// No limits.
    pub const UNLIMITED: Self = Self {
        per_source: u32::MAX,
        per_peer: u32::MAX,
        total: u32::MAX,
    };
}

/// A bucket that fills at a rate and is emptied by messages; in thousandths of a message.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: u64,
    filled: Instant,
}

impl Bucket {
    fn full(now: Instant, rate: u32) -> Self {
        Self {
            level: capacity(rate),
            filled: now,
        }
    }

    /// Takes one message; false when there is none to take.
    fn take(&mut self, now: Instant, rate: u32) -> bool {
        let micros = u64::try_from(now.since(self.filled).as_micros()).unwrap_or(u64::MAX);
        let gained = micros.saturating_mul(u64::from(rate)).saturating_div(1_000);
        if gained > 0 {
            self.level = self.level.saturating_add(gained);
            self.filled = now;
        }
        // The rate may be another than before.
        self.level = self.level.min(capacity(rate));
        match self.level.checked_sub(1_000) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }
}

const fn capacity(rate: u32) -> u64 {
    (rate as u64)
        .saturating_mul(BURST_SECONDS as u64)
        .saturating_mul(1_000)
}

#[derive(Clone, Copy, Debug)]
struct Source {
    address: IpAddr,
    /// What it was when it was heard last.
    standing: Standing,
    heard: Instant,
    bucket: Bucket,
    dropped: Dropped,
    word: Word,
    /// When it had its last line.
    reported: Option<Instant>,
}

/// Messages dropped of a source, or of all that there was no place for.
#[derive(Clone, Copy, Debug, Default)]
struct Dropped {
    count: u64,
    /// When the first of them came, and when their line is due.
    line: Option<(Instant, Instant)>,
}

impl Dropped {
    /// Counts messages, of which a line is due then.
    fn add(&mut self, now: Instant, count: u64, due: Instant) {
        self.count = self.count.saturating_add(count);
        self.line.get_or_insert((now, due));
    }

    fn due(&self) -> Option<Instant> {
        self.line.map(|(_, due)| due)
    }

    /// How many, and in what time, beginning with the last line.
    fn take(&mut self, now: Instant, reported: Option<Instant>) -> (u64, Duration) {
        let Self { count, line } = core::mem::take(self);
        let first = line.map_or(now, |(first, _)| first);
        let recent = reported.filter(|at| now.since(*at) <= REPORT_INTERVAL + FIRST_REPORT);
        (count, now.since(recent.unwrap_or(first)))
    }
}

/// Watches the sources of one endpoint.
#[derive(Debug)]
pub struct Guard {
    rates: Rates,
    total: Bucket,
    sources: heapless::Vec<Source, SIP_SOURCES>,
    others: Dropped,
    /// No line is due before.
    due: Option<Instant>,
    /// No line goes out before.
    next_line: Instant,
}

impl Guard {
    /// A guard that has heard nobody.
    pub fn new(rates: Rates) -> Self {
        Self {
            rates,
            total: Bucket::full(Instant::ZERO, rates.total),
            sources: heapless::Vec::new(),
            others: Dropped::default(),
            due: None,
            next_line: Instant::ZERO,
        }
    }

    /// Other rates from now on.
    pub fn set_rates(&mut self, rates: Rates) {
        self.rates = rates;
    }

    /// Whether a message is to be looked at. Constant work but for the search of the table.
    pub fn admits(
        &mut self,
        now: Instant,
        address: IpAddr,
        standing: Standing,
        message: &[u8],
    ) -> bool {
        let rates = self.rates;
        let rate = match standing {
            Standing::Stranger | Standing::Caller => rates.per_source,
            Standing::Peer => rates.per_peer,
        };
        let Some(at) = self.place(now, address, rate, standing) else {
            self.others.add(now, 1, now + REPORT_INTERVAL);
            self.due = Instant::earliest(self.due, self.others.due());
            return false;
        };
        let Some(source) = self.sources.get_mut(at) else {
            return false;
        };
        source.heard = now;
        source.standing = standing;
        let admitted = standing != Standing::Stranger
            && source.bucket.take(now, rate)
            && (standing == Standing::Peer || self.total.take(now, rates.total));
        if !admitted {
            source.dropped(now, message);
            self.due = Instant::earliest(self.due, source.dropped.due());
        }
        admitted
    }

    /// When a line is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.map(|due| due.max(self.next_line))
    }

    /// A line that is due; the next one is so a little later.
    pub fn report(&mut self, now: Instant) -> Option<Abuse> {
        self.poll_timeout().filter(|due| *due <= now)?;
        let is_due = |dropped: &Dropped| dropped.due().is_some_and(|at| at <= now);
        let mut sources = self.sources.iter_mut();
        let abuse = if let Some(source) = sources.find(|source| is_due(&source.dropped)) {
            let (messages, time) = source.dropped.take(now, source.reported);
            source.reported = Some(now);
            Some(Abuse {
                source: Some((source.address, source.standing)),
                messages,
                time,
                last: core::mem::take(&mut source.word),
            })
        } else if is_due(&self.others) {
            let (messages, time) = self.others.take(now, None);
            Some(Abuse {
                source: None,
                messages,
                time,
                last: Word::default(),
            })
        } else {
            None
        };
        if abuse.is_some() {
            self.next_line = now + LINE_INTERVAL;
        }
        let sources = self.sources.iter().filter_map(|s| s.dropped.due());
        self.due = sources.chain(self.others.due()).min();
        abuse
    }

    /// The place of a source. A new one takes that of the one heard longest ago of those that lose
    /// nothing by it: no line, no empty bucket. Where there is none, a stranger has no place, and for
    /// others a stranger's line is given up.
    fn place(
        &mut self,
        now: Instant,
        address: IpAddr,
        rate: u32,
        standing: Standing,
    ) -> Option<usize> {
        let known = self.sources.iter().position(|s| s.address == address);
        if known.is_some() {
            return known;
        }
        let source = Source {
            address,
            standing,
            heard: now,
            bucket: Bucket::full(now, rate),
            dropped: Dropped::default(),
            word: Word::default(),
            reported: None,
        };
        if !self.sources.is_full() {
            // Room was just seen.
            let _ = self.sources.push(source);
            return self.sources.len().checked_sub(1);
        }
        let cost = |s: &Source| {
            let is_active = s.standing != Standing::Stranger && now.since(s.heard) < BURST;
            (is_active, s.dropped.due().is_some())
        };
        let places = self.sources.iter().enumerate();
        let given_up =
            places.filter(|(_, s)| standing != Standing::Stranger || cost(s) == (false, false));
        let (at, _) = given_up.min_by_key(|(_, s)| (cost(s), s.heard))?;
        let place = self.sources.get_mut(at)?;
        let before = core::mem::replace(place, source);
        if before.dropped.count > 0 {
            self.others
                .add(now, before.dropped.count, now + REPORT_INTERVAL);
            self.due = Instant::earliest(self.due, self.others.due());
        }
        Some(at)
    }
}

impl Source {
    fn dropped(&mut self, now: Instant, message: &[u8]) {
        self.word = Word::of(message);
        let soon = now + FIRST_REPORT;
        let due = self
            .reported
            .map_or(soon, |at| soon.max(at + REPORT_INTERVAL));
        self.dropped.add(now, 1, due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates {
        per_source: 10,
        per_peer: 100,
        total: 15,
    };

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn address(last: u16) -> IpAddr {
        let [high, low] = last.to_be_bytes();
        IpAddr::from([203, 0, high, low])
    }

    fn admitted(guard: &mut Guard, now: u64, from: u16, standing: Standing, count: u32) -> usize {
        let one = |_: &u32| guard.admits(at(now), address(from), standing, b"OPTIONS sip:x");
        (0..count).filter(one).count()
    }

    #[test]
    fn a_source_has_its_rate_and_a_burst_of_two_seconds() {
        let mut guard = Guard::new(RATES);
        assert_eq!(admitted(&mut guard, 0, 1, Standing::Caller, 100), 20);
        assert_eq!(admitted(&mut guard, 500, 1, Standing::Caller, 100), 5);
        // Time that was worth less than a message is not lost.
        for millis in 501..1_501 {
            admitted(&mut guard, millis, 2, Standing::Caller, 1);
        }
        let slow: usize = (1_501..2_501)
            .map(|millis| admitted(&mut guard, millis, 2, Standing::Caller, 1))
            .sum();
        assert!((9..=11).contains(&slow), "{slow}");
    }

    #[test]
    fn all_sources_share_a_rate_but_for_the_pbx() {
        let mut guard = Guard::new(RATES);
        let all: usize = (1..20)
            .map(|from| admitted(&mut guard, 0, from, Standing::Caller, 10))
            .sum();
        assert_eq!(all, 30);
        assert_eq!(admitted(&mut guard, 0, 99, Standing::Peer, 300), 200);
    }

    #[test]
    fn a_stranger_is_never_admitted_and_has_a_line_soon_and_then_one_a_minute() {
        let mut guard = Guard::new(RATES);
        let mut lines = Vec::new();
        for second in 0..180 {
            let now = second * 1_000;
            assert_eq!(admitted(&mut guard, now, 1, Standing::Stranger, 5), 0);
            while let Some(abuse) = guard.report(at(now)) {
                assert_eq!(abuse.source, Some((address(1), Standing::Stranger)));
                assert_eq!(abuse.last.as_str(), "OPTIONS");
                lines.push((second, abuse.messages, abuse.time.as_secs()));
            }
        }
        assert_eq!(lines, [(2, 15, 2), (62, 300, 60), (122, 300, 60)]);
    }

    #[test]
    fn a_flood_from_many_addresses_takes_no_place_from_callers_and_shares_a_line() {
        let mut guard = Guard::new(RATES);
        for from in 0..10_000 {
            admitted(&mut guard, 0, from, Standing::Stranger, 1);
        }
        assert_eq!(guard.sources.len(), SIP_SOURCES);
        assert_eq!(admitted(&mut guard, 1, 20_000, Standing::Caller, 1), 1);
        assert_eq!(admitted(&mut guard, 1, 20_001, Standing::Peer, 1), 1);
        let mut reported = 0;
        let mut lines = 0;
        let mut before = Instant::ZERO;
        while let Some(due) = guard.poll_timeout() {
            assert!(due >= before + LINE_INTERVAL);
            assert_eq!(guard.report(before), None);
            before = due;
            if let Some(abuse) = guard.report(due) {
                reported += abuse.messages;
                lines += 1;
            }
        }
        // Two strangers made room.
        assert_eq!((reported, lines), (10_000, SIP_SOURCES - 2 + 1));
    }

    #[test]
    fn strangers_do_not_have_the_messages_of_a_caller_forgotten() {
        let mut guard = Guard::new(RATES);
        assert_eq!(admitted(&mut guard, 0, 20_000, Standing::Caller, 15), 15);
        for round in 0..40 {
            for from in 0..100 {
                admitted(&mut guard, round, from, Standing::Stranger, 1);
            }
        }
        assert_eq!(admitted(&mut guard, 40, 20_000, Standing::Caller, 100), 5);
    }

    #[test]
    fn a_source_that_was_over_its_rate_is_reported_as_what_it_is() {
        let mut guard = Guard::new(RATES);
        admitted(&mut guard, 0, 1, Standing::Caller, 21);
        admitted(&mut guard, 0, 2, Standing::Peer, 203);
        let lines: Vec<_> = [2_000, 2_050]
            .into_iter()
            .filter_map(|now| guard.report(at(now)))
            .map(|abuse| (abuse.source, abuse.messages))
            .collect();
        let expected = [
            (Some((address(1), Standing::Caller)), 1),
            (Some((address(2), Standing::Peer)), 3),
        ];
        assert_eq!(lines, expected);
        assert_eq!(guard.poll_timeout(), None);
    }

    #[test]
    fn lower_rates_hold_at_once_and_without_rates_nothing_is_dropped() {
        let mut guard = Guard::new(Rates::UNLIMITED);
        assert_eq!(admitted(&mut guard, 0, 1, Standing::Caller, 9_999), 9_999);
        guard.set_rates(RATES);
        assert_eq!(admitted(&mut guard, 0, 1, Standing::Caller, 100), 20);
    }
}
