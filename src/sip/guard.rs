//! How much of what comes is looked at, source by source, and who is told of the rest.
//!
//! Every source that may call has a bucket of messages, and all of them share one; what is over is
//! dropped before it is read, and a request that was worth something comes again (RFC 3261 section
//! 17). Sources that may not call are never answered. Of each source whose messages were dropped,
//! one line a minute is owed to the owner. The table of sources is of a fixed size: a flood from many
//! addresses shares one line.

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
use core::net::IpAddr;
use core::time::Duration;

use crate::base::time::Instant;
use crate::limits::SIP_SOURCES;

/// How often a source is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// How soon it is reported for the first time, so that a scan is banned before it is over.
const FIRST_REPORT: Duration = Duration::from_secs(2);

/// Messages that may come at once after a quiet time, in seconds of the rate.
const BURST_SECONDS: u32 = 2;

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

impl Default for Rates {
    fn default() -> Self {
        Self {
            per_source: 100,
            per_peer: 1_000,
            total: 500,
        }
    }
}

/// What a source is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may not call and nothing of ours is under way with it.
    Stranger,
    /// It may call.
    Caller,
    /// It is the PBX.
    Peer,
}

/// What is owed to the owner: how much of a source was dropped since the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abuse {
    /// The source; none where there were more than are told apart.
    pub source: Option<IpAddr>,
    /// Messages dropped because it may not call.
    pub strange: u64,
    /// Messages dropped because there were too many.
    pub excess: u64,
    /// First word of the last one dropped, such as REGISTER; empty when it was none.
    pub word: Word,
}

/// The first word of a message: its method, where it is one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Word([u8; 10]);

impl Word {
    /// The leading capital letters of a message.
    pub fn of(message: &[u8]) -> Self {
        let mut word = Self::default();
        let letters = message.iter().take_while(|b| b.is_ascii_uppercase());
        for (place, letter) in word.0.iter_mut().zip(letters) {
            *place = *letter;
        }
        word
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(self.0.len());
        let word = self.0.get(..end).unwrap_or_default();
        core::str::from_utf8(word).unwrap_or_default()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
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
            self.level = self.level.saturating_add(gained).min(capacity(rate));
            self.filled = now;
        }
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
    heard: Instant,
    bucket: Bucket,
    strange: u64,
    excess: u64,
    word: Word,
    /// When its line is due, from the first message dropped on.
    report: Option<Instant>,
    /// When it had its last line.
    reported: Option<Instant>,
}

/// Messages dropped from sources that there was no place for.
#[derive(Clone, Copy, Debug, Default)]
struct Others {
    strange: u64,
    excess: u64,
    report: Option<Instant>,
}

/// Watches the sources of one endpoint.
#[derive(Debug)]
pub struct Guard {
    rates: Rates,
    total: Bucket,
    sources: heapless::Vec<Source, SIP_SOURCES>,
    others: Others,
}

impl Guard {
    /// A guard that has heard nobody.
    pub fn new(rates: Rates) -> Self {
        Self {
            rates,
            total: Bucket::full(Instant::ZERO, rates.total),
            sources: heapless::Vec::new(),
            others: Others::default(),
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
        let is_stranger = standing == Standing::Stranger;
        let Some(at) = self.place(now, address, rate, is_stranger) else {
            self.others.strange = self.others.strange.saturating_add(1);
            self.others.report.get_or_insert(now + REPORT_INTERVAL);
            return false;
        };
        let Some(source) = self.sources.get_mut(at) else {
            return false;
        };
        source.heard = now;
        let admitted = !is_stranger
            && source.bucket.take(now, rate)
            && (standing == Standing::Peer || self.total.take(now, rates.total));
        if !admitted {
            source.dropped(now, is_stranger, message);
        }
        admitted
    }

    /// When a line is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sources = self.sources.iter().filter_map(|source| source.report);
        sources.chain(self.others.report).min()
    }

    /// A line that is due: to be asked until there is none.
    pub fn report(&mut self, now: Instant) -> Option<Abuse> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if let Some(source) = self.sources.iter_mut().find(|s| is_due(s.report)) {
            source.report = None;
            source.reported = Some(now);
            return Some(Abuse {
                source: Some(source.address),
                strange: core::mem::take(&mut source.strange),
                excess: core::mem::take(&mut source.excess),
                word: core::mem::take(&mut source.word),
            });
        }
        if !is_due(self.others.report) {
            return None;
        }
        let others = core::mem::take(&mut self.others);
        Some(Abuse {
            source: None,
            strange: others.strange,
            excess: others.excess,
            word: Word::default(),
        })
    }

    /// The place of a source. A new one takes that of the one heard longest ago which owes no line;
    /// where all owe one, a stranger has none, and for others a stranger's line is given up.
    fn place(
        &mut self,
        now: Instant,
        address: IpAddr,
        rate: u32,
        is_stranger: bool,
    ) -> Option<usize> {
        let known = self.sources.iter().position(|s| s.address == address);
        if known.is_some() {
            return known;
        }
        let source = Source {
            address,
            heard: now,
            bucket: Bucket::full(now, rate),
            strange: 0,
            excess: 0,
            word: Word::default(),
            report: None,
            reported: None,
        };
        if !self.sources.is_full() {
            // Room was just seen.
            let _ = self.sources.push(source);
            return self.sources.len().checked_sub(1);
        }
        let places = self.sources.iter().enumerate();
        let given_up = places.filter(|(_, s)| s.report.is_none() || !is_stranger);
        let (at, _) = given_up.min_by_key(|(_, s)| (s.report.is_some(), s.heard))?;
        let place = self.sources.get_mut(at)?;
        if place.report.is_some() {
            self.others.strange = self.others.strange.saturating_add(place.strange);
            self.others.excess = self.others.excess.saturating_add(place.excess);
            self.others.report.get_or_insert(now + REPORT_INTERVAL);
        }
        *place = source;
        Some(at)
    }
}

impl Source {
    fn dropped(&mut self, now: Instant, is_stranger: bool, message: &[u8]) {
        let dropped = if is_stranger {
            &mut self.strange
        } else {
            &mut self.excess
        };
        *dropped = dropped.saturating_add(1);
        self.word = Word::of(message);
        let soon = now + FIRST_REPORT;
        let due = self
            .reported
            .map_or(soon, |at| soon.max(at + REPORT_INTERVAL));
        self.report.get_or_insert(due);
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
                lines.push((second, abuse.strange, abuse.word.as_str().to_owned()));
            }
        }
        let expected = [(2, 15), (62, 300), (122, 300)];
        assert_eq!(
            lines,
            expected.map(|(second, count)| (second, count, "OPTIONS".to_owned()))
        );
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
        while let Some(due) = guard.poll_timeout() {
            let abuse = guard.report(due).unwrap();
            reported += abuse.strange;
            lines += 1;
        }
        assert_eq!((reported, lines), (10_000, SIP_SOURCES));
    }

    #[test]
    fn a_word_is_the_method_or_nothing() {
        for (message, word) in [
            ("REGISTER sip:x SIP/2.0", "REGISTER"),
            ("", ""),
            ("\0\0", ""),
            ("AVERYLONGMETHOD x", "AVERYLONGM"),
        ] {
            assert_eq!(Word::of(message.as_bytes()).as_str(), word);
        }
    }
}
