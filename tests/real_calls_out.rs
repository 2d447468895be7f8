//! Calls that the REST interface places: a callee answers with a clip, and the clip arrives at an RTMP
//! server.

use std::thread::sleep;
use std::time::{Duration, Instant};

mod support;

use serde_json::{Value, json};
use support::sipp::Scenario;
use support::{Clip, Daemon, Nginx, Ports, Rest, probe};

const FIND: &str = "/rest-api/call/find";

/// The request of a call to a callee of this host.
fn startup(call_id: &str, port: u16, url: &str, stream: &str) -> Value {
    // Every value a string, as the demonstration page sends them.
    json!({
        "callId": call_id, "callee": "1002", "sipLogin": "1001",
        "sipAuthenticationName": "1001", "sipPassword": "hunter2", "sipDomain": "127.0.0.1",
        "sipOutboundProxy": "127.0.0.1", "sipPort": port.to_string(), "appKey": "defaultApp",
        "sipRegisterRequired": "false", "hasAudio": "true", "hasVideo": "true",
        "rtmpUrl": url, "rtmpStream": stream,
    })
}

/// Waits until a call has a status; what is told of it then.
fn wait_for(client: &mut Rest, call_id: &str, wanted: &str) -> Value {
    let started = Instant::now();
    loop {
        let (status, body) = client.post(FIND, &json!({"callId": call_id}));
        let calls: Value = serde_json::from_slice(&body).unwrap();
        if status == 200 && calls[0]["status"] == wanted {
            return calls[0].clone();
        }
        let patience = started.elapsed() < Duration::from_secs(5);
        assert!(patience, "never {wanted}: {status} {calls}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_call_that_is_placed_arrives_at_the_server_untouched_until_it_is_terminated() {
    let mut ports = Ports::claim();
    let clip = Clip::load();
    let nginx = Nginx::start(&mut ports);
    let mut gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let port = ports.pair();
    let callee = Scenario::new("uas_call", "u1", gateway.sip(), "1002")
        .play(10, 97)
        .listen(port)
        .start(&mut ports);
    sleep(Duration::from_millis(300));
    let mut client = Rest::connect(gateway.rest());
    let asked = startup("placed-1", port, &nginx.url("live"), "rtmp_stream1");
    let answer = client.post("/rest-api/call/startup", &asked);
    assert_eq!(answer, (200, Vec::new()));
    // Found at once, and a second one refused.
    let (status, body) = client.post(FIND, &json!({"callId": "placed-1"}));
    let calls: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &calls[0]["incoming"]), (200, &json!(false)));
    assert_eq!(client.post("/rest-api/call/startup", &asked).0, 409);

    let ringing = wait_for(&mut client, "placed-1", "RING");
    assert_eq!(ringing["sipStatus"], 180);
    assert_eq!(ringing["rtmpStreamStatus"], "RTMP_STREAM_WAIT");
    let up = wait_for(&mut client, "placed-1", "ESTABLISHED");
    assert_eq!(
        (&up["sipStatus"], &up["callee"]),
        (&json!(200), &json!("1002"))
    );
    sleep(Duration::from_millis(10_500));
    let up = wait_for(&mut client, "placed-1", "ESTABLISHED");
    assert_eq!(up["rtmpStreamStatus"], "RTMP_STREAM_ACTIVE");

    let answer = client.post("/rest-api/call/terminate", &json!({"callId": "placed-1"}));
    assert_eq!(answer, (200, Vec::new()));
    let gone = client.post(FIND, &json!({"callId": "placed-1"}));
    assert_eq!(gone.0, 404);
    callee.succeed();
    let recording = nginx.recording("rtmp_stream1");
    probe::check_clip_streams(&recording);
    probe::decode_strictly(&recording);
    probe::check_clip_identical(&clip, &recording);
    gateway.terminate();
    gateway.check_calm();
    let text = gateway.log().text();
    assert!(
        !text.contains("hunter2") && !text.contains("rtmp_stream1"),
        "{text}"
    );
}

#[test]
fn a_busy_callee_is_told_and_leaves_nothing() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let mut gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let port = ports.pair();
    let callee = Scenario::new("uas_busy", "u1", gateway.sip(), "1002")
        .listen(port)
        .start(&mut ports);
    sleep(Duration::from_millis(300));
    let mut client = Rest::connect(gateway.rest());
    let asked = startup("placed-2", port, &nginx.url("live"), "busy");
    assert_eq!(client.post("/rest-api/call/startup", &asked).0, 200);
    gateway.log().wait_for("BUSY (486", Duration::from_secs(3));
    assert_eq!(client.post(FIND, &json!({"callId": "placed-2"})).0, 404);
    callee.succeed();
    gateway.terminate();
    gateway.check_calm();
}
