//! INVITEs of ours on their way (RFC 3261 sections 9.1, 13.2.2.4, 17.1.1.3 and 18.1.1): sending, what
//! comes back, ACK and CANCEL. The same for the INVITE that begins a call and for one within it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::{IpAddr, SocketAddr};

use crate::base::counter::count;
use crate::base::ids::ConnId;
use crate::base::network::Transport;
use crate::base::time::Instant;
use crate::limits::SIP_DATAGRAM_BYTES;
use crate::wire::sip_message::SipMessage;

use super::dialog::{Arrival, Dialog, DialogRequest};
use super::endpoint::{SipEndpoint, slot};
use super::event::SipRefusal;
use super::table::Slot;
use super::transaction_client::{ClientTransaction, Owner, Purpose, Unanswered};
use super::transaction_invite::{InviteOwner, InviteResponse, InviteTransaction};
use super::transmit::{Printed, SipDestination};

impl SipEndpoint {
    /// Sends an INVITE from an address of ours, with a Via of its own on top, and opens its
    /// transaction. `request` has every other header but User-Agent and Content-Length. One that is too
    /// large for UDP takes a stream to the same place, and UDP when that does not open.
    pub(super) fn send_invite(
        &mut self,
        now: Instant,
        owner: InviteOwner,
        mut request: rsip::Request,
        mut destination: SipDestination,
        local: IpAddr,
    ) -> Result<Slot, SipRefusal> {
        if !self.make_invite_room() {
            return Err(SipRefusal::Full);
        }
        let branch = format!("z9hG4bK{}", self.rng.token());
        let via = self.via(local, destination.transport(), &branch);
        let rest = core::mem::take(&mut request.headers);
        request.headers = core::iter::once(via).chain(rest).collect::<Vec<_>>().into();
        let printed = self.print_request(request.clone());
        let mut printed = printed.ok_or(SipRefusal::TooLarge)?;
        let mut fallback = None;
        if let SipDestination::Udp(remote) = destination
            && printed.len() > SIP_DATAGRAM_BYTES
        {
            fallback = Some(destination);
            destination = SipDestination::Stream {
                secure: false,
                conn: None,
                remote,
            };
            request = with_via(request, self.via(local, Transport::Tcp, &branch));
            let again = self.print_request(request.clone());
            printed = again.ok_or(SipRefusal::TooLarge)?;
        }
        let destination = self.over_open(destination);
        let transaction =
            InviteTransaction::new(now, &branch, owner, destination, request, printed.clone());
        let transaction = transaction.with_fallback(now, fallback);
        let hash = InviteTransaction::hash(&branch);
        let transaction = self.invites.insert(hash, transaction);
        let transaction = transaction.map_err(|_| SipRefusal::Full)?;
        self.send(destination, printed);
        Ok(transaction)
    }

    pub(super) fn receive_invite_response(
        &mut self,
        now: Instant,
        arrival: Arrival,
        invite: Slot,
        code: u16,
        response: &SipMessage<'_>,
    ) {
        let tag = response.to().tag().unwrap_or_default();
        let answered = self.invites.update(invite, |t| {
            let (is, cancels) = t.answered(now, code, tag);
            (is, cancels, t.owner())
        });
        let Some((is, cancels, owner)) = answered else {
            return;
        };
        if cancels {
            self.send_cancel(now, invite);
        }
        match is {
            InviteResponse::Again(way, ack) => {
                count(&mut self.counters.resent);
                return self.send(way, ack);
            }
            InviteResponse::Nothing => return count(&mut self.counters.stray_responses),
            InviteResponse::Refused => self.acknowledge_refusal(now, invite, response),
            InviteResponse::Provisional | InviteResponse::Success => {}
        }
        match owner {
            InviteOwner::Initial(call) if self.is_calling(slot(call), invite) => {
                self.call_responded(now, arrival, slot(call), code, response);
            }
            InviteOwner::Reinvite(call) if self.sessions.get(slot(call)).is_some() => {
                self.reinvite_answered(now, slot(call), invite, Ok(response));
            }
            // Nobody waits for it any more.
            _ if is == InviteResponse::Success => self.release_fork(now, arrival, invite, response),
            _ => {}
        }
    }

    /// An INVITE of ours will not be answered, unless there is another way for it.
    pub(super) fn invite_failed(&mut self, now: Instant, invite: Slot, why: Unanswered) {
        let other = self
            .invites
            .update(invite, InviteTransaction::take_fallback);
        if let Some(Some((way, request))) = other
            && self.resend_invite(now, invite, way, request)
        {
            return;
        }
        count(&mut self.counters.requests_unanswered);
        let owner = self.invites.remove(invite).map(|t| t.owner());
        match owner {
            Some(InviteOwner::Initial(call)) if self.is_calling(slot(call), invite) => {
                self.call_unanswered(now, slot(call), why);
            }
            Some(InviteOwner::Reinvite(call)) if self.sessions.get(slot(call)).is_some() => {
                self.reinvite_answered(now, slot(call), invite, Err(why));
            }
            _ => {}
        }
    }

    /// Takes an INVITE back: by CANCEL as soon as that may go.
    pub(super) fn take_invite_back(&mut self, now: Instant, invite: Slot) {
        if self.invites.update(invite, |t| t.take_back(now)) == Some(true) {
            self.send_cancel(now, invite);
        }
    }

    /// Sends the ACK of a 2xx the dialog's way; its transaction sends it again whenever the 2xx comes
    /// again (section 13.2.2.4).
    pub(super) fn acknowledge(&mut self, invite: Slot, dialog: &Dialog) {
        let Some(transaction) = self.invites.get(invite) else {
            return;
        };
        let made = dialog.request_as(rsip::Method::Ack, transaction.cseq());
        let credentials: Vec<rsip::Header> = transaction.credentials().collect();
        let DialogRequest {
            mut request,
            next_hop,
        } = made;
        request.headers.extend(credentials);
        let way = self.way_to(&next_hop, dialog.arrival());
        let branch = format!("z9hG4bK{}", self.rng.token());
        let via = self.via(dialog.local_address(), way.transport(), &branch);
        let rest = core::mem::take(&mut request.headers);
        request.headers = core::iter::once(via).chain(rest).collect::<Vec<_>>().into();
        let Some(printed) = self.print_request(request) else {
            return;
        };
        let tag = dialog.remote_tag();
        let kept = printed.clone();
        self.invites
            .update(invite, |t| t.acknowledge(tag, way, kept));
        self.send(way, printed);
    }

    /// Acknowledges a 2xx that nobody waits for, and ends the dialog that it made.
    fn release_fork(
        &mut self,
        now: Instant,
        arrival: Arrival,
        invite: Slot,
        response: &SipMessage<'_>,
    ) {
        let Some(transaction) = self.invites.get(invite) else {
            return;
        };
        let local = self.local_for(transaction.destination().remote().ip());
        let way = Arrival::of_request(transaction.destination(), arrival);
        let dialog = Dialog::of_fork(transaction.request(), response, way, local);
        let is_initial = matches!(transaction.owner(), InviteOwner::Initial(_));
        self.acknowledge(invite, &dialog);
        // The BYE of a call has gone where its re-INVITE was answered late.
        if is_initial {
            self.release_dialog(now, dialog);
        }
    }

    /// Ends a dialog that no call is bound to.
    pub(super) fn release_dialog(&mut self, now: Instant, mut dialog: Dialog) {
        let made = dialog.request(rsip::Method::Bye);
        let way = self.way_to(&made.next_hop, dialog.arrival());
        let owner = Owner::Nobody(Purpose::Bye);
        let sent = self.send_client(now, owner, made.request, way, dialog.local_address());
        if sent.is_err() {
            count(&mut self.counters.requests_unanswered);
        }
    }

    fn acknowledge_refusal(&mut self, now: Instant, invite: Slot, response: &SipMessage<'_>) {
        let Some(transaction) = self.invites.get(invite) else {
            return;
        };
        let way = transaction.destination();
        let ack = transaction.ack(response.to().to_text());
        // Without one that fits the refusal comes again until its sender gives up.
        let printed = self.print_request(ack).unwrap_or_else(|| Printed::from([]));
        let kept = printed.clone();
        self.invites
            .update(invite, |t| t.acknowledge_refusal(now, kept));
        if !printed.is_empty() {
            self.send(way, printed);
        }
    }

    fn send_cancel(&mut self, now: Instant, invite: Slot) {
        let Some(transaction) = self.invites.get(invite) else {
            return;
        };
        let (way, cancel) = (transaction.destination(), transaction.cancel());
        let branch: Box<str> = transaction.branch().into();
        let Some(printed) = self.print_request(cancel) else {
            return;
        };
        if self.make_client_room() {
            let owner = Owner::Nobody(Purpose::Cancel);
            let cancel = ClientTransaction::new(now, &branch, owner, way, printed.clone());
            // Room was made.
            let _ = self
                .clients
                .insert(ClientTransaction::hash(&branch), cancel);
        }
        self.send(way, printed);
    }

    /// Sends an INVITE that nobody has answered the other way; false when it does not fit there.
    fn resend_invite(
        &mut self,
        now: Instant,
        invite: Slot,
        way: SipDestination,
        request: rsip::Request,
    ) -> bool {
        let Some(branch) = self.invites.get(invite).map(|t| Box::from(t.branch())) else {
            return false;
        };
        let branch: Box<str> = branch;
        let local = self.local_for(way.remote().ip());
        let request = with_via(request, self.via(local, way.transport(), &branch));
        let Some(printed) = self.print_request(request.clone()) else {
            return false;
        };
        let kept = printed.clone();
        self.invites
            .update(invite, |t| t.resent(now, way, request, kept));
        count(&mut self.counters.resent);
        self.send(way, printed);
        true
    }

    /// INVITEs that waited for a stream which could not be opened have failed.
    pub(super) fn invites_unreachable(&mut self, now: Instant, way: SipDestination) {
        while let Some(invite) = self.calling_invite(|t| t.destination() == way) {
            self.invite_failed(now, invite, Unanswered::Unreachable);
        }
    }

    /// INVITEs that nothing has answered on a connection that is gone go again over a new one.
    pub(super) fn invites_disconnected(
        &mut self,
        now: Instant,
        conn: ConnId,
        far: (SocketAddr, bool),
    ) {
        let on_it = |way: SipDestination| match way {
            SipDestination::Stream { conn: Some(id), .. } => id == conn,
            SipDestination::Stream { secure, remote, .. } => (remote, secure) == far,
            SipDestination::Udp(_) => false,
        };
        // Those that went again are passed over: they may be on a connection that is being opened.
        let lost: Vec<Slot> = self
            .invites
            .iter()
            .filter(|(_, t)| t.is_calling() && on_it(t.destination()))
            .map(|(slot, _)| slot)
            .collect();
        for invite in lost {
            match self.invites.update(invite, InviteTransaction::move_to_new) {
                Some(Some((way, request))) => {
                    count(&mut self.counters.resent);
                    self.send(way, request);
                }
                _ => self.invite_failed(now, invite, Unanswered::Unreachable),
            }
        }
    }

    fn calling_invite(&self, wanted: impl Fn(&InviteTransaction) -> bool) -> Option<Slot> {
        let mut calling = self.invites.iter().filter(|(_, t)| t.is_calling());
        calling.find(|(_, t)| wanted(t)).map(|(slot, _)| slot)
    }

    /// Makes room for one INVITE by forgetting the one that has its final response for the longest, one
    /// that was refused before one that was answered: a lost ACK of the latter would end its call.
    pub(super) fn make_invite_room(&mut self) -> bool {
        if !self.invites.is_full() {
            return true;
        }
        let done = self.invites.iter().filter_map(|(slot, transaction)| {
            let until = transaction.absorbs_until()?;
            Some((!transaction.is_refused(), until, slot))
        });
        let oldest = done.min_by_key(|(is_answered, until, _)| (*is_answered, *until));
        oldest.is_some_and(|(_, _, slot)| self.invites.remove(slot).is_some())
    }
}

/// A request with another Via on top.
fn with_via(mut request: rsip::Request, via: rsip::Header) -> rsip::Request {
    let rest = core::mem::take(&mut request.headers);
    let rest = rest.into_iter().skip(1);
    request.headers = core::iter::once(via).chain(rest).collect::<Vec<_>>().into();
    request
}
