//! A YAML file as a tree whose every key and value knows its line.
//!
//! granit-parser gives the events; here they become the tree, with duplicates refused and depth,
//! nodes and aliases bounded. The tree keeps what it reads as text, so that `00123` stays a name and
//! each field decides what it wants to be. Tags are passed over.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::ops::Range;
use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, StrInput};

/// A value and the line it begins on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Line, counted from 1.
    pub line: usize,
    /// Bytes of the text that it was written in: of a block scalar perhaps more than its own, of a
    /// block collection only where it begins.
    pub span: Range<usize>,
    /// Whether it was written elsewhere: what an alias stands for, or a merged mapping.
    pub is_shared: bool,
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
    /// Bytes of the key in the text.
    pub span: Range<usize>,
    /// Whether the key was written elsewhere.
    pub is_shared: bool,
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

/// Depth of the tree; a file of ours has four.
const DEPTH: usize = 32;

/// Nodes of the tree, aliases expanded.
const NODES: usize = 20_000;

/// Reads one document. A byte order mark, CRLF and any indentation by spaces are taken.
pub fn parse(text: &str) -> Result<Node, YamlError> {
    let marked = text.len();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options = granit_parser::options! {
        block_nesting_limit: DEPTH,
        flow_nesting_limit: DEPTH,
    };
    let mut tree = Tree {
        events: Parser::new_from_str_with_options(text, options),
        before: marked.saturating_sub(text.len()),
        anchors: BTreeMap::new(),
        nodes: 0,
    };
    let mut root = None;
    loop {
        let (event, place) = tree.next()?;
        let line = place.line;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentEnd => {}
            Event::DocumentStart(..) if root.is_some() => {
                return Err(YamlError::at(line, "one document, not several"));
            }
            Event::DocumentStart(..) => {
                let (event, place) = tree.next()?;
                root = Some(tree.node(event, place, 0)?);
            }
            _ => return Err(YamlError::at(line, "a document")),
        }
    }
    Ok(root.unwrap_or(Node {
        line: 1,
        span: 0..0,
        is_shared: false,
        value: Value::Nothing,
    }))
}

impl YamlError {
    fn at(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            duplicate: None,
            message: message.into(),
        }
    }
}

/// Where an event stands.
#[derive(Clone)]
struct Place {
    line: usize,
    span: Range<usize>,
}

/// Builds nodes of events.
struct Tree<'a> {
    events: Parser<'a, StrInput<'a>>,
    /// Bytes of the text before the first that is parsed.
    before: usize,
    /// What each anchor stands for.
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl<'a> Tree<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Place), YamlError> {
        match self.events.next_event() {
            Some(Ok((event, span))) => {
                let bytes = span.byte_range().unwrap_or_default();
                let moved = |at: usize| at.saturating_add(self.before);
                let place = Place {
                    line: span.start.line(),
                    span: moved(bytes.start)..moved(bytes.end),
                };
                Ok((event, place))
            }
            Some(Err(error)) => Err(YamlError::at(error.marker().line(), error.info())),
            None => Ok((
                Event::StreamEnd,
                Place {
                    line: 0,
                    span: 0..0,
                },
            )),
        }
    }

    /// The node that begins with an event.
    fn node(&mut self, event: Event<'a>, place: Place, depth: usize) -> Result<Node, YamlError> {
        let Place { line, mut span } = place;
        self.count(line, 1)?;
        if depth > DEPTH {
            return Err(YamlError::at(line, "fewer levels"));
        }
        let depth = depth.saturating_add(1);
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, _) => (anchor, scalar(&text, style)),
            Event::SequenceStart(_, anchor, _) => {
                (anchor, Value::List(self.list(depth, &mut span)?))
            }
            Event::MappingStart(_, anchor, _) => (anchor, Value::Map(self.map(depth, &mut span)?)),
            Event::Alias(anchor) => {
                let mut node = match self.anchors.get(&anchor) {
                    Some(node) => node.clone(),
                    // Within what it stands for.
                    None => return Err(YamlError::at(line, "no alias of itself")),
                };
                self.count(line, node.move_to(line))?;
                return Ok(node);
            }
            _ => return Err(YamlError::at(line, "a value")),
        };
        let node = Node {
            line,
            span,
            is_shared: false,
            value,
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize, span: &mut Range<usize>) -> Result<Vec<Node>, YamlError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, place) => {
                    span.end = place.span.end;
                    return Ok(items);
                }
                (event, place) => items.push(self.node(event, place, depth)?),
            }
        }
    }

    fn map(&mut self, depth: usize, whole: &mut Range<usize>) -> Result<Vec<Entry>, YamlError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, place) = self.next()?;
            if event == Event::MappingEnd {
                whole.end = place.span.end;
                break;
            }
            let (line, span) = (place.line, place.span.clone());
            let is_merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = match self.node(event, place, depth)?.value {
                Value::Text(key) => key,
                Value::Nothing => String::new(),
                Value::List(_) | Value::Map(_) => {
                    return Err(YamlError::at(line, "a single value as key"));
                }
            };
            let (event, place) = self.next()?;
            let value = self.node(event, place, depth)?;
            if is_merge {
                merged.push(value);
                continue;
            }
            if entries.iter().any(|entry| entry.key == key) {
                return Err(YamlError {
                    line,
                    message: format!("each key once, and {key} is there twice"),
                    duplicate: Some(key),
                });
            }
            entries.push(Entry {
                key,
                line,
                span,
                is_shared: false,
                value,
            });
        }
        for node in merged {
            merge(&mut entries, node)?;
        }
        Ok(entries)
    }

    fn count(&mut self, line: usize, nodes: usize) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES {
            return Err(YamlError::at(line, "fewer values"));
        }
        Ok(())
    }
}

impl Node {
    /// Says of a node and all within it that they stand on a line; how many they are.
    fn move_to(&mut self, line: usize) -> usize {
        self.line = line;
        self.is_shared = true;
        let within: usize = match &mut self.value {
            Value::Nothing | Value::Text(_) => 0,
            Value::List(items) => items.iter_mut().map(|item| item.move_to(line)).sum(),
            Value::Map(entries) => {
                let entries = entries.iter_mut().map(|entry| {
                    entry.line = line;
                    entry.is_shared = true;
                    entry.value.move_to(line)
                });
                entries.sum()
            }
        };
        within.saturating_add(1)
    }
}

/// A single value: a plain one may be nothing, any other is text.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    let is_nothing = matches!(text, "" | "~" | "null" | "Null" | "NULL");
    if style == ScalarStyle::Plain && is_nothing {
        Value::Nothing
    } else {
        Value::Text(text.to_owned())
    }
}

/// Adds the entries of the merge key `<<`, a mapping or a list of them; keys that are there stay.
fn merge(entries: &mut Vec<Entry>, node: Node) -> Result<(), YamlError> {
    match node.value {
        Value::Map(more) => {
            for mut entry in more {
                entry.is_shared = true;
                if !entries.iter().any(|known| known.key == entry.key) {
                    entries.push(entry);
                }
            }
            Ok(())
        }
        Value::List(items) => items.into_iter().try_for_each(|item| merge(entries, item)),
        Value::Nothing | Value::Text(_) => Err(YamlError::at(node.line, "a mapping to merge")),
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
            ("a: 1\n---\nb: 2\n", 2),
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
