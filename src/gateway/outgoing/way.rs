//! Where the requests of a call out go: its trunk, its hosts, and their look-up (RFC 3263).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt::Write as _;
use core::net::SocketAddr;
use std::rc::Rc;

use crate::base::network::Transport;
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::config::{Host, HostPort};
use crate::gateway::ending::Ending;
use crate::gateway::outgoing::{CallRequest, Stage};
use crate::gateway::outlet::{CallIndex, LookUp, LookUpId, Outlet};
use crate::gateway::trunk::Trunk;
use crate::sip::{Cause, Credentials, SipTarget};

/// The look-ups of calls, by their number, have this bit.
const OF_CALL: u32 = 1 << 31;

/// Where the requests of a call go, and in whose name.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Way {
    /// `sip:1002@pbx.example.net:5070`, until the INVITE is out.
    pub request_uri: String,
    /// `sip:1001@pbx.example.net`.
    pub address_of_record: String,
    /// `sip:pbx.example.net`, as long.
    pub registrar: String,
    /// User part of our Contact.
    pub login: String,
    /// Route values, as long.
    pub routes: Vec<String>,
    /// For challenges.
    pub credentials: Option<Rc<Credentials>>,
    /// Whether to register first.
    pub register: bool,
}

impl Way {
    /// The way of a call by a trunk, the hosts to look up for it, in the order to try them, and the
    /// transport, where it is known.
    pub(super) fn of(
        request: &CallRequest,
        trunk: &Trunk,
    ) -> (Self, Vec<HostPort>, Option<Transport>) {
        let config = &trunk.config;
        let is_known = trunk.serves(request);
        let of_trunk = config.outbound_proxy.as_ref().filter(|_| is_known);
        let given = request.outbound_proxy.as_ref();
        let given = given.filter(|proxy| !same_host(proxy, &request.domain));
        let mut routes = Vec::new();
        let mut transport = is_known.then_some(config.transport);
        let mut port = request.port;
        let mut hosts = Vec::new();
        if let Some(proxy) = given {
            let address = HostPort::new(proxy.clone(), port.take());
            routes.push(format!("<sip:{address};lr>"));
            hosts.push(address);
        } else if let Some(proxy) = of_trunk {
            routes.push(proxy.route());
            transport = proxy.transport.or(transport);
            hosts.push(proxy.address.clone());
        }
        let domain = HostPort::new(request.domain.clone(), port);
        if hosts.is_empty() {
            // The other targets of the PBX stand in for it.
            let pbx: Vec<_> = config.pbx().filter(|_| is_known).collect();
            let same = |pbx: &HostPort| same_host(&pbx.host, &domain.host);
            let of_trunk = pbx.iter().find(|pbx| same(pbx)).and_then(|pbx| pbx.port);
            let port = domain.port.or(of_trunk);
            let usual = transport.unwrap_or_default().default_port();
            let asked =
                |pbx: &HostPort| same(pbx) && pbx.port.unwrap_or(usual) == port.unwrap_or(usual);
            // Another port of the host may be another PBX, unless the one asked for is the trunk's.
            let is_own = pbx.iter().any(asked);
            hosts.push(HostPort::new(domain.host.clone(), port));
            let others = pbx.into_iter();
            hosts.extend(others.filter(|pbx| !asked(pbx) && (is_own || !same(pbx))));
        }
        let user = |user: &str| {
            let host = HostPort::new(domain.host.clone(), None);
            format!("sip:{}@{host}", Escaped(user))
        };
        let usual = transport.unwrap_or_default().default_port();
        let shown = HostPort::new(domain.host.clone(), domain.port.filter(|p| *p != usual));
        let password = request.password.as_ref();
        let way = Self {
            request_uri: format!("sip:{}@{shown}", Escaped(&request.callee)),
            address_of_record: user(&request.login),
            registrar: format!("sip:{shown}"),
            login: request.login.clone(),
            routes,
            credentials: password.map(|password| {
                Rc::new(Credentials {
                    username: request.authentication_name.clone(),
                    password: password.clone(),
                })
            }),
            register: request.register,
        };
        (way, hosts, transport)
    }
}

impl Way {
    /// Lets go of what only REGISTER and the first INVITE need.
    pub(super) fn forget_beginning(&mut self) {
        self.request_uri = String::new();
        self.registrar = String::new();
        self.routes = Vec::new();
    }
}

/// Whether two hosts are the same by name or number.
pub(super) fn same_host(one: &Host, other: &Host) -> bool {
    match (one, other) {
        (Host::Ip(one), Host::Ip(other)) => one.to_canonical() == other.to_canonical(),
        (Host::Name(one), Host::Name(other)) => one.eq_ignore_ascii_case(other),
        _ => false,
    }
}

/// The user part of a SIP URI, with escapes for all that may not stand there by itself (RFC 3261
/// section 25.1).
struct Escaped<'a>(&'a str);

/// The user part of a SIP URI as it may be written.
pub(in crate::gateway) fn escaped(user: &str) -> impl core::fmt::Display {
    Escaped(user)
}

impl core::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,".contains(&byte) {
                f.write_char(char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

impl Trunk {
    /// Whether its PBX is the domain or the outbound proxy of a call.
    pub(super) fn serves(&self, request: &CallRequest) -> bool {
        let hosts = request.outbound_proxy.iter().chain([&request.domain]);
        let config = &self.config;
        let proxy = config.outbound_proxy.as_ref().map(|of| &of.address.host);
        let mut own = config.domain.iter().chain(proxy);
        hosts.clone().any(|host| {
            own.any(|own| same_host(own, host))
                || config.pbx().any(|pbx| same_host(&pbx.host, host))
                || matches!(host, Host::Ip(address) if self.has_resolved(*address))
        })
    }
}

impl Gateway {
    /// The trunk whose PBX a call is for, else the first.
    pub(super) fn trunk_of(&self, request: &CallRequest) -> Option<usize> {
        let mut trunks = self.trunks.iter();
        let known = trunks.position(|trunk| trunk.is_working() && trunk.serves(request));
        known.or_else(|| self.trunks.iter().position(Trunk::is_working))
    }

    /// A look-up of a call is done: where the host is reached, or why that is not known.
    pub(in crate::gateway) fn call_looked_up(
        &mut self,
        id: LookUpId,
        result: Result<&[SipTarget], &str>,
    ) {
        let asked = |call: &Call| look_up_id(call) == id && call.is_looking_up();
        let Some(index) = self.calls.find(asked) else {
            return;
        };
        let Some(call) = self.calls.touch_mut(index) else {
            return;
        };
        let trunk = self.trunks.get_mut(call.trunk);
        let Some(out) = call.outgoing.as_mut() else {
            return;
        };
        let Stage::LookingUp {
            hosts,
            targets,
            is_asked,
            ..
        } = &mut out.stage
        else {
            return;
        };
        if !core::mem::take(is_asked) || hosts.is_empty() {
            return;
        }
        let host = hosts.remove(0);
        if let (Ok(found), Some(trunk)) = (result, trunk) {
            trunk.tls_names.set(&host.host.to_string(), found);
        }
        match result {
            // What is too many to be tried is left out.
            Ok(found) => found.iter().for_each(|target| {
                let _ = targets.push(*target);
            }),
            Err(words) if hosts.is_empty() && targets.is_empty() => {
                call.ending = Some(Ending::NameNotFound);
                out.stage = Stage::Over(Cause::new(503, format!("{host}: {words}")));
            }
            Err(_) => {}
        }
    }

    /// Looks the next host of a call up; at once where it is an address.
    pub(super) fn look_up_host(&mut self, index: CallIndex, outlet: &mut dyn Outlet) {
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        let id = look_up_id(call);
        let Some(out) = call.outgoing.as_mut() else {
            return;
        };
        let Stage::LookingUp {
            hosts,
            transport,
            targets,
            is_asked,
        } = &mut out.stage
        else {
            return;
        };
        while let Some(HostPort {
            host: Host::Ip(ip),
            port,
        }) = hosts.first()
        {
            let transport = transport.unwrap_or_default();
            let address = SocketAddr::new(*ip, port.unwrap_or(transport.default_port()));
            let _ = targets.push(SipTarget { transport, address });
            hosts.remove(0);
        }
        if let Some(HostPort { host, port }) = hosts.first().filter(|_| !*is_asked) {
            let name = host.to_string();
            let what = LookUp {
                host: &name,
                port: *port,
                transport: *transport,
            };
            *is_asked = true;
            if !outlet.look_up(id, what) {
                let words = format!("{name}: too many look-ups are under way");
                out.stage = Stage::Over(Cause::new(503, words));
            }
        }
    }
}

impl Call {
    fn is_looking_up(&self) -> bool {
        let out = self.outgoing.as_ref();
        self.is_live() && out.is_some_and(|out| matches!(out.stage, Stage::LookingUp { .. }))
    }
}

fn look_up_id(call: &Call) -> LookUpId {
    LookUpId(OF_CALL | call.label.number as u32 & !OF_CALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_stand_in_a_user_part_is_escaped() {
        for (plain, escaped) in [
            ("1002", "1002"),
            ("+49-30*1", "+49-30*1"),
            ("#31#1", "%2331%231"),
            ("a b<c>@d;e", "a%20b%3Cc%3E%40d%3Be"),
            ("\u{e4}\r\n", "%C3%A4%0D%0A"),
        ] {
            assert_eq!(Escaped(plain).to_string(), escaped);
        }
    }
}
