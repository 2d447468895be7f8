//! The table of TCP connections, in and out, with TLS over those that ask for it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::resolver::Addresses;
use super::sys::{Epoll, Interest};
use super::tls::{TlsStream, Trust};
use super::token::Token;
use crate::base::ids::ConnId;
use crate::limits::{STREAM_PENDING_BYTES, STREAM_UNSENT_BYTES, STREAMS};

/// Reads of leftover input before a connection is closed.
const FINISH_READS: usize = 16;

/// How a connection attempt stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is up.
    Connected,
    /// Not decided yet.
    Pending,
    /// It failed on every address, in words.
    Failed(String),
}

enum State {
    Resolving,
    Connecting {
        socket: TcpStream,
        rest: Addresses,
    },
    /// Connected, and TLS is not agreed on yet.
    Securing(Box<TlsStream>),
    Open(Wire),
}

/// What bytes go in and out of.
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

/// TLS that a connection is to have.
struct Wish {
    trust: Arc<Trust>,
    host: String,
}

struct Stream {
    state: State,
    wish: Option<Wish>,
    /// Bytes that the socket has not taken yet, oldest first.
    pending: Vec<u8>,
}

#[derive(Default)]
struct Slot {
    generation: u16,
    stream: Option<Box<Stream>>,
}

/// Every TCP connection, by [`ConnId`]: the slot in the lower half, its generation in the upper.
pub struct Streams {
    slots: Vec<Slot>,
    free: Vec<u16>,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            slots: (0..STREAMS).map(|_| Slot::default()).collect(),
            free: (0..STREAMS as u16).rev().collect(),
        }
    }
}

impl Streams {
    /// A place for a connection whose host is being resolved; `None` when the table is full.
    pub fn reserve(&mut self) -> Option<ConnId> {
        self.insert(State::Resolving, None)
    }

    /// The same for a connection with TLS to a host of this name.
    pub fn reserve_tls(&mut self, trust: Arc<Trust>, host: &str) -> Option<ConnId> {
        let host = host.to_owned();
        self.insert(State::Resolving, Some(Wish { trust, host }))
    }

    /// Takes an accepted connection in; `None` when the table is full or the socket fails.
    pub fn accept(&mut self, epoll: &Epoll, socket: TcpStream) -> Option<ConnId> {
        prepare(&socket).ok()?;
        self.take_in(epoll, State::Open(Wire::Plain(socket)))
    }

    /// The same where TLS is to be agreed on first, which [`Self::progress`] tells.
    pub fn accept_tls(
        &mut self,
        epoll: &Epoll,
        socket: TcpStream,
        config: Arc<ServerConfig>,
    ) -> Option<ConnId> {
        prepare(&socket).ok()?;
        let tls = TlsStream::accept(socket, config).ok()?;
        self.take_in(epoll, State::Securing(Box::new(tls)))
    }

    fn take_in(&mut self, epoll: &Epoll, state: State) -> Option<ConnId> {
        let conn = self.insert(state, None)?;
        if self.watch(epoll, conn).is_err() {
            self.remove(conn);
            return None;
        }
        Some(conn)
    }

    /// Starts connecting to the first address that takes the attempt.
    pub fn connect(&mut self, epoll: &Epoll, conn: ConnId, addresses: Addresses) -> Progress {
        self.try_next(epoll, conn, addresses, None)
    }

    /// Looks at a connecting socket that became writable or failed.
    pub fn progress(&mut self, epoll: &Epoll, conn: ConnId) -> Progress {
        let Some(stream) = self.get_mut(conn) else {
            return Progress::Pending;
        };
        if let State::Securing(_) = stream.state {
            return stream.secure();
        }
        let State::Connecting { socket, rest } = &mut stream.state else {
            return Progress::Pending;
        };
        let error = match socket.take_error() {
            Ok(None) if socket.peer_addr().is_ok() => return stream.connected(),
            Ok(None) => return Progress::Pending,
            Ok(Some(error)) | Err(error) => error,
        };
        let rest = rest.clone();
        self.try_next(epoll, conn, rest, Some(error))
    }

    /// Whether a connection is still being made.
    pub fn is_connecting(&self, conn: ConnId) -> bool {
        self.get(conn)
            .is_some_and(|s| matches!(s.state, State::Connecting { .. } | State::Securing(_)))
    }

    /// Whether the identifier still names a connection.
    pub fn contains(&self, conn: ConnId) -> bool {
        self.get(conn).is_some()
    }

    /// The socket of an open connection.
    pub fn read(&mut self, conn: ConnId, into: &mut [u8]) -> io::Result<usize> {
        match self.get_mut(conn).map(|stream| &mut stream.state) {
            Some(State::Open(wire)) => wire.read(into),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Gives bytes to the socket, unless earlier ones still wait; how many it took.
    pub fn write(&mut self, conn: ConnId, bytes: &[u8]) -> io::Result<usize> {
        let Some(stream) = self.get_mut(conn) else {
            return Ok(0);
        };
        if !stream.pending.is_empty() {
            return Ok(0);
        }
        stream.write(bytes)
    }

    /// Gives bytes that must all go out; an error means that the connection cannot hold them.
    pub fn send(&mut self, conn: ConnId, bytes: &[u8]) -> io::Result<()> {
        let Some(stream) = self.get_mut(conn) else {
            return Ok(());
        };
        let taken = if stream.pending.is_empty() {
            stream.write(bytes)?
        } else {
            0
        };
        let rest = bytes.get(taken..).unwrap_or_default();
        if stream.pending.len() + rest.len() > STREAM_PENDING_BYTES {
            return Err(io::Error::other("the peer does not read"));
        }
        // Not more than asked for: the memory budget counts it.
        stream.pending.reserve_exact(rest.len());
        stream.pending.extend_from_slice(rest);
        Ok(())
    }

    /// Writes what waits; true when nothing waits any more.
    pub fn flush(&mut self, conn: ConnId) -> io::Result<bool> {
        let Some(stream) = self.get_mut(conn) else {
            return Ok(false);
        };
        if let State::Open(Wire::Tls(tls)) = &mut stream.state
            && !tls.flush()?
        {
            return Ok(false);
        }
        while !stream.pending.is_empty() {
            let pending = std::mem::take(&mut stream.pending);
            let taken = stream.write(&pending)?;
            stream.pending = pending;
            stream.pending.drain(..taken);
            if taken == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends a connection so that what was written still arrives: a socket that is closed with
    /// unread input resets the connection, and the peer may lose our last words.
    pub fn finish(&mut self, conn: ConnId) {
        // What fits the kernel's buffer goes out; nothing more can be done about the rest.
        let _ = self.flush(conn);
        if let Some(State::Open(wire)) = self.get_mut(conn).map(|stream| &mut stream.state) {
            if let Wire::Tls(tls) = wire {
                // The last record waits here and not in the kernel, which is to take it now.
                let _ = SockRef::from(tls.socket()).set_tcp_notsent_lowat(u32::MAX);
                tls.close();
            }
            let mut socket = wire.socket();
            let _ = socket.shutdown(Shutdown::Write);
            let mut unread = [0; 4_096];
            for _ in 0..FINISH_READS {
                if !matches!(socket.read(&mut unread), Ok(1..)) {
                    break;
                }
            }
        }
        self.remove(conn);
    }

    /// Closes and forgets a connection.
    pub fn remove(&mut self, conn: ConnId) {
        let (at, generation) = split(conn);
        let Some(slot) = self.slots.get_mut(usize::from(at)) else {
            return;
        };
        if slot.generation == generation && slot.stream.take().is_some() {
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(at);
        }
    }

    /// Connections in the table.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn try_next(
        &mut self,
        epoll: &Epoll,
        conn: ConnId,
        mut addresses: Addresses,
        mut error: Option<io::Error>,
    ) -> Progress {
        while !addresses.is_empty() {
            let address = addresses.remove(0);
            match dial(address) {
                Ok(socket) => {
                    let Some(stream) = self.get_mut(conn) else {
                        return Progress::Pending;
                    };
                    stream.state = State::Connecting {
                        socket,
                        rest: addresses,
                    };
                    return match self.watch(epoll, conn) {
                        Ok(()) => Progress::Pending,
                        Err(error) => Progress::Failed(error.to_string()),
                    };
                }
                Err(failure) => error = Some(failure),
            }
        }
        Progress::Failed(error.map_or_else(|| "no address".to_owned(), |error| error.to_string()))
    }

    fn watch(&self, epoll: &Epoll, conn: ConnId) -> io::Result<()> {
        let Some(socket) = self.get(conn).and_then(Stream::descriptor) else {
            return Ok(());
        };
        epoll.add(socket, Token::Stream(conn).pack(), Interest::StreamEdges)
    }

    fn insert(&mut self, state: State, wish: Option<Wish>) -> Option<ConnId> {
        let at = self.free.pop()?;
        let slot = self.slots.get_mut(usize::from(at))?;
        slot.stream = Some(Box::new(Stream {
            state,
            wish,
            pending: Vec::new(),
        }));
        Some(ConnId(u32::from(slot.generation) << 16 | u32::from(at)))
    }

    fn get(&self, conn: ConnId) -> Option<&Stream> {
        let (at, generation) = split(conn);
        let slot = self.slots.get(usize::from(at))?;
        slot.stream
            .as_deref()
            .filter(|_| slot.generation == generation)
    }

    fn get_mut(&mut self, conn: ConnId) -> Option<&mut Stream> {
        let (at, generation) = split(conn);
        let slot = self.slots.get_mut(usize::from(at))?;
        slot.stream
            .as_deref_mut()
            .filter(|_| slot.generation == generation)
    }
}

impl Wire {
    const fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.socket(),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(tls) => tls.read(into),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }
}

impl Stream {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Resolving => None,
            State::Connecting { socket, .. } => Some(socket.as_fd()),
            State::Securing(tls) => Some(tls.socket().as_fd()),
            State::Open(wire) => Some(wire.socket().as_fd()),
        }
    }

    /// The socket is connected: opens the connection, or begins with TLS where that is wished.
    fn connected(&mut self) -> Progress {
        let State::Connecting { socket, .. } = std::mem::replace(&mut self.state, State::Resolving)
        else {
            return Progress::Pending;
        };
        let Some(Wish { trust, host }) = &self.wish else {
            self.state = State::Open(Wire::Plain(socket));
            return Progress::Connected;
        };
        match TlsStream::connect(socket, trust, host) {
            Ok(tls) => {
                self.state = State::Securing(Box::new(tls));
                self.secure()
            }
            Err(error) => Progress::Failed(error.to_string()),
        }
    }

    /// Goes on with the handshake of TLS.
    fn secure(&mut self) -> Progress {
        let State::Securing(tls) = &mut self.state else {
            return Progress::Pending;
        };
        match tls.handshake() {
            Ok(false) => Progress::Pending,
            Ok(true) => {
                if let State::Securing(tls) = std::mem::replace(&mut self.state, State::Resolving) {
                    self.state = State::Open(Wire::Tls(tls));
                }
                Progress::Connected
            }
            Err(error) => Progress::Failed(error.to_string()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let State::Open(wire) = &mut self.state else {
            return Ok(0);
        };
        match wire.write(bytes) {
            Ok(taken) => Ok(taken),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }
}

fn split(conn: ConnId) -> (u16, u16) {
    (conn.0 as u16, (conn.0 >> 16) as u16)
}

fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    let socket = TcpStream::from(socket);
    prepare(&socket)?;
    Ok(socket)
}

/// What every connection gets: no delay for small writes, probes that find a dead peer, and a short
/// queue in the kernel. What a slow RTMP server has not taken is to wait in the frame log, where it
/// can be dropped; the kernel would keep megabytes.
fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)?;
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(20))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    let socket = SockRef::from(socket);
    // A kernel without it keeps more: no reason to go without the connection.
    let _ = socket.set_tcp_notsent_lowat(STREAM_UNSENT_BYTES);
    socket.set_tcp_keepalive(&probes)
}

#[cfg(test)]
mod tests;
