//! The first fields of H.264 slices, picture parameter sets and recovery point messages (ITU-T
//! H.264, sections 7.3.3, 7.3.2.2 and D.1.8).

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

use heapless::Vec;

use crate::wire::bits::Bits;

/// The first fields of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceHead {
    /// It is its picture's first in scan order.
    pub first: bool,
    /// Each of its macroblocks is predicted from within the picture.
    pub intra: bool,
    /// The picture parameter set that it needs.
    pub pps: u8,
    /// What comes after, up to 32 bits.
    rest: u32,
}

impl SliceHead {
    /// Reads it from a NAL unit without its header byte; `None` when it is too short or a number is
    /// out of its range.
    pub fn parse(after_header: &[u8]) -> Option<Self> {
        let bytes: Vec<u8, 20> = unescaped(after_header).take(20).collect();
        let mut bits = Bits::new(&*bytes);
        let first = golomb(&mut bits)? == 0;
        let kind = golomb(&mut bits)?;
        let pps = u8::try_from(golomb(&mut bits)?).ok()?;
        let rest = (0..32).fold(0_u32, |rest, _| {
            rest << 1 | u32::from(bits.flag().unwrap_or(false))
        });
        // Types I and SI; those from 5 on say that the whole picture is of that type.
        let intra = matches!(kind, 2 | 4 | 7 | 9);
        (kind <= 9).then_some(Self {
            first,
            intra,
            pps,
            rest,
        })
    }

    /// The picture's number, of as many bits as the sequence parameter set says, which come after
    /// `skipped` others.
    pub fn frame_number(&self, skipped: u32, bits: u32) -> u32 {
        let from = self.rest.checked_shl(skipped).unwrap_or(0);
        from.checked_shr(32_u32.saturating_sub(bits)).unwrap_or(0)
    }
}

/// The identifiers of a picture parameter set and of the sequence parameter set that it belongs to,
/// from the unit with its header byte.
pub fn pps_ids(nal: &[u8]) -> Option<(u8, u8)> {
    let bytes: Vec<u8, 8> = unescaped(nal.get(1..)?).take(8).collect();
    let mut bits = Bits::new(&*bytes);
    let pps = u8::try_from(golomb(&mut bits)?).ok()?;
    let sps = u8::try_from(golomb(&mut bits)?).ok()?;
    (sps <= 31).then_some((pps, sps))
}

/// The number of pictures after which decoding that began at this one is right, if the SEI unit,
/// given without its header byte, has a recovery point.
pub fn recovery_point(after_header: &[u8]) -> Option<u32> {
    let mut bytes = unescaped(after_header).peekable();
    loop {
        let kind = sei_number(&mut bytes)?;
        let size = sei_number(&mut bytes)?;
        // Trailing bits look like a message without content.
        bytes.peek()?;
        if kind == RECOVERY_POINT {
            let content: Vec<u8, 6> = bytes.take(size.min(6)).collect();
            return golomb(&mut Bits::new(&*content));
        }
        if let Some(last) = size.checked_sub(1) {
            bytes.nth(last)?;
        }
    }
}

/// Payload type of a recovery point message.
const RECOVERY_POINT: usize = 6;

/// A number of SEI messages: bytes of 255 are added up with the first other one.
fn sei_number(bytes: &mut impl Iterator<Item = u8>) -> Option<usize> {
    let mut number = 0_usize;
    loop {
        let byte = bytes.next()?;
        number = number.saturating_add(usize::from(byte));
        if byte != 255 {
            return Some(number);
        }
    }
}

/// The bytes of a NAL unit without those that keep start codes out of it (section 7.4.1).
fn unescaped(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let mut zeros = 0_u8;
    bytes.iter().copied().filter(move |byte| {
        let escape = zeros >= 2 && *byte == 3;
        zeros = if *byte == 0 {
            zeros.saturating_add(1)
        } else {
            0
        };
        !escape
    })
}

/// An unsigned number in Exp-Golomb code (section 9.1).
fn golomb(bits: &mut Bits<'_, [u8]>) -> Option<u32> {
    let mut zeros = 0_u32;
    while !bits.flag()? {
        zeros = zeros.saturating_add(1);
    }
    if zeros > 24 {
        return None;
    }
    let low = bits.number(zeros)?;
    1_u32.checked_shl(zeros)?.checked_add(low)?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn slice_heads_are_read() {
        // First macroblock 0, type 7 (I), set 0, picture number 5 in 4 bits.
        let head = SliceHead::parse(&[0b1000_1000, 0b1010_1000]).unwrap();
        assert!(head.first && head.intra);
        assert_eq!((head.pps, head.frame_number(0, 4)), (0, 5));
        // Two bits of a colour plane before it.
        assert_eq!(head.frame_number(2, 2), 1);
        // First macroblock 1, type 0 (P), set 2.
        let head = SliceHead::parse(&[0b0101_0110, 0]).unwrap();
        assert!(!head.first && !head.intra);
        assert_eq!(head.pps, 2);
        // First macroblock 0, type 10, which there is not.
        assert_eq!(SliceHead::parse(&[0b1000_1011, 0xff]), None);
        assert_eq!(SliceHead::parse(&[0x88]), None);
        assert_eq!(SliceHead::parse(&[]), None);
    }

    #[test]
    fn bytes_that_keep_start_codes_out_are_no_part_of_numbers() {
        let plain: Vec<u8, 8> = unescaped(&[0, 0, 3, 1, 0, 3, 0, 0, 3, 3]).collect();
        assert_eq!(plain, [0, 0, 1, 0, 3, 0, 0, 3]);
    }

    #[test]
    fn parameter_set_identifiers_are_read() {
        assert_eq!(pps_ids(&[0x68, 0b1100_0000]), Some((0, 0)));
        assert_eq!(pps_ids(&[0x68, 0b0101_0000]), Some((1, 0)));
        assert_eq!(pps_ids(&[0x68, 0b0110_1000]), Some((2, 1)));
        assert_eq!(pps_ids(&[0x68, 0x00, 0x80, 0x40]), Some((255, 0)));
        assert_eq!(pps_ids(&[0x68, 0x00, 0x80, 0x80, 0xff]), None);
        assert_eq!(pps_ids(&[0x68, 0x00, 0x00, 0xff]), None);
        // Set 0 of sequence parameter set 32, which there is not.
        assert_eq!(pps_ids(&[0x68, 0b1000_0010, 0b0001_0000]), None);
        assert_eq!(pps_ids(&[0x68]), None);
        assert_eq!(pps_ids(&[]), None);
    }

    #[test]
    fn recovery_points_are_found_among_other_messages() {
        assert_eq!(recovery_point(&[6, 1, 0xc4, 0x80]), Some(0));
        // After user data of 2 bytes; 30 pictures: 000011111.
        assert_eq!(
            recovery_point(&[5, 2, 1, 2, 6, 2, 0x0f, 0xc4, 0x80]),
            Some(30)
        );
        assert_eq!(recovery_point(&[5, 2, 6, 1, 0x80]), None);
        for bytes in [
            &[6, 1][..],
            &[6],
            &[255, 255],
            &[5, 200, 1],
            &[6, 0, 0x80],
            &[0x80],
            &[],
        ] {
            assert_eq!(recovery_point(bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut rng = Rng::from_number(6);
        for _ in 0..20_000 {
            let mask = if rng.below(2) == 0 { 0x07 } else { 0xff };
            let bytes: std::vec::Vec<u8> =
                (0..rng.below(24)).map(|_| rng.u32() as u8 & mask).collect();
            if let Some(head) = SliceHead::parse(&bytes) {
                let _ = head.frame_number(rng.below(3), rng.below(17));
            }
            let _ = (pps_ids(&bytes), recovery_point(&bytes));
        }
    }
}
