//! A thousand calls through real sockets leave descriptors and memory as they were.

mod support;

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use support::daemon::Settings;
use support::sipp::Scenario;
use support::{Daemon, Nginx, Ports};

const CALLS: u32 = 1_000;
const RATE: u32 = 40;

/// Open descriptors and resident KiB of a process.
fn held(process: u32) -> (usize, u64) {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd"))
        .expect("it runs")
        .count();
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    (
        descriptors,
        kib.and_then(|kib| kib.parse().ok()).expect("a number"),
    )
}

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
    let (descriptors, memory) = held(gateway.log().id());
    place(&mut ports, CALLS);
    let (descriptors_after, memory_after) = held(gateway.log().id());
    assert_eq!(descriptors_after, descriptors, "descriptors");
    assert!(
        memory_after <= memory + 256,
        "{memory} KiB resident grew to {memory_after} KiB in {CALLS} calls"
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
