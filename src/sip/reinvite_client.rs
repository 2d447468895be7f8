//! Re-INVITEs of ours (RFC 3261 section 14.1): what becomes of them.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::time::Instant;
use crate::wire::sip_message::SipMessage;

use super::endpoint::SipEndpoint;
use super::table::Slot;
use super::transaction_client::Unanswered;

impl SipEndpoint {
    /// A response to a re-INVITE of a call came: every provisional one, a refusal, which is
    /// acknowledged, or a 2xx once, which [`SipEndpoint::acknowledge`] is to be called for. Or none
    /// will come.
    pub(super) fn reinvite_answered(
        &mut self,
        _now: Instant,
        _call: Slot,
        _invite: Slot,
        _response: Result<&SipMessage<'_>, Unanswered>,
    ) {
    }
}
