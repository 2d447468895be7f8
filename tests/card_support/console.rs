//! The serial console: what the card says there, and a shell on it.
//!
//! Cards for tests are built with `--console`, which gives root a shell on the serial port; the cards
//! that are flashed have none.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What the line begins with that tells where the page is.
const GREETING: &str = "Trunkcast: page at ";

/// How long one command of the shell may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A serial console.
pub struct Console {
    stream: UnixStream,
    said: Arc<(Mutex<Said>, Condvar)>,
    looked: usize,
    commands: u32,
}

#[derive(Default)]
struct Said {
    text: String,
    is_over: bool,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shell {
    /// Both of its outputs.
    pub text: String,
    /// Its exit code.
    pub code: i32,
}

impl Console {
    /// Connects to the socket that QEMU listens at.
    pub fn connect(path: &Path) -> Self {
        let stream = connected(path);
        let said = Arc::new((Mutex::new(Said::default()), Condvar::new()));
        let (mut reader, kept) = (stream.try_clone().expect("a socket"), Arc::clone(&said));
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            loop {
                let length = reader.read(&mut bytes).unwrap_or(0);
                let mut said = kept.0.lock().expect("no reader panics");
                match bytes.get(..length) {
                    Some(bytes) if length > 0 => said.text += &String::from_utf8_lossy(bytes),
                    _ => said.is_over = true,
                }
                let is_over = said.is_over;
                kept.1.notify_all();
                drop(said);
                if is_over {
                    return;
                }
            }
        });
        Self {
            stream,
            said,
            looked: 0,
            commands: 0,
        }
    }

    /// Waits until one of `texts` was said after what was waited for before; says which.
    pub fn wait_any(&mut self, texts: &[&str], patience: Duration) -> usize {
        self.wait_quietly(texts, patience).unwrap_or_else(|| {
            panic!(
                "the console never said any of {texts:?}; its end:\n{}",
                self.tail()
            )
        })
    }

    /// The same for one text.
    pub fn wait_for(&mut self, text: &str, patience: Duration) {
        self.wait_any(&[text], patience);
    }

    /// The same where it may not come.
    pub fn wait_quietly(&mut self, texts: &[&str], patience: Duration) -> Option<usize> {
        let deadline = Instant::now() + patience;
        let (lock, changed) = &*self.said;
        let mut said = lock.lock().expect("no reader panics");
        loop {
            let new = said.text.get(self.looked..).unwrap_or_default();
            let found = texts.iter().enumerate().filter_map(|(number, text)| {
                let at = new.find(text)?;
                Some((at, at + text.len(), number))
            });
            if let Some((_, end, number)) = found.min() {
                self.looked += end;
                return Some(number);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || said.is_over {
                return None;
            }
            said = changed
                .wait_timeout(said, left)
                .expect("no reader panics")
                .0;
        }
    }

    /// Everything said so far.
    pub fn text(&self) -> String {
        self.said.0.lock().expect("no reader panics").text.clone()
    }

    /// Its last lines.
    pub fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// What is said from here on is new.
    pub fn forget(&mut self) {
        self.looked = self.said.0.lock().expect("no reader panics").text.len();
    }

    /// Types a line.
    pub fn say(&mut self, line: &str) {
        // A full queue of the emulated port drops what comes too fast.
        for part in format!("{line}\n").as_bytes().chunks(16) {
            self.stream.write_all(part).expect("QEMU runs");
            thread::sleep(Duration::from_millis(4));
        }
    }

    /// Waits until the shell answers; the card must have left its boot loader behind.
    pub fn wait_for_shell(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            self.commands += 1;
            let number = self.commands + 100;
            self.say(&format!("stty -echo; PS1=; echo here-$((0+{number}))"));
            let answer = format!("here-{number}");
            if self
                .wait_quietly(&[&answer], Duration::from_secs(5))
                .is_some()
            {
                break;
            }
            assert!(Instant::now() < deadline, "no shell:\n{}", self.tail());
        }
        // Neither the kernel nor systemd talks into what is read here.
        self.run("dmesg -n 1; kill -s RTMIN+21 1; export TERM=dumb PAGER=cat SYSTEMD_COLORS=0");
    }

    /// Runs a command to its end.
    pub fn run(&mut self, command: &str) -> Shell {
        self.run_within(command, PATIENCE)
    }

    /// The same with another patience.
    pub fn run_within(&mut self, command: &str, patience: Duration) -> Shell {
        self.commands += 1;
        let number = self.commands + 1_000;
        let from = self.said.0.lock().expect("no reader panics").text.len();
        self.looked = from;
        self.say(&format!(
            "echo begin-$((0+{number})); {{ {command}\n}} 2>&1 </dev/null; echo end-$((0+{number}))-$?-"
        ));
        let (begin, end) = (format!("begin-{number}"), format!("end-{number}-"));
        if self.wait_quietly(&[&end], patience).is_none()
            || self.wait_quietly(&["-"], Duration::from_secs(5)).is_none()
        {
            panic!("no end of {command:?}; the console's:\n{}", self.tail());
        }
        let text = self.text();
        let new = &text[from..];
        let (_, new) = new.split_once(&begin).expect("a command begins");
        let (text, rest) = new.split_once(&end).expect("a command ends");
        let code = rest.split('-').next().and_then(|code| code.parse().ok());
        let text = text.replace('\r', "");
        // The card says where its page is whenever that changes, also in between.
        let lines = text.lines().filter(|line| !line.starts_with(GREETING));
        Shell {
            text: lines.collect::<Vec<_>>().join("\n").trim().to_owned(),
            code: code.expect("an exit code"),
        }
    }

    /// Runs a command that must succeed; what it printed.
    pub fn ask(&mut self, command: &str) -> String {
        let shell = self.run(command);
        assert_eq!(shell.code, 0, "{command}: {}", shell.text);
        shell.text
    }

    /// Runs a command again and again until its output is as wanted; that output.
    pub fn ask_until(
        &mut self,
        command: &str,
        patience: Duration,
        wanted: impl Fn(&Shell) -> bool,
    ) -> Shell {
        let deadline = Instant::now() + patience;
        loop {
            let shell = self.run(command);
            if wanted(&shell) {
                return shell;
            }
            assert!(
                Instant::now() < deadline,
                "{command} never came to what was wanted: {shell:?}"
            );
            thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Connects as soon as somebody listens.
pub fn connected(path: &Path) -> UnixStream {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < deadline, "{}: {error}", path.display()),
        }
        thread::sleep(Duration::from_millis(20));
    }
}
