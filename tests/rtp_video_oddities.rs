//! VP8 and the odder forms of H.264, from packets to frames.

mod rtp_support;

use std::time::Duration;

use rtp::codecs::vp8::Vp8Payloader;
use rtp::packetizer::Payloader;
use rtp_support::*;
use trunkcast::base::codec::{CodecConfig, Track, Vp8Config};
use trunkcast::base::rng::Rng;
use trunkcast::rtp::session::Session;
use trunkcast::rtp::stream::{Codec, StreamConfig};

const CLIP: &[u8] = include_bytes!("data/media/motion_vp8.ivf");

/// The frames of an IVF file, which has a header of 32 bytes and one of 12 before each frame.
fn frames() -> Vec<Vec<u8>> {
    let mut rest = &CLIP[32..];
    let mut frames = Vec::new();
    while let Some((head, body)) = rest.split_first_chunk::<12>() {
        let (frame, after) =
            body.split_at(u32::from_le_bytes(*head.first_chunk().unwrap()) as usize);
        frames.push(frame.to_vec());
        rest = after;
    }
    assert_eq!(frames.len(), 50);
    frames
}

/// Sends the clip as another implementation packs it.
struct Projector {
    frames: Vec<Vec<u8>>,
    payloader: Vp8Payloader,
    sequence: u16,
    timestamp: u32,
    markers: bool,
}

impl Projector {
    fn new(picture_ids: bool) -> Self {
        let mut payloader = Vp8Payloader::default();
        payloader.enable_picture_id = picture_ids;
        Self {
            frames: frames(),
            payloader,
            sequence: 65_500,
            timestamp: u32::MAX - 50_000,
            markers: true,
        }
    }

    fn frame(&mut self, number: usize) -> Vec<Vec<u8>> {
        let frame = self.frames[number].clone().into();
        let payloads = self.payloader.payload(400, &frame).unwrap();
        let last = payloads.len() - 1;
        let packets = payloads.iter().enumerate().map(|(at, payload)| {
            self.sequence = self.sequence.wrapping_add(1);
            let marker = self.markers && at == last;
            packet(
                VIDEO_TYPE,
                marker,
                self.sequence,
                self.timestamp,
                7,
                payload,
            )
        });
        let packets = packets.collect();
        self.timestamp = self.timestamp.wrapping_add(3_600);
        packets
    }
}

fn vp8_world(network: Network, seed: u64) -> World {
    let mut world = World::new(network, seed);
    let config = StreamConfig {
        codec: Codec::Vp8,
        ..video_config()
    };
    world
        .session
        .configure(world.now, Track::Video, Some(config));
    world
}

const FRAME_TIME: Duration = Duration::from_millis(40);

#[test]
fn a_vp8_clip_comes_out_byte_for_byte() {
    for (picture_ids, markers) in [(false, true), (true, true), (true, false)] {
        let mut world = vp8_world(Network::default(), 1);
        let mut projector = Projector::new(picture_ids);
        projector.markers = markers;
        for number in 0..50 {
            let packets = projector.frame(number);
            assert!(world.send(Track::Video, packets));
            world.run_until(world.now + FRAME_TIME);
        }
        world.run_until(world.now + Duration::from_millis(500));
        let out = world.video();
        let bytes: Vec<_> = out.iter().map(|out| out.bytes.clone()).collect();
        assert!(bytes == projector.frames, "{} came", bytes.len());
        let size = Vp8Config {
            width: 320,
            height: 240,
        };
        for (number, out) in out.iter().enumerate() {
            assert_eq!(out.keyframe, number % 25 == 0);
            assert_eq!(out.config, CodecConfig::Vp8(size));
        }
        for two in out.windows(2) {
            assert_eq!(two[1].time.as_micros() - two[0].time.as_micros(), 40_000);
        }
        assert!(world.asked.is_empty());
        world.assert_no_buffer_is_lost();
    }
}

#[test]
fn what_comes_of_a_vp8_clip_under_loss_and_reordering_is_whole_and_can_be_decoded() {
    for seed in 0..30 {
        let network = Network {
            loss: 20,
            duplication: 20,
            jitter: 30_000,
        };
        let mut world = vp8_world(network, seed);
        let mut projector = Projector::new(seed % 2 == 0);
        for number in 0..50 {
            let packets = projector.frame(number);
            world.send(Track::Video, packets);
            world.run_until(world.now + FRAME_TIME);
        }
        world.run_until(world.now + Duration::from_millis(500));
        let mut last = None;
        for out in world.video() {
            let from = last.map_or(0, |last| last + 1);
            let ahead = projector.frames[from..]
                .iter()
                .position(|frame| *frame == out.bytes);
            let number = from + ahead.expect("a frame came that was not sent");
            assert!(
                out.keyframe || last == Some(number - 1),
                "{number} depends on a lost one"
            );
            last = Some(number);
        }
        let lost = world.session.stats(Track::Video).reorder.lost;
        assert!(lost == 0 || !world.asked.is_empty());
        world.assert_no_buffer_is_lost();
    }
}

#[test]
fn a_vp8_keyframe_is_asked_for_in_the_call_that_gives_a_packet_up() {
    let mut world = vp8_world(Network::default(), 1);
    let mut projector = Projector::new(true);
    let from = PEER.parse().unwrap();
    for number in 0..4 {
        for (at, bytes) in projector.frame(number).iter().enumerate() {
            if (number, at) != (2, 0) {
                world.deliver(Track::Video, from, bytes);
            }
        }
        world.run_until(world.now + Duration::from_millis(10));
    }
    assert!(world.asked.is_empty(), "it may still come");
    let due = world.session.poll_timeout().unwrap();
    world.run_until(world.now + Duration::from_millis(100));
    assert_eq!(world.asked.first(), Some(&due));
    assert_eq!(world.video().len(), 2);
}

#[test]
fn truncated_and_altered_vp8_packets_are_survived() {
    let mut projector = Projector::new(true);
    let packets: Vec<_> = (0..8).flat_map(|number| projector.frame(number)).collect();
    let from = PEER.parse().unwrap();
    let mut world = vp8_world(Network::default(), 1);
    for packet in &packets {
        for length in 0..packet.len() {
            world.deliver(Track::Video, from, &packet[..length]);
        }
        world.run_until(world.now + Duration::from_millis(5));
    }
    let mut rng = Rng::from_number(3);
    for round in 0..60_u16 {
        for packet in &packets {
            let mut bytes = packet.clone();
            let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
            let sequence = sequence.wrapping_add(round * packets.len() as u16);
            bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
            for _ in 0..rng.below(3) {
                let at = rng.below(40.min(bytes.len() as u32)) as usize;
                bytes[at] = rng.u32() as u8;
            }
            world.deliver(Track::Video, from, &bytes);
            assert!(world.session.held() <= 600);
        }
        world.run_until(world.now + Duration::from_millis(20));
    }
    assert!(world.session.stats(Track::Video).vp8.damaged > 0);
    world.assert_no_buffer_is_lost();
}

#[test]
fn a_change_of_codec_goes_on_with_the_other_codecs_keyframe() {
    let mut world = World::new(Network::default(), 1);
    let mut camera = VideoSender::new(Form::Fragments, 1);
    film(&mut world, &mut camera, 5, 25);
    let config = StreamConfig {
        codec: Codec::Vp8,
        ..video_config()
    };
    world
        .session
        .configure(world.now, Track::Video, Some(config));
    let mut projector = Projector::new(false);
    projector.sequence = camera.sequence;
    projector.timestamp = camera.timestamp;
    for number in 0..5 {
        let packets = projector.frame(number);
        world.send(Track::Video, packets);
        world.run_until(world.now + FRAME_TIME);
    }
    let out = world.video();
    assert_eq!(out.len(), 10);
    assert!(out[5].keyframe && matches!(out[5].config, CodecConfig::Vp8(_)));
    assert!(out.windows(2).all(|two| two[0].time < two[1].time));
}

/// A sender of single NAL units with timestamps `step` apart.
struct Sender {
    sequence: u16,
    timestamp: u32,
}

impl Sender {
    fn picture(&mut self, world: &mut World, marker: bool, nals: &[&[u8]]) {
        let from = PEER.parse().unwrap();
        for (at, nal) in nals.iter().enumerate() {
            let marker = marker && at + 1 == nals.len();
            let bytes = packet(VIDEO_TYPE, marker, self.sequence, self.timestamp, 7, nal);
            self.sequence = self.sequence.wrapping_add(1);
            world.deliver(Track::Video, from, &bytes);
        }
        self.timestamp = self.timestamp.wrapping_add(90_000);
        world.run_until(world.now + Duration::from_secs(1));
    }
}

const IDR: &[u8] = &[0x65, 0x88, 0x80, 1];
const SLICE: &[u8] = &[0x41, 0x9a, 0x20, 1];
const INTRA: &[u8] = &[0x41, 0x88, 0x80, 1];

#[test]
fn pictures_of_a_slow_sender_without_markers_do_not_wait_for_one_another() {
    let mut world = World::new(Network::default(), 1);
    let mut sender = Sender {
        sequence: 1,
        timestamp: 1,
    };
    sender.picture(&mut world, false, &[SPS, PPS, IDR]);
    for _ in 0..5 {
        sender.picture(&mut world, false, &[SLICE]);
    }
    let delays: Vec<_> = world
        .video()
        .iter()
        .map(|out| out.at.since(out.received))
        .collect();
    assert_eq!(delays.len(), 6);
    assert_eq!(
        delays[0],
        Duration::from_secs(1),
        "whether there are markers is not known"
    );
    assert!(
        delays[1..]
            .iter()
            .all(|delay| *delay == Duration::from_millis(120)),
        "{delays:?}"
    );
}

#[test]
fn an_encoder_with_intra_refresh_is_relayed_from_a_recovery_point_on() {
    let at_once: &[u8] = &[0x06, 6, 1, 0xc4, 0x80];
    let gradual: &[u8] = &[0x06, 6, 2, 0x0f, 0xc4, 0x80];
    let mut world = World::new(Network::default(), 1);
    let mut sender = Sender {
        sequence: 1,
        timestamp: 1,
    };
    sender.picture(&mut world, true, &[SPS, PPS, SLICE]);
    sender.picture(&mut world, true, &[SPS, PPS, at_once, INTRA]);
    sender.picture(&mut world, true, &[SLICE]);
    let keyframes = |world: &World| {
        world
            .video()
            .iter()
            .map(|out| out.keyframe)
            .collect::<Vec<_>>()
    };
    assert_eq!(keyframes(&world), [true, false]);

    // One whose picture is refreshed in parts, and which was asked in vain.
    let mut world = World::new(Network::default(), 1);
    let asked = |session: &Session| session.keyframes_asked();
    while asked(&world.session) < 3 {
        sender.picture(&mut world, true, &[SPS, PPS, gradual, SLICE]);
    }
    assert!(world.video().len() <= 1);
    sender.picture(&mut world, true, &[SPS, PPS, gradual, SLICE]);
    sender.picture(&mut world, true, &[SLICE]);
    assert!(world.video().first().is_some_and(|out| out.keyframe));
    assert!(world.video().len() >= 2);
    let before = asked(&world.session);
    sender.picture(&mut world, true, &[SLICE]);
    assert_eq!(asked(&world.session), before, "it is not asked any more");
}

#[test]
fn a_turned_picture_changes_the_configuration_with_its_keyframe() {
    let turned: &[u8] = &[
        0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0x90, 0x3d, 0xee, 0x7c, 0x04, 0x40, 0x00, 0x00, 0x03,
        0x00, 0x40, 0x00, 0x00, 0x0f, 0x03, 0xc5, 0x8b, 0x92,
    ];
    let mut world = World::new(Network::default(), 1);
    let mut sender = Sender {
        sequence: 1,
        timestamp: 1,
    };
    sender.picture(&mut world, true, &[SPS, PPS, IDR]);
    sender.picture(&mut world, true, &[SLICE]);
    sender.picture(&mut world, true, &[turned, PPS]);
    sender.picture(&mut world, true, &[SLICE]);
    sender.picture(&mut world, true, &[IDR]);
    sender.picture(&mut world, true, &[SLICE]);
    let widths: Vec<_> = world
        .video()
        .iter()
        .map(|out| match &out.config {
            CodecConfig::H264(config) => config.width,
            _ => 0,
        })
        .collect();
    assert_eq!(widths, [1280, 1280, 1280, 572, 572]);
    assert!(world.asked.is_empty());
}
