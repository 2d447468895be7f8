//! Values that must not show: passwords, stream keys, addresses with credentials.

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

/// What stands in place of a secret.
pub const HIDDEN: &str = "***";

/// A value that no `Debug` or `Display` prints; its holder asks for it by [`Secret::expose`].
///
/// Only printing is guarded: the memory is not wiped, and equality is not in constant time.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Every use is a place to look at when a secret leaks.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Text from a peer or a file, fit for one line: control and direction characters are shown as
/// escapes, and what is longer than `limit` characters ends in an ellipsis.
#[derive(Clone, Copy, Debug)]
pub struct OneLine<'a> {
    text: &'a str,
    limit: usize,
}

impl<'a> OneLine<'a> {
    /// `text`, at most `limit` characters of it.
    pub const fn new(text: &'a str, limit: usize) -> Self {
        Self { text, limit }
    }
}

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;

        for (at, char) in self.text.chars().enumerate() {
            if at >= self.limit {
                return f.write_char('…');
            }
            // Beside controls: separators that some viewers break a line at, and the marks that
            // reorder text on a terminal.
            let hidden = char.is_control()
                || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'
                    | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}');
            if hidden {
                write!(f, "{}", char.escape_default())?;
            } else {
                f.write_char(char)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        #[derive(Debug)]
        #[allow(dead_code)]
        struct Login {
            name: &'static str,
            password: Secret<String>,
        }
        let login = Login {
            name: "box",
            password: Secret::new("hunter2".to_owned()),
        };
        for shown in [
            format!("{login:?}"),
            format!("{login:#?}"),
            format!("{}", login.password),
            format!("{:>20}", login.password),
            format!("{:?}", Some(&login.password)),
        ] {
            assert!(shown.contains(HIDDEN), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert_eq!(login.password.expose(), "hunter2");
    }

    #[test]
    fn hostile_text_stays_on_one_line() {
        let text = "a\r\n\u{1b}[2J\u{202e}é\u{85}";
        assert_eq!(
            OneLine::new(text, 99).to_string(),
            r"a\r\n\u{1b}[2J\u{202e}é\u{85}"
        );
        assert_eq!(OneLine::new("abcdef", 3).to_string(), "abc…");
        assert_eq!(OneLine::new("abc", 3).to_string(), "abc");
    }
}
