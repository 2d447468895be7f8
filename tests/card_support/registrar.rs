//! A PBX that takes every registration and answers every question, on this host.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// It answers until the value goes.
pub struct Registrar {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    is_over: AtomicBool,
    registered: AtomicU32,
}

impl Registrar {
    /// Answers at an address.
    pub fn start(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).expect("the port is the test's own");
        let patience = Some(Duration::from_millis(100));
        socket.set_read_timeout(patience).expect("a socket");
        let state = Arc::new(State::default());
        let told = Arc::clone(&state);
        let thread = thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while !told.is_over.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut bytes) else {
                    continue;
                };
                let request = String::from_utf8_lossy(&bytes[..length]).into_owned();
                if let Some(answer) = answer(&request) {
                    let _ = socket.send_to(answer.as_bytes(), from);
                    if request.starts_with("REGISTER") {
                        told.registered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        Self {
            address,
            state,
            thread: Some(thread),
        }
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Registrations that it took.
    pub fn registered(&self) -> u32 {
        self.state.registered.load(Ordering::Relaxed)
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// 200 to what is no response, with the Contact that was sent.
fn answer(request: &str) -> Option<String> {
    if request.starts_with("SIP/2.0") || request.trim().is_empty() || request.starts_with("ACK") {
        return None;
    }
    let kept = ["Via", "From", "Call-ID", "CSeq", "Contact"];
    let mut answer = String::from("SIP/2.0 200 OK\r\n");
    for line in request.lines().take_while(|line| !line.is_empty()) {
        let (name, _) = line.split_once(':')?;
        if kept.contains(&name) {
            answer += &format!("{line}\r\n");
        } else if name == "To" {
            answer += &format!("{line};tag=registrar\r\n");
        }
    }
    answer += "Expires: 600\r\nContent-Length: 0\r\n\r\n";
    // The first line of a request has a colon as well, but no name of those.
    Some(answer)
}
