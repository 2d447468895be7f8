//! Via header values (RFC 3261 section 20.42, RFC 3581) and where answers go.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::sip_params::Params;
use super::sip_text::{cut_at, is_space, token, trim};
use super::sip_uri::Host;

/// What a branch begins with that RFC 3261 made.
pub const BRANCH_COOKIE: &str = "z9hG4bK";

/// One Via value: one hop of the way that a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// The transport: `UDP`, `TCP`, or whatever a proxy further off used.
    pub transport: &'a str,
    /// Host of sent-by.
    pub host: Host<'a>,
    /// Port of sent-by, where one is written.
    pub port: Option<u16>,
    /// The branch as written, where there is one.
    pub branch: Option<&'a str>,
    /// The address that a hop saw the request come from.
    pub received: Option<IpAddr>,
    /// `Some(None)` when answers are asked back to the source port, `Some(Some(port))` once filled.
    pub rport: Option<Option<u16>>,
    /// All parameters.
    pub params: Params<'a>,
    /// What stands before the parameters: protocol, transport and sent-by.
    pub(super) head: &'a [u8],
}

impl<'a> Via<'a> {
    /// Reads one value, without the comma that may follow.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (head, params) = split_params(value);
        let params = Params::parse(params)?;
        let via = Self::read(head, params)?;
        let is_version_2 = version(head)? == b"2.0";
        (is_version_2 && params.count("branch") <= 1).then_some(via)
    }

    /// Reads what an answer needs of a value that [`Via::parse`] may refuse: any version, and broken
    /// parameters taken for none.
    pub fn parse_for_answer(value: &'a [u8]) -> Option<Self> {
        let (head, params) = split_params(value);
        Self::read(head, Params::parse(params).unwrap_or_default())
    }

    /// The branch, when it is one that identifies a transaction: made by RFC 3261's rules, and more
    /// than the cookie alone.
    pub fn transaction_branch(&self) -> Option<&'a str> {
        self.branch.filter(|branch| {
            branch.len() > BRANCH_COOKIE.len()
                && branch
                    .get(..BRANCH_COOKIE.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(BRANCH_COOKIE))
        })
    }

    /// Where an answer to a request goes that came from `source` (RFC 3261 section 18.2.2, RFC 3581):
    /// to the address it came from, and there to the source port when `rport` asks for it, else to the
    /// port of sent-by or 5060.
    ///
    /// Over a connection that still stands answers go back on it; this is where to open another.
    /// `maddr` is not followed: it would let a sender aim answers at a third party.
    pub fn response_address(&self, source: SocketAddr) -> SocketAddr {
        let port = match (self.rport, self.port) {
            (Some(_), _) => source.port(),
            (None, Some(port)) if port != 0 => port,
            _ => 5060,
        };
        SocketAddr::new(source.ip(), port)
    }

    fn read(head: &'a [u8], params: Params<'a>) -> Option<Self> {
        let mut pieces = head.splitn(3, |&b| b == b'/');
        let protocol = trim(pieces.next()?);
        token(trim(pieces.next()?))?;
        let rest = trim(pieces.next()?);
        let gap = rest.iter().position(|&b| is_space(b))?;
        let (transport, sent_by) = cut_at(rest, gap);
        if !protocol.eq_ignore_ascii_case(b"SIP") {
            return None;
        }
        let (host, port) = sent_by_parts(trim(sent_by))?;
        Some(Self {
            transport: token(transport)?,
            host,
            port,
            branch: params.token("branch"),
            received: params.get("received").and_then(|p| address(p.value?)),
            rport: params.get("rport").map(|p| port_number(p.value?)),
            params,
            head,
        })
    }
}

fn split_params(value: &[u8]) -> (&[u8], &[u8]) {
    let end = value.iter().position(|&b| b == b';').unwrap_or(value.len());
    let (head, _) = cut_at(value, end);
    (trim(head), value.get(end..).unwrap_or_default())
}

fn version(head: &[u8]) -> Option<&[u8]> {
    head.splitn(3, |&b| b == b'/').nth(1).map(trim)
}

/// `host`, `host:port`, and either with space around the colon.
fn sent_by_parts(sent_by: &[u8]) -> Option<(Host<'_>, Option<u16>)> {
    let after_bracket = sent_by.iter().rposition(|&b| b == b']').unwrap_or_default();
    let colon = sent_by
        .iter()
        .skip(after_bracket)
        .position(|&b| b == b':')
        .and_then(|at| at.checked_add(after_bracket));
    let (host, port) = match colon {
        Some(at) => {
            let (host, port) = cut_at(sent_by, at);
            (trim(host), Some(port_number(trim(port))?))
        }
        None => (sent_by, None),
    };
    Some((Host::parse(core::str::from_utf8(host).ok()?)?, port))
}

fn port_number(digits: &[u8]) -> Option<u16> {
    super::sip_text::decimal(digits).and_then(|port| u16::try_from(port).ok())
}

/// An address in `received`, IPv6 with or without brackets (RFC 5118 section 4.5).
fn address(value: &[u8]) -> Option<IpAddr> {
    let text = core::str::from_utf8(value).ok()?;
    match Host::parse(text) {
        Some(Host::Ip(address)) => Some(address),
        _ => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_via_is_read_around_spaces_and_folds() {
        let via = Via::parse(b"SIP  /   2.0\r\n /UDP\r\n    192.0.2.2 : 5070 ;branch = z9hG4bKx ; rport; received=[2001:db8::9]").unwrap();
        assert_eq!(via.transport, "UDP");
        assert_eq!(
            (via.host, via.port),
            (Host::parse("192.0.2.2").unwrap(), Some(5070))
        );
        assert_eq!(via.transaction_branch(), Some("z9hG4bKx"));
        assert_eq!(via.rport, Some(None));
        assert_eq!(via.received, "2001:db8::9".parse().ok());
    }

    #[test]
    fn a_branch_that_identifies_nothing_is_no_transaction() {
        for (params, whole) in [
            ("", None),
            (";branch=z9hG4bK", None),
            (";branch=390skdjuw", None),
            (";branch=Z9HG4BK1", Some("Z9HG4BK1")),
        ] {
            let value = format!("SIP/2.0/UDP h.example{params}");
            assert_eq!(
                Via::parse(value.as_bytes()).unwrap().transaction_branch(),
                whole
            );
        }
    }

    #[test]
    fn a_broken_via_still_tells_the_way_back_when_its_sent_by_is_whole() {
        for broken in [
            "SIP/2.0/UDP h.example:5070;;",
            "SIP/7.0/UDP h.example:5070",
            "SIP/2.0/UDP h.example:5070;branch=a;branch=b",
        ] {
            assert_eq!(Via::parse(broken.as_bytes()), None, "{broken}");
            assert_eq!(
                Via::parse_for_answer(broken.as_bytes()).unwrap().port,
                Some(5070),
                "{broken}"
            );
        }
        for unusable in [
            "",
            ";",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/2.0 h.example",
            "HTTP/2.0/UDP h",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP ::1",
            "SIP/2.0/UDP h:x",
            "SIP/2.0/UDP h:70000",
        ] {
            assert_eq!(
                Via::parse_for_answer(unusable.as_bytes()),
                None,
                "{unusable}"
            );
        }
    }

    #[test]
    fn a_port_of_zero_is_no_place_to_answer_to() {
        let via = Via::parse(b"SIP/2.0/TCP h.example:0;branch=z9hG4bK1").unwrap();
        let source = "192.0.2.1:4000".parse().unwrap();
        assert_eq!(
            via.response_address(source),
            "192.0.2.1:5060".parse().unwrap()
        );
    }
}
