//! What is pressed on a phone in a call: hold and resume, and keys.

use std::thread::sleep;
use std::time::{Duration, Instant};

mod support;

use serde_json::json;
use support::baresip::{Answers, Baresip, Plan};
use support::flv::Flv;
use support::linphone::{self, Linphone};
use support::{CallOut, Daemon, Namespace, Nginx, Ports, probe};

const SHORT: Duration = Duration::from_secs(5);
const KEY: &str = "a key was pressed";

fn wait_for_keys(gateway: &Daemon, count: usize) {
    let deadline = Instant::now() + 2 * SHORT;
    let pressed = || gateway.log().text().matches(KEY).count();
    while pressed() < count {
        assert!(Instant::now() < deadline, "{} keys", pressed());
        sleep(Duration::from_millis(50));
    }
}

/// Waits until nothing more is recorded for half a second.
fn wait_for_silence(nginx: &Nginx, stream: &str) -> u64 {
    let deadline = Instant::now() + SHORT;
    loop {
        let size = nginx.recorded(stream);
        sleep(Duration::from_millis(500));
        if nginx.recorded(stream) == size {
            return size;
        }
        assert!(Instant::now() < deadline, "the phone does not fall silent");
    }
}

/// Times, in milliseconds, at which each track of a recording goes on after more than a second.
fn gaps(flv: &Flv) -> [usize; 2] {
    let count = |times: Vec<u32>| {
        let pairs = times.windows(2);
        pairs.filter(|pair| pair[1] > pair[0] + 1_000).count()
    };
    [
        count(flv.pictures.iter().map(|picture| picture.time).collect()),
        count(flv.sounds.iter().map(|sound| sound.time).collect()),
    ]
}

#[test]
fn baresip_that_calls_holds_twice_and_the_stream_goes_on_each_time() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let plan = Plan {
        seconds: 30,
        ..Plan::default()
    };
    let phone = Baresip::start(&mut ports, gateway.sip(), "1000", &plan);
    holds_twice(&gateway, &nginx, phone, "rtmp_1000");
}

#[test]
fn baresip_that_is_called_holds_twice_and_the_stream_goes_on_each_time() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let plan = Plan {
        seconds: 30,
        ..Plan::default()
    };
    let phone = Baresip::listen(&mut ports, "1002", Answers::AtOnce, &plan);
    let (callee, target) = (("1002", phone.sip()), (&nginx.url("live")[..], "held"));
    CallOut::place(&gateway, callee, target, &json!({}));
    holds_twice(&gateway, &nginx, phone, "rtmp_held");
}

fn holds_twice(gateway: &Daemon, nginx: &Nginx, phone: Baresip, stream: &str) {
    nginx.wait_recorded(stream, 100_000, 2 * SHORT);
    for _ in 0..2 {
        phone.order("hold");
        let size = wait_for_silence(nginx, stream);
        sleep(Duration::from_secs(1));
        assert_eq!(nginx.recorded(stream), size, "nothing comes on hold");
        phone.order("resume");
        nginx.wait_recorded(stream, size + 100_000, 2 * SHORT);
    }
    phone.order("hangup");
    gateway.log().wait_for("FINISH (200", SHORT);
    let sent = phone.quit();
    let flv = Flv::read(&nginx.recording(stream));
    flv.check_order();
    assert_eq!(gaps(&flv), [2, 2], "{sent:?}");
    // Its encoder runs on in the hold, so its pictures depend on some that it never sent.
    for pair in flv.pictures.windows(2) {
        let (before, after) = (pair[0].time, pair[1].time);
        let mut next = flv.pictures.iter().filter(|it| it.time >= after);
        let is_mended = next.any(|it| it.keyframe && it.time < after + 1_000);
        assert!(after <= before + 1_000 || is_mended, "after {after} ms");
    }
    let log = gateway.log().text();
    assert_eq!(log.matches("RTMP_STREAM_ACTIVE").count(), 1, "{log}");
    assert!(!log.contains("server too slow"), "{log}");
    gateway.check_calm();
}

#[test]
fn linphone_pauses_and_resumes() {
    let mut ports = Ports::claim();
    let namespace = Namespace::new(&ports);
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::reached_from(&mut ports, &namespace, &nginx.url("live"));
    let plan = linphone::Plan::default();
    let mut phone = Linphone::start(&mut ports, &namespace, gateway.sip(), "1000", &plan);
    nginx.wait_recorded("rtmp_1000", 40_000, 3 * SHORT);
    let mark = gateway.log().mark();
    phone.order("pause");
    phone.log().wait_for("is now paused", SHORT);
    // It plays music to who is on hold, or would if it had some.
    let mark = gateway.wait_after(mark, "ESTABLISHED; audio", 5);
    phone.order("resume 1");
    gateway.wait_after(mark, "ESTABLISHED; audio", 5);
    let size = nginx.recorded("rtmp_1000");
    nginx.wait_recorded("rtmp_1000", size + 30_000, 3 * SHORT);
    phone.hang_up();
    gateway.log().wait_for("ended after", SHORT);
    let recording = nginx.recording("rtmp_1000");
    probe::decode_strictly(&recording);
    Flv::read(&recording).check_order();
    let log = gateway.log().text();
    assert_eq!(log.matches("RTMP_STREAM_ACTIVE").count(), 1, "{log}");
    gateway.check_calm();
}

#[test]
fn keys_of_baresip_are_counted_once_each_and_are_no_sound() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let plan = Plan {
        video: "",
        seconds: 30,
        ..Plan::default()
    };
    let phone = Baresip::listen(&mut ports, "1002", Answers::AtOnce, &plan);
    let (callee, target) = (("1002", phone.sip()), (&nginx.url("live")[..], "keys"));
    let mut call = CallOut::place(&gateway, callee, target, &json!({}));
    call.wait_for("rtmpStreamStatus", "RTMP_STREAM_ACTIVE", 10);
    phone.order("sndcode 1200*#");
    wait_for_keys(&gateway, 6);
    nginx.wait_recorded("rtmp_keys", nginx.recorded("rtmp_keys") + 4_000, SHORT);
    phone.order("hangup");
    gateway.log().wait_for("FINISH (200", SHORT);
    phone.quit();
    let log = gateway.log().text();
    assert_eq!(log.matches(KEY).count(), 6, "{log}");
    let recording = nginx.recording("rtmp_keys");
    probe::decode_strictly(&recording);
    let flv = Flv::read(&recording);
    let odd = flv.sounds.iter().filter(|sound| sound.data.len() != 160);
    assert_eq!(odd.count(), 0);
    gateway.check_calm();
}

#[test]
fn keys_of_linphone_are_counted_once_each() {
    let mut ports = Ports::claim();
    let namespace = Namespace::new(&ports);
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::reached_from(&mut ports, &namespace, &nginx.url("live"));
    let plan = linphone::Plan {
        video: &[],
        ..linphone::Plan::default()
    };
    let mut phone = Linphone::start(&mut ports, &namespace, gateway.sip(), "1000", &plan);
    gateway.log().wait_for("RTMP_STREAM_ACTIVE", 2 * SHORT);
    phone.order("5");
    wait_for_keys(&gateway, 1);
    phone.order("67#");
    wait_for_keys(&gateway, 4);
    phone.hang_up();
    gateway.log().wait_for("ended after", SHORT);
    let log = gateway.log().text();
    assert_eq!(log.matches(KEY).count(), 4, "{log}");
    gateway.check_calm();
}
