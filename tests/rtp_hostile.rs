//! Truncated, altered and random input to a call's media: no panic, bounded holding, no buffer lost.

mod rtp_support;

use std::time::Duration;

use rtp_support::*;
use trunkcast::base::codec::Track;
use trunkcast::base::rng::Rng;
use trunkcast::rtp::report::Content;
use trunkcast::rtp::report::Reporter;
use trunkcast::wire::rtcp::SenderInfo;

fn real_packets(seed: u64) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for form in [Form::Fragments, Form::Slices] {
        let mut sender = VideoSender::new(form, seed);
        for at in 0..4 {
            packets.extend(sender.picture(at % 2 == 0));
        }
    }
    packets
}

#[test]
fn every_truncation_of_a_packet_is_survived() {
    let mut world = World::new(Network::default(), 1);
    let from = PEER.parse().unwrap();
    for packet in real_packets(1) {
        for length in 0..packet.len() {
            world.deliver(Track::Video, from, &packet[..length]);
            world.deliver(Track::Audio, from, &packet[..length]);
        }
        world.run_until(world.now + Duration::from_millis(1));
    }
    let stats = world.session.stats(Track::Video);
    assert!(stats.malformed > 0 && stats.reorder.duplicates > 0);
    world.assert_no_buffer_is_lost();
}

#[test]
fn altered_packets_between_real_ones_are_survived() {
    for seed in 0..4 {
        let mut rng = Rng::from_number(seed);
        let mut world = World::new(Network::default(), seed);
        let from = PEER.parse().unwrap();
        let packets = real_packets(seed);
        for round in 0..40_u16 {
            for packet in &packets {
                let mut bytes = packet.clone();
                // The sequence goes on, so that most packets get through to the depacketizer.
                let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
                let sequence = sequence.wrapping_add(round * packets.len() as u16);
                bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
                for _ in 0..rng.below(4) {
                    let head = if rng.below(2) == 0 {
                        20
                    } else {
                        bytes.len() as u32
                    };
                    let at = rng.below(head.min(bytes.len() as u32)) as usize;
                    bytes[at] = rng.u32() as u8;
                }
                let length = bytes.len() - rng.below(3).min(bytes.len() as u32) as usize;
                world.deliver(Track::Video, from, &bytes[..length]);
                if rng.below(8) == 0 {
                    world.run_until(world.now + Duration::from_millis(u64::from(rng.below(60))));
                }
            }
        }
        assert!(world.session.stats(Track::Video).h264.malformed > 0);
        world.assert_no_buffer_is_lost();
    }
}

#[test]
fn random_datagrams_are_survived_on_both_ports() {
    let mut rng = Rng::from_number(8);
    let mut world = World::new(Network::default(), 8);
    let from = PEER.parse().unwrap();
    for _ in 0..40_000 {
        let mut bytes = vec![0; rng.below(80) as usize];
        rng.fill(&mut bytes);
        if let [first, kind, ..] = &mut bytes[..] {
            *first = *first & 0x3f | 0x80;
            *kind = [96, 8, 101, 200, 201, 203, 206, *kind][rng.below(8) as usize];
        }
        let track = if rng.below(2) == 0 {
            Track::Audio
        } else {
            Track::Video
        };
        world.deliver(track, from, &bytes);
        world.session.handle_rtcp(world.now, track, from, &bytes);
        world.run_until(world.now + Duration::from_micros(u64::from(rng.below(2_000))));
    }
    world.assert_no_buffer_is_lost();
}

#[test]
fn every_truncation_and_alteration_of_a_report_is_survived() {
    let mut rng = Rng::from_number(9);
    let mut world = World::new(Network::default(), 9);
    let from = PEER.parse().unwrap();
    let mut reporter = Reporter::new(7, "phone", Rng::from_number(1));
    let mut report = [0; 256];
    let content = Content {
        sent: Some(SenderInfo::default()),
        reception: None,
    };
    let length = reporter.write_bye(world.now, content, &mut report).unwrap();
    let report = &report[..length];
    for length in 0..report.len() {
        world
            .session
            .handle_rtcp(world.now, Track::Video, from, &report[..length]);
    }
    for _ in 0..40_000 {
        let mut bytes = report.to_vec();
        for _ in 0..=rng.below(3) {
            let at = rng.below(length as u32) as usize;
            bytes[at] = rng.u32() as u8;
        }
        world
            .session
            .handle_rtcp(world.now, Track::Video, from, &bytes);
    }
    assert!(world.session.rtcp_counters().malformed > 0);
    world.assert_no_buffer_is_lost();
}

#[test]
fn an_access_unit_without_end_holds_a_bounded_number_of_buffers() {
    let mut world = World::new(Network::default(), 1);
    let from = PEER.parse().unwrap();
    let mut least = POOL;
    for sequence in 0..5_000_u16 {
        // Fragments of an IDR slice that never ends.
        let payload: &[u8] = match sequence {
            0 => SPS,
            1 => PPS,
            2 => &[0x7c, 0x80 | 5, 0x88, 0x80],
            _ => &[0x7c, 5, 0x88],
        };
        let bytes = packet(VIDEO_TYPE, false, sequence, 1, 7, payload);
        world.deliver(Track::Video, from, &bytes);
        least = least.min(world.pool.available());
    }
    assert_eq!(least, POOL - trunkcast::limits::FRAME_SEGMENTS);
    assert_eq!(world.pool.available(), POOL);
    assert!(world.video().is_empty());
    world.assert_no_buffer_is_lost();
}

#[test]
fn an_empty_pool_loses_packets_and_nothing_else() {
    let mut world = World::new(Network::default(), 1);
    let mut sender = VideoSender::new(Form::Slices, 1);
    film(&mut world, &mut sender, 10, 5);
    let taken: Vec<_> = std::iter::from_fn(|| world.pool.take()).collect();
    assert_eq!(taken.len(), POOL);
    film(&mut world, &mut sender, 10, 5);
    drop(taken);
    film(&mut world, &mut sender, 30, 5);
    let shown = shown(&world, &sender);
    assert!(shown.iter().all(|number| !(10..20).contains(number)));
    assert!(shown.len() >= 10 + 25, "{shown:?}");
    world.assert_no_buffer_is_lost();
}
