//! What the program learned of a server is known to it after a power cut.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use trunkcast::base::ids::ConnId;
use trunkcast::base::time::Instant;

#[path = "gateway_support/server.rs"]
#[allow(dead_code)]
mod server;
mod support;

use server::{Policy, RtmpServer};
use support::{Clip, Daemon, Phone, Ports};

/// A server that ends every connection at the first sound in G.711; the connections it had.
fn start_server(address: SocketAddr) -> Arc<AtomicU32> {
    let listener = TcpListener::bind(address).expect("the port is the test's own");
    let connections = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&connections);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection can be accepted");
            counted.fetch_add(1, Ordering::Relaxed);
            let (conn, since) = (ConnId(1), Instant::ZERO);
            let mut server = RtmpServer::new(conn, since, Policy::RefusesG711);
            let mut bytes = [0; 65_536];
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                let answer = server.handle_bytes(since, &bytes[..length]);
                if server.closes || stream.write_all(&answer).is_err() {
                    break;
                }
            }
        }
    });
    connections
}

#[test]
fn a_refusal_is_remembered_after_a_power_cut() {
    let mut ports = Ports::claim();
    let clip = Arc::new(Clip::load());
    let address = ports.address();
    let connections = start_server(address);
    let url = format!("rtmp://{address}/live");
    let mut gateway = Daemon::publishing_to(&mut ports, &url);

    let first = Phone::dial(&mut ports, gateway.sip(), "1000").play_in_background(&clip);
    let left_out = "audio left out: the server refused G.711";
    gateway.wait_after(0, left_out, 10);
    // The proof is a stream that lasts for 10 s without sound.
    thread::sleep(Duration::from_secs(13));
    let (phone, report) = first.stop();
    assert!(!report.ended_by_gateway, "the refusal ended the call");
    phone.hang_up();
    gateway.wait_after(0, "ended after", 3);
    gateway.check_calm();

    let before = connections.load(Ordering::Relaxed);
    assert!(before >= 3, "{before} connections");
    gateway.restart();
    let second = Phone::dial_for_anything(&mut ports, gateway.sip(), "1000");
    assert_eq!(second.refused().len(), 1);
    assert!(second.refused()[0].starts_with("audio 0 "));
    let second = second.play_in_background(&clip);
    gateway.wait_after(0, left_out, 3);
    gateway.wait_after(0, "RTMP_STREAM_ACTIVE", 3);
    let (phone, _) = second.stop();
    phone.hang_up();
    gateway.terminate();
    assert_eq!(connections.load(Ordering::Relaxed), before + 1);
}
