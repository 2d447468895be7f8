//! The panel's end of the daemon's socket.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::panel::{Facts, FactsReader};

/// Bytes read at once.
const READ_BYTES: usize = 1_024;

/// Reads in a row; a daemon that says more than that at once waits.
const READS: usize = 8;

/// A connection to the daemon.
#[derive(Debug)]
pub struct DaemonLine {
    stream: UnixStream,
    reader: FactsReader,
}

impl DaemonLine {
    /// Connects, without waiting.
    ///
    /// # Errors
    ///
    /// Nobody listens, or nobody answers at once.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)?;
        Ok(Self {
            stream: UnixStream::from(std::os::fd::OwnedFd::from(socket)),
            reader: FactsReader::default(),
        })
    }

    /// The newest that the daemon said, if there is news.
    ///
    /// # Errors
    ///
    /// It closed.
    pub fn read(&mut self) -> io::Result<Option<Facts>> {
        let mut newest = None;
        for _ in 0..READS {
            let mut bytes = [0; READ_BYTES];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    let bytes = bytes.get(..length).unwrap_or_default();
                    newest = self.reader.handle_bytes(bytes).or(newest);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(newest)
    }
}

impl AsFd for DaemonLine {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
