//! Which frames of a log go into the next piece of a track.
//!
//! A piece begins where the one before ended, as its reader tells. It begins anew where that is not
//! known, not there any more, or a decoder must learn something new: video at a keyframe then. The
//! newest frame waits for the next one, which tells how long it lasts: Media Source takes a gap for
//! a break and shows nothing before the next keyframe.

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

use std::rc::Rc;

use crate::base::codec::{Codec, CodecConfig, Track};
use crate::base::frame_log::{FrameLog, FrameView};
use crate::base::time::MediaTime;
use crate::limits::LOG_FRAMES;

/// What a reader knows of a codec and its parameters, in a few digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print(pub u32);

impl Print {
    /// That of a configuration.
    pub fn of(config: &CodecConfig) -> Self {
        // FNV-1a: it tells parameters of one call apart, and nobody gains by making them alike.
        let mut hash = 0x811c_9dc5_u32;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
            }
        };
        match config {
            CodecConfig::H264(config) => {
                add(&config.sps);
                config.pps.iter().for_each(|set| add(set));
            }
            CodecConfig::Vp8(config) => {
                add(&config.width.to_be_bytes());
                add(&config.height.to_be_bytes());
            }
            CodecConfig::Opus { channels } => add(&[*channels]),
            CodecConfig::Aac(config) => add(&config.specific),
            CodecConfig::Speex | CodecConfig::Pcma | CodecConfig::Pcmu => {}
        }
        Self(hash & !7 | config.codec() as u32)
    }

    /// Whether both are of one codec.
    const fn has_codec_of(self, other: Self) -> bool {
        self.0 & 7 == other.0 & 7
    }
}

/// Where a reader goes on with a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Position in the log.
    pub next: u64,
    /// What its decoder knows.
    pub print: Print,
}

/// Frames of one track for a piece.
#[derive(Default)]
pub struct Cut<'a> {
    /// Each with the time of the one after it; all of one configuration.
    pub frames: heapless::Vec<(FrameView<'a>, MediaTime), LOG_FRAMES>,
    /// The decoder has to learn the configuration first.
    pub anew: bool,
    /// There is no keyframe to begin with.
    pub waits: bool,
    /// There is more for another piece.
    pub more: bool,
    /// Where it goes on; `None` as long as it has not begun.
    pub cursor: Option<Cursor>,
}

impl<'a> Cut<'a> {
    /// The next frames of a track, up to so many bytes or one frame.
    pub fn of(log: &'a FrameLog, track: Track, from: Option<Cursor>, most: usize) -> Self {
        let known = |cursor: &Cursor| (log.start()..=log.end()).contains(&cursor.next);
        let from = from.filter(known);
        if let Some(cursor) = from {
            let Some((at, view)) = frames(log, track, cursor.next).next() else {
                return Self {
                    cursor: from,
                    ..Self::default()
                };
            };
            let print = Print::of(&view.frame().config);
            // Parameters that change within a group of pictures are in the pictures too.
            let goes_on =
                track == Track::Video && !view.frame().keyframe && print.has_codec_of(cursor.print);
            if print == cursor.print || goes_on {
                return Self::from_frame(log, track, at, cursor.print, most);
            }
        }
        let Some(at) = beginning(log, track) else {
            return Self {
                waits: track == Track::Video,
                ..Self::default()
            };
        };
        let print = log.get(at).map(|view| Print::of(&view.frame().config));
        let mut cut = Self::from_frame(log, track, at, print.unwrap_or(Print(0)), most);
        cut.anew = !cut.frames.is_empty();
        // What was not begun begins anew the next time.
        cut.cursor = cut.cursor.filter(|_| cut.anew);
        cut
    }

    fn from_frame(log: &'a FrameLog, track: Track, at: u64, print: Print, most: usize) -> Self {
        let mut cut = Self::default();
        let (mut next, mut bytes) = (log.end(), 0_usize);
        let mut pending: Option<(u64, FrameView<'a>)> = None;
        for (place, view) in frames(log, track, at) {
            if let Some((before, waiting)) = pending {
                bytes = bytes.saturating_add(waiting.len());
                let fits = cut.frames.is_empty() || bytes <= most;
                if !fits || cut.frames.push((waiting, view.frame().time)).is_err() {
                    cut.more = true;
                    next = before;
                    break;
                }
                if is_change(print, waiting, view) {
                    cut.more = true;
                    next = place;
                    break;
                }
            }
            pending = Some((place, view));
            next = place;
        }
        cut.cursor = Some(Cursor { next, print });
        cut
    }
}

/// Frames of a track from a position on.
fn frames(log: &FrameLog, track: Track, from: u64) -> impl Iterator<Item = (u64, FrameView<'_>)> {
    (from..log.end())
        .filter_map(|at| Some((at, log.get(at)?)))
        .filter(move |(_, view)| view.frame().track == track)
}

/// Where a reader begins who knows nothing: video at the last keyframe, sound at the first frame of
/// the configuration that is in use.
fn beginning(log: &FrameLog, track: Track) -> Option<u64> {
    let mut begin: Option<(u64, FrameView<'_>)> = None;
    for (at, view) in frames(log, track, log.start()) {
        let begins = match track {
            Track::Video => view.frame().keyframe,
            Track::Audio => begin.is_none_or(|(_, before)| !is_alike(before, view)),
        };
        if begins {
            begin = Some((at, view));
        } else if begin.is_some_and(|(_, before)| codec(before) != codec(view)) {
            begin = None;
        }
    }
    begin.map(|(at, _)| at)
}

fn is_alike(a: FrameView<'_>, b: FrameView<'_>) -> bool {
    let (a, b) = (&a.frame().config, &b.frame().config);
    Rc::ptr_eq(a, b) || a == b
}

fn codec(view: FrameView<'_>) -> Codec {
    view.frame().config.codec()
}

/// Whether a decoder that knows `print` must learn something between two frames.
fn is_change(print: Print, before: FrameView<'_>, after: FrameView<'_>) -> bool {
    let frame = after.frame();
    match frame.track {
        Track::Video if frame.keyframe => Print::of(&frame.config) != print,
        Track::Video => codec(before) != codec(after),
        Track::Audio => !is_alike(before, after),
    }
}
