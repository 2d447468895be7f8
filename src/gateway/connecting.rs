//! TCP connections of every kind, from the accept or the attempt to the last byte: what comes goes to
//! the one whose connection it is.

use std::net::SocketAddr;

use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::Publishing;
use crate::gateway::connections::User;
use crate::gateway::contain::contained;
use crate::gateway::http::connection::Face;
use crate::gateway::outlet::{CallIndex, Outlet};
use crate::rtmp::Player;

/// What an accepted connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionKind {
    /// SIP of the trunk at this place.
    Sip(usize),
    /// A player of streams.
    Player,
    /// A client of the REST interface.
    Http,
    /// A browser that shows the page.
    Page {
        /// Whether it came over TLS.
        secure: bool,
    },
}

impl Gateway {
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
            ConnectionKind::Page { .. } if !self.may_visit(remote.ip()) => return false,
            ConnectionKind::Http | ConnectionKind::Page { .. } => {
                let face = match kind {
                    ConnectionKind::Page { secure } => Face::Page { secure },
                    _ => Face::Rest,
                };
                let Some(at) = self.accept_http(now, conn, remote, face, outlet) else {
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

    /// Runs work on a call's publisher, which is to be drained then.
    pub(super) fn with_publisher(&mut self, index: CallIndex, work: impl FnOnce(&mut Publishing)) {
        let Some(call) = self.calls.touch_mut(index).filter(|call| !call.crashed) else {
            return;
        };
        if let Some(publishing) = &mut call.publishing {
            call.crashed = contained(|| work(publishing)).is_none();
        }
    }
}
