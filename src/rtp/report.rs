//! RTCP reports of one stream (RFC 3550, section 6): reception statistics, schedule and sending.
//!
//! [`Reception`] keeps what is said of a received source (appendices A.1, A.3 and A.8).
//! [`Reporter`] says when a compound is due and writes it: SR or RR, SDES with the canonical name,
//! and BYE at the end. With two members the interval is the minimum of section 6.2, five seconds
//! times 0.5 to 1.5; reconsideration and membership counts of larger sessions are left out.

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

use heapless::String;

use crate::base::rng::Rng;
use crate::base::time::{Instant, NtpTime};
use crate::limits::RTCP_CNAME_BYTES;
use crate::rtp::keyframe::Ask;
use crate::wire::rtcp::{CompoundWriter, ReportBlock, SenderInfo};

/// A forward jump of sequence numbers of this many or more is no loss (appendix A.1).
const MAX_DROPOUT: u16 = 3_000;

/// A packet this far behind the highest is late, not a restart (appendix A.1).
const MAX_MISORDER: u16 = 100;

/// The mean interval between reports.
const INTERVAL: Duration = Duration::from_secs(5);

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
            self.restarts = self.restarts.saturating_add(1);
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

/// What a compound of ours tells besides the schedule's own matter.
#[derive(Debug)]
pub struct Content<'a> {
    /// Our own sending, when we send: makes the report an SR.
    pub sent: Option<SenderInfo>,
    /// The stream that is received, if any.
    pub reception: Option<&'a mut Reception>,
}

/// Schedules and writes the compounds of one stream.
#[derive(Clone, Debug)]
pub struct Reporter {
    ssrc: u32,
    cname: String<RTCP_CNAME_BYTES>,
    rng: Rng,
    due: Option<Instant>,
    round_trip: Option<Duration>,
    remote: Option<ReportBlock>,
    reports: u64,
}

impl Reporter {
    /// A reporter for our source `ssrc`, not yet started; a long `cname` is cut.
    pub fn new(ssrc: u32, cname: &str, rng: Rng) -> Self {
        let mut name = String::new();
        for character in cname.chars() {
            if name.push(character).is_err() {
                break;
            }
        }
        Self {
            ssrc,
            cname: name,
            rng,
            due: None,
            round_trip: None,
            remote: None,
            reports: 0,
        }
    }

    /// Our source.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Begins reporting, the first time after half a second to a second: early, since many phones
    /// and PBXs judge by the first report whether RTCP works. No effect once begun.
    pub fn start(&mut self, now: Instant) {
        if self.due.is_none() {
            let wait = Duration::from_millis(500 + u64::from(self.rng.below(501)));
            self.due = Some(now + wait);
        }
    }

    /// Ends reporting without a BYE.
    pub fn stop(&mut self) {
        self.due = None;
    }

    /// When the next report is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Writes the report that is due and says its length; `None` when none is, or it does not fit.
    pub fn poll_report(
        &mut self,
        now: Instant,
        content: Content<'_>,
        out: &mut [u8],
    ) -> Option<usize> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        let mean = u32::try_from(INTERVAL.as_millis()).unwrap_or(u32::MAX);
        let wait = (mean / 2).saturating_add(self.rng.below(mean.saturating_add(1)));
        self.due = Some(now + Duration::from_millis(u64::from(wait)));
        self.begin_compound(now, content, out).finish()
    }

    /// Writes a compound that asks `media` for a keyframe, outside the schedule; `None` when the
    /// asking has no RTCP part.
    pub fn write_ask(
        &mut self,
        now: Instant,
        content: Content<'_>,
        media: u32,
        ask: &Ask,
        out: &mut [u8],
    ) -> Option<usize> {
        if !ask.pli && ask.fir.is_none() {
            return None;
        }
        let ssrc = self.ssrc;
        let mut compound = self.begin_compound(now, content, out);
        if ask.pli {
            compound.picture_loss(ssrc, media);
        }
        if let Some(sequence) = ask.fir {
            compound.full_intra(ssrc, media, sequence);
        }
        compound.finish()
    }

    /// Writes the last compound, with BYE, and ends reporting.
    pub fn write_bye(
        &mut self,
        now: Instant,
        content: Content<'_>,
        out: &mut [u8],
    ) -> Option<usize> {
        self.due = None;
        let ssrc = self.ssrc;
        let mut compound = self.begin_compound(now, content, out);
        compound.bye(ssrc);
        compound.finish()
    }

    /// Takes note of a report block that came at the wall time `ntp`; blocks about others are
    /// passed over.
    pub fn on_block(&mut self, ntp: NtpTime, block: &ReportBlock) {
        if block.ssrc != self.ssrc {
            return;
        }
        self.remote = Some(*block);
        if block.last_report == 0 {
            return;
        }
        let sent = block.last_report.wrapping_add(block.delay_since_report);
        let units = ntp.middle().wrapping_sub(sent);
        // Negative or above half an hour: the peer's arithmetic is wrong.
        if units < 1 << 27 {
            self.round_trip = Some(Duration::from_micros(u64::from(units) * 1_000_000 / 65_536));
        }
    }

    /// The last round trip that a peer's report told.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// How the peer last said that it receives us.
    pub fn remote(&self) -> Option<&ReportBlock> {
        self.remote.as_ref()
    }

    /// Compounds written so far, of whatever kind.
    pub fn reports(&self) -> u64 {
        self.reports
    }

    fn begin_compound<'a>(
        &mut self,
        now: Instant,
        content: Content<'_>,
        out: &'a mut [u8],
    ) -> CompoundWriter<'a> {
        let block = content.reception.and_then(|reception| reception.block(now));
        let mut compound = CompoundWriter::new(out);
        match &content.sent {
            Some(info) => compound.sender_report(self.ssrc, info, block.as_ref()),
            None => compound.receiver_report(self.ssrc, block.as_ref()),
        }
        compound.cname(self.ssrc, &self.cname);
        self.reports = self.reports.saturating_add(1);
        compound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RTCP_COMPOUND_BYTES;
    use crate::wire::rtcp::{RtcpPacket, packets};

    fn millis(at: u64) -> Instant {
        Instant::from_millis(at)
    }

    fn reporter() -> Reporter {
        Reporter::new(77, "name@192.0.2.1", Rng::from_number(1))
    }

    fn content(reception: Option<&mut Reception>) -> Content<'_> {
        Content {
            sent: None,
            reception,
        }
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

    #[test]
    fn the_first_report_is_early_and_the_others_about_every_five_seconds() {
        let mut reporter = reporter();
        assert_eq!(reporter.poll_timeout(), None);
        reporter.start(Instant::ZERO);
        let mut out = [0; RTCP_COMPOUND_BYTES];
        let mut times = Vec::new();
        while times.len() < 200 {
            let now = reporter.poll_timeout().unwrap();
            let before = Instant::from_micros(now.as_micros() - 1);
            assert_eq!(reporter.poll_report(before, content(None), &mut out), None);
            assert!(reporter.poll_report(now, content(None), &mut out).is_some());
            times.push(now.as_micros() / 1_000);
        }
        assert!((500..=1_000).contains(&times[0]));
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| (2_500..=7_500).contains(gap)));
        let mean = gaps.iter().sum::<u64>() / gaps.len() as u64;
        assert!((4_600..=5_400).contains(&mean), "{mean}");
        assert!(gaps.iter().any(|gap| *gap < 3_500) && gaps.iter().any(|gap| *gap > 6_500));
    }

    #[test]
    fn a_report_is_an_rr_until_we_send_and_then_an_sr() {
        let mut reporter = reporter();
        let mut reception = Reception::new(5, 8_000);
        reception.on_packet(millis(0), 9, 0);
        reporter.start(Instant::ZERO);
        let mut out = [0; RTCP_COMPOUND_BYTES];
        let len = reporter.poll_report(millis(1_000), content(Some(&mut reception)), &mut out);
        let read: Vec<_> = packets(&out[..len.unwrap()]).map(Result::unwrap).collect();
        assert!(
            matches!(&read[..], [RtcpPacket::ReceiverReport { ssrc: 77, blocks },
            RtcpPacket::Other(202)] if blocks[0].ssrc == 5)
        );

        let info = SenderInfo {
            ntp: NtpTime(1 << 32),
            rtp_timestamp: 2,
            packets: 3,
            octets: 4,
        };
        let content = Content {
            sent: Some(info),
            reception: Some(&mut reception),
        };
        let len = reporter.poll_report(millis(9_000), content, &mut out);
        let read: Vec<_> = packets(&out[..len.unwrap()]).map(Result::unwrap).collect();
        assert!(
            matches!(&read[..], [RtcpPacket::SenderReport { ssrc: 77, info: got, blocks },
            RtcpPacket::Other(202)] if *got == info && blocks.len() == 1)
        );
        assert_eq!(reporter.reports(), 2);
    }

    #[test]
    fn asking_goes_in_a_compound_of_its_own_and_leaves_the_schedule() {
        let mut reporter = reporter();
        reporter.start(Instant::ZERO);
        let due = reporter.poll_timeout();
        let mut out = [0; RTCP_COMPOUND_BYTES];
        let ask = Ask {
            pli: true,
            fir: Some(3),
            info: true,
        };
        let len = reporter
            .write_ask(millis(10), content(None), 5, &ask, &mut out)
            .unwrap();
        let read: Vec<_> = packets(&out[..len]).map(Result::unwrap).collect();
        assert_eq!(
            read[1..],
            [
                RtcpPacket::Other(202),
                RtcpPacket::PictureLoss {
                    sender: 77,
                    media: 5
                },
                RtcpPacket::FullIntra {
                    sender: 77,
                    media: 5,
                    sequence: 3
                },
            ]
        );
        assert_eq!(reporter.poll_timeout(), due);
        let ask = Ask {
            pli: false,
            fir: None,
            info: true,
        };
        assert_eq!(
            reporter.write_ask(millis(10), content(None), 5, &ask, &mut out),
            None
        );
    }

    #[test]
    fn bye_ends_the_schedule() {
        let mut reporter = reporter();
        reporter.start(Instant::ZERO);
        let mut out = [0; RTCP_COMPOUND_BYTES];
        let len = reporter
            .write_bye(millis(10), content(None), &mut out)
            .unwrap();
        let last = packets(&out[..len]).last().unwrap().unwrap();
        assert_eq!(last, RtcpPacket::Bye([77].into_iter().collect()));
        assert_eq!(reporter.poll_timeout(), None);
        assert_eq!(
            reporter.poll_report(millis(9_999), content(None), &mut out),
            None
        );
    }

    #[test]
    fn round_trip_comes_from_a_block_about_us() {
        let mut reporter = reporter();
        let block = |ssrc| ReportBlock {
            ssrc,
            last_report: 0xffff_8000,
            delay_since_report: 0x0000_8000,
            ..ReportBlock::default()
        };
        // Half a second after the era of the middle bits wrapped, plus an eighth of a second.
        let ntp = NtpTime(0x0000_2000_0000);
        reporter.on_block(ntp, &block(78));
        assert_eq!(reporter.round_trip(), None);
        reporter.on_block(ntp, &block(77));
        assert_eq!(reporter.round_trip(), Some(Duration::from_millis(125)));
        // A peer that claims more delay than has passed changes nothing.
        reporter.on_block(
            NtpTime(0),
            &ReportBlock {
                last_report: 9,
                ..block(77)
            },
        );
        assert_eq!(reporter.round_trip(), Some(Duration::from_millis(125)));
    }
}
