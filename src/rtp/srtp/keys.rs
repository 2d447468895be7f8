//! Session keys from a master key (RFC 3711, section 4.3, with a key derivation rate of zero).

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

use ring::hmac;

use crate::base::srtp::{KEY_BYTES, MasterKey, SALT_BYTES, Suite};
use crate::rtp::srtp::cipher::{Cipher, Iv};

/// Bytes of an authentication key.
const AUTH_BYTES: usize = 20;

/// What keys are derived for.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Rtp,
    Rtcp,
}

impl Use {
    /// The labels of cipher key, authentication key and salt (RFC 3711, section 4.3.2).
    const fn labels(self) -> [u8; 3] {
        match self {
            Self::Rtp => [0, 1, 2],
            Self::Rtcp => [3, 4, 5],
        }
    }
}

/// Derived keys as bytes: a sixth of the memory that they take when they are in use.
#[derive(Clone)]
pub(super) struct DerivedKeys {
    suite: Suite,
    /// A short key is the first half of it.
    cipher: [u8; KEY_BYTES],
    auth: [u8; AUTH_BYTES],
    salt: [u8; SALT_BYTES],
}

impl DerivedKeys {
    /// The keys of a master key for one use.
    pub(super) fn new(master: &MasterKey, of: Use) -> Self {
        let (suite, salt) = (master.suite(), master.salt());
        let generator = Cipher::new(suite, &master.key());
        let mut keys = Self {
            suite,
            cipher: [0; KEY_BYTES],
            auth: [0; AUTH_BYTES],
            salt: [0; SALT_BYTES],
        };
        let [cipher_label, auth_label, salt_label] = of.labels();
        generator.apply(&key_iv(&salt, cipher_label), &mut keys.cipher);
        generator.apply(&key_iv(&salt, auth_label), &mut keys.auth);
        generator.apply(&key_iv(&salt, salt_label), &mut keys.salt);
        keys
    }

    /// The keys ready for use.
    pub(super) fn expand(&self) -> SessionKeys {
        SessionKeys {
            cipher: Cipher::new(self.suite, &self.cipher),
            auth: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.auth),
            salt: self.salt,
        }
    }
}

/// Keys in use. About 1.2 KiB.
pub(super) struct SessionKeys {
    cipher: Cipher,
    auth: hmac::Key,
    salt: [u8; SALT_BYTES],
}

impl SessionKeys {
    /// Enciphers or deciphers what has this source and index (RFC 3711, section 4.1.1).
    pub(super) fn apply(&self, ssrc: u32, index: u64, data: &mut [u8]) {
        let mut iv = widen(&self.salt);
        let [_, _, index @ ..] = index.to_be_bytes();
        let places = iv.iter_mut().skip(4);
        let mask = ssrc.to_be_bytes().into_iter().chain(index);
        for (byte, mask) in places.zip(mask) {
            *byte ^= mask;
        }
        self.cipher.apply(&iv, data);
    }

    /// The tag of some bytes and what follows them, whole (RFC 3711, section 4.2).
    pub(super) fn tag(&self, bytes: &[u8], then: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.auth);
        context.update(bytes);
        context.update(then);
        context.sign()
    }
}

/// Whether the tag of a packet is the start of the right one; takes the same time wherever they
/// differ.
pub(super) fn is_tag(right: &hmac::Tag, of_packet: &[u8]) -> bool {
    let pairs = right.as_ref().iter().zip(of_packet);
    let differ = pairs.fold(0, |differ, (one, other)| {
        core::hint::black_box(differ | (one ^ other))
    });
    differ == 0 && !of_packet.is_empty() && of_packet.len() <= right.as_ref().len()
}

/// Where the key stream of a label begins (RFC 3711, section 4.3.1).
fn key_iv(salt: &[u8; SALT_BYTES], label: u8) -> Iv {
    let mut iv = widen(salt);
    if let Some(byte) = iv.get_mut(7) {
        *byte ^= label;
    }
    iv
}

/// A salt times 2^16.
fn widen(salt: &[u8; SALT_BYTES]) -> Iv {
    let mut iv = [0; 16];
    if let Some(start) = iv.first_chunk_mut() {
        *start = *salt;
    }
    iv
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |two: &[u8]| u8::from_str_radix(core::str::from_utf8(two).unwrap(), 16);
        digits.chunks(2).map(|two| pair(two).unwrap()).collect()
    }

    fn derived(suite: Suite, key: &str, salt: &str) -> DerivedKeys {
        let master = MasterKey::new(suite, &bytes(&format!("{key}{salt}"))).unwrap();
        DerivedKeys::new(&master, Use::Rtp)
    }

    #[test]
    fn keys_are_derived_as_in_rfc_3711_appendix_b_3() {
        let keys = derived(
            Suite::Aes128Tag80,
            "E1F97A0D3E018BE0D64FA32C06DE4139",
            "0EC675AD498AFEEBB6960B3AABE6",
        );
        assert_eq!(keys.cipher[..16], bytes("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(keys.salt[..], bytes("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(
            keys.auth[..],
            bytes("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4")
        );
    }

    #[test]
    fn keys_are_derived_as_in_rfc_6188_section_7_2() {
        let keys = derived(
            Suite::Aes256Tag80,
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6",
            "3b04803de51ee7c96423ab5b78d2",
        );
        assert_eq!(
            keys.cipher[..],
            bytes("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4")
        );
        assert_eq!(keys.salt[..], bytes("fa31791685ca444a9e07c6c64e93"));
        assert_eq!(
            keys.auth[..],
            bytes("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05")
        );
    }

    #[test]
    fn the_keys_of_rtp_and_rtcp_have_nothing_in_common() {
        for suite in Suite::ALL {
            let master = MasterKey::new(suite, &vec![3; suite.master_bytes()]).unwrap();
            let rtp = DerivedKeys::new(&master, Use::Rtp);
            let rtcp = DerivedKeys::new(&master, Use::Rtcp);
            assert_ne!(rtp.cipher, rtcp.cipher);
            assert_ne!(rtp.auth, rtcp.auth);
            assert_ne!(rtp.salt, rtcp.salt);
        }
    }

    #[test]
    fn a_tag_is_compared_up_to_its_own_length() {
        let master = MasterKey::new(Suite::Aes128Tag80, &[9; 30]).unwrap();
        let keys = DerivedKeys::new(&master, Use::Rtp);
        let right = keys.expand().tag(b"some", b"thing");
        for len in 1..=right.as_ref().len() {
            let mut tag = right.as_ref()[..len].to_vec();
            assert!(is_tag(&right, &tag));
            tag[len - 1] ^= 1;
            assert!(!is_tag(&right, &tag));
        }
        assert!(!is_tag(&right, &[]));
        assert!(!is_tag(&right, &[right.as_ref(), &[0]].concat()));
    }
}
