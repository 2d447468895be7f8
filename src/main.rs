//! The `trunkcast` program.

fn main() {}
