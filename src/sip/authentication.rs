//! Digest authentication towards servers and proxies (RFC 3261 section 22, RFC 7616, RFC 8760).
//!
//! One [`Authenticator`] belongs to one registration, call out or ping. It takes the 401 and 407
//! responses and gives the header fields of the next request, as long as there is a point in trying.
//! Of several challenges for a realm the topmost that is known counts, the order being the server's
//! preference (RFC 8760 section 2.4). Not done: the server's proof (`rspauth`) is not checked.

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
use std::rc::Rc;

use crate::base::redact::{OneLine, Secret};
use crate::base::rng::Rng;
use crate::limits::{SIP_CHALLENGE_ROUNDS, SIP_REALMS};
use crate::wire::sip_challenge::{AuthenticationInfo, Challenge, Challenger, challenges};
use crate::wire::sip_digest::{DigestInput, Qop};
use crate::wire::sip_message::SipMessage;
use crate::wire::sip_name::HeaderName;

/// Who we are towards servers that ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user name of the authentication, often that of the address of record.
    pub username: String,
    /// The password.
    pub password: Secret<String>,
}

/// What a challenge led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request is to go again, with the header fields that [`Authenticator::headers`] gives now.
    Retry,
    /// There is no point in another try.
    Failed(AuthenticationError),
}

/// Why authentication failed; prints as words that name the realm and never the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthenticationError {
    /// The response held no challenge that could be read.
    Unreadable,
    /// The realm asks for an algorithm or protection that is not known here.
    Unsupported(Box<str>),
    /// The realm asks, and there are no credentials.
    NoCredentials(Box<str>),
    /// The realm refused user name and password.
    Refused(Box<str>),
    /// The realm kept asking for other nonces.
    Endless(Box<str>),
    /// A redirect led to a host that is not trusted with a proof of the password.
    Withheld(Box<str>),
}

impl fmt::Display for AuthenticationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, realm) = match self {
            Self::Unreadable => return f.write_str("no digest challenge that can be read"),
            Self::Unsupported(realm) => ("no known digest algorithm is offered for", realm),
            Self::NoCredentials(realm) => ("no user name and password are configured for", realm),
            Self::Refused(realm) => ("user name or password is wrong for", realm),
            Self::Endless(realm) => ("no answer is ever enough for", realm),
            Self::Withheld(realm) => (
                "a redirect led to a stranger, who gets no proof of the password for",
                realm,
            ),
        };
        write!(f, "{words} realm \"{}\"", OneLine::new(realm, REALM_SHOWN))
    }
}

/// Characters of a realm that are shown.
const REALM_SHOWN: usize = 64;

/// The credentials towards one realm.
#[derive(Debug)]
struct Realm {
    challenger: Challenger,
    challenge: Challenge,
    /// The nonce, from the challenge or from a later Authentication-Info.
    nonce: Box<str>,
    nonce_count: u32,
    cnonce: heapless::String<16>,
    qop: Option<Qop>,
    /// Requests that carried credentials since the realm was last content.
    unproven: u8,
    /// The realm was content with the password before.
    proven: bool,
}

impl Realm {
    fn is_of(&self, challenger: Challenger, realm: &str) -> bool {
        self.challenger == challenger && *self.challenge.realm == *realm
    }
}

/// Answers challenges for one chain of requests.
#[derive(Debug, Default)]
pub struct Authenticator {
    credentials: Option<Rc<Credentials>>,
    /// The realm that was added first goes when there is no room.
    realms: heapless::Vec<Box<Realm>, SIP_REALMS>,
    /// Challenges since the last request that went through.
    rounds: u8,
    /// Nothing is proven to whom the requests go now.
    withheld: bool,
}

impl Authenticator {
    /// Without credentials every challenge fails.
    pub fn new(credentials: Option<Rc<Credentials>>) -> Self {
        Self {
            credentials,
            ..Self::default()
        }
    }

    /// Takes a response of code 401 or 407.
    pub fn challenged(&mut self, response: &SipMessage<'_>, code: u16) -> Verdict {
        let (challenger, name) = match code {
            407 => (Challenger::Proxy, HeaderName::ProxyAuthenticate),
            _ => (Challenger::Server, HeaderName::WwwAuthenticate),
        };
        let offered = || response.all(name).flat_map(challenges);
        let Some(first) = offered().next() else {
            return Verdict::Failed(AuthenticationError::Unreadable);
        };
        if self.withheld {
            return Verdict::Failed(AuthenticationError::Withheld(first.realm));
        }
        if self.credentials.is_none() {
            return Verdict::Failed(AuthenticationError::NoCredentials(first.realm));
        }
        if self.rounds >= SIP_CHALLENGE_ROUNDS {
            return Verdict::Failed(AuthenticationError::Endless(first.realm));
        }
        self.rounds = self.rounds.saturating_add(1);
        // The proxies that had credentials let the request pass this far; a server behind the proxy
        // that asks now never saw its own.
        let challenged_here = |realm: &Realm| offered().any(|c| realm.is_of(challenger, &c.realm));
        for realm in &mut self.realms {
            if realm.challenger == Challenger::Proxy
                && realm.unproven > 0
                && !challenged_here(realm)
            {
                realm.unproven = 0;
                realm.proven = true;
            }
            if (realm.challenger, challenger) == (Challenger::Server, Challenger::Proxy) {
                realm.unproven = realm.unproven.saturating_sub(1);
            }
        }
        let mut taken: heapless::Vec<Box<str>, SIP_REALMS> = heapless::Vec::new();
        let mut failure = AuthenticationError::Unsupported(first.realm);
        for challenge in offered() {
            let is_known = challenge.algorithm.is_some();
            let (true, Ok(qop)) = (is_known, Qop::choose(&challenge)) else {
                continue;
            };
            if taken.contains(&challenge.realm) {
                continue;
            }
            let realm = challenge.realm.clone();
            match self.take(challenger, challenge, qop) {
                Ok(()) => {
                    // More realms than there is room for wait for the next round.
                    if taken.push(realm).is_err() {
                        break;
                    }
                }
                Err(error) => {
                    failure = error;
                    break;
                }
            }
        }
        let refused = matches!(
            failure,
            AuthenticationError::Refused(_) | AuthenticationError::Endless(_)
        );
        if refused || taken.is_empty() {
            Verdict::Failed(failure)
        } else {
            Verdict::Retry
        }
    }

    /// Notes a final response that is no challenge: the credentials did. `Authentication-Info` of it
    /// may bring another nonce.
    pub fn accepted(&mut self, response: &SipMessage<'_>) {
        self.rounds = 0;
        for realm in &mut self.realms {
            realm.proven |= realm.unproven > 0;
            realm.unproven = 0;
        }
        for (challenger, name) in [
            (Challenger::Server, "Authentication-Info"),
            (Challenger::Proxy, "Proxy-Authentication-Info"),
        ] {
            let Some(value) = response.headers().all_named(name).next() else {
                continue;
            };
            // It names no realm: it is clear whose it is where there is one alone.
            let mut realms = self
                .realms
                .iter_mut()
                .filter(|r| r.challenger == challenger);
            let (Some(realm), None) = (realms.next(), realms.next()) else {
                continue;
            };
            let is_session = realm.challenge.algorithm.is_some_and(|a| a.is_session());
            if let Some(nonce) = AuthenticationInfo::parse(value).nextnonce
                && !is_session
                && nonce != realm.nonce
            {
                realm.nonce = nonce;
                realm.nonce_count = 0;
            }
        }
    }

    /// Whether a realm has yet to show what it thinks of the credentials that were sent.
    pub fn is_undecided(&self) -> bool {
        self.realms
            .iter()
            .any(|realm| realm.unproven > 0 && !realm.proven)
    }

    /// The requests go on to a host that was not named by the owner: it gets no proof of the password,
    /// which could be guessed from one.
    pub fn withhold(&mut self) {
        self.withheld = true;
        self.realms.clear();
    }

    /// Whether proofs are withheld.
    pub fn is_withheld(&self) -> bool {
        self.withheld
    }

    /// Begins a new chain of requests after one that failed for another reason. What is known of the
    /// realms is kept.
    pub fn restart(&mut self) {
        self.rounds = 0;
        for realm in &mut self.realms {
            realm.unproven = 0;
        }
    }

    /// The header fields that the next request carries besides its own: none before a challenge.
    /// `method`, `uri` and `body` are those of the request, the URI just as it is printed.
    pub fn headers(
        &mut self,
        method: &str,
        uri: &str,
        body: &[u8],
        rng: &mut Rng,
    ) -> heapless::Vec<rsip::Header, SIP_REALMS> {
        let mut headers = heapless::Vec::new();
        let Some(credentials) = &self.credentials else {
            return headers;
        };
        for realm in &mut self.realms {
            realm.nonce_count = realm.nonce_count.saturating_add(1);
            realm.unproven = realm.unproven.saturating_add(1);
            let keeps_cnonce = realm.challenge.algorithm.is_some_and(|a| a.is_session());
            if realm.cnonce.is_empty() || !keeps_cnonce {
                realm.cnonce = rng.token();
            }
            let input = DigestInput {
                challenge: &realm.challenge,
                nonce: &realm.nonce,
                username: &credentials.username,
                password: credentials.password.expose(),
                method,
                uri,
                body,
                qop: realm.qop,
                cnonce: &realm.cnonce,
                nonce_count: realm.nonce_count,
            };
            let Some(value) = input.credentials() else {
                continue;
            };
            let header = match realm.challenger {
                Challenger::Server => rsip::Header::Authorization(value.into()),
                Challenger::Proxy => rsip::Header::ProxyAuthorization(value.into()),
            };
            // There are as many places as realms.
            let _ = headers.push(header);
        }
        headers
    }

    fn take(
        &mut self,
        challenger: Challenger,
        challenge: Challenge,
        qop: Option<Qop>,
    ) -> Result<(), AuthenticationError> {
        let known = self
            .realms
            .iter()
            .position(|r| r.is_of(challenger, &challenge.realm));
        let mut proven = false;
        if let Some(known) = known.and_then(|at| self.realms.get(at)) {
            let same_nonce = known.nonce == challenge.nonce;
            // A server that forgets its nonces often does not say `stale`: a password that was right
            // before is tried once more with the new nonce.
            let forgiven =
                !same_nonce && (challenge.stale || (known.proven && known.unproven == 1));
            if known.unproven > 0 && !forgiven {
                // One that is stale and handed out again never will be anything else.
                return Err(if challenge.stale {
                    AuthenticationError::Endless(challenge.realm)
                } else {
                    AuthenticationError::Refused(challenge.realm)
                });
            }
            proven = known.proven && known.unproven == 0;
        }
        if let Some(at) = known {
            self.realms.remove(at);
        } else if self.realms.is_full() {
            self.realms.remove(0);
        }
        let realm = Realm {
            challenger,
            nonce: challenge.nonce.clone(),
            challenge,
            nonce_count: 0,
            cnonce: heapless::String::new(),
            qop,
            unproven: 0,
            proven,
        };
        // Room was made above.
        let _ = self.realms.push(Box::new(realm));
        Ok(())
    }
}
