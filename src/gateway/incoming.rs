//! What SIP reports, handed to the call that it is of, and what SIP has to send.

use core::time::Duration;

use crate::base::ids::CallId;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::admission::Invite;
use crate::gateway::connections::User;
use crate::gateway::contain::{self, contained};
use crate::gateway::ending::Ending;
use crate::gateway::outgoing::Progress;
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::gateway::page::history::RefusedCall;
use crate::gateway::transfer::Referred;
use crate::sip::{Cause, SipDestination, SipEvent};

/// From one line about calls that found no room to the next.
const REFUSALS_EACH: Duration = Duration::from_secs(10);

impl Gateway {
    /// Handles what a trunk's endpoint reports and sends what it has to send.
    pub(super) fn drain_trunk(&mut self, now: Instant, at: usize, outlet: &mut dyn Outlet) {
        self.settle_trunk(now, at, outlet);
        loop {
            let Some(trunk) = self.trunks.get_mut(at) else {
                return;
            };
            trunk.dirty = false;
            while let Some(transmit) = trunk.endpoint.poll_transmit() {
                match transmit.destination {
                    SipDestination::Udp(remote) => outlet.send_sip(at, remote, transmit.bytes),
                    SipDestination::Stream {
                        secure,
                        conn,
                        remote,
                    } => {
                        let mut opening = trunk.opening.iter();
                        let opening = opening.find(|(_, to, tls)| (*to, *tls) == (remote, secure));
                        let conn = conn.or(opening.map(|(conn, ..)| *conn)).or_else(|| {
                            let domain = secure.then(|| trunk.tls_names.of(remote));
                            let conn = outlet.connect_sip(at, remote, domain.as_deref())?;
                            self.connections.insert(conn, User::Sip(at));
                            // Without room the next message opens a connection of its own.
                            let _ = trunk.opening.push((conn, remote, secure));
                            Some(conn)
                        });
                        if let Some(conn) = conn {
                            outlet.send_stream(conn, transmit.bytes);
                        }
                    }
                }
            }
            let Some(event) = trunk.endpoint.poll_event() else {
                break;
            };
            let sip = contain::call_of(&event);
            if contained(|| self.handle_sip_event(now, at, event, outlet)).is_none()
                && let Some(sip) = sip
            {
                self.crash_event(now, at, sip, outlet);
            }
        }
        self.count_refused(now, at, outlet);
    }

    /// Takes over what the endpoint refused by itself, for want of room for a call. A burst of calls is
    /// no burst of lines in the log.
    fn count_refused(&mut self, now: Instant, at: usize, outlet: &mut dyn Outlet) {
        let Some(trunk) = self.trunks.get_mut(at) else {
            return;
        };
        let refused = trunk.endpoint.counters().calls_refused;
        let before = std::mem::replace(&mut trunk.refused, refused);
        let new = refused.saturating_sub(before);
        self.counters.calls_refused += new;
        let (untold, told) = &mut trunk.untold;
        *untold = untold.saturating_add(new);
        let untold = *untold;
        if untold > 0 && told.is_none_or(|told| now >= told + REFUSALS_EACH) {
            let name = trunk.config.name.clone();
            outlet.note(
                Level::Warn,
                format_args!("{name}: every call is taken; answered with 503: {untold}"),
            );
            trunk.untold = (0, Some(now));
            // They are not read so far that their callers are known.
            let refused = RefusedCall {
                outgoing: false,
                trunk: &name,
                caller: "",
                callee: "",
                ending: Ending::Capacity,
                words: format_args!("503, every call is taken"),
                times: u32::try_from(untold).unwrap_or(u32::MAX),
            };
            self.remember_refused(now, &refused, outlet);
        }
    }

    fn handle_sip_event(
        &mut self,
        now: Instant,
        at: usize,
        event: SipEvent,
        outlet: &mut dyn Outlet,
    ) {
        match event {
            SipEvent::Invite {
                id,
                caller,
                callee,
                display_name,
                identity,
                call_id,
                remote,
                secure,
                offer,
                replaces,
            } => {
                let invite = Invite {
                    id,
                    caller,
                    callee,
                    display_name,
                    identity,
                    call_id,
                    remote,
                    secure,
                    offer,
                    replaces,
                };
                self.handle_invite(now, at, invite, outlet);
            }
            SipEvent::Confirmed { id, answer } | SipEvent::ReinviteConfirmed { id, answer } => {
                if let Some(index) = self.call_of(at, id) {
                    self.handle_confirmed(now, index, answer.as_deref(), outlet);
                }
            }
            SipEvent::Reinvite { id, offer } => {
                if let Some(index) = self.call_of(at, id) {
                    self.handle_reinvite(now, index, offer.as_deref(), outlet);
                }
            }
            SipEvent::ReinviteCancelled { .. }
            // Nothing is offered in a provisional answer.
            | SipEvent::ProvisionalConfirmed { .. } => {}
            SipEvent::Peer { target, state } => self.handle_peer(at, target, state, outlet),
            SipEvent::OfferWanted { id, refresh } => {
                if let Some(index) = self.call_of(at, id) {
                    self.offer(now, index, refresh);
                }
            }
            SipEvent::Reinvited { id, answer } => {
                if let Some(index) = self.call_of(at, id) {
                    self.handle_reinvited(now, index, answer.as_deref(), outlet);
                }
            }
            SipEvent::ReinviteRefused { id, code } => {
                if let Some(index) = self.call_of(at, id) {
                    self.handle_reinvite_refused(index, code, outlet);
                }
            }
            SipEvent::KeyframeWanted { id } => {
                if let Some(index) = self.call_of(at, id) {
                    self.handle_keyframe_wanted(now, index);
                }
            }
            // Which key is not said: it may be part of a secret number.
            SipEvent::Dtmf { id, key, .. } => {
                let index = self.call_of(at, id);
                if let Some(index) = index
                    && let Some(call) = self.calls.get_mut(index)
                {
                    let label = &call.label;
                    outlet.note(Level::Info, format_args!("{label}: a key was pressed"));
                    self.tell_dtmf(now, index, key, "INFO");
                }
            }
            SipEvent::DtmfRefused { id, code } => {
                let index = self.call_of(at, id);
                if let Some(call) = index.and_then(|index| self.calls.get_mut(index)) {
                    let label = &call.label;
                    let line = format_args!("{label}: keys were refused by INFO ({code})");
                    outlet.note(Level::Warn, line);
                }
            }
            SipEvent::Progress {
                id,
                code,
                reason,
                answer,
            } => {
                if let Some(index) = self.leg_of(at, id) {
                    return self.leg_progress(now, index, code);
                }
                let progress = Progress {
                    id,
                    code,
                    reason,
                    answer,
                };
                self.handle_progress(now, at, &progress, outlet);
            }
            SipEvent::Answered { id, answer } => {
                if let Some(index) = self.leg_of(at, id) {
                    self.leg_answered(now, index, &answer, outlet);
                } else if let Some(index) = self.call_of(at, id) {
                    self.handle_answered(now, index, &answer, outlet);
                }
            }
            SipEvent::Redirected { id, contact } => {
                if let Some(index) = self.leg_of(at, id) {
                    // Nobody is called elsewhere than through the PBX.
                    self.leg_redirected(now, index, &contact);
                } else if let Some(index) = self.call_of(at, id) {
                    self.handle_redirected(now, index, &contact, outlet);
                }
            }
            SipEvent::Registration { id, state } => {
                self.tell_registration(now, at, id, &state, outlet);
                self.handle_registration(at, id, &state, outlet);
            }
            SipEvent::Refer {
                id,
                to,
                replaces,
                referred_by,
            } => {
                let referred = Referred {
                    to,
                    replaces,
                    referred_by,
                };
                self.handle_refer(now, at, id, &referred, outlet);
            }
            SipEvent::TransferProgress { id, code, done } => {
                if let Some(index) = self.call_of(at, id) {
                    self.handle_transfer_progress(now, index, (code, done), outlet);
                }
            }
            SipEvent::Ended { id, cause, by } => {
                if let Some(index) = self.leg_of(at, id) {
                    self.leg_ended(now, index, cause, by, outlet);
                } else if let Some(index) = self.call_of(at, id) {
                    if !self.goes_on_alone(index, &cause, by, outlet) {
                        self.call_over(now, index, cause, by, outlet);
                    }
                } else {
                    self.forget_asked(now, at, id, &cause, outlet);
                }
            }
            SipEvent::Abuse(abuse) => self.handle_abuse(at, &abuse, outlet),
            SipEvent::Disconnect { conn } => {
                self.connections.remove(conn);
                outlet.close(conn);
            }
        }
    }

    /// Ends a call; false when SIP knows it no more, so that no end will be reported.
    pub(super) fn hang_up(&mut self, now: Instant, index: CallIndex, cause: Cause) -> bool {
        let call = self.calls.get_mut(index);
        let Some((at, sip)) = call.and_then(|call| Some((call.trunk, call.sip?))) else {
            return false;
        };
        let Some(trunk) = self.trunks.get_mut(at) else {
            return false;
        };
        trunk.dirty = true;
        trunk.endpoint.hangup(now, sip, cause).is_ok()
    }

    pub(super) fn call_of(&self, trunk: usize, sip: CallId) -> Option<CallIndex> {
        self.calls
            .find(|call| call.trunk == trunk && call.sip == Some(sip))
    }
}
