//! Who does the work of the page that concerns the settings file, and trials.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::cli::config_source::ConfigSource;
use crate::cli::settings::Settings;
use crate::cli::trial::{Trials, TrialsEnd};
use crate::gateway::desk::Clerk;

/// The clerk of the settings that come from `source`, or from nowhere.
pub fn settings(source: Option<ConfigSource>) -> Box<dyn Clerk> {
    Box::new(Settings::new(source))
}

/// The clerk of trials, with what ends them.
pub fn trials(source: Option<ConfigSource>) -> (Box<dyn Clerk>, TrialsEnd) {
    let trials = Trials::new(source);
    let end = trials.end();
    (Box::new(trials), end)
}
