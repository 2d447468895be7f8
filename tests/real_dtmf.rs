//! Keys that a client of the REST interface presses: baresip and linphone hear them in RTP, also behind
//! Kamailio, SIPp by INFO.

mod support;

use std::time::Duration;

use serde_json::json;
use support::baresip::{Answers, Baresip, Plan};
use support::daemon::Settings;
use support::kamailio::{Exchange, Registrar};
use support::linphone::{self, Linphone};
use support::{CallOut, Daemon, Kamailio, Namespace, Pbx, Ports, Program, Rest};

#[test]
fn baresip_hears_the_keys_one_by_one_in_rtp() {
    let mut ports = Ports::claim();
    let mut gateway = Daemon::start(&mut ports, Settings::default());
    let plan = Plan {
        seconds: 30,
        ..Plan::default()
    };
    let phone = Baresip::listen(&mut ports, "1002", Answers::AtOnce, &plan);
    let target = ("rtmp://127.0.0.1:9/live", "keys");
    let more = json!({"rtmpUrl": null, "rtmpStream": null, "toStream": "keys"});
    let mut call = CallOut::place(&gateway, ("1002", phone.sip()), target, &more);
    call.wait_for("status", "ESTABLISHED", 5);
    let mut client = Rest::connect(gateway.rest());
    let body = json!({"callId": "out-keys", "dtmf": "12345#", "type": "RFC2833"});
    let answer = client.post("/rest-api/call/send_dtmf", &body);
    assert_eq!(answer, (200, Vec::new()));
    // It prints each key when it goes down, and when it goes up.
    for key in "12345#".chars() {
        let words = format!("received event: '{key}' (end=1)");
        phone.log().wait_for(&words, Duration::from_secs(5));
    }
    let text = phone.log().text();
    let downs: String = text
        .lines()
        .filter_map(|line| line.split_once("received event: '"))
        .filter(|(_, rest)| rest.contains("(end=0)"))
        .filter_map(|(_, rest)| rest.chars().next())
        .collect();
    assert_eq!(downs, "12345#", "{text}");
    call.terminate();
    gateway.terminate();
    gateway.check_calm();
    assert!(!gateway.log().text().contains("12345"));
}

/// Presses keys in the only call.
fn press(pbx: &Pbx, keys: &str, way: &str) {
    let body = json!({"callId": "placed", "dtmf": keys, "type": way});
    let answer = pbx.rest().post("/rest-api/call/send_dtmf", &body);
    assert_eq!(answer, (200, Vec::new()));
}

#[test]
fn sipp_gets_the_keys_by_info_in_either_form_each_after_its_answer() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("dtmf/callee_gets_keys");
    pbx.wait("ESTABLISHED");
    press(&pbx, "5#", "INFO_RELAY");
    press(&pbx, "a", "INFO");
    std::thread::sleep(Duration::from_millis(500));
    pbx.hang_up();
    pbx.done(sipp);
}

#[test]
fn keys_that_sipp_refuses_are_noted_and_the_rest_is_not_sent() {
    let mut pbx = Pbx::new();
    let sipp = pbx.is_called("dtmf/callee_refuses_keys");
    pbx.wait("ESTABLISHED");
    press(&pbx, "123", "INFO");
    pbx.logs("keys were refused by INFO (415)");
    pbx.hang_up();
    pbx.done(sipp);
}

const PASSWORD: &str = "hunter2";

/// A PBX that asks for a password, reached from a namespace too where there is one, and a box beside it.
fn office(ports: &mut Ports, namespace: Option<&Namespace>) -> (Kamailio, Daemon) {
    let registrar = Registrar {
        password: PASSWORD,
        algorithm: "MD5",
        longest: 60,
    };
    let exchange = Exchange {
        address: namespace.map(|namespace| namespace.ours().into()),
        ..Exchange::default()
    };
    let kamailio = Kamailio::exchange(ports, &registrar, &exchange);
    let settings = Settings {
        pbx: Some(kamailio.address()),
        media: namespace.map_or(String::new(), |_| "auto".to_owned()),
        ..Settings::default()
    };
    let gateway = Daemon::start(ports, settings);
    (kamailio, gateway)
}

/// Calls a phone of the PBX by REST, presses keys there, and waits until the phone tells of each.
fn presses(
    (kamailio, mut gateway): (Kamailio, Daemon),
    number: &str,
    phone: &Program,
    heard: impl Fn(char) -> String,
) {
    let callee = (number, kamailio.address());
    let more = json!({
        "sipLogin": "1000", "sipPassword": PASSWORD, "hasVideo": "false",
        "rtmpUrl": null, "rtmpStream": null, "toStream": "keys",
    });
    let mut call = CallOut::place(&gateway, callee, ("rtmp://127.0.0.1:9/live", "keys"), &more);
    call.wait_for("status", "ESTABLISHED", 10);
    let body = json!({"callId": "out-keys", "dtmf": "07#"});
    let answer = Rest::connect(gateway.rest()).post("/rest-api/call/send_dtmf", &body);
    assert_eq!(answer, (200, Vec::new()));
    for key in "07#".chars() {
        phone.wait_for(&heard(key), Duration::from_secs(5));
    }
    call.terminate();
    gateway
        .log()
        .wait_for("FINISH (200", Duration::from_secs(5));
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn baresip_behind_a_pbx_hears_the_keys() {
    let mut ports = Ports::claim();
    let office = office(&mut ports, None);
    let plan = Plan {
        seconds: 30,
        ..Plan::default()
    };
    let phone = Baresip::listen(&mut ports, "2002", Answers::AtOnce, &plan);
    office.0.register("2002", phone.sip().port());
    let heard = |key| format!("received event: '{key}' (end=1)");
    presses(office, "2002", phone.log(), heard);
}

#[test]
fn linphone_behind_a_pbx_hears_the_keys() {
    let mut ports = Ports::claim();
    let namespace = Namespace::new(&ports);
    let office = office(&mut ports, Some(&namespace));
    let plan = linphone::Plan {
        answers: true,
        video: &[],
        ..linphone::Plan::default()
    };
    let mut phone = Linphone::listen(&mut ports, &namespace, &plan);
    office.0.register_at("2003", phone.sip());
    let heard = |key| format!("Receiving tone {key}");
    presses(office, "2003", phone.log(), heard);
    phone.quit();
}
