//! Frames of a log as RTMP messages, for publishers and players alike.
//!
//! A write is gathered ([`MediaWriter::gather`]) and then confirmed as far as the kernel took it
//! ([`MediaWriter::transmitted`]). A message of which some bytes are out is finished whatever
//! happens to the log: its pieces are kept as counted views. Everything else is gathered anew next
//! time, so a connection that stands still holds no copies and loses only its own backlog.
//!
//! When the log has dropped frames, or the next one waits longer than [`RTMP_BACKLOG_MILLIS`](crate::limits::RTMP_BACKLOG_MILLIS), video
//! goes on at the newest keyframe; where it has to be dropped again soon, it stays away for a while,
//! longer each time. Audio is kept as long as the log keeps it while nothing moves, so that a stall
//! that ends is made up for; where the connection moves and still comes no nearer, it is too slow
//! even for audio, of which then all but the newest goes at once. In bytes the backlog is what the
//! log holds ([`RTMP_BACKLOG_BYTES`](crate::limits::RTMP_BACKLOG_BYTES)).
//!
//! No video is sent before a keyframe. Where video is expected, audio waits for the first keyframe
//! up to a second and then goes first. Metadata names the tracks seen and is sent again when
//! they change; a sequence header stands before the first frame and every new configuration of a
//! codec that has one. Frames of a codec that the peer does not take are passed over, and the track
//! is left out of the stream: neither its metadata nor its start wait for it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod counters;
mod keyframe_need;
mod message;
mod parking;
mod settling;
mod slowness;

use core::time::Duration;
use std::rc::Rc;

use heapless::Vec;

use crate::base::codec::{Codec, CodecConfig, CodecSet, Track};
use crate::base::frame_log::FrameLog;
use crate::base::time::Instant;
use crate::limits::RTMP_GATHER_MESSAGES;
use crate::rtmp::media_place::{Body, Form, Place, Planned, Skip, is_video_keyframe};
use crate::rtmp::media_writer::keyframe_need::KeyframeNeed;
use crate::rtmp::media_writer::message::{BegunMessage, emit};
use crate::rtmp::media_writer::parking::Parking;
use crate::rtmp::media_writer::slowness::Slowness;
use crate::rtmp::takes::Takes;
use crate::rtmp::voice::Voice;
use crate::wire::rtmp_chunk::wire_length;

pub use counters::MediaCounters;

/// Whether audio may go before video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Not before a keyframe is there or this moment has come.
    Waiting(Option<Instant>),
    Open,
}

/// Writes one log to one connection.
pub(super) struct MediaWriter {
    form: Option<Form>,
    chunk_bytes: u32,
    expect_video: bool,
    /// What the video that is expected is coded with, where that is known.
    video_codec: Option<Codec>,
    place: Place,
    /// What is to be heard.
    voice: Voice,
    gate: Gate,
    plan: Vec<Planned, RTMP_GATHER_MESSAGES>,
    begun: BegunMessage,
    parking: Parking,
    /// A viewer of a stream that is running, who wants to begin with a picture.
    joining: bool,
    /// The connection has once been as far as the log.
    caught_up: bool,
    /// The kernel did not take all of the last write: no moment to ask for a keyframe.
    stalled: bool,
    need: KeyframeNeed,
    slowness: Slowness,
    /// Finish at this position; set at the first gathering after [`Self::finish`].
    finishing: bool,
    until: Option<u64>,
    torn: bool,
    /// Codecs of which frames were sent on this connection.
    sent: CodecSet,
    counters: MediaCounters,
}

impl MediaWriter {
    /// A writer that is not started; it begins at the log's first frame.
    pub fn new(expect_video: bool) -> Self {
        Self {
            form: None,
            chunk_bytes: 1,
            expect_video,
            video_codec: None,
            place: Place::default(),
            voice: Voice::Caller,
            gate: Gate::Waiting(None),
            plan: Vec::new(),
            begun: BegunMessage::default(),
            parking: Parking::default(),
            joining: false,
            caught_up: false,
            stalled: false,
            need: KeyframeNeed::default(),
            slowness: Slowness::default(),
            finishing: false,
            until: None,
            torn: false,
            sent: CodecSet::NONE,
            counters: MediaCounters::default(),
        }
    }

    /// Starts a stream in this form, with chunks of this size; `ask` wants a keyframe in any case.
    pub fn start(&mut self, form: Form, chunk_bytes: u32, ask: bool) {
        self.reset();
        self.place = self.place.anew(form.takes);
        self.form = Some(form);
        self.chunk_bytes = chunk_bytes;
        if ask {
            self.need.ask();
        }
    }

    /// Forgets the connection; what was begun will not be finished.
    pub fn stop(&mut self) {
        self.reset();
        self.parking = Parking::from(self.place.cursor);
    }

    /// Whether it is started.
    pub fn is_started(&self) -> bool {
        self.form.is_some()
    }

    /// Whether video is to be waited for at the start.
    pub fn set_expect_video(&mut self, expect: bool) {
        self.expect_video = expect;
    }

    /// What the video to be waited for is coded with; `None` when that is not known.
    pub fn set_video_codec(&mut self, codec: Option<Codec>) {
        self.video_codec = codec;
    }

    /// What is to be heard from now on; a sound begins at its beginning.
    pub fn set_voice(&mut self, voice: Voice) {
        self.voice = voice;
        self.place.sound_at = 0;
    }

    /// Whether the sound that is to be heard has come to its end.
    pub fn is_sound_over(&self) -> bool {
        self.voice.is_over(self.place.sound_at)
    }

    /// What the peer was last told of the sound.
    pub fn audio_config(&self) -> Option<&Rc<CodecConfig>> {
        self.place.known(Track::Audio)
    }

    /// The codec of a track that comes in and is not sent on this connection.
    pub fn left_out(&self, track: Track) -> Option<Codec> {
        self.place.left_out(track)
    }

    /// Codecs of which frames were sent on this connection.
    pub const fn sent(&self) -> CodecSet {
        self.sent
    }

    /// Frames sent over all connections.
    pub const fn frames_sent(&self) -> u64 {
        let counters = &self.counters;
        counters.audio_frames.wrapping_add(counters.video_frames)
    }

    /// Whether pictures were sent on this connection.
    pub fn sends_video(&self) -> bool {
        self.sent.iter().any(|codec| codec.track() == Track::Video)
    }

    /// Whether the next frame of video is a keyframe, with which another connection could begin.
    pub fn is_before_keyframe(&self, log: &FrameLog) -> bool {
        let next = (self.place.cursor..log.end()).find(|at| {
            log.get(*at)
                .is_some_and(|view| view.frame().track == Track::Video)
        });
        next.is_some_and(|at| self.place.is_sendable_keyframe(at, log))
    }

    /// Wants a keyframe, unless one was asked for.
    pub fn ask_keyframe(&mut self) {
        self.need.ask();
    }

    /// Sends what the log holds at the next gathering and nothing later.
    pub fn finish(&mut self) {
        self.finishing = true;
    }

    /// Whether everything up to the end asked for by [`Self::finish`] is sent.
    pub fn is_finished(&self) -> bool {
        let Some(until) = self.until else {
            return false;
        };
        self.place.cursor >= until && self.begun.is_none() && self.plan.is_empty()
    }

    /// The oldest position of the log that is still wanted.
    pub const fn position(&self) -> u64 {
        self.place.cursor
    }

    /// How long the next frame has waited since it was received; 0 when there is none.
    pub fn backlog(&self, now: Instant, log: &FrameLog) -> Duration {
        let position = self.place.cursor.max(log.start());
        let next = log.get(position);
        next.map_or(Duration::ZERO, |view| now.since(view.frame().received))
    }

    /// Packet slots that the rest of a begun message holds, or fewer.
    pub fn held(&self) -> usize {
        self.begun.held()
    }

    /// What was done.
    pub const fn counters(&self) -> &MediaCounters {
        &self.counters
    }

    /// Whether [`Self::take_keyframe_wanted`] has something to tell.
    pub const fn wants_keyframe(&self) -> bool {
        self.need.is_wanted()
    }

    /// Whether a keyframe is wanted; told once for each need.
    pub fn take_keyframe_wanted(&mut self) -> bool {
        self.need.take_wanted()
    }

    /// Whether a message was left half sent because the log changed between gathering and
    /// confirming: the connection is of no use any more.
    pub const fn is_torn(&self) -> bool {
        self.torn
    }

    /// When gathering will give something without a new frame.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if let (Gate::Waiting(until), Some(_)) = (self.gate, &self.form) {
            until
        } else {
            None
        }
    }

    /// Opens what waited until now.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Gate::Waiting(Some(until)) = self.gate
            && until <= now
        {
            self.gate = Gate::Open;
        }
    }

    /// Without a connection: lets go of what a later one would not start with.
    pub fn park(&mut self, now: Instant, log: &FrameLog) {
        let lead = !self.joining;
        self.place.cursor = self.parking.advance(self.place.cursor, now, log, lead);
    }

    /// Begins at the newest keyframe that the log still holds, or at its end; what comes before the
    /// first keyframe is then left out, as far as it is waited for.
    pub fn join(&mut self, now: Instant, log: &FrameLog) {
        self.joining = true;
        self.place.cursor = log.start();
        self.parking = Parking::default();
        self.park(now, log);
        if !self.parking.is_newest_keyframe(self.place.cursor) {
            self.place.cursor = log.end();
        }
    }

    /// Puts the rest of a begun message into `out` and gives the bytes written.
    pub fn gather_begun(&self, out: &mut [u8]) -> usize {
        let Some(form) = &self.form else { return 0 };
        self.begun.gather(form, self.chunk_bytes, out)
    }

    /// Puts as many messages as fit into `out` from `at` on and gives the end of them. Only a
    /// message that stands first in `out` is ever cut by its end. Bounded by the log and `out`.
    pub fn gather(&mut self, now: Instant, log: &FrameLog, out: &mut [u8], at: usize) -> usize {
        self.plan.clear();
        let Some(form) = self.form else { return at };
        self.settle(now, log);
        if self.gate != Gate::Open {
            return at;
        }
        if self.place.origin.is_none() {
            self.place.survey(log);
        }
        let mut place = self.place.clone();
        let mut end = at;
        while !self.plan.is_full() && self.until.is_none_or(|until| place.cursor < until) {
            let Some(planned) = place.next(&form, &self.voice, log) else {
                break;
            };
            if let Body::Skip(why) = planned.body {
                if why == Skip::Undecodable {
                    // A keyframe that is passed over was given up.
                    self.need.miss(is_video_keyframe(log, place.cursor));
                }
                place.advance(&planned, log);
                if self.plan.is_empty() {
                    self.count(&planned);
                    self.place = place.clone();
                    continue;
                }
            } else {
                let length = wire_length(&planned.head, self.chunk_bytes);
                let room = out.get_mut(end..).unwrap_or_default();
                if room.is_empty() || (length > room.len() && end > 0) {
                    break;
                }
                let view = match planned.body {
                    Body::Frame { position, .. } => log.get(position),
                    _ => None,
                };
                let pieces = view.iter().flat_map(|view| view.segments());
                let sound = self.voice.sound();
                let at_start = (0, sound.map(Rc::as_ref));
                let written = emit(&planned, &form, self.chunk_bytes, at_start, pieces, room);
                end = end.saturating_add(written);
                place.advance(&planned, log);
            }
            // Not full: looked at above.
            let _ = self.plan.push(planned);
        }
        if self.plan.is_empty() && self.place.cursor >= log.end() {
            self.caught_up = true;
        }
        self.ask_for_missed(now, log, end == 0);
        end
    }

    /// The next `begun` bytes of the begun message and the first `left` of the plan's are out, which
    /// was all of what was gathered or `short` of it. What is not out is forgotten, but for the rest
    /// of a message begun.
    pub fn transmitted(&mut self, begun: usize, mut left: usize, short: bool, log: &FrameLog) {
        self.stalled = short;
        self.begun.advance(begun, self.chunk_bytes);
        for at in 0..self.plan.len() {
            let Some(planned) = self.plan.get(at).cloned() else {
                break;
            };
            if let Body::Skip(_) = planned.body {
                self.place.advance(&planned, log);
                self.count(&planned);
                continue;
            }
            if left == 0 {
                break;
            }
            self.note_sent(&planned, log);
            self.place.advance(&planned, log);
            self.count(&planned);
            let length = wire_length(&planned.head, self.chunk_bytes);
            if left < length {
                self.torn |= !self.begun.begin(planned, left, self.voice.sound(), log);
                break;
            }
            left = left.saturating_sub(length);
        }
        self.plan.clear();
        if self.place.cursor >= log.end() {
            self.caught_up = true;
        }
    }

    /// Panics when the parts disagree; for tests and fuzzers.
    pub fn check_invariants(&self) {
        self.begun.check_invariants(self.chunk_bytes);
    }

    fn note_sent(&mut self, planned: &Planned, log: &FrameLog) {
        if let Body::Frame { position, .. } = planned.body
            && let Some(view) = log.get(position)
        {
            let codec = view.frame().config.codec();
            self.sent = self.sent.union(CodecSet::of(&[codec]));
        }
    }

    fn reset(&mut self) {
        self.form = None;
        self.place = self.place.anew(Takes::legacy());
        self.gate = Gate::Waiting(None);
        self.plan.clear();
        self.begun.clear();
        self.caught_up = false;
        self.stalled = false;
        self.need.reset();
        self.slowness = Slowness::default();
        self.finishing = false;
        self.until = None;
        self.torn = false;
        self.sent = CodecSet::NONE;
    }

    fn count(&mut self, planned: &Planned) {
        self.counters.count(planned);
        if let Body::Frame {
            track: Track::Video,
            keyframe: true,
            ..
        } = planned.body
        {
            self.need.satisfied();
        }
    }
}
