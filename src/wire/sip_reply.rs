//! What every answer to one request has in common, kept from when the request came.
//!
//! RFC 3261 section 8.2.6.2: Via, From, To, Call-ID and CSeq go back as they came, byte for byte save
//! for folds. The top Via gets `received` and `rport` from where the request really came from
//! (section 18.2.1, RFC 3581); what the sender put there itself is left out.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::SocketAddr;

use super::sip_emit::{Overflow, Writer};
use super::sip_header::NameAddr;
use super::sip_index::SipHeaders;
use super::sip_name::HeaderName;
use super::sip_text::{self, cut_at, find_bare, trim};
use super::sip_uri::Host;
use super::sip_via::Via;

/// The lines that all answers to one request carry. Owned, so that it outlives the request.
#[derive(Clone, Debug)]
pub struct ReplyHead {
    /// Whole lines, each with its line end.
    vias: Vec<u8>,
    record_routes: Vec<u8>,
    from: Vec<u8>,
    /// The To line without its line end, so that a tag can follow.
    to: Vec<u8>,
    to_has_tag: bool,
    /// Call-ID and CSeq.
    identity: Vec<u8>,
    timestamp: Vec<u8>,
    destination: SocketAddr,
}

impl ReplyHead {
    /// Keeps what answers need of a request that came from `source`. Works on the header fields of a
    /// refused request as well; what is missing there is missing in the answer.
    pub fn new(headers: &SipHeaders<'_>, source: SocketAddr) -> Self {
        let top = headers
            .values(HeaderName::Via)
            .next()
            .and_then(Via::parse_for_answer);
        let to = headers.first(HeaderName::To);
        Self {
            vias: vias(headers, source),
            record_routes: lines(headers, HeaderName::RecordRoute),
            from: lines(headers, HeaderName::From),
            to: to.map(|value| line("To", value)).unwrap_or_default(),
            to_has_tag: to
                .and_then(NameAddr::parse)
                .is_some_and(|to| to.params.get("tag").is_some()),
            identity: [HeaderName::CallId, HeaderName::CSeq]
                .map(|name| lines(headers, name))
                .concat(),
            timestamp: lines(headers, HeaderName::Timestamp),
            destination: top.map_or(source, |via| via.response_address(source)),
        }
    }

    /// Where answers go over UDP, or over TCP once the request's connection is gone.
    pub fn destination(&self) -> SocketAddr {
        self.destination
    }

    pub(super) fn write(
        &self,
        code: u16,
        to_tag: Option<&str>,
        writer: &mut Writer<'_>,
    ) -> Result<(), Overflow> {
        writer.bytes(&self.vias)?;
        if (101..300).contains(&code) {
            writer.bytes(&self.record_routes)?;
        }
        writer.bytes(&self.from)?;
        if !self.to.is_empty() {
            writer.bytes(&self.to)?;
            if let Some(tag) = to_tag.filter(|_| !self.to_has_tag) {
                writer.text(format_args!(";tag={tag}"))?;
            }
            writer.bytes(b"\r\n")?;
        }
        writer.bytes(&self.identity)?;
        if code == 100 {
            writer.bytes(&self.timestamp)?;
        }
        Ok(())
    }
}

/// `Name: value` on one line, without its end.
fn line(name: &str, value: &[u8]) -> Vec<u8> {
    let mut line = format!("{name}: ").into_bytes();
    line.extend(sip_text::unfolded(value));
    line
}

fn lines(headers: &SipHeaders<'_>, name: HeaderName) -> Vec<u8> {
    let mut lines = Vec::new();
    for value in headers.all(name) {
        lines.extend(line(name.as_str(), value));
        lines.extend(b"\r\n");
    }
    lines
}

fn vias(headers: &SipHeaders<'_>, source: SocketAddr) -> Vec<u8> {
    let mut lines = Vec::new();
    for (index, value) in headers.all(HeaderName::Via).enumerate() {
        let value = if index == 0 {
            &top_via(value, source)
        } else {
            value
        };
        lines.extend(line(HeaderName::Via.as_str(), value));
        lines.extend(b"\r\n");
    }
    lines
}

/// The first Via line with `received` and `rport` in its first value.
fn top_via(line: &[u8], source: SocketAddr) -> Vec<u8> {
    let (first, others) = match find_bare(line, |b| b == b',') {
        Ok(Some(comma)) => (cut_at(line, comma).0, line.get(comma..)),
        _ => (line, None),
    };
    let Some(via) = Via::parse_for_answer(trim(first)) else {
        return line.to_vec();
    };
    let mut value = via.head.to_vec();
    for param in via.params.iter() {
        if ["received", "rport"]
            .iter()
            .any(|own| param.name.eq_ignore_ascii_case(own))
        {
            continue;
        }
        value.extend(format!(";{}", param.name).into_bytes());
        if let Some(given) = param.value {
            value.push(b'=');
            value.extend(given);
        }
    }
    if via.rport.is_some() || via.host != Host::Ip(source.ip()) {
        value.extend(format!(";received={}", source.ip()).into_bytes());
    }
    if via.rport.is_some() {
        value.extend(format!(";rport={}", source.port()).into_bytes());
    }
    value.extend(others.unwrap_or_default());
    value
}
