//! Picture and sound of a call as the page asks for them, on the virtual clock: every frame once and
//! as it was, pieces that fit together, and what is said where that cannot be.

mod gateway_support;
mod mp4_support;
mod page_support;
mod rest_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use mp4_support::{AUDIO, Mp4, VIDEO, fragments};
use page_support::{Browser, with_password};
use rest_support::post;
use serde_json::{Value, json};
use trunkcast::base::codec::Codec;
use trunkcast::base::rng::Rng;
use trunkcast::gateway::config::{Config, Recording};
use trunkcast::limits::LIVE_CALLS;

const POLL: Duration = Duration::from_millis(400);
const SECOND: Duration = Duration::from_secs(1);

/// A frame as a watcher has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// Ticks of its track.
    time: u64,
    duration: u64,
    sync: bool,
    bytes: Vec<u8>,
}

/// One track as a watcher has it.
#[derive(Default)]
struct Track {
    next: Option<String>,
    /// The type of each beginning.
    types: Vec<Option<String>>,
    /// The frames since each beginning.
    runs: Vec<Vec<Seen>>,
    /// The pieces since each beginning, joined.
    bytes: Vec<Vec<u8>>,
    /// The last answer.
    told: Value,
}

impl Track {
    fn take(&mut self, told: &Value, piece: &[u8]) {
        self.told = told.clone();
        self.next = told["next"].as_str().map(str::to_owned);
        if told["anew"] == true {
            self.types.push(told["type"].as_str().map(str::to_owned));
            self.runs.push(Vec::new());
            self.bytes.push(Vec::new());
        }
        if piece.is_empty() {
            return;
        }
        let kind = self.types.last().expect("a type before bytes");
        let kind = kind.as_deref().expect("a type of what has bytes");
        let anew = told["anew"] == true;
        let frames = match kind {
            "audio/pcma" | "audio/pcmu" => samples(piece),
            kind if kind.starts_with("video/webm") => webm(piece, anew),
            _ => mp4(piece, anew),
        };
        self.runs.last_mut().unwrap().extend(frames);
        self.bytes.last_mut().unwrap().extend_from_slice(piece);
    }

    fn frames(&self) -> Vec<&Seen> {
        self.runs.iter().flatten().collect()
    }
}

/// Somebody who watches.
struct Watcher {
    owner: Browser,
    call: u64,
    video: Track,
    audio: Track,
    last: Value,
}

impl Watcher {
    /// Of the first call.
    fn new(owner: &Browser) -> Self {
        Self {
            owner: owner.clone(),
            call: 1,
            video: Track::default(),
            audio: Track::default(),
            last: Value::Null,
        }
    }

    fn path(&self) -> String {
        let mut path = format!("/page/live?call={}", self.call);
        for (name, track) in [("video", &self.video), ("audio", &self.audio)] {
            if let Some(next) = &track.next {
                path += &format!("&{name}={next}");
            }
        }
        path
    }

    fn poll(&mut self, world: &mut World) {
        let reply = self.owner.get(world, &self.path());
        assert_eq!(
            reply.status,
            200,
            "{}",
            String::from_utf8_lossy(&reply.body)
        );
        self.last = serde_json::from_str(reply.header("x-live").unwrap()).unwrap();
        let length = |track: &Value| track["bytes"].as_u64().unwrap_or(0) as usize;
        let (video, audio) = (&self.last["video"], &self.last["audio"]);
        let (picture, sound) = reply.body.split_at(length(video));
        assert_eq!(sound.len(), length(audio), "bytes of no track");
        self.video.take(video, picture);
        self.audio.take(audio, sound);
    }

    fn watch(&mut self, studio: &mut Studio, time: Duration) {
        let until = studio.world.now + time;
        while studio.world.now < until {
            self.poll(&mut studio.world);
            studio.film(POLL);
        }
    }
}

fn mp4(piece: &[u8], anew: bool) -> Vec<Seen> {
    let samples = if anew {
        let file = Mp4::read_from_anywhere(piece);
        assert_eq!(
            file.moov()
                .children
                .iter()
                .filter(|it| it.kind == "trak")
                .count(),
            1
        );
        file.samples
    } else {
        fragments(piece)
    };
    let seen = samples.into_iter().map(|sample| Seen {
        time: sample.time,
        duration: sample.duration.into(),
        sync: sample.sync,
        bytes: sample.bytes,
    });
    seen.collect()
}

/// Frames of G.711 with their times, in samples.
fn samples(mut piece: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    while let Some((head, rest)) = piece.split_at_checked(10) {
        let seconds = f64::from_be_bytes(head[..8].try_into().unwrap());
        let count = usize::from(u16::from_be_bytes([head[8], head[9]]));
        let (bytes, rest) = rest.split_at(count);
        seen.push(Seen {
            time: (seconds * 8_000.0).round() as u64,
            duration: count as u64,
            sync: true,
            bytes: bytes.to_vec(),
        });
        piece = rest;
    }
    assert!(piece.is_empty());
    seen
}

/// An element of EBML: identifier, body (to the end of what there is, where the length is not known).
fn element(bytes: &[u8]) -> (u32, &[u8], &[u8]) {
    let length = bytes[0].leading_zeros() as usize + 1;
    let id = bytes[..length]
        .iter()
        .fold(0, |id, byte| id << 8 | u32::from(*byte));
    let rest = &bytes[length..];
    let length = rest[0].leading_zeros() as usize + 1;
    let first = u64::from(rest[0]) & ((1 << (8 - length)) - 1);
    let size = rest[1..length]
        .iter()
        .fold(first, |size, byte| size << 8 | u64::from(*byte));
    let rest = &rest[length..];
    let unknown = size == (1 << (7 * length)) - 1;
    let (body, rest) = rest.split_at(if unknown { rest.len() } else { size as usize });
    (id, body, rest)
}

fn elements(mut bytes: &[u8]) -> Vec<(u32, &[u8])> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (id, body, rest) = element(bytes);
        all.push((id, body));
        bytes = rest;
    }
    all
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn webm(piece: &[u8], anew: bool) -> Vec<Seen> {
    let mut clusters = elements(piece);
    if anew {
        assert_eq!(clusters.len(), 2);
        assert_eq!(clusters[0].0, 0x1a45_dfa3);
        assert_eq!(clusters[1].0, 0x1853_8067);
        clusters = elements(clusters[1].1);
        assert_eq!(clusters[0].0, 0x1549_a966);
        let tracks = clusters[1];
        assert_eq!(tracks.0, 0x1654_ae6b);
        let entry = elements(elements(tracks.1)[0].1);
        assert!(entry.contains(&(0x86, b"V_VP8")), "{entry:x?}");
        clusters.drain(..2);
    }
    let mut seen = Vec::new();
    for (id, cluster) in clusters {
        assert_eq!(id, 0x1f43_b675);
        let parts = elements(cluster);
        assert_eq!(parts[0].0, 0xe7);
        let begin = number(parts[0].1);
        for (id, group) in &parts[1..] {
            assert_eq!(*id, 0xa0);
            let group = elements(group);
            let block = group[0].1;
            assert_eq!((group[0].0, block[0], block[3]), (0xa1, 0x81, 0));
            let duration = group.iter().find(|(id, _)| *id == 0x9b).unwrap();
            seen.push(Seen {
                time: begin + number(&block[1..3]),
                duration: number(duration.1),
                sync: !group.iter().any(|(id, _)| *id == 0xfb),
                bytes: block[4..].to_vec(),
            });
        }
    }
    seen
}

fn studio(sound: Option<Sound>, picture: Option<Picture>) -> Studio {
    let config = Config {
        recording: Some(Recording::new("/var/lib/trunkcast/records")),
        ..with_password(config(4, None))
    };
    Studio::call_with(config, sound, picture)
}

fn both() -> Studio {
    studio(Some(Sound::PCMA), Some(Picture::h264(640, 480)))
}

fn record(studio: &mut Studio) {
    let body = json!({"mediaSessionId": "call-4711@192.0.2.10"});
    let reply = post(&mut studio.world, "/rest-api/recorder/startup", &body);
    assert_eq!(reply.status, 200);
}

/// What the call's recording has, as the reader of a track should have it.
fn recorded(studio: &mut Studio, number: u32) -> Vec<Vec<u8>> {
    let body = json!({"mediaSessionId": "call-4711@192.0.2.10"});
    let reply = post(&mut studio.world, "/rest-api/recorder/terminate", &body);
    assert_eq!(reply.status, 200);
    let file = Mp4::read(&studio.world.outlet.files[0].bytes());
    let of = file.of(number).into_iter();
    of.map(|sample| sample.bytes.clone()).collect()
}

/// That each frame ends where the next begins.
fn assert_gapless(frames: &[&Seen]) {
    for pair in frames.windows(2) {
        assert_eq!(pair[0].time + pair[0].duration, pair[1].time);
    }
}

fn assert_complete(studio: &mut Studio, watcher: &Watcher, number: u32) {
    let (track, least) = match number {
        VIDEO => (&watcher.video, 200),
        _ => (&watcher.audio, 400),
    };
    assert_eq!(track.runs.len(), 1, "it began once");
    let frames = track.frames();
    assert!(frames.len() > least, "{}", frames.len());
    let all = recorded(studio, number);
    let begin = all.iter().position(|bytes| *bytes == frames[0].bytes);
    let all = &all[begin.expect("a frame that was published")..];
    assert!(all.len() - frames.len() < 30, "it is nearly up to date");
    for (seen, sent) in frames.iter().zip(all) {
        assert_eq!(seen.bytes, *sent);
    }
    if number == VIDEO {
        assert!(frames[0].sync, "it begins with a keyframe");
    }
}

fn assert_whole(sound: Sound, picture: Picture, types: [&str; 2]) {
    for number in [VIDEO, AUDIO] {
        let mut studio = studio(Some(sound), Some(picture.clone()));
        let owner = page_support::owner(&mut studio.world);
        studio.film(SECOND);
        record(&mut studio);
        let mut watcher = Watcher::new(&owner);
        watcher.watch(&mut studio, 10 * SECOND);
        assert_complete(&mut studio, &watcher, number);
        assert_eq!(watcher.video.types, [Some(types[0].to_owned())]);
        assert_eq!(watcher.audio.types, [Some(types[1].to_owned())]);
        if number == VIDEO || sound.codec != Codec::Pcma {
            let track = [&watcher.audio, &watcher.video][usize::from(number == VIDEO)];
            assert_gapless(&track.frames());
        }
    }
}

#[test]
fn every_frame_comes_once_and_as_it_was() {
    let avc = "video/mp4; codecs=\"avc1.42001f\"";
    assert_whole(Sound::PCMA, Picture::h264(640, 480), [avc, "audio/pcma"]);
}

#[test]
fn aac_comes_as_mp4_of_its_own() {
    let avc = "video/mp4; codecs=\"avc1.42001f\"";
    let aac = "audio/mp4; codecs=\"mp4a.40.2\"";
    assert_whole(Sound::AAC, Picture::h264(640, 480), [avc, aac]);
}

#[test]
fn vp8_comes_as_webm_and_opus_as_mp4() {
    let vp8 = "video/webm; codecs=\"vp8\"";
    let opus = "audio/mp4; codecs=\"opus\"";
    assert_whole(Sound::OPUS, Picture::vp8(640, 480), [vp8, opus]);
}

#[test]
fn picture_and_sound_are_of_one_clock() {
    let mut studio = studio(Some(Sound::OPUS), Some(Picture::h264(640, 480)));
    let owner = page_support::owner(&mut studio.world);
    let mut watcher = Watcher::new(&owner);
    watcher.watch(&mut studio, 5 * SECOND);
    let last = |track: &Track, clock: f64| track.frames().last().unwrap().time as f64 / clock;
    let (video, audio) = (
        last(&watcher.video, 90_000.0),
        last(&watcher.audio, 48_000.0),
    );
    assert!((video - audio).abs() < 0.1, "{video} {audio}");
}

#[test]
fn a_watcher_who_joins_has_the_caller_asked_for_a_keyframe() {
    let mut studio = both();
    let owner = page_support::owner(&mut studio.world);
    studio.film(5 * SECOND);
    let asked = studio.keyframes_asked();
    let mut watcher = Watcher::new(&owner);
    watcher.poll(&mut studio.world);
    assert_eq!(watcher.video.told["waits"], true);
    assert_eq!(watcher.video.told["codec"], "H.264");
    assert_eq!((&watcher.video.next, watcher.video.runs.len()), (&None, 0));
    studio.film(SECOND / 5);
    assert!(studio.keyframes_asked() > asked);
    watcher.poll(&mut studio.world);
    assert!(watcher.video.frames()[0].sync);
    // Another one finds that keyframe still there.
    let asked = studio.keyframes_asked();
    let mut other = Watcher::new(&owner);
    other.poll(&mut studio.world);
    assert!(other.video.frames()[0].sync);
    studio.film(SECOND);
    assert_eq!(studio.keyframes_asked(), asked);
}

#[test]
fn a_keyframe_is_not_asked_for_with_every_question() {
    let mut studio = both();
    let owner = page_support::owner(&mut studio.world);
    studio.film(5 * SECOND);
    // The camera hears nothing of being asked.
    let asked = studio.keyframes_asked();
    for _ in 0..100 {
        Watcher::new(&owner).poll(&mut studio.world);
    }
    studio.world.advance(Duration::from_millis(100));
    let asked = studio.keyframes_asked() - asked;
    assert!((1..=3).contains(&asked), "{asked}");
}

#[test]
fn another_codec_begins_anew() {
    let mut studio = both();
    let owner = page_support::owner(&mut studio.world);
    let mut watcher = Watcher::new(&owner);
    watcher.watch(&mut studio, 2 * SECOND);
    studio.agree(Some(Sound::OPUS), Some(Picture::vp8(320, 240)), "sendrecv");
    watcher.watch(&mut studio, 3 * SECOND);
    let types = |track: &Track| {
        let types = track.types.iter().flatten();
        types
            .map(|it| it.split('"').nth(1).unwrap_or(it).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(types(&watcher.video), ["avc1.42001f", "vp8"]);
    assert_eq!(types(&watcher.audio), ["audio/pcma", "opus"]);
    assert!(watcher.video.runs[1][0].sync);
    assert!(watcher.video.runs[1].len() > 50);
    assert!(watcher.audio.runs[1].len() > 120);
}

#[test]
fn another_size_begins_anew_at_its_keyframe_and_tells_it() {
    let mut studio = both();
    let owner = page_support::owner(&mut studio.world);
    let mut watcher = Watcher::new(&owner);
    watcher.watch(&mut studio, 2 * SECOND);
    studio.picture = Picture::h264(1_280, 720);
    let mut sizes = Vec::new();
    for _ in 0..8 {
        watcher.poll(&mut studio.world);
        sizes.extend(watcher.video.told["width"].as_u64());
        studio.film(POLL);
    }
    assert_eq!(sizes, [1_280]);
    assert_eq!(watcher.video.runs.len(), 2);
    assert!(watcher.video.runs[1][0].sync);
    // What came before the change was still given, up to its last frame.
    let given: usize = watcher.video.runs.iter().map(Vec::len).sum();
    assert!(given + 15 > studio.sent.len(), "{given}");
    assert_eq!(watcher.audio.runs.len(), 1);
}

#[test]
fn a_watcher_who_was_away_begins_anew() {
    let mut studio = both();
    let owner = page_support::owner(&mut studio.world);
    let mut watcher = Watcher::new(&owner);
    watcher.watch(&mut studio, 2 * SECOND);
    studio.film(10 * SECOND);
    watcher.poll(&mut studio.world);
    assert_eq!(watcher.video.told["waits"], true);
    assert_eq!(watcher.video.told["bytes"], 0);
    watcher.watch(&mut studio, 2 * SECOND);
    assert_eq!(watcher.video.runs.len(), 2);
    assert_eq!(watcher.audio.runs.len(), 2);
    assert!(watcher.video.runs[1][0].sync);
    assert_gapless(&watcher.video.runs[1].iter().collect::<Vec<_>>());
}

#[test]
fn a_place_that_is_not_there_yet_begins_anew() {
    let mut studio = both();
    let owner = page_support::owner(&mut studio.world);
    let mut watcher = Watcher::new(&owner);
    watcher.watch(&mut studio, SECOND);
    watcher.video.next = Some("ffffffffffffffff.0".to_owned());
    watcher.audio.next = Some("ffffffffffffffff.ffffffff".to_owned());
    watcher.watch(&mut studio, SECOND);
    assert_eq!((watcher.video.runs.len(), watcher.audio.runs.len()), (2, 2));
}

#[test]
fn a_track_that_is_not_wanted_is_told_of_and_left_out() {
    let mut studio = both();
    let owner = page_support::owner(&mut studio.world);
    let mut watcher = Watcher::new(&owner);
    watcher.audio.next = Some("-".to_owned());
    watcher.poll(&mut studio.world);
    studio.film(SECOND);
    watcher.audio.next = Some("-".to_owned());
    watcher.poll(&mut studio.world);
    assert_eq!(watcher.audio.told["codec"], "G.711 A-law");
    assert_eq!(watcher.audio.told["bytes"], 0);
    assert!(watcher.video.frames().len() > 20);
}

#[test]
fn a_call_of_sound_alone_has_no_picture() {
    let mut studio = studio(Some(Sound::PCMU), None);
    let owner = page_support::owner(&mut studio.world);
    let mut watcher = Watcher::new(&owner);
    watcher.watch(&mut studio, 2 * SECOND);
    assert_eq!(watcher.last["video"], Value::Null);
    assert_eq!(watcher.audio.types, [Some("audio/pcmu".to_owned())]);
    assert!(watcher.audio.frames().len() > 70);
}

#[test]
fn what_is_no_question_is_refused() {
    let mut studio = both();
    let mut owner = page_support::owner(&mut studio.world);
    for query in [
        "",
        "?",
        "?call",
        "?call=",
        "?call=x",
        "?call=-1",
        "?call=18446744073709551616",
        "?call=1&video",
        "?call=1&video=",
        "?call=1&video=1",
        "?call=1&video=.",
        "?call=1&video=1.",
        "?call=1&video=g.1",
        "?call=1&video=1.1.1",
        "?call=1&video=1.100000000",
        "?call=1&audio=10000000000000000.1",
        "?call=1&audio=-1.-1",
        "?call=1&audio=%31.1",
        "?video=1.1",
    ] {
        let reply = owner.get(&mut studio.world, &format!("/page/live{query}"));
        assert_eq!(reply.status, 400, "{query}");
        assert_eq!(reply.json()["problem"], "badQuery", "{query}");
    }
    let mut rng = Rng::from_number(9);
    for _ in 0..500 {
        let places = [rng.u64() >> rng.below(64), rng.u64() >> rng.below(64)];
        let prints = [rng.u32(), rng.u32()];
        let query = format!(
            "call=1&video={:x}.{:x}&audio={:x}.{:x}",
            places[0], prints[0], places[1], prints[1]
        );
        let reply = owner.get(&mut studio.world, &format!("/page/live?{query}"));
        assert_eq!(reply.status, 200, "{query}");
        studio.film(Duration::from_millis(20));
    }
}

#[test]
fn a_call_that_is_not_there_is_not_found() {
    let mut studio = both();
    let mut owner = page_support::owner(&mut studio.world);
    let reply = owner.get(&mut studio.world, "/page/live?call=2");
    assert_eq!(
        (reply.status, &reply.json()["problem"]),
        (404, &json!("noSuchCall"))
    );
    let mut watcher = Watcher::new(&owner);
    watcher.watch(&mut studio, 2 * SECOND);
    let Studio { world, phone, .. } = &mut studio;
    world.bye(phone);
    assert_eq!(owner.get(world, &watcher.path()).status, 404);
}

#[test]
fn a_caller_on_hold_is_told() {
    let mut studio = both();
    let owner = page_support::owner(&mut studio.world);
    let mut watcher = Watcher::new(&owner);
    watcher.watch(&mut studio, 2 * SECOND);
    assert_eq!(watcher.last["hold"], false);
    let (sound, picture) = (studio.sound, studio.picture.clone());
    studio.agree(Some(sound), Some(picture.clone()), "inactive");
    (studio.with_audio, studio.with_video) = (false, false);
    watcher.watch(&mut studio, 3 * SECOND);
    assert_eq!(watcher.last["hold"], true);
    studio.agree(Some(sound), Some(picture), "sendrecv");
    let before = watcher.video.frames().len();
    watcher.watch(&mut studio, 3 * SECOND);
    assert_eq!(watcher.last["hold"], false);
    assert!(watcher.video.frames().len() > before + 40);
}

#[test]
fn a_call_that_nobody_watches_any_more_keeps_no_frames() {
    let mut studio = both();
    let owner = page_support::owner(&mut studio.world);
    studio.film(SECOND);
    let free = studio.world.pool.available();
    let mut watcher = Watcher::new(&owner);
    watcher.watch(&mut studio, 3 * SECOND);
    let held = free - studio.world.pool.available();
    assert!((100..400).contains(&held), "{held}");
    studio.film(5 * SECOND);
    assert!(studio.world.pool.available() + 20 >= free);
    let call = studio.world.gateway.calls().next().unwrap();
    assert!(call.outputs.is_none());
}

#[test]
fn a_call_that_stands_still_lets_go_of_its_frames_too() {
    let mut studio = both();
    let owner = page_support::owner(&mut studio.world);
    let mut watcher = Watcher::new(&owner);
    watcher.watch(&mut studio, 2 * SECOND);
    let before = studio.world.pool.available();
    studio.world.advance(5 * SECOND);
    assert!(studio.world.pool.available() > before + 50);
}

#[test]
fn so_many_calls_are_watched_and_no_more() {
    let calls = LIVE_CALLS + 2;
    let mut world = World::new(with_password(config(calls, None)));
    let mut owner = page_support::owner(&mut world);
    for number in 0..calls {
        let mut phone = Phone::new(&format!("47{number}"));
        world.call(&mut phone);
    }
    for call in 1..=LIVE_CALLS {
        assert_eq!(
            owner
                .get(&mut world, &format!("/page/live?call={call}"))
                .status,
            200
        );
    }
    let path = format!("/page/live?call={}", LIVE_CALLS + 1);
    let reply = owner.get(&mut world, &path);
    assert_eq!(
        (reply.status, &reply.json()["problem"]),
        (503, &json!("tooManyWatched"))
    );
    // Those that are watched go on; once one is not any more there is room.
    assert_eq!(owner.get(&mut world, "/page/live?call=1").status, 200);
    world.advance(5 * SECOND);
    assert_eq!(owner.get(&mut world, &path).status, 200);
}

#[test]
fn frames_held_for_watchers_go_first_when_slots_are_scarce() {
    let mut studio = both();
    let owner = page_support::owner(&mut studio.world);
    let mut watcher = Watcher::new(&owner);
    watcher.watch(&mut studio, 3 * SECOND);
    let pool = studio.world.pool.clone();
    // Others take two thirds of all slots.
    let others = pool.capacity() * 2 / 3;
    let taken: Vec<_> = (0..others).map(|_| pool.copy_from(b"x").unwrap()).collect();
    studio.film(SECOND);
    let log = |studio: &Studio| studio.world.gateway.calls().next().unwrap().log.segments();
    assert!(log(&studio) < 10, "{}", log(&studio));
    assert_eq!(studio.world.pool_empty, 0);
    // Whoever watches begins anew, when there is room again.
    drop(taken);
    watcher.watch(&mut studio, 4 * SECOND);
    assert!(watcher.video.runs.len() >= 2);
    assert!(watcher.video.runs.last().unwrap().len() > 50);
}

#[test]
fn an_answer_is_bounded_and_says_that_there_is_more() {
    let (sound, picture) = (Sound::PCMA, Picture::h264(640, 480));
    let mut studio = Studio::call_with(with_password(config(32, None)), Some(sound), Some(picture));
    let owner = page_support::owner(&mut studio.world);
    // Pictures of up to 100 KB.
    studio.video.room = 100_000;
    let mut watcher = Watcher::new(&owner);
    let mut more = 0;
    for _ in 0..10 {
        watcher.poll(&mut studio.world);
        while watcher.last["more"] == true {
            more += 1;
            assert!(watcher.video.told["bytes"].as_u64().unwrap() < 700_000);
            watcher.poll(&mut studio.world);
        }
        studio.film(POLL);
    }
    assert!(more > 0);
    assert!(watcher.video.frames().len() > 30);
}

#[test]
fn who_has_not_signed_in_sees_nothing() {
    let mut studio = both();
    let reply = Browser::default().get(&mut studio.world, "/page/live?call=1");
    assert_eq!(
        (reply.status, &reply.json()["problem"]),
        (401, &json!("signedOut"))
    );
    assert_eq!(reply.header("x-live"), None);
    let call = studio.world.gateway.calls().next().unwrap();
    assert!(call.outputs.is_none(), "nothing is kept for strangers");
}

#[test]
fn twenty_watchers_of_one_call_each_have_every_frame() {
    let mut studio = both();
    let owner = page_support::owner(&mut studio.world);
    let mut watchers: Vec<_> = (0..20).map(|_| Watcher::new(&owner)).collect();
    for _ in 0..12 {
        for watcher in &mut watchers {
            watcher.poll(&mut studio.world);
        }
        studio.film(POLL - Duration::from_millis(20));
    }
    let first = &watchers[0];
    assert!(first.video.frames().len() > 80);
    for watcher in &watchers {
        assert_eq!(watcher.video.runs.len(), 1);
        // Whoever began earlier has all that the other has.
        let (one, other) = (first.video.frames(), watcher.video.frames());
        let (long, short) = match one[0].time <= other[0].time {
            true => (&one, &other),
            false => (&other, &one),
        };
        let begin = long.iter().position(|frame| *frame == short[0]);
        let same = long[begin.expect("a common frame")..].iter().zip(short);
        assert!(same.clone().count() > 60);
        assert!(same.into_iter().all(|(one, other)| one == other));
        assert_gapless(&other);
    }
    assert_eq!(studio.world.pool_empty, 0);
}
