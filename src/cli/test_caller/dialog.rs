//! The SIP side of the test caller: one outgoing call over UDP, as text.
//!
//! Enough of RFC 3261 to call a gateway directly: INVITE with retransmission, ACK and its repetition,
//! CANCEL, BYE from either side, INFO and OPTIONS answered. No authentication, no route set, no
//! offers from the far end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::base::rng::Rng;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_name::HeaderName;

/// First wait before a request is sent again.
const T1: Duration = Duration::from_millis(500);

/// Longest wait before a request is sent again.
const T2: Duration = Duration::from_secs(4);

/// When an unanswered request is given up.
const GIVE_UP: Duration = Duration::from_secs(32);

/// What the dialog tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialogEvent {
    /// A provisional answer of 180 or above came.
    Ringing,
    /// The call stands; this is the answer's body.
    Answered(Vec<u8>),
    /// The far end asked for a keyframe by INFO.
    KeyframeWanted,
    /// The call is over, with the reason in words.
    Ended(String),
}

/// One call from our side.
pub struct Dialog {
    target: SocketAddr,
    local: SocketAddr,
    number: String,
    user: String,
    call_id: String,
    tag: String,
    branch: String,
    offer: String,
    remote_tag: Option<String>,
    remote_uri: String,
    sequence: u32,
    state: State,
    rng: Rng,
    outgoing: Vec<Vec<u8>>,
    events: Vec<DialogEvent>,
    resent: u64,
}

enum State {
    /// INVITE sent, no answer yet.
    Calling(Resend),
    /// A provisional answer came; `true` once CANCEL was sent.
    Proceeding(bool),
    /// The ACK, for answers that come again.
    Established(Vec<u8>),
    /// BYE sent.
    Closing(Resend),
    Ended,
}

struct Resend {
    request: Vec<u8>,
    at: Instant,
    wait: Duration,
    until: Instant,
}

impl Resend {
    fn new(request: Vec<u8>, now: Instant) -> Self {
        Self {
            request,
            at: now + T1,
            wait: T1,
            until: now + GIVE_UP,
        }
    }
}

impl Dialog {
    /// Calls `number` at `target` with an SDP offer; the INVITE is the first thing to send.
    pub fn call(
        now: Instant,
        target: SocketAddr,
        local: SocketAddr,
        number: &str,
        user: &str,
        offer: String,
        mut rng: Rng,
    ) -> Self {
        let mut dialog = Self {
            target,
            local,
            number: number.into(),
            user: user.into(),
            call_id: format!("{}@{}", rng.token(), local.ip()),
            tag: rng.token().as_str().into(),
            branch: format!("z9hG4bK{}", rng.token()),
            offer,
            remote_tag: None,
            remote_uri: format!("sip:{number}@{target}"),
            sequence: 1,
            state: State::Ended,
            rng,
            outgoing: Vec::new(),
            events: Vec::new(),
            resent: 0,
        };
        let invite = dialog.invite();
        dialog.outgoing.push(invite.clone());
        dialog.state = State::Calling(Resend::new(invite, now));
        dialog
    }

    /// The next datagram to send to the target.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.outgoing.is_empty()).then(|| self.outgoing.remove(0))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<DialogEvent> {
        (!self.events.is_empty()).then(|| self.events.remove(0))
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Calling(resend) | State::Closing(resend) => Some(resend.at),
            _ => None,
        }
    }

    /// Whether the call is over.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Requests that were sent again.
    pub fn resent(&self) -> u64 {
        self.resent
    }

    /// Sends again what is unanswered.
    pub fn handle_timeout(&mut self, now: Instant) {
        let (State::Calling(resend) | State::Closing(resend)) = &mut self.state else {
            return;
        };
        if now >= resend.until {
            self.end("no answer".into());
        } else if now >= resend.at {
            resend.wait = (resend.wait * 2).min(T2);
            resend.at = now + resend.wait;
            self.outgoing.push(resend.request.clone());
            self.resent += 1;
        }
    }

    /// Ends the call: CANCEL before the answer, BYE after it.
    pub fn hang_up(&mut self, now: Instant) {
        match &self.state {
            State::Calling(_) => self.end("given up".into()),
            State::Proceeding(false) => {
                let cancel = self.request("CANCEL", 1, &self.branch.clone(), "", "");
                self.outgoing.push(cancel);
                self.state = State::Proceeding(true);
            }
            State::Established(_) => {
                self.sequence += 1;
                let branch = self.new_branch();
                let bye = self.request("BYE", self.sequence, &branch, "", "");
                self.outgoing.push(bye.clone());
                self.state = State::Closing(Resend::new(bye, now));
            }
            State::Proceeding(true) | State::Closing(_) | State::Ended => {}
        }
    }

    /// Takes a datagram from the target; what does not belong to the call is passed over.
    pub fn handle_datagram(&mut self, now: Instant, bytes: &[u8]) {
        let Ok(message) = SipMessage::parse(bytes) else {
            return;
        };
        if message.call_id() != self.call_id {
            return;
        }
        match (message.status(), message.method()) {
            (Some(code), _) => self.handle_response(now, code, &message),
            (None, Some(method)) => self.handle_request(method.as_str(), &message),
            (None, None) => {}
        }
    }

    fn handle_response(&mut self, now: Instant, code: u16, message: &SipMessage<'_>) {
        let method = message.cseq().method.as_str();
        if let Some(tag) = message.to().tag()
            && method == "INVITE"
            && code > 100
        {
            self.remote_tag = Some(tag.into());
        }
        match (method, code) {
            ("INVITE", 100..=199) => {
                if code >= 180 {
                    self.events.push(DialogEvent::Ringing);
                }
                if matches!(self.state, State::Calling(_)) {
                    self.state = State::Proceeding(false);
                }
            }
            ("INVITE", 200..=299) => self.handle_answer(now, message),
            ("INVITE", _) => {
                let ack = self.request("ACK", 1, &self.branch.clone(), "", "");
                self.outgoing.push(ack);
                self.end(format!("answered with {code}"));
            }
            ("BYE", 200..) => self.end("hung up".into()),
            _ => {}
        }
    }

    fn handle_answer(&mut self, now: Instant, message: &SipMessage<'_>) {
        if let State::Established(ack) = &self.state {
            self.outgoing.push(ack.clone());
            return;
        }
        let cancelled = match self.state {
            State::Calling(_) => false,
            State::Proceeding(cancelled) => cancelled,
            _ => return,
        };
        if let Some(contact) = message.contact() {
            self.remote_uri = contact.uri.text.into();
        }
        let branch = self.new_branch();
        let ack = self.request("ACK", 1, &branch, "", "");
        self.outgoing.push(ack.clone());
        self.state = State::Established(ack);
        if cancelled {
            self.hang_up(now);
        } else {
            self.events
                .push(DialogEvent::Answered(message.body().to_vec()));
        }
    }

    fn handle_request(&mut self, method: &str, message: &SipMessage<'_>) {
        let code = match method {
            "ACK" => return,
            "BYE" => "200 OK",
            "OPTIONS" => "200 OK",
            "INFO" => {
                let body = String::from_utf8_lossy(message.body());
                if body.contains("picture_fast_update") {
                    self.events.push(DialogEvent::KeyframeWanted);
                }
                "200 OK"
            }
            _ => "488 Not Acceptable Here",
        };
        let answer = self.answer(code, message);
        self.outgoing.push(answer);
        if method == "BYE" {
            self.end("hung up by the far end".into());
        }
    }

    fn end(&mut self, words: String) {
        if !self.is_over() {
            self.state = State::Ended;
            self.events.push(DialogEvent::Ended(words));
        }
    }

    fn new_branch(&mut self) -> String {
        format!("z9hG4bK{}", self.rng.token())
    }

    fn invite(&self) -> Vec<u8> {
        let headers = format!(
            "Contact: <sip:{}@{}>\r\n\
             Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO\r\n\
             Content-Type: application/sdp\r\n",
            self.user, self.local
        );
        self.request("INVITE", 1, &self.branch, &headers, &self.offer)
    }

    fn request(
        &self,
        method: &str,
        sequence: u32,
        branch: &str,
        headers: &str,
        body: &str,
    ) -> Vec<u8> {
        let Self {
            target,
            local,
            number,
            user,
            call_id,
            tag,
            ..
        } = self;
        // CANCEL and the ACK of a refusal repeat the INVITE's URI.
        let uri = match &self.state {
            State::Established(_) | State::Closing(_) => self.remote_uri.clone(),
            _ if method == "ACK" && branch != self.branch => self.remote_uri.clone(),
            _ => format!("sip:{number}@{target}"),
        };
        let to_tag = match &self.remote_tag {
            Some(tag) if method != "CANCEL" => format!(";tag={tag}"),
            _ => String::new(),
        };
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch={branch};rport\r\n\
             Max-Forwards: 70\r\n\
             From: \"{user}\" <sip:{user}@{local}>;tag={tag}\r\n\
             To: <sip:{number}@{target}>{to_tag}\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: {sequence} {method}\r\n\
             User-Agent: trunkcast test caller\r\n\
             {headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn answer(&self, code: &str, message: &SipMessage<'_>) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {code}\r\n").into_bytes();
        for (name, header) in [
            ("Via", HeaderName::Via),
            ("From", HeaderName::From),
            ("To", HeaderName::To),
            ("Call-ID", HeaderName::CallId),
            ("CSeq", HeaderName::CSeq),
        ] {
            for value in message.headers().all(header) {
                text.extend_from_slice(name.as_bytes());
                text.extend_from_slice(b": ");
                text.extend_from_slice(value);
                text.extend_from_slice(b"\r\n");
            }
        }
        text.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Call {
        dialog: Dialog,
        invite: String,
        now: Instant,
    }

    fn call() -> Call {
        let now = Instant::now();
        let target = "127.0.0.1:40000".parse().unwrap();
        let local = "127.0.0.1:5070".parse().unwrap();
        let rng = Rng::from_number(4);
        let mut dialog = Dialog::call(now, target, local, "1001", "demo", "v=0\r\n".into(), rng);
        let invite = sent(&mut dialog);
        Call {
            dialog,
            invite,
            now,
        }
    }

    fn sent(dialog: &mut Dialog) -> String {
        String::from_utf8(dialog.poll_transmit().expect("something to send")).unwrap()
    }

    fn line<'a>(message: &'a str, name: &str) -> &'a str {
        message
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
    }

    impl Call {
        /// The answer to a request of ours, with the tag of the far end.
        fn answer(&mut self, request: &str, code: &str, more: &str) -> Vec<u8> {
            let via = line(request, "Via:");
            let from = line(request, "From:");
            let to = line(request, "To:").split(";tag=").next().unwrap();
            let call_id = line(request, "Call-ID:");
            let sequence = line(request, "CSeq:");
            format!(
                "SIP/2.0 {code}\r\n{via}\r\n{from}\r\n{to};tag=far\r\n{call_id}\r\n{sequence}\r\n\
                 {more}Content-Length: 0\r\n\r\n"
            )
            .into_bytes()
        }

        fn handle_answer(&mut self, request: &str, code: &str) {
            let contact = "Contact: <sip:gateway@127.0.0.1:40001>\r\n";
            let bytes = self.answer(request, code, contact);
            self.dialog.handle_datagram(self.now, &bytes);
        }

        fn request(&mut self, method: &str, body: &str) {
            let call_id = self.dialog.call_id().to_owned();
            let text = format!(
                "{method} sip:demo@127.0.0.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:40000;\
                 branch=z9hG4bKx\r\nFrom: <sip:1001@127.0.0.1>;tag=far\r\nTo: <sip:demo@127.0.0.1>\r\n\
                 Call-ID: {call_id}\r\nCSeq: 7 {method}\r\nMax-Forwards: 70\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            self.dialog.handle_datagram(self.now, text.as_bytes());
        }

        fn establish(&mut self) {
            let invite = self.invite.clone();
            self.handle_answer(&invite, "200 OK");
            assert!(sent(&mut self.dialog).starts_with("ACK sip:gateway@127.0.0.1:40001 SIP/2.0"));
            assert_eq!(
                self.dialog.poll_event(),
                Some(DialogEvent::Answered(Vec::new()))
            );
        }
    }

    #[test]
    fn the_invite_is_sent_again_until_an_answer_comes() {
        let mut call = call();
        assert!(SipMessage::parse(call.invite.as_bytes()).is_ok());
        for millis in [500, 1_500] {
            let at = call.now + Duration::from_millis(millis);
            assert_eq!(call.dialog.poll_timeout(), Some(at));
            call.dialog.handle_timeout(at);
            assert_eq!(sent(&mut call.dialog), call.invite);
        }
        let invite = call.invite.clone();
        call.handle_answer(&invite, "100 Trying");
        assert_eq!(call.dialog.poll_timeout(), None);
        call.handle_answer(&invite, "180 Ringing");
        assert_eq!(call.dialog.poll_event(), Some(DialogEvent::Ringing));
        assert_eq!(call.dialog.resent(), 2);
    }

    #[test]
    fn a_repeated_answer_is_acknowledged_again() {
        let mut call = call();
        call.establish();
        let invite = call.invite.clone();
        call.handle_answer(&invite, "200 OK");
        assert!(sent(&mut call.dialog).starts_with("ACK "));
        assert_eq!(call.dialog.poll_event(), None);
    }

    #[test]
    fn hanging_up_is_a_bye_until_it_is_answered() {
        let mut call = call();
        call.establish();
        call.dialog.hang_up(call.now);
        let bye = sent(&mut call.dialog);
        assert!(bye.starts_with("BYE sip:gateway@127.0.0.1:40001 SIP/2.0"));
        assert!(line(&bye, "To:").ends_with(";tag=far"));
        assert_eq!(line(&bye, "CSeq:"), "CSeq: 2 BYE");
        call.dialog.handle_timeout(call.now + T1);
        assert_eq!(sent(&mut call.dialog), bye);
        call.handle_answer(&bye, "200 OK");
        assert_eq!(
            call.dialog.poll_event(),
            Some(DialogEvent::Ended("hung up".into()))
        );
        assert!(call.dialog.is_over());
    }

    #[test]
    fn hanging_up_early_is_a_cancel_and_a_late_answer_a_bye() {
        let mut call = call();
        let invite = call.invite.clone();
        call.handle_answer(&invite, "180 Ringing");
        call.dialog.hang_up(call.now);
        let cancel = sent(&mut call.dialog);
        assert!(cancel.starts_with("CANCEL sip:1001@"));
        assert_eq!(line(&cancel, "Via:"), line(&invite, "Via:"));
        assert!(!line(&cancel, "To:").contains("tag"));
        call.handle_answer(&invite, "200 OK");
        assert!(sent(&mut call.dialog).starts_with("ACK "));
        assert!(sent(&mut call.dialog).starts_with("BYE "));
    }

    #[test]
    fn a_refusal_is_acknowledged_with_the_invites_branch() {
        let mut call = call();
        let invite = call.invite.clone();
        call.handle_answer(&invite, "486 Busy Here");
        let ack = sent(&mut call.dialog);
        assert!(ack.starts_with("ACK sip:1001@127.0.0.1:40000 SIP/2.0"));
        assert_eq!(line(&ack, "Via:"), line(&invite, "Via:"));
        assert_eq!(
            call.dialog.poll_event(),
            Some(DialogEvent::Ended("answered with 486".into()))
        );
    }

    #[test]
    fn the_far_end_may_ask_for_keyframes_and_hang_up() {
        let mut call = call();
        call.establish();
        call.request(
            "INFO",
            "<media_control><picture_fast_update/></media_control>",
        );
        assert!(sent(&mut call.dialog).starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1"));
        assert_eq!(call.dialog.poll_event(), Some(DialogEvent::KeyframeWanted));
        call.request("BYE", "");
        assert!(line(&sent(&mut call.dialog), "CSeq:").ends_with("7 BYE"));
        let ended = DialogEvent::Ended("hung up by the far end".into());
        assert_eq!(call.dialog.poll_event(), Some(ended));
        // Sent again, it is answered again.
        call.request("BYE", "");
        assert!(sent(&mut call.dialog).starts_with("SIP/2.0 200 OK"));
        assert_eq!(call.dialog.poll_event(), None);
    }

    #[test]
    fn no_answer_ends_the_call() {
        let mut call = call();
        call.dialog.handle_timeout(call.now + GIVE_UP);
        assert_eq!(
            call.dialog.poll_event(),
            Some(DialogEvent::Ended("no answer".into()))
        );
    }

    #[test]
    fn nothing_received_panics() {
        let mut rng = Rng::from_number(8);
        for _ in 0..2_000 {
            let mut call = call();
            let invite = call.invite.clone();
            let mut bytes = call.answer(&invite, "200 OK", "Contact: <sip:a@b>\r\n");
            for _ in 0..rng.below(4) {
                let at = rng.below(bytes.len() as u32) as usize;
                bytes[at] = rng.u32() as u8;
            }
            bytes.truncate(rng.below(bytes.len() as u32 * 2) as usize);
            call.dialog.handle_datagram(call.now, &bytes);
        }
    }
}
