//! The endpoint: one entry and one exit for all SIP of a trunk.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::base::counter::count;
use crate::base::ids::{CallId, ConnId};
use crate::base::network::{Network, Transport};
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::limits::{
    SIP_MESSAGE_BYTES, SIP_PEERS, SIP_REGISTRATIONS, SIP_ROUTES, SIP_SPARE_CALLS,
    SIP_SPARE_CONNECTIONS, SIP_SPARE_REQUESTS, SIP_SPARE_TRANSACTIONS, SIP_TARGETS,
    SIP_TRANSACTIONS_PER_CALL, SIP_TRANSMITS,
};
use crate::wire::sip_message::SipMessage;

use super::abuse::Standing;
use super::authentication::Credentials;
use super::connections::{Connections, Opened, Worth};
use super::dialog::Arrival;
use super::event::{Cause, EndedBy, SipCounters, SipEvent};
use super::guard::{Guard, Rates};
use super::keep_alive::Patience;
use super::ping::Pings;
use super::registration::Registration;
use super::ruling::Ruling;
use super::session::Session;
use super::session_timer::SessionTimers;
use super::table::{Slot, Table};
use super::transaction_client::{ClientTransaction, Unanswered};
use super::transaction_invite::InviteTransaction;
use super::transaction_server::ServerTransaction;
use super::transmit::{Printed, SipDestination, SipTransmit, TransmitQueue};

/// What an endpoint is told of its trunk.
#[derive(Clone, Debug)]
pub struct SipConfig {
    /// The address and port that peers reach the trunk at, in Contact and Via, unless
    /// [`SipEndpoint::set_local`] says otherwise.
    pub local: SocketAddr,
    /// `Server` of answers and `User-Agent` of requests.
    pub user_agent: String,
    /// Display name in Contact.
    pub display_name: Option<String>,
    /// Who may call. Everybody else is not answered at all.
    pub allow: Vec<Network>,
    /// Calls at once; one more is answered with 503.
    pub calls: usize,
    /// Whether nothing is ever sent but over TLS.
    pub secure_only: bool,
    /// Session timers (RFC 4028), if they are used.
    pub session_timer: Option<SessionTimers>,
}

/// Why a connection was not taken; the owner closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionRefused {
    /// Its far end may not call.
    Source,
    /// Its far end sends too much.
    Excess,
    /// Every connection there may be is in use by a call, or by somebody who matters more.
    Full,
}

impl fmt::Display for ConnectionRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "not allowed to call",
            Self::Excess => "too often",
            Self::Full => "too many connections",
        })
    }
}

/// The SIP machine of one trunk. Its tables are as large as they will ever be from the start.
pub struct SipEndpoint {
    pub(super) config: SipConfig,
    /// Our address as seen by peers, where it is not the configured one; the oldest goes first, and
    /// calls that are up have a copy of theirs.
    routes: heapless::Vec<(IpAddr, IpAddr), SIP_ROUTES>,
    pub(super) rng: Rng,
    /// Makes the tags of answers without state: the same for the same request.
    pub(super) secret: u64,
    pub(super) sessions: Table<Session>,
    /// Sessions whose end the owner was not told.
    pub(super) live: usize,
    pub(super) servers: Table<ServerTransaction>,
    pub(super) clients: Table<ClientTransaction>,
    /// INVITEs of ours.
    pub(super) invites: Table<InviteTransaction>,
    /// Who is listened to though he may not call.
    pub(super) peers: heapless::Vec<IpAddr, SIP_PEERS>,
    /// Entries of the tables when the list of peers was last looked through.
    pub(super) busy_before: usize,
    /// The PBX, of those who may call.
    pub(super) pbx: heapless::Vec<IpAddr, SIP_TARGETS>,
    /// Who we are there.
    pub(super) account: Option<Rc<Credentials>>,
    pub(super) guard: Guard,
    pub(super) registrations: Table<Box<Registration>>,
    pub(super) pings: Pings,
    /// Why a connection could not be opened, while those that waited for it are told.
    pub(super) connect_failure: Option<Box<str>>,
    pub(super) connections: Connections,
    pub(super) counters: SipCounters,
    pub(super) scratch: Box<[u8]>,
    pub(super) ruling: Ruling,
    transmits: TransmitQueue,
    events: VecDeque<SipEvent>,
    events_capacity: usize,
    deadline: Option<Instant>,
    /// Whose timer is at work.
    pub(super) turn: Option<Turn>,
    #[cfg(test)]
    pub(super) breaks: bool,
}

/// An entry whose deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Server(Slot),
    Client(Slot),
    Invite(Slot),
    Session(Slot),
}

impl SipEndpoint {
    /// An endpoint without calls.
    pub fn new(config: SipConfig, mut rng: Rng) -> Self {
        let calls = config.calls;
        let sessions = calls.saturating_mul(2).saturating_add(SIP_SPARE_CALLS);
        let connections = calls.saturating_add(SIP_SPARE_CONNECTIONS);
        // An INVITE is taken when there is room for all that its call may tell before it is drained:
        // four events a call.
        let events = calls.saturating_mul(4).saturating_add(connections);
        let servers = calls.saturating_mul(SIP_TRANSACTIONS_PER_CALL);
        Self {
            secret: rng.u64(),
            rng,
            sessions: Table::new(sessions),
            live: 0,
            servers: Table::new(servers.saturating_add(SIP_SPARE_TRANSACTIONS)),
            clients: Table::new(
                sessions
                    .saturating_mul(2)
                    .saturating_add(SIP_SPARE_REQUESTS),
            ),
            invites: Table::new(sessions.saturating_add(SIP_SPARE_REQUESTS)),
            peers: heapless::Vec::new(),
            busy_before: 0,
            pbx: heapless::Vec::new(),
            account: None,
            guard: Guard::new(Rates::UNLIMITED),
            registrations: Table::new(SIP_REGISTRATIONS),
            connect_failure: None,
            pings: Pings::default(),
            connections: Connections::new(connections),
            counters: SipCounters::default(),
            scratch: vec![0; SIP_MESSAGE_BYTES].into(),
            ruling: Ruling::default(),
            transmits: TransmitQueue::new(),
            events: VecDeque::with_capacity(events.saturating_add(EVENTS_SPARE)),
            events_capacity: events.saturating_add(EVENTS_SPARE),
            deadline: None,
            turn: None,
            #[cfg(test)]
            breaks: false,
            routes: heapless::Vec::new(),
            config,
        }
    }

    /// Whether a source may call.
    pub fn allows(&self, address: IpAddr) -> bool {
        let mut allow = self.config.allow.iter();
        allow.any(|network| network.contains(address))
    }

    /// Whether a source may begin a handshake with TLS, before which there is no connection. It counts
    /// as one message, and the connection as another.
    pub fn admits(&mut self, now: Instant, address: IpAddr) -> bool {
        self.takes(now, address, TLS_WORD).is_ok()
    }

    /// Says anew who may call. Calls that are up stay.
    pub fn set_allow(&mut self, allow: Vec<Network>) {
        self.config.allow = allow;
    }

    /// Changes the session timers of calls to come; none without them.
    pub fn set_session_timer(&mut self, session_timer: Option<SessionTimers>) {
        self.config.session_timer = session_timer;
    }

    /// Sets the display name in Contact.
    pub fn set_display_name(&mut self, name: Option<String>) {
        self.config.display_name = name;
    }

    /// Says at which address of ours a peer reaches us, where it is not the configured one. To be said
    /// before what comes from it is handed in; a call keeps the address that it began with.
    pub fn set_local(&mut self, remote: IpAddr, local: IpAddr) {
        if self.local_for(remote) == local {
            return;
        }
        self.routes.retain(|(to, _)| *to != remote);
        if self.routes.is_full() {
            self.routes.remove(0);
        }
        // Room was made above.
        let _ = self.routes.push((remote, local));
    }

    /// The address of ours that a peer reaches us at.
    pub(super) fn local_for(&self, remote: IpAddr) -> IpAddr {
        let route = self.routes.iter().find(|(to, _)| *to == remote);
        route.map_or(self.config.local.ip(), |(_, local)| *local)
    }

    /// Takes a datagram: one message, or nothing of interest. Work grows with its length alone.
    pub fn handle_datagram(&mut self, now: Instant, remote: SocketAddr, bytes: &[u8]) {
        if self.takes(now, remote.ip(), bytes).is_err() {
            return;
        }
        let arrival = Arrival::datagram(remote);
        self.receive(now, arrival, SipMessage::parse(bytes));
        self.settle();
    }

    /// Takes a connection that a peer opened, with TLS done where it is `secure`.
    pub fn handle_accepted(
        &mut self,
        now: Instant,
        conn: ConnId,
        remote: SocketAddr,
        secure: bool,
    ) -> Result<(), ConnectionRefused> {
        let word = if secure { TLS_WORD } else { TCP_WORD };
        match self.takes(now, remote.ip(), word) {
            Ok(()) => {}
            Err(Standing::Stranger) => return Err(ConnectionRefused::Source),
            Err(Standing::Caller | Standing::Peer) => return Err(ConnectionRefused::Excess),
        }
        self.take_connection(now, conn, (remote, secure), Patience::new(now, None))
    }

    /// Whether a call or a registration needs a connection.
    pub(super) fn is_connection_in_use(&self, conn: ConnId) -> bool {
        self.connections.far(conn).is_some_and(|(remote, secure)| {
            let needs = needs_connection(&self.sessions, &self.registrations);
            needs(conn, remote, secure)
        })
    }

    fn take_connection(
        &mut self,
        now: Instant,
        conn: ConnId,
        far: (SocketAddr, bool),
        patience: Patience,
    ) -> Result<(), ConnectionRefused> {
        // What a connection is worth is known to all but the connections.
        let mut connections = core::mem::replace(&mut self.connections, Connections::new(0));
        let opened = {
            let needs = needs_connection(&self.sessions, &self.registrations);
            let of = |remote: SocketAddr| match self.standing(remote.ip()) {
                Standing::Peer => Worth::Peer,
                Standing::Caller | Standing::Stranger => Worth::Caller,
            };
            let worth = |conn, remote, secure| match needs(conn, remote, secure) {
                true => Worth::InUse,
                false => of(remote),
            };
            connections.add(now, conn, far, patience, of(far.0), worth)
        };
        self.connections = connections;
        match opened {
            Opened::Added => {}
            Opened::Replaced(other) => {
                count(&mut self.counters.connections_evicted);
                self.push_event(SipEvent::Disconnect { conn: other });
            }
            Opened::Refused => {
                count(&mut self.counters.connections_refused);
                return Err(ConnectionRefused::Full);
            }
        }
        self.settle();
        Ok(())
    }

    /// Takes a connection that the owner opened for a [`SipDestination::Stream`] without one. A refused
    /// one is told to be closed by [`SipEvent::Disconnect`] as well.
    pub fn handle_connected(
        &mut self,
        now: Instant,
        conn: ConnId,
        remote: SocketAddr,
        secure: bool,
    ) -> Result<(), ConnectionRefused> {
        let taken = if self.hears(remote.ip()) {
            let patience = Patience::new(now, Some(&mut self.rng));
            self.take_connection(now, conn, (remote, secure), patience)
        } else {
            count(&mut self.counters.source_refused);
            Err(ConnectionRefused::Source)
        };
        if taken.is_err() {
            self.push_event(SipEvent::Disconnect { conn });
        }
        taken
    }

    /// A connection to `remote` could not be opened: requests that were to go over it have failed,
    /// for the reason given.
    pub fn handle_connect_failed(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        secure: bool,
        reason: &str,
    ) {
        self.connect_failure = (!reason.is_empty()).then(|| reason.into());
        let failed = SipDestination::Stream {
            secure,
            conn: None,
            remote,
        };
        while let Some(slot) = self.waiting_client(|t| t.destination() == failed) {
            self.request_failed(now, slot, Unanswered::Unreachable);
        }
        self.invites_unreachable(now, failed);
        self.connect_failure = None;
        self.settle();
    }

    /// A connection is gone. Requests that wait for their answer on it go again over a new one.
    pub fn handle_disconnected(&mut self, now: Instant, conn: ConnId) {
        let Some((remote, secure)) = self.connections.remove(conn) else {
            return;
        };
        self.invites_disconnected(now, conn, (remote, secure));
        let on_it = |destination: SipDestination| matches!(destination, SipDestination::Stream { conn: Some(id), .. } if id == conn);
        while let Some(slot) = self.waiting_client(|t| on_it(t.destination())) {
            let moved = self.clients.update(slot, ClientTransaction::move_to_new);
            if let Some((destination, request)) = moved {
                count(&mut self.counters.resent);
                self.send(destination, request);
            }
        }
        self.registration_lost(now, remote, secure);
        self.settle();
    }

    /// Takes bytes of a connection, in any pieces. Work grows with their number alone.
    pub fn handle_stream(&mut self, now: Instant, conn: ConnId, bytes: &[u8]) {
        let Some((mut framer, remote, secure)) = self.connections.take_framer(now, conn) else {
            return;
        };
        let arrival = Arrival::stream(conn, remote, secure);
        let is_tls = !secure && self.connections.is_silent(conn) && bytes.first() == Some(&TLS);
        let taken = match is_tls {
            true => None,
            false => self.receive_stream(now, arrival, &mut framer, bytes),
        };
        if let Some(whole) = taken {
            self.connections.return_framer(now, conn, framer, whole);
        } else {
            if is_tls {
                count(&mut self.counters.tls_unexpected);
            }
            count(&mut self.counters.streams_broken);
            self.connections.remove(conn);
            self.registration_lost(now, remote, secure);
            self.push_event(SipEvent::Disconnect { conn });
        }
        self.settle();
    }

    /// Does what is due. When more is due than messages can be queued, the rest waits for the next
    /// call, and [`SipEndpoint::poll_timeout`] goes on naming the past.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..SIP_TRANSMITS {
            if self.transmits.is_full() || !self.one_timeout(now) {
                break;
            }
        }
        self.tell_abuse(now);
        self.settle();
    }

    /// Puts a defect into the next timer.
    #[cfg(test)]
    pub(crate) fn break_next_timer(&mut self) {
        self.breaks = true;
    }

    /// Gives up that whose timer [`SipEndpoint::handle_timeout`] was at when a defect ended it, lest it
    /// be due for ever.
    pub fn give_up_turn(&mut self) {
        match self.turn.take() {
            Some(Turn::Server(slot)) => drop(self.servers.remove(slot)),
            Some(Turn::Client(slot)) => drop(self.clients.remove(slot)),
            Some(Turn::Invite(slot)) => drop(self.invites.remove(slot)),
            Some(Turn::Session(slot)) => {
                let session = self.sessions.remove(slot);
                let calling = session.as_ref().and_then(Session::calling);
                if let Some(invite) = calling.and_then(|calling| calling.invite) {
                    self.invites.remove(invite);
                }
                for theirs in session.iter().flat_map(Session::unanswered) {
                    self.servers.remove(theirs);
                }
                if session.is_some_and(|session| !session.is_ending()) {
                    self.tell_ended(slot, Cause::new(500, Cause::DEFECT), EndedBy::Local);
                }
            }
            None => {}
        }
        self.settle();
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<SipTransmit<'_>> {
        self.transmits.pop()
    }

    /// The next thing to know. Messages that wait are to be sent before it is acted upon.
    pub fn poll_event(&mut self) -> Option<SipEvent> {
        self.events.pop_front()
    }

    /// When [`SipEndpoint::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// What was counted.
    pub fn counters(&self) -> &SipCounters {
        &self.counters
    }

    /// Calls whose end the owner was not told.
    pub fn calls(&self) -> usize {
        self.live
    }

    /// Calls that have ended but for our BYE or CANCEL, which is not sent or not answered.
    pub fn closing_calls(&self) -> usize {
        let cancelled = self.invites.iter().filter(|(_, t)| t.is_cancelled());
        let ending = self.sessions.len().saturating_sub(self.live);
        ending.saturating_add(cancelled.count())
    }

    /// Entries of all tables but that of connections: nothing is going on when it is 0.
    pub fn busy(&self) -> usize {
        let transactions = self.servers.len().saturating_add(self.clients.len());
        let transactions = transactions.saturating_add(self.invites.len());
        self.sessions.len().saturating_add(transactions)
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Panics when the tables disagree; for tests and fuzzers.
    pub fn check_invariants(&self) {
        self.sessions.check_invariants();
        self.servers.check_invariants();
        self.clients.check_invariants();
        self.invites.check_invariants();
        self.registrations.check_invariants();
        let live = self.sessions.iter().filter(|(_, s)| !s.is_ending()).count();
        assert_eq!(live, self.live, "calls counted and calls held differ");
        for (_, session) in self.sessions.iter() {
            let calling = session.calling().and_then(|calling| calling.invite);
            let has_invite = calling.is_none_or(|invite| self.invites.get(invite).is_some());
            assert!(has_invite, "a call of ours has lost its INVITE");
            let mut unanswered = session.unanswered();
            let has_transaction = unanswered.all(|slot| self.servers.get(slot).is_some());
            assert!(has_transaction, "a request has lost its transaction");
        }
        let unanswered = self.servers.iter().filter(|(_, t)| t.is_proceeding());
        let awaited = self.sessions.iter().flat_map(|(_, s)| s.unanswered());
        assert_eq!(
            unanswered.count(),
            awaited.count(),
            "a request that nobody will answer"
        );
        assert!(
            self.events.len() <= self.events_capacity,
            "events have grown"
        );
    }

    /// Queues a message, on a connection that is open or without one.
    pub(super) fn send(&mut self, destination: SipDestination, message: Printed) {
        let destination = self.over_open(destination);
        if self.config.secure_only && destination.transport() != Transport::Tls {
            return count(&mut self.counters.plain_refused);
        }
        if !self.transmits.push(destination, message) {
            count(&mut self.counters.transmits_dropped);
        }
    }

    /// A way over a connection that is open, where there is one.
    pub(super) fn over_open(&self, destination: SipDestination) -> SipDestination {
        match destination {
            SipDestination::Stream {
                secure,
                conn,
                remote,
            } => SipDestination::Stream {
                secure,
                conn: conn
                    .filter(|id| self.connections.contains(*id))
                    .or_else(|| self.connections.to(remote, secure)),
                remote,
            },
            udp @ SipDestination::Udp(_) => udp,
        }
    }

    pub(super) fn push_event(&mut self, event: SipEvent) {
        // Room was made sure of when the call was taken.
        if self.events.len() < self.events_capacity {
            self.events.push_back(event);
        }
    }

    /// Whether there may be another call. One that takes the place of another is let in beyond the limit;
    /// of these there may be as many again, which sessions have room for.
    pub(super) fn has_place(&self, takes_place: bool) -> bool {
        let calls = self.config.calls;
        let most = if takes_place {
            calls.saturating_mul(2)
        } else {
            calls
        };
        self.live < most
    }

    /// Whether another INVITE could tell all it may have to tell.
    pub(super) fn has_event_room(&self) -> bool {
        let owed = self.live.saturating_add(1).saturating_mul(3);
        let needed = self.events.len().saturating_add(owed).saturating_add(1);
        needed <= self.events_capacity
    }

    /// Tells the owner of a call's end.
    pub(super) fn tell_ended(&mut self, slot: Slot, cause: Cause, by: EndedBy) {
        self.live = self.live.saturating_sub(1);
        let id = call_id(slot);
        self.push_event(SipEvent::Ended { id, cause, by });
    }

    /// Recomputes the next deadline; the last thing of every entry.
    pub(super) fn settle(&mut self) {
        self.settle_peers();
        let transactions =
            Instant::earliest(self.servers.next_deadline(), self.clients.next_deadline());
        let transactions = Instant::earliest(transactions, self.invites.next_deadline());
        let registrations = self.registrations.next_deadline();
        let own = Instant::earliest(registrations, self.pings.next_deadline());
        let own = Instant::earliest(own, self.connections.next_deadline());
        let transactions = Instant::earliest(transactions, own);
        self.deadline = Instant::earliest(self.sessions.next_deadline(), transactions);
        self.due_by(self.guard.poll_timeout());
    }

    /// Something is due no later than that.
    pub(super) fn due_by(&mut self, at: Option<Instant>) {
        self.deadline = Instant::earliest(self.deadline, at);
    }

    fn waiting_client(&self, wanted: impl Fn(&ClientTransaction) -> bool) -> Option<Slot> {
        let mut waiting = self.clients.iter().filter(|(_, t)| t.is_waiting());
        waiting.find(|(_, t)| wanted(t)).map(|(slot, _)| slot)
    }
}

/// A connection in the place of a message.
const TCP_WORD: &[u8] = b"TCP";

/// The same, with TLS.
const TLS_WORD: &[u8] = b"TLS";

/// The first byte of a TLS connection: a handshake record. No SIP begins with it.
const TLS: u8 = 22;

/// Tells which connections a call or a registration needs.
fn needs_connection(
    sessions: &Table<Session>,
    registrations: &Table<Box<Registration>>,
) -> impl Fn(ConnId, SocketAddr, bool) -> bool {
    |conn, remote, secure| {
        let is_way = |session: &Session| session.dialog.arrival().conn == Some(conn);
        sessions.iter().any(|(_, session)| is_way(session))
            || registrations
                .iter()
                .any(|(_, registration)| registration.goes_over(remote, secure))
    }
}

/// Events there is room for beyond those of calls.
const EVENTS_SPARE: usize = 16 + 2 * SIP_REGISTRATIONS + SIP_TARGETS;

/// The handle of a session.
pub(super) fn call_id(slot: Slot) -> CallId {
    CallId::new(slot.index, slot.generation)
}

/// The session of a handle.
pub(super) fn slot(id: CallId) -> Slot {
    Slot {
        index: id.index(),
        generation: id.generation(),
    }
}
