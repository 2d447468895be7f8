//! The signalling of one call for a media sender that knows no SIP.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::Ports;

/// A standing call with an offer of the test's own, over UDP on loopback.
pub struct Dialogue {
    sip: UdpSocket,
    gateway: SocketAddr,
    call: u32,
    to: String,
    target: String,
    cseq: u32,
    /// The SDP of the answer.
    pub answer: String,
}

impl Dialogue {
    /// Calls `number` with `media` as the m-lines and what follows them, and demands a 200.
    pub fn call(ports: &mut Ports, gateway: SocketAddr, number: &str, media: &str) -> Self {
        Self::call_for(ports, gateway, number, media, Ipv4Addr::LOCALHOST)
    }

    /// The same for a sender that lives at another address.
    pub fn call_for(
        ports: &mut Ports,
        gateway: SocketAddr,
        number: &str,
        media: &str,
        sender: Ipv4Addr,
    ) -> Self {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let sip = UdpSocket::bind((Ipv4Addr::LOCALHOST, ports.pair()))
            .expect("the port is the test's own");
        sip.set_read_timeout(Some(Duration::from_millis(500)))
            .expect("a timeout");
        let target = format!("sip:{number}@{gateway}");
        let mut dialogue = Self {
            sip,
            gateway,
            call: CALLS.fetch_add(1, Ordering::Relaxed),
            to: format!("<{target}>"),
            target,
            cseq: 1,
            answer: String::new(),
        };
        let offer = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 {sender}\r\nt=0 0\r\n{media}"
        );
        let answer = dialogue.ask("INVITE", &offer);
        assert!(answer.starts_with("SIP/2.0 200"), "INVITE: {answer}");
        dialogue.to = header(&answer, "To");
        let contact = header(&answer, "Contact");
        let inside = contact.split_once('<').map_or("", |(_, rest)| rest);
        dialogue.target = inside.split('>').next().unwrap_or(inside).to_owned();
        dialogue.answer = answer
            .split_once("\r\n\r\n")
            .map_or(String::new(), |(_, body)| body.to_owned());
        dialogue.send(&dialogue.request("ACK", ""));
        dialogue
    }

    /// Port of the gateway for the m-line of a kind (`audio` or `video`), 0 where it was refused.
    pub fn port(&self, kind: &str) -> u16 {
        let start = format!("m={kind} ");
        let line = self
            .answer
            .lines()
            .find_map(|line| line.strip_prefix(&start));
        let port = line.and_then(|line| line.split(' ').next()?.parse().ok());
        port.unwrap_or_else(|| panic!("no m={kind} in the answer:\n{}", self.answer))
    }

    /// Ends the call and demands the answer.
    pub fn hang_up(mut self) {
        self.cseq += 1;
        let answer = self.ask("BYE", "");
        assert!(answer.starts_with("SIP/2.0 200"), "BYE: {answer}");
    }

    /// Sends a request until a final answer to it comes.
    fn ask(&self, method: &str, body: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(8);
        let request = self.request(method, body);
        let cseq = format!("{} {method}", self.cseq);
        let mut buffer = [0; 8_192];
        let mut provisional = false;
        while Instant::now() < deadline {
            if !provisional {
                self.send(&request);
            }
            while let Ok(length) = self.sip.recv(&mut buffer) {
                let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if message.starts_with("SIP/2.0") && header(&message, "CSeq") == cseq {
                    if !message.starts_with("SIP/2.0 1") {
                        return message;
                    }
                    provisional = true;
                }
            }
        }
        panic!("no answer to {method}");
    }

    fn request(&self, method: &str, body: &str) -> String {
        let local = self.sip.local_addr().expect("the socket is bound");
        let kind = match body {
            "" => "",
            _ => "Content-Type: application/sdp\r\n",
        };
        format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bK{call}-{method}-{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:sender@{local}>;tag=sender{call}\r\nTo: {to}\r\n\
             Call-ID: dialogue-{call}-{port}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:sender@{local}>\r\n{kind}Content-Length: {length}\r\n\r\n{body}",
            target = self.target,
            call = self.call,
            cseq = self.cseq,
            to = self.to,
            port = local.port(),
            length = body.len(),
        )
    }

    fn send(&self, message: &str) {
        self.sip
            .send_to(message.as_bytes(), self.gateway)
            .expect("loopback takes it");
    }
}

fn header(message: &str, name: &str) -> String {
    let mut lines = message.lines().take_while(|line| !line.is_empty());
    let value = lines.find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    });
    value.unwrap_or_default().to_owned()
}
