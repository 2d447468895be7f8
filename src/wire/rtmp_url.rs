//! Addresses of RTMP servers: `rtmp://[user:password@]host[:port]/app[/more][?query]`, or `rtmps`
//! for RTMP over TLS.
//!
//! The whole path is the application; the stream's name travels beside the address, as a
//! [`StreamKey`]. A query belongs to the application, as servers read it from `tcUrl` and `app`.
//! User and password may be percent-encoded. What is printed hides user, password and query.

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
use core::str::FromStr;

use heapless::String;

use crate::limits::{RTMP_CREDENTIAL_BYTES, RTMP_NAME_BYTES, RTMP_URL_BYTES};

/// The port when an `rtmp` address names none.
pub const DEFAULT_PORT: u16 = 1935;

/// The port when an `rtmps` address names none.
pub const DEFAULT_TLS_PORT: u16 = 443;

const SCHEME: &str = "rtmp://";
const TLS_SCHEME: &str = "rtmps://";

/// Why a text is not an address to publish to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtmpUrlError {
    /// Longer than a limit allows.
    TooLong,
    /// Does not begin with `rtmp://` or `rtmps://`.
    Scheme,
    /// No host, or one with characters that no host has.
    Host,
    /// A port that is not a number from 1 to 65535.
    Port,
    /// No application after the host.
    App,
    /// A user without password, or bad percent-encoding in one of them.
    Credentials,
    /// A space or control character.
    Character,
}

impl fmt::Display for RtmpUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the RTMP address is too long",
            Self::Scheme => "an RTMP address begins with rtmp:// or rtmps://",
            Self::Host => "the RTMP address names no valid host",
            Self::Port => "the port of the RTMP address is not a number from 1 to 65535",
            Self::App => {
                "the RTMP address names no application after the host, as in rtmp://host/live"
            }
            Self::Credentials => "the RTMP address wants user:password@, percent-encoded",
            Self::Character => "the RTMP address holds a space or control character",
        })
    }
}

impl core::error::Error for RtmpUrlError {}

/// A checked RTMP address.
#[derive(Clone, PartialEq, Eq)]
pub struct RtmpUrl {
    /// `rtmp://host[:port]/app[?query]` or `rtmps://..`, without user and password.
    plain: Box<str>,
    tls: bool,
    host: (u16, u16),
    app: (u16, u16),
    query: u16,
    bracketed: bool,
    port: u16,
    credentials: Option<Box<Credentials>>,
}

/// User and password of an address, decoded. Prints neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String<RTMP_CREDENTIAL_BYTES>,
    password: String<RTMP_CREDENTIAL_BYTES>,
}

impl Credentials {
    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password, in clear.
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

impl RtmpUrl {
    /// Reads an address; a trailing `/` of the path is dropped.
    pub fn parse(text: &str) -> Result<Self, RtmpUrlError> {
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(RtmpUrlError::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(RtmpUrlError::Scheme)?;
        let tls = scheme.eq_ignore_ascii_case("rtmps");
        if !tls && !scheme.eq_ignore_ascii_case("rtmp") {
            return Err(RtmpUrlError::Scheme);
        }
        let default_port = if tls { DEFAULT_TLS_PORT } else { DEFAULT_PORT };
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest
            .split_at_checked(authority_end)
            .ok_or(RtmpUrlError::App)?;
        let (credentials, host_port) = match authority.rsplit_once('@') {
            Some((userinfo, host_port)) => (Some(credentials(userinfo)?), host_port),
            None => (None, authority),
        };
        let (host, bracketed, port) = host_and_port(host_port, default_port)?;
        let (app, query) = match path.split_once('?') {
            Some((app, query)) => (app, Some(query)),
            None => (path, None),
        };
        let app = app.trim_matches('/');
        if app.is_empty() {
            return Err(RtmpUrlError::App);
        }

        let mut plain = String::<RTMP_URL_BYTES>::new();
        let mut put = |part: &str| {
            let start = plain.len() as u16;
            plain.push_str(part).map_err(|_| RtmpUrlError::TooLong)?;
            Ok((start, plain.len() as u16))
        };
        put(if tls { TLS_SCHEME } else { SCHEME })?;
        if bracketed {
            put("[")?;
        }
        let host = put(host)?;
        if bracketed {
            put("]")?;
        }
        if port != default_port {
            let mut digits = String::<6>::new();
            fmt::Write::write_fmt(&mut digits, format_args!(":{port}"))
                .map_err(|_| RtmpUrlError::Port)?;
            put(&digits)?;
        }
        put("/")?;
        let app = put(app)?;
        if let Some(query) = query {
            put("?")?;
            put(query)?;
        }
        Ok(Self {
            plain: plain.as_str().into(),
            tls,
            host,
            app,
            query: app.1,
            bracketed,
            port,
            credentials: credentials.map(Box::new),
        })
    }

    /// Host name or address, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        self.part(self.host)
    }

    /// Whether the connection is to be one of TLS (`rtmps`).
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Port: 1935, or 443 with TLS, when the address names none.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The application, without query.
    pub fn app(&self) -> &str {
        self.part(self.app)
    }

    /// The application with its query, for `connect`. May hold a secret.
    pub fn app_with_query(&self) -> &str {
        self.part((self.app.0, self.plain.len() as u16))
    }

    /// The whole address without user and password, for `tcUrl`. May hold a secret in its query.
    pub fn tc_url(&self) -> &str {
        &self.plain
    }

    /// User and password, if the address has them.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_deref()
    }

    /// Puts others in their place.
    pub fn set_credentials(&mut self, credentials: Option<Credentials>) {
        self.credentials = credentials.map(Box::new);
    }

    fn part(&self, (start, end): (u16, u16)) -> &str {
        self.plain
            .get(usize::from(start)..usize::from(end))
            .unwrap_or_default()
    }
}

impl FromStr for RtmpUrl {
    type Err = RtmpUrlError;

    fn from_str(text: &str) -> Result<Self, RtmpUrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for RtmpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { TLS_SCHEME } else { SCHEME };
        f.write_str(scheme)?;
        if self.credentials.is_some() {
            f.write_str("***@")?;
        }
        f.write_str(self.part((scheme.len() as u16, self.query)))?;
        if usize::from(self.query) < self.plain.len() {
            f.write_str("?***")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RtmpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RtmpUrl({self})")
    }
}

fn credentials(userinfo: &str) -> Result<Credentials, RtmpUrlError> {
    let (user, password) = userinfo.split_once(':').ok_or(RtmpUrlError::Credentials)?;
    if user.is_empty() {
        return Err(RtmpUrlError::Credentials);
    }
    Ok(Credentials {
        user: percent_decoded(user)?,
        password: percent_decoded(password)?,
    })
}

fn percent_decoded<const N: usize>(text: &str) -> Result<String<N>, RtmpUrlError> {
    let mut decoded = heapless::Vec::<u8, N>::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let mut digit = || {
                let digit = char::from(bytes.next().unwrap_or_default()).to_digit(16);
                digit.ok_or(RtmpUrlError::Credentials)
            };
            (digit()? << 4 | digit()?) as u8
        } else {
            byte
        };
        decoded.push(byte).map_err(|_| RtmpUrlError::TooLong)?;
    }
    String::from_utf8(decoded).map_err(|_| RtmpUrlError::Credentials)
}

fn host_and_port(text: &str, default_port: u16) -> Result<(&str, bool, u16), RtmpUrlError> {
    let (host, bracketed, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(RtmpUrlError::Host)?;
        let address = host
            .split_once('%')
            .map_or(host, |(address, _zone)| address);
        if address.parse::<core::net::Ipv6Addr>().is_err() {
            return Err(RtmpUrlError::Host);
        }
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port),
            None if rest.is_empty() => None,
            None => return Err(RtmpUrlError::Host),
        };
        (host, true, port)
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if host.is_empty() || host.len() > 253 || !host.bytes().all(valid) {
            return Err(RtmpUrlError::Host);
        }
        (host, false, port)
    };
    let port = match port {
        None => default_port,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or(RtmpUrlError::Port)?,
        Some(_) => return Err(RtmpUrlError::Port),
    };
    Ok((host, bracketed, port))
}

/// The name under which a stream is published. It may be all that a platform asks of a publisher,
/// so it is never printed; what needs it says so with [`Self::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey(String<RTMP_NAME_BYTES>);

impl StreamKey {
    /// A key; `None` when empty, longer than [`RTMP_NAME_BYTES`], or with control characters.
    pub fn new(name: &str) -> Option<Self> {
        if name.is_empty() || name.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return None;
        }
        String::try_from(name).ok().map(Self)
    }

    /// The key itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn parts_of_a_full_address() {
        let url =
            RtmpUrl::parse("RTMP://me%40home:p%3Ass@media.example.net:1936/live/east?t=1").unwrap();
        assert_eq!(url.host(), "media.example.net");
        assert_eq!(url.port(), 1936);
        assert_eq!(url.app(), "live/east");
        assert_eq!(url.app_with_query(), "live/east?t=1");
        assert_eq!(url.tc_url(), "rtmp://media.example.net:1936/live/east?t=1");
        let credentials = url.credentials().unwrap();
        assert_eq!(
            (credentials.user(), credentials.password()),
            ("me@home", "p:ss")
        );
    }

    #[test]
    fn default_port_ipv6_and_trailing_slash() {
        let url = RtmpUrl::parse("rtmp://[2001:db8::1]/live/").unwrap();
        assert_eq!(
            (url.host(), url.port(), url.app()),
            ("2001:db8::1", 1935, "live")
        );
        assert_eq!(url.tc_url(), "rtmp://[2001:db8::1]/live");
        assert_eq!(url.to_string(), "rtmp://[2001:db8::1]/live");
        let url = RtmpUrl::parse("rtmp://[::1]:1940/a/b").unwrap();
        assert_eq!((url.host(), url.port(), url.app()), ("::1", 1940, "a/b"));
    }

    #[test]
    fn tls_has_a_port_of_its_own() {
        let url = RtmpUrl::parse("RTMPS://me:pass@h/live?x").unwrap();
        assert!(url.is_tls());
        assert_eq!((url.host(), url.port(), url.app()), ("h", 443, "live"));
        assert_eq!(url.tc_url(), "rtmps://h/live?x");
        assert_eq!(url.to_string(), "rtmps://***@h/live?***");
        let url = RtmpUrl::parse("rtmps://h:1935/live").unwrap();
        assert_eq!((url.port(), url.tc_url()), (1935, "rtmps://h:1935/live"));
        assert!(!RtmpUrl::parse("rtmp://h:443/live").unwrap().is_tls());
    }

    #[test]
    fn nothing_printed_holds_a_secret() {
        let url = RtmpUrl::parse("rtmp://user7:secret8@h/live?token=secret9").unwrap();
        let key = StreamKey::new("secret10").unwrap();
        let printed = format!("{url} {url:?} {key} {key:?} {:?}", url.credentials());
        assert!(
            !printed.contains("secret") && !printed.contains("user7"),
            "{printed}"
        );
        assert!(printed.contains("rtmp://***@h/live?***"), "{printed}");
        assert_eq!(key.reveal(), "secret10");
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (text, error) in [
            ("http://h/live", RtmpUrlError::Scheme),
            ("live", RtmpUrlError::Scheme),
            ("rtmpt://h/live", RtmpUrlError::Scheme),
            ("rtmp:///live", RtmpUrlError::Host),
            ("rtmp://h_:x/live", RtmpUrlError::Port),
            ("rtmp://h:0/live", RtmpUrlError::Port),
            ("rtmp://h:65536/live", RtmpUrlError::Port),
            ("rtmp://h:/live", RtmpUrlError::Port),
            ("rtmp://h", RtmpUrlError::App),
            ("rtmp://h/", RtmpUrlError::App),
            ("rtmp://h/?q", RtmpUrlError::App),
            ("rtmp://u@h/live", RtmpUrlError::Credentials),
            ("rtmp://:p@h/live", RtmpUrlError::Credentials),
            ("rtmp://u:%zz@h/live", RtmpUrlError::Credentials),
            ("rtmp://u:%4@h/live", RtmpUrlError::Credentials),
            ("rtmp://[::1/live", RtmpUrlError::Host),
            ("rtmp://[::g]/live", RtmpUrlError::Host),
            ("rtmp://[::1]x/live", RtmpUrlError::Host),
            ("rtmp://h/li ve", RtmpUrlError::Character),
        ] {
            assert_eq!(RtmpUrl::parse(text), Err(error), "{text}");
        }
        let long = format!("rtmp://h/{}", "a".repeat(RTMP_URL_BYTES));
        assert_eq!(RtmpUrl::parse(&long), Err(RtmpUrlError::TooLong));
        assert!(StreamKey::new("").is_none());
        assert!(StreamKey::new("a\nb").is_none());
        assert!(StreamKey::new(&"a".repeat(RTMP_NAME_BYTES + 1)).is_none());
    }

    #[test]
    fn truncated_and_mutated_addresses_never_panic() {
        let text = "rtmp://me%40home:p%3Ass@[2001:db8::1]:1936/live/east?t=1";
        for len in 0..text.len() {
            let _ = RtmpUrl::parse(&text[..len]);
        }
        let mut rng = Rng::from_number(3);
        for _ in 0..20_000 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len() as u32) as usize;
                bytes[at] = rng.u32() as u8;
            }
            let _ = RtmpUrl::parse(&std::string::String::from_utf8_lossy(&bytes));
        }
    }
}
