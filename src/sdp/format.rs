//! One payload type that can be relayed, with what its description says of it.

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

use crate::base::codec::Codec;
use crate::sdp::media_plan::PlannedCodec;
use crate::wire::aac::AacPacking;
use crate::wire::sdp_audio::{AacFormat, AacFormatError, OpusFormat};
use crate::wire::sdp_codec::{H264Format, fmtp_parameters};
use crate::wire::sdp_media::{MediaKind, MediaLine};

/// The kind of media line that a codec belongs in.
pub(super) const fn kind_of(codec: Codec) -> MediaKind {
    match codec {
        Codec::H264 | Codec::Vp8 => MediaKind::Video,
        Codec::Opus | Codec::Aac | Codec::Speex | Codec::Pcma | Codec::Pcmu => MediaKind::Audio,
    }
}

/// The codec of a configured or encoding name, whatever its case.
pub(super) fn codec_named(name: &str) -> Option<Codec> {
    let name = name.trim();
    let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
    if is(&["h264", "avc"]) {
        Some(Codec::H264)
    } else if is(&["vp8"]) {
        Some(Codec::Vp8)
    } else if is(&["opus"]) {
        Some(Codec::Opus)
    } else if is(&["aac", "mpeg4-generic", "mp4a-latm"]) {
        Some(Codec::Aac)
    } else if is(&["speex", "speex16"]) {
        Some(Codec::Speex)
    } else if is(&["pcma", "alaw", "g711a"]) {
        Some(Codec::Pcma)
    } else if is(&["pcmu", "ulaw", "g711u"]) {
        Some(Codec::Pcmu)
    } else {
        None
    }
}

/// What is said of a payload type that can be relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Packetization-mode 0 or 1.
    H264(H264Format),
    Vp8,
    Opus(OpusFormat),
    Aac(AacFormat),
    Speex,
    Pcma,
    Pcmu,
}

/// Why a payload type cannot be relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Its encoding, or a form of it, is not relayed.
    Encoding,
    /// It is AAC, and this is wrong with it.
    Aac(AacFormatError),
}

impl Format {
    /// Reads a payload type of a line.
    pub(super) fn read(line: &MediaLine<'_>, number: u8) -> Result<Self, Unfit> {
        let map = line.rtpmap(number).ok_or(Unfit::Encoding)?;
        let parameters = || line.fmtp(number).flat_map(fmtp_parameters);
        if line.kind() == MediaKind::Video {
            return if map.is("H264", 90_000) {
                let format = line.h264(number);
                if format.packetization_mode > 1 {
                    return Err(Unfit::Encoding);
                }
                Ok(Self::H264(format))
            } else if map.is("VP8", 90_000) {
                Ok(Self::Vp8)
            } else {
                Err(Unfit::Encoding)
            };
        }
        if let Some(read) = AacFormat::parse(&map, parameters()) {
            return read.map(Self::Aac).map_err(Unfit::Aac);
        }
        if map.is("PCMA", 8_000) {
            Ok(Self::Pcma)
        } else if map.is("PCMU", 8_000) {
            Ok(Self::Pcmu)
        } else if map.is("speex", 16_000) && map.clock_rate.is_some() {
            Ok(Self::Speex)
        } else if map.is_of("opus", 48_000, 2) {
            Ok(Self::Opus(OpusFormat::parse(parameters())))
        } else {
            Err(Unfit::Encoding)
        }
    }

    pub(super) const fn codec(&self) -> Codec {
        match self {
            Self::H264(_) => Codec::H264,
            Self::Vp8 => Codec::Vp8,
            Self::Opus(_) => Codec::Opus,
            Self::Aac(_) => Codec::Aac,
            Self::Speex => Codec::Speex,
            Self::Pcma => Codec::Pcma,
            Self::Pcmu => Codec::Pcmu,
        }
    }

    /// Ticks of RTP time in a second.
    pub(super) const fn clock_rate(&self) -> u32 {
        match self {
            Self::H264(_) | Self::Vp8 => 90_000,
            Self::Opus(_) => 48_000,
            Self::Aac(format) => format.clock_rate,
            Self::Speex => 16_000,
            Self::Pcma | Self::Pcmu => 8_000,
        }
    }

    /// The text of `a=rtpmap` after the number.
    pub(super) fn rtpmap(&self) -> String {
        match self {
            Self::H264(_) => "H264/90000".to_owned(),
            Self::Vp8 => "VP8/90000".to_owned(),
            Self::Opus(_) => "opus/48000/2".to_owned(),
            Self::Speex => "speex/16000".to_owned(),
            Self::Pcma => "PCMA/8000".to_owned(),
            Self::Pcmu => "PCMU/8000".to_owned(),
            Self::Aac(format) => {
                let name = match format.packing {
                    AacPacking::Generic(_) => "mpeg4-generic",
                    AacPacking::Latm(_) => "MP4A-LATM",
                };
                match format.channels {
                    1 => format!("{name}/{}", format.clock_rate),
                    channels => format!("{name}/{}/{channels}", format.clock_rate),
                }
            }
        }
    }

    /// The text of `a=fmtp` after the number in an answer to this format.
    ///
    /// H.264 repeats what has to be the same on both sides (RFC 6184, section 8.2.2). Of Opus we
    /// say what we want: stereo where there is some to be had; no error correction and no pauses,
    /// of which the readers of a stream have no use. AAC repeats the whole stream.
    pub(super) fn answer_fmtp(&self) -> Option<String> {
        match self {
            Self::H264(format) => h264_answer(format),
            Self::Opus(format) => format.sprop_stereo.then(|| "stereo=1".to_owned()),
            Self::Aac(format) => Some(format.parameters()),
            Self::Vp8 | Self::Speex | Self::Pcma | Self::Pcmu => None,
        }
    }

    /// The plain value for the media side.
    pub(super) fn planned(self) -> PlannedCodec {
        match self {
            Self::H264(format) => PlannedCodec::H264 {
                packetization_mode: format.packetization_mode,
                profile_level_id: format.profile_level_id,
                sprop: format.sprop,
            },
            Self::Vp8 => PlannedCodec::Vp8,
            Self::Opus(format) => PlannedCodec::Opus {
                channels: if format.sprop_stereo { 2 } else { 1 },
            },
            Self::Aac(format) => PlannedCodec::Aac(format.packing),
            Self::Speex => PlannedCodec::Speex,
            Self::Pcma => PlannedCodec::Pcma,
            Self::Pcmu => PlannedCodec::Pcmu,
        }
    }

    /// Whether an answer's format may stand for one of our offer: the same codec and payload
    /// format at the same clock rate, with NAL units packed in the same way.
    pub(super) fn answers(&self, offered: &Self) -> bool {
        let same = match (self, offered) {
            (Self::H264(own), Self::H264(other)) => {
                own.packetization_mode == other.packetization_mode
            }
            (Self::Aac(own), Self::Aac(other)) => {
                core::mem::discriminant(&own.packing) == core::mem::discriminant(&other.packing)
            }
            _ => self.codec() == offered.codec(),
        };
        same && self.clock_rate() == offered.clock_rate()
    }
}

/// The parameters that an answer repeats (RFC 6184, section 8.2.2): the mode has to be the same,
/// and so has the profile; the level is the offered one, or free if both sides say so.
fn h264_answer(format: &H264Format) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(text) = &format.profile_level_id_text {
        parts.push(format!("profile-level-id={text}"));
    }
    if format.level_asymmetry_allowed {
        parts.push("level-asymmetry-allowed=1".to_owned());
    }
    if format.packetization_mode_said {
        parts.push(format!("packetization-mode={}", format.packetization_mode));
    }
    (!parts.is_empty()).then(|| parts.join(";"))
}
