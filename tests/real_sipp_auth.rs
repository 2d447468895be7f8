//! SIPp as callees that ask for a password. The responses of the digests are computed here again.

mod support;

use md5::{Digest as _, Md5};
use ring::digest::{SHA256, SHA512_256, digest};
use serde_json::{Value, json};
use support::daemon::Settings;
use support::operator::PASSWORD;
use support::{Daemon, Operator, Ports, Script};

/// A call to a callee that asks in some way. The log tells of it in these words. Returns the answers
/// that were given to challenges.
fn asked(name: &str, more: &Value, told: &str) -> Vec<String> {
    let mut ports = Ports::claim();
    let mut gateway = Daemon::start(&mut ports, Settings::default());
    let port = ports.pair();
    let callee = Script::new(name, gateway.sip());
    let callee = callee.listen(port).start(&mut ports);
    let mut operator = Operator::of(&gateway);
    assert_eq!(operator.place("out-1", port, more), 200);
    gateway.wait_after(0, told, 6);
    operator.end_all();
    let trace = callee.succeed();
    operator.wait_for_none();
    gateway.terminate();
    gateway.check_calm();
    assert!(!gateway.log().text().contains(PASSWORD));
    assert!(!trace.contains(PASSWORD));
    let mut answers = Vec::new();
    let mut method = "";
    for line in trace.lines() {
        for known in ["INVITE", "BYE"] {
            if line.starts_with(known) && line.trim_end().ends_with("SIP/2.0") {
                method = known;
            }
        }
        let answer = line.strip_prefix("Authorization: ");
        let answer = answer.or_else(|| line.strip_prefix("Proxy-Authorization: "));
        if let Some(answer) = answer {
            check_response(answer.trim_end(), method);
            let answer = answer.to_owned();
            // ACK has those of its INVITE (RFC 3261, section 22.1).
            if !answers.contains(&answer) {
                answers.push(answer);
            }
        }
    }
    answers
}

/// The same for one that is content in the end, having seen so many different answers: the last of
/// them in the BYE.
fn is_let_through(name: &str, answers: usize) {
    let given = asked(name, &json!({}), "1001->1002: ESTABLISHED");
    assert_eq!(given.len(), answers, "{given:?}");
}

/// The value of a parameter.
fn parameter<'a>(credentials: &'a str, name: &str) -> Option<&'a str> {
    let mut parts = credentials.trim_start_matches("Digest ").split(',');
    let value = parts.find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"'))
}

/// RFC 7616, section 3.4.1, and RFC 2617, section 3.2.2.1.
fn check_response(credentials: &str, method: &str) {
    let of = |name| parameter(credentials, name);
    let needed = |name| of(name).unwrap_or_else(|| panic!("no {name} in {credentials}"));
    let algorithm = of("algorithm").unwrap_or("MD5");
    let hash = |text: String| {
        let bytes = match algorithm {
            "MD5" => Md5::digest(text).to_vec(),
            "SHA-256" => digest(&SHA256, text.as_bytes()).as_ref().to_vec(),
            "SHA-512-256" => digest(&SHA512_256, text.as_bytes()).as_ref().to_vec(),
            other => panic!("computed with {other}"),
        };
        let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        digits.concat()
    };
    let (user, realm, nonce) = (needed("username"), needed("realm"), needed("nonce"));
    let first = hash(format!("{user}:{realm}:{PASSWORD}"));
    let second = hash(format!("{method}:{}", needed("uri")));
    let between = of("qop").map_or(String::new(), |qop| {
        format!("{}:{}:{qop}:", needed("nc"), needed("cnonce"))
    });
    let wanted = hash(format!("{first}:{nonce}:{between}{second}"));
    assert_eq!(needed("response"), wanted, "{method}: {credentials}");
}

#[test]
fn a_callee_that_asks_is_answered_in_the_next_invite() {
    is_let_through("auth/server", 2);
}

#[test]
fn a_proxy_that_asks_is_answered_in_its_own_header() {
    is_let_through("auth/proxy", 2);
}

#[test]
fn an_old_server_gets_a_response_without_qop() {
    is_let_through("auth/without_qop", 2);
}

#[test]
fn of_two_algorithms_the_first_is_taken() {
    is_let_through("auth/sha_256", 2);
}

#[test]
fn an_algorithm_that_nobody_knows_is_passed_over() {
    is_let_through("auth/sha_512_256", 2);
}

#[test]
fn a_stale_nonce_is_answered_with_the_new_one() {
    is_let_through("auth/stale", 3);
}

#[test]
fn a_proxy_and_a_server_behind_it_are_both_answered() {
    is_let_through("auth/proxy_and_server", 5);
}

#[test]
fn a_bye_that_is_asked_for_a_password_goes_again_with_it() {
    is_let_through("auth/hang_up", 3);
}

#[test]
fn a_wrong_password_ends_the_call_and_is_told() {
    let told = "1001->1002: FAILED (401 user name or password is wrong for realm \"pbx\")";
    let given = asked("auth/wrong_password", &json!({}), told);
    assert_eq!(given.len(), 1, "{given:?}");
}

#[test]
fn a_challenge_that_cannot_be_computed_ends_the_call_and_is_told() {
    let told = "1001->1002: FAILED (401 no known digest algorithm is offered for realm \"pbx\")";
    let given = asked("auth/unknown_algorithm", &json!({}), told);
    assert_eq!(given.len(), 0, "{given:?}");
}
