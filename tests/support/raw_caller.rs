//! SIP over UDP by hand, for what SIPp would smooth over: races and repetitions.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::Ports;

/// Sends requests without any state of its own.
pub struct RawCaller {
    socket: UdpSocket,
    gateway: SocketAddr,
    /// Tells the calls of one caller apart.
    pub call: u32,
}

impl RawCaller {
    /// A caller at `address`.
    pub fn new(address: &str, ports: &mut Ports, gateway: SocketAddr, call: u32) -> Self {
        let socket = UdpSocket::bind((address, ports.pair())).expect("the port is the test's own");
        Self {
            socket,
            gateway,
            call,
        }
    }

    /// Sends a request, INVITE with an offer of sound; CANCEL shares the INVITE's branch. `to_tag` is a parameter
    /// with its semicolon, or empty.
    pub fn send(&self, method: &str, to_tag: &str, cseq: u32) {
        let local = self.socket.local_addr().expect("the socket is bound");
        let branch = if method == "CANCEL" { "INVITE" } else { method };
        let offer = "v=0\r\no=raw 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                     m=audio 9 RTP/AVP 8\r\na=sendonly\r\n";
        let body = if method == "INVITE" { offer } else { "" };
        let request = format!(
            "{method} sip:1000@{gateway} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bK-{call}-{branch}-{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:raw@{local}>;tag=raw{call}\r\n\
             To: <sip:1000@{gateway}>{to_tag}\r\nCall-ID: raw-{call}-{port}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:raw@{local}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}",
            length = body.len(),
            gateway = self.gateway,
            call = self.call,
            port = local.port(),
        );
        self.socket
            .send_to(request.as_bytes(), self.gateway)
            .expect("loopback takes it");
    }

    /// Waits for the final answer to one of `methods` in this call: its status, its method, and
    /// the tag of To with its semicolon. Other messages are passed over.
    pub fn status(&self, methods: &[&str]) -> (u32, String, String) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let message = self
                .receive(deadline)
                .unwrap_or_else(|| panic!("no answer to {methods:?}"));
            let line = |name: &str| {
                let mut lines = message.lines();
                lines
                    .find_map(|line| line.strip_prefix(name))
                    .unwrap_or_default()
                    .trim()
                    .to_owned()
            };
            let status = message
                .get(8..11)
                .and_then(|word| word.parse::<u32>().ok())
                .unwrap_or(0);
            let method = line("CSeq:")
                .split(' ')
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            let ours = line("Call-ID:").starts_with(&format!("raw-{}-", self.call));
            if ours && status >= 200 && methods.contains(&method.as_str()) {
                let tag = line("To:")
                    .split_once('>')
                    .map_or(String::new(), |(_, tag)| tag.to_owned());
                return (status, method, tag);
            }
        }
    }

    /// Demands that nothing comes for a while.
    pub fn silence(&self, duration: Duration) {
        if let Some(message) = self.receive(Instant::now() + duration) {
            panic!("silence was expected, and not\n{message}");
        }
    }

    fn receive(&self, deadline: Instant) -> Option<String> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.socket
            .set_read_timeout(Some(left.max(Duration::from_millis(1))))
            .expect("a timeout");
        let mut buffer = [0; 4_096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }
}
