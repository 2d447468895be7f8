//! Messages put together again from chunks (RTMP 1.0, section 5.3): formats 0 to 3 with extended
//! timestamps, interleaved chunk streams, any split of the bytes.
//!
//! Memory is bounded: control, command and data messages are put together up to
//! [`RTMP_COMMAND_BYTES`]; everything else passes through in parts, without a buffer.

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

use heapless::Vec;

use crate::base::counter::count;
use crate::limits::{RTMP_CHUNK_STREAMS, RTMP_COMMAND_BYTES};
use crate::wire::rtmp_chunk::DEFAULT_CHUNK_BYTES;
use crate::wire::rtmp_chunk::assembly::Assemblies;
use crate::wire::rtmp_chunk::header::{ChunkHeader, HeaderBytes};
use crate::wire::rtmp_message::{Control, MessageHead, kind};

/// Bytes at the start of a message that are kept even when it is not put together; every control
/// message fits.
const START_BYTES: usize = 16;

/// Why a peer's chunks cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// A header refers to one before it that never came.
    NoPredecessor,
    /// More than [`RTMP_CHUNK_STREAMS`] chunk streams.
    TooManyStreams,
    /// A chunk size of zero or with the highest bit set.
    ChunkSize,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPredecessor => "an RTMP chunk refers to a header that never came",
            Self::TooManyStreams => "too many RTMP chunk streams",
            Self::ChunkSize => "an RTMP chunk size that is not allowed",
        })
    }
}

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole control, command or data message.
    Message {
        /// Its head.
        head: MessageHead,
        /// Its body.
        body: &'a [u8],
    },
    /// Some bytes of a message that is not put together.
    Part {
        /// Its head.
        head: MessageHead,
        /// Where in the body the bytes stand.
        offset: u32,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The end of a message that was not put together.
    End {
        /// Its head.
        head: MessageHead,
        /// The first bytes of its body, up to sixteen.
        start: &'a [u8],
    },
}

/// Counts of what was not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DechunkerCounters {
    /// Commands longer than [`RTMP_COMMAND_BYTES`].
    pub too_long: u64,
    /// Commands begun while too many others were.
    pub too_many: u64,
    /// Messages that another one on their chunk stream, or the sender, broke off.
    pub broken_off: u64,
}

/// One chunk stream and the message that is coming in on it.
#[derive(Clone, Default)]
struct ChunkStream {
    /// Of the last message begun.
    head: MessageHead,
    delta: u32,
    extended: bool,
    /// A message has begun and `read` bytes of it are here.
    begun: bool,
    read: u32,
    start: Vec<u8, START_BYTES>,
    assembly: Option<usize>,
}

/// Puts messages together from chunks.
pub struct Dechunker {
    streams: Vec<ChunkStream, RTMP_CHUNK_STREAMS>,
    assemblies: Assemblies,
    header: HeaderBytes,
    /// The stream of the chunk being read, and body bytes of it still to come.
    chunk: Option<(usize, u32)>,
    /// The stream whose message is whole; reported and then let go.
    whole: Option<usize>,
    reported: Option<usize>,
    chunk_bytes: u32,
    counters: DechunkerCounters,
}

impl Default for Dechunker {
    fn default() -> Self {
        Self {
            streams: Vec::new(),
            assemblies: Assemblies::default(),
            header: HeaderBytes::default(),
            chunk: None,
            whole: None,
            reported: None,
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            counters: DechunkerCounters::default(),
        }
    }
}

impl Dechunker {
    /// A reader of a connection's chunks from the first after the handshake.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads from `input` to the next thing worth telling: how many bytes were taken, and what it
    /// is. `None` means that all of `input` was taken. Chunk sizes and aborts of the peer are
    /// obeyed here and told too. Work is bounded by the bytes taken.
    pub fn next<'a>(
        &'a mut self,
        input: &'a [u8],
    ) -> Result<(usize, Option<Incoming<'a>>), ChunkError> {
        if let Some(at) = self.reported.take() {
            self.forget(at);
        }
        let mut rest = input;
        loop {
            if let Some(at) = self.whole.take() {
                self.obey(at)?;
                self.reported = Some(at);
                let used = input.len().saturating_sub(rest.len());
                return Ok((used, self.report(at)));
            }
            if rest.is_empty() {
                return Ok((input.len(), None));
            }
            let Some((at, left)) = self.chunk else {
                rest = self.read_header(rest)?;
                continue;
            };
            let len = rest.len().min(left as usize);
            let (bytes, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            rest = after;
            if let Some(part) = self.read_body(at, left, bytes) {
                let used = input.len().saturating_sub(rest.len());
                return Ok((used, Some(part)));
            }
        }
    }

    /// Counts of what was not read.
    pub const fn counters(&self) -> &DechunkerCounters {
        &self.counters
    }

    /// Panics when the parts disagree; for tests and fuzzers.
    pub fn check_invariants(&self) {
        for (at, stream) in self.streams.iter().enumerate() {
            assert!(
                stream.read <= stream.head.length,
                "more read than the message has"
            );
            assert!(
                stream.begun || stream.assembly.is_none(),
                "a buffer without a message"
            );
            if let Some(assembly) = stream.assembly {
                assert_eq!(
                    self.assemblies.bytes(assembly).map(<[u8]>::len),
                    Some(stream.read as usize),
                    "buffer of stream {at}"
                );
            }
        }
        let owned = self
            .streams
            .iter()
            .filter(|stream| stream.assembly.is_some())
            .count();
        assert_eq!(
            self.assemblies.in_use(),
            owned,
            "buffers in use and streams that own one"
        );
    }

    /// Takes header bytes; begins a chunk when the header is whole.
    fn read_header<'a>(&mut self, mut rest: &'a [u8]) -> Result<&'a [u8], ChunkError> {
        loop {
            let was_extended = |id| {
                let stream = self.find(id).and_then(|at| self.streams.get(at));
                stream.is_some_and(|stream| stream.extended)
            };
            if self.header.missing(was_extended) == 0 {
                let at = self.begin_chunk()?;
                self.header.clear();
                if let Some(stream) = self.streams.get(at) {
                    let left = stream.head.length.saturating_sub(stream.read);
                    if left == 0 {
                        self.whole = Some(at);
                    } else {
                        self.chunk = Some((at, left.min(self.chunk_bytes)));
                    }
                }
                return Ok(rest);
            }
            let Some((byte, after)) = rest.split_first() else {
                return Ok(rest);
            };
            self.header.push(*byte);
            rest = after;
        }
    }

    fn find(&self, id: u32) -> Option<usize> {
        self.streams
            .iter()
            .position(|stream| stream.head.chunk_stream == id)
    }

    /// Takes a whole header in; gives the stream it belongs to.
    fn begin_chunk(&mut self) -> Result<usize, ChunkError> {
        let header = self.header.parse().ok_or(ChunkError::NoPredecessor)?;
        let at = match self.find(header.chunk_stream) {
            Some(at) => at,
            None if header.format == 0 => {
                let mut stream = ChunkStream::default();
                stream.head.chunk_stream = header.chunk_stream;
                self.streams
                    .push(stream)
                    .map_err(|_| ChunkError::TooManyStreams)?;
                self.streams.len().saturating_sub(1)
            }
            None => return Err(ChunkError::NoPredecessor),
        };
        if self.streams.get(at).is_some_and(|stream| stream.begun) {
            if header.format == 3 {
                return Ok(at);
            }
            count(&mut self.counters.broken_off);
            self.forget(at);
        }
        let Some(stream) = self.streams.get_mut(at) else {
            return Ok(at);
        };
        stream.begin(&header);
        let head = stream.head;
        let assembly = self.assembly_for(&head);
        if let Some(stream) = self.streams.get_mut(at) {
            stream.assembly = assembly;
        }
        Ok(at)
    }

    /// A buffer for a message that is to be put together and does not fit the start bytes.
    fn assembly_for(&mut self, head: &MessageHead) -> Option<usize> {
        let wanted = matches!(
            head.kind,
            kind::COMMAND | kind::COMMAND_AMF3 | kind::DATA | kind::DATA_AMF3
        );
        let length = head.length as usize;
        if !wanted || length <= START_BYTES {
            return None;
        }
        if length > RTMP_COMMAND_BYTES {
            count(&mut self.counters.too_long);
            return None;
        }
        let assembly = self.assemblies.begin(length);
        if assembly.is_none() {
            count(&mut self.counters.too_many);
        }
        assembly
    }

    /// Takes body bytes of a chunk; tells them when the message is not put together.
    fn read_body<'a>(&mut self, at: usize, left: u32, bytes: &'a [u8]) -> Option<Incoming<'a>> {
        let taken = bytes.len() as u32;
        let left = left.saturating_sub(taken);
        self.chunk = if left == 0 { None } else { Some((at, left)) };
        let stream = self.streams.get_mut(at)?;
        let offset = stream.read;
        stream.read = stream.read.saturating_add(taken);
        if stream.read >= stream.head.length {
            self.whole = Some(at);
        }
        let room = START_BYTES
            .saturating_sub(stream.start.len())
            .min(bytes.len());
        let _ = stream
            .start
            .extend_from_slice(bytes.get(..room).unwrap_or_default());
        match stream.assembly {
            Some(assembly) => {
                self.assemblies.extend(assembly, bytes);
                None
            }
            None if fits_start(&stream.head) => None,
            None => Some(Incoming::Part {
                head: stream.head,
                offset,
                bytes,
            }),
        }
    }

    /// Obeys the messages that steer the chunk stream itself.
    fn obey(&mut self, at: usize) -> Result<(), ChunkError> {
        let Some(stream) = self.streams.get(at) else {
            return Ok(());
        };
        match Control::parse(stream.head.kind, &stream.start) {
            Some(Control::SetChunkSize(0 | 0x8000_0000..)) => return Err(ChunkError::ChunkSize),
            Some(Control::SetChunkSize(size)) => self.chunk_bytes = size,
            Some(Control::Abort(id)) => {
                if let Some(other) = self.find(id).filter(|other| *other != at)
                    && self.streams.get(other).is_some_and(|stream| stream.begun)
                {
                    count(&mut self.counters.broken_off);
                    self.forget(other);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn report(&self, at: usize) -> Option<Incoming<'_>> {
        let stream = self.streams.get(at)?;
        let head = stream.head;
        let assembled = stream.assembly.and_then(|at| self.assemblies.bytes(at));
        Some(match assembled {
            Some(body) => Incoming::Message { head, body },
            None if fits_start(&head) => Incoming::Message {
                head,
                body: &stream.start,
            },
            None => Incoming::End {
                head,
                start: &stream.start,
            },
        })
    }

    /// Ends a stream's message and lets its buffer go.
    fn forget(&mut self, at: usize) {
        let Some(stream) = self.streams.get_mut(at) else {
            return;
        };
        stream.begun = false;
        stream.read = 0;
        stream.start.clear();
        if let Some(assembly) = stream.assembly.take() {
            self.assemblies.end(assembly);
        }
    }
}

impl ChunkStream {
    /// Begins a message by its first chunk's header.
    fn begin(&mut self, header: &ChunkHeader) {
        self.extended = header.extended;
        // Without a field of its own, format 3 repeats the last one as a delta, even after format 0.
        self.delta = header.time.unwrap_or(self.delta);
        self.head.timestamp = if header.format == 0 {
            self.delta
        } else {
            self.head.timestamp.wrapping_add(self.delta)
        };
        if let Some((length, kind)) = header.length_and_kind {
            self.head.length = length;
            self.head.kind = kind;
        }
        if let Some(stream_id) = header.stream_id {
            self.head.stream_id = stream_id;
        }
        self.begun = true;
        self.read = 0;
        self.start.clear();
    }
}

/// Whether a message is told whole although it has no buffer of its own.
fn fits_start(head: &MessageHead) -> bool {
    head.length as usize <= START_BYTES && !matches!(head.kind, kind::AUDIO | kind::VIDEO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::wire::rtmp_chunk::tests::{body, chunks, head};

    type Told = std::vec::Vec<(MessageHead, std::vec::Vec<u8>)>;

    /// Whole messages told by a reader that is fed in pieces of the given length.
    fn read(bytes: &[u8], piece: usize) -> Result<Told, ChunkError> {
        let mut dechunker = Dechunker::new();
        let mut told = Told::new();
        let mut parts = std::collections::HashMap::<u32, std::vec::Vec<u8>>::new();
        for mut piece in bytes.chunks(piece) {
            loop {
                let (used, incoming) = dechunker.next(piece)?;
                piece = &piece[used..];
                match incoming {
                    None => break,
                    Some(Incoming::Message { head, body }) => told.push((head, body.to_vec())),
                    Some(Incoming::Part {
                        head,
                        offset,
                        bytes,
                    }) => {
                        let body = parts.entry(head.chunk_stream).or_default();
                        assert_eq!(body.len(), offset as usize);
                        body.extend_from_slice(bytes);
                    }
                    Some(Incoming::End { head, start }) => {
                        let body = parts.remove(&head.chunk_stream).unwrap_or_default();
                        assert!(body.starts_with(start));
                        told.push((head, body));
                    }
                }
                dechunker.check_invariants();
            }
            assert!(piece.is_empty());
        }
        Ok(told)
    }

    /// A command and video, interleaved, then a new chunk size and audio with it.
    fn session() -> (std::vec::Vec<u8>, Told) {
        let command = head(3, kind::COMMAND, 0, 300);
        let video = head(6, kind::VIDEO, 0x0100_0000, 700);
        let mut bytes = std::vec::Vec::new();
        let one = chunks(&command, &body(300), 128);
        let other = chunks(&video, &body(700), 128);
        for (at, chunk) in other.iter().enumerate() {
            bytes.extend(one.get(at).into_iter().flatten());
            bytes.extend(chunk);
        }
        let (control_kind, size) = Control::SetChunkSize(1_000).encode();
        let size_head = MessageHead {
            stream_id: 0,
            ..head(2, control_kind, 0, 4)
        };
        bytes.extend(chunks(&size_head, &size, 128).concat());
        let audio = head(4, kind::AUDIO, u32::MAX, 900);
        bytes.extend(chunks(&audio, &body(900), 1_000).concat());
        let empty = head(4, kind::AUDIO, 5, 0);
        bytes.extend(chunks(&empty, &[], 1_000).concat());
        let told = vec![
            (command, body(300)),
            (video, body(700)),
            (size_head, size.to_vec()),
            (audio, body(900)),
            (empty, vec![]),
        ];
        (bytes, told)
    }

    #[test]
    fn interleaved_messages_come_out_whole_at_any_split() {
        let (bytes, told) = session();
        for piece in (1..40).chain([64, 127, 128, 129, 1_000, bytes.len()]) {
            assert_eq!(read(&bytes, piece).unwrap(), told, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for timestamp in [0, 0xff_fffe, 0xff_ffff, u32::MAX] {
            for len in [0, 1, 127, 128, 129, 256, 257, 1_000] {
                let head = head(6, kind::VIDEO, timestamp, len);
                let written = chunks(&head, &body(len), 128).concat();
                assert_eq!(read(&written, 7).unwrap(), [(head, body(len))]);
            }
        }
    }

    #[test]
    fn short_formats_inherit_and_add() {
        let mut bytes = vec![4, 0, 0, 100, 0, 0, 1, kind::AUDIO, 1, 0, 0, 0, b'a'];
        bytes.extend([0x44, 0, 0, 20, 0, 0, 2, kind::VIDEO, b'b', b'c']);
        bytes.extend([0x84, 0, 0, 30, b'd', b'e']);
        bytes.extend([0xc4, b'f', b'g']);
        // An extended delta, then format 3 that repeats it with a field of its own.
        bytes.extend([0x84, 0xff, 0xff, 0xff, 1, 0, 0, 0, b'h', b'i']);
        bytes.extend([0xc4, 1, 0, 0, 0, b'j', b'k']);
        let told = read(&bytes, 3).unwrap();
        let times: std::vec::Vec<_> = told
            .iter()
            .map(|(head, body)| (head.timestamp, head.kind, body.len()))
            .collect();
        assert_eq!(
            times,
            [
                (100, kind::AUDIO, 1),
                (120, kind::VIDEO, 2),
                (150, kind::VIDEO, 2),
                (180, kind::VIDEO, 2),
                (180 + 0x0100_0000, kind::VIDEO, 2),
                (180 + 0x0200_0000, kind::VIDEO, 2),
            ]
        );
    }

    #[test]
    fn long_chunk_stream_numbers_are_read() {
        for (basic, id) in [(vec![0x00, 5], 69), (vec![0x01, 2, 3], 64 + 2 + 768)] {
            let mut bytes = basic;
            bytes.extend([0, 0, 9, 0, 0, 1, kind::AUDIO, 1, 0, 0, 0, b'x']);
            let told = read(&bytes, 1).unwrap();
            assert_eq!(told[0].0.chunk_stream, id);
        }
    }

    #[test]
    fn what_cannot_be_read_ends_the_connection() {
        assert_eq!(read(&[0xc5], 1), Err(ChunkError::NoPredecessor));
        for size in [0, 0x8000_0000] {
            let (kind, body) = Control::SetChunkSize(size).encode();
            let bytes = chunks(&head(2, kind, 0, 4), &body, 128).concat();
            assert_eq!(read(&bytes, 100), Err(ChunkError::ChunkSize));
        }
        let mut bytes = std::vec::Vec::new();
        for id in 2..40 {
            bytes.extend(chunks(&head(id, kind::AUDIO, 0, 1), &[0], 128).concat());
        }
        assert_eq!(read(&bytes, 100), Err(ChunkError::TooManyStreams));
    }

    #[test]
    fn commands_beyond_the_bounds_are_counted_and_passed_over() {
        let mut dechunker = Dechunker::new();
        let long = RTMP_COMMAND_BYTES + 1;
        let mut bytes = chunks(&head(3, kind::COMMAND, 0, long), &body(long), 128).concat();
        for id in 3..6 {
            bytes.extend(&chunks(&head(id, kind::COMMAND, 0, 200), &body(200), 128)[0]);
        }
        let (kind, abort) = Control::Abort(3).encode();
        bytes.extend(chunks(&head(2, kind, 0, 4), &abort, 128).concat());
        let mut input = &bytes[..];
        while !input.is_empty() {
            let (used, _) = dechunker.next(input).unwrap();
            input = &input[used..];
        }
        let _ = dechunker.next(&[]).unwrap();
        dechunker.check_invariants();
        let expected = DechunkerCounters {
            too_long: 1,
            too_many: 1,
            broken_off: 1,
        };
        assert_eq!(*dechunker.counters(), expected);
    }

    #[test]
    fn truncated_and_mutated_chunks_never_panic() {
        let (bytes, told) = session();
        for len in 0..bytes.len() {
            let some = read(&bytes[..len], 50).unwrap();
            assert_eq!(some, told[..some.len()]);
        }
        let mut rng = Rng::from_number(5);
        for _ in 0..3_000 {
            let mut bytes = bytes.clone();
            for _ in 0..=rng.below(6) {
                let at = rng.below(bytes.len() as u32) as usize;
                bytes[at] = rng.u32() as u8;
            }
            let mut dechunker = Dechunker::new();
            let mut input = &bytes[..];
            while !input.is_empty() {
                let Ok((used, _)) = dechunker.next(input) else {
                    break;
                };
                dechunker.check_invariants();
                input = &input[used..];
            }
        }
    }
}
