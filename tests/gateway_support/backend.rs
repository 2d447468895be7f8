//! A backend of hooks: a scripted HTTP server on the virtual clock.

use trunkcast::base::ids::ConnId;
use trunkcast::base::time::Instant;

/// The port that it listens on.
pub const BACKEND_PORT: u16 = 8_090;

/// What it does with requests and connections to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// Every request is answered with this status, and its body given back.
    Answer(u16),
    /// The same, but questions about calls get this status.
    Judge(u16),
    /// Nothing is answered.
    Stall,
    /// No connection comes about.
    Refuse,
    /// Connections end when a request comes.
    HangUp,
    /// What is answered is no HTTP.
    Garbage,
    /// Every request is answered with 200.
    #[default]
    Well,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Told {
    /// When.
    pub at: Instant,
    /// Over which connection.
    pub conn: ConnId,
    /// The last part of its path.
    pub method: String,
    /// Request line and header fields.
    pub head: String,
    /// Its body.
    pub body: serde_json::Value,
}

impl Told {
    pub fn text(&self, key: &str) -> &str {
        self.body.get(key).and_then(|it| it.as_str()).unwrap_or("")
    }
}

/// What the backend has to do to a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Reaction {
    Answer(Vec<u8>),
    HangUp,
}

/// The backend and everything that it was told.
#[derive(Default)]
pub struct Backend {
    pub mood: Mood,
    pub told: Vec<Told>,
    pub conns: Vec<(ConnId, Vec<u8>)>,
    /// Connections that it was asked for.
    pub attempts: Vec<Instant>,
}

impl Backend {
    /// Bytes of a connection; what it does then.
    pub fn handle_bytes(&mut self, now: Instant, conn: ConnId, bytes: &[u8]) -> Vec<Reaction> {
        let mut reactions = Vec::new();
        let mood = self.mood;
        let Some((_, buffer)) = self.conns.iter_mut().find(|(it, _)| *it == conn) else {
            return reactions;
        };
        buffer.extend_from_slice(bytes);
        while let Some((told, length)) = request(now, conn, buffer) {
            buffer.drain(..length);
            let body = told.body.to_string();
            let is_question = told.method == "OnCallEvent";
            self.told.push(told);
            let answer = |status: u16| {
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n\
                     Content-Length: {length}\r\n\r\n"
                );
                Reaction::Answer((head + &body).into_bytes())
            };
            match mood {
                Mood::Well => reactions.push(answer(200)),
                Mood::Judge(status) => {
                    reactions.push(answer(if is_question { status } else { 200 }));
                }
                Mood::Answer(status) => reactions.push(answer(status)),
                Mood::Stall | Mood::Refuse => {}
                Mood::HangUp => reactions.push(Reaction::HangUp),
                Mood::Garbage => reactions.push(Reaction::Answer(b"SSH-2.0-x\r\n".to_vec())),
            }
        }
        reactions
    }

    /// The names of everything told so far.
    pub fn methods(&self) -> Vec<&str> {
        self.told.iter().map(|told| told.method.as_str()).collect()
    }

    /// What was told of one method.
    pub fn of<'a>(&'a self, method: &'a str) -> impl Iterator<Item = &'a Told> {
        self.told.iter().filter(move |told| told.method == method)
    }

    /// The statuses told by one method, in order.
    pub fn statuses(&self, method: &str) -> Vec<String> {
        self.of(method)
            .map(|told| told.text("status").to_owned())
            .collect()
    }
}

/// The first whole request of a buffer, and its length.
fn request(at: Instant, conn: ConnId, buffer: &[u8]) -> Option<(Told, usize)> {
    let end = buffer.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&buffer[..end]).unwrap().to_owned();
    let field = |name: &str| {
        let lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(known, _)| *known == name);
        let value = found.next().map(|(_, value)| value.to_owned());
        assert!(found.next().is_none(), "{name} twice: {head}");
        value
    };
    let length: usize = field("Content-Length").unwrap().parse().unwrap();
    assert_eq!(field("Content-Type").unwrap(), "application/json");
    let body = buffer.get(end..end + length)?;
    let path = head.split(' ').nth(1).unwrap();
    let path = path.split('?').next().unwrap();
    let method = path.rsplit('/').next().unwrap().to_owned();
    let body = serde_json::from_slice(body).expect("a body is JSON");
    let told = Told {
        at,
        conn,
        method,
        head,
        body,
    };
    Some((told, end + length))
}
