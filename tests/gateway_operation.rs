//! What an operator sees and does while calls are up.

mod gateway_support;
mod rtp_support;

use std::net::IpAddr;
use std::time::Duration;

use gateway_support::*;
use trunkcast::gateway::config::Host;

#[test]
fn lines_that_strangers_cause_come_from_other_places_than_those_of_calls() {
    let mut world = World::local(1);
    world.play("nobody");
    let of_strangers = std::mem::take(&mut world.outlet.origins);
    let mut phone = Phone::new("1");
    world.call(&mut phone);
    world.bye(&mut phone);
    world.advance(Duration::from_secs(3));
    assert!(!of_strangers.is_empty() && world.outlet.origins.len() >= 3);
    for origin in &of_strangers {
        assert!(!world.outlet.origins.contains(origin), "{origin}");
    }
}

#[test]
fn a_pbx_known_by_name_still_calls_after_the_file_is_read_again() {
    let mut config = config(4, None);
    config.trunks[0].proxy = Some(Host::Name("pbx.example".to_owned()));
    config.trunks[0].allow.clear();
    let mut world = World::new(config.clone());
    let address: IpAddr = "192.0.2.10".parse().unwrap();
    world.gateway.set_proxy(0, [address].into_iter());
    let mut up = Phone::new("1");
    world.call(&mut up);

    assert!(!world.gateway.reload(config.clone()).unwrap());
    // Names take a while to be resolved.
    assert_eq!(status(&world.bye(&mut up)[0]), 200);
    world.call(&mut Phone::new("2"));

    // Another name is another PBX.
    config.trunks[0].proxy = Some(Host::Name("other.example".to_owned()));
    world.gateway.reload(config).unwrap();
    assert!(world.invite(&mut Phone::new("3")).is_empty());
}
