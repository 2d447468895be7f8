//! A client of the REST interface, against the gateway on its virtual clock.

#![allow(dead_code)]

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use trunkcast::base::ids::ConnId;
use trunkcast::gateway::ConnectionKind;

use crate::gateway_support::World;

/// An answer, taken apart.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// The answers in these bytes, one after the other; panics when the bytes are none.
    pub fn all(mut bytes: &[u8]) -> Vec<Self> {
        let mut replies = Vec::new();
        while !bytes.is_empty() {
            let end = bytes
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let status: u16 = head[9..12].parse().unwrap();
            bytes = &bytes[end + 4..];
            let mut reply = Self {
                status,
                head,
                body: Vec::new(),
            };
            if let Some(length) = reply.header("content-length") {
                let (body, rest) = bytes.split_at(length.parse().unwrap());
                reply.body = body.to_vec();
                bytes = rest;
            }
            replies.push(reply);
        }
        replies
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }
}

/// A client connects from an address; `None` when it is turned away.
pub fn connect(world: &mut World, from: &str) -> Option<ConnId> {
    let conn = world.outlet.accept();
    let remote: SocketAddr = from.parse().unwrap();
    let taken = world.gateway.handle_accepted(
        world.now,
        conn,
        ConnectionKind::Http,
        remote,
        &mut world.outlet,
    );
    if !taken {
        world.outlet.forget(conn);
        return None;
    }
    Some(conn)
}

/// Sends bytes; what came back within a millisecond, which is many turns of the loop.
pub fn send(world: &mut World, conn: ConnId, bytes: impl AsRef<[u8]>) -> Vec<Reply> {
    let bytes = bytes.as_ref();
    world.advance(Duration::from_micros(1));
    world
        .gateway
        .handle_stream(world.now, conn, bytes, &mut world.outlet);
    world.settle();
    world.advance(Duration::from_millis(1));
    Reply::all(&world.outlet.take_written(conn))
}

/// A request as text.
pub fn request(method: &str, path: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: box:8081\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// Asks over a connection of its own.
pub fn ask(world: &mut World, method: &str, path: &str, body: &str) -> Reply {
    ask_with(world, method, path, "", body)
}

/// The same with further header fields, each ending in CRLF.
pub fn ask_with(world: &mut World, method: &str, path: &str, fields: &str, body: &str) -> Reply {
    let conn = connect(world, "127.0.0.1:50000").expect("a free place");
    let mut replies = send(world, conn, request(method, path, fields, body));
    assert_eq!(replies.len(), 1, "one answer to one request");
    world.disconnect(conn, "closed by the peer");
    replies.remove(0)
}

/// Posts JSON.
pub fn post(world: &mut World, path: &str, body: &Value) -> Reply {
    let body = body.to_string();
    ask_with(
        world,
        "POST",
        path,
        "Content-Type: application/json\r\n",
        &body,
    )
}
