//! The stream connections of an endpoint, at most a fixed number of them.
//!
//! When there is no room for another, the one that was silent longest goes, unless a call uses it.

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

/// What became of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// There was room.
    Added,
    /// It took the place of another, which is to be closed.
    Replaced(ConnId),
    /// Every connection is in use by a call.
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

    /// Takes a connection in. `in_use` tells which ones a call needs.
    pub(super) fn add(
        &mut self,
        now: Instant,
        id: ConnId,
        (remote, secure): (SocketAddr, bool),
        patience: Patience,
        in_use: impl Fn(ConnId, SocketAddr, bool) -> bool,
    ) -> Opened {
        self.remove(id);
        let mut opened = Opened::Added;
        if self.open.len() >= self.capacity {
            let idle = self
                .open
                .iter()
                .filter(|known| !in_use(known.id, known.remote, known.secure));
            let Some(oldest) = idle.min_by_key(|known| known.last_heard) else {
                return Opened::Refused;
            };
            opened = Opened::Replaced(oldest.id);
            self.remove(oldest.id);
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
            |_, _, _| false,
        );
        connections.add(
            at(2),
            ConnId(2),
            (remote(2), false),
            patience(),
            |_, _, _| false,
        );
        let (framer, ..) = connections.take_framer(at(3), ConnId(1)).unwrap();
        connections.return_framer(at(3), ConnId(1), framer, true);
        let opened = connections.add(
            at(4),
            ConnId(3),
            (remote(3), false),
            patience(),
            |_, _, _| false,
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
            |_, _, _| false,
        );
        connections.add(
            Instant::ZERO,
            ConnId(2),
            (remote(2), false),
            patience(),
            |_, _, _| false,
        );
        let only_2 = |id, _, _| id == ConnId(2);
        let opened = connections.add(
            Instant::ZERO,
            ConnId(3),
            (remote(3), false),
            patience(),
            only_2,
        );
        assert_eq!(opened, Opened::Replaced(ConnId(1)));
        let opened = connections.add(
            Instant::ZERO,
            ConnId(4),
            (remote(4), false),
            patience(),
            |_, _, _| true,
        );
        assert_eq!(opened, Opened::Refused);
        assert!(!connections.contains(ConnId(4)));
        assert_eq!(connections.len(), 2);
    }
}
