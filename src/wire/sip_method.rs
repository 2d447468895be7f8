//! Methods of SIP requests, the unknown ones as well (RFC 3261 section 7.1).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;

use super::sip_text;

/// A request's method. An unknown one is no error: it is for the user agent to answer 501 or 405.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method<'a> {
    /// One that has a name in rsip.
    Known(rsip::Method),
    /// Any other token, as it was written.
    Other(&'a str),
}

impl<'a> Method<'a> {
    /// Reads a method, which is a token and minds upper and lower case.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let name = sip_text::token(bytes)?;
        let known = KNOWN.iter().find(|(known, _)| *known == name);
        Some(known.map_or(Self::Other(name), |&(_, method)| Self::Known(method)))
    }

    /// The method as it stands in a request line.
    pub fn as_str(&self) -> &'a str {
        match self {
            Self::Known(method) => KNOWN
                .iter()
                .find(|(_, known)| known == method)
                .map_or("", |&(name, _)| name),
            Self::Other(name) => name,
        }
    }

    /// The method in rsip's terms, which has none for an unknown one.
    pub fn to_rsip(&self) -> Option<rsip::Method> {
        match self {
            Self::Known(method) => Some(*method),
            Self::Other(_) => None,
        }
    }
}

impl PartialEq<rsip::Method> for Method<'_> {
    fn eq(&self, other: &rsip::Method) -> bool {
        *self == Method::Known(*other)
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const KNOWN: [(&str, rsip::Method); 14] = [
    ("INVITE", rsip::Method::Invite),
    ("ACK", rsip::Method::Ack),
    ("BYE", rsip::Method::Bye),
    ("CANCEL", rsip::Method::Cancel),
    ("OPTIONS", rsip::Method::Options),
    ("INFO", rsip::Method::Info),
    ("UPDATE", rsip::Method::Update),
    ("REGISTER", rsip::Method::Register),
    ("MESSAGE", rsip::Method::Message),
    ("NOTIFY", rsip::Method::Notify),
    ("SUBSCRIBE", rsip::Method::Subscribe),
    ("PRACK", rsip::Method::PRack),
    ("PUBLISH", rsip::Method::Publish),
    ("REFER", rsip::Method::Refer),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_rsip_is_known_and_prints_as_it_reads() {
        for method in rsip::Method::all() {
            let printed = method.to_string();
            let read = Method::parse(printed.as_bytes()).unwrap();
            assert_eq!(read, method);
            assert_eq!(read.as_str(), printed);
        }
    }

    #[test]
    fn an_unknown_method_is_kept_as_written() {
        assert_eq!(Method::parse(b"invite"), Some(Method::Other("invite")));
        assert_eq!(
            Method::parse(b"RE%47IST%45R"),
            Some(Method::Other("RE%47IST%45R"))
        );
        assert_eq!(Method::parse(b"IN VITE"), None);
        assert_eq!(Method::parse(b""), None);
    }
}
