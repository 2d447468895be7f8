//! Hooks on a virtual clock: what the backend is told, field by field, in which order, and what
//! becomes of it when the backend is slow, wrong or dead.

mod gateway_support;
mod rest_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::callee::Callee;
use gateway_support::*;
use rest_support::post;
use rtp_support::packet;
use serde_json::{Value, json};
use trunkcast::base::codec::Track;
use trunkcast::gateway::config::{Config, Hooks, OnCall, OnError};
use trunkcast::gateway::hooks::queue::QueueCounters;
use trunkcast::gateway::hooks::{HookCounters, Method, MethodSet};
use trunkcast::limits::{HOOK_CALLS_ASKED, HOOK_EVENTS, HOOK_EVENTS_A_CALL};

const SECOND: Duration = Duration::from_secs(1);

/// The PBX of calls out.
const PBX: &str = "203.0.113.9:5060";

fn hooks() -> Hooks {
    let url = format!("http://joe:s3cret@203.0.113.77:{BACKEND_PORT}/MyAPI");
    Hooks::new(url.parse().unwrap())
}

fn hooked(calls: usize, url: Option<&str>, change: impl FnOnce(&mut Hooks)) -> Config {
    let mut hooks = hooks();
    change(&mut hooks);
    Config {
        hooks: Some(hooks),
        ..config(calls, url)
    }
}

/// A gateway of calls that stay on the box, with a backend.
fn world(calls: usize, change: impl FnOnce(&mut Hooks)) -> World {
    World::new(hooked(calls, None, change))
}

/// A call out over REST, and whom it reached.
fn start(world: &mut World, call_id: &str, more: &[(&str, &str)]) -> Callee {
    let mut body = json!({
        "callId": call_id, "callee": "1002", "sipLogin": "1001", "sipPassword": "hunter2",
        "sipDomain": "203.0.113.9", "sipPort": "5060", "hasAudio": "true", "hasVideo": "true",
        "visibleName": "Lobby",
    });
    for (key, value) in more {
        body[*key] = Value::from(*value);
    }
    let reply = post(world, "/rest-api/call/startup", &body);
    assert_eq!(reply.status, 200, "{reply:?}");
    Callee::called(world, PBX)
}

fn terminate(world: &mut World, call_id: &str) {
    let body = json!({ "callId": call_id });
    let reply = post(world, "/rest-api/call/terminate", &body);
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// Whether nothing in a body is null, however deep.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(all) => all.iter().any(has_null),
        Value::Object(all) => all.values().any(has_null),
        _ => false,
    }
}

fn counters(world: &World) -> HookCounters {
    world.gateway.hook_counters().unwrap().0
}

fn dropped(world: &World) -> QueueCounters {
    world.gateway.hook_counters().unwrap().1
}

/// The hooks of one call, in order.
fn of_call<'a>(world: &'a World, call_id: &str) -> Vec<(&'a str, &'a str)> {
    let told = world.backend.told.iter();
    told.filter(|told| [told.text("callId"), told.text("mediaSessionId")].contains(&call_id))
        .map(|told| (told.method.as_str(), told.text("status")))
        .collect()
}

#[test]
fn a_call_out_is_told_from_its_begin_to_its_end() {
    let mut world = world(4, |_| {});
    let target = [
        ("rtmpUrl", "rtmp://joe:hunter2@198.51.100.5/live"),
        ("rtmpStream", "key"),
    ];
    let callee = start(&mut world, "one", &target);
    callee.respond(&mut world, 180, "t", "");
    callee.respond(&mut world, 200, "t", &callee.answer());
    world.advance(SECOND);
    terminate(&mut world, "one");
    world.advance(5 * SECOND);
    assert_eq!(
        of_call(&world, "one"),
        [
            ("call", "TRYING"),
            ("CallStatusEvent", "TRYING"),
            ("CallStatusEvent", "RING"),
            ("CallStatusEvent", "ESTABLISHED"),
            ("StreamStatusEvent", "PUBLISHING"),
            // The state of the stream at the RTMP server alone is news.
            ("CallStatusEvent", "ESTABLISHED"),
            ("hangup", ""),
            ("CallStatusEvent", "FINISH"),
            ("StreamStatusEvent", "UNPUBLISHED"),
        ]
    );
    // The session of the call begins before it and ends after it.
    let methods = world.backend.methods();
    assert_eq!(methods.first(), Some(&"ConnectionStatusEvent"));
    assert_eq!(methods.last(), Some(&"ConnectionStatusEvent"));
    assert_eq!(
        world.backend.statuses("ConnectionStatusEvent"),
        ["ESTABLISHED", "DISCONNECTED"]
    );
    assert_eq!(counters(&world).delivered, world.backend.told.len() as u64);
    assert_eq!(world.backend.attempts.len(), 1, "one connection was kept");
    assert_eq!(world.gateway.hook_events(), 0);
    // Nothing secret is in the journal.
    for secret in ["hunter2", "s3cret", "key"] {
        assert_eq!(world.notes(secret), [""; 0]);
    }
}

#[test]
fn a_body_is_as_the_contract_has_it() {
    let mut world = world(4, |_| {});
    let target = [
        ("rtmpUrl", "rtmp://joe:hunter2@198.51.100.5/live"),
        ("rtmpStream", "s2"),
    ];
    let callee = start(&mut world, "one", &target);
    callee.respond(&mut world, 200, "t", &callee.answer());
    world.advance(SECOND);
    let told = &world.backend.told;
    let first = &told[0];
    assert!(
        first
            .head
            .starts_with("POST /MyAPI/ConnectionStatusEvent HTTP/1.1\r\n")
    );
    assert!(
        first
            .head
            .contains(&format!("\r\nHost: 203.0.113.77:{BACKEND_PORT}\r\n"))
    );
    assert!(
        first
            .head
            .contains("\r\nAuthorization: Basic am9lOnMzY3JldA==\r\n")
    );
    let established = world.backend.of("CallStatusEvent").last().unwrap();
    let body = established.body.as_object().unwrap();
    let (node, address) = established.text("nodeId").split_once('@').unwrap();
    assert_eq!((node.len(), address), (32, "192.0.2.1"));
    let (from, number) = established.text("sessionId").split_once(':').unwrap();
    assert!(from == "127.0.0.1" && number.parse::<u64>().is_ok());
    let mut rest = body.clone();
    rest.remove("nodeId");
    rest.remove("sessionId");
    assert_eq!(
        Value::from(rest),
        json!({
            "appKey": "callApp", "callId": "one", "incoming": false, "status": "ESTABLISHED",
            "sipStatus": 200, "rtmpUrl": "rtmp://joe:hunter2@198.51.100.5/live",
            "rtmpStream": "s2", "rtmpStreamStatus": "RTMP_STREAM_ACTIVE", "caller": "1001",
            "callee": "1002", "hasAudio": true, "hasVideo": true, "visibleName": "Lobby",
            "mediaProvider": "Flash", "isMsrp": false,
        })
    );
    let stream = world.backend.of("StreamStatusEvent").next().unwrap();
    assert_eq!(stream.text("mediaSessionId"), "one");
    assert_eq!(stream.text("mediaType"), "publish");
    assert_eq!(stream.body["published"], true);
    assert_eq!(stream.body["audioState"], json!({"muted": false}));
    assert_eq!(
        (stream.text("audioCodec"), stream.text("videoCodec")),
        ("PCMA", "H264")
    );
    assert!(stream.body["createDate"].as_u64().unwrap() > 1_500_000_000_000);
    for told in told {
        assert!(!has_null(&told.body), "{told:?}");
        for key in ["nodeId", "appKey", "sessionId"] {
            assert_eq!(told.text(key), established.text(key), "{told:?}");
        }
    }
}

#[test]
fn an_incoming_call_is_told_with_its_keys() {
    let mut world = World::new(hooked(4, Some("rtmp://198.51.100.5/live"), |_| {}));
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, SECOND);
    // 5 by RFC 4733, told once although its packets are repeated.
    for _ in 0..3 {
        let event = packet(101, true, 50, 8_000, 5, &[5, 0x8a, 0, 160]);
        world.media(&phone, Track::Audio, &event);
    }
    let info = phone.request("INFO").replace(
        "Content-Length: 0\r\n\r\n",
        "Content-Type: application/dtmf-relay\r\nContent-Length: 24\r\n\r\n\
         Signal=#\r\nDuration=160\r\n",
    );
    world.sip(phone.remote, info);
    world.bye(&mut phone);
    world.advance(5 * SECOND);
    let id = phone.call_id.clone();
    assert_eq!(
        of_call(&world, &id),
        [
            ("OnCallEvent", "RING"),
            ("CallStatusEvent", "ESTABLISHED"),
            ("StreamStatusEvent", "PUBLISHING"),
            ("CallStatusEvent", "ESTABLISHED"),
            ("sendDtmf", ""),
            ("sendDtmf", ""),
            ("CallStatusEvent", "FINISH"),
            ("StreamStatusEvent", "UNPUBLISHED"),
        ]
    );
    let keys = world.backend.of("sendDtmf");
    let keys: Vec<_> = keys.map(|it| (it.text("dtmf"), it.text("type"))).collect();
    assert_eq!(keys, [("5", "RFC2833"), ("#", "INFO")]);
    let incoming = world.backend.of("OnCallEvent").next().unwrap();
    let mut body = incoming.body.as_object().unwrap().clone();
    assert!(incoming.text("sessionId").starts_with("192.0.2.10:"));
    for key in ["nodeId", "sessionId"] {
        assert!(body.remove(key).is_some());
    }
    assert_eq!(
        Value::from(body),
        json!({
            "appKey": "callApp", "callId": id, "incoming": true, "status": "RING",
            "rtmpUrl": "rtmp://198.51.100.5/live", "rtmpStream": "rtmp_4711",
            "streamName": "rtmp_4711", "rtmpStreamStatus": "RTMP_STREAM_WAIT", "caller": "1001",
            "callee": "4711", "hasAudio": true, "hasVideo": true, "visibleName": "Caller",
            "mediaProvider": "Flash", "isMsrp": false,
        })
    );
    let over = world.backend.of("CallStatusEvent").last().unwrap();
    assert_eq!(over.text("info"), "Normal call clearing");
    assert!(over.body.get("sipStatus").is_none());
    assert_eq!(world.backend.statuses("ConnectionStatusEvent"), [""; 0]);
}

#[test]
fn a_busy_callee_is_told_as_busy_and_then_as_the_end() {
    let mut world = world(4, |_| {});
    let callee = start(&mut world, "one", &[]);
    callee.refuse(&mut world, 486, "");
    world.advance(5 * SECOND);
    assert_eq!(
        world.backend.statuses("CallStatusEvent"),
        ["TRYING", "BUSY", "FINISH"]
    );
    let busy = world.backend.of("CallStatusEvent").nth(1).unwrap();
    assert_eq!(busy.body["sipStatus"], 486);
}

#[test]
fn a_call_that_fails_says_why() {
    let mut world = world(4, |hooks| hooks.timeout = SECOND);
    let callee = start(&mut world, "one", &[]);
    callee.refuse(&mut world, 404, "");
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    // No media comes.
    world.advance(90 * SECOND);
    let failed = world.backend.of("CallStatusEvent");
    let failed: Vec<_> = failed.filter(|it| it.text("status") == "FAILED").collect();
    assert_eq!(failed[0].body["sipStatus"], 404);
    assert!(failed[0].text("info").contains("Words"), "{failed:?}");
    assert_eq!(failed[1].text("info"), "Failed by RTP activity");
    assert_eq!(
        world.backend.statuses("StreamStatusEvent"),
        ["PUBLISHING", "FAILED"]
    );
}

#[test]
fn a_transfer_is_told() {
    let mut world = world(4, |_| {});
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let refer = phone.request("REFER");
    let lines = "Refer-To: <sip:1003@192.0.2.20>\r\nContent-Length";
    world.sip(phone.remote, refer.replacen("Content-Length", lines, 1));
    let callee = Callee::called(&mut world, "192.0.2.20:5060");
    callee.respond(&mut world, 180, "t", "");
    callee.refuse(&mut world, 603, "");
    world.advance(SECOND);
    assert_eq!(
        world.backend.statuses("TransferStatusEvent"),
        ["ACCEPTED", "TRYING", "FAILED"]
    );
    let failed = world.backend.of("TransferStatusEvent").last().unwrap();
    assert_eq!(failed.text("target"), "sip:1003@192.0.2.20");
    assert_eq!(failed.body["sipStatus"], 603);
}

#[test]
fn a_registration_is_told_when_it_changes() {
    let mut world = world(4, |_| {});
    let body = json!({
        "callId": "one", "callee": "1002", "sipLogin": "1001", "sipDomain": "203.0.113.9",
        "sipRegisterRequired": true,
    });
    post(&mut world, "/rest-api/call/startup", &body);
    let is_register = |(_, text): &(_, String)| text.starts_with("REGISTER ");
    let at = world.inbox.iter().position(is_register).unwrap();
    let (pbx, register) = world.inbox.remove(at);
    let challenge = "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"1\"\r\nContent-Length";
    let answer = gateway_support::respond(&register, 401);
    world.sip(pbx, answer.replacen("Content-Length", challenge, 1));
    world.advance(SECOND);
    let told = world.backend.of("RegistrationStatusEvent").next().unwrap();
    assert_eq!(told.text("status"), "AUTHENTICATION_FAIL");
    assert_eq!(told.text("sipLogin"), "1001");
    let call = world.backend.of("call").next().unwrap();
    assert_eq!(told.text("sessionId"), call.text("sessionId"));
    let failed = world.backend.of("CallStatusEvent").last().unwrap();
    assert_eq!(failed.text("status"), "FAILED");
}

#[test]
fn a_call_is_told_in_the_name_of_the_application_that_it_names() {
    let mut world = world(4, |_| {});
    let callee = start(&mut world, "one", &[("appKey", "doors")]);
    callee.respond(&mut world, 200, "t", &callee.answer());
    world.advance(SECOND);
    assert!(world.backend.told.len() > 4);
    for told in &world.backend.told {
        assert_eq!(told.text("appKey"), "doors", "{told:?}");
    }
}

#[test]
fn only_what_was_asked_for_is_told() {
    let mut world = world(4, |hooks| {
        hooks.methods = MethodSet::of(&[Method::CallStatusEvent]);
        hooks.app_key = "myApp".to_owned();
    });
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    world.bye(&mut phone);
    world.advance(5 * SECOND);
    assert_eq!(world.backend.methods(), ["CallStatusEvent"; 2]);
    assert_eq!(world.backend.told[0].text("appKey"), "myApp");
}

#[test]
fn a_backend_that_stalls_delays_no_call_and_is_bounded() {
    let mut world = world(4, |hooks| hooks.retry = 60 * SECOND);
    world.backend.mood = Mood::Stall;
    for round in 0..40 {
        let mut phone = Phone::new(&format!("{round}"));
        world.call(&mut phone);
        let mut camera = Camera::new(round);
        camera.film(&mut world, &phone, SECOND / 10);
        world.bye(&mut phone);
        world.advance(3 * SECOND);
    }
    // At first four are under way; once the first is late, one at a time.
    let early = world.backend.told.iter();
    let early = early
        .filter(|told| told.at.as_micros() < 15_000_000)
        .count();
    assert_eq!(early, 4);
    let all = world.backend.told.len();
    assert!((6..16).contains(&all), "{all}");
    assert!(dropped(&world).expired > 0);
    assert_eq!(world.notes("no answer in time").len(), 1);
    let dropped = world.notes("are dropped that").len();
    assert!((1..=2).contains(&dropped), "{dropped}");
    assert!(world.gateway.usage().calls <= 1);
    // It gets well: what still counts is told, and no call's end before its begin.
    world.backend.mood = Mood::Well;
    let told = world.backend.told.len();
    world.advance(40 * SECOND);
    assert_eq!(world.gateway.hook_events(), 0);
    assert_eq!(world.notes("answers again after").len(), 1);
    let last = format!("call-{}@192.0.2.10", 39);
    let of_last = of_call(&world, &last);
    assert_eq!(of_last.last(), Some(&("StreamStatusEvent", "UNPUBLISHED")));
    assert!(world.backend.told.len() > told + 4);
}

#[test]
fn an_event_that_was_not_taken_comes_again_before_the_next_of_its_call() {
    for mood in [
        Mood::Answer(500),
        Mood::HangUp,
        Mood::Garbage,
        Mood::Answer(429),
    ] {
        let mut world = world(4, |_| {});
        world.backend.mood = mood;
        let mut phone = Phone::new("4711");
        world.call(&mut phone);
        world.advance(SECOND / 2);
        world.bye(&mut phone);
        let failed = world.backend.methods();
        assert!(failed.iter().all(|it| *it == "OnCallEvent"), "{failed:?}");
        world.backend.told.clear();
        world.backend.mood = Mood::Well;
        world.advance(60 * SECOND);
        assert_eq!(
            of_call(&world, &phone.call_id),
            [
                ("OnCallEvent", "RING"),
                ("CallStatusEvent", "ESTABLISHED"),
                ("StreamStatusEvent", "PUBLISHING"),
                ("CallStatusEvent", "FINISH"),
                ("StreamStatusEvent", "UNPUBLISHED"),
            ],
            "{mood:?}"
        );
        assert!(counters(&world).failed > 0);
    }
}

#[test]
fn an_answer_that_says_no_is_taken_for_an_answer() {
    for status in [204, 301, 404, 405] {
        let mut world = world(4, |_| {});
        world.backend.mood = Mood::Answer(status);
        let mut phone = Phone::new("4711");
        world.call(&mut phone);
        world.advance(SECOND);
        assert_eq!(world.backend.told.len(), 3, "{status}");
        assert_eq!(world.gateway.calls().count(), 1, "{status}");
        let is_refused = status >= 300;
        assert_eq!(counters(&world).refused, if is_refused { 3 } else { 0 });
        let words = format!("OnCallEvent was answered with {status}");
        assert_eq!(world.notes(&words).len(), usize::from(is_refused));
    }
}

#[test]
fn a_backend_that_dies_and_comes_back_learns_how_every_call_stands() {
    let mut world = world(8, |hooks| hooks.connections = 2);
    let mut phones: Vec<_> = (0..4).map(|n| Phone::new(&format!("{n}"))).collect();
    for phone in &mut phones {
        world.call(phone);
    }
    world.advance(SECOND);
    let before = world.backend.told.len();
    world.kill_backend();
    for phone in &mut phones {
        world.bye(phone);
    }
    world.advance(40 * SECOND);
    // It is asked for more and more seldom, by one event.
    let attempts = world.backend.attempts.len();
    assert!((5..12).contains(&attempts), "{attempts}");
    assert_eq!(world.notes("Connection refused").len(), 1);
    assert_eq!(world.backend.told.len(), before);
    world.backend.mood = Mood::Well;
    world.advance(31 * SECOND);
    for phone in &phones {
        assert_eq!(
            of_call(&world, &phone.call_id),
            [
                ("OnCallEvent", "RING"),
                ("CallStatusEvent", "ESTABLISHED"),
                ("StreamStatusEvent", "PUBLISHING"),
                ("CallStatusEvent", "FINISH"),
                ("StreamStatusEvent", "UNPUBLISHED"),
            ]
        );
    }
    assert_eq!(dropped(&world).expired, 0);
}

#[test]
fn what_waits_is_bounded_and_the_last_word_of_a_call_is_kept() {
    let mut world = world(4, |hooks| hooks.retry = 86_400 * SECOND);
    world.backend.mood = Mood::Refuse;
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    // Held and taken up again, for a long time.
    for n in 0..3 * HOOK_EVENTS_A_CALL {
        let how = if n % 2 == 0 { "inactive" } else { "sendrecv" };
        let offer = phone.offer(how, true);
        world.reinvite(&mut phone, &offer);
    }
    assert!(world.gateway.hook_events() <= HOOK_EVENTS_A_CALL);
    world.bye(&mut phone);
    world.advance(5 * SECOND);
    assert!(world.gateway.hook_events() <= HOOK_EVENTS_A_CALL);
    world.backend.mood = Mood::Well;
    world.advance(60 * SECOND);
    let told = of_call(&world, &phone.call_id);
    assert_eq!(
        told[told.len() - 2..],
        [
            ("CallStatusEvent", "FINISH"),
            ("StreamStatusEvent", "UNPUBLISHED"),
        ]
    );
    assert!(dropped(&world).superseded > 0);

    world.kill_backend();
    world.checks = false;
    for n in 0..HOOK_EVENTS / 2 {
        let mut phone = Phone::new(&format!("{n}"));
        world.call(&mut phone);
        world.bye(&mut phone);
        world.advance(SECOND / 10);
        assert!(world.gateway.hook_events() <= HOOK_EVENTS);
    }
    assert!(dropped(&world).crowded_out > 0);
    world.backend.mood = Mood::Well;
    world.backend.told.clear();
    world.advance(60 * SECOND);
    let finished = world.backend.statuses("CallStatusEvent");
    let finished = finished.iter().filter(|it| *it == "FINISH").count();
    assert_eq!(finished, HOOK_EVENTS / 2);
}

#[test]
fn a_call_that_is_asked_about_waits_for_the_word_and_gets_it() {
    let mut world = world(4, |hooks| hooks.on_call = OnCall::Ask);
    let mut phone = Phone::new("4711");
    let answers = world.invite(&mut phone);
    let codes: Vec<_> = answers.iter().map(|it| status(it)).collect();
    assert_eq!(codes.last(), Some(&200), "{codes:?}");
    let ack = phone.ack("");
    world.sip(phone.remote, ack);
    world.bye(&mut phone);
    world.advance(5 * SECOND);
    assert_eq!(
        of_call(&world, &phone.call_id),
        [
            ("OnCallEvent", "RING"),
            ("CallStatusEvent", "ESTABLISHED"),
            ("StreamStatusEvent", "PUBLISHING"),
            ("CallStatusEvent", "FINISH"),
            ("StreamStatusEvent", "UNPUBLISHED"),
        ]
    );
    let question = &world.backend.told[0];
    assert_eq!(question.body["hasVideo"], true);
    let sessions: Vec<_> = world
        .backend
        .told
        .iter()
        .map(|it| it.text("sessionId"))
        .collect();
    assert!(sessions.iter().all(|it| it == &sessions[0]), "{sessions:?}");
}

#[test]
fn a_call_that_the_backend_refuses_is_declined() {
    for (answer, code) in [(403, 403), (401, 603)] {
        let mut world = world(4, |hooks| hooks.on_call = OnCall::Ask);
        world.backend.mood = Mood::Judge(answer);
        let mut phone = Phone::new("4711");
        let answers = world.invite(&mut phone);
        assert_eq!(status(answers.last().unwrap()), code);
        let ack = phone.ack_refusal(answers.last().unwrap());
        world.sip(phone.remote, ack);
        world.advance(SECOND);
        assert_eq!(world.gateway.calls().count(), 0);
        assert_eq!(counters(&world).calls_rejected, 1);
        assert_eq!(
            of_call(&world, &phone.call_id),
            [("OnCallEvent", "RING"), ("CallStatusEvent", "FAILED")]
        );
    }
    // Without waiting, the call ends as soon as the answer is there.
    let mut world = world(4, |_| {});
    world.backend.mood = Mood::Judge(403);
    let mut phone = Phone::new("4711");
    world.invite(&mut phone);
    let ack = phone.ack("");
    world.sip(phone.remote, ack);
    world.advance(5 * SECOND);
    assert_eq!(world.gateway.calls().count(), 0);
    let heard = world.take(&phone);
    assert!(
        heard.iter().any(|text| text.starts_with("BYE ")),
        "{heard:?}"
    );
}

#[test]
fn a_call_out_that_the_backend_refuses_is_taken_back() {
    let mut world = world(4, |_| {});
    world.backend.mood = Mood::Answer(403);
    let callee = start(&mut world, "one", &[]);
    callee.respond(&mut world, 100, "t", "");
    world.advance(SECOND);
    let heard = callee.heard(&mut world);
    assert!(heard[0].starts_with("CANCEL "), "{heard:?}");
    callee.cancelled(&mut world, &heard[0]);
    world.advance(5 * SECOND);
    let told = of_call(&world, "one");
    assert_eq!(told.last(), Some(&("CallStatusEvent", "FAILED")));
    assert_eq!(world.gateway.calls().count(), 0);
}

#[test]
fn no_call_waits_for_a_backend_that_is_known_to_be_dead() {
    let mut world = world(4, |hooks| hooks.on_call = OnCall::Ask);
    world.backend.mood = Mood::Stall;
    world.invite(&mut Phone::new("first"));
    world.advance(15 * SECOND);
    world.call(&mut Phone::new("second"));
    assert_eq!(counters(&world).questions_unanswered, 1);
    // It is told of the calls of that time, and asked again, once it is back.
    world.backend.mood = Mood::Well;
    world.advance(40 * SECOND);
    assert_eq!(world.backend.of("OnCallEvent").count(), 2);
    world.backend.mood = Mood::Judge(403);
    let answers = world.invite(&mut Phone::new("third"));
    assert_eq!(status(answers.last().unwrap()), 403);
}

#[test]
fn a_question_without_an_answer_lets_the_call_on_or_refuses_it() {
    for (mood, on_error, code) in [
        (Mood::Stall, OnError::Log, 200),
        (Mood::Stall, OnError::Fail, 503),
        (Mood::Refuse, OnError::Log, 200),
        (Mood::Refuse, OnError::Fail, 503),
        (Mood::Judge(500), OnError::Log, 200),
        (Mood::Judge(404), OnError::Fail, 503),
    ] {
        let mut world = world(4, |hooks| {
            hooks.on_call = OnCall::Ask;
            hooks.on_error = on_error;
        });
        world.backend.mood = mood;
        let mut phone = Phone::new("4711");
        let mut answers = world.invite(&mut phone);
        if mood == Mood::Stall {
            let codes: Vec<_> = answers.iter().map(|it| status(it)).collect();
            assert_eq!(codes, [100], "it waits");
            world.advance(14 * SECOND);
            assert_eq!(world.take(&phone), [""; 0]);
            world.advance(SECOND);
            answers = world.take(&phone);
        }
        assert_eq!(
            status(answers.last().unwrap()),
            code,
            "{mood:?} {on_error:?}"
        );
        assert_eq!(counters(&world).questions_unanswered, 1);
    }
}

#[test]
fn a_caller_may_go_while_its_call_waits() {
    let mut world = world(4, |hooks| hooks.on_call = OnCall::Ask);
    world.backend.mood = Mood::Stall;
    let mut phone = Phone::new("4711");
    world.invite(&mut phone);
    let cancel = phone.cancel();
    world.sip(phone.remote, cancel);
    let codes: Vec<_> = world.take(&phone).iter().map(|it| status(it)).collect();
    assert_eq!(codes, [200, 487]);
    world.advance(20 * SECOND);
    assert_eq!(world.gateway.calls().count(), 0);
    world.backend.mood = Mood::Well;
    world.advance(60 * SECOND);
    assert_eq!(
        of_call(&world, &phone.call_id).last(),
        Some(&("CallStatusEvent", "FINISH"))
    );
    assert_eq!(world.gateway.usage().sip, 0);
}

#[test]
fn calls_wait_in_a_bounded_number_and_delay_no_other() {
    let mut world = world(HOOK_CALLS_ASKED * 2, |hooks| {
        hooks.on_call = OnCall::Ask;
        hooks.connections = 2;
    });
    let mut before = Phone::new("before");
    world.call(&mut before);
    world.backend.mood = Mood::Stall;
    let mut phones: Vec<_> = (0..HOOK_CALLS_ASKED)
        .map(|n| Phone::new(&format!("{n}")))
        .collect();
    for phone in &mut phones {
        let codes: Vec<_> = world.invite(phone).iter().map(|it| status(it)).collect();
        assert_eq!(codes, [100]);
    }
    // One more has nowhere to wait and is taken at once.
    let mut more = Phone::new("more");
    world.call(&mut more);
    // The call that was up goes on.
    let mut camera = Camera::new(1);
    camera.film(&mut world, &before, SECOND);
    assert!(world.find("rtmp_before").unwrap().log.end() > 50);
    // A stop ends those that wait as well.
    world.gateway.stop(world.now);
    world.settle();
    for phone in &phones {
        assert_eq!(status(world.take(phone).last().unwrap()), 503);
    }
}

#[test]
fn another_backend_takes_over_where_one_is_left() {
    let mut world = world(4, |_| {});
    world.backend.mood = Mood::Stall;
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    world.advance(SECOND);
    world.backend.told.clear();
    world.backend.mood = Mood::Well;
    let new = hooked(4, None, |hooks| hooks.app_key = "other".to_owned());
    assert_eq!(world.gateway.reload(new), Ok(false));
    world.settle();
    world.bye(&mut phone);
    world.advance(5 * SECOND);
    assert_eq!(of_call(&world, &phone.call_id).len(), 5);
    let over = world.backend.of("CallStatusEvent").last().unwrap();
    assert_eq!(over.text("appKey"), "other");
    // Without a backend nothing is told, and no connection is left.
    assert_eq!(world.gateway.reload(config(4, None)), Ok(false));
    world.settle();
    assert!(world.gateway.hook_counters().is_none());
    assert_eq!(world.gateway.usage().connections, 0);
    let told = world.backend.told.len();
    let mut phone = Phone::new("4712");
    world.call(&mut phone);
    // A call that is up when there is a backend again is told when it changes.
    assert_eq!(world.gateway.reload(hooked(4, None, |_| {})), Ok(false));
    world.settle();
    world.bye(&mut phone);
    world.advance(5 * SECOND);
    let new: Vec<_> = world.backend.told[told..]
        .iter()
        .map(|it| it.text("status"))
        .collect();
    assert_eq!(new, ["FINISH"]);
}

#[test]
fn a_defect_in_telling_costs_what_waited_and_no_call() {
    let mut world = world(4, |_| {});
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let conn = world.backend.conns[0].0;
    world.outlet.defect = Defect::Write(conn);
    let offer = phone.offer("inactive", true);
    world.reinvite(&mut phone, &offer);
    world.outlet.defect = Defect::None;
    assert_eq!(
        (counters(&world).crashed, world.gateway.hook_events()),
        (1, 0)
    );
    assert_eq!((world.errors(), world.gateway.calls().count()), (1, 1));
    world.bye(&mut phone);
    world.advance(5 * SECOND);
    let told = of_call(&world, &phone.call_id);
    assert_eq!(told.last(), Some(&("StreamStatusEvent", "UNPUBLISHED")));
    assert!(told.contains(&("CallStatusEvent", "FINISH")), "{told:?}");
    // One in the code of a call is told as its end.
    let mut phone = Phone::new("4712");
    world.call(&mut phone);
    world.outlet.defect = Defect::Note("HOLD");
    let offer = phone.offer("inactive", true);
    let invite = phone.reinvite(&offer);
    world.sip(phone.remote, invite);
    world.outlet.defect = Defect::None;
    world.advance(5 * SECOND);
    assert_eq!(world.gateway.counters().calls_crashed, 1);
    let told = of_call(&world, &phone.call_id);
    assert!(told.contains(&("CallStatusEvent", "FAILED")), "{told:?}");
}

#[test]
fn the_name_of_the_box_outlives_a_restart() {
    let name = |world: &World| world.backend.told[0].text("nodeId").to_owned();
    let mut first = world(4, |_| {});
    first.call(&mut Phone::new("4711"));
    let [(_, record)] = &first.outlet.kept[..] else {
        panic!("{:?}", first.outlet.kept);
    };
    let mut second = world(4, |_| {});
    second.gateway.recall([record.as_slice()].into_iter());
    second.call(&mut Phone::new("4711"));
    assert_eq!(name(&second), name(&first));
    assert!(second.outlet.kept.is_empty());
}
