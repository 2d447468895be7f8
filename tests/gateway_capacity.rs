//! What is full refuses at once and in the way that the protocol has for it.

mod gateway_support;
mod rtp_support;

use gateway_support::*;

#[test]
fn smoke() {
    let mut world = World::publishing(2);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let mut camera = Camera::new(1);
    world.play("rtmp_4711");
    camera.film(&mut world, &phone, std::time::Duration::from_secs(2));
    println!("{:?}", world.outlet.notes);
    println!("{} {} {:?} {}", world.server().pictures(), world.server().sounds(), world.players[0].pictures(), world.players[0].sounds());
    for c in world.gateway.calls() { println!("{:?} {:?}", c.publishing.as_ref().unwrap().publisher.media_counters(), c.session.stats(trunkcast::base::codec::Track::Audio)); }
    println!("{:?}", &world.server().heard[..12]);
    println!("{:?}", &world.players[0].events[..12]);
    println!("{:?}", world.bye(&mut phone));
    println!("{:?}", world.gateway.usage());
    world.advance(std::time::Duration::from_secs(60));
    println!("{:?} {:?}", world.gateway.usage(), world.outlet.notes);
    println!("{:?}", world.server().commands());
    println!("{:?}", world.players[0].end());
}
