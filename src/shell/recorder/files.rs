//! The files that are being written.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use super::folder::{Folder, is_own};
use crate::gateway::config::Recording;
use crate::gateway::outlet::{RecordEnd, RecordId};
use crate::gateway::recording::name::{EXTENSION, UNFINISHED, finish};
use crate::mp4::Extent;
use crate::shell::sys;

/// Numbers that are tried for a name that is taken.
const NUMBERS: u32 = 9_999;

/// A file that is being written.
struct OpenFile {
    id: RecordId,
    file: File,
    /// Its name with the mark of one that is unfinished.
    name: String,
    /// Bytes of whole pieces.
    bytes: u64,
    dirty: bool,
    failed: bool,
}

/// Every file that is being written, and the folder.
pub(super) struct Files {
    folder: Folder,
    open: Vec<OpenFile>,
}

impl Files {
    /// No files yet.
    pub fn new(directory: PathBuf, config: &Recording) -> Self {
        Self {
            folder: Folder::new(directory, config),
            open: Vec::new(),
        }
    }

    /// Begins a file.
    ///
    /// # Errors
    ///
    /// It cannot be made, in words.
    pub fn open(&mut self, id: RecordId, name: &str) -> Result<(), String> {
        self.folder.prepare();
        let made = self.make(name);
        let (file, name) =
            made.map_err(|error| format!("{}: {error}", self.folder.path().display()))?;
        self.open.push(OpenFile {
            id,
            file,
            name,
            bytes: 0,
            dirty: false,
            failed: false,
        });
        Ok(())
    }

    /// Adds a piece to a file.
    ///
    /// # Errors
    ///
    /// There is no room, or the disk refuses; in words, and once for each file.
    pub fn append(&mut self, id: RecordId, piece: &[u8]) -> Result<(), String> {
        let found = self.open.iter_mut().find(|open| open.id == id);
        let Some(open) = found.filter(|open| !open.failed) else {
            return Ok(());
        };
        let length = piece.len() as u64;
        let result = self.folder.make_room(length).and_then(|()| {
            let written = open.file.write_all_at(piece, open.bytes);
            written.map_err(|error| format!("{}: {error}", open.name))
        });
        match &result {
            Ok(()) => {
                open.bytes += length;
                open.dirty = true;
                self.folder.grown(length);
            }
            Err(_) => {
                open.failed = true;
                // A piece that is not whole is none.
                let _ = open.file.set_len(open.bytes);
            }
        }
        result
    }

    /// Ends a file; its name and length, unless it failed before.
    ///
    /// # Errors
    ///
    /// It is not on the disk for certain, or has no other name, in words.
    pub fn close(
        &mut self,
        id: RecordId,
        end: &RecordEnd,
    ) -> Result<Option<(String, u64)>, String> {
        let Some(at) = self.open.iter().position(|open| open.id == id) else {
            return Ok(None);
        };
        let open = self.open.swap_remove(at);
        let unfinished = self.folder.path().join(&open.name);
        if open.bytes == 0 {
            let _ = fs::remove_file(&unfinished);
            return Ok(None);
        }
        let words = |error: io::Error| format!("{}: {error}", open.name);
        open.file.sync_data().map_err(words)?;
        let name = self
            .rename(&open.name, &end.name, end.replace)
            .map_err(words)?;
        Ok((!open.failed).then_some((name, open.bytes)))
    }

    /// Whether a piece was written that is not on the disk for certain.
    pub fn are_dirty(&self) -> bool {
        self.open.iter().any(|open| open.dirty)
    }

    /// Puts on the disk what was written; a file for which that failed, with words, and to be called
    /// again then.
    pub fn sync(&mut self) -> Option<(RecordId, String)> {
        for open in self.open.iter_mut().filter(|open| open.dirty) {
            open.dirty = false;
            if let Err(error) = open.file.sync_data() {
                open.failed = true;
                return Some((open.id, format!("{}: {error}", open.name)));
            }
        }
        None
    }

    /// Ends what an earlier run left unfinished.
    pub fn adopt(&mut self) {
        if !self.folder.prepare() {
            return;
        }
        for name in self.folder.unfinished() {
            match self.adopt_one(&name) {
                Ok(Some((name, bytes))) => {
                    log::warn!("recording {name} was cut off: {bytes} bytes of it play");
                }
                Ok(None) => {}
                Err(error) => log::warn!("recording {name} was cut off and stays: {error}"),
            }
        }
    }

    fn adopt_one(&mut self, name: &str) -> io::Result<Option<(String, u64)>> {
        let path = self.folder.path().join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path)?;
        // One that is being written by another daemon has its lock.
        if !sys::try_lock(file.as_fd())? {
            return Ok(None);
        }
        let metadata = file.metadata()?;
        let length = metadata.len();
        if !is_own(&file) {
            // Too short to tell: nothing was lost with it.
            if length == 0 {
                fs::remove_file(&path)?;
            }
            return Ok(None);
        }
        let mut extent = Extent::new(length);
        while let Some(at) = extent.wants() {
            let mut head = [0; 8];
            file.read_exact_at(&mut head, at)?;
            extent.take(head);
        }
        let whole = extent.whole_bytes();
        if whole == 0 {
            fs::remove_file(&path)?;
            return Ok(None);
        }
        if whole < length {
            file.set_len(whole)?;
        }
        file.sync_data()?;
        let modified = metadata.modified()?;
        let end = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let created = metadata.created().ok();
        let lasted = created.and_then(|begin| modified.duration_since(begin).ok());
        let stem = name.strip_suffix(UNFINISHED).unwrap_or(name);
        let stem = stem.strip_suffix(EXTENSION).unwrap_or(stem);
        let seconds = lasted.unwrap_or_default().as_secs();
        let millis = u64::try_from(end.as_millis()).unwrap_or(u64::MAX);
        let finished = finish(stem, millis, seconds).unfinished();
        let name = self.rename(name, &finished, false)?;
        Ok(Some((name, whole)))
    }

    fn make(&self, name: &str) -> io::Result<(File, String)> {
        for number in 1..=NUMBERS {
            let name = format!("{}{UNFINISHED}", numbered(name, number));
            let opened = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o640)
                .custom_flags(libc::O_NOFOLLOW)
                .open(self.folder.path().join(&name));
            match opened {
                Ok(file) => {
                    // Without the lock another daemon in the same folder might end the file.
                    sys::try_lock(file.as_fd())?;
                    return Ok((file, name));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Gives a file its name, or that with a number where it is taken; the name.
    fn rename(&self, from: &str, to: &str, replace: bool) -> io::Result<String> {
        let path = self.folder.path();
        for number in 1..=NUMBERS {
            let name = numbered(to, number);
            if replace {
                fs::rename(path.join(from), path.join(&name))?;
            } else {
                // Unlike a rename, a link replaces nothing.
                match fs::hard_link(path.join(from), path.join(&name)) {
                    Ok(()) => fs::remove_file(path.join(from))?,
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                    // Some file systems know no links.
                    Err(_) if !path.join(&name).try_exists()? => {
                        fs::rename(path.join(from), path.join(&name))?;
                    }
                    Err(_) => continue,
                }
            }
            File::open(path)?.sync_all()?;
            return Ok(name);
        }
        Err(ErrorKind::AlreadyExists.into())
    }
}

/// A name with a number before its extension, from the second on.
fn numbered(name: &str, number: u32) -> String {
    match number {
        1 => name.to_owned(),
        _ => {
            let stem = name.strip_suffix(EXTENSION).unwrap_or(name);
            format!("{stem}-{number}{EXTENSION}")
        }
    }
}
