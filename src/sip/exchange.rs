//! The one exchange of offer and answer that a call may have at a time (RFC 3261 section 14, RFC 3311
//! section 5, RFC 3262 section 5): theirs or ours, by re-INVITE, UPDATE or PRACK.
//!
//! An offer of ours that cannot go now waits here for its turn. Not its text: by then the session may
//! be another, so the owner is asked for the offer when it can go.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;

use crate::base::rng::Rng;
use crate::base::time::Instant;

use super::session::{PendingInvite, Unacked};
use super::table::Slot;

/// How long the peer may think about a re-INVITE of ours that it has said to work on.
pub(super) const REINVITE_PATIENCE: Duration = Duration::from_secs(180);

/// An exchange within a call.
#[derive(Debug, Default)]
pub(super) enum Exchange {
    /// None going on.
    #[default]
    Idle,
    /// Theirs: a re-INVITE, or an UPDATE or PRACK with an offer, that is not answered.
    Theirs(Box<PendingInvite>),
    /// A re-INVITE of theirs that we accepted, and that is not acknowledged.
    Answered(Box<Unacked>),
    /// Ours, not answered.
    Ours {
        /// The transaction: of an INVITE, or of another request.
        transaction: Slot,
        /// Whether it is an INVITE.
        is_invite: bool,
        /// When the wait for its answer is over.
        until: Instant,
    },
}

/// An offer of ours that is to be made once it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Not before.
    pub(super) at: Instant,
    /// Whether it is to say nothing new, because it is for the session timer alone.
    pub(super) refresh: bool,
}

/// What may be done with an offer, or the wish for one, that just came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Take it.
    Open,
    /// 500 with Retry-After: an offer before it has no answer (RFC 3261 section 14.2, RFC 3311 section
    /// 5.2).
    Overlapping,
    /// 491: an offer of ours has no answer, or our 200 to the INVITE before it no ACK.
    Pending,
    /// 481: the call is over.
    Over,
}

impl Exchange {
    /// What may be done with another offer of theirs.
    pub(super) fn gate(&self) -> Gate {
        match self {
            Self::Idle => Gate::Open,
            Self::Theirs(_) => Gate::Overlapping,
            Self::Answered(_) | Self::Ours { .. } => Gate::Pending,
        }
    }

    /// The request that waits for an answer of ours.
    pub(super) fn theirs(&self) -> Option<&PendingInvite> {
        match self {
            Self::Theirs(pending) => Some(pending),
            _ => None,
        }
    }

    /// Forgets the request that waits: it was refused or taken back.
    pub(super) fn take_theirs(&mut self) -> Option<PendingInvite> {
        match core::mem::take(self) {
            Self::Theirs(pending) => Some(*pending),
            other => {
                *self = other;
                None
            }
        }
    }

    /// The transaction of a re-INVITE of ours.
    pub(super) fn our_invite(&self) -> Option<Slot> {
        match self {
            Self::Ours {
                transaction,
                is_invite: true,
                ..
            } => Some(*transaction),
            _ => None,
        }
    }

    /// Whether it is the one of that transaction of ours.
    pub(super) fn is_ours(&self, wanted: Slot, wants_invite: bool) -> bool {
        matches!(
            self,
            Self::Ours { transaction, is_invite, .. }
                if *transaction == wanted && *is_invite == wants_invite
        )
    }
}

/// How long to wait after a 491 (RFC 3261 section 14.1): in steps of 10 ms, 2.1 to 4 s where the
/// Call-ID is ours, and up to 2 s where it is theirs.
pub(super) fn glare(rng: &mut Rng, call_id_is_ours: bool) -> Duration {
    let (least, steps) = if call_id_is_ours {
        (210, 191)
    } else {
        (0, 201)
    };
    let tens = rng.below(steps).saturating_add(least);
    Duration::from_millis(u64::from(tens).saturating_mul(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glare_waits_are_within_the_bounds_of_either_side() {
        let mut rng = Rng::from_number(7);
        for (ours, least, most) in [(true, 2_100, 4_000), (false, 0, 2_000)] {
            let waits: Vec<u128> = (0..5_000)
                .map(|_| glare(&mut rng, ours).as_millis())
                .collect();
            assert_eq!(waits.iter().min(), Some(&least));
            assert_eq!(waits.iter().max(), Some(&most));
            assert!(waits.iter().all(|wait| wait.is_multiple_of(10)));
        }
    }
}
