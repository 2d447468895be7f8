//! Abuse of the REST interface while a call runs: slow clients by the thousand, requests that mean two
//! things, no descriptor left. The stream loses nothing and is never late, memory stays flat, and the
//! next request is answered at once.

mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use support::daemon::Settings;
use support::flv::Flv;
use support::phone::Play;
use support::relay::Relay;
use support::{Clip, Daemon, Nginx, Phone, Ports, Rest, probe};

/// Seconds that the call plays.
const PLAYED: u32 = 12;

/// Sound comes every 20 ms; a listener with a usual buffer hears nothing of a pause up to this.
const LATE: Duration = Duration::from_millis(200);

/// By when REST answers when it is over.
const AT_ONCE: Duration = Duration::from_millis(500);

/// What the process may grow by: the buffers of as many connections as there may be.
const GROWTH_KIB: u64 = 2_048;

/// Resident KiB of a process.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse().ok()).expect("a number")
}

fn descriptors(process: u32) -> usize {
    let folder = fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    folder.count()
}

/// Sets the limit of open descriptors of a running process.
fn limit_descriptors(process: u32, limit: usize) {
    let status = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &format!("--nofile={limit}:")])
        .status()
        .expect("prlimit runs");
    assert!(status.success());
}

/// The value of a metric without labels.
fn metric(rest: SocketAddr, name: &str) -> f64 {
    let (status, body) = Rest::connect(rest).ask("GET", "/metrics", "", "");
    assert_eq!(status, 200);
    let text = String::from_utf8(body).expect("text");
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
    let value = values.find_map(|value| value.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("no {name}"))
        .parse()
        .expect("a number")
}

/// Runs `abuse` for some seconds beside a call that is published, then looks at what became of the
/// stream, of the memory and of the interface.
fn while_a_call_runs(abuse: impl FnOnce(&Daemon, Instant)) {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let relay = Relay::start(ports.address(), nginx.address());
    let settings = Settings {
        url: Some(format!("rtmp://{}/live", relay.address())),
        ..Settings::default()
    };
    let gateway = Daemon::start(&mut ports, settings);
    let clip = Arc::new(Clip::load());
    let rounds = PLAYED * 25 / clip.pictures.len() as u32;
    let mut phone = Phone::dial(&mut ports, gateway.sip(), "4711");
    let player = Arc::clone(&clip);
    let playing = thread::spawn(move || {
        let play = Play {
            rounds,
            ..Play::default()
        };
        phone.play(&player, &play);
        phone
    });
    // What a first answer costs once is not growth.
    assert_eq!(
        Rest::connect(gateway.rest())
            .ask("GET", "/metrics", "", "")
            .0,
        200
    );
    let deadline = Instant::now() + Duration::from_secs(5);
    while relay.longest_pause().1 < 50 {
        assert!(Instant::now() < deadline, "no media at the server");
        sleep(Duration::from_millis(20));
    }
    let process = gateway.log().id();
    let before = resident(process);
    let start = Instant::now();
    abuse(&gateway, start);
    let asked = Instant::now();
    let mut client = Rest::connect(gateway.rest());
    let (status, body) = client.post("/rest-api/call/find_all", &serde_json::json!({}));
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    assert!(asked.elapsed() < AT_ONCE, "it took {:?}", asked.elapsed());
    let after = resident(process);
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "too slow to mean anything"
    );

    let phone = playing.join().expect("the phone does not panic");
    let (pause, pauses) = relay.longest_pause();
    println!("{pauses} reads, longest pause {pause:?}; {before} to {after} KiB");
    assert!(pause < LATE, "the server waited {pause:?} for media");
    assert!(
        after <= before + GROWTH_KIB,
        "{before} KiB grew to {after} KiB"
    );
    let mark = gateway.log().mark();
    phone.hang_up();
    gateway.wait_after(mark, "ended after", 3);
    let flv = Flv::read(&nginx.recording("rtmp_4711"));
    flv.check_order();
    let slices = clip.slices();
    let played: Vec<_> = (0..rounds).flat_map(|_| slices.clone()).collect();
    probe::compare_pictures(&played, &flv.slices());
    probe::check_sound(&clip.audio.repeat(rounds as usize), &flv.sound());
    for track in ["audio", "video"] {
        let name = format!("trunkcast_media_lost_total{{track=\"{track}\"}}");
        assert_eq!(metric(gateway.rest(), &name), 0.0);
    }
    for defect in ["http_crashed", "calls_crashed", "inputs_crashed"] {
        assert_eq!(
            metric(gateway.rest(), &format!("trunkcast_{defect}_total")),
            0.0
        );
    }
    gateway.check_calm();
}

#[test]
fn a_thousand_slow_clients() {
    while_a_call_runs(|gateway, start| {
        let mut slow = Vec::new();
        for at in 0..1_000 {
            let Ok(mut client) = Rest::try_connect(gateway.rest()) else {
                continue;
            };
            let bytes: &[u8] = match at % 4 {
                0 => b"",
                1 => b"P",
                2 => b"POST /rest-api/call/find HTTP/1.1\r\nX: ",
                _ => b"POST /rest-api/call/find HTTP/1.1\r\nHost: a\r\nContent-Length: 16384\r\n\r\n{",
            };
            let _ = client.send(bytes);
            slow.push(client);
        }
        assert!(slow.len() > 900, "{} connections", slow.len());
        while start.elapsed() < Duration::from_secs(4) {
            // Each byte would move a deadline that a byte moves.
            for client in &mut slow {
                let _ = client.send(b"a");
            }
            let asked = Instant::now();
            let answer = Rest::connect(gateway.rest()).ask("GET", "/healthz", "", "");
            assert_eq!(answer.0, 200);
            assert!(asked.elapsed() < AT_ONCE, "it took {:?}", asked.elapsed());
            sleep(Duration::from_millis(100));
        }
        // Those that are known hold their places for a time, and no more than those.
        assert!(metric(gateway.rest(), "trunkcast_used_clients") <= 16.0);
        assert!(metric(gateway.rest(), "trunkcast_http_evicted_total") > 500.0);
    });
}

#[test]
fn requests_that_mean_two_things() {
    const HIDDEN: &str =
        "POST /rest-api/call/terminate HTTP/1.1\r\nHost: box\r\nContent-Length: 2\r\n\r\n{}";
    let length = HIDDEN.len();
    let cases: Vec<(String, &[&str])> = [
        (
            "Content-Length: 0\r\nContent-Length: 4".to_owned(),
            &["400"][..],
        ),
        (
            format!("Content-Length: {length}\r\nContent-Length: 0"),
            &["400"],
        ),
        (format!("Content-Length: 0, {length}"), &["400"]),
        ("Content-Length: -1".to_owned(), &["400"]),
        ("Content-Length: +0".to_owned(), &["400"]),
        ("Content-Length: 0x10".to_owned(), &["400"]),
        (
            "Content-Length: 18446744073709551616".to_owned(),
            &["400", "413"],
        ),
        ("Content-Length: ".to_owned(), &["400"]),
        ("Content-Length : 0".to_owned(), &["400"]),
        ("Content-Length: 0\r\n 5".to_owned(), &["400"]),
        ("X: a\r\n\tContent-Length: 0".to_owned(), &["400"]),
        ("X: a\nContent-Length: 0".to_owned(), &["400"]),
        ("Transfer-Encoding: chunked".to_owned(), &["501"]),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 0".to_owned(),
            &["400"],
        ),
        (
            "Content-Length: 0\r\nTransfer-Encoding: identity".to_owned(),
            &["400"],
        ),
        ("Transfer-Encoding:\x0bchunked".to_owned(), &["400", "501"]),
        ("Transfer-Encoding: xchunked".to_owned(), &["501"]),
        ("Transfer-Encoding : chunked".to_owned(), &["400"]),
        ("Transfer-encoding: gzip, chunked".to_owned(), &["501"]),
        ("Host: other".to_owned(), &["400"]),
        ("X: a\rY: b".to_owned(), &["400"]),
        ("X: \0".to_owned(), &["400"]),
    ]
    .to_vec();
    while_a_call_runs(|gateway, start| {
        let mut asked = 0;
        while start.elapsed() < Duration::from_secs(3) {
            for (fields, codes) in &cases {
                let mut client = Rest::connect(gateway.rest());
                let request =
                    format!("POST /healthz HTTP/1.1\r\nHost: box\r\n{fields}\r\n\r\n{HIDDEN}");
                let _ = client.send(request.as_bytes());
                let (answer, _) = client.rest();
                let text = String::from_utf8_lossy(&answer);
                let code = text.get(9..12).unwrap_or_default();
                assert!(codes.contains(&code), "{fields:?}: {text}");
                assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{fields:?}: {text}");
                asked += 1;
            }
        }
        assert!(asked > 100, "{asked}");
        assert!(metric(gateway.rest(), "trunkcast_http_malformed_total") >= f64::from(asked));
    });
}

#[test]
fn no_descriptor_left() {
    while_a_call_runs(|gateway, start| {
        let process = gateway.log().id();
        limit_descriptors(process, descriptors(process) + 4);
        let done = Arc::new(AtomicBool::new(false));
        let targets = [gateway.rest(), gateway.sip(), gateway.rtmp()];
        let floods = targets.map(|target| {
            let done = Arc::clone(&done);
            thread::spawn(move || {
                let mut open = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    if let Ok(mut client) = TcpStream::connect(target) {
                        let _ = client.write_all(b"POST / HTTP/1.1\r\n");
                        open.push(client);
                    }
                    // So many that some are always there.
                    if open.len() > 200 {
                        open.drain(..100);
                    }
                    sleep(Duration::from_millis(1));
                }
            })
        });
        sleep(Duration::from_secs(4).saturating_sub(start.elapsed()));
        done.store(true, Ordering::Relaxed);
        for flood in floods {
            flood.join().expect("it does not panic");
        }
        // Those that still wait at the listeners are gone with their clients.
        sleep(Duration::from_millis(50));
        assert!(metric(gateway.rest(), "trunkcast_socket_streams_full_total") > 20.0);
    });
}

#[test]
fn who_waits_where_no_descriptor_is_left_is_closed_at_once() {
    let mut ports = Ports::claim();
    let gateway = Daemon::start(&mut ports, Settings::default());
    let process = gateway.log().id();
    limit_descriptors(process, descriptors(process));
    // What was open for a moment when they were counted is taken.
    let connect = |_| TcpStream::connect(gateway.rest()).expect("the kernel takes it");
    let taken: Vec<_> = (0..4).map(connect).collect();
    sleep(Duration::from_millis(100));
    for _ in 0..50 {
        let asked = Instant::now();
        let mut client = TcpStream::connect(gateway.rest()).expect("the kernel takes it");
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
        let end = client.read(&mut [0; 16]);
        let reset = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        assert!(
            matches!(&end, Ok(0)) || end.as_ref().is_err_and(reset),
            "{end:?}"
        );
        assert!(asked.elapsed() < AT_ONCE, "it took {:?}", asked.elapsed());
    }
    drop(taken);
    limit_descriptors(process, 1_024);
    assert_eq!(
        Rest::connect(gateway.rest())
            .ask("GET", "/healthz", "", "")
            .0,
        200
    );
    gateway.check_calm();
}
