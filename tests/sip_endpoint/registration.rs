//! Registrations against a registrar, on the virtual clock.

use std::time::Duration;

use trunkcast::base::ids::ConnId;
use trunkcast::base::network::Transport;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::sip::{RegistrationState, SipDestination, SipEvent, SipRefusal};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{Bench, Caller, Sent, config as endpoint_config, peer, secs, whats};
use crate::registrar::{
    PASSWORD, answer, bound, challenge, config, parameter, proves, target, udp,
};

const REGISTERED: RegistrationState = RegistrationState::Registered { expires: 600 };

fn credentials(sent: &Sent) -> String {
    let credentials = sent.header(HeaderName::Authorization);
    credentials.unwrap_or_else(|| panic!("no credentials: {}", sent.text()))
}

/// Moves the clock to the next REGISTER; keep-alives before it are left out.
fn next_register(bench: &mut Bench, within: Duration) -> Option<Sent> {
    let until = bench.now + within;
    while bench.now < until {
        let at = bench.endpoint.poll_timeout().filter(|at| *at <= until);
        let step = at.map_or(until - bench.now, |at| at - bench.now);
        let sent = bench.advance(step.max(Duration::from_millis(1)));
        let register = |sent: &Sent| sent.bytes.starts_with(b"REGISTER ");
        if let Some(register) = sent.into_iter().find(register) {
            return Some(register);
        }
    }
    None
}

#[test]
fn a_registration_answers_its_challenge_and_is_renewed_in_time() {
    let mut bench = Bench::new();
    let (id, first) = bench.register(config(&[udp()]));
    let text = first.text();
    assert!(
        text.starts_with("REGISTER sip:pbx.example SIP/2.0\r\n"),
        "{text}"
    );
    assert_eq!(first.to, SipDestination::Udp(peer()));
    let contact = first.header(HeaderName::Contact).unwrap();
    assert_eq!(contact, "<sip:1000@192.0.2.1:40000>;expires=600");
    assert_eq!(first.header(HeaderName::Expires).as_deref(), Some("600"));
    assert_eq!(first.header(HeaderName::Supported).as_deref(), Some("path"));
    assert!(first.header(HeaderName::Authorization).is_none());

    let second = bench.answered(challenge(&first, "n1", ", opaque=\"o\""));
    let given = credentials(&second);
    assert!(proves(&given, "REGISTER", PASSWORD), "{given}");
    assert!(
        given.ends_with("opaque=\"o\", qop=auth, nc=00000001"),
        "{given}"
    );
    assert!(bench.events.is_empty());
    assert!(bench.datagram(bound(&second, 600)).is_empty());
    assert_eq!(bench.registration(), REGISTERED);
    assert_eq!(bench.endpoint.registration(id), Some(&REGISTERED));

    let before = bench.now;
    let third = next_register(&mut bench, secs(600)).expect("a refresh");
    let waited = third.at - before;
    assert!(waited >= secs(300) && waited <= secs(540), "{waited:?}");
    let given = credentials(&third);
    assert!(proves(&given, "REGISTER", PASSWORD), "{given}");
    assert_eq!(parameter(&given, "nc").as_deref(), Some("00000002"));
    let numbers = [&first, &second, &third].map(|sent| sent.message().cseq().number);
    assert_eq!(numbers, [1, 2, 3]);
    let ids = [&first, &second, &third].map(|sent| sent.message().call_id().to_owned());
    assert!(ids.iter().all(|one| *one == ids[0]));
    let tags = [&first, &third].map(|sent| sent.message().from().tag().map(str::to_owned));
    assert_eq!(tags[0], tags[1]);
    bench.datagram(bound(&third, 600));
    assert!(bench.events.is_empty(), "a refresh is no news");
}

#[test]
fn without_qop_the_credentials_are_those_of_rfc_2069() {
    let mut bench = Bench::new();
    let (_, first) = bench.register(config(&[udp()]));
    let line = "WWW-Authenticate: Digest realm=\"pbx.example\", nonce=\"abcd1234\"";
    let second = bench.answered(answer(&first, 401, &[line]));
    assert_eq!(
        credentials(&second),
        "Digest username=\"1000\", realm=\"pbx.example\", nonce=\"abcd1234\", \
         uri=\"sip:pbx.example\", response=\"65cb0ae6a456f8b3f33546b6cdcf5b5d\""
    );
}

#[test]
fn a_proxy_and_the_registrar_may_both_ask() {
    let mut bench = Bench::new();
    let (_, first) = bench.register(config(&[udp()]));
    let line = "Proxy-Authenticate: Digest realm=\"edge\", nonce=\"p1\", qop=\"auth\"";
    let second = bench.answered(answer(&first, 407, &[line]));
    assert!(second.header(HeaderName::Authorization).is_none());
    let third = bench.answered(challenge(&second, "n1", ""));
    let proxy = third.header(HeaderName::ProxyAuthorization).unwrap();
    assert_eq!(parameter(&proxy, "nc").as_deref(), Some("00000002"));
    assert!(proves(&proxy, "REGISTER", PASSWORD));
    assert!(proves(&credentials(&third), "REGISTER", PASSWORD));
    // A proxy that takes every nonce once only.
    let line = "Proxy-Authenticate: Digest realm=\"edge\", nonce=\"p2\", qop=\"auth\"";
    let fourth = bench.answered(answer(&third, 407, &[line]));
    bench.datagram(bound(&fourth, 600));
    assert_eq!(bench.registration(), REGISTERED);
}

#[test]
fn the_topmost_known_algorithm_of_a_realm_is_taken() {
    let mut bench = Bench::new();
    let (_, first) = bench.register(config(&[udp()]));
    let lines = ["AKAv1-MD5", "SHA-256", "MD5"].map(|algorithm| {
        format!("WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n\", algorithm={algorithm}")
    });
    let second = bench.answered(answer(&first, 401, &lines.each_ref().map(String::as_str)));
    let given = credentials(&second);
    assert_eq!(parameter(&given, "algorithm").as_deref(), Some("SHA-256"));
    assert_eq!(parameter(&given, "response").unwrap().len(), 64);
    assert_eq!(second.text().matches("Authorization:").count(), 1);
}

#[test]
fn a_stale_nonce_is_replaced_and_a_next_one_taken() {
    let mut bench = Bench::new();
    let (_, first) = bench.register(config(&[udp()]));
    let second = bench.answered(challenge(&first, "n1", ""));
    let third = bench.answered(challenge(&second, "n2", ", stale=true"));
    assert_eq!(
        parameter(&credentials(&third), "nonce").as_deref(),
        Some("n2")
    );
    let info = "Authentication-Info: nextnonce=\"n3\", qop=auth";
    let text = bound(&third, 600).replace("Contact:", &format!("{info}\r\nContact:"));
    bench.datagram(text);
    assert_eq!(bench.registration(), REGISTERED);
    let fourth = next_register(&mut bench, secs(600)).unwrap();
    let given = credentials(&fourth);
    assert_eq!(parameter(&given, "nonce").as_deref(), Some("n3"));
    assert_eq!(parameter(&given, "nc").as_deref(), Some("00000001"));
    // A registrar that forgot its nonces and does not say so: the password was right before.
    let fifth = bench.answered(challenge(&fourth, "n4", ""));
    assert!(proves(&credentials(&fifth), "REGISTER", PASSWORD));
    bench.datagram(bound(&fifth, 600));
    assert!(bench.events.is_empty());
}

#[test]
fn a_registrar_that_finds_every_nonce_stale_is_given_up_for_a_while() {
    let mut bench = Bench::new();
    let (_, mut register) = bench.register(config(&[udp()]));
    let mut rounds = 0;
    loop {
        rounds += 1;
        assert!(rounds < 20, "endless");
        let text = challenge(&register, &format!("n{rounds}"), ", stale=true");
        let mut sent = bench.datagram(text);
        let Some(next) = sent.pop() else { break };
        register = next;
    }
    let RegistrationState::Failed { code, words, .. } = bench.registration() else {
        panic!("not failed");
    };
    assert_eq!(code, 401);
    assert!(words.contains("realm \"pbx\""), "{words}");
}

#[test]
fn a_wrong_password_is_told_once_and_tried_again_after_half_an_hour() {
    for refusal in [401, 403] {
        let mut bench = Bench::new();
        let (_, first) = bench.register(config(&[udp()]));
        let second = bench.answered(challenge(&first, "n1", ""));
        let refused = match refusal {
            401 => challenge(&second, "n2", ""),
            code => answer(&second, code, &[]),
        };
        assert!(bench.datagram(refused).is_empty());
        let state = bench.registration();
        let RegistrationState::AuthenticationFailed { words } = &state else {
            panic!("{state:?}");
        };
        assert!(refusal == 403 || words.contains("realm \"pbx\""), "{words}");
        for shown in [words.clone(), format!("{state:?}"), state.to_string()] {
            assert!(!shown.contains(PASSWORD), "{shown}");
        }
        assert!(next_register(&mut bench, secs(1_799)).is_none());
        let again = next_register(&mut bench, secs(400)).expect("another try");
        // From the beginning: without the credentials that were refused.
        assert!(again.header(HeaderName::Authorization).is_none());
    }
}

#[test]
fn what_cannot_be_answered_is_said_clearly() {
    for (lines, expected) in [
        ("", "no digest challenge that can be read"),
        (
            "WWW-Authenticate: Basic realm=\"pbx\"",
            "no digest challenge that can be read",
        ),
        (
            "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n\", algorithm=AKAv1-MD5",
            "no known digest algorithm is offered for realm \"pbx\"",
        ),
        (
            "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n\", qop=\"auth-conf\"",
            "no known digest algorithm is offered for realm \"pbx\"",
        ),
    ] {
        let mut bench = Bench::new();
        let (_, first) = bench.register(config(&[udp()]));
        let lines: Vec<_> = (!lines.is_empty()).then_some(lines).into_iter().collect();
        assert!(bench.datagram(answer(&first, 401, &lines)).is_empty());
        let state = bench.registration().to_string();
        assert!(state.contains(expected), "{state}");
        assert!(state.contains("192.0.2.10:5060 over UDP"), "{state}");
    }
    let mut bench = Bench::new();
    let mut nobody = config(&[udp()]);
    nobody.credentials = None;
    let (_, first) = bench.register(nobody);
    bench.datagram(challenge(&first, "n", ""));
    let state = bench.registration().to_string();
    assert!(state.contains("no user name and password are configured for realm \"pbx\""));
}

#[test]
fn a_too_brief_interval_is_lengthened_once() {
    let mut bench = Bench::new();
    let (_, first) = bench.register(config(&[udp()]));
    let second = bench.answered(answer(&first, 423, &["Min-Expires: 1800"]));
    assert_eq!(second.header(HeaderName::Expires).as_deref(), Some("1800"));
    assert!(
        bench
            .datagram(answer(&second, 423, &["Min-Expires: 3600"]))
            .is_empty()
    );
    assert!(matches!(
        bench.registration(),
        RegistrationState::Failed { code: 423, .. }
    ));
    for line in ["Min-Expires: 60", "Min-Expires: 4294967295", "X: y"] {
        let mut bench = Bench::new();
        let (_, first) = bench.register(config(&[udp()]));
        assert!(
            bench.datagram(answer(&first, 423, &[line])).is_empty(),
            "{line}"
        );
    }
}

#[test]
fn a_short_registration_is_renewed_before_it_runs_out() {
    let mut bench = Bench::new();
    let (_, mut register) = bench.register(config(&[udp()]));
    for _ in 0..20 {
        bench.datagram(bound(&register, 5));
        let granted = bench.now;
        register = next_register(&mut bench, secs(5)).expect("a refresh");
        let waited = register.at - granted;
        assert!(
            waited >= Duration::from_millis(2_500) && waited < secs(5),
            "{waited:?}"
        );
    }
    assert_eq!(bench.events.len(), 1);
}

#[test]
fn behind_nat_the_contact_is_corrected_and_the_way_kept_open() {
    let mut bench = Bench::new();
    let (id, first) = bench.register(config(&[udp()]));
    let nat = |sent: &Sent| bound(sent, 600).replace(";rport", ";rport=61000;received=203.0.113.7");
    let second = bench.answered(nat(&first));
    assert!(
        bench.events.is_empty(),
        "not registered where it can be reached yet"
    );
    let contacts: Vec<_> = second
        .text()
        .lines()
        .filter(|l| l.starts_with("Contact"))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        contacts,
        [
            "Contact: <sip:1000@203.0.113.7:61000>;expires=600",
            "Contact: <sip:1000@192.0.2.1:40000>;expires=0"
        ]
    );
    assert!(bench.datagram(nat(&second)).is_empty());
    assert_eq!(bench.registration(), REGISTERED);
    let seen = bench
        .endpoint
        .public_address(id)
        .map(|seen| seen.to_string());
    assert_eq!(seen.as_deref(), Some("203.0.113.7:61000"));
    let mut last = bench.now;
    let sent = bench.advance(secs(250));
    assert!((8..=10).contains(&sent.len()), "{}", sent.len());
    for one in sent {
        assert_eq!(one.bytes, b"\r\n\r\n");
        assert_eq!(one.to, SipDestination::Udp(peer()));
        let gap = one.at - last;
        assert!(gap >= secs(25) && gap <= secs(30), "{gap:?}");
        last = one.at;
    }
    let refresh = next_register(&mut bench, secs(600)).unwrap();
    assert!(!refresh.text().contains("expires=0"), "{}", refresh.text());
}

#[test]
fn a_nat_that_moves_with_every_answer_does_not_make_a_loop() {
    let mut bench = Bench::new();
    let (_, mut register) = bench.register(config(&[udp()]));
    for port in 0..2 {
        let text = bound(&register, 600);
        let text = text.replace(
            ";rport",
            &format!(";rport={};received=203.0.113.7", 61_000 + port),
        );
        match bench.datagram(text).pop() {
            Some(next) => register = next,
            None => assert_eq!(port, 1),
        }
    }
    assert_eq!(bench.registration(), REGISTERED);
}

#[test]
fn without_nat_no_empty_lines_are_sent_over_udp() {
    let mut bench = Bench::new();
    let (_, first) = bench.register(config(&[udp()]));
    let text = bound(&first, 600).replace(";rport", ";rport=40000;received=192.0.2.1");
    assert!(bench.datagram(text).is_empty());
    assert!(bench.advance(secs(250)).is_empty());
}

#[test]
fn silence_and_503_lead_to_the_next_target() {
    let mut bench = Bench::new();
    let targets = [
        target(Transport::Udp, "192.0.2.10:5060"),
        target(Transport::Udp, "192.0.2.11:5060"),
        target(Transport::Udp, "192.0.2.12:5060"),
    ];
    let (_, first) = bench.register(config(&targets));
    assert_eq!(first.to.remote(), targets[0].address);
    let sent = bench.advance(secs(33));
    let second = sent
        .iter()
        .find(|sent| sent.to.remote() == targets[1].address);
    let second = second.expect("the second target").clone();
    let sent = bench.datagram_from(
        targets[1].address,
        answer(&second, 503, &["Retry-After: 300"]),
    );
    assert_eq!(sent[0].to.remote(), targets[2].address);
    bench.datagram_from(targets[2].address, bound(&sent[0], 600));
    assert_eq!(bench.registration(), REGISTERED);
    // What works is kept.
    let refresh = next_register(&mut bench, secs(600)).unwrap();
    assert_eq!(refresh.to.remote(), targets[2].address);
}

#[test]
fn failures_are_told_in_words_and_tried_again_later_and_later() {
    let mut bench = Bench::new();
    let (_, mut register) = bench.register(config(&[udp()]));
    let mut waits = Vec::new();
    for _ in 0..9 {
        bench.datagram(answer(&register, 500, &[]));
        let RegistrationState::Failed { code, words, retry } = bench.registration() else {
            panic!("not failed");
        };
        assert_eq!(
            (code, &*words),
            (500, "192.0.2.10:5060 over UDP answered 500 Whatever")
        );
        let from = bench.now;
        register = next_register(&mut bench, secs(3_600)).expect("another try");
        assert_eq!((register.at - from), retry);
        waits.push(retry.as_secs());
    }
    assert!(
        (30..=38).contains(&waits[0]) && (45..=75).contains(&waits[1]),
        "{waits:?}"
    );
    assert!((1_350..=1_800).contains(&waits[8]), "{waits:?}");
    // It is the registrar's word that counts.
    bench.datagram(answer(&register, 503, &["Retry-After: 5 (soon)"]));
    let RegistrationState::Failed { retry, .. } = bench.registration() else {
        panic!("not failed");
    };
    assert!(retry >= secs(5) && retry <= secs(7), "{retry:?}");
    let again = next_register(&mut bench, secs(10)).unwrap();
    bench.datagram(bound(&again, 600));
    assert_eq!(bench.registration(), REGISTERED);
}

#[test]
fn what_kept_a_registration_from_an_answer_may_be_over_and_a_refusal_is_not() {
    let mut bench = Bench::new();
    bench.register(config(&[udp()]));
    bench.advance(secs(33));
    let RegistrationState::Failed { retry, .. } = bench.registration() else {
        panic!("not failed");
    };
    assert!(retry > secs(20), "{retry:?}");
    bench.command(|e, now| e.retry_registrations(now));
    let register = next_register(&mut bench, secs(3)).expect("another try at once");
    bench.datagram(answer(&register, 403, &[]));
    bench.command(|e, now| e.retry_registrations(now));
    assert!(next_register(&mut bench, secs(20)).is_none());
}

#[test]
fn a_registrar_that_is_silent_is_named() {
    let mut bench = Bench::new();
    let (_, _) = bench.register(config(&[udp()]));
    bench.advance(secs(33));
    let state = bench.registration().to_string();
    assert!(
        state.starts_with(
            "could not be registered: 192.0.2.10:5060 over UDP does not answer; again in"
        ),
        "{state}"
    );
}

#[test]
fn taking_a_registration_back_removes_our_contact_alone() {
    let mut bench = Bench::new();
    let (id, first) = bench.register(config(&[udp()]));
    let second = bench.answered(challenge(&first, "n1", ""));
    bench.datagram(bound(&second, 600));
    bench.event();
    bench.command(|e, now| e.unregister(now, id));
    let gone = bench.take().remove(0);
    let contact = gone.header(HeaderName::Contact).unwrap();
    assert_eq!(contact, "<sip:1000@192.0.2.1:40000>;expires=0");
    assert_eq!(gone.header(HeaderName::Expires).as_deref(), Some("0"));
    assert!(proves(&credentials(&gone), "REGISTER", PASSWORD));
    // The registrar wants another nonce for that.
    let gone = bench.answered(challenge(&gone, "n2", ", stale=true"));
    assert!(bench.datagram(answer(&gone, 200, &[])).is_empty());
    assert_eq!(bench.registration(), RegistrationState::Unregistered);
    assert_eq!(bench.endpoint.registrations(), 0);
    assert_eq!(bench.endpoint.registration(id), None);
    bench.advance(secs(40));
    assert_eq!(
        (bench.endpoint.busy(), bench.endpoint.poll_timeout()),
        (0, None)
    );
}

#[test]
fn a_registrar_that_is_silent_at_the_end_holds_nobody_up() {
    let mut bench = Bench::new();
    let (id, first) = bench.register(config(&[udp()]));
    bench.datagram(bound(&first, 600));
    bench.event();
    bench.command(|e, now| e.unregister(now, id));
    bench.advance(secs(4));
    assert_eq!(bench.registration(), RegistrationState::Unregistered);
    bench.advance(secs(2));
    assert_eq!(bench.endpoint.busy(), 0);
    // One that the registrar still knows is taken back though its refresh found nobody.
    let (id, first) = bench.register(config(&[udp()]));
    bench.datagram(bound(&first, 600));
    bench.event();
    let refresh = next_register(&mut bench, secs(600)).unwrap();
    bench.datagram(answer(&refresh, 503, &[]));
    assert!(matches!(
        bench.registration(),
        RegistrationState::Failed { .. }
    ));
    bench.command(|e, now| e.unregister(now, id));
    let gone = bench.take().remove(0);
    assert_eq!(gone.header(HeaderName::Expires).as_deref(), Some("0"));
    bench.datagram(answer(&gone, 200, &[]));
    assert_eq!(bench.registration(), RegistrationState::Unregistered);
    // One that never came about ends at once.
    let (id, first) = bench.register(config(&[udp()]));
    bench.datagram(answer(&first, 404, &[]));
    bench.event();
    bench.take();
    bench.command(|e, now| e.unregister(now, id));
    assert_eq!(bench.registration(), RegistrationState::Unregistered);
    assert!(bench.take().is_empty());
}

fn over_tcp(bench: &mut Bench) -> (Sent, SipDestination) {
    let (_, first) = bench.register(config(&[target(Transport::Tcp, "192.0.2.10:5060")]));
    let remote = peer();
    let anew = SipDestination::Stream {
        secure: false,
        conn: None,
        remote,
    };
    assert_eq!(first.to, anew);
    bench
        .command(|e, now| e.handle_connected(now, ConnId(7), remote, false))
        .unwrap();
    let sent = bench.stream(ConnId(7), bound(&first, 600));
    assert!(sent.is_empty());
    assert_eq!(bench.registration(), REGISTERED);
    (first, anew)
}

#[test]
fn over_tcp_the_contact_says_so_and_a_lost_connection_is_replaced_at_once() {
    let mut bench = Bench::new();
    let (first, anew) = over_tcp(&mut bench);
    let contact = first.header(HeaderName::Contact).unwrap();
    assert_eq!(
        contact,
        "<sip:1000@192.0.2.1:40000;transport=tcp>;expires=600"
    );
    assert!(
        first
            .header(HeaderName::Via)
            .unwrap()
            .starts_with("SIP/2.0/TCP 192.0.2.1:40000")
    );
    let pings = bench.advance(secs(100));
    assert_eq!(pings.len(), 3, "{pings:?}");
    assert!(pings.iter().all(|sent| sent.bytes == b"\r\n\r\n"));
    bench.command(|e, now| e.handle_disconnected(now, ConnId(7)));
    let lost = bench.now;
    let again = next_register(&mut bench, secs(3)).expect("a REGISTER at once");
    assert!(again.at > lost && (again.at - lost) <= secs(2));
    assert_eq!(again.to, anew);
    bench.command(|e, now| e.handle_connect_failed(now, peer(), false, "refused"));
    let state = bench.registration().to_string();
    assert!(
        state.contains("192.0.2.10:5060 over TCP cannot be connected to: refused; again in"),
        "{state}"
    );
}

#[test]
fn the_connection_of_a_registration_is_not_given_up_for_a_stranger() {
    let mut bench = Bench::with_calls(1);
    over_tcp(&mut bench);
    for n in 0..100 {
        bench.now = bench.now + Duration::from_millis(1);
        bench.connect(ConnId(100 + n));
    }
    let evicted: Vec<_> = bench.events.drain(..).collect();
    assert!(!evicted.is_empty());
    assert!(!evicted.contains(&SipEvent::Disconnect { conn: ConnId(7) }));
}

#[test]
fn redirections_are_followed_to_addresses_and_not_for_ever() {
    let mut bench = Bench::new();
    let (_, mut register) = bench.register(config(&[udp()]));
    let hops = trunkcast::limits::SIP_REDIRECTS;
    for hop in 20..20 + hops {
        let line = format!("Contact: <sip:1000@192.0.2.{hop}:5062;transport=tcp>");
        let text = answer(&register, 302, &[&line]);
        register = bench.answered(text);
        let expected = format!("192.0.2.{hop}:5062");
        assert_eq!(register.to.remote().to_string(), expected);
        assert!(register.to.is_reliable());
        assert!(
            register
                .text()
                .starts_with(&format!("REGISTER sip:{expected} SIP/2.0\r\n"))
        );
    }
    let text = answer(&register, 302, &["Contact: <sip:192.0.2.99>"]);
    assert!(bench.datagram(text).is_empty());
    let state = bench.registration().to_string();
    assert!(
        state.contains("answered 302 Whatever, to sip:192.0.2.99"),
        "{state}"
    );
    // The next try begins at the configured registrar.
    let again = next_register(&mut bench, secs(60)).unwrap();
    assert_eq!(again.to, SipDestination::Udp(peer()));
    assert!(
        bench
            .datagram(answer(&again, 301, &["Contact: <sip:name.example>"]))
            .is_empty()
    );
    assert!(
        bench
            .registration()
            .to_string()
            .contains("to sip:name.example")
    );
}

#[test]
fn a_redirection_does_not_lead_away_from_tls() {
    let mut bench = Bench::new();
    let tls = target(Transport::Tls, "192.0.2.10:5061");
    let (_, first) = bench.register(config(&[tls]));
    let contact = first.header(HeaderName::Contact).unwrap();
    assert_eq!(
        contact,
        "<sip:1000@192.0.2.1:40000;transport=tls>;expires=600"
    );
    let text = answer(&first, 302, &["Contact: <sip:192.0.2.20;transport=udp>"]);
    assert!(bench.datagram(text).is_empty());
    assert!(matches!(
        bench.registration(),
        RegistrationState::Failed { code: 302, .. }
    ));
}

#[test]
fn the_service_route_is_kept_in_order() {
    let mut bench = Bench::new();
    let (id, first) = bench.register(config(&[udp()]));
    let routes = [
        "Service-Route: <sip:a.example;lr>, \"x, y\" <sip:b.example;lr>",
        "Service-Route: <sip:c.example;lr>",
    ];
    let text =
        bound(&first, 600).replace("Contact:", &format!("{}\r\nContact:", routes.join("\r\n")));
    bench.datagram(text);
    let expected = [
        "<sip:a.example;lr>",
        "\"x, y\" <sip:b.example;lr>",
        "<sip:c.example;lr>",
    ];
    assert_eq!(bench.endpoint.service_route(id), expected);
    let refresh = next_register(&mut bench, secs(600)).unwrap();
    assert!(refresh.header(HeaderName::Route).is_none());
    bench.datagram(bound(&refresh, 600));
    assert!(bench.endpoint.service_route(id).is_empty());
}

#[test]
fn an_outbound_proxy_stands_in_route() {
    let mut bench = Bench::new();
    let mut through = config(&[udp()]);
    through.routes = vec!["<sip:proxy.example;lr>".into()];
    let (_, first) = bench.register(through);
    let route = first.header(HeaderName::Route);
    assert_eq!(route.as_deref(), Some("<sip:proxy.example;lr>"));
    assert!(
        first
            .text()
            .starts_with("REGISTER sip:pbx.example SIP/2.0\r\n")
    );
}

#[test]
fn a_registrar_outside_the_allowed_sources_is_heard_and_may_not_call() {
    let mut settings = endpoint_config(4);
    settings.allow.clear();
    let mut bench = Bench::with_config(settings);
    assert!(!bench.endpoint.hears(peer().ip()));
    let (id, first) = bench.register(config(&[udp()]));
    assert!(bench.endpoint.hears(peer().ip()) && !bench.endpoint.allows(peer().ip()));
    bench.datagram(bound(&first, 600));
    assert_eq!(bench.registration(), REGISTERED);
    let mut caller = Caller::new("a");
    assert!(bench.datagram(caller.invite()).is_empty());
    assert!(bench.datagram(caller.request("REGISTER")).is_empty());
    assert_eq!(bench.endpoint.counters().source_refused, 2);
    assert_eq!(whats(&bench.datagram(caller.request("OPTIONS"))), ["200"]);
    let stranger = "198.51.100.1:5060".parse().unwrap();
    assert!(
        bench
            .datagram_from(stranger, caller.request("OPTIONS"))
            .is_empty()
    );
    bench.command(|e, now| e.unregister(now, id));
    let gone = bench.take().remove(0);
    bench.datagram(answer(&gone, 200, &[]));
    bench.advance(secs(10));
    assert!(!bench.endpoint.hears(peer().ip()));
}

#[test]
fn registrations_are_limited_and_need_sip_addresses() {
    let mut bench = Bench::new();
    for _ in 0..trunkcast::limits::SIP_REGISTRATIONS {
        bench.register(config(&[udp()]));
    }
    let one_more = bench.command(|e, now| e.register(now, config(&[udp()])));
    assert_eq!(one_more, Err(SipRefusal::Full));
    let mut bench = Bench::new();
    for broken in ["", "pbx", "tel:+1", "sip:", "sip:a@b?x=y"] {
        let mut config = config(&[udp()]);
        config.registrar = broken.into();
        let refused = bench.command(|e, now| e.register(now, config));
        assert_eq!(refused, Err(SipRefusal::WrongState), "{broken}");
    }
    let id = bench
        .command(|e, now| e.register(now, config(&[])))
        .unwrap();
    bench.event();
    let state = bench.registration().to_string();
    assert!(
        state.contains("no address of the registrar is known"),
        "{state}"
    );
    let found = [udp()].into_iter().collect();
    bench.command(|e, now| e.set_registration_targets(now, id, &found));
    assert_eq!(
        whats(&bench.advance(Duration::from_millis(100))),
        ["REGISTER"]
    );
}

#[test]
fn no_answer_of_a_registrar_does_harm() {
    let lines = [
        "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n1\", qop=\"auth,auth-int\", stale=true",
        "Contact: <sip:1000@192.0.2.1:40000>;expires=60, <sip:x@y>;expires=0",
        "Expires: 90",
        "Min-Expires: 700",
        "Retry-After: 10",
        "Service-Route: <sip:a;lr>, <sip:b;lr>",
        "Authentication-Info: nextnonce=\"n9\"",
    ];
    for seed in 0..400 {
        let mut rng = Rng::from_number(seed);
        let mut bench = Bench::new();
        let (id, mut register) =
            bench.register(config(&[udp(), target(Transport::Tcp, "192.0.2.11:5060")]));
        for _ in 0..12 {
            let codes = [200, 200, 401, 401, 407, 423, 302, 403, 500, 503, 100, 699];
            let code = codes[rng.below(codes.len() as u32) as usize];
            let mut text = answer(&register, code, &lines).into_bytes();
            for _ in 0..rng.below(4) {
                let at = rng.below(text.len() as u32) as usize;
                text[at] = rng.u32() as u8;
            }
            let mut sent = bench.datagram(text);
            sent.extend(bench.advance(secs(u64::from(rng.below(100)))));
            assert!(sent.len() < 40, "{}", sent.len());
            let last = sent
                .into_iter()
                .rfind(|sent| sent.bytes.starts_with(b"REGISTER "));
            register = last.unwrap_or(register);
        }
        bench.command(|e, now| e.unregister(now, id));
        bench.advance(secs(100));
        assert_eq!(bench.endpoint.registrations(), 0, "{seed}");
        assert_eq!(bench.endpoint.busy(), 0, "{seed}");
        assert!(bench.now > Instant::ZERO);
    }
}
