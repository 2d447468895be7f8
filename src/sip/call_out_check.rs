//! Whether what a call is asked with may stand in a request (RFC 3261 sections 19.1.1 and 25.1).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::wire::sip_header::NameAddr;
use crate::wire::sip_name::HeaderName;
use crate::wire::sip_uri::{Scheme, Uri};

use super::call_out::CallOut;
use super::event::SipRefusal;

/// Refuses the first field that could not stand where it belongs, by its name.
pub(super) fn check(call: &CallOut) -> Result<(), SipRefusal> {
    let display_name = call.display_name.as_deref().unwrap_or_default();
    let call_id = call.call_id.as_deref();
    let fields = [
        (is_address(&call.request_uri), "request_uri"),
        (is_address(&call.from), "from"),
        (!display_name.chars().any(char::is_control), "display_name"),
        (is_user(&call.contact_user), "contact_user"),
        (call_id.is_none_or(is_call_id), "call_id"),
        (call.routes.iter().all(|route| is_route(route)), "routes"),
        (!call.targets.is_empty(), "targets"),
        (!call.sdp.is_empty(), "sdp"),
        (call.headers.iter().all(is_header), "headers"),
    ];
    match fields.into_iter().find(|(is_fine, _)| !is_fine) {
        Some((_, name)) => Err(SipRefusal::BadField(name)),
        None => Ok(()),
    }
}

/// Whether a text is a sip or sips URI of plain characters, with a user part as it should be.
pub(super) fn is_address(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&b);
    let Some(uri) = Uri::parse(text.as_bytes()).filter(|_| text.bytes().all(is_plain)) else {
        return false;
    };
    let is_sip = matches!(uri.scheme, Scheme::Sip | Scheme::Sips);
    is_sip
        && uri.host.is_some()
        && uri.password.is_none()
        && uri
            .user
            .is_none_or(|user| !user.is_empty() && is_user(user))
}

/// Whether a text may be the user part of a URI as it is: unreserved characters, escapes, and those
/// that a user part may have.
fn is_user(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b);
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return true,
            [b'%', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                after
            }
            [first, after @ ..] if is_plain(*first) => after,
            _ => return false,
        };
    }
}

pub(super) fn is_call_id(text: &str) -> bool {
    let is_word = |part: &str| {
        let is_plain =
            |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~()<>:\\\"/[]?{}".contains(&b);
        !part.is_empty() && part.bytes().all(is_plain)
    };
    text.len() <= 256
        && match text.split_once('@') {
            Some((left, right)) => is_word(left) && is_word(right),
            None => is_word(text),
        }
}

/// A Route value in angle brackets, one alone.
fn is_route(text: &str) -> bool {
    let Some(route) = NameAddr::parse(text.as_bytes()) else {
        return false;
    };
    text.starts_with('<')
        && !text.contains(|c: char| c.is_control() || c == ',')
        && is_address(route.uri.text)
}

fn is_header((name, value): &(String, String)) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
    let is_ours = matches!(
        HeaderName::parse(name.as_bytes()),
        HeaderName::Via
            | HeaderName::From
            | HeaderName::To
            | HeaderName::CallId
            | HeaderName::CSeq
            | HeaderName::MaxForwards
            | HeaderName::Contact
            | HeaderName::ContentLength
            | HeaderName::ContentType
            | HeaderName::ContentEncoding
            | HeaderName::Route
            | HeaderName::RecordRoute
            | HeaderName::Require
            | HeaderName::ProxyRequire
            | HeaderName::Supported
            | HeaderName::Allow
            | HeaderName::UserAgent
            | HeaderName::Authorization
            | HeaderName::ProxyAuthorization
            | HeaderName::SessionExpires
            | HeaderName::MinSe
    );
    !is_ours
        && !name.is_empty()
        && name.bytes().all(is_token)
        && !value.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::network::Transport;
    use crate::sip::transmit::{SipTarget, SipTargets};

    fn call() -> CallOut {
        let target = SipTarget {
            transport: Transport::Udp,
            address: "192.0.2.9:5060".parse().unwrap(),
        };
        let targets = SipTargets::from_slice(&[target]).unwrap();
        CallOut::new("sip:1002@192.0.2.9", "sip:1001@192.0.2.9", targets, "v=0")
    }

    /// What is refused of a call that was changed.
    fn refused(change: impl FnOnce(&mut CallOut)) -> Option<SipRefusal> {
        let mut call = call();
        change(&mut call);
        check(&call).err()
    }

    #[test]
    fn what_could_become_another_header_or_part_is_refused_by_its_field() {
        for bad in [
            "sip:1002\r\nX: y@a",
            "sip:10 02@a",
            "sip:1002@a>",
            "sip:\"1002\"@a",
            "sip:10[02@a",
            "sip:10:02@a",
            "sip:1@2@a",
            "sip:@a",
            "sip:%4@a",
            "tel:1002",
            "mailto:a@b",
            "sip:",
            "sip:f\u{fc}r@a",
            "sip:1002\u{0}@a",
            "",
        ] {
            let field = |name| Some(SipRefusal::BadField(name));
            assert_eq!(
                refused(|c| c.request_uri = bad.into()),
                field("request_uri"),
                "{bad:?}"
            );
            assert_eq!(refused(|c| c.from = bad.into()), field("from"), "{bad:?}");
        }
        for bad in [
            "a b", "a@b", "a<b", "a\"", "a\r\nb", "a:b", "f\u{fc}r", "%zz",
        ] {
            let refusal = refused(|c| c.contact_user = bad.into());
            assert_eq!(
                refusal,
                Some(SipRefusal::BadField("contact_user")),
                "{bad:?}"
            );
        }
        for bad in ["a\r\nVia: x", "a\u{7f}", "a\u{85}b"] {
            let refusal = refused(|c| c.display_name = Some(bad.into()));
            assert_eq!(
                refusal,
                Some(SipRefusal::BadField("display_name")),
                "{bad:?}"
            );
        }
        for bad in ["", "a b", "a@b@c", "@", "a\r\nb", "a,b"] {
            let refusal = refused(|c| c.call_id = Some(bad.into()));
            assert_eq!(refusal, Some(SipRefusal::BadField("call_id")), "{bad:?}");
        }
        for bad in [
            "sip:p",
            "<sip:p;lr>, <sip:q;lr>",
            "<sip:p;lr>\r\nX: y",
            "<mailto:a>",
        ] {
            let refusal = refused(|c| c.routes = vec![bad.into()]);
            assert_eq!(refusal, Some(SipRefusal::BadField("routes")), "{bad:?}");
        }
        for (name, value) in [
            ("X-A", "b\r\nVia: c"),
            ("X A", "b"),
            ("X-A:", "b"),
            ("", "b"),
            ("Via", "b"),
            ("l", "7"),
            ("authorization", "b"),
        ] {
            let refusal = refused(|c| c.headers = vec![(name.into(), value.into())]);
            assert_eq!(refusal, Some(SipRefusal::BadField("headers")), "{name:?}");
        }
        assert_eq!(
            refused(|c| c.targets.clear()),
            Some(SipRefusal::BadField("targets"))
        );
        assert_eq!(
            refused(|c| c.sdp.clear()),
            Some(SipRefusal::BadField("sdp"))
        );
    }

    #[test]
    fn what_people_have_for_names_is_taken() {
        for good in [
            "sip:+4930123456@pbx.example.net",
            "sips:anna.b%40c@[2001:db8::1]:5061;transport=tls",
            "sip:pbx.example.net",
            "sip:*43;phone-context=x@192.0.2.1",
        ] {
            assert_eq!(refused(|c| c.request_uri = good.into()), None, "{good}");
        }
        assert_eq!(
            refused(|c| c.display_name = Some("J\u{fc}rgen \"<x>\" \\".into())),
            None
        );
        assert_eq!(refused(|c| c.call_id = Some("a-b_c.1@host".into())), None);
        assert_eq!(refused(|c| c.routes = vec!["<sip:p;lr>".into()]), None);
        let header = ("P-Preferred-Identity".into(), "<sip:a@b>".into());
        assert_eq!(refused(|c| c.headers = vec![header]), None);
    }
}
