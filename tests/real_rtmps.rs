//! RTMPS: streams over TLS arrive as without it, and what is wrong with a server's TLS is said.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use trunkcast::base::ids::ConnId;
use trunkcast::base::time::Instant as MachineInstant;

#[path = "gateway_support/server.rs"]
#[allow(dead_code)]
mod server;
mod support;

use server::{Policy, RtmpServer};
use support::authority::Certificate;
use support::daemon::Settings;
use support::flv::Flv;
use support::phone::Play;
use support::{Authority, Clip, Daemon, Nginx, Phone, Ports, TlsFront, Validity, probe};

const STREAM: &str = "rtmp_1000";

/// Both kinds of name under which the test's servers are reached.
const HERE: &str = "IP:127.0.0.1,DNS:localhost";

/// An address with all that is secret in one.
fn url(host: &str, address: SocketAddr) -> String {
    format!(
        "rtmps://joe:hunter2@{host}:{}/live?token=t0psecret",
        address.port()
    )
}

fn trusting(ports: &mut Ports, authority: &Authority, url: String) -> Daemon {
    let rtmp = format!(", caFile: {}", authority.file().display());
    let settings = Settings {
        url: Some(url),
        rtmp,
        ..Settings::default()
    };
    Daemon::start(ports, settings)
}

fn check_no_secrets(gateway: &Daemon) {
    let log = gateway.log().text();
    for secret in ["hunter2", "t0psecret"] {
        assert!(!log.contains(secret), "{secret} was logged:\n{log}");
    }
    gateway.check_calm();
}

/// Plays the clip in a call that must arrive whole in nginx.
fn check_whole_call(ports: &mut Ports, gateway: &Daemon, nginx: &Nginx) {
    let clip = Clip::load();
    let mut phone = Phone::dial(ports, gateway.sip(), "1000");
    let report = phone.play(&clip, &Play::default());
    phone.hang_up();
    gateway.wait_after(0, "ended after", 3);
    assert!(!report.ended_by_gateway);
    let recording = nginx.recording(STREAM);
    probe::check_clip_streams(&recording);
    probe::decode_strictly(&recording);
    probe::check_clip_identical(&clip, &recording);
    check_no_secrets(gateway);
}

/// Calls while the server fails in `words`, within so many seconds, and demands that the call
/// stays up.
fn check_fails(ports: &mut Ports, gateway: &Daemon, words: &str, seconds: u64) {
    let clip = Arc::new(Clip::load());
    let playing = Phone::dial(ports, gateway.sip(), "1000").play_in_background(&clip);
    gateway.wait_after(0, words, seconds);
    let line = gateway.log().wait_for(words, Duration::ZERO);
    assert!(line.contains("RTMP_CONNECTION_FAILED rtmps://"), "{line}");
    sleep(Duration::from_millis(500));
    let (phone, report) = playing.stop();
    assert!(!report.ended_by_gateway, "the failure ended the call");
    phone.hang_up();
    gateway.wait_after(0, "ended after", 3);
    let log = gateway.log().text();
    assert!(!log.contains("RTMP_STREAM_ACTIVE"), "{log}");
    check_no_secrets(gateway);
}

#[test]
fn a_call_arrives_whole_at_a_server_that_an_authority_of_the_file_signed() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let nginx = Nginx::start(&mut ports);
    let certificate = authority.certify(HERE, Validity::Now);
    let front = TlsFront::start(&mut ports, nginx.address(), &certificate);
    let gateway = trusting(&mut ports, &authority, url("127.0.0.1", front.address()));
    check_whole_call(&mut ports, &gateway, &nginx);
}

#[test]
fn a_call_arrives_whole_at_a_server_that_the_system_knows() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let nginx = Nginx::start(&mut ports);
    let certificate = authority.certify("DNS:localhost", Validity::Now);
    let front = TlsFront::start(&mut ports, nginx.address(), &certificate);
    let settings = Settings {
        url: Some(url("localhost", front.address())),
        system_roots: Some(authority.file()),
        ..Settings::default()
    };
    let gateway = Daemon::start(&mut ports, settings);
    check_whole_call(&mut ports, &gateway, &nginx);
}

#[test]
fn a_call_arrives_whole_over_each_version() {
    for version in ["TLSv1.2", "TLSv1.3"] {
        let mut ports = Ports::claim();
        let authority = Authority::new();
        let nginx = Nginx::start(&mut ports);
        let certificate = authority.certify(HERE, Validity::Now);
        let address = ports.address();
        let _front = TlsFront::start_at(address, nginx.address(), &certificate, version);
        let gateway = trusting(&mut ports, &authority, url("127.0.0.1", address));
        check_whole_call(&mut ports, &gateway, &nginx);
    }
}

#[test]
fn a_call_arrives_whole_at_an_ipv6_address() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let nginx = Nginx::start(&mut ports);
    let certificate = authority.certify("IP:::1", Validity::Now);
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, ports.address().port()));
    let _front = TlsFront::start_at(address, nginx.address(), &certificate, "TLSv1.3");
    let gateway = trusting(&mut ports, &authority, url("[::1]", address));
    check_whole_call(&mut ports, &gateway, &nginx);
}

#[test]
fn a_server_that_signed_its_own_certificate_can_be_named() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let nginx = Nginx::start(&mut ports);
    for (as_authority, words) in [
        (false, "RTMP_STREAM_ACTIVE rtmps://"),
        (
            true,
            "TLS: the certificate of 127.0.0.1 is that of an authority; one signed by itself \
             needs basicConstraints=CA:FALSE",
        ),
    ] {
        let certificate = authority.certify_alone(as_authority);
        let front = TlsFront::start(&mut ports, nginx.address(), &certificate);
        let settings = Settings {
            url: Some(url("127.0.0.1", front.address())),
            rtmp: format!(", caFile: {}", certificate.certificate.display()),
            ..Settings::default()
        };
        let gateway = Daemon::start(&mut ports, settings);
        let clip = Arc::new(Clip::load());
        let playing = Phone::dial(&mut ports, gateway.sip(), "1000").play_in_background(&clip);
        gateway.wait_after(0, words, 3);
        playing.stop().0.hang_up();
        check_no_secrets(&gateway);
    }
}

#[test]
fn an_authority_that_nobody_named_is_not_trusted() {
    for (other, words) in [
        (
            Authority::named("another authority"),
            "is signed by an authority that this box does not know; name its file in rtmp.caFile",
        ),
        (
            Authority::new(),
            "is signed by another authority of a known name; if that was made anew, rtmp.caFile \
             needs its new file",
        ),
    ] {
        let mut ports = Ports::claim();
        let named = Authority::new();
        let nginx = Nginx::start(&mut ports);
        let certificate = other.certify(HERE, Validity::Now);
        let front = TlsFront::start(&mut ports, nginx.address(), &certificate);
        let gateway = trusting(&mut ports, &named, url("127.0.0.1", front.address()));
        let words = format!("TLS: the certificate of 127.0.0.1 {words}");
        check_fails(&mut ports, &gateway, &words, 3);
        assert_eq!(nginx.recorded(STREAM), 0);
    }
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    for (names, words) in [
        (
            "DNS:other.test,IP:127.0.0.2",
            "is for another name; use the name that it was made for",
        ),
        (
            "",
            "names no host in subjectAltName; have it made with the name that is in the address",
        ),
    ] {
        let mut ports = Ports::claim();
        let authority = Authority::new();
        let nginx = Nginx::start(&mut ports);
        let certificate = authority.certify(names, Validity::Now);
        let front = TlsFront::start(&mut ports, nginx.address(), &certificate);
        let gateway = trusting(&mut ports, &authority, url("127.0.0.1", front.address()));
        let words = format!("TLS: the certificate of 127.0.0.1 {words}");
        check_fails(&mut ports, &gateway, &words, 3);
        assert_eq!(nginx.recorded(STREAM), 0);
    }
}

#[test]
fn an_expired_certificate_is_refused() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let nginx = Nginx::start(&mut ports);
    let certificate = authority.certify(HERE, Validity::Past);
    let front = TlsFront::start(&mut ports, nginx.address(), &certificate);
    let gateway = trusting(&mut ports, &authority, url("127.0.0.1", front.address()));
    let words = "TLS: the certificate of 127.0.0.1 has expired, or the clock of this box is wrong";
    check_fails(&mut ports, &gateway, words, 3);
}

#[test]
fn a_certificate_of_the_future_is_waited_for() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let nginx = Nginx::start(&mut ports);
    let early = authority.certify(HERE, Validity::Future);
    let front = TlsFront::start(&mut ports, nginx.address(), &early);
    let gateway = trusting(&mut ports, &authority, url("127.0.0.1", front.address()));
    let clip = Arc::new(Clip::load());
    let playing = Phone::dial(&mut ports, gateway.sip(), "1000").play_in_background(&clip);
    let mark = gateway.wait_after(
        0,
        "TLS: the certificate of 127.0.0.1 is not valid yet: is the clock of this box right?",
        3,
    );
    let _front = front.start_again(&authority.certify(HERE, Validity::Now));
    gateway.wait_after(mark, "RTMP_STREAM_ACTIVE rtmps://", 8);
    nginx.wait_recorded(STREAM, 50_000, Duration::from_secs(5));
    let (phone, report) = playing.stop();
    assert!(!report.ended_by_gateway, "the failure ended the call");
    phone.hang_up();
    gateway.wait_after(0, "ended after", 3);
    check_recording(&clip, &nginx);
    check_no_secrets(&gateway);
}

#[test]
fn a_server_of_plain_rtmp_on_that_port_is_told_from_one_of_tls() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    // nginx waits for the rest of a handshake of RTMP.
    let nginx = Nginx::start(&mut ports);
    let gateway = trusting(&mut ports, &authority, url("127.0.0.1", nginx.address()));
    let words = "no connection with TLS within 10 s: is there a server of rtmps:// on this port?";
    check_fails(&mut ports, &gateway, words, 13);

    // Others answer with theirs at once.
    let mut ports = Ports::claim();
    let listener = TcpListener::bind(ports.address()).expect("the port is the test's own");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut greeting = [0x5a; 1_537];
            greeting[0] = 3;
            let _ = stream.expect("a connection").write_all(&greeting);
        }
    });
    let gateway = trusting(&mut ports, &authority, url("127.0.0.1", address));
    let words = "127.0.0.1 does not speak TLS on this port: is it rtmp:// and not rtmps://?";
    check_fails(&mut ports, &gateway, words, 3);
}

#[test]
fn a_server_that_never_answers_the_handshake_is_given_up() {
    let mut ports = Ports::claim();
    let listener = TcpListener::bind(ports.address()).expect("the port is the test's own");
    let address = listener.local_addr().expect("it is bound");
    let authority = Authority::new();
    let gateway = trusting(&mut ports, &authority, url("127.0.0.1", address));
    let since = Instant::now();
    let words = "no connection with TLS within 10 s: is there a server of rtmps:// on this port?";
    check_fails(&mut ports, &gateway, words, 13);
    assert!(since.elapsed() >= Duration::from_secs(9), "given up early");
    let (mut first, _) = listener.accept().expect("it was connected to");
    let patience = Some(Duration::from_secs(1));
    first.set_read_timeout(patience).expect("a patience");
    let mut hello = Vec::new();
    first
        .read_to_end(&mut hello)
        .expect("its connection is closed");
    assert_eq!(hello.first(), Some(&22), "no handshake of TLS came");
}

#[test]
fn a_server_of_old_versions_only_is_refused() {
    for version in ["TLSv1", "TLSv1.1"] {
        let mut ports = Ports::claim();
        let authority = Authority::new();
        let nginx = Nginx::start(&mut ports);
        let certificate = authority.certify(HERE, Validity::Now);
        let address = ports.address();
        let _front = TlsFront::start_at(address, nginx.address(), &certificate, version);
        let gateway = trusting(&mut ports, &authority, url("127.0.0.1", address));
        let words = "TLS: 127.0.0.1 offers no version or cipher that is safe (TLS 1.2 or 1.3)";
        check_fails(&mut ports, &gateway, words, 3);
    }
}

#[test]
fn a_front_killed_in_mid_call_gets_the_stream_again_when_it_is_back() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let clip = Arc::new(Clip::load());
    let nginx = Nginx::start(&mut ports);
    let certificate = authority.certify(HERE, Validity::Now);
    let mut front = TlsFront::start(&mut ports, nginx.address(), &certificate);
    let gateway = trusting(&mut ports, &authority, url("127.0.0.1", front.address()));
    let playing = Phone::dial(&mut ports, gateway.sip(), "1000").play_in_background(&clip);
    gateway.wait_after(0, "RTMP_STREAM_ACTIVE", 3);
    nginx.wait_recorded(STREAM, 50_000, Duration::from_secs(5));

    let mark = gateway.log().mark();
    front.kill();
    let mark = gateway.wait_after(mark, "RTMP_CONNECTION_LOST", 3);
    sleep(Duration::from_secs(1));
    let before = Flv::read(&nginx.recording(STREAM));
    let front = front.start_again(&certificate);
    gateway.wait_after(mark, "RTMP_STREAM_ACTIVE", 6);
    sleep(Duration::from_secs(3));

    let (phone, report) = playing.stop();
    assert!(!report.ended_by_gateway, "the outage ended the call");
    phone.hang_up();
    gateway.wait_after(0, "ended after", 3);
    probe::check_contiguous(&clip, &before.slices());
    assert!(check_recording(&clip, &nginx) > 50);
    check_no_secrets(&gateway);
    drop(front);
}

#[test]
fn a_stalled_front_costs_its_own_backlog_and_the_delay_goes_again() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let clip = Arc::new(Clip::load());
    let nginx = Nginx::start(&mut ports);
    let other = Nginx::start(&mut ports);
    let certificate = authority.certify(HERE, Validity::Now);
    let front = TlsFront::start(&mut ports, nginx.address(), &certificate);
    let healthy = TlsFront::start(&mut ports, other.address(), &certificate);
    let second = ports.address();
    let settings = Settings {
        url: Some(url("127.0.0.1", front.address())),
        second: Some((second.port(), url("127.0.0.1", healthy.address()))),
        rtmp: format!(", caFile: {}", authority.file().display()),
        ..Settings::default()
    };
    let gateway = Daemon::start(&mut ports, settings);
    let playing = Phone::dial(&mut ports, gateway.sip(), "1000").play_in_background(&clip);
    let beside = Phone::dial(&mut ports, second, "2000").play_in_background(&clip);
    nginx.wait_recorded(STREAM, 50_000, Duration::from_secs(5));
    other.wait_recorded("rtmp_2000", 50_000, Duration::from_secs(5));

    let (before, since) = (newest(&nginx), Instant::now());
    front.program().signal("STOP");
    sleep(Duration::from_secs(10));
    front.program().signal("CONT");
    sleep(Duration::from_secs(4));
    let (after, elapsed) = (newest(&nginx), since.elapsed());
    let behind = elapsed.as_millis() as i64 - i64::from(after - before);
    assert!(behind.abs() < 400, "{behind} ms behind after the stall");

    for playing in [playing, beside] {
        let (phone, report) = playing.stop();
        assert!(!report.ended_by_gateway, "the stall ended a call");
        phone.hang_up();
    }
    gateway.wait_after(0, "ended after", 3);
    assert!(!gateway.log().text().contains("RTMP_CONNECTION_LOST"));
    let recording = Flv::read(&nginx.recording(STREAM));
    recording.check_order();
    let gaps = recording.pictures.windows(2);
    let longest = gaps.map(|pair| pair[1].time - pair[0].time).max();
    assert!(longest > Some(2_000), "all was kept: {longest:?}");
    for pair in recording.pictures.windows(2) {
        assert!(
            pair[1].keyframe || pair[1].time - pair[0].time < 200,
            "no keyframe after the gap at {} ms",
            pair[1].time
        );
    }
    let unharmed = Flv::read(&other.recording("rtmp_2000"));
    unharmed.check_order();
    assert!(probe::check_contiguous(&clip, &unharmed.slices()) > 300);
    check_no_secrets(&gateway);
}

#[test]
fn a_redirect_from_rtmp_to_rtmps_is_followed() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let nginx = Nginx::start(&mut ports);
    let certificate = authority.certify(HERE, Validity::Now);
    let front = TlsFront::start(&mut ports, nginx.address(), &certificate);
    let to: &'static str = format!("rtmps://{}/live", front.address()).leak();
    let listener = TcpListener::bind(ports.address()).expect("the port is the test's own");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            thread::spawn(move || serve(stream, Policy::Redirects(to), &[]));
        }
    });
    let gateway = trusting(&mut ports, &authority, format!("rtmp://{address}/live"));
    check_whole_call(&mut ports, &gateway, &nginx);
}

#[test]
fn a_burst_from_the_server_is_read_to_its_end() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let certificate = authority.certify(HERE, Validity::Now);
    let listener = TcpListener::bind(ports.address()).expect("the port is the test's own");
    let address = listener.local_addr().expect("it is bound");
    let config = server_config(&certificate);
    // Many times what is read in one wake, and then words that are seen in the log.
    let mut burst = server::chunk(1, 8, &[0; 60_000]).repeat(60);
    let mut last = server::string("onStatus");
    last.extend(server::float(0.0));
    last.push(5);
    last.extend(server::status("error", "NetStream.Publish.Failed"));
    burst.extend(server::chunk(1, 20, &last));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
            let stream = StreamOwned::new(session, stream.expect("a connection"));
            let burst = burst.clone();
            thread::spawn(move || serve(stream, Policy::Accept, &burst));
        }
    });
    let gateway = trusting(&mut ports, &authority, url("127.0.0.1", address));
    let clip = Arc::new(Clip::load());
    let playing = Phone::dial(&mut ports, gateway.sip(), "1000").play_in_background(&clip);
    gateway.wait_after(0, "NetStream.Publish.Failed", 3);
    let (phone, report) = playing.stop();
    assert!(!report.ended_by_gateway);
    phone.hang_up();
    check_no_secrets(&gateway);
}

/// Takes a publisher in, with a burst of bytes behind the acceptance of its stream.
fn serve(mut stream: impl Read + Write, policy: Policy, burst: &[u8]) {
    let since = MachineInstant::ZERO;
    let mut server = RtmpServer::new(ConnId(1), since, policy);
    let mut bytes = [0; 65_536];
    let mut said = false;
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        let answer = server.handle_bytes(since, &bytes[..length]);
        if stream.write_all(&answer).is_err() {
            break;
        }
        if server.is_publishing() && !said {
            said = true;
            let _ = stream.write_all(burst);
        }
        let _ = stream.flush();
    }
}

fn server_config(certificate: &Certificate) -> Arc<ServerConfig> {
    let chain = CertificateDer::from_pem_file(&certificate.certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("a certificate with its key");
    Arc::new(config)
}

/// Time of the newest picture that nginx wrote down so far, in milliseconds.
fn newest(nginx: &Nginx) -> u32 {
    let flv = Flv::read(&nginx.recording_so_far(STREAM));
    flv.pictures.last().expect("pictures came").time
}

/// What a server recorded must be a run of the clip without a gap, from a keyframe on; how many
/// pictures it is.
fn check_recording(clip: &Clip, nginx: &Nginx) -> usize {
    let flv = Flv::read(&nginx.recording(STREAM));
    flv.check_order();
    probe::check_contiguous(clip, &flv.slices())
}
