//! The way in: from where the page may be reached, which requests a browser may have been tricked
//! into, and how often passwords may be tried.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::{IpAddr, Ipv6Addr};

use embedded_svc::http::Headers;

use crate::base::redact::Secret;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::config::Page;
use crate::gateway::http::connection::Face;
use crate::gateway::http::exchange::Exchange;
use crate::gateway::http::guard::{Guard, LOGIN_WINDOW};
use crate::gateway::page::Reply;
use crate::gateway::page::session::{LIFE, Sessions};
use crate::limits::{PAGE_LOGIN_TRIES, PAGE_LOGINS};
use crate::wire::http::Head;

/// What the page did and refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageCounters {
    /// Connections from networks that may not reach it.
    pub not_allowed: u64,
    /// Browsers that signed in.
    pub logins: u64,
    /// Passwords that did not fit.
    pub logins_failed: u64,
    /// Logins that had to wait for their next try.
    pub logins_locked: u64,
    /// Requests that another site made a browser send.
    pub cross_site: u64,
    /// Attempts to set the first password under a name that is not local.
    pub strange_hosts: u64,
    /// Times that the password was set or changed.
    pub passwords_set: u64,
}

/// What the way in remembers.
pub struct Door {
    /// Who has signed in.
    pub(in crate::gateway) sessions: Sessions,
    /// Whether the first password is on its way into the settings file.
    pub(super) setting: bool,
    guard: Guard,
    /// Passwords that are being compared.
    waiting: u32,
    /// Tries of all addresses since a time.
    tries: (Instant, u32),
    rng: Rng,
    pub(super) counters: PageCounters,
}

impl Door {
    /// Nobody came so far.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            sessions: Sessions::new(rng),
            setting: false,
            guard: Guard::new(rng),
            waiting: 0,
            tries: (Instant::ZERO, 0),
            rng: rng.fork(),
            counters: PageCounters::default(),
        }
    }

    /// Whether a request may bring a body of more than the usual length: its sender has signed in.
    pub fn may_send_document(&self, now: Instant, head: &Head, face: Face) -> bool {
        let cookie = cookie_name(face.is_secure());
        self.sessions.knew(now, head.header("Cookie"), cookie)
    }

    /// Begins a try of a password; the answer if there is none to have.
    ///
    /// The try counts as failed until [`Self::tried`] says otherwise, so that many at once are not more
    /// than one after the other.
    pub(super) fn try_password(&mut self, now: Instant, from: IpAddr) -> Result<(), Reply> {
        let (since, tries) = self.tries;
        let waited = now.since(since);
        if waited >= LOGIN_WINDOW {
            self.tries = (now, 0);
        }
        let left = LOGIN_WINDOW.saturating_sub(waited).as_secs().max(1);
        let all = (tries >= PAGE_LOGIN_TRIES && waited < LOGIN_WINDOW).then_some(left);
        if let Some(seconds) = self.guard.locked(now, from).or(all) {
            self.counters.logins_locked += 1;
            return Err(Reply::problem(429, "tooManyTries")
                .with("seconds", seconds)
                .header("Retry-After", seconds.to_string()));
        }
        if self.waiting >= PAGE_LOGINS {
            return Err(Reply::problem(503, "busy").header("Retry-After", "1"));
        }
        self.waiting = self.waiting.saturating_add(1);
        self.tries.1 = self.tries.1.saturating_add(1);
        self.guard.failed(now, from);
        Ok(())
    }

    /// A try is over, and how; whether its address has to wait now.
    pub(super) fn tried(&mut self, now: Instant, from: IpAddr, right: bool) -> bool {
        self.waiting = self.waiting.saturating_sub(1);
        if right {
            self.guard.succeeded(from);
            self.tries.1 = self.tries.1.saturating_sub(1);
            return false;
        }
        self.counters.logins_failed += 1;
        self.guard.locked(now, from).is_some()
    }

    /// A try came to nothing: nobody knows whether the password was right.
    pub(super) fn untried(&mut self, from: IpAddr) {
        self.waiting = self.waiting.saturating_sub(1);
        self.tries.1 = self.tries.1.saturating_sub(1);
        self.guard.succeeded(from);
    }

    /// Signs a browser in: the `Set-Cookie` field that it gets.
    pub(super) fn sign_in(&mut self, now: Instant, secure: bool) -> Secret<String> {
        let token = self.sessions.begin(now, &mut self.rng);
        let (name, life) = (cookie_name(secure), LIFE.as_secs());
        let end = if secure { "; Secure" } else { "" };
        let token = token.expose();
        Secret::new(format!(
            "{name}={token}; Path=/; Max-Age={life}; HttpOnly; SameSite=Strict{end}"
        ))
    }
}

/// The `Set-Cookie` field that takes a cookie away.
pub(super) fn no_cookie(secure: bool) -> String {
    let name = cookie_name(secure);
    let end = if secure { "; Secure" } else { "" };
    format!("{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict{end}")
}

/// What the cookie is called. Cookies know no ports and no schemes: one of another name keeps browsers
/// from mixing up the plain page and that over TLS.
const fn cookie_name(secure: bool) -> &'static str {
    match secure {
        true => "__Host-trunkcast",
        false => "trunkcast",
    }
}

impl Gateway {
    /// Whether somebody at that address may reach the page; a refusal is counted.
    pub fn may_visit(&mut self, from: IpAddr) -> bool {
        let may = self.config.page.allows(from);
        if !may {
            self.http.door.counters.not_allowed += 1;
        }
        may
    }

    /// What the page did so far.
    pub fn page_counters(&self) -> &PageCounters {
        &self.http.door.counters
    }

    /// Takes new settings of the page over. Who signed in with another password has to do so again, and
    /// who is connected to a place or from a network that may be gone, has to come again.
    pub(in crate::gateway) fn reconfigure_page(&mut self, new: Page) {
        let old = &self.config.page;
        if old.password_hash != new.password_hash {
            self.http.door.sessions.end_all();
        }
        if old.listens() != new.listens() || old.allow != new.allow {
            self.http.end_all(|face| face.is_page());
        }
        self.config.page = new;
    }
}

/// Whether a request is of somebody who has signed in.
pub(super) fn is_owner(exchange: &mut Exchange<'_>) -> bool {
    let cookies = exchange.header("Cookie").map(str::to_owned);
    let name = cookie_name(exchange.face.is_secure());
    let now = exchange.now;
    let sessions = &mut exchange.gateway.http.door.sessions;
    sessions.knows(now, cookies.as_deref(), name)
}

/// Signs the sender of a request out.
pub(super) fn sign_out(exchange: &mut Exchange<'_>) {
    let cookies = exchange.header("Cookie").map(str::to_owned);
    let name = cookie_name(exchange.face.is_secure());
    exchange
        .gateway
        .http
        .door
        .sessions
        .end(cookies.as_deref(), name);
}

/// Whether a page of another site may have made a browser send this.
///
/// A form or an image of another site can have neither the media type nor the header field, and a
/// script there may not set them without asking first, to which nobody here says yes. What browsers tell
/// of the origin has to fit as well.
pub(super) fn is_cross_site(exchange: &Exchange<'_>, changes: bool) -> bool {
    let site = exchange.header("Sec-Fetch-Site");
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return true;
    }
    let host = exchange.header("Host").unwrap_or_default();
    let is_ours = |origin: &str| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    };
    if exchange.header("Origin").is_some_and(|it| !is_ours(it)) {
        return true;
    }
    if !changes {
        return false;
    }
    let kind = exchange.header("Content-Type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let is_json = kind.eq_ignore_ascii_case("application/json");
    !is_json || exchange.header("X-Trunkcast") != Some("1")
}

/// Whether nobody outside can have given this box that name: it is an address, a name without dots, or
/// one of multicast DNS (RFC 6762). A name of the world may be made to lead here by whoever owns it, and
/// a page of that name would pass for ours.
pub(super) fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else {
                return false;
            };
            return address.parse::<Ipv6Addr>().is_ok() && is_port(port);
        }
        None => match host.split_once(':') {
            Some((name, port)) if is_port_number(port) => name,
            Some(_) => return false,
            None => host,
        },
    };
    if name.is_empty() {
        return false;
    }
    if name.parse::<IpAddr>().is_ok() || !name.contains('.') {
        return true;
    }
    let last = name.rsplit_once('.').map(|(_, last)| last);
    last.is_some_and(|last| last.eq_ignore_ascii_case("local"))
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(is_port_number)
}

fn is_port_number(text: &str) -> bool {
    text.len() <= 5 && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn names_that_the_world_can_give_are_told_from_local_ones() {
        for local in [
            "192.168.1.20",
            "192.168.1.20:8080",
            "203.0.113.5",
            "[::1]",
            "[fe80::1]:8080",
            "localhost",
            "localhost:8080",
            "box",
            "box:80",
            "trunkcast.local",
            "Trunkcast.LOCAL:8080",
        ] {
            assert!(is_local_name(local), "{local}");
        }
        for strange in [
            "",
            ":8080",
            "box.example",
            "box.example:8080",
            "192.168.1.20.evil.example",
            "local.evil.example",
            "evillocal.example",
            "evil.example.",
            "evil.local.",
            "[::1",
            "[::1]x",
            "[evil.example]:80",
            "box:port",
            "box:8080:1",
            "1.2.3.4.5",
        ] {
            assert!(!is_local_name(strange), "{strange}");
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    #[test]
    fn tries_at_the_same_time_are_no_more_than_tries_in_turn() {
        let mut door = Door::new(&mut Rng::from_number(1));
        for _ in 0..PAGE_LOGINS {
            assert!(door.try_password(at(1), HOME).is_ok());
        }
        assert!(door.try_password(at(1), HOME).is_err(), "too many wait");
        for _ in 0..PAGE_LOGINS {
            door.tried(at(1), HOME, false);
        }
        assert!(door.try_password(at(2), HOME).is_ok());
        assert!(door.tried(at(2), HOME, false), "that was the last one");
        assert!(door.try_password(at(3), HOME).is_err());
        assert_eq!(door.counters.logins_locked, 1);
        assert!(door.try_password(at(70), HOME).is_ok());
    }

    #[test]
    fn all_addresses_together_have_a_bound_as_well() {
        let mut door = Door::new(&mut Rng::from_number(1));
        let mut tried = 0;
        for at_byte in 0..=u8::MAX {
            let from = IpAddr::from([198, 51, 100, at_byte]);
            if door.try_password(at(1), from).is_ok() {
                door.tried(at(1), from, false);
                tried += 1;
            }
        }
        assert_eq!(tried, PAGE_LOGIN_TRIES);
        assert!(door.try_password(at(50), HOME).is_err());
        assert!(door.try_password(at(62), HOME).is_ok());
    }

    #[test]
    fn who_knows_the_password_is_never_locked_out_by_himself() {
        let mut door = Door::new(&mut Rng::from_number(1));
        for _ in 0..1_000 {
            assert!(door.try_password(at(1), HOME).is_ok());
            assert!(!door.tried(at(1), HOME, true));
        }
        for _ in 0..1_000 {
            assert!(door.try_password(at(1), HOME).is_ok());
            door.untried(HOME);
        }
    }

    #[test]
    fn cookies_are_for_this_page_alone() {
        let mut door = Door::new(&mut Rng::from_number(1));
        let plain = door.sign_in(at(1), false);
        let plain = plain.expose();
        assert!(plain.starts_with("trunkcast="), "{plain}");
        assert!(plain.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict"));
        let secure = door.sign_in(at(1), true);
        assert!(secure.expose().starts_with("__Host-trunkcast="));
        assert!(secure.expose().ends_with("; SameSite=Strict; Secure"));
    }
}
