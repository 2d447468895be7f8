//! User and password towards a server that asks for them (Adobe's `authmod=adobe`, as Adobe Media
//! Server, Wowza and many CDNs do).
//!
//! The server refuses `connect` with a description that names the method; the client comes back on
//! a new connection with its name in the application's query, is refused again with salt and
//! challenge, and comes back with the response. The password itself is never sent. A server that
//! does not ask is sent neither; one that wants a token reads it from the address's query or from
//! the stream's name.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt::Write;

use heapless::String;
use md5::{Digest, Md5};

use crate::base::rng::Rng;
use crate::limits::RTMP_URL_BYTES;
use crate::wire::rtmp_url::Credentials;

/// The query that the application gets on the next connection, without `?`.
pub(super) type AuthQuery = String<RTMP_URL_BYTES>;

/// What a refusal says of authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, never in a table")]
pub(super) enum AuthAnswer {
    /// Nothing.
    None,
    /// It wants user and password, and there are none.
    Wanted,
    /// Come back with this.
    Retry(AuthQuery),
    /// User or password are wrong, or the method is another one.
    Refused,
}

/// Reads the description of a refused `connect`.
pub(super) fn answer(
    description: &str,
    credentials: Option<&Credentials>,
    rng: &mut Rng,
) -> AuthAnswer {
    if !description.contains("authmod=") && !description.contains("reason=") {
        return AuthAnswer::None;
    }
    let Some(credentials) = credentials else {
        return AuthAnswer::Wanted;
    };
    if !description.contains("authmod=adobe") {
        return AuthAnswer::Refused;
    }
    match query(description).and_then(|query| parameter(query, "reason")) {
        None => retry(|out| write!(out, "authmod=adobe&user={}", credentials.user())),
        Some("needauth") => respond(description, credentials, rng),
        Some(_) => AuthAnswer::Refused,
    }
}

fn respond(description: &str, credentials: &Credentials, rng: &mut Rng) -> AuthAnswer {
    let query = query(description).unwrap_or_default();
    let parameter = |name| parameter(query, name).unwrap_or_default();
    let (salt, challenge, opaque) = (
        parameter("salt"),
        parameter("challenge"),
        parameter("opaque"),
    );
    let mut ours = String::<8>::new();
    // Eight digits fit eight places.
    let _ = write!(ours, "{:08x}", rng.u32());
    let secret = digest(&[credentials.user(), salt, credentials.password()]);
    let theirs = if opaque.is_empty() { challenge } else { opaque };
    let response = digest(&[&secret, theirs, &ours]);
    retry(|out| {
        write!(
            out,
            "authmod=adobe&user={}&challenge={ours}&response={response}",
            credentials.user()
        )?;
        if !opaque.is_empty() {
            write!(out, "&opaque={opaque}")?;
        }
        Ok(())
    })
}

fn retry(fill: impl FnOnce(&mut AuthQuery) -> core::fmt::Result) -> AuthAnswer {
    let mut query = AuthQuery::new();
    match fill(&mut query) {
        Ok(()) => AuthAnswer::Retry(query),
        Err(_) => AuthAnswer::Refused,
    }
}

/// What stands after the `?` of a description.
fn query(description: &str) -> Option<&str> {
    description.split_once('?').map(|(_, query)| query.trim())
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .next()
}

/// The MD5 digest of the parts, in base64.
fn digest(parts: &[&str]) -> String<24> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part.as_bytes());
    }
    let mut text = String::new();
    for three in md5.finalize().chunks(3) {
        let byte = |at| u32::from(three.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4_usize {
            let letter = if place > three.len() {
                '='
            } else {
                let index = bits >> (18_usize.saturating_sub(place.saturating_mul(6))) & 63;
                char::from(LETTERS.get(index as usize).copied().unwrap_or(b'='))
            };
            // Sixteen bytes make twenty-four letters.
            let _ = text.push(letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtmp_url::RtmpUrl;

    #[test]
    fn digest_is_md5_in_base64() {
        assert_eq!(digest(&["a", "bc"]).as_str(), "kAFQmDzST7DWlj99KOF/cg==");
    }

    #[test]
    fn the_ladder_of_adobe_authentication() {
        let url = RtmpUrl::parse("rtmp://me:secret@h/live").unwrap();
        let mut rng = Rng::from_number(1);
        let mut ask = |words: &str| answer(words, url.credentials(), &mut rng);
        let first = ask("[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ");
        let AuthAnswer::Retry(query) = first else {
            panic!("{first:?}")
        };
        assert_eq!(query.as_str(), "authmod=adobe&user=me");
        let second = ask("[ AccessManager.Reject ] : [ authmod=adobe ] : \
             ?reason=needauth&user=me&salt=Sa1t&challenge=Cha1&opaque=Cha1");
        let AuthAnswer::Retry(query) = second else {
            panic!("{second:?}")
        };
        assert!(
            query.starts_with("authmod=adobe&user=me&challenge="),
            "{query}"
        );
        let ours = parameter(&query, "challenge").unwrap();
        let secret = digest(&["me", "Sa1t", "secret"]);
        let expected = digest(&[&secret, "Cha1", ours]);
        assert!(
            query.contains(expected.as_str()) && query.ends_with("&opaque=Cha1"),
            "{query}"
        );
        assert!(!query.contains("secret"));
        let third = "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed&opaque=x";
        assert_eq!(ask(third), AuthAnswer::Refused);
        assert_eq!(ask("code=403 need auth; authmod=llnw"), AuthAnswer::Refused);
        assert_eq!(ask("no such application"), AuthAnswer::None);
        let long = format!("authmod=adobe ?reason=needauth&opaque={}", "x".repeat(600));
        assert_eq!(ask(&long), AuthAnswer::Refused);
        let words = "code=403 need auth; authmod=adobe";
        assert_eq!(
            answer(words, None, &mut Rng::from_number(1)),
            AuthAnswer::Wanted
        );
    }
}
