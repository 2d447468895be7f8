//! A YAML file as a tree whose every key and value knows its line.
//!
//! serde-saphyr parses, refuses duplicates and bounds depth, nodes and aliases; the tree keeps what
//! it reads as text, so that `00123` stays a name and each field decides what it wants to be.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A value and the line it begins on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Line, counted from 1.
    pub line: usize,
    /// The value.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Nothing,
    /// Any single value, as written.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
}

/// One key of a mapping and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Line of the key, counted from 1.
    pub line: usize,
    /// Its value.
    pub value: Node,
}

/// Why a text is no YAML document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// Line, counted from 1; 0 when unknown.
    pub line: usize,
    /// The key that is given twice, where that is what is wrong.
    pub duplicate: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// Reads one document. A byte order mark, CRLF and any indentation by spaces are taken.
pub fn parse(text: &str) -> Result<Node, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_nodes: 20_000,
            max_events: 100_000,
        },
        with_snippet: false,
    };
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(error)?;
    Ok(node(text, raw))
}

fn error(error: serde_saphyr::Error) -> YamlError {
    let line = error.location().map_or(0, |at| at.line() as usize);
    let duplicate = match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => key.clone(),
        _ => None,
    };
    // The position is in front of the message already.
    let rendered = error.to_string();
    let message = match rendered.rsplit_once(" at line ") {
        Some((message, _)) => message.to_owned(),
        None => rendered,
    };
    YamlError {
        line,
        duplicate,
        message,
    }
}

/// A node as serde sees it. `Typed` is a plain scalar that YAML takes for a truth value or number:
/// its text is fetched from the source by its span.
enum Raw {
    Nothing,
    Typed,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn node(text: &str, raw: Spanned<Raw>) -> Node {
    let line = raw.referenced.line() as usize;
    let value = match raw.value {
        Raw::Nothing => Value::Nothing,
        Raw::Typed => {
            let span = raw.defined.span();
            let start = span.byte_offset().unwrap_or(0) as usize;
            let end = start + span.byte_len().unwrap_or(0) as usize;
            Value::Text(text.get(start..end).unwrap_or_default().trim().to_owned())
        }
        Raw::Text(text) => Value::Text(text),
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(text, item)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    line: key.referenced.line() as usize,
                    key: key.value,
                    value: node(text, value),
                })
                .collect(),
        ),
    };
    Node { line, value }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of a flat mapping with their lines.
    fn values(text: &str) -> Vec<(String, usize, Value)> {
        let Value::Map(entries) = parse(text).unwrap().value else {
            panic!("no mapping: {text}");
        };
        let flat = |entry: Entry| (entry.key, entry.line, entry.value.value);
        entries.into_iter().map(flat).collect()
    }

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    #[test]
    fn every_single_value_is_kept_as_written() {
        let file = "é: 'ü'\na: 00123\nb: no\nc: 1.50\nd: 0x1F # hex\ne: '7'\nf: &x 77\ng: *x\n\
                    h: -5\ni: 99999999999999999999999\nj: 12:30\nk: +1e3\nl: true\n";
        let read: Vec<_> = values(file)
            .into_iter()
            .map(|(_, _, value)| value)
            .collect();
        let expected = [
            "ü",
            "00123",
            "no",
            "1.50",
            "0x1F",
            "7",
            "77",
            "77",
            "-5",
            "99999999999999999999999",
            "12:30",
            "+1e3",
            "true",
        ];
        assert_eq!(read, expected.map(text));
    }

    #[test]
    fn lines_count_from_one_whatever_ends_them() {
        for end in ["\n", "\r\n"] {
            let file = ["# c", "a: 1", "", "b: |", " x", " y", "c: 2", ""].join(end);
            let marked = format!("\u{feff}{file}");
            for file in [file, marked] {
                let expected = [
                    ("a".to_owned(), 2, text("1")),
                    ("b".to_owned(), 4, text("x\ny\n")),
                    ("c".to_owned(), 7, text("2")),
                ];
                assert_eq!(values(&file), expected, "{file:?}");
            }
        }
    }

    #[test]
    fn merged_and_aliased_values_stand_where_they_are_used() {
        let Value::Map(entries) = parse("x: &a {m: no}\ny:\n  <<: *a\n  l: 3\n")
            .unwrap()
            .value
        else {
            panic!();
        };
        let Value::Map(merged) = &entries[1].value.value else {
            panic!()
        };
        let m = merged.iter().find(|entry| entry.key == "m").unwrap();
        assert_eq!((m.value.line, &m.value.value), (3, &text("no")));
    }

    #[test]
    fn nothing_is_a_value_of_its_own() {
        assert_eq!(parse("").unwrap().value, Value::Nothing);
        assert_eq!(parse("# only a comment\n").unwrap().value, Value::Nothing);
        for (_, _, value) in values("a:\nb: ~\nc: null\n") {
            assert_eq!(value, Value::Nothing);
        }
        assert_eq!(values("a: ''\n")[0].2, text(""));
    }

    #[test]
    fn errors_name_their_line() {
        let duplicate = parse("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(
            (duplicate.line, duplicate.duplicate.as_deref()),
            (3, Some("a"))
        );
        for (file, line) in [
            ("a:\n\tb: 1\n", 2),
            ("a: @x\n", 1),
            ("a: 1\n---\nb: 2\n", 3),
            ("a: 1\n b: 2\n", 2),
        ] {
            let error = parse(file).unwrap_err();
            assert_eq!(error.line, line, "{file:?} {error:?}");
            assert!(
                !error.message.contains('\n') && !error.message.contains("at line"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn bombs_are_refused() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..9 {
            let before = format!("*a{},", level - 1).repeat(9);
            bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        assert!(parse(&bomb).is_err());
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"a: ".repeat(10_000)).is_err());
    }
}
