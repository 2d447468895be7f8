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

use core::fmt;
use core::net::IpAddr;
use std::rc::Rc;

use heapless::Vec as FixedVec;
use sdp_types::{Media, Session, Time};

use crate::base::codec::CodecSet;
use crate::base::rng::Rng;
use crate::base::sink::SinkView;
use crate::limits::SDP_MEDIA;
use crate::sdp::choose::{self, Choice, Chosen, InUse};
use crate::sdp::codec_plan::CodecPlan;
use crate::sdp::direction::{Direction, agree, wanted};
use crate::sdp::emit;
use crate::sdp::format::kind_of;
use crate::sdp::media_plan::{
    LocalMedia, MediaPlan, Negotiated, RefusedLine, may_mux, media_plan, their_direction,
};
use crate::sdp::offer::{LineOffer, OfferedLine, PendingOffer};
use crate::sdp::offer_trim::Trim;
use crate::sdp::protection::{self, KeySource, SrtpTerms};
use crate::sdp::refusal::{LineRefusal, Refusal};
use crate::wire::sdp::{SessionDescription, print};
use crate::wire::sdp_media::{MediaKind, MediaLine};

/// The lines of an offer of ours.
type OfferedLines = FixedVec<OfferedLine, SDP_MEDIA>;

/// An answer and what it agrees to. Its text is not shown by `Debug`: it may have keys in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The text to send.
    pub sdp: String,
    /// What was agreed.
    pub negotiated: Negotiated,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Answer");
        shown.field("negotiated", &self.negotiated);
        shown.finish_non_exhaustive()
    }
}

/// The descriptions of one call.
///
/// A refused offer or answer leaves everything as it was, so the session goes on as before.
pub struct OfferAnswer {
    plan: Rc<CodecPlan>,
    sink: SinkView,
    /// Whether sound and picture are sent, where the call and not the trunk says so.
    sends: Option<[bool; 2]>,
    /// Whether we hold the session, from the next offer or answer on, and whether we do in the one in
    /// force.
    held: bool,
    holds: bool,
    session_id: u32,
    /// What we sent last; its media lines are those of the session.
    sent: Option<Session>,
    /// The first address we sent, which the `o=` line keeps.
    origin: Option<IpAddr>,
    pending: Option<Box<PendingOffer>>,
    /// The formats of each line of their last offer.
    theirs: Vec<String>,
    current: Negotiated,
    terms: SrtpTerms,
    /// Whether audio and video were protected once.
    protected: [bool; 2],
    /// Where keys come from, while the terms allow any.
    keys: Option<KeySource>,
}

impl fmt::Debug for OfferAnswer {
    /// Without the text that was sent, which may have keys in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfferAnswer")
            .field("session_id", &self.session_id)
            .field("terms", &self.terms)
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

impl OfferAnswer {
    /// The negotiation of a new call; `session_id` is to be unpredictable.
    pub fn new(plan: Rc<CodecPlan>, session_id: u32) -> Self {
        Self {
            plan,
            sink: SinkView::UNKNOWN,
            sends: None,
            held: false,
            holds: false,
            session_id,
            sent: None,
            origin: None,
            pending: None,
            theirs: Vec::new(),
            current: Negotiated::default(),
            terms: SrtpTerms::default(),
            protected: [false; 2],
            keys: None,
        }
    }

    /// Whether media is protected, from the next offer or answer on; without it, the default terms
    /// hold, under which no key is taken. Keys are drawn from `rng`, which is to be seeded by the
    /// system: it is a stream cipher, so they are unpredictable.
    pub fn set_protection(&mut self, terms: SrtpTerms, rng: &mut Rng) {
        self.terms = terms;
        if terms.takes_keys().is_ok() && self.keys.is_none() {
            self.keys = Some(KeySource::new(rng));
        }
    }

    /// What is known of the sink; the offers and answers from now on follow it. A codec in use stays
    /// in use while it is offered and not refused.
    pub const fn set_sink(&mut self, sink: SinkView) {
        self.sink = sink;
    }

    /// Whether sound and picture are sent from now on, whatever the trunk wishes; both are always
    /// received.
    pub const fn set_sends(&mut self, audio: bool, video: bool) {
        self.sends = Some([audio, video]);
    }

    /// Whether we hold the session, from the next offer or answer on: we receive nothing then.
    pub const fn set_held(&mut self, held: bool) {
        self.held = held;
    }

    /// Whether we hold the session, or are about to.
    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// What decides on the protection.
    pub const fn terms(&self) -> SrtpTerms {
        self.terms
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
        let mut chosen = choose::choose(offer, &self.plan, self.sink, self.in_use());
        if let Some(reason) = unprotected(&chosen) {
            return Err(Refusal::NothingUsable(reason));
        }
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
                        let _ = chosen.refused.push(RefusedLine {
                            line: at,
                            kind: line.kind(),
                            reason,
                        });
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
        let time = offer.session().times.first();
        let sdp = self.send(local.address, time, medias);
        self.pending = None;
        let medias = offer.session().medias.iter();
        self.theirs = medias.map(|media| media.fmt.clone()).collect();
        self.agree(&negotiated);
        Ok(Answer { sdp, negotiated })
    }

    /// The offer for an INVITE that brings none, first or later.
    ///
    /// It offers every codec that the trunk wants and the sink does not refuse, the best first, in
    /// the media lines that the session has; a kind that it has not is added where a port is given.
    /// Without the trunk's additions it is short enough for a 200 that fits one datagram.
    pub fn offer(&mut self, local: &LocalMedia) -> Result<String, Refusal> {
        self.offer_within(local, usize::MAX)
    }

    /// The same in at most so many bytes, where it can be had: the least wanted codecs of sound are
    /// left out first, down to two, then those of pictures down to one, then the second of sound, then
    /// the second packetization-mode of H.264. Where all that is not enough, nothing is left out.
    pub fn offer_within(&mut self, local: &LocalMedia, bytes: usize) -> Result<String, Refusal> {
        let mut trim = Trim::default();
        let (lines, medias) = loop {
            let (lines, medias) = self.offered(local, trim)?;
            let (_, draft) = self.draft(local.address, None, medias.clone());
            if print(&draft).len() <= bytes {
                break (lines, medias);
            }
            let formats = |kind| lines.iter().find(|line| line.kind == kind);
            let [audio, video] = [MediaKind::Audio, MediaKind::Video]
                .map(|kind| formats(kind).map_or(0, OfferedLine::codecs));
            match trim.after(audio, video) {
                Some(next) => trim = next,
                // What does not fit in any case may as well be whole.
                None => break self.offered(local, Trim::default())?,
            }
        };
        let before = self.sent.clone();
        let sdp = self.send(local.address, None, medias);
        self.pending = Some(Box::new(PendingOffer {
            lines,
            local: local.address,
            before,
            again: false,
        }));
        Ok(sdp)
    }

    /// What was sent last, as an offer: it says by its version that nothing has changed (RFC 4028,
    /// section 7.4). The answer is taken by [`Self::accept_answer`] as that to any other.
    pub fn again(&mut self) -> Result<String, Refusal> {
        let sent = self.sent.as_ref().ok_or(Refusal::NoMedia)?;
        let text = print(sent);
        let local = self
            .origin
            .unwrap_or(IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED));
        self.pending = Some(Box::new(PendingOffer {
            lines: OfferedLines::new(),
            local,
            before: None,
            again: true,
        }));
        Ok(text)
    }

    /// Our offer was refused, or was not sent: what was agreed before holds (RFC 3264, section 4). A
    /// hold or its end that it was for stays wished for when the offer is to come again.
    pub fn withdraw(&mut self, comes_again: bool) {
        if let Some(before) = self.pending.take().and_then(|offer| offer.before) {
            let version = self.sent.take().map(|sent| sent.origin.sess_version);
            let mut sent = before;
            sent.origin.sess_version = version.unwrap_or(sent.origin.sess_version);
            self.sent = Some(sent);
        }
        if !comes_again {
            self.held = self.holds;
        }
    }

    /// The lines of an offer, and what to hold the answer against.
    fn offered(
        &mut self,
        local: &LocalMedia,
        trim: Trim,
    ) -> Result<(OfferedLines, Vec<Media>), Refusal> {
        let mut lines = OfferedLines::new();
        let mut medias = Vec::new();
        let kinds = [MediaKind::Audio, MediaKind::Video];
        let mut open = kinds.map(|kind| {
            self.port(kind, local)
                .ok()
                .filter(|_| self.offers(kind))
                .map(|port| (kind, port))
        });
        if open.iter().all(Option::is_none) {
            return Err(Refusal::NothingUsable(self.nothing_to_offer(local)));
        }
        let sent = self.sent.take();
        for (at, media) in sent.iter().flat_map(|sent| &sent.medias).enumerate() {
            let live = open
                .iter_mut()
                .find_map(|slot| slot.take_if(|(kind, _)| self.reoffers(*kind, at, media)));
            let (section, line) = match live {
                Some((kind, port)) => self.line_offer(kind, port, Some((at, media)), local, trim),
                None => (emit::refused(media), OfferedLine::unused()),
            };
            medias.push(section);
            let _ = lines.push(line);
        }
        self.sent = sent;
        for (kind, port) in open.into_iter().flatten() {
            let (section, line) = self.line_offer(kind, port, None, local, trim);
            // A session that already has as many lines as we take gets no more.
            if lines.push(line).is_ok() {
                medias.push(section);
            }
        }
        Ok((lines, medias))
    }

    /// Takes the answer to our offer, the last one.
    ///
    /// Lines that it lacks count as refused, lines too many are passed over.
    pub fn accept_answer(&mut self, answer: &SessionDescription) -> Result<Negotiated, Refusal> {
        let offer = self.pending.take().ok_or(Refusal::NoOffer)?;
        self.take_answer(&offer, answer)
    }

    /// Takes an answer that holds until another one comes: that of a provisional response, which
    /// may be of one fork among several (RFC 3261, section 13.2.2.4).
    pub fn accept_early(&mut self, answer: &SessionDescription) -> Result<Negotiated, Refusal> {
        let offer = self.pending.take().ok_or(Refusal::NoOffer)?;
        let taken = self.take_answer(&offer, answer);
        self.pending = Some(offer);
        taken
    }

    fn take_answer(
        &mut self,
        offer: &PendingOffer,
        answer: &SessionDescription,
    ) -> Result<Negotiated, Refusal> {
        let mut negotiated = Negotiated::default();
        if offer.again {
            negotiated = self.answered_again(answer);
        }
        let mut theirs = answer.media();
        for (at, line) in offer.lines.iter().enumerate() {
            let taken = match theirs.next() {
                Some(answered) => {
                    let asked = self.plan.bitrate(line.kind);
                    line.accept(at, &answered, offer.local, asked)
                }
                None => Err(LineRefusal::Disabled),
            };
            match taken {
                Ok(plan) if line.kind == MediaKind::Video => negotiated.video = Some(plan),
                Ok(plan) => negotiated.audio = Some(plan),
                Err(reason) => {
                    let _ = negotiated.refused.push(RefusedLine {
                        line: at,
                        kind: line.kind,
                        reason,
                    });
                }
            }
        }
        if negotiated.audio.is_none() && negotiated.video.is_none() {
            return Err(nothing_usable(&negotiated));
        }
        self.agree(&negotiated);
        Ok(negotiated)
    }

    /// What an answer to the same offer again changes: where media goes, and its direction.
    fn answered_again(&self, answer: &SessionDescription) -> Negotiated {
        let mut negotiated = Negotiated {
            refused: self.current.refused.clone(),
            ..Negotiated::default()
        };
        for plan in [&self.current.audio, &self.current.video]
            .into_iter()
            .flatten()
        {
            let (at, kind) = (plan.line, kind_of(plan.codec.codec()));
            let line = answer.media().nth(at);
            let line = line.filter(|line| choose::reachable(line).is_ok());
            let Some(line) = line else {
                let reason = LineRefusal::Disabled;
                // A line is refused once, so there is room.
                let _ = negotiated.refused.push(RefusedLine {
                    line: at,
                    kind,
                    reason,
                });
                continue;
            };
            let direction = agree(their_direction(&line), self.wish(kind));
            let moved = Some(plan.moved(&line, direction));
            match kind {
                MediaKind::Video => negotiated.video = moved,
                MediaKind::Audio | MediaKind::Other => negotiated.audio = moved,
            }
        }
        negotiated
    }

    /// What we would do with media of a kind.
    fn wish(&self, kind: MediaKind) -> Direction {
        let wish = match (self.sends, kind) {
            (Some([sends, _]), MediaKind::Audio) | (Some([_, sends]), MediaKind::Video) => {
                Direction::new(sends, true)
            }
            _ => self.plan.wish(kind),
        };
        wanted(wish, self.held)
    }

    /// Takes over what was agreed.
    fn agree(&mut self, negotiated: &Negotiated) {
        self.current = negotiated.clone();
        self.holds = self.held;
        let plans = [&negotiated.audio, &negotiated.video];
        for (protected, plan) in self.protected.iter_mut().zip(plans) {
            *protected |= plan.as_ref().is_some_and(|plan| plan.srtp.is_some());
        }
    }

    fn in_use(&self) -> InUse<'_> {
        InUse {
            audio: self.current.audio.as_ref(),
            video: self.current.video.as_ref(),
            terms: self.terms,
            protected: self.protected,
        }
    }

    /// The answer to one chosen line.
    fn take(
        &mut self,
        at: usize,
        line: &MediaLine<'_>,
        choice: Choice,
        local: &LocalMedia,
    ) -> Result<(Media, MediaPlan), LineRefusal> {
        choose::same_family(line, local.address)?;
        let kind = line.kind();
        let port = self.port(kind, local)?;
        let direction = agree(their_direction(line), self.wish(kind));
        let rtcp_mux = local.rtcp_mux && line.rtcp_mux() && may_mux(&choice);
        let mut section = emit::accepted(line, &choice, port, direction, rtcp_mux, &self.plan);
        let asked = self.plan.bitrate(kind);
        let mut srtp = None;
        if let Some(theirs) = &choice.key {
            let current = match kind {
                MediaKind::Video => self.current.video.as_ref(),
                MediaKind::Audio | MediaKind::Other => self.current.audio.as_ref(),
            };
            let in_use = current.and_then(|plan| plan.srtp.as_deref());
            let keys = protection::agreed_keys(theirs, in_use, self.keys.as_mut())?;
            protection::add_key(&mut section, 0, theirs.tag, &keys.local);
            srtp = Some(keys);
        }
        let plan = media_plan(at, line, choice, direction, rtcp_mux, asked, srtp);
        Ok((section, plan))
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

    /// Why there is nothing to offer.
    fn nothing_to_offer(&self, local: &LocalMedia) -> LineRefusal {
        let refused = [MediaKind::Audio, MediaKind::Video]
            .into_iter()
            .filter(|kind| self.port(*kind, local).is_ok())
            .map(|kind| self.plan.refused(kind, self.sink))
            .fold(CodecSet::NONE, CodecSet::union);
        if refused.is_empty() {
            LineRefusal::NoLocalPort
        } else {
            LineRefusal::SinkRefuses(refused)
        }
    }

    /// Whether an offer of ours has a kind: the trunk wants it, and the sink some codec of it.
    fn offers(&self, kind: MediaKind) -> bool {
        self.plan.wants(kind) && !self.plan.codecs(kind, self.sink).is_empty()
    }

    /// Whether a line that the session has is to be offered again for a kind: the one in use, else
    /// the first of the kind.
    fn reoffers(&self, kind: MediaKind, at: usize, media: &Media) -> bool {
        let (in_use, name) = match kind {
            MediaKind::Audio => (self.in_use().audio, "audio"),
            MediaKind::Video => (self.in_use().video, "video"),
            MediaKind::Other => return false,
        };
        in_use.map_or_else(
            || media.media.eq_ignore_ascii_case(name),
            |plan| plan.line == at,
        )
    }

    /// One line of an offer, in a line of the session or a new one.
    fn line_offer(
        &mut self,
        kind: MediaKind,
        port: u16,
        before: Option<(usize, &Media)>,
        local: &LocalMedia,
        trim: Trim,
    ) -> (Media, OfferedLine) {
        let current = match kind {
            MediaKind::Video => self.current.video.as_ref(),
            MediaKind::Audio | MediaKind::Other => self.current.audio.as_ref(),
        };
        let theirs = before.and_then(|(at, _)| self.theirs.get(at));
        let [audio, video] = self.protected;
        let was_protected = match kind {
            MediaKind::Video => video,
            MediaKind::Audio | MediaKind::Other => audio,
        };
        let keys = if was_protected || self.terms.demands() {
            let in_use = current.and_then(|plan| plan.srtp.as_deref());
            protection::keys_to_offer(in_use, self.keys.as_mut())
        } else {
            Box::default()
        };
        LineOffer {
            kind,
            port,
            rtcp_mux: local.rtcp_mux,
            before: before.map(|(_, media)| media),
            theirs: theirs.map_or("", String::as_str),
            current,
            direction: self.wish(kind),
            trim,
            keys,
        }
        .build(&self.plan, self.sink)
    }

    /// Writes a description and keeps it; the version rises when it differs from the last.
    fn send(&mut self, address: IpAddr, time: Option<&Time>, medias: Vec<Media>) -> String {
        let (origin, session) = self.draft(address, time, medias);
        self.origin = Some(origin);
        let text = print(&session);
        self.sent = Some(session);
        text
    }

    /// A description as it would be sent now, with the address of its origin.
    fn draft(&self, address: IpAddr, time: Option<&Time>, medias: Vec<Media>) -> (IpAddr, Session) {
        let origin = self.origin.unwrap_or(address);
        let version = self
            .sent
            .as_ref()
            .map_or(1, |sent| sent.origin.sess_version);
        let identity = (self.session_id, version);
        let mut session = emit::session(&self.plan, identity, (origin, address), time, medias);
        if self.sent.as_ref().is_some_and(|sent| *sent != session) {
            session.origin.sess_version = version.saturating_add(1);
        }
        (origin, session)
    }
}

/// Why an offer is refused as a whole: it takes the protection from a kind of media.
fn unprotected(chosen: &Chosen) -> Option<LineRefusal> {
    let lost = |line: &&RefusedLine| {
        line.reason == LineRefusal::Unprotected
            && match line.kind {
                MediaKind::Audio => chosen.audio.is_none(),
                MediaKind::Video => chosen.video.is_none(),
                MediaKind::Other => false,
            }
    };
    chosen.refused.iter().find(lost).map(|line| line.reason)
}

/// The most telling of the reasons.
fn nothing_usable(negotiated: &Negotiated) -> Refusal {
    let reasons = negotiated.refused.iter().map(|line| line.reason);
    reasons
        .reduce(LineRefusal::more_telling)
        .map_or(Refusal::NoMedia, Refusal::NothingUsable)
}
