//! The bare loop that everything is compared with: receive a packet, send it on at once.
//!
//! One thread, one epoll, a TCP connection a call, no protocol but a length before each packet.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

use crate::os::{Epoll, stay_on};

/// Forwards the media of `calls` calls from the ports from `base` on to `sink`. With `drain` a
/// ready socket is read until it is empty, else once per readiness.
pub fn run(calls: u32, base: u16, sink: SocketAddr, drain: bool) {
    stay_on(0);
    let epoll = Epoll::new().expect("epoll is there");
    let mut sockets = Vec::new();
    let mut outputs = Vec::new();
    for call in 0..calls as u16 {
        let output = TcpStream::connect(sink).expect("the sink listens");
        output.set_nodelay(true).expect("an option of every TCP");
        outputs.push(output);
        for port in [base + 4 * call, base + 4 * call + 2] {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
            socket
                .set_nonblocking(true)
                .expect("a socket can be made non-blocking");
            epoll
                .add(socket.as_raw_fd(), sockets.len() as u64)
                .expect("epoll takes it");
            sockets.push(socket);
        }
    }
    println!("ready");
    let mut ready = Vec::new();
    let mut buffer = [0; 2_048];
    loop {
        epoll.wait(&mut ready);
        for &token in &ready {
            let place = token as usize;
            loop {
                match sockets[place].recv(&mut buffer[2..]) {
                    Ok(length) => {
                        buffer[..2].copy_from_slice(&(length as u16).to_be_bytes());
                        outputs[place / 2]
                            .write_all(&buffer[..2 + length])
                            .expect("the sink reads");
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
                if !drain {
                    break;
                }
            }
        }
    }
}
