//! Bodies in enhanced form (Enhanced RTMP, version 2: ExAudioTagHeader, ExVideoTagHeader and what
//! follows them).
//!
//! VP8's configuration record stands as in a `vpcC` box, with the version and flags of that box
//! before it, as the writers and readers of Enhanced RTMP have it (ffmpeg since 6.1, the
//! specification's own tools).

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

use crate::base::codec::{Codec, CodecConfig, Vp8Config};
use crate::wire::flv::avc::write_record;
use crate::wire::flv::{Head, Writer, composition_bytes};

/// Four characters that name a codec.
pub type FourCc = [u8; 4];

/// The bit of a video body's first byte that a FourCC follows.
pub(super) const EX_VIDEO: u8 = 0x80;
/// The sound format that a FourCC follows.
pub(super) const EX_AUDIO: u8 = 9;

/// Packet types of audio and video alike.
pub(super) const SEQUENCE_START: u8 = 0;
pub(super) const CODED_FRAMES: u8 = 1;
pub(super) const SEQUENCE_END: u8 = 2;
/// A picture of composition time 0, of video alone.
pub(super) const CODED_FRAMES_X: u8 = 3;

const KEY_FRAME: u8 = 1;
const INTER_FRAME: u8 = 2;

/// The FourCC of a codec, if it has one in Enhanced RTMP.
pub const fn fourcc(codec: Codec) -> Option<FourCc> {
    match codec {
        Codec::H264 => Some(*b"avc1"),
        Codec::Vp8 => Some(*b"vp08"),
        Codec::Opus => Some(*b"Opus"),
        Codec::Aac => Some(*b"mp4a"),
        Codec::Speex | Codec::Pcma | Codec::Pcmu => None,
    }
}

/// The bytes before a frame.
pub(super) fn frame_head(
    config: &CodecConfig,
    keyframe: bool,
    composition_millis: i32,
) -> Option<Head> {
    match config {
        CodecConfig::H264(_) if composition_millis != 0 => {
            let mut head = video_head(Codec::H264, keyframe, CODED_FRAMES)?;
            head.extend_from_slice(&composition_bytes(composition_millis))
                .ok()?;
            Some(head)
        }
        CodecConfig::H264(_) => video_head(Codec::H264, keyframe, CODED_FRAMES_X),
        // Without a composition time, which VP8 has no use for.
        CodecConfig::Vp8(_) => video_head(Codec::Vp8, keyframe, CODED_FRAMES),
        config => audio_head(config.codec(), CODED_FRAMES),
    }
}

/// The body of a sequence start.
pub(super) fn write_sequence_header(config: &CodecConfig, writer: &mut Writer<'_>) -> Option<()> {
    let codec = config.codec();
    match config {
        CodecConfig::H264(config) => {
            writer.put(&video_head(codec, true, SEQUENCE_START)?)?;
            write_record(config, writer)
        }
        CodecConfig::Vp8(config) => {
            writer.put(&video_head(codec, true, SEQUENCE_START)?)?;
            writer.put(&vp8_record(*config))
        }
        CodecConfig::Opus { channels } => {
            writer.put(&audio_head(codec, SEQUENCE_START)?)?;
            writer.put(&opus_id_header(*channels))
        }
        CodecConfig::Aac(config) if !config.specific.is_empty() => {
            writer.put(&audio_head(codec, SEQUENCE_START)?)?;
            writer.put(&config.specific)
        }
        CodecConfig::Aac(_) | CodecConfig::Speex | CodecConfig::Pcma | CodecConfig::Pcmu => None,
    }
}

fn video_head(codec: Codec, keyframe: bool, packet: u8) -> Option<Head> {
    let frame = if keyframe { KEY_FRAME } else { INTER_FRAME };
    head(EX_VIDEO | frame << 4 | packet, codec)
}

fn audio_head(codec: Codec, packet: u8) -> Option<Head> {
    head(EX_AUDIO << 4 | packet, codec)
}

fn head(first: u8, codec: Codec) -> Option<Head> {
    let mut head = Head::new();
    head.push(first).ok()?;
    head.extend_from_slice(&fourcc(codec)?).ok()?;
    Some(head)
}

/// VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding, version 1.0): profile 0, 8 bits,
/// 4:2:0 in limited range, primaries and transfer not said, the matrix of BT.601 (RFC 6386,
/// section 9.2), no initialisation data.
const fn vp8_record(config: Vp8Config) -> [u8; 12] {
    let depth_chroma_range = 8 << 4 | 1 << 1;
    let level = vp_level(config);
    [1, 0, 0, 0, 0, level, depth_chroma_range, 2, 2, 6, 0, 0]
}

/// The level that pictures of this size have at 30 a second: the largest picture and the most samples
/// a second of each, as the binding lists them for VP codecs.
const fn vp_level(config: Vp8Config) -> u8 {
    let size = (config.width as u64).saturating_mul(config.height as u64);
    let rate = size.saturating_mul(30);
    match (size, rate) {
        (..=36_864, ..=829_440) => 10,
        (..=73_728, ..=2_764_800) => 11,
        (..=122_880, ..=4_608_000) => 20,
        (..=245_760, ..=9_216_000) => 21,
        (..=552_960, ..=20_736_000) => 30,
        (..=983_040, ..=36_864_000) => 31,
        (..=2_228_224, ..=83_558_400) => 40,
        (..=8_912_896, ..=311_951_360) => 50,
        _ => 60,
    }
}

/// The identification header of Opus (RFC 7845, section 5.1): version 1, channel mapping family 0,
/// no gain. The pre-skip is 0: nothing is to be cut from a stream that is joined while it runs, and
/// what a player cut would move its sound against the picture.
fn opus_id_header(channels: u8) -> [u8; 19] {
    let mut header = *b"OpusHead\x01\x00\x00\x00\x80\xbb\x00\x00\x00\x00\x00";
    if let Some(count) = header.get_mut(9) {
        *count = channels.clamp(1, 2);
    }
    header
}
