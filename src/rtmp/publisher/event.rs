//! What a publisher tells its owner.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::codec::{Codec, CodecSet};
use crate::rtmp::publisher::RtmpStatus;
use crate::rtmp::words::Reason;

/// What the owner is to do or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublisherEvent {
    /// Open a connection to the host and port of [`Publisher::target`](super::Publisher::target),
    /// with TLS where its `is_tls` says so, then `handle_connected` or `handle_disconnected`.
    Connect,
    /// Close the connection, after what the kernel has taken. Nothing of it is to be handed in any
    /// more.
    Close,
    /// The status, or the reason for it, changed.
    Status {
        /// The status now.
        status: RtmpStatus,
        /// Why, in words fit for a log and a page.
        reason: Reason,
    },
    /// The caller should make a keyframe.
    KeyframeWanted,
    /// What the server said that it takes, after each answer to `connect`.
    ServerTakes {
        /// Codecs that can be sent there: those of legacy FLV, and those listed.
        codecs: CodecSet,
        /// Codecs that it lists by FourCC (Enhanced RTMP); none where it lists nothing.
        listed: CodecSet,
        /// Whether it lists codecs at all, so that one of Enhanced RTMP that is not listed is
        /// refused for certain.
        lists: bool,
    },
    /// The server was found to refuse a codec; it is left out for as long as this publisher lives.
    CodecRefused(Codec),
}
