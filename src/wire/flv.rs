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
pub type Head = Vec<u8, HEAD_BYTES, u8>;

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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::base::codec::{AacConfig, H264Config, ParameterSet, Vp8Config};
    use crate::limits::PARAMETER_SET_BYTES;

    /// 320x240, Constrained Baseline 1.3, from x264.
    pub(crate) const SPS: [u8; 23] = [
        0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x07, 0xec, 0x05, 0xb8, 0x10, 0x00, 0x00, 0x03, 0x00,
        0x10, 0x00, 0x00, 0x03, 0x03, 0xc8, 0xf1, 0x42,
    ];
    pub(crate) const PPS: [u8; 4] = [0x68, 0xce, 0x0f, 0xc8];
    /// 640x480, High 2.2, 4:2:0 with 8 bits, from x264.
    pub(crate) const HIGH_SPS: [u8; 27] = [
        0x67, 0x64, 0x00, 0x16, 0xac, 0xd9, 0x40, 0xa0, 0x3d, 0xa1, 0x00, 0x00, 0x03, 0x00, 0x01,
        0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x16, 0x2d, 0x96, 0x00, 0x00, 0x03,
    ];
    /// AAC-LC, 48 kHz, stereo.
    const SPECIFIC: [u8; 2] = [0x11, 0x90];
    const FORMS: [TagForm; 2] = [TagForm::Legacy, TagForm::Enhanced];

    pub(crate) fn h264(sps: &[u8]) -> CodecConfig {
        let mut pps = heapless::Vec::new();
        pps.push(ParameterSet::from_slice(&PPS).unwrap()).unwrap();
        CodecConfig::H264(H264Config {
            sps: ParameterSet::from_slice(sps).unwrap(),
            pps,
            width: 320,
            height: 240,
        })
    }

    fn aac(specific: &[u8]) -> CodecConfig {
        CodecConfig::Aac(AacConfig {
            specific: heapless::Vec::from_slice(specific).unwrap(),
            sample_rate: 48_000,
            channels: 2,
            frame_samples: 1_024,
        })
    }

    fn vp8(width: u16, height: u16) -> CodecConfig {
        CodecConfig::Vp8(Vp8Config { width, height })
    }

    /// One configuration of each codec.
    pub(crate) fn configs() -> [CodecConfig; 7] {
        [
            h264(&SPS),
            vp8(640, 480),
            CodecConfig::Opus { channels: 2 },
            aac(&SPECIFIC),
            CodecConfig::Speex,
            CodecConfig::Pcma,
            CodecConfig::Pcmu,
        ]
    }

    fn head(config: &CodecConfig, form: TagForm, keyframe: bool, millis: i32) -> std::vec::Vec<u8> {
        frame_head(config, form, keyframe, millis).unwrap().to_vec()
    }

    fn header(config: &CodecConfig, form: TagForm) -> Option<std::vec::Vec<u8>> {
        let mut out = [0; SEQUENCE_HEADER_BYTES];
        write_sequence_header(config, form, &mut out).map(|len| out[..len].to_vec())
    }

    fn record() -> std::vec::Vec<u8> {
        let mut record = vec![1, 0x42, 0xc0, 0x0d, 0xff, 0xe1, 0, 23];
        record.extend_from_slice(&SPS);
        record.extend_from_slice(&[1, 0, 4]);
        record.extend_from_slice(&PPS);
        record
    }

    #[test]
    fn legacy_heads_are_exact() {
        let of = |config: &CodecConfig| head(config, TagForm::Legacy, true, 0);
        let avc = h264(&SPS);
        assert_eq!(of(&avc), [0x17, 1, 0, 0, 0]);
        assert_eq!(head(&avc, TagForm::Legacy, false, 0), [0x27, 1, 0, 0, 0]);
        assert_eq!(
            head(&avc, TagForm::Legacy, false, 0x01_02_03),
            [0x27, 1, 1, 2, 3]
        );
        assert_eq!(of(&aac(&SPECIFIC)), [0xaf, 1]);
        assert_eq!(of(&CodecConfig::Speex), [0xb2]);
        assert_eq!(of(&CodecConfig::Pcma), [0x72]);
        assert_eq!(of(&CodecConfig::Pcmu), [0x82]);
        for none in [vp8(16, 16), CodecConfig::Opus { channels: 1 }] {
            assert_eq!(frame_head(&none, TagForm::Legacy, true, 0), None);
            assert_eq!(header(&none, TagForm::Legacy), None);
        }
    }

    #[test]
    fn enhanced_heads_are_exact() {
        let of = |config: &CodecConfig, keyframe| head(config, TagForm::Enhanced, keyframe, 0);
        let avc = h264(&SPS);
        assert_eq!(of(&avc, true), *b"\x93avc1");
        assert_eq!(of(&avc, false), *b"\xa3avc1");
        assert_eq!(
            head(&avc, TagForm::Enhanced, false, 80),
            *b"\xa1avc1\x00\x00\x50"
        );
        assert_eq!(of(&vp8(16, 16), true), *b"\x91vp08");
        assert_eq!(of(&vp8(16, 16), false), *b"\xa1vp08");
        assert_eq!(of(&CodecConfig::Opus { channels: 1 }, true), *b"\x91Opus");
        assert_eq!(of(&aac(&SPECIFIC), true), *b"\x91mp4a");
        for none in [CodecConfig::Speex, CodecConfig::Pcma, CodecConfig::Pcmu] {
            assert_eq!(frame_head(&none, TagForm::Enhanced, true, 0), None);
            assert_eq!(header(&none, TagForm::Enhanced), None);
        }
    }

    #[test]
    fn legacy_sequence_headers_are_exact() {
        let avc = [&[0x17, 0, 0, 0, 0], &record()[..]].concat();
        assert_eq!(header(&h264(&SPS), TagForm::Legacy), Some(avc));
        let expected = vec![0xaf, 0, 0x11, 0x90];
        assert_eq!(header(&aac(&SPECIFIC), TagForm::Legacy), Some(expected));
    }

    #[test]
    fn enhanced_sequence_headers_are_exact() {
        let of = |config: &CodecConfig| header(config, TagForm::Enhanced).unwrap();
        assert_eq!(of(&h264(&SPS)), [b"\x90avc1", &record()[..]].concat());
        assert_eq!(of(&aac(&SPECIFIC)), *b"\x90mp4a\x11\x90");
        assert_eq!(
            of(&CodecConfig::Opus { channels: 2 }),
            *b"\x90OpusOpusHead\x01\x02\x00\x00\x80\xbb\x00\x00\x00\x00\x00"
        );
        assert_eq!(
            of(&CodecConfig::Opus { channels: 1 })[5 + 9],
            1,
            "mono is said"
        );
        assert_eq!(
            of(&vp8(640, 480)),
            *b"\x90vp08\x01\x00\x00\x00\x00\x1e\x82\x02\x02\x06\x00\x00"
        );
    }

    #[test]
    fn the_level_of_vp8_grows_with_the_picture() {
        let level = |width, height| header(&vp8(width, height), TagForm::Enhanced).unwrap()[10];
        assert_eq!(level(176, 144), 10);
        assert_eq!(level(352, 288), 20);
        assert_eq!(level(1_280, 720), 31);
        assert_eq!(level(1_920, 1_080), 40);
        assert_eq!(level(3_840, 2_160), 50);
        assert_eq!(level(16_383, 16_383), 60);
    }

    #[test]
    fn a_high_profile_record_ends_with_chroma_and_depths() {
        for form in FORMS {
            let body = header(&h264(&HIGH_SPS), form).unwrap();
            assert!(body.ends_with(&[0xfd, 0xf8, 0xf8, 0]));
        }
    }

    #[test]
    fn no_sequence_header_is_made_up() {
        let mut no_pps = h264(&SPS);
        if let CodecConfig::H264(config) = &mut no_pps {
            config.pps.clear();
        }
        for form in FORMS {
            assert_eq!(header(&no_pps, form), None);
            assert_eq!(header(&aac(&[]), form), None);
            for len in 0..4 {
                assert_eq!(header(&h264(&SPS[..len]), form), None);
            }
            for config in configs() {
                let whole = header(&config, form).map_or(0, |body| body.len());
                for len in 0..whole {
                    let mut short = vec![0; len];
                    assert_eq!(write_sequence_header(&config, form, &mut short), None);
                }
            }
        }
    }

    #[test]
    fn the_longest_sequence_header_fits_its_limit() {
        let full = ParameterSet::from_slice(&[0x67; PARAMETER_SET_BYTES]).unwrap();
        let mut pps = heapless::Vec::new();
        while pps.push(full.clone()).is_ok() {}
        let config = CodecConfig::H264(H264Config {
            sps: full,
            pps,
            width: 16,
            height: 16,
        });
        for form in FORMS {
            assert!(header(&config, form).is_some());
        }
    }

    #[test]
    fn sequence_headers_are_there_for_codecs_that_have_one() {
        for config in configs() {
            for form in FORMS {
                assert_eq!(
                    header(&config, form).is_some(),
                    has_sequence_header(config.codec(), form)
                );
                assert_eq!(
                    frame_head(&config, form, true, 0).is_some(),
                    codec_id(config.codec(), form).is_some()
                );
            }
        }
    }

    #[test]
    fn composition_times_keep_to_24_bits() {
        assert_eq!(composition_bytes(-1), [0xff, 0xff, 0xff]);
        assert_eq!(composition_bytes(i32::MAX), [0x7f, 0xff, 0xff]);
        assert_eq!(composition_bytes(i32::MIN), [0x80, 0, 0]);
    }
}
