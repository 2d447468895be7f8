//! A flood of SIP from strangers and from a caller that may call: the PBX does not notice.

mod support;

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use support::daemon::Settings;
use support::flv::Flv;
use support::phone::Play;
use support::raw_caller::RawCaller;
use support::{Clip, Daemon, Nginx, Phone, Ports, probe};

/// May not call.
const STRANGER: &str = "127.0.0.2";
/// May call, and is not the PBX.
const CALLER: &str = "127.0.0.3";
/// Datagrams a second of each of the two.
const RATE: u32 = 2_500;
/// From one burst to the next.
const TICK: Duration = Duration::from_millis(10);
/// Connections of each of the two that say nothing, or half a message.
const HALF_OPEN: usize = 100;
/// By when the PBX has its answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Junk of every kind, none of it a call: well-formed and not, long and short.
fn junk(from: SocketAddr, to: SocketAddr, number: u32) -> Vec<u8> {
    let request = |method: &str, body: &str| {
        format!(
            "{method} sip:{number}@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{number}@{from}>;tag={number}\r\nTo: <sip:{number}@{to}>\r\n\
             Call-ID: junk-{number}\r\nCSeq: 1 {method}\r\nContact: <sip:{number}@{from}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    match number % 10 {
        0 => request("REGISTER", ""),
        1 => request("OPTIONS", ""),
        2 => request(
            "INVITE",
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio 9 RTP/AVP 99\r\na=rtpmap:99 nonsense/8000\r\n",
        ),
        3 => request("BYE", ""),
        4 => request("INVITE", "no session description"),
        5 => request("OPTIONS", &"x".repeat(7_000)),
        6 => b"INVITE sip:1000 SIP/2.0\r\nVia: ;;;;\r\nFrom\r\n\r\n".to_vec(),
        7 => number.to_be_bytes().repeat(100),
        8 => b"\r\n\r\n".to_vec(),
        _ => b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\n\r\n".to_vec(),
    }
}

/// Sends junk in a thread of its own until told to stop; counts datagrams.
fn flood(
    from: SocketAddr,
    to: SocketAddr,
    stop: &Arc<AtomicBool>,
    sent: &Arc<AtomicU64>,
) -> JoinHandle<()> {
    let (stop, sent) = (Arc::clone(stop), Arc::clone(sent));
    thread::spawn(move || {
        let socket = UdpSocket::bind(from).expect("loopback has it");
        let start = Instant::now();
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            let due = (start.elapsed().as_millis() as u64 * u64::from(RATE) / 1_000) as u32;
            while number < due {
                let _ = socket.send_to(&junk(from, to, number), to);
                number += 1;
                sent.fetch_add(1, Ordering::Relaxed);
            }
            sleep(TICK);
        }
    })
}

/// A connection from an address, with as much of a message as is given.
fn half_open(from: &str, to: SocketAddr, bytes: &[u8]) -> Option<TcpStream> {
    use std::io::Write as _;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).ok()?;
    let from: SocketAddr = format!("{from}:0").parse().ok()?;
    socket.bind(&from.into()).ok()?;
    socket.connect(&to.into()).ok()?;
    let mut stream = TcpStream::from(socket);
    // A stranger's is closed already.
    let _ = stream.write_all(bytes);
    Some(stream)
}

/// Open descriptors and resident KiB of a process.
fn held(process: u32) -> (usize, u64) {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib = kib.and_then(|kib| kib.parse().ok());
    (descriptors.count(), kib.expect("a number"))
}

#[test]
fn the_pbx_is_answered_and_its_call_loses_nothing_under_five_thousand_packets_a_second() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::start(
        &mut ports,
        Settings {
            url: Some(nginx.url("live")),
            trunk: vec![format!("allow: [{CALLER}]")],
            ..Settings::default()
        },
    );
    let clip = Arc::new(Clip::load());
    let rounds = 12 * 25 / clip.pictures.len() as u32 + 1;
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

    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let floods = [STRANGER, CALLER].map(|from| {
        let from = SocketAddr::new(from.parse().expect("an address"), ports.pair());
        flood(from, gateway.sip(), &stop, &sent)
    });
    let start = Instant::now();
    let mut open = Vec::new();
    let mut slowest = Duration::ZERO;
    let mut pbx = RawCaller::new("127.0.0.1", &mut ports, gateway.sip(), 0);
    let calls = AtomicU32::new(0);
    let mut place = |until: Duration| {
        while start.elapsed() < until {
            pbx.call = calls.fetch_add(1, Ordering::Relaxed);
            let asked = Instant::now();
            pbx.send("INVITE", "", 1);
            let (status, _, tag) = pbx.status(&["INVITE"]);
            slowest = slowest.max(asked.elapsed());
            assert_eq!(status, 200);
            pbx.send("ACK", &tag, 1);
            pbx.send("BYE", &tag, 2);
            assert_eq!(pbx.status(&["BYE"]).0, 200);
            sleep(Duration::from_millis(100));
        }
    };
    place(Duration::from_secs(2));
    for (at, from) in [STRANGER, CALLER].repeat(HALF_OPEN).into_iter().enumerate() {
        let bytes: &[u8] = if at % 4 < 2 { b"" } else { b"INVITE sip:1000@" };
        open.extend(half_open(from, gateway.sip(), bytes));
    }
    place(Duration::from_secs(4));
    let (descriptors, memory) = held(gateway.log().id());
    place(Duration::from_secs(9));
    let (descriptors_after, memory_after) = held(gateway.log().id());
    let took = start.elapsed();
    stop.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.join().expect("it does not panic");
    }

    let calls = calls.load(Ordering::Relaxed);
    let rate = sent.load(Ordering::Relaxed) as f64 / took.as_secs_f64();
    println!(
        "{rate:.0} a second, {calls} calls, slowest {slowest:?}, {memory} to {memory_after} KiB"
    );
    assert!(rate > 4_500.0, "only {rate} a second");
    assert!(calls > 40, "only {calls} calls");
    assert!(slowest < PATIENCE, "an answer took {slowest:?}");
    assert!(open.len() >= HALF_OPEN, "{} connections", open.len());
    assert!(
        descriptors_after <= descriptors + 2,
        "{descriptors} descriptors grew to {descriptors_after}"
    );
    assert!(
        memory_after <= memory + 256,
        "{memory} KiB resident grew to {memory_after} KiB"
    );

    let phone = playing.join().expect("the phone does not panic");
    let mark = gateway.log().mark();
    phone.hang_up();
    gateway.wait_after(mark, "ended after", 3);
    let flv = Flv::read(&nginx.recording("rtmp_4711"));
    flv.check_order();
    let slices = clip.slices();
    let played: Vec<_> = (0..rounds).flat_map(|_| slices.clone()).collect();
    probe::compare_pictures(&played, &flv.slices());
    probe::check_sound(&clip.audio.repeat(rounds as usize), &flv.sound());

    for source in [STRANGER, CALLER] {
        let line = format!("sip abuse from {source} on trunk test: ");
        assert_eq!(gateway.log().text().matches(&line).count(), 1, "{line}");
    }
    gateway.log().signal("HUP");
    let counted = gateway
        .log()
        .wait_for("excess_refused", Duration::from_secs(3));
    assert!(counted.contains("transmits_dropped: 0"), "{counted}");
    let number = |name: &str| -> u64 {
        let rest = counted.split_once(name).map_or("", |(_, rest)| rest);
        let digits = rest.trim_start_matches(": ").split([',', ' ']).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    };
    // It all came, and next to nothing was looked at.
    assert!(number("source_refused") > 8 * u64::from(RATE), "{counted}");
    assert!(number("excess_refused") > 7 * u64::from(RATE), "{counted}");
    gateway.check_calm();
}
