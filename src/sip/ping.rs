//! Whether the peers of a trunk are there: OPTIONS outside dialogs (RFC 3261 section 11).

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
use super::transaction_client::Unanswered;

impl SipEndpoint {
    pub(super) fn ping_answered(
        &mut self,
        _now: Instant,
        _target: u8,
        _response: Result<&SipMessage<'_>, Unanswered>,
    ) {
    }
}
