//! Who is listened to: those who may call, and those that something of ours is under way with.
//!
//! Whoever we register with or ask by OPTIONS may answer, may send requests within dialogs and may ask
//! whether we are there, though it may not call.

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

impl SipEndpoint {
    /// Whether what comes from a source is looked at: it may call, or something of ours is under way
    /// with it.
    pub fn hears(&self, address: IpAddr) -> bool {
        self.allows(address) || self.speaks_to(address)
    }

    /// Whether a request is one that its source may send: outside a dialog only those who may call,
    /// but for OPTIONS.
    pub(super) fn may_ask(&self, address: IpAddr, request: &SipMessage<'_>) -> bool {
        let is_options = request
            .method()
            .is_some_and(|method| method == rsip::Method::Options);
        is_options || request.to().tag().is_some() || self.allows(address)
    }

    /// Whether something of ours is under way with an address.
    fn speaks_to(&self, address: IpAddr) -> bool {
        let mut registrations = self.registrations.iter();
        registrations.any(|(_, registration)| registration.speaks_to(address))
            || self.pings.has(address)
    }
}
