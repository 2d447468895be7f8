//! What an offer leaves out to fit one datagram.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::codec::Codec;
use crate::wire::sdp_media::MediaKind;

/// Codecs of sound that are left out first, down to so many.
const AUDIO_AT_LEAST: usize = 2;

/// What is left out of an offer. One thing goes after the other:
///
/// 1. codecs of sound, the least wanted first, until two are left;
/// 2. codecs of pictures, the least wanted first, until one is left;
/// 3. the second codec of sound;
/// 4. the packetization-mode of H.264 that is wanted less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    audio: usize,
    video: usize,
    modes: usize,
}

impl Default for Trim {
    /// Nothing.
    fn default() -> Self {
        Self {
            audio: Codec::ALL.len(),
            video: Codec::ALL.len(),
            modes: 2,
        }
    }
}

impl Trim {
    /// One thing more, when so many codecs of sound and pictures are left; `None` when all is left out
    /// that may be.
    pub(super) fn after(self, audio: usize, video: usize) -> Option<Self> {
        let less = |count: usize| count.saturating_sub(1);
        if audio > AUDIO_AT_LEAST {
            let audio = less(audio);
            Some(Self { audio, ..self })
        } else if video > 1 {
            let video = less(video);
            Some(Self { video, ..self })
        } else if audio > 1 {
            let audio = less(audio);
            Some(Self { audio, ..self })
        } else if self.modes > 1 && video > 0 {
            Some(Self { modes: 1, ..self })
        } else {
            None
        }
    }

    /// How many codecs of a kind are offered at most.
    pub(super) const fn codecs(self, kind: MediaKind) -> usize {
        match kind {
            MediaKind::Video => self.video,
            MediaKind::Audio | MediaKind::Other => self.audio,
        }
    }

    /// How many packetization-modes of H.264 are offered.
    pub(super) const fn modes(self) -> usize {
        self.modes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_least_goes_first_and_one_of_each_kind_stays() {
        let (mut trim, mut counts) = (Trim::default(), (4, 2));
        let mut seen = Vec::new();
        while let Some(next) = trim.after(counts.0, counts.1) {
            trim = next;
            counts = (counts.0.min(trim.audio), counts.1.min(trim.video));
            seen.push((counts.0, counts.1, trim.modes));
        }
        let order = [(3, 2, 2), (2, 2, 2), (2, 1, 2), (1, 1, 2), (1, 1, 1)];
        assert_eq!(seen, order);
    }
}
