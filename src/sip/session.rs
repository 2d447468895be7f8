//! One call from its INVITE to the end of its BYE (RFC 3261 sections 13.2, 13.3, 14.2 and 15).
//!
//! A state machine without messages: it says what is to be done, the endpoint does it. A 2xx is
//! repeated here until its ACK comes, on every transport. A call that we end before the ACK of its
//! 200 waits for that ACK, or for 64 times T1, before it sends BYE.

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
use crate::wire::sip_reply::ReplyHead;

use super::abilities::Abilities;
use super::calling::{Calling, Placed};
use super::dialog::Dialog;
use super::exchange::{Exchange, Gate, Waiting};
use super::keys::Keys;
use super::prack::Reliable;
use super::refer::Notifier;
use super::refer_out::Referral;
use super::session_timer::{Agreed, SessionTimer, TimerDue};
use super::table::{Slot, Timed};
use super::timer::{Backoff, TRANSACTION};
use super::transmit::{Printed, SipDestination};

/// A request that waits for its final answer: an INVITE, or an UPDATE or PRACK with an offer.
#[derive(Clone, Debug)]
pub(super) struct PendingInvite {
    /// Its server transaction.
    pub(super) transaction: Slot,
    /// What its answers have in common.
    pub(super) head: ReplyHead,
    /// Its sequence number.
    pub(super) cseq: u32,
    /// Whether it came without an offer, so that our 200 carries one.
    pub(super) late_offer: bool,
    /// When it is given up: by Expires, or as no caller can still be waiting.
    pub(super) expires: Option<Instant>,
    /// What it is.
    pub(super) method: rsip::Method,
    /// The session timer that its 2xx is to tell.
    pub(super) timer: Option<Agreed>,
}

/// A 200 that waits for its ACK.
#[derive(Debug)]
pub(super) struct Unacked {
    cseq: u32,
    pub(super) late_offer: bool,
    answer: Printed,
    destination: SipDestination,
    resend: Backoff,
    until: Instant,
}

/// Where a call is.
#[derive(Debug)]
enum Phase {
    /// We call, and there is no final answer yet.
    Calling(Box<Calling>),
    /// We are called, and have given no final answer.
    Early(PendingInvite),
    /// Answered, not acknowledged.
    Accepted(Unacked),
    /// Up.
    Confirmed,
    /// Over for the owner: until the ACK comes that our BYE waits for, then until its answer comes.
    Ending(Option<Unacked>),
}

/// One call.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) dialog: Dialog,
    /// Whether it is we who called.
    pub(super) outgoing: bool,
    /// What is kept of a call of ours that was answered.
    pub(super) placed: Option<Box<Placed>>,
    /// Our INFO that is not answered.
    pub(super) info: Option<Slot>,
    /// Keys that are to be told by INFO, if there are any.
    pub(super) keys: Option<Box<Keys>>,
    /// Our UPDATE or OPTIONS that is not answered.
    pub(super) update: Option<Slot>,
    /// What the peer can.
    pub(super) peer: Abilities,
    pub(super) timer: Option<SessionTimer>,
    /// Reliable provisional answers, where there are any.
    pub(super) reliable: Option<Box<Reliable>>,
    /// Offer and answer that are under way, beside those of the first INVITE.
    pub(super) exchange: Exchange,
    /// An offer of ours that waits for its turn.
    pub(super) waiting: Option<Waiting>,
    /// A REFER of theirs, until its outcome is told.
    pub(super) notifier: Option<Box<Notifier>>,
    /// A REFER of ours, until its outcome is known.
    pub(super) referral: Option<Box<Referral>>,
    /// The call whose place this one takes.
    pub(super) replaces: Option<CallId>,
    phase: Phase,
}

/// A 2xx that was sent, and where to.
pub(super) type Sent = (Printed, SipDestination);

/// What an ACK for a 2xx was to its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acked {
    /// Nothing: a repetition, or for something that is past.
    Nothing,
    /// The call is up. Whether the ACK is to carry an answer.
    Confirmed { late_offer: bool },
    /// The re-INVITE is done.
    ReinviteConfirmed { late_offer: bool },
    /// Now the BYE can go.
    SendBye,
}

/// What has to be done for the owner's end of a call.
#[derive(Debug)]
pub(super) enum HangUp {
    /// Refuse the INVITE; the call is no more.
    Refuse(Box<PendingInvite>),
    /// Take our INVITE back.
    Cancel(Box<Calling>),
    /// Nothing before the ACK comes.
    AwaitAck,
    /// Send BYE.
    Bye,
    /// It has ended already.
    Already,
}

/// What came of a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SessionTimeout {
    /// Nothing after all.
    Nothing,
    /// The INVITE has expired.
    Expired,
    /// The 200 is to be sent again.
    Resend(SipDestination, Printed),
    /// Nobody has answered our call for as long as it may ring.
    Unanswered,
    /// The ACK never came; the call is to be ended. Whether the owner still thinks it is up.
    NoAck { was_up: bool },
    /// The PRACK never came.
    NoPrack,
    /// The session is to be refreshed.
    Refresh,
    /// The session was not refreshed.
    NotRefreshed,
    /// An offer of ours may go now.
    Offer(Waiting),
    /// A re-INVITE of ours was not answered for too long.
    NoAnswer,
    /// The subscription of their REFER is over.
    NotifierOver,
    /// Nothing was heard of our REFER for too long.
    ReferralOver,
}

impl Session {
    /// A call that rings.
    pub(super) fn new(dialog: Dialog, invite: PendingInvite) -> Self {
        Self::with(dialog, false, Phase::Early(invite))
    }

    /// A call of ours whose INVITE goes out.
    pub(super) fn outgoing(dialog: Dialog, calling: Calling) -> Self {
        Self::with(dialog, true, Phase::Calling(Box::new(calling)))
    }

    fn with(dialog: Dialog, outgoing: bool, phase: Phase) -> Self {
        Self {
            dialog,
            outgoing,
            placed: None,
            info: None,
            keys: None,
            update: None,
            peer: Abilities::UNKNOWN,
            timer: None,
            reliable: None,
            exchange: Exchange::Idle,
            waiting: None,
            notifier: None,
            referral: None,
            replaces: None,
            phase,
        }
    }

    /// A call of ours that has no final answer.
    pub(super) fn calling(&self) -> Option<&Calling> {
        match &self.phase {
            Phase::Calling(calling) => Some(calling),
            _ => None,
        }
    }

    /// The same, to be changed, and the dialog that its INVITEs are made of.
    pub(super) fn calling_mut(&mut self) -> Option<(&mut Dialog, &mut Calling)> {
        match &mut self.phase {
            Phase::Calling(calling) => Some((&mut self.dialog, calling)),
            _ => None,
        }
    }

    /// A call of ours was answered, and the answer acknowledged.
    pub(super) fn answered(&mut self, dialog: Dialog) {
        if let Phase::Calling(calling) = core::mem::replace(&mut self.phase, Phase::Confirmed) {
            self.dialog = dialog;
            self.placed = Some(Box::new(calling.placed()));
        }
    }

    /// Whether a request with a To tag belongs to its dialog, once there is one.
    pub(super) fn has(&self, request: &SipMessage<'_>) -> bool {
        self.calling().is_none() && self.dialog.has(request)
    }

    /// Whether the owner was told of its end.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending(_))
    }

    /// Their requests that were not answered.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = Slot> {
        let offers = [self.initial_invite(), self.reinvite()];
        let refer = self.notifier.as_ref().and_then(|it| it.unanswered());
        let offers = offers.into_iter().flatten().map(|it| it.transaction);
        offers.chain(refer)
    }

    /// Whether only the answer to our BYE is missing.
    pub(super) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Ending(None))
    }

    /// Whether it was answered and has not ended.
    pub(super) fn is_confirmed(&self) -> bool {
        matches!(self.phase, Phase::Confirmed)
    }

    /// Whether it was answered and has not ended; the peer may have been faster than its ACK.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.phase, Phase::Confirmed | Phase::Accepted(_))
    }

    /// Whether the INVITE has no final answer.
    pub(super) fn is_early(&self) -> bool {
        matches!(self.phase, Phase::Calling(_) | Phase::Early(_))
    }

    /// The INVITE of a call that was not answered.
    pub(super) fn initial_invite(&self) -> Option<&PendingInvite> {
        match &self.phase {
            Phase::Early(invite) => Some(invite),
            _ => None,
        }
    }

    /// The request with an offer, or the re-INVITE, that waits for an answer.
    pub(super) fn reinvite(&self) -> Option<&PendingInvite> {
        self.exchange.theirs()
    }

    fn unacked(invite: &PendingInvite, now: Instant, (answer, destination): Sent) -> Unacked {
        Unacked {
            cseq: invite.cseq,
            late_offer: invite.late_offer,
            answer,
            destination,
            resend: Backoff::new(now),
            until: now + TRANSACTION,
        }
    }

    /// Notes that the INVITE that began the call was answered with a 200.
    pub(super) fn accepted(&mut self, now: Instant, sent: Sent) {
        if let Phase::Early(invite) = &self.phase {
            self.phase = Phase::Accepted(Self::unacked(invite, now, sent));
            if let Some(reliable) = &mut self.reliable {
                reliable.stop();
            }
        }
    }

    /// Notes that their request with an offer, or their re-INVITE, was answered with a 200.
    pub(super) fn exchanged(&mut self, now: Instant, sent: Sent) {
        self.exchange = match core::mem::take(&mut self.exchange) {
            Exchange::Theirs(pending) if pending.method == rsip::Method::Invite => {
                Exchange::Answered(Box::new(Self::unacked(&pending, now, sent)))
            }
            Exchange::Theirs(_) => Exchange::Idle,
            other => other,
        };
    }

    /// What may be done with a re-INVITE that just came.
    pub(super) fn reinvite_gate(&self) -> Gate {
        match &self.phase {
            Phase::Confirmed => self.exchange.gate(),
            Phase::Early(_) => Gate::Overlapping,
            Phase::Calling(_) | Phase::Accepted(_) => Gate::Pending,
            Phase::Ending(_) => Gate::Over,
        }
    }

    /// What may be done with an offer in an UPDATE or PRACK that just came (RFC 3311 section 5.2).
    pub(super) fn offer_gate(&self) -> Gate {
        let first = match &self.phase {
            Phase::Confirmed => Gate::Open,
            Phase::Early(_) => match &self.reliable {
                Some(reliable) => reliable.offer_gate(),
                None => Gate::Overlapping,
            },
            Phase::Accepted(unacked) if unacked.late_offer => Gate::Pending,
            Phase::Accepted(_) => Gate::Open,
            Phase::Calling(_) => Gate::Pending,
            Phase::Ending(_) => Gate::Over,
        };
        match first {
            Gate::Open => self.exchange.gate(),
            other => other,
        }
    }

    /// Whether an offer of ours may go.
    pub(super) fn may_offer(&self) -> bool {
        self.is_confirmed() && matches!(self.exchange, Exchange::Idle)
    }

    /// Takes a request of theirs that the gate was open for.
    pub(super) fn reinvited(&mut self, pending: PendingInvite) {
        if matches!(self.exchange, Exchange::Idle) {
            self.exchange = Exchange::Theirs(Box::new(pending));
        }
    }

    /// Forgets the request that waits: it was refused or taken back.
    pub(super) fn take_reinvite(&mut self) -> Option<PendingInvite> {
        self.exchange.take_theirs()
    }

    /// The same, where it is the one of that transaction.
    pub(super) fn take_reinvite_of(&mut self, transaction: Slot) -> Option<PendingInvite> {
        let theirs = self.exchange.theirs()?;
        (theirs.transaction == transaction).then(|| self.exchange.take_theirs())?
    }

    /// An ACK came that is not for a refusal.
    pub(super) fn acknowledged(&mut self, cseq: u32) -> Acked {
        match &mut self.phase {
            Phase::Accepted(unacked) if unacked.cseq == cseq => {
                let late_offer = unacked.late_offer;
                self.phase = Phase::Confirmed;
                self.reliable = None;
                Acked::Confirmed { late_offer }
            }
            Phase::Confirmed => match &self.exchange {
                Exchange::Answered(unacked) if unacked.cseq == cseq => {
                    let late_offer = unacked.late_offer;
                    self.exchange = Exchange::Idle;
                    Acked::ReinviteConfirmed { late_offer }
                }
                _ => Acked::Nothing,
            },
            Phase::Ending(awaited) if awaited.as_ref().is_some_and(|u| u.cseq == cseq) => {
                *awaited = None;
                Acked::SendBye
            }
            _ => Acked::Nothing,
        }
    }

    /// The owner ends the call.
    pub(super) fn hang_up(&mut self) -> HangUp {
        self.at_rest();
        match core::mem::replace(&mut self.phase, Phase::Ending(None)) {
            Phase::Calling(calling) => HangUp::Cancel(calling),
            Phase::Early(invite) => HangUp::Refuse(Box::new(invite)),
            Phase::Accepted(unacked) => {
                self.phase = Phase::Ending(Some(unacked));
                HangUp::AwaitAck
            }
            Phase::Confirmed => HangUp::Bye,
            ending @ Phase::Ending(_) => {
                self.phase = ending;
                HangUp::Already
            }
        }
    }

    /// The peer ends the call: gives its INVITE, where that waits for its refusal.
    pub(super) fn peer_hung_up(&mut self) -> Option<PendingInvite> {
        self.at_rest();
        match core::mem::replace(&mut self.phase, Phase::Ending(None)) {
            Phase::Early(invite) => Some(invite),
            _ => None,
        }
    }

    /// The ACK is waited for no longer.
    pub(super) fn unacknowledged(&mut self) {
        self.at_rest();
        self.phase = Phase::Ending(None);
    }

    /// Nothing of what goes on in a call goes on after its end.
    fn at_rest(&mut self) {
        self.timer = None;
        self.reliable = None;
        self.waiting = None;
        self.exchange = Exchange::Idle;
    }

    /// The process ends: a BYE does not wait for the ACK beyond this.
    pub(super) fn hurry(&mut self, until: Instant) {
        if let Phase::Ending(Some(unacked)) = &mut self.phase {
            unacked.until = unacked.until.min(until);
        }
    }

    /// A deadline came.
    pub(super) fn timed_out(&mut self, now: Instant) -> SessionTimeout {
        if let Some(timeout) = self.answer_timed_out(now) {
            return timeout;
        }
        if let Some(reliable) = self.reliable.as_mut().filter(|r| r.is_due(now)) {
            return match reliable.timed_out(now) {
                Some((destination, answer)) => SessionTimeout::Resend(destination, answer),
                None => SessionTimeout::NoPrack,
            };
        }
        if matches!(&self.exchange, Exchange::Ours { until, .. } if *until <= now) {
            return SessionTimeout::NoAnswer;
        }
        if self.notifier.as_ref().is_some_and(|it| it.until <= now) {
            return SessionTimeout::NotifierOver;
        }
        if self.referral.as_ref().is_some_and(|it| it.until <= now) {
            return SessionTimeout::ReferralOver;
        }
        match self.timer.as_mut().and_then(|timer| timer.timed_out(now)) {
            Some(TimerDue::Refresh) => return SessionTimeout::Refresh,
            Some(TimerDue::Expired) => return SessionTimeout::NotRefreshed,
            None => {}
        }
        let may_offer = self.may_offer();
        let due = self.waiting.take_if(|w| may_offer && w.at <= now);
        due.map_or(SessionTimeout::Nothing, SessionTimeout::Offer)
    }

    /// The first INVITE, or a 2xx that waits for its ACK.
    fn answer_timed_out(&mut self, now: Instant) -> Option<SessionTimeout> {
        let unacked: &mut Unacked = match (&mut self.phase, &mut self.exchange) {
            (Phase::Early(invite), _) => {
                let is_over = invite.expires.is_some_and(|at| at <= now);
                return is_over.then_some(SessionTimeout::Expired);
            }
            (Phase::Calling(calling), _) => {
                return (calling.give_up <= now).then_some(SessionTimeout::Unanswered);
            }
            (Phase::Accepted(unacked) | Phase::Ending(Some(unacked)), _) => unacked,
            (Phase::Confirmed, Exchange::Answered(unacked)) => unacked,
            _ => return None,
        };
        if now < unacked.until {
            if now < unacked.resend.next() {
                return None;
            }
            unacked.resend.sent(now);
            return Some(SessionTimeout::Resend(
                unacked.destination,
                unacked.answer.clone(),
            ));
        }
        let was_up = !self.is_ending();
        Some(SessionTimeout::NoAck { was_up })
    }

    fn answer_deadline(&self) -> Option<Instant> {
        match (&self.phase, &self.exchange) {
            (Phase::Early(invite), _) => invite.expires,
            (Phase::Calling(calling), _) => Some(calling.give_up),
            (Phase::Accepted(unacked) | Phase::Ending(Some(unacked)), _) => {
                Some(unacked.resend.next().min(unacked.until))
            }
            (Phase::Confirmed, Exchange::Answered(unacked)) => {
                Some(unacked.resend.next().min(unacked.until))
            }
            _ => None,
        }
    }
}

impl Timed for Session {
    fn deadline(&self) -> Option<Instant> {
        let ours = match &self.exchange {
            Exchange::Ours { until, .. } => Some(*until),
            _ => None,
        };
        let waiting = self.waiting.filter(|_| self.may_offer());
        [
            self.answer_deadline(),
            self.reliable.as_ref().and_then(|r| r.deadline()),
            self.timer.as_ref().map(SessionTimer::deadline),
            ours,
            waiting.map(|waiting| waiting.at),
            self.notifier.as_ref().map(|notifier| notifier.until),
            self.referral.as_ref().map(|referral| referral.until),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
