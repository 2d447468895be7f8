//! The head of an HTTP/1.1 request (RFC 9110, RFC 9112), strictly.
//!
//! What two readers of the same bytes could understand differently is refused: any
//! `Transfer-Encoding`, a `Content-Length` that is repeated or more than digits, a line that ends in
//! a bare LF, a folded line, a missing or repeated `Host`. Bodies are bounded and have a length;
//! there are no trailers and no upgrades.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;

pub use embedded_svc::http::Method;
use embedded_svc::http::{Headers, Query};

use crate::limits::{HTTP_BODY_BYTES, HTTP_HEAD_BYTES, HTTP_HEADERS};

/// Why a request is refused; its connection is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpFault {
    /// Not HTTP, or not as RFC 9112 has it.
    Syntax,
    /// A line ends in LF without CR.
    BareLf,
    /// The request line does not fit [`HTTP_HEAD_BYTES`].
    TargetTooLong,
    /// The head does not fit [`HTTP_HEAD_BYTES`], or has more than [`HTTP_HEADERS`] lines.
    HeadTooLarge,
    /// The body is longer than [`HTTP_BODY_BYTES`], or than whoever asks may send.
    BodyTooLarge,
    /// A version other than 1.0 and 1.1.
    Version,
    /// A `Transfer-Encoding`, alone.
    TransferEncoding,
    /// A `Transfer-Encoding` beside a `Content-Length`, or in a request of version 1.0.
    TwoLengths,
    /// A `Content-Length` that is repeated or not a number.
    Length,
    /// No `Host` in version 1.1, several, or one that is no host.
    Host,
    /// A header field repeated that may be there once.
    Repeated,
    /// An `Expect` other than `100-continue`.
    Expectation,
    /// The request did not come in time.
    Timeout,
}

impl HttpFault {
    /// The status code that says so.
    pub const fn status(self) -> u16 {
        match self {
            Self::Syntax
            | Self::BareLf
            | Self::TwoLengths
            | Self::Length
            | Self::Host
            | Self::Repeated => 400,
            Self::Timeout => 408,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge => 431,
            Self::TransferEncoding => 501,
            Self::Version => 505,
        }
    }
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "not an HTTP request",
            Self::BareLf => "a line ends in LF without CR",
            Self::TargetTooLong => "the address of the request is too long",
            Self::HeadTooLarge => "the header fields are too long or too many",
            Self::BodyTooLarge => "the body is too long",
            Self::Version => "expected HTTP/1.1",
            Self::TransferEncoding => "no Transfer-Encoding is taken: send a Content-Length",
            Self::TwoLengths => "Transfer-Encoding and Content-Length exclude one another",
            Self::Length => "expected one Content-Length of digits",
            Self::Host => "expected one Host",
            Self::Repeated => "a header field is repeated",
            Self::Expectation => "the only expectation taken is 100-continue",
            Self::Timeout => "the request did not come in time",
        })
    }
}

impl core::error::Error for HttpFault {}

/// Where the head ends that begins with these bytes, the empty line included; `None` while its end
/// has not come. The first `seen` bytes were looked at by an earlier call.
///
/// # Errors
///
/// It will never be a head, or is too long for one.
pub fn head_end(bytes: &[u8], seen: usize) -> Result<Option<usize>, HttpFault> {
    for (at, byte) in bytes.iter().enumerate().take(HTTP_HEAD_BYTES).skip(seen) {
        let before = bytes.get(..at).unwrap_or_default();
        match byte {
            b'\n' if !before.ends_with(b"\r") => return Err(HttpFault::BareLf),
            b'\n' if before.ends_with(b"\r\n\r") => return Ok(at.checked_add(1)),
            // A method begins a head; TLS and other protocols are told apart by their first byte.
            byte if at == 0 && !byte.is_ascii_alphabetic() => return Err(HttpFault::Syntax),
            _ => {}
        }
    }
    if bytes.len() < HTTP_HEAD_BYTES {
        return Ok(None);
    }
    let head = bytes.get(..HTTP_HEAD_BYTES).unwrap_or_default();
    Err(match head.contains(&b'\n') {
        true => HttpFault::HeadTooLarge,
        false => HttpFault::TargetTooLong,
    })
}

/// A part of the head's bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u16,
    end: u16,
}

/// A request without its body. Prints without its header fields, which may hold a password.
#[derive(Clone)]
pub struct Head {
    bytes: Box<[u8]>,
    /// `None` where nobody knows it.
    method: Option<Method>,
    target: Span,
    headers: heapless::Vec<(Span, Span), HTTP_HEADERS>,
    minor: u8,
    body: usize,
    keep_alive: bool,
    expects_continue: bool,
}

impl Head {
    /// Reads a whole head, as [`head_end`] delimits it.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, HttpFault> {
        Self::parse_up_to(bytes, HTTP_BODY_BYTES)
    }

    /// The same where a body may have so many bytes.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn parse_up_to(bytes: &[u8], most: usize) -> Result<Self, HttpFault> {
        let mut lines = [httparse::EMPTY_HEADER; HTTP_HEADERS];
        let mut request = httparse::Request::new(&mut lines);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(HttpFault::Syntax),
            Err(httparse::Error::TooManyHeaders) => return Err(HttpFault::HeadTooLarge),
            Err(httparse::Error::Version) => return Err(HttpFault::Version),
            Err(_) => return Err(HttpFault::Syntax),
        }
        let method = method(request.method.unwrap_or_default());
        let minor = request.version.unwrap_or_default();
        let target = target(request.path.unwrap_or_default(), method)?;
        let mut head = Self {
            method,
            target: span(bytes, target.as_bytes()),
            headers: heapless::Vec::new(),
            minor,
            body: 0,
            keep_alive: minor == 1,
            expects_continue: false,
            bytes: bytes.into(),
        };
        for line in request.headers.iter() {
            let field = (span(bytes, line.name.as_bytes()), span(bytes, line.value));
            let pushed = head.headers.push(field);
            pushed.map_err(|_| HttpFault::HeadTooLarge)?;
        }
        head.check(most)?;
        Ok(head)
    }

    /// Takes over what the header fields say of the message itself.
    fn check(&mut self, most: usize) -> Result<(), HttpFault> {
        let (mut hosts, mut lengths, mut logins) = (0_u8, 0_u8, 0_u8);
        let (mut body, mut encoded) = (0, false);
        let (mut close, mut expects) = (false, false);
        for (name, value) in self.fields() {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("host") {
                hosts = hosts.saturating_add(1);
                if !is_host(value) {
                    return Err(HttpFault::Host);
                }
            } else if is("content-length") {
                lengths = lengths.saturating_add(1);
                body = length(value)?;
            } else if is("transfer-encoding") {
                encoded = true;
            } else if is("authorization") {
                logins = logins.saturating_add(1);
            } else if is("expect") {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(HttpFault::Expectation);
                }
                expects = true;
            } else if is("connection") {
                close |= value
                    .split(|byte| *byte == b',')
                    .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"));
            }
        }
        match (encoded, lengths) {
            (true, 0) if self.minor == 1 => return Err(HttpFault::TransferEncoding),
            (true, _) => return Err(HttpFault::TwoLengths),
            (false, 0 | 1) => {}
            (false, _) => return Err(HttpFault::Length),
        }
        if hosts > 1 || (hosts == 0 && self.minor == 1) {
            return Err(HttpFault::Host);
        }
        if logins > 1 {
            return Err(HttpFault::Repeated);
        }
        if body > most {
            return Err(HttpFault::BodyTooLarge);
        }
        self.body = body;
        self.keep_alive &= !close;
        self.expects_continue = expects && self.minor == 1;
        Ok(())
    }

    /// Whether the method is one of RFC 9110, section 9.3, or PATCH.
    pub const fn knows_method(&self) -> bool {
        self.method.is_some()
    }

    /// Minor version: 0 or 1.
    pub const fn minor_version(&self) -> u8 {
        self.minor
    }

    /// Bytes of the body that follows.
    pub const fn body_length(&self) -> usize {
        self.body
    }

    /// Whether the client wants to send further requests over the connection. Clients of version
    /// 1.0 get none.
    pub const fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the client may wait for a 100 before it sends the body.
    pub const fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// The path of the request, without query and not decoded.
    pub fn path(&self) -> &str {
        let target = self.uri();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| {
            let name = core::str::from_utf8(self.part(*name)).unwrap_or_default();
            (name, self.part(*value))
        })
    }

    fn part(&self, span: Span) -> &[u8] {
        self.bytes
            .get(usize::from(span.start)..usize::from(span.end))
            .unwrap_or_default()
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({:?} {})", self.method(), self.path())
    }
}

impl Headers for Head {
    /// The first field of a name, unless it is no text.
    fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields();
        let (_, value) = fields.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        core::str::from_utf8(value).ok()
    }
}

impl Query for Head {
    fn uri(&self) -> &str {
        core::str::from_utf8(self.part(self.target)).unwrap_or_default()
    }

    /// TRACE in place of a method that nobody knows: nothing takes either, and
    /// [`Head::knows_method`] tells them apart.
    fn method(&self) -> Method {
        self.method.unwrap_or(Method::Trace)
    }
}

/// Where a part of `whole` lies in it. The head is bounded far below what 16 bits count.
fn span(whole: &[u8], part: &[u8]) -> Span {
    let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    let end = start.wrapping_add(part.len());
    Span {
        start: u16::try_from(start).unwrap_or_default(),
        end: u16::try_from(end).unwrap_or_default(),
    }
}

/// Methods of RFC 9110, section 9.3, and PATCH. Whether a path takes them is not known here, nor what to
/// say of others.
fn method(name: &str) -> Option<Method> {
    Some(match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        _ => return None,
    })
}

/// Path and query of a request target in origin-form, absolute-form or asterisk-form (RFC 9112,
/// section 3.2).
fn target(text: &str, method: Option<Method>) -> Result<&str, HttpFault> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(HttpFault::Syntax);
    }
    if text.starts_with('/') || (text == "*" && method == Some(Method::Options)) {
        return Ok(text);
    }
    let (scheme, rest) = text.split_once("://").ok_or(HttpFault::Syntax)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(HttpFault::Syntax);
    }
    let at = rest.find('/').ok_or(HttpFault::Syntax)?;
    rest.get(at..).ok_or(HttpFault::Syntax)
}

fn length(value: &[u8]) -> Result<usize, HttpFault> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(HttpFault::Length);
    }
    let text = core::str::from_utf8(value).map_err(|_| HttpFault::Length)?;
    // Digits that no machine word holds are a length all the same.
    Ok(text.parse().unwrap_or(usize::MAX))
}

fn is_host(value: &[u8]) -> bool {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%[]:!$&'()*+,;=".contains(byte);
    !value.is_empty() && value.iter().all(known)
}

#[cfg(test)]
mod tests;
