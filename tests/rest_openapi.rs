//! The description of the interface is true: what it lists is there, what is there is listed, and its
//! examples are answered as it says.

mod gateway_support;
mod rest_support;
mod rtp_support;

use std::collections::BTreeSet;
use std::time::Duration;

use gateway_support::callee::{Callee, answer};
use gateway_support::*;
use rest_support::*;
use serde_json::{Map, Value, json};
use trunkcast::gateway::rest;

const PATH: &str = "/rest-api/openapi.json";
const STARTUP: &str = "/rest-api/call/startup";

/// What an answer may be that a gateway without files gives to an example that names one.
const WANTS_FILE: [&str; 2] = ["/rest-api/call/inject_sound", "/rest-api/push/sound_on"];

fn description() -> Value {
    let reply = ask(&mut World::local(1), "GET", PATH, "");
    assert_eq!(reply.status, 200);
    let kind = reply.header("content-type").unwrap();
    assert_eq!(kind, "application/json;charset=UTF-8");
    reply.json()
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("{value}"))
}

/// What a `$ref` points at, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{reference} points nowhere")),
        None => value,
    }
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("type {name}"),
    }
}

/// Checks a value against a schema in the keywords of JSON Schema that the description uses; in words
/// what is wrong.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let fails = |words: String| Err(format!("{at}: {words}: {value}"));
    for (keyword, rule) in object(schema) {
        let fine = match keyword.as_str() {
            "$ref" => {
                check(document, resolved(document, schema), value, at)?;
                true
            }
            "type" => match rule {
                Value::String(name) => has_type(value, name),
                Value::Array(names) => names
                    .iter()
                    .any(|name| has_type(value, name.as_str().unwrap())),
                _ => panic!("{rule}"),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "anyOf" => {
                let mut all = rule.as_array().unwrap().iter();
                all.any(|schema| check(document, schema, value, at).is_ok())
            }
            "not" => check(document, rule, value, at).is_err(),
            "properties" if !value.is_object() => true,
            "properties" => {
                for (name, schema) in object(rule) {
                    if let Some(value) = value.get(name) {
                        check(document, schema, value, &format!("{at}.{name}"))?;
                    }
                }
                true
            }
            "required" => {
                let mut names = rule.as_array().unwrap().iter();
                names.all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "additionalProperties" => {
                assert_eq!(rule, false);
                let known = object(&schema["properties"]);
                object(value).keys().all(|name| known.contains_key(name))
            }
            "items" => {
                for (place, item) in value.as_array().unwrap().iter().enumerate() {
                    check(document, rule, item, &format!("{at}[{place}]"))?;
                }
                true
            }
            "minItems" => value.as_array().unwrap().len() as u64 >= rule.as_u64().unwrap(),
            "minLength" | "maxLength" => match (value.as_str(), rule.as_u64()) {
                (Some(text), Some(limit)) => {
                    let length = text.chars().count() as u64;
                    length == limit || (length > limit) == (keyword == "minLength")
                }
                _ => true,
            },
            "minimum" => value
                .as_f64()
                .is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value
                .as_f64()
                .is_none_or(|number| number <= rule.as_f64().unwrap()),
            "format" => {
                assert_eq!(rule, "ipv6");
                let text = value.as_str();
                text.is_none_or(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
            }
            // What a text looks like is left to those who know regular expressions.
            "pattern" | "description" | "default" => true,
            _ => panic!("keyword {keyword}"),
        };
        if !fine {
            return fails(format!("not {keyword} {rule}"));
        }
    }
    Ok(())
}

/// Every operation: its path, its method in capitals, and itself.
fn operations(document: &Value) -> Vec<(&str, String, &Value)> {
    let paths = object(&document["paths"]).iter();
    let all = paths.flat_map(|(path, methods)| {
        let methods = object(methods).iter();
        methods.map(move |(method, it)| (path.as_str(), method.to_uppercase(), it))
    });
    all.collect()
}

#[test]
fn what_is_listed_is_there_and_what_is_there_is_listed() {
    let document = description();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let listed: BTreeSet<String> = object(&document["paths"]).keys().cloned().collect();
    let there: BTreeSet<String> = rest::paths().collect();
    assert_eq!(listed, there);
    let mut world = World::local(1);
    for path in listed {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let known = !document["paths"][&path][method.to_lowercase()].is_null();
            let status = ask(&mut world, method, &path, "").status;
            assert_eq!(status != 405, known, "{method} {path}: {status}");
        }
    }
    let older = ask(&mut world, "GET", "/rest-api/openapi_3_0.json", "");
    assert_eq!(older.json(), document);
}

#[test]
fn every_reference_points_somewhere_and_every_operation_has_its_name() {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| walk(value, found));
            }
            Value::Array(all) => all.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let document = description();
    let mut references = Vec::new();
    walk(&document, &mut references);
    assert!(references.len() > 100);
    for reference in references {
        resolved(&document, &json!({ "$ref": reference }));
    }
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{method} {path}: {name} twice");
        assert!(operation["responses"]["default"].is_object(), "{path}");
    }
}

/// The callId of the call that the examples are about, established; and what its streams and pushes
/// are called here.
fn prepared(document: &Value, path: &str) -> (World, Option<String>) {
    let example = |path: &str, name: &str| {
        let post = &document["paths"][path]["post"];
        post["requestBody"]["content"]["application/json"]["examples"][name]["value"].clone()
    };
    let mut world = World::local(4);
    if path == STARTUP {
        return (world, None);
    }
    let reply = post(&mut world, STARTUP, &example(STARTUP, "asStream"));
    assert_eq!(reply.status, 200, "{reply:?}");
    let callee = Callee::called(&mut world, "192.0.2.10:5060");
    let sdp = answer("192.0.2.10:4000".parse().unwrap(), "sendrecv");
    callee.respond(&mut world, 200, "callee", &sdp);
    if path.contains("/inject_stream") {
        let mut other = example(STARTUP, "asStream");
        other["callId"] = "lobby-1".into();
        other["toStream"] = "lobby".into();
        let reply = post(&mut world, STARTUP, &other);
        assert_eq!(reply.status, 200, "{reply:?}");
        let callee = Callee::called(&mut world, "192.0.2.10:5060");
        callee.respond(&mut world, 200, "other", &sdp);
        let to = "/rest-api/call/inject_stream/startup";
        if path.ends_with("/terminate") {
            let reply = post(&mut world, to, &example(to, "stream"));
            assert_eq!(reply.status, 200, "{reply:?}");
        }
    }
    let mut session = None;
    let of_push = path.starts_with("/rest-api/push/") && !path.ends_with("/startup");
    if of_push {
        let startup = "/rest-api/push/startup";
        let reply = post(&mut world, startup, &example(startup, "plain"));
        assert_eq!(reply.status, 200, "{reply:?}");
        session = reply.json()["mediaSessionId"].as_str().map(str::to_owned);
    } else if ["/rest-api/stream/", "/rest-api/recorder/"]
        .iter()
        .any(|base| path.starts_with(base))
    {
        let reply = ask(&mut world, "GET", "/rest-api/stream/find_all", "");
        assert_eq!(reply.status, 200, "{reply:?}");
        session = reply.json()[0]["mediaSessionId"]
            .as_str()
            .map(str::to_owned);
    }
    world.advance(Duration::from_secs(1));
    (world, session)
}

/// Checks an answer against what is said of its status.
fn check_answer(document: &Value, of: &Value, reply: &Reply, at: &str) {
    let status = reply.status.to_string();
    let responses = object(&of["responses"]);
    let said = responses.get(&status);
    let said = resolved(document, said.unwrap_or_else(|| panic!("{at}: {reply:?}")));
    let Some(content) = said["content"].as_object() else {
        assert!(reply.body.is_empty(), "{at}: {reply:?}");
        return;
    };
    let kind = reply.header("content-type").unwrap();
    let kind = kind.split(';').next().unwrap();
    let schema = content.get(kind).unwrap_or_else(|| panic!("{at}: {kind}"));
    let value = match kind {
        "application/json" => reply.json(),
        _ => Value::String(String::from_utf8(reply.body.clone()).unwrap()),
    };
    if let Err(words) = check(document, &schema["schema"], &value, "answer") {
        panic!("{at}: {words}");
    }
}

#[test]
fn every_example_is_answered_as_it_is_said() {
    let document = description();
    let mut played = 0;
    let there: BTreeSet<String> = rest::paths().collect();
    for (path, method, operation) in operations(&document) {
        // Another test tells of those that are missing; HEAD has no answer to look at.
        if !there.contains(path) || method == "HEAD" {
            continue;
        }
        let body = &operation["requestBody"]["content"]["application/json"];
        let examples: Vec<(String, Value)> = match body["examples"].as_object() {
            Some(examples) => {
                let each = examples.iter();
                each.map(|(name, it)| (name.clone(), it["value"].clone()))
                    .collect()
            }
            None => vec![("none".to_owned(), json!({}))],
        };
        for (name, mut example) in examples {
            let at = format!("{method} {path} {name}");
            if body.is_object()
                && let Err(words) = check(&document, &body["schema"], &example, "example")
            {
                panic!("{at}: {words}");
            }
            let (mut world, session) = prepared(&document, path);
            if let (Some(id), Some(session)) = (example.get_mut("mediaSessionId"), session) {
                *id = Value::String(session);
            }
            let reply = match method.as_str() {
                "POST" => post(&mut world, path, &example),
                method => ask(&mut world, method, path, ""),
            };
            check_answer(&document, operation, &reply, &at);
            let none = path.contains("ecord");
            let fails = none || WANTS_FILE.contains(&path);
            assert!(reply.status == 200 || fails, "{at}: {reply:?}");
            played += 1;
        }
    }
    assert!(played > 8, "{played}");
}

/// The value that a link's expression stands for.
fn linked(expression: &str, request: &Value, answer: &Value) -> Value {
    let (of, pointer) = expression.split_once('#').unwrap();
    let whole = match of {
        "$request.body" => request,
        "$response.body" => answer,
        _ => panic!("{expression}"),
    };
    let value = whole.pointer(pointer);
    value
        .unwrap_or_else(|| panic!("{expression} of {request}, {answer}"))
        .clone()
}

#[test]
fn links_lead_to_what_was_begun_and_found() {
    let document = description();
    let mut followed = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let Some(links) = operation["responses"]["200"]["links"].as_object() else {
            continue;
        };
        let body = &operation["requestBody"]["content"]["application/json"];
        let example = body["examples"].as_object().and_then(|examples| {
            let mut each = examples.values().map(|it| it["value"].clone());
            // A call that has a stream of its own.
            each.find(|value| path != STARTUP || value["toStream"].is_string())
        });
        for (name, link) in links {
            let at = format!("{method} {path} {name}");
            let link = resolved(&document, link);
            let to = operations(&document).into_iter().find(|(_, _, operation)| {
                operation["operationId"].as_str() == link["operationId"].as_str()
            });
            let (to, _, to_operation) = to.unwrap_or_else(|| panic!("{at} leads nowhere"));
            let schema = &to_operation["requestBody"]["content"]["application/json"]["schema"];
            let fields = &resolved(&document, schema)["properties"];
            for field in object(&link["requestBody"]).keys() {
                assert!(fields[field].is_object(), "{at}: there is no {field}");
            }
            followed.insert(name.clone());
            // What needs files or folders is followed by other tests.
            if path.contains("ecord") || to.contains("ecord") || WANTS_FILE.contains(&path) {
                continue;
            }
            let (mut world, session) = prepared(&document, path);
            if path == "/rest-api/push/find_all" || path == "/rest-api/push/find" {
                assert!(session.is_some(), "{at}");
            }
            let request = example.clone().unwrap_or_else(|| json!({}));
            let reply = match method.as_str() {
                "POST" => post(&mut world, path, &request),
                method => ask(&mut world, method, path, ""),
            };
            assert_eq!(reply.status, 200, "{at}");
            let answer = match reply.body.is_empty() {
                true => Value::Null,
                false => reply.json(),
            };
            let example =
                object(&to_operation["requestBody"]["content"]["application/json"]["examples"]);
            let mut follow = example.values().next().unwrap()["value"].clone();
            for (field, expression) in object(&link["requestBody"]) {
                follow[field] = linked(expression.as_str().unwrap(), &request, &answer);
            }
            let reply = post(&mut world, to, &follow);
            check_answer(&document, to_operation, &reply, &at);
            let is_there = match to {
                // Both want a call that is established, and the other one a stream or a file.
                to if path == STARTUP && (to.contains("send_dtmf") || to.contains("inject")) => {
                    [404, 409].contains(&reply.status)
                }
                to if WANTS_FILE.contains(&to) => reply.status == 404,
                _ => reply.status == 200,
            };
            assert!(is_there, "{at}: {reply:?}");
        }
    }
    let all = object(&document["components"]["links"]).keys();
    assert_eq!(followed, all.cloned().collect());
}

#[test]
fn failures_have_the_form_that_is_said() {
    let document = description();
    for (path, method, operation) in operations(&document) {
        let asked = method == "POST" && !path.ends_with("/find_all");
        if !asked || !rest::paths().any(|there| there == path) {
            continue;
        }
        for body in [
            json!([]),
            json!({"callId": {}, "mediaSessionId": {}, "streamName": {}, "name": {}}),
        ] {
            let reply = post(&mut World::local(1), path, &body);
            let refused = (400..500).contains(&reply.status) || reply.status == 501;
            assert!(refused, "{path}: {reply:?}");
            check_answer(&document, operation, &reply, path);
        }
    }
}

#[test]
fn the_checker_of_schemas_finds_what_is_wrong() {
    let document = json!({"a": {"type": "object", "properties": {"n": {"type": ["integer", "null"], "minimum": 1},
        "l": {"type": "array", "minItems": 1, "items": {"enum": ["x", null]}}, "t": {"minLength": 2, "maxLength": 3}},
        "required": ["n"], "additionalProperties": false}});
    let schema = json!({"$ref": "#/a"});
    let is = |value: Value| check(&document, &schema, &value, "").is_ok();
    assert!(is(json!({"n": null, "l": ["x", null], "t": "ab"})) && is(json!({"n": 1, "t": "abc"})));
    for wrong in [
        json!({}),
        json!({"n": 0}),
        json!({"n": "1"}),
        json!({"n": 1, "m": 1}),
        json!(1),
        json!({"n": 1, "l": []}),
        json!({"n": 1, "l": ["y"]}),
        json!({"n": 1, "t": "a"}),
        json!({"n": 1, "t": "abcd"}),
    ] {
        let text = wrong.to_string();
        let found = std::panic::catch_unwind(|| is(wrong));
        assert!(!found.unwrap_or(false), "{text}");
    }
}
