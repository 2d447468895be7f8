//! The multiplex of MP4A-LATM: StreamMuxConfig and AudioMuxElement (ISO/IEC 14496-3, 1.7.3;
//! RFC 6416, section 6).
//!
//! Taken is what carries AAC: one program of one layer (`numProgram` and `numLayer` 0), frames of
//! one time for all (`allStreamsSameTimeFraming`), payloads whose length stands before them
//! (`frameLengthType` 0), of `audioMuxVersion` 0 and 1. Checksums are not verified and other data
//! is passed over.

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

use crate::base::codec::AacConfig;
use crate::wire::aac::{AacError, copy_bits, flag, number, read_specific};
use crate::wire::bits::{Bits, Bytes};

/// What a StreamMuxConfig says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamMux {
    /// What the decoder must know.
    pub config: AacConfig,
    /// Access units in one AudioMuxElement: 1 to 64.
    pub units: u8,
}

/// Reads a StreamMuxConfig, such as `config` of MP4A-LATM is one.
pub fn stream_mux_config(bytes: &[u8]) -> Result<StreamMux, AacError> {
    read_stream_mux(&mut Bits::new(bytes))
}

/// Reads a StreamMuxConfig at any bit, up to its end.
pub fn read_stream_mux<B: Bytes + ?Sized>(bits: &mut Bits<'_, B>) -> Result<StreamMux, AacError> {
    let version_1 = flag(bits)?;
    if version_1 {
        if flag(bits)? {
            // audioMuxVersionA has only one value with a meaning.
            return Err(AacError::PayloadKind);
        }
        let _buffer_fullness = latm_value(bits)?;
    }
    if !flag(bits)? {
        return Err(AacError::SeveralStreams);
    }
    let units = (number(bits, 6)? as u8).saturating_add(1);
    if number(bits, 4)? != 0 || number(bits, 3)? != 0 {
        return Err(AacError::SeveralStreams);
    }
    let config = if version_1 {
        let length = latm_value(bits)? as usize;
        let begin = *bits;
        let mut config = read_specific(bits)?;
        if length < bits.position().saturating_sub(begin.position()) {
            return Err(AacError::Truncated);
        }
        config.specific = copy_bits(begin, length)?;
        *bits = begin;
        bits.skip(length);
        config
    } else {
        read_specific(bits)?
    };
    if number(bits, 3)? != 0 {
        return Err(AacError::PayloadKind);
    }
    let _buffer_fullness = number(bits, 8)?;
    if flag(bits)? {
        skip_other_data_length(bits, version_1)?;
    }
    if flag(bits)? {
        let _checksum = number(bits, 8)?;
    }
    Ok(StreamMux { config, units })
}

/// Reads PayloadLengthInfo: bytes of the payload that follows; `None` when it is cut short.
pub fn payload_length<B: Bytes + ?Sized>(bits: &mut Bits<'_, B>) -> Option<usize> {
    let mut length = 0_usize;
    loop {
        let more = bits.number(8)?;
        length = length.saturating_add(more as usize);
        if more != 255 {
            return Some(length);
        }
    }
}

/// LatmGetValue (1.7.3.1).
fn latm_value<B: Bytes + ?Sized>(bits: &mut Bits<'_, B>) -> Result<u32, AacError> {
    let bytes = number(bits, 2)?.saturating_add(1);
    number(bits, bytes.saturating_mul(8))
}

/// Other data comes after the payloads, so that its length does not matter.
fn skip_other_data_length<B: Bytes + ?Sized>(
    bits: &mut Bits<'_, B>,
    version_1: bool,
) -> Result<(), AacError> {
    if version_1 {
        latm_value(bits)?;
        return Ok(());
    }
    while flag(bits)? {
        number(bits, 8)?;
    }
    number(bits, 8)?;
    Ok(())
}
