//! Whether and how a media line is protected by SRTP with keys in the description (RFC 4568).
//!
//! What a trunk's [`SrtpPolicy`] makes of a line of theirs:
//!
//! | offered | `off` | `tls` | `optional` | `required` |
//! |---|---|---|---|---|
//! | RTP/SAVP over TLS | refused | protected | protected | protected |
//! | RTP/SAVP otherwise | refused | refused | protected | protected |
//! | RTP/AVP with `a=crypto` over TLS | clear | protected | protected | protected |
//! | RTP/AVP with `a=crypto` otherwise | clear | clear | protected | protected |
//! | RTP/AVP | clear | clear | clear | refused |
//!
//! RTP/SAVPF and RTP/AVPF are as RTP/SAVP and RTP/AVP. The third and fourth row are the opportunistic
//! form (RFC 8643): the answer keeps RTP/AVP and takes a key up. Of two lines of a kind, the
//! protected one is used.
//!
//! A line that was protected once stays so to the end of the call: a later offer without protection
//! is refused as a whole, and the call goes on. The suite is the first of the offer that is known.
//! While the other side names the same key, both keys stay; with a new one, ours is new too.

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

use core::fmt;

use sdp_types::{Attribute, Media};

use crate::base::redact::HIDDEN;
use crate::base::rng::Rng;
use crate::base::srtp::{MasterKey, SrtpKeys, SrtpPolicy, Suite};
use crate::sdp::refusal::LineRefusal;
use crate::wire::sdp_crypto::{CryptoLine, crypto_value};
use crate::wire::sdp_media::MediaLine;

/// What decides on the protection of a call's media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SrtpTerms {
    /// What the trunk wants.
    pub policy: SrtpPolicy,
    /// Whether the descriptions of the call come and go by TLS, so that nobody reads the keys.
    pub secure: bool,
}

impl SrtpTerms {
    /// Whether keys are taken at all, else why not.
    pub(super) const fn takes_keys(self) -> Result<(), LineRefusal> {
        match self.policy {
            SrtpPolicy::Off => Err(LineRefusal::SrtpOff),
            SrtpPolicy::Tls if !self.secure => Err(LineRefusal::SrtpReadable),
            SrtpPolicy::Tls | SrtpPolicy::Optional | SrtpPolicy::Required => Ok(()),
        }
    }

    /// Whether nothing goes in the clear.
    pub(super) fn demands(self) -> bool {
        self.policy == SrtpPolicy::Required
    }
}

/// What a line of an offer of theirs has for us: a key, or `None` for media in the clear.
pub(super) fn offered_key(
    line: &MediaLine<'_>,
    terms: SrtpTerms,
    in_use: Option<&SrtpKeys>,
    was_protected: bool,
) -> Result<Option<CryptoLine>, LineRefusal> {
    let key = terms.takes_keys().and_then(|()| usable_key(line, in_use));
    match key {
        Ok(key) => Ok(Some(key)),
        Err(reason) if line.is_secure_rtp() => Err(reason),
        Err(_) if was_protected => Err(LineRefusal::Unprotected),
        Err(_) if terms.demands() => Err(LineRefusal::SrtpRequired),
        Err(_) => Ok(None),
    }
}

/// The key in use while it is among those offered, else the first that can be used.
fn usable_key(line: &MediaLine<'_>, in_use: Option<&SrtpKeys>) -> Result<CryptoLine, LineRefusal> {
    let is_in_use = |key: &CryptoLine| in_use.is_some_and(|keys| is_remote(keys, key));
    let usable = || line.crypto().filter_map(Result::ok);
    let same = usable().find(is_in_use);
    same.or_else(|| usable().next()).ok_or_else(|| {
        let mut reasons = line.crypto().filter_map(Result::err);
        LineRefusal::NoKey(reasons.next())
    })
}

/// Whether a line names the key that the other side has already.
fn is_remote(keys: &SrtpKeys, line: &CryptoLine) -> bool {
    keys.remote == line.key && keys.remote_mki == line.mki
}

/// The keys of a line whose key of theirs we take up.
pub(super) fn agreed_keys(
    theirs: &CryptoLine,
    in_use: Option<&SrtpKeys>,
    source: Option<&mut KeySource>,
) -> Result<Box<SrtpKeys>, LineRefusal> {
    let kept = in_use.filter(|keys| is_remote(keys, theirs));
    let local = match (kept, source) {
        (Some(keys), _) => keys.local.clone(),
        (None, Some(source)) => source.next(theirs.key.suite()),
        (None, None) => return Err(LineRefusal::SrtpOff),
    };
    Ok(Box::new(SrtpKeys {
        local,
        remote: theirs.key.clone(),
        remote_mki: theirs.mki,
    }))
}

/// The keys that an offer of ours has in a line, by their tags from 1: that in use first, and one of
/// every other suite.
pub(super) fn keys_to_offer(
    in_use: Option<&SrtpKeys>,
    mut source: Option<&mut KeySource>,
) -> Box<[MasterKey]> {
    let current = in_use.map(|keys| keys.local.clone());
    let others = Suite::ALL
        .into_iter()
        .filter(|suite| in_use.is_none_or(|keys| keys.suite() != *suite))
        .filter_map(|suite| source.as_mut().map(|source| source.next(suite)));
    current.into_iter().chain(others).collect()
}

/// What the answer to a line of ours makes of the keys in it.
pub(super) fn answered_keys(
    ours: &[MasterKey],
    line: &MediaLine<'_>,
) -> Result<Option<Box<SrtpKeys>>, LineRefusal> {
    if ours.is_empty() {
        return if line.is_secure_rtp() {
            Err(LineRefusal::Protocol)
        } else {
            Ok(None)
        };
    }
    let mut reason = None;
    for key in line.crypto() {
        match key {
            Ok(theirs) => {
                let tags = 1_u32..;
                let mut offered = tags.zip(ours);
                let taken = offered.find(|(tag, _)| *tag == theirs.tag);
                if let Some((_, local)) = taken.filter(|(_, l)| l.suite() == theirs.key.suite()) {
                    return Ok(Some(Box::new(SrtpKeys {
                        local: local.clone(),
                        remote: theirs.key,
                        remote_mki: theirs.mki,
                    })));
                }
            }
            Err(error) => reason = Some(error),
        }
    }
    Err(if line.crypto().next().is_none() && line.is_plain_rtp() {
        LineRefusal::SrtpRequired
    } else {
        LineRefusal::NoKey(reason)
    })
}

/// Adds our key to a section.
pub(super) fn add_key(section: &mut Media, at: usize, tag: u32, key: &MasterKey) {
    let line = Attribute {
        attribute: "crypto".to_owned(),
        value: Some(crypto_value(tag, key)),
    };
    let at = at.min(section.attributes.len());
    section.attributes.insert(at, line);
}

/// Where the keys of a call come from: each is drawn from a seed that the next one replaces.
pub(super) struct KeySource(Box<[u8; 32]>);

impl KeySource {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut seed = Box::new([0; 32]);
        rng.fill(&mut *seed);
        Self(seed)
    }

    fn next(&mut self, suite: Suite) -> MasterKey {
        let mut rng = Rng::from_seed(*self.0);
        rng.fill(&mut *self.0);
        MasterKey::random(suite, &mut rng)
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}
