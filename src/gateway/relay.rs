//! From a call's frame log to the sockets of its readers.

use crate::base::frame_log::FrameLog;
use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::gateway::outlet::Outlet;
use crate::rtmp::{Player, Publisher};

/// What reads a frame log and writes a byte stream.
pub trait Reader {
    /// Fills `out` with what is to be sent next; how many bytes.
    fn poll_transmit(&mut self, now: Instant, log: &FrameLog, out: &mut [u8]) -> usize;

    /// Notes that the socket took `count` of the bytes given last.
    fn transmitted(&mut self, now: Instant, count: usize, log: &FrameLog);
}

impl Reader for Publisher {
    fn poll_transmit(&mut self, now: Instant, log: &FrameLog, out: &mut [u8]) -> usize {
        self.poll_transmit(now, log, out)
    }

    fn transmitted(&mut self, now: Instant, count: usize, log: &FrameLog) {
        self.transmitted(now, count, log);
    }
}

impl Reader for Player {
    fn poll_transmit(&mut self, now: Instant, log: &FrameLog, out: &mut [u8]) -> usize {
        self.poll_transmit(now, log, out)
    }

    fn transmitted(&mut self, now: Instant, count: usize, log: &FrameLog) {
        self.transmitted(now, count, log);
    }
}

/// A reader's connection, as far as writing goes.
#[derive(Debug)]
pub struct Link {
    /// The connection itself.
    pub conn: ConnId,
    /// Whether its socket took all that it was given last.
    pub writable: bool,
}

impl Link {
    /// A link over a new connection.
    pub fn new(conn: ConnId) -> Self {
        Self {
            conn,
            writable: true,
        }
    }

    /// Writes what a reader has until the socket is full or the reader is done.
    ///
    /// `gather` is where frames are put together for one write: the only copy of a payload between
    /// the socket that received it and the one that sends it.
    pub fn pump(
        &mut self,
        now: Instant,
        reader: &mut impl Reader,
        log: &FrameLog,
        gather: &mut [u8],
        outlet: &mut dyn Outlet,
    ) {
        while self.writable {
            let count = reader.poll_transmit(now, log, gather);
            let Some(bytes) = gather.get(..count).filter(|bytes| !bytes.is_empty()) else {
                return;
            };
            let taken = outlet.write(self.conn, bytes);
            reader.transmitted(now, taken, log);
            self.writable = taken == count;
        }
    }
}
