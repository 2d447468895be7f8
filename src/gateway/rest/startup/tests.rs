use super::*;
use serde_json::{Value, json};

/// What the page of the contract sends: every value is text.
fn page() -> Value {
    json!({
        "toStream": "call_stream1", "hasAudio": "true", "hasVideo": "true",
        "callId": "aB3dE6f-x9Y8z7w-Q1w2E3r-T5y6U7i", "sipLogin": "1001",
        "sipAuthenticationName": "1001", "sipPassword": "secret", "sipPort": "5060",
        "sipDomain": "pbx.example.net", "sipOutboundProxy": "pbx.example.net",
        "appKey": "defaultApp", "sipRegisterRequired": "true", "callee": "1002"
    })
}

fn with(key: &str, value: Value) -> Result<CallRequest, Failure> {
    let mut body = page();
    body[key] = value;
    request(body.to_string().as_bytes())
}

fn refused(key: &str, value: Value) -> (u16, String) {
    let failure = with(key, value).unwrap_err();
    (failure.status(), failure.message().to_owned())
}

#[test]
fn the_body_of_the_page_is_read_field_by_field() {
    let request = request(page().to_string().as_bytes()).unwrap();
    let pbx = Host::Name("pbx.example.net".to_owned());
    assert_eq!(request.call_id, "aB3dE6f-x9Y8z7w-Q1w2E3r-T5y6U7i");
    assert_eq!((&*request.login, &*request.callee), ("1001", "1002"));
    assert_eq!(request.authentication_name, "1001");
    assert_eq!(request.password.unwrap().expose(), "secret");
    assert_eq!(request.domain, pbx);
    assert_eq!(request.outbound_proxy, Some(pbx));
    assert_eq!(request.port, Some(5060));
    assert!(request.register && request.has_audio && request.has_video);
    assert_eq!(request.to_stream.as_deref(), Some("call_stream1"));
    assert_eq!(request.app_key.as_deref(), Some("defaultApp"));
    assert!(request.rtmp_url.is_none() && request.visible_name.is_none());
}

#[test]
fn what_is_left_out_has_the_defaults_of_the_contract() {
    let body = br#"{"callId":"a","callee":"2","sipLogin":"1","sipDomain":"192.0.2.1"}"#;
    let request = request(body).unwrap();
    assert_eq!(request.authentication_name, "1");
    assert!(request.has_audio && !request.has_video && !request.register);
    assert_eq!((request.port, request.outbound_proxy), (None, None));
    assert!(request.password.is_none() && request.to_stream.is_none());
}

#[test]
fn names_with_reserved_symbols_are_the_500_that_clients_know() {
    for field in ["sipLogin", "sipAuthenticationName"] {
        for name in [
            "a b", "<1001>", "a\"b", "a:b", "a;b", "a%20b", "é", "a/b", "a#b",
        ] {
            let words = RESERVED.to_owned();
            assert_eq!(refused(field, name.into()), (500, words), "{name}");
        }
        assert!(with(field, "alice.o'neil+box_1-2".into()).is_ok());
    }
    assert_eq!(refused("sipLogin", "1001@pbx".into()).0, 500);
    let request = with("sipAuthenticationName", "1001@pbx".into()).unwrap();
    assert_eq!(request.authentication_name, "1001@pbx");
}

#[test]
fn missing_and_wrong_fields_are_a_400_that_names_them() {
    for (field, value) in [
        ("callId", Value::Null),
        ("callId", "".into()),
        ("callId", "a b".into()),
        ("callId", "a@b@c".into()),
        ("callId", "a\r\nVia: x".into()),
        ("callId", "é".into()),
        ("callId", "a".repeat(REST_CALL_ID_BYTES + 1).into()),
        ("callee", Value::Null),
        ("callee", "10 02".into()),
        ("callee", "1002@elsewhere".into()),
        ("callee", "1002>;x=<".into()),
        ("sipLogin", Value::Null),
        ("sipDomain", Value::Null),
        ("sipDomain", "pbx:5060".into()),
        ("sipDomain", "pbx example".into()),
        ("sipDomain", "192.0.2.256".into()),
        ("sipOutboundProxy", "sip:pbx;lr".into()),
        ("sipPort", "5060a".into()),
        ("sipRegisterRequired", "maybe".into()),
        ("hasVideo", json!([])),
        ("sipPassword", "a\nb".into()),
        ("visibleName", "x".repeat(REST_NAME_BYTES + 1).into()),
        ("toStream", "a b".into()),
        ("toStream", "x".repeat(RTMP_NAME_BYTES).into()),
        ("appKey", json!({})),
    ] {
        let (status, words) = refused(field, value.clone());
        assert_eq!(status, 400, "{field} {value}");
        assert!(words.starts_with(&format!("{field}: expected ")), "{words}");
    }
}

#[test]
fn an_rtmp_server_and_a_name_there_belong_together() {
    let mut body = page();
    body["rtmpUrl"] = "rtmp://cdn.example.net:1935/live/".into();
    let failure = request(body.to_string().as_bytes()).unwrap_err();
    assert!(failure.message().starts_with("rtmpStream: "));
    body["rtmpStream"] = "s2".into();
    let both = request(body.to_string().as_bytes()).unwrap();
    assert_eq!(both.rtmp_url.as_ref().unwrap().app(), "live");
    assert_eq!(
        both.published_name(),
        Some(Secret::new("rtmp_s2".to_owned()))
    );
    assert_eq!(both.to_stream.as_deref(), Some("call_stream1"));
    body["rtmpStream"] = "rtmp_stream1".into();
    let prefixed = request(body.to_string().as_bytes()).unwrap();
    assert_eq!(
        prefixed.published_name(),
        Some(Secret::new("rtmp_stream1".to_owned()))
    );
    body["rtmpStream"] = "key-1".into();
    body["rtmpTransponderFullUrl"] = "true".into();
    let given = request(body.to_string().as_bytes()).unwrap();
    assert_eq!(
        given.published_name(),
        Some(Secret::new("key-1".to_owned()))
    );
    body["rtmpUrl"] = "http://cdn.example.net/live".into();
    let failure = request(body.to_string().as_bytes()).unwrap_err();
    assert!(failure.message().starts_with("rtmpUrl: expected "));
    assert!(
        refused("rtmpStream", "s2".into())
            .1
            .starts_with("rtmpUrl: ")
    );
}

#[test]
fn no_secret_of_a_request_is_printed() {
    let mut body = page();
    body["sipPassword"] = "hunter2".into();
    body["rtmpUrl"] = "rtmp://joe:hunter2@cdn/live?key=hunter2".into();
    body["rtmpStream"] = "hunter2".into();
    let shown = format!("{:?}", request(body.to_string().as_bytes()).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn every_truncation_is_a_refusal() {
    let body = page().to_string();
    for cut in 0..body.len() {
        assert!(request(&body.as_bytes()[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn mutated_bodies_are_read_or_refused_and_never_more() {
    let mut rng = crate::base::rng::Rng::from_number(4);
    for _ in 0..5_000 {
        let mut body = page().to_string().into_bytes();
        for _ in 0..=rng.below(4) {
            let at = rng.below(body.len() as u32) as usize;
            body[at] = rng.below(256) as u8;
        }
        if let Ok(request) = request(&body) {
            assert!(is_call_id(&request.call_id));
            assert!(request.login.bytes().all(is_login));
        }
    }
}
