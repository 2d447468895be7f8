//! Frames of a log to the pieces of a file.
//!
//! The tracks of a file are those that came before its first fragment: a track that begins later, or
//! one whose codec or parameters change, belongs into a new file. So the first fragment waits a
//! moment for tracks that are expected. No video is taken before a keyframe.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;
use core::time::Duration;
use std::rc::Rc;

use crate::base::codec::{Codec, CodecConfig, Track};
use crate::base::frame_log::FrameView;
use crate::base::time::{Instant, MediaTime};
use crate::limits::RECORDING_SAMPLES;
use crate::mp4::fragment::{Fragment, Ticks};
use crate::mp4::header::write_header;
use crate::mp4::sample_entry::{VIDEO_CLOCK, clock, has_place, sample_entry};
use crate::wire::opus::OpusPacket;

/// Media after which a keyframe begins a new fragment.
const LEAST_SPAN: i64 = 250_000;

/// Media after which any picture begins a new fragment.
const VIDEO_SPAN: i64 = 1_000_000;

/// Media after which sound does too: the next picture is late.
const AUDIO_SPAN: i64 = 1_200_000;

/// How long a frame waits in a fragment while nothing follows.
const PATIENCE: Duration = Duration::from_millis(1_300);

/// How long the first fragment waits for a track that is expected.
const START_PATIENCE: Duration = Duration::from_millis(1_500);

/// Bytes of what stands around a fragment's media, or more: 16 for each sample.
const HEAD_BYTES: usize = RECORDING_SAMPLES.saturating_mul(32).saturating_add(256);

/// Ticks of a picture whose successor is not known.
const PICTURE_TICKS: u32 = VIDEO_CLOCK / 30;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the file, or on its way there.
    Taken,
    /// It is video that no decoder could begin with; a keyframe is wanted.
    NeedsKeyframe,
    /// The format has no place for its codec.
    NoPlace(Codec),
    /// It has no bytes, or no place for what it is.
    Unfit,
    /// There is no memory for it.
    NoRoom,
    /// It belongs into another file: finish this one and give the frame to the next.
    New(NewFile),
}

/// Why a file ends and another one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// The track that does not fit.
    pub track: Track,
    /// What about it.
    pub why: WhyNewFile,
}

/// What about a track does not fit a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNewFile {
    /// It begins after the first fragment was written.
    Late,
    /// It changed its codec, or what a decoder must know.
    Changed,
}

impl fmt::Display for NewFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            WhyNewFile::Late => write!(f, "{} began", self.track),
            WhyNewFile::Changed => write!(f, "{} changed its codec or parameters", self.track),
        }
    }
}

/// A track of the file.
struct FileTrack {
    config: Rc<CodecConfig>,
    entry: Vec<u8>,
    ticks: Ticks,
}

/// Writes one file. About 8 KiB beside the frames that it holds: keep it boxed.
pub struct Mp4Writer {
    video: Option<FileTrack>,
    audio: Option<FileTrack>,
    expects_video: bool,
    expects_audio: bool,
    /// When the first frame came.
    begun: Option<Instant>,
    /// When the first frame of the fragment came.
    filling: Option<Instant>,
    fragment: Fragment,
    /// Fragments written.
    fragments: u32,
    /// Where the file's time begins, once that is written.
    base: Option<MediaTime>,
    /// Latest presentation time seen.
    until: Option<MediaTime>,
    /// Pictures wait for one to begin with.
    waits_for_keyframe: bool,
    ready: Vec<u8>,
}

impl Mp4Writer {
    /// A file whose tracks are likely to be these.
    pub fn new(expects_audio: bool, expects_video: bool) -> Self {
        Self {
            video: None,
            audio: None,
            expects_video,
            expects_audio,
            begun: None,
            filling: None,
            fragment: Fragment::default(),
            fragments: 0,
            base: None,
            until: None,
            waits_for_keyframe: true,
            ready: Vec::new(),
        }
    }

    /// Takes a frame in, with so many bytes of memory more than are [held](Self::held). What it made
    /// ready is to be taken by [`Self::poll_transmit`] then.
    pub fn push(&mut self, now: Instant, view: FrameView<'_>, memory: usize) -> Pushed {
        let frame = view.frame();
        let (track, codec) = (frame.track, frame.config.codec());
        if !has_place(codec) {
            self.set_expected(track, false);
            return Pushed::NoPlace(codec);
        }
        let is_video = track == Track::Video;
        if is_video && self.waits_for_keyframe && !frame.keyframe {
            return Pushed::NeedsKeyframe;
        }
        if view.is_empty() {
            return Pushed::Unfit;
        }
        if let Some(other) = self.misfit(view) {
            return other;
        }
        let before = self.held();
        if self.is_cut_due(now, view, memory) {
            self.cut(Some((track, frame.time)));
        }
        if self.track(track).is_none() && !self.add_track(view) {
            return Pushed::Unfit;
        }
        // What the fragment let go of may be taken again.
        let memory = memory.saturating_add(before.saturating_sub(self.held()));
        if !self.fragment.push(view, memory) {
            return Pushed::NoRoom;
        }
        if is_video {
            self.waits_for_keyframe = false;
        }
        self.begun.get_or_insert(now);
        self.filling.get_or_insert(now);
        let shown = frame.time.offset(frame.composition.into());
        self.until = self.until.max(Some(shown));
        Pushed::Taken
    }

    /// Bytes of memory that wait to be a fragment.
    pub fn held(&self) -> usize {
        self.fragment.held()
    }

    /// Frames were lost before the next one: video goes on with a keyframe.
    pub fn handle_gap(&mut self) {
        self.waits_for_keyframe = true;
    }

    /// Whether pictures wait for a keyframe, and pictures are expected.
    pub fn wants_keyframe(&self) -> bool {
        self.waits_for_keyframe && self.expects_video
    }

    /// Writes what has waited long enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.cut(None);
        }
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let filling = self.filling?;
        match self.begun {
            Some(begun) if self.is_incomplete() => Some(begun + START_PATIENCE),
            _ => Some(filling + PATIENCE),
        }
    }

    /// Makes the rest ready; nothing is to be pushed any more.
    pub fn finish(&mut self) {
        self.cut(None);
    }

    /// The next piece of the file: whole fragments, the beginning of the file before the first.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.ready.is_empty()).then(|| core::mem::take(&mut self.ready))
    }

    /// The codec of a track of the file.
    pub fn codec(&self, track: Track) -> Option<Codec> {
        self.track(track).map(|it| it.config.codec())
    }

    /// Whether its tracks are fixed: a fragment was made.
    pub fn has_begun(&self) -> bool {
        self.fragments > 0
    }

    /// How much media was taken, from the first decoding time to the last presentation time.
    pub fn span(&self) -> Duration {
        let first = self.base.or_else(|| self.fragment.first_time());
        let micros = match (first, self.until) {
            (Some(first), Some(until)) => until.micros_since(first),
            _ => 0,
        };
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    fn track(&self, track: Track) -> Option<&FileTrack> {
        match track {
            Track::Video => self.video.as_ref(),
            Track::Audio => self.audio.as_ref(),
        }
    }

    fn track_mut(&mut self, track: Track) -> &mut Option<FileTrack> {
        match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        }
    }

    fn set_expected(&mut self, track: Track, expected: bool) {
        match track {
            Track::Video => self.expects_video = expected,
            Track::Audio => self.expects_audio = expected,
        }
    }

    /// Whether an expected track has not come yet.
    fn is_incomplete(&self) -> bool {
        !self.has_begun()
            && (self.expects_video && self.video.is_none()
                || self.expects_audio && self.audio.is_none())
    }

    /// What is to be done with a frame that does not fit the tracks of the file.
    fn misfit(&mut self, view: FrameView<'_>) -> Option<Pushed> {
        let frame = view.frame();
        let begun = self.has_begun();
        let new = |why| {
            Some(Pushed::New(NewFile {
                track: frame.track,
                why,
            }))
        };
        let Some(track) = self.track_mut(frame.track) else {
            return begun.then(|| new(WhyNewFile::Late)).flatten();
        };
        if Rc::ptr_eq(&track.config, &frame.config) {
            return None;
        }
        if track.config == frame.config {
            track.config = Rc::clone(&frame.config);
            return None;
        }
        if frame.track == Track::Audio || frame.keyframe {
            return new(WhyNewFile::Changed);
        }
        // Parameter sets are in the pictures too: one that needs others brought them along.
        (track.config.codec() != frame.config.codec()).then_some(Pushed::NeedsKeyframe)
    }

    fn add_track(&mut self, view: FrameView<'_>) -> bool {
        let config = &view.frame().config;
        let Some(entry) = sample_entry(config) else {
            return false;
        };
        let track = FileTrack {
            config: Rc::clone(config),
            entry,
            ticks: Ticks::new(clock(config), usual_ticks(view)),
        };
        *self.track_mut(view.frame().track) = Some(track);
        true
    }

    fn is_cut_due(&self, now: Instant, view: FrameView<'_>, memory: usize) -> bool {
        let frame = view.frame();
        let Some(first) = self.fragment.first_time() else {
            return false;
        };
        if !self.fragment.has_room(frame.track, view.len(), memory) {
            return true;
        }
        let waits = self.begun.is_some_and(|at| now < at + START_PATIENCE);
        let begins = self.track(frame.track).is_none();
        if !self.has_begun() && (begins || waits && self.is_incomplete()) {
            return false;
        }
        let span = frame.time.micros_since(first);
        match frame.track {
            Track::Video if frame.keyframe && self.fragment.has(Track::Video) => span >= LEAST_SPAN,
            Track::Video => span >= VIDEO_SPAN,
            Track::Audio => span >= AUDIO_SPAN || self.video.is_none() && span >= VIDEO_SPAN,
        }
    }

    /// Writes the fragment; `next` is what comes after it.
    fn cut(&mut self, next: Option<(Track, MediaTime)>) {
        self.filling = None;
        let Some(first) = self.fragment.first_time() else {
            return;
        };
        let base = *self.base.get_or_insert(first);
        let length = self.fragment.bytes().saturating_add(HEAD_BYTES);
        self.ready.reserve_exact(length);
        if self.fragments == 0 {
            let tracks: heapless::Vec<(&CodecConfig, &[u8]), 2> =
                [self.video.as_ref(), self.audio.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(|it| (&*it.config, it.entry.as_slice()))
                    .collect();
            write_header(&tracks, &mut self.ready);
        }
        self.fragments = self.fragments.saturating_add(1);
        let after = |track| {
            let known = next.filter(|(of, _)| *of == track);
            known.map(|(_, time)| time)
        };
        let mut tracks = heapless::Vec::<(Track, &mut Ticks, Option<MediaTime>), 2>::new();
        for (track, state) in [
            (Track::Video, &mut self.video),
            (Track::Audio, &mut self.audio),
        ] {
            if let Some(state) = state {
                let _ = tracks.push((track, &mut state.ticks, after(track)));
            }
        }
        self.fragment
            .write(self.fragments, base, &mut tracks, &mut self.ready);
    }
}

/// How long a frame like this lasts, in ticks of its track.
fn usual_ticks(view: FrameView<'_>) -> u32 {
    match &*view.frame().config {
        CodecConfig::H264(_) | CodecConfig::Vp8(_) => PICTURE_TICKS,
        CodecConfig::Aac(config) => u32::from(config.frame_samples),
        // A byte is a sample.
        CodecConfig::Pcma | CodecConfig::Pcmu => u32::try_from(view.len()).unwrap_or(u32::MAX),
        CodecConfig::Opus { .. } | CodecConfig::Speex => {
            let mut segments = view.segments();
            let packet = segments.next().map(|it| it.payload()).unwrap_or_default();
            OpusPacket::parse(packet).map_or(960, |packet| packet.samples)
        }
    }
}
