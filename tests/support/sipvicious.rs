//! SIPVicious, the scanner that every public SIP port meets.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Program;
use super::scratch::Scratch;

/// How long a scan of a test may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs one of its programs with a home of its own, since it keeps what it found there; everything
/// that it printed.
pub fn scan(program: &str, arguments: &[&str]) -> String {
    let folder = folder();
    let script = folder.join("bin").join(format!("sipvicious_{program}"));
    assert!(
        script.exists(),
        "{} is missing: tests/run real installs SIPVicious by pip install --target {} \
         sipvicious==0.3.8",
        script.display(),
        folder.display()
    );
    let home = Scratch::new("sipvicious");
    Program::start(
        Command::new("python3")
            .arg(script)
            .args(arguments)
            .env("PYTHONPATH", &folder)
            .env("HOME", home.path())
            .current_dir(home.path()),
    )
    .succeed(PATIENCE)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/sipvicious")
}
