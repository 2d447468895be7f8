//! Why calls end, or are not taken, as codes: what the words of a SIP cause and who ended the call
//! come to.

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

use serde::{Deserialize, Serialize};

use crate::gateway::call::Call;
use crate::sip::{Cause, EndedBy};

/// Why a call ended, or was not taken. It is stored: variants are only ever added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// The caller of a call in hung up.
    CallerHungUp,
    /// Whom a call out had reached hung up.
    CalleeHungUp,
    /// This program ended it, for none of the reasons below.
    WeHungUp,
    /// Somebody ended it on the page.
    HungUpOnPage,
    /// A client of the REST interface ended it.
    HungUpByRest,
    /// Its peer goes on with somebody else.
    Transferred,
    /// The program was stopped.
    Stopped,
    /// A defect of this program ended it.
    Defect,
    /// No media came for too long.
    NoMedia,
    /// The peer no longer answered, or no longer knew the call.
    PeerGone,
    /// The session timer ran out.
    SessionTimer,
    /// The caller took it back before it was answered.
    Cancelled,
    /// Nobody answered a call out.
    NoAnswer,
    /// Whom a call out was for is busy.
    Busy,
    /// A call out was refused.
    Refused,
    /// The number of a call out is not known there.
    NotFound,
    /// The peer of a call out does not take user name and password.
    WrongPassword,
    /// The peer of a call out could not be reached.
    Unreachable,
    /// The name of the peer of a call out could not be resolved.
    NameNotFound,
    /// The registration that a call out needs failed.
    RegistrationFailed,
    /// A call out was sent elsewhere, to an address of no use.
    Redirected,
    /// Nothing that one side offered can be relayed.
    NoCodecInCommon,
    /// The offer of a call in cannot be read.
    BadOffer,
    /// The name that its stream would have is in use.
    StreamNameInUse,
    /// A table, the ports or the memory are used up.
    Capacity,
    /// The backend refused it.
    RefusedByBackend,
    /// The backend did not answer whether to take it.
    BackendSilent,
}

impl Ending {
    /// Why a call is over, as far as SIP tells it.
    pub fn of(call: &Call, cause: &Cause, by: EndedBy) -> Self {
        let is_out = call.outgoing.is_some();
        if call.is_calling() {
            return Self::of_calling(cause, by);
        }
        match (by, cause.code) {
            (_, 481 | 504) => Self::PeerGone,
            (EndedBy::Remote, 487) => Self::Cancelled,
            (EndedBy::Remote, _) if is_out => Self::CalleeHungUp,
            (EndedBy::Remote, _) => Self::CallerHungUp,
            (EndedBy::Silence, _) if cause.words == Cause::NOT_REFRESHED => Self::SessionTimer,
            (EndedBy::Silence, _) => Self::PeerGone,
            (EndedBy::Local, 488) => Self::NoCodecInCommon,
            (EndedBy::Local, 500) => Self::Defect,
            (EndedBy::Local, 503) => Self::Capacity,
            (EndedBy::Local, _) => Self::WeHungUp,
        }
    }

    /// Why a call out is over that nobody had answered.
    fn of_calling(cause: &Cause, by: EndedBy) -> Self {
        match (cause.code, by) {
            (200, _) => Self::WeHungUp,
            (300..=399, _) => Self::Redirected,
            (401 | 407, _) => Self::WrongPassword,
            (404 | 410 | 484 | 604, _) => Self::NotFound,
            (408 | 480 | 487, _) => Self::NoAnswer,
            (415 | 488 | 606, _) => Self::NoCodecInCommon,
            (486 | 600, _) => Self::Busy,
            (503, EndedBy::Local | EndedBy::Silence) => Self::Unreachable,
            (500, EndedBy::Local) if cause.words == Cause::DEFECT => Self::Defect,
            _ => Self::Refused,
        }
    }

    /// Why a call in is refused with this status, unless more is known.
    pub const fn of_refusal(status: u16) -> Self {
        match status {
            481 => Self::PeerGone,
            488 => Self::NoCodecInCommon,
            500 => Self::Defect,
            503 => Self::Capacity,
            _ => Self::BadOffer,
        }
    }
}
