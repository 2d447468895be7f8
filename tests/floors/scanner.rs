//! Reads Rust sources as words, and the paths they spell.

/// One source file below `src`.
pub struct Source {
    /// Its name below `src`, with slashes.
    pub file: String,
    /// The module of the crate's root that it belongs to.
    pub module: String,
    /// Whether it is the head of that module.
    pub is_head: bool,
    /// Modules from the root to it, itself included.
    pub place: Vec<String>,
    /// Its text.
    pub text: String,
}

impl Source {
    /// A file by its name below `src`.
    pub fn new(file: &str, text: String) -> Self {
        let stem = file.strip_suffix(".rs").unwrap_or(file);
        let stem = stem.strip_suffix("/mod").unwrap_or(stem);
        let place: Vec<String> = stem.split('/').map(str::to_owned).collect();
        Self {
            file: file.to_owned(),
            module: place[0].clone(),
            is_head: place.len() == 1,
            place,
            text,
        }
    }
}

/// The words and signs of a text, without comments; every literal is the one token `""`.
pub fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens: Vec<String> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let starts = |with: &str| rest.iter().take(with.len()).copied().eq(with.chars());
        if starts("//") {
            at += rest.iter().position(|c| *c == '\n').unwrap_or(rest.len());
        } else if starts("/*") {
            at += block_comment(rest);
        } else if rest[0] == '"' {
            at += quoted(rest, '"');
            tokens.push("\"\"".to_owned());
        } else if rest[0] == '\'' {
            // A lifetime has no closing quote after one character.
            let literal = rest.get(1) == Some(&'\\') || rest.get(2) == Some(&'\'');
            at += if literal { quoted(rest, '\'') } else { 1 };
            tokens.push("\"\"".to_owned());
        } else if let Some(len) = raw_string(rest) {
            at += len;
            tokens.push("\"\"".to_owned());
        } else if rest[0].is_alphanumeric() || rest[0] == '_' {
            let word = |c: &char| c.is_alphanumeric() || *c == '_';
            let len = rest.iter().position(|c| !word(c)).unwrap_or(rest.len());
            tokens.push(rest[..len].iter().collect());
            at += len;
        } else if starts("::") {
            tokens.push("::".to_owned());
            at += 2;
        } else {
            if !rest[0].is_whitespace() {
                tokens.push(rest[0].to_string());
            }
            at += 1;
        }
    }
    tokens
}

fn block_comment(chars: &[char]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

/// Characters of a literal that ends in `quote`, backslashes observed.
fn quoted(chars: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// Characters of a raw string (`r"…"`, `br#"…"#`), if one begins here.
fn raw_string(chars: &[char]) -> Option<usize> {
    let prefix = chars
        .iter()
        .take_while(|c| matches!(c, 'b' | 'c' | 'r'))
        .count();
    if prefix == 0 || prefix > 2 || chars[prefix - 1] != 'r' {
        return None;
    }
    let hashes = chars[prefix..].iter().take_while(|c| **c == '#').count();
    let start = prefix + hashes;
    if chars.get(start) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = format!("\"{}", "#".repeat(hashes)).chars().collect();
    let body = &chars[start + 1..];
    let len = body.windows(end.len()).position(|window| window == end)?;
    Some(start + 1 + len + end.len())
}

/// The tokens without every item that stands under `#[cfg(test)]`.
pub fn without_tests(tokens: Vec<String>) -> Vec<String> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..]
            .iter()
            .take(attribute.len())
            .map(String::as_str)
            .eq(attribute)
        {
            at += attribute.len() + item(&tokens[at + attribute.len()..]);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Tokens of one item: to its semicolon, or to the end of its braces.
fn item(tokens: &[String]) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
        // The braces of an item end it, unless they were a group of a `use`.
        let more = tokens.get(at + 1).is_some_and(|next| next == ";");
        if token == "}" && depth == 0 && !more {
            return at + 1;
        }
    }
    tokens.len()
}

/// Places of the modules that are declared under `#[cfg(test)]` and stand in files of their own.
pub fn test_modules(source: &Source) -> Vec<Vec<String>> {
    let all = tokens(&source.text);
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut found = Vec::new();
    for at in 0..all.len() {
        let rest = &all[at..];
        if !rest
            .iter()
            .take(attribute.len())
            .map(String::as_str)
            .eq(attribute)
        {
            continue;
        }
        let declared = &rest[attribute.len()..];
        let declared = &declared[..item(declared)];
        if let [.., keyword, name, end] = declared
            && (keyword.as_str(), end.as_str()) == ("mod", ";")
        {
            let mut place = source.place.clone();
            place.push(name.clone());
            found.push(place);
        }
    }
    found
}

/// Every path that is spelt, groups opened and `super` and `self` resolved.
pub fn paths(tokens: &[String], source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = is_word(&tokens[at]) || tokens[at] == "::";
        let after_path = at > 0 && (tokens[at - 1] == "::" || tokens[at - 1] == ".");
        if begins && !after_path && !in_visibility(tokens, at) {
            at += tree(&tokens[at..], &mut Vec::new(), &mut found).max(1);
        } else {
            at += 1;
        }
    }
    found.retain(|path| path.len() > 1 || path[0] != "crate");
    found.iter().map(|path| resolved(path, source)).collect()
}

/// The path of `pub(in …)`, `pub(crate)` and `pub(super)` says who sees, not what is used.
fn in_visibility(tokens: &[String], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|at| tokens[at].as_str());
    before(2) == Some("pub") && before(1) == Some("(")
        || before(3) == Some("pub") && before(2) == Some("(") && before(1) == Some("in")
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads one path or group of paths; how many tokens it took.
fn tree(tokens: &[String], prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let depth = prefix.len();
    let mut at = usize::from(tokens[0] == "::");
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    if is_word(&tokens[at]) || tokens[at] == "::" || tokens[at] == "*" {
                        at += tree(&tokens[at..], prefix, found).max(1);
                        if tokens.get(at).is_some_and(|token| token == "as") {
                            at += 2;
                        }
                    } else {
                        at += 1;
                    }
                }
                at += 1;
                break;
            }
            Some(word) if is_word(word) || word == "*" && !prefix.is_empty() => {
                prefix.push(word.to_owned());
                at += 1;
                if tokens.get(at).is_some_and(|token| token == "::") {
                    at += 1;
                    continue;
                }
                found.push(prefix.clone());
                break;
            }
            // Generic arguments after `::`, or the end.
            _ => {
                if prefix.len() > depth {
                    found.push(prefix.clone());
                }
                break;
            }
        }
    }
    prefix.truncate(depth);
    at
}

/// A path from the crate's root or of another crate.
fn resolved(path: &[String], source: &Source) -> String {
    let mut place = source.place.clone();
    let mut rest = path;
    let mut relative = false;
    while let Some((first, after)) = rest.split_first() {
        match first.as_str() {
            "self" if after.is_empty() || relative => {}
            "self" => relative = true,
            "super" => {
                relative = true;
                place.pop();
            }
            _ => break,
        }
        rest = after;
    }
    let tail = rest.join("::");
    if relative {
        let head = place.iter().map(|module| format!("{module}::"));
        return format!("crate::{}{tail}", head.collect::<String>());
    }
    // `net::{self}` is `net`.
    let mut whole = path.to_vec();
    if whole.len() > 1 && whole.last().is_some_and(|last| last == "self") {
        whole.pop();
    }
    whole.join("::")
}
