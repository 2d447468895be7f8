//! One trunk at work: its configuration, its SIP endpoint, and what it may negotiate.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use heapless::Vec as FixedVec;

use crate::base::ids::ConnId;
use crate::base::network::Network;
use crate::base::rng::Rng;
use crate::gateway::config::{self, Host, MediaAddress};
use crate::gateway::outlet::Outlet;
use crate::gateway::registrations::Registrations;
use crate::gateway::sink::Sink;
use crate::limits::{HOST_ADDRESSES, TRUNK_OPENING};
use crate::sdp::{CodecPlan, PlanError};
use crate::sip::{SessionTimers, SipConfig, SipEndpoint, SipTargets};

/// What we call ourselves in SIP.
const USER_AGENT: &str = concat!("Trunkcast/", env!("CARGO_PKG_VERSION"));

/// A trunk and its SIP endpoint.
pub struct Trunk {
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
    /// Addresses of the PBX's name, as last resolved.
    resolved: FixedVec<IpAddr, HOST_ADDRESSES>,
    /// Calls that the endpoint was known to have refused by itself.
    pub refused: u64,
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
            session_timer: config.session_timer.map(|timer| SessionTimers {
                expires: timer.expires,
                min: timer.min,
            }),
        };
        Ok(Self {
            plan: Rc::new(config.codec_plan()?),
            sink: Sink::of(&config),
            endpoint: SipEndpoint::new(sip, rng),
            opening: FixedVec::new(),
            dirty: false,
            refused: 0,
            registrations: Registrations::default(),
            resolved: FixedVec::new(),
            config,
        })
    }

    /// The PBX's host name, when its address is not given as such.
    pub fn proxy_name(&self) -> Option<&str> {
        match &self.config.proxy {
            Some(Host::Name(name)) => Some(name),
            _ => None,
        }
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

    /// Whether an address is one of the PBX's name.
    pub fn has_resolved(&self, address: IpAddr) -> bool {
        self.resolved.contains(&address)
    }

    /// Lets the addresses of the PBX's name call, beside the configured networks.
    pub fn set_proxy(&mut self, addresses: impl Iterator<Item = IpAddr>) {
        self.resolved = addresses.take(HOST_ADDRESSES).collect();
        self.allow_sources();
    }

    fn allow_sources(&mut self) {
        let resolved = self.resolved.iter().copied().map(Network::host);
        let allow = self.config.sources().chain(resolved).collect();
        self.endpoint.set_allow(allow);
    }

    /// Takes new settings over, for calls to come.
    pub fn reconfigure(&mut self, config: config::Trunk, plan: CodecPlan) {
        self.plan = Rc::new(plan);
        self.sink = Sink::of(&config);
        self.endpoint.set_display_name(config.visible_name.clone());
        // The PBX is not locked out until its name is resolved again.
        if config.proxy != self.config.proxy {
            self.resolved.clear();
        }
        self.config = config;
        self.allow_sources();
    }

    /// Forgets that a connection is being opened; where it was to lead and whether with TLS.
    pub fn opened(&mut self, conn: ConnId) -> Option<(SocketAddr, bool)> {
        let mut opening = self.opening.iter();
        let at = opening.position(|(opening, ..)| *opening == conn)?;
        let (_, remote, secure) = self.opening.swap_remove(at);
        Some((remote, secure))
    }

    /// Whether connections to its port are protected by TLS.
    pub fn is_secure(&self) -> bool {
        false
    }
}
