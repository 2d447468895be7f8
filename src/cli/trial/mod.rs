//! Trials: what the *Test* buttons of the local page do, with settings that are not saved yet.
//!
//! A trial is a second gateway of ours on a thread of its own, with the trunk that is tried and
//! nothing else, on ports that nobody else has. It asks, registers and publishes for real, and ends
//! all of it cleanly. What works is left alone: see [`Standing`](crate::gateway::desk::Standing).

mod clerk;
pub mod clock;
pub mod pbx;
mod reach;
pub mod report;
pub mod rtmp;
mod stage;

pub use clerk::{Trials, TrialsEnd};
