//! Which codec a server refuses, learned from how its streams end.
//!
//! Some servers end the connection when the first frame of a codec comes that they cannot take, and
//! say nothing of it. A stream that was accepted, was sent a codec that is not known to be taken, and
//! ended within [`SOON`] of its first frame is suspicious; after two in a row with such a codec in
//! common the next one is tried without that codec, audio first. What else was sent does not matter:
//! where a stream ends at its first sound, chance decides whether a picture came before. A trial that
//! lasts [`TRIAL`] while media flows proves it; one that ends before acquits it, and the other track
//! is looked at if it is suspicious too. What was acquitted is suspected again only after many more
//! ends, and what was once sent for as long as a trial never.
//!
//! Where the suspicious codec is all there is, four ends in a row are wanted, and the trial is one
//! of silence.

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

use crate::base::codec::{Codec, CodecSet, Track};
use crate::base::time::Instant;

/// How soon after a codec's first frame a stream must end for the codec to be suspicious.
const SOON: Duration = Duration::from_secs(5);
/// How long a trial must last.
const TRIAL: Duration = Duration::from_secs(10);
/// Media flows when something was sent no longer ago.
const FLOWING: Duration = Duration::from_secs(2);
/// Ends in a row before a trial without one of two tracks.
const ENDS: u8 = 2;
/// Ends in a row before a trial without the only track.
const ENDS_ALONE: u8 = 4;
/// Ends in a row before another trial of what a trial has acquitted.
const ENDS_AGAIN: u8 = 8;

/// What is known of the stream that is up.
#[derive(Clone, Copy, Debug)]
struct Stream {
    since: Instant,
    /// Codecs of which frames were sent.
    sent: CodecSet,
    /// When the first frame of the newest codec in `sent` was.
    newest_at: Instant,
    last_at: Instant,
}

/// What one publisher has learned.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    /// Never suspected: known to be taken.
    clear: CodecSet,
    refused: CodecSet,
    /// Not at fault as far as a trial could show.
    acquitted: CodecSet,
    trial: Option<Codec>,
    stream: Option<Stream>,
    /// Suspicious codecs that the streams that ended soon have in common, and how many did in a row.
    pattern: CodecSet,
    ends: u8,
    /// None of those streams was sent anything else.
    alone: bool,
}

impl Suspicion {
    /// Nothing learned: `certain` codecs are never suspected, `refused` ones never tried.
    pub const fn new(certain: CodecSet, refused: CodecSet) -> Self {
        Self {
            clear: certain,
            refused,
            acquitted: CodecSet::NONE,
            trial: None,
            stream: None,
            pattern: CodecSet::NONE,
            ends: 0,
            alone: true,
        }
    }

    /// Codecs that are not to be sent now: refused ones, and the one on trial.
    pub fn left_out(&self) -> CodecSet {
        match self.trial {
            Some(codec) => self.refused.union(CodecSet::of(&[codec])),
            None => self.refused,
        }
    }

    /// A stream was accepted.
    pub fn began(&mut self, now: Instant) {
        self.stream = Some(Stream {
            since: now,
            sent: CodecSet::NONE,
            newest_at: now,
            last_at: now,
        });
    }

    /// Frames of these codecs were sent in this stream so far, one of them now.
    pub fn sent(&mut self, now: Instant, codecs: CodecSet) {
        if let Some(stream) = &mut self.stream {
            if stream.sent != codecs {
                stream.newest_at = now;
                stream.sent = codecs;
            }
            stream.last_at = now;
        }
    }

    /// The server or the network ended the stream.
    pub fn ended(&mut self, now: Instant) {
        let Some(stream) = self.stream.take() else {
            return;
        };
        if let Some(codec) = self.trial.take() {
            // Not at fault; who else was there may be.
            self.acquitted = self.acquitted.union(CodecSet::of(&[codec]));
            self.trial = first_of(self.open(self.pattern).without(self.acquitted));
            self.ends = 0;
            return;
        }
        let suspects = self.open(stream.sent);
        if suspects.is_empty() || now.since(stream.newest_at) > SOON {
            self.ends = 0;
            return;
        }
        let common = self.pattern.intersection(suspects);
        if self.ends == 0 || common.is_empty() {
            self.pattern = suspects;
            self.ends = 0;
            self.alone = true;
        } else {
            self.pattern = common;
        }
        self.alone &= is_one(stream.sent);
        self.ends = self.ends.saturating_add(1);
        let fresh = self.pattern.without(self.acquitted);
        let (suspects, wanted) = match (fresh.is_empty(), self.alone) {
            (true, _) => (self.pattern, ENDS_AGAIN),
            (false, true) => (fresh, ENDS_ALONE),
            (false, false) => (fresh, ENDS),
        };
        if self.ends >= wanted {
            self.trial = first_of(suspects);
        }
    }

    /// We ended the stream, or had to: nothing is learned.
    pub fn abandoned(&mut self) {
        self.stream = None;
    }

    /// The server said that it does not take a codec. True when that is news.
    pub fn told(&mut self, codec: Codec) -> bool {
        if self.clear.union(self.refused).contains(codec) {
            return false;
        }
        self.refused = self.refused.union(CodecSet::of(&[codec]));
        self.trial = None;
        self.ends = 0;
        true
    }

    /// Codecs that a server's words may be about.
    pub fn open(&self, codecs: CodecSet) -> CodecSet {
        codecs.without(self.clear).without(self.refused)
    }

    /// When [`Self::handle_timeout`] has something to see to.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due(self.stream.as_ref()?)
    }

    /// Looks at a stream that has lasted; the codec that is now known to be refused, if one is.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Codec> {
        let stream = self.stream?;
        if self.due(&stream).is_none_or(|due| now < due) {
            return None;
        }
        self.ends = 0;
        let codec = self.trial.take();
        match codec {
            Some(codec) => self.refused = self.refused.union(CodecSet::of(&[codec])),
            None => self.clear = self.clear.union(stream.sent),
        }
        codec
    }

    /// When the stream will have lasted long enough to say something, if it ever will.
    fn due(&self, stream: &Stream) -> Option<Instant> {
        let lasted = stream.since + TRIAL;
        if self.trial.is_none() {
            let is_open = !stream.sent.without(self.clear).is_empty();
            return is_open.then_some(stream.newest_at + TRIAL);
        }
        let flows = !stream.sent.is_empty() && stream.last_at + FLOWING >= lasted;
        (flows || self.alone).then_some(lasted)
    }
}

fn is_one(codecs: CodecSet) -> bool {
    codecs.iter().count() == 1
}

/// The codec that is suspected first: that of audio.
fn first_of(codecs: CodecSet) -> Option<Codec> {
    let audio = codecs.iter().find(|codec| codec.track() == Track::Audio);
    audio.or_else(|| codecs.iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: CodecSet = CodecSet::of(&[Codec::H264, Codec::Pcma]);

    fn suspicion() -> Suspicion {
        let certain = CodecSet::of(&[Codec::H264, Codec::Aac]);
        Suspicion::new(certain, CodecSet::NONE)
    }

    fn millis(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// A stream that is sent these codecs at once, and that the server ends.
    fn stream(suspicion: &mut Suspicion, from: u64, sent: CodecSet, lasts: u64) {
        suspicion.began(millis(from));
        suspicion.sent(millis(from), sent.without(suspicion.left_out()));
        suspicion.ended(millis(from + lasts));
    }

    #[test]
    fn a_stream_that_ends_before_its_first_picture_counts_with_the_others() {
        let mut learned = suspicion();
        stream(&mut learned, 0, CodecSet::of(&[Codec::Pcma]), 20);
        assert!(learned.left_out().is_empty());
        stream(&mut learned, 1_000, BOTH, 20);
        assert_eq!(learned.left_out(), CodecSet::of(&[Codec::Pcma]));
    }

    #[test]
    fn two_early_ends_lead_to_a_trial_that_proves_the_refusal() {
        let mut learned = suspicion();
        stream(&mut learned, 0, BOTH, 20);
        assert!(learned.left_out().is_empty());
        stream(&mut learned, 1_000, BOTH, 20);
        assert_eq!(learned.left_out(), CodecSet::of(&[Codec::Pcma]));
        learned.began(millis(2_000));
        for at in (2_000..12_000).step_by(40) {
            learned.sent(millis(at), CodecSet::of(&[Codec::H264]));
            assert_eq!(learned.handle_timeout(millis(at)), None);
        }
        assert_eq!(learned.poll_timeout(), Some(millis(12_000)));
        assert_eq!(learned.handle_timeout(millis(12_000)), Some(Codec::Pcma));
        learned.ended(millis(12_500));
        assert_eq!(learned.left_out(), CodecSet::of(&[Codec::Pcma]));
    }

    #[test]
    fn a_trial_that_ends_too_puts_the_track_back() {
        let mut learned = suspicion();
        for from in [0, 1_000, 2_000] {
            stream(&mut learned, from, BOTH, 20);
        }
        assert!(learned.left_out().is_empty());
        for from in 3..10 {
            stream(&mut learned, from * 1_000, BOTH, 20);
            assert!(learned.left_out().is_empty(), "not suspected again soon");
        }
        stream(&mut learned, 20_000, BOTH, 20);
        assert!(!learned.left_out().is_empty(), "a very clear pattern");
    }

    #[test]
    fn video_is_looked_at_after_audio() {
        let mut learned = suspicion();
        let both = CodecSet::of(&[Codec::Vp8, Codec::Opus]);
        for from in [0, 1_000] {
            stream(&mut learned, from, both, 20);
        }
        assert_eq!(learned.left_out(), CodecSet::of(&[Codec::Opus]));
        stream(&mut learned, 2_000, both, 20);
        assert_eq!(learned.left_out(), CodecSet::of(&[Codec::Vp8]));
        stream(&mut learned, 3_000, both, 20);
        assert!(learned.left_out().is_empty());
    }

    #[test]
    fn nothing_is_concluded_from_a_trial_in_which_no_media_flows() {
        let mut learned = suspicion();
        for from in [0, 1_000] {
            stream(&mut learned, from, BOTH, 20);
        }
        learned.began(millis(2_000));
        assert_eq!(learned.poll_timeout(), None);
        assert_eq!(learned.handle_timeout(millis(60_000)), None);
        learned.sent(millis(60_000), CodecSet::of(&[Codec::H264]));
        assert_eq!(learned.handle_timeout(millis(60_000)), Some(Codec::Pcma));
    }

    #[test]
    fn the_only_track_needs_more_to_be_suspected() {
        let mut learned = suspicion();
        let audio = CodecSet::of(&[Codec::Pcma]);
        for from in [0, 1_000, 2_000] {
            stream(&mut learned, from, audio, 20);
            assert!(learned.left_out().is_empty());
        }
        stream(&mut learned, 3_000, audio, 20);
        assert_eq!(learned.left_out(), audio);
        learned.began(millis(4_000));
        assert_eq!(learned.handle_timeout(millis(14_000)), Some(Codec::Pcma));
    }

    #[test]
    fn late_ends_other_patterns_and_what_has_lasted_are_not_suspicious() {
        let mut learned = suspicion();
        for from in [0, 10_000, 20_000] {
            stream(&mut learned, from, BOTH, 5_001);
        }
        assert!(learned.left_out().is_empty());
        let video = CodecSet::of(&[Codec::H264]);
        for from in [30_000, 31_000, 32_000, 33_000] {
            stream(&mut learned, from, video, 20);
        }
        assert!(learned.left_out().is_empty(), "certain codecs");
        let other = CodecSet::of(&[Codec::H264, Codec::Pcmu]);
        for (from, sent) in [(40_000, BOTH), (41_000, other), (42_000, BOTH)] {
            stream(&mut learned, from, sent, 20);
        }
        assert!(learned.left_out().is_empty(), "never twice the same");
        learned.began(millis(50_000));
        learned.sent(millis(50_000), BOTH);
        assert_eq!(learned.poll_timeout(), Some(millis(60_000)));
        assert_eq!(learned.handle_timeout(millis(60_000)), None);
        for from in [61_000, 62_000, 63_000] {
            stream(&mut learned, from, BOTH, 20);
        }
        assert!(
            learned.left_out().is_empty(),
            "it was taken for ten seconds"
        );
    }

    #[test]
    fn words_of_the_server_count_at_once_but_not_against_certain_codecs() {
        let mut learned = suspicion();
        assert!(learned.told(Codec::Pcma) && !learned.told(Codec::Pcma));
        assert!(!learned.told(Codec::H264));
        assert_eq!(learned.left_out(), CodecSet::of(&[Codec::Pcma]));
    }
}
