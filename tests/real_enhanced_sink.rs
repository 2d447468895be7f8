//! A server with Enhanced RTMP that none of this project's authors wrote takes what it lists.

use std::time::Duration;

mod support;

use support::baresip::{Baresip, Plan};
use support::enhanced::Recording;
use support::scratch::Scratch;
use support::{Daemon, Enhanced, Ports, lipsync, probe};

/// A call of a baresip that offers VP8 and Opus beside G.711.
fn call(options: &[&str], plan: &Plan) -> (Recording, String) {
    let mut ports = Ports::claim();
    let server = Enhanced::start(&mut ports, options);
    let gateway = Daemon::publishing_to(&mut ports, &server.url("live"));
    // What the server lists is known from its first answer on: the second call is the one.
    let first = Plan {
        seconds: 3,
        ..*plan
    };
    Baresip::start(&mut ports, gateway.sip(), "1000", &first).finish(Duration::from_secs(20));
    let mark = gateway.wait_after(0, "ended after", 5);
    let mut more = Ports::claim();
    Baresip::start(&mut more, gateway.sip(), "2000", plan).finish(Duration::from_secs(30));
    gateway.wait_after(mark, "ended after", 5);
    gateway.check_calm();
    let recording = server.recording(1, "rtmp_2000");
    recording.check_order();
    (recording, gateway.log().text())
}

#[test]
fn vp8_and_opus_go_to_a_server_that_lists_them() {
    let plan = Plan {
        audio: "opus/48000/2,PCMU/8000/1",
        video: "VP8",
        seconds: 10,
        ..Plan::default()
    };
    let (recording, log) = call(&["list=avc1,vp08,Opus,mp4a"], &plan);
    assert_eq!(recording.end, "unpublished");
    let mut codecs = recording.codecs();
    codecs.sort_unstable();
    assert_eq!(codecs, ["Opus", "vp08"], "{log}");
    let head = &recording.sequence_starts("Opus")[0].body;
    assert!(head.starts_with(b"OpusHead"), "{head:02x?}");
    assert_eq!(recording.sequence_starts("vp08").len(), 1, "{log}");
    let pictures = recording.frames("vp08");
    assert_eq!(pictures[0].frame_type, 1, "a keyframe comes first");
    // libvpx is slow on a busy machine: how many baresip encodes is its own matter.
    assert!(
        pictures.len() >= 60,
        "{} pictures
{log}",
        pictures.len()
    );
    assert!(recording.frames("Opus").len() >= 400, "{log}");

    let folder = Scratch::new("matroska");
    let file = recording.as_matroska(folder.join("got.mkv"), 640, 360);
    probe::decode_strictly(&file);
    let streams = probe::streams(&file);
    assert_eq!(streams.pictures, pictures.len(), "pictures that decode");
    assert_eq!(streams.video, Some(("vp8".into(), 640, 360)));
    assert_eq!(streams.audio.map(|audio| audio.0), Some("opus".into()));
    let skews = lipsync::decoded_skews(&file);
    // A flash may fall into a picture that baresip left out: within two pictures, half of them nearer.
    let mut apart: Vec<f64> = skews.iter().map(|skew| skew.abs()).collect();
    apart.sort_by(f64::total_cmp);
    assert!(apart.len() >= 5, "{skews:?}");
    assert!(apart[apart.len() / 2] <= 40.0, "{skews:?}\n{log}");
    assert!(
        apart.iter().all(|&apart| apart <= 120.0),
        "{skews:?}\n{log}"
    );
}
