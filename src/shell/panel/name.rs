//! Names in which `*` stands for any characters, or none.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

/// Whether a name is as a pattern says.
pub(super) fn is_like(name: &str, pattern: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        // The first place will do: what follows finds more there than after any later one.
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything_and_all_else_for_itself() {
        for (name, pattern, like) in [
            ("ACT", "ACT", true),
            ("ACT2", "ACT", false),
            ("ACT", "A", false),
            ("input3::numlock", "input*::numlock", true),
            ("input::numlock", "input*::numlock", true),
            ("input3::capslock", "input*::numlock", false),
            ("soc:button@3", "*button@*", true),
            ("button@3", "*button@*", true),
            ("button3", "*button@*", false),
            ("aba", "a*ba", true),
            ("aba", "ab*ba", false),
            ("abcbc", "a*bc", true),
            ("abxbcx", "a*b*c*x", true),
            ("anything", "*", true),
            ("", "*", true),
            ("", "", true),
            ("x", "", false),
        ] {
            assert_eq!(is_like(name, pattern), like, "{name} {pattern}");
        }
    }
}
