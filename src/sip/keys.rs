//! The keys that we press by INFO: one request after the other, each when the one before is answered.
//!
//! In two forms that no RFC has and every PBX knows: `application/dtmf-relay` (`Signal=5`,
//! `Duration=160`) and `application/dtmf` (the key alone).

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

use heapless::Deque;

use crate::base::ids::CallId;
use crate::base::time::Instant;
use crate::limits::DTMF_KEYS;

use super::endpoint::{SipEndpoint, call_id, slot};
use super::event::{SipEvent, SipRefusal};
use super::info::key_of;
use super::table::Slot;

/// The longest and shortest time that a key of ours is said to be pressed, in milliseconds.
const KEY_MILLIS: core::ops::RangeInclusive<u128> = 40..=5_000;

/// What tells of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// `application/dtmf-relay`, with its duration.
    Relay(Duration),
    /// `application/dtmf`: the key alone.
    Plain,
}

/// The keys of one call that are to be told by INFO.
#[derive(Debug, Default)]
pub(super) struct Keys {
    waiting: Deque<(char, KeyForm), DTMF_KEYS>,
    /// The INFO that is not answered is of a key.
    asked: bool,
}

impl Keys {
    /// Whether none waits, and none is unanswered.
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && !self.asked
    }
}

impl SipEndpoint {
    /// Tells the peer by INFO of pressed keys, one after the other: 0 to 9, `*`, `#`, A to D, or `!` for
    /// a flash of the hook. All of them, or none where the refusal is [`SipRefusal::Full`] because more
    /// wait than there is room for, or [`SipRefusal::WrongState`] because the call is not up or a sign is
    /// no key. Where the peer refuses one, [`SipEvent::DtmfRefused`] tells it and the rest is forgotten.
    pub fn dtmf(
        &mut self,
        now: Instant,
        id: CallId,
        keys: &str,
        form: KeyForm,
    ) -> Result<(), SipRefusal> {
        let slot = slot(id);
        let session = self.sessions.get(slot).ok_or(SipRefusal::NoSuchCall)?;
        let sign = |key: char| key_of(key.encode_utf8(&mut [0; 4]));
        if !session.is_confirmed() || keys.chars().any(|key| sign(key).is_none()) {
            return Err(SipRefusal::WrongState);
        }
        let added = self.sessions.update(slot, |session| {
            let queue = session.keys.get_or_insert_default();
            let room = DTMF_KEYS.saturating_sub(queue.waiting.len());
            if keys.chars().count() > room {
                return Err(SipRefusal::Full);
            }
            for key in keys.chars().filter_map(sign) {
                // There is room for all of them.
                let _ = queue.waiting.push_back((key, form));
            }
            Ok(())
        });
        let done = added.unwrap_or(Err(SipRefusal::NoSuchCall));
        self.next_key(now, slot);
        self.settle();
        done
    }

    /// An INFO of ours was answered.
    pub(super) fn key_answered(&mut self, now: Instant, slot: Slot, code: u16) {
        let refused = self.sessions.update(slot, |session| {
            let keys = session.keys.as_mut()?;
            let was_key = core::mem::take(&mut keys.asked);
            if was_key && code >= 300 {
                session.keys = None;
                return Some(());
            }
            None
        });
        if refused.flatten().is_some() {
            let id = call_id(slot);
            self.push_event(SipEvent::DtmfRefused { id, code });
        }
        self.next_key(now, slot);
    }

    /// Sends the next key, if no INFO is unanswered.
    fn next_key(&mut self, now: Instant, slot: Slot) {
        let next = self.sessions.update(slot, |session| {
            if session.info.is_some() || !session.is_confirmed() {
                return None;
            }
            let keys = session.keys.as_mut()?;
            let next = keys.waiting.pop_front();
            keys.asked = next.is_some();
            if keys.is_empty() {
                session.keys = None;
            }
            next
        });
        let Some((key, form)) = next.flatten() else {
            return;
        };
        let sent = match form {
            KeyForm::Relay(duration) => {
                let (least, most) = (*KEY_MILLIS.start(), *KEY_MILLIS.end());
                let millis = duration.as_millis().clamp(least, most);
                let body = format!("Signal={key}\r\nDuration={millis}\r\n");
                self.send_info(now, slot, "application/dtmf-relay", &body)
            }
            KeyForm::Plain => {
                let mut bytes = [0; 4];
                self.send_info(now, slot, "application/dtmf", key.encode_utf8(&mut bytes))
            }
        };
        if sent.is_err() {
            // No room for a request: the rest would find none either.
            self.sessions.update(slot, |session| session.keys = None);
            let id = call_id(slot);
            self.push_event(SipEvent::DtmfRefused { id, code: 503 });
        }
    }
}
