//! What we send in a track in which we only listen: silence in sound, a still picture in video.
//!
//! Phones, NATs and PBXs keep a call whose other side sends; some show and send no picture of
//! their own before they have one of ours.

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

use crate::base::codec::Track;
use crate::base::rng::Rng;
use crate::base::time::{Instant, NtpTime};
use crate::rtp::silence::{Silence, Sound};
use crate::rtp::still::{Picture, Still};
use crate::rtp::stream::StreamConfig;
use crate::wire::rtcp::SenderInfo;

/// The sender of one track.
#[derive(Clone, Debug)]
pub enum Sending {
    /// Of audio.
    Silence(Box<Silence>),
    /// Of video.
    Still(Box<Still>),
}

impl Sending {
    /// A stopped sender for a track as it was agreed on.
    pub fn new(track: Track, config: &StreamConfig, rng: &mut Rng) -> Self {
        let payload_type = config.send_payload_type;
        match track {
            Track::Audio => {
                let sound = Sound::of(&config.codec, config.clock_rate);
                Self::Silence(Box::new(Silence::new(sound, payload_type, rng)))
            }
            Track::Video => {
                let picture = Picture::of(&config.codec);
                Self::Still(Box::new(Still::new(picture, payload_type, rng)))
            }
        }
    }

    /// Takes over what a new answer says; source, sequence and clock go on.
    pub fn configure(&mut self, config: &StreamConfig) {
        let payload_type = config.send_payload_type;
        match self {
            Self::Silence(silence) => {
                let sound = Sound::of(&config.codec, config.clock_rate);
                silence.set_codec(sound, payload_type);
            }
            Self::Still(still) => still.set_codec(Picture::of(&config.codec), payload_type),
        }
    }

    /// Our synchronisation source.
    pub fn ssrc(&self) -> u32 {
        match self {
            Self::Silence(silence) => silence.ssrc(),
            Self::Still(still) => still.ssrc(),
        }
    }

    /// Starts sending, unless it runs. The time of a pause passes on the RTP clock.
    pub fn start(&mut self, now: Instant) {
        match self {
            Self::Silence(silence) => silence.start(now),
            Self::Still(still) => still.start(now),
        }
    }

    /// Stops sending.
    pub fn stop(&mut self) {
        match self {
            Self::Silence(silence) => silence.stop(),
            Self::Still(still) => still.stop(),
        }
    }

    /// The peer needs a keyframe of ours.
    pub fn keyframe_wanted(&mut self, now: Instant) {
        match self {
            Self::Silence(_) => {}
            Self::Still(still) => still.keyframe_wanted(now),
        }
    }

    /// When the next packet is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Silence(silence) => silence.poll_timeout(),
            Self::Still(still) => still.poll_timeout(),
        }
    }

    /// Writes the next packet that is due and says its length; call until `None`.
    pub fn poll_packet(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Silence(silence) => silence.poll_packet(now, out),
            Self::Still(still) => still.poll_packet(now, out),
        }
    }

    /// What a sender report says of us at `now`, whose wall time is `ntp`; `None` while we are no
    /// sender.
    pub fn sender_info(&self, now: Instant, ntp: NtpTime) -> Option<SenderInfo> {
        match self {
            Self::Silence(silence) => silence.sender_info(now, ntp),
            Self::Still(still) => still.sender_info(now, ntp),
        }
    }
}
