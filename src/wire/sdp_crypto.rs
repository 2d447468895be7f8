//! `a=crypto` lines: keys for SRTP in a session description (RFC 4568; RFC 6188 for AES-256).
//!
//! Taken are the suites of [`Suite`], the key method `inline` with one key, a lifetime, and an MKI
//! of up to four bytes. Of the session parameters, `WSH` is a hint that changes nothing here, and
//! those marked as optional with `-` are passed over. All others would change the protection
//! (`KDR`, `FEC_ORDER`, `FEC_KEY`, `UNENCRYPTED_SRTP`, `UNENCRYPTED_SRTCP`, `UNAUTHENTICATED_SRTP`)
//! or are unknown; each makes its line one that is not taken (section 6.3.7).
//!
//! A lifetime is read and checked, not kept count of: who chose the key is to change it in time.

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

use crate::base::srtp::{MASTER_BYTES, MasterKey, Mki, Suite};

/// The largest tag there is: nine digits.
const LAST_TAG: u32 = 999_999_999;

/// The longest lifetime of a key: the packets that SRTP can number.
const LONGEST_LIFETIME: u64 = 1 << 48;

/// The longest MKI that is taken, in bytes.
const MKI_BYTES: u8 = 4;

/// One usable `a=crypto` line. Its key is never printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CryptoLine {
    /// The number that an answer refers to it by.
    pub tag: u32,
    /// What its writer protects with; tells the suite.
    pub key: MasterKey,
    /// Packets that the key is good for, where the line says so.
    pub lifetime: Option<u64>,
    /// The identifier in the packets of its writer, where they have one.
    pub mki: Option<Mki>,
}

/// Why an `a=crypto` line cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CryptoError {
    /// Not tag, suite and key parameters.
    Form,
    /// A suite that is not implemented.
    Suite,
    /// A key method other than `inline`.
    Method,
    /// More than one key.
    SeveralKeys,
    /// A key that is not base64, or not as long as the suite has it.
    Key,
    /// No number of packets, or one above 2^48.
    Lifetime,
    /// An MKI of no bytes, of more than four, or too large for its length.
    Mki,
    /// A session parameter that would change the protection, or is unknown.
    Parameter,
}

impl fmt::Display for CryptoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "unreadable a=crypto line",
            Self::Suite => "crypto suite not available",
            Self::Method => "key method other than inline",
            Self::SeveralKeys => "several keys in one a=crypto line",
            Self::Key => "key unreadable or of another length than its suite has",
            Self::Lifetime => "impossible key lifetime",
            Self::Mki => "key identifier not available",
            Self::Parameter => "session parameter of a=crypto not available",
        })
    }
}

impl core::error::Error for CryptoError {}

impl CryptoLine {
    /// Reads the value of an attribute, what follows `a=crypto:`.
    ///
    /// # Errors
    ///
    /// A [`CryptoError`]; the line is then to be passed over.
    pub fn parse(value: &str) -> Result<Self, CryptoError> {
        let mut fields = value.split_ascii_whitespace();
        let tag = fields.next().and_then(number).ok_or(CryptoError::Form)?;
        let suite = fields.next().ok_or(CryptoError::Form)?;
        let parameters = fields.next().ok_or(CryptoError::Form)?;
        let tag = u32::try_from(tag).ok().filter(|tag| *tag <= LAST_TAG);
        let suite = Suite::from_name(suite).ok_or(CryptoError::Suite)?;
        if parameters.contains(';') {
            return Err(CryptoError::SeveralKeys);
        }
        let (method, info) = parameters.split_once(':').ok_or(CryptoError::Form)?;
        if !method.eq_ignore_ascii_case("inline") {
            return Err(CryptoError::Method);
        }
        let mut info = info.split('|');
        let mut line = Self {
            tag: tag.ok_or(CryptoError::Form)?,
            key: info
                .next()
                .and_then(|text| key(suite, text))
                .ok_or(CryptoError::Key)?,
            lifetime: None,
            mki: None,
        };
        for part in info {
            match part.split_once(':') {
                _ if line.mki.is_some() => return Err(CryptoError::Form),
                Some(of_key) => line.mki = Some(mki(of_key).ok_or(CryptoError::Mki)?),
                None if line.lifetime.is_some() => return Err(CryptoError::Form),
                None => line.lifetime = Some(lifetime(part).ok_or(CryptoError::Lifetime)?),
            }
        }
        for parameter in fields {
            let name = parameter
                .split_once('=')
                .map_or(parameter, |(name, _)| name);
            if !name.starts_with('-') && !name.eq_ignore_ascii_case("WSH") {
                return Err(CryptoError::Parameter);
            }
        }
        Ok(line)
    }
}

/// The value of an attribute with a key of ours: no lifetime, no MKI, no session parameters. It is
/// secret.
pub fn crypto_value(tag: u32, key: &MasterKey) -> String {
    let mut text = format!("{tag} {} inline:", key.suite());
    for group in key.expose().chunks(3) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let missing = 3_usize.saturating_sub(group.len());
        let bits = match missing {
            0 => bits,
            1 => bits << 8,
            _ => bits << 16,
        };
        let digits = [18, 12, 6, 0].map(|shift| digit((bits >> shift) as u8 & 63));
        let count = 4_usize.saturating_sub(missing);
        text.extend(digits.iter().take(count));
        text.extend(core::iter::repeat_n('=', missing));
    }
    text
}

/// A decimal number without sign.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A number of packets, also as a power of two.
fn lifetime(text: &str) -> Option<u64> {
    let packets = match text.strip_prefix("2^") {
        Some(power) => 1_u64.checked_shl(u32::try_from(number(power)?).ok()?)?,
        None => number(text)?,
    };
    (1..=LONGEST_LIFETIME).contains(&packets).then_some(packets)
}

fn mki((value, len): (&str, &str)) -> Option<Mki> {
    let value = u32::try_from(number(value)?).ok()?;
    let len = u8::try_from(number(len)?).ok()?;
    let has_room = (1..=MKI_BYTES).contains(&len)
        && value
            .checked_shr(u32::from(len).saturating_mul(8))
            .unwrap_or(0)
            == 0;
    has_room.then_some(Mki { value, len })
}

/// A key and its salt in base64 (RFC 4648, section 4), padding optional.
fn key(suite: Suite, text: &str) -> Option<MasterKey> {
    let mut bytes = [0; MASTER_BYTES];
    let mut places = bytes.iter_mut().take(suite.master_bytes());
    let (mut bits, mut held) = (0_u32, 0_u32);
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
        held = held.saturating_add(6);
        if held >= 8 {
            held = held.saturating_sub(8);
            *places.next()? = (bits >> held) as u8;
        }
    }
    // What is left of a byte may only be padding.
    if places.next().is_some() || held >= 6 {
        return None;
    }
    MasterKey::new(suite, bytes.get(..suite.master_bytes())?)
}

/// A digit of base64.
const fn digit(value: u8) -> char {
    let byte = match value {
        0..=25 => b'A'.wrapping_add(value),
        26..=51 => b'a'.wrapping_add(value.wrapping_sub(26)),
        52..=61 => b'0'.wrapping_add(value.wrapping_sub(52)),
        62 => b'+',
        _ => b'/',
    };
    byte as char
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    const KEY: &str = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";

    fn parse(rest: &str) -> Result<CryptoLine, CryptoError> {
        CryptoLine::parse(
            &rest
                .replace("KEY", KEY)
                .replace("S80", "AES_CM_128_HMAC_SHA1_80"),
        )
    }

    #[test]
    fn the_line_of_rfc_4568_is_read() {
        let line = parse("1 S80 inline:KEY|2^20|1:4").unwrap();
        assert_eq!(line.tag, 1);
        assert_eq!(line.key.suite(), Suite::Aes128Tag80);
        assert_eq!(line.key.expose()[..4], [0x3d, 0x2d, 0x6e, 0x40]);
        assert_eq!(line.lifetime, Some(1 << 20));
        assert_eq!(line.mki, Some(Mki { value: 1, len: 4 }));
        assert!(!format!("{line:?}").contains("61, 45, 110"));
    }

    #[test]
    fn what_may_be_left_out_may_be() {
        let line = parse(
            "007  s80 INLINE:KEY"
                .replace("s80", "aes_cm_128_hmac_sha1_80")
                .as_str(),
        );
        let line = line.unwrap();
        assert_eq!((line.tag, line.lifetime, line.mki), (7, None, None));
        let line = parse("1 S80 inline:KEY|1:1").unwrap();
        assert_eq!(
            (line.lifetime, line.mki.map(|mki| mki.len)),
            (None, Some(1))
        );
        let line = parse("1 S80 inline:KEY|1000 WSH=64 -future=x").unwrap();
        assert_eq!(line.lifetime, Some(1_000));
    }

    #[test]
    fn what_cannot_be_done_refuses_the_line_and_says_why() {
        for (text, error) in [
            ("", CryptoError::Form),
            ("x S80 inline:KEY", CryptoError::Form),
            ("-1 S80 inline:KEY", CryptoError::Form),
            ("1000000000 S80 inline:KEY", CryptoError::Form),
            ("1 S80", CryptoError::Form),
            ("1 S80 KEY", CryptoError::Form),
            ("1 S80 inline:KEY|2^20|1:4|2", CryptoError::Form),
            ("1 S80 inline:KEY|2^20|2^20", CryptoError::Form),
            ("1 F8_128_HMAC_SHA1_80 inline:KEY", CryptoError::Suite),
            ("1 AEAD_AES_128_GCM inline:KEY", CryptoError::Suite),
            ("1 S80 uri:KEY", CryptoError::Method),
            (
                "1 S80 inline:KEY|1:1;inline:KEY|2:1",
                CryptoError::SeveralKeys,
            ),
            ("1 S80 inline:KEYA", CryptoError::Key),
            ("1 S80 inline:KEYAA", CryptoError::Key),
            ("1 S80 inline:", CryptoError::Key),
            ("1 S80 inline:!KEY", CryptoError::Key),
            ("1 AES_256_CM_HMAC_SHA1_80 inline:KEY", CryptoError::Key),
            ("1 S80 inline:KEY|", CryptoError::Lifetime),
            ("1 S80 inline:KEY|0", CryptoError::Lifetime),
            ("1 S80 inline:KEY|2^49", CryptoError::Lifetime),
            ("1 S80 inline:KEY|2^99999999999", CryptoError::Lifetime),
            ("1 S80 inline:KEY|1:0", CryptoError::Mki),
            ("1 S80 inline:KEY|1:128", CryptoError::Mki),
            ("1 S80 inline:KEY|256:1", CryptoError::Mki),
            ("1 S80 inline:KEY UNENCRYPTED_SRTP", CryptoError::Parameter),
            ("1 S80 inline:KEY UNENCRYPTED_SRTCP", CryptoError::Parameter),
            (
                "1 S80 inline:KEY UNAUTHENTICATED_SRTP",
                CryptoError::Parameter,
            ),
            ("1 S80 inline:KEY KDR=1", CryptoError::Parameter),
            (
                "1 S80 inline:KEY FEC_ORDER=FEC_SRTP",
                CryptoError::Parameter,
            ),
            ("1 S80 inline:KEY FUTURE", CryptoError::Parameter),
        ] {
            assert_eq!(parse(text).map(|line| line.tag), Err(error), "{text}");
        }
    }

    #[test]
    fn our_lines_are_read_back_in_every_suite() {
        let mut rng = Rng::from_number(3);
        for suite in Suite::ALL {
            for tag in [1, 2, LAST_TAG] {
                let key = MasterKey::random(suite, &mut rng);
                let text = crypto_value(tag, &key);
                let line = CryptoLine::parse(&text).unwrap();
                assert_eq!((line.tag, &line.key), (tag, &key));
                // Some leave the padding out.
                let bare = CryptoLine::parse(text.trim_end_matches('=')).unwrap();
                assert_eq!(bare.key, key);
            }
        }
        let known = parse("1 S80 inline:KEY").unwrap();
        let text = "1 AES_CM_128_HMAC_SHA1_80 inline:".to_owned() + KEY;
        assert_eq!(crypto_value(1, &known.key), text);
    }

    #[test]
    fn nothing_that_is_cut_short_or_garbled_panics() {
        let mut rng = Rng::from_number(9);
        let whole = "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20|1:4 WSH=64".replace("KEY", KEY);
        for len in 0..whole.len() {
            let _ = CryptoLine::parse(&whole[..len]);
        }
        for _ in 0..5_000 {
            let mut bytes = whole.clone().into_bytes();
            for _ in 0..=rng.below(5) {
                let at = rng.below(bytes.len() as u32) as usize;
                bytes[at] = (rng.u32() & 127) as u8;
            }
            let text = String::from_utf8(bytes).unwrap();
            if let Ok(line) = CryptoLine::parse(&text) {
                assert!(line.tag <= LAST_TAG && line.key.suite() == Suite::Aes128Tag80);
            }
        }
    }
}
