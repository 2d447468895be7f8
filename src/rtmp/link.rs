//! What every RTMP connection does below its commands: handshake, chunks in, control messages,
//! acknowledgements, and one write after another with media behind control.

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
use core::time::Duration;

use crate::base::frame_log::FrameLog;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::rtmp::control_queue::{ControlQueue, QueueFull};
use crate::rtmp::handshake::{Handshake, HandshakeError};
use crate::rtmp::media_writer::MediaWriter;
use crate::wire::rtmp_chunk::{ChunkError, Dechunker, DechunkerCounters, Incoming};
use crate::wire::rtmp_message::Control;

/// How long a peer may take nothing of what waits for it before the connection is given up.
pub(super) const WRITE_PATIENCE: Duration = Duration::from_secs(15);

/// Bytes that the peer is asked to acknowledge, and may have unacknowledged.
pub(super) const WINDOW_BYTES: u32 = 2_500_000;

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkError {
    /// The peer speaks something else.
    NotRtmp(u8),
    /// Its chunks cannot be read.
    Chunk(ChunkError),
    /// It asks for more than it reads.
    QueueFull,
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRtmp(byte) => {
                write!(f, "the peer does not speak RTMP (first byte {byte:#04x})")
            }
            Self::Chunk(error) => error.fmt(f),
            Self::QueueFull => QueueFull.fmt(f),
        }
    }
}

impl From<QueueFull> for LinkError {
    fn from(_: QueueFull) -> Self {
        Self::QueueFull
    }
}

impl From<ChunkError> for LinkError {
    fn from(error: ChunkError) -> Self {
        Self::Chunk(error)
    }
}

impl From<HandshakeError> for LinkError {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Version(byte) => Self::NotRtmp(byte),
            HandshakeError::QueueFull => Self::QueueFull,
        }
    }
}

/// One connection.
pub(super) struct Link {
    /// What waits to be said.
    pub queue: ControlQueue,
    handshake: Handshake,
    dechunker: Dechunker,
    received: u64,
    acknowledged: u64,
    window: u32,
    /// What the peer was last told of our window.
    told_window: u32,
    /// Of the last write gathered: bytes of the message begun before, and of the queue.
    given_begun: usize,
    given_queue: usize,
    given: usize,
    waiting_since: Option<Instant>,
}

impl Link {
    /// A client's connection; its handshake waits to be sent.
    pub fn client(rng: &mut Rng) -> Result<Self, QueueFull> {
        let mut queue = ControlQueue::new();
        let handshake = Handshake::client(rng, &mut queue)?;
        Ok(Self::new(queue, handshake))
    }

    /// A server's connection.
    pub fn server() -> Self {
        Self::new(ControlQueue::new(), Handshake::server())
    }

    fn new(queue: ControlQueue, handshake: Handshake) -> Self {
        Self {
            queue,
            handshake,
            dechunker: Dechunker::new(),
            received: 0,
            acknowledged: 0,
            window: 0,
            told_window: WINDOW_BYTES,
            given_begun: 0,
            given_queue: 0,
            given: 0,
            waiting_since: None,
        }
    }

    /// Whether the handshake is over.
    pub fn is_open(&self) -> bool {
        self.handshake.is_done()
    }

    /// Reads on in `input`: bytes taken, and what was there. Without anything there, the handshake
    /// ended or all of `input` was taken. Pings and windows are seen to here.
    pub fn next<'a>(
        &'a mut self,
        rng: &mut Rng,
        input: &'a [u8],
    ) -> Result<(usize, Option<Incoming<'a>>), LinkError> {
        if !self.handshake.is_done() {
            let rest = self.handshake.handle_bytes(input, rng, &mut self.queue)?;
            return Ok((input.len().saturating_sub(rest.len()), None));
        }
        let (used, incoming) = self.dechunker.next(input)?;
        self.received = self.received.saturating_add(used as u64);
        if let Some(Incoming::Message { head, body }) = &incoming {
            match Control::parse(head.kind, body) {
                Some(Control::WindowAckSize(window)) => self.window = window,
                // RTMP 1.0, section 5.4.5: answered where it is news.
                Some(Control::SetPeerBandwidth { window, .. }) if window != self.told_window => {
                    self.told_window = window;
                    self.queue.control(Control::WindowAckSize(window))?;
                }
                Some(Control::PingRequest(number)) => {
                    self.queue.control(Control::PingResponse(number))?;
                }
                _ => {}
            }
        }
        Ok((used, incoming))
    }

    /// Acknowledges what was received, if the peer's window asks for it; once after each reading.
    pub fn acknowledge(&mut self) -> Result<(), LinkError> {
        let since = self.received.saturating_sub(self.acknowledged);
        if self.window > 0 && since >= u64::from(self.window) {
            self.acknowledged = self.received;
            // The running total, modulo 2^32.
            self.queue
                .control(Control::Acknowledgement(self.received as u32))?;
        }
        Ok(())
    }

    /// Gathers one write: the rest of a begun message, then control, then media.
    pub fn gather(
        &mut self,
        media: &mut MediaWriter,
        now: Instant,
        log: &FrameLog,
        out: &mut [u8],
    ) -> usize {
        self.given_begun = media.gather_begun(out);
        self.given_queue = 0;
        self.given = self.given_begun;
        let room = out.get_mut(self.given..).unwrap_or_default();
        if !room.is_empty() {
            let pending = self.queue.pending();
            self.given_queue = pending.len().min(room.len());
            for (to, from) in room.iter_mut().zip(pending) {
                *to = *from;
            }
            self.given = self.given.saturating_add(self.given_queue);
            if self.given_queue == pending.len() {
                self.given = media.gather(now, log, out, self.given);
            }
        }
        if self.given > 0 {
            self.waiting_since.get_or_insert(now);
        }
        self.given
    }

    /// `count` bytes of the last write are out.
    pub fn transmitted(
        &mut self,
        media: &mut MediaWriter,
        now: Instant,
        count: usize,
        log: &FrameLog,
    ) {
        let count = count.min(self.given);
        let begun = count.min(self.given_begun);
        let after_begun = count.saturating_sub(begun);
        let queue = after_begun.min(self.given_queue);
        self.queue.sent(queue);
        let planned = after_begun.saturating_sub(queue);
        media.transmitted(begun, planned, count < self.given, log);
        if count == self.given {
            self.waiting_since = None;
        } else if count > 0 {
            self.waiting_since = Some(now);
        }
        self.given = 0;
        self.given_begun = 0;
        self.given_queue = 0;
    }

    /// When the peer will have taken nothing for too long.
    pub fn write_deadline(&self) -> Option<Instant> {
        self.waiting_since.map(|since| since + WRITE_PATIENCE)
    }

    /// Counts of messages not read.
    pub fn counters(&self) -> &DechunkerCounters {
        self.dechunker.counters()
    }

    /// Panics when the parts disagree; for tests and fuzzers.
    pub fn check_invariants(&self) {
        self.dechunker.check_invariants();
    }
}
