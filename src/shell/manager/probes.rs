//! Probes through the kernel: a datagram to our own first SIP port, and one to a socket that is served
//! as those of media are.
//!
//! They come in by the same epoll descriptor and the same reads as those of strangers. The one to the SIP
//! port is what keeps a NAT binding open (RFC 5626, section 4.4.1); it is known by where it comes from,
//! and goes no further than to the read: nobody answers it, and nobody counts it. Where trunks take
//! connections alone, a connection stands for it, which is closed as it comes in.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::heart::{Proof, Proofs};
use crate::base::codec::Track;
use crate::gateway::outlet::MediaPort;
use crate::shell::listen;
use crate::shell::media::MediaSockets;
use crate::shell::sockets::{Service, Sockets};
use crate::shell::sys::Interest;
use crate::shell::token::Token;

/// The keep-alive of RFC 5626.
const PROBE: &[u8] = b"\r\n\r\n";

/// What was asked for, and how to know that it came.
#[derive(Debug, Default)]
pub struct Probes {
    /// What datagrams to the SIP port are sent from.
    socket: Option<UdpSocket>,
    /// The connection that stands for a datagram.
    connection: Option<Socket>,
    /// Where the one or the other comes from.
    from: Option<SocketAddr>,
    /// The place of the socket, or of the listener, that it is sent to.
    datagrams: Option<usize>,
    connections: Option<usize>,
}

impl Probes {
    /// Makes the socket that stands for those of media.
    pub fn open_media(sockets: &mut Sockets) -> io::Result<()> {
        let probe = listen::udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None)?;
        // To itself: what others send there is not for it.
        probe.connect(probe.local_addr()?)?;
        let token = Token::Media(MediaSockets::PROBE, Track::Audio, MediaPort::Rtp);
        sockets
            .epoll
            .add(probe.as_fd(), token.pack(), Interest::Readable)?;
        sockets.media.probe = Some(probe);
        Ok(())
    }

    /// Sends them; those that could be sent.
    pub fn send(&mut self, sockets: &Sockets) -> Proofs {
        let mut sent = Proofs::default();
        let media = sockets.media.probe.as_ref();
        if media.is_some_and(|media| media.send(PROBE).is_ok()) {
            sent = sent.with(Proof::Media);
        }
        if self.send_sip(sockets).is_ok() {
            sent = sent.with(Proof::Signalling);
        }
        sent
    }

    /// A datagram was read at a SIP socket: whether that one is asked for proof, and whether it is the
    /// probe itself.
    pub fn datagram_came(&self, place: usize, from: SocketAddr) -> (bool, bool) {
        let is_place = self.datagrams == Some(place);
        (is_place, is_place && self.from == Some(from))
    }

    /// The same of a connection that was accepted.
    pub fn connection_came(&self, place: usize, from: SocketAddr) -> (bool, bool) {
        let is_place = self.connections == Some(place);
        (is_place, is_place && self.from == Some(from))
    }

    fn send_sip(&mut self, sockets: &Sockets) -> io::Result<()> {
        (self.datagrams, self.connections, self.connection) = (None, None, None);
        let datagrams = sockets.sip.iter().enumerate();
        let mut datagrams = datagrams.filter_map(|(at, sip)| Some((at, sip.as_ref()?)));
        if let Some((place, sip)) = datagrams.next() {
            let to = reached(sip.socket.local_addr()?);
            let socket = match self.socket.take() {
                Some(socket) if socket.local_addr()?.ip() == to.ip() => socket,
                _ => listen::udp(SocketAddr::new(to.ip(), 0), None)?,
            };
            self.from = Some(socket.local_addr()?);
            self.datagrams = Some(place);
            let socket = self.socket.insert(socket);
            return socket.send_to(PROBE, to).map(drop);
        }
        let listeners = sockets.listeners.iter().enumerate();
        let mut listeners = listeners.filter_map(|(at, listener)| Some((at, listener.as_ref()?)));
        let is_sip = |service| matches!(service, Service::Sip(_) | Service::SipTls(_));
        let found = listeners.find(|(_, listener)| is_sip(listener.service));
        let (place, listener) = found.ok_or(io::ErrorKind::NotFound)?;
        let to = reached(listener.socket.local_addr()?);
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        // Ends at once, and leaves nothing behind.
        socket.set_linger(Some(Duration::ZERO))?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        self.from = socket.local_addr()?.as_socket();
        self.connections = Some(place);
        self.connection = Some(socket);
        Ok(())
    }
}

/// How an address that is listened at is reached from this machine.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
