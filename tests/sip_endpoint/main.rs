//! The SIP endpoint as its peers see it, on a virtual clock.

mod bench;
mod call;
mod cancel;
mod capacity;
mod glare;
mod info;
mod keyframe;
mod loss;
mod mutation;
mod phone;
mod prack;
mod refusal;
mod reinvite;
mod reinvite_out;
mod session_timer;
mod torture;
mod transport;
mod update;
