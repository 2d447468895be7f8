//! Streams that are pushed to further RTMP servers: each has a connection and a backlog of its own,
//! may be silenced, and ends with its stream.

mod gateway_support;
mod rtp_support;

use std::rc::Rc;
use std::time::Duration;

use gateway_support::callee::Callee;
use gateway_support::handset::{Handset, Picture, Sound, phone_of};
use gateway_support::*;
use trunkcast::base::codec::{CodecConfig, Track};
use trunkcast::base::redact::Secret;
use trunkcast::gateway::config::rtmp_url;
use trunkcast::gateway::outgoing::CallRequest;
use trunkcast::gateway::pushes::{PushIndex, PushRefused, PushRequest, PushTarget, PushVoice};
use trunkcast::limits::PUSHES;
use trunkcast::rtmp::{PreparedSound, RtmpStatus};
use trunkcast::wire::rtmp_message::kind;

const SECOND: Duration = Duration::from_secs(1);

fn request(stream: &str, host: &str) -> PushRequest {
    let given = format!("rtmp://{host}/live");
    PushRequest {
        stream: stream.to_owned(),
        target: PushTarget {
            url: rtmp_url(&given).unwrap(),
            name: Secret::new(format!("rtmp_{stream}")),
            given: Secret::new(given),
            is_whole: false,
        },
        voice: PushVoice::default(),
    }
}

fn push(world: &mut World, request: PushRequest) -> Result<PushIndex, PushRefused> {
    let now = world.now;
    let pushed = world.gateway.start_push(now, request, &mut world.outlet);
    world.settle();
    pushed
}

/// A call whose stream stays on the box until it is pushed.
fn local() -> (World, Phone) {
    let mut world = World::local(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    (world, phone)
}

fn status(world: &World, at: PushIndex) -> RtmpStatus {
    let mut pushes = world.gateway.pushes();
    let (_, push) = pushes.find(|(place, _)| *place == at).expect("a push");
    push.status()
}

#[test]
fn three_servers_get_the_same_stream_and_a_farewell_each() {
    let (mut world, mut phone) = local();
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, SECOND);
    let pushes: Vec<_> = (1..=3)
        .map(|at| {
            push(
                &mut world,
                request("rtmp_4711", &format!("198.51.100.{at}")),
            )
            .unwrap()
        })
        .collect();
    camera.film(&mut world, &phone, 4 * SECOND);
    for at in &pushes {
        assert_eq!(status(&world, *at), RtmpStatus::Active);
    }
    assert_eq!(world.servers.len(), 3);
    let heard: Vec<_> = world.servers.iter().map(|server| server.media()).collect();
    assert!(heard[0].len() > 200, "{}", heard[0].len());
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0], heard[2]);
    assert_eq!(world.servers[0].names, ["rtmp_rtmp_4711"]);
    world.bye(&mut phone);
    world.advance(2 * SECOND);
    for server in &world.servers {
        let commands = server.commands();
        assert!(
            commands.ends_with(&["FCUnpublish", "deleteStream"]),
            "{commands:?}"
        );
        assert!(!world.outlet.is_open(server.conn));
    }
    assert_eq!(world.gateway.usage().pushes, 0);
    assert_eq!(world.gateway.usage().calls, 0);
    assert_eq!(world.pool.available(), world.pool.capacity());
    let ends = world.notes("ended after");
    assert!(ends[0].contains("; 3 pushes published 3 times"), "{ends:?}");
}

#[test]
fn a_push_that_is_refused_stalls_or_dies_costs_the_others_nothing() {
    let (mut world, phone) = local();
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, SECOND);
    push(&mut world, request("rtmp_4711", "198.51.100.1")).unwrap();
    world.play("rtmp_4711");
    world.policy = Policy::Stall;
    let stalled = push(&mut world, request("rtmp_4711", "198.51.100.2")).unwrap();
    world.policy = Policy::Accept;
    let dying = push(&mut world, request("rtmp_4711", "198.51.100.3")).unwrap();
    world.policy = Policy::Refuse;
    let refused = push(&mut world, request("rtmp_4711", "198.51.100.4")).unwrap();
    let dies = world.servers[2].conn;
    let before = (world.servers[0].pictures(), world.players[0].pictures().0);
    for second in 0..30 {
        camera.film(&mut world, &phone, SECOND);
        if second == 2 {
            world.disconnect(dies, "Connection reset by peer");
        }
    }
    let after = (world.servers[0].pictures(), world.players[0].pictures().0);
    assert_eq!((after.0 - before.0, after.1 - before.1), (750, 750));
    assert_eq!(status(&world, refused), RtmpStatus::Failed);
    assert_eq!(status(&world, dying), RtmpStatus::Lost);
    // It took nothing for 15 s and is tried again in vain.
    assert_eq!(status(&world, stalled), RtmpStatus::Lost);
    let call = world.find("rtmp_4711").unwrap();
    assert_eq!(call.session.stats(Track::Video).reorder.lost, 0);
    let publisher = |at| {
        let pushes = world.gateway.pushes();
        let push = pushes.map(|(_, push)| push).nth(at).unwrap();
        *push.publisher().unwrap().media_counters()
    };
    assert_eq!((publisher(0).stalls, publisher(0).lost), (0, 0));
}

#[test]
fn a_stalled_push_goes_on_with_a_keyframe_when_its_server_does() {
    let (mut world, phone) = local();
    let mut camera = Camera::new(1);
    push(&mut world, request("rtmp_4711", "198.51.100.1")).unwrap();
    camera.film(&mut world, &phone, 2 * SECOND);
    let conn = world.servers[0].conn;
    world.outlet.set_room(conn, 0);
    camera.film(&mut world, &phone, 6 * SECOND);
    let before = world.servers[0].pictures();
    world.unstall(conn);
    camera.film(&mut world, &phone, 4 * SECOND);
    assert!(world.servers[0].pictures() > before + 50);
    assert_eq!(world.servers.len(), 1, "on the same connection");
}

#[test]
fn a_stream_may_be_pushed_before_its_call_is_answered() {
    let mut world = World::local(4);
    let now = world.now;
    let call = CallRequest {
        call_id: "out".to_owned(),
        callee: "1002".to_owned(),
        login: "1001".to_owned(),
        authentication_name: "1001".to_owned(),
        password: None,
        domain: "203.0.113.9".parse().unwrap(),
        outbound_proxy: None,
        port: None,
        register: false,
        visible_name: None,
        has_audio: true,
        has_video: true,
        to_stream: Some("room".to_owned()),
        rtmp_url: None,
        rtmp_stream: None,
        rtmp_name_as_given: false,
        app_key: None,
    };
    let placed = world.gateway.start_call(now, call, &mut world.outlet);
    placed.unwrap();
    world.settle();
    let at = push(&mut world, request("room", "198.51.100.1")).unwrap();
    assert_eq!(status(&world, at), RtmpStatus::Wait);
    world.advance(5 * SECOND);
    assert!(world.servers.is_empty(), "there is nothing to publish yet");
    let callee = Callee::called(&mut world, "203.0.113.9:5060");
    callee.respond(&mut world, 200, "one", &callee.answer());
    let mut handset = Handset::new(Picture::H264, Sound::Pcma, 1);
    handset.live(&mut world, 3 * SECOND, |world, track, mut bytes| {
        if track == Track::Video {
            bytes[1] = bytes[1] & 0x80 | 97;
        }
        world.media(&callee.phone, track, &bytes);
    });
    assert_eq!(status(&world, at), RtmpStatus::Active);
    assert_eq!(world.servers[0].names, ["rtmp_room"]);
    assert!(world.servers[0].pictures() > 50);
}

#[test]
fn a_call_that_is_never_answered_takes_its_push_along() {
    let (mut world, mut phone) = local();
    world.policy = Policy::Silent;
    push(&mut world, request("rtmp_4711", "198.51.100.1")).unwrap();
    world.bye(&mut phone);
    world.advance(3 * SECOND);
    let usage = world.gateway.usage();
    assert_eq!((usage.pushes, usage.calls, usage.connections), (0, 0, 0));
    assert_eq!(world.outlet.connections(), 0);
}

#[test]
fn a_push_that_was_ended_says_farewell_while_the_others_go_on() {
    let (mut world, phone) = local();
    let mut camera = Camera::new(1);
    let first = push(&mut world, request("rtmp_4711", "198.51.100.1")).unwrap();
    push(&mut world, request("rtmp_4711", "198.51.100.2")).unwrap();
    camera.film(&mut world, &phone, 2 * SECOND);
    let now = world.now;
    world.gateway.end_push(now, first);
    // Gone for clients at once, and the same may be asked for again.
    assert_eq!(world.gateway.pushes().count(), 1);
    world.settle();
    assert!(world.servers[0].commands().contains(&"deleteStream"));
    assert_eq!(world.gateway.usage().pushes, 1);
    push(&mut world, request("rtmp_4711", "198.51.100.1")).unwrap();
    let before = world.servers[1].pictures();
    camera.film(&mut world, &phone, 2 * SECOND);
    assert_eq!(world.servers[1].pictures() - before, 50);
    assert!(world.servers[2].pictures() > 20);
}

#[test]
fn what_cannot_be_pushed_is_refused_in_words() {
    let mut world = World::publishing(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let refused = |world: &mut World, stream: &str, host: &str| {
        push(world, request(stream, host)).unwrap_err()
    };
    assert_eq!(
        refused(&mut world, "other", "198.51.100.1"),
        PushRefused::NoStream
    );
    assert_eq!(
        refused(&mut world, "rtmp_4711", "127.0.0.1"),
        PushRefused::OwnPlayOut
    );
    push(&mut world, request("rtmp_4711", "198.51.100.1")).unwrap();
    assert_eq!(
        refused(&mut world, "rtmp_4711", "198.51.100.1"),
        PushRefused::SameTarget
    );
    // Where the trunk publishes it, under the name that it has there.
    let mut same = request("rtmp_4711", HOME);
    same.target.name = Secret::new("rtmp_4711".to_owned());
    assert_eq!(push(&mut world, same).unwrap_err(), PushRefused::SameTarget);
    let now = world.now;
    world.gateway.stop(now);
    assert_eq!(
        refused(&mut world, "rtmp_4711", "198.51.100.7"),
        PushRefused::Stopping
    );
}

#[test]
fn a_full_table_refuses_and_is_free_again_with_the_stream() {
    let (mut world, mut phone) = local();
    world.checks = false;
    for at in 0..PUSHES {
        push(
            &mut world,
            request("rtmp_4711", &format!("198.51.100.{at}")),
        )
        .unwrap();
    }
    let one_more = push(&mut world, request("rtmp_4711", "203.0.113.1"));
    assert_eq!(one_more.unwrap_err(), PushRefused::Full);
    assert_eq!(world.gateway.counters().pushes_refused, 1);
    world.gateway.check_invariants();
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, SECOND);
    let heard: Vec<_> = world.servers.iter().map(RtmpServer::pictures).collect();
    assert!(
        heard
            .iter()
            .all(|pictures| *pictures == heard[0] && heard[0] > 20)
    );
    world.bye(&mut phone);
    world.advance(3 * SECOND);
    assert_eq!(world.gateway.usage().pushes, 0);
    world.gateway.check_invariants();
    let mut next = Phone::new("4712");
    world.call(&mut next);
    push(&mut world, request("rtmp_4712", "198.51.100.1")).unwrap();
}

/// The caller says something for half a second.
fn handset_speaks(world: &mut World, phone: &Phone) {
    for at in 0..25_u16 {
        let (number, time) = (20_000 + at, 3_200_000 + u32::from(at) * 160);
        let bytes = rtp_support::packet(8, false, number, time, 99, &[0x31; 160]);
        world.media(phone, Track::Audio, &bytes);
        world.advance(Duration::from_millis(20));
    }
}

/// The bodies of sound that came to a server, with their times.
fn sounds(server: &RtmpServer) -> Vec<(u32, Vec<u8>)> {
    let audio = server.bodies.iter().filter(|(it, ..)| *it == kind::AUDIO);
    audio.map(|(_, time, body)| (*time, body.clone())).collect()
}

/// Films with one push muted from a second on and heard again later; the times and bodies of both.
fn muted(picture: Picture, sound: Sound) -> [Vec<(u32, Vec<u8>)>; 2] {
    let mut world = World::local(4);
    world.policy = Policy::ListsAll;
    let mut phone = phone_of("4711", picture, sound);
    world.call(&mut phone);
    let at = push(&mut world, request("rtmp_4711", "198.51.100.1")).unwrap();
    push(&mut world, request("rtmp_4711", "198.51.100.2")).unwrap();
    world
        .servers
        .iter_mut()
        .for_each(|server| server.collects = true);
    let mut handset = Handset::new(picture, sound, 1);
    for muted in [false, true, false] {
        let voice = PushVoice { muted, sound: None };
        world.gateway.set_push_voice(at, voice);
        handset.live(&mut world, 2 * SECOND, |world, track, bytes| {
            world.media(&phone, track, &bytes);
        });
    }
    let [first, second] = &world.servers[..] else {
        panic!("two servers");
    };
    assert_eq!(first.pictures(), second.pictures());
    [sounds(first), sounds(second)]
}

#[test]
fn a_muted_push_has_silence_of_the_codec_at_the_same_times() {
    for (picture, sound, silence) in [
        (
            Picture::H264,
            Sound::Pcma,
            [&[0x72][..], &[0xd5; 160]].concat(),
        ),
        (Picture::Vp8, Sound::Opus, b"\x91Opus\xf8\xff\xfe".to_vec()),
    ] {
        let [muted, heard] = muted(picture, sound);
        assert!(heard.len() > 250, "{sound:?} {}", heard.len());
        assert_eq!(muted.len(), heard.len());
        let times = |all: &[(u32, Vec<u8>)]| all.iter().map(|(time, _)| *time).collect::<Vec<_>>();
        assert_eq!(times(&muted), times(&heard));
        let silent: Vec<_> = muted.iter().map(|(_, body)| *body == silence).collect();
        let first = silent.iter().position(|silent| *silent).expect("silence");
        let last = silent.iter().rposition(|silent| *silent).unwrap();
        assert!(silent[first..=last].iter().all(|silent| *silent));
        assert!(
            (95..=105).contains(&(last + 1 - first)),
            "{first} to {last}"
        );
        for at in (0..first).chain(last + 1..muted.len()) {
            assert_eq!(muted[at], heard[at]);
        }
        assert!(heard.iter().all(|(_, body)| *body != silence));
    }
}

#[test]
fn every_codec_of_sound_has_its_silence() {
    for (picture, sound) in [
        (Picture::H264, Sound::Generic),
        (Picture::Vp8, Sound::LatmInBand),
        (Picture::Vp8, Sound::Speex),
    ] {
        let [muted, heard] = muted(picture, sound);
        assert_eq!(muted.len(), heard.len(), "{sound:?}");
        let changed = muted.iter().zip(&heard).filter(|(a, b)| a != b).count();
        assert!(changed > 80 && changed < 150, "{sound:?}: {changed}");
        assert!(muted.iter().zip(&heard).all(|(a, b)| a.0 == b.0));
    }
}

#[test]
fn a_prepared_sound_is_heard_instead_and_then_what_was_heard_before_it() {
    let (mut world, phone) = local();
    let at = push(&mut world, request("rtmp_4711", "198.51.100.1")).unwrap();
    world.servers[0].collects = true;
    let samples: Vec<u8> = (0..400_u32).map(|at| (at % 251) as u8).collect();
    let sound = |repeats, muted| PushVoice {
        muted,
        sound: Some((
            "sample.wav".to_owned(),
            Rc::new(PreparedSound {
                config: Rc::new(CodecConfig::Pcma),
                bytes: samples.clone().into(),
                frame_ends: Box::default(),
                repeats,
            }),
        )),
    };
    let mut camera = Camera::new(1);
    world.gateway.set_push_voice(at, sound(false, true));
    camera.film(&mut world, &phone, SECOND);
    let once: Vec<u8> = sounds(&world.servers[0])
        .iter()
        .flat_map(|(_, body)| body[1..].to_vec())
        .collect();
    assert_eq!(once[..400], samples);
    assert!(once.len() > 6_000 && once[400..].iter().all(|byte| *byte == 0xd5));
    assert!(!world.gateway.pushes().next().unwrap().1.plays_sound());
    world.servers[0].bodies.clear();
    world.gateway.set_push_voice(at, sound(true, false));
    camera.film(&mut world, &phone, SECOND);
    assert!(world.gateway.pushes().next().unwrap().1.plays_sound());
    let again: Vec<u8> = sounds(&world.servers[0])
        .iter()
        .flat_map(|(_, body)| body[1..].to_vec())
        .collect();
    for (at, byte) in again.iter().enumerate() {
        assert_eq!(*byte, samples[at % 400], "sample {at}");
    }
    // The caller follows who is not muted.
    world.servers[0].bodies.clear();
    world.gateway.set_push_voice(at, sound(false, false));
    handset_speaks(&mut world, &phone);
    let last = sounds(&world.servers[0]).pop().unwrap().1;
    assert_eq!(last[1..], [0x31; 160]);
}

#[test]
fn a_silenced_push_stays_whole_over_a_slow_connection() {
    let (mut world, phone) = local();
    let at = push(&mut world, request("rtmp_4711", "198.51.100.1")).unwrap();
    world.servers[0].collects = true;
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, SECOND);
    let conn = world.servers[0].conn;
    for round in 0..200_usize {
        // Messages are taken in parts while the voice changes; the chunk reader would find out.
        world.outlet.set_room(conn, 1 + round * 7 % 190);
        let voice = PushVoice {
            muted: round % 2 == 0,
            sound: None,
        };
        world.gateway.set_push_voice(at, voice);
        camera.film(&mut world, &phone, Duration::from_millis(40));
        world.unstall(conn);
    }
    let all = sounds(&world.servers[0]);
    assert!(all.iter().all(|(_, body)| body.len() == 161));
    assert!(all.len() > 400, "{}", all.len());
}

#[test]
fn a_server_that_sends_the_oddest_things_is_left() {
    let (mut world, phone) = local();
    world.checks = false;
    let mut camera = Camera::new(1);
    for at in 0..20_u8 {
        push(
            &mut world,
            request("rtmp_4711", &format!("198.51.100.{at}")),
        )
        .unwrap();
    }
    camera.film(&mut world, &phone, SECOND);
    let mut rng = trunkcast::base::rng::Rng::from_number(5);
    for round in 0..150 {
        let server = &world.servers[round % world.servers.len()];
        let (conn, said) = (server.conn, mutate(&server.said, &mut rng));
        if !world.outlet.is_open(conn) {
            continue;
        }
        let now = world.now;
        world
            .gateway
            .handle_stream(now, conn, &said, &mut world.outlet);
        world.settle();
        camera.film(&mut world, &phone, Duration::from_millis(40));
    }
    world.gateway.check_invariants();
    assert_eq!(world.gateway.counters().pushes_crashed, 0);
    assert_eq!(world.gateway.usage().pushes, 20);
}
