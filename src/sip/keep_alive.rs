//! How long a stream connection is waited for, and what keeps one open (RFC 5626 section 4.4.1).
//!
//! A peer that connects has to say something, and to finish what it began; one that never does takes a
//! place from others. A connection that nothing needs is closed when it was idle for long. Connections
//! that we opened are kept open with double line ends, for the devices on the way that forget; where a
//! peer has ever answered one, as RFC 5626 has it, the lack of an answer tells that it is gone.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;

use crate::base::counter::count;
use crate::base::ids::ConnId;
use crate::base::rng::Rng;
use crate::base::time::Instant;

use super::endpoint::SipEndpoint;
use super::event::SipEvent;
use super::transmit::{Printed, SipDestination};

/// How long a peer that connected may say nothing at all.
pub const FIRST_BYTE_TIME: Duration = Duration::from_secs(30);

/// How long the rest of a message may take once it has begun.
pub const MESSAGE_TIME: Duration = Duration::from_secs(10);

/// How long a connection without calls and registrations may be idle.
pub const IDLE_TIME: Duration = Duration::from_secs(600);

/// How often we keep a connection of ours open, give or take a quarter.
pub const PING_INTERVAL: Duration = Duration::from_secs(90);

/// How long the answer may take.
pub const PONG_TIME: Duration = Duration::from_secs(10);

/// What we send, and what comes back.
const PING: &[u8] = b"\r\n\r\n";

/// What came of bytes on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// A whole message or keep-alive was among them.
    pub(super) whole: bool,
    /// The first part of a message is left.
    pub(super) partial: bool,
    /// Our keep-alive was answered.
    pub(super) pong: bool,
}

/// What a connection's time has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Its peer never said, or never finished, anything.
    Unfinished,
    /// Our keep-alive is not answered any more.
    Dead,
    /// A keep-alive is to be sent.
    Ping,
    /// It was idle for long.
    Idle,
}

/// The patience with one connection.
#[derive(Debug)]
pub(super) struct Patience {
    has_spoken: bool,
    /// By when something has to be whole.
    whole_by: Option<Instant>,
    idle_at: Instant,
    /// When a connection of ours is kept open next.
    ping_at: Option<Instant>,
    pong_by: Option<Instant>,
    awaits_pong: bool,
    has_ponged: bool,
}

impl Patience {
    /// With a connection that a peer opened, or with one of ours.
    pub(super) fn new(now: Instant, ours: Option<&mut Rng>) -> Self {
        let is_ours = ours.is_some();
        Self {
            has_spoken: false,
            whole_by: (!is_ours).then(|| now + FIRST_BYTE_TIME),
            idle_at: now + IDLE_TIME,
            ping_at: ours.map(|rng| now + rng.jitter(PING_INTERVAL)),
            pong_by: None,
            awaits_pong: false,
            has_ponged: false,
        }
    }

    /// Whether we opened the connection.
    pub(super) fn is_ours(&self) -> bool {
        self.ping_at.is_some()
    }

    /// Whether the peer has said anything.
    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// Whether a single line end would be the answer to our keep-alive.
    pub(super) fn awaits_pong(&self) -> bool {
        self.awaits_pong
    }

    /// Bytes came.
    pub(super) fn heard(&mut self, now: Instant, heard: Heard) {
        // Any sign of life will do.
        self.pong_by = None;
        if heard.pong {
            self.awaits_pong = false;
            self.has_ponged = true;
        }
        if heard.whole {
            self.idle_at = now + IDLE_TIME;
        }
        if !heard.partial {
            self.whole_by = None;
        } else if heard.whole || !self.has_spoken || self.whole_by.is_none() {
            self.whole_by = Some(now + MESSAGE_TIME);
        }
        self.has_spoken = true;
    }

    /// Something needs the connection: it may go on being idle.
    pub(super) fn is_needed(&mut self, now: Instant) {
        self.idle_at = now + IDLE_TIME;
    }

    /// A keep-alive is being sent.
    pub(super) fn pinged(&mut self, now: Instant, rng: &mut Rng) {
        self.ping_at = Some(now + rng.jitter(PING_INTERVAL));
        self.pong_by = self.has_ponged.then(|| now + PONG_TIME);
        self.awaits_pong = true;
    }

    /// What the time has come for, if anything.
    pub(super) fn due(&self, now: Instant) -> Option<Due> {
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_over(self.whole_by) {
            Some(Due::Unfinished)
        } else if is_over(self.pong_by) {
            Some(Due::Dead)
        } else if is_over(self.ping_at) {
            Some(Due::Ping)
        } else {
            (self.idle_at <= now).then_some(Due::Idle)
        }
    }

    /// When the next thing is due.
    pub(super) fn deadline(&self) -> Instant {
        let waits = Instant::earliest(self.whole_by, self.pong_by);
        let waits = Instant::earliest(waits, self.ping_at);
        waits.map_or(self.idle_at, |at| at.min(self.idle_at))
    }
}

impl SipEndpoint {
    /// Does what one connection's time has come for; false when there is none.
    pub(super) fn one_connection(&mut self, now: Instant) -> bool {
        let Some((conn, due)) = self.connections.due(now) else {
            return false;
        };
        match due {
            Due::Ping => {
                if let Some((remote, secure)) = self.connections.pinged(now, conn, &mut self.rng) {
                    let way = SipDestination::Stream {
                        secure,
                        conn: Some(conn),
                        remote,
                    };
                    self.send(way, Printed::from(PING));
                }
            }
            Due::Idle if self.is_connection_in_use(conn) => self.connections.is_needed(now, conn),
            Due::Idle => {
                count(&mut self.counters.connections_idle);
                self.disconnect(now, conn);
            }
            Due::Unfinished => {
                count(&mut self.counters.connections_unfinished);
                self.disconnect(now, conn);
            }
            Due::Dead => {
                count(&mut self.counters.connections_dead);
                self.disconnect(now, conn);
            }
        }
        true
    }

    /// Closes a connection, as if its peer had.
    fn disconnect(&mut self, now: Instant, conn: ConnId) {
        self.push_event(SipEvent::Disconnect { conn });
        self.handle_disconnected(now, conn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::ZERO;

    fn heard(whole: bool, partial: bool) -> Heard {
        Heard {
            whole,
            partial,
            pong: false,
        }
    }

    #[test]
    fn a_peer_has_to_speak_and_to_finish() {
        let mut patience = Patience::new(START, None);
        assert_eq!(patience.deadline(), START + FIRST_BYTE_TIME);
        let begun = START + Duration::from_secs(29);
        patience.heard(begun, heard(false, true));
        assert_eq!(patience.deadline(), begun + MESSAGE_TIME);
        // A byte now and then does not help.
        patience.heard(begun + Duration::from_secs(9), heard(false, true));
        assert_eq!(patience.deadline(), begun + MESSAGE_TIME);
        assert_eq!(patience.due(begun + MESSAGE_TIME), Some(Due::Unfinished));
        // One message after the other is fine, whatever the last one is still like.
        let whole = begun + Duration::from_secs(9);
        patience.heard(whole, heard(true, true));
        assert_eq!(patience.deadline(), whole + MESSAGE_TIME);
        patience.heard(whole, heard(true, false));
        assert_eq!(patience.deadline(), whole + IDLE_TIME);
        assert_eq!(patience.due(whole + IDLE_TIME), Some(Due::Idle));
    }

    #[test]
    fn only_a_peer_that_ever_answered_is_missed() {
        let mut rng = Rng::from_number(4);
        let mut patience = Patience::new(START, Some(&mut rng));
        for round in 0..3 {
            let now = patience.deadline();
            assert_eq!(patience.due(now), Some(Due::Ping));
            patience.pinged(now, &mut rng);
            let is_missed = patience.due(now + PONG_TIME) == Some(Due::Dead);
            assert_eq!(is_missed, round == 2, "{round}");
            if round == 1 {
                patience.heard(
                    now,
                    Heard {
                        pong: true,
                        ..Heard::default()
                    },
                );
                assert_eq!(patience.due(now + PONG_TIME), None);
            }
        }
    }
}
