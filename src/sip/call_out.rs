//! Calls that go out (RFC 3261 sections 8.1, 9.1 and 13.2): the INVITE until its final answer.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::rc::Rc;

use crate::base::ids::CallId;
use crate::base::time::Instant;
use crate::wire::sip_message::SipMessage;

use super::authentication::Credentials;
use super::endpoint::SipEndpoint;
use super::event::SipRefusal;
use super::table::Slot;
use super::transaction_client::Unanswered;
use super::transmit::SipTargets;

/// A call that is to go out.
#[derive(Clone, Debug)]
pub struct CallOut {
    /// Whom to call: `sip:1002@pbx.example.net`.
    pub request_uri: String,
    /// Our address of record: `sip:1001@pbx.example.net`.
    pub from: String,
    /// Display name beside it.
    pub display_name: Option<String>,
    /// User part of our Contact.
    pub contact_user: String,
    /// Call-ID of the wire; one of ours without it.
    pub call_id: Option<String>,
    /// Route values, the nearest first: outbound proxy, Service-Route.
    pub routes: Vec<String>,
    /// Where the INVITE goes, in the order to try.
    pub targets: SipTargets,
    /// For challenges.
    pub credentials: Option<Rc<Credentials>>,
    /// Our offer.
    pub sdp: String,
    /// Further headers, names and values without line ends.
    pub headers: Vec<(String, String)>,
}

/// What is known of a call of ours that has no final answer.
#[derive(Debug)]
pub(super) struct Calling {
    /// Its INVITE's transaction.
    pub(super) invite: Slot,
}

impl SipEndpoint {
    /// Calls somebody. Progress, answer and end come as events; [`SipEndpoint::hangup`] takes the call
    /// back.
    pub fn call(&mut self, _now: Instant, _call: CallOut) -> Result<CallId, SipRefusal> {
        Err(SipRefusal::WrongState)
    }

    pub(super) fn receive_invite_response(
        &mut self,
        _now: Instant,
        _invite: Slot,
        _code: u16,
        _response: &SipMessage<'_>,
    ) {
    }

    /// Takes an INVITE of ours back.
    pub(super) fn cancel_invite(&mut self, _now: Instant, _call: Slot, _calling: &Calling) {}

    /// An INVITE of ours will not be answered.
    pub(super) fn invite_failed(&mut self, _now: Instant, invite: Slot, _why: Unanswered) {
        self.invites.remove(invite);
    }
}
