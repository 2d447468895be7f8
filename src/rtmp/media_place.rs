//! Where a reader stands in a frame log, and which message comes next from there.
//!
//! A place is small and cheap to copy, so a write is planned on a copy and kept only as far as the
//! kernel took it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::time::Duration;
use std::rc::Rc;

use crate::base::codec::{CodecConfig, Track};
use crate::base::frame_log::{Frame, FrameLog, FrameView};
use crate::base::time::{Instant, MediaTime};
use crate::limits::FRAME_SEGMENTS;
use crate::wire::flv::{self, Metadata};
use crate::wire::rtmp_message::{MessageHead, kind};

/// Chunk streams of media; commands have 3.
const AUDIO_CHUNK_STREAM: u32 = 4;
const DATA_CHUNK_STREAM: u32 = 5;
const VIDEO_CHUNK_STREAM: u32 = 6;

/// How far, in milliseconds, one track may be written behind the other. A picture is whole later
/// than the voice beside it; moving its time forward to the voice's would cost lip-sync.
const INTERLEAVE_MILLIS: i64 = 1_000;

/// Why a frame is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// Video that cannot be decoded before the next keyframe, or was given up.
    Undecodable,
    /// An empty frame, one of too many pieces, a codec that the stream cannot carry, or parameter
    /// sets that make no sequence header.
    Unusable,
}

/// One message, as planned.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// `onMetaData`.
    Metadata(Metadata),
    /// An AVC sequence header.
    Sequence(Rc<CodecConfig>),
    /// The frame at a position of the log.
    Frame {
        position: u64,
        track: Track,
        keyframe: bool,
        /// Sound head or AVC head.
        tag: heapless::Vec<u8, { flv::AVC_HEAD_BYTES }>,
    },
    /// No message: the frame is passed over.
    Skip(Skip),
}

/// A message with its place in time and its head.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub body: Body,
    pub head: MessageHead,
    /// Milliseconds since the stream's first frame.
    millis: i64,
    /// The frame's own time could not be kept.
    pub clamped: bool,
}

/// How messages look on this connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub stream_id: u32,
    pub to_publish: bool,
    pub first_timestamp: u32,
}

/// A reader's place.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// Position of the next frame.
    pub cursor: u64,
    /// Video before this position is passed over.
    pub video_from: u64,
    /// A keyframe has been sent and nothing lost since.
    pub video_open: bool,
    /// Tracks known to be there.
    pub tracks: Metadata,
    /// Call time of the stream's time zero.
    pub origin: Option<MediaTime>,
    described: Option<Metadata>,
    video_config: Option<Rc<CodecConfig>>,
    last_audio: Option<i64>,
    last_video: Option<i64>,
}

impl Place {
    /// The place of a new stream that begins at a position.
    pub fn at(cursor: u64) -> Self {
        Self {
            cursor,
            ..Self::default()
        }
    }

    /// The next message; `None` when the log has no further frame.
    pub fn next(&self, form: &Form, log: &FrameLog) -> Option<Planned> {
        let view = log.get(self.cursor)?;
        let frame = view.frame();
        let (millis, clamped) = self.millis(frame);
        let timestamp = form.first_timestamp.wrapping_add(millis as u32);
        let planned = |body, chunk_stream, kind, length: usize| {
            let head = MessageHead {
                chunk_stream,
                timestamp,
                length: length as u32,
                kind,
                stream_id: form.stream_id,
            };
            Some(Planned {
                body,
                head,
                millis,
                clamped,
            })
        };
        let skip = |why| planned(Body::Skip(why), 0, 0, 0);

        let opens = frame.keyframe && self.cursor >= self.video_from;
        if frame.track == Track::Video && !self.video_open && !opens {
            return skip(Skip::Undecodable);
        }
        let Some(tag) = tag(&view) else {
            return skip(Skip::Unusable);
        };
        let tracks = with_track(self.tracks, frame);
        if self.described != Some(tracks) {
            let length = tracks
                .write(form.to_publish, &mut [0; flv::METADATA_BYTES])
                .unwrap_or(0);
            return planned(
                Body::Metadata(tracks),
                DATA_CHUNK_STREAM,
                kind::DATA,
                length,
            );
        }
        if let CodecConfig::H264(config) = &*frame.config
            && !self
                .video_config
                .as_ref()
                .is_some_and(|sent| Rc::ptr_eq(sent, &frame.config))
        {
            let mut body = [0; flv::AVC_SEQUENCE_HEADER_BYTES];
            let Some(length) = flv::write_avc_sequence_header(config, &mut body) else {
                return skip(Skip::Unusable);
            };
            let body = Body::Sequence(Rc::clone(&frame.config));
            return planned(body, VIDEO_CHUNK_STREAM, kind::VIDEO, length);
        }
        let (chunk_stream, kind) = match frame.track {
            Track::Audio => (AUDIO_CHUNK_STREAM, kind::AUDIO),
            Track::Video => (VIDEO_CHUNK_STREAM, kind::VIDEO),
        };
        let length = view.len().saturating_add(tag.len());
        let body = Body::Frame {
            position: self.cursor,
            track: frame.track,
            keyframe: frame.keyframe,
            tag,
        };
        planned(body, chunk_stream, kind, length)
    }

    /// Moves past a message.
    pub fn advance(&mut self, planned: &Planned, log: &FrameLog) {
        match &planned.body {
            Body::Metadata(tracks) => {
                self.tracks = *tracks;
                self.described = Some(*tracks);
            }
            Body::Sequence(config) => self.video_config = Some(Rc::clone(config)),
            Body::Frame {
                track: Track::Audio,
                position,
                ..
            } => {
                self.last_audio = Some(planned.millis);
                self.cursor = position.saturating_add(1);
            }
            Body::Frame {
                track: Track::Video,
                position,
                ..
            } => {
                self.last_video = Some(planned.millis);
                self.video_open = true;
                self.cursor = position.saturating_add(1);
            }
            Body::Skip(_) => {
                if log
                    .get(self.cursor)
                    .is_some_and(|view| view.frame().track == Track::Video)
                {
                    self.video_open = false;
                }
                self.cursor = self.cursor.saturating_add(1);
            }
        }
    }

    /// The newest video keyframe from here on.
    pub fn newest_keyframe(&self, log: &FrameLog) -> Option<u64> {
        let from = self.cursor.max(log.start());
        (from..log.end())
            .rev()
            .find(|position| is_video_keyframe(log, *position))
    }

    /// Gives video up to the newest keyframe no older than `limit`, or until one comes.
    pub fn drop_video(&mut self, now: Instant, limit: Duration, log: &FrameLog) {
        self.video_open = false;
        let Some(keyframe) = self.newest_keyframe(log) else {
            return;
        };
        let age = log
            .get(keyframe)
            .map(|view| now.since(view.frame().received));
        self.video_from = if age <= Some(limit) {
            keyframe
        } else {
            keyframe.saturating_add(1)
        };
    }

    /// Learns the tracks and the time zero from the frames that are there to be sent.
    pub fn survey(&mut self, log: &FrameLog) {
        let mut video = false;
        for position in self.cursor..log.end() {
            let Some(view) = log.get(position) else { break };
            let frame = view.frame();
            video |= frame.track == Track::Video && frame.keyframe;
            if (frame.track == Track::Video && !video) || tag(&view).is_none() {
                continue;
            }
            self.tracks = with_track(self.tracks, frame);
            let earliest = self
                .origin
                .map_or(frame.time, |origin| origin.min(frame.time));
            self.origin = Some(earliest);
        }
    }

    /// When the frame stands on this stream's clock: its own time as far as the track's times rise
    /// and the tracks stay together.
    fn millis(&self, frame: &Frame) -> (i64, bool) {
        let origin = self.origin.unwrap_or(frame.time);
        let own = frame.time.micros_since(origin).div_euclid(1_000);
        let last = match frame.track {
            Track::Audio => self.last_audio,
            Track::Video => self.last_video,
        };
        let after_last = last.map_or(0, |last| last.saturating_add(1));
        let newest = self.last_audio.max(self.last_video).unwrap_or(0);
        let millis = own
            .max(after_last)
            .max(newest.saturating_sub(INTERLEAVE_MILLIS));
        (millis, millis != own)
    }
}

pub(super) fn is_video_keyframe(log: &FrameLog, position: u64) -> bool {
    log.get(position).is_some_and(|view| {
        let frame = view.frame();
        frame.track == Track::Video && frame.keyframe
    })
}

/// The bytes before a frame's own; `None` when the stream cannot carry it.
fn tag(view: &FrameView<'_>) -> Option<heapless::Vec<u8, { flv::AVC_HEAD_BYTES }>> {
    let frame = view.frame();
    if view.is_empty() || view.segments().count() > FRAME_SEGMENTS {
        return None;
    }
    match (frame.track, &*frame.config) {
        (Track::Video, CodecConfig::H264(_)) => {
            heapless::Vec::from_slice(&flv::avc_head(frame.keyframe)).ok()
        }
        (Track::Audio, config) => heapless::Vec::from_slice(&[flv::sound_head(config)?]).ok(),
        (Track::Video, _) => None,
    }
}

fn with_track(mut tracks: Metadata, frame: &Frame) -> Metadata {
    match &*frame.config {
        CodecConfig::H264(config) => {
            tracks.video_codec = Some(flv::CODEC_AVC);
            tracks.width = config.width;
            tracks.height = config.height;
        }
        CodecConfig::Pcma => tracks.sound_format = Some(flv::SOUND_PCMA),
        CodecConfig::Pcmu => tracks.sound_format = Some(flv::SOUND_PCMU),
        _ => {}
    }
    tracks
}
