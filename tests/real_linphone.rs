//! linphone calls with picture and sound; its packets, its habits.

use std::thread::sleep;
use std::time::Duration;

mod support;

use support::flv::Flv;
use support::linphone::Linphone;
use support::scratch::Scratch;
use support::{Daemon, Enhanced, Namespace, Nginx, Ports, probe};

#[test]
fn a_call_with_h264_and_mu_law_is_relayed() {
    let mut ports = Ports::claim();
    let namespace = Namespace::new(&ports);
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::reached_from(&mut ports, &namespace, &nginx.url("live"));
    let mut linphone = Linphone::call(
        &mut ports,
        &namespace,
        gateway.sip(),
        "1000",
        &["PCMU/8000", "G729/8000", "speex/8000"],
        &["H264"],
    );
    sleep(Duration::from_secs(6));
    linphone.hang_up();
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(3));

    let recording = nginx.recording("rtmp_1000");
    let streams = probe::streams(&recording);
    let (codec, width, height) = streams.video.expect("a picture");
    assert_eq!(codec, "h264");
    assert!(width > 100 && height > 100, "{width}x{height}");
    assert_eq!(streams.audio, Some(("pcm_mulaw".into(), 8_000, 1)));
    probe::decode_strictly(&recording);
    let flv = Flv::read(&recording);
    flv.check_order();
    assert_eq!(streams.pictures, flv.pictures.len(), "pictures that decode");
    assert!(flv.pictures.len() >= 20, "{} pictures", flv.pictures.len());
    assert!(flv.sounds.len() >= 200, "{} sounds", flv.sounds.len());
    gateway.check_calm();
}

#[test]
fn a_call_with_vp8_and_opus_is_relayed_to_a_server_that_lists_them() {
    let mut ports = Ports::claim();
    let namespace = Namespace::new(&ports);
    let server = Enhanced::start(&mut ports, &["video=vp08", "audio=Opus"]);
    let gateway = Daemon::reached_from(&mut ports, &namespace, &server.url("live"));
    let mut call = |number: &str, seconds| {
        let mut linphone = Linphone::call(
            &mut ports,
            &namespace,
            gateway.sip(),
            number,
            &["opus/48000", "speex/16000", "PCMU/8000"],
            &["VP8"],
        );
        sleep(Duration::from_secs(seconds));
        linphone.hang_up();
    };
    // What the server lists is known from the first call on.
    call("1000", 1);
    let mark = gateway.wait_after(0, "ended after", 3);
    call("2000", 6);
    gateway.wait_after(mark, "ended after", 3);
    gateway.check_calm();
    let log = gateway.log().text();
    let recording = server.recording(1, "rtmp_2000");
    recording.check_order();
    let mut codecs = recording.codecs();
    codecs.sort_unstable();
    assert_eq!(codecs, ["Opus", "vp08"], "{log}");
    let pictures = recording.frames("vp08").len();
    assert!(pictures >= 10, "{pictures} pictures\n{log}");
    assert!(recording.frames("Opus").len() >= 100, "{log}");
    let folder = Scratch::new("matroska");
    let file = recording.as_matroska(folder.join("got.mkv"), 352, 288);
    probe::decode_strictly(&file);
    assert_eq!(probe::streams(&file).pictures, pictures, "that decode");
}

#[test]
fn speex_of_16_khz_is_relayed() {
    let mut ports = Ports::claim();
    let namespace = Namespace::new(&ports);
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::reached_from(&mut ports, &namespace, &nginx.url("live"));
    let mut linphone = Linphone::call(
        &mut ports,
        &namespace,
        gateway.sip(),
        "1000",
        &["speex/16000"],
        &["H264"],
    );
    sleep(Duration::from_secs(5));
    linphone.hang_up();
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(3));
    let recording = nginx.recording("rtmp_1000");
    let streams = probe::streams(&recording);
    assert_eq!(streams.audio, Some(("speex".into(), 16_000, 1)));
    probe::decode_strictly(&recording);
    let flv = Flv::read(&recording);
    flv.check_order();
    assert!(flv.sounds.len() >= 60, "{} sounds", flv.sounds.len());
    gateway.check_calm();
}
