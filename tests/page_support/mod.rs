//! A visitor of the page who has signed in, against the gateway on its virtual clock.

#![allow(dead_code)]

use std::net::SocketAddr;

use trunkcast::base::ids::ConnId;
use trunkcast::base::redact::Secret;
use trunkcast::gateway::ConnectionKind;
use trunkcast::gateway::config::Config;
use trunkcast::gateway::desk::DeskAnswer;

use crate::gateway_support::World;
use crate::rest_support::{Reply, request, send};

/// The configuration with a password, whatever it is.
pub fn with_password(mut config: Config) -> Config {
    config.page.password_hash = Some(Secret::new("$argon2id$of-tests".to_owned()));
    config
}

/// Somebody who has signed in.
#[derive(Clone)]
pub struct Visitor {
    /// The header fields that say so.
    fields: String,
}

impl Visitor {
    /// Signs in; the desk finds any password right.
    pub fn sign_in(world: &mut World) -> Self {
        let conn = connect(world);
        let fields = "Content-Type: application/json\r\nX-Trunkcast: 1\r\n";
        let body = "{\"password\":\"correct horse\"}";
        let asked = request("POST", "/page/login", fields, body);
        assert!(send(world, conn, asked).is_empty(), "before it is known");
        let (id, _) = world.outlet.desk.pop_front().expect("work for the desk");
        let answer = DeskAnswer::Verified(true);
        let World {
            gateway,
            outlet,
            now,
            ..
        } = world;
        gateway.handle_desk(*now, id, answer, outlet);
        world.settle();
        let replies = Reply::all(&world.outlet.take_written(conn));
        world.disconnect(conn, "closed by the peer");
        let [reply] = &replies[..] else {
            panic!("one answer to one request");
        };
        assert_eq!(reply.status, 200, "{reply:?}");
        let cookie = reply.header("set-cookie").expect("a cookie");
        let cookie = cookie.split(';').next().unwrap_or_default();
        Self {
            fields: format!("Cookie: {cookie}\r\n"),
        }
    }

    /// Somebody who has not.
    pub const fn stranger() -> Self {
        Self {
            fields: String::new(),
        }
    }

    /// Asks over a connection of its own.
    pub fn get(&self, world: &mut World, path: &str) -> Reply {
        let conn = connect(world);
        let asked = request("GET", path, &self.fields, "");
        let mut replies = send(world, conn, asked);
        assert_eq!(replies.len(), 1, "one answer to one request");
        world.disconnect(conn, "closed by the peer");
        replies.remove(0)
    }
}

fn connect(world: &mut World) -> ConnId {
    let conn = world.outlet.accept();
    let remote: SocketAddr = "127.0.0.1:50000".parse().unwrap();
    let kind = ConnectionKind::Page { secure: false };
    let World {
        gateway,
        outlet,
        now,
        ..
    } = world;
    assert!(gateway.handle_accepted(*now, conn, kind, remote, outlet));
    conn
}
