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

mod writer;

use core::fmt;

use rtcp_types::prelude::*;
use rtcp_types::{self as types, Fir, PayloadFeedback, Pli};

use crate::base::time::NtpTime;
use crate::limits::{RTCP_BLOCKS, RTCP_PACKETS, RTCP_SOURCES};

pub use writer::CompoundWriter;

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

#[cfg(test)]
mod tests;
