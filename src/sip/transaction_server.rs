//! Server transactions (RFC 3261 section 17.2) with the Accepted state of RFC 6026.
//!
//! A transaction absorbs retransmissions of its request, repeats its answer, and waits for the ACK of
//! a refusal. A 2xx to INVITE is repeated by its session, as RFC 3261 section 13.3.1.4 has it. Which
//! transaction a request belongs to is found by [`TransactionKey`], by the rules of section 17.2.3 for
//! peers of RFC 3261 and of RFC 2543.

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

use super::table::{Timed, hash};
use super::timer::{Backoff, TIMER_H, TIMER_L, timer_i, timer_j};
use super::transmit::{Printed, SipDestination};

/// What tells the transaction of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TransactionKey(Box<[u8]>);

impl TransactionKey {
    /// The key of a request, as if its method were `method`: ACK and CANCEL look for their INVITE.
    pub(super) fn of(message: &SipMessage<'_>, method: &str) -> Self {
        let via = message.via();
        let text = match via.transaction_branch() {
            Some(branch) => {
                let host = via.host.to_string().to_ascii_lowercase();
                let port = via.port.unwrap_or(5060);
                format!("{branch}\n{host}\n{port}\n{method}")
            }
            None => {
                let uri = message.request_uri().map_or("", |uri| uri.text);
                let from = message.from().tag().unwrap_or_default();
                let (call_id, number) = (message.call_id(), message.cseq().number);
                let host = via.host.to_string().to_ascii_lowercase();
                let (port, branch) = (via.port.unwrap_or(5060), via.branch.unwrap_or_default());
                format!("{uri}\n{from}\n{call_id}\n{number}\n{host}\n{port}\n{branch}\n{method}")
            }
        };
        Self(text.into_bytes().into())
    }

    /// The key's place in a table.
    pub(super) fn hash(&self) -> u64 {
        hash(0, &[&self.0])
    }
}

/// What tells a merged request (RFC 3261 section 8.2.2.2): the same request over another way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MergeKey(Box<[u8]>);

impl MergeKey {
    pub(super) fn of(message: &SipMessage<'_>) -> Self {
        let from = message.from().tag().unwrap_or_default();
        let (call_id, number) = (message.call_id(), message.cseq().number);
        Self(format!("{from}\n{call_id}\n{number}").into_bytes().into())
    }
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No final answer yet.
    Proceeding,
    /// Answered; of an INVITE, refused and without ACK.
    Completed {
        resend: Option<Backoff>,
        until: Instant,
    },
    /// An INVITE that was refused, with its ACK.
    Confirmed { until: Instant },
    /// An INVITE that was answered with 2xx.
    Accepted { until: Instant },
}

/// The server side of one request.
#[derive(Debug)]
pub(super) struct ServerTransaction {
    key: TransactionKey,
    /// Of an INVITE alone.
    merge: Option<MergeKey>,
    /// The call whose INVITE it is; none when it was refused on sight.
    call: Option<CallId>,
    destination: SipDestination,
    state: State,
    /// The last answer sent.
    answer: Option<Printed>,
}

/// What an ACK was to its INVITE's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckIs {
    /// For a refusal, or nothing new.
    Absorbed,
    /// For a 2xx: the dialog's matter.
    ForDialog,
}

/// What came of a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerTimeout {
    /// The answer is to be sent again.
    Resend(SipDestination, Printed),
    /// The transaction is over.
    Ended,
    /// It is over, and the refusal was never acknowledged.
    NoAck,
}

impl ServerTransaction {
    /// The transaction of an INVITE, before any answer.
    pub(super) fn invite(
        key: TransactionKey,
        merge: MergeKey,
        destination: SipDestination,
    ) -> Self {
        Self {
            key,
            merge: Some(merge),
            call: None,
            destination,
            state: State::Proceeding,
            answer: None,
        }
    }

    /// The transaction of another request, before its answer.
    pub(super) fn other(key: TransactionKey, destination: SipDestination) -> Self {
        Self {
            key,
            merge: None,
            call: None,
            destination,
            state: State::Proceeding,
            answer: None,
        }
    }

    /// The transaction of another request, with the answer that was just sent.
    pub(super) fn answered(
        now: Instant,
        key: TransactionKey,
        destination: SipDestination,
        answer: Printed,
    ) -> Self {
        Self {
            key,
            merge: None,
            call: None,
            destination,
            state: State::Completed {
                resend: None,
                until: now + timer_j(destination.is_reliable()),
            },
            answer: Some(answer),
        }
    }

    pub(super) fn has_key(&self, key: &TransactionKey) -> bool {
        self.key == *key
    }

    /// Whether it is an INVITE of the same request over another way.
    pub(super) fn is_merge_of(&self, key: &MergeKey) -> bool {
        self.merge.as_ref() == Some(key)
    }

    /// Binds an INVITE to its call.
    pub(super) fn set_call(&mut self, call: CallId) {
        self.call = Some(call);
    }

    /// The call whose INVITE it is.
    pub(super) fn call(&self) -> Option<CallId> {
        self.call
    }

    /// Where its answers go.
    pub(super) fn destination(&self) -> SipDestination {
        self.destination
    }

    /// Answers go this way from now on: the request came again, perhaps on another connection.
    pub(super) fn set_destination(&mut self, destination: SipDestination) {
        self.destination = destination;
    }

    /// Whether no final answer was given.
    pub(super) fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    /// How much would be lost by dropping it for want of room, as an order: first those that only
    /// absorb late repetitions, and of equal ones the oldest. `None` for one without final answer.
    pub(super) fn worth(&self) -> Option<(u8, Instant)> {
        match self.state {
            State::Proceeding => None,
            State::Completed { until, .. } if self.merge.is_none() => Some((0, until)),
            State::Confirmed { until } => Some((0, until)),
            State::Accepted { until } => Some((1, until)),
            State::Completed { until, .. } => Some((2, until)),
        }
    }

    /// Whether it is an INVITE that was refused on sight and not acknowledged.
    pub(super) fn is_bare_refusal(&self) -> bool {
        let is_completed = matches!(self.state, State::Completed { .. });
        is_completed && self.merge.is_some() && self.call.is_none()
    }

    /// Notes an answer that is being sent.
    pub(super) fn answer(&mut self, now: Instant, code: u16, answer: Printed) {
        let reliable = self.destination.is_reliable();
        match code {
            ..200 => self.answer = Some(answer),
            _ if self.merge.is_none() => {
                self.answer = Some(answer);
                self.state = State::Completed {
                    resend: None,
                    until: now + timer_j(reliable),
                };
            }
            200..300 => {
                self.answer = None;
                self.state = State::Accepted {
                    until: now + TIMER_L,
                };
            }
            _ => {
                self.answer = Some(answer);
                self.state = State::Completed {
                    resend: (!reliable).then(|| Backoff::new(now)),
                    until: now + TIMER_H,
                };
            }
        }
    }

    /// The request came again: what to answer, if anything.
    pub(super) fn retransmitted(&self) -> Option<Printed> {
        match self.state {
            State::Proceeding | State::Completed { .. } => self.answer.clone(),
            State::Confirmed { .. } | State::Accepted { .. } => None,
        }
    }

    /// An ACK with the INVITE's branch came.
    pub(super) fn acknowledged(&mut self, now: Instant) -> AckIs {
        match self.state {
            State::Completed { .. } => {
                self.state = State::Confirmed {
                    until: now + timer_i(self.destination.is_reliable()),
                };
                AckIs::Absorbed
            }
            State::Accepted { .. } => AckIs::ForDialog,
            State::Proceeding | State::Confirmed { .. } => AckIs::Absorbed,
        }
    }

    /// A deadline came. After anything but `Resend` the transaction is to be removed.
    pub(super) fn timed_out(&mut self, now: Instant) -> ServerTimeout {
        match &mut self.state {
            State::Completed {
                resend: Some(backoff),
                until,
            } if now < *until => {
                backoff.sent(now);
                match &self.answer {
                    Some(answer) => ServerTimeout::Resend(self.destination, answer.clone()),
                    None => ServerTimeout::Ended,
                }
            }
            State::Completed { .. } if self.merge.is_some() => ServerTimeout::NoAck,
            _ => ServerTimeout::Ended,
        }
    }
}

impl Timed for ServerTransaction {
    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Proceeding => None,
            State::Completed { resend, until } => {
                Some(resend.map_or(until, |backoff| backoff.next().min(until)))
            }
            State::Confirmed { until } | State::Accepted { until } => Some(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const UDP: &str = "192.0.2.10:5060";

    fn udp() -> SipDestination {
        SipDestination::Udp(UDP.parse().unwrap())
    }

    fn tcp() -> SipDestination {
        let remote = UDP.parse().unwrap();
        SipDestination::Stream {
            secure: false,
            conn: None,
            remote,
        }
    }

    fn request(top_via: &str, method: &str) -> String {
        format!(
            "{method} sip:a@192.0.2.1 SIP/2.0\r\nVia: {top_via}\r\nFrom: <sip:b@c>;tag=f\r\n\
             To: <sip:a@192.0.2.1>\r\nCall-ID: x\r\nCSeq: 1 {method}\r\n\r\n"
        )
    }

    fn key(top_via: &str, method: &str, as_if: &str) -> TransactionKey {
        let request = request(top_via, method);
        TransactionKey::of(&SipMessage::parse(request.as_bytes()).unwrap(), as_if)
    }

    fn invite(destination: SipDestination) -> ServerTransaction {
        let request = request("SIP/2.0/UDP a;branch=z9hG4bK1", "INVITE");
        let message = SipMessage::parse(request.as_bytes()).unwrap();
        let key = TransactionKey::of(&message, "INVITE");
        ServerTransaction::invite(key, MergeKey::of(&message), destination)
    }

    fn answer(text: &str) -> Printed {
        Printed::from(text.as_bytes())
    }

    fn seconds(number: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(number)
    }

    #[test]
    fn branch_sent_by_and_method_make_the_key() {
        let via = "SIP/2.0/UDP Host.example:5060;branch=z9hG4bK1";
        let same = "SIP/2.0/UDP host.EXAMPLE ;received=192.0.2.3;branch=z9hG4bK1";
        assert_eq!(key(via, "INVITE", "INVITE"), key(same, "ACK", "INVITE"));
        assert_eq!(key(via, "INVITE", "INVITE"), key(via, "CANCEL", "INVITE"));
        assert_ne!(key(via, "INVITE", "INVITE"), key(via, "CANCEL", "CANCEL"));
        for other in [
            "SIP/2.0/UDP host.example:5060;branch=z9hG4bK2",
            "SIP/2.0/UDP host.example:5061;branch=z9hG4bK1",
            "SIP/2.0/UDP other.example:5060;branch=z9hG4bK1",
        ] {
            assert_ne!(key(via, "INVITE", "INVITE"), key(other, "INVITE", "INVITE"));
        }
    }

    #[test]
    fn without_a_branch_of_rfc_3261_the_request_itself_is_the_key() {
        for via in [
            "SIP/2.0/UDP a",
            "SIP/2.0/UDP a;branch=1",
            "SIP/2.0/UDP a;branch=z9hG4bK",
        ] {
            assert_eq!(key(via, "INVITE", "INVITE"), key(via, "ACK", "INVITE"));
            let moved = key(&via.replace("UDP a", "UDP b"), "INVITE", "INVITE");
            assert_ne!(key(via, "INVITE", "INVITE"), moved);
        }
    }

    #[test]
    fn a_refusal_is_repeated_over_udp_alone() {
        let start = seconds(1);
        let mut over_udp = invite(udp());
        over_udp.answer(start, 486, answer("486"));
        assert_eq!(
            over_udp.deadline(),
            Some(start + Duration::from_millis(500))
        );
        let due = start + Duration::from_millis(500);
        let resend = ServerTimeout::Resend(udp(), answer("486"));
        assert_eq!(over_udp.timed_out(due), resend);
        assert_eq!(over_udp.deadline(), Some(due + Duration::from_secs(1)));
        let mut over_tcp = invite(tcp());
        over_tcp.answer(start, 486, answer("486"));
        assert_eq!(over_tcp.deadline(), Some(start + TIMER_H));
        assert_eq!(over_tcp.timed_out(start + TIMER_H), ServerTimeout::NoAck);
    }

    #[test]
    fn an_ack_ends_a_refusal_and_passes_by_a_2xx() {
        let start = seconds(1);
        let mut refused = invite(udp());
        assert_eq!(refused.acknowledged(start), AckIs::Absorbed);
        assert!(refused.is_proceeding());
        refused.answer(start, 486, answer("486"));
        assert_eq!(refused.retransmitted(), Some(answer("486")));
        assert_eq!(refused.acknowledged(start), AckIs::Absorbed);
        assert_eq!(refused.retransmitted(), None);
        assert_eq!(refused.deadline(), Some(seconds(6)), "timer I");
        assert_eq!(refused.timed_out(seconds(6)), ServerTimeout::Ended);

        let mut accepted = invite(udp());
        accepted.answer(start, 180, answer("180"));
        assert_eq!(accepted.retransmitted(), Some(answer("180")));
        accepted.answer(start, 200, answer("200"));
        assert_eq!(accepted.retransmitted(), None, "the session repeats it");
        assert_eq!(accepted.acknowledged(start), AckIs::ForDialog);
        assert_eq!(accepted.deadline(), Some(start + TIMER_L));
        assert_eq!(accepted.timed_out(start + TIMER_L), ServerTimeout::Ended);
    }

    #[test]
    fn what_only_absorbs_is_worth_least_and_an_open_invite_is_never_dropped() {
        let start = seconds(1);
        let key = key("SIP/2.0/UDP a;branch=z9hG4bK9", "BYE", "BYE");
        let bye = ServerTransaction::answered(start, key, udp(), answer("200"));
        let mut accepted = invite(udp());
        accepted.answer(start, 200, answer("200"));
        let mut refused = invite(udp());
        refused.answer(start, 486, answer("486"));
        assert!(bye.worth() < accepted.worth() && accepted.worth() < refused.worth());
        assert_eq!(invite(udp()).worth(), None);
        assert!(refused.is_bare_refusal());
        assert!(!accepted.is_bare_refusal() && !bye.is_bare_refusal());
    }
}
