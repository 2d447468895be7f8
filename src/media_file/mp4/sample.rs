//! The samples of a track: where each stands in the file, and when it is decoded.

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

use crate::base::codec::{CodecConfig, Track};
use crate::limits::{FILE_SAMPLES, FILE_TAG_BYTES};
use crate::media_file::Fault;

/// Bytes of G.711 that are made one frame where the file has longer ones: 20 ms.
const G711_FRAME: u32 = 160;

/// The longest frame of G.711 that is left as it is: 40 ms.
const G711_MOST: u32 = 320;

/// One sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Where it begins, from the file's beginning.
    pub offset: u64,
    /// When it is decoded, in microseconds.
    pub time: i64,
    /// Microseconds from decoding to presentation.
    pub composition: u32,
    /// Its bytes, and in the highest bit whether it needs no sample before it.
    packed: u32,
}

const _: () = assert!(size_of::<Sample>() == 24);

/// Of a sample that needs none before it.
const SYNC: u32 = 1 << 31;

impl Sample {
    /// Its bytes.
    pub fn size(&self) -> u32 {
        self.packed & !SYNC
    }

    /// Whether it needs no sample before it.
    pub fn is_sync(&self) -> bool {
        self.packed & SYNC != 0
    }

    /// Where the byte after it stands.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.size().into())
    }
}

/// What a sample is in which nothing else is said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    pub duration: u32,
    pub size: u32,
    pub flags: u32,
}

/// One track of the file, and the samples of it that are known and were not given out.
#[derive(Debug)]
pub(super) struct FileTrack {
    /// Its number in the file.
    pub number: u32,
    pub track: Track,
    pub config: Rc<CodecConfig>,
    /// Ticks a second.
    clock: u32,
    /// Microseconds by which it is shown later than its times say.
    pub shift: i64,
    /// Of `trex`.
    pub defaults: Defaults,
    /// Decoding time of the next sample, in ticks.
    pub ticks: u64,
    samples: Vec<Sample>,
    given: usize,
    /// Samples of the present table, with those of no bytes.
    counted: usize,
}

impl FileTrack {
    pub fn new(number: u32, config: CodecConfig, clock: u32) -> Self {
        Self {
            number,
            track: config.codec().track(),
            config: Rc::new(config),
            clock: clock.max(1),
            shift: 0,
            defaults: Defaults::default(),
            ticks: 0,
            samples: Vec::new(),
            given: 0,
            counted: 0,
        }
    }

    /// Begins a new table.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.given = 0;
        self.counted = 0;
    }

    fn is_g711(&self) -> bool {
        matches!(*self.config, CodecConfig::Pcma | CodecConfig::Pcmu)
    }

    /// How many samples of this size are taken as one at most: each byte of G.711 may be a sample.
    pub fn unit(&self, size: u32) -> u32 {
        if size == 1 && self.is_g711() {
            return u32::MAX;
        }
        1
    }

    /// Takes the sample of this size at this place in, which lasts so many ticks. Of G.711, whose
    /// bytes may be divided anywhere, a long one becomes several.
    pub fn push(
        &mut self,
        (mut offset, mut size): (u64, u32),
        mut duration: u64,
        composition: i32,
        sync: bool,
    ) -> Result<(), Fault> {
        if self.is_g711() && size > G711_MOST {
            while size > G711_FRAME {
                let lasts = duration.saturating_mul(G711_FRAME.into());
                let lasts = lasts.checked_div(size.into()).unwrap_or(0);
                self.push_one((offset, G711_FRAME), lasts, composition, sync)?;
                offset = offset.saturating_add(G711_FRAME.into());
                size = size.saturating_sub(G711_FRAME);
                duration = duration.saturating_sub(lasts);
            }
        }
        self.push_one((offset, size), duration, composition, sync)
    }

    fn push_one(
        &mut self,
        (offset, size): (u64, u32),
        duration: u64,
        composition: i32,
        sync: bool,
    ) -> Result<(), Fault> {
        self.counted = self.counted.saturating_add(1);
        if self.counted > FILE_SAMPLES {
            return Err(Fault::Mp4Samples);
        }
        let time = self.micros(i64::try_from(self.ticks).unwrap_or(i64::MAX));
        self.ticks = self.ticks.saturating_add(duration);
        if size == 0 {
            return Ok(());
        }
        if size as usize > FILE_TAG_BYTES {
            return Err(Fault::TooLong(size));
        }
        if self.samples.last().is_some_and(|last| offset < last.end()) {
            return Err(Fault::Mp4Order);
        }
        let composition = self.micros(composition.into()).max(0);
        let is_sync = sync || self.track == Track::Audio;
        let sample = Sample {
            offset,
            time: time.saturating_add(self.shift),
            composition: u32::try_from(composition).unwrap_or(0),
            packed: size | if is_sync { SYNC } else { 0 },
        };
        self.samples.push(sample);
        Ok(())
    }

    /// All samples of the table.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The next sample to be given out.
    pub fn next(&self) -> Option<&Sample> {
        self.samples.get(self.given)
    }

    /// That sample is given out.
    pub fn advance(&mut self) {
        self.given = self.given.saturating_add(1);
    }

    /// Microseconds of so many ticks.
    pub fn micros(&self, ticks: i64) -> i64 {
        micros(ticks, self.clock)
    }
}

/// Microseconds of ticks.
pub(super) fn micros(ticks: i64, clock: u32) -> i64 {
    let micros = i128::from(ticks).saturating_mul(1_000_000);
    let micros = micros.checked_div(clock.into()).unwrap_or(0);
    // So far from any limit that sums of several do not meet it.
    micros.clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64
}
