//! Trunkcast: a SIP call in, a live RTMP stream out, without transcoding.
//!
//! # Floors
//!
//! | floor | modules | what is there |
//! | --- | --- | --- |
//! | 5 | `main`, [`cli`] | arguments, configuration file, start, demonstration |
//! | 4 | [`shell`] | the only floor with sockets, clock, files, signals and threads |
//! | 3 | [`gateway`] | calls, streams, codec plan, admission |
//! | 2 | [`sip`], [`sdp`], [`rtp`], [`rtmp`], [`mp4`], [`webm`], [`panel`] | one protocol, format or front each, strangers to one another |
//! | 1 | [`wire`] | bytes to checked views and back |
//! | 0 | [`limits`], [`base`] | capacities, time, packet pool, frame log |
//!
//! A floor imports only floors below it, and machines of floor 2 never import each other; the
//! `floors` test reads the `use` lines and fails otherwise.
//!
//! # The face of a machine
//!
//! Below the shell nothing reads a clock, a socket or a random source. A machine takes bytes,
//! commands and time through `handle_*(now, …)`, each with bounded work. After every such call its
//! owner drains `poll_transmit`, `poll_event` and `poll_timeout` before the next. A refusal for
//! want of room is a return value.
//!
//! # Panics
//!
//! Bytes from the network never panic: they are dropped and counted, or answered with an error. What
//! does panic is a defect, and the release profile unwinds: one in the work of a call, a player, a
//! connection or a request ends that one, which is counted; one in a look-up or in what the page asked for
//! is the answer to it. One in the loop itself or in a thread beside it ends the program with status
//! 101, and the service manager starts it anew.

pub mod base;
pub mod cli;
pub mod gateway;
pub mod limits;
pub mod media_file;
pub mod mp4;
pub mod panel;
pub mod rtmp;
pub mod rtp;
pub mod sdp;
pub mod shell;
pub mod sip;
pub mod webm;
pub mod wire;
