//! RTP and RTCP as a phone sends them.

use std::time::{SystemTime, UNIX_EPOCH};

use super::clip::nal_type;

/// Bytes of payload that a packet holds at most.
pub const PAYLOAD_BYTES: usize = 1_100;

/// One outgoing RTP stream.
pub struct RtpStream {
    ssrc: u32,
    payload_type: u8,
    sequence: u16,
    first_timestamp: u32,
    packets: u32,
    octets: u32,
}

impl RtpStream {
    /// A stream whose sequence number and timestamp begin where the test says.
    pub fn new(payload_type: u8, ssrc: u32, sequence: u16, first_timestamp: u32) -> Self {
        Self {
            ssrc,
            payload_type,
            sequence,
            first_timestamp,
            packets: 0,
            octets: 0,
        }
    }

    /// Packets sent so far.
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// A packet of `payload`, `elapsed` clock ticks after the first.
    pub fn packet(&mut self, elapsed: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
        let timestamp = self.first_timestamp.wrapping_add(elapsed);
        let mut packet = Vec::with_capacity(12 + payload.len());
        packet.push(0x80);
        packet.push(self.payload_type | if marker { 0x80 } else { 0 });
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&timestamp.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.packets += 1;
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        packet
    }

    /// The packets of one picture in packetization mode 1: parameter sets in one STAP-A, slices
    /// as single NAL units or FU-A, marker on the last.
    pub fn picture(&mut self, elapsed: u32, nals: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut payloads: Vec<Vec<u8>> = Vec::new();
        let sets: Vec<&Vec<u8>> = nals
            .iter()
            .filter(|n| matches!(nal_type(n), 7 | 8))
            .collect();
        if sets.len() > 1 {
            let mut aggregate = vec![0x78];
            for set in &sets {
                aggregate.extend_from_slice(&(set.len() as u16).to_be_bytes());
                aggregate.extend_from_slice(set);
            }
            payloads.push(aggregate);
        }
        for nal in nals {
            match nal_type(nal) {
                7 | 8 if sets.len() > 1 => {}
                _ if nal.len() <= PAYLOAD_BYTES => payloads.push(nal.clone()),
                kind => {
                    let parts: Vec<&[u8]> = nal[1..].chunks(PAYLOAD_BYTES - 2).collect();
                    for (index, part) in parts.iter().enumerate() {
                        let start = if index == 0 { 0x80 } else { 0 };
                        let end = if index + 1 == parts.len() { 0x40 } else { 0 };
                        let mut payload = vec![(nal[0] & 0xe0) | 28, start | end | kind];
                        payload.extend_from_slice(part);
                        payloads.push(payload);
                    }
                }
            }
        }
        let last = payloads.len().saturating_sub(1);
        let packets = payloads.iter().enumerate();
        packets
            .map(|(index, payload)| self.packet(elapsed, index == last, payload))
            .collect()
    }

    /// A sender report with a CNAME that tells the time of now as `elapsed` ticks.
    pub fn sender_report(&self, elapsed: u32) -> Vec<u8> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("it is after 1970");
        let seconds = (now.as_secs() + 2_208_988_800) as u32;
        let fraction = ((u64::from(now.subsec_nanos()) << 32) / 1_000_000_000) as u32;
        let timestamp = self.first_timestamp.wrapping_add(elapsed);
        let mut report = vec![0x80, 200, 0, 6];
        for word in [
            self.ssrc,
            seconds,
            fraction,
            timestamp,
            self.packets,
            self.octets,
        ] {
            report.extend_from_slice(&word.to_be_bytes());
        }
        // SDES, one chunk: CNAME "test@tone" and the end of the chunk, on a 32-bit boundary.
        report.extend_from_slice(&[0x81, 202, 0, 4]);
        report.extend_from_slice(&self.ssrc.to_be_bytes());
        report.extend_from_slice(&[1, 9]);
        report.extend_from_slice(b"test@tone\0");
        report
    }
}

/// What a compound RTCP packet from the gateway asks or says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Feedback {
    /// Receiver or sender reports.
    pub reports: u32,
    /// Picture loss indications and full intra requests.
    pub keyframe_requests: u32,
    /// Goodbyes.
    pub byes: u32,
}

impl Feedback {
    /// Counts what one datagram holds.
    pub fn count(&mut self, mut rtcp: &[u8]) {
        while rtcp.len() >= 4 {
            let length = 4 + 4 * usize::from(u16::from_be_bytes([rtcp[2], rtcp[3]]));
            match (rtcp[1], rtcp[0] & 0x1f) {
                (200 | 201, _) => self.reports += 1,
                (203, _) => self.byes += 1,
                (206, 1 | 4) | (192, _) => self.keyframe_requests += 1,
                _ => {}
            }
            rtcp = rtcp.get(length..).unwrap_or_default();
        }
    }
}

/// A capture file that SIPp plays: packets with their time in microseconds and the offset of
/// their port from the first stream's.
pub fn capture(packets: &[(u64, u16, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for (micros, offset, payload) in packets {
        let udp_length = (8 + payload.len()) as u16;
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&[8, 0, 0x45, 0]);
        frame.extend_from_slice(&(20 + udp_length).to_be_bytes());
        frame.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        frame.extend_from_slice(&(6_000 + offset).to_be_bytes());
        frame.extend_from_slice(&(6_000 + offset).to_be_bytes());
        frame.extend_from_slice(&udp_length.to_be_bytes());
        frame.extend_from_slice(&[0, 0]);
        frame.extend_from_slice(payload);
        let length = frame.len() as u32;
        let seconds = (micros / 1_000_000) as u32;
        for word in [seconds, (micros % 1_000_000) as u32, length, length] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(&frame);
    }
    file
}
