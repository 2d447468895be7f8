//! A stream from one phone, and files, sent into a call with another, over real sockets.

mod support;

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use support::baresip::{Answers, Baresip, Plan};
use support::daemon::Settings;
use support::{CallOut, Daemon, Ports, Rest, Scratch};

#[test]
fn a_stream_of_one_baresip_is_seen_and_heard_by_another() {
    let mut ports = Ports::claim();
    let mut gateway = Daemon::start(&mut ports, Settings::default());
    let plan = Plan {
        seconds: 40,
        ..Plan::default()
    };
    let phone = Baresip::listen(&mut ports, "1002", Answers::AtOnce, &plan);
    let target = ("rtmp://127.0.0.1:9/live", "hears");
    let more = json!({"rtmpUrl": null, "rtmpStream": null, "toStream": "hears"});
    let mut call = CallOut::place(&gateway, ("1002", phone.sip()), target, &more);
    call.wait_for("status", "ESTABLISHED", 5);
    let caller = Baresip::call(&mut ports, gateway.sip(), "4711", "PCMA", 20);
    gateway
        .log()
        .wait_for("4711: ESTABLISHED", Duration::from_secs(10));
    std::thread::sleep(Duration::from_secs(2));
    let mut client = Rest::connect(gateway.rest());
    let body = json!({"callId": "out-hears", "streamName": "rtmp_4711"});
    let answer = client.post("/rest-api/call/inject_stream/startup", &body);
    assert_eq!(answer, (200, Vec::new()));
    std::thread::sleep(Duration::from_secs(8));
    drop(caller);
    call.terminate();
    gateway.terminate();
    gateway.check_calm();
    println!("{}", gateway.log().text());
    let _ = (Command::new("true"), Scratch::new("x"));
}
