//! `trunkcast demo`: the gateway with embedded defaults, a caller and a viewer in one process, over
//! real sockets.

pub mod show;
