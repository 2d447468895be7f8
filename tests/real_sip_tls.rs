//! SIP over TLS: calls come in as over TCP, and what is wrong with anybody's TLS is said.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

mod support;

use support::authority::Certificate;
use support::daemon::Settings;
use support::flv::Flv;
use support::sipp::Scenario;
use support::{Authority, Clip, Daemon, Nginx, Ports, Validity, probe};

/// Seconds of the clip that SIPp plays.
const PLAYED: u32 = 4;

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn settings(certificate: &Certificate, authority: &Authority) -> Settings {
    let show = |path: &std::path::Path| path.display().to_string();
    Settings {
        trunk: vec![
            "transport: tls".to_owned(),
            format!("certificate: {}", show(&certificate.certificate)),
            format!("key: {}", show(&certificate.key)),
            format!("caFile: {}", show(&authority.file())),
        ],
        ..Settings::default()
    }
}

/// Connects to a gateway whose certificate that authority signed.
fn connect(gateway: SocketAddr, authority: &Authority) -> Tls {
    let mut roots = RootCertStore::empty();
    let file = CertificateDer::from_pem_file(authority.file());
    roots
        .add(file.expect("a certificate"))
        .expect("one to trust");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = gateway.ip().into();
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    let socket = TcpStream::connect(gateway).expect("the gateway listens");
    let patience = Some(Duration::from_secs(5));
    socket.set_read_timeout(patience).expect("a timeout");
    StreamOwned::new(session, socket)
}

/// Carries what comes over TCP to the gateway over TLS and back, as a proxy in front of SIPp.
fn tls_relay(ports: &mut Ports, gateway: SocketAddr, authority: &Authority) -> SocketAddr {
    let listener = TcpListener::bind(ports.address()).expect("the port is the test's own");
    let address = listener.local_addr().expect("it is bound");
    let mut tls = connect(gateway, authority);
    thread::spawn(move || {
        let (mut plain, _) = listener.accept().expect("SIPp connects");
        let pause = Some(Duration::from_millis(5));
        plain.set_read_timeout(pause).expect("a timeout");
        tls.sock.set_read_timeout(pause).expect("a timeout");
        while pump(&mut plain, &mut tls) && pump(&mut tls, &mut plain) {}
    });
    address
}

/// False at the end.
fn pump(from: &mut impl Read, to: &mut impl Write) -> bool {
    let mut buffer = [0; 16_384];
    match from.read(&mut buffer) {
        Ok(0) => false,
        Ok(length) => to
            .write_all(&buffer[..length])
            .and_then(|()| to.flush())
            .is_ok(),
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// A request of a caller over TLS that is reached at `contact`.
fn request(method: &str, to_tag: &str, cseq: u32, contact: &str, gateway: SocketAddr) -> String {
    let offer = "v=0\r\no=raw 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                 m=audio 9 RTP/AVP 8\r\na=sendonly\r\n";
    let body = if method == "INVITE" { offer } else { "" };
    format!(
        "{method} sip:1000@{gateway};transport=tls SIP/2.0\r\n\
         Via: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bK-{method}-{cseq};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:raw@127.0.0.1>;tag=raw\r\n\
         To: <sip:1000@{gateway}>{to_tag}\r\nCall-ID: raw-tls\r\nCSeq: {cseq} {method}\r\n\
         Contact: <{contact}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len(),
    )
}

/// Reads one answer, which has its body with it.
fn answer(tls: &mut Tls) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let length = tls.read(&mut buffer).expect("an answer comes");
        assert_ne!(length, 0, "the connection was closed");
        text.extend(&buffer[..length]);
        let shown = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = shown.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|l| l.strip_prefix("Content-Length:"));
            if body.len() >= length.map_or(0, |l| l.trim().parse().expect("a length")) {
                return shown;
            }
        }
    }
}

/// Begins a call of a caller who is reached at `contact`; the final answer.
fn call(tls: &mut Tls, contact: &str, gateway: SocketAddr) -> String {
    let invite = request("INVITE", "", 1, contact, gateway);
    tls.write_all(invite.as_bytes())
        .expect("the connection stands");
    let mut ok = answer(tls);
    while ok.starts_with("SIP/2.0 1") {
        ok = answer(tls);
    }
    let to = ok
        .lines()
        .find(|line| line.starts_with("To:"))
        .expect("a To");
    let tag = to.split_once('>').expect("a tag").1.to_owned();
    let ack = request("ACK", &tag, 1, contact, gateway);
    tls.write_all(ack.as_bytes())
        .expect("the connection stands");
    ok
}

#[test]
fn a_call_over_tls_is_relayed_whole() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let certificate = authority.certify("IP:127.0.0.1", Validity::Now);
    let nginx = Nginx::start(&mut ports);
    let settings = Settings {
        url: Some(nginx.url("live")),
        ..settings(&certificate, &authority)
    };
    let gateway = Daemon::start(&mut ports, settings);
    let relay = tls_relay(&mut ports, gateway.sip(), &authority);
    Scenario::new("call", "t1", relay, "001201234")
        .play(PLAYED, 96)
        .run(&mut ports);
    gateway
        .log()
        .wait_for("ended after", Duration::from_secs(3));
    let recording = nginx.recording("rtmp_001201234");
    let flv = Flv::read(&recording);
    flv.check_order();
    let clip = Clip::load();
    probe::compare_pictures(&clip.slices()[..PLAYED as usize * 25], &flv.slices());
    probe::check_sound(&clip.audio[..PLAYED as usize * 8_000], &flv.sound());
    gateway.check_calm();
}

#[test]
fn the_answer_names_tls_and_the_bye_goes_out_over_a_connection_that_is_checked() {
    for (names, validity, other, words) in [
        (
            "IP:127.0.0.1",
            Validity::Past,
            false,
            "TLS: the certificate of 127.0.0.1 has expired, or the clock of this box is wrong",
        ),
        (
            "DNS:pbx.example",
            Validity::Now,
            false,
            "TLS: the certificate of 127.0.0.1 is for another name",
        ),
        (
            "IP:127.0.0.1",
            Validity::Now,
            true,
            "is signed by an authority that this box does not know; name its file in caFile of \
             trunk test",
        ),
    ] {
        let mut ports = Ports::claim();
        let authority = Authority::new();
        let own = authority.certify("IP:127.0.0.1", Validity::Now);
        let gateway = Daemon::start(&mut ports, settings(&own, &authority));
        let stranger = Authority::named("another authority");
        let signer = if other { &stranger } else { &authority };
        let pbx = support::TlsFront::start(
            &mut ports,
            SocketAddr::from(([127, 0, 0, 1], 9)),
            &signer.certify(names, validity),
        );
        let contact = format!("sip:raw@{};transport=tls", pbx.address());
        let mut tls = connect(gateway.sip(), &authority);
        let ok = call(&mut tls, &contact, gateway.sip());
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        assert!(ok.contains("Via: SIP/2.0/TLS "), "{ok}");
        let port = gateway.sip().port();
        assert!(
            ok.contains(&format!("<sip:127.0.0.1:{port};transport=tls>")),
            "{ok}"
        );
        drop(tls);
        sleep(Duration::from_millis(200));
        gateway.log().signal("TERM");
        let line = gateway.log().wait_for(words, Duration::from_secs(3));
        assert!(
            line.contains("test: cannot connect to 127.0.0.1:"),
            "{line}"
        );
        gateway.check_calm();
    }
}

#[test]
fn half_open_connections_do_not_keep_a_call_out() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let own = authority.certify("IP:127.0.0.1", Validity::Now);
    let gateway = Daemon::start(&mut ports, settings(&own, &authority));
    let silent: Vec<TcpStream> = (0..200)
        .map(|_| TcpStream::connect(gateway.sip()).expect("the gateway listens"))
        .collect();
    let began = Instant::now();
    let mut tls = connect(gateway.sip(), &authority);
    let ok = call(&mut tls, "sip:raw@127.0.0.1:9;transport=tls", gateway.sip());
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    gateway.wait_after(0, "did not finish the TLS handshake in time", 12);
    drop(silent);
    gateway.check_calm();
}

#[test]
fn the_wrong_protocol_on_a_port_is_said_and_ends_the_connection() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let own = authority.certify("IP:127.0.0.1", Validity::Now);
    let secure = Daemon::start(&mut ports, settings(&own, &authority));
    let mut plain = TcpStream::connect(secure.sip()).expect("the gateway listens");
    let patience = Some(Duration::from_secs(3));
    plain.set_read_timeout(patience).expect("a timeout");
    let options = request("OPTIONS", "", 1, "sip:raw@127.0.0.1", secure.sip());
    plain
        .write_all(options.as_bytes())
        .expect("the connection stands");
    secure.wait_after(
        0,
        "does not speak TLS: this port takes SIP over TLS alone",
        3,
    );
    let mut rest = Vec::new();
    // An alert of TLS may come, or the connection is reset.
    let _ = plain.read_to_end(&mut rest);
    assert!(
        !String::from_utf8_lossy(&rest).contains("SIP/2.0"),
        "{rest:?}"
    );

    let open = Daemon::start(&mut ports, Settings::default());
    let mut tls = connect(open.sip(), &authority);
    let began = Instant::now();
    assert!(
        tls.write_all(b"\r\n\r\n")
            .and_then(|()| tls.read(&mut [0; 9]))
            .is_err()
    );
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    for gateway in [&secure, &open] {
        gateway.check_calm();
    }
}

#[test]
fn a_caller_who_does_not_trust_us_is_named_and_so_is_our_own_certificate() {
    let mut ports = Ports::claim();
    let authority = Authority::new();
    let settings = Settings {
        trunk: vec!["transport: tls".to_owned()],
        ..Settings::default()
    };
    let gateway = Daemon::start(&mut ports, settings);
    gateway.wait_after(0, "a certificate of its own making", 1);
    let mut tls = connect(gateway.sip(), &authority);
    assert!(
        tls.write_all(b"\r\n\r\n")
            .and_then(|()| tls.read(&mut [0; 9]))
            .is_err()
    );
    let words = "does not know the authority that signed our certificate";
    gateway.wait_after(0, words, 3);
    gateway.check_calm();
}
