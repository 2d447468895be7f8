//! Why a call ends, in words: the Reason header (RFC 3326) with causes of SIP and of Q.850.

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

use crate::base::redact::OneLine;
use crate::limits::SIP_CAUSE_CHARACTERS;
use crate::wire::sip_emit::reason_phrase;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_name::HeaderName;

use super::event::Cause;

/// The words of a Reason header on one bounded line: its text, else what its cause means.
pub(super) fn reason(request: &SipMessage<'_>) -> Option<String> {
    let headers = request.headers();
    let mut values = headers.values(HeaderName::Reason);
    let words = values.find_map(|value| words(&String::from_utf8_lossy(value)))?;
    Some(OneLine::new(&words, SIP_CAUSE_CHARACTERS).to_string())
}

/// The Reason header of a cause, when there is more to say than that the call is over.
pub(super) fn reason_header(cause: &Cause) -> Option<Header> {
    (cause.code >= 300).then(|| {
        let words = cause.words.replace(['"', '\\'], "'");
        let reason = format!("SIP;cause={};text=\"{words}\"", cause.code);
        Header::Other("Reason".into(), reason)
    })
}

fn words(value: &str) -> Option<String> {
    let protocol = value.split(';').next().unwrap_or_default().trim();
    if let Some((_, text)) = value.split_once("text=") {
        let words = match text.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next()?,
            None => text.split([';', ',']).next()?.trim(),
        };
        if !words.is_empty() {
            return Some(words.into());
        }
    }
    let mut params = value.split(';').skip(1).map(str::trim);
    let cause = params.find_map(|param| param.strip_prefix("cause="))?;
    let cause: u16 = cause.trim().parse().ok()?;
    if protocol.eq_ignore_ascii_case("Q.850") {
        return Some(q850(cause).into());
    }
    Some(format!("{cause} {}", reason_phrase(cause)))
}

/// What a cause of ITU-T Q.850 means.
fn q850(cause: u16) -> &'static str {
    match cause {
        1 => "unallocated number",
        2 | 3 => "no route",
        16 => "normal call clearing",
        17 => "user busy",
        18 => "no user responding",
        19 => "no answer from the user",
        20 => "subscriber absent",
        21 => "call rejected",
        22 => "number changed",
        26 => "answered elsewhere",
        27 => "destination out of order",
        28 => "invalid number",
        29 => "facility rejected",
        31 => "normal, unspecified",
        34 => "no circuit available",
        38 => "network out of order",
        41 => "temporary failure",
        42 => "switching equipment congestion",
        44 => "requested channel not available",
        47 => "resource unavailable",
        50 | 69 => "facility not available",
        57 | 58 | 63 | 65 => "bearer capability not available",
        79 => "service not implemented",
        88 => "incompatible destination",
        102 => "recovery on timer expiry",
        111 => "protocol error",
        127 => "interworking, unspecified",
        _ => "another cause of Q.850",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_its_text_or_what_its_cause_means() {
        for (value, wanted) in [
            (
                "SIP;cause=200;text=\"Call completed elsewhere\"",
                Some("Call completed elsewhere"),
            ),
            ("Q.850;cause=16;text=\"Terminated\"", Some("Terminated")),
            ("Q.850;cause=17", Some("user busy")),
            ("q.850 ; cause=16;text=\"\"", Some("normal call clearing")),
            ("SIP ;cause=486", Some("486 Busy Here")),
            ("Q.850;cause=9999", Some("another cause of Q.850")),
            ("Q.850;cause=many", None),
            ("X", None),
        ] {
            assert_eq!(words(value).as_deref(), wanted, "{value}");
        }
    }

    #[test]
    fn our_reason_cannot_be_broken_by_its_words() {
        let header = reason_header(&Cause::new(408, "a \"b\" \\")).unwrap();
        let text = header.to_string();
        assert_eq!(text, "Reason: SIP;cause=408;text=\"a 'b' '\"");
        assert!(reason_header(&Cause::new(200, "bye")).is_none());
    }
}
