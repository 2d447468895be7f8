//! Prometheus' text format: families of samples, each family once with its kind and meaning.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt::{self, Write};

use crate::limits::HTTP_ANSWER_BYTES;

/// What a family's values do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They only rise.
    Counter,
    /// They rise and fall.
    Gauge,
}

/// One number with its name.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Name of its family.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// How much.
    pub value: u64,
}

/// The text so far.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// Begins a family.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // A text takes whatever it is given.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A sample of the family that was begun last.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.text.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"");
            for char in text.chars() {
                match char {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    char => self.text.push(char),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// Families of one sample each.
    pub fn all(&mut self, kind: Kind, samples: &[Sample]) {
        for Sample { name, help, value } in samples {
            self.family(name, kind, help);
            self.sample(name, &[], value);
        }
    }

    /// Families that have a sample for each of these rows, which `label` tells apart.
    pub fn table(&mut self, kind: Kind, label: &str, rows: &[(&str, Vec<Sample>)]) {
        let Some((_, first)) = rows.first() else {
            return;
        };
        for (at, Sample { name, help, .. }) in first.iter().enumerate() {
            self.family(name, kind, help);
            for (row, samples) in rows {
                if let Some(sample) = samples.get(at) {
                    self.sample(name, &[(label, row)], sample.value);
                }
            }
        }
    }

    /// The whole text, cut after the last line that an answer holds.
    pub fn into_text(mut self) -> String {
        if self.text.len() > HTTP_ANSWER_BYTES {
            let fits = self.text.as_bytes().get(..HTTP_ANSWER_BYTES);
            let end = fits.and_then(|fits| fits.iter().rposition(|byte| *byte == b'\n'));
            self.text
                .truncate(end.map_or(0, |end| end.saturating_add(1)));
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut page = Page::default();
        page.sample("a", &[("b", "x\"y\\z\n"), ("c", "")], 3);
        assert_eq!(page.into_text(), "a{b=\"x\\\"y\\\\z\\n\",c=\"\"} 3\n");
    }

    #[test]
    fn a_text_that_no_answer_holds_ends_with_a_whole_line() {
        let mut page = Page::default();
        while page.text.len() <= HTTP_ANSWER_BYTES {
            page.sample("name", &[("label", "value")], 12_345);
        }
        let text = page.into_text();
        assert!(text.len() <= HTTP_ANSWER_BYTES && text.ends_with(" 12345\n"));
    }
}
