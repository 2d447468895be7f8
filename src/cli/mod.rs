//! Floor 5: arguments and commands.

#![forbid(unsafe_code)]

pub mod args;
pub mod check;
mod clerks;
pub mod config_file;
mod config_files;
mod config_hooks;
mod config_page;
pub mod config_problem;
mod config_recording;
mod config_rules;
pub mod config_section;
pub mod config_signalling;
pub mod config_source;
mod config_trunk;
mod config_value;
pub mod credentials;
pub mod demo;
pub mod nearest;
mod panel;
pub mod panel_file;
pub mod settings;
pub mod test_caller;
pub mod trial;
pub mod viewer;
pub mod yaml;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::args::Command;
use crate::cli::config_source::ConfigSource;
use crate::cli::settings::Settings;
use crate::cli::trial::TrialsEnd;
use crate::gateway::Gateway;
use crate::gateway::config::Config;
use crate::gateway::desk::Clerk;
use crate::shell::daemon::{Daemon, Ended};
use crate::shell::manager::Manager;
use crate::shell::panel::SOCKET_NAME;
use crate::shell::{log_out, process, signals};

/// Something is wrong with what was asked for: configuration, addresses, ports.
const EXIT_PROBLEM: u8 = 1;

/// Folder of what outlives a restart, unless somebody names another.
const STATE_DIRECTORY: &str = "/var/lib/trunkcast";

/// The command line is none of ours.
const EXIT_USAGE: u8 = 2;

/// Does what the arguments, program name excluded, ask for.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match args::parse(args) {
        Ok(Command::Run { config }) => run(ConfigSource::new(config)),
        Ok(Command::Check { config }) => check(&ConfigSource::new(config).before_start()),
        Ok(Command::Demo { seconds }) => demo::run(seconds),
        Ok(Command::Panel { board, check }) => panel::run(board, check),
        Ok(Command::ForgetPassword { config }) => forget_password(ConfigSource::new(config)),
        Ok(Command::Help) => print(args::HELP.trim_end()),
        Ok(Command::Version) => print(concat!("trunkcast ", env!("CARGO_PKG_VERSION"))),
        Err(error) => {
            complain(format_args!("trunkcast: {error}\nTry trunkcast --help."));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn run(source: ConfigSource) -> ExitCode {
    let (config, origin) = match source.load() {
        Ok((config, origin)) => (with_state(config), origin),
        Err(problems) => {
            problems.iter().for_each(complain);
            return ExitCode::from(EXIT_PROBLEM);
        }
    };
    log_out::install(log::LevelFilter::Info);
    log::info!("configuration: {origin}");
    for line in config.budget().to_string().lines() {
        log::info!("{line}");
    }
    for notice in &config.notices {
        log::warn!("{notice}");
    }
    let settings = clerks::settings(Some(source.clone()));
    let (trials, trials_end) = clerks::trials(Some(source.clone()));
    let reload = move || match source.load() {
        Ok((config, _)) => Ok(with_state(config)),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    };
    // Looked up now: the file may be another by then, under the same name.
    let program = std::env::current_exe();
    let exit = start(config, [settings, trials], &trials_end, Box::new(reload));
    trials_end.end();
    log_out::flush();
    match exit {
        Ok(Ended::Stopped) => ExitCode::SUCCESS,
        Ok(Ended::Restart) => {
            let error = match program {
                Ok(program) => process::replace(&program),
                Err(error) => error,
            };
            log::error!("cannot begin anew: {error}");
            log_out::flush();
            ExitCode::from(EXIT_PROBLEM)
        }
        Err(exit) => exit,
    }
}

/// The configuration with the folder of what outlives a restart, where the file names none: the one
/// that systemd gives us, or the usual one.
fn with_state(mut config: Config) -> Config {
    config.state_directory.get_or_insert_with(|| {
        let given = std::env::var("STATE_DIRECTORY").unwrap_or_default();
        // Several are separated by colons; ours is the first.
        match given.split(':').next() {
            Some(first) if first.starts_with('/') => first.to_owned(),
            _ => STATE_DIRECTORY.to_owned(),
        }
    });
    config
}

/// The folder that systemd gives us for as long as we run; of several, the first.
fn runtime_folder() -> Option<PathBuf> {
    let given = std::env::var("RUNTIME_DIRECTORY").ok()?;
    let first = given.split(':').next()?;
    first.starts_with('/').then(|| PathBuf::from(first))
}

/// Reads the configuration anew: the new one, or every problem as a line.
pub type Reload = Box<dyn FnMut() -> Result<Config, Vec<String>>>;

/// The one place where the daemon is started.
fn start(
    config: Config,
    [settings, trials]: [Box<dyn Clerk>; 2],
    trials_end: &TrialsEnd,
    mut reload: Reload,
) -> Result<Ended, ExitCode> {
    let mut daemon = match Daemon::bind(config) {
        Ok(daemon) => daemon,
        Err(error) => {
            log::error!("{error}");
            return Err(ExitCode::from(EXIT_PROBLEM));
        }
    };
    if let Err(error) = daemon.set_clerks(settings, trials) {
        log::error!("cannot start the threads of the page: {error}");
        return Err(ExitCode::from(EXIT_PROBLEM));
    }
    if let Some(folder) = runtime_folder() {
        let path = folder.join(SOCKET_NAME);
        if let Err(error) = daemon.open_panel(&path) {
            // Nothing but LEDs hangs on it.
            log::warn!("{}: {error}: LEDs will show a fault", path.display());
        }
    }
    if let Err(error) = signals::watch(daemon.remote()) {
        log::error!("cannot watch signals: {error}");
        return Err(ExitCode::from(EXIT_PROBLEM));
    }
    daemon.set_manager(Manager::from_env());
    log::info!("ready");
    let reload = || match reload() {
        Ok(config) => Some(config),
        Err(problems) => {
            problems.iter().for_each(|problem| log::error!("{problem}"));
            log::error!("configuration unchanged");
            None
        }
    };
    let each_turn = |_, gateway: &Gateway| {
        if gateway.is_stopping() {
            trials_end.begin();
        }
    };
    smol::block_on(daemon.run(reload, each_turn)).map_err(|error| {
        log::error!("the daemon stopped: {error}");
        ExitCode::from(EXIT_PROBLEM)
    })
}

fn check(source: &ConfigSource) -> ExitCode {
    match source.load() {
        Ok((config, origin)) => print(check::Summary::new(&config, &origin)),
        Err(problems) => {
            problems.iter().for_each(complain);
            ExitCode::from(EXIT_PROBLEM)
        }
    }
}

fn forget_password(source: ConfigSource) -> ExitCode {
    let name = source.path().display().to_string();
    match Settings::new(Some(source)).forget_password() {
        Ok(true) => print(format_args!(
            "{name}: the page has no password; a daemon that runs takes that with a reload"
        )),
        Ok(false) => print(format_args!("{name}: no password of the page was set")),
        Err(words) => {
            complain(words);
            ExitCode::from(EXIT_PROBLEM)
        }
    }
}

/// Prints on standard output; a reader that went away is no panic.
fn print(what: impl std::fmt::Display) -> ExitCode {
    use std::io::Write as _;

    let _ = writeln!(std::io::stdout(), "{what}");
    ExitCode::SUCCESS
}

/// Prints on standard error, as [`print`] does.
fn complain(what: impl std::fmt::Display) {
    use std::io::Write as _;

    let _ = writeln!(std::io::stderr(), "{what}");
}
