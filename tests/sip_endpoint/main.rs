//! The SIP endpoint as its peers see it, on a virtual clock.

mod bench;
mod call;
mod cancel;
mod capacity;
mod keyframe;
mod loss;
mod mutation;
mod phone;
mod ping;
mod refusal;
mod registrar;
mod registration;
mod reinvite;
mod rules;
mod torture;
mod transport;
