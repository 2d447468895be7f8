//! Ends the loop's wait from another thread.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// The end that wakes; cheap to clone and to send.
#[derive(Clone, Debug)]
pub struct Waker(Arc<UnixStream>);

impl Waker {
    /// Ends the present or the next wait.
    pub fn wake(&self) {
        // A full pipe has woken the loop already.
        let _ = (&*self.0).write(&[1]);
    }
}

/// The end that the loop waits on.
#[derive(Debug)]
pub struct Alarm(UnixStream);

impl Alarm {
    /// A new pair.
    pub fn new() -> io::Result<(Self, Waker)> {
        let (alarm, waker) = UnixStream::pair()?;
        alarm.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        Ok((Self(alarm), Waker(Arc::new(waker))))
    }

    /// Forgets the wakes so far.
    pub fn clear(&self) {
        let mut bytes = [0; 64];
        while (&self.0)
            .read(&mut bytes)
            .is_ok_and(|got| got == bytes.len())
        {}
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
