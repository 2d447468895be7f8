//! How a call's stream is named.

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
use core::str::FromStr;

use super::value::Expected;

/// Bytes of one expanded stream name; longer ones are cut.
const STREAM_NAME_BYTES: usize = 128;

/// Bytes of a template.
const TEMPLATE_BYTES: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Callee,
    Caller,
    Trunk,
}

/// A template with the placeholders `{callee}`, `{caller}` and `{trunk}`; `rtmp_{callee}` unless
/// the file says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamName(Vec<Part>);

impl StreamName {
    /// The name of one call's stream.
    ///
    /// What comes from the call is cleaned: letters and digits of ASCII and `-._~+*@#:` stay, any
    /// other byte becomes `_`, and so does a dot that would begin the name. So no caller writes a
    /// path, a query or a control character into an RTMP server's log or file system.
    pub fn expand(&self, callee: &str, caller: &str, trunk: &str) -> String {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Callee => push_clean(&mut name, callee),
                Part::Caller => push_clean(&mut name, caller),
                Part::Trunk => push_clean(&mut name, trunk),
            }
        }
        // Template texts are ASCII by their check, so every byte is a boundary.
        name.truncate(STREAM_NAME_BYTES);
        if name.is_empty() {
            name.push('_');
        }
        name
    }
}

fn push_clean(name: &mut String, value: &str) {
    for char in value.chars().take(STREAM_NAME_BYTES) {
        let first = name.is_empty();
        let keep =
            char.is_ascii_alphanumeric() || "-_~+*@#:".contains(char) || char == '.' && !first;
        name.push(if keep { char } else { '_' });
    }
}

impl Default for StreamName {
    fn default() -> Self {
        Self(vec![Part::Text("rtmp_".to_owned()), Part::Callee])
    }
}

impl FromStr for StreamName {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let form =
            || Expected::new("a name with {callee}, {caller} or {trunk}, such as rtmp_{callee}");
        if text.is_empty() || text.len() > TEMPLATE_BYTES || text.starts_with('.') {
            return Err(form());
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (plain, tail) = match rest.split_once('{') {
                Some((plain, tail)) => (plain, Some(tail)),
                None => (rest, None),
            };
            let allowed = |c: char| c.is_ascii_graphic() && !"{}/\\?&%\"<>".contains(c);
            if !plain.chars().all(allowed) {
                return Err(form());
            }
            if !plain.is_empty() {
                parts.push(Part::Text(plain.to_owned()));
            }
            let Some(tail) = tail else { break };
            let (name, after) = tail.split_once('}').ok_or_else(form)?;
            parts.push(match name {
                "callee" => Part::Callee,
                "caller" => Part::Caller,
                "trunk" => Part::Trunk,
                _ => return Err(form()),
            });
            rest = after;
        }
        Ok(Self(parts))
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| {
            f.write_str(match part {
                Part::Text(text) => text,
                Part::Callee => "{callee}",
                Part::Caller => "{caller}",
                Part::Trunk => "{trunk}",
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_dialled_number_with_a_prefix() {
        assert_eq!(
            StreamName::default().expand("001201234", "x", "t"),
            "rtmp_001201234"
        );
        assert_eq!(StreamName::default(), "rtmp_{callee}".parse().unwrap());
    }

    #[test]
    fn every_placeholder_is_filled() {
        let name: StreamName = "{trunk}-{caller}_to_{callee}".parse().unwrap();
        assert_eq!(name.to_string(), "{trunk}-{caller}_to_{callee}");
        assert_eq!(name.expand("100", "+49.7*#", "pbx"), "pbx-+49.7*#_to_100");
    }

    #[test]
    fn a_caller_cannot_write_paths_or_queries() {
        let name: StreamName = "{callee}".parse().unwrap();
        assert_eq!(name.expand("../a?b&c d\r\n\"é", "", ""), "_._a_b_c_d____");
        assert_eq!(name.expand("", "", ""), "_");
        assert_eq!(
            name.expand(&"9".repeat(4_000), "", "").len(),
            STREAM_NAME_BYTES
        );
    }

    #[test]
    fn unknown_or_open_placeholders_are_refused() {
        for text in [
            "",
            "{callee",
            "callee}",
            "{number}",
            "{}",
            "a b",
            "a/b",
            "é",
            ".a",
            "a{b{callee}}",
        ] {
            assert!(text.parse::<StreamName>().is_err(), "{text}");
        }
    }
}
