//! How a trunk is doing, for those who show it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::gateway::Gateway;
use crate::gateway::trunk::Trunk;
use crate::sip::{PeerState, RegistrationState, SipTarget};

/// A trunk as it is now.
pub struct TrunkView<'a> {
    trunk: &'a Trunk,
    calls: usize,
}

impl<'a> TrunkView<'a> {
    /// Its name in the configuration.
    pub fn name(&self) -> &'a str {
        &self.trunk.config.name
    }

    /// Its live calls, in both directions.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// The trunk itself.
    pub(super) fn trunk(&self) -> &'a Trunk {
        self.trunk
    }

    /// How many it may have at once; `None` where only the box as a whole is limited.
    pub fn limit(&self) -> Option<usize> {
        self.trunk.config.calls
    }

    /// Its registrations: the address of record, and how each is.
    pub fn registrations(
        &self,
    ) -> impl Iterator<Item = (&'a str, &'a RegistrationState)> + use<'a> {
        self.trunk.registrations.iter(&self.trunk.endpoint)
    }

    /// How its own registration is, if it has one.
    pub fn registration(&self) -> Option<&'a RegistrationState> {
        let id = self.trunk.presence.registration()?;
        self.trunk.endpoint.registration(id)
    }

    /// The hosts of its PBX that are asked whether they are there, and how each is.
    pub fn peers(&self) -> impl Iterator<Item = (SipTarget, PeerState)> + use<'a> {
        self.trunk.endpoint.peers()
    }
}

impl Gateway {
    /// Every trunk, in the order of the configuration.
    pub fn trunks(&self) -> impl Iterator<Item = TrunkView<'_>> {
        self.config.trunks.iter().filter_map(|config| {
            let is_it = |trunk: &Trunk| trunk.is_working() && trunk.config.name == config.name;
            let at = self.trunks.iter().position(is_it)?;
            Some(TrunkView {
                trunk: self.trunks.get(at)?,
                calls: self.calls_of(at),
            })
        })
    }
}
