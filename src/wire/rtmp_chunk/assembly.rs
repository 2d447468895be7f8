//! Buffers in which messages are put together (RTMP 1.0, section 5.3): a few for a connection, each
//! as large as its message. Short ones are kept for the next.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::limits::RTMP_COMMANDS_BEGUN;

/// Bytes of a buffer that stay when its message is read.
const KEPT_BYTES: usize = 512;

/// The buffers of one connection.
#[derive(Default)]
pub(super) struct Assemblies([Assembly; RTMP_COMMANDS_BEGUN]);

#[derive(Default)]
struct Assembly {
    used: bool,
    bytes: Vec<u8>,
}

impl Assemblies {
    /// A buffer for a message of this length, which the caller bounds; `None` while all are in use.
    pub fn begin(&mut self, length: usize) -> Option<usize> {
        let at = self.0.iter().position(|assembly| !assembly.used)?;
        let assembly = self.0.get_mut(at)?;
        assembly.used = true;
        assembly.bytes.reserve_exact(length);
        Some(at)
    }

    /// The bytes in a buffer that is in use.
    pub fn bytes(&self, at: usize) -> Option<&[u8]> {
        let assembly = self.0.get(at).filter(|assembly| assembly.used);
        assembly.map(|assembly| assembly.bytes.as_slice())
    }

    /// Adds bytes of the message that the buffer was begun for; there is room for all of them.
    pub fn extend(&mut self, at: usize, bytes: &[u8]) {
        if let Some(assembly) = self.0.get_mut(at) {
            assembly.bytes.extend_from_slice(bytes);
        }
    }

    /// Lets a buffer go.
    pub fn end(&mut self, at: usize) {
        if let Some(assembly) = self.0.get_mut(at) {
            assembly.used = false;
            assembly.bytes.clear();
            assembly.bytes.shrink_to(KEPT_BYTES);
        }
    }

    /// How many are in use.
    pub fn in_use(&self) -> usize {
        self.0.iter().filter(|assembly| assembly.used).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RTMP_COMMAND_BYTES;

    #[test]
    fn a_buffer_let_go_is_empty_and_keeps_little() {
        let mut assemblies = Assemblies::default();
        let taken: Vec<_> = (0..RTMP_COMMANDS_BEGUN)
            .map(|_| assemblies.begin(RTMP_COMMAND_BYTES).unwrap())
            .collect();
        assert_eq!(assemblies.begin(1), None);
        assemblies.extend(taken[0], &[7; 600]);
        assert_eq!(assemblies.bytes(taken[0]).map(<[u8]>::len), Some(600));
        assemblies.end(taken[0]);
        assert_eq!(assemblies.in_use(), RTMP_COMMANDS_BEGUN - 1);
        assert_eq!(assemblies.bytes(taken[0]), None);
        assert!(assemblies.0[taken[0]].bytes.capacity() <= KEPT_BYTES);
        assert_eq!(assemblies.begin(20), Some(taken[0]));
        assert_eq!(assemblies.bytes(taken[0]), Some(&[][..]));
    }
}
