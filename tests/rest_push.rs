//! Pushes of streams as clients of the REST interface ask for them, field by field and code by code.

mod gateway_support;
mod rest_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::callee::Callee;
use gateway_support::*;
use rest_support::*;
use serde_json::{Value, json};
use trunkcast::limits::PUSHES;

const STARTUP: &str = "/rest-api/push/startup";
const FIND: &str = "/rest-api/push/find";
const FIND_ALL: &str = "/rest-api/push/find_all";
const TERMINATE: &str = "/rest-api/push/terminate";
const MUTE: &str = "/rest-api/push/mute";
const UNMUTE: &str = "/rest-api/push/unmute";
const SOUND_ON: &str = "/rest-api/push/sound_on";
const SOUND_OFF: &str = "/rest-api/push/sound_off";

/// Where the tests push to.
const URL: &str = "rtmp://198.51.100.7:1935/live";

/// A call that went out under a stream name, answered.
fn talking() -> (World, Callee) {
    let mut world = World::local(4);
    let body = json!({
        "toStream": "call_stream1", "hasAudio": "true", "hasVideo": "true", "callId": "id-1",
        "sipLogin": "1001", "sipDomain": "203.0.113.9", "sipPort": "5060", "callee": "1002"
    });
    assert_eq!(
        post(&mut world, "/rest-api/call/startup", &body).status,
        200
    );
    let callee = Callee::called(&mut world, "203.0.113.9:5060");
    callee.respond(&mut world, 200, "one", &callee.answer());
    (world, callee)
}

/// Sound of the callee for a time.
fn speak(world: &mut World, callee: &Callee, packets: u16, from: u16) {
    for at in from..from + packets {
        let time = u32::from(at) * 160;
        let bytes = rtp_support::packet(8, false, at, time, 5, &[0x55; 160]);
        world.media(&callee.phone, trunkcast::base::codec::Track::Audio, &bytes);
        world.advance(Duration::from_millis(20));
    }
}

/// The void answer that the page needs.
fn assert_done(reply: &Reply) {
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!((reply.status, &*text), (200, ""));
    assert_eq!(reply.header("content-length"), Some("0"));
}

fn assert_error(reply: &Reply, status: u16, path: &str) -> String {
    assert_eq!(reply.status, status, "{reply:?}");
    let json = reply.json();
    assert_eq!(json.as_object().unwrap().len(), 6, "{json}");
    assert_eq!(json["status"], status);
    assert_eq!(json["path"], path);
    let exception = json["exception"].as_str().unwrap();
    assert!(exception.starts_with("com.flashphoner.rest.server.exception."));
    json["message"].as_str().unwrap().to_owned()
}

fn start(world: &mut World, body: &Value) -> Value {
    let reply = post(world, STARTUP, body);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(
        reply.header("content-type"),
        Some("application/json;charset=UTF-8")
    );
    reply.json()
}

fn page() -> Value {
    json!({"streamName": "call_stream1", "rtmpUrl": URL, "options": {}})
}

/// The one push that a filter finds.
fn found(world: &mut World, filter: &Value) -> Value {
    let reply = post(world, FIND, filter);
    assert_eq!(reply.status, 200, "{filter} {reply:?}");
    let pushes = reply.json();
    assert_eq!(pushes.as_array().unwrap().len(), 1, "{filter}");
    pushes[0].clone()
}

#[test]
fn the_page_pushes_watches_silences_and_ends() {
    let (mut world, callee) = talking();
    let push = start(&mut world, &page());
    let id = push["mediaSessionId"].as_str().unwrap().to_owned();
    assert!(!id.is_empty());
    for (key, value) in [
        ("streamName", json!("rtmp_call_stream1")),
        ("rtmpUrl", json!(URL)),
        ("width", json!(0)),
        ("height", json!(0)),
        ("muted", json!(false)),
        ("soundEnabled", json!(false)),
        ("options", json!({})),
        ("status", json!("RTMP_STREAM_WAIT")),
        ("reason", json!("connecting")),
    ] {
        assert_eq!(push[key], value, "{key}");
    }
    assert_eq!(push.as_object().unwrap().len(), 10);
    speak(&mut world, &callee, 100, 1);
    assert_eq!(world.server().names, ["rtmp_call_stream1"]);
    assert!(world.server().sounds() > 50);
    // As the page polls, and as the documents do.
    for name in ["rtmp_call_stream1", "call_stream1"] {
        let filter = json!({"streamName": name, "rtmpUrl": URL});
        let push = found(&mut world, &filter);
        assert_eq!(push["mediaSessionId"], json!(id));
        assert_eq!(push["status"], "RTMP_STREAM_ACTIVE");
    }
    let named = json!({"mediaSessionId": id});
    assert_done(&post(&mut world, MUTE, &named));
    let muted = found(&mut world, &named);
    assert_eq!(
        (&muted["muted"], &muted["options"]),
        (&json!(true), &json!({"action": "mute"}))
    );
    assert_done(&post(&mut world, UNMUTE, &named));
    assert_eq!(found(&mut world, &named)["muted"], false);
    assert_done(&post(&mut world, SOUND_OFF, &named));
    assert_done(&post(&mut world, TERMINATE, &named));
    assert!(
        world
            .server()
            .commands()
            .ends_with(&["FCUnpublish", "deleteStream"])
    );
    assert_error(&post(&mut world, FIND, &named), 404, FIND);
    assert_error(&post(&mut world, TERMINATE, &named), 404, TERMINATE);
    // The call goes on.
    assert_eq!(world.gateway.usage().calls, 1);
}

#[test]
fn a_reserved_stream_can_be_pushed_before_the_call_is_up() {
    let mut world = World::local(4);
    let body = json!({
        "toStream": "call_stream1", "callId": "id-1", "sipLogin": "1001",
        "sipDomain": "203.0.113.9", "sipPort": "5060", "callee": "1002"
    });
    assert_eq!(
        post(&mut world, "/rest-api/call/startup", &body).status,
        200
    );
    let push = start(&mut world, &page());
    assert_eq!(push["status"], "RTMP_STREAM_WAIT");
    assert_eq!(push["reason"], "the stream has not begun");
    assert!(world.servers.is_empty());
}

#[test]
fn a_push_may_begin_muted() {
    let (mut world, _callee) = talking();
    for (body, muted) in [
        (json!({"action": "mute"}), true),
        (json!(null), false),
        (json!(""), false),
        (json!({"other": [1]}), false),
    ] {
        let mut page = page();
        page["options"] = body;
        let push = start(&mut world, &page);
        assert_eq!(push["muted"], muted, "{page}");
        let id = json!({"mediaSessionId": push["mediaSessionId"]});
        assert_done(&post(&mut world, TERMINATE, &id));
    }
}

#[test]
fn what_is_wrong_is_named() {
    let (mut world, _callee) = talking();
    for (change, status, words) in [
        (json!({"rtmpUrl": null}), 400, "rtmpUrl: expected "),
        (json!({"rtmpUrl": ""}), 400, "rtmpUrl: expected "),
        (
            json!({"rtmpUrl": "http://host/live"}),
            400,
            "rtmpUrl: expected ",
        ),
        (json!({"rtmpUrl": "rtmp://host"}), 400, "rtmpUrl: expected "),
        (
            json!({"rtmpUrl": "rtmp://192.0.2.256/live"}),
            400,
            "rtmpUrl: expected ",
        ),
        (json!({"rtmpUrl": 5}), 400, "rtmpUrl: expected "),
        (
            json!({"rtmpUrl": "rtmp://127.0.0.1/live"}),
            400,
            "rtmpUrl: this program's own",
        ),
        (json!({"streamName": null}), 400, "streamName: expected "),
        (
            json!({"streamName": "x".repeat(300)}),
            404,
            "no stream has this streamName",
        ),
        (
            json!({"streamName": "another"}),
            404,
            "no stream has this streamName",
        ),
        (json!({"options": 5}), 400, "options: expected "),
        (
            json!({"options": {"action": "dance"}}),
            400,
            "options.action: expected ",
        ),
        (
            json!({"options": {"action": "sound_on"}}),
            400,
            "options.soundFile: expected ",
        ),
        (
            json!({"rtmpTransponderFullUrl": "maybe"}),
            400,
            "rtmpTransponderFullUrl: expected ",
        ),
        (
            json!({"rtmpTransponderFullUrl": true}),
            400,
            "rtmpUrl: expected ",
        ),
    ] {
        let mut body = page();
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        let message = assert_error(&post(&mut world, STARTUP, &body), status, STARTUP);
        assert!(message.starts_with(words), "{change}: {message}");
    }
    assert_eq!(world.gateway.usage().pushes, 0);
    for path in [MUTE, UNMUTE, SOUND_ON, SOUND_OFF, TERMINATE] {
        let unknown = json!({"mediaSessionId": "another", "soundFile": "a.wav"});
        assert_error(&post(&mut world, path, &unknown), 404, path);
        let message = assert_error(&post(&mut world, path, &json!({})), 400, path);
        assert!(
            message.starts_with("mediaSessionId: expected "),
            "{message}"
        );
    }
    for path in [FIND, FIND_ALL] {
        assert_error(&ask(&mut world, "GET", path, ""), 404, path);
    }
}

#[test]
fn the_same_stream_goes_to_the_same_server_once() {
    let (mut world, _callee) = talking();
    start(&mut world, &page());
    for url in [
        URL,
        "rtmp://198.51.100.7/live/",
        "rtmp://a:b@198.51.100.7/live",
    ] {
        let body = json!({"streamName": "call_stream1", "rtmpUrl": url});
        assert_error(&post(&mut world, STARTUP, &body), 409, STARTUP);
    }
    let mut other = page();
    other["rtmpUrl"] = "rtmp://198.51.100.8/live".into();
    start(&mut world, &other);
    let all = ask(&mut world, "GET", FIND_ALL, "").json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    for (filter, count) in [
        (json!({}), 2),
        (json!({"streamName": "call_stream1"}), 2),
        (json!({"rtmpUrl": "rtmp://198.51.100.8:1935/live/"}), 1),
        (json!({"rtmpUrl": "rtmp://198.51.100.9/live"}), 0),
        (json!({"streamName": "rtmp_rtmp_call_stream1"}), 0),
        (json!({"streamName": true}), 0),
    ] {
        let reply = post(&mut world, FIND, &filter);
        if count == 0 {
            assert_error(&reply, 404, FIND);
        } else {
            assert_eq!(reply.json().as_array().unwrap().len(), count, "{filter}");
        }
    }
}

#[test]
fn a_prefix_is_put_before_a_name_once_and_a_whole_address_is_used_as_it_is() {
    let mut world = World::publishing(4);
    world.call(&mut Phone::new("4711"));
    let push = start(
        &mut world,
        &json!({"streamName": "rtmp_4711", "rtmpUrl": URL}),
    );
    assert_eq!(push["streamName"], "rtmp_4711");
    assert_eq!(world.server().names, ["rtmp_4711"]);
    let whole = json!({
        "streamName": "rtmp_4711", "rtmpUrl": "rtmp://198.51.100.8/live2/hunter2?x=1",
        "rtmpTransponderFullUrl": "true"
    });
    let push = start(&mut world, &whole);
    assert_eq!(push["streamName"], "rtmp_4711");
    assert_eq!(push["rtmpUrl"], whole["rtmpUrl"], "told to who knows it");
    assert_eq!(world.server().names, ["hunter2?x=1"]);
    let text = String::from_utf8(ask(&mut world, "GET", FIND_ALL, "").body).unwrap();
    assert!(text.contains("rtmp://198.51.100.8/live2/***"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    let known = found(&mut world, &json!({"rtmpUrl": whole["rtmpUrl"]}));
    assert_eq!(known["rtmpUrl"], whole["rtmpUrl"]);
    let lines = world.outlet.notes.iter().map(|(_, line)| line);
    assert!(!lines.into_iter().any(|line| line.contains("hunter2")));
}

#[test]
fn a_password_is_used_and_shown_to_nobody_else() {
    let (mut world, _callee) = talking();
    let url = "rtmp://joe:hunter2@198.51.100.7/live?key=hunter2";
    let push = start(
        &mut world,
        &json!({"streamName": "call_stream1", "rtmpUrl": url}),
    );
    assert_eq!(push["rtmpUrl"], url);
    let text = String::from_utf8(post(&mut world, FIND, &json!({})).body).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let lines = world.outlet.notes.iter().map(|(_, line)| line);
    assert!(!lines.into_iter().any(|line| line.contains("hunter2")));
}

#[test]
fn a_full_table_is_a_503_and_frees_itself() {
    let (mut world, _callee) = talking();
    world.checks = false;
    for at in 0..PUSHES {
        let mut body = page();
        body["rtmpUrl"] = format!("rtmp://198.51.100.{at}/live").into();
        start(&mut world, &body);
    }
    let mut more = page();
    more["rtmpUrl"] = "rtmp://203.0.113.1/live".into();
    let message = assert_error(&post(&mut world, STARTUP, &more), 503, STARTUP);
    assert_eq!(message, "every push is taken");
    let all = ask(&mut world, "GET", FIND_ALL, "").json();
    assert_eq!(all.as_array().unwrap().len(), PUSHES);
    let id = json!({"mediaSessionId": all[0]["mediaSessionId"]});
    assert_done(&post(&mut world, TERMINATE, &id));
    world.advance(Duration::from_secs(2));
    start(&mut world, &more);
}

#[test]
fn a_push_that_does_not_get_through_says_why_and_ends_with_its_call() {
    let (mut world, _callee) = talking();
    world.policy = Policy::Refuse;
    start(&mut world, &page());
    world.advance(Duration::from_secs(1));
    let push = found(&mut world, &json!({"streamName": "call_stream1"}));
    assert_eq!(push["status"], "RTMP_CONNECTION_FAILED");
    assert_eq!(push["reason"], "Connection refused");
    let call = json!({"callId": "id-1"});
    assert_done(&post(&mut world, "/rest-api/call/terminate", &call));
    assert_error(&post(&mut world, FIND, &json!({})), 404, FIND);
    assert_eq!(world.gateway.usage().pushes, 0);
}

#[test]
fn mutated_requests_are_answered_and_leave_the_tables_in_order() {
    let (mut world, _callee) = talking();
    let mut rng = trunkcast::base::rng::Rng::from_number(6);
    let whole = json!({
        "streamName": "call_stream1", "rtmpUrl": "rtmp://u:p@198.51.100.8:1935/live2/key?x=1",
        "options": {"action": "mute"}, "rtmpTransponderFullUrl": "true"
    });
    for body in [page().to_string(), whole.to_string()] {
        for cut in 0..body.len() {
            let reply = ask(&mut world, "POST", STARTUP, &body[..cut]);
            assert_eq!(reply.status, 400, "cut at {cut}");
        }
        for _ in 0..300 {
            let bytes = mutate(body.as_bytes(), &mut rng);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let reply = ask(&mut world, "POST", STARTUP, &text);
            assert!(
                [200, 400, 404, 409, 503].contains(&reply.status),
                "{text} {reply:?}"
            );
        }
    }
    assert!(world.gateway.usage().pushes <= PUSHES);
}

/// A WAV file of a format (6 A-law, 7 mu-law), with samples that never are silence.
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
    (at % 200) as u8
}

/// A pushed call on a box with a folder of sounds; the push by its name.
fn with_sounds() -> (World, Phone, Value) {
    let mut config = config(4, None);
    config.files_directory = Some("/media".to_owned());
    let mut world = World::new(config);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    for (name, bytes) in [
        ("sample.wav", wav(6, 16_000)),
        ("long.wav", wav(6, 400_000)),
        ("mu.wav", wav(7, 1_600)),
        ("pcm.wav", wav(1, 1_600)),
        ("empty.wav", wav(6, 0)),
        ("text.wav", b"this is no sound at all".to_vec()),
        ("film.mp4", b"\0\0\0\x10ftypisom\0\0\0\0".to_vec()),
    ] {
        world.outlet.media_files.insert(name.to_owned(), bytes);
    }
    let body = json!({"streamName": "rtmp_4711", "rtmpUrl": URL});
    let push = start(&mut world, &body);
    let named = json!({"mediaSessionId": push["mediaSessionId"]});
    (world, phone, named)
}

/// The samples that came to the newest server since the last look.
fn heard(world: &mut World) -> Vec<u8> {
    let bodies = std::mem::take(&mut world.server().bodies);
    let sounds = bodies.iter().filter(|(kind, ..)| *kind == 8);
    sounds.flat_map(|(_, _, body)| body[1..].to_vec()).collect()
}

#[test]
fn a_sound_of_the_box_is_heard_in_place_of_the_caller() {
    let (mut world, phone, named) = with_sounds();
    world.server().collects = true;
    let mut camera = Camera::new(1);
    let mut on = named.clone();
    on["soundFile"] = "sample.wav".into();
    on["loop"] = "false".into();
    assert_done(&post(&mut world, SOUND_ON, &on));
    let push = found(&mut world, &named);
    assert_eq!(push["soundEnabled"], true);
    let options = json!({"action": "sound_on", "soundFile": "sample.wav"});
    assert_eq!(push["options"], options);
    camera.film(&mut world, &phone, Duration::from_secs(1));
    let came = heard(&mut world);
    assert!(came.len() > 7_000);
    let expected: Vec<u8> = (0..came.len()).map(sample).collect();
    assert_eq!(came, expected);
    // After its end the caller is heard again.
    camera.film(&mut world, &phone, Duration::from_secs(2));
    assert_eq!(found(&mut world, &named)["soundEnabled"], false);
    heard(&mut world);
    on["loop"] = true.into();
    assert_done(&post(&mut world, SOUND_ON, &on));
    camera.film(&mut world, &phone, Duration::from_secs(5));
    let came = heard(&mut world);
    assert!(
        came.iter()
            .enumerate()
            .all(|(at, byte)| *byte == sample(at % 16_000))
    );
    assert_done(&post(&mut world, SOUND_OFF, &named));
    camera.film(&mut world, &phone, Duration::from_secs(1));
    assert!(
        heard(&mut world).iter().all(|byte| *byte == 0xd5),
        "the camera's own"
    );
    assert!(world.outlet.open_files.is_empty());
}

#[test]
fn a_push_may_begin_with_a_sound() {
    let (mut world, phone, _) = with_sounds();
    let body = json!({
        "streamName": "rtmp_4711", "rtmpUrl": "rtmp://198.51.100.8/live",
        "options": {"action": "sound_on", "soundFile": "sample.wav", "loop": true}
    });
    start(&mut world, &body);
    world.server().collects = true;
    Camera::new(1).film(&mut world, &phone, Duration::from_secs(1));
    let came = heard(&mut world);
    assert!(came.len() > 5_000);
    assert!(
        came.iter()
            .enumerate()
            .all(|(at, byte)| *byte == sample(at % 16_000))
    );
}

#[test]
fn what_is_no_sound_for_the_stream_is_told_in_words() {
    let (mut world, _phone, named) = with_sounds();
    for (file, status, words) in [
        ("none.wav", 404, "no file"),
        ("../secret.wav", 404, "no file"),
        ("long.wav", 415, "longer than 30 s"),
        ("mu.wav", 415, "convert it: ffmpeg -i mu.wav -c:a pcm_alaw"),
        ("pcm.wav", 415, "convert it: ffmpeg"),
        ("empty.wav", 415, "no sound in it"),
        ("text.wav", 415, "text.wav: "),
        (
            "film.mp4",
            415,
            "film.mp4: it ends in the middle of its head",
        ),
    ] {
        let mut on = named.clone();
        on["soundFile"] = file.into();
        let reply = post(&mut world, SOUND_ON, &on);
        let message = assert_error(&reply, status, SOUND_ON);
        assert!(message.contains(words), "{file}: {message}");
    }
    assert_eq!(found(&mut world, &named)["soundEnabled"], false);
    assert!(world.outlet.open_files.is_empty());
    assert!(!world.notes("no sound: ").is_empty());
    // A startup that cannot have its sound begins nothing.
    let body = json!({
        "streamName": "rtmp_4711", "rtmpUrl": "rtmp://198.51.100.8/live",
        "options": {"action": "sound_on", "soundFile": "a/b.wav"}
    });
    assert_error(&post(&mut world, STARTUP, &body), 404, STARTUP);
    assert_eq!(world.gateway.usage().pushes, 1);
}

#[test]
fn a_disk_that_hangs_is_given_up_and_a_push_that_ended_meanwhile_is_no_harm() {
    let (mut world, _phone, named) = with_sounds();
    world.outlet.hung_disk = true;
    let mut on = named.clone();
    on["soundFile"] = "sample.wav".into();
    let conn = connect(&mut world, "127.0.0.1:50000").unwrap();
    let asked = request("POST", SOUND_ON, "", &on.to_string());
    assert!(send(&mut world, conn, asked).is_empty(), "it waits");
    assert_done(&post(&mut world, TERMINATE, &named));
    world.advance(Duration::from_secs(6));
    let replies = Reply::all(&world.outlet.take_written(conn));
    assert_error(&replies[0], 500, SOUND_ON);
    assert!(world.outlet.open_files.is_empty());
}
