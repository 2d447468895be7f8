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
}

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

    /// Something that is not as asked for, by a code that the page has words for.
    pub fn problem(status: u16, code: &str) -> Self {
        Self::json(status, &json!({ "problem": code }))
    }

    /// The same with words about it.
    #[must_use]
    pub fn detail(mut self, words: &str) -> Self {
        if let Ok(Value::Object(mut object)) = serde_json::from_slice(&self.body) {
            object.insert("detail".to_owned(), words.into());
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

    /// The answer as HTTP takes it.
    pub fn into_answer(self) -> Answer {
        let mut answer = Answer::new(self.status);
        let _ = answer.header("Content-Type", self.kind);
        for (name, value) in &self.headers {
            let _ = answer.header(name, value);
        }
        match answer.write(&self.body) {
            Ok(()) => answer,
            Err(_) => Answer::new(500),
        }
    }
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self::Now(reply)
    }
}
