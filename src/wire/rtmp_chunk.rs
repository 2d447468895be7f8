//! The RTMP chunk stream (RTMP 1.0, section 5.3): headers written here, and chunks put together
//! again by the [`Dechunker`].
//!
//! Written: format 0 for the first chunk of each message, so that every message carries its whole
//! head and an absolute time and nothing depends on what went before; format 3 for the rest of it,
//! with the extended timestamp repeated.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod assembly;
mod dechunker;
mod header;

use heapless::Vec;

use crate::wire::rtmp_message::MessageHead;

pub use dechunker::{ChunkError, Dechunker, DechunkerCounters, Incoming};

/// The chunk size of both directions until it is set.
pub const DEFAULT_CHUNK_BYTES: u32 = 128;

/// A timestamp field that says "see the extended timestamp".
const EXTENDED: u32 = 0x00ff_ffff;

/// The bytes that make a message into chunks: the header of its first chunk and that of the others.
#[derive(Clone, Debug)]
pub struct ChunkHeaders {
    /// Before the first body byte.
    pub first: Vec<u8, 16>,
    /// Before the first byte of every later chunk.
    pub continuation: Vec<u8, 5>,
}

impl ChunkHeaders {
    /// Headers of a message on a chunk stream from 2 to 63.
    pub fn new(head: &MessageHead) -> Self {
        let id = (head.chunk_stream & 0x3f) as u8;
        let extended = head.timestamp >= EXTENDED;
        let [_, time @ ..] = head.timestamp.min(EXTENDED).to_be_bytes();
        let [_, length @ ..] = head.length.to_be_bytes();
        let mut first = Vec::new();
        let mut continuation = Vec::new();
        // 1 + 3 + 3 + 1 + 4 + 4 bytes fit sixteen, 1 + 4 fit five.
        let _ = first.push(id);
        let _ = first.extend_from_slice(&time);
        let _ = first.extend_from_slice(&length);
        let _ = first.push(head.kind);
        let _ = first.extend_from_slice(&head.stream_id.to_le_bytes());
        let _ = continuation.push(0xc0 | id);
        if extended {
            let _ = first.extend_from_slice(&head.timestamp.to_be_bytes());
            let _ = continuation.extend_from_slice(&head.timestamp.to_be_bytes());
        }
        Self {
            first,
            continuation,
        }
    }
}

/// Bytes of a message on the wire, headers included.
pub fn wire_length(head: &MessageHead, chunk_bytes: u32) -> usize {
    let extended: usize = if head.timestamp >= EXTENDED { 4 } else { 0 };
    let more_chunks = head.length.saturating_sub(1) / chunk_bytes.max(1);
    (12_usize.saturating_add(extended))
        .saturating_add(head.length as usize)
        .saturating_add((more_chunks as usize).saturating_mul(extended.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtmp_message::kind;

    pub(super) fn head(chunk_stream: u32, kind: u8, timestamp: u32, length: usize) -> MessageHead {
        MessageHead {
            chunk_stream,
            timestamp,
            length: length as u32,
            kind,
            stream_id: 1,
        }
    }

    /// A message in chunks of a size.
    pub(super) fn chunks(
        head: &MessageHead,
        body: &[u8],
        size: usize,
    ) -> std::vec::Vec<std::vec::Vec<u8>> {
        let headers = ChunkHeaders::new(head);
        let mut out = std::vec::Vec::new();
        for (at, piece) in body.chunks(size).enumerate() {
            let header: &[u8] = if at == 0 {
                &headers.first
            } else {
                &headers.continuation
            };
            out.push([header, piece].concat());
        }
        if body.is_empty() {
            out.push(headers.first.to_vec());
        }
        out
    }

    pub(super) fn body(len: usize) -> std::vec::Vec<u8> {
        (0..len).map(|at| at as u8).collect()
    }

    #[test]
    fn wire_length_is_what_is_written() {
        for timestamp in [0, 0xff_fffe, 0xff_ffff, u32::MAX] {
            for len in [0, 1, 127, 128, 129, 256, 257, 1_000] {
                let head = head(6, kind::VIDEO, timestamp, len);
                let written = chunks(&head, &body(len), 128).concat();
                assert_eq!(
                    written.len(),
                    wire_length(&head, 128),
                    "{timestamp:#x} {len}"
                );
            }
        }
    }

    #[test]
    fn the_extended_timestamp_is_on_every_chunk() {
        let edge = chunks(&head(6, kind::VIDEO, 0xff_fffe, 300), &body(300), 128);
        assert_eq!(edge[0][..4], [6, 0xff, 0xff, 0xfe]);
        assert_eq!(edge[1][..2], [0xc6, 128]);
        let over = chunks(&head(6, kind::VIDEO, 0xff_ffff, 300), &body(300), 128);
        assert_eq!(over[0][1..4], [0xff, 0xff, 0xff]);
        assert_eq!(over[0][12..16], [0, 0xff, 0xff, 0xff]);
        assert_eq!(over[1][..5], [0xc6, 0, 0xff, 0xff, 0xff]);
    }
}
