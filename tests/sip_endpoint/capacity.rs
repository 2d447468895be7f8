//! Full tables, and tables that are empty again.

use trunkcast::sip::{Cause, SipEvent};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{Bench, Caller, ms, respond, secs, whats};
use crate::callee::{call, ok, place, reply, within};

#[test]
fn a_call_too_many_is_503_with_retry_after() {
    let mut bench = Bench::with_calls(2);
    let mut first = Caller::new("a");
    bench.call(&mut first);
    bench.invite(&mut Caller::new("b"));
    let mut third = Caller::new("c");
    let sent = bench.datagram(third.invite());
    assert_eq!(whats(&sent), ["503"]);
    assert_eq!(sent[0].header(HeaderName::RetryAfter).as_deref(), Some("5"));
    bench.datagram(third.ack_refusal(&sent[0]));
    assert!(bench.events.is_empty());
    assert_eq!(bench.endpoint.counters().calls_refused, 1);
    assert_eq!(whats(&bench.datagram(third.request("OPTIONS"))), ["200"]);
    bench.datagram(first.request("BYE"));
    bench.event();
    bench.invite(&mut Caller::new("d"));
}

#[test]
fn an_ended_call_makes_room_at_once_even_when_its_peer_is_gone() {
    let mut bench = Bench::with_calls(1);
    for number in 0..100 {
        let mut caller = Caller::new(&format!("c{number}"));
        let id = bench.call(&mut caller);
        bench
            .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
            .unwrap();
        bench.take();
        bench.event();
    }
    bench.advance(secs(70));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn calls_of_ours_that_are_over_at_once_never_run_out_of_room() {
    let mut bench = Bench::with_calls(2);
    let mut kept = None;
    for number in 0..500 {
        let (_, invite) = place(&mut bench, call());
        let tag = format!("b{number}");
        bench.now = bench.now + ms(10);
        if number % 2 == 0 {
            let refused = bench.datagram(reply(&invite, 486, &tag, "", ""));
            assert_eq!(whats(&refused), ["ACK"]);
        } else {
            let answer = ok(&invite, &tag);
            let acknowledged = bench.datagram(&answer);
            assert_eq!(whats(&acknowledged), ["ACK"]);
            bench.event();
            bench.datagram(within(&invite, &tag, "BYE", 1, "", ""));
            kept = Some((answer, acknowledged[0].bytes.clone()));
        }
        bench.event();
    }
    // The newest are kept: an ACK that was lost goes again.
    let (answer, ack) = kept.unwrap();
    assert_eq!(bench.datagram(answer)[0].bytes, ack);
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn a_flood_that_never_acknowledges_is_bounded_and_lets_calls_through() {
    let mut bench = Bench::with_calls(2);
    let mut refused = 0;
    for number in 0..2_000 {
        let mut flood = Caller::new(&format!("f{number}"));
        flood.extra = "Require: nothing\r\n".into();
        refused += bench.datagram(flood.invite()).len();
        bench.now = bench.now + ms(1);
    }
    assert_eq!(refused, 2_000);
    assert!(bench.endpoint.busy() <= 72, "{}", bench.endpoint.busy());
    bench.call(&mut Caller::new("honest"));
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 1);
}

#[test]
fn a_flood_of_calls_is_refused_without_growth() {
    let mut bench = Bench::with_calls(3);
    for number in 0..1_000 {
        let sent = bench.datagram(Caller::new(&format!("f{number}")).invite());
        let expected = if number < 3 { "100" } else { "503" };
        assert_eq!(whats(&sent), [expected]);
    }
    assert_eq!(bench.events.len(), 3);
    assert_eq!(bench.endpoint.calls(), 3);
}

#[test]
fn an_owner_that_does_not_drain_costs_no_memory_and_loses_no_end() {
    let mut bench = Bench::with_calls(4);
    for number in 0..500 {
        let mut caller = Caller::new(&format!("c{number}"));
        let (invite, cancel) = (caller.invite(), caller.cancel());
        bench
            .endpoint
            .handle_datagram(bench.now, crate::bench::peer(), invite.as_bytes());
        bench
            .endpoint
            .handle_datagram(bench.now, crate::bench::peer(), cancel.as_bytes());
    }
    bench.drain();
    let began = |e: &&SipEvent| matches!(e, SipEvent::Invite { .. });
    let ended = |e: &&SipEvent| matches!(e, SipEvent::Ended { .. });
    let began = bench.events.iter().filter(began).count();
    assert!(began >= 4);
    assert_eq!(bench.events.iter().filter(ended).count(), began);
    assert!(bench.take().len() <= trunkcast::limits::SIP_TRANSMITS);
    assert!(bench.endpoint.counters().transmits_dropped > 0);
    bench.advance(secs(70));
    assert_eq!(bench.endpoint.busy(), 0);
}

#[test]
fn a_thousand_calls_leave_nothing_behind() {
    let mut bench = Bench::with_calls(8);
    for number in 0..1_000 {
        let mut caller = Caller::new(&format!("c{number}"));
        let id = bench.call(&mut caller);
        bench.advance(ms(200));
        if number % 2 == 0 {
            bench.datagram(caller.request("BYE"));
        } else {
            bench
                .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
                .unwrap();
            let bye = bench.take().remove(0);
            bench.datagram(respond(&bye, 200));
        }
        assert!(matches!(bench.event(), SipEvent::Ended { .. }));
        assert_eq!(bench.endpoint.calls(), 0);
    }
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
    assert_eq!(bench.endpoint.poll_timeout(), None);
    assert_eq!(bench.endpoint.counters().calls, 1_000);
}

#[test]
fn a_timeout_with_more_due_than_fits_goes_on_at_the_next_call() {
    let calls = 600;
    let mut bench = Bench::with_calls(calls);
    for number in 0..calls {
        let mut caller = Caller::new(&format!("c{number}"));
        let id = bench.invite(&mut caller);
        bench.accept(id, &mut caller);
    }
    let sent = bench.advance(ms(500));
    assert_eq!(sent.len(), calls, "each 200 once more");
    assert_eq!(bench.endpoint.counters().transmits_dropped, 0);
}
