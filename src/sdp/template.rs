//! A trunk's `sdp` template: whose names, directions, bandwidths and other attributes our
//! descriptions take over.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use heapless::Vec as FixedVec;
use sdp_types::{Attribute, Bandwidth};

use crate::base::codec::Codec;
use crate::limits::SDP_EXTRA_LINES;
use crate::sdp::codec_plan::Codecs;
use crate::sdp::format::{codec_named, kind_of};
use crate::wire::sdp::{Direction, SdpError, SessionDescription};
use crate::wire::sdp_media::{MediaKind, MediaLine};

/// The attributes that a negotiation sets itself, that carry payload numbers, or that promise what
/// is not there. All else of a template is taken over.
const OWN_ATTRIBUTES: [&str; 42] = [
    "acap",
    "acfg",
    "bundle-only",
    "candidate",
    "connection",
    "creq",
    "crypto",
    "csup",
    "end-of-candidates",
    "extmap",
    "extmap-allow-mixed",
    "fingerprint",
    "fmtp",
    "framesize",
    "group",
    "ice-lite",
    "ice-options",
    "ice-pwd",
    "ice-ufrag",
    "identity",
    "imageattr",
    "inactive",
    "key-mgmt",
    "maxptime",
    "mid",
    "msid",
    "msid-semantic",
    "pcfg",
    "ptime",
    "recvonly",
    "rid",
    "rtcp",
    "rtcp-fb",
    "rtcp-mux",
    "rtcp-mux-only",
    "rtcp-rsize",
    "rtpmap",
    "sendonly",
    "sendrecv",
    "setup",
    "ssrc",
    "tcap",
];

/// What a template says of the session, and of the first section of each kind.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// User of the `o=` line.
    pub(super) user: Option<String>,
    /// The `s=` line, `-` where there is none.
    pub(super) session_name: String,
    pub(super) bandwidths: FixedVec<Bandwidth, SDP_EXTRA_LINES>,
    pub(super) attributes: FixedVec<Attribute, SDP_EXTRA_LINES>,
    audio: Option<KindTemplate>,
    video: Option<KindTemplate>,
    /// Whether it has media lines at all.
    has_media: bool,
}

/// What a template says of one kind of media.
#[derive(Clone, Debug)]
pub(super) struct KindTemplate {
    pub(super) direction: Direction,
    pub(super) bandwidths: FixedVec<Bandwidth, SDP_EXTRA_LINES>,
    pub(super) attributes: FixedVec<Attribute, SDP_EXTRA_LINES>,
    /// The relayed codecs it names, in its order.
    codecs: Codecs,
    /// Its H.264 profile, as written and as bytes.
    pub(super) profile_level_id: Option<(String, [u8; 3])>,
}

impl Default for Template {
    fn default() -> Self {
        Self {
            user: None,
            session_name: "-".to_owned(),
            bandwidths: FixedVec::new(),
            attributes: FixedVec::new(),
            audio: None,
            video: None,
            has_media: false,
        }
    }
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, SdpError> {
        let description = SessionDescription::parse(text.as_bytes())?;
        let session = description.session();
        let first = |kind: MediaKind| {
            description
                .media()
                .find(|line| line.kind() == kind && line.port() != 0)
                .map(|line| KindTemplate::read(&line))
        };
        let session_name = match session.session_name.trim() {
            "" => "-".to_owned(),
            name => name.to_owned(),
        };
        Ok(Self {
            user: session.origin.username.clone(),
            session_name,
            bandwidths: bandwidths(&session.bandwidths),
            attributes: others(&session.attributes),
            audio: first(MediaKind::Audio),
            video: first(MediaKind::Video),
            has_media: !session.medias.is_empty(),
        })
    }

    /// The section of a kind.
    pub(super) const fn of(&self, kind: MediaKind) -> Option<&KindTemplate> {
        match kind {
            MediaKind::Audio => self.audio.as_ref(),
            MediaKind::Video => self.video.as_ref(),
            MediaKind::Other => None,
        }
    }

    /// Whether a kind may be used: the template has it, or has no media line.
    pub(super) const fn allows(&self, kind: MediaKind) -> bool {
        !self.has_media || self.of(kind).is_some()
    }

    /// The relayed codecs it names, in its order.
    pub(super) fn codecs(&self) -> impl Iterator<Item = Codec> + '_ {
        [&self.audio, &self.video]
            .into_iter()
            .flatten()
            .flat_map(|of| of.codecs.iter().copied())
    }
}

impl KindTemplate {
    fn read(line: &MediaLine<'_>) -> Self {
        let mut codecs = Codecs::new();
        let mut profile_level_id = None;
        for payload_type in line.payload_types() {
            let Some(map) = line.rtpmap(payload_type) else {
                continue;
            };
            let Some(codec) = codec_named(map.encoding) else {
                continue;
            };
            if kind_of(codec) != line.kind() || codecs.contains(&codec) {
                continue;
            }
            // There is room for each codec once.
            let _ = codecs.push(codec);
            if codec == Codec::H264 {
                let format = line.h264(payload_type);
                profile_level_id = format.profile_level_id_text.zip(format.profile_level_id);
            }
        }
        Self {
            direction: line.direction(),
            bandwidths: bandwidths(&line.section().bandwidths),
            attributes: others(&line.section().attributes),
            codecs,
            profile_level_id,
        }
    }
}

fn bandwidths(all: &[Bandwidth]) -> FixedVec<Bandwidth, SDP_EXTRA_LINES> {
    all.iter().take(SDP_EXTRA_LINES).cloned().collect()
}

fn others(all: &[Attribute]) -> FixedVec<Attribute, SDP_EXTRA_LINES> {
    let own = |name: &str| {
        OWN_ATTRIBUTES
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own))
    };
    all.iter()
        .filter(|a| !own(&a.attribute))
        .take(SDP_EXTRA_LINES)
        .cloned()
        .collect()
}
