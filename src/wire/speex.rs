//! Speex packets at 16 kHz (RFC 5574): whether one is well-formed, and where its frames lie.
//!
//! A packet is a run of frames, each a narrowband layer and, as a rule, a wideband one, at any bit;
//! the end is a terminator (15) or fewer bits than a frame's head. In-band messages between frames
//! are passed over. What is in a frame is not looked at.

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

use core::ops::Range;

use crate::wire::bits::Bits;

/// Bits of a narrowband layer by submode, its head of 5 bits left out.
const NARROW: [usize; 9] = [0, 38, 114, 155, 215, 295, 359, 487, 74];

/// Bits of a wideband layer by submode, its head of 4 bits left out.
const WIDE: [usize; 5] = [0, 32, 108, 188, 348];

/// Samples of one frame.
pub const FRAME_SAMPLES: u32 = 320;

/// The frames of a packet, each as its range of bits.
#[derive(Clone, Debug)]
pub struct SpeexFrames<'a> {
    bits: Bits<'a, [u8]>,
    total: usize,
    /// The end was reached, or a fault.
    over: bool,
}

/// A packet that no decoder takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSpeex;

impl<'a> SpeexFrames<'a> {
    /// The frames of a packet.
    pub fn new(packet: &'a [u8]) -> Self {
        Self {
            bits: Bits::new(packet),
            total: packet.len().saturating_mul(8),
            over: false,
        }
    }

    /// How many frames there are.
    pub fn check(packet: &'a [u8]) -> Result<usize, NotSpeex> {
        Self::new(packet).try_fold(0_usize, |count, frame| {
            frame.map(|_| count.saturating_add(1))
        })
    }

    /// Reads up to the end of the next frame; `None` at the packet's end.
    fn read(&mut self) -> Option<Result<Range<usize>, NotSpeex>> {
        while self.total.saturating_sub(self.bits.position()) >= 5 {
            let begin = self.bits.position();
            if self.bits.flag()? {
                // A wideband layer stands behind a narrowband one, nowhere else.
                return Some(Err(NotSpeex));
            }
            match self.bits.number(4)? {
                TERMINATOR => return None,
                IN_BAND => {
                    let kind = self.bits.number(4).unwrap_or_default();
                    self.bits.skip(in_band_bits(kind));
                }
                USER_IN_BAND => {
                    let bytes = self.bits.number(4).unwrap_or_default() as usize;
                    self.bits.skip(bytes.saturating_mul(8).saturating_add(5));
                }
                submode => {
                    let frame = self.layers(submode).map(|()| begin..self.bits.position());
                    return Some(frame.ok_or(NotSpeex));
                }
            }
        }
        (self.bits.position() > self.total).then_some(Err(NotSpeex))
    }

    /// Passes over both layers of a frame, of which the first head has been read.
    fn layers(&mut self, submode: u32) -> Option<()> {
        self.bits.skip(*NARROW.get(submode as usize)?);
        let mut ahead = self.bits;
        if ahead.flag() == Some(true) {
            let submode = ahead.number(3)?;
            self.bits = ahead;
            self.bits.skip(*WIDE.get(submode as usize)?);
        }
        (self.bits.position() <= self.total).then_some(())
    }
}

impl Iterator for SpeexFrames<'_> {
    type Item = Result<Range<usize>, NotSpeex>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.read();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Writes one frame of a packet to the front of `out`, padded as section 3.3 says; bytes written.
/// `None` when `out` is too short.
pub fn copy_frame(packet: &[u8], frame: Range<usize>, out: &mut [u8]) -> Option<usize> {
    let length = frame.len().div_ceil(8);
    let mut bits = Bits::at(packet, frame.start);
    let mut left = frame.len() as u32;
    for byte in out.get_mut(..length)? {
        let taken = left.min(8);
        let padding = 8_u32.saturating_sub(taken);
        // A zero and then ones.
        let filling = (1_u32 << padding.saturating_sub(1)).saturating_sub(1);
        *byte = ((bits.number(taken)? << padding) | filling) as u8;
        left = left.saturating_sub(taken);
    }
    Some(length)
}

const TERMINATOR: u32 = 15;
const IN_BAND: u32 = 14;
const USER_IN_BAND: u32 = 13;

/// Bits of an in-band message by its kind.
fn in_band_bits(kind: u32) -> usize {
    match kind {
        0 | 1 => 1,
        2..=7 => 4,
        8 | 9 => 8,
        10 | 11 => 16,
        12 | 13 => 32,
        _ => 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// A run of bits, as `(value, count)`, in whole bytes.
    fn bits(parts: &[(u64, usize)]) -> Vec<u8> {
        let mut text = String::new();
        for (value, count) in parts {
            text.push_str(&format!("{value:0count$b}"));
        }
        if !text.len().is_multiple_of(8) {
            text.push('0');
        }
        while !text.len().is_multiple_of(8) {
            text.push('1');
        }
        text.as_bytes()
            .chunks(8)
            .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0')))
            .collect()
    }

    /// A frame of the widest submodes whose bits are `fill`.
    fn frame(fill: u64) -> Vec<(u64, usize)> {
        let mut parts = vec![(8, 5)];
        parts.extend([(fill, 37); 2]);
        parts.push((0b1001, 4));
        parts.push((fill, 32));
        parts
    }

    #[test]
    fn one_frame_is_its_packet() {
        assert_eq!(SpeexFrames::check(&bits(&frame(5))), Ok(1));
        // Silence: nothing in either layer. Narrowband alone is a frame too.
        assert_eq!(SpeexFrames::check(&[0x04, 0x3f]), Ok(1));
        assert_eq!(SpeexFrames::check(&bits(&[(0, 5), (15, 5)])), Ok(1));
    }

    #[test]
    fn several_frames_are_told_apart_and_come_out_alone() {
        let fills = [3, 0x1234_5678, 99];
        let mut parts = Vec::new();
        for fill in fills {
            parts.extend(frame(fill));
        }
        let packet = bits(&parts);
        let frames: Vec<_> = SpeexFrames::new(&packet).map(Result::unwrap).collect();
        assert_eq!(frames, [0..115, 115..230, 230..345]);
        for (range, fill) in frames.into_iter().zip(fills) {
            let mut out = [0; 64];
            let length = copy_frame(&packet, range, &mut out).unwrap();
            assert_eq!(out[..length], bits(&frame(fill)));
        }
        assert_eq!(copy_frame(&packet, 0..115, &mut [0; 14]), None);
    }

    #[test]
    fn messages_between_frames_are_passed_over() {
        for message in [
            &[(14, 5), (2, 4), (9, 4)][..],
            &[(14, 5), (1, 4), (1, 1)],
            &[(14, 5), (15, 4), (0, 64)],
            &[(13, 5), (2, 4), (0, 21)],
        ] {
            let mut parts = message.to_vec();
            parts.extend(frame(1));
            let packet = bits(&parts);
            assert_eq!(SpeexFrames::check(&packet), Ok(1), "{message:?}");
        }
    }

    #[test]
    fn what_no_decoder_takes_is_refused() {
        for packet in [
            &[0x80_u8, 0][..],
            // Submodes without meaning, of either layer.
            &[0x48, 0],
            &[0x06, 0x80],
        ] {
            assert_eq!(SpeexFrames::check(packet), Err(NotSpeex), "{packet:x?}");
        }
        let whole = bits(&frame(1));
        for length in 1..whole.len() {
            assert_eq!(
                SpeexFrames::check(&whole[..length]),
                Err(NotSpeex),
                "{length}"
            );
        }
        assert_eq!(SpeexFrames::check(&[]), Ok(0));
    }

    #[test]
    fn whatever_comes_ends() {
        let mut rng = Rng::from_number(5);
        for _ in 0..20_000 {
            let bytes: [u8; 40] = core::array::from_fn(|_| rng.u32() as u8);
            let bytes = &bytes[..rng.below(41) as usize];
            for frame in SpeexFrames::new(bytes).flatten() {
                assert!(frame.start < frame.end && frame.end <= bytes.len() * 8);
            }
        }
    }
}
