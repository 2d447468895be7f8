//! The common media clock of one call: RTP timestamps to times that audio and video share.
//!
//! The clock starts at zero with the first frame of either track and follows arrival, on our own
//! monotonic clock; the wall clock is never an input. A track is placed where its first frame
//! arrives, at once. From then on its RTP clock counts, and where it should stand is slewed to, by
//! at most 5 ms per second and never in a step ([`crate::rtp::timeline`] has the policy for
//! timestamps that break):
//!
//! - audio, the master: by its earliest arrivals of the last seconds;
//! - video beside audio: by its own earliest arrivals, and once both tracks have sender reports
//!   (RFC 3550, section 6.4.1) by these. When they end or lose their meaning, the distance that they
//!   told is kept.
//!
//! A track that begins while the other one runs is placed by the way as it is at that moment: what
//! arrives together belongs together. When both tracks' reports are there before its first frame
//! (video waits for a keyframe meanwhile, and RFC 3550, section 6.2, lets the first report of a call
//! of two go out at once), they place it instead: nothing of the track was given out yet, so this is
//! no step.
//!
//! Reports are believed only so far ([`reports`]). Ignored and counted are those without wall-clock
//! time, whose wall clock or RTP time does not go on from the report before, whose RTP time is far
//! from what arrives, or which put picture and voice more than a second from where arrival does. A
//! wall clock that was set at the sender is believed again when two reports in a row agree; the
//! other track then needs a report of its own before the pair counts. A source that does not find
//! its way back to reports that agree is placed by arrival alone.
//!
//! Pictures that are decoded in another order than presented get decoding times of their own
//! ([`decode_order`]).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod decode_order;
pub mod reports;
pub mod skew;

use std::rc::Rc;

use crate::base::codec::{Codec, CodecConfig, Track};
use crate::base::counter::count;
use crate::base::time::{Instant, MediaTime, NtpTime};
use crate::rtp::call_clock::decode_order::{DecodeOrder, FrameTimes, Rising};
use crate::rtp::call_clock::reports::{Report, Reports, Verdict};
use crate::rtp::call_clock::skew::{SkewHistogram, SkewStats};
use crate::rtp::timeline::{BACKWARD, Order, Placed, Timeline};

/// Microseconds that reports may move the picture from where arrival puts it.
pub const REPORT_BOUND: i64 = 1_000_000;

/// Microseconds between a report's RTP time and what arrives.
const REPORT_REACH: i64 = 3_000_000;

/// What happened to times, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockCounters {
    /// Frames whose time was moved up to stay above the frame before.
    pub clamped: u64,
    /// Timestamps that broke and were anchored anew.
    pub jumps: u64,
    /// Sources that followed another on the same track.
    pub sources: u64,
    /// Sender reports taken.
    pub reports: u64,
    /// Sender reports not believed.
    pub reports_ignored: u64,
}

/// The clock of one call.
#[derive(Clone, Debug, Default)]
pub struct CallClock {
    start: Option<Instant>,
    /// Wall-clock times are counted from the first one that was reported.
    ntp_origin: Option<NtpTime>,
    audio: TrackClock,
    video: TrackClock,
    /// How far beyond the floor the last believed reports put the picture.
    video_lead: i64,
    pictures: DecodeOrder,
    skew: SkewHistogram,
    counters: ClockCounters,
}

#[derive(Clone, Debug, Default)]
struct TrackClock {
    timeline: Timeline,
    rising: Rising,
    reports: Reports,
    /// A report that came before the first frame of its source.
    early: Option<Early>,
}

#[derive(Clone, Copy, Debug)]
struct Early {
    at: Instant,
    ntp: NtpTime,
    rtp_timestamp: u32,
}

impl CallClock {
    /// A clock that starts at zero with the first frame of either track.
    pub fn new() -> Self {
        Self::default()
    }

    /// When a frame is to be presented: strictly rising within a track.
    ///
    /// Frames of a track come in the order of presentation. `received` is the arrival of the
    /// frame's first packet, so that the size of a picture does not count as lateness. `clock_rate`
    /// is that of the SDP; another one than before counts as another source.
    pub fn frame_time(
        &mut self,
        track: Track,
        rtp_timestamp: u32,
        clock_rate: u32,
        received: Instant,
    ) -> MediaTime {
        let order = Order::Presented;
        let placed = self.place(track, rtp_timestamp, clock_rate, order, received);
        let times = self.track_mut(track).rising.place(placed.presentation);
        self.note(track, placed, times);
        times.time
    }

    /// The same for a picture of video whose pictures come in decoding order: when it is to be
    /// decoded, strictly rising, and how much later presented. `config` is what it is decoded with.
    pub fn picture_times(
        &mut self,
        rtp_timestamp: u32,
        clock_rate: u32,
        received: Instant,
        keyframe: bool,
        config: &Rc<CodecConfig>,
    ) -> FrameTimes {
        if config.codec() != Codec::H264 {
            // No other codec's pictures come in another order.
            let time = self.frame_time(Track::Video, rtp_timestamp, clock_rate, received);
            return FrameTimes {
                time,
                ..FrameTimes::default()
            };
        }
        if keyframe {
            self.pictures.take_config(config);
        }
        let order = self.picture_order(rtp_timestamp, clock_rate, keyframe);
        let placed = self.place(Track::Video, rtp_timestamp, clock_rate, order, received);
        if placed.jumped {
            self.pictures.interrupt();
        }
        let rising = &mut self.video.rising;
        let times = self.pictures.place(placed.presentation, keyframe, rising);
        self.note(Track::Video, placed, times);
        times
    }

    /// Takes note of a sender report of the track's present source.
    pub fn handle_sender_report(
        &mut self,
        track: Track,
        now: Instant,
        ntp: NtpTime,
        rtp_timestamp: u32,
    ) {
        let clock = self.track_mut(track);
        if !clock.timeline.is_anchored() {
            clock.early = Some(Early {
                at: now,
                ntp,
                rtp_timestamp,
            });
        } else if self.believe(track, now, ntp, rtp_timestamp) {
            count(&mut self.counters.reports);
        } else {
            count(&mut self.counters.reports_ignored);
        }
    }

    /// Another source follows on the track; its timestamps have nothing to do with the former ones.
    /// Its first frame continues the running clock.
    pub fn source_changed(&mut self, track: Track) {
        // The other track may change next: what reports said of the pair is void until both speak.
        self.audio.reports.void();
        self.video.reports.void();
        if track == Track::Video {
            self.pictures.interrupt();
        }
        let clock = self.track_mut(track);
        clock.timeline.source_changed();
        clock.reports = Reports::default();
        clock.early = None;
        count(&mut self.counters.sources);
    }

    /// How many microseconds later the picture is presented than the voice that belongs to it,
    /// negative when earlier: by sender reports when both tracks have them, else by arrival. `None`
    /// while a track is missing.
    pub fn skew_micros(&self) -> Option<i64> {
        let (audio, video) = (&self.audio.timeline, &self.video.timeline);
        if !audio.has_begun() || !video.has_begun() {
            return None;
        }
        let by_arrival = video.floor().saturating_add(self.lead(Track::Video));
        let target = self.video_by_reports().unwrap_or(by_arrival);
        Some(video.shift().saturating_sub(target))
    }

    /// How far picture and voice were apart over the call, and are at the moment.
    pub fn skew_stats(&self) -> SkewStats {
        self.skew.stats(self.skew_micros())
    }

    /// Whether both tracks have sender reports that are believed.
    pub fn is_reported(&self) -> bool {
        self.video_by_reports().is_some()
    }

    /// Counts of what happened, by reason.
    pub fn counters(&self) -> &ClockCounters {
        &self.counters
    }

    fn place(
        &mut self,
        track: Track,
        rtp_timestamp: u32,
        clock_rate: u32,
        order: Order,
        received: Instant,
    ) -> Placed {
        let arrival = self.micros_from_start(received);
        if self.track_mut(track).timeline.needs_anchor(clock_rate) {
            self.anchor(track, rtp_timestamp, arrival, received);
        }
        let lead = self.lead(track);
        let target = match track {
            Track::Audio => Some(self.audio.timeline.floor()),
            Track::Video => self.video_by_reports(),
        };
        let timeline = &mut self.track_mut(track).timeline;
        timeline.place(rtp_timestamp, arrival, lead, target, order, received)
    }

    /// What a picture's timestamp tells of the order of pictures.
    fn picture_order(&self, rtp_timestamp: u32, clock_rate: u32, keyframe: bool) -> Order {
        let timeline = &self.video.timeline;
        if !timeline.is_anchored_at(clock_rate) {
            return Order::Presented;
        }
        let after_last = timeline.micros_after_last(rtp_timestamp);
        let goes_back = after_last < 0;
        let presentation = timeline.place_of(rtp_timestamp);
        let breaks = if keyframe {
            // Nothing of the group before is presented after it.
            after_last < -BACKWARD
        } else {
            goes_back && self.pictures.is_step_back(presentation)
        };
        if breaks {
            Order::Broken
        } else if goes_back || self.pictures.is_reordered() {
            Order::Decoded
        } else {
            Order::Presented
        }
    }

    fn note(&mut self, track: Track, placed: Placed, times: FrameTimes) {
        if placed.jumped {
            self.track_mut(track).reports.void();
            count(&mut self.counters.jumps);
        }
        if times.clamped {
            count(&mut self.counters.clamped);
        }
        if track == Track::Video
            && let Some(skew) = self.skew_micros()
            && (self.is_reported() || !self.pictures.is_open())
        {
            self.skew.observe(skew, self.is_reported());
        }
    }

    fn anchor(&mut self, track: Track, rtp_timestamp: u32, arrival: i64, received: Instant) {
        let mut lead = self.lead(track);
        let fresh = !self.track_mut(track).timeline.has_begun();
        if fresh {
            lead = self.lead_at_start(track, arrival).unwrap_or(lead);
        }
        let clock = self.track_mut(track);
        clock
            .timeline
            .anchor(rtp_timestamp, arrival, lead, received);
        clock.reports.void();
        if let Some(early) = clock.early.take() {
            self.handle_sender_report(track, early.at, early.ntp, early.rtp_timestamp);
        }
        if !fresh {
            return;
        }
        // Nothing of the track has been given out yet: where both have reports, it starts right.
        if let Some(video) = self.video_by_reports() {
            match track {
                Track::Video => self.video.timeline.start_at(video),
                Track::Audio => {
                    let late = self.video.timeline.shift().saturating_sub(video);
                    let shift = self.audio.timeline.shift().saturating_add(late);
                    self.audio.timeline.start_at(shift);
                }
            }
        }
    }

    /// Judges a report and takes it in; `false` when it is not believed.
    fn believe(&mut self, track: Track, at: Instant, ntp: NtpTime, rtp_timestamp: u32) -> bool {
        let now = self.micros_from_start(at);
        let origin = *self.ntp_origin.get_or_insert(ntp);
        let clock = self.track_mut(track);
        let rtp = clock.timeline.rtp_micros(rtp_timestamp);
        let transit = now.saturating_sub(rtp);
        let from_arrival = transit.saturating_sub(clock.timeline.floor());
        let possible = ntp != NtpTime::default() && from_arrival.saturating_abs() <= REPORT_REACH;
        let verdict = if possible {
            let wall = ntp.micros_since(origin).saturating_sub(rtp);
            clock.reports.take(Report { ntp, at, wall })
        } else {
            clock.reports.ignore()
        };
        match verdict {
            Verdict::Believed => {}
            Verdict::Moved => self.other_mut(track).reports.void(),
            Verdict::Ignored => return false,
            Verdict::Distrusted => {
                self.video_lead = 0;
                return false;
            }
        }
        if self.audio.reports.wall().is_none() || self.video.reports.wall().is_none() {
            return true;
        }
        let Some(target) = self.video_by_reports() else {
            return false;
        };
        let beside = target.saturating_sub(self.audio.timeline.lead());
        self.video_lead = beside.saturating_sub(self.video_floor());
        true
    }

    /// The video's shift at which it stands beside audio as the sender's reports say.
    fn video_by_reports(&self) -> Option<i64> {
        let (audio, video) = (&self.audio, &self.video);
        let target = video
            .reports
            .wall()?
            .saturating_sub(audio.reports.wall()?)
            .saturating_add(audio.timeline.shift());
        let from_arrival = target.saturating_sub(video.timeline.floor());
        (from_arrival.saturating_abs() <= REPORT_BOUND).then_some(target)
    }

    /// How far above its floor a track stands beside the other one when reports do not say: what
    /// they said last, and what the other one has still to slew.
    fn lead(&self, track: Track) -> i64 {
        match track {
            Track::Video => self
                .pictures
                .delay()
                .saturating_add(self.video_lead)
                .saturating_add(self.audio.timeline.lead()),
            Track::Audio if self.video.timeline.has_begun() => {
                let shift = self.video.timeline.shift();
                let lead = shift.saturating_sub(self.video_floor());
                lead.saturating_sub(self.video_lead)
            }
            Track::Audio => 0,
        }
    }

    /// The shift of video at which the earliest pictures are presented as they come. Pictures that
    /// come in another order are sent when it is time to decode them: those that others wait for
    /// come before their time, which is no shorter way.
    fn video_floor(&self) -> i64 {
        let floor = self.video.timeline.floor();
        floor.saturating_add(self.pictures.delay())
    }

    /// How far above its arrival the first frame of a track is placed beside the other one.
    fn lead_at_start(&self, track: Track, arrival: i64) -> Option<i64> {
        match track {
            Track::Video => {
                let beside = self.audio.timeline.lead_of_late(arrival)?;
                Some(beside.saturating_add(self.video_lead))
            }
            Track::Audio => {
                let beside = self.video.timeline.lead_of_late(arrival)?;
                Some(beside.saturating_sub(self.video_lead))
            }
        }
    }

    fn micros_from_start(&mut self, at: Instant) -> i64 {
        let start = *self.start.get_or_insert(at);
        let micros = |later: Instant, earlier: Instant| {
            i64::try_from(later.since(earlier).as_micros()).unwrap_or(i64::MAX)
        };
        micros(at, start).saturating_sub(micros(start, at))
    }

    fn track_mut(&mut self, track: Track) -> &mut TrackClock {
        match track {
            Track::Audio => &mut self.audio,
            Track::Video => &mut self.video,
        }
    }

    fn other_mut(&mut self, track: Track) -> &mut TrackClock {
        match track {
            Track::Audio => &mut self.video,
            Track::Video => &mut self.audio,
        }
    }
}
