//! Challenges of digest authentication as SIP carries them: WWW-Authenticate, Proxy-Authenticate and
//! Authentication-Info (RFC 3261 section 22, RFC 7616 section 3.3, RFC 8760).
//!
//! Read in any shape that servers send: several fields, several challenges in one, quotes where the
//! grammar wants tokens and tokens where it wants quotes. `domain` is passed over, since it means
//! nothing to a user agent (RFC 3261 section 22.4), and `charset` too: what is hashed is UTF-8 always.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use super::sip_digest::Algorithm;
use super::sip_text::{cut_at, is_space, token, trim, unfolded};
use crate::limits::{SIP_CHALLENGE_BYTES, SIP_CHALLENGES};

/// Who asks for authentication, and so which header field answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenger {
    /// The server that the request is for: 401, WWW-Authenticate, Authorization.
    Server,
    /// A proxy on the way: 407, Proxy-Authenticate, Proxy-Authorization.
    Proxy,
}

/// One digest challenge whose realm and nonce are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The realm, quotes and escapes resolved; may be empty.
    pub realm: Box<str>,
    /// The nonce.
    pub nonce: Box<str>,
    /// What is to be sent back as it came.
    pub opaque: Option<Box<str>>,
    /// The last credentials were right but for their nonce.
    pub stale: bool,
    /// The algorithm; none for one that is not known here.
    pub algorithm: Option<Algorithm>,
    /// Whether `algorithm` was named, and so is to be named in the answer.
    pub names_algorithm: bool,
    /// What may be protected.
    pub qop: OfferedQop,
    /// The server takes a hashed user name.
    pub userhash: bool,
}

/// The `qop` of a challenge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfferedQop {
    /// The parameter is there.
    pub given: bool,
    /// `auth` is in it.
    pub auth: bool,
    /// `auth-int` is in it.
    pub auth_int: bool,
}

impl OfferedQop {
    fn parse(text: &str) -> Self {
        let mut offered = Self {
            given: true,
            ..Self::default()
        };
        for one in text.split([',', ' ', '\t']) {
            offered.auth |= one.eq_ignore_ascii_case("auth");
            offered.auth_int |= one.eq_ignore_ascii_case("auth-int");
        }
        // `qop=""` is what some servers write for none at all.
        offered.given = !text.trim().is_empty();
        offered
    }
}

/// Reads the challenges of one header field; those of other schemes and those without realm or nonce
/// are passed over. At most `SIP_CHALLENGES` are read.
pub fn challenges(value: &[u8]) -> heapless::Vec<Challenge, SIP_CHALLENGES> {
    let mut found = heapless::Vec::new();
    let mut current: Option<Reading> = None;
    let finish = |reading: Option<Reading>,
                  found: &mut heapless::Vec<Challenge, SIP_CHALLENGES>| {
        if let Some(challenge) = reading.and_then(Reading::finish) {
            // One more than there may be is passed over.
            let _ = found.push(challenge);
        }
    };
    for element in elements(value) {
        let Some(element) = Element::parse(element) else {
            // Nothing that this challenge says can be trusted any more.
            if let Some(current) = &mut current {
                current.is_broken = true;
            }
            continue;
        };
        if let Some(scheme) = element.scheme {
            finish(current.take(), &mut found);
            current = scheme.eq_ignore_ascii_case("Digest").then(Reading::default);
        }
        if let (Some(current), Some((name, value))) = (&mut current, element.param) {
            current.take(name, value);
        }
    }
    finish(current, &mut found);
    found
}

/// What an answer says about the next request (RFC 7616 section 3.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthenticationInfo {
    /// The nonce to use from now on.
    pub nextnonce: Option<Box<str>>,
    /// The server's proof that it knows the password as well.
    pub rspauth: Option<Box<str>>,
    /// The client nonce that the proof is about.
    pub cnonce: Option<Box<str>>,
    /// The nonce count that the proof is about.
    pub nc: Option<u32>,
    /// What the proof covers.
    pub qop: OfferedQop,
}

impl AuthenticationInfo {
    /// Reads the value of Authentication-Info; what cannot be read is passed over.
    pub fn parse(value: &[u8]) -> Self {
        let mut info = Self::default();
        for element in elements(value).filter_map(Element::parse) {
            let Some((name, value)) = element.param else {
                continue;
            };
            let Some(text) = text_of(value) else {
                continue;
            };
            if name.eq_ignore_ascii_case("nextnonce") {
                info.nextnonce = Some(text).filter(|text| !text.is_empty());
            } else if name.eq_ignore_ascii_case("rspauth") {
                info.rspauth = Some(text);
            } else if name.eq_ignore_ascii_case("cnonce") {
                info.cnonce = Some(text);
            } else if name.eq_ignore_ascii_case("qop") {
                info.qop = OfferedQop::parse(&text);
            } else if name.eq_ignore_ascii_case("nc") {
                info.nc = u32::from_str_radix(&text, 16).ok();
            }
        }
        info
    }
}

/// A challenge as far as it is read.
#[derive(Default)]
struct Reading {
    realm: Option<Box<str>>,
    nonce: Option<Box<str>>,
    opaque: Option<Box<str>>,
    algorithm: Option<Box<str>>,
    qop: OfferedQop,
    stale: bool,
    userhash: bool,
    is_broken: bool,
}

impl Reading {
    /// Takes a parameter; of one that stands twice the first counts.
    fn take(&mut self, name: &str, value: &[u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let place = match () {
            () if is("realm") => &mut self.realm,
            () if is("nonce") => &mut self.nonce,
            () if is("opaque") => &mut self.opaque,
            () if is("algorithm") => &mut self.algorithm,
            () => {
                let Some(text) = text_of(value) else { return };
                let is_true = text.eq_ignore_ascii_case("true");
                if is("stale") {
                    self.stale = is_true;
                } else if is("userhash") {
                    self.userhash = is_true;
                } else if is("qop") && !self.qop.given {
                    self.qop = OfferedQop::parse(&text);
                }
                return;
            }
        };
        if place.is_none() {
            *place = text_of(value);
            self.is_broken |= place.is_none();
        }
    }

    fn finish(self) -> Option<Challenge> {
        if self.is_broken {
            return None;
        }
        let named = self.algorithm.as_deref();
        Some(Challenge {
            realm: self.realm?,
            nonce: self.nonce?,
            opaque: self.opaque,
            stale: self.stale,
            algorithm: named.map_or(Some(Algorithm::MD5), Algorithm::parse),
            names_algorithm: named.is_some(),
            qop: self.qop,
            userhash: self.userhash,
        })
    }
}

/// One piece between commas: `name=value`, `Scheme name=value` or `Scheme` alone.
struct Element<'a> {
    scheme: Option<&'a str>,
    param: Option<(&'a str, &'a [u8])>,
}

impl<'a> Element<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let Some(equals) = bytes.iter().position(|&b| b == b'=') else {
            let first = bytes.split(|&b| is_space(b)).next()?;
            return Some(Self {
                scheme: Some(token(first)?),
                param: None,
            });
        };
        let (before, value) = cut_at(bytes, equals);
        let before = trim(before);
        let gap = before.iter().position(|&b| is_space(b));
        let (scheme, name) = match gap {
            Some(gap) => {
                let (scheme, name) = cut_at(before, gap);
                (Some(token(scheme)?), trim(name))
            }
            None => (None, before),
        };
        Some(Self {
            scheme,
            param: Some((token(name)?, trim(value))),
        })
    }
}

/// The pieces between commas outside quoted strings, empty ones left out.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let pieces = value.split(move |&byte| {
        let escapes = quoted && byte == b'\\' && !escaped;
        if byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = escapes;
        byte == b',' && !quoted
    });
    pieces.map(trim).filter(|piece| !piece.is_empty())
}

/// The text of a quoted string or of a bare value; nothing for what is too long, not UTF-8, or holds
/// control characters.
fn text_of(value: &[u8]) -> Option<Box<str>> {
    let bytes: Vec<u8> = match value {
        [b'"', rest @ ..] => {
            let mut plain = Vec::new();
            let mut escaped = false;
            let mut rest = unfolded(
                rest.get(..SIP_CHALLENGE_BYTES.saturating_mul(2))
                    .unwrap_or(rest),
            );
            loop {
                match rest.next()? {
                    byte if escaped => {
                        escaped = false;
                        plain.push(byte);
                    }
                    b'\\' => escaped = true,
                    b'"' => break,
                    byte => plain.push(byte),
                }
            }
            // Nothing may follow the quote.
            if rest.next().is_some() {
                return None;
            }
            plain
        }
        bare if bare.iter().any(|&b| is_space(b) || b == b'"') => return None,
        bare => bare.to_vec(),
    };
    if bytes.len() > SIP_CHALLENGE_BYTES || bytes.iter().any(u8::is_ascii_control) {
        return None;
    }
    String::from_utf8(bytes).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn one(value: &str) -> Challenge {
        let found = challenges(value.as_bytes());
        assert_eq!(found.len(), 1, "{value}: {found:?}");
        found[0].clone()
    }

    #[test]
    fn a_challenge_is_read_in_the_shapes_that_servers_write() {
        let plain = one(
            "Digest realm=\"a, \\\"b\\\" \\\\c\", nonce=\"dcd98b\", opaque=\"x\", stale=FALSE, \
             algorithm=SHA-256, qop=\"auth,auth-int\", domain=\"sip:a sip:b\", charset=UTF-8",
        );
        assert_eq!(&*plain.realm, "a, \"b\" \\c");
        assert_eq!(
            (&*plain.nonce, plain.opaque.as_deref()),
            ("dcd98b", Some("x"))
        );
        assert_eq!(plain.algorithm, Algorithm::parse("sha-256"));
        assert!(plain.names_algorithm && !plain.stale && !plain.userhash);
        assert!(plain.qop.given && plain.qop.auth && plain.qop.auth_int);

        let odd = one(
            "dIGEST  ,REALM = pbx.example ,\r\n Nonce=\"n=,\" ,stale=\"True\",\
             algorithm=\"md5-SESS\" , qop=auth-int,userhash=\"true\",,",
        );
        assert_eq!((&*odd.realm, &*odd.nonce), ("pbx.example", "n=,"));
        assert_eq!(odd.algorithm.map(Algorithm::as_str), Some("MD5-sess"));
        assert!(odd.stale && odd.userhash && odd.opaque.is_none());
        assert!(!odd.qop.auth && odd.qop.auth_int);

        let bare = one("Digest realm=\"\", nonce=\"n\", qop=\"\"");
        assert_eq!(
            (bare.algorithm, bare.names_algorithm),
            (Some(Algorithm::MD5), false)
        );
        assert!(!bare.qop.given);
    }

    #[test]
    fn several_challenges_stand_in_one_field_among_other_schemes() {
        let found = challenges(
            b"NTLM, Digest realm=\"a\", nonce=\"1\", algorithm=SHA-512-256, qop=\"auth\", \
              Basic realm=\"b\", Negotiate abc==, Digest realm=\"a\", nonce=\"2\", algorithm=AKAv1-MD5,\
              Digest nonce=\"3\", realm=\"c\"",
        );
        let read: Vec<_> = found
            .iter()
            .map(|c| (&*c.realm, &*c.nonce, c.algorithm.map(Algorithm::as_str)))
            .collect();
        let expected = [
            ("a", "1", Some("SHA-512-256")),
            ("a", "2", None),
            ("c", "3", Some("MD5")),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn what_cannot_be_trusted_is_no_challenge() {
        let long = format!(
            "Digest realm=\"a\", nonce=\"{}\"",
            "n".repeat(SIP_CHALLENGE_BYTES + 1)
        );
        for broken in [
            "",
            "Digest",
            "Digest realm=\"a\"",
            "Digest nonce=\"a\"",
            "realm=\"a\", nonce=\"b\"",
            "Digest realm=\"a\", nonce=\"b",
            "Digest realm=\"a\"x, nonce=\"b\"",
            "Digest realm=\"a\", nonce=b c",
            "Digest realm=\"a\u{7}\", nonce=\"b\"",
            "Digest realm=\"a\", nonce=\"b\", =x",
            &long,
        ] {
            assert_eq!(challenges(broken.as_bytes()).len(), 0, "{broken}");
        }
        assert_eq!(challenges(b"Digest realm=\"\xff\", nonce=\"b\"").len(), 0);
        let many = "Digest realm=\"a\", nonce=\"b\", ".repeat(SIP_CHALLENGES * 2);
        assert_eq!(challenges(many.as_bytes()).len(), SIP_CHALLENGES);
    }

    #[test]
    fn authentication_info_is_read() {
        let info = AuthenticationInfo::parse(
            b"nextnonce=\"47364c23\", qop=auth, rspauth=\"6629\", cnonce=\"0a4f\", nc=0000000a",
        );
        assert_eq!(info.nextnonce.as_deref(), Some("47364c23"));
        assert_eq!(info.rspauth.as_deref(), Some("6629"));
        assert_eq!((info.cnonce.as_deref(), info.nc), (Some("0a4f"), Some(10)));
        assert!(info.qop.auth);
        let broken = AuthenticationInfo::parse(b"nextnonce=\"\", nc=zz, ,=,\"");
        assert_eq!(broken, AuthenticationInfo::default());
    }

    #[test]
    fn no_truncation_and_no_mutation_does_harm() {
        let value = b"Digest realm=\"a, \\\"b\\\"\", nonce=\"dcd98b\", opaque=\"x\", stale=true, \
            algorithm=SHA-256, qop=\"auth,auth-int\", Digest realm=c, nonce=\"\\\\\", userhash=true";
        for end in 0..value.len() {
            let found = challenges(&value[..end]);
            assert!(found.len() <= 2);
            AuthenticationInfo::parse(&value[..end]);
        }
        let mut rng = Rng::from_number(11);
        for _ in 0..20_000 {
            let mut mutated = value.to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(mutated.len() as u32) as usize;
                match rng.below(3) {
                    0 => mutated[at] = rng.u32() as u8,
                    1 => mutated[at] = b"\"\\,= \r\n<"[rng.below(8) as usize],
                    _ => {
                        mutated.remove(at);
                    }
                }
            }
            for challenge in challenges(&mutated) {
                for text in [&challenge.realm, &challenge.nonce] {
                    assert!(!text.chars().any(|c| c.is_ascii_control()), "{challenge:?}");
                }
            }
        }
    }
}
