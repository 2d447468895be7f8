//! What becomes of an INVITE of ours: progress, early media, the answer, the end (RFC 3261 section
//! 13.2.2, RFC 3264).

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
use crate::gateway::call::Call;
use crate::gateway::outlet::{CallIndex, Level, Outlet};
use crate::gateway::status::CallStatus;
use crate::sdp::Refusal;
use crate::sip::{Cause, EndedBy, RegistrationId, RegistrationState};
use crate::wire::sdp::SessionDescription;

/// A provisional answer as SIP reports it.
pub(in crate::gateway) struct Progress {
    pub id: CallId,
    pub code: u16,
    pub reason: String,
    pub answer: Option<Box<[u8]>>,
}

impl Gateway {
    /// A provisional answer: it rings, or media comes before the answer.
    pub(in crate::gateway) fn handle_progress(
        &mut self,
        now: Instant,
        at: usize,
        progress: &Progress,
        outlet: &mut dyn Outlet,
    ) {
        let index = self.call_of(at, progress.id);
        let Some(call) = index.and_then(|index| self.calls.touch_mut(index)) else {
            return;
        };
        let is_calling = call.is_calling();
        let Some(out) = call.outgoing.as_mut().filter(|_| is_calling) else {
            return;
        };
        let code = progress.code;
        let is_new = out.sip_status.replace(code) != Some(code);
        call.status = match code {
            180 => CallStatus::Ring,
            183 => CallStatus::SessionProgress,
            _ => call.status,
        };
        if is_new {
            let line = format_args!(
                "{}: {} ({code} {})",
                call.label, call.status, progress.reason
            );
            outlet.note(Level::Info, line);
        }
        let Some(answer) = &progress.answer else {
            return;
        };
        let before = call.negotiation.current().clone();
        let description = SessionDescription::parse(answer).map_err(Refusal::from);
        match description.and_then(|answer| call.negotiation.accept_early(&answer)) {
            // The same again, as responses are repeated until they are acknowledged.
            Ok(negotiated) if negotiated == before => {}
            // Of another fork, or the first: the newest is heard.
            Ok(negotiated) => call.agree(now, &negotiated, outlet),
            // The final answer may be better.
            Err(refusal) => {
                let line = format_args!("{}: early media: {refusal}", call.label);
                outlet.note(Level::Warn, line);
            }
        }
        if let Some(index) = index {
            self.expect_video(index);
        }
    }

    /// The call was answered; this answer to our offer holds from now on.
    pub(in crate::gateway) fn handle_answered(
        &mut self,
        now: Instant,
        index: CallIndex,
        answer: &[u8],
        outlet: &mut dyn Outlet,
    ) {
        let Some(call) = self.calls.touch_mut(index) else {
            return;
        };
        let Some(out) = call.outgoing.as_mut() else {
            return;
        };
        out.sip_status = Some(200);
        call.answered = Some(now);
        call.watchdog.restart(now);
        let before = call.negotiation.current().clone();
        let description = SessionDescription::parse(answer).map_err(Refusal::from);
        match description.and_then(|answer| call.negotiation.accept_answer(&answer)) {
            Ok(negotiated) => {
                call.status = call.status_agreed();
                // Early media goes on where it is the same.
                if negotiated != before {
                    call.agree(now, &negotiated, outlet);
                }
                let (label, status) = (&call.label, call.status);
                let (id, stream) = (&call.sip_call_id, call.shown_stream());
                outlet.note(
                    Level::Info,
                    format_args!("{label}: {status} Call-ID {id} stream {stream}"),
                );
                self.counters.calls += 1;
                self.expect_video(index);
            }
            Err(refusal) => {
                outlet.note(
                    Level::Warn,
                    format_args!("{}: the answer to our offer: {refusal}", call.label),
                );
                self.counters.calls_without_media += 1;
                self.hang_up(now, index, Cause::new(488, refusal.to_string()));
            }
        }
    }

    /// A call is over, for SIP or before SIP came to it.
    pub(in crate::gateway) fn call_over(
        &mut self,
        now: Instant,
        index: CallIndex,
        cause: Cause,
        by: EndedBy,
        outlet: &mut dyn Outlet,
    ) {
        self.note_end(index, &cause);
        self.remember_call(now, index, (&cause, by), outlet);
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        let was_calling = call.is_calling();
        call.status = match cause.code {
            200 => CallStatus::Finish,
            486 | 600 if was_calling => CallStatus::Busy,
            487 if !was_calling => CallStatus::Finish,
            _ => CallStatus::Failed,
        };
        outlet.note(
            Level::Info,
            format_args!("{}: {} ({cause})", call.label, call.status),
        );
        if let Some(out) = &mut call.outgoing {
            if was_calling && by == EndedBy::Remote {
                out.sip_status = Some(cause.code);
            }
            out.ended = Some(cause);
        }
        self.end_streams(now, index, outlet);
    }

    /// A registration has changed: calls may wait for it.
    pub(in crate::gateway) fn handle_registration(
        &mut self,
        at: usize,
        id: RegistrationId,
        state: &RegistrationState,
        outlet: &mut dyn Outlet,
    ) {
        let Some(trunk) = self.trunks.get_mut(at) else {
            return;
        };
        let failed = matches!(
            state,
            RegistrationState::Failed { .. } | RegistrationState::AuthenticationFailed { .. }
        );
        let level = if failed { Level::Warn } else { Level::Info };
        let (name, who) = (&trunk.config.name, trunk.registrations.name(id));
        outlet.note(
            level,
            format_args!("{name}: {} {state}", who.unwrap_or_default()),
        );
        trunk.registrations.forget_ended(&trunk.endpoint);
        let waits = |call: &Call| {
            let held = call.outgoing.as_ref().and_then(|out| out.registration);
            call.trunk == at && held == Some(id)
        };
        let mut from = CallIndex(0);
        while let Some(index) = self.calls.find_from(from, waits) {
            self.calls.touch(index);
            from = CallIndex(index.0.saturating_add(1));
        }
    }

    /// A call needs its registration no more; the last one takes it back.
    pub(in crate::gateway) fn release_registration(&mut self, now: Instant, index: CallIndex) {
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        let at = call.trunk;
        let held = call
            .outgoing
            .as_mut()
            .and_then(|out| out.registration.take());
        if let (Some(id), Some(trunk)) = (held, self.trunks.get_mut(at)) {
            trunk.registrations.release(now, &mut trunk.endpoint, id);
            trunk.dirty = true;
        }
    }
}
