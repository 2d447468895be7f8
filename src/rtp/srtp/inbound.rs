//! Authentication and deciphering of what comes in under one key.

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

use heapless::Vec as FixedVec;

use crate::base::srtp::{MasterKey, Mki};
use crate::limits::SRTP_SOURCES;
use crate::rtp::srtp::index::{Window, estimate};
use crate::rtp::srtp::keys::{DerivedKeys, SessionKeys, Use, is_tag};
use crate::rtp::srtp::{
    ENCIPHERED, RTCP_HEADER_BYTES, RTCP_TAG_BYTES, SrtpError, roll_over, rtcp_source,
    rtp_header_bytes, rtp_source,
};

/// The sources of one key, each with the window of its packets.
type Sources = FixedVec<(u32, Window), SRTP_SOURCES>;

/// What comes in under one master key.
pub(super) struct Inbound {
    rtp: SessionKeys,
    rtcp: DerivedKeys,
    tag_bytes: usize,
    mki: Option<Mki>,
    sources: Sources,
    /// The same for RTCP, which has indices of its own.
    reporters: Sources,
}

impl Inbound {
    pub(super) fn new(master: &MasterKey, mki: Option<Mki>) -> Self {
        Self {
            rtp: DerivedKeys::new(master, Use::Rtp).expand(),
            rtcp: DerivedKeys::new(master, Use::Rtcp),
            tag_bytes: master.suite().tag_bytes(),
            mki,
            sources: Sources::new(),
            reporters: Sources::new(),
        }
    }

    pub(super) fn unprotect_rtp(&mut self, datagram: &mut [u8]) -> Result<usize, SrtpError> {
        let header = rtp_header_bytes(datagram).ok_or(SrtpError::Malformed)?;
        let (ssrc, sequence) = rtp_source(datagram).ok_or(SrtpError::Malformed)?;
        let parts = Parts::of(datagram, self.mki, self.tag_bytes).ok_or(SrtpError::Malformed)?;
        let (packet, tag) = (parts.signed, parts.tag);
        if packet.len() < header {
            return Err(SrtpError::Malformed);
        }
        check_mki(self.mki, parts.mki)?;
        let is_authentic =
            |keys: &SessionKeys, index| is_tag(&keys.tag(packet, &roll_over(index)), tag);
        let index = match window_of(&self.sources, ssrc) {
            Some(window) => {
                let index = estimate(window.highest(), sequence).ok_or(SrtpError::Replayed)?;
                if !window.is_new(index) {
                    return Err(SrtpError::Replayed);
                }
                is_authentic(&self.rtp, index).then_some(index)
            }
            // The numbers of a source may have come round before its first packet came here.
            None => [0, 1_u64 << 16]
                .into_iter()
                .map(|round| round | u64::from(sequence))
                .find(|index| is_authentic(&self.rtp, *index)),
        };
        let index = index.ok_or(SrtpError::Unauthentic)?;
        let len = packet.len();
        take(&mut self.sources, ssrc, index)?;
        let body = datagram.get_mut(header..len).unwrap_or_default();
        self.rtp.apply(ssrc, index, body);
        Ok(len)
    }

    pub(super) fn unprotect_rtcp(&mut self, datagram: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = rtcp_source(datagram).ok_or(SrtpError::Malformed)?;
        let parts = Parts::of(datagram, self.mki, RTCP_TAG_BYTES).ok_or(SrtpError::Malformed)?;
        let (signed, tag) = (parts.signed, parts.tag);
        let (packet, index) = signed.split_last_chunk().ok_or(SrtpError::Malformed)?;
        if packet.len() < RTCP_HEADER_BYTES {
            return Err(SrtpError::Malformed);
        }
        check_mki(self.mki, parts.mki)?;
        let word = u32::from_be_bytes(*index);
        let index = u64::from(word & !ENCIPHERED);
        if window_of(&self.reporters, ssrc).is_some_and(|window| !window.is_new(index)) {
            return Err(SrtpError::Replayed);
        }
        // Reports are rare: their keys are made ready for each.
        let keys = self.rtcp.expand();
        if !is_tag(&keys.tag(signed, &[]), tag) {
            return Err(SrtpError::Unauthentic);
        }
        let len = packet.len();
        take(&mut self.reporters, ssrc, index)?;
        if word & ENCIPHERED != 0 {
            let body = datagram.get_mut(RTCP_HEADER_BYTES..len);
            keys.apply(ssrc, index, body.unwrap_or_default());
        }
        Ok(len)
    }

    /// As if a source's packets up to an index had come already.
    #[cfg(test)]
    pub(super) fn wind_to(&mut self, ssrc: u32, index: u64) {
        take(&mut self.sources, ssrc, index).unwrap();
    }
}

/// A datagram in three.
struct Parts<'a> {
    /// What is authenticated.
    signed: &'a [u8],
    mki: &'a [u8],
    tag: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(datagram: &'a [u8], mki: Option<Mki>, tag_bytes: usize) -> Option<Self> {
        let mki_bytes = mki.map_or(0, |mki| usize::from(mki.len));
        let at = datagram.len().checked_sub(tag_bytes)?;
        let (rest, tag) = datagram.split_at_checked(at)?;
        let at = rest.len().checked_sub(mki_bytes)?;
        let (signed, mki) = rest.split_at_checked(at)?;
        Some(Self { signed, mki, tag })
    }
}

/// Whether the identifier in a packet is that of the key.
fn check_mki(mki: Option<Mki>, of_packet: &[u8]) -> Result<(), SrtpError> {
    let value = of_packet
        .iter()
        .fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
    match mki {
        Some(mki) if mki.value != value => Err(SrtpError::Unauthentic),
        _ => Ok(()),
    }
}

fn window_of(sources: &Sources, ssrc: u32) -> Option<Window> {
    let found = sources.iter().find(|(source, _)| *source == ssrc);
    found.map(|(_, window)| *window)
}

/// Takes note of an authentic packet.
fn take(sources: &mut Sources, ssrc: u32, index: u64) -> Result<(), SrtpError> {
    match sources.iter_mut().find(|(source, _)| *source == ssrc) {
        Some((_, window)) => window.take(index),
        // Who is forgotten could be played again, so nobody is.
        None => sources
            .push((ssrc, Window::new(index)))
            .map_err(|_| SrtpError::TooManySources)?,
    }
    Ok(())
}
