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
    users: u16,
    state: RegistrationState,
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
            state: RegistrationState::Registering,
        });
        Ok(id)
    }

    /// One user less; without any it is taken back.
    pub fn release(&mut self, now: Instant, endpoint: &mut SipEndpoint, id: RegistrationId) {
        let Some(at) = self.0.iter().position(|shared| shared.id == id) else {
            return;
        };
        if let Some(shared) = self.0.get_mut(at) {
            let was_used = shared.users > 0;
            shared.users = shared.users.saturating_sub(1);
            if was_used && shared.users == 0 {
                endpoint.unregister(now, id);
            }
        }
    }

    /// Takes every registration back, whoever needs it.
    pub fn release_all(&mut self, now: Instant, endpoint: &mut SipEndpoint) {
        for shared in &mut self.0 {
            shared.users = 0;
            endpoint.unregister(now, shared.id);
        }
    }

    /// Takes over how a registration is now; its address of record, where it is known here. One that
    /// has ended is forgotten.
    pub fn changed(&mut self, id: RegistrationId, state: RegistrationState) -> Option<String> {
        let at = self.0.iter().position(|shared| shared.id == id)?;
        if state == RegistrationState::Unregistered {
            return Some(self.0.remove(at).address_of_record);
        }
        let shared = self.0.get_mut(at)?;
        shared.state = state;
        Some(shared.address_of_record.clone())
    }

    /// How a registration is.
    pub fn state(&self, id: RegistrationId) -> Option<&RegistrationState> {
        let shared = self.0.iter().find(|shared| shared.id == id)?;
        Some(&shared.state)
    }

    /// Every registration: its address of record, and how it is.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RegistrationState)> {
        let all = self.0.iter();
        all.map(|shared| (shared.address_of_record.as_str(), &shared.state))
    }
}
