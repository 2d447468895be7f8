//! Reliable provisional answers (RFC 3262).

use trunkcast::base::ids::CallId;
use trunkcast::sip::{EndedBy, SipEvent, SipRefusal};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{ANSWER, Bench, Caller, OFFER, Sent, ms, secs, whats};

fn rseq(sent: &Sent) -> u32 {
    let message = sent.message();
    let value = message.headers().all_named("RSeq").next().unwrap();
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

/// A call that rings, and its caller once there is a dialog.
fn ringing(bench: &mut Bench, lines: &str, sdp: Option<&str>) -> (CallId, Caller, Sent) {
    let mut caller = Caller::new("a");
    caller.extra = lines.into();
    let id = bench.invite(&mut caller);
    let code = if sdp.is_some() { 183 } else { 180 };
    bench
        .command(|e, now| e.progress(now, id, code, sdp))
        .unwrap();
    let sent = bench.take().remove(0);
    assert_eq!(sent.status(), Some(code));
    caller.extra.clear();
    (id, caller, sent)
}

fn prack(caller: &mut Caller, provisional: &Sent, body: &str) -> String {
    let mut early = caller.clone();
    early.to_tag = provisional.to_tag();
    early.extra = format!("RAck: {} 1 INVITE\r\n", rseq(provisional));
    let text = match body {
        "" => early.request("PRACK"),
        body => early.request_with("PRACK", "application/sdp", body),
    };
    let tag = std::mem::take(&mut caller.to_tag);
    *caller = Caller {
        to_tag: tag,
        extra: String::new(),
        ..early
    };
    text
}

/// The ACK of the INVITE, whatever was sent since.
fn ack(caller: &mut Caller, ok: &Sent) -> String {
    let cseq = std::mem::replace(&mut caller.cseq, 1);
    caller.to_tag = ok.to_tag();
    let ack = caller.ack();
    caller.cseq = cseq;
    ack
}

#[test]
fn a_reliable_180_is_repeated_until_its_prack_comes() {
    let mut bench = Bench::new();
    let (id, mut caller, ringing) = ringing(&mut bench, "Require: 100rel\r\n", None);
    assert_eq!(
        ringing.header(HeaderName::Require).as_deref(),
        Some("100rel")
    );
    assert!((1..1 << 31).contains(&rseq(&ringing)));
    // At 0.5, 1.5, 3.5 and 7.5 s: the interval doubles without end.
    let again = bench.advance(secs(8));
    assert_eq!(whats(&again), ["180"; 4]);
    assert_eq!(again[3].bytes, ringing.bytes);
    let prack = prack(&mut caller, &ringing, "");
    let ok = bench.datagram(&prack);
    assert_eq!(whats(&ok), ["200"]);
    assert_eq!(bench.datagram(&prack)[0].bytes, ok[0].bytes);
    assert!(bench.advance(secs(60)).is_empty());
    let sent = bench.command(|e, now| e.accept(now, id, ANSWER).map(|()| now));
    assert!(sent.is_ok());
    let ok = bench.take().remove(0);
    assert_eq!(ok.message().body(), ANSWER.as_bytes());
    bench.datagram(ack(&mut caller, &ok));
    assert_eq!(bench.event(), SipEvent::Confirmed { id, answer: None });
}

#[test]
fn without_a_prack_the_invite_is_refused() {
    let mut bench = Bench::new();
    let (_, _, _) = ringing(&mut bench, "Require: 100rel\r\n", None);
    let sent = bench.advance(secs(32));
    assert_eq!(sent.last().unwrap().what(), "504");
    assert!(matches!(
        bench.event(),
        SipEvent::Ended {
            by: EndedBy::Silence,
            ..
        }
    ));
}

#[test]
fn a_prack_that_matches_nothing_is_481() {
    let mut bench = Bench::new();
    let (_, mut caller, ringing) = ringing(&mut bench, "Require: 100rel\r\n", None);
    for rack in [
        format!("{} 1 INVITE", rseq(&ringing) + 1),
        format!("{} 2 INVITE", rseq(&ringing)),
        format!("{} 1 UPDATE", rseq(&ringing)),
        "x".to_string(),
    ] {
        let mut other = caller.clone();
        other.to_tag = ringing.to_tag();
        other.extra = format!("RAck: {rack}\r\n");
        assert_eq!(
            whats(&bench.datagram(other.request("PRACK"))),
            ["481"],
            "{rack}"
        );
        caller = Caller {
            to_tag: None,
            ..other
        };
    }
    bench.datagram(prack(&mut caller, &ringing, ""));
    let sent = bench.datagram(prack(&mut caller, &ringing, ""));
    assert_eq!(whats(&sent), ["481"], "it was acknowledged already");
}

#[test]
fn a_200_without_description_before_it_does_not_wait_for_the_prack() {
    let mut bench = Bench::new();
    let (id, mut caller, ringing) = ringing(&mut bench, "Require: 100rel\r\n", None);
    let again = bench.command(|e, now| e.ring(now, id));
    assert_eq!(again, Err(SipRefusal::WrongState), "one at a time");
    bench.command(|e, now| e.accept(now, id, ANSWER)).unwrap();
    let ok = bench.take().remove(0);
    assert_eq!(ok.what(), "200");
    let sent = bench.datagram(prack(&mut caller, &ringing, ""));
    assert_eq!(whats(&sent), ["200"], "the late PRACK is taken");
    bench.datagram(ack(&mut caller, &ok));
    assert!(matches!(bench.event(), SipEvent::Confirmed { .. }));
    assert!(bench.advance(secs(40)).is_empty());
}

#[test]
fn a_200_waits_for_the_prack_of_early_media_and_repeats_no_description() {
    let mut bench = Bench::new();
    let (id, mut caller, early) = ringing(&mut bench, "Supported: 100rel\r\n", Some(ANSWER));
    assert_eq!(early.message().body(), ANSWER.as_bytes());
    bench.command(|e, now| e.accept(now, id, ANSWER)).unwrap();
    assert!(bench.take().is_empty());
    assert_eq!(whats(&bench.advance(ms(600))), ["183"]);
    let sent = bench.datagram(prack(&mut caller, &early, ""));
    assert_eq!(whats(&sent), ["200", "200"]);
    assert_eq!(sent[0].message().cseq().method, rsip::Method::PRack);
    assert!(sent[1].message().body().is_empty());
    bench.datagram(ack(&mut caller, &sent[1]));
    assert!(matches!(bench.event(), SipEvent::Confirmed { .. }));
}

#[test]
fn an_offer_in_a_prack_is_answered_in_its_200() {
    let mut bench = Bench::new();
    let (id, mut caller, early) = ringing(&mut bench, "Supported: 100rel\r\n", Some(ANSWER));
    assert!(bench.datagram(prack(&mut caller, &early, OFFER)).is_empty());
    let offer = Some(OFFER.as_bytes().into());
    assert_eq!(bench.event(), SipEvent::Reinvite { id, offer });
    bench
        .command(|e, now| e.answer_reinvite(now, id, ANSWER))
        .unwrap();
    let sent = bench.take();
    assert_eq!(whats(&sent), ["200"]);
    assert_eq!(sent[0].message().cseq().method, rsip::Method::PRack);
    assert_eq!(sent[0].message().body(), ANSWER.as_bytes());
    // Now UPDATE may offer, too, though nobody has answered the call.
    let mut other = caller.clone();
    other.to_tag = early.to_tag();
    bench.datagram(other.request_with("UPDATE", "application/sdp", OFFER));
    assert!(matches!(bench.event(), SipEvent::Reinvite { .. }));
}

#[test]
fn an_offer_of_ours_in_a_183_is_answered_in_the_prack() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    caller.offer = None;
    caller.extra = "Require: 100rel\r\n".into();
    let id = bench.invite(&mut caller);
    bench.command(|e, now| e.ring(now, id)).unwrap();
    assert!(
        bench.take().is_empty(),
        "a reliable 180 would need an offer"
    );
    bench
        .command(|e, now| e.progress(now, id, 183, Some(OFFER)))
        .unwrap();
    let early = bench.take().remove(0);
    caller.extra.clear();
    let sent = bench.datagram(prack(&mut caller, &early, ANSWER));
    assert_eq!(whats(&sent), ["200"]);
    let answer = Some(ANSWER.as_bytes().into());
    assert_eq!(bench.event(), SipEvent::ProvisionalConfirmed { id, answer });
}

#[test]
fn who_only_knows_of_reliable_answers_gets_plain_ringing() {
    let mut bench = Bench::new();
    let (_, _, ringing) = ringing(&mut bench, "Supported: 100rel\r\n", None);
    assert_eq!(ringing.header(HeaderName::Require), None);
    assert!(bench.advance(secs(40)).is_empty());
}

#[test]
fn a_cancel_and_a_bye_end_a_call_that_waits_for_a_prack() {
    for method in ["CANCEL", "BYE"] {
        let mut bench = Bench::new();
        let (_, mut caller, early) = ringing(&mut bench, "Require: 100rel\r\n", Some(ANSWER));
        let request = match method {
            "CANCEL" => caller.cancel(),
            _ => {
                let mut early_caller = caller.fork();
                early_caller.to_tag = early.to_tag();
                early_caller.request("BYE")
            }
        };
        let sent = bench.datagram(request);
        assert_eq!(whats(&sent), ["200", "487"], "{method}");
        assert!(matches!(bench.event(), SipEvent::Ended { .. }));
        bench.datagram(caller.ack_refusal(&sent[1]));
        assert!(bench.advance(secs(40)).is_empty());
        assert_eq!(bench.endpoint.busy(), 0);
    }
}
