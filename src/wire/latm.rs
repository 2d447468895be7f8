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
use crate::wire::aac::{AacError, copy_bits, flag, number, read_specific, write_specific};
use crate::wire::bits::{BitWriter, Bits, Bytes};

/// What a StreamMuxConfig says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamMux {
    /// What the decoder must know.
    pub config: AacConfig,
    /// Access units in one AudioMuxElement: 1 to 64.
    pub units: u8,
}

/// Reads a StreamMuxConfig, such as `config` of MP4A-LATM is one.
///
/// GStreamer ends it with the AudioSpecificConfig, its sync extension included, although that has no
/// length in version 0: the extension is passed over, and what is missing behind counts as zero.
pub fn stream_mux_config(bytes: &[u8]) -> Result<StreamMux, AacError> {
    let bits = &mut Bits::new(bytes);
    let (mux, version_1) = read_streams(bits)?;
    if !version_1 {
        pass_sync_extension(bits);
    }
    match read_payload_kind(bits, version_1) {
        Ok(()) | Err(AacError::Truncated) => Ok(mux),
        Err(error) => Err(error),
    }
}

/// Reads a StreamMuxConfig at any bit, up to its end.
pub fn read_stream_mux<B: Bytes + ?Sized>(bits: &mut Bits<'_, B>) -> Result<StreamMux, AacError> {
    let (mux, version_1) = read_streams(bits)?;
    read_payload_kind(bits, version_1)?;
    Ok(mux)
}

/// The part up to the AudioSpecificConfig, and whether it is of version 1.
fn read_streams<B: Bytes + ?Sized>(bits: &mut Bits<'_, B>) -> Result<(StreamMux, bool), AacError> {
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
    Ok((StreamMux { config, units }, version_1))
}

/// Passes over what tells of SBR behind an AudioSpecificConfig (`syncExtensionType` 0x2b7). It
/// begins with a reserved value of `frameLengthType`, so that the two cannot be mistaken.
fn pass_sync_extension<B: Bytes + ?Sized>(bits: &mut Bits<'_, B>) {
    let begin = *bits;
    if bits.number(11) != Some(0x2b7) || bits.number(5) != Some(5) {
        *bits = begin;
        return;
    }
    // A rate of 15 is written out.
    if bits.flag() == Some(true) && bits.number(4) == Some(15) {
        bits.skip(24);
    }
}

/// The part behind the AudioSpecificConfig.
fn read_payload_kind<B: Bytes + ?Sized>(
    bits: &mut Bits<'_, B>,
    version_1: bool,
) -> Result<(), AacError> {
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
    Ok(())
}

/// Writes a StreamMuxConfig of version 0 for one access unit of AAC-LC in each element; `None` when
/// there is no room.
pub fn write_stream_mux<const N: usize>(
    writer: &mut BitWriter<N>,
    config: &AacConfig,
) -> Option<()> {
    // audioMuxVersion; allStreamsSameTimeFraming; numSubFrames, numProgram and numLayer.
    writer.number(0, 1)?;
    writer.number(1, 1)?;
    writer.number(0, 6 + 4 + 3)?;
    write_specific(writer, config)?;
    // frameLengthType; latmBufferFullness of a variable rate; neither other data nor checksum.
    writer.number(0, 3)?;
    writer.number(0xff, 8)?;
    writer.number(0, 2)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// What stands before the AudioSpecificConfig in version 0, for `units` access units.
    fn head(writer: &mut BitWriter<64>, units: u32) {
        writer.number(0b01, 2).unwrap();
        writer.number(units - 1, 6).unwrap();
        writer.number(0, 7).unwrap();
    }

    #[test]
    fn the_example_of_the_payload_format_is_read() {
        // RFC 6416, section 7.4.2.2: AAC-LC, 24 kHz, stereo, with the configuration in SDP.
        let mux = stream_mux_config(&[0x40, 0x00, 0x26, 0x20, 0x3f, 0xc0]).unwrap();
        assert_eq!((mux.units, mux.config.channels), (1, 2));
        assert_eq!(mux.config.sample_rate, 24_000);
        assert_eq!(mux.config.specific, [0x13, 0x10]);
    }

    #[test]
    fn both_versions_with_all_that_may_stand_behind() {
        let specific = [0x12, 0x10];
        let mut old = BitWriter::<64>::new();
        head(&mut old, 4);
        old.bytes(&specific).unwrap();
        // Variable length; fullness; other data of 0x102 bits; a checksum.
        for (number, bits) in [
            (0, 3),
            (255, 8),
            (1, 1),
            (1, 1),
            (1, 8),
            (0, 1),
            (2, 8),
            (1, 1),
        ] {
            old.number(number, bits).unwrap();
        }
        old.number(77, 8).unwrap();
        let mux = stream_mux_config(&old.finish()).unwrap();
        assert_eq!(
            (mux.units, mux.config.specific.as_slice()),
            (4, &specific[..])
        );

        let mut new = BitWriter::<64>::new();
        // Version 1, 1A 0, fullness in two bytes, one time, two units, one program, one layer.
        for (number, bits) in [(0b10, 2), (1, 2), (0x1234, 16), (1, 1), (1, 6), (0, 7)] {
            new.number(number, bits).unwrap();
        }
        // 37 bits: SBR in the way that old decoders pass over.
        new.number(0, 2).unwrap();
        new.number(37, 8).unwrap();
        let with_sbr = [0x13, 0x10, 0x56, 0xe5, 0x98];
        let mut rest = Bits::new(&with_sbr[..]);
        for _ in 0..37 {
            new.number(rest.number(1).unwrap(), 1).unwrap();
        }
        for (number, bits) in [(0, 3), (255, 8), (1, 1), (0, 2), (9, 8), (0, 1)] {
            new.number(number, bits).unwrap();
        }
        let mux = stream_mux_config(&new.finish()).unwrap();
        assert_eq!(
            (mux.units, mux.config.specific.as_slice()),
            (2, &with_sbr[..])
        );
        assert_eq!(mux.config.sample_rate, 24_000);
    }

    #[test]
    fn what_gstreamer_writes_into_sdp_is_taken() {
        // rtpmp4apay of 1.22 behind voaacenc, and behind avenc_aac, which tells of no SBR.
        let plain = stream_mux_config(&[0x40, 0x00, 0x23, 0x10]).unwrap();
        assert_eq!((plain.units, plain.config.sample_rate), (1, 48_000));
        assert_eq!(plain.config.specific, [0x11, 0x88]);
        let extended = [0x40, 0x00, 0x24, 0x20, 0xad, 0xca, 0x00];
        let extended = stream_mux_config(&extended).unwrap();
        assert_eq!((extended.units, extended.config.sample_rate), (1, 44_100));
        assert_eq!(extended.config.specific, [0x12, 0x10]);
        // With SBR of 44,100 Hz above a core of 22,050: 0x2b7, 5, 1, 4; then no other kind.
        let mut sbr = BitWriter::<64>::new();
        for (number, bits) in [(0b01, 2), (0, 13), (0x1390, 16)] {
            sbr.number(number, bits).unwrap();
        }
        for (number, bits) in [
            (0x2b7, 11),
            (5, 5),
            (1, 1),
            (4, 4),
            (0, 3),
            (255, 8),
            (0, 2),
        ] {
            sbr.number(number, bits).unwrap();
        }
        let sbr = stream_mux_config(&sbr.finish()).unwrap();
        assert_eq!(sbr.config.specific, [0x13, 0x90]);
    }

    #[test]
    fn multiplexes_of_other_kinds_are_refused() {
        let refused = |parts: &[(u32, u32)]| {
            let mut writer = BitWriter::<64>::new();
            for (number, bits) in parts {
                writer.number(*number, *bits).unwrap();
            }
            stream_mux_config(&writer.finish()).unwrap_err()
        };
        // Version 1A; streams of different times; two programs; two layers.
        assert_eq!(refused(&[(0b11, 2), (0, 32)]), AacError::PayloadKind);
        assert_eq!(refused(&[(0b00, 2), (0, 32)]), AacError::SeveralStreams);
        assert_eq!(
            refused(&[(0b01, 2), (0, 6), (1, 4), (0, 32)]),
            AacError::SeveralStreams
        );
        assert_eq!(
            refused(&[(0b01, 2), (0, 10), (1, 3), (0, 32)]),
            AacError::SeveralStreams
        );
        // Payloads of a constant length; six channels.
        let start = [(0b01, 2), (0, 13)];
        assert_eq!(
            refused(&[start[0], start[1], (0x1210, 16), (1, 3), (0, 32)]),
            AacError::PayloadKind
        );
        assert_eq!(
            refused(&[start[0], start[1], (0x1230, 16), (0, 32)]),
            AacError::Channels(6)
        );
    }

    #[test]
    fn every_truncation_is_noticed_and_any_bytes_are_taken_or_refused() {
        let config = crate::wire::aac::audio_specific_config(&[0x11, 0x88]).unwrap();
        let mut writer = BitWriter::<64>::new();
        write_stream_mux(&mut writer, &config).unwrap();
        let whole = writer.finish();
        assert_eq!(
            stream_mux_config(&whole),
            Ok(StreamMux { config, units: 1 })
        );
        for length in 0..whole.len() {
            let cut = &whole[..length];
            let read = read_stream_mux(&mut Bits::new(cut));
            assert_eq!(read, Err(AacError::Truncated));
            // All of the AudioSpecificConfig is in the first 31 bits.
            assert_eq!(stream_mux_config(cut).is_ok(), length >= 4, "{length}");
        }
        let mut rng = Rng::from_number(11);
        let mut taken = 0;
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                let at = rng.below(bytes.len() as u32) as usize;
                bytes[at] ^= 1 << rng.below(8);
            }
            if let Ok(mux) = stream_mux_config(&bytes) {
                taken += 1;
                assert!((1..=64).contains(&mux.units) && mux.config.sample_rate > 0);
            }
        }
        assert!(taken > 100, "{taken}");
    }

    #[test]
    fn lengths_go_on_after_255() {
        let read = |bytes: &[u8]| payload_length(&mut Bits::new(bytes));
        assert_eq!(read(&[0]), Some(0));
        assert_eq!(read(&[254]), Some(254));
        assert_eq!(read(&[255, 0]), Some(255));
        assert_eq!(read(&[255, 255, 3]), Some(513));
        assert_eq!(read(&[255, 255]), None);
    }
}
