//! Words for people, of bounded length and without control characters.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt::{self, Write};

use heapless::String;

use crate::limits::RTMP_REASON_BYTES;

/// Why something is as it is; cut to [`RTMP_REASON_BYTES`].
pub type Reason = String<RTMP_REASON_BYTES>;

/// Words from a format, cut where they do not fit.
pub(super) fn reason(words: fmt::Arguments<'_>) -> Reason {
    let mut cut = Cut(Reason::new());
    // Cutting is not an error.
    let _ = cut.write_fmt(words);
    cut.0
}

struct Cut(Reason);

impl Write for Cut {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        for letter in words.chars() {
            let letter = if letter.is_control() { ' ' } else { letter };
            if self.0.push(letter).is_err() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_and_cleaned() {
        let words = reason(format_args!("a\r\nb\u{1b}[0m {}", "é".repeat(200)));
        assert!(words.starts_with("a  b [0m é"));
        assert!(words.len() <= RTMP_REASON_BYTES && words.len() > RTMP_REASON_BYTES - 2);
    }
}
