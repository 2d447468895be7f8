use super::*;
use embedded_svc::http::Query;

const GET: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: box\r\n\r\n";
const POST: &[u8] = b"POST /a HTTP/1.1\r\nHost: box\r\nContent-Length: 4\r\n\r\nbody";

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn connection() -> HttpConnection {
    HttpConnection::new(at(0), ConnId(1), IpAddr::from([192, 0, 2, 1]), Face::Rest)
}

/// The body of the request that is ready.
fn body(connection: &mut HttpConnection) -> Vec<u8> {
    connection.poll_request().unwrap().unwrap().body
}

fn fault(connection: &mut HttpConnection) -> HttpFault {
    connection.poll_request().unwrap().unwrap_err()
}

/// Everything written so far, taken by the socket.
fn written(connection: &mut HttpConnection, now: Instant) -> Vec<u8> {
    let bytes = connection.poll_transmit().to_vec();
    connection.transmitted(now, bytes.len());
    bytes
}

#[test]
fn a_request_is_whole_wherever_it_was_split() {
    for cut in 1..POST.len() {
        let mut connection = connection();
        connection.handle_bytes(at(1), &POST[..cut]);
        assert!(!connection.has_request(), "cut at {cut}");
        connection.handle_bytes(at(2), &POST[cut..]);
        assert_eq!(body(&mut connection), b"body", "cut at {cut}");
        assert!(connection.poll_request().is_none());
    }
    let mut connection = connection();
    for byte in POST {
        connection.handle_bytes(at(1), &[*byte]);
    }
    assert_eq!(body(&mut connection), b"body");
}

#[test]
fn a_request_sent_ahead_is_looked_at_after_the_answer() {
    let mut connection = connection();
    connection.handle_bytes(at(1), &[POST, b"\r\n", GET, GET].concat());
    assert_eq!(body(&mut connection), b"body");
    assert!(!connection.has_request());
    for _ in 0..2 {
        connection.answer(at(2), b"answer", false);
        assert_eq!(written(&mut connection, at(2)), b"answer");
        let request = connection.poll_request().unwrap().unwrap();
        assert_eq!(request.head.uri(), "/healthz");
    }
    connection.answer(at(2), b"answer", false);
    written(&mut connection, at(3));
    assert!(!connection.has_request() && !connection.is_over());
    assert!(!connection.must_close());
}

#[test]
fn a_client_that_sends_ahead_more_than_fits_is_closed_after_the_answer() {
    let mut connection = connection();
    connection.handle_bytes(at(1), &GET.repeat(2 * INPUT_BYTES / GET.len()));
    assert!(connection.input.capacity() <= 2 * INPUT_BYTES);
    connection.poll_request().unwrap().unwrap();
    assert!(connection.must_close());
    connection.answer(at(1), b"answer", true);
    connection.handle_bytes(at(1), GET);
    assert_eq!(written(&mut connection, at(1)), b"answer");
    assert!(connection.is_over() && !connection.has_request());
}

#[test]
fn the_head_has_one_deadline_whatever_trickles_in() {
    let mut connection = connection();
    for (second, byte) in GET.iter().enumerate().take(4) {
        connection.handle_bytes(at(second as u64 * 1_000), &[*byte]);
        assert_eq!(connection.poll_timeout(), Some(at(5_000)));
    }
    connection.handle_timeout(at(4_999));
    assert!(!connection.has_request());
    connection.handle_timeout(at(5_000));
    assert_eq!(fault(&mut connection), HttpFault::Timeout);
}

#[test]
fn a_client_that_says_nothing_is_closed_without_a_word() {
    let mut connection = connection();
    connection.handle_timeout(at(5_000));
    assert!(connection.is_over() && !connection.has_request());
}

#[test]
fn a_body_an_answer_and_a_pause_have_deadlines_too() {
    let mut connection = connection();
    let (head, body) = POST.split_at(POST.len() - 4);
    connection.handle_bytes(at(1_000), head);
    assert_eq!(connection.poll_timeout(), Some(at(11_000)));
    connection.handle_bytes(at(2_000), body);
    assert_eq!(connection.poll_timeout(), None, "it is our turn");
    connection.poll_request().unwrap().unwrap();
    connection.answer(at(3_000), b"answer", false);
    assert_eq!(connection.poll_timeout(), Some(at(33_000)));
    connection.transmitted(at(3_000), 3);
    assert_eq!(connection.poll_transmit(), b"", "the socket is full");
    assert_eq!(connection.unsent(), 3);
    connection.handle_writable();
    assert_eq!(written(&mut connection, at(4_000)), b"wer");
    assert_eq!(connection.poll_timeout(), Some(at(19_000)));
    connection.handle_bytes(at(18_000), b"G");
    assert_eq!(connection.poll_timeout(), Some(at(23_000)));
    connection.handle_timeout(at(23_000));
    assert_eq!(fault(&mut connection), HttpFault::Timeout);
}

#[test]
fn a_client_that_does_not_read_is_closed() {
    let mut connection = connection();
    connection.handle_bytes(at(0), GET);
    connection.poll_request().unwrap().unwrap();
    connection.answer(at(0), b"answer", false);
    connection.transmitted(at(0), 0);
    connection.handle_timeout(at(30_000));
    assert!(connection.is_over());
}

#[test]
fn a_client_that_waits_for_it_is_told_to_go_on() {
    let head =
        b"POST /a HTTP/1.1\r\nHost: box\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    let mut waits = connection();
    waits.handle_bytes(at(0), head);
    assert_eq!(written(&mut waits, at(0)), CONTINUE);
    waits.handle_bytes(at(0), b"body");
    assert_eq!(body(&mut waits), b"body");
    let mut hurries = connection();
    hurries.handle_bytes(at(0), &[&head[..], b"body"].concat());
    assert_eq!(written(&mut hurries, at(0)), b"");
    assert_eq!(body(&mut hurries), b"body");
}

#[test]
fn nothing_is_read_after_what_is_no_request() {
    for junk in [&b"\x16\x03\x01\x02\x00"[..], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut connection = connection();
        connection.handle_bytes(at(0), junk);
        connection.handle_bytes(at(0), &GET.repeat(1_000));
        assert!(connection.input.len() < INPUT_BYTES);
        fault(&mut connection);
        connection.answer(at(0), b"refused", true);
        written(&mut connection, at(0));
        assert!(connection.is_over());
    }
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answer() {
    let mut connection = connection();
    connection.handle_bytes(at(0), GET);
    assert!(connection.handle_end());
    connection.poll_request().unwrap().unwrap();
    assert!(connection.must_close());
    connection.answer(at(0), b"answer", true);
    assert!(connection.handle_end());
    assert_eq!(written(&mut connection, at(0)), b"answer");
    assert!(connection.is_over());
    for begun in [&GET[..0], &GET[..9], &POST[..POST.len() - 1]] {
        let mut connection = self::connection();
        connection.handle_bytes(at(0), begun);
        assert!(!connection.handle_end(), "nothing is owed for a part");
    }
}

#[test]
fn nothing_that_a_client_sent_in_confidence_is_printed() {
    let mut connection = connection();
    let head = "POST /a?key=hunter2 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hunter2\r\n";
    let request = format!("{head}Content-Length: 7\r\n\r\nhunter2");
    connection.handle_bytes(at(0), request.as_bytes());
    let shown = format!("{:?}", connection.poll_request());
    assert_eq!(shown, "Some(Ok(Request(Head(Post /a), 7 bytes)))");
}

#[test]
fn only_connections_that_nobody_waits_for_give_way() {
    let mut connection = connection();
    assert_eq!(connection.waiting_since(at(0)), Some(at(0)));
    let (head, body) = (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
        b"1",
    );
    connection.handle_bytes(at(1), head);
    assert_eq!(connection.waiting_since(at(1)), Some(at(0)));
    connection.handle_bytes(at(1), body);
    assert_eq!(connection.waiting_since(at(1)), None);
    connection.poll_request().unwrap().unwrap();
    connection.answer(at(2), b"answer", false);
    assert_eq!(connection.waiting_since(at(3)), None);
    assert_eq!(connection.waiting_since(at(2_002)), Some(at(2)));
    written(&mut connection, at(2_003));
    assert_eq!(connection.waiting_since(at(2_003)), Some(at(2_003)));
}
