//! HTTP from clients that mean harm or know no better: whatever comes, the answer is a refusal or
//! nothing, the table of connections holds, and calls go on.

mod gateway_support;
mod rest_support;
mod rtp_support;

use std::time::Duration;

use gateway_support::*;
use rest_support::*;
use trunkcast::base::codec::Track;
use trunkcast::base::ids::ConnId;
use trunkcast::base::redact::Secret;
use trunkcast::base::rng::Rng;
use trunkcast::limits::*;

const SECOND: Duration = Duration::from_secs(1);
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: box\r\n\r\n";
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: box\r\n\r\n";

/// An address of the network for documentation.
fn address(at: usize) -> String {
    format!("198.51.{}.{}:40000", at / 250, at % 250 + 1)
}

fn client(world: &mut World) -> ConnId {
    connect(world, "192.0.2.77:40000").expect("a free place")
}

/// The codes answered to one burst of bytes, and whether the connection is open after it.
fn codes(bytes: impl AsRef<[u8]>) -> (Vec<u16>, bool) {
    let mut world = World::local(2);
    let conn = client(&mut world);
    let replies = send(&mut world, conn, bytes);
    let codes = replies.iter().map(|reply| reply.status).collect();
    (codes, world.outlet.is_open(conn))
}

#[test]
fn smuggled_requests_are_not_executed() {
    for (fields, code) in [
        ("Content-Length: -1", 400),
        ("Content-Length: +5", 400),
        ("Content-Length: 0\r\nContent-Length: 39", 400),
        ("Content-Length: 0, 39", 400),
        ("Content-Length: 0x0", 400),
        ("Content-Length : 0", 400),
        ("Transfer-Encoding: chunked", 501),
        ("Transfer-Encoding: gzip", 501),
        ("Transfer-Encoding: identity", 501),
        ("Transfer-Encoding:\tchunked", 501),
        ("Transfer-Encoding: identity\r\nContent-Length: 0", 400),
        ("Content-Length: 0\r\nTransfer-Encoding: xchunked", 400),
        ("Transfer-Encoding : chunked", 400),
        ("X: a\r\n Transfer-Encoding: chunked", 400),
        ("X: a\nTransfer-Encoding: chunked", 400),
        ("X: a\rTransfer-Encoding: chunked", 400),
        ("Host: other", 400),
    ] {
        let bytes = format!("POST /healthz HTTP/1.1\r\nHost: box\r\n{fields}\r\n\r\n{HIDDEN}");
        assert_eq!(codes(&bytes), (vec![code], false), "{fields:?}");
    }
}

#[test]
fn methods_that_a_path_does_not_take_are_told_those_that_it_does() {
    let mut world = World::local(2);
    for method in ["TRACE", "PATCH", "DELETE", "QUERY", "BREW", "get"] {
        for (path, allowed) in [
            ("/healthz", "GET,HEAD,OPTIONS"),
            ("/metrics", "GET,OPTIONS"),
            ("/rest-api/openapi.json", "GET,OPTIONS"),
            ("/rest-api/call/find", "POST,GET,OPTIONS"),
            ("/rest-api/call/startup", "POST,OPTIONS"),
        ] {
            let reply = ask(&mut world, method, path, "{}");
            assert_eq!(reply.status, 405, "{method} {path}");
            assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
        }
    }
    // Where there is nothing that could take it, nobody knows the method at all.
    for (method, status) in [("TRACE", 404), ("BREW", 501)] {
        let reply = ask(&mut world, method, "/rest-api/call/hold", "");
        assert_eq!(reply.status, status, "{method}");
    }
    // Its body is passed over, and no request.
    let brew = request("BREW", "/healthz", "", HIDDEN);
    let conn = client(&mut world);
    let replies = send(&mut world, conn, format!("{brew}{HEALTH}"));
    let codes: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(codes, [405, 200]);
    let mut config = config(2, None);
    config.rest.password = Some(Secret::new("hunter2".to_owned()));
    let mut world = World::new(config);
    for (method, path) in [("BREW", "/rest-api/call/find"), ("BREW", "/hidden")] {
        assert_eq!(ask(&mut world, method, path, "").status, 401, "{path}");
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_all_there() {
    let line = format!("GET /{}", "a".repeat(HTTP_HEAD_BYTES));
    assert_eq!(codes(line), (vec![414], false));
    let head = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(1 << 20));
    assert_eq!(codes(head), (vec![431], false));
    let lines = format!(
        "GET / HTTP/1.1\r\n{}\r\n",
        "X: y\r\n".repeat(HTTP_HEADERS + 1)
    );
    assert_eq!(codes(lines), (vec![431], false));
    let body = "POST / HTTP/1.1\r\nHost: box\r\nContent-Length: 16385\r\n\r\n";
    assert_eq!(codes(body), (vec![413], false));
    let fits = format!("{}{}", body.replace("16385", "16384"), " ".repeat(16_384));
    assert_eq!(codes(fits), (vec![404], true));
}

#[test]
fn other_protocols_are_refused_with_their_first_bytes() {
    assert_eq!(codes(b"\x16\x03\x01\x02\x00\x01"), (vec![400], false));
    assert_eq!(
        codes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (vec![505], false)
    );
    assert_eq!(codes("OPTIONS sip:a@b SIP/2.0\r\n\r\n"), (vec![505], false));
    assert_eq!(
        codes("CONNECT evil:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
        (vec![400], false)
    );
    assert_eq!(
        codes("GET http://box HTTP/1.1\r\nHost: a\r\n\r\n"),
        (vec![400], false)
    );
}

#[test]
fn requests_sent_ahead_are_answered_in_order_and_junk_ends_them() {
    assert_eq!(codes(HEALTH.repeat(3)), (vec![200; 3], true));
    let mixed = format!("{HEALTH}{HIDDEN}{HEALTH}");
    assert_eq!(codes(mixed), (vec![200, 404, 200], true));
    let junk = format!("{HEALTH}\0\0\0{HEALTH}");
    assert_eq!(codes(junk), (vec![200, 400], false));
    let (answered, open) = codes(HEALTH.repeat(10_000));
    assert!(
        answered.len() < 1_000 && !open,
        "{} answers",
        answered.len()
    );
}

#[test]
fn a_request_is_answered_wherever_it_is_split() {
    let request = request("POST", "/rest-api/call/find", "", "{\"callId\":\"a\"}");
    let mut world = World::local(2);
    let conn = client(&mut world);
    for cut in 1..request.len() {
        assert!(send(&mut world, conn, &request[..cut]).is_empty());
        let replies = send(&mut world, conn, &request[cut..]);
        assert_eq!(replies[0].status, 404, "cut at {cut}");
    }
}

#[test]
fn the_client_decides_whether_the_connection_stays() {
    let closing = "GET /healthz HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n";
    let mut world = World::local(2);
    let conn = client(&mut world);
    let replies = send(&mut world, conn, HEALTH);
    assert_eq!(replies[0].header("connection"), None);
    let replies = send(&mut world, conn, closing);
    assert_eq!(replies[0].header("connection"), Some("close"));
    assert!(!world.outlet.is_open(conn));
    assert_eq!(codes("GET /healthz HTTP/1.0\r\n\r\n"), (vec![200], false));
    let head = "HEAD /healthz HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n";
    let conn = client(&mut world);
    world
        .gateway
        .handle_stream(world.now, conn, head.as_bytes(), &mut world.outlet);
    world.settle();
    let written = String::from_utf8(world.outlet.take_written(conn)).unwrap();
    assert!(written.contains("Content-Length: 2\r\n") && written.ends_with("\r\n\r\n"));
}

#[test]
fn a_slow_head_is_cut_off_whatever_trickles_in() {
    let mut world = World::local(2);
    let conn = client(&mut world);
    let mut replies = Vec::new();
    for byte in HEALTH.as_bytes() {
        replies.extend(send(&mut world, conn, [*byte]));
        world.advance(SECOND);
        if !world.outlet.is_open(conn) {
            break;
        }
    }
    assert!(replies.is_empty());
    let replies = Reply::all(&world.outlet.take_written(conn));
    assert_eq!(replies[0].status, 408);
    assert!(!world.outlet.is_open(conn));
    assert_eq!(world.gateway.usage().clients, 0);
    assert_eq!(world.gateway.http_counters().timed_out, 1);
}

#[test]
fn silent_and_idle_connections_end_without_a_word() {
    let mut world = World::local(2);
    let (silent, idle) = (client(&mut world), client(&mut world));
    send(&mut world, idle, HEALTH);
    world.advance(6 * SECOND);
    assert!(!world.outlet.is_open(silent) && world.outlet.is_open(idle));
    world.advance(10 * SECOND);
    assert!(!world.outlet.is_open(idle));
    assert!(world.outlet.take_written(silent).is_empty());
    assert!(world.outlet.take_written(idle).is_empty());
}

#[test]
fn a_thousand_slow_clients_take_no_more_than_their_places() {
    let mut world = World::local(2);
    for at in 0..1_000 {
        let conn = connect(&mut world, &address(at)).expect("the oldest gives way");
        send(&mut world, conn, "GET / HTTP/1.1\r\nX: ");
        assert!(world.gateway.usage().clients <= HTTP_CONNECTIONS);
    }
    assert_eq!(
        world.gateway.http_counters().evicted,
        1_000 - HTTP_CONNECTIONS as u64
    );
    let conn = client(&mut world);
    assert_eq!(send(&mut world, conn, HEALTH)[0].status, 200);
    world.advance(60 * SECOND);
    assert_eq!(world.gateway.usage().clients, 0);
    assert_eq!(world.outlet.connections(), 0);
}

#[test]
fn one_address_does_not_take_the_places_of_others() {
    let mut world = World::local(2);
    let guest = connect(&mut world, "198.51.100.1:1").unwrap();
    send(&mut world, guest, "GET /healthz HTTP/1.1\r\n");
    for port in 0..200 {
        connect(&mut world, &format!("192.0.2.9:{}", 1_000 + port)).unwrap();
    }
    assert_eq!(
        world.gateway.usage().clients,
        1 + HTTP_CONNECTIONS_AN_ADDRESS
    );
    let replies = send(&mut world, guest, "Host: box\r\n\r\n");
    assert_eq!(replies[0].status, 200);
}

#[test]
fn who_never_finishes_a_body_gives_way_to_others() {
    let mut world = World::local(2);
    let body = "POST / HTTP/1.1\r\nHost: box\r\nContent-Length: 9\r\n\r\n{";
    for at in 0..HTTP_CONNECTIONS {
        let conn = connect(&mut world, &address(at)).unwrap();
        send(&mut world, conn, body);
    }
    for at in 0..100 {
        let conn = connect(&mut world, &address(500 + at)).expect("a place");
        assert_eq!(send(&mut world, conn, HEALTH)[0].status, 200);
    }
    assert_eq!(world.gateway.http_counters().turned_away, 0);
}

#[test]
fn who_reads_no_answer_has_two_seconds_before_he_gives_way() {
    let mut world = World::local(2);
    for at in 0..HTTP_CONNECTIONS {
        let conn = connect(&mut world, &address(at)).unwrap();
        world.outlet.set_room(conn, 0);
        send(&mut world, conn, HEALTH);
    }
    assert!(connect(&mut world, &address(500)).is_none());
    assert_eq!(world.gateway.http_counters().turned_away, 1);
    world.advance(2 * SECOND);
    assert!(connect(&mut world, &address(500)).is_some());
    assert_eq!(world.gateway.http_counters().evicted, 1);
}

#[test]
fn a_turn_answers_so_many_requests_and_the_next_one_the_rest() {
    let mut world = World::local(2);
    let clients: Vec<_> = (0..HTTP_CONNECTIONS)
        .map(|at| connect(&mut world, &address(at)).unwrap())
        .collect();
    for conn in &clients {
        let bytes = HEALTH.as_bytes();
        world
            .gateway
            .handle_stream(world.now, *conn, bytes, &mut world.outlet);
    }
    for turn in 1..=HTTP_CONNECTIONS / HTTP_REQUESTS_A_TURN {
        world.gateway.drain(world.now, &mut world.outlet);
        world.gateway.drain(world.now, &mut world.outlet);
        let answered = world.gateway.http_counters().requests;
        assert_eq!(answered as usize, turn * HTTP_REQUESTS_A_TURN);
        let due = world.gateway.poll_timeout();
        let more = answered < clients.len() as u64;
        assert_eq!(
            due.is_some_and(|due| due <= world.now + Duration::from_micros(1)),
            more
        );
        world.now = world.now + Duration::from_micros(1);
    }
    for conn in clients {
        let replies = Reply::all(&world.outlet.take_written(conn));
        assert_eq!(replies[0].status, 200);
    }
}

#[test]
fn a_turn_makes_so_many_bytes_of_answers() {
    let mut world = World::local(200);
    world.checks = false;
    for number in 0..200 {
        world.call(&mut Phone::new(&format!("{}", 5_000 + number)));
    }
    for at in 0..HTTP_CONNECTIONS {
        let conn = connect(&mut world, &address(at)).unwrap();
        let asks = request("GET", "/rest-api/call/find_all", "", "");
        world
            .gateway
            .handle_stream(world.now, conn, asks.as_bytes(), &mut world.outlet);
    }
    for turn in 1..=5 {
        world.now = world.now + Duration::from_micros(1);
        world.gateway.drain(world.now, &mut world.outlet);
        // One list of 200 calls is more than a turn's worth.
        assert_eq!(world.gateway.http_counters().requests, turn);
    }
}

#[test]
fn clients_that_do_not_read_hold_no_more_than_their_bound() {
    let mut world = World::local(80);
    world.checks = false;
    for number in 0..80 {
        world.call(&mut Phone::new(&format!("{}", 5_000 + number)));
    }
    let mut overloaded = 0;
    for at in 0..HTTP_CONNECTIONS {
        let conn = connect(&mut world, &address(at)).unwrap();
        world.outlet.set_room(conn, 0);
        // Sent ahead: one answer at a time waits all the same.
        let asks = request("GET", "/rest-api/call/find_all", "", "").repeat(20);
        send(&mut world, conn, asks);
        overloaded = world.gateway.http_counters().overloaded;
    }
    let answered = world.gateway.http_counters().requests;
    assert!(
        answered <= HTTP_CONNECTIONS as u64,
        "one for each connection"
    );
    // 32 lists of 80 calls are more than may wait.
    assert!(overloaded > 0, "{:?}", world.gateway.http_counters());
    world.advance(31 * SECOND);
    assert_eq!(world.gateway.usage().clients, 0);
}

#[test]
fn media_passes_while_http_is_flooded() {
    let mut world = World::publishing(2);
    let mut phone = Phone::new("4711");
    world.call(&mut phone);
    let mut camera = Camera::new(1);
    camera.film(&mut world, &phone, SECOND);
    let before = world.server().pictures();
    let flood = request("GET", "/rest-api/call/find_all", "", "").repeat(200);
    for round in 0..20 {
        for at in 0..2 {
            if let Some(conn) = connect(&mut world, &address(round * 2 + at)) {
                send(&mut world, conn, &flood);
            }
        }
        camera.film(&mut world, &phone, SECOND / 20);
    }
    assert!(world.server().pictures() >= before + 20);
    let call = world.find("rtmp_4711").unwrap();
    assert!(call.session.stats(Track::Video).packets > 0);
    world.bye(&mut phone);
}

#[test]
fn junk_of_every_kind_leaves_tables_that_agree() {
    let mut world = World::local(2);
    let mut rng = Rng::from_number(80);
    let good = request(
        "POST",
        "/rest-api/call/find",
        "Connection: keep-alive\r\n",
        "{}",
    );
    for round in 0..3_000 {
        let Some(conn) = connect(&mut world, &address(round % 500)) else {
            continue;
        };
        let bytes = mutate(good.as_bytes(), &mut rng);
        let cut = rng.below(bytes.len() as u32 + 1) as usize;
        for part in [&bytes[..cut], &bytes[cut..]] {
            let now = world.now;
            world
                .gateway
                .handle_stream(now, conn, part, &mut world.outlet);
            world.settle();
        }
        if rng.below(2) == 0 && world.outlet.is_open(conn) {
            world.disconnect(conn, "reset");
        }
    }
    assert_eq!(world.gateway.http_counters().crashed, 0);
    assert_eq!(world.errors(), 0);
    world.advance(60 * SECOND);
    assert_eq!(world.gateway.usage().clients, 0);
    let conn = client(&mut world);
    assert_eq!(send(&mut world, conn, HEALTH)[0].status, 200);
}
