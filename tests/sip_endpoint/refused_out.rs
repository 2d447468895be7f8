//! Calls of ours that are refused, challenged or sent elsewhere.

use std::rc::Rc;

use trunkcast::base::network::Transport;
use trunkcast::base::redact::Secret;
use trunkcast::sip::{CallOut, Cause, Credentials, EndedBy, SipDestination, SipEvent, SipRefusal};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{Bench, secs, whats};
use crate::callee::{CONTACT, branch, call, ended, header, ok, place, reply, udp};

#[test]
fn every_refusal_is_acknowledged_and_ends_the_call_with_its_code_and_phrase() {
    let again = [300, 301, 302, 401, 407, 420, 422, 503];
    for code in (300..700).filter(|code| !again.contains(code)) {
        let mut bench = Bench::new();
        let (id, invite) = place(&mut bench, call());
        let refusal = reply(&invite, code, "b", "", "");
        let sent = bench.datagram(&refusal);
        assert_eq!(whats(&sent), ["ACK"], "{code}");
        assert_eq!(branch(&sent[0]), branch(&invite));
        assert_eq!(sent[0].to, invite.to);
        let cause = Cause::new(code, "Words");
        let by = EndedBy::Remote;
        assert_eq!(bench.event(), SipEvent::Ended { id, cause, by });
        assert_eq!(bench.datagram(&refusal)[0].bytes, sent[0].bytes);
        bench.advance(secs(32));
        assert_eq!(bench.endpoint.busy(), 0);
    }
}

#[test]
fn those_that_have_no_remedy_end_the_call_as_well() {
    for code in [300, 301, 302, 401, 407, 422, 503] {
        let mut bench = Bench::new();
        let (_, invite) = place(&mut bench, call());
        assert_eq!(
            whats(&bench.datagram(reply(&invite, code, "b", "", ""))),
            ["ACK"]
        );
        assert_eq!(ended(&mut bench).0, code);
    }
}

#[test]
fn what_a_refusal_says_is_kept_on_one_bounded_line() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    let lines = "Reason: Q.850;cause=17;text=\"User busy\"\r\n\
        Warning: 399 pbx.test \"Line 3 is down\"\r\nRetry-After: 30 (soon)\r\n";
    bench.datagram(reply(&invite, 486, "b", lines, ""));
    let words = "Words; User busy; Line 3 is down; retry after 30 s";
    assert_eq!(ended(&mut bench), (486, words.into()));

    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    let long = format!("SIP/2.0 480 {}\x1b[2J", "x".repeat(4_000));
    bench.datagram(reply(&invite, 480, "b", "", "").replace("SIP/2.0 480 Words", &long));
    let (_, words) = ended(&mut bench);
    assert!(words.chars().count() <= 250, "{}", words.len());
    assert!(!words.contains(char::is_control));

    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    bench.datagram(reply(&invite, 486, "b", "", "").replace("Words", ""));
    assert_eq!(ended(&mut bench), (486, "Busy Here".into()));
}

fn with_password() -> CallOut {
    CallOut {
        credentials: Some(Rc::new(Credentials {
            username: "1001".into(),
            password: Secret::new("secret".into()),
        })),
        ..call()
    }
}

fn challenge(code: u16, realm: &str, nonce: &str) -> String {
    let name = if code == 401 {
        "WWW-Authenticate"
    } else {
        "Proxy-Authenticate"
    };
    format!("{name}: Digest realm=\"{realm}\", nonce=\"{nonce}\", qop=\"auth\"\r\n")
}

#[test]
fn a_challenge_is_answered_in_a_new_transaction_of_the_same_call() {
    for (code, name) in [
        (401, HeaderName::Authorization),
        (407, HeaderName::ProxyAuthorization),
    ] {
        let mut bench = Bench::new();
        let (_, invite) = place(&mut bench, with_password());
        let sent = bench.datagram(reply(&invite, code, "x", &challenge(code, "r", "n"), ""));
        assert_eq!(whats(&sent), ["ACK", "INVITE"]);
        let (ack, again) = (&sent[0], &sent[1]);
        assert_eq!(branch(ack), branch(&invite));
        assert_eq!(ack.to_tag().as_deref(), Some("x"));
        assert_ne!(branch(again), branch(&invite));
        assert_eq!(header(again, HeaderName::CSeq), "2 INVITE");
        assert_eq!(again.to_tag(), None);
        for same in [HeaderName::CallId, HeaderName::From, HeaderName::Contact] {
            assert_eq!(header(again, same), header(&invite, same));
        }
        let answer = header(again, name);
        assert!(answer.contains("uri=\"sip:1002@pbx.test\""), "{answer}");
        assert!(answer.contains("username=\"1001\"") && answer.contains("nc=00000001"));
        // ACK of the 200 and CANCEL carry what the INVITE does.
        let sent = bench.datagram(ok(again, "b"));
        assert_eq!(whats(&sent), ["ACK"]);
        assert_eq!(header(&sent[0], name), answer);
        assert_eq!(header(&sent[0], HeaderName::CSeq), "2 ACK");
        assert!(matches!(bench.event(), SipEvent::Answered { .. }));
    }
}

#[test]
fn a_wrong_password_ends_the_call_with_the_realm_named() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, with_password());
    let sent = bench.datagram(reply(&invite, 401, "x", &challenge(401, "r", "n"), ""));
    let sent = bench.datagram(reply(&sent[1], 401, "x", &challenge(401, "r", "n2"), ""));
    assert_eq!(whats(&sent), ["ACK"]);
    let (code, words) = ended(&mut bench);
    assert_eq!(code, 401);
    assert!(
        words.contains("password is wrong") && words.contains("\"r\""),
        "{words}"
    );
    assert!(!words.contains("secret"));

    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    bench.datagram(reply(&invite, 407, "x", &challenge(407, "r", "n"), ""));
    assert_eq!(ended(&mut bench).0, 407);
}

#[test]
fn a_bye_that_is_challenged_goes_again() {
    let mut bench = Bench::new();
    let (id, invite) = place(&mut bench, with_password());
    bench.datagram(ok(&invite, "b"));
    bench.event();
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let bye = bench.take().remove(0);
    let sent = bench.datagram(reply(&bye, 407, "", &challenge(407, "r", "n"), ""));
    assert_eq!(whats(&sent), ["BYE"]);
    assert_eq!(header(&sent[0], HeaderName::CSeq), "3 BYE");
    assert!(header(&sent[0], HeaderName::ProxyAuthorization).contains("uri=\"sip:callee@"));
    bench.datagram(reply(&sent[0], 407, "", &challenge(407, "r", "n"), ""));
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn endless_challenges_have_an_end() {
    let mut bench = Bench::new();
    let (_, mut invite) = place(&mut bench, with_password());
    let mut rounds = 0;
    while bench.events.is_empty() {
        let realm = format!("r{rounds}");
        let sent = bench.datagram(reply(&invite, 407, "x", &challenge(407, &realm, "n"), ""));
        invite = sent.last().unwrap().clone();
        rounds += 1;
        assert!(rounds < 30);
    }
    assert_eq!(ended(&mut bench).0, 407);
}

#[test]
fn an_extension_that_is_not_understood_is_left_out_once() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    let sent = bench.datagram(reply(&invite, 420, "x", "Unsupported: 100rel\r\n", ""));
    assert_eq!(whats(&sent), ["ACK", "INVITE"]);
    assert_eq!(sent[1].header(HeaderName::Supported), None);
    let sent = bench.datagram(reply(&sent[1], 420, "x", "Unsupported: x\r\n", ""));
    assert_eq!(whats(&sent), ["ACK"]);
    assert_eq!(ended(&mut bench).0, 420);
}

fn moved(invite: &crate::bench::Sent, contacts: &str) -> String {
    reply(invite, 302, "x", &format!("Contact: {contacts}\r\n"), "")
}

#[test]
fn a_redirect_within_the_same_host_goes_to_the_same_place() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    let sent = bench.datagram(moved(&invite, "<sip:1003@PBX.test>;q=0.5"));
    assert_eq!(whats(&sent), ["ACK", "INVITE"]);
    let again = &sent[1];
    assert_eq!(again.to, invite.to);
    assert!(
        again
            .text()
            .starts_with("INVITE sip:1003@PBX.test SIP/2.0\r\n")
    );
    assert_eq!(header(again, HeaderName::To), "<sip:1002@pbx.test>");
    assert_eq!(header(again, HeaderName::CSeq), "2 INVITE");
    for same in [HeaderName::CallId, HeaderName::From] {
        assert_eq!(header(again, same), header(&invite, same));
    }
    bench.datagram(ok(again, "b"));
    assert!(matches!(bench.event(), SipEvent::Answered { .. }));
}

#[test]
fn an_address_that_may_be_talked_to_is_followed() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    let sent = bench.datagram(moved(&invite, "<sip:7@192.0.2.44:5070;transport=TCP>"));
    assert_eq!(whats(&sent), ["ACK", "INVITE"]);
    assert_eq!(sent[1].to, crate::callee::stream(None, "192.0.2.44:5070"));
}

#[test]
fn with_an_outbound_proxy_every_redirect_goes_through_it() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.routes = vec!["<sip:proxy.test;lr>".into()];
    let (_, invite) = place(&mut bench, wanted);
    let sent = bench.datagram(moved(&invite, "<sip:7@elsewhere.test>"));
    assert_eq!(sent[1].to, invite.to);
    assert!(
        sent[1]
            .text()
            .starts_with("INVITE sip:7@elsewhere.test SIP/2.0\r\n")
    );
    assert_eq!(header(&sent[1], HeaderName::Route), "<sip:proxy.test;lr>");
}

#[test]
fn a_name_or_a_stranger_is_asked_for() {
    for contact in ["sip:7@elsewhere.test", "sip:7@198.51.100.1"] {
        let mut bench = Bench::new();
        let (id, invite) = place(&mut bench, call());
        let sent = bench.datagram(moved(&invite, &format!("<{contact}>")));
        assert_eq!(whats(&sent), ["ACK"]);
        let asked = SipEvent::Redirected {
            id,
            contact: contact.into(),
        };
        assert_eq!(bench.event(), asked);
        let none = bench.command(|e, now| e.follow(now, id, udp(&[])));
        assert_eq!(none, Err(SipRefusal::BadField("targets")));
        let there = udp(&["198.51.100.1:5060"]);
        bench
            .command(|e, now| e.follow(now, id, there.clone()))
            .unwrap();
        let sent = bench.take();
        assert_eq!(whats(&sent), ["INVITE"]);
        assert_eq!(
            sent[0].to,
            SipDestination::Udp("198.51.100.1:5060".parse().unwrap())
        );
        assert!(
            sent[0]
                .text()
                .starts_with(&format!("INVITE {contact} SIP/2.0\r\n"))
        );
        let twice = bench.command(|e, now| e.follow(now, id, there));
        assert_eq!(twice, Err(SipRefusal::WrongState));
        let from = "198.51.100.1:5060".parse().unwrap();
        let acks = bench.datagram_from(from, ok(&sent[0], "b"));
        assert_eq!(whats(&acks), ["ACK"]);
        assert!(matches!(bench.event(), SipEvent::Answered { .. }));
    }
}

#[test]
fn an_owner_that_does_not_want_a_redirect_hangs_up_or_lets_it_expire() {
    let mut bench = Bench::new();
    let (id, invite) = place(&mut bench, call());
    bench.datagram(moved(&invite, "<sip:7@elsewhere.test>"));
    bench.event();
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(302, "not there")))
        .unwrap();
    assert!(bench.take().is_empty());
    assert_eq!(ended(&mut bench).0, 302);
    let (_, invite) = place(&mut bench, call());
    bench.datagram(moved(&invite, "<sip:7@elsewhere.test>"));
    bench.event();
    assert!(bench.advance(secs(181)).is_empty());
    assert_eq!(ended(&mut bench).0, 408);
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn contacts_are_tried_by_preference_until_one_answers() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    let contacts = "<sip:low@192.0.2.40>;q=0.1, <tel:+49>, <sip:high@192.0.2.41>;q=0.9, \
        <mailto:x@y>, <sip:best@192.0.2.42>";
    let sent = bench.datagram(moved(&invite, contacts));
    let mut invite = sent[1].clone();
    for (user, next) in [("best", true), ("high", true), ("low", false)] {
        assert!(
            invite.text().starts_with(&format!("INVITE sip:{user}@")),
            "{user}"
        );
        let sent = bench.datagram(reply(&invite, 486, "b", "", ""));
        assert_eq!(sent.len(), if next { 2 } else { 1 });
        invite = sent.last().unwrap().clone();
    }
    assert_eq!(ended(&mut bench).0, 486);
}

#[test]
fn nobody_else_is_tried_after_a_global_refusal() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench, call());
    let sent = bench.datagram(moved(&invite, "<sip:a@192.0.2.40>, <sip:b@192.0.2.41>"));
    let sent = bench.datagram(reply(&sent[1], 603, "b", "", ""));
    assert_eq!(whats(&sent), ["ACK"]);
    assert_eq!(ended(&mut bench).0, 603);
}

#[test]
fn redirects_in_a_circle_and_without_end_are_left() {
    let mut bench = Bench::new();
    let (_, first) = place(&mut bench, call());
    let sent = bench.datagram(moved(&first, "<sip:a@192.0.2.40>"));
    let sent = bench.datagram(moved(&sent[1], "<sip:b@192.0.2.40>"));
    let sent = bench.datagram(moved(&sent[1], "<sip:a@192.0.2.40>"));
    assert_eq!(whats(&sent), ["ACK"]);
    assert_eq!(ended(&mut bench).0, 302);

    let (_, mut invite) = place(&mut bench, call());
    let mut hops = 0;
    while bench.events.is_empty() {
        let sent = bench.datagram(moved(&invite, &format!("<sip:u{hops}@192.0.2.40>")));
        invite = sent.last().unwrap().clone();
        hops += 1;
        assert!(hops < 20);
    }
    assert_eq!(hops, trunkcast::limits::SIP_REDIRECTS + 1);
    assert_eq!(ended(&mut bench).0, 302);
}

#[test]
fn a_call_that_asks_for_tls_all_the_way_is_not_sent_on_without() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.request_uri = "sips:1002@pbx.test".into();
    wanted.targets = [crate::callee::target(Transport::Tls, "192.0.2.10:5061")]
        .into_iter()
        .collect();
    let (_, invite) = place(&mut bench, wanted);
    let sent = bench.datagram(moved(&invite, "<sip:a@192.0.2.40>"));
    assert_eq!(whats(&sent), ["ACK"]);
    assert_eq!(ended(&mut bench).0, 302);
    let _ = CONTACT;
}
