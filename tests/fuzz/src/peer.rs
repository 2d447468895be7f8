//! A peer of the SIP endpoint whose messages are picked by choices: right ones for where a call is,
//! wrong ones, and damaged ones.

use trunkcast::wire::sip_message::SipMessage;
use trunkcast::wire::sip_name::HeaderName;

use crate::Choices;

/// Messages of the endpoint that are remembered.
const REMEMBERED: usize = 16;

const METHODS: [&str; 16] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "UPDATE",
    "PRACK",
    "INFO",
    "REFER",
    "NOTIFY",
    "MESSAGE",
    "SUBSCRIBE",
    "REGISTER",
    "PUBLISH",
    "DANCE",
    "INVITE",
];

const CODES: [u16; 32] = [
    200, 200, 200, 180, 183, 100, 401, 407, 422, 423, 491, 481, 408, 486, 480, 487, 500, 503, 302,
    300, 305, 202, 204, 404, 403, 415, 420, 421, 433, 488, 603, 199,
];

/// Header lines that change what a message asks for.
const LINES: [&str; 36] = [
    "",
    "Require: 100rel\r\nRSeq: 1\r\n",
    "Require: 100rel\r\nRSeq: 2\r\n",
    "Require: timer\r\nSession-Expires: 90;refresher=uas\r\n",
    "Session-Expires: 90;refresher=uac\r\nSupported: timer\r\n",
    "Session-Expires: 3\r\nSupported: timer\r\n",
    "Min-SE: 4000\r\n",
    "Supported: 100rel, timer, replaces\r\n",
    "Require: 100rel\r\n",
    "Require: unheard-of\r\n",
    "RAck: 1 1 INVITE\r\n",
    "Retry-After: 1\r\n",
    "Retry-After: 99999999999\r\n",
    "Contact: <sip:else@192.0.2.11:5070>\r\n",
    "Contact: <sip:else@192.0.2.10;transport=tcp>\r\n",
    "Contact: <sip:else@name.example>, <sips:a@192.0.2.12>;q=0.2\r\n",
    "Contact: *\r\nExpires: 0\r\n",
    "Record-Route: <sip:192.0.2.10;lr>\r\n",
    "Record-Route: <sip:192.0.2.11;lr>, <sip:strict.example>\r\n",
    "WWW-Authenticate: Digest realm=\"a\", nonce=\"1\", qop=\"auth\"\r\n",
    "WWW-Authenticate: Digest realm=\"a\", nonce=\"2\", stale=true, algorithm=SHA-256\r\n",
    "Proxy-Authenticate: Digest realm=\"p\", nonce=\"3\"\r\n",
    "Authentication-Info: nextnonce=\"9\"\r\n",
    "Min-Expires: 1000\r\n",
    "Expires: 5\r\n",
    "Service-Route: <sip:192.0.2.10;lr>\r\n",
    "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, REFER\r\n",
    "Refer-To: <sip:1003@192.0.2.10>\r\n",
    "Refer-To: <sip:1003@192.0.2.10?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\n",
    "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n",
    "Replaces: a;to-tag=1;from-tag=2\r\nRequire: replaces\r\n",
    "Reason: Q.850;cause=16;text=\"bye\"\r\n",
    "Max-Forwards: 0\r\n",
    "Expires: 1\r\nTimestamp: 5\r\n",
    "P-Asserted-Identity: \"A\" <sip:1@b>\r\nDiversion: <sip:2@b>;reason=busy\r\n",
    "Accept: text/plain\r\n",
];

const BODIES: [(&str, &str); 8] = [
    ("", ""),
    ("", ""),
    ("application/sdp", OFFER),
    ("application/sdp", OFFER),
    ("application/sdp", "v=0\r\n"),
    ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n"),
    (
        "application/media_control+xml",
        "<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder>\
         </vc_primitive></media_control>",
    ),
    ("message/sipfrag", "SIP/2.0 200 OK\r\n"),
];

/// An offer, or an answer.
pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
    m=audio 30000 RTP/AVP 8\r\n";

/// The peer: what it heard, and where it is in its own numbers.
#[derive(Debug, Default)]
pub struct Peer {
    heard: Vec<Vec<u8>>,
    cseq: u16,
    branch: u32,
    last: Vec<u8>,
}

impl Peer {
    /// Takes a message of the endpoint.
    pub fn hear(&mut self, message: &[u8]) {
        if self.heard.len() == REMEMBERED {
            self.heard.remove(0);
        }
        self.heard.push(message.to_vec());
    }

    /// The next message: a first request, one within a dialog, an answer, the one before again, or
    /// anything at all; perhaps damaged.
    pub fn message(&mut self, choices: &mut Choices<'_>) -> Vec<u8> {
        let kind = choices.byte();
        let message = match kind & 7 {
            0 => self.first(choices),
            1 | 2 => self.within(choices),
            3..=5 => self.answer(choices),
            6 => std::mem::take(&mut self.last),
            _ => {
                let length = usize::from(choices.number()) % 2_048;
                choices.bytes(length).to_vec()
            }
        };
        self.last = message.clone();
        match kind >> 3 {
            0..=27 => message,
            _ => damaged(message, choices),
        }
    }

    /// A request outside of dialogs.
    fn first(&mut self, choices: &mut Choices<'_>) -> Vec<u8> {
        let which = choices.byte();
        let method = METHODS[usize::from(which & 15)];
        // Few calls, so that requests meet them.
        let call = which >> 4 & 3;
        if which & 0x40 == 0 {
            self.branch += 1;
        }
        let line = choices.pick(&LINES);
        let body = choices.pick(&BODIES);
        let head = format!(
            "{method} sip:4711@192.0.2.1:40000 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK{};rport\r\n\
             Max-Forwards: 70\r\nFrom: \"A\" <sip:1001@192.0.2.10>;tag={call}\r\n\
             To: <sip:4711@192.0.2.1>\r\nCall-ID: call{call}\r\nCSeq: 1 {method}\r\n{}",
            self.branch,
            contact(line)
        );
        ended(head, line, body)
    }

    /// A request in the dialog of a message of the endpoint.
    fn within(&mut self, choices: &mut Choices<'_>) -> Vec<u8> {
        let which = choices.byte();
        let method = METHODS[usize::from(which & 15)];
        let line = choices.pick(&LINES);
        let body = choices.pick(&BODIES);
        let recalled = self.recall(choices).to_vec();
        let Ok(message) = SipMessage::parse(&recalled) else {
            return self.first(choices);
        };
        let headers = message.headers();
        let text = |name| headers.text(name).unwrap_or_default();
        // What is From in a request of ours is To in theirs, and the other way round in an answer.
        let (from, to) = match message.status() {
            Some(_) => (text(HeaderName::From), text(HeaderName::To)),
            None => (text(HeaderName::To), text(HeaderName::From)),
        };
        let from = match from.contains(";tag=") {
            true => from,
            false => format!("{from};tag=theirs"),
        };
        let (via, cseq) = match (method, message.status()) {
            // In the transaction of what was answered.
            ("ACK" | "CANCEL", Some(300..)) | ("CANCEL", Some(_)) => {
                (text(HeaderName::Via), message.cseq().number)
            }
            ("ACK", Some(_)) => (self.via(), message.cseq().number),
            _ => {
                self.cseq = self.cseq.wrapping_add(u16::from(which >> 6));
                (self.via(), 2 + u32::from(self.cseq))
            }
        };
        let rack = match (method, headers.all_named("RSeq").next()) {
            ("PRACK", Some(number)) => format!(
                "RAck: {} {} INVITE\r\n",
                String::from_utf8_lossy(number),
                message.cseq().number
            ),
            _ => String::new(),
        };
        let head = format!(
            "{method} sip:4711@192.0.2.1:40000 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n{rack}{}",
            message.call_id(),
            contact(line)
        );
        ended(head, line, body)
    }

    /// An answer to a request of the endpoint.
    fn answer(&mut self, choices: &mut Choices<'_>) -> Vec<u8> {
        let code = choices.pick(&CODES);
        let line = choices.pick(&LINES);
        let body = choices.pick(&BODIES);
        let tag = choices.byte() & 3;
        let recalled = self.recall(choices).to_vec();
        let Ok(message) = SipMessage::parse(&recalled) else {
            return self.first(choices);
        };
        let mut head = format!("SIP/2.0 {code} x\r\n");
        for name in [
            HeaderName::Via,
            HeaderName::From,
            HeaderName::To,
            HeaderName::CallId,
            HeaderName::CSeq,
            HeaderName::RecordRoute,
        ] {
            for value in message.headers().all(name) {
                head += &format!("{name}: {}", String::from_utf8_lossy(value));
                if name == HeaderName::To && message.to().tag().is_none() && tag != 0 {
                    head += &format!(";tag=fork{tag}");
                }
                head += "\r\n";
            }
        }
        let contact = match message.headers().text(HeaderName::Contact) {
            // A registrar tells the binding.
            Some(theirs) if message.method().is_some_and(|m| m.as_str() == "REGISTER") => {
                format!("Contact: {theirs}\r\n")
            }
            _ => contact(line),
        };
        ended(head + &contact, line, body)
    }

    /// A message of the endpoint, the newest first; nothing where it was silent.
    fn recall(&self, choices: &mut Choices<'_>) -> &[u8] {
        let back = usize::from(choices.byte()) % self.heard.len().max(1);
        let mut newest = self.heard.iter().rev();
        newest.nth(back).map(Vec::as_slice).unwrap_or_default()
    }

    fn via(&mut self) -> String {
        self.branch += 1;
        format!(
            "SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK{};rport",
            self.branch
        )
    }
}

fn contact(line: &str) -> String {
    match line.starts_with("Contact") {
        true => String::new(),
        false => "Contact: <sip:1001@192.0.2.10:5060>\r\n".into(),
    }
}

fn ended(head: String, line: &str, (kind, body): (&str, &str)) -> Vec<u8> {
    let kind = match kind {
        "" => String::new(),
        kind => format!("Content-Type: {kind}\r\n"),
    };
    format!(
        "{head}{line}{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn damaged(mut message: Vec<u8>, choices: &mut Choices<'_>) -> Vec<u8> {
    let at = usize::from(choices.number()) % (message.len() + 1);
    let length = usize::from(choices.byte() & 15);
    let piece = choices.bytes(length);
    let end = (at + usize::from(choices.byte() & 31)).min(message.len());
    message.splice(at..end, piece.iter().copied());
    message
}
