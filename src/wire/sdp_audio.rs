//! What `a=fmtp` says of Opus (RFC 7587, section 6.1), of mpeg4-generic in the mode AAC-hbr
//! (RFC 3640, sections 3.3.6 and 4.1) and of MP4A-LATM (RFC 6416, section 7.3).
//!
//! Refused: the other modes of mpeg4-generic (generic, CELP, AAC-lbr), interleaving, and access
//! unit headers with fields that AAC-hbr does not have. Not read: bit rates and
//! `SBR-enabled`, which the configuration tells of. MP4A-LATM without a configuration is taken when
//! `object` or `profile-level-id` says that it is AAC-LC, alone or under SBR and PS.

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

use core::fmt;

use heapless::Vec as FixedVec;

use crate::limits::AAC_CONFIG_BYTES;
use crate::wire::aac::{
    AacError, AacPacking, Latm, Mpeg4Generic, audio_specific_config, stream_mux_config,
};
use crate::wire::sdp_codec::RtpMap;

/// Clock rates that AAC may have: those of its sampling rates, and the 90 kHz of older LATM.
const AAC_CLOCK_RATES: core::ops::RangeInclusive<u32> = 7_350..=96_000;

/// Bits of an access unit's size, index and index delta in AAC-hbr.
const AAC_HBR_LENGTHS: [u8; 3] = [13, 3, 3];

/// The audio object types that are taken (ISO/IEC 14496-3, 1.5.1).
const AAC_LC: u8 = 2;
const SBR: u8 = 5;
const PS: u8 = 29;

/// The levels of the profiles AAC, High Efficiency AAC and High Efficiency AAC v2 (ISO/IEC 14496-3,
/// table 1.14).
const AAC_PROFILE_LEVELS: core::ops::RangeInclusive<u32> = 40..=51;

/// What is said of one Opus payload type; each side says what it wants to receive, but for
/// `sprop-stereo`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpusFormat {
    /// The writer would like to receive stereo.
    pub stereo: bool,
    /// The writer is likely to send stereo.
    pub sprop_stereo: bool,
    /// The writer can use forward error correction in the packets.
    pub in_band_fec: bool,
    /// The writer would like silence to be left out.
    pub dtx: bool,
    /// Bits a second that the writer wants to receive on average at most.
    pub max_average_bitrate: Option<u32>,
}

impl OpusFormat {
    /// Reads the parameters of all `a=fmtp` values of one payload type; unknown ones are passed
    /// over.
    pub fn parse<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut format = Self::default();
        for (name, value) in parameters {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            let set = value == "1";
            if is("stereo") {
                format.stereo = set;
            } else if is("sprop-stereo") {
                format.sprop_stereo = set;
            } else if is("useinbandfec") {
                format.in_band_fec = set;
            } else if is("usedtx") {
                format.dtx = set;
            } else if is("maxaveragebitrate") {
                format.max_average_bitrate = value.parse().ok().filter(|rate| *rate > 0);
            }
        }
        format
    }
}

/// What is said of one payload type of AAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AacFormat {
    /// How access units stand in the packets.
    pub packing: AacPacking,
    /// Ticks a second, as in `a=rtpmap`.
    pub clock_rate: u32,
    /// Channels as in `a=rtpmap`, which the configuration may contradict.
    pub channels: u8,
    /// `profile-level-id`, where it was said.
    pub profile_level_id: Option<u32>,
    /// `config` as bytes; empty where it was not said.
    pub config: FixedVec<u8, AAC_CONFIG_BYTES>,
}

/// Why a payload type of AAC is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AacFormatError {
    /// mpeg4-generic in another mode than AAC-hbr.
    Mode,
    /// Access units out of their order, or headers with more than size and index.
    Interleaved,
    /// A clock rate that AAC does not have, or none.
    ClockRate,
    /// No `config`, though the packets have none either; or one that is not hexadecimal.
    Config,
    /// MP4A-LATM that says nowhere of what kind its AAC is.
    Kind,
    /// What the configuration describes.
    Stream(AacError),
}

impl From<AacError> for AacFormatError {
    fn from(error: AacError) -> Self {
        Self::Stream(error)
    }
}

impl fmt::Display for AacFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mode => "of mpeg4-generic only the mode AAC-hbr can be relayed",
            Self::Interleaved => "interleaved AAC cannot be relayed",
            Self::ClockRate => "AAC at a clock rate that it does not have",
            Self::Config => "AAC without a readable config",
            Self::Kind => "MP4A-LATM that is not said to be AAC-LC",
            Self::Stream(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for AacFormatError {}

impl AacFormat {
    /// Reads a payload type by its encoding and the parameters of all its `a=fmtp` values; `None`
    /// when it is no AAC.
    pub fn parse<'a>(
        map: &RtpMap<'_>,
        parameters: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<Result<Self, AacFormatError>> {
        if map.encoding.eq_ignore_ascii_case("mpeg4-generic") {
            Some(Parameters::read(parameters).generic(map))
        } else if map.encoding.eq_ignore_ascii_case("MP4A-LATM") {
            Some(Parameters::read(parameters).latm(map))
        } else {
            None
        }
    }

    /// The parameters that an answer repeats, as `a=fmtp` has them.
    pub fn parameters(&self) -> String {
        let mut parts = Vec::new();
        let hex: String = self.config.iter().map(|b| format!("{b:02x}")).collect();
        match &self.packing {
            AacPacking::Generic(generic) => {
                parts.push("streamtype=5".to_owned());
                let level = self.profile_level_id.unwrap_or(1);
                parts.push(format!("profile-level-id={level}"));
                parts.push("mode=AAC-hbr".to_owned());
                parts.push(format!("config={hex}"));
                if let Some(size) = generic.constant_size {
                    parts.push(format!("constantsize={size}"));
                }
                for (name, bits) in [
                    ("sizelength", generic.size_length),
                    ("indexlength", generic.index_length),
                    ("indexdeltalength", generic.index_delta_length),
                ] {
                    if bits > 0 {
                        parts.push(format!("{name}={bits}"));
                    }
                }
            }
            AacPacking::Latm(latm) => {
                if let Some(level) = self.profile_level_id {
                    parts.push(format!("profile-level-id={level}"));
                }
                parts.push("object=2".to_owned());
                parts.push(format!("cpresent={}", u8::from(latm.in_band)));
                if !hex.is_empty() {
                    parts.push(format!("config={hex}"));
                }
            }
        }
        parts.join(";")
    }
}

/// The parameters of both payload formats, as far as they matter.
#[derive(Default)]
struct Parameters {
    mode: Option<bool>,
    config: Option<Result<FixedVec<u8, AAC_CONFIG_BYTES>, AacFormatError>>,
    profile_level_id: Option<u32>,
    object: Option<u8>,
    /// sizeLength, indexLength and indexDeltaLength.
    lengths: [Option<u8>; 3],
    constant_size: Option<u16>,
    interleaved: bool,
    out_of_band: bool,
}

impl Parameters {
    fn read<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut read = Self::default();
        for (name, value) in parameters {
            let value = value.trim_matches('"');
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            // What is not a small number is a length that nobody has.
            let bits = || Some(value.parse().unwrap_or(u8::MAX));
            if is("mode") {
                read.mode = Some(value.eq_ignore_ascii_case("AAC-hbr"));
            } else if is("config") {
                read.config = Some(hexadecimal(value));
            } else if is("profile-level-id") {
                read.profile_level_id = value.parse().ok();
            } else if is("object") {
                read.object = bits();
            } else if is("sizelength") {
                let [size, ..] = &mut read.lengths;
                *size = bits();
            } else if is("indexlength") {
                let [_, index, _] = &mut read.lengths;
                *index = bits();
            } else if is("indexdeltalength") {
                let [.., delta] = &mut read.lengths;
                *delta = bits();
            } else if is("constantsize") {
                read.constant_size = value.parse().ok().filter(|size| *size > 0);
            } else if is("cpresent") {
                read.out_of_band = value == "0";
            } else if [
                "maxdisplacement",
                "de-interleavebuffersize",
                "ctsdeltalength",
                "dtsdeltalength",
                "randomaccessindication",
                "streamstateindication",
                "auxiliarydatasizelength",
            ]
            .into_iter()
            .any(is)
            {
                read.interleaved |= value != "0";
            }
        }
        read
    }

    fn generic(self, map: &RtpMap<'_>) -> Result<AacFormat, AacFormatError> {
        if self.mode != Some(true) {
            return Err(AacFormatError::Mode);
        }
        if self.interleaved {
            return Err(AacFormatError::Interleaved);
        }
        let clock_rate = clock_rate(map)?;
        let [size, index, delta] = match (self.lengths, self.constant_size) {
            // Mandatory in this mode, and always the same; some leave them out.
            ([None, None, None], None) => AAC_HBR_LENGTHS,
            (lengths, _) => lengths.map(Option::unwrap_or_default),
        };
        let sized = self.constant_size.is_some() != (size > 0);
        if !sized || size > 16 || index > 16 || delta > 16 {
            return Err(AacFormatError::Interleaved);
        }
        let config = self.config.ok_or(AacFormatError::Config)??;
        Ok(AacFormat {
            packing: AacPacking::Generic(Mpeg4Generic {
                config: audio_specific_config(&config)?,
                size_length: size,
                index_length: index,
                index_delta_length: delta,
                constant_size: self.constant_size,
            }),
            clock_rate,
            channels: map.channels,
            profile_level_id: self.profile_level_id,
            config,
        })
    }

    fn latm(self, map: &RtpMap<'_>) -> Result<AacFormat, AacFormatError> {
        let clock_rate = clock_rate(map)?;
        let config = self.config.transpose()?;
        let mux = config
            .as_ref()
            .map(|config| stream_mux_config(config))
            .transpose()?;
        if mux.is_none() {
            if self.out_of_band {
                return Err(AacFormatError::Config);
            }
            let is_aac_profile = self
                .profile_level_id
                .is_some_and(|level| AAC_PROFILE_LEVELS.contains(&level));
            match self.object {
                Some(AAC_LC | SBR | PS) => {}
                Some(other) => return Err(AacError::ObjectType(other).into()),
                None if is_aac_profile => {}
                None => return Err(AacFormatError::Kind),
            }
        }
        Ok(AacFormat {
            packing: AacPacking::Latm(Latm {
                config: mux,
                in_band: !self.out_of_band,
                clock_rate,
            }),
            clock_rate,
            channels: map.channels,
            profile_level_id: self.profile_level_id,
            config: config.unwrap_or_default(),
        })
    }
}

fn clock_rate(map: &RtpMap<'_>) -> Result<u32, AacFormatError> {
    map.clock_rate
        .filter(|rate| AAC_CLOCK_RATES.contains(rate))
        .ok_or(AacFormatError::ClockRate)
}

/// The bytes of hexadecimal digits, of which there is an even number.
fn hexadecimal(text: &str) -> Result<FixedVec<u8, AAC_CONFIG_BYTES>, AacFormatError> {
    let mut bytes = FixedVec::new();
    let mut digits = text.chars().map(|digit| digit.to_digit(16));
    while let Some(high) = digits.next() {
        let low = digits.next().flatten();
        let (Some(high), Some(low)) = (high, low) else {
            return Err(AacFormatError::Config);
        };
        let byte = (high << 4 | low) as u8;
        bytes.push(byte).map_err(|_| AacError::TooLong)?;
    }
    if bytes.is_empty() {
        return Err(AacFormatError::Config);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sdp_codec::fmtp_parameters;

    const HBR: &str = "streamtype=5;profile-level-id=41;mode=AAC-hbr;config=1190;sizeLength=13;\
                       indexLength=3;indexDeltaLength=3";

    fn read(map: &str, text: &str) -> Result<AacFormat, AacFormatError> {
        let (_, map) = RtpMap::parse(map).unwrap();
        AacFormat::parse(&map, fmtp_parameters(text)).unwrap()
    }

    fn generic(text: &str) -> Result<AacFormat, AacFormatError> {
        read("97 MPEG4-Generic/48000/2", text)
    }

    #[test]
    fn opus_parameters_are_read_whatever_their_case_and_spacing() {
        let text = "Stereo=1; sprop-stereo=1;useinbandfec=1 ; usedtx=1;maxaveragebitrate=30000;x=y";
        let all = OpusFormat {
            stereo: true,
            sprop_stereo: true,
            in_band_fec: true,
            dtx: true,
            max_average_bitrate: Some(30_000),
        };
        assert_eq!(OpusFormat::parse(fmtp_parameters(text)), all);
        let none = OpusFormat::parse(fmtp_parameters("stereo=2;maxaveragebitrate=-1;usedtx"));
        assert_eq!(none, OpusFormat::default());
    }

    #[test]
    fn the_high_bit_rate_mode_is_read_and_said_again() {
        let format = generic(HBR).unwrap();
        let AacPacking::Generic(packing) = &format.packing else {
            panic!("not generic");
        };
        let bits = (packing.size_length, packing.index_length);
        assert_eq!((bits, packing.index_delta_length), ((13, 3), 3));
        assert_eq!(
            (packing.config.sample_rate, packing.config.channels),
            (48_000, 2)
        );
        assert_eq!((format.clock_rate, format.channels), (48_000, 2));
        assert!(format.parameters().eq_ignore_ascii_case(HBR));
        assert_eq!(generic(&format.parameters()).unwrap(), format);
        // Lengths that are the only possible ones may be left out.
        let short = generic("mode=aac-HBR; config=\"1190\"").unwrap();
        assert_eq!(short.packing, format.packing);
    }

    #[test]
    fn access_units_of_constant_size_have_no_size_in_the_header() {
        let format = generic("mode=AAC-hbr;config=1190;constantSize=371").unwrap();
        let AacPacking::Generic(packing) = &format.packing else {
            panic!("not generic");
        };
        assert_eq!((packing.constant_size, packing.size_length), (Some(371), 0));
        assert!(format.parameters().contains(";constantsize=371"));
        assert!(!format.parameters().contains("length="));
        let both = generic("mode=AAC-hbr;config=1190;constantSize=371;sizelength=13");
        assert_eq!(both, Err(AacFormatError::Interleaved));
    }

    #[test]
    fn other_modes_and_interleaving_are_refused() {
        for mode in ["AAC-lbr", "CELP-cbr", "CELP-vbr", "generic", ""] {
            let got = generic(&HBR.replace("AAC-hbr", mode));
            assert_eq!(got, Err(AacFormatError::Mode), "{mode}");
        }
        assert_eq!(generic("config=1190"), Err(AacFormatError::Mode));
        for more in [
            "maxDisplacement=1024",
            "CTSDeltaLength=22",
            "DTSDeltaLength=22",
            "randomAccessIndication=1",
            "streamStateIndication=8",
            "auxiliaryDataSizeLength=8",
            "sizeLength=400",
            "indexLength=17",
        ] {
            let got = generic(&format!("{HBR};{more}"));
            assert_eq!(got, Err(AacFormatError::Interleaved), "{more}");
        }
        assert!(generic(&format!("{HBR};maxDisplacement=0;constantDuration=1024")).is_ok());
    }

    #[test]
    fn a_configuration_that_cannot_be_relayed_is_refused_with_its_reason() {
        let config = |hex: &str| generic(&HBR.replace("1190", hex));
        for bad in ["", "1", "119", "11zz"] {
            assert_eq!(config(bad), Err(AacFormatError::Config), "{bad}");
        }
        // Channel configuration 6 is 5.1.
        assert_eq!(
            config("11b0"),
            Err(AacFormatError::Stream(AacError::Channels(6)))
        );
        let long = config(&"11".repeat(AAC_CONFIG_BYTES + 1));
        assert_eq!(long, Err(AacFormatError::Stream(AacError::TooLong)));
        for map in [
            "97 mpeg4-generic",
            "97 mpeg4-generic/1",
            "97 mpeg4-generic/4000000000",
        ] {
            assert_eq!(read(map, HBR), Err(AacFormatError::ClockRate), "{map}");
        }
    }

    #[test]
    fn latm_is_in_band_unless_it_says_otherwise() {
        let latm = |text: &str| read("98 mp4a-latm/90000", text);
        for vague in ["", "profile-level-id=1", "bitrate=64000"] {
            assert_eq!(latm(vague), Err(AacFormatError::Kind), "{vague}");
        }
        let low_delay = latm("profile-level-id=24;object=23;bitrate=64000");
        let reason = AacFormatError::Stream(AacError::ObjectType(23));
        assert_eq!(low_delay, Err(reason));
        assert!(latm("object=2").is_ok());
        let in_band = latm("profile-level-id=41").unwrap();
        let AacPacking::Latm(packing) = &in_band.packing else {
            panic!("not LATM");
        };
        assert!(packing.in_band && packing.config.is_none());
        assert_eq!(packing.clock_rate, 90_000);
        assert_eq!(
            in_band.parameters(),
            "profile-level-id=41;object=2;cpresent=1"
        );
        assert_eq!(latm("cpresent=0"), Err(AacFormatError::Config));
        // AAC-LC, 48 kHz, stereo (RFC 6416, section 7.4 has it for other rates).
        let text = "profile-level-id=41;object=2;cpresent=0;config=400023203fc0";
        let out_of_band = latm(text).unwrap();
        let AacPacking::Latm(packing) = &out_of_band.packing else {
            panic!("not LATM");
        };
        assert!(!packing.in_band);
        let config = &packing.config.as_ref().unwrap().config;
        assert_eq!((config.sample_rate, config.channels), (48_000, 2));
        assert_eq!(out_of_band.parameters(), text);
    }

    #[test]
    fn parameters_cut_or_changed_anywhere_are_read_or_refused() {
        let mut rng = crate::base::rng::Rng::from_number(0xaac);
        for map in ["97 mpeg4-generic/48000/2", "98 MP4A-LATM/48000"] {
            for end in 0..HBR.len() {
                let _ = read(map, &HBR[..end]);
            }
            for _ in 0..5_000 {
                let mut bytes = HBR.replace("1190", "400023203fc0").into_bytes();
                for _ in 0..=rng.below(4) {
                    let at = rng.below(bytes.len() as u32) as usize;
                    bytes[at] = b"0123456789abcdef;= -x"[rng.below(21) as usize];
                }
                let text = String::from_utf8(bytes).unwrap();
                if let Ok(format) = read(map, &text) {
                    assert!(format.parameters().len() < 400);
                    assert!(read(map, &format.parameters()).is_ok(), "{text}");
                }
            }
        }
    }
}
