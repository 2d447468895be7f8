//! The heap is not touched for a media packet: not in order, not after a gap, not for reports.

// Counting is what the allocator of this test adds.
#![allow(unsafe_code)]

mod rtp_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use rtp_support::*;
use trunkcast::base::codec::Track;
use trunkcast::base::frame_log::FrameLog;
use trunkcast::base::packet_pool::PacketPool;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::{Instant, NtpTime};
use trunkcast::rtp::session::{Session, SessionConfig};
use trunkcast::rtp::stream::Codec;
use trunkcast::wire::aac::{AacPacking, Latm, Mpeg4Generic, audio_specific_config};
use trunkcast::wire::bits::BitWriter;
use trunkcast::wire::latm::write_stream_mux;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One codec and the payloads of two successive packets, which may be parts of one frame.
fn audio_codecs() -> Vec<(Codec, u32, [Vec<u8>; 2])> {
    let stereo = audio_specific_config(&[0x11, 0x90]).unwrap();
    let generic = Mpeg4Generic {
        config: stereo.clone(),
        size_length: 13,
        index_length: 3,
        index_delta_length: 3,
        constant_size: None,
    };
    // An AudioMuxElement with its configuration, in two packets and at odd bits.
    let mut element = BitWriter::<300>::new();
    element.number(0, 1).unwrap();
    write_stream_mux(&mut element, &stereo).unwrap();
    element.number(200, 8).unwrap();
    element.bytes(&[7; 200]).unwrap();
    let element = element.finish();
    let latm = Latm {
        config: None,
        in_band: true,
        clock_rate: 48_000,
    };
    let mut fragment = vec![0, 16];
    fragment.extend((200_u16 << 3).to_be_bytes());
    fragment.extend([1; 100]);
    let mut speex = BitWriter::<8>::new();
    for _ in 0..3 {
        speex.number(0b0_0000_1000, 9).unwrap();
    }
    let speex = speex.finish().to_vec();
    let opus = vec![0xf8, 1, 2, 3];
    vec![
        (Codec::Pcma, 8_000, [vec![1; 160], vec![2; 160]]),
        (Codec::Opus { channels: 2 }, 48_000, [opus.clone(), opus]),
        (Codec::Speex, 16_000, [vec![0x04, 0x3f], speex]),
        (
            Codec::Aac(AacPacking::Generic(generic)),
            48_000,
            [fragment.clone(), fragment],
        ),
        (
            Codec::Aac(AacPacking::Latm(latm)),
            48_000,
            [element[..100].to_vec(), element[100..].to_vec()],
        ),
    ]
}

#[test]
fn no_packet_of_any_audio_codec_touches_the_heap() {
    for (codec, clock_rate, payloads) in audio_codecs() {
        let words = format!("{codec:?}");
        let pool = PacketPool::new(64);
        let mut log = Box::new(FrameLog::new());
        let config = SessionConfig {
            cname: "box".into(),
            epoch: NtpTime(0),
        };
        let mut session = Session::new(config, Rng::from_number(2));
        let audio = trunkcast::rtp::stream::StreamConfig {
            codec,
            clock_rate,
            send: true,
            ..audio_config()
        };
        let mut now = Instant::from_millis(1_000);
        session.configure(now, Track::Audio, Some(audio));
        let from = PEER.parse().unwrap();
        let mut buffer = [0; 256];
        let (mut frames, mut sent, mut allocations) = (0, 0, 0);
        for at in 0..400_u32 {
            let last = at % 2 == 1;
            let payload = &payloads[usize::from(last)];
            let mut bytes = [0; 1_500];
            let head = packet(
                AUDIO_TYPE,
                last,
                at as u16,
                at / 2 * clock_rate / 25,
                5,
                &[],
            );
            bytes[..12].copy_from_slice(&head);
            bytes[12..12 + payload.len()].copy_from_slice(payload);
            let before = ALLOCATIONS.with(Cell::get);
            // One in thirty is lost.
            if at % 30 < 28 {
                let received = pool.copy_from(&bytes[..12 + payload.len()]).unwrap();
                session.handle_rtp(now, Track::Audio, from, received, &mut log);
            }
            session.handle_timeout(now, &mut log);
            while session.poll_transmit(now, &mut buffer).is_some() {
                sent += 1;
            }
            if at >= 100 {
                // The configuration has been made by now.
                allocations += ALLOCATIONS.with(Cell::get) - before;
            }
            frames += log.end() - log.start();
            log.release_before(log.end());
            now = now + Duration::from_millis(20);
        }
        assert_eq!(allocations, 0, "{words}");
        assert!(frames > 150 && sent > 300, "{words}: {frames}, {sent}");
    }
}

/// Sends these packets, those of one picture in each, with losses that are asked for; how many
/// pictures came out without touching the heap after the first hundred.
fn pictures_without_heap(codec: Codec, pictures: &[Vec<Vec<u8>>]) -> u64 {
    let words = format!("{codec:?}");
    let pool = PacketPool::new(512);
    let mut log = Box::new(FrameLog::new());
    let config = SessionConfig {
        cname: "box".into(),
        epoch: NtpTime(0),
    };
    let mut session = Session::new(config, Rng::from_number(2));
    let mut now = Instant::from_millis(1_000);
    let video = trunkcast::rtp::stream::StreamConfig {
        codec,
        nack: true,
        ..video_config()
    };
    session.configure(now, Track::Video, Some(video));
    let from = PEER.parse().unwrap();
    let mut buffer = [0; 256];
    let mut rng = Rng::from_number(3);
    let (mut before, mut frames) = (0, 0);
    for (at, packets) in pictures.iter().enumerate() {
        if at == 100 {
            before = ALLOCATIONS.with(Cell::get);
        }
        for bytes in packets.iter().filter(|_| at < 20 || rng.below(100) > 0) {
            let received = pool.copy_from(bytes).unwrap();
            session.handle_rtp(now, Track::Video, from, received, &mut log);
        }
        for _ in 0..8 {
            session.handle_timeout(now, &mut log);
            while session.poll_transmit(now, &mut buffer).is_some() {}
            while session.poll_event().is_some() {}
            now = now + Duration::from_millis(5);
        }
        frames += log.end() - log.start();
        log.release_before(log.end());
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "{words}");
    let asked = session.stats(Track::Video).retransmission.asked;
    assert!(asked > 10, "{words}: {asked} asked for");
    frames
}

#[test]
fn no_packet_of_vp8_touches_the_heap() {
    let (mut sequence, mut pictures) = (65_000_u16, Vec::new());
    for at in 0..600_u32 {
        let keyframe = at % 25 == 0;
        let tag = u32::from(!keyframe) | 1 << 4 | 100 << 5;
        let mut frame = tag.to_le_bytes()[..3].to_vec();
        frame.extend([0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01]);
        frame.resize(3_000, 7);
        let mut packets = Vec::new();
        for (part, chunk) in frame.chunks(1_000).enumerate() {
            let [high, low] = (0x8000 | at as u16).to_be_bytes();
            let head = [0x80 | u8::from(part == 0) << 4, 0x80, high, low];
            let payload = [&head, chunk].concat();
            let last = part == 2;
            packets.push(packet(96, last, sequence, at * 3_600, 7, &payload));
            sequence = sequence.wrapping_add(1);
        }
        pictures.push(packets);
    }
    let frames = pictures_without_heap(Codec::Vp8, &pictures);
    assert!(frames > 250, "{frames} frames");
}

#[test]
fn no_picture_out_of_order_touches_the_heap() {
    let mut sender = VideoSender::new(Form::Fragments, 1);
    let mut pictures = Vec::new();
    for group in 0..200_u32 {
        // Decoded as 0, 2, 1: each group's second picture is presented last.
        for place in [0, 2, 1] {
            sender.timestamp = (group * 3 + place) * 3_600;
            pictures.push(sender.picture(group % 8 == 0 && place == 0));
        }
    }
    let codec = Codec::H264 { sprop: Vec::new() };
    let frames = pictures_without_heap(codec, &pictures);
    assert!(frames > 250, "{frames} frames");
}

#[test]
fn no_packet_touches_the_heap() {
    let mut sender = VideoSender::new(Form::Fragments, 1);
    let mut rng = Rng::from_number(1);
    let mut packets: Vec<(Instant, Track, Vec<u8>)> = Vec::new();
    for at in 0..600_u64 {
        let time = Instant::from_millis(1_000 + at * 33);
        for bytes in sender.picture(at % 25 == 0) {
            if rng.below(100) > 0 {
                let delay = Duration::from_micros(u64::from(rng.below(15_000)));
                packets.push((time + delay, Track::Video, bytes));
            }
        }
        let sequence = at as u16;
        let bytes = packet(AUDIO_TYPE, false, sequence, at as u32 * 264, 5, &[7; 264]);
        packets.push((time, Track::Audio, bytes));
    }
    packets.sort_by_key(|(at, ..)| *at);

    let pool = PacketPool::new(512);
    let mut log = Box::new(FrameLog::new());
    let config = SessionConfig {
        cname: "box".into(),
        epoch: NtpTime(0),
    };
    let mut session = Session::new(config, Rng::from_number(2));
    let start = Instant::from_millis(1_000);
    session.configure(start, Track::Video, Some(video_config()));
    let audio = trunkcast::rtp::stream::StreamConfig {
        send: true,
        ..audio_config()
    };
    session.configure(start, Track::Audio, Some(audio));
    let from = PEER.parse().unwrap();
    let mut buffer = [0; 256];
    let (mut frames, mut sent) = (0, 0);
    let mut before = None;
    for (at, (now, track, bytes)) in packets.iter().enumerate() {
        if at == 100 {
            // The decoder configuration has been made by now.
            before = Some(ALLOCATIONS.with(Cell::get));
        }
        let received = pool.copy_from(bytes).unwrap();
        session.handle_rtp(*now, *track, from, received, &mut log);
        session.handle_timeout(*now, &mut log);
        while session.poll_transmit(*now, &mut buffer).is_some() {
            sent += 1;
        }
        while session.poll_event().is_some() {}
        frames += log.end() - log.start();
        log.release_before(log.end());
    }
    let after = ALLOCATIONS.with(Cell::get);
    assert_eq!(after - before.unwrap(), 0);
    let stats = session.stats(Track::Video);
    assert!(stats.reorder.lost > 10 && stats.reorder.reordered > 50 && stats.h264.keyframes > 10);
    assert!(
        frames > 800 && sent > 900,
        "{frames} frames, {sent} datagrams"
    );
}
