//! What the page answers, at once or when work elsewhere is done.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use serde_json::{Value, json};

use crate::gateway::desk::DeskWork;
use crate::gateway::page::login::Step;
use crate::wire::http_answer::Answer;

/// The media type of JSON.
pub const JSON: &str = "application/json;charset=UTF-8";

/// An answer of the page.
#[derive(Debug)]
pub struct Reply {
    status: u16,
    kind: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// An answer, or what it waits for.
#[derive(Debug)]
pub enum Outcome {
    /// It is known.
    Now(Reply),
    /// It waits for this work, and is made as this says.
    Later(DeskWork, Late),
}

/// How an answer is made when the work that it waits for is done.
#[derive(Debug)]
pub enum Late {
    /// It is the document.
    Document,
    /// It is the document, a file for the disk of who asks.
    File(&'static str),
    /// Something is done with the result first.
    Step(Step),
    /// It is the document of a trial of registering: registrations at work are renewed first, as it
    /// may have taken the place of one at a PBX that keeps but one.
    Registered,
    /// It is the diagnostics, with the settings from the document.
    Diagnostics,
}

/// What a page may do in a browser: show what comes from here and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob:; media-src blob:; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// What every answer tells browsers.
const HEADERS: [(&str, &str); 6] = [
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    (
        "Permissions-Policy",
        "camera=(), microphone=(), geolocation=()",
    ),
];

impl Reply {
    /// An answer with a body of some media type.
    pub fn new(status: u16, kind: &'static str, body: Vec<u8>) -> Self {
        Self {
            status,
            kind,
            headers: Vec::new(),
            body,
        }
    }

    /// An answer of JSON.
    pub fn json(status: u16, value: &Value) -> Self {
        Self::new(status, JSON, value.to_string().into_bytes())
    }

    /// An answer with nothing to tell but that it is done.
    pub fn done(status: u16) -> Self {
        Self::new(status, JSON, b"{}".to_vec())
    }

    /// Something that is not as asked for, by a code that the page has words for.
    pub fn problem(status: u16, code: &str) -> Self {
        Self::json(status, &json!({ "problem": code }))
    }

    /// The same with words about it.
    #[must_use]
    pub fn detail(self, words: &str) -> Self {
        self.with("detail", words)
    }

    /// The same with one more field in its JSON.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Ok(Value::Object(mut object)) = serde_json::from_slice(&self.body) {
            object.insert(name.to_owned(), value.into());
            self.body = Value::Object(object).to_string().into_bytes();
        }
        self
    }

    /// The same with a further header field; one that is no line is left out.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The answer as HTTP takes it; `secure` where it goes over TLS.
    pub fn into_answer(self, secure: bool) -> Answer {
        let mut answer = self.head(secure);
        if answer.write(&self.body).is_ok() {
            return answer;
        }
        // It never is as long as that: every part of it is bounded.
        Self::problem(500, "tooLong").into_answer(secure)
    }

    fn head(&self, secure: bool) -> Answer {
        let mut answer = Answer::new(self.status);
        // They are lines, but for what comes from outside, which is left out then.
        let _ = answer.header("Content-Type", self.kind);
        for (name, value) in HEADERS {
            let _ = answer.header(name, value);
        }
        if secure {
            // Browsers complain of it elsewhere.
            let _ = answer.header("Cross-Origin-Opener-Policy", "same-origin");
        }
        // What has a tag may be kept, and is asked for again.
        let is_tagged = self.headers.iter().any(|(name, _)| *name == "ETag");
        let keep = if is_tagged { "no-cache" } else { "no-store" };
        let _ = answer.header("Cache-Control", keep);
        for (name, value) in &self.headers {
            let _ = answer.header(name, value);
        }
        answer
    }
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self::Now(reply)
    }
}
