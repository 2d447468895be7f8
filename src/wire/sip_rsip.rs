//! Fills rsip's data types from a checked message, so that rsip never reads bytes of the network.
//!
//! Compact names become full ones, folds become spaces, and bytes that are not UTF-8 are taken for
//! Latin-1, since rsip keeps text. Values are otherwise those of the message.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use rsip::headers::untyped;
use rsip::{Header, StatusCode};

use super::sip_index::SipHeaders;
use super::sip_message::{SipMessage, StartLine};
use super::sip_name::HeaderName;
use super::sip_text::text;

impl SipHeaders<'_> {
    /// All fields as rsip headers, in order.
    pub fn to_rsip(&self) -> rsip::Headers {
        self.iter()
            .map(|(name, written, value)| header(name, written, text(value)))
            .collect::<Vec<_>>()
            .into()
    }
}

impl SipMessage<'_> {
    /// The message as an rsip one. `None` for a method that rsip has no name for.
    pub fn to_rsip(&self) -> Option<rsip::SipMessage> {
        let headers = self.headers().to_rsip();
        let body = self.body().to_vec();
        Some(match self.start() {
            StartLine::Request { method, uri } => rsip::Request {
                method: method.to_rsip()?,
                uri: uri.to_rsip(),
                version: rsip::Version::V2,
                headers,
                body,
            }
            .into(),
            StartLine::Status { code, reason } => rsip::Response {
                status_code: StatusCode::Other(*code, text(reason)),
                version: rsip::Version::V2,
                headers,
                body,
            }
            .into(),
        })
    }
}

macro_rules! known_headers {
    ($($name:ident)*) => {
        fn header(name: HeaderName, written: &[u8], value: String) -> Header {
            match name {
                $(HeaderName::$name => Header::$name(untyped::$name::from(value)),)*
                HeaderName::Other => Header::Other(text(written), value),
                name => Header::Other(name.as_str().into(), value),
            }
        }
    };
}

known_headers! {
    Via From To CallId CSeq MaxForwards Contact ContentLength ContentType RecordRoute Route Require
    Supported Allow Accept UserAgent AcceptEncoding AcceptLanguage AlertInfo AuthenticationInfo
    Authorization CallInfo ContentDisposition ContentEncoding ContentLanguage Date ErrorInfo Event
    Expires InReplyTo MimeVersion MinExpires Organization Priority ProxyAuthenticate
    ProxyAuthorization ProxyRequire ReplyTo RetryAfter Server Subject SubscriptionState Timestamp
    Unsupported Warning WwwAuthenticate
}
