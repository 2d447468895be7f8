//! The command line.

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
use std::ffi::OsString;
use std::path::PathBuf;

use crate::base::redact::OneLine;
use crate::cli::nearest::nearest;

/// What `--help` prints.
pub const HELP: &str = "\
trunkcast: a SIP call becomes a live RTMP stream

  trunkcast [run] [--config FILE]   the daemon
  trunkcast check [--config FILE]   look at the configuration; tell every problem
  trunkcast demo [--seconds N]      gateway and a test caller in one, to see it work
  trunkcast panel [--board FILE] [--check]
                                    LEDs and button of the board; or only tell what FILE says
  trunkcast forget-password [--config FILE]   the page asks for a new password, after a reload
  trunkcast --help | --version

FILE defaults to /etc/trunkcast/trunkcast.yml; without that file, to embedded defaults. That of
--board defaults to /etc/trunkcast/panel.yml, and without that to /usr/share/trunkcast/panel.yml.
Exit codes: 0 all right, 1 a problem, 2 wrong usage.
";

const COMMANDS: [&str; 5] = ["run", "check", "demo", "panel", "forget-password"];
const SECONDS_MAX: u64 = 86_400;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the daemon.
    Run {
        /// The configuration file, if one is named.
        config: Option<PathBuf>,
    },
    /// Look at the configuration.
    Check {
        /// The configuration file, if one is named.
        config: Option<PathBuf>,
    },
    /// Show the whole way of a call over loopback.
    Demo {
        /// How long, if a time is named.
        seconds: Option<u64>,
    },
    /// Show on LEDs how the daemon is, and look at the button.
    Panel {
        /// The file that says which they are, if one is named.
        board: Option<PathBuf>,
        /// Only tell what the file says.
        check: bool,
    },
    /// Take the page's password out of the configuration.
    ForgetPassword {
        /// The configuration file, if one is named.
        config: Option<PathBuf>,
    },
    /// Print [`HELP`].
    Help,
    /// Print name and version.
    Version,
}

/// A command line that is none of ours, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads the arguments, program name excluded. Options may stand before or after the command.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut args = args.into_iter();
    let mut command = None;
    let mut config: Option<PathBuf> = None;
    let mut seconds: Option<u64> = None;
    let mut board: Option<PathBuf> = None;
    let mut check: Option<()> = None;
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let (option, inline) = match text.split_once('=') {
            Some((option, _)) if option.starts_with('-') => (option, true),
            _ => (text.as_ref(), false),
        };
        match option {
            "-h" | "--help" if !inline => return Ok(Command::Help),
            "-V" | "--version" if !inline => return Ok(Command::Version),
            "--config" => {
                let value = value(&arg, inline, &mut args, "--config", "a file")?;
                once(&mut config, PathBuf::from(value), "--config")?;
            }
            "--board" => {
                let value = value(&arg, inline, &mut args, "--board", "a file")?;
                once(&mut board, PathBuf::from(value), "--board")?;
            }
            "--check" if !inline => once(&mut check, (), "--check")?,
            "--seconds" => {
                let value = value(&arg, inline, &mut args, "--seconds", "a number")?;
                let number = value
                    .to_str()
                    .and_then(|text| text.parse().ok())
                    .filter(|number| (1..=SECONDS_MAX).contains(number))
                    .ok_or_else(|| {
                        let words = "--seconds: expected a number from 1 to";
                        UsageError(format!("{words} {SECONDS_MAX}"))
                    })?;
                once(&mut seconds, number, "--seconds")?;
            }
            _ if option.starts_with('-') => return Err(unknown(option, command)),
            word => match COMMANDS.into_iter().find(|known| *known == word) {
                Some(known) => once(&mut command, known, "the command")?,
                None => return Err(unknown(word, command)),
            },
        }
    }
    let takes = |what: &str, command: &str| {
        Err(UsageError(format!("{what} is not an option of {command}")))
    };
    match command.unwrap_or("run") {
        "panel" if config.is_some() => takes("--config", "panel"),
        "panel" if seconds.is_some() => takes("--seconds", "panel"),
        "panel" => Ok(Command::Panel {
            board,
            check: check.is_some(),
        }),
        other if board.is_some() => takes("--board", other),
        other if check.is_some() => takes("--check", other),
        "demo" if config.is_some() => takes("--config", "demo"),
        "demo" => Ok(Command::Demo { seconds }),
        other if seconds.is_some() => takes("--seconds", other),
        "check" => Ok(Command::Check { config }),
        "forget-password" => Ok(Command::ForgetPassword { config }),
        _ => Ok(Command::Run { config }),
    }
}

/// The value of an option: what follows its `=`, or the next argument.
fn value(
    arg: &OsString,
    inline: bool,
    args: &mut impl Iterator<Item = OsString>,
    option: &str,
    what: &str,
) -> Result<OsString, UsageError> {
    let value = if inline {
        // As bytes, so that a path that is no UTF-8 stays what it is.
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let bytes = arg.as_bytes().iter().skip_while(|byte| **byte != b'=');
        Some(OsString::from_vec(bytes.skip(1).copied().collect()))
    } else {
        args.next()
    };
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| UsageError(format!("{option}: expected {what} after it")))
}

fn once<T>(place: &mut Option<T>, value: T, what: &str) -> Result<(), UsageError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(UsageError(format!("{what} is given twice"))),
    }
}

fn unknown(word: &str, command: Option<&str>) -> UsageError {
    let shown = OneLine::new(word, 48);
    let (what, known): (_, &[&str]) = match (word.starts_with('-'), command) {
        (true, Some("demo")) => ("option", &["--seconds", "--help", "--version"]),
        (true, Some("panel")) => ("option", &["--board", "--check", "--help", "--version"]),
        (true, Some(_)) => ("option", &["--config", "--help", "--version"]),
        (true, None) => (
            "option",
            &[
                "--config",
                "--seconds",
                "--board",
                "--check",
                "--help",
                "--version",
            ],
        ),
        (false, None) => ("command", &COMMANDS),
        (false, Some(command)) => {
            return UsageError(format!(
                "expected nothing more after {command}; found {shown}"
            ));
        }
    };
    UsageError(match nearest(word, known.iter().copied()) {
        Some(name) => format!("unknown {what} {shown}; did you mean {name}?"),
        None => format!("unknown {what} {shown}; known are {}", known.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    fn file() -> Option<PathBuf> {
        Some(PathBuf::from("a.yml"))
    }

    fn panel(board: Option<PathBuf>, check: bool) -> Command {
        Command::Panel { board, check }
    }

    #[test]
    fn every_documented_form_is_taken() {
        for (line, command) in [
            ("", Command::Run { config: None }),
            ("run", Command::Run { config: None }),
            ("--config a.yml", Command::Run { config: file() }),
            ("run --config a.yml", Command::Run { config: file() }),
            ("run --config=a.yml", Command::Run { config: file() }),
            ("--config a.yml check", Command::Check { config: file() }),
            ("check", Command::Check { config: None }),
            (
                "forget-password --config a.yml",
                Command::ForgetPassword { config: file() },
            ),
            ("demo", Command::Demo { seconds: None }),
            ("demo --seconds 5", Command::Demo { seconds: Some(5) }),
            ("panel", panel(None, false)),
            ("panel --board a.yml", panel(file(), false)),
            ("--check panel --board=a.yml", panel(file(), true)),
            ("--help", Command::Help),
            ("check -h", Command::Help),
            ("--version", Command::Version),
        ] {
            assert_eq!(parsed(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn wrong_usage_is_told_with_the_nearest_name() {
        for (line, words) in [
            ("chekc", "unknown command chekc; did you mean check?"),
            (
                "--confg a.yml",
                "unknown option --confg; did you mean --config?",
            ),
            (
                "demo --second=3",
                "unknown option --second; did you mean --seconds?",
            ),
            (
                "start",
                "unknown command start; known are run, check, demo, panel, forget-password",
            ),
            ("run run", "the command is given twice"),
            (
                "check a.yml",
                "expected nothing more after check; found a.yml",
            ),
            ("--config", "--config: expected a file after it"),
            ("--config=", "--config: expected a file after it"),
            ("--config a --config b", "--config is given twice"),
            ("demo --config a", "--config is not an option of demo"),
            ("check --seconds 1", "--seconds is not an option of check"),
            ("panel --config a", "--config is not an option of panel"),
            ("panel --seconds 1", "--seconds is not an option of panel"),
            ("run --board a", "--board is not an option of run"),
            ("check --check", "--check is not an option of check"),
            (
                "panel --chek",
                "unknown option --chek; did you mean --check?",
            ),
            (
                "demo --seconds 0",
                "--seconds: expected a number from 1 to 86400",
            ),
            (
                "demo --seconds x",
                "--seconds: expected a number from 1 to 86400",
            ),
        ] {
            assert_eq!(parsed(line), Err(words.to_owned()), "{line}");
        }
    }

    #[test]
    fn paths_that_are_no_utf8_stay_what_they_are() {
        use std::os::unix::ffi::OsStringExt;
        let path = OsString::from_vec(b"--config=\xff=a.yml".to_vec());
        let config = Some(PathBuf::from(OsString::from_vec(b"\xff=a.yml".to_vec())));
        assert_eq!(parse([path]), Ok(Command::Run { config }));
    }
}
