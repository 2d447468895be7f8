//! Media files of one folder, read piece by piece by a thread of their own, so that no disk holds up
//! the loop.
//!
//! Names are those of plain files in the folder itself; links are not followed. Wishes and pieces wait
//! in bounded queues: each file has one wish at a time.

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
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::helper;
use super::waker::Waker;
use crate::gateway::outlet::{FileId, FileTrouble};
use crate::limits::{FILE_CHUNK_BYTES, FILES};

/// Wishes that may wait: each file has one, and its end.
const WISHES: usize = 4 * FILES;

enum Wish {
    Open(FileId, String),
    Read(FileId),
    Close(FileId),
}

/// The next piece of a file, empty at its end; or why there is none.
pub type Piece = (FileId, Result<Vec<u8>, FileTrouble>);

/// The reader of media files.
pub struct Files {
    wishes: SyncSender<Wish>,
    pieces: Receiver<Piece>,
}

impl Files {
    /// Begins to serve the files of a folder; each piece wakes the loop.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn start(directory: &Path, waker: Waker) -> io::Result<Self> {
        let (wishes, wished) = sync_channel(WISHES);
        let (piece, pieces) = sync_channel(WISHES);
        let directory = directory.to_owned();
        let work = move || serve(&directory, &wished, &piece, &waker);
        helper::start("files", helper::STACK_BYTES, Box::new(work))?;
        Ok(Self { wishes, pieces })
    }

    /// Opens a file and reads its beginning; false when too many wishes wait.
    pub fn open(&self, id: FileId, name: &str) -> bool {
        self.wish(Wish::Open(id, name.to_owned()))
    }

    /// Reads the next piece of a file.
    pub fn read(&self, id: FileId) {
        self.wish(Wish::Read(id));
    }

    /// Closes a file.
    pub fn close(&self, id: FileId) {
        self.wish(Wish::Close(id));
    }

    /// A piece that has come, if any.
    pub fn piece(&self) -> Option<Piece> {
        self.pieces.try_recv().ok()
    }

    fn wish(&self, wish: Wish) -> bool {
        // A disk that hangs is noticed by those who wait for its pieces.
        !matches!(
            self.wishes.try_send(wish),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_))
        )
    }
}

fn serve(directory: &Path, wishes: &Receiver<Wish>, pieces: &SyncSender<Piece>, waker: &Waker) {
    let mut open: Vec<(FileId, File)> = Vec::new();
    while let Ok(wish) = wishes.recv() {
        let (id, piece) = match wish {
            Wish::Close(id) => {
                open.retain(|(open, _)| *open != id);
                continue;
            }
            Wish::Open(id, name) => {
                let opened = path_of(directory, &name).and_then(|path| open_file(&path));
                let piece = opened.and_then(|mut file| {
                    let piece = read(&mut file);
                    open.push((id, file));
                    piece
                });
                (id, piece)
            }
            Wish::Read(id) => {
                let Some((_, file)) = open.iter_mut().find(|(open, _)| *open == id) else {
                    continue;
                };
                (id, read(file))
            }
        };
        let trouble = |error: io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::InvalidInput => FileTrouble::Missing,
            _ => FileTrouble::Unreadable,
        };
        if pieces.send((id, piece.map_err(trouble))).is_err() {
            return;
        }
        waker.wake();
    }
}

/// The path of a file in the folder itself.
fn path_of(directory: &Path, name: &str) -> io::Result<PathBuf> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None) if part == name => Ok(directory.join(part)),
        _ => Err(ErrorKind::InvalidInput.into()),
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("no plain file")),
    }
}

fn read(file: &mut File) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(FILE_CHUNK_BYTES);
    file.take(FILE_CHUNK_BYTES as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let folder = Path::new("/media");
        for name in ["a.wav", "a b.flv"] {
            assert_eq!(path_of(folder, name).unwrap(), folder.join(name));
        }
        for name in ["", ".", "..", "../a", "/a", "a/b", "a/", "./a", "a/../b"] {
            assert!(path_of(folder, name).is_err(), "{name}");
        }
    }
}
