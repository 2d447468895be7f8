//! Requests within a dialog, re-INVITE above all.

use trunkcast::sip::{Cause, EndedBy, SipDestination, SipEvent};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{ANSWER, Bench, Caller, OFFER, ms, respond, secs, whats};

fn retry_after(sent: &crate::bench::Sent) -> u32 {
    sent.header(HeaderName::RetryAfter)
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn a_reinvite_is_answered_by_command_and_acknowledged() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    assert_eq!(whats(&bench.datagram(caller.reinvite())), ["100"]);
    let offer = Some(OFFER.as_bytes().into());
    assert_eq!(bench.event(), SipEvent::Reinvite { id, offer });
    bench
        .command(|e, now| e.answer_reinvite(now, id, ANSWER))
        .unwrap();
    let sent = bench.take();
    assert_eq!(whats(&sent), ["200"]);
    assert_eq!(sent[0].to_tag(), caller.to_tag);
    assert!(sent[0].header(HeaderName::Contact).is_some());
    assert_eq!(whats(&bench.advance(ms(600))), ["200"]);
    bench.datagram(caller.ack());
    assert_eq!(
        bench.event(),
        SipEvent::ReinviteConfirmed { id, answer: None }
    );
    assert!(bench.advance(secs(20)).is_empty());
}

#[test]
fn a_reinvite_without_offer_is_answered_in_its_ack() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    caller.offer = None;
    bench.datagram(caller.reinvite());
    assert_eq!(bench.event(), SipEvent::Reinvite { id, offer: None });
    bench
        .command(|e, now| e.answer_reinvite(now, id, ANSWER))
        .unwrap();
    bench.datagram(caller.ack_with(OFFER));
    let answer = Some(OFFER.as_bytes().into());
    assert_eq!(bench.event(), SipEvent::ReinviteConfirmed { id, answer });
}

#[test]
fn a_refused_reinvite_leaves_the_call_up() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench.datagram(caller.reinvite());
    bench.event();
    bench
        .command(|e, now| e.refuse_reinvite(now, id, 488))
        .unwrap();
    let refusal = bench.take().remove(0);
    assert_eq!(refusal.status(), Some(488));
    bench.datagram(caller.ack_refusal(&refusal));
    assert!(bench.events.is_empty());
    bench.datagram(caller.reinvite());
    assert!(matches!(bench.event(), SipEvent::Reinvite { .. }));
}

#[test]
fn a_reinvite_without_ack_ends_the_call() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench.datagram(caller.reinvite());
    bench.event();
    bench
        .command(|e, now| e.answer_reinvite(now, id, ANSWER))
        .unwrap();
    let sent = bench.advance(ms(32_000));
    assert_eq!(sent.last().unwrap().what(), "BYE");
    assert!(matches!(
        bench.event(),
        SipEvent::Ended {
            by: EndedBy::Silence,
            ..
        }
    ));
}

#[test]
fn an_overlapping_reinvite_is_500_with_retry_after() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench.datagram(caller.reinvite());
    bench.event();
    let mut first = caller.fork();
    let overlapping = caller.reinvite();
    let sent = bench.datagram(&overlapping);
    assert_eq!(whats(&sent), ["500"]);
    assert!((0..=10).contains(&retry_after(&sent[0])));
    assert_eq!(
        bench.datagram(&overlapping)[0].bytes,
        sent[0].bytes,
        "the same to a repetition"
    );
    bench.datagram(caller.ack_refusal(&sent[0]));
    // The first one goes on.
    bench
        .command(|e, now| e.answer_reinvite(now, id, ANSWER))
        .unwrap();
    bench.take();
    bench.datagram(first.ack());
    assert!(matches!(bench.event(), SipEvent::ReinviteConfirmed { .. }));
}

#[test]
fn a_reinvite_before_the_ack_is_491() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench.accept(id, &mut caller);
    let mut later = caller.fork();
    let sent = bench.datagram(later.reinvite());
    assert_eq!(whats(&sent), ["491"]);
    bench.datagram(later.ack_refusal(&sent[0]));
    bench.datagram(caller.ack());
    assert!(matches!(bench.event(), SipEvent::Confirmed { .. }));
    bench.datagram(later.reinvite());
    assert!(matches!(bench.event(), SipEvent::Reinvite { .. }));
}

#[test]
fn a_bye_during_a_reinvite_ends_both() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    bench.call(&mut caller);
    bench.datagram(caller.reinvite());
    bench.event();
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
}

#[test]
fn hanging_up_during_a_reinvite_refuses_it() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench.datagram(caller.reinvite());
    bench.event();
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    assert_eq!(whats(&bench.take()), ["487", "BYE"]);
}

#[test]
fn a_reinvite_of_an_ended_call_is_481() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    bench.take();
    assert_eq!(whats(&bench.datagram(caller.reinvite())), ["481"]);
}

#[test]
fn a_reinvite_moves_the_remote_target() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    caller.contact = "<sip:caller@192.0.2.77:5070>".into();
    bench.datagram(caller.reinvite());
    bench.event();
    bench
        .command(|e, now| e.answer_reinvite(now, id, ANSWER))
        .unwrap();
    bench.datagram(caller.ack());
    bench.take();
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let bye = bench.take().remove(0);
    assert!(
        bye.text()
            .starts_with("BYE sip:caller@192.0.2.77:5070 SIP/2.0\r\n")
    );
    assert_eq!(
        bye.to,
        SipDestination::Udp("192.0.2.77:5070".parse().unwrap())
    );
}

#[test]
fn a_request_with_a_lower_number_is_500() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    caller.cseq = 10;
    bench.call(&mut caller);
    caller.cseq = 5;
    assert_eq!(
        whats(&bench.datagram(caller.request_again("INFO"))),
        ["500"]
    );
    assert_eq!(whats(&bench.datagram(caller.request_again("BYE"))), ["500"]);
    assert_eq!(bench.endpoint.calls(), 1);
    assert_eq!(bench.endpoint.counters().out_of_order, 2);
    caller.cseq = 50;
    assert_eq!(whats(&bench.datagram(caller.request_again("BYE"))), ["200"]);
}

#[test]
fn requests_within_no_dialog_are_481() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    bench.call(&mut caller);
    let mut stranger = caller.clone();
    stranger.to_tag = Some("other".into());
    for method in ["BYE", "INFO", "OPTIONS", "INVITE"] {
        let sent = bench.datagram(stranger.request(method));
        assert_eq!(whats(&sent), ["481"], "{method}");
    }
    let mut stranger = caller.clone();
    stranger.tag = "not-the-caller".into();
    assert_eq!(whats(&bench.datagram(stranger.request("BYE"))), ["481"]);
    stranger.to_tag = None;
    assert_eq!(whats(&bench.datagram(stranger.request("BYE"))), ["481"]);
    assert_eq!(bench.endpoint.calls(), 1);
}

#[test]
fn info_and_options_within_a_call_are_200() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    bench.call(&mut caller);
    let info = caller.request("INFO");
    let sent = bench.datagram(&info);
    assert_eq!(whats(&sent), ["200"]);
    assert_eq!(sent[0].to_tag(), caller.to_tag);
    assert_eq!(bench.datagram(&info)[0].bytes, sent[0].bytes);
    let sent = bench.datagram(caller.request("OPTIONS"));
    assert_eq!(whats(&sent), ["200"]);
    assert!(sent[0].header(HeaderName::Allow).is_some());
    for (method, code) in [("UPDATE", "200"), ("PRACK", "481"), ("MESSAGE", "405")] {
        let sent = bench.datagram(caller.request(method));
        assert_eq!(whats(&sent), [code], "{method}");
    }
    assert_eq!(bench.endpoint.calls(), 1);
}

#[test]
fn routes_are_repeated_in_answers_and_used_by_our_bye() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    caller.extra = "Record-Route: <sip:192.0.2.30;lr;r2=on>, <sip:192.0.2.31:5070;lr>\r\n\
        Record-Route: <sip:p3.example.com;lr>\r\n"
        .into();
    let id = bench.invite(&mut caller);
    bench.command(|e, now| e.ring(now, id)).unwrap();
    let routes = |sent: &crate::bench::Sent| -> Vec<String> {
        let message = sent.message();
        let routes = message.headers().record_routes();
        routes.map(|route| route.uri.text.into()).collect()
    };
    let all = [
        "sip:192.0.2.30;lr;r2=on",
        "sip:192.0.2.31:5070;lr",
        "sip:p3.example.com;lr",
    ];
    assert_eq!(routes(&bench.take()[0]), all);
    let ok = bench.accept(id, &mut caller);
    assert_eq!(routes(&ok), all);
    bench.datagram(caller.ack());
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let bye = bench.take().remove(0);
    let message = bye.message();
    let used: Vec<_> = message
        .headers()
        .routes()
        .map(|r| r.uri.text.to_string())
        .collect();
    assert_eq!(used, all);
    assert_eq!(
        message.request_uri().unwrap().text,
        "sip:caller@192.0.2.10:5060"
    );
    assert_eq!(
        bye.to,
        SipDestination::Udp("192.0.2.30:5060".parse().unwrap())
    );
    bench.datagram(respond(&bye, 200));
}

#[test]
fn a_strict_router_gets_its_own_uri() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    caller.extra = "Record-Route: <sip:192.0.2.30>, <sip:192.0.2.31;lr>\r\n".into();
    let id = bench.call(&mut caller);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let bye = bench.take().remove(0);
    let message = bye.message();
    assert_eq!(message.request_uri().unwrap().text, "sip:192.0.2.30");
    let used: Vec<_> = message
        .headers()
        .routes()
        .map(|r| r.uri.text.to_string())
        .collect();
    assert_eq!(used, ["sip:192.0.2.31;lr", "sip:caller@192.0.2.10:5060"]);
    assert_eq!(
        bye.to,
        SipDestination::Udp("192.0.2.30:5060".parse().unwrap())
    );
}
