//! An HTTP answer, printed by way of tiny_http's response types.
//!
//! tiny_http's printer knows neither `Connection` nor a clock of ours: the first is put into what it
//! printed, the second given as a `Date` of its own. Bodies always have a `Content-Length`.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use tiny_http::{HTTPVersion, Header, Response, StatusCode};

use crate::limits::HTTP_ANSWER_BYTES;
use crate::wire::http_date::HttpDate;

/// What the `Server` field says.
const SERVER: &str = "trunkcast";

/// What a client that expects it is told before it sends its body.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Why an answer cannot be as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFault {
    /// A header field that is not one line of ASCII.
    Header,
    /// The body is longer than [`HTTP_ANSWER_BYTES`].
    TooLong,
}

/// An answer to one request.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<Header>,
    body: Vec<u8>,
}

/// What goes into an answer beside what its handler put there.
#[derive(Clone, Copy, Debug)]
pub struct Printing {
    /// Minor version of the request.
    pub minor: u8,
    /// Whether the connection ends with the answer.
    pub close: bool,
    /// Whether to leave the body out: the request was HEAD.
    pub bodyless: bool,
    /// Seconds since 1970.
    pub unix_seconds: u64,
}

impl Answer {
    /// An answer of a status, without header fields and body.
    pub const fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The status code.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The body so far.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Adds a header field.
    ///
    /// # Errors
    ///
    /// tiny_http would print a line break in it as it is.
    pub fn header(&mut self, name: &str, value: &str) -> Result<(), AnswerFault> {
        let is_line = |text: &str| text.bytes().all(|b| (b' '..0x7f).contains(&b));
        let is_name = !name.is_empty() && !name.contains([' ', ':']);
        if !is_name || !is_line(name) || !is_line(value) {
            return Err(AnswerFault::Header);
        }
        let header = Header::from_bytes(name, value).map_err(|()| AnswerFault::Header)?;
        self.headers.push(header);
        Ok(())
    }

    /// Adds to the body.
    ///
    /// # Errors
    ///
    /// There is no room for it; nothing was added.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), AnswerFault> {
        if self.body.len().saturating_add(bytes.len()) > HTTP_ANSWER_BYTES {
            return Err(AnswerFault::TooLong);
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    /// The answer as bytes.
    pub fn print(self, printing: Printing) -> Vec<u8> {
        let length = self.body.len();
        let mut response = Response::new(
            StatusCode(self.status),
            self.headers,
            self.body.as_slice(),
            Some(length),
            None,
        )
        .with_chunked_threshold(usize::MAX);
        let date = HttpDate(printing.unix_seconds).to_string();
        for (name, value) in [("Server", SERVER), ("Date", date.as_str())] {
            if let Ok(header) = Header::from_bytes(name, value) {
                response.add_header(header);
            }
        }
        let mut printed = Vec::with_capacity(length.saturating_add(512));
        let version = HTTPVersion(1, printing.minor);
        // Writing to memory does not fail.
        let _ = response.raw_print(&mut printed, version, &[], printing.bodyless, None);
        if printing.close {
            let line = printed.windows(2).position(|two| two == b"\r\n");
            if let Some(at) = line.and_then(|at| at.checked_add(2)) {
                printed.splice(at..at, *b"Connection: close\r\n");
            }
        }
        printed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Printing = Printing {
        minor: 1,
        close: false,
        bodyless: false,
        unix_seconds: 784_111_777,
    };

    fn text(answer: Answer, printing: Printing) -> String {
        String::from_utf8(answer.print(printing)).unwrap()
    }

    #[test]
    fn an_empty_answer_has_a_length_of_nothing() {
        let text = text(Answer::new(200), PLAIN);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("\r\nContent-Length: 0\r\n"), "{text}");
        assert!(text.contains("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
        assert!(text.contains("\r\nServer: trunkcast\r\n"), "{text}");
        assert!(!text.contains("Connection"), "{text}");
        assert!(text.ends_with("\r\n\r\n"));
    }

    #[test]
    fn the_last_answer_of_a_connection_says_so_in_a_field_of_its_own() {
        let mut answer = Answer::new(404);
        answer.header("Content-Type", "application/json").unwrap();
        answer.write(b"{}").unwrap();
        let close = Printing {
            close: true,
            ..PLAIN
        };
        let text = text(answer, close);
        assert!(text.starts_with("HTTP/1.1 404 Not Found\r\nConnection: close\r\n"));
        assert!(text.ends_with("Content-Length: 2\r\n\r\n{}"), "{text}");
    }

    #[test]
    fn a_long_body_has_a_length_and_no_chunks() {
        let mut answer = Answer::new(200);
        answer.write(&vec![b'x'; 100_000]).unwrap();
        let text = text(answer, PLAIN);
        assert!(text.contains("\r\nContent-Length: 100000\r\n"));
        assert!(!text.contains("chunked"));
    }

    #[test]
    fn a_head_has_the_length_of_the_body_that_it_leaves_out() {
        let mut answer = Answer::new(200);
        answer.write(b"body").unwrap();
        let head = Printing {
            bodyless: true,
            ..PLAIN
        };
        let text = text(answer, head);
        assert!(text.contains("Content-Length: 4\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n"), "{text}");
    }

    #[test]
    fn header_fields_hold_no_line_of_their_own() {
        let mut answer = Answer::new(200);
        for (name, value) in [
            ("X", "a\r\nSet-Cookie: b"),
            ("X", "a\nb"),
            ("X", "a\0"),
            ("X", "é"),
            ("X\r\nY", "a"),
            ("X:", "a"),
            ("", "a"),
        ] {
            let refused = answer.header(name, value);
            assert_eq!(refused, Err(AnswerFault::Header), "{name:?} {value:?}");
        }
    }

    #[test]
    fn a_body_beyond_its_bound_is_refused() {
        let mut answer = Answer::new(200);
        answer.write(&vec![0; HTTP_ANSWER_BYTES]).unwrap();
        assert_eq!(answer.write(b"x"), Err(AnswerFault::TooLong));
        assert_eq!(answer.body().len(), HTTP_ANSWER_BYTES);
    }
}
