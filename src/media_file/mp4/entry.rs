//! Sample entries (ISO/IEC 14496-12, section 8.5.2): the codec of a track and its configuration.
//!
//! `avc1` (ISO/IEC 14496-15), `vp08`, `mp4a` with AAC (ISO/IEC 14496-14), `Opus`, `alaw` and `ulaw`.

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

use crate::base::codec::{CodecConfig, Track, Vp8Config};
use crate::media_file::mp4::part::Part;
use crate::media_file::{Fault, FaultAt, avc_record};
use crate::wire::aac::audio_specific_config;

/// Bytes of a sound's entry, as QuickTime has them, before the boxes in it, by its version.
const SOUND_BYTES: [usize; 3] = [20, 36, 56];

/// Codecs of `esds` that are AAC (ISO/IEC 14496-1, section 7.2.6.6): MPEG-4, and MPEG-2 of low
/// complexity.
const AAC_KINDS: [u8; 2] = [0x40, 0x67];

/// What the only or first entry of `stsd` says.
pub(super) fn read(track: Track, mut stsd: Part<'_>) -> Result<CodecConfig, FaultAt> {
    stsd.version()?;
    stsd.u32()?;
    let bad = stsd.bad();
    let whole = stsd;
    let (kind, mut entry) = stsd.next_box()?.ok_or(bad)?;
    entry.take(8)?;
    match track {
        Track::Video => picture(whole.fault(Fault::Mp4Codec(track, kind)), kind, entry),
        Track::Audio => sound(whole.fault(Fault::Mp4Codec(track, kind)), kind, entry),
    }
}

fn picture(other: FaultAt, kind: [u8; 4], mut entry: Part<'_>) -> Result<CodecConfig, FaultAt> {
    entry.take(16)?;
    let (width, height) = (entry.u16()?, entry.u16()?);
    entry.take(50)?;
    match &kind {
        b"avc1" => {
            let record = entry.need(b"avcC")?;
            if let Some(lengths) = record
                .bytes()
                .get(4)
                .map(|byte| (byte & 3).saturating_add(1))
                && lengths != 4
            {
                return Err(record.fault(Fault::NalLengths(lengths)));
            }
            let config = avc_record::read(record.bytes());
            let config = config.ok_or(record.fault(Fault::BadAvc))?;
            Ok(CodecConfig::H264(config))
        }
        b"vp08" => Ok(CodecConfig::Vp8(Vp8Config { width, height })),
        _ => Err(other),
    }
}

fn sound(other: FaultAt, kind: [u8; 4], mut entry: Part<'_>) -> Result<CodecConfig, FaultAt> {
    let begun = entry;
    let version = usize::from(entry.u16()?);
    entry.take(6)?;
    let channels = entry.u16()?;
    entry.take(6)?;
    let rate = entry.u32()? >> 16;
    let before = SOUND_BYTES.get(version).ok_or(begun.bad())?;
    let mut boxes = begun;
    boxes.take(*before)?;
    match &kind {
        b"alaw" | b"ulaw" => {
            if (channels, rate) != (1, 8_000) {
                return Err(begun.fault(Fault::G711Rate { rate, channels }));
            }
            Ok(match &kind {
                b"alaw" => CodecConfig::Pcma,
                _ => CodecConfig::Pcmu,
            })
        }
        b"Opus" => {
            let mut head = boxes.need(b"dOps")?;
            head.u8()?;
            match head.u8()? {
                channels @ 1..=2 => Ok(CodecConfig::Opus { channels }),
                _ => Err(other),
            }
        }
        b"mp4a" => {
            let esds = boxes.need(b"esds")?;
            let (kind, specific) = elementary_stream(esds)?;
            if !AAC_KINDS.contains(&kind) {
                return Err(other);
            }
            let config = audio_specific_config(specific);
            let config = config.map_err(|_| esds.fault(Fault::BadAac))?;
            Ok(CodecConfig::Aac(config))
        }
        _ => Err(other),
    }
}

/// The codec's number and its configuration (ISO/IEC 14496-1, section 7.2.6).
fn elementary_stream(mut esds: Part<'_>) -> Result<(u8, &[u8]), FaultAt> {
    esds.version()?;
    descriptor(&mut esds, 3)?;
    esds.u16()?;
    let flags = esds.u8()?;
    if flags & 0x80 != 0 {
        esds.u16()?;
    }
    if flags & 0x40 != 0 {
        let length = esds.u8()?;
        esds.take(usize::from(length))?;
    }
    if flags & 0x20 != 0 {
        esds.u16()?;
    }
    descriptor(&mut esds, 4)?;
    let kind = esds.u8()?;
    esds.take(12)?;
    let length = descriptor(&mut esds, 5)?;
    Ok((kind, esds.take(length)?))
}

/// Reads the head of a descriptor of this tag; its length.
fn descriptor(esds: &mut Part<'_>, tag: u8) -> Result<usize, FaultAt> {
    let bad = esds.bad();
    if esds.u8()? != tag {
        return Err(bad);
    }
    let mut length = 0_usize;
    for _ in 0..4 {
        let byte = esds.u8()?;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(bad)
}
