//! What a frame carries so that its arrival can be matched with its sending.

/// Bytes of a stamp: text without zeros, so that it is innocent within a NAL unit.
pub const STAMP_BYTES: usize = 56;

const MAGIC: &[u8] = b"BENCHMRK";

/// The identity of a frame and its times of sending, in nanoseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stamp {
    /// Number of the call.
    pub call: u32,
    /// Number of the frame in its stream.
    pub frame: u32,
    /// When its last packet was sent.
    pub last: u64,
    /// When its first packet was sent.
    pub first: u64,
}

impl Stamp {
    /// Writes the stamp over `at`.
    pub fn write(&self, at: &mut [u8]) {
        let text = format!(
            "{:08x}{:08x}{:016x}{:016x}",
            self.call, self.frame, self.last, self.first
        );
        at[..MAGIC.len()].copy_from_slice(MAGIC);
        at[MAGIC.len()..STAMP_BYTES].copy_from_slice(text.as_bytes());
    }

    /// Reads a stamp that begins at the start of `bytes`.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = bytes.get(..STAMP_BYTES)?.strip_prefix(MAGIC)?;
        let text = std::str::from_utf8(text).ok()?;
        let number = |from: usize, to: usize| u64::from_str_radix(text.get(from..to)?, 16).ok();
        Some(Self {
            call: number(0, 8)? as u32,
            frame: number(8, 16)? as u32,
            last: number(16, 32)?,
            first: number(32, 48)?,
        })
    }
}
