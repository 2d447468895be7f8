//! What an `Authorization` field holds: HTTP Basic (RFC 7617) and Bearer (RFC 6750).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::redact::Secret;

/// The password of a Basic or the token of a Bearer authorization, as bytes; `None` for another
/// scheme and for one that is not as it should be. The name of a Basic authorization may be any.
pub fn password(field: &str) -> Option<Secret<Vec<u8>>> {
    let (scheme, rest) = field.trim().split_once(' ')?;
    let rest = rest.trim_start();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Secret::new(rest.as_bytes().to_vec()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut pair = from_base64(rest)?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(Secret::new(pair.split_off(colon.checked_add(1)?)))
}

/// The field of a Basic authorization, for a request of ours.
pub fn basic(user: &str, password: &str) -> Secret<String> {
    let pair = Secret::new(format!("{user}:{password}"));
    Secret::new(format!("Basic {}", to_base64(pair.expose().as_bytes())))
}

/// Base64 with its padding.
pub fn to_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let missing = 3_usize.saturating_sub(group.len());
        let bits = bits << missing.saturating_mul(8);
        for place in 0..4_usize {
            let digit = bits >> (18_usize.saturating_sub(place.saturating_mul(6))) & 63;
            let digit = DIGITS.get(digit as usize).copied().unwrap_or(b'=');
            let is_padding = place > group.len();
            text.push(char::from(if is_padding { b'=' } else { digit }));
        }
    }
    text
}

/// Decodes base64 with or without its padding (RFC 4648, section 4).
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if digits.len() % 4 == 1 || text.len().saturating_sub(digits.len()) > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len());
    let (mut bits, mut count) = (0_u32, 0_u32);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit.wrapping_sub(b'A'),
            b'a'..=b'z' => digit.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => digit.wrapping_sub(b'0').wrapping_add(52),
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count = count.wrapping_add(6);
        if count >= 8 {
            count = count.wrapping_sub(8);
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basic_authorization_is_as_rfc_7617_prints_it() {
        let field = basic("Aladdin", "open sesame");
        assert_eq!(field.expose(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(!format!("{field:?}").contains("QWxh"));
        for user in ["", "a", "ab", "abc", "\u{e9}\u{20ac}"] {
            let field = basic(user, "s3cret");
            assert_eq!(password(field.expose()).unwrap().expose(), b"s3cret");
        }
    }

    fn found(field: &str) -> Option<Vec<u8>> {
        password(field).map(|password| password.expose().clone())
    }

    #[test]
    fn passwords_are_read_from_both_schemes() {
        assert_eq!(found("Bearer hunter2").unwrap(), b"hunter2");
        assert_eq!(found("bearer  hunter2 ").unwrap(), b"hunter2");
        // Aladdin:open sesame, the example of RFC 7617.
        let basic = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        assert_eq!(found(basic).unwrap(), b"open sesame");
        assert_eq!(found(&basic[..basic.len() - 2]).unwrap(), b"open sesame");
        assert_eq!(found("BASIC Ojo=").unwrap(), b":");
        assert_eq!(found("Basic OsOp").unwrap(), "é".as_bytes());
    }

    #[test]
    fn what_is_no_password_is_none() {
        for field in [
            "",
            "Basic",
            "Basic ",
            "Basic !!!!",
            "Basic QQ===",
            "Basic A",
            "Basic YWJj",
            "Digest username=\"a\"",
            "Basic YTpi\u{e9}",
        ] {
            assert_eq!(found(field), None, "{field:?}");
        }
    }
}
