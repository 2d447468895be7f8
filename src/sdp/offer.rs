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
use sdp_types::{Media, Session};

use crate::base::codec::Codec;
use crate::base::sink::{SinkView, Suits};
use crate::base::srtp::MasterKey;
use crate::limits::SDP_MEDIA;
use crate::sdp::choose::{self, Choice, Events};
use crate::sdp::codec_plan::CodecPlan;
use crate::sdp::direction::{Direction, agree};
use crate::sdp::emit::{self, OfferedFormat};
use crate::sdp::format::{Format, Unfit};
use crate::sdp::media_plan::{MediaPlan, PlannedCodec, media_plan, their_direction};
use crate::sdp::offer_trim::Trim;
use crate::sdp::protection;
use crate::sdp::refusal::LineRefusal;
use crate::wire::sdp_audio::{AacFormat, OpusFormat};
use crate::wire::sdp_codec::{
    H264Format, PCMA_PAYLOAD_TYPE, PCMU_PAYLOAD_TYPE, RtpMap, fmtp_parameters, payload_type_number,
};
use crate::wire::sdp_media::{MediaKind, MediaLine};

/// The profile of our offers where no template names one: constrained baseline, level 3.1.
const DEFAULT_PROFILE: &str = "42e01f";

/// Payload types of our offers, while nothing else has taken them.
const MODE_1_PAYLOAD_TYPE: u8 = 97;
const MODE_0_PAYLOAD_TYPE: u8 = 96;
const VP8_PAYLOAD_TYPE: u8 = 98;
const AAC_PAYLOAD_TYPE: u8 = 96;
const OPUS_PAYLOAD_TYPE: u8 = 99;
const SPEEX_PAYLOAD_TYPE: u8 = 100;
const EVENTS_PAYLOAD_TYPE: u8 = 101;
const WIDE_EVENTS_PAYLOAD_TYPE: u8 = 102;

/// The clock rate of Opus, and of the AAC that we offer.
const WIDE_CLOCK_RATE: u32 = 48_000;

/// The one form of AAC that we offer: AAC-LC in stereo at 48 kHz, as AudioSpecificConfig. An answer
/// may configure it otherwise, at the same clock rate.
const AAC_OFFERED_MAP: &str = "96 mpeg4-generic/48000/2";
const AAC_OFFERED: &str = "streamtype=5;profile-level-id=41;mode=AAC-hbr;config=1190;sizelength=13;\
                           indexlength=3;indexdeltalength=3";

/// The payload types of one line: five codecs of sound with events at two clock rates at most.
type Formats = FixedVec<(u8, OfferedFormat), 10>;

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
    /// What we do with the media.
    pub(super) direction: Direction,
    /// What is left out.
    pub(super) trim: Trim,
    /// Our keys, where it is to be protected.
    pub(super) keys: Box<[MasterKey]>,
}

impl LineOffer<'_> {
    /// The section to send, and what to hold the answer against.
    pub(super) fn build(self, plan: &CodecPlan, sink: SinkView) -> (Media, OfferedLine) {
        let kind = self.kind;
        let mut numbers = Numbers::default();
        // A number keeps its meaning for a whole session.
        let ours = self.before.map_or("", |media| media.fmt.as_str());
        ours.split_ascii_whitespace()
            .chain(self.theirs.split_ascii_whitespace())
            .for_each(|number| numbers.take(number));
        let formats = self.formats(numbers, plan, sink);
        let direction = self.direction;
        let rtcp_mux = self.rtcp_mux && self.current.is_some_and(|current| current.rtcp_mux);
        let proto = self.before.filter(|_| self.current.is_some());
        let usual = if self.keys.is_empty() {
            "RTP/AVP"
        } else {
            "RTP/SAVP"
        };
        let proto = proto.map_or(usual, |media| media.proto.as_str());
        let place = (self.port, proto);
        let mut section = emit::offered(kind, place, &formats, direction, rtcp_mux, plan);
        for ((at, tag), key) in (1_u32..).enumerate().zip(&self.keys) {
            protection::add_key(&mut section, at, tag, key);
        }
        (
            section,
            OfferedLine {
                kind,
                formats,
                direction,
                rtcp_mux,
                keys: self.keys,
            },
        )
    }

    /// The codecs wanted of a line's kind, the one in use first, and telephone-event: at 8 kHz, which
    /// everybody knows, and at 48 kHz where a codec has that. Other rates would make the offer long
    /// for little.
    fn formats(&self, mut numbers: Numbers, plan: &CodecPlan, sink: SinkView) -> Formats {
        let mut formats = Formats::new();
        let current = self.current.map(|current| current.codec.codec());
        let mut codecs = plan.codecs(self.kind, sink);
        codecs.retain(|codec| Some(*codec) != current);
        if let Some(codec) = current.filter(|codec| sink.suits(*codec) != Suits::Never) {
            // There is room for each codec once.
            let _ = codecs.insert(0, codec);
        }
        let most = self.trim.codecs(self.kind);
        // One law of G.711 stays: every phone and PBX has it.
        let is_g711 = |codec: &Codec| matches!(codec, Codec::Pcma | Codec::Pcmu);
        if let Some(law) = codecs.iter().position(is_g711).filter(|at| *at >= most) {
            codecs.swap(law, most.saturating_sub(1));
        }
        codecs.truncate(most);
        for codec in codecs {
            // There is room for every codec and every rate.
            match codec {
                Codec::H264 => self.h264(&mut numbers, plan, &mut formats),
                _ => drop(formats.push(self.codec(codec, &mut numbers))),
            }
        }
        if self.kind == MediaKind::Audio {
            let is_wide = formats.iter().any(|(_, format)| match format {
                OfferedFormat::Codec(format, _) => format.clock_rate() == WIDE_CLOCK_RATE,
                OfferedFormat::Events(_) => false,
            });
            for (rate, usual) in [
                (8_000, EVENTS_PAYLOAD_TYPE),
                (WIDE_CLOCK_RATE, WIDE_EVENTS_PAYLOAD_TYPE),
            ] {
                if rate == WIDE_CLOCK_RATE && !is_wide {
                    continue;
                }
                let number = self
                    .earlier(&emit::events_rtpmap(rate), None)
                    .unwrap_or_else(|| numbers.free(usual));
                let _ = formats.push((number, OfferedFormat::Events(rate)));
            }
        }
        formats
    }

    /// One payload type of a codec that has one form.
    fn codec(&self, codec: Codec, numbers: &mut Numbers) -> (u8, OfferedFormat) {
        let (format, fmtp, usual) = match codec {
            Codec::Vp8 => (Format::Vp8, None, VP8_PAYLOAD_TYPE),
            Codec::Opus => {
                let stereo = Some("stereo=1".to_owned());
                let format = Format::Opus(OpusFormat::default());
                (format, stereo, OPUS_PAYLOAD_TYPE)
            }
            Codec::Aac => {
                let (format, fmtp) = self.aac();
                (format, fmtp, AAC_PAYLOAD_TYPE)
            }
            Codec::Speex => (Format::Speex, None, SPEEX_PAYLOAD_TYPE),
            Codec::Pcmu => (Format::Pcmu, None, PCMU_PAYLOAD_TYPE),
            Codec::Pcma | Codec::H264 => (Format::Pcma, None, PCMA_PAYLOAD_TYPE),
        };
        let number = match self.current {
            Some(current) if current.codec.codec() == codec => current.payload_type,
            _ if usual < 96 => usual,
            _ => self
                .earlier(&format.rtpmap(), None)
                .unwrap_or_else(|| numbers.free(usual)),
        };
        (number, OfferedFormat::Codec(Box::new(format), fmtp))
    }

    /// The AAC in use as we described it last, else the one form that we offer.
    fn aac(&self) -> (Format, Option<String>) {
        let read = |map: &str, text: &str| {
            let (_, map) = RtpMap::parse(map)?;
            let format = AacFormat::parse(&map, fmtp_parameters(text))?.ok()?;
            Some((Format::Aac(format), Some(text.to_owned())))
        };
        let in_use = || {
            let current = self.current.filter(|c| c.codec.codec() == Codec::Aac)?;
            let number = current.payload_type.to_string();
            let map = self
                .values("rtpmap")
                .find(|text| of(text, &number).is_some());
            let text = self.values("fmtp").find_map(|text| of(text, &number));
            read(map?, text.unwrap_or_default())
        };
        in_use()
            .or_else(|| read(AAC_OFFERED_MAP, AAC_OFFERED))
            .unwrap_or((Format::Pcma, None))
    }

    /// H.264 in both packetization-modes, the one in use first, else 1.
    fn h264(&self, numbers: &mut Numbers, plan: &CodecPlan, formats: &mut Formats) {
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
        for (packetization_mode, usual) in modes.into_iter().take(self.trim.modes()) {
            let format = Format::H264(H264Format {
                packetization_mode,
                ..H264Format::default()
            });
            let number = match self.current {
                Some(current) if in_use == Some(packetization_mode) => current.payload_type,
                _ => self
                    .earlier(&format.rtpmap(), Some(packetization_mode))
                    .unwrap_or_else(|| numbers.free(usual)),
            };
            // Mode 0 is what nothing said means.
            let text = match packetization_mode {
                0 => format!("profile-level-id={profile}"),
                mode => format!("profile-level-id={profile};packetization-mode={mode}"),
            };
            // There is room for every codec.
            let _ = formats.push((number, OfferedFormat::Codec(Box::new(format), Some(text))));
        }
    }

    /// The number that we gave an encoding in this line before, of H.264 in a packetization-mode.
    fn earlier(&self, rtpmap: &str, packetization_mode: Option<u8>) -> Option<u8> {
        self.values("rtpmap").find_map(|value| {
            let (number, text) = value.split_once(' ')?;
            let same_mode = packetization_mode.is_none_or(|mode| {
                let texts = self.values("fmtp").filter_map(|text| of(text, number));
                H264Format::parse(texts.flat_map(fmtp_parameters)).packetization_mode == mode
            });
            (text.eq_ignore_ascii_case(rtpmap) && same_mode)
                .then(|| payload_type_number(number))
                .flatten()
        })
    }

    /// The values of an attribute in the line as we sent it last.
    fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &str> + use<'_, 'n> {
        let all = self.before.iter().flat_map(|media| &media.attributes);
        all.filter(move |a| a.attribute.eq_ignore_ascii_case(name))
            .filter_map(|a| a.value.as_deref())
    }
}

/// What an attribute's value says of one payload type.
fn of<'t>(value: &'t str, number: &str) -> Option<&'t str> {
    let (own, text) = value.split_once(' ')?;
    (own == number).then_some(text)
}

/// An offer of ours that waits for its answer.
#[derive(Debug)]
pub(super) struct PendingOffer {
    pub(super) lines: FixedVec<OfferedLine, SDP_MEDIA>,
    /// The address that we gave.
    pub(super) local: IpAddr,
    /// What was sent before it.
    pub(super) before: Option<Session>,
    /// Whether it is what was sent before: the lines are those in use then.
    pub(super) again: bool,
}

/// What we offered in one line.
#[derive(Debug)]
pub(super) struct OfferedLine {
    pub(super) kind: MediaKind,
    formats: Formats,
    direction: Direction,
    rtcp_mux: bool,
    keys: Box<[MasterKey]>,
}

impl OfferedLine {
    /// A line out of use, kept for its place.
    pub(super) fn unused() -> Self {
        Self {
            kind: MediaKind::Other,
            formats: FixedVec::new(),
            direction: Direction::Inactive,
            rtcp_mux: false,
            keys: Box::default(),
        }
    }

    /// How many codecs it has, both modes of H.264 being one.
    pub(super) fn codecs(&self) -> usize {
        let mut codecs = FixedVec::<Codec, { Codec::ALL.len() }>::new();
        for (_, format) in &self.formats {
            if let OfferedFormat::Codec(format, _) = format
                && !codecs.contains(&format.codec())
            {
                // There is room for each codec once.
                let _ = codecs.push(format.codec());
            }
        }
        codecs.len()
    }

    /// What their answer makes of it.
    pub(super) fn accept(
        &self,
        at: usize,
        line: &MediaLine<'_>,
        local: IpAddr,
        bitrate_asked: Option<u64>,
    ) -> Result<MediaPlan, LineRefusal> {
        choose::reachable(line)?;
        choose::same_family(line, local)?;
        if line.kind() != self.kind {
            return Err(LineRefusal::MediaKind);
        }
        let srtp = protection::answered_keys(&self.keys, line)?;
        let choice = line
            .payload_types()
            .find_map(|number| self.choice(line, number))
            .ok_or(LineRefusal::NotOffered)?;
        let direction = agree(their_direction(line), self.direction);
        let rtcp_mux = self.rtcp_mux && line.rtcp_mux();
        Ok(media_plan(
            at,
            line,
            choice,
            direction,
            rtcp_mux,
            bitrate_asked,
            srtp,
        ))
    }

    /// The offered format that one payload type of an answer takes up: by number, else by what it
    /// is, because some renumber.
    fn choice(&self, line: &MediaLine<'_>, number: u8) -> Option<Choice> {
        let mut codecs = self
            .formats
            .iter()
            .filter_map(|(own, format)| match format {
                OfferedFormat::Codec(format, _) => Some((*own, format.as_ref())),
                OfferedFormat::Events(_) => None,
            });
        let by_number = codecs.clone().find(|(own, _)| *own == number);
        let is_silent = line.fmtp(number).next().is_none();
        let (payload_type, format) = match (Format::read(line, number), by_number) {
            // A mode unsaid is the one that the number has.
            (Ok(Format::H264(theirs)), Some((own, Format::H264(ours)))) => (
                own,
                Format::H264(H264Format {
                    packetization_mode: ours.packetization_mode,
                    ..theirs
                }),
            ),
            (Ok(theirs), Some((own, ours))) if theirs.answers(ours) => (own, theirs),
            (Ok(theirs), _) => {
                let (own, _) = codecs.find(|(_, ours)| theirs.answers(ours))?;
                (own, theirs)
            }
            // A number that was offered needs no explanation.
            (Err(Unfit::Encoding), Some((own, Format::H264(ours))))
                if line.rtpmap(number).is_none() =>
            {
                (
                    own,
                    Format::H264(H264Format {
                        packetization_mode: ours.packetization_mode,
                        ..line.h264(number)
                    }),
                )
            }
            (Err(Unfit::Encoding), Some((own, ours))) if line.rtpmap(number).is_none() => {
                (own, ours.clone())
            }
            (Err(Unfit::Aac(_)), Some((own, ours @ Format::Aac(_)))) if is_silent => {
                (own, ours.clone())
            }
            (Err(_), _) => return None,
        };
        let telephone_event = choose::telephone_event(line, format.clock_rate())
            .filter(|_| self.kind == MediaKind::Audio)
            .and_then(|theirs| self.events(theirs));
        Some(Choice {
            format,
            payload_type,
            send_payload_type: number,
            telephone_event,
            key: None,
        })
    }

    /// Our telephone-event that they answered with theirs.
    fn events(&self, theirs: Events) -> Option<Events> {
        let wanted = OfferedFormat::Events(theirs.clock_rate);
        let offered = self.formats.iter().find(|(_, format)| *format == wanted);
        offered.map(|(number, _)| Events {
            payload_type: *number,
            ..theirs
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
