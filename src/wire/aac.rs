//! AAC as RTP carries it: what a decoder is told of a stream beforehand (AudioSpecificConfig,
//! ISO/IEC 14496-3, 1.6.2.1), and the parameters of the two payload formats.
//!
//! Implements the parameters of mpeg4-generic in the mode AAC-hbr (RFC 3640, sections 3.2.1 and
//! 3.3.6) and of MP4A-LATM (RFC 6416, section 7.3). Only AAC-LC in one or two channels is taken,
//! also as the core of HE-AAC (SBR) and HE-AAC v2 (PS): receivers of FLV take nothing else. Other
//! object types (Main, SSR, LTP, LD, ELD, xHE-AAC), more channels and channels described by a
//! program config element are refused with words.

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

use core::fmt;

use heapless::Vec;

use crate::base::codec::AacConfig;
use crate::limits::AAC_CONFIG_BYTES;
use crate::wire::bits::{BitWriter, Bits, Bytes};

pub use crate::wire::latm::{StreamMux, stream_mux_config};

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
    pub config: Option<StreamMux>,
    /// Whether a StreamMuxConfig may stand in the packets, `cpresent`.
    pub in_band: bool,
    /// Ticks of the RTP timestamp in a second, as in `a=rtpmap`.
    pub clock_rate: u32,
}

/// Why a stream of AAC cannot be relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AacError {
    /// The configuration ends before everything was said.
    Truncated,
    /// An audio object type other than AAC-LC, alone or under SBR and PS.
    ObjectType(u8),
    /// A sampling frequency index without meaning, or a frequency of 0 Hz.
    SampleRate,
    /// Channels described one by one, in a program config element.
    ChannelList,
    /// This `channelConfiguration`, which is neither mono nor stereo.
    Channels(u8),
    /// AAC that only refines another stream (`dependsOnCoreCoder`).
    Scalable,
    /// A configuration of more bytes than are kept.
    TooLong,
    /// A multiplex of several programs or layers.
    SeveralStreams,
    /// A multiplex whose payloads are not of the kind that AAC uses.
    PayloadKind,
}

impl fmt::Display for AacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the AAC configuration is cut short"),
            Self::ObjectType(kind) => {
                write!(
                    f,
                    "AAC of audio object type {kind} cannot be relayed, only AAC-LC"
                )
            }
            Self::SampleRate => f.write_str("the AAC configuration names no sampling rate"),
            Self::ChannelList => f.write_str("AAC with a channel list cannot be relayed"),
            Self::Channels(layout) => {
                write!(
                    f,
                    "AAC of channel configuration {layout} cannot be relayed, only mono and stereo"
                )
            }
            Self::Scalable => f.write_str("scalable AAC cannot be relayed"),
            Self::TooLong => f.write_str("the AAC configuration is too long"),
            Self::SeveralStreams => {
                f.write_str("AAC with several programs or layers cannot be relayed")
            }
            Self::PayloadKind => f.write_str("the AAC multiplex has payloads of another kind"),
        }
    }
}

impl core::error::Error for AacError {}

/// Reads an AudioSpecificConfig, such as `config` of mpeg4-generic is one.
///
/// Bytes after it are kept with it: they may tell of SBR in the way that old decoders pass over
/// (`syncExtensionType`). The `sample_rate` and `channels` are the core's.
pub fn audio_specific_config(bytes: &[u8]) -> Result<AacConfig, AacError> {
    let mut config = read_specific(&mut Bits::new(bytes))?;
    config.specific = Vec::from_slice(bytes).map_err(|_| AacError::TooLong)?;
    Ok(config)
}

/// Whether what is coded under one configuration is decoded under the other as it should be: they are
/// the same, or of AAC-LC in the same form of which both say, or leave open, that nothing replicates a
/// spectral band.
pub fn decodes_alike(one: &AacConfig, other: &AacConfig) -> bool {
    let form = |config: &AacConfig| (config.sample_rate, config.channels, config.frame_samples);
    one.specific == other.specific || (form(one) == form(other) && is_plain(one) && is_plain(other))
}

/// Whether a configuration is of AAC-LC without any word of SBR or PS in use.
pub fn is_plain(config: &AacConfig) -> bool {
    let mut bits = Bits::new(&config.specific[..]);
    tells_of_replication(&mut bits) == Ok(false)
}

/// Reads an AudioSpecificConfig with what may stand behind it (1.6.5.2).
fn tells_of_replication<B: Bytes + ?Sized>(bits: &mut Bits<'_, B>) -> Result<bool, AacError> {
    if object_type(&mut bits.clone())? != OBJECT_TYPE_LC {
        return Ok(true);
    }
    read_specific(bits)?;
    match bits.number(11) {
        Some(SYNC_EXTENSION) if object_type(bits) == Ok(OBJECT_TYPE_SBR) => flag(bits),
        _ => Ok(false),
    }
}

/// Reads an AudioSpecificConfig at any bit up to its end; the bits read become whole bytes.
pub(super) fn read_specific<B: Bytes + ?Sized>(
    bits: &mut Bits<'_, B>,
) -> Result<AacConfig, AacError> {
    let begin = *bits;
    let mut object_type = object_type(bits)?;
    let sample_rate = sample_rate(bits)?;
    let channels = number(bits, 4)? as u8;
    if matches!(object_type, OBJECT_TYPE_SBR | OBJECT_TYPE_PS) {
        // Of what replication makes of the core, which follows.
        self::sample_rate(bits)?;
        object_type = self::object_type(bits)?;
    }
    if object_type != OBJECT_TYPE_LC {
        return Err(AacError::ObjectType(object_type));
    }
    // GASpecificConfig (4.4.1).
    let frame_samples = if flag(bits)? { 960 } else { 1_024 };
    if flag(bits)? {
        return Err(AacError::Scalable);
    }
    let extended = flag(bits)?;
    match channels {
        0 => return Err(AacError::ChannelList),
        1 | 2 => {}
        _ => return Err(AacError::Channels(channels)),
    }
    if extended {
        flag(bits)?;
    }
    Ok(AacConfig {
        specific: copy_bits(begin, bits.position().saturating_sub(begin.position()))?,
        sample_rate,
        channels,
        frame_samples,
    })
}

/// Writes an AudioSpecificConfig of AAC-LC alone, whatever is said of replication; `None` when there
/// is no room.
pub fn write_specific<const N: usize>(writer: &mut BitWriter<N>, config: &AacConfig) -> Option<()> {
    writer.number(u32::from(OBJECT_TYPE_LC), 5)?;
    let index = SAMPLE_RATES
        .iter()
        .position(|rate| *rate == config.sample_rate);
    match index {
        Some(index) => writer.number(index as u32, 4)?,
        None => {
            writer.number(EXPLICIT_RATE, 4)?;
            writer.number(config.sample_rate, 24)?;
        }
    }
    writer.number(u32::from(config.channels), 4)?;
    writer.number(u32::from(config.frame_samples == 960), 1)?;
    // Neither a core coder nor extensions.
    writer.number(0, 2)
}

/// The next `count` bits as bytes, the last one filled up with zeros.
pub(super) fn copy_bits<B: Bytes + ?Sized>(
    mut from: Bits<'_, B>,
    count: usize,
) -> Result<Vec<u8, AAC_CONFIG_BYTES>, AacError> {
    let mut bytes = Vec::new();
    let mut left = u32::try_from(count).map_err(|_| AacError::TooLong)?;
    while left > 0 {
        let taken = left.min(8);
        let byte = number(&mut from, taken)? << 8_u32.saturating_sub(taken);
        bytes.push(byte as u8).map_err(|_| AacError::TooLong)?;
        left = left.saturating_sub(taken);
    }
    Ok(bytes)
}

/// The next bit.
pub(super) fn flag<B: Bytes + ?Sized>(bits: &mut Bits<'_, B>) -> Result<bool, AacError> {
    bits.flag().ok_or(AacError::Truncated)
}

/// The next bits as a number.
pub(super) fn number<B: Bytes + ?Sized>(
    bits: &mut Bits<'_, B>,
    count: u32,
) -> Result<u32, AacError> {
    bits.number(count).ok_or(AacError::Truncated)
}

const OBJECT_TYPE_LC: u8 = 2;
const OBJECT_TYPE_SBR: u8 = 5;
const OBJECT_TYPE_PS: u8 = 29;

/// The `syncExtensionType` behind which SBR is told of.
const SYNC_EXTENSION: u32 = 0x2b7;

/// The `samplingFrequencyIndex` behind which the rate is written out.
const EXPLICIT_RATE: u32 = 15;

/// Samples a second by `samplingFrequencyIndex`.
const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// GetAudioObjectType (1.6.2.1).
fn object_type<B: Bytes + ?Sized>(bits: &mut Bits<'_, B>) -> Result<u8, AacError> {
    const ESCAPE: u32 = 31;
    let mut kind = number(bits, 5)?;
    if kind == ESCAPE {
        kind = number(bits, 6)?.saturating_add(32);
    }
    Ok(kind as u8)
}

fn sample_rate<B: Bytes + ?Sized>(bits: &mut Bits<'_, B>) -> Result<u32, AacError> {
    let rate = match number(bits, 4)? {
        EXPLICIT_RATE => Some(number(bits, 24)?),
        index => SAMPLE_RATES.get(index as usize).copied(),
    };
    rate.filter(|rate| *rate > 0).ok_or(AacError::SampleRate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn what_encoders_say_is_read() {
        // AAC-LC 44.1 kHz stereo; 48 kHz mono; 960 samples; 22,255 Hz written out.
        for (bytes, rate, channels, samples) in [
            (&[0x12, 0x10][..], 44_100, 2, 1_024),
            (&[0x11, 0x88], 48_000, 1, 1_024),
            (&[0x11, 0x94], 48_000, 2, 960),
            (&[0x17, 0x80, 0x2b, 0x77, 0x88], 22_255, 1, 1_024),
            // SBR told so that old decoders pass over it: the core's rate counts.
            (&[0x13, 0x10, 0x56, 0xe5, 0x98], 24_000, 2, 1_024),
            // SBR and PS told beforehand: 24 to 48 kHz stereo, 22.05 to 44.1 kHz from mono.
            (&[0x2b, 0x11, 0x88, 0x00], 24_000, 2, 1_024),
            (&[0xeb, 0x8a, 0x08, 0x00], 22_050, 1, 1_024),
        ] {
            let config = audio_specific_config(bytes).unwrap();
            assert_eq!(
                (config.sample_rate, config.channels, config.frame_samples),
                (rate, channels, samples),
                "{bytes:x?}"
            );
            assert_eq!(config.specific, bytes);
        }
    }

    #[test]
    fn configurations_are_alike_that_differ_only_in_saying_that_nothing_is_replicated() {
        let read = |bytes: &[u8]| audio_specific_config(bytes).unwrap();
        let alike = |one: &[u8], other: &[u8]| {
            let both = decodes_alike(&read(one), &read(other));
            assert_eq!(both, decodes_alike(&read(other), &read(one)));
            both
        };
        let plain = &[0x11, 0x88][..];
        assert!(alike(plain, plain));
        assert!(alike(plain, &[0x11, 0x88, 0x56, 0xe5, 0]));
        // Another rate, channel, frame; replication in either way.
        for other in [
            &[0x12, 0x08][..],
            &[0x11, 0x90],
            &[0x11, 0x8c],
            &[0x11, 0x88, 0x56, 0xe5, 0x80],
            &[0x29, 0x89, 0x88, 0],
        ] {
            assert!(!alike(plain, other), "{other:x?}");
            assert!(alike(other, other), "{other:x?}");
        }
        assert!(is_plain(&read(plain)) && !is_plain(&read(&[0x11, 0x88, 0x56, 0xe5, 0x80])));
        let none = AacConfig {
            specific: Vec::new(),
            ..read(plain)
        };
        assert!(!is_plain(&none));
    }

    #[test]
    fn what_cannot_be_relayed_is_refused_in_words() {
        for (bytes, error, words) in [
            (&[0x0a, 0x10][..], AacError::ObjectType(1), "type 1"),
            // AAC-LD and, by the escape, AAC-ELD and xHE-AAC.
            (&[0xba, 0x10, 0], AacError::ObjectType(23), "type 23"),
            (&[0xf8, 0xe6, 0x20, 0], AacError::ObjectType(39), "type 39"),
            (&[0xf9, 0x46, 0x20, 0], AacError::ObjectType(42), "type 42"),
            // ALS under SBR.
            (
                &[0x2b, 0x11, 0xfc, 0x40, 0],
                AacError::ObjectType(36),
                "only AAC-LC",
            ),
            (&[0x16, 0x90], AacError::SampleRate, "sampling rate"),
            (
                &[0x17, 0x80, 0, 0, 0x08],
                AacError::SampleRate,
                "sampling rate",
            ),
            (&[0x12, 0x00], AacError::ChannelList, "channel list"),
            (&[0x12, 0x30], AacError::Channels(6), "configuration 6"),
            (&[0x12, 0x12, 0, 0], AacError::Scalable, "scalable"),
            (&[], AacError::Truncated, "cut short"),
        ] {
            assert_eq!(audio_specific_config(bytes), Err(error), "{bytes:x?}");
            assert!(error.to_string().contains(words), "{error}");
        }
        let mut long = [0; AAC_CONFIG_BYTES + 1];
        long[..2].copy_from_slice(&[0x12, 0x10]);
        assert_eq!(audio_specific_config(&long), Err(AacError::TooLong));
    }

    #[test]
    fn every_truncation_is_noticed() {
        for whole in [
            &[0x12, 0x10][..],
            &[0x17, 0x80, 0x2b, 0x77, 0x88],
            &[0x2b, 0x11, 0x88, 0x00],
        ] {
            // The last byte of the third bears only the last flags.
            for length in 0..whole.len() {
                assert_eq!(
                    audio_specific_config(&whole[..length]),
                    Err(AacError::Truncated),
                    "{length} bytes of {whole:x?}"
                );
            }
        }
    }

    #[test]
    fn what_is_taken_can_be_used_whatever_comes() {
        let mut rng = Rng::from_number(7);
        let mut taken = 0;
        for _ in 0..20_000 {
            let bytes: [u8; 6] = core::array::from_fn(|_| rng.u32() as u8);
            let length = rng.below(7) as usize;
            if let Ok(config) = audio_specific_config(&bytes[..length]) {
                taken += 1;
                assert!(config.sample_rate > 0 && matches!(config.channels, 1 | 2));
            }
        }
        assert!(taken > 10, "{taken}");
    }
}
