//! Keys and injection as clients of the REST interface ask for them: codes and bodies.

mod gateway_support;
mod rest_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::callee::Callee;
use gateway_support::*;
use rest_support::*;
use serde_json::{Value, json};

const SEND_DTMF: &str = "/rest-api/call/send_dtmf";
const STARTUP: &str = "/rest-api/call/inject_stream/startup";
const LEGACY: &str = "/rest-api/call/inject_stream";
const TERMINATE: &str = "/rest-api/call/inject_stream/terminate";

fn assert_done(reply: &Reply) {
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!((reply.status, &*text), (200, ""));
    assert_eq!(reply.header("content-length"), Some("0"));
}

fn assert_refused(reply: &Reply, status: u16, words: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains(words), "{message}");
}

fn calling(numbers: &[&str]) -> (World, Vec<Phone>) {
    let mut world = World::local(8);
    let phones = numbers.iter().map(|number| {
        let mut phone = Phone::new(number);
        world.call(&mut phone);
        phone
    });
    let phones = phones.collect();
    (world, phones)
}

/// INFO requests that came to a phone; each is answered with 200.
fn infos(world: &mut World, phone: &Phone) -> Vec<(String, String)> {
    let taken = world.take(phone).into_iter();
    let infos = taken.filter(|text| text.starts_with("INFO "));
    let infos = infos.map(|text| {
        let kind = headers(&text, "Content-Type")[0].to_owned();
        (kind, text.split_once("\r\n\r\n").unwrap().1.to_owned())
    });
    infos.collect()
}

#[test]
fn keys_are_sent_in_each_way_and_answered_with_nothing() {
    let (mut world, phones) = calling(&["4711"]);
    let phone = &phones[0];
    let id = &phone.call_id;
    let events = |world: &mut World| {
        world.advance(Duration::from_secs(3));
        let sent = std::mem::take(&mut world.outlet.sent_media);
        sent.iter()
            .filter(|sent| sent.bytes[1] & 0x7f == 101)
            .count()
    };
    for body in [
        json!({"callId": id, "dtmf": "12345#", "type": "RFC2833"}),
        json!({"callId": id, "dtmf": "12345#"}),
        json!({"callId": id, "dtmf": "12345#", "type": "", "unknown": [1]}),
        json!({"callId": id, "dtmf": 123_456, "type": "rfc2833"}),
    ] {
        assert_done(&post(&mut world, SEND_DTMF, &body));
        assert_eq!(events(&mut world), 6 * 8, "{body}");
    }
    // Each INFO is answered by the test world at once.
    let relay = json!({"callId": id, "dtmf": "5#", "type": "INFO_RELAY"});
    assert_done(&post(&mut world, SEND_DTMF, &relay));
    let sent = infos(&mut world, phone);
    let kind = "application/dtmf-relay".to_owned();
    let body = |key: char| format!("Signal={key}\r\nDuration=120\r\n");
    assert_eq!(sent, [(kind.clone(), body('5')), (kind, body('#'))]);
    let plain = json!({"callId": id, "dtmf": "a1", "type": "INFO"});
    assert_done(&post(&mut world, SEND_DTMF, &plain));
    let sent = infos(&mut world, phone);
    let kind = "application/dtmf".to_owned();
    assert_eq!(
        sent,
        [(kind.clone(), "A".to_owned()), (kind, "1".to_owned())]
    );
    assert_eq!(events(&mut world), 0);
}

#[test]
fn no_key_is_written_to_the_journal() {
    let (mut world, phones) = calling(&["4711"]);
    for way in ["RFC2833", "INFO", "INFO_RELAY"] {
        let body = json!({"callId": phones[0].call_id, "dtmf": "998877", "type": way});
        assert_done(&post(&mut world, SEND_DTMF, &body));
    }
    world.advance(Duration::from_secs(3));
    assert!(world.notes("998877").is_empty());
    assert_eq!(world.notes("presses 6 keys").len(), 3);
}

#[test]
fn keys_that_cannot_be_sent_are_refused_in_words() {
    let (mut world, mut phones) = calling(&["4711"]);
    let id = phones[0].call_id.clone();
    for (body, status, words) in [
        (
            json!({"callId": "none", "dtmf": "1"}),
            404,
            "no call has this callId",
        ),
        (json!({"dtmf": "1"}), 400, "callId: expected text"),
        (json!({"callId": id}), 400, "dtmf: expected text"),
        (
            json!({"callId": id, "dtmf": ""}),
            400,
            "dtmf: expected text",
        ),
        (json!({"callId": id, "dtmf": "12x"}), 400, "not 'x'"),
        (
            json!({"callId": id, "dtmf": "1".repeat(65)}),
            400,
            "at most 64",
        ),
        (
            json!({"callId": id, "dtmf": "1", "type": "TONE"}),
            400,
            "RFC2833, INFO or",
        ),
        (
            json!({"callId": id, "dtmf": true}),
            400,
            "dtmf: expected text",
        ),
    ] {
        assert_refused(&post(&mut world, SEND_DTMF, &body), status, words);
    }
    let many = json!({"callId": id, "dtmf": "1".repeat(40)});
    assert_done(&post(&mut world, SEND_DTMF, &many));
    assert_refused(&post(&mut world, SEND_DTMF, &many), 429, "too many keys");
    // The other side holds the call: nothing may be sent in its sound.
    let hold = phones[0].offer("inactive", true);
    world.reinvite(&mut phones[0], &hold);
    let one = json!({"callId": id, "dtmf": "1"});
    assert_refused(
        &post(&mut world, SEND_DTMF, &one),
        409,
        "INFO_RELAY would do",
    );
    world.bye(&mut phones[0]);
    assert_refused(&post(&mut world, SEND_DTMF, &one), 404, "no call");
}

#[test]
fn keys_without_telephone_event_name_the_types_that_would_do() {
    let mut world = World::local(2);
    let mut phone = Phone::new("4711");
    phone.sdp = phone.sdp.replace("8 101", "8");
    world.call(&mut phone);
    let body = json!({"callId": phone.call_id, "dtmf": "1"});
    let words = "takes no telephone-event; type INFO or INFO_RELAY would do";
    assert_refused(&post(&mut world, SEND_DTMF, &body), 409, words);
    let body = json!({"callId": phone.call_id, "dtmf": "1", "type": "INFO_RELAY"});
    assert_done(&post(&mut world, SEND_DTMF, &body));
}

fn page(id: &str) -> Value {
    json!({
        "toStream": format!("stream_{id}"), "hasAudio": "true", "hasVideo": "true",
        "callId": id, "sipLogin": "1001", "sipPassword": "hunter2", "sipPort": "5060",
        "sipDomain": "203.0.113.9", "callee": "1002"
    })
}

#[test]
fn a_call_out_gets_keys_by_the_number_that_its_answer_gave_them() {
    let mut world = World::local(4);
    assert_done(&post(&mut world, "/rest-api/call/startup", &page("out-1")));
    let key = json!({"callId": "out-1", "dtmf": "7"});
    let callee = Callee::called(&mut world, "203.0.113.9:5060");
    let offer = callee.offer().to_owned();
    assert!(offer.contains("telephone-event/8000"), "{offer}");
    assert_refused(&post(&mut world, SEND_DTMF, &key), 409, "not established");
    let inject = json!({"callId": "out-1", "streamName": "x"});
    assert_refused(&post(&mut world, STARTUP, &inject), 409, "not established");
    // Numbers of the callee's own.
    let answer = callee
        .answer()
        .replace("8 101", "8 118")
        .replace(":101 ", ":118 ");
    callee.respond(&mut world, 200, "one", &answer);
    assert_done(&post(&mut world, SEND_DTMF, &key));
    world.outlet.sent_media.clear();
    world.advance(Duration::from_secs(1));
    let sent = world.outlet.sent_media.iter();
    assert_eq!(sent.filter(|it| it.bytes[1] & 0x7f == 118).count(), 8 - 1);
}

#[test]
fn a_stream_is_injected_and_taken_back_by_every_path() {
    let (mut world, phones) = calling(&["4711", "4712"]);
    let body = json!({"callId": phones[1].call_id, "streamName": "rtmp_4711", "more": {}});
    let end = json!({"callId": phones[1].call_id});
    for path in [STARTUP, LEGACY] {
        assert_done(&post(&mut world, path, &body));
        // Once more: from the present moment.
        assert_done(&post(&mut world, path, &body));
        assert_done(&post(&mut world, TERMINATE, &end));
        assert_refused(
            &post(&mut world, TERMINATE, &end),
            404,
            "nothing is injected",
        );
    }
    assert_eq!(world.notes("hears rtmp_4711 of call 1").len(), 4);
}

#[test]
fn what_cannot_be_injected_is_refused_in_words() {
    let (mut world, phones) = calling(&["4711", "4712"]);
    let id = &phones[1].call_id;
    let mut other = Phone::new("4713");
    other.sdp = other
        .sdp
        .replace("H264", "VP8")
        .replace("packetization-mode=1;", "");
    world.call(&mut other);
    for (body, status, words) in [
        (
            json!({"callId": "none", "streamName": "rtmp_4711"}),
            404,
            "callId",
        ),
        (
            json!({"callId": id, "streamName": "none"}),
            404,
            "has this name",
        ),
        (json!({"callId": id}), 400, "streamName: expected text"),
        (
            json!({"streamName": "rtmp_4711"}),
            400,
            "callId: expected text",
        ),
        (
            json!({"callId": id, "streamName": "rtmp_4712"}),
            409,
            "hear itself",
        ),
        (
            json!({"callId": id, "streamName": "rtmp_4713"}),
            409,
            "there is VP8; H.264",
        ),
        (
            json!({"callId": other.call_id, "streamName": "rtmp_4711"}),
            409,
            "VP8 would do",
        ),
    ] {
        for path in [STARTUP, LEGACY] {
            assert_refused(&post(&mut world, path, &body), status, words);
        }
    }
    assert_refused(&post(&mut world, TERMINATE, &json!({})), 400, "callId");
    let none = json!({"callId": "none"});
    assert_refused(&post(&mut world, TERMINATE, &none), 404, "callId");
}

const SOUND: &str = "/rest-api/call/inject_sound";

/// A WAV file of so many bytes of sound in a format.
fn wav(format: u16, bytes: usize) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
    file.extend(format.to_le_bytes());
    file.extend([1, 0, 0x40, 0x1f, 0, 0, 0x40, 0x1f, 0, 0, 1, 0, 8, 0]);
    file.extend(b"data");
    file.extend((bytes as u32).to_le_bytes());
    file.extend((0..bytes).map(sample));
    file
}

fn sample(at: usize) -> u8 {
    (at * 7 + at / 160) as u8
}

/// Calls on a box with a folder of files.
fn with_files(numbers: &[&str]) -> (World, Vec<Phone>) {
    let mut config = config(8, None);
    config.files_directory = Some("/media".to_owned());
    let mut world = World::new(config);
    let phones = numbers.iter().map(|number| {
        let mut phone = Phone::new(number);
        world.call(&mut phone);
        phone
    });
    let phones = phones.collect();
    let files = [
        ("hello.wav", wav(6, 160 * 300)),
        ("mu.wav", wav(7, 1_600)),
        ("linear.wav", wav(1, 1_600)),
        ("short.wav", wav(6, 1_600)[..30].to_vec()),
        ("film.mp4", b"\0\0\0\x0cftypisom\0\0\0\x08mdat".to_vec()),
        ("film.flv", film()),
    ];
    for (name, bytes) in files {
        world.outlet.media_files.insert(name.to_owned(), bytes);
    }
    (world, phones)
}

fn tag(kind: u8, millis: u32, body: &[u8]) -> Vec<u8> {
    let size = (body.len() as u32).to_be_bytes();
    let [t3, t0, t1, t2] = millis.to_be_bytes();
    let head = [kind, size[1], size[2], size[3], t0, t1, t2, t3, 0, 0, 0];
    let end = (body.len() as u32 + 11).to_be_bytes();
    [&head[..], body, &end].concat()
}

/// Two seconds of H.264 in 25 pictures a second and of A-law.
fn film() -> Vec<u8> {
    let (sps, pps) = (rtp_support::SPS, rtp_support::PPS);
    let mut record = vec![0x17, 0, 0, 0, 0, 1, sps[1], sps[2], sps[3], 0xff, 0xe1, 0];
    record.push(sps.len() as u8);
    record.extend(sps);
    record.extend([1, 0, pps.len() as u8]);
    record.extend(pps);
    let mut file = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    file.extend(tag(9, 0, &record));
    for at in 0..100_u32 {
        if at % 2 == 0 {
            let keyframe = at.is_multiple_of(50);
            let nal = picture(at);
            let length = (nal.len() as u32).to_be_bytes();
            let head = [if keyframe { 0x17 } else { 0x27 }, 1, 0, 0, 0];
            file.extend(tag(9, at * 20, &[&head[..], &length, &nal].concat()));
        }
        let from = at as usize * 160;
        let sound: Vec<u8> = (from..from + 160).map(sample).collect();
        file.extend(tag(8, at * 20, &[&[0x72][..], &sound].concat()));
    }
    file
}

/// The slice of a picture.
fn picture(at: u32) -> Vec<u8> {
    let header = if at.is_multiple_of(50) { 0x65 } else { 0x41 };
    let size = if at.is_multiple_of(50) { 9_000 } else { 700 };
    let mut nal = vec![header, 0x88, 0x80];
    nal.extend((0..size).map(|byte| (byte + at) as u8 | 1));
    nal
}

/// What was sent as sound, and how it is apart in time.
fn sounds(world: &World) -> Vec<(u32, Vec<u8>)> {
    let sent = world.outlet.sent_media.iter();
    let sound = sent.filter(|it| it.bytes[1] & 0x7f == 8);
    let parts = sound.map(|it| {
        let time = u32::from_be_bytes(it.bytes[4..8].try_into().unwrap());
        (time, it.bytes[12..].to_vec())
    });
    parts.collect()
}

#[test]
fn a_sound_file_of_the_calls_codec_is_heard_whole_and_in_time_and_then_silence() {
    let (mut world, phones) = with_files(&["4711"]);
    let body = json!({"callId": phones[0].call_id, "fileName": "hello.wav"});
    world.outlet.sent_media.clear();
    assert_done(&post(&mut world, SOUND, &body));
    let begun = world.now;
    let mut heard = 0;
    while heard < 300 {
        world.advance(Duration::from_millis(20));
        heard = sounds(&world)
            .iter()
            .filter(|it| it.1 != [0xd5; 160])
            .count();
        let passed = world.now.since(begun).as_millis() as usize / 20;
        assert!(heard.abs_diff(passed) <= 2, "{heard} after {passed}");
    }
    world.advance(Duration::from_secs(1));
    let sent = sounds(&world);
    let first = sent.iter().position(|it| it.1 != [0xd5; 160]).unwrap();
    for (at, (time, bytes)) in sent[first..][..300].iter().enumerate() {
        let wanted: Vec<u8> = (at * 160..at * 160 + 160).map(sample).collect();
        assert_eq!(*bytes, wanted, "{at}");
        assert_eq!(time.wrapping_sub(sent[first].0), at as u32 * 160);
    }
    assert!(sent[first + 300..].iter().all(|it| it.1 == [0xd5; 160]));
    assert!(sent.len() > first + 340, "silence goes on");
    assert!(world.outlet.open_files.is_empty());
    assert_eq!(world.notes("the file ended").len(), 1);
    assert_eq!(world.pool.available(), world.pool.capacity());
}

#[test]
fn a_film_is_seen_and_heard_in_step_by_its_name_as_a_stream() {
    let (mut world, phones) = with_files(&["4711"]);
    world.advance(Duration::from_secs(1));
    world.outlet.sent_media.clear();
    let body = json!({"callId": phones[0].call_id, "streamName": "film.flv"});
    assert_done(&post(&mut world, STARTUP, &body));
    world.advance(Duration::from_secs(3));
    let sent = sounds(&world);
    let first: Vec<u8> = (0..160).map(sample).collect();
    let first = sent.iter().position(|it| it.1 == first).unwrap();
    for (at, (time, bytes)) in sent[first..][..100].iter().enumerate() {
        let wanted: Vec<u8> = (at * 160..at * 160 + 160).map(sample).collect();
        assert_eq!(*bytes, wanted, "{at}");
        assert_eq!(time.wrapping_sub(sent[first].0), at as u32 * 160);
    }
    // The pictures, made whole again: small ones are packets, large ones come in fragments.
    let video = world.outlet.sent_media.iter();
    let video = video.filter(|it| it.bytes[1] & 0x7f == 96);
    let mut pictures = Vec::new();
    let mut part = Vec::new();
    for packet in video {
        let time = u32::from_be_bytes(packet.bytes[4..8].try_into().unwrap());
        match packet.bytes[12] & 0x1f {
            28 => {
                if packet.bytes[13] & 0x80 != 0 {
                    part = vec![packet.bytes[12] & 0xe0 | packet.bytes[13] & 0x1f];
                }
                part.extend(&packet.bytes[14..]);
            }
            1 | 5 => part = packet.bytes[12..].to_vec(),
            _ => continue,
        }
        if packet.bytes[1] & 0x80 != 0 {
            pictures.push((time, std::mem::take(&mut part)));
        }
    }
    let wanted: Vec<Vec<u8>> = (0..50).map(|at| picture(at * 2)).collect();
    let first = pictures.iter().position(|it| it.1 == wanted[0]).unwrap();
    for (at, (time, bytes)) in pictures[first..][..50].iter().enumerate() {
        assert_eq!(*bytes, wanted[at], "{at}");
        let ticks = time.wrapping_sub(pictures[first].0);
        assert_eq!(ticks, at as u32 * 3_600);
    }
    assert!(world.outlet.open_files.is_empty());
}

#[test]
fn a_file_that_the_call_cannot_hear_is_refused_with_what_would_do() {
    let (mut world, phones) = with_files(&["4711"]);
    let id = &phones[0].call_id;
    for (name, status, words) in [
        (
            "linear.wav",
            415,
            "it is WAV of linear PCM (at byte 20); convert it: ffmpeg -i linear.wav -c:a pcm_alaw \
             -ar 8000 -ac 1 linear-alaw.wav",
        ),
        (
            "mu.wav",
            409,
            "audio: the call negotiated G.711 A-law, and there is G.711 mu-law; G.711 A-law would \
             do",
        ),
        (
            "short.wav",
            415,
            "ends in the middle of its head (at byte 30)",
        ),
        (
            "film.mp4",
            415,
            "ffmpeg -i x.mp4 -c copy -frag_duration 1000000 -movflags \
             frag_keyframe+empty_moov+default_base_moof y.mp4",
        ),
        ("none.wav", 404, "no file"),
        ("../etc/passwd", 404, "no file"),
        ("/etc/passwd", 404, "no file"),
        (".", 404, "no file"),
    ] {
        let sound = json!({"callId": id, "fileName": name});
        let reply = post(&mut world, SOUND, &sound);
        assert_refused(&reply, status, words);
        assert_eq!(reply.json()["path"], SOUND);
        let stream = json!({"callId": id, "streamName": name});
        assert_refused(&post(&mut world, STARTUP, &stream), status, words);
    }
    let none = json!({"callId": "none", "fileName": "hello.wav"});
    assert_refused(&post(&mut world, SOUND, &none), 404, "callId");
    let unnamed = json!({"callId": id});
    assert_refused(&post(&mut world, SOUND, &unnamed), 400, "fileName");
    assert!(world.outlet.open_files.is_empty());
    let (mut world, phones) = calling(&["4711"]);
    let body = json!({"callId": phones[0].call_id, "fileName": "hello.wav"});
    assert_refused(&post(&mut world, SOUND, &body), 404, "files: directory");
}

#[test]
fn a_disk_that_hangs_is_not_waited_for_and_holds_up_no_other_request() {
    let (mut world, phones) = with_files(&["4711"]);
    world.outlet.hung_disk = true;
    let conn = connect(&mut world, "127.0.0.1:50000").unwrap();
    let body = json!({"callId": phones[0].call_id, "fileName": "hello.wav"}).to_string();
    assert!(send(&mut world, conn, request("POST", SOUND, "", &body)).is_empty());
    assert_eq!(ask(&mut world, "GET", "/healthz", "").status, 200);
    // Another one of whom nothing is left when it comes.
    let gone = connect(&mut world, "127.0.0.1:50001").unwrap();
    assert!(send(&mut world, gone, request("POST", SOUND, "", &body)).is_empty());
    world.disconnect(gone, "closed by the peer");
    world.advance(Duration::from_secs(6));
    let replies = Reply::all(&world.outlet.take_written(conn));
    assert_refused(&replies[0], 500, "cannot be read");
    assert!(world.outlet.open_files.is_empty());
    world.outlet.hung_disk = false;
    assert_eq!(ask(&mut world, "GET", "/healthz", "").status, 200);
}

#[test]
fn the_end_of_a_call_closes_its_file_and_another_takes_the_place_of_one() {
    let (mut world, mut phones) = with_files(&["4711"]);
    let body = json!({"callId": phones[0].call_id, "fileName": "hello.wav"});
    for _ in 0..3 {
        assert_done(&post(&mut world, SOUND, &body));
        world.advance(Duration::from_millis(500));
        assert_eq!(world.outlet.open_files.len(), 1);
    }
    world.bye(&mut phones[0]);
    world.advance(Duration::from_secs(40));
    assert!(world.outlet.open_files.is_empty());
    assert_eq!(world.pool.available(), world.pool.capacity());
}
