//! Frames to RTP and back: what the packetizers make, our depacketizers make whole again, byte by
//! byte; and what cannot be carried is refused.

mod rtp_support;

use std::rc::Rc;
use std::time::Duration;

use rtp_support::*;
use trunkcast::base::codec::{AacConfig, CodecConfig, H264Config, ParameterSet, Track, Vp8Config};
use trunkcast::base::frame_log::{Frame, FrameLog, Segment};
use trunkcast::base::packet_pool::PacketPool;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::{Instant, MediaTime};
use trunkcast::limits::{
    LOG_SEGMENTS, PACKET_BYTES, RTP_PAYLOAD_BYTES, RTP_WHOLE_PAYLOAD_BYTES, SEGMENT_PREFIX_BYTES,
};
use trunkcast::rtp::packetizer::{Packetizer, Unfit};
use trunkcast::rtp::stream::{Codec, StreamConfig};
use trunkcast::wire::aac::{
    AacPacking, Latm, Mpeg4Generic, audio_specific_config, stream_mux_config,
};

fn h264() -> Rc<CodecConfig> {
    Rc::new(CodecConfig::H264(H264Config {
        sps: ParameterSet::from_slice(SPS).unwrap(),
        pps: [ParameterSet::from_slice(PPS).unwrap()]
            .into_iter()
            .collect(),
        width: 1280,
        height: 720,
    }))
}

/// A log of one frame, its bytes in pieces of any size, as fragments of the network's making are.
fn log_of(
    pool: &PacketPool,
    rng: &mut Rng,
    config: &Rc<CodecConfig>,
    keyframe: bool,
    bytes: &[u8],
) -> Box<FrameLog> {
    let mut log = Box::new(FrameLog::new());
    let mut segments = heapless::Vec::<Segment, LOG_SEGMENTS>::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let prefix = rng.below(SEGMENT_PREFIX_BYTES as u32 + 1) as usize;
        let (prefix, after) = rest.split_at(prefix.min(rest.len()));
        let most = if rng.below(4) == 0 {
            9
        } else {
            PACKET_BYTES as u32
        };
        let payload = 1 + rng.below(most) as usize;
        let (payload, after) = after.split_at(payload.min(after.len()));
        let packet = pool.copy_from(payload).unwrap();
        segments.push(Segment::new(prefix, packet)).unwrap();
        rest = after;
    }
    let frame = Frame {
        track: config.codec().track(),
        time: MediaTime::ZERO,
        composition: 0,
        keyframe,
        config: config.clone(),
        received: Instant::ZERO,
    };
    log.push(frame, &mut segments).unwrap();
    log
}

/// Payloads of the one frame of a log.
fn payloads(packetizer: &mut Packetizer, log: &FrameLog) -> Result<Vec<Vec<u8>>, Unfit> {
    let view = log.get(log.start()).unwrap();
    packetizer.begin(view)?;
    let mut all = Vec::new();
    while !packetizer.is_done() {
        let mut out = [0; PACKET_BYTES];
        let part = packetizer.next(view, &mut out).expect("a payload");
        assert_eq!(part.ends, packetizer.is_done());
        assert!(part.len <= RTP_WHOLE_PAYLOAD_BYTES);
        all.push(out[..part.len].to_vec());
    }
    assert_eq!(packetizer.next(view, &mut [0; PACKET_BYTES]), None);
    Ok(all)
}

/// A receiver of one track.
struct Receiver {
    world: World,
    config: StreamConfig,
    track: Track,
    sequence: u16,
    timestamp: u32,
}

impl Receiver {
    fn new(track: Track, config: StreamConfig) -> Self {
        let mut world = World::new(Network::default(), 1);
        let stream = Some(config.clone());
        world.session.configure(world.now, track, stream);
        Self {
            world,
            config,
            track,
            sequence: 65_000,
            timestamp: u32::MAX - 50_000,
        }
    }

    /// Takes the payloads of one frame; what came out.
    fn take(&mut self, payloads: &[Vec<u8>], ticks: u32) -> Vec<Vec<u8>> {
        let before = self.world.out.len();
        for (at, payload) in payloads.iter().enumerate() {
            let marker = at + 1 == payloads.len();
            let number = self.config.payload_type;
            let bytes = packet(number, marker, self.sequence, self.timestamp, 9, payload);
            self.sequence = self.sequence.wrapping_add(1);
            let from = PEER.parse().unwrap();
            self.world.deliver(self.track, from, &bytes);
        }
        self.timestamp = self.timestamp.wrapping_add(ticks);
        let rate = u64::from(self.config.clock_rate);
        let step = Duration::from_micros(u64::from(ticks) * 1_000_000 / rate);
        self.world.run_until(self.world.now + step);
        let new = &self.world.out[before..];
        new.iter().map(|out| out.bytes.clone()).collect()
    }
}

/// The random pictures of a camera, in AVC form.
fn pictures(form: Form, room: u32, count: usize) -> Vec<Picture> {
    let mut camera = VideoSender::new(form, 3);
    camera.room = room;
    for at in 0..count {
        camera.picture(at.is_multiple_of(20));
    }
    camera.pictures
}

#[test]
fn thousands_of_pictures_of_any_size_come_out_of_our_depacketizer_as_they_were() {
    let pool = PacketPool::new(1_024);
    let mut rng = Rng::from_number(5);
    for (form, room, mode) in [
        (Form::Fragments, 200, 1),
        (Form::Fragments, 30_000, 1),
        (Form::Slices, 0, 1),
        (Form::Slices, 0, 0),
        (Form::Fragments, 1_300, 0),
    ] {
        let config = h264();
        let mut packetizer = Packetizer::h264(mode);
        let mut receiver = Receiver::new(Track::Video, video_config());
        for (at, picture) in pictures(form, room, 700).iter().enumerate() {
            let log = log_of(&pool, &mut rng, &config, picture.keyframe, &picture.bytes);
            let payloads = payloads(&mut packetizer, &log).unwrap();
            if mode == 0 {
                assert!(
                    payloads.iter().all(|it| it[0] & 0x1f < 24),
                    "only whole ones"
                );
            } else {
                assert!(payloads.iter().all(|it| it.len() <= RTP_PAYLOAD_BYTES));
                // Parameter sets share a packet.
                let aggregated = payloads[0][0] & 0x1f == 24;
                assert_eq!(aggregated, picture.keyframe);
            }
            let came = receiver.take(&payloads, 3_000);
            assert!(
                came == [picture.bytes.clone()],
                "{form:?} {room} {mode}: {at}"
            );
        }
    }
}

#[test]
fn a_picture_that_packetization_mode_0_cannot_carry_is_refused_whole() {
    let pool = PacketPool::new(64);
    let mut rng = Rng::from_number(5);
    let config = h264();
    for (length, fits) in [
        (RTP_WHOLE_PAYLOAD_BYTES, true),
        (RTP_WHOLE_PAYLOAD_BYTES + 1, false),
    ] {
        let mut bytes = (length as u32).to_be_bytes().to_vec();
        bytes.push(0x65);
        bytes.resize(length + 4, 0x88);
        let log = log_of(&pool, &mut rng, &config, true, &bytes);
        let whole = payloads(&mut Packetizer::h264(0), &log);
        match fits {
            true => assert_eq!(whole.unwrap().len(), 3),
            false => assert_eq!(whole, Err(Unfit::WholeNal(length))),
        }
        assert!(payloads(&mut Packetizer::h264(1), &log).unwrap().len() > 2);
    }
}

#[test]
fn parameter_sets_go_before_keyframes_and_where_they_change_and_nowhere_else() {
    let pool = PacketPool::new(64);
    let mut rng = Rng::from_number(5);
    let slice = |header: u8| [&[0, 0, 0, 4, header][..], &[0x88, 0x80, 1]].concat();
    let mut packetizer = Packetizer::h264(1);
    let kinds = |packetizer: &mut Packetizer, rng: &mut Rng, config: &_, key, bytes: &[u8]| {
        let log = log_of(&pool, rng, config, key, bytes);
        let payloads = payloads(packetizer, &log).unwrap();
        payloads.iter().map(|it| it[0] & 0x1f).collect::<Vec<_>>()
    };
    let (one, other) = (h264(), h264());
    assert_eq!(
        kinds(&mut packetizer, &mut rng, &one, true, &slice(0x65)),
        [24, 5]
    );
    assert_eq!(
        kinds(&mut packetizer, &mut rng, &one, false, &slice(0x41)),
        [1]
    );
    assert_eq!(
        kinds(&mut packetizer, &mut rng, &other, false, &slice(0x41)),
        [24, 1]
    );
    // Those of the frame itself, a delimiter and filler are left out; supplements are not.
    let unit = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let frame = [
        unit(&[9, 0x10]),
        unit(SPS),
        unit(PPS),
        unit(&[6, 1, 2]),
        slice(0x65),
        unit(&[12, 0xff]),
        unit(&[]),
    ]
    .concat();
    assert_eq!(
        kinds(&mut packetizer, &mut rng, &one, true, &frame),
        [24, 6, 5]
    );
    // What is left without any is nothing.
    assert!(kinds(&mut packetizer, &mut rng, &one, true, &unit(SPS)).is_empty());
}

#[test]
fn a_frame_whose_lengths_lie_is_refused() {
    let pool = PacketPool::new(64);
    let mut rng = Rng::from_number(5);
    let config = h264();
    let whole = &pictures(Form::Slices, 0, 1)[0].bytes;
    for length in 1..whole.len() {
        let log = log_of(&pool, &mut rng, &config, true, &whole[..length]);
        let _ = payloads(&mut Packetizer::h264(1), &log);
    }
    for _ in 0..2_000 {
        let mut bytes = whole.clone();
        for _ in 0..3 {
            let at = rng.below(bytes.len() as u32) as usize;
            bytes[at] = rng.u32() as u8;
        }
        let log = log_of(&pool, &mut rng, &config, true, &bytes);
        let _ = payloads(&mut Packetizer::h264(rng.below(2) as u8), &log);
    }
    let log = log_of(&pool, &mut rng, &config, true, &[0, 0, 0, 9, 0x65]);
    assert_eq!(
        payloads(&mut Packetizer::h264(1), &log),
        Err(Unfit::Malformed)
    );
}

#[test]
fn frames_of_vp8_come_out_as_they_were() {
    let pool = PacketPool::new(1_024);
    let mut rng = Rng::from_number(7);
    let config = Rc::new(CodecConfig::Vp8(Vp8Config {
        width: 640,
        height: 480,
    }));
    let vp8 = StreamConfig {
        codec: Codec::Vp8,
        ..video_config()
    };
    let mut receiver = Receiver::new(Track::Video, vp8);
    let mut packetizer = Packetizer::vp8();
    for at in 0..2_000 {
        let keyframe = at % 25 == 0;
        let tag = u32::from(!keyframe) | 1 << 4 | 100 << 5;
        let mut bytes = tag.to_le_bytes()[..3].to_vec();
        if keyframe {
            bytes.extend([0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01]);
        }
        let size = 200 + rng.below(if at % 50 == 0 { 40_000 } else { 3_000 });
        bytes.extend((0..size).map(|_| rng.u32() as u8));
        let log = log_of(&pool, &mut rng, &config, keyframe, &bytes);
        let payloads = payloads(&mut packetizer, &log).unwrap();
        assert!(payloads.iter().all(|it| it.len() <= RTP_PAYLOAD_BYTES));
        assert!(receiver.take(&payloads, 3_000) == [bytes], "{at}");
    }
}

fn aac_config() -> AacConfig {
    audio_specific_config(&[0x11, 0x90]).unwrap()
}

fn generic() -> AacPacking {
    AacPacking::Generic(Mpeg4Generic {
        config: aac_config(),
        size_length: 13,
        index_length: 3,
        index_delta_length: 3,
        constant_size: None,
    })
}

fn latm(in_band: bool) -> AacPacking {
    AacPacking::Latm(Latm {
        config: Some(stream_mux_config(&[0x40, 0x00, 0x23, 0x20, 0x3f, 0xc0]).unwrap()),
        in_band,
        clock_rate: 48_000,
    })
}

#[test]
fn sound_in_every_codec_comes_out_as_it_was() {
    let pool = PacketPool::new(64);
    let mut rng = Rng::from_number(9);
    let aac = Rc::new(CodecConfig::Aac(aac_config()));
    for (codec, config, packetizer, rate, ticks, most) in [
        (
            Codec::Pcma,
            Rc::new(CodecConfig::Pcma),
            Packetizer::plain(),
            8_000,
            160,
            480,
        ),
        (
            Codec::Pcmu,
            Rc::new(CodecConfig::Pcmu),
            Packetizer::plain(),
            8_000,
            160,
            480,
        ),
        (
            Codec::Opus { channels: 2 },
            Rc::new(CodecConfig::Opus { channels: 2 }),
            Packetizer::plain(),
            48_000,
            960,
            1_275,
        ),
        (
            Codec::Aac(generic()),
            aac.clone(),
            Packetizer::aac(generic()),
            48_000,
            1_024,
            4_000,
        ),
        (
            Codec::Aac(latm(false)),
            aac.clone(),
            Packetizer::aac(latm(false)),
            48_000,
            1_024,
            4_000,
        ),
    ] {
        let words = format!("{codec:?}");
        let stream = StreamConfig {
            codec,
            payload_type: 97,
            send_payload_type: 97,
            clock_rate: rate,
            ..audio_config()
        };
        let mut receiver = Receiver::new(Track::Audio, stream);
        let mut packetizer = packetizer;
        for at in 0..1_000 {
            let size = 1 + rng.below(most) as usize;
            let mut bytes: Vec<u8> = (0..size).map(|_| rng.u32() as u8).collect();
            if words.starts_with("Opus") {
                // One frame of 20 ms.
                bytes[0] = 0xfc;
            }
            let log = log_of(&pool, &mut rng, &config, true, &bytes);
            let payloads = payloads(&mut packetizer, &log).unwrap();
            let came = receiver.take(&payloads, ticks);
            assert!(came == [bytes], "{words} {at}: {size} bytes");
        }
    }
}

#[test]
fn sound_that_cannot_be_carried_is_refused() {
    let pool = PacketPool::new(64);
    let mut rng = Rng::from_number(9);
    let mut refused = |packetizer: Packetizer, config: CodecConfig, size: usize| {
        let log = log_of(&pool, &mut rng, &Rc::new(config), true, &vec![7; size]);
        let mut packetizer = packetizer;
        payloads(&mut packetizer, &log).unwrap_err()
    };
    let long = RTP_WHOLE_PAYLOAD_BYTES + 1;
    assert_eq!(
        refused(Packetizer::plain(), CodecConfig::Pcma, long),
        Unfit::WholeSound(long)
    );
    let aac = || CodecConfig::Aac(aac_config());
    // 13 bits of length.
    assert_eq!(
        refused(Packetizer::aac(generic()), aac(), 8_192),
        Unfit::AacUnit
    );
    assert_eq!(
        refused(Packetizer::aac(latm(true)), aac(), 9),
        Unfit::LatmForm
    );
    let mono = CodecConfig::Aac(audio_specific_config(&[0x11, 0x88]).unwrap());
    assert_eq!(
        refused(Packetizer::aac(generic()), mono, 9),
        Unfit::AacConfig
    );
    assert_eq!(
        refused(Packetizer::aac(generic()), CodecConfig::Pcma, 9),
        Unfit::OtherCodec
    );
    assert_eq!(refused(Packetizer::plain(), aac(), 9), Unfit::OtherCodec);
    assert_eq!(
        refused(Packetizer::vp8(), CodecConfig::Pcma, 9),
        Unfit::OtherCodec
    );
}

#[test]
fn a_buffer_that_is_too_short_ends_the_frame_without_a_panic() {
    let pool = PacketPool::new(64);
    let mut rng = Rng::from_number(9);
    let picture = &pictures(Form::Fragments, 5_000, 1)[0].bytes;
    let log = log_of(&pool, &mut rng, &h264(), true, picture);
    let view = log.get(0).unwrap();
    for mode in 0..2 {
        for size in 0..RTP_WHOLE_PAYLOAD_BYTES {
            let mut packetizer = Packetizer::h264(mode);
            if packetizer.begin(view).is_err() {
                continue;
            }
            let mut out = vec![0; size];
            let mut rounds = 0;
            while packetizer.next(view, &mut out).is_some() {
                rounds += 1;
                assert!(rounds < 10_000);
            }
            assert!(packetizer.is_done());
        }
    }
}
