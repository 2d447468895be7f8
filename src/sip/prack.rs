//! Reliable provisional answers and their PRACK (RFC 3262), the side that is called.
//!
//! A provisional answer is reliable where the caller requires it, and where it carries a session
//! description and the caller knows the extension. It is repeated until its PRACK comes; without one
//! for 64 times T1 the INVITE is refused. A 2xx waits for the PRACK of an answer with a session
//! description (section 3). One such answer is under way at a time.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;

use crate::base::counter::count;
use crate::base::time::Instant;
use crate::wire::sip_message::SipMessage;

use super::answer::Answer;
use super::body::session_description;
use super::endpoint::{SipEndpoint, call_id};
use super::event::{Cause, EndedBy, SipEvent};
use super::exchange::Gate;
use super::reply::Incoming;
use super::table::Slot;
use super::timer::{T1, TRANSACTION};
use super::transmit::{Printed, SipDestination};

/// The reliable provisional answers of one INVITE.
#[derive(Debug)]
pub(super) struct Reliable {
    /// Whether the caller requires them.
    pub(super) required: bool,
    /// Sequence number of the INVITE.
    cseq: u32,
    /// RSeq of the last one, or of the first one to come.
    rseq: u32,
    unanswered: Option<Unanswered>,
    /// Whose offer an answer carried, and whether it is acknowledged: offer and answer are done then.
    described: Option<Described>,
    /// The 200 that waits for the PRACK.
    pub(super) held: Option<Box<str>>,
}

/// A session description in a reliable provisional answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Described {
    /// Whether it was an offer of ours.
    offer: bool,
    acknowledged: bool,
}

/// A reliable provisional answer without its PRACK.
#[derive(Debug)]
struct Unanswered {
    answer: Printed,
    destination: SipDestination,
    next: Instant,
    interval: Duration,
    until: Instant,
    /// It is repeated no more: the final answer has gone.
    stopped: bool,
}

/// What a PRACK was to its INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pracked {
    /// Nothing: no such answer waits for it.
    Nothing,
    /// The PRACK of an answer. Whether its body is an answer to our offer.
    Acknowledged {
        /// It is.
        answers_offer: bool,
    },
}

impl Reliable {
    /// For an INVITE; `rseq` is random within 1 to 2^31 - 1.
    pub(super) fn new(required: bool, cseq: u32, rseq: u32) -> Self {
        Self {
            required,
            cseq,
            rseq,
            unanswered: None,
            described: None,
            held: None,
        }
    }

    /// The RSeq of the next answer.
    pub(super) fn next_rseq(&self) -> u32 {
        self.rseq
    }

    /// Whether an answer waits for its PRACK.
    pub(super) fn is_waiting(&self) -> bool {
        self.unanswered.is_some()
    }

    /// Whether a 2xx has to wait.
    pub(super) fn holds_back(&self) -> bool {
        let described = self.described.is_some_and(|it| !it.acknowledged);
        described && self.unanswered.is_some()
    }

    /// Whether offer and answer are done, so that a 2xx needs no session description.
    pub(super) fn is_described(&self) -> bool {
        self.described.is_some_and(|it| it.acknowledged)
    }

    /// Notes an answer that is being sent; with the session description it has, if any, which is an
    /// offer or an answer.
    pub(super) fn sent(
        &mut self,
        now: Instant,
        (answer, destination): (Printed, SipDestination),
        offer: Option<bool>,
    ) {
        if let Some(offer) = offer {
            self.described = Some(Described {
                offer,
                acknowledged: false,
            });
        }
        self.unanswered = Some(Unanswered {
            answer,
            destination,
            next: now + T1,
            interval: T1,
            until: now + TRANSACTION,
            stopped: false,
        });
    }

    /// The final answer has gone: nothing is repeated any more, but a PRACK may come still.
    pub(super) fn stop(&mut self) {
        if let Some(unanswered) = &mut self.unanswered {
            unanswered.stopped = true;
        }
    }

    /// A PRACK came for that RSeq and CSeq.
    pub(super) fn pracked(&mut self, rseq: u32, cseq: u32) -> Pracked {
        if self.unanswered.is_none() || (rseq, cseq) != (self.rseq, self.cseq) {
            return Pracked::Nothing;
        }
        self.unanswered = None;
        self.rseq = self.rseq.wrapping_add(1);
        let mut answers_offer = false;
        if let Some(described) = &mut self.described {
            answers_offer = described.offer && !described.acknowledged;
            described.acknowledged = true;
        }
        Pracked::Acknowledged { answers_offer }
    }

    /// What may be done with an offer before the final answer.
    pub(super) fn offer_gate(&self) -> Gate {
        match self.described {
            Some(Described {
                acknowledged: true, ..
            }) => Gate::Open,
            Some(Described { offer: true, .. }) => Gate::Pending,
            _ => Gate::Overlapping,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiting = self.unanswered.as_ref().filter(|it| !it.stopped)?;
        Some(waiting.next.min(waiting.until))
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|at| at <= now)
    }

    /// A deadline came: what to send again, or nothing when the wait is over.
    pub(super) fn timed_out(&mut self, now: Instant) -> Option<(SipDestination, Printed)> {
        let waiting = self.unanswered.as_mut().filter(|it| now < it.until)?;
        waiting.interval = waiting.interval.saturating_mul(2);
        waiting.next = now + waiting.interval;
        Some((waiting.destination, waiting.answer.clone()))
    }
}

/// RSeq and CSeq of a RAck header that is about an INVITE.
fn rack(request: &SipMessage<'_>) -> Option<(u32, u32)> {
    let value = request.headers().all_named("RAck").next()?;
    let mut words = core::str::from_utf8(value).ok()?.split_ascii_whitespace();
    let rseq = words.next()?.parse().ok()?;
    let cseq = words.next()?.parse().ok()?;
    (words.next()? == "INVITE" && words.next().is_none()).then_some((rseq, cseq))
}

impl SipEndpoint {
    pub(super) fn receive_prack(&mut self, incoming: &Incoming<'_, '_>, slot: Slot) {
        let rack = rack(incoming.request);
        let described = match session_description(incoming.request) {
            Ok(described) => described.map(Box::<[u8]>::from),
            Err(answer) => return self.answer_once(incoming, answer),
        };
        let pracked = self.sessions.update(slot, |session| {
            let (rseq, cseq) = rack?;
            Some(session.reliable.as_mut()?.pracked(rseq, cseq))
        });
        let Some(Pracked::Acknowledged { answers_offer }) = pracked.flatten() else {
            count(&mut self.counters.unknown_dialog);
            return self.answer_once(incoming, Answer::code(481));
        };
        let id = call_id(slot);
        match described {
            None => self.answer_once(incoming, Answer::code(200)),
            Some(answer) if answers_offer => {
                self.answer_once(incoming, Answer::code(200));
                let answer = Some(answer);
                self.push_event(SipEvent::ProvisionalConfirmed { id, answer });
            }
            Some(offer) => self.receive_offer(incoming, slot, offer, None),
        }
        self.release_held(incoming.now, slot);
    }

    /// The PRACK of an answer never came (section 3).
    pub(super) fn not_pracked(&mut self, now: Instant, slot: Slot) {
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        let tag: Box<str> = session.dialog.local_tag().into();
        let invite = session.initial_invite().cloned();
        self.drop_exchange(now, slot);
        if let Some(invite) = invite {
            self.finish_invite(now, &invite, &tag, Answer::code(504));
        }
        count(&mut self.counters.acks_missing);
        self.sessions.remove(slot);
        let cause = Cause::new(504, "the caller never acknowledged our provisional answer");
        self.tell_ended(slot, cause, EndedBy::Silence);
    }

    /// Sends the 200 that waited for a PRACK.
    fn release_held(&mut self, now: Instant, slot: Slot) {
        let held = self.sessions.update(slot, |session| {
            let reliable = session.reliable.as_mut()?;
            if reliable.holds_back() {
                return None;
            }
            reliable.held.take()
        });
        if let Some(sdp) = held.flatten() {
            // The INVITE waits for it; one that is too large would not have been held back.
            let _ = self.accept(now, call_id(slot), &sdp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rack_is_read_for_invite_alone() {
        for (value, wanted) in [
            ("776656 1 INVITE", Some((776_656, 1))),
            (" 1\t2  INVITE ", Some((1, 2))),
            ("1 2 UPDATE", None),
            ("1 2", None),
            ("1 2 INVITE 3", None),
            ("-1 2 INVITE", None),
            ("99999999999 2 INVITE", None),
        ] {
            let text = format!(
                "PRACK sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:b@c>\r\n\
                 To: <sip:a@d>\r\nCall-ID: x\r\nCSeq: 1 PRACK\r\nRAck: {value}\r\n\r\n"
            );
            let message = SipMessage::parse(text.as_bytes()).unwrap();
            assert_eq!(rack(&message), wanted, "{value}");
        }
    }
}
