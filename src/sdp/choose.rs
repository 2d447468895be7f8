//! Which media lines of an offer are used, and with which payload types.

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

use heapless::Vec as FixedVec;

use crate::base::codec::{Codec, CodecSet};
use crate::base::sink::{SinkView, Suits};
use crate::limits::SDP_MEDIA;
use crate::sdp::codec_plan::{CodecPlan, Codecs};
use crate::sdp::format::{Format, Unfit};
use crate::sdp::media_plan::{MediaPlan, PlannedCodec, RefusedLine};
use crate::sdp::protection::{SrtpTerms, offered_key};
use crate::sdp::refusal::LineRefusal;
use crate::sdp::unrelayed::Unrelayed;
use crate::wire::sdp::SessionDescription;
use crate::wire::sdp_audio::AacFormatError;
use crate::wire::sdp_crypto::CryptoLine;
use crate::wire::sdp_media::{MediaAddress, MediaKind, MediaLine};

/// Which local ports an offer asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// An audio line will be used.
    pub audio: bool,
    /// A video line will be used.
    pub video: bool,
    /// The other side is reached by IPv6.
    pub ipv6: bool,
    /// Where the other side is reached, where the offer says so.
    pub remote: Option<IpAddr>,
}

/// What an offer asks for, before ports are leased, by what is known of the sink and wanted of the
/// protection; changes nothing.
pub fn wanted(
    offer: &SessionDescription,
    plan: &CodecPlan,
    sink: SinkView,
    terms: SrtpTerms,
) -> Wanted {
    let in_use = InUse {
        terms,
        ..InUse::default()
    };
    let chosen = choose(offer, plan, sink, in_use);
    let line = chosen
        .audio
        .as_ref()
        .or(chosen.video.as_ref())
        .map(|(line, _)| *line);
    let line = line.and_then(|line| offer.media().nth(line));
    Wanted {
        audio: chosen.audio.is_some(),
        video: chosen.video.is_some(),
        ipv6: line.as_ref().is_some_and(|line| line.is_ipv6()),
        remote: line.and_then(|line| match line.address() {
            MediaAddress::Ip(address) => Some(address),
            _ => None,
        }),
    }
}

/// What a session has in use already; it stays in use where it can.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InUse<'a> {
    pub(super) audio: Option<&'a MediaPlan>,
    pub(super) video: Option<&'a MediaPlan>,
    /// What decides on the protection.
    pub(super) terms: SrtpTerms,
    /// Whether audio and video were protected once.
    pub(super) protected: [bool; 2],
}

impl<'a> InUse<'a> {
    fn of(self, kind: MediaKind) -> Option<&'a MediaPlan> {
        match kind {
            MediaKind::Audio => self.audio,
            MediaKind::Video => self.video,
            MediaKind::Other => None,
        }
    }

    /// The key that a line of an offer brings, if it is to be protected.
    fn offered_key(self, line: &MediaLine<'_>) -> Result<Option<CryptoLine>, LineRefusal> {
        let keys = self.of(line.kind()).and_then(|plan| plan.srtp.as_deref());
        let [audio, video] = self.protected;
        let was_protected = match line.kind() {
            MediaKind::Audio => audio,
            MediaKind::Video => video,
            MediaKind::Other => false,
        };
        offered_key(line, self.terms, keys, was_protected)
    }
}

/// What is used of one media line.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// What is said of the payload type.
    pub(super) format: Format,
    /// Payload type of what we receive.
    pub(super) payload_type: u8,
    /// Payload type of what we send.
    pub(super) send_payload_type: u8,
    /// telephone-event beside it.
    pub(super) telephone_event: Option<Events>,
    /// Their key, where the line is protected.
    pub(super) key: Option<CryptoLine>,
}

/// A payload type of telephone-event (RFC 4733).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Events {
    /// Of what we receive.
    pub(super) payload_type: u8,
    /// Of what we send.
    pub(super) send_payload_type: u8,
    pub(super) clock_rate: u32,
}

/// What is used of a whole offer.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    pub(super) audio: Option<(usize, Choice)>,
    pub(super) video: Option<(usize, Choice)>,
    pub(super) refused: FixedVec<RefusedLine, SDP_MEDIA>,
}

/// At most one line of each kind: the one in use, else the first that is not slides, else the first;
/// of those that are alike in this, a protected one.
pub(super) fn choose(
    offer: &SessionDescription,
    plan: &CodecPlan,
    sink: SinkView,
    in_use: InUse<'_>,
) -> Chosen {
    let lines: Vec<_> = offer
        .media()
        .map(|line| (line, usable(&line, plan, sink, in_use)))
        .collect();
    let best = |kind: MediaKind| {
        let line_in_use = in_use.of(kind).map(|plan| plan.line);
        let fit = lines
            .iter()
            .enumerate()
            .filter(|(_, (line, use_of))| line.kind() == kind && use_of.is_ok());
        fit.min_by_key(|(at, (line, use_of))| {
            let is_clear = use_of.as_ref().is_ok_and(|choice| choice.key.is_none());
            (line_in_use != Some(*at), line.is_slides(), is_clear)
        })
        .map(|(at, _)| at)
    };
    let audio = best(MediaKind::Audio);
    let video = best(MediaKind::Video);
    let mut chosen = Chosen::default();
    for (at, (line, use_of)) in lines.into_iter().enumerate() {
        let reason = match use_of {
            Ok(choice) if audio == Some(at) => {
                chosen.audio = Some((at, choice));
                continue;
            }
            Ok(choice) if video == Some(at) => {
                chosen.video = Some((at, choice));
                continue;
            }
            Ok(_) => LineRefusal::Spare,
            Err(reason) => reason,
        };
        // A description has no more lines than this holds.
        let _ = chosen.refused.push(RefusedLine {
            line: at,
            kind: line.kind(),
            reason,
        });
    }
    chosen
}

/// Whether a line can be reached at all, whatever its codecs; for offers and answers.
pub(super) fn reachable(line: &MediaLine<'_>) -> Result<(), LineRefusal> {
    if line.port() == 0 {
        Err(LineRefusal::Disabled)
    } else if line.kind() == MediaKind::Other {
        Err(LineRefusal::MediaKind)
    } else if !line.is_plain_rtp() && !line.is_secure_rtp() {
        Err(LineRefusal::Protocol)
    } else {
        match line.address() {
            MediaAddress::UnknownType => Err(LineRefusal::AddressType),
            MediaAddress::Multicast => Err(LineRefusal::Multicast),
            MediaAddress::Ip(_) | MediaAddress::Hold | MediaAddress::Unknown => Ok(()),
        }
    }
}

/// Whether an address can be reached from ours.
pub(super) fn same_family(line: &MediaLine<'_>, local: IpAddr) -> Result<(), LineRefusal> {
    match line.address() {
        MediaAddress::Ip(ip) if ip.is_ipv4() != local.to_canonical().is_ipv4() => {
            Err(LineRefusal::AddressFamily)
        }
        _ => Ok(()),
    }
}

/// The telephone-event of a line for a codec: at the codec's clock rate, as RFC 4733, section 2.1,
/// has it, else at 8 kHz, which some offer beside every codec.
pub(super) fn telephone_event(line: &MediaLine<'_>, clock_rate: u32) -> Option<Events> {
    let at = |clock_rate: u32| {
        let number = line.payload_types().find(|number| {
            line.rtpmap(*number)
                .is_some_and(|map| map.is("telephone-event", clock_rate))
        });
        number.map(|payload_type| Events {
            payload_type,
            send_payload_type: payload_type,
            clock_rate,
        })
    };
    at(clock_rate).or_else(|| at(8_000))
}

/// What is used of a line, or why nothing of it can be.
fn usable(
    line: &MediaLine<'_>,
    plan: &CodecPlan,
    sink: SinkView,
    in_use: InUse<'_>,
) -> Result<Choice, LineRefusal> {
    reachable(line)?;
    let kind = line.kind();
    if !plan.wants(kind) {
        return Err(LineRefusal::NotWanted);
    }
    let key = in_use.offered_key(line)?;
    let in_use = in_use.of(kind);
    let mut rejects = Rejects::default();
    let mut best: Option<(Rank, u8, Format)> = None;
    let mut offered = Codecs::new();
    for number in line.payload_types() {
        let format = match Format::read(line, number) {
            Ok(format) => format,
            Err(unfit) => {
                rejects.add(line, number, unfit);
                continue;
            }
        };
        let codec = format.codec();
        if !plan.wants_codec(codec) {
            rejects.unnamed = rejects.unnamed.union(CodecSet::of(&[codec]));
        } else if sink.suits(codec) == Suits::Never {
            rejects.refused = rejects.refused.union(CodecSet::of(&[codec]));
        } else {
            if !offered.contains(&codec) {
                // There is room for each codec once.
                let _ = offered.push(codec);
            }
            let rank = Rank {
                offered: offered.iter().position(|of| *of == codec),
                ..Rank::of(&format, plan, sink, in_use)
            };
            // Among equals the order of the offer counts.
            if best.as_ref().is_none_or(|(other, ..)| rank < *other) {
                best = Some((rank, number, format));
            }
        }
    }
    let (_, payload_type, format) = best.ok_or_else(|| rejects.reason(sink))?;
    Ok(Choice {
        payload_type,
        send_payload_type: payload_type,
        telephone_event: (kind == MediaKind::Audio)
            .then(|| telephone_event(line, format.clock_rate()))
            .flatten(),
        format,
        key,
    })
}

/// How welcome a payload type is; the least is chosen. First the codec is decided on, then its form.
///
/// The codec in use stays in use. Of H.264, so do mode and profile; else packetization-mode 1 comes
/// before 0, because pictures of more than a packet then come in fragments and not as many slices,
/// and then the profile of the trunk's template.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    other_codec: bool,
    suits: Suits,
    order: usize,
    /// Place among the codecs of the line.
    offered: Option<usize>,
    other_form: bool,
    mode_0: bool,
    other_profile: bool,
}

impl Rank {
    fn of(format: &Format, plan: &CodecPlan, sink: SinkView, in_use: Option<&MediaPlan>) -> Self {
        let codec = format.codec();
        let current = in_use.map(|plan| &plan.codec);
        let profile = |id: Option<[u8; 3]>| id.map(|[profile, ..]| profile);
        let (mut other_form, mut mode_0, mut other_profile) = (false, false, false);
        if let Format::H264(format) = format {
            if let Some(PlannedCodec::H264 {
                packetization_mode,
                profile_level_id,
                ..
            }) = current
            {
                other_form = format.packetization_mode != *packetization_mode
                    || profile(format.profile_level_id) != profile(*profile_level_id);
            }
            let template = plan
                .section(MediaKind::Video)
                .and_then(|of| of.profile_level_id.as_ref());
            mode_0 = format.packetization_mode == 0;
            other_profile =
                profile(format.profile_level_id) != profile(template.map(|(_, bytes)| *bytes));
        }
        Self {
            other_codec: current.is_some_and(|current| current.codec() != codec),
            suits: sink.suits(codec),
            order: plan.rank(codec),
            offered: None,
            other_form,
            mode_0,
            other_profile,
        }
    }
}

/// What a line offered in vain.
#[derive(Default)]
struct Rejects {
    /// Relayed and wanted, but refused by the sink.
    refused: CodecSet,
    /// Relayed, but not named by the trunk.
    unnamed: CodecSet,
    /// What is wrong with its AAC.
    aac: Option<AacFormatError>,
    /// Not relayed.
    others: Unrelayed,
}

impl Rejects {
    fn add(&mut self, line: &MediaLine<'_>, number: u8, unfit: Unfit) {
        match unfit {
            Unfit::Encoding => self.others.add(line.rtpmap(number).as_ref()),
            Unfit::Aac(error) => {
                self.aac.get_or_insert(error);
            }
        }
    }

    /// The reason that is told: what came nearest to being used.
    fn reason(self, sink: SinkView) -> LineRefusal {
        const G711: CodecSet = CodecSet::of(&[Codec::Pcma, Codec::Pcmu]);
        if !self.refused.is_empty() {
            // A server that refuses both laws refuses G.711, whichever was offered.
            let both = G711.intersection(sink.refuses) == G711
                && !self.refused.intersection(G711).is_empty();
            let also = if both { G711 } else { CodecSet::NONE };
            LineRefusal::SinkRefuses(self.refused.union(also))
        } else if !self.unnamed.is_empty() {
            LineRefusal::NotNamed(self.unnamed)
        } else if let Some(error) = self.aac {
            LineRefusal::Aac(error)
        } else {
            LineRefusal::NoCodec(self.others)
        }
    }
}
