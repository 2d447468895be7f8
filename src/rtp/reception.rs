//! What is said of a received source in reports: loss, jitter, and the echo of its own reports
//! (RFC 3550, section 6.4.1 and appendices A.1, A.3 and A.8).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;

use crate::base::counter::count;
use crate::base::time::{Instant, NtpTime};
use crate::wire::rtcp::ReportBlock;

/// A forward jump of sequence numbers of this many or more is no loss (appendix A.1).
const MAX_DROPOUT: u16 = 3_000;

/// A packet this far behind the highest is late, not a restart (appendix A.1).
const MAX_MISORDER: u16 = 100;

/// What is known of the reception of one source.
#[derive(Clone, Debug)]
pub struct Reception {
    ssrc: u32,
    clock_rate: u32,
    /// Set by the first packet; the rest means nothing before.
    begun: bool,
    base_sequence: u16,
    highest: u16,
    /// Wraps of the sequence number.
    cycles: u16,
    /// What follows a jump too far to be loss: two in a row are a restart.
    restart_at: Option<u16>,
    received: u32,
    restarts: u64,
    /// Transit of the last packet in clock units.
    transit: u32,
    last_timestamp: u32,
    /// Sixteen times the jitter, in clock units.
    jitter_16: u32,
    /// Counts at the last report, for the fraction lost since.
    expected_prior: u32,
    received_prior: u32,
    last_report: Option<(NtpTime, Instant)>,
}

impl Reception {
    /// Nothing received yet from `ssrc`, whose RTP clock runs at `clock_rate` (0 counts as 1).
    pub fn new(ssrc: u32, clock_rate: u32) -> Self {
        Self {
            ssrc,
            clock_rate: clock_rate.max(1),
            begun: false,
            base_sequence: 0,
            highest: 0,
            cycles: 0,
            restart_at: None,
            received: 0,
            restarts: 0,
            transit: 0,
            last_timestamp: 0,
            jitter_16: 0,
            expected_prior: 0,
            received_prior: 0,
            last_report: None,
        }
    }

    /// The source that this is about.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Takes note of a packet whose timestamp tells nothing of when it was sent, in the order of
    /// arrival: those of a telephone event share the time of its beginning, at another rate even.
    pub fn on_untimed_packet(&mut self, sequence: u16) {
        // Before the first timed one there is no transit to compare with.
        if self.begun && self.take_sequence(sequence) {
            self.received = self.received.wrapping_add(1);
        }
    }

    /// Takes note of a packet, in the order of arrival.
    pub fn on_packet(&mut self, now: Instant, sequence: u16, timestamp: u32) {
        let arrival = self.arrival_units(now);
        if !self.begun {
            self.begin(sequence);
            self.transit = arrival.wrapping_sub(timestamp);
        } else if !self.take_sequence(sequence) {
            return;
        }
        self.received = self.received.wrapping_add(1);
        self.last_timestamp = timestamp;

        let transit = arrival.wrapping_sub(timestamp);
        let difference = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
        self.transit = transit;
        // A jump of the sender's clock is no jitter: more than ten seconds say nothing of the way.
        if difference < self.clock_rate.saturating_mul(10) {
            let decay = self.jitter_16.saturating_add(8) >> 4;
            self.jitter_16 = self
                .jitter_16
                .saturating_add(difference)
                .saturating_sub(decay);
        }
    }

    /// Takes note of a sender report of this source.
    pub fn on_sender_report(&mut self, now: Instant, ntp: NtpTime) {
        self.last_report = Some((ntp, now));
    }

    /// The report block of the moment; the fraction lost counts from the block before. `None`
    /// before the first packet.
    pub fn block(&mut self, now: Instant) -> Option<ReportBlock> {
        if !self.begun {
            return None;
        }
        let expected = self.expected();
        let expected_since = expected.wrapping_sub(self.expected_prior);
        let received_since = self.received.wrapping_sub(self.received_prior);
        self.expected_prior = expected;
        self.received_prior = self.received;
        let lost_since = i64::from(expected_since).saturating_sub(i64::from(received_since));
        let fraction_lost = if lost_since > 0 && expected_since > 0 {
            (lost_since.saturating_mul(256) / i64::from(expected_since)).min(255) as u8
        } else {
            0
        };
        let (last_report, delay_since_report) = match self.last_report {
            Some((ntp, at)) => {
                let micros = u64::try_from(now.since(at).as_micros()).unwrap_or(u64::MAX);
                let delay = micros.saturating_mul(65_536) / 1_000_000;
                (ntp.middle(), u32::try_from(delay).unwrap_or(u32::MAX))
            }
            None => (0, 0),
        };
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost,
            cumulative_lost: self.lost().clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: self.highest_sequence(),
            jitter: self.jitter_16 >> 4,
            last_report,
            delay_since_report,
        })
    }

    /// Packets received, duplicates and late ones counted.
    pub fn received(&self) -> u32 {
        self.received
    }

    /// Packets lost in all; negative when duplicates outnumber the lost.
    pub fn lost(&self) -> i64 {
        if self.begun {
            i64::from(self.expected()).saturating_sub(i64::from(self.received))
        } else {
            0
        }
    }

    /// Interarrival jitter as a time.
    pub fn jitter(&self) -> Duration {
        let micros = u64::from(self.jitter_16 >> 4).saturating_mul(1_000_000);
        Duration::from_micros(micros / u64::from(self.clock_rate))
    }

    /// Highest sequence number, with the count of wraps in the upper half.
    pub fn highest_sequence(&self) -> u32 {
        u32::from(self.cycles) << 16 | u32::from(self.highest)
    }

    /// Times that the sequence numbers began anew with the same source.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    fn begin(&mut self, sequence: u16) {
        self.begun = true;
        self.base_sequence = sequence;
        self.highest = sequence;
        self.cycles = 0;
        self.restart_at = None;
        self.received = 0;
        self.received_prior = 0;
        self.expected_prior = 0;
    }

    /// Appendix A.1 without probation, which is the source lock's matter; `false` for a packet that
    /// is not to be counted.
    fn take_sequence(&mut self, sequence: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.highest);
        if ahead < MAX_DROPOUT {
            if sequence < self.highest {
                self.cycles = self.cycles.wrapping_add(1);
            }
            self.highest = sequence;
            self.restart_at = None;
        } else if ahead <= MAX_MISORDER.wrapping_neg() {
            if self.restart_at != Some(sequence) {
                self.restart_at = Some(sequence.wrapping_add(1));
                return false;
            }
            self.begin(sequence);
            count(&mut self.restarts);
        }
        true
    }

    fn expected(&self) -> u32 {
        self.highest_sequence()
            .wrapping_sub(u32::from(self.base_sequence))
            .wrapping_add(1)
    }

    fn arrival_units(&self, now: Instant) -> u32 {
        let units = u128::from(now.as_micros()) * u128::from(self.clock_rate) / 1_000_000;
        units as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(at: u64) -> Instant {
        Instant::from_millis(at)
    }

    #[test]
    fn nothing_received_gives_no_block() {
        assert_eq!(Reception::new(5, 8_000).block(Instant::ZERO), None);
    }

    #[test]
    fn loss_is_told_since_the_last_block_and_in_all() {
        let mut reception = Reception::new(5, 8_000);
        for sequence in (65_500_u16..=65_535).chain(0..64).filter(|at| at % 4 != 0) {
            reception.on_packet(Instant::ZERO, sequence, 0);
        }
        let block = reception.block(Instant::ZERO).unwrap();
        // From 65501 to 63: 99 expected, of them 24 lost.
        assert_eq!(block.cumulative_lost, 24);
        assert_eq!(block.fraction_lost, (24 * 256 / 99) as u8);
        assert_eq!(block.highest_sequence, 0x1_003f);
        for sequence in 64..128 {
            reception.on_packet(Instant::ZERO, sequence, 0);
        }
        let block = reception.block(Instant::ZERO).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 24));
        assert_eq!(reception.lost(), 24);
    }

    #[test]
    fn duplicates_make_the_loss_negative_and_the_fraction_zero() {
        let mut reception = Reception::new(5, 8_000);
        for sequence in 0..10 {
            reception.on_packet(Instant::ZERO, sequence, 0);
            reception.on_packet(Instant::ZERO, sequence, 0);
        }
        let block = reception.block(Instant::ZERO).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, -10));
    }

    #[test]
    fn late_packets_do_not_move_the_highest_number() {
        let mut reception = Reception::new(5, 8_000);
        for sequence in [65_534, 0, 65_535, 1] {
            reception.on_packet(Instant::ZERO, sequence, 0);
        }
        let block = reception.block(Instant::ZERO).unwrap();
        assert_eq!(
            (block.highest_sequence, block.cumulative_lost),
            (0x1_0001, 0)
        );
    }

    #[test]
    fn one_stray_number_is_passed_over_and_two_in_a_row_are_a_restart() {
        let mut reception = Reception::new(5, 8_000);
        for sequence in [10, 11, 30_000, 12] {
            reception.on_packet(Instant::ZERO, sequence, 0);
        }
        assert_eq!((reception.received(), reception.restarts()), (3, 0));
        for sequence in [40_000, 40_001, 40_002] {
            reception.on_packet(Instant::ZERO, sequence, 0);
        }
        assert_eq!(
            (reception.received(), reception.restarts(), reception.lost()),
            (2, 1, 0)
        );
    }

    #[test]
    fn jitter_converges_to_the_mean_difference_of_transit() {
        let mut reception = Reception::new(5, 8_000);
        for at in 0..500_u32 {
            // Every other packet is 5 ms late: differences of 40 units.
            let late = u64::from(at % 2) * 5;
            let timestamp = 0xffff_f000_u32.wrapping_add(at * 160);
            reception.on_packet(millis(u64::from(at) * 20 + late), at as u16, timestamp);
        }
        let jitter = reception.block(Instant::ZERO).unwrap().jitter;
        assert!((38..=40).contains(&jitter), "{jitter}");
        assert_eq!(reception.jitter().as_millis(), 4);
    }

    #[test]
    fn a_jump_of_the_senders_clock_is_no_jitter() {
        let mut reception = Reception::new(5, 8_000);
        reception.on_packet(millis(0), 0, 0);
        reception.on_packet(millis(20), 1, 0x7000_0000);
        reception.on_packet(millis(40), 2, 0x7000_00a0);
        assert_eq!(reception.jitter(), Duration::ZERO);
    }

    #[test]
    fn the_block_echoes_the_last_sender_report() {
        let mut reception = Reception::new(5, 8_000);
        reception.on_packet(millis(0), 0, 0);
        reception.on_sender_report(millis(100), NtpTime(0x1111_2222_3333_4444));
        let block = reception.block(millis(1_600)).unwrap();
        assert_eq!(block.last_report, 0x2222_3333);
        assert_eq!(block.delay_since_report, 65_536 * 3 / 2);
    }
}
