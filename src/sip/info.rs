//! INFO within a call (RFC 6086): a wish for a keyframe (RFC 5168), and pressed keys of theirs.
//!
//! Keys come as `application/dtmf-relay` (`Signal=5`, `Duration=160`) and `application/dtmf`, the forms
//! that no RFC has and every PBX knows. Info packages are not supported.

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
use crate::base::time::Instant;
use crate::wire::sip_message::SipMessage;

use super::answer::Answer;
use super::endpoint::{SipEndpoint, call_id};
use super::event::{SipEvent, SipRefusal};
use super::reply::Incoming;
use super::table::Slot;
use super::transaction_client::Purpose;

/// The body that asks a phone for a keyframe (RFC 5168).
const PICTURE_FAST_UPDATE: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n\
    <media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive>\
    </media_control>\r\n";

/// What INFO may carry.
const ACCEPT: &str = "application/media_control+xml, application/dtmf-relay, application/dtmf";

/// How long a key is pressed where its INFO does not say.
const KEY_TIME: Duration = Duration::from_millis(250);

/// What an INFO of theirs is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InfoIs {
    /// Nothing: it only keeps the call going.
    Empty,
    Keyframe,
    Key(char, Duration),
    /// A body of a known kind without meaning here.
    Other,
    /// A body of another kind.
    Unknown,
}

impl SipEndpoint {
    /// Sends the INFO that asks for a keyframe.
    pub(super) fn send_keyframe_info(
        &mut self,
        now: Instant,
        slot: Slot,
    ) -> Result<(), SipRefusal> {
        let kind = "application/media_control+xml";
        self.send_info(now, slot, kind, PICTURE_FAST_UPDATE)
    }

    pub(super) fn send_info(
        &mut self,
        now: Instant,
        slot: Slot,
        kind: &str,
        body: &str,
    ) -> Result<(), SipRefusal> {
        let headers = vec![Header::ContentType(kind.into())];
        let body = body.as_bytes().to_vec();
        let transaction = self.send_request(now, slot, Purpose::Info, headers, body)?;
        self.sessions.update(slot, |s| s.info = Some(transaction));
        Ok(())
    }

    pub(super) fn receive_info(&mut self, incoming: &Incoming<'_, '_>, slot: Slot) {
        let headers = incoming.request.headers();
        if headers.all_named("Info-Package").next().is_some() {
            // RFC 6086 section 4.2.2: and these are the packages there are.
            let answer = Answer::code(469).with(Header::Other("Recv-Info".into(), String::new()));
            return self.answer_once(incoming, answer);
        }
        let is_up = self.sessions.get(slot).is_some_and(|s| !s.is_ending());
        let id = call_id(slot);
        let event = match info_is(incoming.request) {
            InfoIs::Unknown => {
                let answer = Answer::code(415).with(Header::Accept(ACCEPT.into()));
                return self.answer_once(incoming, answer);
            }
            InfoIs::Empty | InfoIs::Other => None,
            InfoIs::Keyframe => Some(SipEvent::KeyframeWanted { id }),
            InfoIs::Key(key, duration) => Some(SipEvent::Dtmf { id, key, duration }),
        };
        if let Some(event) = event.filter(|_| is_up) {
            if !self.has_event_room() {
                let answer = Answer::code(500).retry_after(Some(1));
                return self.answer_once(incoming, answer);
            }
            count(&mut self.counters.infos);
            self.push_event(event);
        }
        self.answer_once(incoming, Answer::code(200));
    }
}

fn info_is(request: &SipMessage<'_>) -> InfoIs {
    let body = request.body();
    if body.is_empty() {
        return InfoIs::Empty;
    }
    let Some(kind) = request.headers().content_type() else {
        return InfoIs::Unknown;
    };
    let text = core::str::from_utf8(body).unwrap_or_default();
    if kind.is("application", "media_control+xml") {
        if text.contains("picture_fast_update") {
            InfoIs::Keyframe
        } else {
            InfoIs::Other
        }
    } else if kind.is("application", "dtmf-relay") || kind.is("application", "dtmf") {
        relayed_key(text).map_or(InfoIs::Other, |(key, duration)| InfoIs::Key(key, duration))
    } else {
        InfoIs::Unknown
    }
}

/// A key as `Signal=` with `Duration=`, or alone.
fn relayed_key(text: &str) -> Option<(char, Duration)> {
    let value = |wanted: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            let is_it = name.trim().eq_ignore_ascii_case(wanted);
            is_it.then(|| value.trim())
        })
    };
    let key = value("Signal").or_else(|| text.lines().next().map(str::trim))?;
    let millis = value("Duration").and_then(|it| it.parse::<u16>().ok());
    let duration = millis.map_or(KEY_TIME, |it| Duration::from_millis(u64::from(it)));
    Some((key_of(key)?, duration))
}

/// A key by its sign or by its number as an event of RFC 4733.
pub(super) fn key_of(text: &str) -> Option<char> {
    let mut chars = text.chars();
    if let (Some(sign), None) = (chars.next(), chars.next()) {
        let sign = sign.to_ascii_uppercase();
        return matches!(sign, '0'..='9' | '*' | '#' | 'A'..='D' | '!').then_some(sign);
    }
    Some(match text {
        "10" => '*',
        "11" => '#',
        "12" => 'A',
        "13" => 'B',
        "14" => 'C',
        "15" => 'D',
        "16" => '!',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_every_form() {
        let ms = Duration::from_millis;
        for (text, wanted) in [
            ("Signal=5\r\nDuration=160\r\n", Some(('5', ms(160)))),
            ("Signal= *\r\nDuration= 90", Some(('*', ms(90)))),
            ("signal = 11\nduration = x", Some(('#', KEY_TIME))),
            ("Signal=a\r\n", Some(('A', KEY_TIME))),
            ("Duration=100\r\nSignal=16\r\n", Some(('!', ms(100)))),
            ("7", Some(('7', KEY_TIME))),
            (" 10 \r\n", Some(('*', KEY_TIME))),
            ("Signal=E\r\n", None),
            ("Signal=\r\n", None),
            ("17", None),
            ("", None),
            ("\u{e9}", None),
        ] {
            assert_eq!(relayed_key(text), wanted, "{text:?}");
        }
    }
}
