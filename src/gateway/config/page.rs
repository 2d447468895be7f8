//! The local page: where it listens, and who may reach it.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::RestTls;
use crate::base::network::Network;
use crate::base::redact::Secret;

/// The local page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where it listens; nowhere without one, unless over TLS.
    pub listen: Option<SocketAddr>,
    /// Networks that may reach it: connections of others are closed at once.
    pub allow: Vec<Network>,
    /// Hash of the password in the PHC string format; the first visitor sets one where there is none.
    pub password_hash: Option<Secret<String>>,
    /// The same page over TLS, where it is wished.
    pub tls: Option<RestTls>,
}

impl Page {
    /// Where it listens, unless the file says otherwise.
    pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8_080);

    /// Where it listens, plainly and over TLS.
    pub fn listens(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (self.listen, self.tls.as_ref().map(|tls| tls.listen))
    }

    /// Whether an address may reach it.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(address))
    }
}

impl Default for Page {
    fn default() -> Self {
        Self {
            listen: Some(Self::LISTEN),
            allow: Network::LOCAL.to_vec(),
            password_hash: None,
            tls: None,
        }
    }
}
