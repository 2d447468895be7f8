//! Registrations (RFC 3261 section 10.2).

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
use std::rc::Rc;

use crate::base::time::Instant;
use crate::wire::sip_message::SipMessage;

use super::authentication::Credentials;
use super::endpoint::SipEndpoint;
use super::event::SipRefusal;
use super::transaction_client::Unanswered;
use super::transmit::SipTargets;

/// A registration of one endpoint: a place, and which bearer of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegistrationId {
    pub(super) index: u16,
    pub(super) generation: u32,
}

/// What is to be registered, and where.
#[derive(Clone, Debug)]
pub struct RegistrationConfig {
    /// Request-URI: `sip:pbx.example.net`.
    pub registrar: String,
    /// `sip:1001@pbx.example.net`.
    pub address_of_record: String,
    /// Display name beside it.
    pub display_name: Option<String>,
    /// User part of our Contact.
    pub contact_user: String,
    /// Seconds asked for.
    pub expires: u32,
    /// Route values, the nearest first: an outbound proxy.
    pub routes: Vec<String>,
    /// Where REGISTER goes, in the order to try.
    pub targets: SipTargets,
    /// For challenges.
    pub credentials: Option<Rc<Credentials>>,
}

/// Where a registration is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RegistrationState {
    /// Not asked for, or taken back.
    #[default]
    Unregistered,
    /// The first REGISTER is under way.
    Registering,
    /// The registrar knows us.
    Registered {
        /// For how long it said so, in seconds.
        expires: u32,
    },
    /// The registrar refused, or nobody answered.
    Failed {
        /// Its status code; 408 for silence, 503 where it could not be reached.
        code: u16,
        /// In words.
        words: String,
        /// When it is tried again.
        retry: Duration,
    },
    /// User name or password is wrong.
    AuthenticationFailed {
        /// In words, realm included.
        words: String,
    },
}

impl SipEndpoint {
    /// Registers, and keeps registered until [`SipEndpoint::unregister`].
    pub fn register(
        &mut self,
        _now: Instant,
        _config: RegistrationConfig,
    ) -> Result<RegistrationId, SipRefusal> {
        Err(SipRefusal::Full)
    }

    /// Takes a registration back.
    pub fn unregister(&mut self, _now: Instant, _id: RegistrationId) {}

    pub(super) fn registration_answered(
        &mut self,
        _now: Instant,
        _id: RegistrationId,
        _response: Result<&SipMessage<'_>, Unanswered>,
    ) {
    }
}
