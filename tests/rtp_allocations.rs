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
