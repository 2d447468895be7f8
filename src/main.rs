//! The `trunkcast` program.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    trunkcast::cli::main(std::env::args_os().skip(1))
}
