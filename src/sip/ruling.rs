//! The rules of a trunk put to use: between the reading of a request and its transaction.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::counter::count;
use crate::base::time::Instant;
use crate::limits::SIP_MESSAGE_BYTES;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_method::Method;
use crate::wire::sip_reply::ReplyHead;
use crate::wire::sip_rewrite::rewrite;

use super::answer::Answer;
use super::dialog::Arrival;
use super::endpoint::SipEndpoint;
use super::reply::Incoming;
use super::rules::{Matching, Rules, Verdict};
use super::transaction_server::TransactionKey;

/// The rules of an endpoint, and where requests are written anew.
#[derive(Debug, Default)]
pub(super) struct Ruling {
    rules: Rules,
    /// Of `SIP_MESSAGE_BYTES` where there are rules.
    scratch: Box<[u8]>,
}

impl SipEndpoint {
    /// Says anew what is done with requests that come in.
    pub fn set_rules(&mut self, rules: Rules) {
        let room = if rules.is_empty() {
            0
        } else {
            SIP_MESSAGE_BYTES
        };
        let scratch = vec![0; room].into();
        self.ruling = Ruling { rules, scratch };
    }

    /// Takes a request as the rules leave it.
    pub(super) fn receive_by_rules(
        &mut self,
        now: Instant,
        arrival: Arrival,
        method: Method<'_>,
        request: &SipMessage<'_>,
    ) {
        // Shared, not copied.
        let rules = self.ruling.rules.clone();
        match rules.judge(request, arrival.remote.ip()) {
            Verdict::Pass => self.receive_request(now, arrival.of(request), method, request),
            Verdict::Change(matching) => {
                self.receive_changed(now, arrival, method, request, &matching);
            }
            Verdict::Reject(code, reason) => {
                let answer = match reason {
                    Some(reason) => Answer::phrase(code, reason),
                    None => Answer::code(code),
                };
                self.reject_by_rule(now, arrival.of(request), method, request, answer);
            }
        }
    }

    fn receive_changed(
        &mut self,
        now: Instant,
        arrival: Arrival,
        method: Method<'_>,
        request: &SipMessage<'_>,
        matching: &Matching<'_>,
    ) {
        let mut scratch = std::mem::take(&mut self.ruling.scratch);
        let length = rewrite(request, matching.changes(), &mut scratch).ok();
        let written = length.and_then(|length| scratch.get(..length));
        match written.and_then(|bytes| SipMessage::parse(bytes).ok()) {
            Some(changed) => {
                count(&mut self.counters.rules_applied);
                self.receive_request(now, arrival.of(&changed), method, &changed);
            }
            None => {
                count(&mut self.counters.rules_failed);
                self.receive_request(now, arrival.of(request), method, request);
            }
        }
        self.ruling.scratch = scratch;
    }

    fn reject_by_rule(
        &mut self,
        now: Instant,
        arrival: Arrival,
        method: Method<'_>,
        request: &SipMessage<'_>,
        answer: Answer,
    ) {
        let incoming = Incoming {
            now,
            arrival,
            request,
            key: TransactionKey::of(request, method.as_str()),
            head: ReplyHead::new(request.headers(), arrival.remote),
        };
        if !self.absorb(&incoming) {
            count(&mut self.counters.rules_rejected);
            self.refuse_uncounted(&incoming, answer);
        }
    }
}
