//! nginx with its RTMP module: the server that the gateway publishes to.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::scratch::{Scratch, tests_folder};
use super::{Ports, Program};

/// A running nginx in one process, so that a signal stops all of it.
///
/// Its applications: `live` records what it gets and lets others play it; `refused` refuses to
/// publish; `denied` accepts and then ends the connection. It takes the odd port above its own for
/// its own use.
pub struct Nginx {
    program: Program,
    folder: Scratch,
    address: SocketAddr,
}

impl Nginx {
    /// Starts on a free port.
    pub fn start(ports: &mut Ports) -> Self {
        Self::start_at(ports.address())
    }

    /// Starts at a given address, as a server does that comes back.
    pub fn start_at(address: SocketAddr) -> Self {
        let folder = Scratch::new("nginx");
        let template = tests_folder().join("data/peers/nginx.conf");
        let text = fs::read_to_string(&template)
            .expect("nginx.conf is part of the project")
            .replace("@LISTEN@", &address.to_string())
            .replace(
                "@HTTP@",
                &SocketAddr::new(address.ip(), address.port() + 1).to_string(),
            )
            .replace("@FOLDER@", &folder.path().to_string_lossy());
        let config = folder.write("nginx.conf", text);
        let program = Program::start(
            Command::new("/usr/sbin/nginx")
                .arg("-e")
                .arg(folder.join("error.log"))
                .arg("-p")
                .arg(folder.path())
                .arg("-c")
                .arg(config),
        );
        let nginx = Self {
            program,
            folder,
            address,
        };
        nginx.wait_until_bound();
        nginx
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of an application, as a trunk's `url`.
    pub fn url(&self, application: &str) -> String {
        format!("rtmp://{}/{application}", self.address)
    }

    /// The recording of a stream published to `live`, waited for until nginx has closed it.
    pub fn recording(&self, stream: &str) -> PathBuf {
        let path = self.folder.join(&format!("{stream}.flv"));
        let deadline = Instant::now() + Duration::from_secs(10);
        // nginx writes without buffering, so a file that no longer grows is whole.
        let mut size = None;
        loop {
            let now = fs::metadata(&path)
                .ok()
                .map(|data| data.len())
                .filter(|&size| size > 13);
            if now.is_some() && now == size {
                return path;
            }
            size = now;
            let log = fs::read_to_string(self.folder.join("error.log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "nginx recorded no {stream}:\n{log}"
            );
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// The recording of a stream that may still be growing.
    pub fn recording_so_far(&self, stream: &str) -> PathBuf {
        self.folder.join(&format!("{stream}.flv"))
    }

    /// Bytes recorded so far of a stream, none if it never came.
    pub fn recorded(&self, stream: &str) -> u64 {
        let path = self.folder.join(&format!("{stream}.flv"));
        fs::metadata(path).map_or(0, |data| data.len())
    }

    /// Waits until a stream's recording has more than `size` bytes.
    pub fn wait_recorded(&self, stream: &str, size: u64, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.recorded(stream) <= size {
            let log = fs::read_to_string(self.folder.join("error.log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "no more of {stream} came to nginx:\n{log}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it from running without closing anything, as a stalled machine.
    pub fn stall(&self) {
        self.program.signal("STOP");
    }

    /// Lets it run again.
    pub fn resume(&self) {
        self.program.signal("CONT");
    }

    /// Kills it; what it recorded stays readable.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    fn wait_until_bound(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(self.address).is_err() {
            let log = fs::read_to_string(self.folder.join("error.log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "nginx does not listen:\n{log}{}",
                self.program.text()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}
