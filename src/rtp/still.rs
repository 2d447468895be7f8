//! The still picture that we send, for peers that wait for video before they send theirs.
//!
//! One black picture a second, each a keyframe with all that its decoder needs, so that a lost
//! packet is made good by the next one. The peer's requests for a keyframe (RFC 4585, section 6.3.1;
//! RFC 5104, section 4.3.1) are answered at once, paced; nothing is ever sent twice.

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

mod picture;

use core::time::Duration;

use crate::base::rng::Rng;
use crate::base::time::{Instant, NtpTime};
use crate::rtp::own_source::OwnSource;
use crate::wire::rtcp::SenderInfo;

pub use picture::Picture;

/// From one picture to the next.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// No two pictures are closer than this, whatever the peer asks.
pub const MIN_GAP: Duration = Duration::from_millis(500);

/// Ticks of the RTP clock of video a second.
const CLOCK_RATE: u32 = 90_000;

/// The sender of the still picture of one call.
#[derive(Clone, Debug)]
pub struct Still {
    source: OwnSource,
    /// `None` for a codec without a picture: nothing is sent.
    picture: Option<&'static Picture>,
    /// When the next picture is due; `None` while stopped.
    due: Option<Instant>,
    /// When the last picture was begun.
    last: Option<Instant>,
    /// Pictures begun.
    turn: usize,
    /// Packets of the present picture that are out; zero between pictures.
    packet: usize,
}

impl Still {
    /// A stopped sender with random SSRC, sequence number and timestamp.
    pub fn new(picture: Option<&'static Picture>, payload_type: u8, rng: &mut Rng) -> Self {
        Self {
            source: OwnSource::new(CLOCK_RATE, payload_type, rng),
            picture,
            due: None,
            last: None,
            turn: 0,
            packet: 0,
        }
    }

    /// Takes over the codec of a new answer, with a picture in it as soon as pacing allows.
    pub fn set_codec(&mut self, picture: Option<&'static Picture>, payload_type: u8) {
        if picture != self.picture {
            self.picture = picture;
            self.packet = 0;
            self.due = self.due.and(picture).map(|_| self.allowed_from());
        }
        self.source.set_payload_type(payload_type);
    }

    /// Our synchronisation source.
    pub fn ssrc(&self) -> u32 {
        self.source.ssrc()
    }

    /// Starts sending; the first picture is due as soon as pacing allows.
    pub fn start(&mut self, now: Instant) {
        if self.due.is_none() && self.picture.is_some() {
            self.packet = 0;
            self.due = Some(self.allowed_from().max(now));
        }
    }

    /// Stops sending.
    pub fn stop(&mut self) {
        self.due = None;
    }

    /// Makes the next picture due as soon as pacing allows.
    pub fn keyframe_wanted(&mut self, now: Instant) {
        let soon = self.allowed_from().max(now);
        self.due = self.due.map(|due| due.min(soon));
    }

    /// When the next picture is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Writes the next packet that is due and says its length; call until `None`.
    ///
    /// `None` also when `out` is too short; [`crate::limits::RTCP_COMPOUND_BYTES`] suffice.
    pub fn poll_packet(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let due = self.due.filter(|due| now >= *due)?;
        let turns = self.picture?.turns;
        let packets = turns.get(self.turn.checked_rem(turns.len())?)?;
        let payload = packets.get(self.packet)?;
        // The packets of a picture share the time at which it began.
        let at = match self.packet {
            0 => now,
            _ => self.last.unwrap_or(due),
        };
        let next = self.packet.saturating_add(1);
        let is_whole = next >= packets.len();
        let length = self.source.write(now, at, is_whole, payload, out)?;
        self.last = Some(at);
        if is_whole {
            self.packet = 0;
            self.turn = self.turn.wrapping_add(1);
            self.due = Some(at + INTERVAL);
        } else {
            self.packet = next;
        }
        Some(length)
    }

    /// What a sender report says of us at `now`, whose wall time is `ntp`; `None` while we are no
    /// sender.
    pub fn sender_info(&self, now: Instant, ntp: NtpTime) -> Option<SenderInfo> {
        self.source.sender_info(now, ntp)
    }

    /// When the next picture may leave at the earliest.
    fn allowed_from(&self) -> Instant {
        self.last.map_or(Instant::ZERO, |last| last + MIN_GAP)
    }
}
