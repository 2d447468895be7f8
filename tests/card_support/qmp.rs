//! The machine from outside: its keys and its power (QEMU's machine protocol).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::console::connected;

/// A connection to QEMU's monitor.
pub struct Qmp {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Qmp {
    /// Connects and says which commands are understood.
    pub fn connect(path: &Path) -> Self {
        let writer = connected(path);
        let patience = Some(Duration::from_secs(60));
        writer.set_read_timeout(patience).expect("a socket");
        let reader = BufReader::new(writer.try_clone().expect("a socket"));
        let mut qmp = Self { reader, writer };
        qmp.line();
        qmp.order("qmp_capabilities", json!({}));
        qmp
    }

    /// Gives an order that must be taken; what it returns.
    pub fn order(&mut self, command: &str, arguments: Value) -> Value {
        let order = json!({"execute": command, "arguments": arguments});
        writeln!(self.writer, "{order}").expect("QEMU runs");
        loop {
            let line = self.line();
            if let Some(error) = line.get("error") {
                panic!("{command}: {error}");
            }
            if let Some(told) = line.get("return") {
                return told.clone();
            }
        }
    }

    /// Presses a key, or lets go of it.
    pub fn key(&mut self, name: &str, is_down: bool) {
        let key = json!({"type": "qcode", "data": name});
        let event = json!({"type": "key", "data": {"down": is_down, "key": key}});
        self.order("input-send-event", json!({"events": [event]}));
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("QEMU answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("QEMU said {line:?}: {error}"))
    }
}
