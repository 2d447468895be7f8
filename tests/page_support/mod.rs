//! A browser that shows the page, against the gateway on its virtual clock, and a desk without threads.

#![allow(dead_code)]

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use trunkcast::base::ids::ConnId;
use trunkcast::base::redact::Secret;
use trunkcast::gateway::ConnectionKind;
use trunkcast::gateway::config::Config;
use trunkcast::gateway::desk::{DeskAnswer, DeskWork};

use crate::gateway_support::World;
use crate::rest_support::Reply;

/// What begins every hash that this desk makes.
const HASH: &str = "$argon2id$";

/// Where the page is called, and by whom.
pub const HOST: &str = "192.0.2.1:8080";

/// The password that [`with_password`] sets.
const PASSWORD: &str = "correct horse";

/// The configuration with a password.
pub fn with_password(mut config: Config) -> Config {
    config.page.password_hash = Some(Secret::new(format!("{HASH}{PASSWORD}")));
    config
}

/// The browser of somebody who knows that password and has signed in.
pub fn owner(world: &mut World) -> Browser {
    let mut browser = Browser::default();
    let body = json!({"password": PASSWORD});
    let reply = browser.post(world, "/page/login", &body);
    assert_eq!(reply.status, 200, "{reply:?}");
    browser
}

/// A browser with its cookie.
#[derive(Clone, Debug)]
pub struct Browser {
    /// Its address.
    pub from: String,
    /// What it calls the box.
    pub host: String,
    pub cookie: Option<String>,
    /// Whether it comes over TLS.
    pub secure: bool,
    /// Header fields in place of those that our page sends with a POST.
    pub post_fields: String,
}

impl Default for Browser {
    fn default() -> Self {
        Self {
            from: "192.168.1.7:50000".to_owned(),
            host: HOST.to_owned(),
            cookie: None,
            secure: false,
            post_fields: "Content-Type: application/json\r\nX-Trunkcast: 1\r\n".to_owned(),
        }
    }
}

impl Browser {
    /// A browser at an address.
    pub fn at(address: &str) -> Self {
        Self {
            from: format!("{address}:50000"),
            ..Self::default()
        }
    }

    /// Opens a connection; `None` when it is turned away.
    pub fn connect(&self, world: &mut World) -> Option<ConnId> {
        let conn = world.outlet.accept();
        let remote: SocketAddr = self.from.parse().unwrap();
        let kind = ConnectionKind::Page {
            secure: self.secure,
        };
        let taken = world
            .gateway
            .handle_accepted(world.now, conn, kind, remote, &mut world.outlet);
        if !taken {
            world.outlet.forget(conn);
            return None;
        }
        Some(conn)
    }

    /// A request as text.
    pub fn request(&self, method: &str, path: &str, fields: &str, body: &str) -> String {
        let cookie = match &self.cookie {
            Some(cookie) => format!("Cookie: {cookie}\r\n"),
            None => String::new(),
        };
        let post = match method {
            "POST" => self.post_fields.as_str(),
            _ => "",
        };
        let (host, length) = (&self.host, body.len());
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{post}{fields}\
             Content-Length: {length}\r\n\r\n{body}"
        )
    }

    /// Sends a request over a connection of its own and leaves it to be answered.
    pub fn begin(&self, world: &mut World, method: &str, path: &str, body: &str) -> ConnId {
        let conn = self.connect(world).expect("a free place");
        let bytes = self.request(method, path, "", body);
        world.advance(Duration::from_micros(1));
        world
            .gateway
            .handle_stream(world.now, conn, bytes.as_bytes(), &mut world.outlet);
        world.settle();
        world.advance(Duration::from_millis(1));
        conn
    }

    /// The answer to a request that was begun, if it has come; its cookie is kept.
    pub fn end(&mut self, world: &mut World, conn: ConnId) -> Option<Reply> {
        let mut replies = Reply::all(&world.outlet.take_written(conn));
        assert!(replies.len() <= 1, "one answer to one request");
        let reply = replies.pop()?;
        if let Some(cookie) = reply.header("Set-Cookie") {
            let pair = cookie.split(';').next().unwrap();
            self.cookie = Some(pair.to_owned()).filter(|pair| !pair.ends_with('='));
        }
        world.disconnect(conn, "closed by the peer");
        Some(reply)
    }

    /// Asks, and lets the desk work.
    pub fn ask(&mut self, world: &mut World, method: &str, path: &str, body: &str) -> Reply {
        let conn = self.begin(world, method, path, body);
        work(world);
        self.end(world, conn).expect("an answer")
    }

    pub fn get(&mut self, world: &mut World, path: &str) -> Reply {
        self.ask(world, "GET", path, "")
    }

    pub fn post(&mut self, world: &mut World, path: &str, body: &Value) -> Reply {
        self.ask(world, "POST", path, &body.to_string())
    }

    /// Asks with further header fields.
    pub fn ask_with(&mut self, world: &mut World, path: &str, fields: &str) -> Reply {
        let conn = self.connect(world).expect("a free place");
        let bytes = self.request("GET", path, fields, "");
        world.advance(Duration::from_micros(1));
        world
            .gateway
            .handle_stream(world.now, conn, bytes.as_bytes(), &mut world.outlet);
        world.settle();
        world.advance(Duration::from_millis(1));
        work(world);
        self.end(world, conn).expect("an answer")
    }
}

/// Does all the work at the desk.
pub fn work(world: &mut World) {
    while work_once(world) {}
}

/// Does one piece of work; whether there was any.
pub fn work_once(world: &mut World) -> bool {
    let Some((id, work)) = world.outlet.desk.pop_front() else {
        return false;
    };
    let answer = answer(work);
    world
        .gateway
        .handle_desk(world.now, id, answer, &mut world.outlet);
    world.settle();
    world.advance(Duration::from_millis(1));
    true
}

fn answer(work: DeskWork) -> DeskAnswer {
    match work {
        DeskWork::Hash { password } => {
            let hash = format!("{HASH}{}", password.expose());
            DeskAnswer::Hashed(Secret::new(hash))
        }
        DeskWork::Verify { password, hash } => {
            let right = hash.expose().strip_prefix(HASH) == Some(password.expose());
            DeskAnswer::Verified(right)
        }
        other => document(200, &format!("{{\"work\":\"{}\"}}", other.name())),
    }
}

/// A document as a clerk answers with one.
pub fn document(status: u16, body: &str) -> DeskAnswer {
    DeskAnswer::Document {
        status,
        kind: "application/json",
        body: body.as_bytes().to_vec(),
        changed: false,
    }
}
