//! Registrations (RFC 3261 section 10.2), with Path (RFC 3327) and Service-Route (RFC 3608).
//!
//! A registration keeps itself up: it is renewed before it runs out, goes on to the next target where
//! one fails, waits longer after every failure, corrects its Contact to where the registrar sees us,
//! keeps the way through a NAT open with empty lines (RFC 5626 section 4.4.1), and is renewed at once
//! when its connection is lost. A refused password is tried again once in half an hour at most. Not
//! done: several flows at a time (RFC 5626), redirections to names.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod contact;
mod machine;
mod schedule;

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::rc::Rc;

use crate::base::time::Instant;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_uri::{Scheme, Uri};

use super::authentication::Credentials;
use super::endpoint::SipEndpoint;
use super::event::{SipEvent, SipRefusal};
use super::table::Slot;
use super::transaction_client::{Owner, Unanswered};
use super::transmit::{Printed, SipTarget, SipTargets};

pub(super) use machine::Registration;
use machine::Step;
pub(super) use schedule::retry_after;

/// A registration of one endpoint: a place, and which bearer of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegistrationId {
    pub(super) index: u16,
    pub(super) generation: u32,
}

/// What is to be registered, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// What is said of an address of record, after its name.
impl fmt::Display for RegistrationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unregistered => f.write_str("is not registered"),
            Self::Registering => f.write_str("is being registered"),
            Self::Registered { expires } => write!(f, "is registered for {expires} s"),
            Self::Failed { words, retry, .. } => {
                let seconds = retry.as_secs();
                write!(f, "could not be registered: {words}; again in {seconds} s")
            }
            Self::AuthenticationFailed { words } => {
                write!(f, "could not be registered: {words}")
            }
        }
    }
}

impl SipEndpoint {
    /// Registers, and keeps registered until [`SipEndpoint::unregister`]. `WrongState` where registrar
    /// or address of record is no SIP URI.
    pub fn register(
        &mut self,
        now: Instant,
        config: RegistrationConfig,
    ) -> Result<RegistrationId, SipRefusal> {
        if ![&config.registrar, &config.address_of_record]
            .map(|uri| is_sip(uri))
            .iter()
            .all(|is| *is)
        {
            return Err(SipRefusal::WrongState);
        }
        let walk = self.walk(&config.targets);
        let registration = Registration::new(config, walk, &mut self.rng);
        let inserted = self.registrations.insert(0, Box::new(registration));
        let slot = inserted.map_err(|_| SipRefusal::Full)?;
        self.tell_registration(slot);
        self.send_register(now, slot);
        self.settle();
        Ok(registration_id(slot))
    }

    /// Takes a registration back: the registrar is told, and after its answer or four seconds the
    /// registration ends with `Unregistered`.
    pub fn unregister(&mut self, now: Instant, id: RegistrationId) {
        let slot = slot(id);
        if let Some(step) = self.registrations.update(slot, |r| r.leave(now)) {
            self.do_step(now, slot, step);
        }
        self.settle();
    }

    /// Has a registration that is up renewed in a moment, as after the loss of its connection.
    pub fn renew_registration(&mut self, now: Instant, id: RegistrationId) {
        let rng = &mut self.rng;
        self.registrations.update(slot(id), |r| r.lost(now, rng));
        self.settle();
    }

    /// Has registrations tried again in a moment that failed because nobody answered or could be reached:
    /// what kept them from it may be over. Those that were refused keep waiting.
    pub fn retry_registrations(&mut self, now: Instant) {
        let slots: heapless::Vec<Slot, { crate::limits::SIP_REGISTRATIONS }> =
            self.registrations.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let rng = &mut self.rng;
            self.registrations.update(slot, |r| r.retry_soon(now, rng));
        }
        self.settle();
    }

    /// Says where the registrar is, after another look-up.
    pub fn set_registration_targets(
        &mut self,
        now: Instant,
        id: RegistrationId,
        targets: &SipTargets,
    ) {
        let fresh = self.walk(targets);
        self.registrations
            .update(slot(id), |r| r.set_targets(now, targets, fresh));
        self.settle();
    }

    /// How a registration is; nothing for one that has ended.
    pub fn registration(&self, id: RegistrationId) -> Option<&RegistrationState> {
        self.registrations.get(slot(id)).map(|r| &r.state)
    }

    /// The Service-Route of a registration: Route values that calls out through it carry, the nearest
    /// first (RFC 3608).
    pub fn service_route(&self, id: RegistrationId) -> &[String] {
        let registration = self.registrations.get(slot(id));
        registration.map_or(&[], |r| &r.service_route)
    }

    /// Where the registrar of a registration sees us, where that is not our own address.
    pub fn public_address(&self, id: RegistrationId) -> Option<SocketAddr> {
        self.registrations.get(slot(id))?.seen
    }

    /// Registrations there are, those that are being taken back included.
    pub fn registrations(&self) -> usize {
        self.registrations.len()
    }

    pub(super) fn registration_answered(
        &mut self,
        now: Instant,
        id: RegistrationId,
        response: Result<&SipMessage<'_>, Unanswered>,
    ) {
        let (slot, rng) = (slot(id), &mut self.rng);
        let words = self.connect_failure.as_deref();
        let allow = &self.config.allow;
        let trusts = |ip| allow.iter().any(|network| network.contains(ip));
        let step = self.registrations.update(slot, |r| match response {
            Ok(response) => r.answered(now, response, trusts, rng),
            Err(why) => r.unanswered(now, why, words, rng),
        });
        if let Some(step) = step {
            self.do_step(now, slot, step);
        }
    }

    /// A connection is gone that registrations may have gone over.
    pub(super) fn registration_lost(&mut self, now: Instant, remote: SocketAddr, secure: bool) {
        let slots: heapless::Vec<Slot, { crate::limits::SIP_REGISTRATIONS }> = self
            .registrations
            .iter()
            .filter(|(_, r)| r.goes_over(remote, secure))
            .map(|(slot, _)| slot)
            .collect();
        for slot in slots {
            let rng = &mut self.rng;
            self.registrations.update(slot, |r| r.lost(now, rng));
        }
    }

    /// A peer answers; `is_back` where it did not before. Registrations that wait for it do so no more.
    pub(super) fn peer_answers(&mut self, now: Instant, target: SipTarget, is_back: bool) {
        let slots: heapless::Vec<Slot, { crate::limits::SIP_REGISTRATIONS }> =
            self.registrations.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let rng = &mut self.rng;
            self.registrations
                .update(slot, |r| r.peer_answers(now, target, is_back, rng));
        }
    }

    /// Does what one registration wants by now; false when none does.
    pub(super) fn one_registration(&mut self, now: Instant) -> bool {
        let Some(slot) = self.registrations.due(now) else {
            return false;
        };
        let targets = self
            .registrations
            .get(slot)
            .map(|r| r.config.targets.clone());
        let fresh = self.walk(&targets.unwrap_or_default());
        let order_counts = self.peers().next().is_some();
        let rng = &mut self.rng;
        let step = self
            .registrations
            .update(slot, |r| r.due(now, fresh, order_counts, rng));
        if let Some(step) = step {
            self.do_step(now, slot, step);
        }
        true
    }

    fn do_step(&mut self, now: Instant, slot: Slot, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Send => self.send_register(now, slot),
            Step::Tell => self.tell_registration(slot),
            Step::KeepAlive => {
                let target = self.registrations.get(slot).and_then(|r| r.target());
                if let Some(target) = target {
                    self.send_keep_alive(target.destination());
                }
            }
            Step::Gone => {
                let gone = self.registrations.remove(slot);
                if let Some(transaction) = gone.and_then(|r| r.transaction) {
                    self.clients.remove(transaction);
                }
                let (id, state) = (registration_id(slot), RegistrationState::Unregistered);
                self.push_event(SipEvent::Registration { id, state });
            }
        }
    }

    fn send_register(&mut self, now: Instant, slot: Slot) {
        let Some(registration) = self.registrations.get(slot) else {
            return;
        };
        let (before, target) = (registration.transaction, registration.target());
        // Its answer would be about what is no longer asked.
        if let Some(before) = before {
            self.clients.remove(before);
        }
        let Some(target) = target else {
            return self.register_unsent(now, slot, "no address of the registrar is known");
        };
        let local = self.local_for(target.address.ip());
        let address = SocketAddr::new(local, self.config.local.port());
        let rng = &mut self.rng;
        let request = self
            .registrations
            .update(slot, |r| r.request(target, address, rng));
        let Some(request) = request else {
            return;
        };
        let owner = Owner::Registration(registration_id(slot));
        match self.send_client(now, owner, request, target.destination(), local) {
            Ok(transaction) => {
                self.registrations.update(slot, |r| {
                    r.transaction = Some(transaction);
                    r.bound_leaving(now);
                });
            }
            Err(refusal) => self.register_unsent(now, slot, &refusal.to_string()),
        }
    }

    fn register_unsent(&mut self, now: Instant, slot: Slot, words: &str) {
        let rng = &mut self.rng;
        let step = self.registrations.update(slot, |r| {
            r.transaction = None;
            r.unsent(now, words.into(), rng)
        });
        // It never asks to be sent again at once.
        if let Some(step) = step {
            self.do_step(now, slot, step);
        }
    }

    fn send_keep_alive(&mut self, destination: super::transmit::SipDestination) {
        self.send(destination, Printed::from(&b"\r\n\r\n"[..]));
    }

    fn tell_registration(&mut self, slot: Slot) {
        if let Some(state) = self.registrations.get(slot).map(|r| r.state.clone()) {
            let id = registration_id(slot);
            self.push_event(SipEvent::Registration { id, state });
        }
    }
}

fn is_sip(uri: &str) -> bool {
    let uri = Uri::parse(uri.as_bytes());
    uri.is_some_and(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips) && uri.headers.is_none())
}

/// The handle of a registration.
fn registration_id(slot: Slot) -> RegistrationId {
    RegistrationId {
        index: slot.index,
        generation: slot.generation,
    }
}

/// The registration of a handle.
fn slot(id: RegistrationId) -> Slot {
    Slot {
        index: id.index,
        generation: id.generation,
    }
}
