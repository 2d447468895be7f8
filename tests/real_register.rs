//! Registration at Kamailio: its challenges, its terms, and what is left there afterwards.

mod support;

use std::time::{Duration, Instant};

use support::daemon::Settings;
use support::kamailio::Registrar;
use support::{Daemon, Kamailio, Ports};

const PASSWORD: &str = "correct horse";

fn registrar(algorithm: &'static str) -> Registrar {
    Registrar {
        password: PASSWORD,
        algorithm,
        longest: 4,
    }
}

/// A gateway whose trunk registers with that password.
fn register(ports: &mut Ports, kamailio: &Kamailio, password: &str, more: &[&str]) -> Daemon {
    let address = kamailio.address();
    let register = format!(
        "register: {{login: \"1000\", password: \"{password}\", registrar: \"{address}\"}}"
    );
    let mut trunk = vec![register];
    trunk.extend(more.iter().map(|&line| line.to_owned()));
    Daemon::start(
        ports,
        Settings {
            trunk,
            ..Settings::default()
        },
    )
}

/// Registers, is renewed three times, and is taken back.
fn lives(algorithm: &'static str, more: &[&str], contact: &str) {
    let mut ports = Ports::claim();
    let kamailio = Kamailio::start(&mut ports, &registrar(algorithm));
    let mut gateway = register(&mut ports, &kamailio, PASSWORD, more);
    gateway.wait_after(0, "sip:1000@127.0.0.1 is registered for 4 s", 5);
    let contact = format!("<sip:1000@{}{contact}>", gateway.sip());
    let locations = kamailio.locations();
    let bare = contact.trim_matches(['<', '>']);
    assert!(locations.contains(bare), "{bare}:\n{locations}");
    let mut from = 0;
    let began = Instant::now();
    for _ in 0..4 {
        let (next, line) = kamailio
            .log()
            .wait_for_after(from, "saved: ", Duration::from_secs(5));
        assert!(line.contains(&contact), "{line}");
        from = next;
    }
    // Three refreshes of four seconds each, from half to nine tenths of them.
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(5) && took < Duration::from_secs(12),
        "{took:?}"
    );
    assert!(kamailio.locations().contains(bare));
    gateway.terminate();
    let (_, line) = kamailio
        .log()
        .wait_for_after(from, "saved: ", Duration::from_secs(5));
    assert!(line.contains(&format!("{contact};expires=0 0")), "{line}");
    let locations = kamailio.locations();
    assert!(!locations.contains(bare), "{locations}");
    let log = gateway.log().text();
    assert!(
        log.contains("sip:1000@127.0.0.1 is not registered"),
        "{log}"
    );
    assert!(!log.contains(PASSWORD), "{log}");
    gateway.check_calm();
}

#[test]
fn a_registration_over_udp_lives_at_kamailio_until_the_gateway_stops() {
    lives("MD5", &[], "");
}

#[test]
fn a_registration_over_tcp_with_sha_256_lives_as_well() {
    lives("SHA-256", &["transport: tcp"], ";transport=tcp");
}

#[test]
fn a_wrong_password_is_said_once_and_not_tried_again() {
    let mut ports = Ports::claim();
    let kamailio = Kamailio::start(&mut ports, &registrar("MD5"));
    let mut gateway = register(&mut ports, &kamailio, "battery staple", &[]);
    gateway.wait_after(
        0,
        "user name or password is wrong for realm \"127.0.0.1\"",
        5,
    );
    std::thread::sleep(Duration::from_secs(2));
    let asked = kamailio.log().text().matches("asked: REGISTER").count();
    assert_eq!(asked, 2, "{}", kamailio.log().text());
    let log = gateway.log().text();
    assert!(!log.contains("battery staple"), "{log}");
    assert!(!kamailio.locations().contains("1000"));
    gateway.terminate();
    gateway.check_calm();
}
