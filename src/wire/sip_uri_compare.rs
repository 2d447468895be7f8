//! Comparison of URIs (RFC 3261 section 19.1.4).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use super::sip_text;
use super::sip_uri::{Host, Scheme, Uri, pairs};

/// Parameters and header fields that a comparison looks at; a URI with more equals none.
const COMPARED: usize = 32;

impl Uri<'_> {
    /// Whether both name the same resource by RFC 3261 section 19.1.4.
    pub fn is_equivalent(&self, other: &Uri<'_>) -> bool {
        if !matches!(self.scheme, Scheme::Sip | Scheme::Sips) {
            return self.text.eq_ignore_ascii_case(other.text);
        }
        let same_host = match (self.host, other.host) {
            (Some(Host::Ip(a)), Some(Host::Ip(b))) => a == b,
            (Some(Host::Name(a)), Some(Host::Name(b))) => a.eq_ignore_ascii_case(b),
            _ => false,
        };
        same_host
            && self.scheme == other.scheme
            && self.port == other.port
            && same_option(self.user, other.user, false)
            && same_option(self.password, other.password, false)
            && params_agree(self, other)
            && params_agree(other, self)
            && headers_within(self.headers, other.headers)
            && headers_within(other.headers, self.headers)
    }
}

/// Whether two pieces of a URI are equal once their escapes are resolved.
pub(super) fn same_text(a: &str, b: &str, ignore_case: bool) -> bool {
    let folded = |byte: u8| {
        if ignore_case {
            byte.to_ascii_lowercase()
        } else {
            byte
        }
    };
    sip_text::unescaped(a.as_bytes())
        .map(folded)
        .eq(sip_text::unescaped(b.as_bytes()).map(folded))
}

fn same_option(a: Option<&str>, b: Option<&str>, ignore_case: bool) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same_text(a, b, ignore_case),
        (None, None) => true,
        _ => false,
    }
}

/// Whether every parameter of `a` agrees with `b`: those that choose where a request goes are in
/// both or in none, others have to agree only where both have them. Of a name that stands twice,
/// which some phones do with `transport`, the first counts.
fn params_agree(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    const DECISIVE: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
    a.params().count() <= COMPARED
        && a.params()
            .all(|(name, _)| match (a.param(name), b.param(name)) {
                (Some(ours), Some(theirs)) => same_option(ours, theirs, true),
                _ => !DECISIVE.iter().any(|known| same_text(known, name, true)),
            })
}

fn headers_within(a: Option<&str>, b: Option<&str>) -> bool {
    let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
    pairs(a, '&').count() <= COMPARED
        && pairs(a, '&').all(|(name, value)| {
            pairs(b, '&').any(|(other, given)| {
                same_text(name, other, true) && same_option(value, given, false)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn uris_compare_by_section_19_1_4() {
        for (a, b, same) in [
            (
                "sip:%61lice@atlanta.com;transport=TCP",
                "sip:alice@AtLanTa.CoM;Transport=tcp",
                true,
            ),
            (
                "sip:carol@chicago.com",
                "sip:carol@chicago.com;newparam=5",
                true,
            ),
            (
                "sip:carol@chicago.com;newparam=5",
                "sip:carol@chicago.com;security=on",
                true,
            ),
            (
                "sip:carol@chicago.com;security=on",
                "sip:carol@chicago.com;security=off",
                false,
            ),
            (
                "sip:a@h;transport=tcp?b=1&c=2",
                "sip:a@h?c=2&b=1;transport=tcp",
                false,
            ),
            ("sip:a@h?b=1&c=2", "sip:a@h?C=2&b=1", true),
            ("sip:a@h?b=1", "sip:a@h", false),
            ("SIP:ALICE@AtLanTa.CoM", "sip:alice@AtLanTa.CoM", false),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false),
            (
                "sip:bob@biloxi.com",
                "sip:bob@biloxi.com;transport=udp",
                false,
            ),
            ("sip:bob@biloxi.com", "sips:bob@biloxi.com", false),
            ("sip:bob@[::1]", "sip:bob@[0:0::1]", true),
            (
                "sip:a@h;transport=tcp;transport=udp",
                "sip:a@h;transport=tcp",
                true,
            ),
            ("tel:+1", "sip:+1@h", false),
            ("tel:+1", "TEL:+1", true),
        ] {
            assert_eq!(uri(a).is_equivalent(&uri(b)), same, "{a} {b}");
            assert_eq!(uri(b).is_equivalent(&uri(a)), same, "{b} {a}");
        }
    }
}
