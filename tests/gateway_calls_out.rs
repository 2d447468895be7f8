//! Calls that go out, on a virtual clock: from a request to an INVITE, to media, to RTMP, to the end.

mod gateway_support;
mod rtp_support;

use std::net::SocketAddr;
use std::time::Duration;

use gateway_support::callee::{Callee, answer, respond_in};
use gateway_support::handset::{Handset, Picture, Sound};
use gateway_support::*;
use trunkcast::base::codec::Track;
use trunkcast::base::network::Transport;
use trunkcast::base::redact::Secret;
use trunkcast::base::srtp::SrtpPolicy;
use trunkcast::gateway::call::Call;
use trunkcast::gateway::config::{Host, HostPort, Register, Trunk, rtmp_url};
use trunkcast::gateway::outgoing::{CallRefused, CallRequest};
use trunkcast::gateway::status::CallStatus;
use trunkcast::rtmp::RtmpStatus;
use trunkcast::sip::SipTarget;
use trunkcast::wire::flv::{AudioHead, Part, VideoHead};
use trunkcast::wire::rtmp_message::kind;

const SECOND: Duration = Duration::from_secs(1);

/// The PBX of these tests; it is no host that may call.
const PBX: &str = "203.0.113.9:5060";

/// A request of sound and pictures to the server of [`HOME`].
fn request(call_id: &str) -> CallRequest {
    CallRequest {
        call_id: call_id.to_owned(),
        callee: "1002".to_owned(),
        login: "1001".to_owned(),
        authentication_name: "1001".to_owned(),
        password: Some(Secret::new("hunter2".to_owned())),
        domain: "203.0.113.9".parse().unwrap(),
        outbound_proxy: None,
        port: None,
        register: false,
        visible_name: Some("Lobby".to_owned()),
        has_audio: true,
        has_video: true,
        to_stream: None,
        rtmp_url: Some(rtmp_url("rtmp://198.51.100.5/live").unwrap()),
        rtmp_stream: Some(Secret::new(format!("key-of-{call_id}"))),
        rtmp_name_as_given: false,
        app_key: None,
    }
}

fn start(world: &mut World, request: CallRequest) -> Result<(), CallRefused> {
    let World {
        gateway,
        outlet,
        now,
        ..
    } = world;
    let started = gateway.start_call(*now, request, outlet);
    world.settle();
    started
}

fn terminate(world: &mut World, call_id: &str) -> bool {
    let World {
        gateway,
        outlet,
        now,
        ..
    } = world;
    let known = gateway.terminate_call(*now, call_id, outlet);
    world.settle();
    known
}

/// The live call of a Call-ID.
fn live<'a>(world: &'a World, call_id: &str) -> Option<&'a Call> {
    let mut calls = world.gateway.calls();
    calls.find(|call| call.is_live() && call.sip_call_id == call_id)
}

fn status_of(world: &World, call_id: &str) -> CallStatus {
    live(world, call_id).expect("the call is gone").status
}

/// A call that was started and whose INVITE is out.
fn calling(call_id: &str) -> (World, Callee) {
    let mut world = World::local(4);
    start(&mut world, request(call_id)).unwrap();
    let callee = Callee::called(&mut world, PBX);
    (world, callee)
}

/// A call that was answered at once.
fn answered(call_id: &str) -> (World, Callee) {
    let (mut world, callee) = calling(call_id);
    callee.respond(&mut world, 200, "one", &callee.answer());
    assert_eq!(status_of(&world, call_id), CallStatus::Established);
    (world, callee)
}

/// Sends the media of a handset to the ports of the offer for a time.
fn film(world: &mut World, callee: &Callee, handset: &mut Handset, time: Duration) {
    handset.live(world, time, |world, track, mut bytes| {
        if track == Track::Video {
            // The number that the offer has for H.264.
            bytes[1] = bytes[1] & 0x80 | 97;
        }
        world.media(&callee.phone, track, &bytes);
    });
}

/// Nothing is left of any call.
fn assert_over(world: &mut World) {
    world.advance(40 * SECOND);
    world.gateway.check_invariants();
    assert_eq!(world.gateway.counters().calls_crashed, 0);
    assert!(world.gateway.is_idle());
    let usage = world.gateway.usage();
    assert_eq!((usage.calls, usage.ports, usage.connections), (0, 0, 0));
    assert_eq!(world.pool.available(), world.pool.capacity());
    assert_eq!(usage.sip, 0, "transactions are left");
}

#[test]
fn a_call_is_found_from_the_moment_that_it_is_started_until_it_ends() {
    let (mut world, callee) = calling("first");
    let call = live(&world, "first").unwrap();
    assert_eq!(call.status, CallStatus::Trying);
    assert_eq!(call.stream, "key-of-first");
    assert_eq!(call.label.callee, "1002");
    assert_eq!(call.rtmp_status(), Some(RtmpStatus::Wait));
    let out = call.outgoing.as_deref().unwrap();
    assert_eq!(out.sip_status, None);

    callee.respond(&mut world, 180, "one", "");
    assert_eq!(status_of(&world, "first"), CallStatus::Ring);
    callee.respond(&mut world, 200, "one", &callee.answer());
    assert_eq!(status_of(&world, "first"), CallStatus::Established);
    let call = live(&world, "first").unwrap();
    assert_eq!(call.outgoing.as_deref().unwrap().sip_status, Some(200));
    let heard = callee.heard(&mut world);
    assert!(heard[0].starts_with("ACK "), "{heard:?}");

    assert!(terminate(&mut world, "first"));
    assert!(live(&world, "first").is_none());
    let heard = callee.heard(&mut world);
    assert!(heard[0].starts_with("BYE "), "{heard:?}");
    assert!(!terminate(&mut world, "first"));
    assert_over(&mut world);
}

#[test]
fn the_invite_names_caller_callee_and_call_and_offers_both_lines() {
    let (_, callee) = calling("my-id");
    let invite = &callee.invite;
    assert!(invite.starts_with("INVITE sip:1002@203.0.113.9 SIP/2.0\r\n"));
    assert_eq!(headers(invite, "Call-ID"), ["my-id"]);
    let from = headers(invite, "From")[0];
    assert!(
        from.starts_with("\"Lobby\" <sip:1001@203.0.113.9>"),
        "{from}"
    );
    let contact = headers(invite, "Contact")[0];
    assert!(contact.contains("1001@192.0.2.1:40000"), "{contact}");
    let offer = callee.offer();
    assert_eq!(offer.matches("m=audio ").count(), 1);
    assert_eq!(offer.matches("m=video ").count(), 1);
    assert_eq!(offer.matches("a=sendrecv").count(), 2);
    for line in [
        "packetization-mode=1",
        "H264/90000",
        "telephone-event/8000",
        "nack pli",
    ] {
        assert!(offer.contains(line), "{line} is not in {offer}");
    }
    assert_eq!(
        offer.matches("H264/90000").count(),
        2,
        "both modes: {offer}"
    );
    assert!(!invite.contains("hunter2"));
}

#[test]
fn what_is_not_to_be_sent_is_offered_recvonly_and_stays_so() {
    for (audio, video) in [(true, false), (false, true), (false, false)] {
        let mut world = World::local(4);
        let mut asked = request("id");
        (asked.has_audio, asked.has_video) = (audio, video);
        start(&mut world, asked).unwrap();
        let callee = Callee::called(&mut world, PBX);
        let offer = callee.offer();
        let (sound, pictures) = offer.split_once("m=video ").unwrap();
        let direction = |sends| if sends { "a=sendrecv" } else { "a=recvonly" };
        assert!(sound.contains(direction(audio)), "{offer}");
        assert!(pictures.contains(direction(video)), "{offer}");
        callee.respond(
            &mut world,
            200,
            "one",
            &answer(callee.phone.media, "sendrecv"),
        );
        assert_eq!(status_of(&world, "id"), CallStatus::Established);
        world.advance(SECOND);
        let sent = |track| {
            let sent = world.outlet.sent_media.iter();
            sent.filter(|sent| sent.track == track && sent.bytes[1] & 0x7f < 72)
                .count()
        };
        assert_eq!(sent(Track::Audio) > 0, audio);
    }
}

#[test]
fn an_invite_fits_one_datagram_whatever_the_trunk_would_offer() {
    let all = ["opus", "speex", "aac", "pcmu", "pcma", "h264", "vp8"];
    for count in 2..=all.len() {
        let mut config = config(4, None);
        let codecs = all.iter().rev().take(count).rev();
        config.trunks[0].codecs = Some(
            codecs
                .filter_map(|name| trunkcast::gateway::config::codec_of_name(name))
                .collect(),
        );
        let mut world = World::new(config);
        let mut asked = request("d4f0c2a8-6b1e-4f53-9c77-0a1b2c3d4e5f");
        asked.rtmp_url = None;
        asked.rtmp_stream = None;
        asked.domain = "203.0.113.9".parse().unwrap();
        start(&mut world, asked).unwrap();
        let callee = Callee::called(&mut world, PBX);
        let length = callee.invite.len();
        assert!(
            length <= 1_200,
            "{count} codecs: {length} bytes\n{}",
            callee.invite
        );
        // What is wanted most is always there, and so is a second codec of sound beside it.
        assert!(callee.offer().contains("H264/90000") == (count >= 2));
        println!("{count} codecs: {length} bytes");
    }
    let (_, callee) = calling("d4f0c2a8-6b1e-4f53-9c77-0a1b2c3d4e5f");
    assert!(callee.invite.len() <= 1_200, "{}", callee.invite.len());
    for codec in ["PCMA/8000", "PCMU/8000", "H264/90000"] {
        assert!(callee.offer().contains(codec), "{}", callee.offer());
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
fn what_the_callee_sends_is_published_untouched_under_the_name_that_was_given() {
    let (mut world, mut callee) = answered("relay");
    assert_eq!(world.server().names, ["rtmp_key-of-relay"]);
    world.server().collects = true;
    let mut handset = Handset::new(Picture::H264, Sound::Pcma, 3);
    film(&mut world, &callee, &mut handset, 5 * SECOND);
    assert_eq!(
        live(&world, "relay").unwrap().rtmp_status(),
        Some(RtmpStatus::Active)
    );
    let bodies = std::mem::take(&mut world.server().bodies);
    let frames: Vec<&[u8]> = bodies
        .iter()
        .filter_map(|(kind, _, body)| frame_of(*kind, body))
        .collect();
    assert!(frames.len() > 350, "{} frames", frames.len());
    for frame in frames {
        assert!(handset.frames.contains(frame), "{} bytes", frame.len());
    }
    // Sound of ours keeps the call alive at the callee.
    let sent = world.outlet.sent_media.iter();
    let to = callee.phone.media;
    assert!(sent.filter(|sent| sent.to == to).count() > 200);

    // The callee hangs up.
    let heard = callee.request(&mut world, "BYE", "one");
    assert!(heard.iter().any(|text| status(text) == 200), "{heard:?}");
    assert!(live(&world, "relay").is_none());
    assert_eq!(world.notes("FINISH").len(), 1);
    assert!(world.server().commands().contains(&"FCUnpublish"));
    assert!(
        world.notes("key-of-relay").is_empty(),
        "a key in the journal"
    );
    assert_over(&mut world);
}

#[test]
fn a_stream_on_the_box_is_played_and_goes_nowhere_else() {
    let mut world = World::publishing(4);
    let mut asked = request("local");
    asked.rtmp_url = None;
    asked.rtmp_stream = None;
    asked.to_stream = Some("room".to_owned());
    start(&mut world, asked).unwrap();
    let callee = Callee::called(&mut world, PBX);
    callee.respond(&mut world, 200, "one", &callee.answer());
    world.play("room");
    let mut handset = Handset::new(Picture::H264, Sound::Pcma, 3);
    film(&mut world, &callee, &mut handset, 3 * SECOND);
    assert!(world.players[0].pictures().0 > 40);
    assert!(world.servers.is_empty());
    assert_eq!(live(&world, "local").unwrap().rtmp_status(), None);
    terminate(&mut world, "local");
    world.players.clear();
}

#[test]
fn both_outputs_at_once_have_their_own_names() {
    let mut world = World::local(4);
    let mut asked = request("both");
    asked.rtmp_name_as_given = true;
    asked.to_stream = Some("room".to_owned());
    start(&mut world, asked).unwrap();
    assert!(world.find("room").is_some());
    let callee = Callee::called(&mut world, PBX);
    callee.respond(&mut world, 200, "one", &callee.answer());
    world.play("room");
    let mut handset = Handset::new(Picture::H264, Sound::Pcma, 3);
    film(&mut world, &callee, &mut handset, 3 * SECOND);
    assert!(world.players[0].pictures().0 > 40);
    assert_eq!(world.server().names, ["key-of-both"]);
    assert!(world.server().pictures() > 40);
}

#[test]
fn early_media_is_published_and_nothing_before_it() {
    let (mut world, callee) = calling("early");
    callee.respond(&mut world, 183, "one", &callee.answer());
    assert_eq!(status_of(&world, "early"), CallStatus::SessionProgress);
    world.advance(2 * SECOND);
    assert!(world.servers.is_empty(), "an empty stream");

    let mut handset = Handset::new(Picture::H264, Sound::Pcma, 3);
    film(&mut world, &callee, &mut handset, 3 * SECOND);
    assert!(world.server().pictures() > 40);
    let attempts = world.attempts.len();

    // The same description again: nothing is cut.
    callee.respond(&mut world, 200, "one", &callee.answer());
    assert_eq!(status_of(&world, "early"), CallStatus::Established);
    let before = world.server().pictures();
    film(&mut world, &callee, &mut handset, 2 * SECOND);
    assert!(world.server().pictures() >= before + 45);
    assert_eq!(world.attempts.len(), attempts, "connected anew");
    terminate(&mut world, "early");
    assert_over(&mut world);
}

#[test]
fn an_answer_may_move_the_media_that_came_early() {
    let (mut world, mut callee) = calling("moved");
    callee.respond(&mut world, 183, "one", &callee.answer());
    let mut handset = Handset::new(Picture::H264, Sound::Pcma, 3);
    film(&mut world, &callee, &mut handset, 2 * SECOND);
    let before = world.server().pictures();
    assert!(before > 20);

    let media: SocketAddr = "203.0.113.77:6000".parse().unwrap();
    callee.respond(&mut world, 200, "one", &answer(media, "sendrecv"));
    callee.phone.media = media;
    handset.asked = true;
    film(&mut world, &callee, &mut handset, 3 * SECOND);
    assert!(world.server().pictures() >= before + 60);
    assert_eq!(world.attempts.len(), 1, "connected anew");
    let last = world.outlet.sent_media.last().unwrap();
    assert_eq!(last.to.ip(), media.ip());
}

#[test]
fn of_forks_the_newest_early_one_is_heard_and_the_one_that_answers_in_the_end() {
    let (mut world, mut callee) = calling("forks");
    let places = [
        "203.0.113.21:4000",
        "203.0.113.22:4000",
        "203.0.113.23:4000",
    ];
    let [first, second, third] = places.map(|at| at.parse::<SocketAddr>().unwrap());
    let mut handset = Handset::new(Picture::H264, Sound::Pcma, 3);
    let mut from = 0;
    for (code, tag, media) in [(183, "a", first), (183, "b", second), (200, "c", third)] {
        callee.respond(&mut world, code, tag, &answer(media, "sendrecv"));
        callee.phone.media = media;
        handset.asked = true;
        film(&mut world, &callee, &mut handset, 3 * SECOND);
        let pictures = world.server().pictures();
        assert!(pictures >= from + 55, "{tag}: {pictures} after {from}");
        from = pictures;
    }
    assert_eq!(status_of(&world, "forks"), CallStatus::Established);
    assert_eq!(world.attempts.len(), 1);
}

#[test]
fn an_answer_without_description_takes_the_early_one() {
    let (mut world, callee) = calling("bare");
    callee.respond(&mut world, 183, "one", &callee.answer());
    callee.respond(&mut world, 200, "one", "");
    assert_eq!(status_of(&world, "bare"), CallStatus::Established);
    let mut handset = Handset::new(Picture::H264, Sound::Pcma, 3);
    film(&mut world, &callee, &mut handset, 2 * SECOND);
    assert!(world.server().pictures() > 20);
}

#[test]
fn an_answer_of_no_use_ends_the_call_with_words() {
    let (mut world, callee) = calling("useless");
    let sdp = "v=0\r\no=- 9 1 IN IP4 203.0.113.9\r\ns=-\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\n\
               m=audio 0 RTP/AVP 8\r\nm=video 0 RTP/AVP 97\r\n";
    callee.respond(&mut world, 200, "one", sdp);
    let heard = callee.heard(&mut world);
    assert!(
        heard.iter().any(|text| text.starts_with("BYE ")),
        "{heard:?}"
    );
    assert!(live(&world, "useless").is_none());
    assert_eq!(world.notes("FAILED (488").len(), 1);
    assert!(world.servers.is_empty());
    assert_over(&mut world);
}

#[test]
fn refusals_end_the_call_with_their_code_and_words() {
    for (code, status, words) in [
        (486, "BUSY (486", "Words"),
        (600, "BUSY (600", "Words"),
        (480, "FAILED (480", "Words"),
        (404, "FAILED (404", "Words"),
        (603, "FAILED (603", "Words"),
    ] {
        let (mut world, callee) = calling("refused");
        callee.refuse(&mut world, code, "");
        assert!(live(&world, "refused").is_none());
        let notes = world.notes(status);
        assert_eq!(notes.len(), 1, "{code}: {:?}", world.outlet.notes);
        assert!(notes[0].contains(words), "{notes:?}");
        let heard = callee.heard(&mut world);
        assert!(heard[0].starts_with("ACK "), "{heard:?}");
        assert!(world.servers.is_empty());
        // Its name is free at once.
        start(&mut world, request("refused")).unwrap();
        terminate(&mut world, "refused");
    }
}

#[test]
fn a_redirection_is_looked_up_and_followed() {
    let (mut world, callee) = calling("sent-on");
    callee.refuse(
        &mut world,
        302,
        "Contact: <sip:1002@other.example.net:5070>\r\n",
    );
    let (id, host, port) = world.outlet.look_ups[0].clone();
    assert_eq!((host.as_str(), port), ("other.example.net", Some(5_070)));
    assert!(live(&world, "sent-on").is_some());
    let target = SipTarget {
        transport: Transport::Udp,
        address: "203.0.113.50:5070".parse().unwrap(),
    };
    world.gateway.handle_looked_up(world.now, id, Ok(&[target]));
    world.settle();
    let other = Callee::called(&mut world, "203.0.113.50:5070");
    assert!(
        other
            .invite
            .starts_with("INVITE sip:1002@other.example.net:5070 ")
    );
    other.respond(&mut world, 200, "one", &other.answer());
    assert_eq!(status_of(&world, "sent-on"), CallStatus::Established);
}

#[test]
fn a_redirection_that_leads_nowhere_ends_the_call_with_words() {
    let (mut world, callee) = calling("sent-on");
    callee.refuse(&mut world, 302, "Contact: <sip:1002@other.example.net>\r\n");
    let (id, ..) = world.outlet.look_ups[0];
    world
        .gateway
        .handle_looked_up(world.now, id, Err("no such name"));
    world.settle();
    assert!(live(&world, "sent-on").is_none());
    let notes = world.notes("other.example.net: no such name");
    assert_eq!(notes.len(), 1, "{:?}", world.outlet.notes);
    assert_over(&mut world);
}

#[test]
fn names_are_looked_up_and_every_address_is_tried() {
    let mut world = World::local(4);
    let mut asked = request("named");
    asked.domain = "pbx.example.net".parse().unwrap();
    start(&mut world, asked).unwrap();
    assert_eq!(status_of(&world, "named"), CallStatus::Trying);
    let (id, host, port) = world.outlet.look_ups[0].clone();
    assert_eq!((host.as_str(), port), ("pbx.example.net", None));
    world.advance(SECOND);
    assert_eq!(world.outlet.look_ups.len(), 1, "asked once");
    let targets = ["203.0.113.30:5060", "203.0.113.31:5060"].map(|at| SipTarget {
        transport: Transport::Udp,
        address: at.parse().unwrap(),
    });
    world.gateway.handle_looked_up(world.now, id, Ok(&targets));
    world.settle();
    let first = Callee::called(&mut world, "203.0.113.30:5060");
    assert!(
        first
            .invite
            .starts_with("INVITE sip:1002@pbx.example.net SIP")
    );
    first.refuse(&mut world, 503, "");
    let second = Callee::called(&mut world, "203.0.113.31:5060");
    second.respond(&mut world, 200, "one", &second.answer());
    assert_eq!(status_of(&world, "named"), CallStatus::Established);
    // An answer that comes twice, or late, is nobody's.
    world.gateway.handle_looked_up(world.now, id, Err("late"));
    world.settle();
    assert_eq!(status_of(&world, "named"), CallStatus::Established);
}

#[test]
fn another_port_of_the_same_host_stands_in_where_the_trunk_names_both() {
    for (asked_port, stands_in) in [(None, true), (Some(5_060), true), (Some(5_090), false)] {
        let mut config = config(4, None);
        let trunk = &mut config.trunks[0];
        let host: Host = "203.0.113.9".parse().unwrap();
        trunk.proxy = Some(host.clone());
        trunk.targets = vec![HostPort::new(host, Some(5_070))];
        let mut world = World::new(config);
        let mut asked = request("stand-in");
        asked.port = asked_port;
        start(&mut world, asked).unwrap();
        let port = asked_port.unwrap_or(5_060);
        let first = Callee::called(&mut world, &format!("203.0.113.9:{port}"));
        first.refuse(&mut world, 503, "");
        assert_eq!(live(&world, "stand-in").is_some(), stands_in, "{port}");
        if stands_in {
            let second = Callee::called(&mut world, "203.0.113.9:5070");
            second.respond(&mut world, 200, "one", &second.answer());
            assert_eq!(status_of(&world, "stand-in"), CallStatus::Established);
        }
    }
}

#[test]
fn another_port_of_the_same_host_stands_in_for_a_pbx() {
    let mut config = config(4, None);
    config.trunks[0].proxy = Some("203.0.113.9".parse().unwrap());
    config.trunks[0].targets = ["203.0.113.9:5062", "203.0.113.9:5064"]
        .map(|at| at.parse().unwrap())
        .into_iter()
        .collect();
    let mut world = World::new(config);
    // The one that is named comes first, each of the others once.
    let mut asked = request("one");
    asked.port = Some(5062);
    start(&mut world, asked).unwrap();
    for at in ["203.0.113.9:5062", "203.0.113.9:5060", "203.0.113.9:5064"] {
        Callee::called(&mut world, at).refuse(&mut world, 503, "");
    }
    assert!(live(&world, "one").is_none());
}

#[test]
fn a_name_that_is_not_found_ends_the_call_with_words() {
    let mut world = World::local(4);
    let mut asked = request("named");
    asked.domain = "pbx.example.net".parse().unwrap();
    start(&mut world, asked.clone()).unwrap();
    let (id, ..) = world.outlet.look_ups[0];
    world
        .gateway
        .handle_looked_up(world.now, id, Err("no such name"));
    world.settle();
    assert!(live(&world, "named").is_none());
    assert_eq!(
        world
            .notes("FAILED (503 pbx.example.net: no such name)")
            .len(),
        1
    );

    world.outlet.no_look_ups = true;
    start(&mut world, asked).unwrap();
    assert!(live(&world, "named").is_none());
    assert_eq!(world.notes("too many look-ups").len(), 1);
    assert_over(&mut world);
}

#[test]
fn a_pbx_that_does_not_answer_ends_the_call() {
    let (mut world, callee) = calling("silent");
    world.advance(40 * SECOND);
    assert!(live(&world, "silent").is_none());
    assert!(callee.heard(&mut world).len() > 3, "it was not tried again");
    assert_eq!(
        world.notes("FAILED (408").len(),
        1,
        "{:?}",
        world.outlet.notes
    );
    assert_over(&mut world);
}

#[test]
fn a_callee_that_rings_is_left_alone_for_minutes_and_then_taken_back() {
    let (mut world, callee) = calling("rings");
    callee.respond(&mut world, 180, "one", "");
    world.advance(150 * SECOND);
    assert_eq!(status_of(&world, "rings"), CallStatus::Ring);
    callee.heard(&mut world);
    world.advance(200 * SECOND);
    assert!(live(&world, "rings").is_none());
    let heard = callee.heard(&mut world);
    assert!(heard[0].starts_with("CANCEL "), "{heard:?}");
}

#[test]
fn a_call_that_is_taken_back_before_its_answer_is_cancelled() {
    let (mut world, callee) = calling("back");
    callee.respond(&mut world, 180, "one", "");
    assert!(terminate(&mut world, "back"));
    assert!(live(&world, "back").is_none());
    let heard = callee.heard(&mut world);
    assert!(heard[0].starts_with("CANCEL "), "{heard:?}");
    callee.cancelled(&mut world, &heard[0]);
    let heard = callee.heard(&mut world);
    assert!(heard[0].starts_with("ACK "), "{heard:?}");
    assert_eq!(world.notes("FINISH (200 ended by request)").len(), 1);
    assert_over(&mut world);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_hung_up() {
    let (mut world, callee) = calling("crossed");
    callee.respond(&mut world, 180, "one", "");
    terminate(&mut world, "crossed");
    callee.respond(&mut world, 200, "one", &callee.answer());
    let heard = callee.heard(&mut world);
    let methods: Vec<_> = heard.iter().filter_map(|t| t.split(' ').next()).collect();
    assert_eq!(methods, ["CANCEL", "ACK", "BYE"]);
    assert!(live(&world, "crossed").is_none());
    assert!(world.servers.is_empty());
}

#[test]
fn a_call_is_taken_back_while_its_name_is_looked_up() {
    let mut world = World::local(4);
    let mut asked = request("named");
    asked.domain = "pbx.example.net".parse().unwrap();
    start(&mut world, asked).unwrap();
    assert!(terminate(&mut world, "named"));
    assert!(live(&world, "named").is_none());
    assert!(world.inbox.is_empty());
    assert_over(&mut world);
}

#[test]
fn names_in_use_refuse_a_second_call() {
    let (mut world, _) = calling("one");
    assert_eq!(
        start(&mut world, request("one")),
        Err(CallRefused::SameCallId)
    );
    let mut same = request("two");
    same.rtmp_stream = request("one").rtmp_stream;
    assert_eq!(
        start(&mut world, same.clone()),
        Err(CallRefused::SameTarget)
    );
    // The prefix that the client gave is the one that it would get.
    same.rtmp_stream = Some(Secret::new("rtmp_key-of-one".to_owned()));
    assert_eq!(
        start(&mut world, same.clone()),
        Err(CallRefused::SameTarget)
    );
    same.rtmp_stream = request("one").rtmp_stream;
    // The same name at another server is another stream, but not on this box.
    same.rtmp_url = Some(rtmp_url("rtmp://198.51.100.7/live").unwrap());
    assert_eq!(
        start(&mut world, same.clone()),
        Err(CallRefused::SameStream)
    );
    same.to_stream = Some("other".to_owned());
    assert_eq!(start(&mut world, same), Ok(()));
    assert_eq!(world.gateway.usage().calls, 2);

    // A caller cannot take the name either.
    let mut phone = Phone::new("x");
    phone.callee = "1002".to_owned();
    let mut local = request("three");
    (local.rtmp_url, local.rtmp_stream) = (None, None);
    local.to_stream = Some("rtmp_1002".to_owned());
    start(&mut world, local).unwrap();
    let answers = world.invite(&mut phone);
    assert_eq!(status(answers.last().unwrap()), 486);

    terminate(&mut world, "one");
    assert_eq!(start(&mut world, request("one")), Ok(()));
}

#[test]
fn what_is_full_refuses_a_call_and_counts_it() {
    let mut world = World::local(2);
    for id in ["1", "2"] {
        start(&mut world, request(id)).unwrap();
    }
    let full = Err(CallRefused::Full("every call is taken"));
    assert_eq!(start(&mut world, request("3")), full);
    assert_eq!(world.gateway.counters().calls_refused, 1);

    let mut config = config(8, None);
    config.media.ports = "31000-31005".parse().unwrap();
    let mut world = World::new(config);
    start(&mut world, request("1")).unwrap();
    let full = Err(CallRefused::Full("no media port is free"));
    assert_eq!(start(&mut world, request("2")), full);
}

#[test]
fn a_trunk_limits_its_calls_in_both_directions() {
    let mut config = config(8, None);
    config.trunks[0].calls = Some(2);
    let mut world = World::new(config);
    start(&mut world, request("out")).unwrap();
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let full = Err(CallRefused::Full("every call of the trunk is taken"));
    assert_eq!(start(&mut world, request("more")), full);
    let mut late = Phone::new("4712");
    let answers = world.invite(&mut late);
    assert_eq!(status(answers.last().unwrap()), 503);
    assert_eq!(world.gateway.counters().calls_refused, 2);
    assert_eq!(world.notes("every call of the trunk is taken").len(), 1);
    let view = world.gateway.trunks().next().unwrap();
    assert_eq!(
        (view.name(), view.calls(), view.limit()),
        ("pbx", 2, Some(2))
    );

    world.bye(&mut phone);
    assert_eq!(start(&mut world, request("more")), Ok(()));
}

#[test]
fn what_cannot_stand_in_a_request_is_refused_by_the_name_of_its_field() {
    let mut world = World::local(2);
    let mut bad = request("id");
    for login in ["", "10 01", "<1001>", "a\"b", "a@b", "a\r\nb"] {
        bad.login = login.to_owned();
        let refused = start(&mut world, bad.clone()).unwrap_err().to_string();
        assert!(refused.starts_with("sipLogin: "), "{refused}");
        assert!(refused.contains("reserved symbols"), "{refused}");
    }
    bad = request("id");
    bad.rtmp_url = Some(rtmp_url("rtmp://127.0.0.1/live").unwrap());
    let refused = start(&mut world, bad).unwrap_err().to_string();
    assert!(refused.starts_with("rtmpUrl: "), "{refused}");
    assert_eq!(world.gateway.usage().calls, 0);
    assert!(world.inbox.is_empty());
}

#[test]
fn the_trunk_is_that_of_the_pbx_and_else_the_first() {
    let mut config = config(4, None);
    let mut second = Trunk::new("other", 40_002);
    second.proxy = Some(Host::Name("PBX.example.net".to_owned()));
    config.trunks.push(second);
    let mut world = World::new(config);
    let mut asked = request("a");
    asked.domain = "pbx.example.net".parse().unwrap();
    start(&mut world, asked).unwrap();
    assert_eq!(live(&world, "a").unwrap().label.trunk, "other");
    let mut asked = request("b");
    asked.outbound_proxy = Some("pbx.example.net".parse().unwrap());
    start(&mut world, asked).unwrap();
    assert_eq!(live(&world, "b").unwrap().label.trunk, "other");
    start(&mut world, request("c")).unwrap();
    assert_eq!(live(&world, "c").unwrap().label.trunk, "pbx");
}

#[test]
fn an_outbound_proxy_is_a_loose_route() {
    let mut world = World::local(4);
    let mut asked = request("routed");
    asked.domain = "pbx.example.net".parse().unwrap();
    asked.outbound_proxy = Some("203.0.113.60".parse().unwrap());
    asked.port = Some(5_080);
    start(&mut world, asked).unwrap();
    let callee = Callee::called(&mut world, "203.0.113.60:5080");
    assert!(
        callee
            .invite
            .starts_with("INVITE sip:1002@pbx.example.net SIP")
    );
    assert_eq!(
        headers(&callee.invite, "Route"),
        ["<sip:203.0.113.60:5080;lr>"]
    );
}

#[test]
fn a_callee_that_holds_may_be_silent_and_one_that_should_send_may_not() {
    let (mut world, callee) = calling("held");
    let held = answer(callee.phone.media, "inactive");
    callee.respond(&mut world, 200, "one", &held);
    world.advance(600 * SECOND);
    assert_eq!(status_of(&world, "held"), CallStatus::Hold);

    let (mut world, callee) = answered("held");
    let mut handset = Handset::new(Picture::H264, Sound::Pcma, 3);
    film(&mut world, &callee, &mut handset, SECOND);
    // Nothing comes for two minutes from somebody who should send.
    world.advance(130 * SECOND);
    assert!(live(&world, "held").is_none());
    assert_eq!(world.notes("no media for").len(), 1);
}

#[test]
fn a_server_that_fails_ends_no_call() {
    let mut world = World::local(4);
    world.policy = Policy::Refuse;
    start(&mut world, request("alone")).unwrap();
    let callee = Callee::called(&mut world, PBX);
    callee.respond(&mut world, 200, "one", &callee.answer());
    let mut handset = Handset::new(Picture::H264, Sound::Pcma, 3);
    film(&mut world, &callee, &mut handset, 3 * SECOND);
    let call = live(&world, "alone").unwrap();
    assert_eq!(call.status, CallStatus::Established);
    assert_eq!(call.rtmp_status(), Some(RtmpStatus::Failed));
    world.policy = Policy::Accept;
    film(&mut world, &callee, &mut handset, 10 * SECOND);
    let call = live(&world, "alone").unwrap();
    assert_eq!(call.rtmp_status(), Some(RtmpStatus::Active));
    assert!(world.server().pictures() > 40);
    world.kill_server();
    let call = live(&world, "alone").unwrap();
    assert_eq!(call.rtmp_status(), Some(RtmpStatus::Lost));
}

#[test]
fn a_stop_takes_back_what_rings_and_hangs_up_what_is_up() {
    let mut world = World::local(4);
    for id in ["up", "rings"] {
        start(&mut world, request(id)).unwrap();
    }
    let mut named = request("named");
    named.domain = "pbx.example.net".parse().unwrap();
    start(&mut world, named).unwrap();
    let up = Callee::called(&mut world, PBX);
    let rings = Callee::called(&mut world, PBX);
    up.respond(&mut world, 200, "one", &up.answer());
    rings.respond(&mut world, 180, "two", "");
    world.gateway.stop(world.now);
    world.settle();
    assert_eq!(
        start(&mut world, request("late")),
        Err(CallRefused::Stopping)
    );
    let heard = up.heard(&mut world);
    assert!(
        heard.iter().any(|text| text.starts_with("BYE ")),
        "{heard:?}"
    );
    let heard = rings.heard(&mut world);
    assert!(heard[0].starts_with("CANCEL "), "{heard:?}");
    rings.cancelled(&mut world, &heard[0]);
    assert!(live(&world, "named").is_none());
    assert_over(&mut world);
}

#[test]
fn a_call_in_is_ended_by_its_name_too() {
    let mut world = World::local(2);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    assert!(terminate(&mut world, &phone.call_id));
    let heard = world.take(&phone);
    assert!(heard[0].starts_with("BYE "), "{heard:?}");
    assert!(!terminate(&mut world, &phone.call_id));
}

#[test]
fn a_request_of_the_pbx_that_was_called_does_not_let_it_call() {
    let (mut world, callee) = answered("heard");
    // It is heard for this call alone.
    let mut stranger = Phone::new("4711");
    stranger.remote = callee.remote;
    assert!(world.invite(&mut stranger).is_empty());
}

/// Takes the REGISTER that went to the PBX last.
fn register_of(world: &mut World) -> String {
    let wanted = |(_, text): &(SocketAddr, String)| text.starts_with("REGISTER ");
    let at = world.inbox.iter().position(wanted);
    let at = at.unwrap_or_else(|| panic!("no REGISTER: {:?}", world.inbox));
    world.inbox.remove(at).1
}

/// Answers a REGISTER, with the Contact that it asks for.
fn registered(world: &mut World, register: &str, code: u16, lines: &str) {
    let contact = headers(register, "Contact")[0].to_owned();
    let pbx: SocketAddr = PBX.parse().unwrap();
    let text = respond_in(register, code, "registrar", pbx, "");
    let bare = format!("Contact: <sip:{pbx}>\r\n");
    let bound = match code {
        200 if !contact.contains("expires=0") => format!("Contact: {contact};expires=600\r\n"),
        _ => String::new(),
    };
    world.sip(pbx, text.replace(&bare, &(bound + lines)));
}

fn registering(call_id: &str) -> CallRequest {
    CallRequest {
        register: true,
        ..request(call_id)
    }
}

#[test]
fn a_call_registers_first_where_that_is_asked_for_and_takes_it_back_in_the_end() {
    let mut world = World::local(4);
    start(&mut world, registering("one")).unwrap();
    let register = register_of(&mut world);
    assert!(
        register.starts_with("REGISTER sip:203.0.113.9 SIP/2.0\r\n"),
        "{register}"
    );
    assert!(headers(&register, "To")[0].contains("<sip:1001@203.0.113.9>"));
    assert!(world.inbox.is_empty(), "an INVITE before the registration");
    assert_eq!(status_of(&world, "one"), CallStatus::Trying);

    registered(
        &mut world,
        &register,
        200,
        "Service-Route: <sip:203.0.113.9;lr>\r\n",
    );
    let first = Callee::called(&mut world, PBX);
    assert_eq!(headers(&first.invite, "Route"), ["<sip:203.0.113.9;lr>"]);
    let view = world.gateway.trunks().next().unwrap();
    let names: Vec<_> = view
        .registrations()
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(names, ["sip:1001@203.0.113.9"]);

    // A second call of the same login shares it.
    start(&mut world, registering("two")).unwrap();
    let second = Callee::called(&mut world, PBX);
    assert_eq!(second.phone.call_id, "two");
    first.refuse(&mut world, 486, "");
    second.heard(&mut world);
    let leaves = |world: &World| {
        let mut inbox = world.inbox.iter();
        inbox.any(|(_, text)| text.starts_with("REGISTER "))
    };
    assert!(!leaves(&world), "taken back while a call needs it");
    second.refuse(&mut world, 486, "");
    let register = register_of(&mut world);
    assert!(
        register.contains("expires=0") || register.contains("Expires: 0"),
        "{register}"
    );
    registered(&mut world, &register, 200, "");
    assert_over(&mut world);
    let view = world.gateway.trunks().next().unwrap();
    assert_eq!(view.registrations().count(), 0);
}

#[test]
fn a_call_in_the_name_of_its_trunk_takes_the_route_that_the_registrar_named() {
    let mut config = config(4, None);
    config.trunks[0].proxy = Some("203.0.113.9".parse().unwrap());
    config.trunks[0].register = Some(Register {
        login: "1001".into(),
        authentication_name: "1001".into(),
        password: "hunter2".to_owned().into(),
        expires: 600,
        registrar: None,
        contact: "1001".into(),
    });
    let mut world = World::new(config);
    world.advance(Duration::from_millis(1));
    let register = register_of(&mut world);
    let route = "Service-Route: <sip:203.0.113.9;lr;way=1>\r\n";
    registered(&mut world, &register, 200, route);
    start(&mut world, request("one")).unwrap();
    let own = Callee::called(&mut world, PBX);
    assert_eq!(
        headers(&own.invite, "Route"),
        ["<sip:203.0.113.9;lr;way=1>"]
    );
    let other = CallRequest {
        login: "1003".to_owned(),
        ..request("two")
    };
    start(&mut world, other).unwrap();
    let other = Callee::called(&mut world, PBX);
    assert!(headers(&other.invite, "Route").is_empty());
}

#[test]
fn a_registration_that_is_refused_ends_its_call_with_words() {
    for (code, words) in [(404, "FAILED (404 "), (403, "FAILED (403 ")] {
        let mut world = World::local(4);
        start(&mut world, registering("one")).unwrap();
        let register = register_of(&mut world);
        registered(&mut world, &register, code, "");
        assert!(live(&world, "one").is_none(), "{code}");
        let notes = world.notes(words);
        assert_eq!(notes.len(), 1, "{:?}", world.outlet.notes);
        assert!(notes[0].contains("registration: "), "{notes:?}");
        let invites = world
            .inbox
            .iter()
            .filter(|(_, text)| text.starts_with("INVITE "));
        assert_eq!(invites.count(), 0);
        world.advance(40 * SECOND);
        assert!(world.gateway.is_idle());
    }
}

#[test]
fn a_call_is_taken_back_while_it_registers() {
    let mut world = World::local(4);
    start(&mut world, registering("one")).unwrap();
    register_of(&mut world);
    terminate(&mut world, "one");
    assert!(live(&world, "one").is_none());
    world.advance(100 * SECOND);
    assert!(world.gateway.is_idle());
    assert!(
        world
            .inbox
            .iter()
            .all(|(_, text)| text.starts_with("REGISTER "))
    );
    let view = world.gateway.trunks().next().unwrap();
    assert_eq!(view.registrations().count(), 0);
}

#[test]
fn a_trunk_that_demands_protection_offers_nothing_else() {
    let mut config = config(4, None);
    config.trunks[0].srtp = SrtpPolicy::Required;
    let mut world = World::new(config);
    start(&mut world, request("secret")).unwrap();
    let callee = Callee::called(&mut world, PBX);
    let offer = callee.offer();
    assert_eq!(offer.matches("RTP/SAVP").count(), 2, "{offer}");
    assert!(offer.matches("a=crypto:").count() >= 2, "{offer}");
    // It fits no datagram anyhow, so nothing is left out.
    assert!(offer.contains("VP8/90000") && offer.contains("speex/16000"));
    // An answer in the clear is no answer.
    callee.respond(&mut world, 200, "one", &callee.answer());
    assert!(live(&world, "secret").is_none());
    assert_eq!(world.notes("FAILED (488").len(), 1);
    assert!(world.servers.is_empty());
}
