//! What a readiness report is about, packed into the number that the kernel keeps for us.

use crate::base::codec::Track;
use crate::base::ids::ConnId;
use crate::gateway::outlet::{CallIndex, MediaPort};

/// The socket behind a readiness report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// One of the datagram sockets of a trunk: its place in the list.
    SipUdp(u32),
    /// A listener: its place in the list.
    Listener(u32),
    /// A TCP connection.
    Stream(ConnId),
    /// A wake from another thread.
    Alarm,
    /// The socket of the panel.
    Panel,
    /// One of a call's media sockets.
    Media(CallIndex, Track, MediaPort),
}

impl Token {
    /// The number for the kernel.
    pub fn pack(self) -> u64 {
        let (kind, value) = match self {
            Self::SipUdp(at) => (0, at),
            Self::Listener(at) => (1, at),
            Self::Stream(conn) => (2, conn.0),
            Self::Alarm => (3, 0),
            Self::Panel => (5, 0),
            Self::Media(call, track, port) => (
                4,
                u32::from(call.0) << 2
                    | u32::from(track == Track::Video) << 1
                    | u32::from(port == MediaPort::Rtcp),
            ),
        };
        kind << 32 | u64::from(value)
    }

    /// The token of a number made by [`Self::pack`].
    pub fn unpack(number: u64) -> Self {
        let value = number as u32;
        match number >> 32 {
            0 => Self::SipUdp(value),
            1 => Self::Listener(value),
            2 => Self::Stream(ConnId(value)),
            3 => Self::Alarm,
            5 => Self::Panel,
            _ => Self::Media(
                CallIndex((value >> 2) as u16),
                if value & 2 != 0 {
                    Track::Video
                } else {
                    Track::Audio
                },
                if value & 1 != 0 {
                    MediaPort::Rtcp
                } else {
                    MediaPort::Rtp
                },
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing() {
        for token in [
            Token::SipUdp(3),
            Token::Listener(u32::MAX),
            Token::Alarm,
            Token::Panel,
            Token::Stream(ConnId(0xffff_0001)),
            Token::Media(CallIndex(u16::MAX), Track::Video, MediaPort::Rtp),
            Token::Media(CallIndex(7), Track::Audio, MediaPort::Rtcp),
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
