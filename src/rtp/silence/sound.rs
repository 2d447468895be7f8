//! What silence is in each codec: the payload of one RTP packet, and how long it lasts.
//!
//! - G.711: zero samples, 20 ms (RFC 3551, section 4.5.14);
//! - Opus: one CELT frame of 20 ms with the silence flag (RFC 6716, section 4.3), 48 kHz clock;
//! - Speex: a frame of zeros, 20 ms (RFC 5574);
//! - AAC: a raw data block of one or two channels without any coefficient (ISO/IEC 14496-3, 4.4.2),
//!   packed as RFC 3640 or RFC 6416 say, with as many access units as an AudioMuxElement must have.
//!
//! No silence is made for access units of a constant size, or so many in an element that the packet
//! would be longer than [`SILENCE_BYTES`].

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use heapless::Vec;

use crate::base::codec::AacConfig;
use crate::limits::SILENCE_BYTES;
use crate::rtp::stream::Codec;
use crate::wire::aac::{AacPacking, Latm, Mpeg4Generic, write_specific};
use crate::wire::bits::BitWriter;
use crate::wire::latm::write_stream_mux;
use crate::wire::silent_frame::{AAC_MONO, AAC_STEREO, ALAW_ZERO, MULAW_ZERO, OPUS, SPEEX};

/// Silence in one codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// The RTP payload of every packet.
    pub payload: Vec<u8, SILENCE_BYTES>,
    /// Samples of one packet.
    pub samples: u32,
    /// Samples a second.
    pub sample_rate: u32,
    /// Ticks of the RTP clock a second.
    pub clock_rate: u32,
}

impl Sound {
    /// Silence in a codec whose RTP clock runs at `clock_rate`; `None` where none is made.
    pub fn of(codec: &Codec, clock_rate: u32) -> Option<Self> {
        let plain = |bytes: &[u8], samples: u32, sample_rate: u32| {
            Some(Self {
                payload: Vec::from_slice(bytes).ok()?,
                samples,
                sample_rate,
                clock_rate: sample_rate,
            })
        };
        match codec {
            Codec::Pcma => plain(&[ALAW_ZERO; 160], 160, 8_000),
            Codec::Pcmu => plain(&[MULAW_ZERO; 160], 160, 8_000),
            Codec::Opus { .. } => plain(&OPUS, 960, 48_000),
            Codec::Speex => plain(&SPEEX, 320, 16_000),
            Codec::Aac(AacPacking::Generic(generic)) => Self::generic(generic, clock_rate),
            Codec::Aac(AacPacking::Latm(latm)) => Self::latm(latm, clock_rate),
            Codec::H264 { .. } | Codec::Vp8 => None,
        }
    }

    /// One access unit with its AU-header (RFC 3640, section 3.2.1).
    fn generic(format: &Mpeg4Generic, clock_rate: u32) -> Option<Self> {
        let unit = access_unit(&format.config);
        if format.constant_size.is_some() {
            return None;
        }
        let (size, index) = (
            u32::from(format.size_length),
            u32::from(format.index_length),
        );
        let mut writer = BitWriter::<SILENCE_BYTES>::new();
        let headers = size.checked_add(index)?;
        if headers > 0 || format.index_delta_length > 0 {
            writer.number(headers, 16)?;
        }
        if size > 0 {
            let length = unit.len() as u32;
            // A field too short for six is none of an encoder's.
            writer.number(
                (length.leading_zeros() >= 32_u32.saturating_sub(size)).then_some(length)?,
                size,
            )?;
        }
        writer.number(0, index)?;
        writer.align()?;
        writer.bytes(unit)?;
        Some(Self {
            payload: writer.finish(),
            samples: u32::from(format.config.frame_samples),
            sample_rate: format.config.sample_rate.max(1),
            clock_rate,
        })
    }

    /// An AudioMuxElement (ISO/IEC 14496-3, 1.7.3).
    fn latm(format: &Latm, clock_rate: u32) -> Option<Self> {
        let mut writer = BitWriter::<SILENCE_BYTES>::new();
        let (config, units) = match (&format.config, format.in_band) {
            (Some(mux), false) => (mux.config.clone(), mux.units),
            (None, false) => return None,
            (Some(mux), true) => (mux.config.clone(), 1),
            (None, true) => (mono(clock_rate), 1),
        };
        if format.in_band {
            // useSameStreamMux: no.
            writer.number(0, 1)?;
            write_stream_mux(&mut writer, &config)?;
        }
        for _ in 0..units {
            let unit = access_unit(&config);
            writer.number(unit.len() as u32, 8)?;
            writer.bytes(unit)?;
        }
        writer.align()?;
        Some(Self {
            payload: writer.finish(),
            samples: u32::from(config.frame_samples).saturating_mul(u32::from(units)),
            sample_rate: config.sample_rate.max(1),
            clock_rate,
        })
    }
}

fn access_unit(config: &AacConfig) -> &'static [u8] {
    match config.channels {
        1 => &AAC_MONO,
        _ => &AAC_STEREO,
    }
}

/// AAC-LC at a rate that nothing else was said of.
fn mono(sample_rate: u32) -> AacConfig {
    let mut config = AacConfig {
        specific: Vec::new(),
        sample_rate,
        channels: 1,
        frame_samples: 1_024,
    };
    let mut writer = BitWriter::new();
    // The longest one fits.
    if write_specific(&mut writer, &config).is_some() {
        config.specific = writer.finish();
    }
    config
}
