//! A TCP relay that notes how long its far end was left without bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes after which media flows and not what comes before it.
const BEGINNING: u64 = 20_000;

/// A relay in front of one server.
pub struct Relay {
    address: SocketAddr,
    pauses: Arc<Mutex<Vec<Duration>>>,
    bytes: Arc<AtomicU64>,
}

impl Relay {
    /// Listens at `address` for one client, whose bytes go to `behind` and the other way round.
    pub fn start(address: SocketAddr, behind: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("the port is the test's own");
        let relay = Self {
            address,
            pauses: Arc::default(),
            bytes: Arc::default(),
        };
        let (pauses, bytes) = (Arc::clone(&relay.pauses), Arc::clone(&relay.bytes));
        thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("a client");
            let mut server = TcpStream::connect(behind).expect("the server listens");
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let mut back = (
                server.try_clone().expect("a clone"),
                client.try_clone().expect("a clone"),
            );
            thread::spawn(move || {
                let _ = std::io::copy(&mut back.0, &mut back.1);
                let _ = back.1.shutdown(Shutdown::Write);
            });
            let mut buffer = vec![0; 65_536];
            let mut last = Instant::now();
            while let Ok(length @ 1..) = client.read(&mut buffer) {
                let now = Instant::now();
                if bytes.fetch_add(length as u64, Ordering::Relaxed) > BEGINNING {
                    pauses.lock().expect("nobody panics").push(now - last);
                }
                last = now;
                if server.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            let _ = server.shutdown(Shutdown::Write);
        });
        relay
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that came so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The longest pause between bytes that there was so far, and how many there were.
    pub fn longest_pause(&self) -> (Duration, usize) {
        let pauses = self.pauses.lock().expect("nobody panics");
        (
            pauses.iter().copied().max().unwrap_or_default(),
            pauses.len(),
        )
    }
}
