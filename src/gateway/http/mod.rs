//! HTTP as a guest of the loop: a fixed table of connections, served after calls and within bounds.
//!
//! Bytes are only put together when they come; whole requests wait in one queue for the end of the
//! turn, which answers so many of them and leaves the rest to the next. What they mean is
//! [`rest`]'s matter.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod connection;
mod deferred;
pub mod exchange;
pub mod guard;

use core::net::{IpAddr, SocketAddr};
use core::ops::Range;

use heapless::Deque;

use crate::base::ids::ConnId;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::gateway::connections::User;
use crate::gateway::contain::contained;
use crate::gateway::outlet::{Level, Outlet};
use crate::gateway::page::Door;
use crate::gateway::{Gateway, page, rest};
use crate::limits::{
    HTTP_BYTES_A_TURN, HTTP_CONNECTIONS, HTTP_CONNECTIONS_AN_ADDRESS, HTTP_REQUESTS_A_TURN,
    HTTP_UNSENT_BYTES, PAGE_CONNECTIONS, PAGE_CONNECTIONS_AN_ADDRESS, PAGE_DOCUMENTS,
};
use crate::wire::http::{HttpFault, Method};
use crate::wire::http_answer::{Answer, Printing};

use connection::{Face, HttpConnection, Request};
use deferred::{Deferred, Wait};
use embedded_svc::http::Query;
use exchange::Exchange;
use guard::Guard;

/// Places for connections: those of REST, then those of the page.
const PLACES: usize = HTTP_CONNECTIONS + PAGE_CONNECTIONS;

/// What HTTP did and refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpCounters {
    /// Requests answered, whatever the answer was.
    pub requests: u64,
    /// Requests refused because they are not HTTP as it is taken here.
    pub malformed: u64,
    /// Connections closed because a request did not come, or an answer was not read, in time.
    pub timed_out: u64,
    /// Connections closed to make room for others.
    pub evicted: u64,
    /// Connections closed at once because there was no room.
    pub turned_away: u64,
    /// Requests with a password that does not fit.
    pub logins_failed: u64,
    /// Requests of addresses that had to wait for their next login.
    pub logins_locked: u64,
    /// Answers replaced by a 503 because too much waited to be sent.
    pub overloaded: u64,
    /// Requests ended by a defect of this program.
    pub crashed: u64,
}

/// What was served in one turn of the loop.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    at: Instant,
    requests: usize,
    bytes: usize,
}

/// Every HTTP connection, and who may come.
pub struct Http {
    clients: Vec<Option<Box<HttpConnection>>>,
    /// Connections touched since they were last settled, each once.
    dirty: heapless::Vec<usize, PLACES>,
    /// Connections with a whole request, longest first, each once.
    waiting: Deque<usize, PLACES>,
    turn: Turn,
    next_desk: u32,
    /// Answers that wait, one a connection at most.
    deferred: Vec<Deferred>,
    pub(super) guard: Guard,
    /// The way in to the page.
    pub(super) door: Door,
    pub(super) counters: HttpCounters,
}

impl Http {
    /// No connection yet.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            clients: (0..PLACES).map(|_| None).collect(),
            dirty: heapless::Vec::new(),
            waiting: Deque::new(),
            turn: Turn::default(),
            next_desk: 0,
            deferred: Vec::new(),
            guard: Guard::new(rng),
            door: Door::new(rng),
            counters: HttpCounters::default(),
        }
    }

    /// Bytes from a connection's client.
    pub fn handle_bytes(&mut self, now: Instant, at: usize, bytes: &[u8]) {
        let mut holders = self.clients.iter().flatten();
        let room = holders.by_ref().filter(|client| client.holds_document());
        let room = room.count() < PAGE_DOCUMENTS;
        let door = &self.door;
        let Some(client) = self.clients.get_mut(at).and_then(Option::as_deref_mut) else {
            return;
        };
        let face = client.face();
        client.handle_bytes_if(now, bytes, &|head| {
            room && face.is_page() && door.may_send_document(now, head, face)
        });
        self.touch(at);
    }

    /// A connection's client sends nothing more; false when the connection is of no further use.
    pub fn handle_end(&mut self, at: usize) -> bool {
        self.get_mut(at).is_some_and(HttpConnection::handle_end)
    }

    /// A connection's socket takes bytes again.
    pub fn handle_writable(&mut self, at: usize) {
        if let Some(client) = self.get_mut(at) {
            client.handle_writable();
            self.touch(at);
        }
    }

    /// Ends what has waited in vain.
    pub fn handle_timeout(&mut self, now: Instant) {
        for at in 0..self.clients.len() {
            let Some(client) = self.get_mut(at) else {
                continue;
            };
            if client.poll_timeout().is_some_and(|due| due <= now) {
                client.handle_timeout(now);
                self.counters.timed_out += 1;
                self.touch(at);
            }
        }
    }

    /// Ends every connection of these faces: they came in when other rules held.
    pub fn end_all(&mut self, of: impl Fn(Face) -> bool) {
        for at in 0..self.clients.len() {
            if let Some(client) = self.get_mut(at).filter(|client| of(client.face())) {
                client.end();
                self.touch(at);
            }
        }
    }

    /// When [`Self::handle_timeout`] is next to be called, or requests are next to be served.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = self.clients.iter().flatten();
        let first = timers.filter_map(|client| client.poll_timeout()).min();
        let more = (!self.waiting.is_empty())
            .then(|| Instant::from_micros(self.turn.at.as_micros().saturating_add(1)));
        let deferred = self.deferred.iter();
        let late = deferred.filter_map(Deferred::until).min();
        Instant::earliest(Instant::earliest(first, late), more)
    }

    /// The connection at a place.
    pub fn get(&self, at: usize) -> Option<&HttpConnection> {
        self.clients.get(at)?.as_deref()
    }

    /// Connections in the table.
    pub fn len(&self) -> usize {
        self.clients.iter().flatten().count()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets a connection that is closed.
    pub fn forget(&mut self, at: usize) {
        if let Some(place) = self.clients.get_mut(at) {
            *place = None;
        }
        self.dirty.retain(|dirty| *dirty != at);
        self.waiting.retain(|waiting| *waiting != at);
    }

    fn get_mut(&mut self, at: usize) -> Option<&mut HttpConnection> {
        self.clients.get_mut(at)?.as_deref_mut()
    }

    fn touch(&mut self, at: usize) {
        if !self.dirty.contains(&at) {
            // There is one place for each connection.
            let _ = self.dirty.push(at);
        }
    }

    /// The connection that has been of no use for longest, of one address or of all.
    fn oldest(&self, now: Instant, places: Range<usize>, of: Option<IpAddr>) -> Option<usize> {
        let clients = self.clients.iter().enumerate();
        let places = clients.take(places.end).skip(places.start);
        let waiting = places.filter_map(|(at, client)| {
            let client = client.as_deref()?;
            let counts = of.is_none_or(|remote| client.remote() == remote);
            Some((client.waiting_since(now).filter(|_| counts)?, at))
        });
        waiting.min().map(|(_, at)| at)
    }

    fn begin_turn(&mut self, now: Instant) {
        if now > self.turn.at {
            self.turn = Turn {
                at: now,
                ..Turn::default()
            };
        }
    }

    /// The next request, while this turn has room for it.
    fn next(&mut self) -> Option<usize> {
        let Turn {
            requests, bytes, ..
        } = self.turn;
        if requests >= HTTP_REQUESTS_A_TURN || bytes >= HTTP_BYTES_A_TURN {
            return None;
        }
        self.waiting.pop_front()
    }

    /// Bytes of all answers of one face that wait for their sockets.
    fn unsent(&self, face: Face) -> usize {
        let places = places(face);
        let clients = self.clients.get(places).unwrap_or_default();
        let clients = clients.iter().flatten();
        clients.map(|client| client.unsent()).sum()
    }
}

/// The places of one face.
fn places(face: Face) -> Range<usize> {
    match face {
        Face::Rest => 0..HTTP_CONNECTIONS,
        Face::Page { .. } => HTTP_CONNECTIONS..PLACES,
    }
}

impl Gateway {
    /// Takes a connection in; its place, or `None` when there is no room for it.
    pub(super) fn accept_http(
        &mut self,
        now: Instant,
        conn: ConnId,
        remote: SocketAddr,
        face: Face,
        outlet: &mut dyn Outlet,
    ) -> Option<usize> {
        let remote = remote.ip();
        let places = places(face);
        let of_address = match face {
            Face::Rest => HTTP_CONNECTIONS_AN_ADDRESS,
            Face::Page { .. } => PAGE_CONNECTIONS_AN_ADDRESS,
        };
        let clients = self.http.clients.get(places.clone()).unwrap_or_default();
        let there = clients.iter().flatten();
        let same = there.filter(|client| client.remote() == remote).count();
        let full = clients.iter().all(Option::is_some);
        if same >= of_address || full {
            let of = (same >= of_address).then_some(remote);
            let Some(at) = self.http.oldest(now, places.clone(), of) else {
                self.http.counters.turned_away += 1;
                return None;
            };
            self.http.counters.evicted += 1;
            self.close_http(at, outlet);
        }
        let mut free = self.http.clients.iter().enumerate();
        let mut free = free.by_ref().take(places.end).skip(places.start);
        let (at, _) = free.find(|(_, place)| place.is_none())?;
        let client = HttpConnection::new(now, conn, remote, face);
        *self.http.clients.get_mut(at)? = Some(Box::new(client));
        Some(at)
    }

    /// Bytes of a client. A defect in reading them ends its connection and nothing else.
    pub(super) fn read_http(
        &mut self,
        now: Instant,
        at: usize,
        bytes: &[u8],
        outlet: &mut dyn Outlet,
    ) {
        let http = &mut self.http;
        if contained(|| http.handle_bytes(now, at, bytes)).is_none() {
            self.http.counters.crashed += 1;
            let line = format_args!("an HTTP connection was ended by a defect of this program");
            outlet.note(Level::Error, line);
            self.close_http(at, outlet);
        }
    }

    /// Writes what is to be written and answers as many requests as a turn may; whether any was.
    pub(super) fn drain_http(&mut self, now: Instant, outlet: &mut dyn Outlet) -> bool {
        self.time_deferred(now, outlet);
        while let Some(at) = self.http.dirty.pop() {
            self.settle_http(now, at, outlet);
        }
        if self.http.waiting.is_empty() {
            return false;
        }
        self.http.begin_turn(now);
        let before = self.http.counters.requests;
        while let Some(at) = self.http.next() {
            self.serve(now, at, outlet);
            self.settle_http(now, at, outlet);
        }
        self.http.counters.requests != before
    }

    /// Writes to one connection; then lets it wait for its request to be served, or closes it.
    fn settle_http(&mut self, now: Instant, at: usize, outlet: &mut dyn Outlet) {
        let Some(client) = self.http.get_mut(at) else {
            return;
        };
        loop {
            let bytes = client.poll_transmit();
            if bytes.is_empty() {
                break;
            }
            let taken = outlet.write(client.conn(), bytes);
            client.transmitted(now, taken);
        }
        if client.is_over() {
            self.close_http(at, outlet);
        } else if client.has_request() && !self.http.waiting.iter().any(|it| *it == at) {
            // There is one place for each connection.
            let _ = self.http.waiting.push_back(at);
        }
    }

    /// Answers the request of one connection.
    fn serve(&mut self, now: Instant, at: usize, outlet: &mut dyn Outlet) {
        let Some(client) = self.http.get_mut(at) else {
            return;
        };
        let (remote, face) = (client.remote(), client.face());
        let (conn, full) = (client.conn(), client.must_close());
        let Some(taken) = client.poll_request() else {
            return;
        };
        let unix_millis = self.unix_millis(now);
        let mut printing = Printing {
            minor: 1,
            close: true,
            bodyless: false,
            unix_seconds: unix_millis / 1_000,
        };
        let answer = match taken {
            Ok(request) => {
                printing.minor = request.head.minor_version();
                printing.close = full || self.stopping || !request.head.keep_alive();
                printing.bodyless = request.head.method() == Method::Head;
                let path = request.head.path().to_owned();
                match self.answer(now, remote, face, request, outlet) {
                    Ok(answer) => answer,
                    Err(wait) => {
                        return self.http.deferred.push(Deferred {
                            wait,
                            face,
                            at,
                            conn,
                            path,
                            printing,
                        });
                    }
                }
            }
            Err(fault) => {
                // Counted where its time was over.
                if fault != HttpFault::Timeout {
                    self.http.counters.malformed += 1;
                }
                match face {
                    Face::Rest => rest::refusal(fault, unix_millis),
                    Face::Page { secure } => page::refusal(fault, secure),
                }
            }
        };
        self.send_answer(now, at, answer, printing);
    }

    /// Gives an answer that is known to its connection.
    fn send_answer(&mut self, now: Instant, at: usize, answer: Answer, mut printing: Printing) {
        let unix_millis = self.unix_millis(now);
        let mut bytes = answer.print(printing);
        let face = self.http.get(at).map_or(Face::Rest, HttpConnection::face);
        if self.http.unsent(face).saturating_add(bytes.len()) > HTTP_UNSENT_BYTES {
            self.http.counters.overloaded += 1;
            printing.close = true;
            let answer = match face {
                Face::Rest => rest::overload(unix_millis),
                Face::Page { secure } => page::busy(secure),
            };
            bytes = answer.print(printing);
        }
        let http = &mut self.http;
        http.counters.requests += 1;
        http.turn.requests = http.turn.requests.saturating_add(1);
        http.turn.bytes = http.turn.bytes.saturating_add(bytes.len());
        if let Some(client) = http.get_mut(at) {
            client.answer(now, &bytes, printing.close);
        }
    }

    /// What a request is answered with, or what its answer waits for; a defect in that is contained.
    fn answer(
        &mut self,
        now: Instant,
        remote: IpAddr,
        face: Face,
        request: Request,
        outlet: &mut dyn Outlet,
    ) -> Result<Answer, Wait> {
        if face.is_page() {
            let outcome = contained(|| {
                let mut exchange = Exchange::new(self, outlet, now, remote, face, request);
                page::handle(&mut exchange)
            });
            return self.settle_outcome(now, face.is_secure(), outcome, outlet);
        }
        let unix_millis = self.unix_millis(now);
        let answer = contained(|| {
            let mut exchange = Exchange::new(self, outlet, now, remote, face, request);
            rest::handle(&mut exchange);
            match exchange.deferred() {
                Some(id) => Some(Err(Wait::File(id))),
                None => exchange.into_answer().map(Ok),
            }
        });
        answer.flatten().unwrap_or_else(|| {
            self.note_defect(outlet);
            Ok(rest::defect(unix_millis))
        })
    }

    fn note_defect(&mut self, outlet: &mut dyn Outlet) {
        self.http.counters.crashed += 1;
        let line = format_args!("HTTP: a request met a defect of this program");
        outlet.note(Level::Error, line);
    }

    fn close_http(&mut self, at: usize, outlet: &mut dyn Outlet) {
        if let Some(client) = self.http.get(at) {
            let conn = client.conn();
            self.connections.remove(conn);
            outlet.close(conn);
            self.http.forget(at);
        }
    }

    /// What HTTP did so far.
    pub fn http_counters(&self) -> &HttpCounters {
        &self.http.counters
    }

    /// Tables of HTTP that must agree; for tests and fuzzers.
    pub(super) fn check_http(&self) {
        for (at, client) in self.http.clients.iter().enumerate() {
            let Some(client) = client else { continue };
            let user = self.connections.user(client.conn());
            assert_eq!(user, Some(User::Http(at)), "an HTTP connection");
        }
        for at in self.http.waiting.iter().chain(&self.http.dirty) {
            assert!(self.http.get(*at).is_some(), "HTTP work for nobody");
        }
    }
}
