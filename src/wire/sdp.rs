//! Session descriptions (RFC 8866): bounded reading, tolerant of what real phones send.
//!
//! A body is first put in order line by line ([`crate::limits`] names the bounds), then read by
//! `sdp-types`, which therefore meets only lines that it takes. Tolerated: missing `v=`, `o=`, `s=`
//! and `t=`, lines ended by LF or CR alone, blanks around a line, repeated session lines (the first
//! counts), a `o=` user of several words, bytes that are not UTF-8, unknown lines. Refused: another
//! version, a `m=` or `c=` line that cannot be read, and more of anything than the bounds allow.
//!
//! Not read: `i=`, `u=`, `e=`, `p=`, `r=`, `z=` and `k=`; nothing here needs them.

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

use crate::wire::sdp_lines::tidy;
use crate::wire::sdp_media::MediaLine;

/// One session description, read from a body. Its `Debug` shows nothing of the text, which may have
/// keys in it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionDescription {
    session: sdp_types::Session,
}

impl SessionDescription {
    /// Reads a body of at most [`crate::limits::SDP_BYTES`]; work and memory are linear in its
    /// length.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        let text = tidy(body)?;
        // Whatever the pass above lets through, the crate takes; a disagreement is a refusal.
        let session = sdp_types::Session::parse(text.as_bytes()).map_err(|_| SdpError::NotSdp)?;
        Ok(Self { session })
    }

    /// The description as the crate's model.
    pub fn session(&self) -> &sdp_types::Session {
        &self.session
    }

    /// The media sections in their order.
    pub fn media(&self) -> impl Iterator<Item = MediaLine<'_>> {
        self.session
            .medias
            .iter()
            .map(|media| MediaLine::new(&self.session, media))
    }
}

impl fmt::Debug for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SessionDescription({} media lines)",
            self.session.medias.len()
        )
    }
}

/// The text of a description, every line ended by CRLF.
pub fn print(session: &sdp_types::Session) -> String {
    let mut bytes = Vec::with_capacity(1_024);
    // Writing to memory does not fail.
    let _ = session.write(&mut bytes);
    String::from_utf8(bytes).unwrap_or_default()
}

/// Which way media flows, seen from the side that wrote the attribute (RFC 8866, section 6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways; also what a section without an attribute means.
    #[default]
    SendRecv,
    /// From the writer only.
    SendOnly,
    /// To the writer only.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    /// Every direction.
    pub const ALL: [Self; 4] = [
        Self::SendRecv,
        Self::SendOnly,
        Self::RecvOnly,
        Self::Inactive,
    ];

    /// The direction that an attribute names, whatever its case.
    pub fn from_attribute(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|direction| name.eq_ignore_ascii_case(direction.attribute()))
    }

    /// The direction of a side that does or does not send and receive.
    pub const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// The attribute's name.
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Whether the writer sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.attribute())
    }
}

/// Why a body was not taken as a session description. Line numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdpError {
    /// More bytes than [`crate::limits::SDP_BYTES`].
    TooLong,
    /// More lines than [`crate::limits::SDP_LINES`].
    TooManyLines,
    /// More media lines than [`crate::limits::SDP_MEDIA`].
    TooManyMedia,
    /// More formats in the media line at this line than [`crate::limits::SDP_FORMATS`].
    TooManyFormats(usize),
    /// More attributes before this line than [`crate::limits::SDP_ATTRIBUTES`].
    TooManyAttributes(usize),
    /// A version other than 0.
    Version(usize),
    /// A `m=` line without media, port and protocol, or with an impossible port.
    MediaLine(usize),
    /// A `c=` line without network type, address type and address.
    ConnectionLine(usize),
    /// Nothing in it is a line of a session description.
    NotSdp,
}

impl SdpError {
    /// The line at fault, where there is one.
    pub const fn line(self) -> Option<usize> {
        match self {
            Self::TooManyFormats(line)
            | Self::TooManyAttributes(line)
            | Self::Version(line)
            | Self::MediaLine(line)
            | Self::ConnectionLine(line) => Some(line),
            Self::TooLong | Self::TooManyLines | Self::TooManyMedia | Self::NotSdp => None,
        }
    }
}

impl fmt::Display for SdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "session description too long",
            Self::TooManyLines => "too many lines in the session description",
            Self::TooManyMedia => "too many media lines",
            Self::TooManyFormats(_) => "too many formats in a media line",
            Self::TooManyAttributes(_) => "too many attributes in a section",
            Self::Version(_) => "unknown version of session description",
            Self::MediaLine(_) => "unreadable m= line",
            Self::ConnectionLine(_) => "unreadable c= line",
            Self::NotSdp => "not a session description",
        })?;
        match self.line() {
            Some(line) => write!(f, ", line {line}"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for SdpError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SessionDescription, SdpError> {
        SessionDescription::parse(text.as_bytes())
    }

    #[test]
    fn the_trunk_template_of_the_reference_needs_no_version_line() {
        let text = " o=10009 2469 1555 IN IP4 0.0.0.0\n c=IN IP4 0.0.0.0\n t=0 0\n \
                    m=audio 7270 RTP/AVP 96\n a=rtpmap:96 opus/48000/2\n a=recvonly\n";
        let parsed = parse(text).unwrap();
        assert_eq!(parsed.session().origin.username.as_deref(), Some("10009"));
        assert_eq!(parsed.media().count(), 1);
        assert_eq!(
            parsed.media().next().unwrap().direction(),
            Direction::RecvOnly
        );
    }

    #[test]
    fn an_origin_with_a_user_of_several_words_is_kept_as_one() {
        let parsed = parse("v=0\r\no=my phone 1 2 IN IP4 h\r\n").unwrap();
        assert_eq!(
            parsed.session().origin.username.as_deref(),
            Some("my_phone")
        );
        assert_eq!(parsed.session().origin.sess_version, 2);
    }

    #[test]
    fn a_version_number_of_twenty_digits_is_no_reason_to_refuse() {
        let parsed =
            parse("v=0\no=- 99999999999999999999 99999999999999999999 IN IP4 h\n").unwrap();
        assert_eq!(parsed.session().origin.sess_id, "99999999999999999999");
    }

    #[test]
    fn every_line_ending_and_bytes_of_any_kind_are_taken() {
        let body = b"v=0\rs=caf\xe9\x00\x01\r\nm=audio 4 RTP/AVP 0\na=x\xff:y\n\n\0\0";
        let parsed = SessionDescription::parse(body).unwrap();
        assert_eq!(parsed.media().next().unwrap().port(), 4);
    }

    #[test]
    fn repeated_and_unknown_session_lines_do_no_harm() {
        let text =
            "v=0\nv=0\ns=a\ns=b\nc=IN IP4 1.2.3.4\nc=IN IP4 5.6.7.8\nX=1\njunk\nb=x\nt=a b\n";
        let parsed = parse(text).unwrap();
        assert_eq!(parsed.session().session_name, "a");
        let connection = parsed.session().connection.as_ref().unwrap();
        assert_eq!(connection.connection_address, "1.2.3.4");
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_line() {
        assert_eq!(parse(""), Err(SdpError::NotSdp));
        assert_eq!(parse("hello\r\nworld"), Err(SdpError::NotSdp));
        assert_eq!(parse("v=1\r\n"), Err(SdpError::Version(1)));
        assert_eq!(parse("v=0\nm=audio\n"), Err(SdpError::MediaLine(2)));
        assert_eq!(
            parse("v=0\nm=audio 70000 RTP/AVP 0\n"),
            Err(SdpError::MediaLine(2))
        );
        assert_eq!(
            parse("v=0\nm=audio x RTP/AVP 0\n"),
            Err(SdpError::MediaLine(2))
        );
        assert_eq!(
            parse("v=0\nc=IN 1.2.3.4\n"),
            Err(SdpError::ConnectionLine(2))
        );
        assert_eq!(
            SdpError::MediaLine(2).to_string(),
            "unreadable m= line, line 2"
        );
    }

    #[test]
    fn counts_are_bounded() {
        use crate::limits::{SDP_ATTRIBUTES, SDP_BYTES, SDP_FORMATS, SDP_LINES, SDP_MEDIA};
        let head = "v=0\nc=IN IP4 1.2.3.4\n";
        let lines = |line: &str, count: usize| format!("{head}{}", line.repeat(count));
        let media = "m=audio 2 RTP/AVP 0\n";
        assert!(parse(&lines(media, SDP_MEDIA)).is_ok());
        assert_eq!(
            parse(&lines(media, SDP_MEDIA + 1)),
            Err(SdpError::TooManyMedia)
        );
        assert!(parse(&lines("a=x\n", SDP_ATTRIBUTES)).is_ok());
        assert_eq!(
            parse(&lines("a=x\n", SDP_ATTRIBUTES + 1)),
            Err(SdpError::TooManyAttributes(SDP_ATTRIBUTES + 3))
        );
        assert_eq!(
            parse(&lines("b=AS:1\n", SDP_LINES)),
            Err(SdpError::TooManyLines)
        );
        let formats = |count| format!("{head}m=audio 2 RTP/AVP{}\n", " 0".repeat(count));
        assert!(parse(&formats(SDP_FORMATS)).is_ok());
        assert_eq!(
            parse(&formats(SDP_FORMATS + 1)),
            Err(SdpError::TooManyFormats(3))
        );
        assert_eq!(
            SessionDescription::parse(&[b'a'; SDP_BYTES + 1]),
            Err(SdpError::TooLong)
        );
    }
}
