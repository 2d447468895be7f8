//! The stream connections of an endpoint, at most a fixed number of them.
//!
//! When there is no room for another, the one that matters least goes, of those the one that never said
//! anything, or was silent longest; never one that a call uses, and none that matters more than the new.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::SocketAddr;

use crate::base::ids::ConnId;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::wire::sip_frame::StreamFramer;

use super::keep_alive::{Due, Heard, Patience};

#[derive(Debug)]
struct Connection {
    id: ConnId,
    remote: SocketAddr,
    /// Whether TLS protects it.
    secure: bool,
    /// Not there while its bytes are being read.
    framer: Option<StreamFramer>,
    last_heard: Instant,
    patience: Patience,
}

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Connections {
    open: Vec<Connection>,
    capacity: usize,
    /// Nothing is due before.
    deadline: Option<Instant>,
}

/// How much a connection matters, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// It is that of somebody who may call.
    Caller,
    /// It is that of the PBX, or one that we opened.
    Peer,
    /// A call or a registration needs it.
    InUse,
}

/// What became of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// There was room.
    Added,
    /// It took the place of another, which is to be closed.
    Replaced(ConnId),
    /// Every connection is in use by a call, or matters more.
    Refused,
}

impl Connections {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            open: Vec::with_capacity(capacity),
            capacity,
            deadline: None,
        }
    }

    /// Connections there are.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Takes a connection in that is worth so much; `worth` tells that of the others.
    pub(super) fn add(
        &mut self,
        now: Instant,
        id: ConnId,
        (remote, secure): (SocketAddr, bool),
        patience: Patience,
        own: Worth,
        worth: impl Fn(ConnId, SocketAddr, bool) -> Worth,
    ) -> Opened {
        self.remove(id);
        let mut opened = Opened::Added;
        if self.open.len() >= self.capacity {
            let ranked = self.open.iter().map(|known| {
                let worth = worth(known.id, known.remote, known.secure);
                let has_spoken = known.patience.has_spoken();
                (worth, has_spoken, known.last_heard, known.id)
            });
            let idle = ranked.filter(|(worth, ..)| *worth < Worth::InUse && *worth <= own);
            let least =
                idle.min_by_key(|(worth, has_spoken, heard, _)| (*worth, *has_spoken, *heard));
            let Some((.., least)) = least else {
                return Opened::Refused;
            };
            opened = Opened::Replaced(least);
            self.remove(least);
        }
        self.deadline = Instant::earliest(self.deadline, Some(patience.deadline()));
        self.open.push(Connection {
            id,
            remote,
            secure,
            framer: Some(StreamFramer::new()),
            last_heard: now,
            patience,
        });
        opened
    }

    /// Forgets a connection; tells its far end and whether TLS protected it.
    pub(super) fn remove(&mut self, id: ConnId) -> Option<(SocketAddr, bool)> {
        let at = self.open.iter().position(|known| known.id == id)?;
        let gone = self.open.swap_remove(at);
        Some((gone.remote, gone.secure))
    }

    /// Whether a connection is open.
    pub(super) fn contains(&self, id: ConnId) -> bool {
        self.open.iter().any(|known| known.id == id)
    }

    /// The far end of a connection and whether it is protected.
    pub(super) fn far(&self, id: ConnId) -> Option<(SocketAddr, bool)> {
        let known = self.open.iter().find(|known| known.id == id)?;
        Some((known.remote, known.secure))
    }

    /// An open connection with that far end, protected or not. Of one that is protected and that the
    /// peer opened nobody has seen a certificate: it is for what belongs to its own messages alone.
    pub(super) fn to(&self, remote: SocketAddr, secure: bool) -> Option<ConnId> {
        let mut open = self.open.iter();
        let found = open.find(|known| {
            (known.remote, known.secure) == (remote, secure)
                && (!secure || known.patience.is_ours())
        });
        found.map(|known| known.id)
    }

    /// Takes the framer of a connection, on which bytes came, and tells its far end and
    /// whether it is protected.
    pub(super) fn take_framer(
        &mut self,
        now: Instant,
        id: ConnId,
    ) -> Option<(StreamFramer, SocketAddr, bool)> {
        let known = self.open.iter_mut().find(|known| known.id == id)?;
        known.last_heard = now;
        Some((known.framer.take()?, known.remote, known.secure))
    }

    /// Puts a framer back, unless the connection has gone since; `whole` is whether anything was
    /// taken from it.
    pub(super) fn return_framer(
        &mut self,
        now: Instant,
        id: ConnId,
        mut framer: StreamFramer,
        whole: bool,
    ) {
        if let Some(known) = self.open.iter_mut().find(|known| known.id == id) {
            let pong = known.patience.awaits_pong() && framer.take_line_end();
            let partial = framer.has_begun();
            known.patience.heard(
                now,
                Heard {
                    whole,
                    partial,
                    pong,
                },
            );
            known.framer = Some(framer);
            let deadline = Some(known.patience.deadline());
            self.deadline = Instant::earliest(self.deadline, deadline);
        }
    }

    /// Whether nothing ever came on a connection.
    pub(super) fn is_silent(&self, id: ConnId) -> bool {
        let known = self.open.iter().find(|known| known.id == id);
        known.is_some_and(|known| !known.patience.has_spoken())
    }

    /// A connection for which the time of something has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<(ConnId, Due)> {
        self.deadline.filter(|at| *at <= now)?;
        let mut open = self.open.iter();
        let due = open.find_map(|known| Some((known.id, known.patience.due(now)?)));
        if due.is_none() {
            self.deadline = self
                .open
                .iter()
                .map(|known| known.patience.deadline())
                .min();
        }
        due
    }

    /// Nothing is due before; that something is then is not sure.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Something needs a connection.
    pub(super) fn is_needed(&mut self, now: Instant, id: ConnId) {
        if let Some(known) = self.open.iter_mut().find(|known| known.id == id) {
            known.patience.is_needed(now);
        }
    }

    /// A keep-alive is being sent; where to, and whether it is protected.
    pub(super) fn pinged(
        &mut self,
        now: Instant,
        id: ConnId,
        rng: &mut Rng,
    ) -> Option<(SocketAddr, bool)> {
        let known = self.open.iter_mut().find(|known| known.id == id)?;
        known.patience.pinged(now, rng);
        Some((known.remote, known.secure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn patience() -> Patience {
        Patience::new(Instant::ZERO, None)
    }

    #[test]
    fn the_connection_silent_longest_makes_room() {
        let mut connections = Connections::new(2);
        let at = Instant::from_millis;
        connections.add(
            at(1),
            ConnId(1),
            (remote(1), false),
            patience(),
            Worth::Caller,
            |_, _, _| Worth::Caller,
        );
        connections.add(
            at(2),
            ConnId(2),
            (remote(2), false),
            patience(),
            Worth::Caller,
            |_, _, _| Worth::Caller,
        );
        let (framer, ..) = connections.take_framer(at(3), ConnId(1)).unwrap();
        connections.return_framer(at(3), ConnId(1), framer, true);
        let opened = connections.add(
            at(4),
            ConnId(3),
            (remote(3), false),
            patience(),
            Worth::Caller,
            |_, _, _| Worth::Caller,
        );
        assert_eq!(opened, Opened::Replaced(ConnId(2)));
        assert_eq!(connections.to(remote(1), false), Some(ConnId(1)));
        assert_eq!(connections.to(remote(2), false), None);
    }

    #[test]
    fn connections_of_calls_are_not_given_up() {
        let mut connections = Connections::new(2);
        connections.add(
            Instant::ZERO,
            ConnId(1),
            (remote(1), false),
            patience(),
            Worth::Caller,
            |_, _, _| Worth::Caller,
        );
        connections.add(
            Instant::ZERO,
            ConnId(2),
            (remote(2), false),
            patience(),
            Worth::Caller,
            |_, _, _| Worth::Caller,
        );
        let only_2 = |id, _, _| match id {
            ConnId(2) => Worth::InUse,
            _ => Worth::Caller,
        };
        let opened = connections.add(
            Instant::ZERO,
            ConnId(3),
            (remote(3), false),
            patience(),
            Worth::Caller,
            only_2,
        );
        assert_eq!(opened, Opened::Replaced(ConnId(1)));
        let opened = connections.add(
            Instant::ZERO,
            ConnId(4),
            (remote(4), false),
            patience(),
            Worth::Peer,
            |_, _, _| Worth::InUse,
        );
        assert_eq!(opened, Opened::Refused);
        assert!(!connections.contains(ConnId(4)));
        assert_eq!(connections.len(), 2);
    }

    #[test]
    fn a_callers_connections_push_out_their_like_and_never_the_pbx() {
        let mut connections = Connections::new(3);
        let worth = |id: ConnId, _, _| match id {
            ConnId(1 | 9) => Worth::Peer,
            _ => Worth::Caller,
        };
        let mut add = |at, id: u32| {
            let far = (remote(1), false);
            let (id, now) = (ConnId(id), Instant::from_millis(at));
            let own = worth(id, far.0, far.1);
            let opened = connections.add(now, id, far, patience(), own, worth);
            if id == ConnId(2) {
                let (framer, ..) = connections.take_framer(now, id).unwrap();
                connections.return_framer(now, id, framer, true);
            }
            opened
        };
        for id in [1, 2, 3] {
            assert_eq!(add(u64::from(id), id), Opened::Added);
        }
        // One that never spoke goes before one that did.
        assert_eq!(add(4, 4), Opened::Replaced(ConnId(3)));
        assert_eq!(add(5, 9), Opened::Replaced(ConnId(4)));
        assert_eq!(add(6, 5), Opened::Replaced(ConnId(2)));
        assert_eq!(add(7, 6), Opened::Replaced(ConnId(5)));
        // Those of the PBX make room for one another alone.
        let all_peers = |_, _, _| Worth::Peer;
        let far = (remote(1), false);
        let now = Instant::from_millis(8);
        let opened = connections.add(now, ConnId(7), far, patience(), Worth::Caller, all_peers);
        assert_eq!(opened, Opened::Refused);
        let opened = connections.add(now, ConnId(7), far, patience(), Worth::Peer, all_peers);
        assert_eq!(opened, Opened::Replaced(ConnId(1)));
    }
}
