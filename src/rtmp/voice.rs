//! What is heard of a stream: the caller, silence, or a prepared sound, in the codec and at the times
//! of the caller's own frames.
//!
//! Each frame of sound keeps its place and its time, and other bytes go out in it; nothing is decoded
//! or encoded. A frame for which nothing can stand in is left out. Prepared sounds are of G.711, whose
//! samples are bytes, so that frames of any length can be filled; they end with silence to the end of
//! the frame, and the caller is heard again unless nothing is to be.

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
use crate::wire::silent_frame::{ALAW_ZERO, MULAW_ZERO, SilentFrame};

/// A prepared sound.
#[derive(Debug, PartialEq, Eq)]
pub struct PreparedSound {
    /// Which law its samples are of; a track of another codec is silent meanwhile.
    pub codec: Codec,
    /// Its samples, 8,000 a second.
    pub samples: Box<[u8]>,
    /// Whether it begins anew after its end.
    pub repeats: bool,
}

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
}

/// Nothing can stand in for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoStandIn;

impl StandIn {
    /// Bytes of it.
    pub fn len(self) -> usize {
        match self {
            Self::Silence(frame) => frame.len(),
            Self::Sound { samples, .. } => usize::from(samples),
        }
    }

    /// Gives its bytes, those of a sound out of this one, piece by piece until `put` says that it
    /// takes no more.
    pub fn pieces(self, sound: Option<&PreparedSound>, mut put: impl FnMut(&[u8]) -> bool) {
        match (self, sound) {
            (Self::Silence(frame), _) => frame.pieces(put),
            (Self::Sound { from, samples, .. }, Some(sound)) => {
                sound.pieces(from, usize::from(samples), put);
            }
            // It is never switched off between planning and sending; the bytes have to be as many.
            (Self::Sound { samples, .. }, None) => {
                zeros(ALAW_ZERO, usize::from(samples), &mut put);
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

    /// What stands in for a frame while `sound_at` samples of the sound are out; `None` where the
    /// frame itself goes.
    pub(super) fn stand_in(
        &self,
        view: &FrameView<'_>,
        sound_at: u32,
    ) -> Result<Option<StandIn>, NoStandIn> {
        let frame = view.frame();
        if frame.track == Track::Video {
            return Ok(None);
        }
        match self {
            Self::Caller => return Ok(None),
            Self::Sound {
                sound,
                then_silence,
            } if sound.is_over(sound_at) => {
                if !then_silence {
                    return Ok(None);
                }
            }
            Self::Sound { sound, .. } if frame.config.codec() == sound.codec => {
                let samples = u16::try_from(view.len()).map_err(|_| NoStandIn)?;
                return Ok(Some(StandIn::Sound {
                    from: sound_at,
                    samples,
                    next: self.after(sound_at, samples),
                }));
            }
            Self::Sound { .. } | Self::Silence => {}
        }
        silence(view).map(|frame| Some(StandIn::Silence(frame)))
    }

    /// How many samples of the sound are out after these; of one that repeats since it last began.
    fn after(&self, sound_at: u32, samples: u16) -> u32 {
        let at = sound_at.saturating_add(u32::from(samples));
        let repeated = self.sound().filter(|sound| sound.repeats);
        let length = repeated.and_then(|sound| u32::try_from(sound.samples.len()).ok());
        length.map_or(at, |length| at.checked_rem(length).unwrap_or_default())
    }

    /// Whether a sound is at its end.
    pub(super) fn is_over(&self, sound_at: u32) -> bool {
        self.sound().is_some_and(|sound| sound.is_over(sound_at))
    }
}

impl PreparedSound {
    fn is_over(&self, at: u32) -> bool {
        self.samples.is_empty() || (!self.repeats && at as usize >= self.samples.len())
    }

    /// Gives `count` samples from one on; after the end zeros, or those from the beginning.
    fn pieces(&self, from: u32, count: usize, mut put: impl FnMut(&[u8]) -> bool) {
        let mut at = from as usize;
        let mut left = count;
        while left > 0 {
            if self.repeats {
                at = at.checked_rem(self.samples.len()).unwrap_or_default();
            }
            let rest = self.samples.get(at..).unwrap_or_default();
            let piece = rest.get(..left).unwrap_or(rest);
            if piece.is_empty() {
                let zero = match self.codec {
                    Codec::Pcmu => MULAW_ZERO,
                    _ => ALAW_ZERO,
                };
                return zeros(zero, left, &mut put);
            }
            at = at.saturating_add(piece.len());
            left = left.saturating_sub(piece.len());
            if !put(piece) {
                return;
            }
        }
    }
}

fn zeros(zero: u8, mut count: usize, put: &mut impl FnMut(&[u8]) -> bool) {
    let block = [zero; 160];
    while count > 0 {
        let piece = block.get(..count).unwrap_or(&block);
        count = count.saturating_sub(piece.len());
        if !put(piece) {
            return;
        }
    }
}

/// Silence as long as a frame.
fn silence(view: &FrameView<'_>) -> Result<SilentFrame, NoStandIn> {
    let config = &view.frame().config;
    let mut segments = view.segments();
    let (first, rest) = (segments.next(), segments.next());
    // Opus has to be looked at; a frame of it is one packet as it came.
    let bytes = match (first, rest) {
        (Some(first), None) if first.prefix().is_empty() => first.payload(),
        _ if config.codec() == Codec::Opus => return Err(NoStandIn),
        _ => {
            let length = view.len();
            return match config.codec() {
                // Only its length counts, and it is bounded.
                Codec::Pcma | Codec::Pcmu => {
                    SilentFrame::samples(config.codec(), length).ok_or(NoStandIn)
                }
                _ => SilentFrame::like(config, &[]).ok_or(NoStandIn),
            };
        }
    };
    SilentFrame::like(config, bytes).ok_or(NoStandIn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(voice: &Voice, stand_in: StandIn) -> Vec<u8> {
        let mut all = Vec::new();
        stand_in.pieces(voice.sound().map(Rc::as_ref), |piece| {
            all.extend_from_slice(piece);
            true
        });
        assert_eq!(all.len(), stand_in.len());
        all
    }

    fn sound(samples: &[u8], repeats: bool) -> Voice {
        let sound = PreparedSound {
            codec: Codec::Pcmu,
            samples: samples.into(),
            repeats,
        };
        Voice::Sound {
            sound: Rc::new(sound),
            then_silence: false,
        }
    }

    #[test]
    fn a_sound_ends_with_silence_or_begins_anew() {
        let piece = StandIn::Sound {
            from: 2,
            samples: 6,
            next: 0,
        };
        assert_eq!(
            bytes(&sound(&[1, 2, 3, 4], false), piece),
            [3, 4, 0xff, 0xff, 0xff, 0xff]
        );
        assert_eq!(
            bytes(&sound(&[1, 2, 3, 4], true), piece),
            [3, 4, 1, 2, 3, 4]
        );
        let beyond = StandIn::Sound {
            from: 1_000,
            samples: 300,
            next: 0,
        };
        assert_eq!(bytes(&sound(&[1], false), beyond), [0xff; 300]);
        assert_eq!(bytes(&sound(&[1], true), beyond), [1; 300]);
        assert_eq!(bytes(&sound(&[], true), beyond), [0xff; 300]);
    }

    #[test]
    fn a_sound_that_repeats_does_so_for_weeks() {
        let voice = sound(&[1, 2, 3], true);
        let mut at = 0;
        // Frames of 20 ms.
        for _ in 0..1_000 {
            at = voice.after(at, 160);
            assert!(at < 3);
        }
        assert_eq!(at, 160_000 % 3);
        assert_eq!(sound(&[1, 2, 3], false).after(160, 160), 320);
        assert_eq!(sound(&[], true).after(0, 160), 0);
    }

    #[test]
    fn a_sound_is_over_at_its_end_unless_it_repeats() {
        let once = sound(&[1, 2], false);
        assert!(!once.is_over(0) && !once.is_over(1) && once.is_over(2));
        assert!(!sound(&[1, 2], true).is_over(1_000));
        assert!(sound(&[], true).is_over(0));
        assert!(!Voice::Silence.is_over(9));
    }
}
