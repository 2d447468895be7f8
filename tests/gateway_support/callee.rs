//! A scripted callee: what it answers to an INVITE of the gateway, and its media.

use std::net::SocketAddr;

use super::phone::{headers, status};
use super::{Phone, World};

/// One phone that is called.
pub struct Callee {
    /// Where its media comes from, and the ports that it was told.
    pub phone: Phone,
    /// Where it is reached by SIP.
    pub remote: SocketAddr,
    /// The INVITE, as it came last.
    pub invite: String,
    cseq: u32,
}

impl Callee {
    /// Takes the INVITE that came to an address; panics when there is none.
    pub fn called(world: &mut World, at: &str) -> Self {
        let remote: SocketAddr = at.parse().unwrap();
        let inbox = &mut world.inbox;
        let wanted =
            |(to, text): &(SocketAddr, String)| *to == remote && text.starts_with("INVITE ");
        let place = inbox.iter().position(wanted);
        let place = place.unwrap_or_else(|| panic!("no INVITE to {at}: {inbox:?}"));
        let (_, invite) = inbox.remove(place);
        let mut phone = Phone::new("callee");
        phone.call_id = headers(&invite, "Call-ID")[0].to_owned();
        phone.remote = remote;
        phone.media = SocketAddr::new(remote.ip(), 4_000);
        phone.audio_port = port(&invite, "m=audio ");
        phone.video_port = port(&invite, "m=video ");
        Self {
            phone,
            remote,
            invite,
            cseq: 1,
        }
    }

    /// The offer.
    pub fn offer(&self) -> &str {
        self.invite.split_once("\r\n\r\n").unwrap().1
    }

    /// An answer of A-law and H.264 in packetization-mode 1, by the numbers of the offer.
    pub fn answer(&self) -> String {
        answer(self.phone.media, "sendrecv")
    }

    /// Answers the INVITE in the dialog of a tag.
    pub fn respond(&self, world: &mut World, code: u16, tag: &str, sdp: &str) {
        world.sip(self.remote, self.response(code, tag, sdp));
    }

    /// The text of an answer to the INVITE.
    pub fn response(&self, code: u16, tag: &str, sdp: &str) -> String {
        respond_in(&self.invite, code, tag, self.remote, sdp)
    }

    /// Refuses the INVITE, with further header lines.
    pub fn refuse(&self, world: &mut World, code: u16, lines: &str) {
        let text = self.response(code, "refused", "");
        let contact = format!("Contact: <sip:{}>\r\n", self.remote);
        let text = text.replace(&contact, "");
        let text = text.replacen("Content-Length", &format!("{lines}Content-Length"), 1);
        world.sip(self.remote, text);
    }

    /// A request of the callee within the dialog of a tag.
    pub fn request(&mut self, world: &mut World, method: &str, tag: &str) -> Vec<String> {
        self.cseq += 1;
        let contact = headers(&self.invite, "Contact")[0];
        let target = contact.trim_matches(['<', '>']);
        let (from, to) = (
            headers(&self.invite, "From")[0],
            headers(&self.invite, "To")[0],
        );
        let text = format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {remote};branch=z9hG4bK-callee-{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: {to};tag={tag}\r\nTo: {from}\r\n\
             Call-ID: {id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{remote}>\r\n\
             Content-Length: 0\r\n\r\n",
            remote = self.remote,
            id = self.phone.call_id,
            cseq = self.cseq,
        );
        world.sip(self.remote, text);
        self.heard(world)
    }

    /// What came to it since the last look.
    pub fn heard(&self, world: &mut World) -> Vec<String> {
        world.take(&self.phone)
    }

    /// Answers a CANCEL: 200 to it and 487 to the INVITE.
    pub fn cancelled(&self, world: &mut World, cancel: &str) {
        let text = respond_in(cancel, 200, "cancelled", self.remote, "");
        world.sip(self.remote, text);
        self.respond(world, 487, "cancelled", "");
    }
}

/// The answer to a request, made in the dialog of a tag.
pub fn respond_in(request: &str, code: u16, tag: &str, contact: SocketAddr, sdp: &str) -> String {
    assert_eq!(status(request), 0, "a response is not answered");
    let mut text = format!("SIP/2.0 {code} Words\r\n");
    for name in ["Via", "Record-Route", "From", "Call-ID", "CSeq"] {
        for value in headers(request, name) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    let to = headers(request, "To")[0];
    text += &format!("To: {to};tag={tag}\r\nContact: <sip:{contact}>\r\n");
    if !sdp.is_empty() {
        text += "Content-Type: application/sdp\r\n";
    }
    text + &format!("Content-Length: {}\r\n\r\n{sdp}", sdp.len())
}

/// An answer of A-law and H.264 in packetization-mode 1, by the numbers of our offers.
pub fn answer(media: SocketAddr, direction: &str) -> String {
    let (ip, audio, video) = (media.ip(), media.port(), media.port() + 2);
    format!(
        "v=0\r\no=- 9 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {audio} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na={direction}\r\n\
         m=video {video} RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n\
         a=fmtp:97 packetization-mode=1;profile-level-id=42e01f\r\n\
         a=rtcp-fb:* nack pli\r\na=rtcp-fb:* ccm fir\r\na={direction}\r\n"
    )
}

fn port(message: &str, media: &str) -> Option<u16> {
    let line = message.lines().find_map(|line| line.strip_prefix(media))?;
    let port: u16 = line.split(' ').next()?.parse().ok()?;
    (port != 0).then_some(port)
}
