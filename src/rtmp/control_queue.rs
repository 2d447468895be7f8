//! What a machine has to say besides media: handshake, control messages, commands and answers, as
//! the bytes that go on the wire. Bounded in size; a peer that makes it overflow loses its connection.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;

use crate::limits::{RTMP_COMMAND_BYTES, RTMP_CONTROL_BYTES};
use crate::wire::amf0::Amf0Writer;
use crate::wire::rtmp_chunk::{ChunkHeaders, DEFAULT_CHUNK_BYTES};
use crate::wire::rtmp_message::{Control, MessageHead, kind};

/// The queue has no room: the peer asks for more than it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueFull;

impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer asks for more than it reads")
    }
}

/// Chunk stream of protocol control messages.
const CONTROL_CHUNK_STREAM: u32 = 2;
/// Bytes of the queue's memory that stay when it is empty: handshake and commands need it once.
const KEPT_BYTES: usize = 512;
/// Chunk stream of commands.
const COMMAND_CHUNK_STREAM: u32 = 3;

/// Bytes that wait to be sent, whole messages only.
pub(super) struct ControlQueue {
    /// Never more than [`RTMP_CONTROL_BYTES`].
    bytes: Vec<u8>,
    sent: usize,
    chunk_bytes: u32,
}

impl ControlQueue {
    /// An empty queue with the default chunk size.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            sent: 0,
            chunk_bytes: DEFAULT_CHUNK_BYTES,
        }
    }

    /// Bytes not sent yet.
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// `count` of them are sent.
    pub fn sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.sent = 0;
        }
    }

    /// Our chunk size at the end of the queue, which is what media after it uses.
    pub const fn chunk_bytes(&self) -> u32 {
        self.chunk_bytes
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), QueueFull> {
        let room = RTMP_CONTROL_BYTES.saturating_sub(self.bytes.len());
        if room < bytes.len() && self.sent > 0 {
            // What is sent makes room.
            let pending = self.bytes.len().saturating_sub(self.sent);
            self.bytes.rotate_left(self.sent);
            self.bytes.truncate(pending);
            self.sent = 0;
        }
        let whole = self.bytes.len().saturating_add(bytes.len());
        if whole > RTMP_CONTROL_BYTES {
            return Err(QueueFull);
        }
        if whole > self.bytes.capacity() {
            let wanted = whole.next_power_of_two().min(RTMP_CONTROL_BYTES);
            self.bytes
                .reserve_exact(wanted.saturating_sub(self.bytes.len()));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// A control message.
    pub fn control(&mut self, control: Control) -> Result<(), QueueFull> {
        let (kind, body) = control.encode();
        self.message(CONTROL_CHUNK_STREAM, kind, 0, &body)?;
        if let Control::SetChunkSize(size) = control {
            self.chunk_bytes = size;
        }
        Ok(())
    }

    /// A command or, with `kind::DATA`, a data message, written by `fill`.
    pub fn command(
        &mut self,
        kind: u8,
        stream_id: u32,
        fill: impl FnOnce(&mut Amf0Writer<'_>),
    ) -> Result<(), QueueFull> {
        let mut body = [0; RTMP_COMMAND_BYTES];
        let mut writer = Amf0Writer::new(&mut body);
        fill(&mut writer);
        let len = writer.finish().ok_or(QueueFull)?;
        let body = body.get(..len).unwrap_or_default();
        self.message(COMMAND_CHUNK_STREAM, kind, stream_id, body)
    }

    /// A status message: `onStatus` with level, code and words.
    pub fn status(
        &mut self,
        stream_id: u32,
        level: &str,
        code: &str,
        words: &str,
    ) -> Result<(), QueueFull> {
        self.command(kind::COMMAND, stream_id, |body| {
            body.string(&["onStatus"]).number(0.0).null().object();
            body.name("level").string(&[level]);
            body.name("code").string(&[code]);
            body.name("description").string(&[words]).end();
        })
    }

    fn message(
        &mut self,
        chunk_stream: u32,
        kind: u8,
        stream_id: u32,
        body: &[u8],
    ) -> Result<(), QueueFull> {
        let length = u32::try_from(body.len()).map_err(|_| QueueFull)?;
        let headers = ChunkHeaders::new(&MessageHead {
            chunk_stream,
            timestamp: 0,
            length,
            kind,
            stream_id,
        });
        let mut header: &[u8] = &headers.first;
        for piece in body.chunks(self.chunk_bytes as usize) {
            self.raw(header)?;
            self.raw(piece)?;
            header = &headers.continuation;
        }
        Ok(())
    }
}
