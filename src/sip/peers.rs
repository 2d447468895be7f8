//! Who is listened to though he may not call: the places where requests of ours have gone.
//!
//! The list is looked at for every datagram of a stranger, and therefore short. An address leaves it
//! once nothing that is under way has to do with it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::IpAddr;

use super::endpoint::SipEndpoint;
use super::session::Session;

impl SipEndpoint {
    /// Whether responses, and requests within dialogs, are taken from an address though it may not
    /// call: a call of ours, a registration or a ping goes there.
    pub fn hears(&self, address: IpAddr) -> bool {
        self.peers.contains(&address)
    }

    /// Whether a request of ours may go to an address that a message named.
    pub(super) fn may_write_to(&self, address: IpAddr) -> bool {
        self.allows(address) || self.hears(address)
    }

    /// Listens to an address for as long as something that is under way has to do with it.
    pub(super) fn hear(&mut self, address: IpAddr) {
        if self.hears(address) {
            return;
        }
        if self.peers.is_full() {
            self.forget_peers();
        }
        if self.peers.is_full() {
            self.peers.remove(0);
        }
        // Room was made.
        let _ = self.peers.push(address);
        self.busy_before = usize::MAX;
    }

    /// Forgets whom nothing has to do with any more, once something has come to its end.
    pub(super) fn settle_peers(&mut self) {
        let busy = self.busy();
        if busy < self.busy_before && !self.peers.is_empty() {
            self.forget_peers();
        }
        self.busy_before = busy;
    }

    fn forget_peers(&mut self) {
        let mut peers = core::mem::take(&mut self.peers);
        peers.retain(|address| self.is_peer(*address));
        self.peers = peers;
    }

    fn is_peer(&self, address: IpAddr) -> bool {
        let is_his = |session: &Session| {
            session.outgoing && session.dialog.arrival().remote.ip() == address
                || session.calling().is_some_and(|calling| {
                    let mut targets = calling.call.targets.iter();
                    targets.any(|target| target.address.ip() == address)
                })
        };
        self.sessions.iter().any(|(_, session)| is_his(session))
            || self.registrations.iter().any(|(_, r)| r.speaks_to(address))
            || self.pings.has(address)
            || self
                .invites
                .iter()
                .any(|(_, t)| t.destination().remote().ip() == address)
            || self
                .clients
                .iter()
                .any(|(_, t)| t.destination().remote().ip() == address)
    }
}
