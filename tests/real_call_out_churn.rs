//! Thousands of calls that REST places, through real sockets, leave descriptors, media ports and memory
//! as they were.

mod support;

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;
use support::daemon::Settings;
use support::sipp::{Scenario, Sipp};
use support::{Daemon, Nginx, Operator, Ports, Usage};

/// Calls, and how many of them come before memory is looked at for the first time. Those come as fast as
/// they are taken, so that there are never more at once afterwards.
const CALLS: u32 = 3_200;
const FIRST: u32 = 800;
/// Calls placed a second at most.
const RATE: u32 = 130;

/// What becomes of calls, in turn: the scenario that answers them.
const FATES: [&str; 4] = [
    "many_called",
    "uas_busy",
    "many_called",
    "races/cancelled_while_ringing",
];
/// The one that REST takes back.
const TAKEN_BACK: usize = 3;

struct Churn {
    gateway: Daemon,
    nginx: Nginx,
    ports: Ports,
    placed: u32,
    callees: Vec<(u16, Sipp)>,
}

impl Churn {
    fn new() -> Self {
        let mut ports = Ports::claim();
        let nginx = Nginx::start(&mut ports);
        let settings = Settings {
            top: vec!["limits: {calls: 48, memoryMiB: 128}".to_owned()],
            ..Settings::default()
        };
        let gateway = Daemon::start(&mut ports, settings);
        let mut churn = Self {
            gateway,
            nginx,
            ports,
            placed: 0,
            callees: Vec::new(),
        };
        let each = CALLS / FATES.len() as u32;
        churn.callees = FATES.map(|fate| churn.callee(fate, each)).into();
        churn
    }

    /// Calls until there were so many, and waits until nothing is left of them.
    fn until(&mut self, calls: u32, rate: u32) {
        let mut operator = Operator::of(&self.gateway);
        let began = Instant::now();
        let from = self.placed;
        while self.placed < calls {
            let at = self.placed as usize % FATES.len();
            let name = format!("call-{:06}", self.placed);
            let port = self.callees[at].0;
            // A busy machine lets calls overlap.
            while operator.place(&name, port, &self.wish(&name)) == 503 {
                sleep(Duration::from_millis(20));
            }
            if at == TAKEN_BACK {
                operator.end(&name);
            }
            self.placed += 1;
            let due = Duration::from_secs(1) * (self.placed - from) / rate;
            sleep(due.saturating_sub(began.elapsed()));
        }
        operator.wait_for_none();
    }

    /// One in eight is published to the server.
    fn wish(&self, name: &str) -> serde_json::Value {
        match self.placed % 8 {
            0 => json!({"rtmpUrl": self.nginx.url("live"), "rtmpStream": name}),
            _ => json!({}),
        }
    }

    fn callee(&mut self, scenario: &str, calls: u32) -> (u16, Sipp) {
        let port = self.ports.pair();
        let callee = Scenario::new(scenario, "u1", self.gateway.sip(), "1002")
            .times(calls, RATE)
            .start_at(port, &mut self.ports);
        (port, callee)
    }

    fn usage(&self) -> Usage {
        // The last streams end, and clients that went are noticed.
        sleep(Duration::from_secs(2));
        let usage = Usage::of(self.gateway.log().id());
        let (first, last) = self.ports.media();
        assert_eq!(Usage::udp_ports(first, last), 0, "media ports are open");
        usage
    }
}

#[test]
fn thousands_of_calls_out_leave_no_trace() {
    let mut churn = Churn::new();
    churn.until(FIRST, 10 * RATE);
    let before = churn.usage();
    churn.until(CALLS, RATE);
    let after = churn.usage();
    // Every call went as its callee wanted.
    for (_, callee) in churn.callees {
        callee.succeed();
    }
    assert_eq!(after.descriptors, before.descriptors, "descriptors");
    assert!(
        after.kib <= before.kib + 256,
        "{before:?} grew to {after:?} in {} calls",
        CALLS - FIRST
    );
    churn.gateway.check_calm();
}
