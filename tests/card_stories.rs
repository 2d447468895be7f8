//! The flashed card in QEMU, one story a test: every boot is looked at from many sides, since a boot is
//! the better part of a minute. Two machines run at a time, the longest story, that of bundles, first.

mod card_support;
mod support;

#[path = "card/bundles.rs"]
mod bundles;
#[path = "card/first_boot.rs"]
mod first_boot;
#[path = "card/impatient.rs"]
mod impatient;
#[path = "card/network.rs"]
mod network;
#[path = "card/power_cuts.rs"]
mod power_cuts;
#[path = "card/recordings.rs"]
mod recordings;
#[path = "card/shipped.rs"]
mod shipped;
