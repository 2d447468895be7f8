//! SIP, SIPS and tel URIs (RFC 3261 section 19.1, RFC 3966) as views of the text they stand in.
//!
//! Any other scheme is kept as its text, for a user agent to refuse. A second `@` refuses the URI, so
//! that what routes it cannot be a part of the user name. Hosts are not resolved.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rsip::common::uri::Auth;
use rsip::common::uri::param::{OtherParam, OtherParamValue};

use super::sip_text;
use super::sip_uri_compare::same_text;

/// A URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The whole of it as written, to be copied into a request.
    pub text: &'a str,
    /// Its scheme.
    pub scheme: Scheme<'a>,
    /// The user part as written, escapes and all; of a `tel:` URI its number.
    pub user: Option<&'a str>,
    /// The password within the user part.
    pub password: Option<&'a str>,
    /// The host; only sip and sips URIs have one.
    pub host: Option<Host<'a>>,
    /// The port, where one is written.
    pub port: Option<u16>,
    /// The parameters without the first `;`.
    params: &'a str,
    /// The header fields after `?`.
    pub headers: Option<&'a str>,
}

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme<'a> {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other, as written.
    Other(&'a str),
}

/// The host of a URI or of a Via.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// An address; IPv6 stands in brackets on the wire.
    Ip(IpAddr),
    /// A name.
    Name(&'a str),
}

impl<'a> Uri<'a> {
    /// Reads a URI that stands alone, without angle brackets or space around it.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = core::str::from_utf8(bytes).ok()?;
        if text
            .bytes()
            .any(|b| b <= b' ' || b == 0x7f || b"<>\"".contains(&b))
        {
            return None;
        }
        let (scheme, rest) = text.split_once(':')?;
        let scheme = Scheme::parse(scheme)?;
        if rest.is_empty() {
            return None;
        }
        let mut uri = Self {
            text,
            scheme,
            user: None,
            password: None,
            host: None,
            port: None,
            params: "",
            headers: None,
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => uri.read_sip(rest)?,
            Scheme::Tel => uri.read_tel(rest)?,
            Scheme::Other(_) => {}
        }
        Some(uri)
    }

    /// The user part with its escapes resolved: the number that was dialled.
    pub fn user_text(&self) -> Option<String> {
        let user: Vec<u8> = sip_text::unescaped(self.user?.as_bytes()).collect();
        Some(String::from_utf8_lossy(&user).into_owned())
    }

    /// The parameters in order, each with its value.
    pub fn params(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        pairs(self.params, ';')
    }

    /// The first parameter of that name: `Some(None)` when it is there without a value.
    pub fn param(&self, name: &str) -> Option<Option<&'a str>> {
        self.params()
            .find(|(given, _)| same_text(given, name, true))
            .map(|(_, value)| value)
    }

    /// Whether it asks for loose routing (`;lr`).
    pub fn is_loose_route(&self) -> bool {
        self.param("lr").is_some()
    }

    /// The `transport` parameter.
    pub fn transport(&self) -> Option<&'a str> {
        self.param("transport").flatten()
    }

    /// The address and port to send to, where the host is an address; port 5060 when none is given,
    /// 5061 for sips.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let Host::Ip(ip) = self.host? else {
            return None;
        };
        let usual = if self.scheme == Scheme::Sips {
            5061
        } else {
            5060
        };
        Some(SocketAddr::new(ip, self.port.unwrap_or(usual)))
    }

    /// The URI in rsip's terms, printing as it was written save for header fields.
    ///
    /// rsip prints IPv6 hosts without brackets and puts `://` after schemes of others, so an IPv6
    /// host becomes a bracketed domain, and a URI without a host becomes one domain as a whole.
    pub fn to_rsip(&self) -> rsip::Uri {
        let whole = |scheme, host| rsip::Uri {
            scheme,
            host_with_port: rsip::HostWithPort { host, port: None },
            ..rsip::Uri::default()
        };
        let Some(host) = self.host else {
            return whole(None, rsip::Host::Domain(self.text.into()));
        };
        let scheme = match self.scheme {
            Scheme::Sips => rsip::Scheme::Sips,
            _ => rsip::Scheme::Sip,
        };
        let mut uri = whole(Some(scheme), host.to_rsip());
        uri.auth = self.user.map(|user| Auth {
            user: user.into(),
            password: self.password.map(Into::into),
        });
        uri.host_with_port.port = self.port.map(Into::into);
        uri.params = self
            .params()
            .map(|(name, value)| {
                rsip::Param::Other(OtherParam::new(name), value.map(OtherParamValue::new))
            })
            .collect();
        uri
    }

    fn read_sip(&mut self, rest: &'a str) -> Option<()> {
        let rest = match rest.split_once('@') {
            Some((user, rest)) => {
                let (user, password) = match user.split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (user, None),
                };
                if user.is_empty() || rest.contains('@') {
                    return None;
                }
                self.user = Some(user);
                self.password = password;
                rest
            }
            None => rest,
        };
        let rest = match rest.split_once('?') {
            Some((rest, headers)) => {
                self.headers = Some(headers);
                rest
            }
            None => rest,
        };
        let (host, params) = rest.split_once(';').unwrap_or((rest, ""));
        (self.host, self.port) = Host::parse_with_port(host).map(|(h, p)| (Some(h), p))?;
        self.params = params;
        Some(())
    }

    fn read_tel(&mut self, rest: &'a str) -> Option<()> {
        let (number, params) = rest.split_once(';').unwrap_or((rest, ""));
        let is_number = number
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || b"+-.()*#".contains(&b));
        if number.is_empty() || !is_number {
            return None;
        }
        self.user = Some(number);
        self.params = params;
        Some(())
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl<'a> Scheme<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let first = text.bytes().next()?;
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        if !first.is_ascii_alphabetic() || !text.bytes().all(legal) {
            return None;
        }
        Some(match text {
            _ if text.eq_ignore_ascii_case("sip") => Self::Sip,
            _ if text.eq_ignore_ascii_case("sips") => Self::Sips,
            _ if text.eq_ignore_ascii_case("tel") => Self::Tel,
            _ => Self::Other(text),
        })
    }
}

impl<'a> Host<'a> {
    /// Reads a host name, an IPv4 address or an IPv6 address in brackets.
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Some(inside) = text.strip_prefix('[') {
            let inside = inside.strip_suffix(']')?;
            let address = inside
                .parse()
                .ok()
                .or_else(|| with_colon_too_many(inside))?;
            return Some(Self::Ip(IpAddr::V6(address)));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Ip(address.into()));
        }
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if text.is_empty() || !text.bytes().all(legal) {
            return None;
        }
        Some(Self::Name(text))
    }

    /// Reads a host and, after a colon, a port.
    pub fn parse_with_port(text: &'a str) -> Option<(Self, Option<u16>)> {
        let host_end = text.rfind(']').map_or(0, |at| at.saturating_add(1));
        let after = text.get(host_end..)?;
        match after.split_once(':') {
            Some((middle, port)) => {
                let host = text.get(..host_end.checked_add(middle.len())?)?;
                let port = sip_text::decimal(port.as_bytes())?;
                Some((Self::parse(host)?, Some(u16::try_from(port).ok()?)))
            }
            None => Some((Self::parse(text)?, None)),
        }
    }

    /// The host in rsip's terms; IPv6 as a bracketed domain, since rsip prints it without brackets.
    pub fn to_rsip(self) -> rsip::Host {
        rsip::Host::Domain(self.to_string().into())
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Ip(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// An IPv6 address with three colons before its IPv4 part, as the grammar of RFC 3261 makes it; to be
/// put up with (RFC 5118, section 4.10).
fn with_colon_too_many(text: &str) -> Option<Ipv6Addr> {
    let (before, after) = text.split_once(":::")?;
    after.parse::<Ipv4Addr>().ok()?;
    format!("{before}::{after}").parse().ok()
}

/// Splits `a=1;b` into names and values; empty pieces are passed over.
pub(super) fn pairs<'a>(
    text: &'a str,
    separator: char,
) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
    text.split(separator)
        .filter(|piece| !piece.is_empty())
        .map(|piece| match piece.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (piece, None),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn every_part_is_found() {
        let read = uri("sips:alice:secret@host.example:5071;transport=tcp;LR?Subject=hi&a=b");
        assert_eq!(read.scheme, Scheme::Sips);
        assert_eq!((read.user, read.password), (Some("alice"), Some("secret")));
        assert_eq!(
            (read.host, read.port),
            (Some(Host::Name("host.example")), Some(5071))
        );
        assert_eq!(read.transport(), Some("tcp"));
        assert!(read.is_loose_route());
        assert_eq!(read.headers, Some("Subject=hi&a=b"));
    }

    #[test]
    fn a_user_part_may_hold_what_looks_like_parameters() {
        let read = uri("sip:user;par=u%40example.net@example.com");
        assert_eq!(read.user_text().unwrap(), "user;par=u@example.net");
        assert_eq!(read.host, Some(Host::Name("example.com")));
        let read = uri("sip:+15551212;phone-context=a.example@gw.example;user=phone");
        assert_eq!(read.user, Some("+15551212;phone-context=a.example"));
        assert_eq!(read.param("USER"), Some(Some("phone")));
    }

    #[test]
    fn what_routes_cannot_be_moved_into_the_user_part() {
        let read = uri("sip:a@h.example?Replaces=x%40y");
        assert_eq!(read.host, Some(Host::Name("h.example")));
        for text in ["sip:a@b@c", "sip:a@h?Replaces=x@y", "sip:@h", "sip:a@"] {
            assert_eq!(Uri::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn ipv6_hosts_stand_in_brackets_and_only_there() {
        let read = uri("sip:u@[2001:db8::10]:5070;x=1");
        assert_eq!(read.socket_addr(), "[2001:db8::10]:5070".parse().ok());
        let read = uri("sip:[2001:db8::10:5070]");
        assert_eq!(read.socket_addr(), "[2001:db8::10:5070]:5060".parse().ok());
        for text in [
            "sip:2001:db8::10",
            "sip:[2001:db8::10",
            "sip:[192.0.2.1]",
            "sip:[::1]x",
            "sip:[::1]:",
            "sip:u@[fe80::1%eth0]",
        ] {
            assert_eq!(Uri::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_tel_uri_gives_its_number_as_the_user() {
        let read = uri("tel:+1-555-1212;phone-context=a.example");
        assert_eq!(read.scheme, Scheme::Tel);
        assert_eq!(read.user_text().unwrap(), "+1-555-1212");
        assert_eq!(read.host, None);
        assert_eq!(Uri::parse(b"tel:a@b"), None);
    }

    #[test]
    fn text_that_is_no_uri_is_refused() {
        for text in [
            "",
            "sip:",
            "sip",
            ":a",
            "1sip:a",
            "sip:a b",
            "sip:h:70000",
            "sip:h:",
            "sip:h:+5",
            "sip:h\u{e9}",
            "<sip:a@h>",
            "sip:\"a\"@h",
            "sip:\0@h",
        ] {
            assert_eq!(Uri::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Uri::parse(b"sip:\xff@h"), None);
    }
}
