//! One media line of an offer of ours, and what the answer to it makes of it (RFC 3264, sections 5
//! and 7).

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
use sdp_types::Media;

use crate::limits::SDP_MEDIA;
use crate::sdp::choose::{self, Choice};
use crate::sdp::codec_plan::{Codec, CodecPlan};
use crate::sdp::direction::{Direction, agree};
use crate::sdp::emit::{self, OfferedFormat};
use crate::sdp::media_plan::{MediaPlan, PlannedCodec, media_plan, their_direction};
use crate::sdp::refusal::LineRefusal;
use crate::wire::sdp_codec::{PCMA_PAYLOAD_TYPE, PCMU_PAYLOAD_TYPE, payload_type_number};
use crate::wire::sdp_media::{MediaKind, MediaLine};

/// The profile of our offers where no template names one: constrained baseline, level 3.1.
const DEFAULT_PROFILE: &str = "42e01f";

/// Payload types of our offers, while nothing else has taken them.
const MODE_1_PAYLOAD_TYPE: u8 = 97;
const MODE_0_PAYLOAD_TYPE: u8 = 96;
const EVENTS_PAYLOAD_TYPE: u8 = 101;

/// The payload types of one line.
type Formats = FixedVec<(u8, OfferedFormat), 4>;

/// What a line of an offer is made of.
pub(super) struct LineOffer<'a> {
    pub(super) kind: MediaKind,
    pub(super) port: u16,
    /// Whether RTCP may stay on the RTP port where it is already.
    pub(super) rtcp_mux: bool,
    /// The line as we sent it last, where the session has it already.
    pub(super) before: Option<&'a Media>,
    /// The formats that they offered in it last.
    pub(super) theirs: &'a str,
    /// What is agreed for it now.
    pub(super) current: Option<&'a MediaPlan>,
}

impl LineOffer<'_> {
    /// The section to send, and what to hold the answer against.
    pub(super) fn build(&self, plan: &CodecPlan) -> (Media, OfferedLine) {
        let kind = self.kind;
        let mut numbers = Numbers::default();
        // A number keeps its meaning for a whole session.
        let ours = self.before.map_or("", |media| media.fmt.as_str());
        ours.split_ascii_whitespace()
            .chain(self.theirs.split_ascii_whitespace())
            .for_each(|number| numbers.take(number));
        let formats = match kind {
            MediaKind::Video => self.video_formats(numbers, plan),
            MediaKind::Audio | MediaKind::Other => self.audio_formats(numbers, plan),
        };
        let direction = plan.wish(kind);
        let rtcp_mux = self.rtcp_mux && self.current.is_some_and(|current| current.rtcp_mux);
        let proto = self.before.filter(|_| self.current.is_some());
        let proto = proto.map_or("RTP/AVP", |media| media.proto.as_str());
        let place = (self.port, proto);
        let section = emit::offered(kind, place, &formats, direction, rtcp_mux, plan);
        (
            section,
            OfferedLine {
                kind,
                formats,
                direction,
                rtcp_mux,
            },
        )
    }

    /// H.264 in both packetization-modes, the one in use first, else 1.
    fn video_formats(&self, mut numbers: Numbers, plan: &CodecPlan) -> Formats {
        let (in_use, profile) = match self.current.map(|current| &current.codec) {
            Some(PlannedCodec::H264 {
                packetization_mode,
                profile_level_id,
                ..
            }) => (Some(*packetization_mode), *profile_level_id),
            _ => (None, None),
        };
        let profile =
            profile.map(|[profile, flags, level]| format!("{profile:02x}{flags:02x}{level:02x}"));
        let template = plan
            .section(MediaKind::Video)
            .and_then(|of| of.profile_level_id.as_ref());
        let profile = profile.or_else(|| template.map(|(text, _)| text.clone()));
        let profile = profile.unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
        let modes = match in_use {
            Some(0) => [(0, MODE_0_PAYLOAD_TYPE), (1, MODE_1_PAYLOAD_TYPE)],
            _ => [(1, MODE_1_PAYLOAD_TYPE), (0, MODE_0_PAYLOAD_TYPE)],
        };
        let mut formats = Formats::new();
        for (mode, usual) in modes {
            let number = match self.current {
                Some(current) if in_use == Some(mode) => current.payload_type,
                _ => numbers.free(usual),
            };
            let profile_level_id = profile.clone();
            // Two modes fit.
            let _ = formats.push((
                number,
                OfferedFormat::H264 {
                    mode,
                    profile_level_id,
                },
            ));
        }
        formats
    }

    /// The trunk's G.711, the one in use first, and telephone-event.
    fn audio_formats(&self, mut numbers: Numbers, plan: &CodecPlan) -> Formats {
        let mut formats = Formats::new();
        for codec in plan.codecs(MediaKind::Audio) {
            let format = OfferedFormat::Audio(codec);
            // Two codecs and events fit.
            let _ = match self.current {
                Some(current) if current.codec.name() == codec.encoding() => {
                    formats.insert(0, (current.payload_type, format))
                }
                _ => formats.push((fixed_number(codec), format)),
            };
        }
        let in_use = self.current.and_then(|current| current.telephone_event);
        let number = in_use.unwrap_or_else(|| numbers.free(EVENTS_PAYLOAD_TYPE));
        let _ = formats.push((number, OfferedFormat::Events));
        formats
    }
}

/// An offer of ours that waits for its answer.
#[derive(Debug)]
pub(super) struct PendingOffer {
    pub(super) lines: FixedVec<OfferedLine, SDP_MEDIA>,
    /// The address that we gave.
    pub(super) local: IpAddr,
}

/// What we offered in one line.
#[derive(Debug)]
pub(super) struct OfferedLine {
    pub(super) kind: MediaKind,
    formats: Formats,
    direction: Direction,
    rtcp_mux: bool,
}

impl OfferedLine {
    /// A line out of use, kept for its place.
    pub(super) const fn unused() -> Self {
        Self {
            kind: MediaKind::Other,
            formats: FixedVec::new(),
            direction: Direction::Inactive,
            rtcp_mux: false,
        }
    }

    /// What their answer makes of it.
    pub(super) fn accept(
        &self,
        at: usize,
        line: &MediaLine<'_>,
        local: IpAddr,
    ) -> Result<MediaPlan, LineRefusal> {
        choose::reachable(line)?;
        choose::same_family(line, local)?;
        if line.kind() != self.kind {
            return Err(LineRefusal::MediaKind);
        }
        let choice = line
            .payload_types()
            .find_map(|number| self.choice(line, number))
            .ok_or(LineRefusal::NoCodec)?;
        let direction = agree(their_direction(line), self.direction);
        let rtcp_mux = self.rtcp_mux && line.rtcp_mux();
        Ok(media_plan(at, line, choice, direction, rtcp_mux))
    }

    /// The offered format that one payload type of an answer takes up: by number, else by what it
    /// is, because some renumber.
    fn choice(&self, line: &MediaLine<'_>, number: u8) -> Option<Choice> {
        let map = line.rtpmap(number);
        let h264 = line.h264(number);
        let fits = |format: &OfferedFormat| match (codec_of(format), map) {
            (Some(codec), Some(map)) => map.is(codec.encoding(), codec.clock_rate()),
            // A number that was offered needs no explanation.
            (codec, None) => codec.is_some(),
            (None, _) => false,
        };
        let same_mode = |format: &OfferedFormat| match format {
            OfferedFormat::H264 { mode, .. } => *mode == h264.packetization_mode,
            OfferedFormat::Audio(_) | OfferedFormat::Events => true,
        };
        let by_number = self
            .formats
            .iter()
            .find(|(own, format)| *own == number && fits(format));
        let by_name = || {
            self.formats
                .iter()
                .find(|(_, f)| map.is_some() && fits(f) && same_mode(f))
        };
        let (payload_type, format) = by_number.or_else(by_name)?;
        let mut h264 = h264;
        if let OfferedFormat::H264 { mode, .. } = format {
            h264.packetization_mode = *mode;
        }
        let events = self
            .formats
            .iter()
            .find(|(_, format)| *format == OfferedFormat::Events);
        Some(Choice {
            codec: codec_of(format)?,
            payload_type: *payload_type,
            send_payload_type: number,
            telephone_event: events
                .filter(|_| choose::telephone_event(line).is_some())
                .map(|(number, _)| *number),
            h264,
        })
    }
}

/// Payload types of one line that have a meaning already.
#[derive(Default)]
struct Numbers(u128);

impl Numbers {
    fn take(&mut self, number: &str) {
        if let Some(number) = payload_type_number(number) {
            self.0 |= 1 << number;
        }
    }

    /// The usual number, or the first dynamic one that is free; it is taken.
    fn free(&mut self, usual: u8) -> u8 {
        let taken = self.0;
        let number = core::iter::once(usual)
            .chain(96..=127)
            .find(|number| taken & (1 << (number & 127)) == 0)
            .unwrap_or(usual);
        self.0 |= 1 << (number & 127);
        number
    }
}

const fn fixed_number(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => PCMU_PAYLOAD_TYPE,
        Codec::Pcma | Codec::H264 => PCMA_PAYLOAD_TYPE,
    }
}

const fn codec_of(format: &OfferedFormat) -> Option<Codec> {
    match format {
        OfferedFormat::H264 { .. } => Some(Codec::H264),
        OfferedFormat::Audio(codec) => Some(*codec),
        OfferedFormat::Events => None,
    }
}
