//! A program started by a test.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Lines that a program printed so far, and whether it may print more.
#[derive(Default)]
struct Output {
    lines: Vec<String>,
    open: usize,
}

/// A running program whose output is kept; killed when the value goes.
pub struct Program {
    name: String,
    child: Child,
    output: Arc<(Mutex<Output>, Condvar)>,
}

impl Program {
    /// Starts `command`, keeping both of its outputs, line by line. It dies with the thread that
    /// started it, so that a test that is killed leaves nothing behind.
    pub fn start(command: &mut Command) -> Self {
        Self::start_with(command, Stdio::null())
    }

    /// The same for a program that takes orders on its standard input; see [`Self::say`].
    pub fn start_listening(command: &mut Command) -> Self {
        Self::start_with(command, Stdio::piped())
    }

    /// Writes a line to the program's standard input.
    pub fn say(&mut self, line: &str) {
        let input = self.child.stdin.as_mut();
        let input = input.expect("the program was started to take orders");
        writeln!(input, "{line}").unwrap_or_else(|error| panic!("{} is gone: {error}", self.name));
    }

    fn start_with(command: &mut Command, input: Stdio) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut mortal = Command::new("setpriv");
        mortal.args(["--pdeathsig", "KILL", "--"]);
        mortal.arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            mortal.current_dir(folder);
        }
        for (key, value) in command.get_envs() {
            mortal.env(key, value.unwrap_or_default());
        }
        let mut child = mortal
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start ({error}); see tests/run"));
        let output = Arc::new((
            Mutex::new(Output {
                lines: Vec::new(),
                open: 2,
            }),
            Condvar::new(),
        ));
        keep_lines(child.stdout.take().expect("stdout is piped"), &output);
        keep_lines(child.stderr.take().expect("stderr is piped"), &output);
        Self {
            name,
            child,
            output,
        }
    }

    /// Waits until the program has printed a line that holds `text`, and returns that line.
    pub fn wait_for(&self, text: &str, patience: Duration) -> String {
        self.wait_for_after(0, text, patience).1
    }

    /// The same from line number `from` on; also returns the number after the line.
    pub fn wait_for_after(&self, from: usize, text: &str, patience: Duration) -> (usize, String) {
        let deadline = Instant::now() + patience;
        let (lock, changed) = &*self.output;
        let mut output = lock.lock().expect("no reader panics");
        let mut looked = from;
        loop {
            while let Some(line) = output.lines.get(looked) {
                looked += 1;
                if line.contains(text) {
                    return (looked, line.clone());
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || output.open == 0 {
                let why = if output.open == 0 { "ended" } else { "went on" };
                // The lock must be free before the panic, or the reading threads panic as well.
                drop(output);
                panic!("{} {why} without printing {text:?}", self.name);
            }
            output = changed
                .wait_timeout(output, left)
                .expect("no reader panics")
                .0;
        }
    }

    /// Number of lines printed so far.
    pub fn mark(&self) -> usize {
        self.output.0.lock().expect("no reader panics").lines.len()
    }

    /// Everything printed so far.
    pub fn text(&self) -> String {
        self.output
            .0
            .lock()
            .expect("no reader panics")
            .lines
            .join("\n")
    }

    /// Process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM` or `STOP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.id().to_string()])
            .status()
            .expect("kill is part of every system");
        assert!(
            status.success(),
            "{} was not there to be signalled",
            self.name
        );
    }

    /// Kills the program at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits a while for the program to end by itself, and says whether it did.
    pub fn ended_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if self.child.try_wait().expect("the child is ours").is_some() {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Waits for the program to end by itself.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                self.drained();
                return status;
            }
            if Instant::now() > deadline {
                panic!(
                    "{} did not end in {patience:?}:\n{}",
                    self.name,
                    self.text()
                );
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the program to end and demands that it was content.
    pub fn succeed(&mut self, patience: Duration) -> String {
        let status = self.wait(patience);
        let text = self.text();
        assert!(
            status.success(),
            "{} ended with {status}:\n{text}",
            self.name
        );
        text
    }

    /// Waits a moment for the rest of an ended program's output.
    fn drained(&self) {
        let (lock, changed) = &*self.output;
        let output = lock.lock().expect("no reader panics");
        let patience = Duration::from_secs(2);
        let _ = changed.wait_timeout_while(output, patience, |output| output.open > 0);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("---- {} printed:\n{}\n----", self.name, self.text());
        }
    }
}

/// Runs a program to its end and returns its standard output; it must succeed silently enough
/// for `-v error`, so that what it prints on standard error is part of a failure only.
pub fn run(command: &mut Command) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{name} does not start ({error}); see tests/run"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{complaints}",
        output.status
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn keep_lines(stream: impl Read + Send + 'static, output: &Arc<(Mutex<Output>, Condvar)>) {
    let output = Arc::clone(output);
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            let more = matches!(reader.read_until(b'\n', &mut line), Ok(1..));
            let mut kept = output.0.lock().expect("no reader panics");
            if more {
                kept.lines
                    .push(String::from_utf8_lossy(&line).trim_end().to_owned());
            } else {
                kept.open -= 1;
            }
            output.1.notify_all();
            if !more {
                return;
            }
        }
    });
}
