//! Messages to the service manager (sd_notify(3)), without ever waiting for it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use sd_notify::NotifyState;

/// Names the socket of the service manager.
const SOCKET: &str = "NOTIFY_SOCKET";

/// The way to the service manager.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl Notifier {
    /// The way that the environment names; none without a service manager.
    pub fn from_env() -> Option<Self> {
        let path: OsString = std::env::var_os(SOCKET)?;
        Self::to(&path)
            .inspect_err(|error| log::warn!("{SOCKET}: {error}"))
            .ok()
    }

    /// The way to a socket: a path, or after `@` a name without one (unix(7)).
    pub fn to(path: &OsStr) -> io::Result<Self> {
        let manager = match path.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(path)?,
        };
        let socket = UnixDatagram::unbound()?;
        // It may be busy: what it has no room for is said later, or again.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, manager })
    }

    /// Says it; whether it was taken.
    pub fn say(&self, states: &[NotifyState<'_>]) -> bool {
        let mut message = String::new();
        for state in states {
            let _ = writeln!(message, "{state}");
        }
        let sent = self.socket.send_to_addr(message.as_bytes(), &self.manager);
        sent.is_ok()
    }
}
