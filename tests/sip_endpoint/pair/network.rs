//! The network between two endpoints: datagrams that are lost, doubled, late and out of order,
//! connections that are refused and that break, and a proxy that asks the caller who it is.

use std::net::SocketAddr;

use trunkcast::base::ids::ConnId;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::sip::{SipDestination, SipTransmit};
use trunkcast::wire::sip_message::SipMessage;
use trunkcast::wire::sip_name::HeaderName;

use super::side::Side;
use crate::bench::{ms, secs};

/// Something on its way to a side.
enum Cargo {
    Datagram(Vec<u8>),
    Stream(ConnId, Vec<u8>),
    /// A connection that the side opened, or that was opened to it.
    Open(ConnId, bool),
    Refused(SocketAddr),
    Closed(ConnId),
}

/// A connection: both sides know it by the same number.
struct Link {
    conn: ConnId,
    /// Who opened it.
    from: usize,
    /// When what was sent last on it arrives, at either side.
    last: [Instant; 2],
    breaks_at: Option<Instant>,
}

pub struct Network {
    addresses: [&'static str; 2],
    loss: u32,
    double: u32,
    jitter: u32,
    breaks: bool,
    carried: Vec<(Instant, usize, Cargo)>,
    links: Vec<Link>,
    opened: u32,
    /// Connections that broke.
    pub broken: usize,
}

impl Network {
    pub fn new(rng: &mut Rng, addresses: [&'static str; 2]) -> Self {
        Self {
            addresses,
            loss: rng.below(41),
            double: rng.below(20),
            jitter: 1 + rng.below(1_500),
            breaks: rng.below(2) == 0,
            carried: Vec::new(),
            links: Vec::new(),
            opened: 0,
            broken: 0,
        }
    }

    fn delay(&self, now: Instant, rng: &mut Rng) -> Instant {
        now + ms(u64::from(1 + rng.below(self.jitter)))
    }

    /// Takes a message that a side sends.
    pub fn carry(&mut self, now: Instant, rng: &mut Rng, from: usize, sent: &SipTransmit<'_>) {
        match sent.destination {
            SipDestination::Udp(to) => {
                let is_there = to == self.addresses[1 - from].parse().unwrap();
                if is_there {
                    self.datagram(now, rng, 1 - from, sent.bytes);
                }
            }
            SipDestination::Stream { conn, remote, .. } => {
                if let Some(at) = self.link(now, rng, from, conn, remote) {
                    self.stream(now, rng, 1 - from, at, sent.bytes);
                }
            }
        }
    }

    /// The proxy's answer to what a side sent; the message goes no further.
    pub fn answer(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        to: usize,
        sent: &SipTransmit<'_>,
        answer: Vec<u8>,
    ) {
        match sent.destination {
            SipDestination::Udp(_) if answer.is_empty() => {}
            SipDestination::Udp(_) => self.datagram(now, rng, to, &answer),
            SipDestination::Stream { conn, remote, .. } => {
                let link = self.link(now, rng, to, conn, remote);
                if let Some(at) = link.filter(|_| !answer.is_empty()) {
                    self.stream(now, rng, to, at, &answer);
                }
            }
        }
    }

    fn datagram(&mut self, now: Instant, rng: &mut Rng, to: usize, bytes: &[u8]) {
        let is_lost = rng.below(100) < self.loss;
        let copies = u32::from(!is_lost) + u32::from(rng.below(100) < self.double);
        for _ in 0..copies {
            let at = self.delay(now, rng);
            self.carried.push((at, to, Cargo::Datagram(bytes.to_vec())));
        }
    }

    /// The connection that a message goes over, which may have to be opened.
    fn link(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        from: usize,
        conn: Option<ConnId>,
        remote: SocketAddr,
    ) -> Option<usize> {
        if let Some(conn) = conn {
            // One that broke without its side knowing takes what it is given to nowhere.
            return self.links.iter().position(|link| link.conn == conn);
        }
        let opening = self.links.iter().position(|link| link.from == from);
        if opening.is_some() {
            return opening;
        }
        let is_there = remote == self.addresses[1 - from].parse().unwrap();
        let at = self.delay(now, rng);
        if !is_there || (self.breaks && rng.below(20) == 0) {
            self.carried.push((at, from, Cargo::Refused(remote)));
            return None;
        }
        self.opened += 1;
        let conn = ConnId(self.opened);
        self.carried.push((at, from, Cargo::Open(conn, true)));
        self.carried.push((at, 1 - from, Cargo::Open(conn, false)));
        let breaks = self.breaks && rng.below(3) > 0;
        self.links.push(Link {
            conn,
            from,
            last: [at; 2],
            breaks_at: breaks.then(|| at + ms(u64::from(rng.below(30_000)))),
        });
        self.links.len().checked_sub(1)
    }

    /// Bytes on a connection: whole, in order, in one piece or several.
    fn stream(&mut self, now: Instant, rng: &mut Rng, to: usize, link: usize, bytes: &[u8]) {
        let at = self.delay(now, rng);
        let link = &mut self.links[link];
        let cut = rng.below(u32::try_from(bytes.len()).unwrap()) as usize;
        let (first, second) = bytes.split_at(cut * usize::from(rng.below(4) == 0));
        for piece in [first, second] {
            let at = at.max(link.last[to]) + ms(1);
            link.last[to] = at;
            let cargo = Cargo::Stream(link.conn, piece.to_vec());
            self.carried.push((at, to, cargo));
        }
    }

    /// A side closes a connection: what it sent before still arrives.
    pub fn close(&mut self, now: Instant, by: usize, conn: ConnId) {
        let Some(at) = self.links.iter().position(|link| link.conn == conn) else {
            return;
        };
        let link = self.links.swap_remove(at);
        let at = link.last[1 - by].max(now) + ms(1);
        self.carried.push((at, 1 - by, Cargo::Closed(conn)));
    }

    /// Hands over what has arrived by now, one piece a side.
    pub fn deliver(&mut self, now: Instant, rng: &mut Rng, sides: &mut [Side; 2]) {
        let broken = |link: &Link| link.breaks_at.is_some_and(|at| at <= now);
        while let Some(at) = self.links.iter().position(broken) {
            let link = self.links.swap_remove(at);
            self.broken += 1;
            let is_of = |cargo: &Cargo| match cargo {
                Cargo::Stream(conn, _) => *conn == link.conn,
                _ => false,
            };
            self.carried.retain(|(_, _, cargo)| !is_of(cargo));
            // One of them may notice much later.
            for side in 0..2 {
                let late = if rng.below(3) == 0 { 4_000 } else { 100 };
                let opened = link.last.iter().copied().max().unwrap_or(now);
                let at = now.max(opened) + ms(u64::from(rng.below(late)));
                self.carried.push((at, side, Cargo::Closed(link.conn)));
            }
        }
        let due = |carried: &[(Instant, usize, Cargo)]| {
            let due = carried
                .iter()
                .enumerate()
                .filter(|(_, (at, ..))| *at <= now);
            due.min_by_key(|(_, (at, ..))| *at).map(|(place, _)| place)
        };
        let Some(place) = due(&self.carried) else {
            return;
        };
        let (_, to, cargo) = self.carried.remove(place);
        let from: SocketAddr = self.addresses[1 - to].parse().unwrap();
        let side = &mut sides[to];
        side.touched = true;
        match cargo {
            Cargo::Datagram(bytes) => side.endpoint.handle_datagram(now, from, &bytes),
            Cargo::Stream(conn, bytes) => side.endpoint.handle_stream(now, conn, &bytes),
            Cargo::Open(conn, true) => side.connected(now, conn, self.addresses[1 - to], true),
            Cargo::Open(conn, false) => {
                let far = format!("{}:{}", from.ip(), 40_000 + conn.0);
                side.connected(now, conn, &far, false);
            }
            Cargo::Refused(remote) => {
                let why = "Connection refused";
                side.endpoint.handle_connect_failed(now, remote, false, why);
            }
            Cargo::Closed(conn) => side.endpoint.handle_disconnected(now, conn),
        }
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let carried = self.carried.iter().map(|(at, ..)| *at).min();
        let breaks = self.links.iter().filter_map(|link| link.breaks_at).min();
        Instant::earliest(carried, breaks)
    }

    /// Whether nothing is on its way.
    pub fn is_quiet(&self) -> bool {
        self.carried.is_empty()
    }
}

/// Lets requests of the caller pass with credentials for its newest nonce alone.
pub struct Proxy {
    nonce: u64,
    since: Option<Instant>,
    /// Challenges there were.
    pub asked: usize,
}

impl Proxy {
    pub fn new() -> Self {
        Self {
            nonce: 1,
            since: None,
            asked: 0,
        }
    }

    /// What it answers by itself; empty where it says nothing, and nothing where it lets a message pass.
    pub fn asks(&mut self, now: Instant, bytes: &[u8]) -> Option<Vec<u8>> {
        if bytes.starts_with(b"SIP/2.0 ") {
            return None;
        }
        let message = SipMessage::parse(bytes).ok()?;
        let method = message.method()?.to_string();
        let headers = message.headers();
        let has_tag = |tag: &str| message.to().tag() == Some(tag);
        if method == "ACK" {
            // Of its own challenge.
            return has_tag("proxy").then(Vec::new);
        }
        if method == "CANCEL" {
            return None;
        }
        if self.since.is_none_or(|since| now.since(since) > secs(20)) {
            self.since = Some(now);
            self.nonce += 1;
        }
        let nonce = format!("nonce=\"n{}\"", self.nonce);
        let proof = headers.text(HeaderName::ProxyAuthorization);
        if proof.as_ref().is_some_and(|proof| proof.contains(&nonce)) {
            return None;
        }
        self.asked += 1;
        let stale = if proof.is_some() { ", stale=true" } else { "" };
        let to = headers.text(HeaderName::To)?;
        let tag = if message.to().tag().is_some() {
            ""
        } else {
            ";tag=proxy"
        };
        let answer = format!(
            "SIP/2.0 407 Proxy Authentication Required\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\n\
             Call-ID: {}\r\nCSeq: {}\r\n\
             Proxy-Authenticate: Digest realm=\"proxy\", {nonce}, algorithm=MD5, qop=\"auth\"{stale}\r\n\
             Content-Length: 0\r\n\r\n",
            headers.text(HeaderName::Via)?,
            headers.text(HeaderName::From)?,
            message.call_id(),
            headers.text(HeaderName::CSeq)?,
        );
        Some(answer.into_bytes())
    }
}
