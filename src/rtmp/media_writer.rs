//! Frames of a log as RTMP messages, for publishers and players alike.
//!
//! A write is gathered ([`MediaWriter::gather`]) and then confirmed as far as the kernel took it
//! ([`MediaWriter::transmitted`]). A message of which some bytes are out is finished whatever
//! happens to the log: its pieces are kept as counted views. Everything else is gathered anew next
//! time, so a connection that stands still holds no copies and loses only its own backlog: when the
//! log has dropped frames, or the next one waits longer than [`RTMP_BACKLOG_MILLIS`], video goes on
//! at the newest keyframe, and audio is kept as long as the log keeps it.
//!
//! No video is sent before a keyframe. Where video is expected, audio waits for the first keyframe
//! up to [`START_WAIT`] and then goes first. Metadata names the tracks seen and is sent again when
//! they change; an AVC sequence header stands before the first keyframe and every new configuration.

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

use crate::base::codec::{CodecConfig, Track};
use crate::base::counter::count;
use crate::base::frame_log::{FrameLog, Segment};
use crate::base::time::Instant;
use crate::limits::{FRAME_SEGMENTS, RTMP_BACKLOG_MILLIS, RTMP_GATHER_MESSAGES};
use crate::rtmp::gather::Gather;
use crate::rtmp::media_place::{Body, Form, Place, Planned, Skip, is_video_keyframe};
use crate::wire::flv;
use crate::wire::rtmp_chunk::{ChunkHeaders, wire_length};

/// How long audio waits for the first keyframe where video is expected.
pub(super) const START_WAIT: Duration = Duration::from_secs(1);

/// How long the newest keyframe and what follows it is kept for a connection that is not up.
const PARKED_KEYFRAME: Duration = Duration::from_secs(10);

/// How long frames without a keyframe are kept for one.
const PARKED: Duration = Duration::from_secs(1);

/// How far behind a connection may fall.
const BACKLOG: Duration = Duration::from_millis(RTMP_BACKLOG_MILLIS);

/// What a writer has done and why it left things out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediaCounters {
    /// Audio messages wholly sent or begun.
    pub audio_frames: u64,
    /// Video messages wholly sent or begun, sequence headers aside.
    pub video_frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// AVC sequence headers.
    pub sequence_headers: u64,
    /// Metadata messages.
    pub metadata: u64,
    /// Video frames passed over: before a keyframe, or given up in a stall.
    pub video_dropped: u64,
    /// Frames that no message can carry.
    pub unusable: u64,
    /// Frames that the log dropped before they were sent.
    pub lost: u64,
    /// Times that a stall made video start again at a keyframe.
    pub stalls: u64,
    /// Frames whose time was moved to keep times rising.
    pub clamped_times: u64,
}

/// Whether audio may go before video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Not before a keyframe is there or this moment has come.
    Waiting(Option<Instant>),
    Open,
}

/// A message of which some bytes are out.
struct Begun {
    planned: Planned,
    offset: usize,
}

/// Writes one log to one connection.
pub(super) struct MediaWriter {
    form: Option<Form>,
    chunk_bytes: u32,
    expect_video: bool,
    place: Place,
    gate: Gate,
    plan: Vec<Planned, RTMP_GATHER_MESSAGES>,
    begun: Option<Begun>,
    /// The begun frame's pieces, at most [`FRAME_SEGMENTS`]. The memory is there once a frame was
    /// taken in part.
    views: std::vec::Vec<Segment>,
    /// Bytes of the begun message in the last write that was gathered.
    given_begun: usize,
    /// Positions looked at while parked.
    parked_to: u64,
    parked_keyframe: Option<u64>,
    /// A viewer of a stream that is running, who wants to begin with a picture.
    joining: bool,
    /// The connection has once been as far as the log.
    caught_up: bool,
    /// The kernel did not take all of the last write: no moment to ask for a keyframe.
    stalled: bool,
    /// Video was passed over for want of a keyframe.
    missed_keyframe: bool,
    asked: bool,
    want_keyframe: bool,
    /// Finish at this position; set at the first gathering after [`Self::finish`].
    finishing: bool,
    until: Option<u64>,
    torn: bool,
    counters: MediaCounters,
}

impl MediaWriter {
    /// A writer that is not started; it begins at the log's first frame.
    pub fn new(expect_video: bool) -> Self {
        Self {
            form: None,
            chunk_bytes: 1,
            expect_video,
            place: Place::default(),
            gate: Gate::Waiting(None),
            plan: Vec::new(),
            begun: None,
            views: std::vec::Vec::new(),
            given_begun: 0,
            parked_to: 0,
            parked_keyframe: None,
            joining: false,
            caught_up: false,
            stalled: false,
            missed_keyframe: false,
            asked: false,
            want_keyframe: false,
            finishing: false,
            until: None,
            torn: false,
            counters: MediaCounters::default(),
        }
    }

    /// Starts a stream in this form, with chunks of this size; `ask` wants a keyframe in any case.
    pub fn start(&mut self, form: Form, chunk_bytes: u32, ask: bool) {
        self.reset();
        self.form = Some(form);
        self.chunk_bytes = chunk_bytes;
        self.asked = ask;
        self.want_keyframe = ask;
    }

    /// Forgets the connection; what was begun will not be finished.
    pub fn stop(&mut self) {
        self.reset();
        self.parked_to = self.place.cursor;
    }

    /// Whether it is started.
    pub fn is_started(&self) -> bool {
        self.form.is_some()
    }

    /// Whether video is to be waited for at the start.
    pub fn set_expect_video(&mut self, expect: bool) {
        self.expect_video = expect;
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

    /// Packet slots that the rest of a begun message holds, or fewer.
    pub fn held(&self) -> usize {
        self.views.len()
    }

    /// What was done.
    pub const fn counters(&self) -> &MediaCounters {
        &self.counters
    }

    /// Whether [`Self::take_keyframe_wanted`] has something to tell.
    pub const fn wants_keyframe(&self) -> bool {
        self.want_keyframe
    }

    /// Whether a keyframe is wanted; told once for each need.
    pub fn take_keyframe_wanted(&mut self) -> bool {
        core::mem::take(&mut self.want_keyframe)
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

    /// Without a connection: lets go of what a later one would not start with. Keeps the frames
    /// from the newest keyframe on, since some senders never make another of their own accord, and
    /// the sound of a second before it.
    pub fn park(&mut self, now: Instant, log: &FrameLog) {
        self.place.cursor = self.place.cursor.max(log.start());
        for position in self.parked_to.max(self.place.cursor)..log.end() {
            if is_video_keyframe(log, position) {
                self.parked_keyframe = Some(position);
            }
        }
        self.parked_to = log.end();
        while !self.is_worth_parking(now, log) {
            self.place.cursor = self.place.cursor.saturating_add(1);
        }
    }

    /// Whether a connection that comes later would begin with the frame at the cursor.
    fn is_worth_parking(&self, now: Instant, log: &FrameLog) -> bool {
        let cursor = self.place.cursor;
        let received = |position| log.get(position).map(|view| view.frame().received);
        let Some(here) = received(cursor) else {
            return true;
        };
        let keyframe = self.parked_keyframe.filter(|position| *position >= cursor);
        match keyframe.and_then(received) {
            Some(at_keyframe) => {
                let lead = at_keyframe.since(here) <= PARKED && !self.joining;
                let fresh = now.since(at_keyframe) <= PARKED_KEYFRAME;
                fresh && (lead || keyframe == Some(cursor))
            }
            None => now.since(here) <= PARKED,
        }
    }

    /// Begins at the newest keyframe that the log still holds, or at its end; what comes before the
    /// first keyframe is then left out, as far as it is waited for.
    pub fn join(&mut self, now: Instant, log: &FrameLog) {
        self.joining = true;
        self.place.cursor = log.start();
        self.parked_to = 0;
        self.parked_keyframe = None;
        self.park(now, log);
        if self.parked_keyframe != Some(self.place.cursor) {
            self.place.cursor = log.end();
        }
    }

    /// Puts the rest of a begun message into `out` and gives the bytes written.
    pub fn gather_begun(&mut self, out: &mut [u8]) -> usize {
        self.given_begun = match (&self.begun, &self.form) {
            (Some(begun), Some(form)) => {
                let pieces = self.views.iter();
                emit(
                    &begun.planned,
                    form,
                    self.chunk_bytes,
                    begun.offset,
                    pieces,
                    out,
                )
            }
            _ => 0,
        };
        self.given_begun
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
            let Some(planned) = place.next(&form, log) else {
                break;
            };
            if let Body::Skip(why) = planned.body {
                if why == Skip::Undecodable {
                    self.miss_keyframe(&place, log);
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
                let written = emit(&planned, &form, self.chunk_bytes, 0, pieces, room);
                end = end.saturating_add(written);
                place.advance(&planned, log);
            }
            // Not full: looked at above.
            let _ = self.plan.push(planned);
        }
        if self.plan.is_empty() && self.place.cursor >= log.end() {
            self.caught_up = true;
        }
        self.ask_for_missed(log, end == 0);
        end
    }

    /// `count` of the gathered bytes are out, which was all of them or `short` of it: the begun
    /// message's first, then, from `after` bytes on, those of the plan. What is not out is
    /// forgotten, but for the rest of a message begun.
    pub fn transmitted(&mut self, count: usize, short: bool, after: usize, log: &FrameLog) {
        self.stalled = short;
        let given_begun = core::mem::take(&mut self.given_begun);
        if let Some(begun) = &mut self.begun {
            begun.offset = begun.offset.saturating_add(count.min(given_begun));
            if begun.offset >= wire_length(&begun.planned.head, self.chunk_bytes) {
                self.begun = None;
                self.views.clear();
            }
        }
        let mut left = count.saturating_sub(after);
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
            self.place.advance(&planned, log);
            self.count(&planned);
            let length = wire_length(&planned.head, self.chunk_bytes);
            if left < length {
                self.begin(planned, left, log);
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
        assert!(
            self.views.is_empty() || self.begun.is_some(),
            "pieces of no message"
        );
        if let Some(begun) = &self.begun {
            assert!(begun.offset > 0, "a begun message with nothing out");
            assert!(begun.offset < wire_length(&begun.planned.head, self.chunk_bytes));
        }
    }

    fn reset(&mut self) {
        self.form = None;
        self.place = Place::at(self.place.cursor);
        self.gate = Gate::Waiting(None);
        self.plan.clear();
        self.begun = None;
        self.views.clear();
        self.given_begun = 0;
        self.caught_up = false;
        self.stalled = false;
        self.missed_keyframe = false;
        self.asked = false;
        self.want_keyframe = false;
        self.until = None;
        self.torn = false;
    }

    /// What must be seen to before a plan is made: losses, backlog, the end, the wait at the start.
    fn settle(&mut self, now: Instant, log: &FrameLog) {
        if self.finishing && self.until.is_none() {
            self.until = Some(log.end());
            self.gate = Gate::Open;
        }
        let lost = log.start().saturating_sub(self.place.cursor);
        if lost > 0 {
            self.counters.lost = self.counters.lost.saturating_add(lost);
            self.place.cursor = log.start();
            self.asked = false;
            self.stall(now, log);
        } else if self.caught_up && self.place.video_open {
            let next = log.get(self.place.cursor);
            let behind = next.map(|view| now.since(view.frame().received));
            if behind > Some(BACKLOG) {
                self.stall(now, log);
            }
        }
        if let Gate::Waiting(_) = self.gate {
            self.wait_at_start(now, log);
        }
    }

    fn stall(&mut self, now: Instant, log: &FrameLog) {
        count(&mut self.counters.stalls);
        self.place.drop_video(now, BACKLOG, log);
    }

    fn wait_at_start(&mut self, now: Instant, log: &FrameLog) {
        let keyframe = self.place.newest_keyframe(log).is_some();
        if self.expect_video && !keyframe && !self.asked {
            self.asked = true;
            self.want_keyframe = true;
        }
        // Video that cannot be decoded is not kept for the wait.
        while let Some(view) = log.get(self.place.cursor)
            && view.frame().track == Track::Video
            && !view.frame().keyframe
        {
            count(&mut self.counters.video_dropped);
            self.place.cursor = self.place.cursor.saturating_add(1);
        }
        if self.joining && keyframe {
            self.skip_to_keyframe(log);
        }
        let Some(first) = log.get(self.place.cursor) else {
            return;
        };
        let until = first.frame().received + START_WAIT;
        self.gate = if keyframe || !self.expect_video || until <= now {
            Gate::Open
        } else {
            Gate::Waiting(Some(until))
        };
    }

    /// Leaves out what a viewer would wait through before the first picture.
    fn skip_to_keyframe(&mut self, log: &FrameLog) {
        let keyframe = (self.place.cursor..log.end()).find(|at| is_video_keyframe(log, *at));
        let Some(keyframe) = keyframe else { return };
        let time = log.get(keyframe).map(|view| view.frame().time);
        while self.place.cursor < keyframe
            && log.get(self.place.cursor).map(|view| view.frame().time) < time
        {
            self.place.cursor = self.place.cursor.saturating_add(1);
        }
    }

    /// Video is passed over for want of a keyframe.
    fn miss_keyframe(&mut self, place: &Place, log: &FrameLog) {
        if is_video_keyframe(log, place.cursor) {
            // This one was given up; the next need is a new one.
            self.asked = false;
        }
        self.missed_keyframe = true;
    }

    /// Asks for a keyframe that was missed: once, and not where one is on its way or the connection
    /// stands still, since another keyframe would only add to what it cannot take.
    fn ask_for_missed(&mut self, log: &FrameLog, gave_nothing: bool) {
        if !self.missed_keyframe || (self.stalled && !gave_nothing) {
            return;
        }
        self.missed_keyframe = false;
        if !self.asked && self.place.newest_keyframe(log).is_none() {
            self.asked = true;
            self.want_keyframe = true;
        }
    }

    fn begin(&mut self, planned: Planned, offset: usize, log: &FrameLog) {
        self.views.clear();
        if let Body::Frame { position, .. } = planned.body {
            match log.get(position) {
                // A frame of more pieces was passed over.
                Some(view) => {
                    let pieces = view.segments().take(FRAME_SEGMENTS);
                    // In steps, so that frames of about the same size do not ask for more.
                    let count = pieces.clone().count().next_multiple_of(64);
                    self.views.reserve_exact(count);
                    self.views.extend(pieces.cloned());
                }
                None => self.torn = true,
            }
        }
        self.begun = Some(Begun { planned, offset });
    }

    fn count(&mut self, planned: &Planned) {
        let counters = &mut self.counters;
        let counter = match planned.body {
            Body::Metadata(_) => &mut counters.metadata,
            Body::Sequence(_) => &mut counters.sequence_headers,
            Body::Frame {
                track, keyframe, ..
            } => {
                if planned.clamped {
                    count(&mut counters.clamped_times);
                }
                if track == Track::Video && keyframe {
                    count(&mut counters.keyframes);
                    self.asked = false;
                    self.missed_keyframe = false;
                }
                if track == Track::Video {
                    &mut counters.video_frames
                } else {
                    &mut counters.audio_frames
                }
            }
            Body::Skip(Skip::Undecodable) => &mut counters.video_dropped,
            Body::Skip(Skip::Unusable) => &mut counters.unusable,
        };
        *counter = counter.saturating_add(1);
    }
}

/// Writes a message from `offset` on; `pieces` are those of its frame, if it is one.
fn emit<'s>(
    planned: &Planned,
    form: &Form,
    chunk_bytes: u32,
    offset: usize,
    pieces: impl Iterator<Item = &'s Segment>,
    out: &mut [u8],
) -> usize {
    let headers = ChunkHeaders::new(&planned.head);
    let mut gather = Gather::new(out, &headers, chunk_bytes, offset);
    match &planned.body {
        Body::Metadata(tracks) => {
            let mut body = [0; flv::METADATA_BYTES];
            let len = tracks.write(form.to_publish, &mut body).unwrap_or(0);
            gather.body(body.get(..len).unwrap_or_default());
        }
        Body::Sequence(config) => {
            let mut body = [0; flv::AVC_SEQUENCE_HEADER_BYTES];
            let len = match &**config {
                CodecConfig::H264(config) => flv::write_avc_sequence_header(config, &mut body),
                CodecConfig::Pcma | CodecConfig::Pcmu => None,
            };
            gather.body(body.get(..len.unwrap_or(0)).unwrap_or_default());
        }
        Body::Frame { tag, .. } => {
            gather.body(tag);
            for piece in pieces {
                if !gather.body(piece.prefix()) || !gather.body(piece.payload()) {
                    break;
                }
            }
        }
        Body::Skip(_) => {}
    }
    gather.len()
}
