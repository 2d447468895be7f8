//! Boxes (ISO/IEC 14496-12, section 4.2): a length and a type around bytes or other boxes.

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

/// Writes boxes to the end of a buffer.
pub(super) struct Boxes<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Boxes<'a> {
    /// Boxes after what `out` holds.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Writes a box with what `fill` writes into it.
    pub fn nest(&mut self, kind: &[u8; 4], fill: impl FnOnce(&mut Self)) {
        let at = self.out.len();
        self.u32(0);
        self.bytes(kind);
        fill(self);
        let length = self.out.len().saturating_sub(at);
        self.patch(at, u32::try_from(length).unwrap_or(u32::MAX));
    }

    /// Writes a box that begins with a version and 24 bits of flags.
    pub fn full(&mut self, kind: &[u8; 4], version: u8, flags: u32, fill: impl FnOnce(&mut Self)) {
        self.nest(kind, |it| {
            it.u32(u32::from(version) << 24 | flags & 0xff_ffff);
            fill(it);
        });
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Zeros.
    pub fn zeros(&mut self, count: usize) {
        self.out.resize(self.out.len().saturating_add(count), 0);
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    /// 16 bits.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// 32 bits.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// 64 bits.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// Where the next byte goes.
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Writes 32 bits over those at a position.
    pub fn patch(&mut self, at: usize, value: u32) {
        if let Some(place) = self.out.get_mut(at..at.saturating_add(4)) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }
}
