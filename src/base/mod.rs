//! Floor 0: time, randomness, the packet pool and the frame log; what every floor speaks of.

#![forbid(unsafe_code)]

pub mod budget;
pub mod codec;
pub mod counter;
pub mod frame_log;
pub mod ids;
pub mod journal;
pub mod network;
pub mod packet_pool;
pub mod redact;
pub mod rng;
pub mod sink;
pub mod srtp;
pub mod time;
