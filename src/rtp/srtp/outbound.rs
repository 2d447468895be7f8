//! Protection of what we send: one source, one key.

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

use crate::base::srtp::MasterKey;
use crate::rtp::srtp::index::LAST_INDEX;
use crate::rtp::srtp::keys::{DerivedKeys, SessionKeys, Use};
use crate::rtp::srtp::{
    ENCIPHERED, RTCP_HEADER_BYTES, RTCP_TAG_BYTES, SrtpError, roll_over, rtcp_source,
    rtp_header_bytes, rtp_source,
};

/// What we send under one master key.
pub(super) struct Outbound {
    rtp: SessionKeys,
    rtcp: DerivedKeys,
    tag_bytes: usize,
    /// Our source and the index of its last packet.
    last: Option<(u32, u64)>,
    /// Index of the next RTCP packet.
    next_report: u32,
}

impl Outbound {
    pub(super) fn new(master: &MasterKey) -> Self {
        Self {
            rtp: DerivedKeys::new(master, Use::Rtp).expand(),
            rtcp: DerivedKeys::new(master, Use::Rtcp),
            tag_bytes: master.suite().tag_bytes(),
            last: None,
            next_report: 0,
        }
    }

    pub(super) fn protect_rtp(
        &mut self,
        buffer: &mut [u8],
        len: usize,
    ) -> Result<usize, SrtpError> {
        let whole = len.saturating_add(self.tag_bytes);
        let buffer = buffer.get_mut(..whole).ok_or(SrtpError::NoRoom)?;
        let (packet, tag) = buffer.split_at_mut_checked(len).ok_or(SrtpError::NoRoom)?;
        let header = rtp_header_bytes(packet).ok_or(SrtpError::Malformed)?;
        let (ssrc, sequence) = rtp_source(packet).ok_or(SrtpError::Malformed)?;
        let index = self.next_index(ssrc, sequence)?;
        // Kept whatever becomes of the packet: its key stream is used from here on.
        self.last = Some((ssrc, index));
        self.rtp
            .apply(ssrc, index, packet.get_mut(header..).unwrap_or_default());
        write_tag(&self.rtp, packet, &roll_over(index), tag);
        Ok(whole)
    }

    pub(super) fn protect_rtcp(
        &mut self,
        buffer: &mut [u8],
        len: usize,
    ) -> Result<usize, SrtpError> {
        let signed = len.saturating_add(4);
        let whole = signed.saturating_add(RTCP_TAG_BYTES);
        let buffer = buffer.get_mut(..whole).ok_or(SrtpError::NoRoom)?;
        let (packet, trailer) = buffer.split_at_mut_checked(len).ok_or(SrtpError::NoRoom)?;
        let (place, tag) = trailer.split_at_mut_checked(4).ok_or(SrtpError::NoRoom)?;
        let ssrc = rtcp_source(packet).ok_or(SrtpError::Malformed)?;
        let index = self.next_report;
        if index >= ENCIPHERED {
            return Err(SrtpError::KeyExhausted);
        }
        let keys = self.rtcp.expand();
        self.next_report = index.saturating_add(1);
        let body = packet.get_mut(RTCP_HEADER_BYTES..).unwrap_or_default();
        keys.apply(ssrc, u64::from(index), body);
        place.copy_from_slice(&(index | ENCIPHERED).to_be_bytes());
        write_tag(&keys, packet, place, tag);
        Ok(whole)
    }

    /// The index of our next packet: always ahead of the last.
    fn next_index(&self, ssrc: u32, sequence: u16) -> Result<u64, SrtpError> {
        let Some((own, last)) = self.last else {
            return Ok(u64::from(sequence));
        };
        if own != ssrc {
            return Err(SrtpError::TooManySources);
        }
        let ahead = sequence.wrapping_sub(last as u16);
        if ahead == 0 || ahead >= 0x8000 {
            return Err(SrtpError::OutOfOrder);
        }
        let index = last.saturating_add(u64::from(ahead));
        if index > LAST_INDEX {
            return Err(SrtpError::KeyExhausted);
        }
        Ok(index)
    }

    /// As if the packets up to an index had been sent already.
    #[cfg(test)]
    pub(super) fn wind_to(&mut self, ssrc: u32, index: u64, next_report: u32) {
        self.last = Some((ssrc, index));
        self.next_report = next_report;
    }
}

/// Writes as much of the tag as there is room for.
fn write_tag(keys: &SessionKeys, packet: &[u8], then: &[u8], place: &mut [u8]) {
    let tag = keys.tag(packet, then);
    for (byte, of_tag) in place.iter_mut().zip(tag.as_ref()) {
        *byte = *of_tag;
    }
}
