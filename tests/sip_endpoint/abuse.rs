//! How much is taken of whom, and who is told of the rest.

use std::net::SocketAddr;

use trunkcast::base::ids::ConnId;
use trunkcast::base::network::Transport;
use trunkcast::sip::{Abuse, ConnectionRefused, Rates, SipEvent, SipTarget, Standing};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{Bench, Caller, ms, peer, secs, whats};

const RATES: Rates = Rates {
    per_source: 10,
    per_peer: 50,
    total: 15,
};

const CONN: ConnId = ConnId(1);

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.endpoint.set_rates(RATES);
    bench
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn pbx(bench: &mut Bench) {
    let target = SipTarget {
        transport: Transport::Udp,
        address: peer(),
    };
    bench.endpoint.set_pbx(&[target].into_iter().collect());
}

/// How many of so many OPTIONS are answered.
fn answered(bench: &mut Bench, from: SocketAddr, count: usize) -> usize {
    let mut caller = Caller::new("many");
    (0..count)
        .map(|_| bench.datagram_from(from, caller.request("OPTIONS")).len())
        .sum()
}

fn told(bench: &mut Bench) -> Vec<Abuse> {
    let events = std::mem::take(&mut bench.events);
    let abuse = |event| match event {
        SipEvent::Abuse(abuse) => Some(abuse),
        _ => None,
    };
    events.into_iter().filter_map(abuse).collect()
}

#[test]
fn a_caller_has_its_rate_all_have_theirs_and_the_pbx_has_more() {
    let mut bench = bench();
    assert_eq!(answered(&mut bench, address("192.0.2.77:5060"), 50), 20);
    assert_eq!(answered(&mut bench, address("192.0.2.78:5060"), 50), 10);
    assert_eq!(answered(&mut bench, peer(), 50), 0);
    assert_eq!(bench.endpoint.counters().excess_refused, 30 + 40 + 50);
    pbx(&mut bench);
    assert_eq!(
        answered(&mut bench, peer(), 50),
        0,
        "the bucket is the same"
    );
    bench.advance(secs(2));
    assert_eq!(answered(&mut bench, peer(), 500), 100);
}

#[test]
fn whom_a_call_is_up_with_is_heard_like_the_pbx() {
    let mut bench = bench();
    assert_eq!(bench.endpoint.standing(peer().ip()), Standing::Caller);
    let mut caller = Caller::new("a");
    bench.call(&mut caller);
    assert_eq!(bench.endpoint.standing(peer().ip()), Standing::Peer);
    answered(&mut bench, address("192.0.2.77:5060"), 100);
    answered(&mut bench, address("192.0.2.78:5060"), 100);
    assert_eq!(whats(&bench.datagram(caller.request("BYE"))), ["200"]);
    assert_eq!(bench.endpoint.standing(peer().ip()), Standing::Caller);
}

#[test]
fn a_stranger_is_told_of_once_a_minute_and_never_answered() {
    let mut bench = bench();
    let stranger = address("203.0.113.9:5060");
    let mut lines = Vec::new();
    for _ in 0..130 {
        assert_eq!(answered(&mut bench, stranger, 3), 0);
        bench.datagram_from(stranger, [0xff; 40]);
        assert!(bench.advance(secs(1)).is_empty());
        let what = |abuse: Abuse| (abuse.messages, abuse.time.as_secs());
        lines.extend(told(&mut bench).into_iter().map(what));
    }
    assert_eq!(lines, [(8, 2), (240, 60), (240, 60)]);
    assert_eq!(bench.endpoint.counters().source_refused, 4 * 130);
    bench.advance(secs(60));
    assert_eq!(told(&mut bench).len(), 1);
    assert_eq!(bench.endpoint.poll_timeout(), None);
}

#[test]
fn over_a_connection_an_excess_request_is_503_and_all_else_is_dropped() {
    let mut bench = bench();
    bench.connect(CONN);
    let mut caller = Caller::over_tcp("a");
    let many: String = (0..19).map(|_| caller.request("OPTIONS")).collect();
    assert_eq!(bench.stream(CONN, many).len(), 19);
    let sent = bench.stream(CONN, caller.request("OPTIONS"));
    assert_eq!(whats(&sent), ["503"]);
    assert_eq!(sent[0].header(HeaderName::RetryAfter).unwrap(), "2");
    assert_eq!(whats(&bench.stream(CONN, caller.invite())), ["503"]);
    assert!(bench.events.is_empty());
    assert_eq!(bench.endpoint.busy(), 0);
    for silent in [
        caller.ack(),
        "\r\n\r\n".to_owned(),
        "SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "DANCE\r\nContent-Length: 0\r\n\r\n".to_owned(),
    ] {
        assert!(bench.stream(CONN, &silent).is_empty(), "{silent}");
    }
    bench.advance(secs(2));
    let lines = told(&mut bench);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].source, Some((peer().ip(), Standing::Caller)));
    assert_eq!(lines[0].messages, 6);
    // The connection is as it was.
    assert_eq!(
        whats(&bench.stream(CONN, caller.request("OPTIONS"))),
        ["200"]
    );
}

#[test]
fn connections_count_and_those_of_strangers_are_told_of() {
    let mut bench = bench();
    let mut connect = |from: &str, conn| {
        let now = bench.now;
        let endpoint = &mut bench.endpoint;
        let taken = endpoint.handle_accepted(now, ConnId(conn), address(from), false);
        while endpoint.poll_event().is_some() {}
        taken
    };
    for conn in 0..20 {
        assert_eq!(connect("192.0.2.77:5060", conn), Ok(()));
    }
    let refused = connect("192.0.2.77:5060", 20);
    assert_eq!(refused, Err(ConnectionRefused::Excess));
    let refused = connect("203.0.113.9:5060", 21);
    assert_eq!(refused, Err(ConnectionRefused::Source));
    let now = bench.now;
    assert!(!bench.endpoint.admits(now, address("203.0.113.9:1").ip()));
    bench.advance(ms(2_100));
    let last: Vec<_> = told(&mut bench)
        .iter()
        .map(|abuse| (abuse.messages, abuse.last.to_string()))
        .collect();
    assert_eq!(last, [(1, "TCP".to_owned()), (2, "TLS".to_owned())]);
}

#[test]
fn half_open_connections_of_a_caller_do_not_push_out_the_pbx() {
    let mut bench = Bench::new();
    pbx(&mut bench);
    bench.connect(CONN);
    let mut caller = Caller::over_tcp("a");
    assert_eq!(
        whats(&bench.stream(CONN, caller.request("OPTIONS"))),
        ["200"]
    );
    for conn in 2..202 {
        bench.now = bench.now + ms(10);
        let from = address("192.0.2.77:5060");
        let now = bench.now;
        let taken = bench
            .endpoint
            .handle_accepted(now, ConnId(conn), from, false);
        assert_eq!(taken, Ok(()));
        bench.drain();
    }
    assert!(bench.events.len() > 100);
    assert!(!bench.events.contains(&SipEvent::Disconnect { conn: CONN }));
    assert_eq!(
        whats(&bench.stream(CONN, caller.request("OPTIONS"))),
        ["200"]
    );
}
