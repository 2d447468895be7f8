//! The section `recording` of a configuration file.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::cli::config_section::{Reader, Section};
use crate::cli::config_value::{boolean, number, parse, recordings};
use crate::gateway::config::Recording;

/// Keys of the section.
pub const RECORDING_KEYS: &[&str] = &[
    "directory",
    "minFreeMiB",
    "maxMiB",
    "whenFull",
    "template",
    "rotation",
    "all",
];

/// Mebibytes of the largest disk: a pebibyte.
const DISK_MIB: usize = 1 << 30;

/// Mebibytes below which recordings would delete one another.
const LEAST_MIB: usize = 16;

/// Reads the section. Without a right folder there are no recordings.
pub fn read_recording(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Recording> {
    let directory = reader.required(section, "directory", recordings);
    let min_free = reader.value(section, "minFreeMiB", |text| number(text, 0, DISK_MIB));
    let max = reader.value(section, "maxMiB", |text| number(text, LEAST_MIB, DISK_MIB));
    let when_full = reader.value(section, "whenFull", parse);
    let template = reader.value(section, "template", parse);
    let rotation = reader.value(section, "rotation", parse);
    let all = reader.value(section, "all", boolean);
    let default = Recording::new(&directory?);
    Some(Recording {
        min_free_mib: min_free.map_or(default.min_free_mib, |mib| mib as u64),
        max_mib: max.map(|mib| mib as u64),
        when_full: when_full.unwrap_or(default.when_full),
        template: template.unwrap_or(default.template),
        rotation,
        all: all.unwrap_or(default.all),
        directory: default.directory,
    })
}
