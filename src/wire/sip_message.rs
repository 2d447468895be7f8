//! One SIP message (RFC 3261 section 7) as a checked view of its bytes.
//!
//! Every field that a user agent needs is read and checked on parsing, so that its accessor cannot
//! fail. What is wrong is told by a [`SipFault`]; a request that can be answered gives its header
//! fields along for the answer. Not judged here: unknown methods, extensions, the body, Date.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::ops::Deref;

use super::sip_fault::{SipError, SipFault};
use super::sip_header::{CSeq, MediaType, NameAddr};
use super::sip_index::{Indexed, SipHeaders};
use super::sip_method::Method;
use super::sip_name::HeaderName;
use super::sip_text::{self, cut_at};
use super::sip_uri::{Scheme, Uri};
use super::sip_via::Via;
use crate::limits::SIP_MESSAGE_BYTES;

/// A message whose start line, mandatory fields and body length are in order.
#[derive(Clone, Debug)]
pub struct SipMessage<'a> {
    start: StartLine<'a>,
    headers: SipHeaders<'a>,
    via: Via<'a>,
    from: NameAddr<'a>,
    to: NameAddr<'a>,
    call_id: &'a str,
    cseq: CSeq<'a>,
    body: &'a [u8],
}

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// Of a request.
    Request {
        /// Its method.
        method: Method<'a>,
        /// Its Request-URI, of scheme sip, sips or tel.
        uri: Uri<'a>,
    },
    /// Of a response.
    Status {
        /// 100 to 699.
        code: u16,
        /// The reason phrase, any bytes, perhaps none.
        reason: &'a [u8],
    },
}

impl<'a> SipMessage<'a> {
    /// Reads a datagram: a body longer than Content-Length is cut, a shorter one is an error, and
    /// without Content-Length it is all that is there (RFC 3261 section 18.3).
    pub fn parse(datagram: &'a [u8]) -> Result<Self, SipError<'a>> {
        read(datagram, Carrier::Datagram)
    }

    /// Reads a message that a [`super::sip_frame::StreamFramer`] gave: Content-Length has to be there.
    pub fn parse_stream(message: &'a [u8]) -> Result<Self, SipError<'a>> {
        read(message, Carrier::Stream)
    }

    /// The first line.
    pub fn start(&self) -> &StartLine<'a> {
        &self.start
    }

    /// The method of a request; nothing for a response.
    pub fn method(&self) -> Option<Method<'a>> {
        match self.start {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Status { .. } => None,
        }
    }

    /// The Request-URI of a request.
    pub fn request_uri(&self) -> Option<&Uri<'a>> {
        match &self.start {
            StartLine::Request { uri, .. } => Some(uri),
            StartLine::Status { .. } => None,
        }
    }

    /// The code of a response.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            StartLine::Request { .. } => None,
            StartLine::Status { code, .. } => Some(code),
        }
    }

    /// The header fields.
    pub fn headers(&self) -> &SipHeaders<'a> {
        &self.headers
    }

    /// The top Via.
    pub fn via(&self) -> &Via<'a> {
        &self.via
    }

    /// From.
    pub fn from(&self) -> &NameAddr<'a> {
        &self.from
    }

    /// To.
    pub fn to(&self) -> &NameAddr<'a> {
        &self.to
    }

    /// Call-ID.
    pub fn call_id(&self) -> &'a str {
        self.call_id
    }

    /// CSeq.
    pub fn cseq(&self) -> &CSeq<'a> {
        &self.cseq
    }

    /// The first Contact: the remote target.
    pub fn contact(&self) -> Option<NameAddr<'a>> {
        self.headers.contacts().next()
    }

    /// The body, perhaps empty.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

impl<'a> Deref for SipMessage<'a> {
    type Target = SipHeaders<'a>;

    fn deref(&self) -> &SipHeaders<'a> {
        &self.headers
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Datagram,
    Stream,
}

fn read(bytes: &[u8], carrier: Carrier) -> Result<SipMessage<'_>, SipError<'_>> {
    let silent = |fault| SipError {
        fault,
        answer_to: None,
    };
    let begin = bytes
        .iter()
        .position(|b| !b"\r\n".contains(b))
        .ok_or(silent(SipFault::KeepAlive))?;
    let bytes = bytes.get(begin..).unwrap_or_default();
    if bytes.len() > SIP_MESSAGE_BYTES {
        return Err(silent(SipFault::TooLarge));
    }
    let (line, rest) = first_line(bytes).ok_or(silent(SipFault::NotSip))?;
    let (kind, start) = read_start(line).ok_or(silent(SipFault::NotSip))?;
    let indexed = SipHeaders::index(rest);
    check(start, &indexed, carrier).map_err(|fault| SipError {
        fault,
        answer_to: answerable(kind, &indexed.headers).map(Box::new),
    })
}

/// Splits off the start line, its line end left out.
pub(super) fn first_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == b'\n')?;
    let (line, rest) = cut_at(bytes, end);
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Ack,
    Response,
}

/// The headers, when an answer is due and there is a way back for it.
fn answerable<'a>(kind: Kind, headers: &SipHeaders<'a>) -> Option<SipHeaders<'a>> {
    let way_back = headers
        .values(HeaderName::Via)
        .next()
        .and_then(Via::parse_for_answer);
    (kind == Kind::Request && way_back.is_some()).then(|| headers.clone())
}

/// What a start line is, and what it says or what is wrong with it. `None`: not SIP.
fn read_start(line: &[u8]) -> Option<(Kind, Result<StartLine<'_>, SipFault>)> {
    if is_version(line.get(..4)?) {
        return Some((Kind::Response, read_status(line)));
    }
    let last = line
        .trim_ascii_end()
        .rsplit(u8::is_ascii_whitespace)
        .next()?;
    if !is_version(last.get(..4)?) {
        return None;
    }
    let kind = if line.starts_with(b"ACK ") {
        Kind::Ack
    } else {
        Kind::Request
    };
    Some((kind, check_version(last).and_then(|()| read_request(line))))
}

fn is_version(start: &[u8]) -> bool {
    start.eq_ignore_ascii_case(b"SIP/")
}

fn check_version(word: &[u8]) -> Result<(), SipFault> {
    if word.eq_ignore_ascii_case(b"SIP/2.0") {
        return Ok(());
    }
    let number = word.get(4..).unwrap_or_default();
    if number.iter().all(|b| b.is_ascii_digit() || *b == b'.') {
        return Err(SipFault::Version);
    }
    Err(SipFault::StartLine)
}

fn read_request(line: &[u8]) -> Result<StartLine<'_>, SipFault> {
    let mut words = line.split(|&b| b == b' ');
    let (Some(method), Some(uri), Some(_version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(SipFault::StartLine);
    };
    let method = Method::parse(method).ok_or(SipFault::StartLine)?;
    let uri = Uri::parse(uri).ok_or(SipFault::RequestUri)?;
    if matches!(uri.scheme, Scheme::Other(_)) {
        return Err(SipFault::Scheme);
    }
    if uri.headers.is_some() {
        return Err(SipFault::RequestUri);
    }
    Ok(StartLine::Request { method, uri })
}

fn read_status(line: &[u8]) -> Result<StartLine<'_>, SipFault> {
    let gap = line
        .iter()
        .position(|&b| b == b' ')
        .ok_or(SipFault::StartLine)?;
    let (version, rest) = cut_at(line, gap);
    check_version(version)?;
    let (code, reason) = match rest.iter().position(|&b| b == b' ') {
        Some(gap) => cut_at(rest, gap),
        None => (rest, Default::default()),
    };
    let code = sip_text::decimal(code)
        .filter(|number| code.len() == 3 && (100..700).contains(number))
        .and_then(|number| u16::try_from(number).ok())
        .ok_or(SipFault::StartLine)?;
    Ok(StartLine::Status { code, reason })
}

/// Fields that stand once in a message.
const SINGLE: [HeaderName; 7] = [
    HeaderName::From,
    HeaderName::To,
    HeaderName::CallId,
    HeaderName::CSeq,
    HeaderName::MaxForwards,
    HeaderName::ContentLength,
    HeaderName::ContentType,
];

fn check<'a>(
    start: Result<StartLine<'a>, SipFault>,
    indexed: &Indexed<'a>,
    carrier: Carrier,
) -> Result<SipMessage<'a>, SipFault> {
    let headers = &indexed.headers;
    let start = start?;
    indexed.fault.map_or(Ok(()), Err)?;
    if let Some(name) = SINGLE.into_iter().find(|&name| headers.count(name) > 1) {
        return Err(SipFault::Repeated(name));
    }
    let field = |name| headers.first(name).ok_or(SipFault::Missing(name));
    let address = |name| {
        field(name).and_then(|value| NameAddr::parse(value).ok_or(SipFault::Malformed(name)))
    };
    field(HeaderName::Via)?;
    let via = headers
        .values(HeaderName::Via)
        .next()
        .and_then(Via::parse)
        .ok_or(SipFault::Malformed(HeaderName::Via))?;
    let from = address(HeaderName::From)?;
    let to = address(HeaderName::To)?;
    let call_id =
        read_call_id(field(HeaderName::CallId)?).ok_or(SipFault::Malformed(HeaderName::CallId))?;
    let cseq =
        CSeq::parse(field(HeaderName::CSeq)?).ok_or(SipFault::Malformed(HeaderName::CSeq))?;
    if let StartLine::Request { method, .. } = start
        && method != cseq.method
    {
        return Err(SipFault::CSeqMethod);
    }
    check_others(headers)?;
    Ok(SipMessage {
        start,
        headers: headers.clone(),
        via,
        from,
        to,
        call_id,
        cseq,
        body: read_body(headers, indexed.rest, carrier)?,
    })
}

/// Fields that need not be there, and have to be readable where they are.
fn check_others(headers: &SipHeaders<'_>) -> Result<(), SipFault> {
    for name in [
        HeaderName::Contact,
        HeaderName::RecordRoute,
        HeaderName::Route,
    ] {
        let readable = |value: &[u8]| {
            NameAddr::parse(value).is_some() || (name == HeaderName::Contact && value == b"*")
        };
        if !headers.values(name).all(readable) {
            return Err(SipFault::Malformed(name));
        }
    }
    let unreadable = |name, read: bool| headers.first(name).is_some() && !read;
    if unreadable(HeaderName::MaxForwards, headers.max_forwards().is_some()) {
        return Err(SipFault::Malformed(HeaderName::MaxForwards));
    }
    let content_type: Option<MediaType<'_>> = headers.content_type();
    if unreadable(HeaderName::ContentType, content_type.is_some()) {
        return Err(SipFault::Malformed(HeaderName::ContentType));
    }
    Ok(())
}

fn read_call_id(value: &[u8]) -> Option<&str> {
    let legal = value.iter().all(|&b| b > b' ' && b != 0x7f);
    let text = core::str::from_utf8(value).ok()?;
    (legal && !text.is_empty()).then_some(text)
}

fn read_body<'a>(
    headers: &SipHeaders<'a>,
    rest: &'a [u8],
    carrier: Carrier,
) -> Result<&'a [u8], SipFault> {
    match (headers.content_length()?, carrier) {
        (Some(length), _) => rest.get(..length).ok_or(SipFault::BodyCut),
        (None, Carrier::Datagram) => Ok(rest),
        (None, Carrier::Stream) => Err(SipFault::Missing(HeaderName::ContentLength)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
                        To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 ";

    fn fault(bytes: &[u8]) -> (SipFault, bool) {
        let error = SipMessage::parse(bytes).unwrap_err();
        (error.fault, error.answer_to.is_some())
    }

    #[test]
    fn a_datagram_may_begin_with_line_ends_and_end_lines_with_lf_alone() {
        let text =
            format!("\r\n\r\nBYE sip:b@h SIP/2.0\r\n{REST}BYE\r\n\r\nbody").replace('\r', "");
        let message = SipMessage::parse(text.as_bytes()).unwrap();
        assert_eq!(message.method().unwrap(), rsip::Method::Bye);
        assert_eq!((message.call_id(), message.body()), ("c", &b"body"[..]));
    }

    #[test]
    fn a_body_is_as_long_as_content_length_says() {
        let with = |length: &str, body: &str| {
            format!("BYE sip:b@h SIP/2.0\r\n{REST}BYE\r\n{length}\r\n{body}")
        };
        let (long, exact) = (with("l: 2\r\n", "abc"), with("l: 3\r\n", "abc"));
        assert_eq!(SipMessage::parse(long.as_bytes()).unwrap().body(), b"ab");
        assert_eq!(SipMessage::parse(exact.as_bytes()).unwrap().body(), b"abc");
        assert_eq!(
            fault(with("l: 4\r\n", "abc").as_bytes()),
            (SipFault::BodyCut, true)
        );
        let none = with("", "abc");
        assert_eq!(SipMessage::parse(none.as_bytes()).unwrap().body(), b"abc");
        let error = SipMessage::parse_stream(none.as_bytes()).unwrap_err();
        assert_eq!(error.fault, SipFault::Missing(HeaderName::ContentLength));
    }

    #[test]
    fn what_is_not_sip_is_dropped() {
        let large = "x".repeat(SIP_MESSAGE_BYTES + 1);
        for (bytes, wanted) in [
            ("", SipFault::KeepAlive),
            ("\r\n\r\n", SipFault::KeepAlive),
            ("\0", SipFault::NotSip),
            (
                "GET / HTTP/1.1\r\nVia: SIP/2.0/UDP h\r\n\r\n",
                SipFault::NotSip,
            ),
            ("BYE sip:b@h SIP/2.0", SipFault::NotSip),
            (&large, SipFault::TooLarge),
        ] {
            assert_eq!(fault(bytes.as_bytes()), (wanted, false), "{bytes:.20}");
        }
    }

    #[test]
    fn no_ack_no_response_and_nothing_without_a_way_back_is_answered() {
        let ack = format!("ACK sip:b@h SIP/2.0\r\n{REST}BYE\r\n\r\n");
        assert_eq!(fault(ack.as_bytes()), (SipFault::CSeqMethod, false));
        let response = format!("SIP/2.0 200 OK\r\n{REST}bad method\r\n\r\n");
        assert_eq!(
            fault(response.as_bytes()),
            (SipFault::Malformed(HeaderName::CSeq), false)
        );
        let lost = format!("BYE sip:b@h SIP/2.0\r\n{REST}BYE\r\n\r\n").replace("192.0.2.1", "?");
        assert_eq!(
            fault(lost.as_bytes()),
            (SipFault::Malformed(HeaderName::Via), false)
        );
        let without = "BYE sip:b@h SIP/2.0\r\nCSeq: 1 BYE\r\n\r\n";
        assert_eq!(
            fault(without.as_bytes()),
            (SipFault::Missing(HeaderName::Via), false)
        );
    }

    #[test]
    fn a_message_cut_in_its_header_fields_is_no_message() {
        let text = format!("BYE sip:b@h SIP/2.0\r\n{REST}BYE\r\n\r\n");
        let via_whole = text.find("From").unwrap();
        for length in 0..text.len() {
            let read = SipMessage::parse(&text.as_bytes()[..length]);
            let error = read.unwrap_err();
            assert_eq!(error.answer_to.is_some(), length >= via_whole, "{length}");
        }
    }

    #[test]
    fn a_status_line_needs_three_digits_and_nothing_more() {
        let read = |line: &str| {
            let text = format!("{line}\r\n{REST}BYE\r\n\r\n");
            SipMessage::parse(text.as_bytes())
                .map(|m| m.status())
                .map_err(|e| e.fault)
        };
        assert_eq!(read("SIP/2.0 200"), Ok(Some(200)));
        assert_eq!(read("sip/2.0 481 No: call / here"), Ok(Some(481)));
        for bad in [
            "SIP/2.0 20 OK",
            "SIP/2.0 099 X",
            "SIP/2.0 700 X",
            "SIP/2.0 +20 X",
            "SIP/2.0  200 OK",
            "SIP/2.0",
        ] {
            assert_eq!(read(bad), Err(SipFault::StartLine), "{bad}");
        }
        assert_eq!(read("SIP/3.0 200 OK"), Err(SipFault::Version));
    }

    #[test]
    fn a_tel_request_uri_is_one_to_call() {
        let text = format!("INVITE tel:+1555 SIP/2.0\r\n{REST}INVITE\r\n\r\n");
        let message = SipMessage::parse(text.as_bytes()).unwrap();
        assert_eq!(message.request_uri().unwrap().user_text().unwrap(), "+1555");
    }
}
