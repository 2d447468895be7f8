//! Whatever comes in, at whatever length and however changed: no panic, tables that agree, and a
//! gateway that still answers a call.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use trunkcast::base::codec::Track;
use trunkcast::base::rng::Rng;
use trunkcast::gateway::ConnectionKind;
use trunkcast::gateway::outlet::MediaPort;

const SECOND: Duration = Duration::from_secs(1);

/// The gateway is whole and answers a fresh call with a stream.
fn assert_alive(mut world: World) {
    world.gateway.check_invariants();
    let counters = *world.gateway.counters();
    let crashed = (
        counters.calls_crashed,
        counters.players_crashed,
        counters.inputs_crashed,
    );
    assert_eq!(crashed, (0, 0, 0), "a panic was contained");
    // Whatever was left half open is over by then.
    world.advance(120 * SECOND);
    world.checks = true;
    let mut phone = Phone::new("fresh");
    world.call(&mut phone);
    let player = world.play("rtmp_fresh");
    let mut camera = Camera::new(9);
    camera.film(&mut world, &phone, 2 * SECOND);
    assert!(world.players[player].pictures().0 >= 49);
    assert!(world.server().pictures() >= 49);
    world.bye(&mut phone);
    world.advance(120 * SECOND);
}

fn quiet_world(calls: usize) -> World {
    let mut world = World::publishing(calls);
    world.checks = false;
    world.outlet.forgetful = true;
    world
}

/// A call that is up and streams.
fn streaming_world() -> (World, Phone, Camera) {
    let mut world = quiet_world(8);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, SECOND);
    (world, phone, camera)
}

#[test]
fn invites() {
    let mut world = quiet_world(8);
    let whole = Phone::new("4711").invite().into_bytes();
    let mut rng = Rng::from_number(1);
    let from = PHONE.parse().unwrap();
    for length in 0..whole.len() {
        world.sip(from, &whole[..length]);
    }
    for _ in 0..4_000 {
        let bytes = mutate(&whole, &mut rng);
        world.sip(from, bytes);
        world.inbox.clear();
        if rng.below(20) == 0 {
            world.advance(SECOND);
            world.gateway.check_invariants();
        }
    }
    assert_alive(world);
}

#[test]
fn offers_in_well_formed_invites() {
    let mut world = quiet_world(8);
    let mut rng = Rng::from_number(2);
    let whole = Phone::new("4711").sdp;
    let (mut answered, mut refused) = (0, 0);
    for at in 0..whole.len() + 2_000 {
        let mut phone = Phone::new("4711");
        phone.call_id = format!("{at}@hostile");
        let sdp = match whole.as_bytes().get(..at) {
            Some(cut) if at < whole.len() => cut.to_vec(),
            _ => mutate(whole.as_bytes(), &mut rng),
        };
        phone.sdp = String::from_utf8_lossy(&sdp).into_owned();
        let answers = world.invite(&mut phone);
        let last = answers.last().unwrap().clone();
        if status(&last) == 200 {
            answered += 1;
            let ack = phone.ack("");
            world.sip(phone.remote, ack);
            let sound = Camera::new(1).sound();
            world.media(&phone, Track::Audio, &sound);
            // Without an offer, the ACK without an answer has ended it.
            world.bye(&mut phone);
        } else {
            refused += 1;
            let ack = phone.ack_refusal(&last);
            world.sip(phone.remote, ack);
        }
        if at % 16 == 0 {
            world.advance(SECOND);
        }
        world.servers.clear();
        world.inbox.clear();
        world.gateway.check_invariants();
    }
    assert!(
        answered > 500 && refused > 100,
        "{answered} answered, {refused} refused"
    );
    assert_alive(world);
}

#[test]
fn offers_within_a_call() {
    let (mut world, mut phone, _) = streaming_world();
    let mut rng = Rng::from_number(3);
    let whole = phone.offer("sendrecv", true);
    let sound = Camera::new(1).sound();
    for at in 0..whole.len() + 1_500 {
        let sdp = match whole.as_bytes().get(..at) {
            Some(cut) if at < whole.len() => cut.to_vec(),
            _ => mutate(whole.as_bytes(), &mut rng),
        };
        let sdp = String::from_utf8_lossy(&sdp).into_owned();
        if sdp.is_empty() {
            continue;
        }
        let answer = world.reinvite(&mut phone, &sdp);
        assert!(status(&answer) >= 200, "{answer}");
        world.inbox.clear();
        world.gateway.check_invariants();
        if at % 16 == 0 {
            // A caller that nothing comes from would be hung up.
            world.media(&phone, Track::Audio, &sound);
            world.advance(SECOND);
        }
    }
    // The same call, whatever was said in it, and the camera is back with a good offer.
    let answer = world.reinvite(&mut phone, &whole);
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(world.find("rtmp_4711").is_some());
    world.bye(&mut phone);
    assert_alive(world);
}

#[test]
fn every_other_request_and_answer() {
    let (mut world, mut phone, _) = streaming_world();
    let mut rng = Rng::from_number(4);
    let from = phone.remote;
    let bye = phone.request("BYE").into_bytes();
    let messages = [
        phone.ack("").into_bytes(),
        phone.cancel().into_bytes(),
        phone.request("INFO").into_bytes(),
        phone.request("OPTIONS").into_bytes(),
        phone.reinvite("").into_bytes(),
        bye,
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:40000;branch=z9hG4bK1\r\nCSeq: 1 BYE\r\n\r\n"
            .to_vec(),
    ];
    for message in &messages {
        for length in 0..message.len() {
            world.sip(from, &message[..length]);
        }
        for _ in 0..300 {
            let bytes = mutate(message, &mut rng);
            world.sip(from, bytes);
        }
        world.advance(SECOND);
        world.inbox.clear();
        world.gateway.check_invariants();
    }
    assert_alive(world);
}

#[test]
fn sip_streams() {
    let mut world = quiet_world(8);
    let mut rng = Rng::from_number(5);
    let mut phone = Phone::new("4711");
    phone.transport = "TCP";
    let whole = [phone.invite(), phone.ack(""), phone.request("BYE")].concat();
    for at in 0..600 {
        let conn = world.sip_connect(phone.remote);
        let bytes = if at < 300 {
            whole.as_bytes()[..at * whole.len() / 300].to_vec()
        } else {
            mutate(whole.as_bytes(), &mut rng)
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(1 + rng.below(700) as usize));
            rest = after;
            world.sip_stream(conn, piece);
        }
        if world.outlet.is_open(conn) {
            world.disconnect(conn, "closed by the peer");
        }
        world.inbox.clear();
        if at % 8 == 0 {
            world.advance(SECOND);
        }
        world.gateway.check_invariants();
    }
    assert_alive(world);
}

#[test]
fn media_and_control() {
    let (mut world, phone, mut camera) = streaming_world();
    let mut rng = Rng::from_number(6);
    for round in 0..120 {
        let mut packets: Vec<(Track, bool, Vec<u8>)> = Vec::new();
        for bytes in camera.video.picture(round % 10 == 0) {
            packets.push((Track::Video, false, bytes));
        }
        packets.push((Track::Audio, false, camera.sound()));
        packets.push((Track::Audio, true, sender_report(world.now, 5, round)));
        packets.push((Track::Video, true, sender_report(world.now, 7, round)));
        packets.push((Track::Video, true, vec![0x81, 203, 0, 1, 0, 0, 0, 7]));
        for (track, rtcp, bytes) in packets {
            let send = |world: &mut World, bytes: &[u8]| {
                if rtcp {
                    world.rtcp(&phone, track, bytes);
                } else {
                    world.media(&phone, track, bytes);
                }
            };
            // Every length once in a while, changed copies always.
            if round % 40 == 0 {
                for length in 0..bytes.len() {
                    send(&mut world, &bytes[..length]);
                }
            }
            for _ in 0..4 {
                let changed = mutate(&bytes, &mut rng);
                if changed.len() <= trunkcast::limits::PACKET_BYTES {
                    send(&mut world, &changed);
                }
            }
        }
        world.advance(Duration::from_millis(40));
        world.gateway.check_invariants();
    }
    // A place and track that there are not.
    for index in [1, 7, 8, u16::MAX] {
        let packet = world.pool.copy_from(&[0x80; 20]).unwrap();
        let index = trunkcast::gateway::outlet::CallIndex(index);
        let from = phone.media_source(Track::Audio);
        world
            .gateway
            .handle_media(world.now, index, Track::Audio, MediaPort::Rtp, from, packet);
    }
    assert!(world.gateway.counters().stray_packets >= 4);
    let mut phone = phone;
    world.bye(&mut phone);
    assert_eq!(world.pool.available(), world.pool.capacity());
    assert_alive(world);
}

/// What a server says to a publisher, up to the accepted stream and an acknowledgement.
fn server_bytes() -> Vec<u8> {
    let mut world = World::publishing(1);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    world.server().said.clone()
}

#[test]
fn servers_of_rtmp() {
    let whole = server_bytes();
    assert!(whole.len() > 3_200);
    let mut rng = Rng::from_number(7);
    let mut world = quiet_world(4);
    world.policy = Policy::Mute;
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let mut camera = Camera::new(1);
    let (mut at, mut seen) = (0, None);
    while at < 240 {
        camera.film(&mut world, &phone, Duration::from_millis(100));
        let now = world.servers.last().map(|server| server.conn);
        if now == seen {
            continue;
        }
        seen = now;
        // Those of connections that are over are of no more use.
        world.servers.drain(..world.servers.len() - 1);
        at += 1;
        // A handshake alone says nothing; behind it every length counts.
        let bytes = if at < 120 {
            whole[..3_000 + at * (whole.len() - 3_000) / 120].to_vec()
        } else {
            let (greeting, talk) = whole.split_at(3_073);
            [greeting, &mutate(talk, &mut rng)].concat()
        };
        let conn = world.server().conn;
        world
            .gateway
            .handle_stream(world.now, conn, &bytes, &mut world.outlet);
        world.settle();
        camera.film(&mut world, &phone, Duration::from_millis(40));
        world.gateway.check_invariants();
        if world.outlet.is_open(conn) {
            world.disconnect(conn, "Connection reset by peer");
        }
        // Waits between attempts are not what this is about.
        world.advance(SECOND);
        if at % 10 == 0 {
            world.bye(&mut phone);
            phone = Phone::new(&format!("number{at}"));
            world.call(&mut phone);
        }
    }
    world.bye(&mut phone);
    world.policy = Policy::Accept;
    assert_alive(world);
}

#[test]
fn players_of_rtmp() {
    let (mut world, phone, mut camera) = streaming_world();
    let player = world.play("rtmp_4711");
    let whole = world.players[player].said.clone();
    assert!(whole.len() > 3_200, "{}", whole.len());
    let mut rng = Rng::from_number(8);
    for at in 0..900 {
        let conn = world.outlet.accept();
        let remote = "192.0.2.60:1000".parse().unwrap();
        let kind = ConnectionKind::Player;
        let (now, outlet) = (world.now, &mut world.outlet);
        assert!(
            world
                .gateway
                .handle_accepted(now, conn, kind, remote, outlet)
        );
        let bytes = if at < 400 {
            whole[..3_000 + at * (whole.len() - 3_000) / 400].to_vec()
        } else {
            let (greeting, talk) = whole.split_at(3_073);
            [greeting, &mutate(talk, &mut rng)].concat()
        };
        for piece in bytes.chunks(1 + rng.below(2_000) as usize) {
            world
                .gateway
                .handle_stream(world.now, conn, piece, &mut world.outlet);
        }
        camera.film(&mut world, &phone, Duration::from_millis(20));
        world.gateway.check_invariants();
        if rng.below(2) == 0 && world.outlet.is_open(conn) {
            world.disconnect(conn, "closed by the peer");
        }
        if at % 50 == 0 {
            world.advance(15 * SECOND);
        }
    }
    // The first player has seen nothing of it.
    let before = world.players[player].pictures().0;
    camera.film(&mut world, &phone, 2 * SECOND);
    assert!(world.players[player].pictures().0 >= before + 25);
    let mut phone = phone;
    world.bye(&mut phone);
    assert_alive(world);
}
