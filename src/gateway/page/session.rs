//! Who has signed in: a fixed table of sessions, each known by a token that only its browser has.
//!
//! A token is 256 random bits. The table keeps its code under a key of this run, and codes are compared
//! in constant time, so that the time of an answer tells nothing of tokens. A session ends when nobody
//! used it for [`IDLE`], at the latest after [`LIFE`], and with the program.

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
use core::time::Duration;

use ring::hmac;

use crate::base::redact::Secret;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::limits::PAGE_SESSIONS;

/// How long a session lasts that nobody uses.
pub const IDLE: Duration = Duration::from_secs(12 * 3_600);

/// How long a session lasts at most.
pub const LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Bytes of a token.
const TOKEN_BYTES: usize = 32;

/// Cookies of one name that are looked at in one request.
const COOKIES: usize = 4;

#[derive(Clone, Copy)]
struct Session {
    code: [u8; 32],
    began: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.since(self.used) >= IDLE || now.since(self.began) >= LIFE
    }
}

/// Every session.
pub struct Sessions {
    key: hmac::Key,
    places: heapless::Vec<Session, PAGE_SESSIONS>,
}

impl Sessions {
    /// Nobody has signed in.
    pub fn new(rng: &mut Rng) -> Self {
        let mut key = [0; 32];
        rng.fill(&mut key);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            places: heapless::Vec::new(),
        }
    }

    /// Begins a session: its token. Where all places are taken, the one that was used longest ago
    /// ends.
    pub fn begin(&mut self, now: Instant, rng: &mut Rng) -> Secret<String> {
        self.expire(now);
        if self.places.is_full() {
            let places = self.places.iter().enumerate();
            let oldest = places.min_by_key(|(_, session)| session.used);
            if let Some(at) = oldest.map(|(at, _)| at) {
                self.places.swap_remove(at);
            }
        }
        let mut token = [0; TOKEN_BYTES];
        rng.fill(&mut token);
        let mut text = String::with_capacity(2 * TOKEN_BYTES);
        for byte in token {
            // Writing to memory does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        let session = Session {
            code: self.code(&text),
            began: now,
            used: now,
        };
        // There is room: the oldest gave way.
        let _ = self.places.push(session);
        Secret::new(text)
    }

    /// Whether a request with this `Cookie` field is of somebody who has signed in, who is active by
    /// that.
    pub fn knows(&mut self, now: Instant, cookies: Option<&str>, name: &str) -> bool {
        self.expire(now);
        match self.find(cookies, name) {
            Some(at) => {
                if let Some(session) = self.places.get_mut(at) {
                    session.used = now;
                }
                true
            }
            None => false,
        }
    }

    /// Ends the session of a request, if it has one.
    pub fn end(&mut self, cookies: Option<&str>, name: &str) {
        if let Some(at) = self.find(cookies, name) {
            self.places.swap_remove(at);
        }
    }

    /// Ends every session.
    pub fn end_all(&mut self) {
        self.places.clear();
    }

    /// How many there are, those included whose end nobody has noticed yet.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// The same as [`Self::knows`], without being active by it.
    pub fn knew(&self, now: Instant, cookies: Option<&str>, name: &str) -> bool {
        let found = self.find(cookies, name).and_then(|at| self.places.get(at));
        found.is_some_and(|session| !session.is_over(now))
    }

    fn expire(&mut self, now: Instant) {
        self.places.retain(|session| !session.is_over(now));
    }

    fn find(&self, cookies: Option<&str>, name: &str) -> Option<usize> {
        let mut found = None;
        for token in tokens(cookies?, name).take(COOKIES) {
            let code = self.code(token);
            for (at, session) in self.places.iter().enumerate() {
                if is_same(&session.code, &code) {
                    found = Some(at);
                }
            }
        }
        found
    }

    fn code(&self, token: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.key, token.as_bytes());
        let mut code = [0; 32];
        for (to, from) in code.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        code
    }
}

/// Compares in a time that does not depend on where codes differ.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differ = one.iter().zip(other);
    let differ = differ.fold(0, |differ, (a, b)| differ | (a ^ b));
    core::hint::black_box(differ) == 0
}

/// Values of a name in a `Cookie` field (RFC 6265, section 4.2.1) that have the form of a token.
fn tokens<'a>(cookies: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = cookies.split(';').filter_map(move |pair| {
        let (known, value) = pair.trim().split_once('=')?;
        (known == name).then_some(value)
    });
    pairs.filter(|value| {
        value.len() == 2 * TOKEN_BYTES && value.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "trunkcast";

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    fn sessions() -> (Sessions, Rng) {
        let mut rng = Rng::from_number(1);
        (Sessions::new(&mut rng), rng)
    }

    fn cookie(token: &Secret<String>) -> String {
        format!("a=b; {NAME}={}; c", token.expose())
    }

    #[test]
    fn a_session_is_known_by_its_token_and_by_nothing_else() {
        let (mut sessions, mut rng) = sessions();
        let token = sessions.begin(at(0), &mut rng);
        assert_eq!(token.expose().len(), 64);
        let cookie = cookie(&token);
        assert!(sessions.knows(at(1), Some(&cookie), NAME));
        assert!(!sessions.knows(at(1), Some(&cookie), "__Host-trunkcast"));
        assert!(!sessions.knows(at(1), None, NAME));
        for at_byte in 0..64 {
            let mut other = token.expose().clone().into_bytes();
            other[at_byte] = if other[at_byte] == b'0' { b'1' } else { b'0' };
            let other = format!("{NAME}={}", String::from_utf8(other).unwrap());
            assert!(!sessions.knows(at(1), Some(&other), NAME), "{other}");
        }
        for length in 0..cookie.len() - 3 {
            let cut = cookie.get(..length).unwrap();
            assert!(!sessions.knows(at(1), Some(cut), NAME), "{cut}");
        }
    }

    #[test]
    fn a_forged_cookie_beside_the_right_one_locks_nobody_out() {
        let (mut sessions, mut rng) = sessions();
        let token = sessions.begin(at(0), &mut rng);
        let both = format!("{NAME}={}; {}", "0".repeat(64), cookie(&token));
        assert!(sessions.knows(at(1), Some(&both), NAME));
    }

    #[test]
    fn a_session_ends_unused_and_at_the_end_of_its_life() {
        let (mut sessions, mut rng) = sessions();
        let token = sessions.begin(at(0), &mut rng);
        let cookie = cookie(&token);
        let idle = IDLE.as_secs();
        assert!(sessions.knows(at(idle - 1), Some(&cookie), NAME));
        assert!(sessions.knows(at(2 * idle - 2), Some(&cookie), NAME));
        assert!(!sessions.knows(at(3 * idle - 2), Some(&cookie), NAME));
        assert_eq!(sessions.count(), 0);

        let token = sessions.begin(at(0), &mut rng);
        let cookie = self::cookie(&token);
        let life = LIFE.as_secs();
        let mut time = 0;
        while time + idle / 2 < life {
            time += idle / 2;
            assert!(sessions.knows(at(time), Some(&cookie), NAME), "{time}");
        }
        assert!(!sessions.knows(at(life), Some(&cookie), NAME));
    }

    #[test]
    fn the_session_used_longest_ago_gives_way_and_the_table_does_not_grow() {
        let (mut sessions, mut rng) = sessions();
        let first = cookie(&sessions.begin(at(0), &mut rng));
        let second = cookie(&sessions.begin(at(1), &mut rng));
        assert!(sessions.knows(at(2), Some(&first), NAME));
        for time in 0..PAGE_SESSIONS as u64 - 1 {
            sessions.begin(at(3 + time), &mut rng);
        }
        assert!(!sessions.knows(at(99), Some(&second), NAME));
        assert!(sessions.knows(at(99), Some(&first), NAME));
        assert_eq!(sessions.count(), PAGE_SESSIONS);
    }

    #[test]
    fn an_ended_session_stays_ended() {
        let (mut sessions, mut rng) = sessions();
        let one = cookie(&sessions.begin(at(0), &mut rng));
        let other = cookie(&sessions.begin(at(0), &mut rng));
        sessions.end(Some(&one), NAME);
        assert!(!sessions.knows(at(1), Some(&one), NAME));
        assert!(sessions.knows(at(1), Some(&other), NAME));
        sessions.end_all();
        assert!(!sessions.knows(at(1), Some(&other), NAME));
    }

    #[test]
    fn no_cookie_breaks_it() {
        let (mut sessions, mut rng) = sessions();
        let token = cookie(&sessions.begin(at(0), &mut rng));
        for seed in 0..2_000 {
            let mut rng = Rng::from_number(seed);
            let mut bytes = token.clone().into_bytes();
            let place = rng.below(bytes.len() as u32) as usize;
            bytes[place] = rng.below(128) as u8;
            let text = String::from_utf8(bytes).unwrap();
            let known = sessions.knows(at(1), Some(&text), NAME);
            assert!(
                !known || text.contains(&token[5..token.len() - 3]),
                "{text}"
            );
        }
    }
}
