//! One track as an offer and its answer agreed on it.

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

use core::net::SocketAddr;

use crate::base::codec::ParameterSet;
use crate::base::srtp::SrtpKeys;
use crate::rtp::bitrate::BitrateFeedback;
use crate::rtp::keyframe::Feedback;
use crate::rtp::telephone_event_sender::EventFormat;
use crate::wire::aac::AacPacking;

/// What a track's packets carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Codec {
    /// H.264 in packetization mode 0 or 1.
    H264 {
        /// Parameter sets from `sprop-parameter-sets`, header bytes included.
        sprop: Vec<ParameterSet>,
    },
    /// VP8.
    Vp8,
    /// Opus.
    Opus {
        /// Channels that the peer may send: 1 or 2.
        channels: u8,
    },
    /// AAC in one of its two payload formats.
    Aac(AacPacking),
    /// Speex at 16 kHz.
    Speex,
    /// G.711 A-law.
    Pcma,
    /// G.711 mu-law.
    Pcmu,
}

/// One track as an offer and its answer agreed on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// What is carried.
    pub codec: Codec,
    /// Payload type of the codec in what the peer sends.
    pub payload_type: u8,
    /// Payload type of the codec in what we send.
    pub send_payload_type: u8,
    /// Payload type of telephone events in what the peer sends.
    pub telephone_event: Option<u8>,
    /// How telephone events are sent to the peer, where it takes them.
    pub send_telephone_event: Option<EventFormat>,
    /// Where the peer said that it receives RTP; `None` when it stated no usable address.
    pub remote_rtp: Option<SocketAddr>,
    /// Where the peer said that it receives RTCP; `None` for the port after RTP's.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTCP comes and goes on the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// We may send.
    pub send: bool,
    /// The peer may send.
    pub receive: bool,
    /// Ways of asking for a keyframe that were offered.
    pub feedback: Feedback,
    /// Missing packets may be asked for again (`a=rtcp-fb: nack`).
    pub nack: bool,
    /// Ways of asking for a bit rate that were offered.
    pub bitrate_feedback: BitrateFeedback,
    /// Bits a second that the peer is not to exceed.
    pub bitrate: Option<u64>,
    /// Ticks of the RTP timestamp in a second.
    pub clock_rate: u32,
    /// The keys of both sides, where RTP and RTCP are protected.
    pub srtp: Option<Box<SrtpKeys>>,
}
