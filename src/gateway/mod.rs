//! Floor 3: calls and streams.

#![forbid(unsafe_code)]

pub mod config;
