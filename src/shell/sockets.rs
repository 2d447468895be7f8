//! All sockets of the daemon behind one epoll descriptor, as the gateway's [`Outlet`].

use core::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use heapless::Deque;

use super::board::Board;
use super::desk::Desk;
use super::dns::SipHost;
use super::files::Files;
use super::half_open::HalfOpens;
use super::journal::JournalFile;
use super::listen;
use super::log_out;
use super::media::MediaSockets;
use super::panel::door::DoorCounters;
use super::process;
use super::recorder::Recorder;
use super::resolver::Resolver;
use super::sip_tls::SipTls;
use super::streams::{Progress, Streams};
use super::sys::{Epoll, Interest};
use super::tls::{Servers, Trust};
use super::token::Token;
use super::waker::{Alarm, Waker};
use crate::base::codec::Track;
use crate::base::ids::ConnId;
use crate::base::network::Transport;
use crate::base::redact::{HIDDEN, Secret};
use crate::gateway::config::Trunk;
use crate::gateway::desk::{DeskId, DeskWork};
use crate::gateway::outlet::{
    BoardFigures, CallIndex, FileId, Level, LookUp, LookUpId, MediaPort, Origin, Outlet,
    OutletFigures, RecordEnd, RecordId, Security,
};
use crate::limits::{SIP_SOCKET_BYTES, STREAMS};

/// What a listener's connections are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// SIP of the trunk at this place.
    Sip(usize),
    /// SIP over TLS of the trunk at this place.
    SipTls(usize),
    /// Players of streams.
    Rtmp,
    /// Clients of the REST interface.
    Http,
    /// The same over TLS.
    HttpTls,
    /// Browsers that show the page.
    Page,
    /// The same over TLS.
    PageTls,
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
    /// Accepted connections that did not agree on TLS.
    pub handshakes_failed: u64,
    /// Accepted connections that did not agree on TLS in time, or gave way to others.
    pub handshakes_given_up: u64,
    /// Media datagrams that were longer than a packet may be.
    pub datagrams_oversized: u64,
    /// Media datagrams that found no free packet slot.
    pub datagrams_without_slot: u64,
    /// Programs that show how we are.
    pub panel: DoorCounters,
}

/// A connection's end that the gateway has still to be told of.
pub type Failure = (ConnId, String);

/// Sockets and what is pending on them.
pub struct Sockets {
    /// The descriptor over all of them.
    pub epoll: Epoll,
    /// Trunk sockets.
    pub sip: Vec<Option<SipSocket>>,
    /// Listeners.
    pub listeners: Vec<Option<Listener>>,
    /// Connections.
    pub streams: Streams,
    /// Media sockets.
    pub media: MediaSockets,
    /// Wakes from other threads.
    pub alarm: Alarm,
    /// Names being resolved.
    pub resolver: Resolver,
    /// Whom RTMP servers are trusted by.
    trust: Arc<Trust>,
    /// The same of the backend of hooks.
    backend_trust: Arc<Trust>,
    /// TLS at our own ports.
    pub sip_tls: SipTls,
    /// Accepted connections that have not agreed on TLS yet.
    pub half_open: HalfOpens,
    /// Media files, where there is a folder of them.
    pub files: Option<Files>,
    /// What outlives a restart, where there is a place for it.
    pub journal: Option<JournalFile>,
    /// The thread that looks at the board, where there is a page to tell of it.
    pub board: Option<Board>,
    /// The threads that work for the page, where there are clerks for it.
    pub desk: Option<Desk>,
    /// The thread that writes recordings, where there is a folder for them.
    pub recorder: Option<Recorder>,
    /// Whether all of it is a trial, which lines of the log say; with what they must not show.
    pub trial: Option<Secret<String>>,
    /// Losses.
    pub counters: SocketCounters,
    /// A descriptor to be given up where there is no other.
    spare: Option<OwnedFd>,
    failures: Box<Deque<Failure, STREAMS>>,
    routes: Option<(IpAddr, IpAddr)>,
}

impl Sockets {
    /// No sockets yet; media room for `calls`, certificates of RTMP servers and of the backend
    /// checked against the authorities of these files or the system's roots. With it the handle that
    /// wakes its wait.
    pub fn new(
        calls: usize,
        ca_file: Option<PathBuf>,
        backend_ca_file: Option<PathBuf>,
    ) -> io::Result<(Self, Waker)> {
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
            trust: Arc::new(Trust::new(Servers::Rtmp, ca_file, None)),
            backend_trust: Arc::new(Trust::new(Servers::Backend, backend_ca_file, None)),
            sip_tls: SipTls::default(),
            half_open: HalfOpens::default(),
            files: None,
            journal: None,
            board: None,
            desk: None,
            recorder: None,
            trial: None,
            counters: SocketCounters::default(),
            spare: spare(),
            failures: Box::default(),
            routes: None,
        };
        Ok((sockets, waker))
    }

    /// Lets the threads that write files finish, both at once; waits for neither longer than `until`.
    pub fn finish_files(&mut self, until: std::time::Instant) {
        self.recorder.iter_mut().for_each(Recorder::finish);
        self.journal.iter_mut().for_each(JournalFile::finish);
        self.recorder.iter_mut().for_each(|it| it.wait(until));
        self.journal.iter_mut().for_each(|it| it.wait(until));
    }

    /// Binds a trunk's port in both address families: datagrams and connections, or connections with
    /// TLS alone.
    pub fn listen_sip(&mut self, trunk: usize, port: u16, transport: Transport) -> io::Result<()> {
        for (at, address) in listen::addresses(None, port).enumerate() {
            let bound = match transport {
                Transport::Tls => self.listen(address, Service::SipTls(trunk)),
                Transport::Udp | Transport::Tcp => self.listen_plain(trunk, address),
            };
            match bound {
                Err(error) if at > 0 && listen::family_missing(&error) => {}
                bound => bound?,
            }
        }
        Ok(())
    }

    fn listen_plain(&mut self, trunk: usize, address: SocketAddr) -> io::Result<()> {
        let socket = listen::udp(address, Some(SIP_SOCKET_BYTES))?;
        let at = vacant(&mut self.sip);
        let token = Token::SipUdp(at as u32).pack();
        self.epoll.add(socket.as_fd(), token, Interest::Readable)?;
        if let Some(place) = self.sip.get_mut(at) {
            *place = Some(SipSocket { trunk, socket });
        }
        self.listen(address, Service::Sip(trunk))
    }

    /// Binds the RTMP listener.
    pub fn listen_rtmp(&mut self, address: SocketAddr) -> io::Result<()> {
        self.listen(address, Service::Rtmp)
    }

    /// Binds the REST listener.
    pub fn listen_rest(&mut self, address: SocketAddr) -> io::Result<()> {
        self.listen(address, Service::Http)
    }

    /// Binds the REST listener with TLS.
    pub fn listen_rest_tls(&mut self, address: SocketAddr) -> io::Result<()> {
        self.listen(address, Service::HttpTls)
    }

    /// Binds the listener of the page.
    pub fn listen_page(&mut self, address: SocketAddr) -> io::Result<()> {
        self.listen(address, Service::Page)
    }

    /// Binds the listener of the page with TLS.
    pub fn listen_page_tls(&mut self, address: SocketAddr) -> io::Result<()> {
        self.listen(address, Service::PageTls)
    }

    /// Closes the next connection of a listener for want of descriptors: it would stay readable, and
    /// who waits there would learn nothing. One descriptor is kept for this.
    pub fn turn_away(&mut self, listener: usize) {
        self.counters.streams_full += 1;
        self.spare = None;
        if let Some(Some(listener)) = self.listeners.get(listener) {
            // Whatever becomes of it, it is gone.
            drop(listener.socket.accept());
        }
        self.spare = spare();
        if self.spare.is_none() {
            // Somebody else took it: do not spin on the listener.
            std::thread::sleep(Duration::from_millis(1));
        }
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

    /// Begins a reserved connection. The authorities of one with TLS may have to be read first, which
    /// is work for another thread.
    fn begin(&mut self, conn: ConnId, host: &str, port: u16, trust: Option<Arc<Trust>>) {
        match Resolver::literal(host, port).filter(|_| trust.is_none()) {
            Some(addresses) => self.resolved(conn, Ok(addresses)),
            None => {
                if !self.resolver.start(conn, host, port, trust) {
                    self.fail(conn, "too many names are being resolved".to_owned());
                }
            }
        }
    }

    /// Closes the listeners of a service.
    pub(super) fn stop_listening(&mut self, service: Service) {
        for place in &mut self.listeners {
            place.take_if(|listener| listener.service == service);
        }
    }

    /// Binds a listener of a service.
    pub(super) fn listen(&mut self, address: SocketAddr, service: Service) -> io::Result<()> {
        let socket = listen::tcp(address)?;
        let at = vacant(&mut self.listeners);
        let token = Token::Listener(at as u32).pack();
        self.epoll.add(socket.as_fd(), token, Interest::Readable)?;
        if let Some(place) = self.listeners.get_mut(at) {
            *place = Some(Listener { service, socket });
        }
        Ok(())
    }
}

impl Outlet for Sockets {
    fn listen_sip(&mut self, at: usize, trunk: &Trunk) -> Result<(), String> {
        self.sip_tls.set(at, trunk)?;
        let bound = Self::listen_sip(self, at, trunk.local_port, trunk.transport);
        bound.map_err(|error| {
            // One family may have been bound.
            self.close_sip(at);
            error.to_string()
        })
    }

    fn close_sip(&mut self, at: usize) {
        for place in &mut self.sip {
            place.take_if(|sip| sip.trunk == at);
        }
        for place in &mut self.listeners {
            let of_it = [Service::Sip(at), Service::SipTls(at)];
            place.take_if(|listener| of_it.contains(&listener.service));
        }
        while let Some(conn) = self.half_open.take_of(at) {
            self.streams.remove(conn);
        }
        self.sip_tls.forget(at);
    }

    fn send_sip(&mut self, trunk: usize, to: SocketAddr, bytes: &[u8]) {
        let socket = self.sip.iter().flatten().find(|sip| {
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
        let trust = match security {
            Security::Plain => None,
            Security::Tls => Some(Arc::clone(&self.trust)),
            Security::BackendTls => Some(Arc::clone(&self.backend_trust)),
        };
        let reserved = match &trust {
            None => self.streams.reserve(),
            Some(trust) => self.streams.reserve_tls(Arc::clone(trust), host),
        };
        let Some(conn) = reserved else {
            self.counters.streams_full += 1;
            return None;
        };
        self.begin(conn, host, port, trust);
        Some(conn)
    }

    fn connect_sip(
        &mut self,
        trunk: usize,
        remote: SocketAddr,
        domain: Option<&str>,
    ) -> Option<ConnId> {
        let trust = match domain {
            Some(_) => Some(self.sip_tls.trust(trunk)?),
            None => None,
        };
        let reserved = match (domain, &trust) {
            (Some(domain), Some(trust)) => self.streams.reserve_tls(Arc::clone(trust), domain),
            _ => self.streams.reserve(),
        };
        let Some(conn) = reserved else {
            self.counters.streams_full += 1;
            return None;
        };
        self.begin(conn, &remote.ip().to_string(), remote.port(), trust);
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

    fn look_up(&mut self, id: LookUpId, what: LookUp<'_>) -> bool {
        let host = SipHost {
            name: what.host.to_owned(),
            port: what.port,
            transport: what.transport,
        };
        self.resolver.look_up(id, host)
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

    fn open_file(&mut self, id: FileId, name: &str) -> bool {
        let files = self.files.as_ref();
        files.is_some_and(|files| files.open(id, name))
    }

    fn read_file(&mut self, id: FileId) {
        if let Some(files) = &self.files {
            files.read(id);
        }
    }

    fn close_file(&mut self, id: FileId) {
        if let Some(files) = &self.files {
            files.close(id);
        }
    }

    fn record_open(&mut self, id: RecordId, name: &str) -> bool {
        let recorder = self.recorder.as_ref();
        recorder.is_some_and(|recorder| recorder.open(id, name))
    }

    fn record_append(&mut self, id: RecordId, piece: Vec<u8>) -> bool {
        let recorder = self.recorder.as_ref();
        recorder.is_some_and(|recorder| recorder.append(id, piece))
    }

    fn record_close(&mut self, id: RecordId, end: RecordEnd) -> bool {
        let recorder = self.recorder.as_ref();
        recorder.is_some_and(|recorder| recorder.close(id, end))
    }

    fn desk(&mut self, id: DeskId, work: DeskWork) -> bool {
        let desk = self.desk.as_ref();
        desk.is_some_and(|desk| desk.give(id, work))
    }

    fn figures(&mut self) -> OutletFigures {
        let SocketCounters {
            send_failed,
            streams_full,
            handshakes_failed,
            handshakes_given_up,
            datagrams_oversized,
            datagrams_without_slot,
            panel,
        } = self.counters;
        OutletFigures {
            send_failed,
            streams_full,
            handshakes_failed,
            handshakes_given_up,
            datagrams_oversized,
            datagrams_without_slot,
            panel_refused: panel.refused,
            panel_dropped: panel.dropped,
            journal_lost: self.journal.as_ref().map_or(0, JournalFile::lost),
            process: process::figures(),
        }
    }

    fn last_lines(&mut self) -> String {
        log_out::last_lines()
    }

    fn board(&mut self) -> BoardFigures {
        self.board.as_mut().map(Board::figures).unwrap_or_default()
    }

    fn note_from(&mut self, origin: Origin, level: Level, line: fmt::Arguments<'_>) {
        let level = match level {
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        let write = |line: fmt::Arguments<'_>| {
            let record = log::Record::builder()
                .level(level)
                .target(module_path!())
                .file_static(Some(origin.file()))
                .line(Some(origin.line()))
                .args(line)
                .build();
            log::logger().log(&record);
        };
        match &self.trial {
            None => write(line),
            Some(key) if key.expose().is_empty() => write(format_args!("test: {line}")),
            Some(key) => {
                let line = line.to_string().replace(key.expose(), HIDDEN);
                write(format_args!("test: {line}"));
            }
        }
    }
}

/// A descriptor of no use.
fn spare() -> Option<OwnedFd> {
    Some(std::fs::File::open("/dev/null").ok()?.into())
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

/// The first free place of a list, which it is made longer for.
fn vacant<T>(places: &mut Vec<Option<T>>) -> usize {
    let at = places.iter().position(Option::is_none);
    at.unwrap_or_else(|| {
        places.push(None);
        places.len() - 1
    })
}
