//! Floor 4: sockets, clock, files, signals.

pub mod log_out;
