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
use crate::gateway::desk::{Clerk, DeskAnswer, DeskWork};

/// Tries PBXs and RTMP servers.
struct TrialClerk;

/// The clerk of the settings that come from `source`.
pub fn settings(source: ConfigSource) -> Box<dyn Clerk> {
    Box::new(Settings::new(Some(source)))
}

/// The clerk of settings that are kept nowhere.
pub fn no_settings() -> Box<dyn Clerk> {
    Box::new(Settings::new(None))
}

/// The clerk of trials.
pub fn trials() -> Box<dyn Clerk> {
    Box::new(TrialClerk)
}

impl Clerk for TrialClerk {
    fn work(&mut self, work: DeskWork) -> DeskAnswer {
        DeskAnswer::Failed(format!("{}: not yet", work.name()))
    }
}
