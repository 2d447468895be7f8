//! Connections against peers in threads of their own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::thread::{self, JoinHandle, sleep};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// A server of TLS with one connection.
type Peer = StreamOwned<ServerConnection, TcpStream>;

/// How long nothing may happen before it counts as a stall.
const STALL: Duration = Duration::from_secs(5);

fn file(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/data/tls").join(name)
}

/// The certificate of the tests is signed by itself, so that it is its own authority.
fn server_config() -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(file("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

/// Our end of a connection, driven by edges alone as the daemon does.
struct Ours {
    epoll: Epoll,
    streams: Streams,
    conn: ConnId,
}

impl Ours {
    /// Begins to connect with TLS to a peer that `serve` is the life of.
    fn connect<T: Send + 'static>(
        serve: impl FnOnce(Peer) -> T + Send + 'static,
    ) -> (Self, JoinHandle<T>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peer = thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            let session = ServerConnection::new(server_config()).unwrap();
            serve(StreamOwned::new(session, socket))
        });
        let epoll = Epoll::new().unwrap();
        let mut streams = Streams::default();
        let trust = Arc::new(Trust::new(
            crate::shell::tls::Servers::Rtmp,
            Some(file("server.pem")),
            None,
        ));
        let conn = streams.reserve_tls(trust, "127.0.0.1").unwrap();
        let addresses = Addresses::from_slice(&[address]).unwrap();
        assert_eq!(streams.connect(&epoll, conn, addresses), Progress::Pending);
        let ours = Self {
            epoll,
            streams,
            conn,
        };
        (ours, peer)
    }

    /// Lets the socket hold as few bytes as the kernel allows.
    fn narrow(&self) {
        let socket = self.streams.get(self.conn).and_then(Stream::descriptor);
        SockRef::from(&socket.unwrap())
            .set_send_buffer_size(1)
            .unwrap();
    }

    /// Waits for the next edge; whether input and room were reported.
    fn edge(&mut self) -> (bool, bool) {
        assert_ne!(self.epoll.wait(STALL).unwrap(), 0, "nothing happens");
        let ready = self.epoll.ready(0);
        (ready.readable, ready.writable)
    }

    /// Waits until the connection is up.
    fn secured(&mut self) {
        while self.streams.is_connecting(self.conn) {
            self.edge();
            let progress = self.streams.progress(&self.epoll, self.conn);
            assert!(!matches!(progress, Progress::Failed(_)), "{progress:?}");
        }
    }
}

/// Bytes that tell their place.
fn pattern(from: usize, length: usize) -> Vec<u8> {
    let places = from..from + length;
    places
        .map(|place| (place ^ place >> 8 ^ place >> 16) as u8)
        .collect()
}

#[test]
fn a_peer_that_reads_nothing_has_little_waiting_in_the_kernel() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut socket = dial(listener.local_addr().unwrap()).unwrap();
    let (peer, _) = listener.accept().unwrap();
    let (mut taken, mut quiet) = (0_usize, 0);
    while quiet < 50 {
        match socket.write(&[0; 65_536]) {
            Ok(count) => taken += count,
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                    ),
                    "{error}"
                );
                quiet += 1;
                sleep(Duration::from_millis(2));
            }
        }
    }
    // What the peer's own buffer holds comes on top; left to itself, the kernel takes 4 MB.
    let received = SockRef::from(&peer).recv_buffer_size().unwrap();
    let most = received + 4 * STREAM_UNSENT_BYTES as usize;
    assert!((1..most).contains(&taken), "{taken} bytes");
}

#[test]
fn fifty_megabytes_under_tls_go_through_a_socket_that_holds_few_bytes() {
    const TOTAL: usize = 50_000_000;
    let (mut ours, peer) = Ours::connect(|mut peer| {
        let mut bytes = vec![0; 65_536];
        let (mut came, mut pause) = (0, 0);
        loop {
            let count = match peer.read(&mut bytes) {
                Ok(count @ 1..) => count,
                // So narrow a socket may have no room for the goodbye.
                _ => return came,
            };
            assert!(bytes[..count] == pattern(came, count), "at {came}");
            came += count;
            if came > pause {
                pause = came + 1_000_000;
                sleep(Duration::from_millis(3));
            }
        }
    });
    ours.narrow();
    ours.secured();
    let (mut sent, mut full) = (0, 0);
    let mut writable = true;
    while sent < TOTAL {
        // Lengths from one byte to several records.
        let length = (sent % 70_001 + 1).min(TOTAL - sent);
        let bytes = pattern(sent, length);
        let mut taken = 0;
        while taken < length {
            if !writable {
                let (_, room) = ours.edge();
                writable = room && ours.streams.flush(ours.conn).unwrap();
                continue;
            }
            let count = ours.streams.write(ours.conn, &bytes[taken..]).unwrap();
            taken += count;
            writable = taken == length;
            full += usize::from(!writable);
        }
        sent += length;
    }
    // The last record waits in TLS, and room is told for it too.
    while !ours.streams.flush(ours.conn).unwrap() {
        ours.edge();
    }
    ours.streams.finish(ours.conn);
    assert_eq!(peer.join().unwrap(), TOTAL);
    assert!(full > 100, "the socket was full {full} times only");
}

#[test]
fn what_tls_has_read_ahead_is_read_without_another_edge() {
    const TOTAL: usize = 3_000_000;
    let (mut ours, peer) = Ours::connect(|mut peer| {
        peer.write_all(&pattern(0, TOTAL)).unwrap();
        // No goodbye and no end, which would be an edge: it stays open until ours ends.
        peer.flush().unwrap();
        let _ = peer.read(&mut [0; 1]);
    });
    ours.secured();
    let (mut came, mut bytes) = (0, [0; 1_000]);
    // Nothing may be left when reading would wait: only then is there an edge again.
    loop {
        match ours.streams.read(ours.conn, &mut bytes) {
            Ok(count) => {
                assert!(bytes[..count] == pattern(came, count), "at {came}");
                came += count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && came < TOTAL => {
                ours.edge();
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                break;
            }
        }
    }
    assert_eq!(came, TOTAL);
    ours.streams.finish(ours.conn);
    peer.join().unwrap();
}

#[test]
fn the_end_of_a_peer_is_an_end_with_and_without_a_goodbye() {
    for goodbye in [true, false] {
        let (mut ours, peer) = Ours::connect(move |mut peer| {
            peer.write_all(b"last words").unwrap();
            if goodbye {
                peer.conn.send_close_notify();
            }
            peer.flush().unwrap();
            // Half of the connection: it still listens.
            peer.sock.shutdown(Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            peer.read_to_end(&mut rest).unwrap();
            rest
        });
        ours.secured();
        let (mut came, mut bytes) = (Vec::new(), [0; 4]);
        loop {
            match ours.streams.read(ours.conn, &mut bytes) {
                Ok(0) => break,
                Ok(count) => came.extend_from_slice(&bytes[..count]),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                    ours.edge();
                }
            }
        }
        assert_eq!(came, b"last words");
        assert_eq!(ours.streams.write(ours.conn, b"answer").unwrap(), 6);
        ours.streams.finish(ours.conn);
        assert_eq!(peer.join().unwrap(), b"answer", "goodbye: {goodbye}");
    }
}

#[test]
fn the_last_record_arrives_from_a_socket_that_was_full() {
    let (mut ours, peer) = Ours::connect(|mut peer| {
        // The handshake, and then nothing until the other end is gone.
        peer.conn.complete_io(&mut peer.sock).unwrap();
        peer.write_all(b"!").unwrap();
        sleep(Duration::from_millis(300));
        let mut came = 0;
        let mut bytes = vec![0; 65_536];
        loop {
            match peer.read(&mut bytes) {
                Ok(0) => return came,
                Ok(count) => came += count,
                Err(error) => panic!("{error} after {came} bytes"),
            }
        }
    });
    ours.secured();
    // What TLS sends after the handshake has come too: unread, it would reset the connection.
    while ours.streams.read(ours.conn, &mut [0; 1]).is_err() {
        ours.edge();
    }
    let mut sent = 0;
    loop {
        let count = ours.streams.write(ours.conn, &[7; 20_000]).unwrap();
        sent += count;
        if count < 20_000 {
            break;
        }
    }
    ours.streams.finish(ours.conn);
    assert_eq!(peer.join().unwrap(), sent);
}

#[test]
fn bytes_that_are_no_tls_end_an_open_connection_in_words() {
    let (mut ours, peer) = Ours::connect(|mut peer| {
        peer.conn.complete_io(&mut peer.sock).unwrap();
        peer.sock.write_all(&[0x5a; 100]).unwrap();
        let _ = peer.sock.read(&mut [0; 1]);
    });
    ours.secured();
    let error = loop {
        match ours.streams.read(ours.conn, &mut [0; 100]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ours.edge(),
            Err(error) => break error,
            Ok(count) => panic!("{count} bytes came"),
        };
    };
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
    ours.streams.remove(ours.conn);
    peer.join().unwrap();
}
