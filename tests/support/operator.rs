//! Somebody at the REST interface who places calls, looks at them, and ends them.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Daemon, Rest};

/// The password of the calls that are placed.
pub const PASSWORD: &str = "hunter2";

/// One client of the interface.
pub struct Operator(Rest);

impl Operator {
    /// The one of a gateway.
    pub fn of(gateway: &Daemon) -> Self {
        Self(Rest::connect(gateway.rest()))
    }

    /// Places a call from 1001 to 1002 at a port of this host, and returns the code that is answered.
    /// `more` says what differs.
    pub fn place(&mut self, call_id: &str, port: u16, more: &Value) -> u16 {
        let mut asked = json!({
            "callId": call_id, "callee": "1002", "sipLogin": "1001", "sipPassword": PASSWORD,
            "sipDomain": "127.0.0.1", "sipPort": port, "hasVideo": true, "toStream": call_id,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            asked[key] = value.clone();
        }
        self.0.post("/rest-api/call/startup", &asked).0
    }

    /// Every call there is.
    pub fn calls(&mut self) -> Vec<Value> {
        let (status, body) = self.0.post("/rest-api/call/find_all", &json!({}));
        if status == 404 {
            return Vec::new();
        }
        serde_json::from_slice(&body).expect("a list of calls")
    }

    /// Waits until so many calls have a status.
    pub fn wait_for(&mut self, count: usize, status: &str) {
        let started = Instant::now();
        loop {
            let calls = self.calls();
            let are = calls.iter().filter(|call| call["status"] == status);
            if are.count() == count {
                return;
            }
            let is_patient = started.elapsed() < Duration::from_secs(6);
            assert!(is_patient, "never {count} {status}: {calls:?}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Ends a call.
    pub fn end(&mut self, call_id: &str) {
        let asked = json!({"callId": call_id});
        let (code, _) = self.0.post("/rest-api/call/terminate", &asked);
        assert_eq!(code, 200, "{call_id}");
    }

    /// Ends every call.
    pub fn end_all(&mut self) {
        for call in self.calls() {
            self.end(call["callId"].as_str().expect("a name"));
        }
    }

    /// Waits until there is no call any more.
    pub fn wait_for_none(&mut self) {
        let started = Instant::now();
        while !self.calls().is_empty() {
            let is_patient = started.elapsed() < Duration::from_secs(6);
            assert!(is_patient, "calls are left: {:?}", self.calls());
            sleep(Duration::from_millis(20));
        }
    }
}
