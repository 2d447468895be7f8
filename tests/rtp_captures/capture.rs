//! Captures of `tests/data/captures`, and their RTP read without the library.

use std::fs;
use std::path::Path;

/// A datagram of the caller.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Microseconds since the first one.
    pub micros: u64,
    pub is_video: bool,
    pub is_rtcp: bool,
    pub bytes: Vec<u8>,
}

/// What one caller offered and sent.
pub struct Capture {
    pub offer: String,
    pub datagrams: Vec<Datagram>,
}

/// An RTP packet.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Counted on over the wrap.
    pub sequence: i64,
    /// Ticks since the track's first packet.
    pub ticks: i64,
    pub marker: bool,
    pub payload: Vec<u8>,
}

impl Capture {
    pub fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures");
        let offer = fs::read_to_string(folder.join(format!("{name}.offer.sdp"))).unwrap();
        let bytes = fs::read(folder.join(format!("{name}.cap"))).unwrap();
        let mut rest = &bytes[..];
        let mut datagrams = Vec::new();
        while let Some((head, after)) = rest.split_at_checked(8) {
            let length = usize::from(u16::from_be_bytes([head[6], head[7]]));
            let (bytes, after) = after.split_at(length);
            datagrams.push(Datagram {
                micros: u32::from_be_bytes([head[0], head[1], head[2], head[3]]).into(),
                is_video: head[4] == 1,
                is_rtcp: head[5] == 1,
                bytes: bytes.to_vec(),
            });
            rest = after;
        }
        assert!(rest.is_empty(), "a torn datagram at the end of {name}");
        Self { offer, datagrams }
    }

    /// The port that the offer names for a track.
    pub fn port(&self, is_video: bool) -> u16 {
        let start = if is_video { "m=video " } else { "m=audio " };
        let line = self.offer.lines().find_map(|line| line.strip_prefix(start));
        let port = line.and_then(|line| line.split(' ').next());
        port.unwrap().parse().unwrap()
    }

    /// A track's RTP packets of a payload type, in order of their numbers.
    pub fn packets(&self, is_video: bool, payload_type: u8) -> Vec<Packet> {
        let mut first = None;
        let mut packets: Vec<_> = self
            .datagrams
            .iter()
            .filter(|datagram| datagram.is_video == is_video && !datagram.is_rtcp)
            .filter_map(|datagram| {
                let bytes = &datagram.bytes;
                // STUN begins with zeros.
                let is_rtp = bytes.len() >= 12 && bytes[0] >> 6 == 2;
                if !is_rtp || bytes[1] & 0x7f != payload_type {
                    return None;
                }
                // None of the phones sends extensions, contributors or padding.
                assert_eq!(bytes[0], 0x80, "more than a plain header");
                let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
                let ticks = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
                let (number, time) = *first.get_or_insert((sequence, ticks));
                Some(Packet {
                    sequence: i64::from(sequence.wrapping_sub(number) as i16),
                    ticks: i64::from(ticks.wrapping_sub(time) as i32),
                    marker: bytes[1] & 0x80 != 0,
                    payload: bytes[12..].to_vec(),
                })
            })
            .collect();
        packets.sort_by_key(|packet| packet.sequence);
        packets
    }

    /// Datagrams of a track's RTP port that are something else.
    pub fn strangers(&self, is_video: bool) -> u64 {
        let datagrams = self.datagrams.iter();
        let strangers = datagrams.filter(|datagram| {
            datagram.is_video == is_video && !datagram.is_rtcp && datagram.bytes[0] >> 6 != 2
        });
        strangers.count() as u64
    }

    /// Sender reports of a track: wall-clock milliseconds within a day or so, and ticks since the
    /// track's first packet.
    pub fn reports(&self, is_video: bool, payload_type: u8) -> Vec<(f64, i64)> {
        let is_first = |datagram: &&Datagram| {
            let bytes = &datagram.bytes;
            datagram.is_video == is_video
                && !datagram.is_rtcp
                && bytes[0] >> 6 == 2
                && bytes[1] & 0x7f == payload_type
        };
        let word = |bytes: &[u8], at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let first = word(&self.datagrams.iter().find(is_first).unwrap().bytes, 4);
        let reports = self.datagrams.iter().filter(|datagram| {
            datagram.is_video == is_video && datagram.is_rtcp && datagram.bytes[1] == 200
        });
        let read = |datagram: &Datagram| {
            let report = &datagram.bytes;
            let seconds = f64::from(word(report, 8) % 100_000);
            let wall = 1_000.0 * (seconds + f64::from(word(report, 12)) / 4_294_967_296.0);
            (wall, i64::from(word(report, 16).wrapping_sub(first) as i32))
        };
        reports.map(read).collect()
    }
}
