//! What is heard of a stream: the caller, silence, or a prepared sound, in the codec and at the times
//! of the caller's own frames.
//!
//! Nothing is decoded or encoded. Silence, and sound of G.711, keep the place and the time of each of
//! the caller's frames, and other bytes go out in them; such a sound ends with silence to the end of the
//! frame. Sound of other codecs consists of frames as they are, which stand in a row from the time of
//! the first of the caller's that they replace: in its place and time, as long as both last equally
//! long; else several of them in the place of one of the caller's, or one in the place of several, so
//! that their times rise by what each lasts. Where the caller's times leap, they leap along.
//!
//! A frame for which nothing can stand in is left out. After a sound the caller is heard again, unless
//! nothing is to be, from the first frame on that does not begin before the sound's end.

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

use crate::base::codec::{Codec, Track};
use crate::base::frame_log::FrameView;
use crate::base::time::MediaTime;
use crate::rtmp::prepared_sound::{PreparedSound, lasts, zeros};
use crate::wire::silent_frame::{ALAW_ZERO, SilentFrame};

/// By how many microseconds a frame may begin before the end of another one, or behind it, and still be
/// taken for the next: what rounding makes of times.
const ROUNDING: u32 = 1_000;

/// Microseconds that a sound makes up for where the caller's frames stay away: two of the longest.
const LEAP: u32 = 240_000;

/// What is to be heard.
#[derive(Clone, Debug, Default)]
pub enum Voice {
    /// What the caller says.
    #[default]
    Caller,
    /// Nothing.
    Silence,
    /// A sound.
    Sound {
        /// Which one.
        sound: Rc<PreparedSound>,
        /// Whether nothing is to be heard after its end, in place of the caller.
        then_silence: bool,
    },
}

/// What goes out in place of a frame's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StandIn {
    /// Silence.
    Silence(SilentFrame),
    /// So many samples of the prepared sound, from this one on, and where it goes on then.
    Sound { from: u32, samples: u16, next: u32 },
    /// A frame of the prepared sound, and what is known of it.
    Frame {
        /// Where it begins among the sound's bytes.
        from: u32,
        /// Bytes of it.
        length: u16,
        /// Whether another one follows in the place of the same frame of the caller's.
        stays: bool,
        /// The frame after it.
        next: u32,
        /// Its time.
        at: MediaTime,
        /// Microseconds that it lasts.
        lasts: u32,
    },
}

/// What becomes of a frame's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The frame itself goes.
    Own,
    /// This goes in its place.
    StandIn(StandIn),
    /// Nothing: a frame of the sound lasts meanwhile.
    Covered,
    /// Nothing: none can stand in for it.
    Unvoiced,
}

/// The last frame of a sound that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastFrame {
    at: MediaTime,
    lasts: u32,
}

impl LastFrame {
    /// Microseconds from its end to a time; negative before that.
    fn leaves(self, time: MediaTime) -> i64 {
        let since = time.micros_since(self.at);
        since.saturating_sub(self.lasts.into())
    }
}

impl StandIn {
    /// Bytes of it.
    pub fn len(self) -> usize {
        match self {
            Self::Silence(frame) => frame.len(),
            Self::Sound { samples, .. } => samples.into(),
            Self::Frame { length, .. } => length.into(),
        }
    }

    /// Its time, where that is not the time of the frame in whose place it goes.
    pub fn time(self) -> Option<MediaTime> {
        match self {
            Self::Frame { at, .. } => Some(at),
            Self::Silence(_) | Self::Sound { .. } => None,
        }
    }

    /// Whether its bytes are a sound's.
    pub fn is_sound(self) -> bool {
        !matches!(self, Self::Silence(_))
    }

    /// Whether the frame in whose place it goes still has its turn.
    pub fn stays(self) -> bool {
        matches!(self, Self::Frame { stays: true, .. })
    }

    /// Where the sound goes on after it; `None` for silence.
    pub fn next(self) -> Option<u32> {
        match self {
            Self::Silence(_) => None,
            Self::Sound { next, .. } | Self::Frame { next, .. } => Some(next),
        }
    }

    /// What is to be kept of it for what comes next.
    pub fn last_frame(self) -> Option<LastFrame> {
        match self {
            Self::Frame { at, lasts, .. } => Some(LastFrame { at, lasts }),
            Self::Silence(_) | Self::Sound { .. } => None,
        }
    }

    /// Gives its bytes, those of a sound out of this one, piece by piece until `put` says that it
    /// takes no more.
    pub fn pieces(self, sound: Option<&PreparedSound>, mut put: impl FnMut(&[u8]) -> bool) {
        match (self, sound) {
            (Self::Silence(frame), _) => frame.pieces(put),
            (Self::Sound { from, samples, .. }, Some(sound)) => {
                sound.samples(from, samples.into(), &mut put);
            }
            (Self::Frame { from, length, .. }, Some(sound)) => {
                sound.frame_bytes(from, length, &mut put);
            }
            // It is never switched off between planning and sending; the bytes have to be as many.
            (Self::Sound { .. } | Self::Frame { .. }, None) => {
                zeros(ALAW_ZERO, self.len(), &mut put);
            }
        }
    }
}

impl Voice {
    /// The sound that is to be heard.
    pub(super) fn sound(&self) -> Option<&Rc<PreparedSound>> {
        match self {
            Self::Sound { sound, .. } => Some(sound),
            Self::Caller | Self::Silence => None,
        }
    }

    /// What becomes of the turn of a frame while `sound_at` samples or frames of the sound are out, and
    /// this was the last frame.
    pub(super) fn turn(
        &self,
        view: &FrameView<'_>,
        sound_at: u32,
        last: Option<LastFrame>,
    ) -> Turn {
        let frame = view.frame();
        if frame.track == Track::Video {
            return Turn::Own;
        }
        // Where the caller's times leap, what was before counts no more.
        let near = |last: &LastFrame| last.leaves(frame.time).unsigned_abs() <= LEAP.into();
        let last = last.filter(near);
        let left = last.map(|last| (last, last.leaves(frame.time), i64::from(slack(view, last))));
        if left.is_some_and(|(_, left, slack)| left.saturating_add(slack) < 0) {
            return Turn::Covered;
        }
        match self {
            Self::Caller => return Turn::Own,
            Self::Sound {
                sound,
                then_silence,
            } if sound.is_over(sound_at) => {
                if !then_silence {
                    return Turn::Own;
                }
            }
            Self::Sound { sound, .. } if !sound.fits(&frame.config) => {}
            Self::Sound { sound, .. } if sound.is_samples() => {
                let Ok(samples) = u16::try_from(view.len()) else {
                    return Turn::Unvoiced;
                };
                return Turn::StandIn(StandIn::Sound {
                    from: sound_at,
                    samples,
                    next: sound.after(sound_at, samples),
                });
            }
            Self::Sound { sound, .. } => {
                let Some(found) = sound.frame(sound_at) else {
                    return Turn::Unvoiced;
                };
                // There is room before this frame's time for one more.
                let behind = left.filter(|(_, left, slack)| left > slack);
                let at = behind.map(|(last, ..)| last.at.offset(last.lasts.into()));
                return Turn::StandIn(StandIn::Frame {
                    from: found.from,
                    length: found.length,
                    stays: at.is_some(),
                    next: sound.after(sound_at, found.length),
                    at: at.unwrap_or(frame.time),
                    lasts: found.lasts,
                });
            }
            Self::Silence => {}
        }
        silence(view).map_or(Turn::Unvoiced, |frame| {
            Turn::StandIn(StandIn::Silence(frame))
        })
    }

    /// Whether a sound is at its end.
    pub(super) fn is_over(&self, sound_at: u32) -> bool {
        self.sound().is_some_and(|sound| sound.is_over(sound_at))
    }
}

/// How far the time of a frame of the caller's may be from the end of a sound's and still be where the
/// next one goes: half a frame, where both last equally long and the caller's times count.
fn slack(view: &FrameView<'_>, last: LastFrame) -> u32 {
    // Only Opus has to be looked at.
    let own = lasts(&view.frame().config, whole(view).unwrap_or_default());
    match own == Some(last.lasts) {
        true => last.lasts >> 1,
        false => ROUNDING,
    }
}

/// The bytes of a frame that stands in one piece.
fn whole<'a>(view: &FrameView<'a>) -> Option<&'a [u8]> {
    let mut segments = view.segments();
    match (segments.next(), segments.next()) {
        (Some(first), None) if first.prefix().is_empty() => Some(first.payload()),
        _ => None,
    }
}

/// Silence as long as a frame.
fn silence(view: &FrameView<'_>) -> Option<SilentFrame> {
    let config = &view.frame().config;
    match (config.codec(), whole(view)) {
        // Only its length counts, and it is bounded.
        (Codec::Pcma | Codec::Pcmu, _) => SilentFrame::samples(config.codec(), view.len()),
        (_, Some(bytes)) => SilentFrame::like(config, bytes),
        // Opus has to be looked at; a frame of it is one packet as it came.
        (Codec::Opus, None) => None,
        (_, None) => SilentFrame::like(config, &[]),
    }
}

#[cfg(test)]
mod tests;
