//! What the tests with real programs share: starting them, calling the gateway, reading back.
//!
//! Every test claims a block of ports of its own ([`Ports`]), works in a folder of its own
//! ([`Scratch`]) and ends what it started when it goes out of scope ([`Program`]). A program that
//! is not installed fails the test that needs it; `tests/run` installs them all.

#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]

pub mod authority;
pub mod backend;
pub mod baresip;
pub mod browser;
pub mod call_out;
pub mod clip;
pub mod compare;
pub mod daemon;
pub mod dialogue;
pub mod enhanced;
pub mod flv;
pub mod gstreamer;
pub mod impaired;
pub mod kamailio;
pub mod linphone;
pub mod lipsync;
pub mod manager;
pub mod namespace;
pub mod nginx;
pub mod operator;
pub mod opus_vp8;
pub mod page;
pub mod pbx;
pub mod phone;
pub mod ports;
pub mod probe;
pub mod program;
pub mod raw_caller;
pub mod relay;
pub mod rest;
pub mod rtp;
pub mod scratch;
pub mod script;
pub mod signalling;
pub mod sipp;
pub mod sipvicious;
pub mod tls_front;
pub mod usage;

pub use authority::{Authority, Validity};
pub use call_out::CallOut;
pub use clip::Clip;
pub use daemon::Daemon;
pub use dialogue::Dialogue;
pub use enhanced::Enhanced;
pub use kamailio::Kamailio;
pub use manager::Manager;
pub use namespace::Namespace;
pub use nginx::Nginx;
pub use operator::Operator;
pub use pbx::{Pbx, Slow};
pub use phone::Phone;
pub use ports::Ports;
pub use program::Program;
pub use rest::Rest;
pub use scratch::Scratch;
pub use script::Script;
pub use tls_front::TlsFront;
pub use usage::Usage;
