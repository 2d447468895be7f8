//! What the backend was last told of each call, compared with what is true.
//!
//! Nothing else in the gateway calls a hook when a call changes: every turn of a call ends here.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::{IpAddr, Ipv4Addr};

use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::config::{MediaAddress, OnCall};
use crate::gateway::contain::contained;
use crate::gateway::hooks::Hooks;
use crate::gateway::hooks::body::{self, Common};
use crate::gateway::hooks::method::Method;
use crate::gateway::hooks::queue::{Event, Lane};
use crate::gateway::outlet::{CallIndex, Outlet};
use crate::gateway::rest::stream_object::StreamObject;
use crate::gateway::status::CallStatus;
use crate::gateway::transfer::TransferStatus;
use crate::limits::HOOK_REGISTRATIONS;
use crate::rtmp::RtmpStatus;
use crate::sip::{Cause, RegistrationId, RegistrationState};

/// Where the sessions of REST clients come from: they are on the box.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An address beyond any network of our own: what leads there is the box's own address.
const ABROAD: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// What of a call is told when it changes.
type State = (CallStatus, Option<u16>, Option<RtmpStatus>);

/// How far the stream of a call was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum StreamTold {
    #[default]
    Nothing,
    Publishing,
    Over,
}

/// What was told of one call.
#[derive(Debug)]
pub(super) struct Told {
    /// Number of the call: the place may have another by now.
    number: u64,
    /// Its session.
    session: Box<str>,
    state: Option<State>,
    stream: StreamTold,
    transfer: Option<(TransferStatus, u16)>,
    /// Why it ended, once it has.
    ended: Option<Cause>,
    is_over: bool,
}

impl Told {
    fn new(number: u64, session: Box<str>) -> Self {
        Self {
            number,
            session,
            state: None,
            stream: StreamTold::default(),
            transfer: None,
            ended: None,
            is_over: false,
        }
    }
}

/// What the words of an end are to clients.
fn info_of(status: CallStatus, cause: Option<&Cause>) -> Option<&str> {
    let code = cause.map_or(0, |cause| cause.code);
    match status {
        CallStatus::Finish => Some("Normal call clearing"),
        CallStatus::Failed => Some(match code {
            408 if cause.is_some_and(|cause| cause.words.starts_with("RTP")) => {
                "Failed by RTP activity"
            }
            408 => "Failed by request timeout",
            488 => "No common codecs",
            _ => cause.map_or("Failed by error", |cause| cause.words.as_str()),
        }),
        CallStatus::Busy => Some(cause.map_or("Busy", |cause| cause.words.as_str())),
        _ => None,
    }
}

impl Hooks {
    /// The name of a session that is begun from an address.
    pub(super) fn new_session(&mut self, from: IpAddr) -> Box<str> {
        self.next_session = self.next_session.wrapping_add(1);
        format!("{from}:{}", self.next_session).into_boxed_str()
    }

    /// Puts an event into the queue, if the backend wants to know of such.
    pub(super) fn push(
        &mut self,
        now: Instant,
        lane: Lane,
        (method, is_final): (Method, bool),
        session: &str,
        body: impl FnOnce(Common<'_>) -> Box<str>,
    ) {
        if !self.config.methods.contains(method) {
            return;
        }
        let body = body(self.common(session));
        let event = Event {
            method,
            body,
            is_final,
        };
        self.queue.push(now, lane, event);
        self.dirty = true;
    }

    /// What every body has.
    pub(super) fn common<'a>(&'a self, session: &'a str) -> Common<'a> {
        Common {
            node: &self.node,
            app_key: &self.config.app_key,
            session,
        }
    }

    /// Tells what is new of a call; `is_gone` with its last turn.
    fn tell(
        &mut self,
        now: Instant,
        gateway: &Gateway,
        (index, call): (CallIndex, &Call),
        is_gone: bool,
    ) {
        let trunk = gateway.trunks.get(call.trunk);
        let peer = call.sip.and_then(|sip| trunk?.endpoint.peer(sip));
        let from = peer.map_or(HERE, |peer| peer.address.ip());
        let Some(mut told) = self.told_of(now, index, call, from) else {
            return;
        };
        if !told.is_over {
            self.tell_changes(now, gateway, (index, call), &mut told, is_gone);
        }
        if let Some(place) = self.told.get_mut(usize::from(index.0)) {
            *place = (!is_gone).then_some(told);
        }
    }

    /// What was told of a call, with the words that begin it.
    fn told_of(
        &mut self,
        now: Instant,
        index: CallIndex,
        call: &Call,
        from: IpAddr,
    ) -> Option<Box<Told>> {
        let place = self.told.get_mut(usize::from(index.0))?;
        let number = call.label.number;
        if let Some(told) = place.take_if(|told| told.number == number) {
            return Some(told);
        }
        let asked = self.seen.iter().position(|(id, _)| *id == call.sip_call_id);
        let asked = asked.filter(|_| call.outgoing.is_none());
        let was_asked = asked.is_some();
        let session = match asked {
            Some(at) => self.seen.swap_remove(at).1,
            None if call.outgoing.is_some() => self.new_session(HERE),
            None => self.new_session(from),
        };
        let lane = Lane::Call(number);
        if number >= self.first_call && call.outgoing.is_some() {
            let method = (Method::ConnectionStatusEvent, false);
            self.push(now, lane, method, &session, |common| {
                body::connection(common, call, "ESTABLISHED")
            });
            self.push(now, lane, (Method::Call, false), &session, |common| {
                body::call(common, call, CallStatus::Trying, None)
            });
        } else if number >= self.first_call && !was_asked {
            let method = (Method::OnCallEvent, false);
            self.push(now, lane, method, &session, |common| {
                body::call(common, call, CallStatus::Ring, None)
            });
        }
        Some(Box::new(Told::new(number, session)))
    }

    fn tell_changes(
        &mut self,
        now: Instant,
        gateway: &Gateway,
        (index, call): (CallIndex, &Call),
        told: &mut Told,
        is_gone: bool,
    ) {
        let lane = Lane::Call(call.label.number);
        let is_ended = !call.is_live() || call.crashed || is_gone;
        let status = match call.status {
            CallStatus::Finish | CallStatus::Busy | CallStatus::Failed => call.status,
            // A defect ended it, or the gateway lets it go.
            _ if call.crashed || is_gone => CallStatus::Failed,
            status => status,
        };
        let state = (
            status,
            call.outgoing.as_ref().and_then(|out| out.sip_status),
            call.rtmp_status(),
        );
        // How its publisher ends after it is no news.
        let is_new = match told.state {
            Some((before, ..)) if is_ended => before != status,
            before => before != Some(state),
        };
        let session = &*told.session;
        if is_new {
            let info = info_of(status, told.ended.as_ref());
            let method = (Method::CallStatusEvent, is_ended);
            self.push(now, lane, method, session, |common| {
                body::call(common, call, status, info)
            });
            // A busy callee has told why; the call is over all the same.
            if status == CallStatus::Busy {
                let finish = CallStatus::Finish;
                let info = info_of(finish, None);
                self.push(now, lane, method, session, |common| {
                    body::call(common, call, finish, info)
                });
            }
        }
        told.state = Some(state);
        let transfer = call.transfer.as_deref();
        let moved = transfer.map(|it| (it.status, it.code));
        if let Some(transfer) = transfer.filter(|_| told.transfer != moved) {
            let is_over = matches!(
                transfer.status,
                TransferStatus::Completed | TransferStatus::Failed
            );
            let method = (Method::TransferStatusEvent, is_over);
            self.push(now, lane, method, session, |common| {
                body::transfer(common, call, transfer)
            });
        }
        told.transfer = moved;
        let has_begun = call.has_begun();
        let stream = match told.stream {
            StreamTold::Nothing if has_begun && !is_ended => Some(("PUBLISHING", None)),
            StreamTold::Publishing if is_ended && status == CallStatus::Failed => {
                Some(("FAILED", info_of(status, told.ended.as_ref())))
            }
            StreamTold::Publishing if is_ended => {
                let by_request = told.ended.as_ref();
                let by_request = by_request.is_some_and(|it| it.words == "ended by request");
                Some((
                    "UNPUBLISHED",
                    Some(match by_request {
                        true => "Stopped by rest /terminate",
                        false => "Stopped by publisher stop",
                    }),
                ))
            }
            _ => None,
        };
        if let Some((words, info)) = stream {
            let method = (Method::StreamStatusEvent, is_ended);
            if let Some(object) = StreamObject::of(gateway, now, index) {
                self.push(now, lane, method, session, |common| {
                    body::stream(common.of_call(call), object, words, info)
                });
            }
            told.stream = match is_ended {
                true => StreamTold::Over,
                false => StreamTold::Publishing,
            };
        }
        if is_ended && call.outgoing.is_some() {
            let method = (Method::ConnectionStatusEvent, true);
            self.push(now, lane, method, session, |common| {
                body::connection(common, call, "DISCONNECTED")
            });
        }
        told.is_over = is_ended;
    }

    fn session_of(&self, index: CallIndex, call: &Call) -> Option<Box<str>> {
        let told = self.told.get(usize::from(index.0))?.as_ref()?;
        (told.number == call.label.number && !told.is_over).then(|| told.session.clone())
    }
}

impl Gateway {
    /// Forgets what the registrations of a trunk that is gone were like.
    pub(in crate::gateway) fn forget_registration_states(&mut self, at: usize) {
        if let Some(hooks) = &mut self.hooks {
            hooks.registrations.retain(|(trunk, ..)| *trunk != at);
        }
    }

    /// Tells the backend what is new of a call.
    pub(in crate::gateway) fn tell_hooks(
        &mut self,
        now: Instant,
        index: CallIndex,
        is_gone: bool,
        outlet: &mut dyn Outlet,
    ) {
        if self.hooks.is_none() {
            return;
        }
        self.settle_hooks(now, outlet);
        let Some(mut hooks) = self.hooks.take() else {
            return;
        };
        let told = contained(|| {
            if let Some(call) = self.calls.get(index) {
                hooks.tell(now, self, (index, call), is_gone);
            }
        });
        self.hooks = Some(hooks);
        if told.is_none() {
            self.crash_hooks(now, outlet);
        }
    }

    /// What hooks need to know of the box before they can say anything.
    pub(super) fn settle_hooks(&mut self, now: Instant, outlet: &mut dyn Outlet) {
        if self.hooks.as_ref().is_some_and(|it| !it.node.is_empty()) {
            return;
        }
        let unix_millis = self.unix_millis(now);
        let address = match self.config.media.address {
            MediaAddress::Fixed(address) => Some(address),
            MediaAddress::Auto => None,
        };
        let Some(hooks) = &mut self.hooks else {
            return;
        };
        let address = address.unwrap_or_else(|| outlet.local_address(ABROAD));
        hooks.node = self.node.name(address);
        hooks.next_session = hooks.next_session.wrapping_add(unix_millis);
        self.node.keep(outlet);
    }

    /// Why a call ends, before its end is told.
    pub(in crate::gateway) fn note_end(&mut self, index: CallIndex, cause: &Cause) {
        let Some(hooks) = &mut self.hooks else {
            return;
        };
        let told = hooks.told.get_mut(usize::from(index.0));
        if let (Some(Some(told)), Some(call)) = (told, self.calls.get_mut(index))
            && told.number == call.label.number
        {
            told.ended = Some(cause.clone());
        }
    }

    /// Tells that a client ends a call.
    pub(in crate::gateway) fn tell_hangup(&mut self, now: Instant, index: CallIndex) {
        let Self {
            hooks: Some(hooks),
            calls,
            ..
        } = self
        else {
            return;
        };
        if let Some(call) = calls.get_mut(index)
            && let Some(session) = hooks.session_of(index, call)
        {
            let lane = Lane::Call(call.label.number);
            hooks.push(now, lane, (Method::Hangup, false), &session, |common| {
                body::hangup(common, call)
            });
        }
    }

    /// Tells that the other side of a call pressed a key: `RFC2833` or `INFO`.
    pub(in crate::gateway) fn tell_dtmf(
        &mut self,
        now: Instant,
        index: CallIndex,
        key: char,
        kind: &str,
    ) {
        let Self {
            hooks: Some(hooks),
            calls,
            ..
        } = self
        else {
            return;
        };
        if let Some(call) = calls.get_mut(index)
            && let Some(session) = hooks.session_of(index, call)
        {
            let lane = Lane::Call(call.label.number);
            hooks.push(now, lane, (Method::SendDtmf, false), &session, |common| {
                body::dtmf(common, call, key, kind)
            });
        }
    }

    /// Tells that a registration of a trunk, or of a call over it, has changed.
    pub(in crate::gateway) fn tell_registration(
        &mut self,
        now: Instant,
        at: usize,
        id: RegistrationId,
        state: &RegistrationState,
        outlet: &mut dyn Outlet,
    ) {
        if self.hooks.is_none() {
            return;
        }
        self.settle_hooks(now, outlet);
        let Self {
            hooks: Some(hooks),
            calls,
            trunks,
            ..
        } = self
        else {
            return;
        };
        let Some(trunk) = trunks.get(at) else {
            return;
        };
        let Some(name) = trunk.registrations.name(id) else {
            return;
        };
        // Of a call that asked for it, its session; else that of the trunk, named by its port.
        let holds = |call: &Call| {
            let held = call.outgoing.as_ref().and_then(|out| out.registration);
            call.trunk == at && held == Some(id)
        };
        let holder = calls.iter().find(|(_, call)| holds(call));
        let session = holder.and_then(|(index, call)| hooks.session_of(index, call));
        let session = session
            .unwrap_or_else(|| format!("{HERE}:{}", trunk.config.local_port).into_boxed_str());
        let kind = core::mem::discriminant(state);
        let mut known = hooks.registrations.iter_mut();
        match known.find(|(trunk, known, _)| (*trunk, *known) == (at, id)) {
            // A renewal is no news.
            Some((.., last)) if *last == kind => return,
            Some((.., last)) => *last = kind,
            None => {
                if hooks.registrations.len() >= HOOK_REGISTRATIONS {
                    hooks.registrations.remove(0);
                }
                hooks.registrations.push((at, id, kind));
            }
        }
        let common = hooks.common(&session);
        let common = holder.map_or(common, |(_, call)| common.of_call(call));
        let Some(body) = body::registration(common, name, state) else {
            return;
        };
        let method = (Method::RegistrationStatusEvent, false);
        hooks.push(now, Lane::Trunk(at), method, &session, |_| body);
    }

    /// Whether calls wait for the backend's word.
    pub(super) fn asks_backend(&self) -> bool {
        self.hooks.as_ref().is_some_and(|hooks| {
            hooks.config.on_call == OnCall::Ask
                && hooks.config.methods.contains(Method::OnCallEvent)
        })
    }
}
