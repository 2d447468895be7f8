//! A bad line: IP packets between two ends are lost, delayed and overtaken, as by `tc netem`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How bad it is, in either direction. SIP is spared: its retransmissions are another matter.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Packets lost of 10,000.
    pub lost: u32,
    /// Packets of 10,000 held back so long that others overtake them.
    pub overtaken: u32,
    /// Every packet waits this long at most, evenly spread; order is kept.
    pub jitter: Duration,
    /// How long an overtaken packet is held back.
    pub held: Duration,
    /// Port of SIP.
    pub spared_port: u16,
    /// Seed of the choices.
    pub seed: u64,
}

/// Counts of what the line did, both directions.
#[derive(Default)]
pub struct Counts {
    /// Packets passed on.
    pub passed: AtomicU32,
    /// Packets lost.
    pub lost: AtomicU32,
    /// Packets held back.
    pub held: AtomicU32,
}

/// A running line.
pub struct Impaired {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
}

impl Impaired {
    /// Takes packets at the two sockets `own` and gives them to the opposite one of `ends`.
    pub fn start(line: Line, own: [&PathBuf; 2], ends: [&PathBuf; 2]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Counts::default());
        let sockets = own.map(|path| UnixDatagram::bind(path).expect("a socket in a new folder"));
        let copies = [&sockets[1], &sockets[0]]
            .map(|socket| socket.try_clone().expect("a socket can be shared"));
        let ways = sockets.into_iter().zip(copies).zip([ends[1], ends[0]]);
        for (number, ((from, to), end)) in ways.enumerate() {
            let (stop, counts, end) = (Arc::clone(&stop), Arc::clone(&counts), end.clone());
            let seed = line.seed.wrapping_mul(2) + number as u64;
            thread::spawn(move || carry(line, seed, &from, &to, &end, &stop, &counts));
        }
        Self { stop, counts }
    }

    /// What the line did so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Drop for Impaired {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// One direction.
fn carry(
    line: Line,
    seed: u64,
    from: &UnixDatagram,
    to: &UnixDatagram,
    end: &Path,
    stop: &AtomicBool,
    counts: &Counts,
) {
    let mut random = seed;
    // SplitMix64.
    let mut below = |limit: u64| {
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    };
    let mut waiting: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>> = BinaryHeap::new();
    let mut newest = Instant::now();
    let mut number = 0;
    let mut buffer = [0; 4_096];
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        while let Some(Reverse((due, _, _))) = waiting.peek() {
            if *due > now {
                break;
            }
            if let Some(Reverse((_, _, packet))) = waiting.pop() {
                let _ = to.send_to(&packet, end);
                counts.passed.fetch_add(1, Ordering::Relaxed);
            }
        }
        let next = waiting.peek().map_or(Duration::from_millis(50), |first| {
            first.0.0.saturating_duration_since(now)
        });
        let _ = from.set_read_timeout(Some(
            next.clamp(Duration::from_micros(100), Duration::from_millis(50)),
        ));
        let Ok(length) = from.recv(&mut buffer) else {
            continue;
        };
        let packet = buffer[..length].to_vec();
        let mut due = Instant::now();
        if is_media(&packet, line.spared_port) {
            if below(10_000) < u64::from(line.lost) {
                counts.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let jitter = Duration::from_micros(below(line.jitter.as_micros() as u64));
            newest = newest.max(due + jitter);
            due = newest;
            if below(10_000) < u64::from(line.overtaken) {
                due += line.held;
                counts.held.fetch_add(1, Ordering::Relaxed);
            }
        }
        waiting.push(Reverse((due, number, packet)));
        number += 1;
    }
}

/// Whether an IP packet is IPv4 UDP with neither port the spared one.
fn is_media(packet: &[u8], spared: u16) -> bool {
    let [first, .., _] = packet else {
        return false;
    };
    let start = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || packet.get(9) != Some(&17) {
        return false;
    }
    let Some(ports) = packet.get(start..start + 4) else {
        return false;
    };
    ports.chunks(2).all(|port| port != spared.to_be_bytes())
}
