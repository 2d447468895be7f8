//! A thousand calls through real sockets leave descriptors and memory as they were.

mod support;

use std::thread::sleep;
use std::time::Duration;

use support::daemon::Settings;
use support::sipp::Scenario;
use support::{Daemon, Nginx, Ports, Usage};

const CALLS: u32 = 1_000;
const RATE: u32 = 40;

fn churn(transport: &str) {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    // A busy machine lets calls overlap; this is no test of the limit.
    let settings = Settings {
        url: Some(nginx.url("live")),
        top: vec!["limits: {calls: 48, memoryMiB: 128}".to_owned()],
        ..Settings::default()
    };
    let gateway = Daemon::start(&mut ports, settings);
    let place = |ports: &mut Ports, calls| {
        Scenario::new("many", transport, gateway.sip(), "1")
            .times(calls, RATE)
            .run(ports);
        // The last streams end, and idle connections of the callers close.
        sleep(Duration::from_secs(3));
    };
    place(&mut ports, CALLS / 5);
    let before = Usage::of(gateway.log().id());
    place(&mut ports, CALLS);
    let after = Usage::of(gateway.log().id());
    assert_eq!(after.descriptors, before.descriptors, "descriptors");
    assert!(
        after.kib <= before.kib + 256,
        "{before:?} grew to {after:?} in {CALLS} calls"
    );
    let ended = gateway.log().text().matches(" ended after ").count();
    assert!(ended > 0, "no call ended");
    gateway.check_calm();
}

#[test]
fn a_thousand_calls_over_udp_leave_no_trace() {
    churn("u1");
}

#[test]
fn a_thousand_calls_over_tcp_leave_no_trace() {
    churn("t1");
}
