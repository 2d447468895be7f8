//! A call's picture and sound as they come, piece by piece:
//! `GET /page/live?call=N[&video=PLACE][&audio=PLACE]`.
//!
//! Whoever watches asks every few hundred milliseconds and tells where he is with each track; the
//! box remembers no one. Without a place a track begins, with `-` it is left out. An answer holds
//! what has come since: one piece of video and one of sound, after each other, and the header field
//! `X-Live` says in JSON what they are:
//!
//! ```json
//! {"more": false, "hold": false,
//!  "video": {"codec": "H.264", "bytes": 41234, "anew": true, "waits": false, "next": "PLACE",
//!            "type": "video/mp4; codecs=\"avc1.42e01f\"", "width": 640, "height": 480},
//!  "audio": {"codec": "G.711 A-law", "bytes": 3480, "anew": false, "waits": false, "next": "PLACE"}}
//! ```
//!
//! A track that the call has not is `null`. `anew` comes with a `type` and means that the piece
//! begins with what a decoder must know, and with a keyframe; `waits` that there is none to begin
//! with, for which the caller was asked then; no `next` that the track has still to begin; `more`
//! that the next question need not wait.
//!
//! H.264 (as `avc1`), AAC and Opus are fragmented MP4 and VP8 is WebM, for Media Source in mode
//! `segments`. Of G.711, which no Media Source takes, the type is `audio/pcma` or `audio/pcmu`, and
//! the piece a run of frames: seconds as a 64-bit float, a 16-bit count, and so many bytes, all in
//! network order. Speex has no type and no bytes. All times are those of the call's media clock.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use embedded_svc::http::Query;
use serde::Serialize;

use crate::base::codec::{Codec, CodecConfig, Track};
use crate::base::frame_log::{FrameLog, FrameView};
use crate::base::time::{Instant, MediaTime};
use crate::gateway::Gateway;
use crate::gateway::call::Call;
use crate::gateway::http::exchange::Exchange;
use crate::gateway::page::live_cut::{Cursor, Cut, Print};
use crate::gateway::page::{Outcome, Reply};
use crate::gateway::status::CallStatus;
use crate::limits::{LIVE_AUDIO_BYTES, LIVE_VIDEO_BYTES};
use crate::mp4::live as mp4;
use crate::webm;

/// Answers `GET /page/live`.
pub(super) fn handle(exchange: &mut Exchange<'_>) -> Outcome {
    let Some(question) = Question::parse(exchange.uri()) else {
        return Reply::problem(400, "badQuery").into();
    };
    match exchange.gateway.live_answer(exchange.now, &question) {
        Ok(Some((told, body))) => Reply::new(200, "application/octet-stream", body)
            .header("X-Live", told)
            .header("Cache-Control", "no-store")
            .into(),
        Ok(None) => Reply::problem(503, "tooManyWatched").into(),
        Err(NoSuchCall) => Reply::problem(404, "noSuchCall").into(),
    }
}

/// There is no such call, or it is over.
struct NoSuchCall;

/// What is asked for of one track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wish {
    /// To begin with it.
    #[default]
    Begin,
    /// To go on with it.
    From(Cursor),
    /// Nothing.
    Nothing,
}

impl Wish {
    fn parse(text: &str) -> Option<Self> {
        if text == "-" {
            return Some(Self::Nothing);
        }
        let (next, print) = text.split_once('.')?;
        Some(Self::From(Cursor {
            next: u64::from_str_radix(next, 16).ok()?,
            print: Print(u32::from_str_radix(print, 16).ok()?),
        }))
    }

    fn cut(self, log: &FrameLog, track: Track, most: usize) -> Cut<'_> {
        match self {
            Self::Begin => Cut::of(log, track, None, most),
            Self::From(cursor) => Cut::of(log, track, Some(cursor), most),
            Self::Nothing => Cut::default(),
        }
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    /// Running number of the call.
    call: u64,
    video: Wish,
    audio: Wish,
}

impl Question {
    fn parse(uri: &str) -> Option<Self> {
        let (mut call, mut video, mut audio) = (None, Wish::default(), Wish::default());
        let (_, query) = uri.split_once('?')?;
        for field in query.split('&') {
            match field.split_once('=')? {
                ("call", value) => call = Some(value.parse().ok()?),
                ("video", value) => video = Wish::parse(value)?,
                ("audio", value) => audio = Wish::parse(value)?,
                _ => {}
            }
        }
        let call = call?;
        Some(Self { call, video, audio })
    }
}

/// What an answer says of itself.
#[derive(Serialize)]
struct Told {
    more: bool,
    hold: bool,
    video: Option<ToldTrack>,
    audio: Option<ToldTrack>,
}

/// What an answer says of one track.
#[derive(Serialize)]
struct ToldTrack {
    codec: &'static str,
    bytes: usize,
    anew: bool,
    waits: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u16>,
}

impl Gateway {
    /// What a page is told and given of a call; `None` where too many others are watched.
    fn live_answer(
        &mut self,
        now: Instant,
        question: &Question,
    ) -> Result<Option<(String, Vec<u8>)>, NoSuchCall> {
        let wanted = |call: &Call| call.is_live() && call.label.number == question.call;
        let index = self.calls.find(wanted).ok_or(NoSuchCall)?;
        if !self.watch_call(now, index) {
            return Ok(None);
        }
        let call = self.calls.get_mut(index).ok_or(NoSuchCall)?;
        let (told, body) = call.live_piece(question);
        if told.video.as_ref().is_some_and(|video| video.waits) {
            call.ask_watched_keyframe(now);
        }
        let told = serde_json::to_string(&told).unwrap_or_default();
        Ok(Some((told, body)))
    }
}

impl Call {
    fn live_piece(&self, question: &Question) -> (Told, Vec<u8>) {
        let Question { video, audio, .. } = question;
        let video = video.cut(&self.log, Track::Video, LIVE_VIDEO_BYTES);
        let audio = audio.cut(&self.log, Track::Audio, LIVE_AUDIO_BYTES);
        let frames = video.frames.iter().chain(&audio.frames);
        let media: usize = frames.map(|(view, _)| view.len().saturating_add(32)).sum();
        let mut body = Vec::with_capacity(media.saturating_add(4_096));
        let told = Told {
            more: video.more || audio.more,
            hold: self.status == CallStatus::Hold,
            video: write_track(&video, self.video_codec, &mut body),
            audio: write_track(&audio, self.audio.codec, &mut body),
        };
        (told, body)
    }
}

/// Writes the piece of one track, and tells of it; `None` where there is no such track.
fn write_track(cut: &Cut<'_>, agreed: Option<Codec>, body: &mut Vec<u8>) -> Option<ToldTrack> {
    let first = cut.frames.first().map(|(view, _)| *view);
    let config = first.map(|view| &*view.frame().config);
    let codec = config.map(CodecConfig::codec).or(agreed)?;
    let begin = body.len();
    if let (Some(view), Some(config)) = (first, config) {
        write_piece(cut, view, config, body);
    }
    let told = config.filter(|_| cut.anew);
    let (width, height) = told.and_then(size).unzip();
    Some(ToldTrack {
        codec: codec.name(),
        bytes: body.len().saturating_sub(begin),
        anew: cut.anew,
        waits: cut.waits && agreed.is_some(),
        next: cut
            .cursor
            .map(|Cursor { next, print }| format!("{next:x}.{:x}", print.0)),
        kind: told.and_then(media_type),
        width,
        height,
    })
}

fn write_piece(cut: &Cut<'_>, first: FrameView<'_>, config: &CodecConfig, body: &mut Vec<u8>) {
    match config {
        CodecConfig::Vp8(config) => {
            if cut.anew {
                webm::write_opening(config, body);
            }
            webm::write_clusters(&cut.frames, body);
        }
        CodecConfig::Pcma | CodecConfig::Pcmu => write_samples(&cut.frames, body),
        CodecConfig::Speex => {}
        CodecConfig::H264(_) | CodecConfig::Opus { .. } | CodecConfig::Aac(_) => {
            if cut.anew && !mp4::write_opening(config, body) {
                return;
            }
            // It only has to rise, and readers pass over it.
            let number = u32::try_from(first.frame().time.as_micros() / 1_000).unwrap_or(1);
            mp4::write_fragment(config, number, &cut.frames, body);
        }
    }
}

/// Writes frames of G.711 with their times.
fn write_samples(frames: &[(FrameView<'_>, MediaTime)], body: &mut Vec<u8>) {
    for (view, _) in frames {
        let Ok(count) = u16::try_from(view.len()) else {
            continue;
        };
        let seconds = view.frame().time.as_micros() as f64 / 1e6;
        body.extend_from_slice(&seconds.to_be_bytes());
        body.extend_from_slice(&count.to_be_bytes());
        for segment in view.segments() {
            body.extend_from_slice(segment.prefix());
            body.extend_from_slice(segment.payload());
        }
    }
}

/// Pixels of a picture.
fn size(config: &CodecConfig) -> Option<(u16, u16)> {
    match config {
        CodecConfig::H264(config) => Some((config.width, config.height)),
        CodecConfig::Vp8(config) => Some((config.width, config.height)),
        _ => None,
    }
}

/// The media type of a track's pieces (RFC 6381, section 3.3); `None` where there are none.
fn media_type(config: &CodecConfig) -> Option<String> {
    Some(match config {
        CodecConfig::H264(config) => {
            let [_, profile, constraints, level, ..] = *config.sps.as_slice() else {
                return None;
            };
            format!("video/mp4; codecs=\"avc1.{profile:02x}{constraints:02x}{level:02x}\"")
        }
        CodecConfig::Vp8(_) => "video/webm; codecs=\"vp8\"".to_owned(),
        CodecConfig::Opus { .. } => "audio/mp4; codecs=\"opus\"".to_owned(),
        CodecConfig::Aac(config) => {
            let object = object_type(&config.specific)?;
            format!("audio/mp4; codecs=\"mp4a.40.{object}\"")
        }
        CodecConfig::Pcma => "audio/pcma".to_owned(),
        CodecConfig::Pcmu => "audio/pcmu".to_owned(),
        CodecConfig::Speex => return None,
    })
}

/// The audio object type of an AudioSpecificConfig (ISO/IEC 14496-3, section 1.6.2.1).
fn object_type(specific: &[u8]) -> Option<u8> {
    match *specific {
        [first, second, ..] if first >> 3 == 31 => {
            Some(32_u8.saturating_add((first & 7) << 3 | second >> 5))
        }
        [first, ..] => Some(first >> 3),
        [] => None,
    }
}
