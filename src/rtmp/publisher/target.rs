//! Where a stream goes: the address it was given, or where the server sends it instead.
//!
//! A server may refuse `connect` and name another address (`ex.redirect` with the code 302), or ask
//! a running stream to move (Enhanced RTMP, version 2, "Reconnect Request"), also by a relative
//! address. Followed at most [`RTMP_HOPS`] times before a stream has lasted, and only to RTMP
//! servers; from TLS never to plain RTMP, and to this machine only from this machine: what listens there
//! alone is no server's matter. User and password go along only to the same host, and
//! nothing of our own address's query does. An address that has not taken the stream is forgotten
//! at the next failure.

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
use core::net::IpAddr;

use heapless::String;

use crate::limits::{RTMP_HOPS, RTMP_URL_BYTES};
use crate::wire::rtmp_url::{RtmpUrl, RtmpUrlError};

/// Why a server is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotFollowed {
    /// It, or those that it sent us to, did so too often.
    TooOften,
    /// The address is none that can be published to.
    Address(RtmpUrlError),
    /// It leads from TLS to plain RTMP.
    Downgrade,
    /// It is one of this machine or of its link, where the server sees nothing.
    ThisMachine,
}

impl fmt::Display for NotFollowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooOften => write!(
                f,
                "servers sent the stream on more than {RTMP_HOPS} times; check their redirection"
            ),
            Self::Address(error) => write!(f, "the server sent the stream on, but {error}"),
            Self::Downgrade => f.write_str(
                "the server sent the stream on from TLS to plain RTMP, which is not followed",
            ),
            Self::ThisMachine => f.write_str(
                "the server sent the stream on to this machine itself, which is not followed",
            ),
        }
    }
}

/// Where a stream goes now.
#[derive(Default)]
pub(super) struct Target {
    /// Where it was sent to.
    moved: Option<Box<RtmpUrl>>,
    hops: u8,
    /// A stream was accepted there.
    was_accepted: bool,
}

impl Target {
    /// The address now; `home` is the one that was given.
    pub fn url<'a>(&'a self, home: &'a RtmpUrl) -> &'a RtmpUrl {
        self.moved.as_deref().unwrap_or(home)
    }

    /// Goes where the server says; to the same address again without one.
    pub fn follow(
        &mut self,
        home: &RtmpUrl,
        key: &str,
        to: Option<&str>,
    ) -> Result<(), NotFollowed> {
        if self.hops >= RTMP_HOPS {
            return Err(NotFollowed::TooOften);
        }
        self.hops = self.hops.saturating_add(1);
        self.was_accepted = false;
        let Some(to) = to else { return Ok(()) };
        let here = self.url(home);
        let text = absolute(here, to).ok_or(NotFollowed::Address(RtmpUrlError::TooLong))?;
        let mut url = RtmpUrl::parse(without_name(&text, key)).map_err(NotFollowed::Address)?;
        if here.is_tls() && !url.is_tls() {
            return Err(NotFollowed::Downgrade);
        }
        if is_this_machine(url.host()) && !is_this_machine(home.host()) {
            return Err(NotFollowed::ThisMachine);
        }
        if url.credentials().is_none() && url.host().eq_ignore_ascii_case(home.host()) {
            url.set_credentials(home.credentials().cloned());
        }
        self.moved = Some(Box::new(url));
        Ok(())
    }

    /// The stream was accepted.
    pub fn accepted(&mut self) {
        self.was_accepted = true;
    }

    /// A stream has lasted.
    pub fn lasted(&mut self) {
        self.hops = 0;
    }

    /// A connection failed: back to the address that was given, unless the one now has taken the
    /// stream since the last failure.
    pub fn failed(&mut self) {
        self.hops = 0;
        if !core::mem::take(&mut self.was_accepted) {
            self.moved = None;
        }
    }
}

/// A reference to an address, resolved at the address of this connection as far as the forms go
/// that are in use: absolute, with a host, with a path, with the path's last part.
fn absolute(here: &RtmpUrl, to: &str) -> Option<String<RTMP_URL_BYTES>> {
    let plain = here.tc_url();
    let (scheme, rest) = plain.split_once("://")?;
    let authority = rest.split('/').next().unwrap_or(rest);
    let mut text = String::new();
    let mut put = |parts: &[&str]| parts.iter().try_for_each(|part| text.push_str(part)).ok();
    if to.contains("://") {
        put(&[to])?;
    } else if to.starts_with("//") {
        put(&[scheme, ":", to])?;
    } else if to.starts_with('/') {
        put(&[scheme, "://", authority, to])?;
    } else {
        let folder = here.app().rsplit_once('/').map_or("", |(folder, _)| folder);
        let join = if folder.is_empty() { "" } else { "/" };
        put(&[scheme, "://", authority, "/", folder, join, to])?;
    }
    Some(text)
}

/// Whether a host is this machine, as far as its name tells, or an address that means nothing to
/// anybody else: of the link, of a group, of no host. Old forms of IPv4 addresses (`127.1`, `0x7f.1`)
/// count too, since resolvers take them.
fn is_this_machine(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => {
            let is_wide = ip.is_multicast() || ip.is_broadcast();
            ip.is_loopback() || ip.is_link_local() || ip.octets().starts_with(&[0]) || is_wide
        }
        Ok(IpAddr::V6(ip)) => {
            let is_narrow = ip.is_loopback() || ip.is_unicast_link_local();
            is_narrow || ip.is_unspecified() || ip.is_multicast()
        }
        Err(_) => {
            last.eq_ignore_ascii_case("localhost")
                || last.starts_with(|first: char| first.is_ascii_digit())
        }
    }
}

/// An address without the stream's name at its end, which some servers put there.
fn without_name<'a>(text: &'a str, key: &str) -> &'a str {
    let app = text
        .strip_suffix(key)
        .and_then(|rest| rest.strip_suffix('/'));
    // A bare host would be left where the application has the stream's name.
    app.filter(|app| app.split('/').count() > 3).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(home: &str, to: &str) -> Result<RtmpUrl, NotFollowed> {
        let home = RtmpUrl::parse(home).unwrap();
        let mut target = Target::default();
        target.follow(&home, "k3y", Some(to))?;
        Ok(target.url(&home).clone())
    }

    #[test]
    fn references_are_resolved_at_the_address_of_the_connection() {
        for (to, expected) in [
            ("rtmp://b:1936/app", "rtmp://b:1936/app"),
            ("rtmps://b/app?t=1", "rtmps://b/app?t=1"),
            ("//192.0.2.1/app", "rtmp://192.0.2.1/app"),
            ("/app", "rtmp://a:1940/app"),
            ("west", "rtmp://a:1940/live/west"),
            ("rtmp://b/app/k3y", "rtmp://b/app"),
            ("rtmp://b/k3y", "rtmp://b/k3y"),
        ] {
            let url = followed("rtmp://a:1940/live/east?secret", to).unwrap();
            assert_eq!(url.tc_url(), expected, "{to}");
        }
    }

    #[test]
    fn only_rtmp_is_followed_and_never_out_of_tls() {
        for to in [
            "http://b/app",
            "file:///etc/passwd",
            "rtmp://b",
            "//",
            "rtmp://b/a b",
        ] {
            assert!(
                matches!(followed("rtmp://a/live", to), Err(NotFollowed::Address(_))),
                "{to}"
            );
        }
        assert_eq!(
            followed("rtmps://a/live", "rtmp://a/live"),
            Err(NotFollowed::Downgrade)
        );
        let long = "x".repeat(RTMP_URL_BYTES);
        assert!(followed("rtmp://a/live", &long).is_err());
    }

    #[test]
    fn nobody_is_sent_to_this_machine_who_was_not_there() {
        for host in [
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "2130706433",
            "0",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "169.254.169.254",
            "[fe80::1]",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            let to = format!("rtmp://{host}/live");
            assert_eq!(
                followed("rtmp://a/live", &to),
                Err(NotFollowed::ThisMachine),
                "{to}"
            );
            assert!(followed("rtmp://localhost/live", &to).is_ok(), "{to}");
        }
        // Servers of one house send each other's guests on.
        for host in ["10.0.0.7", "192.168.1.2", "[fd00::1]", "edge7", "7edge.tv"] {
            let to = format!("rtmp://{host}/live");
            assert!(followed("rtmp://a/live", &to).is_ok(), "{to}");
        }
    }

    #[test]
    fn credentials_stay_with_their_host() {
        let home = "rtmp://me:secret@a/live?token";
        let there = followed(home, "rtmp://b/live").unwrap();
        assert!(there.credentials().is_none());
        assert_eq!(there.tc_url(), "rtmp://b/live");
        let same = followed(home, "rtmp://A:1936/live").unwrap();
        assert_eq!(same.credentials().unwrap().user(), "me");
    }

    #[test]
    fn hops_are_bounded_until_a_stream_lasts() {
        let home = RtmpUrl::parse("rtmp://a/live").unwrap();
        let mut target = Target::default();
        for _ in 0..RTMP_HOPS {
            assert_eq!(target.follow(&home, "k", Some("rtmp://b/live")), Ok(()));
        }
        assert_eq!(target.follow(&home, "k", None), Err(NotFollowed::TooOften));
        target.lasted();
        assert_eq!(target.follow(&home, "k", None), Ok(()));
        target.accepted();
        target.failed();
        assert_eq!(
            target.url(&home).host(),
            "b",
            "once more where it was taken"
        );
        target.failed();
        assert_eq!(target.url(&home).host(), "a");
    }
}
