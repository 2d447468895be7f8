//! How far a file that was cut off anywhere is whole.

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

/// The first box of every file. Its minor version, which readers pass over, marks it as ours.
pub(super) const FTYP: [u8; FILE_MARK_BYTES] = *b"\x00\x00\x00\x20ftypiso6tkc1iso6isomiso5mp41";

/// Bytes by which a file of ours is known.
pub const FILE_MARK_BYTES: usize = 32;

/// What every file of ours begins with, and hardly another one.
pub const fn file_mark() -> &'static [u8; FILE_MARK_BYTES] {
    &FTYP
}

/// Bytes of a box's length and type.
const HEAD_BYTES: u64 = 8;

/// Walks a file box by box, without its bytes: the owner reads the heads that are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    length: u64,
    at: u64,
    whole: u64,
    has_header: bool,
    done: bool,
}

impl Extent {
    /// Of a file of so many bytes.
    pub fn new(length: u64) -> Self {
        Self {
            length,
            at: 0,
            whole: 0,
            has_header: false,
            done: false,
        }
    }

    /// Where the next eight bytes are to be read; `None` when the end is found.
    pub fn wants(&self) -> Option<u64> {
        (!self.done && self.length.saturating_sub(self.at) >= HEAD_BYTES).then_some(self.at)
    }

    /// Takes the eight bytes that were asked for.
    pub fn take(&mut self, head: [u8; 8]) {
        let [a, b, c, d, kind @ ..] = head;
        let length = u64::from(u32::from_be_bytes([a, b, c, d]));
        let end = self.at.saturating_add(length);
        let first = self.at == 0;
        let known = match &kind {
            b"ftyp" => first,
            b"moov" => !first && !self.has_header,
            b"moof" | b"mdat" => self.has_header,
            _ => false,
        };
        if !known || length < HEAD_BYTES || end > self.length {
            self.done = true;
            return;
        }
        self.at = end;
        match &kind {
            b"moov" => self.has_header = true,
            // A fragment's samples are in the box after it.
            b"mdat" => self.whole = end,
            _ => {}
        }
    }

    /// Bytes up to the end of the last whole fragment; 0 when there is none.
    pub fn whole_bytes(&self) -> u64 {
        self.whole
    }
}
