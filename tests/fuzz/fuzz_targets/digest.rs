//! Digest challenges: what 401 and 407 may hold, and the credentials that follow.

#![no_main]

use std::hint::black_box;
use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use trunkcast::base::redact::Secret;
use trunkcast::base::rng::Rng;
use trunkcast::limits::{SIP_CHALLENGE_ROUNDS, SIP_CHALLENGES};
use trunkcast::sip::{Authenticator, Credentials, Verdict};
use trunkcast::wire::sip_challenge::{AuthenticationInfo, challenges};
use trunkcast::wire::sip_message::SipMessage;

const PASSWORD: &str = "p4ss\"w0rd\\";

fuzz_target!(|data: &[u8]| {
    assert!(challenges(data).len() <= SIP_CHALLENGES);
    black_box(AuthenticationInfo::parse(data));
    let credentials = Credentials {
        username: "10\"00".into(),
        password: Secret::new(PASSWORD.into()),
    };
    let mut authenticator = Authenticator::new(Some(Rc::new(credentials)));
    let mut rng = Rng::from_number(1);
    let mut rounds = 0;
    // A response for each line, three times over.
    let lines = || data.split(|byte| *byte == b'\n').take(8);
    for line in lines().chain(lines()).chain(lines()) {
        let (code, value) = match line {
            [b'P', value @ ..] => (407, value),
            [b'I', value @ ..] => (200, value),
            value => (401, value),
        };
        let response = response(code, value);
        let Ok(response) = SipMessage::parse(&response) else {
            continue;
        };
        if code == 200 {
            authenticator.accepted(&response);
            rounds = 0;
            continue;
        }
        match authenticator.challenged(&response, code) {
            Verdict::Retry => {
                rounds += 1;
                assert!(rounds <= SIP_CHALLENGE_ROUNDS, "no end of tries");
                for header in authenticator.headers("REGISTER", "sip:a@b", b"x", &mut rng) {
                    let text = header.to_string();
                    assert!(!text.contains(['\r', '\n', '\0']), "{text:?}");
                    assert!(!text.contains("p4ss"));
                }
            }
            Verdict::Failed(error) => {
                let words = error.to_string();
                assert!(!words.contains(['\r', '\n']), "{words:?}");
            }
        }
        black_box(authenticator.is_undecided());
    }
});

fn response(code: u16, value: &[u8]) -> Vec<u8> {
    let name = match code {
        200 => "Authentication-Info",
        407 => "Proxy-Authenticate",
        _ => "WWW-Authenticate",
    };
    let mut response = format!(
        "SIP/2.0 {code} x\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
         To: <sip:a@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n{name}: "
    )
    .into_bytes();
    response.extend(value);
    response.extend(b"\r\nContent-Length: 0\r\n\r\n");
    response
}
