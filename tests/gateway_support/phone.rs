//! A scripted phone: the texts of its messages, and what it learns from answers.

use std::net::SocketAddr;

use trunkcast::base::codec::Track;

/// One phone with one call.
#[derive(Clone, Debug)]
pub struct Phone {
    pub call_id: String,
    pub callee: String,
    pub remote: SocketAddr,
    /// Where its media comes from; the video port is two above.
    pub media: SocketAddr,
    /// Body of its INVITE.
    pub sdp: String,
    pub transport: &'static str,
    pub to_tag: Option<String>,
    pub cseq: u32,
    branch: u32,
    /// Ports that it was told to send to.
    pub audio_port: Option<u16>,
    pub video_port: Option<u16>,
    /// The last description that it was given.
    pub told: String,
}

impl Phone {
    /// A phone that dials a number, with an offer of H.264 and A-law.
    pub fn new(callee: &str) -> Self {
        let media = "192.0.2.10:4000".parse().unwrap();
        Self {
            call_id: format!("call-{callee}@192.0.2.10"),
            callee: callee.to_owned(),
            remote: super::PHONE.parse().unwrap(),
            media,
            sdp: offer(media, "sendrecv", true),
            transport: "UDP",
            to_tag: None,
            cseq: 1,
            branch: 0,
            audio_port: None,
            video_port: None,
            told: String::new(),
        }
    }

    pub fn media_source(&self, track: Track) -> SocketAddr {
        let mut source = self.media;
        if track == Track::Video {
            source.set_port(source.port() + 2);
        }
        source
    }

    /// The offer of this phone in a direction, with or without video.
    pub fn offer(&self, direction: &str, video: bool) -> String {
        offer(self.media, direction, video)
    }

    pub fn invite(&mut self) -> String {
        self.branch += 1;
        let sdp = self.sdp.clone();
        self.write("INVITE", &sdp)
    }

    pub fn reinvite(&mut self, sdp: &str) -> String {
        self.branch += 1;
        self.cseq += 1;
        self.write("INVITE", sdp)
    }

    pub fn ack(&mut self, sdp: &str) -> String {
        self.branch += 1;
        self.write("ACK", sdp)
    }

    /// ACK of a refusal, in the INVITE's transaction.
    pub fn ack_refusal(&mut self, answer: &str) -> String {
        let kept = std::mem::replace(&mut self.to_tag, to_tag(answer));
        let ack = self.write("ACK", "");
        self.to_tag = kept;
        ack
    }

    pub fn cancel(&self) -> String {
        self.write("CANCEL", "")
    }

    pub fn request(&mut self, method: &str) -> String {
        self.branch += 1;
        self.cseq += 1;
        self.write(method, "")
    }

    /// Takes over the tag and the ports of a 200.
    pub fn learn(&mut self, answer: &str) {
        if status(answer) != 200 {
            return;
        }
        self.to_tag = to_tag(answer);
        let Some((_, sdp)) = answer.split_once("\r\n\r\n") else {
            return;
        };
        let port = |media: &str| {
            let line = sdp.lines().find_map(|line| line.strip_prefix(media))?;
            let port: u16 = line.split(' ').next()?.parse().ok()?;
            (port != 0).then_some(port)
        };
        self.audio_port = port("m=audio ");
        self.video_port = port("m=video ");
        self.told = sdp.to_owned();
    }

    fn write(&self, method: &str, body: &str) -> String {
        let tag = self.to_tag.as_ref().map(|tag| format!(";tag={tag}"));
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} sip:{callee}@192.0.2.1:40000 SIP/2.0\r\n\
             Via: SIP/2.0/{transport} {remote};branch=z9hG4bK-{id}-{branch};rport\r\n\
             Max-Forwards: 70\r\n\
             From: \"Caller\" <sip:1001@192.0.2.10>;tag=from-{callee}\r\n\
             To: <sip:{callee}@192.0.2.1>{tag}\r\n\
             Call-ID: {id}\r\n\
             CSeq: {cseq} {method}\r\n\
             Contact: <sip:1001@{remote}>\r\n\
             {kind}Content-Length: {length}\r\n\r\n{body}",
            callee = self.callee,
            remote = self.remote,
            transport = self.transport,
            branch = self.branch,
            tag = tag.unwrap_or_default(),
            id = self.call_id,
            cseq = self.cseq,
            length = body.len(),
        )
    }
}

/// An offer of A-law and, with `video`, H.264 with feedback.
fn offer(media: SocketAddr, direction: &str, video: bool) -> String {
    let family = if media.is_ipv4() { "IP4" } else { "IP6" };
    let (ip, audio_port, video_port) = (media.ip(), media.port(), media.port() + 2);
    let mut text = format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {audio_port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
    );
    if video {
        text += &format!(
            "m=video {video_port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
             a=fmtp:96 packetization-mode=1;profile-level-id=64001f\r\n\
             a=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 ccm fir\r\na={direction}\r\n"
        );
    }
    text
}

/// The status code of an answer; 0 for a request.
pub fn status(message: &str) -> u16 {
    let code = message
        .strip_prefix("SIP/2.0 ")
        .and_then(|rest| rest.get(..3));
    code.and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// The values of a header, in order.
pub fn headers<'a>(message: &'a str, name: &str) -> Vec<&'a str> {
    let head = message.split("\r\n\r\n").next().unwrap_or_default();
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

/// The answer of a phone to a request.
pub fn respond(request: &str, code: u16) -> String {
    let mut text = format!("SIP/2.0 {code} Whatever\r\n");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        for value in headers(request, name) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    text + "Content-Length: 0\r\n\r\n"
}

fn to_tag(message: &str) -> Option<String> {
    let to = headers(message, "To").first().copied()?.to_owned();
    to.split_once(";tag=").map(|(_, tag)| tag.to_owned())
}
