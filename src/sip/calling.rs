//! What is known of a call of ours until its final answer: where it was tried, its early dialogs
//! (RFC 3261 section 12.1.2) and their reliable provisional responses (RFC 3262 section 4).
//!
//! A state without messages; the endpoint sends.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::rc::Rc;

use crate::base::time::Instant;
use crate::limits::{SIP_ATTEMPTS, SIP_FORKS, SIP_REDIRECTS};
use crate::wire::sip_message::SipMessage;

use super::authentication::{Authenticator, Credentials};
use super::call_out::CallOut;
use super::dialog::Dialog;
use super::event::Cause;
use super::table::Slot;
use super::transmit::SipTarget;

/// A call of ours that has no final answer.
#[derive(Debug)]
pub(super) struct Calling {
    /// What is asked for.
    pub(super) call: CallOut,
    /// The transaction of the INVITE that is under way; none while a redirect waits for the owner.
    pub(super) invite: Option<Slot>,
    pub(super) authenticator: Authenticator,
    /// Its early dialogs.
    forks: heapless::Vec<Fork, SIP_FORKS>,
    /// Which of the targets is tried.
    target: usize,
    /// Contacts of redirects that were not tried, the next one last.
    contacts: heapless::Vec<Box<str>, SIP_REDIRECTS>,
    /// Request-URIs that were tried.
    visited: heapless::Vec<Box<str>, SIP_REDIRECTS>,
    /// INVITEs that were sent.
    attempts: u8,
    /// When ringing has an end.
    pub(super) give_up: Instant,
    /// The shortest session that somebody on the way takes (RFC 4028 section 7.4).
    pub(super) min_se: Option<u32>,
    /// Whether no extension is to be named: somebody could not stand them.
    pub(super) plain: bool,
    /// Forks there were.
    count: u8,
}

/// One early dialog.
#[derive(Debug)]
pub(super) struct Fork {
    pub(super) number: u8,
    pub(super) dialog: Dialog,
    /// Its newest answer to our offer.
    answer: Option<Box<[u8]>>,
    /// RSeq of its newest reliable response.
    rseq: Option<u32>,
    /// The code that was told last.
    told: u16,
}

impl Fork {
    /// Whether our offer was answered in it.
    pub(super) fn has_answer(&self) -> bool {
        self.answer.is_some()
    }
}

/// What a provisional response brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progressed {
    /// Nothing: it came before, or out of order.
    Nothing,
    /// What the owner knows already.
    Known { fork: u8 },
    /// Something to tell.
    News { fork: u8 },
}

impl Calling {
    pub(super) fn new(now: Instant, call: CallOut) -> Self {
        Self {
            invite: None,
            authenticator: Authenticator::new(call.credentials.clone()),
            forks: heapless::Vec::new(),
            target: 0,
            contacts: heapless::Vec::new(),
            visited: heapless::Vec::new(),
            attempts: 0,
            give_up: now + call.ring,
            min_se: None,
            plain: false,
            count: 0,
            call,
        }
    }

    /// The place that is tried.
    pub(super) fn target(&self) -> Option<SipTarget> {
        self.call.targets.get(self.target).copied()
    }

    /// Goes on to the next place; false when there is none.
    pub(super) fn next_target(&mut self) -> bool {
        self.target = self.target.saturating_add(1);
        self.target < self.call.targets.len()
    }

    /// Begins another attempt, without what the last one's forks said; false when there were enough.
    pub(super) fn attempt(&mut self) -> bool {
        self.forks.clear();
        self.invite = None;
        self.attempts = self.attempts.saturating_add(1);
        self.attempts <= SIP_ATTEMPTS
    }

    /// Takes the contacts of a redirect, the best first. Those that there is no room for are left out.
    pub(super) fn redirected(&mut self, contacts: impl Iterator<Item = Box<str>>) {
        let mut taken: heapless::Vec<Box<str>, SIP_REDIRECTS> = contacts
            .filter(|uri| !self.visited.contains(uri) && !self.contacts.contains(uri))
            .take(SIP_REDIRECTS)
            .collect();
        taken.reverse();
        for contact in taken {
            if self.contacts.is_full() {
                self.contacts.remove(0);
            }
            // Room was made.
            let _ = self.contacts.push(contact);
        }
    }

    /// The next contact to try, unless enough were.
    pub(super) fn next_contact(&mut self) -> Option<Box<str>> {
        while let Some(contact) = self.contacts.pop() {
            if self.visited.contains(&contact) {
                continue;
            }
            return self.visited.push(contact.clone()).ok().map(|()| contact);
        }
        None
    }

    /// What is kept of it once it was answered.
    pub(super) fn placed(self) -> Placed {
        Placed {
            contact_user: self.call.contact_user.into(),
            authenticator: self.authenticator,
        }
    }

    /// Whether a place is at a host that is being tried.
    pub(super) fn knows(&self, target: &SipTarget) -> bool {
        let mut targets = self.call.targets.iter();
        targets.any(|known| known.address.ip() == target.address.ip())
    }

    /// Goes to other places from now on.
    pub(super) fn aim(&mut self, targets: super::transmit::SipTargets) {
        self.call.targets = targets;
        self.target = 0;
    }

    /// Takes a session interval that was too small for somebody; false when it was said already.
    pub(super) fn raise_min_se(&mut self, seconds: u32) -> bool {
        let asked = self.call.session_expires.unwrap_or_default();
        if seconds <= self.min_se.unwrap_or_default().max(asked) {
            return false;
        }
        self.min_se = Some(seconds);
        self.call.session_expires = Some(seconds);
        true
    }

    /// Takes a provisional response of the fork with that tag in To; `rseq` when it is reliable.
    /// `make` gives the dialog of a new fork.
    pub(super) fn progressed(
        &mut self,
        tag: &str,
        code: u16,
        rseq: Option<u32>,
        answer: Option<&[u8]>,
        make: impl FnOnce() -> Dialog,
    ) -> Progressed {
        let known = self.forks.iter().any(|f| f.dialog.remote_tag() == tag);
        if !known {
            self.count = self.count.wrapping_add(1);
            let fork = Fork {
                number: self.count,
                dialog: make(),
                answer: None,
                rseq: None,
                told: 0,
            };
            if self.forks.push(fork).is_err() {
                return Progressed::Nothing;
            }
        }
        let mut forks = self.forks.iter_mut();
        let Some(fork) = forks.find(|f| f.dialog.remote_tag() == tag) else {
            return Progressed::Nothing;
        };
        if let Some(rseq) = rseq {
            // Section 4: one that comes again is absorbed, one before its turn not acknowledged.
            if fork
                .rseq
                .is_some_and(|last| last.checked_add(1) != Some(rseq))
            {
                return Progressed::Nothing;
            }
            fork.rseq = Some(rseq);
        }
        let is_news =
            fork.told != code || answer.is_some_and(|new| fork.answer.as_deref() != Some(new));
        fork.told = code;
        if let Some(answer) = answer {
            fork.answer = Some(answer.into());
        }
        let fork = fork.number;
        if is_news {
            Progressed::News { fork }
        } else {
            Progressed::Known { fork }
        }
    }

    /// Whether a request of the called party belongs to one of the early dialogs.
    pub(super) fn has_early(&self, request: &SipMessage<'_>) -> bool {
        self.forks.iter().any(|fork| fork.dialog.has(request))
    }

    /// Whether one of the early dialogs has this Call-ID and these tags, ours and theirs.
    pub(super) fn has_fork(&self, call_id: &str, ours: &str, theirs: &str) -> bool {
        let mut forks = self.forks.iter();
        forks.any(|fork| fork.dialog.is(call_id, ours, theirs))
    }

    /// The early dialog that a request of the called party belongs to.
    pub(super) fn early_mut(&mut self, request: &SipMessage<'_>) -> Option<&mut Fork> {
        self.forks.iter_mut().find(|fork| fork.dialog.has(request))
    }

    pub(super) fn fork_mut(&mut self, number: u8) -> Option<&mut Fork> {
        self.forks.iter_mut().find(|fork| fork.number == number)
    }

    /// The peer no longer knows that early dialog.
    pub(super) fn drop_fork(&mut self, number: u8) {
        self.forks.retain(|fork| fork.number != number);
    }

    /// The dialog and the answer of the fork with that tag in To, or the answer that came without one.
    pub(super) fn take_fork(&mut self, tag: &str) -> (Option<Dialog>, Option<Box<[u8]>>) {
        let forks = core::mem::take(&mut self.forks);
        let mut untagged = None;
        for fork in forks {
            if fork.dialog.remote_tag() == tag {
                return (Some(fork.dialog), fork.answer.or(untagged));
            }
            if fork.dialog.remote_tag().is_empty() {
                untagged = fork.answer;
            }
        }
        (None, untagged)
    }
}

/// What is kept of a call of ours once it was answered, and of one of theirs once it was challenged.
#[derive(Debug)]
pub(super) struct Placed {
    /// User part of our Contact; none in a call of theirs.
    pub(super) contact_user: Box<str>,
    /// For challenges within the dialog.
    pub(super) authenticator: Authenticator,
}

impl Placed {
    /// That of a call of theirs.
    pub(super) fn of_account(account: Rc<Credentials>) -> Self {
        Self {
            contact_user: Box::default(),
            authenticator: Authenticator::new(Some(account)),
        }
    }
}

/// Why the call ends when nothing else is left to be tried.
pub(super) fn exhausted() -> Cause {
    Cause::new(500, "the call was tried too often")
}
