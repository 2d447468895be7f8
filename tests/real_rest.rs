//! The REST interface over real sockets: clients that ask, clients that flood, and a call beside
//! them.

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::daemon::Settings;
use support::raw_caller::RawCaller;
use support::{Daemon, Ports, Rest};

const FIND_ALL: &str = "/rest-api/call/find_all";

fn running(rest: &str) -> (Daemon, Ports) {
    let mut ports = Ports::claim();
    let settings = Settings {
        rest: rest.to_owned(),
        ..Settings::default()
    };
    (Daemon::start(&mut ports, settings), ports)
}

#[test]
fn a_call_is_listed_while_it_lasts() {
    let (mut gateway, mut ports) = running("");
    let mut client = Rest::connect(gateway.rest());
    assert_eq!(client.ask("GET", "/healthz", "", ""), (200, b"ok".to_vec()));
    assert_eq!(client.ask("GET", FIND_ALL, "", "").0, 404);
    let caller = RawCaller::new("127.0.0.1", &mut ports, gateway.sip(), 1);
    caller.send("INVITE", "", 1);
    let (status, _, tag) = caller.status(&["INVITE"]);
    assert_eq!(status, 200);
    caller.send("ACK", &tag, 1);
    let (status, body) = client.post("/rest-api/call/find", &json!({"callee": "1000"}));
    assert_eq!(status, 200);
    let calls: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(calls[0]["incoming"], true);
    assert_eq!(calls[0]["status"], "ESTABLISHED");
    let id = calls[0]["callId"].as_str().unwrap().to_owned();
    caller.send("BYE", &tag, 2);
    assert_eq!(caller.status(&["BYE"]).0, 200);
    let ended = client.post("/rest-api/call/find", &json!({"callId": id}));
    assert_eq!(ended.0, 404);
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let error: Value = serde_json::from_slice(&ended.1).unwrap();
    let told = error["timestamp"].as_u64().unwrap() as i64;
    assert!((told - now.as_millis() as i64).abs() < 2_000, "{error}");
    gateway.terminate();
    gateway.check_calm();
}

/// The answer to a SIP request, with a tag for its dialog.
fn sip_answer(request: &str, code: &str, contact: SocketAddr, sdp: &str) -> String {
    let mut answer = format!("SIP/2.0 {code}\r\n");
    for line in request.lines().take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        let tag = if line.contains(";tag=") {
            ""
        } else {
            ";tag=pbx"
        };
        match name {
            "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route" => {
                answer += &format!("{line}\r\n")
            }
            "To" => answer += &format!("{line}{tag}\r\n"),
            _ => {}
        }
    }
    let length = sdp.len();
    answer += &format!("Contact: <sip:pbx@{contact}>\r\nContent-Type: application/sdp\r\n");
    answer + &format!("Content-Length: {length}\r\n\r\n{sdp}")
}

#[test]
fn a_call_is_placed_answered_and_ended() {
    let (mut gateway, mut ports) = running("");
    let pbx = UdpSocket::bind(ports.address()).unwrap();
    pbx.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let at = pbx.local_addr().unwrap();
    let hear = |method: &str| {
        let mut bytes = [0; 4_096];
        loop {
            let (length, from) = pbx.recv_from(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.starts_with(method) {
                return (text, from);
            }
        }
    };
    let mut client = Rest::connect(gateway.rest());
    let body = json!({
        "callId": "door-1", "callee": "1002", "sipLogin": "1001", "sipDomain": "127.0.0.1",
        "sipPort": at.port().to_string(), "hasVideo": "true", "toStream": "door",
    });
    assert_eq!(client.post("/rest-api/call/startup", &body), (200, vec![]));
    let status = |client: &mut Rest, wanted: &str| {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let (code, body) = client.post("/rest-api/call/find", &json!({"callId": "door-1"}));
            assert_eq!(code, 200);
            let calls: Value = serde_json::from_slice(&body).unwrap();
            if calls[0]["status"] == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{wanted} never came: {calls}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let (invite, from) = hear("INVITE sip:1002@127.0.0.1");
    assert!(invite.contains("Call-ID: door-1\r\n"), "{invite}");
    assert!(
        invite.contains("m=audio ") && invite.contains("m=video "),
        "{invite}"
    );
    status(&mut client, "TRYING");
    let ringing = sip_answer(&invite, "180 Ringing", at, "");
    pbx.send_to(ringing.as_bytes(), from).unwrap();
    status(&mut client, "RING");
    let (_, last) = ports.media();
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {} RTP/AVP 8\r\na=sendrecv\r\nm=video 0 RTP/AVP 97\r\n",
        last - 1
    );
    let answered = sip_answer(&invite, "200 OK", at, &sdp);
    pbx.send_to(answered.as_bytes(), from).unwrap();
    hear("ACK ");
    status(&mut client, "ESTABLISHED");
    let end = client.post("/rest-api/call/terminate", &json!({"callId": "door-1"}));
    assert_eq!(end, (200, vec![]));
    let (bye, from) = hear("BYE ");
    pbx.send_to(sip_answer(&bye, "200 OK", at, "").as_bytes(), from)
        .unwrap();
    let gone = client.post("/rest-api/call/find", &json!({"callId": "door-1"}));
    assert_eq!(gone.0, 404);
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn a_password_guards_everything_but_health() {
    let (gateway, _ports) = running(", password: hunter2");
    let mut client = Rest::connect(gateway.rest());
    assert_eq!(client.ask("GET", "/healthz", "", "").0, 200);
    assert_eq!(client.ask("GET", FIND_ALL, "", "").0, 401);
    let basic = "Authorization: Basic YW55Ym9keTpodW50ZXIy\r\n";
    assert_eq!(client.ask("GET", FIND_ALL, basic, "").0, 404);
    let bearer = "Authorization: Bearer hunter2\r\n";
    assert_eq!(client.ask("GET", FIND_ALL, bearer, "").0, 404);
    assert!(!gateway.log().text().contains("hunter2"));
}

#[test]
fn a_thousand_slow_clients_do_not_keep_out_one_that_asks() {
    let (gateway, mut ports) = running("");
    let caller = RawCaller::new("127.0.0.1", &mut ports, gateway.sip(), 2);
    let mut slow = Vec::new();
    for _ in 0..1_000 {
        if let Ok(mut client) = Rest::try_connect(gateway.rest()) {
            // Many are closed by then to make room for the next.
            let _ = client.send(b"POST /rest-api/call/find HTTP/1.1\r\nX: ");
            slow.push(client);
        }
    }
    let started = Instant::now();
    let mut client = Rest::connect(gateway.rest());
    assert_eq!(client.ask("GET", "/healthz", "", "").0, 200);
    caller.send("INVITE", "", 1);
    assert_eq!(caller.status(&["INVITE"]).0, 200);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    // Closed or told that its time is over, every single one.
    for mut client in slow {
        let (bytes, end) = client.rest();
        let told = bytes.starts_with(b"HTTP/1.1 408 ") || bytes.is_empty();
        assert!(told, "{:?} {end:?}", String::from_utf8_lossy(&bytes));
        let timed_out = end.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out, "a slow client was kept");
    }
    gateway.check_calm();
}

#[test]
fn a_client_that_shuts_its_side_is_answered() {
    let (gateway, _ports) = running("");
    let mut client = Rest::connect(gateway.rest());
    client
        .send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    client.shut();
    assert_eq!(client.answer().unwrap(), (200, b"ok".to_vec()));
    assert_eq!(client.rest().0, b"", "and closed after it");
}

#[test]
fn smuggled_and_oversized_requests_are_refused_over_sockets_too() {
    let (gateway, _ports) = running("");
    for (bytes, code) in [
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), "400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".to_vec(), "501"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n".to_vec(), "413"),
        ([b"GET /".to_vec(), vec![b'a'; 100_000]].concat(), "414"),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03".to_vec(), "400"),
    ] {
        let mut client = Rest::connect(gateway.rest());
        // The rest of a long one may meet a closed connection.
        let _ = client.send(&bytes);
        let (answer, _) = client.rest();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with(&format!("HTTP/1.1 {code} ")), "{text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let (gateway, mut ports) = running("");
    let caller = RawCaller::new("127.0.0.1", &mut ports, gateway.sip(), 3);
    caller.send("INVITE", "", 1);
    assert_eq!(caller.status(&["INVITE"]).0, 200);
    let (status, body) = Rest::connect(gateway.rest()).ask("GET", "/metrics", "", "");
    assert_eq!(status, 200);
    let text = String::from_utf8_lossy(&body);
    assert!(
        text.contains("\ntrunkcast_calls{status=\"ESTABLISHED\"} 1\n"),
        "{text}"
    );
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/prometheus/usr/bin/promtool");
    let mut promtool = Command::new(&program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|_| panic!("{}: tests/run real fetches it", program.display()));
    let mut input = promtool.stdin.take().expect("a pipe");
    input.write_all(&body).expect("it reads");
    drop(input);
    let output = promtool.wait_with_output().expect("it ends");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && words.is_empty(), "{words}");
}

#[test]
fn a_listener_that_is_taken_is_named_at_the_start() {
    let mut ports = Ports::claim();
    let (sip, rtmp) = (ports.pair(), ports.address());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let rest = taken.local_addr().unwrap();
    let folder = support::Scratch::new("taken");
    let file = folder.write(
        "trunkcast.yml",
        format!(
            "trunks:\n  test:\n    localPort: {sip}\n    proxyIp: 127.0.0.1\n\
             rtmp: {{listen: \"{rtmp}\"}}\nrest: {{listen: \"{rest}\"}}\n\
             page: {{listen: off}}\nstate: {{directory: {}}}\n",
            folder.path().display()
        ),
    );
    let output = Command::new(env!("CARGO_BIN_EXE_trunkcast"))
        .args(["run", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    let words = format!("cannot listen on {rest} for REST clients");
    assert!(text.contains(&words), "{text}");
}
