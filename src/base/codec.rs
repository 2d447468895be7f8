//! Codecs of the relay and what a receiver must know before it can decode them.

use core::fmt;

use heapless::Vec;

use crate::limits::{AAC_CONFIG_BYTES, PARAMETER_SET_BYTES, PICTURE_PARAMETER_SETS};

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

/// A codec that can be relayed, whatever its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// H.264 video.
    H264,
    /// VP8 video.
    Vp8,
    /// Opus audio.
    Opus,
    /// AAC audio, in either RTP payload format.
    Aac,
    /// Speex audio at 16 kHz.
    Speex,
    /// G.711 A-law audio.
    Pcma,
    /// G.711 mu-law audio.
    Pcmu,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 7] = [
        Self::H264,
        Self::Vp8,
        Self::Opus,
        Self::Aac,
        Self::Speex,
        Self::Pcma,
        Self::Pcmu,
    ];

    /// The codec's name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::Vp8 => "VP8",
            Self::Opus => "Opus",
            Self::Aac => "AAC",
            Self::Speex => "Speex",
            Self::Pcma => "G.711 A-law",
            Self::Pcmu => "G.711 mu-law",
        }
    }

    /// The track that it is for.
    pub const fn track(self) -> Track {
        match self {
            Self::H264 | Self::Vp8 => Track::Video,
            Self::Opus | Self::Aac | Self::Speex | Self::Pcma | Self::Pcmu => Track::Audio,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of codecs.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CodecSet(u8);

impl CodecSet {
    /// No codec.
    pub const NONE: Self = Self(0);

    /// Every codec.
    pub const ALL: Self = Self::of(&Codec::ALL);

    /// These codecs.
    pub const fn of(codecs: &[Codec]) -> Self {
        let mut bits = 0;
        let mut rest = codecs;
        while let [codec, others @ ..] = rest {
            bits |= codec.bit();
            rest = others;
        }
        Self(bits)
    }

    /// Whether a codec is in it.
    pub const fn contains(self, codec: Codec) -> bool {
        self.0 & codec.bit() != 0
    }

    /// This set and the codecs of another.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the codecs of another.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The codecs that are in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is no codec in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its codecs, in the order of [`Codec::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Codec> {
        Codec::ALL
            .into_iter()
            .filter(move |codec| self.contains(*codec))
    }
}

impl fmt::Debug for CodecSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A NAL unit of type 7 or 8, header byte included, without start code; up to
/// [`PARAMETER_SET_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSet(Box<[u8]>);

impl ParameterSet {
    /// A copy of these bytes.
    ///
    /// # Errors
    ///
    /// [`SetTooLong`] when they are more than there is room for.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, SetTooLong> {
        if bytes.len() > PARAMETER_SET_BYTES {
            return Err(SetTooLong);
        }
        Ok(Self(bytes.into()))
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl core::ops::Deref for ParameterSet {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq<[u8]> for ParameterSet {
    fn eq(&self, other: &[u8]) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&[u8]> for ParameterSet {
    fn eq(&self, other: &&[u8]) -> bool {
        *self.0 == **other
    }
}

/// A parameter set is longer than any that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetTooLong;

/// The parameter sets of an H.264 track, and what the SPS says of the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H264Config {
    /// Sequence parameter set in use.
    pub sps: ParameterSet,
    /// Picture parameter sets of it, by rising identifier; never empty.
    pub pps: Vec<ParameterSet, PICTURE_PARAMETER_SETS>,
    /// Picture width in pixels, cropping applied.
    pub width: u16,
    /// Picture height in pixels, cropping applied.
    pub height: u16,
}

/// What VP8 keyframes say of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp8Config {
    /// Picture width in pixels.
    pub width: u16,
    /// Picture height in pixels.
    pub height: u16,
}

/// What an AAC decoder must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// The AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).
    pub specific: Vec<u8, AAC_CONFIG_BYTES>,
    /// Samples a second of the core, before spectral band replication.
    pub sample_rate: u32,
    /// Channels: 1 or 2.
    pub channels: u8,
    /// Samples of the core in one access unit: 1024, or 960.
    pub frame_samples: u16,
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
    /// VP8; frames are whole as an encoder makes them (RFC 6386, section 9.1).
    Vp8(Vp8Config),
    /// Opus; frames are packets of RFC 6716, section 3.
    Opus {
        /// Channels that the sender may use: 1 or 2.
        channels: u8,
    },
    /// AAC; frames are raw data blocks.
    Aac(AacConfig),
    /// Speex, 16 kHz mono; frames are packets of RFC 5574.
    Speex,
    /// G.711 A-law, 8 kHz mono.
    Pcma,
    /// G.711 mu-law, 8 kHz mono.
    Pcmu,
}

impl CodecConfig {
    /// Which codec it is for.
    pub const fn codec(&self) -> Codec {
        match self {
            Self::H264(_) => Codec::H264,
            Self::Vp8(_) => Codec::Vp8,
            Self::Opus { .. } => Codec::Opus,
            Self::Aac(_) => Codec::Aac,
            Self::Speex => Codec::Speex,
            Self::Pcma => Codec::Pcma,
            Self::Pcmu => Codec::Pcmu,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set = CodecSet::of(&[Codec::Pcma, Codec::H264]);
        assert_eq!(
            set.iter().collect::<std::vec::Vec<_>>(),
            [Codec::H264, Codec::Pcma]
        );
        assert!(!set.contains(Codec::Pcmu));
        let both = set.union(CodecSet::of(&[Codec::Vp8]));
        assert_eq!(both.without(set), CodecSet::of(&[Codec::Vp8]));
        assert_eq!(both.intersection(set), set);
        assert_eq!(CodecSet::ALL.iter().count(), Codec::ALL.len());
        assert!(set.without(CodecSet::ALL).is_empty());
    }
}
