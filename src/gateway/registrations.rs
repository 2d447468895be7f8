//! The registrations of a trunk, each shared by the calls that asked for it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::time::Instant;
use crate::limits::SIP_REGISTRATIONS;
use crate::sip::{RegistrationConfig, RegistrationId, RegistrationState, SipEndpoint, SipRefusal};

/// One registration and how many need it.
#[derive(Clone, Debug)]
struct Shared {
    id: RegistrationId,
    address_of_record: String,
    registrar: String,
    /// None while it is being taken back.
    users: u16,
}

/// The registrations of a trunk.
#[derive(Clone, Debug, Default)]
pub struct Registrations(Vec<Shared>);

impl Registrations {
    /// Registers, or shares the registration that there is of the same address at the same
    /// registrar; to be released as often.
    pub fn hold(
        &mut self,
        now: Instant,
        endpoint: &mut SipEndpoint,
        config: RegistrationConfig,
    ) -> Result<RegistrationId, SipRefusal> {
        let same = |shared: &&mut Shared| {
            shared.users > 0
                && shared.address_of_record == config.address_of_record
                && shared.registrar == config.registrar
        };
        if let Some(shared) = self.0.iter_mut().find(same) {
            shared.users = shared.users.saturating_add(1);
            return Ok(shared.id);
        }
        if self.0.len() >= SIP_REGISTRATIONS {
            self.forget_ended(endpoint);
        }
        if self.0.len() >= SIP_REGISTRATIONS {
            return Err(SipRefusal::Full);
        }
        let address_of_record = config.address_of_record.clone();
        let registrar = config.registrar.clone();
        let id = endpoint.register(now, config)?;
        self.0.push(Shared {
            id,
            address_of_record,
            registrar,
            users: 1,
        });
        Ok(id)
    }

    /// One user less; without any it is taken back.
    pub fn release(&mut self, now: Instant, endpoint: &mut SipEndpoint, id: RegistrationId) {
        let shared = self.0.iter_mut().find(|shared| shared.id == id);
        let Some(shared) = shared.filter(|shared| shared.users > 0) else {
            return;
        };
        shared.users = shared.users.saturating_sub(1);
        if shared.users == 0 {
            // Forgotten when its end is told, which names it.
            endpoint.unregister(now, id);
        }
    }

    /// Takes every registration back, whoever needs it.
    pub fn release_all(&mut self, now: Instant, endpoint: &mut SipEndpoint) {
        for shared in &mut self.0 {
            shared.users = 0;
            endpoint.unregister(now, shared.id);
        }
    }

    /// Forgets those that the endpoint has no more.
    pub fn forget_ended(&mut self, endpoint: &SipEndpoint) {
        self.0
            .retain(|shared| endpoint.registration(shared.id).is_some());
    }

    /// The address of record of a registration.
    pub fn name(&self, id: RegistrationId) -> Option<&str> {
        let shared = self.0.iter().find(|shared| shared.id == id)?;
        Some(&shared.address_of_record)
    }

    /// Every registration: its address of record, and how it is.
    pub fn iter<'a>(
        &'a self,
        endpoint: &'a SipEndpoint,
    ) -> impl Iterator<Item = (&'a str, &'a RegistrationState)> {
        self.0.iter().filter_map(|shared| {
            let state = endpoint.registration(shared.id)?;
            Some((shared.address_of_record.as_str(), state))
        })
    }
}
