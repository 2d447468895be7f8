//! HTTP/1.1 responses as a client reads them (RFC 9112), piece by piece as they come.
//!
//! The body's length is that of RFC 9112, section 6.3: none, `Content-Length`, the chunked coding, or
//! the end of the connection. Interim responses are passed over, chunk extensions and trailers read
//! and dropped. What two readers could understand differently is a fault: two lengths, a coding other
//! than `chunked`, a line that ends in a bare LF. Responses to HEAD and CONNECT are not read, and no
//! body is decompressed.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use core::fmt;

use crate::limits::{
    HTTP_CHUNK_LINE_BYTES, HTTP_RESPONSE_BODY_BYTES, HTTP_RESPONSE_HEAD_BYTES,
    HTTP_RESPONSE_HEADERS, HTTP_RESPONSE_INTERIMS,
};

/// Why what came is no response of use; its connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFault {
    /// Not HTTP.
    Syntax,
    /// A line of the head ends in LF without CR.
    BareLf,
    /// A version other than 1.0 and 1.1.
    Version,
    /// A head of more than [`HTTP_RESPONSE_HEAD_BYTES`] or [`HTTP_RESPONSE_HEADERS`] lines, or
    /// trailers of as much.
    HeadTooLarge,
    /// A body of more than [`HTTP_RESPONSE_BODY_BYTES`].
    BodyTooLarge,
    /// A `Content-Length` that is repeated or not a number.
    Length,
    /// A `Transfer-Encoding` other than `chunked`.
    Coding,
    /// A `Transfer-Encoding` beside a `Content-Length`, or in a response of version 1.0.
    TwoLengths,
    /// A chunk whose size, or whose end, is not there.
    Chunk,
    /// More than [`HTTP_RESPONSE_INTERIMS`] interim responses.
    Interims,
    /// A change to another protocol that nobody asked for.
    Upgrade,
    /// The connection ended before the response did.
    CutShort,
    /// Bytes after the response, or before any request.
    Unasked,
}

impl fmt::Display for ResponseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "the answer is not HTTP",
            Self::BareLf => "a line of the answer ends in LF without CR",
            Self::Version => "the answer is not HTTP/1.1 or HTTP/1.0",
            Self::HeadTooLarge => "the answer's header fields are too long or too many",
            Self::BodyTooLarge => "the answer's body is too long",
            Self::Length => "the answer's Content-Length is repeated or no number",
            Self::Coding => "the answer's Transfer-Encoding is not chunked",
            Self::TwoLengths => "the answer has Transfer-Encoding where it may not",
            Self::Chunk => "a chunk of the answer is not as its size says",
            Self::Interims => "too many interim answers",
            Self::Upgrade => "the answer changes to another protocol",
            Self::CutShort => "the connection ended before the answer did",
            Self::Unasked => "there is more than the answer",
        })
    }
}

impl core::error::Error for ResponseFault {}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code, 200 to 999.
    pub status: u16,
    /// Whether the connection takes another request.
    pub keep_alive: bool,
    /// The body, without its coding.
    pub body: Vec<u8>,
}

/// What is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A head.
    Head,
    /// So many bytes of a body that says its length.
    Length(usize),
    /// A body that ends with the connection.
    UntilEnd,
    /// The line with a chunk's size.
    Size,
    /// So many bytes of a chunk.
    Chunk(usize),
    /// The line end after a chunk.
    ChunkEnd,
    /// Lines after the last chunk.
    Trailer,
    /// Nothing more.
    Done,
}

/// What a head says of its message.
struct Head {
    status: u16,
    keep_alive: bool,
    body: State,
}

/// Reads one response. Holds at most the bytes of one head and one body.
#[derive(Debug)]
pub struct ResponseReader {
    state: State,
    /// The head, or one line of the chunked coding, as far as it has come.
    line: Vec<u8>,
    body: Vec<u8>,
    status: u16,
    keep_alive: bool,
    interims: u8,
    trailers: usize,
    is_untouched: bool,
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self {
            state: State::Head,
            line: Vec::new(),
            body: Vec::new(),
            status: 0,
            keep_alive: true,
            interims: 0,
            trailers: 0,
            is_untouched: true,
        }
    }
}

impl ResponseReader {
    /// Takes bytes in; the response once it is whole.
    ///
    /// # Errors
    ///
    /// It is none, or is out of bounds. The reader is of no further use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Response>, ResponseFault> {
        let mut rest = bytes;
        self.is_untouched &= bytes.is_empty();
        while !rest.is_empty() && self.state != State::Done {
            rest = self.step(rest)?;
        }
        if self.state != State::Done {
            return Ok(None);
        }
        if !rest.is_empty() {
            // What it is to answer was never asked: the next request must not be taken for that.
            self.keep_alive = false;
        }
        Ok(Some(self.take()))
    }

    /// The connection has ended; the response if it ends by that.
    ///
    /// # Errors
    ///
    /// It does not.
    pub fn end(&mut self) -> Result<Response, ResponseFault> {
        match self.state {
            State::UntilEnd => Ok(self.take()),
            _ => Err(ResponseFault::CutShort),
        }
    }

    /// Whether nothing has come yet.
    pub const fn is_untouched(&self) -> bool {
        self.is_untouched
    }

    /// The status code, once a head that is not interim was read.
    pub fn status(&self) -> Option<u16> {
        (self.status != 0).then_some(self.status)
    }

    fn take(&mut self) -> Response {
        let response = Response {
            status: self.status,
            keep_alive: self.keep_alive,
            body: core::mem::take(&mut self.body),
        };
        *self = Self::default();
        response
    }

    /// Takes what belongs together from the front; what is left.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ResponseFault> {
        match self.state {
            State::Head => self.head(bytes),
            State::Length(left) => {
                let (taken, rest) = split(bytes, left);
                self.keep(taken)?;
                self.state = match left.saturating_sub(taken.len()) {
                    0 => State::Done,
                    left => State::Length(left),
                };
                Ok(rest)
            }
            State::UntilEnd => {
                self.keep(bytes)?;
                Ok(&[])
            }
            State::Chunk(left) => {
                let (taken, rest) = split(bytes, left);
                self.keep(taken)?;
                self.state = match left.saturating_sub(taken.len()) {
                    0 => State::ChunkEnd,
                    left => State::Chunk(left),
                };
                Ok(rest)
            }
            State::Size | State::ChunkEnd | State::Trailer => self.line(bytes),
            State::Done => Ok(bytes),
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), ResponseFault> {
        if self.body.len().saturating_add(bytes.len()) > HTTP_RESPONSE_BODY_BYTES {
            return Err(ResponseFault::BodyTooLarge);
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ResponseFault> {
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' && self.line.last() != Some(&b'\r') {
                return Err(match self.line.starts_with(b"HTTP/") {
                    true => ResponseFault::BareLf,
                    false => ResponseFault::Syntax,
                });
            }
            if self.line.len() >= HTTP_RESPONSE_HEAD_BYTES {
                return Err(ResponseFault::HeadTooLarge);
            }
            self.line.push(*byte);
            // What is no HTTP, such as TLS, is told by its first bytes and not by its length.
            if !b"HTTP/".iter().zip(&self.line).all(|(a, b)| a == b) {
                return Err(ResponseFault::Syntax);
            }
            if self.line.ends_with(b"\r\n\r\n") {
                let head = Head::parse(&self.line)?;
                self.line.clear();
                self.begin(&head)?;
                let (_, rest) = split(bytes, at.saturating_add(1));
                return Ok(rest);
            }
        }
        Ok(&[])
    }

    fn begin(&mut self, head: &Head) -> Result<(), ResponseFault> {
        if head.status == 101 {
            return Err(ResponseFault::Upgrade);
        }
        if head.status < 200 {
            self.interims = self.interims.saturating_add(1);
            if self.interims > HTTP_RESPONSE_INTERIMS {
                return Err(ResponseFault::Interims);
            }
            return Ok(());
        }
        self.status = head.status;
        self.keep_alive = head.keep_alive;
        self.state = head.body;
        match head.body {
            State::Length(length) if length > HTTP_RESPONSE_BODY_BYTES => {
                Err(ResponseFault::BodyTooLarge)
            }
            _ => Ok(()),
        }
    }

    /// One line of the chunked coding (RFC 9112, section 7.1).
    fn line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ResponseFault> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (taken, rest) = split(bytes, end.map_or(bytes.len(), |at| at.saturating_add(1)));
        let most = match self.state {
            State::Trailer => HTTP_RESPONSE_HEAD_BYTES.saturating_sub(self.trailers),
            _ => HTTP_CHUNK_LINE_BYTES,
        };
        if self.line.len().saturating_add(taken.len()) > most {
            return Err(match self.state {
                State::Trailer => ResponseFault::HeadTooLarge,
                _ => ResponseFault::Chunk,
            });
        }
        self.line.extend_from_slice(taken);
        if end.is_none() {
            return Ok(rest);
        }
        let line = core::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r\n").ok_or(ResponseFault::Chunk)?;
        self.state = match self.state {
            State::ChunkEnd if line.is_empty() => State::Size,
            State::ChunkEnd => return Err(ResponseFault::Chunk),
            State::Trailer if line.is_empty() => State::Done,
            State::Trailer => {
                self.trailers = self.trailers.saturating_add(line.len()).saturating_add(2);
                State::Trailer
            }
            _ => match chunk_size(line).ok_or(ResponseFault::Chunk)? {
                0 => State::Trailer,
                size if size > HTTP_RESPONSE_BODY_BYTES => return Err(ResponseFault::BodyTooLarge),
                size => State::Chunk(size),
            },
        };
        Ok(rest)
    }
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self, ResponseFault> {
        let mut lines = [httparse::EMPTY_HEADER; HTTP_RESPONSE_HEADERS];
        let mut response = httparse::Response::new(&mut lines);
        match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(ResponseFault::Syntax),
            Err(httparse::Error::TooManyHeaders) => return Err(ResponseFault::HeadTooLarge),
            Err(httparse::Error::Version) => return Err(ResponseFault::Version),
            Err(_) => return Err(ResponseFault::Syntax),
        }
        let status = response.code.unwrap_or_default();
        if status < 100 {
            return Err(ResponseFault::Syntax);
        }
        let minor = response.version.unwrap_or_default();
        let (mut length, mut chunked, mut close, mut keep) = (None, false, false, false);
        for line in response.headers.iter() {
            let is = |known: &str| line.name.eq_ignore_ascii_case(known);
            if is("content-length") {
                let number = self::length(line.value).ok_or(ResponseFault::Length)?;
                if length.replace(number).is_some() {
                    return Err(ResponseFault::Length);
                }
            } else if is("transfer-encoding") {
                let is_chunked = line.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
                if chunked || !is_chunked {
                    return Err(ResponseFault::Coding);
                }
                chunked = true;
            } else if is("connection") {
                for word in line.value.split(|byte| *byte == b',') {
                    close |= word.trim_ascii().eq_ignore_ascii_case(b"close");
                    keep |= word.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        if chunked && (length.is_some() || minor == 0) {
            return Err(ResponseFault::TwoLengths);
        }
        let bodyless = status < 200 || matches!(status, 204 | 304);
        let body = match (bodyless, chunked, length) {
            (true, ..) | (false, false, Some(0)) => State::Done,
            (false, true, _) => State::Size,
            (false, false, Some(length)) => State::Length(length),
            (false, false, None) => State::UntilEnd,
        };
        let keep_alive = !close && (minor == 1 || keep) && body != State::UntilEnd;
        Ok(Self {
            status,
            keep_alive,
            body,
        })
    }
}

/// The first bytes, as many as there are of so many, and the rest.
fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

/// Digits; so many that no machine word holds them are a length all the same.
fn length(value: &[u8]) -> Option<usize> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = core::str::from_utf8(value).ok().filter(|_| digits)?;
    Some(text.parse().unwrap_or(usize::MAX))
}

/// The size in a chunk's first line, its extensions left out.
fn chunk_size(line: &[u8]) -> Option<usize> {
    let text = core::str::from_utf8(line).ok()?;
    let digits = text.split(';').next().unwrap_or_default().trim_end();
    let is_size = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_size.then(|| usize::from_str_radix(digits, 16).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
