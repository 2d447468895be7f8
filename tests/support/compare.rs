//! What came against what a sender says to have sent, frame by frame.

use std::fmt;

use super::flv::Flv;

/// Two tracks laid side by side.
#[derive(Clone)]
pub struct Match {
    /// Frames of the reference before the first that came.
    pub missing_at_start: usize,
    /// Frames of the reference after the last that came.
    pub missing_at_end: usize,
    /// Frames that came.
    pub frames: usize,
    /// Of each frame the time at which it was sent, and how much later it is shown, in milliseconds.
    pub offsets: Vec<(i64, i64)>,
}

impl fmt::Debug for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.offsets.windows(2).find(|pair| {
            let [before, after] = pair else { return false };
            (before.1 - after.1).abs() > 2
        });
        write!(
            f,
            "{} missing, {} frames, {} missing; shown after sent from {:?} to {:?}, step {step:?}",
            self.missing_at_start,
            self.frames,
            self.missing_at_end,
            self.offsets.first(),
            self.offsets.last(),
        )
    }
}

impl Match {
    /// Lays `got` on `sent`, both as times and bytes: all that came must have been sent, byte by
    /// byte, and nothing may be missing within.
    pub fn of(what: &str, sent: &[(i64, &[u8])], got: &[(i64, &[u8])]) -> Self {
        assert!(!got.is_empty(), "no {what} came");
        let start = sent
            .windows(got.len().min(sent.len()))
            .position(|window| window.iter().zip(got).all(|(sent, got)| sent.1 == got.1));
        let Some(start) = start else {
            let first = got.first().map(|first| first.1);
            let place = sent.iter().position(|frame| Some(frame.1) == first);
            let same = sent.iter().skip(place.unwrap_or(0)).zip(got);
            let alike = same.take_while(|(sent, got)| sent.1 == got.1).count();
            panic!(
                "{} {what} came of {}; the first is number {place:?}, {alike} follow as sent",
                got.len(),
                sent.len()
            );
        };
        let offsets = sent[start..].iter().zip(got);
        Self {
            missing_at_start: start,
            missing_at_end: sent.len() - start - got.len(),
            frames: got.len(),
            offsets: offsets
                .map(|(sent, got)| (sent.0, got.0 - sent.0))
                .collect(),
        }
    }

    /// The most by which two frames came nearer to one another, or further apart, than sent.
    pub fn step(&self) -> i64 {
        let steps = self.offsets.windows(2);
        steps
            .map(|pair| (pair[0].1 - pair[1].1).abs())
            .max()
            .unwrap_or(0)
    }

    /// The most by which frames of two tracks are shifted against one another beyond what was
    /// sent, in milliseconds.
    pub fn skew(&self, other: &Self) -> i64 {
        let apart = self.offsets.iter().map(|(time, offset)| {
            let near = other.offsets.iter();
            let near = near.min_by_key(|(other, _)| (other - time).abs());
            near.map_or(i64::MAX, |(_, other)| (offset - other).abs())
        });
        apart.max().unwrap_or(i64::MAX)
    }
}

/// Sound as times and bytes.
pub fn sounds(flv: &Flv) -> Vec<(i64, &[u8])> {
    let sounds = flv.sounds.iter();
    sounds
        .map(|sound| (i64::from(sound.time), &sound.data[..]))
        .collect()
}

/// Times of presentation and the coded slices of each picture, joined.
pub fn pictures(flv: &Flv) -> Vec<(i64, Vec<u8>)> {
    let slices = flv.slices();
    let pictures = flv.pictures.iter().zip(slices);
    pictures
        .map(|(picture, slices)| {
            let time = i64::from(picture.time) + i64::from(picture.composition);
            (time, slices.concat())
        })
        .collect()
}

/// Borrows what [`pictures`] owns.
pub fn borrowed(frames: &[(i64, Vec<u8>)]) -> Vec<(i64, &[u8])> {
    frames
        .iter()
        .map(|(time, data)| (*time, &data[..]))
        .collect()
}
