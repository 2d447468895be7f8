//! The last calls and why each ended, kept over a restart.
//!
//! There are [`HISTORY_CALLS`] places of a fixed size. Calls that were not taken have at most half of
//! them, and those of one caller that come one after another have one: whoever calls in vain again
//! and again does not push out what went well.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt::{self, Write as _};
use core::time::Duration;

use heapless::{String as FixedString, Vec as FixedVec};
use serde::{Deserialize, Serialize};

use crate::base::redact::OneLine;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::ending::Ending;
use crate::gateway::outlet::{CallIndex, Outlet};
use crate::gateway::stored::Stored;
use crate::limits::{HISTORY_CALLS, HISTORY_DETAIL_BYTES, HISTORY_TEXT_BYTES};
use crate::sip::{Cause, EndedBy};

/// What the records are about: the word `calls`, and in the last byte the place.
const ABOUT: [u8; 8] = *b"\0\0calls\0";

/// Places that calls which were not taken may have.
const REFUSED: usize = HISTORY_CALLS / 2;

/// Calls that were not taken are written down no more often than this.
const REFUSED_EACH: Duration = Duration::from_secs(2);

/// A name in the history.
pub type Text = FixedString<HISTORY_TEXT_BYTES>;

/// A call that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedCall {
    place: u8,
    /// Whether it was never in the table of calls.
    pub is_refused: bool,
    /// When it began, in seconds since 1970.
    pub began: u64,
    /// How long it was answered, in seconds.
    pub seconds: u32,
    /// How many calls it stands for: more than one where they were refused one after another.
    pub times: u32,
    /// Whether it went out.
    pub outgoing: bool,
    /// Why it ended.
    pub ending: Ending,
    /// Frames relayed.
    pub frames: u64,
    /// Packets that never came, or too late.
    pub lost: u64,
    /// Name of its trunk.
    pub trunk: Text,
    /// Who called.
    pub caller: Text,
    /// Who was called.
    pub callee: Text,
    /// Name of its stream as it may be shown.
    pub stream: Text,
    /// The words of the log.
    pub detail: FixedString<HISTORY_DETAIL_BYTES>,
}

/// A call that was not taken.
pub(in crate::gateway) struct RefusedCall<'a> {
    pub outgoing: bool,
    pub trunk: &'a str,
    /// Empty where it is not known.
    pub caller: &'a str,
    pub callee: &'a str,
    pub ending: Ending,
    pub words: fmt::Arguments<'a>,
    /// How many of them.
    pub times: u32,
}

/// A call as stored. Texts are cut so that the longest fits a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCall {
    place: u8,
    is_refused: bool,
    began: u64,
    seconds: u32,
    times: u32,
    outgoing: bool,
    ending: Ending,
    frames: u64,
    lost: u64,
    trunk: FixedString<STORED_TRUNK>,
    caller: FixedString<STORED_NAME>,
    callee: FixedString<STORED_NAME>,
    stream: FixedString<STORED_NAME>,
    detail: FixedString<HISTORY_DETAIL_BYTES>,
}

/// Bytes of a stored trunk's name.
const STORED_TRUNK: usize = 24;

/// Bytes of each other stored name.
const STORED_NAME: usize = 36;

/// Bytes of all stored texts of a call.
const STORED_TEXTS: usize = 170;

/// The last calls, oldest first.
#[derive(Debug, Default)]
pub struct History {
    calls: FixedVec<EndedCall, HISTORY_CALLS>,
    /// When a call that was not taken was written down last.
    refused_kept: Option<Instant>,
}

impl History {
    /// The last calls, newest first.
    pub fn calls(&self) -> impl Iterator<Item = &EndedCall> {
        self.calls.iter().rev()
    }

    /// Takes a call in; its record, where it is to be written down.
    fn push(&mut self, now: Instant, call: EndedCall) -> Option<&EndedCall> {
        let is_refused = call.is_refused;
        let mut is_written = true;
        let call = match self.same_refusal(&call) {
            Some(before) => {
                let times = before.times.saturating_add(call.times);
                // The first, the second, the fourth: what repeats itself is seldom news.
                is_written = times.is_power_of_two();
                EndedCall {
                    times,
                    place: before.place,
                    ..call
                }
            }
            None => EndedCall {
                place: self.make_room(is_refused),
                ..call
            },
        };
        if is_refused {
            let due = self.refused_kept.map(|at| at + REFUSED_EACH);
            is_written &= due.is_none_or(|due| due <= now);
            if is_written {
                self.refused_kept = Some(now);
            }
        }
        self.calls.push(call).ok()?;
        self.calls.last().filter(|_| is_written)
    }

    /// Takes the refusal out that this one is like.
    fn same_refusal(&mut self, call: &EndedCall) -> Option<EndedCall> {
        let is_same = |other: &EndedCall| {
            other.is_refused
                && (&other.trunk, &other.caller, &other.callee, other.ending)
                    == (&call.trunk, &call.caller, &call.callee, call.ending)
        };
        if !call.is_refused {
            return None;
        }
        let at = self.calls.iter().position(is_same)?;
        Some(self.calls.remove(at))
    }

    /// The place for one more.
    fn make_room(&mut self, is_refused: bool) -> u8 {
        let refused = |call: &EndedCall| call.is_refused;
        let many = self.calls.iter().filter(|call| refused(call)).count() >= REFUSED;
        let oldest = match is_refused && many {
            true => self.calls.iter().position(refused),
            false => self.calls.is_full().then_some(0),
        };
        if let Some(at) = oldest {
            return self.calls.remove(at).place;
        }
        let is_free = |place: &u8| self.calls.iter().all(|call| call.place != *place);
        (0..=u8::MAX).find(is_free).unwrap_or_default()
    }

    /// Takes over a call of an earlier run; they come oldest first.
    pub(in crate::gateway) fn recall(&mut self, stored: &StoredCall) {
        let is_known = self.calls.iter().any(|call| call.place == stored.place);
        if !is_known && usize::from(stored.place) < HISTORY_CALLS {
            // There are as many places.
            let _ = self.calls.push(EndedCall::from(stored));
        }
    }
}

impl EndedCall {
    /// What is kept of it over a restart.
    fn stored(&self) -> StoredCall {
        let trunk = cut(&self.trunk, STORED_TRUNK);
        let caller = cut(&self.caller, STORED_NAME);
        let callee = cut(&self.callee, STORED_NAME);
        let stream = cut(&self.stream, STORED_NAME);
        let names = [trunk, caller, callee, stream];
        let names = names.iter().map(|name| name.len());
        let room = STORED_TEXTS.saturating_sub(names.sum());
        StoredCall {
            place: self.place,
            is_refused: self.is_refused,
            began: self.began,
            seconds: self.seconds,
            times: self.times,
            outgoing: self.outgoing,
            ending: self.ending,
            frames: self.frames,
            lost: self.lost,
            trunk: text(trunk),
            caller: text(caller),
            callee: text(callee),
            stream: text(stream),
            detail: text(cut(&self.detail, room)),
        }
    }

    /// What its record is about.
    fn about(&self) -> u64 {
        let mut about = ABOUT;
        if let Some(last) = about.last_mut() {
            *last = self.place;
        }
        u64::from_le_bytes(about)
    }
}

impl From<&StoredCall> for EndedCall {
    fn from(stored: &StoredCall) -> Self {
        Self {
            place: stored.place,
            is_refused: stored.is_refused,
            began: stored.began,
            seconds: stored.seconds,
            times: stored.times,
            outgoing: stored.outgoing,
            ending: stored.ending,
            frames: stored.frames,
            lost: stored.lost,
            trunk: text(&stored.trunk),
            caller: text(&stored.caller),
            callee: text(&stored.callee),
            stream: text(&stored.stream),
            detail: stored.detail.clone(),
        }
    }
}

/// At most so many bytes of a text, whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    let ends = (0..=bytes.min(text.len())).rev();
    let mut whole = ends.filter_map(|end| text.get(..end));
    whole.next().unwrap_or_default()
}

/// Text of others on one line, as much of it as there is room for.
fn text<const N: usize>(words: &str) -> FixedString<N> {
    let mut text = Filling(FixedString::new());
    // What does not fit is left out.
    let _ = write!(text, "{}", OneLine::new(words, N.saturating_sub(3)));
    text.0
}

struct Filling<const N: usize>(FixedString<N>);

impl<const N: usize> fmt::Write for Filling<N> {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        let mut letters = words.chars();
        letters.try_for_each(|letter| self.0.push(letter).map_err(|_| fmt::Error))
    }
}

impl Gateway {
    /// The last calls, newest first.
    pub fn history(&self) -> impl Iterator<Item = &EndedCall> {
        self.history.calls()
    }

    /// A call is over: it goes into the history, with the reason that was marked or that SIP gives.
    pub(in crate::gateway) fn remember_call(
        &mut self,
        now: Instant,
        index: CallIndex,
        (cause, by): (&Cause, EndedBy),
        outlet: &mut dyn Outlet,
    ) {
        let since = self.meter(index).map_or(now, |meter| meter.since());
        let began = self.unix_millis(now) / 1_000;
        let Some(call) = self.calls.get(index) else {
            return;
        };
        let ending = call.ending.unwrap_or_else(|| Ending::of(call, cause, by));
        // What is left of a call after a defect may be anything.
        let summary = (!call.crashed).then(|| call.summary(now));
        let sum = |of: fn(&crate::gateway::call_summary::TrackSummary) -> u64| {
            let both = summary.as_ref().map(|it| (of(&it.audio), of(&it.video)));
            both.map_or(0, |(audio, video)| audio.saturating_add(video))
        };
        let answered = call.answered.map_or(0, |at| now.since(at).as_secs());
        let mut detail = Filling(FixedString::<HISTORY_DETAIL_BYTES>::new());
        // Cut where it is too long.
        let _ = write!(detail, "{cause}");
        let ended = EndedCall {
            place: 0,
            is_refused: false,
            began: began.saturating_sub(now.since(since).as_secs()),
            seconds: u32::try_from(answered).unwrap_or(u32::MAX),
            times: 1,
            outgoing: call.outgoing.is_some(),
            ending,
            frames: sum(|track| track.frames),
            lost: sum(|track| track.lost),
            trunk: text(&call.label.trunk),
            caller: text(&call.label.caller),
            callee: text(&call.label.callee),
            stream: text(call.shown_stream()),
            detail: text(&detail.0),
        };
        self.remember(now, ended, outlet);
    }

    /// A call was not taken: it goes into the history.
    pub(in crate::gateway) fn remember_refused(
        &mut self,
        now: Instant,
        call: &RefusedCall<'_>,
        outlet: &mut dyn Outlet,
    ) {
        let mut detail = Filling(FixedString::<HISTORY_DETAIL_BYTES>::new());
        // Cut where it is too long.
        let _ = detail.write_fmt(call.words);
        let ended = EndedCall {
            place: 0,
            is_refused: true,
            began: self.unix_millis(now) / 1_000,
            seconds: 0,
            times: call.times,
            outgoing: call.outgoing,
            ending: call.ending,
            frames: 0,
            lost: 0,
            trunk: text(call.trunk),
            caller: text(call.caller),
            callee: text(call.callee),
            stream: Text::new(),
            detail: text(&detail.0),
        };
        self.remember(now, ended, outlet);
    }

    fn remember(&mut self, now: Instant, call: EndedCall, outlet: &mut dyn Outlet) {
        if let Some(call) = self.history.push(now, call)
            && let Some(record) = Stored::CallV1(call.stored()).to_bytes()
        {
            outlet.keep(call.about(), &record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(caller: &str, ending: Ending, is_refused: bool) -> EndedCall {
        EndedCall {
            place: 0,
            is_refused,
            began: 1_800_000_000,
            seconds: 60,
            times: 1,
            outgoing: false,
            ending,
            frames: 3_000,
            lost: 2,
            trunk: text("pbx"),
            caller: text(caller),
            callee: text("4711"),
            stream: text("4711"),
            detail: text("200 the caller hung up"),
        }
    }

    fn callers(history: &History) -> Vec<&str> {
        history.calls().map(|call| call.caller.as_str()).collect()
    }

    #[test]
    fn the_last_calls_stay_newest_first_each_at_a_place_of_its_own() {
        let mut history = History::default();
        for at in 0..3 * HISTORY_CALLS {
            let call = call(&at.to_string(), Ending::CallerHungUp, false);
            assert!(history.push(Instant::ZERO, call).is_some());
            let mut places: Vec<_> = history.calls().map(|call| call.place).collect();
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), history.calls.len());
            assert!(places.iter().all(|at| usize::from(*at) < HISTORY_CALLS));
        }
        let wanted = (2 * HISTORY_CALLS..3 * HISTORY_CALLS).rev();
        let wanted: Vec<_> = wanted.map(|at| at.to_string()).collect();
        assert_eq!(callers(&history), wanted);
    }

    #[test]
    fn refused_calls_have_half_of_the_places_and_repeated_ones_have_one() {
        let mut history = History::default();
        for at in 0..HISTORY_CALLS {
            let call = call(&format!("good {at}"), Ending::CallerHungUp, false);
            history.push(Instant::ZERO, call);
        }
        for at in 0..500 {
            let call = call(&format!("bad {at}"), Ending::Capacity, true);
            history.push(Instant::ZERO, call);
        }
        let good = callers(&history);
        let good = good.iter().filter(|caller| caller.starts_with("good"));
        assert_eq!(good.count(), HISTORY_CALLS - REFUSED);
        let mut written = 0;
        for at in 0..1_000 {
            let now = Instant::from_millis(10_000 * (at + 1));
            let call = call("again", Ending::NoCodecInCommon, true);
            written += u32::from(history.push(now, call).is_some());
        }
        let newest = history.calls().next().unwrap();
        assert_eq!((newest.times, written), (1_000, 10));
        let again = callers(&history);
        assert_eq!(again.iter().filter(|it| **it == "again").count(), 1);
    }

    #[test]
    fn many_refused_calls_are_seldom_written() {
        let mut history = History::default();
        let written = (0..1_000).filter(|at| {
            let call = call(&at.to_string(), Ending::Capacity, true);
            let now = Instant::from_millis(10 * at);
            history.push(now, call).is_some()
        });
        assert_eq!(written.count(), 5);
    }

    #[test]
    fn the_longest_call_fits_a_record_and_is_read_again() {
        for letter in ["x", "\u{e4}", "\u{20ac}", "\u{1f600}", "\"", "\u{202e}"] {
            let long = letter.repeat(500);
            let ended = EndedCall {
                place: 31,
                is_refused: true,
                began: u64::MAX,
                seconds: u32::MAX,
                times: u32::MAX,
                outgoing: true,
                ending: Ending::BackendSilent,
                frames: u64::MAX,
                lost: u64::MAX,
                trunk: text(&long),
                caller: text(&long),
                callee: text(&long),
                stream: text(&long),
                detail: text(&long),
            };
            let stored = Stored::CallV1(ended.stored());
            let bytes = stored.to_bytes().expect("it fits");
            assert_eq!(Stored::from_bytes(&bytes), Some(stored));
        }
    }

    #[test]
    fn calls_of_the_first_version_stay_readable() {
        let written = [
            b"\x02\x00\x00\x80\xa4\xa7\xda\x06\x3c\x01\x00\x00\xb8\x17\x02".as_slice(),
            b"\x03pbx\x041001\x044711\x044711\x16200 the caller hung up",
        ]
        .concat();
        let ended = call("1001", Ending::CallerHungUp, false);
        let stored = Stored::CallV1(ended.stored());
        assert_eq!(stored.to_bytes().unwrap().as_slice(), written);
        assert_eq!(Stored::from_bytes(&written), Some(stored));
        for (ending, number) in [(Ending::NoMedia, 8), (Ending::BackendSilent, 26)] {
            assert_eq!(postcard::to_slice(&ending, &mut [0; 4]).unwrap(), [number]);
        }
        // An ending of a later version.
        let mut later = written.clone();
        later[11] = 27;
        assert_eq!(Stored::from_bytes(&later), None);
    }

    #[test]
    fn a_place_is_recalled_once_and_only_where_there_is_one() {
        let mut history = History::default();
        let mut stored = call("first", Ending::NoMedia, false).stored();
        history.recall(&stored);
        history.recall(&stored);
        stored.place = HISTORY_CALLS as u8;
        history.recall(&stored);
        assert_eq!(callers(&history), ["first"]);
        let next = call("next", Ending::NoMedia, false);
        assert_eq!(history.push(Instant::ZERO, next).unwrap().place, 1);
    }
}
