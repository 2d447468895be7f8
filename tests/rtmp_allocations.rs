//! The heap is not touched for a frame on its way out, whether the socket takes all of it or not.

// Counting is what the allocator of this test adds.
#![allow(unsafe_code)]

mod rtmp_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use rtmp_support::{Script, Scripted, Server, Source, carry, millis, prove, publisher};
use trunkcast::base::rng::Rng;
use trunkcast::rtmp::{Player, PlayerEvent, RtmpStatus, Viewer};
use trunkcast::wire::rtmp_url::{RtmpUrl, StreamKey};

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

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Until when memory is taken that a connection keeps.
const WARM_UP_MILLIS: u64 = 1_000;

#[test]
fn no_frame_touches_the_heap() {
    let mut rng = Rng::from_number(1);
    let mut source = Source::new();
    let mut publisher = publisher(0);
    let mut server = Scripted::new(Script::Accept);
    publisher.handle_connected(millis(0));
    carry(
        millis(0),
        &mut publisher,
        &mut server,
        &source.log,
        &mut rng,
    );
    prove(millis(0), &mut publisher);
    assert_eq!(publisher.status(), RtmpStatus::Active);

    let mut player = Box::new(Player::new(millis(0), Rng::from_number(2)));
    let url = RtmpUrl::parse("rtmp://box/live").unwrap();
    let name = StreamKey::new("a").unwrap();
    let mut viewer = Viewer::new(millis(0), url, name, Rng::from_number(3)).unwrap();
    let mut out = vec![0; 131_072];
    for _ in 0..6 {
        let len = viewer.poll_transmit(&mut out);
        viewer.transmitted(len);
        player.handle_bytes(millis(0), &out[..len]);
        if let Some(PlayerEvent::Play { .. }) = player.poll_event() {
            player.start(millis(0), &source.log, true);
        }
        let len = player.poll_transmit(millis(0), &source.log, &mut out);
        player.transmitted(millis(0), len, &source.log);
        viewer.handle_bytes(millis(0), &out[..len], |_| ());
    }
    assert!(player.is_playing());

    let (mut counted, mut told, mut sent) = (0, 0, 0);
    for at in (0..20_000_u64).step_by(20) {
        let now = millis(at);
        source.picture(at, at % 1_000 == 0, 2_000 + (at % 7) as usize * 900);
        source.sound(at);
        let before = allocations();
        loop {
            let given = publisher.poll_transmit(now, &source.log, &mut out[..5_000]);
            let taken = rng.below(given as u32 + 1) as usize;
            publisher.transmitted(now, taken, &source.log);
            sent += taken;
            while publisher.poll_event().is_some() {}
            if given == 0 || rng.below(8) == 0 {
                break;
            }
        }
        let given = player.poll_transmit(now, &source.log, &mut out);
        player.transmitted(now, given, &source.log);
        viewer.handle_bytes(now, &out[..given], |_| told += 1);
        // What a partial write needs is allocated with the first of them and kept.
        if at >= WARM_UP_MILLIS {
            counted += allocations() - before;
        }
        source
            .log
            .release_before(publisher.position().min(player.position()));
        source.sent.clear();
    }
    assert_eq!(counted, 0);
    assert!(
        told >= 2_000 && sent > 4_000_000,
        "{told} messages, {sent} bytes"
    );
    assert_eq!(server.take(), []);
}
