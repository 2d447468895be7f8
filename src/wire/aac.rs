//! AAC as RTP carries it: what its two payload formats say of a stream beforehand.
//!
//! Implements the parameters of mpeg4-generic in the mode AAC-hbr (RFC 3640, sections 3.2.1 and
//! 3.3.6) and of MP4A-LATM (RFC 6416, section 7.3).

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

use crate::base::codec::AacConfig;

/// How access units of AAC stand in RTP packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AacPacking {
    /// mpeg4-generic (RFC 3640).
    Generic(Mpeg4Generic),
    /// MP4A-LATM (RFC 6416).
    Latm(Latm),
}

/// The parameters of one mpeg4-generic payload type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mpeg4Generic {
    /// `config`.
    pub config: AacConfig,
    /// Bits of an access unit's size in its header, `sizeLength`; 0 where there is none.
    pub size_length: u8,
    /// Bits of the first access unit's index, `indexLength`.
    pub index_length: u8,
    /// Bits of the other access units' indexes, `indexDeltaLength`.
    pub index_delta_length: u8,
    /// Size of every access unit in bytes, `constantSize`.
    pub constant_size: Option<u16>,
}

/// The parameters of one MP4A-LATM payload type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latm {
    /// The StreamMuxConfig of `config`, where it was told beforehand.
    pub config: Option<AacConfig>,
    /// Whether a StreamMuxConfig may stand in the packets, `cpresent`.
    pub in_band: bool,
    /// Ticks of the RTP timestamp in a second, as in `a=rtpmap`.
    pub clock_rate: u32,
}
