//! A PBX that means harm, or somebody who sends from its address: what it says is bounded, what it
//! begins comes to an end, and the password is proven to nobody whom it names.

use std::time::Duration;

use trunkcast::base::network::Transport;
use trunkcast::base::redact::Secret;
use trunkcast::limits::SIP_CAUSE_CHARACTERS;
use trunkcast::sip::{Cause, Credentials, KeyForm, RegistrationState, SipEvent};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{ANSWER, Bench, Caller, OFFER, peer, respond, secs, whats};
use crate::callee::{call, ok, place, reply, target, udp, within};
use crate::registrar::{answer, challenge, config};

const STRANGER: &str = "198.51.100.1:5060";

const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\r\n";

fn with_password() -> trunkcast::sip::CallOut {
    let mut call = call();
    call.credentials = Some(
        Credentials {
            username: "1001".into(),
            password: Secret::new("hunter2".into()),
        }
        .into(),
    );
    call
}

#[test]
fn a_redirect_to_a_stranger_gets_no_proof_of_the_password() {
    for (place_of_redirect, is_proven) in [(STRANGER, false), ("192.0.2.77:5060", true)] {
        let mut bench = Bench::new();
        let (id, invite) = place(&mut bench, with_password());
        // The realm is known by then, and its nonce.
        let sent = bench.datagram(reply(&invite, 401, "a", CHALLENGE, ""));
        assert_eq!(whats(&sent), ["ACK", "INVITE"]);
        assert!(sent[1].header(HeaderName::Authorization).is_some());
        let moved = reply(
            &sent[1],
            302,
            "b",
            "Contact: <sip:7@elsewhere.test>\r\n",
            "",
        );
        bench.datagram(moved);
        assert!(matches!(bench.event(), SipEvent::Redirected { .. }));
        let there = udp(&[place_of_redirect]);
        bench.command(|e, now| e.follow(now, id, there)).unwrap();
        let sent = bench.take();
        assert_eq!(whats(&sent), ["INVITE"]);
        let proof = sent[0].header(HeaderName::Authorization);
        assert_eq!(proof.is_some(), is_proven, "{place_of_redirect}");
        let again = CHALLENGE
            .replace("n1", "n2")
            .replace("qop", "stale=true, qop");
        let from = place_of_redirect.parse().unwrap();
        let sent = bench.datagram_from(from, reply(&sent[0], 401, "c", &again, ""));
        if is_proven {
            assert_eq!(whats(&sent), ["ACK", "INVITE"]);
            continue;
        }
        assert_eq!(whats(&sent), ["ACK"]);
        let SipEvent::Ended { cause, .. } = bench.event() else {
            panic!("no end");
        };
        assert_eq!(cause.code, 401);
        assert!(cause.words.contains("stranger"), "{cause:?}");
    }
}

#[test]
fn a_registration_sent_to_a_stranger_gives_it_no_proof_and_goes_back() {
    let mut bench = Bench::new();
    let registrar = target(Transport::Udp, "192.0.2.10:5060");
    let (_, register) = bench.register(config(&[registrar]));
    let register = bench.answered(challenge(&register, "n1", ""));
    assert!(register.header(HeaderName::Authorization).is_some());
    let line = format!("Contact: <sip:1000@{STRANGER}>");
    let there = bench.answered(answer(&register, 302, &[&line]));
    assert_eq!(there.to.remote().to_string(), STRANGER);
    assert_eq!(there.header(HeaderName::Authorization), None);
    let from = STRANGER.parse().unwrap();
    assert!(
        bench
            .datagram_from(from, challenge(&there, "n2", ""))
            .is_empty()
    );
    let RegistrationState::AuthenticationFailed { words } = bench.registration() else {
        panic!("not refused");
    };
    assert!(words.contains("stranger"), "{words}");
    // The next try is one with the PBX, as the first.
    let mut seconds = 0..2_200;
    let sent = seconds.find_map(|_| Some(bench.advance(secs(1))).filter(|sent| !sent.is_empty()));
    let sent = sent.expect("no other try");
    assert_eq!(sent[0].to.remote(), peer());
    let again = bench.answered(challenge(&sent[0], "n3", ""));
    assert!(again.header(HeaderName::Authorization).is_some());
}

#[test]
fn a_nonce_for_every_request_of_a_call_is_met_for_as_long_as_it_lasts() {
    let mut bench = Bench::new();
    let (id, invite) = place(&mut bench, with_password());
    let sent = bench.datagram(reply(&invite, 401, "a", CHALLENGE, ""));
    bench.datagram(ok(&sent[1], "b"));
    bench.events.clear();
    for round in 0..20 {
        let pressed = bench
            .command(|e, now| e.dtmf(now, id, "5", KeyForm::Relay(Duration::from_millis(100))));
        pressed.unwrap();
        let sent = bench.take();
        assert_eq!(whats(&sent), ["INFO"]);
        let nonce = format!("nonce=\"of-{round}\", stale=true");
        let asked = CHALLENGE.replace("nonce=\"n1\"", &nonce);
        let sent = bench.datagram(reply(&sent[0], 401, "b", &asked, ""));
        assert_eq!(whats(&sent), ["INFO"], "round {round}");
        bench.datagram(respond(&sent[0], 200));
    }
}

#[test]
fn a_reason_of_any_length_is_one_bounded_line() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    bench.call(&mut caller);
    caller.extra = format!("Reason: SIP;cause=200;text=\"{}\"\r\n", "x\t".repeat(3_000));
    let bye = caller.request("BYE");
    bench.datagram(bye);
    let SipEvent::Ended { cause, .. } = bench.event() else {
        panic!("no end");
    };
    let length = cause.words.chars().count();
    assert!(length <= 2 * SIP_CAUSE_CHARACTERS, "{length}");
    assert!(!cause.words.contains(char::is_control));
}

#[test]
fn a_session_timer_of_years_is_none() {
    for (seconds, is_timer) in [(86_400, true), (u32::MAX, false)] {
        let mut bench = Bench::new();
        let (id, invite) = place(&mut bench, call());
        let expires =
            format!("Session-Expires: {seconds};refresher=uas\r\nContact: <sip:b@192.0.2.10>\r\n");
        bench.datagram(reply(&invite, 200, "b", &expires, ANSWER));
        assert_eq!(bench.endpoint.has_session_timer(id), is_timer, "{seconds}");
    }
}

#[test]
fn a_call_whose_caller_never_ends_it_rings_five_minutes() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    caller.extra = "Expires: 4294967295\r\n".into();
    let id = bench.invite(&mut caller);
    bench.command(|e, now| e.ring(now, id)).unwrap();
    bench.advance(secs(299));
    assert_eq!(bench.endpoint.calls(), 1);
    let sent = bench.advance(secs(2));
    assert!(whats(&sent).contains(&"487".to_owned()), "{sent:?}");
    assert!(matches!(bench.event(), SipEvent::Ended { .. }));
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn a_reinvite_that_is_only_ever_worked_on_is_forgotten_after_its_call() {
    for is_ours in [true, false] {
        let mut bench = Bench::new();
        let (id, invite) = place(&mut bench, call());
        bench.datagram(ok(&invite, "b"));
        let offered = bench.command(|e, now| e.reinvite(now, id, OFFER));
        assert_eq!(offered, Ok(true));
        let sent = bench.take();
        bench.datagram(reply(&sent[0], 100, "b", "", ""));
        if is_ours {
            let hung = bench.command(|e, now| e.hangup(now, id, Cause::new(200, "done")));
            hung.unwrap();
            let sent = bench.take();
            bench.datagram(respond(&sent[0], 200));
        } else {
            bench.datagram(within(&invite, "b", "BYE", 7, "", ""));
        }
        bench.advance(secs(33));
        assert_eq!(bench.endpoint.busy(), 0, "ours: {is_ours}");
    }
}
