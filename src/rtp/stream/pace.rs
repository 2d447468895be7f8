//! How a source's timestamps step from packet to packet, to know its packets from those of a codec
//! that was given their payload number.
//!
//! No payload number may be given another meaning within a session (RFC 3264, section 8.3.2), but
//! some peers do so. Packets of the former codec that are still on their way then bear the number of
//! the new one, and with sound nothing in them says so. They do go on in the former codec's step; so does
//! only the first packet of the new codec.

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

use crate::wire::rtp::RtpHeader;

/// Successive packets are no more ticks apart than this, else sound paused between them.
const LONGEST_STEP: u32 = 48_000 / 4;

/// The pace of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// SSRC, sequence number and timestamp of the newest packet.
    newest: Option<(u32, u16, u32)>,
    /// Ticks from one packet to the next.
    step: Option<u32>,
}

impl Pace {
    /// Takes note of a packet.
    pub fn follow(&mut self, header: &RtpHeader) {
        let (ssrc, sequence, timestamp) = (header.ssrc, header.sequence, header.timestamp);
        match self.newest {
            Some((of, newest, at)) if of == ssrc => {
                let ahead = sequence.wrapping_sub(newest);
                let step = timestamp.wrapping_sub(at);
                if ahead == 1 && (1..=LONGEST_STEP).contains(&step) {
                    self.step = Some(step);
                }
                if (1..0x8000).contains(&ahead) {
                    self.newest = Some((ssrc, sequence, timestamp));
                }
            }
            _ => {
                self.newest = Some((ssrc, sequence, timestamp));
                self.step = None;
            }
        }
    }

    /// Whether a packet is where the source's packets go on at their pace, before the newest or
    /// after it.
    pub fn fits(&self, header: &RtpHeader) -> bool {
        let (Some((ssrc, newest, at)), Some(step)) = (self.newest, self.step) else {
            return false;
        };
        let ahead = header.sequence.wrapping_sub(newest).cast_signed();
        let ticks = i32::from(ahead).wrapping_mul(step.cast_signed());
        header.ssrc == ssrc && header.timestamp == at.wrapping_add_signed(ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(ssrc: u32, sequence: u16, timestamp: u32) -> RtpHeader {
        let mut bytes = vec![0x80, 97];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend(ssrc.to_be_bytes());
        bytes.push(1);
        RtpHeader::parse(&bytes).unwrap()
    }

    /// Two packets of 20 ms of Opus across both wraps.
    fn opus() -> Pace {
        let mut pace = Pace::default();
        pace.follow(&header(5, 65_535, u32::MAX - 100));
        assert!(!pace.fits(&header(5, 0, 859)), "no step is known yet");
        pace.follow(&header(5, 0, 859));
        pace
    }

    #[test]
    fn packets_at_the_pace_fit_whatever_was_lost_or_late() {
        let pace = opus();
        for (sequence, timestamp) in [(1, 859 + 960), (9, 859 + 9 * 960), (65_535, u32::MAX - 100)]
        {
            assert!(pace.fits(&header(5, sequence, timestamp)));
            assert!(!pace.fits(&header(6, sequence, timestamp)));
            assert!(!pace.fits(&header(5, sequence, timestamp + 64)));
        }
    }

    #[test]
    fn a_pause_and_a_late_packet_leave_the_pace() {
        let mut pace = opus();
        pace.follow(&header(5, 65_534, u32::MAX - 1_060));
        pace.follow(&header(5, 1, 859 + 96_000));
        assert!(pace.fits(&header(5, 2, 859 + 96_960)));
        // Another source has a pace of its own.
        pace.follow(&header(6, 2, 0));
        assert!(!pace.fits(&header(6, 3, 960)));
    }
}
