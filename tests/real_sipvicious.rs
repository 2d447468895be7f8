//! SIPVicious against the box: nothing is found.

mod support;

use std::net::SocketAddr;

use support::daemon::Settings;
use support::sipvicious::scan;
use support::{Daemon, Namespace, Ports};

/// Numbers that are asked for, and passwords that are tried.
const NUMBERS: [&str; 2] = ["-e", "1000-1080"];
const PASSWORDS: [&str; 4] = ["-u", "1000", "-r", "100-160"];

/// A box and scanners that may call it, or may not.
fn lab(ports: &mut Ports, may_call: bool) -> (Namespace, Daemon, SocketAddr) {
    let namespace = Namespace::new(ports);
    let mut settings = Settings {
        media: "auto".to_owned(),
        ..Settings::default()
    };
    if may_call {
        // Not for the rates is it that nothing is found.
        settings.trunk = vec![
            format!("allow: [{}]", namespace.theirs()),
            "abuse: {perSource: 5000, total: 5000}".to_owned(),
        ];
    }
    let gateway = Daemon::start(ports, settings);
    let target = SocketAddr::new(namespace.ours().into(), gateway.sip().port());
    (namespace, gateway, target)
}

#[test]
fn a_scanner_that_may_not_call_gets_no_answer_at_all() {
    let mut ports = Ports::claim();
    let (namespace, gateway, target) = lab(&mut ports, false);
    for method in ["OPTIONS", "REGISTER", "INVITE"] {
        let found = scan(&namespace, "svmap", target, &["-m", method]);
        assert!(found.contains("found nothing"), "{method}: {found}");
        let arguments = [&["-m", method], &NUMBERS[..]].concat();
        let found = scan(&namespace, "svwar", target, &arguments);
        assert!(found.contains("timed out"), "{method}: {found}");
        assert!(found.contains("found nothing"), "{method}: {found}");
    }
    let found = scan(&namespace, "svcrack", target, &PASSWORDS);
    assert!(found.contains("no server response"), "{found}");
    assert!(found.contains("found nothing"), "{found}");
    let source = namespace.theirs();
    gateway.wait_after(0, &format!("sip abuse from {source} on trunk test: "), 5);
    assert!(!gateway.log().text().contains("ESTABLISHED"));
    gateway.check_calm();
}

#[test]
fn a_scanner_that_may_call_finds_no_extensions_and_no_passwords() {
    let mut ports = Ports::claim();
    let (namespace, gateway, target) = lab(&mut ports, true);
    // It is there, so what follows is not for want of a way.
    let found = scan(&namespace, "svmap", target, &[]);
    assert!(found.contains("Trunkcast"), "{found}");
    for method in ["REGISTER", "OPTIONS", "INVITE"] {
        let arguments = [&["-m", method], &NUMBERS[..]].concat();
        let found = scan(&namespace, "svwar", target, &arguments);
        assert!(found.contains("found nothing"), "{method}: {found}");
        assert!(!found.contains("timed out"), "{method}: {found}");
        let is_refused = found.contains("method not allowed");
        assert_eq!(is_refused, method == "REGISTER", "{method}: {found}");
    }
    let found = scan(&namespace, "svcrack", target, &PASSWORDS);
    assert!(found.contains("found nothing"), "{found}");
    assert!(!found.contains("no server response"), "{found}");
    gateway.check_calm();
}
