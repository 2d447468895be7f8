//! The callers: N calls of 720p30 H.264 at 2 Mbit/s with A-law, 277 packets a second each.
//!
//! A keyframe of 41 packets every 60 pictures, 7 packets for each other picture, 1,100 bytes of
//! payload; every picture is sent in one burst, as phones do. The sound is offered `sendonly`, so
//! that nothing comes back but RTCP.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufRead, stdin};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::os::{now, stay_on};
use crate::stamp::{STAMP_BYTES, Stamp};

/// First port of the callers' media: sound, its RTCP, picture, its RTCP, and so on.
const CALLER_PORT: u16 = 22_000;
const PICTURE_NANOS: u64 = 1_000_000_000 / 30;
const SOUND_NANOS: u64 = 20_000_000;
const KEYFRAME_EVERY: u32 = 60;
const PAYLOAD: usize = 1_100;
const SPS: [u8; 25] = [
    0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x24, 0x80,
];
const PPS: [u8; 5] = [0x68, 0xcb, 0x83, 0xcb, 0x20];

struct Caller {
    number: u32,
    audio: UdpSocket,
    video: UdpSocket,
    /// Bound so that RTCP finds someone; never read.
    _rtcp: [UdpSocket; 2],
    to: [SocketAddr; 2],
    sequence: [u16; 2],
    frames: [u32; 2],
}

/// Runs the callers: `calls` towards the gateway's SIP address, or towards fixed ports from
/// `base` on when there is no SIP. Talks to its parent by lines.
pub fn run(calls: u32, sip: Option<SocketAddr>, base: u16) {
    stay_on(1);
    let mut callers: Vec<Caller> = (0..calls).map(|number| Caller::new(number, base)).collect();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    if let Some(gateway) = sip {
        let mut setups: Vec<u64> = callers
            .iter_mut()
            .map(|caller| caller.dial(&socket, gateway))
            .collect();
        setups.sort_unstable();
        let (p50, p99) = (setups[setups.len() / 2], setups[setups.len() * 99 / 100]);
        println!(
            "up setup_p50_us={} setup_p99_us={}",
            p50 / 1_000,
            p99 / 1_000
        );
    } else {
        println!("up setup_p50_us=0 setup_p99_us=0");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut lines = stdin().lock().lines();
    lines.next();
    let stopped = Arc::clone(&stop);
    let sender = thread::spawn(move || {
        let late = send_until(&mut callers, &stopped);
        (callers, late)
    });
    lines.next();
    stop.store(true, Ordering::Relaxed);
    let (callers, late) = sender.join().expect("the sender does not panic");
    let sum = |track: usize| {
        callers
            .iter()
            .map(|caller| u64::from(caller.frames[track]))
            .sum::<u64>()
    };
    println!(
        "sent sounds={} pictures={} late_us={}",
        sum(0),
        sum(1),
        late / 1_000
    );
    lines.next();
}

/// Sends until told to stop; returns by how many nanoseconds the latest frame was late.
fn send_until(callers: &mut [Caller], stop: &AtomicBool) -> u64 {
    let start = now() + 20_000_000;
    let mut due = BinaryHeap::new();
    for place in 0..callers.len() {
        // Calls begin anywhere within the two seconds between keyframes, so neither their pictures
        // nor their keyframes fall together.
        let turn = (place as f64 * 0.618_034).fract();
        let begin = start + (turn * f64::from(KEYFRAME_EVERY) * PICTURE_NANOS as f64) as u64;
        due.push(Reverse((begin, place, 1)));
        due.push(Reverse((begin, place, 0)));
    }
    let mut latest = 0;
    while let Some(Reverse((time, place, track))) = due.pop() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let before = now();
        if before < time {
            thread::sleep(Duration::from_nanos(time - before));
        } else {
            latest = latest.max(before - time);
        }
        let caller = &mut callers[place];
        let period = if track == 0 {
            caller.send_sound();
            SOUND_NANOS
        } else {
            caller.send_picture();
            PICTURE_NANOS
        };
        due.push(Reverse((time + period, place, track)));
    }
    latest
}

impl Caller {
    fn new(number: u32, base: u16) -> Self {
        let own = CALLER_PORT + 4 * number as u16;
        let bind = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
        let target = base + 4 * number as u16;
        let to = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            number,
            audio: bind(own),
            video: bind(own + 2),
            _rtcp: [bind(own + 1), bind(own + 3)],
            to: [to(target), to(target + 2)],
            sequence: [number as u16, number as u16],
            frames: [0; 2],
        }
    }

    /// Sets the call up and returns the nanoseconds from INVITE to 200.
    fn dial(&mut self, socket: &UdpSocket, gateway: SocketAddr) -> u64 {
        let own = CALLER_PORT + 4 * self.number as u16;
        let local = socket.local_addr().expect("the socket is bound");
        let offer = format!(
            "v=0\r\no=b 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {own} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=sendonly\r\n\
             m=video {} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
             a=fmtp:96 packetization-mode=1;profile-level-id=42c01f\r\na=sendonly\r\n",
            own + 2
        );
        let message = |method: &str, tag: &str, body: &str| {
            format!(
                "{method} sip:{n}@{gateway} SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {local};branch=z9hG4bK-{method}-{n};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:bench@{local}>;tag=b{n}\r\n\
                 To: <sip:{n}@{gateway}>{tag}\r\nCall-ID: bench-{n}-{pid}\r\nCSeq: 1 {method}\r\n\
                 Contact: <sip:bench@{local}>\r\nContent-Type: application/sdp\r\n\
                 Content-Length: {length}\r\n\r\n{body}",
                n = self.number,
                pid = std::process::id(),
                length = body.len(),
            )
        };
        let wanted = format!("bench-{}-{}", self.number, std::process::id());
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout is possible");
        let started = now();
        socket
            .send_to(message("INVITE", "", &offer).as_bytes(), gateway)
            .expect("loopback takes it");
        let mut buffer = [0; 4_096];
        let answer = loop {
            let length = socket
                .recv(&mut buffer)
                .expect("the gateway answers the INVITE");
            let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if answer.contains(&wanted) && !answer.starts_with("SIP/2.0 1") {
                break answer;
            }
        };
        let took = now() - started;
        assert!(
            answer.starts_with("SIP/2.0 200"),
            "call {}:\n{answer}",
            self.number
        );
        let to = answer
            .lines()
            .find_map(|line| line.strip_prefix("To:"))
            .expect("a 200 has To");
        let tag = to.split_once('>').map_or("", |(_, tag)| tag.trim());
        socket
            .send_to(message("ACK", tag, "").as_bytes(), gateway)
            .expect("loopback takes it");
        for (kind, to) in ["m=audio ", "m=video "].iter().zip(&mut self.to) {
            let line = answer.lines().find_map(|line| line.strip_prefix(kind));
            let port = line
                .and_then(|line| line.split(' ').next())
                .and_then(|port| port.parse().ok());
            to.set_port(
                port.filter(|&port| port != 0)
                    .expect("both tracks are accepted"),
            );
        }
        took
    }

    fn send_sound(&mut self) {
        let mut packet = self.header(0, 8, true, self.frames[0].wrapping_mul(160));
        packet.resize(12 + 160, 0xd5);
        let time = now();
        let frame = self.frames[0];
        Stamp {
            call: self.number,
            frame,
            last: time,
            first: time,
        }
        .write(&mut packet[12..]);
        let _ = self.audio.send_to(&packet, self.to[0]);
        self.frames[0] += 1;
    }

    fn send_picture(&mut self) {
        let frame = self.frames[1];
        let key = frame.is_multiple_of(KEYFRAME_EVERY);
        let timestamp = frame.wrapping_mul(3_000);
        // The second byte begins a slice header that names parameter set 0.
        let (slice, header, parts) = if key {
            (0x65, 0x88, 40)
        } else {
            (0x41, 0x9a, 7)
        };
        let first = now();
        if key {
            let mut packet = self.header(1, 96, false, timestamp);
            packet.push(0x78);
            for set in [&SPS[..], &PPS[..]] {
                packet.extend_from_slice(&(set.len() as u16).to_be_bytes());
                packet.extend_from_slice(set);
            }
            let _ = self.video.send_to(&packet, self.to[1]);
        }
        for part in 0..parts {
            let last = part + 1 == parts;
            let mut packet = self.header(1, 96, last, timestamp);
            let start = if part == 0 { 0x80 } else { 0 };
            let end = if last { 0x40 } else { 0 };
            packet.extend_from_slice(&[
                (slice & 0xe0) | 28,
                start | end | (slice & 0x1f),
                header,
                0x84,
            ]);
            packet.resize(12 + PAYLOAD, 0x5a);
            if last {
                let at = packet.len() - STAMP_BYTES;
                Stamp {
                    call: self.number,
                    frame,
                    last: now(),
                    first,
                }
                .write(&mut packet[at..]);
            }
            let _ = self.video.send_to(&packet, self.to[1]);
        }
        self.frames[1] += 1;
    }

    fn header(&mut self, track: usize, payload_type: u8, marker: bool, timestamp: u32) -> Vec<u8> {
        let mut packet = Vec::with_capacity(12 + PAYLOAD);
        packet.extend_from_slice(&[0x80, payload_type | if marker { 0x80 } else { 0 }]);
        packet.extend_from_slice(&self.sequence[track].to_be_bytes());
        packet.extend_from_slice(&timestamp.to_be_bytes());
        packet.extend_from_slice(&(0x0b00_0000 | self.number << 1 | track as u32).to_be_bytes());
        self.sequence[track] = self.sequence[track].wrapping_add(1);
        packet
    }
}
