//! How much is taken of whom: what each source is to the trunk, and its share of messages.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::IpAddr;
use std::rc::Rc;

use crate::base::counter::count;
use crate::base::time::Instant;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_reply::ReplyHead;

use super::abuse::Standing;
use super::answer::Answer;
use super::authentication::Credentials;
use super::dialog::Arrival;
use super::endpoint::SipEndpoint;
use super::event::SipEvent;
use super::guard::Rates;
use super::transmit::SipTargets;

/// When one may come again who asked too often: by then a bucket is full.
const RETRY_AFTER: u32 = 2;

impl SipEndpoint {
    /// Says how many messages of a source are taken. Without it all are.
    pub fn set_rates(&mut self, rates: Rates) {
        self.guard.set_rates(rates);
    }

    /// Says which of those who may call are the PBX.
    pub fn set_pbx(&mut self, pbx: &SipTargets) {
        self.pbx = pbx.iter().map(|target| target.address.ip()).collect();
    }

    /// Says who we are at the PBX: what answers its challenges to requests of ours within calls that came
    /// from there. Nobody else gets a proof of the password, and without an account nobody does.
    pub fn set_account(&mut self, account: Option<Rc<Credentials>>) {
        self.account = account;
    }

    /// What a source is to us.
    pub fn standing(&self, address: IpAddr) -> Standing {
        if self.pbx.contains(&address)
            || self.peers.contains(&address)
            || self.keeps_up_with(address)
            || self.has_call_with(address)
        {
            Standing::Peer
        } else if self.allows(address) {
            Standing::Caller
        } else {
            Standing::Stranger
        }
    }

    /// Whether a call is up with a source; it stays so when the source may call no more.
    fn has_call_with(&self, address: IpAddr) -> bool {
        let mut sessions = self.sessions.iter();
        sessions.any(|(_, session)| {
            session.is_confirmed() && session.dialog.arrival().remote.ip() == address
        })
    }

    /// Whether a message, or a connection, of a source is to be looked at; tells what the source is.
    pub(super) fn takes(
        &mut self,
        now: Instant,
        address: IpAddr,
        message: &[u8],
    ) -> Result<(), Standing> {
        let standing = self.standing(address);
        if self.guard.admits(now, address, standing, message) {
            return Ok(());
        }
        count(match standing {
            Standing::Stranger => &mut self.counters.source_refused,
            Standing::Caller | Standing::Peer => &mut self.counters.excess_refused,
        });
        self.due_by(self.guard.poll_timeout());
        Err(standing)
    }

    /// Answers a request that came over a connection, and that will not come again by itself, with when
    /// to try again. Strangers get nothing.
    pub(super) fn turn_away(&mut self, arrival: Arrival, standing: Standing, message: &[u8]) {
        if standing == Standing::Stranger {
            return;
        }
        let Ok(message) = SipMessage::parse_stream(message) else {
            return;
        };
        let is_asked = message
            .method()
            .is_some_and(|method| method != rsip::Method::Ack);
        if is_asked {
            let head = ReplyHead::new(message.headers(), arrival.remote);
            let destination = arrival.answers_to(head.destination());
            let tag = self.stateless_tag(message.headers());
            let answer = Answer::code(503).retry_after(Some(RETRY_AFTER));
            if let Some(printed) = self.print(&head, &tag, answer) {
                self.send(destination, printed);
            }
        }
    }

    /// Tells the owner of a source, where that is due.
    pub(super) fn tell_abuse(&mut self, now: Instant) {
        if let Some(abuse) = self.guard.report(now) {
            self.push_event(SipEvent::Abuse(abuse));
        }
    }
}
