//! `message/sipfrag` (RFC 3420) as transfers use it: a status line, and nothing else is read.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::limits::SIP_SIPFRAG_BYTES;
use crate::wire::sip_emit::reason_phrase;

/// The type of such a body.
pub(super) const SIPFRAG: &str = "message/sipfrag;version=2.0";

/// The body that says how far a transfer is.
pub(super) fn sipfrag(code: u16, reason: &str) -> String {
    let is_plain = |c: char| !c.is_control();
    let words: String = reason.chars().filter(|c| is_plain(*c)).take(64).collect();
    let words = match words.is_empty() {
        true => reason_phrase(code),
        false => &words,
    };
    format!("SIP/2.0 {code} {words}\r\n")
}

/// The code of the status line that a body begins with.
pub(super) fn sipfrag_status(body: &[u8]) -> Option<u16> {
    let head = body.get(..body.len().min(SIP_SIPFRAG_BYTES))?;
    let line = head.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    let mut words = line
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    if !words.next()?.eq_ignore_ascii_case(b"SIP/2.0") {
        return None;
    }
    let code = core::str::from_utf8(words.next()?).ok()?;
    let is_number = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    let code = code.parse().ok().filter(|_| is_number)?;
    (100..700).contains(&code).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn the_code_is_read_from_the_first_line_alone() {
        for (body, wanted) in [
            ("SIP/2.0 100 Trying\r\n", Some(100)),
            ("SIP/2.0 200 OK", Some(200)),
            (
                "SIP/2.0 603 Decline\r\nContact: <sip:a@b>\r\n\r\n",
                Some(603),
            ),
            ("sip/2.0  486  Busy Here\n", Some(486)),
            ("SIP/2.0 200", Some(200)),
            ("SIP/2.0 99 Low\r\n", None),
            ("SIP/2.0 700 High\r\n", None),
            ("SIP/2.0 +20 Sign\r\n", None),
            ("SIP/2.0 2000 Long\r\n", None),
            ("SIP/2.0\r\n200 OK", None),
            ("INVITE sip:a@b SIP/2.0\r\n", None),
            ("", None),
        ] {
            assert_eq!(sipfrag_status(body.as_bytes()), wanted, "{body:?}");
        }
        assert_eq!(sipfrag(180, ""), "SIP/2.0 180 Ringing\r\n");
        assert_eq!(sipfrag(486, "gone\r\nX: y"), "SIP/2.0 486 goneX: y\r\n");
    }

    #[test]
    fn what_is_cut_or_changed_is_read_or_not_and_nothing_else() {
        let whole = b"SIP/2.0 486 Busy Here\r\nContact: <sip:a@b>\r\n\r\n";
        for length in 0..whole.len() {
            let status = sipfrag_status(&whole[..length]);
            assert_eq!(status, (length >= 11).then_some(486), "{length}");
        }
        let mut rng = Rng::from_number(5);
        for _ in 0..5_000 {
            let mut bytes = whole.to_vec();
            for _ in 0..3 {
                let at = rng.below(bytes.len() as u32) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            assert!(sipfrag_status(&bytes).is_none_or(|code| (100..700).contains(&code)));
        }
    }
}
