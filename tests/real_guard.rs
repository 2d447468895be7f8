//! The guard of the page over sockets: the first visit writes the settings file, tries of passwords are
//! bounded, other sites are refused, and the program begins anew in place of itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

mod support;

use support::daemon::Settings;
use support::{Daemon, Ports};

const PASSWORD: &str = "correct horse battery";
const POSTED: &str = "Content-Type: application/json\r\nX-Trunkcast: 1\r\n";

/// An answer.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Name and token of the cookie that it sets.
    fn cookie(&self) -> String {
        let lines = self.head.lines();
        let mut cookies = lines.filter_map(|line| line.strip_prefix("Set-Cookie: "));
        let cookie = cookies.next().expect("a cookie");
        cookie.split(';').next().unwrap().to_owned()
    }
}

/// Asks over a connection of its own.
fn ask(to: SocketAddr, method: &str, path: &str, fields: &str, body: &str) -> Answer {
    try_ask(to, method, path, fields, body).expect("an answer")
}

fn try_ask(
    to: SocketAddr,
    method: &str,
    path: &str,
    fields: &str,
    body: &str,
) -> std::io::Result<Answer> {
    let mut socket = TcpStream::connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let host = if fields.contains("Host: ") {
        String::new()
    } else {
        format!("Host: {to}\r\n")
    };
    let length = body.len();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\n{host}{fields}Connection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )?;
    let mut bytes = String::new();
    socket.read_to_string(&mut bytes)?;
    let (head, body) = bytes
        .split_once("\r\n\r\n")
        .ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok(Answer {
        status: head[9..12].parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

fn post(to: SocketAddr, path: &str, cookie: &str, body: &Value) -> Answer {
    let fields = match cookie {
        "" => POSTED.to_owned(),
        cookie => format!("{POSTED}Cookie: {cookie}\r\n"),
    };
    ask(to, "POST", path, &fields, &body.to_string())
}

fn state(to: SocketAddr, cookie: &str) -> String {
    let fields = match cookie {
        "" => String::new(),
        cookie => format!("Cookie: {cookie}\r\n"),
    };
    let session = ask(to, "GET", "/page/session", &fields, "").json();
    session["state"].as_str().unwrap().to_owned()
}

/// A gateway with a page whose password nobody has set.
fn running(more: &str) -> (Daemon, Ports) {
    let mut ports = Ports::claim();
    let settings = Settings {
        page: Some(more.to_owned()),
        ..Settings::default()
    };
    (Daemon::start(&mut ports, settings), ports)
}

fn set_password(gateway: &Daemon) -> String {
    let mark = gateway.log().mark();
    let reply = post(
        gateway.page(),
        "/page/password",
        "",
        &json!({ "password": PASSWORD }),
    );
    assert_eq!(reply.status, 200, "{} {}", reply.head, reply.body);
    gateway.wait_after(mark, "configuration read again", 5);
    reply.cookie()
}

#[test]
fn the_first_visit_writes_the_hash_into_the_settings_file() {
    let (mut gateway, _ports) = running("");
    let page = gateway.page();
    assert_eq!(state(page, ""), "new");
    let cookie = set_password(&gateway);
    assert_eq!(
        state(page, &cookie),
        "signedIn",
        "the reload ends no session"
    );
    assert_eq!(state(page, ""), "signedOut");

    let file = gateway.state().join("trunkcast.yml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("$argon2id$v=19$"), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(
        mode & 0o007,
        0,
        "{mode:o}: strangers on the box read no hash"
    );

    let again = post(
        page,
        "/page/password",
        "",
        &json!({ "password": "another one" }),
    );
    assert_eq!(
        (again.status, again.json()),
        (409, json!({ "problem": "passwordIsSet" }))
    );
    gateway.restart();
    assert_eq!(
        state(page, &cookie),
        "signedOut",
        "sessions end with the program"
    );
    let login = post(page, "/page/login", "", &json!({ "password": PASSWORD }));
    assert_eq!(login.status, 200, "{}", login.body);
    assert_eq!(state(page, &login.cookie()), "signedIn");
    assert!(!gateway.log().text().contains(PASSWORD));
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn passwords_are_tried_a_few_times_only() {
    let (gateway, _ports) = running("");
    let page = gateway.page();
    set_password(&gateway);
    for _ in 0..5 {
        let reply = post(
            page,
            "/page/login",
            "",
            &json!({ "password": "a wrong guess" }),
        );
        assert_eq!(
            (reply.status, reply.json()),
            (401, json!({ "problem": "wrongPassword" }))
        );
    }
    let reply = post(page, "/page/login", "", &json!({ "password": PASSWORD }));
    assert_eq!(reply.status, 429, "{}", reply.body);
    assert!(reply.json()["seconds"].as_u64().unwrap() > 30);
    gateway.wait_after(0, "too many wrong passwords", 1);
    // What needs no password goes on.
    assert_eq!(ask(page, "GET", "/", "", "").status, 200);
    gateway.check_calm();
}

#[test]
fn other_sites_and_names_of_the_world_are_refused() {
    let (gateway, _ports) = running("");
    let page = gateway.page();
    let body = json!({ "password": PASSWORD }).to_string();
    let fields = format!(
        "Host: rebound.example:{0}\r\nOrigin: http://rebound.example:{0}\r\n{POSTED}",
        page.port()
    );
    let reply = ask(page, "POST", "/page/password", &fields, &body);
    assert_eq!(
        (reply.status, reply.json()),
        (403, json!({ "problem": "hostNotLocal" }))
    );
    for fields in [
        "Content-Type: text/plain\r\n".to_owned(),
        format!("{POSTED}Origin: http://evil.example\r\n"),
        format!("{POSTED}Sec-Fetch-Site: cross-site\r\n"),
    ] {
        let reply = ask(page, "POST", "/page/password", &fields, &body);
        assert_eq!(
            (reply.status, reply.json()),
            (403, json!({ "problem": "crossSite" }))
        );
    }
    assert_eq!(state(page, ""), "new");
    set_password(&gateway);
    gateway.check_calm();
}

#[test]
fn who_is_not_allowed_gets_no_byte() {
    let (gateway, _ports) = running(", allow: [192.0.2.0/24]");
    let refused = try_ask(gateway.page(), "GET", "/", "", "");
    assert!(refused.is_err(), "an answer for a stranger");
    let metrics = ask(gateway.rest(), "GET", "/metrics", "", "").body;
    assert!(
        metrics.contains("trunkcast_page_not_allowed_total 1\n"),
        "{metrics}"
    );
    gateway.check_calm();
}

#[test]
fn over_tls_the_cookie_is_a_secure_one() {
    let mut ports = Ports::claim();
    let address = ports.address();
    let settings = Settings {
        page: Some(format!(", tls: {{listen: \"{address}\"}}")),
        ..Settings::default()
    };
    let gateway = Daemon::start(&mut ports, settings);
    let own = gateway.state().join("sip-certificate.pem");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--cacert"])
        .arg(&own)
        .args([
            "-H",
            "Content-Type: application/json",
            "-H",
            "X-Trunkcast: 1",
        ])
        .args(["--data", &json!({ "password": PASSWORD }).to_string()])
        .arg(format!("https://{address}/page/password"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 200 "),
        "{text} {:?}",
        output.stderr
    );
    let cookie = text.lines().find(|line| line.starts_with("Set-Cookie: "));
    let cookie = cookie.expect("a cookie");
    assert!(
        cookie.starts_with("Set-Cookie: __Host-trunkcast="),
        "{cookie}"
    );
    assert!(cookie.contains("; Secure"), "{cookie}");
    gateway.check_calm();
}

/// Open descriptors of a process.
fn descriptors(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
}

#[test]
fn the_program_begins_anew_in_place_of_itself() {
    let (mut gateway, _ports) = running("");
    let page = gateway.page();
    let mut cookie = set_password(&gateway);
    let id = gateway.log().id();
    let mut open = Vec::new();
    for round in 0..3 {
        open.push(descriptors(id));
        let mark = gateway.log().mark();
        let begun = Instant::now();
        let reply = post(page, "/page/restart", &cookie, &json!({ "when": "now" }));
        assert_eq!(reply.status, 202, "{}", reply.body);
        gateway.wait_after(mark, "ready", 10);
        assert!(begun.elapsed() < Duration::from_secs(8), "round {round}");
        assert_eq!(gateway.log().id(), id, "the process stays the same");
        assert_eq!(state(page, &cookie), "signedOut");
        let login = post(page, "/page/login", "", &json!({ "password": PASSWORD }));
        assert_eq!(login.status, 200, "round {round}: {}", login.body);
        cookie = login.cookie();
        let health = ask(gateway.rest(), "GET", "/healthz", "", "");
        assert_eq!(health.status, 200);
    }
    // The executor may hold one more or less at a time.
    let most = open.iter().max().unwrap() - open.iter().min().unwrap();
    assert!(most <= 3, "descriptors stay open: {open:?}");
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn the_service_manager_is_told_of_each_beginning() {
    use std::os::unix::net::UnixDatagram;

    let mut ports = Ports::claim();
    let folder = support::Scratch::new("notify");
    let path = folder.join("socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let page = ports.address();
    let (first, last) = ports.media();
    let file = folder.write(
        "trunkcast.yml",
        format!(
            "trunks:\n  test:\n    localPort: {}\n    proxyIp: 127.0.0.1\n    remotePort: 9\n\
             rtmp: {{listen: \"{}\"}}\nrest: {{listen: \"{}\"}}\npage: {{listen: \"{page}\"}}\n\
             media: {{address: 127.0.0.1, ports: {first}-{last}}}\nstate: {{directory: {}}}\n",
            ports.pair(),
            ports.address(),
            ports.address(),
            folder.path().display()
        ),
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkcast"));
    command.env("NOTIFY_SOCKET", &path);
    let mut program = support::Program::start(command.args(["run", "--config"]).arg(&file));
    // How we are is told in between.
    let told = |word: &str| {
        let mut bytes = [0; 1_024];
        loop {
            let length = socket.recv(&mut bytes).expect("a word to the manager");
            let words = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let tells = |line: &str| line.ends_with("=1");
            if let Some(line) = words.lines().find(|line| tells(line)) {
                assert_eq!(line, word, "{words}");
                return;
            }
        }
    };
    told("READY=1");
    let reply = post(page, "/page/password", "", &json!({ "password": PASSWORD }));
    assert_eq!(reply.status, 200, "{}", reply.body);
    // The settings with the password are read anew.
    told("RELOADING=1");
    told("READY=1");
    let restart = post(
        page,
        "/page/restart",
        &reply.cookie(),
        &json!({ "when": "idle" }),
    );
    assert_eq!(restart.status, 202);
    told("RELOADING=1");
    told("READY=1");
    program.signal("TERM");
    told("STOPPING=1");
    assert!(program.wait(Duration::from_secs(4)).success());
}
