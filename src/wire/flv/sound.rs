//! Audio bodies in legacy form (FLV specification, annex E.4.2).

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

use crate::base::codec::{AacConfig, Codec, CodecConfig};
use crate::wire::flv::{Head, Writer};

/// Sound format of G.711 A-law.
pub const SOUND_PCMA: u8 = 7;
/// Sound format of G.711 mu-law.
pub const SOUND_PCMU: u8 = 8;
/// Sound format of AAC.
pub const SOUND_AAC: u8 = 10;
/// Sound format of Speex, which is 16 kHz there.
pub const SOUND_SPEEX: u8 = 11;

/// AAC's second byte before an AudioSpecificConfig.
pub(super) const AAC_SEQUENCE_HEADER: u8 = 0;
/// AAC's second byte before a raw data block.
const AAC_RAW: u8 = 1;

/// The sound format of a codec, if it has one.
pub(super) const fn format(codec: Codec) -> Option<u8> {
    match codec {
        Codec::Pcma => Some(SOUND_PCMA),
        Codec::Pcmu => Some(SOUND_PCMU),
        Codec::Aac => Some(SOUND_AAC),
        Codec::Speex => Some(SOUND_SPEEX),
        Codec::H264 | Codec::Vp8 | Codec::Opus => None,
    }
}

/// The first byte: format, rate, 16 bits, channels. AAC is always marked as 44 kHz stereo, since its
/// own configuration says what it is. The others are mono with rate bits 0: for Speex as the
/// specification wants it, for G.711 as ffmpeg and nginx-rtmp write and read it.
const fn first_byte(codec: Codec) -> Option<u8> {
    match format(codec) {
        Some(SOUND_AAC) => Some(SOUND_AAC << 4 | 0b1111),
        Some(format) => Some(format << 4 | 0b0010),
        None => None,
    }
}

/// The bytes before a frame.
pub(super) fn frame_head(config: &CodecConfig) -> Option<Head> {
    let codec = config.codec();
    let mut head = Head::new();
    head.push(first_byte(codec)?).ok()?;
    if codec == Codec::Aac {
        head.push(AAC_RAW).ok()?;
    }
    Some(head)
}

/// The AAC sequence header: an AudioSpecificConfig.
pub(super) fn write_aac_sequence_header(config: &AacConfig, writer: &mut Writer<'_>) -> Option<()> {
    if config.specific.is_empty() {
        return None;
    }
    writer.put(&[first_byte(Codec::Aac)?, AAC_SEQUENCE_HEADER])?;
    writer.put(&config.specific)
}
