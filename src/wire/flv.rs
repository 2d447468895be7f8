//! Bodies of audio, video and metadata messages as in FLV (Adobe FLV and F4V specification,
//! version 10.1, annex E) and in Enhanced RTMP (version 2), which RTMP carries as they are.
//!
//! Written and read in legacy form: AVC, AAC, Speex, G.711. In enhanced form, where a FourCC names
//! the codec: AVC, VP8, Opus, AAC. And `onMetaData`. Multitrack bodies, ModEx, colour metadata and
//! channel orders of Enhanced RTMP are not written; they read as [`Part::Other`].

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

mod avc;
mod enhanced;
mod head;
mod metadata;
mod sound;

use heapless::Vec;

use crate::base::codec::{Codec, CodecConfig};

pub use avc::{AVC_RECORD_BYTES, CODEC_AVC};
pub use enhanced::{FourCc, fourcc};
pub use head::{AudioHead, Part, VideoHead, sound_format};
pub use metadata::{METADATA_BYTES, Metadata};
pub use sound::{SOUND_AAC, SOUND_PCMA, SOUND_PCMU, SOUND_SPEEX};

/// How bodies of one codec are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagForm {
    /// By the codec numbers of the FLV specification.
    Legacy,
    /// By a FourCC (Enhanced RTMP).
    Enhanced,
}

/// Bytes of the longest head: enhanced AVC with a composition time.
pub const HEAD_BYTES: usize = 8;

/// The bytes of a body before its payload.
pub type Head = Vec<u8, HEAD_BYTES>;

/// Bytes of the longest body of a sequence header, that of AVC.
pub const SEQUENCE_HEADER_BYTES: usize = HEAD_BYTES + AVC_RECORD_BYTES;

/// The bytes before a frame of this configuration; `None` where the form has no place for the codec.
///
/// `keyframe` and `composition_millis`, the milliseconds from decoding to presentation, matter for
/// video alone, the latter for AVC alone.
pub fn frame_head(
    config: &CodecConfig,
    form: TagForm,
    keyframe: bool,
    composition_millis: i32,
) -> Option<Head> {
    match form {
        TagForm::Enhanced => enhanced::frame_head(config, keyframe, composition_millis),
        TagForm::Legacy => match config {
            CodecConfig::H264(_) => avc::frame_head(keyframe, composition_millis),
            config => sound::frame_head(config),
        },
    }
}

/// Whether a sequence header stands before the first frame of a codec in this form.
pub const fn has_sequence_header(codec: Codec, form: TagForm) -> bool {
    matches!(
        (codec, form),
        (Codec::H264 | Codec::Aac, _) | (Codec::Vp8 | Codec::Opus, TagForm::Enhanced)
    )
}

/// Writes the body of a sequence header and gives its length.
///
/// `None` when the form has none for the codec, when `out` is too short (it never is with
/// [`SEQUENCE_HEADER_BYTES`]), or when the configuration lacks what belongs in it: nothing is made
/// up.
pub fn write_sequence_header(config: &CodecConfig, form: TagForm, out: &mut [u8]) -> Option<usize> {
    let mut writer = Writer { out, at: 0 };
    match form {
        TagForm::Enhanced => enhanced::write_sequence_header(config, &mut writer)?,
        TagForm::Legacy => match config {
            CodecConfig::H264(config) => avc::write_sequence_header(config, &mut writer)?,
            CodecConfig::Aac(config) => sound::write_aac_sequence_header(config, &mut writer)?,
            _ => return None,
        },
    }
    Some(writer.at)
}

/// The number that `onMetaData` gives for a codec: that of the FLV specification, or a FourCC as a
/// big-endian number. `None` where the form has no place for the codec.
pub const fn codec_id(codec: Codec, form: TagForm) -> Option<u32> {
    match (form, codec) {
        (TagForm::Enhanced, codec) => match fourcc(codec) {
            Some(fourcc) => Some(u32::from_be_bytes(fourcc)),
            None => None,
        },
        (TagForm::Legacy, Codec::H264) => Some(CODEC_AVC as u32),
        (TagForm::Legacy, codec) => match sound::format(codec) {
            Some(format) => Some(format as u32),
            None => None,
        },
    }
}

/// Fills a buffer from its start.
struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    /// Adds bytes; `None` when they do not fit.
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.at.checked_add(bytes.len())?;
        self.out.get_mut(self.at..end)?.copy_from_slice(bytes);
        self.at = end;
        Some(())
    }
}

/// Milliseconds as the 24 bits of a composition time (SI24), cut to what they hold.
fn composition_bytes(millis: i32) -> [u8; 3] {
    let [_, high, middle, low] = millis.clamp(-(1 << 23), (1 << 23) - 1).to_be_bytes();
    [high, middle, low]
}
