//! Transfers at a real PBX: a phone behind Kamailio sends the box on to another one, and the stream goes
//! on at nginx without a break.

use std::time::{Duration, Instant};

mod support;

use serde_json::json;
use support::baresip::{Answers, Baresip, Plan};
use support::daemon::Settings;
use support::flv::Flv;
use support::kamailio::{Exchange, Registrar};
use support::linphone::{self, Linphone};
use support::{CallOut, Daemon, Kamailio, Namespace, Nginx, Ports, probe};

const SHORT: Duration = Duration::from_secs(5);
const PASSWORD: &str = "hunter2";

/// The longest that a stream may lack pictures while its sender changes, in milliseconds.
const SWITCH: u32 = 1_000;

/// An RTMP server, a PBX, and a box that is registered there as 1000.
struct Office {
    gateway: Daemon,
    kamailio: Kamailio,
    nginx: Nginx,
    ports: Ports,
}

impl Office {
    fn new(transport: &str) -> Self {
        Self::at(Ports::claim(), transport, None)
    }

    /// One whose PBX is reached from a namespace too.
    fn at(mut ports: Ports, transport: &str, namespace: Option<&Namespace>) -> Self {
        let nginx = Nginx::start(&mut ports);
        let registrar = Registrar {
            password: PASSWORD,
            algorithm: "MD5",
            longest: 60,
        };
        let home = namespace.map(|namespace| namespace.ours().into());
        let exchange = Exchange {
            address: home,
            ..Exchange::default()
        };
        let kamailio = Kamailio::exchange(&mut ports, &registrar, &exchange);
        let settings = Settings {
            url: Some(nginx.url("live")),
            pbx: Some(kamailio.address()),
            trunk: vec![
                format!("transport: {transport}"),
                format!("register: {{login: \"1000\", password: \"{PASSWORD}\"}}"),
            ],
            media: home.map_or(String::new(), |_| "auto".to_owned()),
            ..Settings::default()
        };
        let gateway = Daemon::start(&mut ports, settings);
        gateway.wait_after(0, " is registered for 60 s", 5);
        Self {
            gateway,
            kamailio,
            nginx,
            ports,
        }
    }

    /// A phone of the PBX that waits for calls.
    fn phone(&mut self, number: &str, answers: Answers) -> Baresip {
        let phone = Baresip::listen(&mut self.ports, number, answers, &plan());
        self.kamailio.register(number, phone.sip().port());
        phone
    }

    /// A phone that calls the box.
    fn caller(&mut self) -> Baresip {
        let phone = Baresip::start(&mut self.ports, self.kamailio.address(), "1000", &plan());
        self.gateway.log().wait_for("RTMP_STREAM_ACTIVE", 2 * SHORT);
        phone
    }

    /// Waits until that much more of a stream came.
    fn goes_on(&self, stream: &str) {
        let size = self.nginx.recorded(stream) + 150_000;
        self.nginx.wait_recorded(stream, size, 2 * SHORT);
    }

    /// Demands one whole stream without a break, published once.
    fn check_one_stream(&mut self, stream: &str) {
        self.gateway.wait_after(0, "ended after", 5);
        let recording = self.nginx.recording(stream);
        probe::decode_strictly(&recording);
        let flv = Flv::read(&recording);
        flv.check_order();
        let pictures: Vec<u32> = flv.pictures.iter().map(|picture| picture.time).collect();
        let sounds: Vec<u32> = flv.sounds.iter().map(|sound| sound.time).collect();
        for times in [pictures, sounds] {
            let steps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
            let longest = steps.max().expect("a stream of some length");
            assert!(longest <= SWITCH, "nothing for {longest} ms");
        }
        self.gateway.terminate();
        self.gateway.check_calm();
        let log = self.gateway.log().text();
        assert_eq!(log.matches("RTMP_STREAM_ACTIVE").count(), 1, "{log}");
        assert_eq!(log.matches("ended after").count(), 1, "{log}");
    }

    /// How often the PBX said something.
    fn said(&self, text: &str) -> usize {
        self.kamailio.log().text().matches(text).count()
    }
}

fn plan() -> Plan<'static> {
    Plan {
        seconds: 40,
        ..Plan::default()
    }
}

/// A phone that called the box sends it on to another phone of the PBX, which asks for the password of
/// the box first.
fn is_sent_on(transport: &str, host: Option<&str>) {
    let mut office = Office::new(transport);
    let second = office.phone("2002", Answers::AtOnce);
    let first = office.caller();
    office.goes_on("rtmp_1000");
    let pbx = office.kamailio.address().to_string();
    let host = host.unwrap_or(&pbx);
    first.order(&format!("transfer sip:2002@{host}"));
    let line = format!("goes on with sip:2002@{host}");
    office.gateway.log().wait_for(&line, SHORT);
    first.log().wait_for(" terminated (duration: ", SHORT);
    office.goes_on("rtmp_1000");
    second.order("hangup");
    office.check_one_stream("rtmp_1000");
    assert_eq!(office.said("within: REFER "), 1);
    assert!(office.said("within: NOTIFY ") >= 2);
    assert!(office.said("asked: INVITE ") >= 1);
    // Either side may have ended the first of the two calls, or both at once.
    assert!((2..=3).contains(&office.said("within: BYE ")));
    for phone in [first, second] {
        phone.order("quit");
    }
}

#[test]
fn a_caller_sends_the_box_on_to_another_phone_over_udp() {
    is_sent_on("udp", None);
}

#[test]
fn a_caller_sends_the_box_on_to_another_phone_over_tcp() {
    is_sent_on("tcp", None);
}

#[test]
fn a_target_outside_the_pbx_is_called_through_it() {
    is_sent_on("udp", Some("192.0.2.99"));
}

#[test]
fn a_phone_that_the_box_called_sends_it_on() {
    let mut office = Office::new("udp");
    let first = office.phone("2001", Answers::AtOnce);
    let second = office.phone("2002", Answers::WhenTold);
    let url = office.nginx.url("live");
    let callee = ("2001", office.kamailio.address());
    let mut call = CallOut::place(&office.gateway, callee, (&url, "out"), &json!({}));
    call.wait_for("rtmpStreamStatus", "RTMP_STREAM_ACTIVE", 10);
    office.goes_on("rtmp_out");
    let pbx = office.kamailio.address();
    first.order(&format!("transfer sip:2002@{pbx}"));
    office
        .gateway
        .log()
        .wait_for("the peer transfers it", SHORT);
    second.log().wait_for("INVITE sip:2002@", SHORT);
    // The first phone is still seen while the second one rings.
    office.goes_on("rtmp_out");
    second.order("accept");
    office
        .gateway
        .log()
        .wait_for("goes on with sip:2002@", SHORT);
    office.goes_on("rtmp_out");
    assert_eq!(call.look().expect("the call")["status"], "ESTABLISHED");
    call.terminate();
    office.check_one_stream("rtmp_out");
    for phone in [first, second] {
        phone.order("quit");
    }
}

/// A transfer that fails; this phone hangs up then.
fn fails(number: &str, code: u16) {
    let mut office = Office::new("udp");
    let second = office.phone("2002", Answers::WhenTold);
    let first = office.caller();
    office.goes_on("rtmp_1000");
    let pbx = office.kamailio.address();
    first.order(&format!("transfer sip:{number}@{pbx}"));
    if code == 486 {
        second.log().wait_for("INVITE sip:2002@", SHORT);
        office.goes_on("rtmp_1000");
        second.order("hangup");
    }
    let line = format!("transfer to sip:{number}@{pbx} failed: {code}");
    office.gateway.wait_after(0, &line, 5);
    let line = format!("transfer failed: {code}");
    first.log().wait_for(&line, SHORT);
    office.check_one_stream("rtmp_1000");
    for phone in [first, second] {
        phone.order("quit");
    }
}

#[test]
fn a_caller_hears_that_nobody_has_the_number() {
    fails("2999", 404);
}

#[test]
fn a_caller_hears_that_the_target_declined() {
    fails("2002", 486);
}

#[test]
fn a_caller_that_hangs_up_before_the_target_answers_leaves_the_stream_to_it() {
    let mut office = Office::new("udp");
    let second = office.phone("2002", Answers::WhenTold);
    let first = office.caller();
    office.goes_on("rtmp_1000");
    let pbx = office.kamailio.address();
    first.order(&format!("transfer sip:2002@{pbx}"));
    second.log().wait_for("INVITE sip:2002@", SHORT);
    first.order("hangup");
    office.gateway.log().wait_for("its transfer goes on", SHORT);
    let began = Instant::now();
    second.order("accept");
    office
        .gateway
        .log()
        .wait_for("goes on with sip:2002@", SHORT);
    office.goes_on("rtmp_1000");
    assert!(began.elapsed() < 2 * SHORT);
    second.order("hangup");
    office.check_one_stream("rtmp_1000");
    for phone in [first, second] {
        phone.order("quit");
    }
}

/// Two linphones behind the PBX; the first one has called the box.
fn with_linphones() -> (Office, Linphone, Linphone, Namespace) {
    let ports = Ports::claim();
    let namespace = Namespace::new(&ports);
    let mut office = Office::at(ports, "udp", Some(&namespace));
    let plan = linphone::Plan {
        answers: true,
        ..linphone::Plan::default()
    };
    let second = Linphone::listen(&mut office.ports, &namespace, &plan);
    office.kamailio.register_at("2003", second.sip());
    let pbx = office.kamailio.address();
    let plan = linphone::Plan::default();
    let first = Linphone::start(&mut office.ports, &namespace, pbx, "1000", &plan);
    let log = office.gateway.log();
    log.wait_for("RTMP_STREAM_ACTIVE", 2 * SHORT);
    office.nginx.wait_recorded("rtmp_1000", 40_000, 3 * SHORT);
    (office, first, second, namespace)
}

/// The first one calls the second one too, and orders something; the stream goes on with the second.
fn is_joined(order: &str, lines: [&str; 2]) {
    let (mut office, mut first, mut second, _namespace) = with_linphones();
    first.order("pause");
    first.log().wait_for("is now paused", SHORT);
    let pbx = office.kamailio.address();
    first.order(&format!("call sip:2003@{pbx}"));
    second.established();
    first.log().wait_for(" for call 2", SHORT);
    first.order(order);
    for line in lines {
        office.gateway.log().wait_for(line, SHORT);
    }
    let size = office.nginx.recorded("rtmp_1000") + 40_000;
    office.nginx.wait_recorded("rtmp_1000", size, 3 * SHORT);
    second.order("terminate");
    office.gateway.wait_after(0, "ended after", 5);
    assert_eq!(office.said("routed: INVITE "), 3);
    second.order("quit");
    first.order("quit");
    let recording = office.nginx.recording("rtmp_1000");
    probe::decode_strictly(&recording);
    Flv::read(&recording).check_order();
    office.gateway.terminate();
    office.gateway.check_calm();
    let log = office.gateway.log().text();
    for once in ["RTMP_STREAM_ACTIVE", "ended after"] {
        assert_eq!(log.matches(once).count(), 1, "{log}");
    }
}

#[test]
fn linphone_joins_the_box_with_whom_it_talked_to() {
    let asked = "(attended)";
    is_joined("transfer 1 --to-call 2", [asked, "goes on with sip:2003@"]);
}

#[test]
fn linphone_joins_whom_it_talked_to_with_the_box() {
    is_joined("transfer 2 --to-call 1", ["takes it over", "ESTABLISHED"]);
}
