//! The few system calls that std does not offer: epoll, a clock shared by processes, a CPU to
//! stay on.

#![allow(unsafe_code, reason = "thin wrappers of libc, each checked here")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Nanoseconds of the monotonic clock, comparable between processes.
pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec for the call to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Keeps this process on one CPU, if there are several.
pub fn stay_on(cpu: usize) {
    let cpus = std::thread::available_parallelism().map_or(1, |count| count.get());
    // SAFETY: an all-zero cpu_set_t is an empty set; the set outlives both calls.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu % cpus, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
        // Sleeps end when asked for, not up to 50 us later.
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_000_usize);
    }
}

/// A level-triggered epoll instance.
pub struct Epoll(OwnedFd);

impl Epoll {
    /// Makes one.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to no one else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches a descriptor for input; `token` is what [`Epoll::wait`] reports.
    pub fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: token,
        };
        // SAFETY: `event` is valid for the call.
        let done =
            unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) };
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Waits for input and puts the tokens of what is ready into `ready`.
    pub fn wait(&self, ready: &mut Vec<u64>) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
        // SAFETY: `events` has room for as many as are asked for.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                events.len() as i32,
                -1,
            )
        };
        ready.clear();
        let count = usize::try_from(count).unwrap_or(0);
        ready.extend(events[..count].iter().map(|event| event.u64));
    }
}
