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
