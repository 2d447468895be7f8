//! What became of the frames that a connection was to carry.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::codec::Track;
use crate::base::counter::count;
use crate::rtmp::media_place::{Body, Planned, Skip};

/// What a writer has done and why it left things out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediaCounters {
    /// Audio messages wholly sent or begun, sequence headers aside.
    pub audio_frames: u64,
    /// Video messages wholly sent or begun, sequence headers aside.
    pub video_frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Sequence headers of both tracks.
    pub sequence_headers: u64,
    /// Metadata messages.
    pub metadata: u64,
    /// Video frames passed over: before a keyframe, or given up in a stall.
    pub video_dropped: u64,
    /// Audio frames passed over for a connection that is too slow even for audio.
    pub audio_dropped: u64,
    /// Frames that no message can carry.
    pub unusable: u64,
    /// Frames of codecs that are not sent to the peer.
    pub not_taken: u64,
    /// Audio messages of silence or a prepared sound in place of the caller's.
    pub stood_in: u64,
    /// Audio frames left out because a frame of a prepared sound lasts in their time.
    pub covered: u64,
    /// Audio frames left out because they are not to be heard and nothing can stand in for them.
    pub unvoiced: u64,
    /// Frames that the log dropped before they were sent.
    pub lost: u64,
    /// Times that a stall made video start again at a keyframe.
    pub stalls: u64,
    /// Frames whose time was moved to keep times rising.
    pub clamped_times: u64,
}

impl MediaCounters {
    /// One more message sent or begun, or frame passed over.
    pub(super) fn count(&mut self, planned: &Planned) {
        count(match planned.body {
            Body::Metadata(_) => &mut self.metadata,
            Body::Sequence(..) => &mut self.sequence_headers,
            Body::Frame {
                track,
                keyframe,
                stand_in,
                ..
            } => {
                if stand_in.is_some() {
                    count(&mut self.stood_in);
                }
                if planned.clamped {
                    count(&mut self.clamped_times);
                }
                match track {
                    Track::Audio => &mut self.audio_frames,
                    Track::Video => {
                        if keyframe {
                            count(&mut self.keyframes);
                        }
                        &mut self.video_frames
                    }
                }
            }
            Body::Skip(Skip::Undecodable) => &mut self.video_dropped,
            Body::Skip(Skip::Unusable) => &mut self.unusable,
            Body::Skip(Skip::NotTaken) => &mut self.not_taken,
            Body::Skip(Skip::Unvoiced) => &mut self.unvoiced,
            Body::Skip(Skip::Covered) => &mut self.covered,
        });
    }
}
