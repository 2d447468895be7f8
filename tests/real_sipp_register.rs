//! SIPp as a registrar, in every mood.

mod support;

use serde_json::json;
use support::daemon::Settings;
use support::{Daemon, Operator, Ports, Script};

const PASSWORD: &str = "correct horse";

/// A gateway whose trunk registers at a port.
fn registering(ports: &mut Ports, port: u16, more: &[&str]) -> Daemon {
    let register = format!(
        "register: {{login: \"1000\", password: \"{PASSWORD}\", registrar: \"127.0.0.1:{port}\"}}"
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

/// The target of a scenario that only answers.
fn nobody() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

/// A gateway that registers, says these words in the log one after the other, and stops.
fn tells(name: &str, tcp: bool, words: &[&str]) {
    let mut ports = Ports::claim();
    let port = ports.pair();
    let mut registrar = Script::new(name, nobody()).listen(port);
    if tcp {
        registrar = registrar.over_tcp();
    }
    let registrar = registrar.start(&mut ports);
    let more: &[&str] = if tcp { &["transport: tcp"] } else { &[] };
    let mut gateway = registering(&mut ports, port, more);
    let mut from = 0;
    for words in words {
        from = gateway.wait_after(from, words, 6);
    }
    if words.iter().any(|words| words.contains("registered for")) {
        gateway.terminate();
        registrar.succeed();
    } else {
        // The scenario watches for a while that nothing comes.
        registrar.succeed();
        gateway.terminate();
    }
    gateway.check_calm();
    assert!(!gateway.log().text().contains(PASSWORD));
}

#[test]
fn a_registration_comes_with_a_password_and_goes_with_the_box() {
    let words = ["registered for 600 s"];
    tells("register/comes_and_goes", false, &words);
}

#[test]
fn a_registrar_that_wants_longer_terms_gets_them() {
    let words = ["registered for 7200 s"];
    tells("register/too_brief", false, &words);
}

#[test]
fn a_refusal_is_told_and_not_answered_by_another_try() {
    tells("register/forbidden", false, &["403 No such account"]);
}

#[test]
fn a_wrong_password_is_told_and_not_tried_again() {
    let words = ["user name or password is wrong for realm \"pbx\""];
    tells("register/wrong_password", false, &words);
}

#[test]
fn a_registration_is_renewed_in_time_with_the_nonce_that_was_handed_over() {
    let words = ["registered for 2 s", "registered for 600 s"];
    tells("register/refreshed", false, &words);
}

#[test]
fn an_overloaded_registrar_is_asked_again_when_it_said() {
    let words = ["503 Service Unavailable", "registered for 600 s"];
    tells("register/retry_after", false, &words);
}

#[test]
fn over_tcp_the_time_of_our_own_contact_counts() {
    tells("register/two_contacts", true, &["registered for 444 s"]);
}

#[test]
fn calls_take_the_route_that_the_registrar_named() {
    let mut ports = Ports::claim();
    let port = ports.pair();
    let registrar = Script::new("register/service_route", nobody());
    let registrar = registrar.listen(port).calls(2, 1).start(&mut ports);
    let mut gateway = registering(&mut ports, port, &[]);
    gateway.wait_after(0, "registered for", 5);
    let mut operator = Operator::of(&gateway);
    let more = json!({"sipLogin": "1000"});
    assert_eq!(operator.place("out-1", port, &more), 200);
    gateway.wait_after(0, "1000->1002: BUSY (486 Busy Here", 3);
    gateway.terminate();
    registrar.succeed();
    gateway.check_calm();
}

#[test]
fn a_call_that_asks_for_it_registers_before_and_goes_after() {
    let mut ports = Ports::claim();
    let port = ports.pair();
    let pbx = Script::new("register/for_a_call", nobody());
    let pbx = pbx.listen(port).calls(2, 1).start(&mut ports);
    let gateway = Daemon::start(&mut ports, Settings::default());
    let mut operator = Operator::of(&gateway);
    let more = json!({"sipRegisterRequired": "true"});
    assert_eq!(operator.place("out-1", port, &more), 200);
    gateway.wait_after(0, "registered for 600 s", 5);
    gateway.wait_after(0, "1001->1002: ESTABLISHED", 5);
    operator.end_all();
    gateway.wait_after(0, "1001->1002: FINISH (200", 3);
    pbx.succeed();
    gateway.wait_after(0, "not registered", 3);
    gateway.check_calm();
}
