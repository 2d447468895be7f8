//! Why a request fails, in the form that clients of the interface know.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::borrow::Cow;

use embedded_svc::http::server::Request;
use embedded_svc::io::Write;
use serde::Serialize;
use tiny_http::StatusCode;

use crate::gateway::http::exchange::{Exchange, ExchangeError};
use crate::gateway::outgoing::CallRefused;
use crate::gateway::rest::{ANY_ORIGIN, JSON};
use crate::wire::http_answer::Answer;

/// What the names of exceptions begin with, as clients know them.
const EXCEPTIONS: &str = "com.flashphoner.rest.server.exception.";

/// A request that failed.
#[derive(Debug)]
pub struct Failure {
    status: u16,
    message: Cow<'static, str>,
    header: Option<(&'static str, Cow<'static, str>)>,
}

/// The body of a failure.
#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    exception: String,
    message: &'a str,
    path: &'a str,
    status: u16,
    timestamp: u64,
}

impl Failure {
    /// A failure of this status, in words.
    pub fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            message: message.into(),
            header: None,
        }
    }

    /// A field or body that is not as it should be.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, message)
    }

    /// Nothing matches.
    pub fn not_found(message: &'static str) -> Self {
        Self::new(404, message)
    }

    /// What was asked for did not work.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(500, message)
    }

    /// No password, or another.
    pub fn unauthorized(message: &'static str) -> Self {
        Self::new(401, message).with_header("WWW-Authenticate", "Basic realm=\"trunkcast\"")
    }

    /// Another method is asked for: one of these.
    pub fn method(allowed: &'static str) -> Self {
        Self::new(405, "the method is not taken here").with_header("Allow", allowed)
    }

    /// The same with a header field.
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.header = Some((name, value.into()));
        self
    }

    /// The words.
    #[cfg(test)]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The status code.
    #[cfg(test)]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Answers a request with it.
    pub fn answer(&self, exchange: &mut Exchange<'_>, path: &str) -> Result<(), ExchangeError> {
        let unix_millis = exchange.gateway.unix_millis(exchange.now);
        let body = self.body(path, unix_millis);
        let mut headers = heapless::Vec::<(&str, &str), 3>::from_array([JSON, ANY_ORIGIN]);
        if let Some((name, value)) = &self.header {
            let _ = headers.push((name, value));
        }
        let request = Request::wrap(exchange);
        let mut response = request.into_response(self.status, None, &headers)?;
        response.write_all(&body)
    }

    /// An answer where there is no request to answer.
    pub fn alone(&self, path: &str, unix_millis: u64) -> Answer {
        let mut answer = Answer::new(self.status);
        for (name, value) in [JSON, ANY_ORIGIN] {
            // Both are lines.
            let _ = answer.header(name, value);
        }
        // A failure is short.
        let _ = answer.write(&self.body(path, unix_millis));
        answer
    }

    fn body(&self, path: &str, unix_millis: u64) -> Vec<u8> {
        let error = StatusCode(self.status).default_reason_phrase();
        let name: String = match self.status {
            500 => "InternalError".to_owned(),
            _ => error.split(' ').collect(),
        };
        let body = Body {
            error,
            exception: format!("{EXCEPTIONS}{name}Exception"),
            message: &self.message,
            path,
            status: self.status,
            timestamp: unix_millis,
        };
        // Text and numbers are always JSON.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<CallRefused> for Failure {
    fn from(refused: CallRefused) -> Self {
        let status = match refused {
            CallRefused::SameCallId | CallRefused::SameTarget | CallRefused::SameStream => 409,
            CallRefused::Full(_) | CallRefused::Stopping => 503,
            CallRefused::Impossible(_) => 500,
        };
        Self::new(status, refused.to_string())
    }
}
