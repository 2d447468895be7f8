//! Every codec through the whole gateway: whatever comes in place of its packets and reports, and
//! what is lost on the way, no panic, no buffer lost, and nothing published that was not sent.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use trunkcast::base::codec::Track;
use trunkcast::base::rng::Rng;
use trunkcast::gateway::outlet::MediaPort;
use trunkcast::limits::PACKET_BYTES;
use trunkcast::wire::flv::{AudioHead, Part, VideoHead};
use trunkcast::wire::rtcp;
use trunkcast::wire::rtmp_message::kind;

const SECOND: Duration = Duration::from_secs(1);

/// Every microphone beside a camera, and every camera beside a microphone.
fn pairs() -> impl Iterator<Item = (HandsetPicture, HandsetSound)> {
    let sounds = HandsetSound::ALL.into_iter().enumerate();
    let by_turns = sounds.map(|(at, sound)| match at % 2 {
        0 => (HandsetPicture::H264, sound),
        _ => (HandsetPicture::Vp8, sound),
    });
    by_turns.chain([
        (HandsetPicture::Vp8, HandsetSound::Pcma),
        (HandsetPicture::H264, HandsetSound::Opus),
    ])
}

fn listing_world(calls: usize) -> World {
    let mut world = World::publishing(calls);
    world.policy = Policy::ListsAll;
    world.checks = false;
    world
}

/// A call of these codecs that is up and has streamed for a second.
fn streaming(picture: HandsetPicture, sound: HandsetSound) -> (World, Phone, Handset) {
    let mut world = listing_world(2);
    let mut phone = phone_of("4711", picture, sound);
    world.call(&mut phone);
    assert!(phone.audio_port.is_some() && phone.video_port.is_some());
    let mut handset = Handset::new(picture, sound, 1);
    handset.live(&mut world, SECOND, |world, track, bytes| {
        world.media(&phone, track, &bytes);
    });
    assert!(
        world.server().pictures() >= 24 && world.server().sounds() >= 45,
        "{picture:?} {sound:?}: {} pictures, {} sounds",
        world.server().pictures(),
        world.server().sounds()
    );
    (world, phone, handset)
}

/// The call ends, and nothing is left of it.
fn assert_over(mut world: World, mut phone: Phone, words: &str) {
    world.gateway.check_invariants();
    let counters = *world.gateway.counters();
    let crashed = (
        counters.calls_crashed,
        counters.players_crashed,
        counters.inputs_crashed,
    );
    assert_eq!(crashed, (0, 0, 0), "{words}: a panic was contained");
    world.bye(&mut phone);
    world.advance(40 * SECOND);
    assert_eq!(world.pool.available(), world.pool.capacity(), "{words}");
    assert!(world.gateway.is_idle(), "{words}");
    assert_eq!(world.gateway.poll_timeout(), None, "{words}");
}

/// RTCP that is about us, or not, well-formed.
fn reports(world: &World, rng: &mut Rng) -> Vec<u8> {
    let ssrc = [5, 7, 1, rng.u32()][rng.below(4) as usize];
    let media = rng.u32();
    let about = |kind: u8, format: u8, rest: &[u8]| {
        let words = (2 + rest.len() / 4) as u8;
        let head = [0x80 | format, kind, 0, words];
        [&head, &ssrc.to_be_bytes()[..], &media.to_be_bytes(), rest].concat()
    };
    match rng.below(9) {
        0 => sender_report(world.now, ssrc, rng.u32()),
        // Generic NACK, TMMBR and TMMBN, PLI, FIR, REMB.
        1 => about(205, 1, &[0, 1, 0xff, 0xff, 0x80, 0, 0xff, 0xff]),
        2 => about(205, 3, &[0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff]),
        3 => about(205, 4, &[0, 0, 0, 7, 0, 0, 2, 0].repeat(9)),
        4 => about(206, 1, &[]),
        5 => about(206, 4, &[0, 0, 0, 7, 9, 0, 0, 0]),
        6 => about(206, 15, b"REMB\x01\x02\xff\xff\0\0\0\x07"),
        // BYE and XR.
        7 => [&[0x81, 203, 0, 1][..], &rng.u32().to_be_bytes()].concat(),
        _ => about(207, 0, &[4, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]),
    }
}

#[test]
fn whatever_comes_in_place_of_media_and_reports_of_any_codec_is_survived() {
    for (picture, sound) in pairs() {
        let words = format!("{picture:?} {sound:?}");
        let (mut world, phone, mut handset) = streaming(picture, sound);
        let mut rng = Rng::from_number(6);
        let mut past: Vec<(Track, Vec<u8>)> = Vec::new();
        let mut round = 0;
        handset.live(&mut world, 3 * SECOND, |world, track, bytes| {
            round += 1;
            let send = |world: &mut World, track, rtcp: bool, bytes: &[u8]| {
                let bytes = &bytes[..bytes.len().min(PACKET_BYTES)];
                if rtcp {
                    world.rtcp(&phone, track, bytes);
                } else {
                    world.media(&phone, track, bytes);
                }
            };
            if round % 61 == 0 {
                for length in 0..bytes.len() {
                    send(world, track, false, &bytes[..length]);
                }
            }
            match rng.below(8) {
                // It is lost.
                0 => {}
                // The header is good and what it bears is anything.
                1 => {
                    let mut payload = vec![0; rng.below(60) as usize];
                    rng.fill(&mut payload);
                    send(world, track, false, &[&bytes[..12], &payload].concat());
                }
                2 => {
                    let changed = [&bytes[..12], &mutate(&bytes[12..], &mut rng)].concat();
                    send(world, track, false, &changed);
                }
                3 => send(world, track, false, &mutate(&bytes, &mut rng)),
                _ => send(world, track, false, &bytes),
            }
            if let Some((track, old)) = past.get(rng.below(300) as usize) {
                send(world, *track, false, old);
            }
            if past.len() < 300 {
                past.push((track, bytes));
            }
            let report = reports(world, &mut rng);
            if rng.below(3) == 0 {
                send(world, track, true, &report);
                send(world, track, true, &mutate(&report, &mut rng));
            }
            if round % 50 == 0 {
                world.gateway.check_invariants();
            }
        });
        assert!(round > 200, "{words}");
        // What is good again is taken again, and from the next keyframe on all of it.
        let (pictures, sounds) = (world.server().pictures(), world.server().sounds());
        handset.live(&mut world, 8 * SECOND, |world, track, bytes| {
            world.media(&phone, track, &bytes);
        });
        let (pictures, sounds) = (
            world.server().pictures() - pictures,
            world.server().sounds() - sounds,
        );
        assert!(
            pictures >= 130 && sounds >= 250,
            "{words}: {pictures} pictures, {sounds} sounds"
        );
        assert_over(world, phone, &words);
    }
}

/// The frame in a message body, if it is one.
fn frame_of(message: u8, body: &[u8]) -> Option<&[u8]> {
    let (head, part) = match message {
        kind::VIDEO => {
            let head = VideoHead::parse(body)?;
            (head.length, head.part)
        }
        kind::AUDIO => {
            let head = AudioHead::parse(body)?;
            (head.length, head.part)
        }
        _ => return None,
    };
    (part == Part::Frame).then(|| &body[head..])
}

#[test]
fn nothing_is_published_that_was_not_sent_whatever_is_lost() {
    for (picture, sound) in pairs() {
        let words = format!("{picture:?} {sound:?}");
        let mut world = listing_world(2);
        let mut phone = phone_of("4711", picture, sound);
        world.call(&mut phone);
        world.server().collects = true;
        let mut handset = Handset::new(picture, sound, 3);
        let mut rng = Rng::from_number(11);
        let mut kept: Vec<(Track, Vec<u8>)> = Vec::new();
        let mut received = 0;
        handset.live(&mut world, 10 * SECOND, |world, track, bytes| {
            // One in twenty is lost, as many are late, or come twice.
            match rng.below(20) {
                0 => {}
                1 => kept.push((track, bytes)),
                luck => {
                    world.media(&phone, track, &bytes);
                    received += 1;
                    if luck == 2 {
                        world.media(&phone, track, &bytes);
                    }
                }
            }
            if rng.below(3) == 0
                && let Some((track, bytes)) = kept.pop()
            {
                world.media(&phone, track, &bytes);
            }
        });
        let bodies = std::mem::take(&mut world.server().bodies);
        let frames: Vec<&[u8]> = bodies
            .iter()
            .filter_map(|(kind, body)| frame_of(*kind, body))
            .collect();
        for frame in &frames {
            assert!(
                handset.frames.contains(*frame),
                "{words}: a frame of {} bytes was never sent",
                frame.len()
            );
        }
        assert!(frames.len() > 350, "{words}: {} frames", frames.len());

        // What went back for it: requests are paced.
        let sent = world.outlet.sent_media.iter();
        let reports =
            sent.filter(|sent| sent.port == MediaPort::Rtcp && rtcp::is_rtcp(&sent.bytes));
        let reports = reports.count();
        assert!(
            reports > 10 && reports * 3 < received,
            "{words}: {reports} reports for {received} packets"
        );
        assert_over(world, phone, &words);
    }
}

/// What a server that lists and sends on says, up to the accepted stream.
fn server_bytes(policy: Policy) -> Vec<u8> {
    let mut world = listing_world(1);
    world.policy = policy;
    let mut phone = phone_of("4711", HandsetPicture::Vp8, HandsetSound::Opus);
    world.call(&mut phone);
    world.servers[0].said.clone()
}

/// A request to connect anew, in one chunk.
fn reconnect_request() -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat();
    let mut body = [vec![2], text("onStatus")].concat();
    body.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 3]);
    for (name, value) in [
        ("level", "status"),
        ("code", "NetConnection.Connect.ReconnectRequest"),
        ("tcUrl", "rtmp://198.51.100.6/live"),
    ] {
        body.extend([text(name), vec![2], text(value)].concat());
    }
    body.extend([0, 0, 9]);
    let mut out = vec![3, 0, 0, 0, 0, 0, body.len() as u8, 20, 0, 0, 0, 0];
    for (at, part) in body.chunks(128).enumerate() {
        if at > 0 {
            out.push(0xc3);
        }
        out.extend(part);
    }
    out
}

#[test]
fn whatever_a_listing_or_redirecting_server_says_is_survived() {
    let listed = server_bytes(Policy::ListsAll);
    let redirected = server_bytes(Policy::Redirects(ELSEWHERE));
    let moved = [&listed[..], &reconnect_request()].concat();
    let mut rng = Rng::from_number(7);
    let mut world = listing_world(2);
    world.policy = Policy::Mute;
    let mut phone = phone_of("4711", HandsetPicture::Vp8, HandsetSound::Opus);
    world.call(&mut phone);
    let mut handset = Handset::new(HandsetPicture::Vp8, HandsetSound::Opus, 1);
    let mut film = |world: &mut World, millis| {
        handset.live(
            world,
            Duration::from_millis(millis),
            |world, track, bytes| {
                world.media(&phone, track, &bytes);
            },
        );
    };
    let (mut at, mut seen) = (0, None);
    while at < 300 {
        film(&mut world, 100);
        let now = world.servers.last().map(|server| server.conn);
        if now == seen {
            continue;
        }
        seen = now;
        world.servers.drain(..world.servers.len() - 1);
        let whole = [&listed, &redirected, &moved][at % 3];
        at += 1;
        let (greeting, talk) = whole.split_at(3_073);
        let talk = match at % 4 {
            0 => talk[..rng.below(talk.len() as u32 + 1) as usize].to_vec(),
            1 => talk.to_vec(),
            _ => mutate(talk, &mut rng),
        };
        let conn = world.server().conn;
        for bytes in [greeting, &talk] {
            world
                .gateway
                .handle_stream(world.now, conn, bytes, &mut world.outlet);
            world.settle();
        }
        film(&mut world, 40);
        world.gateway.check_invariants();
        if world.outlet.is_open(conn) {
            world.disconnect(conn, "Connection reset by peer");
        }
        world.advance(SECOND);
    }
    for note in world.notes("") {
        assert!(!note.contains(char::is_control), "{note:?}");
    }
    assert_over(world, phone, "servers");
}
