//! baresip calls with its media protected by SRTP; nginx receives what was in it.

use std::time::Duration;

mod support;

use support::baresip::{Baresip, Plan};
use support::daemon::Settings;
use support::flv::Flv;
use support::{Daemon, Nginx, Ports, probe};

#[test]
fn a_call_with_rtp_savp_is_relayed() {
    call("srtp-mand", "optional", true);
}

#[test]
fn a_call_with_rtp_savpf_is_relayed() {
    call("srtp-mandf", "required", true);
}

#[test]
fn a_call_with_keys_beside_rtp_avp_is_relayed_protected() {
    call("srtp", "optional", true);
}

#[test]
fn a_call_with_keys_beside_rtp_avp_is_relayed_in_the_clear_where_srtp_is_off() {
    call("srtp", "off", false);
}

fn call(encryption: &str, policy: &str, protected: bool) {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let settings = Settings {
        url: Some(nginx.url("live")),
        trunk: vec![format!("srtp: {policy}")],
        ..Settings::default()
    };
    let gateway = Daemon::start(&mut ports, settings);
    let plan = Plan {
        encryption: Some(encryption),
        seconds: 6,
        ..Plan::default()
    };
    let baresip = Baresip::start(&mut ports, gateway.sip(), "001201234", &plan);
    gateway
        .log()
        .wait_for("RTMP_STREAM_ACTIVE", Duration::from_secs(10));
    let sent = baresip.finish(Duration::from_secs(20));
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(3));
    let log = gateway.log().text();
    assert_eq!(
        log.contains(" with AES_CM_128_HMAC_SHA1_80"),
        protected,
        "{log}"
    );
    assert!(!log.contains("inline:"), "{log}");
    // baresip's first report and its last, which may come after the call's end, are in the clear.
    let failed: Vec<_> = log.match_indices(" packets failed SRTP").collect();
    let few = |at: usize| log[..at].ends_with(", 1") || log[..at].ends_with(", 2");
    assert!(failed.iter().all(|(at, _)| few(*at)), "{log}");
    assert_eq!(failed.len(), 2 * usize::from(protected), "{log}");

    let recording = nginx.recording("rtmp_001201234");
    probe::decode_strictly(&recording);
    let flv = Flv::read(&recording);
    flv.check_order();
    // baresip may have encoded a last picture that it did not send any more.
    let pictures = flv.pictures.len();
    assert!(sent.pictures > 60, "baresip sent too little: {sent:?}");
    assert!(
        (sent.pictures - 1..=sent.pictures).contains(&pictures),
        "{pictures} of {sent:?}"
    );
    let sounds = flv.sounds.len();
    assert!(
        (sent.audio_packets - 2..=sent.audio_packets).contains(&sounds),
        "{sounds} of {sent:?}"
    );
    gateway.check_calm();
}
