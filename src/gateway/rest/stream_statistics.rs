//! What a stream carries and who reads it, in numbers.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use serde::Serialize;

use crate::base::codec::Track;
use crate::base::frame_log::FrameLog;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::call_summary::TrackSummary;
use crate::gateway::outlet::CallIndex;
use crate::gateway::stream_meter::TrackRate;

/// The numbers that clients know by these names: rates in bits a second, times in milliseconds.
#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct Metrics {
    audio_codec: Option<u8>,
    audio_lost: u64,
    audio_rate: u64,
    audio_sync: Option<i64>,
    video_codec: Option<u8>,
    video_fps: u64,
    video_gop_size: u32,
    video_height: u16,
    video_k_frames: u64,
    video_lost: u64,
    video_nack: u64,
    video_p_frames: u64,
    video_pli: u64,
    video_rate: u64,
    video_sync: Option<i64>,
    video_width: u16,
}

/// What the stream of a call carries: rates in bits and frames a second, losses in packets.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    bitrate: u64,
    audio: TrackNumbers,
    video: TrackNumbers,
    /// How much later the picture is presented than the voice that belongs to it.
    skew_millis: Option<i64>,
    keyframes: u64,
    keyframe_age_millis: Option<u64>,
    readers: Vec<Reader>,
}

/// What is told of one track.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TrackNumbers {
    bitrate: u64,
    frame_rate: u64,
    frames: u64,
    lost: u64,
}

/// Who reads a stream.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reader {
    /// `publisher`, `push`, `injection` or `player`.
    pub kind: &'static str,
    /// Where it is, without secrets; the call that a stream is injected into.
    pub target: String,
    /// The name of a push.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_session_id: Option<String>,
    /// How it stands.
    pub status: String,
    /// Why it stands so, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long its next frame has waited.
    pub backlog_millis: u64,
}

impl Metrics {
    /// Of the stream of a call.
    pub fn of(gateway: &Gateway, now: Instant, index: CallIndex, call: &Call) -> Self {
        let [(audio, heard), (video, seen)] = both(gateway, now, index, call);
        let meter = gateway.meter(index);
        let (width, height) = gateway.picture_size(index);
        let keyframes = meter.map_or(0, |meter| meter.keyframes());
        let plan = call.negotiation.current();
        let number = |plan: &Option<crate::sdp::MediaPlan>| plan.as_ref().map(|it| it.payload_type);
        Self {
            audio_codec: number(&plan.audio),
            audio_lost: heard.lost,
            audio_rate: audio.bitrate,
            audio_sync: meter.and_then(|meter| meter.last_millis(Track::Audio)),
            video_codec: number(&plan.video),
            video_fps: video.frame_rate,
            video_gop_size: meter.map_or(0, |meter| meter.keyframe_distance()),
            video_height: height,
            video_k_frames: keyframes,
            video_lost: seen.lost,
            video_nack: seen.asked_again,
            video_p_frames: video.frames.saturating_sub(keyframes),
            video_pli: seen.keyframes_asked,
            video_rate: video.bitrate,
            video_sync: meter.and_then(|meter| meter.last_millis(Track::Video)),
            video_width: width,
        }
    }
}

impl Statistics {
    /// Of the stream of a call.
    pub fn of(gateway: &Gateway, now: Instant, index: CallIndex, call: &Call) -> Self {
        let [(audio, heard), (video, seen)] = both(gateway, now, index, call);
        let meter = gateway.meter(index);
        let age = meter.and_then(|meter| meter.keyframe_age(now));
        let numbers = |rate: TrackRate, summary: TrackSummary| TrackNumbers {
            bitrate: rate.bitrate,
            frame_rate: rate.frame_rate,
            frames: rate.frames,
            lost: summary.lost,
        };
        Self {
            bitrate: audio.bitrate.saturating_add(video.bitrate),
            audio: numbers(audio, heard),
            video: numbers(video, seen),
            skew_millis: call.session.skew().map(|micros| micros / 1_000),
            keyframes: meter.map_or(0, |meter| meter.keyframes()),
            keyframe_age_millis: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            readers: readers(gateway, now, call),
        }
    }
}

/// Rate and losses of sound and of pictures.
fn both(
    gateway: &Gateway,
    now: Instant,
    index: CallIndex,
    call: &Call,
) -> [(TrackRate, TrackSummary); 2] {
    let summary = call.summary(now);
    let meter = gateway.meter(index);
    let rate = |track| {
        meter
            .map(|meter| meter.rate(now, track))
            .unwrap_or_default()
    };
    [
        (rate(Track::Audio), summary.audio),
        (rate(Track::Video), summary.video),
    ]
}

fn readers(gateway: &Gateway, now: Instant, call: &Call) -> Vec<Reader> {
    let mut readers = Vec::new();
    if let Some(publishing) = &call.publishing {
        let publisher = &publishing.publisher;
        readers.push(Reader {
            kind: "publisher",
            target: publisher.url().to_string(),
            media_session_id: None,
            status: publisher.status().to_string(),
            reason: Some(publisher.reason().to_owned()),
            backlog_millis: backlog(now, &call.log, publisher.position()),
        });
    }
    let outputs = call.outputs.as_ref();
    let pushes = outputs.into_iter().flat_map(|outputs| &outputs.pushes);
    for push in pushes.filter_map(|at| gateway.pushes.get(*at)) {
        let position = push.publisher().map(|publisher| publisher.position());
        readers.push(Reader {
            kind: "push",
            target: push.target.to_string(),
            media_session_id: Some(push.id.clone()),
            status: push.status().to_string(),
            reason: Some(push.reason().to_owned()),
            backlog_millis: position.map_or(0, |at| backlog(now, &call.log, at)),
        });
    }
    let listeners = outputs.into_iter().flat_map(|outputs| &outputs.listeners);
    for listener in listeners.filter_map(|at| gateway.calls.get(*at)) {
        let injection = listener.injection.as_ref();
        let position = injection.and_then(|injection| injection.needed_from());
        readers.push(Reader {
            kind: "injection",
            target: listener.sip_call_id.clone(),
            media_session_id: None,
            status: listener.status.to_string(),
            reason: None,
            backlog_millis: position.map_or(0, |at| backlog(now, &call.log, at)),
        });
    }
    for viewer in call
        .players
        .iter()
        .filter_map(|at| gateway.players.get(*at))
    {
        readers.push(Reader {
            kind: "player",
            target: viewer.remote.to_string(),
            media_session_id: None,
            status: "PLAYING".to_owned(),
            reason: None,
            backlog_millis: backlog(now, &call.log, viewer.player.position()),
        });
    }
    readers
}

/// How long the frame at a position of the log has waited.
pub fn backlog(now: Instant, log: &FrameLog, position: u64) -> u64 {
    let view = log.get(position.max(log.start()));
    let waited = view.map(|view| now.since(view.frame().received));
    waited.map_or(0, |waited| {
        u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)
    })
}
