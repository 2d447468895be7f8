//! What is full refuses at once and in the way that the protocol has for it, and serves again when
//! there is room again.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use trunkcast::limits::{PLAYERS, PLAYERS_A_CALL};

const SECOND: Duration = Duration::from_secs(1);

/// Places a call that is to be refused; the final answer, which is acknowledged.
fn refused(world: &mut World, phone: &mut Phone) -> String {
    let before = world.now;
    let answers = world.invite(phone);
    assert_eq!(world.now, before, "a refusal that waits");
    let last = answers.last().unwrap().clone();
    assert!(status(&last) >= 400, "{last}");
    let ack = phone.ack_refusal(&last);
    world.sip(phone.remote, ack);
    last
}

#[test]
fn one_call_too_many_gets_503_and_a_time_to_try_again() {
    let mut world = World::publishing(2);
    let mut phones = ["1", "2", "3"].map(Phone::new);
    world.call(&mut phones[0]);
    world.call(&mut phones[1]);
    let answer = refused(&mut world, &mut phones[2]);
    assert_eq!(status(&answer), 503);
    let retry: u32 = headers(&answer, "Retry-After")[0].parse().unwrap();
    assert!((1..=60).contains(&retry));
    assert_eq!(world.gateway.counters().calls_refused, 1);
    assert_eq!(world.gateway.usage().calls, 2);

    assert_eq!(status(&world.bye(&mut phones[0])[0]), 200);
    // The stream is unpublished at once, so its place is free at once.
    let mut again = Phone::new("33");
    world.call(&mut again);
    assert_eq!(world.gateway.usage().calls, 2);
    assert_eq!(world.gateway.counters().calls, 3);
}

#[test]
fn without_a_free_port_a_call_gets_503_and_leaves_nothing_open() {
    let mut config = config(8, None);
    config.media.ports = "31000-31005".parse().unwrap();
    let mut world = World::new(config);
    let mut phones = ["1", "2", "3"].map(Phone::new);
    world.call(&mut phones[0]);
    // One pair is left, and audio with video needs two.
    let answer = refused(&mut world, &mut phones[1]);
    assert_eq!(status(&answer), 503);
    assert!(!headers(&answer, "Retry-After").is_empty());
    assert_eq!(world.gateway.usage().ports, 2);
    assert_eq!(world.gateway.usage().calls, 1);
    // Sound alone fits.
    phones[2].sdp = phones[2].offer("sendrecv", false);
    world.call(&mut phones[2]);
    world.bye(&mut phones[0]);
    world.bye(&mut phones[2]);
    assert_eq!(world.gateway.usage().ports, 0);
    let mut again = Phone::new("11");
    world.call(&mut again);
}

#[test]
fn a_port_that_another_program_has_is_passed_over() {
    let mut config = config(8, None);
    config.media.ports = "31000-31009".parse().unwrap();
    let mut world = World::new(config);
    world.outlet.taken_ports = vec![31_000, 31_004];
    let mut phone = Phone::new("1");
    world.call(&mut phone);
    assert_eq!(
        (phone.audio_port, phone.video_port),
        (Some(31_002), Some(31_006))
    );
    assert_eq!(world.gateway.usage().ports, 2);

    world.outlet.taken_ports = (31_000..31_010).collect();
    let mut other = Phone::new("2");
    assert_eq!(status(&refused(&mut world, &mut other)), 503);
    assert_eq!(world.gateway.usage().ports, 2);
}

#[test]
fn a_second_call_for_a_stream_name_is_busy_until_the_first_is_over() {
    let mut world = World::publishing(4);
    let mut first = Phone::new("4711");
    world.call(&mut first);
    let mut second = Phone::new("4711");
    second.call_id = "another@192.0.2.10".into();
    let answer = refused(&mut world, &mut second);
    assert_eq!(status(&answer), 486);
    assert_eq!(world.gateway.usage().calls, 1);
    world.bye(&mut first);
    let mut third = Phone::new("4711");
    third.call_id = "third@192.0.2.10".into();
    world.call(&mut third);
}

#[test]
fn a_stream_may_have_so_many_players_and_no_more() {
    let mut world = World::local(2);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let places: Vec<_> = (0..=PLAYERS_A_CALL)
        .map(|_| world.play("rtmp_4711"))
        .collect();
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, SECOND);
    let (last, taken) = places.split_last().unwrap();
    for place in taken {
        assert!(world.players[*place].pictures().0 > 20);
    }
    assert!(
        world.players[*last]
            .end()
            .unwrap()
            .contains("StreamNotFound")
    );
    assert_eq!(world.gateway.usage().players, PLAYERS_A_CALL);
    // One leaves, another comes.
    let leaving = world.players[taken[0]].conn;
    world.players[taken[0]].connected = false;
    world.disconnect(leaving, "closed by the peer");
    let again = world.play("rtmp_4711");
    camera.film(&mut world, &phone, SECOND);
    assert!(world.players[again].pictures().0 > 0);
}

#[test]
fn a_full_table_of_players_turns_connections_away() {
    let mut world = World::local(1);
    world.checks = false;
    for _ in 0..PLAYERS {
        // Asks for nothing yet.
        let conn = world.outlet.accept();
        let remote = "192.0.2.60:1000".parse().unwrap();
        let kind = trunkcast::gateway::ConnectionKind::Player;
        assert!(
            world
                .gateway
                .handle_accepted(world.now, conn, kind, remote, &mut world.outlet)
        );
    }
    let place = world.play("rtmp_4711");
    assert!(!world.players[place].connected);
    assert_eq!(world.gateway.counters().players_refused, 1);
    assert_eq!(world.gateway.usage().players, PLAYERS);
    // Those who ask for nothing are sent away in their turn.
    world.advance(Duration::from_secs(11));
    assert_eq!(world.gateway.usage().players, 0);
    assert_eq!(world.outlet.connections(), 0);
    world.checks = true;
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let place = world.play("rtmp_4711");
    Camera::new(1).film(&mut world, &phone, SECOND);
    assert!(world.players[place].pictures().0 > 20);
}

#[test]
fn a_full_table_of_connections_delays_the_stream_and_not_the_call() {
    let mut world = World::publishing(1);
    world.outlet.no_connections = true;
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, SECOND);
    assert!(world.servers.is_empty());
    assert_eq!(world.notes("RTMP_CONNECTION_FAILED").len(), 1);
    world.outlet.no_connections = false;
    camera.film(&mut world, &phone, 20 * SECOND);
    assert!(world.server().pictures() > 100);
}

#[test]
fn who_stops_refuses_calls_and_ends_those_that_are_up() {
    let mut world = World::publishing(4);
    let mut phones = ["1", "2", "3"].map(Phone::new);
    world.call(&mut phones[0]);
    world.call(&mut phones[1]);
    let player = world.play("rtmp_1");
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phones[0], SECOND);
    world.gateway.stop(world.now);
    world.settle();
    for phone in &phones[..2] {
        let heard = world.take(phone);
        assert!(
            heard.iter().any(|text| text.starts_with("BYE ")),
            "{heard:?}"
        );
    }
    assert_eq!(status(&refused(&mut world, &mut phones[2])), 503);
    assert!(world.gateway.is_idle(), "{:?}", world.gateway.usage());
    assert_eq!(world.players[player].end(), Some("the stream is over"));
    for server in &world.servers {
        assert!(
            server
                .commands()
                .ends_with(&["FCUnpublish", "deleteStream"])
        );
    }
    let usage = world.gateway.usage();
    assert_eq!((usage.calls, usage.connections, usage.ports), (0, 0, 0));
}

#[test]
fn a_burst_of_calls_that_find_no_room_is_no_burst_of_lines() {
    let mut world = World::local(1);
    world.call(&mut Phone::new("1000"));
    for number in 0..20 {
        let mut phone = Phone::new(&format!("20{number}"));
        assert_eq!(status(&refused(&mut world, &mut phone)), 503);
    }
    let words = "every call is taken; answered with 503: ";
    let told = |world: &World| -> Vec<String> {
        let notes = world.notes(words).into_iter();
        notes.map(str::to_owned).collect()
    };
    assert_eq!(told(&world).len(), 1);
    assert!(told(&world)[0].ends_with(": 1"), "{:?}", told(&world));
    world.advance(Duration::from_secs(11));
    assert_eq!(status(&refused(&mut world, &mut Phone::new("3000"))), 503);
    // The line that was due comes with whatever happens next.
    let second = &told(&world)[1];
    assert!(
        [": 19", ": 20"].iter().any(|end| second.ends_with(end)),
        "{second}"
    );
}
