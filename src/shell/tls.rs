//! TLS (RFC 8446, RFC 5246): who is trusted and who we are, and one connection's bytes.
//!
//! Servers' certificates are checked against the system's roots or the authorities of one file, and
//! against the name or address that was asked for, which for SIP is the domain (RFC 5922). Names in
//! subjectAltName count, and the address where it was an address; a `sip:` URI there does not.
//! Revocation lists are not looked at. Clients at our ports are not asked for certificates; where a
//! PBX asks for ours, it gets that of its trunk.
//!
//! Each write costs rustls an allocation of its length and each record that is read a few, so the
//! rule that a media packet costs none ends here. What was encrypted and not taken by the socket is
//! one record at most, beyond what the backlog of the stream knows of. Handshakes are computed where all
//! else is: a millisecond or so each. Under TLS 1.2 with AES-GCM rustls ends a connection after 2^24
//! records, some two days of a call, and the stream is published again; TLS 1.3 changes its keys.

mod identity;
mod trust;
mod words;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConfig, ServerConnection};

pub use identity::Identity;
pub use trust::{Servers, Trust};
pub use words::{TlsError, TlsFault};

use super::clock::Clock;
use crate::limits::TLS_BUFFER_BYTES;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Who is at the other end.
enum Peer {
    /// A server, by the name that was asked for.
    Server { host: String, servers: Servers },
    /// A client of ours.
    Client,
}

/// A socket with TLS over it.
pub struct TlsStream {
    socket: TcpStream,
    session: Connection,
    peer: Peer,
}

impl Peer {
    /// What failed; towards a server it holds a [`TlsError`].
    fn error(&self, error: &rustls::Error) -> io::Error {
        match self {
            Self::Server { host, servers } => {
                let clock = Clock::wall();
                io::Error::other(TlsError::of_server(error, host, servers, clock))
            }
            Self::Client => io::Error::other(words::of_client(error)),
        }
    }

    /// That it went before TLS was agreed on.
    fn left(&self) -> String {
        let name = match self {
            Self::Server { host, .. } => format!("{host} "),
            Self::Client => String::new(),
        };
        format!("{name}closed the connection during the TLS handshake")
    }
}

impl TlsStream {
    /// TLS over a socket that is connected to a server; [`Self::handshake`] goes on from here.
    pub fn connect(socket: TcpStream, trust: &Trust, host: &str) -> io::Result<Self> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| io::Error::other(format!("TLS: {host} cannot be in a certificate")))?;
        let config = trust.config().map_err(io::Error::other)?;
        let peer = Peer::Server {
            host: host.to_owned(),
            servers: trust.servers().clone(),
        };
        let session = ClientConnection::new(config, name).map_err(|error| peer.error(&error))?;
        Ok(Self::new(socket, session.into(), peer))
    }

    /// TLS over a socket that a client connected to us.
    pub fn accept(socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let session = ServerConnection::new(config).map_err(|error| Peer::Client.error(&error))?;
        Ok(Self::new(socket, session.into(), Peer::Client))
    }

    fn new(socket: TcpStream, mut session: Connection, peer: Peer) -> Self {
        session.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        Self {
            socket,
            session,
            peer,
        }
    }

    /// The socket below.
    pub const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Goes on with the handshake as far as the socket allows; true when it is done.
    pub fn handshake(&mut self) -> io::Result<bool> {
        loop {
            self.flush()?;
            if !self.session.is_handshaking() {
                return Ok(true);
            }
            match self.fill() {
                Ok(0) => return Err(io::Error::other(self.peer.left())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what was sent to us; 0 at the end.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Many servers close without saying goodbye in TLS; RTMP knows its own end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            if self.fill()? == 0 {
                // The reader now tells what that end was.
                return self.session.reader().read(into).or(Ok(0));
            }
            // Answers of TLS itself, such as to a change of keys.
            self.flush()?;
        }
    }

    /// Takes bytes as long as the socket takes them; how many. Fewer than given means that the
    /// socket is full and will tell when it no longer is.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while self.flush()? && taken < bytes.len() {
            let rest = bytes.get(taken..).unwrap_or_default();
            match self.session.writer().write(rest)? {
                // Something of TLS itself, such as a change of keys, goes first.
                0 if self.session.wants_write() => {}
                // The socket has room and would never tell of more.
                0 => return Err(io::Error::other("TLS takes nothing any more")),
                count => taken = count.saturating_add(taken),
            }
        }
        Ok(taken)
    }

    /// Writes what TLS has ready; false when the socket is full.
    pub fn flush(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Says goodbye in TLS, as far as the socket takes it.
    pub fn close(&mut self) {
        self.session.send_close_notify();
        // The connection ends in any case.
        let _ = self.flush();
    }

    /// Takes bytes from the socket; 0 at its end.
    fn fill(&mut self) -> io::Result<usize> {
        let count = loop {
            match self.session.read_tls(&mut self.socket) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                count => break count?,
            }
        };
        if let Err(error) = self.session.process_new_packets() {
            // The alert tells the server why.
            let _ = self.flush();
            return Err(self.peer.error(&error));
        }
        Ok(count)
    }
}
