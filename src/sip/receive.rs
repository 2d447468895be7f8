//! Bytes that came in, as messages: requests, responses, and what is wrong with the rest.

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
use crate::wire::sip_fault::{SipError, SipFault};
use crate::wire::sip_frame::{StreamFramer, StreamItem};
use crate::wire::sip_message::{SipMessage, StartLine};
use crate::wire::sip_reply::ReplyHead;

use super::answer::Answer;
use super::dialog::Arrival;
use super::endpoint::SipEndpoint;
use super::transmit::Printed;

impl SipEndpoint {
    pub(super) fn receive(
        &mut self,
        now: Instant,
        arrival: Arrival,
        message: Result<SipMessage<'_>, SipError<'_>>,
    ) {
        let message = match message {
            Ok(message) => message,
            Err(error) => return self.receive_fault(arrival, error),
        };
        match message.start() {
            StartLine::Request { method, .. } => {
                let method = *method;
                if !self.may_ask(arrival.remote.ip(), &message) {
                    return count(&mut self.counters.source_refused);
                }
                self.receive_by_rules(now, arrival, method, &message);
            }
            StartLine::Status { code, .. } => {
                self.receive_response(now, arrival, *code, &message);
            }
        }
    }

    fn receive_fault(&mut self, arrival: Arrival, error: SipError<'_>) {
        let Some(headers) = error.answer_to else {
            let counter = match error.fault {
                SipFault::KeepAlive => &mut self.counters.keep_alives,
                _ => &mut self.counters.unreadable,
            };
            return count(counter);
        };
        count(&mut self.counters.malformed);
        let head = ReplyHead::new(&headers, arrival.remote);
        let destination = arrival.answers_to(head.destination());
        let tag = self.stateless_tag(&headers);
        let answer = Answer::status(error.fault.status());
        if let Some(printed) = self.print(&head, &tag, answer) {
            self.send(destination, printed);
        }
    }

    /// Whether anything whole was among the bytes; nothing when the stream cannot go on.
    pub(super) fn receive_stream(
        &mut self,
        now: Instant,
        arrival: Arrival,
        framer: &mut StreamFramer,
        bytes: &[u8],
    ) -> Option<bool> {
        let mut whole = false;
        let mut rest = bytes;
        loop {
            let taken = framer.push(rest);
            rest = rest.get(taken..).unwrap_or_default();
            loop {
                match framer.next_item() {
                    Ok(Some(StreamItem::Message(message) | StreamItem::Unframed(message))) => {
                        whole = true;
                        match self.takes(now, arrival.remote.ip(), message) {
                            Ok(()) => {
                                self.receive(now, arrival, SipMessage::parse_stream(message));
                            }
                            Err(standing) => self.turn_away(arrival, standing, message),
                        }
                    }
                    Ok(Some(StreamItem::KeepAlive)) => {
                        whole = true;
                        if self.takes(now, arrival.remote.ip(), b"").is_err() {
                            continue;
                        }
                        count(&mut self.counters.keep_alives);
                        let back = arrival.answers_to(arrival.remote);
                        self.send(back, Printed::from(&b"\r\n"[..]));
                    }
                    Ok(None) => break,
                    Err(_) => return None,
                }
            }
            if rest.is_empty() {
                return Some(whole);
            }
            if taken == 0 {
                return None;
            }
        }
    }
}
