//! A client of the play-out that says what it takes and keeps every message.

use std::collections::HashMap;

use trunkcast::base::codec::Codec;
use trunkcast::base::frame_log::FrameLog;
use trunkcast::base::rng::Rng;
use trunkcast::base::time::Instant;
use trunkcast::rtmp::{Player, PlayerEvent};
use trunkcast::wire::amf0::Amf0Writer;
use trunkcast::wire::flv::Metadata;
use trunkcast::wire::rtmp_chunk::{Dechunker, Incoming};
use trunkcast::wire::rtmp_message::{MessageHead, kind};

use super::{Script, Scripted, Server, millis};

/// One media or metadata message.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Metadata(Metadata),
    Audio(u32, Vec<u8>),
    Video(u32, Vec<u8>),
}

/// A player and the client at its other end.
pub struct Client {
    pub player: Box<Player>,
    /// Codecs that the player said it leaves out.
    pub left_out: Vec<Codec>,
    pub keyframes_wanted: usize,
    messages: Vec<(MessageHead, Vec<u8>)>,
    handshake: usize,
    dechunker: Dechunker,
    parts: HashMap<u32, Vec<u8>>,
    rng: Rng,
}

impl Client {
    /// A client whose `connect` holds what `fill` adds, playing from now on.
    pub fn join(
        now: u64,
        log: &FrameLog,
        expect_video: bool,
        fill: impl FnOnce(&mut Amf0Writer<'_>),
    ) -> Self {
        Self::join_to(now, log, expect_video, None, fill)
    }

    /// The same, of a stream whose video is known to be of a codec.
    pub fn join_to(
        now: u64,
        log: &FrameLog,
        expect_video: bool,
        codec: Option<Codec>,
        fill: impl FnOnce(&mut Amf0Writer<'_>),
    ) -> Self {
        let now = millis(now);
        let mut client = Self {
            player: Box::new(Player::new(now, Rng::from_number(5))),
            left_out: Vec::new(),
            keyframes_wanted: 0,
            messages: Vec::new(),
            handshake: 3_073,
            dechunker: Dechunker::new(),
            parts: HashMap::new(),
            rng: Rng::from_number(6),
        };
        let mut words = Scripted::new(Script::Silent);
        words.command(|body| {
            body.string(&["connect"]).number(1.0).object();
            body.name("app").string(&["live"]);
            fill(body);
            body.end();
        });
        words.command(|body| {
            body.string(&["createStream"]).number(2.0).null();
        });
        words.command(|body| {
            body.string(&["play"]).number(3.0).null().string(&["a"]);
        });
        let mut hello = vec![0; 3_073];
        hello[0] = 3;
        client.player.handle_bytes(now, &hello);
        client.player.handle_bytes(now, &words.take());
        while let Some(event) = client.player.poll_event() {
            assert!(matches!(event, PlayerEvent::Play { .. }), "{event:?}");
            client.player.set_video_codec(codec);
            client.player.start(now, log, expect_video);
        }
        assert!(client.player.is_playing());
        client.pump(now, log);
        client
    }

    /// Takes what the player has to send, in writes of many sizes, some taken in part.
    pub fn pump(&mut self, now: Instant, log: &FrameLog) {
        let mut out = vec![0; 131_072];
        self.player.handle_timeout(now);
        loop {
            let room = [131_072, 4_096, 300, 23][self.rng.below(4) as usize];
            let given = self.player.poll_transmit(now, log, &mut out[..room]);
            let taken = match self.rng.below(2) {
                0 => given,
                _ => self.rng.below(given as u32 + 1) as usize,
            };
            self.feed(&out[..taken]);
            self.player.transmitted(now, taken, log);
            self.player.check_invariants();
            if given == 0 {
                break;
            }
        }
        while let Some(event) = self.player.poll_event() {
            match event {
                PlayerEvent::LeftOut(codec) => self.left_out.push(codec),
                PlayerEvent::KeyframeWanted => self.keyframes_wanted += 1,
                event => panic!("{event:?}"),
            }
        }
        assert!(!self.player.has_event());
    }

    /// Media and metadata that came since the last call.
    pub fn take(&mut self) -> Vec<Told> {
        let messages = std::mem::take(&mut self.messages).into_iter();
        messages
            .filter_map(|(head, body)| match head.kind {
                kind::DATA => Metadata::parse(&body).unwrap().map(Told::Metadata),
                kind::AUDIO => Some(Told::Audio(head.timestamp, body)),
                kind::VIDEO => Some(Told::Video(head.timestamp, body)),
                _ => None,
            })
            .collect()
    }

    fn feed(&mut self, bytes: &[u8]) {
        let skip = self.handshake.min(bytes.len());
        self.handshake -= skip;
        let mut bytes = &bytes[skip..];
        while !bytes.is_empty() {
            let (used, incoming) = self.dechunker.next(bytes).expect("chunks that can be read");
            bytes = &bytes[used..];
            match incoming {
                Some(Incoming::Message { head, body }) => {
                    self.messages.push((head, body.to_vec()));
                }
                Some(Incoming::Part { head, bytes, .. }) => {
                    let body = self.parts.entry(head.chunk_stream).or_default();
                    body.extend_from_slice(bytes);
                    if body.len() == head.length as usize {
                        let body = self.parts.remove(&head.chunk_stream).unwrap();
                        self.messages.push((head, body));
                    }
                }
                Some(Incoming::End { .. }) | None => {}
            }
        }
    }
}
