//! What is seen to before a write is planned: losses, backlog, the end, the wait at the start; and
//! after it, the keyframe that is missing.

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

use crate::base::codec::Track;
use crate::base::counter::count;
use crate::base::frame_log::FrameLog;
use crate::base::time::Instant;
use crate::limits::RTMP_BACKLOG_MILLIS;
use crate::rtmp::media_writer::{Gate, MediaWriter};

/// How long audio waits for the first keyframe where video is expected.
const START_WAIT: Duration = Duration::from_secs(1);

/// How far behind a connection may fall.
const BACKLOG: Duration = Duration::from_millis(RTMP_BACKLOG_MILLIS);

/// How old the audio is that stays when a connection is too slow even for audio.
const KEPT_AUDIO: Duration = Duration::from_millis(500);

impl MediaWriter {
    /// What must be seen to before a plan is made: losses, backlog, the end, the wait at the start.
    pub(super) fn settle(&mut self, now: Instant, log: &FrameLog) {
        if self.finishing && self.until.is_none() {
            self.until = Some(log.end());
            self.gate = Gate::Open;
        }
        let frames_sent = self.frames_sent();
        self.slowness.look(now, self.place.video_open, frames_sent);
        let lost = log.start().saturating_sub(self.place.cursor);
        if lost > 0 {
            self.counters.lost = self.counters.lost.saturating_add(lost);
            self.place.cursor = log.start();
            self.need.renew();
        }
        let backlog = self.backlog(now, log);
        let may_judge = self.caught_up || self.slowness.has_run(now, BACKLOG);
        let is_behind = may_judge && backlog > BACKLOG;
        if lost > 0 || (is_behind && self.place.video_open) {
            self.stall(now, log);
        }
        if !is_behind {
            self.slowness.kept_up();
        } else if self.slowness.is_too_slow(now, backlog, lost > 0) {
            self.drop_audio(now, log);
        }
        if self.slowness.is_video_held(now) {
            self.place.video_from = self.place.video_from.max(log.end());
        }
        if let Gate::Waiting(_) = self.gate {
            self.wait_at_start(now, log);
        }
    }

    /// Gives video up to the newest keyframe that is not too old, or to one that is to come.
    fn stall(&mut self, now: Instant, log: &FrameLog) {
        if self.place.video_open {
            count(&mut self.counters.stalls);
            self.slowness.dropped_video(now);
        }
        self.place.drop_video(now, BACKLOG, log);
    }

    /// Passes over all but the newest frames.
    fn drop_audio(&mut self, now: Instant, log: &FrameLog) {
        while let Some(view) = log.get(self.place.cursor)
            && now.since(view.frame().received) > KEPT_AUDIO
        {
            match view.frame().track {
                Track::Audio => count(&mut self.counters.audio_dropped),
                Track::Video => {
                    self.need.miss(view.frame().keyframe);
                    count(&mut self.counters.video_dropped);
                }
            }
            self.place.cursor = self.place.cursor.saturating_add(1);
        }
        self.place.video_open = false;
        self.slowness.kept_up();
    }

    fn wait_at_start(&mut self, now: Instant, log: &FrameLog) {
        let keyframe = self.place.newest_keyframe(log).is_some();
        let expect_video = self.expects_sent_video(log);
        if expect_video && !keyframe {
            self.need.ask();
        }
        // Video that cannot be decoded is not kept for the wait.
        while let Some(view) = log.get(self.place.cursor)
            && view.frame().track == Track::Video
            && !view.frame().keyframe
            && self.place.takes(view.frame().config.codec())
        {
            count(&mut self.counters.video_dropped);
            self.place.cursor = self.place.cursor.saturating_add(1);
        }
        if self.joining && keyframe {
            self.skip_to_keyframe(log);
        }
        let Some(first) = log.get(self.place.cursor) else {
            return;
        };
        let until = first.frame().received + START_WAIT;
        self.gate = if keyframe || !expect_video || until <= now {
            Gate::Open
        } else {
            Gate::Waiting(Some(until))
        };
    }

    /// Whether video is expected that the peer takes: by what was said of it, or by what has come.
    fn expects_sent_video(&self, log: &FrameLog) -> bool {
        let newest = (self.place.cursor..log.end())
            .rev()
            .filter_map(|at| log.get(at))
            .map(|view| view.frame())
            .find(|frame| frame.track == Track::Video)
            .map(|frame| frame.config.codec());
        let codec = newest.or(self.video_codec);
        self.expect_video && codec.is_none_or(|codec| self.place.takes(codec))
    }

    /// Leaves out what a viewer would wait through before the first picture.
    fn skip_to_keyframe(&mut self, log: &FrameLog) {
        let keyframe =
            (self.place.cursor..log.end()).find(|at| self.place.is_sendable_keyframe(*at, log));
        let Some(keyframe) = keyframe else { return };
        let time = log.get(keyframe).map(|view| view.frame().time);
        while self.place.cursor < keyframe
            && log.get(self.place.cursor).map(|view| view.frame().time) < time
        {
            self.place.cursor = self.place.cursor.saturating_add(1);
        }
    }

    /// Asks for a keyframe that was missed, unless one is on its way or the connection stands still,
    /// since another keyframe would only add to what it cannot take.
    pub(super) fn ask_for_missed(&mut self, now: Instant, log: &FrameLog, gave_nothing: bool) {
        let stands_still = self.stalled && !gave_nothing;
        let is_held = self.slowness.is_video_held(now);
        if !stands_still && !is_held && self.place.newest_keyframe(log).is_none() {
            self.need.ask_for_missed(now);
        }
    }
}
