//! The system calls that the standard library and its companions do not offer: `epoll` as one
//! nested descriptor and `recvmmsg` into pool buffers. All unsafe code of the program is here.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::base::packet_pool::{Packet, PacketPool};
use crate::limits::{PACKET_BYTES, POLL_EVENTS, RECEIVE_BATCH};

/// What a descriptor is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Readable, reported until drained: datagram sockets and listeners.
    Readable,
    /// Readable, writable and hung up, each reported once per change: streams.
    StreamEdges,
}

/// One report of [`Epoll::wait`].
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The number given at [`Epoll::add`].
    pub token: u64,
    /// Something can be read, or the peer closed.
    pub readable: bool,
    /// Something can be written.
    pub writable: bool,
    /// The descriptor failed or the peer closed both directions.
    pub closed: bool,
}

/// An epoll instance over all sockets of the daemon.
pub struct Epoll {
    fd: OwnedFd,
    events: Box<[libc::epoll_event; POLL_EVENTS]>,
}

impl Epoll {
    /// A new, empty instance.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed; a descriptor that is returned is ours alone.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            // SAFETY: just created above, owned by nobody else.
            fd: unsafe { OwnedFd::from_raw_fd(fd) },
            events: Box::new([libc::epoll_event { events: 0, u64: 0 }; POLL_EVENTS]),
        })
    }

    /// Watches a descriptor. Closing the descriptor ends the watch.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        let events = match interest {
            Interest::Readable => libc::EPOLLIN,
            Interest::StreamEdges => {
                libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET
            }
        };
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: token,
        };
        // SAFETY: both descriptors are open for the call and `event` outlives it.
        let result = unsafe {
            libc::epoll_ctl(
                self.fd.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                fd.as_raw_fd(),
                &mut event,
            )
        };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Waits up to `timeout` and answers how many descriptors are ready; see [`Self::ready`].
    pub fn wait(&mut self, timeout: Duration) -> io::Result<usize> {
        // Rounded up, so that a deadline has passed when the wait for it ends.
        let millis = timeout.as_micros().div_ceil(1_000).min(60_000) as libc::c_int;
        // SAFETY: the pointer and length are those of a live array that nothing else uses.
        let count = unsafe {
            libc::epoll_wait(
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                POLL_EVENTS as libc::c_int,
                millis,
            )
        };
        if count >= 0 {
            return Ok(count as usize);
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            error => Err(error),
        }
    }

    /// The report at `at`, below the count that [`Self::wait`] gave.
    pub fn ready(&self, at: usize) -> Ready {
        let event = self.events[at];
        let has = |flags: libc::c_int| event.events & flags as u32 != 0;
        Ready {
            token: event.u64,
            readable: has(libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR),
            writable: has(libc::EPOLLOUT),
            closed: has(libc::EPOLLHUP | libc::EPOLLERR),
        }
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Room for one `recvmmsg` call, with the packets it reads into.
pub struct ReceiveBatch {
    /// Unshared packets: those not handed out stay for the next call.
    packets: [Option<Packet>; RECEIVE_BATCH],
    names: [libc::sockaddr_storage; RECEIVE_BATCH],
    lengths: [Option<usize>; RECEIVE_BATCH],
    /// Datagrams longer than a slot, dropped.
    pub oversized: u64,
    /// Datagrams dropped because the packet pool was empty.
    pub pool_empty: u64,
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self {
            packets: [const { None }; RECEIVE_BATCH],
            // SAFETY: all-zero is a valid sockaddr_storage (AF_UNSPEC).
            names: unsafe { MaybeUninit::zeroed().assume_init() },
            lengths: [None; RECEIVE_BATCH],
            oversized: 0,
            pool_empty: 0,
        }
    }
}

impl ReceiveBatch {
    /// Reads the datagrams that wait at a socket, at most `most` and [`RECEIVE_BATCH`]; their count.
    ///
    /// With an empty pool one datagram is read and thrown away, so that a full pool never leaves a
    /// socket readable for ever.
    pub fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        pool: &PacketPool,
        most: usize,
    ) -> io::Result<usize> {
        let mut iovecs = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; RECEIVE_BATCH];
        // SAFETY: all-zero is a valid mmsghdr: null pointers with zero lengths.
        let mut headers: [libc::mmsghdr; RECEIVE_BATCH] =
            unsafe { MaybeUninit::zeroed().assume_init() };
        let mut room = 0;
        for at in 0..most.min(RECEIVE_BATCH) {
            if self.packets[at].is_none() {
                self.packets[at] = pool.take();
            }
            let Some(buffer) = self.packets[at].as_mut().and_then(Packet::buffer_mut) else {
                break;
            };
            iovecs[at].iov_base = buffer.as_mut_ptr().cast();
            iovecs[at].iov_len = PACKET_BYTES;
            headers[at].msg_hdr.msg_iov = &mut iovecs[at];
            headers[at].msg_hdr.msg_iovlen = 1;
            headers[at].msg_hdr.msg_name = (&raw mut self.names[at]).cast();
            headers[at].msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            room += 1;
        }
        if room == 0 {
            return self.discard(socket);
        }
        // SAFETY: the first `room` headers point at live, distinct buffers of the stated lengths,
        // which nothing else reads or writes during the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                room as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        for (at, header) in headers.iter().enumerate().take(count as usize) {
            let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            self.lengths[at] = whole.then_some(header.msg_len as usize);
            self.oversized += u64::from(!whole);
        }
        Ok(count as usize)
    }

    /// The datagram at `at`, below the count that [`Self::receive`] gave; `None` when it was
    /// dropped.
    pub fn take(&mut self, at: usize) -> Option<(Packet, SocketAddr)> {
        let length = self.lengths[at].take()?;
        let from = socket_address(&self.names[at])?;
        let mut packet = self.packets[at].take()?;
        packet.truncate(length);
        Some((packet, from))
    }

    fn discard(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut byte = 0_u8;
        // SAFETY: one writable byte, alive for the call.
        let got = unsafe {
            libc::recv(
                socket.as_raw_fd(),
                (&raw mut byte).cast(),
                1,
                libc::MSG_DONTWAIT,
            )
        };
        if got < 0 {
            return Err(io::Error::last_os_error());
        }
        self.pool_empty += 1;
        Ok(0)
    }
}

/// Reads what the kernel wrote into an address; `None` for other families.
fn socket_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which structure the storage holds; it is large enough.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            let port = u16::from_be(name.sin6_port);
            Some(match ip.to_ipv4_mapped() {
                Some(ip) => SocketAddrV4::new(ip, port).into(),
                None => SocketAddrV6::new(ip, port, 0, name.sin6_scope_id).into(),
            })
        }
        _ => None,
    }
}

/// Has the calling thread, and those that it begins, run after others where there is not time for all.
pub fn give_way() {
    // SAFETY: takes numbers only; a kernel that refuses leaves the thread as it was.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS as _, 0, 10);
    }
}

/// Fills `bytes` from the system's random source.
pub fn random(bytes: &mut [u8]) -> io::Result<()> {
    // SAFETY: pointer and length are those of a live slice.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == bytes.len() as isize {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes sleeps of the calling thread end when they are due, not up to 50 microseconds later.
pub fn sleep_exactly() {
    // SAFETY: takes numbers only; a kernel that refuses leaves the sleeps as they were.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_000 as libc::c_ulong);
    }
}

/// Raises this process's limit of open descriptors to what the system allows; the limit.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is alive and writable for the calls.
    unsafe {
        if libc::getrlimit64(libc::RLIMIT_NOFILE, &mut limit) < 0 {
            return Err(io::Error::last_os_error());
        }
        limit.rlim_cur = limit.rlim_max;
        if libc::setrlimit64(libc::RLIMIT_NOFILE, &limit) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// Microseconds of CLOCK_MONOTONIC, which the service manager compares with its own.
pub fn monotonic_micros() -> io::Result<u64> {
    let mut now: libc::timespec = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is alive and writable for the call.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // Both are 32 bits wide on some machines: widened before they are multiplied.
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or_default();
    Ok(seconds
        .saturating_mul(1_000_000)
        .saturating_add(nanoseconds / 1_000))
}

/// Bytes that the file system of a folder has free for this process.
pub fn free_bytes(folder: BorrowedFd<'_>) -> io::Result<u64> {
    file_system_bytes(folder).map(|(_, free)| free)
}

/// Bytes that the file system of a folder has in all, and free for this process.
pub fn file_system_bytes(folder: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    // The plain call of a 32-bit target fails with a disk too large for its numbers.
    // SAFETY: all-zero is a valid statvfs64: numbers only.
    let mut found: libc::statvfs64 = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the descriptor is open for the call, and `found` is alive and writable.
    if unsafe { libc::fstatvfs64(folder.as_raw_fd(), &mut found) } < 0 {
        return Err(io::Error::last_os_error());
    }
    #[allow(clippy::unnecessary_cast, reason = "narrower on some targets")]
    let (all, free, bytes) = (
        found.f_blocks as u64,
        found.f_bavail as u64,
        found.f_frsize as u64,
    );
    Ok((all.saturating_mul(bytes), free.saturating_mul(bytes)))
}

/// Whether this process may make files in a folder.
///
/// # Errors
///
/// Why not.
pub fn may_write(folder: &Path) -> io::Result<()> {
    let folder = CString::new(folder.as_os_str().as_bytes())?;
    let mode = libc::W_OK | libc::X_OK;
    // SAFETY: the path ends in a zero and is alive for the call.
    let found = unsafe { libc::faccessat(libc::AT_FDCWD, folder.as_ptr(), mode, libc::AT_EACCESS) };
    match found {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a key of an input device is down now (`EVIOCGKEY` of `linux/input.h`).
///
/// # Errors
///
/// It is no input device, or has no such key.
pub fn key_is_down(device: BorrowedFd<'_>, key: u16) -> io::Result<bool> {
    // One bit for each key: KEY_CNT of them.
    let mut keys = [0_u8; 96];
    // _IOC(_IOC_READ, 'E', 0x18, length): the same number on every machine that this is built for.
    let request = 2_u32 << 30 | (keys.len() as u32) << 16 | u32::from(b'E') << 8 | 0x18;
    // SAFETY: the descriptor is open for the call, and the kernel writes at most the length in the
    // request to `keys`, which is alive.
    let got = unsafe { libc::ioctl(device.as_raw_fd(), request as _, keys.as_mut_ptr()) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    let byte = keys.get(usize::from(key / 8));
    let byte = byte.ok_or(io::ErrorKind::InvalidInput)?;
    Ok(byte >> (key % 8) & 1 != 0)
}

/// Locks a file for as long as it is open here; false when another process has it locked.
pub fn try_lock(file: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: the descriptor is open for the call; no pointers are passed.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_batch_reads_every_waiting_datagram_with_its_source() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for text in ["one", "two", "three"] {
            sender
                .send_to(text.as_bytes(), receiver.local_addr().unwrap())
                .unwrap();
        }
        let pool = PacketPool::new(RECEIVE_BATCH);
        let mut batch = ReceiveBatch::default();
        assert_eq!(
            batch
                .receive(receiver.as_fd(), &pool, RECEIVE_BATCH)
                .unwrap(),
            3
        );
        let (packet, from) = batch.take(1).unwrap();
        assert_eq!(&*packet, b"two");
        assert_eq!(from, sender.local_addr().unwrap());
        let error = batch
            .receive(receiver.as_fd(), &pool, RECEIVE_BATCH)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn datagrams_over_a_slot_are_dropped_and_counted() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender
            .send_to(&[0; PACKET_BYTES + 1], receiver.local_addr().unwrap())
            .unwrap();
        let mut batch = ReceiveBatch::default();
        assert_eq!(
            batch
                .receive(receiver.as_fd(), &PacketPool::new(4), RECEIVE_BATCH)
                .unwrap(),
            1
        );
        assert!(batch.take(0).is_none());
        assert_eq!(batch.oversized, 1);
    }

    #[test]
    fn an_empty_pool_still_drains_the_socket() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender
            .send_to(b"lost", receiver.local_addr().unwrap())
            .unwrap();
        let mut batch = ReceiveBatch::default();
        assert_eq!(
            batch
                .receive(receiver.as_fd(), &PacketPool::new(0), RECEIVE_BATCH)
                .unwrap(),
            0
        );
        assert_eq!(batch.pool_empty, 1);
        let error = batch
            .receive(receiver.as_fd(), &PacketPool::new(0), RECEIVE_BATCH)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn epoll_reports_the_token_of_a_readable_socket() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut epoll = Epoll::new().unwrap();
        epoll.add(receiver.as_fd(), 77, Interest::Readable).unwrap();
        assert_eq!(epoll.wait(Duration::ZERO).unwrap(), 0);
        let to = receiver.local_addr().unwrap();
        UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .send_to(b"x", to)
            .unwrap();
        assert_eq!(epoll.wait(Duration::from_secs(1)).unwrap(), 1);
        assert_eq!(epoll.ready(0).token, 77);
        assert!(epoll.ready(0).readable);
    }
}
