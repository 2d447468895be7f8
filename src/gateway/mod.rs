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
use crate::base::packet_pool::{Packet, PacketPool};
use crate::base::rng::Rng;
use crate::base::time::{Instant, NtpTime};
use crate::limits::GATHER_BYTES;
use crate::sdp::PlanError;
use crate::sip::SipCounters;

use call_summary::MediaTotals;
use call_table::CallTable;
use config::Config;
use connections::Connections;
use contain::contained;
use hooks::Hooks;
use hooks::node::Node;
use http::Http;
use media_ports::MediaPorts;
use outlet::{CallIndex, Level, MediaPort, Outlet};
use page::history::History;
use page::now::NowPage;
use page::trend::Trend;
use players::Players;
use pushes::Pushes;
use sink::SinkMemory;
use stream_meter::StreamMeters;
use trunk::Trunk;
use trunk_changes::TrunkChanges;

mod abuse;
mod admission;
pub mod call;
pub mod call_summary;
pub mod call_table;
pub mod config;
mod connecting;
pub mod connections;
mod contain;
pub mod desk;
pub mod ending;
mod front;
pub mod hold;
pub mod hooks;
pub mod http;
pub mod incoming;
pub mod injection;
pub mod keys;
pub mod look_ups;
pub mod media_ports;
mod negotiation;
mod operation;
pub mod outgoing;
pub mod outlet;
pub mod outputs;
pub mod page;
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
mod trunk_changes;
pub mod trunk_view;
mod usage;
pub mod watchdog;

pub use connecting::ConnectionKind;
pub use trunk_view::TrunkView;
pub use usage::Usage;

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

/// All calls of the box.
pub struct Gateway {
    config: Config,
    trunks: Vec<Trunk>,
    /// Trunks that come and go.
    trunk_changes: TrunkChanges,
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
    /// Whether the program is to begin anew, and when.
    restart: Option<page::Restart>,
    counters: GatewayCounters,
    /// What became of the media of calls that are gone.
    ended: MediaTotals,
    /// The last calls.
    history: Box<History>,
    /// How the box did lately.
    trend: Box<Trend>,
    /// What pages were last told of the present.
    now_page: NowPage,
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
            trunk_changes: TrunkChanges::default(),
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
            restart: None,
            counters: GatewayCounters::default(),
            rng,
            ended: MediaTotals::default(),
            history: Box::default(),
            trend: Box::default(),
            now_page: NowPage::default(),
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
            let packets = call.session.packets(track);
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
        deadline = Instant::earliest(deadline, self.trunk_changes.poll_timeout());
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
        self.settle_trunks(now, outlet);
        self.time_openings(now, outlet);
        self.time_push_sounds(now, outlet);
        // The end of a call gives players and its trunk something to say, and the other way round.
        loop {
            while self.drain_once(now, outlet) {}
            if !self.shed(now) {
                break;
            }
        }
        self.look_at_trend(now);
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

    /// The configuration as it holds now.
    pub fn config(&self) -> &Config {
        &self.config
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
            .filter(|trunk| trunk.is_working())
            .map(|trunk| (trunk.config.name.as_str(), trunk.endpoint.counters()))
    }

    fn touch_player(&mut self, at: usize) {
        if !self.dirty_players.contains(&at) {
            self.dirty_players.push(at);
        }
    }
}

/// Whether a packet is RTCP, on whichever port it came (RFC 5761, section 4).
fn is_rtcp(packet: &Packet) -> bool {
    packet.get(1).is_some_and(|kind| (192..=223).contains(kind))
}
