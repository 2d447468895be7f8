//! The recording of one call: its stream, as it is, into fragmented MP4 files.
//!
//! A recording takes every frame out of the log when it comes and gathers about a second in a buffer
//! of its own, so that a slow disk costs the recording and never a packet. Whole fragments go to the
//! shell, which writes them on a thread of its own and reports later. A file ends with the call, at
//! the rotation that was asked for, or where a track begins or changes: then the next one begins,
//! and all but the last are numbered from 1.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod calls;
pub mod name;

use core::fmt;
use core::time::Duration;

use crate::base::codec::{Codec, CodecSet, Track};
use crate::base::frame_log::{FrameLog, FrameView};
use crate::base::time::Instant;
use crate::gateway::call::{Call, Label};
use crate::gateway::config::Rotation;
use crate::gateway::outlet::{Level, Outlet, RecordEnd, RecordId};
use crate::limits::{RECORDING_BYTES, RECORDING_FILES, RECORDINGS};
use crate::mp4::{Mp4Writer, Pushed};
use crate::rtp::session::Session;
use name::{Facts, Stem, Template};

/// How often a keyframe is asked for while pictures wait for one.
const KEYFRAME_INTERVAL: Duration = Duration::from_secs(1);

/// How long a rotation waits for a keyframe to begin the next file with.
const ROTATION_PATIENCE: Duration = Duration::from_secs(10);

/// What a recording may be told to be.
#[derive(Clone, Debug, Default)]
pub struct RecordingRequest {
    /// What files are called; as configured without it.
    pub template: Option<Template>,
    /// When a file ends and the next begins; as configured without it.
    pub rotation: Option<Rotation>,
    /// A name that is meant as it is, in place of a template.
    pub file_name: Option<String>,
    /// Whether a file of that name is replaced.
    pub force: bool,
}

/// Why a recording does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingRefused {
    /// No live call has this session.
    NoSession,
    /// The configuration names no folder for recordings.
    NoFolder,
    /// As many as there may be are under way.
    Full,
}

impl fmt::Display for RecordingRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession => f.write_str("no stream has this mediaSessionId"),
            Self::NoFolder => f.write_str(
                "there is no folder for recordings: set recording.directory in the configuration",
            ),
            Self::Full => write!(
                f,
                "{RECORDINGS} recordings are under way, as many as may be"
            ),
        }
    }
}

/// How a recording's names are made.
enum Naming {
    Template(Template),
    Literal { name: String, force: bool },
}

/// The recording of a call.
pub struct Recording {
    naming: Naming,
    rotation: Option<Rotation>,
    writer: Box<Mp4Writer>,
    stem: Stem,
    /// The file, once its first fragment was handed on.
    file: Option<RecordId>,
    /// Bytes of the file so far.
    bytes: u64,
    /// Files finished before this one.
    finished: u32,
    /// Where in the log it goes on.
    position: u64,
    /// Since when the file should end, while no keyframe comes.
    rotates: Option<Instant>,
    asked: Option<Instant>,
    /// Codecs that were said to be left out.
    left_out: CodecSet,
    failed: Option<&'static str>,
}

impl Recording {
    /// The name of the file, what is known only at its end still open.
    pub fn file_name(&self) -> String {
        self.stem.unfinished()
    }

    /// When its next fragment is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.writer.poll_timeout()
    }

    /// Takes what is new in the log.
    fn read(
        &mut self,
        now: Instant,
        log: &FrameLog,
        session: &mut Session,
        context: &mut Context<'_>,
    ) {
        if self.position < log.start() {
            self.position = log.start();
            self.writer.handle_gap();
        }
        while self.failed.is_none()
            && let Some(view) = log.get(self.position)
        {
            self.position = self.position.saturating_add(1);
            let frame = view.frame();
            let is_video = frame.track == Track::Video;
            if self.must_rotate(now, is_video, frame.keyframe) {
                self.next_file(context);
            }
            let mut pushed = self.push(now, view, context);
            if let Pushed::New(why) = pushed {
                let label = context.label;
                let line = format_args!("{label}: the recording goes on in a new file: {why}");
                context.outlet.note(Level::Info, line);
                self.next_file(context);
                pushed = self.push(now, view, context);
            }
            match pushed {
                Pushed::NoPlace(codec) => self.leave_out(codec, context),
                Pushed::NeedsKeyframe => self.ask_keyframe(now, session),
                Pushed::NoRoom => {
                    self.failed = Some("recordings hold all the memory that they may")
                }
                Pushed::Taken | Pushed::Unfit | Pushed::New(_) => {}
            }
            self.hand_on(context);
        }
        self.hand_on(context);
        if self.rotates.is_some() || self.writer.wants_keyframe() {
            self.ask_keyframe(now, session);
        }
    }

    /// Gives the file a frame, with the memory that there is.
    fn push(&mut self, now: Instant, view: FrameView<'_>, context: &Context<'_>) -> Pushed {
        let held = context.others.saturating_add(self.writer.held());
        let memory = RECORDING_BYTES.saturating_sub(held);
        self.writer.push(now, view, memory)
    }

    /// Whether the file ends before this frame, as it is large or long enough.
    fn must_rotate(&mut self, now: Instant, is_video: bool, keyframe: bool) -> bool {
        let is_due = match self.rotation {
            Some(Rotation::Bytes(most)) => self.bytes >= most,
            Some(Rotation::Time(most)) => self.writer.span() >= most,
            None => false,
        };
        if !is_due {
            return false;
        }
        let since = *self.rotates.get_or_insert(now);
        let has_video = self.writer.codec(Track::Video).is_some();
        !has_video || is_video && keyframe || now >= since + ROTATION_PATIENCE
    }

    /// Ends the file as a numbered one and begins the next.
    fn next_file(&mut self, context: &mut Context<'_>) {
        self.writer.finish();
        self.hand_on(context);
        if self.file.is_some() {
            self.finished = self.finished.saturating_add(1);
            if self.finished >= RECORDING_FILES {
                self.failed = Some("it has as many files as may be");
                return;
            }
            self.end_file(Some(self.finished), context);
        }
        let has = |track| self.writer.codec(track).is_some();
        // Pictures that were there come back, with the next keyframe.
        *self.writer = Mp4Writer::new(has(Track::Audio), has(Track::Video));
        self.stem = self.naming.stem(&context.facts);
        self.bytes = 0;
        self.rotates = None;
    }

    /// Hands whole fragments on.
    fn hand_on(&mut self, context: &mut Context<'_>) {
        while let Some(piece) = self.writer.poll_transmit() {
            if self.failed.is_some() {
                continue;
            }
            let file = match self.file {
                Some(file) => file,
                None => {
                    *context.next_record = context.next_record.wrapping_add(1);
                    let file = RecordId(*context.next_record);
                    if !context.outlet.record_open(file, &self.stem.unfinished()) {
                        self.failed = Some("too much waits for the disk");
                        continue;
                    }
                    *self.file.insert(file)
                }
            };
            let length = piece.len() as u64;
            self.bytes = self.bytes.saturating_add(length);
            if !context.outlet.record_append(file, piece) {
                self.failed = Some("the disk is too slow");
            }
        }
    }

    /// Ends the file, if it was begun.
    fn end_file(&mut self, number: Option<u32>, context: &mut Context<'_>) {
        self.writer.finish();
        self.hand_on(context);
        let Some(file) = self.file.take() else {
            return;
        };
        let seconds = self.writer.span().as_secs();
        let end = RecordEnd {
            name: self
                .stem
                .finished(number, context.facts.start_millis, seconds),
            replace: matches!(self.naming, Naming::Literal { force: true, .. }),
        };
        if !context.outlet.record_close(file, end) {
            let label = context.label;
            let line = format_args!(
                "{label}: the end of a recording finds no room before the disk: it gets its name \
                 with the next start"
            );
            context.outlet.note(Level::Warn, line);
        }
    }

    fn leave_out(&mut self, codec: Codec, context: &mut Context<'_>) {
        if !self.left_out.contains(codec) {
            self.left_out = self.left_out.union(CodecSet::of(&[codec]));
            let (label, track) = (context.label, codec.track());
            let line =
                format_args!("{label}: {track} left out of the recording: MP4 has no {codec}");
            context.outlet.note(Level::Warn, line);
        }
    }

    fn ask_keyframe(&mut self, now: Instant, session: &mut Session) {
        if self.asked.is_none_or(|at| now >= at + KEYFRAME_INTERVAL) {
            self.asked = Some(now);
            session.request_keyframe(now);
        }
    }
}

impl Naming {
    fn stem(&self, facts: &Facts<'_>) -> Stem {
        match self {
            Self::Template(template) => template.stem(facts),
            Self::Literal { name, .. } => Template::literal(name),
        }
    }
}

/// What of the gateway and the call a recording needs.
struct Context<'a> {
    label: &'a Label,
    /// Told of a file that begins now; its moment is also that of an end.
    facts: Facts<'a>,
    next_record: &'a mut u32,
    /// Bytes that all other recordings hold.
    others: usize,
    outlet: &'a mut dyn Outlet,
}

/// The short name of a codec in a file's name.
fn short(codec: Option<Codec>) -> &'static str {
    match codec {
        Some(Codec::H264) => "h264",
        Some(Codec::Vp8) => "vp8",
        Some(Codec::Opus) => "opus",
        Some(Codec::Aac) => "aac",
        Some(Codec::Speex) => "spx",
        Some(Codec::Pcma) => "pcma",
        Some(Codec::Pcmu) => "pcmu",
        None => "none",
    }
}

impl Call {
    /// The name of the file that its stream is recorded into now.
    pub fn record_name(&self) -> Option<String> {
        let recording = self.outputs.as_ref()?.recording.as_ref()?;
        Some(recording.file_name())
    }
}

/// What a file of a call's recording is named by that begins, or ends, at this moment.
fn facts<'a>(
    label: &'a Label,
    session: &'a str,
    stream: &'a str,
    codecs: [Option<Codec>; 2],
    start_millis: u64,
) -> Facts<'a> {
    let [audio, video] = codecs.map(short);
    Facts {
        stream,
        session,
        media_session: session,
        login: &label.caller,
        audio,
        video,
        start_millis,
    }
}
