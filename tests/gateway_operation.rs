//! What an operator sees and does while calls are up.

mod gateway_support;
mod rtp_support;

use std::net::SocketAddr;
use std::time::Duration;

use gateway_support::*;
use rtp_support::packet;
use trunkcast::base::codec::Track;
use trunkcast::base::network::Transport;
use trunkcast::gateway::config::Host;
use trunkcast::limits::SIP_SPARE_CONNECTIONS;
use trunkcast::sip::SipTarget;
use trunkcast::wire::rtcp::{self, RtcpPacket};

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
    world.gateway.look_up_pbxs(&mut world.outlet);
    let (id, host, port) = world.outlet.look_ups.pop().unwrap();
    assert_eq!((host.as_str(), port), ("pbx.example", None));
    let target = SipTarget {
        transport: Transport::Udp,
        address: "192.0.2.10:5060".parse().unwrap(),
    };
    world.gateway.handle_looked_up(world.now, id, Ok(&[target]));
    // What was found stays in use.
    let failed = Err("cannot resolve pbx.example");
    world.gateway.handle_looked_up(world.now, id, failed);
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

#[test]
fn comfort_noise_between_sounds_holds_nothing_up_and_is_no_loss() {
    let mut world = World::local(1);
    let mut phone = Phone::new("1");
    phone.sdp = phone.offer("sendrecv", false);
    world.call(&mut phone);
    let player = world.play("rtmp_1");
    for at in 0..50_u16 {
        // Payload type 13 (RFC 3389) was not negotiated and comes all the same.
        let (kind, payload) = match at % 10 {
            5 => (13, &[0x40][..]),
            _ => (8, &[0xd5; 160][..]),
        };
        let bytes = packet(kind, false, at, u32::from(at) * 160, 5, payload);
        world.media(&phone, Track::Audio, &bytes);
        let sounds = usize::from(at - at / 10 - u16::from(at % 10 >= 5) + 1);
        assert_eq!(world.players[player].sounds(), sounds, "packet {at}");
        world.advance(Duration::from_millis(20));
    }
    let stats = world.find("rtmp_1").unwrap().session.stats(Track::Audio);
    assert_eq!(stats.reorder.lost, 0);
    assert_eq!(stats.wrong_payload_type, 5);
    let reports = world.outlet.sent_media.iter();
    let lost = reports
        .flat_map(|sent| rtcp::packets(&sent.bytes))
        .flatten();
    let lost = lost.filter_map(|packet| match packet {
        RtcpPacket::ReceiverReport { blocks, .. } | RtcpPacket::SenderReport { blocks, .. } => {
            blocks.first().map(|block| block.cumulative_lost)
        }
        _ => None,
    });
    assert!(lost.clone().count() > 0 && lost.clone().all(|lost| lost == 0));
}

#[test]
fn connections_that_make_room_for_others_are_closed_at_once() {
    let mut world = World::local(1);
    let most = 1 + SIP_SPARE_CONNECTIONS;
    for port in 0..most as u16 + 5 {
        world.sip_connect(SocketAddr::from(([192, 0, 2, 10], 20_000 + port)));
        world.settle();
    }
    assert_eq!(world.outlet.connections(), most);
}

#[test]
fn a_call_that_resumes_has_a_minute_to_be_heard() {
    let mut world = World::local(1);
    let mut phone = Phone::new("1");
    world.call(&mut phone);
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, Duration::from_secs(1));
    let hold = phone.offer("inactive", true);
    assert_eq!(status(&world.reinvite(&mut phone, &hold)), 200);
    world.advance(Duration::from_millis(178_500));
    let resume = phone.offer("sendrecv", true);
    assert_eq!(status(&world.reinvite(&mut phone, &resume)), 200);
    // The phone takes a while to open its camera and its microphone.
    world.advance(Duration::from_secs(50));
    assert!(
        world.find("rtmp_1").is_some(),
        "{:?}",
        world.notes("no media")
    );
    camera.film(&mut world, &phone, Duration::from_secs(90));
    assert!(world.find("rtmp_1").is_some());
}

#[test]
fn a_phone_that_holds_with_sendonly_and_sends_nothing_keeps_its_call() {
    let mut world = World::local(1);
    let mut phone = Phone::new("1");
    world.call(&mut phone);
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, Duration::from_secs(1));
    let hold = phone.offer("sendonly", true);
    assert_eq!(status(&world.reinvite(&mut phone, &hold)), 200);
    world.advance(Duration::from_secs(1_500));
    assert!(
        world.find("rtmp_1").is_some(),
        "{:?}",
        world.notes("no media")
    );
    let resume = phone.offer("sendrecv", true);
    assert_eq!(status(&world.reinvite(&mut phone, &resume)), 200);
    camera.film(&mut world, &phone, Duration::from_secs(1));
    assert!(world.find("rtmp_1").is_some());
    world.advance(Duration::from_secs(121));
    assert!(world.find("rtmp_1").is_none(), "not on hold, and silent");
}
