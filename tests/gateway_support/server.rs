//! An RTMP server that takes what is published, written from the specification's side: its
//! handshake, its answers byte by byte; only the chunk reader is the library's.

use trunkcast::base::codec::Codec;
use trunkcast::base::ids::ConnId;
use trunkcast::base::time::Instant;
use trunkcast::wire::flv::{AudioHead, Metadata, Part, VideoHead};
use trunkcast::wire::rtmp_chunk::{Dechunker, Incoming};
use trunkcast::wire::rtmp_message::{Command, kind};

/// What servers do with a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Accept,
    /// Nobody listens.
    Refuse,
    /// The attempt to connect gets no answer.
    Silent,
    /// The connection is up and nothing is ever said on it.
    Mute,
    /// The name is in use.
    BadName,
    /// Takes nothing any more once the stream is accepted.
    Stall,
    /// Ends the connection at the first sound in G.711.
    RefusesG711,
    /// Ends the connection at the first picture.
    RefusesVideo,
    /// Lists Opus in its answer to `connect` (Enhanced RTMP).
    ListsOpus,
    /// Names another address instead of taking `connect`.
    Redirects(&'static str),
    /// Lists every codec that has a FourCC.
    ListsAll,
}

/// What was read from the publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Command(String),
    Metadata(Metadata),
    SequenceHeader {
        timestamp: u32,
        codec: Option<Codec>,
        /// The message's first bytes.
        start: Vec<u8>,
    },
    Video {
        timestamp: u32,
        size: u32,
        keyframe: bool,
        codec: Option<Codec>,
    },
    Audio {
        timestamp: u32,
        size: u32,
        format: u8,
        codec: Option<Codec>,
    },
}

const HANDSHAKE_BYTES: usize = 1_536;

/// How much is kept of a message of media.
const START_BYTES: usize = 128;

/// The first bytes of the messages of media that are coming, by chunk stream.
type Starts = Vec<(u32, Vec<u8>)>;

/// One connection of a publisher.
pub struct RtmpServer {
    pub conn: ConnId,
    pub since: Instant,
    pub policy: Policy,
    pub heard: Vec<Heard>,
    pub forgetful: bool,
    pub heard_count: u64,
    /// Whether the bodies of audio and video messages are kept whole.
    pub collects: bool,
    /// Those bodies, each with its type and time.
    pub bodies: Vec<(u8, u32, Vec<u8>)>,
    /// Everything that was sent to the gateway.
    pub said: Vec<u8>,
    /// Names that were published under.
    pub names: Vec<String>,
    /// It wants the connection to end.
    pub closes: bool,
    publishing: bool,
    greeting: Vec<u8>,
    greeted: usize,
    starts: Starts,
    dechunker: Box<Dechunker>,
}

impl RtmpServer {
    pub fn new(conn: ConnId, since: Instant, policy: Policy) -> Self {
        Self {
            conn,
            since,
            policy,
            heard: Vec::new(),
            forgetful: false,
            heard_count: 0,
            collects: false,
            bodies: Vec::new(),
            said: Vec::new(),
            names: Vec::new(),
            closes: false,
            publishing: false,
            greeting: Vec::new(),
            greeted: 0,
            starts: Vec::new(),
            dechunker: Box::default(),
        }
    }

    pub fn is_publishing(&self) -> bool {
        self.publishing
    }

    /// What was heard since the stream was accepted, commands left out.
    pub fn media(&self) -> Vec<&Heard> {
        self.heard
            .iter()
            .filter(|heard| !matches!(heard, Heard::Command(_)))
            .collect()
    }

    pub fn pictures(&self) -> usize {
        let picture = |heard: &&Heard| matches!(heard, Heard::Video { .. });
        self.heard.iter().filter(picture).count()
    }

    pub fn sounds(&self) -> usize {
        let sound = |heard: &&Heard| matches!(heard, Heard::Audio { .. });
        self.heard.iter().filter(sound).count()
    }

    pub fn commands(&self) -> Vec<&str> {
        let heard = self.heard.iter();
        heard
            .filter_map(|heard| match heard {
                Heard::Command(name) => Some(name.as_str()),
                _ => None,
            })
            .collect()
    }

    /// Bytes of the publisher; the bytes that go back.
    pub fn handle_bytes(&mut self, _now: Instant, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        if self.policy == Policy::Mute {
            return out;
        }
        let mut rest = bytes;
        let whole = 1 + 2 * HANDSHAKE_BYTES;
        if self.greeted < whole {
            let count = rest.len().min(whole - self.greeted);
            let before = self.greeted;
            self.greeting.extend_from_slice(&rest[..count]);
            self.greeted += count;
            rest = &rest[count..];
            if before <= HANDSHAKE_BYTES && self.greeted > HANDSHAKE_BYTES {
                out.push(3);
                out.extend([0; 8]);
                out.extend([0x5a; HANDSHAKE_BYTES - 8]);
                out.extend_from_slice(&self.greeting[1..=HANDSHAKE_BYTES]);
            }
        }
        while self.greeted == whole {
            let (used, incoming) = self.dechunker.next(rest).expect("the publisher's chunks");
            rest = &rest[used..];
            let Some(incoming) = incoming else { break };
            if let (
                true,
                Incoming::Part {
                    head,
                    offset,
                    bytes,
                },
            ) = (self.collects, &incoming)
            {
                if *offset == 0 {
                    self.bodies.push((head.kind, head.timestamp, Vec::new()));
                }
                let kinds = self.bodies.iter_mut().rev();
                let mut open = kinds.filter(|(kind, ..)| *kind == head.kind);
                open.next().unwrap().2.extend_from_slice(bytes);
            }
            self.names.extend(published_name(&incoming));
            let (heard, answer) = read(&incoming, self.policy, &mut self.starts);
            if let Some(Heard::Command(name)) = &heard {
                self.publishing |= name == "publish" && self.policy != Policy::BadName;
            }
            out.extend(answer);
            if let (Policy::RefusesG711, Some(Heard::Audio { format: 7 | 8, .. })) =
                (self.policy, &heard)
            {
                self.closes = true;
            }
            self.closes |=
                self.policy == Policy::RefusesVideo && matches!(&heard, Some(Heard::Video { .. }));
            self.heard_count += u64::from(heard.is_some());
            if !self.forgetful {
                self.heard.extend(heard);
            }
        }
        self.said.extend_from_slice(&out);
        out
    }
}

/// The name in a publish command.
fn published_name(incoming: &Incoming<'_>) -> Option<String> {
    let Incoming::Message { head, body } = incoming else {
        return None;
    };
    let mut command = Command::parse(head.kind, body)?;
    if command.name != "publish" {
        return None;
    }
    // Null, then the name.
    command.arguments.value().ok()?;
    command.arguments.string().map(str::to_owned)
}

fn read(incoming: &Incoming<'_>, policy: Policy, starts: &mut Starts) -> (Option<Heard>, Vec<u8>) {
    match incoming {
        Incoming::Part { head, bytes, .. } => {
            let start = start_of(starts, head.chunk_stream);
            let room = START_BYTES - start.len();
            start.extend(bytes.iter().take(room));
            (None, Vec::new())
        }
        Incoming::Message { head, body } if head.kind == kind::DATA => {
            let metadata = Metadata::parse(body).ok().flatten();
            (metadata.map(Heard::Metadata), Vec::new())
        }
        Incoming::Message { head, body } => {
            let Some(command) = Command::parse(head.kind, body) else {
                return (None, Vec::new());
            };
            let number = command.transaction;
            let answer = match (command.name, policy) {
                ("connect", Policy::Redirects(to)) => {
                    chunk(0, kind::COMMAND, &redirection(number, to))
                }
                ("connect", _) => [
                    chunk(0, kind::COMMAND, &{
                        let mut body = string("_result");
                        body.extend(float(number));
                        body.extend(match policy {
                            Policy::ListsOpus => listing(&["Opus"]),
                            Policy::ListsAll => listing(&["avc1", "vp08", "Opus", "mp4a"]),
                            _ => vec![3, 0, 0, 9],
                        });
                        body.extend(status("status", "NetConnection.Connect.Success"));
                        body
                    }),
                    // Window, then a ping.
                    raw(2, 0, 5, &2_500_000_u32.to_be_bytes()),
                    raw(2, 0, 4, &[0, 6, 0, 0, 0, 9]),
                ]
                .concat(),
                ("createStream", _) => chunk(0, kind::COMMAND, &{
                    let mut body = string("_result");
                    body.extend(float(number));
                    body.push(5);
                    body.extend(float(1.0));
                    body
                }),
                ("publish", _) => chunk(1, kind::COMMAND, &{
                    let mut body = string("onStatus");
                    body.extend(float(0.0));
                    body.push(5);
                    body.extend(match policy {
                        Policy::BadName => status("error", "NetStream.Publish.BadName"),
                        _ => status("status", "NetStream.Publish.Start"),
                    });
                    body
                }),
                _ => Vec::new(),
            };
            (Some(Heard::Command(command.name.to_owned())), answer)
        }
        Incoming::End { head, .. } => {
            let start = std::mem::take(start_of(starts, head.chunk_stream));
            let (timestamp, size) = (head.timestamp, head.length);
            let heard = match head.kind {
                kind::VIDEO => video(timestamp, size, start),
                kind::AUDIO => audio(timestamp, size, start),
                _ => return (None, Vec::new()),
            };
            (Some(heard), Vec::new())
        }
    }
}

fn start_of(starts: &mut Starts, chunk_stream: u32) -> &mut Vec<u8> {
    let known = starts.iter().position(|(of, _)| *of == chunk_stream);
    let at = known.unwrap_or_else(|| {
        starts.push((chunk_stream, Vec::new()));
        starts.len() - 1
    });
    &mut starts[at].1
}

fn video(timestamp: u32, size: u32, start: Vec<u8>) -> Heard {
    let head = VideoHead::parse(&start).expect("a video head");
    let codec = head.codec;
    match head.part {
        Part::SequenceHeader => Heard::SequenceHeader {
            timestamp,
            codec,
            start,
        },
        _ => Heard::Video {
            timestamp,
            size,
            keyframe: head.keyframe,
            codec,
        },
    }
}

fn audio(timestamp: u32, size: u32, start: Vec<u8>) -> Heard {
    let head = AudioHead::parse(&start).expect("an audio head");
    let codec = head.codec;
    match head.part {
        Part::SequenceHeader => Heard::SequenceHeader {
            timestamp,
            codec,
            start,
        },
        _ => Heard::Audio {
            timestamp,
            size,
            format: start[0] >> 4,
            codec,
        },
    }
}

pub fn chunk(stream: u32, kind: u8, body: &[u8]) -> Vec<u8> {
    raw(3, stream, kind, body)
}

/// A message in chunks of 128 bytes with time 0.
fn raw(chunk_stream: u8, stream: u32, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![chunk_stream, 0, 0, 0];
    out.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    out.push(kind);
    out.extend(stream.to_le_bytes());
    for (at, part) in body.chunks(128).enumerate() {
        if at > 0 {
            out.push(0xc0 | chunk_stream);
        }
        out.extend_from_slice(part);
    }
    out
}

/// Properties of a server that lists codecs.
fn listing(codecs: &[&str]) -> Vec<u8> {
    let mut out = vec![3, 0, 10];
    out.extend(b"fourCcList");
    out.extend([10, 0, 0, 0, codecs.len() as u8]);
    codecs.iter().for_each(|codec| out.extend(string(codec)));
    out.extend([0, 0, 9]);
    out
}

/// The refusal of `connect` with another address, as Wowza sends it.
fn redirection(number: f64, to: &str) -> Vec<u8> {
    let mut out = string("_error");
    out.extend(float(number));
    out.push(5);
    let mut info = status("error", "NetConnection.Connect.Rejected");
    info.truncate(info.len() - 3);
    info.extend([0, 2]);
    info.extend(b"ex");
    info.extend([3, 0, 4]);
    info.extend(b"code");
    info.extend(float(302.0));
    info.extend([0, 8]);
    info.extend(b"redirect");
    info.extend(string(to));
    info.extend([0, 0, 9, 0, 0, 9]);
    out.extend(info);
    out
}

pub fn status(level: &str, code: &str) -> Vec<u8> {
    let mut out = vec![3];
    for (name, value) in [
        ("level", level),
        ("code", code),
        ("description", "from a test"),
    ] {
        out.extend((name.len() as u16).to_be_bytes());
        out.extend(name.as_bytes());
        out.extend(string(value));
    }
    out.extend([0, 0, 9]);
    out
}

pub fn string(text: &str) -> Vec<u8> {
    let mut out = vec![2];
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
    out
}

pub fn float(number: f64) -> Vec<u8> {
    let mut out = vec![0];
    out.extend(number.to_be_bytes());
    out
}
