//! Every audio codec from RTP to whole frames, on a virtual clock.

mod rtp_support;

use std::time::Duration;

use rtp_support::*;
use trunkcast::base::codec::{AacConfig, CodecConfig, Track};
use trunkcast::base::rng::Rng;
use trunkcast::rtp::stream::{Codec, StreamConfig};
use trunkcast::wire::aac::{
    AacPacking, Latm, Mpeg4Generic, audio_specific_config, stream_mux_config,
};
use trunkcast::wire::bits::BitWriter;
use trunkcast::wire::latm::write_stream_mux;

const TYPE: u8 = 97;
const SSRC: u32 = 5;

fn config(codec: Codec, clock_rate: u32) -> StreamConfig {
    StreamConfig {
        codec,
        payload_type: TYPE,
        send_payload_type: TYPE,
        clock_rate,
        ..audio_config()
    }
}

fn aac_config(bytes: &[u8]) -> AacConfig {
    audio_specific_config(bytes).unwrap()
}

fn generic_format(config: &[u8]) -> Mpeg4Generic {
    Mpeg4Generic {
        config: aac_config(config),
        size_length: 13,
        index_length: 3,
        index_delta_length: 3,
        constant_size: None,
    }
}

fn generic(format: Mpeg4Generic) -> StreamConfig {
    config(Codec::Aac(AacPacking::Generic(format)), 48_000)
}

fn latm(config_bytes: Option<&[u8]>, in_band: bool) -> StreamConfig {
    let latm = Latm {
        config: config_bytes.map(|bytes| stream_mux_config(bytes).unwrap()),
        in_band,
        clock_rate: 48_000,
    };
    config(Codec::Aac(AacPacking::Latm(latm)), 48_000)
}

fn opus() -> StreamConfig {
    config(Codec::Opus { channels: 2 }, 48_000)
}

/// AAC-LC, 48 kHz, stereo and mono.
const STEREO: [u8; 2] = [0x11, 0x90];
const MONO: [u8; 2] = [0x11, 0x88];

/// A world with one audio sender.
struct Call {
    world: World,
    sequence: u16,
}

impl Call {
    fn new(audio: StreamConfig) -> Self {
        let mut world = World::new(Network::default(), 1);
        world
            .session
            .configure(world.now, Track::Audio, Some(audio));
        Self {
            world,
            sequence: 65_530,
        }
    }

    fn configure(&mut self, audio: StreamConfig) {
        let now = self.world.now;
        self.world.session.configure(now, Track::Audio, Some(audio));
    }

    /// Sends a packet now and waits until it is there.
    fn send(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) {
        let bytes = packet(
            payload_type,
            marker,
            self.sequence,
            timestamp,
            SSRC,
            payload,
        );
        self.sequence = self.sequence.wrapping_add(1);
        self.world.fly(Track::Audio, PEER, bytes);
        self.wait(5_001);
    }

    /// Loses a packet.
    fn lose(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
    }

    fn wait(&mut self, micros: u64) {
        let until = self.world.now + Duration::from_micros(micros);
        self.world.run_until(until);
    }

    fn frames(&self) -> Vec<Vec<u8>> {
        self.world
            .audio()
            .iter()
            .map(|out| out.bytes.clone())
            .collect()
    }

    /// Milliseconds from each frame to the next.
    fn steps(&self) -> Vec<i64> {
        let out = self.world.audio();
        out.windows(2)
            .map(|pair| (pair[1].time.micros_since(pair[0].time) + 500) / 1_000)
            .collect()
    }

    fn stats(&self) -> trunkcast::rtp::stream::StreamStats {
        self.world.session.stats(Track::Audio)
    }

    fn jumps(&self) -> u64 {
        self.world.session.clock().counters().jumps
    }
}

/// The datagrams of a capture, each behind its length.
fn capture(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (packet, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        packets.push(packet.to_vec());
        bytes = rest;
    }
    packets
}

/// The access units of an ADTS file.
fn adts(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut units = Vec::new();
    while bytes.len() > 7 {
        let length = u32::from_be_bytes([0, bytes[3] & 3, bytes[4], bytes[5]]) >> 5;
        let (unit, rest) = bytes.split_at(length as usize);
        units.push(unit[7..].to_vec());
        bytes = rest;
    }
    units
}

#[test]
fn captured_aac_of_both_formats_comes_out_byte_by_byte() {
    let units = adts(include_bytes!("data/media/aac.adts"));
    let by_generic = capture(include_bytes!("data/media/aac_generic.rtp"));
    let by_latm = capture(include_bytes!("data/media/aac_latm.rtp"));
    // What ffmpeg said of each in SDP; its generic packets bear 11 units each.
    let generic = generic(generic_format(&[0x11, 0x90, 0x56, 0xe5, 0x00]));
    let latm = latm(Some(&[0x40, 0x00, 0x23, 0x20, 0x3f, 0xc0]), false);
    for (packets, config, each, count) in [
        (by_generic, generic, 11, 22),
        (by_latm, latm, 1, units.len()),
    ] {
        let mut call = Call::new(config);
        for packet in packets {
            call.world.fly(Track::Audio, PEER, packet);
            call.wait(21_333 * each);
        }
        assert_eq!(call.frames(), units[..count]);
        assert!(
            call.steps().iter().all(|step| (20..=22).contains(step)),
            "{:?}",
            call.steps()
        );
        assert_eq!(call.jumps(), 0);
        call.world.assert_no_buffer_is_lost();
    }
}

/// A packet of mpeg4-generic in the usual widths.
fn hbr(units: &[&[u8]]) -> Vec<u8> {
    let headers: Vec<(usize, u32)> = units.iter().map(|unit| (unit.len(), 0)).collect();
    hbr_with(&headers, &units.concat())
}

/// The same with sizes and indexes as they are told.
fn hbr_with(headers: &[(usize, u32)], data: &[u8]) -> Vec<u8> {
    let mut writer = BitWriter::<1_400>::new();
    writer.number(headers.len() as u32 * 16, 16).unwrap();
    for (size, index) in headers {
        writer.number(*size as u32, 13).unwrap();
        writer.number(*index, 3).unwrap();
    }
    writer.bytes(data).unwrap();
    writer.finish().to_vec()
}

#[test]
fn units_that_share_a_packet_have_times_of_their_own() {
    let mut call = Call::new(generic(generic_format(&STEREO)));
    for at in 0..20_u32 {
        let [a, b, c] = [[1, at as u8], [2, at as u8], [3, at as u8]];
        call.send(TYPE, true, at * 3_072, &hbr(&[&a, &b, &c]));
        call.wait(64_000 - 5_001);
    }
    assert_eq!(call.frames().len(), 60);
    assert_eq!(call.frames()[4], [2, 1]);
    assert!(call.steps().iter().all(|step| (20..=22).contains(step)));
    assert_eq!(
        (call.jumps(), call.world.session.clock().counters().clamped),
        (0, 0)
    );
}

#[test]
fn a_unit_in_fragments_is_whole_or_nothing() {
    let mut call = Call::new(generic(generic_format(&STEREO)));
    let unit: Vec<u8> = (0..3_000_u32).map(|at| at as u8).collect();
    let parts: Vec<Vec<u8>> = unit
        .chunks(1_000)
        .map(|part| hbr_with(&[(unit.len(), 0)], part))
        .collect();
    // Whole; each of the three lost in turn; whole again.
    for (at, lost) in [None, Some(0), Some(1), Some(2), None]
        .into_iter()
        .enumerate()
    {
        for (part, payload) in parts.iter().enumerate() {
            if lost == Some(part) {
                call.lose();
            } else {
                call.send(TYPE, part == 2, at as u32 * 1_024, payload);
            }
        }
        call.send(TYPE, true, at as u32 * 1_024 + 512, &hbr(&[&[9]]));
    }
    call.wait(200_000);
    let whole = call.frames().iter().filter(|frame| **frame == unit).count();
    assert_eq!((whole, call.frames().len()), (2, 7));
    assert_eq!(call.stats().audio.incomplete, 4);
    call.world.assert_no_buffer_is_lost();
}

#[test]
fn other_widths_and_constant_sizes_are_read() {
    let wide = Mpeg4Generic {
        size_length: 16,
        index_length: 0,
        index_delta_length: 0,
        ..generic_format(&MONO)
    };
    let low = Mpeg4Generic {
        size_length: 6,
        index_length: 2,
        index_delta_length: 2,
        ..generic_format(&MONO)
    };
    let constant = Mpeg4Generic {
        size_length: 0,
        index_length: 0,
        index_delta_length: 0,
        constant_size: Some(3),
        ..generic_format(&MONO)
    };
    let single = Mpeg4Generic {
        constant_size: None,
        ..constant.clone()
    };
    let indexed = Mpeg4Generic {
        index_length: 8,
        index_delta_length: 8,
        ..constant.clone()
    };
    for (format, payload, units) in [
        (
            wide,
            &[0, 32, 0, 1, 0, 2, 7, 8, 9][..],
            &[&[7][..], &[8, 9]][..],
        ),
        (low, &[0, 16, 1 << 2, 2 << 2, 7, 8, 9], &[&[7], &[8, 9]]),
        (constant, &[1, 2, 3, 4, 5, 6], &[&[1, 2, 3], &[4, 5, 6]]),
        (single, &[1, 2, 3, 4], &[&[1, 2, 3, 4]]),
        (
            indexed,
            &[0, 16, 0, 0, 1, 2, 3, 4, 5, 6],
            &[&[1, 2, 3], &[4, 5, 6]],
        ),
    ] {
        let mut call = Call::new(generic(format.clone()));
        call.send(TYPE, true, 0, payload);
        assert_eq!(call.frames(), units, "{format:?}");
    }
}

#[test]
fn generic_packets_that_break_the_rules_are_dropped_and_counted() {
    let mut call = Call::new(generic(generic_format(&STEREO)));
    let long: Vec<u8> = vec![1; 70];
    let many: Vec<&[u8]> = long.chunks(1).collect();
    for payload in [
        &[0][..],
        // No headers; headers past the end; half a header.
        &[0, 0, 1, 2],
        &[0, 64, 0, 8],
        &[0, 24, 0, 8, 0, 1],
        // More bytes told than there are, of two units.
        &hbr_with(&[(1, 0), (9, 0)], &[1, 2, 3]),
        // Interleaved.
        &hbr_with(&[(1, 0), (1, 2)], &[1, 2]),
        // More units than anyone sends.
        &hbr(&many),
    ] {
        call.send(TYPE, true, 0, payload);
    }
    let audio = call.stats().audio;
    assert_eq!(
        (audio.malformed, audio.interleaved, audio.too_large),
        (5, 1, 1)
    );
    assert!(call.frames().is_empty());
}

/// An AudioMuxElement: `config` in band where it is told, `same` where one is referred to.
fn element(config: Option<&AacConfig>, same: bool, units: &[&[u8]]) -> Vec<u8> {
    let mut writer = BitWriter::<8_000>::new();
    if let Some(config) = config {
        writer.number(0, 1).unwrap();
        write_stream_mux(&mut writer, config).unwrap();
    } else if same {
        writer.number(1, 1).unwrap();
    }
    for unit in units {
        for _ in 0..unit.len() / 255 {
            writer.number(255, 8).unwrap();
        }
        writer.number(unit.len() as u32 % 255, 8).unwrap();
        writer.bytes(unit).unwrap();
    }
    writer.finish().to_vec()
}

#[test]
fn elements_with_their_configuration_in_band_are_shifted_into_place() {
    let mut call = Call::new(latm(None, true));
    let (stereo, mono) = (aac_config(&STEREO), aac_config(&[0x12, 0x08]));
    let unit = |at: u8| {
        (0..300_u32)
            .map(|byte| byte as u8 ^ at)
            .collect::<Vec<u8>>()
    };
    // Nothing can be made of what came before the first configuration.
    let mut sent = Vec::new();
    for at in 0..12_u8 {
        let config = match at {
            2 | 5 => Some(&stereo),
            8 => Some(&mono),
            _ => None,
        };
        let payload = element(config, true, &[&unit(at)]);
        call.send(TYPE, true, u32::from(at) * 1_024, &payload);
        if at >= 2 {
            sent.push(unit(at));
        }
    }
    assert_eq!(call.frames(), sent);
    assert_eq!(call.stats().audio.unconfigured, 2);
    assert_eq!(call.stats().audio.config_changes, 1);
    let configs: Vec<_> = call
        .world
        .audio()
        .iter()
        .map(|out| out.config.clone())
        .collect();
    assert!(
        configs[..6]
            .iter()
            .all(|config| *config == CodecConfig::Aac(stereo.clone()))
    );
    assert!(
        configs[6..]
            .iter()
            .all(|config| *config == CodecConfig::Aac(mono.clone()))
    );
    call.world.assert_no_buffer_is_lost();
}

#[test]
fn the_same_configuration_again_is_no_new_one() {
    let mut call = Call::new(latm(None, true));
    let config = aac_config(&STEREO);
    let from = PEER.parse().unwrap();
    for at in 0..3_u16 {
        let payload = element(Some(&config), true, &[&[1, 2, 3]]);
        let bytes = packet(TYPE, true, at, u32::from(at) * 1_024, SSRC, &payload);
        let received = call.world.pool.copy_from(&bytes).unwrap();
        let (session, log) = (&mut call.world.session, &mut call.world.log);
        session.handle_rtp(call.world.now, Track::Audio, from, received, log);
    }
    let config = |at| call.world.log.get(at).unwrap().frame().config.clone();
    assert!(std::rc::Rc::ptr_eq(&config(0), &config(2)));
}

#[test]
fn an_element_over_several_packets_is_whole_or_nothing() {
    let config = aac_config(&STEREO);
    let unit: Vec<u8> = (0..2_500_u32).map(|at| (at * 7) as u8).collect();
    for in_band in [false, true] {
        let mut call = Call::new(latm(Some(&[0x40, 0x00, 0x23, 0x20, 0x3f, 0xc0]), in_band));
        let whole = element(in_band.then_some(&config), in_band, &[&unit]);
        let parts: Vec<&[u8]> = whole.chunks(1_000).collect();
        for (at, lost) in [None, Some(0), Some(1), Some(2), None]
            .into_iter()
            .enumerate()
        {
            for (part, payload) in parts.iter().enumerate() {
                if lost == Some(part) {
                    call.lose();
                } else {
                    call.send(TYPE, part == 2, at as u32 * 1_024, payload);
                }
            }
        }
        call.wait(200_000);
        // The last loss ends with the next element, which comes whole but whose beginning nothing
        // proves; its lengths do.
        assert_eq!(
            call.frames(),
            [unit.clone(), unit.clone()],
            "in band: {in_band}"
        );
        call.world.assert_no_buffer_is_lost();
    }
}

#[test]
fn a_lost_element_costs_no_other_one() {
    let mut call = Call::new(latm(Some(&[0x40, 0x00, 0x23, 0x20, 0x3f, 0xc0]), false));
    for at in 0..20_u8 {
        if at % 5 == 3 {
            call.lose();
        } else {
            // Other data behind the payload: lengths do not fill the element.
            let mut payload = element(None, false, &[&[at, 2, 3]]);
            payload.extend([0; 4]);
            call.send(TYPE, true, u32::from(at) * 1_024, &payload);
        }
    }
    call.wait(200_000);
    // Only the first of all could have been the middle of an element.
    assert_eq!(call.frames().len(), 15);
    assert_eq!(call.stats().audio.incomplete, 1);
}

#[test]
fn elements_of_several_units_and_without_marker_bits_are_read() {
    // numSubFrames 2: three units each.
    let mut call = Call::new(latm(Some(&[0x42, 0x00, 0x23, 0x20, 0x3f, 0xc0]), false));
    for at in 0..4_u8 {
        let payload = element(None, false, &[&[at, 1], &[at, 2], &[at, 3]]);
        call.send(TYPE, false, u32::from(at) * 3_072, &payload);
        call.wait(64_000 - 5_001);
    }
    let frames = call.frames();
    assert_eq!(frames.len(), 9);
    assert_eq!(frames[4], [1, 2]);
    assert!(
        call.steps().iter().all(|step| (20..=22).contains(step)),
        "{:?}",
        call.steps()
    );
}

#[test]
fn the_rtp_clock_may_run_at_another_rate_than_the_core() {
    // 24 kHz core, 48 kHz clock: an access unit lasts 2048 ticks.
    let mut call = Call::new(generic(generic_format(&[0x2b, 0x11, 0x88, 0x00])));
    for at in 0..10_u32 {
        call.send(TYPE, true, at * 4_096, &hbr(&[&[1], &[2]]));
        call.wait(85_333 - 5_001);
    }
    assert!(
        call.steps().iter().all(|step| (42..=44).contains(step)),
        "{:?}",
        call.steps()
    );
}

#[test]
fn opus_is_checked_and_untouched() {
    let mut call = Call::new(opus());
    call.send(TYPE, true, 0, &[0xfc, 1, 2, 3]);
    // Two frames of unequal length; none; more than 120 ms.
    for illegal in [&[0xf9, 1, 2, 3][..], &[0xfb, 0], &[0xfb, 7]] {
        call.send(TYPE, false, 960, illegal);
    }
    call.send(TYPE, false, 1_920, &[0xf8]);
    call.send(TYPE, false, 2_880, &[]);
    assert_eq!(call.frames(), [&[0xfc, 1, 2, 3][..], &[0xf8]]);
    assert_eq!(
        (call.stats().audio.malformed, call.stats().audio.empty),
        (3, 1)
    );
    assert_eq!(
        call.world.audio()[0].config,
        CodecConfig::Opus { channels: 2 }
    );
}

#[test]
fn silence_that_opus_does_not_send_leaves_the_times_right() {
    let mut call = Call::new(opus());
    let mut rng = Rng::from_number(4);
    let mut timestamp = u32::MAX - 200_000;
    let mut gaps = Vec::new();
    for _ in 0..200 {
        // Talk, and now and then a pause of 400 ms to 4 s with one packet in each 400 ms.
        let gap = if rng.below(10) == 0 {
            400 * (1 + rng.below(10))
        } else {
            20
        };
        call.send(TYPE, false, timestamp, &[0xf8, 1, 2]);
        call.wait(u64::from(gap) * 1_000 - 5_001);
        timestamp = timestamp.wrapping_add(gap * 48);
        gaps.push(i64::from(gap));
    }
    for (step, gap) in call.steps().into_iter().zip(gaps) {
        assert!((gap - 1..=gap + 1).contains(&step), "{step} for {gap}");
    }
    assert_eq!(call.jumps(), 0);
}

#[test]
fn speex_goes_frame_by_frame() {
    let mut call = Call::new(config(Codec::Speex, 16_000));
    // Frames of nothing in both layers: 9 bits each, so that the second begins within a byte.
    let one = [0x04, 0x3f];
    let mut three = BitWriter::<8>::new();
    for _ in 0..3 {
        three.number(0b0_0000_1000, 9).unwrap();
    }
    three.number(0b01111, 5).unwrap();
    call.send(TYPE, true, 0, &one);
    call.wait(20_000 - 5_001);
    call.send(TYPE, false, 320, &one);
    call.wait(60_000 - 5_001);
    for at in 0..5 {
        call.send(TYPE, false, 640 + at * 960, &three.clone().finish());
        call.wait(60_000 - 5_001);
    }
    call.send(TYPE, false, 0, &[0x80, 1, 2]);
    call.send(TYPE, false, 0, &[0x7f]);
    assert_eq!(call.frames(), vec![one; 17]);
    assert!(
        call.steps().iter().all(|step| (19..=21).contains(step)),
        "{:?}",
        call.steps()
    );
    assert_eq!(call.stats().audio.malformed, 2);
    call.world.assert_no_buffer_is_lost();
}

#[test]
fn keys_pressed_within_audio_of_any_clock_change_nothing_in_it() {
    for (clock_rate, key_rate) in [(48_000, 48_000), (48_000, 8_000)] {
        let mut call = Call::new(opus());
        let mut sent = 0;
        for at in 0..200_u32 {
            if (50..60).contains(&at) || (120..123).contains(&at) {
                // Keys come in place of audio, at the time of their beginning.
                let begin = if at < 100 { 50 } else { 120 };
                let duration = (at - begin + 1) * key_rate / 50;
                let ended = if at >= 58 { 0x80 } else { 0 };
                let [.., high, low] = duration.to_be_bytes();
                let timestamp = begin * key_rate / 50;
                call.send(101, at == begin, timestamp, &[5, ended, high, low]);
            } else {
                call.send(TYPE, false, at * clock_rate / 50, &[0xf8, at as u8]);
                sent += 1;
            }
            // Comfort noise is out of place here, and tolerated.
            if at == 150 {
                call.send(13, false, at * clock_rate / 50, &[60]);
            }
            call.wait(20_000 - 5_001);
        }
        let stats = call.stats();
        assert_eq!((stats.telephone_events, stats.reorder.lost), (2, 0));
        assert_eq!(call.frames().len(), sent);
        assert_eq!(call.jumps(), 0);
        assert!(
            stats.jitter < Duration::from_millis(5),
            "{:?}",
            stats.jitter
        );
        let late = call.steps().iter().filter(|step| **step != 20).count();
        assert!(late <= 3, "{:?}", call.steps());
    }
}

#[test]
fn packets_under_way_when_the_payload_number_changes_are_not_lost() {
    let mut call = Call::new(opus());
    let mut timestamp = 0;
    for at in 0..150_u32 {
        if at == 50 {
            call.configure(StreamConfig {
                payload_type: 112,
                ..opus()
            });
        }
        // The peer changes 200 ms after our answer.
        let payload_type = if at < 60 { TYPE } else { 112 };
        call.send(payload_type, false, timestamp, &[0xf8, at as u8]);
        call.wait(20_000 - 5_001);
        timestamp += 960;
    }
    assert_eq!(call.frames().len(), 150);
    assert!(call.steps().iter().all(|step| *step == 20));
    // A second later the old number means nothing.
    call.send(TYPE, false, timestamp, &[0xf8, 1]);
    assert_eq!(call.frames().len(), 150);
    assert_eq!(call.stats().wrong_payload_type, 1);
}

#[test]
fn a_former_number_with_a_new_meaning_has_the_new_one() {
    let mut call = Call::new(opus());
    call.send(TYPE, false, 0, &[0xf8, 1]);
    call.configure(StreamConfig {
        payload_type: 112,
        telephone_event: Some(TYPE),
        send_telephone_event: None,
        ..opus()
    });
    call.send(TYPE, false, 960, &[1, 0, 0, 80]);
    assert_eq!((call.frames().len(), call.stats().telephone_events), (1, 1));
}

#[test]
fn codecs_change_in_a_call_and_the_timeline_goes_on() {
    let pcma = StreamConfig {
        payload_type: 8,
        ..config(Codec::Pcma, 8_000)
    };
    let aac = StreamConfig {
        payload_type: 99,
        ..generic(generic_format(&MONO))
    };
    let mut call = Call::new(pcma.clone());
    let (mut late, mut ticks) = (0, 0_u32);
    let pcma_frame = vec![0xd5_u8; 160];
    for at in 0..250_u32 {
        match at {
            50 => call.configure(opus()),
            100 => call.configure(aac.clone()),
            150 => call.configure(StreamConfig {
                payload_type: 99,
                ..opus()
            }),
            200 => call.configure(pcma.clone()),
            _ => {}
        }
        // The peer goes on with the former codec for three packets more.
        match at.saturating_sub(3) / 50 {
            0 | 4 => call.send(8, false, at * 160, &pcma_frame),
            1 => call.send(TYPE, false, ticks, &[0xf8, 1]),
            2 => call.send(99, false, ticks, &hbr(&[&[at as u8, 1, 1]])),
            _ => call.send(99, false, ticks, &[0xf8, 2]),
        }
        if at == 249 {
            late = call.stats().wrong_payload_type;
        }
        let is_aac = at.saturating_sub(3) / 50 == 2;
        ticks += if is_aac { 1_024 } else { 960 };
        call.wait(if is_aac { 21_333 } else { 20_000 } - 5_001);
    }
    // Of the number that AAC and Opus share, the packets at the pace of AAC are none of Opus, and the
    // first of Opus comes where the next of AAC would.
    assert_eq!(late, 13);
    let codecs: Vec<_> = call
        .world
        .audio()
        .iter()
        .map(|out| out.config.codec())
        .collect();
    let mut order = codecs.clone();
    order.dedup();
    use trunkcast::base::codec::Codec as Name;
    assert_eq!(
        order,
        [Name::Pcma, Name::Opus, Name::Aac, Name::Opus, Name::Pcma]
    );
    // Nothing but the packets of the former codec is missing, and no step is longer than that.
    assert_eq!(codecs.len(), 237);
    assert!(
        call.steps().iter().all(|step| (1..=108).contains(step)),
        "{:?}",
        call.steps()
    );
    let out = call.world.audio();
    let all = out[out.len() - 1].time.micros_since(out[0].time);
    assert!((5_026_000..=5_067_000).contains(&all), "{all}");
    // What reports say of the source is on the clock of the codec in use.
    call.wait(80_000);
    call.send(8, false, 250 * 160, &pcma_frame);
    assert!(call.stats().jitter > Duration::from_millis(2));
}

#[test]
fn held_packets_of_a_codec_whose_number_goes_to_another_are_let_go() {
    let mut call = Call::new(generic(generic_format(&MONO)));
    call.send(TYPE, true, 0, &hbr(&[&[1]]));
    call.lose();
    call.send(TYPE, true, 2_048, &hbr(&[&[2]]));
    call.configure(opus());
    call.wait(500_000);
    assert_eq!(call.frames(), [[1]]);
    call.send(TYPE, true, 24_000, &[0xf8]);
    assert_eq!(call.frames(), [[1], [0xf8]]);
    call.world.assert_no_buffer_is_lost();
}

#[test]
fn silence_bears_the_number_and_the_time_of_what_was_agreed() {
    for (audio, each_ms, ticks) in [
        (opus(), 20.0, 960),
        (config(Codec::Speex, 16_000), 20.0, 320),
        (generic(generic_format(&MONO)), 21.333, 1_024),
        // 44.1 kHz on a 90 kHz clock: 2089.8 ticks.
        (
            config(
                Codec::Aac(AacPacking::Generic(generic_format(&[0x12, 0x10]))),
                90_000,
            ),
            23.22,
            2_089,
        ),
        (latm(None, true), 21.333, 1_024),
        // Three units in each element.
        (
            latm(Some(&[0x42, 0x00, 0x23, 0x20, 0x3f, 0xc0]), false),
            64.0,
            3_072,
        ),
    ] {
        let audio = StreamConfig {
            send: true,
            send_payload_type: 77,
            ..audio
        };
        let mut world = World::new(Network::default(), 3);
        world
            .session
            .configure(world.now, Track::Audio, Some(audio.clone()));
        let start = world.now;
        let mut sent: Vec<(f64, u32)> = Vec::new();
        let mut buffer = [0; 256];
        while sent.len() < 2_000 {
            while let Some(transmit) = world.session.poll_transmit(world.now, &mut buffer) {
                if !transmit.rtcp && transmit.track == Track::Audio {
                    assert_eq!(buffer[1] & 0x7f, 77);
                    let timestamp = u32::from_be_bytes(*buffer[4..].first_chunk().unwrap());
                    sent.push((world.now.since(start).as_secs_f64() * 1_000.0, timestamp));
                }
            }
            world.now = world.session.poll_timeout().unwrap().max(world.now);
            world.session.handle_timeout(world.now, &mut world.log);
        }
        for (at, (when, timestamp)) in sent.iter().enumerate() {
            let due = at as f64 * each_ms;
            assert!((when - due).abs() < 1.0 + due / 10_000.0, "{when} {due}");
            if let Some((_, next)) = sent.get(at + 1) {
                let step = next.wrapping_sub(*timestamp);
                assert!((ticks..=ticks + 1).contains(&step), "{step} of {ticks}");
            }
        }
    }
}

/// Packets of a call in every codec, each a few seconds' worth.
fn samples() -> Vec<(StreamConfig, Vec<Vec<u8>>)> {
    let stereo = aac_config(&STEREO);
    let big = vec![3; 2_000];
    let in_band = element(Some(&stereo), true, &[&big]);
    let mut speex = BitWriter::<64>::new();
    for _ in 0..5 {
        speex.number(0b0_0001_0000, 9).unwrap();
        speex.number(0, 34).unwrap();
        speex.number(0b1001, 4).unwrap();
        speex.number(0, 32).unwrap();
    }
    vec![
        (
            opus(),
            vec![
                vec![0xfb, 0x83, 1, 2, 1, 2, 2, 3, 3],
                vec![0xfa, 1, 9, 8, 7],
            ],
        ),
        (config(Codec::Speex, 16_000), vec![speex.finish().to_vec()]),
        (
            generic(generic_format(&STEREO)),
            vec![
                hbr(&[&[1, 2, 3], &[4, 5], &[6]]),
                hbr_with(&[(1_800, 0)], &big[..900]),
                hbr_with(&[(1_800, 0)], &big[..900]),
            ],
        ),
        (
            latm(None, true),
            vec![
                in_band[..1_000].to_vec(),
                in_band[1_000..].to_vec(),
                element(None, true, &[&[1, 2, 3]]),
            ],
        ),
        (
            latm(Some(&[0x7f, 0x00, 0x23, 0x20, 0x3f, 0xc0]), false),
            vec![element(None, false, &[&[1_u8; 9][..]; 64])],
        ),
    ]
}

#[test]
fn every_truncation_of_every_codec_is_survived() {
    for (config, payloads) in samples() {
        let mut call = Call::new(config);
        let mut timestamp = 0;
        for payload in &payloads {
            for length in 0..payload.len() {
                timestamp += 1_024;
                call.send(TYPE, length % 3 > 0, timestamp, &payload[..length]);
            }
        }
        call.world.assert_no_buffer_is_lost();
    }
}

#[test]
fn altered_packets_of_every_codec_are_survived_and_bounded() {
    for seed in 0..6 {
        let mut rng = Rng::from_number(seed);
        for (config, payloads) in samples() {
            let mut call = Call::new(config);
            let mut timestamp = 0;
            for round in 0..400_usize {
                let mut payload = payloads[round % payloads.len()].clone();
                for _ in 0..rng.below(4) {
                    let room = if rng.below(2) == 0 { 12 } else { payload.len() };
                    let at = rng.below(room.min(payload.len()) as u32) as usize;
                    payload[at] = rng.u32() as u8;
                }
                if rng.below(20) == 0 {
                    call.lose();
                }
                if rng.below(3) > 0 {
                    timestamp += 1_024;
                }
                call.send(TYPE, rng.below(3) > 0, timestamp, &payload);
                assert!(call.world.session.held() <= 40);
            }
            assert!(!call.frames().is_empty());
            call.world.assert_no_buffer_is_lost();
        }
    }
}

#[test]
fn a_loss_is_not_forgotten_over_packets_that_bear_no_audio() {
    for empty in [true, false] {
        let mut call = Call::new(latm(Some(&[0x40, 0x00, 0x23, 0x20, 0x3f, 0xc0]), false));
        for at in 0..3_u8 {
            call.send(
                97,
                true,
                u32::from(at) * 1_024,
                &[&[20][..], &[at; 20]].concat(),
            );
        }
        assert_eq!(call.frames().len(), 3);
        // The first packet of an element.
        call.lose();
        if empty {
            call.send(TYPE, false, 10_000, &[]);
        } else {
            call.send(101, false, 10_000, &[5, 0x0a, 0, 160]);
        }
        // The element's rest looks like a whole element: a length of 3 and as many bytes.
        call.send(TYPE, true, 10_000, &[3, 1, 2, 3, 9, 9]);
        call.wait(300_000);
        assert_eq!(call.frames().len(), 3, "empty: {empty}");
        call.send(TYPE, true, 20_000, &[&[20][..], &[7; 20]].concat());
        call.wait(300_000);
        assert_eq!(call.frames().len(), 4, "and it goes on");
    }
}

#[test]
fn the_rest_of_a_spread_element_is_none_even_when_its_lengths_fit() {
    let mut call = Call::new(latm(Some(&[0x40, 0x00, 0x23, 0x20, 0x3f, 0xc0]), false));
    let element = |call: &mut Call, at: u32, lost: bool, marked: bool| {
        if lost {
            call.lose();
        } else {
            call.send(TYPE, false, at * 1_024, &[&[40][..], &[9; 20]].concat());
        }
        // The rest of the unit begins with what may be a length.
        call.send(TYPE, marked, at * 1_024, &[&[19][..], &[8; 19]].concat());
    };
    element(&mut call, 0, false, true);
    element(&mut call, 1, true, true);
    element(&mut call, 2, false, true);
    call.wait(300_000);
    let whole = [&[9; 20][..], &[19], &[8; 19]].concat();
    assert_eq!(call.frames(), [whole.clone(), whole]);
    assert_eq!(call.stats().audio.incomplete, 1);
    // It goes on where a sender sets no markers, too.
    for at in 3..8 {
        element(&mut call, at, at == 4, false);
    }
    call.wait(300_000);
    assert_eq!(call.frames().len(), 4, "without the one before the loss");
}

#[test]
fn an_element_of_too_many_packets_costs_only_itself_without_markers_too() {
    let mut call = Call::new(latm(Some(&[0x40, 0x00, 0x23, 0x20, 0x3f, 0xc0]), false));
    for at in 0..6_u32 {
        let packets = if at == 2 { 12 } else { 1 };
        for _ in 0..packets {
            call.send(TYPE, false, at * 1_024, &[&[20][..], &[9; 20]].concat());
        }
    }
    call.wait(300_000);
    assert_eq!(call.frames().len(), 4, "without the long one and the last");
    assert_eq!(call.stats().audio.too_large, 1);
}

#[test]
fn frames_without_a_packet_slot_are_dropped_and_counted() {
    let mut call = Call::new(config(Codec::Speex, 16_000));
    let mut bundle = BitWriter::<8>::new();
    for _ in 0..3 {
        bundle.number(0b0_0000_1000, 9).unwrap();
    }
    bundle.number(0b01111, 5).unwrap();
    let bundle = bundle.finish();
    let slot = call.world.pool.copy_from(&[1]).unwrap();
    let rest: Vec<_> = std::iter::from_fn(|| call.world.pool.copy_from(&[1])).collect();
    drop(slot);
    // It takes the only slot, so that there is none to take it apart in.
    let bytes = packet(TYPE, false, 1, 0, SSRC, &bundle);
    let received = call.world.pool.copy_from(&bytes).unwrap();
    let (session, log) = (&mut call.world.session, &mut call.world.log);
    let from = PEER.parse().unwrap();
    session.handle_rtp(call.world.now, Track::Audio, from, received, log);
    assert_eq!((call.stats().audio.no_room, call.stats().frames), (1, 0));
    drop(rest);
    call.sequence = 2;
    call.send(TYPE, false, 960, &bundle);
    assert_eq!(call.stats().frames, 3);
}
