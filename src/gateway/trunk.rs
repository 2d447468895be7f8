//! One trunk at work: its configuration, its SIP endpoint, and what it may negotiate.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use heapless::Vec as FixedVec;

use crate::base::ids::ConnId;
use crate::base::network::{Network, Transport};
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::gateway::config::{self, Host, MediaAddress};
use crate::gateway::outlet::Outlet;
use crate::gateway::presence::Presence;
use crate::gateway::registrations::Registrations;
use crate::gateway::sink::Sink;
use crate::gateway::tls_names::TlsNames;
use crate::limits::{SIP_TARGETS, TRUNK_OPENING};
use crate::sdp::{CodecPlan, PlanError};
use crate::sip::{SessionTimers, SipConfig, SipEndpoint, SipTarget, SipTargets};

/// What we call ourselves in SIP.
const USER_AGENT: &str = concat!("Trunkcast/", env!("CARGO_PKG_VERSION"));

/// Whether a trunk is one of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is.
    Working,
    /// Not any more: it takes no calls, and is gone when those that it has are over.
    Leaving {
        /// Since when it has none.
        empty_since: Option<Instant>,
    },
    /// There is none at this place.
    Vacant,
}

/// A trunk and its SIP endpoint.
pub struct Trunk {
    /// Whether it is to take calls.
    pub stage: Stage,
    /// Its settings.
    pub config: config::Trunk,
    /// What its calls may use.
    pub plan: Rc<CodecPlan>,
    /// Where their streams go.
    pub sink: Sink,
    /// SIP on its port.
    pub endpoint: SipEndpoint,
    /// Connections that are being opened for the endpoint, where to, and whether with TLS.
    pub opening: FixedVec<(ConnId, SocketAddr, bool), TRUNK_OPENING>,
    /// Whether the endpoint was touched since it was last drained.
    pub dirty: bool,
    /// What was last found for each of the PBX's addresses, in the order of the configuration.
    found: Vec<SipTargets>,
    /// Why a name of its was not resolved the last time.
    pub not_found: Option<Box<str>>,
    /// Whose name a TLS server at an address has to prove.
    pub tls_names: TlsNames,
    /// Counts the PBXs that look-ups were begun for: an answer for an earlier one is none for this.
    pub look_ups: u8,
    /// Where requests of ours go first, where that is not the PBX, as last found.
    pub hop: SipTargets,
    /// What it does to be known at the PBX.
    pub presence: Presence,
    /// Whether its settings or addresses are others than its presence was made of.
    pub unsettled: bool,
    /// Calls that the endpoint was known to have refused by itself.
    pub refused: u64,
    /// How many of them the log was not told of, and when it was told last.
    pub untold: (u64, Option<Instant>),
    /// Registrations that calls share.
    pub registrations: Registrations,
}

impl Trunk {
    /// A trunk without calls, with room for `calls`.
    pub fn new(config: config::Trunk, calls: usize, rng: Rng) -> Result<Self, PlanError> {
        let sip = SipConfig {
            local: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), config.local_port),
            user_agent: USER_AGENT.to_owned(),
            display_name: config.visible_name.clone(),
            allow: config.sources().collect(),
            calls,
            secure_only: config.transport == Transport::Tls,
            session_timer: session_timers(&config),
        };
        let mut endpoint = SipEndpoint::new(sip, rng);
        endpoint.set_rules(config.rules.clone());
        endpoint.set_rates(config.abuse.into());
        let mut trunk = Self {
            stage: Stage::Working,
            look_ups: 0,
            plan: Rc::new(config.codec_plan()?),
            sink: Sink::of(&config),
            endpoint,
            opening: FixedVec::new(),
            dirty: true,
            refused: 0,
            untold: (0, None),
            registrations: Registrations::default(),
            found: vec![SipTargets::new(); config.pbx().count()],
            not_found: None,
            tls_names: TlsNames::default(),
            hop: SipTargets::new(),
            presence: Presence::default(),
            unsettled: true,
            config,
        };
        trunk.allow_sources();
        Ok(trunk)
    }

    /// Tells SIP at which address of ours a peer reaches us.
    pub fn set_local(&mut self, peer: IpAddr, address: MediaAddress, outlet: &mut dyn Outlet) {
        // Nothing is looked up for those who get no answer.
        if self.endpoint.allows(peer) {
            let local = match address {
                MediaAddress::Fixed(address) => address,
                MediaAddress::Auto => outlet.local_address(peer),
            };
            self.endpoint.set_local(peer, local);
        }
    }

    /// Tells SIP at which address of ours the peers of a request of ours reach us.
    pub fn set_ways(
        &mut self,
        targets: &SipTargets,
        address: MediaAddress,
        outlet: &mut dyn Outlet,
    ) {
        for target in targets {
            let peer = target.address.ip();
            let local = match address {
                MediaAddress::Fixed(address) => address,
                MediaAddress::Auto => outlet.local_address(peer),
            };
            self.endpoint.set_local(peer, local);
        }
    }

    /// Whether an address is one that was found for a name of the PBX.
    pub fn has_resolved(&self, address: IpAddr) -> bool {
        let mut found = self.found.iter().flatten();
        found.any(|target| target.address.ip() == address)
    }

    /// Takes what was found for the PBX's address at a place of the configuration: its hosts may call.
    pub fn set_found(&mut self, place: usize, targets: &[SipTarget]) {
        let Some(host) = self.config.pbx().nth(place).map(|pbx| pbx.host) else {
            return;
        };
        self.tls_names.set(&host.to_string(), targets);
        if let Some(found) = self.found.get_mut(place) {
            *found = targets.iter().copied().take(SIP_TARGETS).collect();
            self.allow_sources();
            self.unsettle();
        }
    }

    /// The addresses of the PBX in the configuration that nothing was found for.
    pub fn unresolved(&self) -> impl Iterator<Item = config::HostPort> {
        let places = self.config.pbx().zip(&self.found);
        let lacking = places.filter(|(_, found)| found.is_empty());
        lacking
            .map(|(pbx, _)| pbx)
            .filter(|pbx| matches!(pbx.host, Host::Name(_)))
    }

    /// Takes what was found for what requests of ours go through first.
    pub fn set_hop(&mut self, targets: &[SipTarget]) {
        if let Some(host) = self.first_hop().map(|(hop, _)| hop.host.to_string()) {
            self.tls_names.set(&host, targets);
            self.hop = targets.iter().copied().take(SIP_TARGETS).collect();
            self.unsettle();
        }
    }

    /// Where the PBX is, in the order to try: its addresses as configured, and what was last found for
    /// its names.
    pub fn targets(&self) -> SipTargets {
        let transport = self.config.transport;
        let mut targets = SipTargets::new();
        for (pbx, found) in self.config.pbx().zip(&self.found) {
            let literal = match pbx.host {
                Host::Ip(ip) => {
                    let port = pbx.port.unwrap_or(transport.default_port());
                    let address = SocketAddr::new(ip, port);
                    Some(SipTarget { transport, address })
                }
                Host::Name(_) => None,
            };
            for target in literal.into_iter().chain(found.iter().copied()) {
                if !targets.contains(&target) {
                    // The rest is left out once there is no room.
                    let _ = targets.push(target);
                }
            }
        }
        targets
    }

    fn allow_sources(&mut self) {
        let found = self.found.iter().flatten();
        let found = found.map(|target| Network::host(target.address.ip()));
        let allow = self.config.sources().chain(found).collect();
        self.endpoint.set_allow(allow);
        self.endpoint.set_pbx(&self.targets());
    }

    /// Takes new settings over, for calls to come.
    pub fn reconfigure(&mut self, config: config::Trunk, plan: CodecPlan) {
        self.plan = Rc::new(plan);
        self.sink = Sink::of(&config);
        self.endpoint.set_display_name(config.visible_name.clone());
        self.endpoint.set_session_timer(session_timers(&config));
        self.endpoint.set_rules(config.rules.clone());
        self.endpoint.set_rates(config.abuse.into());
        // The PBX is not locked out until its name is resolved again.
        if !config.pbx().eq(self.config.pbx()) {
            self.found = vec![SipTargets::new(); config.pbx().count()];
            self.look_ups = self.look_ups.wrapping_add(1);
            self.not_found = None;
        }
        if config.register != self.config.register
            || config.outbound_proxy != self.config.outbound_proxy
        {
            self.hop.clear();
            self.look_ups = self.look_ups.wrapping_add(1);
        }
        self.config = config;
        self.allow_sources();
        self.unsettle();
    }

    /// Forgets that a connection is being opened; where it was to lead and whether with TLS.
    pub fn opened(&mut self, conn: ConnId) -> Option<(SocketAddr, bool)> {
        let mut opening = self.opening.iter();
        let at = opening.position(|(opening, ..)| *opening == conn)?;
        let (_, remote, secure) = self.opening.swap_remove(at);
        Some((remote, secure))
    }

    /// Whether it is one of the configuration.
    pub fn is_working(&self) -> bool {
        self.stage == Stage::Working
    }

    /// Whether it is gone but for its last calls.
    pub fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Leaving { .. })
    }

    /// Whether connections to its port are protected by TLS.
    pub fn is_secure(&self) -> bool {
        self.config.transport == Transport::Tls
    }
}

fn session_timers(config: &config::Trunk) -> Option<SessionTimers> {
    let timer = config.session_timer?;
    Some(SessionTimers {
        expires: timer.expires,
        min: timer.min,
    })
}
