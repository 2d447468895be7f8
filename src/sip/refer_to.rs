//! Whom a REFER names (RFC 3515 section 2.1, RFC 3261 section 19.1.1): read, checked, and written.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt::Write as _;

use crate::limits::{SIP_REFER_BYTES, SIP_REPLACES_BYTES};
use crate::wire::sip_header::NameAddr;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_name::HeaderName;
use crate::wire::sip_uri::{Scheme, Uri};

use super::answer::Answer;
use super::call_out::without_headers;
use super::call_out_check::is_address;
use super::replaces::Replaces;

/// Whom a REFER names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReferTo {
    /// The URI to call, without header fields.
    pub(super) to: String,
    /// The call there that the new one is to take the place of: the value of a Replaces header.
    pub(super) replaces: Option<String>,
}

/// Reads the Refer-To of a REFER; the answer to one that cannot be followed.
pub(super) fn refer_to(request: &SipMessage<'_>) -> Result<ReferTo, Answer> {
    let mut values = request.headers().all(HeaderName::ReferTo);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Answer::phrase(400, "Expected One Refer-To"));
    };
    read(value).map_err(Answer::code)
}

/// The same of a value; else the code of the answer.
fn read(value: &[u8]) -> Result<ReferTo, u16> {
    let uri = NameAddr::parse(value).ok_or(400_u16)?.uri;
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
        return Err(416);
    }
    if uri.text.len() > SIP_REFER_BYTES {
        return Err(414);
    }
    let method = uri.param("method").flatten();
    if method.is_some_and(|method| !method.eq_ignore_ascii_case("INVITE")) {
        return Err(403);
    }
    let to = without_method(without_headers(uri.text));
    if !is_address(&to) {
        return Err(400);
    }
    let replaces = match replaces_of(&uri) {
        None => None,
        Some(Some(value)) => Some(value),
        Some(None) => return Err(400),
    };
    Ok(ReferTo { to, replaces })
}

/// The Replaces among the header fields of a URI: `Some(None)` for one that cannot be read.
fn replaces_of(uri: &Uri<'_>) -> Option<Option<String>> {
    let mut fields = uri.headers?.split('&').filter_map(|it| it.split_once('='));
    let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case("Replaces"))?;
    let value = unescaped(value).filter(|value| Replaces::parse(value).is_some());
    Some(value)
}

/// A URI without its parameter `method`, which no Request-URI may have.
fn without_method(uri: &str) -> String {
    let mut parts = uri.split(';');
    let mut kept: String = parts.next().unwrap_or_default().into();
    for part in parts {
        let name = part.split('=').next().unwrap_or_default();
        if !name.eq_ignore_ascii_case("method") {
            kept.push(';');
            kept.push_str(part);
        }
    }
    kept
}

/// The text of a header field of a URI, where it is one line of text.
fn unescaped(text: &str) -> Option<String> {
    if text.len() > SIP_REPLACES_BYTES.saturating_mul(3) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => break,
            [b'%', high, low, after @ ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(*high)?.checked_mul(16)?.checked_add(digit(*low)?)?;
                bytes.push(u8::try_from(value).ok()?);
                after
            }
            [b'%', ..] => return None,
            [byte, after @ ..] => {
                bytes.push(*byte);
                after
            }
        };
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

/// The value of a Refer-To header, with a Replaces for its INVITE.
pub(super) fn refer_to_value(to: &str, replaces: Option<&str>) -> String {
    let mut value = format!("<{to}");
    if let Some(replaces) = replaces {
        let joint = if to.contains('?') { '&' } else { '?' };
        let _ = write!(value, "{joint}Replaces=");
        for byte in replaces.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
                value.push(char::from(byte));
            } else {
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    value.push('>');
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    const ATTENDED: &str = "\"Bob\" <sip:1003@pbx.test:5070;transport=tcp?Replaces=ab%40192.0.2.9%3Bto-tag%3D1%3Bfrom-tag%3D2&Require=replaces>;x=y";

    fn to(to: &str, replaces: Option<&str>) -> Result<ReferTo, u16> {
        let replaces = replaces.map(Into::into);
        let to = to.into();
        Ok(ReferTo { to, replaces })
    }

    #[test]
    fn only_whom_an_invite_may_go_to_is_taken() {
        let replaces = Some("ab@192.0.2.9;to-tag=1;from-tag=2");
        for (value, wanted) in [
            ("<sip:1003@pbx.test>", to("sip:1003@pbx.test", None)),
            ("sip:1003@pbx.test", to("sip:1003@pbx.test", None)),
            ("<sips:1003@pbx.test>", to("sips:1003@pbx.test", None)),
            (
                "<sip:a@b;user=phone;method=INVITE>",
                to("sip:a@b;user=phone", None),
            ),
            (
                ATTENDED,
                to("sip:1003@pbx.test:5070;transport=tcp", replaces),
            ),
            ("<sip:a@b?Subject=x>", to("sip:a@b", None)),
            ("<sip:a@b;method=BYE>", Err(403)),
            ("<tel:+4930>", Err(416)),
            ("<http://a.test/>", Err(416)),
            ("<sip:a@b?Replaces=x>", Err(400)),
            (
                "<sip:a@b?Replaces=x%0D%0AVia%3A%3Bto-tag%3D1%3Bfrom-tag%3D2>",
                Err(400),
            ),
            ("<sip:a:secret@b>", Err(400)),
            ("<sip:a@b", Err(400)),
            ("", Err(400)),
        ] {
            assert_eq!(read(value.as_bytes()), wanted, "{value}");
        }
        let long = format!("<sip:{}@b>", "a".repeat(SIP_REFER_BYTES));
        assert_eq!(read(long.as_bytes()), Err(414));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let replaces = "x!%*_+`'~()@b;to-tag=a-b;from-tag=0";
        let value = refer_to_value("sip:1003@pbx.test;lr", Some(replaces));
        assert!(!value.contains(' ') && !value.contains("@b;"), "{value}");
        assert_eq!(
            read(value.as_bytes()),
            to("sip:1003@pbx.test;lr", Some(replaces))
        );
        assert_eq!(refer_to_value("sip:a@b", None), "<sip:a@b>");
    }

    #[test]
    fn what_is_cut_or_changed_is_refused_or_safe_to_send() {
        let safe = |value: &[u8]| {
            if let Ok(it) = read(value) {
                assert!(is_address(&it.to), "{it:?}");
                let replaces = it.replaces.as_deref();
                assert!(replaces.is_none_or(|r| Replaces::parse(r).is_some()));
                assert!(replaces.is_none_or(|r| !r.chars().any(char::is_control)));
            }
        };
        for length in 0..=ATTENDED.len() {
            safe(&ATTENDED.as_bytes()[..length]);
        }
        let mut rng = Rng::from_number(9);
        for _ in 0..10_000 {
            let mut bytes = ATTENDED.as_bytes().to_vec();
            for _ in 0..4 {
                let at = rng.below(bytes.len() as u32) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            safe(&bytes);
        }
    }
}
