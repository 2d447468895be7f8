//! What a trunk wants of its descriptions: codecs and their order, template, added lines.
//!
//! Where the wishes meet:
//!
//! - What the sink refuses is never negotiated, and what it takes for certain comes before the rest
//!   ([`SinkView`]); the wishes below order codecs that the sink suits
//!   equally well.
//! - `codecs` orders and limits. Names that nothing here relays are passed over, so a list without
//!   an audio codec refuses audio, and one without a video codec refuses video.
//! - Without `codecs`, the template's payloads come first, in its order. They do not limit: a
//!   template that names only Opus still gets G.711 where Opus is not offered or the sink is better
//!   suited by it.
//! - Then the order of the offer decides.
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

use crate::base::codec::{Codec, CodecSet};
use crate::base::sink::{SinkView, Suits};
use crate::limits::SDP_EXTRA_LINES;
use crate::sdp::format::{codec_named, kind_of};
use crate::sdp::template::{KindTemplate, Template};
use crate::wire::sdp::{Direction, SdpError};
use crate::wire::sdp_media::{MediaKind, bitrate};

/// Codecs in an order, each once.
pub(super) type Codecs = FixedVec<Codec, { Codec::ALL.len() }>;

/// The order of our offers among codecs that are equally welcome.
const OFFER_ORDER: [Codec; Codec::ALL.len()] = [
    Codec::H264,
    Codec::Vp8,
    Codec::Aac,
    Codec::Pcma,
    Codec::Pcmu,
    Codec::Speex,
    Codec::Opus,
];

/// The wishes of one trunk, read once from its configuration.
#[derive(Clone, Debug, Default)]
pub struct CodecPlan {
    /// The codecs named by `codecs`, else by the template, best first.
    named: Codecs,
    /// Whether only those are wanted.
    limited: bool,
    template: Template,
    /// Lines of `sdpParams` for the session section.
    bandwidths: FixedVec<Bandwidth, SDP_EXTRA_LINES>,
    attributes: FixedVec<Attribute, SDP_EXTRA_LINES>,
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
        plan.limited = codecs.is_some();
        plan.named = match codecs {
            Some(names) => distinct(names.iter().filter_map(|name| codec_named(name))),
            None => distinct(plan.template.codecs()),
        };
        for (at, line) in params.iter().enumerate() {
            plan.add(line).ok_or(PlanError::Param { index: at })?;
        }
        Ok(plan)
    }

    /// Whether media of a kind is wanted at all.
    pub(super) fn wants(&self, kind: MediaKind) -> bool {
        self.template.allows(kind)
            && Codec::ALL
                .into_iter()
                .any(|codec| kind_of(codec) == kind && self.wants_codec(codec))
    }

    /// Whether a codec may be negotiated at all.
    pub(super) fn wants_codec(&self, codec: Codec) -> bool {
        !self.limited || self.named.contains(&codec)
    }

    /// The place of a codec in the trunk's order; those without a place come after all others and
    /// share one.
    pub(super) fn rank(&self, codec: Codec) -> usize {
        let at = self.named.iter().position(|named| *named == codec);
        at.unwrap_or(self.named.len())
    }

    /// The codecs of a kind that an offer of ours has for a sink, best first.
    ///
    /// The description of AAC is long and few phones have it. It is left out where the trunk does not
    /// name it and G.711 is there to be had, so that our 200 fits one datagram.
    pub(super) fn codecs(&self, kind: MediaKind, sink: SinkView) -> Codecs {
        let offers = |codec: Codec| self.wants_codec(codec) && sink.suits(codec) != Suits::Never;
        let has_g711 = offers(Codec::Pcma) || offers(Codec::Pcmu);
        let is_idle =
            |codec: Codec| codec == Codec::Aac && has_g711 && !self.named.contains(&codec);
        let mut codecs: Codecs = OFFER_ORDER
            .into_iter()
            .filter(|codec| kind_of(*codec) == kind && offers(*codec) && !is_idle(*codec))
            .collect();
        // The sort keeps the order of equals.
        codecs.sort_by_key(|codec| (sink.suits(*codec), self.rank(*codec)));
        codecs
    }

    /// The codecs of a kind that the trunk wants and a sink refuses.
    pub(super) fn refused(&self, kind: MediaKind, sink: SinkView) -> CodecSet {
        sink.refuses
            .iter()
            .filter(|codec| self.wants(kind) && kind_of(*codec) == kind)
            .filter(|codec| self.wants_codec(*codec))
            .fold(CodecSet::NONE, |set, codec| {
                set.union(CodecSet::of(&[codec]))
            })
    }

    /// What we would do with media of a kind: always receive; and send, unless the template does not.
    ///
    /// The same holds for answers and for our own offers: phones, MCUs and PBXs that wait for the
    /// video of the other side before they send theirs wait in both, and some refuse a line that
    /// says `recvonly`. Who wants nothing of ours answers `sendonly`.
    pub(super) fn wish(&self, kind: MediaKind) -> Direction {
        let template = self.template.of(kind).map(|of| of.direction);
        Direction::new(template.is_none_or(Direction::sends), true)
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

    /// Bits a second that we ask to get of a kind at most: by the template's section for it, else for
    /// the whole session.
    pub(super) fn bitrate(&self, kind: MediaKind) -> Option<u64> {
        let section = self.template.of(kind);
        section
            .and_then(|of| bitrate(&of.bandwidths))
            .or_else(|| bitrate(&self.bandwidths))
            .or_else(|| bitrate(&self.template.bandwidths))
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
fn distinct(codecs: impl Iterator<Item = Codec>) -> Codecs {
    let mut seen = Codecs::new();
    for codec in codecs {
        if !seen.contains(&codec) {
            // There is room for each codec once.
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
        plan.codecs(MediaKind::Audio, SinkView::UNKNOWN).to_vec()
    }

    #[test]
    fn a_codec_list_orders_and_limits() {
        let plan = CodecPlan::new(Some(&["h264", "g729", "pcmu", "PCMA"]), None, &[]).unwrap();
        assert_eq!(audio(&plan), [Codec::Pcmu, Codec::Pcma]);
        assert!(plan.wants(MediaKind::Video) && !plan.wants_codec(Codec::Vp8));
        let plan = CodecPlan::new(Some(&["pcma", "OPUS", "mpeg4-generic"]), None, &[]).unwrap();
        assert_eq!(audio(&plan), [Codec::Aac, Codec::Pcma, Codec::Opus]);
        assert!(!plan.wants(MediaKind::Video));
        let plan = CodecPlan::new(Some(&["h264", "g722"]), None, &[]).unwrap();
        assert!(!plan.wants(MediaKind::Audio));
    }

    #[test]
    fn what_the_sink_takes_comes_before_the_order_of_the_trunk() {
        let plan = CodecPlan::new(Some(&["pcma", "opus", "pcmu", "aac"]), None, &[]).unwrap();
        let sink = SinkView {
            takes: CodecSet::of(&[Codec::Opus, Codec::Pcmu]),
            refuses: CodecSet::of(&[Codec::Aac]),
        };
        let codecs = plan.codecs(MediaKind::Audio, sink);
        assert_eq!(codecs, [Codec::Opus, Codec::Pcmu, Codec::Pcma]);
    }

    #[test]
    fn the_reference_template_prefers_opus_among_equals_and_limits_nothing() {
        let plan = CodecPlan::new(None, Some(REFERENCE), &[]).unwrap();
        let all = [Codec::Pcma, Codec::Pcmu, Codec::Speex, Codec::Opus];
        assert_eq!(audio(&plan), all);
        let takes_all = SinkView {
            takes: CodecSet::ALL,
            refuses: CodecSet::NONE,
        };
        let codecs = plan.codecs(MediaKind::Audio, takes_all);
        let opus_first = [Codec::Opus, Codec::Pcma, Codec::Pcmu, Codec::Speex];
        assert_eq!(codecs, opus_first);
        assert!(plan.wants(MediaKind::Video));
        assert_eq!(plan.wish(MediaKind::Audio), Direction::RecvOnly);
        assert_eq!(plan.wish(MediaKind::Video), Direction::RecvOnly);
        assert_eq!(plan.names(), (Some("10009"), "-"));
    }

    #[test]
    fn a_template_orders_codecs_and_limits_kinds() {
        let text = "m=audio 1 RTP/AVP 0 8\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
        let plan = CodecPlan::new(None, Some(text), &[]).unwrap();
        assert!(plan.rank(Codec::Pcmu) < plan.rank(Codec::Pcma));
        assert_eq!(plan.rank(Codec::Speex), plan.rank(Codec::Opus));
        assert!(!plan.wants(MediaKind::Video));
        assert_eq!(plan.wish(MediaKind::Audio), Direction::SendRecv);
        let plan = CodecPlan::new(None, None, &[]).unwrap();
        assert_eq!(plan.wish(MediaKind::Video), Direction::SendRecv);
    }

    #[test]
    fn the_bitrate_asked_is_that_of_the_section_else_of_the_session() {
        let text = "b=AS:900\nm=audio 1 RTP/AVP 8\nb=TIAS:64000\nm=video 1 RTP/AVP 96\n";
        let plan = CodecPlan::new(None, Some(text), &[]).unwrap();
        assert_eq!(plan.bitrate(MediaKind::Audio), Some(64_000));
        assert_eq!(plan.bitrate(MediaKind::Video), Some(900_000));
        let plan = CodecPlan::new(None, Some(text), &["b=AS:2000", "b=RS:50"]).unwrap();
        assert_eq!(plan.bitrate(MediaKind::Video), Some(2_000_000));
        let plan = CodecPlan::new(None, None, &["b=RR:50", "b=AS:0"]).unwrap();
        assert_eq!(plan.bitrate(MediaKind::Video), None);
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
