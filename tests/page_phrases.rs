//! Whatever the configuration says is wrong has a place in the table that the page translates by:
//! every sentence of the sources is looked up in it.

use std::fs;
use std::path::{Path, PathBuf};

use trunkcast::cli::config_problem::Problem;
use trunkcast::cli::settings::words::told;

/// Sources whose words reach whoever configures the box.
const SOURCES: &[&str] = &[
    "src/base/network.rs",
    "src/base/srtp.rs",
    "src/cli",
    "src/cli/settings/secrets.rs",
    "src/gateway/config",
    "src/gateway/config.rs",
    "src/gateway/config/stream_name",
    "src/gateway/hooks/method.rs",
    "src/gateway/recording/name.rs",
];

/// Files of those folders that say other things.
const OTHERS: &[&str] = &[
    "src/cli/args.rs",
    "src/cli/check.rs",
    "src/cli/clerks.rs",
    "src/cli/mod.rs",
    "src/cli/nearest.rs",
    "src/cli/panel.rs",
    "src/cli/panel_file.rs",
    "src/cli/yaml.rs",
];

/// Texts that are no sentences, or the frame around some that are there by themselves.
const NO_SENTENCES: &[&str] = &[
    "TLS of HTTP",
    "TLS of SIP",
    "TLS of calls",
    "TLS of page",
    "TLS of pushes",
    "MP4 files",
    "a PEM file",
    "a codec",
    "a folder",
    "a kind of server",
    "a mapping (a value that begins with { wants quotes)",
    "a single value",
    "an empty text",
    "calls that hooks are asked of",
    "connections of hooks",
    "embedded defaults (no {})",
    "events of hooks",
    "expected {}, but the key is missing",
    "expected {}, found {}",
    "expected {}; found {}",
    "expected {}; found something else in credential {}",
    "m=audio ",
    "m=video ",
    "none, or {}",
    "something else",
    "trunk {}",
    "{} at character {}",
    "{} {}",
    "{}, or none",
    "{}:{}: {}: {}",
    "{}: ",
    "work of page",
];

/// What a test module begins with.
const TESTS: &str = "#[cfg(test)]\nmod tests";

/// The texts of a source, without those of its tests and comments.
fn texts(source: &str) -> Vec<String> {
    let source = source.split(TESTS).next().unwrap_or_default();
    let mut chars = source.chars().peekable();
    let mut found = Vec::new();
    while let Some(char) = chars.next() {
        match char {
            '/' if chars.peek() == Some(&'/') => {
                chars.by_ref().find(|char| *char == '\n');
            }
            // A character, not the name of a lifetime.
            '\'' => {
                let rest: Vec<char> = chars.clone().take(3).collect();
                match rest.as_slice() {
                    ['\\', ..] => {
                        chars.by_ref().nth(1);
                        chars.by_ref().find(|char| *char == '\'');
                    }
                    [_, '\'', ..] => {
                        chars.by_ref().nth(1);
                    }
                    _ => {}
                }
            }
            '"' => {
                let mut text = String::new();
                while let Some(char) = chars.next() {
                    match char {
                        '"' => break,
                        '\\' => match chars.next() {
                            Some('\n') => {
                                while chars.next_if(|char| char.is_whitespace()).is_some() {}
                            }
                            Some(escaped) => text.push(escaped),
                            None => break,
                        },
                        char => text.push(char),
                    }
                }
                found.push(text);
            }
            _ => {}
        }
    }
    found
}

/// A text with its places as `{}`, both where they have names and where braces are doubled.
fn with_places(text: &str) -> String {
    let text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let mut out = String::new();
    let mut parts = text.split('{');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        match part.split_once('}') {
            Some((name, rest)) if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                out.push_str("{}");
                out.push_str(rest);
            }
            _ => {
                out.push('{');
                out.push_str(part);
            }
        }
    }
    out.replace('\u{1}', "{").replace('\u{2}', "}")
}

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for source in SOURCES {
        let path = root.join(source);
        if path.is_file() {
            files.push(path);
            continue;
        }
        let entries = fs::read_dir(&path).unwrap();
        let inside = entries.map(|entry| entry.unwrap().path());
        files.extend(inside.filter(|path| path.extension().is_some_and(|end| end == "rs")));
    }
    files.retain(|path| !OTHERS.iter().any(|other| path.ends_with(other)));
    files
}

#[test]
fn every_sentence_of_the_sources_is_in_the_table() {
    let mut missing = Vec::new();
    let mut known = 0;
    for path in files() {
        for text in texts(&fs::read_to_string(&path).unwrap()) {
            let text = with_places(&text);
            let is_sentence = text.contains(' ') && text.chars().any(char::is_alphabetic);
            if !is_sentence || NO_SENTENCES.contains(&text.as_str()) {
                continue;
            }
            let told = told(&Problem {
                file: String::new(),
                line: 0,
                field: String::new(),
                expected: text.clone(),
            });
            match (told.code, told.ru) {
                (Some(_), Some(_)) => known += 1,
                _ => missing.push(format!("{}: {text}", path.display())),
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(known > 100, "{known}");
}

#[test]
fn a_sentence_that_is_not_in_the_table_would_be_found() {
    let source = "// \"no text\"\nlet c = '\"'; f(\"expected something {new} and\\\n   odd\", 'x', \"{{a}}\");";
    let found: Vec<String> = texts(source).iter().map(|text| with_places(text)).collect();
    assert_eq!(found, ["expected something {} andodd", "{a}"]);
    let told = told(&Problem {
        file: String::new(),
        line: 0,
        field: String::new(),
        expected: found[0].clone(),
    });
    assert_eq!(told.code, None);
}
