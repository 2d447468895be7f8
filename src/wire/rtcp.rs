//! RTCP (RFC 3550 section 6) and its feedback messages (RFC 4585 section 6, RFC 5104 section 4, and
//! the receiver's estimate of draft-alvestrand-rmcat-remb-03): a tolerant walk over what is received
//! and a writer for what is sent.
//!
//! Reading: each packet of a compound is bounded here first and then read by `rtcp-types`. A packet
//! that does not parse is reported and stepped over; a length beyond the datagram ends the walk.
//! Neither the leading report nor the padding rules of a compound are insisted on, since phones and
//! reduced-size senders (RFC 5506) keep neither. SDES, APP and XR are seen as
//! [`RtcpPacket::Other`].
//!
//! Writing: SR, RR, SDES with a CNAME, BYE, PLI, FIR, generic NACK, TMMBR, TMMBN and REMB into the
//! caller's buffer, without allocation.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;

use rtcp_types::prelude::*;
use rtcp_types::{self as types, Fir, PayloadFeedback, Pli};

use crate::base::time::NtpTime;
use crate::limits::{RTCP_BLOCKS, RTCP_CNAME_BYTES, RTCP_NACK_ENTRIES, RTCP_PACKETS, RTCP_SOURCES};

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const FORMAT_NACK: u8 = 1;
const FORMAT_TMMBR: u8 = 3;
const FORMAT_TMMBN: u8 = 4;
const FORMAT_PLI: u8 = 1;
const FORMAT_FIR: u8 = 4;
const FORMAT_APPLICATION: u8 = 15;
const SDES_CNAME: u8 = 1;

/// Whether a datagram on a shared port is RTCP: packet types 192 to 223 (RFC 5761, section 4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram
        .get(1)
        .is_some_and(|packet_type| (192..=223).contains(packet_type))
}

/// The packets of a received compound, at most [`RTCP_PACKETS`] of them.
pub fn packets(datagram: &[u8]) -> Packets<'_> {
    Packets {
        rest: datagram,
        left: RTCP_PACKETS,
    }
}

/// One received RTCP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RtcpPacket {
    /// A sender's report: what it sent, and what it received from us.
    SenderReport {
        /// Who reports.
        ssrc: u32,
        /// Clocks and counts of the sender.
        info: SenderInfo,
        /// Its view of what it receives.
        blocks: Blocks,
    },
    /// The report of one that sends nothing.
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// Its view of what it receives.
        blocks: Blocks,
    },
    /// These sources leave.
    Bye(heapless::Vec<u32, RTCP_SOURCES>),
    /// The picture of `media` is damaged at `sender`.
    PictureLoss {
        /// Who asks.
        sender: u32,
        /// Whose picture it is.
        media: u32,
    },
    /// `sender` wants an instantly decodable picture.
    FullIntra {
        /// Who asks.
        sender: u32,
        /// Whose picture is wanted.
        media: u32,
        /// The command's number; a repetition bears the same.
        sequence: u8,
    },
    /// `sender` misses packets of `media` (generic NACK); which ones is not read.
    Missing {
        /// Who asks.
        sender: u32,
        /// Whose packets they are.
        media: u32,
    },
    /// A bit rate limit is asked for (TMMBR); of several limits in one packet the first.
    BitrateRequest(BitrateLimit),
    /// `sender` tells the bit rate limits that it keeps (TMMBN); one with none keeps no limit.
    BitrateNotification {
        /// Who keeps them.
        sender: u32,
        /// Who asked for them, at most [`RTCP_SOURCES`].
        owners: heapless::Vec<u32, RTCP_SOURCES>,
    },
    /// Another type, passed over.
    Other(u8),
}

/// A limit as TMMBR asks for it (RFC 5104, section 4.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitrateLimit {
    /// Who asks.
    pub owner: u32,
    /// Whose bit rate is meant.
    pub media: u32,
    /// Bit rate and overhead as they stand in the packet.
    pub entry: u32,
}

/// The report blocks of one report; those beyond [`RTCP_BLOCKS`] are passed over.
pub type Blocks = heapless::Vec<ReportBlock, RTCP_BLOCKS>;

/// A sender's clocks and counts (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall-clock time of the report; zero when the sender has none.
    pub ntp: NtpTime,
    /// The same moment on the stream's RTP clock.
    pub rtp_timestamp: u32,
    /// RTP packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

/// How one source is received (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// Part of the packets lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost in all; negative when duplicates outnumber the lost. 24 bits on the wire.
    pub cumulative_lost: i32,
    /// Highest sequence number received, with the count of its wraps in the upper half.
    pub highest_sequence: u32,
    /// Interarrival jitter in units of the RTP clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report; zero when none came.
    pub last_report: u32,
    /// Time since that report, in 65536ths of a second.
    pub delay_since_report: u32,
}

/// Why a packet of a compound was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpError {
    /// It is cut, or its length reaches past the datagram; nothing after it can be read.
    Truncated,
    /// Its version is not 2.
    Version,
    /// Its content does not fit its type; the walk goes on behind it.
    Malformed,
}

impl fmt::Display for RtcpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "RTCP packet reaches past its datagram",
            Self::Version => "RTCP version is not 2",
            Self::Malformed => "RTCP packet does not fit its type",
        })
    }
}

/// The walk over a received compound. Ends after the first packet that cannot be bounded.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
    left: usize,
}

impl Iterator for Packets<'_> {
    type Item = Result<RtcpPacket, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() || self.left == 0 {
            return None;
        }
        self.left -= 1;
        match split_packet(self.rest) {
            Ok((packet, rest)) => {
                self.rest = rest;
                Some(read_packet(packet))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

/// The first packet by its own length field, and what follows.
fn split_packet(bytes: &[u8]) -> Result<(&[u8], &[u8]), RtcpError> {
    let &[first, _, high, low, ..] = bytes else {
        return Err(RtcpError::Truncated);
    };
    if first >> 6 != 2 {
        return Err(RtcpError::Version);
    }
    let words = usize::from(u16::from_be_bytes([high, low]));
    let len = words.saturating_add(1).saturating_mul(4);
    bytes.split_at_checked(len).ok_or(RtcpError::Truncated)
}

/// Reads one packet whose length field equals its length.
fn read_packet(packet: &[u8]) -> Result<RtcpPacket, RtcpError> {
    let &[first, packet_type, ..] = packet else {
        return Err(RtcpError::Truncated);
    };
    let format = first & 0x1f;
    let malformed = |_| RtcpError::Malformed;
    Ok(match packet_type {
        SENDER_REPORT => {
            let report = types::SenderReport::parse(packet).map_err(malformed)?;
            RtcpPacket::SenderReport {
                ssrc: report.ssrc(),
                info: SenderInfo {
                    ntp: NtpTime(report.ntp_timestamp()),
                    rtp_timestamp: report.rtp_timestamp(),
                    packets: report.packet_count(),
                    octets: report.octet_count(),
                },
                blocks: read_blocks(report.report_blocks()),
            }
        }
        RECEIVER_REPORT => {
            let report = types::ReceiverReport::parse(packet).map_err(malformed)?;
            RtcpPacket::ReceiverReport {
                ssrc: report.ssrc(),
                blocks: read_blocks(report.report_blocks()),
            }
        }
        BYE => {
            let bye = types::Bye::parse(packet).map_err(malformed)?;
            RtcpPacket::Bye(bye.ssrcs().take(RTCP_SOURCES).collect())
        }
        PAYLOAD_FEEDBACK if format == FORMAT_PLI => {
            let feedback = PayloadFeedback::parse(packet).map_err(malformed)?;
            feedback.parse_fci::<Pli>().map_err(malformed)?;
            RtcpPacket::PictureLoss {
                sender: feedback.sender_ssrc(),
                media: feedback.media_ssrc(),
            }
        }
        PAYLOAD_FEEDBACK if format == FORMAT_FIR => {
            let feedback = PayloadFeedback::parse(packet).map_err(malformed)?;
            let fir = feedback.parse_fci::<Fir>().map_err(malformed)?;
            let entry = fir.entries().next().ok_or(RtcpError::Malformed)?;
            RtcpPacket::FullIntra {
                sender: feedback.sender_ssrc(),
                media: entry.ssrc(),
                sequence: entry.sequence(),
            }
        }
        TRANSPORT_FEEDBACK if format == FORMAT_NACK => {
            let word_at = |at: usize| packet.get(at..).and_then(word);
            let malformed = RtcpError::Malformed;
            RtcpPacket::Missing {
                sender: word_at(4).ok_or(malformed)?,
                media: word_at(8).ok_or(malformed)?,
            }
        }
        TRANSPORT_FEEDBACK if format == FORMAT_TMMBR => {
            let word_at = |at: usize| packet.get(at..).and_then(word);
            let malformed = RtcpError::Malformed;
            RtcpPacket::BitrateRequest(BitrateLimit {
                owner: word_at(4).ok_or(malformed)?,
                media: word_at(12).ok_or(malformed)?,
                entry: word_at(16).ok_or(malformed)?,
            })
        }
        TRANSPORT_FEEDBACK if format == FORMAT_TMMBN => {
            let (head, entries) = packet.split_at_checked(12).ok_or(RtcpError::Malformed)?;
            let sender = head.get(4..).and_then(word).ok_or(RtcpError::Malformed)?;
            let owners = entries.chunks_exact(8).take(RTCP_SOURCES);
            RtcpPacket::BitrateNotification {
                sender,
                owners: owners.filter_map(word).collect(),
            }
        }
        other => RtcpPacket::Other(other),
    })
}

/// The first four bytes as a number.
fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_be_bytes)
}

/// A number as mantissa and power of two, the mantissa in `bits` bits, rounded down.
fn exponent_and_mantissa(number: u64, bits: u32) -> (u8, u32) {
    let exponent = (u64::BITS - number.leading_zeros()).saturating_sub(bits);
    ((exponent & 0x3f) as u8, (number >> exponent) as u32)
}

fn read_blocks<'a>(blocks: impl Iterator<Item = types::ReportBlock<'a>>) -> Blocks {
    blocks
        .take(RTCP_BLOCKS)
        .map(|block| ReportBlock {
            ssrc: block.ssrc(),
            fraction_lost: block.fraction_lost(),
            // Sign-extends the 24 bits.
            cumulative_lost: (block.cumulative_lost() << 8) as i32 >> 8,
            highest_sequence: block.extended_sequence_number(),
            jitter: block.interarrival_jitter(),
            last_report: block.last_sender_report_timestamp(),
            delay_since_report: block.delay_since_last_sender_report_timestamp(),
        })
        .collect()
}

/// Writes a compound into a buffer, packet after packet.
///
/// A compound begins with a report and names its source ([`Self::cname`]) before anything else
/// follows; the caller keeps that order. What does not fit makes [`Self::finish`] answer `None`.
#[derive(Debug)]
pub struct CompoundWriter<'a> {
    out: &'a mut [u8],
    len: usize,
    full: bool,
}

impl<'a> CompoundWriter<'a> {
    /// A writer to the start of `out`; [`crate::limits::RTCP_COMPOUND_BYTES`] always suffice.
    pub fn new(out: &'a mut [u8]) -> Self {
        Self {
            out,
            len: 0,
            full: false,
        }
    }

    /// A sender report.
    pub fn sender_report(&mut self, ssrc: u32, info: &SenderInfo, block: Option<&ReportBlock>) {
        let words = 6_u16.saturating_add(block_words(block));
        self.header(u8::from(block.is_some()), SENDER_REPORT, words);
        self.put(&ssrc.to_be_bytes());
        self.put(&info.ntp.0.to_be_bytes());
        self.put(&info.rtp_timestamp.to_be_bytes());
        self.put(&info.packets.to_be_bytes());
        self.put(&info.octets.to_be_bytes());
        self.block(block);
    }

    /// A receiver report.
    pub fn receiver_report(&mut self, ssrc: u32, block: Option<&ReportBlock>) {
        let words = 1_u16.saturating_add(block_words(block));
        self.header(u8::from(block.is_some()), RECEIVER_REPORT, words);
        self.put(&ssrc.to_be_bytes());
        self.block(block);
    }

    /// A source description with the canonical name alone, cut to [`RTCP_CNAME_BYTES`].
    pub fn cname(&mut self, ssrc: u32, cname: &str) {
        let name = cname.as_bytes();
        let name = name.get(..RTCP_CNAME_BYTES).unwrap_or(name);
        // Source, item type and length, name, and at least one zero that ends the list.
        let bytes = 4 + 2 + name.len() + 1;
        let words = bytes.div_ceil(4);
        self.header(1, SDES, words as u16);
        self.put(&ssrc.to_be_bytes());
        self.put(&[SDES_CNAME, name.len() as u8]);
        self.put(name);
        for _ in bytes - 1..words * 4 {
            self.put(&[0]);
        }
    }

    /// A goodbye of one source, without a reason.
    pub fn bye(&mut self, ssrc: u32) {
        self.header(1, BYE, 1);
        self.put(&ssrc.to_be_bytes());
    }

    /// A picture loss indication about `media`.
    pub fn picture_loss(&mut self, sender: u32, media: u32) {
        self.header(FORMAT_PLI, PAYLOAD_FEEDBACK, 2);
        self.put(&sender.to_be_bytes());
        self.put(&media.to_be_bytes());
    }

    /// A full intra request to `media`; its header's media source is zero (RFC 5104, 4.3.1.2).
    pub fn full_intra(&mut self, sender: u32, media: u32, sequence: u8) {
        self.header(FORMAT_FIR, PAYLOAD_FEEDBACK, 4);
        self.put(&sender.to_be_bytes());
        self.put(&[0; 4]);
        self.put(&media.to_be_bytes());
        self.put(&[sequence, 0, 0, 0]);
    }

    /// A request to send the missing packets of `media` once more (generic NACK, RFC 4585, 6.2.1).
    ///
    /// `missing` rises; numbers up to 16 behind another one share its entry. With none, nothing is
    /// written.
    pub fn missing(&mut self, sender: u32, media: u32, missing: &[u16]) {
        let mut entries = heapless::Vec::<(u16, u16), RTCP_NACK_ENTRIES>::new();
        for &sequence in missing {
            if let Some((first, others)) = entries.last_mut()
                && let behind @ 1..=16 = sequence.wrapping_sub(*first)
            {
                *others |= 1 << (behind - 1);
            } else if entries.push((sequence, 0)).is_err() {
                break;
            }
        }
        if entries.is_empty() {
            return;
        }
        let words = 2_u16.saturating_add(entries.len() as u16);
        self.header(FORMAT_NACK, TRANSPORT_FEEDBACK, words);
        self.put(&sender.to_be_bytes());
        self.put(&media.to_be_bytes());
        for (first, others) in entries {
            self.put(&first.to_be_bytes());
            self.put(&others.to_be_bytes());
        }
    }

    /// A request to `media` to send at most `bits` a second, `overhead` bytes of headers a packet
    /// counted in (TMMBR, RFC 5104, 4.2.1); the header's media source is zero.
    pub fn bitrate_request(&mut self, sender: u32, media: u32, bits: u64, overhead: u16) {
        let (exponent, mantissa) = exponent_and_mantissa(bits, 17);
        let entry =
            u32::from(exponent) << 26 | (mantissa & 0x1_ffff) << 9 | u32::from(overhead & 0x1ff);
        self.header(FORMAT_TMMBR, TRANSPORT_FEEDBACK, 4);
        self.put(&sender.to_be_bytes());
        self.put(&[0; 4]);
        self.put(&media.to_be_bytes());
        self.put(&entry.to_be_bytes());
    }

    /// The notification that `sender` keeps a limit (TMMBN, RFC 5104, section 4.2.2).
    pub fn bitrate_notification(&mut self, sender: u32, limit: &BitrateLimit) {
        self.header(FORMAT_TMMBN, TRANSPORT_FEEDBACK, 4);
        self.put(&sender.to_be_bytes());
        self.put(&[0; 4]);
        self.put(&limit.owner.to_be_bytes());
        self.put(&limit.entry.to_be_bytes());
    }

    /// The estimate that at most `bits` a second of `media` can be received (REMB).
    pub fn bitrate_estimate(&mut self, sender: u32, media: u32, bits: u64) {
        let (exponent, mantissa) = exponent_and_mantissa(bits, 18);
        let entry = 1 << 24 | u32::from(exponent) << 18 | (mantissa & 0x3_ffff);
        self.header(FORMAT_APPLICATION, PAYLOAD_FEEDBACK, 5);
        self.put(&sender.to_be_bytes());
        self.put(&[0; 4]);
        self.put(b"REMB");
        self.put(&entry.to_be_bytes());
        self.put(&media.to_be_bytes());
    }

    /// Bytes written, or `None` when they did not fit.
    pub fn finish(self) -> Option<usize> {
        (!self.full).then_some(self.len)
    }

    fn header(&mut self, count: u8, packet_type: u8, words: u16) {
        let [high, low] = words.to_be_bytes();
        self.put(&[0x80 | (count & 0x1f), packet_type, high, low]);
    }

    fn block(&mut self, block: Option<&ReportBlock>) {
        let Some(block) = block else { return };
        let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff);
        let [_, lost @ ..] = lost.to_be_bytes();
        self.put(&block.ssrc.to_be_bytes());
        self.put(&[block.fraction_lost]);
        self.put(&lost);
        self.put(&block.highest_sequence.to_be_bytes());
        self.put(&block.jitter.to_be_bytes());
        self.put(&block.last_report.to_be_bytes());
        self.put(&block.delay_since_report.to_be_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        match self.out.get_mut(self.len..end) {
            Some(to) if !self.full => {
                to.copy_from_slice(bytes);
                self.len = end;
            }
            _ => self.full = true,
        }
    }
}

fn block_words(block: Option<&ReportBlock>) -> u16 {
    if block.is_some() { 6 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::limits::RTCP_COMPOUND_BYTES;

    const BLOCK: ReportBlock = ReportBlock {
        ssrc: 0x0102_0304,
        fraction_lost: 12,
        cumulative_lost: -3,
        highest_sequence: 0x0001_fffe,
        jitter: 99,
        last_report: 0xaabb_ccdd,
        delay_since_report: 65_536,
    };

    const INFO: SenderInfo = SenderInfo {
        ntp: NtpTime(0xe0e1_e2e3_8000_0000),
        rtp_timestamp: 0xffff_fff0,
        packets: 7,
        octets: 1_120,
    };

    /// What a request for 2 Mbit/s with 40 bytes of overhead says: 125,000 * 2^4.
    const LIMIT: BitrateLimit = BitrateLimit {
        owner: 1,
        media: 2,
        entry: 4 << 26 | 125_000 << 9 | 40,
    };

    /// Packets of [`everything`].
    const PACKETS: usize = 10;

    fn write_everything(compound: &mut CompoundWriter) {
        compound.sender_report(1, &INFO, Some(&BLOCK));
        compound.receiver_report(1, None);
        compound.cname(1, "someone@192.0.2.1");
        compound.picture_loss(1, 2);
        compound.full_intra(1, 2, 200);
        compound.missing(1, 2, &[65_530, 65_531, 10, 11, 27]);
        compound.bitrate_request(1, 2, 2_000_000, 40);
        compound.bitrate_notification(1, &LIMIT);
        compound.bitrate_estimate(1, 2, 2_000_000);
        compound.bye(1);
    }

    /// Everything that we write, in one datagram.
    fn everything() -> Vec<u8> {
        let mut out = [0; RTCP_COMPOUND_BYTES];
        let mut compound = CompoundWriter::new(&mut out);
        write_everything(&mut compound);
        let len = compound.finish().unwrap();
        out[..len].to_vec()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = everything();
        let read: Vec<_> = packets(&bytes).map(Result::unwrap).collect();
        assert_eq!(
            read,
            [
                RtcpPacket::SenderReport {
                    ssrc: 1,
                    info: INFO,
                    blocks: [BLOCK].into_iter().collect()
                },
                RtcpPacket::ReceiverReport {
                    ssrc: 1,
                    blocks: Blocks::new()
                },
                RtcpPacket::Other(SDES),
                RtcpPacket::PictureLoss {
                    sender: 1,
                    media: 2
                },
                RtcpPacket::FullIntra {
                    sender: 1,
                    media: 2,
                    sequence: 200
                },
                RtcpPacket::Missing {
                    sender: 1,
                    media: 2
                },
                RtcpPacket::BitrateRequest(LIMIT),
                RtcpPacket::BitrateNotification {
                    sender: 1,
                    owners: [1].into_iter().collect()
                },
                RtcpPacket::Other(PAYLOAD_FEEDBACK),
                RtcpPacket::Bye([1].into_iter().collect()),
            ]
        );
    }

    #[test]
    fn a_strict_reader_takes_the_whole_compound() {
        let bytes = everything();
        let compound = types::Compound::parse(&bytes).unwrap();
        assert_eq!(compound.map(Result::unwrap).count(), PACKETS);
    }

    fn written(write: impl FnOnce(&mut CompoundWriter)) -> Vec<u8> {
        let mut out = [0; RTCP_COMPOUND_BYTES];
        let mut compound = CompoundWriter::new(&mut out);
        write(&mut compound);
        let len = compound.finish().unwrap();
        out[..len].to_vec()
    }

    #[test]
    fn missing_packets_are_named_one_by_one_across_the_wrap() {
        let missing = [65_530, 65_531, 10, 11, 27, 200];
        let bytes = written(|compound| compound.missing(1, 2, &missing));
        let feedback = types::TransportFeedback::parse(&bytes).unwrap();
        assert_eq!((feedback.sender_ssrc(), feedback.media_ssrc()), (1, 2));
        let nack = feedback.parse_fci::<types::Nack>().unwrap();
        assert_eq!(nack.entries().collect::<Vec<_>>(), missing);
        assert!(written(|compound| compound.missing(1, 2, &[])).is_empty());
        let many: Vec<u16> = (0..100).map(|n| n * 20).collect();
        let bytes = written(|compound| compound.missing(1, 2, &many));
        let feedback = types::TransportFeedback::parse(&bytes).unwrap();
        let nack = feedback.parse_fci::<types::Nack>().unwrap();
        assert!(nack.entries().eq(many[..RTCP_NACK_ENTRIES].iter().copied()));
    }

    #[test]
    fn a_bit_rate_is_written_as_mantissa_and_power_of_two() {
        let bytes = written(|compound| compound.bitrate_request(1, 2, 2_000_000, 40));
        // 2,000,000 = 125,000 * 2^4.
        let entry = 4 << 26 | 125_000 << 9 | 40_u32;
        let mut expected = vec![0x83, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2];
        expected.extend(entry.to_be_bytes());
        assert_eq!(bytes, expected);

        let bytes = written(|compound| compound.bitrate_estimate(1, 2, 2_000_000));
        // 2,000,000 = 250,000 * 2^3.
        let entry = 1 << 24 | 3 << 18 | 250_000_u32;
        let mut expected = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
        expected.extend(b"REMB");
        expected.extend(entry.to_be_bytes());
        expected.extend([0, 0, 0, 2]);
        assert_eq!(bytes, expected);
        for number in [0, 1, 0x1_ffff, 0x2_0000, u64::MAX] {
            let (exponent, mantissa) = exponent_and_mantissa(number, 17);
            assert!(mantissa < 1 << 17);
            assert!(u128::from(mantissa) << exponent <= u128::from(number));
            assert!((u128::from(mantissa) + 1) << exponent > u128::from(number));
        }
    }

    #[test]
    fn the_limits_that_a_sender_keeps_are_read() {
        let mut bytes = vec![0x84, 205, 0, 6, 0, 0, 0, 9, 0, 0, 0, 0];
        for owner in [1_u32, 77] {
            bytes.extend(owner.to_be_bytes());
            bytes.extend([0; 4]);
        }
        let read: Vec<_> = packets(&bytes).collect();
        let owners = [1, 77].into_iter().collect();
        assert_eq!(
            read,
            [Ok(RtcpPacket::BitrateNotification { sender: 9, owners })]
        );
        let short = [0x84, 205, 0, 1, 0, 0, 0, 9];
        assert_eq!(packets(&short).next(), Some(Err(RtcpError::Malformed)));
    }

    #[test]
    fn canonical_names_of_every_length_are_padded_to_words() {
        for len in 0..=RTCP_CNAME_BYTES + 5 {
            let name = "n".repeat(len);
            let mut out = [0xee; RTCP_COMPOUND_BYTES];
            let mut compound = CompoundWriter::new(&mut out);
            compound.cname(9, &name);
            let len = compound.finish().unwrap();
            let sdes = types::Sdes::parse(&out[..len]).unwrap();
            let chunk = sdes.chunks().next().unwrap();
            let item = chunk.items().next();
            let value = item.map(types::SdesItem::value).unwrap_or_default();
            assert_eq!(value, &name.as_bytes()[..name.len().min(RTCP_CNAME_BYTES)]);
            assert_eq!(chunk.ssrc(), 9);
        }
    }

    #[test]
    fn what_does_not_fit_is_not_sent() {
        let whole = everything().len();
        for len in 0..whole {
            let mut out = vec![0; len];
            let mut compound = CompoundWriter::new(&mut out);
            write_everything(&mut compound);
            assert_eq!(compound.finish(), None, "{len} bytes");
        }
    }

    #[test]
    fn the_loss_count_saturates_at_24_bits() {
        for (lost, wire) in [
            (i32::MIN, -0x80_0000),
            (i32::MAX, 0x7f_ffff),
            (-1, -1),
            (5, 5),
        ] {
            let mut out = [0; RTCP_COMPOUND_BYTES];
            let mut compound = CompoundWriter::new(&mut out);
            compound.receiver_report(
                1,
                Some(&ReportBlock {
                    cumulative_lost: lost,
                    ..BLOCK
                }),
            );
            let len = compound.finish().unwrap();
            let Some(Ok(RtcpPacket::ReceiverReport { blocks, .. })) = packets(&out[..len]).next()
            else {
                panic!("no receiver report")
            };
            assert_eq!(blocks[0].cumulative_lost, wire);
        }
    }

    #[test]
    fn a_malformed_packet_is_stepped_over() {
        // A FIR without its entry, which makes other readers panic, before a BYE.
        let bytes = [
            0x84, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0x81, 203, 0, 1, 0, 0, 0, 9,
        ];
        let read: Vec<_> = packets(&bytes).collect();
        assert_eq!(
            read,
            [
                Err(RtcpError::Malformed),
                Ok(RtcpPacket::Bye([9].into_iter().collect()))
            ]
        );
    }

    #[test]
    fn a_length_beyond_the_datagram_ends_the_walk() {
        let bytes = [0x81, 203, 0, 2, 0, 0, 0, 9];
        assert_eq!(
            packets(&bytes).collect::<Vec<_>>(),
            [Err(RtcpError::Truncated)]
        );
        let bytes = [0x41, 203, 0, 1, 0, 0, 0, 9];
        assert_eq!(
            packets(&bytes).collect::<Vec<_>>(),
            [Err(RtcpError::Version)]
        );
    }

    #[test]
    fn a_datagram_of_many_small_packets_is_bounded() {
        let bytes = [0x80, 203, 0, 0].repeat(370);
        assert_eq!(packets(&bytes).count(), RTCP_PACKETS);
    }

    #[test]
    fn more_blocks_and_sources_than_kept_are_passed_over() {
        let mut bytes = vec![0x9f, 201, 0, 187, 0, 0, 0, 1];
        bytes.resize(752, 3);
        bytes.extend([0x9f, 203, 0, 31]);
        bytes.resize(752 + 128, 4);
        let read: Vec<_> = packets(&bytes).map(Result::unwrap).collect();
        assert!(matches!(&read[0], RtcpPacket::ReceiverReport { blocks, .. } if blocks.is_full()));
        assert!(matches!(&read[1], RtcpPacket::Bye(sources) if sources.is_full()));
    }

    #[test]
    fn rtp_and_rtcp_are_told_apart_on_one_port() {
        assert!(is_rtcp(&everything()));
        assert!(!is_rtcp(&[0x80, 96, 0, 1]));
        assert!(!is_rtcp(&[0x80, 0x80 | 96, 0, 1]));
        assert!(!is_rtcp(&[0x80]));
    }

    #[test]
    fn no_truncation_and_no_mutation_panics() {
        let whole = everything();
        for len in 0..=whole.len() {
            assert!(packets(&whole[..len]).count() <= PACKETS);
        }
        let mut rng = Rng::from_number(5);
        for _ in 0..50_000 {
            let mut bytes = whole.clone();
            for _ in 0..=rng.below(6) {
                let at = rng.below(bytes.len() as u32) as usize;
                bytes[at] = rng.u32() as u8;
            }
            bytes.truncate(rng.below(bytes.len() as u32 + 1) as usize);
            assert!(packets(&bytes).count() <= RTCP_PACKETS);
        }
    }
}
