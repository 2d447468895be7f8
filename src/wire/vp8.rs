//! VP8 as it travels in RTP: the payload descriptor (RFC 7741, section 4.2) and the heads of frames
//! (RFC 7741, section 4.3; RFC 6386, section 9.1).
//!
//! Frames are not decoded; nothing after the picture size is looked at.

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

use crate::base::codec::Vp8Config;

/// The bytes before the frame data of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Bytes of the descriptor itself; the frame data comes after them.
    pub len: usize,
    /// No other frame depends on this one (N).
    pub non_reference: bool,
    /// The frame data begins a partition (S).
    pub starts_partition: bool,
    /// Which partition the frame data begins in (PID).
    pub partition: u8,
    /// The frame's number (I).
    pub picture: Option<PictureId>,
    /// The number of the base layer's frame that the frame belongs to (L).
    pub base_picture: Option<u8>,
    /// The frame's place among temporal layers (T).
    pub layer: Option<TemporalLayer>,
    /// Number of the keyframe that the frame depends on (K).
    pub keyframe: Option<u8>,
}

/// A frame's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureId {
    /// The number.
    pub number: u16,
    /// It has 15 bits and not 7.
    pub long: bool,
}

impl PictureId {
    /// How many numbers this one is after `earlier`, across a wrap; `None` when the two are not of
    /// one length.
    pub fn after(self, earlier: Self) -> Option<u16> {
        let mask = if self.long { 0x7fff } else { 0x7f };
        (self.long == earlier.long).then(|| self.number.wrapping_sub(earlier.number) & mask)
    }
}

/// A frame's place among temporal layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemporalLayer {
    /// The layer, 0 for the base (TID).
    pub id: u8,
    /// The frame depends on the base layer only (Y).
    pub sync: bool,
}

impl Descriptor {
    /// Reads it from the start of an RTP payload; `None` when that is too short for what it says.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut rest = payload.iter().copied();
        let first = rest.next()?;
        let mut this = Self {
            non_reference: first & 0x20 != 0,
            starts_partition: first & 0x10 != 0,
            partition: first & 0x07,
            ..Self::default()
        };
        let present = if first & 0x80 != 0 { rest.next()? } else { 0 };
        if present & 0x80 != 0 {
            let high = rest.next()?;
            let long = high & 0x80 != 0;
            let high = high & 0x7f;
            let number = if long {
                u16::from_be_bytes([high, rest.next()?])
            } else {
                u16::from(high)
            };
            this.picture = Some(PictureId { number, long });
        }
        if present & 0x40 != 0 {
            this.base_picture = Some(rest.next()?);
        }
        if present & 0x30 != 0 {
            let byte = rest.next()?;
            this.layer = (present & 0x20 != 0).then_some(TemporalLayer {
                id: byte >> 6,
                sync: byte & 0x20 != 0,
            });
            this.keyframe = (present & 0x10 != 0).then_some(byte & 0x1f);
        }
        this.len = payload.len().saturating_sub(rest.len());
        Some(this)
    }

    /// Whether the packet is its frame's first.
    pub fn starts_frame(&self) -> bool {
        self.starts_partition && self.partition == 0
    }
}

/// What the first bytes of a frame say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes that the frame has at least: its head and its first partition.
    pub least_bytes: usize,
    /// The picture's size, in a keyframe.
    pub keyframe: Option<Vp8Config>,
}

/// Why the head of a frame is illegal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The frame is shorter than its head.
    Truncated,
    /// A keyframe without its start code.
    StartCode,
    /// A keyframe of an empty picture.
    Size,
}

impl FrameHead {
    /// Reads the first bytes of a frame: 10 in a keyframe, 3 otherwise.
    ///
    /// # Errors
    ///
    /// A [`HeadError`] when no decoder would take the frame.
    pub fn parse(frame: &[u8]) -> Result<Self, HeadError> {
        let (tag, rest) = frame.split_first_chunk::<3>().ok_or(HeadError::Truncated)?;
        let &[t0, t1, t2] = tag;
        let first_partition = u32::from_le_bytes([t0, t1, t2, 0]) >> 5;
        let mut least_bytes = tag.len().saturating_add(first_partition as usize);
        let mut keyframe = None;
        if t0 & 1 == 0 {
            let head = rest.first_chunk::<7>().ok_or(HeadError::Truncated)?;
            let &[c0, c1, c2, w0, w1, h0, h1] = head;
            if [c0, c1, c2] != START_CODE {
                return Err(HeadError::StartCode);
            }
            // The two high bits ask for scaling, which is the player's matter.
            let width = u16::from_le_bytes([w0, w1]) & 0x3fff;
            let height = u16::from_le_bytes([h0, h1]) & 0x3fff;
            if width == 0 || height == 0 {
                return Err(HeadError::Size);
            }
            keyframe = Some(Vp8Config { width, height });
            least_bytes = least_bytes.saturating_add(head.len());
        }
        Ok(Self {
            least_bytes,
            keyframe,
        })
    }
}

/// What a keyframe's picture size comes after.
const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    const KEYFRAME: [u8; 10] = [0x10, 0x02, 0, 0x9d, 1, 0x2a, 0x80, 0x42, 0xe0, 0x81];

    #[test]
    fn the_shortest_descriptor_is_one_byte() {
        let start = Descriptor::parse(&[0x10, 1]).unwrap();
        assert!(start.starts_frame() && !start.non_reference);
        assert_eq!((start.len, start.picture), (1, None));
        let later = Descriptor::parse(&[0x33]).unwrap();
        assert!(later.starts_partition && later.non_reference && !later.starts_frame());
        assert_eq!(later.partition, 3);
        assert!(!Descriptor::parse(&[0x00]).unwrap().starts_frame());
    }

    #[test]
    fn every_combination_of_fields_is_read_and_none_of_its_truncations() {
        for present in 0..16_u8 {
            for long in [false, true] {
                let mut bytes = vec![0x90, present << 4];
                if present & 8 != 0 && long {
                    bytes.extend([0x80 | 0x12, 0x34]);
                } else if present & 8 != 0 {
                    bytes.push(0x12);
                }
                if present & 4 != 0 {
                    bytes.push(200);
                }
                if present & 3 != 0 {
                    bytes.push(0b1010_1001);
                }
                for length in 0..bytes.len() {
                    assert_eq!(Descriptor::parse(&bytes[..length]), None, "{bytes:x?}");
                }
                let whole = bytes.len();
                bytes.extend([0xff, 0xff]);
                let read = Descriptor::parse(&bytes).unwrap();
                assert_eq!(read.len, whole);
                let number = if long { 0x1234 } else { 0x12 };
                let picture = PictureId { number, long };
                assert_eq!(read.picture, (present & 8 != 0).then_some(picture));
                assert_eq!(read.base_picture, (present & 4 != 0).then_some(200));
                let layer = TemporalLayer { id: 2, sync: true };
                assert_eq!(read.layer, (present & 2 != 0).then_some(layer));
                assert_eq!(read.keyframe, (present & 1 != 0).then_some(9));
            }
        }
    }

    #[test]
    fn picture_numbers_are_compared_across_their_wrap() {
        let id = |number, long| PictureId { number, long };
        assert_eq!(id(0, true).after(id(0x7fff, true)), Some(1));
        assert_eq!(id(1, false).after(id(0x7f, false)), Some(2));
        assert_eq!(id(7, true).after(id(7, true)), Some(0));
        assert_eq!(id(7, true).after(id(6, false)), None);
    }

    #[test]
    fn keyframes_tell_their_size_and_others_none() {
        let head = FrameHead::parse(&KEYFRAME).unwrap();
        // Scaling bits are set in both.
        let size = Vp8Config {
            width: 640,
            height: 480,
        };
        assert_eq!(head.keyframe, Some(size));
        assert_eq!(head.least_bytes, 10 + 16);
        let head = FrameHead::parse(&[0x31, 0x01, 0, 9]).unwrap();
        assert_eq!((head.keyframe, head.least_bytes), (None, 3 + 9));
    }

    #[test]
    fn illegal_heads_are_told() {
        for length in 0..KEYFRAME.len() {
            let read = FrameHead::parse(&KEYFRAME[..length]);
            assert_eq!(read, Err(HeadError::Truncated));
        }
        for at in 3..6 {
            let mut bytes = KEYFRAME;
            bytes[at] ^= 1;
            assert_eq!(FrameHead::parse(&bytes), Err(HeadError::StartCode));
        }
        for at in [6, 8] {
            let mut bytes = KEYFRAME;
            bytes[at..at + 2].copy_from_slice(&[0, 0xc0]);
            assert_eq!(FrameHead::parse(&bytes), Err(HeadError::Size));
        }
    }

    #[test]
    fn random_bytes_never_panic_and_a_descriptor_never_reaches_past_its_payload() {
        let mut rng = Rng::from_number(5);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..rng.below(16)).map(|_| rng.u32() as u8).collect();
            if let Some(read) = Descriptor::parse(&bytes) {
                assert!(read.len <= bytes.len() && read.len <= 6);
            }
            let _ = FrameHead::parse(&bytes);
        }
    }
}
