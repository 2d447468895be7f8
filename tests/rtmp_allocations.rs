//! The heap is not touched for a frame on its way out, whether the socket takes all of it or not.

// Counting is what the allocator of this test adds.
#![allow(unsafe_code)]

mod rtmp_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::rc::Rc;

use rtmp_support::codecs::{aac, opus, plain, vp8};
use rtmp_support::{
    Hook, Script, Scripted, Server, Source, carry, millis, prove, publisher, video_config,
};
use trunkcast::base::codec::CodecConfig;
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
fn no_frame_of_any_codec_touches_the_heap() {
    let h264 = || video_config(320, 240);
    let audio = plain(CodecConfig::Pcma);
    check(h264(), audio, 0, None, 4_000_000);
    check(h264(), aac(&[0x11, 0x90], 48_000), 80_000, None, 4_000_000);
    check(h264(), plain(CodecConfig::Speex), 0, None, 4_000_000);
    // To a server that lists nothing nothing goes; the viewer takes both.
    check(vp8(320, 240), opus(), 0, None, 0);
    check(vp8(320, 240), opus(), 0, Some(lists), 4_000_000);
}

/// Lists VP8 and Opus in the answer to `connect`.
fn lists(server: &mut Scripted, name: &str, number: f64) -> bool {
    if name == "connect" {
        server.command(|body| {
            body.string(&["_result"]).number(number).object().end();
            body.object().name("fourCcList").strict_array(2);
            body.string(&["vp08"]).string(&["Opus"]).end();
        });
    }
    name == "connect"
}

/// Publishes and plays 20 seconds of a source with a new configuration each second; the publisher
/// sends more than `least` bytes.
fn check(
    video: Rc<CodecConfig>,
    audio: Rc<CodecConfig>,
    composition: u32,
    hook: Option<Hook>,
    least: usize,
) {
    let mut rng = Rng::from_number(1);
    let mut source = Source::new();
    let codecs = (video.codec(), audio.codec());
    (source.video, source.audio, source.composition) = (video, audio, composition);
    let mut publisher = publisher(0);
    let mut server = Scripted::new(Script::Accept);
    server.hook = hook;
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
        if at % 1_000 == 0 {
            source.video = Rc::new((*source.video).clone());
            source.audio = Rc::new((*source.audio).clone());
        }
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
    assert_eq!(counted, 0, "{codecs:?}");
    assert!(
        told >= 2_000 && sent >= least,
        "{codecs:?}: {told} messages, {sent} bytes"
    );
    if least == 0 {
        assert_eq!(publisher.media_counters().not_taken, 2_000, "{codecs:?}");
    }
    assert!(server.take().is_empty());
}
