//! INVITE client transactions (RFC 3261 section 17.1.1) with the Accepted state of RFC 6026.
//!
//! A transaction repeats its INVITE until something answers, repeats the ACK of a refusal, and lets
//! every 2xx through: a forked INVITE may have several, and the ACK of a 2xx is its session's. It is
//! from this INVITE that a CANCEL is made (section 9.1).

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

use rsip::Header;

use crate::base::ids::CallId;
use crate::base::time::Instant;
use crate::wire::sip_message::SipMessage;

use super::table::{Timed, hash};
use super::timer::{T1, TIMER_B, TIMER_M, timer_d};
use super::transmit::{Printed, SipDestination};

/// Where a transaction is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has answered.
    Calling {
        /// Timer A, over UDP alone: when to send again, and the interval that led there.
        resend: Option<(Instant, Duration)>,
        until: Instant,
    },
    /// A provisional response came.
    Proceeding,
    /// Refused: the ACK goes again with every repetition of the refusal.
    Completed { ack: Printed, until: Instant },
    /// Answered with 2xx: more may come.
    Accepted { until: Instant },
}

/// The client side of one INVITE.
#[derive(Debug)]
pub(super) struct InviteTransaction {
    branch: Box<str>,
    call: CallId,
    destination: SipDestination,
    /// As sent but for what printing adds.
    request: Box<rsip::Request>,
    printed: Printed,
    state: State,
}

/// What a response is to its INVITE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum InviteResponse {
    /// A provisional one.
    Provisional,
    /// A 2xx, the first or another: of another fork, or the same again because its ACK was lost.
    Success,
    /// The refusal: an ACK is to be sent by [`InviteTransaction::acknowledge`].
    Refused,
    /// The refusal again: its ACK is to be sent again.
    Again(SipDestination, Printed),
    /// Nothing: too late.
    Nothing,
}

/// What came of a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum InviteTimeout {
    /// The INVITE is to be sent again.
    Resend(SipDestination, Printed),
    /// Nothing answered at all (timer B).
    NoAnswer,
    /// The transaction is over.
    Ended,
}

impl InviteTransaction {
    /// The transaction of an INVITE that is being sent: `request` with its Via on top, and as printed.
    pub(super) fn new(
        now: Instant,
        branch: &str,
        call: CallId,
        destination: SipDestination,
        request: rsip::Request,
        printed: Printed,
    ) -> Self {
        let resend = (!destination.is_reliable()).then(|| (now + T1, T1));
        Self {
            branch: branch.into(),
            call,
            destination,
            request: Box::new(request),
            printed,
            state: State::Calling {
                resend,
                until: now + TIMER_B,
            },
        }
    }

    /// The place in a table of the transaction with that branch.
    pub(super) fn hash(branch: &str) -> u64 {
        hash(0, &[branch.as_bytes()])
    }

    /// Whether a response is one to this INVITE (section 17.1.3).
    pub(super) fn is_answered_by(&self, response: &SipMessage<'_>) -> bool {
        response.via().branch == Some(&*self.branch)
            && response.cseq().method == rsip::Method::Invite
    }

    /// The call whose INVITE it is.
    pub(super) fn call(&self) -> CallId {
        self.call
    }

    /// Where the INVITE went.
    pub(super) fn destination(&self) -> SipDestination {
        self.destination
    }

    /// Whether a final response may still come for the first time.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding)
    }

    /// Whether a CANCEL may go: not before a provisional response came (section 9.1).
    pub(super) fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    /// Its connection is gone: the INVITE goes again, over another one.
    pub(super) fn move_to_new(&mut self) -> (SipDestination, Printed) {
        self.destination = self.destination.anew();
        (self.destination, self.printed.clone())
    }

    /// A response came.
    pub(super) fn answered(&mut self, now: Instant, code: u16) -> InviteResponse {
        match (&self.state, code) {
            (State::Calling { .. } | State::Proceeding, ..200) => {
                self.state = State::Proceeding;
                InviteResponse::Provisional
            }
            (State::Calling { .. } | State::Proceeding, 200..300) => {
                self.state = State::Accepted {
                    until: now + TIMER_M,
                };
                InviteResponse::Success
            }
            (State::Accepted { .. }, 200..300) => InviteResponse::Success,
            (State::Calling { .. } | State::Proceeding, _) => InviteResponse::Refused,
            (State::Completed { ack, .. }, 300..) => {
                InviteResponse::Again(self.destination, ack.clone())
            }
            (State::Completed { .. } | State::Accepted { .. }, _) => InviteResponse::Nothing,
        }
    }

    /// Notes the ACK of the refusal that is being sent.
    pub(super) fn acknowledge(&mut self, now: Instant, ack: Printed) {
        self.state = State::Completed {
            ack,
            until: now + timer_d(self.destination.is_reliable()),
        };
    }

    /// The ACK for a refusal with that To (section 17.1.1.3).
    pub(super) fn ack(&self, to: String) -> rsip::Request {
        self.twin(rsip::Method::Ack, Some(to))
    }

    /// The CANCEL of this INVITE (section 9.1).
    pub(super) fn cancel(&self) -> rsip::Request {
        self.twin(rsip::Method::Cancel, None)
    }

    /// A request with the INVITE's branch.
    fn twin(&self, method: rsip::Method, to: Option<String>) -> rsip::Request {
        let mut headers = rsip::Headers::default();
        for header in self.request.headers.iter() {
            match header {
                Header::Via(_)
                | Header::MaxForwards(_)
                | Header::Route(_)
                | Header::From(_)
                | Header::CallId(_)
                // Credentials are the same as of the INVITE (section 22.1).
                | Header::Authorization(_)
                | Header::ProxyAuthorization(_) => headers.push(header.clone()),
                Header::To(value) => match &to {
                    Some(to) => headers.push(Header::To(to.clone().into())),
                    None => headers.push(Header::To(value.clone())),
                },
                Header::CSeq(value) => {
                    let text = value.to_string();
                    let text = text.strip_prefix("CSeq: ").unwrap_or(&text);
                    let number = text.split(' ').next().unwrap_or_default();
                    headers.push(Header::CSeq(format!("{number} {method}").into()));
                }
                _ => {}
            }
        }
        rsip::Request {
            method,
            uri: self.request.uri.clone(),
            version: rsip::Version::V2,
            headers,
            body: Vec::new(),
        }
    }

    /// A deadline came. After anything but `Resend` the transaction is to be removed.
    pub(super) fn timed_out(&mut self, now: Instant) -> InviteTimeout {
        match &mut self.state {
            State::Calling {
                resend: Some((at, interval)),
                until,
            } if now < *until => {
                *interval = interval.saturating_mul(2);
                *at = now + *interval;
                InviteTimeout::Resend(self.destination, self.printed.clone())
            }
            State::Calling { .. } => InviteTimeout::NoAnswer,
            State::Proceeding | State::Completed { .. } | State::Accepted { .. } => {
                InviteTimeout::Ended
            }
        }
    }
}

impl Timed for InviteTransaction {
    fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Calling { resend, until } => {
                Some(resend.map_or(*until, |(at, _)| at.min(*until)))
            }
            // How long a phone may ring is its caller's matter.
            State::Proceeding => None,
            State::Completed { until, .. } | State::Accepted { until } => Some(*until),
        }
    }
}
