//! The SIP endpoint as its peers see it, on a virtual clock.

mod bench;
mod call;
mod call_out;
mod callee;
mod cancel;
mod cancel_out;
mod capacity;
mod forks;
mod keyframe;
mod loss;
mod mutation;
mod pair;
mod peers;
mod phone;
mod ping;
mod refusal;
mod refused_out;
mod registrar;
mod registration;
mod reinvite;
mod rules;
mod torture;
mod transport;
