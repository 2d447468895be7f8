//! Why a track is not published, in words.

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

use crate::base::codec::Codec;

/// A track that the caller sends and the server is not sent. Prints, for example, `audio left out:
/// the server refused G.711 A-law`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What the caller sends.
    pub codec: Codec,
    /// Why it is not passed on.
    pub why: WhyLeftOut,
}

/// Why a codec is not sent to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyLeftOut {
    /// It can be sent only to a server that lists it (Enhanced RTMP), and this one does not.
    NotListed,
    /// The server was found to refuse it, or is being tried without it.
    Refused,
    /// It is not among the abilities that the publisher was given.
    Profile,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { codec, why } = self;
        write!(f, "{} left out: ", codec.track())?;
        match why {
            WhyLeftOut::NotListed => write!(f, "the server lists no {codec}"),
            WhyLeftOut::Refused => write!(f, "the server refused {codec}"),
            WhyLeftOut::Profile => write!(f, "this kind of server takes no {codec}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_the_track_the_codec_and_the_cause() {
        let words = |codec, why| LeftOut { codec, why }.to_string();
        assert_eq!(
            words(Codec::Pcma, WhyLeftOut::Refused),
            "audio left out: the server refused G.711 A-law"
        );
        assert_eq!(
            words(Codec::Opus, WhyLeftOut::NotListed),
            "audio left out: the server lists no Opus"
        );
        assert_eq!(
            words(Codec::Vp8, WhyLeftOut::Profile),
            "video left out: this kind of server takes no VP8"
        );
    }
}
