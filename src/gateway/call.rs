//! One call: its SIP session, its media, its stream and the stream's readers.

use core::fmt;
use core::time::Duration;
use std::net::IpAddr;

use crate::base::codec::{self, Track};
use crate::base::frame_log::FrameLog;
use crate::base::ids::CallId;
use crate::base::redact::HIDDEN;
use crate::base::time::Instant;
use crate::gateway::call_summary::{CallSummary, SinkSummary, TrackSummary};
use crate::gateway::ending::Ending;
use crate::gateway::injection::Injection;
use crate::gateway::outgoing::Outgoing;
use crate::gateway::outlet::{Level, Outlet};
use crate::gateway::outputs::Outputs;
use crate::gateway::pushes::PushSummary;
use crate::gateway::relay::Link;
use crate::gateway::sink::Sink;
use crate::gateway::status::{CallStatus, TrackStatus};
use crate::gateway::transfer::Transfer;
use crate::gateway::watchdog::{Watch, Watchdog};
use crate::limits::PLAYERS_A_CALL;
use crate::rtmp::{Publisher, RtmpStatus};
use crate::rtp::bitrate::BitrateFeedback;
use crate::rtp::keyframe::Feedback;
use crate::rtp::session::Session;
use crate::rtp::stream::{Codec, StreamConfig};
use crate::rtp::telephone_event_sender::EventFormat;
use crate::sdp::{MediaPlan, Negotiated, OfferAnswer, PlannedCodec};
use crate::wire::rtmp_url::RtmpUrl;
use crate::wire::sdp_media::MediaKind;
use crate::wire::sip_identity::Identity;

/// Who calls whom, for lines of the journal.
#[derive(Clone, Debug)]
pub struct Label {
    /// Running number of the call since start.
    pub number: u64,
    /// Name of the trunk it came by.
    pub trunk: String,
    /// User part of the caller's address.
    pub caller: String,
    /// User part of the dialled address.
    pub callee: String,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "call {} {} {}->{}",
            self.number, self.trunk, self.caller, self.callee
        )
    }
}

/// What is known of a caller beside its number, for the line of the journal that begins a call.
#[derive(Clone, Copy, Debug)]
pub struct CallerWords<'a> {
    display: Option<&'a str>,
    identity: Option<&'a Identity>,
}

impl<'a> CallerWords<'a> {
    /// Of a call.
    pub fn of(call: &'a Call) -> Self {
        Self {
            display: call.display.as_deref(),
            identity: call.identity.as_deref(),
        }
    }
}

impl fmt::Display for CallerWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = self.display {
            write!(f, " named {display:?}")?;
        }
        let Some(identity) = self.identity else {
            return Ok(());
        };
        if let Some(asserted) = &identity.asserted {
            write!(f, " asserted {}", asserted.number)?;
        }
        if let Some(diverted) = &identity.diverted {
            write!(f, " diverted from {}", diverted.from.number)?;
            if let Some(reason) = &diverted.reason {
                write!(f, " ({reason})")?;
            }
        }
        if identity.private {
            f.write_str(" private")?;
        }
        Ok(())
    }
}

/// Port numbers leased for a call's tracks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// RTP port of the audio track.
    pub audio: Option<u16>,
    /// RTP port of the video track.
    pub video: Option<u16>,
}

impl Ports {
    /// The port of a track.
    pub fn get(&self, track: Track) -> Option<u16> {
        match track {
            Track::Audio => self.audio,
            Track::Video => self.video,
        }
    }

    /// The port of a track, for change.
    pub fn get_mut(&mut self, track: Track) -> &mut Option<u16> {
        match track {
            Track::Audio => &mut self.audio,
            Track::Video => &mut self.video,
        }
    }
}

/// The RTMP publisher of a call and its connection, while it has one.
pub struct Publishing {
    /// The RTMP side.
    pub publisher: Publisher,
    /// The connection, from the attempt to connect on.
    pub link: Option<Link>,
}

/// Whether a caller listens to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listening {
    /// It never did: a camera.
    #[default]
    Never,
    /// It does.
    Now,
    /// It did, and put us on hold.
    Stopped,
}

impl Listening {
    fn after(self, listens: bool) -> Self {
        match (self, listens) {
            (_, true) => Self::Now,
            (Self::Never, false) => Self::Never,
            (Self::Now | Self::Stopped, false) => Self::Stopped,
        }
    }
}

/// What a new call begins with.
pub(super) struct Beginning {
    pub label: Label,
    pub trunk: usize,
    pub sip: Option<CallId>,
    pub sip_call_id: String,
    pub stream: String,
    pub stream_is_key: bool,
    pub sink: Sink,
    pub negotiation: OfferAnswer,
    pub local: IpAddr,
    pub ports: Ports,
    pub session: Session,
    pub publishing: Option<Box<Publishing>>,
    pub offered: bool,
    pub outgoing: Option<Box<Outgoing>>,
}

/// One call.
pub struct Call {
    /// Who calls whom.
    pub label: Label,
    /// The trunk's place.
    pub trunk: usize,
    /// The SIP session; `None` once SIP is done with the call.
    pub sip: Option<CallId>,
    /// Call-ID of the INVITE.
    pub sip_call_id: String,
    /// The caller's display name.
    pub display: Option<Box<str>>,
    /// What the PBX says of the caller beside From.
    pub identity: Option<Box<Identity>>,
    /// What is kept of a call out; `None` for one that came in.
    pub outgoing: Option<Box<Outgoing>>,
    /// What the call is doing.
    pub status: CallStatus,
    /// Since when it is answered.
    pub answered: Option<Instant>,
    /// Name of the stream.
    pub stream: String,
    /// Whether that name may be the secret key of a platform, which no line of the journal shows.
    pub stream_is_key: bool,
    /// Where the stream goes.
    pub sink: Sink,
    /// State of the audio track.
    pub audio: TrackStatus,
    /// State of the video track.
    pub video: TrackStatus,
    /// Offer and answer so far.
    pub negotiation: OfferAnswer,
    /// Whether our 200, or our INVITE, carried an offer whose answer has not come.
    pub offered: bool,
    /// Our address as the caller sees it.
    pub local: IpAddr,
    /// Leased ports.
    pub ports: Ports,
    /// Whether video was agreed on, or offered by us.
    pub expects_video: bool,
    /// The codec of the video agreed on.
    pub video_codec: Option<codec::Codec>,
    /// Media received and sent.
    pub session: Session,
    /// What became of tracks, sound and picture, that an offer took away again.
    pub former: Option<Box<[TrackSummary; 2]>>,
    /// Whole frames that readers may still want.
    pub log: Box<FrameLog>,
    /// The publisher, when the trunk has a target.
    pub publishing: Option<Box<Publishing>>,
    /// Places of the local players of the stream.
    pub players: heapless::Vec<usize, PLAYERS_A_CALL>,
    /// What else reads the stream, if anything does.
    pub outputs: Option<Box<Outputs>>,
    /// What is sent into it in place of silence, if anything is.
    pub injection: Option<Box<Injection>>,
    /// Whether it was looked at whether it is to be recorded unasked.
    pub record_decided: bool,
    /// Notices a caller that is gone.
    pub watchdog: Watchdog,
    /// Whether the caller listened to us, and whether it does no more: many phones hold a call by
    /// `sendonly` and then send nothing.
    pub listening: Listening,
    /// When the patience with a clean end of the stream is over; set once SIP is done.
    pub gone_by: Option<Instant>,
    /// Its last transfer, if there was one.
    pub transfer: Option<Box<Transfer>>,
    /// Why it ends, where SIP cannot tell.
    pub ending: Option<Ending>,
    /// A defect left it in an unknown state: it is ended with the next drain.
    pub crashed: bool,
}

impl Call {
    /// A call that begins now.
    pub(super) fn new(now: Instant, beginning: Beginning) -> Box<Self> {
        let expects_video = beginning.ports.video.is_some();
        Box::new(Self {
            label: beginning.label,
            trunk: beginning.trunk,
            sip: beginning.sip,
            sip_call_id: beginning.sip_call_id,
            status: CallStatus::Trying,
            answered: None,
            stream: beginning.stream,
            stream_is_key: beginning.stream_is_key,
            sink: beginning.sink,
            audio: TrackStatus::default(),
            video: TrackStatus::default(),
            negotiation: beginning.negotiation,
            local: beginning.local,
            ports: beginning.ports,
            expects_video,
            video_codec: None,
            session: beginning.session,
            former: None,
            log: Box::default(),
            publishing: beginning.publishing,
            players: heapless::Vec::new(),
            outputs: None,
            injection: None,
            record_decided: false,
            offered: beginning.offered,
            display: None,
            identity: None,
            watchdog: Watchdog::new(now),
            listening: Listening::default(),
            gone_by: None,
            outgoing: beginning.outgoing,
            transfer: None,
            ending: None,
            crashed: false,
        })
    }

    /// Whether it goes on: one that has ended is kept until its stream has ended too.
    pub fn is_live(&self) -> bool {
        self.gone_by.is_none()
    }

    /// Whether it goes out and was not answered.
    pub fn is_calling(&self) -> bool {
        self.outgoing.is_some() && self.answered.is_none()
    }

    /// Whether there is, or will be at once, something in its stream.
    pub fn has_begun(&self) -> bool {
        self.answered.is_some() || self.log.end() > 0
    }

    /// The RTMP server that it was to be published to from the start.
    pub fn target(&self) -> Option<&RtmpUrl> {
        let publisher = self.publishing.as_ref().map(|it| &it.publisher);
        match &self.outgoing {
            Some(outgoing) => outgoing.rtmp_url.as_ref(),
            None => publisher.map(Publisher::url),
        }
    }

    /// How its stream at an RTMP server stands; `None` where it goes to none.
    pub fn rtmp_status(&self) -> Option<RtmpStatus> {
        let publishing = self.publishing.as_ref().map(|p| p.publisher.status());
        let outgoing = self.outgoing.as_ref();
        // It is not connected to before there is something to send.
        publishing.or_else(|| outgoing?.rtmp_url.as_ref().map(|_| RtmpStatus::Wait))
    }

    /// The name of its stream as it may be printed.
    pub fn shown_stream(&self) -> &str {
        shown_stream(&self.stream, self.stream_is_key)
    }

    /// The oldest log position that some reader still needs.
    pub fn needed_from(&self, others: impl Iterator<Item = u64>) -> u64 {
        let publisher = self
            .publishing
            .as_ref()
            .map(|publishing| publishing.publisher.position());
        others
            .chain(publisher)
            .min()
            .unwrap_or_else(|| self.log.end())
    }

    /// What the watchdog has to say by now, with so much patience.
    pub fn watch(&mut self, now: Instant, patience: Option<Duration>) -> Watch {
        let is_held = self.is_held();
        self.watchdog.look(now, patience, is_held)
    }

    /// When to look again.
    pub fn watched_until(&self, patience: Option<Duration>) -> Option<Instant> {
        self.sip?;
        self.watchdog.poll_timeout(patience, self.is_held())
    }

    /// Whether no media is expected: either side holds the call, or does not want any.
    fn is_held(&self) -> bool {
        // Nothing has to come before the answer.
        self.is_calling()
            || self.is_moving()
            || self.status == CallStatus::Hold
            || self.listening == Listening::Stopped
    }

    /// State of a track.
    pub fn track(&self, track: Track) -> TrackStatus {
        match track {
            Track::Audio => self.audio,
            Track::Video => self.video,
        }
    }

    /// Takes over which tracks the publisher leaves out, with a line of the journal for a change.
    pub fn look_left_out(&mut self, outlet: &mut dyn Outlet) {
        let Some(publishing) = &self.publishing else {
            return;
        };
        for (track, status) in [
            (Track::Audio, &mut self.audio),
            (Track::Video, &mut self.video),
        ] {
            let unpublished = publishing.publisher.left_out(track);
            if std::mem::replace(&mut status.unpublished, unpublished) == unpublished {
                continue;
            }
            if let Some(words) = unpublished {
                outlet.note(Level::Warn, format_args!("{}: {words}", self.label));
            }
        }
    }

    /// What became of the call's media up to now.
    pub fn summary(&self, now: Instant) -> CallSummary<'_> {
        let [audio, video] = self.former.as_deref().copied().unwrap_or_default();
        let of = |track| TrackSummary::of(&self.session, track);
        let publisher = self.publishing.as_ref().map(|it| &it.publisher);
        CallSummary {
            seconds: self.answered.map_or(0, |at| now.since(at).as_secs()),
            audio: audio.plus(of(Track::Audio)),
            video: video.plus(of(Track::Video)),
            skew: self.session.skew_stats(),
            sink: publisher.map(SinkSummary::of),
            pushed: self
                .outputs
                .as_ref()
                .map_or_else(PushSummary::default, |it| it.pushed),
            left_out: [self.audio.left_out(), self.video.left_out()],
        }
    }

    /// Whether every reader of the stream has sent its last byte.
    pub fn is_flushed(&self) -> bool {
        let published = |publishing: &Publishing| publishing.publisher.is_stopped();
        self.players.is_empty()
            && self.publishing.as_deref().is_none_or(published)
            && self.outputs.as_deref().is_none_or(Outputs::is_flushed)
    }

    /// Takes over what was agreed for the media, the state of the call, and a line of the journal.
    pub fn agree(&mut self, now: Instant, negotiated: &Negotiated, outlet: &mut dyn Outlet) {
        for (track, plan) in [
            (Track::Audio, &negotiated.audio),
            (Track::Video, &negotiated.video),
        ] {
            if plan.is_none() {
                let [audio, video] = &mut **self.former.get_or_insert_default();
                let former = match track {
                    Track::Audio => audio,
                    Track::Video => video,
                };
                *former = former.plus(TrackSummary::of(&self.session, track));
            }
            self.session
                .configure(now, track, plan.as_ref().map(stream_config));
        }
        for (status, plan, kind) in [
            (&mut self.audio, &negotiated.audio, MediaKind::Audio),
            (&mut self.video, &negotiated.video, MediaKind::Video),
        ] {
            status.codec = plan.as_ref().map(|plan| plan.codec.codec());
            let mut left_out = negotiated.left_out();
            status.refused = left_out.find(|line| line.kind == kind).copied();
        }
        if let Some(injection) = &mut self.injection {
            injection.renegotiated();
        }
        self.watchdog.restart(now);
        if let Some(audio) = &negotiated.audio {
            let was_stopped = self.listening == Listening::Stopped;
            self.listening = self.listening.after(audio.send);
            if was_stopped && self.listening != Listening::Stopped {
                // A phone may go on with pictures that depend on those it made in its hold.
                self.session.request_keyframe(now);
            }
        }
        self.expects_video = negotiated.video.is_some();
        self.video_codec = negotiated.video.as_ref().map(|plan| plan.codec.codec());
        if let Some(publishing) = &mut self.publishing {
            publishing.publisher.set_expect_video(self.expects_video);
            publishing.publisher.set_video_codec(self.video_codec);
        }
        self.note_media(negotiated, outlet);
    }

    /// What an answered call is doing, by what was agreed.
    pub(super) fn status_agreed(&self) -> CallStatus {
        let current = self.negotiation.current();
        let plans = [&current.audio, &current.video];
        if plans.into_iter().flatten().any(|plan| plan.receive) {
            CallStatus::Established
        } else {
            CallStatus::Hold
        }
    }

    fn note_media(&mut self, negotiated: &Negotiated, outlet: &mut dyn Outlet) {
        if !self.is_calling() {
            self.status = self.status_agreed();
        }
        let audio = negotiated.audio.as_ref().map(TrackWords);
        let video = negotiated.video.as_ref().map(TrackWords);
        outlet.note(
            Level::Info,
            format_args!(
                "{}: {}; audio {}; video {}",
                self.label,
                self.status,
                Words(audio),
                Words(video)
            ),
        );
        for line in negotiated.left_out() {
            outlet.note(Level::Warn, format_args!("{}: {line}", self.label));
        }
    }
}

/// The name of a stream as it may be printed.
pub(super) fn shown_stream(stream: &str, is_key: bool) -> &str {
    match is_key {
        true => HIDDEN,
        false => stream,
    }
}

/// What the media of a track is told of its plan.
fn stream_config(plan: &MediaPlan) -> StreamConfig {
    StreamConfig {
        codec: match &plan.codec {
            PlannedCodec::H264 { sprop, .. } => Codec::H264 {
                sprop: sprop.to_vec(),
            },
            PlannedCodec::Vp8 => Codec::Vp8,
            PlannedCodec::Opus { channels } => Codec::Opus {
                channels: *channels,
            },
            PlannedCodec::Aac(packing) => Codec::Aac(packing.clone()),
            PlannedCodec::Speex => Codec::Speex,
            PlannedCodec::Pcma => Codec::Pcma,
            PlannedCodec::Pcmu => Codec::Pcmu,
        },
        payload_type: plan.payload_type,
        send_payload_type: plan.send_payload_type,
        telephone_event: plan.telephone_event,
        send_telephone_event: plan.send_telephone_event.map(EventFormat::from),
        remote_rtp: plan.remote_rtp,
        remote_rtcp: plan.remote_rtcp,
        rtcp_mux: plan.rtcp_mux,
        send: plan.send,
        receive: plan.receive,
        feedback: Feedback {
            pli: plan.feedback.pli,
            fir: plan.feedback.fir,
        },
        nack: plan.feedback.nack,
        bitrate_feedback: BitrateFeedback {
            tmmbr: plan.feedback.tmmbr,
            remb: plan.feedback.remb,
        },
        bitrate: plan.bitrate_asked,
        clock_rate: plan.clock_rate,
        srtp: plan.srtp.clone(),
    }
}

/// A negotiated track in words.
struct TrackWords<'a>(&'a MediaPlan);

impl fmt::Display for TrackWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        write!(f, "{} payload {}", plan.codec, plan.payload_type)?;
        if let Some(keys) = &plan.srtp {
            write!(f, " with {}", keys.suite())?;
        }
        match plan.remote_rtp {
            Some(remote) => write!(f, " from {remote}"),
            None => f.write_str(" on hold"),
        }
    }
}

struct Words<'a>(Option<TrackWords<'a>>);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(words) => words.fmt(f),
            None => f.write_str("none"),
        }
    }
}
