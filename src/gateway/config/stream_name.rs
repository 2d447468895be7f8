//! How a call's stream is named.
//!
//! A template is text with placeholders; each may have filters, which work from left to right on what
//! the call says: `{callee|strip:+|last:4}`. The result is always a name that an RTMP server takes.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod filter;

use core::fmt;
use core::str::FromStr;
use std::borrow::Cow;

use filter::Filter;

use super::value::Expected;

/// Bytes of one expanded stream name; longer ones are cut.
const STREAM_NAME_BYTES: usize = 128;

/// Bytes of a template.
const TEMPLATE_BYTES: usize = 128;

/// What a call says of itself, for its stream's name. What is not known is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallNames<'a> {
    /// The number that was dialled.
    pub callee: &'a str,
    /// The number that calls.
    pub caller: &'a str,
    /// The trunk.
    pub trunk: &'a str,
    /// The caller's display name.
    pub display: &'a str,
    /// The number that the call was diverted from last.
    pub diverted: &'a str,
    /// The caller's number as the PBX vouches for it.
    pub asserted: &'a str,
}

/// One of [`CallNames`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Callee,
    Caller,
    Trunk,
    Display,
    Diverted,
    Asserted,
}

impl Field {
    const ALL: [Self; 6] = [
        Self::Callee,
        Self::Caller,
        Self::Trunk,
        Self::Display,
        Self::Diverted,
        Self::Asserted,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Callee => "callee",
            Self::Caller => "caller",
            Self::Trunk => "trunk",
            Self::Display => "display",
            Self::Diverted => "diverted",
            Self::Asserted => "asserted",
        }
    }

    const fn of<'a>(self, names: &CallNames<'a>) -> &'a str {
        match self {
            Self::Callee => names.callee,
            Self::Caller => names.caller,
            Self::Trunk => names.trunk,
            Self::Display => names.display,
            Self::Diverted => names.diverted,
            Self::Asserted => names.asserted,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field, Vec<Filter>),
}

/// A template; `rtmp_{callee}` unless the file says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamName(Vec<Part>);

impl StreamName {
    /// Whether it is the same for every call.
    pub fn is_literal(&self) -> bool {
        let mut parts = self.0.iter();
        parts.all(|part| matches!(part, Part::Text(_)))
    }

    /// The name of one call's stream.
    ///
    /// What comes from the call is cleaned: letters and digits of ASCII and `-._~+*@#:` stay, any
    /// other byte becomes `_`, and so does a dot that would begin the name. So no caller writes a
    /// path, a query or a control character into an RTMP server's log or file system.
    pub fn expand(&self, names: &CallNames<'_>) -> String {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Field(field, filters) => {
                    let value = Cow::Borrowed(field.of(names));
                    let value = filters.iter().fold(value, |value, f| f.apply(value));
                    push_clean(&mut name, &value);
                }
            }
        }
        // Template texts are ASCII by their check, so every byte is a boundary.
        name.truncate(STREAM_NAME_BYTES);
        if name.is_empty() {
            name.push('_');
        }
        name
    }

    /// The name, where it is the same for every call: a key that a service gave out.
    pub fn fixed(&self) -> Option<String> {
        self.is_literal().then(|| self.to_string())
    }
}

fn push_clean(name: &mut String, value: &str) {
    for char in value.chars().take(STREAM_NAME_BYTES) {
        let first = name.is_empty();
        let keep = is_clean(char) && (char != '.' || !first);
        name.push(if keep { char } else { '_' });
    }
}

/// Whether a character may come from a call.
fn is_clean(char: char) -> bool {
    char.is_ascii_alphanumeric() || "-._~+*@#:".contains(char)
}

impl Default for StreamName {
    fn default() -> Self {
        Self(vec![
            Part::Text("rtmp_".to_owned()),
            Part::Field(Field::Callee, Vec::new()),
        ])
    }
}

/// What was expected, and so many bytes into the template, which is all ASCII up to there.
fn at(words: &str, before: usize) -> Expected {
    let place = before.saturating_add(1);
    Expected::new(format!("{words} at character {place}"))
}

impl FromStr for StreamName {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        if text.is_empty() || text.len() > TEMPLATE_BYTES {
            return Err(Expected::new(format!(
                "a name of 1 to {TEMPLATE_BYTES} bytes, such as rtmp_{{callee}}"
            )));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let before = text.len().saturating_sub(rest.len());
            let end = rest.find('{').unwrap_or(rest.len());
            let (plain, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if let Some(wrong) = plain.find(|c: char| !is_plain(c)) {
                let words = "letters, digits and signs other than {}/\\?&%\"<>";
                return Err(at(words, before.saturating_add(wrong)));
            }
            if before == 0 && plain.starts_with('.') {
                return Err(at("something other than a dot", 0));
            }
            if !plain.is_empty() {
                parts.push(Part::Text(plain.to_owned()));
            }
            let Some(inside) = tail.strip_prefix('{') else {
                break;
            };
            let before = before.saturating_add(end);
            let Some((inside, after)) = inside.split_once('}') else {
                return Err(at("a } to the {", before));
            };
            parts.push(read_field(inside, before.saturating_add(1))?);
            rest = after;
        }
        Ok(Self(parts))
    }
}

/// Whether a character may stand in a template beside placeholders.
fn is_plain(char: char) -> bool {
    char.is_ascii_graphic() && !"{}/\\?&%\"<>".contains(char)
}

/// Reads what stands between braces, `before` bytes into the template.
fn read_field(inside: &str, before: usize) -> Result<Part, Expected> {
    let mut pieces = inside.split('|');
    let name = pieces.next().unwrap_or_default();
    let Some(field) = Field::ALL.into_iter().find(|field| field.name() == name) else {
        let known = Field::ALL.map(|field| format!("{{{}}}", field.name()));
        return Err(at(&format!("one of {}", known.join(", ")), before));
    };
    let mut filters = Vec::new();
    let mut before = before.saturating_add(name.len()).saturating_add(1);
    for piece in pieces {
        filters.push(Filter::read(piece).map_err(|words| at(words, before))?);
        before = before.saturating_add(piece.len()).saturating_add(1);
    }
    Ok(Part::Field(field, filters))
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Field(field, filters) => {
                write!(f, "{{{}", field.name())?;
                filters
                    .iter()
                    .try_for_each(|filter| write!(f, "|{filter}"))?;
                f.write_str("}")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: CallNames<'_> = CallNames {
        callee: "+49 30-1234567",
        caller: "1001",
        trunk: "pbx",
        display: "Zoe Door",
        diverted: "",
        asserted: "+493099",
    };

    fn expand(template: &str, names: &CallNames<'_>) -> String {
        let read: StreamName = template
            .parse()
            .unwrap_or_else(|e| panic!("{template}: {e}"));
        assert_eq!(read.to_string(), template, "prints as it was written");
        read.expand(names)
    }

    fn callee(callee: &str) -> CallNames<'_> {
        CallNames {
            callee,
            ..CallNames::default()
        }
    }

    #[test]
    fn the_default_is_the_dialled_number_with_a_prefix() {
        let name = StreamName::default();
        assert_eq!(name.expand(&callee("001201234")), "rtmp_001201234");
        assert_eq!(name, "rtmp_{callee}".parse().unwrap());
    }

    #[test]
    fn every_placeholder_is_filled() {
        assert_eq!(
            expand("{trunk}-{caller}_to_{callee}", &NAMES),
            "pbx-1001_to_+49_30-1234567"
        );
        assert_eq!(
            expand("{display}.{diverted}.{asserted}", &NAMES),
            "Zoe_Door..+493099"
        );
    }

    #[test]
    fn filters_work_from_left_to_right() {
        for (template, wanted) in [
            ("{callee|digits}", "49301234567"),
            ("{callee|digits|last:4}", "4567"),
            ("{callee|last:4|digits}", "4567"),
            ("{callee|digits|first:3}", "493"),
            ("{callee|strip:+}", "49_30-1234567"),
            ("{callee|strip:+49|digits}", "301234567"),
            ("{callee|strip:9}", "+49_30-1234567"),
            ("{diverted|or:unknown}", "unknown"),
            ("{asserted|or:unknown}", "+493099"),
            ("{diverted|or:A.B|lower}", "a.b"),
            ("{display|lower}", "zoe_door"),
            ("{display|digits|or:none}x", "nonex"),
            ("{caller|first:9}", "1001"),
            ("{caller|last:9}", "1001"),
        ] {
            assert_eq!(expand(template, &NAMES), wanted, "{template}");
        }
    }

    #[test]
    fn a_caller_cannot_write_paths_or_queries() {
        for filters in ["", "|lower", "|strip:x", "|or:y", "|last:100"] {
            let name = expand(
                &format!("{{callee{filters}}}"),
                &callee("../a?b&c d\r\n\"é"),
            );
            assert_eq!(name, "_._a_b_c_d____");
        }
        assert_eq!(expand("{callee}", &callee("")), "_");
        assert_eq!(expand("{callee|strip:x}", &callee("x.y")), "_y");
        let long = "9".repeat(4_000);
        assert_eq!(
            expand("{callee}{callee|last:99}", &callee(&long)).len(),
            STREAM_NAME_BYTES
        );
    }

    #[test]
    fn what_is_wrong_with_a_template_is_told_with_its_place() {
        for (text, place) in [
            ("rtmp_{callee", 6),
            ("callee}", 7),
            ("a_{number}", 4),
            ("{}", 2),
            ("a b", 2),
            ("a/b", 2),
            ("aé", 2),
            (".a", 1),
            ("a{b{callee}}", 3),
            ("{callee|}", 9),
            ("{callee|digit}", 9),
            ("{callee|digits:1}", 9),
            ("{callee|digits|last}", 16),
            ("{callee|last:0}", 9),
            ("{callee|last:x}", 9),
            ("{callee|last:+4}", 9),
            ("{callee|strip:}", 9),
            ("{callee|or:a b}", 9),
            ("{callee|or:é}", 9),
        ] {
            let error = text.parse::<StreamName>().unwrap_err().to_string();
            let wanted = format!(" at character {place}");
            assert!(error.ends_with(&wanted), "{text}: {error}");
        }
        assert!("".parse::<StreamName>().is_err());
        assert!("x".repeat(129).parse::<StreamName>().is_err());
        assert!("{callee}.x".parse::<StreamName>().is_ok());
    }
}
