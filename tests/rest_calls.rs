//! The REST interface as its contract has it: what clients send, field by field, and what they are
//! told.

mod gateway_support;
mod rest_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use rest_support::*;
use serde_json::{Value, json};
use trunkcast::base::redact::Secret;

const STARTUP: &str = "/rest-api/call/startup";
const FIND: &str = "/rest-api/call/find";
const FIND_ALL: &str = "/rest-api/call/find_all";
const TERMINATE: &str = "/rest-api/call/terminate";

/// Every key of a call, in the order of the contract's sample.
const KEYS: [&str; 25] = [
    "custom",
    "nodeId",
    "appKey",
    "sessionId",
    "callId",
    "parentCallId",
    "incoming",
    "status",
    "sipStatus",
    "rtmpUrl",
    "rtmpStream",
    "streamName",
    "rtmpStreamStatus",
    "caller",
    "callee",
    "hasAudio",
    "hasVideo",
    "sdp",
    "visibleName",
    "inviteParameters",
    "mediaProvider",
    "sipMessageRaw",
    "isMsrp",
    "target",
    "holdForTransfer",
];

/// The error form of the contract, with all of its fields.
fn assert_error(reply: &Reply, status: u16, error: &str, path: &str) -> Value {
    assert_eq!(reply.status, status, "{reply:?}");
    let json = reply.json();
    assert_eq!(json["error"], error);
    assert_eq!(json["path"], path);
    assert_eq!(json["status"], status);
    let exception = json["exception"].as_str().unwrap();
    assert!(exception.starts_with("com.flashphoner.rest.server.exception."));
    assert!(exception.ends_with("Exception"), "{exception}");
    assert!(!json["message"].as_str().unwrap().is_empty());
    // Of a clock that was set: the test world's begins in 2019.
    assert!(json["timestamp"].as_u64().unwrap() > 1_500_000_000_000);
    assert_eq!(json.as_object().unwrap().len(), 6);
    assert_eq!(
        reply.header("content-type"),
        Some("application/json;charset=UTF-8")
    );
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    json
}

fn calling(number: &str) -> (World, Phone) {
    let mut world = World::publishing(8);
    let mut phone = Phone::new(number);
    world.call(&mut phone);
    (world, phone)
}

#[test]
fn a_call_that_came_in_is_shown_with_every_key() {
    let (mut world, phone) = calling("4711");
    let reply = ask(&mut world, "GET", FIND_ALL, "");
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("content-type"),
        Some("application/json;charset=UTF-8")
    );
    let json = reply.json();
    let [call] = json.as_array().unwrap().as_slice() else {
        panic!("one call: {json}");
    };
    assert_eq!(call.as_object().unwrap().len(), KEYS.len());
    let text = String::from_utf8(reply.body).unwrap();
    let mut from = 0;
    for key in KEYS {
        let at = text[from..].find(&format!("\"{key}\":"));
        from += at.unwrap_or_else(|| panic!("{key} in its place in {text}"));
    }
    for (key, value) in [
        ("custom", json!({})),
        ("nodeId", Value::Null),
        ("appKey", Value::Null),
        ("sessionId", Value::Null),
        ("callId", json!(phone.call_id)),
        ("parentCallId", Value::Null),
        ("incoming", json!(true)),
        ("status", json!("ESTABLISHED")),
        ("sipStatus", Value::Null),
        ("rtmpUrl", json!("rtmp://198.51.100.5/live")),
        ("rtmpStream", json!("rtmp_4711")),
        ("streamName", json!("rtmp_4711")),
        ("callee", json!("4711")),
        ("hasAudio", json!(true)),
        ("hasVideo", json!(true)),
        ("sdp", Value::Null),
        ("inviteParameters", Value::Null),
        ("mediaProvider", json!("Flash")),
        ("sipMessageRaw", Value::Null),
        ("isMsrp", json!(false)),
        ("target", Value::Null),
        ("holdForTransfer", json!(false)),
    ] {
        assert_eq!(call[key], value, "{key}");
    }
    assert_eq!(call["caller"], call["visibleName"]);
    let status = call["rtmpStreamStatus"].as_str().unwrap();
    assert!(status.starts_with("RTMP_STREAM_"), "{status}");
}

#[test]
fn no_password_of_an_rtmp_server_is_shown() {
    let mut world = World::new(config(
        4,
        Some("rtmp://joe:hunter2@198.51.100.5/live?key=hunter2"),
    ));
    world.call(&mut Phone::new("4711"));
    let reply = ask(&mut world, "GET", FIND_ALL, "");
    let text = String::from_utf8(reply.body).unwrap();
    assert!(text.contains("198.51.100.5/live"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn calls_are_found_by_each_filter_and_by_all_together() {
    let (mut world, phone) = calling("4711");
    world.call(&mut Phone::new("4712"));
    let id = &phone.call_id;
    for (filter, count) in [
        (json!({}), 2),
        (json!({"callId": id}), 1),
        (json!({"callee": "4712"}), 1),
        (json!({"callee": 4712}), 1),
        (json!({"status": "ESTABLISHED"}), 2),
        (json!({"rtmpUrl": "rtmp://198.51.100.5:1935/live/"}), 2),
        (
            json!({"callId": id, "callee": "4711", "status": "ESTABLISHED"}),
            1,
        ),
        (
            json!({"callId": null, "callee": "4711", "unknown": [1, {}]}),
            1,
        ),
        (json!({"callId": id, "callee": "4712"}), 0),
        (json!({"callId": "another"}), 0),
        (json!({"callId": ""}), 0),
        (json!({"callId": {"a": 1}}), 0),
        (json!({"status": "HOLD"}), 0),
        (json!({"rtmpUrl": "rtmp://198.51.100.5/other"}), 0),
        (json!({"rtmpUrl": "nonsense"}), 0),
    ] {
        let reply = post(&mut world, FIND, &filter);
        if count == 0 {
            assert_error(&reply, 404, "Not Found", FIND);
        } else {
            assert_eq!(reply.status, 200, "{filter}");
            assert_eq!(reply.json().as_array().unwrap().len(), count, "{filter}");
        }
    }
}

#[test]
fn nothing_found_is_a_404_and_never_an_empty_list() {
    let mut world = World::local(4);
    for (method, body) in [("GET", ""), ("POST", ""), ("POST", "{}")] {
        for path in [FIND, FIND_ALL] {
            let reply = ask(&mut world, method, path, body);
            assert_error(&reply, 404, "Not Found", path);
        }
    }
}

#[test]
fn a_call_is_gone_as_soon_as_it_has_ended() {
    let (mut world, mut phone) = calling("4711");
    world.bye(&mut phone);
    let reply = post(&mut world, FIND, &json!({"callId": phone.call_id}));
    assert_error(&reply, 404, "Not Found", FIND);
}

#[test]
fn an_unknown_call_cannot_be_ended() {
    let mut world = World::local(4);
    for id in ["nobody", ""] {
        let reply = post(&mut world, TERMINATE, &json!({"callId": id}));
        assert_error(&reply, 404, "Not Found", TERMINATE);
    }
    let reply = ask(&mut world, "POST", TERMINATE, "");
    let error = assert_error(&reply, 400, "Bad Request", TERMINATE);
    assert!(error["message"].as_str().unwrap().starts_with("callId: "));
}

#[test]
fn names_that_sip_does_not_take_are_the_500_that_clients_know() {
    let mut world = World::local(4);
    let body = json!({
        "callId": "a-1", "callee": "1002", "sipLogin": "10 01", "sipDomain": "192.0.2.10",
    });
    let reply = post(&mut world, STARTUP, &body);
    let error = assert_error(&reply, 500, "Internal Server Error", STARTUP);
    assert_eq!(
        error["exception"],
        "com.flashphoner.rest.server.exception.InternalErrorException"
    );
    assert_eq!(
        error["message"],
        "SIP login or authentication name contains reserved symbols"
    );
}

#[test]
fn bodies_that_cannot_be_read_name_what_was_expected() {
    let mut world = World::local(4);
    for (body, words) in [
        ("{\"callId\":1", "the body: "),
        ("[\"a\"]", "the body: "),
        ("{}", "callId: "),
        ("", "callId: "),
        ("{\"callId\":\"a\"}", "callee: "),
        (
            "{\"callId\":\"a\",\"callee\":\"1\",\"sipLogin\":\"1\"}",
            "sipDomain: ",
        ),
    ] {
        let reply = ask(&mut world, "POST", STARTUP, body);
        let error = assert_error(&reply, 400, "Bad Request", STARTUP);
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with(words), "{body}: {message}");
    }
    assert_eq!(world.gateway.usage().calls, 0);
}

#[test]
fn browsers_of_any_origin_may_ask() {
    let mut world = World::local(4);
    let fields = "Origin: http://page.example\r\nAccess-Control-Request-Method: POST\r\n\
                  Access-Control-Request-Headers: content-type\r\n";
    for path in [STARTUP, FIND, "/rest-api/anything"] {
        let reply = ask_with(&mut world, "OPTIONS", path, fields, "");
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        let methods = reply.header("access-control-allow-methods").unwrap();
        assert!(methods.contains("POST"), "{methods}");
        let headers = reply.header("access-control-allow-headers").unwrap();
        for header in ["content-type", "x-requested-with", "authorization"] {
            assert!(headers.contains(header), "{headers}");
        }
    }
}

#[test]
fn a_page_learns_that_a_password_is_wanted_and_may_ask_how() {
    let mut config = config(4, None);
    config.rest.password = Some(Secret::new("hunter2".to_owned()));
    let mut world = World::new(config);
    for path in [FIND_ALL, "/metrics", "/rest-api/openapi.json", "/nothing"] {
        for fields in ["", "Authorization: Bearer guess\r\n"] {
            let reply = ask_with(&mut world, "GET", path, fields, "");
            let locked = reply.status == 429;
            assert!(reply.status == 401 || locked, "{path}: {reply:?}");
            assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
            assert_eq!(reply.header("www-authenticate").is_some(), !locked);
        }
        let reply = ask(&mut world, "OPTIONS", path, "");
        assert_eq!(reply.status, 200, "a browser asks without the password");
        let fields = reply.header("access-control-allow-headers").unwrap();
        assert!(fields.contains("authorization"), "{fields}");
    }
}

#[test]
fn what_is_not_there_is_a_404_and_what_is_not_taken_a_405() {
    let mut world = World::local(4);
    for path in [
        "/",
        "/rest-api",
        "/rest-api/",
        "/rest-api/call/find/",
        "/rest-api/call/hold",
        "/rest-api/../healthz",
        "/REST-API/call/find",
        "/metrics/",
    ] {
        let reply = ask(&mut world, "POST", path, "{}");
        assert_error(&reply, 404, "Not Found", path);
    }
    for (method, path) in [
        ("PUT", FIND),
        ("DELETE", TERMINATE),
        // A picture on a page asks by GET.
        ("GET", TERMINATE),
        ("POST", "/healthz"),
        ("POST", "/metrics"),
        ("POST", "/rest-api/openapi.json"),
    ] {
        let reply = ask(&mut world, method, path, "{}");
        assert_error(&reply, 405, "Method Not Allowed", path);
        assert!(reply.header("allow").is_some());
    }
}

#[test]
fn health_is_one_word_and_needs_no_password() {
    let mut config = config(4, None);
    config.rest.password = Some(Secret::new("hunter2".to_owned()));
    let mut world = World::new(config);
    let reply = ask(&mut world, "GET", "/healthz?at=now", "");
    assert_eq!((reply.status, &reply.body[..]), (200, &b"ok"[..]));
}

#[test]
fn a_password_opens_as_basic_and_as_bearer() {
    let mut config = config(4, None);
    config.rest.password = Some(Secret::new("hunter2".to_owned()));
    let mut world = World::new(config);
    for fields in [
        "Authorization: Bearer hunter2\r\n",
        "Authorization: Basic YW55Ym9keTpodW50ZXIy\r\n",
    ] {
        let reply = ask_with(&mut world, "GET", FIND_ALL, fields, "");
        assert_error(&reply, 404, "Not Found", FIND_ALL);
    }
    for fields in [
        "",
        "Authorization: Bearer hunter3\r\n",
        "Authorization: x\r\n",
    ] {
        let reply = ask_with(&mut world, "GET", FIND_ALL, fields, "");
        let error = assert_error(&reply, 401, "Unauthorized", FIND_ALL);
        assert!(!error.to_string().contains("hunter"));
        let challenge = reply.header("www-authenticate").unwrap();
        assert_eq!(challenge, "Basic realm=\"trunkcast\"");
    }
    let reply = ask(&mut world, "OPTIONS", STARTUP, "");
    assert_eq!(reply.status, 200, "a browser asks first without it");
    let lines = world.outlet.notes.iter();
    assert!(
        !lines
            .map(|(_, line)| line)
            .any(|line| line.contains("hunter"))
    );
}

#[test]
fn guessing_a_password_is_slow_and_said_once() {
    let mut config = config(4, None);
    config.rest.password = Some(Secret::new("hunter2".to_owned()));
    let mut world = World::new(config);
    let guess = "Authorization: Bearer guess\r\n";
    for _ in 0..5 {
        let reply = ask_with(&mut world, "POST", FIND_ALL, guess, "");
        assert_eq!(reply.status, 401);
    }
    let right = "Authorization: Bearer hunter2\r\n";
    for fields in [guess, right] {
        let reply = ask_with(&mut world, "POST", FIND_ALL, fields, "");
        assert_error(&reply, 429, "Too Many Requests", FIND_ALL);
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait));
    }
    assert_eq!(world.notes("too many wrong passwords").len(), 1);
    assert_eq!(world.gateway.http_counters().logins_failed, 5);
    world.advance(Duration::from_secs(61));
    let reply = ask_with(&mut world, "POST", FIND_ALL, right, "");
    assert_error(&reply, 404, "Not Found", FIND_ALL);
}

#[test]
fn another_password_holds_at_once_and_nobody_stays_connected_without_it() {
    let mut old = config(4, None);
    old.rest.listen = "0.0.0.0:8081".parse().unwrap();
    old.rest.password = Some(Secret::new("hunter2".to_owned()));
    let mut world = World::new(old.clone());
    let mut open = old.clone();
    open.rest.listen = "127.0.0.1:8081".parse().unwrap();
    open.rest.password = None;
    let conn = connect(&mut world, "192.0.2.77:50000").unwrap();
    assert!(!world.gateway.reload(open).unwrap());
    world.settle();
    assert!(
        !world.outlet.is_open(conn),
        "whoever came before came from anywhere"
    );
    old.rest.password = Some(Secret::new("hunter3".to_owned()));
    assert!(!world.gateway.reload(old).unwrap());
    let new = "Authorization: Bearer hunter3\r\n";
    let reply = ask_with(&mut world, "POST", FIND_ALL, new, "");
    assert_eq!(reply.status, 404);
}
