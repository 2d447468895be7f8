//! Our own requests, and what comes back (RFC 3261 sections 8.1, 12.2.1 and 15).

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

use rsip::Header;

use crate::base::counter::count;
use crate::base::network::Transport;
use crate::base::time::Instant;
use crate::wire::sip_emit::uri_text;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_name::HeaderName;
use crate::wire::sip_uri::{Scheme, Uri};

use super::dialog::Arrival;
use super::endpoint::{SipEndpoint, call_id, slot};
use super::event::{Cause, EndedBy, SipRefusal};
use super::exchange::Exchange;
use super::reason::reason_header;
use super::table::Slot;
use super::transaction_client::{ClientTransaction, Owner, Purpose, Unanswered};
use super::transaction_invite::InviteTransaction;
use super::transmit::SipDestination;

impl SipEndpoint {
    pub(super) fn receive_response(
        &mut self,
        now: Instant,
        arrival: Arrival,
        code: u16,
        response: &SipMessage<'_>,
    ) {
        let branch = response.via().branch.unwrap_or_default();
        let hash = InviteTransaction::hash(branch);
        if let Some(invite) = self.invites.find(hash, |t| t.is_answered_by(response)) {
            return self.receive_invite_response(now, arrival, invite, code, response);
        }
        let hash = ClientTransaction::hash(branch);
        let found = self.clients.find(hash, |t| t.is_answered_by(response));
        let Some(transaction) = found else {
            return count(&mut self.counters.stray_responses);
        };
        let answered = self.clients.update(transaction, |t| {
            t.answered(now, code)?;
            Some(t.owner())
        });
        match answered.flatten() {
            Some(Owner::Call(call, purpose)) => {
                let answered = Ok((transaction, response));
                self.request_answered(now, slot(call), purpose, code, answered);
            }
            Some(Owner::Nobody(_)) => {}
            Some(Owner::Registration(id)) => self.registration_answered(now, id, Ok(response)),
            Some(Owner::Ping(target)) => self.ping_answered(now, target, Ok(response)),
            None => {}
        }
    }

    /// A request of ours will not be answered.
    pub(super) fn request_failed(&mut self, now: Instant, transaction: Slot, why: Unanswered) {
        count(&mut self.counters.requests_unanswered);
        match self.clients.remove(transaction).map(|t| t.owner()) {
            Some(Owner::Call(call, purpose)) => {
                self.request_answered(now, slot(call), purpose, 408, Err(why));
            }
            Some(Owner::Nobody(_)) => {}
            Some(Owner::Registration(id)) => self.registration_answered(now, id, Err(why)),
            Some(Owner::Ping(target)) => self.ping_answered(now, target, Err(why)),
            None => {}
        }
    }

    /// Sends the BYE of a call that has ended; with the cause, when there is more to say than that.
    pub(super) fn send_bye(&mut self, now: Instant, slot: Slot, cause: Option<&Cause>) {
        let reason = cause.and_then(reason_header);
        self.forget_requests(slot);
        let headers = reason.into_iter().collect();
        let sent = self.send_request(now, slot, Purpose::Bye, headers, Vec::new());
        if sent.is_err() {
            self.sessions.remove(slot);
        }
    }

    /// Forgets a session, and its requests that still wait for their answers.
    pub(super) fn forget_session(&mut self, now: Instant, slot: Slot) {
        self.forget_requests(slot);
        self.remove_session(now, slot);
    }

    fn forget_requests(&mut self, slot: Slot) {
        let requests = self.sessions.update(slot, |session| {
            let referral = session.referral.take().and_then(|it| it.request);
            let notifier = session.notifier.take().and_then(|it| it.request);
            let requests = [
                session.info.take(),
                session.update.take(),
                referral,
                notifier,
            ];
            requests.into_iter().flatten()
        });
        for transaction in requests.into_iter().flatten() {
            self.clients.remove(transaction);
        }
    }

    /// Sends a request other than INVITE within a call.
    pub(super) fn send_request(
        &mut self,
        now: Instant,
        slot: Slot,
        purpose: Purpose,
        headers: Vec<Header>,
        body: Vec<u8>,
    ) -> Result<Slot, SipRefusal> {
        if !self.make_client_room() {
            return Err(SipRefusal::Full);
        }
        let rng = &mut self.rng;
        let made = self.sessions.update(slot, |session| {
            let method = purpose.method();
            let made = session.dialog.request(method);
            let mut request = made.request;
            request.headers.extend(headers);
            if let Some(placed) = &mut session.placed {
                let uri = uri_text(&request.uri);
                let method = method.to_string();
                let proofs = placed.authenticator.headers(&method, &uri, &body, rng);
                request
                    .headers
                    .extend(proofs.into_iter().collect::<Vec<_>>());
            }
            request.body = body;
            let dialog = &session.dialog;
            (
                request,
                made.next_hop,
                dialog.arrival(),
                dialog.local_address(),
            )
        });
        let (request, next_hop, arrival, local) = made.ok_or(SipRefusal::NoSuchCall)?;
        let destination = self.way_to(&next_hop, arrival);
        let owner = Owner::Call(call_id(slot), purpose);
        self.send_client(now, owner, request, destination, local)
    }

    /// Sends a request other than INVITE from an address of ours, with a Via of its own on top, and
    /// opens its transaction. `request` has every other header but User-Agent and Content-Length.
    pub(super) fn send_client(
        &mut self,
        now: Instant,
        owner: Owner,
        mut request: rsip::Request,
        destination: SipDestination,
        local: IpAddr,
    ) -> Result<Slot, SipRefusal> {
        if !self.make_client_room() {
            return Err(SipRefusal::Full);
        }
        let destination = self.over_open(destination);
        let branch = format!("z9hG4bK{}", self.rng.token());
        let mut headers = vec![self.via(local, destination.transport(), &branch)];
        headers.extend(request.headers);
        request.headers = headers.into();
        let printed = self.print_request(request).ok_or(SipRefusal::TooLarge)?;
        let transaction = ClientTransaction::new(now, &branch, owner, destination, printed.clone());
        let hash = ClientTransaction::hash(&branch);
        let transaction = self.clients.insert(hash, transaction);
        let transaction = transaction.map_err(|_| SipRefusal::Full)?;
        self.send(destination, printed);
        Ok(transaction)
    }

    /// Where a request goes. Names are not resolved, and nobody is written to who may neither call nor
    /// is called: where the next hop is one of these, the request goes the way that the peer's last one came.
    pub(super) fn way_to(&self, next_hop: &str, arrival: Arrival) -> SipDestination {
        let uri = Uri::parse(next_hop.as_bytes());
        let transport = uri.and_then(|uri| uri.transport());
        let named = |name: &str| transport.is_some_and(|t| t.eq_ignore_ascii_case(name));
        let is_sips = uri.is_some_and(|uri| uri.scheme == Scheme::Sips);
        // What came protected is never answered for all to read.
        let secure = arrival.secure || is_sips || named("tls");
        let address = uri.and_then(|uri| {
            let mut address = uri.socket_addr()?;
            if secure && uri.port.is_none() {
                address.set_port(Transport::Tls.default_port());
            }
            Some(address)
        });
        let address = address.filter(|address| self.hears(address.ip()));
        let is_stream = named("tcp") || (arrival.transport().is_reliable() && !named("udp"));
        if !is_stream && !secure {
            return SipDestination::Udp(address.unwrap_or(arrival.remote));
        }
        let remote = address.unwrap_or(arrival.back);
        let same_peer = address.is_none_or(|address| address.ip() == arrival.remote.ip());
        SipDestination::Stream {
            secure,
            conn: arrival.conn.filter(|conn| {
                same_peer && secure == arrival.secure && self.connections.contains(*conn)
            }),
            remote,
        }
    }

    fn request_answered(
        &mut self,
        now: Instant,
        slot: Slot,
        purpose: Purpose,
        code: u16,
        answered: Result<(Slot, &SipMessage<'_>), Unanswered>,
    ) {
        let response = answered.ok().map(|(_, response)| response);
        if let (Ok((transaction, response)), 401 | 407) = (answered, code)
            && self.is_retried(slot, (code, response), self.way_of_request(transaction))
            && self.retry(now, slot, purpose, transaction)
        {
            return;
        }
        if let Some(response) = response {
            self.let_through(slot, response);
        }
        let is_up = self.sessions.get(slot).is_some_and(|s| !s.is_ending());
        match purpose {
            Purpose::Prack(fork) => self.prack_answered(slot, fork, code),
            Purpose::Cancel => {}
            Purpose::Bye => {
                self.sessions.remove(slot);
            }
            Purpose::Info => {
                self.sessions.update(slot, |session| session.info = None);
                // Section 12.2.1.2: the peer knows of no such call. A phone that does not answer INFO
                // at all keeps its call.
                if code == 481 && is_up {
                    self.forget_session(now, slot);
                    let cause = Cause::new(481, "the caller no longer knew the call");
                    self.tell_ended(slot, cause, EndedBy::Remote);
                } else if is_up {
                    self.key_answered(now, slot, code);
                }
            }
            Purpose::Refer if is_up => self.refer_answered(now, slot, code, response),
            Purpose::Refer => {}
            Purpose::Notify => self.notify_answered(now, slot, code),
            Purpose::Update | Purpose::Refresh | Purpose::Probe => {
                self.sessions.update(slot, |session| session.update = None);
                if !is_up {
                    return;
                }
                match (purpose, code) {
                    (Purpose::Update, _) => self.offer_answered(now, slot, code, response),
                    (Purpose::Refresh, 200..300) => self.refreshed(now, slot, response),
                    // Whoever answers OPTIONS is there; what it thinks of them is no matter.
                    (Purpose::Probe, 408 | 481) | (Purpose::Refresh, _) => {
                        self.not_refreshed(now, slot, code, response);
                    }
                    _ => {}
                }
            }
        }
    }

    fn way_of_request(&self, transaction: Slot) -> Option<SipDestination> {
        self.clients.get(transaction).map(|t| t.destination())
    }

    /// Sends a request that was challenged once more, with credentials.
    fn retry(&mut self, now: Instant, slot: Slot, purpose: Purpose, transaction: Slot) -> bool {
        let request = self.clients.get(transaction).map(|t| t.request().clone());
        let body = request.as_deref().and_then(|request| {
            let end = request.windows(4).position(|four| four == b"\r\n\r\n")?;
            request.get(end.saturating_add(4)..)
        });
        let body = body.unwrap_or_default().to_vec();
        let mut headers = match purpose {
            Purpose::Update | Purpose::Refresh => self.refresh_headers(slot),
            Purpose::Refer => self.refer_headers(slot),
            Purpose::Notify => self.notify_headers(slot),
            _ => Vec::new(),
        };
        let kind = request.as_deref().and_then(content_type);
        headers.extend(kind.filter(|_| !body.is_empty()));
        let Ok(again) = self.send_request(now, slot, purpose, headers, body) else {
            return false;
        };
        if purpose == Purpose::Refer {
            self.refer_sent(slot, again);
        }
        self.sessions.update(slot, |session| match purpose {
            Purpose::Notify => {
                if let Some(notifier) = &mut session.notifier {
                    notifier.request = Some(again);
                }
            }
            Purpose::Info => session.info = Some(again),
            Purpose::Update | Purpose::Refresh | Purpose::Probe => {
                session.update = Some(again);
                if let Exchange::Ours { transaction, .. } = &mut session.exchange
                    && purpose == Purpose::Update
                {
                    *transaction = again;
                }
            }
            Purpose::Bye | Purpose::Prack(_) | Purpose::Cancel | Purpose::Refer => {}
        });
        true
    }

    /// Makes room for one request by forgetting one that was answered.
    pub(super) fn make_client_room(&mut self) -> bool {
        if !self.clients.is_full() {
            return true;
        }
        let answered = self.clients.iter().find(|(_, t)| !t.is_waiting());
        let slot = answered.map(|(slot, _)| slot);
        slot.and_then(|slot| self.clients.remove(slot)).is_some()
    }
}

/// The type of the body of a request of ours as it was printed.
fn content_type(request: &[u8]) -> Option<Header> {
    let message = SipMessage::parse(request).ok()?;
    let kind = message.headers().text(HeaderName::ContentType)?;
    Some(Header::ContentType(kind.into()))
}
