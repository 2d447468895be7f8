//! The negotiation of one call: answers to offers, an offer of ours, and what ties later ones to
//! earlier ones (RFC 3264, sections 5 to 8).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use heapless::Vec as FixedVec;
use sdp_types::{Media, Session, Time};

use crate::limits::SDP_MEDIA;
use crate::sdp::choose::{self, Choice, InUse};
use crate::sdp::codec_plan::{Codec, CodecPlan};
use crate::sdp::direction::{Direction, agree, without_receiving};
use crate::sdp::emit::{self, OfferedFormat};
use crate::sdp::media_plan::{LocalMedia, MediaPlan, Negotiated, PlannedCodec, RefusedLine};
use crate::sdp::refusal::{LineRefusal, Refusal};
use crate::wire::sdp::{SessionDescription, print};
use crate::wire::sdp_codec::{PCMA_PAYLOAD_TYPE, PCMU_PAYLOAD_TYPE};
use crate::wire::sdp_media::{FeedbackScope, MediaAddress, MediaKind, MediaLine};

/// The profile of our offers where no template names one: constrained baseline, level 3.1.
const DEFAULT_PROFILE: &str = "42e01f";

/// Payload types of our offers, while nothing else has taken them.
const MODE_1_PAYLOAD_TYPE: u8 = 97;
const MODE_0_PAYLOAD_TYPE: u8 = 96;
const EVENTS_PAYLOAD_TYPE: u8 = 101;

/// An answer and what it agrees to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The text to send.
    pub sdp: String,
    /// What was agreed.
    pub negotiated: Negotiated,
}

/// The descriptions of one call.
///
/// A refused offer or answer leaves everything as it was, so the session goes on as before.
#[derive(Debug)]
pub struct OfferAnswer {
    plan: Rc<CodecPlan>,
    session_id: u32,
    /// What we sent last; its media lines are those of the session.
    sent: Option<Session>,
    /// The first address we sent, which the `o=` line keeps.
    origin: Option<IpAddr>,
    pending: Option<PendingOffer>,
    current: Negotiated,
}

impl OfferAnswer {
    /// The negotiation of a new call; `session_id` is to be unpredictable.
    pub fn new(plan: Rc<CodecPlan>, session_id: u32) -> Self {
        Self {
            plan,
            session_id,
            sent: None,
            origin: None,
            pending: None,
            current: Negotiated::default(),
        }
    }

    /// What was agreed last.
    pub const fn current(&self) -> &Negotiated {
        &self.current
    }

    /// Answers an offer, the first of the call or a later one.
    ///
    /// A first offer of which nothing can be used is refused, and so is a later one, unless it
    /// takes every line out of use by itself: that is answered in kind. The same offer with the
    /// same `local` gets the same text.
    pub fn answer(
        &mut self,
        offer: &SessionDescription,
        local: &LocalMedia,
    ) -> Result<Answer, Refusal> {
        let mut chosen = choose::choose(offer, &self.plan, self.in_use());
        let mut negotiated = Negotiated::default();
        let mut medias = Vec::with_capacity(offer.session().medias.len());
        for (at, line) in offer.media().enumerate() {
            let choice = [&mut chosen.audio, &mut chosen.video]
                .into_iter()
                .find_map(|of| of.take_if(|(chosen, _)| *chosen == at));
            let (section, plan) =
                match choice.map(|(_, choice)| self.take(at, &line, choice, local)) {
                    Some(Ok((section, plan))) => (section, Some(plan)),
                    Some(Err(reason)) => {
                        // A line is refused once, so there is room.
                        let _ = chosen.refused.push(RefusedLine { line: at, reason });
                        (emit::refused(line.section()), None)
                    }
                    None => (emit::refused(line.section()), None),
                };
            medias.push(section);
            match (line.kind(), plan) {
                (MediaKind::Video, plan @ Some(_)) => negotiated.video = plan,
                (_, plan @ Some(_)) => negotiated.audio = plan,
                (_, None) => {}
            }
        }
        negotiated.refused = chosen.refused;
        self.check_usable(&negotiated)?;
        let times = offer.session().times.first();
        let times = times.map(|t| Time {
            repeats: Vec::new(),
            ..t.clone()
        });
        let sdp = self.send(local.address, times.into_iter().collect(), medias);
        self.pending = None;
        self.current = negotiated.clone();
        Ok(Answer { sdp, negotiated })
    }

    /// The offer for an INVITE that brings none, first or later.
    ///
    /// It offers H.264 in both packetization-modes and G.711, kept well below 1,200 bytes, in the
    /// media lines that the session has; a kind that it has not is added where a port is given.
    pub fn offer(&mut self, local: &LocalMedia) -> Result<String, Refusal> {
        let mut lines = FixedVec::<OfferedLine, SDP_MEDIA>::new();
        let mut medias = Vec::new();
        let kinds = [MediaKind::Audio, MediaKind::Video];
        let mut open = kinds.map(|kind| {
            self.port(kind, local)
                .ok()
                .filter(|_| self.plan.wants(kind))
                .map(|port| (kind, port))
        });
        if open.iter().all(Option::is_none) {
            return Err(Refusal::NothingUsable(LineRefusal::NoLocalPort));
        }
        for (at, media) in self.sent.iter().flat_map(|sent| &sent.medias).enumerate() {
            let live = open
                .iter_mut()
                .find_map(|slot| slot.take_if(|(kind, _)| self.reoffers(*kind, at, media)));
            let (section, line) = match live {
                Some((kind, port)) => self.offer_line(kind, port, Some(media), local),
                None => (emit::refused(media), OfferedLine::unused()),
            };
            medias.push(section);
            let _ = lines.push(line);
        }
        for (kind, port) in open.into_iter().flatten() {
            let (section, line) = self.offer_line(kind, port, None, local);
            // A session that already has as many lines as we take gets no more.
            if lines.push(line).is_ok() {
                medias.push(section);
            }
        }
        let sdp = self.send(local.address, Vec::new(), medias);
        self.pending = Some(PendingOffer {
            lines,
            local: local.address,
        });
        Ok(sdp)
    }

    /// Takes the answer to our offer.
    ///
    /// Lines that it lacks count as refused, lines too many are passed over.
    pub fn accept_answer(&mut self, answer: &SessionDescription) -> Result<Negotiated, Refusal> {
        let offer = self.pending.take().ok_or(Refusal::NoOffer)?;
        let mut negotiated = Negotiated::default();
        let mut theirs = answer.media();
        for (at, line) in offer.lines.iter().enumerate() {
            let taken = match theirs.next() {
                Some(answered) => line.accept(at, &answered, offer.local),
                None => Err(LineRefusal::Disabled),
            };
            match taken {
                Ok(plan) if line.kind == MediaKind::Video => negotiated.video = Some(plan),
                Ok(plan) => negotiated.audio = Some(plan),
                Err(reason) => {
                    let _ = negotiated.refused.push(RefusedLine { line: at, reason });
                }
            }
        }
        if negotiated.audio.is_none() && negotiated.video.is_none() {
            return Err(nothing_usable(&negotiated));
        }
        self.current = negotiated.clone();
        Ok(negotiated)
    }

    fn in_use(&self) -> InUse {
        let line = |plan: &Option<MediaPlan>| plan.as_ref().map(|plan| plan.line);
        InUse {
            audio: line(&self.current.audio),
            video: line(&self.current.video),
        }
    }

    /// The answer to one chosen line.
    fn take(
        &self,
        at: usize,
        line: &MediaLine<'_>,
        choice: Choice,
        local: &LocalMedia,
    ) -> Result<(Media, MediaPlan), LineRefusal> {
        choose::same_family(line, local.address)?;
        let kind = line.kind();
        let port = self.port(kind, local)?;
        let direction = agree(their_direction(line), self.plan.wish(kind));
        let rtcp_mux = local.rtcp_mux && line.rtcp_mux() && may_mux(&choice);
        let section = emit::accepted(line, &choice, port, direction, rtcp_mux, &self.plan);
        Ok((section, media_plan(at, line, choice, direction, rtcp_mux)))
    }

    fn port(&self, kind: MediaKind, local: &LocalMedia) -> Result<u16, LineRefusal> {
        let port = match kind {
            MediaKind::Audio => local.audio_port,
            MediaKind::Video => local.video_port,
            MediaKind::Other => None,
        };
        port.filter(|port| *port != 0)
            .ok_or(LineRefusal::NoLocalPort)
    }

    /// Refuses an outcome without media, unless a running session is emptied by the other side.
    fn check_usable(&self, negotiated: &Negotiated) -> Result<(), Refusal> {
        if negotiated.audio.is_some() || negotiated.video.is_some() {
            return Ok(());
        }
        let disabled = |line: &RefusedLine| line.reason == LineRefusal::Disabled;
        let emptied = !negotiated.refused.is_empty() && negotiated.refused.iter().all(disabled);
        if emptied && self.sent.is_some() {
            Ok(())
        } else {
            Err(nothing_usable(negotiated))
        }
    }

    /// Whether a line that the session has is to be offered again for a kind: the one in use, else
    /// the first of the kind.
    fn reoffers(&self, kind: MediaKind, at: usize, media: &Media) -> bool {
        let (in_use, name) = match kind {
            MediaKind::Audio => (self.in_use().audio, "audio"),
            MediaKind::Video => (self.in_use().video, "video"),
            MediaKind::Other => return false,
        };
        in_use.map_or_else(|| media.media.eq_ignore_ascii_case(name), |line| line == at)
    }

    /// One line of an offer, in a line of the session or a new one.
    fn offer_line(
        &self,
        kind: MediaKind,
        port: u16,
        before: Option<&Media>,
        local: &LocalMedia,
    ) -> (Media, OfferedLine) {
        let current = match kind {
            MediaKind::Video => self.current.video.as_ref(),
            _ => self.current.audio.as_ref(),
        };
        // A number keeps its meaning for a whole session.
        let mut numbers = Numbers::default();
        for format in before
            .iter()
            .flat_map(|media| media.fmt.split_ascii_whitespace())
        {
            numbers.take(format.parse().unwrap_or(u8::MAX));
        }
        let mut formats = FixedVec::<(u8, OfferedFormat), 4>::new();
        // Two modes, or two codecs and events: four places hold them.
        if kind == MediaKind::Video {
            let profile_level_id = self.profile_level_id(current);
            let mode_in_use = current.and_then(|plan| match plan.codec {
                PlannedCodec::H264 {
                    packetization_mode, ..
                } => Some((packetization_mode, plan.payload_type)),
                PlannedCodec::Pcma | PlannedCodec::Pcmu => None,
            });
            let modes = if mode_in_use.is_some_and(|(mode, _)| mode == 0) {
                [0, 1]
            } else {
                [1, 0]
            };
            for mode in modes {
                let usual = if mode == 1 {
                    MODE_1_PAYLOAD_TYPE
                } else {
                    MODE_0_PAYLOAD_TYPE
                };
                let number = match mode_in_use {
                    Some((in_use, number)) if in_use == mode => number,
                    _ => numbers.free(usual),
                };
                let profile_level_id = profile_level_id.clone();
                let _ = formats.push((
                    number,
                    OfferedFormat::H264 {
                        mode,
                        profile_level_id,
                    },
                ));
            }
        } else {
            let in_use = current
                .and_then(|plan| Some((Codec::from_name(plan.codec.name())?, plan.payload_type)));
            for codec in self.plan.codecs(kind) {
                let format = OfferedFormat::Audio(codec);
                let _ = match in_use {
                    Some((own, number)) if own == codec => formats.insert(0, (number, format)),
                    _ => formats.push((fixed_number(codec), format)),
                };
            }
            let number = current.and_then(|plan| plan.telephone_event);
            let number = number.unwrap_or_else(|| numbers.free(EVENTS_PAYLOAD_TYPE));
            let _ = formats.push((number, OfferedFormat::Events));
        }
        let direction = self.plan.wish(kind);
        let rtcp_mux = local.rtcp_mux && current.is_some_and(|plan| plan.rtcp_mux);
        let proto = before
            .filter(|_| current.is_some())
            .map_or("RTP/AVP", |m| m.proto.as_str());
        let section = emit::offered(
            kind,
            (port, proto),
            &formats,
            direction,
            rtcp_mux,
            &self.plan,
        );
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

    /// The profile to offer: the one in use, else the template's, else the usual one.
    fn profile_level_id(&self, current: Option<&MediaPlan>) -> String {
        let in_use = current.and_then(|plan| match plan.codec {
            PlannedCodec::H264 {
                profile_level_id: Some([profile, flags, level]),
                ..
            } => Some(format!("{profile:02x}{flags:02x}{level:02x}")),
            _ => None,
        });
        let template = self
            .plan
            .section(MediaKind::Video)
            .and_then(|of| of.profile_level_id.as_ref());
        in_use
            .or_else(|| template.map(|(text, _)| text.clone()))
            .unwrap_or_else(|| DEFAULT_PROFILE.to_owned())
    }

    /// Writes a description and keeps it; the version rises when it differs from the last.
    fn send(&mut self, address: IpAddr, times: Vec<Time>, medias: Vec<Media>) -> String {
        let origin = *self.origin.get_or_insert(address);
        let version = self
            .sent
            .as_ref()
            .map_or(1, |sent| sent.origin.sess_version);
        let identity = (self.session_id, version);
        let mut session = emit::session(&self.plan, identity, (origin, address), times, medias);
        if self.sent.as_ref().is_some_and(|sent| *sent != session) {
            session.origin.sess_version = version.saturating_add(1);
        }
        let text = print(&session);
        self.sent = Some(session);
        text
    }
}

/// An offer of ours that waits for its answer.
#[derive(Debug)]
struct PendingOffer {
    lines: FixedVec<OfferedLine, SDP_MEDIA>,
    local: IpAddr,
}

/// What we offered in one line.
#[derive(Debug)]
struct OfferedLine {
    kind: MediaKind,
    formats: FixedVec<(u8, OfferedFormat), 4>,
    direction: Direction,
    rtcp_mux: bool,
}

impl OfferedLine {
    /// A line out of use, kept for its place.
    const fn unused() -> Self {
        Self {
            kind: MediaKind::Other,
            formats: FixedVec::new(),
            direction: Direction::Inactive,
            rtcp_mux: false,
        }
    }

    /// What their answer makes of it.
    fn accept(
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

/// Payload types of one line of an offer of ours.
#[derive(Default)]
struct Numbers(u128);

impl Numbers {
    fn take(&mut self, number: u8) {
        self.0 |= 1_u128.checked_shl(u32::from(number)).unwrap_or(0);
    }

    /// The usual number, or the first dynamic one that is free; it is taken.
    fn free(&mut self, usual: u8) -> u8 {
        let free = |number: &u8| self.0 & 1_u128.checked_shl(u32::from(*number)).unwrap_or(0) == 0;
        let number = core::iter::once(usual)
            .chain(96..=127)
            .find(free)
            .unwrap_or(usual);
        self.take(number);
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

/// What the other side will do with a line, its address taken into account.
fn their_direction(line: &MediaLine<'_>) -> Direction {
    match line.address() {
        MediaAddress::Hold => without_receiving(line.direction()),
        _ => line.direction(),
    }
}

/// Whether RTP with these payload types can be told from RTCP on one port (RFC 5761, section 4).
fn may_mux(choice: &Choice) -> bool {
    let clashes = |number: u8| (64..=95).contains(&number);
    !clashes(choice.payload_type) && !choice.telephone_event.is_some_and(clashes)
}

fn media_plan(
    at: usize,
    line: &MediaLine<'_>,
    choice: Choice,
    direction: Direction,
    rtcp_mux: bool,
) -> MediaPlan {
    let (remote_rtp, remote_rtcp) = remote(line, rtcp_mux);
    let scope = FeedbackScope::PayloadType(choice.send_payload_type);
    MediaPlan {
        line: at,
        clock_rate: choice.codec.clock_rate(),
        codec: match choice.codec {
            Codec::H264 => PlannedCodec::H264 {
                packetization_mode: choice.h264.packetization_mode,
                profile_level_id: choice.h264.profile_level_id,
                sprop: choice.h264.sprop,
            },
            Codec::Pcma => PlannedCodec::Pcma,
            Codec::Pcmu => PlannedCodec::Pcmu,
        },
        payload_type: choice.payload_type,
        send_payload_type: choice.send_payload_type,
        telephone_event: choice.telephone_event,
        remote_rtp,
        remote_rtcp,
        rtcp_mux,
        send: direction.sends(),
        receive: direction.receives(),
        feedback: line.feedback(FeedbackScope::All).or(line.feedback(scope)),
        ptime: line.ptime(),
        maxptime: line.maxptime(),
    }
}

/// Where RTP and RTCP of a line go.
fn remote(line: &MediaLine<'_>, rtcp_mux: bool) -> (Option<SocketAddr>, Option<SocketAddr>) {
    let MediaAddress::Ip(ip) = line.address() else {
        return (None, None);
    };
    let rtp = SocketAddr::new(ip, line.port());
    let rtcp = match line.rtcp() {
        _ if rtcp_mux => Some(rtp),
        Some((port, Some(MediaAddress::Ip(other)))) if other.is_ipv4() == ip.is_ipv4() => {
            Some(SocketAddr::new(other, port))
        }
        Some((port, _)) => Some(SocketAddr::new(ip, port)),
        None => line
            .port()
            .checked_add(1)
            .map(|port| SocketAddr::new(ip, port)),
    };
    (Some(rtp), rtcp)
}

/// The most telling of the reasons.
fn nothing_usable(negotiated: &Negotiated) -> Refusal {
    let reasons = negotiated.refused.iter().map(|line| line.reason);
    reasons
        .max_by_key(|reason| reason.weight())
        .map_or(Refusal::NoMedia, Refusal::NothingUsable)
}
