//! What became of a call's media, in one line that tells why a call was a bad one.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use core::fmt;

use crate::base::codec::Track;
use crate::gateway::pushes::PushSummary;
use crate::rtmp::Publisher;
use crate::rtp::call_clock::skew::SkewStats;
use crate::rtp::session::Session;

/// What became of one track, over everything that offers and answers made of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackSummary {
    /// Frames relayed.
    pub frames: u64,
    /// Packets that never came, or too late.
    pub lost: u64,
    /// Frames dropped for a part that was missing or broken.
    pub damaged: u64,
    /// Whole frames dropped because no decoder could have shown them before a keyframe.
    pub waiting: u64,
    /// Packets that break the rules of their format.
    pub malformed: u64,
    /// Packets of a payload type that was not agreed on.
    pub other_types: u64,
    /// Packets of addresses that may not send here.
    pub strangers: u64,
    /// Packets of SRTP that were dropped: not authentic, or come before.
    pub unauthentic: u64,
    /// Packets asked for again.
    pub asked_again: u64,
    /// Those of them that came.
    pub came_again: u64,
    /// Keyframes asked for.
    pub keyframes_asked: u64,
}

impl TrackSummary {
    /// What became of a track of a session, since it was last agreed on anew.
    pub fn of(session: &Session, track: Track) -> Self {
        let stats = session.stats(track);
        let (h264, vp8, audio) = (stats.h264, stats.vp8, stats.audio);
        let sum = |counts: &[u64]| counts.iter().fold(0, |sum: u64, n| sum.saturating_add(*n));
        Self {
            frames: stats.frames,
            lost: stats.reorder.lost,
            damaged: sum(&[h264.damaged, vp8.damaged, audio.incomplete, audio.too_large]),
            waiting: sum(&[h264.withheld, vp8.withheld]),
            malformed: sum(&[
                stats.malformed,
                h264.malformed,
                vp8.malformed,
                audio.malformed,
            ]),
            other_types: stats.wrong_payload_type,
            strangers: stats.source.strangers,
            unauthentic: stats.srtp.dropped(),
            asked_again: stats.retransmission.asked,
            came_again: stats.retransmission.came,
            keyframes_asked: match track {
                Track::Audio => 0,
                Track::Video => session.keyframes_asked(),
            },
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            frames: self.frames.saturating_add(other.frames),
            lost: self.lost.saturating_add(other.lost),
            damaged: self.damaged.saturating_add(other.damaged),
            waiting: self.waiting.saturating_add(other.waiting),
            malformed: self.malformed.saturating_add(other.malformed),
            other_types: self.other_types.saturating_add(other.other_types),
            strangers: self.strangers.saturating_add(other.strangers),
            unauthentic: self.unauthentic.saturating_add(other.unauthentic),
            asked_again: self.asked_again.saturating_add(other.asked_again),
            came_again: self.came_again.saturating_add(other.came_again),
            keyframes_asked: self.keyframes_asked.saturating_add(other.keyframes_asked),
        }
    }
}

impl fmt::Display for TrackSummary {
    /// Frames and losses always, the rest where there is some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, lost, .. } = self;
        write!(f, "{frames} frames, {lost} packets lost")?;
        if self.asked_again > 0 {
            let (asked, came) = (self.asked_again, self.came_again);
            write!(f, ", {asked} asked for again of which {came} came")?;
        }
        for (count, words) in [
            (self.malformed, "packets malformed"),
            (self.other_types, "packets of other payload types"),
            (self.strangers, "packets of strangers"),
            (self.unauthentic, "packets failed SRTP authentication"),
            (self.damaged, "frames damaged"),
            (self.waiting, "dropped up to a keyframe"),
            (self.keyframes_asked, "keyframes asked for"),
        ] {
            if count > 0 {
                write!(f, ", {count} {words}")?;
            }
        }
        Ok(())
    }
}

/// What became of what was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkSummary {
    /// Times that the server accepted the stream.
    pub accepted: u64,
    /// Times that pictures were dropped because the server took too little.
    pub stalls: u64,
    /// Frames of the caller that the server was not sent because of that.
    pub dropped: u64,
}

impl SinkSummary {
    /// What became of a publisher's stream.
    pub fn of(publisher: &Publisher) -> Self {
        let media = publisher.media_counters();
        let dropped = media.video_dropped.saturating_add(media.audio_dropped);
        Self {
            accepted: publisher.counters().accepted,
            stalls: media.stalls,
            dropped: dropped.saturating_add(media.lost),
        }
    }
}

impl fmt::Display for SinkSummary {
    /// Each clause begins with `; `; nothing where all went well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.accepted {
            0 => f.write_str("; never published")?,
            1 => {}
            times => write!(f, "; published {times} times")?,
        }
        if self.stalls > 0 {
            let Self {
                stalls, dropped, ..
            } = self;
            write!(
                f,
                "; server too slow {stalls} times, {dropped} frames dropped"
            )?;
        }
        Ok(())
    }
}

/// What became of a call.
pub struct CallSummary<'a> {
    /// How long it was answered.
    pub seconds: u64,
    /// Sound.
    pub audio: TrackSummary,
    /// Pictures.
    pub video: TrackSummary,
    /// How far both were apart.
    pub skew: SkewStats,
    /// What was published, where the trunk has a target.
    pub sink: Option<SinkSummary>,
    /// What became of its pushes.
    pub pushed: PushSummary,
    /// Which tracks are left out of the stream and why.
    pub left_out: [Option<&'a dyn fmt::Display>; 2],
}

/// What became of the media of many calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediaTotals {
    /// Sound.
    pub audio: TrackSummary,
    /// Pictures.
    pub video: TrackSummary,
    /// What was published.
    pub sink: SinkSummary,
}

impl MediaTotals {
    /// Adds a call.
    pub fn add(&mut self, call: &CallSummary<'_>) {
        self.audio = self.audio.plus(call.audio);
        self.video = self.video.plus(call.video);
        let sink = call.sink.unwrap_or_default();
        self.sink = SinkSummary {
            accepted: self.sink.accepted.saturating_add(sink.accepted),
            stalls: self.sink.stalls.saturating_add(sink.stalls),
            dropped: self.sink.dropped.saturating_add(sink.dropped),
        };
    }
}

impl fmt::Display for CallSummary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seconds,
            audio,
            video,
            skew,
            ..
        } = self;
        write!(
            f,
            "ended after {seconds} s; audio {audio}; video {video}{skew}"
        )?;
        if let Some(sink) = &self.sink {
            sink.fmt(f)?;
        }
        self.pushed.fmt(f)?;
        let mut left_out = self.left_out.iter().flatten();
        left_out.try_for_each(|words| write!(f, "; {words}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_call_is_a_short_line() {
        let summary = CallSummary {
            seconds: 60,
            audio: TrackSummary {
                frames: 3_000,
                ..TrackSummary::default()
            },
            video: TrackSummary::default(),
            skew: SkewStats::default(),
            sink: Some(SinkSummary {
                accepted: 1,
                ..SinkSummary::default()
            }),
            pushed: PushSummary::default(),
            left_out: [None, None],
        };
        assert_eq!(
            summary.to_string(),
            "ended after 60 s; audio 3000 frames, 0 packets lost; video 0 frames, 0 packets lost"
        );
    }

    #[test]
    fn a_bad_call_tells_what_was_wrong() {
        let track = TrackSummary {
            frames: 700,
            lost: 12,
            damaged: 3,
            waiting: 40,
            malformed: 1,
            other_types: 2,
            strangers: 4,
            unauthentic: 5,
            asked_again: 30,
            came_again: 18,
            keyframes_asked: 2,
        };
        let summary = CallSummary {
            seconds: 5,
            audio: TrackSummary::default(),
            video: track.plus(track),
            skew: SkewStats {
                p99: 7,
                pictures: 1_400,
                ..SkewStats::default()
            },
            sink: Some(SinkSummary {
                accepted: 3,
                stalls: 2,
                dropped: 90,
            }),
            pushed: PushSummary::default(),
            left_out: [Some(&"audio left out: the server refused G.711"), None],
        };
        assert_eq!(
            summary.to_string(),
            "ended after 5 s; audio 0 frames, 0 packets lost; video 1400 frames, 24 packets lost, \
             60 asked for again of which 36 came, 2 packets malformed, \
             4 packets of other payload types, 8 packets of strangers, \
             10 packets failed SRTP authentication, 6 frames damaged, \
             80 dropped up to a keyframe, 4 keyframes asked for; skew p99 7 ms; published 3 times; \
             server too slow 2 times, 90 frames dropped; audio left out: the server refused G.711"
        );
    }

    #[test]
    fn a_server_that_never_took_the_stream_is_named() {
        assert_eq!(SinkSummary::default().to_string(), "; never published");
    }
}
