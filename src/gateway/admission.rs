//! Whether a call is taken: room for it, a free stream name, and media that can be relayed.

use core::fmt;
use std::net::SocketAddr;

use crate::base::codec::CodecSet;
use crate::base::ids::CallId;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::{Beginning, Call, CallerWords, Label, Ports, Publishing};
use crate::gateway::config::{CallNames, MediaAddress};
use crate::gateway::ending::Ending;
use crate::gateway::negotiation::{local_media, tracks};
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::gateway::page::history::RefusedCall;
use crate::gateway::sink::Sink;
use crate::gateway::status::CallStatus;
use crate::limits::RETRY_AFTER_SECONDS;
use crate::rtmp::{Publisher, PublisherConfig};
use crate::rtp::session::{Session, SessionConfig};
use crate::sdp::{OfferAnswer, Refusal, SrtpTerms};
use crate::sip::Cause;
use crate::wire::rtmp_url::{RtmpUrl, StreamKey};
use crate::wire::sdp::SessionDescription;
use crate::wire::sip_identity::Identity;

/// An INVITE as SIP reports it.
pub(super) struct Invite {
    pub id: CallId,
    pub caller: String,
    pub callee: String,
    pub display_name: Option<String>,
    pub identity: Option<Box<Identity>>,
    pub call_id: String,
    pub remote: SocketAddr,
    pub secure: bool,
    pub offer: Option<Box<[u8]>>,
    pub replaces: Option<CallId>,
}

/// Why an INVITE is not answered with 200.
pub(super) enum Turned {
    /// A table, the ports or the memory are used up: 503.
    Full(&'static str),
    /// The stream name is in use: 486.
    Busy,
    /// Nothing of the offer can be relayed, or it cannot be read: 488 or 400.
    Media(Refusal),
}

impl Gateway {
    pub(super) fn handle_invite(
        &mut self,
        now: Instant,
        at: usize,
        incoming: Invite,
        outlet: &mut dyn Outlet,
    ) {
        if let Some(old) = incoming.replaces {
            return self.take_over(now, at, (old, &incoming), outlet);
        }
        if let Some(incoming) = self.ask_backend(now, at, incoming, outlet) {
            self.answer_invite(now, at, incoming, outlet);
        }
    }

    /// Takes a call, or refuses it.
    pub(super) fn answer_invite(
        &mut self,
        now: Instant,
        at: usize,
        incoming: Invite,
        outlet: &mut dyn Outlet,
    ) {
        let id = incoming.id;
        let answer = self.admit(now, at, &incoming, outlet);
        let Some(trunk) = self.trunks.get_mut(at) else {
            return;
        };
        trunk.dirty = true;
        let label = format!(
            "{} {}->{}",
            trunk.config.name, incoming.caller, incoming.callee
        );
        let refused = match answer {
            Ok((index, sdp)) => {
                // A caller that went away meanwhile refuses both, and its end is reported.
                let _ = trunk.endpoint.ring(now, id);
                if let Err(refusal) = trunk.endpoint.accept(now, id, &sdp) {
                    let _ = trunk
                        .endpoint
                        .hangup(now, id, Cause::new(500, refusal.to_string()));
                    return;
                }
                self.counters.calls += 1;
                if let Some(call) = self.calls.touch_mut(index) {
                    // Agreed on already, unless the offer is ours.
                    if call.status == CallStatus::Trying {
                        call.status = CallStatus::Established;
                    }
                    call.answered = Some(now);
                    outlet.note(
                        Level::Info,
                        format_args!(
                            "{}: {} from {} Call-ID {} stream {}{}",
                            call.label,
                            call.status,
                            incoming.remote,
                            call.sip_call_id,
                            call.shown_stream(),
                            CallerWords::of(call),
                        ),
                    );
                }
                return;
            }
            Err(Turned::Full(what)) => {
                self.counters.calls_refused += 1;
                let _ = trunk
                    .endpoint
                    .reject(now, id, 503, what, Some(RETRY_AFTER_SECONDS));
                outlet.note(Level::Warn, format_args!("{label}: 503, {what}"));
                let ending = match self.stopping {
                    true => Ending::Stopped,
                    false => Ending::Capacity,
                };
                (ending, format!("503, {what}"))
            }
            Err(Turned::Busy) => {
                self.counters.calls_refused += 1;
                let _ = trunk.endpoint.reject(now, id, 486, "Busy Here", None);
                let words = "486, its stream name is in use";
                outlet.note(Level::Warn, format_args!("{label}: {words}"));
                (Ending::StreamNameInUse, words.to_owned())
            }
            Err(Turned::Media(refusal)) => {
                self.counters.calls_without_media += 1;
                let reason = if refusal.status() == 488 {
                    refusal.to_string()
                } else {
                    String::new()
                };
                let _ = trunk
                    .endpoint
                    .reject(now, id, refusal.status(), &reason, None);
                let words = format!("{}, {refusal}", refusal.status());
                outlet.note(Level::Warn, format_args!("{label}: {words}"));
                (Ending::of_refusal(refusal.status()), words)
            }
        };
        let (ending, words) = refused;
        self.remember_turned(
            now,
            at,
            &incoming,
            (ending, format_args!("{words}")),
            outlet,
        );
    }

    /// A call in was not taken: it goes into the history.
    pub(super) fn remember_turned(
        &mut self,
        now: Instant,
        at: usize,
        incoming: &Invite,
        (ending, words): (Ending, fmt::Arguments<'_>),
        outlet: &mut dyn Outlet,
    ) {
        let trunk = self.trunk_name(at).to_owned();
        let refused = RefusedCall {
            outgoing: false,
            trunk: &trunk,
            caller: &incoming.caller,
            callee: &incoming.callee,
            ending,
            words,
            times: 1,
        };
        self.remember_refused(now, &refused, outlet);
    }

    /// Makes room for a call, opens its media sockets and negotiates; the description for the 200.
    fn admit(
        &mut self,
        now: Instant,
        at: usize,
        incoming: &Invite,
        outlet: &mut dyn Outlet,
    ) -> Result<(CallIndex, String), Turned> {
        if self.stopping {
            return Err(Turned::Full("the gateway stops"));
        }
        let index = self
            .calls
            .vacant()
            .ok_or(Turned::Full("every call is taken"))?;
        if self.trunk_is_full(at) {
            return Err(Turned::Full("every call of the trunk is taken"));
        }
        let trunk = self.trunks.get(at).filter(|trunk| trunk.is_working());
        let trunk = trunk.ok_or(Turned::Full("the trunk is no more"))?;
        let config = &trunk.config;
        let stream_is_key = config.has_stream_key();
        let identity = incoming.identity.as_deref();
        let asserted = identity.and_then(|identity| identity.asserted.as_ref());
        let diverted = identity.and_then(|identity| identity.diverted.as_ref());
        let asserted_display = asserted.and_then(|party| party.display.as_deref());
        let display = incoming.display_name.as_deref().or(asserted_display);
        let stream = config.stream_name.expand(&CallNames {
            callee: &incoming.callee,
            caller: &incoming.caller,
            trunk: &config.name,
            display: display.unwrap_or_default(),
            diverted: diverted.map_or("", |it| it.from.number.as_str()),
            asserted: asserted.map_or("", |party| party.number.as_str()),
        });
        let sink = trunk.sink;
        let (plan, trunk_name, url) = (trunk.plan.clone(), config.name.clone(), config.url.clone());
        if self
            .calls
            .iter()
            .any(|(_, call)| call.is_live() && call.stream == stream)
        {
            return Err(Turned::Busy);
        }
        let offer = incoming
            .offer
            .as_deref()
            .map(SessionDescription::parse)
            .transpose()
            .map_err(Refusal::from)
            .map_err(Turned::Media)?;
        let terms = SrtpTerms {
            policy: config.srtp,
            secure: incoming.secure,
        };
        let view = self.sinks.view(now, sink);
        let mut negotiation = OfferAnswer::new(plan.clone(), self.rng.u32());
        negotiation.set_sink(view);
        negotiation.set_protection(terms, &mut self.rng);
        let mut ports = Ports::default();
        let wanted = tracks(offer.as_ref(), &plan, view, terms);
        let local = match self.config.media.address {
            MediaAddress::Fixed(address) => address,
            // Media may come over the other protocol version than SIP, and from another host.
            MediaAddress::Auto => {
                let sip = incoming.remote.ip();
                let media = wanted
                    .remote
                    .filter(|media| media.is_ipv6() != sip.is_ipv6());
                outlet.local_address(media.unwrap_or(sip))
            }
        };
        let opened = self.open_tracks(index, &mut ports, local, wanted, outlet);
        let media = local_media(local, &ports);
        let negotiated = match (opened, &offer) {
            (Err(turned), _) => Err(turned),
            (Ok(()), Some(offer)) => match negotiation.answer(offer, &media) {
                Ok(answer) => Ok((answer.sdp, Some(answer.negotiated))),
                Err(refusal) => Err(Turned::Media(refusal)),
            },
            (Ok(()), None) => negotiation
                .offer(&media)
                .map(|sdp| (sdp, None))
                .map_err(Turned::Media),
        };
        let (text, negotiated) = match negotiated {
            Ok(negotiated) => negotiated,
            Err(turned) => {
                self.close_tracks(index, &mut ports, outlet);
                return Err(turned);
            }
        };
        let expects_video = ports.video.is_some();
        let publishing =
            url.and_then(|url| self.publishing(now, url, &stream, (sink, expects_video)));
        let mut call = Call::new(
            now,
            Beginning {
                stream_is_key,
                label: Label {
                    number: self.next_call,
                    trunk: trunk_name,
                    caller: incoming.caller.clone(),
                    callee: incoming.callee.clone(),
                },
                trunk: at,
                sip: Some(incoming.id),
                sip_call_id: incoming.call_id.clone(),
                stream,
                sink,
                negotiation,
                local,
                ports,
                session: self.session(format!("trunkcast@{local}")),
                publishing,
                offered: negotiated.is_none(),
                outgoing: None,
            },
        );
        call.display = display.map(Box::from);
        call.identity = incoming.identity.clone();
        if let Some(negotiated) = &negotiated {
            call.agree(now, negotiated, outlet);
        }
        self.next_call += 1;
        self.calls.insert(index, call);
        Ok((index, text))
    }

    /// The media of a new call.
    pub(super) fn session(&mut self, cname: String) -> Session {
        let epoch = self.epoch;
        Session::new(SessionConfig { cname, epoch }, self.rng.fork())
    }

    /// A publisher that begins to connect; `None` for a name that no server could be told.
    pub(super) fn publishing(
        &mut self,
        now: Instant,
        url: RtmpUrl,
        name: &str,
        (sink, expect_video): (Sink, bool),
    ) -> Option<Box<Publishing>> {
        let config = PublisherConfig {
            expect_video,
            abilities: CodecSet::ALL.without(sink.abilities.refuses),
            certain: sink.abilities.takes,
            refused: self.sinks.refused(sink),
            ..PublisherConfig::new(url, StreamKey::new(name)?)
        };
        let publisher = Publisher::new(now, config, self.rng.fork());
        Some(Box::new(Publishing {
            publisher,
            link: None,
        }))
    }
}
