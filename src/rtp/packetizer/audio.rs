//! Sound into RTP: Opus (RFC 7587), Speex (RFC 5574) and G.711 (RFC 3551), whose frames are payloads
//! as they stand, and AAC, in the payload formats of RFC 3640 and RFC 6416.
//!
//! An access unit of AAC that does not fit a packet goes in fragments: with its header in each (RFC
//! 3640, section 3.2.3), or with its length in the first alone (RFC 6416, section 6.3). MP4A-LATM is
//! sent only with its StreamMuxConfig in SDP and one unit in each packet.

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

use crate::base::codec::{AacConfig, CodecConfig};
use crate::base::frame_log::FrameView;
use crate::limits::{RTP_PAYLOAD_BYTES, RTP_WHOLE_PAYLOAD_BYTES};
use crate::rtp::packetizer::reader::Reader;
use crate::rtp::packetizer::{Part, Unfit};
use crate::wire::aac::{AacPacking, Latm, Mpeg4Generic};
use crate::wire::bits::BitWriter;

/// Bytes of a length in LATM: each but the last is 255.
const LENGTH_STEP: usize = 255;

/// Bytes of the AU-headers section of one unit: its length, and up to 8 bytes of header.
const AU_HEADERS: usize = 10;

/// The packetizer of one track of sound.
#[derive(Clone, Debug)]
pub struct AudioPacketizer {
    aac: Option<Box<AacPacking>>,
    reader: Reader,
    /// Bytes of the unit that was begun.
    unit: usize,
}

impl AudioPacketizer {
    /// A frame a packet.
    pub fn plain() -> Self {
        Self {
            aac: None,
            reader: Reader::default(),
            unit: 0,
        }
    }

    /// AAC in a payload format.
    pub fn aac(packing: AacPacking) -> Self {
        Self {
            aac: Some(Box::new(packing)),
            ..Self::plain()
        }
    }

    pub(super) fn begin(&mut self, view: FrameView<'_>, config: &CodecConfig) -> Result<(), Unfit> {
        self.skip();
        let unit = view.len();
        match (self.aac.as_deref(), config) {
            (Some(packing), CodecConfig::Aac(config)) => check_aac(packing, config, unit)?,
            (
                None,
                CodecConfig::Opus { .. }
                | CodecConfig::Speex
                | CodecConfig::Pcma
                | CodecConfig::Pcmu,
            ) => {
                if unit > RTP_WHOLE_PAYLOAD_BYTES {
                    return Err(Unfit::WholeSound(unit));
                }
            }
            _ => return Err(Unfit::OtherCodec),
        }
        self.unit = unit;
        self.reader = Reader::new(view);
        Ok(())
    }

    pub(super) fn next(&mut self, view: FrameView<'_>, out: &mut [u8]) -> Option<Part> {
        if self.is_done() {
            return None;
        }
        let is_first = self.reader.left() == self.unit;
        let (head, most) = match self.aac.as_deref() {
            None => (0, RTP_WHOLE_PAYLOAD_BYTES),
            Some(AacPacking::Generic(format)) => {
                let head = au_header(format, self.unit)?;
                out.get_mut(..head.len())?.copy_from_slice(&head);
                (head.len(), RTP_PAYLOAD_BYTES)
            }
            Some(AacPacking::Latm(_)) if is_first => {
                let head = latm_length(self.unit, out)?;
                (head, RTP_PAYLOAD_BYTES)
            }
            Some(AacPacking::Latm(_)) => (0, RTP_PAYLOAD_BYTES),
        };
        let room = out.len().min(most).checked_sub(head)?;
        let count = self.reader.left().min(room);
        // What cannot be divided goes whole or not at all.
        if count == 0 || (self.aac.is_none() && count < self.unit) {
            return None;
        }
        let len = head.saturating_add(count);
        if self.reader.copy(view, out.get_mut(head..len)?) < count {
            return None;
        }
        Some(Part {
            len,
            ends: self.is_done(),
        })
    }

    pub(super) fn is_done(&self) -> bool {
        self.reader.left() == 0
    }

    pub(super) fn skip(&mut self) {
        self.reader = Reader::default();
        self.unit = 0;
    }
}

/// Whether AAC of a configuration, and a unit of so many bytes, fit a payload format.
fn check_aac(packing: &AacPacking, config: &AacConfig, unit: usize) -> Result<(), Unfit> {
    let same = |agreed: &AacConfig| {
        (agreed.sample_rate, agreed.channels, agreed.frame_samples)
            == (config.sample_rate, config.channels, config.frame_samples)
    };
    match packing {
        AacPacking::Generic(format) => {
            if !same(&format.config) {
                return Err(Unfit::AacConfig);
            }
            au_header(format, unit).map(drop).ok_or(Unfit::AacUnit)
        }
        AacPacking::Latm(Latm {
            config: Some(mux),
            in_band: false,
            ..
        }) if mux.units == 1 => same(&mux.config).then_some(()).ok_or(Unfit::AacConfig),
        AacPacking::Latm(_) => Err(Unfit::LatmForm),
    }
}

/// The AU-headers section of one access unit (RFC 3640, section 3.2.1); `None` where its size cannot
/// be told, or is not the constant one.
fn au_header(format: &Mpeg4Generic, unit: usize) -> Option<heapless::Vec<u8, AU_HEADERS>> {
    if format
        .constant_size
        .is_some_and(|size| usize::from(size) != unit)
    {
        return None;
    }
    let mut writer = BitWriter::<AU_HEADERS>::new();
    let (size, index) = (
        u32::from(format.size_length),
        u32::from(format.index_length),
    );
    let headers = size.checked_add(index)?;
    if headers > 0 || format.index_delta_length > 0 {
        writer.number(headers, 16)?;
    }
    if size > 0 {
        let length = u32::try_from(unit).ok()?;
        let needed = u32::BITS.saturating_sub(length.leading_zeros());
        writer.number((needed <= size).then_some(length)?, size)?;
    }
    writer.number(0, index)?;
    writer.align()?;
    Some(writer.finish())
}

/// Writes the length of a unit as LATM tells it (ISO/IEC 14496-3, 1.7.3.2); its bytes.
fn latm_length(unit: usize, out: &mut [u8]) -> Option<usize> {
    let full = unit / LENGTH_STEP;
    let count = full.saturating_add(1);
    let place = out.get_mut(..count)?;
    place.fill(0xff);
    *place.last_mut()? = u8::try_from(unit % LENGTH_STEP).ok()?;
    Some(count)
}
