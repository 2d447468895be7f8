//! A connection with TLS takes no more memory than the budget counts for it, and a write under TLS
//! takes one allocation.

// Counting is what the allocator of this test adds.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use trunkcast::base::ids::ConnId;
use trunkcast::limits::TLS_STATE_BYTES;
use trunkcast::shell::resolver::Addresses;
use trunkcast::shell::streams::{Progress, Streams};
use trunkcast::shell::sys::Epoll;
use trunkcast::shell::tls::{Servers, Trust};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn held(change: isize) {
    let now = HELD.get() + change;
    HELD.set(now);
    MOST.set(MOST.get().max(now));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        held(layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        held(-(layout.size() as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn file(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/data/tls").join(name)
}

/// A server that sends so many bytes, reads as many as it is told, and then nothing until the other
/// end is `gone`. In a thread, whose memory is not counted.
fn serve(sends: usize, reads: usize, gone: &Arc<AtomicBool>) -> (SocketAddr, JoinHandle<()>) {
    let gone = Arc::clone(gone);
    let chain = vec![CertificateDer::from_pem_file(file("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let session = ServerConnection::new(Arc::new(config)).unwrap();
        let mut peer = StreamOwned::new(session, socket);
        peer.write_all(&vec![1; sends]).unwrap();
        peer.flush().unwrap();
        let (mut came, mut bytes) = (0, vec![0; 16_384]);
        while came < reads {
            match peer.read(&mut bytes) {
                Ok(count @ 1..) => came += count,
                _ => return,
            }
        }
        // Nothing is read until the other end is gone.
        while peer.sock.peek(&mut bytes).is_ok() && !gone.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
    });
    (address, thread)
}

fn connect(epoll: &mut Epoll, streams: &mut Streams, trust: &Arc<Trust>, to: SocketAddr) -> ConnId {
    let conn = streams.reserve_tls(Arc::clone(trust), "127.0.0.1").unwrap();
    let addresses = Addresses::from_slice(&[to]).unwrap();
    assert_eq!(streams.connect(epoll, conn, addresses), Progress::Pending);
    while streams.is_connecting(conn) {
        assert_ne!(epoll.wait(Duration::from_secs(5)).unwrap(), 0);
        let progress = streams.progress(epoll, conn);
        assert!(!matches!(progress, Progress::Failed(_)), "{progress:?}");
    }
    conn
}

#[test]
fn a_connection_holds_no_more_than_the_budget_counts() {
    const SENDS: usize = 1_000_000;
    const READS: usize = 1_000_000;
    let mut epoll = Epoll::new().unwrap();
    let mut streams = Streams::default();
    let trust = Arc::new(Trust::new(Servers::Rtmp, Some(file("server.pem")), None));
    trust.config().unwrap();
    let gone = Arc::default();
    let (address, peer) = serve(SENDS, READS, &gone);

    let before = HELD.get();
    MOST.set(before);
    let conn = connect(&mut epoll, &mut streams, &trust, address);
    let (mut came, mut sent) = (0, 0);
    let mut bytes = vec![0; 65_536];
    let buffer = bytes.len() as isize;
    while came < SENDS || sent < READS {
        match streams.read(conn, &mut bytes) {
            Ok(count) => came += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        sent += streams
            .write(conn, &bytes[..(READS - sent).min(65_536)])
            .unwrap();
        if sent == READS {
            let _ = streams.flush(conn).unwrap();
        }
    }
    while !streams.flush(conn).unwrap() {}
    // Nothing is left, which only a read tells.
    let end = streams.read(conn, &mut bytes).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::WouldBlock);
    let quiet = HELD.get() - before - buffer;
    // The peer reads no more: what it does not take is kept up to a bound.
    while streams.write(conn, &bytes).unwrap() > 0 {}
    let full = HELD.get() - before - buffer;
    let most = MOST.get() - before - buffer;
    assert!(most <= TLS_STATE_BYTES as isize, "{most} bytes at most");
    assert!(
        most >= TLS_STATE_BYTES as isize / 2,
        "{most} bytes at most: the budget counts too many"
    );
    // The figures that the limit's documentation names.
    assert!(quiet < 12 * 1_024, "{quiet} bytes when nothing waits");
    assert!(
        full < 28 * 1_024,
        "{full} bytes when the peer does not read"
    );
    streams.remove(conn);
    gone.store(true, Ordering::Relaxed);
    peer.join().unwrap();
}

#[test]
fn a_packet_costs_one_allocation() {
    const PACKETS: usize = 2_000;
    let mut epoll = Epoll::new().unwrap();
    let mut streams = Streams::default();
    let trust = Arc::new(Trust::new(Servers::Rtmp, Some(file("server.pem")), None));
    let gone = Arc::default();
    let (address, peer) = serve(0, usize::MAX, &gone);
    let conn = connect(&mut epoll, &mut streams, &trust, address);
    for length in [180, 1_400, 16_000] {
        let packet = vec![0; length];
        let before = ALLOCATIONS.get();
        for _ in 0..PACKETS {
            let mut taken = 0;
            while taken < length {
                taken += streams.write(conn, &packet[taken..]).unwrap();
            }
        }
        let each = (ALLOCATIONS.get() - before) as f64 / PACKETS as f64;
        assert!(each < 1.1, "{each} allocations for {length} bytes");
    }
    streams.remove(conn);
    peer.join().unwrap();
}
