//! One viewer of the local play-out: the server's side of a connection that plays a stream.
//!
//! Handshake, `connect`, `createStream`, `play`, then the same media as a publisher sends. A viewer
//! that lists codecs in its `connect` gets those in the form of Enhanced RTMP; others get what legacy
//! FLV has a place for.
//! `getStreamLength` and `FCSubscribe` are answered, `seek`, `pause` and buffer lengths change nothing (the stream is
//! live), `publish` is refused. A viewer that names no stream within ten seconds, or takes nothing
//! of what waits for it for fifteen, is closed. One stream at a time on a connection.

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

use heapless::Deque;

use crate::base::codec::{Codec, CodecSet, Track};
use crate::base::frame_log::FrameLog;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::rtmp::answers::{self, STREAM_ID};
use crate::rtmp::asked::{Asked, Name, read};
use crate::rtmp::link::{Link, LinkError};
use crate::rtmp::media_place::Form;
use crate::rtmp::media_writer::{MediaCounters, MediaWriter};
use crate::rtmp::takes::Takes;
use crate::rtmp::words::{Reason, reason};
use crate::wire::rtmp_message::kind;

/// How long a client may take from its connection to the name of a stream.
const ASK_PATIENCE: Duration = Duration::from_secs(10);
/// How long the owner may take to find the stream, and the farewell to be taken.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// What the owner is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, never in a table")]
pub enum PlayerEvent {
    /// Find this stream, then [`Player::start`] or [`Player::not_found`].
    Play {
        /// Application, without query.
        app: Name,
        /// Stream, without query.
        name: Name,
    },
    /// The client wants no more of the stream, but may ask for another: let go of the log.
    Stopped,
    /// The caller should make a keyframe.
    KeyframeWanted,
    /// What comes in on a track is not sent to this client, as it did not list the codec (Enhanced
    /// RTMP). Told once for each codec.
    LeftOut(Codec),
    /// Close the connection, after what the kernel has taken, and drop the player.
    Close {
        /// Why, in words fit for a log.
        reason: Reason,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Handshake and commands, up to `play`.
    Asking {
        until: Instant,
    },
    /// The owner looks for the stream.
    Finding {
        until: Instant,
    },
    Playing,
    /// The rest of the media, then the farewell.
    Ending {
        until: Instant,
        said: bool,
    },
    /// A last answer, then nothing.
    Refusing {
        until: Instant,
    },
    Closed,
}

/// One viewer's connection. About 40 KiB: keep it boxed.
///
/// Drain [`Self::poll_event`] and [`Self::poll_transmit`] after every `handle_*` call and after new
/// frames. The log handed in is that of the stream the player was started on; before and after,
/// any, for example an empty one.
pub struct Player {
    rng: Rng,
    link: Link,
    state: State,
    app: Option<Name>,
    takes: Takes,
    media: MediaWriter,
    /// What was told by [`PlayerEvent::LeftOut`].
    told: CodecSet,
    ended: Reason,
    events: Deque<PlayerEvent, 8>,
}

impl Player {
    /// The server's side of a connection that was accepted now.
    pub fn new(now: Instant, rng: Rng) -> Self {
        Self {
            rng,
            link: Link::server(),
            state: State::Asking {
                until: now + ASK_PATIENCE,
            },
            app: None,
            takes: Takes::legacy(),
            media: MediaWriter::new(false),
            told: CodecSet::NONE,
            ended: Reason::new(),
            events: Deque::new(),
        }
    }

    /// Bytes from the client; work is bounded by their number.
    pub fn handle_bytes(&mut self, now: Instant, mut bytes: &[u8]) {
        while !matches!(self.state, State::Closed | State::Refusing { .. }) {
            let (used, asked, done) = match self.link.next(&mut self.rng, bytes) {
                Ok((used, incoming)) => {
                    (used, incoming.as_ref().and_then(read), incoming.is_none())
                }
                Err(error) => return self.close(reason(format_args!("{error}"))),
            };
            bytes = bytes.get(used..).unwrap_or_default();
            if let Some((asked, transaction)) = asked
                && let Err(error) = self.handle_asked(now, asked, transaction)
            {
                return self.close(reason(format_args!("{error}")));
            }
            if done && bytes.is_empty() {
                break;
            }
        }
        if let Err(error) = self.link.acknowledge() {
            self.close(reason(format_args!("{error}")));
        }
    }

    /// The connection is gone.
    pub fn handle_disconnected(&mut self, _now: Instant) {
        self.media.stop();
        self.state = State::Closed;
    }

    /// Sees to every deadline that has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.media.handle_timeout(now);
        if self
            .link
            .write_deadline()
            .is_some_and(|deadline| deadline <= now)
            && self.state != State::Closed
        {
            return self.close(reason(format_args!("the viewer took nothing for 15 s")));
        }
        match self.state {
            State::Asking { until } if until <= now => {
                self.close(reason(format_args!(
                    "the viewer named no stream within 10 s"
                )));
            }
            State::Finding { until } if until <= now => self.not_found(now),
            State::Ending { until, .. } | State::Refusing { until } if until <= now => {
                let why = self.ended.clone();
                self.close(why);
            }
            _ => {}
        }
    }

    /// The stream that was asked for is this log: begins at its newest keyframe, or asks for one.
    /// Where video is expected, audio waits for the keyframe a little.
    pub fn start(&mut self, now: Instant, log: &FrameLog, expect_video: bool) {
        if !matches!(self.state, State::Finding { .. }) {
            return;
        }
        if let Err(error) = answers::start(&mut self.link.queue) {
            return self.close(reason(format_args!("{error}")));
        }
        self.media.set_expect_video(expect_video);
        self.media.join(now, log);
        let form = Form {
            stream_id: STREAM_ID,
            to_publish: false,
            first_timestamp: 0,
            takes: self.takes,
        };
        self.media.start(form, self.link.queue.chunk_bytes(), false);
        self.state = State::Playing;
    }

    /// There is no such stream: says so and closes.
    pub fn not_found(&mut self, now: Instant) {
        if matches!(self.state, State::Finding { .. }) {
            let code = "NetStream.Play.StreamNotFound";
            self.refuse(now, code, "no such stream is live here");
        }
    }

    /// The stream is over: sends what the log still holds, says so and closes, within two seconds.
    pub fn end(&mut self, now: Instant) {
        match self.state {
            State::Playing => {
                self.media.finish();
                self.ended = reason(format_args!("the stream is over"));
                self.state = State::Ending {
                    until: now + END_PATIENCE,
                    said: false,
                };
            }
            State::Finding { .. } => self.not_found(now),
            State::Asking { .. } => self.close(reason(format_args!("the server stops"))),
            State::Ending { .. } | State::Refusing { .. } | State::Closed => {}
        }
    }

    /// Whether video was negotiated, when that changes.
    pub fn set_expect_video(&mut self, expect: bool) {
        self.media.set_expect_video(expect);
    }

    /// What the negotiated video is coded with, where that is known: audio does not wait for video
    /// that this client is not sent.
    pub fn set_video_codec(&mut self, codec: Option<Codec>) {
        self.media.set_video_codec(codec);
    }

    /// What the client takes, as its `connect` says.
    pub const fn takes(&self) -> &Takes {
        &self.takes
    }

    /// The codec of a track that comes in and is not sent to this client.
    pub fn left_out(&self, track: Track) -> Option<Codec> {
        self.media.left_out(track)
    }

    /// Whether it plays, or ends after having played.
    pub fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing | State::Ending { .. })
    }

    /// Whether it is of no more use.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether an event waits that has come up while writing.
    pub fn has_event(&self) -> bool {
        !self.events.is_empty() || self.media.wants_keyframe() || self.untold().is_some()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<PlayerEvent> {
        let event = self.events.pop_front();
        if event.is_none() && self.media.take_keyframe_wanted() {
            return Some(PlayerEvent::KeyframeWanted);
        }
        if event.is_none()
            && let Some(codec) = self.untold()
        {
            self.told = self.told.union(CodecSet::of(&[codec]));
            return Some(PlayerEvent::LeftOut(codec));
        }
        event
    }

    /// The next moment for [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match self.state {
            State::Asking { until }
            | State::Finding { until }
            | State::Ending { until, .. }
            | State::Refusing { until } => Some(until),
            State::Playing => self.media.poll_timeout(),
            State::Closed => return None,
        };
        Instant::earliest(own, self.link.write_deadline())
    }

    /// Gathers the bytes of one write into `out` and gives their number: as many whole messages as
    /// fit, control first; a message longer than `out` in parts. The log must not change until
    /// [`Self::transmitted`] has told how many of them the kernel took. Fetch events afterwards.
    pub fn poll_transmit(&mut self, now: Instant, log: &FrameLog, out: &mut [u8]) -> usize {
        if self.is_closed() {
            return 0;
        }
        let len = self.link.gather(&mut self.media, now, log, out);
        if len > 0 {
            return len;
        }
        if let State::Ending { until, said: false } = self.state
            && self.media.is_finished()
        {
            self.state = State::Ending { until, said: true };
            if let Err(error) = answers::end(&mut self.link.queue) {
                self.close(reason(format_args!("{error}")));
                return 0;
            }
            return self.link.gather(&mut self.media, now, log, out);
        }
        0
    }

    /// The kernel took the first `count` of the gathered bytes.
    pub fn transmitted(&mut self, now: Instant, count: usize, log: &FrameLog) {
        if self.is_closed() {
            return;
        }
        self.link.transmitted(&mut self.media, now, count, log);
        if self.media.is_torn() {
            return self.close(reason(format_args!("a frame was lost while being sent")));
        }
        if matches!(
            self.state,
            State::Ending { said: true, .. } | State::Refusing { .. }
        ) && self.link.queue.pending().is_empty()
        {
            let why = self.ended.clone();
            self.close(why);
        }
    }

    /// The oldest position of the log that is still wanted; the largest number when none is.
    pub fn position(&self) -> u64 {
        if self.is_playing() {
            self.media.position()
        } else {
            u64::MAX
        }
    }

    /// Packet slots that it holds by itself: the rest of a frame of which the client took a part.
    pub fn held(&self) -> usize {
        self.media.held()
    }

    /// Closes the connection to get the slots of [`Self::held`] back.
    pub fn give_up(&mut self) {
        if self.state != State::Closed {
            self.close(reason(format_args!(
                "the viewer is too slow while memory is scarce"
            )));
        }
    }

    /// What was sent and left out.
    pub fn media_counters(&self) -> &MediaCounters {
        self.media.counters()
    }

    /// Panics when the parts disagree; for tests and fuzzers.
    pub fn check_invariants(&self) {
        self.media.check_invariants();
        self.link.check_invariants();
        assert!(
            !self.media.is_started() || self.is_playing(),
            "media in state {:?}",
            self.state
        );
    }

    /// A codec that is left out and was not told of.
    fn untold(&self) -> Option<Codec> {
        let tracks = [Track::Audio, Track::Video].into_iter();
        tracks
            .filter_map(|track| self.media.left_out(track))
            .find(|codec| !self.told.contains(*codec))
    }

    fn handle_asked(
        &mut self,
        now: Instant,
        asked: Asked,
        transaction: f64,
    ) -> Result<(), LinkError> {
        match asked {
            Asked::Connect {
                app: Some(app),
                amf3,
                takes,
            } if self.app.is_none() => {
                self.app = Some(app);
                self.takes = takes;
                answers::connect(&mut self.link.queue, transaction, amf3)?;
            }
            // A second connect, or one with a name that is too long.
            Asked::Connect { .. } => answers::error(&mut self.link.queue, transaction)?,
            Asked::CreateStream => answers::number(&mut self.link.queue, transaction, STREAM_ID)?,
            Asked::Length => answers::number(&mut self.link.queue, transaction, 0)?,
            Asked::Play { name } => match (self.state, self.app.clone(), name) {
                (State::Asking { .. }, Some(app), Some(name)) => {
                    self.state = State::Finding {
                        until: now + END_PATIENCE,
                    };
                    self.push(PlayerEvent::Play { app, name });
                }
                (State::Asking { .. }, ..) => {
                    self.refuse(
                        now,
                        "NetStream.Play.StreamNotFound",
                        "no such stream is live here",
                    );
                }
                _ => self.link.queue.status(
                    STREAM_ID,
                    "error",
                    "NetStream.Play.Failed",
                    "this connection plays already",
                )?,
            },
            Asked::Publish => {
                let code = "NetStream.Publish.Denied";
                self.refuse(now, code, "this server takes no streams");
            }
            Asked::Subscribe { name } => self.link.queue.command(kind::COMMAND, 0, |body| {
                body.string(&["onFCSubscribe"]).number(0.0).null().object();
                body.name("level").string(&["status"]);
                body.name("code").string(&["NetStream.Play.Start"]);
                body.name("description")
                    .string(&[name.as_deref().unwrap_or_default()])
                    .end();
            })?,
            Asked::Pause { on } => {
                let code = if on {
                    "NetStream.Pause.Notify"
                } else {
                    "NetStream.Unpause.Notify"
                };
                self.link
                    .queue
                    .status(STREAM_ID, "status", code, "the stream is live")?;
            }
            Asked::Seek => {
                let code = "NetStream.Seek.Failed";
                self.link
                    .queue
                    .status(STREAM_ID, "error", code, "the stream is live")?;
            }
            Asked::CloseStream => {
                if matches!(self.state, State::Playing | State::Finding { .. }) {
                    self.media.stop();
                    self.state = State::Asking {
                        until: now + ASK_PATIENCE,
                    };
                    self.push(PlayerEvent::Stopped);
                }
            }
            Asked::Unknown => answers::error(&mut self.link.queue, transaction)?,
            Asked::Nothing => {}
        }
        Ok(())
    }

    fn refuse(&mut self, now: Instant, code: &str, words: &str) {
        self.ended = reason(format_args!("{words} ({code})"));
        if let Err(error) = self.link.queue.status(STREAM_ID, "error", code, words) {
            return self.close(reason(format_args!("{error}")));
        }
        self.media.stop();
        self.state = State::Refusing {
            until: now + END_PATIENCE,
        };
    }

    fn close(&mut self, why: Reason) {
        self.media.stop();
        self.state = State::Closed;
        self.push(PlayerEvent::Close { reason: why });
    }

    fn push(&mut self, event: PlayerEvent) {
        // Room was left by the owner, who drains after every call; Close must not be lost.
        if let Err(event) = self.events.push_back(event) {
            self.events.pop_front();
            let _ = self.events.push_back(event);
        }
    }
}
