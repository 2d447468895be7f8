//! The *Test* buttons of the page, from the request to the answer, beside a call at work.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::daemon::Settings;
use support::kamailio::Registrar;
use support::phone::Play;
use support::{Clip, Daemon, Kamailio, Nginx, Phone, Ports, probe};

const PASSWORD: &str = "correct horse";

/// The page in a browser that has signed in.
#[derive(Clone)]
struct Page {
    at: SocketAddr,
    cookie: String,
}

impl Page {
    /// On the first visit.
    fn begin(at: SocketAddr) -> Self {
        let mut page = Self {
            at,
            cookie: String::new(),
        };
        let password = json!({"password": "long enough"});
        let (head, _) = page.exchange("POST", "/page/password", &password.to_string());
        let cookie = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("set-cookie").then_some(value)
        });
        let cookie = cookie.unwrap_or_else(|| panic!("no cookie:\n{head}"));
        page.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        page
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> (String, String) {
        let Self { at, cookie } = self;
        let mut socket = TcpStream::connect(at).expect("the page listens");
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout is possible");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {at}\r\nCookie: {cookie}\r\nX-Trunkcast: 1\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).expect("it answers");
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), body.to_owned())
    }

    /// The settings as the forms have them.
    fn settings(&self) -> Value {
        let (head, body) = self.exchange("GET", "/page/settings", "");
        let read: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{head}\n{body}"));
        read["settings"].clone()
    }

    /// Tries the trunk; the status and the document.
    fn test(&self, what: &str, settings: &Value) -> (u16, Value) {
        let asked = json!({"settings": settings, "trunk": "test"}).to_string();
        let (head, body) = self.exchange("POST", &format!("/page/try/{what}"), &asked);
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let document = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{head}\n{body}"));
        (status.unwrap_or_default(), document)
    }
}

fn with_page(ports: &mut Ports, settings: Settings) -> (Daemon, Page) {
    let daemon = Daemon::start(
        ports,
        Settings {
            page: Some(String::new()),
            ..settings
        },
    );
    let page = Page::begin(daemon.page());
    (daemon, page)
}

#[test]
fn a_call_at_work_loses_nothing_while_servers_are_tried() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let clip = Clip::load();
    let (mut gateway, page) = with_page(
        &mut ports,
        Settings {
            url: Some(nginx.url("live")),
            ..Settings::default()
        },
    );
    let settings = page.settings();
    let mut phone = Phone::dial(&mut ports, gateway.sip(), "1000");
    let trials = thread::spawn(move || {
        let first = page.test("rtmp", &settings);
        let mut busy = settings.clone();
        busy["trunks"]["test"]["url"] = json!("rtmp://127.0.0.1:1/live");
        let second = page.test("rtmp", &busy);
        (first, second)
    });
    let report = phone.play(&clip, &Play::default());
    phone.hang_up();
    gateway.wait_after(0, "ended after", 5);
    let ((status, first), (_, second)) = trials.join().expect("the trials end");
    assert_eq!((status, &first["ok"]), (200, &json!(true)), "{first}");
    assert_eq!(second["steps"][1]["problem"], "refused", "{second}");
    assert!(!report.ended_by_gateway);
    probe::check_clip_identical(&clip, &nginx.recording("rtmp_1000"));
    probe::check_clip_streams(&nginx.recording("trunkcast_test"));
    gateway.terminate();
    gateway.check_calm();
}

#[test]
fn only_one_trial_is_under_way_and_the_end_of_the_program_ends_it() {
    let mut ports = Ports::claim();
    let nginx = Nginx::start(&mut ports);
    let (mut gateway, page) = with_page(
        &mut ports,
        Settings {
            url: Some(nginx.url("live")),
            ..Settings::default()
        },
    );
    let settings = page.settings();
    let (other, same) = (page.clone(), settings.clone());
    let first = thread::spawn(move || other.test("rtmp", &same));
    nginx.wait_recorded("trunkcast_test", 5_000, Duration::from_secs(5));
    let (status, busy) = page.test("pbx", &settings);
    assert_eq!((status, &busy["problem"]), (503, &json!("busy")), "{busy}");
    let (_, first) = first.join().expect("the first trial ends");
    assert_eq!(first["ok"], true, "{first}");

    let size = nginx.recorded("trunkcast_test");
    let asked = thread::spawn(move || {
        // The program ends before it answers.
        let _ = std::panic::catch_unwind(|| page.test("rtmp", &settings));
    });
    thread::sleep(Duration::from_millis(900));
    let began = Instant::now();
    gateway.terminate();
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    asked.join().expect("the browser is done");
    assert!(size > 0);
    // What was published is whole to its end: it was taken back.
    probe::check_clip_streams(&nginx.recording("trunkcast_test"));
}

#[test]
fn secrets_that_are_kept_are_tried_and_told_nobody() {
    let mut ports = Ports::claim();
    let registrar = Registrar {
        password: PASSWORD,
        algorithm: "MD5",
        longest: 3_600,
    };
    let kamailio = Kamailio::start(&mut ports, &registrar);
    let register = format!("register: {{login: \"1000\", password: \"{PASSWORD}\"}}");
    let (mut gateway, page) = with_page(
        &mut ports,
        Settings {
            pbx: Some(kamailio.address()),
            trunk: vec![register],
            ..Settings::default()
        },
    );
    gateway.wait_after(0, "is registered for", 5);
    let mut settings = page.settings();
    let password = &settings["trunks"]["test"]["register"]["password"];
    assert_eq!(*password, json!({"secret": true}));
    let (_, same) = page.test("pbx", &settings);
    assert_eq!(same["ok"], true, "{same}");
    assert_eq!(same["steps"][3]["note"], "live", "{same}");
    // Another expiry is another registration, with the password that was kept.
    settings["trunks"]["test"]["register"]["expires"] = json!("900");
    let mark = gateway.log().mark();
    let (_, other) = page.test("pbx", &settings);
    assert_eq!(other["ok"], true, "{other}");
    assert!(other["steps"][3].get("note").is_none(), "{other}");
    gateway
        .log()
        .wait_for_after(mark, "test: test passed", Duration::from_secs(2));
    settings["trunks"]["test"]["register"]["password"] = json!("wrong pony");
    let (_, wrong) = page.test("pbx", &settings);
    assert_eq!(wrong["steps"][3]["problem"], "wrongPassword", "{wrong}");
    // The trunk at work is still there.
    let live = format!(":{}", gateway.sip().port());
    assert!(
        kamailio.locations().contains(&live),
        "{}",
        kamailio.locations()
    );
    gateway.terminate();
    let told = format!("{}{same}{other}{wrong}", gateway.log().text());
    assert!(
        !told.contains(PASSWORD) && !told.contains("wrong pony"),
        "{told}"
    );
}

#[test]
fn settings_that_cannot_be_are_told_and_not_tried() {
    let mut ports = Ports::claim();
    let (mut gateway, page) = with_page(&mut ports, Settings::default());
    let mut settings = page.settings();
    settings["trunks"]["test"]["remotePort"] = json!("70000");
    let (status, told) = page.test("pbx", &settings);
    assert_eq!(
        (status, &told["problem"]),
        (422, &json!("badSettings")),
        "{told}"
    );
    assert_eq!(
        told["problems"][0]["field"], "trunks.test.remotePort",
        "{told}"
    );
    let settings = page.settings();
    let (_, none) = page.test("rtmp", &settings);
    assert_eq!(none["steps"][0]["problem"], "badSettings", "{none}");
    assert_eq!(none["steps"][0]["field"], "url", "{none}");
    gateway.terminate();
    gateway.check_calm();
}
