//! Header values with a form of their own: name-addr, CSeq, media types (RFC 3261 sections 20, 25).
//!
//! Via has its own file, [`super::sip_via`].

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use super::sip_method::Method;
use super::sip_params::Params;
use super::sip_text::{self, Unbalanced, cut_at, find_bare, is_space, token, trim};
use super::sip_uri::Uri;

/// A value of From, To, Contact, Route or Record-Route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes included; empty when there is none.
    pub display: &'a [u8],
    /// The address.
    pub uri: Uri<'a>,
    /// The parameters of the header, not those within the URI.
    pub params: Params<'a>,
    /// The value as a whole.
    pub value: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// Reads `"display" <uri>;params`, or `uri;params` where every parameter is the header's.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let value = trim(value);
        let (display, uri, params) = match find_bracket(value)? {
            Some(at) => {
                let (display, rest) = cut_at(value, at);
                let end = rest.iter().position(|&b| b == b'>')?;
                let (uri, params) = cut_at(rest, end);
                (trim(display), uri, params)
            }
            None => {
                let end = value.iter().position(|&b| b == b';').unwrap_or(value.len());
                let (uri, _) = cut_at(value, end);
                // Outside brackets a URI may hold none of these (section 20.10).
                if uri.iter().any(|b| b",?".contains(b)) {
                    return None;
                }
                let params = value.get(end..).unwrap_or_default();
                (Default::default(), trim(uri), params)
            }
        };
        let params = Params::parse(params)?;
        // A tag is what dialogs are told apart by: one, and readable.
        let tags = params.count("tag");
        if !is_display_name(display) || tags != usize::from(params.token("tag").is_some()) {
            return None;
        }
        Some(Self {
            display,
            uri: Uri::parse(uri)?,
            params,
            value,
        })
    }

    /// The tag of a From or To, where it has one.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.token("tag")
    }

    /// The display name without quotes, escapes and folds; Latin-1 where it is not UTF-8.
    pub fn display_name(&self) -> Option<String> {
        let name = match self.display {
            [] => return None,
            [b'"', middle @ .., b'"'] => {
                let mut escaped = false;
                let mut plain = middle.to_vec();
                plain.retain(|&byte| {
                    escaped = byte == b'\\' && !escaped;
                    !escaped
                });
                sip_text::text(&plain)
            }
            tokens => sip_text::text(tokens),
        };
        Some(name)
    }

    /// The value as one line of text, tag and all, to be put into a header of our own.
    pub fn to_text(&self) -> String {
        sip_text::text(self.value)
    }
}

/// Where the `<` of the address stands, if there is one. `None` for an open quote.
fn find_bracket(value: &[u8]) -> Option<Option<usize>> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => return Some(Some(at)),
            // A parameter of an address without brackets may hold a bracket in quotes only.
            b';' if !quoted => return Some(None),
            _ => {}
        }
    }
    (!quoted).then_some(None)
}

/// Nothing, one quoted string, or words. Words may hold more than tokens do, since phones send names
/// bare in UTF-8 and Latin-1 and with brackets of any kind, but nothing that separates.
fn is_display_name(display: &[u8]) -> bool {
    match display {
        [b'"', rest @ ..] => {
            let mut escaped = false;
            let end = rest.iter().position(|&b| {
                let ends = b == b'"' && !escaped;
                escaped = b == b'\\' && !escaped;
                ends
            });
            end.and_then(|end| end.checked_add(1)) == Some(rest.len())
        }
        _ => display
            .iter()
            .all(|&b| is_space(b) || (b > b' ' && b != 0x7f && !b",;:\"\\<>".contains(&b))),
    }
}

/// A CSeq value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// The sequence number, below 2^31.
    pub number: u32,
    /// The method of the request.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Reads number and method.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let gap = value.iter().position(|&b| is_space(b))?;
        let (number, method) = cut_at(value, gap);
        let number = sip_text::decimal(number)?;
        if number >= 1 << 31 {
            return None;
        }
        Some(Self {
            number,
            method: Method::parse(trim(method))?,
        })
    }
}

/// A media type: Content-Type, or one value of Accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// The type, as written.
    pub kind: &'a str,
    /// The subtype, as written.
    pub subtype: &'a str,
    /// Parameters such as a boundary.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Reads `type/subtype;params`.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let end = match find_bare(value, |b| b == b';') {
            Ok(end) => end.unwrap_or(value.len()),
            Err(Unbalanced) => return None,
        };
        let (essence, _) = cut_at(value, end);
        let (kind, subtype) = cut_at(essence, essence.iter().position(|&b| b == b'/')?);
        Some(Self {
            kind: token(trim(kind))?,
            subtype: token(trim(subtype))?,
            params: Params::parse(value.get(end..).unwrap_or_default())?,
        })
    }

    /// Whether it is `kind/subtype`, whatever the case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sip_uri::{Host, Scheme};

    #[test]
    fn a_name_addr_keeps_uri_parameters_and_header_parameters_apart() {
        let read =
            NameAddr::parse(b"\"Bell, A. \\\"Al\\\"\" <sip:bell@a.example;lr;tag=no>;tag=43;x=<y>");
        assert_eq!(read, None, "brackets outside quotes are no parameter value");
        let read =
            NameAddr::parse(b"\"Bell, A. \\\"Al\\\"\" <sip:bell@a.example;lr;tag=no>;tag=43")
                .unwrap();
        assert_eq!(read.display_name().unwrap(), "Bell, A. \"Al\"");
        assert_eq!(read.tag(), Some("43"));
        assert!(read.uri.is_loose_route());
        assert_eq!(read.uri.param("tag"), Some(Some("no")));
    }

    #[test]
    fn parameters_of_a_bare_address_are_the_headers() {
        let read = NameAddr::parse(b"sip:+1972@gw.example;user=phone;tag=9").unwrap();
        assert_eq!(read.tag(), Some("9"));
        assert_eq!(read.uri.params().count(), 0);
        assert_eq!(read.display_name(), None);
    }

    #[test]
    fn display_names_in_latin_1_and_without_quotes_are_read() {
        let read = NameAddr::parse(b"\"Andr\xe9\" <sip:a@b.example>").unwrap();
        assert_eq!(read.display_name().unwrap(), "Andr\u{e9}");
        let read =
            NameAddr::parse("\u{418}\u{432}\u{430}\u{43d} I <sip:a@b.example>".as_bytes()).unwrap();
        assert_eq!(
            read.display_name().unwrap(),
            "\u{418}\u{432}\u{430}\u{43d} I"
        );
        let room = NameAddr::parse(b"Room 5 (2nd/left) #3 <sip:a@b.example>").unwrap();
        assert_eq!(room.display_name().unwrap(), "Room 5 (2nd/left) #3");
        assert_eq!(
            read.to_text(),
            "\u{418}\u{432}\u{430}\u{43d} I <sip:a@b.example>"
        );
    }

    #[test]
    fn a_contact_with_a_quoted_urn_is_read() {
        let read = NameAddr::parse(
            b"<sip:bob@192.0.2.1:5060;transport=tcp>;+sip.instance=\"<urn:uuid:00000000>\";expires=60",
        )
        .unwrap();
        assert_eq!(read.uri.host, Host::parse("192.0.2.1"));
        assert_eq!(read.uri.transport(), Some("tcp"));
        assert_eq!(read.params.token("expires"), Some("60"));
    }

    #[test]
    fn addresses_that_cannot_be_told_apart_are_refused() {
        for broken in [
            &b"\"open <sip:a@b.example>"[..],
            b"Bell, A <sip:a@b.example>",
            b"\"a\" b <sip:a@b.example>",
            b"< sip:a@b.example >",
            b"<sip:a@b.example",
            b"sip:a@b.example?Route=x",
            b"<sip:a@b.example>;tag=1;tag=2",
            b"<sip:a@b.example>;tag",
            b"<sip:a@b.example>;tag=\"q\"",
            b"<sip:a@b.example> tag=1",
            b"<>",
            b"",
            b"*",
        ] {
            assert_eq!(NameAddr::parse(broken), None, "{}", text(broken));
        }
    }

    #[test]
    fn any_scheme_may_stand_in_an_address() {
        let read = NameAddr::parse(b"<http://www.example.com>;tag=3").unwrap();
        assert_eq!(read.uri.scheme, Scheme::Other("http"));
        assert_eq!(read.tag(), Some("3"));
    }

    #[test]
    fn a_sequence_number_is_below_two_to_the_31st() {
        let read = CSeq::parse(b"0009\r\n  INVITE").unwrap();
        assert_eq!((read.number, read.method.as_str()), (9, "INVITE"));
        assert_eq!(
            CSeq::parse(b"2147483647 BYE").unwrap().number,
            i32::MAX as u32
        );
        for broken in [
            &b"2147483648 BYE"[..],
            b"9",
            b"BYE",
            b"-1 BYE",
            b"1 B YE",
            b"",
        ] {
            assert_eq!(CSeq::parse(broken), None);
        }
    }

    #[test]
    fn a_media_type_is_compared_without_case() {
        let read = MediaType::parse(b"Multipart / mixed ; boundary=\"a;b\"").unwrap();
        assert!(read.is("multipart", "MIXED"));
        assert!(read.params.get("boundary").is_some());
        assert_eq!(MediaType::parse(b"application"), None);
    }

    fn text(bytes: &[u8]) -> String {
        sip_text::text(bytes)
    }
}
