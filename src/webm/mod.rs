//! Floor 2: pieces of a live WebM stream for a browser's Media Source (Matroska, RFC 9559, by the
//! elements of EBML, RFC 8794).
//!
//! One track of VP8, which no browser takes in MP4. An opening names the track within a segment of
//! unknown length; then come clusters, each by itself, with times of the call's own clock in
//! milliseconds. Every frame is a `BlockGroup` with its duration, so that no reader has to guess how
//! long the last one of a cluster lasts. Not written: sound, cues, lacing, other codecs.

#![forbid(unsafe_code)]
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

use crate::base::codec::Vp8Config;
use crate::base::frame_log::FrameView;
use crate::base::time::MediaTime;

const EBML: u32 = 0x1a45_dfa3;
const EBML_VERSION: u32 = 0x4286;
const EBML_READ_VERSION: u32 = 0x42f7;
const EBML_MAX_ID_LENGTH: u32 = 0x42f2;
const EBML_MAX_SIZE_LENGTH: u32 = 0x42f3;
const DOC_TYPE: u32 = 0x4282;
const DOC_TYPE_VERSION: u32 = 0x4287;
const DOC_TYPE_READ_VERSION: u32 = 0x4285;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
const MUXING_APP: u32 = 0x4d80;
const WRITING_APP: u32 = 0x5741;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const TRACK_NUMBER: u32 = 0xd7;
const TRACK_UID: u32 = 0x73c5;
const TRACK_TYPE: u32 = 0x83;
const FLAG_LACING: u32 = 0x9c;
const CODEC_ID: u32 = 0x86;
const VIDEO: u32 = 0xe0;
const PIXEL_WIDTH: u32 = 0xb0;
const PIXEL_HEIGHT: u32 = 0xba;
const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const BLOCK_DURATION: u32 = 0x9b;
const REFERENCE_BLOCK: u32 = 0xfb;

/// A length that is not known (RFC 8794, section 6.2), in eight bytes.
const UNKNOWN_LENGTH: [u8; 8] = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// The only track; in a block, its number marked as one of one byte.
const TRACK: u8 = 1;

/// Milliseconds of one cluster: times in it are 16 bits from its own.
const CLUSTER_MILLIS: i64 = 30_000;

/// Writes what a decoder must know before the first cluster.
pub fn write_opening(config: &Vp8Config, out: &mut Vec<u8>) {
    nest(EBML, out, |out| {
        number(EBML_VERSION, 1, out);
        number(EBML_READ_VERSION, 1, out);
        number(EBML_MAX_ID_LENGTH, 4, out);
        number(EBML_MAX_SIZE_LENGTH, 8, out);
        text(DOC_TYPE, "webm", out);
        number(DOC_TYPE_VERSION, 4, out);
        number(DOC_TYPE_READ_VERSION, 2, out);
    });
    identifier(SEGMENT, out);
    out.extend_from_slice(&UNKNOWN_LENGTH);
    nest(INFO, out, |out| {
        // A tick is a millisecond.
        number(TIMESTAMP_SCALE, 1_000_000, out);
        text(MUXING_APP, "trunkcast", out);
        text(WRITING_APP, "trunkcast", out);
    });
    nest(TRACKS, out, |out| {
        nest(TRACK_ENTRY, out, |out| {
            number(TRACK_NUMBER, TRACK.into(), out);
            number(TRACK_UID, TRACK.into(), out);
            number(TRACK_TYPE, 1, out);
            number(FLAG_LACING, 0, out);
            text(CODEC_ID, "V_VP8", out);
            nest(VIDEO, out, |out| {
                number(PIXEL_WIDTH, config.width.into(), out);
                number(PIXEL_HEIGHT, config.height.into(), out);
            });
        });
    });
}

/// Writes frames, each with the time at which the next one is due, as one cluster; as more than one
/// only where they lie far apart.
pub fn write_clusters(frames: &[(FrameView<'_>, MediaTime)], out: &mut Vec<u8>) {
    let mut rest = frames;
    while let Some((first, _)) = rest.first() {
        let begin = millis(first.frame().time);
        let inside = |(view, _): &&(FrameView<'_>, MediaTime)| {
            let after = millis(view.frame().time).saturating_sub(begin);
            (0..CLUSTER_MILLIS).contains(&after)
        };
        let count = rest.iter().take_while(inside).count().max(1);
        let (here, others) = rest.split_at(count);
        rest = others;
        nest(CLUSTER, out, |out| {
            number(TIMESTAMP, begin.unsigned_abs(), out);
            for (view, until) in here {
                write_block(begin, *view, *until, out);
            }
        });
    }
}

fn write_block(begin: i64, view: FrameView<'_>, until: MediaTime, out: &mut Vec<u8>) {
    let frame = view.frame();
    let at = millis(frame.time);
    let lasts = millis(until).saturating_sub(at);
    nest(BLOCK_GROUP, out, |out| {
        nest(BLOCK, out, |out| {
            let after = i16::try_from(at.saturating_sub(begin)).unwrap_or(i16::MAX);
            out.push(0x80 | TRACK);
            out.extend_from_slice(&after.to_be_bytes());
            out.push(0);
            for segment in view.segments() {
                out.extend_from_slice(segment.prefix());
                out.extend_from_slice(segment.payload());
            }
        });
        number(BLOCK_DURATION, u64::try_from(lasts).unwrap_or(0), out);
        if !frame.keyframe {
            // That there is one is what matters; this one tells the tick before.
            identifier(REFERENCE_BLOCK, out);
            out.extend_from_slice(&[0x81, 0xff]);
        }
    });
}

/// Whole milliseconds of a time, always rounded alike; frames are never closer than one.
fn millis(time: MediaTime) -> i64 {
    time.as_micros().max(0) / 1_000
}

/// An element's identifier, which has its own length in its first bits.
fn identifier(id: u32, out: &mut Vec<u8>) {
    let zeros = usize::try_from(id.leading_zeros() / 8).unwrap_or(0);
    out.extend_from_slice(id.to_be_bytes().get(zeros..).unwrap_or_default());
}

/// An element with what `fill` writes into it; its length is four bytes.
fn nest(id: u32, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    identifier(id, out);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    let begin = out.len();
    fill(out);
    let length = u32::try_from(out.len().saturating_sub(begin)).unwrap_or(u32::MAX);
    let marked = 0x1000_0000 | length & 0x0fff_ffff;
    if let Some(place) = out.get_mut(at..begin) {
        place.copy_from_slice(&marked.to_be_bytes());
    }
}

/// An element that is a number.
fn number(id: u32, value: u64, out: &mut Vec<u8>) {
    identifier(id, out);
    let zeros = usize::try_from(value.leading_zeros() / 8).unwrap_or(0);
    let bytes = value.to_be_bytes();
    let bytes = bytes.get(zeros.min(7)..).unwrap_or_default();
    out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(0));
    out.extend_from_slice(bytes);
}

/// An element that is a short text.
fn text(id: u32, value: &str, out: &mut Vec<u8>) {
    identifier(id, out);
    out.push(0x80 | u8::try_from(value.len()).unwrap_or(0) & 0x7f);
    out.extend_from_slice(value.as_bytes());
}
