use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

fn events(client: &mut Client) -> Vec<ClientEvent> {
    core::iter::from_fn(|| client.poll_event()).collect()
}

/// A client whose first request was answered and whose connection is kept.
fn kept() -> Client {
    let mut client = Client::default();
    client.send(b"one".to_vec(), at(15));
    client.handle_connected();
    client.transmitted(3);
    client.handle_bytes(at(1), OK);
    assert_eq!(
        events(&mut client),
        [ClientEvent::Connect, ClientEvent::Done(Ok(200))]
    );
    client
}

#[test]
fn requests_share_a_connection() {
    let mut client = kept();
    assert!(client.is_free() && client.is_connected());
    client.send(b"two".to_vec(), at(16));
    assert_eq!(events(&mut client), []);
    assert_eq!(client.poll_transmit(), b"two");
    client.transmitted(2);
    assert_eq!(client.poll_transmit(), b"o");
    client.transmitted(1);
    client.handle_bytes(at(2), &OK[..7]);
    assert!(!client.is_free());
    client.handle_bytes(at(2), &OK[7..]);
    assert_eq!(events(&mut client), [ClientEvent::Done(Ok(200))]);
}

#[test]
fn nothing_is_sent_before_the_connection_is_up() {
    let mut client = Client::default();
    client.send(b"one".to_vec(), at(15));
    assert_eq!(client.poll_transmit(), b"");
    client.handle_connected();
    assert_eq!(client.poll_transmit(), b"one");
}

#[test]
fn a_kept_connection_that_was_closed_costs_no_request() {
    let mut client = kept();
    client.send(b"two".to_vec(), at(16));
    client.transmitted(3);
    client.handle_disconnected("closed by the peer");
    assert_eq!(events(&mut client), [ClientEvent::Connect]);
    client.handle_connected();
    assert_eq!(client.poll_transmit(), b"two");
    // The fresh one has no such excuse.
    client.handle_disconnected("closed by the peer");
    let broken = Failure::Broken("closed by the peer".to_owned());
    assert_eq!(events(&mut client), [ClientEvent::Done(Err(broken))]);
}

#[test]
fn an_idle_connection_that_ends_is_no_failure() {
    let mut client = kept();
    client.handle_disconnected("closed by the peer");
    assert_eq!(events(&mut client), []);
    assert!(client.is_free() && !client.is_connected());
    let mut client = kept();
    assert_eq!(client.poll_timeout(), Some(at(21)));
    client.handle_timeout(at(21));
    assert_eq!(events(&mut client), [ClientEvent::Close]);
    // Bytes that nobody asked for are taken for no answer to the next request.
    let mut client = kept();
    client.handle_bytes(at(2), OK);
    assert_eq!(events(&mut client), [ClientEvent::Close]);
}

#[test]
fn an_answer_that_does_not_come_is_a_failure() {
    for connected in [false, true] {
        let mut client = Client::default();
        client.send(b"one".to_vec(), at(15));
        if connected {
            client.handle_connected();
        }
        assert_eq!(client.poll_timeout(), Some(at(15)));
        client.handle_timeout(at(14));
        assert_eq!(events(&mut client), [ClientEvent::Connect]);
        client.handle_timeout(at(15));
        let late = ClientEvent::Done(Err(Failure::Timeout));
        assert_eq!(events(&mut client), [ClientEvent::Close, late]);
    }
    let mut client = Client::default();
    client.send(b"one".to_vec(), at(15));
    client.handle_disconnected("Connection refused");
    let refused = Failure::Unreachable("Connection refused".to_owned());
    let refused = ClientEvent::Done(Err(refused));
    assert_eq!(events(&mut client), [ClientEvent::Connect, refused]);
}

#[test]
fn an_answer_before_the_whole_request_ends_the_connection() {
    let mut client = Client::default();
    client.send(b"one".to_vec(), at(15));
    client.handle_connected();
    client.transmitted(1);
    client.handle_bytes(
        at(1),
        b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n",
    );
    let done = ClientEvent::Done(Ok(413));
    assert_eq!(
        events(&mut client),
        [ClientEvent::Connect, ClientEvent::Close, done]
    );
}

#[test]
fn an_answer_that_is_none_is_a_failure_and_a_long_one_is_not() {
    let mut client = Client::default();
    client.send(b"one".to_vec(), at(15));
    client.handle_connected();
    client.transmitted(3);
    client.handle_bytes(at(1), b"SSH-2.0");
    let fault = Failure::Faulty(ResponseFault::Syntax);
    assert_eq!(
        events(&mut client).last(),
        Some(&ClientEvent::Done(Err(fault)))
    );
    client.send(b"two".to_vec(), at(15));
    client.handle_connected();
    client.transmitted(3);
    client.handle_bytes(
        at(1),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
    );
    assert_eq!(
        events(&mut client).last(),
        Some(&ClientEvent::Done(Ok(200)))
    );
}

#[test]
fn a_backend_that_ends_its_answer_with_the_connection_is_understood() {
    let mut client = Client::default();
    client.send(b"one".to_vec(), at(15));
    client.handle_connected();
    client.transmitted(3);
    client.handle_bytes(at(1), b"HTTP/1.0 200 OK\r\n\r\n{}");
    client.handle_disconnected("closed by the peer");
    assert_eq!(
        events(&mut client),
        [ClientEvent::Connect, ClientEvent::Done(Ok(200))]
    );
    assert!(client.is_free() && !client.is_connected());
}
