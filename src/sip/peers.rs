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

use crate::wire::sip_message::SipMessage;

use super::endpoint::SipEndpoint;
use super::session::Session;

impl SipEndpoint {
    /// Whether what comes from a source is looked at: it may call, or something of ours is under way
    /// with it. Requests of ours go nowhere else.
    pub fn hears(&self, address: IpAddr) -> bool {
        self.allows(address) || self.peers.contains(&address) || self.keeps_up_with(address)
    }

    /// Whether a request is one that its source may send: outside a dialog only those who may call,
    /// but for OPTIONS.
    pub(super) fn may_ask(&self, address: IpAddr, request: &SipMessage<'_>) -> bool {
        let is_options = request
            .method()
            .is_some_and(|method| method == rsip::Method::Options);
        is_options || request.to().tag().is_some() || self.allows(address)
    }

    /// Whether a registration or a ping of ours goes to an address.
    pub(super) fn keeps_up_with(&self, address: IpAddr) -> bool {
        let mut registrations = self.registrations.iter();
        registrations.any(|(_, registration)| registration.speaks_to(address))
            || self.pings.has(address)
    }

    /// Listens to an address for as long as something that is under way has to do with it.
    pub(super) fn hear(&mut self, address: IpAddr) {
        if self.peers.contains(&address) {
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
