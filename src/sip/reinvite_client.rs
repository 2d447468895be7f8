//! Re-INVITEs and UPDATEs of ours (RFC 3261 section 14.1, RFC 3311 section 5.1): sending, glare, and
//! what their answers mean for the call (RFC 5057 section 5).

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

use rsip::Header;

use crate::base::counter::count;
use crate::base::ids::CallId;
use crate::base::time::Instant;
use crate::wire::sip_emit::{reason_phrase, uri_text};
use crate::wire::sip_message::SipMessage;

use super::authentication::Verdict;
use super::body::session_description;
use super::calling::Placed;
use super::endpoint::{SipEndpoint, call_id, slot};
use super::event::{Cause, EndedBy, SipEvent, SipRefusal};
use super::exchange::{Exchange, REINVITE_PATIENCE, Waiting, glare};
use super::reason::reason;
use super::session::Session;
use super::session_timer::{agreed, min_se};
use super::table::Slot;
use super::transaction_client::Unanswered;
use super::transaction_invite::InviteOwner;
use super::transmit::SipDestination;

/// What a refusal of a request within a call does to the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing: only the request has failed.
    Stays,
    /// The call is over.
    Over,
}

/// What a refusal within a dialog is to a call that is the dialog's only use (RFC 5057 section 5.1):
/// over where the code ends the use (408, 481) or the dialog (the others here).
pub(super) fn fate(code: u16) -> Fate {
    match code {
        404 | 408 | 410 | 416 | 481..=485 | 502 | 604 => Fate::Over,
        _ => Fate::Stays,
    }
}

impl SipEndpoint {
    /// Offers other media by re-INVITE: hold, resume, another address. The outcome is told by
    /// [`SipEvent::Reinvited`] or [`SipEvent::ReinviteRefused`]. While another exchange goes on,
    /// nothing is sent, false is returned, and [`SipEvent::OfferWanted`] tells when it can go: what was
    /// offered may have to be another by then.
    pub fn reinvite(&mut self, now: Instant, id: CallId, sdp: &str) -> Result<bool, SipRefusal> {
        let slot = slot(id);
        let session = self.sessions.get(slot).filter(|s| !s.is_ending());
        let session = session.ok_or(SipRefusal::NoSuchCall)?;
        if session.initial_invite().is_some() || session.calling().is_some() {
            return Err(SipRefusal::WrongState);
        }
        let may_go = session.may_offer();
        let sent = if may_go {
            self.send_reinvite(now, slot, sdp.as_bytes())
        } else {
            let refresh = false;
            self.sessions
                .update(slot, |s| s.waiting = Some(Waiting { at: now, refresh }));
            Ok(())
        };
        self.settle();
        sent.map(|()| may_go)
    }

    fn send_reinvite(&mut self, now: Instant, slot: Slot, sdp: &[u8]) -> Result<(), SipRefusal> {
        let headers = self.refresh_headers(slot);
        let rng = &mut self.rng;
        let made = self.sessions.update(slot, |session| {
            let dialog = &mut session.dialog;
            let made = dialog.request(rsip::Method::Invite);
            let mut request = made.request;
            request.headers.extend(headers);
            request
                .headers
                .push(Header::ContentType("application/sdp".into()));
            request.body = sdp.to_vec();
            if let Some(placed) = &mut session.placed {
                let uri = uri_text(&request.uri);
                let proofs = placed.authenticator.headers("INVITE", &uri, sdp, rng);
                request
                    .headers
                    .extend(proofs.into_iter().collect::<Vec<_>>());
            }
            (
                request,
                made.next_hop,
                dialog.arrival(),
                dialog.local_address(),
            )
        });
        let (request, next_hop, arrival, local) = made.ok_or(SipRefusal::NoSuchCall)?;
        let destination = self.way_to(&next_hop, arrival);
        let owner = InviteOwner::Reinvite(call_id(slot));
        let transaction = self.send_invite(now, owner, request, destination, local)?;
        self.sessions.update(slot, |session| {
            session.waiting = None;
            session.exchange = Exchange::Ours {
                transaction,
                is_invite: true,
                until: now + REINVITE_PATIENCE,
            };
        });
        Ok(())
    }

    /// A response to a re-INVITE of a call came: every provisional one, a refusal, which is
    /// acknowledged, or a 2xx once. Or none will come.
    pub(super) fn reinvite_answered(
        &mut self,
        now: Instant,
        call: Slot,
        invite: Slot,
        response: Result<&SipMessage<'_>, Unanswered>,
    ) {
        let code = match response {
            Ok(response) => response.status().unwrap_or_default(),
            Err(_) => 408,
        };
        let session = self.sessions.get(call);
        let is_awaited = session.is_some_and(|s| s.exchange.is_ours(invite, true));
        match code {
            ..200 => return,
            200..300 => {
                if let Ok(response) = response {
                    self.sessions
                        .update(call, |s| s.dialog.refresh_target(response));
                }
                let dialog = self.sessions.get(call).map(|s| s.dialog.clone());
                if let Some(dialog) = dialog {
                    self.acknowledge(invite, &dialog);
                }
            }
            _ => {}
        }
        // A call that is ending waits for no answer any more.
        if !is_awaited {
            return;
        }
        if matches!(code, 401 | 407)
            && let Ok(response) = response
            && self.is_retried(call, (code, response), self.way_of_invite(invite))
        {
            let sdp = self.invites.get(invite).map(|t| t.request().body.clone());
            self.sessions.update(call, |s| s.exchange = Exchange::Idle);
            if self
                .send_reinvite(now, call, &sdp.unwrap_or_default())
                .is_ok()
            {
                return;
            }
        }
        if let Ok(response) = response {
            self.let_through(call, response);
        }
        self.offer_answered(now, call, code, response.ok());
    }

    /// Credentials of a call of ours did: its request has a final answer that is no challenge.
    pub(super) fn let_through(&mut self, slot: Slot, response: &SipMessage<'_>) {
        if matches!(response.status(), Some(401 | 407)) {
            return;
        }
        self.sessions.update(slot, |session| {
            if let Some(placed) = &mut session.placed {
                placed.authenticator.accepted(response);
            }
        });
    }

    fn way_of_invite(&self, invite: Slot) -> Option<SipDestination> {
        self.invites.get(invite).map(|t| t.destination())
    }

    /// Whether a challenge can be met, of one to whom a request went that way.
    pub(super) fn is_retried(
        &mut self,
        slot: Slot,
        (code, response): (u16, &SipMessage<'_>),
        way: Option<SipDestination>,
    ) -> bool {
        let is_pbx = way.is_some_and(|way| self.pbx.contains(&way.remote().ip()));
        let account = self.account.as_ref().filter(|_| is_pbx);
        let verdict = self.sessions.update(slot, |session| {
            if !session.outgoing
                && session.placed.is_none()
                && let Some(account) = account
            {
                session.placed = Some(Box::new(Placed::of_account(Rc::clone(account))));
            }
            let placed = session.placed.as_mut()?;
            Some(placed.authenticator.challenged(response, code))
        });
        verdict.flatten() == Some(Verdict::Retry)
    }

    /// The final answer to an offer of ours, by re-INVITE or UPDATE.
    pub(super) fn offer_answered(
        &mut self,
        now: Instant,
        slot: Slot,
        code: u16,
        response: Option<&SipMessage<'_>>,
    ) {
        let id = call_id(slot);
        self.sessions.update(slot, |s| s.exchange = Exchange::Idle);
        if (200..300).contains(&code) {
            self.refreshed(now, slot, response);
            let answer = response.and_then(|r| session_description(r).ok().flatten());
            let answer = answer.map(Box::from);
            return self.push_event(SipEvent::Reinvited { id, answer });
        }
        self.not_refreshed(now, slot, code, response);
        if self.sessions.get(slot).is_none_or(Session::is_ending) {
            return;
        }
        if code == 491 {
            count(&mut self.counters.glares);
            let ours = self.sessions.get(slot).is_some_and(|s| s.outgoing);
            let at = now + glare(&mut self.rng, ours);
            self.sessions.update(slot, |session| {
                let refresh = session.waiting.is_some_and(|w| w.refresh);
                session.waiting = Some(Waiting { at, refresh });
            });
        }
        self.push_event(SipEvent::ReinviteRefused { id, code });
    }

    /// A 2xx to a request of ours that refreshes the session.
    pub(super) fn refreshed(
        &mut self,
        now: Instant,
        slot: Slot,
        response: Option<&SipMessage<'_>>,
    ) {
        let Some(response) = response else {
            return;
        };
        let headers = response.headers();
        let timer = agreed(self.config.session_timer, headers);
        self.sessions.update(slot, |session| {
            session.dialog.refresh_target(response);
            session.peer = session.peer.after(headers);
        });
        if timer.is_some() {
            count(&mut self.counters.refreshes);
        }
        self.set_timer(now, slot, timer);
    }

    /// A refusal of a request of ours that would have refreshed the session, or 408 for none.
    pub(super) fn not_refreshed(
        &mut self,
        now: Instant,
        slot: Slot,
        code: u16,
        response: Option<&SipMessage<'_>>,
    ) {
        if fate(code) == Fate::Over {
            let words = match response.and_then(reason) {
                Some(words) => words,
                None if response.is_none() => "the peer no longer answered".into(),
                None => format!("the peer ended the call: {}", reason_phrase(code)),
            };
            return self.end_call(now, slot, Cause::new(code, words));
        }
        let min = response.and_then(|r| min_se(r.headers()));
        self.sessions.update(slot, |session| {
            if matches!(code, 405 | 501) {
                session.peer.update = false;
            }
            let Some(timer) = &mut session.timer else {
                return;
            };
            match (code, min) {
                (422, Some(min)) => drop(timer.raise(now, min)),
                // It goes by re-INVITE then.
                (405 | 501, _) => timer.due(now),
                _ => timer.refused(now),
            }
        });
    }

    /// Ends a call for a reason that neither side chose.
    pub(super) fn end_call(&mut self, now: Instant, slot: Slot, cause: Cause) {
        self.hang_up(now, slot, cause, EndedBy::Silence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_of_the_dialog_or_its_use_end_a_call() {
        let over: Vec<u16> = (300..700)
            .filter(|code| fate(*code) == Fate::Over)
            .collect();
        assert_eq!(
            over,
            [404, 408, 410, 416, 481, 482, 483, 484, 485, 502, 604]
        );
    }
}
