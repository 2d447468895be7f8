//! Trials of PBXs and RTMP servers against real ones: what is told of each way to fail, and what is
//! left behind.

#[path = "gateway_support/server.rs"]
#[allow(dead_code)]
mod server;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use server::{Policy, RtmpServer};
use support::daemon::Settings;
use support::kamailio::{Exchange, Registrar};
use support::{Authority, Daemon, Kamailio, Nginx, Ports, Script, TlsFront, Validity, probe};
use trunkcast::base::ids::ConnId;
use trunkcast::cli::config_file;
use trunkcast::cli::trial::clock::Clock;
use trunkcast::cli::trial::pbx::try_pbx;
use trunkcast::cli::trial::report::{Note, Problem, Report, Step};
use trunkcast::cli::trial::rtmp::try_rtmp;
use trunkcast::gateway::config::Config;

const PASSWORD: &str = "correct horse";

const REGISTRAR: Registrar = Registrar {
    password: PASSWORD,
    algorithm: "SHA-256",
    longest: 3_600,
};

/// How long a trial may take with its end.
const LONGEST: Duration = Duration::from_secs(15);

fn config(trunk: &[String], top: &str) -> Config {
    let lines: Vec<_> = trunk.iter().map(|line| format!("    {line}\n")).collect();
    let text = format!(
        "trunks:\n  office:\n    localPort: 40000\n{}{top}",
        lines.concat()
    );
    config_file::load(&text, "test.yml").unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
}

/// Settings of a trunk whose PBX is at that host.
fn at(pbx: &str, port: u16, more: &[&str]) -> Config {
    let mut lines = vec![format!("proxyIp: {pbx}"), format!("remotePort: {port}")];
    lines.extend(more.iter().map(|&line| line.to_owned()));
    config(&lines, "media: {address: 127.0.0.1}\n")
}

fn bounded(trial: impl FnOnce(&Clock) -> Report) -> Report {
    let began = Instant::now();
    let report = trial(&Clock::start(Arc::default()));
    let took = began.elapsed();
    assert!(took < LONGEST, "{took:?}: {report:?}");
    let json = String::from_utf8(report.to_json()).unwrap();
    assert!(
        !json.contains(PASSWORD) && !json.contains("s3cr3t"),
        "{json}"
    );
    report
}

fn pbx(settings: &Config) -> Report {
    bounded(|clock| try_pbx(settings, &settings.trunks[0], false, clock))
}

fn rtmp(settings: &Config) -> Report {
    bounded(|clock| try_rtmp(settings, &settings.trunks[0], false, clock))
}

/// Settings of a trunk that publishes to that address.
fn to(url: &str, more: &[&str]) -> Config {
    let mut lines = vec!["allow: [127.0.0.1]".to_owned(), format!("url: {url}")];
    lines.extend(more.iter().map(|&line| line.to_owned()));
    config(&lines, "")
}

/// The steps and what became of them: `lookup ok`, `reach refused`.
fn steps(report: &Report) -> Vec<String> {
    let word = |step: &Step| match step.problem {
        None => format!("{} ok", step.step),
        Some(problem) => format!("{} {problem:?}", step.step),
    };
    assert_eq!(report.ok, report.steps.iter().all(|step| step.ok));
    report.steps.iter().map(word).collect()
}

fn last(report: &Report) -> &Step {
    report.steps.last().expect("something was tried")
}

/// A port of this host at which nobody is.
fn closed() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    socket.local_addr().expect("it is bound")
}

#[test]
fn a_pbx_that_answers_and_registers_passes_and_nothing_is_left_there() {
    let mut ports = Ports::claim();
    let kamailio = Kamailio::start(&mut ports, &REGISTRAR);
    let register = format!("register: {{login: \"1000\", password: \"{PASSWORD}\"}}");
    // The trunk at work, registered under the same number.
    let mut gateway = Daemon::start(
        &mut ports,
        Settings {
            pbx: Some(kamailio.address()),
            trunk: vec![register.clone()],
            ..Settings::default()
        },
    );
    gateway.wait_after(0, "is registered for", 5);
    let live = format!(":{}", gateway.sip().port());
    for transport in ["udp", "tcp"] {
        let transport = format!("transport: {transport}");
        let settings = at(
            "127.0.0.1",
            kamailio.address().port(),
            &[&register, &transport],
        );
        let from = kamailio.log().mark();
        let report = pbx(&settings);
        let all = ["lookup ok", "reach ok", "options ok", "register ok"];
        assert_eq!(steps(&report), all, "{report:?}");
        assert_eq!(report.steps[2].facts.code, Some(200));
        let patience = Duration::from_secs(5);
        let (from, there) = kamailio.log().wait_for_after(from, "saved: ", patience);
        assert!(
            there.contains("expires=60") && !there.contains(&live),
            "{there}"
        );
        let (_, gone) = kamailio.log().wait_for_after(from, "saved: ", patience);
        assert!(
            gone.contains("expires=0") && !gone.contains(&live),
            "{gone}"
        );
        // What the trunk at work has there is still there, and that alone.
        let locations = kamailio.locations();
        assert_eq!(locations.matches("Address: sip:").count(), 1, "{locations}");
        assert!(locations.contains(&live), "{locations}");
    }
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn a_trunk_that_is_registered_with_the_same_settings_is_not_registered_again() {
    let mut ports = Ports::claim();
    let kamailio = Kamailio::start(&mut ports, &REGISTRAR);
    let register = format!("register: {{login: \"1000\", password: \"{PASSWORD}\"}}");
    let settings = at("127.0.0.1", kamailio.address().port(), &[&register]);
    let report = bounded(|clock| try_pbx(&settings, &settings.trunks[0], true, clock));
    assert!(report.ok);
    assert_eq!(last(&report).facts.note, Some(Note::Live));
    assert!(!kamailio.log().text().contains("asked: REGISTER"));
}

#[test]
fn a_wrong_password_is_told_from_a_pbx_that_is_away() {
    let mut ports = Ports::claim();
    let kamailio = Kamailio::start(&mut ports, &REGISTRAR);
    let register = "register: {login: \"1000\", password: \"wrong\"}";
    let settings = at("127.0.0.1", kamailio.address().port(), &[register]);
    let report = pbx(&settings);
    let all = [
        "lookup ok",
        "reach ok",
        "options ok",
        "register WrongPassword",
    ];
    assert_eq!(steps(&report), all, "{report:?}");
}

#[test]
fn refusals_of_a_registrar_have_codes_of_their_own() {
    for (scenario, problem, code) in [
        ("register/forbidden", Problem::Forbidden, 403),
        ("register/wrong_password", Problem::WrongPassword, 0),
    ] {
        let mut ports = Ports::claim();
        let pbx_port = ports.pair();
        let port = ports.pair();
        let _pbx = Script::new("overload/pinged", ([127, 0, 0, 1], 9).into())
            .listen(pbx_port)
            .start(&mut ports);
        let registrar = Script::new(scenario, ([127, 0, 0, 1], 9).into())
            .listen(port)
            .start(&mut ports);
        let register = format!(
            "register: {{login: \"1000\", password: \"{PASSWORD}\", registrar: \"127.0.0.1:{port}\"}}"
        );
        let report = pbx(&at("127.0.0.1", pbx_port, &[&register]));
        let step = last(&report);
        assert_eq!(
            (step.step, step.problem),
            ("register", Some(problem)),
            "{report:?}"
        );
        assert_eq!(step.facts.code.unwrap_or_default(), code);
        drop(registrar);
    }
}

#[test]
fn a_pbx_that_says_nothing_is_given_five_seconds() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let began = Instant::now();
    let report = pbx(&at("127.0.0.1", silent.local_addr().unwrap().port(), &[]));
    let took = began.elapsed();
    let all = ["lookup ok", "reach ok", "options NoAnswer"];
    assert_eq!(steps(&report), all, "{report:?}");
    assert!(
        took > Duration::from_secs(5) && took < Duration::from_secs(8),
        "{took:?}"
    );
}

#[test]
fn a_port_without_a_pbx_is_refused_over_every_transport() {
    for transport in ["udp", "tcp", "tls"] {
        let transport = format!("transport: {transport}");
        let report = pbx(&at("127.0.0.1", closed().port(), &[&transport]));
        assert_eq!(steps(&report), ["lookup ok", "reach Refused"], "{report:?}");
    }
}

#[test]
fn a_name_that_nobody_has_is_not_found() {
    let settings = config(&["proxyIp: pbx.invalid".to_owned()], "");
    let report = pbx(&settings);
    let step = last(&report);
    assert_eq!(step.step, "lookup");
    // Without a name server, that is what is told.
    let told = [Some(Problem::NameNotFound), Some(Problem::NameServerSilent)];
    assert!(told.contains(&step.problem), "{report:?}");
    assert_eq!(step.facts.name.as_deref(), Some("pbx.invalid"));
    let report = rtmp(&to("rtmp://server.invalid/live", &[]));
    assert_eq!(last(&report).step, "lookup");
    assert!(told.contains(&last(&report).problem), "{report:?}");
}

#[test]
fn certificates_of_a_pbx_that_do_not_do_are_told_apart() {
    let authority = Authority::new();
    let other = Authority::named("another");
    let expected = [
        ("IP:127.0.0.1", Validity::Now, &authority, None),
        (
            "IP:127.0.0.1",
            Validity::Now,
            &other,
            Some(Problem::TlsUntrusted),
        ),
        (
            "IP:127.0.0.1",
            Validity::Past,
            &authority,
            Some(Problem::TlsExpired),
        ),
        (
            "IP:127.0.0.1",
            Validity::Future,
            &authority,
            Some(Problem::TlsTimeNotSet),
        ),
        (
            "IP:192.0.2.1",
            Validity::Now,
            &authority,
            Some(Problem::TlsWrongName),
        ),
    ];
    for (names, validity, signer, problem) in expected {
        let mut ports = Ports::claim();
        let certificate = signer.certify(names, validity);
        let exchange = Exchange {
            certificate: Some(&certificate),
            ..Exchange::default()
        };
        let kamailio = Kamailio::exchange(&mut ports, &REGISTRAR, &exchange);
        let file = format!("caFile: {}", authority.file().display());
        let more = ["transport: tls", &file];
        let report = pbx(&at("127.0.0.1", kamailio.secure().port(), &more));
        let step = last(&report);
        let step_name = problem.map_or("options", |_| "reach");
        assert_eq!(
            (step.step, step.problem),
            (step_name, problem),
            "{report:?}"
        );
        let plain = pbx(&at("127.0.0.1", kamailio.address().port(), &more));
        assert!(!plain.ok, "TLS towards a port without it: {plain:?}");
    }
}

#[test]
fn two_seconds_of_picture_and_sound_come_to_an_rtmp_server() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let report = rtmp(&to(&nginx.url("live"), &[]));
    let all = [
        "lookup ok",
        "connect ok",
        "publish ok",
        "video ok",
        "audio ok",
    ];
    assert_eq!(steps(&report), all, "{report:?}");
    let file = nginx.recording("trunkcast_test");
    probe::check_clip_streams(&file);
    let pictures = probe::streams(&file).pictures;
    assert!((40..=75).contains(&pictures), "{pictures} pictures");
    // A key that a service gave out is the name, and is in no answer.
    let report = rtmp(&to(&nginx.url("live"), &["streamName: s3cr3t-key"]));
    assert!(report.ok, "{report:?}");
    probe::check_clip_streams(&nginx.recording("s3cr3t-key"));
}

#[test]
fn refusals_of_an_rtmp_server_are_told_apart() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    for (application, expected) in [
        ("nowhere", &["lookup ok", "connect AppRefused"][..]),
        (
            "refused",
            &["lookup ok", "connect ok", "publish StreamRefused"],
        ),
        (
            "denied",
            &["lookup ok", "connect ok", "publish ok", "video Closed"],
        ),
    ] {
        let report = rtmp(&to(&nginx.url(application), &[]));
        assert_eq!(steps(&report), expected, "{application}: {report:?}");
    }
    let url = format!("rtmp://{}/live", closed());
    let report = rtmp(&to(&url, &[]));
    assert_eq!(steps(&report), ["lookup ok", "connect Refused"]);
    assert_eq!(report.steps[1].facts.transport, Some("tcp"));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("rtmp://{}/live", silent.local_addr().unwrap());
    let report = rtmp(&to(&url, &[]));
    assert_eq!(steps(&report), ["lookup ok", "connect NotRtmp"]);
}

#[test]
fn a_name_that_is_in_use_is_told_and_left_alone() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let settings = to(&nginx.url("live"), &["streamName: one"]);
    let other = settings.clone();
    let first = thread::spawn(move || rtmp(&other));
    nginx.wait_recorded("one", 10_000, Duration::from_secs(5));
    let report = rtmp(&settings);
    let all = ["lookup ok", "connect ok", "publish StreamBusy"];
    assert_eq!(steps(&report), all, "{report:?}");
    let first = first.join().expect("the first trial ends");
    assert!(first.ok, "{first:?}");
    let live = bounded(|clock| try_rtmp(&settings, &settings.trunks[0], true, clock));
    assert!(live.ok);
    assert_eq!(last(&live).facts.note, Some(Note::Live));
}

#[test]
fn certificates_of_an_rtmp_server_are_looked_at() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let authority = Authority::new();
    let certificate = authority.certify("IP:127.0.0.1", Validity::Now);
    let front = TlsFront::start(&mut ports, nginx.address(), &certificate);
    let url = format!("rtmps://{}/live", front.address());
    let mut settings = to(&url, &[]);
    settings.rtmp_ca_file = Some(authority.file().display().to_string());
    let report = rtmp(&settings);
    assert!(report.ok, "{report:?}");
    let other = Authority::named("another");
    settings.rtmp_ca_file = Some(other.file().display().to_string());
    let report = rtmp(&settings);
    assert_eq!(steps(&report), ["lookup ok", "connect TlsUntrusted"]);
    let url = format!("rtmps://{}/live", nginx.address());
    let report = rtmp(&to(&url, &[]));
    assert_eq!(last(&report).step, "connect");
    assert!(!report.ok, "{report:?}");
}

#[test]
fn a_trunk_without_a_codec_that_the_server_takes_is_told_so() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let report = rtmp(&to(&nginx.url("live"), &["codecs: [vp8, opus]"]));
    let all = [
        "lookup ok",
        "connect ok",
        "publish ok",
        "video NoVideoCodec",
        "audio NoAudioCodec",
    ];
    assert_eq!(steps(&report), all, "{report:?}");
    assert_eq!(report.steps[3].facts.codec.as_deref(), Some("VP8"));
    let report = rtmp(&to(&nginx.url("live"), &["sink: youtube"]));
    let step = last(&report);
    assert!(report.ok && step.step == "audio", "{report:?}");
    assert_eq!(step.facts.note, Some(Note::OtherCodec));
    assert_eq!(step.facts.codec.as_deref(), Some("AAC"));
}

/// A server that does as its policy says; the messages of media that it got, by connection.
fn scripted(policy: Policy) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("rtmp://{}/live", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection can be accepted");
            let now = trunkcast::base::time::Instant::ZERO;
            let mut server = RtmpServer::new(ConnId(1), now, policy);
            let mut bytes = [0; 65_536];
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                let answer = server.handle_bytes(now, &bytes[..length]);
                if server.closes || stream.write_all(&answer).is_err() {
                    break;
                }
            }
        }
    });
    url
}

#[test]
fn the_track_that_a_server_ends_streams_for_is_found() {
    for (policy, expected, codec) in [
        (Policy::Accept, ["video ok", "audio ok"], None),
        (
            Policy::RefusesG711,
            ["video ok", "audio AudioRefused"],
            Some("G.711 A-law"),
        ),
        (
            Policy::RefusesVideo,
            ["video VideoRefused", "audio ok"],
            Some("H.264"),
        ),
    ] {
        let report = rtmp(&to(&scripted(policy), &[]));
        let found = steps(&report);
        assert_eq!(
            found[..3],
            ["lookup ok", "connect ok", "publish ok"],
            "{report:?}"
        );
        assert_eq!(found[3..], expected, "{report:?}");
        let refused = report.steps.iter().find(|step| !step.ok);
        assert_eq!(refused.and_then(|step| step.facts.codec.as_deref()), codec);
    }
    let report = rtmp(&to(&scripted(Policy::BadName), &[]));
    assert_eq!(last(&report).problem, Some(Problem::StreamBusy));
    let report = rtmp(&to(&scripted(Policy::Mute), &[]));
    assert_eq!(last(&report).problem, Some(Problem::NotRtmp));
}

#[test]
fn a_trial_that_is_stopped_ends_at_once_and_cleanly() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let settings = to(&nginx.url("live"), &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let clock = Clock::start(Arc::clone(&stop));
    let trial = thread::spawn(move || try_rtmp(&settings, &settings.trunks[0], false, &clock));
    nginx.wait_recorded("trunkcast_test", 10_000, Duration::from_secs(5));
    let began = Instant::now();
    stop.store(true, Ordering::Relaxed);
    let report = trial.join().expect("it ends");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert!(!report.ok);
    // The server has seen its end, and closed the file.
    nginx.recording("trunkcast_test");
}
