//! SIPp as the PBX of one gateway, for scenarios of signalling alone, without media.

use std::net::UdpSocket;
use std::sync::Mutex;
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::daemon::Settings;
use super::sipp::{Scenario, Sipp};
use super::{Daemon, Ports, Rest};

/// A gateway and what its PBX needs.
pub struct Pbx {
    gateway: Daemon,
    ports: Ports,
}

impl Pbx {
    /// With the settings that a trunk has by itself.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// With further lines of the trunk.
    pub fn with(trunk: &[&str]) -> Self {
        let mut ports = Ports::claim();
        let settings = Settings {
            trunk: trunk.iter().map(|line| (*line).to_owned()).collect(),
            ..Settings::default()
        };
        let gateway = Daemon::start(&mut ports, settings);
        Self { gateway, ports }
    }

    /// Calls the gateway by a scenario.
    pub fn calls(&mut self, scenario: &str) -> Sipp {
        self.calls_with(scenario, &[])
    }

    /// The same with options of SIPp.
    pub fn calls_with(&mut self, scenario: &str, options: &[&str]) -> Sipp {
        let caller = self.sipp(scenario, "1000").options(options);
        caller.start(&mut self.ports)
    }

    /// The same for a scenario that plays a capture, as `clip.pcap`.
    pub fn calls_playing(&mut self, scenario: &str, capture: &[u8]) -> Sipp {
        let caller = self.sipp(scenario, "1000").capture(capture);
        caller.start(&mut self.ports)
    }

    /// Lets the gateway call a scenario, by REST.
    pub fn is_called(&mut self, scenario: &str) -> Sipp {
        self.place_call(self.sipp(scenario, "1002"))
    }

    /// The same with options of SIPp.
    pub fn is_called_with(&mut self, scenario: &str, options: &[&str]) -> Sipp {
        self.place_call(self.sipp(scenario, "1002").options(options))
    }

    /// The same for a scenario that plays a capture, as `clip.pcap`.
    pub fn is_called_playing(&mut self, scenario: &str, capture: &[u8]) -> Sipp {
        self.place_call(self.sipp(scenario, "1002").capture(capture))
    }

    fn sipp<'a>(&self, scenario: &'a str, number: &'a str) -> Scenario<'a> {
        Scenario::new(scenario, "u1", self.gateway.sip(), number).strict()
    }

    fn place_call(&mut self, callee: Scenario<'_>) -> Sipp {
        let port = self.ports.pair();
        let callee = callee.listen(port).start(&mut self.ports);
        let deadline = Instant::now() + Duration::from_secs(5);
        while UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            assert!(Instant::now() < deadline, "SIPp does not listen");
            sleep(Duration::from_millis(10));
        }
        let asked = json!({
            "callId": "placed", "callee": "1002", "sipLogin": "1001", "sipDomain": "127.0.0.1",
            "sipPort": port.to_string(), "hasVideo": "true", "toStream": "placed",
        });
        let answer = self.rest().post("/rest-api/call/startup", &asked);
        assert_eq!(answer, (200, Vec::new()));
        callee
    }

    /// A client of the gateway's REST interface.
    pub fn rest(&self) -> Rest {
        Rest::connect(self.gateway.rest())
    }

    /// The only call, as REST tells it; none when there is none.
    fn call(&mut self) -> Option<Value> {
        let (status, body) = self.rest().ask("GET", "/rest-api/call/find_all", "", "");
        let calls: Value = serde_json::from_slice(&body).expect("JSON");
        assert!(
            status == 404 || calls[1].is_null(),
            "one call at most: {calls}"
        );
        (status == 200).then(|| calls[0].clone())
    }

    /// Waits until the call has a status; what is told of it then.
    pub fn wait(&mut self, status: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let call = self.call();
            if let Some(call) = call.as_ref().filter(|call| call["status"] == status) {
                return call.clone();
            }
            assert!(Instant::now() < deadline, "never {status}: {call:?}");
            sleep(Duration::from_millis(5));
        }
    }

    /// Ends the call by REST.
    pub fn hang_up(&mut self) {
        let call = self.call().expect("a call to be ended");
        let answer = self.rest().post(
            "/rest-api/call/terminate",
            &json!({"callId": call["callId"]}),
        );
        assert_eq!(answer, (200, Vec::new()));
    }

    /// Waits for a line of the gateway's log.
    pub fn logs(&self, text: &str) -> String {
        self.gateway.log().wait_for(text, Duration::from_secs(5))
    }

    /// Waits for a line after line `from` of the gateway's log; returns the line after it.
    pub fn logs_after(&self, from: usize, text: &str) -> usize {
        self.gateway.wait_after(from, text, 5)
    }

    /// Demands that the scenario went as it says, that no call is left, and nothing broke.
    pub fn done(mut self, scenario: Sipp) -> String {
        scenario.succeed();
        let deadline = Instant::now() + Duration::from_secs(5);
        while let Some(call) = self.call() {
            assert!(Instant::now() < deadline, "the call is left: {call}");
            sleep(Duration::from_millis(10));
        }
        self.gateway.terminate();
        self.gateway.check_calm();
        self.gateway.log().text()
    }
}

/// Scenarios that wait long: all of them begin with the first, and each is waited for by its test.
pub struct Slow(Mutex<Vec<Running>>);

/// The name of a scenario, and what runs it and gives the gateway's log in the end.
pub type Planned = (&'static str, fn(&str) -> String);

/// The same, begun.
type Running = (&'static str, JoinHandle<String>);

impl Slow {
    /// Begins them.
    pub fn start(scenarios: &[Planned]) -> Self {
        let running = scenarios.iter().map(|&(name, run)| {
            let thread = Builder::new().name(name.to_owned());
            let handle = thread.spawn(move || run(name));
            (name, handle.expect("a thread can be started"))
        });
        Self(Mutex::new(running.collect()))
    }

    /// Waits for one of them; its failure is that of the test.
    pub fn finish(&self, name: &str) -> String {
        let mut running = self.0.lock().expect("nobody fails while holding it");
        let at = running.iter().position(|(known, _)| *known == name);
        let (_, handle) = running.swap_remove(at.expect("a scenario that was begun"));
        drop(running);
        handle
            .join()
            .unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    }
}
