//! Recordings on the virtual clock: what a call's stream becomes in files, how they begin, go on in
//! others and end, and what of it the REST interface knows.

mod gateway_support;
mod mp4_support;
mod rest_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use mp4_support::{AUDIO, Mp4, VIDEO};
use rest_support::{Reply, ask, post};
use serde_json::{Value, json};
use trunkcast::base::codec::Track;
use trunkcast::gateway::config::{Config, Recording};
use trunkcast::gateway::outlet::Recorded;
use trunkcast::limits::RECORDINGS;

const SECOND: Duration = Duration::from_secs(1);
const STARTUP: &str = "/rest-api/recorder/startup";
const TERMINATE: &str = "/rest-api/recorder/terminate";
const FIND_ALL: &str = "/rest-api/recorder/find_all";

/// The session of a studio's call.
const SESSION: &str = "call-4711@192.0.2.10";

fn with_folder(calls: usize) -> Config {
    Config {
        recording: Some(Recording::new("/var/lib/trunkcast/records")),
        ..config(calls, None)
    }
}

fn studio(sound: Option<Sound>, picture: Option<Picture>) -> Studio {
    Studio::call_with(with_folder(4), sound, picture)
}

fn both() -> Studio {
    studio(Some(Sound::PCMA), Some(Picture::h264(640, 480)))
}

fn start(studio: &mut Studio, more: Value) -> Reply {
    let mut body = json!({"mediaSessionId": SESSION});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    post(&mut studio.world, STARTUP, &body)
}

fn started(studio: &mut Studio, more: Value) {
    assert_done(&start(studio, more));
}

fn assert_done(reply: &Reply) {
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!((reply.status, &*text), (200, ""));
    assert_eq!(reply.header("content-length"), Some("0"));
}

fn files(studio: &Studio) -> &[FakeFile] {
    &studio.world.outlet.files
}

fn read(file: &FakeFile) -> Mp4 {
    Mp4::read(&file.bytes())
}

fn ended(file: &FakeFile) -> &str {
    &file.end.as_ref().expect("an end").name
}

fn notes(studio: &Studio, words: &str) -> usize {
    let notes = studio.world.outlet.notes.iter();
    notes.filter(|(_, line)| line.contains(words)).count()
}

#[test]
fn a_call_of_picture_and_sound_becomes_one_file() {
    let mut studio = both();
    studio.film(SECOND);
    started(&mut studio, json!({}));
    let first = studio.sent.len();
    studio.film(10 * SECOND);
    assert_eq!(files(&studio)[0].end, None);
    assert_eq!(
        files(&studio)[0].name,
        "stream-call-4711%40192.0.2.10-1001.mp4"
    );
    let listed = post(&mut studio.world, FIND_ALL, &json!({}));
    assert_eq!(
        listed.json(),
        json!([{"fileName": "stream-call-4711%40192.0.2.10-1001.mp4", "mediaSessionId": SESSION}])
    );
    let body = json!({"mediaSessionId": SESSION});
    assert_done(&post(&mut studio.world, TERMINATE, &body));
    assert_eq!(post(&mut studio.world, TERMINATE, &body).status, 404);
    assert_eq!(post(&mut studio.world, FIND_ALL, &json!({})).status, 404);
    studio.film(SECOND);
    let [file] = files(&studio) else {
        panic!("{:?}", files(&studio).len());
    };
    assert_eq!(ended(file), "stream-call-4711%40192.0.2.10-1001.mp4");
    let mp4 = read(file);
    assert_eq!(mp4.entry(VIDEO).unwrap().0, "avc1");
    assert_eq!(mp4.entry(AUDIO).unwrap().0, "alaw");
    let pictures = mp4.of(VIDEO);
    assert!(pictures[0].sync, "nothing comes before a keyframe");
    // From the keyframe that was asked for on, every picture as it was sent.
    let begin = (first..studio.sent.len()).find(|at| studio.sent[*at].keyframe);
    let sent = &studio.sent[begin.expect("a keyframe was asked for")..];
    assert!(pictures.len() >= 240, "{}", pictures.len());
    for (picture, sent) in pictures.iter().zip(sent) {
        assert_eq!(
            (picture.bytes.len(), picture.sync),
            (sent.size, sent.keyframe)
        );
    }
    for (number, step) in [(VIDEO, 3_600), (AUDIO, 160)] {
        let samples = mp4.of(number);
        for pair in samples.windows(2) {
            let between = pair[1].time - pair[0].time;
            // The call's clock is slewed by at most 5 ms a second.
            let most = 1 + step / 200;
            assert!(between.abs_diff(step) <= most, "{number}: {between}");
        }
    }
    // In step: audio and video of one moment have times of one moment.
    let seconds = |number| mp4.of(number)[0].time as f64 / f64::from(mp4.clock(number));
    assert!((seconds(VIDEO) - seconds(AUDIO)).abs() < 0.1);
}

#[test]
fn a_fragment_waits_no_longer_than_a_second() {
    let mut studio = both();
    started(&mut studio, json!({}));
    let mut last = None;
    for _ in 0..20 {
        studio.film(Duration::from_millis(500));
        let held = files(&studio).first().map_or(0, |file| file.pieces.len());
        last = (Some(held) != last.map(|(held, _)| held))
            .then_some((held, studio.world.now))
            .or(last);
        let since = studio.world.now.since(last.unwrap().1);
        assert!(since <= Duration::from_millis(1_500), "{since:?}");
    }
    // A caller that sends nothing more: what came is not held back.
    let before = read(&files(&studio)[0]).of(AUDIO).len();
    studio.with_audio = false;
    studio.with_video = false;
    studio.film(2 * SECOND);
    let mp4 = read(&files(&studio)[0]);
    assert!(mp4.of(AUDIO).len() > before);
    let pictures = mp4.of(VIDEO);
    assert_eq!(
        pictures.last().unwrap().bytes.len(),
        studio.sent.last().unwrap().size
    );
}

#[test]
fn sound_alone_is_recorded_in_every_codec() {
    for (sound, entry, clock) in [
        (Sound::PCMA, "alaw", 8_000),
        (Sound::PCMU, "ulaw", 8_000),
        (Sound::AAC, "mp4a", 48_000),
        (Sound::OPUS, "Opus", 48_000),
    ] {
        let mut studio = studio(Some(sound), None);
        started(&mut studio, json!({}));
        studio.film(5 * SECOND);
        studio.world.bye(&mut studio.phone);
        let mp4 = read(&files(&studio)[0]);
        assert_eq!(mp4.entry(AUDIO).unwrap().0, entry);
        assert_eq!((mp4.clock(AUDIO), mp4.entry(VIDEO)), (clock, None));
        let samples = mp4.of(AUDIO);
        let lasts: u64 = samples.iter().map(|it| u64::from(it.duration)).sum();
        let seconds = lasts as f64 / f64::from(clock);
        assert!((4.8..5.3).contains(&seconds), "{entry}: {seconds}");
    }
}

#[test]
fn the_end_of_the_call_ends_the_file_with_its_last_frame() {
    let mut studio = studio(Some(Sound::OPUS), Some(Picture::vp8(640, 480)));
    let more = json!({"config": {"fileTemplate": "{streamName}_{videoCodec}_{audioCodec}_{duration}_{endTimeMillis}"}});
    started(&mut studio, more);
    studio.film(5 * SECOND);
    studio.world.bye(&mut studio.phone);
    let file = &files(&studio)[0];
    assert_eq!(
        file.name,
        "rtmp_4711_vp8_opus_{duration}_{endTimeMillis}.mp4"
    );
    let name = ended(file);
    assert!(
        name.starts_with("rtmp_4711_vp8_opus_") && !name.contains('{'),
        "{name}"
    );
    let mp4 = read(file);
    assert_eq!(mp4.entry(VIDEO).unwrap().0, "vp08");
    let pictures = mp4.of(VIDEO);
    assert!(pictures.len() >= 124, "{}", pictures.len());
    // The picture that was sent last waits for the next one's first packet, or the end.
    let sizes: Vec<usize> = studio.sent.iter().map(|sent| sent.size).collect();
    assert!(sizes.ends_with(&[pictures.last().unwrap().bytes.len()]));
    assert_eq!(studio.world.gateway.recordings().count(), 0);
}

#[test]
fn what_changes_goes_on_in_a_new_file() {
    let mut studio = both();
    started(&mut studio, json!({}));
    studio.film(3 * SECOND);
    studio.picture = Picture::h264(480, 640);
    studio.film(3 * SECOND);
    studio.agree(Some(Sound::OPUS), Some(Picture::h264(480, 640)), "sendrecv");
    studio.film(3 * SECOND);
    studio.world.bye(&mut studio.phone);
    let names: Vec<&str> = files(&studio).iter().map(ended).collect();
    let stem = "stream-call-4711%40192.0.2.10-1001";
    assert_eq!(
        names,
        [
            format!("{stem}_1.mp4"),
            format!("{stem}_2.mp4"),
            format!("{stem}.mp4")
        ]
    );
    let read: Vec<Mp4> = files(&studio).iter().map(read).collect();
    let size = |mp4: &Mp4| {
        let entry = mp4.entry(VIDEO).unwrap().1;
        (
            u16::from_be_bytes([entry[24], entry[25]]),
            u16::from_be_bytes([entry[26], entry[27]]),
        )
    };
    assert_eq!(
        read.iter().map(size).collect::<Vec<_>>(),
        [(640, 480), (480, 640), (480, 640)]
    );
    assert_eq!(read[1].entry(AUDIO).unwrap().0, "alaw");
    assert_eq!(read[2].entry(AUDIO).unwrap().0, "Opus");
    for mp4 in &read {
        assert!(mp4.of(VIDEO)[0].sync);
        assert!(mp4.of(VIDEO).len() > 60 && mp4.of(AUDIO).len() > 120);
    }
    // Nothing of the picture that turned is lost.
    let pictures: usize = read[..2].iter().map(|mp4| mp4.of(VIDEO).len()).sum();
    assert!(pictures >= 149, "{pictures}");
}

#[test]
fn a_track_that_comes_later_begins_a_new_file() {
    let mut studio = studio(Some(Sound::PCMA), None);
    started(&mut studio, json!({}));
    studio.film(3 * SECOND);
    studio.agree(Some(Sound::PCMA), Some(Picture::h264(640, 480)), "sendrecv");
    studio.film(3 * SECOND);
    studio.world.bye(&mut studio.phone);
    let read: Vec<Mp4> = files(&studio).iter().map(read).collect();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].entry(VIDEO), None);
    assert!(read[1].entry(VIDEO).is_some() && read[1].entry(AUDIO).is_some());
    assert_eq!(notes(&studio, "goes on in a new file: video began"), 1);
}

#[test]
fn files_end_at_the_rotation_that_is_asked_for() {
    let mut studio = both();
    started(
        &mut studio,
        json!({"config": {"rotation": 5, "fileTemplate": "cam"}}),
    );
    studio.film(22 * SECOND);
    studio.world.bye(&mut studio.phone);
    let names: Vec<&str> = files(&studio).iter().map(ended).collect();
    assert_eq!(
        names,
        [
            "cam_1.mp4",
            "cam_2.mp4",
            "cam_3.mp4",
            "cam_4.mp4",
            "cam.mp4"
        ]
    );
    let mut pictures = 0;
    for file in files(&studio) {
        let mp4 = read(file);
        let first = mp4.of(VIDEO)[0];
        assert!(first.sync && first.time < 9_000, "{first:?}");
        pictures += mp4.of(VIDEO).len();
    }
    assert!(
        pictures >= studio.sent.len() - 1,
        "no picture is lost between files"
    );

    let mut studio = both();
    started(&mut studio, json!({"config": {"rotation": "64K"}}));
    studio.film(20 * SECOND);
    studio.world.bye(&mut studio.phone);
    assert!(files(&studio).len() >= 3);
    let (_, but_last) = files(&studio).split_last().unwrap();
    assert!(but_last.iter().all(|file| file.bytes().len() >= 65_536 / 2));
}

#[test]
fn a_second_startup_ends_the_file_and_begins_another() {
    let mut studio = both();
    started(&mut studio, json!({"fileName": "one.mp4", "force": "true"}));
    studio.film(3 * SECOND);
    started(&mut studio, json!({"fileName": "../two", "force": false}));
    studio.film(3 * SECOND);
    studio.world.bye(&mut studio.phone);
    let ends: Vec<_> = files(&studio)
        .iter()
        .map(|it| it.end.clone().unwrap())
        .collect();
    assert_eq!((ends[0].name.as_str(), ends[0].replace), ("one.mp4", true));
    assert_eq!(
        (ends[1].name.as_str(), ends[1].replace),
        ("%2E.%2Ftwo.mp4", false)
    );
}

#[test]
fn what_cannot_be_recorded_is_told_in_words() {
    let mut studio = Studio::call_with(config(4, None), Some(Sound::PCMA), None);
    let message = |reply: &Reply| reply.json()["message"].as_str().unwrap().to_owned();
    let refused = start(&mut studio, json!({}));
    assert_eq!(refused.status, 500);
    assert!(message(&refused).contains("recording.directory"));

    let mut studio = both();
    let unknown = post(
        &mut studio.world,
        STARTUP,
        &json!({"mediaSessionId": "nobody"}),
    );
    assert_eq!(unknown.status, 404);
    for (more, field) in [
        (
            json!({"config": {"rotation": "5 minutes"}}),
            "config.rotation",
        ),
        (
            json!({"config": {"fileTemplate": "{nothing}"}}),
            "config.fileTemplate",
        ),
        // What is told by name is not read by place.
        (json!({"config": ["cam", 5]}), "config"),
        (json!({"config": "cam"}), "config"),
        (json!({"force": "perhaps"}), "force"),
        (json!({"fileName": [1]}), "fileName"),
        (json!({"mediaSessionId": null}), "mediaSessionId"),
    ] {
        let refused = start(&mut studio, more);
        assert_eq!(refused.status, 400, "{field}");
        assert!(
            message(&refused).starts_with(field),
            "{}",
            message(&refused)
        );
    }
    for method in ["startup", "add", "find_all", "remove", "terminate"] {
        let path = format!("/rest-api/multipleRecorder/{method}");
        let refused = ask(&mut studio.world, "POST", &path, "{}");
        assert_eq!(
            (refused.status, refused.json()["status"].clone()),
            (501, json!(501))
        );
    }
    assert!(files(&studio).is_empty());
}

#[test]
fn the_older_names_and_the_call_id_do_the_same() {
    let mut studio = both();
    let body = json!({"callId": SESSION});
    assert_done(&post(
        &mut studio.world,
        "/rest-api/stream/startRecording",
        &body,
    ));
    studio.film(2 * SECOND);
    assert_done(&post(
        &mut studio.world,
        "/rest-api/stream/stopRecording",
        &body,
    ));
    assert_eq!(
        ended(&files(&studio)[0]),
        "stream-call-4711%40192.0.2.10-1001.mp4"
    );
}

#[test]
fn a_trunk_may_have_all_its_calls_recorded() {
    for (all, record, expected) in [
        (false, Some(true), 1),
        (true, None, 1),
        (true, Some(false), 0),
        (false, None, 0),
    ] {
        let mut config = with_folder(4);
        config.recording.as_mut().unwrap().all = all;
        config.trunks[0].record = record;
        let picture = Picture::h264(640, 480);
        let mut studio = Studio::call_with(config, Some(Sound::PCMA), Some(picture));
        studio.film(3 * SECOND);
        assert_eq!(studio.world.gateway.recordings().count(), expected);
        // Ended by hand, it does not begin again by itself.
        let body = json!({"mediaSessionId": SESSION});
        let status = post(&mut studio.world, TERMINATE, &body).status;
        assert_eq!(status, if expected == 1 { 200 } else { 404 });
        studio.film(2 * SECOND);
        studio.world.bye(&mut studio.phone);
        assert_eq!(files(&studio).len(), expected);
        if expected == 1 {
            let mp4 = read(&files(&studio)[0]);
            assert_eq!(
                mp4.of(VIDEO)[0].bytes.len(),
                studio.sent[0].size,
                "from the first picture on"
            );
        }
    }
}

#[test]
fn a_disk_that_is_too_slow_or_full_costs_the_recording_alone() {
    let mut studio = both();
    studio.world.play("rtmp_4711");
    started(&mut studio, json!({}));
    studio.film(3 * SECOND);
    studio.world.outlet.slow_disk = true;
    studio.film(3 * SECOND);
    assert_eq!(
        notes(&studio, "the recording ends: the disk is too slow"),
        1
    );
    assert_eq!(studio.world.gateway.recordings().count(), 0);
    assert!(files(&studio)[0].end.is_some());

    studio.world.outlet.slow_disk = false;
    started(&mut studio, json!({}));
    studio.film(3 * SECOND);
    let id = files(&studio)[1].id;
    let outcome = Recorded::Failed {
        words: "less than 512 MiB of the disk are free".to_owned(),
    };
    let (now, world) = (studio.world.now, &mut studio.world);
    world
        .gateway
        .handle_recorded(now, id, &outcome, &mut world.outlet);
    world.settle();
    assert_eq!(notes(&studio, "the recording ends: less than 512 MiB"), 1);
    assert_eq!(studio.world.gateway.counters().recordings_lost, 2);
    assert!(files(&studio)[1].end.is_some());
    studio.film(3 * SECOND);
    assert!(studio.world.find("rtmp_4711").is_some(), "the call goes on");
    let packets = studio
        .world
        .find("rtmp_4711")
        .unwrap()
        .session
        .stats(Track::Audio)
        .packets;
    assert!(packets >= 440, "{packets}");
}

#[test]
fn a_codec_without_a_place_is_left_out_in_words() {
    use gateway_support::handset::{Handset, Picture, Sound, phone_of};
    let mut world = World::new(with_folder(4));
    let mut phone = phone_of("4711", Picture::H264, Sound::Speex);
    let mut handset = Handset::new(Picture::H264, Sound::Speex, 1);
    world.call(&mut phone);
    let session = phone.call_id.clone();
    let reply = post(&mut world, STARTUP, &json!({"mediaSessionId": session}));
    assert_done(&reply);
    handset.live(&mut world, 4 * SECOND, |world, track, bytes| {
        world.media(&phone, track, &bytes);
    });
    world.bye(&mut phone);
    let mp4 = Mp4::read(&world.outlet.files[0].bytes());
    assert_eq!(
        (mp4.entry(AUDIO), mp4.entry(VIDEO).unwrap().0.as_str()),
        (None, "avc1")
    );
    let notes = world.outlet.notes.iter();
    let told = notes
        .filter(|(_, line)| line.contains("audio left out of the recording: MP4 has no Speex"));
    assert_eq!(told.count(), 1);
}

#[test]
fn recordings_at_once_are_bounded() {
    let mut world = World::new(with_folder(RECORDINGS + 1));
    world.checks = false;
    let mut statuses = Vec::new();
    for number in 0..=RECORDINGS {
        let mut phone = Phone::new(&format!("47{number:02}"));
        world.call(&mut phone);
        let body = json!({"mediaSessionId": phone.call_id});
        statuses.push(post(&mut world, STARTUP, &body).status);
    }
    assert_eq!(statuses[..RECORDINGS], [200; RECORDINGS]);
    assert_eq!(statuses[RECORDINGS], 500);
    let listed = ask(&mut world, "GET", FIND_ALL, "").json();
    assert_eq!(listed.as_array().unwrap().len(), RECORDINGS);
}

#[test]
fn a_call_that_breaks_leaves_a_file_that_is_ended() {
    let mut studio = both();
    started(&mut studio, json!({}));
    studio.film(3 * SECOND);
    studio.world.gateway.stop(studio.world.now);
    studio.world.settle();
    studio.film(SECOND);
    assert!(files(&studio)[0].end.is_some());
    assert!(read(&files(&studio)[0]).of(VIDEO).len() > 60);
}
