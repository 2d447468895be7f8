//! REFER of theirs (RFC 3515) and the subscription that it begins (RFC 6665): we are asked to call
//! somebody else, and say by NOTIFY how that goes.
//!
//! Only within calls that were answered, one at a time. One NOTIFY is under way at a time, and tells the newest
//! state. A peer that wants no subscription (RFC 4488) gets none. The BYE of a call that its owner ends
//! after the last state waits until that is told. Nothing is told any more once the peer has hung up.

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

use rsip::Header;

use crate::base::counter::count;
use crate::base::ids::CallId;
use crate::base::redact::OneLine;
use crate::base::time::Instant;
use crate::limits::{SIP_CAUSE_CHARACTERS, SIP_REFER_BYTES};
use crate::wire::sip_name::HeaderName;
use crate::wire::sip_reply::ReplyHead;

use super::answer::Answer;
use super::call_out_check::is_address;
use super::endpoint::{SipEndpoint, call_id, slot};
use super::event::{Cause, SipEvent, SipRefusal};
use super::refer_to::refer_to;
use super::reply::Incoming;
use super::sipfrag::{SIPFRAG, sipfrag};
use super::table::Slot;
use super::timer::TRANSACTION;
use super::transaction_client::Purpose;
use super::transmit::SipTarget;

/// How long a subscription lasts: longer than any call of ours rings.
const SUBSCRIPTION: Duration = Duration::from_secs(300);

/// A REFER of theirs.
#[derive(Debug)]
pub(super) struct Notifier {
    /// Its transaction, and what its answer repeats, until it is answered.
    pending: Option<(Slot, ReplyHead)>,
    /// Its sequence number, by which NOTIFYs name it.
    id: u32,
    /// Whether the peer wants no NOTIFY.
    silent: bool,
    /// When the subscription is over, or the peer has given up waiting for an answer.
    pub(super) until: Instant,
    /// The NOTIFY that is not answered.
    pub(super) request: Option<Slot>,
    /// The newest state.
    code: u16,
    reason: String,
    /// Whether it is newer than the NOTIFY under way.
    is_news: bool,
    /// Why the call is to end after the last NOTIFY.
    bye: Option<Cause>,
}

impl Notifier {
    fn is_final(&self) -> bool {
        self.code >= 200
    }

    /// Its transaction, until it is answered.
    pub(super) fn unanswered(&self) -> Option<Slot> {
        self.pending.as_ref().map(|(transaction, _)| *transaction)
    }

    /// Whether a BYE waits for the answer to the last NOTIFY.
    pub(super) fn holds_bye(&self) -> bool {
        self.bye.is_some()
    }
}

impl SipEndpoint {
    /// Where the peer of a call is.
    pub fn peer(&self, id: CallId) -> Option<SipTarget> {
        let arrival = self.sessions.get(slot(id))?.dialog.arrival();
        let transport = arrival.transport();
        let address = match transport.is_reliable() {
            true => arrival.back,
            false => arrival.remote,
        };
        Some(SipTarget { transport, address })
    }

    /// Our own address in a call, where it is one that may stand in From of another.
    pub fn own_address(&self, id: CallId) -> Option<String> {
        let own = self.sessions.get(slot(id))?.dialog.own_address();
        is_address(own).then(|| own.to_owned())
    }

    /// Whether it is we who were called.
    pub fn is_called(&self, id: CallId) -> bool {
        let session = self.sessions.get(slot(id));
        session.is_some_and(|session| !session.outgoing)
    }

    /// Answers a REFER with 202, and tells its sender that the call is being tried.
    pub fn refer_accept(&mut self, now: Instant, id: CallId) -> Result<(), SipRefusal> {
        let slot = slot(id);
        let (transaction, head, tag, silent) = self.take_refer(slot)?;
        let mut answer = self.dialog_answer(202, slot);
        if silent {
            answer = answer.with(Header::Other("Refer-Sub".into(), "false".into()));
        }
        self.answer_later(now, transaction, &head, &tag, answer);
        self.sessions.update(slot, |session| {
            if let Some(notifier) = &mut session.notifier {
                notifier.until = now + SUBSCRIPTION;
            }
        });
        if !silent {
            self.send_notify(now, slot);
        }
        self.settle();
        Ok(())
    }

    /// Refuses a REFER with a code of 300 or more; the call goes on as it was.
    pub fn refer_refuse(&mut self, now: Instant, id: CallId, code: u16) -> Result<(), SipRefusal> {
        let slot = slot(id);
        let (transaction, head, tag, _) = self.take_refer(slot)?;
        let answer = Answer::code(code.clamp(300, 699));
        self.answer_later(now, transaction, &head, &tag, answer);
        self.sessions
            .update(slot, |session| session.notifier = None);
        self.settle();
        Ok(())
    }

    /// Tells the sender of a REFER how the call that it asked for goes: 100 to 199 that it goes on,
    /// anything else its outcome, after which there is nothing more to tell. Refused as
    /// [`SipRefusal::WrongState`] where nothing was accepted or everything is told.
    pub fn refer_progress(
        &mut self,
        now: Instant,
        id: CallId,
        code: u16,
        reason: &str,
    ) -> Result<(), SipRefusal> {
        let slot = slot(id);
        let code = code.clamp(100, 699);
        let told = self.sessions.update(slot, |session| {
            let notifier = session.notifier.as_mut()?;
            if notifier.pending.is_some() || notifier.is_final() {
                return None;
            }
            let is_new = notifier.code != code;
            notifier.code = code;
            notifier.reason = OneLine::new(reason, SIP_CAUSE_CHARACTERS).to_string();
            let is_free = notifier.request.is_none();
            notifier.is_news = is_new && !is_free;
            if notifier.silent {
                if notifier.is_final() {
                    session.notifier = None;
                }
                return Some(false);
            }
            Some(is_new && is_free)
        });
        let sends = told
            .ok_or(SipRefusal::NoSuchCall)?
            .ok_or(SipRefusal::WrongState)?;
        if sends {
            self.send_notify(now, slot);
        }
        self.settle();
        Ok(())
    }

    /// A REFER within a call.
    pub(super) fn receive_refer(&mut self, incoming: &Incoming<'_, '_>, slot: Slot) {
        let request = incoming.request;
        let Some(session) = self.sessions.get(slot).filter(|s| !s.is_ending()) else {
            count(&mut self.counters.unknown_dialog);
            return self.answer_once(incoming, Answer::code(481));
        };
        let is_free = session.notifier.is_none() && session.referral.is_none();
        if !session.is_answered() || !is_free {
            return self.refuse_refer(incoming, Answer::code(491));
        }
        let refer_to = match refer_to(request) {
            Ok(refer_to) => refer_to,
            Err(answer) => return self.refuse_refer(incoming, answer),
        };
        let headers = request.headers();
        let referred_by = headers.text(HeaderName::ReferredBy);
        let too_long = |by: &String| by.len() > SIP_REFER_BYTES || by.chars().any(char::is_control);
        if referred_by.as_ref().is_some_and(too_long) {
            return self.refuse_refer(incoming, Answer::code(400));
        }
        let mut wishes = headers.all_named("Refer-Sub");
        let silent = wishes.next().is_some_and(|wish| {
            let wish = wish.split(|byte| *byte == b';').next().unwrap_or_default();
            wish.trim_ascii().eq_ignore_ascii_case(b"false")
        });
        let has_room = self.has_event_room();
        let Some(transaction) = has_room.then(|| self.open_request(incoming)).flatten() else {
            let answer = Answer::code(500).retry_after(Some(1));
            return self.refuse_refer(incoming, answer);
        };
        let notifier = Notifier {
            pending: Some((transaction, incoming.head.clone())),
            id: request.cseq().number,
            silent,
            until: incoming.now + TRANSACTION,
            request: None,
            code: 100,
            reason: String::new(),
            is_news: false,
            bye: None,
        };
        self.sessions.update(slot, |session| {
            session.dialog.refresh_target(request);
            session.notifier = Some(Box::new(notifier));
        });
        count(&mut self.counters.refers);
        self.push_event(SipEvent::Refer {
            id: call_id(slot),
            to: refer_to.to,
            replaces: refer_to.replaces,
            referred_by,
        });
    }

    fn refuse_refer(&mut self, incoming: &Incoming<'_, '_>, answer: Answer) {
        count(&mut self.counters.requests_refused);
        self.answer_once(incoming, answer);
    }

    /// The REFER that waits for its answer: transaction, head, our tag, and whether it wants no NOTIFY.
    fn take_refer(&mut self, slot: Slot) -> Result<(Slot, ReplyHead, Box<str>, bool), SipRefusal> {
        let taken = self.sessions.update(slot, |session| {
            let tag = session.dialog.local_tag().into();
            let notifier = session.notifier.as_mut()?;
            let (transaction, head) = notifier.pending.take()?;
            Some((transaction, head, tag, notifier.silent))
        });
        let taken = taken.ok_or(SipRefusal::NoSuchCall)?;
        taken.ok_or(SipRefusal::WrongState)
    }

    /// Refuses a REFER that waits in a call that ends, or waits too long.
    pub(super) fn drop_refer(&mut self, now: Instant, slot: Slot) {
        if let Ok((transaction, head, tag, _)) = self.take_refer(slot) {
            self.answer_later(now, transaction, &head, &tag, Answer::code(487));
            self.sessions
                .update(slot, |session| session.notifier = None);
        }
    }

    /// What a NOTIFY says beside its body.
    pub(super) fn notify_headers(&self, slot: Slot) -> Vec<Header> {
        let Some(session) = self.sessions.get(slot) else {
            return Vec::new();
        };
        let Some(notifier) = &session.notifier else {
            return Vec::new();
        };
        let state = if notifier.is_final() {
            "terminated;reason=noresource".into()
        } else {
            format!("active;expires={}", SUBSCRIPTION.as_secs())
        };
        vec![
            self.contact_of(session),
            Header::Event(format!("refer;id={}", notifier.id).into()),
            Header::SubscriptionState(state.into()),
        ]
    }

    fn send_notify(&mut self, now: Instant, slot: Slot) {
        let session = self.sessions.get(slot);
        let Some(notifier) = session.and_then(|s| s.notifier.as_ref()) else {
            return;
        };
        let body = sipfrag(notifier.code, &notifier.reason).into_bytes();
        let mut headers = self.notify_headers(slot);
        headers.push(Header::ContentType(SIPFRAG.into()));
        let sent = self.send_request(now, slot, Purpose::Notify, headers, body);
        match sent {
            Ok(transaction) => {
                self.sessions.update(slot, |session| {
                    if let Some(notifier) = &mut session.notifier {
                        notifier.request = Some(transaction);
                        notifier.is_news = false;
                    }
                });
            }
            Err(_) => self.end_notifier(now, slot),
        }
    }

    /// A NOTIFY of ours was answered, or nobody did.
    pub(super) fn notify_answered(&mut self, now: Instant, slot: Slot, code: u16) {
        let next = self.sessions.update(slot, |session| {
            let notifier = session.notifier.as_mut()?;
            notifier.request = None;
            Some((notifier.is_news, notifier.is_final()))
        });
        let Some(Some((is_news, is_final))) = next else {
            return;
        };
        if code >= 300 || (is_final && !is_news) {
            self.end_notifier(now, slot);
        } else if is_news {
            self.send_notify(now, slot);
        }
    }

    /// The subscription is over: nobody hears of the call any more. What waited for that goes.
    pub(super) fn end_notifier(&mut self, now: Instant, slot: Slot) {
        self.drop_refer(now, slot);
        let notifier = self.sessions.update(slot, |s| s.notifier.take()).flatten();
        if let Some(cause) = notifier.and_then(|notifier| notifier.bye) {
            self.send_bye(now, slot, Some(&cause));
        }
    }

    /// Has the BYE of a call wait for the last NOTIFY; false where there is none to wait for.
    pub(super) fn hold_bye(&mut self, slot: Slot, cause: &Cause) -> bool {
        let held = self.sessions.update(slot, |session| {
            let notifier = session.notifier.as_mut()?;
            let waits = notifier.is_final() && notifier.request.is_some();
            waits.then(|| notifier.bye = Some(cause.clone()))
        });
        held.flatten().is_some()
    }
}
