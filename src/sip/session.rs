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

use crate::base::time::Instant;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_reply::ReplyHead;

use super::calling::{Calling, Placed};
use super::dialog::Dialog;
use super::table::{Slot, Timed};
use super::timer::{Backoff, TRANSACTION};
use super::transmit::{Printed, SipDestination};

/// An INVITE that waits for its final answer.
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
    /// When the caller gives up by itself (Expires).
    pub(super) expires: Option<Instant>,
}

/// A 200 that waits for its ACK.
#[derive(Debug)]
pub(super) struct Unacked {
    cseq: u32,
    late_offer: bool,
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
    Confirmed(Reinvite),
    /// Over for the owner: until the ACK comes that our BYE waits for, then until its answer comes.
    Ending(Option<Unacked>),
}

/// The re-INVITE of a call that is up.
#[derive(Debug)]
enum Reinvite {
    /// None going on.
    Idle,
    /// Not answered.
    Pending(PendingInvite),
    /// Accepted, not acknowledged.
    Answered(Unacked),
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
    phase: Phase,
}

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
    Refuse(PendingInvite),
    /// Take our INVITE back.
    Cancel(Box<Calling>),
    /// Nothing before the ACK comes.
    AwaitAck,
    /// Send BYE, after refusing a re-INVITE that waits.
    Bye(Option<PendingInvite>),
    /// It has ended already.
    Already,
}

/// What may be done with a re-INVITE that just came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReinviteGate {
    /// Take it.
    Open,
    /// 500 with Retry-After: the INVITE before it has no final answer (section 14.2).
    Overlapping,
    /// 491: the 200 to the INVITE before it is not acknowledged.
    Pending,
    /// 481: the call is over.
    Over,
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
}

impl Session {
    /// A call that rings.
    pub(super) fn new(dialog: Dialog, invite: PendingInvite) -> Self {
        Self {
            dialog,
            outgoing: false,
            placed: None,
            info: None,
            phase: Phase::Early(invite),
        }
    }

    /// A call of ours whose INVITE goes out.
    pub(super) fn outgoing(dialog: Dialog, calling: Calling) -> Self {
        Self {
            dialog,
            outgoing: true,
            placed: None,
            info: None,
            phase: Phase::Calling(Box::new(calling)),
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
        if let Phase::Calling(calling) =
            core::mem::replace(&mut self.phase, Phase::Confirmed(Reinvite::Idle))
        {
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

    /// Whether only the answer to our BYE is missing.
    pub(super) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Ending(None))
    }

    /// Whether it was answered and has not ended.
    pub(super) fn is_confirmed(&self) -> bool {
        matches!(self.phase, Phase::Confirmed(_))
    }

    /// The INVITE of a call that was not answered.
    pub(super) fn initial_invite(&self) -> Option<&PendingInvite> {
        match &self.phase {
            Phase::Early(invite) => Some(invite),
            _ => None,
        }
    }

    /// The re-INVITE that waits for an answer.
    pub(super) fn reinvite(&self) -> Option<&PendingInvite> {
        match &self.phase {
            Phase::Confirmed(Reinvite::Pending(invite)) => Some(invite),
            _ => None,
        }
    }

    /// Notes that the waiting INVITE was answered with a 200.
    pub(super) fn accepted(&mut self, now: Instant, answer: Printed, destination: SipDestination) {
        let (Phase::Early(invite) | Phase::Confirmed(Reinvite::Pending(invite))) = &self.phase
        else {
            return;
        };
        let unacked = Unacked {
            cseq: invite.cseq,
            late_offer: invite.late_offer,
            answer,
            destination,
            resend: Backoff::new(now),
            until: now + TRANSACTION,
        };
        self.phase = match self.phase {
            Phase::Early(_) => Phase::Accepted(unacked),
            _ => Phase::Confirmed(Reinvite::Answered(unacked)),
        };
    }

    /// What may be done with a re-INVITE that just came.
    pub(super) fn reinvite_gate(&self) -> ReinviteGate {
        match &self.phase {
            Phase::Confirmed(Reinvite::Idle) => ReinviteGate::Open,
            Phase::Calling(_) => ReinviteGate::Pending,
            Phase::Early(_) | Phase::Confirmed(Reinvite::Pending(_)) => ReinviteGate::Overlapping,
            Phase::Accepted(_) | Phase::Confirmed(Reinvite::Answered(_)) => ReinviteGate::Pending,
            Phase::Ending(_) => ReinviteGate::Over,
        }
    }

    /// Takes a re-INVITE that the gate was open for.
    pub(super) fn reinvited(&mut self, invite: PendingInvite) {
        if let Phase::Confirmed(reinvite @ Reinvite::Idle) = &mut self.phase {
            *reinvite = Reinvite::Pending(invite);
        }
    }

    /// Forgets the re-INVITE that waits: it was refused or taken back.
    pub(super) fn take_reinvite(&mut self) -> Option<PendingInvite> {
        let Phase::Confirmed(reinvite) = &mut self.phase else {
            return None;
        };
        match core::mem::replace(reinvite, Reinvite::Idle) {
            Reinvite::Pending(invite) => Some(invite),
            other => {
                *reinvite = other;
                None
            }
        }
    }

    /// An ACK came that is not for a refusal.
    pub(super) fn acknowledged(&mut self, cseq: u32) -> Acked {
        let acked;
        match &mut self.phase {
            Phase::Accepted(unacked) if unacked.cseq == cseq => {
                let late_offer = unacked.late_offer;
                acked = Acked::Confirmed { late_offer };
                self.phase = Phase::Confirmed(Reinvite::Idle);
            }
            Phase::Confirmed(reinvite) => match reinvite {
                Reinvite::Answered(unacked) if unacked.cseq == cseq => {
                    let late_offer = unacked.late_offer;
                    acked = Acked::ReinviteConfirmed { late_offer };
                    *reinvite = Reinvite::Idle;
                }
                _ => acked = Acked::Nothing,
            },
            Phase::Ending(awaited) if awaited.as_ref().is_some_and(|u| u.cseq == cseq) => {
                acked = Acked::SendBye;
                *awaited = None;
            }
            _ => acked = Acked::Nothing,
        }
        acked
    }

    /// The owner ends the call.
    pub(super) fn hang_up(&mut self) -> HangUp {
        match core::mem::replace(&mut self.phase, Phase::Ending(None)) {
            Phase::Calling(calling) => HangUp::Cancel(calling),
            Phase::Early(invite) => HangUp::Refuse(invite),
            Phase::Accepted(unacked) => {
                self.phase = Phase::Ending(Some(unacked));
                HangUp::AwaitAck
            }
            Phase::Confirmed(Reinvite::Pending(invite)) => HangUp::Bye(Some(invite)),
            Phase::Confirmed(_) => HangUp::Bye(None),
            ending @ Phase::Ending(_) => {
                self.phase = ending;
                HangUp::Already
            }
        }
    }

    /// The peer ends the call: gives an INVITE of it that waits for its refusal.
    pub(super) fn peer_hung_up(&mut self) -> Option<PendingInvite> {
        match core::mem::replace(&mut self.phase, Phase::Ending(None)) {
            Phase::Early(invite) | Phase::Confirmed(Reinvite::Pending(invite)) => Some(invite),
            _ => None,
        }
    }

    /// A deadline came.
    pub(super) fn timed_out(&mut self, now: Instant) -> SessionTimeout {
        let unacked = match &mut self.phase {
            Phase::Early(invite) => {
                return match invite.expires {
                    Some(at) if at <= now => SessionTimeout::Expired,
                    _ => SessionTimeout::Nothing,
                };
            }
            Phase::Accepted(unacked)
            | Phase::Confirmed(Reinvite::Answered(unacked))
            | Phase::Ending(Some(unacked)) => unacked,
            Phase::Calling(calling) => {
                return match calling.give_up <= now {
                    true => SessionTimeout::Unanswered,
                    false => SessionTimeout::Nothing,
                };
            }
            Phase::Confirmed(_) | Phase::Ending(None) => {
                return SessionTimeout::Nothing;
            }
        };
        if now < unacked.until {
            unacked.resend.sent(now);
            return SessionTimeout::Resend(unacked.destination, unacked.answer.clone());
        }
        let was_up = !self.is_ending();
        self.phase = Phase::Ending(None);
        SessionTimeout::NoAck { was_up }
    }
}

impl Timed for Session {
    fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Early(invite) => invite.expires,
            Phase::Accepted(unacked)
            | Phase::Confirmed(Reinvite::Answered(unacked))
            | Phase::Ending(Some(unacked)) => Some(unacked.resend.next().min(unacked.until)),
            Phase::Calling(calling) => Some(calling.give_up),
            Phase::Confirmed(_) | Phase::Ending(None) => None,
        }
    }
}
