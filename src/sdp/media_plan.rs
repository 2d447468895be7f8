//! What was agreed, as plain values for the media side.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use heapless::Vec as FixedVec;

use crate::base::codec::{self, ParameterSet};
use crate::base::srtp::SrtpKeys;
use crate::limits::SDP_MEDIA;
use crate::sdp::choose::Choice;
use crate::sdp::direction::{Direction, without_receiving};
use crate::sdp::refusal::LineRefusal;
use crate::wire::aac::AacPacking;
use crate::wire::sdp_media::{Feedback, FeedbackScope, MediaAddress, MediaKind, MediaLine};

/// Where our media of a call lives. RTCP has the port after RTP's, unless it is muxed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalMedia {
    /// The address that the other side is to send to; not unspecified.
    pub address: IpAddr,
    /// RTP port for audio; without one, audio is refused.
    pub audio_port: Option<u16>,
    /// RTP port for video; without one, video is refused.
    pub video_port: Option<u16>,
    /// Whether RTCP on the RTP port is accepted where it is offered.
    pub rtcp_mux: bool,
}

/// The outcome of an offer and its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// The audio line in use.
    pub audio: Option<MediaPlan>,
    /// The video line in use.
    pub video: Option<MediaPlan>,
    /// The other lines and why they are not in use.
    pub refused: FixedVec<RefusedLine, SDP_MEDIA>,
}

impl Negotiated {
    /// The lines of sound and picture that the other side wanted and does not get, in words by their
    /// `Display`, such as `audio left out: the server refused G.711`. A line that is spare or that
    /// the other side has out of use is not among them.
    pub fn left_out(&self) -> impl Iterator<Item = &RefusedLine> {
        self.refused.iter().filter(|line| {
            let taken = match line.kind {
                MediaKind::Audio => self.audio.is_some(),
                MediaKind::Video => self.video.is_some(),
                MediaKind::Other => true,
            };
            !taken && !matches!(line.reason, LineRefusal::Disabled | LineRefusal::Spare)
        })
    }
}

/// A media line that is not in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedLine {
    /// Its place among the media lines, from 0.
    pub line: usize,
    /// What it was about.
    pub kind: MediaKind,
    /// Why.
    pub reason: LineRefusal,
}

impl fmt::Display for RefusedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
            MediaKind::Other => "media",
        };
        write!(f, "{kind} left out: {}", self.reason)
    }
}

/// One media line in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaPlan {
    /// Its place among the media lines, from 0.
    pub line: usize,
    /// What flows in it.
    pub codec: PlannedCodec,
    /// Payload type of what we receive.
    pub payload_type: u8,
    /// Payload type of what we send; differs only if their answer renumbered our offer.
    pub send_payload_type: u8,
    /// RTP clock, in ticks a second.
    pub clock_rate: u32,
    /// Payload type of telephone-event (RFC 4733), as received: that of the codec's clock rate, else
    /// that of 8 kHz, which some phones offer beside every codec.
    pub telephone_event: Option<u8>,
    /// Payload type and clock rate of telephone-event in what we send, where the other side takes it; a
    /// rate above 65,535 Hz, which only some AAC has, is cut to that.
    pub send_telephone_event: Option<(u8, u16)>,
    /// Where RTP goes; `None` on hold by `c=0.0.0.0` or while only a host name is known.
    pub remote_rtp: Option<SocketAddr>,
    /// Where RTCP goes; `None` where [`Self::remote_rtp`] is.
    pub remote_rtcp: Option<SocketAddr>,
    /// Whether RTCP shares the RTP ports, on both sides.
    pub rtcp_mux: bool,
    /// Whether we send.
    pub send: bool,
    /// Whether we receive; false on hold.
    pub receive: bool,
    /// Feedback messages that the other side understands, as it says.
    pub feedback: Feedback,
    /// Bits a second that we asked to get at most, by the trunk's `sdp` or `sdpParams`: those of the
    /// media section, else of the session.
    pub bitrate_asked: Option<u64>,
    /// Bits a second that the other side wants to get at most, from its `b=` lines.
    pub bitrate_theirs: Option<u64>,
    /// Milliseconds of audio that the other side would like in a packet.
    pub ptime: Option<u16>,
    /// Milliseconds of audio that the other side takes in a packet at most.
    pub maxptime: Option<u16>,
    /// The keys of both sides, where the line is protected by SRTP.
    pub srtp: Option<Box<SrtpKeys>>,
}

impl MediaPlan {
    /// The same line after an answer that only moves it: where its media goes, and its direction.
    pub(super) fn moved(&self, line: &MediaLine<'_>, direction: Direction) -> Self {
        let (remote_rtp, remote_rtcp) = remote(line, self.rtcp_mux);
        Self {
            remote_rtp,
            remote_rtcp,
            send: direction.sends(),
            receive: direction.receives(),
            ..self.clone()
        }
    }
}

/// The codec of a line and what its description told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedCodec {
    /// H.264 (RFC 6184).
    H264 {
        /// 0 (single NAL units) or 1 (aggregation and fragments too).
        packetization_mode: u8,
        /// Profile, constraint flags and level, where the other side told them.
        profile_level_id: Option<[u8; 3]>,
        /// Parameter sets told beforehand.
        sprop: Vec<ParameterSet>,
    },
    /// VP8 (RFC 7741).
    Vp8,
    /// Opus (RFC 7587).
    Opus {
        /// Channels that the sender is likely to use, by its `sprop-stereo`: 1 or 2.
        channels: u8,
    },
    /// AAC, in the payload format of RFC 3640 or RFC 6416.
    Aac(AacPacking),
    /// Speex at 16 kHz (RFC 5574).
    Speex,
    /// G.711 A-law.
    Pcma,
    /// G.711 mu-law.
    Pcmu,
}

impl PlannedCodec {
    /// Which codec it is.
    pub const fn codec(&self) -> codec::Codec {
        match self {
            Self::H264 { .. } => codec::Codec::H264,
            Self::Vp8 => codec::Codec::Vp8,
            Self::Opus { .. } => codec::Codec::Opus,
            Self::Aac(_) => codec::Codec::Aac,
            Self::Speex => codec::Codec::Speex,
            Self::Pcma => codec::Codec::Pcma,
            Self::Pcmu => codec::Codec::Pcmu,
        }
    }

    /// The encoding name in SDP.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::H264 { .. } => "H264",
            Self::Vp8 => "VP8",
            Self::Opus { .. } => "opus",
            Self::Aac(AacPacking::Generic(_)) => "mpeg4-generic",
            Self::Aac(AacPacking::Latm(_)) => "MP4A-LATM",
            Self::Speex => "speex",
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
        }
    }
}

impl fmt::Display for PlannedCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the other side will do with a line, its address taken into account.
pub(super) fn their_direction(line: &MediaLine<'_>) -> Direction {
    match line.address() {
        MediaAddress::Hold => without_receiving(line.direction()),
        _ => line.direction(),
    }
}

/// Whether RTP with these payload types can be told from RTCP on one port (RFC 5761, section 4).
pub(super) fn may_mux(choice: &Choice) -> bool {
    let clashes = |number: u8| (64..=95).contains(&number);
    !clashes(choice.payload_type)
        && !choice
            .telephone_event
            .is_some_and(|events| clashes(events.payload_type))
}

/// The plan of a line in use, from their description of it and what we chose.
pub(super) fn media_plan(
    at: usize,
    line: &MediaLine<'_>,
    choice: Choice,
    direction: Direction,
    rtcp_mux: bool,
    bitrate_asked: Option<u64>,
    srtp: Option<Box<SrtpKeys>>,
) -> MediaPlan {
    let (remote_rtp, remote_rtcp) = remote(line, rtcp_mux);
    let scope = FeedbackScope::PayloadType(choice.send_payload_type);
    MediaPlan {
        line: at,
        clock_rate: choice.format.clock_rate(),
        codec: choice.format.planned(),
        payload_type: choice.payload_type,
        send_payload_type: choice.send_payload_type,
        telephone_event: choice.telephone_event.map(|events| events.payload_type),
        send_telephone_event: choice
            .telephone_event
            .map(|events| (events.send_payload_type, rate_of(events.clock_rate))),
        remote_rtp,
        remote_rtcp,
        rtcp_mux,
        send: direction.sends(),
        receive: direction.receives(),
        feedback: line.feedback(FeedbackScope::All).or(line.feedback(scope)),
        bitrate_asked,
        bitrate_theirs: line.bitrate(),
        ptime: line.ptime(),
        maxptime: line.maxptime(),
        srtp,
    }
}

fn rate_of(clock_rate: u32) -> u16 {
    u16::try_from(clock_rate).unwrap_or(u16::MAX)
}

/// Where RTP and RTCP of a line go.
fn remote(line: &MediaLine<'_>, rtcp_mux: bool) -> (Option<SocketAddr>, Option<SocketAddr>) {
    let MediaAddress::Ip(ip) = line.address() else {
        return (None, None);
    };
    let rtp = SocketAddr::new(ip, line.port());
    let rtcp = match line.rtcp() {
        _ if rtcp_mux => Some(rtp),
        Some((port, Some(MediaAddress::Ip(other)))) if other.is_ipv4() == ip.is_ipv4() => {
            Some(SocketAddr::new(other, port))
        }
        Some((port, _)) => Some(SocketAddr::new(ip, port)),
        None => line
            .port()
            .checked_add(1)
            .map(|port| SocketAddr::new(ip, port)),
    };
    (Some(rtp), rtcp)
}
