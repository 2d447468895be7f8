//! UPDATE (RFC 3311), theirs and ours.

use trunkcast::sip::{SipEvent, SipRefusal};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{ANSWER, Bench, Caller, OFFER, respond, secs, whats};

const ALLOW: &str = "Allow: INVITE, ACK, BYE, UPDATE\r\n";

#[test]
fn an_update_with_an_offer_is_answered_by_the_owner() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    let update = caller.request_with("UPDATE", "application/sdp", OFFER);
    assert!(bench.datagram(&update).is_empty());
    let offer = Some(OFFER.as_bytes().into());
    assert_eq!(bench.event(), SipEvent::Reinvite { id, offer });
    assert!(bench.datagram(&update).is_empty(), "absorbed");
    bench
        .command(|e, now| e.answer_reinvite(now, id, ANSWER))
        .unwrap();
    let ok = bench.take().remove(0);
    assert_eq!(ok.what(), "200");
    assert_eq!(ok.message().body(), ANSWER.as_bytes());
    assert!(ok.header(HeaderName::Contact).is_some());
    assert_eq!(bench.datagram(&update)[0].bytes, ok.bytes);
    assert!(bench.advance(secs(31)).is_empty(), "no ACK is waited for");
    assert!(bench.events.is_empty());
}

#[test]
fn a_refused_update_leaves_the_call_as_it_was() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench.datagram(caller.request_with("UPDATE", "application/sdp", OFFER));
    bench.event();
    bench
        .command(|e, now| e.refuse_reinvite(now, id, 488))
        .unwrap();
    assert_eq!(whats(&bench.take()), ["488"]);
    bench.datagram(caller.reinvite());
    assert!(matches!(bench.event(), SipEvent::Reinvite { .. }));
}

#[test]
fn offers_that_cross_are_500_with_retry_after_or_491() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench.datagram(caller.request_with("UPDATE", "application/sdp", OFFER));
    bench.event();
    let sent = bench.datagram(caller.request_with("UPDATE", "application/sdp", OFFER));
    assert_eq!(whats(&sent), ["500"]);
    let wait: u32 = sent[0]
        .header(HeaderName::RetryAfter)
        .unwrap()
        .parse()
        .unwrap();
    assert!(wait <= 10);
    bench
        .command(|e, now| e.answer_reinvite(now, id, ANSWER))
        .unwrap();
    bench.take();
    bench.command(|e, now| e.reinvite(now, id, ANSWER)).unwrap();
    assert_eq!(whats(&bench.take()), ["INVITE"]);
    let sent = bench.datagram(caller.request_with("UPDATE", "application/sdp", OFFER));
    assert_eq!(whats(&sent), ["491"]);
    assert_eq!(whats(&bench.datagram(caller.request("UPDATE"))), ["200"]);
}

#[test]
fn before_the_answer_an_update_refreshes_but_offers_nothing() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench.command(|e, now| e.ring(now, id)).unwrap();
    let mut early = caller.fork();
    early.to_tag = bench.take()[0].to_tag();
    early.contact = "<sip:moved@192.0.2.10:5070>".into();
    assert_eq!(whats(&bench.datagram(early.request("UPDATE"))), ["200"]);
    let offer = early.request_with("UPDATE", "application/sdp", OFFER);
    let sent = bench.datagram(offer);
    assert_eq!(whats(&sent), ["500"], "the INVITE's offer has no answer");
    assert!(sent[0].header(HeaderName::RetryAfter).is_some());
    bench.accept(id, &mut caller);
    bench.datagram(caller.ack());
    let cause = trunkcast::sip::Cause::new(200, "");
    bench.command(|e, now| e.hangup(now, id, cause)).unwrap();
    let bye = bench.take().remove(0);
    assert!(
        bye.text().starts_with("BYE sip:moved@192.0.2.10:5070 "),
        "{}",
        bye.text()
    );
}

#[test]
fn an_offer_of_ours_goes_by_update_where_the_peer_takes_it() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    let refused = bench.command(|e, now| e.update(now, id, ANSWER));
    assert_eq!(refused, Err(SipRefusal::WrongState));
    caller.extra = ALLOW.into();
    bench.datagram(caller.request("OPTIONS"));
    bench.command(|e, now| e.update(now, id, ANSWER)).unwrap();
    let update = bench.take().remove(0);
    assert_eq!(update.what(), "UPDATE");
    assert_eq!(update.message().body(), ANSWER.as_bytes());
    assert_eq!(whats(&bench.datagram(caller.reinvite())), ["491"]);
    let ok = respond(&update, 200).replace(
        "Content-Length: 0\r\n\r\n",
        &format!(
            "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{OFFER}",
            OFFER.len()
        ),
    );
    bench.datagram(ok);
    let answer = Some(OFFER.as_bytes().into());
    assert_eq!(bench.event(), SipEvent::Reinvited { id, answer });
    bench.command(|e, now| e.update(now, id, ANSWER)).unwrap();
    let update = bench.take().remove(0);
    bench.datagram(respond(&update, 488));
    assert_eq!(bench.event(), SipEvent::ReinviteRefused { id, code: 488 });
    assert_eq!(bench.endpoint.calls(), 1);
}

#[test]
fn an_update_to_a_call_that_is_over_is_481() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    let cause = trunkcast::sip::Cause::new(200, "");
    bench.command(|e, now| e.hangup(now, id, cause)).unwrap();
    bench.take();
    assert_eq!(whats(&bench.datagram(caller.request("UPDATE"))), ["481"]);
}
