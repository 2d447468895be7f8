//! One connection to the backend: a request at a time, over a connection that is kept.
//!
//! A request on a kept connection that the backend closed meanwhile goes out once more on a fresh one.
//! Any other end without a whole answer is a failure, and whether the backend acted is not known.

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
use core::time::Duration;

use heapless::Deque;

use crate::base::time::Instant;
use crate::wire::http_response::{ResponseFault, ResponseReader};

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(20);

/// Events before the owner takes them: the end of one connection and the begin of the next.
const EVENTS: usize = 4;

/// What the owner has to do or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// Connect.
    Connect,
    /// Close the connection.
    Close,
    /// The request was answered, with this status, or failed.
    Done(Result<u16, Failure>),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no connection, and why.
    Unreachable(String),
    /// The connection ended.
    Broken(String),
    /// What came is no answer of use.
    Faulty(ResponseFault),
    /// It did not come in time.
    Timeout,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(words) => write!(f, "cannot connect: {words}"),
            Self::Broken(words) => write!(f, "no answer: {words}"),
            Self::Faulty(fault) => fault.fmt(f),
            Self::Timeout => f.write_str("no answer in time"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no connection.
    Closed,
    /// One is being made, for the request.
    Connecting,
    /// Nothing is asked, until the connection is closed.
    Idle { until: Instant },
    /// The request is on its way, or its answer.
    Busy,
}

/// A connection and the request that it carries.
#[derive(Debug)]
pub struct Client {
    state: State,
    request: Vec<u8>,
    sent: usize,
    reader: ResponseReader,
    /// When the answer must be there.
    by: Instant,
    /// Whether the connection carried another request before this one.
    reused: bool,
    events: Deque<ClientEvent, EVENTS>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            state: State::Closed,
            request: Vec::new(),
            sent: 0,
            reader: ResponseReader::default(),
            by: Instant::ZERO,
            reused: false,
            events: Deque::new(),
        }
    }
}

impl Client {
    /// Sends a request, to be answered in time. Only while it [`is_free`](Self::is_free).
    pub fn send(&mut self, request: Vec<u8>, by: Instant) {
        self.request = request;
        self.sent = 0;
        self.by = by;
        self.reader = ResponseReader::default();
        match self.state {
            State::Idle { .. } => {
                self.reused = true;
                self.state = State::Busy;
            }
            _ => self.connect(),
        }
    }

    /// The connection is up.
    pub fn handle_connected(&mut self) {
        if self.state == State::Connecting {
            self.state = State::Busy;
        }
    }

    /// The connection ended, or could not be made, for this reason.
    pub fn handle_disconnected(&mut self, reason: &str) {
        match core::mem::replace(&mut self.state, State::Closed) {
            State::Closed | State::Idle { .. } => {}
            State::Connecting => {
                self.done(Err(Failure::Unreachable(reason.to_owned())));
            }
            State::Busy if self.reused && self.reader.is_untouched() => {
                self.sent = 0;
                self.connect();
            }
            State::Busy => {
                let result = match self.reader.end() {
                    Ok(response) => Ok(response.status),
                    Err(_) => Err(Failure::Broken(reason.to_owned())),
                };
                self.done(result);
            }
        }
    }

    /// Bytes from the backend.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        match self.state {
            State::Busy => {}
            State::Idle { .. } => return self.close(),
            State::Closed | State::Connecting => return,
        }
        match self.reader.push(bytes) {
            Ok(None) => {}
            Ok(Some(response)) => {
                if response.keep_alive && self.sent == self.request.len() {
                    self.state = State::Idle { until: now + IDLE };
                } else {
                    self.close();
                }
                self.done(Ok(response.status));
            }
            Err(fault) => {
                self.close();
                // What matters of it was said before it grew too long.
                let status = self.reader.status();
                let status = status.filter(|_| fault == ResponseFault::BodyTooLarge);
                self.done(status.ok_or(Failure::Faulty(fault)));
            }
        }
    }

    /// Ends what has waited too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Connecting | State::Busy if now >= self.by => {
                self.close();
                self.done(Err(Failure::Timeout));
            }
            State::Idle { until } if now >= until => self.close(),
            _ => {}
        }
    }

    /// When [`Self::handle_timeout`] is next to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Connecting | State::Busy => Some(self.by),
            State::Idle { until } => Some(until),
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// What is to be written.
    pub fn poll_transmit(&self) -> &[u8] {
        match self.state {
            State::Busy => self.request.get(self.sent..).unwrap_or_default(),
            _ => &[],
        }
    }

    /// So many bytes of that were written.
    pub fn transmitted(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.request.len());
    }

    /// Whether it takes a request.
    pub fn is_free(&self) -> bool {
        matches!(self.state, State::Closed | State::Idle { .. }) && self.events.is_empty()
    }

    /// Whether it takes one without connecting first.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Idle { .. })
    }

    /// Gives up what it does, without an event but that to close.
    pub fn abandon(&mut self) {
        self.events.clear();
        if self.state != State::Closed {
            self.close();
        }
        self.request = Vec::new();
    }

    fn connect(&mut self) {
        self.reused = false;
        self.state = State::Connecting;
        self.push(ClientEvent::Connect);
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.push(ClientEvent::Close);
    }

    fn done(&mut self, result: Result<u16, Failure>) {
        self.request = Vec::new();
        self.sent = 0;
        self.push(ClientEvent::Done(result));
    }

    fn push(&mut self, event: ClientEvent) {
        // The owner takes them after every step, which makes two at most.
        let _ = self.events.push_back(event);
    }
}

#[cfg(test)]
mod tests;
