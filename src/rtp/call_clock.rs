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
//! Reports are believed only so far. Ignored and counted are those without wall-clock time, whose
//! wall clock goes backwards or not as fast as ours within a second, whose RTP time is far from what
//! arrives, or which put picture and voice more than a second from where arrival does. A wall clock
//! that was set at the sender is believed again when two reports in a row agree; the other track
//! then needs a report of its own before the pair counts.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::codec::Track;
use crate::base::counter::count;
use crate::base::time::{Instant, MediaTime, NtpTime};
use crate::rtp::timeline::Timeline;

/// Microseconds that reports may move the picture from where arrival puts it.
pub const REPORT_BOUND: i64 = 1_000_000;

/// Microseconds between a report's RTP time and what arrives.
const REPORT_REACH: i64 = 10_000_000;

/// Microseconds by which two reports' wall clock may pass faster or slower than ours.
const REPORT_SLACK: i64 = 1_000_000;

/// A relation of RTP to wall clock that moves by more microseconds means that one of them was set.
const REPORT_STEP: i64 = 50_000;

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
    counters: ClockCounters,
}

#[derive(Clone, Debug, Default)]
struct TrackClock {
    timeline: Timeline,
    /// Sender's wall-clock time less RTP time, in microseconds.
    wall: Option<i64>,
    /// The last report believed.
    believed: Option<Seen>,
    /// The last report not believed, in case the next one bears it out.
    doubted: Option<Seen>,
    /// A report that came before the first frame of its source.
    early: Option<Early>,
}

/// When a report came and what it said.
#[derive(Clone, Copy, Debug)]
struct Seen {
    ntp: NtpTime,
    at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Early {
    seen: Seen,
    rtp_timestamp: u32,
}

impl Seen {
    /// Whether `later` may be the same clock as this: forward, and about as fast as ours.
    fn leads_to(&self, later: &Seen) -> bool {
        let wall = later.ntp.micros_since(self.ntp);
        let ours = i64::try_from(later.at.since(self.at).as_micros()).unwrap_or(i64::MAX);
        wall > 0 && wall.saturating_sub(ours).saturating_abs() <= REPORT_SLACK
    }
}

impl CallClock {
    /// A clock that starts at zero with the first frame of either track.
    pub fn new() -> Self {
        Self::default()
    }

    /// When a frame is to be presented: strictly rising within a track.
    ///
    /// Frames of a track come in decoding order. `received` is the arrival of the frame's first
    /// packet, so that the size of a picture does not count as lateness. `clock_rate` is that of
    /// the SDP; another one than before counts as another source.
    pub fn frame_time(
        &mut self,
        track: Track,
        rtp_timestamp: u32,
        clock_rate: u32,
        received: Instant,
    ) -> MediaTime {
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
        let placed = timeline.place(rtp_timestamp, arrival, lead, target, received);
        if placed.jumped {
            self.track_mut(track).wall = None;
            count(&mut self.counters.jumps);
        }
        if placed.clamped {
            count(&mut self.counters.clamped);
        }
        placed.time
    }

    /// Takes note of a sender report of the track's present source.
    pub fn handle_sender_report(
        &mut self,
        track: Track,
        now: Instant,
        ntp: NtpTime,
        rtp_timestamp: u32,
    ) {
        let seen = Seen { ntp, at: now };
        let clock = self.track_mut(track);
        if !clock.timeline.is_anchored() {
            clock.early = Some(Early {
                seen,
                rtp_timestamp,
            });
        } else if self.believe(track, seen, rtp_timestamp) {
            count(&mut self.counters.reports);
        } else {
            count(&mut self.counters.reports_ignored);
        }
    }

    /// Another source follows on the track; its timestamps have nothing to do with the former ones.
    /// Its first frame continues the running clock.
    pub fn source_changed(&mut self, track: Track) {
        // The other track may change next: what reports said of the pair is void until both speak.
        self.audio.wall = None;
        self.video.wall = None;
        let clock = self.track_mut(track);
        clock.timeline.source_changed();
        clock.believed = None;
        clock.doubted = None;
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

    /// Whether both tracks have sender reports that are believed.
    pub fn is_reported(&self) -> bool {
        self.video_by_reports().is_some()
    }

    /// Counts of what happened, by reason.
    pub fn counters(&self) -> &ClockCounters {
        &self.counters
    }

    fn anchor(&mut self, track: Track, rtp_timestamp: u32, arrival: i64, received: Instant) {
        let lead = self.lead(track);
        let clock = self.track_mut(track);
        let fresh = !clock.timeline.has_begun();
        clock
            .timeline
            .anchor(rtp_timestamp, arrival, lead, received);
        clock.wall = None;
        if let Some(early) = clock.early.take() {
            self.handle_sender_report(track, early.seen.at, early.seen.ntp, early.rtp_timestamp);
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
    fn believe(&mut self, track: Track, seen: Seen, rtp_timestamp: u32) -> bool {
        if seen.ntp == NtpTime::default() {
            return false;
        }
        let now = self.micros_from_start(seen.at);
        let origin = *self.ntp_origin.get_or_insert(seen.ntp);
        let clock = self.track_mut(track);
        let rtp = clock.timeline.rtp_micros(rtp_timestamp);
        let transit = now.saturating_sub(rtp);
        if transit
            .saturating_sub(clock.timeline.floor())
            .saturating_abs()
            > REPORT_REACH
        {
            return false;
        }
        let continues = clock.believed.is_none_or(|last| last.leads_to(&seen));
        let borne_out = clock.doubted.is_some_and(|last| last.leads_to(&seen));
        if !continues && !borne_out {
            clock.doubted = Some(seen);
            return false;
        }
        clock.believed = Some(seen);
        clock.doubted = None;
        let wall = seen.ntp.micros_since(origin).saturating_sub(rtp);
        let moved = clock.wall.map(|before| wall.saturating_sub(before));
        match moved {
            Some(moved) if continues && moved.saturating_abs() <= REPORT_STEP => {
                // Half-way: the moment of a report is not exact at every sender.
                clock.wall = Some(wall.saturating_sub(moved / 2));
            }
            _ => {
                clock.wall = Some(wall);
                if moved.is_some() || !continues {
                    self.other_mut(track).wall = None;
                }
            }
        }
        if self.audio.wall.is_some() && self.video.wall.is_some() {
            match self.video_by_reports() {
                Some(target) => {
                    let beside = target.saturating_sub(self.audio.timeline.lead());
                    self.video_lead = beside.saturating_sub(self.video.timeline.floor());
                }
                None => return false,
            }
        }
        true
    }

    /// The video's shift at which it stands beside audio as the sender's reports say.
    fn video_by_reports(&self) -> Option<i64> {
        let (audio, video) = (&self.audio, &self.video);
        let target = video
            .wall?
            .saturating_sub(audio.wall?)
            .saturating_add(audio.timeline.shift());
        let from_arrival = target.saturating_sub(video.timeline.floor());
        (from_arrival.saturating_abs() <= REPORT_BOUND).then_some(target)
    }

    /// How far above its floor a track stands beside the other one when reports do not say: what
    /// they said last, and what the other one has still to slew.
    fn lead(&self, track: Track) -> i64 {
        match track {
            Track::Video => self.video_lead.saturating_add(self.audio.timeline.lead()),
            Track::Audio if self.video.timeline.has_begun() => {
                self.video.timeline.lead().saturating_sub(self.video_lead)
            }
            Track::Audio => 0,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    const AUDIO_RATE: u32 = 8_000;
    const VIDEO_RATE: u32 = 90_000;

    /// One track of a simulated sender. Times are microseconds of true time from the call's start.
    #[derive(Clone)]
    struct Source {
        track: Track,
        rate: u32,
        /// Time of one frame.
        spacing: i64,
        /// RTP time of true time zero.
        base: u32,
        /// How much faster its sample clock runs, in millionths.
        ppm: i64,
        starts: i64,
        /// The way's least delay and what jitter adds at most.
        delay: i64,
        jitter: u32,
        /// Every how many microseconds a sender report leaves.
        reports: Option<i64>,
    }

    fn audio() -> Source {
        Source {
            track: Track::Audio,
            rate: AUDIO_RATE,
            spacing: 20_000,
            base: 0xffff_f000,
            ppm: 0,
            starts: 0,
            delay: 30_000,
            jitter: 0,
            reports: None,
        }
    }

    fn video() -> Source {
        Source {
            track: Track::Video,
            rate: VIDEO_RATE,
            spacing: 33_333,
            base: 0xfff0_0000,
            ..audio()
        }
    }

    impl Source {
        fn rtp(&self, at: i64) -> u32 {
            let ticks = i128::from(at) * i128::from(self.rate) * i128::from(1_000_000 + self.ppm)
                / 1_000_000_000_000;
            self.base.wrapping_add(ticks as u32)
        }
    }

    fn instant(micros: i64) -> Instant {
        // The process had been running for a while.
        Instant::from_micros((micros + 50_000_000) as u64)
    }

    fn ntp(micros: i64) -> NtpTime {
        NtpTime(((i128::from(micros) + 3_900_000_000_000_000) << 32).wrapping_div(1_000_000) as u64)
    }

    /// What came out: true time of the frame and its media time.
    #[derive(Clone, Copy)]
    struct Out {
        at: i64,
        time: i64,
    }

    #[derive(Default)]
    struct Run {
        audio: Vec<Out>,
        video: Vec<Out>,
        /// Largest skew that the clock published once both tracks ran.
        published: i64,
    }

    impl Run {
        /// How much later the picture comes than the voice, over each second from `from` on, by the
        /// frames nearest to it.
        fn skews(&self, from: i64) -> Vec<i64> {
            let late = |frames: &[Out], at: i64| {
                let index = frames.partition_point(|out| out.at < at);
                frames.get(index).map(|out| out.time - out.at)
            };
            let end = self.audio.last().map_or(0, |out| out.at);
            (from..end)
                .step_by(1_000_000)
                .filter_map(|at| Some(late(&self.video, at)? - late(&self.audio, at)?))
                .collect()
        }

        fn worst_skew(&self, from: i64) -> i64 {
            let skews = self.skews(from);
            assert!(!skews.is_empty());
            skews.iter().map(|skew| skew.abs()).max().unwrap()
        }
    }

    /// Runs sources from true time `from` to `to`, everything in the order of arrival.
    fn run(clock: &mut CallClock, sources: &[Source], from: i64, to: i64, seed: u64) -> Run {
        let mut rng = Rng::from_number(seed);
        let mut arrivals = Vec::new();
        for source in sources {
            let mut at = from.max(source.starts);
            while at < to {
                let jitter = i64::from(rng.below(source.jitter + 1));
                arrivals.push((at + source.delay + jitter, source, at, false));
                at += source.spacing;
            }
            let mut at = from.max(source.starts);
            while let Some(every) = source.reports {
                at += every + i64::from(rng.below(900_000));
                if at >= to {
                    break;
                }
                arrivals.push((at + source.delay, source, at, true));
            }
        }
        arrivals.sort_by_key(|(arrival, ..)| *arrival);
        let mut out = Run::default();
        for (arrival, source, at, report) in arrivals {
            let rtp = source.rtp(at);
            if report {
                clock.handle_sender_report(source.track, instant(arrival), ntp(at), rtp);
                continue;
            }
            let time = clock.frame_time(source.track, rtp, source.rate, instant(arrival));
            let frames = match source.track {
                Track::Audio => &mut out.audio,
                Track::Video => &mut out.video,
            };
            frames.push(Out {
                at,
                time: time.as_micros(),
            });
            if let Some(skew) = clock.skew_micros() {
                out.published = out.published.max(skew.abs());
            }
        }
        for frames in [&out.audio, &out.video] {
            assert!(
                frames
                    .windows(2)
                    .all(|pair| pair[1].time >= pair[0].time + 1_000)
            );
        }
        out
    }

    #[test]
    fn times_are_right_from_the_first_packet_without_reports() {
        let mut clock = CallClock::new();
        let out = run(&mut clock, &[audio(), video()], 0, 2_000_000, 1);
        for (at, frame) in out.audio.iter().enumerate() {
            assert_eq!(frame.time, at as i64 * 20_000);
        }
        assert!(
            out.video
                .iter()
                .all(|frame| (frame.time - frame.at).abs() <= 12)
        );
        assert_eq!(clock.counters(), &ClockCounters::default());
    }

    #[test]
    fn flash_and_beep_stay_together_with_and_without_reports() {
        for reports in [None, Some(4_500_000)] {
            for audio_starts in [0, 250_000, 3_000_000] {
                for jitter in [0, 15_000] {
                    let sources = [
                        Source {
                            starts: audio_starts,
                            jitter,
                            reports,
                            ..audio()
                        },
                        Source {
                            jitter,
                            reports,
                            ..video()
                        },
                    ];
                    let mut clock = CallClock::new();
                    let out = run(&mut clock, &sources, 0, 60_000_000, 7);
                    let skew = out.worst_skew(audio_starts);
                    assert!(
                        skew <= 20_000,
                        "{reports:?} {audio_starts} {jitter}: {skew}"
                    );
                    assert!(out.published <= 20_000);
                    assert_eq!(clock.is_reported(), reports.is_some());
                }
            }
        }
    }

    #[test]
    fn an_hour_of_drift_either_way_is_followed() {
        for reports in [None, Some(4_500_000)] {
            for (audio_ppm, video_ppm) in [(200, 0), (-200, 0), (0, 200), (200, -200), (-200, 200)]
            {
                let sources = [
                    Source {
                        ppm: audio_ppm,
                        reports,
                        ..audio()
                    },
                    Source {
                        ppm: video_ppm,
                        reports,
                        ..video()
                    },
                ];
                let mut clock = CallClock::new();
                let out = run(&mut clock, &sources, 0, 3_600_000_000, 3);
                let skew = out.worst_skew(0);
                assert!(skew <= 6_000, "{audio_ppm} {video_ppm} {reports:?}: {skew}");
                // Neither runs away from arrival.
                let last = out.audio.last().unwrap();
                assert!((last.time - last.at).abs() <= 6_000);
                assert_eq!(clock.counters().jumps, 0);
            }
        }
    }

    #[test]
    fn reports_are_slewed_to_by_5_ms_a_second_and_never_in_a_step() {
        // An encoder that takes 120 ms: arrival puts the picture late by as much.
        let reports = Some(4_500_000);
        let sources = [
            Source { reports, ..audio() },
            Source {
                delay: 150_000,
                reports,
                ..video()
            },
        ];
        let mut clock = CallClock::new();
        let out = run(&mut clock, &sources, 0, 60_000_000, 1);
        let skews = out.skews(0);
        assert!(skews[0] > 110_000);
        assert!(
            skews
                .windows(2)
                .all(|pair| (pair[1] - pair[0]).abs() <= 5_300),
            "{skews:?}"
        );
        assert!(
            skews[45..].iter().all(|skew| skew.abs() <= 2_000),
            "{skews:?}"
        );
        for pair in out.video.windows(2) {
            let step = (pair[1].time - pair[0].time) - (pair[1].at - pair[0].at);
            assert!(step.abs() <= 33_333 / 200 + 24, "{step}");
        }
    }

    #[test]
    fn a_report_before_the_first_frame_starts_the_track_right() {
        let mut clock = CallClock::new();
        run(
            &mut clock,
            &[Source {
                reports: Some(1_000_000),
                ..audio()
            }],
            0,
            4_000_000,
            1,
        );
        let video = Source {
            delay: 150_000,
            starts: 4_000_000,
            ..video()
        };
        clock.handle_sender_report(
            Track::Video,
            instant(4_140_000),
            ntp(4_000_000),
            video.rtp(4_000_000),
        );
        let out = run(&mut clock, &[audio(), video], 4_000_000, 6_000_000, 1);
        assert!(
            out.worst_skew(4_000_000) <= 1_000,
            "{:?}",
            out.skews(4_000_000)
        );
        assert!(clock.is_reported());
    }

    #[test]
    fn reports_that_are_plainly_wrong_change_nothing() {
        let mut clock = CallClock::new();
        let reports = Some(4_500_000);
        let sources = [Source { reports, ..audio() }, Source { reports, ..video() }];
        run(&mut clock, &sources, 0, 20_000_000, 1);
        let at = instant(20_050_000);
        let rtp = video().rtp(20_000_000);
        clock.handle_sender_report(Track::Video, at, ntp(20_000_000), rtp);
        let believed = clock.counters().reports;
        let at = instant(20_250_000);
        let rtp = video().rtp(20_200_000);
        for (wall, rtp_timestamp) in [
            (NtpTime(0), rtp),
            // The wall clock goes back a little and a lot, and far ahead.
            (ntp(19_700_000), rtp),
            (ntp(5_000_000), rtp),
            (ntp(900_000_000), rtp),
            // The RTP time is a minute off.
            (ntp(20_200_000), rtp.wrapping_add(60 * VIDEO_RATE)),
        ] {
            clock.handle_sender_report(Track::Video, at, wall, rtp_timestamp);
        }
        assert_eq!(clock.counters().reports_ignored, 5);
        assert_eq!(clock.counters().reports, believed);
        assert!(clock.is_reported());
        let out = run(&mut clock, &[audio(), video()], 20_260_000, 40_000_000, 1);
        assert!(out.worst_skew(20_260_000) <= 2_000);
    }

    #[test]
    fn reports_that_contradict_arrival_are_ignored_and_counted() {
        // The picture's wall clock is another one than the voice's.
        let mut clock = CallClock::new();
        run(&mut clock, &[audio(), video()], 0, 1_000_000, 1);
        let (voice, picture) = (audio().rtp(1_000_000), video().rtp(1_000_000));
        let now = instant(1_030_000);
        clock.handle_sender_report(Track::Audio, now, ntp(1_000_000), voice);
        clock.handle_sender_report(Track::Video, now, ntp(9_000_000), picture);
        assert!(!clock.is_reported());
        assert_eq!(clock.counters().reports_ignored, 1);
        let out = run(&mut clock, &[audio(), video()], 1_020_000, 20_000_000, 1);
        assert!(out.worst_skew(1_020_000) <= 1_000);
    }

    #[test]
    fn a_wall_clock_that_was_set_is_believed_again_without_a_wobble() {
        let mut clock = CallClock::new();
        let (audio, video) = (audio(), video());
        let mut out = Run::default();
        for second in 0..60 {
            let at = second * 1_000_000;
            let part = run(
                &mut clock,
                &[audio.clone(), video.clone()],
                at,
                at + 1_000_000,
                1,
            );
            out.audio.extend(part.audio);
            out.video.extend(part.video);
            if second % 5 == 4 {
                // Set back by half a minute at 22 seconds.
                let set = if second > 22 { -30_000_000 } else { 0 };
                for source in [&audio, &video] {
                    let rtp = source.rtp(at);
                    clock.handle_sender_report(source.track, instant(at), ntp(at + set), rtp);
                }
            }
        }
        assert_eq!(clock.counters().reports_ignored, 2);
        assert!(clock.is_reported());
        assert!(out.worst_skew(0) <= 1_000, "{:?}", out.skews(0));
    }

    #[test]
    fn what_reports_told_is_kept_when_they_end_with_their_source() {
        let reports = Some(2_000_000);
        let voice = Source { reports, ..audio() };
        let picture = Source {
            delay: 100_000,
            reports,
            ..video()
        };
        let mut clock = CallClock::new();
        run(&mut clock, &[voice, picture], 0, 40_000_000, 1);
        clock.source_changed(Track::Video);
        let picture = Source {
            delay: 100_000,
            base: 77,
            ..video()
        };
        let out = run(&mut clock, &[audio(), picture], 40_000_000, 80_000_000, 1);
        assert!(!clock.is_reported());
        assert!(
            out.worst_skew(40_000_000) <= 5_000,
            "{:?}",
            out.skews(40_000_000)
        );
    }

    #[test]
    fn another_source_continues_the_running_clock() {
        let mut clock = CallClock::new();
        let mut before = run(&mut clock, &[audio(), video()], 0, 10_000_000, 1);
        clock.source_changed(Track::Audio);
        clock.source_changed(Track::Video);
        let sources = [
            Source { base: 5, ..audio() },
            Source {
                base: 0x8000_0000,
                ..video()
            },
        ];
        let after = run(&mut clock, &sources, 10_000_000, 20_000_000, 2);
        for (before, after, spacing) in [
            (&before.audio, &after.audio, 20_000),
            (&before.video, &after.video, 33_333),
        ] {
            let gap = after[0].time - before.last().unwrap().time;
            assert!(gap > 0 && gap <= spacing + 12, "{gap}");
        }
        before.audio.extend(after.audio);
        before.video.extend(after.video);
        assert!(before.worst_skew(0) <= 1_000);
        assert_eq!(clock.counters().sources, 2);
        assert_eq!(clock.counters().jumps, 0);
    }

    #[test]
    fn a_source_changed_before_any_frame_is_nothing() {
        let mut clock = CallClock::new();
        clock.source_changed(Track::Video);
        let out = run(&mut clock, &[video()], 0, 1_000_000, 1);
        assert_eq!(out.video[0].time, 0);
    }

    #[test]
    fn timestamps_that_jump_are_anchored_to_the_running_clock() {
        for jump in [-60, -1, 1, 30, 20_000] {
            let mut clock = CallClock::new();
            let mut out = run(&mut clock, &[audio(), video()], 0, 10_000_000, 1);
            let ticks = jump * i64::from(VIDEO_RATE);
            let jumped = Source {
                base: video().base.wrapping_add(ticks as u32),
                ..video()
            };
            let after = run(&mut clock, &[audio(), jumped], 10_000_000, 20_000_000, 1);
            let spacing = after.video[2].time - after.video[1].time;
            assert!((spacing - 33_333).abs() <= 200, "{jump} s: {spacing}");
            out.audio.extend(after.audio);
            out.video.extend(after.video);
            assert!(out.worst_skew(0) <= 1_000, "{jump} s: {:?}", out.skews(0));
            assert_eq!(clock.counters().jumps, 1, "{jump} s");
        }
    }

    #[test]
    fn a_frame_out_of_order_is_moved_up_and_counted() {
        let mut clock = CallClock::new();
        let mut times = Vec::new();
        for (at, frame) in [0_u32, 3, 1, 2, 4].into_iter().enumerate() {
            let received = instant(at as i64 * 33_333);
            times.push(clock.frame_time(Track::Video, frame * 3_000, VIDEO_RATE, received));
        }
        let micros: Vec<_> = times.iter().map(|time| time.as_micros()).collect();
        assert!((micros[1] - 100_000).abs() < 1_000, "{micros:?}");
        assert_eq!(micros[2] - micros[1], 1_000);
        assert_eq!(micros[3] - micros[2], 1_000);
        assert!((micros[4] - 133_333).abs() < 1_000, "{micros:?}");
        assert_eq!(clock.counters().clamped, 2);
        assert_eq!(clock.counters().jumps, 0);
    }

    #[test]
    fn a_clock_that_stood_during_hold_is_caught_up() {
        // After a short hold it may have been the network; after a long one it is sure at once.
        for (hold, caught_up) in [(5, 1_100_000), (60, 0)] {
            let mut clock = CallClock::new();
            run(&mut clock, &[audio(), video()], 0, 10_000_000, 1);
            // The voice alone was on hold, and its timestamps know nothing of it.
            let end = 10_000_000 + hold * 1_000_000;
            let gone = hold as u32 * AUDIO_RATE;
            let voice = Source {
                base: audio().base.wrapping_sub(gone),
                ..audio()
            };
            run(&mut clock, &[video()], 10_000_000, end, 1);
            let out = run(&mut clock, &[voice, video()], end, end + 10_000_000, 1);
            assert!(
                out.worst_skew(end + caught_up) <= 1_000,
                "{hold} s: {:?}",
                out.skews(end)
            );
            assert_eq!(clock.counters().jumps, 1);
        }
    }

    #[test]
    fn jitter_does_not_pull_a_track_along() {
        // The earliest packets count: jitter of the voice alone is no skew.
        let sources = [
            Source {
                jitter: 19_000,
                ..audio()
            },
            video(),
        ];
        let mut clock = CallClock::new();
        let out = run(&mut clock, &sources, 0, 60_000_000, 9);
        assert!(
            out.worst_skew(10_000_000) <= 2_000,
            "{:?}",
            out.skews(10_000_000)
        );
    }

    #[test]
    fn a_network_that_stalls_and_delivers_late_moves_nothing() {
        let mut clock = CallClock::new();
        let times: Vec<_> = (0..500_i64)
            .map(|frame| {
                let sent = frame * 20_000;
                // From 4 to 7 seconds nothing comes; then all of it at once.
                let arrival = if (4_000_000..7_000_000).contains(&sent) {
                    7_000_000
                } else {
                    sent
                };
                clock.frame_time(
                    Track::Audio,
                    frame as u32 * 160,
                    AUDIO_RATE,
                    instant(arrival),
                )
            })
            .collect();
        for (frame, time) in times.iter().enumerate() {
            let off = time.as_micros() - frame as i64 * 20_000;
            assert!(off.abs() <= 1_000, "frame {frame}: {off}");
        }
        assert_eq!(clock.counters().jumps, 0);
    }

    #[test]
    fn a_first_picture_that_comes_late_does_not_hold_the_others_back() {
        let mut clock = CallClock::new();
        let mut out = Run::default();
        for frame in 0..1_000_i64 {
            let at = frame * 20_000;
            let time = clock.frame_time(Track::Audio, frame as u32 * 160, AUDIO_RATE, instant(at));
            out.audio.push(Out {
                at,
                time: time.as_micros(),
            });
            // The encoder needs 400 ms for its first picture and has caught up after ten.
            let arrival = at + (400_000 - frame * 40_000).max(0);
            let rtp = frame as u32 * 1_800;
            let time = clock.frame_time(Track::Video, rtp, VIDEO_RATE, instant(arrival));
            out.video.push(Out {
                at,
                time: time.as_micros(),
            });
        }
        assert!(out.worst_skew(1_000_000) <= 81_000, "{:?}", out.skews(0));
        assert!(out.worst_skew(14_000_000) <= 20_000, "{:?}", out.skews(0));
    }

    #[test]
    fn lateness_that_both_tracks_share_is_no_skew() {
        // 60 ms of jitter on the first packets only.
        let mut clock = CallClock::new();
        let late = |source: Source| Source {
            delay: 90_000,
            ..source
        };
        run(&mut clock, &[late(audio())], 0, 60_000, 1);
        let out = run(&mut clock, &[audio(), video()], 60_000, 30_000_000, 1);
        assert!(out.worst_skew(60_000) <= 20_000, "{:?}", out.skews(60_000));
    }

    #[test]
    fn a_new_clock_rate_is_another_source() {
        let mut clock = CallClock::new();
        let before = run(&mut clock, &[audio()], 0, 1_000_000, 1);
        let wide = Source {
            rate: 16_000,
            base: 9,
            ..audio()
        };
        let after = run(&mut clock, &[wide], 1_000_000, 2_000_000, 1);
        assert_eq!(
            after.audio[0].time - before.audio.last().unwrap().time,
            20_000
        );
        assert_eq!(after.audio.last().unwrap().time, 1_980_000);
    }

    #[test]
    fn whatever_comes_times_rise_and_nothing_panics() {
        for seed in 0..20 {
            let mut rng = Rng::from_number(seed);
            let mut clock = CallClock::new();
            let mut now = 0_u64;
            let mut last = [MediaTime::from_micros(-1); 2];
            for _ in 0..5_000 {
                let track = if rng.below(2) == 0 {
                    Track::Audio
                } else {
                    Track::Video
                };
                now = match rng.below(50) {
                    0 => rng.u64(),
                    1 => u64::MAX - u64::from(rng.u32()),
                    _ => now.saturating_add(u64::from(rng.below(40_000))),
                };
                let at = Instant::from_micros(now);
                match rng.below(20) {
                    0 => clock.source_changed(track),
                    1..4 => {
                        clock.handle_sender_report(track, at, NtpTime(rng.u64()), rng.u32());
                    }
                    _ => {
                        let rate = if rng.below(100) == 0 {
                            rng.u32()
                        } else {
                            8_000
                        };
                        let time = clock.frame_time(track, rng.u32() >> rng.below(32), rate, at);
                        let last = &mut last[usize::from(track == Track::Video)];
                        assert!(time > *last || time.as_micros() == i64::MAX);
                        *last = time;
                    }
                }
                clock.skew_micros();
            }
        }
    }
}
