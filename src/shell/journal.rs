//! The journal's file: read once at start, then written by a thread of its own.
//!
//! What a record means is the gateway's matter, and where it lies in the file that of
//! [`Journal`]. Writes wait in a bounded queue; a second's worth of them shares one `fdatasync`.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::helper::{self, Done};
use crate::base::journal::{JOURNAL_BYTES, Journal, Record, SlotWrite};
use crate::limits::JOURNAL_QUEUE;

/// Name of the file in the folder of what outlives a restart.
pub const FILE_NAME: &str = "journal";

/// How long writes gather for one `fdatasync`.
const GATHER: Duration = Duration::from_secs(1);

/// How long the last writes are waited for where nobody else has waited for them.
const FLUSH: Duration = Duration::from_millis(500);

/// The file, open for the run of the program.
pub struct JournalFile {
    journal: Journal,
    queue: Option<SyncSender<SlotWrite>>,
    done: Done,
    /// Records that were not written: the queue was full.
    lost: u64,
}

impl JournalFile {
    /// Opens the file in a folder that is there already, and makes it if need be; with the records
    /// of earlier runs, oldest first.
    ///
    /// # Errors
    ///
    /// The folder or the file cannot be used, or no thread can be started.
    pub fn open(directory: &Path) -> io::Result<(Self, Vec<Record>)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(directory.join(FILE_NAME))?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("the journal is not a plain file"));
        }
        let mut bytes = Vec::with_capacity(JOURNAL_BYTES);
        (&file).take(JOURNAL_BYTES as u64).read_to_end(&mut bytes)?;
        if metadata.len() != JOURNAL_BYTES as u64 {
            file.set_len(JOURNAL_BYTES as u64)?;
        }
        let (journal, records) = Journal::read(&bytes);
        let (queue, writes) = sync_channel(JOURNAL_QUEUE);
        let (doing, done) = Done::new();
        let work = move || {
            write_all(&file, &writes);
            drop(doing);
        };
        helper::start("journal", helper::STACK_BYTES, Box::new(work))?;
        let journal = Self {
            journal,
            queue: Some(queue),
            done,
            lost: 0,
        };
        Ok((journal, records))
    }

    /// Takes a record in; it is on its way to the disk when this returns, never there already.
    pub fn keep(&mut self, about: u64, record: &[u8]) {
        let write = self.journal.put(about, record);
        let sent = write
            .zip(self.queue.as_ref())
            .is_some_and(|(write, queue)| queue.try_send(write).is_ok());
        if !sent {
            self.lost += 1;
        }
    }

    /// Takes no more; what was taken is on its way to the disk.
    pub fn finish(&mut self) {
        self.queue = None;
    }

    /// Waits until all is on the disk, or `until`: a disk that hangs must not hold up the end.
    pub fn wait(&mut self, until: Instant) {
        self.done.wait(until);
    }

    /// Records that were not written because too many came at once.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl Drop for JournalFile {
    fn drop(&mut self) {
        self.finish();
        self.wait(Instant::now() + FLUSH);
    }
}

/// Writes until the queue is closed and empty.
fn write_all(file: &File, writes: &Receiver<SlotWrite>) {
    while let Ok(first) = writes.recv() {
        let until = Instant::now() + GATHER;
        let mut result = write(file, &first);
        let mut closed = false;
        while !closed {
            let left = until.saturating_duration_since(Instant::now());
            match writes.recv_timeout(left) {
                Ok(next) => result = result.and(write(file, &next)),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => closed = true,
            }
        }
        if let Err(error) = result.and_then(|()| file.sync_data()) {
            log::warn!("what was learned could not be written down: {error}");
        }
    }
}

fn write(file: &File, write: &SlotWrite) -> io::Result<()> {
    file.write_all_at(&write.bytes, write.offset)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// A folder of the test's own, removed in the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("trunkcast-journal-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join(FILE_NAME)
        }

        fn records(&self) -> Vec<(u64, Vec<u8>)> {
            let (_, records) = JournalFile::open(&self.0).unwrap();
            let plain = |record: Record| (record.about, record.bytes.to_vec());
            records.into_iter().map(plain).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_was_kept_is_there_again_and_the_file_does_not_grow() {
        let folder = Folder::new("kept");
        let (mut journal, records) = JournalFile::open(&folder.0).unwrap();
        assert_eq!(records, []);
        for round in 0..40_u8 {
            journal.keep(1, &[round]);
        }
        journal.keep(2, b"two");
        assert_eq!(journal.lost(), 0);
        drop(journal);
        let kept = [(1, vec![39]), (2, b"two".to_vec())];
        assert_eq!(folder.records(), kept);
        let length = fs::metadata(folder.file()).unwrap().len();
        assert_eq!(length, JOURNAL_BYTES as u64);
        assert_eq!(folder.records(), kept, "reading changes nothing");
    }

    #[test]
    fn a_strangers_file_is_brought_to_size_and_used() {
        let folder = Folder::new("stranger");
        for length in [0, 1, 300, JOURNAL_BYTES - 1, 3 * JOURNAL_BYTES] {
            fs::write(folder.file(), vec![0xa5; length]).unwrap();
            let (mut journal, records) = JournalFile::open(&folder.0).unwrap();
            assert_eq!(records, []);
            journal.keep(7, b"mine");
            drop(journal);
            assert_eq!(folder.records(), [(7, b"mine".to_vec())]);
            let found = fs::metadata(folder.file()).unwrap().len();
            assert_eq!(found, JOURNAL_BYTES as u64);
        }
    }

    #[test]
    fn what_is_no_plain_file_in_a_folder_is_refused() {
        let folder = Folder::new("refused");
        assert!(JournalFile::open(&folder.0.join("none")).is_err());
        let target = folder.0.join("target");
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, folder.file()).unwrap();
        assert!(JournalFile::open(&folder.0).is_err());
        assert_eq!(fs::read(&target).unwrap(), b"precious");
    }
}
