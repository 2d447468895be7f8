//! What a publisher is to publish, and where.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::wire::rtmp_url::{RtmpUrl, StreamKey};

/// What to publish, and where.
#[derive(Clone, Debug)]
pub struct PublisherConfig {
    /// The server and its application.
    pub url: RtmpUrl,
    /// The name to publish under.
    pub stream_name: StreamKey,
    /// RTMP time of each connection's first frame; 0 but in tests.
    pub first_timestamp: u32,
    /// Whether video was negotiated, so that audio waits a little for its first keyframe.
    pub expect_video: bool,
}

impl PublisherConfig {
    /// What no printed word may hold; empty for what there is not.
    pub(super) fn secrets(&self) -> [&str; 4] {
        let url = &self.url;
        let query = url
            .app_with_query()
            .split_once('?')
            .map_or("", |(_, query)| query);
        let (user, password) = url
            .credentials()
            .map_or(("", ""), |c| (c.user(), c.password()));
        [self.stream_name.reveal(), query, user, password]
    }
}
