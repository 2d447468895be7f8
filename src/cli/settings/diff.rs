//! What a change does to a text, line by line.

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

use crate::base::redact::OneLine;

/// Lines around a change that are shown.
const AROUND: usize = 3;

/// Lines that are shown at most.
const LINES: usize = 400;

/// Characters of a line that are shown.
const CHARS: usize = 240;

/// Pairs of lines that are compared at most; more, and everything between counts as changed.
const PAIRS: usize = 1_000_000;

/// A line of a preview.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it is: `same`, `add`, `remove`, `gap` (lines left out that are the same) or `more` (what
    /// follows is not shown).
    pub kind: &'static str,
    /// The line.
    pub text: String,
}

/// A text, and line for line what is shown of it.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The text itself, which tells what changed.
    pub text: &'a str,
    /// The same without secrets.
    pub shown: &'a str,
}

/// The lines that differ, and those around them.
pub fn preview(old: Shown<'_>, new: Shown<'_>) -> Vec<Line> {
    let (before, after) = (lines(old.text), lines(new.text));
    let (before_shown, after_shown) = (lines(old.shown), lines(new.shown));
    let changes = compare(&before, &after);
    let near = |at: usize| {
        let first = at.saturating_sub(AROUND);
        let around = changes
            .iter()
            .skip(first)
            .take(at.saturating_sub(first) + AROUND + 1);
        around
            .into_iter()
            .any(|change| !matches!(change, Change::Same(_)))
    };
    let mut out: Vec<Line> = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        let (kind, line) = match *change {
            Change::Same(_) if !near(at) => ("gap", None),
            Change::Same(line) => ("same", after_shown.get(line)),
            Change::Added(line) => ("add", after_shown.get(line)),
            Change::Removed(line) => ("remove", before_shown.get(line)),
        };
        if kind == "gap" && out.last().is_none_or(|last| last.kind == "gap") {
            continue;
        }
        if out.len() >= LINES {
            out.push(Line {
                kind: "more",
                text: String::new(),
            });
            break;
        }
        let text = line.map_or(String::new(), |line| OneLine::new(line, CHARS).to_string());
        out.push(Line { kind, text });
    }
    if out.last().is_some_and(|last| last.kind == "gap") {
        out.pop();
    }
    out
}

fn lines(text: &str) -> Vec<&str> {
    text.split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .collect()
}

/// One line of both texts, or of one: its place in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// In the new text.
    Same(usize),
    Added(usize),
    Removed(usize),
}

fn compare(old: &[&str], new: &[&str]) -> Vec<Change> {
    let same = |(a, b): &(&&str, &&str)| a == b;
    let front = old.iter().zip(new).take_while(same).count();
    let (old_rest, new_rest) = (old.len() - front, new.len() - front);
    let pairs = old.iter().rev().zip(new.iter().rev());
    let back = pairs.take(old_rest.min(new_rest)).take_while(same).count();
    let old_middle = old.get(front..old.len() - back).unwrap_or_default();
    let new_middle = new.get(front..new.len() - back).unwrap_or_default();
    let mut out: Vec<Change> = (0..front).map(Change::Same).collect();
    if old_middle.len().saturating_mul(new_middle.len()) > PAIRS {
        out.extend((0..old_middle.len()).map(|at| Change::Removed(front + at)));
        out.extend((0..new_middle.len()).map(|at| Change::Added(front + at)));
    } else {
        middle(old_middle, new_middle, front, &mut out);
    }
    out.extend((new.len() - back..new.len()).map(Change::Same));
    out
}

/// The longest common lines of what is between; `front` is the place of the first ones.
fn middle(old: &[&str], new: &[&str], front: usize, out: &mut Vec<Change>) {
    let width = new.len() + 1;
    // How many lines are common from each pair on.
    let mut common = vec![0_u32; width * (old.len() + 1)];
    let at = |o: usize, n: usize| o * width + n;
    for (o, line) in old.iter().enumerate().rev() {
        for (n, other) in new.iter().enumerate().rev() {
            let of = |place: usize| common.get(place).copied().unwrap_or_default();
            let most = match line == other {
                true => of(at(o + 1, n + 1)) + 1,
                false => of(at(o + 1, n)).max(of(at(o, n + 1))),
            };
            if let Some(cell) = common.get_mut(at(o, n)) {
                *cell = most;
            }
        }
    }
    let of = |place: usize| common.get(place).copied().unwrap_or_default();
    let (mut o, mut n) = (0, 0);
    loop {
        let (line, other) = (old.get(o), new.get(n));
        match (line, other) {
            (None, None) => break,
            (Some(line), Some(other)) if line == other => {
                out.push(Change::Same(front + n));
                (o, n) = (o + 1, n + 1);
            }
            (Some(_), Some(_)) if of(at(o + 1, n)) < of(at(o, n + 1)) => {
                out.push(Change::Added(front + n));
                n += 1;
            }
            (Some(_), _) => {
                out.push(Change::Removed(front + o));
                o += 1;
            }
            (None, Some(_)) => {
                out.push(Change::Added(front + n));
                n += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(old: &str, new: &str) -> String {
        let whole = |text| Shown { text, shown: text };
        let line = |line: Line| {
            let sign = match line.kind {
                "same" => ' ',
                "add" => '+',
                "remove" => '-',
                "gap" => '~',
                _ => '!',
            };
            format!("{sign}{}\n", line.text)
        };
        preview(whole(old), whole(new))
            .into_iter()
            .map(line)
            .collect()
    }

    #[test]
    fn changes_are_shown_with_three_lines_around() {
        let old: String = (0..20).map(|at| format!("l{at}\n")).collect();
        let new = old.replace("l10\n", "x\ny\n").replace("l11\n", "");
        assert_eq!(
            shown(&old, &new),
            " l7\n l8\n l9\n-l10\n-l11\n+x\n+y\n l12\n l13\n l14\n"
        );
        assert_eq!(shown(&old, &old), "");
        let far = old.replace("l0\n", "a\n").replace("l19\n", "b\n");
        assert_eq!(
            shown(&old, &far),
            "-l0\n+a\n l1\n l2\n l3\n~\n l16\n l17\n l18\n-l19\n+b\n \n"
        );
    }

    #[test]
    fn a_secret_that_changed_shows_as_a_change_and_not_itself() {
        let old = Shown {
            text: "a\npassword: x\n",
            shown: "a\npassword: ***\n",
        };
        let new = Shown {
            text: "a\npassword: y\n",
            shown: "a\npassword: ***\n",
        };
        let kinds: Vec<_> = preview(old, new)
            .into_iter()
            .map(|line| (line.kind, line.text))
            .collect();
        assert!(kinds.contains(&("remove", "password: ***".to_owned())));
        assert!(kinds.contains(&("add", "password: ***".to_owned())));
    }

    #[test]
    fn previews_are_bounded() {
        let long: String = (0..100_000).map(|at| format!("{at}\n")).collect();
        let other: String = (0..100_000).map(|at| format!("x{at}\n")).collect();
        let lines = preview(
            Shown {
                text: &long,
                shown: &long,
            },
            Shown {
                text: &other,
                shown: &other,
            },
        );
        assert_eq!((lines.len(), lines[LINES].kind), (LINES + 1, "more"));
        let wide = "x".repeat(100_000);
        assert!(shown("a", &wide).len() < 1_100);
    }

    #[test]
    fn any_change_leads_from_the_old_lines_to_the_new() {
        let mut rng = crate::base::rng::Rng::from_number(3);
        for _ in 0..500 {
            let mut text = || -> Vec<String> {
                (0..rng.below(12))
                    .map(|_| rng.below(4).to_string())
                    .collect()
            };
            let (old, new) = (text(), text());
            let old: Vec<&str> = old.iter().map(String::as_str).collect();
            let new: Vec<&str> = new.iter().map(String::as_str).collect();
            let (mut before, mut after) = (Vec::new(), Vec::new());
            for change in compare(&old, &new) {
                match change {
                    Change::Same(at) => {
                        before.push(new[at]);
                        after.push(new[at]);
                    }
                    Change::Added(at) => after.push(new[at]),
                    Change::Removed(at) => before.push(old[at]),
                }
            }
            assert_eq!((before, after), (old, new));
        }
    }
}
