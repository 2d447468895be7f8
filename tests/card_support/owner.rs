//! Somebody who sets the box up on its page, without a browser.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::page::PASSWORD;
use crate::support::rest::Rest;

/// A visitor of a page, with the cookie once signed in.
pub struct Owner {
    page: SocketAddr,
    cookie: Option<String>,
}

impl Owner {
    /// A visitor who has not signed in.
    pub fn at(page: SocketAddr) -> Self {
        Self { page, cookie: None }
    }

    /// What the page says of its visitor; none where nobody answers.
    pub fn session(&self) -> Option<Value> {
        let (status, _, body) = self.try_ask("GET", "/page/session", "")?;
        (status == 200).then(|| serde_json::from_slice(&body).ok())?
    }

    /// Sends a request; status, head and body of the answer, or none where nobody answers.
    pub fn try_ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, String, Vec<u8>)> {
        let mut rest = Rest::try_connect(self.page).ok()?;
        let cookie = self.cookie.as_ref();
        let cookie = cookie.map_or(String::new(), |cookie| format!("Cookie: {cookie}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: trunkcast.local\r\nConnection: close\r\n{cookie}\
             Content-Type: application/json\r\nX-Trunkcast: 1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        rest.send(request.as_bytes()).ok()?;
        let (bytes, _) = rest.rest();
        let at = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(bytes.get(..at)?).into_owned();
        let status = head.get(9..12)?.parse().ok()?;
        Some((status, head, bytes.get(at..)?.to_vec()))
    }

    /// The same, where an answer must come.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, String, Vec<u8>) {
        let text = match method {
            "GET" => String::new(),
            _ => body.to_string(),
        };
        self.try_ask(method, path, &text)
            .unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    /// A request that must be granted; the JSON of its answer.
    fn granted(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, head, body) = self.ask(method, path, body);
        let text = String::from_utf8_lossy(&body);
        assert_eq!(status, 200, "{method} {path}: {head}{text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Sets the password as the first visitor, and is signed in by that.
    pub fn set_password(&mut self) {
        self.enter("/page/password");
    }

    /// Signs in.
    pub fn sign_in(&mut self) {
        self.enter("/page/login");
    }

    fn enter(&mut self, path: &str) {
        let (status, head, body) = self.ask("POST", path, &json!({ "password": PASSWORD }));
        let body = String::from_utf8_lossy(&body);
        assert_eq!(status, 200, "{path}: {head}{body}");
        let cookie = head
            .lines()
            .find_map(|line| line.strip_prefix("Set-Cookie: "));
        let cookie = cookie.expect("who has the password gets a cookie");
        self.cookie = cookie.split(';').next().map(str::to_owned);
    }

    /// The settings, and their revision.
    pub fn settings(&self) -> (Value, Value) {
        let mut told = self.granted("GET", "/page/settings", &Value::Null);
        (told["settings"].take(), told["revision"].take())
    }

    /// Changes the settings and saves them.
    pub fn change(&self, change: impl FnOnce(&mut Value)) {
        let (mut settings, revision) = self.settings();
        change(&mut settings);
        let body = json!({"settings": settings, "revision": revision});
        self.granted("POST", "/page/settings/save", &body);
    }

    /// The same where the power may go meanwhile; whether the save was answered with a success.
    pub fn try_save(&self, settings: &Value) -> bool {
        let body = json!({ "settings": settings }).to_string();
        let answer = self.try_ask("POST", "/page/settings/save", &body);
        answer.is_some_and(|(status, ..)| status == 200)
    }

    /// Tries an RTMP server as the guide does; what is told of it.
    pub fn try_rtmp(&self, document: &Value) -> Value {
        self.granted("POST", "/page/try/rtmp", document)
    }

    /// What happens now.
    pub fn now(&self) -> Value {
        self.granted("GET", "/page/now", &Value::Null)
    }

    /// Waits until what happens now is as wanted.
    pub fn wait_now(&self, patience: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = std::time::Instant::now() + patience;
        loop {
            let now = self.now();
            if wanted(&now) {
                return now;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "never came to what was wanted: {now:#}"
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}
