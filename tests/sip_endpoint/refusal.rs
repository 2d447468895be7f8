//! What is refused, and OPTIONS.

use trunkcast::sip::{SipConfig, SipEvent};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{Bench, Caller, OFFER, config, secs, whats};

#[test]
fn options_tells_what_is_served_without_any_state() {
    let mut bench = Bench::with_calls(0);
    let mut caller = Caller::new("ping");
    let options = caller.request("OPTIONS");
    let sent = bench.datagram(&options);
    assert_eq!(whats(&sent), ["200"]);
    let header = |name| sent[0].header(name).unwrap();
    assert_eq!(
        header(HeaderName::Allow),
        "INVITE, ACK, CANCEL, OPTIONS, BYE, INFO, UPDATE, PRACK, REFER, NOTIFY"
    );
    assert_eq!(header(HeaderName::Accept), "application/sdp");
    assert_eq!(
        header(HeaderName::Supported),
        "100rel, timer, replaces, norefersub"
    );
    assert_eq!(header(HeaderName::Server), "trunkcast");
    assert!(sent[0].to_tag().is_some());
    assert_eq!(bench.datagram(&options)[0].bytes, sent[0].bytes);
    assert_eq!(bench.endpoint.busy(), 0);
    assert_eq!(bench.endpoint.counters().options, 2);
}

#[test]
fn methods_not_served_are_405_and_unknown_ones_501() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    for (method, code) in [
        ("REGISTER", "405"),
        ("MESSAGE", "405"),
        ("SUBSCRIBE", "405"),
        ("NOTIFY", "481"),
        ("PUBLISH", "405"),
        ("REFER", "603"),
        ("UPDATE", "481"),
        ("PRACK", "481"),
        ("DANCE", "501"),
        ("invite", "501"),
    ] {
        let sent = bench.datagram(caller.request(method));
        assert_eq!(whats(&sent), [code], "{method}");
        let names_methods = matches!(code, "405" | "501");
        assert_eq!(sent[0].header(HeaderName::Allow).is_some(), names_methods);
        assert!(sent[0].to_tag().is_some());
    }
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn an_extension_that_is_required_is_420() {
    let mut bench = Bench::new();
    for option in ["precondition", "nothingSupportsThis"] {
        let mut caller = Caller::new(option);
        caller.extra = format!("Require: timer, {option}, 100rel\r\n");
        let sent = bench.datagram(caller.invite());
        assert_eq!(whats(&sent), ["420"]);
        assert_eq!(
            sent[0].header(HeaderName::Unsupported).as_deref(),
            Some(option)
        );
        assert!(bench.datagram(caller.ack_refusal(&sent[0])).is_empty());
    }
    assert!(bench.events.is_empty());
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn without_session_timers_of_our_own_nothing_is_said_of_them() {
    let mut bench = Bench::with_config(SipConfig {
        session_timer: None,
        ..config(4)
    });
    let mut caller = Caller::new("a");
    caller.extra = "Supported: timer, 100rel\r\nSession-Expires: 1800\r\n".into();
    let id = bench.invite(&mut caller);
    let ok = bench.accept(id, &mut caller);
    assert_eq!(ok.header(HeaderName::SessionExpires), None);
    let supported = ok.header(HeaderName::Supported);
    assert_eq!(supported.as_deref(), Some("100rel, replaces, norefersub"));
    let mut caller = Caller::new("b");
    caller.extra = "Require: timer\r\n".into();
    assert_eq!(whats(&bench.datagram(caller.invite())), ["420"]);
}

#[test]
fn a_body_that_is_no_session_description_is_415() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let odd = |invite: String, kind: &str| invite.replace("application/sdp", kind);
    let sent = bench.datagram(odd(caller.invite(), "application/x-other"));
    assert_eq!(whats(&sent), ["415"]);
    assert_eq!(
        sent[0].header(HeaderName::Accept).as_deref(),
        Some("application/sdp")
    );

    let mut caller = Caller::new("b");
    caller.extra = "Content-Encoding: gzip\r\n".into();
    let sent = bench.datagram(caller.invite());
    assert_eq!(whats(&sent), ["415"]);
    assert!(sent[0].header(HeaderName::AcceptEncoding).is_some());

    let mut caller = Caller::new("c");
    caller.extra = "Content-Disposition: icon; handling=optional\r\n".into();
    bench.datagram(odd(caller.invite(), "image/png"));
    assert!(matches!(
        bench.event(),
        SipEvent::Invite { offer: None, .. }
    ));
}

#[test]
fn a_caller_that_takes_no_session_description_is_406() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    caller.extra = "Accept: text/html\r\n".into();
    assert_eq!(whats(&bench.datagram(caller.invite())), ["406"]);
    for (name, accept) in [("b", "text/html, application/sdp"), ("c", "*/*"), ("d", "")] {
        let mut caller = Caller::new(name);
        caller.extra = format!("Accept: {accept}\r\n");
        assert_eq!(whats(&bench.datagram(caller.invite())), ["100"], "{accept}");
    }
}

#[test]
fn a_merged_request_is_482() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    bench.invite(&mut caller);
    let sent = bench.datagram(caller.invite());
    assert_eq!(whats(&sent), ["482"]);
    assert!(bench.events.is_empty());
    assert_eq!(bench.endpoint.calls(), 1);
    // Another number is another call.
    assert_eq!(whats(&bench.datagram(caller.reinvite())), ["100"]);
}

#[test]
fn broken_requests_are_answered_and_broken_acks_and_responses_are_not() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let invite = caller.invite();
    let broken = invite.replace("CSeq: 1 INVITE", "CSeq: one INVITE");
    let sent = bench.datagram(&broken);
    assert_eq!(whats(&sent), ["400"]);
    assert!(sent[0].text().starts_with("SIP/2.0 400 Malformed CSeq\r\n"));
    assert_eq!(
        whats(&bench.datagram(invite.replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia"))),
        ["505"]
    );
    assert_eq!(
        whats(&bench.datagram(invite.replacen("sip:", "soap:", 1))),
        ["416"]
    );
    let cut = &invite.as_bytes()[..invite.len() - 4];
    assert_eq!(whats(&bench.datagram(cut)), ["400"]);
    assert!(bench.datagram(broken.replace("INVITE", "ACK")).is_empty());
    assert!(
        bench
            .datagram("SIP/2.0 200 OK\r\nVia: nonsense\r\n\r\n")
            .is_empty()
    );
    assert!(bench.datagram("\r\n\r\n").is_empty());
    assert!(bench.datagram("\0\0\0\0").is_empty());
    assert!(bench.datagram("").is_empty());
    assert!(bench.events.is_empty());
    let counters = bench.endpoint.counters();
    assert_eq!((counters.malformed, counters.unreadable), (4, 3));
    assert_eq!(counters.keep_alives, 2);
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn stray_acks_and_responses_are_counted() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    caller.to_tag = Some("none".into());
    assert!(bench.datagram(caller.ack()).is_empty());
    let response = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:40000;branch=z9hG4bKnone\r\n\
        From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n\r\n";
    assert!(bench.datagram(response).is_empty());
    let counters = bench.endpoint.counters();
    assert_eq!((counters.stray_acks, counters.stray_responses), (1, 1));
}

#[test]
fn a_number_beyond_all_reason_is_414() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let invite = caller
        .invite()
        .replacen("sip:4711@", &format!("sip:{}@", "1".repeat(200)), 1);
    assert_eq!(whats(&bench.datagram(invite)), ["414"]);
}

#[test]
fn the_dialled_number_is_read_from_all_kinds_of_uris() {
    for (uri, callee) in [
        ("sip:%34711@192.0.2.1", "4711"),
        (
            "sip:+4930123;phone-context=x@192.0.2.1;user=phone",
            "+4930123",
        ),
        ("tel:+49-30-123;ext=1", "+49-30-123"),
        ("sips:secure@192.0.2.1", "secure"),
        ("sip:192.0.2.1", "4711"),
        ("sip:a%00b@192.0.2.1", "a\0b"),
    ] {
        let mut bench = Bench::new();
        let invite = Caller::new("a")
            .invite()
            .replacen("sip:4711@192.0.2.1:40000", uri, 1);
        bench.datagram(invite);
        let SipEvent::Invite { callee: got, .. } = bench.event() else {
            panic!("{uri}");
        };
        assert_eq!(got, callee, "{uri}");
    }
    assert!(!OFFER.is_empty());
}
