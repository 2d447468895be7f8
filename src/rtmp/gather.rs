//! The one copy of media in user space: message pieces into the buffer of one write, cut into
//! chunks on the way.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::wire::rtmp_chunk::ChunkHeaders;

/// A message on its way into a write buffer, from some offset on and as far as there is room.
pub(super) struct Gather<'a> {
    out: &'a mut [u8],
    len: usize,
    skip: usize,
    headers: &'a ChunkHeaders,
    chunk_bytes: usize,
    /// Body bytes until the next header.
    chunk_left: usize,
}

impl<'a> Gather<'a> {
    /// Begins a message by its first header, leaving out its first `skip` bytes on the wire.
    pub fn new(
        out: &'a mut [u8],
        headers: &'a ChunkHeaders,
        chunk_bytes: u32,
        skip: usize,
    ) -> Self {
        let chunk_bytes = (chunk_bytes as usize).max(1);
        let mut gather = Self {
            out,
            len: 0,
            skip,
            headers,
            chunk_bytes,
            chunk_left: chunk_bytes,
        };
        gather.wire(&headers.first);
        gather
    }

    /// Adds body bytes; false when the buffer is full and the rest would go nowhere.
    pub fn body(&mut self, mut bytes: &[u8]) -> bool {
        let headers = self.headers;
        while !bytes.is_empty() && !self.is_full() {
            if self.chunk_left == 0 {
                self.wire(&headers.continuation);
                self.chunk_left = self.chunk_bytes;
            }
            let len = bytes.len().min(self.chunk_left);
            let (piece, rest) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
            self.wire(piece);
            self.chunk_left = self.chunk_left.saturating_sub(len);
            bytes = rest;
        }
        !self.is_full()
    }

    /// Bytes written into the buffer.
    pub const fn len(&self) -> usize {
        self.len
    }

    fn is_full(&self) -> bool {
        self.len >= self.out.len()
    }

    fn wire(&mut self, bytes: &[u8]) {
        let Some(bytes) = bytes.get(self.skip..) else {
            self.skip = self.skip.saturating_sub(bytes.len());
            return;
        };
        self.skip = 0;
        let room = self.out.get_mut(self.len..).unwrap_or_default();
        let len = bytes.len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..len), bytes.get(..len)) {
            to.copy_from_slice(from);
            self.len = self.len.saturating_add(len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtmp_chunk::wire_length;
    use crate::wire::rtmp_message::{MessageHead, kind};

    #[test]
    fn any_offset_and_room_gives_the_same_bytes() {
        let body: Vec<u8> = (0..50).collect();
        for timestamp in [5, 0x0100_0000] {
            let head = MessageHead {
                chunk_stream: 6,
                timestamp,
                length: 50,
                kind: kind::VIDEO,
                stream_id: 1,
            };
            let headers = ChunkHeaders::new(&head);
            let write = |out: &mut [u8], skip| {
                let mut gather = Gather::new(out, &headers, 16, skip);
                for piece in body.chunks(7) {
                    if !gather.body(piece) {
                        break;
                    }
                }
                gather.len()
            };
            let whole = wire_length(&head, 16);
            let mut all = vec![0; 200];
            assert_eq!(write(&mut all, 0), whole);
            all.truncate(whole);
            for skip in 0..=whole {
                for room in 0..=whole {
                    let mut out = vec![0; room];
                    let len = write(&mut out, skip);
                    assert_eq!(len, room.min(whole - skip));
                    assert_eq!(out[..len], all[skip..skip + len]);
                }
            }
        }
    }
}
