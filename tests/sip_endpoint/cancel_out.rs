//! Calls of ours that are taken back, and every race of that.

use trunkcast::sip::{Cause, EndedBy, SipEvent, SipRefusal};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{Bench, Sent, ms, respond, secs, whats};
use crate::callee::{CONTACT, branch, call, header, ok, place, reply};

/// A call that rings and is taken back: its INVITE, and what goes out for that.
fn cancelled(bench: &mut Bench) -> (Sent, Vec<Sent>) {
    let (id, invite) = place(bench, call());
    bench.datagram(reply(&invite, 180, "b", CONTACT, ""));
    bench.event();
    let cause = Cause::new(200, "enough");
    bench
        .command(|e, now| e.hangup(now, id, cause.clone()))
        .unwrap();
    let by = EndedBy::Local;
    assert_eq!(bench.event(), SipEvent::Ended { id, cause, by });
    let again = bench.command(|e, now| e.hangup(now, id, Cause::new(200, "")));
    assert_eq!(again, Err(SipRefusal::NoSuchCall));
    (invite, bench.take())
}

fn is_over(mut bench: Bench) {
    bench.advance(secs(70));
    assert!(bench.events.is_empty(), "{:?}", bench.events);
    assert_eq!(
        (bench.endpoint.busy(), bench.endpoint.closing_calls()),
        (0, 0)
    );
}

#[test]
fn a_cancel_is_the_invites_twin() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.routes = vec!["<sip:proxy.test;lr>".into()];
    let (id, invite) = place(&mut bench, wanted);
    bench.datagram(reply(&invite, 180, "b", CONTACT, ""));
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let sent = bench.take();
    assert_eq!(whats(&sent), ["CANCEL"]);
    let expected = format!(
        "CANCEL sip:1002@pbx.test SIP/2.0\r\n\
         Via: {}\r\n\
         Max-Forwards: 70\r\n\
         Route: <sip:proxy.test;lr>\r\n\
         From: {}\r\n\
         To: <sip:1002@pbx.test>\r\n\
         Call-ID: {}\r\n\
         CSeq: 1 CANCEL\r\n\
         User-Agent: trunkcast\r\n\
         Content-Length: 0\r\n\r\n",
        header(&invite, HeaderName::Via),
        header(&invite, HeaderName::From),
        header(&invite, HeaderName::CallId),
    );
    assert_eq!(sent[0].text(), expected);
    assert_eq!(sent[0].to, invite.to);
}

#[test]
fn a_cancelled_call_is_acknowledged_when_it_is_terminated() {
    let mut bench = Bench::new();
    let (invite, sent) = cancelled(&mut bench);
    assert_eq!(whats(&sent), ["CANCEL"]);
    bench.datagram(respond(&sent[0], 200));
    let terminated = reply(&invite, 487, "b", "", "");
    let sent = bench.datagram(&terminated);
    assert_eq!(whats(&sent), ["ACK"]);
    assert_eq!(branch(&sent[0]), branch(&invite));
    assert_eq!(header(&sent[0], HeaderName::CSeq), "1 ACK");
    assert_eq!(sent[0].to_tag().as_deref(), Some("b"));
    let again = bench.datagram(&terminated);
    assert_eq!(again[0].bytes, sent[0].bytes);
    is_over(bench);
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut bench = Bench::new();
    let (id, invite) = place(&mut bench, call());
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    assert!(bench.take().is_empty());
    assert!(matches!(bench.event(), SipEvent::Ended { .. }));
    assert_eq!(bench.endpoint.closing_calls(), 1);
    // The INVITE may have been lost: it has to go again for anything to come.
    assert_eq!(whats(&bench.advance(ms(500))), ["INVITE"]);
    let sent = bench.datagram(reply(&invite, 100, "", "", ""));
    assert_eq!(whats(&sent), ["CANCEL"]);
    assert!(
        bench
            .datagram(reply(&invite, 180, "b", CONTACT, ""))
            .is_empty()
    );
    bench.datagram(respond(&sent[0], 200));
    assert_eq!(
        whats(&bench.datagram(reply(&invite, 487, "b", "", ""))),
        ["ACK"]
    );
    is_over(bench);
}

#[test]
fn a_cancel_that_waits_for_nobody_ends_with_timer_b() {
    let mut bench = Bench::new();
    let (id, _) = place(&mut bench, call());
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    bench.event();
    let sent = bench.advance(secs(33));
    assert!(sent.iter().all(|s| s.what() == "INVITE"));
    is_over(bench);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let mut bench = Bench::new();
    let (invite, cancel) = cancelled(&mut bench);
    let sent = bench.datagram(ok(&invite, "b"));
    assert_eq!(whats(&sent), ["ACK", "BYE"]);
    assert_eq!(header(&sent[1], HeaderName::CSeq), "2 BYE");
    bench.datagram(respond(&cancel[0], 481));
    assert_eq!(whats(&bench.datagram(ok(&invite, "b"))), ["ACK"]);
    // Another fork answers as well.
    let other = bench.datagram(ok(&invite, "c"));
    assert_eq!(whats(&other), ["ACK", "BYE"]);
    bench.datagram(respond(&other[1], 200));
    bench.datagram(respond(&sent[1], 200));
    is_over(bench);
}

#[test]
fn an_answer_before_any_ringing_crosses_the_hangup_too() {
    let mut bench = Bench::new();
    let (id, invite) = place(&mut bench, call());
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    bench.event();
    assert_eq!(whats(&bench.datagram(ok(&invite, "b"))), ["ACK", "BYE"]);
    is_over(bench);
}

#[test]
fn a_cancel_that_nobody_heeds_is_given_up() {
    let mut bench = Bench::new();
    let (invite, cancel) = cancelled(&mut bench);
    bench.datagram(respond(&cancel[0], 200));
    assert!(bench.advance(secs(31)).is_empty());
    assert_eq!(bench.endpoint.closing_calls(), 1);
    bench.advance(secs(1));
    assert_eq!(bench.endpoint.closing_calls(), 0);
    assert!(bench.datagram(ok(&invite, "b")).is_empty());
    is_over(bench);
}

#[test]
fn a_cancel_without_answer_is_repeated() {
    let mut bench = Bench::new();
    let (_, cancel) = cancelled(&mut bench);
    let again = bench.advance(ms(1_600));
    assert_eq!(whats(&again), ["CANCEL", "CANCEL"]);
    assert_eq!(again[0].bytes, cancel[0].bytes);
    is_over(bench);
}

#[test]
fn a_challenge_or_redirect_after_the_cancel_leads_nowhere() {
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
    for (code, lines) in [
        (401, challenge),
        (302, CONTACT),
        (503, ""),
        (422, "Min-SE: 900\r\n"),
    ] {
        let mut bench = Bench::new();
        let (invite, _) = cancelled(&mut bench);
        let sent = bench.datagram(reply(&invite, code, "b", lines, ""));
        assert_eq!(whats(&sent), ["ACK"], "{code}");
        is_over(bench);
    }
}

#[test]
fn a_refusal_that_crosses_the_hangup_is_acknowledged() {
    let mut bench = Bench::new();
    let (id, invite) = place(&mut bench, call());
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    bench.event();
    assert_eq!(
        whats(&bench.datagram(reply(&invite, 486, "b", "", ""))),
        ["ACK"]
    );
    assert_eq!(bench.endpoint.closing_calls(), 0);
    is_over(bench);
}
