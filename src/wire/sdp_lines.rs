//! The first pass over a session description: bounds, and lines put into the form that the parser
//! behind it takes.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::limits::{SDP_ATTRIBUTES, SDP_BYTES, SDP_FORMATS, SDP_LINES, SDP_MEDIA, SDP_WORD_BYTES};
use crate::wire::sdp::SdpError;

/// The body with every line checked and put in form; `v=0` comes first.
pub(super) fn tidy(body: &[u8]) -> Result<String, SdpError> {
    if body.len() > SDP_BYTES {
        return Err(SdpError::TooLong);
    }
    // A byte order mark is no part of the first line.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut pass = Pass::default();
    for raw in lines(body) {
        pass.number = pass.number.saturating_add(1);
        if pass.number > SDP_LINES {
            return Err(SdpError::TooManyLines);
        }
        let text = readable(raw);
        if let Some((key, value)) = text.trim().split_once('=') {
            pass.line(key, value.trim())?;
        }
    }
    if pass.known == 0 {
        return Err(SdpError::NotSdp);
    }
    Ok(pass.out)
}

/// Lines ended by CRLF, LF or CR.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(body);
    core::iter::from_fn(move || {
        let all = rest?;
        let Some(end) = all.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            rest = None;
            return (!all.is_empty()).then_some(all);
        };
        let (line, after) = all.split_at_checked(end)?;
        rest = Some(
            after
                .strip_prefix(b"\r\n")
                .or(after.get(1..))
                .unwrap_or_default(),
        );
        Some(line)
    })
}

/// Text without control characters; bytes that are not UTF-8 become replacement characters.
fn readable(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

struct Pass {
    out: String,
    /// Number of the line being read, from 1.
    number: usize,
    /// Lines whose type is known.
    known: usize,
    media: usize,
    attributes: usize,
    origin: bool,
    name: bool,
    connection: bool,
    time: bool,
}

impl Default for Pass {
    fn default() -> Self {
        Self {
            out: String::from("v=0\r\n"),
            number: 0,
            known: 0,
            media: 0,
            attributes: 0,
            origin: false,
            name: false,
            connection: false,
            time: false,
        }
    }
}

impl Pass {
    fn line(&mut self, key: &str, value: &str) -> Result<(), SdpError> {
        let in_session = self.media == 0;
        let kept = match key {
            "v" if value != "0" => return Err(SdpError::Version(self.number)),
            "v" => None,
            "o" if in_session && !self.origin => {
                self.origin = true;
                origin(value)
            }
            "s" if in_session && !self.name => {
                self.name = true;
                Some(value.to_owned())
            }
            "c" => {
                let read = connection(value).ok_or(SdpError::ConnectionLine(self.number))?;
                // The first of a section counts.
                (!core::mem::replace(&mut self.connection, true)).then_some(read)
            }
            "b" => bandwidth(value),
            "t" if in_session && !self.time => {
                let read = time(value);
                self.time = read.is_some();
                read
            }
            "a" => {
                self.attributes = self.attributes.saturating_add(1);
                if self.attributes > SDP_ATTRIBUTES {
                    return Err(SdpError::TooManyAttributes(self.number));
                }
                (!value.is_empty()).then(|| value.to_owned())
            }
            "m" => {
                self.media = self.media.saturating_add(1);
                if self.media > SDP_MEDIA {
                    return Err(SdpError::TooManyMedia);
                }
                self.attributes = 0;
                self.connection = false;
                Some(media(value, self.number)?)
            }
            "o" | "s" | "t" => None,
            _ => return Ok(()),
        };
        self.known = self.known.saturating_add(1);
        if let Some(value) = kept {
            self.out.push_str(key);
            self.out.push('=');
            self.out.push_str(&value);
            self.out.push_str("\r\n");
        }
        Ok(())
    }
}

/// `<user> <id> <version> <nettype> <addrtype> <address>`, the user's words joined; `None` when it
/// cannot be made out: nothing depends on it.
fn origin(value: &str) -> Option<String> {
    let mut fields = value.split_whitespace().rev();
    let (address, family, network) = (fields.next()?, fields.next()?, fields.next()?);
    let (version, id) = (fields.next()?, fields.next()?);
    let mut user: Vec<&str> = fields.collect();
    user.reverse();
    let user = if user.is_empty() {
        "-".to_owned()
    } else {
        user.join("_")
    };
    if !is_name(network) || !is_name(family) {
        return None;
    }
    let version: u64 = version.parse().unwrap_or(0);
    Some(format!(
        "{user} {id} {version} {network} {family} {address}"
    ))
}

/// `<nettype> <addrtype> <address>`; `None` when it cannot be made out.
fn connection(value: &str) -> Option<String> {
    let mut fields = value.split_whitespace();
    let (network, family, address) = (fields.next()?, fields.next()?, fields.next()?);
    (is_name(network) && is_name(family)).then(|| format!("{network} {family} {address}"))
}

/// `<type>:<number>`; `None` for anything else.
fn bandwidth(value: &str) -> Option<String> {
    let (name, number) = value.split_once(':')?;
    let number: u64 = number.trim().parse().ok()?;
    is_name(name).then(|| format!("{name}:{number}"))
}

/// `<start> <stop>`; `None` for anything else.
fn time(value: &str) -> Option<String> {
    let mut fields = value.split_whitespace().map(str::parse::<u64>);
    let (start, stop) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(format!("{start} {stop}"))
}

/// `<media> <port> <proto> <format>...`. A number of ports is left out. A line without a format
/// cannot be used: it gets port 0 and one format, so that it can be answered in its place.
fn media(value: &str, number: usize) -> Result<String, SdpError> {
    let mut fields = value.split_whitespace();
    let (Some(kind), Some(port), Some(proto)) = (fields.next(), fields.next(), fields.next())
    else {
        return Err(SdpError::MediaLine(number));
    };
    if kind.len() > SDP_WORD_BYTES || proto.len() > SDP_WORD_BYTES {
        return Err(SdpError::MediaLine(number));
    }
    let port = port.split_once('/').map_or(port, |(port, _)| port);
    let port: u16 = port.parse().map_err(|_| SdpError::MediaLine(number))?;
    let formats: Vec<&str> = fields.take(SDP_FORMATS.saturating_add(1)).collect();
    if formats.len() > SDP_FORMATS {
        return Err(SdpError::TooManyFormats(number));
    }
    if formats.is_empty() {
        return Ok(format!("{kind} 0 {proto} 0"));
    }
    Ok(format!("{kind} {port} {proto} {}", formats.join(" ")))
}

/// A word of letters, digits and hyphens, as all registered network, address and bandwidth types
/// are.
pub(super) fn is_name(word: &str) -> bool {
    !word.is_empty()
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
