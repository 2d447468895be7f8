//! Re-INVITEs of ours (RFC 3261 section 14.1).

use trunkcast::base::ids::CallId;
use trunkcast::sip::{Cause, EndedBy, SipEvent};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{ANSWER, Bench, Caller, OFFER, Sent, ms, respond, secs, whats};

fn reinvite(bench: &mut Bench, id: CallId) -> Sent {
    let sent = bench.command(|e, now| e.reinvite(now, id, ANSWER));
    assert_eq!(sent, Ok(true));
    let mut sent = bench.take();
    assert_eq!(whats(&sent), ["INVITE"]);
    sent.remove(0)
}

fn ok(invite: &Sent) -> String {
    respond(invite, 200).replace(
        "Content-Length: 0\r\n\r\n",
        &format!(
            "Contact: <sip:there@192.0.2.11:5070>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{OFFER}",
            OFFER.len()
        ),
    )
}

#[test]
fn a_2xx_is_acknowledged_every_time_and_told_once() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    let invite = reinvite(&mut bench, id);
    assert_eq!(invite.message().body(), ANSWER.as_bytes());
    assert_eq!(invite.to_tag().as_deref(), Some("from-a"));
    assert!(invite.header(HeaderName::Contact).is_some());
    assert!(invite.header(HeaderName::Allow).unwrap().contains("UPDATE"));
    assert!(bench.datagram(respond(&invite, 100)).is_empty());
    let ack = bench.datagram(ok(&invite));
    assert_eq!(whats(&ack), ["ACK"]);
    let text = ack[0].text();
    assert!(text.starts_with("ACK sip:there@192.0.2.11:5070 "), "{text}");
    assert_eq!(
        ack[0].message().cseq().number,
        invite.message().cseq().number
    );
    let again = bench.datagram(ok(&invite));
    assert_eq!(again[0].bytes, ack[0].bytes);
    let answer = Some(OFFER.as_bytes().into());
    assert_eq!(bench.event(), SipEvent::Reinvited { id, answer });
    assert!(bench.events.is_empty());
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let bye = bench.take().remove(0).text();
    assert!(bye.starts_with("BYE sip:there@192.0.2.11:5070 "), "{bye}");
}

#[test]
fn a_refusal_leaves_the_call_as_it_was() {
    for code in [400, 403, 415, 486, 488, 500, 503, 603, 606] {
        let mut bench = Bench::new();
        let mut caller = Caller::new("a");
        let id = bench.call(&mut caller);
        let invite = reinvite(&mut bench, id);
        let sent = bench.datagram(respond(&invite, code));
        assert_eq!(whats(&sent), ["ACK"], "{code}");
        assert_eq!(bench.event(), SipEvent::ReinviteRefused { id, code });
        assert_eq!(whats(&bench.datagram(respond(&invite, code))), ["ACK"]);
        assert!(bench.events.is_empty());
        bench.datagram(caller.reinvite());
        assert!(matches!(bench.event(), SipEvent::Reinvite { .. }));
    }
}

#[test]
fn a_peer_that_does_not_know_or_answer_it_ends_the_call() {
    for code in [Some(481), Some(408), Some(404), None] {
        let mut bench = Bench::new();
        let mut caller = Caller::new("a");
        let id = bench.call(&mut caller);
        let invite = reinvite(&mut bench, id);
        let sent = match code {
            Some(code) => bench.datagram(respond(&invite, code)),
            None => bench.advance(secs(32)),
        };
        assert_eq!(sent.last().unwrap().what(), "BYE", "{code:?}");
        let bye = sent.last().unwrap();
        let reason = bye.header(HeaderName::Reason).unwrap();
        let wanted = format!("SIP;cause={};", code.unwrap_or(408));
        assert!(reason.starts_with(&wanted), "{reason}");
        let SipEvent::Ended { by, .. } = bench.event() else {
            panic!("no end");
        };
        assert_eq!(by, EndedBy::Silence);
        bench.datagram(respond(bye, 200));
        bench.advance(secs(40));
        assert_eq!(bench.endpoint.busy(), 0);
    }
}

#[test]
fn a_lost_reinvite_is_sent_again_until_something_answers() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    let invite = reinvite(&mut bench, id);
    let again = bench.advance(ms(3_600));
    assert_eq!(whats(&again), ["INVITE"; 3]);
    assert_eq!(again[2].bytes, invite.bytes);
    bench.datagram(respond(&invite, 100));
    assert!(bench.advance(secs(60)).is_empty());
    bench.datagram(ok(&invite));
    assert!(matches!(bench.event(), SipEvent::Reinvited { .. }));
}

#[test]
fn one_that_is_worked_on_for_ever_ends_the_call() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    let invite = reinvite(&mut bench, id);
    bench.datagram(respond(&invite, 100));
    let sent = bench.advance(secs(180));
    assert_eq!(whats(&sent), ["BYE"]);
    assert!(matches!(bench.event(), SipEvent::Ended { .. }));
}

#[test]
fn a_bye_of_the_peer_ends_a_call_whose_reinvite_is_on_its_way() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    let invite = reinvite(&mut bench, id);
    assert_eq!(whats(&bench.datagram(caller.request("BYE"))), ["200"]);
    assert!(matches!(bench.event(), SipEvent::Ended { .. }));
    let sent = bench.datagram(respond(&invite, 487));
    assert_eq!(whats(&sent), ["ACK"], "what it answers is acknowledged");
    assert!(bench.events.is_empty());
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn one_that_meets_theirs_waits_until_that_is_done() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench.datagram(caller.reinvite());
    bench.event();
    assert_eq!(
        bench.command(|e, now| e.reinvite(now, id, ANSWER)),
        Ok(false)
    );
    assert_eq!(
        bench.command(|e, now| e.reinvite(now, id, ANSWER)),
        Ok(false)
    );
    assert!(bench.take().is_empty());
    bench
        .command(|e, now| e.answer_reinvite(now, id, ANSWER))
        .unwrap();
    bench.take();
    bench.advance(ms(100));
    assert!(bench.events.is_empty());
    bench.datagram(caller.ack());
    bench.advance(ms(0));
    assert!(matches!(bench.event(), SipEvent::ReinviteConfirmed { .. }));
    assert_eq!(bench.event(), SipEvent::OfferWanted { id, refresh: false });
    assert!(bench.events.is_empty(), "both were one wish");
    reinvite(&mut bench, id);
}

#[test]
fn a_probe_that_is_answered_with_anything_but_481_finds_the_call_alive() {
    for (code, alive) in [(200, true), (405, true), (501, true), (481, false)] {
        let mut bench = Bench::new();
        let mut caller = Caller::new("a");
        let id = bench.call(&mut caller);
        bench.command(|e, now| e.probe(now, id)).unwrap();
        let options = bench.take().remove(0);
        assert_eq!(options.what(), "OPTIONS");
        bench.datagram(respond(&options, code));
        assert_eq!(bench.endpoint.calls(), usize::from(alive), "{code}");
    }
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench.command(|e, now| e.probe(now, id)).unwrap();
    let sent = bench.advance(secs(32));
    assert_eq!(sent.last().unwrap().what(), "BYE");
    assert_eq!(bench.endpoint.calls(), 0);
}

#[test]
fn a_hurried_end_does_not_wait_for_the_ack() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench.accept(id, &mut caller);
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    bench.command(|e, now| e.hurry(now + secs(1)));
    assert_eq!(whats(&bench.advance(ms(999))), ["200"]);
    assert_eq!(whats(&bench.advance(ms(1))), ["BYE"]);
}

#[test]
fn a_call_that_ends_takes_its_reinvite_back() {
    for theirs in [false, true] {
        let mut bench = Bench::new();
        let mut caller = Caller::new("a");
        let id = bench.call(&mut caller);
        let invite = reinvite(&mut bench, id);
        bench.datagram(respond(&invite, 180));
        let sent = if theirs {
            bench.datagram(caller.request("BYE"))
        } else {
            let over = Cause::new(200, "over");
            bench.command(|e, now| e.hangup(now, id, over)).unwrap();
            bench.take()
        };
        let mut expected = whats(&sent);
        expected.sort_unstable();
        let other = if theirs { "200" } else { "BYE" };
        let mut wanted = [other, "CANCEL"];
        wanted.sort_unstable();
        assert_eq!(expected, wanted);
        // Nobody answers any of them.
        bench.advance(secs(70));
        assert_eq!(bench.endpoint.busy(), 0);
    }
}
