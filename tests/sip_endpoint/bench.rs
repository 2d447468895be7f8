//! One endpoint, one caller's messages, and a clock that tests move.

use std::net::SocketAddr;
use std::time::Duration;

use trunkcast::base::ids::{CallId, ConnId};
use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::sip::{SessionTimers, SipConfig, SipDestination, SipEndpoint, SipEvent};
use trunkcast::wire::sip_message::SipMessage;
use trunkcast::wire::sip_name::HeaderName;

pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
    m=audio 30000 RTP/AVP 8\r\n";
pub const ANSWER: &str = "v=0\r\no=- 2 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 31000 RTP/AVP 8\r\n";

pub fn peer() -> SocketAddr {
    "192.0.2.10:5060".parse().unwrap()
}

pub fn config(calls: usize) -> SipConfig {
    SipConfig {
        local: "192.0.2.1:40000".parse().unwrap(),
        user_agent: "trunkcast".into(),
        display_name: Some("Lobby".into()),
        allow: vec![
            "192.0.2.0/24".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ],
        calls,
        secure_only: false,
        session_timer: Some(SessionTimers::default()),
    }
}

/// A message that the endpoint sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Instant,
    pub to: SipDestination,
    pub bytes: Vec<u8>,
}

impl Sent {
    pub fn message(&self) -> SipMessage<'_> {
        SipMessage::parse(&self.bytes).unwrap()
    }

    pub fn status(&self) -> Option<u16> {
        let rest = self.bytes.strip_prefix(b"SIP/2.0 ")?;
        std::str::from_utf8(&rest[..3]).unwrap().parse().ok()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    pub fn header(&self, name: HeaderName) -> Option<String> {
        self.message().headers().text(name)
    }

    pub fn to_tag(&self) -> Option<String> {
        self.message().to().tag().map(Into::into)
    }

    /// Code of a response, method of a request. What is repeated of a broken request is broken.
    pub fn what(&self) -> String {
        match self.status() {
            Some(code) => code.to_string(),
            None => self.message().method().unwrap().to_string(),
        }
    }
}

/// An endpoint and all that came out of it since the last look.
pub struct Bench {
    pub now: Instant,
    pub endpoint: SipEndpoint,
    pub sent: Vec<Sent>,
    pub events: Vec<SipEvent>,
}

impl Bench {
    pub fn new() -> Self {
        Self::with_calls(4)
    }

    pub fn with_calls(calls: usize) -> Self {
        Self::with_config(config(calls))
    }

    pub fn with_config(config: SipConfig) -> Self {
        Self {
            now: Instant::from_millis(1_000),
            endpoint: SipEndpoint::new(config, Rng::from_number(1)),
            sent: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Takes out what waits, as an owner does after every step.
    pub fn drain(&mut self) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            self.sent.push(Sent {
                at: self.now,
                to: transmit.destination,
                bytes: transmit.bytes.to_vec(),
            });
        }
        while let Some(event) = self.endpoint.poll_event() {
            self.events.push(event);
        }
        self.endpoint.check_invariants();
    }

    pub fn datagram_from(&mut self, remote: SocketAddr, message: impl AsRef<[u8]>) -> Vec<Sent> {
        self.endpoint
            .handle_datagram(self.now, remote, message.as_ref());
        self.drain();
        self.take()
    }

    pub fn datagram(&mut self, message: impl AsRef<[u8]>) -> Vec<Sent> {
        self.datagram_from(peer(), message)
    }

    pub fn stream(&mut self, conn: ConnId, bytes: impl AsRef<[u8]>) -> Vec<Sent> {
        self.endpoint.handle_stream(self.now, conn, bytes.as_ref());
        self.drain();
        self.take()
    }

    pub fn connect(&mut self, conn: ConnId) {
        let remote = SocketAddr::new(peer().ip(), 50_000 + conn.0 as u16);
        self.endpoint
            .handle_accepted(self.now, conn, remote, false)
            .unwrap();
        self.drain();
    }

    /// Moves the clock, stopping at every deadline.
    pub fn advance(&mut self, by: Duration) -> Vec<Sent> {
        let until = self.now + by;
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
        self.take()
    }

    /// What was sent since the last look.
    pub fn take(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    pub fn event(&mut self) -> SipEvent {
        assert!(!self.events.is_empty(), "no event");
        self.events.remove(0)
    }

    /// Carries a command out.
    pub fn command<R>(&mut self, command: impl FnOnce(&mut SipEndpoint, Instant) -> R) -> R {
        let result = command(&mut self.endpoint, self.now);
        self.drain();
        result
    }

    /// Sends an INVITE and takes its event.
    pub fn invite(&mut self, caller: &mut Caller) -> CallId {
        let invite = caller.invite();
        let sent = self.datagram(invite);
        assert_eq!(whats(&sent), ["100"]);
        let SipEvent::Invite { id, .. } = self.event() else {
            panic!("no INVITE event");
        };
        id
    }

    /// Accepts a call; its 200.
    pub fn accept(&mut self, id: CallId, caller: &mut Caller) -> Sent {
        self.command(|e, now| e.accept(now, id, ANSWER)).unwrap();
        let sent = self.take();
        assert_eq!(whats(&sent), ["200"]);
        caller.to_tag = sent[0].to_tag();
        sent[0].clone()
    }

    /// A call that is up.
    pub fn call(&mut self, caller: &mut Caller) -> CallId {
        let id = self.invite(caller);
        self.accept(id, caller);
        let ack = caller.ack();
        assert!(self.datagram(ack).is_empty());
        assert!(matches!(
            self.event(),
            SipEvent::Confirmed { answer: None, .. }
        ));
        id
    }
}

pub fn whats(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::what).collect()
}

/// The messages of one caller.
#[derive(Clone, Debug)]
pub struct Caller {
    pub call_id: String,
    pub tag: String,
    pub to_tag: Option<String>,
    pub cseq: u32,
    pub transport: &'static str,
    pub sent_by: String,
    /// Further parameters of Via.
    pub via: String,
    pub contact: String,
    /// Further header lines, each with its end.
    pub extra: String,
    pub offer: Option<&'static str>,
    pub branch: u32,
}

impl Caller {
    pub fn new(name: &str) -> Self {
        Self {
            call_id: format!("{name}@192.0.2.10"),
            tag: format!("from-{name}"),
            to_tag: None,
            cseq: 1,
            transport: "UDP",
            sent_by: "192.0.2.10:5060".into(),
            via: ";rport".into(),
            contact: "<sip:caller@192.0.2.10:5060>".into(),
            extra: String::new(),
            offer: Some(OFFER),
            branch: 0,
        }
    }

    /// The same caller with another request under way: its branches are its own.
    pub fn fork(&self) -> Self {
        Self {
            branch: self.branch + 1_000,
            ..self.clone()
        }
    }

    pub fn over_tcp(name: &str) -> Self {
        Self {
            transport: "TCP",
            contact: "<sip:caller@192.0.2.10:5060;transport=tcp>".into(),
            ..Self::new(name)
        }
    }

    /// The branch of the request made last.
    pub fn branch(&self) -> String {
        format!("z9hG4bK-{}-{}", self.call_id.replace('@', "-"), self.branch)
    }

    /// A first INVITE, or a re-INVITE once there is a To tag.
    pub fn invite(&mut self) -> String {
        self.branch += 1;
        self.write(
            "INVITE",
            &self.branch(),
            self.cseq,
            self.offer.unwrap_or_default(),
        )
    }

    pub fn reinvite(&mut self) -> String {
        self.cseq += 1;
        self.invite()
    }

    /// ACK of a 2xx: a transaction of its own.
    pub fn ack(&mut self) -> String {
        self.ack_with("")
    }

    pub fn ack_with(&mut self, sdp: &str) -> String {
        self.branch += 1;
        self.write("ACK", &self.branch(), self.cseq, sdp)
    }

    /// ACK of a refusal: within the INVITE's transaction.
    pub fn ack_refusal(&mut self, refusal: &Sent) -> String {
        let kept = std::mem::replace(&mut self.to_tag, refusal.to_tag());
        let ack = self.write("ACK", &self.branch(), self.cseq, "");
        self.to_tag = kept;
        ack
    }

    pub fn cancel(&self) -> String {
        self.write("CANCEL", &self.branch(), self.cseq, "")
    }

    /// The next request within the dialog.
    pub fn request(&mut self, method: &str) -> String {
        self.cseq += 1;
        self.request_again(method)
    }

    /// The next request within the dialog, with a body.
    pub fn request_with(&mut self, method: &str, kind: &str, body: &str) -> String {
        self.cseq += 1;
        self.branch += 1;
        let text = self.write(method, &self.branch(), self.cseq, body);
        text.replace(
            "application/sdp\r\nContent-L",
            &format!("{kind}\r\nContent-L"),
        )
    }

    /// A request with the sequence number of the one before.
    pub fn request_again(&mut self, method: &str) -> String {
        self.branch += 1;
        self.write(method, &self.branch(), self.cseq, "")
    }

    fn write(&self, method: &str, branch: &str, cseq: u32, body: &str) -> String {
        let to_tag = self.to_tag.as_ref().map(|tag| format!(";tag={tag}"));
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} sip:4711@192.0.2.1:40000 SIP/2.0\r\n\
             Via: SIP/2.0/{} {};branch={branch}{}\r\n\
             Max-Forwards: 70\r\n\
             From: \"Caller\" <sip:1001@192.0.2.10>;tag={}\r\n\
             To: <sip:4711@192.0.2.1>{}\r\n\
             Call-ID: {}\r\n\
             CSeq: {cseq} {method}\r\n\
             Contact: {}\r\n\
             {}{kind}Content-Length: {}\r\n\r\n{body}",
            self.transport,
            self.sent_by,
            self.via,
            self.tag,
            to_tag.unwrap_or_default(),
            self.call_id,
            self.contact,
            self.extra,
            body.len(),
        )
    }
}

/// The answer of a peer to a request of ours.
pub fn respond(request: &Sent, code: u16) -> String {
    let message = request.message();
    let headers = message.headers();
    let mut text = format!("SIP/2.0 {code} Whatever\r\n");
    for name in [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
    ] {
        text += &format!("{name}: {}\r\n", headers.text(name).unwrap());
    }
    text + "Content-Length: 0\r\n\r\n"
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
