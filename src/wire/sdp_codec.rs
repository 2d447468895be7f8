//! What `a=rtpmap` and `a=fmtp` say of a payload type: encodings, and the H.264 parameters of
//! RFC 6184, section 8.1.
//!
//! Not read: the `max-*` parameters and everything of the interleaved mode (packetization-mode 2).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::codec::ParameterSet;
use crate::limits::{PARAMETER_SET_BYTES, SDP_SPROP_SETS};

/// Payload type of PCMU (RFC 3551, section 6).
pub const PCMU_PAYLOAD_TYPE: u8 = 0;

/// Payload type of PCMA (RFC 3551, section 6).
pub const PCMA_PAYLOAD_TYPE: u8 = 8;

/// The encoding of one payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpMap<'a> {
    /// Encoding name as written; compared without regard to case.
    pub encoding: &'a str,
    /// Ticks a second, where it is said.
    pub clock_rate: Option<u32>,
    /// Channels; 1 where nothing is said.
    pub channels: u8,
}

impl<'a> RtpMap<'a> {
    /// Reads `<payload type> <encoding>[/<clock rate>[/<channels>]]`.
    pub fn parse(value: &'a str) -> Option<(u8, Self)> {
        let (payload_type, rest) = value.trim().split_once(char::is_whitespace)?;
        let payload_type = payload_type_number(payload_type)?;
        let mut parts = rest.split_whitespace().next()?.split('/');
        let encoding = parts.next().filter(|name| !name.is_empty())?;
        let clock_rate = match parts.next() {
            Some(rate) => Some(rate.parse().ok()?),
            None => None,
        };
        let channels = match parts.next() {
            Some(channels) => channels.parse().ok()?,
            None => 1,
        };
        Some((
            payload_type,
            Self {
                encoding,
                clock_rate,
                channels,
            },
        ))
    }

    /// The encoding of a payload type that has one without being told (RFC 3551, section 6); also of
    /// those that are not relayed, so that a refusal can name them.
    pub const fn fixed(payload_type: u8) -> Option<RtpMap<'static>> {
        let (encoding, clock_rate) = match payload_type {
            PCMU_PAYLOAD_TYPE => ("PCMU", 8_000),
            PCMA_PAYLOAD_TYPE => ("PCMA", 8_000),
            3 => ("GSM", 8_000),
            4 => ("G723", 8_000),
            9 => ("G722", 8_000),
            10 | 11 => ("L16", 44_100),
            13 => ("CN", 8_000),
            15 => ("G728", 8_000),
            18 => ("G729", 8_000),
            34 => ("H263", 90_000),
            _ => return None,
        };
        Some(RtpMap {
            encoding,
            clock_rate: Some(clock_rate),
            channels: 1,
        })
    }

    /// Whether it is this single-channel encoding at this clock rate; an unsaid rate fits.
    pub fn is(&self, encoding: &str, clock_rate: u32) -> bool {
        self.clock_rate.is_none_or(|rate| rate == clock_rate)
            && self.encoding.eq_ignore_ascii_case(encoding)
            && self.channels == 1
    }

    /// Whether it is this encoding at exactly this clock rate and number of channels.
    pub fn is_of(&self, encoding: &str, clock_rate: u32, channels: u8) -> bool {
        self.clock_rate == Some(clock_rate)
            && self.encoding.eq_ignore_ascii_case(encoding)
            && self.channels == channels
    }
}

/// A payload type as a number below 128.
pub fn payload_type_number(text: &str) -> Option<u8> {
    text.parse().ok().filter(|number| *number < 128)
}

/// What is said of one H.264 payload type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct H264Format {
    /// How NAL units are packed: 0, or 1 with aggregation and fragments. Others are not relayed.
    pub packetization_mode: u8,
    /// Whether the mode was written out.
    pub packetization_mode_said: bool,
    /// Profile, constraint flags and level, where they were said and legible.
    pub profile_level_id: Option<[u8; 3]>,
    /// The same as it was written, for an answer that repeats it.
    pub profile_level_id_text: Option<String>,
    /// Whether either side may send at a level of its own.
    pub level_asymmetry_allowed: bool,
    /// Sequence and picture parameter sets, each a NAL unit without start code.
    pub sprop: Vec<ParameterSet>,
}

impl H264Format {
    /// Reads the parameters of all `a=fmtp` values of one payload type.
    pub fn parse<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut format = Self::default();
        for (name, value) in parameters {
            if name.eq_ignore_ascii_case("packetization-mode") {
                // What is not a small number is a mode that nobody knows.
                format.packetization_mode = value.parse().unwrap_or(u8::MAX);
                format.packetization_mode_said = true;
            } else if name.eq_ignore_ascii_case("profile-level-id") {
                format.profile_level_id = profile_level_id(value);
                format.profile_level_id_text = format.profile_level_id.map(|_| value.to_owned());
            } else if name.eq_ignore_ascii_case("level-asymmetry-allowed") {
                format.level_asymmetry_allowed = value == "1";
            } else if name.eq_ignore_ascii_case("sprop-parameter-sets") && format.sprop.is_empty() {
                format.sprop = sprop_parameter_sets(value);
            }
        }
        format
    }
}

/// The parameters of one `a=fmtp` text after the payload type: `name=value` or `name`, separated by
/// semicolons.
pub fn fmtp_parameters(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.split_once('=')
                .map_or((part, ""), |(name, value)| (name.trim(), value.trim()))
        })
}

/// Six hexadecimal digits.
fn profile_level_id(text: &str) -> Option<[u8; 3]> {
    if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let [_, bytes @ ..] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
    Some(bytes)
}

/// The parameter sets of a comma-separated base64 list. What is illegible, too long, or no parameter
/// set is left out: the stream itself brings them too.
fn sprop_parameter_sets(text: &str) -> Vec<ParameterSet> {
    text.split(',')
        .filter_map(|part| base64(part.trim()))
        .filter(|set| set.len() > 1 && set.first().is_some_and(|head| is_parameter_set(*head)))
        .take(SDP_SPROP_SETS)
        .collect()
}

/// Whether a NAL unit header byte is that of an SPS (7) or PPS (8).
const fn is_parameter_set(header: u8) -> bool {
    header & 0x80 == 0 && matches!(header & 0x1f, 7 | 8)
}

/// Base64 (RFC 4648, section 4), padding optional; `None` when illegible or longer than a set may be.
fn base64(text: &str) -> Option<ParameterSet> {
    let mut bytes = heapless::Vec::<u8, PARAMETER_SET_BYTES>::new();
    let mut bits = 0_u32;
    let mut held = 0_u8;
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit.wrapping_sub(b'A'),
            b'a'..=b'z' => digit.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => digit.wrapping_sub(b'0').wrapping_add(52),
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held = held.wrapping_add(6);
        if held >= 8 {
            held = held.wrapping_sub(8);
            bytes.push((bits >> held) as u8).ok()?;
        }
    }
    // A single digit left over is no byte.
    if held >= 6 {
        return None;
    }
    ParameterSet::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(text: &str) -> H264Format {
        H264Format::parse(fmtp_parameters(text))
    }

    #[test]
    fn an_rtpmap_says_name_rate_and_channels() {
        let (number, map) = RtpMap::parse("96 opus/48000/2").unwrap();
        assert_eq!(
            (number, map.encoding, map.clock_rate, map.channels),
            (96, "opus", Some(48_000), 2)
        );
        let (_, map) = RtpMap::parse("97  h264/90000 ").unwrap();
        assert!(map.is("H264", 90_000));
        assert!(!RtpMap::parse("8 PCMA/16000").unwrap().1.is("PCMA", 8_000));
        assert!(!RtpMap::parse("8 PCMA/8000/2").unwrap().1.is("PCMA", 8_000));
        assert!(RtpMap::parse("8 PCMA").unwrap().1.is("PCMA", 8_000));
        for bad in [
            "",
            "96",
            "96 ",
            "128 H264/90000",
            "x H264/90000",
            "96 /90000",
            "96 H264/x",
        ] {
            assert_eq!(RtpMap::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn h264_parameters_are_read_whatever_their_case_and_spacing() {
        let read =
            format("Profile-Level-ID=42E01f; packetization-mode = 1 ;level-asymmetry-allowed=1;");
        assert_eq!(read.packetization_mode, 1);
        assert_eq!(read.profile_level_id, Some([0x42, 0xe0, 0x1f]));
        assert_eq!(read.profile_level_id_text.as_deref(), Some("42E01f"));
        assert!(read.level_asymmetry_allowed);
        let unsaid = format("max-fs=1");
        assert_eq!(
            (unsaid.packetization_mode, unsaid.packetization_mode_said),
            (0, false)
        );
        assert_eq!(format("packetization-mode=yes").packetization_mode, 255);
        assert_eq!(format("profile-level-id=+2e01f").profile_level_id, None);
        assert_eq!(format("profile-level-id=42e01").profile_level_id_text, None);
    }

    #[test]
    fn sprop_sets_are_decoded_and_others_left_out() {
        let read = format("sprop-parameter-sets=Z0IAHpWoKA9k,aM48gA==,AAAA,,*,Zw,Q");
        assert_eq!(read.sprop.len(), 2);
        assert_eq!(
            read.sprop[0].as_slice(),
            [0x67, 0x42, 0, 0x1e, 0x95, 0xa8, 0x28, 0x0f, 0x64]
        );
        assert_eq!(read.sprop[1].as_slice(), [0x68, 0xce, 0x3c, 0x80]);
    }

    #[test]
    fn sprop_sets_are_bounded_in_number_and_length() {
        let many = format!("sprop-parameter-sets={}", ["Z0IAHpWoKA9k"; 40].join(","));
        assert_eq!(format(&many).sprop.len(), SDP_SPROP_SETS);
        let long = format!("sprop-parameter-sets=Z{},aM48gA==", "A".repeat(1_400));
        assert_eq!(format(&long).sprop.len(), 1);
    }
}
