//! Who may use the interface: everybody where no password is set, else who knows it.
//!
//! A password that does not fit costs its address one of a few tries; without any left it waits,
//! and so does somebody there who knows the password. A request without one costs nothing, as
//! browsers ask first.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::IpAddr;
use core::time::Duration;

use ring::hmac;

use crate::base::network::Network;
use crate::base::redact::Secret;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::limits::{HTTP_LOGIN_ADDRESSES, HTTP_LOGIN_TRIES};
use crate::wire::http_auth;

/// How long failed logins of an address count.
pub const LOGIN_WINDOW: Duration = Duration::from_secs(60);

/// What the guard says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Open,
    /// It brought no password that could be read.
    Missing,
    /// Its password is another; whether this was the last try of its address.
    Wrong {
        /// No try is left.
        last: bool,
    },
    /// Its address has to wait for so many seconds.
    Locked(u64),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    address: Network,
    count: u32,
    last: Instant,
}

/// The guard and what it remembers.
pub struct Guard {
    /// Of no meaning outside: passwords are compared by their codes under it.
    key: hmac::Key,
    failures: heapless::Vec<Failures, HTTP_LOGIN_ADDRESSES>,
}

impl Guard {
    /// A guard that remembers nobody.
    pub fn new(rng: &mut Rng) -> Self {
        let mut key = [0; 32];
        rng.fill(&mut key);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            failures: heapless::Vec::new(),
        }
    }

    /// Whether a request with this `Authorization` may pass. The time taken tells nothing of the
    /// password but its length.
    pub fn judge(
        &mut self,
        now: Instant,
        from: IpAddr,
        field: Option<&str>,
        password: Option<&Secret<String>>,
    ) -> Verdict {
        let Some(password) = password else {
            return Verdict::Open;
        };
        if let Some(seconds) = self.locked(now, from) {
            return Verdict::Locked(seconds);
        }
        let Some(given) = field.and_then(http_auth::password) else {
            return Verdict::Missing;
        };
        let given = hmac::sign(&self.key, given.expose());
        if hmac::verify(&self.key, password.expose().as_bytes(), given.as_ref()).is_ok() {
            return Verdict::Open;
        }
        Verdict::Wrong {
            last: self.failed(now, from),
        }
    }

    /// For how many seconds an address has to wait before its next try, if it has.
    pub fn locked(&mut self, now: Instant, from: IpAddr) -> Option<u64> {
        self.failures
            .retain(|failures| now.since(failures.last) < LOGIN_WINDOW);
        let from = neighbourhood(from);
        let known = self.failures.iter().find(|it| it.address == from);
        let failures = known.filter(|failures| failures.count >= HTTP_LOGIN_TRIES)?;
        let waited = now.since(failures.last);
        Some(LOGIN_WINDOW.saturating_sub(waited).as_secs().max(1))
    }

    /// Notes a try that failed, or that is not known to have succeeded yet; whether it was the last
    /// one of its address.
    pub fn failed(&mut self, now: Instant, from: IpAddr) -> bool {
        let from = neighbourhood(from);
        let known = self.failures.iter_mut().find(|it| it.address == from);
        let count = match known {
            Some(failures) => {
                failures.count = failures.count.saturating_add(1);
                failures.last = now;
                failures.count
            }
            None => {
                self.remember(now, from);
                1
            }
        };
        count >= HTTP_LOGIN_TRIES
    }

    /// Takes back one try that was noted as failed and was not.
    pub fn succeeded(&mut self, from: IpAddr) {
        let from = neighbourhood(from);
        if let Some(failures) = self.failures.iter_mut().find(|it| it.address == from) {
            failures.count = failures.count.saturating_sub(1);
        }
    }

    fn remember(&mut self, now: Instant, address: Network) {
        if self.failures.is_full() {
            let places = self.failures.iter().enumerate();
            let oldest = places.min_by_key(|(_, failures)| failures.last);
            if let Some(at) = oldest.map(|(at, _)| at) {
                self.failures.swap_remove(at);
            }
        }
        let failures = Failures {
            address,
            count: 1,
            last: now,
        };
        // There is room: the oldest gave way.
        let _ = self.failures.push(failures);
    }
}

/// An IPv4 address, or the network that somebody with an IPv6 address has for himself.
fn neighbourhood(address: IpAddr) -> Network {
    match address {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & !u128::from(u64::MAX);
            Network::host(IpAddr::V6(network.into()))
        }
        IpAddr::V4(_) => Network::host(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: [u8; 4] = [192, 0, 2, 1];

    fn judge(guard: &mut Guard, seconds: u64, from: impl Into<IpAddr>, field: &str) -> Verdict {
        let password = Secret::new("hunter2".to_owned());
        let field = Some(field).filter(|field| !field.is_empty());
        let now = Instant::from_millis(seconds * 1_000);
        guard.judge(now, from.into(), field, Some(&password))
    }

    fn guard() -> Guard {
        Guard::new(&mut Rng::from_number(3))
    }

    #[test]
    fn without_a_password_everybody_passes() {
        let verdict = guard().judge(Instant::ZERO, HOME.into(), None, None);
        assert_eq!(verdict, Verdict::Open);
    }

    #[test]
    fn the_password_passes_as_basic_and_as_bearer() {
        let mut guard = guard();
        for (field, verdict) in [
            ("Bearer hunter2", Verdict::Open),
            ("Basic YW55Ym9keTpodW50ZXIy", Verdict::Open),
            ("Bearer hunter", Verdict::Wrong { last: false }),
            ("Bearer hunter22", Verdict::Wrong { last: false }),
            ("", Verdict::Missing),
            ("Digest hunter2", Verdict::Missing),
        ] {
            assert_eq!(judge(&mut guard, 0, HOME, field), verdict, "{field}");
        }
    }

    #[test]
    fn an_address_without_tries_waits_and_others_do_not() {
        let mut guard = guard();
        for attempt in 1..=u64::from(HTTP_LOGIN_TRIES) {
            let last = attempt == u64::from(HTTP_LOGIN_TRIES);
            let verdict = judge(&mut guard, attempt, HOME, "Bearer guess");
            assert_eq!(verdict, Verdict::Wrong { last });
        }
        let verdict = judge(&mut guard, 10, HOME, "Bearer hunter2");
        assert_eq!(verdict, Verdict::Locked(55));
        let other = judge(&mut guard, 10, [192, 0, 2, 2], "Bearer hunter2");
        assert_eq!(other, Verdict::Open);
        let later = judge(&mut guard, 65, HOME, "Bearer hunter2");
        assert_eq!(later, Verdict::Open);
    }

    #[test]
    fn requests_without_a_password_cost_no_try() {
        let mut guard = guard();
        for _ in 0..100 {
            assert_eq!(judge(&mut guard, 1, HOME, ""), Verdict::Missing);
        }
        assert_eq!(judge(&mut guard, 1, HOME, "Bearer hunter2"), Verdict::Open);
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_their_tries() {
        let mut guard = guard();
        for host in 0..u128::from(HTTP_LOGIN_TRIES) {
            let from = IpAddr::V6((0x2001_0db8_u128 << 96 | host).into());
            judge(&mut guard, 1, from, "Bearer guess");
        }
        let from: IpAddr = "2001:db8::ffff".parse().unwrap();
        let verdict = judge(&mut guard, 1, from, "Bearer hunter2");
        assert!(matches!(verdict, Verdict::Locked(_)), "{verdict:?}");
        let from: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        assert_eq!(judge(&mut guard, 1, from, "Bearer hunter2"), Verdict::Open);
    }

    #[test]
    fn a_try_that_succeeded_is_taken_back() {
        let mut guard = guard();
        let from = IpAddr::from(HOME);
        let now = Instant::from_millis(1_000);
        for _ in 0..100 {
            assert_eq!(guard.locked(now, from), None);
            assert!(!guard.failed(now, from));
            guard.succeeded(from);
        }
        for attempt in 1..=HTTP_LOGIN_TRIES {
            assert_eq!(guard.failed(now, from), attempt == HTTP_LOGIN_TRIES);
        }
        assert_eq!(guard.locked(now, from), Some(60));
        guard.succeeded(from);
        assert_eq!(guard.locked(now, from), None);
    }

    #[test]
    fn many_addresses_do_not_fill_the_memory() {
        let mut guard = guard();
        for at in 0..10 * HTTP_LOGIN_ADDRESSES as u32 {
            judge(&mut guard, 1, at.to_be_bytes(), "Bearer guess");
        }
        assert_eq!(guard.failures.len(), HTTP_LOGIN_ADDRESSES);
    }
}
