//! What a trunk wants of its descriptions: codecs and their order, template, added lines.
//!
//! Where the wishes meet:
//!
//! - `codecs` orders and limits. Names that are not relayed yet (`opus`, `vp8`) are passed over, so
//!   a list without a G.711 name refuses audio, and one without `h264` refuses video.
//! - Without `codecs`, the template's payloads order the audio codecs. They do not limit: a
//!   template that names only Opus still gets G.711, because nothing else can be relayed.
//! - Without either, the order of the offer decides.
//! - A template with media lines limits their kinds: audio or video that it does not have, or has
//!   with port 0, is refused. Its dummy addresses, ports and payload numbers are not used.

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

use heapless::Vec as FixedVec;
use sdp_types::{Attribute, Bandwidth};

use crate::limits::SDP_EXTRA_LINES;
use crate::sdp::template::{KindTemplate, Template};
use crate::wire::sdp::{Direction, SdpError};
use crate::wire::sdp_media::MediaKind;

/// A codec that is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    H264,
    Pcma,
    Pcmu,
}

impl Codec {
    /// The codec of a configured or encoding name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let is = |names: &[&str]| {
            names
                .iter()
                .any(|known| name.trim().eq_ignore_ascii_case(known))
        };
        if is(&["h264", "avc"]) {
            Some(Self::H264)
        } else if is(&["pcma", "alaw", "g711a"]) {
            Some(Self::Pcma)
        } else if is(&["pcmu", "ulaw", "g711u"]) {
            Some(Self::Pcmu)
        } else {
            None
        }
    }

    pub(super) const fn kind(self) -> MediaKind {
        match self {
            Self::H264 => MediaKind::Video,
            Self::Pcma | Self::Pcmu => MediaKind::Audio,
        }
    }

    pub(super) const fn encoding(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
        }
    }

    pub(super) const fn clock_rate(self) -> u32 {
        match self {
            Self::H264 => 90_000,
            Self::Pcma | Self::Pcmu => 8_000,
        }
    }
}

/// The wishes of one trunk, read once from its configuration.
#[derive(Clone, Debug)]
pub struct CodecPlan {
    /// The codecs wanted, best first.
    codecs: FixedVec<Codec, 3>,
    /// Whether their order counts before the order of the offer.
    ordered: bool,
    template: Template,
    /// Lines of `sdpParams` for the session section.
    bandwidths: FixedVec<Bandwidth, SDP_EXTRA_LINES>,
    attributes: FixedVec<Attribute, SDP_EXTRA_LINES>,
}

impl Default for CodecPlan {
    fn default() -> Self {
        let mut codecs = FixedVec::new();
        // Three codecs fit three places.
        let _ = codecs.extend_from_slice(&[Codec::H264, Codec::Pcma, Codec::Pcmu]);
        Self {
            codecs,
            ordered: false,
            template: Template::default(),
            bandwidths: FixedVec::new(),
            attributes: FixedVec::new(),
        }
    }
}

impl CodecPlan {
    /// The plan of a trunk's `codecs`, `sdp` and `sdpParams`, each where it is given.
    ///
    /// `codecs` is `None` where the trunk names none: a list of all codecs is not the same, because
    /// its order counts before that of the offer and of the template.
    ///
    /// `sdpParams` takes `b=` lines, which stand after the session's `c=` line, and `a=` lines,
    /// which stand at the end of the session section.
    pub fn new(
        codecs: Option<&[&str]>,
        template: Option<&str>,
        params: &[&str],
    ) -> Result<Self, PlanError> {
        let mut plan = Self::default();
        if let Some(text) = template {
            plan.template = Template::parse(text).map_err(PlanError::Template)?;
        }
        let named: FixedVec<Codec, 3> = match codecs {
            Some(names) => distinct(names.iter().filter_map(|name| Codec::from_name(name))),
            None => distinct(plan.template.codecs()),
        };
        plan.ordered = named.iter().any(|codec| codec.kind() == MediaKind::Audio);
        match codecs {
            Some(_) => plan.codecs = named,
            None => {
                let rest = core::mem::take(&mut plan.codecs);
                plan.codecs = distinct(named.into_iter().chain(rest));
            }
        }
        for (at, line) in params.iter().enumerate() {
            plan.add(line).ok_or(PlanError::Param { index: at })?;
        }
        Ok(plan)
    }

    /// Whether media of a kind is wanted at all.
    pub(super) fn wants(&self, kind: MediaKind) -> bool {
        self.codecs.iter().any(|codec| codec.kind() == kind) && self.template.allows(kind)
    }

    /// The codecs wanted of a kind, best first.
    pub(super) fn codecs(&self, kind: MediaKind) -> impl Iterator<Item = Codec> + '_ {
        self.codecs
            .iter()
            .copied()
            .filter(move |codec| codec.kind() == kind)
    }

    /// Whether the order of [`Self::codecs`] counts before the order of the offer.
    pub(super) const fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// What we would do with media of a kind: always receive; send audio, unless the template
    /// does not.
    pub(super) fn wish(&self, kind: MediaKind) -> Direction {
        let template = self.template.of(kind).map(|of| of.direction);
        let sends = kind == MediaKind::Audio && template.is_none_or(Direction::sends);
        Direction::new(sends, true)
    }

    /// The template's section for a kind.
    pub(super) fn section(&self, kind: MediaKind) -> Option<&KindTemplate> {
        self.template.of(kind)
    }

    /// User and session name.
    pub(super) fn names(&self) -> (Option<&str>, &str) {
        (self.template.user.as_deref(), &self.template.session_name)
    }

    /// The session's `b=` lines: those of `sdpParams`, then those of the template of other types.
    pub(super) fn bandwidths(&self) -> impl Iterator<Item = &Bandwidth> {
        let overridden = |of: &Bandwidth| {
            self.bandwidths
                .iter()
                .any(|own| own.bwtype.eq_ignore_ascii_case(&of.bwtype))
        };
        let of_template = self
            .template
            .bandwidths
            .iter()
            .filter(move |of| !overridden(of));
        self.bandwidths.iter().chain(of_template)
    }

    /// The session's added `a=` lines.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.template.attributes.iter().chain(&self.attributes)
    }

    /// Takes one line of `sdpParams`.
    fn add(&mut self, line: &str) -> Option<()> {
        let (key, value) = line.trim().split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        if value.is_empty() || value.chars().any(char::is_control) {
            return None;
        }
        match key {
            "b" => {
                let (name, number) = value.split_once(':')?;
                let bandwidth = number.trim().parse().ok()?;
                let bwtype = name.trim();
                if bwtype.is_empty() || bwtype.contains(char::is_whitespace) {
                    return None;
                }
                self.bandwidths
                    .push(Bandwidth {
                        bwtype: bwtype.to_owned(),
                        bandwidth,
                    })
                    .ok()
            }
            "a" => {
                let (attribute, value) = match value.split_once(':') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (value, None),
                };
                self.attributes
                    .push(Attribute {
                        attribute: attribute.to_owned(),
                        value,
                    })
                    .ok()
            }
            _ => None,
        }
    }
}

/// The codecs without repetition.
fn distinct(codecs: impl Iterator<Item = Codec>) -> FixedVec<Codec, 3> {
    let mut seen = FixedVec::new();
    for codec in codecs {
        if !seen.contains(&codec) {
            // There are three codecs.
            let _ = seen.push(codec);
        }
    }
    seen
}

/// What is wrong with a trunk's wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The `sdp` template cannot be read.
    Template(SdpError),
    /// An entry of `sdpParams`, counted from 0, is no `b=<type>:<number>` or `a=` line, or one too
    /// many.
    Param {
        /// Its place in the list.
        index: usize,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template(error) => write!(f, "sdp: {error}"),
            Self::Param { index } => write!(
                f,
                "sdpParams[{index}]: expected b=<type>:<number> or a=<attribute>, at most \
                 {SDP_EXTRA_LINES} of each"
            ),
        }
    }
}

impl core::error::Error for PlanError {}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = "o=10009 2469 1555 IN IP4 0.0.0.0\nc=IN IP4 0.0.0.0\nt=0 0\n\
        m=audio 7270 RTP/AVP 96\na=rtpmap:96 opus/48000/2\na=recvonly\n\
        m=video 9202 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 profile-level-id=42801F\n\
        a=recvonly\n";

    fn audio(plan: &CodecPlan) -> Vec<Codec> {
        plan.codecs(MediaKind::Audio).collect()
    }

    #[test]
    fn a_codec_list_orders_and_limits() {
        let plan = CodecPlan::new(Some(&["h264", "opus", "pcmu", "PCMA"]), None, &[]).unwrap();
        assert_eq!(audio(&plan), [Codec::Pcmu, Codec::Pcma]);
        assert!(plan.is_ordered() && plan.wants(MediaKind::Video));
        let plan = CodecPlan::new(Some(&["opus", "pcma"]), None, &[]).unwrap();
        assert_eq!(audio(&plan), [Codec::Pcma]);
        assert!(!plan.wants(MediaKind::Video));
        let plan = CodecPlan::new(Some(&["h264", "opus"]), None, &[]).unwrap();
        assert!(!plan.wants(MediaKind::Audio));
    }

    #[test]
    fn the_reference_template_falls_back_to_what_is_relayed() {
        let plan = CodecPlan::new(None, Some(REFERENCE), &[]).unwrap();
        assert_eq!(audio(&plan), [Codec::Pcma, Codec::Pcmu]);
        assert!(!plan.is_ordered());
        assert!(plan.wants(MediaKind::Video));
        assert_eq!(plan.wish(MediaKind::Audio), Direction::RecvOnly);
        assert_eq!(plan.wish(MediaKind::Video), Direction::RecvOnly);
        assert_eq!(plan.names(), (Some("10009"), "-"));
    }

    #[test]
    fn a_template_orders_codecs_and_limits_kinds() {
        let text = "m=audio 1 RTP/AVP 0 8\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
        let plan = CodecPlan::new(None, Some(text), &[]).unwrap();
        assert_eq!(audio(&plan), [Codec::Pcmu, Codec::Pcma]);
        assert!(plan.is_ordered());
        assert!(!plan.wants(MediaKind::Video));
        assert_eq!(plan.wish(MediaKind::Audio), Direction::SendRecv);
    }

    #[test]
    fn added_bandwidth_overrides_the_template_of_its_type() {
        let text = "b=AS:64\nb=CT:9\n";
        let plan = CodecPlan::new(None, Some(text), &["b=AS:2000", " b=RS:50"]).unwrap();
        let got: Vec<_> = plan
            .bandwidths()
            .map(|b| (b.bwtype.as_str(), b.bandwidth))
            .collect();
        assert_eq!(got, [("AS", 2_000), ("RS", 50), ("CT", 9)]);
    }

    #[test]
    fn lines_that_are_no_parameters_are_named() {
        for bad in [
            "",
            "b=AS",
            "b=AS:x",
            "m=audio 1 RTP/AVP 0",
            "a=",
            "AS:2000",
            "a=x\r\nm=y",
        ] {
            let got = CodecPlan::new(None, None, &["b=AS:1", bad]).unwrap_err();
            assert_eq!(got, PlanError::Param { index: 1 }, "{bad}");
        }
        let many = ["a=x"; SDP_EXTRA_LINES + 1];
        let got = CodecPlan::new(None, None, &many).unwrap_err();
        assert_eq!(
            got,
            PlanError::Param {
                index: SDP_EXTRA_LINES
            }
        );
        let got = CodecPlan::new(None, Some("m=audio\n"), &[]).unwrap_err();
        assert_eq!(got.to_string(), "sdp: unreadable m= line, line 1");
    }
}
