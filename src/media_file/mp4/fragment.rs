//! `moof` (ISO/IEC 14496-12, section 8.8.4): the samples of one fragment.

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
use crate::media_file::mp4::sample::{Defaults, FileTrack};

/// `tfhd`: an offset that others count from is in it (section 8.8.7).
const HAS_BASE: u32 = 0x01;

/// `tfhd`: offsets count from the `moof`.
const FROM_MOOF: u32 = 0x02_0000;

/// `trun`: the offset of its data, and flags of its first sample (section 8.8.8).
const HAS_OFFSET: u32 = 0x01;
const HAS_FIRST_FLAGS: u32 = 0x04;

/// `trun`: what each sample has of its own.
const HAS_DURATION: u32 = 0x100;
const HAS_SIZE: u32 = 0x200;
const HAS_FLAGS: u32 = 0x400;
const HAS_COMPOSITION: u32 = 0x800;

/// Flags of a sample: others must come before it.
const DEPENDS: u32 = 0x01_0000;

/// Puts the samples of a fragment, whose `moof` begins there in the file, into their tracks.
pub(super) fn read(moof: Part<'_>, begin: u64, tracks: &mut [FileTrack]) -> Result<(), FaultAt> {
    for track in &mut *tracks {
        track.clear();
    }
    let mut rest = moof;
    // Where the data of one track ends, that of the next begins if nothing says where.
    let mut end = begin;
    while let Some((kind, part)) = rest.next_box()? {
        if kind == *b"traf" {
            read_track(part, begin, &mut end, tracks)?;
        }
    }
    Ok(())
}

fn read_track(
    traf: Part<'_>,
    begin: u64,
    end: &mut u64,
    tracks: &mut [FileTrack],
) -> Result<(), FaultAt> {
    let mut head = traf.need(b"tfhd")?;
    let (_, flags) = head.version()?;
    let number = head.u32()?;
    let Some(track) = tracks.iter_mut().find(|track| track.number == number) else {
        return Ok(());
    };
    let base = match flags {
        flags if flags & HAS_BASE != 0 => head.number(true)?,
        flags if flags & FROM_MOOF != 0 => begin,
        _ => *end,
    };
    let mut defaults = track.defaults;
    if flags & 0x02 != 0 && head.u32()? != 1 {
        // Of another description than the first.
        return Err(head.bad());
    }
    for (flag, value) in [
        (0x08, &mut defaults.duration),
        (0x10, &mut defaults.size),
        (0x20, &mut defaults.flags),
    ] {
        if flags & flag != 0 {
            *value = head.u32()?;
        }
    }
    if let Some(mut time) = traf.find(b"tfdt")? {
        let (version, _) = time.version()?;
        track.ticks = time.number(version == 1)?;
    }
    *end = base;
    let mut rest = traf;
    while let Some((kind, part)) = rest.next_box()? {
        if kind == *b"trun" {
            read_run(part, base, end, defaults, track)?;
        }
    }
    Ok(())
}

fn read_run(
    mut run: Part<'_>,
    base: u64,
    end: &mut u64,
    defaults: Defaults,
    track: &mut FileTrack,
) -> Result<(), FaultAt> {
    let begun = run;
    let (_, flags) = run.version()?;
    let mut left = run.u32()?;
    if flags & HAS_OFFSET != 0 {
        let offset = i64::from(run.u32()?.cast_signed());
        *end = base.checked_add_signed(offset).ok_or(begun.bad())?;
    }
    let mut first_flags = None;
    if flags & HAS_FIRST_FLAGS != 0 {
        first_flags = Some(run.u32()?);
    }
    let own = |flag| flags & flag != 0;
    let all_alike = !own(HAS_DURATION) && !own(HAS_SIZE);
    let unit = match all_alike {
        true => track.unit(defaults.size),
        false => 1,
    };
    while left > 0 {
        let count = unit.min(left);
        left = left.saturating_sub(count);
        let mut field = |flag, usual: u32| match own(flag) {
            true => run.u32(),
            false => Ok(usual),
        };
        let duration = field(HAS_DURATION, defaults.duration)?;
        let size = field(HAS_SIZE, defaults.size)?;
        let flags = field(HAS_FLAGS, defaults.flags)?;
        let composition = field(HAS_COMPOSITION, 0)?.cast_signed();
        let flags = first_flags.take().unwrap_or(flags);
        let size = size.saturating_mul(count);
        let duration = u64::from(duration).saturating_mul(count.into());
        let sync = flags & DEPENDS == 0;
        let pushed = track.push((*end, size), duration, composition, sync);
        pushed.map_err(|fault| begun.fault(fault))?;
        *end = end.saturating_add(size.into());
    }
    Ok(())
}
