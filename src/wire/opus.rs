//! Opus packets (RFC 6716, section 3): whether one is well-formed, and how long it lasts.

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

/// Most bytes of one frame (RFC 6716, section 3.4, R2).
const FRAME_BYTES: usize = 1_275;

/// Most samples at 48 kHz of one packet: 120 ms (R5).
const PACKET_SAMPLES: u32 = 5_760;

/// What a packet's framing says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusPacket {
    /// Frames in it: 1 to 48. One of no bytes stands for silence that was not sent.
    pub frames: u8,
    /// Samples at 48 kHz that they last: 120 to 5,760.
    pub samples: u32,
    /// Whether it is coded in stereo; a decoder makes either of it.
    pub stereo: bool,
}

impl OpusPacket {
    /// Checks a packet by the rules R1 to R7 of RFC 6716, section 3.4; `None` for one that breaks
    /// them. What is in the frames is not looked at.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let (&toc, rest) = packet.split_first()?;
        let frames = match toc & 3 {
            0 => {
                fits(rest.len())?;
                1
            }
            1 => {
                fits(whole_part(rest.len(), 2)?)?;
                2
            }
            2 => {
                let (first, rest) = frame_length(rest)?;
                fits(rest.len().checked_sub(first)?)?;
                2
            }
            _ => many(rest)?,
        };
        let samples = frame_samples(toc).checked_mul(u32::from(frames))?;
        (samples <= PACKET_SAMPLES).then_some(Self {
            frames,
            samples,
            stereo: toc & 4 != 0,
        })
    }
}

/// Samples at 48 kHz of one frame of a configuration (section 3.1, table 2).
fn frame_samples(toc: u8) -> u32 {
    let config = toc >> 3;
    let tenth = |index: u8| -> u32 {
        match index {
            0 => 480,
            1 => 960,
            2 => 1_920,
            _ => 2_880,
        }
    };
    match config {
        0..=11 => tenth(config & 3),
        12..=15 => tenth(config & 1),
        _ => 120_u32 << (config & 3),
    }
}

/// A packet of code 3, after its first byte: how many frames it has (section 3.2.5).
fn many(rest: &[u8]) -> Option<u8> {
    let (&head, mut rest) = rest.split_first()?;
    let frames = head & 0x3f;
    if frames == 0 {
        return None;
    }
    if head & 0x40 != 0 {
        let mut padding = 0_usize;
        loop {
            let (&more, after) = rest.split_first()?;
            rest = after;
            if more < 255 {
                padding = padding.checked_add(usize::from(more))?;
                break;
            }
            padding = padding.checked_add(254)?;
        }
        rest = rest.get(..rest.len().checked_sub(padding)?)?;
    }
    if head & 0x80 == 0 {
        fits(whole_part(rest.len(), usize::from(frames))?)?;
        return Some(frames);
    }
    let mut taken = 0_usize;
    for _ in 1..frames {
        let (length, after) = frame_length(rest)?;
        taken = taken.checked_add(length)?;
        rest = after;
    }
    fits(rest.len().checked_sub(taken)?)?;
    Some(frames)
}

/// A frame's length of one or two bytes (section 3.2.1), and what follows it.
fn frame_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 252 {
        return Some((usize::from(first), rest));
    }
    let (&second, rest) = rest.split_first()?;
    let length = usize::from(second)
        .checked_mul(4)?
        .checked_add(usize::from(first))?;
    Some((length, rest))
}

/// The share of each of `parts` equal parts, where there is no rest.
fn whole_part(bytes: usize, parts: usize) -> Option<usize> {
    (bytes.checked_rem(parts)? == 0).then(|| bytes.checked_div(parts))?
}

fn fits(frame: usize) -> Option<()> {
    (frame <= FRAME_BYTES).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn samples(packet: &[u8]) -> Option<(u8, u32)> {
        OpusPacket::parse(packet).map(|packet| (packet.frames, packet.samples))
    }

    #[test]
    fn a_packet_lasts_what_its_first_byte_says() {
        for (config, each) in [
            (0, 480),
            (1, 960),
            (2, 1_920),
            (3, 2_880),
            (11, 2_880),
            (12, 480),
            (15, 960),
            (16, 120),
            (17, 240),
            (18, 480),
            (31, 960),
        ] {
            assert_eq!(samples(&[config << 3, 1, 2]), Some((1, each)), "{config}");
        }
        assert!(!OpusPacket::parse(&[0xf8, 1]).unwrap().stereo);
        assert!(OpusPacket::parse(&[0xfc, 1]).unwrap().stereo);
    }

    #[test]
    fn all_ways_of_packing_frames_are_read() {
        // One frame, also of no bytes; two of one size; two of different sizes.
        assert_eq!(samples(&[0xf8]), Some((1, 960)));
        assert_eq!(samples(&[0xf9, 1, 2]), Some((2, 1_920)));
        assert_eq!(samples(&[0xfa, 1, 9, 8, 7]), Some((2, 1_920)));
        assert_eq!(samples(&[0xfa, 0]), Some((2, 1_920)));
        let mut long = vec![0xfa, 252, 1];
        long.extend([0; 256 + 3]);
        assert_eq!(samples(&long), Some((2, 1_920)));
        // Three of one size, with padding; three of different sizes.
        assert_eq!(samples(&[0xfb, 0x43, 2, 1, 2, 3, 0, 0]), Some((3, 2_880)));
        assert_eq!(
            samples(&[0xfb, 0x83, 1, 2, 1, 2, 2, 3, 3]),
            Some((3, 2_880))
        );
        let mut padded = vec![0xfb, 0x41, 255, 1];
        padded.extend([0; 255 + 7]);
        assert_eq!(samples(&padded), Some((1, 960)));
        // 48 frames of 2.5 ms are the most.
        assert_eq!(samples(&[0x83, 48]), Some((48, 5_760)));
    }

    #[test]
    fn what_breaks_a_rule_is_refused() {
        let oversized = |toc: u8| {
            let mut packet = vec![toc];
            packet.resize(1 + FRAME_BYTES + 1, 0);
            packet
        };
        for (rule, packet) in [
            ("R1", vec![]),
            ("R2", oversized(0xf8)),
            ("R3", vec![0xf9, 1, 2, 3]),
            ("R4, no length", vec![0xfa]),
            ("R4, half a length", vec![0xfa, 252]),
            ("R4, short", vec![0xfa, 3, 1, 2]),
            ("R5, none", vec![0xfb, 0]),
            ("R5, 140 ms", vec![0xfb, 7]),
            ("R6, no count", vec![0xfb]),
            ("R6, unequal", vec![0xfb, 2, 1, 2, 3]),
            ("R6, padding beyond the end", vec![0xfb, 0x42, 3, 1, 2]),
            ("R6, padding without end", vec![0xfb, 0x42, 255]),
            ("R7, short", vec![0xfb, 0x82, 2, 1]),
            ("R7, no length", vec![0xfb, 0x83, 1]),
        ] {
            assert_eq!(samples(&packet), None, "{rule}");
        }
    }

    #[test]
    fn whatever_comes_is_within_bounds() {
        let mut rng = Rng::from_number(3);
        for _ in 0..50_000 {
            let bytes: [u8; 12] = core::array::from_fn(|_| rng.u32() as u8);
            let length = rng.below(13) as usize;
            if let Some(packet) = OpusPacket::parse(&bytes[..length]) {
                assert!((1..=48).contains(&packet.frames));
                assert!((120..=5_760).contains(&packet.samples));
            }
        }
    }
}
