//! The box calls phones: baresip and linphone answer with sound and pictures, which arrive at nginx, and
//! either side ends the call.

use std::time::Duration;

mod support;

use serde_json::json;
use support::baresip::{Answers, Baresip, Plan};
use support::flv::Flv;
use support::linphone::{self, Linphone};
use support::{CallOut, Daemon, Namespace, Nginx, Ports, Program, probe};

const SHORT: Duration = Duration::from_secs(5);

/// Ends by itself, whatever happens.
fn plan() -> Plan<'static> {
    Plan {
        seconds: 30,
        ..Plan::default()
    }
}

/// The media lines of the first description that a phone printed, each with its direction.
fn offered(phone: &Program) -> Vec<String> {
    let text = phone.text();
    let mut lines: Vec<String> = Vec::new();
    let offer = text.lines().skip_while(|line| !line.starts_with("INVITE "));
    for line in offer.take_while(|line| !line.starts_with("SIP/2.0 ")) {
        if let Some(line) = line.strip_prefix("m=") {
            lines.extend(line.split(' ').next().map(str::to_owned));
        }
        for direction in ["sendrecv", "recvonly", "sendonly", "inactive"] {
            if let Some(last) = lines
                .last_mut()
                .filter(|_| line == format!("a={direction}"))
            {
                *last += &format!(" {direction}");
            }
        }
    }
    lines
}

#[test]
fn baresip_answers_with_sound_and_pictures_until_the_box_hangs_up() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let mut gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let phone = Baresip::listen(&mut ports, "1002", Answers::AtOnce, &plan());
    let (callee, target) = (("1002", phone.sip()), (&nginx.url("live")[..], "both"));
    let mut call = CallOut::place(&gateway, callee, target, &json!({}));
    call.wait_for("status", "ESTABLISHED", 5);
    call.wait_for("rtmpStreamStatus", "RTMP_STREAM_ACTIVE", 5);
    assert_eq!(offered(phone.log()), ["audio sendrecv", "video sendrecv"]);
    nginx.wait_recorded("rtmp_both", 300_000, 2 * SHORT);
    call.terminate();
    gateway.log().wait_for("FINISH (200", SHORT);
    let sent = phone.quit();
    assert!(sent.pictures > 40, "{sent:?}");
    assert_eq!(
        probe::streams(&nginx.recording("rtmp_both")).audio,
        Some(("pcm_alaw".into(), 8_000, 1))
    );
    sent.check_recorded(&nginx.recording("rtmp_both"));
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn baresip_that_knows_no_video_is_relayed_with_its_sound_and_hangs_up() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let plan = Plan {
        audio: "PCMU",
        video: "",
        ..plan()
    };
    let phone = Baresip::listen(&mut ports, "1002", Answers::AtOnce, &plan);
    let (callee, target) = (("1002", phone.sip()), (&nginx.url("live")[..], "sound"));
    let mut call = CallOut::place(&gateway, callee, target, &json!({}));
    call.wait_for("rtmpStreamStatus", "RTMP_STREAM_ACTIVE", 10);
    nginx.wait_recorded("rtmp_sound", 24_000, 2 * SHORT);
    phone.order("hangup");
    gateway.log().wait_for("FINISH (200", SHORT);
    let sent = phone.quit();
    assert!(sent.audio_packets > 50, "{sent:?}");
    assert_eq!(sent.pictures, 0);
    let recording = nginx.recording("rtmp_sound");
    let streams = probe::streams(&recording);
    assert_eq!(
        (streams.audio, streams.video),
        (Some(("pcm_mulaw".into(), 8_000, 1)), None)
    );
    sent.check_recorded(&recording);
    assert!(call.look().is_none());
    gateway.check_calm();
}

#[test]
fn what_is_not_to_be_sent_is_offered_recvonly_and_still_comes() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let phone = Baresip::listen(&mut ports, "1002", Answers::AtOnce, &plan());
    let (callee, target) = (("1002", phone.sip()), (&nginx.url("live")[..], "received"));
    let mut call = CallOut::place(&gateway, callee, target, &json!({"hasVideo": false}));
    call.wait_for("rtmpStreamStatus", "RTMP_STREAM_ACTIVE", 10);
    assert_eq!(offered(phone.log()), ["audio sendrecv", "video recvonly"]);
    nginx.wait_recorded("rtmp_received", 300_000, 2 * SHORT);
    call.terminate();
    gateway.log().wait_for("FINISH (200", SHORT);
    let sent = phone.quit();
    assert!(sent.pictures > 40, "{sent:?}");
    sent.check_recorded(&nginx.recording("rtmp_received"));
    gateway.check_calm();
}

#[test]
fn baresip_that_rings_and_declines_is_busy() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let phone = Baresip::listen(&mut ports, "1002", Answers::WhenTold, &plan());
    let (callee, target) = (("1002", phone.sip()), (&nginx.url("live")[..], "busy"));
    let mut call = CallOut::place(&gateway, callee, target, &json!({}));
    let told = call.wait_for("status", "RING", 5);
    assert_eq!(told["sipStatus"], 180);
    phone.order("hangup");
    gateway.log().wait_for("BUSY (486", SHORT);
    assert!(call.look().is_none());
    phone.order("quit");
    assert_eq!(nginx.recorded("rtmp_busy"), 0);
    gateway.check_calm();
}

#[test]
fn a_call_is_taken_back_while_baresip_rings_and_another_is_answered_by_hand() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let phone = Baresip::listen(&mut ports, "1002", Answers::WhenTold, &plan());
    let url = nginx.url("live");
    let mut call = CallOut::place(&gateway, ("1002", phone.sip()), (&url, "first"), &json!({}));
    call.wait_for("status", "RING", 5);
    call.terminate();
    phone.log().wait_for("CANCEL sip:1002@", SHORT);
    phone
        .log()
        .wait_for("SIP/2.0 487 Request Terminated", SHORT);
    let taken_back = gateway.wait_after(0, "FINISH (200 ended by request", 5);
    let mut call = CallOut::place(
        &gateway,
        ("1002", phone.sip()),
        (&url, "second"),
        &json!({}),
    );
    call.wait_for("status", "RING", 5);
    phone.order("accept");
    call.wait_for("rtmpStreamStatus", "RTMP_STREAM_ACTIVE", 10);
    nginx.wait_recorded("rtmp_second", 100_000, 2 * SHORT);
    phone.order("hangup");
    gateway.wait_after(taken_back, "FINISH (200", 5);
    let sent = phone.quit();
    sent.check_recorded(&nginx.recording("rtmp_second"));
    assert_eq!(nginx.recorded("rtmp_first"), 0);
    gateway.check_calm();
}

#[test]
fn linphone_answers_with_sound_and_pictures_until_the_box_hangs_up() {
    called_linphone(true, |_, call| call.terminate());
}

#[test]
fn linphone_that_knows_no_video_is_relayed_with_its_sound_and_hangs_up() {
    called_linphone(false, |phone, _| phone.order("terminate"));
}

fn called_linphone(video: bool, end: impl FnOnce(&mut Linphone, &mut CallOut)) {
    let mut ports = Ports::claim();
    let namespace = Namespace::new(&ports);
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::reached_from(&mut ports, &namespace, &nginx.url("live"));
    let plan = linphone::Plan {
        video: if video { &["H264"] } else { &[] },
        answers: true,
        ..linphone::Plan::default()
    };
    let mut phone = Linphone::listen(&mut ports, &namespace, &plan);
    let (callee, target) = (("1002", phone.sip()), (&nginx.url("live")[..], "called"));
    let mut call = CallOut::place(&gateway, callee, target, &json!({}));
    phone.established();
    call.wait_for("rtmpStreamStatus", "RTMP_STREAM_ACTIVE", 10);
    nginx.wait_recorded("rtmp_called", 40_000, 3 * SHORT);
    end(&mut phone, &mut call);
    phone.quit();
    gateway.log().wait_for("FINISH (200", SHORT);
    let recording = nginx.recording("rtmp_called");
    let streams = probe::streams(&recording);
    assert_eq!(streams.audio, Some(("pcm_mulaw".into(), 8_000, 1)));
    assert_eq!(streams.video.is_some(), video);
    probe::decode_strictly(&recording);
    let flv = Flv::read(&recording);
    assert!(flv.sounds.len() >= 30, "{} sounds", flv.sounds.len());
    if video {
        flv.check_order();
        assert_eq!(streams.pictures, flv.pictures.len(), "pictures that decode");
    }
    gateway.check_calm();
}

#[test]
fn linphone_that_rings_and_declines_ends_the_call_with_its_words() {
    let mut ports = Ports::claim();
    let namespace = Namespace::new(&ports);
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::reached_from(&mut ports, &namespace, &nginx.url("live"));
    let mut phone = Linphone::listen(&mut ports, &namespace, &linphone::Plan::default());
    let (callee, target) = (("1002", phone.sip()), (&nginx.url("live")[..], "declined"));
    let mut call = CallOut::place(&gateway, callee, target, &json!({}));
    call.wait_for("status", "RING", 5);
    phone.order("terminate");
    gateway.log().wait_for("FAILED (603", SHORT);
    assert!(call.look().is_none());
    gateway.check_calm();
}
