//! Reading the sections of a configuration: known keys, single values and lists, each problem with
//! its line.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::collections::BTreeMap;

use crate::base::redact::OneLine;
use crate::cli::config_problem::Problem;
use crate::cli::credentials::{self, Credentials};
use crate::cli::nearest::nearest;
use crate::cli::yaml::{Entry, Node, Value};
use crate::gateway::config::Expected;

/// Characters of a wrong value that a problem repeats.
const SHOWN_CHARS: usize = 48;

/// What is right for one kind of value or another that credentials are for.
const STAND_INS: [&str; 3] = [
    "credential",
    "rtmp://credential.invalid/live",
    "http://credential.invalid/",
];

/// How much of a wrong value a problem repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    /// All of it.
    All,
    /// All of it, unless it may hold credentials or a key.
    Url,
    /// All of it; it may be a key, and then a credential instead.
    Key,
    /// Nothing.
    Nothing,
}

/// A mapping of the file whose keys are known.
pub struct Section<'a> {
    path: String,
    line: usize,
    entries: Vec<&'a Entry>,
}

impl Section<'_> {
    /// Whether the file has this key.
    pub fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Whether the file has no key in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The text of a single value.
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.entry(key)?.value.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key).copied()
    }

    fn field(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }
}

/// Collects the problems and notices of one file.
pub struct Reader<'a> {
    file: &'a str,
    problems: Vec<Problem>,
    notices: Vec<String>,
    lines: BTreeMap<String, usize>,
    credentials: Credentials,
}

impl<'a> Reader<'a> {
    /// A reader of `file`.
    pub fn new(file: &'a str) -> Self {
        Self {
            file,
            problems: Vec::new(),
            notices: Vec::new(),
            lines: BTreeMap::new(),
            credentials: Credentials::None,
        }
    }

    /// The same, with the values of credentials that the file names.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Whether a problem was found so far.
    pub fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// The problems, in the order of the file.
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.line);
        self.problems
    }

    /// The notices, in the order they were made.
    pub fn into_notices(self) -> Vec<String> {
        self.notices
    }

    /// Adds a problem.
    pub fn problem(&mut self, line: usize, field: &str, expected: String) {
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line,
            field: OneLine::new(field, 200).to_string(),
            expected,
        });
    }

    /// Adds a problem of a section's key.
    pub fn problem_at(&mut self, section: &Section<'_>, key: &str, expected: String) {
        let field = section.field(key);
        self.problem(self.line_of(&field), &field, expected);
    }

    /// Adds a line for whoever starts the program.
    pub fn notice(&mut self, section: &Section<'_>, key: &str, words: &str) {
        let field = section.field(key);
        let line = self.line_of(&field);
        self.notices
            .push(format!("{}:{line}: {field}: {words}", self.file));
    }

    /// Remembers where a field stands.
    pub fn note_line(&mut self, field: &str, line: usize) {
        self.lines.insert(field.to_owned(), line);
    }

    /// The line of a field, or of the nearest section around it that is in the file; 0 for none.
    pub fn line_of(&self, field: &str) -> usize {
        let mut path = field;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            match path.rsplit_once('.') {
                Some((around, _)) => path = around,
                None => return 0,
            }
        }
    }

    /// A section of known keys. Every other key is a problem: in the words of `hint`, or with the
    /// nearest known name.
    pub fn section<'n>(
        &mut self,
        path: &str,
        line: usize,
        entries: &[&'n Entry],
        known: &[&str],
        hint: impl Fn(&str) -> Option<String>,
    ) -> Section<'n> {
        if !path.is_empty() {
            self.note_line(path, line);
        }
        let section = Section {
            path: path.to_owned(),
            line,
            entries: entries.to_vec(),
        };
        for entry in entries {
            let field = section.field(&entry.key);
            if known.contains(&entry.key.as_str()) {
                self.note_line(&field, entry.line);
                continue;
            }
            let expected = hint(&entry.key).unwrap_or_else(|| {
                match nearest(&entry.key, known.iter().copied()) {
                    Some(name) => format!("unknown key; did you mean {name}?"),
                    None => format!("unknown key; expected one of {}", known.join(", ")),
                }
            });
            self.problem(entry.line, &field, expected);
        }
        section
    }

    /// The section below a key, if the file has it.
    pub fn child<'n>(
        &mut self,
        section: &Section<'n>,
        key: &str,
        known: &[&str],
    ) -> Option<Section<'n>> {
        let entry = section.entries.iter().find(|entry| entry.key == key)?;
        let path = section.field(key);
        if let Value::Map(entries) = &entry.value.value {
            let entries: Vec<&Entry> = entries.iter().collect();
            return Some(self.section(&path, entry.line, &entries, known, |_| None));
        }
        let keys = known.join(", ");
        self.problem(
            entry.line,
            &path,
            format!("expected {keys} below it, found {}", kind(&entry.value)),
        );
        None
    }

    /// A value, if the file has its key and it is right.
    pub fn value<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        let entry = section.entry(key)?;
        self.single(
            &section.field(key),
            &entry.value,
            entry.line,
            Repeat::All,
            parse,
        )
    }

    /// As [`Self::value`], for a value that no problem may repeat.
    pub fn secret<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        let entry = section.entry(key)?;
        self.single(
            &section.field(key),
            &entry.value,
            entry.line,
            Repeat::Nothing,
            parse,
        )
    }

    /// As [`Self::value`], for an address that may hold credentials.
    pub fn url<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        let entry = section.entry(key)?;
        self.single(
            &section.field(key),
            &entry.value,
            entry.line,
            Repeat::Url,
            parse,
        )
    }

    /// As [`Self::value`], for a name that may be the key of a stream.
    pub fn key<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        let entry = section.entry(key)?;
        self.single(
            &section.field(key),
            &entry.value,
            entry.line,
            Repeat::Key,
            parse,
        )
    }

    /// As [`Self::value`]; a missing key is a problem.
    pub fn required<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        self.missing(section, key, &parse);
        self.value(section, key, parse)
    }

    /// As [`Self::url`]; a missing key is a problem.
    pub fn required_url<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        self.missing(section, key, &parse);
        self.url(section, key, parse)
    }

    /// As [`Self::secret`]; a missing key is a problem.
    pub fn required_secret<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        self.missing(section, key, &parse);
        self.secret(section, key, parse)
    }

    /// The values of a list, if the file has its key and all of them are right.
    pub fn list<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<Vec<T>> {
        let entry = section.entry(key)?;
        let field = section.field(key);
        let Value::List(items) = &entry.value.value else {
            let found = kind(&entry.value);
            self.problem(
                entry.line,
                &field,
                format!("expected a list, found {found}"),
            );
            return None;
        };
        if items.is_empty() || items.len() > most {
            let expected = format!("expected 1 to {most} entries, found {}", items.len());
            self.problem(entry.line, &field, expected);
            return None;
        }
        let values: Vec<Option<T>> = items
            .iter()
            .map(|item| self.single(&field, item, item.line, Repeat::All, &parse))
            .collect();
        values.into_iter().collect()
    }

    /// The sections of a list, if the file has its key. Each is named by its place: `rules[1]`.
    pub fn sections<'n>(
        &mut self,
        section: &Section<'n>,
        key: &str,
        most: usize,
        known: &[&str],
    ) -> Vec<Section<'n>> {
        let Some(entry) = section.entries.iter().find(|entry| entry.key == key) else {
            return Vec::new();
        };
        let field = section.field(key);
        let Value::List(items) = &entry.value.value else {
            let found = kind(&entry.value);
            let expected = format!("expected a list, found {found}");
            self.problem(entry.line, &field, expected);
            return Vec::new();
        };
        if items.is_empty() || items.len() > most {
            let expected = format!("expected 1 to {most} entries, found {}", items.len());
            self.problem(entry.line, &field, expected);
        }
        let mut sections = Vec::new();
        for (at, item) in items.iter().take(most).enumerate() {
            let path = format!("{field}[{}]", at + 1);
            if let Value::Map(entries) = &item.value {
                let entries: Vec<&Entry> = entries.iter().collect();
                sections.push(self.section(&path, item.line, &entries, known, |_| None));
            } else {
                let expected = format!("expected {}, found {}", known.join(", "), kind(item));
                self.problem(item.line, &path, expected);
            }
        }
        sections
    }

    /// The entries of a mapping with keys of any name, if the file has its key; those that are right.
    pub fn pairs<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        most: usize,
        parse: impl Fn(&str, &str) -> Result<T, Expected>,
    ) -> Vec<T> {
        let Some(entry) = section.entry(key) else {
            return Vec::new();
        };
        let field = section.field(key);
        let entries = match &entry.value.value {
            Value::Map(entries) if (1..=most).contains(&entries.len()) => entries,
            Value::Map(entries) => {
                let expected = format!("expected 1 to {most} entries, found {}", entries.len());
                self.problem(entry.line, &field, expected);
                return Vec::new();
            }
            _ => {
                let found = kind(&entry.value);
                let expected = format!("expected names with values below it, found {found}");
                self.problem(entry.line, &field, expected);
                return Vec::new();
            }
        };
        let mut values = Vec::new();
        for one in entries {
            let field = format!("{field}.{}", one.key);
            let read = |text: &str| parse(&one.key, text);
            values.extend(self.single(&field, &one.value, one.line, Repeat::All, read));
        }
        values
    }

    /// A missing key is told in the words that an empty value would get.
    fn missing<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        parse: &impl Fn(&str) -> Result<T, Expected>,
    ) {
        if !section.has(key)
            && let Err(expected) = parse("")
        {
            let expected = format!("expected {expected}, but the key is missing");
            self.problem(section.line, &section.field(key), expected);
        }
    }

    fn single<T>(
        &mut self,
        field: &str,
        node: &Node,
        line: usize,
        repeat: Repeat,
        parse: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        if repeat != Repeat::All
            && let Some(name) = credentials::reference(node)
        {
            return self.credential(field, line, name, parse);
        }
        let text = match &node.value {
            Value::Text(text) => text.as_str(),
            _ => "",
        };
        let shown = match repeat {
            Repeat::All | Repeat::Key => true,
            Repeat::Url => !text.contains(['@', '?']),
            Repeat::Nothing => false,
        };
        let found = match text {
            "" => kind(node).to_owned(),
            text if shown => format!("\"{}\"", OneLine::new(text, SHOWN_CHARS)),
            _ => "something else".to_owned(),
        };
        if !matches!(&node.value, Value::List(_) | Value::Map(_)) {
            match parse(text) {
                Ok(value) => return Some(value),
                Err(expected) => {
                    self.problem(line, field, format!("expected {expected}; found {found}"));
                    return None;
                }
            }
        }
        let expected = match parse("") {
            Err(expected) => expected.to_string(),
            Ok(_) => "a single value".to_owned(),
        };
        self.problem(line, field, format!("expected {expected}; found {found}"));
        None
    }

    /// The value of a credential. Where there will be one later, another stands in that is right.
    fn credential<T>(
        &mut self,
        field: &str,
        line: usize,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        let shown = OneLine::new(name, SHOWN_CHARS);
        match self.credentials.read(name) {
            Ok(Some(value)) => {
                let parsed = parse(value.expose());
                parsed
                    .map_err(|expected| {
                        let words = format!(
                            "expected {expected}; found something else in credential {shown}"
                        );
                        self.problem(line, field, words);
                    })
                    .ok()
            }
            Ok(None) => {
                let words = format!("credential {shown} is not looked at before the start");
                self.notices
                    .push(format!("{}:{line}: {field}: {words}", self.file));
                STAND_INS.iter().find_map(|value| parse(value).ok())
            }
            Err(words) => {
                self.problem(line, field, words);
                None
            }
        }
    }
}

fn kind(node: &Node) -> &'static str {
    match &node.value {
        Value::Nothing => "nothing",
        Value::Text(text) if text.is_empty() => "an empty text",
        Value::Text(_) => "a single value",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping (a value that begins with { wants quotes)",
    }
}
