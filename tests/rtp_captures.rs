//! What real phones sent, replayed through the whole gateway at the times at which it came: the
//! captures of `tests/data/captures`, whose README says how they were made.
//!
//! What must come out is put together here from the packets alone, without the library.

#[path = "rtp_captures/capture.rs"]
mod capture;
#[path = "rtp_captures/frames.rs"]
mod frames;
mod gateway_support;
mod rtp_support;

use std::time::Duration;

use capture::Capture;
use frames::{Frame, Sound};
use gateway_support::*;
use trunkcast::base::codec::{Codec, Track};
use trunkcast::rtp::call_clock::skew::SkewStats;
use trunkcast::rtp::depack_audio::AudioCounters;
use trunkcast::rtp::reorder::ReorderCounters;
use trunkcast::rtp::source::SourceCounters;
use trunkcast::rtp::stream::StreamStats;
use trunkcast::wire::flv::{AudioHead, Metadata, Part, VideoHead};
use trunkcast::wire::rtmp_message::kind;

/// One frame that the server took.
#[derive(Clone, Debug)]
struct Taken {
    /// Milliseconds at which it is decoded, and presented.
    time: i64,
    presentation: i64,
    keyframe: bool,
    /// H.264: its slices. Else one element.
    parts: Vec<Vec<u8>>,
}

/// What came of a replay.
struct Replay {
    capture: Capture,
    pictures: Vec<Taken>,
    sounds: Vec<Taken>,
    /// Bodies of the video sequence headers.
    headers: Vec<Vec<u8>>,
    metadata: Vec<Metadata>,
    audio: StreamStats,
    video: StreamStats,
    skew: SkewStats,
    presses: usize,
    asked: u64,
}

/// Calls with the offer of a capture and sends its datagrams in time.
fn replay(name: &str, codecs: &[Codec]) -> Replay {
    let capture = Capture::read(name);
    let mut config = config(1, Some("rtmp://198.51.100.5/live"));
    config.trunks[0].codecs = Some(codecs.to_vec());
    let mut world = World::new(config);
    world.policy = Policy::ListsAll;
    let mut phone = Phone::new("4711");
    phone.sdp = capture.offer.replace('\n', "\r\n").replace("\r\r", "\r");
    world.call(&mut phone);
    world.server().collects = true;
    let start = world.now;
    for datagram in &capture.datagrams {
        let due = start + Duration::from_micros(datagram.micros);
        world.advance(due.since(world.now));
        let told = match datagram.is_video {
            true => phone.video_port,
            false => phone.audio_port,
        };
        let above = u16::from(datagram.is_rtcp);
        let mut from = phone.media;
        from.set_port(capture.port(datagram.is_video) + above);
        world.datagram(from, told.unwrap() + above, &datagram.bytes);
    }
    world.advance(Duration::from_millis(500));
    let session = &world.find("rtmp_4711").unwrap().session;
    let (audio, video) = (session.stats(Track::Audio), session.stats(Track::Video));
    let (skew, asked) = (session.skew_stats(), session.keyframes_asked());
    assert_eq!(world.servers.len(), 1, "one connection for the whole call");
    let presses = world.notes("a key was pressed").len();
    let server = world.server();
    let metadata = server.heard.iter().filter_map(|heard| match heard {
        Heard::Metadata(metadata) => Some(*metadata),
        _ => None,
    });
    let metadata = metadata.collect();
    let mut replay = Replay {
        capture,
        pictures: Vec::new(),
        sounds: Vec::new(),
        headers: Vec::new(),
        metadata,
        audio,
        video,
        skew,
        presses,
        asked,
    };
    for (what, time, body) in std::mem::take(&mut server.bodies) {
        replay.take(what, i64::from(time), &body, codecs[0] == Codec::H264);
    }
    replay
}

impl Replay {
    fn take(&mut self, what: u8, time: i64, body: &[u8], is_h264: bool) {
        if what == kind::VIDEO {
            let head = VideoHead::parse(body).unwrap();
            let data = &body[head.length..];
            match head.part {
                Part::SequenceHeader => self.headers.push(data.to_vec()),
                Part::Frame => self.pictures.push(Taken {
                    time,
                    presentation: time + i64::from(head.composition_millis),
                    keyframe: head.keyframe,
                    parts: if is_h264 {
                        slices(data)
                    } else {
                        vec![data.to_vec()]
                    },
                }),
                _ => {}
            }
            return;
        }
        let head = AudioHead::parse(body).unwrap();
        if head.part == Part::Frame {
            self.sounds.push(Taken {
                time,
                presentation: time,
                keyframe: true,
                parts: vec![body[head.length..].to_vec()],
            });
        }
    }
}

/// Slices of a picture of NAL units behind their lengths.
fn slices(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut slices = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk() {
        let (unit, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        if matches!(unit[0] & 0x1f, 1..=5) {
            slices.push(unit.to_vec());
        }
        data = rest;
    }
    slices
}

/// Milliseconds that a frame is presented after its time on the RTP clock.
fn shift(taken: &Taken, sent: &Frame, clock_rate: i64) -> f64 {
    taken.presentation as f64 - sent.ticks as f64 * 1_000.0 / clock_rate as f64
}

/// Demands times as far apart as the sender's: but for rounding to milliseconds, and for slewing,
/// which is one part in two hundred.
fn check_steps(taken: &[Taken], sent: &[Frame], clock_rate: i64) {
    let shifts = taken.iter().zip(sent).map(|(t, s)| shift(t, s, clock_rate));
    let shifts: Vec<_> = shifts.collect();
    for (number, (step, pair)) in shifts.windows(2).zip(sent.windows(2)).enumerate() {
        let interval = (pair[1].ticks - pair[0].ticks).abs() as f64 * 1_000.0 / clock_rate as f64;
        let off = (step[1] - step[0]).abs();
        // Pictures in decoding order come when others are presented.
        let slewed = 1.0 + interval.max(100.0) / 200.0;
        assert!(off <= slewed, "{off} ms between {number} and the next");
    }
}

/// What a capture holds, counted without the library: by tshark and ffprobe when it was made, and
/// here again from the packets.
struct Expected {
    name: &'static str,
    /// Codecs of the trunk: picture, then sound.
    codecs: [Codec; 2],
    /// Payload types of picture and sound.
    types: [u8; 2],
    packing: Sound,
    /// Of the sound's RTP clock.
    clock_rate: i64,
    size: (u16, u16),
    pictures: usize,
    sounds: usize,
    presses: usize,
    /// Bound of the skew's 99th percentile, in milliseconds.
    skew: u32,
}

impl Default for Expected {
    fn default() -> Self {
        Self {
            name: "",
            codecs: [Codec::H264, Codec::Pcma],
            types: [96, 8],
            packing: Sound::Plain,
            clock_rate: 8_000,
            size: (176, 144),
            pictures: 0,
            sounds: 0,
            presses: 0,
            skew: 10,
        }
    }
}

impl Expected {
    /// Replays, and demands what holds for every capture, lossy ones included; the replay and the
    /// frames that were sent, picture and sound.
    fn play(&self) -> (Replay, Vec<Frame>, Vec<Frame>) {
        let replay = replay(self.name, &self.codecs);
        let video = replay.capture.packets(true, self.types[0]);
        let audio = replay.capture.packets(false, self.types[1]);
        let is_h264 = self.codecs[0] == Codec::H264;
        let pictures = match is_h264 {
            true => frames::pictures(&video, frames::h264),
            false => frames::pictures(&video, frames::vp8),
        };
        let sounds = frames::sounds(&audio, self.packing);
        assert_eq!((pictures.len(), sounds.len()), (self.pictures, self.sounds));

        // Neither more nor less nor other than what came whole.
        for (what, taken, sent) in [
            ("pictures", &replay.pictures, &pictures),
            ("sounds", &replay.sounds, &sounds),
        ] {
            assert_eq!(taken.len(), sent.len(), "{what}");
            for (number, (taken, sent)) in taken.iter().zip(sent).enumerate() {
                assert!(taken.parts == sent.parts, "{what}: {number} is another");
                assert_eq!(taken.keyframe, sent.keyframe, "{what}: {number}");
            }
            let back = taken.windows(2).find(|pair| pair[0].time >= pair[1].time);
            assert!(back.is_none(), "{what}: {back:?}");
            assert!(taken.iter().all(|taken| taken.presentation >= taken.time));
        }
        assert!(replay.pictures[0].keyframe, "the first is a keyframe");
        assert!(replay.pictures[0].time < 300 && replay.sounds[0].time < 300);

        let told = replay.metadata.last().unwrap();
        assert_eq!((told.width, told.height), self.size);
        assert_eq!(replay.headers.len(), 1, "video sequence headers");
        if is_h264 {
            for kind in [7, 8] {
                let set = frames::parameter_set(&video, kind);
                let mut places = replay.headers[0].windows(set.len());
                assert!(places.any(|place| place == set), "set {kind} is another");
            }
        }
        assert_eq!(replay.presses, self.presses);
        let p99 = replay.skew.p99;
        assert!(p99 <= self.skew, "{:?}", replay.skew);
        self.check_skew(&replay, &pictures, &sounds);
        (replay, pictures, sounds)
    }

    /// Demands that the skew that is told is the one between what was published, by the reports.
    /// They waver: between the furthest of them.
    fn check_skew(&self, replay: &Replay, pictures: &[Frame], sounds: &[Frame]) {
        let [video, audio] = [(true, 90_000), (false, self.clock_rate)].map(|(is_video, rate)| {
            let kind = self.types[usize::from(!is_video)];
            let reports = replay.capture.reports(is_video, kind).into_iter();
            let mut places: Vec<f64> = reports
                .map(|(wall, ticks)| wall - ticks as f64 * 1_000.0 / rate as f64)
                .collect();
            places.sort_by(f64::total_cmp);
            Some((*places.first()?, *places.last()?))
        });
        let (Some(video), Some(audio)) = (video, audio) else {
            return;
        };
        let last = |taken: &[Taken], sent: &[Frame], rate| {
            shift(taken.last().unwrap(), sent.last().unwrap(), rate)
        };
        let published = last(&replay.pictures, pictures, 90_000)
            - last(&replay.sounds, sounds, self.clock_rate);
        let (least, most) = (published - video.1 + audio.0, published - video.0 + audio.1);
        let told = replay.skew.now.unwrap() as f64 / 1_000.0;
        assert!(
            (least - 4.0..=most + 4.0).contains(&told),
            "told {told} ms, reports say {least} to {most}"
        );
    }

    /// The same for a capture without loss: nothing is dropped, and times are as far apart as sent.
    /// `odd` pictures at the start have timestamps of their own.
    fn play_clean(&self, odd: usize) -> Replay {
        let (replay, pictures, sounds) = self.play();
        for (is_video, stats) in [(true, &replay.video), (false, &replay.audio)] {
            assert_eq!(stats.reorder, ReorderCounters::default());
            assert_eq!(stats.source, SourceCounters::default());
            assert_eq!(stats.audio, AudioCounters::default());
            // linphone sends STUN to the port of RTP.
            let strangers = replay.capture.strangers(is_video);
            assert_eq!(stats.malformed, strangers, "{stats:?}");
            assert_eq!(stats.wrong_payload_type, 0);
            let dropped = stats.h264.damaged + stats.h264.withheld + stats.vp8.damaged;
            assert_eq!((dropped, stats.vp8.withheld), (0, 0));
        }
        assert_eq!(replay.asked, 0, "keyframes asked for");
        check_steps(&replay.pictures[odd..], &pictures[odd..], 90_000);
        check_steps(&replay.sounds, &sounds, self.clock_rate);
        replay
    }
}

#[test]
fn captures_are_small_and_each_is_replayed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/captures");
    let source = include_str!("rtp_captures.rs");
    let mut total = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let bytes = entry.metadata().unwrap().len();
        assert!(bytes <= 80_000, "{name} has {bytes} bytes");
        total += bytes;
        if let Some(name) = name.strip_suffix(".cap") {
            assert!(source.contains(&format!("\"{name}\"")), "{name}");
        }
    }
    assert!(total <= 512_000, "{total} bytes");
}

// baresip stamps its first picture one interval early: two of them lie before the second one.

#[test]
fn baresip_with_many_slices_a_picture_and_a_law() {
    let expected = Expected {
        name: "baresip-h264-mode0-pcma",
        size: (320, 240),
        pictures: 25,
        sounds: 103,
        ..Expected::default()
    };
    let replay = expected.play_clean(1);
    assert_eq!(replay.pictures[0].parts.len(), 11, "slices of the first");
}

#[test]
fn baresip_with_fragments_and_opus() {
    let expected = Expected {
        name: "baresip-h264-mode1-opus",
        codecs: [Codec::H264, Codec::Opus],
        types: [97, 96],
        clock_rate: 48_000,
        pictures: 36,
        sounds: 150,
        ..Expected::default()
    };
    expected.play_clean(1);
}

#[test]
fn baresip_with_vp8_and_opus() {
    let expected = Expected {
        name: "baresip-vp8-opus",
        codecs: [Codec::Vp8, Codec::Opus],
        types: [96, 96],
        clock_rate: 48_000,
        size: (160, 120),
        pictures: 30,
        sounds: 150,
        ..Expected::default()
    };
    expected.play_clean(1);
}

#[test]
fn a_press_of_a_key_at_baresip_is_told_once_and_costs_no_sound() {
    let expected = Expected {
        name: "baresip-h264-pcmu-key",
        codecs: [Codec::H264, Codec::Pcmu],
        types: [96, 0],
        size: (160, 120),
        pictures: 23,
        sounds: 115,
        presses: 1,
        ..Expected::default()
    };
    let replay = expected.play_clean(1);
    assert_eq!(replay.audio.telephone_events, 1);
    let packets = replay.capture.packets(false, 101);
    assert_eq!(packets.len(), 17, "packets of the press");
}

#[test]
fn baresip_over_a_bad_line_gives_whole_pictures_alone() {
    let expected = Expected {
        name: "baresip-h264-bad-line",
        size: (160, 120),
        pictures: 31,
        sounds: 183,
        ..Expected::default()
    };
    let (replay, ..) = expected.play();
    let (video, audio) = (&replay.video, &replay.audio);
    assert_eq!((video.reorder.lost, audio.reorder.lost), (3, 17));
    // Nine of sound are overtaken, one of them in a gap behind another gap.
    assert_eq!((video.reorder.reordered, audio.reorder.reordered), (1, 8));
    assert_eq!(video.h264.damaged + video.h264.withheld, 38 - 31);
    assert!(
        (1..=3).contains(&replay.asked),
        "asked {} times",
        replay.asked
    );
}

#[test]
fn linphone_with_mu_law() {
    // Its reports put the picture nearly 50 ms from where it arrives, and those of the picture begin
    // after 3.4 s: what is above 20 ms here is theirs.
    let expected = Expected {
        name: "linphone-h264-pcmu",
        codecs: [Codec::H264, Codec::Pcmu],
        types: [96, 0],
        pictures: 50,
        sounds: 269,
        skew: 50,
        ..Expected::default()
    };
    let replay = expected.play_clean(0);
    assert!(replay.skew.p50 <= 5, "{:?}", replay.skew);
}

#[test]
fn linphone_with_speex() {
    let expected = Expected {
        name: "linphone-h264-speex",
        codecs: [Codec::H264, Codec::Speex],
        types: [96, 96],
        clock_rate: 16_000,
        pictures: 43,
        sounds: 229,
        ..Expected::default()
    };
    let replay = expected.play_clean(0);
    assert!(replay.skew.p50 <= 5, "{:?}", replay.skew);
}

#[test]
fn linphone_with_vp8_and_opus() {
    let expected = Expected {
        name: "linphone-vp8-opus",
        codecs: [Codec::Vp8, Codec::Opus],
        types: [96, 96],
        clock_rate: 48_000,
        pictures: 43,
        sounds: 229,
        // The first picture comes 25 ms later than those that follow.
        skew: 30,
        ..Expected::default()
    };
    expected.play_clean(0);
}

#[test]
fn gstreamer_with_b_pictures_and_aac() {
    let expected = Expected {
        name: "gstreamer-bframes-aac",
        codecs: [Codec::H264, Codec::Aac],
        types: [96, 97],
        packing: Sound::Generic,
        clock_rate: 48_000,
        pictures: 54,
        sounds: 165,
        ..Expected::default()
    };
    let replay = expected.play_clean(0);
    let turned = |taken: &&Taken| taken.presentation > taken.time;
    assert!(replay.pictures.iter().filter(turned).count() > 10);
}

#[test]
fn gstreamer_with_latm() {
    let expected = Expected {
        name: "gstreamer-latm",
        codecs: [Codec::H264, Codec::Aac],
        types: [96, 98],
        packing: Sound::Latm,
        clock_rate: 44_100,
        pictures: 54,
        sounds: 151,
        ..Expected::default()
    };
    expected.play_clean(0);
}
