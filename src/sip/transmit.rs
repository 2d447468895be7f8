//! What leaves the endpoint: whole messages, each with the way it is to go.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::SocketAddr;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::base::ids::ConnId;
use crate::base::network::Transport;
use crate::limits::{SIP_TARGETS, SIP_TRANSMITS};

/// Where a message is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SipDestination {
    /// From the trunk's UDP socket to an address.
    Udp(SocketAddr),
    /// Over a stream connection.
    Stream {
        /// Whether it is protected by TLS.
        secure: bool,
        /// The connection; without one, the owner opens a connection to `remote`, or takes one that
        /// it is already opening there, and reports it by `handle_connected`.
        conn: Option<ConnId>,
        /// The far end.
        remote: SocketAddr,
    },
}

impl SipDestination {
    /// The transport that leads there.
    pub const fn transport(&self) -> Transport {
        match self {
            Self::Udp(_) => Transport::Udp,
            Self::Stream { secure: false, .. } => Transport::Tcp,
            Self::Stream { secure: true, .. } => Transport::Tls,
        }
    }

    /// Whether the transport itself repeats what is lost.
    pub const fn is_reliable(&self) -> bool {
        matches!(self, Self::Stream { .. })
    }

    /// The same without its connection, which is gone.
    pub const fn anew(self) -> Self {
        match self {
            Self::Stream { secure, remote, .. } => Self::Stream {
                secure,
                conn: None,
                remote,
            },
            udp @ Self::Udp(_) => udp,
        }
    }

    /// The far end.
    pub const fn remote(&self) -> SocketAddr {
        match self {
            Self::Udp(remote) | Self::Stream { remote, .. } => *remote,
        }
    }
}

/// A place where a request may go: one of the answers to a look-up (RFC 3263).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SipTarget {
    /// How.
    pub transport: Transport,
    /// Where to.
    pub address: SocketAddr,
}

impl SipTarget {
    /// The way there, over a connection that is open or has still to be opened.
    pub const fn destination(self) -> SipDestination {
        match self.transport {
            Transport::Udp => SipDestination::Udp(self.address),
            Transport::Tcp | Transport::Tls => SipDestination::Stream {
                secure: matches!(self.transport, Transport::Tls),
                conn: None,
                remote: self.address,
            },
        }
    }
}

/// Places in the order to try them.
pub type SipTargets = heapless::Vec<SipTarget, SIP_TARGETS>;

/// One message to send, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipTransmit<'a> {
    /// Where to.
    pub destination: SipDestination,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// A printed message. Its transaction keeps it for retransmission without a copy.
pub(super) type Printed = Rc<[u8]>;

/// The messages that wait for the owner to take them: at most [`SIP_TRANSMITS`].
#[derive(Default)]
pub(super) struct TransmitQueue {
    waiting: VecDeque<(SipDestination, Printed)>,
    current: Option<Printed>,
}

impl TransmitQueue {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::with_capacity(SIP_TRANSMITS),
            current: None,
        }
    }

    /// Whether another message would be dropped.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= SIP_TRANSMITS
    }

    /// Takes a message in; false when there is no room for it.
    pub(super) fn push(&mut self, destination: SipDestination, bytes: Printed) -> bool {
        if self.is_full() {
            return false;
        }
        self.waiting.push_back((destination, bytes));
        true
    }

    /// Hands the oldest message out.
    pub(super) fn pop(&mut self) -> Option<SipTransmit<'_>> {
        self.current = None;
        let (destination, bytes) = self.waiting.pop_front()?;
        Some(SipTransmit {
            destination,
            bytes: self.current.insert(bytes),
        })
    }
}
