//! One HTTP connection: bytes in, one request after the other out, answers back.
//!
//! A request is handed out when it is whole. Further bytes are kept for the next one, which is
//! looked at once the answer has left (RFC 9112, section 9.3.2); a client that sends ahead more
//! than fits is closed after the answer. Each step has a deadline that no byte moves: a head as a
//! whole, a body, an answer, the pause between requests.

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
use core::time::Duration;

use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::limits::{HTTP_BODY_BYTES, HTTP_HEAD_BYTES, PAGE_DOCUMENT_BYTES};
use crate::wire::http::{Head, HttpFault, head_end};
use crate::wire::http_answer::CONTINUE;

/// How long a head may take, from the connection or its first byte on.
pub const HEAD_PATIENCE: Duration = Duration::from_secs(5);

/// How long a body may take.
pub const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// How long the client may take to read an answer.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// How long the client may take to read an answer while others want its place.
pub const READ_PATIENCE: Duration = Duration::from_secs(2);

/// How long a connection without a request is kept.
pub const IDLE_PATIENCE: Duration = Duration::from_secs(15);

/// Bytes that are kept of what a client sent.
const INPUT_BYTES: usize = HTTP_HEAD_BYTES + HTTP_BODY_BYTES;

/// What a connection is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// The REST interface.
    Rest,
    /// The local page.
    Page {
        /// Whether the connection is protected by TLS.
        secure: bool,
    },
}

impl Face {
    /// Whether it is the local page.
    pub const fn is_page(self) -> bool {
        matches!(self, Self::Page { .. })
    }

    /// Whether it is the page over TLS.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Page { secure: true })
    }
}

/// What a connection waits for.
enum Phase {
    /// The first byte of a further request.
    Idle,
    /// The rest of a head.
    Head,
    /// The rest of the body of this request.
    Body(Box<Head>),
    /// Its owner, to take this request.
    Ready(Box<Request>),
    /// Its owner, to refuse what came.
    Faulty(HttpFault),
    /// Its owner, to answer.
    Asked,
    /// The client, to read.
    Answering,
    /// Nothing any more.
    Over,
}

/// A whole request. Prints without its body, which may hold a password.
pub struct Request {
    /// Everything before the body.
    pub head: Head,
    /// The body.
    pub body: Vec<u8>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?}, {} bytes)", self.head, self.body.len())
    }
}

/// One connection.
pub struct HttpConnection {
    conn: ConnId,
    remote: IpAddr,
    face: Face,
    phase: Phase,
    /// Since when it has not had a whole request: the oldest gives way where there is no room.
    since: Instant,
    /// When it was answered last.
    answered: Instant,
    /// When its phase ends in vain.
    until: Instant,
    input: Vec<u8>,
    /// Bytes at the start of the input in which no head ends.
    seen: usize,
    /// Whether bytes had to be dropped.
    overflowed: bool,
    output: Vec<u8>,
    sent: usize,
    /// Whether the answer is the last one.
    last: bool,
    writable: bool,
}

impl HttpConnection {
    /// A connection that was accepted just now.
    pub fn new(now: Instant, conn: ConnId, remote: IpAddr, face: Face) -> Self {
        Self {
            conn,
            remote,
            face,
            phase: Phase::Head,
            since: now,
            answered: now,
            until: now + HEAD_PATIENCE,
            input: Vec::new(),
            seen: 0,
            overflowed: false,
            output: Vec::new(),
            sent: 0,
            last: false,
            writable: true,
        }
    }

    /// The connection itself.
    pub const fn conn(&self) -> ConnId {
        self.conn
    }

    /// Address of the client.
    pub const fn remote(&self) -> IpAddr {
        self.remote
    }

    /// What it is shown.
    pub const fn face(&self) -> Face {
        self.face
    }

    /// Bytes from the client, as many as there are; work in proportion to them.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        self.handle_bytes_if(now, bytes, &|_| false);
    }

    /// The same; a body longer than [`HTTP_BODY_BYTES`] is taken where `may` says so of its head.
    pub fn handle_bytes_if(&mut self, now: Instant, mut bytes: &[u8], may: &dyn Fn(&Head) -> bool) {
        while !bytes.is_empty() {
            if self.last || matches!(self.phase, Phase::Faulty(_) | Phase::Over) {
                return;
            }
            let room = self.input_most().saturating_sub(self.input.len());
            let (taken, rest) = bytes.split_at(room.min(bytes.len()));
            if taken.is_empty() {
                self.overflowed = true;
                return;
            }
            self.input.extend_from_slice(taken);
            bytes = rest;
            self.advance(now, may);
        }
    }

    /// The client sends nothing more; false when nothing is owed to it either.
    pub fn handle_end(&mut self) -> bool {
        // Whatever is begun and not whole will not be.
        self.overflowed = true;
        match self.phase {
            Phase::Ready(_) | Phase::Faulty(_) | Phase::Asked => true,
            Phase::Answering => {
                self.last = true;
                true
            }
            Phase::Idle | Phase::Head | Phase::Body(_) | Phase::Over => false,
        }
    }

    /// The client's socket takes bytes again.
    pub fn handle_writable(&mut self) {
        self.writable = true;
    }

    /// Ends the phase whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.until {
            return;
        }
        self.phase = match &self.phase {
            Phase::Body(_) => Phase::Faulty(HttpFault::Timeout),
            Phase::Head if !self.input.is_empty() => Phase::Faulty(HttpFault::Timeout),
            // Its owner answers within the turn.
            Phase::Ready(_) | Phase::Faulty(_) | Phase::Asked => return,
            Phase::Idle | Phase::Head | Phase::Answering | Phase::Over => Phase::Over,
        };
    }

    /// When the phase ends in vain.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Ready(_) | Phase::Faulty(_) | Phase::Asked | Phase::Over => None,
            Phase::Idle | Phase::Head | Phase::Body(_) | Phase::Answering => Some(self.until),
        }
    }

    /// Whether a request waits to be taken, or a fault to be answered.
    pub const fn has_request(&self) -> bool {
        matches!(self.phase, Phase::Ready(_) | Phase::Faulty(_))
    }

    /// Takes the request, or what is wrong with it; [`Self::answer`] is to follow.
    pub fn poll_request(&mut self) -> Option<Result<Request, HttpFault>> {
        match core::mem::replace(&mut self.phase, Phase::Asked) {
            Phase::Ready(request) => Some(Ok(*request)),
            Phase::Faulty(fault) => Some(Err(fault)),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Whether the answer must be the last one whatever the client wishes.
    pub const fn must_close(&self) -> bool {
        self.overflowed
    }

    /// Answers the request that was taken; `last` closes the connection once all is sent.
    pub fn answer(&mut self, now: Instant, bytes: &[u8], last: bool) {
        self.output.extend_from_slice(bytes);
        self.last = last;
        self.phase = Phase::Answering;
        self.answered = now;
        self.until = now + ANSWER_PATIENCE;
        if last {
            self.input = Vec::new();
        }
    }

    /// Is to be closed, whatever it waits for.
    pub fn end(&mut self) {
        self.phase = Phase::Over;
    }

    /// What is to be written now; nothing while the socket is full.
    pub fn poll_transmit(&self) -> &[u8] {
        match self.writable {
            true => self.output.get(self.sent..).unwrap_or_default(),
            false => &[],
        }
    }

    /// Notes that the socket took `count` of the bytes given last.
    pub fn transmitted(&mut self, now: Instant, count: usize) {
        let given = self.poll_transmit().len();
        self.writable = count >= given;
        self.sent = self.sent.saturating_add(count);
        if self.sent < self.output.len() {
            return;
        }
        self.output = Vec::new();
        self.sent = 0;
        if matches!(self.phase, Phase::Answering) {
            if self.last {
                self.phase = Phase::Over;
                return;
            }
            self.phase = Phase::Idle;
            self.since = now;
            self.until = now + IDLE_PATIENCE;
            self.advance(now, &|_| false);
        }
    }

    /// Bytes that are not sent yet.
    pub fn unsent(&self) -> usize {
        self.output.len().saturating_sub(self.sent)
    }

    /// Whether the connection is to be closed.
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Since when it has been of no use: without a whole request, or with an answer that its client
    /// has not read for long. `None` while somebody waits for us.
    pub fn waiting_since(&self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Idle | Phase::Head | Phase::Body(_) => Some(self.since),
            Phase::Answering if now >= self.answered + READ_PATIENCE => Some(self.answered),
            _ => None,
        }
    }

    /// Makes of the input what can be made of it.
    fn advance(&mut self, now: Instant, may: &dyn Fn(&Head) -> bool) {
        if matches!(self.phase, Phase::Idle | Phase::Head)
            && let Err(fault) = self.advance_head(now, may)
        {
            self.phase = Phase::Faulty(fault);
        }
        if let Phase::Body(head) = &mut self.phase
            && self.input.len() >= head.body_length()
        {
            let rest = self.input.split_off(head.body_length());
            let request = Request {
                head: (**head).clone(),
                body: core::mem::replace(&mut self.input, rest),
            };
            self.phase = Phase::Ready(Box::new(request));
        }
    }

    /// Bytes that are kept of what the client sends: as many as its present body has, or a usual one.
    fn input_most(&self) -> usize {
        match &self.phase {
            Phase::Body(head) => INPUT_BYTES.max(head.body_length()),
            _ => INPUT_BYTES,
        }
    }

    /// Whether a body is on its way, or waits, that is longer than usual.
    pub fn holds_document(&self) -> bool {
        match &self.phase {
            Phase::Body(head) => head.body_length() > HTTP_BODY_BYTES,
            Phase::Ready(request) => request.body.len() > HTTP_BODY_BYTES,
            _ => false,
        }
    }

    fn advance_head(&mut self, now: Instant, may: &dyn Fn(&Head) -> bool) -> Result<(), HttpFault> {
        // Clients of old end a body with a line too many (RFC 9112, section 2.2).
        while self.seen == 0 && self.input.starts_with(b"\r\n") {
            self.input.drain(..2);
        }
        if self.input.is_empty() || self.input == b"\r" {
            return Ok(());
        }
        if matches!(self.phase, Phase::Idle) {
            self.phase = Phase::Head;
            self.until = now + HEAD_PATIENCE;
        }
        let Some(end) = head_end(&self.input, self.seen)? else {
            self.seen = self.input.len();
            return Ok(());
        };
        self.seen = 0;
        let rest = self.input.split_off(end);
        let head = core::mem::replace(&mut self.input, rest);
        let head = Head::parse_up_to(&head, PAGE_DOCUMENT_BYTES)?;
        if head.body_length() > HTTP_BODY_BYTES && !may(&head) {
            return Err(HttpFault::BodyTooLarge);
        }
        if head.expects_continue() && self.input.len() < head.body_length() {
            self.output.extend_from_slice(CONTINUE);
        }
        self.phase = Phase::Body(Box::new(head));
        self.until = now + BODY_PATIENCE;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
