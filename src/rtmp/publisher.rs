//! The publisher: one stream to one RTMP server, for as long as its owner wants, whatever the
//! server does meanwhile.
//!
//! Handshake, `connect` (with the FourCC list of Enhanced RTMP, version 2), chunk size,
//! `releaseStream`, `FCPublish`, `createStream`, `publish`, then media; `FCUnpublish` and
//! `deleteStream` at the end. A connection that fails at any step is tried again with growing waits;
//! a name that is in use is waited for in the same way. A server that sends the stream elsewhere is
//! followed, within bounds. A codec that the server does not list, or is found to refuse, is left
//! out of the same stream. Not done here: TLS, which is the owner's where the target asks for it;
//! the digest handshake.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod config;
mod event;
mod exchange;
mod failure;
mod left_out;
mod state;
mod status;
mod suspicion;
mod target;
mod telling;

use core::time::Duration;

use heapless::Deque;

use crate::base::codec::Codec;
use crate::base::counter::count;
use crate::base::frame_log::FrameLog;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::rtmp::auth::AuthQuery;
use crate::rtmp::capabilities::Capabilities;
use crate::rtmp::commands::PUBLISH;
use crate::rtmp::control_queue::QueueFull;
use crate::rtmp::heard::Heard;
use crate::rtmp::link::Link;
use crate::rtmp::media_writer::{MediaCounters, MediaWriter};
use crate::rtmp::publisher::state::{ANSWER_PATIENCE, CONNECT_PATIENCE, STOP_PATIENCE, State};
use crate::rtmp::publisher::suspicion::Suspicion;
use crate::rtmp::publisher::target::Target;
use crate::rtmp::retry::Retry;
use crate::rtmp::voice::Voice;
use crate::rtmp::words::{Reason, reason};
use crate::wire::rtmp_url::RtmpUrl;

pub use config::PublisherConfig;
pub use event::PublisherEvent;
pub use failure::{PublishFailure, PublishFault, PublishStep};
pub use left_out::{LeftOut, WhyLeftOut};
pub use status::RtmpStatus;

/// A stream that lasted this long was a success: the waits begin anew after it.
const LASTING: Duration = Duration::from_secs(10);

/// How long an accepted stream must last before it is called active: some servers accept every
/// name and close the connection in the same breath (nginx-rtmp with `deny publish`).
const PROOF: Duration = Duration::from_millis(300);

/// What a publisher has seen besides media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublisherCounters {
    /// Attempts to connect.
    pub attempts: u64,
    /// Times the server accepted the stream.
    pub accepted: u64,
    /// Messages of the server that were too long or too many to read.
    pub unread_messages: u64,
    /// Events that the owner did not fetch in time.
    pub lost_events: u64,
}

/// One outgoing stream. About 40 KiB: keep it boxed.
///
/// Drain [`Self::poll_event`] and [`Self::poll_transmit`] after every `handle_*` call and after new
/// frames, also without a connection: that lets go of frames that will not be sent.
pub struct Publisher {
    config: PublisherConfig,
    rng: Rng,
    state: State,
    link: Option<Link>,
    stream_id: u32,
    media: MediaWriter,
    retry: Retry,
    auth: Option<AuthQuery>,
    auth_steps: u8,
    status: RtmpStatus,
    reason: Reason,
    /// What the server said of itself in its last answer to `connect`.
    capabilities: Option<Capabilities>,
    suspicion: Suspicion,
    target: Target,
    /// The server wants the stream on a new connection: by then, if no keyframe comes before.
    moving: Option<Instant>,
    /// The server said that the stream may begin, by a word that is not the usual one.
    half_started: bool,
    told_left_out: [Option<LeftOut>; 2],
    events: Deque<PublisherEvent, 8>,
    /// What ends this attempt, where that is not simply the connection.
    fault: Option<PublishFault>,
    failure: Option<PublishFailure>,
    counters: PublisherCounters,
}

impl Publisher {
    /// A publisher that asks for its first connection at once.
    pub fn new(now: Instant, config: PublisherConfig, rng: Rng) -> Self {
        let mut publisher = Self {
            state: State::Waiting { until: now },
            link: None,
            stream_id: 0,
            media: MediaWriter::new(config.expect_video),
            retry: Retry::default(),
            auth: None,
            auth_steps: 0,
            status: RtmpStatus::Wait,
            reason: reason(format_args!("connecting")),
            capabilities: None,
            suspicion: Suspicion::new(
                config.certain.union(PublisherConfig::CERTAIN),
                config.refused,
            ),
            target: Target::default(),
            moving: None,
            half_started: false,
            told_left_out: [None; 2],
            events: Deque::new(),
            fault: None,
            failure: None,
            counters: PublisherCounters::default(),
            config,
            rng,
        };
        publisher.attempt(now);
        publisher
    }

    /// The TCP connection is there.
    pub fn handle_connected(&mut self, now: Instant) {
        if !matches!(self.state, State::Connecting { .. }) {
            return;
        }
        match Link::client(&mut self.rng) {
            Ok(link) => {
                self.link = Some(link);
                self.state = State::Handshaking {
                    until: now + ANSWER_PATIENCE,
                };
            }
            Err(QueueFull) => self.fail(now, reason(format_args!("no room for a handshake")), true),
        }
    }

    /// Bytes from the server; work is bounded by their number.
    pub fn handle_bytes(&mut self, now: Instant, mut bytes: &[u8]) {
        loop {
            let Some(link) = &mut self.link else { return };
            let (used, heard, done) = match link.next(&mut self.rng, bytes) {
                Ok((used, incoming)) => {
                    let target = self.target.url(&self.config.url);
                    let secrets = self.config.secrets(target);
                    let heard = incoming.as_ref().and_then(|i| Heard::read(i, &secrets));
                    (used, heard, incoming.is_none())
                }
                Err(error) => return self.fail(now, reason(format_args!("{error}")), true),
            };
            bytes = bytes.get(used..).unwrap_or_default();
            let open = link.is_open();
            let result = match (self.state, heard) {
                (State::Handshaking { .. }, _) if open => self.ask_connect(now),
                (_, Some(heard)) => self.handle_heard(now, heard),
                _ => Ok(()),
            };
            if result.is_err() {
                return self.fail(now, reason(format_args!("the commands do not fit")), true);
            }
            if done && bytes.is_empty() {
                break;
            }
        }
        if let Some(Err(error)) = self.link.as_mut().map(Link::acknowledge) {
            self.fail(now, reason(format_args!("{error}")), true);
        }
    }

    /// The connection could not be made or is gone.
    pub fn handle_disconnected(&mut self, now: Instant, why: &str) {
        match self.state {
            State::Stopped | State::Waiting { .. } => {}
            State::Stopping { .. } => self.end(),
            _ => self.fail(now, reason(format_args!("{why}")), false),
        }
    }

    /// Sees to every deadline that has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.media.handle_timeout(now);
        let write_deadline = self.link.as_ref().and_then(Link::write_deadline);
        if let State::Active { since } = self.state
            && self.status != RtmpStatus::Active
            && since + PROOF <= now
        {
            self.tell_active();
        }
        if let State::Active { since } = self.state {
            if since + LASTING <= now {
                self.target.lasted();
            }
            if let Some(codec) = self.suspicion.handle_timeout(now) {
                self.push(PublisherEvent::CodecRefused(codec));
            }
        }
        if write_deadline.is_some_and(|deadline| deadline <= now)
            && matches!(self.state, State::Active { .. })
        {
            self.suspicion.abandoned();
            let why = reason(format_args!("the server took nothing for 15 s"));
            return self.fail(now, why, true);
        }
        if self.moving.is_some_and(|until| until <= now) {
            return self.depart(now);
        }
        if self.state.until().is_none_or(|until| now < until) {
            return;
        }
        match self.state {
            State::Waiting { .. } => self.attempt(now),
            State::Stopping { .. } => {
                self.push(PublisherEvent::Close);
                self.end();
            }
            State::Asking {
                transaction: PUBLISH,
                ..
            } if self.half_started => self.begin(now),
            state => {
                self.fault = Some(PublishFault::Silent);
                self.fail(now, state.overdue(self.target().is_tls()), true);
            }
        }
    }

    /// Ends the stream: what the log holds is still sent, then the farewell, then `Close`. Takes at
    /// most a second. Without a stream it ends at once.
    pub fn stop(&mut self, now: Instant) {
        match self.state {
            State::Active { .. } => {
                self.moving = None;
                self.media.finish();
                self.state = State::Stopping {
                    until: now + STOP_PATIENCE,
                    said: false,
                };
            }
            State::Connecting { .. } | State::Handshaking { .. } | State::Asking { .. } => {
                self.push(PublisherEvent::Close);
                self.end();
            }
            State::Waiting { .. } => self.end(),
            State::Stopping { .. } | State::Stopped => {}
        }
    }

    /// Whether it has ended and can be dropped once its events are fetched.
    pub fn is_stopped(&self) -> bool {
        self.state == State::Stopped
    }

    /// Whether video was negotiated, when that changes.
    pub fn set_expect_video(&mut self, expect: bool) {
        self.media.set_expect_video(expect);
    }

    /// What the negotiated video is coded with, where that is known: audio does not wait for video
    /// that the server is not sent.
    pub fn set_video_codec(&mut self, codec: Option<Codec>) {
        self.media.set_video_codec(codec);
    }

    /// What is to be heard of the stream from now on, over all connections; a sound begins at its
    /// beginning.
    pub fn set_voice(&mut self, voice: Voice) {
        self.media.set_voice(voice);
    }

    /// Whether the sound that was to be heard has come to its end.
    pub fn is_sound_over(&self) -> bool {
        self.media.is_sound_over()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<PublisherEvent> {
        let event = self.events.pop_front();
        if event.is_none() && self.media.take_keyframe_wanted() {
            return Some(PublisherEvent::KeyframeWanted);
        }
        event
    }

    /// The next moment for [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        if let State::Active { since } = self.state {
            let unproven = self.status != RtmpStatus::Active;
            let proof = unproven.then_some(since + PROOF);
            let link = self.link.as_ref().and_then(Link::write_deadline);
            let all = [
                proof,
                self.media.poll_timeout(),
                link,
                self.moving,
                self.suspicion.poll_timeout(),
            ];
            return all.into_iter().fold(None, Instant::earliest);
        }
        self.state.until()
    }

    /// Gathers the bytes of one write into `out` and gives their number: as many whole messages as
    /// fit, control first; a message longer than `out` in parts. The log must not change until
    /// [`Self::transmitted`] has told how many of them the kernel took. Gathering again instead
    /// forgets the last one. Fetch events afterwards.
    pub fn poll_transmit(&mut self, now: Instant, log: &FrameLog, out: &mut [u8]) -> usize {
        if self.moving.is_some() && self.media.is_before_keyframe(log) {
            self.depart(now);
        }
        let Some(link) = &mut self.link else {
            self.media.park(now, log);
            return 0;
        };
        if !self.media.is_started() {
            self.media.park(now, log);
        }
        let mut len = link.gather(&mut self.media, now, log, out);
        self.tell_left_out();
        if len == 0
            && let State::Stopping { said: false, .. } = self.state
            && self.media.is_finished()
        {
            if self.say_farewell().is_err() {
                self.push(PublisherEvent::Close);
                self.end();
                return 0;
            }
            if let Some(link) = &mut self.link {
                len = link.gather(&mut self.media, now, log, out);
            }
        }
        len
    }

    /// The kernel took the first `count` of the gathered bytes.
    pub fn transmitted(&mut self, now: Instant, count: usize, log: &FrameLog) {
        let Some(link) = &mut self.link else { return };
        let before = self.media.frames_sent();
        link.transmitted(&mut self.media, now, count, log);
        if self.media.frames_sent() != before {
            self.suspicion.sent(now, self.media.sent());
        }
        if self.media.is_torn() {
            self.suspicion.abandoned();
            return self.fail(
                now,
                reason(format_args!("a frame was lost while being sent")),
                true,
            );
        }
        if let State::Stopping { said: true, .. } = self.state
            && link.queue.pending().is_empty()
        {
            self.push(PublisherEvent::Close);
            self.end();
        }
    }

    /// The oldest position of the log that is still wanted; the largest number when none is.
    pub fn position(&self) -> u64 {
        if self.is_stopped() {
            u64::MAX
        } else {
            self.media.position()
        }
    }

    /// Packet slots that it holds by itself: the rest of a frame of which the server took a part.
    pub fn held(&self) -> usize {
        self.media.held()
    }

    /// Gives the connection up to get the slots of [`Self::held`] back; tried again as after any
    /// failure.
    pub fn give_up(&mut self, now: Instant) {
        if self.link.is_some() {
            self.suspicion.abandoned();
            let why = reason(format_args!(
                "the server is too slow while memory is scarce"
            ));
            self.fail(now, why, true);
        }
    }

    /// How the stream stands.
    pub fn status(&self) -> RtmpStatus {
        self.status
    }

    /// Why it stands so, in words fit for a log and a page.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// When it connects again, while it waits for that.
    pub fn retry_at(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            _ => None,
        }
    }

    /// Where it goes at the moment: the address it was given, or where a server sent it.
    pub fn target(&self) -> &RtmpUrl {
        self.target.url(&self.config.url)
    }

    /// How long the oldest frame of the log has waited to be sent.
    pub fn backlog(&self, now: Instant, log: &FrameLog) -> Duration {
        self.media.backlog(now, log)
    }

    /// The address that it was given.
    pub fn url(&self) -> &RtmpUrl {
        &self.config.url
    }

    /// The codecs that the server listed in its last answer (Enhanced RTMP); empty for others.
    pub fn server_fourccs(&self) -> &[[u8; 4]] {
        let capabilities = self.capabilities.as_ref();
        capabilities.map_or(&[], |found| found.fourccs.as_slice())
    }

    /// What the server calls itself in its last answer; empty when it does not.
    pub fn server_version(&self) -> &str {
        let capabilities = self.capabilities.as_ref();
        capabilities.map_or("", |found| found.version.as_str())
    }

    /// What was sent and left out, over all connections.
    pub fn media_counters(&self) -> &MediaCounters {
        self.media.counters()
    }

    /// What else was seen, over all connections.
    pub fn counters(&self) -> &PublisherCounters {
        &self.counters
    }

    /// Panics when the parts disagree; for tests and fuzzers.
    pub fn check_invariants(&self) {
        self.media.check_invariants();
        if let Some(link) = &self.link {
            link.check_invariants();
        }
        assert_eq!(
            self.state.is_connected(),
            self.link.is_some(),
            "connection and state {:?}",
            self.state
        );
        assert!(
            !self.media.is_started()
                || matches!(self.state, State::Active { .. } | State::Stopping { .. }),
            "media in state {:?}",
            self.state
        );
    }

    fn attempt(&mut self, now: Instant) {
        count(&mut self.counters.attempts);
        self.state = State::Connecting {
            until: now + CONNECT_PATIENCE,
        };
        self.push(PublisherEvent::Connect);
    }

    /// Gives this connection up and waits for the next attempt.
    fn fail(&mut self, now: Instant, why: Reason, close: bool) {
        let otherwise = match close {
            true => PublishFault::Protocol,
            false => PublishFault::Closed,
        };
        self.failure = Some(PublishFailure {
            step: PublishStep::of(self.state),
            fault: self.fault.take().unwrap_or(otherwise),
        });
        if matches!(self.state, State::Stopping { .. }) {
            if close {
                self.push(PublisherEvent::Close);
            }
            return self.end();
        }
        let why = match self.state {
            State::Active { since } if now.since(since) >= LASTING => {
                self.retry.reset();
                self.target.lasted();
                why
            }
            State::Active { .. } if self.status != RtmpStatus::Active => reason(format_args!(
                "the server accepted the stream and ended it at once: {why}"
            )),
            _ => why,
        };
        self.suspicion.ended(now);
        self.target.failed();
        self.drop_link();
        self.auth = None;
        self.auth_steps = 0;
        self.state = State::Waiting {
            until: now + self.retry.wait(&mut self.rng),
        };
        if close {
            self.push(PublisherEvent::Close);
        }
        let status = if self.status.was_active() {
            RtmpStatus::Lost
        } else {
            RtmpStatus::Failed
        };
        self.set_status(status, why);
    }

    /// Leaves this connection for the one that the server wants instead.
    fn depart(&mut self, now: Instant) {
        self.suspicion.abandoned();
        self.drop_link();
        self.push(PublisherEvent::Close);
        self.attempt(now);
    }

    fn end(&mut self) {
        self.drop_link();
        self.state = State::Stopped;
    }

    fn drop_link(&mut self) {
        self.moving = None;
        self.half_started = false;
        if let Some(link) = self.link.take() {
            let counters = link.counters();
            let unread = counters.too_long.saturating_add(counters.too_many);
            self.counters.unread_messages = self.counters.unread_messages.saturating_add(unread);
        }
        self.media.stop();
    }

    fn push(&mut self, event: PublisherEvent) {
        if self.events.push_back(event).is_err() {
            count(&mut self.counters.lost_events);
        }
    }
}
