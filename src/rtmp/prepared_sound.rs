//! Sounds that are put in the place of a caller's: what they are of, and how they are cut into frames.
//!
//! G.711 is cut into as many samples as a caller's frame has, since each of its bytes is one. Sound of
//! any other codec keeps the frames that its encoder made, each of which lasts what its codec says: an
//! Opus packet by its first bytes (RFC 6716, section 3.1), an AAC access unit by its configuration
//! (ISO/IEC 14496-3, 4.5.1.1), Speex 20 ms (RFC 5574).

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

use std::rc::Rc;

use crate::base::codec::{Codec, CodecConfig};
use crate::wire::aac::decodes_alike;
use crate::wire::opus::OpusPacket;
use crate::wire::silent_frame::{ALAW_ZERO, MULAW_ZERO};

/// The shortest frame there is: Opus of 2.5 ms, in microseconds.
const SHORTEST: u32 = 2_500;

/// A frame of Speex, in microseconds.
const SPEEX: u32 = 20_000;

/// A prepared sound.
#[derive(Debug, PartialEq, Eq)]
pub struct PreparedSound {
    /// What a receiver must know before it. A track of another codec, or of AAC that is decoded
    /// otherwise, is silent meanwhile.
    pub config: Rc<CodecConfig>,
    /// Samples of G.711, 8,000 a second; of other codecs one frame after the other.
    pub bytes: Box<[u8]>,
    /// Where each frame ends among the bytes. G.711 has none.
    pub frame_ends: Box<[u32]>,
    /// Whether it begins anew after its end.
    pub repeats: bool,
}

/// One frame of a sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SoundFrame {
    /// Where it begins among the bytes.
    pub from: u32,
    /// Bytes of it.
    pub length: u16,
    /// Microseconds that it lasts.
    pub lasts: u32,
}

impl PreparedSound {
    /// Whether it is cut as long as the caller's frames.
    pub(super) fn is_samples(&self) -> bool {
        matches!(self.config.codec(), Codec::Pcma | Codec::Pcmu)
    }

    /// Whether its frames may stand in a track of this configuration. A decoder of Opus takes packets
    /// of either number of channels (RFC 7845, section 5.1.1).
    pub(super) fn fits(&self, track: &CodecConfig) -> bool {
        match (&*self.config, track) {
            (CodecConfig::Aac(sound), CodecConfig::Aac(track)) => decodes_alike(sound, track),
            (sound, track) => sound.codec() == track.codec(),
        }
    }

    /// Where it goes on after so many samples, or this frame: for one that repeats since it last
    /// began.
    pub(super) fn after(&self, at: u32, samples: u16) -> u32 {
        let (step, length) = match self.is_samples() {
            true => (u32::from(samples), self.bytes.len()),
            false => (1, self.frame_ends.len()),
        };
        let next = at.saturating_add(step);
        let length = u32::try_from(length).ok().filter(|_| self.repeats);
        length.map_or(next, |length| next.checked_rem(length).unwrap_or_default())
    }

    /// Whether nothing of it is left after so many samples, or frames.
    pub(super) fn is_over(&self, at: u32) -> bool {
        let length = match self.is_samples() {
            true => self.bytes.len(),
            false => self.frame_ends.len(),
        };
        length == 0 || (!self.repeats && at as usize >= length)
    }

    /// A frame by its number; `None` for one that there is not, and where nothing tells how long it
    /// lasts.
    pub(super) fn frame(&self, number: u32) -> Option<SoundFrame> {
        let number = number as usize;
        let end = *self.frame_ends.get(number)?;
        let from = match number.checked_sub(1) {
            Some(before) => *self.frame_ends.get(before)?,
            None => 0,
        };
        let bytes = self.bytes.get(from as usize..end as usize)?;
        Some(SoundFrame {
            from,
            length: u16::try_from(bytes.len()).ok()?,
            lasts: lasts(&self.config, bytes)?,
        })
    }

    /// Gives the bytes of a frame that was found here.
    pub(super) fn frame_bytes(&self, from: u32, length: u16, put: &mut impl FnMut(&[u8]) -> bool) {
        let end = from.saturating_add(length.into());
        put(self
            .bytes
            .get(from as usize..end as usize)
            .unwrap_or_default());
    }

    /// Gives `count` samples from one on; after the end zeros, or those from the beginning.
    pub(super) fn samples(&self, from: u32, count: usize, put: &mut impl FnMut(&[u8]) -> bool) {
        let mut at = from as usize;
        let mut left = count;
        while left > 0 {
            if self.repeats {
                at = at.checked_rem(self.bytes.len()).unwrap_or_default();
            }
            let rest = self.bytes.get(at..).unwrap_or_default();
            let piece = rest.get(..left).unwrap_or(rest);
            if piece.is_empty() {
                let zero = match self.config.codec() {
                    Codec::Pcmu => MULAW_ZERO,
                    _ => ALAW_ZERO,
                };
                return zeros(zero, left, put);
            }
            at = at.saturating_add(piece.len());
            left = left.saturating_sub(piece.len());
            if !put(piece) {
                return;
            }
        }
    }
}

/// Gives so many equal bytes.
pub(super) fn zeros(zero: u8, mut count: usize, put: &mut impl FnMut(&[u8]) -> bool) {
    let block = [zero; 160];
    while count > 0 {
        let piece = block.get(..count).unwrap_or(&block);
        count = count.saturating_sub(piece.len());
        if !put(piece) {
            return;
        }
    }
}

/// Microseconds that a frame of sound lasts; `None` for one that breaks its codec's rules, for G.711,
/// whose frames are of any length, and for pictures.
pub(super) fn lasts(config: &CodecConfig, frame: &[u8]) -> Option<u32> {
    let micros = match config {
        // A multiple of 120 samples at 48 kHz.
        CodecConfig::Opus { .. } => {
            let samples = OpusPacket::parse(frame)?.samples;
            samples.checked_mul(125)?.checked_div(6)?
        }
        CodecConfig::Aac(config) => {
            let micros = u32::from(config.frame_samples).checked_mul(1_000_000)?;
            micros.checked_div(config.sample_rate)?
        }
        CodecConfig::Speex => SPEEX,
        _ => return None,
    };
    Some(micros.max(SHORTEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::wire::aac::audio_specific_config;

    fn of(config: CodecConfig, frames: &[&[u8]], repeats: bool) -> PreparedSound {
        let ends = frames.iter().scan(0, |end, frame| {
            *end += frame.len() as u32;
            Some(*end)
        });
        PreparedSound {
            config: Rc::new(config),
            frame_ends: ends.collect(),
            bytes: frames.concat().into(),
            repeats,
        }
    }

    fn aac(specific: &[u8]) -> CodecConfig {
        CodecConfig::Aac(audio_specific_config(specific).unwrap())
    }

    #[test]
    fn frames_keep_their_bytes_and_last_what_their_codec_says() {
        let opus = CodecConfig::Opus { channels: 2 };
        // 20 ms, 60 ms in three frames, 2.5 ms.
        let packets = [&[0xf8, 1, 2][..], &[0xfb, 3, 1, 2, 3], &[0xe0, 9]];
        let sound = of(opus, &packets, false);
        for (number, lasts) in [(0, 20_000), (1, 60_000), (2, 2_500)] {
            let frame = sound.frame(number).unwrap();
            assert_eq!(frame.lasts, lasts);
            let mut bytes = Vec::new();
            sound.frame_bytes(frame.from, frame.length, &mut |piece| {
                bytes.extend_from_slice(piece);
                true
            });
            assert_eq!(bytes, packets[number as usize]);
        }
        assert_eq!(sound.frame(3), None);
        let lasts = |config, frame: &[u8]| of(config, &[frame], false).frame(0).unwrap().lasts;
        assert_eq!(lasts(aac(&[0x12, 0x10]), &[1; 300]), 23_219);
        assert_eq!(lasts(aac(&[0x11, 0x94]), &[1; 300]), 20_000);
        assert_eq!(lasts(CodecConfig::Speex, &[1; 70]), 20_000);
    }

    #[test]
    fn frames_that_lie_elsewhere_or_are_none_are_not_given() {
        let mut rng = Rng::from_number(4);
        for _ in 0..5_000 {
            let ends = (0..rng.below(6)).map(|_| rng.below(12)).collect();
            let sound = PreparedSound {
                config: Rc::new(CodecConfig::Opus { channels: 1 }),
                bytes: (0..rng.below(10)).map(|_| rng.u32() as u8).collect(),
                frame_ends: ends,
                repeats: true,
            };
            for number in 0..7 {
                if let Some(frame) = sound.frame(number) {
                    let end = frame.from as usize + usize::from(frame.length);
                    assert!(end <= sound.bytes.len() && frame.length > 0);
                    assert!((2_500..=120_000).contains(&frame.lasts));
                }
            }
        }
    }

    #[test]
    fn a_sound_stands_in_tracks_that_are_decoded_alike() {
        let opus = |channels| CodecConfig::Opus { channels };
        let lc = aac(&[0x11, 0x88]);
        for (sound, track, fits) in [
            (opus(1), opus(2), true),
            (opus(1), CodecConfig::Speex, false),
            (CodecConfig::Pcma, CodecConfig::Pcmu, false),
            // As ffmpeg says that there is no replication.
            (aac(&[0x11, 0x88, 0x56, 0xe5, 0]), lc.clone(), true),
            (aac(&[0x11, 0x90]), lc.clone(), false),
            (aac(&[0x12, 0x08]), lc, false),
        ] {
            assert_eq!(of(sound, &[], true).fits(&track), fits);
        }
    }

    #[test]
    fn a_sound_of_frames_is_over_behind_the_last_unless_it_repeats() {
        let frames = [&[0x78, 1][..], &[0x78, 2]];
        let once = of(CodecConfig::Speex, &frames, false);
        assert_eq!((once.after(0, 2), once.after(1, 2)), (1, 2));
        assert!(!once.is_over(1) && once.is_over(2));
        let again = of(CodecConfig::Speex, &frames, true);
        assert_eq!((again.after(0, 2), again.after(1, 2)), (1, 0));
        assert!(!again.is_over(1) && !again.is_over(2));
        assert!(of(CodecConfig::Speex, &[], true).is_over(0));
    }
}
