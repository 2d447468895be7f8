//! The known name that a mistyped one is closest to.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

/// The name in `known` with the fewest edits from `word`, unless more than about half of it would
/// have to be written anew. Case does not count as an edit.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if word.chars().count() > LONGEST {
        return None;
    }
    known
        .into_iter()
        .map(|name| (edits(word, name), name))
        .min_by_key(|(edits, _)| *edits)
        .filter(|(edits, name)| *edits <= name.chars().count().max(2) / 2)
        .map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that make `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    // Rows of the distance table: two before, one before, and the one being filled. What lies
    // outside a row costs more than any path inside.
    let cell = |row: &[usize], at: Option<usize>| {
        let found = at.and_then(|at| row.get(at).copied());
        found.unwrap_or(a.len().max(b.len()))
    };
    let mut older: Vec<usize> = Vec::new();
    let mut before: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (i, char) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        let mut other_previous = None;
        for (j, other) in b.iter().enumerate() {
            let mut best = (cell(&before, Some(j)) + usize::from(char != other))
                .min(cell(&before, Some(j + 1)) + 1)
                .min(cell(&row, Some(j)) + 1);
            if other_previous == Some(char) && previous == Some(other) {
                best = best.min(cell(&older, j.checked_sub(1)) + 1);
            }
            row.push(best);
            other_previous = Some(other);
        }
        previous = Some(char);
        older = before;
        before = row;
    }
    cell(&before, Some(b.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted_with_swaps_and_without_case() {
        for (a, b, count) in [
            ("", "", 0),
            ("", "abc", 3),
            ("localport", "localPort", 0),
            ("lcoalPort", "localPort", 1),
            ("localPrt", "localPort", 1),
            ("kitten", "sitting", 3),
            ("ca", "abc", 3),
        ] {
            assert_eq!(edits(a, b), count, "{a} {b}");
            assert_eq!(edits(b, a), count, "{b} {a}");
        }
    }

    #[test]
    fn only_a_close_name_is_named() {
        let known = ["localPort", "proxyIp", "remotePort", "url"];
        assert_eq!(nearest("localport", known), Some("localPort"));
        assert_eq!(nearest("remoteport", known), Some("remotePort"));
        assert_eq!(nearest("proxyIP", known), Some("proxyIp"));
        assert_eq!(nearest("uri", known), Some("url"));
        assert_eq!(nearest("something", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
