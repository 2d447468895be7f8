//! Floor 2: RTP and RTCP (RFC 3550).

#![forbid(unsafe_code)]

pub mod bitrate;
pub mod call_clock;
mod decoder_state;
pub mod depack_aac;
pub mod depack_audio;
pub mod depack_h264;
pub mod depack_latm;
pub mod depack_vp8;
pub mod keyframe;
pub mod own_source;
pub mod packetizer;
pub mod parameter_sets;
pub mod picture_end;
pub mod reception;
pub mod reorder;
pub mod report;
pub mod retransmission;
pub mod sending;
pub mod session;
pub mod silence;
pub mod source;
pub mod srtp;
pub mod still;
pub mod stream;
pub mod telephone_event;
pub mod telephone_event_sender;
pub mod timeline;
