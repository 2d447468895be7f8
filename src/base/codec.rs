//! Codecs of the relay and what a receiver must know before it can decode them.

use core::fmt;

use heapless::Vec;

use crate::limits::{PARAMETER_SET_BYTES, PICTURE_PARAMETER_SETS};

/// Which of a call's two tracks a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// The caller's voice.
    Audio,
    /// The caller's picture.
    Video,
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Audio => "audio",
            Self::Video => "video",
        })
    }
}

/// A NAL unit of type 7 or 8, header byte included, without start code.
pub type ParameterSet = Vec<u8, PARAMETER_SET_BYTES>;

/// The parameter sets of an H.264 track, and what the SPS says of the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H264Config {
    /// Sequence parameter set in use.
    pub sps: ParameterSet,
    /// Picture parameter sets seen with it, by rising identifier; never empty.
    pub pps: Vec<ParameterSet, PICTURE_PARAMETER_SETS>,
    /// Picture width in pixels, cropping applied.
    pub width: u16,
    /// Picture height in pixels, cropping applied.
    pub height: u16,
}

/// What a receiver of one track must know before its first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "shared by `Rc`, one for each track"
)]
pub enum CodecConfig {
    /// H.264; frames are access units of NAL units with 4-byte lengths (AVC form).
    H264(H264Config),
    /// G.711 A-law, 8 kHz mono.
    Pcma,
    /// G.711 mu-law, 8 kHz mono.
    Pcmu,
}

impl CodecConfig {
    /// The codec's name as in SDP.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::H264(_) => "H264",
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
        }
    }
}
