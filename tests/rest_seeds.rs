//! The requests that WCS documents show, sent as they are shown: codes and bodies are what the
//! documents show too, field by field.
//!
//! In the files, `"..."` stands for what a document leaves out or for what nobody can know
//! beforehand; `answer: null` is an empty body.

mod gateway_support;
mod rest_support;
mod rtp_support;

use gateway_support::callee::Callee;
use gateway_support::*;
use rest_support::*;
use serde_json::Value;

/// Where calls of the documents go, where these files say so.
const PBX: &str = "203.0.113.9:5060";

fn load(name: &str) -> Value {
    let path = format!("{}/tests/data/wcs/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Demands that a value is as it is shown: the same keys, the same values.
fn compare(shown: &Value, got: &Value, at: &str) {
    match (shown, got) {
        (Value::String(text), _) if text == "..." => {}
        (Value::Object(shown), Value::Object(got)) => {
            let keys = |map: &serde_json::Map<String, Value>| -> Vec<String> {
                map.keys().cloned().collect()
            };
            assert_eq!(keys(got), keys(shown), "{at}");
            for (key, value) in shown {
                compare(value, &got[key], &format!("{at}.{key}"));
            }
        }
        (Value::Array(shown), Value::Array(got)) => {
            assert_eq!(got.len(), shown.len(), "{at}: {got:?}");
            for (place, (shown, got)) in shown.iter().zip(got).enumerate() {
                compare(shown, got, &format!("{at}[{place}]"));
            }
        }
        _ => assert_eq!(got, shown, "{at}"),
    }
}

/// The callee of a call that was asked for.
fn called(world: &mut World, body: &Value) -> Callee {
    loop {
        let callee = Callee::called(world, PBX);
        if callee.phone.call_id == body["callId"].as_str().unwrap() {
            return callee;
        }
    }
}

fn replay(name: &str) {
    let file = load(name);
    let mut config = config(8, Some(&format!("rtmp://{HOME}/live")));
    // The documents have an RTMP server at the usual port of this host.
    config.rtmp_listen.set_port(1_936);
    let mut world = World::new(config);
    let mut incoming = None;
    if let Some(number) = file["incoming"].as_str() {
        let mut phone = Phone::new(number);
        world.call(&mut phone);
        incoming = Some(phone.call_id);
    }
    let exchanges = file["exchanges"].as_array().unwrap();
    assert!(exchanges.len() > 3);
    for exchange in exchanges {
        let at = format!("{name}: {}", exchange["about"].as_str().unwrap());
        let path = exchange["path"].as_str().unwrap();
        let mut body = exchange["body"].clone();
        if body["callId"] == "@incoming" {
            body["callId"] = incoming.clone().unwrap().into();
        }
        let reply = match &body {
            Value::Null => ask(&mut world, "POST", path, ""),
            body => post(&mut world, path, body),
        };
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(exchange["status"], reply.status, "{at}: {text}");
        assert_eq!(
            reply.header("access-control-allow-origin"),
            Some("*"),
            "{at}"
        );
        match &exchange["answer"] {
            Value::Null => {
                assert_eq!(text, "", "{at}");
                assert_eq!(reply.header("content-length"), Some("0"), "{at}");
            }
            shown => {
                let kind = reply.header("content-type").unwrap();
                assert!(kind.starts_with("application/json"), "{at}: {kind}");
                compare(shown, &reply.json(), &at);
            }
        }
        if exchange["then"] == "answered" {
            let callee = called(&mut world, &body);
            callee.respond(&mut world, 200, "callee", &callee.answer());
        }
        if let Some(direction) = exchange["offer"].as_str() {
            let callee = called(&mut world, &body);
            let line = format!("a={direction}\r\n");
            assert_eq!(callee.offer().matches("m=").count(), 2, "{at}");
            assert_eq!(callee.offer().matches(&line).count(), 2, "{at}");
        }
    }
}

#[test]
fn the_document_on_capturing_a_call() {
    replay("capture.json");
}

#[test]
fn the_document_on_sip_as_stream() {
    replay("as_stream.json");
}

#[test]
fn the_page_of_the_document_on_sip_as_stream() {
    replay("as_stream_page.json");
}

#[test]
fn the_document_on_calls_of_a_trunk() {
    replay("trunk.json");
}

#[test]
fn the_comparison_sees_what_differs() {
    let same =
        |shown: Value, got: Value| std::panic::catch_unwind(|| compare(&shown, &got, "")).is_ok();
    let list = serde_json::json!([{"a": 1, "b": null}]);
    assert!(same(
        serde_json::json!([{"a": "...", "b": null}]),
        list.clone()
    ));
    assert!(!same(
        serde_json::json!([{"a": 2, "b": null}]),
        list.clone()
    ));
    assert!(!same(serde_json::json!([{"a": 1}]), list.clone()));
    assert!(!same(serde_json::json!([]), list));
}
