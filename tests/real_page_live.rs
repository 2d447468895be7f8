//! Live picture and sound of real callers in a real browser, by the page's own player.

mod support;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use argon2::{Algorithm, Argon2, Params, Version};
use serde_json::Value;
use support::baresip::{Baresip, Plan};
use support::daemon::Settings;
use support::flv::Flv;
use support::program::run;
use support::sipp::Scenario;
use support::{Clip, Daemon, Phone, Ports, Program, Rest, Scratch, Usage, probe};
use trunkcast::wire::http_auth::to_base64;

const PATIENCE: Duration = Duration::from_secs(40);

/// The password of every page here.
const PASSWORD: &str = "a password of tests";

/// The hash of the password that takes least to compute.
fn password_hash() -> String {
    let params = Params::new(64, 1, 1, Some(32)).expect("parameters");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let (salt, mut hash) = ([7; 16], [0; 32]);
    argon2
        .hash_password_into(PASSWORD.as_bytes(), &salt, &mut hash)
        .expect("a hash");
    let [salt, hash] = [&salt[..], &hash[..]].map(to_base64);
    let [salt, hash] = [&salt, &hash].map(|text| text.trim_end_matches('='));
    format!("$argon2id$v=19$m=64,t=1,p=1${salt}${hash}")
}

fn daemon(ports: &mut Ports) -> Daemon {
    let settings = Settings {
        page: Some(format!(", passwordHash: \"{}\"", password_hash())),
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
                .arg(PASSWORD)
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
    let caller = Scenario::new("call", "u1", daemon.sip(), "1001")
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

/// The value of a header field.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Signs in; the header field by which the owner is known.
fn sign_in(page: SocketAddr) -> String {
    let body = format!("{{\"password\":\"{PASSWORD}\"}}");
    let fields = "X-Trunkcast: 1\r\n";
    let (head, _) = Rest::connect(page).ask_whole("POST", "/page/login", fields, &body);
    let cookie = field(&head, "Set-Cookie").unwrap_or_else(|| panic!("no cookie: {head}"));
    let cookie = cookie.split(';').next().unwrap_or_default();
    format!("Cookie: {cookie}\r\n")
}

/// What a page without a browser was given.
#[derive(Debug, Default)]
struct Shown {
    bytes: usize,
    polls: usize,
    /// How often the picture began.
    begun: usize,
    /// The slowest answer.
    slowest: Duration,
}

/// Asks as a page does, from an address of its own, until it is told to stop.
fn show(page: SocketAddr, number: u8, cookie: &str, stop: &AtomicBool) -> Shown {
    let mut rest = Rest::connect_from(IpAddr::from([127, 0, 1, number]), page);
    let mut shown = Shown::default();
    let mut places = String::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let path = format!("/page/live?call=1{places}");
        let (head, body) = rest.ask_whole("GET", &path, cookie, "");
        shown.slowest = shown.slowest.max(began.elapsed());
        let told = field(&head, "X-Live").unwrap_or_else(|| panic!("{head}"));
        let told: Value = serde_json::from_str(told).expect("JSON");
        shown.bytes += body.len();
        shown.polls += 1;
        shown.begun += usize::from(told["video"]["anew"] == true);
        places.clear();
        for track in ["video", "audio"] {
            if let Some(next) = told[track]["next"].as_str() {
                places += &format!("&{track}={next}");
            }
        }
        sleep(Duration::from_millis(400).saturating_sub(began.elapsed()));
    }
    shown
}

#[test]
fn a_call_loses_nothing_while_twenty_pages_show_it() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("pages");
    let file = folder.join("player.flv");
    let clip = Arc::new(Clip::load());
    let daemon = daemon(&mut ports);
    let cookie = sign_in(daemon.page());
    let url = daemon.play_url("1001");
    let playing = Phone::dial(&mut ports, daemon.sip(), "1001").play_in_background(&clip);
    daemon.wait_after(0, "ESTABLISHED", 3);
    let mut player = probe::view(&url, &file, Some(12));
    let process = daemon.log().id();
    sleep(Duration::from_secs(2));
    let before = Usage::ticks(process);
    sleep(Duration::from_secs(3));
    let alone = Usage::ticks(process) - before;
    let stop = AtomicBool::new(false);
    let shown: Vec<Shown> = std::thread::scope(|scope| {
        let pages = (1..=20).map(|number| {
            let (page, cookie, stop) = (daemon.page(), &cookie, &stop);
            scope.spawn(move || show(page, number, cookie, stop))
        });
        let pages: Vec<_> = pages.collect();
        sleep(Duration::from_secs(2));
        let before = Usage::ticks(process);
        sleep(Duration::from_secs(3));
        let together = Usage::ticks(process) - before;
        eprintln!("ticks in three seconds: {alone} alone, {together} with twenty pages");
        stop.store(true, Ordering::Relaxed);
        let pages = pages.into_iter();
        pages.map(|page| page.join().expect("a page")).collect()
    });
    player.succeed(Duration::from_secs(20));
    let (phone, report) = playing.stop();
    assert!(!report.ended_by_gateway);
    phone.hang_up();
    let ended = daemon.log().wait_for("ended after", Duration::from_secs(5));
    let line = ended.lines().find(|line| line.contains("ended after"));
    let line = line.expect("the line");
    eprintln!("{line}");
    assert_eq!(line.matches(" 0 packets lost").count(), 2, "{line}");
    probe::decode_strictly(&file);
    let flv = Flv::read(&file);
    flv.check_order();
    assert!(probe::check_contiguous(&clip, &flv.slices()) > 200);
    for page in &shown {
        assert_eq!(page.begun, 1, "{page:?}");
        assert!(page.polls >= 10 && page.bytes > 100_000, "{page:?}");
    }
    let slowest = shown.iter().map(|page| page.slowest).max();
    let bytes: usize = shown.iter().map(|page| page.bytes).sum();
    eprintln!("{bytes} bytes were shown, the slowest answer took {slowest:?}");
    assert!(slowest < Some(Duration::from_secs(1)));
    daemon.check_calm();
}
