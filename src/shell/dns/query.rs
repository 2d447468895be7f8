//! One question to the name servers (RFC 1035): over UDP with repetition, over TCP where the answer
//! was cut.
//!
//! Identifiers are random and every question leaves from a port of its own that the system chose; an
//! answer has to come from the server that was asked, with the identifier and the question
//! (RFC 5452). What does not is passed over, and the wait goes on. Neither EDNS nor DNSSEC is spoken.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE};

use crate::base::rng::Rng;
use crate::limits::{DNS_MESSAGE_BYTES, DNS_RECORDS};

/// How long an answer is waited for, the first time and the second; then the next server is asked.
const PATIENCE: [Duration; 2] = [Duration::from_millis(700), Duration::from_millis(1_500)];

/// Datagrams looked at in one wait; more are a flood.
const LOOKS: usize = 64;

/// Bytes of the header of a message.
const HEADER_BYTES: usize = 12;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No server answered in time.
    Silence,
    /// A server answered that it cannot, or nothing that can be read.
    Refused,
    /// No server can have such a name.
    Name,
}

/// Asks for the SRV records of `name` until `deadline`; the whole answer. One without records, or that
/// the name does not exist, is an answer.
///
/// # Errors
///
/// No server gave an answer.
pub fn srv(
    servers: &[SocketAddr],
    name: &str,
    rng: &mut Rng,
    deadline: Instant,
) -> Result<Vec<u8>, Failure> {
    let mut failure = Failure::Silence;
    for patience in PATIENCE {
        for server in servers {
            let now = Instant::now();
            if now >= deadline {
                return Err(failure);
            }
            let until = deadline.min(now.checked_add(patience).unwrap_or(deadline));
            match ask(*server, name, rng, until, deadline) {
                Ok(answer) => return Ok(answer),
                Err(Failure::Name) => return Err(Failure::Name),
                Err(Failure::Refused) => failure = Failure::Refused,
                Err(Failure::Silence) => {}
            }
        }
    }
    Err(failure)
}

/// Reads a message whose sections are not larger than anything serious is.
pub fn parse(message: &[u8]) -> Option<Packet<'_>> {
    let counts = message.get(4..HEADER_BYTES)?;
    let mut counts = counts.chunks_exact(2).map(|two| match two {
        [high, low] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => usize::MAX,
    });
    if counts.any(|count| count > DNS_RECORDS) {
        return None;
    }
    Packet::parse(message).ok()
}

fn ask(
    server: SocketAddr,
    name: &str,
    rng: &mut Rng,
    until: Instant,
    deadline: Instant,
) -> Result<Vec<u8>, Failure> {
    let id = rng.u32() as u16;
    let question = question(id, name)?;
    let answer = match over_udp(server, &question, id, name, until) {
        Ok(answer) if is_cut(&answer) => over_tcp(server, &question, deadline)
            .ok()
            .filter(|answer| is_answer(answer, id, name))
            .ok_or(Failure::Refused)?,
        Ok(answer) => answer,
        // A port that is closed says so at once.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(Failure::Refused);
        }
        Err(_) => return Err(Failure::Silence),
    };
    match parse(&answer).map(|packet| packet.rcode()) {
        Some(RCODE::NoError | RCODE::NameError) => Ok(answer),
        _ => Err(Failure::Refused),
    }
}

fn question(id: u16, name: &str) -> Result<Vec<u8>, Failure> {
    let name = Name::new(name).map_err(|_| Failure::Name)?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let (kind, class) = (QTYPE::TYPE(TYPE::SRV), CLASS::IN.into());
    packet
        .questions
        .push(Question::new(name, kind, class, false));
    packet.build_bytes_vec().map_err(|_| Failure::Name)
}

fn over_udp(
    server: SocketAddr,
    question: &[u8],
    id: u16,
    name: &str,
    until: Instant,
) -> io::Result<Vec<u8>> {
    let any = match server.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.send(question)?;
    let mut buffer = vec![0; DNS_MESSAGE_BYTES];
    for _ in 0..LOOKS {
        socket.set_read_timeout(Some(left(until)?))?;
        let length = socket.recv(&mut buffer)?;
        let answer = buffer.get(..length).unwrap_or_default();
        if is_answer(answer, id, name) {
            return Ok(answer.to_vec());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// The same question over TCP, two bytes of length before either message.
fn over_tcp(server: SocketAddr, question: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect_timeout(&server, left(deadline)?)?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes(), question].concat();
    socket.set_write_timeout(Some(left(deadline)?))?;
    socket.write_all(&framed)?;
    let mut length = [0; 2];
    read_exact(&mut socket, &mut length, deadline)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    read_exact(&mut socket, &mut answer, deadline)?;
    Ok(answer)
}

/// Fills `into`; a server that gives a byte now and then does not get more time for it.
fn read_exact(socket: &mut TcpStream, into: &mut [u8], deadline: Instant) -> io::Result<()> {
    let mut filled = 0_usize;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        socket.set_read_timeout(Some(left(deadline)?))?;
        match socket.read(rest)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled = filled.saturating_add(count),
        }
    }
    Ok(())
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

fn is_cut(answer: &[u8]) -> bool {
    // The TC bit: the rest of a cut message need not be readable.
    answer.get(2).is_some_and(|flags| flags & 2 != 0)
}

/// Whether a message answers our question. Of a cut one only what cannot be cut is looked at.
fn is_answer(message: &[u8], id: u16, name: &str) -> bool {
    let Some([high, low, flags]) = message.first_chunk::<3>() else {
        return false;
    };
    if u16::from_be_bytes([*high, *low]) != id || flags & 0x80 == 0 {
        return false;
    }
    if is_cut(message) {
        return true;
    }
    parse(message).is_some_and(|packet| match packet.questions.as_slice() {
        [question] => {
            question.qtype == QTYPE::TYPE(TYPE::SRV)
                && question.qname.to_string().eq_ignore_ascii_case(name)
        }
        _ => false,
    })
}
