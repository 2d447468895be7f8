//! The settings as a document: the tree of the YAML file without lines, as JSON of the same nesting
//! and keys.
//!
//! Every single value is text, as the YAML reader takes it, so that `007` and `off` mean the same on
//! both sides. JSON may also say numbers, `true` and `false`, which are taken as they are written.

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

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::cli::config_file::is_flat_trunk;
use crate::cli::yaml::{Entry, Node, Value};

/// Levels of a document; a file of ours has seven.
const DEPTH: usize = 24;

/// Values of a document.
const NODES: usize = 10_000;

/// Bytes of a key; the longest of ours is a trunk's name.
const KEY_BYTES: usize = 256;

/// Where trunks stand.
pub const TRUNKS: &str = "trunks";

/// A value of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doc {
    /// Nothing, as of a key without value.
    Nothing,
    /// A single value.
    Text(String),
    /// A single value that is set and does not show: `{"secret":true}`.
    Secret,
    /// A list.
    List(Vec<Doc>),
    /// A mapping, in the order of the file.
    Map(Vec<(String, Doc)>),
}

impl Doc {
    /// The tree of a file, its trunks below `trunks` wherever they stand in it.
    pub fn of_file(root: &Node) -> Self {
        let doc = Self::of_node(root);
        let flat = flat_trunks(root);
        let Self::Map(entries) = doc else {
            return doc;
        };
        if flat.is_empty() {
            return Self::Map(entries);
        }
        let is_flat = |key: &str| flat.iter().any(|trunk| trunk.key == key);
        let (trunks, mut rest): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(key, _)| is_flat(key));
        match rest.iter_mut().find(|(key, _)| key == TRUNKS) {
            Some((_, value)) => *value = Self::Map(trunks),
            None => rest.insert(0, (TRUNKS.to_owned(), Self::Map(trunks))),
        }
        Self::Map(rest)
    }

    /// The tree of one value.
    pub fn of_node(node: &Node) -> Self {
        match &node.value {
            Value::Nothing => Self::Nothing,
            Value::Text(text) => Self::Text(text.clone()),
            Value::List(items) => Self::List(items.iter().map(Self::of_node).collect()),
            Value::Map(entries) => {
                let pair = |entry: &Entry| (entry.key.clone(), Self::of_node(&entry.value));
                Self::Map(entries.iter().map(pair).collect())
            }
        }
    }

    /// A document of JSON.
    ///
    /// # Errors
    ///
    /// It is no JSON, too deep, too large, or has a key twice.
    pub fn of_json(json: &[u8]) -> Result<Self, String> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let mut seen = Seen::default();
        let seed = Seed {
            depth: 0,
            seen: &mut seen,
        };
        let doc = seed.deserialize(&mut reader);
        let doc = doc.and_then(|doc| reader.end().map(|()| doc));
        doc.map_err(|error| error.to_string())
    }

    /// A single value.
    pub fn text(text: impl fmt::Display) -> Self {
        Self::Text(text.to_string())
    }

    /// The entries of a mapping; of anything else none.
    pub fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    /// The text of a single value below a key.
    pub fn text_of(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Self::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Puts a value below a key of a mapping; nothing takes the key away.
    pub fn put(&mut self, key: &str, value: Option<Self>) {
        if *self == Self::Nothing {
            *self = Self::Map(Vec::new());
        }
        let Self::Map(entries) = self else {
            return;
        };
        let at = entries.iter().position(|(name, _)| name == key);
        match (at.and_then(|at| entries.get_mut(at)), value) {
            (Some((_, old)), Some(value)) => *old = value,
            (Some(_), None) => entries.retain(|(name, _)| name != key),
            (None, Some(value)) => entries.push((key.to_owned(), value)),
            (None, None) => {}
        }
    }

    /// Whether both say the same; the order of keys says nothing.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Map(ours), Self::Map(theirs)) => {
                ours.len() == theirs.len()
                    && ours.iter().all(|(key, value)| {
                        other.get(key).is_some_and(|theirs| value.is_like(theirs))
                    })
            }
            (Self::List(ours), Self::List(theirs)) => {
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| a.is_like(b))
            }
            _ => self == other,
        }
    }
}

/// The trunks of a file that stand beside `trunks:`.
pub fn flat_trunks(root: &Node) -> Vec<&Entry> {
    let Value::Map(entries) = &root.value else {
        return Vec::new();
    };
    let trunks = entries.iter().find(|entry| entry.key == TRUNKS);
    if trunks.is_some_and(|entry| entry.value.value != Value::Nothing) {
        return Vec::new();
    }
    entries
        .iter()
        .filter(|entry| is_flat_trunk(entry))
        .collect()
}

impl Serialize for Doc {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => to.serialize_unit(),
            Self::Text(text) => to.serialize_str(text),
            Self::Secret => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("secret", &true)?;
                map.end()
            }
            Self::List(items) => {
                let mut list = to.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Self::Map(entries) => {
                let mut map = to.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

/// What was read of a document so far.
#[derive(Default)]
struct Seen {
    nodes: usize,
    /// Whether the last single value was `true`.
    is_true: bool,
}

struct Seed<'s> {
    depth: usize,
    seen: &'s mut Seen,
}

impl Seed<'_> {
    fn below(&mut self) -> Seed<'_> {
        Seed {
            depth: self.depth.saturating_add(1),
            seen: self.seen,
        }
    }

    fn text<E>(self, text: impl fmt::Display) -> Result<Doc, E> {
        Ok(Doc::text(text))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Doc;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Doc, D::Error> {
        self.seen.nodes = self.seen.nodes.saturating_add(1);
        self.seen.is_true = false;
        if self.seen.nodes > NODES || self.depth > DEPTH {
            return Err(D::Error::custom("more values or levels than settings have"));
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Doc;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings")
    }

    fn visit_unit<E>(self) -> Result<Doc, E> {
        Ok(Doc::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Doc, E> {
        self.seen.is_true = value;
        self.text(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Doc, E> {
        self.text(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Doc, E> {
        self.text(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Doc, E> {
        self.text(value)
    }

    fn visit_str<E>(self, value: &str) -> Result<Doc, E> {
        self.text(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut from: A) -> Result<Doc, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(self.below())? {
            items.push(item);
        }
        self.seen.is_true = false;
        Ok(Doc::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut from: A) -> Result<Doc, A::Error> {
        let mut entries: Vec<(String, Doc)> = Vec::new();
        while let Some(key) = from.next_key::<String>()? {
            if key.len() > KEY_BYTES {
                return Err(A::Error::custom("a key that is too long"));
            }
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(A::Error::custom("a key that is given twice"));
            }
            entries.push((key, from.next_value_seed(self.below())?));
        }
        let is_secret =
            self.seen.is_true && matches!(entries.as_slice(), [(key, _)] if key == "secret");
        self.seen.is_true = false;
        Ok(if is_secret {
            Doc::Secret
        } else {
            Doc::Map(entries)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::yaml;

    fn json(doc: &Doc) -> String {
        serde_json::to_string(doc).unwrap()
    }

    #[test]
    fn a_file_becomes_json_of_the_same_nesting_with_every_value_as_text() {
        let file =
            "trunks:\n  a:\n    localPort: 040\n    ping: off\n    allow: [1.2.3.4]\nrest:\n";
        let doc = Doc::of_file(&yaml::parse(file).unwrap());
        let expected =
            r#"{"trunks":{"a":{"localPort":"040","ping":"off","allow":["1.2.3.4"]}},"rest":null}"#;
        assert_eq!(json(&doc), expected);
        assert_eq!(Doc::of_json(expected.as_bytes()), Ok(doc));
    }

    #[test]
    fn trunks_at_column_zero_are_shown_below_trunks() {
        for file in [
            "trunks:\na:\n localPort: 1\nb:\n localPort: 2\nrest: {listen: x}\n",
            "a:\n localPort: 1\nb:\n localPort: 2\nrest: {listen: x}\n",
        ] {
            let doc = Doc::of_file(&yaml::parse(file).unwrap());
            let expected =
                r#"{"trunks":{"a":{"localPort":"1"},"b":{"localPort":"2"}},"rest":{"listen":"x"}}"#;
            assert_eq!(json(&doc), expected);
        }
    }

    #[test]
    fn a_kept_secret_is_told_from_a_mapping_that_looks_like_one() {
        assert_eq!(Doc::of_json(br#"{"secret":true}"#), Ok(Doc::Secret));
        for other in [
            r#"{"secret":"true"}"#,
            r#"{"secret":false}"#,
            r#"{"secret":{"x":true}}"#,
            r#"{"secret":[true]}"#,
            r#"{"secret":true,"x":1}"#,
            r#"{"x":true}"#,
        ] {
            let doc = Doc::of_json(other.as_bytes()).unwrap();
            assert!(matches!(doc, Doc::Map(_)), "{other}");
        }
    }

    #[test]
    fn hostile_json_is_refused() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let wide = format!("[{}1]", "1,".repeat(20_000));
        let long = format!(r#"{{"{}":1}}"#, "x".repeat(1_000));
        for json in [
            "",
            "{",
            "nul",
            "{\"a\":1,\"a\":2}",
            "{} {}",
            "\u{feff}{}",
            "{\"a\":\"\\ud800\"}",
            &deep,
            &wide,
            &long,
        ] {
            assert!(Doc::of_json(json.as_bytes()).is_err(), "{json:.40}");
        }
        assert!(Doc::of_json(b"\"\xff\"").is_err());
    }

    #[test]
    fn numbers_and_words_are_taken_as_they_are_written() {
        let doc = Doc::of_json(br#"{"a":40000,"b":-1,"c":true,"d":1.5,"e":null}"#).unwrap();
        assert_eq!(
            json(&doc),
            r#"{"a":"40000","b":"-1","c":"true","d":"1.5","e":null}"#
        );
    }
}
