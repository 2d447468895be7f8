//! Our Contact in REGISTER, and what a registrar says of it (RFC 3261 sections 10.2.1 and 10.2.4).

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

use crate::base::network::Transport;
use crate::wire::sip_emit::host_text;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_uri::Uri;

/// The URI of our Contact: `sip:1001@192.0.2.1:5060;transport=tcp`.
pub(super) fn uri(user: &str, address: SocketAddr, transport: Transport) -> String {
    let mut uri = String::from("sip:");
    for byte in user.bytes() {
        // The characters of `user` (section 25.1); all others are escaped.
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    if !user.is_empty() {
        uri.push('@');
    }
    uri.push_str(&host_text(address.ip()));
    uri.push_str(&format!(":{}", address.port()));
    uri.push_str(match transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
    });
    uri
}

/// For how many seconds a 200 binds our Contact; 0 when it does not.
///
/// That is the `expires` of our own Contact among those it lists, else Expires, else what was asked
/// for. Registrars that rewrite Contacts behind NAT list one that is not quite ours: where there is
/// only one, it is taken for it.
pub(super) fn bound_for(response: &SipMessage<'_>, contact: &str, asked: u32) -> u32 {
    let expires = response.headers().expires();
    let ours = Uri::parse(contact.as_bytes());
    let of = |params: &crate::wire::sip_params::Params<'_>| -> u32 {
        let own = params.token("expires").and_then(|text| text.parse().ok());
        own.or(expires).unwrap_or(asked)
    };
    let mut contacts = response.headers().contacts();
    let same = contacts.find(|contact| ours.is_some_and(|ours| contact.uri.is_equivalent(&ours)));
    if let Some(same) = same {
        return of(&same.params);
    }
    let mut contacts = response.headers().contacts();
    match (contacts.next(), contacts.next()) {
        (Some(only), None) => of(&only.params),
        _ => expires.unwrap_or(asked),
    }
}

/// Where the peer saw our request come from, by what it wrote into our Via (RFC 3581), where that is
/// not `local`. The port of a connection counts only where the address is another one too: else we
/// can be reached at the port that we listen on.
pub(super) fn seen_elsewhere(
    response: &SipMessage<'_>,
    local: SocketAddr,
    transport: Transport,
) -> Option<SocketAddr> {
    let via = response.via();
    let ip = via.received.map_or(local.ip(), |ip| ip.to_canonical());
    let port = via.rport.flatten().filter(|port| *port != 0);
    let seen = SocketAddr::new(ip, port.unwrap_or(local.port()));
    let differs = if transport == Transport::Udp {
        seen != local
    } else {
        seen.ip() != local.ip()
    };
    (differs && !ip.is_unspecified()).then_some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(lines: &str) -> String {
        format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:40000;branch=z9hG4bK1{lines}\r\n\
             From: <sip:b@c>;tag=1\r\nTo: <sip:b@c>;tag=2\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\n\r\n"
        )
    }

    #[test]
    fn the_contact_tells_transport_and_escapes_its_user() {
        let address = "192.0.2.1:40000".parse().unwrap();
        let contact = |user, transport| uri(user, address, transport);
        assert_eq!(contact("1001", Transport::Udp), "sip:1001@192.0.2.1:40000");
        assert_eq!(
            contact("a b@c:#\u{e9}", Transport::Tcp),
            "sip:a%20b%40c%3A%23%C3%A9@192.0.2.1:40000;transport=tcp"
        );
        assert_eq!(
            contact("", Transport::Tls),
            "sip:192.0.2.1:40000;transport=tls"
        );
        let v6 = "[2001:db8::1]:5060".parse().unwrap();
        assert_eq!(uri("1", v6, Transport::Udp), "sip:1@[2001:db8::1]:5060");
    }

    #[test]
    fn the_length_is_that_of_our_own_contact() {
        let ours = "sip:1001@192.0.2.1:40000;transport=tcp";
        for (lines, expected) in [
            ("", 600),
            ("\r\nExpires: 90", 90),
            (
                "\r\nContact: <sip:1001@192.0.2.1:40000;transport=TCP>;expires=30\r\nExpires: 90",
                30,
            ),
            (
                "\r\nContact: <sip:1001@192.0.2.9>;expires=5, <sip:%31001@192.0.2.1:40000;transport=tcp>;expires=31",
                31,
            ),
            (
                "\r\nContact: <sip:1001@192.0.2.9>;expires=5\r\nm: <sip:1001@192.0.2.1:40000;transport=tcp>\r\nExpires: 90",
                90,
            ),
            ("\r\nContact: <sip:1001@203.0.113.5:1024>;expires=77", 77),
            (
                "\r\nContact: <sip:1001@192.0.2.8>;expires=5, <sip:1001@192.0.2.9>;expires=6",
                600,
            ),
            (
                "\r\nContact: <sip:1001@192.0.2.1:40000;transport=tcp>;expires=0",
                0,
            ),
        ] {
            let text = response(lines);
            let message = SipMessage::parse(text.as_bytes()).unwrap();
            assert_eq!(bound_for(&message, ours, 600), expected, "{lines}");
        }
    }

    #[test]
    fn nat_shows_in_our_via() {
        let local: SocketAddr = "192.0.2.1:40000".parse().unwrap();
        let seen = |params: &str, transport| {
            let text = response(params);
            let message = SipMessage::parse(text.as_bytes()).unwrap();
            seen_elsewhere(&message, local, transport).map(|seen| seen.to_string())
        };
        for (params, udp, tcp) in [
            ("", None, None),
            (";rport=40000;received=192.0.2.1", None, None),
            (
                ";rport=1024;received=192.0.2.1",
                Some("192.0.2.1:1024"),
                None,
            ),
            (
                ";rport=1024;received=203.0.113.5",
                Some("203.0.113.5:1024"),
                Some("203.0.113.5:1024"),
            ),
            (
                ";received=203.0.113.5",
                Some("203.0.113.5:40000"),
                Some("203.0.113.5:40000"),
            ),
            (";rport=0;received=0.0.0.0", None, None),
        ] {
            assert_eq!(seen(params, Transport::Udp).as_deref(), udp, "{params}");
            assert_eq!(seen(params, Transport::Tcp).as_deref(), tcp, "{params}");
        }
    }
}
