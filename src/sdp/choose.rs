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

use crate::base::sink::SinkView;
use crate::limits::SDP_MEDIA;
use crate::sdp::codec_plan::{Codec, CodecPlan};
use crate::sdp::media_plan::RefusedLine;
use crate::sdp::refusal::LineRefusal;
use crate::wire::sdp::SessionDescription;
use crate::wire::sdp_codec::H264Format;
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

/// What an offer asks for, before ports are leased, by what is known of the sink; changes nothing.
pub fn wanted(offer: &SessionDescription, plan: &CodecPlan, _sink: SinkView) -> Wanted {
    let chosen = choose(offer, plan, InUse::default());
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

/// The lines that a session has in use already; they stay in use where they can.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InUse {
    pub(super) audio: Option<usize>,
    pub(super) video: Option<usize>,
}

/// What is used of one media line.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) codec: Codec,
    /// Payload type of what we receive.
    pub(super) payload_type: u8,
    /// Payload type of what we send.
    pub(super) send_payload_type: u8,
    pub(super) telephone_event: Option<u8>,
    /// What is said of the payload type; empty for audio.
    pub(super) h264: H264Format,
}

/// What is used of a whole offer.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    pub(super) audio: Option<(usize, Choice)>,
    pub(super) video: Option<(usize, Choice)>,
    pub(super) refused: FixedVec<RefusedLine, SDP_MEDIA>,
}

/// At most one line of each kind: the one in use, else the first that is not slides, else the first.
pub(super) fn choose(offer: &SessionDescription, plan: &CodecPlan, in_use: InUse) -> Chosen {
    let lines: Vec<_> = offer
        .media()
        .map(|line| (line, usable(&line, plan)))
        .collect();
    let best = |kind: MediaKind, in_use: Option<usize>| {
        let fit = lines
            .iter()
            .enumerate()
            .filter(|(_, (line, use_of))| line.kind() == kind && use_of.is_ok());
        fit.min_by_key(|(at, (line, _))| (in_use != Some(*at), line.is_slides()))
            .map(|(at, _)| at)
    };
    let audio = best(MediaKind::Audio, in_use.audio);
    let video = best(MediaKind::Video, in_use.video);
    let mut chosen = Chosen::default();
    for (at, (_, use_of)) in lines.into_iter().enumerate() {
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
        let _ = chosen.refused.push(RefusedLine { line: at, reason });
    }
    chosen
}

/// Whether a line can be reached at all, whatever its codecs; for offers and answers.
pub(super) fn reachable(line: &MediaLine<'_>) -> Result<(), LineRefusal> {
    if line.port() == 0 {
        Err(LineRefusal::Disabled)
    } else if line.kind() == MediaKind::Other {
        Err(LineRefusal::MediaKind)
    } else if !line.is_plain_rtp() {
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

/// The payload type of an 8 kHz telephone-event among those of a line.
pub(super) fn telephone_event(line: &MediaLine<'_>) -> Option<u8> {
    line.payload_types().find(|number| {
        line.rtpmap(*number)
            .is_some_and(|map| map.is("telephone-event", 8_000))
    })
}

fn usable(line: &MediaLine<'_>, plan: &CodecPlan) -> Result<Choice, LineRefusal> {
    reachable(line)?;
    let kind = line.kind();
    if !plan.wants(kind) {
        return Err(LineRefusal::NotWanted);
    }
    let choice = if kind == MediaKind::Video {
        video(line, plan)
    } else {
        audio(line, plan)
    };
    choice.ok_or(LineRefusal::NoCodec)
}

/// The first G.711 payload, by the trunk's order where it has one, else by the offer's.
fn audio(line: &MediaLine<'_>, plan: &CodecPlan) -> Option<Choice> {
    let codec_of = |number: u8| {
        let map = line.rtpmap(number)?;
        plan.codecs(MediaKind::Audio)
            .find(|codec| map.is(codec.encoding(), codec.clock_rate()))
    };
    let mut offered = line
        .payload_types()
        .filter_map(|number| Some((number, codec_of(number)?)));
    let (payload_type, codec) = if plan.is_ordered() {
        let rank = |codec: Codec| plan.codecs(MediaKind::Audio).position(|own| own == codec);
        offered.min_by_key(|(_, codec)| rank(*codec))?
    } else {
        offered.next()?
    };
    Some(Choice {
        codec,
        payload_type,
        send_payload_type: payload_type,
        telephone_event: telephone_event(line),
        h264: H264Format::default(),
    })
}

/// The best H.264 payload: packetization-mode 1 before 0, because pictures of more than a packet
/// then come in fragments and not as many slices; then the profile of the trunk's template; then
/// the order of the offer.
fn video(line: &MediaLine<'_>, plan: &CodecPlan) -> Option<Choice> {
    let codec = Codec::H264;
    let template = plan
        .section(MediaKind::Video)
        .and_then(|of| of.profile_level_id.as_ref());
    let profile = |format: &H264Format| format.profile_level_id.map(|[profile, ..]| profile);
    let preferred = template.map(|(_, [profile, ..])| *profile);
    line.payload_types()
        .filter(|number| {
            let map = line.rtpmap(*number);
            map.is_some_and(|map| map.is(codec.encoding(), codec.clock_rate()))
        })
        .map(|number| (number, line.h264(number)))
        .filter(|(_, format)| format.packetization_mode <= 1)
        .min_by_key(|(_, format)| (format.packetization_mode == 0, profile(format) != preferred))
        .map(|(payload_type, h264)| Choice {
            codec,
            payload_type,
            send_payload_type: payload_type,
            telephone_event: None,
            h264,
        })
}
