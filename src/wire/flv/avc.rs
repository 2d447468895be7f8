//! AVC: its legacy heads (FLV specification, annex E.4.3) and its configuration record (ISO/IEC
//! 14496-15, 5.2.4.1), which both forms carry.

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

use h264_reader::nal::sps::{ChromaFormat, SeqParameterSet};
use h264_reader::rbsp::{BitReader, decode_nal};

use crate::base::codec::H264Config;
use crate::limits::{PARAMETER_SET_BYTES, PICTURE_PARAMETER_SETS};
use crate::wire::flv::{Head, Writer, composition_bytes};

/// Video codec number of AVC.
pub const CODEC_AVC: u8 = 7;

/// Bytes of the longest configuration record.
pub const AVC_RECORD_BYTES: usize =
    11 + PARAMETER_SET_BYTES + PICTURE_PARAMETER_SETS * (2 + PARAMETER_SET_BYTES);

/// Packet types.
pub(super) const SEQUENCE_HEADER: u8 = 0;
const NALUS: u8 = 1;
pub(super) const END_OF_SEQUENCE: u8 = 2;

/// The bytes before a whole access unit.
pub(super) fn frame_head(keyframe: bool, composition_millis: i32) -> Option<Head> {
    let mut head = Head::new();
    let frame = if keyframe { 1 } else { 2 };
    head.extend_from_slice(&[frame << 4 | CODEC_AVC, NALUS])
        .ok()?;
    head.extend_from_slice(&composition_bytes(composition_millis))
        .ok()?;
    Some(head)
}

/// The legacy sequence header: a configuration record.
pub(super) fn write_sequence_header(config: &H264Config, writer: &mut Writer<'_>) -> Option<()> {
    writer.put(&[1 << 4 | CODEC_AVC, SEQUENCE_HEADER, 0, 0, 0])?;
    write_record(config, writer)
}

/// Writes the configuration record. `None` when the SPS has no profile and level bytes or a
/// parameter set is missing.
pub(super) fn write_record(config: &H264Config, writer: &mut Writer<'_>) -> Option<()> {
    let [profile, compatibility, level] = *config.sps.get(1..4)?.first_chunk::<3>()?;
    if config.pps.is_empty() {
        return None;
    }
    // Version 1, 4-byte NAL unit lengths, one SPS.
    writer.put(&[1, profile, compatibility, level, 0xff, 0xe1])?;
    writer.put(&u16::try_from(config.sps.len()).ok()?.to_be_bytes())?;
    writer.put(&config.sps)?;
    writer.put(&[u8::try_from(config.pps.len()).ok()?])?;
    for pps in &config.pps {
        writer.put(&u16::try_from(pps.len()).ok()?.to_be_bytes())?;
        writer.put(pps)?;
    }
    if let Some(extension) = high_profile_extension(profile, &config.sps) {
        writer.put(&extension)?;
    }
    Some(())
}

/// What the record carries at its end for the High profiles: chroma format, bit depths, no SPS
/// extensions. Left out where the SPS cannot be read; readers take a record without it.
fn high_profile_extension(profile: u8, sps: &[u8]) -> Option<[u8; 4]> {
    if !matches!(profile, 100 | 110 | 122 | 144) {
        return None;
    }
    let rbsp = decode_nal(sps).ok()?;
    let sps = SeqParameterSet::from_bits(BitReader::new(&*rbsp)).ok()?;
    let chroma = match sps.chroma_info.chroma_format {
        ChromaFormat::Monochrome => 0,
        ChromaFormat::YUV420 => 1,
        ChromaFormat::YUV422 => 2,
        ChromaFormat::YUV444 => 3,
        ChromaFormat::Invalid(_) => return None,
    };
    let luma_depth = sps.chroma_info.bit_depth_luma_minus8 & 7;
    let chroma_depth = sps.chroma_info.bit_depth_chroma_minus8 & 7;
    Some([0xfc | chroma, 0xf8 | luma_depth, 0xf8 | chroma_depth, 0])
}

#[cfg(test)]
mod tests {
    use crate::base::rng::Rng;
    use crate::wire::flv::tests::{HIGH_SPS, h264};
    use crate::wire::flv::{SEQUENCE_HEADER_BYTES, TagForm, write_sequence_header};

    #[test]
    fn mutated_parameter_sets_never_panic() {
        let mut rng = Rng::from_number(2);
        for _ in 0..5_000 {
            let mut sps = HIGH_SPS;
            sps[rng.below(27) as usize] = rng.u32() as u8;
            let sps = &sps[..rng.below(28) as usize];
            let mut body = [0; SEQUENCE_HEADER_BYTES];
            let _ = write_sequence_header(&h264(sps), TagForm::Legacy, &mut body);
        }
    }
}
