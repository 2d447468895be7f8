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

use crate::base::codec::{Codec, CodecSet};
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
    /// Codecs that may be sent there at all; what the server's answer does not allow is left out
    /// besides.
    pub abilities: CodecSet,
    /// Codecs that the server is known to take: never suspected when it ends a stream. H.264 and AAC
    /// are not either.
    pub certain: CodecSet,
    /// Codecs that the server is known to refuse: never sent, and said to be refused.
    pub refused: CodecSet,
}

impl PublisherConfig {
    /// Codecs that every RTMP server takes.
    pub(super) const CERTAIN: CodecSet = CodecSet::of(&[Codec::H264, Codec::Aac]);

    /// To publish under this name at this server, of which nothing is known; with video.
    pub fn new(url: RtmpUrl, stream_name: StreamKey) -> Self {
        Self {
            url,
            stream_name,
            first_timestamp: 0,
            expect_video: true,
            abilities: CodecSet::ALL,
            certain: CodecSet::NONE,
            refused: CodecSet::NONE,
        }
    }

    /// What no printed word may hold; empty for what there is not. `target` is where the stream goes
    /// now.
    pub(super) fn secrets<'a>(&'a self, target: &'a RtmpUrl) -> [&'a str; 7] {
        let query = |url: &'a RtmpUrl| {
            let query = url.app_with_query().split_once('?');
            query.map_or("", |(_, query)| query)
        };
        let names = |url: &'a RtmpUrl| {
            let credentials = url.credentials();
            credentials.map_or(("", ""), |c| (c.user(), c.password()))
        };
        let (user, password) = names(&self.url);
        let (other_user, other_password) = names(target);
        [
            self.stream_name.reveal(),
            query(&self.url),
            user,
            password,
            query(target),
            other_user,
            other_password,
        ]
    }
}
