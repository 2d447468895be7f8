//! SRTP and SRTCP of one media line (RFC 3711; RFC 6188 for AES-256), in place and without clock,
//! socket or heap.
//!
//! AES in counter mode, HMAC-SHA1 with tags of 80 or 32 bits, a key derivation rate of zero, no
//! forward error correction, one master key at a time in each direction. What comes in is
//! authenticated before anything is learnt from it; the index of a source and the window against
//! replays move with authentic packets only. RTCP always has tags of 80 bits; ours is always
//! enciphered, theirs by its E bit.
//!
//! A key counts from its first packet on: when one is replaced, its direction begins at a roll-over
//! counter of zero and an empty window, and the other direction goes on as it was. Packets on their
//! way under the former key are taken for [`FORMER_KEY_TIME`].

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

mod cipher;
mod inbound;
mod index;
mod keys;
mod outbound;

use core::fmt;
use core::time::Duration;

use crate::base::counter::count;
use crate::base::srtp::{SrtpKeys, Suite};
use crate::base::time::Instant;

use inbound::Inbound;
use outbound::Outbound;

/// Bytes that protection adds to an RTCP packet of ours; to an RTP packet it adds fewer.
pub const TRAILER_BYTES: usize = 4 + RTCP_TAG_BYTES;

/// How long packets under a key that was replaced are still taken.
pub const FORMER_KEY_TIME: Duration = Duration::from_secs(2);

/// Bytes of the tag of an RTCP packet, in every suite.
const RTCP_TAG_BYTES: usize = 10;

/// Bytes of an RTCP packet that stay readable: the first header and the source.
const RTCP_HEADER_BYTES: usize = 8;

/// Set in the index of an RTCP packet that is enciphered.
const ENCIPHERED: u32 = 1 << 31;

/// Why a packet was not taken, or cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpError {
    /// Too short for what it must have, or no RTP at all.
    Malformed,
    /// Its tag is not right: damaged, forged, or under another key.
    Unauthentic,
    /// It came before, or is too old to tell.
    Replayed,
    /// More sources than [`crate::limits::SRTP_SOURCES`] under one key; for ours, more than one.
    TooManySources,
    /// The key has protected as many packets as it may: 2^48 of RTP or 2^31 of RTCP.
    KeyExhausted,
    /// Ours goes back: its key stream was used already.
    OutOfOrder,
    /// The buffer has no room for what protection adds.
    NoRoom,
}

impl fmt::Display for SrtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "no packet of SRTP",
            Self::Unauthentic => "authentication failed",
            Self::Replayed => "came before",
            Self::TooManySources => "too many sources under one key",
            Self::KeyExhausted => "the key is used up",
            Self::OutOfOrder => "sequence number used already",
            Self::NoRoom => "no room for the authentication tag",
        })
    }
}

impl core::error::Error for SrtpError {}

/// What was dropped, of RTP and RTCP together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SrtpCounters {
    /// Too short for what they must have.
    pub malformed: u64,
    /// Authentication failed.
    pub unauthentic: u64,
    /// Came before, or too late to tell.
    pub replayed: u64,
    /// Of a source for which there was no room.
    pub too_many_sources: u64,
    /// Packets of ours that could not be protected, and were not sent.
    pub unsent: u64,
}

impl SrtpCounters {
    /// All that came and was dropped.
    pub const fn dropped(&self) -> u64 {
        self.malformed
            .saturating_add(self.unauthentic)
            .saturating_add(self.replayed)
            .saturating_add(self.too_many_sources)
    }

    /// Counts an outcome of what came in.
    fn note(&mut self, outcome: Result<usize, SrtpError>) {
        match outcome {
            Ok(_) => {}
            Err(SrtpError::Malformed) => count(&mut self.malformed),
            Err(SrtpError::Replayed) => count(&mut self.replayed),
            Err(SrtpError::TooManySources) => count(&mut self.too_many_sources),
            Err(_) => count(&mut self.unauthentic),
        }
    }
}

/// The protection of one media line, both ways. About 4.5 KiB: keep it boxed.
pub struct Srtp {
    keys: Box<SrtpKeys>,
    outbound: Outbound,
    inbound: Inbound,
    /// What the other side protected with before, and when its key was replaced.
    former: Option<(Box<Inbound>, Instant)>,
    counters: SrtpCounters,
}

impl Srtp {
    /// Protection with new keys; nothing was sent or received under them yet.
    pub fn new(keys: Box<SrtpKeys>) -> Self {
        Self {
            outbound: Outbound::new(&keys.local),
            inbound: Inbound::new(&keys.remote, keys.remote_mki),
            keys,
            former: None,
            counters: SrtpCounters::default(),
        }
    }

    /// Takes over the keys of a new offer and answer. A direction whose key stays the same goes on.
    pub fn rekey(&mut self, now: Instant, keys: Box<SrtpKeys>) {
        if keys.local != self.keys.local {
            self.outbound = Outbound::new(&keys.local);
        }
        if (&keys.remote, keys.remote_mki) != (&self.keys.remote, self.keys.remote_mki) {
            let inbound = Inbound::new(&keys.remote, keys.remote_mki);
            let former = core::mem::replace(&mut self.inbound, inbound);
            self.former = Some((Box::new(former), now));
        }
        self.keys = keys;
    }

    /// The suite of both directions.
    pub fn suite(&self) -> Suite {
        self.keys.suite()
    }

    /// What was dropped so far.
    pub const fn counters(&self) -> &SrtpCounters {
        &self.counters
    }

    /// Protects the RTP packet in the first `len` bytes of `buffer`, and says how long it is then.
    ///
    /// # Errors
    ///
    /// The packet must not be sent: [`SrtpError::NoRoom`], [`SrtpError::Malformed`],
    /// [`SrtpError::OutOfOrder`], [`SrtpError::TooManySources`] or [`SrtpError::KeyExhausted`].
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let outcome = self.outbound.protect_rtp(buffer, len);
        if outcome.is_err() {
            count(&mut self.counters.unsent);
        }
        outcome
    }

    /// Protects the RTCP compound in the first `len` bytes of `buffer`, and says how long it is then:
    /// by [`TRAILER_BYTES`] longer.
    ///
    /// # Errors
    ///
    /// The compound must not be sent: [`SrtpError::NoRoom`], [`SrtpError::Malformed`] or
    /// [`SrtpError::KeyExhausted`].
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let outcome = self.outbound.protect_rtcp(buffer, len);
        if outcome.is_err() {
            count(&mut self.counters.unsent);
        }
        outcome
    }

    /// Authenticates and deciphers an RTP packet; says how much of it is left. One that fails stays
    /// as it came, and is counted.
    ///
    /// # Errors
    ///
    /// The packet is to be dropped: [`SrtpError::Malformed`], [`SrtpError::Unauthentic`],
    /// [`SrtpError::Replayed`] or [`SrtpError::TooManySources`].
    pub fn unprotect_rtp(&mut self, now: Instant, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let mut outcome = self.inbound.unprotect_rtp(packet);
        if outcome == Err(SrtpError::Unauthentic)
            && let Some(former) = self.former(now)
        {
            outcome = former.unprotect_rtp(packet);
        }
        self.counters.note(outcome);
        outcome
    }

    /// The same for an RTCP compound.
    ///
    /// # Errors
    ///
    /// As for [`Self::unprotect_rtp`].
    pub fn unprotect_rtcp(&mut self, now: Instant, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let mut outcome = self.inbound.unprotect_rtcp(packet);
        if outcome == Err(SrtpError::Unauthentic)
            && let Some(former) = self.former(now)
        {
            outcome = former.unprotect_rtcp(packet);
        }
        self.counters.note(outcome);
        outcome
    }

    /// What was before the present key, for a while.
    fn former(&mut self, now: Instant) -> Option<&mut Inbound> {
        let is_over = |since: Instant| now.since(since) >= FORMER_KEY_TIME;
        self.former.take_if(|(_, since)| is_over(*since));
        self.former.as_mut().map(|(former, _)| &mut **former)
    }
}

impl fmt::Debug for Srtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Srtp")
            .field("suite", &self.suite())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// Where the payload of an RTP packet begins, behind contributing sources and header extension;
/// `None` for what is no RTP.
fn rtp_header_bytes(packet: &[u8]) -> Option<usize> {
    let flags = *packet.first()?;
    if flags >> 6 != 2 {
        return None;
    }
    let mut bytes = usize::from(flags & 0x0f)
        .saturating_mul(4)
        .saturating_add(12);
    if flags & 0x10 != 0 {
        let [_, _, words @ ..] = *packet.get(bytes..)?.first_chunk::<4>()?;
        let words = usize::from(u16::from_be_bytes(words));
        bytes = bytes
            .saturating_add(words.saturating_mul(4))
            .saturating_add(4);
    }
    (bytes <= packet.len()).then_some(bytes)
}

/// Source and sequence number of an RTP packet.
fn rtp_source(packet: &[u8]) -> Option<(u32, u16)> {
    let [_, _, s0, s1, _, _, _, _, ssrc @ ..] = *packet.first_chunk::<12>()?;
    Some((u32::from_be_bytes(ssrc), u16::from_be_bytes([s0, s1])))
}

/// Source of an RTCP packet.
fn rtcp_source(packet: &[u8]) -> Option<u32> {
    let [flags, _, _, _, ssrc @ ..] = *packet.first_chunk::<RTCP_HEADER_BYTES>()?;
    (flags >> 6 == 2).then(|| u32::from_be_bytes(ssrc))
}

/// The part of an index above the sequence number, as it is authenticated.
const fn roll_over(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

#[cfg(test)]
mod tests;
