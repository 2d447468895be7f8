//! Non-INVITE client transactions (RFC 3261 section 17.1.2): every request of ours but INVITE.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::ids::CallId;
use crate::base::time::Instant;
use crate::wire::sip_message::SipMessage;

use super::registration::RegistrationId;
use super::table::{Timed, hash};
use super::timer::{Backoff, TIMER_F, timer_k};
use super::transmit::{Printed, SipDestination};

/// Whose request it is, and so who takes its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A call's.
    Call(CallId, Purpose),
    /// Nobody's: a CANCEL, and the BYE of a fork that was not wanted.
    Nobody(Purpose),
    /// A registration's.
    Registration(RegistrationId),
    /// The question whether the target at this place is there.
    Ping(u8),
}

impl Owner {
    pub(super) const fn method(self) -> rsip::Method {
        match self {
            Self::Call(_, purpose) | Self::Nobody(purpose) => purpose.method(),
            Self::Registration(_) => rsip::Method::Register,
            Self::Ping(_) => rsip::Method::Options,
        }
    }
}

/// Why a request of ours has no final response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// Nobody answered within 64 times T1.
    Timeout,
    /// It could not be sent: the connection could not be opened.
    Unreachable,
}

/// What a request of ours within a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The end of a call.
    Bye,
    /// A keyframe.
    Info,
    /// That a provisional response of the fork with that number came (RFC 3262).
    Prack(u8),
    /// That an INVITE is taken back.
    Cancel,
    /// Other media, by UPDATE.
    Update,
    /// That the session goes on, by UPDATE (RFC 4028).
    Refresh,
    /// Whether the peer still knows the call, by OPTIONS.
    Probe,
    /// That the peer calls somebody else.
    Refer,
    /// How a call goes that the peer asked for.
    Notify,
}

impl Purpose {
    pub(super) const fn method(self) -> rsip::Method {
        match self {
            Self::Bye => rsip::Method::Bye,
            Self::Info => rsip::Method::Info,
            Self::Prack(_) => rsip::Method::PRack,
            Self::Cancel => rsip::Method::Cancel,
            Self::Update | Self::Refresh => rsip::Method::Update,
            Self::Probe => rsip::Method::Options,
            Self::Refer => rsip::Method::Refer,
            Self::Notify => rsip::Method::Notify,
        }
    }
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Sent. Trying and Proceeding differ by the backoff alone.
    Trying {
        resend: Option<Backoff>,
        until: Instant,
    },
    /// Answered; repetitions of the answer are absorbed.
    Completed { until: Instant },
}

/// The client side of one request.
#[derive(Debug)]
pub(super) struct ClientTransaction {
    branch: Box<str>,
    owner: Owner,
    destination: SipDestination,
    request: Printed,
    state: State,
}

/// What came of a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientTimeout {
    /// The request is to be sent again.
    Resend(SipDestination, Printed),
    /// Nobody answered: as if a 408 had come. The transaction is over.
    NoAnswer,
    /// The transaction is over.
    Ended,
}

impl ClientTransaction {
    /// The transaction of a request that is being sent.
    pub(super) fn new(
        now: Instant,
        branch: &str,
        owner: Owner,
        destination: SipDestination,
        request: Printed,
    ) -> Self {
        Self {
            branch: branch.into(),
            owner,
            destination,
            request,
            state: State::Trying {
                resend: (!destination.is_reliable()).then(|| Backoff::new(now)),
                until: now + TIMER_F,
            },
        }
    }

    /// The place in a table of the transaction with that branch.
    pub(super) fn hash(branch: &str) -> u64 {
        hash(0, &[branch.as_bytes()])
    }

    /// Whether a response is one to this request (section 17.1.3).
    pub(super) fn is_answered_by(&self, response: &SipMessage<'_>) -> bool {
        response.via().branch == Some(&*self.branch)
            && response.cseq().method == self.owner.method()
    }

    /// Whose request it is.
    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// The request as sent.
    pub(super) fn request(&self) -> &Printed {
        &self.request
    }

    /// Whether it waits for its final response.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Trying { .. })
    }

    /// Where the request went.
    pub(super) fn destination(&self) -> SipDestination {
        self.destination
    }

    /// Its connection is gone: the request goes again, over another one.
    pub(super) fn move_to_new(&mut self) -> (SipDestination, Printed) {
        self.destination = self.destination.anew();
        (self.destination, self.request.clone())
    }

    /// A response came. Gives its code once, when it is the first final one.
    pub(super) fn answered(&mut self, now: Instant, code: u16) -> Option<u16> {
        let State::Trying { resend, .. } = &mut self.state else {
            return None;
        };
        if code < 200 {
            if let Some(backoff) = resend {
                backoff.slow_down(now);
            }
            return None;
        }
        self.state = State::Completed {
            until: now + timer_k(self.destination.is_reliable()),
        };
        Some(code)
    }

    /// A deadline came. After anything but `Resend` the transaction is to be removed.
    pub(super) fn timed_out(&mut self, now: Instant) -> ClientTimeout {
        match &mut self.state {
            State::Trying {
                resend: Some(backoff),
                until,
            } if now < *until => {
                backoff.sent(now);
                ClientTimeout::Resend(self.destination, self.request.clone())
            }
            State::Trying { .. } => ClientTimeout::NoAnswer,
            State::Completed { .. } => ClientTimeout::Ended,
        }
    }
}

impl Timed for ClientTransaction {
    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Trying { resend, until } => {
                Some(resend.map_or(until, |backoff| backoff.next().min(until)))
            }
            State::Completed { until } => Some(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn transaction(destination: SipDestination) -> ClientTransaction {
        let owner = Owner::Call(CallId::new(1, 2), Purpose::Bye);
        let request = Printed::from(&b"BYE"[..]);
        ClientTransaction::new(Instant::ZERO, "z9hG4bKours", owner, destination, request)
    }

    fn udp() -> SipDestination {
        SipDestination::Udp("192.0.2.10:5060".parse().unwrap())
    }

    fn response(branch: &str, method: &str) -> String {
        format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch={branch}\r\nFrom: <sip:b@c>\r\n\
             To: <sip:a@d>\r\nCall-ID: x\r\nCSeq: 1 {method}\r\n\r\n"
        )
    }

    #[test]
    fn a_response_is_known_by_branch_and_method() {
        let transaction = transaction(udp());
        let is_ours = |branch, method| {
            let response = response(branch, method);
            transaction.is_answered_by(&SipMessage::parse(response.as_bytes()).unwrap())
        };
        assert!(is_ours("z9hG4bKours", "BYE"));
        assert!(!is_ours("z9hG4bKours", "INFO"));
        assert!(!is_ours("z9hG4bKother", "BYE"));
    }

    #[test]
    fn the_first_final_response_counts_once() {
        let mut transaction = transaction(udp());
        let now = Instant::from_millis(100);
        assert_eq!(transaction.answered(now, 100), None);
        assert!(transaction.is_waiting());
        assert_eq!(transaction.answered(now, 481), Some(481));
        assert_eq!(transaction.answered(now, 200), None);
        let timer_k = now + timer_k(false);
        assert_eq!(transaction.deadline(), Some(timer_k));
        assert_eq!(transaction.timed_out(timer_k), ClientTimeout::Ended);
    }

    #[test]
    fn over_a_connection_only_timer_f_runs() {
        let remote = "192.0.2.10:5060".parse().unwrap();
        let mut transaction = transaction(SipDestination::Stream {
            secure: false,
            conn: None,
            remote,
        });
        let timer_f = Instant::ZERO + Duration::from_secs(32);
        assert_eq!(transaction.deadline(), Some(timer_f));
        assert_eq!(transaction.timed_out(timer_f), ClientTimeout::NoAnswer);
    }
}
