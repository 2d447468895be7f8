//! A part of a file in memory, with its place: what is read of it, and the boxes in it (ISO/IEC
//! 14496-12, section 4.2).

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

use crate::media_file::{Fault, FaultAt};

/// Bytes of a box that are not read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    /// The box, for words about it.
    kind: [u8; 4],
    bytes: &'a [u8],
    /// Where they stand in the file.
    at: u64,
}

impl<'a> Part<'a> {
    /// The content of a box of this kind that begins there in the file.
    pub fn new(kind: [u8; 4], bytes: &'a [u8], at: u64) -> Self {
        Self { kind, bytes, at }
    }

    /// Bytes that are left.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What is wrong with the next byte.
    pub fn fault(&self, fault: Fault) -> FaultAt {
        FaultAt {
            fault,
            position: self.at,
        }
    }

    /// The box makes no sense.
    pub fn bad(&self) -> FaultAt {
        self.fault(Fault::Mp4Box(self.kind))
    }

    /// The next bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], FaultAt> {
        let (bytes, rest) = self.bytes.split_at_checked(count).ok_or(self.bad())?;
        self.bytes = rest;
        self.at = self.at.saturating_add(count as u64);
        Ok(bytes)
    }

    /// The next bytes as an array.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FaultAt> {
        let bad = self.bad();
        let bytes = self.take(N)?;
        bytes.first_chunk().copied().ok_or(bad)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, FaultAt> {
        self.array().map(u8::from_be_bytes)
    }

    /// 16 bits.
    pub fn u16(&mut self) -> Result<u16, FaultAt> {
        self.array().map(u16::from_be_bytes)
    }

    /// 32 bits.
    pub fn u32(&mut self) -> Result<u32, FaultAt> {
        self.array().map(u32::from_be_bytes)
    }

    /// 64 bits, or 32 in a box of an older version.
    pub fn number(&mut self, wide: bool) -> Result<u64, FaultAt> {
        if wide {
            return self.array().map(u64::from_be_bytes);
        }
        self.u32().map(u64::from)
    }

    /// The version and the flags of a box that has them.
    pub fn version(&mut self) -> Result<(u8, u32), FaultAt> {
        let word = self.u32()?;
        Ok(((word >> 24) as u8, word & 0xff_ffff))
    }

    /// The next box in it; `None` at the end, where some files have a few zeros.
    pub fn next_box(&mut self) -> Result<Option<([u8; 4], Part<'a>)>, FaultAt> {
        if self.bytes.len() < 8 {
            return Ok(None);
        }
        let begun = *self;
        let length = self.u32()?;
        let kind = self.array()?;
        let body = match length {
            0 => Some(self.bytes.len() as u64),
            1 => self.number(true)?.checked_sub(16),
            _ => u64::from(length).checked_sub(8),
        };
        let bad = begun.fault(Fault::Mp4Box(kind));
        let at = self.at;
        let length = body.and_then(|it| usize::try_from(it).ok()).ok_or(bad)?;
        let bytes = self.take(length).map_err(|_| bad)?;
        Ok(Some((kind, Part::new(kind, bytes, at))))
    }

    /// The first box of a kind in it.
    pub fn find(mut self, wanted: &[u8; 4]) -> Result<Option<Part<'a>>, FaultAt> {
        while let Some((kind, part)) = self.next_box()? {
            if kind == *wanted {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    /// The first box of a kind in it, which must be there.
    pub fn need(self, wanted: &[u8; 4]) -> Result<Part<'a>, FaultAt> {
        self.find(wanted)?.ok_or(self.bad())
    }
}
