//! A backend of hooks: `tests/support/backend.py`, which records what it is told.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::authority::Certificate;
use super::program::Program;
use super::scratch::tests_folder;

/// A running backend.
pub struct Backend {
    program: Program,
}

impl Backend {
    /// Listens on a port of this host, with TLS where a certificate is given.
    pub fn start(port: u16, certificate: Option<&Certificate>) -> Self {
        let mut command = Command::new("python3");
        command.arg(tests_folder().join("support/backend.py"));
        command.arg(port.to_string());
        if let Some(certificate) = certificate {
            command.args([&certificate.certificate, &certificate.key]);
        }
        let program = Program::start_listening(&mut command);
        program.wait_for("listening", Duration::from_secs(10));
        Self { program }
    }

    /// Tells it how to behave from now on.
    pub fn order(&mut self, words: &str) {
        let from = self.program.mark();
        self.program.say(words);
        let words = format!("ordered {words}");
        self.program
            .wait_for_after(from, &words, Duration::from_secs(5));
    }

    /// Dies at once.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Everything that it was told, in order.
    pub fn told(&self) -> Vec<Value> {
        let text = self.program.text();
        let lines = text.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// Waits until it was told enough; everything by then.
    pub fn wait(&self, seconds: u64, is_enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            let told = self.told();
            if is_enough(&told) {
                return told;
            }
            assert!(Instant::now() < deadline, "never told: {told:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The method of a request, and the status in its body.
pub fn event(told: &Value) -> (&str, &str) {
    let path = told["path"].as_str().expect("a path");
    let method = path.rsplit('/').next().unwrap_or_default();
    (method, told["body"]["status"].as_str().unwrap_or(""))
}

/// The events of one call, in order.
pub fn of_call<'a>(told: &'a [Value], call_id: &str) -> Vec<(&'a str, &'a str)> {
    let is_it = |told: &&Value| {
        let names = ["callId", "mediaSessionId"].map(|key| told["body"][key].as_str());
        names.contains(&Some(call_id))
    };
    told.iter().filter(is_it).map(event).collect()
}

/// The calls that it was told of.
pub fn calls(told: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for told in told {
        let name = told["body"]["callId"].as_str().unwrap_or("").to_owned();
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
