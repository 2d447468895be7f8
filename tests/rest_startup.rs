//! Calls out that a client of the REST interface starts, watches and ends, as the page of the
//! contract does it.

mod gateway_support;
mod rest_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::callee::Callee;
use gateway_support::*;
use rest_support::*;
use serde_json::{Value, json};

const STARTUP: &str = "/rest-api/call/startup";
const FIND: &str = "/rest-api/call/find";
const FIND_ALL: &str = "/rest-api/call/find_all";
const TERMINATE: &str = "/rest-api/call/terminate";

/// The PBX of these tests; it is no host that may call.
const PBX: &str = "203.0.113.9:5060";

/// What the page sends: every value is text.
fn page(id: &str) -> Value {
    json!({
        "toStream": format!("stream_{id}"), "hasAudio": "true", "hasVideo": "true",
        "callId": id, "sipLogin": "1001", "sipAuthenticationName": "1001",
        "sipPassword": "hunter2", "sipPort": "5060", "sipDomain": "203.0.113.9",
        "sipOutboundProxy": "203.0.113.9", "appKey": "defaultApp",
        "sipRegisterRequired": "false", "callee": "1002"
    })
}

/// The void answer that the page needs.
fn assert_done(reply: &Reply) {
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!((reply.status, &*text), (200, ""));
    assert_eq!(reply.header("content-length"), Some("0"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
}

fn start(world: &mut World, body: &Value) {
    assert_done(&post(world, STARTUP, body));
}

/// The one call of an id, as the page polls for it.
fn found(world: &mut World, id: &str) -> Value {
    let reply = post(world, FIND, &json!({"callId": id}));
    assert_eq!(reply.status, 200, "{reply:?}");
    let calls = reply.json();
    assert_eq!(calls.as_array().unwrap().len(), 1);
    calls[0].clone()
}

fn message(reply: &Reply) -> String {
    reply.json()["message"].as_str().unwrap().to_owned()
}

#[test]
fn the_page_starts_a_call_watches_it_and_ends_it() {
    let mut world = World::local(4);
    start(&mut world, &page("aB3dE6f-x9Y8z7w"));
    let call = found(&mut world, "aB3dE6f-x9Y8z7w");
    let expected = json!({
        "custom": {}, "nodeId": null, "appKey": null, "sessionId": null,
        "callId": "aB3dE6f-x9Y8z7w", "parentCallId": null, "incoming": false,
        "status": "TRYING", "sipStatus": null, "rtmpUrl": null, "rtmpStream": null,
        "streamName": "stream_aB3dE6f-x9Y8z7w", "rtmpStreamStatus": null, "caller": "1001",
        "callee": "1002", "hasAudio": true, "hasVideo": true, "sdp": null,
        "visibleName": "1001", "inviteParameters": null, "mediaProvider": "Flash",
        "sipMessageRaw": null, "isMsrp": false, "target": null, "holdForTransfer": false
    });
    assert_eq!(call, expected);

    let callee = Callee::called(&mut world, PBX);
    assert_eq!(headers(&callee.invite, "Call-ID"), ["aB3dE6f-x9Y8z7w"]);
    assert!(callee.invite.starts_with("INVITE sip:1002@203.0.113.9"));
    callee.respond(&mut world, 180, "one", "");
    let ringing = found(&mut world, "aB3dE6f-x9Y8z7w");
    assert_eq!(
        (&ringing["status"], &ringing["sipStatus"]),
        (&json!("RING"), &json!(180))
    );
    callee.respond(&mut world, 200, "one", &callee.answer());
    let talking = found(&mut world, "aB3dE6f-x9Y8z7w");
    assert_eq!(talking["status"], "ESTABLISHED");
    assert_eq!(talking["sipStatus"], 200);
    callee.heard(&mut world);

    assert_done(&post(
        &mut world,
        TERMINATE,
        &json!({"callId": "aB3dE6f-x9Y8z7w"}),
    ));
    let heard = callee.heard(&mut world);
    assert!(heard[0].starts_with("BYE "), "{heard:?}");
    let gone = post(&mut world, FIND, &json!({"callId": "aB3dE6f-x9Y8z7w"}));
    assert_eq!(gone.status, 404);
    let again = post(&mut world, TERMINATE, &json!({"callId": "aB3dE6f-x9Y8z7w"}));
    assert_eq!(again.status, 404);
    assert_eq!(ask(&mut world, "GET", FIND_ALL, "").status, 404);
    let notes = world.outlet.notes.iter();
    assert!(
        !notes
            .map(|(_, line)| line)
            .any(|line| line.contains("hunter2"))
    );
}

#[test]
fn a_call_may_go_to_a_server_and_stay_on_the_box_at_once() {
    let mut world = World::local(4);
    let mut body = page("both");
    body["rtmpUrl"] = json!("rtmp://198.51.100.5:1935/live/");
    body["rtmpStream"] = json!("s2");
    body["visibleName"] = json!("Lobby \"1\"");
    body["hasVideo"] = json!(false);
    start(&mut world, &body);
    let call = found(&mut world, "both");
    assert_eq!(call["rtmpUrl"], "rtmp://198.51.100.5/live");
    assert_eq!(call["rtmpStream"], "s2");
    assert_eq!(call["streamName"], "stream_both");
    assert_eq!(call["rtmpStreamStatus"], "RTMP_STREAM_WAIT");
    assert_eq!(call["visibleName"], "Lobby \"1\"");
    assert_eq!(
        (&call["hasAudio"], &call["hasVideo"]),
        (&json!(true), &json!(false))
    );
    let filter = json!({"rtmpUrl": "rtmp://198.51.100.5/live", "callee": "1002"});
    assert_eq!(post(&mut world, FIND, &filter).status, 200);
}

#[test]
fn calls_that_would_be_one_another_are_a_409() {
    let mut world = World::local(8);
    let with_target = |id: &str, name: &str| {
        let mut body = page(id);
        body["rtmpUrl"] = json!("rtmp://198.51.100.5/live");
        body["rtmpStream"] = json!(name);
        body
    };
    start(&mut world, &with_target("one", "s2"));
    let mut same_id = page("one");
    same_id["toStream"] = json!("another");
    let mut same_stream = page("two");
    same_stream["toStream"] = json!("stream_one");
    for (body, words) in [
        (same_id, "callId"),
        (with_target("two", "s2"), "rtmpUrl"),
        (same_stream, "stream"),
    ] {
        let reply = post(&mut world, STARTUP, &body);
        assert_eq!(reply.status, 409, "{reply:?}");
        assert_eq!(reply.json()["error"], "Conflict");
        assert!(message(&reply).contains(words), "{}", message(&reply));
    }
    start(&mut world, &with_target("two", "s3"));
    post(&mut world, TERMINATE, &json!({"callId": "one"}));
    assert_eq!(found(&mut world, "two")["callId"], "two");
}

#[test]
fn a_call_id_is_free_again_once_its_call_has_ended() {
    let mut world = World::local(4);
    start(&mut world, &page("one"));
    let callee = Callee::called(&mut world, PBX);
    callee.refuse(&mut world, 486, "");
    assert_eq!(
        post(&mut world, FIND, &json!({"callId": "one"})).status,
        404
    );
    world.advance(Duration::from_secs(40));
    start(&mut world, &page("one"));
}

#[test]
fn more_calls_than_there_may_be_are_a_503_that_says_so() {
    let mut world = World::local(2);
    for id in ["one", "two"] {
        start(&mut world, &page(id));
    }
    let reply = post(&mut world, STARTUP, &page("three"));
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(message(&reply), "every call is taken");
    let reply = ask(&mut world, "GET", FIND_ALL, "");
    assert_eq!(reply.json().as_array().unwrap().len(), 2);
}

#[test]
fn a_call_that_came_in_is_ended_by_its_call_id() {
    let mut world = World::local(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    assert_done(&post(
        &mut world,
        TERMINATE,
        &json!({"callId": phone.call_id}),
    ));
    let heard = world.take(&phone);
    assert!(
        heard.iter().any(|text| text.starts_with("BYE ")),
        "{heard:?}"
    );
    assert_eq!(ask(&mut world, "GET", FIND_ALL, "").status, 404);
}

#[test]
fn names_of_providers_with_their_domain_are_taken() {
    let mut world = World::local(4);
    let mut body = page("one");
    body["sipAuthenticationName"] = json!("1001@sip.example.net");
    start(&mut world, &body);
}

#[test]
fn one_that_rings_is_taken_back() {
    let mut world = World::local(4);
    start(&mut world, &page("one"));
    let callee = Callee::called(&mut world, PBX);
    callee.respond(&mut world, 180, "one", "");
    assert_done(&post(&mut world, TERMINATE, &json!({"callId": "one"})));
    let heard = callee.heard(&mut world);
    assert!(heard[0].starts_with("CANCEL "), "{heard:?}");
}
