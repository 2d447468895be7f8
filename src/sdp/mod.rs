//! Floor 2: offer and answer (RFC 3264) over SDP (RFC 8866).
//!
//! [`OfferAnswer`] is the negotiation of one call: it answers offers, makes one of its own for an
//! INVITE without offer, and keeps what later ones have to agree with (order of the media lines,
//! payload numbers, session identity and version). [`CodecPlan`] is what a trunk wants of it.
//!
//! Relayed are H.264 in packetization-modes 0 and 1, VP8, Opus, AAC (mpeg4-generic in the mode
//! AAC-hbr, MP4A-LATM), Speex at 16 kHz, PCMA and PCMU, with telephone-event beside the audio, over
//! RTP/AVP and RTP/AVPF, and RTP/SAVP and RTP/SAVPF with keys in the description
//! ([`protection`] says when). What the sink of a call refuses is left out ([`OfferAnswer::set_sink`]).
//! Every other media line is refused in its place, and [`LineRefusal`] has the words. Not
//! implemented: DTLS-SRTP, ICE, BUNDLE, capability negotiation (RFC 5939), preconditions, multicast,
//! retransmission and error correction payloads (RFC 4588, RFC 5109).
//!
//! Nothing here keeps time or allocates per packet; the work of a call is linear in the length of
//! the description, and memory is taken at call set-up and re-negotiation only.

#![forbid(unsafe_code)]

mod choose;
pub mod codec_plan;
pub mod direction;
mod emit;
mod format;
pub mod media_plan;
mod offer;
pub mod offer_answer;
mod offer_trim;
pub mod protection;
pub mod refusal;
mod template;
pub mod unrelayed;

pub use choose::{Wanted, wanted};
pub use codec_plan::{CodecPlan, PlanError};
pub use media_plan::{LocalMedia, MediaPlan, Negotiated, PlannedCodec, RefusedLine};
pub use offer_answer::{Answer, OfferAnswer};
pub use protection::SrtpTerms;
pub use refusal::{LineRefusal, Refusal};
pub use unrelayed::Unrelayed;
