//! Floor 5: arguments and commands.

#![forbid(unsafe_code)]
