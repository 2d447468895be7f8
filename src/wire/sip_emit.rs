//! Prints `rsip::Request` and `rsip::Response` into a caller's buffer.
//!
//! Header values and parameters print through rsip. What rsip prints wrongly is done here: reason
//! phrases (it writes `BusyHere`), IPv6 hosts (without brackets), bodies (through lossy UTF-8).
//! Content-Length is always that of the body, whatever the headers say. A line end within a value
//! becomes a space, so no value can begin a header line of its own.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt::{self, Write};
use core::net::IpAddr;

use super::sip_reply::ReplyHead;
use super::sip_uri::Host;
use crate::limits::SIP_MESSAGE_BYTES;

/// The message does not fit into the buffer; nothing of it is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// Prints a request; gives its length.
pub fn write_request(request: &rsip::Request, out: &mut [u8]) -> Result<usize, Overflow> {
    let mut writer = Writer::new(out);
    writer.text(format_args!("{} ", request.method))?;
    writer.uri(&request.uri)?;
    writer.bytes(b" SIP/2.0\r\n")?;
    writer.headers(&request.headers)?;
    writer.body(&request.body)?;
    Ok(writer.length)
}

/// Prints a response to the request that `head` was made of; gives its length.
///
/// `head` brings Via, From, To, Call-ID and CSeq as they came, Record-Route into answers from 101 to
/// 299, and Timestamp into a 100; `to_tag` is added to a To that has none. `response` brings status,
/// further headers and body.
pub fn write_response(
    head: &ReplyHead,
    to_tag: Option<&str>,
    response: &rsip::Response,
    out: &mut [u8],
) -> Result<usize, Overflow> {
    let mut writer = Writer::new(out);
    let code = response.status_code.code();
    writer.text(format_args!("SIP/2.0 {code} "))?;
    match &response.status_code {
        rsip::StatusCode::Other(_, phrase) if phrase != "Other" => {
            writer.text(format_args!("{phrase}"))?;
        }
        _ => writer.bytes(reason_phrase(code).as_bytes())?,
    }
    writer.bytes(b"\r\n")?;
    head.write(code, to_tag, &mut writer)?;
    writer.headers(&response.headers)?;
    writer.body(&response.body)?;
    Ok(writer.length)
}

/// A host as it stands in a URI or Via: IPv6 in brackets.
pub fn host_text(address: IpAddr) -> String {
    Host::Ip(address).to_string()
}

/// A URI as a request line has it: what digest credentials name as `uri`.
pub fn uri_text(uri: &rsip::Uri) -> String {
    let mut out = vec![0; SIP_MESSAGE_BYTES];
    let mut writer = Writer::new(&mut out);
    // One that does not fit cannot be sent either.
    let length = writer.uri(uri).map_or(0, |()| writer.length);
    String::from_utf8_lossy(out.get(..length).unwrap_or_default()).into_owned()
}

/// The reason phrase of RFC 3261 and its extensions for a status code.
pub fn reason_phrase(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        469 => "Bad Info Package",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => match code / 100 {
            1 => "Session Progress",
            2 => "OK",
            3 => "Redirected",
            4 => "Request Failed",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}

/// A message growing in a buffer.
pub(super) struct Writer<'o> {
    out: &'o mut [u8],
    length: usize,
}

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut [u8]) -> Self {
        Self { out, length: 0 }
    }

    /// Bytes written so far.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Adds bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
        let end = self.length.checked_add(bytes.len()).ok_or(Overflow)?;
        let room = self.out.get_mut(self.length..end).ok_or(Overflow)?;
        room.copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    /// Adds what something displays as, on one line.
    pub(super) fn text(&mut self, text: fmt::Arguments<'_>) -> Result<(), Overflow> {
        OneLine(self).write_fmt(text).map_err(|fmt::Error| Overflow)
    }

    fn headers(&mut self, headers: &rsip::Headers) -> Result<(), Overflow> {
        for header in headers.iter() {
            if !is_content_length(header) {
                self.text(format_args!("{header}"))?;
                self.bytes(b"\r\n")?;
            }
        }
        Ok(())
    }

    fn body(&mut self, body: &[u8]) -> Result<(), Overflow> {
        self.text(format_args!("Content-Length: {}", body.len()))?;
        self.bytes(b"\r\n\r\n")?;
        self.bytes(body)
    }

    fn uri(&mut self, uri: &rsip::Uri) -> Result<(), Overflow> {
        if let Some(scheme) = &uri.scheme {
            self.text(format_args!("{scheme}:"))?;
        }
        if let Some(auth) = &uri.auth {
            self.text(format_args!("{auth}@"))?;
        }
        match &uri.host_with_port.host {
            rsip::Host::IpAddr(address) => self.text(format_args!("{}", Host::Ip(*address)))?,
            rsip::Host::Domain(domain) => self.text(format_args!("{domain}"))?,
        }
        if let Some(port) = &uri.host_with_port.port {
            self.text(format_args!(":{port}"))?;
        }
        for param in &uri.params {
            self.text(format_args!("{param}"))?;
        }
        Ok(())
    }
}

fn is_content_length(header: &rsip::Header) -> bool {
    match header {
        rsip::Header::ContentLength(_) => true,
        rsip::Header::Other(name, _) => {
            name.eq_ignore_ascii_case("Content-Length") || name.eq_ignore_ascii_case("l")
        }
        _ => false,
    }
}

/// Writes text with its line ends made spaces.
struct OneLine<'w, 'o>(&'w mut Writer<'o>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (index, piece) in text.split(['\r', '\n']).enumerate() {
            if index > 0 {
                self.0.bytes(b" ").map_err(|Overflow| fmt::Error)?;
            }
            self.0
                .bytes(piece.as_bytes())
                .map_err(|Overflow| fmt::Error)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sip_message::SipMessage;
    use crate::wire::sip_name::HeaderName;

    const REQUEST: &[u8] = b"INFO sip:a%20b:pw@[2001:db8::1]:5070;transport=tcp;lr SIP/2.0\r\n\
        v: SIP/2.0/TCP [2001:db8::2];branch=z9hG4bK1, SIP/2.0/UDP h.example\r\n\
        f: <sip:c@[2001:db8::3]>;tag=1\r\nt: <sip:a@b.example>\r\ni: x\r\nCSeq: 1 INFO\r\n\
        X-Own: \xff\xfe\r\nl: 3\r\n\r\n\xff\0\n";

    fn request() -> rsip::Request {
        match SipMessage::parse(REQUEST).unwrap().to_rsip() {
            Some(rsip::SipMessage::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_survives_the_way_through_rsip() {
        let mut out = [0; 1_000];
        let length = write_request(&request(), &mut out).unwrap();
        let printed = SipMessage::parse(&out[..length]).unwrap();
        let original = SipMessage::parse(REQUEST).unwrap();
        assert_eq!(printed.start(), original.start());
        assert_eq!(printed.vias().count(), 2);
        assert_eq!(printed.via().branch, original.via().branch);
        assert_eq!(printed.via().host, original.via().host);
        assert_eq!(printed.from().uri, original.from().uri);
        assert_eq!(printed.cseq(), original.cseq());
        assert_eq!(printed.body(), b"\xff\0\n");
        assert_eq!(printed.count(HeaderName::ContentLength), 1);
        assert_eq!(printed.all_named("x-own").count(), 1);
    }

    #[test]
    fn an_ipv6_address_of_rsip_gets_its_brackets() {
        let mut request = request();
        request.uri.host_with_port.host = rsip::Host::IpAddr("2001:db8::5".parse().unwrap());
        let mut out = [0; 1_000];
        let length = write_request(&request, &mut out).unwrap();
        assert!(
            out[..length]
                .starts_with(b"INFO sip:a%20b:pw@[2001:db8::5]:5070;transport=tcp;lr SIP/2.0\r\n")
        );
        assert_eq!(host_text("::1".parse().unwrap()), "[::1]");
        assert_eq!(host_text("192.0.2.1".parse().unwrap()), "192.0.2.1");
    }

    #[test]
    fn a_buffer_one_byte_short_is_an_overflow() {
        let request = request();
        let mut out = [0; 1_000];
        let length = write_request(&request, &mut out).unwrap();
        assert_eq!(write_request(&request, &mut out[..length]), Ok(length));
        for short in 0..length {
            assert_eq!(write_request(&request, &mut out[..short]), Err(Overflow));
        }
    }

    #[test]
    fn a_value_cannot_begin_a_line_of_its_own() {
        let mut request = request();
        request.headers.push(rsip::Header::Other(
            "X".into(),
            "a\r\nEvil: yes\r\n\r\n".into(),
        ));
        let mut out = [0; 1_000];
        let length = write_request(&request, &mut out).unwrap();
        let printed = SipMessage::parse(&out[..length]).unwrap();
        assert_eq!(printed.all_named("Evil").count(), 0);
        assert_eq!(printed.body(), b"\xff\0\n");
    }

    #[test]
    fn reason_phrases_have_their_spaces_and_own_ones_stand() {
        let headers = SipMessage::parse(REQUEST).unwrap();
        let head = ReplyHead::new(headers.headers(), "192.0.2.1:5060".parse().unwrap());
        let line = |status_code: rsip::StatusCode| {
            let response = rsip::Response {
                status_code,
                ..rsip::Response::default()
            };
            let mut out = [0; 1_000];
            let length = write_response(&head, None, &response, &mut out).unwrap();
            let end = out[..length].iter().position(|&b| b == b'\r').unwrap();
            String::from_utf8(out[..end].to_vec()).unwrap()
        };
        assert_eq!(line(rsip::StatusCode::BusyHere), "SIP/2.0 486 Busy Here");
        assert_eq!(line(rsip::StatusCode::from(200)), "SIP/2.0 200 OK");
        assert_eq!(line(rsip::StatusCode::from(299)), "SIP/2.0 299 OK");
        assert_eq!(
            line(rsip::StatusCode::Other(400, "Missing To".into())),
            "SIP/2.0 400 Missing To"
        );
    }
}
