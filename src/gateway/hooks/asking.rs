//! Incoming calls that wait for the backend's word (`OnCallEvent`).
//!
//! The caller has its 100 by then. A call waits without a place in the table of calls and without
//! ports; the answer, the end of its time, or the caller's CANCEL lets it go on or ends it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::ids::CallId;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::admission::Invite;
use crate::gateway::config::OnError;
use crate::gateway::contain::contained;
use crate::gateway::ending::Ending;
use crate::gateway::hooks::body::{self, Party};
use crate::gateway::hooks::method::Method;
use crate::gateway::outlet::{Level, Outlet};
use crate::limits::{HOOK_BODY_BYTES, HOOK_CALLS_ASKED, RETRY_AFTER_SECONDS};
use crate::sip::Cause;
use crate::wire::sdp::SessionDescription;
use crate::wire::sdp_media::MediaKind;

/// A call that waits.
pub(super) struct Asked {
    /// Which question.
    pub id: u64,
    /// The trunk's place.
    pub trunk: usize,
    /// The call.
    pub invite: Box<Invite>,
    /// Its session.
    pub session: Box<str>,
    /// The question.
    pub body: Box<str>,
    /// When it waits no more.
    pub until: Instant,
    /// Whether the question is under way.
    pub is_sent: bool,
}

/// What the backend says to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Take it.
    Take,
    /// Refuse it; the status of the answer.
    Refuse(u16),
    /// Nothing, and why.
    Nothing(String),
}

impl Word {
    /// What an answer of this status says.
    pub fn of(status: u16) -> Self {
        match status {
            200..300 => Self::Take,
            // The backend knows no such method, or had no time for it.
            404 | 405 | 408 | 429 => Self::Nothing(format!("answered with {status}")),
            400..500 => Self::Refuse(status),
            _ => Self::Nothing(format!("answered with {status}")),
        }
    }
}

impl Invite {
    fn party(&self) -> Party<'_> {
        let offer = self.offer.as_deref();
        let offer = offer.and_then(|offer| SessionDescription::parse(offer).ok());
        let has = |kind| {
            let mut media = offer.iter().flat_map(|offer| offer.media());
            media.any(|line| line.kind() == kind && line.port() != 0)
        };
        Party {
            call_id: &self.call_id,
            caller: &self.caller,
            callee: &self.callee,
            display: self.display_name.as_deref(),
            has_audio: has(MediaKind::Audio),
            has_video: has(MediaKind::Video),
        }
    }
}

impl Gateway {
    /// Asks the backend whether to take a call; the call itself where it does not wait.
    pub(in crate::gateway) fn ask_backend(
        &mut self,
        now: Instant,
        at: usize,
        invite: Invite,
        outlet: &mut dyn Outlet,
    ) -> Option<Invite> {
        // What is refused anyway asks for nothing.
        if !self.asks_backend()
            || self.stopping
            || self.calls.vacant().is_none()
            || self.trunk_is_full(at)
        {
            return Some(invite);
        }
        self.settle_hooks(now, outlet);
        let hooks = self.hooks.as_mut()?;
        // Told of later, which finds out whether the backend is back.
        if hooks.config.on_error == OnError::Log && hooks.health.probe_at().is_some() {
            return Some(invite);
        }
        let session = hooks.new_session(invite.remote.ip());
        let body = body::incoming(hooks.common(&session), invite.party(), "RING", None);
        hooks.next_question = hooks.next_question.wrapping_add(1);
        let id = hooks.next_question;
        let asked = Asked {
            id,
            trunk: at,
            invite: Box::new(invite),
            session,
            until: now + hooks.config.timeout,
            is_sent: false,
            body,
        };
        let refused = if asked.body.len() > HOOK_BODY_BYTES {
            Some("the question is too long")
        } else if hooks.asked.len() >= HOOK_CALLS_ASKED {
            Some("too many calls wait")
        } else {
            None
        };
        if let Some(words) = refused {
            let word = Word::Nothing(words.to_owned());
            self.go_on(now, asked, word, outlet);
            return None;
        }
        hooks.asked.push(asked);
        hooks.dirty = true;
        None
    }

    /// The caller has taken a call back that waited.
    pub(in crate::gateway) fn forget_asked(
        &mut self,
        now: Instant,
        at: usize,
        sip: CallId,
        cause: &Cause,
        outlet: &mut dyn Outlet,
    ) {
        let Some(hooks) = &mut self.hooks else {
            return;
        };
        let is_it = |asked: &Asked| asked.trunk == at && asked.invite.id == sip;
        let Some(place) = hooks.asked.iter().position(is_it) else {
            return;
        };
        let asked = hooks.asked.remove(place);
        let Invite { caller, callee, .. } = &*asked.invite;
        let name = self.trunks.get(at).map_or("", |it| &it.config.name);
        let line = format_args!("{name} {caller}->{callee}: ended while it waited ({cause})");
        outlet.note(Level::Info, line);
        let ending = match self.stopping {
            true => Ending::Stopped,
            false => Ending::Cancelled,
        };
        let why = (ending, format_args!("{cause}"));
        self.remember_turned(now, at, &asked.invite, why, outlet);
        self.tell_untaken(now, &asked, "FINISH", "Normal call clearing");
    }

    /// Lets a call go on, or refuses it.
    pub(super) fn go_on(
        &mut self,
        now: Instant,
        asked: Asked,
        word: Word,
        outlet: &mut dyn Outlet,
    ) {
        let on_error = self.hooks.as_ref().map(|hooks| hooks.config.on_error);
        let (at, id) = (asked.trunk, asked.invite.id);
        let refused = match &word {
            Word::Take => None,
            Word::Refuse(403) => Some((403, None, "refused by the backend")),
            Word::Refuse(_) => Some((603, None, "refused by the backend")),
            Word::Nothing(_) if on_error == Some(OnError::Fail) => {
                let again = Some(RETRY_AFTER_SECONDS);
                Some((503, again, "the backend gave no answer"))
            }
            Word::Nothing(_) => None,
        };
        let Invite { caller, callee, .. } = &*asked.invite;
        let name = self.trunks.get(at).map_or("", |it| &it.config.name);
        let label = format!("{name} {caller}->{callee}");
        if let Word::Nothing(why) = &word {
            let becomes = if refused.is_some() {
                "refused"
            } else {
                "taken"
            };
            let line = format_args!("{label}: {becomes} without the backend's word: {why}");
            outlet.note(Level::Warn, line);
        }
        if let Some((code, again, why)) = refused {
            self.counters.calls_refused += 1;
            let line = format_args!("{label}: {code}, {why}");
            outlet.note(Level::Warn, line);
            if let Some(trunk) = self.trunks.get_mut(at) {
                // The caller may have gone meanwhile, and its end is reported.
                let _ = trunk.endpoint.reject(now, id, code, "", again);
                trunk.dirty = true;
            }
            let ending = match word {
                _ if self.stopping => Ending::Stopped,
                Word::Nothing(_) => Ending::BackendSilent,
                Word::Take | Word::Refuse(_) => Ending::RefusedByBackend,
            };
            let words = (ending, format_args!("{code}, {why}"));
            self.remember_turned(now, at, &asked.invite, words, outlet);
            self.tell_untaken(now, &asked, "FAILED", why);
            return;
        }
        let Asked {
            invite, session, ..
        } = asked;
        let call_id = invite.call_id.clone();
        let party = (invite.caller.clone(), invite.callee.clone());
        if let Some(hooks) = &mut self.hooks {
            hooks.seen.push((call_id.clone(), session.clone()));
        }
        if contained(|| self.answer_invite(now, at, *invite, outlet)).is_none() {
            self.crash_event(now, at, id, outlet);
        }
        let taken = self.call_of(at, id);
        if let Some(index) = taken {
            self.tell_hooks(now, index, false, outlet);
        }
        let Some(hooks) = &mut self.hooks else {
            return;
        };
        // Nobody took the name of its session: it is no call.
        if let Some(place) = hooks.seen.iter().position(|(it, _)| *it == call_id) {
            hooks.seen.swap_remove(place);
            let party = Party {
                call_id: &call_id,
                caller: &party.0,
                callee: &party.1,
                display: None,
                has_audio: false,
                has_video: false,
            };
            let lane = hooks.new_lane();
            let method = (Method::CallStatusEvent, true);
            hooks.push(now, lane, method, &session, |common| {
                body::incoming(common, party, "FAILED", Some("Failed by error"))
            });
        }
    }

    /// Tells the end of a call that was never taken.
    fn tell_untaken(&mut self, now: Instant, asked: &Asked, status: &str, info: &str) {
        if let Some(hooks) = &mut self.hooks {
            let lane = hooks.new_lane();
            let method = (Method::CallStatusEvent, true);
            let party = asked.invite.party();
            hooks.push(now, lane, method, &asked.session, |common| {
                body::incoming(common, party, status, Some(info))
            });
        }
    }
}
