//! What streams carry: rates over the last seconds, pictures and keyframes, measured on the frames as
//! they enter a stream's log.

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
use core::time::Duration;

use crate::base::codec::{CodecConfig, Track};
use crate::base::frame_log::FrameLog;
use crate::base::time::{Instant, MediaTime};
use crate::gateway::Gateway;
use crate::gateway::outlet::CallIndex;

/// Rates are those of a window of this length; the last whole one is told.
const WINDOW: Duration = Duration::from_secs(2);

/// What was counted of one track.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    frames: u64,
    bytes: u64,
}

/// What is told of one track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackRate {
    /// Frames since the stream began.
    pub frames: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bits a second, lately.
    pub bitrate: u64,
    /// Frames a second, lately.
    pub frame_rate: u64,
}

/// What browsers need to be asked whether they play a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decoder {
    /// H.264 with the three bytes of its sequence parameter set that name profile and level.
    Avc([u8; 3]),
    Vp8,
    Opus,
    /// AAC with its audio object type (ISO/IEC 14496-3, 1.6.2.1).
    Aac(u8),
    Pcma,
    Pcmu,
}

impl Decoder {
    /// `None` for what no browser plays.
    fn of(config: &CodecConfig) -> Option<Self> {
        match config {
            CodecConfig::H264(config) => match config.sps.as_slice() {
                [_, profile, constraints, level, ..] => {
                    Some(Self::Avc([*profile, *constraints, *level]))
                }
                _ => None,
            },
            CodecConfig::Vp8(_) => Some(Self::Vp8),
            CodecConfig::Opus { .. } => Some(Self::Opus),
            CodecConfig::Aac(config) => match config.specific.as_slice() {
                // The escape of a longer number.
                [first, second, ..] if first >> 3 == 31 => Some(Self::Aac(
                    32_u8.saturating_add((first & 7) << 3 | second >> 5),
                )),
                [first, ..] => Some(Self::Aac(first >> 3)),
                [] => None,
            },
            CodecConfig::Speex => None,
            CodecConfig::Pcma => Some(Self::Pcma),
            CodecConfig::Pcmu => Some(Self::Pcmu),
        }
    }
}

impl fmt::Display for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Avc([profile, constraints, level]) => {
                write!(f, "avc1.{profile:02x}{constraints:02x}{level:02x}")
            }
            Self::Vp8 => f.write_str("vp08"),
            Self::Opus => f.write_str("opus"),
            Self::Aac(object_type) => write!(f, "mp4a.40.{object_type}"),
            Self::Pcma => f.write_str("pcma"),
            Self::Pcmu => f.write_str("pcmu"),
        }
    }
}

/// The measure of one stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamMeter {
    /// Which call it is of.
    call: u64,
    /// When the stream's name was taken.
    since: Instant,
    /// Positions of the log before this one were looked at.
    seen: u64,
    window: Instant,
    at_window: [Counted; 2],
    rates: [TrackRate; 2],
    /// Time of each track's newest frame on the call's clock.
    last: [Option<MediaTime>; 2],
    picture: (u16, u16),
    keyframes: u64,
    keyframe_at: Option<Instant>,
    /// What a decoder of the newest keyframe must know, and of the newest sound.
    decoders: [Option<Decoder>; 2],
    /// Pictures since the last keyframe, and between the last two.
    pictures: u32,
    distance: u32,
}

impl StreamMeter {
    /// The measure of a call's stream from now on.
    pub fn new(now: Instant, call: u64) -> Self {
        Self {
            call,
            since: now,
            seen: 0,
            window: now,
            at_window: [Counted::default(); 2],
            rates: [TrackRate::default(); 2],
            last: [None; 2],
            picture: (0, 0),
            keyframes: 0,
            keyframe_at: None,
            decoders: [None; 2],
            pictures: 0,
            distance: 0,
        }
    }

    /// Looks at what is new in the log.
    pub fn look(&mut self, now: Instant, log: &FrameLog) {
        self.turn(now);
        for position in self.seen.max(log.start())..log.end() {
            let Some(view) = log.get(position) else { break };
            let frame = view.frame();
            let ([audio, video], [heard, seen]) = (&mut self.rates, &mut self.last);
            let (rate, last) = match frame.track {
                Track::Audio => (audio, heard),
                Track::Video => (video, seen),
            };
            *last = Some(frame.time);
            rate.frames = rate.frames.saturating_add(1);
            rate.bytes = rate.bytes.saturating_add(view.len() as u64);
            let [hears, sees] = &mut self.decoders;
            if frame.track == Track::Audio {
                *hears = Decoder::of(&frame.config);
                continue;
            }
            if frame.keyframe {
                *sees = Decoder::of(&frame.config);
                self.keyframes = self.keyframes.saturating_add(1);
                self.keyframe_at = Some(frame.received);
                self.distance = core::mem::take(&mut self.pictures);
                self.picture = match &*frame.config {
                    CodecConfig::H264(config) => (config.width, config.height),
                    CodecConfig::Vp8(config) => (config.width, config.height),
                    _ => self.picture,
                };
            }
            self.pictures = self.pictures.saturating_add(1);
        }
        self.seen = log.end();
    }

    /// Bytes of all frames so far.
    fn bytes(&self) -> u64 {
        let [audio, video] = self.rates;
        audio.bytes.saturating_add(video.bytes)
    }

    /// Ends the window once it has lasted.
    fn turn(&mut self, now: Instant) {
        let lasted = now.since(self.window);
        if lasted < WINDOW {
            return;
        }
        let millis = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
        for (rate, before) in self.rates.iter_mut().zip(&mut self.at_window) {
            let a_second = |count: u64| count.saturating_mul(1_000).checked_div(millis);
            let bits = rate.bytes.saturating_sub(before.bytes).saturating_mul(8);
            let frames = rate.frames.saturating_sub(before.frames);
            rate.bitrate = a_second(bits).unwrap_or_default();
            // To the nearest.
            let halves = frames.saturating_mul(2);
            let rounded = a_second(halves).unwrap_or_default().saturating_add(1);
            rate.frame_rate = rounded.checked_div(2).unwrap_or_default();
            *before = Counted {
                frames: rate.frames,
                bytes: rate.bytes,
            };
        }
        self.window = now;
    }

    /// Which call it is of.
    pub fn call(&self) -> u64 {
        self.call
    }

    /// When the stream's name was taken.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// What a track carries; what it carried lately is over when nothing came for two windows.
    pub fn rate(&self, now: Instant, track: Track) -> TrackRate {
        let [audio, video] = self.rates;
        let rate = match track {
            Track::Audio => audio,
            Track::Video => video,
        };
        if now.since(self.window) >= WINDOW.saturating_mul(2) {
            return TrackRate {
                bitrate: 0,
                frame_rate: 0,
                ..rate
            };
        }
        rate
    }

    /// The time of a track's newest frame on the call's clock, in milliseconds.
    pub fn last_millis(&self, track: Track) -> Option<i64> {
        let [audio, video] = self.last;
        let last = match track {
            Track::Audio => audio,
            Track::Video => video,
        };
        last.map(|time| time.as_micros().div_euclid(1_000))
    }

    /// Width and height of the picture; 0 before the first keyframe.
    pub fn picture(&self) -> (u16, u16) {
        self.picture
    }

    /// The name that browsers have for the picture's codec with its profile (RFC 6381).
    pub fn live_video(&self) -> Option<String> {
        let [_, video] = self.decoders;
        video.map(|decoder| decoder.to_string())
    }

    /// The same for the sound; `pcma` and `pcmu` for G.711, which a page decodes by itself.
    pub fn live_audio(&self) -> Option<String> {
        let [audio, _] = self.decoders;
        audio.map(|decoder| decoder.to_string())
    }

    /// Keyframes so far.
    pub fn keyframes(&self) -> u64 {
        self.keyframes
    }

    /// How old the newest keyframe is.
    pub fn keyframe_age(&self, now: Instant) -> Option<Duration> {
        self.keyframe_at.map(|at| now.since(at))
    }

    /// Pictures from one keyframe to the next, the last time.
    pub fn keyframe_distance(&self) -> u32 {
        self.distance
    }
}

/// The measures of all streams, by the place of their call.
pub(super) struct StreamMeters {
    meters: Vec<Option<StreamMeter>>,
    /// Bytes of all frames of all calls so far.
    bytes: u64,
}

impl StreamMeters {
    /// Room for as many calls.
    pub fn new(calls: usize) -> Self {
        Self {
            meters: vec![None; calls],
            bytes: 0,
        }
    }

    /// Bytes of all frames of all calls so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The measure at a place, if it is of this call.
    pub fn get(&self, index: CallIndex, call: u64) -> Option<&StreamMeter> {
        let meter = self.meters.get(usize::from(index.0))?.as_ref();
        meter.filter(|meter| meter.call == call)
    }
}

impl Gateway {
    /// Measures what is new in a call's stream.
    pub(super) fn measure(&mut self, now: Instant, index: CallIndex) {
        let Some(call) = self.calls.get(index) else {
            return;
        };
        let number = call.label.number;
        if let Some(place) = self.meters.meters.get_mut(usize::from(index.0)) {
            if place.as_ref().is_none_or(|meter| meter.call != number) {
                *place = Some(StreamMeter::new(now, number));
            }
            if let Some(meter) = place {
                let before = meter.bytes();
                meter.look(now, &call.log);
                let new = meter.bytes().saturating_sub(before);
                self.meters.bytes = self.meters.bytes.saturating_add(new);
            }
        }
    }

    /// The measure of a call's stream.
    pub(super) fn meter(&self, index: CallIndex) -> Option<&StreamMeter> {
        let call = self.calls.get(index)?;
        self.meters.get(index, call.label.number)
    }

    /// Width and height of a stream's picture; 0 before its first keyframe.
    pub(super) fn picture_size(&self, index: CallIndex) -> (u16, u16) {
        self.meter(index).map_or((0, 0), StreamMeter::picture)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::base::codec::Vp8Config;
    use crate::base::frame_log::{Frame, Segment};
    use crate::base::packet_pool::PacketPool;

    fn push(log: &mut FrameLog, pool: &PacketPool, now: Instant, track: Track, keyframe: bool) {
        let mut segments = heapless::Vec::<Segment, 1>::new();
        let packet = pool.copy_from(&[7; 100]).unwrap();
        segments.push(Segment::new(&[], packet)).unwrap();
        let config = match track {
            Track::Audio => CodecConfig::Pcma,
            Track::Video => CodecConfig::Vp8(Vp8Config {
                width: 640,
                height: 360,
            }),
        };
        let frame = Frame {
            track,
            time: MediaTime::from_micros(0),
            composition: 0,
            keyframe,
            config: Rc::new(config),
            received: now,
        };
        log.push(frame, &mut segments).unwrap();
    }

    #[test]
    fn rates_and_keyframes_are_those_of_the_log() {
        let (pool, mut log) = (PacketPool::new(8), FrameLog::new());
        let mut meter = StreamMeter::new(Instant::ZERO, 1);
        let mut now = Instant::ZERO;
        for at in 0..600_u32 {
            now = now + Duration::from_millis(20);
            push(&mut log, &pool, now, Track::Audio, true);
            if at % 2 == 0 {
                push(&mut log, &pool, now, Track::Video, at % 100 == 0);
            }
            meter.look(now, &log);
            log.release_before(log.end());
        }
        let audio = meter.rate(now, Track::Audio);
        let video = meter.rate(now, Track::Video);
        assert_eq!((audio.frames, audio.bytes), (600, 60_000));
        assert_eq!((audio.bitrate, audio.frame_rate), (40_000, 50));
        assert_eq!((video.frames, video.frame_rate), (300, 25));
        assert_eq!(meter.picture(), (640, 360));
        assert_eq!((meter.keyframes(), meter.keyframe_distance()), (6, 50));
        let age = meter.keyframe_age(now).unwrap();
        assert_eq!(age, Duration::from_millis(20 * 99));
    }

    #[test]
    fn a_stream_that_stands_still_has_no_rate() {
        let (pool, mut log) = (PacketPool::new(64), FrameLog::new());
        let mut meter = StreamMeter::new(Instant::ZERO, 1);
        for at in 0..40 {
            let now = Instant::from_millis(at * 100);
            push(&mut log, &pool, now, Track::Audio, true);
            meter.look(now, &log);
        }
        let last = Instant::from_millis(3_900);
        assert_eq!(meter.rate(last, Track::Audio).frame_rate, 10);
        let later = Instant::from_millis(9_000);
        assert_eq!(meter.rate(later, Track::Audio).bitrate, 0);
        assert_eq!(meter.rate(later, Track::Audio).frames, 40);
        assert_eq!(meter.keyframe_age(later), None);
    }
}
