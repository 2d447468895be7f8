use super::*;
use crate::base::rng::Rng;

const POST: &str = "POST /rest-api/call/find?x=1 HTTP/1.1\r\nHost: box:8081\r\nContent-Type: \
                    application/json\r\nContent-Length: 2\r\n\r\n";

fn parse(text: &str) -> Result<Head, HttpFault> {
    let end = head_end(text.as_bytes(), 0)?.expect("a whole head");
    Head::parse(&text.as_bytes()[..end])
}

fn fault(lines: &str) -> Option<HttpFault> {
    parse(&format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n")).err()
}

#[test]
fn a_request_is_read_with_all_that_matters() {
    let head = parse(POST).unwrap();
    assert_eq!(head.method(), Method::Post);
    assert_eq!(head.uri(), "/rest-api/call/find?x=1");
    assert_eq!(head.path(), "/rest-api/call/find");
    assert_eq!(head.header("content-type"), Some("application/json"));
    assert_eq!(head.header("absent"), None);
    assert_eq!((head.minor_version(), head.body_length()), (1, 2));
    assert!(head.keep_alive() && !head.expects_continue());
}

#[test]
fn connections_stay_open_for_clients_of_1_1_that_do_not_object() {
    for (request, keeps) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            false,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: te, CLOSE\r\n\r\n",
            false,
        ),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false),
    ] {
        assert_eq!(parse(request).unwrap().keep_alive(), keeps, "{request:?}");
    }
}

#[test]
fn targets_are_paths_whatever_their_form() {
    let path = |target: &str| {
        parse(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .map(|head| head.path().to_owned())
    };
    assert_eq!(path("/").unwrap(), "/");
    assert_eq!(path("http://box:8081/healthz?a=/b").unwrap(), "/healthz");
    for refused in [
        "*",
        "box:443",
        "healthz",
        "ftp://box/a",
        "http://box",
        "/\u{e9}",
    ] {
        assert_eq!(path(refused), Err(HttpFault::Syntax), "{refused}");
    }
    let head = parse("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(head.path(), "*");
}

#[test]
fn lengths_that_two_readers_could_take_differently_are_refused() {
    let with = |lines: &str| fault(&format!("Host: a\r\n{lines}"));
    for length in [
        "-1", "+1", "1 1", "0x10", "1,1", "1, 1", "", " ", "1.0", "\u{661}",
    ] {
        let lines = format!("Content-Length: {length}");
        assert_eq!(with(&lines), Some(HttpFault::Length), "{length:?}");
    }
    assert_eq!(
        with("Content-Length: 3\r\nContent-Length: 3"),
        Some(HttpFault::Length)
    );
    for coding in ["chunked", "gzip", "identity", "\tchunked", "xchunked", ""] {
        let alone = format!("Transfer-Encoding: {coding}");
        assert_eq!(
            with(&alone),
            Some(HttpFault::TransferEncoding),
            "{coding:?}"
        );
        let both = format!("Content-Length: 3\r\ntransfer-encoding: {coding}");
        assert_eq!(with(&both), Some(HttpFault::TwoLengths), "{coding:?}");
    }
    for lines in [
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "X: a\r\n Transfer-Encoding: chunked",
        "Content-Length\t: 3",
    ] {
        assert_eq!(with(lines), Some(HttpFault::Syntax), "{lines:?}");
    }
    assert_eq!(
        parse("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap_err(),
        HttpFault::TwoLengths
    );
}

#[test]
fn a_body_may_have_so_many_bytes() {
    let with = |length: &str| fault(&format!("Host: a\r\nContent-Length: {length}"));
    assert_eq!(with("16384"), None);
    assert_eq!(with("00016384"), None);
    assert_eq!(with("16385"), Some(HttpFault::BodyTooLarge));
    assert_eq!(with(&"9".repeat(400)), Some(HttpFault::BodyTooLarge));
}

#[test]
fn one_host_is_required() {
    assert_eq!(fault("X: y"), Some(HttpFault::Host));
    assert_eq!(fault("Host: a\r\nHost: a"), Some(HttpFault::Host));
    assert_eq!(fault("Host:"), Some(HttpFault::Host));
    assert_eq!(fault("Host: a b"), Some(HttpFault::Host));
    assert_eq!(fault("Host: a/b"), Some(HttpFault::Host));
    assert_eq!(fault("Host: [2001:db8::1]:8081"), None);
}

#[test]
fn what_is_not_understood_is_answered_by_its_own_code() {
    let codes = [
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\n", 505),
        ("GET /\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\n\r\n",
            417,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
            400,
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
    ];
    for (request, code) in codes {
        assert_eq!(parse(request).unwrap_err().status(), code, "{request:?}");
    }
}

#[test]
fn a_method_that_nobody_knows_is_a_head_all_the_same() {
    for (method, known) in [
        ("GET", true),
        ("TRACE", true),
        ("PATCH", true),
        ("BREW", false),
        ("QUERY", false),
        ("get", false),
    ] {
        let head = parse(&format!("{method} /a HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        assert_eq!(head.knows_method(), known, "{method}");
        assert_eq!(head.path(), "/a");
        assert!(known || head.method() == Method::Trace, "{method}");
    }
    let everything = parse("BREW * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(everything.unwrap_err(), HttpFault::Syntax);
}

#[test]
fn a_client_that_waits_for_it_is_noticed() {
    let head = parse("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n").unwrap();
    assert!(head.expects_continue());
    let old = parse("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert!(!old.expects_continue());
}

#[test]
fn heads_are_bounded_in_bytes_and_lines() {
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(HTTP_HEAD_BYTES));
    assert_eq!(head_end(long.as_bytes(), 0), Err(HttpFault::TargetTooLong));
    let fat = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(HTTP_HEAD_BYTES));
    assert_eq!(head_end(fat.as_bytes(), 0), Err(HttpFault::HeadTooLarge));
    let lines = |count: usize| fault(&format!("Host: a{}", "\r\nX: y".repeat(count)));
    assert_eq!(lines(HTTP_HEADERS - 1), None);
    assert_eq!(lines(HTTP_HEADERS), Some(HttpFault::HeadTooLarge));
}

#[test]
fn what_is_no_http_is_seen_early() {
    assert_eq!(head_end(b"\x16\x03\x01", 0), Err(HttpFault::Syntax));
    assert_eq!(head_end(b"GET / HTTP/1.1\n", 0), Err(HttpFault::BareLf));
    assert_eq!(head_end(b"\r\n", 0), Err(HttpFault::Syntax));
}

#[test]
fn the_end_of_a_head_is_found_however_it_is_split() {
    for cut in 0..POST.len() {
        let seen = head_end(&POST.as_bytes()[..cut], 0);
        assert_eq!(seen, Ok(None), "cut at {cut}");
        assert_eq!(head_end(POST.as_bytes(), cut), Ok(Some(POST.len())));
    }
}

#[test]
fn mutated_heads_are_refused_or_read_and_never_more() {
    let mut rng = Rng::from_number(8_081);
    for _ in 0..20_000 {
        let mut bytes = POST.as_bytes().to_vec();
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len() as u32) as usize;
            match rng.below(3) {
                0 => bytes[at] = rng.below(256) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, rng.below(256) as u8),
            }
        }
        if let Ok(Some(end)) = head_end(&bytes, 0)
            && let Ok(head) = Head::parse(&bytes[..end])
        {
            assert!(head.body_length() <= HTTP_BODY_BYTES);
            assert!(head.uri().starts_with('/'));
        }
        for cut in [0, bytes.len() / 2] {
            let _ = Head::parse(&bytes[..cut]);
        }
    }
}
