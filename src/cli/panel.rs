//! `trunkcast panel`: LEDs and button of the board.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::config_problem::Problem;
use crate::cli::panel_file::{self, FILE_BYTES};
use crate::cli::{EXIT_PROBLEM, complain, print};
use crate::shell::panel::{ButtonDevice, Front, LedPlace, PanelBoard};
use crate::shell::{log_out, signals};

/// The files that are looked for when none is named, the owner's first.
const DEFAULT_FILES: [&str; 2] = ["/etc/trunkcast/panel.yml", "/usr/share/trunkcast/panel.yml"];

/// Runs LEDs and button until a signal ends it, or only tells what the file says.
pub(super) fn run(named: Option<PathBuf>, check: bool) -> ExitCode {
    let (path, board) = match load(named) {
        Ok(found) => found,
        Err(problems) => {
            problems.iter().for_each(complain);
            return ExitCode::from(EXIT_PROBLEM);
        }
    };
    if check {
        return print(Summary(&path, &board));
    }
    log_out::install(log::LevelFilter::Info);
    log::info!("board: {}", path.display());
    let ended = Front::new(board).and_then(|front| {
        signals::watch_end(front.end())?;
        front.run()
    });
    if let Err(error) = &ended {
        log::error!("LEDs and button: {error}");
    }
    log_out::flush();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(EXIT_PROBLEM),
    }
}

/// The file that is named, or the first of the usual ones that is there, and what it says.
fn load(named: Option<PathBuf>) -> Result<(PathBuf, PanelBoard), Vec<Problem>> {
    let [own, factory] = DEFAULT_FILES;
    let (path, bytes) = match named {
        Some(path) => (path.clone(), read(&path)),
        None => match read(Path::new(own)) {
            // Whoever may not look into the folder has nothing of their own there.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::PermissionDenied
                ) =>
            {
                (PathBuf::from(factory), read(Path::new(factory)))
            }
            found => (PathBuf::from(own), found),
        },
    };
    let name = path.display().to_string();
    let problem = |expected: String| {
        vec![Problem {
            file: name.clone(),
            line: 0,
            field: String::new(),
            expected,
        }]
    };
    let bytes = bytes.map_err(|error| problem(format!("expected a readable file: {error}")))?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| problem("expected text in UTF-8".to_owned()))?;
    let board = panel_file::load(&text, &name)?;
    Ok((path, board))
}

/// The file's bytes, one more than allowed at most.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = FILE_BYTES as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a file says, in a few lines.
struct Summary<'a>(&'a Path, &'a PanelBoard);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(path, board) = self;
        writeln!(f, "board: {}", path.display())?;
        write_led(f, "registered", &board.registered)?;
        write_led(f, "in call", &board.in_call)?;
        write_led(f, "fault", &board.fault)?;
        let Some(button) = &board.button else {
            return f.write_str("button: none");
        };
        let (device, key): (&dyn fmt::Display, _) = match &button.device {
            ButtonDevice::Path(path) => (&path.display(), button.key),
            ButtonDevice::Name(name) => (name, button.key),
        };
        write!(f, "button: key {key} of {device}")
    }
}

fn write_led(f: &mut fmt::Formatter<'_>, what: &str, led: &Option<LedPlace>) -> fmt::Result {
    match led {
        Some(LedPlace { name, inverted }) => {
            let inverted = if *inverted { ", inverted" } else { "" };
            writeln!(f, "LED {what}: {name}{inverted}")
        }
        None => writeln!(f, "LED {what}: none"),
    }
}
