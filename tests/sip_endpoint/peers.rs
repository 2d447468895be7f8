//! Whom calls of ours go to is listened to, though he may not call.

use std::net::SocketAddr;

use trunkcast::base::ids::ConnId;
use trunkcast::base::network::Transport;
use trunkcast::sip::{Cause, ConnectionRefused, SipEvent};

use crate::bench::{Bench, Caller, respond, secs, whats};
use crate::callee::{THEIRS, call, place, reply, target, udp, within};

fn stranger() -> SocketAddr {
    "198.51.100.7:5060".parse().unwrap()
}

const CONTACT: &str = "Contact: <sip:callee@198.51.100.7>\r\n";

#[test]
fn a_called_stranger_may_answer_and_end_the_call_but_not_call() {
    let mut bench = Bench::new();
    assert!(!bench.endpoint.hears(stranger().ip()));
    let mut wanted = call();
    wanted.targets = udp(&["198.51.100.7:5060"]);
    let (_, invite) = place(&mut bench, wanted);
    assert!(bench.endpoint.hears(stranger().ip()));
    let sent = bench.datagram_from(stranger(), reply(&invite, 200, "b", CONTACT, THEIRS));
    assert_eq!(whats(&sent), ["ACK"]);
    bench.event();
    assert!(
        bench
            .datagram_from(stranger(), Caller::new("x").invite())
            .is_empty()
    );
    assert_eq!(bench.endpoint.counters().source_refused, 1);
    assert!(bench.events.is_empty());
    let options = Caller::new("x").request("OPTIONS");
    assert_eq!(whats(&bench.datagram_from(stranger(), options)), ["200"]);
    let other = "198.51.100.8:5060".parse().unwrap();
    assert!(
        bench
            .datagram_from(other, within(&invite, "b", "BYE", 1, "", ""))
            .is_empty()
    );
    assert_eq!(bench.endpoint.counters().source_refused, 2);
    let sent = bench.datagram_from(stranger(), within(&invite, "b", "BYE", 1, "", ""));
    assert_eq!(whats(&sent), ["200"]);
    assert!(matches!(bench.event(), SipEvent::Ended { .. }));
    // Nothing of the call is left: he is a stranger again.
    bench.advance(secs(40));
    assert_eq!(bench.endpoint.busy(), 0);
    assert!(!bench.endpoint.hears(stranger().ip()));
    assert!(
        bench
            .datagram_from(stranger(), within(&invite, "b", "BYE", 2, "", ""))
            .is_empty()
    );
}

#[test]
fn a_call_that_could_not_be_placed_opens_nothing() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.targets = udp(&["198.51.100.7:5060"]);
    wanted.sdp = "v".repeat(20_000);
    bench.command(|e, now| e.call(now, wanted)).unwrap_err();
    assert!(!bench.endpoint.hears(stranger().ip()));
}

#[test]
fn targets_that_are_not_tried_yet_are_listened_to_until_the_call_ends() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.targets = udp(&["192.0.2.10:5060", "198.51.100.7:5060"]);
    let (_, invite) = place(&mut bench, wanted);
    place(&mut bench, call());
    assert!(bench.endpoint.hears(stranger().ip()));
    bench.datagram(reply(&invite, 486, "b", "", ""));
    bench.event();
    assert!(!bench.endpoint.hears(stranger().ip()));
}

#[test]
fn a_connection_that_we_opened_is_taken_for_as_long_as_the_call_lasts() {
    let mut bench = Bench::new();
    let mut wanted = call();
    wanted.targets = [target(Transport::Tcp, "198.51.100.7:5060")]
        .into_iter()
        .collect();
    let (id, invite) = place(&mut bench, wanted);
    bench
        .command(|e, now| e.handle_connected(now, ConnId(9), stranger(), false))
        .unwrap();
    let sent = bench.stream(ConnId(9), reply(&invite, 200, "b", CONTACT, THEIRS));
    assert_eq!(whats(&sent), ["ACK"]);
    bench.event();
    assert!(
        bench
            .stream(ConnId(9), Caller::over_tcp("x").invite())
            .is_empty()
    );
    assert!(bench.events.is_empty());
    bench
        .command(|e, now| e.hangup(now, id, Cause::new(200, "")))
        .unwrap();
    let bye = bench.take().remove(0);
    assert_eq!(
        bye.to,
        crate::callee::stream(Some(ConnId(9)), "198.51.100.7:5060")
    );
    bench.stream(ConnId(9), respond(&bye, 200));
    bench.event();
    bench.advance(secs(40));
    let late = bench.command(|e, now| e.handle_connected(now, ConnId(10), stranger(), false));
    assert_eq!(late, Err(ConnectionRefused::Source));
    assert_eq!(bench.event(), SipEvent::Disconnect { conn: ConnId(10) });
}

#[test]
fn many_peers_are_bounded() {
    let mut bench = Bench::with_calls(200);
    for number in 0..100 {
        let mut wanted = call();
        wanted.targets = udp(&[&format!("198.51.100.{number}:5060")]);
        place(&mut bench, wanted);
    }
    let heard = (0..100).filter(|n| {
        bench
            .endpoint
            .hears(format!("198.51.100.{n}").parse().unwrap())
    });
    assert_eq!(heard.count(), trunkcast::limits::SIP_PEERS);
}
