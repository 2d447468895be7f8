//! Bits out of bytes, most significant first, of syntaxes that do not keep to bytes.

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

/// Bytes that need not lie in one piece.
pub trait Bytes {
    /// The byte at a place; `None` from the end on.
    fn byte(&self, at: usize) -> Option<u8>;
}

impl Bytes for [u8] {
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
}
