//! INVITE client transactions (RFC 3261 section 17.1.1) with the Accepted state of RFC 6026.
//!
//! A transaction repeats its INVITE until something answers and the ACK of a refusal whenever that
//! comes again. A forked INVITE may have several 2xx: each is let through once, its ACK noted by the
//! tag in To, and repeated with it. A CANCEL is made from the INVITE (section 9.1): it waits for a
//! provisional response, and a final one is waited for no longer than 64 times T1 after it.

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
use rsip::prelude::UntypedHeader;

use crate::base::ids::CallId;
use crate::base::time::Instant;
use crate::limits::SIP_FORKS;
use crate::wire::sip_message::SipMessage;

use super::exchange::REINVITE_PATIENCE;
use super::table::{Timed, hash};
use super::timer::{T1, TIMER_B, TIMER_M, TRANSACTION, timer_d};
use super::transmit::{Printed, SipDestination};

/// How long a stream that an INVITE takes for its size may be silent until the other way is tried: a
/// server answers within 200 ms (RFC 3261 section 17.2.1), and a firewall may drop what asks for a stream
/// without a word.
const STREAM_PATIENCE: Duration = T1.saturating_mul(8);

/// Whose INVITE it is, and so who takes its responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InviteOwner {
    /// The INVITE that begins a call of ours.
    Initial(CallId),
    /// A re-INVITE of ours within a call.
    Reinvite(CallId),
}

/// Where a transaction is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has answered.
    Calling {
        /// Timer A, over UDP alone: when to send again, and the interval that led there.
        resend: Option<(Instant, Duration)>,
        until: Instant,
    },
    /// A provisional response came; how long the final one is waited for.
    Proceeding { until: Option<Instant> },
    /// Refused: the ACK goes again with every repetition of the refusal.
    Completed { ack: Printed, until: Instant },
    /// Answered with 2xx: more may come.
    Accepted { acks: Box<Acks>, until: Instant },
}

/// The ACKs of 2xx by the tag in To.
type Acks = heapless::Vec<(Box<str>, SipDestination, Printed), SIP_FORKS>;

/// The client side of one INVITE.
#[derive(Debug)]
pub(super) struct InviteTransaction {
    branch: Box<str>,
    owner: InviteOwner,
    destination: SipDestination,
    /// Where it goes when the stream does not open that it takes for its size (section 18.1.1).
    fallback: Option<SipDestination>,
    /// Whether it was sent again over another connection.
    moved: bool,
    /// Whether its owner has taken it back.
    cancelled: bool,
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
    /// A 2xx that was not acknowledged yet, the first or that of another fork.
    Success,
    /// The refusal: an ACK is to be sent by [`InviteTransaction::acknowledge_refusal`].
    Refused,
    /// The final response again: its ACK is to be sent again.
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
        owner: InviteOwner,
        destination: SipDestination,
        request: rsip::Request,
        printed: Printed,
    ) -> Self {
        Self {
            branch: branch.into(),
            owner,
            destination,
            fallback: None,
            moved: false,
            cancelled: false,
            request: Box::new(request),
            printed,
            state: State::sent(now, destination),
        }
    }

    /// With another way where the first one is a stream that does not open, or stays silent.
    pub(super) fn with_fallback(mut self, now: Instant, fallback: Option<SipDestination>) -> Self {
        self.fallback = fallback;
        if let (Some(_), State::Calling { until, .. }) = (fallback, &mut self.state) {
            *until = now + STREAM_PATIENCE;
        }
        self
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

    /// Its branch, which CANCEL has as well.
    pub(super) fn branch(&self) -> &str {
        &self.branch
    }

    /// Whose INVITE it is.
    pub(super) fn owner(&self) -> InviteOwner {
        self.owner
    }

    /// Where the INVITE went.
    pub(super) fn destination(&self) -> SipDestination {
        self.destination
    }

    /// Its request, Via and all.
    pub(super) fn request(&self) -> &rsip::Request {
        &self.request
    }

    /// Whether a final response may still come for the first time.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding { .. })
    }

    /// Whether nothing has answered.
    pub(super) fn is_calling(&self) -> bool {
        matches!(self.state, State::Calling { .. })
    }

    /// Whether it only absorbs repetitions of the final response, and until when: refused, or answered
    /// and acknowledged.
    pub(super) fn absorbs_until(&self) -> Option<Instant> {
        match &self.state {
            State::Completed { until, .. } => Some(*until),
            State::Accepted { acks, until } => (!acks.is_empty()).then_some(*until),
            State::Calling { .. } | State::Proceeding { .. } => None,
        }
    }

    /// Whether it was refused.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.state, State::Completed { .. })
    }

    /// Whether its owner has taken it back and the final response is missing.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled && self.is_waiting()
    }

    /// Its owner takes it back. Gives whether the CANCEL is to go now: not before a provisional
    /// response came, and not after a final one (section 9.1).
    pub(super) fn take_back(&mut self, now: Instant) -> bool {
        let may_go = !self.cancelled && self.may_cancel(now);
        self.cancelled = true;
        may_go
    }

    /// Until when a final response is waited for after a provisional one. How long a phone may ring is
    /// its caller's matter; within a call nobody may be left to end the wait.
    fn patience(&self, now: Instant) -> Option<Instant> {
        match self.owner {
            InviteOwner::Initial(_) => None,
            InviteOwner::Reinvite(_) => Some(now + REINVITE_PATIENCE),
        }
    }

    fn may_cancel(&mut self, now: Instant) -> bool {
        let State::Proceeding { until } = &mut self.state else {
            return false;
        };
        *until = Some(now + TRANSACTION);
        true
    }

    /// Its connection is gone: the INVITE goes again, once, over another one.
    pub(super) fn move_to_new(&mut self) -> Option<(SipDestination, Printed)> {
        if self.moved || !self.is_calling() {
            return None;
        }
        self.moved = true;
        self.destination = self.destination.anew();
        Some((self.destination, self.printed.clone()))
    }

    /// The way that is left when the first one failed before anything answered, with the request that
    /// needs another Via for it.
    pub(super) fn take_fallback(&mut self) -> Option<(SipDestination, rsip::Request)> {
        if !self.is_calling() || self.cancelled {
            return None;
        }
        let way = self.fallback.take()?;
        Some((way, (*self.request).clone()))
    }

    /// Notes that it was sent another way, under the same branch.
    pub(super) fn resent(
        &mut self,
        now: Instant,
        destination: SipDestination,
        request: rsip::Request,
        printed: Printed,
    ) {
        self.destination = destination;
        *self.request = request;
        self.printed = printed;
        self.state = State::sent(now, destination);
    }

    /// A response came with that tag in To. Gives also whether the CANCEL that waited is to go now.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        code: u16,
        to_tag: &str,
    ) -> (InviteResponse, bool) {
        let response = match (&self.state, code) {
            (State::Calling { .. }, ..200) => {
                self.state = State::Proceeding {
                    until: self.patience(now),
                };
                let cancels = self.cancelled && self.may_cancel(now);
                return (InviteResponse::Provisional, cancels);
            }
            (State::Proceeding { .. }, ..200) => InviteResponse::Provisional,
            (State::Calling { .. } | State::Proceeding { .. }, 200..300) => {
                self.state = State::Accepted {
                    acks: Box::default(),
                    until: now + TIMER_M,
                };
                InviteResponse::Success
            }
            (State::Accepted { acks, .. }, 200..300) => {
                match acks.iter().find(|(tag, ..)| **tag == *to_tag) {
                    Some((_, way, ack)) => InviteResponse::Again(*way, ack.clone()),
                    None if acks.is_full() => InviteResponse::Nothing,
                    None => InviteResponse::Success,
                }
            }
            (State::Calling { .. } | State::Proceeding { .. }, _) => InviteResponse::Refused,
            (State::Completed { ack, .. }, 300..) => {
                InviteResponse::Again(self.destination, ack.clone())
            }
            (State::Completed { .. } | State::Accepted { .. }, _) => InviteResponse::Nothing,
        };
        (response, false)
    }

    /// Notes the ACK of a 2xx with that tag in To that is being sent.
    pub(super) fn acknowledge(&mut self, to_tag: &str, way: SipDestination, ack: Printed) {
        if let State::Accepted { acks, .. } = &mut self.state {
            // A 2xx for which there is no place is none at all.
            let _ = acks.push((to_tag.into(), way, ack));
        }
    }

    /// Notes the ACK of the refusal that is being sent.
    pub(super) fn acknowledge_refusal(&mut self, now: Instant, ack: Printed) {
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

    /// The credentials of the INVITE, which the ACK of its 2xx carries too (section 13.2.2.4).
    pub(super) fn credentials(&self) -> impl Iterator<Item = Header> + '_ {
        let carries = |header: &&Header| {
            matches!(
                header,
                Header::Authorization(_) | Header::ProxyAuthorization(_)
            )
        };
        self.request.headers.iter().filter(carries).cloned()
    }

    /// Its sequence number.
    pub(super) fn cseq(&self) -> u32 {
        let number = self.request.headers.iter().find_map(|header| match header {
            Header::CSeq(value) => value.value().split(' ').next()?.parse().ok(),
            _ => None,
        });
        number.unwrap_or_default()
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
                    let number = value.value().split(' ').next().unwrap_or_default();
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
            State::Proceeding { .. } | State::Completed { .. } | State::Accepted { .. } => {
                InviteTimeout::Ended
            }
        }
    }
}

impl State {
    /// Timers A and B of an INVITE that is sent now.
    fn sent(now: Instant, destination: SipDestination) -> Self {
        Self::Calling {
            resend: (!destination.is_reliable()).then(|| (now + T1, T1)),
            until: now + TIMER_B,
        }
    }
}

impl Timed for InviteTransaction {
    fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Calling { resend, until } => {
                Some(resend.map_or(*until, |(at, _)| at.min(*until)))
            }
            State::Proceeding { until } => *until,
            State::Completed { until, .. } | State::Accepted { until, .. } => Some(*until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Instant = Instant::from_millis;

    fn request() -> rsip::Request {
        let headers = vec![
            Header::Via("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx".into()),
            Header::MaxForwards("70".into()),
            Header::Route("<sip:p;lr>".into()),
            Header::From("<sip:a@b>;tag=1".into()),
            Header::To("<sip:c@d>".into()),
            Header::CallId("id".into()),
            Header::CSeq("7 INVITE".into()),
            Header::Contact("<sip:a@192.0.2.1>".into()),
            Header::ProxyAuthorization("Digest x".into()),
        ];
        rsip::Request {
            method: rsip::Method::Invite,
            uri: rsip::Uri::default(),
            version: rsip::Version::V2,
            headers: headers.into(),
            body: b"v=0".to_vec(),
        }
    }

    fn sent(destination: SipDestination) -> InviteTransaction {
        let owner = InviteOwner::Initial(CallId::new(0, 0));
        let printed = Printed::from(&b"INVITE"[..]);
        InviteTransaction::new(MS(0), "z9hG4bKx", owner, destination, request(), printed)
    }

    fn udp() -> InviteTransaction {
        sent(SipDestination::Udp("192.0.2.2:5060".parse().unwrap()))
    }

    fn tcp() -> InviteTransaction {
        sent(SipDestination::Stream {
            secure: false,
            conn: None,
            remote: "192.0.2.2:5060".parse().unwrap(),
        })
    }

    fn ack() -> Printed {
        Printed::from(&b"ACK"[..])
    }

    #[test]
    fn over_udp_the_interval_doubles_without_a_cap_until_timer_b() {
        let mut t = udp();
        let mut times = Vec::new();
        loop {
            let at = t.deadline().unwrap();
            match t.timed_out(at) {
                InviteTimeout::Resend(..) => times.push(at.as_micros() / 1_000),
                end => {
                    assert_eq!((end, at), (InviteTimeout::NoAnswer, MS(32_000)));
                    break;
                }
            }
        }
        assert_eq!(times, [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    }

    #[test]
    fn over_a_stream_there_is_timer_b_alone_and_no_wait_after_the_refusal() {
        let mut t = tcp();
        assert_eq!(t.deadline(), Some(MS(32_000)));
        assert_eq!(t.answered(MS(10), 486, "b").0, InviteResponse::Refused);
        t.acknowledge_refusal(MS(10), ack());
        assert_eq!(t.deadline(), Some(MS(10)));
        assert_eq!(t.timed_out(MS(10)), InviteTimeout::Ended);
    }

    #[test]
    fn once_it_is_proceeding_nothing_is_repeated_and_nothing_is_due() {
        let mut t = udp();
        assert_eq!(t.answered(MS(10), 100, "").0, InviteResponse::Provisional);
        assert_eq!(t.deadline(), None);
        assert!(t.is_waiting() && !t.is_calling());
        assert_eq!(t.answered(MS(20), 180, "b").0, InviteResponse::Provisional);
    }

    #[test]
    fn a_refusal_is_let_through_once_and_acknowledged_for_timer_d() {
        let mut t = udp();
        assert_eq!(t.answered(MS(10), 503, "b").0, InviteResponse::Refused);
        t.acknowledge_refusal(MS(10), ack());
        let again = InviteResponse::Again(t.destination(), ack());
        assert_eq!(t.answered(MS(900), 503, "b").0, again);
        assert_eq!(t.answered(MS(900), 180, "b").0, InviteResponse::Nothing);
        assert_eq!(t.answered(MS(900), 200, "b").0, InviteResponse::Nothing);
        assert_eq!(t.deadline(), Some(MS(32_010)));
        assert_eq!(t.timed_out(MS(32_010)), InviteTimeout::Ended);
    }

    #[test]
    fn every_fork_is_let_through_once_and_its_ack_repeated_for_timer_m() {
        let mut t = udp();
        let way = t.destination();
        assert_eq!(t.answered(MS(10), 200, "b").0, InviteResponse::Success);
        t.acknowledge("b", way, ack());
        assert_eq!(t.answered(MS(20), 202, "c").0, InviteResponse::Success);
        let other = Printed::from(&b"ACK c"[..]);
        t.acknowledge("c", way, other.clone());
        assert_eq!(
            t.answered(MS(30), 200, "b").0,
            InviteResponse::Again(way, ack())
        );
        assert_eq!(
            t.answered(MS(30), 200, "c").0,
            InviteResponse::Again(way, other)
        );
        assert_eq!(t.answered(MS(30), 486, "d").0, InviteResponse::Nothing);
        for number in 0..SIP_FORKS {
            t.acknowledge(&number.to_string(), way, ack());
        }
        assert_eq!(t.answered(MS(40), 200, "z").0, InviteResponse::Nothing);
        assert_eq!(t.deadline(), Some(MS(32_010)));
    }

    #[test]
    fn a_cancel_goes_once_after_a_provisional_response_and_sets_an_end() {
        let mut t = udp();
        assert!(!t.take_back(MS(5)));
        assert!(t.is_cancelled());
        assert!(t.answered(MS(10), 100, "").1);
        assert!(!t.answered(MS(11), 180, "b").1);
        assert!(!t.take_back(MS(12)));
        assert_eq!(t.deadline(), Some(MS(32_010)));
        assert_eq!(t.timed_out(MS(32_010)), InviteTimeout::Ended);
        let mut t = udp();
        t.answered(MS(10), 180, "b");
        assert!(t.take_back(MS(20)));
        assert_eq!(t.deadline(), Some(MS(32_020)));
        let mut t = udp();
        t.answered(MS(10), 200, "b");
        assert!(!t.take_back(MS(20)) && !t.is_cancelled());
    }

    #[test]
    fn ack_and_cancel_have_of_the_invite_what_belongs_to_them() {
        let t = udp();
        let lines = |request: rsip::Request| {
            let lines = request.headers.iter().map(ToString::to_string);
            lines.collect::<Vec<_>>()
        };
        let ack = lines(t.ack("<sip:c@d>;tag=9".into()));
        let expected = [
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx",
            "Max-Forwards: 70",
            "Route: <sip:p;lr>",
            "From: <sip:a@b>;tag=1",
            "To: <sip:c@d>;tag=9",
            "Call-ID: id",
            "CSeq: 7 ACK",
            "Proxy-Authorization: Digest x",
        ];
        assert_eq!(ack, expected);
        let cancel = lines(t.cancel());
        assert_eq!(cancel.get(4).map(String::as_str), Some("To: <sip:c@d>"));
        assert_eq!(cancel.get(6).map(String::as_str), Some("CSeq: 7 CANCEL"));
        assert_eq!((t.cseq(), t.credentials().count()), (7, 1));
    }

    #[test]
    fn a_broken_connection_is_replaced_once_and_only_while_nothing_answered() {
        let mut t = tcp();
        assert!(t.move_to_new().is_some());
        assert!(t.move_to_new().is_none());
        let mut t = tcp();
        t.answered(MS(1), 100, "");
        assert!(t.move_to_new().is_none());
    }

    #[test]
    fn the_other_way_is_taken_once_and_begins_anew() {
        let way = SipDestination::Udp("192.0.2.2:5060".parse().unwrap());
        let mut t = tcp().with_fallback(MS(0), Some(way));
        assert_eq!(t.deadline(), Some(MS(4_000)));
        assert_eq!(t.timed_out(MS(4_000)), InviteTimeout::NoAnswer);
        let (other, request) = t.take_fallback().unwrap();
        assert_eq!(other, way);
        t.resent(MS(9_000), other, request, ack());
        assert_eq!(t.deadline(), Some(MS(9_500)));
        assert_eq!(t.timed_out(MS(9_500)), InviteTimeout::Resend(way, ack()));
        assert!(t.take_fallback().is_none());
        let mut t = tcp().with_fallback(MS(0), Some(way));
        t.take_back(MS(1));
        assert!(t.take_fallback().is_none());
    }
}
