//! Replaces (RFC 3891): an INVITE whose call takes the place of another one.
//!
//! The dialog is found by Call-ID and tags as section 3 says, early ones of ours among them. That its
//! party may do so is what the list of those who may call decides. The old call ends once the answer to
//! the new one is acknowledged.

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
use crate::limits::SIP_REPLACES_BYTES;
use crate::wire::sip_message::SipMessage;

use super::answer::Answer;
use super::call_out_check::is_call_id;
use super::dialog::Dialog;
use super::endpoint::{SipEndpoint, call_id, slot};
use super::event::Cause;
use super::session::Session;
use super::table::Slot;

/// The value of a Replaces header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replaces<'a> {
    call_id: &'a str,
    /// The tag of whom it is sent to.
    to_tag: &'a str,
    /// The tag of the other party of that dialog.
    from_tag: &'a str,
    early_only: bool,
}

impl<'a> Replaces<'a> {
    /// Reads `call-id;to-tag=a;from-tag=b`, with exactly one of either tag.
    pub(super) fn parse(value: &'a str) -> Option<Self> {
        if value.len() > SIP_REPLACES_BYTES {
            return None;
        }
        let mut parts = value.split(';').map(|part| part.trim_matches([' ', '\t']));
        let call_id = parts.next().filter(|id| is_call_id(id))?;
        let (mut to_tag, mut from_tag, mut early_only) = (None, None, false);
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (part, None),
            };
            let place = match name {
                _ if name.eq_ignore_ascii_case("to-tag") => &mut to_tag,
                _ if name.eq_ignore_ascii_case("from-tag") => &mut from_tag,
                _ if name.eq_ignore_ascii_case("early-only") && value.is_none() => {
                    early_only = true;
                    continue;
                }
                _ if is_token(name) && value.is_none_or(is_plain) => continue,
                _ => return None,
            };
            if place.replace(value.filter(|tag| is_token(tag))?).is_some() {
                return None;
            }
        }
        Some(Self {
            call_id,
            to_tag: to_tag?,
            from_tag: from_tag?,
            early_only,
        })
    }
}

fn is_token(text: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
    !text.is_empty() && text.bytes().all(is_token)
}

fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|b| (b' '..0x7f).contains(&b) && !b"<>".contains(&b))
}

impl SipEndpoint {
    /// The call that an INVITE is to take the place of; the answer to one that cannot.
    pub(super) fn replaced_by(&self, invite: &SipMessage<'_>) -> Result<Option<CallId>, Answer> {
        let mut values = invite.headers().all_named("Replaces");
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let value = core::str::from_utf8(value).ok().map(str::trim);
        let replaces = value.and_then(Replaces::parse);
        let Some(wanted) = replaces.filter(|_| values.next().is_none()) else {
            return Err(Answer::code(400));
        };
        let hash = Dialog::hash(wanted.call_id, wanted.to_tag);
        let is_it = |session: &Session| match session.calling() {
            Some(calling) => calling.has_fork(wanted.call_id, wanted.to_tag, wanted.from_tag),
            None => session
                .dialog
                .is(wanted.call_id, wanted.to_tag, wanted.from_tag),
        };
        let found = self.sessions.find(hash, is_it);
        let Some((slot, session)) = found.and_then(|slot| Some((slot, self.sessions.get(slot)?)))
        else {
            return Err(Answer::code(481));
        };
        if session.is_ending() {
            return Err(Answer::code(603));
        }
        // An early dialog that others began cannot be replaced.
        if session.initial_invite().is_some() {
            return Err(Answer::code(481));
        }
        if wanted.early_only && session.calling().is_none() {
            return Err(Answer::code(486));
        }
        Ok(Some(call_id(slot)))
    }

    /// Ends the call whose place this one has taken, if there is one and this one was accepted.
    pub(super) fn end_replaced(&mut self, now: Instant, taker: Slot) {
        let replaced = self.sessions.update(taker, |session| {
            let accepted = session.initial_invite().is_none();
            session.replaces.take_if(|_| accepted)
        });
        if let Some(id) = replaced.flatten() {
            let is_known = self.sessions.get(slot(id)).is_some();
            let cause = Cause::new(200, "another call took its place");
            // It may have ended by itself.
            let _ = is_known.then(|| self.hangup(now, id, cause));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    const WHOLE: &str = "12adf2f34456gs5@192.0.2.10;to-tag=7743;from-tag=6472;early-only";

    #[test]
    fn a_value_has_a_call_and_one_of_either_tag() {
        let read = |early_only| Replaces {
            call_id: "a@b",
            to_tag: "1",
            from_tag: "2",
            early_only,
        };
        for (value, wanted) in [
            ("a@b;to-tag=1;from-tag=2", Some(read(false))),
            ("a@b ; From-Tag = 2; TO-TAG=1 ;early-only", Some(read(true))),
            ("a@b;to-tag=1;from-tag=2;x;y=\"z\"", Some(read(false))),
            ("a@b;to-tag=1", None),
            ("a@b;from-tag=2", None),
            ("a@b;to-tag=1;from-tag=2;to-tag=1", None),
            ("a@b;to-tag=;from-tag=2", None),
            ("a@b;to-tag=1;from-tag=2;", None),
            ("a b;to-tag=1;from-tag=2", None),
            (";to-tag=1;from-tag=2", None),
            ("a@b;to-tag=1\r\nX: y;from-tag=2", None),
            ("", None),
        ] {
            assert_eq!(Replaces::parse(value), wanted, "{value:?}");
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_read_or_not_and_nothing_else() {
        let mut read = 0;
        for length in 0..=WHOLE.len() {
            read += usize::from(Replaces::parse(&WHOLE[..length]).is_some());
        }
        assert!(read > 1 && read < 20, "{read}");
        let mut rng = Rng::from_number(3);
        for _ in 0..5_000 {
            let mut bytes = WHOLE.as_bytes().to_vec();
            for _ in 0..3 {
                let at = rng.below(bytes.len() as u32) as usize;
                bytes[at] = rng.below(128) as u8;
            }
            let text = String::from_utf8(bytes).unwrap();
            if let Some(it) = Replaces::parse(&text) {
                assert!(!it.call_id.contains(['\r', '\n', ' ']), "{text:?}");
                assert!(is_token(it.to_tag) && is_token(it.from_tag), "{text:?}");
            }
        }
        let long = format!("{};to-tag=1;from-tag=2", "a".repeat(SIP_REPLACES_BYTES));
        assert_eq!(Replaces::parse(&long), None);
    }
}
