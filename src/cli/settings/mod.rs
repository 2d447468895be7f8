//! The settings file as the page reads and writes it.

pub mod document;
pub mod print;
