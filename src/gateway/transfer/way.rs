//! Where the call to a target goes: through the PBX that the call is of, whatever host the target names.
//!
//! A peer that could send us anywhere could have us call anybody at the owner's cost. So the INVITE goes
//! where the trunk's own requests go, with the target's host in its Request-URI alone. Only a trunk
//! without a PBX, whose phones call by themselves, calls an address directly, and then one that may call.

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

use crate::base::ids::CallId;
use crate::base::network::Transport;
use crate::gateway::call::Call;
use crate::gateway::outgoing::escaped;
use crate::gateway::trunk::Trunk;
use crate::limits::{SDP_OFFER_LEAST_BYTES, SIP_INVITE_BYTES, SIP_INVITE_HEAD_BYTES};
use crate::sip::{Credentials, SipTarget, SipTargets};
use crate::wire::sip_uri::{Host, Scheme, Uri};

/// Where a call to a target goes, and in whose name.
pub(super) struct LegWay {
    pub targets: SipTargets,
    pub routes: Vec<String>,
    pub from: String,
    pub contact_user: String,
    pub credentials: Option<Rc<Credentials>>,
}

impl LegWay {
    /// The way to a target that the peer of a call names; else the code and words of the refusal.
    pub(super) fn of(
        trunk: &Trunk,
        call: &Call,
        sip: CallId,
        to: &str,
    ) -> Result<Self, (u16, &'static str)> {
        let peer = trunk.endpoint.peer(sip).ok_or((481, "the call is gone"))?;
        let uri = Uri::parse(to.as_bytes()).ok_or((400, "no SIP address"))?;
        let is_secure = peer.transport == Transport::Tls;
        if uri.scheme == Scheme::Sips && !is_secure {
            return Err((416, "a sips address over a trunk without TLS"));
        }
        let own = SocketAddr::new(call.local, trunk.config.local_port);
        let host = uri.host.ok_or((400, "no host"))?;
        if uri.socket_addr() == Some(own) {
            return Err((403, "the target is this program"));
        }
        let configured = trunk.targets();
        let is_pbx = configured
            .iter()
            .any(|it| it.address.ip() == peer.address.ip());
        let mut targets = SipTargets::new();
        let mut routes: Vec<String> = trunk
            .config
            .outbound_proxy
            .iter()
            .map(|proxy| proxy.route())
            .collect();
        match host {
            Host::Ip(ip)
                if configured.is_empty() && routes.is_empty() && trunk.endpoint.allows(ip) =>
            {
                let transport = match uri.transport() {
                    _ if is_secure => Transport::Tls,
                    Some(name) if name.eq_ignore_ascii_case("tcp") => Transport::Tcp,
                    Some(name) if name.eq_ignore_ascii_case("udp") => Transport::Udp,
                    _ => peer.transport,
                };
                let port = uri.port.unwrap_or(transport.default_port());
                let address = SocketAddr::new(ip, port);
                let _ = targets.push(SipTarget { transport, address });
            }
            _ => {
                // The place that the peer is at first, then those that stand in for it.
                let is_peer = |it: &&SipTarget| it.address.ip() == peer.address.ip();
                let of_pbx = configured.iter().filter(is_peer);
                let others = configured.iter().filter(|it| is_pbx && !is_peer(it));
                targets = of_pbx.chain(others).copied().collect();
                if targets.is_empty() {
                    let _ = targets.push(peer);
                }
                let is_own = names_own(trunk, &targets, host, sip);
                let first = targets.first().filter(|_| !is_own && routes.is_empty());
                routes.extend(first.map(route));
            }
        }
        let out = call.outgoing.as_ref();
        let register = trunk.config.register.as_ref();
        let registered = register.map(|register| {
            Rc::new(Credentials {
                username: register.authentication_name.clone(),
                password: register.password.clone(),
            })
        });
        let from = match out {
            Some(out) => Some(out.way.address_of_record.clone()),
            None => trunk.endpoint.own_address(sip),
        };
        let contact_user = match (out, register) {
            (Some(out), _) => out.way.login.clone(),
            (None, Some(register)) => register.contact.clone(),
            (None, None) => String::new(),
        };
        // A caller may have dialled a telephone number without a host.
        let from = from.unwrap_or_else(|| {
            let user = escaped(&call.label.callee).to_string();
            let user = if user.is_empty() { "trunkcast" } else { &user };
            format!(
                "sip:{user}@{}",
                crate::wire::sip_emit::host_text(call.local)
            )
        });
        Ok(Self {
            targets,
            routes,
            from,
            contact_user,
            credentials: match out {
                Some(out) => out.way.credentials.clone(),
                None => registered,
            },
        })
    }

    /// Whether nothing on the first part of the way can be read.
    pub(super) fn is_secure(&self) -> bool {
        let mut targets = self.targets.iter();
        targets.all(|target| target.transport == Transport::Tls)
    }
}

/// Whether a host is that of the PBX, which needs no route to itself.
fn names_own(trunk: &Trunk, targets: &SipTargets, host: Host<'_>, sip: CallId) -> bool {
    match host {
        Host::Ip(ip) => targets.iter().any(|target| target.address.ip() == ip),
        Host::Name(name) => {
            let config = &trunk.config;
            let pbx: Vec<String> = config.pbx().map(|pbx| pbx.host.to_string()).collect();
            let domain = config.domain.as_ref().map(ToString::to_string);
            let own = trunk.endpoint.own_address(sip);
            let own = own.as_deref().and_then(|own| Uri::parse(own.as_bytes()));
            let own = own.and_then(|own| own.host).map(|host| host.to_string());
            let mut names = pbx.iter().chain(&domain).chain(&own);
            names.any(|own| own.eq_ignore_ascii_case(name))
        }
    }
}

/// A place as a Route value.
fn route(target: &SipTarget) -> String {
    let transport = match target.transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
    };
    format!("<sip:{}{transport};lr>", target.address)
}

/// Bytes that the offer to a target may have, so that its INVITE fits one datagram.
pub(super) fn offer_room(way: &LegWay, to: &str, headers: &[(String, String)]) -> usize {
    let by_datagram = way.targets.iter().any(|to| to.transport == Transport::Udp);
    if !by_datagram {
        return usize::MAX;
    }
    let lines = headers
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()));
    let routes = way.routes.iter().map(|route| route.len().saturating_add(5));
    let names = [
        to.len().saturating_mul(2),
        way.from.len(),
        way.contact_user.len(),
    ];
    let head = lines
        .chain(routes)
        .map(|line| line.saturating_add(4))
        .chain(names)
        .fold(SIP_INVITE_HEAD_BYTES, usize::saturating_add);
    // The Call-ID is one of SIP's own.
    let head = head.saturating_add(40);
    SIP_INVITE_BYTES
        .saturating_sub(head)
        .max(SDP_OFFER_LEAST_BYTES)
}
