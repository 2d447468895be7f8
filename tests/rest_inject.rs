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
