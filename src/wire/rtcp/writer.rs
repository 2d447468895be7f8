//! Writing RTCP: compounds of reports, descriptions and requests, without allocation.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::limits::{RTCP_CNAME_BYTES, RTCP_NACK_ENTRIES};
use crate::wire::rtcp::{
    BYE, BitrateLimit, FORMAT_APPLICATION, FORMAT_FIR, FORMAT_NACK, FORMAT_PLI, FORMAT_TMMBN,
    FORMAT_TMMBR, PAYLOAD_FEEDBACK, RECEIVER_REPORT, ReportBlock, SDES, SDES_CNAME, SENDER_REPORT,
    SenderInfo, TRANSPORT_FEEDBACK,
};

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

/// A number as mantissa and power of two, the mantissa in `bits` bits, rounded down.
pub(super) fn exponent_and_mantissa(number: u64, bits: u32) -> (u8, u32) {
    let exponent = (u64::BITS - number.leading_zeros()).saturating_sub(bits);
    ((exponent & 0x3f) as u8, (number >> exponent) as u32)
}
