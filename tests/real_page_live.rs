//! Live picture and sound of real callers in a real browser, by the page's own player.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use support::baresip::{Baresip, Plan};
use support::daemon::Settings;
use support::program::run;
use support::sipp::Scenario;
use support::{Daemon, Ports, Program, Scratch};

const PATIENCE: Duration = Duration::from_secs(40);

fn daemon(ports: &mut Ports) -> Daemon {
    let settings = Settings {
        page: Some(String::new()),
        ..Settings::default()
    };
    Daemon::start(ports, settings)
}

fn seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_secs_f64()
}

/// Somebody who watches the daemon's first call for so many seconds and then its end.
struct Watcher(Program);

impl Watcher {
    fn of(daemon: &Daemon, seconds: u32, folder: &Scratch) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = Program::start(
            Command::new("node")
                .arg(root.join("tests/page/live.js"))
                .arg(format!("http://{}", daemon.page()))
                .args(["1", &seconds.to_string()])
                .arg(folder.path())
                .env("NODE_PATH", root.join("target/peers/page/node_modules")),
        );
        Self(program)
    }

    /// What was seen, and what was seen at the end.
    fn seen(mut self) -> (Value, Value) {
        let text = self.0.succeed(PATIENCE);
        let mut lines = text.lines().filter(|line| line.starts_with('{'));
        let mut next = || serde_json::from_str(lines.next().expect("a line")).expect("JSON");
        (next(), next())
    }
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// What holds of every call of picture and sound: `began` is when its media did.
fn check(seen: &Value, began: f64, size: [u64; 2]) {
    eprintln!("{seen}");
    let measured = &seen["measured"];
    assert_eq!(seen["faults"], Value::Array(Vec::new()));
    assert_eq!(seen["first"], "playing");
    assert_eq!(measured["error"], Value::Null);
    assert_eq!(measured["size"], serde_json::json!(size));
    let (span, moved) = (number(&measured["span"]), number(&measured["moved"]));
    assert!((moved / span - 1.0).abs() < 0.15, "{moved} s in {span} s");
    assert_eq!(measured["jumps"], 0);
    let lag = number(&measured["wall"]) / 1_000.0 - began - number(&measured["at"]);
    eprintln!("lag {lag:.2} s");
    assert!((0.2..3.0).contains(&lag), "{lag} s behind");
    // The clip beeps for a moment each second.
    let loud = number(&measured["loud"]);
    assert!(loud > span / 2.0, "{loud} times loud");
}

/// What ffmpeg makes of the pieces of a track, joined: how many frames it decodes. A fault in them
/// fails the test.
fn decode(folder: &Scratch, track: &str) -> usize {
    let file = folder.join(track);
    let name = file.to_str().expect("a plain path");
    run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-xerror", "-i", name])
        .args(["-f", "null", "-"]));
    let counted = run(Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-of", "csv=p=0"])
        .args(["-show_entries", "stream=nb_read_frames", name]));
    counted.trim().trim_matches(',').parse().expect("a number")
}

fn watch_baresip(audio: &str, video: &str, folder: &Scratch) -> (Value, Value, f64) {
    let mut ports = Ports::claim();
    let daemon = daemon(&mut ports);
    let plan = Plan {
        audio,
        video,
        seconds: 22,
        ..Plan::default()
    };
    let baresip = Baresip::start(&mut ports, daemon.sip(), "1001", &plan);
    let established = daemon
        .log()
        .wait_for("ESTABLISHED", Duration::from_secs(10));
    assert!(established.contains("ESTABLISHED"));
    let began = seconds();
    let (seen, end) = Watcher::of(&daemon, 6, folder).seen();
    baresip.finish(Duration::from_secs(20));
    daemon.check_calm();
    (seen, end, began)
}

#[test]
fn h264_and_a_law_are_seen_and_heard() {
    let folder = Scratch::new("live");
    let (seen, end, began) = watch_baresip("PCMA", "H264", &folder);
    assert!(decode(&folder, "video") > 200);
    check(&seen, began, [640, 360]);
    assert_eq!(seen["measured"]["speaker"], "GainNode");
    assert_eq!(end["last"][0], "ended");
}

#[test]
fn vp8_and_opus_are_seen_and_heard() {
    let folder = Scratch::new("live");
    let (seen, end, began) = watch_baresip("opus/48000/2", "VP8", &folder);
    assert!(decode(&folder, "video") > 200);
    assert!(decode(&folder, "audio") > 300);
    check(&seen, began, [640, 360]);
    assert_eq!(seen["measured"]["speaker"], "HTMLAudioElement");
    assert_eq!(end["last"][0], "ended");
}

#[test]
fn the_calls_of_sipp_are_seen_and_heard() {
    let mut ports = Ports::claim();
    let daemon = daemon(&mut ports);
    let mut caller = Scenario::new("call", "u1", daemon.sip(), "1001")
        .play(20, 96)
        .start(&mut ports);
    daemon
        .log()
        .wait_for("ESTABLISHED", Duration::from_secs(10));
    let began = seconds();
    let folder = Scratch::new("live");
    let (seen, end) = Watcher::of(&daemon, 3, &folder).seen();
    let decoded = decode(&folder, "video");
    assert!(decoded > 100, "{decoded} pictures");
    check(&seen, began, [640, 360]);
    assert_eq!(end["last"][0], "ended");
    caller.succeed();
}
