//! Flash and beep that coincide in the clip coincide in the stream.

use std::time::Duration;

mod support;

use support::phone::Play;
use support::{Clip, Daemon, Nginx, Phone, Ports, lipsync};

/// The most that flash and beep may be apart, in milliseconds.
const ALLOWED: f64 = 20.0;

#[test]
fn flash_and_beep_come_out_within_20_ms() {
    let skews = skews_of(&Play::default());
    assert!(
        skews.len() >= 9,
        "{} flashes with a beep: {skews:?}",
        skews.len()
    );
    assert!(skews.iter().all(|skew| skew.abs() <= ALLOWED), "{skews:?}");
}

#[test]
fn a_picture_sent_late_is_drawn_into_sync_by_sender_reports() {
    let late = Duration::from_millis(50);
    let skews = skews_of(&Play {
        video_late: late,
        rounds: 2,
        ..Play::default()
    });
    assert!(
        skews.len() >= 19,
        "{} flashes with a beep: {skews:?}",
        skews.len()
    );
    let last = &skews[skews.len() - 6..];
    assert!(last.iter().all(|skew| skew.abs() <= ALLOWED), "{skews:?}");
    // Drawn, not stepped: at most 5 ms in a second, and half a millisecond of rounding each.
    for pair in skews.windows(2) {
        assert!((pair[0] - pair[1]).abs() <= 6.5, "{skews:?}");
    }
}

fn skews_of(play: &Play) -> Vec<f64> {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let mut phone = Phone::dial(&mut ports, gateway.sip(), "1000");
    phone.play(&Clip::load(), play);
    phone.hang_up();
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(3));
    lipsync::skews(&nginx.recording("rtmp_1000"))
}
