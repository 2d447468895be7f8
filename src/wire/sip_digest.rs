//! Digest access authentication: the credentials that answer a challenge (RFC 7616, RFC 2617,
//! RFC 3261 section 22.4, RFC 8760).
//!
//! MD5, SHA-256 and SHA-512/256, each with its session variant; qop `auth`, `auth-int` and none.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt::Write as _;

use md5::{Digest as _, Md5};
use ring::digest::{SHA256, SHA512_256, digest};

use super::sip_challenge::Challenge;

/// A hash function and whether the password's part is hashed anew for every session (`-sess`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithm {
    hash: Hash,
    session: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha256,
    Sha512Of256,
}

impl Algorithm {
    /// What a challenge means that names none.
    pub const MD5: Self = Self {
        hash: Hash::Md5,
        session: false,
    };

    const KNOWN: [(&'static str, Hash); 3] = [
        ("MD5", Hash::Md5),
        ("SHA-256", Hash::Sha256),
        ("SHA-512-256", Hash::Sha512Of256),
    ];

    /// Reads a name in any case; nothing for one that is not known.
    pub fn parse(name: &str) -> Option<Self> {
        let (base, session) = match name
            .len()
            .checked_sub(5)
            .and_then(|at| name.split_at_checked(at))
        {
            Some((base, suffix)) if suffix.eq_ignore_ascii_case("-sess") => (base, true),
            _ => (name, false),
        };
        let mut known = Self::KNOWN.iter();
        let (_, hash) = known.find(|(name, _)| name.eq_ignore_ascii_case(base))?;
        Some(Self {
            hash: *hash,
            session,
        })
    }

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match (self.hash, self.session) {
            (Hash::Md5, false) => "MD5",
            (Hash::Md5, true) => "MD5-sess",
            (Hash::Sha256, false) => "SHA-256",
            (Hash::Sha256, true) => "SHA-256-sess",
            (Hash::Sha512Of256, false) => "SHA-512-256",
            (Hash::Sha512Of256, true) => "SHA-512-256-sess",
        }
    }

    /// Whether the password's part belongs to one session.
    pub const fn is_session(self) -> bool {
        self.session
    }

    /// The hash of pieces with colons between them, in lower-case hexadecimal digits.
    pub fn hash(self, pieces: &[&[u8]]) -> String {
        let whole = pieces.join(&b':');
        match self.hash {
            Hash::Md5 => hexadecimal(&Md5::digest(&whole)),
            Hash::Sha256 => hexadecimal(digest(&SHA256, &whole).as_ref()),
            Hash::Sha512Of256 => hexadecimal(digest(&SHA512_256, &whole).as_ref()),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        // A String takes all that is written to it.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What is protected besides the request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qop {
    /// Nothing: `auth`.
    Auth,
    /// The body: `auth-int`.
    AuthInt,
}

impl Qop {
    /// What a challenge is answered with: `auth` where it may be. `Ok(None)` where the challenge says
    /// nothing, `Err` where it offers nothing that is known.
    pub fn choose(challenge: &Challenge) -> Result<Option<Self>, UnknownQop> {
        match challenge.qop {
            offered if !offered.given => Ok(None),
            offered if offered.auth => Ok(Some(Self::Auth)),
            offered if offered.auth_int => Ok(Some(Self::AuthInt)),
            _ => Err(UnknownQop),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

/// A challenge offers no `qop` that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownQop;

/// All that the credentials of one request are made of.
#[derive(Clone, Copy)]
pub struct DigestInput<'a> {
    /// The challenge that is answered; its algorithm is known.
    pub challenge: &'a Challenge,
    /// The nonce, where another one has come since.
    pub nonce: &'a str,
    /// The user name.
    pub username: &'a str,
    /// The password.
    pub password: &'a str,
    /// The method of the request.
    pub method: &'a str,
    /// The Request-URI as it is printed.
    pub uri: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// What is protected.
    pub qop: Option<Qop>,
    /// Our own nonce; of a session algorithm the one that the session began with.
    pub cnonce: &'a str,
    /// How often the nonce was used, this time included.
    pub nonce_count: u32,
}

impl DigestInput<'_> {
    /// The response: hexadecimal digits (RFC 7616 section 3.4.1). Nothing when the algorithm is not
    /// known.
    pub fn response(&self) -> Option<String> {
        let algorithm = self.challenge.algorithm?;
        let realm = self.challenge.realm.as_bytes();
        let mut ha1 = algorithm.hash(&[self.username.as_bytes(), realm, self.password.as_bytes()]);
        if algorithm.session {
            let (nonce, cnonce) = (self.nonce.as_bytes(), self.cnonce.as_bytes());
            ha1 = algorithm.hash(&[ha1.as_bytes(), nonce, cnonce]);
        }
        let (method, uri) = (self.method.as_bytes(), self.uri.as_bytes());
        let ha2 = match self.qop {
            Some(Qop::AuthInt) => {
                let body = algorithm.hash(&[self.body]);
                algorithm.hash(&[method, uri, body.as_bytes()])
            }
            _ => algorithm.hash(&[method, uri]),
        };
        let (ha1, nonce, ha2) = (ha1.as_bytes(), self.nonce.as_bytes(), ha2.as_bytes());
        Some(match self.qop {
            Some(qop) => {
                let count = format!("{:08x}", self.nonce_count);
                let cnonce = self.cnonce.as_bytes();
                let qop = qop.as_str().as_bytes();
                algorithm.hash(&[ha1, nonce, count.as_bytes(), cnonce, qop, ha2])
            }
            None => algorithm.hash(&[ha1, nonce, ha2]),
        })
    }

    /// The value of Authorization or Proxy-Authorization. Quoted is what RFC 3261 section 25.1 quotes,
    /// and nothing else: `algorithm`, `qop`, `nc` and `userhash` stand bare.
    pub fn credentials(&self) -> Option<String> {
        let response = self.response()?;
        let challenge = self.challenge;
        let algorithm = challenge.algorithm?;
        let realm = challenge.realm.as_bytes();
        let hashed = challenge
            .userhash
            .then(|| algorithm.hash(&[self.username.as_bytes(), realm]));
        let username = hashed.as_deref().unwrap_or(self.username);
        let mut value = String::from("Digest ");
        quoted(&mut value, "username", username);
        for (name, text) in [
            ("realm", &*challenge.realm),
            ("nonce", self.nonce),
            ("uri", self.uri),
            ("response", &response),
        ] {
            value.push_str(", ");
            quoted(&mut value, name, text);
        }
        if challenge.names_algorithm {
            value.push_str(", algorithm=");
            value.push_str(algorithm.as_str());
        }
        if self.qop.is_some() || algorithm.session {
            value.push_str(", ");
            quoted(&mut value, "cnonce", self.cnonce);
        }
        if let Some(opaque) = &challenge.opaque {
            value.push_str(", ");
            quoted(&mut value, "opaque", opaque);
        }
        if let Some(qop) = self.qop {
            // A String takes all that is written to it.
            let _ = write!(value, ", qop={}, nc={:08x}", qop.as_str(), self.nonce_count);
        }
        if hashed.is_some() {
            value.push_str(", userhash=true");
        }
        Some(value)
    }
}

fn quoted(value: &mut String, name: &str, text: &str) {
    value.push_str(name);
    value.push_str("=\"");
    for char in text.chars() {
        if matches!(char, '"' | '\\') {
            value.push('\\');
        }
        value.push(char);
    }
    value.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sip_challenge::challenges;

    fn challenge(value: &str) -> Challenge {
        challenges(value.as_bytes())[0].clone()
    }

    fn input(challenge: &Challenge) -> DigestInput<'_> {
        DigestInput {
            challenge,
            nonce: &challenge.nonce,
            username: "Mufasa",
            password: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            body: b"",
            qop: Qop::choose(challenge).unwrap(),
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            nonce_count: 1,
        }
    }

    #[test]
    fn rfc_2617_section_3_5() {
        let challenge = challenge(
            "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        );
        let input = DigestInput {
            password: "Circle Of Life",
            cnonce: "0a4f113b",
            ..input(&challenge)
        };
        assert_eq!(
            input.credentials().unwrap(),
            "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", \
             response=\"6629fae49393a05397450978507c4ef1\", cnonce=\"0a4f113b\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\", qop=auth, nc=00000001"
        );
        // RFC 2069: no qop.
        let old = DigestInput { qop: None, ..input };
        let response = old.response();
        assert_eq!(
            response.as_deref(),
            Some("670fd8c2df070c60b045671b8b24ff02")
        );
        assert!(!old.credentials().unwrap().contains("nonce=\"0a"));
    }

    #[test]
    fn rfc_7616_section_3_9_1() {
        for (algorithm, expected) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let challenge = challenge(&format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
                 algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\""
            ));
            let input = input(&challenge);
            assert_eq!(input.response().as_deref(), Some(expected));
            let named = format!("algorithm={algorithm}, ");
            assert!(input.credentials().unwrap().contains(&named));
        }
    }

    /// With the values of erratum 4897: those of the RFC's text are of another hash function.
    #[test]
    fn rfc_7616_section_3_9_2() {
        let challenge = challenge(
            "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
             nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
             opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", charset=UTF-8, userhash=true",
        );
        let input = DigestInput {
            username: "J\u{e4}s\u{f8}n Doe",
            password: "Secret, or not?",
            uri: "/doe.json",
            cnonce: "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
            ..input(&challenge)
        };
        let value = input.credentials().unwrap();
        for part in [
            "username=\"793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b\"",
            "response=\"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5\"",
            ", userhash=true",
        ] {
            assert!(value.contains(part), "{value}");
        }
    }

    #[test]
    fn every_algorithm_and_protection_gives_what_another_program_computed() {
        for (algorithm, qop, expected) in [
            ("MD5", "", "65cb0ae6a456f8b3f33546b6cdcf5b5d"),
            ("MD5-sess", "", "106646f964847e0a061e446566ab5736"),
            ("MD5", "auth", "b6f0b6c7b66bc6ba547ff803c8f27d49"),
            ("MD5-sess", "auth", "f8319db3a891ab0b76f2ade2a29888db"),
            ("MD5", "auth-int", "a35a3f525a85c80114cf6dc9e23ef7c6"),
            ("MD5-sess", "auth-int", "75e5d81c357c0b690fee876db99fd4e0"),
            (
                "SHA-256",
                "",
                "9c576343f1e100df63f32068e81c64f2bc7016d5baaef7381596044898020f69",
            ),
            (
                "SHA-256-sess",
                "auth",
                "a89168d883cfcb33b317eb871ae3a36852f025d7784d12f91d3d7649d59a9433",
            ),
            (
                "SHA-256",
                "auth-int",
                "bea8efc7ed8219a3dd955ef266a9324a860532601ca91d65db0ce003e72e3078",
            ),
            (
                "SHA-512-256",
                "auth",
                "427a2f129f5fb0e5cec1a2d000708d57a0c404947e3700e36eb880fdb2d6edab",
            ),
            (
                "SHA-512-256-sess",
                "auth-int",
                "b5a5680762f252bc473243e81a8275877ea298565cac486c99021cab2ddc98d5",
            ),
        ] {
            let challenge = challenge(&format!(
                "Digest realm=\"pbx.example\", nonce=\"abcd1234\", algorithm={algorithm}, qop=\"{qop}\""
            ));
            let input = DigestInput {
                username: "1000",
                password: "s3cret",
                method: "REGISTER",
                uri: "sip:pbx.example",
                body: b"v=0\r\n",
                cnonce: "0a4f113b",
                nonce_count: 11,
                ..input(&challenge)
            };
            assert_eq!(
                input.response().as_deref(),
                Some(expected),
                "{algorithm} {qop}"
            );
            let value = input.credentials().unwrap();
            // A session needs its client nonce even where nothing is protected.
            let has_cnonce = !qop.is_empty() || algorithm.ends_with("-sess");
            assert_eq!(value.contains("cnonce=\"0a4f113b\""), has_cnonce, "{value}");
            assert_eq!(value.contains(", nc=0000000b"), !qop.is_empty(), "{value}");
            assert!(value.contains(qop) && !value.contains("qop=\""), "{value}");
        }
    }

    #[test]
    fn quotes_and_backslashes_go_back_escaped() {
        let challenge = challenge("Digest realm=\"a\\\"b\\\\c\", nonce=\"n\"");
        let input = DigestInput {
            username: "a\"b",
            ..input(&challenge)
        };
        let value = input.credentials().unwrap();
        assert!(value.starts_with("Digest username=\"a\\\"b\", realm=\"a\\\"b\\\\c\", "));
    }

    #[test]
    fn unknown_names_are_told() {
        for name in ["", "SHA256", "MD5-", "-sess", "MD5-sess-sess", "AKAv1-MD5"] {
            assert_eq!(Algorithm::parse(name), None, "{name}");
        }
        for name in ["md5", "MD5-sess", "sha-256-SESS", "SHA-512-256"] {
            let known = Algorithm::parse(name).unwrap();
            assert!(known.as_str().eq_ignore_ascii_case(name));
            assert_eq!(
                known.is_session(),
                name.len() > 5 && name.to_lowercase().ends_with("sess")
            );
        }
        let odd = challenge("Digest realm=\"a\", nonce=\"b\", qop=\"auth-conf\"");
        assert_eq!(Qop::choose(&odd), Err(UnknownQop));
    }
}
