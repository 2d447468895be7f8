//! One fragment while it fills: `moof` (ISO/IEC 14496-12, section 8.8.4) and the `mdat` after it.

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

use heapless::Vec as FixedVec;

use crate::base::codec::Track;
use crate::base::frame_log::FrameView;
use crate::base::time::MediaTime;
use crate::limits::{RECORDING_FRAGMENT_BYTES, RECORDING_SAMPLES};
use crate::mp4::boxes::Boxes;
use crate::mp4::header::track_number;

/// `tfhd`: offsets count from the `moof` (section 8.8.7).
pub(super) const FROM_MOOF: u32 = 0x02_0000;

/// `trun`: offset of the data, and duration, size, flags and composition of every sample (8.8.8).
pub(super) const RUN_FIELDS: u32 = 0x00_0f01;

/// Flags of a sample that depends on no other.
pub(super) const SYNC: u32 = 0x0200_0000;

/// Flags of a sample that depends on others and is no place to begin.
pub(super) const DEPENDS: u32 = 0x0101_0000;

/// Bytes by which the memory of a track grows.
const STEP_BYTES: usize = 16_384;

/// Bytes of memory that a track keeps for the next fragment.
const KEPT_BYTES: usize = 131_072;

/// A frame in the fragment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    time: MediaTime,
    composition: u32,
    bytes: u32,
    sync: bool,
}

/// The frames of one track in a fragment.
#[derive(Debug, Default)]
struct Run {
    samples: FixedVec<Sample, RECORDING_SAMPLES>,
    data: Vec<u8>,
}

impl Run {
    /// Bytes of memory that so many bytes more would take.
    fn growth(&self, bytes: usize) -> usize {
        let (capacity, needed) = (self.data.capacity(), self.data.len().saturating_add(bytes));
        match needed <= capacity {
            true => 0,
            false => needed.next_multiple_of(STEP_BYTES).saturating_sub(capacity),
        }
    }
}

/// How one track's times become ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    /// Ticks a second.
    pub clock: u32,
    /// Decoding time of the track's last sample in the file; they only ever rise.
    pub last: Option<u64>,
    /// How long a sample lasts whose successor is not known.
    pub usual: u32,
}

impl Ticks {
    /// Of a track that has no sample yet.
    pub fn new(clock: u32, usual: u32) -> Self {
        Self {
            clock,
            last: None,
            usual,
        }
    }

    /// Ticks of a span in microseconds.
    fn of(&self, micros: i64) -> u64 {
        ticks_of(micros, self.clock)
    }

    /// Decoding time of the next sample.
    fn next(&self, base: MediaTime, time: MediaTime) -> u64 {
        let ticks = self.of(time.micros_since(base));
        self.last
            .map_or(ticks, |last| ticks.max(last.saturating_add(1)))
    }
}

/// Ticks of a span in microseconds, at so many a second.
pub(super) fn ticks_of(micros: i64, clock: u32) -> u64 {
    let ticks = i128::from(micros.max(0)).saturating_mul(i128::from(clock));
    u64::try_from(ticks.saturating_add(500_000) / 1_000_000).unwrap_or(u64::MAX)
}

/// A fragment that fills.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    video: Run,
    audio: Run,
}

impl Fragment {
    fn run(&self, track: Track) -> &Run {
        match track {
            Track::Video => &self.video,
            Track::Audio => &self.audio,
        }
    }

    /// Whether it holds frames of a track.
    pub fn has(&self, track: Track) -> bool {
        !self.run(track).samples.is_empty()
    }

    /// The earliest time in it.
    pub fn first_time(&self) -> Option<MediaTime> {
        let first = |run: &Run| run.samples.first().map(|sample| sample.time);
        match (first(&self.video), first(&self.audio)) {
            (Some(video), Some(audio)) => Some(video.min(audio)),
            (video, audio) => video.or(audio),
        }
    }

    /// Bytes of memory that the frames take.
    pub fn held(&self) -> usize {
        let video = self.video.data.capacity();
        video.saturating_add(self.audio.data.capacity())
    }

    /// Bytes of the frames.
    pub fn bytes(&self) -> usize {
        self.video.data.len().saturating_add(self.audio.data.len())
    }

    /// Whether another frame of so many bytes finds room, with so much more memory.
    pub fn has_room(&self, track: Track, bytes: usize, memory: usize) -> bool {
        let run = self.run(track);
        !run.samples.is_full()
            && self.bytes().saturating_add(bytes) <= RECORDING_FRAGMENT_BYTES
            && run.growth(bytes) <= memory
    }

    /// Takes a frame in; false when there is no room.
    pub fn push(&mut self, view: FrameView<'_>, memory: usize) -> bool {
        let frame = view.frame();
        if !self.has_room(frame.track, view.len(), memory) {
            return false;
        }
        let run = match frame.track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        };
        run.data
            .reserve_exact(run.growth(view.len()).saturating_add(
                // What is reserved counts from the length.
                run.data.capacity().saturating_sub(run.data.len()),
            ));
        for segment in view.segments() {
            run.data.extend_from_slice(segment.prefix());
            run.data.extend_from_slice(segment.payload());
        }
        // There is room for it: asked above.
        let _ = run.samples.push(Sample {
            time: frame.time,
            composition: frame.composition,
            bytes: u32::try_from(view.len()).unwrap_or(u32::MAX),
            sync: frame.keyframe,
        });
        true
    }

    /// Writes it as the fragment of this number and is empty then.
    ///
    /// `tracks` are those of the file, with what `next` of them comes after the last sample here,
    /// where that is known.
    pub fn write(
        &mut self,
        number: u32,
        base: MediaTime,
        tracks: &mut [(Track, &mut Ticks, Option<MediaTime>)],
        out: &mut Vec<u8>,
    ) {
        let begin = out.len();
        let mut offsets = FixedVec::<(Track, usize), 2>::new();
        let mut boxes = Boxes::new(out);
        boxes.nest(b"moof", |it| {
            it.full(b"mfhd", 0, 0, |it| it.u32(number));
            for (track, ticks, next) in tracks.iter_mut() {
                let run = self.run(*track);
                if run.samples.is_empty() {
                    continue;
                }
                let at = write_run(it, *track, run, base, ticks, *next);
                let _ = offsets.push((*track, at));
            }
        });
        let head = boxes.position().saturating_sub(begin).saturating_add(8);
        for (track, at) in offsets {
            let before = match track {
                Track::Video => 0,
                Track::Audio => self.video.data.len(),
            };
            let offset = head.saturating_add(before);
            boxes.patch(at, u32::try_from(offset).unwrap_or(u32::MAX));
        }
        boxes.nest(b"mdat", |it| {
            it.bytes(&self.video.data);
            it.bytes(&self.audio.data);
        });
        for run in [&mut self.video, &mut self.audio] {
            run.samples.clear();
            run.data.clear();
            run.data.shrink_to(KEPT_BYTES);
        }
    }
}

/// Writes one track's `traf`; where the offset of its data has to be put in.
fn write_run(
    boxes: &mut Boxes<'_>,
    track: Track,
    run: &Run,
    base: MediaTime,
    ticks: &mut Ticks,
    next: Option<MediaTime>,
) -> usize {
    let mut offset_at = 0;
    boxes.nest(b"traf", |it| {
        it.full(b"tfhd", 0, FROM_MOOF, |it| it.u32(track_number(track)));
        let mut samples = run.samples.iter().peekable();
        let first = samples.peek().map_or(0, |it| ticks.next(base, it.time));
        it.full(b"tfdt", 1, 0, |it| it.u64(first));
        it.full(b"trun", 1, RUN_FIELDS, |it| {
            it.u32(run.samples.len() as u32);
            offset_at = it.position();
            it.u32(0);
            while let Some(sample) = samples.next() {
                let time = ticks.next(base, sample.time);
                ticks.last = Some(time);
                let after = samples.peek().map(|it| it.time).or(next);
                if let Some(after) = after {
                    let lasts = ticks.next(base, after).saturating_sub(time);
                    let lasts = u32::try_from(lasts).unwrap_or(u32::MAX);
                    // Of audio the codec tells it.
                    if track == Track::Video {
                        ticks.usual = lasts;
                    }
                    it.u32(lasts);
                } else {
                    it.u32(ticks.usual);
                }
                it.u32(sample.bytes);
                it.u32(if sample.sync { SYNC } else { DEPENDS });
                let offset = ticks.of(sample.composition.into());
                it.u32(u32::try_from(offset).unwrap_or(0));
            }
        });
    });
    offset_at
}
