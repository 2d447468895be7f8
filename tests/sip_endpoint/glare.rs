//! Re-INVITEs that cross (RFC 3261 section 14.1).

use trunkcast::base::rng::Rng;
use trunkcast::sip::{SipEndpoint, SipEvent};

use crate::bench::{ANSWER, Bench, Caller, config, respond, secs, whats};

/// How long an offer of ours waits after a 491.
fn wait(seed: u64) -> u128 {
    let mut bench = Bench::new();
    bench.endpoint = SipEndpoint::new(config(4), Rng::from_number(seed));
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench.command(|e, now| e.reinvite(now, id, ANSWER)).unwrap();
    let invite = bench.take().remove(0);
    assert_eq!(whats(&bench.datagram(caller.reinvite())), ["491"]);
    assert_eq!(whats(&bench.datagram(respond(&invite, 491))), ["ACK"]);
    assert_eq!(bench.event(), SipEvent::ReinviteRefused { id, code: 491 });
    assert_eq!(bench.endpoint.counters().glares, 1);
    let refused = bench.now;
    while bench.events.is_empty() {
        let at = bench.endpoint.poll_timeout().unwrap();
        bench.advance(at.since(bench.now));
        assert!(bench.now.since(refused) < secs(5));
    }
    assert_eq!(bench.event(), SipEvent::OfferWanted { id, refresh: false });
    let waited = bench.now.since(refused).as_millis();
    let again = bench.command(|e, now| e.reinvite(now, id, ANSWER));
    assert_eq!(again, Ok(true));
    assert_eq!(whats(&bench.take()), ["INVITE"]);
    waited
}

#[test]
fn who_did_not_make_the_call_id_waits_up_to_two_seconds_in_steps() {
    let waits: Vec<u128> = (0..40).map(wait).collect();
    assert!(waits.iter().all(|ms| *ms <= 2_000), "{waits:?}");
    assert!(waits.iter().all(|ms| ms % 10 == 0), "{waits:?}");
    let mut distinct = waits.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() > 20, "{waits:?}");
}

#[test]
fn their_offer_after_the_collision_goes_first() {
    let mut bench = Bench::new();
    let mut caller = Caller::new("a");
    let id = bench.call(&mut caller);
    bench.command(|e, now| e.reinvite(now, id, ANSWER)).unwrap();
    let invite = bench.take().remove(0);
    let refusal = bench.datagram(caller.reinvite()).remove(0);
    bench.datagram(caller.ack_refusal(&refusal));
    bench.datagram(respond(&invite, 491));
    bench.event();
    bench.datagram(caller.reinvite());
    assert!(matches!(bench.event(), SipEvent::Reinvite { .. }));
    bench.advance(secs(3));
    assert!(bench.events.is_empty(), "ours waits for theirs");
    bench
        .command(|e, now| e.answer_reinvite(now, id, ANSWER))
        .unwrap();
    bench.datagram(caller.ack());
    bench.advance(secs(0));
    assert!(matches!(bench.event(), SipEvent::ReinviteConfirmed { .. }));
    assert!(matches!(bench.event(), SipEvent::OfferWanted { .. }));
}
