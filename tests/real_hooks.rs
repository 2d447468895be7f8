//! Hooks over real sockets: the daemon, calls of SIPp, and a backend that records, stalls, errs, dies
//! and returns, over HTTP and HTTPS.

mod support;

use std::time::{Duration, Instant};

use support::backend::{Backend, calls, event, of_call};
use support::daemon::Settings;
use support::raw_caller::RawCaller;
use support::sipp::Scenario;
use support::{Authority, Daemon, Ports, Script, Validity};

/// A call of SIPp from its begin to its end.
const WHOLE: [(&str, &str); 5] = [
    ("OnCallEvent", "RING"),
    ("CallStatusEvent", "ESTABLISHED"),
    ("StreamStatusEvent", "PUBLISHING"),
    ("CallStatusEvent", "FINISH"),
    ("StreamStatusEvent", "UNPUBLISHED"),
];

struct Bench {
    ports: Ports,
    gateway: Daemon,
    backend: Backend,
    port: u16,
}

/// A gateway with a backend, and further settings of hooks.
fn bench(more: &str) -> Bench {
    let mut ports = Ports::claim();
    let port = ports.pair();
    let backend = Backend::start(port, None);
    let url = format!("http://joe:s3cret@127.0.0.1:{port}/MyAPI");
    let gateway = start(&mut ports, &format!("url: \"{url}\"{more}"));
    Bench {
        ports,
        gateway,
        backend,
        port,
    }
}

fn start(ports: &mut Ports, hooks: &str) -> Daemon {
    let settings = Settings {
        top: vec![format!("hooks: {{{hooks}}}")],
        ..Settings::default()
    };
    Daemon::start(ports, settings)
}

fn finished(told: &[serde_json::Value]) -> usize {
    let finished = |it: &&serde_json::Value| event(it) == ("StreamStatusEvent", "UNPUBLISHED");
    told.iter().filter(finished).count()
}

#[test]
fn a_call_with_keys_is_told_in_order() {
    let mut it = bench("");
    Scenario::new("dtmf/caller_relays", "u1", it.gateway.sip(), "1000")
        .strict()
        .start(&mut it.ports)
        .succeed();
    let told = it.backend.wait(5, |told| finished(told) == 1);
    let id = &calls(&told)[0];
    let events = of_call(&told, id);
    let keys = events.iter().filter(|it| **it == ("sendDtmf", "")).count();
    assert_eq!(keys, 2);
    let others: Vec<_> = events.into_iter().filter(|it| it.0 != "sendDtmf").collect();
    assert_eq!(others, WHOLE);
    for told in &told {
        assert_eq!(told["authorization"], "Basic am9lOnMzY3JldA==");
        assert_eq!(told["type"], "application/json");
        assert!(told["path"].as_str().unwrap().starts_with("/MyAPI/"));
        let node = told["body"]["nodeId"].as_str().unwrap();
        assert_eq!(node.split_once('@').unwrap().0.len(), 32);
    }
    it.gateway.terminate();
    it.gateway.check_calm();
    assert!(!it.gateway.log().text().contains("s3cret"));
}

#[test]
fn calls_that_end_with_the_gateway_are_told_before_it_goes() {
    let mut it = bench("");
    let caller = RawCaller::new("127.0.0.1", &mut it.ports, it.gateway.sip(), 1);
    caller.send("INVITE", "", 1);
    let (status, _, tag) = caller.status(&["INVITE"]);
    assert_eq!(status, 200);
    caller.send("ACK", &tag, 1);
    it.backend.wait(5, |told| told.len() == 3);
    it.gateway.terminate();
    let told = it.backend.wait(1, |told| told.len() == 5);
    assert_eq!(of_call(&told, &calls(&told)[0]), WHOLE);
}

#[test]
fn a_backend_that_stalls_or_errs_delays_no_call() {
    for order in ["stall", "answer 500"] {
        let mut it = bench(", timeoutSeconds: 1, retrySeconds: 60");
        it.backend.order(order);
        let begin = Instant::now();
        Scenario::new("many", "u1", it.gateway.sip(), "1")
            .times(20, 20)
            .run(&mut it.ports);
        assert!(begin.elapsed() < Duration::from_secs(10), "{order}");
        let early = it.backend.told();
        assert!(early.iter().all(|told| event(told).0 == "OnCallEvent"));
        it.backend.order("well");
        let told = it.backend.wait(40, |told| finished(told) == 20);
        for call in calls(&told) {
            let mut events = of_call(&told, &call);
            // What was not taken came again.
            events.dedup();
            assert_eq!(events, WHOLE, "{order}");
        }
        it.gateway.terminate();
        it.gateway.check_calm();
    }
}

#[test]
fn a_backend_that_dies_and_returns_learns_of_every_call() {
    let mut it = bench("");
    let caller = RawCaller::new("127.0.0.1", &mut it.ports, it.gateway.sip(), 1);
    caller.send("INVITE", "", 1);
    let (status, _, tag) = caller.status(&["INVITE"]);
    assert_eq!(status, 200);
    caller.send("ACK", &tag, 1);
    let mut told = it.backend.wait(5, |told| told.len() == 3);
    it.backend.kill();
    caller.send("BYE", &tag, 2);
    assert_eq!(caller.status(&["BYE"]).0, 200);
    it.gateway.wait_after(0, "hooks http://***@127.0.0.1", 5);
    Scenario::new("many", "u1", it.gateway.sip(), "1")
        .times(20, 20)
        .run(&mut it.ports);
    it.backend = Backend::start(it.port, None);
    let finished_by_then = |told: &[serde_json::Value]| finished(told) == 21;
    told.extend(it.backend.wait(40, finished_by_then));
    it.gateway.wait_after(0, "answers again after", 1);
    assert_eq!(calls(&told).len(), 21);
    for call in calls(&told) {
        assert_eq!(of_call(&told, &call), WHOLE);
    }
    it.gateway.terminate();
    it.gateway.check_calm();
}

#[test]
fn a_call_that_the_backend_refuses_is_not_taken() {
    let mut it = bench(", onCall: ask, timeoutSeconds: 1");
    it.backend.order("judge 403");
    let caller = RawCaller::new("127.0.0.1", &mut it.ports, it.gateway.sip(), 1);
    caller.send("INVITE", "", 1);
    let (status, _, tag) = caller.status(&["INVITE"]);
    assert_eq!(status, 403);
    caller.send("ACK", &tag, 1);
    // One that is taken back while it waits is over at once.
    it.backend.order("stall");
    let caller = RawCaller::new("127.0.0.1", &mut it.ports, it.gateway.sip(), 2);
    caller.send("INVITE", "", 1);
    std::thread::sleep(Duration::from_millis(200));
    caller.send("CANCEL", "", 1);
    assert_eq!(caller.status(&["INVITE"]).0, 487);
    // Without an answer the call waits no longer than it has to.
    let caller = RawCaller::new("127.0.0.1", &mut it.ports, it.gateway.sip(), 3);
    let begin = Instant::now();
    caller.send("INVITE", "", 1);
    let (status, _, tag) = caller.status(&["INVITE"]);
    let waited = begin.elapsed();
    assert_eq!(status, 200);
    assert!((900..2_000).contains(&waited.as_millis()), "{waited:?}");
    caller.send("ACK", &tag, 1);
    it.gateway.terminate();
    it.gateway.check_calm();
}

#[test]
fn a_backend_over_tls_proves_who_it_is() {
    let authority = Authority::new();
    let certificate = authority.certify("IP:127.0.0.1", Validity::Now);
    let mut ports = Ports::claim();
    let port = ports.pair();
    let backend = Backend::start(port, Some(&certificate));
    let hooks = |more: &str| {
        format!("url: \"https://127.0.0.1:{port}/MyAPI\", username: joe, password: s3cret{more}")
    };
    let trusted = authority.file();
    let trusted = format!(", caFile: {}", trusted.display());
    let mut gateway = start(&mut ports, &hooks(&trusted));
    Script::new("basic/answered", gateway.sip()).run(&mut ports);
    let told = backend.wait(5, |told| finished(told) == 1);
    assert_eq!(of_call(&told, &calls(&told)[0]), WHOLE);
    assert_eq!(told[0]["authorization"], "Basic am9lOnMzY3JldA==");
    gateway.terminate();
    // Nobody vouches for it in the system's eyes: nothing is told, and calls go on.
    let before = backend.told().len();
    let mut gateway = start(&mut ports, &hooks(""));
    Script::new("basic/answered", gateway.sip()).run(&mut ports);
    gateway.wait_after(0, "hooks.caFile", 5);
    gateway.terminate();
    gateway.check_calm();
    assert_eq!(backend.told().len(), before);
}
