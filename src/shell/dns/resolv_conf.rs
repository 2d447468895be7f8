//! The name servers of `/etc/resolv.conf`.
//!
//! Read anew for every look-up: a box moves between networks while it runs. Search lists and options
//! are not followed, for a SIP domain is written out whole.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use heapless::Vec;

use crate::limits::DNS_SERVERS;

/// Name servers in the order to ask them.
pub type Servers = Vec<SocketAddr, DNS_SERVERS>;

/// Where the system names its servers.
const PATH: &str = "/etc/resolv.conf";

/// Bytes of the file that are read.
const FILE_BYTES: u64 = 16_384;

/// The port of DNS.
const PORT: u16 = 53;

/// The servers of this system; the one on this machine where none is named.
pub fn servers() -> Servers {
    let mut text = String::new();
    // A file that is not there names nobody.
    let _ = File::open(PATH).and_then(|file| file.take(FILE_BYTES).read_to_string(&mut text));
    let mut servers = parse(&text);
    if servers.is_empty() {
        let _ = servers.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT));
    }
    servers
}

/// The servers that a file names; lines that cannot be read are passed over.
pub fn parse(text: &str) -> Servers {
    let mut servers = Servers::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        let Some(address) = words.next().and_then(address) else {
            continue;
        };
        // The C library asks the first three as well.
        if servers.push(address).is_err() {
            break;
        }
    }
    servers
}

/// An address, of a link-local one with the interface behind a `%` as number.
fn address(word: &str) -> Option<SocketAddr> {
    if let Ok(ip) = word.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, PORT));
    }
    format!("[{word}]:{PORT}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_and_the_rest_is_passed_over() {
        let text = "# by hand\nsearch example.com\nnameserver 192.0.2.1\n\tnameserver\t2001:db8::1 \n\
            nameserver nonsense\nnameserver\noptions timeout:1\nnameserver fe80::1%2\n\
            nameserver 192.0.2.9\n";
        let expected: Vec<SocketAddr, 3> = Vec::from_slice(&[
            "192.0.2.1:53".parse().unwrap(),
            "[2001:db8::1]:53".parse().unwrap(),
            "[fe80::1%2]:53".parse().unwrap(),
        ])
        .unwrap();
        assert_eq!(parse(text), expected);
        assert!(parse("").is_empty());
    }
}
