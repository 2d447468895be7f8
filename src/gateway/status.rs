//! The words for what calls are doing, as the clients of the REST interface and hooks know them.

use core::fmt;

/// State of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStatus {
    /// The INVITE is being worked on.
    Trying,
    /// The caller hears ringing.
    Ring,
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
            Self::Established => "ESTABLISHED",
            Self::Hold => "HOLD",
            Self::Finish => "FINISH",
            Self::Failed => "FAILED",
        })
    }
}
