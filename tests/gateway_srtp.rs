//! Calls whose media is protected by SRTP with keys in SDP: relayed unchanged, answered in kind, and
//! never in the clear again.

mod gateway_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use trunkcast::base::codec::Track;
use trunkcast::base::rng::Rng;
use trunkcast::base::srtp::{MasterKey, SrtpPolicy, Suite};
use trunkcast::gateway::outlet::MediaPort;
use trunkcast::gateway::status::CallStatus;
use trunkcast::wire::rtcp::{self, RtcpPacket};
use trunkcast::wire::rtp::RtpHeader;

const SECOND: Duration = Duration::from_secs(1);

fn key(suite: Suite, number: u64) -> MasterKey {
    MasterKey::random(suite, &mut Rng::from_number(number))
}

fn world(policy: SrtpPolicy) -> World {
    let mut config = config(4, Some("rtmp://198.51.100.5/live"));
    config.trunks[0].srtp = policy;
    World::new(config)
}

/// A protected call that is up.
fn protected(suite: Suite) -> (World, Phone) {
    let mut world = world(SrtpPolicy::Optional);
    let mut phone = Phone::new("4711");
    let key = key(suite, 7);
    phone.sdp = with_key(&phone.sdp, &key);
    world.call(&mut phone);
    assert_eq!(phone.told.matches("RTP/SAVP").count(), 2, "{}", phone.told);
    world.shield = Some(Shield::new(key, &phone.told));
    (world, phone)
}

/// What the RTMP server got of a call of eight seconds.
fn relayed(mut world: World, phone: &Phone) -> Vec<(u8, u32, Vec<u8>)> {
    world.server().collects = true;
    let mut camera = Camera::new(1);
    camera.film(&mut world, phone, 8 * SECOND);
    assert_eq!(world.server().pictures(), 200);
    std::mem::take(&mut world.server().bodies)
}

#[test]
fn sound_and_picture_of_a_protected_call_are_relayed_unchanged() {
    let mut clear = world(SrtpPolicy::Optional);
    let mut phone = Phone::new("4711");
    clear.call(&mut phone);
    let expected = relayed(clear, &phone);
    let media = expected.iter().filter(|(kind, ..)| matches!(kind, 8 | 9));
    assert!(media.count() >= 600);
    for suite in Suite::ALL {
        let (world, phone) = protected(suite);
        assert!(phone.told.contains(suite.name()));
        assert!(relayed(world, &phone) == expected, "{suite}");
    }
}

#[test]
fn the_line_of_the_call_names_the_suite_and_no_line_a_key() {
    let (mut world, phone) = protected(Suite::Aes128Tag80);
    assert_eq!(world.notes("with AES_CM_128_HMAC_SHA1_80").len(), 1);
    Camera::new(1).film(&mut world, &phone, SECOND);
    let mut phone = phone;
    world.bye(&mut phone);
    world.advance(40 * SECOND);
    assert!(world.notes("inline").is_empty());
    assert!(world.notes("failed SRTP").is_empty());
}

#[test]
fn all_that_we_send_in_a_protected_call_is_protected() {
    let (mut world, mut phone) = protected(Suite::Aes128Tag32);
    Camera::new(1).film(&mut world, &phone, 12 * SECOND);
    world.bye(&mut phone);
    let mut shield = world.shield.take().unwrap();
    let (mut silence, mut pictures, mut reports, mut byes) = (0, 0, 0, 0);
    for sent in &world.outlet.sent_media {
        let plain = shield.open(sent);
        if sent.port == MediaPort::Rtp {
            let header = RtpHeader::parse(&plain).unwrap();
            silence += usize::from(header.payload_type == 8);
            pictures += usize::from(header.payload_type != 8);
            continue;
        }
        for packet in rtcp::packets(&plain).map(Result::unwrap) {
            match packet {
                RtcpPacket::SenderReport { blocks, .. } => {
                    reports += 1;
                    assert!(blocks.iter().all(|block| matches!(block.ssrc, 5 | 7)));
                }
                RtcpPacket::Bye(_) => byes += 1,
                _ => {}
            }
        }
    }
    assert!(
        silence >= 590 && pictures >= 12 && reports >= 3,
        "{silence} {pictures} {reports}"
    );
    assert_eq!(byes, 2);
}

#[test]
fn reports_of_a_protected_phone_are_understood_also_on_its_rtp_port() {
    for mux in [false, true] {
        let mut world = world(SrtpPolicy::Optional);
        let mut phone = Phone::new("4711");
        let key = key(Suite::Aes256Tag80, 7);
        phone.sdp = with_key(&phone.sdp, &key);
        if mux {
            let line = "a=rtpmap:8 PCMA/8000\r\n";
            phone.sdp = phone.sdp.replace(line, &format!("{line}a=rtcp-mux\r\n"));
        }
        world.call(&mut phone);
        assert_eq!(phone.told.contains("a=rtcp-mux"), mux);
        world.shield = Some(Shield::new(key, &phone.told));
        Camera::new(1).film(&mut world, &phone, SECOND);
        let report = sender_report(world.now, 5, 8_000);
        // In the clear it is nothing.
        let mut from = phone.media_source(Track::Audio);
        let mut port = phone.audio_port.unwrap();
        if !mux {
            from.set_port(from.port() + 1);
            port += 1;
        }
        world.datagram(from, port, &report);
        let call = world.find("rtmp_4711").unwrap();
        assert_eq!(call.session.rtcp_counters().received, 0);
        let bytes = world.shielded(Track::Audio, &report);
        world.datagram(from, port, &bytes);
        let call = world.find("rtmp_4711").unwrap();
        let counters = *call.session.rtcp_counters();
        assert_eq!((counters.received, counters.malformed), (1, 0));
        assert_eq!(call.session.stats(Track::Audio).srtp.dropped(), 1);
        // Played again, it is nothing either.
        world.datagram(from, port, &bytes);
        let call = world.find("rtmp_4711").unwrap();
        assert_eq!(call.session.rtcp_counters().received, 1);
        assert_eq!(call.session.stats(Track::Audio).srtp.replayed, 1);
    }
}

#[test]
fn what_does_not_authenticate_is_counted_and_neither_heard_nor_taken_for_life() {
    let (mut world, phone) = protected(Suite::Aes128Tag80);
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, SECOND);
    let sounds = world.server().sounds();
    let from = phone.media_source(Track::Audio);
    let port = phone.audio_port.unwrap();
    let counted = |world: &World| {
        let call = world.find("rtmp_4711").unwrap();
        let stats = call.session.stats(Track::Audio);
        (stats.packets, stats.srtp)
    };
    let (before, _) = counted(&world);
    for at in 0..20 {
        // In the clear, from the right address, with the right source and the next numbers.
        let bytes = rtp_support::packet(8, false, 50 + at, 9_000, 5, &[1; 160]);
        world.datagram(from, port, &bytes);
        // And protected, but changed on the way.
        let mut bytes = world.shielded(Track::Audio, &bytes);
        bytes[20] ^= 1;
        world.datagram(from, port, &bytes);
    }
    let (packets, srtp) = counted(&world);
    assert_eq!((packets, srtp.unauthentic), (before, 40));
    assert_eq!(world.server().sounds(), sounds);
    // The call whose media stops is over, whatever else comes.
    for _ in 0..300 {
        let bytes = rtp_support::packet(8, false, 90, 9_000, 5, &[1; 160]);
        world.datagram(from, port, &bytes);
        world.advance(Duration::from_millis(500));
    }
    assert!(world.find("rtmp_4711").is_none());
    assert_eq!(world.notes("packets failed SRTP authentication").len(), 1);
}

#[test]
fn a_call_is_not_taken_out_of_protection() {
    let (mut world, mut phone) = protected(Suite::Aes128Tag80);
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, SECOND);
    let before = world.server().pictures();
    let clear = phone.offer("sendrecv", true);
    assert_eq!(status(&world.reinvite(&mut phone, &clear)), 488);
    assert_eq!(
        world
            .notes("media in the clear in a call that has SRTP")
            .len(),
        1
    );
    assert_eq!(
        world.find("rtmp_4711").unwrap().status,
        CallStatus::Established
    );
    camera.film(&mut world, &phone, SECOND);
    assert_eq!(world.server().pictures(), before + 25);
}

#[test]
fn hold_and_resume_keep_the_keys_and_a_new_key_is_followed() {
    let (mut world, mut phone) = protected(Suite::Aes128Tag80);
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, SECOND);
    let key_of = |phone: &Phone| {
        let line = phone.told.lines().find(|line| line.starts_with("a=crypto"));
        line.unwrap().to_owned()
    };
    let ours = key_of(&phone);
    let own = world.shield.as_ref().unwrap().key.clone();
    for direction in ["inactive", "sendrecv"] {
        let offer = with_key(&phone.offer(direction, true), &own);
        assert_eq!(status(&world.reinvite(&mut phone, &offer)), 200);
        assert_eq!(key_of(&phone), ours);
    }
    let before = world.server().sounds();
    camera.film(&mut world, &phone, SECOND);
    assert_eq!(world.server().sounds(), before + 50);

    let new = key(Suite::Aes256Tag80, 8);
    let offer = with_key(&phone.offer("sendrecv", true), &new);
    assert_eq!(status(&world.reinvite(&mut phone, &offer)), 200);
    assert_ne!(key_of(&phone), ours);
    world.shield = Some(Shield::new(new, &phone.told));
    world.outlet.sent_media.clear();
    let before = world.server().sounds();
    camera.film(&mut world, &phone, SECOND);
    assert_eq!(world.server().sounds(), before + 50);
    let sent = std::mem::take(&mut world.outlet.sent_media);
    let mut shield = world.shield.take().unwrap();
    assert!(sent.len() > 45);
    for sent in &sent {
        shield.open(sent);
    }
}

#[test]
fn a_trunk_that_requires_srtp_takes_no_other_call() {
    let mut world = world(SrtpPolicy::Required);
    let mut phone = Phone::new("4711");
    let answers = world.invite(&mut phone);
    let refusal = answers.last().unwrap();
    assert_eq!(status(refusal), 488);
    assert!(
        refusal.starts_with("SIP/2.0 488 this trunk requires SRTP\r\n"),
        "{refusal}"
    );
    let usage = world.gateway.usage();
    assert_eq!((usage.calls, usage.ports), (0, 0));
}

#[test]
fn keys_that_anybody_could_read_are_not_taken_by_default() {
    let mut world = world(SrtpPolicy::default());
    let mut phone = Phone::new("4711");
    phone.sdp = with_key(&phone.sdp, &key(Suite::Aes128Tag80, 7));
    let answers = world.invite(&mut phone);
    assert_eq!(status(answers.last().unwrap()), 488);
    assert_eq!(world.notes("keys of SRTP are taken over TLS only").len(), 1);
}
