//! The gateway on a virtual clock: sockets made of queues, a scripted caller, RTMP servers and
//! players, all in one process.

#![allow(dead_code, unused_imports)]

mod backend;
pub mod callee;
mod camera;
pub mod handset;
mod outlet;
mod phone;
mod player;
mod server;
mod shield;
mod studio;

use std::net::SocketAddr;
use std::time::Duration;

use trunkcast::base::codec::Track;
use trunkcast::base::ids::ConnId;
use trunkcast::base::network::Network;
use trunkcast::base::packet_pool::PacketPool;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::{Instant, NtpTime};
use trunkcast::gateway::call::Call;
use trunkcast::gateway::config::{Config, Page, Trunk, rtmp_url};
use trunkcast::gateway::outlet::{Level, MediaPort};
use trunkcast::gateway::{ConnectionKind, Gateway};
use trunkcast::limits::Limits;
use trunkcast::wire::rtmp_url::DEFAULT_PORT;

pub use backend::{BACKEND_PORT, Backend, Mood, Reaction, Told};
pub use camera::{Camera, reports_of, sender_report};
pub use outlet::{COUNTED, Defect, FakeFile, FakeOutlet, SentMedia};
pub use phone::{Phone, headers, respond, status};
pub use player::PlayerPeer;
pub use server::{Heard, Policy, RtmpServer};
pub use shield::{Shield, with_key};
pub use studio::{Picture, SentPicture, Sound, Studio};

/// Calls the gateway, with its allocations counted if they are to be.
macro_rules! within {
    ($world:expr, $call:expr) => {{
        COUNTED.set($world.counted);
        let result = $call;
        COUNTED.set(false);
        result
    }};
}

/// The server that [`World::publishing`] publishes to.
pub const HOME: &str = "198.51.100.5";

/// Where it may send publishers on to; that server lists VP8 and Opus.
pub const ELSEWHERE: &str = "rtmp://198.51.100.6/live";

/// Where test phones call from.
pub const PHONE: &str = "192.0.2.10:5060";

/// Everything that takes part.
pub struct World {
    pub now: Instant,
    pub gateway: Gateway,
    pub outlet: FakeOutlet,
    pub pool: PacketPool,
    /// What RTMP servers do with connections to come.
    pub policy: Policy,
    /// Every connection that a publisher ever made, in order.
    pub servers: Vec<RtmpServer>,
    pub players: Vec<PlayerPeer>,
    /// SIP messages for phones that nobody has taken yet.
    pub inbox: Vec<(SocketAddr, String)>,
    /// The place of the trunk that phones send datagrams to.
    pub trunk: usize,
    /// Whether requests of the gateway are answered with 200 at once.
    pub answers: bool,
    /// Whether tables are checked after every step; slow with many calls.
    pub checks: bool,
    /// When publishers tried to connect.
    pub attempts: Vec<Instant>,
    /// Datagrams that found no packet slot.
    pub pool_empty: u64,
    /// Whether allocations within the gateway count.
    pub counted: bool,
    /// The backend of hooks.
    pub backend: Backend,
    /// The protection of what phones send, where they have one.
    pub shield: Option<Shield>,
    pub rng: Rng,
    stuck: u32,
    sip_streams: Vec<(ConnId, SocketAddr)>,
}

/// A configuration of one trunk on which the test phones may call.
pub fn config(calls: usize, url: Option<&str>) -> Config {
    let mut trunk = Trunk::new("pbx", 40_000);
    trunk.allow = ["192.0.2.0/24", "2001:db8::/32"]
        .map(|network| network.parse::<Network>().unwrap())
        .to_vec();
    trunk.url = url.map(|url| rtmp_url(url).unwrap());
    // Time stands still while many phones call.
    (trunk.abuse.per_source, trunk.abuse.total) = (100_000, 100_000);
    Config {
        trunks: vec![trunk],
        page: Page {
            listen: None,
            ..Page::default()
        },
        limits: Limits {
            calls,
            ..Limits::default()
        },
        ..Config::default()
    }
}

impl World {
    pub fn new(config: Config) -> Self {
        let pool = PacketPool::new(config.limits.pool_packets());
        let epoch = NtpTime(0xe000_0000 << 32);
        let gateway = Gateway::new(config, Rng::from_number(1), epoch, pool.clone()).unwrap();
        Self {
            now: Instant::from_millis(1_000),
            gateway,
            outlet: FakeOutlet::default(),
            pool,
            policy: Policy::Accept,
            servers: Vec::new(),
            players: Vec::new(),
            inbox: Vec::new(),
            trunk: 0,
            answers: true,
            checks: true,
            attempts: Vec::new(),
            pool_empty: 0,
            counted: false,
            backend: Backend::default(),
            shield: None,
            rng: Rng::from_number(2),
            stuck: 0,
            sip_streams: Vec::new(),
        }
    }

    /// One trunk whose calls stay on the box.
    pub fn local(calls: usize) -> Self {
        Self::new(config(calls, None))
    }

    /// One trunk that publishes.
    pub fn publishing(calls: usize) -> Self {
        Self::new(config(calls, Some("rtmp://198.51.100.5/live")))
    }

    /// A SIP datagram from a phone, and all that follows at once.
    pub fn sip(&mut self, from: SocketAddr, bytes: impl AsRef<[u8]>) {
        within!(
            self,
            self.gateway.handle_sip_datagram(
                self.now,
                self.trunk,
                from,
                bytes.as_ref(),
                &mut self.outlet
            )
        );
        self.settle();
    }

    /// A phone connects by TCP.
    pub fn sip_connect(&mut self, from: SocketAddr) -> ConnId {
        let conn = self.outlet.accept();
        let kind = ConnectionKind::Sip(0);
        assert!(within!(
            self,
            self.gateway
                .handle_accepted(self.now, conn, kind, from, &mut self.outlet)
        ));
        self.sip_streams.push((conn, from));
        conn
    }

    /// Bytes of a phone's TCP connection.
    pub fn sip_stream(&mut self, conn: ConnId, bytes: impl AsRef<[u8]>) {
        within!(
            self,
            self.gateway
                .handle_stream(self.now, conn, bytes.as_ref(), &mut self.outlet)
        );
        self.settle();
    }

    /// What was sent to a phone since the last look.
    pub fn take(&mut self, phone: &Phone) -> Vec<String> {
        let (taken, left) = std::mem::take(&mut self.inbox)
            .into_iter()
            .partition(|(_, text)| text.contains(&phone.call_id));
        self.inbox = left;
        taken.into_iter().map(|(_, text)| text).collect()
    }

    /// Calls and acknowledges; panics when the call is not answered with 200.
    pub fn call(&mut self, phone: &mut Phone) {
        let answers = self.invite(phone);
        assert_eq!(status(answers.last().unwrap()), 200, "{answers:?}");
        let ack = phone.ack("");
        self.sip(phone.remote, ack);
    }

    /// Sends an INVITE; everything that came back. The phone learns from a 200.
    pub fn invite(&mut self, phone: &mut Phone) -> Vec<String> {
        let invite = phone.invite();
        self.sip(phone.remote, invite);
        let answers = self.take(phone);
        if let Some(answer) = answers.last() {
            phone.learn(answer);
        }
        answers
    }

    /// Sends a re-INVITE with this body; the final answer, which the phone acknowledges.
    pub fn reinvite(&mut self, phone: &mut Phone, sdp: &str) -> String {
        let invite = phone.reinvite(sdp);
        self.sip(phone.remote, invite);
        let answers = self.take(phone);
        let last = answers.last().expect("no answer to a re-INVITE").clone();
        if status(&last) == 200 {
            phone.learn(&last);
            let ack = phone.ack("");
            self.sip(phone.remote, ack);
        } else {
            let ack = phone.ack_refusal(&last);
            self.sip(phone.remote, ack);
        }
        last
    }

    /// Hangs up; the answer.
    pub fn bye(&mut self, phone: &mut Phone) -> Vec<String> {
        let bye = phone.request("BYE");
        self.sip(phone.remote, bye);
        self.take(phone)
    }

    /// The call of a stream name.
    pub fn find(&self, stream: &str) -> Option<&Call> {
        self.gateway.calls().find(|call| call.stream == stream)
    }

    /// A media datagram from a phone to the port that it was told.
    pub fn media(&mut self, phone: &Phone, track: Track, bytes: &[u8]) {
        let port = match track {
            Track::Audio => phone.audio_port,
            Track::Video => phone.video_port,
        };
        let from = phone.media_source(track);
        let bytes = self.shielded(track, bytes);
        self.datagram(from, port.unwrap_or(0), &bytes);
    }

    /// RTCP of a phone for a track.
    pub fn rtcp(&mut self, phone: &Phone, track: Track, bytes: &[u8]) {
        let port = match track {
            Track::Audio => phone.audio_port,
            Track::Video => phone.video_port,
        };
        let mut from = phone.media_source(track);
        from.set_port(from.port() + 1);
        let bytes = self.shielded(track, bytes);
        self.datagram(from, port.unwrap_or(0) + 1, &bytes);
    }

    /// A phone's packet as it goes on the wire.
    pub fn shielded(&mut self, track: Track, bytes: &[u8]) -> Vec<u8> {
        match &mut self.shield {
            Some(shield) => shield.close(track, bytes),
            None => bytes.to_vec(),
        }
    }

    /// A datagram to one of the gateway's media ports; nothing happens when it is closed.
    pub fn datagram(&mut self, from: SocketAddr, port: u16, bytes: &[u8]) {
        let which = if port.is_multiple_of(2) {
            MediaPort::Rtp
        } else {
            MediaPort::Rtcp
        };
        let Some((index, track)) = self.outlet.media_at(port & !1) else {
            return;
        };
        self.pool_empty += u64::from(self.pool.available() == 0);
        if let Some(packet) = self.pool.copy_from(bytes) {
            within!(
                self,
                self.gateway
                    .handle_media(self.now, index, track, which, from, packet)
            );
            self.settle();
        }
    }

    /// A player connects and asks for a stream; its place among the players.
    pub fn play(&mut self, stream: &str) -> usize {
        let conn = self.outlet.accept();
        let remote = SocketAddr::from(([192, 0, 2, 50], 50_000 + self.players.len() as u16));
        let kind = ConnectionKind::Player;
        let taken = within!(
            self,
            self.gateway
                .handle_accepted(self.now, conn, kind, remote, &mut self.outlet)
        );
        if !taken {
            self.outlet.forget(conn);
        }
        let seed = self.rng.u64();
        let player = PlayerPeer::new(self.now, conn, stream, seed, taken);
        self.players.push(player);
        self.settle();
        self.players.len() - 1
    }

    /// Ends a connection from the far side.
    pub fn disconnect(&mut self, conn: ConnId, reason: &str) {
        self.outlet.forget(conn);
        self.sip_streams.retain(|(known, _)| *known != conn);
        within!(
            self,
            self.gateway.handle_disconnected(self.now, conn, reason)
        );
        self.settle();
    }

    /// Ends the newest publisher's connection from the server's side.
    pub fn kill_server(&mut self) {
        let conn = self.servers.last().expect("nobody publishes").conn;
        self.disconnect(conn, "Connection reset by peer");
    }

    /// The connection made last by a publisher.
    pub fn server(&mut self) -> &mut RtmpServer {
        self.servers.last_mut().expect("nobody publishes")
    }

    /// Lets everything that can move without time move.
    pub fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 1_000, "the world does not come to rest");
            within!(self, self.gateway.drain(self.now, &mut self.outlet));
            if !(self.deliver_sip() | self.deliver_streams() | self.deliver_files()) {
                break;
            }
        }
        if self.checks {
            self.gateway.check_invariants();
            assert_eq!(
                self.gateway.usage().connections,
                self.outlet.connections(),
                "connections of the gateway and of its outlet"
            );
            assert_eq!(
                self.gateway.usage().ports,
                self.outlet.media.len(),
                "ports leased and sockets open"
            );
        }
    }

    /// Pieces of files that were asked for, of an odd size.
    fn deliver_files(&mut self) -> bool {
        let mut any = false;
        while let Some((id, piece)) = self.outlet.take_piece(5_001) {
            any = true;
            let bytes = piece.as_deref().map_err(|trouble| *trouble);
            within!(
                self,
                self.gateway
                    .handle_file(self.now, id, bytes, &mut self.outlet)
            );
        }
        any
    }

    /// Moves the clock on, stopping at every deadline.
    pub fn advance(&mut self, time: Duration) {
        let until = self.now + time;
        self.stuck = 0;
        loop {
            let mut next = within!(self, self.gateway.poll_timeout());
            for player in &self.players {
                next = Instant::earliest(next, player.poll_timeout());
            }
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            self.stuck = if next > self.now { 0 } else { self.stuck + 1 };
            assert!(self.stuck < 1_000, "a deadline does not move");
            self.now = self.now.max(next);
            within!(self, self.gateway.handle_timeout(self.now));
            for player in &mut self.players {
                player.handle_timeout(self.now);
            }
            self.settle();
        }
        self.now = until;
    }

    fn deliver_sip(&mut self) -> bool {
        let mut moved = false;
        while let Some((_, to, bytes)) = self.outlet.sip.pop_front() {
            moved = true;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let is_answered = ["BYE ", "INFO ", "OPTIONS "];
            let is_answered = is_answered.iter().any(|method| text.starts_with(method));
            if self.answers && is_answered {
                let answer = phone::respond(&text, 200);
                within!(
                    self,
                    self.gateway.handle_sip_datagram(
                        self.now,
                        0,
                        to,
                        answer.as_bytes(),
                        &mut self.outlet,
                    )
                );
            }
            self.inbox.push((to, text));
        }
        for (conn, from) in &self.sip_streams {
            let bytes = self.outlet.take_written(*conn);
            if !bytes.is_empty() {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                self.inbox.push((*from, text));
            }
        }
        moved
    }

    fn deliver_streams(&mut self) -> bool {
        let mut moved = false;
        for (conn, host, port) in self.outlet.take_connecting() {
            moved = true;
            if port == BACKEND_PORT {
                self.connect_backend(conn);
                continue;
            }
            if port != DEFAULT_PORT {
                self.connect_phone(conn, SocketAddr::new(host.parse().unwrap(), port));
                continue;
            }
            self.attempts.push(self.now);
            match self.policy {
                Policy::Refuse => {
                    self.outlet.forget(conn);
                    let why = "Connection refused";
                    within!(self, self.gateway.handle_disconnected(self.now, conn, why));
                }
                Policy::Silent => self.outlet.hold_connecting(conn),
                policy => {
                    let policy = match policy {
                        Policy::Redirects(_) if host != HOME => Policy::ListsAll,
                        policy => policy,
                    };
                    self.outlet.connected(conn);
                    self.servers.push(RtmpServer::new(conn, self.now, policy));
                    within!(self, self.gateway.handle_connected(self.now, conn));
                }
            }
        }
        for server in &mut self.servers {
            if server.policy == Policy::Stall && server.is_publishing() {
                self.outlet.set_room(server.conn, 0);
            }
            let bytes = self.outlet.take_written(server.conn);
            let answer = server.handle_bytes(self.now, &bytes);
            moved |= !bytes.is_empty() || !answer.is_empty();
            if !answer.is_empty() {
                within!(
                    self,
                    self.gateway
                        .handle_stream(self.now, server.conn, &answer, &mut self.outlet)
                );
            }
        }
        let closing = self.servers.iter_mut().filter(|server| server.closes);
        for server in closing {
            server.closes = false;
            moved = true;
            self.outlet.forget(server.conn);
            let why = "Connection reset by peer";
            within!(
                self,
                self.gateway.handle_disconnected(self.now, server.conn, why)
            );
        }
        moved |= self.deliver_backend();
        for player in self.players.iter_mut().filter(|player| player.connected) {
            let bytes = self.outlet.take_written(player.conn);
            let answer = player.handle_bytes(self.now, &bytes);
            moved |= !bytes.is_empty() || !answer.is_empty();
            if !answer.is_empty() {
                within!(
                    self,
                    self.gateway
                        .handle_stream(self.now, player.conn, &answer, &mut self.outlet)
                );
            }
            if !self.outlet.is_open(player.conn) {
                player.connected = false;
                moved = true;
            }
        }
        moved
    }

    /// A connection that the gateway opens to the backend.
    fn connect_backend(&mut self, conn: ConnId) {
        self.backend.attempts.push(self.now);
        if self.backend.mood == Mood::Refuse {
            self.outlet.forget(conn);
            let why = "Connection refused";
            within!(self, self.gateway.handle_disconnected(self.now, conn, why));
        } else {
            self.outlet.connected(conn);
            self.backend.conns.push((conn, Vec::new()));
            within!(self, self.gateway.handle_connected(self.now, conn));
        }
    }

    fn deliver_backend(&mut self) -> bool {
        let mut moved = false;
        for conn in self
            .backend
            .conns
            .iter()
            .map(|(conn, _)| *conn)
            .collect::<Vec<_>>()
        {
            let bytes = self.outlet.take_written(conn);
            let reactions = self.backend.handle_bytes(self.now, conn, &bytes);
            moved |= !bytes.is_empty() || !reactions.is_empty();
            for reaction in reactions {
                match reaction {
                    Reaction::Answer(bytes) => within!(
                        self,
                        self.gateway
                            .handle_stream(self.now, conn, &bytes, &mut self.outlet)
                    ),
                    Reaction::HangUp => self.end_backend(conn),
                }
            }
            if !self.outlet.is_open(conn) {
                self.backend.conns.retain(|(it, _)| *it != conn);
            }
        }
        moved
    }

    fn end_backend(&mut self, conn: ConnId) {
        self.outlet.forget(conn);
        let why = "closed by the peer";
        within!(self, self.gateway.handle_disconnected(self.now, conn, why));
    }

    /// The backend dies: every connection ends, and none comes about any more.
    pub fn kill_backend(&mut self) {
        self.backend.mood = Mood::Refuse;
        for (conn, _) in std::mem::take(&mut self.backend.conns) {
            self.end_backend(conn);
        }
        self.settle();
    }

    /// A connection that SIP opens to a phone: every other phone listens.
    fn connect_phone(&mut self, conn: ConnId, phone: SocketAddr) {
        if self.rng.below(2) == 0 {
            self.outlet.forget(conn);
            let why = "Connection refused";
            within!(self, self.gateway.handle_disconnected(self.now, conn, why));
        } else {
            self.outlet.connected(conn);
            self.sip_streams.push((conn, phone));
            within!(self, self.gateway.handle_connected(self.now, conn));
        }
    }

    /// Gives a stalled connection room again.
    pub fn unstall(&mut self, conn: ConnId) {
        self.outlet.set_room(conn, usize::MAX);
        within!(self, self.gateway.handle_writable(conn));
        self.settle();
    }

    /// The lines of the journal that hold these words.
    pub fn notes(&self, words: &str) -> Vec<&str> {
        let notes = self.outlet.notes.iter();
        notes
            .map(|(_, line)| line.as_str())
            .filter(|line| line.contains(words))
            .collect()
    }

    /// Errors of the journal.
    pub fn errors(&self) -> usize {
        let notes = self.outlet.notes.iter();
        notes.filter(|(level, _)| *level == Level::Error).count()
    }
}

/// A copy with a few bytes changed, cut out, doubled or put in.
pub fn mutate(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=rng.below(6) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.below(bytes.len() as u32) as usize;
        match rng.below(5) {
            0 => bytes[at] = rng.below(256) as u8,
            1 => bytes[at] ^= 1 << rng.below(8),
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, rng.below(256) as u8),
            _ => {
                let to = (at + 1 + rng.below(20) as usize).min(bytes.len());
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}
