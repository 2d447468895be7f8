//! UPDATE within a call that is up or rings (RFC 3311): theirs with and without an offer, and ours.

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

use crate::base::counter::count;
use crate::base::ids::CallId;
use crate::base::time::Instant;

use super::answer::Answer;
use super::body::session_description;
use super::endpoint::{SipEndpoint, call_id, slot};
use super::event::{SipEvent, SipRefusal};
use super::exchange::{Exchange, Gate, REINVITE_PATIENCE, Waiting};
use super::reply::Incoming;
use super::session::{PendingInvite, Session};
use super::session_timer::{Agreed, Asked, SessionTimer, asked};
use super::table::Slot;
use super::transaction_client::Purpose;

impl SipEndpoint {
    /// Offers other media by UPDATE, without waiting for a person. Refused as
    /// [`SipRefusal::WrongState`] where the peer does not take UPDATE, or another exchange goes on. The
    /// outcome is told as that of a re-INVITE is.
    pub fn update(&mut self, now: Instant, id: CallId, sdp: &str) -> Result<(), SipRefusal> {
        let slot = slot(id);
        let session = self.sessions.get(slot).filter(|s| !s.is_ending());
        let session = session.ok_or(SipRefusal::NoSuchCall)?;
        if !session.may_offer() || !session.peer.update || session.update.is_some() {
            return Err(SipRefusal::WrongState);
        }
        let sent = self.send_update(now, slot, Purpose::Update, Some(sdp));
        self.settle();
        sent.map(drop)
    }

    /// Sends an UPDATE, with an offer or to refresh the session.
    pub(super) fn send_update(
        &mut self,
        now: Instant,
        slot: Slot,
        purpose: Purpose,
        sdp: Option<&str>,
    ) -> Result<(), SipRefusal> {
        let mut headers = self.refresh_headers(slot);
        if sdp.is_some() {
            headers.push(Header::ContentType("application/sdp".into()));
        }
        let body = sdp.unwrap_or_default().into();
        let transaction = self.send_request(now, slot, purpose, headers, body)?;
        self.sessions.update(slot, |session| {
            session.update = Some(transaction);
            if sdp.is_some() {
                session.exchange = Exchange::Ours {
                    transaction,
                    is_invite: false,
                    until: now + REINVITE_PATIENCE,
                };
            }
        });
        Ok(())
    }

    /// What every re-INVITE and UPDATE of ours says of us and of the session timer.
    pub(super) fn refresh_headers(&self, slot: Slot) -> Vec<Header> {
        let Some(session) = self.sessions.get(slot) else {
            return Vec::new();
        };
        let mut headers = vec![
            self.contact_of(session),
            Header::Allow(super::answer::ALLOW.into()),
            Header::Supported(self.supported().into()),
        ];
        headers.extend(session.timer.iter().flat_map(SessionTimer::request));
        headers
    }

    /// Refreshes the session: by UPDATE where the peer takes it, else by a re-INVITE that the owner
    /// gives the text of.
    pub(super) fn refresh(&mut self, now: Instant, slot: Slot) {
        let Some(session) = self.sessions.get(slot).filter(|s| s.is_confirmed()) else {
            return;
        };
        let is_free = session.update.is_none();
        if session.peer.update && is_free {
            if self.send_update(now, slot, Purpose::Refresh, None).is_err() {
                self.sessions.update(slot, |session| {
                    if let Some(timer) = &mut session.timer {
                        timer.refused(now);
                    }
                });
            }
            return;
        }
        self.sessions.update(slot, |session| {
            session.waiting.get_or_insert(Waiting {
                at: now,
                refresh: true,
            });
        });
    }

    pub(super) fn receive_update(&mut self, incoming: &Incoming<'_, '_>, slot: Slot) {
        let offer = match session_description(incoming.request) {
            Ok(offer) => offer.map(Box::<[u8]>::from),
            Err(answer) => return self.answer_once(incoming, answer),
        };
        let timer = match self.asked(incoming, Some(slot)) {
            Asked::TooSmall(min) => return self.answer_once(incoming, too_small(min)),
            Asked::On(agreed) => Some(agreed),
            Asked::Off => None,
        };
        let is_over = self.sessions.get(slot).is_none_or(|s| s.is_ending());
        if is_over {
            count(&mut self.counters.unknown_dialog);
            return self.answer_once(incoming, Answer::code(481));
        }
        if let Some(offer) = offer {
            return self.receive_offer(incoming, slot, offer, timer);
        }
        self.sessions
            .update(slot, |s| s.dialog.refresh_target(incoming.request));
        let answer = self.dialog_answer(200, slot);
        let timers = timer.into_iter().flat_map(Agreed::headers);
        let answer = timers.fold(answer, Answer::with);
        self.answer_once(incoming, answer);
        self.set_timer(incoming.now, slot, timer);
    }

    /// Takes an offer in an UPDATE or PRACK, or says why not (section 5.2).
    pub(super) fn receive_offer(
        &mut self,
        incoming: &Incoming<'_, '_>,
        slot: Slot,
        offer: Box<[u8]>,
        timer: Option<Agreed>,
    ) {
        let later = Answer::code(500).retry_after(Some(self.rng.below(11)));
        match self.sessions.get(slot).map(|s| s.offer_gate()) {
            Some(Gate::Open) => {}
            Some(Gate::Overlapping) => return self.answer_once(incoming, later),
            Some(Gate::Pending) => return self.answer_once(incoming, Answer::code(491)),
            Some(Gate::Over) | None => {
                count(&mut self.counters.unknown_dialog);
                return self.answer_once(incoming, Answer::code(481));
            }
        }
        let has_room = self.has_event_room();
        let Some(transaction) = has_room.then(|| self.open_request(incoming)).flatten() else {
            return self.answer_once(incoming, later);
        };
        let pending = PendingInvite {
            transaction,
            head: incoming.head.clone(),
            cseq: incoming.request.cseq().number,
            late_offer: false,
            expires: None,
            method: method_of(incoming),
            timer,
        };
        self.sessions.update(slot, |session| {
            session.dialog.refresh_target(incoming.request);
            session.reinvited(pending);
        });
        let id = call_id(slot);
        let offer = Some(offer);
        self.push_event(SipEvent::Reinvite { id, offer });
    }

    /// What a request asks of the session timer.
    pub(super) fn asked(&self, incoming: &Incoming<'_, '_>, slot: Option<Slot>) -> Asked {
        let session = slot.and_then(|slot| self.sessions.get(slot));
        // There is no session to refresh before the 2xx to the INVITE, which says itself what holds.
        if session.is_some_and(Session::is_early) {
            return Asked::Off;
        }
        let we_refresh = session
            .and_then(|s| s.timer)
            .map(|timer| timer.we_refresh());
        let headers = incoming.request.headers();
        let peer = session.map_or(super::abilities::Abilities::UNKNOWN, |s| s.peer);
        let updates = peer.after(headers).update;
        asked(self.config.session_timer, headers, updates, we_refresh)
    }

    /// Starts the session timer anew, as a 2xx says.
    pub(super) fn set_timer(&mut self, now: Instant, slot: Slot, agreed: Option<Agreed>) {
        let agreed = agreed.filter(SessionTimer::is_worth);
        self.sessions.update(slot, |session| {
            let min = session.timer.map_or(0, |timer| timer.min());
            let agreed = agreed.filter(|_| !session.is_early());
            session.timer = agreed.map(|agreed| SessionTimer::start(now, agreed, min));
        });
    }
}

/// The refusal of a session interval (RFC 4028 section 9).
pub(super) fn too_small(min: u32) -> Answer {
    Answer::code(422).with(Header::Other("Min-SE".into(), min.to_string()))
}

fn method_of(incoming: &Incoming<'_, '_>) -> rsip::Method {
    let method = incoming.request.method().and_then(|m| m.to_rsip());
    method.unwrap_or(rsip::Method::Update)
}
