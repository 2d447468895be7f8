//! Floor 4: sockets, clock, signals and threads; the only floor that has them.
//!
//! One thread does all the work. Every socket is watched by one epoll descriptor, which is itself
//! registered once with async-io's reactor; names are resolved, and the system's certificate
//! authorities read, on the executor's threads for blocking work. Unsafe code is in [`sys`] alone.

pub mod board;
pub mod clock;
pub mod daemon;
pub mod desk;
pub mod dns;
pub mod files;
pub mod half_open;
mod helper;
pub mod journal;
pub mod listen;
pub mod log_out;
pub mod manager;
pub mod media;
pub mod pace;
pub mod panel;
pub mod password;
pub mod process;
pub mod read_queue;
pub mod recorder;
mod relisten;
pub mod resolver;
pub mod signals;
pub mod sip_tls;
pub mod sockets;
pub mod streams;
pub mod sys;
pub mod tls;
pub mod token;
pub mod waker;
