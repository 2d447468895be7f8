//! Floor 1: bytes to checked views, and representations to bytes.

#![forbid(unsafe_code)]

pub mod aac;
pub mod amf0;
pub mod bits;
pub mod flv;
pub mod h264;
pub mod h264_slice;
pub mod http;
pub mod http_answer;
pub mod http_auth;
pub mod http_date;
pub mod latm;
pub mod opus;
pub mod rtcp;
pub mod rtmp_chunk;
pub mod rtmp_message;
pub mod rtmp_url;
pub mod rtp;
pub mod sdp;
pub mod sdp_audio;
pub mod sdp_codec;
pub mod sdp_crypto;
mod sdp_lines;
pub mod sdp_media;
pub mod silent_frame;
pub mod sip_challenge;
pub mod sip_digest;
pub mod sip_emit;
pub mod sip_fault;
pub mod sip_frame;
pub mod sip_header;
pub mod sip_identity;
pub mod sip_index;
pub mod sip_message;
pub mod sip_method;
pub mod sip_name;
pub mod sip_params;
pub mod sip_reply;
pub mod sip_rewrite;
mod sip_rsip;
mod sip_text;
pub mod sip_uri;
mod sip_uri_compare;
pub mod sip_via;
pub mod speex;
pub mod vp8;
