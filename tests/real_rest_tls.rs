//! The REST interface over TLS: with a certificate of its own making or a given one, and with clients
//! that never finish their handshake.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

mod support;

use support::daemon::Settings;
use support::{Authority, Daemon, Ports, Rest, Validity};

const FIND_ALL: &str = "/rest-api/call/find_all";

/// Asks for a path over TLS, the server checked against the certificates in a file.
fn ask(to: SocketAddr, trusted: &Path, path: &str, fields: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    let file = CertificateDer::from_pem_file(trusted).expect("a certificate");
    roots.add(file).expect("one to trust");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), to.ip().into()).expect("a session");
    let socket = TcpStream::connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut tls = StreamOwned::new(session, socket);
    write!(
        tls,
        "GET {path} HTTP/1.1\r\nHost: box\r\nConnection: close\r\n{fields}\r\n"
    )?;
    let mut answer = String::new();
    tls.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A gateway with REST over TLS, and where.
fn running(more: &str) -> (Daemon, SocketAddr, Ports) {
    let mut ports = Ports::claim();
    let address = ports.address();
    let settings = Settings {
        rest: format!(", tls: {{listen: \"{address}\"{more}}}, password: hunter2"),
        ..Settings::default()
    };
    (Daemon::start(&mut ports, settings), address, ports)
}

const KNOWN: &str = "Authorization: Bearer hunter2\r\n";

#[test]
fn a_certificate_of_our_own_making_stays_the_same_over_a_restart() {
    let (mut gateway, address, _ports) = running("");
    let own = gateway.state().join("sip-certificate.pem");
    let before = std::fs::read(&own).unwrap();
    let answer = ask(address, &own, "/healthz", "").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok"));
    let answer = ask(address, &own, FIND_ALL, "").unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let answer = ask(address, &own, FIND_ALL, KNOWN).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    gateway.restart();
    assert_eq!(std::fs::read(&own).unwrap(), before);
    let answer = ask(address, &own, FIND_ALL, KNOWN).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(!gateway.log().text().contains("hunter2"));
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn a_given_certificate_is_shown_and_another_authority_is_not_taken_for_it() {
    let authority = Authority::new();
    let certificate = authority.certify("IP:127.0.0.1", Validity::Now);
    let (pem, key) = (certificate.certificate.display(), certificate.key.display());
    let (gateway, address, _ports) = running(&format!(", certificate: {pem}, key: {key}"));
    let answer = ask(address, &authority.file(), "/healthz", "").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let other = Authority::named("another");
    ask(address, &other.file(), "/healthz", "").unwrap_err();
    let words = "does not know the authority that signed our certificate";
    gateway.wait_after(0, &format!("REST: {}", address.ip()), 3);
    gateway.wait_after(0, words, 3);
    gateway.check_calm();
}

#[test]
fn clients_that_do_not_finish_their_handshake_starve_nobody() {
    let (gateway, address, _ports) = running("");
    let own = gateway.state().join("sip-certificate.pem");
    let mut slow = Vec::new();
    for at in 0..1_000 {
        let mut client = TcpStream::connect(address).unwrap();
        // Nothing, a part of a hello, or what is no TLS at all.
        let bytes: &[u8] = match at % 3 {
            0 => b"",
            1 => b"\x16\x03\x01\x00\xa5\x01",
            _ => b"GET /healthz HTTP/1.1\r\n\r\n",
        };
        let _ = client.write_all(bytes);
        slow.push(client);
    }
    let began = Instant::now();
    let answer = ask(address, &own, "/healthz", "").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(
        Rest::connect(gateway.rest())
            .ask("GET", "/healthz", "", "")
            .0,
        200
    );
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    let mut client = Rest::connect(gateway.rest());
    let (status, body) = client.ask("GET", "/metrics", KNOWN, "");
    assert_eq!(status, 200);
    let text = String::from_utf8(body).unwrap();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name}"))
            .trim()
            .parse()
            .unwrap()
    };
    assert!(value("trunkcast_socket_handshakes_failed_total ") > 300.0);
    assert!(value("trunkcast_socket_handshakes_given_up_total ") > 500.0);
    assert!(value("process_open_fds ") < 200.0);
    gateway.check_calm();
}
