//! Packet slots that one peer holds back are not missing to other calls.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use rtp_support::{PPS, SPS, VIDEO_TYPE, packet};
use trunkcast::base::codec::Track;
use trunkcast::limits::PLAYERS_A_CALL;

/// One picture's time at 25 a second.
const PICTURE: Duration = Duration::from_millis(40);

/// Large keyframes alone: about 40 packets each.
fn keyframes_only(seed: u64) -> Camera {
    let mut camera = Camera::new(seed);
    camera.keyframe_interval = 1;
    camera.video.room = 90_000;
    camera
}

#[test]
fn viewers_who_each_stall_within_another_keyframe_cost_no_packets() {
    let mut world = World::local(3);
    let mut phones = ["1", "2", "3"].map(Phone::new);
    for phone in &mut phones {
        world.call(phone);
    }
    let mut cameras = [keyframes_only(1), keyframes_only(2)];
    let mut slow = Vec::new();
    for round in 0..PLAYERS_A_CALL {
        for (at, camera) in cameras.iter_mut().enumerate() {
            let player = world.play(["rtmp_1", "rtmp_2"][at]);
            // The first picture, then a few bytes of the next one.
            camera.film(&mut world, &phones[at], PICTURE);
            let conn = world.players[player].conn;
            world.outlet.set_room(conn, 1_000 + round);
            camera.film(&mut world, &phones[at], PICTURE);
            slow.push(player);
        }
    }
    let watching = world.play("rtmp_3");
    let mut camera = Camera::new(3);
    camera.film(&mut world, &phones[2], Duration::from_secs(4));
    assert_eq!(world.pool_empty, 0, "packets that found no slot");
    assert!(world.players[watching].pictures().0 >= 98);
    assert!(world.pool.available() >= world.pool.capacity() / 8);
    // As many as there is room for stay.
    let left = slow.iter().filter(|at| world.players[**at].connected);
    assert!((4..slow.len()).contains(&left.count()));
}

#[test]
fn callers_who_send_pictures_without_end_cost_others_no_packets() {
    let mut world = World::local(5);
    let mut phones = ["1", "2", "3", "4", "5"].map(Phone::new);
    for phone in &mut phones {
        world.call(phone);
    }
    let watching = world.play("rtmp_5");
    let mut camera = Camera::new(3);
    for turn in 0..100_u16 {
        for phone in phones[..4].iter().filter(|_| turn < 11) {
            for piece in 0..40 {
                let sequence = turn * 40 + piece;
                let mut fragment = match sequence {
                    0 => [&[0, 0, 1], SPS, &[0, 0, 1], PPS].concat(),
                    1 => vec![0x7c, 0x85, 0x88, 0x80],
                    _ => vec![0x7c, 0x05, 0x88],
                };
                if sequence > 0 {
                    fragment.resize(1_000, 1);
                }
                let bytes = packet(VIDEO_TYPE, false, sequence, 9, 77, &fragment);
                world.media(phone, Track::Video, &bytes);
            }
        }
        camera.film(&mut world, &phones[4], PICTURE);
    }
    assert_eq!(world.pool_empty, 0, "packets that found no slot");
    assert!(world.players[watching].pictures().0 >= 98);
}
