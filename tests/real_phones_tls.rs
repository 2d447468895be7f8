//! Phones over TLS whose media is protected by SRTP: baresip and linphone call and are called, with
//! sound and pictures.

use std::net::SocketAddr;
use std::time::Duration;

mod support;

use serde_json::json;
use support::authority::Certificate;
use support::baresip::{Answers, Baresip, Plan};
use support::daemon::Settings;
use support::flv::Flv;
use support::kamailio::{Exchange, Kamailio, Registrar};
use support::linphone::{self, Linphone};
use support::{Authority, CallOut, Daemon, Namespace, Nginx, Ports, Validity, probe};

const SHORT: Duration = Duration::from_secs(5);
const PROTECTED: &str = " with AES_CM_128_HMAC_SHA1_80";

/// A trunk over TLS.
fn settings(nginx: &Nginx, authority: &Authority, own: &Certificate, trunk: &[&str]) -> Settings {
    let mut lines = vec![
        "transport: tls".to_owned(),
        format!("certificate: {}", own.certificate.display()),
        format!("key: {}", own.key.display()),
        format!("caFile: {}", authority.file().display()),
    ];
    lines.extend(trunk.iter().map(|&line| line.to_owned()));
    Settings {
        url: Some(nginx.url("live")),
        trunk: lines,
        ..Settings::default()
    }
}

/// Demands both tracks protected, and no key in the log.
fn check_protected(gateway: &Daemon) {
    let log = gateway.log().text();
    let line = log
        .lines()
        .find(|line| line.contains("ESTABLISHED; audio "));
    assert_eq!(
        line.map(|line| line.matches(PROTECTED).count()),
        Some(2),
        "{log}"
    );
    assert!(!log.contains("inline:"), "{log}");
    gateway.check_calm();
}

#[test]
fn baresip_calls_over_tls_with_rtp_savp() {
    baresip_calls("srtp-mand");
}

#[test]
fn baresip_calls_over_tls_with_keys_beside_rtp_avp() {
    baresip_calls("srtp");
}

fn baresip_calls(encryption: &str) {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let own = authority.certify("IP:127.0.0.1", Validity::Now);
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::start(&mut ports, settings(&nginx, &authority, &own, &[]));
    let plan = Plan {
        encryption: Some(encryption),
        tls: Some((&authority, &own)),
        seconds: 6,
        ..Plan::default()
    };
    let phone = Baresip::start(&mut ports, gateway.sip(), "001201234", &plan);
    gateway.log().wait_for("RTMP_STREAM_ACTIVE", 2 * SHORT);
    let sent = phone.finish(4 * SHORT);
    gateway.log().wait_for("ended after", SHORT);
    assert!(sent.pictures > 60, "{sent:?}");
    sent.check_recorded(&nginx.recording("rtmp_001201234"));
    check_protected(&gateway);
}

#[test]
fn keys_that_anybody_could_read_are_refused_on_their_way_by_udp() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::publishing_to(&mut ports, &nginx.url("live"));
    let plan = Plan {
        encryption: Some("srtp-mand"),
        seconds: 4,
        ..Plan::default()
    };
    let mut phone = Baresip::start(&mut ports, gateway.sip(), "001201234", &plan);
    let text = phone.end(4 * SHORT);
    assert!(text.contains("488"), "{text}");
    assert_eq!(nginx.recorded("rtmp_001201234"), 0);
    let log = gateway.log().text();
    assert!(!log.contains("ESTABLISHED"), "{log}");
    gateway.check_calm();
}

#[test]
fn baresip_is_called_over_tls_where_srtp_is_required() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let own = authority.certify("IP:127.0.0.1", Validity::Now);
    let nginx = Nginx::start(&mut ports);
    let settings = settings(&nginx, &authority, &own, &["srtp: required"]);
    let gateway = Daemon::start(&mut ports, settings);
    let plan = Plan {
        encryption: Some("srtp-mand"),
        tls: Some((&authority, &own)),
        seconds: 30,
        ..Plan::default()
    };
    let phone = Baresip::listen(&mut ports, "1002", Answers::AtOnce, &plan);
    let target = (&nginx.url("live")[..], "secret");
    let callee = ("1002", phone.sip_tls());
    let mut call = CallOut::place(&gateway, callee, target, &json!({}));
    call.wait_for("rtmpStreamStatus", "RTMP_STREAM_ACTIVE", 10);
    nginx.wait_recorded("rtmp_secret", 300_000, 2 * SHORT);
    call.terminate();
    gateway.log().wait_for("FINISH (200", SHORT);
    let text = phone.log().text();
    assert!(
        text.contains("INVITE sip:1002@") && text.contains("m=audio"),
        "{text}"
    );
    assert!(!text.contains(" RTP/AVP "), "{text}");
    let sent = phone.quit();
    assert!(sent.pictures > 40, "{sent:?}");
    sent.check_recorded(&nginx.recording("rtmp_secret"));
    check_protected(&gateway);
}

#[test]
fn baresip_with_the_certificate_of_another_authority_is_not_called() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let own = authority.certify("IP:127.0.0.1", Validity::Now);
    let stranger = Authority::named("another authority");
    let theirs = stranger.certify("IP:127.0.0.1", Validity::Now);
    let nginx = Nginx::start(&mut ports);
    let gateway = Daemon::start(&mut ports, settings(&nginx, &authority, &own, &[]));
    let plan = Plan {
        encryption: Some("srtp-mand"),
        tls: Some((&authority, &theirs)),
        seconds: 30,
        ..Plan::default()
    };
    let phone = Baresip::listen(&mut ports, "1002", Answers::AtOnce, &plan);
    let target = (&nginx.url("live")[..], "never");
    let callee = ("1002", phone.sip_tls());
    let mut call = CallOut::place(&gateway, callee, target, &json!({}));
    let words = "is signed by an authority that this box does not know";
    gateway.log().wait_for(words, SHORT);
    gateway.log().wait_for("FAILED (", SHORT);
    assert!(call.look().is_none());
    assert!(!phone.log().text().contains("INVITE sip:"));
    phone.order("quit");
    gateway.check_calm();
}

#[test]
fn linphone_calls_over_tls_with_srtp() {
    let mut ports = Ports::claim();
    let namespace = Namespace::new(&ports);
    let authority = Authority::new();
    let names = format!("IP:{}", namespace.ours());
    let own = authority.certify(&names, Validity::Now);
    let nginx = Nginx::start(&mut ports);
    let allow = format!("allow: [{}]", namespace.theirs());
    let settings = Settings {
        media: "auto".to_owned(),
        ..settings(&nginx, &authority, &own, &[&allow])
    };
    let gateway = Daemon::start(&mut ports, settings);
    let address = SocketAddr::new(namespace.ours().into(), gateway.sip().port());
    let plan = linphone::Plan {
        tls: Some(&authority),
        srtp: true,
        ..linphone::Plan::default()
    };
    let mut phone = Linphone::start(&mut ports, &namespace, address, "1000", &plan);
    gateway.log().wait_for("RTMP_STREAM_ACTIVE", 2 * SHORT);
    nginx.wait_recorded("rtmp_1000", 60_000, 3 * SHORT);
    phone.hang_up();
    gateway.log().wait_for("ended after", SHORT);
    check_linphone(&nginx, "rtmp_1000");
    check_protected(&gateway);
}

#[test]
fn linphone_is_called_where_srtp_is_required() {
    let mut ports = Ports::claim();
    let namespace = Namespace::new(&ports);
    let nginx = Nginx::start(&mut ports);
    let settings = Settings {
        url: Some(nginx.url("live")),
        trunk: vec![
            format!("allow: [{}]", namespace.theirs()),
            "srtp: required".to_owned(),
        ],
        media: "auto".to_owned(),
        ..Settings::default()
    };
    let gateway = Daemon::start(&mut ports, settings);
    let plan = linphone::Plan {
        srtp: true,
        answers: true,
        ..linphone::Plan::default()
    };
    let mut phone = Linphone::listen(&mut ports, &namespace, &plan);
    let target = (&nginx.url("live")[..], "secret");
    let callee = ("1002", phone.sip());
    let mut call = CallOut::place(&gateway, callee, target, &json!({}));
    phone.established();
    call.wait_for("rtmpStreamStatus", "RTMP_STREAM_ACTIVE", 10);
    nginx.wait_recorded("rtmp_secret", 60_000, 3 * SHORT);
    call.terminate();
    phone.quit();
    gateway.log().wait_for("FINISH (200", SHORT);
    check_linphone(&nginx, "rtmp_secret");
    check_protected(&gateway);
}

#[test]
fn linphone_is_called_with_srtp_over_the_tls_connection_by_which_it_registered() {
    let mut ports = Ports::claim();
    let namespace = Namespace::new(&ports);
    let authority = Authority::new();
    let names = format!("IP:{}", namespace.ours());
    let own = authority.certify(&names, Validity::Now);
    let nginx = Nginx::start(&mut ports);
    let registrar = Registrar {
        password: "hunter2",
        algorithm: "SHA-256",
        longest: 60,
    };
    let exchange = Exchange {
        certificate: Some(&own),
        flows: true,
        datagrams_only: false,
        address: Some(namespace.ours().into()),
    };
    let kamailio = Kamailio::exchange(&mut ports, &registrar, &exchange);
    let settings = Settings {
        pbx: Some(kamailio.secure()),
        media: "auto".to_owned(),
        ..settings(&nginx, &authority, &own, &["srtp: required"])
    };
    let gateway = Daemon::start(&mut ports, settings);
    let plan = linphone::Plan {
        tls: Some(&authority),
        srtp: true,
        answers: true,
        registrar: Some((kamailio.secure(), "2003")),
        ..linphone::Plan::default()
    };
    let mut phone = Linphone::listen(&mut ports, &namespace, &plan);
    kamailio.log().wait_for("saved: 2003 over tls ", SHORT);
    let target = (&nginx.url("live")[..], "secret");
    let callee = ("2003", kamailio.secure());
    let mut call = CallOut::place(&gateway, callee, target, &json!({}));
    phone.established();
    call.wait_for("rtmpStreamStatus", "RTMP_STREAM_ACTIVE", 10);
    nginx.wait_recorded("rtmp_secret", 60_000, 3 * SHORT);
    call.terminate();
    phone.quit();
    gateway.log().wait_for("FINISH (200", SHORT);
    let said = kamailio.log().text();
    for text in ["asked: INVITE ", "routed: INVITE "] {
        let lines = said.lines().filter(|line| line.contains(text));
        assert!(lines.clone().count() == 1, "{said}");
        assert!(
            lines.clone().all(|line| line.contains(" over tls")),
            "{said}"
        );
    }
    check_linphone(&nginx, "rtmp_secret");
    check_protected(&gateway);
}

fn check_linphone(nginx: &Nginx, stream: &str) {
    let recording = nginx.recording(stream);
    let streams = probe::streams(&recording);
    assert_eq!(streams.audio, Some(("pcm_mulaw".into(), 8_000, 1)));
    let (codec, ..) = streams.video.expect("a picture");
    assert_eq!(codec, "h264");
    probe::decode_strictly(&recording);
    let flv = Flv::read(&recording);
    flv.check_order();
    assert_eq!(streams.pictures, flv.pictures.len(), "pictures that decode");
    assert!(flv.sounds.len() >= 50, "{} sounds", flv.sounds.len());
}
