//! linphone calls with picture and sound; its packets, its habits.

use std::thread::sleep;
use std::time::Duration;

mod support;

use support::daemon::Settings;
use support::flv::Flv;
use support::linphone::Linphone;
use support::{Daemon, Namespace, Nginx, Ports, probe};

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
    gateway.log().wait_for("ended", Duration::from_secs(3));

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
