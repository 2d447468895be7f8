//! Characters and small scans that the SIP grammar (RFC 3261 section 25) is made of.
//!
//! Inside a header value a folded line is still its bytes, CR LF and all, so everything here takes
//! CR and LF for white space.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

/// White space within a value, a fold included (LWS).
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A character of `token`: methods, header names, parameter names, tags, branches.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// `bytes` as a token, or nothing when empty or when it holds anything else.
pub(super) fn token(bytes: &[u8]) -> Option<&str> {
    if bytes.is_empty() || !bytes.iter().copied().all(is_token) {
        return None;
    }
    core::str::from_utf8(bytes).ok()
}

/// `bytes` without white space at either end.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes
        .iter()
        .position(|&b| !is_space(b))
        .unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(|&b| !is_space(b))
        .map_or(start, |at| at.saturating_add(1));
    bytes.get(start..end).unwrap_or_default()
}

/// `bytes` before and after position `at`, the byte there left out.
pub(super) fn cut_at(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    (
        bytes.get(..at).unwrap_or_default(),
        bytes.get(at.saturating_add(1)..).unwrap_or_default(),
    )
}

/// Where the first byte that satisfies `wanted` stands outside quoted strings and angle brackets.
///
/// `Err` when a quoted string or a bracket is still open at the end.
pub(super) fn find_bare(
    bytes: &[u8],
    wanted: impl Fn(u8) -> bool,
) -> Result<Option<usize>, Unbalanced> {
    let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
    for (at, &byte) in bytes.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted {
            match byte {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if bracketed {
            bracketed = byte != b'>';
        } else if wanted(byte) {
            return Ok(Some(at));
        } else {
            quoted = byte == b'"';
            bracketed = byte == b'<';
        }
    }
    if quoted || bracketed {
        return Err(Unbalanced);
    }
    Ok(None)
}

/// A quoted string or an angle bracket without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unbalanced;

/// A decimal number of digits alone; one that does not fit is the largest there is.
pub(super) fn decimal_saturating(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(bytes.iter().fold(0_u32, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u32::from(digit.wrapping_sub(b'0')))
    }))
}

/// A decimal number of digits alone that fits below `u32::MAX`.
pub(super) fn decimal(bytes: &[u8]) -> Option<u32> {
    decimal_saturating(bytes).filter(|&number| number != u32::MAX)
}

/// The bytes of `text` with `%HH` escapes resolved; a `%` without two digits stands for itself.
pub(super) fn unescaped(text: &[u8]) -> impl Iterator<Item = u8> + Clone + '_ {
    let mut rest = text;
    core::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        rest = after;
        if first == b'%'
            && let [high, low, beyond @ ..] = after
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            rest = beyond;
            return Some(high << 4 | low);
        }
        Some(first)
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// The bytes of `value` as one line: every fold one space, a stray CR or LF as well.
pub(super) fn unfolded(value: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = value;
    core::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        rest = after;
        if first != b'\r' && first != b'\n' {
            return Some(first);
        }
        while let Some((&next, after)) = rest.split_first()
            && is_space(next)
        {
            rest = after;
        }
        Some(b' ')
    })
}

/// `value` as one line of text, bytes that are not UTF-8 taken for Latin-1.
pub(super) fn text(value: &[u8]) -> String {
    let line: Vec<u8> = unfolded(value).collect();
    String::from_utf8(line)
        .unwrap_or_else(|wrong| wrong.as_bytes().iter().map(|&b| char::from(b)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_inside_quotes_or_brackets_is_not_one() {
        let found = |bytes| find_bare(bytes, |b| b == b',');
        assert_eq!(found(b"\"a, \\\", b\" <x,y>, c"), Ok(Some(16)));
        assert_eq!(found(b"<a,b>"), Ok(None));
        assert_eq!(found(b"\"a, b"), Err(Unbalanced));
        assert_eq!(found(b"<a, b"), Err(Unbalanced));
    }

    #[test]
    fn numbers_are_digits_alone_and_never_wrap() {
        assert_eq!(decimal(b"0068"), Some(68));
        assert_eq!(decimal(b"-1"), None);
        assert_eq!(decimal(b"+1"), None);
        assert_eq!(decimal(b""), None);
        assert_eq!(decimal(b"36893488147419103232"), None);
        assert_eq!(decimal_saturating(b"36893488147419103232"), Some(u32::MAX));
    }

    #[test]
    fn escapes_resolve_once_and_half_an_escape_stays() {
        let read = |text: &[u8]| unescaped(text).collect::<Vec<_>>();
        assert_eq!(read(b"%75se%72"), b"user");
        assert_eq!(read(b"%2541"), b"%41");
        assert_eq!(read(b"%Z%4"), b"%Z%4");
        assert_eq!(read(b"a%00"), b"a\0");
    }

    #[test]
    fn a_fold_reads_as_one_space_and_latin_1_as_text() {
        assert_eq!(text(b"a\r\n \t b\nc"), "a b c");
        assert_eq!(text(b"Andr\xe9"), "Andr\u{e9}");
        assert_eq!(text("Andr\u{e9}".as_bytes()), "Andr\u{e9}");
    }
}
