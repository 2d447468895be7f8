//! CANCEL and its races.

use trunkcast::sip::{Cause, EndedBy, SipEvent, SipRefusal};

use crate::bench::{ANSWER, Bench, Caller, secs, whats};

#[test]
fn a_cancel_in_time_is_answered_and_the_invite_terminated() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench.command(|e, now| e.ring(now, id)).unwrap();
    let tag = bench.take()[0].to_tag();
    let cancel = caller.cancel();
    let sent = bench.datagram(&cancel);
    assert_eq!(whats(&sent), ["200", "487"]);
    assert_eq!((sent[0].to_tag(), sent[1].to_tag()), (tag.clone(), tag));
    assert_eq!(sent[0].message().cseq().method, rsip::Method::Cancel);
    assert_eq!(sent[1].message().cseq().method, rsip::Method::Invite);
    let cause = Cause::new(487, "the caller cancelled");
    assert_eq!(
        bench.event(),
        SipEvent::Ended {
            id,
            cause,
            by: EndedBy::Remote
        }
    );
    assert_eq!(whats(&bench.datagram(&cancel)), ["200"]);
    bench.datagram(caller.ack_refusal(&sent[1]));
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
    let gone = bench.command(|e, now| e.accept(now, id, ANSWER));
    assert_eq!(gone, Err(SipRefusal::NoSuchCall));
}

#[test]
fn a_cancel_after_the_200_changes_nothing() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    let cancel = caller.cancel();
    let ok = bench.accept(id, &mut caller);
    let sent = bench.datagram(cancel);
    assert_eq!(whats(&sent), ["200"]);
    assert_eq!(sent[0].to_tag(), ok.to_tag());
    bench.datagram(caller.ack());
    assert!(matches!(bench.event(), SipEvent::Confirmed { .. }));
    assert_eq!(bench.endpoint.calls(), 1);
}

#[test]
fn a_cancel_after_a_refusal_changes_nothing() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench
        .command(|e, now| e.reject(now, id, 486, "", None))
        .unwrap();
    bench.take();
    bench.event();
    assert_eq!(whats(&bench.datagram(caller.cancel())), ["200"]);
    assert!(bench.events.is_empty());
}

#[test]
fn a_cancel_of_nothing_is_481() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    caller.invite();
    let sent = bench.datagram(caller.cancel());
    assert_eq!(whats(&sent), ["481"]);
    assert!(sent[0].to_tag().is_some());
    assert_eq!(bench.endpoint.busy(), 0);
    // Overtaken by its CANCEL, the INVITE is a call like any other.
    bench.invite(&mut caller);
}

#[test]
fn a_cancel_of_another_hop_does_not_match() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    bench.invite(&mut caller);
    caller.sent_by = "192.0.2.11:5060".into();
    assert_eq!(whats(&bench.datagram(caller.cancel())), ["481"]);
    assert_eq!(bench.endpoint.calls(), 1);
}

#[test]
fn a_cancelled_reinvite_leaves_the_call_as_it_was() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench.datagram(caller.reinvite());
    assert!(matches!(bench.event(), SipEvent::Reinvite { .. }));
    let sent = bench.datagram(caller.cancel());
    assert_eq!(whats(&sent), ["200", "487"]);
    assert_eq!(bench.event(), SipEvent::ReinviteCancelled { id });
    bench.datagram(caller.ack_refusal(&sent[1]));
    let late = bench.command(|e, now| e.answer_reinvite(now, id, ANSWER));
    assert_eq!(late, Err(SipRefusal::WrongState));
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.calls(), 1);
    assert_eq!(bench.endpoint.busy(), 1);
}
