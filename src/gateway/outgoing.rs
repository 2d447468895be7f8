//! Calls out: what is asked for, why it may be refused, and what is kept of it.
//!
//! A request comes whole and checked from the REST interface. That the peer does not answer, or
//! declines, is no refusal: the call exists from the moment it is accepted here, and ends as every
//! call does.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use crate::base::network::Transport;
use crate::base::redact::Secret;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::{Beginning, Call, Label, Ports};
use crate::gateway::config::{self, CallNames, Host, HostPort};
use crate::gateway::ending::Ending;
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::gateway::page::history::RefusedCall;
use crate::gateway::sink::Sink;
use crate::sdp::OfferAnswer;
use crate::sip::{Cause, EndedBy, RegistrationId, SipTargets};
use crate::wire::rtmp_url::RtmpUrl;

pub(super) use progress::Progress;
use way::Way;
pub(super) use way::escaped;

mod calling;
mod progress;
mod way;

/// How long a call of ours may go without answer, look-ups and registration included: longer than SIP
/// lets it ring.
const CALLING_PATIENCE: Duration = Duration::from_secs(300);

/// Tracks of a call, each with a pair of ports.
const TRACKS: usize = 2;

/// What the name of every stream at an RTMP server begins with.
pub const RTMP_PREFIX: &str = "rtmp_";

/// A call to be placed. Every text is bounded by the limit that its field names.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// The client's name of the call, unique among live calls, and the `Call-ID` of the INVITE;
    /// characters of a `word` (RFC 3261, section 25.1), with at most one `@`.
    /// [`REST_CALL_ID_BYTES`](crate::limits::REST_CALL_ID_BYTES).
    pub call_id: String,
    /// User part of the address that is called, unescaped.
    /// [`SIP_USER_BYTES`](crate::limits::SIP_USER_BYTES).
    pub callee: String,
    /// User part of our own address, unescaped; no space and no reserved character.
    /// [`SIP_USER_BYTES`](crate::limits::SIP_USER_BYTES).
    pub login: String,
    /// User name of digest authentication: the login where the client gave none. Bounded alike.
    pub authentication_name: String,
    /// Password of digest authentication; none lets a challenge end the call.
    /// [`REST_PASSWORD_BYTES`](crate::limits::REST_PASSWORD_BYTES).
    pub password: Option<Secret<String>>,
    /// The domain of both addresses, and the registrar.
    pub domain: Host,
    /// Where requests go first; the domain without one.
    pub outbound_proxy: Option<Host>,
    /// SIP port of outbound proxy or domain; without one it is found by name, or is 5060.
    pub port: Option<u16>,
    /// Whether to register before the call.
    pub register: bool,
    /// Display name of our own address.
    /// [`REST_NAME_BYTES`](crate::limits::REST_NAME_BYTES).
    pub visible_name: Option<String>,
    /// Whether sound is offered `sendrecv`; `recvonly` if not.
    pub has_audio: bool,
    /// The same for video.
    pub has_video: bool,
    /// Name of the stream on this box.
    /// [`RTMP_NAME_BYTES`](crate::limits::RTMP_NAME_BYTES).
    pub to_stream: Option<String>,
    /// RTMP server to publish to. Always together with [`Self::rtmp_stream`].
    pub rtmp_url: Option<RtmpUrl>,
    /// Name of the stream at that server, as the client gave it. Bounded like
    /// [`Self::to_stream`]; may be a secret stream key.
    pub rtmp_stream: Option<Secret<String>>,
    /// Whether that name is published as it is, as a stream key of a cloud has to be.
    pub rtmp_name_as_given: bool,
    /// Application whose hooks are told of the call.
    /// [`REST_NAME_BYTES`](crate::limits::REST_NAME_BYTES).
    pub app_key: Option<String>,
}

impl CallRequest {
    /// Name of the stream at the RTMP server: with [`RTMP_PREFIX`], unless it begins so already or is
    /// to be as given.
    pub fn published_name(&self) -> Option<Secret<String>> {
        let name = self.rtmp_stream.as_ref()?.expose();
        Some(Secret::new(
            match self.rtmp_name_as_given || name.starts_with(RTMP_PREFIX) {
                true => name.clone(),
                false => format!("{RTMP_PREFIX}{name}"),
            },
        ))
    }
}

/// Why a call out is not placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallRefused {
    /// A live call has this name.
    SameCallId,
    /// A live call publishes to the same RTMP server under the same name.
    SameTarget,
    /// A live call has the same stream name on this box.
    SameStream,
    /// Something is used up: what, in words such as `every call is taken`.
    Full(&'static str),
    /// The box is stopping.
    Stopping,
    /// It cannot be placed with this configuration: why, in words.
    Impossible(&'static str),
}

impl fmt::Display for CallRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameCallId => "a call with this callId exists already",
            Self::SameTarget => "a call to this rtmpUrl and rtmpStream exists already",
            Self::SameStream => "a call with this stream name exists already",
            Self::Full(words) | Self::Impossible(words) => words,
            Self::Stopping => "the gateway stops",
        })
    }
}

impl core::error::Error for CallRefused {}

/// What is kept of a call out for as long as it lives, beside what every call has.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Application whose hooks are told of the call.
    pub app_key: Option<String>,
    /// Display name of our own address.
    pub visible_name: Option<String>,
    /// Whether sound was asked for.
    pub has_audio: bool,
    /// Whether video was asked for.
    pub has_video: bool,
    /// Name of the stream on this box, if one was asked for.
    pub to_stream: Option<String>,
    /// RTMP server that was asked for.
    pub rtmp_url: Option<RtmpUrl>,
    /// Name of the stream at that server, as the client gave it.
    pub rtmp_stream: Option<Secret<String>>,
    /// The same as that server knows it.
    pub published_name: Option<Secret<String>>,
    /// Code of the last response to the INVITE.
    pub sip_status: Option<u16>,
    /// Why it has ended, once it has.
    pub ended: Option<Cause>,
    /// Where its requests go, and in whose name.
    pub(in crate::gateway) way: Way,
    /// How far it is on its way to the INVITE.
    pub(super) stage: Stage,
    /// The registration that it holds.
    pub(super) registration: Option<RegistrationId>,
    /// When it is taken back, unless it is answered.
    pub(super) until: Instant,
}

/// How far a call is on its way to the INVITE.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// The hosts of its way, or of a redirection, are being looked up, those after the first still to
    /// come.
    LookingUp {
        hosts: Vec<HostPort>,
        transport: Option<Transport>,
        targets: Box<SipTargets>,
        /// Whether the first of them was asked for.
        is_asked: bool,
    },
    /// It waits for its registration.
    Registering(Box<SipTargets>),
    /// Its INVITE is out.
    Invited,
    /// It cannot be placed, or was taken back before its INVITE.
    Over(Cause),
}

impl Stage {
    fn looking_up(hosts: Vec<HostPort>, transport: Option<Transport>) -> Self {
        Self::LookingUp {
            hosts,
            transport,
            targets: Box::default(),
            is_asked: false,
        }
    }
}

impl Gateway {
    /// Places a call. It is among [`Gateway::calls`] from now on, whatever becomes of it: look-ups,
    /// a registration where one is asked for, and the INVITE follow by themselves.
    ///
    /// # Errors
    ///
    /// Nothing was done.
    pub fn start_call(
        &mut self,
        now: Instant,
        request: CallRequest,
        outlet: &mut dyn Outlet,
    ) -> Result<(), CallRefused> {
        let names = (request.login.clone(), request.callee.clone());
        let placed = self.place_call(now, request, outlet);
        if let Err(CallRefused::Full(_) | CallRefused::Stopping) = &placed {
            self.counters.calls_refused += 1;
        }
        if let Err(CallRefused::Full(words)) = &placed {
            let refused = RefusedCall {
                outgoing: true,
                trunk: "",
                caller: &names.0,
                callee: &names.1,
                ending: Ending::Capacity,
                words: format_args!("503 {words}"),
                times: 1,
            };
            self.remember_refused(now, &refused, outlet);
        }
        let index = placed?;
        self.drain_call(now, index, outlet);
        Ok(())
    }

    /// Ends the call of this name, whoever began it: CANCEL before the answer to a call of ours, BYE
    /// after it. False when no live call has the name.
    pub fn terminate_call(&mut self, now: Instant, call_id: &str, outlet: &mut dyn Outlet) -> bool {
        let live = |call: &Call| call.is_live() && call.sip_call_id == call_id;
        let Some(index) = self.calls.find(live) else {
            return false;
        };
        self.terminate_at(now, index, outlet);
        true
    }

    /// Ends the call at a place, as [`Self::terminate_call`] does.
    pub(super) fn terminate_at(&mut self, now: Instant, index: CallIndex, outlet: &mut dyn Outlet) {
        self.end_at(now, index, Ending::HungUpByRest, outlet);
    }

    /// Ends the call at a place, for who asked for it.
    pub(super) fn end_at(
        &mut self,
        now: Instant,
        index: CallIndex,
        ending: Ending,
        outlet: &mut dyn Outlet,
    ) {
        if let Some(call) = self.calls.get_mut(index) {
            call.ending = Some(ending);
        }
        let cause = Cause::new(200, "ended by request");
        self.tell_hangup(now, index);
        self.give_up(now, index, cause, EndedBy::Local, outlet);
    }

    /// Takes the call into the table.
    fn place_call(
        &mut self,
        now: Instant,
        request: CallRequest,
        outlet: &mut dyn Outlet,
    ) -> Result<CallIndex, CallRefused> {
        if self.stopping {
            return Err(CallRefused::Stopping);
        }
        request.check().map_err(CallRefused::Impossible)?;
        if request
            .rtmp_url
            .as_ref()
            .is_some_and(|url| self.is_own_play_out(url))
        {
            let words = "rtmpUrl: this program's own play-out; toStream alone stays on the box";
            return Err(CallRefused::Impossible(words));
        }
        let at = self.trunk_of(&request);
        let at = at.ok_or(CallRefused::Impossible("there is no trunk"))?;
        let trunk = self.trunks.get(at);
        let trunk = trunk.ok_or(CallRefused::Impossible("there is no trunk"))?;
        let stream = request.stream_name(&trunk.config);
        self.check_conflicts(&request, &stream)?;
        let index = self.calls.vacant();
        let index = index.ok_or(CallRefused::Full("every call is taken"))?;
        if self.trunk_is_full(at) {
            return Err(CallRefused::Full("every call of the trunk is taken"));
        }
        if self.ports.available() < TRACKS {
            return Err(CallRefused::Full("no media port is free"));
        }
        let url = request.rtmp_url.as_ref();
        let profile = trunk
            .config
            .sink
            .filter(|_| url == trunk.config.url.as_ref());
        let sink = Sink::to(url, profile);
        let label = Label {
            number: self.next_call,
            trunk: trunk.config.name.clone(),
            caller: request.login.clone(),
            callee: request.callee.clone(),
        };
        let (way, hosts, transport) = Way::of(&request, trunk);
        let mut negotiation = OfferAnswer::new(trunk.plan.clone(), self.rng.u32());
        negotiation.set_sends(request.has_audio, request.has_video);
        let cname = format!("trunkcast-{:08x}", self.rng.u32());
        let published_name = request.published_name();
        let outgoing = Outgoing {
            app_key: request.app_key,
            visible_name: request.visible_name,
            has_audio: request.has_audio,
            has_video: request.has_video,
            to_stream: request.to_stream,
            rtmp_url: request.rtmp_url,
            published_name,
            rtmp_stream: request.rtmp_stream,
            sip_status: None,
            ended: None,
            way,
            stage: Stage::looking_up(hosts, transport),
            registration: None,
            until: now + CALLING_PATIENCE,
        };
        // What a client names for the server alone may be a key.
        let stream_is_key = outgoing.to_stream.is_none() && outgoing.rtmp_stream.is_some();
        let beginning = Beginning {
            stream_is_key,
            label,
            trunk: at,
            sip: None,
            sip_call_id: request.call_id,
            stream,
            sink,
            negotiation,
            // Known once it is known where to.
            local: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            ports: Ports::default(),
            session: self.session(cname),
            publishing: None,
            offered: false,
            outgoing: Some(Box::new(outgoing)),
        };
        let call = Call::new(now, beginning);
        outlet.note(
            Level::Info,
            format_args!(
                "{}: {} Call-ID {} stream {}",
                call.label,
                call.status,
                call.sip_call_id,
                call.shown_stream()
            ),
        );
        self.next_call += 1;
        self.calls.insert(index, call);
        Ok(index)
    }

    /// Whether a live call has a name that the new one would have.
    fn check_conflicts(&self, request: &CallRequest, stream: &str) -> Result<(), CallRefused> {
        for (_, call) in self.calls.iter().filter(|(_, call)| call.is_live()) {
            if call.sip_call_id == request.call_id {
                return Err(CallRefused::SameCallId);
            }
            let target = call.outgoing.as_ref().and_then(|out| {
                let url = out.rtmp_url.as_ref()?;
                Some((url, out.published_name.clone()?))
            });
            let wanted = request.rtmp_url.as_ref().zip(request.published_name());
            if wanted.is_some() && target == wanted {
                return Err(CallRefused::SameTarget);
            }
            if call.stream == stream {
                return Err(CallRefused::SameStream);
            }
        }
        Ok(())
    }

    /// Whether an address is that of this program's own play-out.
    pub(super) fn is_own_play_out(&self, url: &RtmpUrl) -> bool {
        let host = url.host().parse();
        let is_here = host.is_ok_and(|host: Host| host.is_loopback());
        is_here && url.port() == self.config.rtmp_listen.port()
    }

    /// Whether a trunk has as many calls as it may.
    pub(super) fn trunk_is_full(&self, at: usize) -> bool {
        let limit = self.trunks.get(at).and_then(|trunk| trunk.config.calls);
        limit.is_some_and(|limit| self.calls_of(at) >= limit)
    }

    /// Live calls of a trunk.
    pub(super) fn calls_of(&self, at: usize) -> usize {
        let calls = self.calls.iter();
        calls
            .filter(|(_, call)| call.trunk == at && call.is_live())
            .count()
    }
}

impl CallRequest {
    /// Why it cannot be placed, the field of the REST interface first.
    fn check(&self) -> Result<(), &'static str> {
        let reserved = |text: &str| {
            let bad = |c: char| c.is_whitespace() || c.is_control() || "<>\"@:;,?/\\".contains(c);
            text.is_empty() || text.chars().any(bad)
        };
        if reserved(&self.login) {
            Err("sipLogin: SIP login or authentication name contains reserved symbols")
            // Providers give out names with their domain.
        } else if reserved(&self.authentication_name.replace('@', "")) {
            Err("sipAuthenticationName: SIP login or authentication name contains reserved symbols")
        } else if self.callee.is_empty() {
            Err("callee: expected whom to call")
        } else if self.call_id.is_empty() || !self.call_id.bytes().all(|b| b.is_ascii_graphic()) {
            Err("callId: expected visible characters")
        } else if self.rtmp_url.is_some() != self.rtmp_stream.is_some() {
            Err("rtmpUrl: expected rtmpStream beside it, and neither without the other")
        } else {
            Ok(())
        }
    }

    /// Name of its stream on this box.
    fn stream_name(&self, trunk: &config::Trunk) -> String {
        let of_server = self.rtmp_stream.as_ref().map(Secret::expose);
        let given = self.to_stream.as_ref().or(of_server);
        given.cloned().unwrap_or_else(|| {
            trunk.stream_name.expand(&CallNames {
                callee: &self.callee,
                caller: &self.login,
                trunk: &trunk.name,
                ..CallNames::default()
            })
        })
    }
}
