//! One request and the answer to it, as embedded-svc's HTTP traits see them.
//!
//! Both are whole in memory, so that nothing a handler does waits. What a handler works on travels
//! here too, as handlers themselves hold no state.

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
use core::net::IpAddr;

use embedded_svc::http::server::Connection;
use embedded_svc::http::{Headers, Method, Query};
use embedded_svc::io::{Error, ErrorKind, ErrorType, Read, Write};

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::http::connection::{Face, Request};
use crate::gateway::outlet::{FileId, Outlet};
use crate::wire::http::Head;
use crate::wire::http_answer::{Answer, AnswerFault};

/// Why a handler could not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeError {
    /// The answer cannot be as it was asked for.
    Answer(AnswerFault),
    /// Written before the answer was begun, or begun twice.
    Order,
    /// There is no connection below that a handler may have.
    NoRaw,
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer(AnswerFault::TooLong) => "the answer is too long",
            Self::Answer(AnswerFault::Header) => "a header field is not one line",
            Self::Order => "the answer was written out of order",
            Self::NoRaw => "there is no raw connection",
        })
    }
}

impl core::error::Error for ExchangeError {}

impl Error for ExchangeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Answer(AnswerFault::TooLong) => ErrorKind::OutOfMemory,
            Self::Answer(AnswerFault::Header) => ErrorKind::InvalidInput,
            Self::Order => ErrorKind::Other,
            Self::NoRaw => ErrorKind::Unsupported,
        }
    }
}

/// The body of a request, read once.
pub struct Body {
    bytes: Vec<u8>,
    read: usize,
}

impl ErrorType for Body {
    type Error = ExchangeError;
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, ExchangeError> {
        let rest = self.bytes.get(self.read..).unwrap_or_default();
        let count = rest.len().min(into.len());
        for (to, from) in into.iter_mut().zip(rest) {
            *to = *from;
        }
        self.read = self.read.saturating_add(count);
        Ok(count)
    }
}

/// A request, its answer, and what handlers work on.
pub struct Exchange<'a> {
    /// All calls of the box.
    pub gateway: &'a mut Gateway,
    /// Where work on them goes out.
    pub outlet: &'a mut dyn Outlet,
    /// The present moment.
    pub now: Instant,
    /// Address of the client.
    pub remote: IpAddr,
    /// What the client is shown.
    pub face: Face,
    head: Head,
    body: Body,
    answer: Option<Answer>,
    deferred: Option<FileId>,
}

impl<'a> Exchange<'a> {
    /// A request without an answer so far.
    pub fn new(
        gateway: &'a mut Gateway,
        outlet: &'a mut dyn Outlet,
        now: Instant,
        remote: IpAddr,
        face: Face,
        request: Request,
    ) -> Self {
        let body = Body {
            bytes: request.body,
            read: 0,
        };
        Self {
            gateway,
            outlet,
            now,
            remote,
            face,
            head: request.head,
            body,
            answer: None,
            deferred: None,
        }
    }

    /// The path of the request.
    pub fn path(&self) -> &str {
        self.head.path()
    }

    /// Whether the method is one that HTTP knows.
    pub fn knows_method(&self) -> bool {
        self.head.knows_method()
    }

    /// Takes the whole body.
    pub fn take_body(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.body.bytes)
    }

    /// Drops what was answered so far, for another answer in its place.
    pub fn discard_answer(&mut self) {
        self.answer = None;
    }

    /// The answer is given later, when it is known what becomes of a file.
    pub fn defer(&mut self, id: FileId) {
        self.deferred = Some(id);
    }

    /// What the answer waits for, if it is given later.
    pub fn deferred(&self) -> Option<FileId> {
        self.deferred
    }

    /// The answer, if one was begun.
    pub fn into_answer(self) -> Option<Answer> {
        self.answer
    }
}

impl ErrorType for Exchange<'_> {
    type Error = ExchangeError;
}

impl Query for Exchange<'_> {
    fn uri(&self) -> &str {
        self.head.uri()
    }

    fn method(&self) -> Method {
        self.head.method()
    }
}

impl Headers for Exchange<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }
}

impl Read for Exchange<'_> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, ExchangeError> {
        self.body.read(into)
    }
}

impl Write for Exchange<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ExchangeError> {
        let answer = self.answer.as_mut().ok_or(ExchangeError::Order)?;
        answer.write(bytes).map_err(ExchangeError::Answer)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ExchangeError> {
        Ok(())
    }
}

impl<'a> Connection for Exchange<'a> {
    type Headers = Head;
    type Read = Body;
    type RawConnectionError = ExchangeError;
    type RawConnection = Exchange<'a>;

    fn split(&mut self) -> (&Head, &mut Body) {
        (&self.head, &mut self.body)
    }

    /// Begins the answer; the words beside the code are those that HTTP has for it.
    fn initiate_response(
        &mut self,
        status: u16,
        _message: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<(), ExchangeError> {
        if self.answer.is_some() {
            return Err(ExchangeError::Order);
        }
        let mut answer = Answer::new(status);
        for (name, value) in headers {
            answer.header(name, value).map_err(ExchangeError::Answer)?;
        }
        self.answer = Some(answer);
        Ok(())
    }

    fn is_response_initiated(&self) -> bool {
        self.answer.is_some()
    }

    fn raw_connection(&mut self) -> Result<&mut Self::RawConnection, ExchangeError> {
        Err(ExchangeError::NoRaw)
    }
}
