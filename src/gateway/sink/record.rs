//! What is kept of a sink over a restart.

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
use serde::{Deserialize, Serialize};

use crate::base::codec::Codec;
use crate::base::time::WallTime;

/// A codec as stored. Variants are only ever added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredCodec {
    /// H.264.
    H264,
    /// VP8.
    Vp8,
    /// Opus.
    Opus,
    /// AAC.
    Aac,
    /// Speex.
    Speex,
    /// G.711 A-law.
    Pcma,
    /// G.711 mu-law.
    Pcmu,
}

/// Codecs of one list.
pub type StoredCodecs = FixedVec<StoredCodec, { Codec::ALL.len() }>;

/// One sink as stored. It has neither the server's name nor the stream's: only a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSink {
    /// Which sink: see [`crate::gateway::sink::facts::SinkKey`].
    pub key: [u8; 16],
    /// What the server listed in its last answer, once it was met.
    pub listed: Option<StoredList>,
    /// Codecs that it refused.
    pub refused: FixedVec<StoredRefusal, { Codec::ALL.len() }>,
}

/// A refusal as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRefusal {
    /// What was refused.
    pub codec: StoredCodec,
    /// When it was learned.
    pub at: StoredTime,
}

/// A list of Enhanced RTMP as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredList {
    /// Codecs that were on it.
    pub codecs: StoredCodecs,
    /// When it was read.
    pub at: StoredTime,
}

/// A reading of the wall clock as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTime {
    /// Seconds since 1970, by the clock of then.
    pub seconds: u64,
    /// Whether that clock was believable.
    pub believable: bool,
}

impl From<WallTime> for StoredTime {
    fn from(time: WallTime) -> Self {
        Self {
            seconds: time.seconds(),
            believable: time.is_believable(),
        }
    }
}

impl From<StoredTime> for WallTime {
    fn from(time: StoredTime) -> Self {
        Self::new(time.seconds, time.believable)
    }
}

impl From<Codec> for StoredCodec {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::H264 => Self::H264,
            Codec::Vp8 => Self::Vp8,
            Codec::Opus => Self::Opus,
            Codec::Aac => Self::Aac,
            Codec::Speex => Self::Speex,
            Codec::Pcma => Self::Pcma,
            Codec::Pcmu => Self::Pcmu,
        }
    }
}

impl From<StoredCodec> for Codec {
    fn from(codec: StoredCodec) -> Self {
        match codec {
            StoredCodec::H264 => Self::H264,
            StoredCodec::Vp8 => Self::Vp8,
            StoredCodec::Opus => Self::Opus,
            StoredCodec::Aac => Self::Aac,
            StoredCodec::Speex => Self::Speex,
            StoredCodec::Pcma => Self::Pcma,
            StoredCodec::Pcmu => Self::Pcmu,
        }
    }
}
