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

use crate::rtmp::publisher::RtmpStatus;
use crate::rtmp::words::Reason;

/// What the owner is to do or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublisherEvent {
    /// Open a TCP connection to the address's host and port, then `handle_connected` or
    /// `handle_disconnected`.
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
}
