//! Hashes of the page's password: Argon2id (RFC 9106), in the PHC string format.
//!
//! The parameters are such that a small board takes a fraction of a second and little memory, which
//! the memory budget holds once: one password is worked on at a time. Hashes of other parameters are
//! verified as long as they cost no more memory and not much more time.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use argon2::{Algorithm, Argon2, Params, Version};
use ring::hmac;

use super::sys;
use crate::base::redact::Secret;
use crate::gateway::desk::DeskAnswer;
use crate::limits::PASSWORD_HASH_KIB;
use crate::wire::http_auth::{from_base64, to_base64};

/// Passes over the memory.
const PASSES: u32 = 5;

/// Passes that a hash of somebody else may ask for.
const PASSES_MAX: u32 = 20;

/// Bytes of a salt, and of a hash.
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// The hash of a password, with a salt of its own.
pub fn hash(password: &Secret<String>) -> DeskAnswer {
    let mut salt = [0; SALT_BYTES];
    if let Err(error) = sys::random(&mut salt) {
        return DeskAnswer::Failed(format!("no random numbers: {error}"));
    }
    match compute(password, &salt, PASSWORD_HASH_KIB, PASSES) {
        Some(hash) => {
            let unpadded = |bytes: &[u8]| to_base64(bytes).trim_end_matches('=').to_owned();
            let (salt, hash) = (unpadded(&salt), unpadded(&hash));
            let text = format!("$argon2id$v=19$m={PASSWORD_HASH_KIB},t={PASSES},p=1${salt}${hash}");
            DeskAnswer::Hashed(Secret::new(text))
        }
        None => DeskAnswer::Failed("the password cannot be hashed".to_owned()),
    }
}

/// Whether a password is the one of a hash; false for what is no hash that we work on.
pub fn verify(password: &Secret<String>, hash: &Secret<String>) -> bool {
    let Some((memory, passes, salt, known)) = parse(hash.expose()) else {
        return false;
    };
    let Some(computed) = compute(password, &salt, memory, passes) else {
        return false;
    };
    // Compared by their codes: the time tells nothing of where they differ.
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salt);
    let code = hmac::sign(&key, &known);
    hmac::verify(&key, &computed, code.as_ref()).is_ok()
}

fn compute(
    password: &Secret<String>,
    salt: &[u8],
    memory: u32,
    passes: u32,
) -> Option<[u8; HASH_BYTES]> {
    let params = Params::new(memory, passes, 1, Some(HASH_BYTES)).ok()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hash = [0; HASH_BYTES];
    let bytes = password.expose().as_bytes();
    argon2.hash_password_into(bytes, salt, &mut hash).ok()?;
    Some(hash)
}

/// Memory, passes, salt and hash of a PHC string.
fn parse(text: &str) -> Option<(u32, u32, Vec<u8>, Vec<u8>)> {
    let rest = text.strip_prefix("$argon2id$v=19$m=")?;
    let mut parts = rest.split('$');
    let (costs, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let costs = costs.strip_suffix(",p=1")?;
    let (memory, passes) = costs.split_once(",t=")?;
    let (memory, passes) = (memory.parse().ok()?, passes.parse().ok()?);
    let (salt, hash) = (from_base64(salt)?, from_base64(hash)?);
    let affordable = memory <= PASSWORD_HASH_KIB && passes <= PASSES_MAX;
    let right = (8..=64).contains(&salt.len()) && hash.len() == HASH_BYTES;
    (affordable && right).then_some((memory, passes, salt, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn hashed(password: &str) -> String {
        match hash(&secret(password)) {
            DeskAnswer::Hashed(hash) => hash.expose().clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_password_is_known_by_its_hash_and_no_other_is() {
        let hash = hashed("correct horse");
        assert!(hash.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{hash}");
        assert!(verify(&secret("correct horse"), &secret(&hash)));
        for wrong in ["correct hors", "correct horse ", "", "Correct horse"] {
            assert!(!verify(&secret(wrong), &secret(&hash)), "{wrong}");
        }
        assert_ne!(hashed("correct horse"), hash, "each has a salt of its own");
    }

    #[test]
    fn a_hash_of_other_programs_is_read() {
        // argon2 of the reference implementation: -id -t 2 -k 256 -p 1 -l 32, salt "somesalt".
        let vector = compute(&secret("password"), b"somesalt", 256, 2).unwrap();
        let hash = [
            0x9d, 0xfe, 0xb9, 0x10, 0xe8, 0x0b, 0xad, 0x03, 0x11, 0xfe, 0xe2, 0x0f, 0x9c, 0x0e,
            0x2b, 0x12, 0xc1, 0x79, 0x87, 0xb4, 0xca, 0xc9, 0x0c, 0x2e, 0xf5, 0x4d, 0x5b, 0x30,
            0x21, 0xc6, 0x8b, 0xfe,
        ];
        assert_eq!(vector, hash);
    }

    #[test]
    fn what_is_no_hash_that_we_can_afford_lets_nobody_in() {
        let good = hashed("password");
        for length in 0..good.len() {
            assert!(!verify(&secret("password"), &secret(&good[..length])));
        }
        for (from, to) in [
            ("argon2id", "argon2i"),
            ("v=19", "v=16"),
            ("m=7168", "m=4194304"),
            ("m=7168", "m=-1"),
            ("t=5", "t=4000000000"),
            ("t=5", "t=0"),
            ("p=1", "p=4"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(!verify(&secret("password"), &secret(&bad)), "{bad}");
        }
        assert!(!verify(&secret("password"), &secret(&format!("{good}$x"))));
    }
}
