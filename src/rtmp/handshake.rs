//! The simple RTMP handshake (RTMP 1.0, section 5.2), both sides.
//!
//! The peer's 1,536 bytes are echoed as they arrive, so nothing of them is stored. The digest
//! handshake of Flash players is not spoken: S1 says version zero, which every client takes as a
//! request for the simple one.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::rng::Rng;
use crate::rtmp::control_queue::{ControlQueue, QueueFull};

/// Bytes of C1, C2, S1 and S2.
const PACKET: u16 = 1_536;

/// The protocol version that is spoken.
const VERSION: u8 = 3;

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeError {
    /// The peer's first byte is not an RTMP version.
    Version(u8),
    /// The peer does not read what it is sent.
    QueueFull,
}

impl From<QueueFull> for HandshakeError {
    fn from(_: QueueFull) -> Self {
        Self::QueueFull
    }
}

/// Where the handshake stands: the bytes of the peer still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaiting {
    /// C0 or S0.
    Version,
    /// C1 or S1, echoed byte by byte.
    Challenge(u16),
    /// C2 or S2, not looked at.
    Echo(u16),
    /// Nothing.
    Done,
}

/// One side of a handshake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handshake {
    client: bool,
    awaiting: Awaiting,
}

impl Handshake {
    /// A client's side; queues C0 and C1.
    pub fn client(rng: &mut Rng, queue: &mut ControlQueue) -> Result<Self, QueueFull> {
        queue_first(rng, queue)?;
        Ok(Self {
            client: true,
            awaiting: Awaiting::Version,
        })
    }

    /// A server's side; waits for C0.
    pub const fn server() -> Self {
        Self {
            client: false,
            awaiting: Awaiting::Version,
        }
    }

    /// Whether it is over and chunks follow.
    pub fn is_done(&self) -> bool {
        self.awaiting == Awaiting::Done
    }

    /// Takes the peer's bytes up to the end of the handshake and gives back the rest.
    pub fn handle_bytes<'a>(
        &mut self,
        mut bytes: &'a [u8],
        rng: &mut Rng,
        queue: &mut ControlQueue,
    ) -> Result<&'a [u8], HandshakeError> {
        while let Some((first, after)) = bytes.split_first() {
            match self.awaiting {
                Awaiting::Version => {
                    // Below 3 are retired versions, above 31 other protocols.
                    if !(VERSION..32).contains(first) {
                        return Err(HandshakeError::Version(*first));
                    }
                    if !self.client {
                        queue_first(rng, queue)?;
                    }
                    self.awaiting = Awaiting::Challenge(PACKET);
                    bytes = after;
                }
                Awaiting::Challenge(left) => {
                    let (taken, rest) = split(bytes, left);
                    queue.raw(taken)?;
                    self.awaiting = match left.saturating_sub(taken.len() as u16) {
                        0 => Awaiting::Echo(PACKET),
                        left => Awaiting::Challenge(left),
                    };
                    bytes = rest;
                }
                Awaiting::Echo(left) => {
                    let (taken, rest) = split(bytes, left);
                    self.awaiting = match left.saturating_sub(taken.len() as u16) {
                        0 => Awaiting::Done,
                        left => Awaiting::Echo(left),
                    };
                    bytes = rest;
                }
                Awaiting::Done => break,
            }
        }
        Ok(bytes)
    }
}

/// Version byte, time zero, version zero and random bytes.
fn queue_first(rng: &mut Rng, queue: &mut ControlQueue) -> Result<(), QueueFull> {
    queue.raw(&[VERSION, 0, 0, 0, 0, 0, 0, 0, 0])?;
    let mut random = [0; PACKET as usize - 8];
    rng.fill(&mut random);
    queue.raw(&random)
}

fn split(bytes: &[u8], at: u16) -> (&[u8], &[u8]) {
    let at = usize::from(at).min(bytes.len());
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both sides with pieces of the given length; gives the bytes each one sent.
    fn run(piece: usize) -> (Vec<u8>, Vec<u8>) {
        let mut rng = Rng::from_number(1);
        let mut from_client = ControlQueue::new();
        let mut from_server = ControlQueue::new();
        let mut client = Handshake::client(&mut rng, &mut from_client).unwrap();
        let mut server = Handshake::server();
        let (mut sent, mut answered) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            let bytes = from_client.pending().to_vec();
            from_client.sent(bytes.len());
            for piece in bytes.chunks(piece) {
                let rest = server
                    .handle_bytes(piece, &mut rng, &mut from_server)
                    .unwrap();
                assert!(rest.is_empty());
            }
            sent.extend(bytes);
            let bytes = from_server.pending().to_vec();
            from_server.sent(bytes.len());
            for piece in bytes.chunks(piece) {
                let rest = client
                    .handle_bytes(piece, &mut rng, &mut from_client)
                    .unwrap();
                assert!(rest.is_empty());
            }
            answered.extend(bytes);
        }
        assert!(client.is_done() && server.is_done());
        (sent, answered)
    }

    #[test]
    fn both_sides_finish_and_echo_at_any_split() {
        for piece in [1, 7, 1_536, 1_537, 5_000] {
            let (sent, answered) = run(piece);
            assert_eq!((sent.len(), answered.len()), (3_073, 3_073));
            assert_eq!(sent[1..1_537], answered[1_537..], "S2 is not C1");
            assert_eq!(answered[1..1_537], sent[1_537..], "C2 is not S1");
            assert_eq!(
                answered[5..9],
                [0; 4],
                "S1 does not ask for the simple form"
            );
        }
    }

    #[test]
    fn what_follows_the_handshake_is_handed_back() {
        let mut rng = Rng::from_number(1);
        let mut queue = ControlQueue::new();
        let mut server = Handshake::server();
        let mut bytes = vec![3; 1 + 2 * 1_536];
        bytes.extend_from_slice(b"chunks");
        let rest = server.handle_bytes(&bytes, &mut rng, &mut queue).unwrap();
        assert_eq!(rest, b"chunks");
        assert!(server.is_done());
    }

    #[test]
    fn another_protocol_is_refused_at_its_first_byte() {
        for first in [b'G', 0, 2, 0x16 + 0x10, 255] {
            let mut server = Handshake::server();
            let mut queue = ControlQueue::new();
            let bytes = [first];
            let result = server.handle_bytes(&bytes, &mut Rng::from_number(1), &mut queue);
            assert_eq!(result, Err(HandshakeError::Version(first)));
            assert!(queue.pending().is_empty());
        }
    }
}
