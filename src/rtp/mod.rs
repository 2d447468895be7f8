//! Floor 2: RTP and RTCP (RFC 3550).

#![forbid(unsafe_code)]

pub mod call_clock;
pub mod depack_aac;
pub mod depack_audio;
pub mod depack_h264;
pub mod depack_latm;
pub mod keyframe;
pub mod parameter_sets;
pub mod reception;
pub mod reorder;
pub mod report;
pub mod session;
pub mod silence;
pub mod source;
pub mod stream;
pub mod telephone_event;
pub mod timeline;
