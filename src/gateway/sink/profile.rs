//! Kinds of RTMP servers and the codecs that each takes, as their documents say.
//!
//! What a server lists of Enhanced RTMP says more than its kind: see [`crate::gateway::sink::facts`].

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

use crate::base::codec::{Codec, CodecSet};

/// A kind of RTMP server that a trunk may name by `sink`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// YouTube Live.
    YouTube,
    /// Twitch.
    Twitch,
    /// Facebook Live.
    Facebook,
    /// Wowza Streaming Engine.
    Wowza,
    /// SRS.
    Srs,
    /// nginx with nginx-rtmp-module.
    NginxRtmp,
    /// MediaMTX.
    MediaMtx,
}

/// What a kind of server is known to do with codecs. Those in no set are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Taken for certain.
    pub takes: CodecSet,
    /// Refused for certain, whatever is listed.
    pub refuses: CodecSet,
    /// Taken when the server's answer to `connect` lists them (Enhanced RTMP), and else not.
    pub by_list: CodecSet,
}

/// Codecs that FLV has no number for: only Enhanced RTMP carries them.
pub const ENHANCED: CodecSet = CodecSet::of(&[Codec::Opus, Codec::Vp8]);

const H264_AAC: CodecSet = CodecSet::of(&[Codec::H264, Codec::Aac]);
const G711: CodecSet = CodecSet::of(&[Codec::Pcma, Codec::Pcmu]);
const G711_SPEEX: CodecSet = CodecSet::of(&[Codec::Pcma, Codec::Pcmu, Codec::Speex]);

impl Profile {
    /// Every kind, in the order in which they are told to people.
    pub const ALL: [Self; 7] = [
        Self::YouTube,
        Self::Twitch,
        Self::Facebook,
        Self::Wowza,
        Self::Srs,
        Self::NginxRtmp,
        Self::MediaMtx,
    ];

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::YouTube => "youtube",
            Self::Twitch => "twitch",
            Self::Facebook => "facebook",
            Self::Wowza => "wowza",
            Self::Srs => "srs",
            Self::NginxRtmp => "nginx-rtmp",
            Self::MediaMtx => "mediamtx",
        }
    }

    /// The kind of a name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.name().eq_ignore_ascii_case(name))
    }

    /// What it does with codecs.
    pub const fn abilities(self) -> Abilities {
        match self {
            // Their pages on encoder settings name H.264 (beside others that no telephone sends) and
            // AAC (or MP3), nothing else for sound: support.google.com/youtube/answer/2853702,
            // twitch.tv/creatorcamp "Broadcast recommendations",
            // developers.facebook.com/docs/live-video-api/reference.
            Self::YouTube | Self::Twitch | Self::Facebook => Abilities {
                takes: H264_AAC,
                refuses: G711_SPEEX.union(ENHANCED),
                by_list: CodecSet::NONE,
            },
            // Its page on protocols and formats has Speex beside H.264 and AAC for live streams.
            // G.711 it names elsewhere only, so that is tried.
            Self::Wowza => Abilities {
                takes: H264_AAC.union(CodecSet::of(&[Codec::Speex])),
                refuses: CodecSet::NONE,
                by_list: ENHANCED,
            },
            // It ends the connection at the first packet of G.711 (ossrs/srs#4627); the codecs that
            // it checks for there have no Speex either.
            Self::Srs => Abilities {
                takes: H264_AAC,
                refuses: G711_SPEEX,
                by_list: ENHANCED,
            },
            // It passes audio and video messages on without looking at the codec, and knows nothing
            // of Enhanced RTMP.
            Self::NginxRtmp => Abilities {
                takes: H264_AAC.union(G711_SPEEX),
                refuses: ENHANCED,
                by_list: CodecSet::NONE,
            },
            // G.711 at 8 kHz (bluenviron/mediamtx#2884), Opus by its list (#4088); its table of
            // protocols has VP8 for WebRTC and RTSP only, and Speex nowhere by name.
            Self::MediaMtx => Abilities {
                takes: H264_AAC.union(G711),
                refuses: CodecSet::of(&[Codec::Vp8, Codec::Speex]),
                by_list: CodecSet::of(&[Codec::Opus]),
            },
        }
    }
}

impl Abilities {
    /// A server of unknown kind: H.264 and AAC are what all of them take.
    pub const UNKNOWN: Self = Self {
        takes: H264_AAC,
        refuses: CodecSet::NONE,
        by_list: ENHANCED,
    };

    /// Players at the box itself: whatever FLV has a number for; of the rest, what each lists.
    pub const LOCAL: Self = Self {
        takes: H264_AAC.union(G711_SPEEX),
        refuses: CodecSet::NONE,
        by_list: CodecSet::NONE,
    };

    /// Of a trunk's `sink`, where it names one.
    pub fn of(profile: Option<Profile>) -> Self {
        profile.map_or(Self::UNKNOWN, Profile::abilities)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_takes_what_all_take_and_contradicts_itself_nowhere() {
        for profile in Profile::ALL {
            assert_eq!(Profile::from_name(profile.name()), Some(profile));
            let Abilities {
                takes,
                refuses,
                by_list,
            } = profile.abilities();
            assert_eq!(H264_AAC.without(takes), CodecSet::NONE, "{profile:?}");
            assert!(takes.intersection(refuses).is_empty(), "{profile:?}");
            assert!(by_list.intersection(takes.union(refuses)).is_empty());
            // What FLV has no number for cannot be taken without being listed.
            assert!(takes.intersection(ENHANCED).is_empty(), "{profile:?}");
            assert!(by_list.without(ENHANCED).is_empty(), "{profile:?}");
        }
        assert_eq!(Profile::from_name("YouTube"), Some(Profile::YouTube));
        assert_eq!(Profile::from_name("nginx"), None);
    }
}
