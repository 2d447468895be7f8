//! MP4 (ISO/IEC 14496-12) with its index in front: fragmented, as our own recordings are, or with one
//! `moov` before the media.
//!
//! The first track of pictures and the first of sound are read. Sound and pictures of a fragment stand
//! one after the other in the file; frames are given in the order of their times, so up to
//! [`FILE_WINDOW_BYTES`] wait for those that stand behind them. A `moov` or `moof` takes
//! [`FILE_INDEX_BYTES`] at most and tells of [`FILE_SAMPLES`](crate::limits::FILE_SAMPLES) samples of
//! each track. A file that ends in the middle of a fragment ends with its last whole sample before.
//! Of edit lists the beginning counts. Not read: `stz2`, `sidx`, `mfra`, encryption.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

mod entry;
mod fragment;
mod movie;
mod part;
mod sample;
mod table;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use crate::base::codec::Track;
use crate::limits::{FILE_INDEX_BYTES, FILE_WINDOW_BYTES};
use crate::media_file::{Fault, FaultAt, FileFrame, Step, Tracks};

use part::Part;
use sample::{FileTrack, Sample};

/// Bytes of a box's length and type, and of a length that 32 bits do not hold.
const HEAD: usize = 8;
const LONG_HEAD: usize = 16;

/// Bytes of memory that are kept for the next index.
const KEPT_BYTES: usize = 16_384;

/// Bytes by which the window grows.
const STEP_BYTES: usize = 65_536;

#[derive(Debug)]
enum State {
    /// The head of a box, as far as it came.
    Head(heapless::Vec<u8, LONG_HEAD>),
    /// A box of which so many bytes are left is passed, its samples kept.
    Pass(u64),
    /// A `moov` or `moof` that begins there, with so many bytes of content missing.
    Index([u8; 4], u64, u64),
}

/// A reader after the file's first twelve bytes.
#[derive(Debug)]
pub(super) struct Mp4 {
    state: State,
    position: u64,
    /// The content of the present `moov` or `moof`.
    index: Vec<u8>,
    tracks: heapless::Vec<FileTrack, 2>,
    /// The first samples are known, or there will be none.
    described: bool,
    /// Bytes of the file that samples need, up to the position.
    window: Vec<u8>,
    /// So many of them are needed no more.
    released: usize,
}

impl Mp4 {
    /// A reader for a file that begins with a `ftyp` of so many bytes.
    pub fn new(length: u32) -> Result<Self, Fault> {
        let rest = length.checked_sub(12).ok_or(Fault::Mp4Box(*b"ftyp"))?;
        Ok(Self {
            state: match rest {
                0 => State::Head(heapless::Vec::new()),
                _ => State::Pass(rest.into()),
            },
            position: 12,
            index: Vec::new(),
            tracks: heapless::Vec::new(),
            described: false,
            window: Vec::new(),
            released: 0,
        })
    }

    pub fn is_described(&self) -> bool {
        self.described
    }

    pub fn tracks(&self) -> Tracks {
        let of = |track| {
            let mut tracks = self.tracks.iter();
            let found = tracks.find(|known| known.track == track);
            found.map(|known| Rc::clone(&known.config))
        };
        Tracks {
            audio: of(Track::Audio),
            video: of(Track::Video),
        }
    }

    /// Whether a frame is whole that was not given out.
    pub fn has_frame(&self) -> bool {
        let next = earliest(&self.tracks).and_then(|at| self.tracks.get(at)?.next());
        next.is_some_and(|sample| sample.end() <= self.position)
    }

    pub fn take(&mut self, bytes: &[u8]) -> Result<Step<'_>, FaultAt> {
        if self.has_frame() {
            return self.give();
        }
        let next = earliest(&self.tracks).and_then(|at| self.tracks.get(at)?.next().copied());
        // The window holds no more than up to the end of the next sample.
        let most = match next {
            Some(sample) => sample.end().saturating_sub(self.position),
            None => u64::MAX,
        };
        let wanted = match &self.state {
            State::Head(head) if head.len() < HEAD => HEAD.saturating_sub(head.len()) as u64,
            State::Head(head) => LONG_HEAD.saturating_sub(head.len()) as u64,
            State::Pass(left) | State::Index(_, _, left) => *left,
        };
        let length = (bytes.len() as u64).min(most).min(wanted) as usize;
        let part = bytes.get(..length).unwrap_or_default();
        self.hold(part);
        self.position = self.position.saturating_add(length as u64);
        self.go_on(part)?;
        Ok(Step {
            taken: length,
            frame: None,
        })
    }

    /// Takes bytes that are no more than the state wants.
    fn go_on(&mut self, part: &[u8]) -> Result<(), FaultAt> {
        let length = part.len() as u64;
        match &mut self.state {
            State::Head(head) => {
                // There is room for what was wanted.
                let _ = head.extend_from_slice(part);
                if let Some(state) = self.begin()? {
                    self.state = state;
                }
            }
            State::Pass(left) => *left = left.saturating_sub(length),
            State::Index(kind, begin, left) => {
                self.index.extend_from_slice(part);
                *left = left.saturating_sub(length);
                if *left == 0 {
                    let (kind, begin) = (*kind, *begin);
                    self.state = State::Pass(0);
                    self.read_index(kind, begin)?;
                }
            }
        }
        if matches!(self.state, State::Pass(0)) {
            self.state = State::Head(heapless::Vec::new());
        }
        Ok(())
    }

    /// What follows the head of a box, once that is whole.
    fn begin(&mut self) -> Result<Option<State>, FaultAt> {
        let State::Head(head) = &self.state else {
            return Ok(None);
        };
        let Some((&[a, b, c, d, k0, k1, k2, k3], rest)) = head.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let kind = [k0, k1, k2, k3];
        let short = u32::from_be_bytes([a, b, c, d]);
        let length = match (short, rest.first_chunk()) {
            // Up to the end of the file.
            (0, _) => Some(u64::MAX),
            (1, None) => return Ok(None),
            (1, Some(long)) => u64::from_be_bytes(*long).checked_sub(LONG_HEAD as u64),
            _ => u64::from(short).checked_sub(HEAD as u64),
        };
        let position = self.position.saturating_sub(head.len() as u64);
        let at = |fault| FaultAt { fault, position };
        let length = length.ok_or(at(Fault::Mp4Box(kind)))?;
        let known = !self.tracks.is_empty();
        Ok(Some(match &kind {
            b"moov" if known => State::Pass(length),
            b"moov" | b"moof" => {
                if kind == *b"moof" && !known {
                    return Err(at(Fault::Mp4Late));
                }
                if length > FILE_INDEX_BYTES as u64 {
                    return Err(at(Fault::Mp4Index(length)));
                }
                if length == 0 {
                    return Err(at(Fault::Mp4Box(kind)));
                }
                // It is no longer than that.
                self.index.reserve_exact(length as usize);
                State::Index(kind, position, length)
            }
            b"mdat" if !known => return Err(at(Fault::Mp4Late)),
            _ => State::Pass(length),
        }))
    }

    /// Reads the index that is whole now.
    fn read_index(&mut self, kind: [u8; 4], begin: u64) -> Result<(), FaultAt> {
        let content = self.position.saturating_sub(self.index.len() as u64);
        let part = Part::new(kind, &self.index, content);
        let late = match &kind {
            b"moof" => {
                // Samples of the fragment before that are not in front of this one never come.
                fragment::read(part, begin, &mut self.tracks)?;
                self.described = true;
                Fault::Mp4Order
            }
            _ => {
                let movie = movie::read(part)?;
                self.tracks = movie.tracks;
                let some = self.tracks.iter().any(|track| track.next().is_some());
                self.described = some || !movie.fragmented;
                Fault::Mp4Late
            }
        };
        self.index.clear();
        self.index.shrink_to(KEPT_BYTES);
        self.window.clear();
        self.released = 0;
        let at = |fault| FaultAt {
            fault,
            position: begin,
        };
        for track in &self.tracks {
            if track.next().is_some_and(|it| it.offset < self.position) {
                return Err(at(late));
            }
        }
        if widest(&self.tracks) > FILE_WINDOW_BYTES as u64 {
            return Err(at(Fault::Mp4Apart));
        }
        Ok(())
    }

    /// Keeps of the bytes at the position those that samples need.
    fn hold(&mut self, bytes: &[u8]) {
        let begins = self.tracks.iter().filter_map(|track| track.next());
        let Some(first) = begins.map(|sample| sample.offset).min() else {
            self.window.clear();
            self.released = 0;
            return;
        };
        // Where the window is empty, what stands before the first sample is of no use.
        let held = self.window.len().saturating_sub(self.released) as u64;
        let begin = self.position.saturating_sub(held);
        let gone = usize::try_from(first.saturating_sub(begin)).unwrap_or(usize::MAX);
        let released = self.released.saturating_add(gone);
        let skip = released.saturating_sub(self.window.len());
        self.released = released.min(self.window.len());
        if self.released == self.window.len() || self.released >= STEP_BYTES {
            self.window.drain(..self.released);
            self.released = 0;
        }
        let bytes = bytes.get(skip..).unwrap_or_default();
        let needed = self.window.len().saturating_add(bytes.len());
        if needed > self.window.capacity() {
            let more = needed.next_multiple_of(STEP_BYTES);
            let more = more.saturating_sub(self.window.len());
            self.window.reserve_exact(more);
        }
        self.window.extend_from_slice(bytes);
    }

    /// Gives the next frame out, which is whole.
    fn give(&mut self) -> Result<Step<'_>, FaultAt> {
        let position = self.position;
        let lost = FaultAt {
            fault: Fault::Mp4Order,
            position,
        };
        let at = earliest(&self.tracks).ok_or(lost)?;
        let track = self.tracks.get_mut(at).ok_or(lost)?;
        let sample = *track.next().ok_or(lost)?;
        track.advance();
        let begin = position.saturating_sub(self.window.len() as u64);
        let place = sample.offset.checked_sub(begin).ok_or(lost)?;
        let place = usize::try_from(place).map_err(|_| lost)?;
        let end = place.saturating_add(sample.size() as usize);
        let bytes = self.window.get(place..end).ok_or(lost)?;
        Ok(Step {
            taken: 0,
            frame: Some(FileFrame {
                track: track.track,
                time: sample.time,
                composition: sample.composition,
                keyframe: sample.is_sync(),
                config: Rc::clone(&track.config),
                bytes,
            }),
        })
    }
}

/// The track whose next sample is decoded first.
fn earliest(tracks: &[FileTrack]) -> Option<usize> {
    let next = |(at, track): (usize, &FileTrack)| track.next().map(|it| (it.time, at));
    let first = tracks.iter().enumerate().filter_map(next).min();
    first.map(|(_, at)| at)
}

/// Bytes that have to be held for samples to be given in the order of their times.
fn widest(tracks: &[FileTrack]) -> u64 {
    let [one, other] = tracks else {
        return tracks
            .iter()
            .flat_map(|it| it.samples())
            .map(|it| u64::from(it.size()))
            .max()
            .unwrap_or(0);
    };
    let (mut one, mut other) = (one.samples(), other.samples());
    let mut widest = 0;
    loop {
        let (first, rest) = match (one.split_first(), other.split_first()) {
            (Some((a, rest)), Some((b, _))) if a.time <= b.time => (a, (rest, other)),
            (_, Some((b, rest))) => (b, (one, rest)),
            (Some((a, rest)), None) => (a, (rest, other)),
            (None, None) => return widest,
        };
        let begins = [one, other]
            .into_iter()
            .filter_map(|it: &[Sample]| it.first());
        let begin = begins.map(|it| it.offset).min().unwrap_or(0);
        widest = widest.max(first.end().saturating_sub(begin));
        (one, other) = rest;
    }
}
