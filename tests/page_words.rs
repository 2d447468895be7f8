//! The words of the local page: each in English and in Russian, each used, and one for every code that the
//! box answers with.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The modules that show words.
const MODULES: [&str; 5] = ["ui.js", "now.js", "setup.js", "settings.js", "page.js"];
/// Codes that nobody sees who uses the page as it is: of requests that it never makes.
const NEVER_SHOWN: [&str; 9] = [
    "badQuery",
    "badRequest",
    "request",
    "method",
    "crossSite",
    "noPassword",
    "defect",
    "tooLong",
    "tooManyWatched",
];

fn asset(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gateway/page/assets");
    fs::read_to_string(folder.join(name)).expect("the file is part of the page")
}

/// Every key with its English and its Russian.
fn words() -> BTreeMap<String, (String, String)> {
    let text = asset("words.js");
    let table = text.split('`').nth(1).expect("the table is a template");
    let mut family = String::new();
    let mut words = BTreeMap::new();
    for line in table.trim().lines() {
        if let Some(name) = line.strip_prefix('#') {
            family = match name {
                "" => String::new(),
                name => format!("{name}."),
            };
            continue;
        }
        let parts: Vec<&str> = line.split('~').collect();
        let (key, english, russian) = match parts[..] {
            [key, both] => (key, both, both),
            [key, english, russian] => (key, english, russian),
            _ => panic!("not key~English~Russian: {line}"),
        };
        assert!(!english.is_empty() && !russian.is_empty(), "{line}");
        let entry = (english.to_owned(), russian.to_owned());
        let twice = words.insert(format!("{family}{key}"), entry);
        assert!(twice.is_none(), "{family}{key} is there twice");
    }
    words
}

fn modules() -> String {
    MODULES.map(asset).join("\n")
}

/// What stands between `open` and `close`, wherever it does.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open)
        .skip(1)
        .filter_map(move |rest| rest.split(close).next())
}

fn placeholders(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = between(text, "{", "}").collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn both_languages_have_every_word() {
    for (key, (english, russian)) in words() {
        if english != russian {
            let cyrillic = |c: char| ('а'..='я').contains(&c.to_ascii_lowercase()) || c > 'Ѐ';
            let units = russian.chars().any(cyrillic);
            assert!(units, "{key} has no Russian: {russian}");
        }
        assert_eq!(placeholders(&english), placeholders(&russian), "{key}");
        let forms = |text: &str| text.split('|').count();
        match forms(&english) {
            1 => assert_eq!(forms(&russian), 1, "{key}"),
            english => assert_eq!((english, forms(&russian)), (2, 3), "{key}"),
        }
        let helped = |text: &str| text.contains(" :: ");
        assert_eq!(helped(&english), helped(&russian), "{key}");
    }
}

#[test]
fn every_word_is_used_and_every_word_used_is_there() {
    let words = words();
    let code = modules();
    let asked: Vec<&str> = between(&code, "t(\"", "\"")
        .chain(between(&code, "fact(\"", "\""))
        .collect();
    for key in &asked {
        // Other calls that end in t have no words.
        let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        if is_key && !["input", "svg", "dialog", "select"].contains(key) {
            let known = words.contains_key(*key);
            assert!(known || !code.contains(&format!(" t(\"{key}\"")), "{key}");
        }
    }
    for key in words.keys() {
        let literal = code.contains(&format!("\"{key}\""));
        let named = code.contains(&format!("{key}:"));
        let family = key.split_once('.').is_some_and(|(family, _)| {
            code.contains(&format!("{family}.${{")) || code.contains(&format!("code(\"{family}\""))
        });
        // Of cards and steps of the guide, whose words are named after them.
        let card = ["Tells", "Go", "Title"].iter().any(|end| {
            key.strip_suffix(end)
                .is_some_and(|name| code.contains(&format!("\"{name}\"")))
        });
        let step = key.strip_prefix("guide.").is_some_and(|rest| {
            code.contains(&format!(
                "guide.{}${{",
                rest.trim_end_matches(|c: char| c.is_ascii_digit())
            ))
        });
        assert!(
            literal || named || family || card || step,
            "{key} is not used"
        );
    }
}

#[test]
fn every_setting_of_the_forms_has_its_label() {
    let words = words();
    let code = asset("settings.js");
    let table = between(&code, "const TRUNK =", "const TRUNKS").next();
    let table = table.expect("the table of settings");
    let mut fields = 0;
    for group in between(table, ": \"", "\"") {
        for entry in group.split(' ') {
            let name = entry
                .trim_end_matches('*')
                .split(':')
                .next()
                .unwrap_or_default();
            let mut short = name;
            while !words.contains_key(&format!("f.{short}")) {
                short = short
                    .split_once('.')
                    .unwrap_or_else(|| panic!("{name} has no label"))
                    .1;
            }
            fields += 1;
        }
    }
    assert!(fields > 60, "{fields} fields");
}

#[test]
fn every_code_of_the_box_has_its_words() {
    let words = words();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: &str| fs::read_to_string(folder.join(path)).expect("a source file");
    let mut checked = 0;
    let mut check = |family: &str, code: &str| {
        let known = words.contains_key(&format!("{family}.{code}"));
        assert!(
            known || NEVER_SHOWN.contains(&code),
            "{family}.{code} has no words"
        );
        checked += 1;
    };
    let page = folder.join("gateway/page");
    for entry in fs::read_dir(page).expect("the page's folder").flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|kind| kind != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        for call in between(&text, "Reply::problem(", ")") {
            if let Some(code) = between(call, "\"", "\"").next() {
                check("code", code);
            }
        }
    }
    // The words of publishers, connections and answers that stand for a code each.
    let table = read("gateway/page/problem.rs");
    let table = table.split("#[cfg(test)]").next().unwrap_or_default();
    for line in table.lines() {
        let quoted: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        if let [.., code] = quoted[..]
            && !code.is_empty()
            && code.chars().all(|c| c.is_ascii_alphabetic())
            && code.starts_with(|c: char| c.is_ascii_lowercase())
            && (line.trim_end().ends_with("\"),") || line.contains("=> \""))
        {
            check("code", code);
        }
    }
    let variants = |path: &str, name: &str| -> Vec<String> {
        let text = read(path);
        let open = format!("pub enum {name} {{\n");
        let body = between(&text, &open, "\n}").next().expect("the enum");
        let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
        let names = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
        names
            .map(|line| {
                let name = line.split(|c: char| !c.is_ascii_alphanumeric()).next();
                let name = name.unwrap_or_default();
                name[..1].to_lowercase() + &name[1..]
            })
            .collect()
    };
    for (path, name, family) in [
        ("gateway/ending.rs", "Ending", "end"),
        ("cli/trial/report.rs", "Problem", "code"),
        ("cli/trial/report.rs", "Note", "note"),
    ] {
        let codes = variants(path, name);
        assert!(codes.len() > 2, "{name}");
        codes.iter().for_each(|code| check(family, code));
    }
    // What the player of live.js tells.
    let live = asset("live.js");
    for call in between(&live, "tell('", "'") {
        if !matches!(call, "playing" | "signedOut") {
            check("live", call);
        }
    }
    assert!(checked > 80, "{checked} codes");
}
