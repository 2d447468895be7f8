//! The daemon: binds every socket, then runs the one loop.
//!
//! Each turn of the loop waits as [`Pace`] says, reads every ready socket into the gateway, lets
//! the gateway write, and hands back what connections reported meanwhile.

mod by_hand;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use async_io::{Async, Timer};
use smol::channel::{Receiver, Sender, bounded};
use smol::future::FutureExt;

use super::board::Board;
use super::clock::Clock;
use super::desk::Desk;
use super::files::Files;
use super::half_open::HalfOpen;
use super::journal::{FILE_NAME, JournalFile};
use super::manager::Manager;
use super::media::MediaSockets;
use super::pace::{Pace, Wait};
use super::panel::door::Door;
use super::read_queue::ReadQueue;
use super::recorder::Recorder;
use super::resolver::Resolved;
use super::sip_tls::SipTls;
use super::sockets::{Service, Sockets};
use super::streams::Progress;
use super::sys::{self, Interest, ReceiveBatch};
use super::token::Token;
use super::waker::Waker;
use crate::base::codec::Track;
use crate::base::ids::ConnId;
use crate::base::packet_pool::PacketPool;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::gateway::config::Config;
use crate::gateway::desk::{Clerk, DeskAnswer};
use crate::gateway::outlet::{CallIndex, MediaPort};
use crate::gateway::{ConnectionKind, Gateway};
use crate::limits::{
    HTTP_CONNECTIONS, MEDIA_PORTS_PER_CALL, PLAYERS, RECEIVE_BATCH, SIP_DATAGRAMS_A_WAKE,
    SIP_MESSAGE_BYTES, SIP_SPARE_CONNECTIONS, STREAM_READ_BYTES, STREAM_READS_A_WAKE,
};
use crate::sdp::PlanError;

/// How long calls and streams have to end cleanly after a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// How much longer than that what is to be written has, all of it together.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// Datagrams read at once while packets are handled as they come: more seldom wait.
const QUIET_BATCH: usize = 4;

/// How often other tasks get a turn while media flows.
const BREATH_INTERVAL: Duration = Duration::from_millis(50);

/// Open files beside those of calls, trunks and players.
const SPARE_DESCRIPTORS: usize = 32;

/// When the name of a PBX that could not be resolved is tried again.
const LOOK_UP_RETRY: Duration = Duration::from_secs(10);

/// How often the names of PBXs are resolved again.
const LOOK_UP_INTERVAL: Duration = Duration::from_secs(60);

/// How often the wall clock is read: it may be set while we run.
const WALL_CLOCK_INTERVAL: Duration = Duration::from_secs(10);

/// Within this time after the start the wall clock is often set.
const CLOCK_SETTLES: Instant = Instant::from_millis(15 * 60 * 1_000);

/// Why the daemon does not start.
#[derive(Debug)]
pub enum StartError {
    /// A port could not be bound: what it is for, its address, and the reason.
    Bind(String, String, io::Error),
    /// A trunk's SDP settings cannot be used.
    Sdp(PlanError),
    /// A trunk's certificate or key cannot be used, in words.
    Tls(String),
    /// The system refused something else.
    System(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bind(what, address, error) => {
                write!(f, "cannot listen on {address} for {what}: {error}")
            }
            Self::Sdp(error) => write!(f, "cannot start: {error}"),
            Self::Tls(words) => write!(f, "cannot start: {words}"),
            Self::System(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<PlanError> for StartError {
    fn from(error: PlanError) -> Self {
        Self::Sdp(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// What the daemon is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// End all calls and return.
    Stop,
    /// Read the configuration again.
    Reload,
}

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// The program is to begin anew.
    Restart,
}

/// How many orders may wait.
const ORDERS: usize = 8;

/// Gives orders to a running daemon, from any thread.
#[derive(Clone, Debug)]
pub struct Remote {
    orders: Sender<Order>,
    waker: Waker,
}

impl Remote {
    /// Gives an order; one too many is dropped.
    pub fn order(&self, order: Order) {
        let _ = self.orders.try_send(order);
        self.waker.wake();
    }
}

/// The gateway with its sockets.
pub struct Daemon {
    gateway: Gateway,
    sockets: Sockets,
    clock: Clock,
    pool: PacketPool,
    batch: ReceiveBatch,
    scratch: Box<[u8]>,
    reads: ReadQueue,
    pace: Pace,
    next_look_up: Instant,
    next_breath: Instant,
    next_wall_clock: Instant,
    orders: Receiver<Order>,
    remote: Remote,
    manager: Option<Manager>,
    panel: Option<Door>,
}

impl Daemon {
    /// Binds every listener of a configuration. Nothing runs yet.
    pub fn bind(config: Config) -> Result<Box<Self>, StartError> {
        let clock = Clock::start();
        let mut seed = [0; 32];
        sys::random(&mut seed)?;
        let descriptors = sys::raise_descriptor_limit()?;
        let wanted = descriptors_wanted(&config);
        if descriptors < wanted {
            log::warn!(
                "the system allows {descriptors} open files and {} calls may need {wanted}: raise \
                 LimitNOFILE or ulimit -n",
                config.limits.calls
            );
        }
        let ca_file = config.rtmp_ca_file.as_ref().map(Into::into);
        let backend_ca_file = config
            .hooks
            .as_ref()
            .and_then(|hooks| hooks.ca_file.as_ref());
        let backend_ca_file = backend_ca_file.map(Into::into);
        let (mut sockets, waker) = Sockets::new(config.limits.calls, ca_file, backend_ca_file)?;
        sockets.sip_tls = SipTls::load(&config).map_err(StartError::Tls)?;
        let (order, orders) = bounded(ORDERS);
        for (at, trunk) in config.trunks.iter().enumerate() {
            let (port, transport) = (trunk.local_port, trunk.transport);
            let bound = sockets.listen_sip(at, port, transport);
            bound.map_err(|error| {
                let what = format!("trunk {}", trunk.name);
                StartError::Bind(what, format!("port {port}"), error)
            })?;
        }
        let address = config.rtmp_listen;
        sockets.listen_rtmp(address).map_err(|error| {
            StartError::Bind("RTMP players".to_owned(), address.to_string(), error)
        })?;
        let address = config.rest.listen;
        sockets.listen_rest(address).map_err(|error| {
            StartError::Bind("REST clients".to_owned(), address.to_string(), error)
        })?;
        if let Some(recording) = &config.recording {
            sockets.recorder = Some(Recorder::start(recording, waker.clone())?);
        }
        if let Some(tls) = &config.rest.tls {
            let address = tls.listen;
            sockets.listen_rest_tls(address).map_err(|error| {
                let what = "REST clients with TLS".to_owned();
                StartError::Bind(what, address.to_string(), error)
            })?;
        }
        if let (Some(address), _) = config.page.listens() {
            sockets.listen_page(address).map_err(|error| {
                StartError::Bind("the page".to_owned(), address.to_string(), error)
            })?;
        }
        if config.page.listens() != (None, None) {
            sockets.board = Some(Board::start(&config)?);
        }
        if let (_, Some(address)) = config.page.listens() {
            sockets.listen_page_tls(address).map_err(|error| {
                let what = "the page with TLS".to_owned();
                StartError::Bind(what, address.to_string(), error)
            })?;
        }
        let pool = PacketPool::new(config.limits.pool_packets());
        let rng = Rng::from_seed(seed);
        if let Some(directory) = &config.files_directory {
            sockets.files = Some(Files::start(Path::new(directory), waker.clone())?);
        }
        let directory = config.state_directory.clone();
        let mut gateway = Gateway::new(config, rng, clock.epoch(), pool.clone())?;
        if let Some(directory) = directory {
            sockets.journal = remember(&mut gateway, Path::new(&directory));
        }
        Ok(Box::new(Self {
            gateway,
            sockets,
            clock,
            pool,
            batch: ReceiveBatch::default(),
            scratch: vec![0; STREAM_READ_BYTES.max(SIP_MESSAGE_BYTES)].into_boxed_slice(),
            reads: ReadQueue::default(),
            pace: Pace::default(),
            next_look_up: Instant::ZERO,
            next_breath: Instant::ZERO,
            next_wall_clock: Instant::ZERO,
            orders,
            remote: Remote {
                orders: order,
                waker,
            },
            manager: None,
            panel: None,
        }))
    }

    /// The service manager that is told how we are, once the daemon runs.
    pub fn set_manager(&mut self, manager: Option<Manager>) {
        self.manager = manager;
    }

    /// Says at a socket of this path how we are, for the LEDs of the box.
    ///
    /// # Errors
    ///
    /// There can be no such socket.
    pub fn open_panel(&mut self, path: &Path) -> io::Result<()> {
        let door = Door::open(path)?;
        let token = Token::Panel.pack();
        self.sockets
            .epoll
            .add(door.as_fd(), token, Interest::Readable)?;
        self.panel = Some(door);
        Ok(())
    }

    /// Begins the threads that work for the page: one for passwords and settings, one for trials.
    /// Without them the page can be looked at and asked for nothing that takes time.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn set_clerks(
        &mut self,
        settings: Box<dyn Clerk>,
        trials: Box<dyn Clerk>,
    ) -> io::Result<()> {
        let desk = Desk::start(settings, trials, &self.remote.waker)?;
        self.sockets.desk = Some(desk);
        Ok(())
    }

    /// A handle that gives orders to this daemon.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// The gateway, for a look at its state.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Runs until it is told to stop and calls have ended; how it ended.
    ///
    /// `reload` gives the new configuration when the order is to reload, or `None` to keep the old
    /// one; `each_turn` looks on after every turn of the loop.
    pub async fn run(
        mut self: Box<Self>,
        mut reload: impl FnMut() -> Option<Config>,
        mut each_turn: impl FnMut(Instant, &Gateway),
    ) -> io::Result<Ended> {
        sys::sleep_exactly();
        let readiness = Async::new_nonblocking(self.sockets.epoll.as_fd().try_clone_to_owned()?)?;
        let mut stop_by: Option<Instant> = None;
        let mut ended = Ended::Stopped;
        if let Some(manager) = &mut self.manager {
            manager.begin(self.clock.now(), &self.gateway, &mut self.sockets);
        }
        loop {
            let now = self.clock.now();
            let mut deadline = self.gateway.poll_timeout();
            let managed = self.manager.as_ref().and_then(Manager::poll_timeout);
            deadline = Instant::earliest(deadline, managed);
            let shown = self.panel.as_ref().and_then(Door::poll_timeout);
            deadline = Instant::earliest(deadline, shown);
            deadline = Instant::earliest(deadline, self.sockets.half_open.deadline());
            if self.gateway.has_names() {
                deadline = Instant::earliest(deadline, Some(self.next_look_up));
            }
            // What waits for it does not wait long.
            if now < CLOCK_SETTLES || !self.gateway.knows_wall_clock() {
                deadline = Instant::earliest(deadline, Some(self.next_wall_clock));
            }
            if let Some(stop_by) = stop_by {
                if now >= stop_by || self.gateway.is_idle() {
                    self.finish_files(stop_by);
                    return Ok(ended);
                }
                deadline = Instant::earliest(deadline, Some(stop_by));
            }
            let count = self.wait(&readiness, now, deadline).await?;
            let now = self.clock.now();
            while let Ok(order) = self.orders.try_recv() {
                self.report();
                match order {
                    Order::Stop if stop_by.is_none() => {
                        self.manager.iter().for_each(Manager::stopping);
                        self.gateway.stop(now);
                        stop_by = Some(now + STOP_PATIENCE);
                    }
                    Order::Stop => {
                        self.finish_files(now);
                        return Ok(Ended::Stopped);
                    }
                    Order::Reload => {
                        self.manager.iter().for_each(Manager::reloading);
                        if let Some(mut config) = reload() {
                            for words in self.sockets.sip_tls.reload(&config) {
                                log::error!("certificate unchanged: {words}");
                            }
                            let old = self.gateway.config();
                            for words in self.sockets.relisten(old, &mut config) {
                                log::error!("{words}");
                            }
                            match self.gateway.reload(config) {
                                Ok(false) => log::info!("configuration read again"),
                                Ok(true) => log::warn!(
                                    "configuration read again; changed limits, folders or caFile \
                                     take effect with the next start"
                                ),
                                Err(error) => log::error!("configuration unchanged: {error}"),
                            }
                            self.next_look_up = now;
                        }
                        self.manager.iter().for_each(Manager::ready);
                    }
                }
            }
            self.turn(now, count);
            if stop_by.is_none() && self.gateway.wants_restart() {
                log::info!("restart");
                self.report();
                // Ready again is who begins in our place.
                self.manager.iter().for_each(Manager::reloading);
                self.gateway.stop(now);
                stop_by = Some(now + STOP_PATIENCE);
                ended = Ended::Restart;
            }
            if let Some(manager) = &mut self.manager {
                manager.turned(now, &self.gateway, &self.sockets);
            }
            if let Some(panel) = &mut self.panel {
                panel.turned(now, &self.gateway, self.sockets.board.as_mut());
                self.sockets.counters.panel = panel.counters();
            }
            each_turn(now, &self.gateway);
        }
    }

    /// Writes down what is still to be written, as far as there is time for it.
    fn finish_files(&mut self, stop_by: Instant) {
        let left = (stop_by + LAST_WRITES).since(self.clock.now());
        self.sockets.finish_files(std::time::Instant::now() + left);
    }

    /// Says what was counted so far.
    fn report(&self) {
        log::info!("counted: {:?}", self.gateway.counters());
        for (trunk, counters) in self.gateway.sip_counters() {
            log::info!("counted: {trunk}: {counters:?}");
        }
        log::info!("counted: {:?}", self.gateway.http_counters());
        log::info!("counted: {:?}", self.gateway.page_counters());
        if let Some((hooks, queue)) = self.gateway.hook_counters() {
            log::info!("counted: {hooks:?}; {queue:?}");
        }
        log::info!("counted: {:?}", self.sockets.counters);
        if let Some(lost) = self.sockets.journal.as_ref().map(JournalFile::lost)
            && lost > 0
        {
            log::warn!("counted: {lost} records were not written to the journal");
        }
    }

    /// Waits for the next turn; the count of ready descriptors.
    async fn wait(
        &mut self,
        readiness: &Async<OwnedFd>,
        now: Instant,
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
        if !self.reads.is_empty() || self.sockets.has_failures() {
            self.breathe(now).await;
            return self.sockets.epoll.wait(Duration::ZERO);
        }
        match self.pace.wait(now, deadline) {
            Wait::Gather(time) => {
                // Timers may be late by as much: cut short for each of many, it would gather nothing.
                if !time.is_zero() {
                    std::thread::sleep(time);
                }
                self.breathe(now).await;
                self.sockets.epoll.wait(Duration::ZERO)
            }
            Wait::Poll(time) => {
                self.breathe(now).await;
                self.sockets.epoll.wait(time)
            }
            Wait::Park => {
                let ready = async { readiness.readable().await };
                match deadline {
                    None => ready.await?,
                    Some(at) => {
                        let due = async {
                            Timer::after(at.since(now)).await;
                            Ok(())
                        };
                        ready.or(due).await?;
                    }
                }
                self.sockets.epoll.wait(Duration::ZERO)
            }
        }
    }

    /// Lets other tasks of the executor and the reactor run, now and then: each time costs several
    /// system calls.
    async fn breathe(&mut self, now: Instant) {
        if now >= self.next_breath {
            self.next_breath = now + BREATH_INTERVAL;
            smol::future::yield_now().await;
        }
    }

    /// Reads what is ready, runs timers, and lets the gateway write.
    fn turn(&mut self, now: Instant, count: usize) {
        if now >= self.next_wall_clock {
            self.next_wall_clock = now + WALL_CLOCK_INTERVAL;
            if self.gateway.set_wall_clock(now, Clock::unix_seconds()) {
                log::info!("the clock of this box was set");
            }
        }
        let mut media_packets = 0;
        // Media first: what a caller sent before its BYE belongs to the stream.
        for at in 0..count {
            let ready = self.sockets.epoll.ready(at);
            if let Token::Media(call, track, port) = Token::unpack(ready.token) {
                media_packets += self.read_media(now, call, track, port);
            }
        }
        for _ in 0..self.reads.begin_turn() {
            if !self.reads.has_budget() {
                break;
            }
            if let Some(conn) = self.reads.pop() {
                self.read_stream(now, conn);
            }
        }
        for at in 0..count {
            let ready = self.sockets.epoll.ready(at);
            match Token::unpack(ready.token) {
                Token::Media(..) => {}
                Token::SipUdp(place) => self.read_sip(now, place as usize),
                Token::Listener(place) => self.accept(now, place as usize),
                Token::Stream(conn) => self.stream_ready(now, conn, ready),
                Token::Alarm => self.sockets.alarm.clear(),
                Token::Panel => self.panel.iter_mut().for_each(Door::accept),
            }
        }
        if now >= self.next_look_up {
            self.next_look_up = now + LOOK_UP_INTERVAL;
            self.gateway.look_up_pbxs(&mut self.sockets);
        }
        while let Some(resolved) = self.sockets.resolver.answered() {
            match resolved {
                Resolved::Connection(conn, found) => self.sockets.resolved(conn, found),
                Resolved::Sip(id, found) => {
                    if let (Err(reason), Some(trunk)) = (&found, self.gateway.trunk_of_look_up(id))
                    {
                        log::warn!("{trunk}: {reason}");
                        self.next_look_up = self.next_look_up.min(now + LOOK_UP_RETRY);
                    }
                    let found = found.as_deref().map_err(String::as_str);
                    self.gateway.handle_looked_up(now, id, found);
                }
            }
        }
        while let Some((id, piece)) = self.sockets.files.as_ref().and_then(Files::piece) {
            let bytes = piece.as_deref().map_err(|trouble| *trouble);
            self.gateway.handle_file(now, id, bytes, &mut self.sockets);
        }
        while let Some((id, answer)) = self.sockets.desk.as_ref().and_then(Desk::done) {
            if matches!(&answer, DeskAnswer::Document { changed: true, .. }) {
                self.remote.order(Order::Reload);
            }
            self.gateway.handle_desk(now, id, answer, &mut self.sockets);
        }
        while let Some((id, outcome)) = self.sockets.recorder.as_ref().and_then(Recorder::answered)
        {
            self.gateway
                .handle_recorded(now, id, &outcome, &mut self.sockets);
        }
        while let Some(late) = self.sockets.half_open.expired(now) {
            self.give_up(late, "did not finish the TLS handshake in time");
        }
        self.gateway.handle_timeout(now);
        self.gateway.drain(now, &mut self.sockets);
        while let Some((conn, reason)) = self.sockets.failure() {
            if let Some((trunk, remote)) = self.gateway.opening(conn) {
                log::warn!("{trunk}: cannot connect to {remote}: {reason}");
            }
            self.gateway.handle_disconnected(now, conn, &reason);
            self.gateway.drain(now, &mut self.sockets);
        }
        self.pace.woke(now, media_packets);
    }

    fn read_media(&mut self, now: Instant, call: CallIndex, track: Track, port: MediaPort) -> u32 {
        let Some(socket) = self.sockets.media.socket(call, track, port) else {
            return 0;
        };
        let room = if self.pace.is_busy() {
            RECEIVE_BATCH
        } else {
            QUIET_BATCH
        };
        let Ok(count) = self.batch.receive(socket.as_fd(), &self.pool, room) else {
            return 0;
        };
        let counters = &mut self.sockets.counters;
        counters.datagrams_oversized = self.batch.oversized;
        counters.datagrams_without_slot = self.batch.pool_empty;
        for at in 0..count.min(RECEIVE_BATCH) {
            if let Some((packet, from)) = self.batch.take(at) {
                if let Some(manager) = &mut self.manager {
                    manager.media_came();
                }
                if call != MediaSockets::PROBE {
                    self.gateway
                        .handle_media(now, call, track, port, from, packet);
                }
            }
        }
        if call == MediaSockets::PROBE {
            return 0;
        }
        count as u32
    }

    fn read_sip(&mut self, now: Instant, place: usize) {
        for _ in 0..SIP_DATAGRAMS_A_WAKE {
            let Some(Some(sip)) = self.sockets.sip.get(place) else {
                return;
            };
            let trunk = sip.trunk;
            // An error here is a late ICMP report for something sent: the next read goes on.
            let Ok((length, from)) = sip.socket.recv_from(&mut self.scratch) else {
                return;
            };
            if let Some(manager) = &mut self.manager
                && manager.datagram_came(place, from)
            {
                continue;
            }
            let bytes = self.scratch.get(..length).unwrap_or_default();
            self.gateway
                .handle_sip_datagram(now, trunk, from, bytes, &mut self.sockets);
        }
    }

    fn accept(&mut self, now: Instant, place: usize) {
        let Some(Some(listener)) = self.sockets.listeners.get(place) else {
            return;
        };
        let service = listener.service;
        match listener.socket.accept() {
            Ok((socket, remote)) => {
                let remote = unmapped(remote);
                if let Some(manager) = &mut self.manager
                    && manager.connection_came(place, remote)
                {
                    return;
                }
                match service {
                    Service::Sip(trunk) => {
                        self.accept_plain(now, socket, remote, ConnectionKind::Sip(trunk));
                    }
                    Service::Http => {
                        self.accept_plain(now, socket, remote, ConnectionKind::Http);
                    }
                    Service::Rtmp => {
                        self.accept_plain(now, socket, remote, ConnectionKind::Player);
                    }
                    Service::Page => {
                        let kind = ConnectionKind::Page { secure: false };
                        self.accept_plain(now, socket, remote, kind);
                    }
                    Service::SipTls(trunk) => {
                        self.accept_tls(now, socket, remote, ConnectionKind::Sip(trunk));
                    }
                    Service::HttpTls => {
                        self.accept_tls(now, socket, remote, ConnectionKind::Http);
                    }
                    Service::PageTls => {
                        let kind = ConnectionKind::Page { secure: true };
                        self.accept_tls(now, socket, remote, kind);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.sockets.turn_away(place),
        }
    }

    /// Whether somebody at that address may begin a connection with TLS; a refusal is counted.
    fn may_begin(&mut self, now: Instant, remote: SocketAddr, kind: ConnectionKind) -> bool {
        match kind {
            ConnectionKind::Sip(trunk) => self.gateway.may_connect(now, trunk, remote.ip()),
            ConnectionKind::Page { .. } => self.gateway.may_visit(remote.ip()),
            ConnectionKind::Http | ConnectionKind::Player => true,
        }
    }

    fn accept_plain(
        &mut self,
        now: Instant,
        socket: TcpStream,
        remote: SocketAddr,
        kind: ConnectionKind,
    ) {
        match self.sockets.streams.accept(&self.sockets.epoll, socket) {
            Some(conn) => self.hand_over(now, conn, remote, kind),
            None => self.sockets.counters.streams_full += 1,
        }
    }

    /// Begins the handshake of a client that may call the trunk or see the page, or of any client of
    /// REST.
    fn accept_tls(
        &mut self,
        now: Instant,
        socket: TcpStream,
        remote: SocketAddr,
        kind: ConnectionKind,
    ) {
        if !self.may_begin(now, remote, kind) {
            return;
        }
        let tls = &self.sockets.sip_tls;
        let config = match kind {
            ConnectionKind::Sip(trunk) => tls.server(trunk),
            ConnectionKind::Page { .. } => tls.page(),
            ConnectionKind::Http | ConnectionKind::Player => tls.rest(),
        };
        let Some(config) = config else {
            return;
        };
        let streams = &mut self.sockets.streams;
        let Some(conn) = streams.accept_tls(&self.sockets.epoll, socket, config) else {
            self.sockets.counters.streams_full += 1;
            return;
        };
        let crowded_out = self.sockets.half_open.insert(now, conn, kind, remote);
        if let Some(crowded_out) = crowded_out {
            self.give_up(crowded_out, "gave way to another TLS handshake");
        }
    }

    /// Gives a connection to the gateway, or closes it.
    fn hand_over(&mut self, now: Instant, conn: ConnId, remote: SocketAddr, kind: ConnectionKind) {
        let sockets = &mut self.sockets;
        if !self
            .gateway
            .handle_accepted(now, conn, kind, remote, sockets)
        {
            self.sockets.streams.remove(conn);
        }
    }

    fn give_up(&mut self, half_open: HalfOpen, reason: &str) {
        self.sockets.counters.handshakes_given_up += 1;
        let HalfOpen { conn, remote, .. } = half_open;
        log::warn!("{}: {remote} {reason}", self.port_name(half_open.kind));
        self.sockets.streams.remove(conn);
    }

    /// Whose port a connection with TLS came in at.
    fn port_name(&self, kind: ConnectionKind) -> &str {
        match kind {
            ConnectionKind::Sip(trunk) => self.gateway.trunk_name(trunk),
            ConnectionKind::Page { .. } => "page",
            ConnectionKind::Http => "REST",
            ConnectionKind::Player => "RTMP",
        }
    }

    fn stream_ready(&mut self, now: Instant, conn: ConnId, ready: sys::Ready) {
        if self.sockets.streams.is_connecting(conn) {
            match self.sockets.streams.progress(&self.sockets.epoll, conn) {
                Progress::Pending => return,
                Progress::Connected => match self.sockets.half_open.take(conn) {
                    Some(HalfOpen { remote, kind, .. }) => {
                        self.hand_over(now, conn, remote, kind);
                    }
                    None => self.gateway.handle_connected(now, conn),
                },
                Progress::Failed(reason) => match self.sockets.half_open.take(conn) {
                    Some(HalfOpen { remote, kind, .. }) => {
                        self.sockets.counters.handshakes_failed += 1;
                        log::warn!("{}: {remote} {reason}", self.port_name(kind));
                        return self.sockets.streams.remove(conn);
                    }
                    None => return self.sockets.fail(conn, reason),
                },
            }
        }
        if ready.writable {
            match self.sockets.streams.flush(conn) {
                Ok(true) => self.gateway.handle_writable(conn),
                Ok(false) => {}
                Err(error) => return self.sockets.fail(conn, error.to_string()),
            }
        }
        if ready.readable {
            self.read_stream(now, conn);
        }
    }

    fn read_stream(&mut self, now: Instant, conn: ConnId) {
        for _ in 0..STREAM_READS_A_WAKE {
            if !self.reads.has_budget() {
                break;
            }
            match self.sockets.streams.read(conn, &mut self.scratch) {
                Ok(0) if self.gateway.handle_end(conn) => return,
                Ok(0) => return self.sockets.fail(conn, "closed by the peer".to_owned()),
                Ok(length) => {
                    self.reads.spend(length);
                    let bytes = self.scratch.get(..length).unwrap_or_default();
                    self.gateway
                        .handle_stream(now, conn, bytes, &mut self.sockets);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.sockets.fail(conn, error.to_string()),
            }
        }
        if self.sockets.streams.contains(conn) {
            self.reads.wait(conn);
        }
    }
}

/// Opens the journal and hands its records to the gateway; without one, what is learned is
/// forgotten at the end.
fn remember(gateway: &mut Gateway, directory: &Path) -> Option<JournalFile> {
    let path = directory.join(FILE_NAME);
    match JournalFile::open(directory) {
        Ok((journal, records)) => {
            log::info!("{}: {} records", path.display(), records.len());
            gateway.recall(records.iter().map(|record| record.bytes.as_slice()));
            Some(journal)
        }
        Err(error) => {
            log::warn!(
                "{}: {error}: what is learned of servers will be forgotten at the end",
                path.display()
            );
            None
        }
    }
}

/// Open files when every call is up with a publisher, every player is there, and SIP is over TCP.
fn descriptors_wanted(config: &Config) -> u64 {
    let calls = config.limits.calls * (MEDIA_PORTS_PER_CALL + 2);
    let trunks = config.trunks.len() * (SIP_SPARE_CONNECTIONS + 4);
    (calls + trunks + PLAYERS + HTTP_CONNECTIONS + SPARE_DESCRIPTORS) as u64
}

fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
