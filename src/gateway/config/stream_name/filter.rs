//! What may be done to a number before it becomes a part of a stream's name.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;
use std::borrow::Cow;

use super::is_clean;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// Keeps the digits of ASCII.
    Digits,
    /// Makes capitals of ASCII small.
    Lower,
    /// Keeps so many characters at the front.
    First(u8),
    /// Keeps so many characters at the end.
    Last(u8),
    /// Takes a text off the front, where it stands there.
    Strip(String),
    /// Stands in for nothing.
    Or(String),
}

impl Filter {
    /// Reads one, or gives what was expected.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let count = |argument: &str| {
            let digits = argument.bytes().all(|b| b.is_ascii_digit());
            let count = argument
                .parse()
                .ok()
                .filter(|n| digits && (1..=128).contains(n));
            count.ok_or("a number from 1 to 128 after the colon")
        };
        let words = |argument: &str| {
            if argument.is_empty() || !argument.chars().all(is_clean) {
                return Err("letters, digits and -._~+*@#: after the colon");
            }
            Ok(argument.to_owned())
        };
        match (name, argument) {
            ("digits", None) => Ok(Self::Digits),
            ("lower", None) => Ok(Self::Lower),
            ("first", Some(argument)) => count(argument).map(Self::First),
            ("last", Some(argument)) => count(argument).map(Self::Last),
            ("strip", Some(argument)) => words(argument).map(Self::Strip),
            ("or", Some(argument)) => words(argument).map(Self::Or),
            _ => Err("digits, lower, first:N, last:N, strip:TEXT or or:TEXT"),
        }
    }

    /// Applies it.
    pub(super) fn apply<'a>(&self, value: Cow<'a, str>) -> Cow<'a, str> {
        match self {
            Self::Digits => value.chars().filter(char::is_ascii_digit).collect(),
            Self::Lower => value.to_ascii_lowercase().into(),
            Self::First(count) => value.chars().take(usize::from(*count)).collect(),
            Self::Last(count) => {
                let skipped = value.chars().count().saturating_sub(usize::from(*count));
                value.chars().skip(skipped).collect()
            }
            Self::Strip(prefix) => match value.strip_prefix(prefix.as_str()) {
                Some(rest) => rest.to_owned().into(),
                None => value,
            },
            Self::Or(text) if value.is_empty() => text.clone().into(),
            Self::Or(_) => value,
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digits => f.write_str("digits"),
            Self::Lower => f.write_str("lower"),
            Self::First(count) => write!(f, "first:{count}"),
            Self::Last(count) => write!(f, "last:{count}"),
            Self::Strip(text) => write!(f, "strip:{text}"),
            Self::Or(text) => write!(f, "or:{text}"),
        }
    }
}
