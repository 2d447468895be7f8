//! Trunks that register at their PBX and ask whether it is there.

mod gateway_support;
mod rtp_support;

use std::net::SocketAddr;
use std::time::Duration;

use gateway_support::*;
use trunkcast::base::network::Transport;
use trunkcast::gateway::config::{Config, Host, HostPort, Register};
use trunkcast::gateway::outlet::Level;
use trunkcast::sip::{PeerState, RegistrationState, SipTarget};

fn registering(proxy: Host) -> Config {
    let mut config = config(4, None);
    let trunk = &mut config.trunks[0];
    trunk.proxy = Some(proxy);
    trunk.register = Some(Register {
        login: "1000".into(),
        authentication_name: "1000".into(),
        password: "hunter2".to_owned().into(),
        expires: 600,
        registrar: None,
        contact: "1000".into(),
    });
    config
}

fn pbx() -> SocketAddr {
    "192.0.2.10:5060".parse().unwrap()
}

fn target(address: SocketAddr) -> SipTarget {
    SipTarget {
        transport: Transport::Udp,
        address,
    }
}

/// The messages of that method that were sent since the last look, and where to.
fn sent(world: &mut World, method: &str) -> Vec<(SocketAddr, String)> {
    let all = std::mem::take(&mut world.inbox);
    all.into_iter()
        .filter(|(_, text)| text.starts_with(&format!("{method} ")))
        .collect()
}

/// Answers a request with a code and further lines.
fn answer(world: &mut World, request: &(SocketAddr, String), code: u16, lines: &str) {
    let kept = ["Via: ", "From: ", "To: ", "Call-ID: ", "CSeq: "];
    let mut text = format!("SIP/2.0 {code} Whatever\r\n");
    for line in request.1.lines() {
        if kept.iter().any(|name| line.starts_with(name)) {
            text += &format!("{line}\r\n");
        }
    }
    text += &format!("{lines}Content-Length: 0\r\n\r\n");
    world.sip(request.0, text);
}

fn state(world: &World) -> Option<RegistrationState> {
    let trunk = world.gateway.trunks().next().unwrap();
    trunk.registration().cloned()
}

fn noted(world: &World, text: &str) -> usize {
    let notes = world.outlet.notes.iter();
    notes.filter(|(_, note)| note.contains(text)).count()
}

#[test]
fn a_trunk_registers_at_once_and_is_taken_back_on_stop() {
    let mut world = World::new(registering(Host::Ip(pbx().ip())));
    world.advance(Duration::from_millis(1));
    let register = sent(&mut world, "REGISTER");
    assert_eq!(register.len(), 1);
    let (to, text) = &register[0];
    assert_eq!(*to, pbx());
    assert!(
        text.starts_with("REGISTER sip:192.0.2.10 SIP/2.0\r\n"),
        "{text}"
    );
    assert!(text.contains("To: <sip:1000@192.0.2.10>\r\n"), "{text}");
    assert_eq!(state(&world), Some(RegistrationState::Registering));
    answer(&mut world, &register[0], 200, "Expires: 300\r\n");
    assert_eq!(
        state(&world),
        Some(RegistrationState::Registered { expires: 300 })
    );
    assert_eq!(
        noted(&world, "pbx: sip:1000@192.0.2.10 is registered for 300 s"),
        1
    );
    let mut refresh = Vec::new();
    for _ in 0..280 {
        world.advance(Duration::from_secs(1));
        refresh.extend(sent(&mut world, "REGISTER"));
        if !refresh.is_empty() {
            break;
        }
    }
    answer(&mut world, &refresh[0], 200, "Expires: 300\r\n");
    assert_eq!(noted(&world, "is registered"), 1, "one line a change");

    world.gateway.stop(world.now);
    world.settle();
    assert!(!world.gateway.is_idle());
    let gone = sent(&mut world, "REGISTER");
    assert!(gone[0].1.contains("Expires: 0\r\n"), "{}", gone[0].1);
    answer(&mut world, &gone[0], 200, "");
    assert!(world.gateway.is_idle());
    assert_eq!(noted(&world, "is not registered"), 1);
    assert_eq!(noted(&world, "hunter2"), 0);
    world.advance(Duration::from_secs(600));
    assert!(sent(&mut world, "REGISTER").is_empty());
}

#[test]
fn a_failure_is_a_warning_with_its_words() {
    let mut world = World::new(registering(Host::Ip(pbx().ip())));
    world.advance(Duration::from_millis(1));
    let register = sent(&mut world, "REGISTER");
    answer(&mut world, &register[0], 404, "");
    let warned = world
        .outlet
        .notes
        .iter()
        .find(|(level, _)| *level == Level::Warn);
    let (_, words) = warned.expect("a warning");
    assert!(
        words.starts_with(
            "pbx: sip:1000@192.0.2.10 could not be registered: \
             192.0.2.10:5060 over UDP answered 404 Whatever; again in"
        ),
        "{words}"
    );
}

#[test]
fn a_registrar_known_by_name_is_registered_at_once_it_is_found() {
    let mut world = World::new(registering(Host::Name("pbx.example".into())));
    world.advance(Duration::from_secs(5));
    assert!(sent(&mut world, "REGISTER").is_empty());
    assert_eq!(state(&world), None);
    world.gateway.look_up_pbxs(&mut world.outlet);
    let (id, ..) = world.outlet.look_ups.pop().unwrap();
    world
        .gateway
        .handle_looked_up(world.now, id, Ok(&[target(pbx())]));
    world.settle();
    let register = sent(&mut world, "REGISTER");
    assert_eq!(register[0].0, pbx());
    assert!(
        register[0]
            .1
            .starts_with("REGISTER sip:pbx.example SIP/2.0\r\n")
    );
    answer(&mut world, &register[0], 500, "");
    // It has moved: there is no reason to wait.
    let other: SocketAddr = "192.0.2.11:5070".parse().unwrap();
    world
        .gateway
        .handle_looked_up(world.now, id, Ok(&[target(other)]));
    world.advance(Duration::from_millis(10));
    let register = sent(&mut world, "REGISTER");
    assert_eq!(register[0].0, other);
}

#[test]
fn an_outbound_proxy_known_by_name_is_looked_up_and_gone_through() {
    let mut config = registering(Host::Ip(pbx().ip()));
    config.trunks[0].outbound_proxy = Some("edge.example:5080".parse().unwrap());
    let mut world = World::new(config);
    assert!(world.gateway.has_names());
    world.advance(Duration::from_secs(1));
    assert!(sent(&mut world, "REGISTER").is_empty());
    world.gateway.look_up_pbxs(&mut world.outlet);
    let (id, host, port) = world.outlet.look_ups.pop().unwrap();
    assert_eq!((&*host, port), ("edge.example", Some(5_080)));
    let edge: SocketAddr = "192.0.2.40:5080".parse().unwrap();
    world
        .gateway
        .handle_looked_up(world.now, id, Ok(&[target(edge)]));
    world.settle();
    let register = sent(&mut world, "REGISTER");
    assert_eq!(register[0].0, edge);
    assert!(
        register[0]
            .1
            .contains("Route: <sip:edge.example:5080;lr>\r\n")
    );
    assert!(
        register[0]
            .1
            .starts_with("REGISTER sip:192.0.2.10 SIP/2.0\r\n")
    );
}

#[test]
fn another_block_is_registered_anew_and_the_same_one_is_left_alone() {
    let config = registering(Host::Ip(pbx().ip()));
    let mut world = World::new(config.clone());
    world.advance(Duration::from_millis(1));
    let register = sent(&mut world, "REGISTER");
    answer(&mut world, &register[0], 200, "Expires: 300\r\n");
    world.gateway.reload(config.clone()).unwrap();
    world.settle();
    assert!(sent(&mut world, "REGISTER").is_empty());

    let mut changed = config.clone();
    changed.trunks[0].register.as_mut().unwrap().login = "2000".into();
    world.gateway.reload(changed.clone()).unwrap();
    world.settle();
    let both = sent(&mut world, "REGISTER");
    assert_eq!(both.len(), 2);
    assert!(both[0].1.contains("<sip:1000@") && both[0].1.contains("Expires: 0\r\n"));
    assert!(both[1].1.contains("<sip:2000@") && both[1].1.contains("Expires: 600\r\n"));
    answer(&mut world, &both[0], 200, "");
    answer(&mut world, &both[1], 200, "Expires: 300\r\n");
    assert_eq!(
        state(&world),
        Some(RegistrationState::Registered { expires: 300 })
    );

    changed.trunks[0].register = None;
    world.gateway.reload(changed).unwrap();
    world.settle();
    let gone = sent(&mut world, "REGISTER");
    assert!(gone[0].1.contains("<sip:2000@") && gone[0].1.contains("Expires: 0\r\n"));
    assert_eq!(state(&world), None);
}

#[test]
fn the_state_of_every_pbx_is_known_and_noted() {
    let mut config = config(4, None);
    let trunk = &mut config.trunks[0];
    trunk.proxy = Some(Host::Ip(pbx().ip()));
    let second: SocketAddr = "192.0.2.11:5062".parse().unwrap();
    trunk.targets = vec![HostPort::new(Host::Ip(second.ip()), Some(second.port()))];
    trunk.ping = Some(Duration::from_secs(60));
    let mut world = World::new(config.clone());
    world.answers = false;
    world.advance(Duration::from_millis(500));
    let asked = sent(&mut world, "OPTIONS");
    assert_eq!(asked[0].0, pbx());
    assert!(asked.iter().any(|(to, _)| *to == second));
    answer(&mut world, &asked[0], 405, "");
    world.advance(Duration::from_secs(10));
    let peers: Vec<_> = world.gateway.trunks().next().unwrap().peers().collect();
    let alive = PeerState::Alive { code: 405 };
    assert_eq!(
        peers,
        [(target(pbx()), alive), (target(second), PeerState::Silent)]
    );
    assert_eq!(
        noted(
            &world,
            "pbx: 192.0.2.10:5060 over UDP answers OPTIONS with 405"
        ),
        1
    );
    assert_eq!(
        noted(
            &world,
            "pbx: 192.0.2.11:5062 over UDP does not answer OPTIONS"
        ),
        1
    );

    config.trunks[0].ping = None;
    world.gateway.reload(config).unwrap();
    world.settle();
    sent(&mut world, "OPTIONS");
    world.advance(Duration::from_secs(300));
    assert!(sent(&mut world, "OPTIONS").is_empty());
}
