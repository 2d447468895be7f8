//! How a trunk speaks SIP: the values of its signalling keys.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use super::value::{Expected, Host, port};
use crate::base::network::Transport;
use crate::base::redact::Secret;

/// Registration at the PBX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// User part of the address that is registered.
    pub login: String,
    /// User name of digest authentication.
    pub authentication_name: String,
    /// Password of digest authentication.
    pub password: Secret<String>,
    /// Seconds asked for.
    pub expires: u32,
    /// Where REGISTER goes; the PBX without it.
    pub registrar: Option<HostPort>,
    /// User part of the Contact that is registered.
    pub contact: String,
}

/// A SIP host and, where it is written, its port. Without one, SRV records are asked first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Address or name.
    pub host: Host,
    /// Port.
    pub port: Option<u16>,
}

impl HostPort {
    /// A host and port.
    pub const fn new(host: Host, port: Option<u16>) -> Self {
        Self { host, port }
    }
}

impl FromStr for HostPort {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let form = || Expected::new("a host with or without a port, such as pbx.example.net:5060");
        // An IPv6 address without brackets has colons and no port.
        if let Ok(host) = text.parse() {
            return Ok(Self { host, port: None });
        }
        let (host, number) = text.rsplit_once(':').ok_or_else(form)?;
        let number = port(number).ok_or_else(form)?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(Expected::new(
                "an IPv6 address in brackets, such as [2001:db8::1]:5060",
            ));
        }
        Ok(Self {
            host: host.parse().map_err(|_| form())?,
            port: Some(number),
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            host => write!(f, "{host}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A proxy that every request of ours goes through, as a loose route (RFC 3261 section 16.12.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundProxy {
    /// Where it is.
    pub address: HostPort,
    /// How to reach it, where that is written; as the trunk otherwise.
    pub transport: Option<Transport>,
}

impl OutboundProxy {
    /// The value of the Route header: `<sip:proxy.example.net;lr>`.
    pub fn route(&self) -> String {
        let transport = match self.transport {
            None | Some(Transport::Udp) => "",
            Some(Transport::Tcp) => ";transport=tcp",
            Some(Transport::Tls) => ";transport=tls",
        };
        format!("<sip:{}{transport};lr>", self.address)
    }
}

impl FromStr for OutboundProxy {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let form = || {
            Expected::new(
                "a host with or without a port, or a URI such as \
                 sip:proxy.example.net:5060;transport=tcp",
            )
        };
        let bare = text.strip_prefix('<').and_then(|t| t.strip_suffix('>'));
        let text = bare.unwrap_or(text);
        let (address, secure) = match text.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sip") => (rest, false),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sips") => (rest, true),
            _ => (text, false),
        };
        let mut parts = address.split(';');
        let address = parts.next().unwrap_or_default();
        let mut proxy = Self {
            address: address.parse().map_err(|_| form())?,
            transport: secure.then_some(Transport::Tls),
        };
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                // Said anyway.
                "lr" => {}
                "transport" if !secure => {
                    proxy.transport = Some(transport(value).map_err(|_| form())?);
                }
                _ => return Err(form()),
            }
        }
        Ok(proxy)
    }
}

/// Reads the name of a transport.
pub fn transport(text: &str) -> Result<Transport, Expected> {
    match text {
        "udp" => Ok(Transport::Udp),
        "tcp" => Ok(Transport::Tcp),
        "tls" => Ok(Transport::Tls),
        _ => Err(Expected::new("udp, tcp or tls")),
    }
}

/// Session timers (RFC 4028).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimer {
    /// Seconds that a session lasts without a refresh, as we ask for.
    pub expires: u32,
    /// Seconds that we agree to at least (Min-SE).
    pub min: u32,
}

impl SessionTimer {
    /// The least that RFC 4028 section 4 allows for either.
    pub const LEAST: u32 = 90;
}

impl Default for SessionTimer {
    fn default() -> Self {
        Self {
            expires: 1_800,
            min: Self::LEAST,
        }
    }
}

/// How keys are sent to the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dtmf {
    /// As telephone events in RTP (RFC 4733, formerly RFC 2833).
    #[default]
    Rfc2833,
    /// As INFO with `application/dtmf-relay`.
    Info,
}

impl FromStr for Dtmf {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        match text {
            _ if text.eq_ignore_ascii_case("rfc2833") => Ok(Self::Rfc2833),
            _ if text.eq_ignore_ascii_case("info") => Ok(Self::Info),
            _ => Err(Expected::new("rfc2833 or info")),
        }
    }
}

/// Packets of SIP a second that are looked at, outside calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbuseLimits {
    /// Of one address.
    pub per_source: u32,
    /// Of all addresses that are not the PBX's.
    pub total: u32,
}

impl AbuseLimits {
    /// How many times as much an address of the PBX may send.
    pub const PBX_FACTOR: u32 = 5;

    /// Packets a second of one address of the PBX.
    pub const fn of_pbx(self) -> u32 {
        self.per_source.saturating_mul(Self::PBX_FACTOR)
    }
}

impl Default for AbuseLimits {
    fn default() -> Self {
        Self {
            per_source: 50,
            total: 500,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_have_a_port_and_ipv6_needs_brackets_for_it() {
        for (text, port) in [
            ("pbx", None),
            ("pbx.example.net:5070", Some(5_070)),
            ("192.0.2.1:5061", Some(5_061)),
            ("[2001:db8::1]:5060", Some(5_060)),
            ("[2001:db8::1]", None),
        ] {
            let read: HostPort = text.parse().unwrap();
            assert_eq!((read.port, read.to_string().as_str()), (port, text));
        }
        let bare: HostPort = "2001:db8::1".parse().unwrap();
        assert_eq!(
            (bare.port, bare.to_string().as_str()),
            (None, "[2001:db8::1]")
        );
        for text in [
            "",
            ":5060",
            "pbx:",
            "pbx:0",
            "pbx:70000",
            "pbx:5060:1",
            "2001:db8::x:5060",
            "192.0.2.256:5060",
            "sip:pbx",
            "a b:5060",
        ] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_outbound_proxy_is_a_loose_route() {
        for (text, route, transport) in [
            ("proxy", "<sip:proxy;lr>", None),
            ("192.0.2.1:5070", "<sip:192.0.2.1:5070;lr>", None),
            ("sip:proxy:5062;lr", "<sip:proxy:5062;lr>", None),
            (
                "<sip:proxy;transport=tcp;lr>",
                "<sip:proxy;transport=tcp;lr>",
                Some(Transport::Tcp),
            ),
            (
                "sips:proxy",
                "<sip:proxy;transport=tls;lr>",
                Some(Transport::Tls),
            ),
            (
                "sip:[2001:db8::1]:5060",
                "<sip:[2001:db8::1]:5060;lr>",
                None,
            ),
        ] {
            let read: OutboundProxy = text.parse().unwrap();
            assert_eq!((read.route().as_str(), read.transport), (route, transport));
        }
        for text in [
            "",
            "sip:",
            "sip:user@proxy",
            "sip:proxy;x=y",
            "sip:proxy;transport=sctp",
            "sips:proxy;transport=udp",
            "http://proxy",
            "proxy\r\nX: y",
            "<sip:proxy",
        ] {
            assert!(text.parse::<OutboundProxy>().is_err(), "{text}");
        }
    }
}
