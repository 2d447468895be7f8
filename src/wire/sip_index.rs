//! The header fields of one message: a bounded index of names and places over its bytes.
//!
//! Nothing is copied. Compact names, folded lines, line ends of LF alone and space before the colon
//! are resolved here; values are any bytes and keep their folds. RFC 3261 section 7.3.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use super::sip_fault::SipFault;
use super::sip_header::{MediaType, NameAddr};
use super::sip_name::HeaderName;
use super::sip_text::{self, cut_at, find_bare, trim};
use super::sip_via::Via;
use crate::limits::SIP_HEADERS;

/// The header fields of a message.
#[derive(Clone, Debug)]
pub struct SipHeaders<'a> {
    bytes: &'a [u8],
    entries: heapless::Vec<Entry, SIP_HEADERS>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: HeaderName,
    /// Where the name as written ends; it begins at `start`.
    start: u16,
    name_end: u16,
    value: u16,
    end: u16,
}

/// What a walk over the header lines found besides the fields.
pub(super) struct Indexed<'a> {
    pub(super) headers: SipHeaders<'a>,
    /// What follows the empty line.
    pub(super) rest: &'a [u8],
    /// The first thing wrong with the lines.
    pub(super) fault: Option<SipFault>,
}

impl<'a> SipHeaders<'a> {
    /// The value of the first field of that name, space around it left out.
    pub fn first(&self, name: HeaderName) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The values of all fields of that name, one per line, commas and all.
    pub fn all(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.entries
            .iter()
            .filter(move |entry| entry.name == name)
            .map(|entry| self.value(entry))
    }

    /// The values of all fields of a name that [`HeaderName`] does not have.
    pub fn all_named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a [u8]> + 's {
        self.iter()
            .filter(move |(_, written, _)| written.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, _, value)| value)
    }

    /// The value of every field of a name as one line of text, whether [`HeaderName`] has the name or
    /// not, in full or compact.
    pub fn texts_named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = String> + 's {
        let known = HeaderName::parse(name.as_bytes());
        let is_it = move |entry: &(HeaderName, &[u8], &[u8])| match known {
            HeaderName::Other => entry.1.eq_ignore_ascii_case(name.as_bytes()),
            known => known == entry.0,
        };
        let named = self.iter().filter(is_it);
        named.map(|(_, _, value)| sip_text::text(value))
    }

    /// How many lines have that name.
    pub fn count(&self, name: HeaderName) -> usize {
        self.all(name).count()
    }

    /// All fields in order: name, name as written, value.
    pub fn iter(&self) -> impl Iterator<Item = (HeaderName, &'a [u8], &'a [u8])> + '_ {
        self.entries
            .iter()
            .map(|entry| (entry.name, self.written_name(entry), self.value(entry)))
    }

    /// The values of a list header over all its lines, split at commas outside quotes and brackets.
    pub fn values(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.all(name).flat_map(split_commas)
    }

    /// As [`Self::values`], of a name that [`HeaderName`] may not have.
    pub fn values_named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a [u8]> + 's {
        self.all_named(name).flat_map(split_commas)
    }

    /// The tokens of a list header such as Require, Supported or Allow.
    pub fn tokens(&self, name: HeaderName) -> impl Iterator<Item = &'a str> + '_ {
        self.values(name).filter_map(sip_text::token)
    }

    /// Whether a list header holds a token, whatever its case.
    pub fn has_token(&self, name: HeaderName, wanted: &str) -> bool {
        self.tokens(name)
            .any(|token| token.eq_ignore_ascii_case(wanted))
    }

    /// The first value of that name as one line of text.
    pub fn text(&self, name: HeaderName) -> Option<String> {
        self.first(name).map(sip_text::text)
    }

    /// The Via values, the top one first; values that cannot be read are passed over.
    pub fn vias(&self) -> impl Iterator<Item = Via<'a>> + '_ {
        self.values(HeaderName::Via).filter_map(Via::parse)
    }

    /// The Contact addresses. `*` is none.
    pub fn contacts(&self) -> impl Iterator<Item = NameAddr<'a>> + '_ {
        self.name_addrs(HeaderName::Contact)
    }

    /// The Record-Route set in the order it stands in.
    pub fn record_routes(&self) -> impl DoubleEndedIterator<Item = NameAddr<'a>> + use<'a> {
        let routes: Vec<_> = self.name_addrs(HeaderName::RecordRoute).collect();
        routes.into_iter()
    }

    /// The Route set.
    pub fn routes(&self) -> impl Iterator<Item = NameAddr<'a>> + '_ {
        self.name_addrs(HeaderName::Route)
    }

    /// Max-Forwards, where it is there and readable.
    pub fn max_forwards(&self) -> Option<u8> {
        let number = sip_text::decimal(self.first(HeaderName::MaxForwards)?)?;
        u8::try_from(number).ok()
    }

    /// Expires in seconds; a number too large is the largest there is.
    pub fn expires(&self) -> Option<u32> {
        sip_text::decimal_saturating(self.first(HeaderName::Expires)?)
    }

    /// The type of the body.
    pub fn content_type(&self) -> Option<MediaType<'a>> {
        MediaType::parse(self.first(HeaderName::ContentType)?)
    }

    /// Content-Length: digits, once, or not there.
    pub fn content_length(&self) -> Result<Option<usize>, SipFault> {
        let Some(value) = self.first(HeaderName::ContentLength) else {
            return Ok(None);
        };
        if self.count(HeaderName::ContentLength) > 1 {
            return Err(SipFault::Repeated(HeaderName::ContentLength));
        }
        sip_text::decimal(value)
            .and_then(|length| usize::try_from(length).ok())
            .map(Some)
            .ok_or(SipFault::Malformed(HeaderName::ContentLength))
    }

    /// Indexes header lines up to the empty line. `bytes` begins after the start line and is no
    /// longer than `SIP_MESSAGE_BYTES`.
    pub(super) fn index(bytes: &'a [u8]) -> Indexed<'a> {
        let mut headers = Self {
            bytes,
            entries: heapless::Vec::new(),
        };
        let mut fault = None;
        let mut extends = false;
        let mut start = 0_usize;
        loop {
            let after = bytes.get(start..).unwrap_or_default();
            let Some(length) = after.iter().position(|&b| b == b'\n') else {
                fault = fault.or(Some(SipFault::HeadersNotEnded));
                return Indexed {
                    headers,
                    rest: Default::default(),
                    fault,
                };
            };
            let (line, rest) = cut_at(after, length);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let end = start.saturating_add(line.len());
            match line.first() {
                None => {
                    return Indexed {
                        headers,
                        rest,
                        fault,
                    };
                }
                Some(b' ' | b'\t') => {
                    if !extends {
                        fault = fault.or(Some(SipFault::HeaderLine));
                    } else if let Some(entry) = headers.entries.last_mut() {
                        entry.end = place(end);
                    }
                }
                Some(_) => {
                    let added = match Entry::read(line, start) {
                        Some(entry) => headers
                            .entries
                            .push(entry)
                            .map_err(|_| SipFault::TooManyHeaders),
                        None => Err(SipFault::HeaderLine),
                    };
                    extends = added.is_ok();
                    fault = fault.or(added.err());
                }
            }
            start = start.saturating_add(length).saturating_add(1);
        }
    }

    /// Values of a name-addr list; what cannot be read is passed over.
    fn name_addrs(&self, name: HeaderName) -> impl Iterator<Item = NameAddr<'a>> + '_ {
        self.values(name).filter_map(NameAddr::parse)
    }

    fn written_name(&self, entry: &Entry) -> &'a [u8] {
        self.bytes
            .get(usize::from(entry.start)..usize::from(entry.name_end))
            .unwrap_or_default()
    }

    fn value(&self, entry: &Entry) -> &'a [u8] {
        let value = self
            .bytes
            .get(usize::from(entry.value)..usize::from(entry.end));
        trim(value.unwrap_or_default())
    }
}

impl Entry {
    fn read(line: &[u8], start: usize) -> Option<Self> {
        let colon = line.iter().position(|&b| b == b':')?;
        let (name, _) = cut_at(line, colon);
        let name = name.trim_ascii_end();
        sip_text::token(name)?;
        Some(Self {
            name: HeaderName::parse(name),
            start: place(start),
            name_end: place(start.checked_add(name.len())?),
            value: place(start.checked_add(colon)?.checked_add(1)?),
            end: place(start.checked_add(line.len())?),
        })
    }
}

/// A place within a message, which is shorter than 65,536 bytes.
fn place(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

/// The values between the commas of one line, empty ones left out.
pub(super) fn split_commas(line: &[u8]) -> impl Iterator<Item = &[u8]> + use<'_> {
    let mut rest = line;
    core::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let (value, after) = match find_bare(rest, |b| b == b',') {
                Ok(Some(at)) => cut_at(rest, at),
                _ => (rest, Default::default()),
            };
            rest = after;
            let value = trim(value);
            if !value.is_empty() {
                return Some(value);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(bytes: &[u8]) -> Indexed<'_> {
        SipHeaders::index(bytes)
    }

    #[test]
    fn lines_are_found_whatever_ends_or_folds_them() {
        let indexed = index(b"Via:a\nVia : b,\r\n\tc\r\nX-Own  :\r\n d\n e\r\nv:\r\n\nbody\n\n");
        assert_eq!(indexed.fault, None);
        assert_eq!(indexed.rest, b"body\n\n");
        let vias: Vec<_> = indexed.headers.values(HeaderName::Via).collect();
        assert_eq!(vias, [b"a", b"b", b"c"]);
        assert_eq!(indexed.headers.count(HeaderName::Via), 3);
        let own: Vec<_> = indexed.headers.all_named("x-own").collect();
        assert_eq!(own, [&b"d\n e"[..]]);
    }

    #[test]
    fn one_bad_line_is_told_and_the_others_are_kept() {
        for bad in [
            "no colon",
            ": no name",
            "two words: x",
            " fold of nothing",
            "\r",
        ] {
            let bytes = format!("{bad}\r\n folded\r\nTo: x\r\n\r\n");
            let indexed = index(bytes.as_bytes());
            assert_eq!(indexed.fault, Some(SipFault::HeaderLine), "{bad}");
            assert_eq!(
                indexed.headers.first(HeaderName::To),
                Some(&b"x"[..]),
                "{bad}"
            );
            assert_eq!(indexed.headers.iter().count(), 1, "{bad}");
        }
    }

    #[test]
    fn a_cut_in_the_header_fields_is_never_a_body() {
        let indexed = index(b"To: x\r\nFrom: y\r\nVia: z");
        assert_eq!(indexed.fault, Some(SipFault::HeadersNotEnded));
        assert_eq!(indexed.headers.first(HeaderName::From), Some(&b"y"[..]));
        assert_eq!(indexed.headers.first(HeaderName::Via), None);
        assert_eq!(indexed.rest, b"");
    }

    #[test]
    fn one_line_more_than_the_limit_is_refused_and_none_less() {
        let lines = |count| "A: b\r\n".repeat(count) + "\r\n";
        assert_eq!(index(lines(SIP_HEADERS).as_bytes()).fault, None);
        let over = lines(SIP_HEADERS + 1);
        let over = index(over.as_bytes());
        assert_eq!(over.fault, Some(SipFault::TooManyHeaders));
        assert_eq!(over.headers.iter().count(), SIP_HEADERS);
    }

    #[test]
    fn content_length_is_digits_once() {
        let length = |lines: &str| {
            index(format!("{lines}\r\n\r\n").as_bytes())
                .headers
                .content_length()
        };
        assert_eq!(length("l:  0042 "), Ok(Some(42)));
        assert_eq!(length("X: y"), Ok(None));
        for bad in ["-1", "+1", "1 2", "0x10", "", "1,2", "99999999999999999999"] {
            assert_eq!(
                length(&format!("l: {bad}")),
                Err(SipFault::Malformed(HeaderName::ContentLength)),
                "{bad}"
            );
        }
        assert_eq!(
            length("l: 1\r\nContent-Length: 1"),
            Err(SipFault::Repeated(HeaderName::ContentLength))
        );
    }

    #[test]
    fn lists_split_outside_quotes_over_all_lines() {
        let indexed = index(b"Require: 100rel , timer,,\r\nRequire: Path\r\nm: \"a, b\" <sip:a,x@h>, <sip:c@h>\r\n\r\n");
        let tokens: Vec<_> = indexed.headers.tokens(HeaderName::Require).collect();
        assert_eq!(tokens, ["100rel", "timer", "Path"]);
        assert!(indexed.headers.has_token(HeaderName::Require, "path"));
        assert_eq!(indexed.headers.contacts().count(), 2);
    }
}
