//! A line that loses, delays and swaps packets: what comes out is whole all the same.

use std::sync::atomic::Ordering;
use std::time::Duration;

mod support;

use support::baresip::{Baresip, Plan};
use support::flv::Flv;
use support::impaired::Line;
use support::{Daemon, Namespace, Nginx, Ports, probe};

#[test]
fn a_call_over_a_bad_line_shows_no_damaged_picture() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let sip = ports.peek();
    let line = Line {
        lost: 200,
        overtaken: 100,
        jitter: Duration::from_millis(20),
        held: Duration::from_millis(15),
        spared_port: sip,
        seed: 7,
    };
    let namespace = Namespace::impaired(&ports, line);
    let gateway = Daemon::reached_from(&mut ports, &namespace, &nginx.url("live"));
    let plan = Plan {
        seconds: 15,
        namespace: Some(&namespace),
        ..Plan::default()
    };
    let baresip = Baresip::start(&mut ports, gateway.sip(), "1000", &plan);
    let sent = baresip.finish(Duration::from_secs(30));
    gateway.log().wait_for("ended", Duration::from_secs(5));
    let counts = namespace.counts();
    let lost = counts.lost.load(Ordering::Relaxed);
    assert!(lost > 20, "the line lost only {lost} packets");

    let recording = nginx.recording("rtmp_1000");
    probe::decode_strictly(&recording);
    let flv = Flv::read(&recording);
    flv.check_order();
    // Each loss costs the pictures up to the next keyframe, which baresip makes only when asked.
    assert!((3..=20).contains(&sent.keyframes), "{sent:?}");
    let keyframes = flv.pictures.iter().filter(|picture| picture.keyframe);
    assert!(keyframes.count() >= 3, "keyframes that came through");
    let mut times: Vec<u32> = flv.pictures.iter().map(|picture| picture.time).collect();
    times.push(flv.sounds.last().map_or(0, |sound| sound.time));
    let gap = times
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .max();
    // Six askings in ten seconds are the most that the gateway makes.
    assert!(gap <= Some(10_000), "no picture for {gap:?} ms");
    // Sound is lost packet by packet and nothing beside.
    let sounds = flv.sounds.len();
    assert!(
        sounds * 100 >= sent.audio_packets * 94,
        "{sounds} of {sent:?}"
    );
    gateway.check_calm();
}
