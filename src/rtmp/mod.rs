//! Floor 2: RTMP (Adobe's RTMP specification 1.0), as a publisher, as a server that plays out, and
//! as a viewer.
//!
//! The machines read frames from a [`FrameLog`](crate::base::frame_log::FrameLog) by a position of
//! their own and copy frame bytes once, into the buffer of one write.

#![forbid(unsafe_code)]

mod answers;
mod asked;
mod auth;
mod capabilities;
mod commands;
mod control_queue;
mod gather;
mod handshake;
mod heard;
mod link;
mod media_place;
mod media_writer;
mod player;
mod prepared_sound;
mod publisher;
mod refusal;
mod retry;
mod takes;
mod viewer;
mod voice;
mod words;

pub use asked::Name;
pub use capabilities::FourCcs;
pub use media_writer::MediaCounters;
pub use player::{Player, PlayerEvent};
pub use prepared_sound::PreparedSound;
pub use publisher::{
    LeftOut, PublishFailure, PublishFault, PublishStep, Publisher, PublisherConfig,
    PublisherCounters, PublisherEvent, RtmpStatus, WhyLeftOut,
};
pub use takes::Takes;
pub use viewer::{Viewer, ViewerEvent};
pub use voice::Voice;
pub use words::Reason;
