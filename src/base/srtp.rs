//! Protection of media as a trunk asks for it and a call agrees on it: what SDP says and RTP does.
//!
//! The suites of SDES (RFC 4568, section 6.2, and RFC 6188, section 4), master keys with their
//! salts, and the policy of a trunk. Only AES in counter mode with HMAC-SHA1 is known: no F8, no
//! AES-GCM (RFC 7714), no keys from DTLS.

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
use core::str::FromStr;

use crate::base::redact::HIDDEN;
use crate::base::rng::Rng;

/// Bytes of a master salt, in every suite.
pub const SALT_BYTES: usize = 14;

/// Bytes of the longest key, without salt.
pub const KEY_BYTES: usize = 32;

/// Bytes of the longest master key with its salt.
pub const MASTER_BYTES: usize = KEY_BYTES + SALT_BYTES;

/// When a trunk's calls have their media protected by SRTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SrtpPolicy {
    /// Never: what is offered with SRTP only is refused.
    Off,
    /// Where it is offered and the keys come over TLS; else media is in the clear, or refused where
    /// it is offered with SRTP only.
    #[default]
    Tls,
    /// Where it is offered, also where the keys can be read on their way.
    Optional,
    /// Always: media in the clear is refused, and our own offers ask for SRTP.
    Required,
}

impl SrtpPolicy {
    /// Every policy.
    pub const ALL: [Self; 4] = [Self::Off, Self::Tls, Self::Optional, Self::Required];

    /// The word for it in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Tls => "tls",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

impl fmt::Display for SrtpPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no policy; prints as what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPolicy;

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("off, tls, optional or required")
    }
}

impl FromStr for SrtpPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let mut all = Self::ALL.into_iter();
        all.find(|policy| policy.name() == text)
            .ok_or(UnknownPolicy)
    }
}

/// A crypto suite: cipher and authentication of SRTP, and the lengths that go with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES-128 in counter mode, authentication tags of 80 bits.
    Aes128Tag80,
    /// AES-128 in counter mode, tags of 32 bits on RTP and 80 bits on RTCP.
    Aes128Tag32,
    /// AES-256 in counter mode, tags of 80 bits.
    Aes256Tag80,
    /// AES-256 in counter mode, tags of 32 bits on RTP and 80 bits on RTCP.
    Aes256Tag32,
}

impl Suite {
    /// Every suite, in the order of our offers: what everybody knows first, long tags before short.
    pub const ALL: [Self; 4] = [
        Self::Aes128Tag80,
        Self::Aes256Tag80,
        Self::Aes128Tag32,
        Self::Aes256Tag32,
    ];

    /// Its name in `a=crypto`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes128Tag32 => "AES_CM_128_HMAC_SHA1_32",
            Self::Aes256Tag80 => "AES_256_CM_HMAC_SHA1_80",
            Self::Aes256Tag32 => "AES_256_CM_HMAC_SHA1_32",
        }
    }

    /// The suite of a name, whatever its case.
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of its keys, without salt.
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Tag80 | Self::Aes128Tag32 => 16,
            Self::Aes256Tag80 | Self::Aes256Tag32 => 32,
        }
    }

    /// Bytes of a master key with its salt.
    pub const fn master_bytes(self) -> usize {
        self.key_bytes().saturating_add(SALT_BYTES)
    }

    /// Bytes of the authentication tag of an RTP packet; those of RTCP have 10 in every suite.
    pub const fn tag_bytes(self) -> usize {
        match self {
            Self::Aes128Tag80 | Self::Aes256Tag80 => 10,
            Self::Aes128Tag32 | Self::Aes256Tag32 => 4,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A master key and its salt, for one suite. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    suite: Suite,
    bytes: [u8; MASTER_BYTES],
}

impl MasterKey {
    /// The key whose bytes, followed by those of the salt, are `bytes`; `None` for another length
    /// than the suite has.
    pub fn new(suite: Suite, bytes: &[u8]) -> Option<Self> {
        let mut key = Self {
            suite,
            bytes: [0; MASTER_BYTES],
        };
        if bytes.len() != suite.master_bytes() {
            return None;
        }
        key.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(key)
    }

    /// A new key. The source is a stream cipher that the system seeds, so keys tell nothing of each
    /// other.
    pub fn random(suite: Suite, rng: &mut Rng) -> Self {
        let mut key = Self {
            suite,
            bytes: [0; MASTER_BYTES],
        };
        if let Some(bytes) = key.bytes.get_mut(..suite.master_bytes()) {
            rng.fill(bytes);
        }
        key
    }

    /// The suite it is for.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The key alone, with zeros behind a short one.
    pub fn key(&self) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        let bytes = self.expose().iter().take(self.suite.key_bytes());
        for (place, byte) in key.iter_mut().zip(bytes) {
            *place = *byte;
        }
        key
    }

    /// The salt alone.
    pub fn salt(&self) -> [u8; SALT_BYTES] {
        self.expose().last_chunk().copied().unwrap_or_default()
    }

    /// Key and salt, one after the other. Every use is a place to look at when a key leaks.
    pub fn expose(&self) -> &[u8] {
        let length = self.suite.master_bytes();
        self.bytes.get(..length).unwrap_or_default()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {HIDDEN}", self.suite)
    }
}

/// The identifier that a sender appends to its packets to say which key they are under (RFC 3711,
/// section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mki {
    /// Its value.
    pub value: u32,
    /// Its length in a packet: 1 to 4 bytes.
    pub len: u8,
}

/// The keys of both directions of a media line, and what is done with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrtpKeys {
    /// What we protect with.
    pub local: MasterKey,
    /// What the other side protects with; of the same suite.
    pub remote: MasterKey,
    /// The identifier in the other side's packets, where they have one. Ours never have.
    pub remote_mki: Option<Mki>,
}

impl SrtpKeys {
    /// The suite of both directions.
    pub const fn suite(&self) -> Suite {
        self.local.suite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_and_suites_are_known_by_their_names() {
        for policy in SrtpPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!("TLS".parse::<SrtpPolicy>(), Err(UnknownPolicy));
        assert_eq!(SrtpPolicy::default(), SrtpPolicy::Tls);
        for suite in Suite::ALL {
            assert_eq!(Suite::from_name(suite.name()), Some(suite));
        }
        assert_eq!(Suite::from_name("F8_128_HMAC_SHA1_80"), None);
    }

    #[test]
    fn a_key_has_the_length_of_its_suite() {
        for suite in Suite::ALL {
            for len in 0..=64 {
                let key = MasterKey::new(suite, &[7; 64][..len]);
                assert_eq!(key.is_some(), len == suite.master_bytes());
            }
        }
    }

    #[test]
    fn random_keys_differ_and_are_not_printed() {
        let mut rng = Rng::from_number(1);
        let one = MasterKey::random(Suite::Aes256Tag80, &mut rng);
        let two = MasterKey::random(Suite::Aes256Tag80, &mut rng);
        assert_ne!(one, two);
        assert_eq!(one.expose(), [&one.key()[..], &one.salt()].concat());
        let short = MasterKey::new(Suite::Aes128Tag32, &[7; 30]).unwrap();
        assert_eq!((short.key()[15], short.key()[16]), (7, 0));
        assert!(one.expose().iter().any(|byte| *byte != 0));
        assert_eq!(format!("{one:?}"), "AES_256_CM_HMAC_SHA1_80 ***");
        let keys = SrtpKeys {
            remote: two.clone(),
            local: one,
            remote_mki: None,
        };
        let shown = format!("{keys:?}");
        assert!(!shown.contains(&format!("{:?}", two.expose())) && shown.contains("***"));
    }
}
