//! The kinds of value a configuration is made of, each read from text and printed back.

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
use core::net::IpAddr;
use core::str::FromStr;

use crate::base::codec::Codec;
use crate::base::redact::{HIDDEN, Secret};
use crate::limits::MEDIA_PORTS_PER_CALL;
use crate::wire::rtmp_url::{RtmpUrl, RtmpUrlError};

/// Bytes of a host name.
const HOST_BYTES: usize = 253;

/// Bytes of an address of a service.
const URL_BYTES: usize = 1_024;

/// What a text should have been; prints after the word "expected".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected(String);

impl Expected {
    /// An expectation in words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address, or a name to be resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A host name. Underscores are taken: names inside a site have them.
    Name(String),
}

impl Host {
    /// Whether it is this machine by name or number.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(address) => address.is_loopback(),
            Self::Name(name) => name.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl FromStr for Host {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
            if address.is_unspecified() || address.is_multicast() {
                return Err(Expected::new("an address of one machine"));
            }
            return Ok(Self::Ip(address));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // A name whose last label is a number is an address with a mistake.
        let last_is_number = text
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if text.len() > HOST_BYTES || last_is_number || !text.split('.').all(label) {
            return Err(Expected::new(
                "an IP address or a host name, without a port",
            ));
        }
        Ok(Self::Name(text.to_owned()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The name of a codec in the file.
pub const fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "h264",
        Codec::Vp8 => "vp8",
        Codec::Opus => "opus",
        Codec::Aac => "aac",
        Codec::Speex => "speex",
        Codec::Pcma => "pcma",
        Codec::Pcmu => "pcmu",
    }
}

/// The codec of a name in the file, in any case.
pub fn codec_of_name(name: &str) -> Option<Codec> {
    Codec::ALL
        .into_iter()
        .find(|codec| codec_name(*codec).eq_ignore_ascii_case(name))
}

/// The address named in SDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaAddress {
    /// The one that the route to the caller goes out by.
    Auto,
    /// This one.
    Fixed(IpAddr),
}

impl FromStr for MediaAddress {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match text.parse::<IpAddr>() {
            Ok(address) if !address.is_unspecified() && !address.is_multicast() => {
                Ok(Self::Fixed(address))
            }
            _ => Err(Expected::new("auto or an IP address of this box")),
        }
    }
}

impl fmt::Display for MediaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(address) => write!(f, "{address}"),
        }
    }
}

/// Ports of RTP (even) and RTCP (the next): a range that begins even and holds whole pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The range where the file names none.
    pub const DEFAULT: Self = Self {
        first: 31_000,
        last: 31_999,
    };

    /// The first port; even.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The last port, itself part of the range.
    pub const fn last(self) -> u16 {
        self.last
    }

    /// Pairs of an even port and the next.
    pub const fn pairs(self) -> usize {
        (self.last as usize + 1).saturating_sub(self.first as usize) / 2
    }

    /// Calls that find ports for audio and video.
    pub const fn calls(self) -> usize {
        self.pairs() * 2 / MEDIA_PORTS_PER_CALL
    }

    /// Whether a port lies in the range.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl FromStr for PortRange {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let form = || Expected::new("two ports such as 31000-31999, the first one even");
        let (first, last) = text.split_once('-').ok_or_else(form)?;
        let first = port(first.trim_end()).ok_or_else(form)?;
        let last = port(last.trim_start()).ok_or_else(form)?;
        if first % 2 == 1 {
            return Err(Expected::new(
                "an even first port: RTP takes even ports, RTCP the next",
            ));
        }
        let range = Self { first, last };
        if range.calls() == 0 {
            return Err(Expected::new(
                "a range of at least 4 ports, the smaller one first",
            ));
        }
        Ok(range)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// A port in plain decimal digits, 1 to 65535.
pub(super) fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// Address of the backend that is told of calls.
///
/// Prints without user, password and query.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    text: Secret<String>,
    shown: String,
    host: Host,
    port: Option<u16>,
    is_tls: bool,
}

impl HttpUrl {
    /// The whole address.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// Whether the connection is to be one of TLS (`https`).
    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Its host.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Its port: 80, or 443 with TLS, when the address names none.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.is_tls { 443 } else { 80 })
    }

    /// Host and port as the `Host` field names them: without a port that goes without saying.
    pub fn authority(&self) -> String {
        let host = match &self.host {
            Host::Ip(IpAddr::V6(address)) => format!("[{address}]"),
            host => host.to_string(),
        };
        match self.port {
            Some(port) if port != if self.is_tls { 443 } else { 80 } => format!("{host}:{port}"),
            _ => host,
        }
    }

    /// Path and query, without a fragment; the path without a `/` at its end. The query may hold a
    /// secret.
    pub fn path_and_query(&self) -> (&str, Option<&str>) {
        let rest = self.text.expose().split_once("://");
        let rest = rest.map_or("", |(_, rest)| rest);
        let tail = rest.find(['/', '?', '#']).and_then(|at| rest.get(at..));
        let tail = tail.unwrap_or_default().split('#').next();
        let tail = tail.unwrap_or_default();
        let (path, query) = match tail.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (tail, None),
        };
        (path.trim_end_matches('/'), query)
    }

    /// User and password before the `@`, decoded, if the address has them.
    pub fn credentials(&self) -> Option<(String, Secret<String>)> {
        let (_, rest) = self.text.expose().split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (user, _) = rest.get(..end)?.rsplit_once('@')?;
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        Some((
            percent_decoded(user),
            Secret::new(percent_decoded(password)),
        ))
    }
}

/// Text with its percent escapes resolved; what is no escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after
            .get(..2)
            .and_then(|two| core::str::from_utf8(two).ok());
        let digits = digits.filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl FromStr for HttpUrl {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let form = || Expected::new("an address such as http://backend/MyAPI or https://…");
        let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(form());
        }
        let authority = Authority::parse(rest).ok_or_else(form)?;
        let path = authority.tail.split(['?', '#']).next().unwrap_or_default();
        Ok(Self {
            is_tls: scheme.eq_ignore_ascii_case("https"),
            host: authority.host.clone(),
            port: authority.port,
            text: Secret::new(text.to_owned()),
            shown: format!(
                "{}://{}{path}",
                scheme.to_ascii_lowercase(),
                authority.shown()
            ),
        })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({self})")
    }
}

/// Reads the address of an RTMP server and application.
pub fn rtmp_url(text: &str) -> Result<RtmpUrl, Expected> {
    let form = || Expected::new("an address such as rtmp://server:1935/live");
    let url = RtmpUrl::parse(text).map_err(|error| match error {
        RtmpUrlError::Scheme | RtmpUrlError::Character => form(),
        RtmpUrlError::TooLong => Expected::new("a shorter address, user and password"),
        RtmpUrlError::Host => Expected::new("an address with a host, as in rtmp://server/live"),
        RtmpUrlError::Port => Expected::new("an address with a port from 1 to 65535"),
        RtmpUrlError::App => {
            Expected::new("an application after the server, such as rtmp://server:1935/live")
        }
        RtmpUrlError::Credentials => {
            Expected::new("user:password before the @, percent-encoded where they hold %, / or @")
        }
    })?;
    // An address with a mistake, such as 192.0.2.256, is no host name.
    url.host().parse::<Host>()?;
    Ok(url)
}

/// The `user:password@host:port` of a URL and what follows.
struct Authority<'a> {
    user: bool,
    host: Host,
    port: Option<u16>,
    tail: &'a str,
}

impl<'a> Authority<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if text.len() > URL_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let end = text.find(['/', '?', '#']).unwrap_or(text.len());
        let (authority, tail) = text.split_at_checked(end)?;
        let (user, address) = match authority.rsplit_once('@') {
            Some((_, address)) => (true, address),
            None => (false, authority),
        };
        let after_host = address.rfind(']').unwrap_or(0);
        let colon = address.get(after_host..)?.find(':');
        let (host, port) = match colon {
            Some(at) => {
                let (host, port) = address.split_at_checked(after_host.checked_add(at)?)?;
                (host, Some(self::port(port.get(1..)?)?))
            }
            None => (address, None),
        };
        Some(Self {
            user,
            host: host.parse().ok()?,
            port,
            tail,
        })
    }

    fn shown(&self) -> String {
        let user = if self.user {
            format!("{HIDDEN}@")
        } else {
            String::new()
        };
        let host = match self.host {
            Host::Ip(IpAddr::V6(address)) => format!("[{address}]"),
            ref host => host.to_string(),
        };
        match self.port {
            Some(port) => format!("{user}{host}:{port}"),
            None => format!("{user}{host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    #[test]
    fn hosts_are_addresses_or_names_and_never_both() {
        assert_eq!(
            "192.0.2.1".parse(),
            Ok(Host::Ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))))
        );
        for text in ["pbx_address", "pbx.example.com", "2001:db8::1", "a-b"] {
            assert!(text.parse::<Host>().is_ok(), "{text}");
        }
        assert_eq!("[::1]".parse::<Host>().unwrap().to_string(), "::1");
        for text in [
            "",
            "192.0.2.256",
            "192.0.2",
            "192.0.2.1:5060",
            "a b",
            "-a",
            "a..b",
            "a.",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "sip:pbx",
            "päbx",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
        assert!("x".repeat(300).parse::<Host>().is_err());
    }

    #[test]
    fn media_ports_come_in_pairs() {
        let range: PortRange = "31000-31999".parse().unwrap();
        assert_eq!(
            (range.pairs(), range.calls(), range),
            (500, 250, PortRange::DEFAULT)
        );
        let odd_end: PortRange = "30000 - 30004".parse().unwrap();
        assert_eq!((odd_end.pairs(), odd_end.calls()), (2, 1));
        let to_the_end: PortRange = "65000-65535".parse().unwrap();
        assert_eq!(to_the_end.pairs(), 268);
        for text in [
            "31001-31999",
            "31999-31000",
            "31000-31002",
            "31000",
            "0-100",
            "31000-65536",
            "a-b",
            "-",
            "+2-90",
        ] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn service_addresses_hide_credentials_and_keys() {
        let url: HttpUrl = "https://joe:hunter2@backend:8080/MyAPI?key=hunter2"
            .parse()
            .unwrap();
        assert_eq!(url.to_string(), "https://***@backend:8080/MyAPI");
        assert!(url.expose().contains("hunter2"));
        let target = rtmp_url("rtmp://joe:hunter2@[2001:db8::1]:1936/live/x?key=hunter2").unwrap();
        assert!(!target.to_string().contains("hunter2"), "{target}");
        assert!(
            target.to_string().contains("[2001:db8::1]:1936/live/x"),
            "{target}"
        );
    }

    #[test]
    fn service_addresses_are_taken_apart() {
        let parts = |text: &str| {
            let url: HttpUrl = text.parse().unwrap();
            let (path, query) = url.path_and_query();
            let place = (url.is_tls(), url.host().to_string(), url.port());
            (
                place,
                url.authority(),
                path.to_owned(),
                query.map(str::to_owned),
            )
        };
        let place = |tls, host: &str, port| (tls, host.to_owned(), port);
        assert_eq!(
            parts("http://backend/MyAPI/#x"),
            (
                place(false, "backend", 80),
                "backend".into(),
                "/MyAPI".into(),
                None
            )
        );
        assert_eq!(
            parts("https://[2001:db8::1]:8443?key=1"),
            (
                place(true, "2001:db8::1", 8_443),
                "[2001:db8::1]:8443".into(),
                String::new(),
                Some("key=1".into())
            )
        );
        assert_eq!(parts("https://backend:443/").1, "backend");
        let url: HttpUrl = "http://j%40e:p%3Aw%@backend/a@b".parse().unwrap();
        let (user, password) = url.credentials().unwrap();
        assert_eq!((user.as_str(), password.expose().as_str()), ("j@e", "p:w%"));
        let url: HttpUrl = "http://backend/a@b".parse().unwrap();
        assert_eq!(url.credentials(), None);
    }

    #[test]
    fn service_addresses_are_checked() {
        for text in [
            "http://",
            "ftp://backend/",
            "backend",
            "http://a b/",
            "http://a:0/",
            "http://a:b",
            "http://é/",
        ] {
            assert!(text.parse::<HttpUrl>().is_err(), "{text}");
        }
        for text in [
            "rtmp://server",
            "rtmp://server/",
            "http://server/live",
            "rtmp:///live",
            "server/live",
            "rtmp://s:70000/live",
            "rtmp://[::1/live",
            "rtmp://192.0.2.256/live",
        ] {
            assert!(rtmp_url(text).is_err(), "{text}");
        }
        assert!(rtmp_url("rtmps://server/live").unwrap().is_tls());
    }
}
