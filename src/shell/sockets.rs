//! All sockets of the daemon behind one epoll descriptor, as the gateway's [`Outlet`].

use core::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use heapless::Deque;

use super::journal::JournalFile;
use super::listen;
use super::media::MediaSockets;
use super::resolver::{Purpose, Resolver};
use super::streams::{Progress, Streams};
use super::sys::{Epoll, Interest};
use super::tls::Trust;
use super::token::Token;
use super::waker::{Alarm, Waker};
use crate::base::codec::Track;
use crate::base::ids::ConnId;
use crate::gateway::outlet::{
    CallIndex, Level, LookUp, LookUpId, MediaPort, Origin, Outlet, Security,
};
use crate::limits::STREAMS;

/// What a listener's connections are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// SIP of the trunk at this place.
    Sip(usize),
    /// Players of streams.
    Rtmp,
    /// Clients of the REST interface.
    Http,
}

/// A trunk's datagram socket.
pub struct SipSocket {
    /// The trunk's place.
    pub trunk: usize,
    /// The socket itself.
    pub socket: UdpSocket,
}

/// A listening socket.
pub struct Listener {
    /// What its connections are.
    pub service: Service,
    /// The socket itself.
    pub socket: TcpListener,
}

/// Traffic that the sockets themselves lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketCounters {
    /// Datagrams that could not be sent.
    pub send_failed: u64,
    /// Connections refused because the table was full.
    pub streams_full: u64,
}

/// A connection's end that the gateway has still to be told of.
pub type Failure = (ConnId, String);

/// Sockets and what is pending on them.
pub struct Sockets {
    /// The descriptor over all of them.
    pub epoll: Epoll,
    /// Trunk sockets.
    pub sip: Vec<SipSocket>,
    /// Listeners.
    pub listeners: Vec<Listener>,
    /// Connections.
    pub streams: Streams,
    /// Media sockets.
    pub media: MediaSockets,
    /// Wakes from other threads.
    pub alarm: Alarm,
    /// Names being resolved.
    pub resolver: Resolver,
    trust: Arc<Trust>,
    /// What outlives a restart, where there is a place for it.
    pub journal: Option<JournalFile>,
    /// Losses.
    pub counters: SocketCounters,
    failures: Box<Deque<Failure, STREAMS>>,
    routes: Option<(IpAddr, IpAddr)>,
}

impl Sockets {
    /// No sockets yet; media room for `calls`, servers' certificates checked against `ca_file` or
    /// the system's roots. With it the handle that wakes its wait.
    pub fn new(calls: usize, ca_file: Option<PathBuf>) -> io::Result<(Self, Waker)> {
        let epoll = Epoll::new()?;
        let (alarm, waker) = Alarm::new()?;
        epoll.add(alarm.as_fd(), Token::Alarm.pack(), Interest::Readable)?;
        let sockets = Self {
            epoll,
            alarm,
            sip: Vec::new(),
            listeners: Vec::new(),
            streams: Streams::default(),
            media: MediaSockets::new(calls),
            resolver: Resolver::new(waker.clone()),
            trust: Arc::new(Trust::new(ca_file)),
            journal: None,
            counters: SocketCounters::default(),
            failures: Box::default(),
            routes: None,
        };
        Ok((sockets, waker))
    }

    /// Binds a trunk's port, datagrams and connections, in both address families.
    pub fn listen_sip(&mut self, trunk: usize, port: u16) -> io::Result<()> {
        for (at, address) in listen::addresses(None, port).enumerate() {
            let socket = match listen::udp(address, None) {
                Ok(socket) => socket,
                Err(error) if at > 0 && listen::family_missing(&error) => continue,
                Err(error) => return Err(error),
            };
            let token = Token::SipUdp(self.sip.len() as u32).pack();
            self.epoll.add(socket.as_fd(), token, Interest::Readable)?;
            self.sip.push(SipSocket { trunk, socket });
            self.listen(address, Service::Sip(trunk))?;
        }
        Ok(())
    }

    /// Binds the RTMP listener.
    pub fn listen_rtmp(&mut self, address: SocketAddr) -> io::Result<()> {
        self.listen(address, Service::Rtmp)
    }

    /// Binds the REST listener.
    pub fn listen_rest(&mut self, address: SocketAddr) -> io::Result<()> {
        self.listen(address, Service::Http)
    }

    /// A connection that ended and is already closed here.
    pub fn failure(&mut self) -> Option<Failure> {
        self.failures.pop_front()
    }

    /// Whether an end of a connection waits to be told.
    pub fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Closes a connection and notes that the gateway is to be told.
    pub fn fail(&mut self, conn: ConnId, reason: String) {
        if self.streams.contains(conn) {
            self.streams.remove(conn);
            // One place for each connection of the table.
            let _ = self.failures.push_back((conn, reason));
        }
    }

    /// Continues a connection whose host is resolved.
    pub fn resolved(&mut self, conn: ConnId, found: Result<super::resolver::Addresses, String>) {
        match found {
            Ok(addresses) => {
                if let Progress::Failed(reason) = self.streams.connect(&self.epoll, conn, addresses)
                {
                    self.fail(conn, reason);
                }
            }
            Err(reason) => self.fail(conn, reason),
        }
    }

    fn listen(&mut self, address: SocketAddr, service: Service) -> io::Result<()> {
        let socket = listen::tcp(address)?;
        let token = Token::Listener(self.listeners.len() as u32).pack();
        self.epoll.add(socket.as_fd(), token, Interest::Readable)?;
        self.listeners.push(Listener { service, socket });
        Ok(())
    }
}

impl Outlet for Sockets {
    fn send_sip(&mut self, trunk: usize, to: SocketAddr, bytes: &[u8]) {
        let socket = self.sip.iter().find(|sip| {
            sip.trunk == trunk
                && sip
                    .socket
                    .local_addr()
                    .is_ok_and(|local| local.is_ipv4() == to.is_ipv4())
        });
        if socket.is_none_or(|sip| sip.socket.send_to(bytes, to).is_err()) {
            self.counters.send_failed += 1;
        }
    }

    fn connect(&mut self, host: &str, port: u16, security: Security) -> Option<ConnId> {
        let reserved = match security {
            Security::Plain => self.streams.reserve(),
            Security::Tls => self.streams.reserve_tls(Arc::clone(&self.trust), host),
        };
        let Some(conn) = reserved else {
            self.counters.streams_full += 1;
            return None;
        };
        let purpose = Purpose::Connection(conn);
        let started = match (security, Resolver::literal(host, port)) {
            (Security::Plain, Some(addresses)) => {
                self.resolved(conn, Ok(addresses));
                true
            }
            (Security::Plain, None) => self.resolver.start(purpose, host, port),
            (Security::Tls, _) => {
                let trust = Arc::clone(&self.trust);
                self.resolver.start_tls(purpose, host, port, trust)
            }
        };
        if !started {
            self.fail(conn, "too many names are being resolved".to_owned());
        }
        Some(conn)
    }

    fn write(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        match self.streams.write(conn, bytes) {
            Ok(taken) => taken,
            Err(error) => {
                self.fail(conn, error.to_string());
                0
            }
        }
    }

    fn send_stream(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Err(error) = self.streams.send(conn, bytes) {
            self.fail(conn, error.to_string());
        }
    }

    fn close(&mut self, conn: ConnId) {
        self.streams.finish(conn);
    }

    fn open_media(
        &mut self,
        call: CallIndex,
        track: Track,
        local: IpAddr,
        port: u16,
    ) -> io::Result<()> {
        self.media.open(&self.epoll, call, track, local, port)
    }

    fn close_media(&mut self, call: CallIndex, track: Track) {
        self.media.close(call, track);
    }

    fn send_media(
        &mut self,
        call: CallIndex,
        track: Track,
        port: MediaPort,
        to: SocketAddr,
        bytes: &[u8],
    ) {
        let socket = self.media.socket(call, track, port);
        if socket.is_none_or(|socket| socket.send_to(bytes, to).is_err()) {
            self.counters.send_failed += 1;
        }
    }

    fn look_up(&mut self, _id: LookUpId, _what: LookUp<'_>) -> bool {
        false
    }

    fn local_address(&mut self, remote: IpAddr) -> IpAddr {
        match self.routes {
            Some((to, local)) if to == remote => local,
            _ => {
                let local = route(remote).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
                self.routes = Some((remote, local));
                local
            }
        }
    }

    fn keep(&mut self, about: u64, record: &[u8]) {
        if let Some(journal) = &mut self.journal {
            journal.keep(about, record);
        }
    }

    fn note_from(&mut self, origin: Origin, level: Level, line: fmt::Arguments<'_>) {
        let level = match level {
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        let record = log::Record::builder()
            .level(level)
            .target(module_path!())
            .file_static(Some(origin.file()))
            .line(Some(origin.line()))
            .args(line)
            .build();
        log::logger().log(&record);
    }
}

/// Asks the routing table, by a datagram socket that sends nothing.
fn route(remote: IpAddr) -> io::Result<IpAddr> {
    let any = match remote {
        IpAddr::V4(_) => "0.0.0.0:0",
        IpAddr::V6(_) => "[::]:0",
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect((remote, 9))?;
    Ok(socket.local_addr()?.ip())
}
