//! What stands before the first fragment: `ftyp` (ISO/IEC 14496-12, section 4.3) and a `moov`
//! (section 8.2.1) of tracks without samples.

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

use crate::base::codec::{CodecConfig, Track};
use crate::mp4::boxes::Boxes;
use crate::mp4::extent::FTYP;
use crate::mp4::sample_entry::{clock, picture};

/// Ticks a second of the presentation; nothing is told in it.
const MOVIE_CLOCK: u32 = 1_000;

/// No rotation and no scaling (section 8.2.2).
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// The number of a track in the file.
pub(super) const fn track_number(track: Track) -> u32 {
    match track {
        Track::Video => 1,
        Track::Audio => 2,
    }
}

/// Writes the beginning of a file with these tracks, each with its sample entry.
pub(super) fn write_header(tracks: &[(&CodecConfig, &[u8])], out: &mut Vec<u8>) {
    out.extend_from_slice(&FTYP);
    let mut boxes = Boxes::new(out);
    boxes.nest(b"moov", |it| {
        it.full(b"mvhd", 0, 0, |it| {
            it.zeros(8);
            it.u32(MOVIE_CLOCK);
            it.u32(0);
            it.u32(0x1_0000);
            it.u16(0x100);
            it.zeros(10);
            MATRIX.iter().for_each(|number| it.u32(*number));
            it.zeros(24);
            it.u32(3);
        });
        for (config, entry) in tracks {
            it.nest(b"trak", |it| write_track(it, config, entry));
        }
        it.nest(b"mvex", |it| {
            for (config, _) in tracks {
                it.full(b"trex", 0, 0, |it| {
                    it.u32(track_number(config.codec().track()));
                    it.u32(1);
                    it.zeros(12);
                });
            }
        });
    });
}

fn write_track(boxes: &mut Boxes<'_>, config: &CodecConfig, entry: &[u8]) {
    let track = config.codec().track();
    let (width, height) = picture(config);
    // Enabled, and part of the presentation.
    boxes.full(b"tkhd", 0, 3, |it| {
        it.zeros(8);
        it.u32(track_number(track));
        it.zeros(8);
        it.zeros(12);
        it.u16(if track == Track::Audio { 0x100 } else { 0 });
        it.u16(0);
        MATRIX.iter().for_each(|number| it.u32(*number));
        it.u16(width);
        it.u16(0);
        it.u16(height);
        it.u16(0);
    });
    boxes.nest(b"mdia", |it| {
        it.full(b"mdhd", 0, 0, |it| {
            it.zeros(8);
            it.u32(clock(config));
            it.u32(0);
            // No language (ISO 639-2 `und`).
            it.u16(0x55c4);
            it.u16(0);
        });
        it.full(b"hdlr", 0, 0, |it| {
            it.u32(0);
            it.bytes(match track {
                Track::Video => b"vide",
                Track::Audio => b"soun",
            });
            it.zeros(12);
            it.bytes(match track {
                Track::Video => b"video\0",
                Track::Audio => b"audio\0",
            });
        });
        it.nest(b"minf", |it| {
            match track {
                Track::Video => it.full(b"vmhd", 0, 1, |it| it.zeros(8)),
                Track::Audio => it.full(b"smhd", 0, 0, |it| it.zeros(4)),
            }
            it.nest(b"dinf", |it| {
                it.full(b"dref", 0, 0, |it| {
                    it.u32(1);
                    // The media is in this file.
                    it.full(b"url ", 0, 1, |_| {});
                });
            });
            it.nest(b"stbl", |it| {
                it.full(b"stsd", 0, 0, |it| {
                    it.u32(1);
                    it.bytes(entry);
                });
                it.full(b"stts", 0, 0, |it| it.u32(0));
                it.full(b"stsc", 0, 0, |it| it.u32(0));
                it.full(b"stsz", 0, 0, |it| it.zeros(8));
                it.full(b"stco", 0, 0, |it| it.u32(0));
            });
        });
    });
}
