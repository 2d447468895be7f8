//! Bits out of bytes and into bytes, most significant first, for syntaxes that do not keep to bytes.

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

/// Bytes that need not lie in one piece.
pub trait Bytes {
    /// The byte at a place; `None` from the end on.
    fn byte(&self, at: usize) -> Option<u8>;
}

impl Bytes for [u8] {
    #[inline(always)]
    fn byte(&self, at: usize) -> Option<u8> {
        self.get(at).copied()
    }
}

/// Reads bits in order; `None` once there are too few.
#[derive(Debug)]
pub struct Bits<'a, B: Bytes + ?Sized> {
    bytes: &'a B,
    position: usize,
}

impl<B: Bytes + ?Sized> Clone for Bits<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Bytes + ?Sized> Copy for Bits<'_, B> {}

impl<'a, B: Bytes + ?Sized> Bits<'a, B> {
    /// A reader at the first bit.
    pub const fn new(bytes: &'a B) -> Self {
        Self::at(bytes, 0)
    }

    /// A reader at the bit `position`.
    pub const fn at(bytes: &'a B, position: usize) -> Self {
        Self { bytes, position }
    }

    /// Bits read so far.
    pub const fn position(&self) -> usize {
        self.position
    }

    /// The next bit.
    #[inline(always)]
    pub fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.byte(self.position >> 3)?;
        let bit = 0x80_u8 >> (self.position & 7);
        self.position = self.position.saturating_add(1);
        Some(byte & bit != 0)
    }

    /// The next `count` bits as a number, of at most 32; of more the last 32 count.
    pub fn number(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0_u32, |number, _| {
            Some((number << 1) | u32::from(self.flag()?))
        })
    }

    /// Passes over `count` bits, which may lie past the end: what is read then is missing.
    pub fn skip(&mut self, count: usize) {
        self.position = self.position.saturating_add(count);
    }
}

/// Writes bits in order into at most `N` bytes.
#[derive(Clone, Debug, Default)]
pub struct BitWriter<const N: usize> {
    bytes: Vec<u8, N>,
    /// Bits of the last byte that are still to be written.
    free: u32,
}

impl<const N: usize> BitWriter<N> {
    /// Nothing written yet.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            free: 0,
        }
    }

    /// Writes the last `count` bits of a number, of at most 32; `None` when there is no room.
    pub fn number(&mut self, number: u32, count: u32) -> Option<()> {
        for bit in (0..count).rev() {
            if self.free == 0 {
                self.bytes.push(0).ok()?;
                self.free = 8;
            }
            self.free = self.free.saturating_sub(1);
            let value = number.checked_shr(bit).unwrap_or(0) & 1;
            *self.bytes.last_mut()? |= (value as u8) << (self.free & 7);
        }
        Some(())
    }

    /// Writes whole bytes, wherever they begin.
    pub fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        bytes
            .iter()
            .try_for_each(|byte| self.number(u32::from(*byte), 8))
    }

    /// Fills the last byte up with zeros.
    pub fn align(&mut self) -> Option<()> {
        self.number(0, self.free)
    }

    /// What was written, the last byte filled up with zeros.
    pub fn finish(self) -> Vec<u8, N> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_in_order_and_end() {
        let mut bits = Bits::new(&[0b1010_0110, 0xff][..]);
        assert_eq!(bits.flag(), Some(true));
        assert_eq!(bits.number(5), Some(0b01001));
        assert_eq!(bits.number(0), Some(0));
        assert_eq!(bits.number(6), Some(0b10_1111));
        assert_eq!((bits.position(), bits.number(5)), (12, None));
        let mut bits = Bits::at(&[0, 0x0f][..], 12);
        assert_eq!(bits.number(4), Some(15));
        bits.skip(usize::MAX);
        assert_eq!(bits.flag(), None);
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut writer = BitWriter::<4>::new();
        for (number, count) in [(1, 1), (0x1234, 13), (0, 0), (0xabc, 12)] {
            writer.number(number, count).unwrap();
        }
        writer.align().unwrap();
        assert_eq!(writer.number(1, 1), None);
        let bytes = writer.finish();
        let mut bits = Bits::new(&bytes[..]);
        assert_eq!(bits.number(1), Some(1));
        assert_eq!(bits.number(13), Some(0x1234));
        assert_eq!(bits.number(12), Some(0xabc));
        assert_eq!(bits.number(6), Some(0));
        let mut writer = BitWriter::<2>::new();
        writer.number(1, 4).unwrap();
        assert_eq!(writer.bytes(&[0xff, 0xff]), None);
    }
}
