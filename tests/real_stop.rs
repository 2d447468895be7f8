//! The daemon ends when it is told to, though the disk hangs and the caller says nothing more.

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::daemon::Settings;
use support::phone::Play;
use support::{Clip, Daemon, Phone, Ports, Program, Scratch};

/// A disk that takes a minute to write anything down, for a daemon that runs: strace holds up its calls.
fn hang_the_disk(daemon: &Daemon) -> Program {
    let strace = Program::start(Command::new("strace").args([
        "--follow-forks",
        &format!("--attach={}", daemon.log().id()),
        "--trace=fdatasync",
        "--inject=fdatasync:delay_enter=60s",
    ]));
    strace.wait_for("attached", Duration::from_secs(10));
    strace
}

/// Whether the thread that writes recordings is held up.
fn hangs(daemon: &Daemon) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.log().id())).expect("it runs");
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok())
        .any(|status| status.starts_with("Name:\trecorder") && status.contains("tracing stop"))
}

/// Whether the program has ended: strace holds on to what is left of it.
fn is_over(daemon: &Daemon) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.log().id()));
    status.is_ok_and(|status| status.contains("Z (zombie)"))
}

fn names(folder: &Scratch) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("records")).expect("the folder was made");
    entries.map(|entry| entry.expect("a file").path()).collect()
}

#[test]
fn a_disk_that_hangs_and_a_caller_that_is_gone_hold_up_the_end_together_and_not_in_turn() {
    let mut ports = Ports::claim();
    let folder = Scratch::new("stop");
    let records = folder.join("records");
    let settings = Settings {
        top: vec![format!(
            "recording: {{directory: {}, minFreeMiB: 16, all: true}}",
            records.display()
        )],
        ..Settings::default()
    };
    let mut daemon = Daemon::start(&mut ports, settings);
    let mut strace = hang_the_disk(&daemon);
    let mut phone = Phone::dial(&mut ports, daemon.sip(), "5551");
    phone.play(&Clip::load(), &Play::default());
    let limit = Instant::now() + Duration::from_secs(10);
    while !hangs(&daemon) {
        assert!(Instant::now() < limit, "nothing was written down");
        sleep(Duration::from_millis(50));
    }
    // The caller has gone without a word: nobody answers the BYE.
    daemon.log().signal("TERM");
    let limit = Instant::now() + Duration::from_secs(4);
    while !is_over(&daemon) {
        assert!(Instant::now() < limit, "{}", daemon.log().text());
        sleep(Duration::from_millis(10));
    }
    strace.kill();
    daemon.check_calm();

    // What could not be finished is finished by who begins next.
    daemon.restart();
    let limit = Instant::now() + Duration::from_secs(10);
    let finished = || {
        let found = names(&folder);
        found.len() == 1
            && found
                .iter()
                .all(|file| file.extension().is_some_and(|it| it == "mp4"))
    };
    while !finished() {
        assert!(Instant::now() < limit, "{:?}", names(&folder));
        sleep(Duration::from_millis(50));
    }
    daemon.terminate();
}
