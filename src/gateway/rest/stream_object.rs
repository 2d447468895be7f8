//! A stream as clients of the interface, and backends, are shown it.

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

use crate::base::codec::{Codec, Track};
use crate::base::time::Instant;
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::outlet::CallIndex;
use crate::gateway::rest::call_object::is_live;
use crate::gateway::rest::stream_statistics::{Metrics, Statistics};

/// The stream of a call. In answers every key but `metrics` is there, null where there is nothing to
/// tell; hooks leave out what is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamObject<'a> {
    /// Set by hooks.
    pub node_id: Option<&'a str>,
    /// Set by hooks.
    pub app_key: Option<&'a str>,
    /// Set by hooks.
    pub session_id: Option<&'a str>,
    /// The call's name.
    pub media_session_id: &'a str,
    /// The stream's name.
    pub name: &'a str,
    published: bool,
    /// Whether there is, or is to be, a picture.
    pub has_video: bool,
    /// Whether there is, or is to be, sound.
    pub has_audio: bool,
    /// How it stands.
    pub status: &'static str,
    /// Why it stands so.
    pub info: Option<&'a str>,
    sdp: Option<&'a str>,
    audio_codec: Option<&'static str>,
    video_codec: Option<&'static str>,
    record: bool,
    record_name: Option<String>,
    width: u16,
    height: u16,
    bitrate: u64,
    min_bitrate: u64,
    max_bitrate: u64,
    quality: u64,
    history: bool,
    gop: u32,
    fps: u64,
    audio_bitrate: u64,
    codec_impl: &'static str,
    transport: &'static str,
    cvo_extension: bool,
    create_date: u64,
    media_type: &'static str,
    audio_state: State,
    video_state: State,
    media_provider: &'static str,
    /// What clients ask for by `display`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// What the stream carries, and who reads it; set by answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
}

/// Whether a track is silenced at its source; that is for the caller to do.
#[derive(Serialize)]
struct State {
    muted: bool,
}

/// The status of a stream that is to come.
pub const PENDING: &str = "PENDING";

/// The status of a stream that has begun.
pub const PUBLISHING: &str = "PUBLISHING";

/// Whether a call has a stream that has not ended.
pub fn has_stream(call: &Call) -> bool {
    is_live(call) && !call.stream.is_empty()
}

impl<'a> StreamObject<'a> {
    /// The stream of a call as it stands, without what answers add; `None` where there is no such call.
    pub fn of(gateway: &'a Gateway, now: Instant, index: CallIndex) -> Option<Self> {
        let call = gateway.calls.get(index)?;
        let meter = gateway.meter(index);
        let rate = |track| {
            meter
                .map(|meter| meter.rate(now, track))
                .unwrap_or_default()
        };
        let (audio, video) = (rate(Track::Audio), rate(Track::Video));
        let (width, height) = gateway.picture_size(index);
        let asked = call.outgoing.as_ref().filter(|_| call.answered.is_none());
        let (has_audio, has_video) = match asked {
            Some(asked) => (asked.has_audio, asked.has_video),
            None => (call.audio.codec.is_some(), call.video.codec.is_some()),
        };
        let record_name = call.record_name();
        let not_muted = || State { muted: false };
        Some(Self {
            node_id: None,
            app_key: None,
            session_id: None,
            media_session_id: &call.sip_call_id,
            name: &call.stream,
            published: true,
            has_video,
            has_audio,
            status: match call.has_begun() {
                true => PUBLISHING,
                false => PENDING,
            },
            info: None,
            sdp: None,
            audio_codec: call.audio.codec.map(codec_name),
            video_codec: call.video.codec.map(codec_name),
            record: record_name.is_some(),
            record_name,
            width,
            height,
            bitrate: video.bitrate,
            min_bitrate: 0,
            max_bitrate: 0,
            quality: 0,
            history: false,
            gop: meter.map_or(0, |meter| meter.keyframe_distance()),
            fps: video.frame_rate,
            audio_bitrate: audio.bitrate,
            codec_impl: "",
            transport: "UDP",
            cvo_extension: false,
            create_date: gateway.unix_millis(meter.map_or(now, |meter| meter.since())),
            media_type: "publish",
            audio_state: not_muted(),
            video_state: not_muted(),
            media_provider: "Flash",
            metrics: None,
            statistics: None,
        })
    }
}

/// The name that clients have for a codec.
pub fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "H264",
        Codec::Vp8 => "VP8",
        Codec::Opus => "opus",
        Codec::Aac => "mpeg4-generic",
        Codec::Speex => "speex",
        Codec::Pcma => "PCMA",
        Codec::Pcmu => "PCMU",
    }
}
