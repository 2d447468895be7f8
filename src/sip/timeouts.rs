//! Deadlines that have come, one at a time.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::counter::count;
use crate::base::time::Instant;

use super::endpoint::{SipEndpoint, Turn, call_id};
use super::event::{Cause, EndedBy, SipEvent};
use super::session::{Session, SessionTimeout};
use super::transaction_client::{ClientTimeout, Unanswered};
use super::transaction_invite::InviteTimeout;
use super::transaction_server::ServerTimeout;

impl SipEndpoint {
    /// Does one thing that is due; false when there is none.
    pub(super) fn one_timeout(&mut self, now: Instant) -> bool {
        if let Some(slot) = self.servers.due(now) {
            self.turn = Some(Turn::Server(slot));
            match self.servers.update(slot, |t| t.timed_out(now)) {
                Some(ServerTimeout::Resend(destination, answer)) => {
                    count(&mut self.counters.resent);
                    self.send(destination, answer);
                }
                Some(ServerTimeout::NoAck) => {
                    count(&mut self.counters.acks_missing);
                    self.servers.remove(slot);
                }
                _ => {
                    self.servers.remove(slot);
                }
            }
            true
        } else if let Some(slot) = self.clients.due(now) {
            self.turn = Some(Turn::Client(slot));
            match self.clients.update(slot, |t| t.timed_out(now)) {
                Some(ClientTimeout::Resend(destination, request)) => {
                    count(&mut self.counters.resent);
                    self.send(destination, request);
                }
                Some(ClientTimeout::NoAnswer) => {
                    self.request_failed(now, slot, Unanswered::Timeout);
                }
                _ => {
                    self.clients.remove(slot);
                }
            }
            true
        } else if let Some(slot) = self.invites.due(now) {
            self.turn = Some(Turn::Invite(slot));
            match self.invites.update(slot, |t| t.timed_out(now)) {
                Some(InviteTimeout::Resend(destination, request)) => {
                    count(&mut self.counters.resent);
                    self.send(destination, request);
                }
                Some(InviteTimeout::NoAnswer) => {
                    self.invite_failed(now, slot, Unanswered::Timeout);
                }
                _ => {
                    self.invites.remove(slot);
                }
            }
            true
        } else if let Some(slot) = self.sessions.due(now) {
            self.turn = Some(Turn::Session(slot));
            #[cfg(test)]
            assert!(
                !core::mem::take(&mut self.breaks),
                "a defect put in by a test"
            );
            match self.sessions.update(slot, |s| s.timed_out(now)) {
                Some(SessionTimeout::Resend(destination, answer)) => {
                    count(&mut self.counters.resent);
                    self.send(destination, answer);
                }
                Some(SessionTimeout::NoAck { was_up }) => {
                    count(&mut self.counters.acks_missing);
                    self.end_replaced(now, slot);
                    self.drop_exchange(now, slot);
                    self.sessions.update(slot, Session::unacknowledged);
                    if was_up {
                        let cause = Cause::new(408, "the caller never acknowledged our 200");
                        self.tell_ended(slot, cause, EndedBy::Silence);
                    }
                    self.send_bye(now, slot, None);
                }
                Some(SessionTimeout::Expired) => {
                    let cause = Cause::new(487, "the INVITE expired");
                    self.cancel_call(now, slot, cause, EndedBy::Remote);
                }
                Some(SessionTimeout::Unanswered) => self.rang_too_long(now, slot),
                Some(SessionTimeout::NoPrack) => self.not_pracked(now, slot),
                Some(SessionTimeout::Refresh) => self.refresh(now, slot),
                Some(SessionTimeout::NotRefreshed) => {
                    let cause = Cause::new(408, Cause::NOT_REFRESHED);
                    self.end_call(now, slot, cause);
                }
                Some(SessionTimeout::Offer(waiting)) => {
                    let (id, refresh) = (call_id(slot), waiting.refresh);
                    self.push_event(SipEvent::OfferWanted { id, refresh });
                }
                Some(SessionTimeout::NoAnswer) => {
                    let cause = Cause::new(408, "our re-INVITE was not answered");
                    self.end_call(now, slot, cause);
                }
                Some(SessionTimeout::NotifierOver) => self.end_notifier(now, slot),
                Some(SessionTimeout::ReferralOver) => self.refer_expired(slot),
                Some(SessionTimeout::Nothing) | None => {}
            }
            true
        } else {
            self.one_registration(now) || self.one_ping(now) || self.one_connection(now)
        }
    }
}
