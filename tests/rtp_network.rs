//! Video and audio through a network that loses, repeats, delays and reorders packets: only whole
//! frames come out, none is lost without loss, and the picture comes back with the next keyframe.

mod rtp_support;

use std::time::Duration;

use rtp_support::*;
use trunkcast::base::codec::Track;
use trunkcast::base::time::{Instant, NtpTime};
use trunkcast::wire::rtcp::{CompoundWriter, SenderInfo};

const FORMS: [Form; 2] = [Form::Fragments, Form::Slices];

/// The pictures that a receiver can decode of those sent.
fn decodable(sender: &VideoSender) -> Vec<usize> {
    let mut last_was = false;
    let pictures = sender.pictures.iter().enumerate();
    let decodable = pictures.filter(|(_, picture)| {
        last_was = picture.intact && (picture.keyframe || last_was);
        last_was
    });
    decodable.map(|(number, _)| number).collect()
}

#[test]
fn no_frame_is_lost_without_loss() {
    for form in FORMS {
        for seed in 0..6 {
            // Sequence numbers and timestamps both wrap on the way.
            let network = Network {
                duplication: 50,
                jitter: 19_000,
                loss: 0,
            };
            let mut world = World::new(network, seed);
            let mut sender = VideoSender::new(form, seed);
            film(&mut world, &mut sender, 121, 50);
            assert!(sender.sequence < 60_000 && sender.timestamp < 1_000_000);
            assert_eq!(shown(&world, &sender), (0..121).collect::<Vec<_>>());
            let stats = world.session.stats(Track::Video);
            assert!(stats.reorder.reordered > 50 && stats.reorder.duplicates > 10);
            assert_eq!(
                stats.reorder.lost + stats.h264.damaged + stats.h264.withheld,
                0
            );
            assert_eq!(world.asked, []);
            world.assert_no_buffer_is_lost();
        }
    }
}

#[test]
fn a_sender_without_markers_loses_no_frame_either() {
    for form in FORMS {
        let network = Network {
            duplication: 50,
            jitter: 0,
            loss: 0,
        };
        let mut world = World::new(network, 1);
        let mut sender = VideoSender::new(form, 1);
        sender.markers = false;
        film(&mut world, &mut sender, 100, 40);
        // Only the next picture tells that one is whole, and of the last one a quiet time.
        assert_eq!(shown(&world, &sender), (0..100).collect::<Vec<_>>());
        let last = world.video().last().map(|out| out.at.since(out.received));
        assert_eq!(last, Some(Duration::from_millis(120)));
        world.assert_no_buffer_is_lost();
    }
}

#[test]
fn exactly_what_can_be_decoded_comes_out_under_loss() {
    for form in FORMS {
        for (seed, loss) in [(1, 2), (2, 10), (3, 30), (4, 100), (5, 300)] {
            let network = Network {
                loss,
                duplication: 20,
                jitter: 10_000,
            };
            let mut world = World::new(network, seed);
            let mut sender = VideoSender::new(form, seed);
            film(&mut world, &mut sender, 400, 100);
            let shown = shown(&world, &sender);
            assert_eq!(shown, decodable(&sender), "{form:?} {loss}");
            let stats = world.session.stats(Track::Video);
            assert!(stats.reorder.lost > 0 && !world.asked.is_empty());
            world.assert_no_buffer_is_lost();
        }
    }
}

#[test]
fn no_damaged_frame_comes_out_without_markers_or_with_great_jitter() {
    for form in FORMS {
        for seed in 0..6 {
            let network = Network {
                loss: 10,
                duplication: 20,
                jitter: 90_000,
            };
            let mut world = World::new(network, seed);
            let mut sender = VideoSender::new(form, seed);
            sender.markers = seed % 2 == 0;
            film(&mut world, &mut sender, 300, 60);
            let shown = shown(&world, &sender);
            assert!(shown.len() > 30, "{form:?} {seed}: {}", shown.len());
            world.assert_no_buffer_is_lost();
        }
    }
}

#[test]
fn the_hold_grows_until_reordering_loses_nothing() {
    let mut world = World::new(Network::default(), 9);
    let mut sender = VideoSender::new(Form::Fragments, 9);
    film(&mut world, &mut sender, 1, 1);
    world.network.jitter = 55_000;
    film(&mut world, &mut sender, 200, 20);
    let learned = world.session.stats(Track::Video).reorder.lost;
    film(&mut world, &mut sender, 200, 20);
    let stats = world.session.stats(Track::Video);
    assert!(stats.hold > Duration::from_millis(55), "{:?}", stats.hold);
    assert_eq!(stats.reorder.lost, learned);
}

#[test]
fn a_keyframe_is_asked_for_within_10_ms_of_knowing() {
    let mut world = World::new(Network::default(), 2);
    let mut sender = VideoSender::new(Form::Slices, 2);
    film(&mut world, &mut sender, 10, 100);
    let mut packets = sender.picture(false);
    packets.remove(5);
    sender.pictures.last_mut().unwrap().intact = false;
    let noticed = world.now + Duration::from_millis(5);
    world.send(Track::Video, packets);
    let mut known = None;
    while known.is_none() {
        world.run_until(world.now + Duration::from_millis(1));
        known = (world.session.stats(Track::Video).reorder.lost > 0).then_some(world.now);
    }
    let asked = *world.asked.first().expect("nothing was asked for");
    assert!(asked <= noticed + Duration::from_millis(40 + 10));
    assert!(asked <= known.unwrap());
    film(&mut world, &mut sender, 10, 100);
    assert_eq!(shown(&world, &sender), decodable(&sender));

    // A defect that needs no waiting is known at once.
    world.asked.clear();
    world.run_until(world.now + Duration::from_secs(20));
    let mut packets = sender.picture(false);
    packets[3][12] |= 0x80;
    let arrives = world.now + Duration::from_millis(5);
    world.send(Track::Video, packets);
    world.run_until(arrives);
    assert_eq!(world.asked, [arrives]);
}

#[test]
fn a_call_that_begins_in_the_middle_asks_once_its_first_packet_is_known_to_be_the_first() {
    let mut world = World::new(Network::default(), 2);
    let mut sender = VideoSender::new(Form::Fragments, 2);
    sender.picture(true);
    let start = world.now;
    for _ in 0..3 {
        let packets = sender.picture(false);
        world.send(Track::Video, packets);
        world.run_until(world.now + Duration::from_millis(33));
    }
    assert_eq!(world.asked, [start + Duration::from_millis(5 + 20)]);
    assert!(world.video().is_empty());
}

#[test]
fn asking_is_paced_and_goes_on_until_a_keyframe_comes() {
    let mut world = World::new(Network::default(), 2);
    let mut sender = VideoSender::new(Form::Fragments, 2);
    for _ in 0..900 {
        let packets = sender.picture(false);
        world.send(Track::Video, packets);
        world.run_until(world.now + Duration::from_micros(33_333));
    }
    let asked = world.asked.clone();
    assert!(asked.len() >= 8, "{}", asked.len());
    assert!(!world.asked_by_info.is_empty());
    for pair in asked.windows(2) {
        assert!(pair[1].since(pair[0]) >= Duration::from_millis(500));
    }
    for span in asked.windows(7) {
        assert!(span[6].since(span[0]) >= Duration::from_secs(10));
    }
    let packets = sender.picture(true);
    world.send(Track::Video, packets);
    world.run_until(world.now + Duration::from_secs(20));
    let quiet = world.asked.last().copied().unwrap();
    assert!(world.now.since(quiet) >= Duration::from_secs(19));
}

#[test]
fn another_source_goes_on_where_the_first_ended() {
    for form in FORMS {
        let network = Network {
            duplication: 20,
            jitter: 0,
            loss: 0,
        };
        let mut world = World::new(network, 3);
        let mut sender = VideoSender::new(form, 3);
        film(&mut world, &mut sender, 60, 100);
        let before = world.video().last().unwrap().time;
        let (left, paused) = (world.now, Duration::from_millis(500));
        sender.ssrc = 8;
        sender.sequence = 30_000;
        sender.timestamp = 12;
        film(&mut world, &mut sender, 60, 100);
        assert_eq!(shown(&world, &sender), (0..120).collect::<Vec<_>>());
        // The pause between the two was as long as it is on the call's clock.
        let first = world.video()[60];
        assert!(first.at >= left);
        let step = first.time.micros_since(before);
        let pause = paused.as_micros() as i64;
        assert!((step - pause).abs() < 60_000, "{step}");
        let stats = world.session.stats(Track::Video);
        assert_eq!(stats.source.changed, 1);
        assert_eq!(stats.reorder.jumps + stats.reorder.lost, 0);
    }
}

#[test]
fn a_sender_that_starts_its_numbers_anew_is_followed_with_its_next_keyframe() {
    for form in FORMS {
        let mut world = World::new(Network::default(), 4);
        let mut sender = VideoSender::new(form, 4);
        film(&mut world, &mut sender, 30, 100);
        sender.sequence = sender.sequence.wrapping_add(20_000);
        film(&mut world, &mut sender, 30, 100);
        assert_eq!(shown(&world, &sender), (0..60).collect::<Vec<_>>());
        assert_eq!(world.session.stats(Track::Video).reorder.jumps, 1);
    }
}

#[test]
fn strangers_change_nothing() {
    let mut world = World::new(Network::default(), 5);
    let mut sender = VideoSender::new(Form::Fragments, 5);
    let mut other = VideoSender::new(Form::Fragments, 6);
    for at in 0..100 {
        let packets = sender.picture(at == 0);
        world.send(Track::Video, packets);
        for bytes in other.picture(true) {
            world.fly(Track::Video, "203.0.113.7:4000", bytes);
        }
        world.run_until(world.now + Duration::from_micros(33_333));
    }
    assert_eq!(shown(&world, &sender), (0..100).collect::<Vec<_>>());
    let stats = world.session.stats(Track::Video);
    assert!(stats.source.strangers > 90);
    assert_eq!(stats.source.latched, 0);
    world.assert_no_buffer_is_lost();
}

#[test]
fn a_phone_behind_a_nat_keeps_its_only_keyframe() {
    let mut world = World::new(Network::default(), 5);
    let mut sender = VideoSender::new(Form::Fragments, 5);
    for at in 0..30 {
        for bytes in sender.picture(at == 0) {
            world.fly(Track::Video, "198.51.100.4:61000", bytes);
        }
        world.run_until(world.now + Duration::from_micros(33_333));
    }
    assert_eq!(shown(&world, &sender), (0..30).collect::<Vec<_>>());
    assert_eq!(world.session.stats(Track::Video).source.latched, 1);
}

#[test]
fn audio_flows_at_once_and_unchanged() {
    let mut world = World::new(Network::default(), 6);
    let mut sent = Vec::new();
    for at in 0..200_u32 {
        let payload: Vec<u8> = (0..160).map(|_| world.rng.u32() as u8).collect();
        let sequence = 65_500_u16.wrapping_add(at as u16);
        let timestamp = 0xffff_f000_u32.wrapping_add(at * 160);
        let bytes = packet(AUDIO_TYPE, at == 0, sequence, timestamp, 5, &payload);
        sent.push((world.now + Duration::from_millis(5), payload));
        world.send(Track::Audio, vec![bytes]);
        world.run_until(world.now + Duration::from_millis(20));
    }
    let audio = world.audio();
    assert_eq!(audio.len(), 200);
    for (at, (out, (arrived, payload))) in audio.iter().zip(&sent).enumerate() {
        assert_eq!(out.at, *arrived, "held back");
        assert_eq!(&out.bytes, payload);
        let expected = at as i64 * 20_000;
        assert!((out.time.as_micros() - expected).abs() <= 1_000);
    }
    world.assert_no_buffer_is_lost();
}

#[test]
fn audio_goes_on_after_a_loss_at_the_deadline() {
    let mut world = World::new(Network::default(), 6);
    for at in [0_u16, 1, 2, 4, 5, 6, 7, 8] {
        let bytes = packet(
            AUDIO_TYPE,
            false,
            at,
            u32::from(at) * 160,
            5,
            &[at as u8; 160],
        );
        let due = Instant::from_millis(1_000 + u64::from(at) * 20);
        world.run_until(due);
        world.send(Track::Audio, vec![bytes]);
    }
    world.run_until(Instant::from_millis(2_000));
    let (at, sent): (Vec<_>, Vec<_>) = world
        .audio()
        .iter()
        .map(|out| (out.at.as_micros() / 1_000, out.bytes[0]))
        .unzip();
    assert_eq!(sent, [0, 1, 2, 4, 5, 6, 7, 8]);
    // Packet 4 came at 1085; its gap was given up 40 ms later.
    assert_eq!(at, [1_005, 1_025, 1_045, 1_125, 1_125, 1_125, 1_145, 1_165]);
}

#[test]
fn a_report_that_comes_before_its_source_places_the_track() {
    let mut world = World::new(Network::default(), 7);
    let mut sender = VideoSender::new(Form::Fragments, 7);
    let from = PEER.parse().unwrap();
    // Both were captured at the same moment, and the encoder needs 80 ms.
    for (track, ssrc, rtp_timestamp) in [
        (Track::Audio, 5, 800),
        (Track::Video, sender.ssrc, sender.timestamp),
    ] {
        let info = SenderInfo {
            ntp: NtpTime(0xe100_0000 << 32),
            rtp_timestamp,
            packets: 0,
            octets: 0,
        };
        let mut buffer = [0; 256];
        let mut writer = CompoundWriter::new(&mut buffer);
        writer.sender_report(ssrc, &info, None);
        writer.cname(ssrc, "phone");
        let length = writer.finish().unwrap();
        let now = world.now;
        world
            .session
            .handle_rtcp(now, track, from, &buffer[..length]);
    }
    for at in 0..8_u32 {
        let bytes = packet(AUDIO_TYPE, false, at as u16, 800 + at * 160, 5, &[1; 160]);
        world.send(Track::Audio, vec![bytes]);
        if at == 4 {
            let packets = sender.picture(true);
            world.send(Track::Video, packets);
        }
        world.run_until(world.now + Duration::from_millis(20));
    }
    assert_eq!(world.session.clock().counters().reports, 2);
    let picture = world.video()[0];
    let presented = picture.time.as_micros() + i64::from(picture.composition);
    assert_eq!(presented, world.audio()[0].time.as_micros());
    assert_eq!(world.session.skew(), Some(0));
}

#[test]
fn the_hold_of_audio_grows_until_reordering_loses_nothing() {
    let network = Network {
        jitter: 60_000,
        ..Network::default()
    };
    let mut world = World::new(network, 8);
    let mut learned = 0;
    for at in 0..1_500_u32 {
        let bytes = packet(AUDIO_TYPE, false, at as u16, at * 160, 5, &[1; 160]);
        world.send(Track::Audio, vec![bytes]);
        world.run_until(world.now + Duration::from_millis(20));
        if at == 500 {
            learned = world.session.stats(Track::Audio).reorder.lost;
        }
    }
    let stats = world.session.stats(Track::Audio);
    assert!(stats.hold > Duration::from_millis(55), "{:?}", stats.hold);
    assert_eq!(stats.reorder.lost, learned);
    let longest = world
        .audio()
        .iter()
        .map(|out| out.at.since(out.received))
        .max();
    assert!(longest <= Some(Duration::from_millis(60)), "{longest:?}");
}

#[test]
fn sixty_days_of_packets_wrap_every_number_without_a_break() {
    let mut world = World::new(Network::default(), 9);
    let mut sender = VideoSender::new(Form::Fragments, 9);
    sender.room = 1;
    let from = PEER.parse().unwrap();
    // Every hundred seconds a packet of each, as if all others had been taken out and the numbers
    // of the rest put together.
    let spacing = Duration::from_secs(100);
    let mut last = [None; 2];
    for number in 0..60 * 864_u32 {
        let voice = number.wrapping_mul(800_000).wrapping_add(0xfff0_0000);
        let sequence = 30_000_u16.wrapping_add(number as u16);
        let voice = packet(AUDIO_TYPE, false, sequence, voice, 5, &[7; 10]);
        let picture = sender.picture(number == 0);
        sender.timestamp = sender.timestamp.wrapping_add(9_000_000 - 3_000);
        world.deliver(Track::Audio, from, &voice);
        for bytes in picture {
            world.deliver(Track::Video, from, &bytes);
        }
        for out in world.out.drain(..) {
            let presented = out.time.as_micros() + i64::from(out.composition);
            let track = usize::from(out.track == Track::Video);
            if let Some(last) = last[track].replace(presented) {
                let off: i64 = presented - last - 100_000_000;
                assert!(off.abs() <= 1_000, "{number}: {off}");
            }
        }
        sender.pictures.clear();
        world.now = world.now + spacing;
    }
    for track in [Track::Audio, Track::Video] {
        let stats = world.session.stats(track);
        assert_eq!(stats.frames, 60 * 864);
        assert_eq!(stats.reorder.lost + stats.reorder.jumps, 0);
    }
    let counters = world.session.clock().counters();
    assert_eq!(counters.jumps + counters.clamped, 0);
    let stats = world.session.skew_stats();
    assert!(stats.max <= 1 && stats.pictures > 50_000, "{stats:?}");
}
