//! `moov` (ISO/IEC 14496-12, section 8.2.1): the tracks of a file, and their samples where these are
//! not in fragments.

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

use crate::base::codec::Track;
use crate::media_file::mp4::entry;
use crate::media_file::mp4::part::Part;
use crate::media_file::mp4::sample::{Defaults, FileTrack, micros};
use crate::media_file::mp4::table;
use crate::media_file::{Fault, FaultAt};

/// What a `moov` says.
#[derive(Debug, Default)]
pub(super) struct Movie {
    /// The first track of pictures and the first of sound.
    pub tracks: heapless::Vec<FileTrack, 2>,
    /// Whether fragments follow.
    pub fragmented: bool,
}

/// Reads the content of a `moov`.
pub(super) fn read(moov: Part<'_>) -> Result<Movie, FaultAt> {
    let mut movie = Movie::default();
    let mut clock = 0;
    if let Some(mut head) = moov.find(b"mvhd")? {
        let (version, _) = head.version()?;
        head.take(if version == 1 { 16 } else { 8 })?;
        clock = head.u32()?;
    }
    let mut rest = moov;
    while let Some((kind, part)) = rest.next_box()? {
        if kind == *b"trak"
            && let Some(track) = read_track(part, clock, &movie)?
        {
            // There is room: one of each sort.
            let _ = movie.tracks.push(track);
        }
    }
    if let Some(mut rest) = moov.find(b"mvex")? {
        movie.fragmented = true;
        while let Some((kind, mut part)) = rest.next_box()? {
            if kind == *b"trex" {
                part.version()?;
                let number = part.u32()?;
                part.u32()?;
                let defaults = Defaults {
                    duration: part.u32()?,
                    size: part.u32()?,
                    flags: part.u32()?,
                };
                let mut tracks = movie.tracks.iter_mut();
                if let Some(track) = tracks.find(|track| track.number == number) {
                    track.defaults = defaults;
                }
            }
        }
    }
    match movie.tracks.is_empty() {
        true => Err(moov.fault(Fault::Mp4Empty)),
        false => Ok(movie),
    }
}

/// Reads a `trak`; `None` for one of no sound and no pictures, or when there is one of its sort.
fn read_track(
    trak: Part<'_>,
    movie_clock: u32,
    movie: &Movie,
) -> Result<Option<FileTrack>, FaultAt> {
    let mdia = trak.need(b"mdia")?;
    let mut handler = mdia.need(b"hdlr")?;
    handler.take(8)?;
    let track = match handler.take(4)? {
        b"vide" => Track::Video,
        b"soun" => Track::Audio,
        _ => return Ok(None),
    };
    if movie.tracks.iter().any(|known| known.track == track) {
        return Ok(None);
    }
    let mut head = trak.need(b"tkhd")?;
    let (version, _) = head.version()?;
    head.take(if version == 1 { 16 } else { 8 })?;
    let number = head.u32()?;
    let mut head = mdia.need(b"mdhd")?;
    let (version, _) = head.version()?;
    head.take(if version == 1 { 16 } else { 8 })?;
    let bad = head.bad();
    let clock = head.u32()?;
    if clock == 0 {
        return Err(bad);
    }
    let stbl = mdia.need(b"minf")?.need(b"stbl")?;
    let config = entry::read(track, stbl.need(b"stsd")?)?;
    let mut track = FileTrack::new(number, config, clock);
    if let Some(edts) = trak.find(b"edts")?
        && let Some(list) = edts.find(b"elst")?
    {
        track.shift = shift(list, movie_clock, &track)?;
    }
    table::read(stbl, &mut track)?;
    Ok(Some(track))
}

/// By how much the edit list (section 8.6.6) shows a track later: an empty edit at its beginning, and
/// where in the media the first other one begins. What it says further on is passed over.
fn shift(mut list: Part<'_>, movie_clock: u32, track: &FileTrack) -> Result<i64, FaultAt> {
    let (version, _) = list.version()?;
    let count = list.u32()?;
    let wide = version == 1;
    let mut shift = 0_i64;
    for _ in 0..count.min(2) {
        let lasts = i64::try_from(list.number(wide)?).unwrap_or(0);
        let begins = list.number(wide)?;
        let begins = match wide {
            true => begins.cast_signed(),
            false => i64::from((begins as u32).cast_signed()),
        };
        list.u32()?;
        if begins >= 0 {
            return Ok(shift.saturating_sub(track.micros(begins)));
        }
        shift = shift.saturating_add(micros(lasts, movie_clock));
    }
    Ok(shift)
}
