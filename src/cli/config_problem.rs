//! One problem of a configuration file, as a line for whoever wrote it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;

/// One thing that is wrong with a file. Prints as `FILE:LINE: field: what was expected`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the file, as it was given.
    pub file: String,
    /// Line, counted from 1; 0 when no line is at fault.
    pub line: usize,
    /// Path of the field, such as `trunks.pbx_t0.localPort`; empty for the file as a whole.
    pub field: String,
    /// What was expected, as a sentence.
    pub expected: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line != 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(": ")?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.expected)
    }
}
