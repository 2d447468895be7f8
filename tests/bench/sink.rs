//! The receiving end: an RTMP server with just enough of it for publishers, which counts messages
//! and measures how long after its sending each frame came.

use std::collections::HashMap;
use std::io::{BufRead, ErrorKind, Read, Write, stdin};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::os::{Epoll, now, stay_on};
use crate::stamp::{STAMP_BYTES, Stamp};

/// What has come, from all connections.
#[derive(Default)]
struct Tally {
    sounds: u64,
    pictures: u64,
    repeated: u64,
    /// Delays of the pictures since the last report, in nanoseconds.
    delays: Vec<u64>,
    /// For each call, from its first packet to its first keyframe here.
    starts: Vec<u64>,
    /// Number of the next picture expected of each call.
    next: HashMap<u32, u32>,
}

/// Runs the sink for RTMP, or for the bare loop's packets. Each line on standard input is
/// answered with a report.
pub fn run(rtmp: bool) {
    stay_on(1);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    println!("ready {}", listener.local_addr().expect("it is bound"));
    let tally = Arc::new(Mutex::new(Tally::default()));
    let shared = Arc::clone(&tally);
    thread::spawn(move || {
        for _ in stdin().lock().lines() {
            shared.lock().expect("no one panics").report();
        }
        std::process::exit(0);
    });
    serve(&listener, rtmp, &tally);
}

fn serve(listener: &TcpListener, rtmp: bool, tally: &Mutex<Tally>) {
    let epoll = Epoll::new().expect("epoll is there");
    listener
        .set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    epoll
        .add(listener.as_raw_fd(), u64::MAX)
        .expect("epoll takes it");
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut ready = Vec::new();
    let mut buffer = vec![0; 262_144];
    loop {
        epoll.wait(&mut ready);
        for &token in &ready {
            if token == u64::MAX {
                while let Ok((stream, _)) = listener.accept() {
                    stream
                        .set_nonblocking(true)
                        .expect("a socket can be made non-blocking");
                    stream.set_nodelay(true).expect("an option of every TCP");
                    epoll
                        .add(stream.as_raw_fd(), connections.len() as u64)
                        .expect("epoll takes it");
                    connections.push(Some(Connection::new(stream, rtmp)));
                }
                continue;
            }
            let Some(slot) = connections.get_mut(token as usize) else {
                continue;
            };
            let Some(connection) = slot else { continue };
            match connection.stream.read(&mut buffer) {
                Ok(0) => *slot = None,
                Ok(length) => {
                    let time = now();
                    let mut tally = tally.lock().expect("no one panics");
                    connection.take(&buffer[..length], time, &mut tally);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => *slot = None,
            }
        }
    }
}

impl Tally {
    fn picture(&mut self, stamp: Stamp, time: u64) {
        self.pictures += 1;
        self.delays.push(time.saturating_sub(stamp.last));
        if stamp.frame == 0 {
            self.starts.push(time.saturating_sub(stamp.first));
        }
        let next = self.next.entry(stamp.call).or_default();
        self.repeated += u64::from(stamp.frame < *next);
        *next = (*next).max(stamp.frame + 1);
    }

    fn report(&mut self) {
        let of = |list: &mut Vec<u64>, hundredth: usize| {
            list.sort_unstable();
            list.get((list.len() * hundredth / 100).min(list.len().wrapping_sub(1)))
                .copied()
                .unwrap_or(0)
                / 1_000
        };
        let mut delays = std::mem::take(&mut self.delays);
        println!(
            "came sounds={} pictures={} repeated={} p50_us={} p99_us={} max_us={} start_p50_us={} \
             start_max_us={}",
            self.sounds,
            self.pictures,
            self.repeated,
            of(&mut delays, 50),
            of(&mut delays, 99),
            of(&mut delays, 100),
            of(&mut self.starts, 50),
            of(&mut self.starts, 100),
        );
    }
}

/// A chunk stream of an RTMP connection.
#[derive(Default)]
struct ChunkStream {
    long_time: bool,
    length: usize,
    kind: u8,
    message: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    rtmp: bool,
    /// Bytes of the handshake still to come.
    handshake: usize,
    greeted: bool,
    pending: Vec<u8>,
    chunk_size: usize,
    streams: HashMap<u8, ChunkStream>,
}

impl Connection {
    fn new(stream: TcpStream, rtmp: bool) -> Self {
        Self {
            stream,
            rtmp,
            handshake: if rtmp { 1 + 2 * 1_536 } else { 0 },
            greeted: false,
            pending: Vec::new(),
            chunk_size: 128,
            streams: HashMap::new(),
        }
    }

    fn take(&mut self, bytes: &[u8], time: u64, tally: &mut Tally) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(length) = if self.rtmp {
            self.take_rtmp(&pending[used..], time, tally)
        } else {
            take_bare(&pending[used..], time, tally)
        } {
            used += length;
        }
        pending.drain(..used);
        self.pending = pending;
    }

    /// Takes one piece of what came, if it is there whole, and returns its length.
    fn take_rtmp(&mut self, bytes: &[u8], time: u64, tally: &mut Tally) -> Option<usize> {
        if self.handshake > 0 {
            return self.take_handshake(bytes);
        }
        let first = *bytes.first()?;
        assert!(first & 0x3f > 1, "a chunk stream number above 63");
        let stream = self.streams.entry(first & 0x3f).or_default();
        let format = first >> 6;
        let mut at = 1 + [11, 7, 3, 0][usize::from(format)];
        let header = bytes.get(1..at)?;
        if format < 3 {
            stream.long_time = header[..3] == [0xff; 3];
        }
        if format < 2 {
            stream.length = header[3..6]
                .iter()
                .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
            stream.kind = header[6];
        }
        at += if stream.long_time { 4 } else { 0 };
        let size = (stream.length - stream.message.len()).min(self.chunk_size);
        stream.message.extend_from_slice(bytes.get(at..at + size)?);
        if stream.message.len() == stream.length {
            let kind = stream.kind;
            let mut message = std::mem::take(&mut stream.message);
            self.message(kind, &message, time, tally);
            message.clear();
            if let Some(stream) = self.streams.get_mut(&(first & 0x3f)) {
                stream.message = message;
            }
        }
        Some(at + size)
    }

    fn take_handshake(&mut self, bytes: &[u8]) -> Option<usize> {
        if !self.greeted && bytes.len() + 2 * 1_536 + 1 - self.handshake > 1_536 {
            let mut answer = vec![3];
            answer.extend_from_slice(&[0; 1_536]);
            answer.extend_from_slice(bytes.get(1..1_537)?);
            self.send(&answer);
            self.greeted = true;
        }
        if !self.greeted || bytes.is_empty() {
            return None;
        }
        let length = bytes.len().min(self.handshake);
        self.handshake -= length;
        Some(length)
    }

    fn message(&mut self, kind: u8, body: &[u8], time: u64, tally: &mut Tally) {
        match (kind, body) {
            (1, [a, b, c, d, ..]) => {
                self.chunk_size = u32::from_be_bytes([*a, *b, *c, *d]) as usize
            }
            (8, [_, sound @ ..]) if Stamp::read(sound).is_some() => tally.sounds += 1,
            (9, [_, 1, ..]) => {
                let stamp = body
                    .len()
                    .checked_sub(STAMP_BYTES)
                    .and_then(|at| body.get(at..));
                if let Some(stamp) = stamp.and_then(Stamp::read) {
                    tally.picture(stamp, time);
                }
            }
            (20, body) => self.command(body),
            _ => {}
        }
    }

    fn command(&mut self, body: &[u8]) {
        let Some([2, 0, length, rest @ ..]) = body.get(..3).map(|_| body) else {
            return;
        };
        let (name, rest) = rest.split_at(usize::from(*length));
        let transaction = rest.get(..9).unwrap_or(&[0; 9]).to_vec();
        let mut answer = Vec::new();
        let text = |value: &str| [&[2, 0, value.len() as u8], value.as_bytes()].concat();
        let key = |value: &str| [&[0, value.len() as u8], value.as_bytes()].concat();
        match name {
            b"connect" => {
                self.send(&[2, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0x10, 0, 0, 0]);
                self.send(&[2, 0, 0, 0, 0, 0, 5, 6, 0, 0, 0, 0, 0x10, 0, 0, 0, 2]);
                answer.extend(text("_result"));
                answer.extend(&transaction);
                answer.push(3);
                answer.extend(key("fmsVer"));
                answer.extend(text("FMS/3,0,1,123"));
                answer.extend([0, 0, 9, 3]);
                answer.extend(key("level"));
                answer.extend(text("status"));
                answer.extend(key("code"));
                answer.extend(text("NetConnection.Connect.Success"));
                answer.extend([0, 0, 9]);
            }
            b"createStream" => {
                answer.extend(text("_result"));
                answer.extend(&transaction);
                answer.extend([5, 0]);
                answer.extend(1.0_f64.to_be_bytes());
            }
            b"publish" => {
                answer.extend(text("onStatus"));
                answer.extend([0; 9]);
                answer.extend([5, 3]);
                answer.extend(key("level"));
                answer.extend(text("status"));
                answer.extend(key("code"));
                answer.extend(text("NetStream.Publish.Start"));
                answer.extend([0, 0, 9]);
            }
            _ => return,
        }
        let length = answer.len() as u16;
        let stream = u8::from(name == b"publish");
        let mut message = vec![3, 0, 0, 0, 0];
        message.extend(length.to_be_bytes());
        message.extend([20, stream, 0, 0, 0]);
        // The chunk size of our direction stays at 128.
        for (number, chunk) in answer.chunks(128).enumerate() {
            if number > 0 {
                message.push(0xc3);
            }
            message.extend_from_slice(chunk);
        }
        self.send(&message);
    }

    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }
}

/// Takes one packet of the bare loop, if it is there whole, and returns its length.
fn take_bare(bytes: &[u8], time: u64, tally: &mut Tally) -> Option<usize> {
    let length = usize::from(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]));
    let packet = bytes.get(2..2 + length)?;
    if packet[1] & 0x7f == 8 {
        tally.sounds += 1;
    } else if packet[1] & 0x80 != 0
        && let Some(stamp) = Stamp::read(&packet[length - STAMP_BYTES..])
    {
        tally.picture(stamp, time);
    }
    Some(2 + length)
}
