//! Senders of known clocks, the way of their packets, and what a call's clock makes of them.

use trunkcast::base::codec::Track;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::{Instant, NtpTime};
use trunkcast::rtp::call_clock::CallClock;

pub const AUDIO_RATE: u32 = 8_000;
pub const VIDEO_RATE: u32 = 90_000;

/// One track of a simulated sender. Times are microseconds of true time from the call's start.
#[derive(Clone)]
pub struct Source {
    pub track: Track,
    pub rate: u32,
    /// Time of one frame.
    pub spacing: i64,
    /// RTP time of true time zero.
    pub base: u32,
    /// How much faster its sample clock runs, in millionths.
    pub ppm: i64,
    pub starts: i64,
    /// The way's least delay and what jitter adds at most.
    pub delay: i64,
    pub jitter: u32,
    /// Every how many microseconds a sender report leaves.
    pub reports: Option<i64>,
    /// What is wrong with them.
    pub fault: Fault,
}

/// How a sender's reports are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They are right.
    None,
    /// No wall-clock time.
    ZeroWall,
    /// The wall clock is so many microseconds off.
    Off(i64),
    /// RTP time that is any.
    RandomRtp,
    /// RTP time so many microseconds off.
    RtpOff(i64),
    /// The RTP time of the first report in all.
    StaleRtp,
    /// Wall-clock time that is anything within so many microseconds.
    Noise(u32),
    /// Wall-clock time that runs backwards.
    Backwards,
    /// Wall-clock time that stands.
    Stands,
    /// Wall-clock time of a middlebox: that of the report's arrival.
    Arrival,
}

pub fn audio() -> Source {
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
        fault: Fault::None,
    }
}

pub fn video() -> Source {
    Source {
        track: Track::Video,
        rate: VIDEO_RATE,
        spacing: 33_333,
        base: 0xfff0_0000,
        ..audio()
    }
}

impl Source {
    pub fn rtp(&self, at: i64) -> u32 {
        let ticks = i128::from(at) * i128::from(self.rate) * i128::from(1_000_000 + self.ppm)
            / 1_000_000_000_000;
        self.base.wrapping_add(ticks as u32)
    }

    /// What a report that leaves at a moment says.
    pub fn report(&self, at: i64, arrival: i64, rng: &mut Rng) -> (NtpTime, u32) {
        let (wall, rtp) = (ntp(at), self.rtp(at));
        match self.fault {
            Fault::None => (wall, rtp),
            Fault::ZeroWall => (NtpTime(0), rtp),
            Fault::Off(by) => (ntp(at + by), rtp),
            Fault::RandomRtp => (wall, rng.u32()),
            Fault::RtpOff(by) => (wall, self.rtp(at + by)),
            Fault::StaleRtp => (wall, self.rtp(self.starts)),
            Fault::Noise(most) => (ntp(at + i64::from(rng.below(most))), rtp),
            Fault::Backwards => (ntp(-at), rtp),
            Fault::Stands => (ntp(0), rtp),
            Fault::Arrival => (ntp(arrival), rtp),
        }
    }
}

pub fn instant(micros: i64) -> Instant {
    // The process had been running for a while.
    Instant::from_micros((micros + 50_000_000) as u64)
}

pub fn ntp(micros: i64) -> NtpTime {
    NtpTime(((i128::from(micros) + 3_900_000_000_000_000) << 32).wrapping_div(1_000_000) as u64)
}

/// What came out: true time of the frame and its media time.
#[derive(Clone, Copy)]
pub struct Out {
    pub at: i64,
    pub time: i64,
}

#[derive(Default)]
pub struct Run {
    pub audio: Vec<Out>,
    pub video: Vec<Out>,
    /// Largest skew that the clock published once both tracks ran.
    pub published: i64,
}

impl Run {
    /// How much later the picture comes than the voice, over each second from `from` on, by the
    /// frames nearest to it.
    pub fn skews(&self, from: i64) -> Vec<i64> {
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

    pub fn worst_skew(&self, from: i64) -> i64 {
        let skews = self.skews(from);
        assert!(!skews.is_empty());
        skews.iter().map(|skew| skew.abs()).max().unwrap()
    }
}

/// Runs sources from true time `from` to `to`, everything in the order of arrival.
pub fn run(clock: &mut CallClock, sources: &[Source], from: i64, to: i64, seed: u64) -> Run {
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
            let (wall, rtp) = source.report(at, arrival, &mut rng);
            clock.handle_sender_report(source.track, instant(arrival), wall, rtp);
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
