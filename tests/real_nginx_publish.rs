//! A clip sent in a call arrives in nginx complete and untouched.

use std::time::Duration;

mod support;

use support::phone::Play;
use support::{Clip, Daemon, Nginx, Phone, Ports, Scratch, probe};

#[test]
fn the_clip_arrives_whole_and_untouched_in_recording_and_at_a_viewer() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("publish");
    let clip = Clip::load();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let viewed = folder.join("viewed.flv");
    let viewer = probe::view(
        &format!("{}/rtmp_001201234", nginx.url("live")),
        &viewed,
        Some(6),
    );

    let mut phone = Phone::dial(&mut ports, gateway.sip(), "001201234");
    let report = phone.play(&clip, &Play::default());
    phone.hang_up();
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(3));
    assert_eq!(report.pictures, clip.pictures.len());
    assert!(!report.ended_by_gateway);
    assert!(
        report.video_feedback.reports > 0,
        "no receiver reports for the picture"
    );
    assert!(
        report.audio_feedback.reports > 0,
        "no reports for the sound"
    );
    assert!(
        report.sound_received > 400,
        "{} packets of silence",
        report.sound_received
    );

    let recording = nginx.recording("rtmp_001201234");
    probe::check_clip_streams(&recording);
    probe::decode_strictly(&recording);
    probe::check_clip_identical(&clip, &recording);
    drop(viewer);
    let pictures = support::flv::Flv::read(&viewed).slices();
    assert!(
        probe::check_contiguous(&clip, &pictures) >= 100,
        "{} pictures viewed",
        pictures.len()
    );
    gateway.check_calm();
}

#[test]
fn several_calls_at_once_become_several_streams() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let phones: Vec<Phone> = (0..4)
        .map(|number| Phone::dial(&mut ports, gateway.sip(), &format!("20{number}")))
        .collect();
    std::thread::scope(|scope| {
        for mut phone in phones {
            scope.spawn(move || {
                phone.play(&Clip::load(), &Play::default());
                phone.hang_up();
            });
        }
    });
    for number in 0..4 {
        probe::check_clip_identical(&Clip::load(), &nginx.recording(&format!("rtmp_20{number}")));
    }
    gateway.check_calm();
}
