//! Our own RTP source: its header, clock and counts (RFC 3550, sections 5.1 and 6.4.1).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use core::time::Duration;

use rtp::header::Header;
use webrtc_util::marshal::Marshal;

use crate::base::rng::Rng;
use crate::base::time::{Instant, NtpTime};
use crate::wire::rtcp::SenderInfo;

/// Bytes of an RTP packet's header.
pub const HEADER_BYTES: usize = 12;

/// Time after the last packet in which a source still counts as a sender: two report intervals (RFC
/// 3550, section 6.3.8).
pub const SENDER_MEMORY: Duration = Duration::from_secs(10);

/// A source of ours: SSRC, sequence and clock go on whatever is sent, and through pauses.
#[derive(Clone, Debug)]
pub struct OwnSource {
    /// Header of the next packet, but for timestamp, marker, and a payload type of its own.
    header: Header,
    /// Ticks of the RTP clock a second.
    clock_rate: u32,
    /// A moment, and the RTP time of it.
    origin: Instant,
    base: u32,
    packets: u32,
    octets: u32,
    last: Option<Instant>,
}

impl OwnSource {
    /// A source with random SSRC, sequence number and timestamp.
    pub fn new(clock_rate: u32, payload_type: u8, rng: &mut Rng) -> Self {
        let header = Header {
            version: 2,
            payload_type: payload_type & 0x7f,
            // In the lower half, so that a lost start is not taken for a round (RFC 3711, 3.3.1).
            sequence_number: (rng.u32() >> 17) as u16,
            ssrc: rng.u32(),
            ..Header::default()
        };
        Self {
            header,
            clock_rate,
            origin: Instant::ZERO,
            base: rng.u32(),
            packets: 0,
            octets: 0,
            last: None,
        }
    }

    /// The synchronisation source.
    pub fn ssrc(&self) -> u32 {
        self.header.ssrc
    }

    /// Takes over the payload type of a new answer.
    pub fn set_payload_type(&mut self, payload_type: u8) {
        self.header.payload_type = payload_type & 0x7f;
    }

    /// Changes the clock's rate; the RTP time of `at` stays what it is.
    pub fn set_clock_rate(&mut self, at: Instant, clock_rate: u32) {
        self.anchor(at);
        self.clock_rate = clock_rate;
    }

    /// Makes the RTP time of `at` whole, so that equal steps from it are equal in ticks.
    pub fn anchor(&mut self, at: Instant) {
        self.base = self.timestamp_at(at);
        self.origin = at;
    }

    /// The payload type of packets that do not say another.
    pub fn payload_type(&self) -> u8 {
        self.header.payload_type
    }

    /// Writes the next packet, whose RTP time is that of `at`, and says its length; `None` where it
    /// does not fit.
    pub fn write(
        &mut self,
        now: Instant,
        at: Instant,
        marker: bool,
        payload: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        let length = HEADER_BYTES.saturating_add(payload.len());
        let body = out.get_mut(HEADER_BYTES..length)?;
        body.copy_from_slice(payload);
        let payload_type = self.payload_type();
        self.write_head(now, at, (payload_type, marker), payload.len(), out)
    }

    /// Writes the header of the next packet, whose payload of `payload` bytes stands behind it
    /// already, and says the packet's length; `None` where it does not fit.
    pub fn write_head(
        &mut self,
        now: Instant,
        at: Instant,
        (payload_type, marker): (u8, bool),
        payload: usize,
        out: &mut [u8],
    ) -> Option<usize> {
        let length = HEADER_BYTES.saturating_add(payload);
        let packet = out.get_mut(..length)?;
        let header = Header {
            timestamp: self.timestamp_at(at),
            marker,
            payload_type: payload_type & 0x7f,
            ..self.header.clone()
        };
        header.marshal_to(packet).ok()?;
        self.header.sequence_number = self.header.sequence_number.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload as u32);
        self.last = Some(now);
        Some(length)
    }

    /// What a sender report says of us at `now`, whose wall time is `ntp`; `None` while we are no
    /// sender, which a pause of [`SENDER_MEMORY`] ends too.
    pub fn sender_info(&self, now: Instant, ntp: NtpTime) -> Option<SenderInfo> {
        let last = self.last?;
        (now.since(last) <= SENDER_MEMORY).then(|| SenderInfo {
            ntp,
            rtp_timestamp: self.timestamp_at(now),
            packets: self.packets,
            octets: self.octets,
        })
    }

    /// The RTP time at a moment.
    fn timestamp_at(&self, at: Instant) -> u32 {
        let rate = u128::from(self.clock_rate);
        // To the nearest: times are whole microseconds, ticks may be shorter.
        let ticks = |span: Duration| {
            let micros = span.as_micros().saturating_mul(rate);
            (micros.saturating_add(500_000) / 1_000_000) as u32
        };
        if at >= self.origin {
            self.base.wrapping_add(ticks(at.since(self.origin)))
        } else {
            self.base.wrapping_sub(ticks(self.origin.since(at)))
        }
    }
}
