//! Settings printed as YAML: blocks for mappings, everything that could be read as anything else
//! in quotes.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt::Write as _;

use super::document::Doc;

/// Columns of a list that stands on one line.
const LINE: usize = 72;

/// A whole file.
pub fn file(doc: &Doc) -> String {
    let mut out = String::new();
    for (key, value) in doc.entries() {
        out.push_str(&entry(0, key, value));
    }
    match doc {
        Doc::Map(entries) if !entries.is_empty() => out,
        doc => format!("{}\n", inline(doc)),
    }
}

/// One key and its value as lines, from a column on.
pub fn entry(column: usize, key: &str, value: &Doc) -> String {
    let mut out = String::new();
    put_entry(&mut out, column, key, value);
    out
}

/// A value on one line, fit to stand anywhere.
pub fn inline(doc: &Doc) -> String {
    let mut out = String::new();
    put_inline(&mut out, doc);
    out
}

fn put_entry(out: &mut String, column: usize, key: &str, value: &Doc) {
    indent(out, column);
    put_text(out, key);
    out.push(':');
    let column = column.saturating_add(2);
    match value {
        Doc::Nothing => {}
        Doc::Text(text) if is_block(text) => return put_block(out, column, text),
        Doc::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            for (key, value) in entries {
                put_entry(out, column, key, value);
            }
            return;
        }
        Doc::List(items) if !fits(items) => {
            out.push('\n');
            items.iter().for_each(|item| put_item(out, column, item));
            return;
        }
        value => {
            out.push(' ');
            put_inline(out, value);
        }
    }
    out.push('\n');
}

/// One item of a list, from a column on.
fn put_item(out: &mut String, column: usize, item: &Doc) {
    indent(out, column);
    out.push_str("- ");
    match item {
        Doc::Map(entries) if !entries.is_empty() => {
            let column = column.saturating_add(2);
            for (at, (key, value)) in entries.iter().enumerate() {
                let lines = entry(column, key, value);
                // The first one stands behind the dash.
                let shown = if at == 0 {
                    lines.trim_start_matches(' ')
                } else {
                    &lines
                };
                out.push_str(shown);
            }
            return;
        }
        item => put_inline(out, item),
    }
    out.push('\n');
}

fn put_inline(out: &mut String, doc: &Doc) {
    match doc {
        Doc::Nothing => out.push('~'),
        Doc::Text(text) => put_text(out, text),
        Doc::Secret => out.push_str("\"***\""),
        Doc::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                put_inline(out, item);
            }
            out.push(']');
        }
        Doc::Map(entries) => {
            out.push('{');
            for (at, (key, value)) in entries.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                put_text(out, key);
                out.push_str(": ");
                put_inline(out, value);
            }
            out.push('}');
        }
    }
}

/// Whether a list is short and simple enough for one line.
fn fits(items: &[Doc]) -> bool {
    let length = |item: &Doc| match item {
        Doc::Nothing => Some(3),
        Doc::Text(text) => Some(text.len().saturating_add(4)),
        Doc::Secret | Doc::List(_) | Doc::Map(_) => None,
    };
    let lengths: Option<Vec<usize>> = items.iter().map(length).collect();
    lengths.is_some_and(|all| all.iter().sum::<usize>() <= LINE)
}

fn indent(out: &mut String, column: usize) {
    out.extend(core::iter::repeat_n(' ', column));
}

/// Whether a text of several lines is shown as such, below `|`.
fn is_block(text: &str) -> bool {
    let shown = |c: char| !is_hidden(c) && c != '\t';
    let line =
        |line: &str| !line.starts_with(' ') && !line.ends_with(' ') && line.chars().all(shown);
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.starts_with('\n')
        && !body.ends_with('\n')
        && body.split('\n').all(line)
}

fn put_block(out: &mut String, column: usize, text: &str) {
    let body = text.strip_suffix('\n');
    out.push_str(if body.is_some() { " |\n" } else { " |-\n" });
    for line in body.unwrap_or(text).split('\n') {
        if !line.is_empty() {
            indent(out, column);
        }
        out.push_str(line);
        out.push('\n');
    }
}

/// A text on one line, in quotes unless it cannot be mistaken.
fn put_text(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            hidden if is_hidden(hidden) => {
                let code = u32::from(hidden);
                // There is always room in a string.
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02X}"),
                    0x100..=0xffff => write!(out, "\\u{code:04X}"),
                    _ => write!(out, "\\U{code:08X}"),
                };
            }
            char => out.push(char),
        }
    }
    out.push('"');
}

/// Characters that are written as escapes: those that end a line, that a reader may refuse, and that
/// reorder text.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{a0}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}')
        || u32::from(char) >= 0x1_0000
}

/// Whether a text is the same for every YAML reader without quotes: a word, an address, a path, or
/// a number as one writes it.
fn is_plain(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_-./@+=:?&%~".contains(c);
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return false;
    };
    if text.len() > 256 || !text.chars().all(inside) || text.ends_with(':') {
        return false;
    }
    if first.is_ascii_digit() {
        return is_plain_number(text);
    }
    // YAML 1.1 knows more words than 1.2; of them all, these are as every file of ours has them.
    let word = text.to_ascii_lowercase();
    let special = matches!(
        word.as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "null"
    );
    (first.is_ascii_alphabetic() || first == '/')
        && (!special || matches!(text, "true" | "false" | "off"))
}

/// `40000`, `31000-31999`, `192.0.2.1`, `192.0.2.0/24`, `20M`: neither `007` nor `12:30` nor `1e3`.
fn is_plain_number(text: &str) -> bool {
    let is_number = |text: &str| {
        let digits =
            !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
        digits && (text == "0" || !text.starts_with('0'))
    };
    let is_address = |text: &str| text.split('.').count() == 4 && text.split('.').all(is_number);
    let is_range = |(first, last)| is_number(first) && is_number(last);
    is_number(text)
        || is_address(text)
        || text.split_once('-').is_some_and(is_range)
        || text
            .split_once('/')
            .is_some_and(|(address, bits)| is_address(address) && is_number(bits))
        || text.strip_suffix(['K', 'M', 'G']).is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::cli::yaml;

    /// Texts that mean something else to one YAML reader or another, or break a careless printer.
    const ODD: &[&str] = &[
        "",
        " ",
        "a ",
        " a",
        "007",
        "0x1F",
        "1e3",
        "1_000",
        "12:30",
        "2001-01-01",
        "+1",
        "-1",
        ".5",
        "off",
        "on",
        "yes",
        "No",
        "TRUE",
        "true",
        "null",
        "~",
        "Null",
        "<<",
        "=",
        "-",
        "- a",
        "?",
        "? a",
        ":",
        "a:",
        "a: b",
        "a :b",
        "a #b",
        "#a",
        "a#b",
        "&a",
        "*a",
        "!a",
        "!!int 3",
        "|",
        ">",
        "%TAG",
        "@a",
        "`a",
        "'",
        "\"",
        "'a'",
        "\"a\"",
        "{",
        "}",
        "{a: b}",
        "[",
        "]",
        "[a]",
        ",",
        "a,b",
        "---",
        "...",
        "--- a",
        "\n",
        "\n\n",
        "a\n",
        "a\nb",
        "a\nb\n",
        "a\nb\n\n",
        "\na\nb",
        "a\n\nb\n",
        " a\nb\n",
        "a \nb\n",
        "a\n b\n",
        "a\n#b\n",
        "a\n---\nb\n",
        "a\n\tb\n",
        "\t",
        "a\tb",
        "a\r\nb",
        "\r",
        "\0",
        "\u{1}",
        "\u{7f}",
        "\u{85}",
        "\u{a0}",
        "\u{2028}",
        "\u{2029}",
        "\u{feff}",
        "\u{202e}x",
        "\u{fffe}",
        "é",
        "ü: x",
        "\u{1f600}",
        "\u{10ffff}",
        "\\",
        "\\n",
        "a\\",
        "x: y\ntrunks:\n  evil:\n",
        "a\nrest: {password: x}\n",
        "rtmp://a:b@c/d?e=f#g",
        "sip:1@2",
        "*100rel*",
        "{callee|or:x}",
        "40000",
        "192.0.2.0/24",
        "31000-31999",
        "20M",
        "b=AS:2000",
        "+7 (495) 123-45-67",
        "8 800",
    ];

    fn text(rng: &mut Rng) -> String {
        match rng.below(8) {
            0 => (0..rng.below(6))
                .map(|_| char::from(rng.below(128) as u8))
                .collect(),
            1 => {
                let code = |rng: &mut Rng| char::from_u32(rng.below(0x11_0000));
                (0..rng.below(6)).filter_map(|_| code(rng)).collect()
            }
            2 => {
                let piece = |rng: &mut Rng| ODD[rng.below(ODD.len() as u32) as usize];
                format!("{}{}", piece(rng), piece(rng))
            }
            _ => ODD[rng.below(ODD.len() as u32) as usize].to_owned(),
        }
    }

    fn any(rng: &mut Rng, depth: u32) -> Doc {
        match rng.below(6 + depth) {
            0 | 1 => {
                let mut map = Doc::Map(Vec::new());
                for _ in 0..rng.below(4) {
                    map.put(&text(rng), Some(any(rng, depth + 2)));
                }
                map
            }
            2 => Doc::List((0..rng.below(4)).map(|_| any(rng, depth + 2)).collect()),
            3 => Doc::Nothing,
            _ => Doc::Text(text(rng)),
        }
    }

    fn read(file: &str) -> Doc {
        Doc::of_file(&yaml::parse(file).unwrap_or_else(|error| panic!("{error:?}\n{file}")))
    }

    #[test]
    fn any_document_comes_back_from_json_and_yaml_as_it_was() {
        let mut rng = Rng::from_seed([7; 32]);
        for _ in 0..4_000 {
            let mut doc = Doc::Map(Vec::new());
            for at in 0..rng.below(4) + 1 {
                doc.put(&format!("{at}{}", text(&mut rng)), Some(any(&mut rng, 0)));
            }
            let json = serde_json::to_vec(&doc).unwrap();
            let doc = Doc::of_json(&json).unwrap();
            let printed = file(&doc);
            assert_eq!(read(&printed), doc, "\n{printed}");
            let printed = format!("x: {}\n", inline(&doc));
            assert_eq!(read(&printed).get("x"), Some(&doc), "\n{printed}");
        }
    }

    #[test]
    fn every_odd_text_stays_one_value_and_changes_no_other() {
        for odd in ODD {
            let mut doc = Doc::Map(Vec::new());
            doc.put("a", Some(Doc::text(odd)));
            doc.put("b", Some(Doc::List(vec![Doc::text(odd), Doc::text("x")])));
            doc.put("c", Some(Doc::text("last")));
            assert_eq!(read(&file(&doc)), doc, "{odd:?}\n{}", file(&doc));
        }
    }

    #[test]
    fn what_people_write_without_quotes_has_none() {
        for plain in [
            "40000",
            "0",
            "off",
            "true",
            "udp",
            "rtmp://server:1935/live",
            "192.0.2.10",
            "192.0.2.0/24",
            "31000-31999",
            "20M",
            "/var/lib/trunkcast",
            "b=AS:2000",
            "pbx.example.net:5061",
        ] {
            assert_eq!(inline(&Doc::text(plain)), plain);
        }
        for quoted in [
            "007",
            "0.0.0.0:1935",
            "rtmp_{callee}",
            "yes",
            "",
            "*100rel*",
            "null",
            "1.5",
        ] {
            assert_eq!(inline(&Doc::text(quoted)), format!("\"{quoted}\""));
        }
    }

    #[test]
    fn templates_of_several_lines_are_printed_as_blocks() {
        let mut doc = Doc::Map(Vec::new());
        doc.put("sdp", Some(Doc::text("m=audio 0 RTP/AVP 8\na=recvonly\n")));
        let printed = entry(0, "t", &doc);
        assert_eq!(
            printed,
            "t:\n  sdp: |\n    m=audio 0 RTP/AVP 8\n    a=recvonly\n"
        );
    }
}
