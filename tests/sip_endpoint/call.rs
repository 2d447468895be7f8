//! A call from INVITE to BYE.

use trunkcast::base::time::Instant;
use trunkcast::sip::{Cause, EndedBy, SipDestination, SipEvent, SipRefusal};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{ANSWER, Bench, Caller, OFFER, ms, peer, respond, secs, whats};

#[test]
fn a_call_is_tried_rung_answered_and_acknowledged() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let sent = bench.datagram(caller.invite());
    assert_eq!(whats(&sent), ["100"]);
    assert_eq!(sent[0].to_tag(), None);
    let SipEvent::Invite {
        id,
        caller: from,
        callee,
        display_name,
        identity: None,
        call_id,
        remote,
        secure: false,
        offer,
        replaces: None,
    } = bench.event()
    else {
        panic!("no INVITE");
    };
    assert_eq!((from.as_str(), callee.as_str()), ("1001", "4711"));
    assert_eq!(display_name.as_deref(), Some("Caller"));
    assert_eq!((call_id.as_str(), remote), ("a@192.0.2.10", peer()));
    assert_eq!(offer.as_deref(), Some(OFFER.as_bytes()));

    bench.command(|e, now| e.ring(now, id)).unwrap();
    let ringing = bench.take().remove(0);
    assert_eq!(ringing.status(), Some(180));
    bench.command(|e, now| e.accept(now, id, ANSWER)).unwrap();
    let ok = bench.take().remove(0);
    assert_eq!(ok.status(), Some(200));
    assert_eq!(ok.to_tag(), ringing.to_tag());
    assert!(ok.to_tag().is_some());
    assert_eq!(ok.message().body(), ANSWER.as_bytes());
    let header = |name| ok.header(name).unwrap();
    assert_eq!(
        header(HeaderName::Contact),
        "\"Lobby\" <sip:192.0.2.1:40000>"
    );
    assert_eq!(
        header(HeaderName::Allow),
        "INVITE, ACK, CANCEL, OPTIONS, BYE, INFO, UPDATE, PRACK, REFER, NOTIFY"
    );
    assert_eq!(header(HeaderName::ContentType), "application/sdp");
    assert_eq!(header(HeaderName::Server), "trunkcast");
    assert_eq!(
        header(HeaderName::Supported),
        "100rel, timer, replaces, norefersub"
    );
    assert!(
        header(HeaderName::Via).ends_with(";received=192.0.2.10;rport=5060")
            || header(HeaderName::Via).ends_with(";rport=5060")
    );

    caller.to_tag = ok.to_tag();
    assert!(bench.datagram(caller.ack()).is_empty());
    assert_eq!(bench.event(), SipEvent::Confirmed { id, answer: None });
    assert!(bench.advance(secs(40)).is_empty());
    assert_eq!(bench.endpoint.calls(), 1);

    let sent = bench.datagram(caller.request("BYE"));
    assert_eq!(whats(&sent), ["200"]);
    let cause = Cause::new(200, "the caller hung up");
    assert_eq!(
        bench.event(),
        SipEvent::Ended {
            id,
            cause,
            by: EndedBy::Remote
        }
    );
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
    assert!(bench.events.is_empty());
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("late");
    caller.offer = None;
    bench.datagram(caller.invite());
    let SipEvent::Invite {
        id, offer: None, ..
    } = bench.event()
    else {
        panic!("an offer came from nowhere");
    };
    bench.accept(id, &mut caller);
    bench.datagram(caller.ack_with(OFFER));
    let answer = Some(OFFER.as_bytes().into());
    assert_eq!(bench.event(), SipEvent::Confirmed { id, answer });
}

#[test]
fn a_200_is_repeated_from_t1_to_t2_until_its_ack() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    let ok = bench.accept(id, &mut caller);
    let start = bench.now;
    let sent = bench.advance(secs(12));
    let at: Vec<u128> = sent.iter().map(|s| (s.at - start).as_millis()).collect();
    assert_eq!(at, [500, 1_500, 3_500, 7_500, 11_500]);
    assert!(sent.iter().all(|s| s.bytes == ok.bytes && s.to == ok.to));
    bench.datagram(caller.ack());
    assert_eq!(bench.event(), SipEvent::Confirmed { id, answer: None });
    assert!(bench.advance(secs(30)).is_empty());
}

#[test]
fn a_200_without_ack_ends_the_call_by_bye_after_64_t1() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench.accept(id, &mut caller);
    let start = bench.now;
    let sent = bench.advance(ms(32_100));
    let bye = sent.last().unwrap();
    assert_eq!(bye.what(), "BYE");
    assert_eq!((bye.at - start).as_millis(), 32_000);
    assert!(matches!(
        bench.event(),
        SipEvent::Ended {
            by: EndedBy::Silence,
            ..
        }
    ));
    bench.datagram(respond(bye, 200));
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn our_bye_follows_the_dialog_and_ends_with_its_answer() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "done")))
        .unwrap();
    let bye = bench.take().remove(0);
    let cause = Cause::new(200, "done");
    assert_eq!(
        bench.event(),
        SipEvent::Ended {
            id,
            cause,
            by: EndedBy::Local
        }
    );
    assert_eq!(bye.to, SipDestination::Udp(peer()));
    let text = bye.text();
    assert!(
        text.starts_with("BYE sip:caller@192.0.2.10:5060 SIP/2.0\r\n"),
        "{text}"
    );
    assert!(text.contains("CSeq: 1 BYE\r\n"), "{text}");
    assert!(text.contains("Max-Forwards: 70\r\n"), "{text}");
    assert!(
        text.contains("Via: SIP/2.0/UDP 192.0.2.1:40000;branch=z9hG4bK"),
        "{text}"
    );
    let message = bye.message();
    assert_eq!(message.from().tag(), caller.to_tag.as_deref());
    assert_eq!(message.to().tag(), Some(&*caller.tag));
    assert_eq!(message.call_id(), caller.call_id);
    assert_eq!(bench.endpoint.closing_calls(), 1);
    bench.datagram(respond(&bye, 200));
    assert_eq!(bench.endpoint.closing_calls(), 0);
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
    let gone = bench.command(|e, now| e.hangup(now, id, Cause::new(200, "")));
    assert_eq!(gone, Err(SipRefusal::NoSuchCall));
}

#[test]
fn our_bye_is_repeated_and_given_up_after_64_t1() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(503, "shutting down")))
        .unwrap();
    let bye = bench.take().remove(0);
    assert!(
        bye.text()
            .contains("Reason: SIP;cause=503;text=\"shutting down\"\r\n")
    );
    let start = bench.now;
    let sent = bench.advance(secs(60));
    let at: Vec<u128> = sent.iter().map(|s| (s.at - start).as_millis()).collect();
    assert_eq!(
        at,
        [
            500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    assert!(sent.iter().all(|s| s.bytes == bye.bytes));
    assert_eq!(bench.endpoint.counters().requests_unanswered, 1);
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn a_provisional_answer_slows_our_bye_down() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let bye = bench.take().remove(0);
    bench.datagram(respond(&bye, 100));
    let start = bench.now;
    let sent = bench.advance(secs(9));
    let at: Vec<u128> = sent.iter().map(|s| (s.at - start).as_millis()).collect();
    assert_eq!(at, [4_000, 8_000]);
}

#[test]
fn hanging_up_before_the_ack_waits_for_it() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench.accept(id, &mut caller);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "done")))
        .unwrap();
    assert!(bench.take().is_empty());
    assert!(matches!(
        bench.event(),
        SipEvent::Ended {
            by: EndedBy::Local,
            ..
        }
    ));
    assert_eq!(whats(&bench.advance(ms(600))), ["200"]);
    assert_eq!(whats(&bench.datagram(caller.ack())), ["BYE"]);
    assert!(bench.events.is_empty());
    bench.advance(secs(70));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn hanging_up_without_any_ack_sends_bye_after_64_t1() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench.accept(id, &mut caller);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "done")))
        .unwrap();
    bench.event();
    let sent = bench.advance(ms(32_000));
    assert_eq!(sent.last().unwrap().what(), "BYE");
    assert!(bench.events.is_empty(), "the end is told once");
}

#[test]
fn hanging_up_before_the_answer_refuses() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "gone")))
        .unwrap();
    let refusal = bench.take().remove(0);
    assert_eq!(refusal.status(), Some(480));
    assert!(matches!(
        bench.event(),
        SipEvent::Ended {
            by: EndedBy::Local,
            ..
        }
    ));
    bench.datagram(caller.ack_refusal(&refusal));
    bench.advance(secs(6));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn a_bye_before_the_ack_ends_the_call_and_the_200s() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench.accept(id, &mut caller);
    assert_eq!(whats(&bench.datagram(caller.request("BYE"))), ["200"]);
    assert!(matches!(
        bench.event(),
        SipEvent::Ended {
            by: EndedBy::Remote,
            ..
        }
    ));
    assert!(bench.advance(secs(10)).is_empty());
    assert!(bench.datagram(caller.ack()).is_empty());
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn a_bye_before_the_answer_refuses_the_invite() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench.command(|e, now| e.ring(now, id)).unwrap();
    caller.to_tag = bench.take()[0].to_tag();
    assert_eq!(
        whats(&bench.datagram(caller.request("BYE"))),
        ["200", "487"]
    );
    assert!(matches!(
        bench.event(),
        SipEvent::Ended {
            by: EndedBy::Remote,
            ..
        }
    ));
    let gone = bench.command(|e, now| e.accept(now, id, ANSWER));
    assert_eq!(gone, Err(SipRefusal::NoSuchCall));
}

#[test]
fn byes_that_cross_are_both_answered() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let ours = bench.take().remove(0);
    bench.event();
    assert_eq!(whats(&bench.datagram(caller.request("BYE"))), ["200"]);
    bench.datagram(respond(&ours, 481));
    assert!(bench.events.is_empty());
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn the_words_of_a_reason_are_the_cause() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    bench.call(&mut caller);
    caller.extra = "Reason: Q.850;cause=16;text=\"Normal call clearing\"\r\n".into();
    bench.datagram(caller.request("BYE"));
    let SipEvent::Ended { cause, .. } = bench.event() else {
        panic!("not ended");
    };
    assert_eq!(cause, Cause::new(200, "Normal call clearing"));
}

#[test]
fn repeated_requests_are_absorbed() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let invite = caller.invite();
    let first = bench.datagram(&invite);
    let again = bench.datagram(&invite);
    assert_eq!(first[0].bytes, again[0].bytes);
    let SipEvent::Invite { id, .. } = bench.event() else {
        panic!("no INVITE");
    };
    bench.command(|e, now| e.ring(now, id)).unwrap();
    bench.take();
    assert_eq!(whats(&bench.datagram(&invite)), ["180"]);
    bench.accept(id, &mut caller);
    // RFC 6026: the Accepted state absorbs it, the session repeats the 200 by itself.
    assert!(bench.datagram(&invite).is_empty());
    let ack = caller.ack();
    bench.datagram(&ack);
    bench.event();
    assert!(bench.datagram(&ack).is_empty());
    let bye = caller.request("BYE");
    let first = bench.datagram(&bye);
    bench.event();
    let again = bench.datagram(&bye);
    assert_eq!(first[0].bytes, again[0].bytes);
    assert!(bench.events.is_empty());
    assert_eq!(bench.endpoint.counters().retransmissions, 4);
}

#[test]
fn what_is_wrong_with_an_offer_stands_in_the_warning_of_the_488() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench
        .command(|e, now| e.reject(now, id, 488, "no \"codec\" fits", None))
        .unwrap();
    let refusal = bench.take().remove(0);
    let warning = refusal.header(HeaderName::Warning).unwrap();
    assert!(warning.starts_with("305 "), "{warning}");
    assert!(warning.ends_with(" \"no \\\"codec\\\" fits\""), "{warning}");
    bench.event();
    // Other codes have nothing to do with the offer.
    let mut caller = Caller::new("b");
    let id = bench.invite(&mut caller);
    bench
        .command(|e, now| e.reject(now, id, 486, "Busy Here", None))
        .unwrap();
    assert_eq!(bench.take().remove(0).header(HeaderName::Warning), None);
}

#[test]
fn a_refusal_is_repeated_until_its_ack() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench
        .command(|e, now| e.reject(now, id, 488, "", Some(7)))
        .unwrap();
    let refusal = bench.take().remove(0);
    assert!(
        refusal
            .text()
            .starts_with("SIP/2.0 488 Not Acceptable Here\r\n")
    );
    assert_eq!(refusal.header(HeaderName::RetryAfter).as_deref(), Some("7"));
    assert!(matches!(
        bench.event(),
        SipEvent::Ended {
            by: EndedBy::Local,
            ..
        }
    ));
    let sent = bench.advance(ms(2_000));
    assert_eq!(whats(&sent), ["488", "488"]);
    assert!(bench.datagram(caller.ack_refusal(&refusal)).is_empty());
    assert!(bench.advance(ms(4_900)).is_empty());
    assert_eq!(bench.endpoint.busy(), 1, "timer I absorbs further ACKs");
    bench.advance(ms(200));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn a_refusal_without_ack_is_given_up_after_64_t1() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench
        .command(|e, now| e.reject(now, id, 486, "Busy", None))
        .unwrap();
    let start = bench.now;
    let sent = bench.advance(secs(40));
    assert!(sent.iter().all(|s| s.at - start < secs(32)));
    assert_eq!(bench.endpoint.counters().acks_missing, 1);
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn an_invite_that_expires_is_refused() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    caller.extra = "Expires: 10\r\n".into();
    bench.invite(&mut caller);
    let sent = bench.advance(ms(10_100));
    assert_eq!(whats(&sent), ["487"]);
    assert!(matches!(
        bench.event(),
        SipEvent::Ended {
            by: EndedBy::Remote,
            ..
        }
    ));
}

#[test]
fn commands_out_of_turn_are_refused() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    let wrong = Err(SipRefusal::WrongState);
    assert_eq!(bench.command(|e, now| e.ring(now, id)), wrong);
    assert_eq!(bench.command(|e, now| e.accept(now, id, ANSWER)), wrong);
    assert_eq!(
        bench.command(|e, now| e.reject(now, id, 486, "", None)),
        wrong
    );
    assert_eq!(
        bench.command(|e, now| e.answer_reinvite(now, id, ANSWER)),
        wrong
    );
    assert_eq!(
        bench.command(|e, now| e.refuse_reinvite(now, id, 488)),
        wrong
    );
    assert!(bench.take().is_empty());
}

#[test]
fn an_answer_that_is_too_large_is_not_sent() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    let sdp = "a".repeat(17_000);
    let refused = bench.command(|e, now| e.accept(now, id, &sdp));
    assert_eq!(refused, Err(SipRefusal::TooLarge));
    assert!(bench.take().is_empty());
    bench.accept(id, &mut caller);
}

#[test]
fn a_call_of_rfc_2543_without_tags_or_branches_works() {
    let mut bench = Bench::new();
    let request = |method: &str, to: &str, cseq: u32, body: &str| {
        format!(
            "{method} sip:4711@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10\r\n\
             From: <sip:1001@192.0.2.10>\r\nTo: {to}\r\nCall-ID: old@192.0.2.10\r\n\
             CSeq: {cseq} {method}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let to = "<sip:4711@192.0.2.1>";
    let invite = request("INVITE", to, 1, OFFER);
    assert_eq!(whats(&bench.datagram(&invite)), ["100"]);
    assert_eq!(whats(&bench.datagram(&invite)), ["100"]);
    let SipEvent::Invite { id, .. } = bench.event() else {
        panic!("no INVITE");
    };
    assert!(
        bench.events.is_empty(),
        "the repetition was taken for another call"
    );
    bench.command(|e, now| e.accept(now, id, ANSWER)).unwrap();
    let tag = bench.take()[0].to_tag().unwrap();
    let to = format!("{to};tag={tag}");
    bench.datagram(request("ACK", &to, 1, ""));
    assert!(matches!(bench.event(), SipEvent::Confirmed { .. }));
    assert_eq!(whats(&bench.datagram(request("BYE", &to, 2, ""))), ["200"]);
    assert!(matches!(bench.event(), SipEvent::Ended { .. }));
    // No Contact came: our own BYE would go to From.
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn the_clock_may_stand_at_its_start() {
    let mut bench = Bench::new();
    bench.now = Instant::ZERO;
    let mut caller = Caller::new("a");
    bench.call(&mut caller);
}
