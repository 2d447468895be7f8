//! The box plays its streams itself: several viewers at once, and late ones.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

mod support;

use support::daemon::Settings;
use support::flv::Flv;
use support::{Clip, Daemon, Phone, Ports, Scratch, probe};

#[test]
fn several_viewers_at_once_and_a_late_one_see_whole_pictures_from_a_keyframe_on() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("playout");
    let clip = Arc::new(Clip::load());
    let gateway = Daemon::start(&mut ports, Settings::default());
    let url = gateway.play_url("001201234");
    let playing = Phone::dial(&mut ports, gateway.sip(), "001201234").play_in_background(&clip);
    gateway.wait_after(0, "ESTABLISHED", 3);
    sleep(Duration::from_millis(500));

    let files: Vec<_> = (0..4)
        .map(|number| folder.join(&format!("viewer{number}.flv")))
        .collect();
    let mut viewers: Vec<_> = files[..3]
        .iter()
        .map(|file| probe::view(&url, file, Some(6)))
        .collect();
    sleep(Duration::from_millis(3_300));
    viewers.push(probe::view(&url, &files[3], Some(3)));
    for viewer in &mut viewers {
        viewer.succeed(Duration::from_secs(20));
    }
    let (phone, report) = playing.stop();
    assert!(!report.ended_by_gateway);
    let asked = report.video_feedback.keyframe_requests;
    assert!(asked > 0, "no keyframe was asked for when viewers came");
    phone.hang_up();
    for (number, file) in files.iter().enumerate() {
        probe::check_clip_streams(file);
        probe::decode_strictly(file);
        let flv = Flv::read(file);
        flv.check_order();
        // The wait for the next keyframe may be a second, as this phone makes none when asked.
        let least = if number == 3 { 49 } else { 124 };
        let seen = probe::check_contiguous(&clip, &flv.slices());
        assert!(seen >= least, "viewer {number} saw {seen} pictures");
        assert!(
            flv.sounds.len() > least,
            "viewer {number} heard {}",
            flv.sounds.len()
        );
    }
    gateway.check_calm();
}

#[test]
fn the_end_of_the_call_ends_the_viewing() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("playout-end");
    let clip = Arc::new(Clip::load());
    let gateway = Daemon::start(&mut ports, Settings::default());
    let playing = Phone::dial(&mut ports, gateway.sip(), "7").play_in_background(&clip);
    sleep(Duration::from_millis(500));
    let file = folder.join("viewed.flv");
    let mut viewer = probe::view(&gateway.play_url("7"), &file, None);
    sleep(Duration::from_secs(3));
    playing.stop().0.hang_up();
    viewer.succeed(Duration::from_secs(5));
    assert!(probe::check_contiguous(&clip, &Flv::read(&file).slices()) > 25);
}

#[test]
fn a_viewer_that_stalls_takes_nothing_from_the_others() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("playout-stall");
    let clip = Arc::new(Clip::load());
    let gateway = Daemon::start(&mut ports, Settings::default());
    let playing = Phone::dial(&mut ports, gateway.sip(), "8").play_in_background(&clip);
    sleep(Duration::from_millis(500));
    let url = gateway.play_url("8");
    let stalled = probe::view(&url, &folder.join("stalled.flv"), None);
    sleep(Duration::from_secs(1));
    stalled.signal("STOP");
    let file = folder.join("viewed.flv");
    let mut viewer = probe::view(&url, &file, Some(10));
    viewer.succeed(Duration::from_secs(20));
    let (phone, report) = playing.stop();
    assert!(!report.ended_by_gateway);
    phone.hang_up();
    let flv = Flv::read(&file);
    flv.check_order();
    assert!(probe::check_contiguous(&clip, &flv.slices()) >= 230);
}
