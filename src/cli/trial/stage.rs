//! A daemon for one trial: the trunk that is tried and nothing else, on ports that are free.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::report::{Failed, Problem};
use crate::base::redact::Secret;
use crate::gateway::Gateway;
use crate::gateway::config::{Config, PortRange, Trunk};
use crate::limits::MEDIA_PORTS_PER_CALL;
use crate::shell::daemon::Daemon;

/// How long the clean end of a trial may take.
const END: Duration = Duration::from_millis(1_500);

/// How often the state of the daemon is looked at, at least.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Ports that are looked at for free ones.
const ATTEMPTS: usize = 64;

/// A daemon with one trunk.
pub struct Stage {
    daemon: Box<Daemon>,
    port: u16,
    clock: Clock,
}

impl Stage {
    /// Binds a trunk, with what else of the settings concerns it. `hidden` is in no line of the log.
    pub fn bind(
        trunk: Trunk,
        settings: &Config,
        hidden: Secret<String>,
        clock: &Clock,
    ) -> Result<Self, Failed> {
        let config = config(trunk, settings).map_err(|error| failed(&error))?;
        let port = config.trunks.first().map_or(0, |trunk| trunk.local_port);
        let daemon = Daemon::bind_trial(config, hidden).map_err(|error| failed(&error))?;
        Ok(Self {
            port,
            daemon,
            clock: clock.clone(),
        })
    }

    /// The trunk's port of SIP.
    pub const fn sip_port(&self) -> u16 {
        self.port
    }

    /// Lets it work until `look` finds what it looks for; `None` when that time, or the trial's, is
    /// over before.
    pub fn drive<T>(
        &mut self,
        most: Duration,
        mut look: impl FnMut(&Gateway) -> Option<T>,
    ) -> Option<T> {
        let by = self.clock.by(most);
        loop {
            let stepped = self.daemon.step(LOOK_EVERY);
            let found = look(self.daemon.gateway());
            if found.is_some() || stepped.is_err() {
                return found;
            }
            if self.clock.is_stopped() || Instant::now() >= by {
                return None;
            }
        }
    }

    /// Ends calls, streams and registrations cleanly.
    pub fn end(mut self) {
        self.daemon.stop();
        let by = Instant::now().checked_add(END);
        while !self.daemon.is_idle() && by.is_some_and(|by| Instant::now() < by) {
            if self.daemon.step(LOOK_EVERY).is_err() {
                return;
            }
        }
    }
}

/// What the box could not do.
pub fn failed(error: &dyn std::fmt::Display) -> Failed {
    Failed::new(Problem::Failed, error.to_string())
}

/// The configuration of a trial.
fn config(mut trunk: Trunk, settings: &Config) -> io::Result<Config> {
    let taken = |port: u16| {
        settings.media.ports.contains(port) || settings.trunks.iter().any(|t| t.local_port == port)
    };
    trunk.local_port = sip_port(taken)?;
    trunk.record = Some(false);
    let loopback = |port| (IpAddr::V4(Ipv4Addr::LOCALHOST), port).into();
    let mut config = Config {
        trunks: vec![trunk],
        rtmp_listen: loopback(0),
        rtmp_ca_file: settings.rtmp_ca_file.clone(),
        media: settings.media,
        ..Config::default()
    };
    config.limits.calls = 1;
    config.media.ports = media_ports(taken)?;
    config.page.listen = None;
    // Nobody is told where that is, nor how to get in.
    config.rest.listen = loopback(0);
    config.rest.password = Some(Secret::new(format!(
        "{:x}{:x}",
        RandomState::new().hash_one(0),
        RandomState::new().hash_one(1)
    )));
    Ok(config)
}

/// A port that is free for datagrams and connections in both families.
fn sip_port(taken: impl Fn(u16) -> bool) -> io::Result<u16> {
    for _ in 0..ATTEMPTS {
        let port = any_port()?;
        let in_use = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
        let connections = TcpListener::bind((std::net::Ipv6Addr::UNSPECIFIED, port));
        if !taken(port) && !connections.is_err_and(|error| in_use(&error)) {
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Ports for the media of one call.
fn media_ports(taken: impl Fn(u16) -> bool) -> io::Result<PortRange> {
    for _ in 0..ATTEMPTS {
        let first = any_port()? & !1;
        let Some(last) = first.checked_add(MEDIA_PORTS_PER_CALL as u16 - 1) else {
            continue;
        };
        let is_free = |port| !taken(port) && UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
        if (first..=last).all(is_free)
            && let Ok(range) = format!("{first}-{last}").parse()
        {
            return Ok(range);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// A port that the system gives for datagrams.
fn any_port() -> io::Result<u16> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    Ok(socket.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_takes_none_of_the_ports_that_the_settings_name() {
        let mut settings = Config::default();
        settings.media.ports = "32768-60999".parse().unwrap();
        let Ok(config) = config(Trunk::new("office", 40_000), &settings) else {
            // The system gives no other ports than those.
            return;
        };
        let [trunk] = &config.trunks[..] else {
            panic!("one trunk");
        };
        let [first, last] = [config.media.ports.first(), config.media.ports.last()];
        for port in [trunk.local_port, first, last] {
            assert!(!settings.media.ports.contains(port) && port != 40_000);
        }
    }

    #[test]
    fn a_trial_is_alone() {
        let mut settings = Config {
            files_directory: Some("/files".to_owned()),
            state_directory: Some("/state".to_owned()),
            ..Config::default()
        };
        settings.trunks.push(Trunk::new("second", 40_002));
        let config = config(Trunk::new("office", 40_000), &settings).unwrap();
        assert_eq!(config.trunks.len(), 1);
        assert_eq!(config.limits.calls, 1);
        assert_eq!(config.media.ports.calls(), 1);
        assert!(config.files_directory.is_none() && config.state_directory.is_none());
        assert!(config.hooks.is_none() && config.recording.is_none());
        assert!(config.rest.password.is_some());
        assert_eq!(
            (config.rest.listen.port(), config.rtmp_listen.port()),
            (0, 0)
        );
    }
}
