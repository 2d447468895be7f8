//! Responses to the INVITE of a call of ours (RFC 3261 sections 8.1.3 and 13.2.2, RFC 3262 section 4):
//! progress, early dialogs and their PRACKs, the answer, and refusals that are met with another try.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use rsip::Header;

use crate::base::counter::count;
use crate::base::ids::CallId;
use crate::base::redact::OneLine;
use crate::base::time::Instant;
use crate::limits::SIP_CAUSE_CHARACTERS;
use crate::wire::sip_emit::uri_text;
use crate::wire::sip_message::{SipMessage, StartLine};
use crate::wire::sip_name::HeaderName;

use super::authentication::Verdict;
use super::body::session_description;
use super::calling::Progressed;
use super::dialog::{Arrival, Dialog};
use super::endpoint::{SipEndpoint, call_id};
use super::event::{Cause, EndedBy, SipEvent};
use super::reason::reason;
use super::table::Slot;
use super::transaction_client::{Owner, Purpose};

impl SipEndpoint {
    /// A response came that its transaction let through. A refusal is acknowledged.
    pub(super) fn call_responded(
        &mut self,
        now: Instant,
        arrival: Arrival,
        slot: Slot,
        code: u16,
        response: &SipMessage<'_>,
    ) {
        self.sessions.update(slot, |session| {
            session.dialog.heard(arrival);
            if let Some((_, calling)) = session.calling_mut()
                && code >= 200
                && !matches!(code, 401 | 407)
            {
                calling.authenticator.accepted(response);
            }
        });
        match code {
            ..=100 => {}
            101..200 => self.call_progressed(now, slot, code, response),
            200..300 => self.call_answered(now, slot, response),
            _ => self.call_refused(now, slot, code, response),
        }
    }

    fn call_progressed(&mut self, now: Instant, slot: Slot, code: u16, response: &SipMessage<'_>) {
        let tag = response.to().tag().unwrap_or_default();
        let headers = response.headers();
        let is_reliable = headers.has_token(HeaderName::Require, "100rel") && !tag.is_empty();
        let rseq = headers.all_named("RSeq").next().and_then(number);
        let rseq = rseq.filter(|rseq| *rseq > 0 && is_reliable);
        let answer = session_description(response).ok().flatten();
        let progressed = self.sessions.update(slot, |session| {
            let (base, calling) = session.calling_mut()?;
            Some(calling.progressed(tag, code, rseq, answer, || early(base, response)))
        });
        let fork = match progressed.flatten() {
            Some(Progressed::News { fork } | Progressed::Known { fork }) => fork,
            Some(Progressed::Nothing) | None => return count(&mut self.counters.stray_responses),
        };
        if let Some(rseq) = rseq {
            self.send_prack(now, slot, fork, (rseq, response.cseq().number));
        }
        // The end of every call has to find room.
        if matches!(progressed, Some(Some(Progressed::News { .. }))) && self.has_event_room() {
            self.push_event(SipEvent::Progress {
                id: call_id(slot),
                code,
                reason: phrase(response),
                answer: answer.map(Box::from),
            });
        }
    }

    fn send_prack(&mut self, now: Instant, slot: Slot, fork: u8, (rseq, cseq): (u32, u32)) {
        let rng = &mut self.rng;
        let made = self.sessions.update(slot, |session| {
            let (_, calling) = session.calling_mut()?;
            let dialog = &mut calling.fork_mut(fork)?.dialog;
            let mut made = dialog.request(rsip::Method::PRack);
            let way = (dialog.arrival(), dialog.local_address());
            let uri = uri_text(&made.request.uri);
            let answers = calling.authenticator.headers("PRACK", &uri, &[], rng);
            let answers: Vec<Header> = answers.into_iter().collect();
            made.request.headers.extend(answers);
            Some((made, way.0, way.1))
        });
        let Some(Some((made, arrival, local))) = made else {
            return;
        };
        let way = self.way_to(&made.next_hop, arrival);
        let mut request = made.request;
        let rack = Header::Other("RAck".into(), format!("{rseq} {cseq} INVITE"));
        request.headers.push(rack);
        let owner = Owner::Call(call_id(slot), Purpose::Prack(fork));
        if self.send_client(now, owner, request, way, local).is_err() {
            // The response comes again, but is not acknowledged then: its sender ends the call.
            count(&mut self.counters.requests_unanswered);
        }
    }

    /// A PRACK was answered, by 408 when nobody did.
    pub(super) fn prack_answered(&mut self, slot: Slot, fork: u8, code: u16) {
        if code != 481 {
            return;
        }
        self.sessions.update(slot, |session| {
            if let Some((_, calling)) = session.calling_mut() {
                calling.drop_fork(fork);
            }
        });
    }

    fn call_answered(&mut self, now: Instant, slot: Slot, response: &SipMessage<'_>) {
        let tag = response.to().tag().unwrap_or_default();
        let taken = self.sessions.update(slot, |session| {
            let (base, calling) = session.calling_mut()?;
            let invite = calling.invite?;
            let (dialog, early_answer) = calling.take_fork(tag);
            let mut dialog = dialog.unwrap_or_else(|| base.clone());
            // Section 13.2.2.4: the route set is made anew, whatever an early dialog had.
            dialog.answered(response);
            Some((invite, dialog, early_answer))
        });
        let Some(Some((invite, dialog, early_answer))) = taken else {
            return;
        };
        self.acknowledge(invite, &dialog);
        let answer = match session_description(response) {
            Ok(answer) => answer.map(Box::from).or(early_answer),
            Err(_) => None,
        };
        let Some(answer) = answer else {
            let cause = Cause::new(
                488,
                "the answer has no session description that can be read",
            );
            self.end_calling(slot, cause, EndedBy::Remote);
            return self.release_dialog(now, dialog);
        };
        self.sessions.update(slot, |s| s.answered(dialog));
        self.refreshed(now, slot, Some(response));
        let id: CallId = call_id(slot);
        self.push_event(SipEvent::Answered { id, answer });
    }

    fn call_refused(&mut self, now: Instant, slot: Slot, code: u16, response: &SipMessage<'_>) {
        let cause = refusal(code, response);
        match code {
            300..=302 => self.call_redirected(now, slot, cause, response),
            401 | 407 => self.call_challenged(now, slot, code, response),
            420 | 422 if self.gives_way(slot, code, response) => self.place_or_end(now, slot),
            // RFC 3263 section 4.3.
            503 => self.try_next_target(now, slot, cause, EndedBy::Remote),
            600.. => self.end_calling(slot, cause, EndedBy::Remote),
            _ => self.try_next_contact(now, slot, cause, EndedBy::Remote),
        }
    }

    fn call_challenged(&mut self, now: Instant, slot: Slot, code: u16, response: &SipMessage<'_>) {
        let verdict = self.sessions.update(slot, |session| {
            let (_, calling) = session.calling_mut()?;
            Some(calling.authenticator.challenged(response, code))
        });
        match verdict.flatten() {
            Some(Verdict::Retry) => self.place_or_end(now, slot),
            Some(Verdict::Failed(error)) => {
                let cause = Cause::new(code, error.to_string());
                self.try_next_contact(now, slot, cause, EndedBy::Remote);
            }
            None => {}
        }
    }

    /// Whether another try without what was refused makes sense.
    fn gives_way(&mut self, slot: Slot, code: u16, response: &SipMessage<'_>) -> bool {
        let min_se = response.headers().text(HeaderName::MinSe);
        let min_se = min_se.and_then(|text| text.split(';').next()?.trim().parse().ok());
        let gives_way = self.sessions.update(slot, |session| {
            let (_, calling) = session.calling_mut()?;
            Some(match code {
                422 => calling.raise_min_se(min_se?),
                _ => !core::mem::replace(&mut calling.plain, true),
            })
        });
        gives_way.flatten() == Some(true)
    }
}

/// The dialog of a fork.
fn early(base: &Dialog, response: &SipMessage<'_>) -> Dialog {
    let mut dialog = base.clone();
    dialog.answered(response);
    dialog
}

fn number(value: &[u8]) -> Option<u32> {
    core::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// The reason phrase of a response on one bounded line.
fn phrase(response: &SipMessage<'_>) -> String {
    match response.start() {
        StartLine::Status { reason, .. } => {
            let words = String::from_utf8_lossy(reason);
            OneLine::new(words.trim(), SIP_CAUSE_CHARACTERS).to_string()
        }
        StartLine::Request { .. } => String::new(),
    }
}

/// Why a call was refused: the phrase, and what Reason (RFC 3326), Warning and Retry-After add to it.
fn refusal(code: u16, response: &SipMessage<'_>) -> Cause {
    let headers = response.headers();
    let mut words = phrase(response);
    if words.is_empty() {
        words = crate::wire::sip_emit::reason_phrase(code).into();
    }
    let warning = headers.text(HeaderName::Warning).and_then(|warning| {
        let (_, text) = warning.split_once('"')?;
        let text = text.split('"').next()?.to_owned();
        (!text.is_empty()).then_some(text)
    });
    let retry = headers.text(HeaderName::RetryAfter).and_then(|text| {
        let digits = text.split(|c: char| !c.is_ascii_digit()).next()?.to_owned();
        (!digits.is_empty()).then(|| format!("retry after {digits} s"))
    });
    for more in [reason(response), warning, retry].into_iter().flatten() {
        words.push_str("; ");
        words.push_str(&more);
    }
    Cause::new(code, OneLine::new(&words, SIP_CAUSE_CHARACTERS).to_string())
}
