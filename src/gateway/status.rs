//! The words for what calls are doing, as the clients of the REST interface and hooks know them.

use core::fmt;

use crate::base::codec::Codec;
use crate::rtmp::LeftOut;
use crate::sdp::RefusedLine;

/// State of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStatus {
    /// The INVITE is being worked on.
    Trying,
    /// It rings at the callee.
    Ring,
    /// The callee's side sends media before its answer.
    SessionProgress,
    /// The callee is busy.
    Busy,
    /// Answered.
    Established,
    /// The caller holds the call.
    Hold,
    /// Over, by a BYE of either side.
    Finish,
    /// Over, because something went wrong.
    Failed,
}

impl fmt::Display for CallStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trying => "TRYING",
            Self::Ring => "RING",
            Self::SessionProgress => "SESSION_PROGRESS",
            Self::Busy => "BUSY",
            Self::Established => "ESTABLISHED",
            Self::Hold => "HOLD",
            Self::Finish => "FINISH",
            Self::Failed => "FAILED",
        })
    }
}

/// State of one track of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackStatus {
    /// What the caller sends.
    pub codec: Option<Codec>,
    /// Why the track was refused when the call was negotiated, if the caller wanted one.
    pub refused: Option<RefusedLine>,
    /// Why what the caller sends is not published.
    pub unpublished: Option<LeftOut>,
}

impl TrackStatus {
    /// Why the track is not in the stream, in words such as `audio left out: the server refused
    /// G.711`; `None` when it is, or when there is no such track.
    pub fn left_out(&self) -> Option<&dyn fmt::Display> {
        let refused = self.refused.as_ref().map(|line| line as &dyn fmt::Display);
        refused.or(self
            .unpublished
            .as_ref()
            .map(|out| out as &dyn fmt::Display))
    }
}
