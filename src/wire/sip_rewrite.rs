//! A request written anew with some of its header fields and of its Request-URI changed.
//!
//! What is not changed is copied as it came, folds and all. Fields that say which message it is and
//! where it ends cannot be changed ([`HeaderChange::may_change`]), so neither transactions nor framing
//! depend on who writes the changes. That the result can be read is for the caller to see.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use super::sip_emit::{Overflow, Writer};
use super::sip_message::{SipMessage, StartLine};
use super::sip_name::HeaderName;
use super::sip_uri::{Scheme, Uri};
use crate::limits::{SIP_HEADERS, SIP_RULE_CHANGES, SIP_RULES};

/// One change to a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderChange {
    /// Which field, in any case, in full or compact.
    pub name: String,
    /// What becomes of it.
    pub to: HeaderTo,
}

/// What becomes of a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderTo {
    /// One line of this value, in the place of the first one, or at the end.
    Set(String),
    /// One more line, at the end.
    Added(String),
    /// No line.
    Removed,
}

impl HeaderChange {
    /// Whether fields of that name may be changed: not those that tell transactions, dialogs and the
    /// ends of messages apart.
    pub fn may_change(name: &str) -> bool {
        !matches!(
            HeaderName::parse(name.as_bytes()),
            HeaderName::Via
                | HeaderName::From
                | HeaderName::To
                | HeaderName::CallId
                | HeaderName::CSeq
                | HeaderName::ContentLength
        )
    }

    fn is_of(&self, name: HeaderName, written: &[u8]) -> bool {
        match HeaderName::parse(self.name.as_bytes()) {
            HeaderName::Other => self.name.as_bytes().eq_ignore_ascii_case(written),
            known => known == name,
        }
    }
}

/// One change to a Request-URI of scheme sip or sips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UriChange {
    /// Another user part, escapes and all, without password; or none.
    User(Option<String>),
    /// Another host, IPv6 in brackets.
    Host(String),
    /// Another port, or none.
    Port(Option<u16>),
    /// A parameter with a value, without one (`Some(None)`), or no such parameter.
    Param(String, Option<Option<String>>),
}

/// One change to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// To its header fields.
    Header(HeaderChange),
    /// To its Request-URI.
    Uri(UriChange),
}

/// Why a request was not written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotRewritten;

impl From<Overflow> for NotRewritten {
    fn from(_: Overflow) -> Self {
        Self
    }
}

/// Room for the fields of one request and those added by every rule.
const FIELDS: usize = SIP_HEADERS + SIP_RULES * SIP_RULE_CHANGES;

/// Writes `request` with changes made in their order; gives its length.
///
/// # Errors
///
/// It does not fit into `out`, is no request, or its Request-URI has no host and is to be changed.
pub fn rewrite<'a>(
    request: &SipMessage<'a>,
    changes: impl Iterator<Item = &'a Change>,
    out: &mut [u8],
) -> Result<usize, NotRewritten> {
    let StartLine::Request { method, uri } = request.start() else {
        return Err(NotRewritten);
    };
    let mut parts = None;
    let mut fields: Vec<Field<'_>> = request.headers().iter().collect();
    for change in changes {
        match change {
            Change::Header(change) => change_field(&mut fields, change)?,
            Change::Uri(change) => {
                let read = || UriParts::of(uri).ok_or(NotRewritten);
                let parts = match &mut parts {
                    Some(parts) => parts,
                    none => none.insert(read()?),
                };
                parts.change(change);
            }
        }
    }
    let mut writer = Writer::new(out);
    writer.bytes(method.as_str().as_bytes())?;
    writer.bytes(b" ")?;
    match &parts {
        Some(parts) => parts.write(&mut writer)?,
        None => writer.bytes(uri.text.as_bytes())?,
    }
    writer.bytes(b" SIP/2.0\r\n")?;
    for (_, written, value) in &fields {
        for piece in [written, &b": "[..], value, b"\r\n"] {
            writer.bytes(piece)?;
        }
    }
    writer.bytes(b"\r\n")?;
    writer.bytes(request.body())?;
    Ok(writer.length())
}

/// Name, name as written, value.
type Field<'a> = (HeaderName, &'a [u8], &'a [u8]);

fn change_field<'a>(
    fields: &mut Vec<Field<'a>>,
    change: &'a HeaderChange,
) -> Result<(), NotRewritten> {
    // Checked where the change was read; a change of these would break dialogs.
    if !HeaderChange::may_change(&change.name) {
        return Err(NotRewritten);
    }
    let is_it = |field: &Field<'_>| change.is_of(field.0, field.1);
    let line = |value: &'a str| {
        let name = change.name.as_bytes();
        (HeaderName::parse(name), name, value.as_bytes())
    };
    match &change.to {
        HeaderTo::Removed => fields.retain(|field| !is_it(field)),
        HeaderTo::Added(value) => fields.push(line(value)),
        HeaderTo::Set(value) => {
            let first = fields.iter().position(is_it);
            match first.and_then(|at| fields.get_mut(at)) {
                Some(field) => field.2 = value.as_bytes(),
                None => fields.push(line(value)),
            }
            let mut at = 0_usize;
            fields.retain(|field| {
                let keep = !is_it(field) || first.is_none_or(|first| at == first);
                at = at.saturating_add(1);
                keep
            });
        }
    }
    if fields.len() > FIELDS {
        return Err(NotRewritten);
    }
    Ok(())
}

/// The parts of a sip or sips URI that can be changed.
struct UriParts<'a> {
    scheme: &'static str,
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: String,
    port: Option<u16>,
    params: Vec<(&'a str, Option<&'a str>)>,
}

impl<'a> UriParts<'a> {
    fn of(uri: &Uri<'a>) -> Option<Self> {
        Some(Self {
            scheme: if uri.scheme == Scheme::Sips {
                "sips:"
            } else {
                "sip:"
            },
            user: uri.user,
            password: uri.password,
            host: uri.host?.to_string(),
            port: uri.port,
            params: uri.params().collect(),
        })
    }

    fn change(&mut self, change: &'a UriChange) {
        match change {
            UriChange::User(user) => {
                self.user = user.as_deref();
                self.password = None;
            }
            UriChange::Host(host) => self.host.clone_from(host),
            UriChange::Port(port) => self.port = *port,
            UriChange::Param(name, value) => {
                self.params
                    .retain(|(given, _)| !given.eq_ignore_ascii_case(name));
                if let Some(value) = value {
                    self.params.push((name, value.as_deref()));
                }
            }
        }
    }

    fn write(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.bytes(self.scheme.as_bytes())?;
        if let Some(user) = self.user {
            writer.bytes(user.as_bytes())?;
            if let Some(password) = self.password {
                writer.bytes(b":")?;
                writer.bytes(password.as_bytes())?;
            }
            writer.bytes(b"@")?;
        }
        writer.bytes(self.host.as_bytes())?;
        if let Some(port) = self.port {
            writer.bytes(format!(":{port}").as_bytes())?;
        }
        for (name, value) in &self.params {
            writer.bytes(b";")?;
            writer.bytes(name.as_bytes())?;
            if let Some(value) = value {
                writer.bytes(b"=")?;
                writer.bytes(value.as_bytes())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nf: <sip:a@h>;tag=1\r\n\
                        To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n";

    fn header(name: &str, to: HeaderTo) -> Change {
        let name = name.to_owned();
        Change::Header(HeaderChange { name, to })
    }

    fn set(name: &str, value: &str) -> Change {
        header(name, HeaderTo::Set(value.to_owned()))
    }

    /// Start line and the fields after CSeq of the rewritten request.
    fn rewritten(start: &str, fields: &str, changes: &[Change]) -> Option<(String, String)> {
        let text = format!("{start}\r\n{REST}{fields}\r\nbody");
        let request = SipMessage::parse(text.as_bytes()).unwrap();
        let mut out = [0; 2_000];
        let length = rewrite(&request, changes.iter(), &mut out).ok()?;
        let again = SipMessage::parse(&out[..length]).unwrap();
        assert_eq!(again.body(), b"body");
        assert_eq!(again.call_id(), "c");
        let printed = String::from_utf8(out[..length].to_vec()).unwrap();
        let (start, rest) = printed.split_once("\r\n").unwrap();
        let rest = rest.strip_prefix(REST).unwrap();
        let fields = rest.strip_suffix("\r\n\r\nbody").unwrap_or_default();
        Some((start.to_owned(), fields.to_owned()))
    }

    fn uri(before: &str, changes: &[UriChange]) -> Option<String> {
        let changes: Vec<_> = changes.iter().cloned().map(Change::Uri).collect();
        let (start, _) = rewritten(&format!("INVITE {before} SIP/2.0"), "", &changes)?;
        let uri = start.strip_prefix("INVITE ").unwrap();
        Some(uri.strip_suffix(" SIP/2.0").unwrap().to_owned())
    }

    #[test]
    fn every_part_of_the_request_uri_can_be_changed() {
        let text = |text: &str| text.to_owned();
        let from = "sip:1001:pw@pbx;user=phone;Lr";
        for (change, wanted) in [
            (
                UriChange::Port(Some(5_060)),
                "sip:1001:pw@pbx:5060;user=phone;Lr",
            ),
            (UriChange::User(Some(text("7"))), "sip:7@pbx;user=phone;Lr"),
            (UriChange::User(None), "sip:pbx;user=phone;Lr"),
            (
                UriChange::Host(text("[2001:db8::1]")),
                "sip:1001:pw@[2001:db8::1];user=phone;Lr",
            ),
            (
                UriChange::Param(text("lr"), None),
                "sip:1001:pw@pbx;user=phone",
            ),
            (
                UriChange::Param(text("USER"), Some(Some(text("ip")))),
                "sip:1001:pw@pbx;Lr;USER=ip",
            ),
            (
                UriChange::Param(text("x"), Some(None)),
                "sip:1001:pw@pbx;user=phone;Lr;x",
            ),
        ] {
            assert_eq!(uri(from, &[change]).as_deref(), Some(wanted));
        }
        assert_eq!(
            uri("sips:a@h:1", &[UriChange::Port(None)]).as_deref(),
            Some("sips:a@h")
        );
        assert_eq!(uri("tel:+1", &[UriChange::Port(None)]), None);
        assert_eq!(uri("tel:+1", &[]).as_deref(), Some("tel:+1"));
    }

    #[test]
    fn fields_are_set_added_and_removed_in_order() {
        let start = "INVITE sip:b@h SIP/2.0";
        let fields = "k: timer\r\nX-Own: 1\r\nSupported: 100rel\r\nx-own: 2\r\n";
        let change = |changes: &[Change]| rewritten(start, fields, changes).unwrap().1;
        assert_eq!(
            change(&[set("Supported", "path")]),
            "k: path\r\nX-Own: 1\r\nx-own: 2"
        );
        assert_eq!(
            change(&[header("X-OWN", HeaderTo::Removed), set("X-New", "é")]),
            "k: timer\r\nSupported: 100rel\r\nX-New: é"
        );
        assert_eq!(
            change(&[
                header("X-Own", HeaderTo::Added("3".into())),
                set("X-Own", "4")
            ]),
            "k: timer\r\nX-Own: 4\r\nSupported: 100rel"
        );
        assert_eq!(
            change(&[]),
            "k: timer\r\nX-Own: 1\r\nSupported: 100rel\r\nx-own: 2"
        );
    }

    #[test]
    fn fields_that_frame_and_identify_cannot_be_changed() {
        for name in [
            "Via",
            "v",
            "From",
            "f",
            "TO",
            "t",
            "Call-ID",
            "i",
            "CSeq",
            "Content-Length",
            "l",
        ] {
            assert!(!HeaderChange::may_change(name), "{name}");
            let changes = [set(name, "x")];
            assert_eq!(
                rewritten("INVITE sip:b@h SIP/2.0", "", &changes),
                None,
                "{name}"
            );
        }
        assert!(HeaderChange::may_change("Contact"));
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let text = format!("INVITE sip:b@h SIP/2.0\r\n{REST}\r\n");
        let request = SipMessage::parse(text.as_bytes()).unwrap();
        let changes = [set("X", "y")];
        for length in 0..text.len() + "X: y\r\n".len() {
            let mut out = vec![0; length];
            assert_eq!(
                rewrite(&request, changes.iter(), &mut out),
                Err(NotRewritten)
            );
        }
    }
}
