//! INVITEs that take the place of another call (RFC 3891).

use trunkcast::base::ids::CallId;
use trunkcast::sip::{Cause, SipEvent};

use crate::bench::{ANSWER, Bench, Caller, respond, secs, whats};
use crate::callee::{CONTACT, call, place, reply};

/// The header that names the call of a caller.
fn replaces(caller: &Caller, more: &str) -> String {
    format!(
        "Replaces: {};to-tag={};from-tag={}{more}\r\n",
        caller.call_id,
        caller.to_tag.as_deref().unwrap(),
        caller.tag
    )
}

fn taker(name: &str, lines: String) -> Caller {
    let mut taker = Caller::new(name);
    taker.extra = lines;
    taker
}

/// An INVITE that is to be taken; its event's handles.
fn taken(bench: &mut Bench, taker: &mut Caller) -> (CallId, Option<CallId>) {
    let sent = bench.datagram(taker.invite());
    assert_eq!(whats(&sent), ["100"]);
    match bench.event() {
        SipEvent::Invite { id, replaces, .. } => (id, replaces),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_old_call_gets_bye_once_the_new_answer_is_acknowledged() {
    let mut bench = Bench::with_calls(1);
    let mut caller = Caller::new("a");
    let old = bench.call(&mut caller);
    let mut taker = taker("b", replaces(&caller, ""));
    let (id, of) = taken(&mut bench, &mut taker);
    assert_eq!(of, Some(old), "though there is room for one call");
    bench.accept(id, &mut taker);
    assert!(bench.events.is_empty());
    let sent = bench.datagram(taker.ack());
    assert_eq!(whats(&sent), ["BYE"]);
    assert_eq!(sent[0].message().call_id(), caller.call_id);
    assert!(matches!(bench.event(), SipEvent::Confirmed { id: it, .. } if it == id));
    assert!(matches!(bench.event(), SipEvent::Ended { id: it, .. } if it == old));
    bench.datagram(respond(&sent[0], 200));
    assert_eq!(bench.endpoint.calls(), 1);
    let sent = bench.datagram(taker.request("BYE"));
    assert_eq!(whats(&sent), ["200"]);
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn a_taker_that_is_refused_or_gives_up_leaves_the_old_call() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    bench.call(&mut caller);
    let mut refused = taker("b", replaces(&caller, ""));
    let (id, _) = taken(&mut bench, &mut refused);
    bench
        .command(|e, now| e.reject(now, id, 488, "", None))
        .unwrap();
    bench.take();
    bench.event();
    let mut cancelled = taker("c", replaces(&caller, ""));
    taken(&mut bench, &mut cancelled);
    assert_eq!(whats(&bench.datagram(cancelled.cancel())), ["200", "487"]);
    bench.event();
    assert_eq!(bench.endpoint.calls(), 1);
    assert_eq!(whats(&bench.datagram(caller.request("INFO"))), ["200"]);
}

#[test]
fn a_taker_that_never_acknowledges_ends_both() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    bench.call(&mut caller);
    let mut taker = taker("b", replaces(&caller, ""));
    let (id, _) = taken(&mut bench, &mut taker);
    bench.accept(id, &mut taker);
    let sent = bench.advance(secs(32));
    let byes = sent.iter().filter(|sent| sent.what() == "BYE");
    assert_eq!(byes.count(), 2);
    assert_eq!(bench.endpoint.calls(), 0);
}

#[test]
fn who_takes_places_without_end_finds_no_more_room() {
    let mut bench = Bench::with_calls(3);
    let mut caller = Caller::new("a");
    bench.call(&mut caller);
    let mut taken_by = 0;
    for number in 0..20 {
        let mut taker = taker(&format!("t{number}"), replaces(&caller, ""));
        let sent = bench.datagram(taker.invite());
        if whats(&sent) == ["503"] {
            continue;
        }
        taken_by += 1;
        let SipEvent::Invite { id, .. } = bench.event() else {
            panic!("no INVITE");
        };
        // Nobody acknowledges, and the next one takes the place of this one.
        bench.accept(id, &mut taker);
        caller = taker;
    }
    assert_eq!(taken_by, 5);
    bench.advance(secs(80));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn what_is_not_to_be_replaced_is_refused_as_section_3_says() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let old = bench.call(&mut caller);
    let value = replaces(&caller, "");
    let unknown = value.replace("to-tag=", "to-tag=x");
    let other = value.replace("from-tag=", "from-tag=x");
    for (name, lines, code) in [
        ("b", unknown, "481"),
        ("c", other, "481"),
        ("d", format!("{value}{value}"), "400"),
        ("e", "Replaces: a@b;to-tag=1\r\n".into(), "400"),
        ("f", replaces(&caller, ";early-only"), "486"),
    ] {
        let sent = bench.datagram(taker(name, lines).invite());
        assert_eq!(whats(&sent), [code], "{name}");
    }
    assert!(bench.events.is_empty());
    // A call that is over, while its BYE is not answered.
    bench
        .command(|e, now| e.hangup(now, old, Cause::new(200, "")))
        .unwrap();
    bench.take();
    let sent = bench.datagram(taker("g", value).invite());
    assert_eq!(whats(&sent), ["603"]);
}

#[test]
fn a_call_that_rings_at_us_is_not_replaced_and_one_of_ours_that_rings_is() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.invite(&mut caller);
    bench.command(|e, now| e.ring(now, id)).unwrap();
    caller.to_tag = bench.take()[0].to_tag();
    let sent = bench.datagram(taker("b", replaces(&caller, "")).invite());
    assert_eq!(whats(&sent), ["481"]);

    let (old, invite) = place(&mut bench, call());
    bench.datagram(reply(&invite, 180, "x", CONTACT, ""));
    bench.event();
    let message = invite.message();
    let from_tag = message.from().tag().unwrap();
    let lines = format!(
        "Replaces: {};to-tag={from_tag};from-tag=x;early-only\r\n",
        message.call_id()
    );
    let mut taker = taker("c", lines);
    let (id, of) = taken(&mut bench, &mut taker);
    assert_eq!(of, Some(old));
    bench.command(|e, now| e.accept(now, id, ANSWER)).unwrap();
    taker.to_tag = bench.take()[0].to_tag();
    let sent = bench.datagram(taker.ack());
    assert_eq!(whats(&sent), ["CANCEL"]);
}
