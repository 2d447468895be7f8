//! baresip calls with picture and sound; nginx receives; ffprobe and ffmpeg read it back.

use std::time::Duration;

mod support;

use support::baresip::Baresip;
use support::flv::Flv;
use support::{Daemon, Nginx, Ports, probe};

#[test]
fn a_video_call_with_a_law_is_relayed() {
    video_call("PCMA", "pcm_alaw", 7);
}

#[test]
fn a_video_call_with_mu_law_is_relayed() {
    video_call("PCMU", "pcm_mulaw", 8);
}

fn video_call(codec: &str, name: &str, sound_format: u8) {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let baresip = Baresip::call(&mut ports, gateway.sip(), "001201234", codec, 8);
    baresip
        .log()
        .wait_for("Call established", Duration::from_secs(10));
    gateway
        .log()
        .wait_for("ESTABLISHED", Duration::from_secs(2));
    gateway
        .log()
        .wait_for("RTMP_STREAM_ACTIVE", Duration::from_secs(3));
    let sent = baresip.finish(Duration::from_secs(20));
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(3));

    let recording = nginx.recording("rtmp_001201234");
    let streams = probe::streams(&recording);
    assert_eq!(streams.video, Some(("h264".into(), 640, 360)));
    assert_eq!(streams.audio, Some((name.into(), 8_000, 1)));
    probe::decode_strictly(&recording);

    let flv = Flv::read(&recording);
    flv.check_order();
    assert!(sent.pictures > 100, "baresip sent too little: {sent:?}");
    // baresip may have encoded a last picture that it did not send any more.
    let pictures = flv.pictures.len();
    assert!(
        (sent.pictures - 1..=sent.pictures).contains(&pictures),
        "{pictures} of {sent:?}"
    );
    assert_eq!(streams.pictures, pictures, "pictures that decode");
    let sounds = flv
        .sounds
        .iter()
        .filter(|sound| sound.format >> 4 == sound_format)
        .count();
    assert_eq!(sounds, flv.sounds.len(), "sound of format {sound_format}");
    assert!(
        (sent.audio_packets - 2..=sent.audio_packets).contains(&sounds),
        "{sounds} of {sent:?}"
    );
    assert!(
        sent.keyframes <= 8,
        "too many keyframes were asked for: {sent:?}"
    );
    gateway.check_calm();
}
