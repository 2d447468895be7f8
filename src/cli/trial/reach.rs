//! The way to a server: its addresses, then a connection to one of them, with TLS where it is wanted.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::clock::Clock;
use super::report::{Facts, Failed, Problem};
use crate::base::network::Transport;
use crate::base::rng::Rng;
use crate::shell::dns::{LOOK_UP_TIME, SipHost, SipNames};
use crate::shell::sys;
use crate::shell::tls::{TlsError, TlsFault, TlsStream, Trust};
use crate::sip::{SipTarget, SipTargets};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(4);

/// How long an address is waited for to say that nobody listens for datagrams there.
const UNREACHABLE: Duration = Duration::from_millis(150);

/// One wait for the other side's part of a TLS handshake.
const HANDSHAKE_WAIT: Duration = Duration::from_millis(100);

/// The places of a host, in the order to try them.
pub fn look_up(host: &SipHost, clock: &Clock) -> Result<SipTargets, Failed> {
    let mut seed = [0; 32];
    let found = match sys::random(&mut seed) {
        Ok(()) => SipNames::of_system(Rng::from_seed(seed))
            .within(clock.left(LOOK_UP_TIME))
            .look_up(host),
        Err(error) => Err(error.to_string()),
    };
    found.map_err(|words| {
        let facts = Facts {
            name: Some(host.name.clone()),
            ..Facts::default()
        };
        Failed::new(name_problem(&words), words).with(facts)
    })
}

/// What is wrong where a name was not found, by the words for it: the system's own say it no other way.
fn name_problem(words: &str) -> Problem {
    let silent = ["do not answer", "emporary failure"];
    if silent.iter().any(|silent| words.contains(silent)) {
        Problem::NameServerSilent
    } else {
        Problem::NameNotFound
    }
}

/// Connects to the first of these places that takes it; with TLS, to a server that proves to be the
/// `host` beside its trust. For datagrams that is: nobody says that none are taken there.
pub fn reach(
    targets: &[SipTarget],
    tls: Option<(&Trust, &str)>,
    clock: &Clock,
) -> Result<SipTarget, Failed> {
    let mut failed = Failed::new(Problem::NameNotFound, "no address");
    for target in targets {
        match connect(target, tls, clock) {
            Ok(()) => return Ok(*target),
            Err(error) => {
                let facts = facts_of(target);
                let detail = format!("{} over {}: {error}", target.address, target.transport);
                failed = Failed::new(problem_of(&error), detail).with(facts);
            }
        }
    }
    Err(failed)
}

/// Where a target is, for the words of the page.
pub fn facts_of(target: &SipTarget) -> Facts {
    Facts {
        address: Some(target.address.to_string()),
        transport: Some(match target.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }),
        ..Facts::default()
    }
}

fn connect(target: &SipTarget, tls: Option<(&Trust, &str)>, clock: &Clock) -> io::Result<()> {
    let patience = clock.left(CONNECT);
    if patience.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    if target.transport == Transport::Udp {
        return knock(target.address);
    }
    let socket = TcpStream::connect_timeout(&target.address, patience)?;
    match tls {
        Some((trust, host)) if target.transport == Transport::Tls => {
            secure(socket, trust, host, clock)
        }
        _ => Ok(()),
    }
}

fn secure(socket: TcpStream, trust: &Trust, host: &str, clock: &Clock) -> io::Result<()> {
    socket.set_read_timeout(Some(HANDSHAKE_WAIT))?;
    let mut stream = TlsStream::connect(socket, trust, host)?;
    let by = clock.by(CONNECT);
    while !stream.handshake()? {
        if std::time::Instant::now() >= by {
            return Err(io::Error::new(
                ErrorKind::TimedOut,
                "the TLS handshake does not end",
            ));
        }
    }
    stream.close();
    Ok(())
}

/// Sends an empty line, which SIP passes over (RFC 5626 section 4.4.1), and waits a moment for the
/// network to say that it found nobody.
fn knock(address: SocketAddr) -> io::Result<()> {
    let socket = match address {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
    };
    socket.connect(address)?;
    socket.set_read_timeout(Some(UNREACHABLE))?;
    socket.send(b"\r\n\r\n")?;
    match socket.recv(&mut [0; 16]) {
        Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// What a failed connection means.
pub fn problem_of(error: &io::Error) -> Problem {
    let inside = error.get_ref();
    if let Some(tls) = inside.and_then(|inside| inside.downcast_ref::<TlsError>()) {
        return match tls.fault {
            TlsFault::Untrusted => Problem::TlsUntrusted,
            TlsFault::Expired => Problem::TlsExpired,
            TlsFault::ClockNotSet => Problem::TlsTimeNotSet,
            TlsFault::WrongName => Problem::TlsWrongName,
            TlsFault::NotTls => Problem::NotTls,
            TlsFault::Other => Problem::TlsFailed,
        };
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => Problem::Refused,
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Problem::NoAnswer,
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => Problem::Unreachable,
        // A handshake of TLS that the other side broke off.
        _ => Problem::TlsFailed,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use super::*;

    fn clock() -> Clock {
        Clock::start(Arc::default())
    }

    fn target(transport: Transport, address: SocketAddr) -> SipTarget {
        SipTarget { transport, address }
    }

    #[test]
    fn words_of_the_name_system_tell_silence_from_a_wrong_name() {
        for (words, problem) in [
            (
                "cannot resolve x: failed to lookup address information: Name or service not known",
                Problem::NameNotFound,
            ),
            (
                "cannot resolve x: the name servers do not answer",
                Problem::NameServerSilent,
            ),
            (
                "cannot resolve x: failed to lookup address information: Temporary failure in \
                 name resolution",
                Problem::NameServerSilent,
            ),
            (
                "x says that it offers no SIP over udp",
                Problem::NameNotFound,
            ),
        ] {
            assert_eq!(name_problem(words), problem, "{words}");
        }
    }

    #[test]
    fn a_port_without_a_listener_refuses_connections_and_datagrams() {
        let closed = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        for transport in [Transport::Udp, Transport::Tcp] {
            let failed = reach(&[target(transport, closed)], None, &clock()).unwrap_err();
            assert_eq!(failed.problem, Problem::Refused, "{}", failed.detail);
            assert_eq!(failed.facts.address, Some(closed.to_string()));
        }
    }

    #[test]
    fn the_first_place_that_takes_a_connection_is_enough() {
        let closed = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = target(Transport::Tcp, open.local_addr().unwrap());
        let both = [target(Transport::Tcp, closed), open];
        assert_eq!(reach(&both, None, &clock()).unwrap(), open);
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let silent = target(Transport::Udp, silent.local_addr().unwrap());
        assert_eq!(reach(&[silent], None, &clock()).unwrap(), silent);
    }

    #[test]
    fn a_trial_that_was_stopped_connects_no_more() {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = target(Transport::Tcp, open.local_addr().unwrap());
        let failed = reach(&[open], None, &Clock::start(stop)).unwrap_err();
        assert_eq!(failed.problem, Problem::NoAnswer);
    }
}
