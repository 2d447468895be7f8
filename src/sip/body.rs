//! Which bodies and which demands of a caller can be met (RFC 3261 sections 8.2.2, 8.2.3 and 13.2.1).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use rsip::Header;

use crate::wire::sip_header::MediaType;
use crate::wire::sip_index::SipHeaders;
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_name::HeaderName;

use super::answer::Answer;

/// What a body may be, for the answer to another one.
const ACCEPT: &str = "application/sdp";

/// How deep a session description may lie in bodies of several parts.
const MULTIPART_DEPTH: usize = 2;

/// The session description in a message: `None` when there is no body, or one that may be ignored.
/// `Err` is the answer to a body that would have to be understood.
pub(super) fn session_description<'a>(
    message: &SipMessage<'a>,
) -> Result<Option<&'a [u8]>, Answer> {
    let (headers, body) = (message.headers(), message.body());
    if body.is_empty() {
        return Ok(None);
    }
    let may_ignore = is_optional(headers);
    if !is_plain(headers) {
        let answer = Answer::code(415).with(Header::AcceptEncoding("identity".into()));
        return ignored_or(may_ignore, answer);
    }
    let parts = headers.content_type().and_then(|kind| multipart(&kind));
    if let Some(boundary) = parts {
        return match sdp_part(body, &boundary, MULTIPART_DEPTH) {
            Some(sdp) => Ok(Some(sdp)),
            None => ignored_or(
                may_ignore,
                Answer::code(415).with(Header::Accept(ACCEPT.into())),
            ),
        };
    }
    let is_sdp = match headers.content_type() {
        Some(kind) => kind.is("application", "sdp"),
        // Old peers leave the type out; a body of theirs begins as a session description does.
        None => body.starts_with(b"v="),
    };
    if is_sdp {
        return Ok(Some(body));
    }
    let answer = Answer::code(415).with(Header::Accept(ACCEPT.into()));
    ignored_or(may_ignore, answer)
}

/// The extensions in Require that are not `supported`, a list as in Supported: the answer that says so.
pub(super) fn unmet_require(headers: &SipHeaders<'_>, supported: &str) -> Option<Answer> {
    let knows = |name: &str| {
        let mut supported = supported.split(',').map(str::trim);
        supported.any(|known| known.eq_ignore_ascii_case(name))
    };
    let mut required: Vec<&str> = headers.tokens(HeaderName::Require).collect();
    required.retain(|name| !knows(name));
    if required.is_empty() {
        return None;
    }
    Some(Answer::code(420).with(Header::Unsupported(required.join(", ").into())))
}

/// The answer to a caller that would not take a session description.
pub(super) fn unmet_accept(headers: &SipHeaders<'_>) -> Option<Answer> {
    let mut wanted = headers.values(HeaderName::Accept).peekable();
    wanted.peek()?;
    let takes_sdp = wanted.filter_map(MediaType::parse).any(|kind| {
        let subtype = kind.subtype;
        (kind.kind == "*" || kind.kind.eq_ignore_ascii_case("application"))
            && (subtype == "*" || subtype.eq_ignore_ascii_case("sdp"))
    });
    (!takes_sdp).then(|| Answer::code(406))
}

/// The boundary of a body of several parts (RFC 2046 section 5.1.1).
fn multipart(kind: &MediaType<'_>) -> Option<Vec<u8>> {
    if !kind.kind.eq_ignore_ascii_case("multipart") {
        return None;
    }
    let boundary = kind.params.get("boundary")?.value?;
    let boundary = boundary.strip_prefix(b"\"").unwrap_or(boundary);
    let boundary = boundary.strip_suffix(b"\"").unwrap_or(boundary);
    (!boundary.is_empty() && boundary.len() <= 70).then(|| [b"--", boundary].concat())
}

/// The first part that is a session description. `depth` bounds the work: each level reads the body once.
fn sdp_part<'a>(body: &'a [u8], delimiter: &[u8], depth: usize) -> Option<&'a [u8]> {
    let mut rest = after_delimiter(body, delimiter)?.1;
    loop {
        let (part, next) = match after_delimiter(rest, delimiter) {
            Some((part, next)) => (part, Some(next)),
            None => (rest, None),
        };
        if let Some(found) = sdp_of(part, depth) {
            return Some(found);
        }
        rest = next?;
    }
}

/// What lies before the next delimiter line, without the line end that belongs to that, and after it.
/// Nothing where there is none, or after the last one.
fn after_delimiter<'a>(bytes: &'a [u8], delimiter: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut from = 0_usize;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let next = from.saturating_add(line.len());
        if let Some(tail) = line.strip_prefix(delimiter) {
            let tail = tail.trim_ascii_end();
            if tail.is_empty() || tail == b"--" {
                let part = bytes.get(..from)?;
                let part = part.strip_suffix(b"\n").unwrap_or(part);
                let part = part.strip_suffix(b"\r").unwrap_or(part);
                let after = if tail.is_empty() { next } else { bytes.len() };
                return Some((part, bytes.get(after..)?));
            }
        }
        from = next;
    }
    None
}

/// The session description that a part is, or holds.
fn sdp_of(part: &[u8], depth: usize) -> Option<&[u8]> {
    let mut kind = None;
    let mut rest = part;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = rest.get(..end)?.trim_ascii();
        rest = rest.get(end.saturating_add(1)..)?;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        if let Some((name, value)) = colon.and_then(|at| line.split_at_checked(at)) {
            let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
            if HeaderName::parse(name.trim_ascii()) == HeaderName::ContentType {
                kind = MediaType::parse(value);
            }
        }
    }
    let kind = kind?;
    if kind.is("application", "sdp") {
        return Some(rest);
    }
    let boundary = multipart(&kind).filter(|_| depth > 1)?;
    sdp_part(rest, &boundary, depth.saturating_sub(1))
}

fn ignored_or(may_ignore: bool, answer: Answer) -> Result<Option<&'static [u8]>, Answer> {
    if may_ignore { Ok(None) } else { Err(answer) }
}

/// Whether the body is as it was, without compression.
fn is_plain(headers: &SipHeaders<'_>) -> bool {
    let mut encodings = headers.tokens(HeaderName::ContentEncoding);
    encodings.all(|encoding| encoding.eq_ignore_ascii_case("identity"))
}

/// Whether the sender says that the body need not be understood.
fn is_optional(headers: &SipHeaders<'_>) -> bool {
    let disposition = headers.text(HeaderName::ContentDisposition);
    disposition.is_some_and(|text| {
        let mut params = text.split(';').skip(1).map(str::trim);
        params.any(|param| param.eq_ignore_ascii_case("handling=optional"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(lines: &str, body: &str) -> Result<Option<String>, u16> {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:b@c>\r\nTo: <sip:a@d>\r\n\
             Call-ID: x\r\nCSeq: 1 INVITE\r\n{lines}\r\n{body}"
        );
        let message = SipMessage::parse(text.as_bytes()).unwrap();
        let found = session_description(&message);
        let found = found.map(|sdp| sdp.map(|sdp| String::from_utf8_lossy(sdp).into_owned()));
        found.map_err(|answer| answer.number())
    }

    #[test]
    fn a_session_description_is_known_by_its_type_or_its_first_line() {
        let found = Ok(Some("v=0".to_string()));
        for lines in [
            "Content-Type: application/sdp\r\n",
            "c: APPLICATION / SDP;charset=utf-8\r\n",
            "Content-Type: application/sdp\r\nContent-Encoding: identity\r\n",
            "Content-Type: application/sdp\r\nContent-Disposition: session\r\n",
            "",
        ] {
            assert_eq!(judged(lines, "v=0"), found, "{lines}");
        }
        assert_eq!(judged("Content-Type: text/plain\r\n", ""), Ok(None));
    }

    #[test]
    fn the_session_description_is_taken_out_of_several_parts() {
        let lines = "Content-Type: multipart/mixed;boundary=\"b1\"\r\n";
        let body = "preamble\r\n--b1\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b1\r\n\
            c: application/sdp\r\nContent-Disposition: session\r\n\r\nv=0\r\ns=-\r\n\r\n--b1--\r\nend";
        let found = Ok(Some("v=0\r\ns=-\r\n".to_string()));
        assert_eq!(judged(lines, body), found);
        let outer = "Content-Type: multipart/mixed; boundary=o\r\n";
        let nested = format!(
            "--o\r\nContent-Type: multipart/alternative;boundary=b1\r\n\r\n{body}\r\n--o--\r\n"
        );
        assert_eq!(judged(outer, &nested), found);
        let deeper = nested.replace("--o", "--p");
        let deeper =
            format!("--o\r\nContent-Type: multipart/mixed;boundary=p\r\n\r\n{deeper}\r\n--o--\r\n");
        assert_eq!(judged(outer, &deeper), Err(415), "too deep");
        assert_eq!(judged(lines, "--b1\r\n\r\nhello\r\n--b1--"), Err(415));
        for end in 0..nested.len() {
            // Whatever is cut off, nothing breaks.
            let _ = judged(outer, &nested[..end]);
        }
    }

    #[test]
    fn another_body_is_415_unless_it_may_be_ignored() {
        for lines in [
            "Content-Type: text/plain\r\n",
            "Content-Type: application/sdp\r\ne: gzip\r\n",
            "Content-Type: text/plain\r\nContent-Disposition: x;handling=required\r\n",
        ] {
            assert_eq!(judged(lines, "hello"), Err(415), "{lines}");
        }
        assert_eq!(judged("", "hello"), Err(415));
        let lines = "Content-Type: text/plain\r\nContent-Disposition: icon ; Handling=Optional\r\n";
        assert_eq!(judged(lines, "hello"), Ok(None));
    }
}
