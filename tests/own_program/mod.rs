//! The program of this crate as a command, also where it is built for another machine.

use std::process::Command;

/// Runs the program; by the words of `TRUNKCAST_RUNNER`, as `board/cross` sets it, where the kernel
/// cannot run it.
pub fn trunkcast() -> Command {
    let runner = std::env::var("TRUNKCAST_RUNNER").unwrap_or_default();
    let mut words = runner
        .split_whitespace()
        .chain([env!("CARGO_BIN_EXE_trunkcast")]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}
