//! Patterns of text in which `*` stands for anything, also for nothing.

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

use crate::limits::SIP_RULE_TEXT_BYTES;

/// A pattern. Nothing is tried twice: each piece between two `*` is taken where it is first found, so
/// that the work grows with the length of the text alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    small: String,
}

impl Pattern {
    /// A pattern of 1 to [`SIP_RULE_TEXT_BYTES`] bytes without control characters.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=SIP_RULE_TEXT_BYTES).contains(&text.len());
        (fits && !text.chars().any(char::is_control)).then(|| Self {
            text: text.to_owned(),
            small: text.to_ascii_lowercase(),
        })
    }

    /// Whether all of `text` fits.
    pub fn fits(&self, text: &str) -> bool {
        fits(&self.text, text)
    }

    /// Whether all of `text` fits, capitals of ASCII taken for small letters.
    pub fn fits_any_case(&self, text: &str) -> bool {
        fits(&self.small, &text.to_ascii_lowercase())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn fits(pattern: &str, text: &str) -> bool {
    let Some((front, pattern)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let (pieces, end) = pattern.rsplit_once('*').unwrap_or(("", pattern));
    let inside = text.strip_prefix(front).and_then(|t| t.strip_suffix(end));
    let Some(mut rest) = inside else {
        return false;
    };
    for piece in pieces.split('*') {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn is(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).unwrap().fits(text)
    }

    #[test]
    fn a_star_stands_for_anything_and_nothing() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "abc"),
            ("abc", "abc"),
            ("a*", "a"),
            ("*c", "abc"),
            ("a*c", "ac"),
            ("a**c", "abc"),
            ("*b*", "abc"),
            ("a*b*c*", "aXbYcZ"),
            ("*ab*ab", "abab"),
            ("é*", "éa"),
        ] {
            assert!(is(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("abc", "ab"),
            ("abc", "abcd"),
            ("ab*ba", "aba"),
            ("*ab*ab", "ab"),
            ("a*c", "abcd"),
            ("*b*", "ac"),
            ("A*", "abc"),
        ] {
            assert!(!is(pattern, text), "{pattern} {text}");
        }
        assert!(Pattern::new("A*").unwrap().fits_any_case("aB"));
        assert_eq!(Pattern::new(""), None);
        assert_eq!(Pattern::new("a\r\nb"), None);
        assert_eq!(Pattern::new(&"x".repeat(257)), None);
    }

    /// The plain definition, which tries everything.
    fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| by_definition(rest, &text[at..])),
            Some((byte, rest)) => text.first() == Some(byte) && by_definition(rest, &text[1..]),
        }
    }

    #[test]
    fn it_agrees_with_the_definition() {
        let mut rng = Rng::from_number(7);
        let mut some = |alphabet: &[u8], most: u32| {
            let length = rng.u32() % most;
            let bytes = (0..length).map(|_| alphabet[rng.u32() as usize % alphabet.len()]);
            String::from_utf8(bytes.collect()).unwrap()
        };
        for _ in 0..20_000 {
            let (pattern, text) = (some(b"ab*", 7), some(b"ab", 9));
            if pattern.is_empty() {
                continue;
            }
            let wanted = by_definition(pattern.as_bytes(), text.as_bytes());
            assert_eq!(is(&pattern, &text), wanted, "{pattern} {text}");
        }
    }
}
