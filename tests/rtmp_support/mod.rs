//! Frames, peers and a wire for the RTMP tests.
#![allow(dead_code)]

pub mod client;
pub mod codecs;

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use trunkcast::base::codec::{CodecConfig, H264Config, ParameterSet, Track};
use trunkcast::base::frame_log::{Frame, FrameLog, Segment};
use trunkcast::base::packet_pool::PacketPool;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::{Instant, MediaTime};
use trunkcast::limits::FRAME_SEGMENTS;
use trunkcast::rtmp::{Publisher, PublisherConfig, PublisherEvent};
use trunkcast::wire::amf0::Amf0Writer;
use trunkcast::wire::flv::{Metadata, TagForm};
use trunkcast::wire::rtmp_chunk::{ChunkHeaders, Dechunker, Incoming};
use trunkcast::wire::rtmp_message::{Command, Control, MessageHead, kind};
use trunkcast::wire::rtmp_url::{RtmpUrl, StreamKey};

/// 320x240, Constrained Baseline 1.3.
pub const SPS: [u8; 23] = [
    0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x07, 0xec, 0x05, 0xb8, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0xc8, 0xf1, 0x42,
];
pub const PPS: [u8; 4] = [0x68, 0xce, 0x0f, 0xc8];

pub fn millis(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub fn video_config(width: u16, height: u16) -> Rc<CodecConfig> {
    let mut pps = heapless::Vec::new();
    pps.push(ParameterSet::from_slice(&PPS).unwrap()).unwrap();
    let sps = ParameterSet::from_slice(&SPS).unwrap();
    Rc::new(CodecConfig::H264(H264Config {
        sps,
        pps,
        width,
        height,
    }))
}

/// What metadata says of a source as it is made.
pub fn both_tracks() -> Metadata {
    Metadata::default()
        .with(&video_config(320, 240), TagForm::Legacy)
        .with(&CodecConfig::Pcma, TagForm::Legacy)
}

/// A frame as it should come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub track: Track,
    pub millis: i64,
    pub keyframe: bool,
    pub bytes: Vec<u8>,
}

/// A call's frames.
pub struct Source {
    pub pool: PacketPool,
    pub log: Box<FrameLog>,
    pub video: Rc<CodecConfig>,
    pub audio: Rc<CodecConfig>,
    /// Microseconds from decoding to presentation of its pictures.
    pub composition: u32,
    pub sent: Vec<Sent>,
    count: u32,
    segments: heapless::Vec<Segment, FRAME_SEGMENTS>,
}

impl Source {
    pub fn new() -> Self {
        Self {
            pool: PacketPool::new(2_048),
            log: Box::new(FrameLog::new()),
            video: video_config(320, 240),
            audio: Rc::new(CodecConfig::Pcma),
            composition: 0,
            sent: Vec::new(),
            count: 0,
            segments: heapless::Vec::new(),
        }
    }

    /// A picture of `len` bytes, received at the time it shows.
    pub fn picture(&mut self, at: u64, keyframe: bool, len: usize) {
        self.count += 1;
        let header = if keyframe { 0x65 } else { 0x41 };
        let mut nal = vec![header];
        nal.extend((0..len as u32).map(|n| (n * 7 + self.count) as u8));
        let length = (nal.len() as u32).to_be_bytes();
        let mut bytes = length.to_vec();
        bytes.extend(&nal);
        for (at, piece) in nal[1..].chunks(1_200).enumerate() {
            let prefix = [length.as_slice(), &[header]].concat();
            let prefix = if at == 0 { &prefix[..] } else { &[] };
            let packet = self.pool.copy_from(piece).expect("a free slot");
            self.segments
                .push(Segment::new(prefix, packet))
                .expect("room for a piece");
        }
        let config = Rc::clone(&self.video);
        self.push(Track::Video, at, keyframe, config, bytes);
    }

    /// Twenty milliseconds of sound.
    pub fn sound(&mut self, at: u64) {
        self.count += 1;
        let bytes = vec![self.count as u8; 160];
        let packet = self.pool.copy_from(&bytes).expect("a free slot");
        self.segments
            .push(Segment::new(&[], packet))
            .expect("room for a piece");
        let config = Rc::clone(&self.audio);
        self.push(Track::Audio, at, true, config, bytes);
    }

    /// A frame of any codec, to be decoded at `micros` and presented `composition` microseconds
    /// later.
    pub fn frame(
        &mut self,
        config: &Rc<CodecConfig>,
        micros: i64,
        composition: u32,
        keyframe: bool,
        bytes: &[u8],
    ) {
        for piece in bytes.chunks(1_200) {
            let packet = self.pool.copy_from(piece).expect("a free slot");
            self.segments
                .push(Segment::new(&[], packet))
                .expect("room for a piece");
        }
        let frame = Frame {
            track: config.codec().track(),
            time: MediaTime::from_micros(micros),
            composition,
            keyframe,
            config: Rc::clone(config),
            received: Instant::from_micros(micros.max(0) as u64),
        };
        self.log
            .push(frame, &mut self.segments)
            .expect("room in the log");
    }

    fn push(
        &mut self,
        track: Track,
        at: u64,
        keyframe: bool,
        config: Rc<CodecConfig>,
        bytes: Vec<u8>,
    ) {
        let time = MediaTime::from_micros(at as i64 * 1_000);
        let frame = Frame {
            track,
            time,
            composition: match track {
                Track::Audio => 0,
                Track::Video => self.composition,
            },
            keyframe,
            config,
            received: millis(at),
        };
        self.log
            .push(frame, &mut self.segments)
            .expect("room in the log");
        self.sent.push(Sent {
            track,
            millis: at as i64,
            keyframe,
            bytes,
        });
    }

    /// Sound every 20 ms and a picture every 40 ms in a span; a keyframe where it begins.
    pub fn span(&mut self, from: u64, to: u64) {
        for at in (from..to).step_by(20) {
            if (at - from).is_multiple_of(40) {
                self.picture(at, at == from, 1_500);
            }
            self.sound(at);
        }
    }
}

pub fn config(url: &str, name: &str) -> PublisherConfig {
    PublisherConfig::new(RtmpUrl::parse(url).unwrap(), StreamKey::new(name).unwrap())
}

pub fn publisher(first_timestamp: u32) -> Box<Publisher> {
    let config = PublisherConfig {
        first_timestamp,
        ..config("rtmp://h/live", "rtmp_100")
    };
    Box::new(Publisher::new(millis(0), config, Rng::from_number(9)))
}

/// The other end of a publisher's connection.
pub trait Server {
    fn feed(&mut self, bytes: &[u8]);
    fn take(&mut self) -> Vec<u8>;
}

/// Carries bytes both ways, in pieces drawn from `rng`, until nobody has more to say.
pub fn carry(
    now: Instant,
    publisher: &mut Publisher,
    server: &mut dyn Server,
    log: &FrameLog,
    rng: &mut Rng,
) {
    let mut out = vec![0; 131_072];
    loop {
        let room = [131_072, 4_096, 900, 37][rng.below(4) as usize];
        let given = publisher.poll_transmit(now, log, &mut out[..room]);
        let taken = if rng.below(2) == 0 {
            given
        } else {
            rng.below(given as u32 + 1) as usize
        };
        feed_in_pieces(&out[..taken], rng, |piece| server.feed(piece));
        publisher.transmitted(now, taken, log);
        publisher.check_invariants();
        let back = server.take();
        feed_in_pieces(&back, rng, |piece| publisher.handle_bytes(now, piece));
        publisher.check_invariants();
        if given == 0 && back.is_empty() {
            break;
        }
    }
}

pub fn feed_in_pieces(mut bytes: &[u8], rng: &mut Rng, mut feed: impl FnMut(&[u8])) {
    while !bytes.is_empty() {
        let most = [1, 20, 1_000, 100_000][rng.below(4) as usize];
        let len = (1 + rng.below(most) as usize).min(bytes.len());
        let (piece, rest) = bytes.split_at(len);
        feed(piece);
        bytes = rest;
    }
}

/// Lets an accepted stream last until it is called active.
pub fn prove(now: Instant, publisher: &mut Publisher) {
    publisher.handle_timeout(now + Duration::from_millis(300));
}

pub fn events(publisher: &mut Publisher) -> Vec<PublisherEvent> {
    std::iter::from_fn(|| publisher.poll_event()).collect()
}

/// How the scripted server behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    Accept,
    /// Answers everything up to `publish`, and that with this code.
    RefusePublish(&'static str),
    /// Answers `connect` with an error of this description.
    RefuseConnect(String),
    /// Says nothing after the handshake.
    Silent,
    /// Says nothing at all.
    Dead,
}

/// Answers a command by its name and transaction, before the script does; false leaves it to that.
pub type Hook = fn(&mut Scripted, &str, f64) -> bool;

/// A server of few words that keeps every message.
pub struct Scripted {
    pub script: Script,
    pub hook: Option<Hook>,
    pub messages: Vec<(MessageHead, Vec<u8>)>,
    handshake: Vec<u8>,
    dechunker: Dechunker,
    parts: HashMap<u32, Vec<u8>>,
    out: Vec<u8>,
}

impl Scripted {
    pub fn new(script: Script) -> Self {
        Self {
            script,
            hook: None,
            messages: Vec::new(),
            handshake: Vec::new(),
            dechunker: Dechunker::new(),
            parts: HashMap::new(),
            out: Vec::new(),
        }
    }

    pub fn say(&mut self, kind: u8, stream_id: u32, body: &[u8]) {
        let length = body.len() as u32;
        let head = MessageHead {
            chunk_stream: 3,
            timestamp: 0,
            length,
            kind,
            stream_id,
        };
        let headers = ChunkHeaders::new(&head);
        for (at, piece) in body.chunks(128).enumerate() {
            let header: &[u8] = if at == 0 {
                &headers.first
            } else {
                &headers.continuation
            };
            self.out.extend_from_slice(header);
            self.out.extend_from_slice(piece);
        }
    }

    pub fn control(&mut self, control: Control) {
        let (kind, body) = control.encode();
        self.say(kind, 0, &body);
    }

    pub fn command(&mut self, fill: impl FnOnce(&mut Amf0Writer<'_>)) {
        let mut body = [0; 2_048];
        let mut writer = Amf0Writer::new(&mut body);
        fill(&mut writer);
        let len = writer.finish().unwrap();
        self.say(kind::COMMAND, 1, &body[..len]);
    }

    pub fn status(&mut self, level: &str, code: &str, description: &str) {
        self.say_status("onStatus", 0.0, level, code, description);
    }

    /// A status object in a command of this name.
    pub fn say_status(
        &mut self,
        command: &str,
        transaction: f64,
        level: &str,
        code: &str,
        description: &str,
    ) {
        self.command(|body| {
            body.string(&[command]).number(transaction).null().object();
            body.name("level")
                .string(&[level])
                .name("code")
                .string(&[code]);
            body.name("description").string(&[description]).end();
        });
    }

    /// Names of the commands received, in order.
    pub fn commands(&self) -> Vec<String> {
        let commands = self.messages.iter().filter_map(|(head, body)| {
            Command::parse(head.kind, body).map(|command| command.name.to_owned())
        });
        commands.collect()
    }

    /// Audio and video messages received.
    pub fn media(&self) -> Vec<(MessageHead, Vec<u8>)> {
        let media = |head: &MessageHead| matches!(head.kind, kind::AUDIO | kind::VIDEO);
        self.messages
            .iter()
            .filter(|(head, _)| media(head))
            .cloned()
            .collect()
    }

    fn answer(&mut self, head: MessageHead, body: &[u8]) {
        let Some(command) = Command::parse(head.kind, body) else {
            return;
        };
        let (name, number) = (command.name.to_owned(), command.transaction);
        if let Some(hook) = self.hook
            && hook(self, &name, number)
        {
            return;
        }
        match (name.as_str(), self.script.clone()) {
            (_, Script::Silent | Script::Dead) => {}
            ("connect", Script::RefuseConnect(description)) => self.command(|body| {
                body.string(&["_error"]).number(number).null().object();
                body.name("level").string(&["error"]);
                body.name("code")
                    .string(&["NetConnection.Connect.Rejected"]);
                body.name("description").string(&[&description]).end();
            }),
            ("connect", _) => {
                self.control(Control::WindowAckSize(5_000_000));
                self.control(Control::PingRequest(77));
                self.command(|body| {
                    body.string(&["_result"]).number(number).object();
                    body.name("fmsVer").string(&["x"]).end().object();
                    body.name("code")
                        .string(&["NetConnection.Connect.Success"])
                        .end();
                });
            }
            ("createStream", _) => self.command(|body| {
                body.string(&["_result"]).number(number).null().number(1.0);
            }),
            ("publish", Script::RefusePublish(code)) => self.status("error", code, "in use"),
            ("publish", _) => self.status("status", "NetStream.Publish.Start", "go"),
            _ => {}
        }
    }
}

impl Server for Scripted {
    fn feed(&mut self, mut bytes: &[u8]) {
        if self.script == Script::Dead {
            return;
        }
        while self.handshake.len() < 3_073 && !bytes.is_empty() {
            self.handshake.push(bytes[0]);
            bytes = &bytes[1..];
            if self.handshake.len() == 1_537 {
                self.out.extend([3; 1_537]);
                self.out.extend_from_slice(&self.handshake[1..]);
            }
        }
        while !bytes.is_empty() {
            let (used, incoming) = self.dechunker.next(bytes).expect("chunks that can be read");
            bytes = &bytes[used..];
            let whole = match incoming {
                Some(Incoming::Message { head, body }) => Some((head, body.to_vec())),
                Some(Incoming::Part { head, bytes, .. }) => {
                    let body = self.parts.entry(head.chunk_stream).or_default();
                    body.extend_from_slice(bytes);
                    // The end is told without further bytes.
                    let whole = body.len() == head.length as usize;
                    whole.then(|| (head, self.parts.remove(&head.chunk_stream).unwrap()))
                }
                Some(Incoming::End { .. }) | None => None,
            };
            if let Some((head, body)) = whole {
                self.messages.push((head, body.clone()));
                self.answer(head, &body);
            }
        }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}
