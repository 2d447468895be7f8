//! RTCP reports of one stream (RFC 3550, section 6): when a compound is due, and its writing.
//!
//! A compound is an SR or RR with what [`Reception`] keeps, SDES with the canonical name, and what
//! is asked of the sender or, at the end, BYE. With two members the interval is the minimum of
//! section 6.2, five seconds times 0.5 to 1.5; reconsideration and membership counts of larger
//! sessions are left out.

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
use crate::rtp::bitrate::BitrateAsk;
use crate::rtp::keyframe::Ask;
use crate::rtp::reception::Reception;
use crate::rtp::retransmission::Missing;
use crate::wire::rtcp::{BitrateLimit, CompoundWriter, ReportBlock, SenderInfo};

/// The mean interval between reports.
const INTERVAL: Duration = Duration::from_secs(5);

/// Bytes of IPv4, UDP and RTP headers in each packet, which a requested bit rate counts in.
const PACKET_OVERHEAD: u16 = 40;

/// What is asked of a sender by RTCP outside the schedule.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// A keyframe, by the ways that are set.
    pub keyframe: Option<Ask>,
    /// Packets to be sent once more, by rising number.
    pub missing: Missing,
    /// A bit rate to keep below.
    pub bitrate: Option<BitrateAsk>,
}

impl Requests {
    /// Whether RTCP has nothing to ask.
    pub fn is_empty(&self) -> bool {
        let keyframe = self
            .keyframe
            .is_some_and(|ask| ask.pli || ask.fir.is_some());
        !keyframe && self.missing.is_empty() && self.bitrate.is_none()
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

    /// Writes a compound that asks something of `media`, outside the schedule; `None` when nothing
    /// is asked by RTCP.
    pub fn write_requests(
        &mut self,
        now: Instant,
        content: Content<'_>,
        media: u32,
        requests: &Requests,
        out: &mut [u8],
    ) -> Option<usize> {
        if requests.is_empty() {
            return None;
        }
        let ssrc = self.ssrc;
        let mut compound = self.begin_compound(now, content, out);
        if requests.keyframe.is_some_and(|ask| ask.pli) {
            compound.picture_loss(ssrc, media);
        }
        if let Some(sequence) = requests.keyframe.and_then(|ask| ask.fir) {
            compound.full_intra(ssrc, media, sequence);
        }
        compound.missing(ssrc, media, &requests.missing);
        if let Some(BitrateAsk { bits, by }) = requests.bitrate {
            if by.tmmbr {
                compound.bitrate_request(ssrc, media, bits, PACKET_OVERHEAD);
            }
            if by.remb {
                compound.bitrate_estimate(ssrc, media, bits);
            }
        }
        compound.finish()
    }

    /// Writes a compound that tells the peer that we keep the limit it asked for, outside the
    /// schedule.
    pub fn write_limit_kept(
        &mut self,
        now: Instant,
        content: Content<'_>,
        limit: &BitrateLimit,
        out: &mut [u8],
    ) -> Option<usize> {
        let ssrc = self.ssrc;
        let mut compound = self.begin_compound(now, content, out);
        compound.bitrate_notification(ssrc, limit);
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

    fn asking(ask: Ask) -> Requests {
        Requests {
            keyframe: Some(ask),
            ..Requests::default()
        }
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
            .write_requests(millis(10), content(None), 5, &asking(ask), &mut out)
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
            reporter.write_requests(millis(10), content(None), 5, &asking(ask), &mut out),
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
