//! The words for what calls are doing, as the clients of the REST interface and hooks know them.

use core::fmt;

use crate::base::codec::{Codec, Track};
use crate::rtmp::LeftOut;
use crate::sdp::{LineRefusal, Negotiated};
use crate::wire::sdp::SessionDescription;
use crate::wire::sdp_media::MediaKind;

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

/// State of one track of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackStatus {
    /// What the caller sends.
    pub codec: Option<Codec>,
    /// Why the track was refused when the call was negotiated, if the caller had one.
    pub refused: Option<LineRefusal>,
    /// Why what the caller sends is not published.
    pub unpublished: Option<LeftOut>,
}

impl TrackStatus {
    /// Why the track is not in the stream, in words such as `audio left out: the server refused
    /// G.711`; `None` when it is, or when there is no such track.
    pub fn left_out(&self, track: Track) -> Option<impl fmt::Display + use<>> {
        let words = TrackLeftOut {
            track,
            refused: self.refused,
            unpublished: self.unpublished,
        };
        (self.refused.is_some() || self.unpublished.is_some()).then_some(words)
    }
}

struct TrackLeftOut {
    track: Track,
    refused: Option<LineRefusal>,
    unpublished: Option<LeftOut>,
}

impl fmt::Display for TrackLeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.refused, self.unpublished) {
            (Some(refused), _) => write!(f, "{} left out: {refused}", self.track),
            (None, Some(unpublished)) => unpublished.fmt(f),
            (None, None) => Ok(()),
        }
    }
}

/// What was refused of both tracks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Why the caller's audio is not used.
    pub audio: Option<LineRefusal>,
    /// Why the caller's video is not used.
    pub video: Option<LineRefusal>,
}

impl Refusals {
    /// The refusals of tracks that the caller's description has, and of which no line is in use.
    pub fn of(theirs: &SessionDescription, negotiated: &Negotiated) -> Self {
        let mut refusals = Self::default();
        for refused in &negotiated.refused {
            let kind = theirs.media().nth(refused.line).map(|line| line.kind());
            let (place, used) = match kind {
                Some(MediaKind::Audio) => (&mut refusals.audio, negotiated.audio.is_some()),
                Some(MediaKind::Video) => (&mut refusals.video, negotiated.video.is_some()),
                _ => continue,
            };
            if !used && refused.reason != LineRefusal::Disabled {
                place.get_or_insert(refused.reason);
            }
        }
        refusals
    }
}
