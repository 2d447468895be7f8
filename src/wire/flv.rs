//! Bodies of audio, video and metadata messages as in FLV (Adobe FLV and F4V specification,
//! version 10.1, annex E), which RTMP carries as they are.
//!
//! Written: AVC sequence header (ISO/IEC 14496-15, 5.2.4.1), the head of an AVC access unit, the
//! head of G.711 audio, and `onMetaData`. Read: the heads of audio and video bodies and the
//! properties of `onMetaData`. Enhanced RTMP bodies are recognised by [`VideoHead::parse`] as not
//! AVC; they are not written.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use h264_reader::nal::sps::{ChromaFormat, SeqParameterSet};
use h264_reader::rbsp::{BitReader, decode_nal};

use crate::base::codec::{CodecConfig, H264Config};
use crate::limits::{PARAMETER_SET_BYTES, PICTURE_PARAMETER_SETS};
use crate::wire::amf0::{Amf0, Amf0Error, Amf0Reader, Amf0Writer};

/// Video codec number of AVC.
pub const CODEC_AVC: u8 = 7;
/// Sound format of G.711 A-law.
pub const SOUND_PCMA: u8 = 7;
/// Sound format of G.711 mu-law.
pub const SOUND_PCMU: u8 = 8;

/// Bytes before the NAL units of an AVC body: frame type and codec, packet type, composition time.
pub const AVC_HEAD_BYTES: usize = 5;

/// Bytes of the longest AVC sequence header body.
pub const AVC_SEQUENCE_HEADER_BYTES: usize =
    AVC_HEAD_BYTES + 11 + PARAMETER_SET_BYTES + PICTURE_PARAMETER_SETS * (2 + PARAMETER_SET_BYTES);

/// Room for any `onMetaData` written here.
pub const METADATA_BYTES: usize = 384;

/// The first five bytes of a whole AVC access unit, composition time zero.
pub const fn avc_head(keyframe: bool) -> [u8; AVC_HEAD_BYTES] {
    [if keyframe { 0x17 } else { 0x27 }, 1, 0, 0, 0]
}

/// The first byte of a G.711 body: format, rate bits 0, 16-bit, mono, as ffmpeg and nginx-rtmp
/// write and read it (the format alone fixes 8 kHz). `None` for what is not G.711.
pub const fn sound_head(config: &CodecConfig) -> Option<u8> {
    match config {
        CodecConfig::Pcma => Some(SOUND_PCMA << 4 | 0b0010),
        CodecConfig::Pcmu => Some(SOUND_PCMU << 4 | 0b0010),
        _ => None,
    }
}

/// Writes the body of an AVC sequence header and gives its length.
///
/// `None` when `out` is shorter than [`AVC_SEQUENCE_HEADER_BYTES`] and too short for it, or when the
/// SPS has no profile and level bytes or a parameter set is missing: nothing is made up.
pub fn write_avc_sequence_header(config: &H264Config, out: &mut [u8]) -> Option<usize> {
    let mut at = 0_usize;
    let mut put = |bytes: &[u8]| {
        let end = at.checked_add(bytes.len())?;
        out.get_mut(at..end)?.copy_from_slice(bytes);
        at = end;
        Some(())
    };
    let [profile, compatibility, level] = *config.sps.get(1..4)?.first_chunk::<3>()?;
    if config.pps.is_empty() {
        return None;
    }
    put(&[0x17, 0, 0, 0, 0])?;
    // Version 1, 4-byte NAL unit lengths, one SPS.
    put(&[1, profile, compatibility, level, 0xff, 0xe1])?;
    put(&u16::try_from(config.sps.len()).ok()?.to_be_bytes())?;
    put(&config.sps)?;
    put(&[u8::try_from(config.pps.len()).ok()?])?;
    for pps in &config.pps {
        put(&u16::try_from(pps.len()).ok()?.to_be_bytes())?;
        put(pps)?;
    }
    if let Some(extension) = high_profile_extension(profile, &config.sps) {
        put(&extension)?;
    }
    Some(at)
}

/// What the record carries at its end for the High profiles: chroma format, bit depths, no SPS
/// extensions. Left out where the SPS cannot be read; readers take a record without it.
fn high_profile_extension(profile: u8, sps: &[u8]) -> Option<[u8; 4]> {
    if !matches!(profile, 100 | 110 | 122 | 144) {
        return None;
    }
    let rbsp = decode_nal(sps).ok()?;
    let sps = SeqParameterSet::from_bits(BitReader::new(&*rbsp)).ok()?;
    let chroma = match sps.chroma_info.chroma_format {
        ChromaFormat::Monochrome => 0,
        ChromaFormat::YUV420 => 1,
        ChromaFormat::YUV422 => 2,
        ChromaFormat::YUV444 => 3,
        ChromaFormat::Invalid(_) => return None,
    };
    let luma_depth = sps.chroma_info.bit_depth_luma_minus8 & 7;
    let chroma_depth = sps.chroma_info.bit_depth_chroma_minus8 & 7;
    Some([0xfc | chroma, 0xf8 | luma_depth, 0xf8 | chroma_depth, 0])
}

/// The tracks that a stream's metadata speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Sound format, when there is audio.
    pub sound_format: Option<u8>,
    /// Video codec number, when there is video.
    pub video_codec: Option<u8>,
    /// Picture width in pixels, 0 when not known.
    pub width: u16,
    /// Picture height in pixels, 0 when not known.
    pub height: u16,
}

impl Metadata {
    /// Writes `onMetaData` and gives its length; `to_publish` puts `@setDataFrame` before it, which
    /// asks a server to keep it for players. `None` when `out` is shorter than [`METADATA_BYTES`]
    /// and too short for it.
    pub fn write(&self, to_publish: bool, out: &mut [u8]) -> Option<usize> {
        let mut writer = Amf0Writer::new(out);
        if to_publish {
            writer.string(&["@setDataFrame"]);
        }
        let audio = if self.sound_format.is_some() { 4 } else { 0 };
        let video = if self.video_codec.is_some() { 3 } else { 0 };
        writer.string(&["onMetaData"]).ecma_array(1 + audio + video);
        if let Some(codec) = self.video_codec {
            writer.name("width").number(f64::from(self.width));
            writer.name("height").number(f64::from(self.height));
            writer.name("videocodecid").number(f64::from(codec));
        }
        if let Some(format) = self.sound_format {
            writer.name("audiocodecid").number(f64::from(format));
            writer.name("audiosamplerate").number(8_000.0);
            writer.name("audiosamplesize").number(16.0);
            writer.name("stereo").boolean(false);
        }
        writer
            .name("encoder")
            .string(&["trunkcast ", env!("CARGO_PKG_VERSION")])
            .end();
        writer.finish()
    }

    /// Reads a data message; `Ok(None)` when it is another one than `onMetaData`.
    pub fn parse(body: &[u8]) -> Result<Option<Self>, Amf0Error> {
        let mut reader = Amf0Reader::new(body);
        let mut name = reader.value()?;
        if name == Amf0::String(b"@setDataFrame") {
            name = reader.value()?;
        }
        if name != Amf0::String(b"onMetaData") {
            return Ok(None);
        }
        let Some(properties) = reader.value()?.as_object() else {
            return Ok(None);
        };
        // Float to integer casts saturate, and NaN becomes 0.
        let number = |name| properties.get(name).and_then(|value| value.as_number());
        Ok(Some(Self {
            sound_format: number("audiocodecid").map(|number| number as u8),
            video_codec: number("videocodecid").map(|number| number as u8),
            width: number("width").unwrap_or_default() as u16,
            height: number("height").unwrap_or_default() as u16,
        }))
    }
}

/// What an AVC body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AvcPacket {
    /// An AVCDecoderConfigurationRecord.
    SequenceHeader,
    /// One access unit.
    Nalus,
    /// The end of a sequence.
    EndOfSequence,
}

/// The head of a video body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoHead {
    /// Marked as a keyframe.
    pub keyframe: bool,
    /// Codec number; 0 for an Enhanced RTMP body.
    pub codec: u8,
    /// What the body holds, when it is AVC.
    pub avc: Option<AvcPacket>,
}

impl VideoHead {
    /// Reads the head from the first bytes of a body; `None` when the body is too short.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let first = *body.first()?;
        if first & 0x80 != 0 {
            return Some(Self {
                keyframe: first >> 4 & 7 == 1,
                codec: 0,
                avc: None,
            });
        }
        let codec = first & 0x0f;
        let avc = if codec == CODEC_AVC {
            Some(match *body.first_chunk::<AVC_HEAD_BYTES>()? {
                [_, 0, ..] => AvcPacket::SequenceHeader,
                [_, 2, ..] => AvcPacket::EndOfSequence,
                _ => AvcPacket::Nalus,
            })
        } else {
            None
        };
        Some(Self {
            keyframe: first >> 4 == 1,
            codec,
            avc,
        })
    }
}

/// The sound format of an audio body; `None` when the body is empty.
pub fn sound_format(body: &[u8]) -> Option<u8> {
    body.first().map(|first| first >> 4)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::base::codec::ParameterSet;
    use crate::base::rng::Rng;

    /// 320x240, Constrained Baseline 1.3, from x264.
    pub(crate) const SPS: [u8; 23] = [
        0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x07, 0xec, 0x05, 0xb8, 0x10, 0x00, 0x00, 0x03, 0x00,
        0x10, 0x00, 0x00, 0x03, 0x03, 0xc8, 0xf1, 0x42,
    ];
    pub(crate) const PPS: [u8; 4] = [0x68, 0xce, 0x0f, 0xc8];
    /// 640x480, High 2.2, 4:2:0 with 8 bits, from x264.
    const HIGH_SPS: [u8; 27] = [
        0x67, 0x64, 0x00, 0x16, 0xac, 0xd9, 0x40, 0xa0, 0x3d, 0xa1, 0x00, 0x00, 0x03, 0x00, 0x01,
        0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x16, 0x2d, 0x96, 0x00, 0x00, 0x03,
    ];

    pub(crate) fn config(sps: &[u8]) -> H264Config {
        let mut pps = heapless::Vec::new();
        pps.push(ParameterSet::from_slice(&PPS).unwrap()).unwrap();
        H264Config {
            sps: ParameterSet::from_slice(sps).unwrap(),
            pps,
            width: 320,
            height: 240,
        }
    }

    #[test]
    fn a_baseline_sequence_header_is_exact() {
        let mut out = [0; AVC_SEQUENCE_HEADER_BYTES];
        let len = write_avc_sequence_header(&config(&SPS), &mut out).unwrap();
        let mut expected = vec![0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x0d, 0xff, 0xe1, 0, 23];
        expected.extend_from_slice(&SPS);
        expected.extend_from_slice(&[1, 0, 4]);
        expected.extend_from_slice(&PPS);
        assert_eq!(&out[..len], expected);
        let head = VideoHead::parse(&out[..len]).unwrap();
        assert_eq!(head.avc, Some(AvcPacket::SequenceHeader));
        assert!(head.keyframe);
    }

    #[test]
    fn a_high_profile_record_ends_with_chroma_and_depths() {
        let mut out = [0; AVC_SEQUENCE_HEADER_BYTES];
        let len = write_avc_sequence_header(&config(&HIGH_SPS), &mut out).unwrap();
        assert_eq!(&out[len - 4..len], [0xfd, 0xf8, 0xf8, 0]);
    }

    #[test]
    fn no_sequence_header_is_made_up() {
        let mut out = [0; AVC_SEQUENCE_HEADER_BYTES];
        let mut no_pps = config(&SPS);
        no_pps.pps.clear();
        assert_eq!(write_avc_sequence_header(&no_pps, &mut out), None);
        for len in 0..4 {
            assert_eq!(
                write_avc_sequence_header(&config(&SPS[..len]), &mut out),
                None
            );
        }
        assert_eq!(
            write_avc_sequence_header(&config(&SPS), &mut out[..30]),
            None
        );
    }

    #[test]
    fn the_longest_sequence_header_fits_its_limit() {
        let full = ParameterSet::from_slice(&[0x67; PARAMETER_SET_BYTES]).unwrap();
        let mut pps = heapless::Vec::new();
        while pps.push(full.clone()).is_ok() {}
        let config = H264Config {
            sps: full,
            pps,
            width: 16,
            height: 16,
        };
        let mut out = [0; AVC_SEQUENCE_HEADER_BYTES];
        assert!(write_avc_sequence_header(&config, &mut out).is_some());
    }

    #[test]
    fn metadata_reads_back_and_names_only_its_tracks() {
        let mut out = [0; METADATA_BYTES];
        let both = Metadata {
            sound_format: Some(SOUND_PCMA),
            video_codec: Some(CODEC_AVC),
            width: 1280,
            height: 720,
        };
        for to_publish in [false, true] {
            let len = both.write(to_publish, &mut out).unwrap();
            assert_eq!(Metadata::parse(&out[..len]), Ok(Some(both)));
        }
        let audio = Metadata {
            sound_format: Some(SOUND_PCMU),
            ..Metadata::default()
        };
        let len = audio.write(true, &mut out).unwrap();
        assert_eq!(Metadata::parse(&out[..len]), Ok(Some(audio)));
        assert!(
            !out[..len]
                .windows(5)
                .any(|name| name == b"video" || name == b"width")
        );
    }

    #[test]
    fn sound_heads_are_those_of_ffmpeg() {
        assert_eq!(sound_head(&CodecConfig::Pcma), Some(0x72));
        assert_eq!(sound_head(&CodecConfig::Pcmu), Some(0x82));
        assert_eq!(sound_format(&[0x82]), Some(SOUND_PCMU));
        assert_eq!(sound_format(&[]), None);
    }

    #[test]
    fn truncated_and_mutated_bodies_never_panic() {
        let mut out = [0; METADATA_BYTES];
        let meta = Metadata {
            video_codec: Some(7),
            width: 1,
            height: 1,
            sound_format: Some(7),
        };
        let len = meta.write(true, &mut out).unwrap();
        for cut in 0..len {
            assert!(Metadata::parse(&out[..cut]).is_err());
        }
        let mut rng = Rng::from_number(2);
        for _ in 0..5_000 {
            let mut bytes = out;
            bytes[rng.below(len as u32) as usize] = rng.u32() as u8;
            let _ = Metadata::parse(&bytes[..len]);
            let _ = VideoHead::parse(&bytes[..rng.below(8) as usize]);
            let mut sps = HIGH_SPS;
            sps[rng.below(27) as usize] = rng.u32() as u8;
            let mut record = [0; AVC_SEQUENCE_HEADER_BYTES];
            let _ = write_avc_sequence_header(&config(&sps), &mut record);
        }
    }
}
