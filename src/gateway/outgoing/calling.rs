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

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::admission::Turned;
use crate::gateway::call::Call;
use crate::gateway::config::MediaAddress;
use crate::gateway::negotiation::local_media;
use crate::gateway::outgoing::{Outgoing, Stage};
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::limits::{SDP_OFFER_LEAST_BYTES, SIP_INVITE_BYTES, SIP_INVITE_HEAD_BYTES};
use crate::sdp::Wanted;
use crate::sip::{CallOut, Cause, EndedBy, RegistrationConfig, RegistrationState, SipTargets};

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
            if !self.hang_up(now, index, cause.clone()) {
                self.call_over(now, index, cause, EndedBy::Silence, outlet);
            }
            return;
        }
        let step = match &mut out.stage {
            Stage::LookingUp { hosts, targets, .. } if hosts.is_empty() => {
                let targets = core::mem::take(targets);
                if out.way.register {
                    self.register_call(now, index, targets, outlet)
                } else {
                    self.invite(now, index, &targets, outlet)
                }
            }
            Stage::Registering(targets) => {
                let state = out
                    .registration
                    .and_then(|id| self.trunks.get(at)?.registrations.state(id));
                match state {
                    Some(RegistrationState::Registered { .. }) => {
                        let targets = core::mem::take(targets);
                        self.invite(now, index, &targets, outlet)
                    }
                    Some(RegistrationState::Failed { code, words, .. }) => {
                        Err(Cause::new(*code, format!("registration failed: {words}")))
                    }
                    Some(RegistrationState::AuthenticationFailed { words }) => {
                        Err(Cause::new(403, format!("registration failed: {words}")))
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
            self.call_over(now, index, cause, EndedBy::Local, outlet);
        }
    }

    /// Registers for a call, or shares a registration that there is.
    fn register_call(
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
        let way = &out.way;
        let config = RegistrationConfig {
            registrar: way.registrar.clone(),
            address_of_record: way.address_of_record.clone(),
            display_name: out.visible_name.clone(),
            contact_user: way.login.clone(),
            expires: REGISTRATION_SECONDS,
            routes: way.routes.clone(),
            targets: targets.clone(),
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

    /// Opens the media sockets and sends the INVITE.
    fn invite(
        &mut self,
        now: Instant,
        index: CallIndex,
        targets: &SipTargets,
        outlet: &mut dyn Outlet,
    ) -> Result<(), Cause> {
        let gone = || Cause::new(500, "the call is gone");
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
            return Err(Cause::new(503, words));
        }
        let trunk = self.trunks.get_mut(call.trunk).ok_or_else(gone)?;
        let view = self.sinks.view(now, call.sink);
        call.negotiation.set_sink(view);
        let media = local_media(local, &ports);
        let out = call.outgoing.as_mut().ok_or_else(gone)?;
        let room = offer_room(out, &call.sip_call_id);
        let offer = call.negotiation.offer_within(&media, room);
        let sdp = offer.map_err(|refusal| Cause::new(488, refusal.to_string()))?;
        let way = &out.way;
        let call_out = CallOut {
            display_name: out.visible_name.clone(),
            contact_user: way.login.clone(),
            call_id: Some(call.sip_call_id.clone()),
            routes: way.routes.clone(),
            credentials: way.credentials.clone(),
            session_expires: trunk.config.session_timer.map(|timer| timer.expires),
            ..CallOut::new(
                &way.request_uri,
                &way.address_of_record,
                targets.clone(),
                &sdp,
            )
        };
        trunk.set_ways(targets, self.config.media.address, outlet);
        trunk.dirty = true;
        out.stage = Stage::Invited;
        let placed = trunk.endpoint.call(now, call_out);
        let sip = placed.map_err(|refusal| Cause::new(503, refusal.to_string()))?;
        call.sip = Some(sip);
        outlet.note(
            Level::Info,
            format_args!(
                "{}: INVITE to {} {}, Call-ID {}",
                call.label, target.transport, target.address, call.sip_call_id
            ),
        );
        Ok(())
    }

    /// Starts the publisher of a call out once there is something to publish: never before media, so
    /// that no stream begins empty.
    pub(in crate::gateway) fn start_publishing(&mut self, now: Instant, index: CallIndex) {
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        let has_begun = call.answered.is_some() || call.log.end() > 0;
        if !call.is_live() || call.publishing.is_some() || !has_begun {
            return;
        }
        let target = call.outgoing.as_ref().and_then(|out| {
            let url = out.rtmp_url.clone()?;
            Some((url, out.rtmp_stream.as_ref()?.clone()))
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
