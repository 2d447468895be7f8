//! Files of recordings, written by a thread of their own.
//!
//! Orders wait in a bounded queue: what finds no room there is refused at once. A piece is written
//! when its turn comes and is on the disk (`fdatasync`) about a third of a second later; a file has the
//! mark of one that is unfinished until it ends. What an earlier run left unfinished is cut to its
//! last whole fragment and gets its name at the start.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod files;
mod folder;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use super::helper::{self, Done};
use super::waker::Waker;
use crate::gateway::config::Recording;
use crate::gateway::outlet::{RecordEnd, RecordId, Recorded};
use crate::limits::{RECORDING_QUEUE, RECORDING_QUEUE_BYTES, RECORDINGS};

use files::Files;

/// How long pieces gather for one `fdatasync` of their file.
const GATHER: Duration = Duration::from_millis(300);

/// How long the last pieces are waited for where nobody else has waited for them.
const FLUSH: Duration = Duration::from_secs(3);

/// Orders that may wait in all: ends of files have places of their own.
const PLACES: usize = RECORDING_QUEUE + 4 * RECORDINGS;

/// What the thread is to do.
enum Order {
    Open(RecordId, String),
    Append(RecordId, Vec<u8>),
    Close(RecordId, RecordEnd),
}

/// What waits for the thread.
#[derive(Default)]
struct Waiting {
    orders: AtomicUsize,
    bytes: AtomicUsize,
}

/// What became of files, for the loop.
#[derive(Clone)]
struct Answers {
    to: SyncSender<(RecordId, Recorded)>,
    waker: Waker,
}

impl Answers {
    fn give(&self, id: RecordId, outcome: Recorded) {
        // A loop that takes no answers is at its end.
        let _ = self.to.try_send((id, outcome));
        self.waker.wake();
    }
}

/// The thread that writes recordings, as the loop sees it.
pub struct Recorder {
    queue: Option<SyncSender<Order>>,
    answers: Receiver<(RecordId, Recorded)>,
    waiting: Arc<Waiting>,
    done: Done,
}

impl Recorder {
    /// Starts the thread. The folder is made if need be; a folder that cannot be used is told of with
    /// each recording.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn start(config: &Recording, waker: Waker) -> std::io::Result<Self> {
        let (queue, orders) = sync_channel(PLACES);
        let (to, answers) = sync_channel(PLACES);
        let (doing, done) = Done::new();
        let waiting = Arc::new(Waiting::default());
        let writer = Writer {
            files: Files::new(PathBuf::from(&config.directory), config),
            answers: Answers { to, waker },
            waiting: Arc::clone(&waiting),
        };
        let work = move || {
            writer.run(&orders);
            drop(doing);
        };
        helper::start("recorder", helper::STACK_BYTES, Box::new(work))?;
        Ok(Self {
            queue: Some(queue),
            answers,
            waiting,
            done,
        })
    }

    /// Begins a file; false when too much waits.
    pub fn open(&self, id: RecordId, name: &str) -> bool {
        self.has_room(0) && self.send(Order::Open(id, name.to_owned()), 0)
    }

    /// Adds a piece to a file; false when too much waits.
    pub fn append(&self, id: RecordId, piece: Vec<u8>) -> bool {
        let bytes = piece.capacity();
        self.has_room(bytes) && self.send(Order::Append(id, piece), bytes)
    }

    /// Ends a file; false when too much waits.
    pub fn close(&self, id: RecordId, end: RecordEnd) -> bool {
        self.send(Order::Close(id, end), 0)
    }

    /// What became of a file, if there is news.
    pub fn answered(&self) -> Option<(RecordId, Recorded)> {
        self.answers.try_recv().ok()
    }

    /// Takes no more; what was taken is on its way to the disk.
    pub fn finish(&mut self) {
        self.queue = None;
    }

    /// Waits until all is on the disk, or `until`: a disk that hangs must not hold up the end.
    pub fn wait(&mut self, until: Instant) {
        self.done.wait(until);
    }

    fn has_room(&self, bytes: usize) -> bool {
        let held = self.waiting.bytes.load(Ordering::Relaxed);
        self.waiting.orders.load(Ordering::Relaxed) < RECORDING_QUEUE
            && held.saturating_add(bytes) <= RECORDING_QUEUE_BYTES
    }

    fn send(&self, order: Order, bytes: usize) -> bool {
        self.waiting.orders.fetch_add(1, Ordering::Relaxed);
        self.waiting.bytes.fetch_add(bytes, Ordering::Relaxed);
        let queue = self.queue.as_ref();
        let sent = queue.is_some_and(|queue| queue.try_send(order).is_ok());
        if !sent {
            self.waiting.done(bytes);
        }
        sent
    }
}

impl Waiting {
    fn done(&self, bytes: usize) {
        self.orders.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.finish();
        self.wait(Instant::now() + FLUSH);
    }
}

/// The thread's side.
struct Writer {
    files: Files,
    answers: Answers,
    waiting: Arc<Waiting>,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        self.files.adopt();
        let mut sync_at: Option<Instant> = None;
        loop {
            let order = match sync_at {
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => match at.saturating_duration_since(Instant::now()) {
                    // Orders that never end must not put it off.
                    Duration::ZERO => orders.try_recv().map_err(|error| match error {
                        TryRecvError::Empty => RecvTimeoutError::Timeout,
                        TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                    }),
                    left => orders.recv_timeout(left),
                },
            };
            match order {
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.files.are_dirty() {
                sync_at.get_or_insert_with(|| Instant::now() + GATHER);
            }
            if sync_at.is_some_and(|at| at <= Instant::now()) {
                sync_at = None;
                while let Some((id, words)) = self.files.sync() {
                    self.answers.give(id, Recorded::Failed { words });
                }
            }
        }
        // What was not ended keeps its mark, and is ended with the next start.
        while self.files.sync().is_some() {}
    }

    fn obey(&mut self, order: Order) {
        let (id, bytes, result) = match order {
            Order::Open(id, name) => (id, 0, self.files.open(id, &name).map(|()| None)),
            Order::Append(id, piece) => {
                let result = self.files.append(id, &piece);
                (id, piece.capacity(), result.map(|()| None))
            }
            Order::Close(id, end) => (id, 0, self.files.close(id, &end)),
        };
        self.waiting.done(bytes);
        match result {
            Ok(None) => {}
            Ok(Some((name, bytes))) => self.answers.give(id, Recorded::Closed { name, bytes }),
            Err(words) => self.answers.give(id, Recorded::Failed { words }),
        }
    }
}

#[cfg(test)]
mod tests;
