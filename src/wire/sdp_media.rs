//! One media section of a session description, with what it takes from the session section.

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

use sdp_types::{AddrType, Attribute, Bandwidth, Media, NetType, Session};

use crate::wire::sdp::Direction;
use crate::wire::sdp_codec::{H264Format, RtpMap, fmtp_parameters, payload_type_number};
use crate::wire::sdp_crypto::{CryptoError, CryptoLine};

/// What a media line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// `m=audio`.
    Audio,
    /// `m=video`.
    Video,
    /// Anything else: application, image, text, message.
    Other,
}

/// Where a section wants its media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaAddress {
    /// This address.
    Ip(IpAddr),
    /// Nowhere for now: `0.0.0.0`, `::` or a name under `.invalid` (RFC 3264, section 8.4 and
    /// RFC 6157, section 5).
    Hold,
    /// Unknown until media comes: a host name, an address with a zone, or no `c=` line.
    Unknown,
    /// A multicast or broadcast address.
    Multicast,
    /// A network or address type other than IN with IP4 or IP6.
    UnknownType,
}

/// Feedback messages that a section offers (RFC 4585, RFC 5104).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// Picture loss indication: `nack pli`.
    pub pli: bool,
    /// Full intra request: `ccm fir`.
    pub fir: bool,
    /// Generic negative acknowledgement: `nack` alone.
    pub nack: bool,
    /// Temporary maximum bit rate request: `ccm tmmbr`.
    pub tmmbr: bool,
    /// Receiver estimated maximum bit rate (draft-alvestrand-rmcat-remb): `goog-remb`.
    pub remb: bool,
}

impl Feedback {
    /// Every message as `a=rtcp-fb` writes it, and whether it is offered.
    pub const fn messages(self) -> [(&'static str, bool); 5] {
        [
            ("nack pli", self.pli),
            ("ccm fir", self.fir),
            ("nack", self.nack),
            ("ccm tmmbr", self.tmmbr),
            ("goog-remb", self.remb),
        ]
    }

    /// What either has.
    pub const fn or(self, other: Self) -> Self {
        Self {
            pli: self.pli || other.pli,
            fir: self.fir || other.fir,
            nack: self.nack || other.nack,
            tmmbr: self.tmmbr || other.tmmbr,
            remb: self.remb || other.remb,
        }
    }
}

/// Which payload types an `a=rtcp-fb` line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackScope {
    /// `*`: all of the section.
    All,
    /// One payload type by number.
    PayloadType(u8),
}

/// One media section.
#[derive(Clone, Copy, Debug)]
pub struct MediaLine<'a> {
    session: &'a Session,
    media: &'a Media,
}

impl<'a> MediaLine<'a> {
    pub(super) const fn new(session: &'a Session, media: &'a Media) -> Self {
        Self { session, media }
    }

    /// The section as the crate's model.
    pub const fn section(&self) -> &'a Media {
        self.media
    }

    /// What it is about.
    pub fn kind(&self) -> MediaKind {
        if self.media.media.eq_ignore_ascii_case("audio") {
            MediaKind::Audio
        } else if self.media.media.eq_ignore_ascii_case("video") {
            MediaKind::Video
        } else {
            MediaKind::Other
        }
    }

    /// The port; 0 means that the section is not in use.
    pub const fn port(&self) -> u16 {
        self.media.port
    }

    /// Whether it is RTP in the clear: RTP/AVP or RTP/AVPF.
    pub fn is_plain_rtp(&self) -> bool {
        self.is_protocol(["RTP/AVP", "RTP/AVPF"])
    }

    /// Whether it is SRTP with keys in the description: RTP/SAVP or RTP/SAVPF.
    pub fn is_secure_rtp(&self) -> bool {
        self.is_protocol(["RTP/SAVP", "RTP/SAVPF"])
    }

    /// Its `a=crypto` lines (RFC 4568), read, in order of preference.
    pub fn crypto(&self) -> impl Iterator<Item = Result<CryptoLine, CryptoError>> + use<'a> {
        self.values("crypto").map(CryptoLine::parse)
    }

    /// The payload types in order of preference, each once; other formats are left out.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> + use<'a> {
        let mut seen = 0_u128;
        let all = self
            .media
            .fmt
            .split_ascii_whitespace()
            .filter_map(payload_type_number);
        all.filter(move |number| {
            let bit = 1_u128 << (number & 127);
            let new = seen & bit == 0;
            seen |= bit;
            new
        })
    }

    /// The encoding of a payload type: from `a=rtpmap`, else from the fixed ones.
    pub fn rtpmap(&self, payload_type: u8) -> Option<RtpMap<'a>> {
        self.values("rtpmap")
            .filter_map(RtpMap::parse)
            .find(|(number, _)| *number == payload_type)
            .map(|(_, map)| map)
            .or_else(|| RtpMap::fixed(payload_type))
    }

    /// The text of the `a=fmtp` lines of a payload type.
    pub fn fmtp(&self, payload_type: u8) -> impl Iterator<Item = &'a str> + use<'a> {
        self.values("fmtp").filter_map(move |value| {
            let (number, text) = value.trim().split_once(char::is_whitespace)?;
            (payload_type_number(number)? == payload_type).then(|| text.trim())
        })
    }

    /// The H.264 parameters of a payload type.
    pub fn h264(&self, payload_type: u8) -> H264Format {
        H264Format::parse(self.fmtp(payload_type).flat_map(fmtp_parameters))
    }

    /// The direction: of the section, else of the session, else both ways.
    pub fn direction(&self) -> Direction {
        let find = |attributes: &[Attribute]| {
            attributes
                .iter()
                .find_map(|a| Direction::from_attribute(a.attribute.trim()))
        };
        find(&self.media.attributes)
            .or_else(|| find(&self.session.attributes))
            .unwrap_or_default()
    }

    /// Where media goes: by the `c=` line of the section, else of the session.
    pub fn address(&self) -> MediaAddress {
        let connection = self
            .media
            .connections
            .first()
            .or(self.session.connection.as_ref());
        let Some(connection) = connection else {
            return MediaAddress::Unknown;
        };
        address(
            &connection.nettype,
            &connection.addrtype,
            &connection.connection_address,
        )
    }

    /// Whether the section is to be reached by IPv6, also while its address is not known.
    pub fn is_ipv6(&self) -> bool {
        match self.address() {
            MediaAddress::Ip(ip) => ip.is_ipv6(),
            _ => self
                .media
                .connections
                .first()
                .or(self.session.connection.as_ref())
                .is_some_and(|connection| connection.addrtype == AddrType::Ip6),
        }
    }

    /// Port and, where given, address of `a=rtcp` (RFC 3605).
    pub fn rtcp(&self) -> Option<(u16, Option<MediaAddress>)> {
        let mut fields = self.values("rtcp").next()?.split_ascii_whitespace();
        let port = fields.next()?.parse().ok().filter(|port| *port != 0)?;
        let given = match (fields.next(), fields.next(), fields.next()) {
            (Some(network), Some(family), Some(text)) => Some(address(
                &NetType::from(network),
                &AddrType::from(family),
                text,
            )),
            _ => None,
        };
        Some((port, given))
    }

    /// Whether RTCP may share the RTP port (RFC 5761).
    pub fn rtcp_mux(&self) -> bool {
        self.has("rtcp-mux")
    }

    /// The feedback messages offered with exactly this scope.
    pub fn feedback(&self, scope: FeedbackScope) -> Feedback {
        let mut feedback = Feedback::default();
        for value in self.values("rtcp-fb") {
            let mut fields = value.split_ascii_whitespace();
            let about = match fields.next() {
                Some("*") => FeedbackScope::All,
                Some(number) => match payload_type_number(number) {
                    Some(number) => FeedbackScope::PayloadType(number),
                    None => continue,
                },
                None => continue,
            };
            if about != scope {
                continue;
            }
            let is = |field: Option<&str>, word: &str| {
                field.is_some_and(|field| field.eq_ignore_ascii_case(word))
            };
            let (kind, detail) = (fields.next(), fields.next());
            feedback.pli |= is(kind, "nack") && is(detail, "pli");
            feedback.fir |= is(kind, "ccm") && is(detail, "fir");
            feedback.nack |= is(kind, "nack") && detail.is_none();
            feedback.tmmbr |= is(kind, "ccm") && is(detail, "tmmbr");
            feedback.remb |= is(kind, "goog-remb");
        }
        feedback
    }

    /// Bits a second that the writer wants to receive at most: of the section, else of the whole
    /// session. See [`bitrate`].
    pub fn bitrate(&self) -> Option<u64> {
        bitrate(&self.media.bandwidths).or_else(|| bitrate(&self.session.bandwidths))
    }

    /// Milliseconds of audio that the writer would like in a packet.
    pub fn ptime(&self) -> Option<u16> {
        self.number("ptime")
    }

    /// Milliseconds of audio that the writer takes in a packet at most.
    pub fn maxptime(&self) -> Option<u16> {
        self.number("maxptime")
    }

    /// Whether the section carries slides rather than the main picture (RFC 4796).
    pub fn is_slides(&self) -> bool {
        self.values("content").any(|value| {
            value
                .split(',')
                .any(|content| content.trim().eq_ignore_ascii_case("slides"))
        })
    }

    fn is_protocol(&self, known: [&str; 2]) -> bool {
        let mut known = known.into_iter();
        known.any(|known| self.media.proto.eq_ignore_ascii_case(known))
    }

    /// Whether the section has an attribute, with or without value.
    fn has(&self, name: &str) -> bool {
        self.media
            .attributes
            .iter()
            .any(|a| a.attribute.eq_ignore_ascii_case(name))
    }

    /// The values of all attributes of a name in the section.
    fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let all = self.media.attributes.iter();
        all.filter(move |a| a.attribute.eq_ignore_ascii_case(name))
            .filter_map(|a| a.value.as_deref())
    }

    /// A number, of which only the whole part counts (`20.0` is written by some).
    fn number(&self, name: &str) -> Option<u16> {
        let value = self.values(name).next()?.trim();
        value
            .split('.')
            .next()?
            .parse()
            .ok()
            .filter(|number| *number != 0)
    }
}

/// Bits a second that `b=` lines amount to: `TIAS` (RFC 3890), else `AS` (RFC 8866, section 5.8),
/// which is in units of 1,000 bits and counts the headers of IP and UDP in. `None` where there is
/// neither, and for 0.
pub fn bitrate<'a>(lines: impl IntoIterator<Item = &'a Bandwidth> + Copy) -> Option<u64> {
    let of = |name: &str| {
        lines
            .into_iter()
            .find(|line| line.bwtype.eq_ignore_ascii_case(name))
            .map(|line| line.bandwidth)
    };
    of("TIAS")
        .or_else(|| of("AS").map(|kilobits| kilobits.saturating_mul(1_000)))
        .filter(|rate| *rate > 0)
}

/// An address by its three fields.
fn address(network: &NetType, family: &AddrType, text: &str) -> MediaAddress {
    if *network != NetType::In || !matches!(family, AddrType::Ip4 | AddrType::Ip6) {
        return MediaAddress::UnknownType;
    }
    let text = text.split('/').next().unwrap_or_default();
    // Some write an IPv6 address as in a URI.
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    let Ok(ip) = bare.parse::<IpAddr>() else {
        let top = text
            .trim_end_matches('.')
            .rsplit('.')
            .next()
            .unwrap_or_default();
        let invalid = top.eq_ignore_ascii_case("invalid");
        return if invalid {
            MediaAddress::Hold
        } else {
            MediaAddress::Unknown
        };
    };
    match ip.to_canonical() {
        ip if ip.is_unspecified() => MediaAddress::Hold,
        ip if ip.is_multicast() => MediaAddress::Multicast,
        IpAddr::V4(v4) if v4.is_broadcast() => MediaAddress::Multicast,
        ip => MediaAddress::Ip(ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sdp::SessionDescription;

    fn description(text: &str) -> SessionDescription {
        SessionDescription::parse(text.as_bytes()).unwrap()
    }

    /// Checks something of the first media section of a text.
    fn first<T>(text: &str, check: impl Fn(MediaLine<'_>) -> T) -> T {
        check(description(text).media().next().unwrap())
    }

    #[test]
    fn payload_types_belong_to_their_media_line() {
        let text = "m=audio 2 RTP/AVP 96\na=rtpmap:96 opus/48000/2\n\
                    m=video 4 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
        let parsed = description(text);
        let names: Vec<_> = parsed
            .media()
            .map(|m| m.rtpmap(96).unwrap().encoding)
            .collect();
        assert_eq!(names, ["opus", "H264"]);
    }

    #[test]
    fn fixed_payload_types_need_no_rtpmap_and_an_rtpmap_overrides_them() {
        let text = "m=audio 2 RTP/AVP 8 0 18\na=rtpmap:0 speex/8000\n";
        first(text, |m| {
            assert_eq!(m.payload_types().collect::<Vec<_>>(), [8, 0, 18]);
            assert!(m.rtpmap(8).unwrap().is("PCMA", 8_000));
            assert_eq!(m.rtpmap(0).unwrap().encoding, "speex");
            assert_eq!(m.rtpmap(18).unwrap().encoding, "G729");
            assert_eq!(m.rtpmap(35), None);
        });
    }

    #[test]
    fn what_a_section_does_not_say_the_session_does() {
        let text = "c=IN IP4 1.1.1.1\na=sendonly\nm=audio 2 RTP/AVP 0\n\
                    m=video 4 RTP/AVP 96\nc=IN IP6 2001:db8::1\na=recvonly\n";
        let parsed = description(text);
        let got: Vec<_> = parsed
            .media()
            .map(|m| (m.direction(), m.address()))
            .collect();
        let ip = |text: &str| MediaAddress::Ip(text.parse().unwrap());
        assert_eq!(got[0], (Direction::SendOnly, ip("1.1.1.1")));
        assert_eq!(got[1], (Direction::RecvOnly, ip("2001:db8::1")));
    }

    #[test]
    fn addresses_of_all_kinds_are_told_apart() {
        let of = |c: &str| first(&format!("c={c}\nm=audio 2 RTP/AVP 0\n"), |m| m.address());
        assert_eq!(of("IN IP4 0.0.0.0"), MediaAddress::Hold);
        assert_eq!(of("IN IP6 ::"), MediaAddress::Hold);
        assert_eq!(of("IN IP6 gone.invalid"), MediaAddress::Hold);
        assert_eq!(of("IN IP4 phone.example.com"), MediaAddress::Unknown);
        assert_eq!(of("IN IP4 224.2.1.1/127/3"), MediaAddress::Multicast);
        assert_eq!(of("IN IP4 255.255.255.255"), MediaAddress::Multicast);
        assert_eq!(of("ATM NSAP 47.0"), MediaAddress::UnknownType);
        assert_eq!(of("IN E164 4711"), MediaAddress::UnknownType);
        assert_eq!(
            of("in ip4 1.2.3.4"),
            MediaAddress::Ip("1.2.3.4".parse().unwrap())
        );
        assert_eq!(
            of("IN IP6 [2001:db8::7]"),
            MediaAddress::Ip("2001:db8::7".parse().unwrap())
        );
        assert_eq!(
            first("m=audio 2 RTP/AVP 0\n", |m| m.address()),
            MediaAddress::Unknown
        );
    }

    #[test]
    fn rtcp_port_and_address_are_read() {
        let of = |a: &str| first(&format!("m=audio 2 RTP/AVP 0\na=rtcp:{a}\n"), |m| m.rtcp());
        assert_eq!(of("53020"), Some((53_020, None)));
        let ip = MediaAddress::Ip("2001:db8::1".parse().unwrap());
        assert_eq!(of("53020 IN IP6 2001:db8::1"), Some((53_020, Some(ip))));
        assert_eq!(of("0"), None);
        assert_eq!(of("99999"), None);
    }

    #[test]
    fn feedback_is_read_by_payload_type_and_wildcard() {
        let text = "m=video 4 RTP/AVPF 96 97\na=rtcp-fb:* ccm fir\na=rtcp-fb:97 nack pli\n\
                    a=rtcp-fb:97 nack\na=rtcp-fb:* trr-int 100\na=rtcp-fb:x nack\na=rtcp-fb:\n";
        first(text, |m| {
            let all = Feedback {
                fir: true,
                ..Feedback::default()
            };
            assert_eq!(m.feedback(FeedbackScope::All), all);
            let one = Feedback {
                pli: true,
                nack: true,
                ..Feedback::default()
            };
            assert_eq!(m.feedback(FeedbackScope::PayloadType(97)), one);
            assert_eq!(
                m.feedback(FeedbackScope::PayloadType(96)),
                Feedback::default()
            );
        });
    }

    #[test]
    fn packet_times_and_content_are_read() {
        let text = "m=audio 2 RTP/AVP 0\na=ptime:20.0\na=maxptime:x\na=content:main,slides\n";
        first(text, |m| {
            assert_eq!(
                (m.ptime(), m.maxptime(), m.is_slides()),
                (Some(20), None, true)
            );
        });
    }

    #[test]
    fn a_line_without_formats_is_out_of_use() {
        first("m=video 4 RTP/AVP\n", |m| {
            assert_eq!((m.port(), m.section().fmt.as_str()), (0, "0"));
        });
    }
}
