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
use super::sip_text::{self, Unbalanced, cut_at, find_bare, is_space, is_token, token, trim};
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
        if !is_display_name(display) || params.count("tag") > 1 {
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

/// Nothing, one quoted string, or tokens with space between. Bytes above ASCII pass for a token's,
/// since phones send names bare in UTF-8 and Latin-1.
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
            .all(|&b| is_token(b) || is_space(b) || b >= 0x80),
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
