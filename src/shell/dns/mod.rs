//! Where a SIP host is reached (RFC 3263): SRV records, then addresses.
//!
//! An address is taken as it is, and a name with a port is asked for its addresses alone. Otherwise
//! the SRV records of the transports tell hosts and ports; without any, the name's own addresses at
//! the transport's usual port. NAPTR records are not asked for: what they would tell is the transport,
//! and that is configured or found by the SRV records that there are.
//!
//! SRV records are asked of the name servers by [`query`], since the C library has no call for them;
//! addresses come from the C library, with all that the system knows beside DNS, such as `/etc/hosts`.
//! All of it blocks, for [`LOOK_UP_TIME`] at most, on a thread for such work.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod query;
pub mod resolv_conf;
pub mod srv;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use crate::base::network::Transport;
use crate::base::rng::Rng;
use crate::limits::{DNS_ALIASES, HOST_ADDRESSES, RESOLUTIONS};
use crate::sip::{SipTarget, SipTargets};

use query::Failure;
use resolv_conf::Servers;
use srv::{Srv, SrvAnswer};

/// How long one look-up may take in all.
pub const LOOK_UP_TIME: Duration = Duration::from_secs(5);

/// Transports in the order to try them where none is given: first what `sip:` means by itself.
const TRANSPORTS: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

/// Addresses of one host, by whatever way the system finds them.
pub type FindAddresses = fn(&str) -> std::io::Result<Vec<IpAddr>>;

/// A SIP host to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipHost {
    /// Its name or address, IPv6 with or without brackets.
    pub name: String,
    /// Its port; without one the SRV records of the name decide.
    pub port: Option<u16>,
    /// How to reach it, where that is given.
    pub transport: Option<Transport>,
}

/// Looks hosts up. One is made for each look-up.
pub struct SipNames {
    servers: Servers,
    addresses: FindAddresses,
    rng: Rng,
    deadline: Instant,
    srv_deadline: Instant,
}

impl SipHost {
    /// The one target of a host that is an address: nothing has to be asked.
    pub fn literal(&self) -> Option<SipTarget> {
        let bare = self.name.trim_start_matches('[').trim_end_matches(']');
        let ip: IpAddr = bare.parse().ok()?;
        let transport = self.transport.unwrap_or_default();
        let port = self.port.unwrap_or(transport.default_port());
        let address = SocketAddr::new(ip, port);
        Some(SipTarget { transport, address })
    }
}

impl SipNames {
    /// Asks the servers that the system names.
    pub fn of_system(rng: Rng) -> Self {
        Self::of(resolv_conf::servers(), system_addresses, rng)
    }

    /// Asks these servers for SRV records, and `addresses` for the addresses of hosts.
    pub fn of(servers: Servers, addresses: FindAddresses, rng: Rng) -> Self {
        let now = Instant::now();
        Self {
            servers,
            addresses,
            rng,
            deadline: now,
            srv_deadline: now,
        }
        .within(LOOK_UP_TIME)
    }

    /// Takes that time at most, two thirds of it for the SRV records.
    pub fn within(mut self, time: Duration) -> Self {
        let now = Instant::now();
        let after = |time| now.checked_add(time).unwrap_or(now);
        self.deadline = after(time);
        self.srv_deadline = after(time * 2 / 3);
        self
    }

    /// The places to try, in order; at least one.
    ///
    /// # Errors
    ///
    /// Why there is none, in words that name the host.
    pub fn look_up(mut self, host: &SipHost) -> Result<SipTargets, String> {
        if let Some(target) = host.literal() {
            return Ok(SipTargets::from_iter([target]));
        }
        let mut targets = SipTargets::new();
        let mut error = None;
        if let Some(port) = host.port {
            let transport = host.transport.unwrap_or_default();
            self.add(&mut targets, transport, &host.name, port, &mut error);
            return found(targets, host, error);
        }
        let given = host.transport.map(|transport| [transport]);
        let transports = given.as_ref().map_or(&TRANSPORTS[..], |one| &one[..]);
        let mut is_said = false;
        let mut is_refused = false;
        for transport in transports {
            match self.services(*transport, &host.name) {
                Ok(SrvAnswer::Hosts(mut services)) => {
                    is_said = true;
                    srv::order(&mut services, &mut self.rng);
                    for Srv { target, port, .. } in services.iter() {
                        self.add(&mut targets, *transport, target, *port, &mut error);
                    }
                }
                Ok(SrvAnswer::NotOffered) => is_refused = true,
                Ok(SrvAnswer::Nothing | SrvAnswer::Alias(_)) | Err(Failure::Refused) => {}
                // Asking on would take the time of the addresses.
                Err(Failure::Silence | Failure::Name) => break,
            }
        }
        if !is_said && is_refused {
            let transport = host
                .transport
                .map(|t| format!(" over {t}"))
                .unwrap_or_default();
            return Err(format!(
                "{} says that it offers no SIP{transport}",
                host.name
            ));
        }
        if !is_said {
            let transport = host.transport.unwrap_or_default();
            let port = transport.default_port();
            self.add(&mut targets, transport, &host.name, port, &mut error);
        }
        found(targets, host, error)
    }

    /// What the name servers say about SIP over a transport at a name.
    fn services(&mut self, transport: Transport, name: &str) -> Result<SrvAnswer, Failure> {
        let service = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
        };
        let mut question = format!("{service}.{}", name.trim_end_matches('.'));
        for _ in 0..DNS_ALIASES {
            let answer = query::srv(&self.servers, &question, &mut self.rng, self.srv_deadline)?;
            let packet = query::parse(&answer).ok_or(Failure::Refused)?;
            match srv::read(&packet, &question) {
                // A server that does not follow aliases leaves that to us.
                SrvAnswer::Alias(other) => question = other,
                said => return Ok(said),
            }
        }
        Ok(SrvAnswer::Nothing)
    }

    /// Adds the addresses of a host, as far as there is room.
    fn add(
        &self,
        targets: &mut SipTargets,
        transport: Transport,
        host: &str,
        port: u16,
        error: &mut Option<String>,
    ) {
        if targets.is_full() {
            return;
        }
        match self.addresses_of(host) {
            Ok(addresses) => {
                for ip in addresses.into_iter().take(HOST_ADDRESSES) {
                    let address = SocketAddr::new(ip, port);
                    let target = SipTarget { transport, address };
                    if !targets.contains(&target) {
                        // The rest is left out once there is no room.
                        let _ = targets.push(target);
                    }
                }
            }
            Err(words) => *error = Some(format!("cannot resolve {host}: {words}")),
        }
    }

    /// Asks the system, which knows no deadline, on a thread that is left alone after ours.
    fn addresses_of(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse() {
            return Ok(vec![ip]);
        }
        let Some(asking) = Asking::begin() else {
            return Err("too many names are being resolved".to_owned());
        };
        let (answer, answered) = sync_channel(1);
        let (find, name) = (self.addresses, bare.to_owned());
        smol::unblock(move || {
            let found = find(&name);
            drop(asking);
            // Nobody waits any more when the time is over.
            let _ = answer.send(found);
        })
        .detach();
        let left = self.deadline.saturating_duration_since(Instant::now());
        match answered.recv_timeout(left) {
            Ok(found) => found.map_err(|error| error.to_string()),
            Err(_) => Err("the name servers do not answer".to_owned()),
        }
    }
}

/// Names that the system is being asked for: those left alone are counted too.
struct Asking;

static ASKING: AtomicUsize = AtomicUsize::new(0);

impl Asking {
    fn begin() -> Option<Self> {
        let before = ASKING.fetch_add(1, Ordering::Relaxed);
        // Counted down again by its end.
        let asking = Self;
        (before < RESOLUTIONS).then_some(asking)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        ASKING.fetch_sub(1, Ordering::Relaxed);
    }
}

fn found(targets: SipTargets, host: &SipHost, error: Option<String>) -> Result<SipTargets, String> {
    if targets.is_empty() {
        return Err(error.unwrap_or_else(|| format!("cannot resolve {}: no address", host.name)));
    }
    Ok(targets)
}

fn system_addresses(name: &str) -> std::io::Result<Vec<IpAddr>> {
    let found = (name, 0).to_socket_addrs()?;
    Ok(found.map(|address| address.ip().to_canonical()).collect())
}

#[cfg(test)]
mod tests;
