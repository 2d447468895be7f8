//! HTTP connections: any pieces of what a client sends give the requests that the whole gives, and a
//! connection that is left alone ends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkcast::base::ids::ConnId;
use trunkcast::base::time::Instant;
use trunkcast::gateway::http::connection::{Face, HttpConnection};
use trunkcast::limits::{HTTP_BODY_BYTES, HTTP_HEAD_BYTES};
use trunkcast::wire::http::Head;
use trunkcast::wire::http_answer::{Answer, Printing};
use trunkcast::wire::http_auth;
use trunkcast_fuzz::Choices;

#[derive(Debug, PartialEq)]
enum Asked {
    Request(String, Vec<u8>),
    Fault(u16),
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let size = usize::from(choices.byte());
    let slow = choices.byte();
    let bytes = choices.rest();
    let _ = Head::parse(bytes).map(|head| head.path().len());
    let _ = std::str::from_utf8(bytes).map(http_auth::password);
    let whole = served(bytes, usize::MAX, usize::MAX);
    // What does not fit before the first request is taken may be lost.
    if bytes.len() <= HTTP_HEAD_BYTES + HTTP_BODY_BYTES {
        let pieces = served(bytes, size + 1, usize::from(slow) + 1);
        assert_eq!(pieces, whole);
    }
});

/// The requests of what a client sends in pieces of `size`, when its socket takes `room` bytes of the
/// answers at a time.
fn served(bytes: &[u8], size: usize, room: usize) -> Vec<Asked> {
    let mut now = Instant::from_millis(1_000);
    let mut http = HttpConnection::new(now, ConnId(1), [192, 0, 2, 7].into(), Face::Rest);
    let mut asked = Vec::new();
    for piece in bytes.chunks(size) {
        http.handle_bytes(now, piece);
        while http.has_request() || !http.poll_transmit().is_empty() {
            if let Some(request) = http.poll_request() {
                asked.push(answer(&mut http, now, request));
            }
            let given = http.poll_transmit().len();
            http.transmitted(now, given.min(room));
            http.handle_writable();
        }
    }
    let _ = http.handle_end();
    // Whatever it waits for comes in vain.
    for _ in 0..4 {
        let Some(due) = http.poll_timeout() else {
            break;
        };
        now = now.max(due);
        http.handle_timeout(now);
        while let Some(request) = http.poll_request() {
            // The end of the time, not of the bytes, is at fault.
            let _ = answer(&mut http, now, request);
        }
    }
    asked
}

fn answer(
    http: &mut HttpConnection,
    now: Instant,
    request: Result<
        trunkcast::gateway::http::connection::Request,
        trunkcast::wire::http::HttpFault,
    >,
) -> Asked {
    let mut answer = Answer::new(
        request
            .as_ref()
            .map_or_else(|fault| fault.status(), |_| 200),
    );
    let close = match &request {
        Ok(request) => !request.head.keep_alive() || http.must_close(),
        Err(_) => true,
    };
    let _ = answer.write(b"answer");
    let printing = Printing {
        minor: request
            .as_ref()
            .map_or(1, |request| request.head.minor_version()),
        close,
        bodyless: false,
        unix_seconds: 1_700_000_000,
    };
    http.answer(now, &answer.print(printing), close);
    match request {
        Ok(request) => {
            assert_eq!(request.body.len(), request.head.body_length());
            assert!(request.body.len() <= HTTP_BODY_BYTES);
            Asked::Request(request.head.path().to_owned(), request.body)
        }
        Err(fault) => Asked::Fault(fault.status()),
    }
}
