//! A call that the REST interface places, and what it tells of it.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Daemon, Rest};

/// A call out by its name.
pub struct CallOut {
    client: Rest,
    call_id: String,
}

impl CallOut {
    /// Asks a gateway to call `callee` at an address and to publish the call as `stream` at `url`.
    /// `more` has further fields of the request, or others in the place of these.
    pub fn place(
        gateway: &Daemon,
        (callee, at): (&str, SocketAddr),
        (url, stream): (&str, &str),
        more: &Value,
    ) -> Self {
        let call_id = format!("out-{stream}");
        let mut request = json!({
            "callId": call_id, "callee": callee, "sipLogin": "1001", "sipPassword": "hunter2",
            "sipDomain": at.ip().to_string(), "sipPort": at.port().to_string(),
            "sipRegisterRequired": "false", "hasAudio": "true", "hasVideo": "true",
            "rtmpUrl": url, "rtmpStream": stream,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            request[key] = value.clone();
        }
        let mut client = Rest::connect(gateway.rest());
        let answer = client.post("/rest-api/call/startup", &request);
        assert_eq!(answer, (200, Vec::new()));
        Self { client, call_id }
    }

    /// What is told of it now, if it is there.
    pub fn look(&mut self) -> Option<Value> {
        let wanted = json!({"callId": self.call_id});
        match self.client.post("/rest-api/call/find", &wanted) {
            (200, body) => {
                let calls: Value = serde_json::from_slice(&body).expect("JSON");
                Some(calls[0].clone())
            }
            (404, _) => None,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until a field has a value; what is told of it then.
    pub fn wait_for(&mut self, key: &str, wanted: &str, seconds: u64) -> Value {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            let told = self.look();
            if let Some(told) = told.as_ref().filter(|told| told[key] == wanted) {
                return told.clone();
            }
            assert!(Instant::now() < deadline, "never {key} {wanted}: {told:?}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Ends it, unless the other side has.
    pub fn terminate_if_there(&mut self) {
        if self.look().is_some() {
            self.terminate();
        }
    }

    /// Ends it.
    pub fn terminate(&mut self) {
        let call = json!({"callId": self.call_id});
        let answer = self.client.post("/rest-api/call/terminate", &call);
        assert_eq!(answer, (200, Vec::new()));
    }
}
