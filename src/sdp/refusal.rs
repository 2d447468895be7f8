//! Why a media line, or a whole description, is not accepted.

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

use crate::base::codec::CodecSet;
use crate::base::sink::CodecNames;
use crate::sdp::unrelayed::Unrelayed;
use crate::wire::sdp::SdpError;
use crate::wire::sdp_audio::AacFormatError;
use crate::wire::sdp_crypto::CryptoError;

/// Why one media line is answered with port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineRefusal {
    /// The other side has it out of use (port 0).
    Disabled,
    /// Neither audio nor video.
    MediaKind,
    /// None of RTP/AVP, RTP/AVPF, RTP/SAVP and RTP/SAVPF, or another one than was offered.
    Protocol,
    /// A network or address type other than IN with IP4 or IP6.
    AddressType,
    /// A multicast or broadcast address.
    Multicast,
    /// IPv6 where we have IPv4, or the other way round.
    AddressFamily,
    /// No codec that can be relayed; what was offered instead.
    NoCodec(Unrelayed),
    /// AAC alone, in a form that cannot be relayed.
    Aac(AacFormatError),
    /// Codecs that could be relayed, but that the trunk's `codecs` leave out.
    NotNamed(CodecSet),
    /// Codecs that could be relayed, but that the sink refuses.
    SinkRefuses(CodecSet),
    /// An answer to an offer of ours, with none of the codecs offered.
    NotOffered,
    /// The trunk wants none of this kind.
    NotWanted,
    /// Another line of the same kind is in use.
    Spare,
    /// No local port was given for it.
    NoLocalPort,
    /// SRTP alone, which the trunk has switched off.
    SrtpOff,
    /// SRTP alone, with keys that did not come by TLS.
    SrtpReadable,
    /// No SRTP, without which the trunk takes nothing.
    SrtpRequired,
    /// SRTP without a key that can be used; what is wrong with the first, where there is one.
    NoKey(Option<CryptoError>),
    /// No SRTP, in a call that has it.
    Unprotected,
}

impl LineRefusal {
    /// The warning code of RFC 3261, section 20.43, that comes nearest.
    pub const fn warning_code(self) -> u16 {
        match self {
            Self::Protocol
            | Self::SrtpOff
            | Self::SrtpReadable
            | Self::SrtpRequired
            | Self::NoKey(_)
            | Self::Unprotected => 302,
            Self::AddressType => 300,
            Self::AddressFamily => 301,
            Self::Disabled | Self::MediaKind | Self::NotWanted | Self::Spare => 304,
            Self::NotOffered
            | Self::NoCodec(_)
            | Self::Aac(_)
            | Self::NotNamed(_)
            | Self::SinkRefuses(_) => 305,
            Self::Multicast => 330,
            Self::NoLocalPort => 399,
        }
    }

    /// The one of two that tells more when all lines were refused; both together where they are of
    /// the same kind.
    pub(super) fn more_telling(self, other: Self) -> Self {
        match (self, other) {
            (Self::NoCodec(one), Self::NoCodec(two)) => Self::NoCodec(one.union(two)),
            (Self::NotNamed(one), Self::NotNamed(two)) => Self::NotNamed(one.union(two)),
            (Self::SinkRefuses(one), Self::SinkRefuses(two)) => Self::SinkRefuses(one.union(two)),
            _ if self.weight() > other.weight() => self,
            _ => other,
        }
    }

    /// How much the reason tells.
    const fn weight(self) -> u8 {
        match self {
            Self::Disabled => 0,
            Self::MediaKind => 1,
            Self::Spare => 2,
            Self::NotWanted => 3,
            Self::NoLocalPort => 4,
            Self::Multicast => 5,
            Self::AddressType => 6,
            Self::AddressFamily => 7,
            Self::Protocol => 8,
            Self::NotOffered | Self::NoCodec(_) => 9,
            Self::Aac(_) => 10,
            Self::NotNamed(_) => 11,
            Self::SinkRefuses(_) => 12,
            Self::SrtpOff | Self::SrtpReadable | Self::SrtpRequired => 13,
            Self::NoKey(_) => 14,
            Self::Unprotected => 15,
        }
    }
}

impl fmt::Display for LineRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "media line out of use",
            Self::MediaKind => "media type not available",
            Self::Protocol => "only RTP/AVP, RTP/AVPF, RTP/SAVP and RTP/SAVPF are supported",
            Self::AddressType => "network or address type not supported",
            Self::Multicast => "multicast not available",
            Self::AddressFamily => "address family not available here",
            Self::NoCodec(offered) if offered.is_empty() => "no codec offered",
            Self::NoCodec(offered) => {
                return write!(f, "offered only {offered}; none of them can be relayed");
            }
            Self::Aac(error) => return error.fmt(f),
            Self::NotNamed(codecs) => {
                let codecs = CodecNames(*codecs);
                return write!(f, "the trunk's codecs leave out {codecs}");
            }
            Self::SinkRefuses(codecs) => {
                return write!(f, "the server refused {}", CodecNames(*codecs));
            }
            Self::NotOffered => "the answer has no codec of the offer",
            Self::NotWanted => "media type not wanted on this trunk",
            Self::Spare => "one media line of a kind only",
            Self::NoLocalPort => "no media port available",
            Self::SrtpOff => "SRTP is off on this trunk",
            Self::SrtpReadable => "keys of SRTP are taken over TLS only",
            Self::SrtpRequired => "this trunk requires SRTP",
            Self::NoKey(None) => "no a=crypto line for SRTP",
            Self::NoKey(Some(error)) => return error.fmt(f),
            Self::Unprotected => "media in the clear in a call that has SRTP",
        })
    }
}

/// Why a whole offer, or a whole answer, is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot be read.
    Unreadable(SdpError),
    /// It has no media line at all.
    NoMedia,
    /// No media line of it can be used; the most telling reason.
    NothingUsable(LineRefusal),
    /// An answer came and nothing was offered.
    NoOffer,
}

impl Refusal {
    /// The SIP status to answer with: 400 for what cannot be read, 488 for the rest.
    pub const fn status(self) -> u16 {
        match self {
            Self::Unreadable(_) => 400,
            Self::NoMedia | Self::NothingUsable(_) | Self::NoOffer => 488,
        }
    }

    /// The code for the `Warning` header (RFC 3261, section 20.43); its text is the `Display` form.
    pub const fn warning_code(self) -> u16 {
        match self {
            Self::NothingUsable(reason) => reason.warning_code(),
            Self::NoMedia => 304,
            Self::Unreadable(_) | Self::NoOffer => 399,
        }
    }
}

impl From<SdpError> for Refusal {
    fn from(error: SdpError) -> Self {
        Self::Unreadable(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::NoMedia => f.write_str("no media line"),
            Self::NothingUsable(reason) => reason.fmt(f),
            Self::NoOffer => f.write_str("an answer without an offer"),
        }
    }
}

impl core::error::Error for Refusal {}
