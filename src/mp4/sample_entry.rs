//! What a player must know of a track: its clock and its sample entry (ISO/IEC 14496-12, section
//! 8.5.2).

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
use crate::mp4::boxes::Boxes;
use crate::wire::flv::{SEQUENCE_HEADER_BYTES, TagForm, write_sequence_header};

/// Ticks a second of every video track.
pub(super) const VIDEO_CLOCK: u32 = 90_000;

/// Ticks a second of Opus, whatever was recorded (RFC 7587, section 4.1).
const OPUS_CLOCK: u32 = 48_000;

/// Ticks a second of G.711.
const G711_CLOCK: u32 = 8_000;

/// Bytes of an enhanced sequence header before the configuration record: a type and a FourCC.
const TAG_HEAD_BYTES: usize = 5;

/// Whether a codec has a place in the files.
pub const fn has_place(codec: Codec) -> bool {
    !matches!(codec, Codec::Speex)
}

/// Ticks a second of a track.
pub(super) fn clock(config: &CodecConfig) -> u32 {
    match config {
        CodecConfig::H264(_) | CodecConfig::Vp8(_) => VIDEO_CLOCK,
        CodecConfig::Opus { .. } => OPUS_CLOCK,
        CodecConfig::Aac(config) => config.sample_rate.max(1),
        CodecConfig::Speex | CodecConfig::Pcma | CodecConfig::Pcmu => G711_CLOCK,
    }
}

/// Pixels of a track's picture; 0 by 0 for audio.
pub(super) fn picture(config: &CodecConfig) -> (u16, u16) {
    match config {
        CodecConfig::H264(config) => (config.width, config.height),
        CodecConfig::Vp8(config) => (config.width, config.height),
        _ => (0, 0),
    }
}

/// The sample entry of a track; `None` where there is no place for the codec, or its configuration
/// lacks what belongs there.
pub(super) fn sample_entry(config: &CodecConfig) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut boxes = Boxes::new(&mut out);
    match config {
        CodecConfig::H264(_) => {
            let record = record(config)?;
            visual(&mut boxes, b"avc1", config, |it| {
                it.nest(b"avcC", |it| it.bytes(&record));
            });
        }
        CodecConfig::Vp8(_) => {
            let record = record(config)?;
            visual(&mut boxes, b"vp08", config, |it| {
                it.nest(b"vpcC", |it| it.bytes(&record));
            });
        }
        CodecConfig::Opus { channels } => {
            sound(&mut boxes, b"Opus", *channels, OPUS_CLOCK, |it| {
                it.nest(b"dOps", |it| {
                    it.u8(0);
                    it.u8(*channels);
                    // Nothing to skip before a packet from the middle of a stream.
                    it.u16(0);
                    it.u32(OPUS_CLOCK);
                    it.u16(0);
                    it.u8(0);
                });
            });
        }
        CodecConfig::Aac(aac) if !aac.specific.is_empty() => {
            sound(&mut boxes, b"mp4a", aac.channels, aac.sample_rate, |it| {
                elementary_stream(it, aac);
            });
        }
        CodecConfig::Pcma => sound(&mut boxes, b"alaw", 1, G711_CLOCK, |_| {}),
        CodecConfig::Pcmu => sound(&mut boxes, b"ulaw", 1, G711_CLOCK, |_| {}),
        CodecConfig::Aac(_) | CodecConfig::Speex => return None,
    }
    Some(out)
}

/// The decoder configuration record, which Enhanced RTMP sends in the form that MP4 gave it.
fn record(config: &CodecConfig) -> Option<Vec<u8>> {
    let mut header = vec![0; SEQUENCE_HEADER_BYTES];
    let length = write_sequence_header(config, TagForm::Enhanced, &mut header)?;
    Some(header.get(TAG_HEAD_BYTES..length)?.to_vec())
}

/// A VisualSampleEntry (section 12.1.3).
fn visual(
    boxes: &mut Boxes<'_>,
    kind: &[u8; 4],
    config: &CodecConfig,
    fill: impl FnOnce(&mut Boxes<'_>),
) {
    let (width, height) = picture(config);
    boxes.nest(kind, |it| {
        it.zeros(6);
        it.u16(1);
        it.zeros(16);
        it.u16(width);
        it.u16(height);
        // 72 dots an inch, both ways.
        it.u32(0x48_0000);
        it.u32(0x48_0000);
        it.u32(0);
        it.u16(1);
        it.zeros(32);
        it.u16(24);
        it.u16(0xffff);
        fill(it);
    });
}

/// An AudioSampleEntry (section 12.2.3).
fn sound(
    boxes: &mut Boxes<'_>,
    kind: &[u8; 4],
    channels: u8,
    rate: u32,
    fill: impl FnOnce(&mut Boxes<'_>),
) {
    boxes.nest(kind, |it| {
        it.zeros(6);
        it.u16(1);
        it.zeros(8);
        it.u16(u16::from(channels));
        it.u16(16);
        it.u32(0);
        // A rate that 16 bits do not hold is told by the decoder's configuration.
        let rate = u16::try_from(rate).unwrap_or(0);
        it.u16(rate);
        it.u16(0);
        fill(it);
    });
}

/// The `esds` box (ISO/IEC 14496-14, section 5.6; descriptors by ISO/IEC 14496-1, section 7.2.6).
fn elementary_stream(boxes: &mut Boxes<'_>, config: &AacConfig) {
    let specific = config.specific.as_slice();
    // An AudioSpecificConfig is short: no descriptor is longer than one byte of length can tell.
    let specific_len = specific.len().min(0x40) as u8;
    let decoder_len = specific_len.saturating_add(15);
    let stream_len = decoder_len.saturating_add(8);
    boxes.full(b"esds", 0, 0, |it| {
        it.bytes(&[3, stream_len, 0, 0, 0]);
        // MPEG-4 audio, an audio stream, buffer and bit rates not known.
        it.bytes(&[4, decoder_len, 0x40, 0x15]);
        it.zeros(11);
        it.bytes(&[5, specific_len]);
        it.bytes(
            specific
                .get(..usize::from(specific_len))
                .unwrap_or_default(),
        );
        it.bytes(&[6, 1, 2]);
    });
}
