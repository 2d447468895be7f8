//! The messages of whom the endpoint calls.

use std::net::SocketAddr;

use trunkcast::base::ids::{CallId, ConnId};
use trunkcast::base::network::Transport;
use trunkcast::sip::{CallOut, SipDestination, SipEvent, SipTarget, SipTargets};
use trunkcast::wire::sip_name::HeaderName;

use crate::bench::{Bench, OFFER, Sent, whats};

/// The answer of the called party.
pub const THEIRS: &str = "v=0\r\no=- 5 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
    m=audio 32000 RTP/AVP 8\r\n";

pub fn target(transport: Transport, address: &str) -> SipTarget {
    let address: SocketAddr = address.parse().unwrap();
    SipTarget { transport, address }
}

pub fn udp(addresses: &[&str]) -> SipTargets {
    let targets = addresses.iter().map(|a| target(Transport::Udp, a));
    targets.collect()
}

pub fn call() -> CallOut {
    let targets = udp(&["192.0.2.10:5060"]);
    CallOut::new("sip:1002@pbx.test", "sip:1001@pbx.test", targets, OFFER)
}

/// Places a call over UDP or an open connection; its INVITE.
pub fn place(bench: &mut Bench, call: CallOut) -> (CallId, Sent) {
    let id = bench.command(|e, now| e.call(now, call)).unwrap();
    let sent = bench.take();
    assert_eq!(whats(&sent), ["INVITE"]);
    (id, sent[0].clone())
}

/// A response to a request of ours with a tag of To, further header lines and a body.
pub fn reply(request: &Sent, code: u16, tag: &str, lines: &str, sdp: &str) -> String {
    let message = request.message();
    let headers = message.headers();
    let mut text = format!("SIP/2.0 {code} Words\r\n");
    for name in [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
    ] {
        let value = headers.text(name).unwrap();
        let has_tag = name != HeaderName::To || tag.is_empty() || value.contains(";tag=");
        let tag = if has_tag {
            String::new()
        } else {
            format!(";tag={tag}")
        };
        text += &format!("{name}: {value}{tag}\r\n");
    }
    if !sdp.is_empty() {
        text += "Content-Type: application/sdp\r\n";
    }
    text + &format!("{lines}Content-Length: {}\r\n\r\n{sdp}", sdp.len())
}

pub const CONTACT: &str = "Contact: <sip:callee@192.0.2.10:5070>\r\n";

/// The 200 with an answer.
pub fn ok(invite: &Sent, tag: &str) -> String {
    reply(invite, 200, tag, CONTACT, THEIRS)
}

/// A request of the called party within the dialog.
pub fn within(invite: &Sent, tag: &str, method: &str, cseq: u32, lines: &str, sdp: &str) -> String {
    let message = invite.message();
    let headers = message.headers();
    let (from, to) = (
        headers.text(HeaderName::From).unwrap(),
        headers.text(HeaderName::To).unwrap(),
    );
    let kind = if sdp.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    format!(
        "{method} sip:1001@192.0.2.1:40000 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-{tag}-{method}-{cseq};rport\r\n\
         Max-Forwards: 70\r\n\
         From: {to};tag={tag}\r\n\
         To: {from}\r\n\
         Call-ID: {}\r\n\
         CSeq: {cseq} {method}\r\n\
         {CONTACT}{lines}{kind}Content-Length: {}\r\n\r\n{sdp}",
        message.call_id(),
        sdp.len()
    )
}

/// A call that was answered: its INVITE and the ACK.
pub fn answered(bench: &mut Bench, call: CallOut) -> (CallId, Sent, Sent) {
    let (id, invite) = place(bench, call);
    let sent = bench.datagram(ok(&invite, "b"));
    assert_eq!(whats(&sent), ["ACK"]);
    assert!(matches!(bench.event(), SipEvent::Answered { .. }));
    (id, invite, sent[0].clone())
}

pub fn header(sent: &Sent, name: HeaderName) -> String {
    sent.header(name).unwrap_or_default()
}

pub fn branch(sent: &Sent) -> String {
    sent.message().via().branch.unwrap().into()
}

pub fn named(sent: &Sent, name: &str) -> Option<String> {
    let message = sent.message();
    let value = message.headers().all_named(name).next();
    value.map(|value| String::from_utf8_lossy(value).into_owned())
}

pub fn stream(conn: Option<ConnId>, address: &str) -> SipDestination {
    SipDestination::Stream {
        secure: false,
        conn,
        remote: address.parse().unwrap(),
    }
}

/// The end of a call: code and words.
pub fn ended(bench: &mut Bench) -> (u16, String) {
    match bench.event() {
        SipEvent::Ended { cause, .. } => (cause.code, cause.words),
        other => panic!("{other:?}"),
    }
}
