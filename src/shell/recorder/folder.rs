//! The folder of recordings, and the room that they may take.
//!
//! Only what bears a name and a mark as recordings do is counted and deleted; other files in the
//! folder are left alone.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::collections::VecDeque;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::gateway::config::{Recording, WhenFull};
use crate::gateway::recording::name::{EXTENSION, UNFINISHED};
use crate::limits::RECORDING_FOLDER_FILES;
use crate::mp4::{FILE_MARK_BYTES, file_mark};
use crate::shell::sys;

const MIB: u64 = 1_024 * 1_024;

/// A recording that is finished.
struct Finished {
    name: String,
    bytes: u64,
    modified: SystemTime,
}

/// The folder and its bounds.
pub(super) struct Folder {
    path: PathBuf,
    min_free: u64,
    max: Option<u64>,
    when_full: WhenFull,
    /// Bytes of all recordings, as far as known.
    held: u64,
    /// Finished recordings, oldest first, as far as looked for.
    oldest: VecDeque<Finished>,
}

impl Folder {
    /// A folder with the bounds of the configuration.
    pub fn new(path: PathBuf, config: &Recording) -> Self {
        Self {
            path,
            min_free: config.min_free_mib.saturating_mul(MIB),
            max: config.max_mib.map(|mib| mib.saturating_mul(MIB)),
            when_full: config.when_full,
            held: 0,
            oldest: VecDeque::new(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder where there is none, and looks what is in it; false when it cannot be used.
    pub fn prepare(&mut self) -> bool {
        if self.path.is_dir() {
            if self.held == 0 {
                self.look();
            }
            return true;
        }
        match fs::create_dir_all(&self.path) {
            Ok(()) => true,
            Err(error) => {
                log::warn!("{}: {error}", self.path.display());
                false
            }
        }
    }

    /// Notes that a recording grew.
    pub fn grown(&mut self, bytes: u64) {
        self.held = self.held.saturating_add(bytes);
    }

    /// Sees to it that so many bytes more have room, by what the configuration lets give way.
    ///
    /// # Errors
    ///
    /// They have none, in words.
    pub fn make_room(&mut self, bytes: u64) -> Result<(), String> {
        if self.lacks(bytes).is_none() {
            return Ok(());
        }
        // Others may have deleted files meanwhile, or may have filled the disk.
        self.look();
        while let Some(words) = self.lacks(bytes) {
            if self.when_full == WhenFull::Stop {
                return Err(words);
            }
            let Some(oldest) = self.oldest.pop_front() else {
                return Err(format!("{words}, and no older recording is left to delete"));
            };
            match fs::remove_file(self.path.join(&oldest.name)) {
                Ok(()) => log::warn!("recording {} was deleted: {words}", oldest.name),
                Err(error) => log::warn!("recording {} cannot be deleted: {error}", oldest.name),
            }
            self.held = self.held.saturating_sub(oldest.bytes);
        }
        Ok(())
    }

    /// Why so many bytes more have no room, if they have none.
    fn lacks(&self, bytes: u64) -> Option<String> {
        if let Some(max) = self.max
            && self.held.saturating_add(bytes) > max
        {
            return Some(format!("recordings take all of {} MiB", max / MIB));
        }
        let folder = File::open(&self.path);
        let free = folder.and_then(|folder| sys::free_bytes(folder.as_fd()));
        match free {
            Ok(free) if free.saturating_sub(bytes) < self.min_free => Some(format!(
                "less than {} MiB of the disk are free",
                self.min_free / MIB
            )),
            // What cannot be asked is told by the write.
            _ => None,
        }
    }

    /// Names of files that were not ended.
    pub fn unfinished(&self) -> Vec<String> {
        let suffix = format!("{EXTENSION}{UNFINISHED}");
        let names = self.entries().filter_map(|entry| plain_name(&entry));
        names.filter(|name| name.ends_with(&suffix)).collect()
    }

    /// Looks for finished recordings, and sums up what all take.
    fn look(&mut self) {
        let mut held = 0_u64;
        let mut oldest: Vec<Finished> = Vec::new();
        for entry in self.entries() {
            let Some(name) = plain_name(&entry) else {
                continue;
            };
            let is_finished = name.ends_with(EXTENSION);
            if !is_finished && !name.ends_with(UNFINISHED) {
                continue;
            }
            let file = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
                .open(entry.path());
            let (Ok(file), Ok(metadata)) = (file, entry.metadata()) else {
                continue;
            };
            if !is_own(&file) {
                continue;
            }
            held = held.saturating_add(metadata.len());
            if is_finished {
                oldest.push(Finished {
                    name,
                    bytes: metadata.len(),
                    modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                });
            }
        }
        oldest.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
        self.held = held;
        self.oldest = oldest.into();
    }

    fn entries(&self) -> impl Iterator<Item = DirEntry> + use<> {
        let entries = fs::read_dir(&self.path).into_iter().flatten();
        entries.flatten().take(RECORDING_FOLDER_FILES)
    }
}

/// The name of a plain file that a recording could have.
fn plain_name(entry: &DirEntry) -> Option<String> {
    if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
        return None;
    }
    let name = entry.file_name().into_string().ok()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.~%{}".contains(c);
    (!name.starts_with('.') && name.chars().all(fits)).then_some(name)
}

/// Whether a file begins as recordings do.
pub(super) fn is_own(file: &File) -> bool {
    let mut mark = [0; FILE_MARK_BYTES];
    file.read_exact_at(&mut mark, 0).is_ok() && mark == *file_mark()
}
