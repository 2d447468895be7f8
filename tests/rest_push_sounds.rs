//! Prepared sounds of AAC, Opus and Speex in pushes: which frames go out at which times, and what is no
//! sound for a stream.

mod gateway_support;
mod rest_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::handset::{Handset, Picture, Sound, phone_of};
use gateway_support::*;
use rest_support::*;
use serde_json::{Value, json};
use trunkcast::gateway::config::{Config, Recording};
use trunkcast::limits::{MP4_FILES, PUSH_SOUND_BYTES, PUSH_SOUND_FRAMES};
use trunkcast::wire::bits::BitWriter;
use trunkcast::wire::flv::{AudioHead, Part};
use trunkcast::wire::rtmp_message::kind;

const SECOND: Duration = Duration::from_secs(1);
const SOUND_ON: &str = "/rest-api/push/sound_on";
const SOUND_OFF: &str = "/rest-api/push/sound_off";

/// AAC-LC of 48 kHz in mono, as the handset says, and as ffmpeg does.
const MONO: &[u8] = &[0x11, 0x88];
const MONO_FFMPEG: &[u8] = &[0x11, 0x88, 0x56, 0xe5, 0];

/// A call whose stream is pushed twice: one push is played sounds to, the other hears the caller.
struct Stage {
    world: World,
    phone: Phone,
    handset: Handset,
    named: Value,
}

impl Stage {
    fn new(picture: Picture, sound: Sound) -> Self {
        let config = Config {
            recording: Some(Recording::new("/var/lib/trunkcast/records")),
            files_directory: Some("/media".to_owned()),
            ..config(MP4_FILES + 2, None)
        };
        let mut world = World::new(config);
        world.policy = Policy::ListsAll;
        let mut phone = phone_of("4711", picture, sound);
        world.call(&mut phone);
        let mut ids = ["198.51.100.1", "198.51.100.2"].map(|host| {
            let url = format!("rtmp://{host}/live");
            let body = json!({"streamName": "rtmp_4711", "rtmpUrl": url});
            let reply = post(&mut world, "/rest-api/push/startup", &body);
            assert_eq!(reply.status, 200, "{reply:?}");
            reply.json()["mediaSessionId"].take()
        });
        let servers = world.servers.iter_mut();
        servers.for_each(|server| server.collects = true);
        let mut stage = Self {
            world,
            phone,
            handset: Handset::new(picture, sound, 1),
            named: json!({"mediaSessionId": ids[0].take()}),
        };
        stage.live(SECOND);
        stage
    }

    fn live(&mut self, time: Duration) {
        let Self {
            world,
            phone,
            handset,
            ..
        } = self;
        handset.live(world, time, |world, track, bytes| {
            world.media(phone, track, &bytes);
        });
    }

    fn file(&mut self, name: &str, bytes: Vec<u8>) {
        let files = &mut self.world.outlet.media_files;
        files.insert(name.to_owned(), bytes);
    }

    fn ask(&mut self, path: &str, more: &Value) -> Reply {
        let mut body = self.named.clone();
        let more = more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(more);
        post(&mut self.world, path, &body)
    }

    fn done(&mut self, path: &str, more: &Value) {
        let reply = self.ask(path, more);
        let words = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!((reply.status, &words[..]), (200, ""), "{path} {more}");
    }

    /// The status and the words of a refusal to play a file.
    fn refused(&mut self, name: &str) -> (u16, String) {
        let reply = self.ask(SOUND_ON, &json!({"soundFile": name}));
        let words = reply.json()["message"].as_str().unwrap().to_owned();
        (reply.status, words)
    }

    /// The frames of sound, with their times, that came to each server since the last look.
    fn heard(&mut self) -> [Vec<(u32, Vec<u8>)>; 2] {
        let [first, second] = &mut self.world.servers[..] else {
            panic!("two servers");
        };
        [first, second].map(|server| {
            let bodies = std::mem::take(&mut server.bodies);
            let sounds = bodies.into_iter().filter(|it| it.0 == kind::AUDIO);
            let frames = sounds.filter_map(|(_, time, body)| {
                let head = AudioHead::parse(&body).expect("a head");
                (head.part == Part::Frame).then(|| (time, body[head.length..].to_vec()))
            });
            frames.collect()
        })
    }

    fn plays(&mut self) -> bool {
        let reply = post(&mut self.world, "/rest-api/push/find", &self.named.clone());
        reply.json()[0]["soundEnabled"].as_bool().unwrap()
    }
}

/// An FLV file of these bodies of sound, 20 ms apart.
fn flv(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"FLV\x01\x04\0\0\0\x09\0\0\0\0".to_vec();
    for (at, body) in bodies.iter().enumerate() {
        let (size, time) = (body.len() as u32, at as u32 * 20);
        file.push(8);
        file.extend(&size.to_be_bytes()[1..]);
        file.extend(&time.to_be_bytes()[1..]);
        file.push(time.to_be_bytes()[0]);
        file.extend([0; 3]);
        file.extend(body);
        file.extend((size + 11).to_be_bytes());
    }
    file
}

fn aac_file(specific: &[u8], frames: &[Vec<u8>]) -> Vec<u8> {
    let head = [&[0xaf, 0], specific].concat();
    let frames = frames.iter().map(|frame| [&[0xaf, 1], &frame[..]].concat());
    flv(&std::iter::once(head).chain(frames).collect::<Vec<_>>())
}

fn opus_file(frames: &[Vec<u8>]) -> Vec<u8> {
    let head = b"\x90OpusOpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0".to_vec();
    let frames = frames.iter().map(|it| [b"\x91Opus", &it[..]].concat());
    flv(&std::iter::once(head).chain(frames).collect::<Vec<_>>())
}

fn speex_file(packets: &[Vec<u8>]) -> Vec<u8> {
    let packets = packets.iter().map(|it| [&[0xb6], &it[..]].concat());
    flv(&packets.collect::<Vec<_>>())
}

/// A packet of Speex with a frame for each mark.
fn speex(marks: &[u32]) -> Vec<u8> {
    let mut bits = BitWriter::<64>::new();
    for mark in marks {
        bits.number(8, 5).unwrap();
        for count in [32, 32, 10] {
            bits.number(*mark, count).unwrap();
        }
        bits.number(9, 4).unwrap();
        bits.number(*mark, 32).unwrap();
    }
    // Up to the next byte, as a terminator (RFC 5574, section 3.3).
    let padding = (8 - marks.len() * 115 % 8) % 8;
    bits.number((1 << (padding - 1)) - 1, padding as u32)
        .unwrap();
    bits.finish().to_vec()
}

/// So many frames that tell themselves apart, none of them silence.
fn frames(count: u8, begin: &[u8]) -> Vec<Vec<u8>> {
    let frame = |mark| [begin, &[mark; 40], &[mark / 3]].concat();
    (0..count).map(frame).collect()
}

/// A sound, played once and then the caller heard again: each frame in the place of one of the caller's.
fn assert_in_place(sound: Sound, picture: Picture, file: Vec<u8>, frames: &[Vec<u8>]) {
    let mut stage = Stage::new(picture, sound);
    stage.file("jingle.flv", file);
    stage.done(SOUND_ON, &json!({"soundFile": "jingle.flv"}));
    assert!(stage.plays());
    stage.live(3 * SECOND);
    assert!(!stage.plays(), "it is at its end");
    let [played, heard] = stage.heard();
    let times = |all: &[(u32, Vec<u8>)]| all.iter().map(|it| it.0).collect::<Vec<_>>();
    assert_eq!(times(&played), times(&heard), "{sound:?}");
    let first = played.iter().position(|it| it.1 == frames[0]).unwrap();
    for (at, (time, frame)) in played.iter().enumerate() {
        let of_sound = at.checked_sub(first).and_then(|at| frames.get(at));
        let expected = of_sound.unwrap_or(&heard[at].1);
        assert_eq!(frame, expected, "{sound:?} at {time} ms");
    }
    assert!(first > 10 && played.len() > first + frames.len() + 10);
    assert!(stage.world.outlet.open_files.is_empty());
    stage.world.gateway.check_invariants();
}

#[test]
fn aac_goes_out_frame_by_frame_at_the_callers_times() {
    let all = frames(90, &[0x21]);
    let file = aac_file(MONO_FFMPEG, &all);
    assert_in_place(Sound::Generic, Picture::H264, file, &all);
    // Configurations in SDP, and in the packets.
    for sound in [Sound::Latm, Sound::LatmInBand] {
        let file = aac_file(&[0x11, 0x90], &all);
        assert_in_place(sound, Picture::Vp8, file, &all);
    }
}

#[test]
fn opus_goes_out_frame_by_frame_at_the_callers_times() {
    let all = frames(90, &[0xf8]);
    assert_in_place(Sound::Opus, Picture::Vp8, opus_file(&all), &all);
}

#[test]
fn speex_goes_out_frame_by_frame_and_packets_of_several_are_taken_apart() {
    let all: Vec<_> = (1..=90).map(|mark| speex(&[mark])).collect();
    let packets: Vec<_> = (1..=90)
        .step_by(3)
        .map(|mark| speex(&[mark, mark + 1, mark + 2]))
        .collect();
    assert_in_place(Sound::Speex, Picture::H264, speex_file(&all), &all);
    assert_in_place(Sound::Speex, Picture::H264, speex_file(&packets), &all);
}

#[test]
fn frames_of_other_lengths_than_the_callers_keep_their_own_times() {
    // Three frames of 20 ms; one of 10.
    for (begin, step) in [(&[0xfb, 3, 7, 7, 7][..], 60_i64), (&[0xf0], 10)] {
        let mark = |mark: u8| match step {
            60 => [&begin[..2], &[mark; 3]].concat(),
            _ => [begin, &[mark; 2]].concat(),
        };
        let all: Vec<_> = (1..=20).map(mark).collect();
        let mut stage = Stage::new(Picture::Vp8, Sound::Opus);
        stage.file("jingle.flv", opus_file(&all));
        stage.done(
            SOUND_ON,
            &json!({"soundFile": "jingle.flv", "loop": "true"}),
        );
        stage.live(3 * SECOND);
        stage.done(SOUND_OFF, &json!({}));
        stage.live(SECOND);
        let [played, heard] = stage.heard();
        let first = played.iter().position(|it| it.1 == all[0]).unwrap();
        let run = played[first..].iter().enumerate();
        let run = run.take_while(|(at, it)| it.1 == all[at % 20]).count();
        assert!((145..=155).contains(&(run as i64 * step / 20)), "{run}");
        let steps = played[first..=first + run].windows(2);
        let mut steps: Vec<_> = steps
            .map(|pair| i64::from(pair[1].0) - i64::from(pair[0].0))
            .collect();
        let back = steps.pop().unwrap();
        // Whole milliseconds, and a clock that is slewed by at most 5 ms a second.
        assert!(steps.iter().all(|it| (it - step).abs() <= 1), "{steps:?}");
        assert!((step - 1..=step.max(20) + 1).contains(&back), "{back}");
        for (time, frame) in played[..first].iter().chain(&played[first + run..]) {
            let own = heard.iter().find(|it| it.0 == *time).expect("its time");
            assert_eq!(own.1, *frame);
        }
        assert!(played.len() > first + run + 40, "the caller is heard again");
    }
}

#[test]
fn a_muted_push_is_silent_behind_the_sound_and_before_it_is_switched_off() {
    let all = frames(25, &[0x21]);
    let mut stage = Stage::new(Picture::H264, Sound::Generic);
    stage.file("jingle.flv", aac_file(MONO, &all));
    stage.done("/rest-api/push/mute", &json!({}));
    stage.done(SOUND_ON, &json!({"soundFile": "jingle.flv"}));
    stage.live(SECOND);
    stage.done("/rest-api/push/unmute", &json!({}));
    stage.done(SOUND_OFF, &json!({}));
    stage.live(SECOND);
    let [played, heard] = stage.heard();
    let first = played.iter().position(|it| it.1 == all[0]).unwrap();
    let end = first + all.len();
    let silence = [0, 0, 0, 0x07];
    let is_silent = |it: &&(u32, Vec<u8>)| it.1 == silence;
    assert_eq!(played[first..end].iter().filter(is_silent).count(), 0);
    let silent = played[end..].iter().take_while(is_silent).count();
    assert!((15..=30).contains(&silent), "{silent}");
    assert_eq!(played[end + silent..], heard[end + silent..]);
}

#[test]
fn a_recording_of_this_box_is_a_sound_for_the_like() {
    for (picture, sound) in [
        (Picture::H264, Sound::Generic),
        (Picture::Vp8, Sound::Opus),
        (Picture::H264, Sound::Pcma),
    ] {
        let mut stage = Stage::new(picture, sound);
        let of_stream = json!({"mediaSessionId": stage.phone.call_id});
        let recorder = |stage: &mut Stage, path: &str| {
            let path = format!("/rest-api/recorder/{path}");
            assert_eq!(post(&mut stage.world, &path, &of_stream).status, 200);
        };
        stage.heard();
        recorder(&mut stage, "startup");
        stage.live(3 * SECOND);
        recorder(&mut stage, "terminate");
        let [said, _] = stage.heard();
        let take = stage.world.outlet.files[0].bytes();
        // The last fragment is torn.
        let torn = take[..take.len() - 100].to_vec();
        for (name, file, least) in [("take.mp4", take, 120), ("torn.mp4", torn, 80)] {
            stage.file(name, file);
            stage.done(SOUND_ON, &json!({"soundFile": name}));
            stage.live(4 * SECOND);
            let [played, heard] = stage.heard();
            let of_sound = played
                .iter()
                .filter(|it| said.iter().any(|say| say.1 == it.1));
            let of_sound: Vec<_> = of_sound.collect();
            assert!(of_sound.len() >= least, "{sound:?}: {}", of_sound.len());
            let first = said.iter().position(|say| say.1 == of_sound[0].1).unwrap();
            for (at, frame) in of_sound.iter().enumerate() {
                assert_eq!(frame.1, said[first + at].1, "{sound:?} {name} {at}");
            }
            assert_eq!(played.len(), heard.len());
            assert!(
                played
                    .iter()
                    .zip(&heard)
                    .all(|(one, other)| one.0 == other.0)
            );
        }
    }
}

#[test]
fn aac_of_another_configuration_is_a_conflict_that_names_both() {
    let mut stage = Stage::new(Picture::H264, Sound::Generic);
    for (specific, named) in [
        (
            &[0x12, 0x10][..],
            "AAC of 44100 Hz and 2 channels (config=1210)",
        ),
        (
            &[0x11, 0x90, 0x56, 0xe5, 0],
            "2 channels (config=119056e500)",
        ),
        // Bands are replicated.
        (&[0x11, 0x88, 0x56, 0xe5, 0x80], "(config=118856e580)"),
    ] {
        stage.file("x.flv", aac_file(specific, &frames(3, &[0x21])));
        let (status, words) = stage.refused("x.flv");
        assert_eq!(status, 409, "{words}");
        assert!(
            words.contains("AAC of 48000 Hz and 1 channels (config=1188)"),
            "{words}"
        );
        assert!(words.contains(&format!("{named} in x.flv")), "{words}");
        let command = "ffmpeg -i x.flv -vn -c:a aac -b:a 64k -ar 48000 -ac 1 x-aac.flv";
        assert!(words.contains(command), "{words}");
    }
    assert!(!stage.plays());
    assert!(stage.world.outlet.open_files.is_empty());
    assert_eq!(stage.world.notes("no sound: audio: the call").len(), 3);
}

#[test]
fn what_is_no_sound_for_the_stream_is_told_with_what_makes_one() {
    let opus = "ffmpeg -i x.flv -vn -c:a libopus -b:a 32k -ac 1 -movflags +faststart x-opus.mp4";
    let speex_command = "ffmpeg -i x.flv -vn -c:a libspeex -ar 16000 -ac 1 x-speex.flv";
    let aac = "ffmpeg -i x.flv -vn -c:a aac -b:a 64k -ar 48000 -ac 2 x-aac.flv";
    let many = PUSH_SOUND_FRAMES + 1;
    let large = vec![vec![0xf8; 1_200]; PUSH_SOUND_BYTES / 1_200 + 1];
    for (picture, sound, file, words, command) in [
        (
            Picture::Vp8,
            Sound::Opus,
            speex_file(&[speex(&[1])]),
            "Speex in place of the stream's Opus; convert it: ",
            opus,
        ),
        (
            Picture::Vp8,
            Sound::Opus,
            opus_file(&[vec![0xf8, 1], vec![0xff, 0]]),
            "a frame of Opus cannot be read; convert it: ",
            opus,
        ),
        (
            Picture::Vp8,
            Sound::Opus,
            opus_file(&vec![vec![0xf8, 1]; many]),
            "x.flv: more than 4096 frames of sound",
            "",
        ),
        (
            Picture::Vp8,
            Sound::Opus,
            opus_file(&large),
            "x.flv: more than 240000 bytes of sound",
            "",
        ),
        (
            Picture::H264,
            Sound::Speex,
            speex_file(&[vec![0x80, 0]]),
            "a frame of Speex cannot be read; convert it: ",
            speex_command,
        ),
        (
            Picture::H264,
            Sound::Speex,
            flv(&[vec![0x72; 161]]),
            "G.711 A-law in place of the stream's Speex",
            speex_command,
        ),
        (
            Picture::Vp8,
            Sound::LatmInBand,
            opus_file(&frames(3, &[0xf8])),
            "Opus in place of the stream's AAC",
            aac,
        ),
        (
            Picture::Vp8,
            Sound::LatmInBand,
            aac_file(&[0x11, 0x90], &[]),
            "no sound in it; convert it: ",
            aac,
        ),
        (
            Picture::Vp8,
            Sound::Opus,
            b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08mdat".to_vec(),
            "the index of this MP4 file stands behind its media",
            opus,
        ),
        (
            Picture::Vp8,
            Sound::Opus,
            vec![7; 50],
            "it is neither WAV nor FLV nor MP4",
            opus,
        ),
    ] {
        let mut stage = Stage::new(picture, sound);
        stage.file("x.flv", file);
        let (status, told) = stage.refused("x.flv");
        assert_eq!(status, 415, "{told}");
        assert!(told.contains(words) && told.contains(command), "{told}");
        assert!(!stage.plays() && stage.world.outlet.open_files.is_empty());
    }
    // As many as may.
    let mut stage = Stage::new(Picture::Vp8, Sound::Opus);
    stage.file("x.flv", opus_file(&vec![vec![0xf8, 1]; many - 1]));
    stage.done(SOUND_ON, &json!({"soundFile": "x.flv"}));
}

#[test]
fn damaged_files_are_refused_or_played_and_never_harm() {
    let mut rng = trunkcast::base::rng::Rng::from_number(8);
    let mut stage = Stage::new(Picture::Vp8, Sound::Opus);
    stage.world.checks = false;
    let whole = opus_file(&frames(20, &[0xf8]));
    let mut statuses = [0; 2];
    for round in 0..400 {
        let file = match round {
            0..100 => whole[..whole.len() * round / 100].to_vec(),
            _ => mutate(&whole, &mut rng),
        };
        stage.file("x.flv", file);
        let reply = stage.ask(SOUND_ON, &json!({"soundFile": "x.flv", "loop": true}));
        match reply.status {
            200 => statuses[0] += 1,
            415 => statuses[1] += 1,
            other => panic!("{other} {reply:?}"),
        }
        stage.live(Duration::from_millis(100));
    }
    assert!(statuses.iter().all(|count| *count > 20), "{statuses:?}");
    stage.world.gateway.check_invariants();
    let [played, _] = stage.heard();
    assert!(played.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(stage.world.gateway.counters().pushes_crashed, 0);
}

#[test]
fn mp4_files_for_pushes_are_counted_among_those_that_are_sent_into_calls() {
    let mut stage = Stage::new(Picture::Vp8, Sound::Opus);
    let of_stream = json!({"mediaSessionId": stage.phone.call_id});
    post(&mut stage.world, "/rest-api/recorder/startup", &of_stream);
    stage.live(4 * SECOND);
    post(&mut stage.world, "/rest-api/recorder/terminate", &of_stream);
    let take = stage.world.outlet.files[0].bytes();
    stage.file("take.mp4", take);
    for at in 0..MP4_FILES {
        let mut phone = phone_of(&format!("48{at}"), Picture::Vp8, Sound::Opus);
        stage.world.call(&mut phone);
        let file = json!({"callId": phone.call_id, "fileName": "take.mp4"});
        let reply = post(&mut stage.world, "/rest-api/call/inject_sound", &file);
        assert_eq!(reply.status, 200);
    }
    assert_eq!(stage.refused("take.mp4").0, 429);
    stage.world.advance(6 * SECOND);
    stage.done(SOUND_ON, &json!({"soundFile": "take.mp4"}));
}

#[test]
fn a_sound_stays_whole_over_a_slow_connection() {
    let all = frames(40, &[0x21]);
    let mut stage = Stage::new(Picture::H264, Sound::Generic);
    stage.file("jingle.flv", aac_file(MONO, &all));
    stage.heard();
    stage.done(SOUND_ON, &json!({"soundFile": "jingle.flv", "loop": true}));
    let conn = stage.world.servers[0].conn;
    for round in 0..150_usize {
        // Messages are taken in parts, also while the sound is switched off and on.
        stage.world.outlet.set_room(conn, 1 + round * 7 % 90);
        if round % 10 == 5 {
            stage.done(SOUND_OFF, &json!({}));
        }
        if round % 10 == 9 {
            stage.done(SOUND_ON, &json!({"soundFile": "jingle.flv", "loop": true}));
        }
        stage.live(Duration::from_millis(40));
        stage.world.unstall(conn);
    }
    let [played, heard] = stage.heard();
    assert!(played.len() > 250, "{}", played.len());
    for (time, frame) in &played {
        let is_own = heard.iter().any(|it| it.1 == *frame);
        assert!(is_own || all.contains(frame), "at {time} ms: {frame:02x?}");
    }
}
