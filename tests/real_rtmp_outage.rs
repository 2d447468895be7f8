//! Trouble at the RTMP server is not trouble for the call.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

mod support;

use support::baresip::Baresip;
use support::flv::Flv;
use support::{Clip, Daemon, Nginx, Phone, Ports, probe};

const STREAM: &str = "rtmp_1000";

#[test]
fn a_server_killed_in_mid_call_gets_the_stream_again_when_it_is_back() {
    let mut ports = Ports::claim();
    let clip = Arc::new(Clip::load());
    let mut nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let playing = Phone::dial(&mut ports, gateway.sip(), "1000").play_in_background(&clip);
    gateway.wait_after(0, "RTMP_STREAM_ACTIVE", 3);
    nginx.wait_recorded(STREAM, 50_000, Duration::from_secs(5));

    let mark = gateway.log().mark();
    nginx.kill();
    let mark = gateway.wait_after(mark, "RTMP_CONNECTION_LOST", 3);
    sleep(Duration::from_secs(1));
    let second = Nginx::start_at(nginx.address());
    gateway.wait_after(mark, "RTMP_STREAM_ACTIVE", 6);
    second.wait_recorded(STREAM, 100_000, Duration::from_secs(5));

    let (phone, report) = playing.stop();
    assert!(!report.ended_by_gateway, "the outage ended the call");
    phone.hang_up();
    gateway.wait_after(0, "ended after", 3);
    check_recording(&clip, &nginx);
    check_recording(&clip, &second);
    gateway.check_calm();
}

#[test]
fn a_server_started_after_the_call_gets_the_stream() {
    let mut ports = Ports::claim();
    let clip = Arc::new(Clip::load());
    let address = ports.address();
    let url = format!("rtmp://{address}/live");
    let gateway = Daemon::publishing_to(&mut ports, &url);
    let playing = Phone::dial(&mut ports, gateway.sip(), "1000").play_in_background(&clip);
    gateway.wait_after(0, "RTMP_CONNECTION_FAILED", 4);
    sleep(Duration::from_secs(1));
    let nginx = Nginx::start_at(address);
    gateway.wait_after(0, "RTMP_STREAM_ACTIVE", 6);
    nginx.wait_recorded(STREAM, 50_000, Duration::from_secs(5));
    let (phone, report) = playing.stop();
    assert!(
        !report.ended_by_gateway,
        "the missing server ended the call"
    );
    phone.hang_up();
    gateway.wait_after(0, "ended after", 3);
    check_recording(&clip, &nginx);
}

#[test]
fn a_server_that_refuses_to_publish_leaves_the_call_up_and_says_so() {
    let mut ports = Ports::claim();
    let clip = Arc::new(Clip::load());
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("refused"));
    let playing = Phone::dial(&mut ports, gateway.sip(), "1000").play_in_background(&clip);
    gateway.wait_after(0, "RTMP_CONNECTION_FAILED", 5);
    sleep(Duration::from_secs(3));
    let (phone, report) = playing.stop();
    assert!(!report.ended_by_gateway, "the refusal ended the call");
    phone.hang_up();
    gateway.wait_after(0, "ended after", 3);
    let log = gateway.log().text();
    assert!(
        !log.contains("RTMP_STREAM_ACTIVE"),
        "a refused stream was called active:\n{log}"
    );
    assert_eq!(nginx.recorded(STREAM), 0);
}

#[test]
fn a_server_that_accepts_and_then_closes_is_tried_ever_less_often() {
    let mut ports = Ports::claim();
    let clip = Arc::new(Clip::load());
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("denied"));
    let playing = Phone::dial(&mut ports, gateway.sip(), "1000").play_in_background(&clip);
    gateway.wait_after(0, "RTMP_CONNECTION_FAILED", 5);
    sleep(Duration::from_secs(6));
    let (phone, report) = playing.stop();
    assert!(!report.ended_by_gateway, "the refusal ended the call");
    phone.hang_up();
    gateway.wait_after(0, "ended after", 3);
    let log = gateway.log().text();
    let attempts: usize = log
        .split_once("published ")
        .and_then(|(_, rest)| rest.split_once(" times")?.0.parse().ok())
        .expect("the line at the end says how often it was published");
    assert!(
        (2..=9).contains(&attempts),
        "{attempts} attempts in six seconds"
    );
    assert!(
        !log.contains("RTMP_STREAM_ACTIVE"),
        "a stream that was closed at once was called active"
    );
    assert_eq!(nginx.recorded(STREAM), 0);
}

#[test]
fn a_phone_that_makes_keyframes_only_when_asked_is_asked_on_return() {
    let mut ports = Ports::claim();
    let mut nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let baresip = Baresip::call(&mut ports, gateway.sip(), "1000", "PCMA", 12);
    gateway.wait_after(0, "RTMP_STREAM_ACTIVE", 10);
    nginx.wait_recorded(STREAM, 200_000, Duration::from_secs(6));
    let mark = gateway.log().mark();
    nginx.kill();
    let mark = gateway.wait_after(mark, "RTMP_CONNECTION_LOST", 3);
    // Longer than any backlog that could hold the last keyframe.
    sleep(Duration::from_secs(3));
    let second = Nginx::start_at(nginx.address());
    gateway.wait_after(mark, "RTMP_STREAM_ACTIVE", 8);
    let sent = baresip.finish(Duration::from_secs(20));
    gateway.wait_after(0, "ended after", 3);
    assert!((2..=5).contains(&sent.keyframes), "{sent:?}");
    let recording = second.recording(STREAM);
    let flv = Flv::read(&recording);
    flv.check_order();
    assert!(
        flv.pictures.len() >= 25,
        "{} pictures after the return",
        flv.pictures.len()
    );
    probe::decode_strictly(&recording);
}

#[test]
fn a_name_already_in_use_is_waited_for() {
    let mut ports = Ports::claim();
    let clip = Arc::new(Clip::load());
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let mut other_ports = Ports::claim();
    let rival = Daemon::publishing_to(&mut other_ports, &nginx.url("live"));
    let first = Phone::dial(&mut other_ports, rival.sip(), "1000").play_in_background(&clip);
    rival.wait_after(0, "RTMP_STREAM_ACTIVE", 3);
    let playing = Phone::dial(&mut ports, gateway.sip(), "1000").play_in_background(&clip);
    gateway.wait_after(0, "RTMP_CONNECTION_FAILED", 5);
    first.stop().0.hang_up();
    gateway.wait_after(0, "RTMP_STREAM_ACTIVE", 15);
    let (phone, report) = playing.stop();
    assert!(!report.ended_by_gateway, "the busy name ended the call");
    phone.hang_up();
}

#[test]
fn a_stalled_server_costs_its_own_backlog_and_the_stream_comes_back() {
    let mut ports = Ports::claim();
    let clip = Arc::new(Clip::load());
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let playing = Phone::dial(&mut ports, gateway.sip(), "1000").play_in_background(&clip);
    nginx.wait_recorded(STREAM, 50_000, Duration::from_secs(5));
    nginx.stall();
    sleep(Duration::from_secs(12));
    nginx.resume();
    let stalled = nginx.recorded(STREAM);
    nginx.wait_recorded(STREAM, stalled + 100_000, Duration::from_secs(12));
    sleep(Duration::from_secs(1));
    let (phone, report) = playing.stop();
    assert!(!report.ended_by_gateway, "the stall ended the call");
    phone.hang_up();
    gateway.wait_after(0, "ended after", 3);
    check_damage_free(&clip, &nginx);
    gateway.check_calm();
}

/// What a server recorded must be a run of the clip without a gap, from a keyframe on.
fn check_recording(clip: &Clip, nginx: &Nginx) {
    let recording = nginx.recording(STREAM);
    let flv = Flv::read(&recording);
    flv.check_order();
    probe::check_contiguous(clip, &flv.slices());
}

/// Pictures may be missing in groups, but after each gap a keyframe comes first and none is
/// damaged.
fn check_damage_free(clip: &Clip, nginx: &Nginx) {
    let recording = nginx.recording(STREAM);
    let flv = Flv::read(&recording);
    flv.check_order();
    let slices = flv.slices();
    let mut start = 0;
    for (number, picture) in flv.pictures.iter().enumerate().skip(1) {
        if picture.keyframe {
            probe::check_contiguous(clip, &slices[start..number]);
            start = number;
        }
    }
    probe::check_contiguous(clip, &slices[start..]);
}
