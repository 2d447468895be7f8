//! The common media clock of one call: RTP timestamps to times that audio and video share.

use crate::base::codec::Track;
use crate::base::time::{Instant, MediaTime, NtpTime};

/// The clock of one call.
#[derive(Clone, Debug, Default)]
pub struct CallClock {}

impl CallClock {
    /// A clock that starts at zero with the first frame of either track.
    pub fn new() -> Self {
        Self::default()
    }

    /// When a frame is to be presented; frames of a track come in decoding order, and `received`
    /// is the arrival of the frame's first packet.
    pub fn frame_time(
        &mut self,
        track: Track,
        rtp_timestamp: u32,
        clock_rate: u32,
        received: Instant,
    ) -> MediaTime {
        let _ = (track, rtp_timestamp, clock_rate, received);
        MediaTime::ZERO
    }

    /// Takes note of a sender report.
    pub fn handle_sender_report(
        &mut self,
        track: Track,
        now: Instant,
        ntp: NtpTime,
        rtp_timestamp: u32,
    ) {
        let _ = (track, now, ntp, rtp_timestamp);
    }

    /// The track has another source, whose timestamps have nothing to do with the former ones.
    pub fn source_changed(&mut self, track: Track) {
        let _ = track;
    }

    /// How much later the picture is presented than the voice that belongs to it.
    pub fn skew_micros(&self) -> Option<i64> {
        None
    }
}
