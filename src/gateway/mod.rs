//! Floor 3: calls, streams, admission, and what the protocols mean to one another.
//!
//! The gateway owns one SIP endpoint for each trunk, the table of calls, and the table of local
//! players. It is sans-IO: the shell hands it bytes, packets and time, then calls
//! [`Gateway::drain`], in which everything that has to go out is given to an [`Outlet`].

#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use core::time::Duration;

use crate::base::codec::Track;
use crate::base::frame_log::FrameLog;
use crate::base::ids::ConnId;
use crate::base::packet_pool::{Packet, PacketPool};
use crate::base::rng::Rng;
use crate::base::time::{Instant, NtpTime};
use crate::limits::GATHER_BYTES;
use crate::rtmp::Player;
use crate::sdp::PlanError;
use crate::sip::{Cause, SipCounters};

use call_summary::MediaTotals;
use call_table::CallTable;
use config::Config;
use connections::{Connections, User};
use contain::contained;
use hooks::Hooks;
use hooks::node::Node;
use http::Http;
use media_ports::MediaPorts;
use outlet::{CallIndex, Level, MediaPort, Outlet};
use players::Players;
use pushes::Pushes;
use sink::SinkMemory;
use stream_meter::StreamMeters;
use trunk::Trunk;

mod abuse;
mod admission;
pub mod call;
pub mod call_summary;
pub mod call_table;
pub mod config;
pub mod connections;
mod contain;
pub mod hold;
pub mod hooks;
pub mod http;
pub mod incoming;
pub mod injection;
pub mod keys;
pub mod look_ups;
pub mod media_ports;
mod negotiation;
pub mod outgoing;
pub mod outlet;
pub mod outputs;
pub mod players;
mod presence;
mod publishing;
mod push_sounds;
pub mod pushes;
mod pushing;
pub mod recording;
pub mod registrations;
pub mod relay;
pub mod rest;
mod shed;
pub mod sink;
pub mod status;
pub mod stored;
pub mod stream_meter;
pub mod streaming;
pub mod tls_names;
pub mod transfer;
pub mod trunk;
pub mod trunk_view;
mod usage;
pub mod watchdog;

pub use trunk_view::TrunkView;
pub use usage::Usage;

/// What an accepted connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionKind {
    /// SIP of the trunk at this place.
    Sip(usize),
    /// A player of streams.
    Player,
    /// A client of the REST interface.
    Http,
}

/// What the gateway did and refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct GatewayCounters {
    /// Calls answered.
    pub calls: u64,
    /// Calls refused because a table, the ports or the memory were used up.
    pub calls_refused: u64,
    /// Calls refused because nothing that they offer can be relayed.
    pub calls_without_media: u64,
    /// Calls ended by a defect of this program.
    pub calls_crashed: u64,
    /// Players ended by a defect of this program.
    pub players_crashed: u64,
    /// SIP datagrams and connections dropped for a defect of this program.
    pub inputs_crashed: u64,
    /// Timers of SIP given up, with what they were of, for a defect of this program.
    pub timers_crashed: u64,
    /// Pushes begun.
    pub pushes: u64,
    /// Pushes refused because every place was taken.
    pub pushes_refused: u64,
    /// Pushes ended by a defect of this program.
    pub pushes_crashed: u64,
    /// Players turned away because a table was full.
    pub players_refused: u64,
    /// Files of recordings that are finished.
    pub recordings: u64,
    /// Recordings that did not begin, or ended before their call, for want of room.
    pub recordings_lost: u64,
    /// Media packets for tracks or calls that were gone.
    pub stray_packets: u64,
    /// Frames taken from slow readers because packet slots became scarce.
    pub frames_shed: u64,
    /// Access units dropped before their end for the same reason.
    pub units_shed: u64,
    /// Publishers' and players' connections given up for the same reason.
    pub readers_shed: u64,
}

/// How long a stream has to end cleanly after its call.
const STREAM_PATIENCE: Duration = Duration::from_secs(2);

/// How long the BYE of a call waits for an ACK that is missing while the process ends.
const ACK_PATIENCE: Duration = Duration::from_secs(1);

/// All calls of the box.
pub struct Gateway {
    config: Config,
    trunks: Vec<Trunk>,
    calls: CallTable,
    players: Players,
    pushes: Pushes,
    meters: StreamMeters,
    http: Http,
    connections: Connections,
    ports: MediaPorts,
    pool: PacketPool,
    rng: Rng,
    epoch: NtpTime,
    /// The log that players without a stream read.
    nothing: Box<FrameLog>,
    gather: Box<[u8]>,
    sinks: SinkMemory,
    /// What this box is called by backends.
    node: Node,
    /// The backend that is told of calls, if there is one.
    hooks: Option<Box<Hooks>>,
    /// Another one, or none, to be taken over with the next drain.
    hooks_wanted: Option<Box<Option<config::Hooks>>>,
    /// Players touched since they were last drained.
    dirty_players: Vec<usize>,
    next_call: u64,
    /// Files that are being opened.
    openings: Vec<injection::Opening>,
    /// Sounds of pushes that are being read.
    sounds: Vec<push_sounds::PushSound>,
    next_file: u32,
    next_record: u32,
    /// Bytes that recordings hold.
    record_held: usize,
    stopping: bool,
    counters: GatewayCounters,
    /// What became of the media of calls that are gone.
    ended: MediaTotals,
}

impl Gateway {
    /// A gateway with no calls. `epoch` is the wall-clock time at [`Instant::ZERO`]; the packets
    /// of [`Self::handle_media`] come from `pool`.
    pub fn new(
        config: Config,
        mut rng: Rng,
        epoch: NtpTime,
        pool: PacketPool,
    ) -> Result<Self, PlanError> {
        let trunks = config
            .trunks
            .iter()
            .map(|trunk| Trunk::new(trunk.clone(), config.limits.calls, rng.fork()))
            .collect::<Result<_, _>>()?;
        let hooks = config.hooks.clone();
        let hooks = hooks.map(|hooks| Hooks::new(hooks, config.limits.calls, 1));
        Ok(Self {
            trunks,
            calls: CallTable::new(config.limits.calls),
            players: Players::default(),
            pushes: Pushes::default(),
            meters: StreamMeters::new(config.limits.calls),
            http: Http::new(&mut rng),
            connections: Connections::default(),
            ports: MediaPorts::new(config.media.ports),
            pool,
            epoch,
            nothing: Box::default(),
            gather: vec![0; GATHER_BYTES].into_boxed_slice(),
            sinks: SinkMemory::new(epoch.into()),
            node: Node::new(&mut rng),
            hooks: hooks.map(Box::new),
            hooks_wanted: None,
            dirty_players: Vec::with_capacity(crate::limits::PLAYERS),
            next_call: 1,
            openings: Vec::new(),
            sounds: Vec::new(),
            next_file: 0,
            next_record: 0,
            record_held: 0,
            stopping: false,
            counters: GatewayCounters::default(),
            rng,
            ended: MediaTotals::default(),
            config,
        })
    }

    /// A SIP datagram for a trunk. What it causes goes out at once.
    pub fn handle_sip_datagram(
        &mut self,
        now: Instant,
        trunk: usize,
        from: SocketAddr,
        bytes: &[u8],
        outlet: &mut dyn Outlet,
    ) {
        let Some(place) = self.trunks.get_mut(trunk) else {
            return;
        };
        place.set_local(from.ip(), self.config.media.address, outlet);
        if contained(|| place.endpoint.handle_datagram(now, from, bytes)).is_none() {
            self.counters.inputs_crashed += 1;
            let line =
                format_args!("a SIP datagram of {from} was dropped for a defect of this program");
            outlet.note(Level::Error, line);
        }
        self.drain_trunk(now, trunk, outlet);
    }

    /// Whether a peer at that address may begin a handshake with TLS; a refusal is counted.
    pub fn may_connect(&mut self, now: Instant, trunk: usize, from: IpAddr) -> bool {
        let trunk = self.trunks.get_mut(trunk);
        trunk.is_some_and(|trunk| trunk.endpoint.admits(now, from))
    }

    /// The name of the trunk at that place.
    pub fn trunk_name(&self, trunk: usize) -> &str {
        let trunk = self.trunks.get(trunk);
        trunk.map_or("", |trunk| trunk.config.name.as_str())
    }

    /// The trunk for which a connection is being opened, and where to; `None` for any other one.
    pub fn opening(&self, conn: ConnId) -> Option<(&str, SocketAddr)> {
        let Some(User::Sip(at)) = self.connections.user(conn) else {
            return None;
        };
        let trunk = self.trunks.get(at)?;
        let mut opening = trunk.opening.iter();
        let (_, remote, _) = opening.find(|(opening, ..)| *opening == conn)?;
        Some((&trunk.config.name, *remote))
    }

    /// An accepted connection; false when there is no room for it.
    pub fn handle_accepted(
        &mut self,
        now: Instant,
        conn: ConnId,
        kind: ConnectionKind,
        remote: SocketAddr,
        outlet: &mut dyn Outlet,
    ) -> bool {
        let user = match kind {
            ConnectionKind::Sip(at) => {
                let Some(trunk) = self.trunks.get_mut(at) else {
                    return false;
                };
                trunk.set_local(remote.ip(), self.config.media.address, outlet);
                let secure = trunk.is_secure();
                let endpoint = &mut trunk.endpoint;
                if endpoint.handle_accepted(now, conn, remote, secure).is_err() {
                    return false;
                }
                // Another connection may have to be closed for it.
                trunk.dirty = true;
                User::Sip(at)
            }
            ConnectionKind::Player => {
                let player = Player::new(now, self.rng.fork());
                let Some(at) = self.players.insert(conn, remote, player) else {
                    self.counters.players_refused += 1;
                    return false;
                };
                User::Player(at)
            }
            ConnectionKind::Http => {
                let Some(at) = self.accept_http(now, conn, remote, outlet) else {
                    return false;
                };
                User::Http(at)
            }
        };
        self.connections.insert(conn, user);
        true
    }

    /// A connection that was asked for is up.
    pub fn handle_connected(&mut self, now: Instant, conn: ConnId) {
        match self.connections.user(conn) {
            Some(User::Sip(at)) => {
                if let Some(trunk) = self.trunks.get_mut(at) {
                    if let Some((remote, secure)) = trunk.opened(conn) {
                        // Without room the endpoint tells to close it.
                        let _ = trunk.endpoint.handle_connected(now, conn, remote, secure);
                    }
                    trunk.dirty = true;
                }
            }
            Some(User::Publisher(index)) => {
                self.with_publisher(index, |publishing| {
                    publishing.publisher.handle_connected(now);
                    if let Some(link) = &mut publishing.link {
                        link.writable = true;
                    }
                });
            }
            Some(User::Hook(at)) => self.hook_connected(at),
            Some(User::Push(at)) => {
                self.with_pushed(at, |publishing| {
                    publishing.publisher.handle_connected(now);
                    if let Some(link) = &mut publishing.link {
                        link.writable = true;
                    }
                });
            }
            Some(User::Player(_) | User::Http(_)) | None => {}
        }
    }

    /// A connection ended, or could not be made, for the reason given.
    pub fn handle_disconnected(&mut self, now: Instant, conn: ConnId, reason: &str) {
        match self.connections.remove(conn) {
            Some(User::Sip(at)) => {
                if let Some(trunk) = self.trunks.get_mut(at) {
                    match trunk.opened(conn) {
                        Some((remote, secure)) => {
                            trunk
                                .endpoint
                                .handle_connect_failed(now, remote, secure, reason);
                        }
                        None => trunk.endpoint.handle_disconnected(now, conn),
                    }
                    trunk.dirty = true;
                }
            }
            Some(User::Publisher(index)) => {
                self.with_publisher(index, |publishing| {
                    publishing.link = None;
                    publishing.publisher.handle_disconnected(now, reason);
                });
            }
            Some(User::Push(at)) => {
                self.with_pushed(at, |publishing| {
                    publishing.link = None;
                    publishing.publisher.handle_disconnected(now, reason);
                });
            }
            Some(User::Player(at)) => self.forget_player(at),
            Some(User::Http(at)) => self.http.forget(at),
            Some(User::Hook(at)) => self.hook_disconnected(at, reason),
            None => {}
        }
    }

    /// Bytes from a connection. What SIP answers goes out at once, the rest with the next drain.
    pub fn handle_stream(
        &mut self,
        now: Instant,
        conn: ConnId,
        bytes: &[u8],
        outlet: &mut dyn Outlet,
    ) {
        match self.connections.user(conn) {
            Some(User::Sip(at)) => {
                if let Some(trunk) = self.trunks.get_mut(at) {
                    let endpoint = &mut trunk.endpoint;
                    if contained(|| endpoint.handle_stream(now, conn, bytes)).is_none() {
                        self.crash_connection(now, conn, at, outlet);
                    }
                    self.drain_trunk(now, at, outlet);
                }
            }
            Some(User::Publisher(index)) => {
                self.with_publisher(index, |publishing| {
                    publishing.publisher.handle_bytes(now, bytes);
                });
            }
            Some(User::Push(at)) => {
                self.with_pushed(at, |publishing| {
                    publishing.publisher.handle_bytes(now, bytes)
                });
            }
            Some(User::Player(at)) => {
                if let Some(viewer) = self.players.get_mut(at)
                    && !viewer.crashed
                {
                    let player = &mut viewer.player;
                    viewer.crashed = contained(|| player.handle_bytes(now, bytes)).is_none();
                    self.touch_player(at);
                }
            }
            Some(User::Http(at)) => self.read_http(now, at, bytes, outlet),
            Some(User::Hook(at)) => self.hook_bytes(now, at, bytes),
            None => {}
        }
    }

    /// The far end of a connection sends nothing more; false when the connection is over by that,
    /// and true when an answer is still owed.
    pub fn handle_end(&mut self, conn: ConnId) -> bool {
        match self.connections.user(conn) {
            Some(User::Http(at)) => self.http.handle_end(at),
            _ => false,
        }
    }

    /// A connection's socket takes bytes again.
    pub fn handle_writable(&mut self, conn: ConnId) {
        match self.connections.user(conn) {
            Some(User::Publisher(index)) => {
                self.with_publisher(index, |publishing| {
                    if let Some(link) = &mut publishing.link {
                        link.writable = true;
                    }
                });
            }
            Some(User::Push(at)) => {
                self.with_pushed(at, |publishing| {
                    if let Some(link) = &mut publishing.link {
                        link.writable = true;
                    }
                });
            }
            Some(User::Player(at)) => {
                if let Some(viewer) = self.players.get_mut(at) {
                    viewer.link.writable = true;
                    self.touch_player(at);
                }
            }
            Some(User::Http(at)) => self.http.handle_writable(at),
            Some(User::Hook(at)) => self.hook_writable(at),
            Some(User::Sip(_)) | None => {}
        }
    }

    /// A datagram on one of a call's media sockets.
    pub fn handle_media(
        &mut self,
        now: Instant,
        index: CallIndex,
        track: Track,
        port: MediaPort,
        from: SocketAddr,
        packet: Packet,
    ) {
        let Some(call) = self
            .calls
            .touch_mut(index)
            .filter(|call| call.sip.is_some() && !call.crashed)
        else {
            self.counters.stray_packets += 1;
            return;
        };
        let port = if is_rtcp(&packet) {
            MediaPort::Rtcp
        } else {
            port
        };
        let (session, log) = (&mut call.session, &mut call.log);
        let done = contained(|| match port {
            MediaPort::Rtp => session.handle_rtp(now, track, from, packet, log),
            MediaPort::Rtcp => session.handle_rtcp(now, track, from, &packet),
        });
        call.crashed = done.is_none();
        if call.crashed {
            return;
        }
        if port == MediaPort::Rtp {
            let packets = call.session.stats(track).packets;
            call.watchdog.heard(now, track, packets);
        } else {
            let reports = call.session.rtcp_counters().reports;
            call.watchdog.heard_report(now, reports);
        }
    }

    /// Runs every timer that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for trunk in &mut self.trunks {
            if trunk.endpoint.poll_timeout().is_some_and(|at| at <= now) {
                let endpoint = &mut trunk.endpoint;
                if contained(|| endpoint.handle_timeout(now)).is_none() {
                    self.counters.timers_crashed += 1;
                    // Its turn would come again at once, for ever.
                    endpoint.give_up_turn();
                }
                trunk.dirty = true;
            }
        }
        let mut from = CallIndex(0);
        while let Some(index) = self.calls.due(from, now) {
            if let Some(call) = self.calls.touch_mut(index)
                && !call.crashed
            {
                let done = contained(|| {
                    call.session.handle_timeout(now, &mut call.log);
                    if let Some(publishing) = &mut call.publishing {
                        publishing.publisher.handle_timeout(now);
                    }
                });
                call.crashed = done.is_none();
            }
            self.time_outputs(now, index);
            from = CallIndex(index.0.saturating_add(1));
        }
        for (at, viewer) in self.players.iter_mut() {
            if viewer.player.poll_timeout().is_some_and(|due| due <= now) {
                let player = &mut viewer.player;
                viewer.crashed |= contained(|| player.handle_timeout(now)).is_none();
                if !self.dirty_players.contains(&at) {
                    self.dirty_players.push(at);
                }
            }
        }
        self.http.handle_timeout(now);
        self.time_hooks(now);
    }

    /// When [`Self::handle_timeout`] is next to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let mut deadline = Instant::earliest(self.calls.deadline(), self.http.poll_timeout());
        deadline = Instant::earliest(deadline, self.hook_timeout());
        for trunk in &self.trunks {
            deadline = Instant::earliest(deadline, trunk.endpoint.poll_timeout());
            // It has to register, or to ask, before anything comes.
            if trunk.unsettled {
                deadline = Some(Instant::ZERO);
            }
        }
        deadline = Instant::earliest(deadline, self.openings_timeout());
        deadline = Instant::earliest(deadline, self.push_sounds_timeout());
        for viewer in self.players.iter() {
            deadline = Instant::earliest(deadline, viewer.player.poll_timeout());
        }
        deadline
    }

    /// Gives out everything that has to go out.
    pub fn drain(&mut self, now: Instant, outlet: &mut dyn Outlet) {
        self.time_openings(now, outlet);
        self.time_push_sounds(now, outlet);
        // The end of a call gives players and its trunk something to say, and the other way round.
        loop {
            while self.drain_once(now, outlet) {}
            if !self.shed(now) {
                break;
            }
        }
        self.keep_facts(outlet);
    }

    /// One round over all that was touched; whether another one is due.
    fn drain_once(&mut self, now: Instant, outlet: &mut dyn Outlet) -> bool {
        for at in 0..self.trunks.len() {
            if self
                .trunks
                .get_mut(at)
                .is_some_and(|trunk| std::mem::take(&mut trunk.dirty))
            {
                self.drain_trunk(now, at, outlet);
            }
        }
        while let Some(at) = self.dirty_players.pop() {
            self.drain_player(now, at, outlet);
        }
        while let Some(index) = self.calls.next_touched() {
            self.drain_call(now, index, outlet);
        }
        // What calls have to send goes before the answers to who asks of them.
        let answered = self.drain_http(now, outlet);
        let told = self.drain_hooks(now, outlet);
        answered
            || told
            || !self.dirty_players.is_empty()
            || self.trunks.iter().any(|trunk| trunk.dirty)
    }

    /// Takes a new configuration over for coming calls.
    ///
    /// Trunks keep their ports: one that is new, gone or on another port is left as it was until
    /// the next start, and so are capacities and listeners. Returns whether any such part changed.
    pub fn reload(&mut self, config: Config) -> Result<bool, PlanError> {
        let plans = config
            .trunks
            .iter()
            .map(config::Trunk::codec_plan)
            .collect::<Result<Vec<_>, _>>()?;
        let mut taken = 0;
        for (new, plan) in config.trunks.iter().zip(plans) {
            let same = |trunk: &&mut Trunk| {
                let old = &trunk.config;
                (&old.name, old.local_port, old.transport)
                    == (&new.name, new.local_port, new.transport)
            };
            if let Some(trunk) = self.trunks.iter_mut().find(same) {
                taken += usize::from(!trunk.config.needs_start(new));
                trunk.reconfigure(new.clone(), plan);
            }
        }
        self.forget_sinks();
        let folder = match (&self.config.recording, &config.recording) {
            (Some(old), Some(new)) => old.needs_start(new),
            (old, new) => old.is_some() != new.is_some(),
        };
        let needs_start = folder
            || taken != self.trunks.len()
            || taken != config.trunks.len()
            || config.limits != self.config.limits
            || config.rtmp_listen != self.config.rtmp_listen
            || config.rest.listens() != self.config.rest.listens()
            || config.rtmp_ca_file != self.config.rtmp_ca_file
            || config.media.ports != self.config.media.ports
            || config.files_directory != self.config.files_directory
            || config.state_directory != self.config.state_directory
            || hooks_ca_file(&config) != hooks_ca_file(&self.config);
        self.hooks_wanted = Some(Box::new(config.hooks.clone()));
        self.config.hooks = config.hooks;
        if !folder {
            self.config.recording = config.recording;
        }
        self.config.media.address = config.media.address;
        // The password guards the listeners that there are: one for others says nothing of them.
        if config.rest.listens() == self.config.rest.listens() {
            self.config.rest = config.rest;
        }
        self.trunks.iter_mut().for_each(Trunk::unsettle);
        Ok(needs_start)
    }

    /// Ends every call with BYE and every stream with a clean unpublish; new calls get 503.
    pub fn stop(&mut self, now: Instant) {
        self.stopping = true;
        self.stop_asking(now);
        self.unregister_all(now);
        let sessions: Vec<_> = self
            .calls
            .iter()
            .filter_map(|(_, call)| Some((call.trunk, call.sip?)))
            .collect();
        for (at, sip) in sessions {
            if let Some(trunk) = self.trunks.get_mut(at) {
                // A call that is over already needs no end.
                let _ = trunk
                    .endpoint
                    .hangup(now, sip, Cause::new(200, "the gateway stops"));
                trunk.dirty = true;
            }
        }
        // Those that are still on their way to the INVITE.
        let mut from = CallIndex(0);
        while let Some(index) = self.calls.find_from(from, |call| call.sip.is_none()) {
            let call = self.calls.touch_mut(index);
            if let Some(out) = call.and_then(|call| call.outgoing.as_mut()) {
                out.stage = outgoing::Stage::Over(Cause::new(200, "the gateway stops"));
            }
            from = CallIndex(index.0.saturating_add(1));
        }
        for trunk in &mut self.trunks {
            trunk.endpoint.hurry(now + ACK_PATIENCE);
        }
    }

    /// Whether no call and no stream is left, and nothing of them to tell.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty()
            && !self.owes_hooks()
            && self.trunks.iter().all(|trunk| {
                trunk.endpoint.closing_calls() == 0 && trunk.endpoint.registrations() == 0
            })
    }

    /// Every call.
    pub fn calls(&self) -> impl Iterator<Item = &call::Call> {
        self.calls.iter().map(|(_, call)| call)
    }

    /// What the gateway did so far.
    pub fn counters(&self) -> &GatewayCounters {
        &self.counters
    }

    /// What SIP of each trunk did so far, with the trunk's name.
    pub fn sip_counters(&self) -> impl Iterator<Item = (&str, &SipCounters)> {
        self.trunks
            .iter()
            .map(|trunk| (trunk.config.name.as_str(), trunk.endpoint.counters()))
    }

    /// Runs work on a call's publisher, which is to be drained then.
    fn with_publisher(&mut self, index: CallIndex, work: impl FnOnce(&mut call::Publishing)) {
        let Some(call) = self.calls.touch_mut(index).filter(|call| !call.crashed) else {
            return;
        };
        if let Some(publishing) = &mut call.publishing {
            call.crashed = contained(|| work(publishing)).is_none();
        }
    }

    fn touch_player(&mut self, at: usize) {
        if !self.dirty_players.contains(&at) {
            self.dirty_players.push(at);
        }
    }
}

fn hooks_ca_file(config: &Config) -> Option<&String> {
    config.hooks.as_ref()?.ca_file.as_ref()
}

/// Whether a packet is RTCP, on whichever port it came (RFC 5761, section 4).
fn is_rtcp(packet: &Packet) -> bool {
    packet.get(1).is_some_and(|kind| (192..=223).contains(kind))
}
