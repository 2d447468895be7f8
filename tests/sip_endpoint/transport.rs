//! Where answers and requests go, and what streams do.

use std::net::SocketAddr;

use trunkcast::base::ids::ConnId;
use trunkcast::sip::{Cause, ConnectionRefused, SipConfig, SipDestination, SipEvent};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{ANSWER, Bench, Caller, config, peer, respond, secs, whats};

const CONN: ConnId = ConnId(1);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn answers_go_to_the_source_port_when_rport_asks_and_else_to_sent_by() {
    let source = address("192.0.2.10:33333");
    for (sent_by, via, to, received) in [
        ("192.0.2.10:5070", ";rport", "192.0.2.10:33333", true),
        ("192.0.2.10:5070", "", "192.0.2.10:5070", false),
        ("192.0.2.10", "", "192.0.2.10:5060", false),
        ("phone.example.com:5080", "", "192.0.2.10:5080", true),
        (
            "10.0.0.1:5090",
            ";received=192.0.2.99",
            "192.0.2.10:5090",
            true,
        ),
        (
            "10.0.0.1:5090",
            ";maddr=192.0.2.99",
            "192.0.2.10:5090",
            true,
        ),
    ] {
        let mut bench = Bench::new();
        let mut caller = Caller::new("a");
        caller.sent_by = sent_by.into();
        caller.via = via.into();
        let sent = bench.datagram_from(source, caller.request("OPTIONS"));
        assert_eq!(
            sent[0].to,
            SipDestination::Udp(address(to)),
            "{sent_by}{via}"
        );
        let top = sent[0].header(HeaderName::Via).unwrap();
        assert_eq!(top.contains(";received=192.0.2.10"), received, "{top}");
        assert_eq!(top.contains(";rport=33333"), via == ";rport", "{top}");
    }
}

#[test]
fn strangers_get_nothing() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let stranger = address("198.51.100.1:5060");
    for message in [caller.invite(), caller.request("OPTIONS"), "garbage".into()] {
        assert!(bench.datagram_from(stranger, message).is_empty());
    }
    let refused = bench.command(|e, now| e.handle_accepted(now, CONN, stranger, false));
    assert_eq!(refused, Err(ConnectionRefused::Source));
    assert!(bench.stream(CONN, caller.invite()).is_empty());
    assert!(bench.events.is_empty());
    assert_eq!(bench.endpoint.counters().source_refused, 4);
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn a_call_over_ipv6_works() {
    let mut config = crate::bench::config(4);
    config.local = address("[2001:db8::1]:40000");
    let mut bench = Bench::with_config(config);
    let mut caller = Caller::new("six");
    caller.sent_by = "[2001:db8::9]:5070".into();
    caller.via = String::new();
    caller.contact = "<sip:caller@[2001:db8::9]:5070>".into();
    let source = address("[2001:db8::9]:6060");
    let sent = bench.datagram_from(source, caller.invite());
    assert_eq!(
        sent[0].to,
        SipDestination::Udp(address("[2001:db8::9]:5070"))
    );
    let SipEvent::Invite { id, .. } = bench.event() else {
        panic!("no INVITE");
    };
    let ok = bench.accept(id, &mut caller);
    let contact = ok.header(HeaderName::Contact).unwrap();
    assert_eq!(contact, "\"Lobby\" <sip:[2001:db8::1]:40000>");
    bench.datagram_from(source, caller.ack());
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let bye = bench.take().remove(0);
    assert!(
        bye.text()
            .starts_with("BYE sip:caller@[2001:db8::9]:5070 SIP/2.0\r\n")
    );
    assert!(
        bye.text()
            .contains("Via: SIP/2.0/UDP [2001:db8::1]:40000;branch=")
    );
    assert_eq!(bye.to, SipDestination::Udp(address("[2001:db8::9]:5070")));
}

#[test]
fn a_call_over_tcp_stays_on_its_connection() {
    let mut bench = Bench::new();
    bench.connect(CONN);
    let mut caller = Caller::over_tcp("tcp");
    let sent = bench.stream(CONN, caller.invite());
    let back = SipDestination::Stream {
        secure: false,
        conn: Some(CONN),
        remote: peer(),
    };
    assert_eq!((whats(&sent), sent[0].to), (vec!["100".into()], back));
    let SipEvent::Invite { id, .. } = bench.event() else {
        panic!("no INVITE");
    };
    let ok = bench.accept(id, &mut caller);
    assert_eq!(ok.to, back);
    let contact = ok.header(HeaderName::Contact).unwrap();
    assert_eq!(contact, "\"Lobby\" <sip:192.0.2.1:40000;transport=tcp>");
    // RFC 3261 section 13.3.1.4: a 200 is repeated on TCP as well.
    assert_eq!(whats(&bench.advance(secs(2))), ["200", "200"]);
    bench.stream(CONN, caller.ack());
    bench.event();
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let bye = bench.take().remove(0);
    assert_eq!(bye.to, back);
    assert!(
        bye.text()
            .contains("Via: SIP/2.0/TCP 192.0.2.1:40000;branch=")
    );
    assert!(bench.advance(secs(20)).is_empty(), "TCP repeats by itself");
    bench.stream(CONN, respond(&bye, 200));
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn requests_over_tcp_leave_no_state_for_repetitions() {
    let mut bench = Bench::new();
    bench.connect(CONN);
    let mut caller = Caller::over_tcp("tcp");
    bench.stream(CONN, caller.invite());
    let SipEvent::Invite { id, .. } = bench.event() else {
        panic!("no INVITE");
    };
    bench.accept(id, &mut caller);
    bench.stream(CONN, caller.ack());
    bench.advance(secs(33));
    assert_eq!(bench.endpoint.busy(), 1, "the call alone");
    assert_eq!(whats(&bench.stream(CONN, caller.request("BYE"))), ["200"]);
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn any_split_of_a_stream_is_the_same_stream() {
    let messages = |bench: &mut Bench, step: usize| {
        bench.connect(CONN);
        let mut caller = Caller::over_tcp("split");
        let mut bytes = b"\r\n\r\n".to_vec();
        bytes.extend(caller.request("OPTIONS").bytes());
        bytes.extend(b"\r\n\r\n\r\n\r\n");
        bytes.extend(caller.invite().bytes());
        bytes.extend(caller.cancel().bytes());
        let mut sent = Vec::new();
        for piece in bytes.chunks(step) {
            sent.extend(bench.stream(CONN, piece));
        }
        sent
    };
    let text = |sent: &[crate::bench::Sent]| -> Vec<Vec<u8>> {
        sent.iter().map(|s| s.bytes.clone()).collect()
    };
    let whole = messages(&mut Bench::new(), usize::MAX);
    let starts: Vec<&[u8]> = whole
        .iter()
        .map(|s| &s.bytes[..s.bytes.len().min(11)])
        .collect();
    let expected: [&[u8]; 7] = [
        b"\r\n",
        b"SIP/2.0 200",
        b"\r\n",
        b"\r\n",
        b"SIP/2.0 100",
        b"SIP/2.0 200",
        b"SIP/2.0 487",
    ];
    assert_eq!(starts, expected);
    for step in (1..60).chain([100, 333, 700]) {
        let mut bench = Bench::new();
        assert_eq!(
            text(&messages(&mut bench, step)),
            text(&whole),
            "in pieces of {step}"
        );
        assert!(matches!(bench.event(), SipEvent::Invite { .. }));
        assert!(matches!(bench.event(), SipEvent::Ended { .. }));
    }
}

#[test]
fn a_stream_without_length_is_answered_and_closed() {
    let mut bench = Bench::new();
    bench.connect(CONN);
    let mut caller = Caller::over_tcp("a");
    let options = caller
        .request("OPTIONS")
        .replace("Content-Length: 0\r\n", "");
    assert_eq!(whats(&bench.stream(CONN, options)), ["400"]);
    assert_eq!(bench.event(), SipEvent::Disconnect { conn: CONN });
    assert_eq!(bench.endpoint.connections(), 0);
    assert!(bench.stream(CONN, caller.request("OPTIONS")).is_empty());
    assert_eq!(bench.endpoint.counters().streams_broken, 1);
}

#[test]
fn a_stream_of_nothing_but_header_is_closed() {
    let mut bench = Bench::new();
    bench.connect(CONN);
    bench.stream(CONN, "OPTIONS sip:a@b SIP/2.0\r\n");
    for _ in 0..1_000 {
        bench.stream(CONN, "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
    }
    assert_eq!(bench.event(), SipEvent::Disconnect { conn: CONN });
    assert!(bench.events.is_empty());
}

#[test]
fn with_the_connection_gone_answers_open_another_to_sent_by() {
    let mut bench = Bench::new();
    bench.connect(CONN);
    let mut caller = Caller::over_tcp("a");
    caller.sent_by = "192.0.2.10:5075".into();
    bench.stream(CONN, caller.invite());
    let SipEvent::Invite { id, .. } = bench.event() else {
        panic!("no INVITE");
    };
    bench.endpoint.handle_disconnected(bench.now, CONN);
    let remote = address("192.0.2.10:5075");
    let ok = bench.accept(id, &mut caller);
    assert_eq!(
        ok.to,
        SipDestination::Stream {
            secure: false,
            conn: None,
            remote
        }
    );
    bench
        .command(|e, now| e.handle_connected(now, ConnId(2), remote, false))
        .unwrap();
    let sent = bench.advance(secs(1));
    assert_eq!(
        sent[0].to,
        SipDestination::Stream {
            secure: false,
            conn: Some(ConnId(2)),
            remote
        }
    );
    bench.stream(ConnId(2), caller.ack());
    assert!(matches!(bench.event(), SipEvent::Confirmed { .. }));
}

#[test]
fn with_the_connection_gone_our_bye_opens_another_to_the_target() {
    let mut bench = Bench::new();
    bench.connect(CONN);
    let mut caller = Caller::over_tcp("a");
    caller.contact = "<sip:caller@192.0.2.10:5090;transport=tcp>".into();
    bench.stream(CONN, caller.invite());
    let SipEvent::Invite { id, .. } = bench.event() else {
        panic!("no INVITE");
    };
    bench.accept(id, &mut caller);
    bench.stream(CONN, caller.ack());
    bench.endpoint.handle_disconnected(bench.now, CONN);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let bye = bench.take().remove(0);
    let remote = address("192.0.2.10:5090");
    assert_eq!(
        bye.to,
        SipDestination::Stream {
            secure: false,
            conn: None,
            remote
        }
    );
    assert_eq!(bench.endpoint.closing_calls(), 1);
    bench.command(|e, now| e.handle_connect_failed(now, remote, false, "refused"));
    assert_eq!(bench.endpoint.closing_calls(), 0);
    assert_eq!(bench.endpoint.counters().requests_unanswered, 1);
}

#[test]
fn a_bye_whose_connection_goes_is_sent_again_over_another() {
    let mut bench = Bench::new();
    bench.connect(CONN);
    let mut caller = Caller::over_tcp("a");
    bench.stream(CONN, caller.invite());
    let SipEvent::Invite { id, .. } = bench.event() else {
        panic!("no INVITE");
    };
    bench.accept(id, &mut caller);
    bench.stream(CONN, caller.ack());
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let bye = bench.take().remove(0);
    bench.command(|e, now| e.handle_disconnected(now, CONN));
    let again = bench.take();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].bytes, bye.bytes);
    assert_eq!(
        again[0].to,
        SipDestination::Stream {
            secure: false,
            conn: None,
            remote: peer()
        }
    );
}

#[test]
fn a_caller_on_udp_with_a_tcp_contact_gets_our_bye_over_tcp() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    caller.contact = "<sip:caller@192.0.2.10:5090;transport=tcp>".into();
    let id = bench.call(&mut caller);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let remote = address("192.0.2.10:5090");
    assert_eq!(
        bench.take()[0].to,
        SipDestination::Stream {
            secure: false,
            conn: None,
            remote
        }
    );
}

#[test]
fn our_bye_goes_to_nobody_who_may_not_call() {
    for contact in [
        "<sip:caller@198.51.100.9:5060>",
        "<sip:caller@phone.example.com>",
    ] {
        let mut bench = Bench::new();
        let mut caller = Caller::new("a");
        caller.contact = contact.into();
        let id = bench.call(&mut caller);
        bench
            .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
            .unwrap();
        let bye = bench.take().remove(0);
        assert_eq!(bye.to, SipDestination::Udp(peer()), "{contact}");
        let uri = contact.trim_matches(|c| c == '<' || c == '>');
        assert!(bye.text().starts_with(&format!("BYE {uri} SIP/2.0\r\n")));
    }
}

#[test]
fn the_oldest_idle_connection_makes_room_for_another() {
    let mut bench = Bench::with_calls(1);
    bench.connect(ConnId(0));
    let mut caller = Caller::over_tcp("a");
    bench.stream(ConnId(0), caller.invite());
    bench.event();
    let capacity = 1 + trunkcast::limits::SIP_SPARE_CONNECTIONS as u32;
    for number in 1..capacity {
        bench.now = bench.now + crate::bench::ms(1);
        bench.connect(ConnId(number));
    }
    assert!(bench.events.is_empty());
    bench.connect(ConnId(capacity));
    assert_eq!(bench.event(), SipEvent::Disconnect { conn: ConnId(1) });
    assert_eq!(bench.endpoint.connections(), capacity as usize);
    // The call's connection, older than all, is still there.
    assert_eq!(
        whats(&bench.stream(ConnId(0), caller.request("OPTIONS"))),
        ["200"]
    );
}

#[test]
fn a_refusal_over_tcp_is_not_repeated() {
    let mut bench = Bench::new();
    bench.connect(CONN);
    let mut caller = Caller::over_tcp("a");
    bench.stream(CONN, caller.invite());
    let SipEvent::Invite { id, .. } = bench.event() else {
        panic!("no INVITE");
    };
    bench
        .command(|e, now| e.reject(now, id, 486, "", None))
        .unwrap();
    let refusal = bench.take().remove(0);
    assert!(bench.advance(secs(20)).is_empty());
    bench.stream(CONN, caller.ack_refusal(&refusal));
    bench.advance(secs(0));
    assert_eq!(bench.endpoint.busy(), 0);
    assert!(!ANSWER.is_empty());
}

#[test]
fn a_call_keeps_the_address_of_ours_that_it_began_with() {
    let mut bench = Bench::new();
    let local = "192.0.2.2".parse().unwrap();
    bench.endpoint.set_local(peer().ip(), local);
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    for number in 100..200 {
        let other = std::net::Ipv4Addr::new(192, 0, 2, number);
        bench
            .endpoint
            .set_local(other.into(), "192.0.2.3".parse().unwrap());
    }
    let ok = bench.accept(id, &mut caller);
    let contact = ok.header(HeaderName::Contact).unwrap();
    assert_eq!(contact, "\"Lobby\" <sip:192.0.2.2:40000>");
    bench.datagram(caller.ack());
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let via = bench.take()[0].header(HeaderName::Via).unwrap();
    assert!(via.starts_with("SIP/2.0/UDP 192.0.2.2:40000;"), "{via}");
}

#[test]
fn who_may_call_can_be_changed() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    bench.call(&mut caller);
    bench.endpoint.set_allow(Vec::new());
    assert!(!bench.endpoint.allows(peer().ip()));
    // The call that is up stays, and is heard; there is no other.
    assert!(bench.datagram(Caller::new("b").invite()).is_empty());
    assert_eq!(whats(&bench.datagram(caller.request("BYE"))), ["200"]);
    assert!(bench.datagram(caller.request("OPTIONS")).is_empty());
    bench.endpoint.set_allow(vec![peer().ip().into()]);
    let mut other = Caller::new("c");
    assert_eq!(whats(&bench.datagram(other.request("OPTIONS"))), ["200"]);
}

#[test]
fn a_message_that_is_not_finished_in_time_ends_its_connection_and_calls_stay() {
    let mut bench = Bench::new();
    bench.connect(CONN);
    let mut caller = Caller::over_tcp("a");
    bench.stream(CONN, caller.invite());
    let SipEvent::Invite { id, .. } = bench.event() else {
        panic!("no INVITE");
    };
    bench.accept(id, &mut caller);
    bench.stream(CONN, caller.ack());
    assert!(matches!(bench.event(), SipEvent::Confirmed { .. }));
    let (silent, slow) = (ConnId(2), ConnId(3));
    bench.connect(silent);
    bench.connect(slow);
    for _ in 0..9 {
        bench.stream(slow, "O");
        bench.advance(secs(1));
    }
    assert!(bench.events.is_empty());
    bench.advance(secs(1));
    assert_eq!(bench.event(), SipEvent::Disconnect { conn: slow });
    bench.advance(secs(20));
    assert_eq!(bench.event(), SipEvent::Disconnect { conn: silent });
    assert_eq!(bench.endpoint.counters().connections_unfinished, 2);
    // The connection of the call is idle for longer than any other may be.
    bench.advance(secs(1_500));
    assert!(bench.events.is_empty() && bench.endpoint.connections() == 1);
}

#[test]
fn a_connection_of_ours_is_kept_open_and_missed_once_it_has_answered() {
    let mut bench = Bench::new();
    let remote = address("192.0.2.10:5075");
    bench
        .command(|e, now| e.handle_connected(now, CONN, remote, true))
        .unwrap();
    let sent = bench.advance(secs(115));
    let way = SipDestination::Stream {
        secure: true,
        conn: Some(CONN),
        remote,
    };
    assert_eq!((sent[0].to, &sent[0].bytes[..]), (way, &b"\r\n\r\n"[..]));
    assert!(bench.stream(CONN, "\r\n").is_empty());
    // Two answers are no keep-alive of the peer's.
    bench.advance(secs(115));
    assert!(bench.stream(CONN, "\r\n").is_empty());
    bench.advance(secs(130));
    assert_eq!(bench.event(), SipEvent::Disconnect { conn: CONN });
    assert_eq!(bench.endpoint.counters().connections_dead, 1);
}

#[test]
fn tls_where_none_is_spoken_ends_the_connection_at_once() {
    let mut bench = Bench::new();
    bench.connect(CONN);
    bench.stream(CONN, b"\x16\x03\x01\x02\x00\x01");
    assert_eq!(bench.event(), SipEvent::Disconnect { conn: CONN });
    assert_eq!(bench.endpoint.counters().tls_unexpected, 1);
}

#[test]
fn an_invite_to_a_sips_uri_is_answered_with_a_sips_contact() {
    let mut bench = Bench::new();
    bench
        .command(|e, now| e.handle_accepted(now, CONN, address("192.0.2.10:50001"), true))
        .unwrap();
    let mut caller = Caller::over_tcp("a");
    let invite = caller.invite().replacen("INVITE sip:", "INVITE sips:", 1);
    bench.stream(CONN, invite);
    let SipEvent::Invite { id, .. } = bench.event() else {
        panic!("no INVITE");
    };
    let ok = bench.accept(id, &mut caller);
    let contact = ok.header(HeaderName::Contact).unwrap();
    assert_eq!(contact, "\"Lobby\" <sips:192.0.2.1:40000>");
}

#[test]
fn an_endpoint_that_is_to_be_secure_sends_nothing_without_tls() {
    let mut bench = Bench::with_config(SipConfig {
        secure_only: true,
        ..config(4)
    });
    assert!(
        bench
            .datagram(Caller::new("a").request("OPTIONS"))
            .is_empty()
    );
    assert_eq!(bench.endpoint.counters().plain_refused, 1);
}
