//! `trunkcast panel` with LEDs that are files and a button that is a pipe: what the daemon says is to be
//! seen, and a held button leaves its mark.

mod own_program;
mod support;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::raw_caller::RawCaller;
use support::{Ports, Program, Scratch};

/// What the daemon has to show a change, and half as much for a machine that is busy.
const SOON: Duration = Duration::from_millis(1_500);

/// What anything may take that is not measured.
const PATIENCE: Duration = Duration::from_secs(20);

/// KEY_PROG1.
const KEY: u16 = 148;

/// A board of files.
struct Board {
    folder: Scratch,
}

impl Board {
    fn new() -> Self {
        let board = Self {
            folder: Scratch::new("panel"),
        };
        for led in ["registered", "call", "fault"] {
            board.make_led(led);
        }
        fs::create_dir_all(board.path("run")).unwrap();
        fs::create_dir_all(board.path("marks")).unwrap();
        board.make_button();
        board
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn make_led(&self, led: &str) {
        for (file, text) in [
            ("brightness", "0\n"),
            ("max_brightness", "255\n"),
            ("trigger", "none [heartbeat] timer\n"),
        ] {
            self.folder.write(&format!("leds/{led}/{file}"), text);
        }
    }

    fn make_button(&self) {
        let made = Command::new("mkfifo").arg(self.path("button")).status();
        assert!(made.unwrap().success());
    }

    fn start(&self) -> Program {
        let path = |name: &str| self.path(name).display().to_string();
        let text = format!(
            "leds:\n  registered: {{name: {}}}\n  inCall: {{name: {}}}\n  fault: {{name: {}}}\n\
             button: {{device: {}, key: {KEY}}}\ndaemon: {}\nmarks: {}\n",
            path("leds/registered"),
            path("leds/call"),
            path("leds/fault"),
            path("button"),
            path("run/panel"),
            path("marks")
        );
        let file = self.folder.write("panel.yml", text);
        let mut command = own_program::trunkcast();
        let program = Program::start(command.args(["panel", "--board"]).arg(file));
        program.wait_for("board: ", PATIENCE);
        program
    }

    fn is_lit(&self, led: &str) -> bool {
        let path = self.path(&format!("leds/{led}/brightness"));
        let text = fs::read_to_string(path).unwrap_or_default();
        text.trim() == "255"
    }

    /// Waits until an LED is lit or dark, and stays so for more than any blink is; how long it took.
    fn wait_steady(&self, led: &str, lit: bool, patience: Duration) -> Duration {
        let begin = Instant::now();
        let mut since = None;
        loop {
            since = match self.is_lit(led) == lit {
                true => Some(since.unwrap_or_else(Instant::now)),
                false => None,
            };
            if let Some(since) = since
                && since.elapsed() >= Duration::from_millis(1_100)
            {
                return since - begin;
            }
            assert!(
                begin.elapsed() < patience + Duration::from_millis(1_100),
                "{led} is not steadily {}",
                if lit { "lit" } else { "dark" }
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Times that an LED goes on within two seconds.
    fn blinks(&self, led: &str) -> usize {
        let end = Instant::now() + Duration::from_secs(2);
        let (mut before, mut count) = (self.is_lit(led), 0);
        while Instant::now() < end {
            let lit = self.is_lit(led);
            count += usize::from(lit && !before);
            before = lit;
            thread::sleep(Duration::from_millis(5));
        }
        count
    }

    /// Waits for two seconds with two flashes in each. A machine that is busy may skip some.
    fn wait_double_flashes(&self, led: &str) {
        let mut seen = Vec::new();
        while !seen.last().is_some_and(|flashes| (3..=5).contains(flashes)) {
            assert!(seen.len() < 8, "flashes of {led} in two seconds: {seen:?}");
            seen.push(self.blinks(led));
        }
    }

    fn has_mark(&self, name: &str) -> bool {
        self.path("marks").join(name).exists()
    }
}

/// One who presses the button.
struct Finger(File);

impl Finger {
    fn new(board: &Board) -> Self {
        // Opened for reading too, so that it need not wait for the other side.
        let pipe = OpenOptions::new()
            .read(true)
            .write(true)
            .open(board.path("button"));
        Self(pipe.unwrap())
    }

    fn say(&mut self, value: i32) {
        let mut events = Vec::new();
        for (kind, code, value) in [(1_u16, KEY, value), (0, 0, 0)] {
            events.extend([0_u8; 2 * size_of::<std::ffi::c_long>()]);
            events.extend(kind.to_ne_bytes());
            events.extend(code.to_ne_bytes());
            events.extend(value.to_ne_bytes());
        }
        self.0.write_all(&events).unwrap();
    }

    fn press_for(&mut self, length: Duration) {
        self.say(1);
        thread::sleep(length);
        self.say(0);
    }
}

/// A daemon that is a socket: it says what it is told.
struct Daemon {
    listener: UnixListener,
    panel: Option<UnixStream>,
}

impl Daemon {
    fn new(board: &Board) -> Self {
        Self {
            listener: UnixListener::bind(board.path("run/panel")).unwrap(),
            panel: None,
        }
    }

    fn say(&mut self, line: &str) {
        let panel = self
            .panel
            .get_or_insert_with(|| self.listener.accept().unwrap().0);
        writeln!(panel, "{line}").unwrap();
    }
}

#[test]
fn leds_show_what_the_daemon_says_and_its_silence() {
    let board = Board::new();
    let mut daemon = Daemon::new(&board);
    let _finger = Finger::new(&board);
    let panel = board.start();
    daemon.say("registered=0 calls=0 fault=0");
    let slow = board.blinks("registered");
    assert!((1..=3).contains(&slow), "{slow} blinks of one a second");
    daemon.say("registered=1 calls=0 fault=0");
    board.wait_steady("registered", true, SOON);
    daemon.say("registered=1 calls=7 fault=1 and=more");
    daemon.say("nonsense");
    board.wait_steady("fault", true, SOON);
    assert!(board.is_lit("call") && board.is_lit("registered"));
    // It is silent from here on.
    thread::sleep(Duration::from_secs(5));
    board.wait_double_flashes("fault");
    assert!(!board.is_lit("registered") && !board.is_lit("call"));
    daemon.say("registered=1 calls=1 fault=0");
    board.wait_steady("fault", false, SOON);
    // It goes: no five seconds are waited.
    daemon.panel = None;
    let begin = Instant::now();
    while !board.is_lit("fault") {
        assert!(begin.elapsed() < SOON, "the end of the daemon is not seen");
        thread::sleep(Duration::from_millis(5));
    }
    drop(panel);
}

#[test]
fn a_held_button_leaves_its_mark_and_a_touch_none() {
    let board = Board::new();
    let mut daemon = Daemon::new(&board);
    let mut finger = Finger::new(&board);
    let panel = board.start();
    daemon.say("registered=1 calls=0 fault=0");
    finger.press_for(Duration::from_millis(300));
    thread::sleep(Duration::from_millis(300));
    assert!(!board.has_mark("password-reset"), "for a touch");
    finger.say(1);
    thread::sleep(Duration::from_millis(5_300));
    daemon.say("registered=1 calls=0 fault=0");
    assert!(!board.has_mark("password-reset"), "before the release");
    let slow = board.blinks("fault");
    assert!((1..=3).contains(&slow), "{slow} blinks of one a second");
    finger.say(0);
    panel.wait_for("the button asks for password-reset", PATIENCE);
    assert!(board.has_mark("password-reset"));
    assert!(!board.has_mark("factory-reset"));
    board.wait_steady("fault", true, SOON);
}

#[test]
fn what_is_missing_is_told_once_and_taken_when_it_comes() {
    let board = Board::new();
    let mut daemon = Daemon::new(&board);
    fs::remove_dir_all(board.path("leds/call")).unwrap();
    fs::remove_file(board.path("button")).unwrap();
    let mut panel = board.start();
    panel.wait_for("leds/call: ", PATIENCE);
    panel.wait_for("/button: ", PATIENCE);
    for _ in 0..6 {
        daemon.say("registered=1 calls=1 fault=0");
        thread::sleep(Duration::from_secs(1));
    }
    let told = |panel: &Program, what: &str| panel.text().matches(what).count();
    assert_eq!(told(&panel, "it is left out until it is there"), 2);
    assert!(board.is_lit("registered"));
    board.make_led("call");
    board.make_button();
    panel.wait_for("button is there", PATIENCE);
    panel.wait_for("leds/call is there", PATIENCE);
    daemon.say("registered=1 calls=1 fault=0");
    board.wait_steady("call", true, SOON);
    // It ends as it is told to, and leaves no LED lit that would say what is no longer so.
    panel.signal("TERM");
    assert!(panel.wait(PATIENCE).success());
    assert!(!board.is_lit("registered") && !board.is_lit("call"));
}

#[test]
fn a_panel_at_rest_sleeps() {
    let board = Board::new();
    let mut daemon = Daemon::new(&board);
    let _finger = Finger::new(&board);
    let panel = board.start();
    let wakes = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", panel.id())).unwrap();
        let counts = tasks.map(|task| {
            let path = task.unwrap().path().join("status");
            let text = fs::read_to_string(path).unwrap();
            let field = "voluntary_ctxt_switches:";
            let line = text.lines().find_map(|line| line.strip_prefix(field));
            line.unwrap().trim().parse::<usize>().unwrap()
        });
        counts.sum::<usize>()
    };
    daemon.say("registered=1 calls=1 fault=0");
    board.wait_steady("call", true, SOON);
    let (before, seconds) = (wakes(), 6);
    for _ in 0..seconds / 2 {
        thread::sleep(Duration::from_secs(2));
        daemon.say("registered=1 calls=1 fault=0");
    }
    let wakes = wakes() - before;
    assert!(wakes <= 2 * seconds, "{wakes} wake-ups in {seconds} s");
}

/// A registrar that answers every REGISTER with a status, and lets it last two seconds.
struct Registrar {
    address: SocketAddr,
    refuses: Arc<AtomicU8>,
}

impl Registrar {
    fn start(ports: &mut Ports) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", ports.pair())).unwrap();
        let address = socket.local_addr().unwrap();
        let refuses = Arc::new(AtomicU8::new(0));
        let shared = Arc::clone(&refuses);
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                let request = String::from_utf8_lossy(&bytes[..length]).into_owned();
                let answer = answer(&request, shared.load(Ordering::Relaxed) != 0);
                let _ = socket.send_to(answer.as_bytes(), from);
                if shared.load(Ordering::Relaxed) == 1 && request.starts_with("REGISTER") {
                    shared.store(2, Ordering::Relaxed);
                }
            }
        });
        Self { address, refuses }
    }

    /// Refuses from now on; returns when it did so for the first time.
    fn refuse(&self) {
        self.refuses.store(1, Ordering::Relaxed);
        let begin = Instant::now();
        while self.refuses.load(Ordering::Relaxed) != 2 {
            assert!(begin.elapsed() < PATIENCE, "nobody registers");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn answer(request: &str, refuse: bool) -> String {
    let kept = |name: &str| {
        let lines = request.lines().filter(|line| line.starts_with(name));
        lines.map(|line| format!("{line}\r\n")).collect::<String>()
    };
    let status = match (refuse, request.starts_with("REGISTER")) {
        (true, true) => "403 Forbidden",
        _ => "200 OK",
    };
    let contact = kept("Contact:");
    let contact = contact.split(';').next().unwrap_or_default().trim_end();
    format!(
        "SIP/2.0 {status}\r\n{}{}{};tag=r\r\n{}{}{contact};expires=2\r\nContent-Length: 0\r\n\r\n",
        kept("Via:"),
        kept("From:"),
        kept("To:").trim_end(),
        kept("Call-ID:"),
        kept("CSeq:"),
    )
}

#[test]
fn a_real_daemon_is_seen_within_a_second() {
    let board = Board::new();
    let mut ports = Ports::claim();
    let registrar = Registrar::start(&mut ports);
    let sip = ports.address();
    let (rtmp, rest) = (ports.address(), ports.address());
    let (first, last) = ports.media();
    let state = board.path("state");
    fs::create_dir_all(&state).unwrap();
    let yaml = format!(
        "trunks:\n  test:\n    localPort: {}\n    proxyIp: 127.0.0.1\n    remotePort: {}\n    \
         register: {{login: box, password: secret}}\n    ping: off\n\
         rtmp: {{listen: \"{rtmp}\"}}\nrest: {{listen: \"{rest}\"}}\npage: {{listen: off}}\n\
         media: {{address: 127.0.0.1, ports: {first}-{last}}}\nstate: {{directory: {}}}\n",
        sip.port(),
        registrar.address.port(),
        state.display()
    );
    let file = board.folder.write("trunkcast.yml", yaml);
    let daemon = |runtime: &Path| {
        let mut command = own_program::trunkcast();
        command.env("RUNTIME_DIRECTORY", runtime);
        Program::start(command.args(["run", "--config"]).arg(&file))
    };
    let _finger = Finger::new(&board);
    let _panel = board.start();
    let mut running = daemon(&board.path("run"));
    running.wait_for("ready", PATIENCE);
    board.wait_steady("registered", true, PATIENCE);
    assert!(!board.is_lit("fault") && !board.is_lit("call"));

    let caller = RawCaller::new("127.0.0.1", &mut ports, sip, 1);
    caller.send("INVITE", "", 1);
    let (status, _, tag) = caller.status(&["INVITE"]);
    assert_eq!(status, 200);
    caller.send("ACK", &tag, 1);
    let took = board.wait_steady("call", true, PATIENCE);
    assert!(took <= SOON, "the call was seen after {took:?}");
    caller.send("BYE", &tag, 2);
    assert_eq!(caller.status(&["BYE"]).0, 200);
    let took = board.wait_steady("call", false, PATIENCE);
    assert!(took <= SOON, "its end was seen after {took:?}");

    registrar.refuse();
    let took = board.wait_steady("fault", true, PATIENCE);
    assert!(took <= SOON, "the refusal was seen after {took:?}");
    assert!(board.blinks("registered") >= 1, "not registered");

    // It is killed: the socket that it leaves is no hindrance for the next.
    running.kill();
    assert!(board.path("run/panel").exists());
    board.wait_double_flashes("fault");
    let mut running = daemon(&board.path("run"));
    running.wait_for("ready", PATIENCE);
    board.wait_steady("fault", true, PATIENCE);
    running.signal("TERM");
    assert!(running.wait(PATIENCE).success());
    assert!(!board.path("run/panel").exists());
}
