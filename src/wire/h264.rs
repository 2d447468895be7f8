//! H.264 as it travels in RTP (RFC 6184): NAL unit headers, aggregation and fragmentation units,
//! and what parameter sets say of the picture (ITU-T H.264, section 7.3.2).
//!
//! Slices are not decoded; of their headers [`h264_slice`](crate::wire::h264_slice) reads the first
//! fields.

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

use core::ops::Range;

use h264_reader::nal::sps::{ChromaFormat, PicOrderCntType, SeqParameterSet};
use h264_reader::rbsp::{BitReader, ByteReader};

/// The first byte of a NAL unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NalHeader(pub u8);

impl NalHeader {
    /// The forbidden bit: set by whoever knows that the unit is damaged.
    pub const fn is_forbidden(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// Whether other pictures may depend on the unit's (`nal_ref_idc` is not 0).
    pub const fn is_reference(self) -> bool {
        self.0 & 0x60 != 0
    }

    /// The kind of unit.
    pub const fn kind(self) -> NalKind {
        match self.0 & 0x1f {
            1 | 2 => NalKind::Slice,
            3 | 4 => NalKind::Partition,
            5 => NalKind::IdrSlice,
            6 => NalKind::Sei,
            7 => NalKind::Sps,
            8 => NalKind::Pps,
            9 => NalKind::Delimiter,
            12 => NalKind::Filler,
            14 | 15 | 20 | 21 => NalKind::Extension,
            10 | 11 | 13 | 16..=19 | 22 | 23 => NalKind::Other,
            24 => NalKind::StapA,
            28 => NalKind::FuA,
            25..=27 | 29 => NalKind::Interleaved,
            _ => NalKind::Reserved,
        }
    }
}

/// Kinds of NAL unit and of RTP payload structure that the relay tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalKind {
    /// A slice, or the first partition of one, of a picture that depends on others (types 1, 2).
    Slice,
    /// A further partition of a slice (3 and 4).
    Partition,
    /// A slice of a picture that needs no other (type 5).
    IdrSlice,
    /// Supplemental enhancement information (6).
    Sei,
    /// Sequence parameter set (7).
    Sps,
    /// Picture parameter set (8).
    Pps,
    /// Access unit delimiter (9).
    Delimiter,
    /// Filler data (12).
    Filler,
    /// A unit for scalable or multiview layers, which decoders of the base layer pass over (14, 15,
    /// 20 and 21).
    Extension,
    /// Any other unit of the H.264 specification.
    Other,
    /// Several units in one packet (24).
    StapA,
    /// A part of a unit (28).
    FuA,
    /// Structures of the interleaved mode, which is never negotiated (25 to 27 and 29).
    Interleaved,
    /// Types without meaning in RTP (0, 30 and 31).
    Reserved,
}

/// The two bytes before a fragment of a NAL unit (RFC 6184, section 5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentHeader {
    /// The fragmented unit's own header, put together again.
    pub nal: NalHeader,
    /// It is the first fragment.
    pub start: bool,
    /// It is the last fragment.
    pub end: bool,
}

impl FragmentHeader {
    /// Bytes before the fragment.
    pub const BYTES: usize = 2;

    /// Reads it from the start of an RTP payload; `None` when that is too short.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let &[indicator, header] = payload.first_chunk::<{ Self::BYTES }>()?;
        Some(Self {
            nal: NalHeader(indicator & 0xe0 | header & 0x1f),
            start: header & 0x80 != 0,
            end: header & 0x40 != 0,
        })
    }
}

/// The NAL units of a STAP-A payload, as ranges of it (RFC 6184, section 5.7.1).
///
/// Units of length zero are passed over. A length that reaches past the end gives `Err` once and
/// ends the walk.
#[derive(Clone, Debug)]
pub struct StapUnits<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> StapUnits<'a> {
    /// A walk over a payload whose first byte is the STAP-A header.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { payload, at: 1 }
    }
}

impl Iterator for StapUnits<'_> {
    type Item = Result<Range<usize>, Overrun>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.payload.len() {
            let size = self
                .payload
                .get(self.at..)
                .and_then(<[u8]>::first_chunk::<2>);
            let start = self.at.saturating_add(2);
            let end = size.map(|size| start.saturating_add(usize::from(u16::from_be_bytes(*size))));
            match end {
                Some(end) if end <= self.payload.len() => {
                    self.at = end;
                    if start < end {
                        return Some(Ok(start..end));
                    }
                }
                _ => {
                    self.at = self.payload.len();
                    return Some(Err(Overrun));
                }
            }
        }
        None
    }
}

/// A unit of an aggregation packet is longer than the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

/// Bytes of the Annex B start code at the front, zero when there is none.
pub fn start_code(bytes: &[u8]) -> usize {
    match bytes {
        [0, 0, 0, 1, ..] => 4,
        [0, 0, 1, ..] => 3,
        _ => 0,
    }
}

/// The NAL units of a byte stream, as ranges of it; there may be a start code before the first.
///
/// Some senders put Annex B into RTP by mistake. Start codes cannot occur inside a unit.
#[derive(Clone, Debug)]
pub struct AnnexBUnits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> AnnexBUnits<'a> {
    /// A walk over `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Iterator for AnnexBUnits<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            let start = self.at.saturating_add(start_code(rest));
            let body = self.bytes.get(start..).filter(|body| !body.is_empty())?;
            let length = find_start_code(body);
            let mut end = start.saturating_add(length.unwrap_or(body.len()));
            self.at = end;
            // A zero byte before the three of a start code belongs to the start code.
            if length.is_some_and(|length| body.get(..length).is_some_and(|b| b.ends_with(&[0]))) {
                end = end.saturating_sub(1);
            }
            if start < end {
                return Some(start..end);
            }
        }
    }
}

/// Where the three bytes of a start code lie.
fn find_start_code(bytes: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    loop {
        // Most bytes are no part of one, which lets two more be passed over.
        let third = at.saturating_add(2);
        match bytes.get(third)? {
            0 => at = at.saturating_add(1),
            1 if bytes.get(at..third) == Some(&[0, 0]) => return Some(at),
            _ => at = at.saturating_add(3),
        }
    }
}

/// Whether a slice is its picture's first in scan order: its first macroblock is number 0, which
/// is a single 1 bit after the NAL unit header.
pub fn starts_picture(after_header: &[u8]) -> bool {
    after_header.first().is_some_and(|byte| byte & 0x80 != 0)
}

/// What a sequence parameter set says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpsHead {
    /// Its identifier, 0 to 31.
    pub id: u8,
    /// The picture's size.
    pub size: PictureSize,
    /// Bits of picture numbers in slices.
    pub frame_number_bits: u32,
    /// Bits of slices between the picture parameter set's identifier and the picture number.
    pub colour_plane_bits: u32,
}

/// What a sequence parameter set says of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureSize {
    /// Width in pixels, cropping applied.
    pub width: u16,
    /// Height in pixels, cropping applied.
    pub height: u16,
}

impl SpsHead {
    /// Reads a sequence parameter set, its header byte included; `None` when it cannot be read or
    /// its picture is empty or larger than 16,384 pixels either way.
    pub fn parse(nal: &[u8]) -> Option<Self> {
        let sps = read_sps(nal)?;
        // Checked here: the size is added to without a check there.
        let most = u32::from(Self::MAX_PIXELS) / 16;
        if sps.pic_width_in_mbs_minus1 >= most
            || sps.pic_height_in_map_units_minus1 >= most
            || matches!(sps.chroma_info.chroma_format, ChromaFormat::Invalid(_))
        {
            return None;
        }
        let (width, height) = sps.pixel_dimensions().ok()?;
        let in_range = 1..=u32::from(Self::MAX_PIXELS);
        if !in_range.contains(&width) || !in_range.contains(&height) {
            return None;
        }
        let size = PictureSize {
            width: u16::try_from(width).ok()?,
            height: u16::try_from(height).ok()?,
        };
        Some(Self {
            id: sps.id().id(),
            size,
            frame_number_bits: u32::from(sps.log2_max_frame_num_minus4).saturating_add(4),
            colour_plane_bits: u32::from(sps.chroma_info.separate_colour_plane_flag) << 1,
        })
    }

    const MAX_PIXELS: u16 = 16_384;
}

/// How many pictures may come before one in decoding order and after it in output order, by a
/// sequence parameter set with its header byte; `None` when the set does not say.
///
/// None do in the Baseline profile and with picture order count type 2 (sections A.2.1 and
/// 8.2.1.3); otherwise the bitstream restrictions of the VUI tell (section E.2.1).
pub fn reorder_depth(sps: &[u8]) -> Option<u8> {
    let sps = read_sps(sps)?;
    if u8::from(sps.profile_idc) == 66 || matches!(sps.pic_order_cnt, PicOrderCntType::TypeTwo) {
        return Some(0);
    }
    let restrictions = sps.vui_parameters?.bitstream_restrictions?;
    u8::try_from(restrictions.max_num_reorder_frames)
        .ok()
        .filter(|depth| *depth <= MAX_REORDER_DEPTH)
}

/// The most that the standard allows ([`reorder_depth`]).
pub const MAX_REORDER_DEPTH: u8 = 16;

fn read_sps(nal: &[u8]) -> Option<SeqParameterSet> {
    // Zero bytes after the set belong to no unit, but some senders leave them.
    let trimmed = nal.iter().rposition(|byte| *byte != 0)?.checked_add(1)?;
    let nal = nal.get(..trimmed)?;
    if nal.len() < 4 || NalHeader(*nal.first()?).kind() != NalKind::Sps {
        return None;
    }
    let bits = BitReader::new(ByteReader::skipping_h264_header(nal));
    SeqParameterSet::from_bits(bits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    // Sets made by x264: 1280x720 High, and 572x468 Constrained Baseline with cropping.
    const SPS_720: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
    ];
    const SPS_ODD: &[u8] = &[
        0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0x90, 0x3d, 0xee, 0x7c, 0x04, 0x40, 0x00, 0x00, 0x03,
        0x00, 0x40, 0x00, 0x00, 0x0f, 0x03, 0xc5, 0x8b, 0x92,
    ];

    fn size_of(sps: &[u8]) -> Option<PictureSize> {
        SpsHead::parse(sps).map(|head| head.size)
    }

    #[test]
    fn picture_sizes_are_read_with_cropping() {
        assert_eq!(
            size_of(SPS_720),
            Some(PictureSize {
                width: 1280,
                height: 720
            })
        );
        assert_eq!(
            size_of(SPS_ODD),
            Some(PictureSize {
                width: 572,
                height: 468
            })
        );
    }

    #[test]
    fn sets_tell_how_deep_pictures_are_reordered() {
        assert_eq!(reorder_depth(SPS_720), Some(2));
        assert_eq!(reorder_depth(SPS_ODD), Some(0));
        assert_eq!(reorder_depth(&SPS_720[..3]), None);
    }

    #[test]
    fn zero_bytes_after_a_set_do_no_harm() {
        let mut sps = SPS_720.to_vec();
        sps.extend([0, 0, 0]);
        assert_eq!(size_of(&sps), size_of(SPS_720));
    }

    #[test]
    fn truncated_and_mutated_sets_never_panic_and_never_exceed_the_bound() {
        let mut rng = Rng::from_number(11);
        for sps in [SPS_720, SPS_ODD] {
            for length in 0..sps.len() {
                let _ = size_of(&sps[..length]);
                let _ = reorder_depth(&sps[..length]);
            }
            for _ in 0..20_000 {
                let mut bytes = sps.to_vec();
                for _ in 0..=rng.below(4) {
                    let at = rng.below(bytes.len() as u32) as usize;
                    bytes[at] = rng.u32() as u8;
                }
                assert!(reorder_depth(&bytes).is_none_or(|depth| depth <= MAX_REORDER_DEPTH));
                if let Some(size) = size_of(&bytes) {
                    assert!(size.width <= 16_384 && size.height <= 16_384);
                }
            }
        }
    }

    #[test]
    fn a_height_at_the_end_of_its_range_is_refused() {
        let size = |height| size_of(&baseline_sps(height));
        assert_eq!(
            size(8),
            Some(PictureSize {
                width: 16,
                height: 144
            })
        );
        assert_eq!(size(1_024), None);
        assert_eq!(size(u64::from(u32::MAX) - 1), None);
        assert_eq!(size(u64::from(u32::MAX)), None);
    }

    /// A set of Constrained Baseline, one macroblock wide and `height_minus1 + 1` high.
    fn baseline_sps(height_minus1: u64) -> Vec<u8> {
        let mut bits: String = [0, 0, 2, 0].map(golomb).concat();
        bits += "0";
        bits += &golomb(0);
        bits += &golomb(height_minus1);
        bits += "11001";
        while !bits.len().is_multiple_of(8) {
            bits += "0";
        }
        let mut sps = vec![0x67, 66, 0xe0, 31];
        let mut zeros = 0;
        for at in (0..bits.len()).step_by(8) {
            let byte = u8::from_str_radix(&bits[at..at + 8], 2).unwrap();
            if zeros >= 2 && byte <= 3 {
                sps.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            sps.push(byte);
        }
        sps
    }

    fn golomb(value: u64) -> String {
        let digits = format!("{:b}", value + 1);
        "0".repeat(digits.len() - 1) + &digits
    }

    #[test]
    fn aggregated_units_are_walked_and_an_overrun_is_told_once() {
        let walk = |bytes: &[u8]| StapUnits::new(bytes).collect::<Vec<_>>();
        assert_eq!(
            walk(&[24, 0, 2, 7, 7, 0, 0, 0, 1, 8]),
            [Ok(3..5), Ok(9..10)]
        );
        assert_eq!(walk(&[24, 0, 1, 7, 0, 9, 8]), [Ok(3..4), Err(Overrun)]);
        assert_eq!(walk(&[24, 0, 1, 7, 0]), [Ok(3..4), Err(Overrun)]);
        assert_eq!(walk(&[24]), []);
        assert_eq!(walk(&[]), []);
    }

    #[test]
    fn units_of_a_byte_stream_are_split_at_start_codes() {
        let walk = |bytes: &[u8]| AnnexBUnits::new(bytes).collect::<Vec<_>>();
        assert_eq!(
            walk(&[0, 0, 0, 1, 7, 9, 0, 0, 0, 1, 8, 9, 0, 0, 1, 5]),
            [4..6, 10..12, 15..16]
        );
        assert_eq!(walk(&[0, 0, 1, 7]).first(), Some(&(3..4)));
        assert_eq!(walk(&[0, 0, 1, 0, 0, 1]), []);
        assert_eq!(walk(&[0, 0, 1]), []);
        let mut rng = Rng::from_number(2);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..rng.below(24)).map(|_| rng.below(3) as u8).collect();
            for unit in walk(&bytes) {
                assert!(!unit.is_empty() && unit.end <= bytes.len());
            }
        }
    }
}
