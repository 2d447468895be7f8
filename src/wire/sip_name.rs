//! Header field names: known ones, compact forms (RFC 3261 section 7.3.3), and all others.

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

macro_rules! header_names {
    ($($variant:ident $name:literal $compact:literal,)*) => {
        /// The name of a header field. Case and compact forms are resolved on reading.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum HeaderName {
            $(
                #[doc = concat!("`", $name, "`")]
                $variant,
            )*
            /// A name that nothing here reads; `SipHeaders::all_named` finds it by its text.
            Other,
        }

        impl HeaderName {
            /// Reads a name in any case, in full or compact.
            pub fn parse(name: &[u8]) -> Self {
                match name {
                    $(
                        _ if is_name(name, $name, $compact) => Self::$variant,
                    )*
                    _ => Self::Other,
                }
            }

            /// The full name; empty for [`HeaderName::Other`].
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other => "",
                }
            }
        }
    };
}

header_names! {
    Via "Via" "v",
    From "From" "f",
    To "To" "t",
    CallId "Call-ID" "i",
    CSeq "CSeq" "",
    MaxForwards "Max-Forwards" "",
    Contact "Contact" "m",
    ContentLength "Content-Length" "l",
    ContentType "Content-Type" "c",
    RecordRoute "Record-Route" "",
    Route "Route" "",
    Require "Require" "",
    Supported "Supported" "k",
    Allow "Allow" "",
    Accept "Accept" "",
    UserAgent "User-Agent" "",
    AcceptEncoding "Accept-Encoding" "",
    AcceptLanguage "Accept-Language" "",
    AlertInfo "Alert-Info" "",
    AllowEvents "Allow-Events" "u",
    AuthenticationInfo "Authentication-Info" "",
    Authorization "Authorization" "",
    CallInfo "Call-Info" "",
    ContentDisposition "Content-Disposition" "",
    ContentEncoding "Content-Encoding" "e",
    ContentLanguage "Content-Language" "",
    Date "Date" "",
    ErrorInfo "Error-Info" "",
    Event "Event" "o",
    Expires "Expires" "",
    InReplyTo "In-Reply-To" "",
    MimeVersion "MIME-Version" "",
    MinExpires "Min-Expires" "",
    MinSe "Min-SE" "",
    Organization "Organization" "",
    PAssertedIdentity "P-Asserted-Identity" "",
    Priority "Priority" "",
    ProxyAuthenticate "Proxy-Authenticate" "",
    ProxyAuthorization "Proxy-Authorization" "",
    ProxyRequire "Proxy-Require" "",
    Reason "Reason" "",
    ReferTo "Refer-To" "r",
    ReferredBy "Referred-By" "b",
    ReplyTo "Reply-To" "",
    RetryAfter "Retry-After" "",
    Server "Server" "",
    ServiceRoute "Service-Route" "",
    SessionExpires "Session-Expires" "x",
    Subject "Subject" "s",
    SubscriptionState "Subscription-State" "",
    Timestamp "Timestamp" "",
    Unsupported "Unsupported" "",
    Warning "Warning" "",
    WwwAuthenticate "WWW-Authenticate" "",
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_name(name: &[u8], full: &str, compact: &str) -> bool {
    name.eq_ignore_ascii_case(full.as_bytes())
        || (!compact.is_empty() && name.eq_ignore_ascii_case(compact.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_and_odd_case_names_are_the_full_ones() {
        for (written, name) in [
            ("v", HeaderName::Via),
            ("V", HeaderName::Via),
            ("vIA", HeaderName::Via),
            ("i", HeaderName::CallId),
            ("CALL-id", HeaderName::CallId),
            ("m", HeaderName::Contact),
            ("l", HeaderName::ContentLength),
            ("c", HeaderName::ContentType),
            ("k", HeaderName::Supported),
            ("x", HeaderName::SessionExpires),
            ("z", HeaderName::Other),
            ("C%6Fntact", HeaderName::Other),
            ("", HeaderName::Other),
        ] {
            assert_eq!(HeaderName::parse(written.as_bytes()), name, "{written}");
        }
    }
}
