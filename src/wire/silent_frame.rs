//! Frames of silence that no encoder has to make.
//!
//! - G.711: zero samples (RFC 3551, section 4.5.14);
//! - Opus: CELT frames with the silence flag (RFC 6716, section 4.3), as many and as long as it takes
//!   to last as long as another packet;
//! - Speex: one frame of zeros, 20 ms (RFC 5574);
//! - AAC: a raw data block of one or two channels without any coefficient (ISO/IEC 14496-3, 4.4.2).

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

use crate::base::codec::{Codec, CodecConfig};
use crate::wire::opus::OpusPacket;

/// Zero in the companding laws of G.711.
pub const ALAW_ZERO: u8 = 0xd5;
/// The same of the other law.
pub const MULAW_ZERO: u8 = 0xff;

/// Fullband CELT of 20 ms in mono, and a range coder's beginning that reads as silence.
pub const OPUS: [u8; 3] = [0xf8, 0xff, 0xfe];

/// What an encoder makes of zeros at 8 kbit/s. Submode 0 and the lowest rate, which are shorter, are
/// no silence: libspeex puts a faint noise in their place.
pub const SPEEX: [u8; 20] = [
    0x16, 0x9d, 0x66, 0, 0, 0xee, 0xee, 0x07, 0x77, 0x70, 0x3b, 0xbb, 0x81, 0xdd, 0xdd, 0x27, 0x6c,
    0, 0, 0x0f,
];

/// A single channel element without bands, and the end.
pub const AAC_MONO: [u8; 4] = [0, 0, 0, 0x07];

/// A channel pair element with a common window without bands, and the end.
pub const AAC_STEREO: [u8; 6] = [0x21, 0, 0, 0, 0, 0x1c];

/// Fullband CELT frames that a packet of silence is made of: their configuration (RFC 6716, section
/// 3.1) and samples at 48 kHz, the longest first.
const CELT: [(u8, u32); 4] = [(31, 960), (30, 480), (29, 240), (28, 120)];

/// Bytes of an Opus frame of silence.
const OPUS_FRAME: [u8; 2] = [0xff, 0xfe];

/// Silence in the place of one frame, as long as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SilentFrame(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Samples { zero: u8, count: u16 },
    Opus { config: u8, frames: u8 },
    Speex,
    AacMono,
    AacStereo,
}

impl SilentFrame {
    /// Silence as long as a frame; `None` for video, and for a frame that no decoder takes.
    pub fn like(config: &CodecConfig, frame: &[u8]) -> Option<Self> {
        Some(Self(match config {
            CodecConfig::Pcma | CodecConfig::Pcmu => {
                return Self::samples(config.codec(), frame.len());
            }
            CodecConfig::Opus { .. } => opus(frame)?,
            CodecConfig::Speex => Kind::Speex,
            CodecConfig::Aac(config) if config.channels == 1 => Kind::AacMono,
            CodecConfig::Aac(_) => Kind::AacStereo,
            CodecConfig::H264(_) | CodecConfig::Vp8(_) => return None,
        }))
    }

    /// So many samples of silence in one of the laws of G.711; `None` for another codec, for none, and
    /// for more than 65,535.
    pub fn samples(codec: Codec, count: usize) -> Option<Self> {
        let zero = match codec {
            Codec::Pcma => ALAW_ZERO,
            Codec::Pcmu => MULAW_ZERO,
            _ => return None,
        };
        let count = u16::try_from(count).ok().filter(|count| *count > 0)?;
        Some(Self(Kind::Samples { zero, count }))
    }

    /// Bytes of it.
    pub fn len(self) -> usize {
        let mut length = 0_usize;
        self.pieces(|piece| {
            length = length.saturating_add(piece.len());
            true
        });
        length
    }

    /// Whether it has no bytes; it always has some.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Gives its bytes piece by piece until `put` says that it takes no more.
    pub fn pieces(self, mut put: impl FnMut(&[u8]) -> bool) {
        match self.0 {
            Kind::Samples { zero, count } => {
                let block = [zero; 160];
                let mut left = usize::from(count);
                while left > 0 {
                    let piece = block.get(..left).unwrap_or(&block);
                    left = left.saturating_sub(piece.len());
                    if !put(piece) {
                        return;
                    }
                }
            }
            Kind::Opus { config, frames: 1 } => {
                let [first, second] = OPUS_FRAME;
                put(&[config << 3, first, second]);
            }
            Kind::Opus { config, frames } => {
                // Code 3 with frames of one length (section 3.2.5).
                let mut goes_on = put(&[config << 3 | 3, frames]);
                for _ in 0..frames {
                    goes_on = goes_on && put(&OPUS_FRAME);
                }
            }
            Kind::Speex => {
                put(&SPEEX);
            }
            Kind::AacMono => {
                put(&AAC_MONO);
            }
            Kind::AacStereo => {
                put(&AAC_STEREO);
            }
        }
    }
}

fn opus(packet: &[u8]) -> Option<Kind> {
    let samples = OpusPacket::parse(packet)?.samples;
    let fits = |(_, length): &&(u8, u32)| samples.is_multiple_of(*length);
    let (config, length) = *CELT.iter().find(fits)?;
    let frames = u8::try_from(samples.checked_div(length)?).ok()?;
    Some(Kind::Opus { config, frames })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::{AacConfig, Vp8Config};
    use crate::base::rng::Rng;

    fn bytes(config: &CodecConfig, frame: &[u8]) -> Option<Vec<u8>> {
        let silent = SilentFrame::like(config, frame)?;
        let mut all = Vec::new();
        silent.pieces(|piece| {
            all.extend_from_slice(piece);
            true
        });
        assert_eq!(all.len(), silent.len());
        Some(all)
    }

    #[test]
    fn g711_is_as_many_zero_samples() {
        for length in [1, 80, 160, 161, 480, 1_400] {
            let frame = vec![1; length];
            assert_eq!(
                bytes(&CodecConfig::Pcma, &frame).unwrap(),
                vec![0xd5; length]
            );
            assert_eq!(
                bytes(&CodecConfig::Pcmu, &frame).unwrap(),
                vec![0xff; length]
            );
        }
        assert_eq!(bytes(&CodecConfig::Pcma, &[]), None);
        assert_eq!(bytes(&CodecConfig::Pcma, &vec![0; 70_000]), None);
    }

    #[test]
    fn opus_lasts_as_long_as_what_it_stands_for() {
        let opus = CodecConfig::Opus { channels: 2 };
        // Every configuration as one frame, and packets of two and more.
        let mut rng = Rng::from_number(1);
        let mut packets: Vec<Vec<u8>> = (0..32_u8).map(|toc| vec![toc << 3, 1, 2, 3]).collect();
        packets.extend((0..32_u8).map(|toc| vec![toc << 3 | 1, 1, 2, 3, 4]));
        packets.push(vec![31 << 3 | 3, 6, 1, 1, 1, 1, 1, 1]);
        packets.push([&[28 << 3 | 3, 48][..], &[7; 48]].concat());
        packets.push(vec![30 << 3 | 3, 3, 1, 2, 3]);
        for _ in 0..2_000 {
            packets.push((0..rng.below(20)).map(|_| rng.u32() as u8).collect());
        }
        let mut seen = 0;
        for packet in packets {
            let Some(told) = OpusPacket::parse(&packet) else {
                assert_eq!(bytes(&opus, &packet), None);
                continue;
            };
            let silent = bytes(&opus, &packet).expect("silence of any length");
            let made = OpusPacket::parse(&silent).expect("a packet");
            assert_eq!(made.samples, told.samples, "{packet:?}");
            seen += 1;
        }
        assert!(seen > 100, "{seen}");
        assert_eq!(bytes(&opus, &[0x78, 1, 2]).unwrap(), OPUS);
    }

    #[test]
    fn speex_and_aac_are_what_encoders_make_of_nothing() {
        assert_eq!(bytes(&CodecConfig::Speex, &[1; 30]).unwrap(), SPEEX);
        let aac = |channels| {
            CodecConfig::Aac(AacConfig {
                specific: heapless::Vec::new(),
                sample_rate: 48_000,
                channels,
                frame_samples: 1_024,
            })
        };
        assert_eq!(bytes(&aac(1), &[9; 200]).unwrap(), AAC_MONO);
        assert_eq!(bytes(&aac(2), &[9; 200]).unwrap(), AAC_STEREO);
    }

    #[test]
    fn pictures_have_no_silence() {
        let size = Vp8Config {
            width: 16,
            height: 16,
        };
        assert_eq!(bytes(&CodecConfig::Vp8(size), &[1; 30]), None);
    }
}
