//! How a trunk makes itself known at its PBX: its registration, and the question whether it is there.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::SocketAddr;
use std::rc::Rc;

use crate::base::network::Transport;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::config::{Host, HostPort};
use crate::gateway::outlet::{Level, Outlet};
use crate::gateway::trunk::Trunk;
use crate::sip::{
    Credentials, PeerState, PingConfig, RegistrationConfig, RegistrationId, SipTarget, SipTargets,
};

/// What a trunk does by itself at its PBX.
#[derive(Debug, Default)]
pub struct Presence {
    registration: Option<(RegistrationId, RegistrationConfig)>,
    pings: Option<PingConfig>,
}

impl Presence {
    /// The trunk's own registration.
    pub fn registration(&self) -> Option<RegistrationId> {
        self.registration.as_ref().map(|(id, _)| *id)
    }
}

impl Trunk {
    /// Takes every registration back, and asks nobody any more.
    fn withdraw(&mut self, now: Instant) {
        let _ = self.endpoint.set_pings(now, None);
        self.presence = Presence::default();
        self.registrations.release_all(now, &mut self.endpoint);
    }

    /// Has its presence made anew with the next drain.
    pub fn unsettle(&mut self) {
        self.unsettled = true;
        self.dirty = true;
    }

    /// Where its REGISTER goes, and how, where that is not simply the PBX: the outbound proxy, or a
    /// registrar of its own.
    pub fn first_hop(&self) -> Option<(&HostPort, Transport)> {
        let config = &self.config;
        let register = config.register.as_ref()?;
        match &config.outbound_proxy {
            Some(proxy) => Some((&proxy.address, proxy.transport.unwrap_or(config.transport))),
            None => Some((register.registrar.as_ref()?, config.transport)),
        }
    }

    /// The places of [`Self::first_hop`], or of the PBX.
    fn register_targets(&self) -> SipTargets {
        match self.first_hop() {
            Some((hop, transport)) => match hop.host {
                Host::Ip(ip) => {
                    let port = hop.port.unwrap_or(transport.default_port());
                    let address = SocketAddr::new(ip, port);
                    [SipTarget { transport, address }].into_iter().collect()
                }
                Host::Name(_) => self.hop.clone(),
            },
            None => self.targets(),
        }
    }

    /// What its `register` block amounts to; nothing while no address is known.
    fn registration(&self) -> Option<RegistrationConfig> {
        let config = &self.config;
        let register = config.register.as_ref()?;
        let targets = self.register_targets();
        if targets.is_empty() {
            return None;
        }
        let registrar = match (&register.registrar, &config.domain, config.pbx().next()) {
            (Some(registrar), ..) => self.shown(registrar),
            (None, Some(domain), _) => HostPort::new(domain.clone(), None),
            (None, None, Some(pbx)) => self.shown(&pbx),
            (None, None, None) => return None,
        };
        let domain = config.own_domain().unwrap_or(&registrar.host);
        let domain = HostPort::new(domain.clone(), None);
        Some(RegistrationConfig {
            registrar: format!("sip:{registrar}"),
            address_of_record: format!("sip:{}@{domain}", escaped(&register.login)),
            display_name: config.visible_name.clone(),
            contact_user: register.contact.clone(),
            expires: register.expires,
            routes: config.outbound_proxy.iter().map(|p| p.route()).collect(),
            targets,
            credentials: Some(Rc::new(Credentials {
                username: register.authentication_name.clone(),
                password: register.password.clone(),
            })),
        })
    }

    /// A host as a Request-URI names it: with its port only where that is not the usual one.
    fn shown(&self, host: &HostPort) -> HostPort {
        let usual = self.config.transport.default_port();
        HostPort::new(host.host.clone(), host.port.filter(|port| *port != usual))
    }

    /// What its `ping` amounts to; nothing while no address is known.
    fn pings(&self, local: impl core::fmt::Display) -> Option<PingConfig> {
        let targets = self.targets();
        let interval = self.config.ping.filter(|_| !targets.is_empty())?;
        let domain = HostPort::new(self.config.own_domain()?.clone(), None);
        let user = self
            .config
            .register
            .as_ref()
            .map(|register| &register.login);
        let from = match user {
            Some(login) => format!("sip:{}@{domain}", escaped(login)),
            None => format!("sip:trunkcast@{local}"),
        };
        Some(PingConfig {
            request_uri: format!("sip:{domain}"),
            from,
            interval,
            targets,
        })
    }
}

impl Gateway {
    /// Registers and asks as a trunk's settings and what was looked up say, where that has changed.
    pub(super) fn settle_trunk(&mut self, now: Instant, at: usize, outlet: &mut dyn Outlet) {
        let address = self.config.media.address;
        let Some(trunk) = self.trunks.get_mut(at) else {
            return;
        };
        if !core::mem::take(&mut trunk.unsettled) || self.stopping {
            return;
        }
        if !trunk.is_working() {
            return trunk.withdraw(now);
        }
        let wanted = trunk.registration();
        let account = wanted.as_ref().and_then(|it| it.credentials.clone());
        trunk.endpoint.set_account(account);
        let mut known = None;
        if let Some((id, before)) = trunk.presence.registration.take() {
            let is_same = wanted.as_ref().is_some_and(|wanted| {
                let targets = before.targets.clone();
                before
                    == RegistrationConfig {
                        targets,
                        ..wanted.clone()
                    }
            });
            if is_same {
                known = Some(id);
            } else {
                trunk.registrations.release(now, &mut trunk.endpoint, id);
            }
        }
        if let Some(wanted) = wanted {
            trunk.set_ways(&wanted.targets, address, outlet);
            let endpoint = &mut trunk.endpoint;
            let held = match known {
                Some(id) => {
                    endpoint.set_registration_targets(now, id, &wanted.targets);
                    Ok(id)
                }
                None => trunk.registrations.hold(now, endpoint, wanted.clone()),
            };
            match held {
                Ok(id) => trunk.presence.registration = Some((id, wanted)),
                Err(refusal) => {
                    let name = &trunk.config.name;
                    outlet.note(
                        Level::Warn,
                        format_args!(
                            "{name}: {} cannot be registered: {refusal}",
                            wanted.address_of_record
                        ),
                    );
                }
            }
        }
        let targets = trunk.targets();
        let first = targets.first().map(|target| target.address.ip());
        let local = first.map(|peer| crate::wire::sip_emit::host_text(outlet.local_address(peer)));
        let pings = trunk.pings(local.unwrap_or_default());
        if pings != trunk.presence.pings {
            trunk.set_ways(&targets, address, outlet);
            // What the configuration checked makes URIs that can be read.
            let _ = trunk.endpoint.set_pings(now, pings.clone());
            trunk.presence.pings = pings;
        }
    }

    /// A peer of a trunk is in another state than before.
    pub(super) fn handle_peer(
        &mut self,
        at: usize,
        target: SipTarget,
        state: PeerState,
        outlet: &mut dyn Outlet,
    ) {
        let level = if state.is_down() {
            Level::Warn
        } else {
            Level::Info
        };
        let (name, SipTarget { transport, address }) = (self.trunk_name(at), target);
        outlet.note(
            level,
            format_args!("{name}: {address} over {transport} {state}"),
        );
    }

    /// Has every trunk register anew in a moment.
    pub(super) fn renew_registrations(&mut self, now: Instant) {
        for trunk in &mut self.trunks {
            if let Some(id) = trunk.presence.registration() {
                trunk.endpoint.renew_registration(now, id);
                trunk.dirty = true;
            }
        }
    }

    /// Takes back every registration, and asks nobody any more.
    pub(super) fn unregister_all(&mut self, now: Instant) {
        for trunk in &mut self.trunks {
            trunk.withdraw(now);
            trunk.dirty = true;
        }
    }
}

/// The user part of a SIP URI, with escapes for all that may not stand there by itself (RFC 3261
/// section 25.1).
fn escaped(user: &str) -> String {
    user.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}
