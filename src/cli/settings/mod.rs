//! The settings file as the page reads and writes it.

pub mod document;
pub mod patch;
pub mod print;
pub mod secrets;
