//! Accepted connections that have not agreed on TLS yet. Neither SIP nor HTTP knows of them.
//!
//! There are few places, for SIP and for HTTP each: a handshake takes a moment. When they are taken,
//! the source that has the most gives up its oldest, so that one peer cannot lock the others out.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use heapless::Vec;

use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::gateway::ConnectionKind;
use crate::limits::TLS_HANDSHAKES;

/// How long a handshake may take.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfOpen {
    /// The connection.
    pub conn: ConnId,
    /// What it is for.
    pub kind: ConnectionKind,
    /// The far end.
    pub remote: SocketAddr,
    until: Instant,
}

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub struct HalfOpens {
    sip: Queue,
    /// Those of REST and of the page.
    http: Queue,
}

/// Those of one kind, the oldest first.
#[derive(Debug, Default)]
struct Queue(Vec<HalfOpen, TLS_HANDSHAKES>);

impl HalfOpens {
    /// Takes one in; the one that gave way, which is to be closed.
    pub fn insert(
        &mut self,
        now: Instant,
        conn: ConnId,
        kind: ConnectionKind,
        remote: SocketAddr,
    ) -> Option<HalfOpen> {
        let queue = match kind {
            ConnectionKind::Sip(_) => &mut self.sip,
            _ => &mut self.http,
        };
        queue.insert(HalfOpen {
            conn,
            kind,
            remote,
            until: now + HANDSHAKE_TIME,
        })
    }

    /// Takes one out, if it is there.
    pub fn take(&mut self, conn: ConnId) -> Option<HalfOpen> {
        self.sip.take(conn).or_else(|| self.http.take(conn))
    }

    /// Takes one out that came in at the port of a trunk.
    pub fn take_of(&mut self, trunk: usize) -> Option<ConnId> {
        let of_it = |half_open: &HalfOpen| half_open.kind == ConnectionKind::Sip(trunk);
        let at = self.sip.0.iter().position(of_it)?;
        Some(self.sip.0.remove(at).conn)
    }

    /// Takes one out whose time is over.
    pub fn expired(&mut self, now: Instant) -> Option<HalfOpen> {
        self.sip.expired(now).or_else(|| self.http.expired(now))
    }

    /// When the time of the next one is over.
    pub fn deadline(&self) -> Option<Instant> {
        Instant::earliest(self.sip.deadline(), self.http.deadline())
    }
}

impl Queue {
    fn insert(&mut self, new: HalfOpen) -> Option<HalfOpen> {
        let crowded_out = self.0.is_full().then(|| self.of_largest_source());
        let crowded_out = crowded_out.flatten().map(|at| self.0.remove(at));
        // Room was made above.
        let _ = self.0.push(new);
        crowded_out
    }

    fn take(&mut self, conn: ConnId) -> Option<HalfOpen> {
        let at = self.0.iter().position(|known| known.conn == conn)?;
        Some(self.0.remove(at))
    }

    fn expired(&mut self, now: Instant) -> Option<HalfOpen> {
        let first = self.0.first().filter(|first| first.until <= now)?.conn;
        self.take(first)
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.first().map(|first| first.until)
    }

    fn of_largest_source(&self) -> Option<usize> {
        let count = |ip: IpAddr| self.0.iter().filter(|k| k.remote.ip() == ip).count();
        let places = 0..self.0.len();
        // Of equal ones the first, which is the oldest.
        places.rev().max_by_key(|at| {
            let known = self.0.get(*at);
            known.map_or(0, |known| count(known.remote.ip()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 40_000))
    }

    #[test]
    fn the_source_that_has_the_most_gives_way() {
        let mut all = HalfOpens::default();
        let quiet = ConnId(9_999);
        assert_eq!(
            all.insert(Instant::ZERO, quiet, ConnectionKind::Sip(0), remote(1)),
            None
        );
        for at in 0..TLS_HANDSHAKES as u32 * 3 {
            let out = all.insert(Instant::ZERO, ConnId(at), ConnectionKind::Sip(0), remote(2));
            let expected = (at + 1).checked_sub(TLS_HANDSHAKES as u32);
            assert_eq!(out.map(|out| out.conn), expected.map(ConnId));
        }
        assert_eq!(all.take(quiet).map(|known| known.remote), Some(remote(1)));
        assert_eq!(all.take(quiet), None);
    }

    #[test]
    fn clients_of_rest_take_no_place_of_a_pbx() {
        let mut all = HalfOpens::default();
        all.insert(
            Instant::ZERO,
            ConnId(9_999),
            ConnectionKind::Sip(0),
            remote(1),
        );
        for at in 0..TLS_HANDSHAKES as u32 * 3 {
            let out = all.insert(
                Instant::ZERO,
                ConnId(at),
                ConnectionKind::Http,
                remote(at as u8),
            );
            assert!(out.is_none_or(|out| out.kind == ConnectionKind::Http));
        }
        assert!(all.take(ConnId(9_999)).is_some());
    }

    #[test]
    fn time_runs_out_in_order() {
        let mut all = HalfOpens::default();
        let later = Instant::ZERO + Duration::from_secs(1);
        all.insert(Instant::ZERO, ConnId(1), ConnectionKind::Sip(0), remote(1));
        all.insert(later, ConnId(2), ConnectionKind::Http, remote(1));
        assert_eq!(all.deadline(), Some(Instant::ZERO + HANDSHAKE_TIME));
        assert_eq!(all.expired(later), None);
        let end = later + HANDSHAKE_TIME;
        assert_eq!(all.expired(end).map(|known| known.conn), Some(ConnId(1)));
        assert_eq!(all.expired(end).map(|known| known.conn), Some(ConnId(2)));
        assert_eq!(all.expired(end), None);
        assert_eq!(all.deadline(), None);
    }
}
