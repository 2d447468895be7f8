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
use crate::gateway::config::Config;
use crate::shell::tls::{Servers, Trust};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "/etc/trunkcast/trunkcast.yml";

/// The configuration file of a run; read again on every [`ConfigSource::load`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSource {
    path: PathBuf,
    named: bool,
}

impl ConfigSource {
    /// The file named on the command line, or [`DEFAULT_FILE`].
    pub fn new(named: Option<PathBuf>) -> Self {
        Self {
            named: named.is_some(),
            path: named.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE)),
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
                let text = text(bytes, &name)?;
                let config = config_file::load(&text, &name)?;
                match unreadable_authorities(&config, &text, &name) {
                    Some(problem) => Err(vec![problem]),
                    None => Ok((config, name)),
                }
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

/// What is wrong with the file of certificate authorities, if one is named.
fn unreadable_authorities(config: &Config, text: &str, name: &str) -> Option<Problem> {
    const KEY: &str = "caFile";
    let file = config.rtmp_ca_file.as_ref()?;
    let words = Trust::new(Servers::Rtmp, Some(file.into()), None)
        .config()
        .err()?;
    let line = text
        .lines()
        .position(|line| {
            line.split('#')
                .next()
                .is_some_and(|line| line.contains(KEY))
        })
        .map_or(0, |at| at.saturating_add(1));
    Some(Problem {
        file: name.to_owned(),
        line,
        field: format!("rtmp.{KEY}"),
        expected: format!("expected a PEM file of certificates: {words}"),
    })
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
