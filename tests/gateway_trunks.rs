//! Another configuration while calls are up: trunks that come, go, move and change their names.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::{Phone, World, config, status};
use trunkcast::base::network::Transport;
use trunkcast::gateway::config::{Config, Host, Trunk};
use trunkcast::gateway::status::CallStatus;
use trunkcast::limits::{TRUNK_PLACES, TRUNKS};
use trunkcast::sip::SipTarget;

fn trunk(name: &str, port: u16) -> Trunk {
    Trunk {
        name: name.to_owned(),
        local_port: port,
        ..config(4, None).trunks.remove(0)
    }
}

fn with(trunks: Vec<Trunk>) -> Config {
    Config {
        trunks,
        ..config(4, None)
    }
}

/// Has the gateway take another configuration; none of these needs a new start.
fn reload(world: &mut World, trunks: Vec<Trunk>) {
    assert_eq!(world.gateway.reload(with(trunks)), Ok(false));
    world.settle();
}

fn names(world: &World) -> Vec<&str> {
    world.gateway.trunks().map(|trunk| trunk.name()).collect()
}

#[test]
fn a_new_trunk_takes_calls_at_once_and_the_old_one_goes_on() {
    let mut world = World::local(4);
    let mut old = Phone::new("1");
    world.call(&mut old);

    reload(
        &mut world,
        vec![trunk("pbx", 40_000), trunk("second", 40_002)],
    );
    assert_eq!(world.outlet.sip_ports.get(&1), Some(&40_002));
    assert_eq!(names(&world), ["pbx", "second"]);
    assert_eq!(world.notes("second: port 40002 is open").len(), 1);
    world.trunk = 1;
    let mut new = Phone::new("2");
    world.call(&mut new);
    let calls: Vec<usize> = world.gateway.trunks().map(|it| it.calls()).collect();
    assert_eq!(calls, [1, 1]);
    world.bye(&mut new);
    world.trunk = 0;
    assert_eq!(status(&world.bye(&mut old)[0]), 200);
}

#[test]
fn a_trunk_that_is_gone_keeps_its_calls_and_takes_no_more() {
    let mut world = World::new(with(vec![trunk("pbx", 40_000), trunk("second", 40_002)]));
    world.trunk = 1;
    let mut up = Phone::new("1");
    world.call(&mut up);

    reload(&mut world, vec![trunk("pbx", 40_000)]);
    assert_eq!(names(&world), ["pbx"]);
    let refused = world.invite(&mut Phone::new("2"));
    assert_eq!(status(refused.last().unwrap()), 503);
    world.advance(Duration::from_secs(30));
    let call = world.find("rtmp_1").expect("it is still up");
    assert_eq!(call.status, CallStatus::Established);
    assert!(world.notes("second: port 40002 is closed").is_empty());

    assert_eq!(status(&world.bye(&mut up)[0]), 200);
    world.advance(Duration::from_secs(30));
    assert_eq!(world.notes("second: port 40002 is closed").len(), 1);
    // The place is nobody's: whoever still sends there gets no answer.
    assert!(world.invite(&mut Phone::new("3")).is_empty());
    world.gateway.check_invariants();
}

#[test]
fn a_trunk_with_another_name_is_the_same_one() {
    let mut world = World::local(4);
    let mut up = Phone::new("1");
    world.call(&mut up);
    reload(&mut world, vec![trunk("lobby", 40_000)]);
    assert_eq!(names(&world), ["lobby"]);
    world.call(&mut Phone::new("2"));
    assert_eq!(status(&world.bye(&mut up)[0]), 200);
    assert!(world.notes("lobby 2->2").len() <= world.notes("lobby").len());
    assert!(world.outlet.sip_ports.is_empty(), "no port was opened");
}

#[test]
fn a_trunk_that_moves_leaves_its_calls_at_the_old_port() {
    let mut world = World::local(4);
    let mut up = Phone::new("1");
    world.call(&mut up);
    reload(&mut world, vec![trunk("pbx", 40_010)]);
    assert_eq!(names(&world), ["pbx"]);
    world.trunk = 1;
    let mut new = Phone::new("2");
    world.call(&mut new);
    world.trunk = 0;
    assert_eq!(status(&world.bye(&mut up)[0]), 200);
    world.advance(Duration::from_secs(30));
    assert_eq!(world.notes("pbx: port 40000 is closed").len(), 1);
    // And back again, into the place that is free now.
    reload(&mut world, vec![trunk("pbx", 40_000)]);
    assert_eq!(world.outlet.sip_ports.get(&0), Some(&40_000));
    world.call(&mut Phone::new("3"));
}

#[test]
fn a_port_that_is_taken_is_tried_until_it_is_free() {
    let mut world = World::local(4);
    world.outlet.taken_ports.push(40_002);
    reload(
        &mut world,
        vec![trunk("pbx", 40_000), trunk("second", 40_002)],
    );
    world.advance(Duration::from_secs(30));
    assert_eq!(names(&world), ["pbx"]);
    let waiting = world.gateway.waiting_trunks();
    let waiting: Vec<_> = waiting.map(|(it, why)| (it.name.as_str(), why)).collect();
    assert_eq!(waiting, [("second", "Address already in use")]);
    assert_eq!(world.notes("second: port 40002").len(), 1, "told once");
    world.outlet.taken_ports.clear();
    world.advance(Duration::from_secs(6));
    assert_eq!(names(&world), ["pbx", "second"]);
    assert_eq!(world.gateway.waiting_trunks().count(), 0);
}

#[test]
fn another_transport_at_the_same_port_waits_for_the_calls_there() {
    let mut world = World::local(4);
    let mut up = Phone::new("1");
    world.call(&mut up);
    let mut tls = trunk("pbx", 40_000);
    tls.transport = Transport::Tls;
    reload(&mut world, vec![tls]);
    world.advance(Duration::from_secs(30));
    assert!(world.outlet.sip_ports.is_empty());
    assert_eq!(world.notes("port 40000 is not open yet: calls").len(), 1);
    assert_eq!(status(&world.bye(&mut up)[0]), 200);
    world.advance(Duration::from_secs(30));
    assert_eq!(world.outlet.sip_ports.get(&0), Some(&40_000));
    assert_eq!(names(&world), ["pbx"]);
}

#[test]
fn a_trunk_that_comes_back_while_its_calls_last_is_as_before() {
    let mut world = World::local(4);
    let mut up = Phone::new("1");
    world.call(&mut up);
    reload(&mut world, vec![trunk("other", 40_020)]);
    let refused = world.invite(&mut Phone::new("2"));
    assert_eq!(status(refused.last().unwrap()), 503);
    reload(&mut world, vec![trunk("pbx", 40_000)]);
    world.call(&mut Phone::new("3"));
    assert_eq!(status(&world.bye(&mut up)[0]), 200);
    world.advance(Duration::from_secs(30));
    assert_eq!(names(&world), ["pbx"]);
}

#[test]
fn places_are_used_again_however_often_trunks_change() {
    let mut world = World::local(4);
    for round in 0..100_u16 {
        let trunks =
            (0..TRUNKS as u16).map(|at| trunk(&format!("t{at}"), 41_000 + round % 2 * 100 + at));
        reload(&mut world, trunks.collect());
        world.advance(Duration::from_secs(10));
        assert_eq!(world.gateway.trunks().count(), TRUNKS, "round {round}");
        world.gateway.check_invariants();
    }
    assert!(world.outlet.sip_ports.keys().all(|at| *at < TRUNK_PLACES));
}

#[test]
fn an_address_that_was_looked_up_for_another_pbx_may_not_call() {
    let named = |name: &str| {
        let mut trunk = trunk("pbx", 40_000);
        trunk.proxy = Some(Host::Name(name.to_owned()));
        trunk.allow.clear();
        trunk
    };
    let mut world = World::new(with(vec![named("old.example")]));
    world.gateway.look_up_pbxs(&mut world.outlet);
    let (id, ..) = world.outlet.look_ups.pop().unwrap();
    reload(&mut world, vec![named("new.example")]);
    let target = SipTarget {
        transport: Transport::Udp,
        address: "192.0.2.10:5060".parse().unwrap(),
    };
    world.gateway.handle_looked_up(world.now, id, Ok(&[target]));
    assert!(world.invite(&mut Phone::new("1")).is_empty());
}

#[test]
fn other_session_timers_hold_for_calls_to_come() {
    let mut world = World::local(4);
    let mut without = trunk("pbx", 40_000);
    without.session_timer = None;
    let before = world.invite(&mut Phone::new("1"));
    assert!(before.last().unwrap().contains("timer"), "{before:?}");
    reload(&mut world, vec![without]);
    let after = world.invite(&mut Phone::new("2"));
    assert!(!after.last().unwrap().contains("timer"), "{after:?}");
}
