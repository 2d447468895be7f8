//! What the tests of RFC 4475 and RFC 5118 do with each message: over UDP, and over a stream in single
//! bytes and in two pieces cut at every place, each time with a valid request right after it.

use std::net::SocketAddr;
use std::path::PathBuf;

use trunkcast::base::ids::ConnId;
use trunkcast::sip::{SipDestination, SipEvent};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{Bench, Caller, Sent, secs, whats};

const CONN: ConnId = ConnId(1);

/// One message, who sends it, and what is to come of it.
#[derive(Clone, Copy, Debug)]
pub struct Torture {
    pub folder: &'static str,
    pub name: &'static str,
    /// The answer; 100 for an INVITE that becomes a call, 0 for none at all.
    pub code: u16,
    /// Where it comes from.
    pub from: SocketAddr,
}

/// What came of some bytes on a stream, and of the request after them.
#[derive(Debug, PartialEq)]
struct Outcome {
    sent: Vec<Vec<u8>>,
    calls: usize,
    closed: bool,
    after: Vec<Vec<u8>>,
}

impl Torture {
    pub fn data(&self) -> Vec<u8> {
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/data", self.folder]
            .iter()
            .collect();
        std::fs::read(path.join(self.name).with_extension("dat")).unwrap()
    }

    fn bench(&self) -> Bench {
        let mut bench = Bench::with_calls(1);
        if self.from.is_ipv6() {
            let local = "2001:db8::10".parse().unwrap();
            bench.endpoint.set_local(self.from.ip(), local);
        }
        bench
    }

    /// The answer over UDP, the same one to the message repeated, and that of an OPTIONS after it.
    pub fn over_udp(&self) {
        let (name, data) = (self.name, self.data());
        let mut bench = self.bench();
        let sent = bench.datagram_from(self.from, &data);
        self.check(&sent, &bench.events);
        if let Some(answer) = sent.first() {
            let SipDestination::Udp(to) = answer.to else {
                panic!("{name}: {:?}", answer.to);
            };
            assert_eq!(
                to.ip(),
                self.from.ip(),
                "{name}: back to where it came from"
            );
        }
        let again = bench.datagram_from(self.from, &data);
        assert_eq!(bytes(&again), bytes(&sent), "{name} once more");
        assert_eq!(bench.events.len(), usize::from(self.code == 100), "{name}");
        let after = bench.datagram_from(self.from, self.options());
        assert_eq!(whats(&after), ["200"], "OPTIONS after {name}");
        bench.advance(secs(40));
        assert_eq!(bench.endpoint.busy() > 0, self.code == 100, "{name}");
    }

    /// The same answer over a stream, wherever that is cut, and the connection lives on.
    pub fn over_stream(&self) {
        let data = self.data();
        let whole = self.cut_everywhere(&data, &[]);
        let expected: Vec<u16> = (self.code > 0).then_some(self.code).into_iter().collect();
        assert_eq!(codes(&whole.sent), expected, "{}", self.name);
        assert!(!whole.closed, "{}", self.name);
        assert_eq!(codes(&whole.after), [200], "OPTIONS after {}", self.name);
        assert_eq!(whole.calls, usize::from(self.code == 100), "{}", self.name);
    }

    /// A message whose end cannot be told: it is answered, and the connection is closed.
    pub fn closes_stream(&self, code: u16) {
        let whole = self.cut_everywhere(&self.data(), &[]);
        assert_eq!(codes(&whole.sent), [code], "{}", self.name);
        assert!(whole.closed, "{}", self.name);
        assert!(whole.after.is_empty() && whole.calls == 0, "{}", self.name);
    }

    /// A message that is not whole: nothing is answered, and it is not waited for for ever.
    pub fn waits_on_stream(&self) {
        let mut bench = self.bench();
        self.connect(&mut bench);
        assert!(bench.stream(CONN, self.data()).is_empty(), "{}", self.name);
        bench.advance(secs(300));
        assert!(closed(&bench.events), "{} keeps its connection", self.name);
        assert_eq!(bench.endpoint.connections(), 0);
    }

    /// The answers to `data` and `rest`, those to the OPTIONS after them, and whether the connection was
    /// closed: the same wherever `data` is cut.
    pub fn streamed(&self, data: &[u8], rest: &[u8]) -> (Vec<u16>, Vec<u16>, bool) {
        let whole = self.cut_everywhere(data, rest);
        (codes(&whole.sent), codes(&whole.after), whole.closed)
    }

    fn cut_everywhere(&self, data: &[u8], rest: &[u8]) -> Outcome {
        let whole = self.outcome([data, rest].into_iter());
        for cut in 1..data.len() {
            let (before, after) = data.split_at(cut);
            let parts = self.outcome([before, after, rest].into_iter());
            assert_eq!(parts, whole, "{} cut at {cut}", self.name);
        }
        let single = self.outcome(data.chunks(1).chain([rest]));
        assert_eq!(single, whole, "{} in single bytes", self.name);
        whole
    }

    fn outcome<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
        let mut bench = self.bench();
        self.connect(&mut bench);
        let mut sent = Vec::new();
        for piece in pieces {
            sent.extend(bench.stream(CONN, piece));
        }
        let over = |sent: &Sent| {
            matches!(
                sent.to,
                SipDestination::Stream {
                    conn: Some(CONN),
                    ..
                }
            )
        };
        assert!(sent.iter().all(over), "{}: {sent:?}", self.name);
        let calls = bench.events.iter();
        let calls = calls.filter(|event| matches!(event, SipEvent::Invite { .. }));
        let calls = calls.count();
        let after = bench.stream(CONN, self.options());
        Outcome {
            calls,
            sent: bytes(&sent),
            closed: closed(&bench.events),
            after: bytes(&after),
        }
    }

    fn connect(&self, bench: &mut Bench) {
        let remote = SocketAddr::new(self.from.ip(), 50_001);
        let taken = bench.command(|e, now| e.handle_accepted(now, CONN, remote, false));
        taken.unwrap();
    }

    /// A request that has an answer whatever came before it.
    fn options(&self) -> String {
        let mut caller = Caller::new("after");
        caller.sent_by = self.from.to_string();
        caller.request("OPTIONS")
    }

    /// The one answer, with the headers that its code calls for.
    fn check(&self, sent: &[Sent], events: &[SipEvent]) {
        let name = self.name;
        let expected: Vec<String> = (self.code > 0)
            .then(|| self.code.to_string())
            .into_iter()
            .collect();
        assert_eq!(whats(sent), expected, "{name}");
        let begins = matches!(events.first(), Some(SipEvent::Invite { .. }));
        assert_eq!(begins, self.code == 100, "{name}");
        let has = |header: HeaderName| sent.first().is_some_and(|s| s.header(header).is_some());
        match self.code {
            405 | 501 => assert!(has(HeaderName::Allow), "{name}: what is allowed"),
            415 => assert!(has(HeaderName::Accept), "{name}: what is accepted"),
            420 => assert_eq!(
                sent[0].header(HeaderName::Unsupported).as_deref(),
                Some("nothingSupportsThis, nothingSupportsThisEither"),
                "{name}"
            ),
            _ => {}
        }
    }
}

fn closed(events: &[SipEvent]) -> bool {
    events.contains(&SipEvent::Disconnect { conn: CONN })
}

fn bytes(sent: &[Sent]) -> Vec<Vec<u8>> {
    sent.iter().map(|sent| sent.bytes.clone()).collect()
}

fn codes(sent: &[Vec<u8>]) -> Vec<u16> {
    let code = |bytes: &Vec<u8>| {
        let text = std::str::from_utf8(bytes.get(8..11).unwrap()).unwrap();
        text.parse().unwrap()
    };
    sent.iter().map(code).collect()
}
