//! AES in counter mode as SRTP uses it (RFC 3711, section 4.1.1; RFC 6188, section 2).
//!
//! The block cipher is the `aes` crate's, which takes the processor's instructions where there are
//! any and constant-time arithmetic where there are none.

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

use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockEncrypt, KeyInit};
use aes::{Aes128Enc, Aes256Enc, Block};

use crate::base::srtp::{KEY_BYTES, SALT_BYTES, Suite};

/// Bytes of one block.
const BLOCK_BYTES: usize = 16;

/// Blocks enciphered at once: what the widest implementation takes side by side.
const BATCH: usize = 8;

/// The first counter block of a packet or of a key; its last two bytes are zero.
pub(super) type Iv = [u8; BLOCK_BYTES];

/// A block cipher under one key.
// Each is in one box with all that goes with it.
#[allow(clippy::large_enum_variant)]
pub(super) enum Cipher {
    Aes128(Aes128Enc),
    Aes256(Aes256Enc),
}

impl Cipher {
    /// The cipher of a suite; one with short keys takes the first half of `key`.
    pub(super) fn new(suite: Suite, key: &[u8; KEY_BYTES]) -> Self {
        match suite {
            Suite::Aes128Tag80 | Suite::Aes128Tag32 => {
                let half: [u8; 16] = key.first_chunk().copied().unwrap_or_default();
                Self::Aes128(Aes128Enc::new(&GenericArray::from(half)))
            }
            Suite::Aes256Tag80 | Suite::Aes256Tag32 => {
                Self::Aes256(Aes256Enc::new(&GenericArray::from(*key)))
            }
        }
    }

    /// Combines `data` with the key stream that begins at `iv`: enciphers and deciphers alike.
    pub(super) fn apply(&self, iv: &Iv, data: &mut [u8]) {
        let mut counter = 0_u16;
        for part in data.chunks_mut(BLOCK_BYTES * BATCH) {
            let mut blocks: [Block; BATCH] = [GenericArray::from(*iv); BATCH];
            let needed = part.len().div_ceil(BLOCK_BYTES);
            let Some(blocks) = blocks.get_mut(..needed) else {
                return;
            };
            for block in blocks.iter_mut() {
                if let Some(end) = block.get_mut(SALT_BYTES..) {
                    end.copy_from_slice(&counter.to_be_bytes());
                }
                // A packet has far fewer blocks than a counter has values.
                counter = counter.wrapping_add(1);
            }
            match self {
                Self::Aes128(cipher) => cipher.encrypt_blocks(blocks),
                Self::Aes256(cipher) => cipher.encrypt_blocks(blocks),
            }
            let stream = blocks.iter().flatten();
            for (byte, key) in part.iter_mut().zip(stream) {
                *byte ^= key;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |two: &[u8]| u8::from_str_radix(core::str::from_utf8(two).unwrap(), 16);
        digits.chunks(2).map(|two| pair(two).unwrap()).collect()
    }

    fn cipher(key: &str) -> Cipher {
        let mut key = bytes(key);
        let suite = match key.len() {
            16 => Suite::Aes128Tag80,
            _ => Suite::Aes256Tag80,
        };
        key.resize(KEY_BYTES, 0);
        Cipher::new(suite, &key.try_into().unwrap())
    }

    fn key_stream(key: &str, iv: &str, blocks: usize) -> Vec<u8> {
        let mut stream = vec![0; blocks * BLOCK_BYTES];
        cipher(key).apply(&bytes(iv).try_into().unwrap(), &mut stream);
        stream
    }

    #[test]
    fn the_key_stream_is_that_of_rfc_3711_appendix_b_2() {
        let stream = key_stream(
            "2B7E151628AED2A6ABF7158809CF4F3C",
            "F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000",
            0xff02 + 1,
        );
        let block = |at: usize| &stream[at * 16..][..16];
        assert_eq!(block(0), bytes("E03EAD0935C95E80E166B16DD92B4EB4"));
        assert_eq!(block(1), bytes("D23513162B02D0F72A43A2FE4A5F97AB"));
        assert_eq!(block(2), bytes("41E95B3BB0A2E8DD477901E4FCA894C0"));
        assert_eq!(block(0xfeff), bytes("EC8CDF7398607CB0F2D21675EA9EA1E4"));
        assert_eq!(block(0xff00), bytes("362B7C3C6773516318A077D7FC5073AE"));
        assert_eq!(block(0xff01), bytes("6A2CC3787889374FBEB4C81B17BA6C44"));
    }

    #[test]
    fn the_key_stream_is_that_of_rfc_6188_section_7_1() {
        let stream = key_stream(
            "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
            "F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000",
            0xff02,
        );
        let block = |at: usize| &stream[at * 16..][..16];
        assert_eq!(block(0), bytes("92bdd28a93c3f52511c677d08b5515a4"));
        assert_eq!(block(1), bytes("9da71b2378a854f67050756ded165bac"));
        assert_eq!(block(2), bytes("63c4868b7096d88421b563b8c94c9a31"));
        assert_eq!(block(0xfeff), bytes("cea518c90fd91ced9cbb18c078a54711"));
        assert_eq!(block(0xff00), bytes("3dbc4814f4da5f00a08772b63c6a046d"));
        assert_eq!(block(0xff01), bytes("6eb246913062a16891433e97dd01a57f"));
    }

    #[test]
    fn any_length_is_combined_with_the_start_of_the_same_stream() {
        let whole = key_stream("2B7E151628AED2A6ABF7158809CF4F3C", &"00".repeat(16), 20);
        let cipher = cipher("2B7E151628AED2A6ABF7158809CF4F3C");
        for len in 0..300 {
            let mut data = vec![0; len];
            cipher.apply(&[0; 16], &mut data);
            assert_eq!(data, whole[..len]);
        }
    }
}
