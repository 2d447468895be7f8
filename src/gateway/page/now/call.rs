//! A call as the page shows it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use serde::Serialize;

use crate::base::codec::{Codec, Track};
use crate::base::sink::CodecNames;
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::call_summary::TrackSummary;
use crate::gateway::outlet::CallIndex;
use crate::gateway::page::problem;
use crate::gateway::status::{CallStatus, TrackStatus};
use crate::gateway::stream_meter::StreamMeter;
use crate::rtmp::{Publisher, RtmpStatus};
use crate::sdp::LineRefusal;

use super::{Printed, Shown};

/// A call.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallNow<'a> {
    id: Printed<u64>,
    direction: &'static str,
    caller: Shown<'a>,
    callee: Shown<'a>,
    display: Option<Shown<'a>>,
    trunk: Shown<'a>,
    stream: Shown<'a>,
    state: Printed<CallStatus>,
    seconds: u64,
    audio: Option<TrackNow>,
    video: Option<VideoNow>,
    skew_ms: Option<i64>,
    rtmp: Option<RtmpNow<'a>>,
    pushes: usize,
    recording: bool,
    players: usize,
    live: LiveNow,
}

/// A track.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TrackNow {
    codec: Option<&'static str>,
    kbps: u64,
    lost: u64,
    received: u64,
    left_out: Option<LeftOutNow>,
}

/// Why a track that the caller wants is not in the stream: a code with the codecs that it is about, or the
/// log's words where it is none of those that the page has words for.
#[derive(Serialize)]
struct LeftOutNow {
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    codec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// A picture.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VideoNow {
    #[serde(flatten)]
    track: TrackNow,
    width: Option<u16>,
    height: Option<u16>,
    fps: u64,
    /// In seconds.
    keyframe_age: Option<f32>,
}

/// The stream at an RTMP server.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RtmpNow<'a> {
    target: String,
    state: &'static str,
    problem: Option<&'static str>,
    detail: Shown<'a>,
    retry_seconds: Option<u64>,
}

/// What a browser could play of it, by the names that browsers have for codecs (RFC 6381), and why
/// there is less than there might be.
#[derive(Serialize)]
struct LiveNow {
    video: Option<String>,
    audio: Option<String>,
    why: Option<&'static str>,
}

impl<'a> CallNow<'a> {
    pub(super) fn of(gateway: &'a Gateway, now: Instant, index: CallIndex, call: &'a Call) -> Self {
        let meter = gateway.meter(index);
        let summary = call.summary(now);
        let outputs = call.outputs.as_ref();
        let answered = call.answered.map(|at| now.since(at).as_secs());
        Self {
            id: Printed(call.label.number),
            direction: direction(call.outgoing.is_some()),
            caller: Shown::name(&call.label.caller),
            callee: Shown::name(&call.label.callee),
            display: call.display.as_deref().map(Shown::name),
            trunk: Shown::name(&call.label.trunk),
            stream: Shown::name(call.shown_stream()),
            state: Printed(call.status),
            seconds: answered.unwrap_or_default(),
            audio: TrackNow::of(now, call, meter, (Track::Audio, &summary.audio)),
            video: VideoNow::of(now, call, meter, &summary.video),
            skew_ms: call
                .session
                .skew()
                .and_then(|micros| micros.checked_div(1_000)),
            rtmp: RtmpNow::of(now, call),
            pushes: outputs.map_or(0, |outputs| outputs.pushes.len()),
            recording: outputs.is_some_and(|outputs| outputs.recording.is_some()),
            players: call.players.len(),
            live: LiveNow::of(call, meter),
        }
    }
}

/// Which way a call goes.
pub(super) const fn direction(outgoing: bool) -> &'static str {
    match outgoing {
        true => "out",
        false => "in",
    }
}

impl LeftOutNow {
    fn of(track: Track, status: &TrackStatus) -> Option<Self> {
        let by = |audio, video| match track {
            Track::Audio => audio,
            Track::Video => video,
        };
        let Some(line) = status.refused else {
            return status.unpublished.as_ref().map(|out| Self {
                problem: Some(by("audioRefused", "videoRefused")),
                codec: Some(codec_name(out.codec).to_owned()),
                detail: None,
            });
        };
        let (problem, codec) = match line.reason {
            LineRefusal::SinkRefuses(codecs) => (
                by("audioRefused", "videoRefused"),
                CodecNames(codecs).to_string(),
            ),
            LineRefusal::NotNamed(codecs) => (
                by("noAudioCodec", "noVideoCodec"),
                CodecNames(codecs).to_string(),
            ),
            LineRefusal::NoCodec(offered) if !offered.is_empty() => {
                (by("noAudioCodec", "noVideoCodec"), offered.to_string())
            }
            reason => {
                return Some(Self {
                    problem: None,
                    codec: None,
                    detail: Some(reason.to_string()),
                });
            }
        };
        Some(Self {
            problem: Some(problem),
            codec: Some(codec),
            detail: None,
        })
    }
}

impl TrackNow {
    fn of(
        now: Instant,
        call: &Call,
        meter: Option<&StreamMeter>,
        (track, summary): (Track, &TrackSummary),
    ) -> Option<Self> {
        let status = call.track(track);
        let left_out = LeftOutNow::of(track, &status);
        if status.codec.is_none() && left_out.is_none() {
            return None;
        }
        let rate = meter
            .map(|meter| meter.rate(now, track))
            .unwrap_or_default();
        Some(Self {
            codec: status.codec.map(codec_name),
            kbps: rate.bitrate.saturating_add(500) / 1_000,
            lost: summary.lost,
            received: call.session.stats(track).packets,
            left_out,
        })
    }
}

impl VideoNow {
    fn of(
        now: Instant,
        call: &Call,
        meter: Option<&StreamMeter>,
        summary: &TrackSummary,
    ) -> Option<Self> {
        let track = TrackNow::of(now, call, meter, (Track::Video, summary))?;
        let picture = meter.map(StreamMeter::picture).filter(|it| *it != (0, 0));
        let rate = meter.map(|meter| meter.rate(now, Track::Video));
        let age = meter.and_then(|meter| meter.keyframe_age(now));
        // To a tenth.
        let age = age.map(|age| u16::try_from(age.as_millis() / 100).unwrap_or(u16::MAX));
        Some(Self {
            track,
            width: picture.map(|(width, _)| width),
            height: picture.map(|(_, height)| height),
            fps: rate.unwrap_or_default().frame_rate,
            keyframe_age: age.map(|tenths| f32::from(tenths) / 10.0),
        })
    }
}

impl<'a> RtmpNow<'a> {
    fn of(now: Instant, call: &'a Call) -> Option<Self> {
        let Some(publishing) = &call.publishing else {
            // It is not connected to before there is something to send.
            let url = call.outgoing.as_ref()?.rtmp_url.as_ref()?;
            return Some(Self {
                target: url.to_string(),
                state: "waiting",
                problem: None,
                detail: Shown::detail(""),
                retry_seconds: None,
            });
        };
        let publisher = &publishing.publisher;
        let (status, reason) = (publisher.status(), publisher.reason());
        let failed = matches!(status, RtmpStatus::Lost | RtmpStatus::Failed);
        let problem = failed.then(|| problem::of_rtmp(reason));
        let retry = publisher.retry_at().map(|at| at.since(now).as_secs());
        Some(Self {
            target: publisher.target().to_string(),
            state: state(publisher, problem),
            problem,
            detail: Shown::detail(reason),
            retry_seconds: retry.filter(|_| failed),
        })
    }
}

/// How a publisher is doing, in one word.
fn state(publisher: &Publisher, problem: Option<&str>) -> &'static str {
    if publisher.is_stopped() {
        return "off";
    }
    match (publisher.status(), problem) {
        (RtmpStatus::Active, _) => "publishing",
        (RtmpStatus::Wait, _) => "connecting",
        (_, Some("wrongPassword" | "appRefused" | "streamRefused" | "streamBusy")) => "refused",
        _ if publisher.retry_at().is_some() => "waiting",
        _ => "connecting",
    }
}

impl LiveNow {
    fn of(call: &Call, meter: Option<&StreamMeter>) -> Self {
        let (audio, video) = (call.audio.codec, call.video.codec);
        let picture = meter.and_then(|meter| meter.live_video());
        let video_name = video.zip(picture).map(|(_, name)| name);
        let sound = meter.and_then(|meter| meter.live_audio());
        let audio_name = audio.and(sound);
        let plays = |codec: Option<Codec>| codec.is_some_and(|codec| codec != Codec::Speex);
        let why = match (&video_name, &audio_name) {
            _ if !call.has_begun() => Some("notAnswered"),
            (Some(_), _) => None,
            (None, _) if plays(video) => Some("noPicture"),
            (None, Some(_)) => None,
            _ if plays(audio) => Some("noMedia"),
            _ if audio.is_some() || video.is_some() => Some("codec"),
            _ => Some("noMedia"),
        };
        Self {
            video: video_name,
            audio: audio_name,
            why,
        }
    }
}

/// The name of a codec that people know.
const fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "H.264",
        Codec::Vp8 => "VP8",
        Codec::Opus => "Opus",
        Codec::Aac => "AAC",
        Codec::Speex => "Speex",
        Codec::Pcma => "PCMA",
        Codec::Pcmu => "PCMU",
    }
}
