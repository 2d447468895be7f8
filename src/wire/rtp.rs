//! RTP packets as received: a checked view of the fixed header and the payload (RFC 3550,
//! section 5.1).
//!
//! Contributing sources and header extensions are stepped over and not interpreted.

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

use core::fmt;
use core::ops::Range;

const FIXED_BYTES: usize = 12;

/// What a received RTP packet says of itself; the payload is a checked range of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// The M bit; for H.264 it ends an access unit.
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the payload's clock rate.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    payload_start: u16,
    payload_end: u16,
}

impl RtpHeader {
    /// Reads the header of one datagram, checking every length it states.
    ///
    /// # Errors
    ///
    /// An [`RtpError`] when the datagram is not a whole RTP packet of version 2.
    pub fn parse(bytes: &[u8]) -> Result<Self, RtpError> {
        let fixed = bytes
            .first_chunk::<FIXED_BYTES>()
            .ok_or(RtpError::Truncated)?;
        let &[flags, kind, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3] = fixed;
        if flags >> 6 != 2 {
            return Err(RtpError::Version);
        }
        let sources = usize::from(flags & 0x0f).saturating_mul(4);
        let mut start = FIXED_BYTES.saturating_add(sources);
        if flags & 0x10 != 0 {
            let head = bytes.get(start..).and_then(<[u8]>::first_chunk::<4>);
            let &[_, _, l0, l1] = head.ok_or(RtpError::Extension)?;
            let words = usize::from(u16::from_be_bytes([l0, l1]));
            start = start
                .saturating_add(4)
                .saturating_add(words.saturating_mul(4));
            if start > bytes.len() {
                return Err(RtpError::Extension);
            }
        }
        let mut end = bytes.len();
        if start > end {
            return Err(RtpError::Truncated);
        }
        if flags & 0x20 != 0 {
            let padding = usize::from(bytes.last().copied().unwrap_or(0));
            end = end.checked_sub(padding).ok_or(RtpError::Padding)?;
            if padding == 0 || end < start {
                return Err(RtpError::Padding);
            }
        }
        Ok(Self {
            marker: kind & 0x80 != 0,
            payload_type: kind & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([r0, r1, r2, r3]),
            payload_start: u16::try_from(start).map_err(|_| RtpError::TooLong)?,
            payload_end: u16::try_from(end).map_err(|_| RtpError::TooLong)?,
        })
    }

    /// Where in the datagram the payload lies, padding removed; may be empty.
    pub fn payload(&self) -> Range<usize> {
        usize::from(self.payload_start)..usize::from(self.payload_end)
    }
}

/// Why a datagram is not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtpError {
    /// Shorter than its header and contributing sources.
    Truncated,
    /// Not version 2.
    Version,
    /// The header extension reaches past the end.
    Extension,
    /// The padding count is zero or larger than the payload.
    Padding,
    /// Longer than any UDP datagram.
    TooLong,
}

impl fmt::Display for RtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "shorter than its header",
            Self::Version => "not RTP version 2",
            Self::Extension => "header extension reaches past the end",
            Self::Padding => "padding count does not fit",
            Self::TooLong => "longer than a datagram",
        })
    }
}

impl core::error::Error for RtpError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// Two contributing sources, an extension of one word, five bytes of payload, three of padding.
    const FULL: [u8; 36] = [
        0xb2, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0xde, 0xad, 0xbe, 0xef, 1, 1, 1, 1, 2, 2, 2, 2, 0xbe,
        0xde, 0, 1, 0x10, 0xff, 0, 0, b'h', b'e', b'l', b'l', b'o', 0, 0, 3,
    ];

    #[test]
    fn every_field_is_read_and_the_payload_is_what_lies_between() {
        let header = RtpHeader::parse(&FULL).unwrap();
        assert!(header.marker);
        assert_eq!(header.payload_type, 96);
        assert_eq!(header.sequence, 0x1234);
        assert_eq!(header.timestamp, 9);
        assert_eq!(header.ssrc, 0xdead_beef);
        assert_eq!(&FULL[header.payload()], b"hello");
    }

    #[test]
    fn padding_may_fill_the_payload_and_no_more() {
        let mut packet = FULL;
        packet[35] = 8;
        assert!(RtpHeader::parse(&packet).unwrap().payload().is_empty());
        packet[35] = 9;
        assert_eq!(RtpHeader::parse(&packet), Err(RtpError::Padding));
        packet[35] = 0;
        assert_eq!(RtpHeader::parse(&packet), Err(RtpError::Padding));
    }

    #[test]
    fn an_extension_past_the_end_is_refused() {
        let mut packet = FULL;
        packet[23] = 200;
        assert_eq!(RtpHeader::parse(&packet), Err(RtpError::Extension));
        assert_eq!(RtpHeader::parse(&FULL[..22]), Err(RtpError::Extension));
    }

    #[test]
    fn other_versions_are_refused() {
        for version in [0, 1, 3] {
            let mut packet = FULL;
            packet[0] = packet[0] & 0x3f | version << 6;
            assert_eq!(RtpHeader::parse(&packet), Err(RtpError::Version));
        }
    }

    #[test]
    fn any_length_and_any_bytes_give_a_range_inside_the_datagram() {
        let mut rng = Rng::from_number(3);
        for length in 0..=FULL.len() {
            for _ in 0..200 {
                let mut packet = FULL;
                for _ in 0..rng.below(4) {
                    packet[rng.below(36) as usize] = rng.u32() as u8;
                }
                if let Ok(header) = RtpHeader::parse(&packet[..length]) {
                    assert!(packet[..length].get(header.payload()).is_some());
                }
            }
        }
    }
}
