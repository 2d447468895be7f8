//! What a viewer makes of the media messages it gets: counts, order, and how far flash and beep of
//! the demonstration's clip are apart.

use std::collections::VecDeque;

use crate::cli::test_caller::clip::{FLASH_FRAME, KEYFRAME_EVERY};
use crate::wire::flv::{SOUND_PCMA, sound_format};

/// Flash and beep further apart than this do not belong together.
const TOGETHER_MILLIS: i64 = 450;

/// Beeps that are remembered until their flash is sure.
const BEEPS: usize = 4;

/// Counts and measures of one stream.
#[derive(Clone, Debug, Default)]
pub struct Measure {
    /// Coded pictures.
    pub video: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Sequence headers.
    pub headers: u64,
    /// Audio messages.
    pub audio: u64,
    /// Bytes of audio and video messages.
    pub bytes: u64,
    /// Whether the first picture was a keyframe with a sequence header before it.
    pub began_well: Option<bool>,
    /// Messages whose time did not rise within their track.
    pub backward: u64,
    /// Milliseconds by which the last flash came after its beep.
    pub skew: Option<i64>,
    /// The largest such distance, either way.
    pub worst_skew: Option<i64>,
    last_video: Option<u32>,
    last_audio: Option<u32>,
    /// Times of the pictures since the last keyframe.
    pictures: Vec<u32>,
    loud: bool,
    beeps: VecDeque<u32>,
}

impl Measure {
    /// Takes a sequence header by its length.
    pub fn on_header(&mut self, length: u32) {
        self.bytes += u64::from(length);
        self.headers += 1;
    }

    /// Takes a coded picture by its time and length.
    pub fn on_picture(&mut self, timestamp: u32, length: u32, keyframe: bool) {
        self.bytes += u64::from(length);
        self.began_well.get_or_insert(keyframe && self.headers > 0);
        self.video += 1;
        self.note_order(timestamp, true);
        if keyframe {
            self.keyframes += 1;
            self.finish_group();
        }
        if self.pictures.len() <= KEYFRAME_EVERY as usize {
            self.pictures.push(timestamp);
        }
    }

    /// Takes an audio message by its time, length and first bytes.
    pub fn on_audio(&mut self, timestamp: u32, length: u32, start: &[u8]) {
        self.audio += 1;
        self.bytes += u64::from(length);
        self.note_order(timestamp, false);
        if sound_format(start) != Some(SOUND_PCMA) {
            return;
        }
        // 0xd5 and 0x55 are the two zeros of A-law.
        let loud = start
            .iter()
            .skip(1)
            .any(|code| !matches!(code, 0xd5 | 0x55));
        if loud && !self.loud {
            if self.beeps.len() == BEEPS {
                self.beeps.pop_front();
            }
            self.beeps.push_back(timestamp);
        }
        self.loud = loud;
    }

    fn note_order(&mut self, timestamp: u32, video: bool) {
        let last = if video {
            &mut self.last_video
        } else {
            &mut self.last_audio
        };
        if last.is_some_and(|last| (timestamp.wrapping_sub(last) as i32) <= 0) {
            self.backward += 1;
        }
        *last = Some(timestamp);
    }

    /// A whole group of pictures tells by counting which one is the flash.
    fn finish_group(&mut self) {
        if self.pictures.len() == KEYFRAME_EVERY as usize
            && let Some(flash) = self.pictures.get(FLASH_FRAME as usize)
        {
            let apart = |beep: &u32| i64::from(flash.wrapping_sub(*beep) as i32);
            let nearest = self.beeps.iter().map(apart).min_by_key(|apart| apart.abs());
            if let Some(skew) = nearest.filter(|skew| skew.abs() <= TOGETHER_MILLIS) {
                self.skew = Some(skew);
                let worst = self.worst_skew.unwrap_or(0);
                self.worst_skew = Some(if skew.abs() >= worst.abs() {
                    skew
                } else {
                    worst
                });
            }
        }
        self.pictures.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: &[u8] = &[0x72, 0xd5, 0x55, 0xd5];
    const LOUD: &[u8] = &[0x72, 0xd5, 0x12, 0x34];

    /// Three seconds of the clip with the picture late by `late` milliseconds.
    fn play(late: u32) -> Measure {
        let mut measure = Measure::default();
        measure.on_header(30);
        for at in (0..3_000_u32).step_by(20) {
            let loud = (520..600).contains(&(at % 1_000));
            measure.on_audio(at, 161, if loud { LOUD } else { QUIET });
            if at % 40 == 0 {
                measure.on_picture(at + late, 1_000, at % 1_000 == 0);
            }
        }
        measure
    }

    #[test]
    fn flash_and_beep_are_found_and_their_distance_measured() {
        assert_eq!(play(0).skew, Some(0));
        assert_eq!((play(35).skew, play(35).worst_skew), (Some(35), Some(35)));
        let measure = play(0);
        assert_eq!(
            (measure.video, measure.keyframes, measure.headers),
            (75, 3, 1)
        );
        assert_eq!((measure.audio, measure.backward), (150, 0));
        assert_eq!(measure.began_well, Some(true));
    }

    #[test]
    fn a_group_with_a_picture_missing_measures_nothing() {
        let mut measure = Measure::default();
        for at in (0..1_001_u32).step_by(40).filter(|at| *at != 80) {
            measure.on_picture(at, 1_000, at % 1_000 == 0);
            measure.on_audio(at, 161, if at == 520 { LOUD } else { QUIET });
        }
        assert_eq!(measure.skew, None);
    }

    #[test]
    fn a_stream_that_begins_without_a_keyframe_or_header_is_told() {
        let mut measure = Measure::default();
        measure.on_picture(0, 10, true);
        assert_eq!(measure.began_well, Some(false));
        let mut measure = Measure::default();
        measure.on_header(10);
        measure.on_picture(0, 10, false);
        assert_eq!(measure.began_well, Some(false));
    }

    #[test]
    fn times_that_do_not_rise_are_counted() {
        let mut measure = Measure::default();
        for timestamp in [0xffff_fff0, 4, 4, 3] {
            measure.on_audio(timestamp, 161, QUIET);
        }
        assert_eq!(measure.backward, 2);
    }
}
