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

use rsip::Header;

use crate::base::ids::CallId;
use crate::base::time::Instant;

use super::answer::Answer;
use super::endpoint::{SipEndpoint, slot};
use super::event::{Cause, EndedBy, SipRefusal};
use super::session::{HangUp, PendingInvite, Session};
use super::session_timer::Agreed;
use super::table::Slot;
use super::transaction_client::Purpose;

impl SipEndpoint {
    /// Answers an INVITE with 180, reliably where the caller requires that.
    pub fn ring(&mut self, now: Instant, id: CallId) -> Result<(), SipRefusal> {
        self.progress(now, id, 180, None)
    }

    /// Answers an INVITE with a provisional code, 101 to 199, and early media by `sdp`: the answer to
    /// its offer, or an offer where it had none. It is reliable where the caller requires that, and
    /// where it has a session description and the caller knows how (RFC 3262). One reliable answer at
    /// a time: [`SipRefusal::WrongState`] until the one before is acknowledged.
    pub fn progress(
        &mut self,
        now: Instant,
        id: CallId,
        code: u16,
        sdp: Option<&str>,
    ) -> Result<(), SipRefusal> {
        let (slot, invite, tag) = self.waiting_invite(id, Session::initial_invite)?;
        let mut answer = self.dialog_answer(code.clamp(101, 199), slot);
        if let Some(sdp) = sdp {
            answer = answer.sdp(sdp);
        }
        let session = self.sessions.get(slot);
        let reliable = session.and_then(|s| s.reliable.as_ref());
        let Some(reliable) = reliable.filter(|r| r.required || sdp.is_some()) else {
            return self.provisional(now, &invite, &tag, answer);
        };
        if reliable.is_waiting() {
            return Err(SipRefusal::WrongState);
        }
        // RFC 3262 section 5: the first reliable answer to an INVITE without offer has to carry one.
        if sdp.is_none() && invite.late_offer && !reliable.is_described() {
            return Ok(());
        }
        let answer = answer
            .with(Header::Require("100rel".into()))
            .with(Header::Other(
                "RSeq".into(),
                reliable.next_rseq().to_string(),
            ));
        let printed = self.print(&invite.head, &tag, answer);
        let printed = printed.ok_or(SipRefusal::TooLarge)?;
        let destination = self.servers.update(invite.transaction, |transaction| {
            transaction.answer(now, code, printed.clone());
            transaction.destination()
        });
        let destination = destination.ok_or(SipRefusal::WrongState)?;
        let sent = (printed.clone(), destination);
        self.sessions.update(slot, |session| {
            if let Some(reliable) = &mut session.reliable {
                reliable.sent(now, sent, sdp.map(|_| invite.late_offer));
            }
        });
        self.send(destination, printed);
        self.settle();
        Ok(())
    }

    /// Answers an INVITE with 200 and a session description: the answer to its offer, or an offer
    /// where it had none. It waits while an answer of [`SipEndpoint::progress`] with a session
    /// description is not acknowledged, and goes without one when that has settled the media.
    pub fn accept(&mut self, now: Instant, id: CallId, sdp: &str) -> Result<(), SipRefusal> {
        let (slot, invite, tag) = self.waiting_invite(id, Session::initial_invite)?;
        let held = self.sessions.update(slot, |session| {
            let reliable = session.reliable.as_mut().filter(|r| r.holds_back())?;
            reliable.held = Some(sdp.into());
            Some(())
        });
        if held.flatten().is_some() {
            return Ok(());
        }
        let described = self.sessions.get(slot).and_then(|s| s.reliable.as_ref());
        let sdp = (!described.is_some_and(|r| r.is_described())).then_some(sdp);
        self.accept_invite(now, (slot, invite, tag), sdp)
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
        let mut answer = phrased(code, reason).retry_after(retry_after);
        if code == 488 && !reason.is_empty() {
            answer = answer.warning(&self.config.user_agent, reason);
        }
        self.finish_invite(now, &invite, &tag, answer);
        self.remove_session(now, slot);
        self.tell_ended(slot, Cause::new(code, reason), EndedBy::Local);
        self.settle();
        Ok(())
    }

    /// Answers a re-INVITE, or an UPDATE or PRACK with an offer, with 200 and a session description.
    pub fn answer_reinvite(
        &mut self,
        now: Instant,
        id: CallId,
        sdp: &str,
    ) -> Result<(), SipRefusal> {
        let waiting = self.waiting_invite(id, Session::reinvite)?;
        self.accept_invite(now, waiting, Some(sdp))
    }

    /// Refuses a re-INVITE, or an UPDATE or PRACK with an offer, with a code of 300 or more; the call goes on as it was.
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
        let sent = self.send_keyframe_info(now, slot);
        self.settle();
        sent
    }

    /// Asks the peer by OPTIONS whether it still knows the call. A call whose peer does not, or does not
    /// answer, is ended. Nothing is asked while another question is open.
    pub fn probe(&mut self, now: Instant, id: CallId) -> Result<(), SipRefusal> {
        let slot = slot(id);
        let session = self.sessions.get(slot).ok_or(SipRefusal::NoSuchCall)?;
        if !session.is_confirmed() || session.update.is_some() {
            return Err(SipRefusal::WrongState);
        }
        let sent = self.send_request(now, slot, Purpose::Probe, Vec::new(), Vec::new());
        if let Ok(transaction) = sent {
            self.sessions.update(slot, |s| s.update = Some(transaction));
        }
        self.settle();
        sent.map(drop)
    }

    /// Whether a call is refreshed by a session timer, so that it ends when its peer is gone.
    pub fn has_session_timer(&self, id: CallId) -> bool {
        let session = self.sessions.get(slot(id));
        session.is_some_and(|s| s.timer.is_some())
    }

    /// The process is about to end: the BYE of a call whose 200 is not acknowledged waits for the ACK
    /// no longer than `until`.
    pub fn hurry(&mut self, until: Instant) {
        let ending: Vec<Slot> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.is_ending())
            .map(|(slot, _)| slot)
            .collect();
        for slot in ending {
            self.sessions.update(slot, |s| s.hurry(until));
        }
        self.settle();
    }

    /// Ends a call, whatever its state: an INVITE without final answer is refused with the cause's
    /// code (480 when that is no refusal), a call that is up gets BYE. The handle is of no use
    /// afterwards; the rest, such as waiting for an ACK before the BYE, needs no owner.
    pub fn hangup(&mut self, now: Instant, id: CallId, cause: Cause) -> Result<(), SipRefusal> {
        let slot = slot(id);
        let is_live = self.sessions.get(slot).is_some_and(|s| !s.is_ending());
        if !is_live {
            return Err(SipRefusal::NoSuchCall);
        }
        self.hang_up(now, slot, cause, EndedBy::Local);
        self.settle();
        Ok(())
    }

    /// Ends a call that has not ended, whatever its state, and tells its owner.
    pub(super) fn hang_up(&mut self, now: Instant, slot: Slot, cause: Cause, by: EndedBy) {
        let Some(session) = self.sessions.get(slot).filter(|s| !s.is_ending()) else {
            return;
        };
        let tag: Box<str> = session.dialog.local_tag().into();
        self.drop_exchange(now, slot);
        self.end_replaced(now, slot);
        let hang_up = self.sessions.update(slot, Session::hang_up);
        match hang_up.unwrap_or(HangUp::Already) {
            HangUp::Already => return,
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
            HangUp::Bye if self.hold_bye(slot, &cause) => {}
            HangUp::Bye => self.send_bye(now, slot, Some(&cause)),
        }
        self.tell_ended(slot, cause, by);
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
        sdp: Option<&str>,
    ) -> Result<(), SipRefusal> {
        let mut answer = self.dialog_answer(200, slot);
        for header in invite.timer.into_iter().flat_map(Agreed::headers) {
            answer = answer.with(header);
        }
        if let Some(sdp) = sdp {
            answer = answer.sdp(sdp);
        }
        let printed = self.print(&invite.head, &tag, answer);
        let printed = printed.ok_or(SipRefusal::TooLarge)?;
        let destination = self.servers.update(invite.transaction, |transaction| {
            transaction.answer(now, 200, printed.clone());
            transaction.destination()
        });
        let destination = destination.ok_or(SipRefusal::WrongState)?;
        let sent = (printed.clone(), destination);
        self.sessions.update(slot, |session| {
            if session.initial_invite().map(|i| i.transaction) == Some(invite.transaction) {
                session.accepted(now, sent);
            } else {
                session.exchanged(now, sent);
            }
        });
        if invite.method != rsip::Method::PRack {
            self.set_timer(now, slot, invite.timer);
        }
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
    pub(super) fn dialog_answer(&self, code: u16, slot: Slot) -> Answer {
        let session = self.sessions.get(slot);
        let contact = session.map(|session| self.contact_of(session));
        contact
            .into_iter()
            .fold(Answer::code(code), Answer::with)
            .allow()
            .with(Header::Supported(self.supported().into()))
    }
}

fn phrased(code: u16, reason: &str) -> Answer {
    if reason.is_empty() {
        Answer::code(code)
    } else {
        Answer::phrase(code, reason)
    }
}
