//! Address ranges in CIDR form, for who may call, and the transports of SIP.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// How SIP is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A connection.
    Tcp,
    /// A connection protected by TLS.
    Tls,
}

impl Transport {
    /// Whether the transport itself repeats what is lost.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// The transport of a Via (RFC 3261 section 20.42).
    pub const fn via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// The port that SIP has there where none is named (RFC 3261 section 19.1.2).
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.via())
    }
}

/// An IPv4 or IPv6 network: an address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network; prints as what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// Neither an address nor an address with a prefix length.
    Form,
    /// More leading bits than the address has: the most there can be.
    Prefix(u8),
    /// Bits are set behind the prefix: the network that may have been meant.
    HostBits(Network),
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("an IP address or network such as 192.0.2.0/24"),
            Self::Prefix(most) => write!(f, "a prefix length of at most {most}"),
            Self::HostBits(network) => {
                write!(f, "a network without host bits, such as {network}")
            }
        }
    }
}

impl Network {
    /// Loopback, private (RFC 1918), unique local (RFC 4193) and link-local networks: who may call
    /// a box that nobody has configured yet.
    pub const LOCAL: [Self; 8] = [
        Self::v4(127, 0, 0, 0, 8),
        Self::v4(10, 0, 0, 0, 8),
        Self::v4(172, 16, 0, 0, 12),
        Self::v4(192, 168, 0, 0, 16),
        Self::v4(169, 254, 0, 0, 16),
        Self {
            address: IpAddr::V6(Ipv6Addr::LOCALHOST),
            prefix: 128,
        },
        Self {
            address: IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)),
            prefix: 7,
        },
        Self {
            address: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)),
            prefix: 10,
        },
    ];

    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            prefix,
        }
    }

    /// The network of one address.
    pub const fn host(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Self { address, prefix }
    }

    /// Whether `address` lies in the network. An IPv4 address in IPv6 form counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => mask4(address, self.prefix) == network,
            (IpAddr::V6(network), IpAddr::V6(address)) => mask6(address, self.prefix) == network,
            _ => false,
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self::host(address)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let Some((address, prefix)) = text.split_once('/') else {
            return text.parse().map(Self::host).map_err(|_| NetworkError::Form);
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Form)?;
        if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NetworkError::Form);
        }
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix
            .parse()
            .ok()
            .filter(|p| *p <= most)
            .ok_or(NetworkError::Prefix(most))?;
        let masked = match address {
            IpAddr::V4(address) => IpAddr::V4(mask4(address, prefix)),
            IpAddr::V6(address) => IpAddr::V6(mask6(address, prefix)),
        };
        let network = Self {
            address: masked,
            prefix,
        };
        if masked == address {
            Ok(network)
        } else {
            Err(NetworkError::HostBits(network))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        write!(f, "{}", self.address)?;
        if self.prefix == whole {
            Ok(())
        } else {
            write!(f, "/{}", self.prefix)
        }
    }
}

fn mask4(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let behind = 32u32.saturating_sub(u32::from(prefix));
    Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(behind).unwrap_or(0))
}

fn mask6(address: Ipv6Addr, prefix: u8) -> Ipv6Addr {
    let behind = 128u32.saturating_sub(u32::from(prefix));
    Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(behind).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let net = network("192.0.2.128/25");
        assert!(net.contains(ip("192.0.2.128")) && net.contains(ip("192.0.2.255")));
        assert!(!net.contains(ip("192.0.2.127")) && !net.contains(ip("192.0.3.128")));
        assert!(net.contains(ip("::ffff:192.0.2.200")), "IPv4 in IPv6 form");
        assert!(!net.contains(ip("2001:db8::1")));
        assert!(network("0.0.0.0/0").contains(ip("203.0.113.9")));
        assert!(!network("0.0.0.0/0").contains(ip("2001:db8::1")));
        assert!(network("::/0").contains(ip("2001:db8::1")));
        assert!(network("2001:db8::/33").contains(ip("2001:db8:7fff::1")));
        assert!(!network("2001:db8::/33").contains(ip("2001:db8:8000::1")));
        assert!(network("192.0.2.1").contains(ip("192.0.2.1")));
        assert!(!network("192.0.2.1").contains(ip("192.0.2.2")));
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for text in [
            "",
            "/",
            "192.0.2/24",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2.0/24/1",
            "pbx",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Form), "{text}");
        }
        assert_eq!(
            "192.0.2.0/33".parse::<Network>(),
            Err(NetworkError::Prefix(32))
        );
        assert_eq!("::/129".parse::<Network>(), Err(NetworkError::Prefix(128)));
        assert_eq!(
            "192.0.2.9/24".parse::<Network>(),
            Err(NetworkError::HostBits(network("192.0.2.0/24")))
        );
    }

    #[test]
    fn printed_networks_read_back() {
        for text in [
            "192.0.2.0/24",
            "192.0.2.1",
            "2001:db8::/32",
            "::1",
            "0.0.0.0/0",
        ] {
            assert_eq!(network(text).to_string(), text);
        }
    }

    #[test]
    fn local_networks_hold_no_public_address() {
        let local = |text| Network::LOCAL.iter().any(|net| net.contains(ip(text)));
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
        ] {
            assert!(local(text), "{text}");
        }
        for text in [
            "172.32.0.1",
            "192.0.2.1",
            "8.8.8.8",
            "2001:db8::1",
            "11.0.0.1",
        ] {
            assert!(!local(text), "{text}");
        }
    }
}
