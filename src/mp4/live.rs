//! Pieces of one track for a browser's Media Source: an opening without samples, then fragments
//! with times of the call's own clock, so that pieces made apart from one another fit together.

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

use crate::base::codec::CodecConfig;
use crate::base::frame_log::FrameView;
use crate::base::time::MediaTime;
use crate::mp4::boxes::Boxes;
use crate::mp4::fragment::{DEPENDS, FROM_MOOF, RUN_FIELDS, SYNC, ticks_of};
use crate::mp4::header::{track_number, write_header};
use crate::mp4::sample_entry::{clock, sample_entry};

/// Writes what a decoder must know before the first fragment (`ftyp` and `moov`); false where the
/// format has no place for the codec.
pub fn write_opening(config: &CodecConfig, out: &mut Vec<u8>) -> bool {
    let Some(entry) = sample_entry(config) else {
        return false;
    };
    write_header(&[(config, &entry)], out);
    true
}

/// Writes one fragment of the track: each frame with the time at which the next one is decoded.
/// Nothing is written for no frames.
pub fn write_fragment(
    config: &CodecConfig,
    number: u32,
    frames: &[(FrameView<'_>, MediaTime)],
    out: &mut Vec<u8>,
) {
    let Some((first, _)) = frames.first() else {
        return;
    };
    let (begin, clock) = (out.len(), clock(config));
    let ticks = |time: MediaTime| ticks_of(time.as_micros(), clock);
    let track = track_number(config.codec().track());
    let mut offset_at = 0;
    let mut boxes = Boxes::new(out);
    boxes.nest(b"moof", |it| {
        it.full(b"mfhd", 0, 0, |it| it.u32(number));
        it.nest(b"traf", |it| {
            it.full(b"tfhd", 0, FROM_MOOF, |it| it.u32(track));
            it.full(b"tfdt", 1, 0, |it| it.u64(ticks(first.frame().time)));
            it.full(b"trun", 1, RUN_FIELDS, |it| {
                it.u32(u32::try_from(frames.len()).unwrap_or(u32::MAX));
                offset_at = it.position();
                it.u32(0);
                for (view, until) in frames {
                    let frame = view.frame();
                    let lasts = ticks(*until).saturating_sub(ticks(frame.time));
                    it.u32(u32::try_from(lasts).unwrap_or(u32::MAX));
                    it.u32(u32::try_from(view.len()).unwrap_or(u32::MAX));
                    it.u32(if frame.keyframe { SYNC } else { DEPENDS });
                    let offset = ticks_of(frame.composition.into(), clock);
                    it.u32(u32::try_from(offset).unwrap_or(0));
                }
            });
        });
    });
    let data = boxes.position().saturating_sub(begin).saturating_add(8);
    boxes.patch(offset_at, u32::try_from(data).unwrap_or(u32::MAX));
    boxes.nest(b"mdat", |it| {
        for segment in frames.iter().flat_map(|(view, _)| view.segments()) {
            it.bytes(segment.prefix());
            it.bytes(segment.payload());
        }
    });
}
