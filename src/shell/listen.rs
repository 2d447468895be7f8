//! Binding of listening sockets, IPv4 and IPv6 side by side.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel queues for a listener.
const BACKLOG: i32 = 128;

/// Every local address of both families, as one list of binds; the wildcard for `None`.
pub fn addresses(ip: Option<IpAddr>, port: u16) -> impl Iterator<Item = SocketAddr> {
    let wildcards = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    let given = ip.map(|ip| [Some(ip), None]).unwrap_or(wildcards.map(Some));
    given
        .into_iter()
        .flatten()
        .map(move |ip| SocketAddr::new(ip, port))
}

/// A nonblocking datagram socket with `receive_bytes` of kernel buffer asked for, if given.
pub fn udp(address: SocketAddr, receive_bytes: Option<usize>) -> io::Result<UdpSocket> {
    let socket = open(address, Type::DGRAM, Protocol::UDP)?;
    if let Some(bytes) = receive_bytes {
        // The system's own limit may be lower; what it grants is enough to work.
        let _ = socket.set_recv_buffer_size(bytes);
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A nonblocking listener for connections.
pub fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address, Type::STREAM, Protocol::TCP)?;
    // A restart must not wait for old connections of the port to time out.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether an error says that the address family does not exist on this host.
pub fn family_missing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    )
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own, so addresses never come mapped.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
