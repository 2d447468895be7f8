//! What the owner of an endpoint may ask of a call.

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

use super::answer::Answer;
use super::endpoint::{SipEndpoint, slot};
use super::event::{Cause, EndedBy, SipRefusal};
use super::session::{HangUp, PendingInvite, Session};
use super::table::Slot;

impl SipEndpoint {
    /// Answers an INVITE with 180.
    pub fn ring(&mut self, now: Instant, id: CallId) -> Result<(), SipRefusal> {
        let (slot, invite, tag) = self.waiting_invite(id, Session::initial_invite)?;
        let answer = self.dialog_answer(180, slot);
        self.provisional(now, &invite, &tag, answer)
    }

    /// Answers an INVITE with 200 and a session description: the answer to its offer, or an offer
    /// where it had none.
    pub fn accept(&mut self, now: Instant, id: CallId, sdp: &str) -> Result<(), SipRefusal> {
        let waiting = self.waiting_invite(id, Session::initial_invite)?;
        self.accept_invite(now, waiting, sdp)
    }

    /// Refuses an INVITE with a code of 300 or more and a phrase; empty for the code's own. The
    /// handle is of no use afterwards.
    pub fn reject(
        &mut self,
        now: Instant,
        id: CallId,
        code: u16,
        reason: &str,
        retry_after: Option<u32>,
    ) -> Result<(), SipRefusal> {
        let (slot, invite, tag) = self.waiting_invite(id, Session::initial_invite)?;
        let code = code.clamp(300, 699);
        let answer = phrased(code, reason).retry_after(retry_after);
        self.finish_invite(now, &invite, &tag, answer);
        self.sessions.remove(slot);
        self.tell_ended(slot, Cause::new(code, reason), EndedBy::Local);
        self.settle();
        Ok(())
    }

    /// Answers a re-INVITE with 200 and a session description.
    pub fn answer_reinvite(
        &mut self,
        now: Instant,
        id: CallId,
        sdp: &str,
    ) -> Result<(), SipRefusal> {
        let waiting = self.waiting_invite(id, Session::reinvite)?;
        self.accept_invite(now, waiting, sdp)
    }

    /// Refuses a re-INVITE with a code of 300 or more; the call goes on as it was.
    pub fn refuse_reinvite(
        &mut self,
        now: Instant,
        id: CallId,
        code: u16,
    ) -> Result<(), SipRefusal> {
        let (slot, invite, tag) = self.waiting_invite(id, Session::reinvite)?;
        let answer = Answer::code(code.clamp(300, 699));
        self.finish_invite(now, &invite, &tag, answer);
        self.sessions.update(slot, Session::take_reinvite);
        self.settle();
        Ok(())
    }

    /// Asks the caller for a keyframe by INFO (RFC 5168). One at a time: refused as
    /// [`SipRefusal::WrongState`] while an INFO is not answered or the call is not confirmed.
    pub fn info_keyframe(&mut self, now: Instant, id: CallId) -> Result<(), SipRefusal> {
        let slot = slot(id);
        let session = self.sessions.get(slot).ok_or(SipRefusal::NoSuchCall)?;
        if !session.is_confirmed() || session.info.is_some() {
            return Err(SipRefusal::WrongState);
        }
        let sent = self.send_info(now, slot);
        self.settle();
        sent
    }

    /// Ends a call, whatever its state: an INVITE without final answer is refused with the cause's
    /// code (480 when that is no refusal), a call that is up gets BYE. The handle is of no use
    /// afterwards; the rest, such as waiting for an ACK before the BYE, needs no owner.
    pub fn hangup(&mut self, now: Instant, id: CallId, cause: Cause) -> Result<(), SipRefusal> {
        let slot = slot(id);
        let session = self.sessions.get(slot).ok_or(SipRefusal::NoSuchCall)?;
        let tag: Box<str> = session.dialog.local_tag().into();
        let hang_up = self.sessions.update(slot, Session::hang_up);
        match hang_up.unwrap_or(HangUp::Already) {
            HangUp::Already => return Err(SipRefusal::NoSuchCall),
            HangUp::Refuse(invite) => {
                let code = if (300..700).contains(&cause.code) {
                    cause.code
                } else {
                    480
                };
                self.finish_invite(now, &invite, &tag, phrased(code, &cause.words));
                self.sessions.remove(slot);
            }
            HangUp::Cancel(calling) => self.cancel_invite(now, slot, &calling),
            HangUp::AwaitAck => {}
            HangUp::Bye(reinvite) => {
                if let Some(invite) = reinvite {
                    self.finish_invite(now, &invite, &tag, Answer::code(487));
                }
                self.send_bye(now, slot, Some(&cause));
            }
        }
        self.tell_ended(slot, cause, EndedBy::Local);
        self.settle();
        Ok(())
    }

    /// The INVITE of a call that waits for an answer.
    fn waiting_invite(
        &self,
        id: CallId,
        which: impl Fn(&Session) -> Option<&PendingInvite>,
    ) -> Result<(Slot, PendingInvite, Box<str>), SipRefusal> {
        let slot = slot(id);
        let session = self.sessions.get(slot).filter(|s| !s.is_ending());
        let session = session.ok_or(SipRefusal::NoSuchCall)?;
        let invite = which(session).ok_or(SipRefusal::WrongState)?;
        Ok((slot, invite.clone(), session.dialog.local_tag().into()))
    }

    fn accept_invite(
        &mut self,
        now: Instant,
        (slot, invite, tag): (Slot, PendingInvite, Box<str>),
        sdp: &str,
    ) -> Result<(), SipRefusal> {
        let answer = self.dialog_answer(200, slot).sdp(sdp);
        let printed = self.print(&invite.head, &tag, answer);
        let printed = printed.ok_or(SipRefusal::TooLarge)?;
        let destination = self.servers.update(invite.transaction, |transaction| {
            transaction.answer(now, 200, printed.clone());
            transaction.destination()
        });
        let destination = destination.ok_or(SipRefusal::WrongState)?;
        let accepted = printed.clone();
        self.sessions
            .update(slot, |s| s.accepted(now, accepted, destination));
        self.send(destination, printed);
        self.settle();
        Ok(())
    }

    fn provisional(
        &mut self,
        now: Instant,
        invite: &PendingInvite,
        tag: &str,
        answer: Answer,
    ) -> Result<(), SipRefusal> {
        let fits = self.finish_invite(now, invite, tag, answer);
        self.settle();
        if fits {
            Ok(())
        } else {
            Err(SipRefusal::TooLarge)
        }
    }

    /// An answer that makes a dialog, with where we are reached.
    fn dialog_answer(&self, code: u16, slot: Slot) -> Answer {
        let session = self.sessions.get(slot);
        let contact = session.map(|session| {
            let dialog = &session.dialog;
            let transport = dialog.arrival().transport();
            self.contact(dialog.local_address(), transport, dialog.is_sips())
        });
        contact
            .into_iter()
            .fold(Answer::code(code), Answer::with)
            .allow()
            .with(rsip::Header::Supported("".into()))
    }
}

fn phrased(code: u16, reason: &str) -> Answer {
    if reason.is_empty() {
        Answer::code(code)
    } else {
        Answer::phrase(code, reason)
    }
}
