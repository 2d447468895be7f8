//! IPv6 in SIP messages, after the sections of RFC 5118; the messages are our own.

use std::net::{IpAddr, SocketAddr};

use trunkcast::wire::sip_emit::write_response;
use trunkcast::wire::sip_fault::SipFault;
use trunkcast::wire::sip_message::SipMessage;
use trunkcast::wire::sip_reply::ReplyHead;
use trunkcast::wire::sip_uri::Host;

fn request(target: &str, via: &str, contact: &str, call_id: &str) -> String {
    format!(
        "REGISTER {target} SIP/2.0\r\n\
         Via: {via}\r\n\
         From: <sip:bob@example.net>;tag=5118\r\n\
         To: <sip:bob@example.net>\r\n\
         Call-ID: {call_id}\r\n\
         CSeq: 1 REGISTER\r\n\
         Contact: {contact}\r\n\
         Max-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

const VIA: &str = "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111";
const CONTACT: &str = "\"Bob\" <sip:bob@[2001:db8::1]>";

fn accepted(text: &str) -> SipMessage<'_> {
    SipMessage::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{:?}", error.fault))
}

fn ip(text: &str) -> Option<Host<'_>> {
    Some(Host::Ip(text.parse().unwrap()))
}

#[test]
fn section_4_1_an_address_in_brackets_everywhere() {
    let text = request("sip:[2001:db8::10]", VIA, CONTACT, "a@[2001:db8::9:1]");
    let message = accepted(&text);
    assert_eq!(message.request_uri().unwrap().host, ip("2001:db8::10"));
    assert_eq!(Some(message.via().host), ip("2001:db8::9:1"));
    assert_eq!(message.via().port, None);
    assert_eq!(message.contact().unwrap().uri.host, ip("2001:db8::1"));
    assert_eq!(message.call_id(), "a@[2001:db8::9:1]");
}

#[test]
fn section_4_2_an_address_without_brackets_is_no_request_uri() {
    let text = request("sip:2001:db8::10", VIA, CONTACT, "a");
    let error = SipMessage::parse(text.as_bytes()).unwrap_err();
    assert_eq!(error.fault, SipFault::RequestUri);
    assert!(error.answer_to.is_some());
}

#[test]
fn section_4_3_what_looks_like_a_port_inside_brackets_is_address() {
    let text = request("sip:[2001:db8::10:5070]", VIA, CONTACT, "a");
    let message = accepted(&text);
    let target = message.request_uri().unwrap();
    assert_eq!((target.host, target.port), (ip("2001:db8::10:5070"), None));
}

#[test]
fn section_4_4_a_port_stands_after_the_brackets() {
    let text = request(
        "sip:[2001:db8::10]:5070",
        "SIP/2.0/UDP [2001:db8::9:1]:5080;branch=z9hG4bK1",
        CONTACT,
        "a",
    );
    let message = accepted(&text);
    assert_eq!(
        message.request_uri().unwrap().socket_addr(),
        "[2001:db8::10]:5070".parse().ok()
    );
    assert_eq!(message.via().port, Some(5080));
}

#[test]
fn section_4_5_received_is_read_with_and_without_brackets() {
    let wanted: IpAddr = "2001:db8::9:255".parse().unwrap();
    for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let via = format!("{VIA};received={received}");
        let text = request("sip:[2001:db8::10]", &via, CONTACT, "a");
        assert_eq!(accepted(&text).via().received, Some(wanted), "{received}");
    }
}

#[test]
fn section_4_7_addresses_of_both_kinds_stand_side_by_side() {
    let via = "SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bK1, \
               SIP/2.0/TCP 192.0.2.200;branch=z9hG4bK2;received=2001:db8::9:255";
    let text = request("sip:user@192.0.2.1", via, CONTACT, "a");
    let message = accepted(&text);
    let hosts: Vec<_> = message.vias().map(|via| Some(via.host)).collect();
    assert_eq!(hosts, [ip("2001:db8::9:1"), ip("192.0.2.200")]);
}

#[test]
fn section_4_9_an_ipv4_mapped_address_is_an_ipv6_one() {
    let text = request(
        "sip:user@[::ffff:192.0.2.10]",
        "SIP/2.0/UDP [::ffff:192.0.2.2]:19823;branch=z9hG4bK1",
        CONTACT,
        "a",
    );
    let message = accepted(&text);
    assert_eq!(message.request_uri().unwrap().host, ip("::ffff:192.0.2.10"));
    assert_eq!(Some(message.via().host), ip("::ffff:192.0.2.2"));
}

/// The grammar of RFC 3261 makes three colons where an IPv4 address follows.
#[test]
fn section_4_10_three_colons_before_an_ipv4_address_are_two() {
    for host in ["2001:db8:::192.0.2.1", "2001:db8::192.0.2.1"] {
        let text = request(&format!("sip:user@[{host}]"), VIA, CONTACT, "a");
        let message = accepted(&text);
        let target = message.request_uri().unwrap();
        assert_eq!(target.host, ip("2001:db8::192.0.2.1"), "{host}");
    }
    for host in [
        "2001:db8:::10",
        "2001:db8::::192.0.2.1",
        "2001:db8::1:::192.0.2.1",
        "2001:db8:::192.0.2",
        "1:2:3:4:5:6:7:::192.0.2.1",
    ] {
        let text = request(&format!("sip:user@[{host}]"), VIA, CONTACT, "a");
        let error = SipMessage::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.fault, SipFault::RequestUri, "{host}");
    }
}

#[test]
fn a_via_without_brackets_leaves_no_way_back() {
    let text = request(
        "sip:[2001:db8::10]",
        "SIP/2.0/UDP 2001:db8::9:1;branch=z9hG4bK1",
        CONTACT,
        "a",
    );
    let error = SipMessage::parse(text.as_bytes()).unwrap_err();
    assert!(error.answer_to.is_none());
}

#[test]
fn an_answer_over_ipv6_reads_back() {
    let via = format!("{VIA};rport");
    let text = request("sip:[2001:db8::10]", &via, CONTACT, "a");
    let source: SocketAddr = "[2001:db8::9:255]:5099".parse().unwrap();
    let head = ReplyHead::new(accepted(&text).headers(), source);
    assert_eq!(head.destination(), source);
    let response = rsip::Response {
        headers: vec![rsip::Header::Contact(
            "<sip:100@[2001:db8::10]:5060>".into(),
        )]
        .into(),
        ..rsip::Response::default()
    };
    let mut out = [0; 2_000];
    let length = write_response(&head, Some("t"), &response, &mut out).unwrap();
    let answer = SipMessage::parse(&out[..length]).unwrap();
    assert_eq!(answer.via().received, Some(source.ip()));
    assert_eq!(answer.via().rport, Some(Some(5099)));
    assert_eq!(Some(answer.via().host), ip("2001:db8::9:1"));
    assert_eq!(answer.contact().unwrap().uri.host, ip("2001:db8::10"));
}
