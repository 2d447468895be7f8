//! SIPVicious, the scanner that every public SIP port meets.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::scratch::Scratch;
use super::{Namespace, Program};

/// How long a scan of a test may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs one of its programs within a namespace, since not all of them bind to the address they are
/// told; everything that it printed. It keeps what it found in its home, which is one of its own.
pub fn scan(
    namespace: &Namespace,
    program: &str,
    target: SocketAddr,
    arguments: &[&str],
) -> String {
    let folder = folder();
    let script = folder.join("bin").join(format!("sipvicious_{program}"));
    assert!(
        script.exists(),
        "{} is missing: tests/run real installs SIPVicious, or pip install --no-deps --target {} \
         sipvicious==0.3.8",
        script.display(),
        folder.display()
    );
    // What comes late for one scan must not be taken for an answer to the next.
    static PORT: AtomicU16 = AtomicU16::new(5_100);
    let port = PORT.fetch_add(10, Ordering::Relaxed);
    let home = Scratch::new("sipvicious");
    let mut scan = Program::start(
        namespace
            .command("python3")
            .arg(script)
            .args(["-p", &target.port().to_string()])
            .args(["-P", &port.to_string()])
            .args(["-x", &namespace.theirs().to_string()])
            .args(arguments)
            .arg(target.ip().to_string())
            .env("PYTHONPATH", &folder)
            .env("HOME", home.path())
            .current_dir(home.path()),
    );
    // What it ends with tells of errors, of which silence is one.
    scan.wait(PATIENCE);
    scan.text()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/sipvicious")
}
