//! From a placed call to its INVITE (RFC 3261 section 13.2.1): targets, registration, offer.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::network::Transport;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::admission::Turned;
use crate::gateway::call::Call;
use crate::gateway::config::{HostPort, MediaAddress};
use crate::gateway::ending::Ending;
use crate::gateway::negotiation::local_media;
use crate::gateway::outgoing::{Outgoing, Stage};
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::limits::{SDP_OFFER_LEAST_BYTES, SIP_INVITE_BYTES, SIP_INVITE_HEAD_BYTES};
use crate::sdp::{SrtpTerms, Wanted};
use crate::sip::{
    CallOut, Cause, EndedBy, RegistrationConfig, RegistrationState, SipTarget, SipTargets,
};
use crate::wire::sip_uri::{Scheme, Uri};

/// Seconds that a call's registration asks for.
const REGISTRATION_SECONDS: u32 = 600;

/// Both tracks: a call out offers both.
const BOTH: Wanted = Wanted {
    audio: true,
    video: true,
    ipv6: false,
    remote: None,
};

impl Gateway {
    /// Takes a call that has no answer one step on, as far as it can go now.
    pub(in crate::gateway) fn drive_call(
        &mut self,
        now: Instant,
        index: CallIndex,
        outlet: &mut dyn Outlet,
    ) {
        self.look_up_host(index, outlet);
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        let (at, is_live) = (call.trunk, call.is_calling() && call.is_live());
        let Some(out) = call.outgoing.as_mut().filter(|_| is_live) else {
            return;
        };
        if now >= out.until {
            let cause = Cause::new(408, "nobody answered");
            return self.give_up(now, index, cause, EndedBy::Silence, outlet);
        }
        let step = match &mut out.stage {
            Stage::LookingUp { hosts, targets, .. } if hosts.is_empty() => {
                let targets = core::mem::take(targets);
                if call.sip.is_some() {
                    self.follow(now, index, *targets, outlet)
                } else if out.way.register {
                    self.register_call(now, index, targets, outlet)
                } else {
                    self.invite(now, index, &targets, outlet)
                }
            }
            Stage::Registering(targets) => {
                let state = out
                    .registration
                    .and_then(|id| self.trunks.get(at)?.endpoint.registration(id));
                match state {
                    Some(RegistrationState::Registered { .. }) => {
                        let targets = core::mem::take(targets);
                        self.invite(now, index, &targets, outlet)
                    }
                    Some(RegistrationState::Failed { code, words, .. }) => {
                        call.ending = Some(Ending::RegistrationFailed);
                        Err(Cause::new(*code, format!("registration: {words}")))
                    }
                    Some(RegistrationState::AuthenticationFailed { words }) => {
                        call.ending = Some(Ending::WrongPassword);
                        Err(Cause::new(403, format!("registration: {words}")))
                    }
                    Some(RegistrationState::Registering | RegistrationState::Unregistered) => {
                        Ok(())
                    }
                    None => Err(Cause::new(500, "the registration is gone")),
                }
            }
            Stage::Over(cause) => Err(cause.clone()),
            Stage::LookingUp { .. } | Stage::Invited => Ok(()),
        };
        if let Err(cause) = step {
            self.give_up(now, index, cause, EndedBy::Local, outlet);
        }
    }

    /// Ends a call that has no answer, whether or not SIP knows of it.
    pub(in crate::gateway) fn give_up(
        &mut self,
        now: Instant,
        index: CallIndex,
        cause: Cause,
        by: EndedBy,
        outlet: &mut dyn Outlet,
    ) {
        if !self.hang_up(now, index, cause.clone()) {
            self.call_over(now, index, cause, by, outlet);
        }
    }

    /// Registers for a call, or shares a registration that there is.
    fn register_call(
        &mut self,
        now: Instant,
        index: CallIndex,
        targets: Box<SipTargets>,
        outlet: &mut dyn Outlet,
    ) -> Result<(), Cause> {
        let gone = || Cause::new(500, "the call is gone");
        let call = self.calls.get_mut(index).ok_or_else(gone)?;
        let trunk = self.trunks.get_mut(call.trunk).ok_or_else(gone)?;
        let out = call.outgoing.as_mut().ok_or_else(gone)?;
        let way = &out.way;
        let config = RegistrationConfig {
            registrar: way.registrar.clone(),
            address_of_record: way.address_of_record.clone(),
            display_name: out.visible_name.clone(),
            contact_user: way.login.clone(),
            expires: REGISTRATION_SECONDS,
            routes: way.routes.clone(),
            targets: (*targets).clone(),
            credentials: way.credentials.clone(),
        };
        trunk.set_ways(&targets, self.config.media.address, outlet);
        let id = trunk.registrations.hold(now, &mut trunk.endpoint, config);
        let id = id.map_err(|refusal| Cause::new(503, format!("registration: {refusal}")))?;
        trunk.dirty = true;
        out.registration = Some(id);
        out.stage = Stage::Registering(targets);
        Ok(())
    }

    /// The targets of a call in the order to try them: those last that are known to be down.
    fn up_first(&mut self, index: CallIndex, targets: &SipTargets) -> SipTargets {
        let trunk = self.calls.get_mut(index).map(|call| call.trunk);
        let trunk = trunk.and_then(|at| self.trunks.get(at));
        let is_down = |target: &SipTarget| {
            let mut peers = trunk.into_iter().flat_map(|trunk| trunk.endpoint.peers());
            peers.any(|(peer, state)| peer == *target && state.is_down())
        };
        let up = targets.iter().filter(|target| !is_down(target));
        let down = targets.iter().filter(|target| is_down(target));
        up.chain(down).copied().collect()
    }

    /// Opens the media sockets and sends the INVITE.
    fn invite(
        &mut self,
        now: Instant,
        index: CallIndex,
        targets: &SipTargets,
        outlet: &mut dyn Outlet,
    ) -> Result<(), Cause> {
        let gone = || Cause::new(500, "the call is gone");
        let targets = self.up_first(index, targets);
        let target = targets.first();
        let target = target.ok_or_else(|| Cause::new(503, "no address was found"))?;
        let local = match self.config.media.address {
            MediaAddress::Fixed(address) => address,
            MediaAddress::Auto => outlet.local_address(target.address.ip()),
        };
        let mut ports = self.calls.get_mut(index).ok_or_else(gone)?.ports;
        let opened = self.open_tracks(index, &mut ports, local, BOTH, outlet);
        let call = self.calls.get_mut(index).ok_or_else(gone)?;
        call.local = local;
        call.ports = ports;
        if let Err(Turned::Full(words)) = opened {
            call.ending = Some(Ending::Capacity);
            return Err(Cause::new(503, words));
        }
        let trunk = self.trunks.get_mut(call.trunk).ok_or_else(gone)?;
        let view = self.sinks.view(now, call.sink);
        call.negotiation.set_sink(view);
        let terms = SrtpTerms {
            policy: trunk.config.srtp,
            // Wherever it may go, the keys cannot be read on their way.
            secure: all_secure(&targets),
        };
        call.negotiation.set_protection(terms, &mut self.rng);
        let media = local_media(local, &ports);
        let out = call.outgoing.as_mut().ok_or_else(gone)?;
        let by_datagram = targets.iter().any(|to| to.transport == Transport::Udp);
        let room = match by_datagram {
            true => offer_room(out, &call.sip_call_id),
            false => usize::MAX,
        };
        let offer = call.negotiation.offer_within(&media, room);
        let sdp = offer.map_err(|refusal| Cause::new(488, refusal.to_string()))?;
        let way = &out.way;
        // The trunk's own registration counts as well, where the call is in the same name (RFC 3608
        // section 5).
        let of_trunk = trunk
            .presence
            .registration()
            .filter(|id| trunk.registrations.name(*id) == Some(way.address_of_record.as_str()));
        let registration = out.registration.or(of_trunk);
        let of_registrar = registration.map(|id| trunk.endpoint.service_route(id));
        let routes = way.routes.iter().chain(of_registrar.unwrap_or_default());
        let call_out = CallOut {
            display_name: out.visible_name.clone(),
            contact_user: way.login.clone(),
            call_id: Some(call.sip_call_id.clone()),
            routes: routes.cloned().collect(),
            credentials: way.credentials.clone(),
            session_expires: trunk.config.session_timer.map(|timer| timer.expires),
            ..CallOut::new(
                &way.request_uri,
                &way.address_of_record,
                targets.clone(),
                &sdp,
            )
        };
        trunk.set_ways(&targets, self.config.media.address, outlet);
        trunk.dirty = true;
        out.stage = Stage::Invited;
        let placed = trunk.endpoint.call(now, call_out);
        let sip = placed.map_err(|refusal| Cause::new(503, refusal.to_string()))?;
        call.sip = Some(sip);
        out.way.forget_beginning();
        outlet.note(
            Level::Info,
            format_args!(
                "{}: INVITE to {} {}, Call-ID {}",
                call.label, target.transport, target.address, call.sip_call_id
            ),
        );
        Ok(())
    }

    /// A call was sent elsewhere, to a place that is to be looked up.
    pub(in crate::gateway) fn handle_redirected(
        &mut self,
        now: Instant,
        index: CallIndex,
        contact: &str,
        outlet: &mut dyn Outlet,
    ) {
        let Some(call) = self.calls.touch_mut(index) else {
            return;
        };
        outlet.note(
            Level::Info,
            format_args!("{}: redirected to {contact}", call.label),
        );
        match (redirection(contact), call.outgoing.as_mut()) {
            (Some((host, transport)), Some(out)) => {
                out.stage = Stage::looking_up(vec![host], transport);
            }
            _ => {
                let words = "redirected to an address of no use";
                self.hang_up(now, index, Cause::new(302, words));
            }
        }
    }

    /// Goes on with a call that was sent elsewhere.
    fn follow(
        &mut self,
        now: Instant,
        index: CallIndex,
        targets: SipTargets,
        outlet: &mut dyn Outlet,
    ) -> Result<(), Cause> {
        let gone = || Cause::new(500, "the call is gone");
        let call = self.calls.get_mut(index).ok_or_else(gone)?;
        let trunk = self.trunks.get_mut(call.trunk).ok_or_else(gone)?;
        let out = call.outgoing.as_mut().ok_or_else(gone)?;
        out.stage = Stage::Invited;
        if call.negotiation.terms().secure && !all_secure(&targets) {
            let words = "redirected away from TLS, by which the keys of the media went";
            self.hang_up(now, index, Cause::new(488, words));
            return Ok(());
        }
        trunk.set_ways(&targets, self.config.media.address, outlet);
        trunk.dirty = true;
        let followed = call.sip.map(|sip| trunk.endpoint.follow(now, sip, targets));
        if let Some(Err(refusal)) = followed {
            // Its end is reported.
            self.hang_up(now, index, Cause::new(503, refusal.to_string()));
        }
        Ok(())
    }

    /// Starts the publisher of a call out once there is something to publish: never before media, so
    /// that no stream begins empty.
    pub(in crate::gateway) fn start_publishing(&mut self, now: Instant, index: CallIndex) {
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        if !call.is_live() || call.publishing.is_some() || !call.has_begun() {
            return;
        }
        let target = call.outgoing.as_ref().and_then(|out| {
            let url = out.rtmp_url.clone()?;
            Some((url, out.published_name.as_ref()?.clone()))
        });
        let Some((url, name)) = target else {
            return;
        };
        let (sink, video, codec) = (call.sink, call.expects_video, call.video_codec);
        let mut publishing = self.publishing(now, url, name.expose(), (sink, video));
        if let Some(publishing) = &mut publishing {
            publishing.publisher.set_video_codec(codec);
        }
        if let Some(call) = self.calls.touch_mut(index) {
            call.publishing = publishing;
        }
    }
}

impl Call {
    /// When a call that is not answered is taken back.
    pub(in crate::gateway) fn calling_until(&self) -> Option<Instant> {
        let out = self.outgoing.as_ref().filter(|_| self.is_calling());
        out.filter(|_| self.is_live()).map(|out| out.until)
    }
}

/// Whether nothing on the first part of the way can be read.
fn all_secure(targets: &SipTargets) -> bool {
    let mut targets = targets.iter();
    targets.all(|target| target.transport == Transport::Tls)
}

/// Where a redirection leads: its host, and how to reach it where that is said.
fn redirection(contact: &str) -> Option<(HostPort, Option<Transport>)> {
    let uri = Uri::parse(contact.as_bytes())?;
    let transport = match (uri.scheme, uri.transport()) {
        (Scheme::Sips, _) => Some(Transport::Tls),
        (_, Some(text)) if text.eq_ignore_ascii_case("tcp") => Some(Transport::Tcp),
        (_, Some(text)) if text.eq_ignore_ascii_case("tls") => Some(Transport::Tls),
        (_, Some(text)) if text.eq_ignore_ascii_case("udp") => Some(Transport::Udp),
        _ => None,
    };
    let host = uri.host?.to_string().parse().ok()?;
    Some((HostPort::new(host, uri.port), transport))
}

/// Bytes that the offer of a call may have, so that its INVITE fits one datagram.
fn offer_room(out: &Outgoing, call_id: &str) -> usize {
    let way = &out.way;
    let routes = way
        .routes
        .iter()
        .map(|route| route.len().saturating_add("Route: \r\n".len()));
    let names = [
        // In the request line and To.
        way.request_uri.len().saturating_mul(2),
        way.address_of_record.len(),
        out.visible_name
            .as_ref()
            .map_or(0, |name| name.len().saturating_add(3)),
        way.login.len(),
        call_id.len(),
    ];
    let head = names
        .into_iter()
        .chain(routes)
        .fold(SIP_INVITE_HEAD_BYTES, usize::saturating_add);
    SIP_INVITE_BYTES
        .saturating_sub(head)
        .max(SDP_OFFER_LEAST_BYTES)
}
