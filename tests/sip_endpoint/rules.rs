//! Rules for requests that come in.

use trunkcast::base::ids::ConnId;
use trunkcast::base::rng::Rng;
use trunkcast::cli::config_file::load;
use trunkcast::sip::SipEvent;
use trunkcast::sip::rules::Rules;

use crate::bench::{ANSWER, Bench, Caller, OFFER, whats};

/// The rules of a trunk as its file has them, one a line.
fn rules(lines: &[&str]) -> Rules {
    let lines: String = lines
        .iter()
        .map(|line| format!("      - {line}\n"))
        .collect();
    let text = format!(
        "trunks:\n  t:\n    localPort: 40000\n    proxyIp: 192.0.2.10\n    rules:\n{lines}"
    );
    let config = load(&text, "f.yml").unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    config.trunks[0].rules.clone()
}

fn bench(lines: &[&str]) -> Bench {
    let mut bench = Bench::new();
    bench.endpoint.set_rules(rules(lines));
    bench
}

/// The number that the endpoint takes for the dialled one.
fn callee(bench: &mut Bench, invite: &str) -> String {
    bench.datagram(invite);
    match bench.event() {
        SipEvent::Invite { callee, .. } => callee,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_uri_without_a_port_gets_one() {
    // What the file needs for it is two lines: `rules:` and this.
    let mut bench = bench(&["{match: {method: INVITE, uriPort: none}, set: {uriPort: 5060}}"]);
    let invite = Caller::new("a").invite();
    let (start, rest) = invite.split_once("\r\n").unwrap();
    let applied = |bench: &mut Bench, uri: &str| {
        let before = bench.endpoint.counters().rules_applied;
        let rest = rest.replace("a@192.0.2.10", &format!("{before}@192.0.2.10"));
        bench.datagram(format!("INVITE {uri} SIP/2.0\r\n{rest}"));
        bench.events.clear();
        bench.endpoint.counters().rules_applied - before
    };
    assert!(start.starts_with("INVITE sip:"), "{start}");
    assert_eq!(applied(&mut bench, "sip:4711@192.0.2.1"), 1);
    assert_eq!(applied(&mut bench, "sip:4711@192.0.2.1:40000"), 0);
}

#[test]
fn the_changes_of_all_rules_that_match_are_made_in_their_order() {
    let mut bench = bench(&[
        "{match: {method: INVITE, uriUser: '47*'}, set: {uriUser: '1'}}",
        "{match: {uriUser: '4711'}, set: {uriUser: '2', header: {X-Own: y}}, remove: [X-Old]}",
        "{match: {uriUser: '1'}, set: {uriUser: '3'}}",
        "{match: {source: 198.51.100.0/24}, set: {uriUser: '4'}}",
        "{match: {header: {Subject: none}}, add: {Subject: hello}}",
    ]);
    assert_eq!(callee(&mut bench, &Caller::new("a").invite()), "2");
    assert_eq!(bench.endpoint.counters().rules_applied, 1);
}

#[test]
fn a_header_that_the_box_cannot_serve_can_be_taken_away() {
    let mut caller = Caller::new("a");
    caller.extra = "Require: something\r\n".into();
    let invite = caller.invite();
    assert_eq!(whats(&Bench::new().datagram(&invite)), ["420"]);
    let mut bench = bench(&["{match: {header: {require: 'some*'}}, remove: [Require]}"]);
    assert_eq!(whats(&bench.datagram(&invite)), ["100"]);
}

#[test]
fn a_request_is_refused_with_the_words_of_its_rule() {
    let mut bench = bench(&[
        "{match: {header: {User-Agent: '*scanner*'}}, reject: 403 Not for you}",
        "{match: {method: MESSAGE}, reject: 405}",
    ]);
    let mut caller = Caller::new("a");
    caller.extra = "User-Agent: friendly-Scanner 1\r\n".into();
    let invite = caller.invite();
    let sent = bench.datagram(&invite);
    assert!(sent[0].text().starts_with("SIP/2.0 403 Not for you\r\n"));
    // The same again gets the same, once more from its transaction.
    assert_eq!(bench.datagram(&invite)[0].bytes, sent[0].bytes);
    assert_eq!(bench.endpoint.counters().rules_rejected, 1);
    let mut other = Caller::new("b");
    assert_eq!(whats(&bench.datagram(other.request("MESSAGE"))), ["405"]);
    assert_eq!(whats(&bench.datagram(other.invite())), ["100"]);
    assert_eq!(bench.endpoint.calls(), 1);
}

#[test]
fn ack_and_cancel_are_never_refused() {
    let mut bench = bench(&[
        "{match: {method: ACK}, reject: 403}",
        "{match: {method: CANCEL}, reject: 403}",
    ]);
    let mut caller = Caller::new("a");
    bench.datagram(caller.invite());
    let sent = bench.datagram(caller.cancel());
    assert_eq!(whats(&sent), ["200", "487"]);
    assert_eq!(bench.endpoint.counters().rules_rejected, 0);
}

#[test]
fn what_cannot_be_rewritten_is_taken_as_it_came() {
    // A telephone number has no host that could be another one.
    let mut bench = bench(&["{match: {method: INVITE}, set: {uriHost: pbx}}"]);
    let invite = Caller::new("a").invite();
    let (_, rest) = invite.split_once(" SIP/2.0").unwrap();
    let invite = format!("INVITE tel:+49301 SIP/2.0{rest}");
    assert_eq!(callee(&mut bench, &invite), "+49301");
    assert_eq!(bench.endpoint.counters().rules_failed, 1);
    // One more header line than a message may have.
    let lines: String = (0..115).map(|at| format!("X-{at}: y\r\n")).collect();
    let mut bench = self::bench(&[
        "{match: {method: INVITE}, set: {uriUser: '1'}, add: {X-a: 1, X-b: 1, X-c: 1, X-d: 1, X-e: 1, X-f: 1, X-g: 1}}",
    ]);
    let mut caller = Caller::new("b");
    caller.extra = lines;
    assert_eq!(callee(&mut bench, &caller.invite()), "4711");
    assert_eq!(bench.endpoint.counters().rules_failed, 1);
}

#[test]
fn rules_hold_on_streams_too_and_leave_their_framing_alone() {
    let mut bench = bench(&[
        "{match: {method: '*'}, set: {header: {X-Long: 'a long value that was not there'}, uriUser: '99'}}",
    ]);
    let conn = ConnId(1);
    bench.connect(conn);
    let two = Caller::new("a").invite() + &Caller::new("b").invite();
    for byte in two.as_bytes() {
        bench.stream(conn, [*byte]);
    }
    let invites = std::mem::take(&mut bench.events);
    let callees: Vec<_> = invites
        .iter()
        .map(|event| match event {
            SipEvent::Invite { callee, offer, .. } => (callee.as_str(), offer.as_deref()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(callees, [("99", Some(OFFER.as_bytes())); 2]);
}

/// Whatever comes and whatever the rules are: a request is changed, or taken as it came and counted,
/// and never lost on its way.
#[test]
fn every_request_that_can_be_read_is_changed_or_counted() {
    let all = [
        "{match: {method: '*'}, set: {uriUser: '7', uriHost: '2001:db8::1', uriPort: 5060, uriParam: {user: phone, lr: ''}}}",
        "{match: {method: '*'}, set: {uriUser: none, uriPort: none, uriParam: {user: none}}, remove: [Contact, m]}",
        "{match: {method: '*'}, set: {header: {Contact: '<sip:x@y>', Max-Forwards: '70'}}, add: {Route: '<sip:z;lr>'}}",
        "{match: {method: '*'}, set: {header: {Contact: 'no address, \"', Max-Forwards: many}}}",
        "{match: {method: '*'}, set: {uriHost: pbx}, remove: [Subject, X-Own, Require, Content-Type]}",
    ];
    let mut rng = Rng::from_number(11);
    let mut caller = Caller::new("a");
    caller.extra = "Subject: a\r\n b\r\nX-Own : \"q,\"\r\nx-own:\r\n\tz\r\nRequire: x\r\n".into();
    let seeds = [
        caller.invite(),
        caller.request("OPTIONS"),
        caller.request("DANCE"),
    ];
    for rule in all {
        let mut bench = bench(&[rule]);
        let mut plain = Bench::new();
        for _ in 0..3_000 {
            let mut bytes = seeds[rng.below(3) as usize].clone().into_bytes();
            for _ in 0..rng.below(4) {
                let at = rng.below(bytes.len() as u32) as usize;
                bytes[at] = b"\r\n :;@<>\"?%\\,a1\xe9"[rng.below(16) as usize];
            }
            let count = |bench: &Bench| {
                let counters = bench.endpoint.counters();
                counters.unreadable
                    + counters.malformed
                    + counters.stray_responses
                    + counters.source_refused
            };
            let ruled = |bench: &Bench| {
                let counters = bench.endpoint.counters();
                counters.rules_applied + counters.rules_failed
            };
            let (bad, done, ill) = (count(&bench), ruled(&bench), count(&plain));
            plain.datagram(&bytes);
            bench.datagram(&bytes);
            let is_read = count(&plain) == ill;
            assert_eq!(count(&bench) == bad, is_read);
            assert_eq!(ruled(&bench) - done, u64::from(is_read));
            for event in std::mem::take(&mut bench.events) {
                if let SipEvent::Invite { id, .. } = event {
                    let _ = bench.command(|e, now| e.accept(now, id, ANSWER));
                }
            }
            bench.take();
            plain.events.clear();
        }
        let failed = bench.endpoint.counters().rules_failed;
        assert_eq!(failed > 0, rule.contains("no address"), "{rule}: {failed}");
        assert!(bench.endpoint.counters().rules_applied > 0 || failed > 0);
    }
}
