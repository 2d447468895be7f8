//! A client that plays a stream and tells what comes, for demonstrations, tests and measurements.
//! It keeps no media and does not come back when the connection ends. It lists every codec that
//! Enhanced RTMP has a FourCC for and that can be relayed.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;

use heapless::Vec;

use crate::base::codec::Codec;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::rtmp::link::{Link, LinkError, WINDOW_BYTES};
use crate::rtmp::words::{Reason, reason};
use crate::wire::flv::{self, AudioHead, Metadata, Part, VideoHead};
use crate::wire::rtmp_chunk::Incoming;
use crate::wire::rtmp_message::{Command, Control, kind};
use crate::wire::rtmp_url::{RtmpUrl, StreamKey};

/// How long the server may take from the connection to the start of the stream.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

const CONNECT: u32 = 1;
const CREATE_STREAM: u32 = 2;
const PLAY: u32 = 3;

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewerEvent {
    /// The stream starts.
    Playing,
    /// `onMetaData`.
    Metadata(Metadata),
    /// A whole audio message.
    Audio {
        /// Milliseconds.
        timestamp: u32,
        /// Bytes of the body.
        size: u32,
        /// Sound format; 7 is A-law, 8 mu-law, 9 what a FourCC names.
        format: u8,
        /// The codec, if it is one of ours.
        codec: Option<Codec>,
        /// Whether it is a sequence header and no sound.
        sequence_header: bool,
        /// The first bytes of the body, up to sixteen.
        start: Vec<u8, 16>,
    },
    /// A whole video message.
    Video {
        /// Milliseconds.
        timestamp: u32,
        /// Bytes of the body.
        size: u32,
        /// Whether it says that it is a keyframe.
        keyframe: bool,
        /// The codec, if it is one of ours.
        codec: Option<Codec>,
        /// Whether it is a sequence header and no picture.
        sequence_header: bool,
    },
    /// It is over: close the connection. Nothing follows.
    Ended(Reason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Up to the first media or status of the stream.
    Asking {
        until: Instant,
    },
    Playing,
    Ended,
}

/// One viewer, over a connection that is there already.
pub struct Viewer {
    url: RtmpUrl,
    name: StreamKey,
    rng: Rng,
    link: Link,
    state: State,
    connecting: bool,
    given: usize,
}

impl Viewer {
    /// A viewer on a connection made now; `None` never happens with the limits as they are.
    pub fn new(now: Instant, url: RtmpUrl, name: StreamKey, mut rng: Rng) -> Option<Self> {
        let link = Link::client(&mut rng).ok()?;
        let state = State::Asking {
            until: now + ANSWER_PATIENCE,
        };
        Some(Self {
            url,
            name,
            rng,
            link,
            state,
            connecting: false,
            given: 0,
        })
    }

    /// Bytes from the server; tells what they hold, in order.
    pub fn handle_bytes(
        &mut self,
        _now: Instant,
        mut bytes: &[u8],
        mut tell: impl FnMut(ViewerEvent),
    ) {
        while self.state != State::Ended {
            let step = self.read(bytes, &mut tell);
            match step {
                Ok((used, done)) => {
                    bytes = bytes.get(used..).unwrap_or_default();
                    if done && bytes.is_empty() {
                        break;
                    }
                }
                Err(error) => return self.end(reason(format_args!("{error}")), &mut tell),
            }
        }
        if let Err(error) = self.link.acknowledge() {
            self.end(reason(format_args!("{error}")), &mut tell);
        }
    }

    /// The connection is gone.
    pub fn handle_disconnected(&mut self, why: &str, mut tell: impl FnMut(ViewerEvent)) {
        self.end(reason(format_args!("{why}")), &mut tell);
    }

    /// Gives up when the server does not answer.
    pub fn handle_timeout(&mut self, now: Instant, mut tell: impl FnMut(ViewerEvent)) {
        if let State::Asking { until } = self.state
            && until <= now
        {
            self.end(reason(format_args!("no stream within 10 s")), &mut tell);
        }
    }

    /// The next moment for [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        if let State::Asking { until } = self.state {
            Some(until)
        } else {
            None
        }
    }

    /// Copies what is to be sent into `out` and gives its length.
    pub fn poll_transmit(&mut self, out: &mut [u8]) -> usize {
        let pending = self.link.queue.pending();
        self.given = pending.len().min(out.len());
        for (to, from) in out.iter_mut().zip(pending) {
            *to = *from;
        }
        self.given
    }

    /// The kernel took the first `count` of those bytes.
    pub fn transmitted(&mut self, count: usize) {
        self.link.queue.sent(count.min(self.given));
        self.given = 0;
    }

    /// Whether it is over.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Panics when the parts disagree; for tests and fuzzers.
    pub fn check_invariants(&self) {
        self.link.check_invariants();
    }

    fn read(
        &mut self,
        bytes: &[u8],
        tell: &mut impl FnMut(ViewerEvent),
    ) -> Result<(usize, bool), LinkError> {
        let was_open = self.link.is_open();
        let (used, incoming) = self.link.next(&mut self.rng, bytes)?;
        let done = incoming.is_none();
        let event = incoming.as_ref().and_then(media);
        let answer = incoming.as_ref().and_then(Answer::read);
        if !was_open && self.link.is_open() {
            self.ask_connect()?;
        }
        if let Some(event) = event {
            self.play(tell);
            tell(event);
        }
        match answer {
            Some(Answer::Result {
                transaction: CONNECT,
                ..
            }) if self.connecting => {
                self.connecting = false;
                self.link
                    .queue
                    .control(Control::WindowAckSize(WINDOW_BYTES))?;
                self.link.queue.command(kind::COMMAND, 0, |body| {
                    body.string(&["createStream"])
                        .number(f64::from(CREATE_STREAM))
                        .null();
                })?;
            }
            Some(Answer::Result {
                transaction: CREATE_STREAM,
                number: Some(stream),
            }) => {
                let name = self.name.reveal();
                self.link.queue.command(kind::COMMAND, stream, |body| {
                    body.string(&["play"])
                        .number(f64::from(PLAY))
                        .null()
                        .string(&[name]);
                    body.number(-2_000.0);
                })?;
                self.link.queue.control(Control::SetBufferLength {
                    stream,
                    millis: 1_000,
                })?;
            }
            Some(Answer::Started) => self.play(tell),
            Some(Answer::Over(why)) => self.end(why, tell),
            _ => {}
        }
        Ok((used, done))
    }

    fn play(&mut self, tell: &mut impl FnMut(ViewerEvent)) {
        if let State::Asking { .. } = self.state {
            self.state = State::Playing;
            tell(ViewerEvent::Playing);
        }
    }

    fn ask_connect(&mut self) -> Result<(), LinkError> {
        self.connecting = true;
        let url = &self.url;
        self.link.queue.command(kind::COMMAND, 0, |body| {
            body.string(&["connect"])
                .number(f64::from(CONNECT))
                .object();
            body.name("app").string(&[url.app_with_query()]);
            body.name("flashVer").string(&["LNX 9,0,124,2"]);
            body.name("tcUrl").string(&[url.tc_url()]);
            body.name("fpad")
                .boolean(false)
                .name("capabilities")
                .number(15.0);
            body.name("audioCodecs")
                .number(4_071.0)
                .name("videoCodecs")
                .number(252.0);
            body.name("videoFunction").number(1.0);
            let fourccs = || Codec::ALL.into_iter().filter_map(flv::fourcc);
            let count = fourccs().count();
            body.name("fourCcList").strict_array(count as u32);
            for fourcc in fourccs() {
                body.string(&[core::str::from_utf8(&fourcc).unwrap_or_default()]);
            }
            body.end();
        })?;
        Ok(())
    }

    fn end(&mut self, why: Reason, tell: &mut impl FnMut(ViewerEvent)) {
        if self.state != State::Ended {
            self.state = State::Ended;
            tell(ViewerEvent::Ended(why));
        }
    }
}

enum Answer {
    Result {
        transaction: u32,
        number: Option<u32>,
    },
    Started,
    Over(Reason),
}

impl Answer {
    fn read(incoming: &Incoming<'_>) -> Option<Self> {
        let Incoming::Message { head, body } = incoming else {
            return None;
        };
        if let Some(Control::StreamEof(_)) = Control::parse(head.kind, body) {
            return Some(Self::Over(reason(format_args!("the stream is over"))));
        }
        let command = Command::parse(head.kind, body)?;
        let status = command.status();
        let over = || {
            let (code, words) = status
                .as_ref()
                .map_or(("", ""), |s| (s.code, s.description));
            Some(Self::Over(reason(format_args!(
                "{}: {code} {words}",
                command.name
            ))))
        };
        match command.name {
            "_result" => Some(Self::Result {
                transaction: command.transaction as u32,
                number: command.second_number().map(|number| number as u32),
            }),
            // The answer to something that was not needed is none of our matter.
            "_error" if command.transaction > f64::from(PLAY) => None,
            "_error" | "close" => over(),
            "onStatus" => match (status.as_ref()?.code, status.as_ref()?.level) {
                ("NetStream.Play.Start", _) => Some(Self::Started),
                (_, "error")
                | ("NetStream.Play.Stop" | "NetStream.Play.UnpublishNotify", _)
                | ("NetStream.Play.StreamNotFound", _) => over(),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The event of a media message.
fn media(incoming: &Incoming<'_>) -> Option<ViewerEvent> {
    match incoming {
        Incoming::Message { head, body } if head.kind == kind::DATA => Metadata::parse(body)
            .ok()
            .flatten()
            .map(ViewerEvent::Metadata),
        Incoming::End { head, start } if head.kind == kind::AUDIO => Some(ViewerEvent::Audio {
            timestamp: head.timestamp,
            size: head.length,
            format: flv::sound_format(start)?,
            codec: AudioHead::parse(start)?.codec,
            sequence_header: AudioHead::parse(start)?.part == Part::SequenceHeader,
            start: start.iter().copied().take(16).collect(),
        }),
        Incoming::End { head, start } if head.kind == kind::VIDEO => {
            let video = VideoHead::parse(start)?;
            Some(ViewerEvent::Video {
                timestamp: head.timestamp,
                size: head.length,
                keyframe: video.keyframe,
                codec: video.codec,
                sequence_header: video.part == Part::SequenceHeader,
            })
        }
        _ => None,
    }
}
