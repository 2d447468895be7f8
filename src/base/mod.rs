//! Floor 0: time, randomness, the packet pool and the frame log; what every floor speaks of.

#![forbid(unsafe_code)]

pub mod codec;
pub mod frame_log;
pub mod packet_pool;
pub mod rng;
pub mod time;
