//! Measures the gateway under load, beside a bare receive-and-send loop and `ffmpeg -c copy`.
//!
//! `tests/run bench` runs it. Callers and sink are processes of their own on one CPU, what is
//! measured is on another. Printed are, for 1, 10 and 50 calls of 277 packets a second:
//! - CPU: milliseconds of CPU per second of one stream, from the scheduler's own account;
//! - added delay: from the sending of a picture's last packet to the arrival of the whole message;
//! - system calls per received packet;
//! - memory: growth of the resident set per call, for ffmpeg its proportional share;
//! - start: from a call's first packet to its first keyframe at the sink;
//! - lost: pictures and sounds sent that did not arrive;
//!
//! and then 400 calls through the gateway alone.

mod bare;
mod load;
mod measure;
mod os;
mod sink;
mod stamp;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Packets a second of one call.
const PACKETS: f64 = 227.0 + 50.0;
/// Listened on while a measurement runs.
const LOCK_PORT: u16 = 21_000;
/// First port at which the bare loop and ffmpeg take media.
const TAKER_PORT: u16 = 26_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse().expect("a number");
    match words[..] {
        ["load", calls, "none"] => load::run(number(calls), None, TAKER_PORT),
        ["load", calls, sip] => load::run(number(calls), sip.parse().ok(), 0),
        ["sink", kind] => sink::run(kind == "rtmp"),
        ["bare", calls, to, kind] => {
            let to = to.parse().expect("an address");
            bare::run(number(calls), TAKER_PORT, to, kind == "drain");
        }
        _ => compare(&words),
    }
}

/// What relays the calls.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Relay {
    /// The bare loop, reading a ready socket once.
    BareOnce,
    /// The bare loop, reading a ready socket until it is empty.
    BareDrain,
    /// The program of this project.
    Gateway,
    /// One `ffmpeg -c copy` a call.
    Ffmpeg,
}

impl Relay {
    const fn name(self) -> &'static str {
        match self {
            Self::BareOnce => "bare loop, one read a wake-up",
            Self::BareDrain => "bare loop, reads until empty",
            Self::Gateway => "trunkcast",
            Self::Ffmpeg => "ffmpeg -c copy",
        }
    }
}

/// Figures of one run.
struct Figures {
    relay: Relay,
    calls: u32,
    /// Milliseconds of CPU per stream-second.
    cpu: f64,
    /// Microseconds.
    delay_p50: f64,
    delay_p99: f64,
    system_calls: Option<f64>,
    /// KiB a call, and the resident set before the first.
    memory: f64,
    idle: u64,
    start_p50: f64,
    start_max: f64,
    setup_p50: f64,
    setup_p99: f64,
    sent: f64,
    lost: f64,
    /// Latest sending in microseconds: what the callers themselves add.
    late: f64,
}

fn compare(words: &[&str]) {
    let _alone = wait_to_be_alone();
    let seconds = 8;
    let counts: Vec<u32> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let counts = if counts.is_empty() {
        vec![1, 10, 50]
    } else {
        counts
    };
    let all = [
        Relay::BareOnce,
        Relay::BareDrain,
        Relay::Gateway,
        Relay::Ffmpeg,
    ];
    let wanted = |relay: &Relay| match *relay {
        Relay::Gateway => !words.contains(&"--no-gateway"),
        Relay::Ffmpeg => !words.contains(&"--no-ffmpeg"),
        _ => !words.contains(&"--no-bare"),
    };
    print_machine();
    print_head();
    let mut figures = Vec::new();
    for &calls in &counts {
        for &relay in all.iter().filter(|relay| wanted(relay)) {
            let run = measure(relay, calls, seconds);
            run.print();
            figures.push(run);
        }
    }
    if words.iter().all(|word| word.parse::<u32>().is_err()) && wanted(&Relay::Gateway) {
        let run = measure(Relay::Gateway, 400, seconds);
        run.print();
        figures.push(run);
    }
    print_ratios(&figures);
}

/// Two measurements at once would spoil each other: the second one waits.
fn wait_to_be_alone() -> TcpListener {
    loop {
        if let Ok(lock) = TcpListener::bind((Ipv4Addr::LOCALHOST, LOCK_PORT)) {
            return lock;
        }
        eprintln!("another measurement is running on this machine; waiting for its end");
        sleep(Duration::from_secs(5));
    }
}

/// A process of this program, or another, spoken to by lines.
struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    fn start(role: &[&str]) -> Self {
        let program = std::env::current_exe().expect("this program has a name");
        let mut child = Command::new(program)
            .args(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let input = child.stdin.take().expect("stdin is piped");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self {
            child,
            input,
            output,
        }
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        let length = self
            .output
            .read_line(&mut line)
            .expect("the worker writes text");
        assert_ne!(length, 0, "a worker ended early");
        line
    }

    fn tell(&mut self) {
        self.input.write_all(b"\n").expect("the worker listens");
    }

    /// Asks for a line of `name=value`.
    fn ask(&mut self) -> HashMap<String, f64> {
        self.tell();
        fields(&self.hear())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn fields(line: &str) -> HashMap<String, f64> {
    let pairs = line
        .split_whitespace()
        .filter_map(|word| word.split_once('='));
    pairs
        .filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?)))
        .collect()
}

/// What is measured: its processes, and where it takes SIP.
struct Taker {
    children: Vec<Child>,
    sip: Option<SocketAddr>,
    folder: Option<PathBuf>,
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.children.iter_mut().for_each(end);
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn measure(relay: Relay, calls: u32, seconds: u64) -> Figures {
    let rtmp = matches!(relay, Relay::Gateway | Relay::Ffmpeg);
    let mut sink = Worker::start(&["sink", if rtmp { "rtmp" } else { "raw" }]);
    let address: SocketAddr = sink
        .hear()
        .trim()
        .trim_start_matches("ready ")
        .parse()
        .expect("an address");
    let taker = start(relay, calls, address);
    let processes: Vec<u32> = taker.children.iter().map(Child::id).collect();
    sleep(Duration::from_millis(300));
    let of = match relay {
        Relay::Ffmpeg => measure::proportional,
        _ => measure::resident,
    };
    let memory = || processes.iter().map(|&process| of(process)).sum::<u64>();
    let idle = memory();

    let target = taker.sip.map_or("none".to_owned(), |sip| sip.to_string());
    let mut callers = Worker::start(&["load", &calls.to_string(), &target]);
    let up = fields(&callers.hear());
    callers.tell();
    // ffmpeg looks at its input for some seconds before it sends.
    sleep(Duration::from_secs(if relay == Relay::Ffmpeg {
        9
    } else {
        3
    }));

    let first = sink.ask();
    let cpu = || {
        processes
            .iter()
            .map(|&process| measure::cpu(process))
            .sum::<u64>()
    };
    let (before, started) = (cpu(), Instant::now());
    sleep(Duration::from_secs(seconds));
    let (used, took) = (cpu() - before, started.elapsed().as_secs_f64());
    let during = sink.ask();
    let grown = memory();
    let system_calls = measure::system_calls(&processes, 2);
    let sent = callers.ask();
    sleep(Duration::from_millis(700));
    let came = sink.ask();
    callers.tell();

    let calls_f = f64::from(calls);
    let total = sent["sounds"] + sent["pictures"];
    Figures {
        relay,
        calls,
        cpu: used as f64 / 1e6 / took / calls_f,
        delay_p50: during["p50_us"],
        delay_p99: during["p99_us"],
        system_calls: system_calls.map(|rate| rate / PACKETS / calls_f),
        memory: match relay {
            Relay::Ffmpeg => grown as f64 / calls_f,
            _ => grown.saturating_sub(idle) as f64 / calls_f,
        },
        idle,
        start_p50: first["start_p50_us"],
        start_max: first["start_max_us"],
        setup_p50: up["setup_p50_us"],
        setup_p99: up["setup_p99_us"],
        sent: total,
        lost: total - came["sounds"] - came["pictures"],
        late: sent["late_us"],
    }
}

fn start(relay: Relay, calls: u32, sink: SocketAddr) -> Taker {
    match relay {
        Relay::BareOnce | Relay::BareDrain => {
            let kind = if relay == Relay::BareDrain {
                "drain"
            } else {
                "once"
            };
            let role = ["bare", &calls.to_string(), &sink.to_string(), kind];
            let program = std::env::current_exe().expect("this program has a name");
            let mut child = Command::new(program)
                .args(role)
                .stdout(Stdio::piped())
                .spawn()
                .expect("it starts");
            wait_for(&mut child, "ready");
            Taker {
                children: vec![child],
                sip: None,
                folder: None,
            }
        }
        Relay::Gateway => start_gateway(calls, sink),
        Relay::Ffmpeg => start_ffmpeg(calls, sink),
    }
}

fn wait_for(child: &mut Child, text: &str) {
    let mut reader = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert_ne!(
            reader.read_line(&mut line).unwrap_or(0),
            0,
            "it ended early"
        );
    }
}

/// The gateway on a CPU of its own, with room for the calls.
fn start_gateway(calls: u32, sink: SocketAddr) -> Taker {
    let folder = new_folder("gateway");
    let sip = SocketAddr::from((Ipv4Addr::LOCALHOST, 21_060));
    let config = format!(
        "trunks:\n  bench:\n    localPort: {}\n    proxyIp: 127.0.0.1\n    remotePort: 5060\n    \
         url: rtmp://{sink}/live\n    abuse: {{perSource: 10000, total: 10000}}\n\
         rtmp: {{listen: \"127.0.0.1:21062\"}}\n\
         rest: {{listen: \"127.0.0.1:21064\"}}\npage: {{listen: off}}\n\
         media: {{address: 127.0.0.1, ports: 28000-31999}}\n\
         limits: {{calls: {}, memoryMiB: 2048}}\n",
        sip.port(),
        calls.max(32)
    );
    let file = folder.join("trunkcast.yml");
    fs::write(&file, config).expect("a file can be written");
    let log = fs::File::create(folder.join("log")).expect("a file can be written");
    let child = Command::new("taskset")
        .args([
            "-c",
            "0",
            env!("CARGO_BIN_EXE_trunkcast"),
            "run",
            "--config",
        ])
        .arg(file)
        .env("STATE_DIRECTORY", &folder)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("taskset is part of util-linux");
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let text = fs::read_to_string(folder.join("log")).unwrap_or_default();
        if text.contains("ready") {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "the gateway does not start:\n{text}"
        );
        sleep(Duration::from_millis(20));
    }
    Taker {
        children: vec![child],
        sip: Some(sip),
        folder: Some(folder),
    }
}

fn start_ffmpeg(calls: u32, sink: SocketAddr) -> Taker {
    let folder = new_folder("ffmpeg");
    let mut children = Vec::new();
    for call in 0..calls as u16 {
        let port = TAKER_PORT + 4 * call;
        let sdp = format!(
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n\
             m=audio {port} RTP/AVP 8\na=rtpmap:8 PCMA/8000\n\
             m=video {} RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1;\
             sprop-parameter-sets=Z0LAH9kAUAW7ARAAAAMAEAAAAwPA8YMkgA==,aMuDyyA=\n",
            port + 2
        );
        let file = folder.join(format!("{call}.sdp"));
        fs::write(&file, sdp).expect("a file can be written");
        let child = Command::new("taskset")
            .args(["-c", "0", "ffmpeg", "-nostdin", "-v", "quiet"])
            .args(["-protocol_whitelist", "file,udp,rtp", "-i"])
            .arg(file)
            .args([
                "-c",
                "copy",
                "-f",
                "flv",
                &format!("rtmp://{sink}/live/{call}"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ffmpeg is installed by tests/run");
        children.push(child);
    }
    sleep(Duration::from_millis(1_000 + 60 * u64::from(calls)));
    Taker {
        children,
        sip: None,
        folder: Some(folder),
    }
}

fn new_folder(name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("trunkcast-bench-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

fn print_machine() {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let date = Command::new("date")
        .arg("+%F")
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default();
    println!(
        "{}, {} x {}, Linux {}: calls of 720p30 H.264 at 2 Mbit/s with A-law, 277 packets/s each\n",
        String::from_utf8_lossy(&date).trim(),
        std::thread::available_parallelism().map_or(1, |count| count.get()),
        model.trim_start_matches([':', ' ', '\t']),
        kernel.trim()
    );
}

fn print_head() {
    println!(
        "| calls | relay | CPU ms per stream-second | delay p50 ms | delay p99 ms | system calls per \
         packet | KiB per call | idle KiB | first keyframe p50 / max ms | INVITE to 200 p50 / p99 ms \
         | lost of sent | latest sending ms |"
    );
    println!("|{}", " --- |".repeat(12));
}

impl Figures {
    fn print(&self) {
        let ms = |micros: f64| micros / 1_000.0;
        println!(
            "| {} | {} | {:.2} | {:.2} | {:.2} | {} | {:.0} | {} | {:.1} / {:.1} | {:.2} / {:.2} | \
             {} of {} | {:.1} |",
            self.calls,
            self.relay.name(),
            self.cpu,
            ms(self.delay_p50),
            ms(self.delay_p99),
            self.system_calls
                .map_or("?".to_owned(), |rate| format!("{rate:.2}")),
            self.memory,
            self.idle,
            ms(self.start_p50),
            ms(self.start_max),
            ms(self.setup_p50),
            ms(self.setup_p99),
            self.lost,
            self.sent,
            ms(self.late),
        );
    }
}

/// CPU against the cheaper form of the bare loop and against ffmpeg, and what was aimed at.
fn print_ratios(figures: &[Figures]) {
    println!("\n| calls | CPU against the bare loop | CPU against ffmpeg | aims |");
    println!("| --- | --- | --- | --- |");
    for run in figures.iter().filter(|run| run.relay == Relay::Gateway) {
        let of = |wanted: &dyn Fn(Relay) -> bool| {
            let others = figures
                .iter()
                .filter(|other| other.calls == run.calls && wanted(other.relay));
            others.map(|other| other.cpu).reduce(f64::min)
        };
        let bare = of(&|relay| matches!(relay, Relay::BareOnce | Relay::BareDrain));
        let ffmpeg = of(&|relay| relay == Relay::Ffmpeg);
        let ratio = |other: Option<f64>| other.map(|other| run.cpu / other);
        let shown =
            |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        let mut aims = Vec::new();
        let mut aim = |name: &str, met: Option<bool>| {
            if let Some(met) = met {
                aims.push(format!("{name} {}", if met { "met" } else { "missed" }));
            }
        };
        match run.calls {
            1 => aim(
                "at most 1.5 of the bare loop",
                ratio(bare).map(|ratio| ratio <= 1.5),
            ),
            50 => {
                aim(
                    "at most 0.7 of the bare loop",
                    ratio(bare).map(|ratio| ratio <= 0.7),
                );
                aim(
                    "at most 0.75 system calls",
                    run.system_calls.map(|rate| rate <= 0.75),
                );
                aim("p99 at most 1.5 ms", Some(run.delay_p99 <= 1_500.0));
            }
            400 => aim("nothing lost", Some(run.lost <= 0.0)),
            _ => {}
        }
        aim("at most 64 KiB a call", Some(run.memory <= 64.0));
        aim(
            "at most 8 MiB idle",
            (run.calls == 1).then_some(run.idle <= 8_192),
        );
        aim("200 within 5 ms", Some(run.setup_p99 <= 5_000.0));
        println!(
            "| {} | {} | {} | {} |",
            run.calls,
            shown(ratio(bare)),
            shown(ratio(ffmpeg)),
            aims.join("; ")
        );
    }
}
