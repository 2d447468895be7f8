use super::*;
use crate::base::codec::{CodecConfig, CodecSet};
use crate::base::frame_log::{Frame, FrameLog, Segment};
use crate::base::packet_pool::PacketPool;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::rtmp::media_place::{Body, Form, Place, Skip};
use crate::rtmp::takes::Takes;
use crate::wire::aac::audio_specific_config;
use crate::wire::opus::OpusPacket;

const FORM: Form = Form {
    stream_id: 1,
    to_publish: true,
    first_timestamp: 0,
    takes: Takes::legacy(),
};

/// Lengths of Opus packets in tenths of a millisecond.
const LENGTHS: [u32; 7] = [25, 50, 100, 200, 400, 600, 1_200];

/// An Opus packet that lasts so many tenths of a millisecond, told from others by a mark.
fn opus(tenths: u32, mark: u8) -> Vec<u8> {
    match tenths {
        25 => vec![0xe0, mark],
        50 => vec![0xe8, mark],
        100 => vec![0xf0, mark],
        200 => vec![0xf8, mark],
        _ => {
            let frames = (tenths / 200) as u8;
            [&[0xfb, frames][..], &vec![mark; frames.into()]].concat()
        }
    }
}

const OPUS: CodecConfig = CodecConfig::Opus { channels: 2 };

fn aac(specific: &[u8]) -> CodecConfig {
    CodecConfig::Aac(audio_specific_config(specific).unwrap())
}

fn framed(config: CodecConfig, frames: &[Vec<u8>], repeats: bool, then_silence: bool) -> Voice {
    let ends = frames.iter().scan(0, |end, frame| {
        *end += frame.len() as u32;
        Some(*end)
    });
    let sound = PreparedSound {
        config: Rc::new(config),
        frame_ends: ends.collect(),
        bytes: frames.concat().into(),
        repeats,
    };
    Voice::Sound {
        sound: Rc::new(sound),
        then_silence,
    }
}

/// A stream of sound, and what goes out of it.
struct Stream {
    log: FrameLog,
    pool: PacketPool,
    config: Rc<CodecConfig>,
    place: Place,
    /// Frames of the caller's that were left out.
    covered: usize,
}

impl Stream {
    fn of(config: CodecConfig) -> Self {
        let takes = Takes::from_listed(CodecSet::ALL);
        Self {
            log: FrameLog::new(),
            pool: PacketPool::new(4),
            config: Rc::new(config),
            place: Place::at(0, takes),
            covered: 0,
        }
    }

    /// The caller sends a frame; what goes out, with its time in milliseconds.
    fn send(&mut self, voice: &Voice, micros: i64, bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let mut segments = heapless::Vec::<Segment, 1>::new();
        let packet = self.pool.copy_from(bytes).unwrap();
        segments.push(Segment::new(&[], packet)).unwrap();
        let frame = Frame {
            track: Track::Audio,
            time: MediaTime::from_micros(micros),
            composition: 0,
            keyframe: true,
            config: Rc::clone(&self.config),
            received: Instant::ZERO,
        };
        self.log.push(frame, &mut segments).unwrap();
        if self.place.origin.is_none() {
            self.place.survey(&self.log);
        }
        let mut out = Vec::new();
        let mut steps = 0;
        while let Some(planned) = self.place.next(&FORM, voice, &self.log) {
            if let Body::Frame { stand_in, tag, .. } = &planned.body {
                let mut body = Vec::new();
                match stand_in {
                    None => body.extend_from_slice(bytes),
                    Some(stand_in) => {
                        stand_in.pieces(voice.sound().map(Rc::as_ref), |piece| {
                            body.extend_from_slice(piece);
                            true
                        });
                    }
                }
                assert_eq!(planned.head.length as usize, tag.len() + body.len());
                out.push((planned.head.timestamp, body));
            }
            self.covered += usize::from(matches!(planned.body, Body::Skip(Skip::Covered)));
            self.place.advance(&planned, &self.log);
            steps += 1;
            assert!(steps < 200, "a frame that keeps its turn for ever");
        }
        self.log.release_before(self.place.cursor);
        out
    }
}

fn pieces(voice: &Voice, stand_in: StandIn) -> Vec<u8> {
    let mut all = Vec::new();
    stand_in.pieces(voice.sound().map(Rc::as_ref), |piece| {
        all.extend_from_slice(piece);
        true
    });
    assert_eq!(all.len(), stand_in.len());
    all
}

fn samples(samples: &[u8], repeats: bool) -> Voice {
    let sound = PreparedSound {
        config: Rc::new(CodecConfig::Pcmu),
        bytes: samples.into(),
        frame_ends: Box::default(),
        repeats,
    };
    Voice::Sound {
        sound: Rc::new(sound),
        then_silence: false,
    }
}

#[test]
fn samples_end_with_silence_or_begin_anew() {
    let piece = StandIn::Sound {
        from: 2,
        samples: 6,
        next: 0,
    };
    let all = [1, 2, 3, 4];
    assert_eq!(
        pieces(&samples(&all, false), piece),
        [3, 4, 0xff, 0xff, 0xff, 0xff]
    );
    assert_eq!(pieces(&samples(&all, true), piece), [3, 4, 1, 2, 3, 4]);
    let beyond = StandIn::Sound {
        from: 1_000,
        samples: 300,
        next: 0,
    };
    assert_eq!(pieces(&samples(&[1], false), beyond), [0xff; 300]);
    assert_eq!(pieces(&samples(&[1], true), beyond), [1; 300]);
    assert_eq!(pieces(&samples(&[], true), beyond), [0xff; 300]);
}

#[test]
fn samples_that_repeat_do_so_for_weeks() {
    let voice = samples(&[1, 2, 3], true);
    let sound = voice.sound().unwrap();
    let mut at = 0;
    // Frames of 20 ms.
    for _ in 0..1_000 {
        at = sound.after(at, 160);
        assert!(at < 3);
    }
    assert_eq!(at, 160_000 % 3);
    assert_eq!(
        samples(&[1, 2, 3], false).sound().unwrap().after(160, 160),
        320
    );
    assert_eq!(samples(&[], true).sound().unwrap().after(0, 160), 0);
}

#[test]
fn samples_are_over_at_their_end_unless_they_repeat() {
    let once = samples(&[1, 2], false);
    assert!(!once.is_over(0) && !once.is_over(1) && once.is_over(2));
    assert!(!samples(&[1, 2], true).is_over(1_000));
    assert!(samples(&[], true).is_over(0));
    assert!(!Voice::Silence.is_over(9));
}

#[test]
fn frames_as_long_as_the_callers_take_their_places_and_times() {
    for (config, every) in [
        (OPUS, 20_000),
        (CodecConfig::Speex, 20_000),
        (aac(&[0x12, 0x10]), 23_220),
        (aac(&[0x11, 0x94]), 20_000),
    ] {
        let frames: Vec<_> = (0..5).map(|mark| opus(200, mark)).collect();
        let voice = framed(config.clone(), &frames, false, false);
        let mut stream = Stream::of(config);
        for at in 0..9_i64 {
            // Times that are not quite regular.
            let micros = at * every + [0, 1, 3_000, -2_000, 7_000][at as usize % 5];
            let out = stream.send(&voice, micros, &opus(200, 99));
            let expected = frames.get(at as usize).cloned().unwrap_or(opus(200, 99));
            assert_eq!(out, [((micros / 1_000) as u32, expected)], "frame {at}");
        }
        assert_eq!(stream.covered, 0);
    }
}

#[test]
fn several_frames_go_in_the_place_of_a_longer_one() {
    let frames: Vec<_> = (0..5).map(|mark| opus(200, mark)).collect();
    let voice = framed(OPUS, &frames, false, false);
    let mut stream = Stream::of(OPUS);
    let mut out = Vec::new();
    for at in 0..4 {
        out.extend(stream.send(&voice, at * 60_000, &opus(600, 99)));
    }
    let own = opus(600, 99);
    let sound = |mark: u8| (u32::from(mark) * 20, frames[usize::from(mark)].clone());
    let expected = [
        sound(0),
        sound(1),
        sound(2),
        sound(3),
        sound(4),
        (120, own.clone()),
        (180, own),
    ];
    assert_eq!(out, expected);
}

#[test]
fn one_frame_goes_in_the_place_of_several_shorter_ones() {
    let frames: Vec<_> = (0..2).map(|mark| opus(600, mark)).collect();
    for (then_silence, after) in [(false, opus(200, 99)), (true, vec![0xf8, 0xff, 0xfe])] {
        let voice = framed(OPUS, &frames, false, then_silence);
        let mut stream = Stream::of(OPUS);
        let mut out = Vec::new();
        for at in 0..8 {
            out.extend(stream.send(&voice, at * 20_000, &opus(200, 99)));
        }
        let expected = [
            (0, frames[0].clone()),
            (60, frames[1].clone()),
            (120, after.clone()),
            (140, after),
        ];
        assert_eq!(out, expected);
        assert_eq!(stream.covered, 4);
    }
}

#[test]
fn a_sound_that_is_switched_off_is_heard_to_the_end_of_its_frame() {
    let voice = framed(OPUS, &[opus(1_200, 1)], true, false);
    let mut stream = Stream::of(OPUS);
    assert_eq!(stream.send(&voice, 0, &opus(200, 99)).len(), 1);
    let mut times = Vec::new();
    for at in 1..9 {
        let out = stream.send(&Voice::Caller, at * 20_000, &opus(200, 99));
        times.extend(out.iter().map(|(time, _)| *time));
    }
    assert_eq!(times, [120, 140, 160]);
}

#[test]
fn packets_that_the_caller_lost_are_made_up_for_and_longer_pauses_are_not() {
    let frames: Vec<_> = (0..20).map(|mark| opus(200, mark)).collect();
    let voice = framed(OPUS, &frames, false, false);
    let mut stream = Stream::of(OPUS);
    let mut times = Vec::new();
    for millis in [0, 20, 80, 100, 5_000, 5_020] {
        let out = stream.send(&voice, millis * 1_000, &opus(200, 99));
        times.extend(out.iter().map(|(time, body)| (*time, body[1])));
    }
    let expected = [
        (0, 0),
        (20, 1),
        (40, 2),
        (60, 3),
        (80, 4),
        (100, 5),
        (5_000, 6),
        (5_020, 7),
    ];
    assert_eq!(times, expected);
}

#[test]
fn a_track_that_is_decoded_otherwise_is_silent() {
    let frame = vec![0x21, 0, 0x49, 0x90];
    let voice = framed(aac(&[0x12, 0x10]), &[frame], true, false);
    for (config, silence) in [
        (aac(&[0x11, 0x88]), vec![0, 0, 0, 0x07]),
        (OPUS, vec![0xf8, 0xff, 0xfe]),
        (CodecConfig::Pcma, vec![0xd5; 2]),
    ] {
        let mut stream = Stream::of(config);
        assert_eq!(stream.send(&voice, 0, &opus(200, 9)), [(0, silence)]);
    }
}

#[test]
fn times_rise_without_gap_or_overlap_whatever_lasts_how_long() {
    let mut rng = Rng::from_number(12);
    for round in 0..300 {
        let pick = |rng: &mut Rng| LENGTHS[rng.below(7) as usize];
        let length = pick(&mut rng);
        let frames: Vec<_> = (0..100)
            .map(|mark| {
                let own = if round % 3 == 0 {
                    pick(&mut rng)
                } else {
                    length
                };
                opus(own, mark)
            })
            .collect();
        let sound = framed(OPUS, &frames, true, false);
        let mut stream = Stream::of(OPUS);
        let (mut micros, callers) = (0, pick(&mut rng));
        let mut out = Vec::new();
        let (mut heard, mut longest) = (0, 0);
        for at in 0..150 {
            let voice = if at / 40 % 2 == 0 {
                &sound
            } else {
                &Voice::Caller
            };
            let tenths = if round % 2 == 0 {
                pick(&mut rng)
            } else {
                callers
            };
            // What rounding makes of times.
            let micros_at = micros + i64::from(rng.below(3));
            for (time, body) in stream.send(voice, micros_at, &opus(tenths, 200)) {
                let lasts = OpusPacket::parse(&body).unwrap().samples / 48;
                if *body.last().unwrap() != 200 {
                    assert_eq!(body, frames[heard % 100], "in order, each once");
                    heard += 1;
                }
                longest = longest.max(lasts + 1);
                out.push((time, lasts));
            }
            longest = longest.max(tenths / 10 + 1);
            micros += i64::from(tenths) * 100;
        }
        assert!(heard > 0);
        for pair in out.windows(2) {
            let (time, lasts) = pair[0];
            let next = pair[1].0;
            assert!(next > time, "round {round}: {pair:?}");
            // Half a frame where a caller's of equal length comes after one of the sound's.
            let overlap = (time + lasts).saturating_sub(next);
            assert!(overlap <= lasts / 2 + 1, "round {round}: {pair:?}");
            let gap = next.saturating_sub(time + lasts);
            assert!(gap <= longest, "round {round}: {pair:?}");
        }
        // Over all, as much goes out as time passes.
        let sum: u32 = out.iter().map(|(_, lasts)| *lasts).sum();
        let passed = (micros / 1_000) as u32;
        assert!(sum <= passed + 400, "round {round}: {sum} of {passed}");
    }
}
