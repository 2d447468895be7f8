//! A service manager that only listens (sd_notify(3)).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The socket that a daemon tells how it is, and what was told.
pub struct Manager {
    path: PathBuf,
    socket: UnixDatagram,
    told: Vec<String>,
}

impl Manager {
    /// A socket in a folder, for whoever runs there.
    pub fn listen(folder: &Path) -> Self {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket can be made");
        fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("it is ours");
        let patience = Some(Duration::from_millis(20));
        socket.set_read_timeout(patience).expect("a socket waits");
        Self {
            path,
            socket,
            told: Vec::new(),
        }
    }

    /// Has a program know of it, and of a watchdog that waits so long.
    pub fn manage<'a>(&self, command: &'a mut Command, watchdog: Duration) -> &'a mut Command {
        command
            .env("NOTIFY_SOCKET", &self.path)
            .env("WATCHDOG_USEC", watchdog.as_micros().to_string())
            .env_remove("WATCHDOG_PID")
    }

    /// Listens for a time.
    pub fn listen_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let mut bytes = [0; 1_024];
        while Instant::now() < end {
            if let Ok(length) = self.socket.recv(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]);
                self.told.extend(text.lines().map(str::to_owned));
            }
        }
    }

    /// Waits until a line was told after line `from`; the place after it.
    pub fn wait_for(&mut self, from: usize, line: &str, seconds: u64) -> usize {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            let mut told = self.told.iter().skip(from);
            if let Some(at) = told.position(|told| told.starts_with(line)) {
                return from + at + 1;
            }
            assert!(
                Instant::now() < end,
                "{line} was not told in {seconds} s, but {:?}",
                self.told
            );
            self.listen_for(Duration::from_millis(50));
        }
    }

    /// Everything that was told.
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// How often a line was told.
    pub fn count(&self, line: &str) -> usize {
        self.told.iter().filter(|told| *told == line).count()
    }
}
