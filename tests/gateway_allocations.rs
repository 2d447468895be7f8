//! The heap is not touched for a media packet on its way through the gateway, whoever reads the
//! stream; and what a call costs on the heap is known.

// Counting is what the allocator of this test adds.
#![allow(unsafe_code)]

mod gateway_support;
mod page_support;
mod rest_support;
mod rtp_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use gateway_support::callee::Callee;
use gateway_support::handset::{Handset, Picture, Sound, phone_of};
use gateway_support::*;
use page_support::with_password;
use serde_json::Value;
use trunkcast::base::codec::{CodecConfig, Track};
use trunkcast::base::frame_log::Segment;
use trunkcast::base::packet_pool::PacketPool;
use trunkcast::base::redact::Secret;
use trunkcast::base::rng::Rng;
use trunkcast::base::srtp::{MasterKey, SrtpPolicy, Suite};
use trunkcast::base::time::NtpTime;
use trunkcast::gateway::Gateway;
use trunkcast::gateway::config::{Hooks, Recording, Trunk, rtmp_url};
use trunkcast::gateway::outgoing::CallRequest;
use trunkcast::gateway::outlet::MediaPort;
use trunkcast::gateway::players::Viewer;
use trunkcast::gateway::pushes::{PushIndex, PushRequest, PushTarget, PushVoice};
use trunkcast::limits::*;
use trunkcast::rtmp::PreparedSound;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64, allocations: u64) {
    if COUNTED.get() {
        ALLOCATIONS.set(ALLOCATIONS.get() + allocations);
        BYTES.set(BYTES.get() + bytes);
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64, 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64), 0);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs with the count on; what the outlet does is left out of it by the outlet.
fn counted<R>(work: impl FnOnce() -> R) -> R {
    COUNTED.set(true);
    let result = work();
    COUNTED.set(false);
    result
}

/// Hands a packet in and drains, counting both, then lets the peers read.
fn feed(world: &mut World, phone: &Phone, track: Track, rtcp: bool, bytes: &[u8]) {
    let port = match track {
        Track::Audio => phone.audio_port.unwrap(),
        Track::Video => phone.video_port.unwrap(),
    };
    let (index, _) = world.outlet.media_at(port).unwrap();
    let mut from = phone.media_source(track);
    from.set_port(from.port() + u16::from(rtcp));
    let which = if rtcp {
        MediaPort::Rtcp
    } else {
        MediaPort::Rtp
    };
    let bytes = world.shielded(track, bytes);
    let packet = world.pool.copy_from(&bytes).unwrap();
    counted(|| {
        world
            .gateway
            .handle_media(world.now, index, track, which, from, packet);
        world.gateway.drain(world.now, &mut world.outlet);
    });
    world.settle();
}

/// Moves the clock on, with every timer counted.
fn pass(world: &mut World, time: Duration) {
    let until = world.now + time;
    while let Some(next) = world.gateway.poll_timeout().filter(|next| *next <= until) {
        world.now = world.now.max(next);
        counted(|| {
            world.gateway.handle_timeout(world.now);
            world.gateway.drain(world.now, &mut world.outlet);
        });
        world.settle();
    }
    world.now = until;
}

#[test]
fn no_packet_touches_the_heap_on_its_way_to_a_server_and_two_players() {
    let mut world = World::publishing(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    assert_untouched(world, &phone);
}

#[test]
fn no_packet_touches_the_heap_though_a_backend_is_told() {
    let mut config = config(4, Some("rtmp://198.51.100.5/live"));
    let url = format!("http://198.51.100.77:{BACKEND_PORT}/");
    config.hooks = Some(Hooks::new(url.parse().unwrap()));
    let mut world = World::new(config);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    assert_untouched(world, &phone);
}

#[test]
fn no_packet_touches_the_heap_though_pages_show_the_call() {
    let mut world = World::new(with_password(config(4, Some("rtmp://198.51.100.5/live"))));
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let mut owner = page_support::owner(&mut world);
    let (mut bytes, mut asked, mut place) = (0, 0, "-".to_owned());
    assert_untouched_while(world, &phone, |world| {
        let path = format!("/page/live?call=1&video={place}");
        let reply = owner.get(world, &path);
        assert_eq!(reply.status, 200);
        bytes += reply.body.len();
        asked += 1;
        let told: Value = serde_json::from_str(reply.header("x-live").unwrap()).unwrap();
        // It begins where a keyframe is kept: asking the phone for one takes memory.
        place = match told["video"]["next"].as_str() {
            Some(next) => next.to_owned(),
            None if asked < 3 => "-".to_owned(),
            None => "0.0".to_owned(),
        };
    });
    assert!(bytes > 100_000, "{bytes} bytes were shown");
}

#[test]
fn no_protected_packet_touches_the_heap_either() {
    let mut world = protecting();
    let mut phone = Phone::new("4711");
    let key = MasterKey::random(Suite::Aes256Tag80, &mut Rng::from_number(3));
    phone.sdp = with_key(&phone.sdp, &key);
    world.call(&mut phone);
    world.shield = Some(Shield::new(key, &phone.told));
    assert_untouched(world, &phone);
}

/// A push of the stream of the one call, and what is heard of it.
fn push(world: &mut World, host: &str, muted: bool) -> PushIndex {
    let given = format!("rtmp://{host}/live");
    let request = PushRequest {
        stream: "rtmp_4711".to_owned(),
        target: PushTarget {
            url: rtmp_url(&given).unwrap(),
            name: Secret::new("rtmp_4711".to_owned()),
            given: Secret::new(given),
            is_whole: false,
        },
        voice: PushVoice { muted, sound: None },
    };
    let now = world.now;
    COUNTED.set(world.counted);
    let pushed = world.gateway.start_push(now, request, &mut world.outlet);
    COUNTED.set(false);
    let at = pushed.unwrap();
    world.settle();
    at
}

#[test]
fn no_packet_touches_the_heap_on_its_way_to_pushes_either() {
    let mut world = World::publishing(4);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    push(&mut world, "198.51.100.7", true);
    push(&mut world, "198.51.100.8", false);
    push(&mut world, "198.51.100.9", true);
    assert_untouched(world, &phone);
}

#[test]
fn no_frame_of_a_prepared_sound_touches_the_heap() {
    let mut world = World::local(2);
    world.policy = Policy::ListsAll;
    let mut phone = phone_of("4711", Picture::Vp8, Sound::Opus);
    world.call(&mut phone);
    // Frames of 20 ms as the caller's are, of 60 and of 10.
    for (at, frame) in [&[0xf8, 1, 2][..], &[0xfb, 3, 1, 2, 3], &[0xf0, 1]]
        .into_iter()
        .enumerate()
    {
        let at = push(&mut world, &format!("198.51.100.{at}"), false);
        let length = frame.len() as u32;
        let sound = PreparedSound {
            config: Rc::new(CodecConfig::Opus { channels: 2 }),
            bytes: frame.repeat(7).into(),
            frame_ends: (1..=7).map(|count| count * length).collect(),
            repeats: true,
        };
        let voice = PushVoice {
            muted: false,
            sound: Some(("jingle.flv".to_owned(), Rc::new(sound))),
        };
        world.gateway.set_push_voice(at, voice);
    }
    let mut handset = Handset::new(Picture::Vp8, Sound::Opus, 1);
    handset.live(
        &mut world,
        Duration::from_secs(12),
        |world, track, bytes| {
            world.media(&phone, track, &bytes);
        },
    );
    let sounds = |world: &World| [0, 1, 2].map(|at| world.servers[at].sounds());
    let before = sounds(&world);
    for _ in 0..500 {
        for (track, bytes) in handset.tick() {
            feed(&mut world, &phone, track, false, &bytes);
        }
        pass(&mut world, Duration::from_millis(20));
    }
    assert_eq!(ALLOCATIONS.get(), 0);
    let after = sounds(&world);
    for (at, expected) in [500, 167, 1_000].into_iter().enumerate() {
        let came = after[at] - before[at];
        assert!(came.abs_diff(expected) <= 4, "{came}, not {expected}");
    }
}

#[test]
fn a_push_stays_within_its_memory() {
    let mut world = World::publishing(4);
    world.checks = false;
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let mut handset = Handset::new(Picture::H264, Sound::Pcma, 1);
    handset.room = 60_000;
    let mut pushed = |world: &mut World, count: u8| {
        for at in 0..count {
            push(world, &format!("198.51.100.{}", 10 + at), false);
        }
        for at in 0..100 {
            for server in 0..world.servers.len() {
                let conn = world.servers[server].conn;
                world.outlet.set_room(conn, 3_000 * (at % 10));
            }
            handset.live(world, Duration::from_millis(40), |world, track, bytes| {
                world.media(&phone, track, &bytes);
            });
            for server in 0..world.servers.len() {
                let conn = world.servers[server].conn;
                world.unstall(conn);
            }
        }
    };
    pushed(&mut world, 0);
    let before = BYTES.get();
    world.counted = true;
    pushed(&mut world, 10);
    let each = usize::try_from(BYTES.get() - before).unwrap() / 10;
    println!("a push takes {each} bytes");
    let buffers = RTMP_CONTROL_BYTES
        + RTMP_COMMANDS_BEGUN * RTMP_COMMAND_BYTES
        + FRAME_SEGMENTS * size_of::<Segment>();
    assert!(each > 5_000, "not counted");
    assert!(each + buffers <= PUSH_STATE_BYTES, "{each} and {buffers}");
}

#[test]
fn a_recording_touches_the_heap_once_a_second_and_not_for_each_packet() {
    let mut config = config(4, None);
    config.recording = Some(Recording::new("/records"));
    config.trunks[0].record = Some(true);
    let mut world = World::new(config);
    world.checks = false;
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, Duration::from_secs(5));
    assert_eq!(ALLOCATIONS.get(), 0, "counted too early");
    world.counted = true;
    camera.film(&mut world, &phone, Duration::from_secs(20));
    let pieces = world.outlet.files[0].pieces.len() as u64;
    let allocations = ALLOCATIONS.get();
    assert!((20..32).contains(&pieces), "{pieces} pieces of 25 seconds");
    // One for each piece, and a few more where pictures are large.
    assert!(
        allocations <= 2 * pieces,
        "{allocations} for {pieces} pieces"
    );
}

#[test]
fn what_is_recorded_leaves_no_byte_behind() {
    let mut config = config(4, None);
    config.recording = Some(Recording::new("/records"));
    config.trunks[0].record = Some(true);
    let mut world = World::new(config);
    world.checks = false;
    let call = |world: &mut World, number: u32| {
        let mut phone = Phone::new(&format!("47{number}"));
        world.call(&mut phone);
        Camera::new(1).film(world, &phone, Duration::from_secs(3));
        world.bye(&mut phone);
        world.advance(Duration::from_secs(40));
    };
    call(&mut world, 10);
    world.counted = true;
    call(&mut world, 11);
    let (before, files) = (BYTES.get(), world.outlet.files.len());
    for number in 12..20 {
        call(&mut world, number);
    }
    // Pieces are the shell's when they are handed over; what it holds of them is not the gateway's.
    let handed: usize = world.outlet.files[files..]
        .iter()
        .flat_map(|it| &it.pieces)
        .map(Vec::capacity)
        .sum();
    assert_eq!(world.outlet.files.len(), files + 8);
    let ends: usize = world.outlet.files[files..]
        .iter()
        .map(|it| it.end.as_ref().unwrap().name.capacity())
        .sum();
    assert_eq!(BYTES.get() - before, (handed + ends) as i64);
}

/// A gateway whose calls may be protected.
fn protecting() -> World {
    let mut config = config(4, Some("rtmp://198.51.100.5/live"));
    config.trunks[0].srtp = SrtpPolicy::Optional;
    World::new(config)
}

fn assert_untouched(world: World, phone: &Phone) {
    assert_untouched_while(world, phone, |_| {});
}

/// The same while something else is done ten times every four seconds, uncounted.
fn assert_untouched_while(mut world: World, phone: &Phone, mut meanwhile: impl FnMut(&mut World)) {
    world.play("rtmp_4711");
    world.play("rtmp_4711");
    let mut camera = Camera::new(1);
    // Sequence headers, metadata and the first reports are out after this.
    camera.film(&mut world, phone, Duration::from_secs(12));
    let sent = world.outlet.sent_media.len();
    assert_eq!(ALLOCATIONS.get(), 0, "counted too early");

    let mut packets = 0;
    for at in 0..30 * 50_u32 {
        if at % 2 == 0 {
            let keyframe = at % 50 == 0;
            for bytes in camera.video.picture(keyframe) {
                feed(&mut world, phone, Track::Video, false, &bytes);
                packets += 1;
            }
            camera.video.timestamp = camera.video.timestamp.wrapping_add(600);
        }
        let timestamp = (600 + at).wrapping_mul(160);
        let sound = rtp_support::packet(8, false, (600 + at) as u16, timestamp, 5, &[0xd5; 160]);
        feed(&mut world, phone, Track::Audio, false, &sound);
        packets += 1;
        if at % 250 == 0 {
            let report = sender_report(world.now, 5, timestamp);
            feed(&mut world, phone, Track::Audio, true, &report);
            let report = sender_report(world.now, 7, camera.video.timestamp);
            feed(&mut world, phone, Track::Video, true, &report);
        }
        if at % 20 == 0 {
            meanwhile(&mut world);
        }
        pass(&mut world, Duration::from_millis(20));
    }
    assert_eq!(ALLOCATIONS.get(), 0, "for {packets} packets");

    // It was the whole path: pictures to all three, silence and reports to the phone.
    assert!(packets > 3_000);
    assert_eq!(world.servers[0].pictures(), 300 + 750);
    assert_eq!(world.server().pictures(), 300 + 750);
    for player in &world.players {
        assert_eq!(player.pictures().0, 300 + 750);
        assert_eq!(player.sounds(), 600 + 1_500);
    }
    let sent = &world.outlet.sent_media[sent..];
    let reports = sent
        .iter()
        .filter(|sent| sent.port == MediaPort::Rtcp)
        .count();
    let media = |track| {
        let media = sent.iter().filter(|sent| sent.port == MediaPort::Rtp);
        media.filter(|sent| sent.track == track).count()
    };
    let (silence, still) = (media(Track::Audio), media(Track::Video));
    assert!(
        reports >= 8 && silence >= 1_400 && still >= 3 * 29,
        "{reports} reports, {silence} of silence, {still} of a picture"
    );
}

/// A request for a call of sound and pictures that is published and played here.
fn request(password: Option<&str>) -> CallRequest {
    CallRequest {
        call_id: "out".to_owned(),
        callee: "1002".to_owned(),
        login: "1001".to_owned(),
        authentication_name: "1001".to_owned(),
        password: password.map(|password| Secret::new(password.to_owned())),
        domain: "203.0.113.9".parse().unwrap(),
        outbound_proxy: None,
        port: None,
        register: false,
        visible_name: None,
        has_audio: true,
        has_video: true,
        to_stream: Some("room".to_owned()),
        rtmp_url: Some(rtmp_url("rtmp://198.51.100.5/live").unwrap()),
        rtmp_stream: Some(Secret::new("key".to_owned())),
        rtmp_name_as_given: true,
        app_key: None,
    }
}

#[test]
fn no_packet_of_a_call_that_went_out_touches_the_heap() {
    let mut world = World::local(4);
    let request = request(None);
    let now = world.now;
    let started = world.gateway.start_call(now, request, &mut world.outlet);
    started.unwrap();
    world.settle();
    let callee = Callee::called(&mut world, "203.0.113.9:5060");
    callee.respond(&mut world, 200, "one", &callee.answer());
    world.play("room");
    let phone = &callee.phone;
    let mut handset = Handset::new(Picture::H264, Sound::Pcma, 1);
    for at in 0..1_200 {
        for (track, mut bytes) in handset.tick() {
            if track == Track::Video {
                // The number that the offer has for H.264.
                bytes[1] = bytes[1] & 0x80 | 97;
            }
            // Sequence headers, metadata and the first reports are out after 12 s.
            if at < 600 {
                world.media(phone, track, &bytes);
            } else {
                feed(&mut world, phone, track, false, &bytes);
            }
        }
        if at < 600 {
            world.advance(Duration::from_millis(20));
        } else {
            pass(&mut world, Duration::from_millis(20));
        }
    }
    assert_eq!(ALLOCATIONS.get(), 0);
    assert!(world.server().pictures() > 550 && world.server().sounds() > 1_150);
    assert!(world.players[0].pictures().0 > 550);
}

/// Pairs of codecs that calls have in these tests.
const PAIRS: [(Picture, Sound); 6] = [
    (Picture::H264, Sound::Pcma),
    (Picture::Vp8, Sound::Opus),
    (Picture::H264, Sound::Generic),
    (Picture::Vp8, Sound::LatmInBand),
    (Picture::H264, Sound::Latm),
    (Picture::Vp8, Sound::Speex),
];

#[test]
fn no_packet_of_any_codec_touches_the_heap_though_some_are_lost_and_asked_for() {
    for (picture, sound) in PAIRS {
        let words = format!("{picture:?} {sound:?}");
        let mut world = World::publishing(2);
        world.policy = Policy::ListsAll;
        let mut phone = phone_of("4711", picture, sound);
        world.call(&mut phone);
        world.play("rtmp_4711");
        let mut handset = Handset::new(picture, sound, 1);
        let mut rng = Rng::from_number(4);
        let mut seen = 0;
        for at in 0..1_500 {
            // Who is not obeyed asks by SIP in the end, which is no media.
            handset.asked |= reports_of(&world.outlet.sent_media[seen..]) > 0;
            seen = world.outlet.sent_media.len();
            for (track, bytes) in handset.tick() {
                if rng.below(50) == 0 {
                    continue;
                }
                // Configurations, metadata, and what a first loss needs, are there after 12 s.
                if at < 600 {
                    world.media(&phone, track, &bytes);
                } else {
                    feed(&mut world, &phone, track, false, &bytes);
                }
            }
            if at < 600 {
                world.advance(Duration::from_millis(20));
            } else {
                pass(&mut world, Duration::from_millis(20));
            }
        }
        assert_eq!(ALLOCATIONS.get(), 0, "{words}");
        let call = world.find("rtmp_4711").unwrap();
        let asked = [Track::Audio, Track::Video]
            .map(|track| call.session.stats(track).retransmission.asked);
        assert!(asked[0] > 5 && asked[1] > 5, "{words}: {asked:?}");
        let (pictures, sounds) = (world.server().pictures(), world.server().sounds());
        assert!(
            pictures > 100 && sounds > 1_000,
            "{words}: {pictures} pictures, {sounds} sounds"
        );
    }
}

#[test]
fn no_packet_touches_the_heap_on_its_way_into_another_call() {
    for (picture, sound) in [(Picture::H264, Sound::Pcma), (Picture::Vp8, Sound::Opus)] {
        let mut world = World::local(4);
        let mut phone = phone_of("4711", picture, sound);
        world.call(&mut phone);
        let mut other = phone_of("4712", picture, sound);
        world.call(&mut other);
        let now = world.now;
        let injected =
            world
                .gateway
                .inject_stream(now, &other.call_id, "rtmp_4711", &mut world.outlet);
        assert_eq!(injected, Ok(()));
        world.outlet.forgetful = true;
        let mut handset = Handset::new(picture, sound, 1);
        handset.room = 60_000;
        let mut before = 0;
        for round in 0..500 {
            // A keyframe every second, and the first of them brings the stream's configuration.
            if round == 100 {
                before = ALLOCATIONS.get();
            }
            for (track, bytes) in handset.tick() {
                feed(&mut world, &phone, track, false, &bytes);
            }
            pass(&mut world, Duration::from_millis(20));
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{picture:?} {sound:?}");
        assert!(world.outlet.media_count > 4_000);
    }
}

/// Memory that a call may grow by (design, section 8).
const CALL_GROWTH_BYTES: i64 = 64 * 1_024;

#[test]
fn a_call_with_its_publisher_stays_within_its_memory() {
    for (picture, sound) in PAIRS {
        assert_within_memory(picture, sound);
    }
}

#[test]
fn a_protected_call_takes_little_more() {
    let key = MasterKey::random(Suite::Aes256Tag80, &mut Rng::from_number(3));
    let (plain, _) = call_memory(protecting(), Picture::H264, Sound::Generic, None);
    let (protected, most) = call_memory(protecting(), Picture::H264, Sound::Generic, Some(key));
    let added = protected - plain;
    println!("protection takes {added} bytes");
    // A 32-bit machine's key schedules of AES are half as large.
    let least = 1_024 * if usize::BITS == 32 { 4 } else { 8 };
    assert!(added > least, "not counted");
    assert!(added <= SRTP_CALL_BYTES as i64, "{added} bytes");
    assert!(most <= CALL_STATE_BYTES, "a call may take {most} bytes");
}

#[test]
fn a_call_that_went_out_stays_within_its_memory() {
    let mut world = World::local(4);
    world.checks = false;
    world.policy = Policy::ListsAll;
    // Lazily made tables of the gateway itself are no part of a call.
    let mut first = Phone::new("1");
    world.call(&mut first);
    world.bye(&mut first);
    world.advance(Duration::from_secs(40));

    let before = BYTES.get();
    world.counted = true;
    let now = world.now;
    let wanted = request(Some("hunter2"));
    counted(|| world.gateway.start_call(now, wanted, &mut world.outlet)).unwrap();
    world.settle();
    let challenge = "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n1\", qop=\"auth\"\r\n";
    Callee::called(&mut world, "203.0.113.9:5060").refuse(&mut world, 401, challenge);
    let callee = Callee::called(&mut world, "203.0.113.9:5060");
    callee.respond(&mut world, 183, "one", &callee.answer());
    callee.respond(&mut world, 200, "one", &callee.answer());
    let at_set_up = BYTES.get() - before;
    let mut handset = Handset::new(Picture::H264, Sound::Pcma, 1);
    handset.room = 60_000;
    for at in 0..150 {
        let conn = world.server().conn;
        world.outlet.set_room(conn, 3_000 * (at % 10));
        let time = Duration::from_millis(40);
        handset.live(&mut world, time, |world, track, mut bytes| {
            if track == Track::Video {
                bytes[1] = bytes[1] & 0x80 | 97;
            }
            world.media(&callee.phone, track, &bytes);
        });
        world.unstall(conn);
    }
    assert!(world.server().pictures() >= 80);
    // The INVITEs are kept for half a minute, and are counted with SIP.
    world.advance(Duration::from_secs(40));
    let grown = BYTES.get() - before;
    println!("a call out takes {at_set_up} bytes at its set-up, {grown} from then on");
    assert!(grown > 16 * 1_024, "not counted");
    assert!(grown <= CALL_GROWTH_BYTES, "a call out takes {grown} bytes");
    let invites = usize::try_from(at_set_up - grown).unwrap();
    assert!(
        invites <= SIP_CALL_STATE_BYTES / 2,
        "INVITEs take {invites} bytes"
    );
}

fn assert_within_memory(picture: Picture, sound: Sound) {
    let (grown, most) = call_memory(World::publishing(4), picture, sound, None);
    assert!(
        grown <= CALL_GROWTH_BYTES,
        "a call of {picture:?} and {sound:?} takes {grown} bytes"
    );
    assert!(most <= CALL_STATE_BYTES, "a call may take {most} bytes");
}

/// What a call takes, and may take with every buffer of its publisher used to its end.
fn call_memory(
    mut world: World,
    picture: Picture,
    sound: Sound,
    key: Option<MasterKey>,
) -> (i64, usize) {
    world.checks = false;
    world.policy = Policy::ListsAll;
    // Lazily made tables of the gateway itself are no part of a call.
    let mut first = Phone::new("1");
    world.call(&mut first);
    world.bye(&mut first);
    world.advance(Duration::from_secs(40));

    let before = BYTES.get();
    world.counted = true;
    let mut phone = phone_of("4711", picture, sound);
    if let Some(key) = &key {
        phone.sdp = with_key(&phone.sdp, key);
    }
    world.call(&mut phone);
    world.shield = key.map(|key| Shield::new(key, &phone.told));
    let at_set_up = BYTES.get() - before;
    // Large pictures over slow connections: messages are taken in parts. Later one packet in a
    // hundred is lost and asked for.
    let mut handset = Handset::new(picture, sound, 1);
    handset.room = 60_000;
    let mut packets = 0;
    for at in 0..150 {
        let conn = world.server().conn;
        world.outlet.set_room(conn, 3_000 * (at % 10));
        let time = Duration::from_millis(40);
        handset.live(&mut world, time, |world, track, bytes| {
            packets += 1;
            if at < 100 || packets % 100 != 0 {
                world.media(&phone, track, &bytes);
            }
        });
        world.unstall(conn);
    }
    let streaming = BYTES.get() - before - at_set_up;
    assert!(world.server().pictures() >= 80);
    println!(
        "a call of {picture:?} and {sound:?} takes {at_set_up} bytes at its set-up and {streaming} \
         more while it streams, {} in all",
        at_set_up + streaming
    );
    assert!(at_set_up > 16 * 1_024, "not counted");
    let grown = at_set_up + streaming;

    // With every buffer of the publisher used to its end.
    let buffers = RTMP_CONTROL_BYTES
        + RTMP_COMMANDS_BEGUN * RTMP_COMMAND_BYTES
        + FRAME_SEGMENTS * size_of::<Segment>();
    let most = usize::try_from(grown).unwrap() + buffers;
    let player = size_of::<Viewer>() + buffers;
    assert!(
        player <= PLAYER_STATE_BYTES,
        "a player may take {player} bytes"
    );
    (grown, most)
}

#[test]
fn offers_within_a_call_leave_no_memory_behind() {
    let mut world = World::publishing(4);
    world.checks = false;
    world.counted = true;
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let mut camera = Camera::new(1);
    let mut change = |times: usize| {
        for _ in 0..times {
            for (direction, video) in [("inactive", true), ("sendrecv", false), ("sendrecv", true)]
            {
                let mut offer = phone.offer(direction, video);
                if !video {
                    offer += "m=video 0 RTP/AVP 96\r\n";
                }
                let answer = world.reinvite(&mut phone, &offer);
                assert_eq!(status(&answer), 200, "{answer}");
                camera.with_video = video;
                camera.film(&mut world, &phone, Duration::from_millis(40));
            }
        }
        // Transactions are kept for a while after their answer.
        world.advance(Duration::from_secs(40));
        BYTES.get()
    };
    let before = change(40);
    let offers = 200;
    let grown = change(offers) - before;
    // Tables and texts have their sizes by then; anything that is kept is larger than a byte.
    assert!(grown < 3 * offers as i64, "{grown} bytes");
}

#[test]
fn thousands_of_calls_leave_no_byte_behind() {
    let mut world = World::publishing(4);
    world.checks = false;
    world.counted = true;
    world.outlet.forgetful = true;
    world.policy = Policy::ListsAll;
    let calls = |world: &mut World, count: usize| {
        for at in 0..count {
            let (picture, sound) = PAIRS[at % PAIRS.len()];
            let mut phone = phone_of(&format!("{count}-{at:04}"), picture, sound);
            world.call(&mut phone);
            let mut handset = Handset::new(picture, sound, at as u64);
            let time = Duration::from_millis(80);
            handset.live(world, time, |world, track, bytes| {
                world.media(&phone, track, &bytes);
            });
            world.bye(&mut phone);
            world.inbox.clear();
            world.servers.clear();
            if at % 4 == 3 {
                world.advance(Duration::from_secs(33));
            }
        }
        world.advance(Duration::from_secs(40));
        assert!(world.gateway.is_idle());
        assert_eq!(world.pool.available(), world.pool.capacity());
        BYTES.get()
    };
    let first = calls(&mut world, 60);
    assert_eq!(calls(&mut world, 2_000), first);
}

/// Bytes of a gateway without calls.
fn idle_bytes(trunks: u16, calls: usize) -> usize {
    let mut config = config(calls, None);
    let trunk = config.trunks[0].clone();
    config.trunks = (0..trunks)
        .map(|at| Trunk {
            name: format!("pbx{at}"),
            local_port: 40_000 + at,
            ..trunk.clone()
        })
        .collect();
    let pool = PacketPool::new(0);
    let before = BYTES.get();
    let gateway = counted(|| Gateway::new(config, Rng::from_number(1), NtpTime(0), pool).unwrap());
    let bytes = BYTES.get() - before;
    drop(gateway);
    usize::try_from(bytes).unwrap()
}

#[test]
fn a_gateway_without_calls_stays_within_its_memory() {
    let (one, two) = (idle_bytes(1, 32), idle_bytes(2, 32));
    let trunk = two - one;
    let most = TRUNK_STATE_BYTES + 32 * SIP_CALL_STATE_BYTES;
    assert!(
        trunk > 10_000 && trunk <= most,
        "a trunk takes {trunk} bytes"
    );
    let fixed = one - trunk;
    assert!(
        fixed > GATHER_BYTES && fixed <= FIXED_STATE_BYTES / 4,
        "{fixed} bytes"
    );
    let calls = idle_bytes(1, 132) - one;
    let most = 100 * SIP_CALL_STATE_BYTES;
    assert!(calls <= most, "the places of 100 calls take {calls} bytes");
    println!(
        "a trunk of 32 calls takes {trunk} bytes, 100 calls more take {calls}, the rest {fixed}"
    );
}
