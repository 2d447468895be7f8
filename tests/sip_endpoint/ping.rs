//! OPTIONS to the peers of a trunk.

use std::net::SocketAddr;
use std::time::Duration;

use trunkcast::base::network::Transport;
use trunkcast::sip::{PeerState, PingConfig, SipEvent, SipTarget, SipTargets};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{Bench, Sent, respond, secs, whats};
use crate::registrar::{answer, bound, config, target};

fn targets(count: u8) -> SipTargets {
    let one = |n| target(Transport::Udp, &format!("192.0.2.{}:5060", 10 + n));
    (0..count).map(one).collect()
}

fn pinging(count: u8) -> Bench {
    let mut bench = Bench::new();
    let config = PingConfig {
        request_uri: "sip:pbx.example".into(),
        from: "sip:trunkcast@192.0.2.1".into(),
        interval: secs(60),
        targets: targets(count),
    };
    bench
        .command(|e, now| e.set_pings(now, Some(config)))
        .unwrap();
    bench
}

fn news(bench: &mut Bench) -> (SipTarget, PeerState) {
    match bench.event() {
        SipEvent::Peer { target, state } => (target, state),
        event => panic!("{event:?}"),
    }
}

fn ask(bench: &mut Bench, within: Duration) -> Sent {
    let until = bench.now + within;
    while bench.now < until {
        if let Some(sent) = bench.advance(Duration::from_millis(250)).pop() {
            return sent;
        }
    }
    panic!("nobody is asked");
}

fn from(bench: &mut Bench, remote: SocketAddr, text: String) {
    assert!(bench.datagram_from(remote, text).is_empty());
}

#[test]
fn any_answer_proves_a_peer_alive_and_is_told_once() {
    let mut bench = pinging(1);
    let peer = targets(1)[0];
    let mut asked = ask(&mut bench, secs(1));
    assert_eq!(asked.what(), "OPTIONS");
    assert!(
        asked
            .text()
            .starts_with("OPTIONS sip:pbx.example SIP/2.0\r\n")
    );
    let id = asked.message().call_id().to_owned();
    for (n, code) in [200, 404, 405, 501, 401].into_iter().enumerate() {
        from(&mut bench, peer.address, respond(&asked, code));
        let before = bench.now;
        asked = ask(&mut bench, secs(80));
        let waited = asked.at - before;
        assert!(waited >= secs(45) && waited <= secs(76), "{waited:?}");
        assert_eq!(asked.message().call_id(), id);
        assert_eq!(asked.message().cseq().number, 2 + n as u32);
    }
    assert_eq!(news(&mut bench), (peer, PeerState::Alive { code: 200 }));
    assert!(bench.events.is_empty());
}

#[test]
fn a_silent_peer_is_down_after_seconds_and_asked_more_often() {
    let mut bench = pinging(1);
    let peer = targets(1)[0];
    assert_eq!(whats(&bench.advance(secs(7))), ["OPTIONS"; 4]);
    assert!(bench.events.is_empty());
    let sent = bench.advance(secs(60));
    assert_eq!(news(&mut bench), (peer, PeerState::Silent));
    assert!(bench.events.is_empty(), "told once");
    let mut branches: Vec<_> = sent.iter().map(|s| s.header(HeaderName::Via)).collect();
    branches.dedup();
    assert!((3..=6).contains(&branches.len()), "{}", branches.len());
    let asked = ask(&mut bench, secs(15));
    from(&mut bench, peer.address, respond(&asked, 200));
    assert_eq!(news(&mut bench).1, PeerState::Alive { code: 200 });
}

#[test]
fn a_busy_peer_and_one_without_a_connection_are_told() {
    let mut bench = pinging(1);
    let peer = targets(1)[0];
    let asked = ask(&mut bench, secs(1));
    from(
        &mut bench,
        peer.address,
        answer(&asked, 503, &["Retry-After: 30"]),
    );
    let retry_after = Some(secs(30));
    assert_eq!(news(&mut bench), (peer, PeerState::Busy { retry_after }));

    let mut bench = Bench::new();
    let peer = target(Transport::Tcp, "192.0.2.10:5060");
    let config = PingConfig {
        request_uri: "sip:pbx.example".into(),
        from: "sip:trunkcast@192.0.2.1".into(),
        interval: secs(60),
        targets: [peer].into_iter().collect(),
    };
    bench
        .command(|e, now| e.set_pings(now, Some(config)))
        .unwrap();
    ask(&mut bench, secs(1));
    bench.command(|e, now| e.handle_connect_failed(now, peer.address, false, "refused"));
    assert_eq!(news(&mut bench), (peer, PeerState::Unreachable));
}

#[test]
fn requests_go_to_peers_that_are_up_first() {
    let mut bench = pinging(3);
    let all = targets(3);
    let asked = bench.advance(secs(1));
    for sent in asked.iter().filter(|s| s.to.remote() != all[0].address) {
        let remote = sent.to.remote();
        bench.datagram_from(remote, respond(sent, 200));
    }
    bench.advance(secs(8));
    let states: Vec<_> = bench
        .endpoint
        .peers()
        .map(|(_, state)| state.is_down())
        .collect();
    assert_eq!(states, [true, false, false]);
    let mut walk = bench.endpoint.walk(&all);
    let mut order = vec![walk.current()];
    order.extend([walk.failed(), walk.failed()]);
    assert_eq!(order, [Some(all[1]), Some(all[2]), Some(all[0])]);

    // A registration goes back to the first peer once that is up.
    bench.events.clear();
    let id = bench
        .command(|e, now| e.register(now, config(&all)))
        .unwrap();
    let register = bench.take().remove(0);
    assert_eq!(register.to.remote(), all[1].address);
    bench.datagram_from(all[1].address, bound(&register, 600));
    let until = bench.now + secs(600);
    let mut refresh = None;
    while bench.now < until && refresh.is_none() {
        for sent in bench.advance(secs(1)) {
            match sent.what().as_str() {
                "OPTIONS" => {
                    bench.datagram_from(sent.to.remote(), respond(&sent, 200));
                }
                _ => refresh = Some(sent),
            }
        }
    }
    assert_eq!(refresh.unwrap().to.remote(), all[0].address);
    assert!(bench.endpoint.registration(id).is_some());
}

#[test]
fn peers_that_stay_keep_their_state_and_others_are_forgotten() {
    let mut bench = pinging(2);
    let both = targets(2);
    for sent in bench.advance(secs(1)) {
        bench.datagram_from(sent.to.remote(), respond(&sent, 200));
    }
    let config = PingConfig {
        request_uri: "sip:pbx.example".into(),
        from: "sip:trunkcast@192.0.2.1".into(),
        interval: secs(60),
        targets: [both[1]].into_iter().collect(),
    };
    bench
        .command(|e, now| e.set_pings(now, Some(config)))
        .unwrap();
    let peers: Vec<_> = bench.endpoint.peers().collect();
    assert_eq!(peers, [(both[1], PeerState::Alive { code: 200 })]);
    bench.command(|e, now| e.set_pings(now, None)).unwrap();
    bench.take();
    assert!(bench.advance(secs(200)).is_empty());
    assert_eq!(bench.endpoint.poll_timeout(), None);
}

#[test]
fn a_registrar_that_is_back_is_registered_with_at_once() {
    let mut bench = pinging(1);
    let all = targets(1);
    let registers = |sent: &[Sent]| sent.iter().any(|sent| sent.what() == "REGISTER");
    bench
        .command(|e, now| e.register(now, config(&all)))
        .unwrap();
    // Neither is answered, and the registration waits for half a minute at least.
    bench.advance(secs(33));
    bench.events.clear();
    let asked = ask(&mut bench, secs(14));
    assert_eq!(asked.what(), "OPTIONS");
    from(&mut bench, all[0].address, respond(&asked, 200));
    let back = bench.advance(secs(2));
    assert!(registers(&back), "{back:?}");
    let register = back.iter().find(|sent| sent.what() == "REGISTER").unwrap();
    bench.datagram(bound(register, 3_600));

    // It was away while we were registered: it may know nothing of us any more.
    let mut quiet = Vec::new();
    while quiet.len() < 3 {
        quiet = bench.advance(secs(10));
    }
    bench.advance(secs(8));
    let asked = ask(&mut bench, secs(14));
    from(&mut bench, all[0].address, respond(&asked, 200));
    let back = bench.advance(secs(2));
    assert!(registers(&back), "{back:?}");

    // One that said when to come again is left to its time.
    let register = back.iter().find(|sent| sent.what() == "REGISTER").unwrap();
    bench.datagram(answer(register, 503, &["Retry-After: 600"]));
    let mut quiet = Vec::new();
    while quiet.len() < 3 {
        quiet = bench.advance(secs(10));
    }
    bench.advance(secs(8));
    let asked = ask(&mut bench, secs(14));
    from(&mut bench, all[0].address, respond(&asked, 200));
    assert!(!registers(&bench.advance(secs(5))));
}
