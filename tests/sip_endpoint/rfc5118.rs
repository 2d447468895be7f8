//! The messages of RFC 5118, each under its section: what the endpoint answers on IPv6 over UDP, and
//! over a stream wherever that is cut. `sip_ipv6` has what is read of such messages.

use trunkcast::sip::{SipDestination, SipEvent};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{ANSWER, Bench};
use crate::torture::Torture;

fn message(name: &'static str, code: u16) -> Torture {
    Torture {
        folder: "rfc5118",
        name,
        code,
        from: "[2001:db8::9:1]:5060".parse().unwrap(),
    }
}

/// One test for each: the file, the answer, and the port that it goes to over UDP.
macro_rules! messages {
    ($($section:ident: $name:literal => $code:literal to $port:literal;)*) => {
        $(
            #[test]
            fn $section() {
                let message = message($name, $code);
                message.over_udp();
                message.over_stream();
                let mut bench = Bench::new();
                let sent = bench.datagram_from(message.from, message.data());
                let to = std::net::SocketAddr::new(message.from.ip(), $port);
                assert_eq!(sent[0].to, SipDestination::Udp(to));
            }
        )*
    };
}

messages! {
    section_4_1_valid_message_with_an_ipv6_reference: "ipv6-good" => 405 to 5060;
    section_4_2_invalid_message_with_an_ipv6_reference: "ipv6-bad" => 400 to 5060;
    section_4_3_port_ambiguous_in_a_uri: "port-ambiguous" => 405 to 5060;
    section_4_4_port_unambiguous_in_a_uri: "port-unambiguous" => 405 to 5060;
    section_4_5_received_with_delimiters: "via-received-param-with-delim" => 481 to 5060;
    section_4_5_received_without_delimiters: "via-received-param-no-delim" => 200 to 5060;
    section_4_6_addresses_in_the_session_description: "ipv6-in-sdp" => 100 to 5060;
    section_4_7_several_addresses_in_header_fields: "mult-ip-in-header" => 481 to 6050;
    section_4_8_several_addresses_in_the_session_description: "mult-ip-in-sdp" => 100 to 5060;
    section_4_9_ipv4_mapped_addresses: "ipv4-mapped-ipv6" => 100 to 19_823;
    section_4_10_three_colons: "ipv6-bug-abnf-3-colons" => 200 to 5060;
    section_4_10_two_colons: "ipv6-correct-abnf-2-colons" => 200 to 5060;
}

#[test]
fn an_answer_tells_ipv6_addresses_as_they_are_written() {
    let invite = message("ipv4-mapped-ipv6", 100);
    let mut bench = Bench::new();
    let local = "2001:db8::10".parse().unwrap();
    bench.endpoint.set_local(invite.from.ip(), local);
    bench.datagram_from(invite.from, invite.data());
    let SipEvent::Invite { id, remote, .. } = bench.event() else {
        panic!("no INVITE");
    };
    assert_eq!(remote, invite.from);
    bench.command(|e, now| e.accept(now, id, ANSWER)).unwrap();
    let answer = &bench.take()[0];
    // Without brackets in `received`, as the grammar of RFC 3261 has it, and with them in a URI.
    let via = answer.header(HeaderName::Via).unwrap();
    assert!(
        via.starts_with("SIP/2.0/UDP [::ffff:192.0.2.10]:19823;"),
        "{via}"
    );
    assert!(via.contains(";received=2001:db8::9:1"), "{via}");
    let contact = answer.header(HeaderName::Contact).unwrap();
    assert!(contact.contains("<sip:[2001:db8::10]:40000>"), "{contact}");
}
