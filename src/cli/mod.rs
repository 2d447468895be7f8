//! Floor 5: arguments and commands.

#![forbid(unsafe_code)]

pub mod args;
pub mod check;
pub mod config_file;
pub mod config_section;
pub mod demo;
pub mod nearest;
pub mod yaml;
