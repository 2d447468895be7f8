//! Ports for one test, taken from no other.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// First port of the first block; all blocks end below the ports of `tests/bench` and the system's
/// own range of free ports.
const FIRST: u16 = 12_000;
/// Ports of a block: small services first, media above them.
const BLOCK: u16 = 256;
/// Blocks there are.
const BLOCKS: u16 = 32;
/// Ports at the start of a block that are handed out one by one.
const SERVICES: u16 = 64;

/// A block of ports, held by listening on its first one for as long as the value lives.
pub struct Ports {
    lock: TcpListener,
    base: u16,
    next: u16,
}

impl Ports {
    /// Claims a free block.
    pub fn claim() -> Self {
        // Begins at a place of its own, so that a port of an earlier test may cool down.
        let start = (std::process::id() % u32::from(BLOCKS)) as u16;
        for step in 0..BLOCKS {
            let base = FIRST + (start + step) % BLOCKS * BLOCK;
            if let Ok(lock) = TcpListener::bind((Ipv4Addr::LOCALHOST, base)) {
                return Self {
                    lock,
                    base,
                    next: base + 2,
                };
            }
        }
        panic!("no block of test ports is free");
    }

    /// Another even port with the odd one above it free as well.
    pub fn pair(&mut self) -> u16 {
        loop {
            let port = self.next;
            self.next += 2;
            assert!(self.next <= self.base + SERVICES, "block of ports used up");
            if is_free(port) && is_free(port + 1) {
                return port;
            }
        }
    }

    /// The port that [`Self::pair`] will give next.
    pub fn peek(&mut self) -> u16 {
        let port = self.pair();
        self.next = port;
        port
    }

    /// Number of the block, below 32: for what a test must name as its own besides ports.
    pub fn block(&self) -> u16 {
        (self.base - FIRST) / BLOCK
    }

    /// An address of this host at another port.
    pub fn address(&mut self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.pair()))
    }

    /// First and last port for the gateway's media.
    pub fn media(&self) -> (u16, u16) {
        (self.base + SERVICES, self.base + BLOCK - 1)
    }
}

/// Whether no other program holds a port, for TCP or UDP.
fn is_free(port: u16) -> bool {
    let address = (Ipv4Addr::UNSPECIFIED, port);
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}
