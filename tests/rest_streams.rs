//! Streams as clients of the REST interface find and end them, field by field and code by code.

mod gateway_support;
mod rest_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::callee::Callee;
use gateway_support::*;
use rest_support::*;
use serde_json::{Value, json};

const FIND: &str = "/rest-api/stream/find";
const FIND_ALL: &str = "/rest-api/stream/find_all";
const TERMINATE: &str = "/rest-api/stream/terminate";

/// Every key of a stream, in the order of the contract's sample, and what we add at the end.
const KEYS: [&str; 33] = [
    "nodeId",
    "appKey",
    "sessionId",
    "mediaSessionId",
    "name",
    "published",
    "hasVideo",
    "hasAudio",
    "status",
    "info",
    "sdp",
    "audioCodec",
    "videoCodec",
    "record",
    "recordName",
    "width",
    "height",
    "bitrate",
    "minBitrate",
    "maxBitrate",
    "quality",
    "history",
    "gop",
    "fps",
    "audioBitrate",
    "codecImpl",
    "transport",
    "cvoExtension",
    "createDate",
    "mediaType",
    "audioState",
    "videoState",
    "mediaProvider",
];

fn assert_error(reply: &Reply, status: u16, path: &str) -> String {
    assert_eq!(reply.status, status, "{reply:?}");
    let json = reply.json();
    assert_eq!(json.as_object().unwrap().len(), 6, "{json}");
    assert_eq!(
        (&json["status"], &json["path"]),
        (&json!(status), &json!(path))
    );
    json["message"].as_str().unwrap().to_owned()
}

fn found(world: &mut World, filter: &Value) -> Value {
    let reply = post(world, FIND, filter);
    assert_eq!(reply.status, 200, "{filter} {reply:?}");
    let streams = reply.json();
    assert_eq!(streams.as_array().unwrap().len(), 1, "{filter}");
    streams[0].clone()
}

/// A call that came in and one that goes out and is not answered.
fn two() -> (World, Phone) {
    let mut world = World::publishing(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let body = json!({
        "toStream": "room", "callId": "id-1", "sipLogin": "1001", "hasVideo": "true",
        "sipDomain": "203.0.113.9", "sipPort": "5060", "callee": "1002"
    });
    assert_eq!(
        post(&mut world, "/rest-api/call/startup", &body).status,
        200
    );
    (world, phone)
}

#[test]
fn a_stream_is_shown_with_every_key_and_what_it_carries() {
    let mut world = World::publishing(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let before = world.now;
    Camera::new(1).film(&mut world, &phone, Duration::from_secs(10));
    world.play("rtmp_4711");
    let pushed =
        json!({"streamName": "rtmp_4711", "rtmpUrl": "rtmp://joe:hunter2@198.51.100.7/live"});
    assert_eq!(
        post(&mut world, "/rest-api/push/startup", &pushed).status,
        200
    );
    let reply = post(&mut world, FIND, &json!({"name": "rtmp_4711"}));
    assert_eq!(
        reply.header("content-type"),
        Some("application/json;charset=UTF-8")
    );
    let text = String::from_utf8(reply.body.clone()).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let mut from = 0;
    for key in KEYS.iter().chain(&["statistics"]) {
        let at = text[from..].find(&format!("\"{key}\":"));
        from += at.unwrap_or_else(|| panic!("{key} in its place in {text}"));
    }
    let stream = &reply.json()[0];
    assert_eq!(stream.as_object().unwrap().len(), KEYS.len() + 1);
    for (key, value) in [
        ("nodeId", Value::Null),
        ("appKey", Value::Null),
        ("sessionId", Value::Null),
        ("mediaSessionId", json!(phone.call_id)),
        ("name", json!("rtmp_4711")),
        ("published", json!(true)),
        ("hasVideo", json!(true)),
        ("hasAudio", json!(true)),
        ("status", json!("PUBLISHING")),
        ("info", Value::Null),
        ("audioCodec", json!("PCMA")),
        ("videoCodec", json!("H264")),
        ("record", json!(false)),
        ("recordName", Value::Null),
        ("quality", json!(0)),
        ("history", json!(false)),
        ("fps", json!(25)),
        ("audioBitrate", json!(64_000)),
        ("codecImpl", json!("")),
        ("transport", json!("UDP")),
        ("cvoExtension", json!(false)),
        ("mediaType", json!("publish")),
        ("audioState", json!({"muted": false})),
        ("videoState", json!({"muted": false})),
        ("mediaProvider", json!("Flash")),
    ] {
        assert_eq!(stream[key], value, "{key}");
    }
    assert!(stream["width"].as_u64() > Some(0) && stream["height"].as_u64() > Some(0));
    // The test world's clock begins in 2019.
    let created = stream["createDate"].as_u64().unwrap();
    let epoch = (0xe000_0000_u64 - 2_208_988_800) * 1_000;
    let answered = epoch + before.as_micros() / 1_000;
    assert!(created.abs_diff(answered) <= 5, "{created} {answered}");
    let numbers = &stream["statistics"];
    assert_eq!(numbers["audio"]["frames"], 500);
    assert_eq!(numbers["audio"]["frameRate"], 50);
    assert_eq!(numbers["video"]["frames"], 250);
    assert_eq!(numbers["video"]["lost"], 0);
    let (audio, video) = (&numbers["audio"]["bitrate"], &numbers["video"]["bitrate"]);
    let both = audio.as_u64().unwrap() + video.as_u64().unwrap();
    assert_eq!(numbers["bitrate"], both);
    assert!(numbers["keyframes"].as_u64() > Some(0));
    assert!(numbers["keyframeAgeMillis"].as_u64() < Some(11_000));
    let readers = numbers["readers"].as_array().unwrap();
    let kinds: Vec<_> = readers
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["publisher", "push", "player"]);
    assert_eq!(readers[0]["target"], "rtmp://198.51.100.5/live");
    assert_eq!(readers[0]["status"], "RTMP_STREAM_ACTIVE");
    assert_eq!(readers[0]["backlogMillis"], 0);
    assert_eq!(readers[1]["target"], "rtmp://***@198.51.100.7/live");
    assert!(readers[1]["mediaSessionId"].is_string());
    assert_eq!(readers[2]["status"], "PLAYING");
}

#[test]
fn metrics_are_there_when_they_are_asked_for() {
    let mut world = World::publishing(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    Camera::new(1).film(&mut world, &phone, Duration::from_secs(10));
    assert_eq!(
        found(&mut world, &json!({"display": []}))["metrics"],
        Value::Null
    );
    let stream = found(
        &mut world,
        &json!({"published": true, "display": ["metrics"]}),
    );
    let metrics = &stream["metrics"];
    for (key, value) in [
        ("AUDIO_CODEC", json!(8)),
        ("AUDIO_LOST", json!(0)),
        ("AUDIO_RATE", json!(64_000)),
        ("VIDEO_FPS", json!(25)),
        ("VIDEO_LOST", json!(0)),
        ("VIDEO_NACK", json!(0)),
        ("VIDEO_WIDTH", stream["width"].clone()),
        ("VIDEO_HEIGHT", stream["height"].clone()),
        ("VIDEO_RATE", stream["bitrate"].clone()),
    ] {
        assert_eq!(metrics[key], value, "{key}");
    }
    let keyframes = metrics["VIDEO_K_FRAMES"].as_u64().unwrap();
    assert_eq!(keyframes + metrics["VIDEO_P_FRAMES"].as_u64().unwrap(), 250);
    // Of sound, which the test camera sends by a true clock.
    let sync = metrics["AUDIO_SYNC"].as_i64().unwrap();
    assert!(metrics["VIDEO_SYNC"].is_i64());
    let later = found(&mut world, &json!({"display": "metrics"}));
    assert_eq!(later["metrics"]["AUDIO_SYNC"], sync, "nothing came since");
}

#[test]
fn a_slow_reader_is_seen_by_its_backlog() {
    let mut world = World::publishing(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, Duration::from_secs(2));
    let conn = world.server().conn;
    world.outlet.set_room(conn, 0);
    camera.film(&mut world, &phone, Duration::from_millis(1_500));
    let stream = found(&mut world, &json!({}));
    let backlog = stream["statistics"]["readers"][0]["backlogMillis"].as_u64();
    assert!((1_000..=1_600).contains(&backlog.unwrap()), "{backlog:?}");
}

#[test]
fn streams_are_found_by_each_filter_and_by_all_together() {
    let (mut world, phone) = two();
    for (filter, count) in [
        (json!({}), 2),
        (json!({"name": "room"}), 1),
        (json!({"mediaSessionId": "id-1"}), 1),
        (
            json!({"mediaSessionId": phone.call_id, "name": "rtmp_4711"}),
            1,
        ),
        (json!({"mediaSessionIds": ["id-1", phone.call_id]}), 2),
        (json!({"mediaSessionIds": []}), 0),
        (json!({"status": "PENDING"}), 1),
        (json!({"status": "PUBLISHING"}), 1),
        (json!({"published": "true"}), 2),
        (json!({"published": ""}), 2),
        (json!({"published": false}), 0),
        (json!({"hasVideo": true, "hasAudio": "true"}), 2),
        (json!({"hasVideo": false}), 0),
        (json!({"name": "room", "status": "PUBLISHING"}), 0),
        (json!({"name": "another"}), 0),
        (json!({"unknown": [1, {"a": 2}]}), 2),
    ] {
        let reply = post(&mut world, FIND, &filter);
        if count == 0 {
            assert_error(&reply, 404, FIND);
        } else {
            assert_eq!(reply.status, 200, "{filter}");
            assert_eq!(reply.json().as_array().unwrap().len(), count, "{filter}");
        }
    }
    for (body, words) in [
        (json!({"published": "maybe"}), "published: expected "),
        (
            json!({"mediaSessionIds": {"a": 1}}),
            "mediaSessionIds: expected ",
        ),
        (
            json!({"mediaSessionIds": [[]]}),
            "mediaSessionIds: expected ",
        ),
        (json!({"display": 7.5}), "display: expected "),
    ] {
        for path in [FIND, TERMINATE] {
            let message = assert_error(&post(&mut world, path, &body), 400, path);
            assert!(message.starts_with(words), "{message}");
        }
    }
    assert_eq!(
        ask(&mut world, "GET", FIND_ALL, "")
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_reserved_stream_is_there_at_once_and_publishes_with_the_answer() {
    let (mut world, _phone) = two();
    let stream = found(&mut world, &json!({"name": "room"}));
    for (key, value) in [
        ("mediaSessionId", json!("id-1")),
        ("status", json!("PENDING")),
        ("hasAudio", json!(true)),
        ("hasVideo", json!(true)),
        ("audioCodec", Value::Null),
        ("bitrate", json!(0)),
    ] {
        assert_eq!(stream[key], value, "{key}");
    }
    let callee = Callee::called(&mut world, "203.0.113.9:5060");
    callee.respond(&mut world, 200, "one", &callee.answer());
    let stream = found(&mut world, &json!({"name": "room"}));
    assert_eq!(stream["status"], "PUBLISHING");
    assert_eq!(stream["audioCodec"], "PCMA");
}

#[test]
fn ending_a_stream_ends_its_call() {
    let (mut world, phone) = two();
    let reply = post(
        &mut world,
        TERMINATE,
        &json!({"mediaSessionId": phone.call_id}),
    );
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    let heard = world.take(&phone);
    assert!(
        heard.iter().any(|text| text.starts_with("BYE ")),
        "{heard:?}"
    );
    assert_error(
        &post(&mut world, FIND, &json!({"name": "rtmp_4711"})),
        404,
        FIND,
    );
    let again = post(
        &mut world,
        TERMINATE,
        &json!({"mediaSessionId": phone.call_id}),
    );
    assert_error(&again, 404, TERMINATE);
    found(&mut world, &json!({"name": "room"}));
}

#[test]
fn streams_are_ended_by_list_by_filter_and_all_at_once() {
    for (filter, left) in [
        (json!({"mediaSessionIds": ["id-1", "another"]}), 1),
        (json!({"name": "room", "status": "PENDING"}), 1),
        (json!({"published": true}), 0),
        (json!({}), 0),
    ] {
        let (mut world, _phone) = two();
        let reply = post(&mut world, TERMINATE, &filter);
        assert_eq!((reply.status, reply.body.len()), (200, 0), "{filter}");
        let reply = ask(&mut world, "GET", FIND_ALL, "");
        match left {
            0 => drop(assert_error(&reply, 404, FIND_ALL)),
            left => assert_eq!(reply.json().as_array().unwrap().len(), left, "{filter}"),
        }
    }
    let mut world = World::local(4);
    for body in ["", "{}", "{\"name\":\"room\"}"] {
        let reply = ask(&mut world, "POST", TERMINATE, body);
        assert_error(&reply, 404, TERMINATE);
    }
}
