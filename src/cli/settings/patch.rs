//! A settings file changed where its values changed: comments, order and layout of everything else
//! stay as somebody wrote them.
//!
//! What comes out is read again and compared with what was wanted. Where it is not the same, as with
//! anchors that are used elsewhere, the whole file is printed anew.

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

use super::document::{Doc, TRUNKS, flat_trunks};
use super::print;
use crate::cli::yaml::{self, Entry, Node, Value};

/// Trunks that have another name now: the new one and the old.
pub type Renamed = [(String, String)];

/// The text of a file that says what is wanted, as near to `text` as can be.
pub fn updated(text: &str, wanted: &Doc, renamed: &Renamed) -> String {
    let Ok(root) = yaml::parse(text) else {
        return print::file(wanted);
    };
    let is_wanted =
        |text: &str| yaml::parse(text).is_ok_and(|root| Doc::of_file(&root).is_like(wanted));
    match patched(text, &root, wanted, renamed) {
        Some(patched) if is_wanted(&patched) => patched,
        _ => print::file(&in_order_of(&Doc::of_file(&root), wanted)),
    }
}

/// A mapping with the keys that were there before in their order, and the new ones behind them.
fn in_order_of(old: &Doc, wanted: &Doc) -> Doc {
    let Doc::Map(entries) = wanted else {
        return wanted.clone();
    };
    let place = |key: &str| old.entries().iter().position(|(known, _)| known == key);
    let mut ordered: Vec<(String, Doc)> = entries
        .iter()
        .map(|(key, value)| {
            let before = old.get(key).unwrap_or(&Doc::Nothing);
            (key.clone(), in_order_of(before, value))
        })
        .collect();
    ordered.sort_by_key(|(key, _)| place(key).unwrap_or(usize::MAX));
    Doc::Map(ordered)
}

fn patched(text: &str, root: &Node, wanted: &Doc, renamed: &Renamed) -> Option<String> {
    let flat = flat_trunks(root);
    let Value::Map(entries) = &root.value else {
        return None;
    };
    let mut editor = Editor {
        text,
        renamed,
        edits: Vec::new(),
    };
    if flat.is_empty() {
        editor.block(entries, wanted.entries(), Level::Root)?;
    } else {
        editor.block(entries, &flattened(wanted, entries)?, Level::Trunks)?;
    }
    editor.finish()
}

/// What is wanted, its trunks beside `trunks` as in the file.
fn flattened(wanted: &Doc, entries: &[Entry]) -> Option<Vec<(String, Doc)>> {
    let trunks = wanted.get(TRUNKS)?.entries();
    let mut flat: Vec<(String, Doc)> = Vec::new();
    for (key, value) in wanted.entries() {
        if key == TRUNKS {
            let has_key = entries.iter().any(|entry| entry.key == TRUNKS);
            flat.extend(has_key.then(|| (key.clone(), Doc::Nothing)));
            flat.extend(trunks.iter().cloned());
        } else {
            flat.push((key.clone(), value.clone()));
        }
    }
    let is_once = |key: &String| flat.iter().filter(|(other, _)| other == key).count() == 1;
    flat.iter().all(|(key, _)| is_once(key)).then_some(flat)
}

/// What the keys of a mapping are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    /// Names of trunks, perhaps new ones.
    Trunks,
    Other,
}

struct Editor<'a> {
    text: &'a str,
    renamed: &'a Renamed,
    /// Bytes that are replaced, and by what.
    edits: Vec<(Range<usize>, String)>,
}

impl Editor<'_> {
    /// Changes a block mapping; `None` where it has to be printed anew.
    fn block(&mut self, entries: &[Entry], wanted: &[(String, Doc)], level: Level) -> Option<()> {
        let own = || entries.iter().filter(|entry| !entry.is_shared);
        let column = self.column(own().next()?)?;
        if wanted.is_empty() || own().any(|entry| self.column(entry) != Some(column)) {
            return None;
        }
        let old_name = |key: &String| {
            let renamed = self.renamed.iter().filter(|_| level == Level::Trunks);
            let found = renamed.clone().find(|(new, _)| new == key);
            found.map_or_else(|| key.clone(), |(_, old)| old.clone())
        };
        let named: Vec<(String, &String, &Doc)> = wanted
            .iter()
            .map(|(key, value)| (old_name(key), key, value))
            .collect();
        let mut added = String::new();
        for (old, key, value) in &named {
            match entries.iter().find(|entry| entry.key == *old) {
                Some(entry) => self.entry(entry, column, key, value, level)?,
                None => added.push_str(&print::entry(column, key, value)),
            }
        }
        for entry in entries {
            if !named.iter().any(|(old, ..)| *old == entry.key) {
                let lines = self.lines(entry)?;
                self.edits.push((lines, String::new()));
            }
        }
        if !added.is_empty() {
            let end = self.lines(own().next_back()?)?.end;
            if !self.text.get(..end)?.ends_with('\n') {
                added.insert(0, '\n');
            }
            self.edits.push((end..end, added));
        }
        Some(())
    }

    /// Changes one entry of a block mapping.
    fn entry(
        &mut self,
        entry: &Entry,
        column: usize,
        key: &str,
        wanted: &Doc,
        level: Level,
    ) -> Option<()> {
        let before = self.edits.len();
        let below = match level {
            Level::Root if entry.key == TRUNKS => Level::Trunks,
            _ => Level::Other,
        };
        let renames = entry.key != key;
        if renames && !entry.is_shared {
            let name = print::inline(&Doc::text(key));
            self.edits.push((entry.span.clone(), name));
        }
        let can_rename = !renames || !entry.is_shared;
        if can_rename && self.value(&entry.value, wanted, below, false).is_some() {
            return Some(());
        }
        self.edits.truncate(before);
        let lines = self.lines(entry)?;
        self.edits.push((lines, print::entry(column, key, wanted)));
        Some(())
    }

    /// Changes a value in its place; `None` where its entry has to be printed anew.
    fn value(&mut self, node: &Node, wanted: &Doc, level: Level, in_flow: bool) -> Option<()> {
        if Doc::of_node(node).is_like(wanted) {
            return Some(());
        }
        if node.is_shared {
            return None;
        }
        let is_flow = self.is_flow(node);
        match (&node.value, wanted) {
            (Value::Text(_), Doc::Text(text)) => {
                let old = self.text.get(node.span.clone())?;
                let is_line = !old.contains('\n') && !old.starts_with(['|', '>']);
                if !is_line || old.is_empty() || (text.contains('\n') && !in_flow) {
                    return None;
                }
            }
            (Value::Map(entries), Doc::Map(wanted)) if !is_flow => {
                return self.block(entries, wanted, level);
            }
            (Value::Map(entries), Doc::Map(pairs)) => {
                let same = entries.len() == pairs.len()
                    && entries.iter().all(|entry| wanted.get(&entry.key).is_some());
                let before = self.edits.len();
                if same {
                    let mut all = entries.iter();
                    let done = all.all(|entry| {
                        let value = wanted.get(&entry.key).unwrap_or(&Doc::Nothing);
                        self.value(&entry.value, value, Level::Other, true)
                            .is_some()
                    });
                    if done {
                        return Some(());
                    }
                    self.edits.truncate(before);
                }
            }
            _ if is_flow => {}
            _ => return None,
        }
        self.edits.push((node.span.clone(), print::inline(wanted)));
        Some(())
    }

    /// The column of a key that stands first on its line.
    fn column(&self, entry: &Entry) -> Option<usize> {
        let before = self.text.get(..entry.span.start)?;
        let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        line.bytes().all(|byte| byte == b' ').then_some(line.len())
    }

    /// The lines of an entry, without those of comments behind it.
    fn lines(&self, entry: &Entry) -> Option<Range<usize>> {
        if entry.is_shared {
            return None;
        }
        let start = entry.span.start.checked_sub(self.column(entry)?)?;
        let end = self.end(entry);
        let rest = self.text.get(end..)?;
        let line = rest
            .find('\n')
            .map_or(rest.len(), |at| at.saturating_add(1));
        Some(start..end.saturating_add(line))
    }

    /// Where an entry ends.
    fn end(&self, entry: &Entry) -> usize {
        let value = match entry.value.is_shared {
            true => None,
            false => self.node_end(&entry.value),
        };
        value.unwrap_or_default().max(entry.span.end)
    }

    /// Where a value ends, if it has a text.
    fn node_end(&self, node: &Node) -> Option<usize> {
        match &node.value {
            Value::Nothing => None,
            _ if self.is_flow(node) => Some(node.span.end),
            Value::Text(_) => Some(self.text.get(..node.span.end)?.trim_end().len()),
            Value::List(items) => items.iter().filter_map(|item| self.node_end(item)).max(),
            Value::Map(entries) => entries
                .iter()
                .filter(|entry| !entry.is_shared)
                .map(|entry| self.end(entry))
                .max(),
        }
    }

    /// Whether a list or mapping stands in brackets.
    fn is_flow(&self, node: &Node) -> bool {
        let is_collection = matches!(node.value, Value::List(_) | Value::Map(_));
        let first = self.text.get(node.span.clone());
        is_collection && first.is_some_and(|text| text.starts_with(['{', '[']))
    }

    /// The text with all that was changed.
    fn finish(mut self) -> Option<String> {
        self.edits
            .sort_by_key(|(bytes, _)| (bytes.start, bytes.end));
        let has_crlf = self.text.lines().count() > 0 && self.text.contains("\r\n");
        let mut out = String::with_capacity(self.text.len());
        let mut done = 0;
        for (bytes, replacement) in &self.edits {
            out.push_str(self.text.get(done..bytes.start)?);
            match has_crlf {
                true => out.push_str(&replacement.replace('\n', "\r\n")),
                false => out.push_str(replacement),
            }
            done = bytes.end;
        }
        out.push_str(self.text.get(done..)?);
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# The box of the lobby.\n\ntrunks:\n  # The old PBX.\n  office:\n    \
        localPort: 40000   # SIP\n    proxyIp: '192.0.2.10'\n    register: {login: box, password: hunter2} # both\n    \
        sdp: |\n      m=audio 0 RTP/AVP 8\n      # no comment\n\n    # Codecs, best first.\n    codecs: [h264, pcma]\n    \
        allow:\n      - 192.0.2.0/24 # all\n      - 198.51.100.7\n\n  # The new one.\n  door:\n    localPort: 40002\n    \
        allow: [198.51.100.7]\n# Limits.\nlimits: {calls: 8} # enough\n# The end.\n";

    fn doc(text: &str) -> Doc {
        Doc::of_file(&yaml::parse(text).unwrap())
    }

    /// The file after a change of its document.
    fn changed(text: &str, change: impl FnOnce(&mut Doc)) -> String {
        changed_with_names(text, &[], change)
    }

    fn changed_with_names(text: &str, renamed: &Renamed, change: impl FnOnce(&mut Doc)) -> String {
        let mut wanted = doc(text);
        change(&mut wanted);
        let new = updated(text, &wanted, renamed);
        assert!(doc(&new).is_like(&wanted), "{new}");
        new
    }

    fn at<'d>(doc: &'d mut Doc, path: &[&str]) -> &'d mut Doc {
        path.iter().fold(doc, |doc, key| match doc {
            Doc::Map(entries) => &mut entries.iter_mut().find(|(name, _)| name == key).unwrap().1,
            _ => panic!("{key}"),
        })
    }

    /// Lines that went and lines that came.
    fn difference(old: &str, new: &str) -> (Vec<String>, Vec<String>) {
        let only = |a: &str, b: &str| {
            let lines = a
                .lines()
                .filter(|line| !b.lines().any(|other| other == *line));
            lines.map(str::to_owned).collect()
        };
        (only(old, new), only(new, old))
    }

    fn assert_change(change: impl FnOnce(&mut Doc), gone: &[&str], came: &[&str]) {
        let new = changed(FILE, change);
        let (was, is) = difference(FILE, &new);
        assert_eq!(
            (was, is),
            (
                gone.iter().map(|l| (*l).to_owned()).collect(),
                came.iter().map(|l| (*l).to_owned()).collect()
            ),
            "{new}"
        );
    }

    #[test]
    fn nothing_changed_is_the_same_text() {
        assert_eq!(changed(FILE, |_| {}), FILE);
    }

    #[test]
    fn a_single_value_changes_its_own_characters_only() {
        assert_change(
            |doc| *at(doc, &["trunks", "office", "localPort"]) = Doc::text("40010"),
            &["    localPort: 40000   # SIP"],
            &["    localPort: 40010   # SIP"],
        );
        assert_change(
            |doc| *at(doc, &["trunks", "office", "register", "password"]) = Doc::text("a: #b"),
            &["    register: {login: box, password: hunter2} # both"],
            &["    register: {login: box, password: \"a: #b\"} # both"],
        );
        assert_change(
            |doc| *at(doc, &["limits", "calls"]) = Doc::text("9"),
            &["limits: {calls: 8} # enough"],
            &["limits: {calls: 9} # enough"],
        );
    }

    #[test]
    fn keys_come_and_go_by_lines() {
        assert_change(
            |doc| at(doc, &["trunks", "door"]).put("ping", Some(Doc::text("off"))),
            &[],
            &["    ping: off"],
        );
        assert_change(
            |doc| at(doc, &["trunks", "office"]).put("sdp", None),
            &[
                "    sdp: |",
                "      m=audio 0 RTP/AVP 8",
                "      # no comment",
            ],
            &[],
        );
        assert_change(
            |doc| at(doc, &["limits"]).put("memoryMiB", Some(Doc::text("64"))),
            &["limits: {calls: 8} # enough"],
            &["limits: {calls: 8, memoryMiB: 64} # enough"],
        );
        let mut rest = Doc::Nothing;
        rest.put("listen", Some(Doc::text("127.0.0.1:8081")));
        assert_change(
            |doc| doc.put("rest", Some(rest)),
            &[],
            &["rest:", "  listen: \"127.0.0.1:8081\""],
        );
    }

    #[test]
    fn lists_and_blocks_are_printed_anew() {
        assert_change(
            |doc| *at(doc, &["trunks", "office", "codecs"]) = Doc::List(vec![Doc::text("vp8")]),
            &["    codecs: [h264, pcma]"],
            &["    codecs: [vp8]"],
        );
        assert_change(
            |doc| {
                *at(doc, &["trunks", "office", "allow"]) =
                    Doc::List(vec![Doc::text("192.0.2.0/24")])
            },
            &[
                "    allow:",
                "      - 192.0.2.0/24 # all",
                "      - 198.51.100.7",
            ],
            &["    allow: [192.0.2.0/24]"],
        );
        assert_change(
            |doc| *at(doc, &["trunks", "office", "sdp"]) = Doc::text("m=video 0 RTP/AVP 96\n"),
            &[
                "    sdp: |",
                "      m=audio 0 RTP/AVP 8",
                "      # no comment",
            ],
            &["    sdp: \"m=video 0 RTP/AVP 96\\n\""],
        );
    }

    #[test]
    fn trunks_come_go_and_are_renamed_in_place() {
        let mut lift = Doc::Nothing;
        lift.put("localPort", Some(Doc::text("40004")));
        assert_change(
            |doc| at(doc, &["trunks"]).put("lift 2", Some(lift)),
            &[],
            &["  \"lift 2\":", "    localPort: 40004"],
        );
        assert_change(
            |doc| at(doc, &["trunks"]).put("door", None),
            &[
                "  door:",
                "    localPort: 40002",
                "    allow: [198.51.100.7]",
            ],
            &[],
        );
        let renamed = [("lobby".to_owned(), "office".to_owned())];
        let new = changed_with_names(FILE, &renamed, |doc| {
            let office = at(doc, &["trunks", "office"]).clone();
            at(doc, &["trunks"]).put("office", None);
            at(doc, &["trunks"]).put("lobby", Some(office));
        });
        assert_eq!(new, FILE.replace("  office:", "  lobby:"));
    }

    #[test]
    fn trunks_at_column_zero_stay_there() {
        for head in ["trunks:\n", ""] {
            let text = format!(
                "{head}# first\na:\n localPort: 40000 # one\n proxyIp: x\nrest: {{listen: y}}\n"
            );
            let new = changed(&text, |doc| {
                *at(doc, &["trunks", "a", "localPort"]) = Doc::text("40010");
                let b = at(doc, &["trunks", "a"]).clone();
                at(doc, &["trunks"]).put("b", Some(b));
            });
            let expected =
                text.replace("40000", "40010") + "b:\n  localPort: 40010\n  proxyIp: x\n";
            assert_eq!(new, expected);
        }
    }

    #[test]
    fn line_ends_byte_order_marks_and_missing_ends_are_kept() {
        let crlf = format!("\u{feff}{}", FILE.replace('\n', "\r\n"));
        let new = changed(&crlf, |doc| {
            *at(doc, &["trunks", "office", "localPort"]) = Doc::text("40010");
            doc.put("state", Some(Doc::text("x")));
        });
        assert_eq!(
            new,
            crlf.replace("40000", "40010")
                .replace("enough\r\n", "enough\r\nstate: x\r\n")
        );
        let new = changed("a: 1\nb: 2", |doc| doc.put("c", Some(Doc::text("3"))));
        assert_eq!(new, "a: 1\nb: 2\nc: 3\n");
    }

    #[test]
    fn what_cannot_be_changed_in_place_is_printed_whole_and_right() {
        for text in [
            "{trunks: {a: {localPort: 1}}, limits: {calls: 8}}",
            "a: &x {m: 1}\nlimits: *x\nc: {<<: *x, n: 2}\n",
            "? a\n: 1\nlimits: {calls: 1}\n",
            "limits:\n  calls: &c 1\nb: *c\n",
            "limits: &l\n  calls: 1\nc:\n  <<: *l\n  d: 1\n",
            "\"limits\":\n      calls: 1\n",
            "limits:\n    calls: >-\n       1\n",
            "limits: !!map\n  calls: !!str 1\n",
        ] {
            changed(text, |doc| {
                let limits = doc.get("limits").is_some();
                assert!(limits);
                at(doc, &["limits"]).put("calls", Some(Doc::text("7")));
                at(doc, &["limits"]).put("m", None);
                doc.put("new", Some(Doc::text("x")));
            });
            changed(text, |doc| doc.put("limits", None));
        }
    }

    #[test]
    fn any_change_of_any_file_says_what_was_wanted() {
        let mut rng = crate::base::rng::Rng::from_number(11);
        let odd = ["x", "", "a\nb\n", "a: b", "#", "007", "- x", "\u{feff}"];
        for _ in 0..2_000 {
            changed(FILE, |doc| {
                for _ in 0..rng.below(4) {
                    let mut here = &mut *doc;
                    loop {
                        let text = Doc::text(odd[rng.below(odd.len() as u32) as usize]);
                        let Doc::Map(entries) = here else {
                            *here = text;
                            break;
                        };
                        let keys: Vec<String> =
                            entries.iter().map(|(key, _)| key.clone()).collect();
                        match rng.below(8) {
                            0 => break here.put(&format!("k{}", rng.below(3)), Some(text)),
                            1 if keys.len() > 1 => {
                                let key = &keys[rng.below(keys.len() as u32) as usize];
                                break here.put(key, None);
                            }
                            2 => break *here = Doc::List(vec![text]),
                            _ if keys.is_empty() => break,
                            _ => here = at(here, &[&keys[rng.below(keys.len() as u32) as usize]]),
                        }
                    }
                }
                if !matches!(doc, Doc::Map(_)) {
                    *doc = Doc::Map(vec![("a".to_owned(), Doc::text("b"))]);
                }
            });
        }
    }
}
