//! `stbl` (ISO/IEC 14496-12, section 8.5.1): the samples of a file without fragments.

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

use crate::media_file::FaultAt;
use crate::media_file::mp4::part::Part;
use crate::media_file::mp4::sample::FileTrack;

/// A table of runs: how many samples have which value.
struct Runs<'a> {
    rest: Part<'a>,
    left: u32,
    value: u32,
}

impl<'a> Runs<'a> {
    fn new(mut part: Part<'a>) -> Result<Self, FaultAt> {
        part.version()?;
        part.u32()?;
        Ok(Self {
            rest: part,
            left: 0,
            value: 0,
        })
    }

    /// The value of the next samples, and for how many of so many it holds.
    fn take(&mut self, count: u32) -> Result<(u32, u32), FaultAt> {
        while self.left == 0 {
            self.left = self.rest.u32()?;
            self.value = self.rest.u32()?;
        }
        let taken = count.min(self.left);
        self.left = self.left.saturating_sub(taken);
        Ok((self.value, taken))
    }

    /// The values of the next samples together.
    fn sum(&mut self, count: u32) -> Result<u64, FaultAt> {
        let (mut sum, mut left) = (0_u64, count);
        while left > 0 {
            let (value, taken) = self.take(left)?;
            sum = sum.saturating_add(u64::from(value).saturating_mul(taken.into()));
            left = left.saturating_sub(taken);
        }
        Ok(sum)
    }
}

/// Numbers of chunks or samples that rise.
struct Numbers<'a> {
    rest: Part<'a>,
    next: Option<u32>,
}

impl<'a> Numbers<'a> {
    fn new(mut part: Part<'a>) -> Result<Self, FaultAt> {
        part.version()?;
        part.u32()?;
        let next = part.u32().ok();
        Ok(Self { rest: part, next })
    }

    fn contains(&mut self, number: u32) -> bool {
        while self.next.is_some_and(|next| next < number) {
            self.next = self.rest.u32().ok();
        }
        self.next == Some(number)
    }
}

/// Puts the samples of a table into their track.
pub(super) fn read(stbl: Part<'_>, track: &mut FileTrack) -> Result<(), FaultAt> {
    let (wide, mut places) = match stbl.find(b"co64")? {
        Some(part) => (true, part),
        None => (false, stbl.need(b"stco")?),
    };
    places.version()?;
    let chunks = places.u32()?;
    if chunks == 0 {
        return Ok(());
    }
    let mut sizes = stbl.need(b"stsz")?;
    sizes.version()?;
    let same = sizes.u32()?;
    let mut left = sizes.u32()?;
    let mut durations = Runs::new(stbl.need(b"stts")?)?;
    let mut compositions = stbl.find(b"ctts")?.map(Runs::new).transpose()?;
    let mut keys = stbl.find(b"stss")?.map(Numbers::new).transpose()?;
    let mut runs = stbl.need(b"stsc")?;
    runs.version()?;
    runs.u32()?;
    let bad = runs.bad();
    let mut next_run = runs.u32().ok();
    let mut in_chunk = 0;
    let unit = track.unit(same);
    let mut number = 0_u32;
    for chunk in 1..=chunks {
        if left == 0 {
            break;
        }
        while next_run.is_some_and(|first| first <= chunk) {
            in_chunk = runs.u32()?;
            // Of another description than the first.
            if runs.u32()? != 1 {
                return Err(bad);
            }
            next_run = runs.u32().ok();
        }
        let mut offset = places.number(wide)?;
        let mut here = in_chunk.min(left);
        left = left.saturating_sub(here);
        while here > 0 {
            let count = unit.min(here);
            here = here.saturating_sub(count);
            let size = match same {
                0 => sizes.u32()?,
                same => same.saturating_mul(count),
            };
            let duration = durations.sum(count)?;
            let composition = match &mut compositions {
                Some(runs) => runs.take(1)?.0.cast_signed(),
                None => 0,
            };
            number = number.saturating_add(count);
            let sync = keys.as_mut().is_none_or(|keys| keys.contains(number));
            let pushed = track.push((offset, size), duration, composition, sync);
            pushed.map_err(|fault| stbl.fault(fault))?;
            offset = offset.saturating_add(size.into());
        }
    }
    Ok(())
}
