//! What the page is not shown: passwords, keys of streams, and what addresses hold of either.
//!
//! A secret is told by its key, wherever that stands, and an address by its `://`: so a key that was
//! mistyped or put in the wrong place shows nothing either.

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

use super::document::{Doc, TRUNKS};
use super::patch::Renamed;
use crate::base::redact::HIDDEN;
use crate::cli::config_problem::Problem;
use crate::cli::credentials::KEY;
use crate::cli::yaml::{Node, Value};
use crate::gateway::config::{HttpUrl, rtmp_url};

/// The section of the page, and its key that nothing but the page's own password dialogue changes.
const HASH: (&str, &str) = ("page", "passwordHash");

/// The document without its secrets.
pub fn masked(doc: &Doc) -> Doc {
    match doc {
        Doc::Map(entries) => {
            let mask = |(key, value): &(String, Doc)| {
                let hides = match value {
                    Doc::Text(text) => is_secret(doc, key, text),
                    Doc::Map(_) if is_credential(value) => true,
                    Doc::List(_) | Doc::Map(_) => has_secret_name(key) && !is_named(value),
                    Doc::Nothing | Doc::Secret => false,
                };
                let value = match value {
                    _ if hides => Doc::Secret,
                    Doc::Text(text) => {
                        let shown = masked_address(key, text);
                        shown.map_or_else(|| value.clone(), Doc::Text)
                    }
                    value => masked(value),
                };
                (key.clone(), value)
            };
            Doc::Map(entries.iter().map(mask).collect())
        }
        Doc::List(items) => Doc::List(items.iter().map(masked).collect()),
        Doc::Text(text) => Doc::Text(masked_address("", text).unwrap_or_else(|| text.clone())),
        Doc::Nothing | Doc::Secret => doc.clone(),
    }
}

/// Whether a single value of a mapping is a secret as a whole.
fn is_secret(map: &Doc, key: &str, text: &str) -> bool {
    has_secret_name(key) || key == "streamName" && map.get("url").is_some() && is_stream_key(text)
}

/// Whether it is a mapping of settings, such as those of a trunk that is called so.
fn is_named(value: &Doc) -> bool {
    value.get("localPort").is_some()
}

/// Whether it names a credential. That is no secret, and kept like one: pages know no other form of a
/// value that is not shown.
fn is_credential(value: &Doc) -> bool {
    matches!(value, Doc::Map(entries) if matches!(entries.as_slice(), [(key, Doc::Text(_))] if key == KEY))
}

fn has_secret_name(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["passw", "pasw", "secret"]
        .iter()
        .any(|part| key.contains(part))
}

/// A name without placeholders is what clouds call the key of a stream.
fn is_stream_key(name: &str) -> bool {
    !name.is_empty() && !name.contains('{')
}

/// An address without its secrets, if it has any. One that cannot be read shows nothing.
fn masked_address(key: &str, text: &str) -> Option<String> {
    let is_address = key == "url" || text.contains("://");
    if !is_address || !text.contains(['@', '?', '#']) {
        return None;
    }
    let shown = rtmp_url(text)
        .map(|url| url.to_string())
        .or_else(|_| text.parse::<HttpUrl>().map(|url| url.to_string()));
    let Ok(mut shown) = shown else {
        return Some(HIDDEN.to_owned());
    };
    // What some addresses leave out without a mark gets one.
    if let Some(mark) = ['?', '#'].into_iter().find(|mark| text.contains(*mark))
        && !shown.contains(mark)
    {
        shown.push(mark);
        shown.push_str(HIDDEN);
    }
    (shown != text).then_some(shown)
}

/// What a page sent, with the secrets that it left as they were; those that cannot be told are
/// problems.
pub fn revealed(sent: &Doc, old: &Doc, renamed: &Renamed) -> (Doc, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut doc = reveal(sent, Some(old), "", renamed, &mut problems);
    keep_hash(&mut doc, old);
    (doc, problems)
}

/// Puts the hash of the page's password as it was into a document, whatever that says.
pub fn keep_hash(doc: &mut Doc, old: &Doc) {
    let (section, key) = HASH;
    let hash = old.get(section).and_then(|page| page.get(key)).cloned();
    set_hash(doc, hash);
}

/// Puts a hash of the page's password into a document.
pub fn set_hash(doc: &mut Doc, hash: Option<Doc>) {
    let (section, key) = HASH;
    let mut page = doc.get(section).cloned().unwrap_or(Doc::Nothing);
    if hash.is_none() && page.get(key).is_none() {
        return;
    }
    page.put(key, hash);
    let is_empty = page == Doc::Map(Vec::new());
    doc.put(section, (!is_empty).then_some(page));
}

fn reveal(
    sent: &Doc,
    old: Option<&Doc>,
    path: &str,
    renamed: &Renamed,
    problems: &mut Vec<Problem>,
) -> Doc {
    let mut lost = |expected: &str| {
        problems.push(Problem {
            file: String::new(),
            line: 0,
            field: path.to_owned(),
            expected: expected.to_owned(),
        });
        // Nothing is written; this keeps the address in a form that has no other problem.
        let stand_in = match sent {
            Doc::Text(text) if text != HIDDEN => text.replace(&format!("{HIDDEN}@"), "x:x@"),
            _ => HIDDEN.to_owned(),
        };
        Doc::Text(stand_in)
    };
    let key = path.rsplit('.').next().unwrap_or(path);
    match sent {
        Doc::Nothing => Doc::Nothing,
        Doc::Secret => match old {
            Some(Doc::Text(text)) => Doc::text(text),
            Some(old) if is_credential(old) => old.clone(),
            _ if path == "page.passwordHash" => Doc::Nothing,
            _ => lost("expected this secret once more: what it was before cannot be told"),
        },
        Doc::Text(text) => match old {
            Some(Doc::Text(old)) if masked_address(key, old).as_ref() == Some(text) => {
                Doc::text(old)
            }
            _ if text.contains("://") && text.contains(HIDDEN) || text == HIDDEN => lost(
                "expected the address as it was shown, or a whole new one: what is hidden in it is kept only as it is",
            ),
            _ => sent.clone(),
        },
        Doc::List(items) => {
            let old = match old {
                Some(Doc::List(items)) => items.as_slice(),
                _ => &[],
            };
            let items = items.iter().enumerate().map(|(at, item)| {
                let path = format!("{path}[{}]", at.saturating_add(1));
                reveal(item, old.get(at), &path, renamed, problems)
            });
            Doc::List(items.collect())
        }
        Doc::Map(entries) => {
            let no_server = |key: &str| key == "streamName" && sent.get("url").is_none();
            let mut pairs = Vec::new();
            for (key, value) in entries {
                let below = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                let named = renamed.iter().find(|(new, _)| path == TRUNKS && new == key);
                let old_key = named.map_or(key, |(_, old)| old);
                // A key that was kept for a server must not show because the server went.
                let old = old.and_then(|old| old.get(old_key));
                let old = old.filter(|_| !(no_server(key) && *value == Doc::Secret));
                pairs.push((key.clone(), reveal(value, old, &below, renamed, problems)));
            }
            Doc::Map(pairs)
        }
    }
}

/// Which trunks have another name now: those that the page names, and else those of which one with
/// the same port, or the only one, is gone.
pub fn renamed(sent: &Doc, old: &Doc, told: Option<&Doc>) -> Vec<(String, String)> {
    let trunks = |doc: &Doc| doc.get(TRUNKS).cloned().unwrap_or(Doc::Nothing);
    let (sent, old) = (trunks(sent), trunks(old));
    let mut gone: Vec<&(String, Doc)> = old.entries().iter().collect();
    gone.retain(|(name, _)| sent.get(name).is_none());
    let mut new: Vec<&(String, Doc)> = sent.entries().iter().collect();
    new.retain(|(name, _)| old.get(name).is_none());
    let mut found: Vec<(String, String)> = Vec::new();
    let port = |trunk: &Doc| trunk.text_of("localPort").map(str::to_owned);
    let is_only = gone.len() == 1 && new.len() == 1;
    for (name, trunk) in new {
        let said = told.and_then(|told| told.text_of(name));
        let before = gone.iter().find(|(old, settings)| match said {
            Some(said) => old == said,
            None => is_only || port(trunk).is_some() && port(settings) == port(trunk),
        });
        let Some((before, _)) = before else {
            continue;
        };
        if !found.iter().any(|(_, taken)| taken == before) {
            found.push((name.clone(), before.clone()));
        }
    }
    found
}

/// The text of a file with its secrets hidden, line for line.
pub fn masked_text(text: &str, root: &Node) -> String {
    let mut hidden = Vec::new();
    collect(root, None, &mut hidden);
    hidden.sort_by_key(|(start, end, _)| (*start, *end));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end, shown) in &hidden {
        // An anchor's value may be meant several times.
        if *start < done {
            continue;
        }
        let (Some(before), Some(secret)) = (text.get(done..*start), text.get(*start..*end)) else {
            continue;
        };
        out.push_str(before);
        let mut lines = secret.split('\n');
        let first = lines.next().map_or("", |_| shown.as_str());
        out.push_str(first);
        for line in lines {
            out.push('\n');
            out.push_str(if line.trim().is_empty() { line } else { HIDDEN });
        }
        done = *end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    let secrets: Vec<&str> = hidden
        .iter()
        .filter_map(|(start, end, _)| text.get(*start..*end))
        .map(|secret| secret.trim_matches(['"', '\'']))
        .filter(|secret| secret.len() >= 4)
        .collect();
    let mut lines: Vec<String> = Vec::new();
    for line in out.split('\n') {
        lines.push(masked_comment(line, &secrets));
    }
    lines.join("\n")
}

/// Where secrets stand in the text of a file, and what is shown in their place.
fn collect(node: &Node, parent: Option<(&Doc, &str)>, hidden: &mut Vec<(usize, usize, String)>) {
    let mut hide = |span: &Range<usize>, shown: String| hidden.push((span.start, span.end, shown));
    match &node.value {
        Value::Text(text) => {
            let is_whole = parent.is_some_and(|(map, key)| is_secret(map, key, text));
            if is_whole {
                hide(&node.span, HIDDEN.to_owned());
            } else if let Some(shown) = masked_address(parent.map_or("", |(_, key)| key), text) {
                hide(&node.span, shown);
            }
        }
        Value::List(items) => {
            // Below a password there is nothing but passwords.
            let parent = parent.filter(|(_, key)| has_secret_name(key));
            items.iter().for_each(|item| collect(item, parent, hidden));
        }
        Value::Map(entries) => {
            let keys = entries
                .iter()
                .map(|entry| (entry.key.clone(), Doc::Nothing));
            let map = Doc::Map(keys.collect());
            if let [entry] = entries.as_slice()
                && entry.key == KEY
                && matches!(entry.value.value, Value::Text(_))
            {
                // The name of a credential tells nothing.
                return;
            }
            let above = parent.filter(|(_, key)| has_secret_name(key) && !is_named(&map));
            for entry in entries {
                let here = above.unwrap_or((&map, &entry.key));
                collect(&entry.value, Some(here), hidden);
            }
        }
        Value::Nothing => {}
    }
}

/// A line whose comment may be a setting that was put aside.
fn masked_comment(line: &str, secrets: &[&str]) -> String {
    let start = match line.trim_start().starts_with('#') {
        true => line.find('#'),
        false => line.find(" #").map(|at| at.saturating_add(1)),
    };
    let Some((before, comment)) = start.and_then(|at| line.split_at_checked(at)) else {
        return line.to_owned();
    };
    let low = comment.to_ascii_lowercase();
    let names = ["passw", "pasw", "secret", "streamname"];
    let hides = names.iter().any(|name| low.contains(name))
        || low.contains("://") && low.contains(['@', '?'])
        || secrets.iter().any(|secret| comment.contains(secret));
    match hides {
        true => format!("{before}# {HIDDEN}"),
        false => line.to_owned(),
    }
}

/// Whether the last key of a field's path is one whose value no problem may repeat.
pub fn hides_found(field: &str) -> bool {
    let key = field.rsplit('.').next().unwrap_or(field);
    has_secret_name(key) || key == "streamName"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::yaml;

    fn doc(text: &str) -> Doc {
        Doc::of_file(&yaml::parse(text).unwrap())
    }

    fn json(doc: &Doc) -> String {
        serde_json::to_string(doc).unwrap()
    }

    #[test]
    fn addresses_show_what_they_show_elsewhere() {
        for (address, shown) in [
            ("rtmp://server/live", None),
            ("rtmp://joe:pw@server/live", Some("rtmp://***@server/live")),
            ("rtmp://server/live?key=pw", Some("rtmp://server/live?***")),
            (
                "http://joe:pw@backend/api?x=pw",
                Some("http://***@backend/api?***"),
            ),
            ("https://backend/api?x=pw", Some("https://backend/api?***")),
            ("http://backend/a@b", None),
            ("http://backend/a#pw", Some("http://backend/a#***")),
            ("rtmpe://joe:pw@server/live", Some("***")),
            ("rtmp://joe:p/w@server/live", Some("***")),
            ("no address @?", None),
        ] {
            assert_eq!(masked_address("", address).as_deref(), shown, "{address}");
        }
    }

    #[test]
    fn stream_keys_are_names_without_placeholders_towards_a_server() {
        let trunk = |more: &str| json(&masked(&doc(&format!("trunks: {{a: {{{more}}}}}"))));
        assert!(
            trunk("url: rtmp://a.rtmp.youtube.com/live2, streamName: abcd-efgh")
                .contains(r#""streamName":{"secret":true}"#)
        );
        assert!(trunk("url: rtmp://s/live, streamName: \"x_{callee}\"").contains("x_{callee}"));
        assert!(trunk("streamName: lobby").contains("lobby"));
    }

    #[test]
    fn trunks_with_a_new_name_are_found_by_their_port_or_as_the_only_ones() {
        let old = doc("trunks: {a: {localPort: 1}, b: {localPort: 2}, c: {localPort: 3}}");
        let pairs = |new: &str, told: Option<&str>| {
            let told = told.map(doc);
            renamed(&doc(new), &old, told.as_ref())
                .into_iter()
                .map(|(new, old)| format!("{old}>{new}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            pairs("trunks: {a: {localPort: 1}, b: {}, c: {}}", None),
            [""; 0]
        );
        assert_eq!(
            pairs("trunks: {a: {}, b: {}, x: {localPort: 9}}", None),
            ["c>x"]
        );
        assert_eq!(
            pairs(
                "trunks: {a: {}, y: {localPort: 3}, x: {localPort: 2}}",
                None
            ),
            ["c>y", "b>x"]
        );
        assert_eq!(
            pairs(
                "trunks: {a: {}, y: {localPort: 8}, x: {localPort: 9}}",
                None
            ),
            [""; 0]
        );
        assert_eq!(
            pairs(
                "trunks: {a: {}, y: {localPort: 2}, x: {localPort: 3}}",
                Some("{y: c, x: b}")
            ),
            ["c>y", "b>x"]
        );
        assert_eq!(
            pairs(
                "trunks: {a: {}, y: {localPort: 2}, b: {}}",
                Some("{y: zzz}")
            ),
            [""; 0]
        );
    }

    #[test]
    fn masked_text_has_the_same_lines_and_no_secret() {
        let text = "# password: hunter2\ntrunks:\n  a:\n    url: rtmp://joe:hunter2@s/live # was ?k=hunter2 @\n    \
            streamName: 'hunter2'\n    register: {login: box, password: \"hunter2\"}\n    x: &p hunter2\nrest:\n  \
            password: |\n    hunter2\n    hunter2\n  # more\nhooks: {url: \"http://b/?hunter2\", password: *p} # plain\n\
            page: {passwordHash: $argon2id$hunter2}\npasword: hunter2\ne: # hunter2\n";
        let root = yaml::parse(text).unwrap();
        let masked = masked_text(text, &root);
        assert!(!masked.contains("hunter2"), "{masked}");
        assert_eq!(masked.lines().count(), text.lines().count());
        for kept in [
            "trunks:",
            "login: box",
            "  # more",
            "# plain",
            "rtmp://***@s/live",
        ] {
            assert!(masked.contains(kept), "{kept}\n{masked}");
        }
    }
}
