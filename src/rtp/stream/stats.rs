//! Everything counted about one received track.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use core::time::Duration;

use crate::rtp::depack_audio::AudioCounters;
use crate::rtp::depack_h264::H264Counters;
use crate::rtp::depack_vp8::Vp8Counters;
use crate::rtp::reorder::ReorderCounters;
use crate::rtp::retransmission::RetransmissionCounters;
use crate::rtp::source::SourceCounters;
use crate::rtp::srtp::SrtpCounters;

/// Everything counted about one received track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Datagrams received, whatever they were.
    pub packets: u64,
    /// Their bytes.
    pub octets: u64,
    /// Datagrams that are no RTP.
    pub malformed: u64,
    /// Packets of a payload type that was not negotiated.
    pub wrong_payload_type: u64,
    /// Packets that came while the track was on hold.
    pub on_hold: u64,
    /// Frames put into the log.
    pub frames: u64,
    /// Telephone events told.
    pub telephone_events: u64,
    /// Telephone events that nobody took in time.
    pub telephone_events_missed: u64,
    /// What the source lock dropped.
    pub source: SourceCounters,
    /// What the reorder buffer saw.
    pub reorder: ReorderCounters,
    /// What the H.264 depacketizer saw; zeros for audio.
    pub h264: H264Counters,
    /// What the audio depacketizer saw; zeros for video.
    pub audio: AudioCounters,
    /// What came of asking for missing packets.
    pub retransmission: RetransmissionCounters,
    /// What the VP8 depacketizer saw; zeros for audio.
    pub vp8: Vp8Counters,
    /// What protection dropped, of RTP and RTCP; zeros without. None of it is in [`Self::packets`].
    pub srtp: SrtpCounters,
    /// How long a gap is waited on now.
    pub hold: Duration,
    /// Interarrival jitter (RFC 3550, section 6.4.1).
    pub jitter: Duration,
}
