//! What can be wrong with a SIP message, and what a user agent answers to it.

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

use super::sip_index::SipHeaders;
use super::sip_name::HeaderName;

/// A message that was refused.
#[derive(Debug)]
pub struct SipError<'a> {
    /// Why.
    pub fault: SipFault,
    /// The header fields to answer with, where an answer is due: only for a request other than ACK
    /// whose top Via says where answers go. Without them the message is dropped in silence.
    pub answer_to: Option<Box<SipHeaders<'a>>>,
}

/// Why a message was refused. Displays as the reason phrase of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SipFault {
    /// Nothing but line ends: a keep-alive, which is no error at all.
    KeepAlive,
    /// The first line is neither a request line nor a status line of SIP.
    NotSip,
    /// Longer than `SIP_MESSAGE_BYTES`.
    TooLarge,
    /// A request or status line with the wrong spaces, no method or no status code.
    StartLine,
    /// A version of SIP other than 2.0.
    Version,
    /// A Request-URI that is not one, or that carries header fields.
    RequestUri,
    /// A Request-URI of a scheme other than sip, sips and tel.
    Scheme,
    /// A header line without a name and a colon.
    HeaderLine,
    /// More header lines than `SIP_HEADERS`.
    TooManyHeaders,
    /// No empty line after the header fields: the message was cut.
    HeadersNotEnded,
    /// A field that every message has is not there.
    Missing(HeaderName),
    /// A field that may stand once stands more often.
    Repeated(HeaderName),
    /// A field whose value cannot be read.
    Malformed(HeaderName),
    /// The method in CSeq is not that of the request.
    CSeqMethod,
    /// The body is shorter than Content-Length says.
    BodyCut,
}

impl SipFault {
    /// The status code of the answer.
    pub fn code(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::Scheme => 416,
            Self::TooLarge => 513,
            _ => 400,
        }
    }

    /// Status code and reason phrase of the answer, for `rsip::Response`.
    pub fn status(self) -> rsip::StatusCode {
        rsip::StatusCode::Other(self.code(), self.to_string())
    }
}

impl fmt::Display for SipFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeepAlive => f.write_str("Keep-Alive"),
            Self::NotSip => f.write_str("Not SIP"),
            Self::TooLarge => f.write_str("Message Too Large"),
            Self::StartLine => f.write_str("Malformed Start Line"),
            Self::Version => f.write_str("Version Not Supported"),
            Self::RequestUri => f.write_str("Malformed Request-URI"),
            Self::Scheme => f.write_str("Unsupported URI Scheme"),
            Self::HeaderLine => f.write_str("Malformed Header Line"),
            Self::TooManyHeaders => f.write_str("Too Many Header Fields"),
            Self::HeadersNotEnded => f.write_str("Header Fields Not Ended"),
            Self::Missing(name) => write!(f, "Missing {name}"),
            Self::Repeated(name) => write!(f, "Repeated {name}"),
            Self::Malformed(name) => write!(f, "Malformed {name}"),
            Self::CSeqMethod => f.write_str("CSeq Method Differs From Request"),
            Self::BodyCut => f.write_str("Body Shorter Than Content-Length"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_its_answer() {
        assert_eq!(SipFault::Version.code(), 505);
        assert_eq!(SipFault::Scheme.code(), 416);
        assert_eq!(
            SipFault::Missing(HeaderName::CallId).status(),
            rsip::StatusCode::Other(400, "Missing Call-ID".into())
        );
    }
}
