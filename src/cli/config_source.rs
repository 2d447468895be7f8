//! Where the configuration comes from.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::cli::config_file::{self, FILE_BYTES, Problem};
use crate::cli::config_files::unusable_files;
use crate::cli::credentials::Credentials;
use crate::gateway::config::Config;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "/etc/trunkcast/trunkcast.yml";

/// The configuration file of a run; read again on every [`ConfigSource::load`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSource {
    path: PathBuf,
    named: bool,
    credentials: Credentials,
}

impl ConfigSource {
    /// The file named on the command line, or [`DEFAULT_FILE`].
    pub fn new(named: Option<PathBuf>) -> Self {
        Self {
            named: named.is_some(),
            credentials: Credentials::from_env(),
            path: named.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE)),
        }
    }

    /// The same, looked at before the service manager hands credentials over: those that are named are
    /// believed to be there.
    #[must_use]
    pub fn before_start(mut self) -> Self {
        if self.credentials == Credentials::None {
            self.credentials = Credentials::Later;
        }
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration that the file would be with this text, the files that it names included.
    ///
    /// # Errors
    ///
    /// Every problem.
    pub fn check(&self, text: &str) -> Result<Config, Vec<Problem>> {
        let name = self.path.display().to_string();
        let config = config_file::load_with(text, &name, &self.credentials)?;
        match unusable_files(&config, text, &name) {
            problems if problems.is_empty() => Ok(config),
            problems => Err(problems),
        }
    }

    /// The configuration and where it came from, in words. A file that was not named and does not
    /// exist gives the embedded defaults.
    ///
    /// # Errors
    ///
    /// Every problem of the file.
    pub fn load(&self) -> Result<(Config, String), Vec<Problem>> {
        let name = self.path.display().to_string();
        match read(&self.path) {
            Ok(bytes) => {
                let config = self.check(&text(bytes, &name)?)?;
                Ok((config, name))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && !self.named => {
                Ok((Config::default(), format!("embedded defaults (no {name})")))
            }
            Err(error) => Err(vec![Problem {
                file: name,
                line: 0,
                field: String::new(),
                expected: format!("expected a readable file: {error}"),
            }]),
        }
    }
}

/// The file's bytes, one more than allowed at most.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(mut bytes: Vec<u8>, name: &str) -> Result<String, Vec<Problem>> {
    if bytes.len() > FILE_BYTES {
        // Only its size will be told: a character that reading cut in two is no problem of its own.
        bytes.fill(b' ');
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = error.as_bytes().iter().take(good);
        vec![Problem {
            file: name.to_owned(),
            line: before.filter(|byte| **byte == b'\n').count() + 1,
            field: String::new(),
            expected: "expected text in UTF-8".to_owned(),
        }]
    })
}
