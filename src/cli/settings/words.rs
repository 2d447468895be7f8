//! What is wrong, in a form that a page can say in another language.
//!
//! Problems are sentences of English. Each is found again in a table of phrases with places for
//! what varies, where the same is said in Russian; its code, and what stands in those places, go to
//! the page beside both sentences.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use serde::Serialize;

use crate::cli::config_problem::Problem;
use crate::cli::settings::secrets;

/// One phrase a line, with tabulators between: its code, the words with `{}` where something varies,
/// and the Russian words with `{0}`, `{1}` … for what stands there.
const PHRASES: &str = include_str!("phrases.txt");

/// A problem as the page is told of it.
#[derive(Debug, Serialize)]
pub struct Told {
    /// Path of the field; empty for the file as a whole.
    pub field: String,
    /// Line in the file as it would be, 0 for none.
    pub line: usize,
    /// The sentence.
    pub expected: String,
    /// The same in Russian, if it is in the table.
    pub ru: Option<String>,
    /// The phrase that it is, if it is in the table.
    pub code: Option<&'static str>,
    /// What stands in the places of the phrase.
    pub params: Vec<String>,
    /// What was found instead, if anything is said of it.
    pub found: Option<String>,
    /// Whether the key is missing.
    pub missing: bool,
    /// Whether `none` would do as well.
    #[serde(rename = "orNone")]
    pub or_none: bool,
    /// The character that is meant, counted from 1.
    pub at: Option<usize>,
}

/// A problem for the page; of a secret it repeats nothing.
pub fn told(problem: &Problem) -> Told {
    let mut expected = problem.expected.clone();
    if secrets::hides_found(&problem.field)
        && let Some((words, _)) = expected.split_once("; found \"")
    {
        expected = format!("{words}; found something else");
    }
    let mut told = Told {
        field: problem.field.clone(),
        line: problem.line,
        ru: None,
        code: None,
        params: Vec::new(),
        found: None,
        missing: false,
        or_none: false,
        at: None,
        expected,
    };
    let mut rest = told.expected.as_str();
    rest = rest.strip_prefix("expected ").unwrap_or(rest);
    if let Some((words, found)) = rest.split_once("; found ") {
        (rest, told.found) = (words, Some(found.to_owned()));
    } else if let Some((words, found)) = rest.split_once(", found ") {
        (rest, told.found) = (words, Some(found.to_owned()));
    }
    if let Some(words) = rest.strip_suffix(", but the key is missing") {
        (rest, told.missing) = (words, true);
    }
    if let Some((words, at)) = rest.rsplit_once(" at character ") {
        (rest, told.at) = (words, at.parse().ok());
    }
    let none = rest
        .strip_suffix(", or none")
        .or_else(|| rest.strip_prefix("none, or "));
    if let Some(words) = none {
        (rest, told.or_none) = (words, true);
    }
    if let Some((code, russian, params)) = phrase(rest) {
        told.params = params.into_iter().map(str::to_owned).collect();
        told.code = Some(code);
        told.ru = Some(in_russian(russian, &told));
    }
    told
}

/// The whole sentence in Russian.
fn in_russian(words: &str, told: &Told) -> String {
    let mut out = String::new();
    if told.expected.starts_with("expected ") {
        out.push_str("нужно: ");
    }
    let mut words = words.to_owned();
    for (at, param) in told.params.iter().enumerate() {
        words = words.replace(&format!("{{{at}}}"), param);
    }
    out.push_str(&words);
    if told.or_none {
        out.push_str(" или none");
    }
    if let Some(at) = told.at {
        out.push_str(&format!(", символ {at}"));
    }
    if told.missing {
        out.push_str(" (не указано)");
    }
    if let Some(found) = &told.found {
        let found = match found.as_str() {
            "nothing" => "ничего",
            "an empty text" => "пустой текст",
            "a single value" => "одно значение",
            "a list" => "список",
            "something else" => "другое",
            found if found.starts_with("a mapping") => "вложенные настройки",
            // Said already.
            _ if told.code == Some("ownServer") => return out,
            found => found,
        };
        out.push_str("; найдено: ");
        out.push_str(found);
    }
    out
}

/// A phrase of the table: its code, its Russian words, and what stands in its places.
type Phrase<'t> = (&'static str, &'static str, Vec<&'t str>);

/// The first phrase that a sentence is.
fn phrase(text: &str) -> Option<Phrase<'_>> {
    PHRASES.lines().find_map(|line| {
        let mut columns = line.split('\t');
        let (code, pattern, russian) = (columns.next()?, columns.next()?, columns.next()?);
        Some((code, russian, places(pattern, text)?))
    })
}

/// What stands in the places of a pattern, if a text is of it.
fn places<'t>(pattern: &str, text: &'t str) -> Option<Vec<&'t str>> {
    let mut parts = pattern.split("{}");
    let mut rest = text.strip_prefix(parts.next()?)?;
    let mut found = Vec::new();
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        let (place, after) = match parts.peek() {
            Some(_) => rest.split_once(part)?,
            None => (rest.strip_suffix(part)?, ""),
        };
        found.push(place);
        rest = after;
    }
    rest.is_empty().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(field: &str, expected: &str) -> Told {
        told(&Problem {
            file: String::new(),
            line: 0,
            field: field.to_owned(),
            expected: expected.to_owned(),
        })
    }

    #[test]
    fn a_sentence_is_taken_apart() {
        let port = of(
            "a.localPort",
            "expected a port from 1 to 65535; found \"70000\"",
        );
        assert_eq!(
            (port.code, port.found.as_deref()),
            (Some("portNumber"), Some("\"70000\""))
        );
        let calls = of(
            "limits.calls",
            "expected a number from 1 to 1000; found \"x; found y\"",
        );
        assert_eq!(
            (calls.code, calls.params),
            (Some("number"), vec!["1".to_owned(), "1000".to_owned()])
        );
        let path = of(
            "a",
            "expected the path of a folder from the root, such as /var/lib/x, at most 1024 bytes, but the key is missing",
        );
        assert_eq!(
            (path.code, path.missing, path.params.len()),
            (Some("path"), true, 3)
        );
        let none = of("a", "expected a port from 1 to 65535, or none; found \"0\"");
        assert_eq!((none.code, none.or_none), (Some("portNumber"), true));
        let sign = of(
            "a.b",
            "expected something other than a dot at character 7; found \".\"",
        );
        assert_eq!((sign.code, sign.at), (Some("streamDot"), Some(7)));
        let odd = of("a", "something that nobody says");
        assert_eq!(
            (odd.code, odd.expected.as_str()),
            (None, "something that nobody says")
        );
    }

    #[test]
    fn what_was_found_in_place_of_a_secret_is_not_repeated() {
        let told = of(
            "trunks.a.streamName",
            "expected something other than a dot at character 1; found \".hunter2\"",
        );
        assert!(!format!("{told:?}").contains("hunter2"), "{told:?}");
        assert_eq!(
            (told.code, told.found.as_deref()),
            (Some("streamDot"), Some("something else"))
        );
    }

    #[test]
    fn codes_are_words_and_each_is_there_once() {
        let mut codes: Vec<&str> = PHRASES
            .lines()
            .map(|line| line.split_once('\t').unwrap().0)
            .collect();
        assert!(
            codes
                .iter()
                .all(|code| code.chars().all(|c| c.is_ascii_alphanumeric()))
        );
        codes.sort_unstable();
        let count = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }
}
