//! What every answer to one request has in common, kept from when the request came.
//!
//! RFC 3261 section 8.2.6.2: Via, From, To, Call-ID and CSeq go back as they came, byte for byte save
//! for folds. The top Via gets `received` and `rport` from where the request really came from
//! (section 18.2.1, RFC 3581); what the sender put there itself is left out.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::SocketAddr;

use super::sip_emit::{Overflow, Writer};
use super::sip_header::NameAddr;
use super::sip_index::SipHeaders;
use super::sip_name::HeaderName;
use super::sip_text::{self, cut_at, find_bare, trim};
use super::sip_uri::Host;
use super::sip_via::Via;

/// The lines that all answers to one request carry. Owned, so that it outlives the request.
#[derive(Clone, Debug)]
pub struct ReplyHead {
    /// Whole lines, each with its line end.
    vias: Vec<u8>,
    record_routes: Vec<u8>,
    from: Vec<u8>,
    /// The To line without its line end, so that a tag can follow.
    to: Vec<u8>,
    to_has_tag: bool,
    /// Call-ID and CSeq.
    identity: Vec<u8>,
    timestamp: Vec<u8>,
    destination: SocketAddr,
}

impl ReplyHead {
    /// Keeps what answers need of a request that came from `source`. Works on the header fields of a
    /// refused request as well; what is missing there is missing in the answer.
    pub fn new(headers: &SipHeaders<'_>, source: SocketAddr) -> Self {
        let top = headers
            .values(HeaderName::Via)
            .next()
            .and_then(Via::parse_for_answer);
        let to = headers.first(HeaderName::To);
        Self {
            vias: vias(headers, source),
            record_routes: lines(headers, HeaderName::RecordRoute),
            from: lines(headers, HeaderName::From),
            to: to.map(to_line).unwrap_or_default(),
            to_has_tag: to
                .and_then(NameAddr::parse)
                .is_some_and(|to| to.tag().is_some()),
            identity: [HeaderName::CallId, HeaderName::CSeq]
                .map(|name| lines(headers, name))
                .concat(),
            timestamp: lines(headers, HeaderName::Timestamp),
            destination: top.map_or(source, |via| via.response_address(source)),
        }
    }

    /// Where answers go over UDP, or over TCP once the request's connection is gone.
    pub fn destination(&self) -> SocketAddr {
        self.destination
    }

    pub(super) fn write(
        &self,
        code: u16,
        to_tag: Option<&str>,
        writer: &mut Writer<'_>,
    ) -> Result<(), Overflow> {
        writer.bytes(&self.vias)?;
        if (101..300).contains(&code) {
            writer.bytes(&self.record_routes)?;
        }
        writer.bytes(&self.from)?;
        if !self.to.is_empty() {
            writer.bytes(&self.to)?;
            if let Some(tag) = to_tag.filter(|_| !self.to_has_tag) {
                writer.text(format_args!(";tag={tag}"))?;
            }
            writer.bytes(b"\r\n")?;
        }
        writer.bytes(&self.identity)?;
        if code == 100 {
            writer.bytes(&self.timestamp)?;
        }
        Ok(())
    }
}

/// `Name: value` on one line, without its end.
fn line(name: &str, value: &[u8]) -> Vec<u8> {
    let mut line = format!("{name}: ").into_bytes();
    line.extend(sip_text::unfolded(value));
    line
}

/// The To line, open for a tag: a `;` with nothing behind it would make that an empty parameter.
fn to_line(value: &[u8]) -> Vec<u8> {
    let mut line = line(HeaderName::To.as_str(), value);
    while line.last().is_some_and(|b| b"; \t".contains(b)) {
        line.pop();
    }
    line
}

fn lines(headers: &SipHeaders<'_>, name: HeaderName) -> Vec<u8> {
    let mut lines = Vec::new();
    for value in headers.all(name) {
        lines.extend(line(name.as_str(), value));
        lines.extend(b"\r\n");
    }
    lines
}

fn vias(headers: &SipHeaders<'_>, source: SocketAddr) -> Vec<u8> {
    let mut lines = Vec::new();
    for (index, value) in headers.all(HeaderName::Via).enumerate() {
        let value = if index == 0 {
            &top_via(value, source)
        } else {
            value
        };
        lines.extend(line(HeaderName::Via.as_str(), value));
        lines.extend(b"\r\n");
    }
    lines
}

/// The first Via line with `received` and `rport` in its first value.
fn top_via(line: &[u8], source: SocketAddr) -> Vec<u8> {
    let (first, others) = match find_bare(line, |b| b == b',') {
        Ok(Some(comma)) => (cut_at(line, comma).0, line.get(comma..)),
        _ => (line, None),
    };
    let Some(via) = Via::parse_for_answer(trim(first)) else {
        return line.to_vec();
    };
    let mut value = via.head.to_vec();
    for param in via.params.iter() {
        if ["received", "rport"]
            .iter()
            .any(|own| param.name.eq_ignore_ascii_case(own))
        {
            continue;
        }
        value.extend(format!(";{}", param.name).into_bytes());
        if let Some(given) = param.value {
            value.push(b'=');
            value.extend(given);
        }
    }
    if via.rport.is_some() || via.host != Host::Ip(source.ip()) {
        value.extend(format!(";received={}", source.ip()).into_bytes());
    }
    if via.rport.is_some() {
        value.extend(format!(";rport={}", source.port()).into_bytes());
    }
    value.extend(others.unwrap_or_default());
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sip_emit::write_response;
    use crate::wire::sip_message::SipMessage;

    fn invite(via: &str) -> String {
        format!(
            "INVITE sip:100@192.0.2.9 SIP/2.0\r\nv: {via}\r\nVia: SIP/2.0/UDP far.example;branch=z9hG4bKfar\r\n\
             Record-Route: <sip:p2.example;lr>,\r\n <sip:p1.example;lr>\r\nf: \"A\r\n\tB\" <sip:a@a.example>;tag=1\r\n\
             To: <sip:100@192.0.2.9>;\r\ni: call\r\nCSeq: 007 INVITE\r\nTimestamp: 54\r\n\r\n"
        )
    }

    fn answer(
        request: &str,
        source: &str,
        code: u16,
        to_tag: Option<&str>,
    ) -> (String, SocketAddr) {
        let message = SipMessage::parse(request.as_bytes()).unwrap();
        let head = ReplyHead::new(message.headers(), source.parse().unwrap());
        let response = rsip::Response {
            status_code: code.into(),
            ..rsip::Response::default()
        };
        let mut out = [0; 2_000];
        let length = write_response(&head, to_tag, &response, &mut out).unwrap();
        let text = String::from_utf8(out[..length].to_vec()).unwrap();
        (text, head.destination())
    }

    #[test]
    fn an_answer_repeats_what_identifies_the_request() {
        let request = invite("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1");
        let (text, destination) = answer(&request, "192.0.2.1:9999", 486, Some("us"));
        assert_eq!(
            text,
            "SIP/2.0 486 Busy Here\r\n\
             Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
             Via: SIP/2.0/UDP far.example;branch=z9hG4bKfar\r\n\
             From: \"A B\" <sip:a@a.example>;tag=1\r\n\
             To: <sip:100@192.0.2.9>;tag=us\r\n\
             Call-ID: call\r\nCSeq: 007 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(destination, "192.0.2.1:5060".parse().unwrap());
    }

    #[test]
    fn only_answers_that_make_a_dialog_carry_the_route_and_only_100_the_timestamp() {
        let request = invite("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1");
        let of = |code| answer(&request, "192.0.2.1:5060", code, None).0;
        let route = "Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\r\n";
        for (code, routed, timed) in [
            (100, false, true),
            (180, true, false),
            (200, true, false),
            (500, false, false),
        ] {
            assert_eq!(of(code).contains(route), routed, "{code}");
            assert_eq!(of(code).contains("Timestamp: 54\r\n"), timed, "{code}");
        }
    }

    #[test]
    fn rport_brings_the_answer_back_to_the_source() {
        let request = invite(
            "SIP/2.0/UDP 10.0.0.1:5070;rport;branch=z9hG4bK1;received=203.0.113.9;x=y , SIP/2.0/TCP b.example",
        );
        let (text, destination) = answer(&request, "192.0.2.77:40000", 100, None);
        assert!(text.contains(
            "\r\nVia: SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1;x=y;received=192.0.2.77;rport=40000, SIP/2.0/TCP b.example\r\n"
        ), "{text}");
        assert_eq!(destination, "192.0.2.77:40000".parse().unwrap());
    }

    #[test]
    fn without_rport_the_answer_goes_to_the_port_of_sent_by_at_the_source_address() {
        let request = invite("SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1;maddr=203.0.113.1");
        let (text, destination) = answer(&request, "192.0.2.77:40000", 100, None);
        assert!(text.contains(";received=192.0.2.77\r\n"), "{text}");
        assert_eq!(destination, "192.0.2.77:5070".parse().unwrap());
    }

    #[test]
    fn an_ipv6_source_stands_bare_in_received() {
        let request = invite("SIP/2.0/UDP [2001:db8::9]:5070;rport;branch=z9hG4bK1");
        let (text, destination) = answer(&request, "[2001:db8::7]:40000", 100, None);
        assert!(text.contains("SIP/2.0/UDP [2001:db8::9]:5070;branch=z9hG4bK1;received=2001:db8::7;rport=40000\r\n"), "{text}");
        assert_eq!(destination, "[2001:db8::7]:40000".parse().unwrap());
    }

    #[test]
    fn a_tag_that_is_there_stays() {
        let request =
            invite("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1").replace("9>;\r\n", "9>;tag=old\r\n");
        let (text, _) = answer(&request, "192.0.2.1:5060", 200, Some("new"));
        assert!(
            text.contains("To: <sip:100@192.0.2.9>;tag=old\r\n"),
            "{text}"
        );
    }

    #[test]
    fn bytes_that_are_not_utf_8_go_back_as_they_came() {
        let mut request = b"OPTIONS sip:a@b.example SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: \"Andr\xe9\" <sip:a@a.example>;tag=1\nTo: <sip:b@b.example>\nCall-ID: c\nCSeq: 1 OPTIONS\n\n".to_vec();
        request.push(0xff);
        let message = SipMessage::parse(&request).unwrap();
        let head = ReplyHead::new(message.headers(), "192.0.2.1:5060".parse().unwrap());
        let mut out = [0; 2_000];
        let length =
            write_response(&head, Some("t"), &rsip::Response::default(), &mut out).unwrap();
        let wanted = b"From: \"Andr\xe9\" <sip:a@a.example>;tag=1\r\n";
        assert!(
            out[..length]
                .windows(wanted.len())
                .any(|window| window == wanted)
        );
    }

    #[test]
    fn a_refused_request_is_answered_with_what_it_has() {
        let refused = SipMessage::parse(
            b"INVITE sip:a@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.15;;,;,,\r\nCSeq: 8 INVITE\r\n\r\n",
        )
        .unwrap_err();
        let head = ReplyHead::new(
            &refused.answer_to.unwrap(),
            "192.0.2.15:5060".parse().unwrap(),
        );
        let response = rsip::Response {
            status_code: refused.fault.status(),
            ..rsip::Response::default()
        };
        let mut out = [0; 2_000];
        let length = write_response(&head, Some("t"), &response, &mut out).unwrap();
        assert_eq!(
            core::str::from_utf8(&out[..length]).unwrap(),
            "SIP/2.0 400 Malformed Via\r\nVia: SIP/2.0/UDP 192.0.2.15,;,,\r\nCSeq: 8 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
