//! What the tests of the flashed card share: the card in QEMU, its console, its keyboard of LEDs and one
//! button, its page.
//!
//! The card and its bundles are built by `board/qemuarm64/build-card`; a test that does not find them
//! fails with that sentence. Processors are emulated, so that everything takes as long as it takes:
//! times are read from the guest and printed, and no test fails for being slow before minutes are over.

#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]

pub mod console;
pub mod data;
pub mod disk;
pub mod files;
pub mod looks;
pub mod machine;
pub mod office;
pub mod owner;
pub mod qmp;
pub mod registrar;
pub mod stick;
pub mod write_log;

pub use console::{Console, Shell};
pub use data::Data;
pub use disk::Disk;
pub use machine::{Machine, Network, Plan};
pub use office::Office;
pub use owner::Owner;
pub use registrar::Registrar;
pub use stick::Stick;
