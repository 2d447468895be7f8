//! The 49 messages of RFC 4475 at the endpoint: what is answered, over UDP and over a stream.

use std::path::PathBuf;

use trunkcast::base::ids::ConnId;
use trunkcast::sip::SipEvent;

use crate::bench::{Bench, secs, whats};

/// File, and the answer; 100 for an INVITE that becomes a call, 0 for none at all.
const ANSWERS: [(&str, u16); 49] = [
    // 3.1.1: valid messages
    // It has a To tag, and there is no such dialog.
    ("wsinv", 481),
    ("intmeth", 501),
    ("esc01", 100),
    ("escnull", 405),
    ("esc02", 501),
    ("lwsdisp", 200),
    ("longreq", 100),
    ("dblreq", 405),
    ("semiuri", 200),
    ("transports", 200),
    ("mpart01", 405),
    ("unreason", 0),
    ("noreason", 0),
    // 3.1.2: invalid messages
    ("badinv01", 400),
    ("clerr", 400),
    ("ncl", 400),
    ("scalar02", 400),
    ("scalarlg", 0),
    ("quotbal", 400),
    ("ltgtruri", 400),
    ("lwsruri", 400),
    ("lwsstart", 400),
    ("trws", 400),
    ("escruri", 400),
    // The field that is wrong in it is none that the endpoint reads.
    ("baddate", 100),
    ("regbadct", 400),
    ("badaspec", 400),
    ("baddn", 400),
    ("badvers", 505),
    ("mismatch01", 400),
    ("mismatch02", 400),
    ("bigcode", 0),
    // 3.2: transaction layer
    ("badbranch", 200),
    // 3.3: application layer
    ("insuf", 400),
    ("unkscm", 416),
    ("novelsc", 416),
    ("unksm2", 405),
    ("bext01", 420),
    ("invut", 415),
    ("regaut01", 405),
    ("multi01", 400),
    ("mcl01", 400),
    ("bcast", 0),
    ("zeromf", 200),
    ("cparam01", 405),
    ("cparam02", 405),
    ("regescrt", 405),
    ("sdp01", 406),
    // 3.4: backward compatibility
    ("inv2543", 100),
];

fn data(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/data/rfc4475"]
        .iter()
        .collect();
    std::fs::read(path.join(name).with_extension("dat")).unwrap()
}

#[test]
fn each_message_gets_its_answer() {
    for (name, code) in ANSWERS {
        let mut bench = Bench::new();
        let sent = bench.datagram(data(name));
        let expected: Vec<String> = (code > 0).then(|| code.to_string()).into_iter().collect();
        assert_eq!(whats(&sent), expected, "{name}");
        let begins = matches!(bench.events.first(), Some(SipEvent::Invite { .. }));
        assert_eq!(begins, code == 100, "{name}");
        bench.advance(secs(40));
        assert_eq!(bench.endpoint.busy() > 0, code == 100, "{name}");
    }
}

#[test]
fn the_same_message_again_gets_the_same_answer_and_no_second_call() {
    for (name, _) in ANSWERS {
        let mut bench = Bench::new();
        let first = bench.datagram(data(name));
        let again = bench.datagram(data(name));
        let bytes = |sent: &[crate::bench::Sent]| -> Vec<_> {
            sent.iter().map(|s| (s.to, s.bytes.clone())).collect()
        };
        assert_eq!(bytes(&first), bytes(&again), "{name}");
        assert!(bench.events.len() <= 1, "{name}");
    }
}

#[test]
fn over_a_stream_in_single_bytes_they_are_survived_and_calls_begin() {
    for (name, code) in ANSWERS {
        let mut bench = Bench::new();
        bench.connect(ConnId(1));
        let mut sent = Vec::new();
        for byte in data(name) {
            sent.extend(bench.stream(ConnId(1), [byte]));
        }
        if let Some(first) = sent.first()
            && code > 0
        {
            // Without Content-Length a message on a stream has no end.
            let status = first.status().unwrap();
            assert!(status == code || status == 400, "{name}: {status}");
        }
    }
}
